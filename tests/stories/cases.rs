//! Genuine deliveries that are easily refused or misunderstood: hooks wider than one repo, names that differ from the URL's path,
//! odd content, secrets as people paste them. The bodies are in `tests/payloads/cases`.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::forge::{Delivery, hmac_sha256};
use crate::support::http::{Address, Answer};
use crate::support::world::{World, wait_until};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/payloads/cases")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A world with the repo `blog`, these keys of it, and a target that follows main; the daemon runs.
fn blog(keys: &str) -> World {
    blog_with(keys, "branch = \"main\"")
}

fn config(keys: &str, target: &str) -> String {
    format!(
        "[repo.blog]\n{keys}\nsecret = \"file:$DIR/blog-secret\"\npoll = \"off\"\n\
         [repo.blog.deploy.live]\n{target}\npath = \"$DIR/live\"\n"
    )
}

fn blog_with(keys: &str, target: &str) -> World {
    let mut world = World::still(&config(keys, target));
    world.write_secret("blog-secret", SECRET);
    world.start();
    world
}

/// A delivery with these headers alone.
fn delivery(path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Delivery {
    let plain = Delivery {
        path: path.to_owned(),
        headers: Vec::new(),
        body: body.into(),
    };
    headers
        .iter()
        .fold(plain, |delivery, (name, value)| delivery.header(name, value))
}

fn github(path: &str, event: &str, body: impl Into<Vec<u8>>) -> Delivery {
    delivery(path, &[("X-GitHub-Event", event)], body).signed(SECRET)
}

fn gitlab(path: &str, event: &str, body: impl Into<Vec<u8>>) -> Delivery {
    delivery(path, &[("X-Gitlab-Event", event), ("X-Gitlab-Token", SECRET)], body)
}

fn azure(path: &str, body: impl Into<Vec<u8>>) -> Delivery {
    let basic = format!("Basic {}", STANDARD.encode(format!("hookd:{SECRET}")));
    delivery(path, &[("Authorization", &basic)], body)
}

#[track_caller]
fn expect(answer: Answer, status: u16, word: &str) -> Answer {
    assert_eq!(
        (answer.status, answer.word("status").as_str()),
        (status, word),
        "{}",
        answer.text()
    );
    answer
}

/// A repo that hookd has nothing but the name of.
const ACME: &str = "url = \"https://github.com/acme/blog.git\"";

#[test]
fn a_hook_of_an_organisation_is_answered_well_whatever_it_tells() {
    let world = blog(ACME);
    expect(world.send(&github("/hook", "ping", case("org-ping.json"))), 200, "pong");
    let other = github("/hook", "push", case("org-other-repo.json"));
    let answer = expect(world.send(&other), 200, "ignored");
    assert_eq!(answer.word("reason"), "no repo of the configuration is acme/other");
    let member =
        r#"{"action":"member_added","membership":{},"organization":{"login":"acme"},"sender":{"login":"alice"}}"#;
    expect(world.send(&github("/hook", "organization", member)), 200, "ignored");
    let installed = r#"{"action":"created","installation":{"id":1},"repositories":[],"sender":{"login":"alice"}}"#;
    expect(world.send(&github("/hook", "installation", installed)), 200, "ignored");
    // All of it is in the list, with the reason.
    let rows = world.deliveries();
    let results: Vec<_> = rows.iter().map(|row| row["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["pong", "ignored", "ignored", "ignored"]);
    // The repo's own pushes are found among the others.
    let push = String::from_utf8(case("org-other-repo.json"))
        .unwrap()
        .replace("acme/other", "acme/blog");
    expect(world.send(&github("/hook", "push", push)), 202, "accepted");
}

#[test]
fn what_is_not_signed_is_refused_whoever_it_is_about() {
    let shop = config("url = \"https://github.com/acme/shop.git\"", "branch = \"main\"");
    let shop = shop
        .replace(".blog", ".shop")
        .replace("blog-", "shop-")
        .replace("DIR/live", "DIR/shop");
    let mut world = World::still(&[config(ACME, "branch = \"main\""), shop].concat());
    world.write_secret("blog-secret", SECRET);
    world.write_secret("shop-secret", "another secret");
    world.start();
    let other = github("/hook", "push", case("org-other-repo.json"));
    world.send(&other.clone().without("X-Hub-Signature-256")).expect(401);
    world.send(&other.clone().signed("nobody's secret")).expect(401);
    world
        .send(&github("/hook", "ping", case("org-ping.json")).without("X-Hub-Signature-256"))
        .expect(401);
    // The secret of one repo does not speak for another one.
    let push = String::from_utf8(case("org-other-repo.json")).unwrap();
    world
        .send(&github("/hook", "push", push.replace("acme/other", "acme/shop")))
        .expect(401);
    assert!(world.history().is_empty());
    assert!(world.deliveries().iter().all(|row| row["result"] == "rejected"));
}

#[test]
fn a_group_hook_of_gitlab_never_fails() {
    let world = blog("forge = \"gitlab\"\nurl = \"https://gitlab.com/acme/blog.git\"");
    for _ in 0..5 {
        expect(
            world.send(&gitlab("/hook", "Member Hook", case("gitlab-member.json"))),
            200,
            "ignored",
        );
    }
    for (event, body) in [
        (
            "System Hook",
            r#"{"event_name":"user_create","username":"bob","user_id":3}"#,
        ),
        (
            "System Hook",
            r#"{"event_name":"project_create","path_with_namespace":"acme/new","project_id":9}"#,
        ),
        (
            "Subgroup Hook",
            r#"{"event_name":"subgroup_create","full_path":"acme/sub","group_id":4}"#,
        ),
        (
            "Push Hook",
            r#"{"object_kind":"push","ref":"refs/heads/main","after":"2222222222222222222222222222222222222222","project":{"path_with_namespace":"acme/other"}}"#,
        ),
        (
            "Wiki Page Hook",
            r#"{"object_kind":"wiki_page","project":{"path_with_namespace":"acme/blog"}}"#,
        ),
    ] {
        expect(world.send(&gitlab("/hook", event, body)), 200, "ignored");
    }
    world
        .send(&gitlab("/hook", "Member Hook", case("gitlab-member.json")).without("X-Gitlab-Token"))
        .expect(401);
}

#[test]
fn a_forge_below_a_path_is_found_by_both_hooks() {
    let body = case("gitea-below-a-path.json");
    let signed = |path: &str| {
        let signature = hmac_sha256(SECRET, &body);
        delivery(
            path,
            &[("X-Gitea-Event", "push"), ("X-Gitea-Signature", &signature)],
            body.clone(),
        )
    };
    for path in ["/hook/blog", "/hook", "/hook/blog/", "//hook/blog", "/hook/"] {
        let world = blog("forge = \"gitea\"\nurl = \"https://git.example.org/git/alice/blog.git\"");
        expect(world.send(&signed(path)), 202, "accepted");
    }
}

#[test]
fn azure_names_are_those_of_its_urls() {
    let body = String::from_utf8(case("azure-default-collection.json")).unwrap();
    let of_project = body.replace(
        "\"project\": {\n    \"name\": \"blog\"",
        "\"project\": {\n    \"name\": \"proj\"",
    );
    assert_ne!(body, of_project);
    for (url, body) in [
        ("https://org.visualstudio.com/DefaultCollection/_git/blog", &body),
        ("https://tfs.example.com/tfs/DefaultCollection/_git/blog", &body),
        ("https://dev.azure.com/org/proj/_git/_optimized/blog", &of_project),
        (
            "https://org.visualstudio.com/DefaultCollection/proj/_git/blog",
            &of_project,
        ),
    ] {
        let world = blog(&format!("forge = \"azure-devops\"\nurl = \"{url}\""));
        expect(world.send(&azure("/hook/blog", body.as_bytes())), 202, "accepted");
    }
}

#[test]
fn what_is_signed_and_of_another_name_is_told_until_the_name_fits() {
    let world = blog("url = \"$DIR/site.git\"\nfull_name = \"acme/blog\"");
    let push = github("/hook/blog", "push", case("org-other-repo.json"));
    let answer = expect(world.send(&push), 200, "ignored");
    assert!(
        answer
            .word("reason")
            .contains("it is about acme/other, not about acme/blog"),
        "{}",
        answer.text()
    );
    let log = world.log();
    assert!(log.contains("full_name = \"acme/other\""), "{log}");
}

#[test]
fn odd_bytes_that_nobody_needs_do_not_cost_the_push() {
    let push = |message: &[u8]| {
        let mut body = br#"{"ref":"refs/heads/main","before":"1111111111111111111111111111111111111111","after":"2222222222222222222222222222222222222222","n":1e999,"n":2,"commits":[null,5,{}],"head_commit":{"message":""#.to_vec();
        body.extend_from_slice(message);
        body.extend_from_slice(br#""},"repository":{"full_name":"acme/blog"},"pusher":{"name":7}}"#);
        body
    };
    for body in [
        case("github-lone-surrogate.json"),
        push(b"caf\xe9"),
        push(b"\xff\xfe\x80"),
        push(b"tab\tand bell\x07"),
        push(b"\\udfff\\ud800"),
    ] {
        let world = blog(ACME);
        expect(world.send(&github("/hook/blog", "push", body)), 202, "accepted");
    }
    // Gitea signs the JSON in a form, whatever its bytes are.
    let json = push(b"caf\xe9");
    let form: String = url::form_urlencoded::byte_serialize(&json).collect();
    let signature = hmac_sha256(SECRET, &json);
    let world = blog("forge = \"gitea\"\nurl = \"https://git.example.org/acme/blog.git\"");
    let headers = [
        ("X-Gitea-Event", "push"),
        ("X-Gitea-Signature", signature.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    expect(
        world.send(&delivery("/hook/blog", &headers, format!("payload={form}"))),
        202,
        "accepted",
    );
}

#[test]
fn one_odd_entry_does_not_cost_the_good_ones() {
    let odd = [
        "null",
        "5",
        "{}",
        r#"{"name":7,"newObjectId":[]}"#,
        r#"{"ref":null,"toHash":1}"#,
    ];
    let (one, two) = ("1".repeat(40), "2".repeat(40));
    for odd in odd {
        let azure_body = format!(
            r#"{{"eventType":"git.push","publisherId":"tfs","resource":{{"refUpdates":[{odd},{{"name":"refs/heads/main","oldObjectId":"{one}","newObjectId":"{two}"}}],"repository":{{"name":"blog","project":{{"name":"acme"}}}}}}}}"#
        );
        let world = blog("forge = \"azure-devops\"\nurl = \"https://dev.azure.com/org/acme/_git/blog\"");
        expect(world.send(&azure("/hook/blog", azure_body)), 202, "accepted");
        let server_body = format!(
            r#"{{"eventKey":"repo:refs_changed","repository":{{"slug":"blog","project":{{"key":"ACME"}}}},"changes":[{odd},{{"ref":{{"id":"refs/heads/main"}},"fromHash":"{one}","toHash":"{two}","type":"UPDATE"}}]}}"#
        );
        let world = blog("forge = \"bitbucket-server\"\nurl = \"https://git.example.org/bb/scm/acme/blog.git\"");
        let signature = format!("sha256={}", hmac_sha256(SECRET, server_body.as_bytes()));
        let headers = [
            ("X-Event-Key", "repo:refs_changed"),
            ("X-Hub-Signature", signature.as_str()),
        ];
        expect(
            world.send(&delivery("/hook/blog", &headers, server_body)),
            202,
            "accepted",
        );
    }
    let body = case("bitbucket-one-odd-change.json");
    let signature = format!("sha256={}", hmac_sha256(SECRET, &body));
    let world = blog("forge = \"bitbucket\"\nurl = \"$DIR/site.git\"\nfull_name = \"acme/blog\"");
    world.site.publish("one");
    let headers = [("X-Event-Key", "repo:push"), ("X-Hub-Signature", signature.as_str())];
    expect(world.send(&delivery("/hook/blog", &headers, body)), 202, "accepted");
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn what_is_genuine_and_not_understood_makes_hookd_look() {
    for (event, body) in [
        ("System Hook", case("gitlab-repository-update.json")),
        (
            "Push Hook",
            br#"{"object_kind":"push","project":{"path_with_namespace":"acme/blog"}}"#.to_vec(),
        ),
        ("Push Hook", br#"["no object"]"#.to_vec()),
    ] {
        let world = blog("forge = \"gitlab\"\nurl = \"$DIR/site.git\"\nfull_name = \"acme/blog\"");
        world.site.publish("one");
        let answer = expect(world.send(&gitlab("/hook/blog", event, body)), 200, "ignored");
        assert!(!answer.word("reason").is_empty());
        wait_until("the look at the remote", || world.served() == "one");
    }
}

#[test]
fn a_redelivery_is_judged_by_the_configuration_of_now() {
    let keys = "url = \"$DIR/site.git\"\nfull_name = \"acme/blog\"\nforge = \"github\"";
    let world = blog_with(keys, "tag = \"release-*\"\non = [\"release\"]");
    world.site.publish("one");
    world.site.push_to("refs/tags/v1.0");
    let released = github("/hook/blog", "release", case("github-release.json")).header("X-GitHub-Delivery", "D1");
    expect(world.send(&released), 200, "ignored");
    expect(world.send(&released), 200, "duplicate");
    world.configure(&config(keys, "tag = \"v*\"\non = [\"release\"]"));
    world.daemon().reload();
    expect(world.send(&released), 202, "accepted");
    world.settled();
    assert_eq!(world.served(), "one");
    expect(world.send(&released), 200, "duplicate");
}

#[test]
fn an_encoded_body_is_refused_by_its_encoding_and_listed() {
    let world = blog(ACME);
    let body = case("github-push.json.gz");
    let answer = world
        .send(&github("/hook/blog", "push", body).header("Content-Encoding", "gzip"))
        .expect(415);
    assert!(answer.word("error").contains("gzip"), "{}", answer.text());
    let row = world.deliveries().pop().unwrap();
    assert_eq!((&row["result"], &row["repo"]), (&"rejected".into(), &"blog".into()));
}

#[test]
fn secrets_are_believed_as_the_forge_means_them() {
    let mut world = World::still(&config(
        "forge = \"gitlab\"\nurl = \"https://gitlab.com/acme/blog.git\"",
        "branch = \"main\"",
    ));
    let token = "p\u{e4}$$ w\u{f6}rd=";
    world.write_secret("blog-secret", token);
    world.start();
    let body = case("gitlab-repository-update.json");
    let delivery = gitlab("/hook/blog", "System Hook", body).header("X-Gitlab-Token", token);
    world.send(&delivery).expect(200);
    world.send(&delivery.header("X-Gitlab-Token", "p$$ wrd=")).expect(401);
}

#[test]
fn gitee_is_believed_by_its_password_and_by_its_signature() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/gitee/push.documented.json");
    let body = fs::read(path).unwrap();
    let world = blog("url = \"$DIR/site.git\"\nfull_name = \"alice/blog\"\nforge = \"gitee\"");
    world.site.publish("one");
    let sent = |token: &str, time: i64| {
        let time = time.to_string();
        let headers = [
            ("X-Gitee-Event", "Push Hook"),
            ("X-Gitee-Token", token),
            ("X-Gitee-Timestamp", &time),
        ];
        delivery("/hook/blog", &headers, body.clone())
    };
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let signed = |time: i64| {
        let digest = hex::decode(hmac_sha256(SECRET, format!("{time}\n{SECRET}").as_bytes())).unwrap();
        sent(&STANDARD.encode(digest), time)
    };
    world.send(&sent("guess", now)).expect(401);
    world.send(&sent("", now)).expect(401);
    world.send(&signed(now - 3_600_000)).expect(401);
    let answer = expect(world.send(&signed(now)), 202, "accepted");
    assert_eq!(answer.json()["jobs"][0]["target"], "blog/live");
    world.settled();
    assert_eq!(world.served(), "one");
    assert!(world.send(&sent(SECRET, now)).status < 300);
    let file = world.path("payload.json");
    fs::write(&file, &body).unwrap();
    let told = world
        .hookd(&["explain", file.to_str().unwrap(), "--json"])
        .expect(0)
        .json();
    assert_eq!((&told["forge"], &told["event"]), (&"gitee".into(), &"Push Hook".into()));
}

#[test]
fn a_stored_delivery_is_explained_in_the_same_words_as_a_file() {
    let world = blog("url = \"$DIR/site.git\"\nfull_name = \"acme/blog\"\nforge = \"github\"");
    let body = String::from_utf8(case("org-other-repo.json"))
        .unwrap()
        .replace("acme/other", "acme/blog");
    let body = body.replace("refs/heads/main", "refs/heads/draft");
    let push = github("/hook/blog", "push", body.clone()).header("X-GitHub-Delivery", "E1");
    expect(world.send(&push), 200, "ignored");
    fs::write(world.path("payload.json"), &body).unwrap();
    let file = world.path("payload.json");
    let of_file = world
        .hookd(&["explain", file.to_str().unwrap(), "-H", "X-GitHub-Event: push"])
        .expect(0)
        .out;
    let of_id = world.hookd(&["explain", "E1"]).expect(0).out;
    let verdicts = |text: &str| text[text.find("event ").unwrap()..].to_owned();
    assert_eq!(verdicts(&of_file), verdicts(&of_id));
    assert!(
        of_id.starts_with("came in ") && of_id.contains("ignored, blog/live: branch draft is not main"),
        "{of_id}"
    );
    let json = world.hookd(&["explain", "E1", "--json"]).expect(0).json();
    assert_eq!(
        (&json["signature"], &json["came"]["result"]),
        (&"valid".into(), &"ignored".into())
    );
}

#[test]
fn sent_twice_it_is_two_deliveries_with_a_real_before() {
    let world = blog("url = \"$DIR/site.git\"\nfull_name = \"acme/blog\"\nforge = \"github\"");
    let Address::Tcp(address) = world.address() else {
        unreachable!()
    };
    let url = format!("http://{address}/hook/blog");
    let send = || world.hookd(&["send", "blog", "--url", &url, "--json"]).expect(0).json();
    let one = world.site.publish("one");
    assert_eq!(send()["answer"]["status"], "accepted");
    world.settled();
    let two = world.site.publish("two");
    let first = send();
    world.settled();
    let second = send();
    world.settled();
    assert_eq!(
        (&first["answer"]["status"], &second["answer"]["status"]),
        (&"accepted".into(), &"accepted".into())
    );
    assert_ne!(first["answer"]["delivery"], second["answer"]["delivery"]);
    for sent in [first, second] {
        let id = sent["answer"]["delivery"].as_str().unwrap();
        let told = world.hookd(&["explain", id, "--json"]).expect(0).json();
        assert_eq!(
            (&told["events"][0]["before"], &told["events"][0]["after"]),
            (&one.clone().into(), &two.clone().into())
        );
    }
}
