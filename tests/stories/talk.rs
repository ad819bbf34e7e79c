//! What is told of a push: on the commit, in the chat, by mail.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::daemon::text_of;
use crate::support::forge::SECRET;
use crate::support::receiver::{Received, Receiver, Reply, plain};
use crate::support::world::{World, wait_until};

/// A site whose forge is GitHub, with this API, and these keys of the repo and the target.
pub(super) fn with_github(api: &Receiver, repo: &str, target: &str) -> World {
    let world = World::still(&format!(
        r#"
[http]
public_url = "https://deploy.example.org/hookd/"
[forge.github]
url = "{}"
token = "file:$DIR/token"
$SITE
poll = "off"
{repo}
$LIVE
{target}
"#,
        api.url("/api/v3/")
    ));
    world.write_secret("token", "t0ken-of-the-api");
    world
}

/// What GitHub's own description allows: it refuses what is missing, unknown or too long.
pub(super) fn github(asked: &Received) -> Reply {
    let known = |keys: &[&str]| {
        asked
            .body
            .as_object()
            .is_some_and(|o| o.keys().all(|key| keys.contains(&key.as_str())))
    };
    let state = asked.body["state"].as_str().unwrap_or_default();
    let short = asked.body["description"]
        .as_str()
        .is_none_or(|text| text.chars().count() <= 140);
    let path = asked.path.trim_start_matches("/api/v3");
    let bad = || plain(422, r#"{"message":"Validation Failed"}"#);
    if asked.header("authorization") != "Bearer t0ken-of-the-api" {
        return plain(401, r#"{"message":"Bad credentials"}"#);
    }
    if path.starts_with("/repos/alice/site/statuses/") {
        let states = ["error", "failure", "pending", "success"];
        let good = known(&["state", "target_url", "description", "context"]) && states.contains(&state) && short;
        return if good { plain(201, "{}") } else { bad() };
    }
    if path == "/repos/alice/site/deployments" {
        let keys = ["ref", "environment", "auto_merge", "required_contexts", "description"];
        return if known(&keys) {
            plain(201, r#"{"id":4711}"#)
        } else {
            bad()
        };
    }
    if path.starts_with("/repos/alice/site/deployments/4711/statuses") {
        let states = [
            "error",
            "failure",
            "inactive",
            "in_progress",
            "queued",
            "pending",
            "success",
        ];
        let keys = ["state", "description", "auto_inactive", "log_url", "environment_url"];
        let good = known(&keys) && states.contains(&state) && short;
        return if good { plain(201, "{}") } else { bad() };
    }
    plain(404, r#"{"message":"Not Found"}"#)
}

/// The states that a commit was given, in order.
pub(super) fn states(api: &Receiver, commit: &str) -> Vec<String> {
    let of_commit = |asked: &Received| asked.path.ends_with(&format!("/statuses/{commit}"));
    let state = |asked: Received| asked.body["state"].as_str().unwrap_or_default().to_owned();
    let mut states: Vec<String> = api.told().into_iter().filter(of_commit).map(state).collect();
    states.dedup();
    states
}

/// Waits until this is the last state of a commit.
#[track_caller]
pub(super) fn shows(api: &Receiver, commit: &str, state: &str) {
    wait_until(&format!("{commit} is {state}"), || {
        states(api, commit).last().is_some_and(|last| last == state)
    });
}

#[test]
fn a_push_is_pending_and_then_its_outcome_with_the_reason_and_a_link() {
    let api = Receiver::new(github);
    let mut world = with_github(&api, "", "build = \"$DIR/gate build; test ! -e bad\"\n");
    let gate = world.gate("build");
    world.start();
    let commit = world.push("one");
    shows(&api, &commit, "pending");
    gate.reached().open();
    shows(&api, &commit, "success");
    assert_eq!(states(&api, &commit), ["pending", "success"]);
    let last = api.told().pop().unwrap();
    assert_eq!(last.body["context"], "hookd/site/live");
    let link = last.body["target_url"].as_str().unwrap();
    assert!(
        link.starts_with("https://deploy.example.org/hookd/deployments/"),
        "{link}"
    );

    world.site.commit(&[("bad", "x")]);
    let bad = world.push("two");
    shows(&api, &bad, "failure");
    let said = api.told().pop().unwrap().body["description"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(said.contains("build"), "{said}");
    assert!(!states(&api, &bad).contains(&"success".to_owned()));
    assert!(!world.log().contains("t0ken-of-the-api"));
}

#[test]
fn a_rollback_is_a_failure_on_the_commit_and_what_was_replaced_is_inactive() {
    let api = Receiver::new(github);
    let mut world = with_github(
        &api,
        "report = [\"status\", \"deployment\"]\n",
        "check = \"test ! -e bad\"\ncheck_timeout = \"1s\"\nurl = \"https://site.example.org/\"\nenvironment = \"prod\"\n",
    );
    world.start();
    let first = world.deploy("one");
    shows(&api, &first, "success");
    world.site.commit(&[("bad", "x")]);
    let bad = world.deploy("two");
    shows(&api, &bad, "failure");
    world.site.git(&["rm", "-q", "bad"]);
    let third = world.deploy("three");
    shows(&api, &third, "success");
    let deployed = |state: &str| {
        let of_deployment = |asked: &Received| asked.path.contains("/deployments/") && asked.body["state"] == state;
        api.told().into_iter().filter(of_deployment).count()
    };
    wait_until("the first is inactive", || deployed("inactive") > 0);
    assert!(deployed("failure") > 0 && deployed("success") >= 2);
    let made: Vec<Value> = api
        .told()
        .into_iter()
        .filter(|asked| asked.path.ends_with("/deployments"))
        .map(|asked| asked.body)
        .collect();
    assert_eq!(made[0]["ref"], first.as_str());
    assert_eq!(
        (&made[0]["environment"], &made[0]["auto_merge"]),
        (&json!("prod"), &json!(false))
    );
    let live = api
        .told()
        .into_iter()
        .find(|asked| asked.body["environment_url"].is_string());
    assert_eq!(live.unwrap().body["environment_url"], "https://site.example.org/");
}

#[test]
fn a_forge_that_is_down_is_told_the_last_state_alone_also_by_the_next_daemon() {
    let api = Receiver::new(|_| plain(502, ""));
    let mut world = with_github(&api, "", "");
    world.start();
    let commit = world.deploy("one");
    wait_until("it was tried", || !api.told().is_empty());
    world.kill();
    api.answer(github);
    let tried = api.told().len();
    world.start();
    wait_until("the next daemon tells it", || api.told().len() > tried);
    let told = &api.told()[tried];
    assert!(
        told.path.ends_with(&commit) && told.body["state"] == "success",
        "{told:?}"
    );
}

#[test]
fn a_pause_that_the_forge_asks_for_is_kept_and_a_refusal_is_told_once() {
    let mut answers = 0;
    let api = Receiver::new(move |asked| {
        answers += i32::from(asked.method != "GET");
        if answers == 1 {
            return (429, vec![("Retry-After", "1".to_owned())], String::new());
        }
        github(asked)
    });
    let mut world = with_github(&api, "", "");
    world.start();
    let commit = world.deploy("one");
    shows(&api, &commit, "success");

    api.answer(|_| plain(403, r#"{"message":"Resource not accessible by personal access token"}"#));
    let refused = world.deploy("two");
    let needs = "Commit statuses: write";
    wait_until("the missing permission is named", || world.log().contains(needs));
    let count = |commit: &str| api.told().iter().filter(|asked| asked.path.ends_with(commit)).count();
    // What it is told last, since each state is told, and refused, once.
    wait_until("the end was told", || {
        states(&api, &refused).last().is_some_and(|state| state == "success")
    });
    let before = count(&refused);
    world.deploy("three");
    wait_until("the next one was tried", || {
        api.told().last().is_some_and(|asked| !asked.path.ends_with(&refused))
    });
    assert_eq!(count(&refused), before);
    wait_until("it is a problem", || {
        world.target("site/live")["problems"][0]["code"] == "report-failing"
    });
    let problem = &world.target("site/live")["problems"][0];
    assert!(problem["text"].as_str().unwrap().contains(needs), "{problem}");
    assert_eq!(problem["hint"], "hookd report test site");
    let said = world.hookd(&["report", "test", "site"]).expect(1);
    assert!(said.err.contains("403") && said.err.contains(needs), "{said:?}");
    api.answer(github);
    let said = world.hookd(&["report", "test", "site"]).expect(0);
    assert!(said.out.contains("hookd/site/test"), "{said:?}");
    wait_until("it is none any more", || {
        world.target("site/live")["problems"][0].is_null()
    });
}

#[test]
fn reports_that_are_off_tell_nobody() {
    let api = Receiver::new(github);
    let mut world = with_github(&api, "report = \"off\"\n", "");
    world.start();
    world.deploy("one");
    world.get("/api/v1/status");
    assert!(api.told().is_empty());
}

// ---- Notifications ----

/// A site that tells these channels.
fn telling(channels: &str, names: &str, target: &str) -> World {
    World::still(&format!(
        r#"
{channels}
$SITE
poll = "off"
$LIVE
notify = [{names}]
{target}
"#
    ))
}

/// What each chat refuses, refused.
fn chat(asked: &Received) -> Reply {
    let text = |pointer: &str| {
        asked
            .body
            .pointer(pointer)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    let only = |keys: &[&str]| {
        asked
            .body
            .as_object()
            .is_some_and(|o| o.keys().all(|key| keys.contains(&key.as_str())))
    };
    let good = match asked.path.as_str() {
        "/slack" => only(&["text", "blocks", "attachments"]) && text("/text"),
        "/discord" => only(&["embeds", "allowed_mentions", "content"]) && text("/embeds/0/description"),
        "/mattermost" => only(&["text"]) && text("/text"),
        "/ntfy" => text("/topic") && text("/title") && asked.header("authorization") == "Bearer tk_1234567",
        path if path.starts_with("/_matrix/client/v3/rooms/!r:example.org/send/m.room.message/") => {
            asked.method == "PUT" && text("/body") && asked.header("authorization") == "Bearer tk_1234567"
        }
        _ => false,
    };
    if good {
        plain(200, "ok")
    } else {
        plain(400, "invalid_payload")
    }
}

#[test]
fn each_chat_gets_what_it_takes_on_changes_of_state_alone() {
    let receiver = Receiver::new(chat);
    let kinds = ["slack", "discord", "mattermost"];
    let channel = |kind| format!("[notify.{kind}]\nkind = \"{kind}\"\nurl = \"file:$DIR/url-{kind}\"\n");
    let mut channels = kinds.map(channel).concat();
    let more = format!(
        "[notify.ntfy]\nkind = \"ntfy\"\nurl = \"{}\"\ntoken = \"file:$DIR/chat-token\"\n[notify.matrix]\nkind = \"matrix\"\nurl = \
         \"{}\"\nroom = \"!r:example.org\"\ntoken = \"file:$DIR/chat-token\"\n",
        receiver.url("/ntfy/deploys"),
        receiver.url("/")
    );
    channels.push_str(&more);
    let names = "\"slack\", \"discord\", \"mattermost\", \"ntfy\", \"matrix\"";
    let mut world = telling(
        &channels,
        names,
        "build = \"echo the-$(cat index.html)-and-$(cat $DIR/secret); test ! -e bad\"\n",
    );
    for kind in kinds {
        world.write_secret(&format!("url-{kind}"), &receiver.url(&format!("/{kind}")));
    }
    world.write_secret("chat-token", "tk_1234567");
    world.start();
    let heard = |count: usize| wait_until("all have heard", || receiver.told().len() >= count);
    world.deploy("one");
    heard(5);
    // Again live is no change of state.
    world.deploy("two");
    world.site.commit(&[("bad", "x")]);
    world.deploy("<!channel> @everyone broke it");
    heard(10);
    world.site.commit(&[("worse", "x")]);
    world.deploy("still broken");
    world.site.git(&["rm", "-q", "bad"]);
    world.deploy("mended");
    heard(15);
    let all = receiver.told();
    assert_eq!(all.len(), 15, "{all:#?}");
    let slack: Vec<String> = all
        .iter()
        .filter(|r| r.path == "/slack")
        .map(|r| r.body.to_string())
        .collect();
    assert!(slack[0].contains("is live for the first time"), "{slack:?}");
    assert!(
        slack[1].contains("failed") && !slack[1].contains("<!channel>"),
        "{slack:?}"
    );
    // What the build printed is there, but for the secret that it printed.
    assert!(
        slack[1].contains("broke it") && !slack[1].contains(SECRET) && slack[1].contains("***"),
        "{slack:?}"
    );
    assert!(slack[2].contains("is live again"), "{slack:?}");
}

#[test]
fn a_channel_that_refuses_is_told_once_and_holds_up_no_other() {
    let receiver = Receiver::new(|asked| match asked.path.as_str() {
        "/good" => plain(204, ""),
        _ => plain(404, "no_service"),
    });
    let channels = format!(
        "[notify.bad]\nurl = \"{}\"\non = \"live\"\n[notify.good]\nurl = \"{}\"\non = \"live\"\nsecret = \"file:$DIR/signing\"\n",
        receiver.url("/gone"),
        receiver.url("/good")
    );
    let mut world = telling(&channels, "\"bad\", \"good\"", "");
    world.write_secret("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    world.start();
    let commit = world.deploy("one");
    wait_until("the good one has heard", || {
        receiver.told().iter().any(|r| r.path == "/good")
    });
    wait_until("the bad one is given up", || {
        world.log().contains("notify bad: given up")
    });
    assert_eq!(receiver.told().iter().filter(|r| r.path == "/gone").count(), 1);
    let good = receiver.told().into_iter().find(|r| r.path == "/good").unwrap();
    assert_eq!(good.body["outcome"], "live");
    assert_eq!(good.body["data"]["after"], commit.as_str());
    assert!(good.header("webhook-signature").starts_with("v1,") && !good.header("webhook-id").is_empty());
    let said = world.hookd(&["notify", "test", "bad"]).expect(1);
    assert!(said.err.contains("404 no_service"), "{said:?}");
    world.hookd(&["notify", "test", "good"]).expect(0);
    let said = world.hookd(&["notify", "test", "god"]).expect(3);
    assert!(said.err.contains("bad, good"), "{said:?}");
}

/// Going back reloads once more, which prints something else.
#[test]
fn a_rollback_is_told_with_what_the_failed_phase_printed() {
    let receiver = Receiver::new(|_| plain(204, ""));
    let channel = format!("[notify.hook]\nurl = \"{}\"\non = \"rolled-back\"\n", receiver.url("/"));
    let keys = "reload = \"echo reloads $(cat index.html); test ! -e bad-reload\"\ncheck = \"echo looks at $(cat index.html); test ! -e bad\"\ncheck_timeout = \"1s\"\n";
    let mut world = telling(&channel, "\"hook\"", keys);
    world.start();
    world.deploy("one");
    for (at, (file, phase, printed)) in [
        ("bad", "check", "looks at bad"),
        ("bad-reload", "reload", "reloads bad-reload"),
    ]
    .iter()
    .enumerate()
    {
        world.site.commit(&[(file, "x")]);
        world.deploy(file);
        assert_eq!(
            (&world.last()["outcome"], &world.last()["phase"]),
            (&json!("rolled-back"), &json!(phase))
        );
        wait_until("the failure is told", || receiver.told().len() > at);
        let output = receiver.told().pop().unwrap().body["output"].clone();
        let lines = output.as_array().unwrap();
        assert!(
            !lines.is_empty() && lines.iter().all(|line| line == printed),
            "{output}"
        );
        world.site.git(&["rm", "-q", file]);
        world.deploy("mended");
    }
}

#[test]
fn a_command_is_given_the_message_and_the_text_of_its_template() {
    let command = "printenv HOOKD_TEXT > $DIR/text; printenv HOOKD_MESSAGE > $DIR/new; mv $DIR/new $DIR/message";
    let channel = format!(
        "[notify.script]\nkind = \"command\"\ncommand = \"{command}\"\non = \"live\"\ntemplate = \"{{target}} {{outcome}}: {{subject}}\"\n"
    );
    let mut world = telling(&channel, "\"script\"", "");
    world.start();
    let commit = world.deploy("one");
    wait_until("the command has run", || world.path("message").exists());
    let message: Value = serde_json::from_str(&text_of(&world.path("message"))).unwrap();
    assert_eq!(
        (&message["outcome"], &message["commit"]),
        (&json!("live"), &json!(commit))
    );
    assert_eq!(text_of(&world.path("text")).trim_end(), "site/live live: one");
}

#[test]
fn another_hookd_deploys_when_this_one_went_live() {
    let mut docs = World::still(
        "[repo.docs]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"standard\"\nsecret = \
         \"file:$DIR/signing\"\npoll = \"off\"\n[repo.docs.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n",
    );
    docs.write_secret("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    docs.site.publish("docs");
    docs.start();
    wait_until("nothing is live there", || docs.target("docs/live")["live"].is_null());
    let crate::support::http::Address::Tcp(address) = docs.address() else {
        panic!("a TCP address")
    };
    let channel =
        format!("[notify.docs]\nurl = \"http://{address}/hook/docs\"\non = \"live\"\nsecret = \"file:$DIR/signing\"\n");
    let mut library = telling(&channel, "\"docs\"", "");
    library.write_secret("signing", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    library.start();
    library.deploy("library");
    wait_until("the docs are live", || {
        docs.get("/api/v1/deliveries")
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["result"] == "accepted"))
    });
    docs.settled();
    assert_eq!(docs.served(), "docs");
}

/// A real mail server with TLS, and what it took; it ends with the test.
struct MailServer {
    process: std::process::Child,
    port: u16,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SERVER: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
directory, tls = sys.argv[1], sys.argv[2]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(directory + "/cert.pem", directory + "/key.pem")
class Keep:
    async def handle_DATA(self, server, session, envelope):
        if "refused@example.org" in envelope.rcpt_tos:
            return "550 no such user"
        with open(directory + "/mail", "ab") as mail:
            mail.write(envelope.content)
        return "250 OK"
def login(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"hookd" and data.password == b"mail-passw0rd")
options = dict(authenticator=login, auth_required=True)
if tls == "smtps":
    options.update(auth_require_tls=False)
else:
    options.update(tls_context=context, require_starttls=True)
async def serve():
    loop = asyncio.get_running_loop()
    wrapped = context if tls == "smtps" else None
    server = await loop.create_server(lambda: SMTP(Keep(), loop=loop, **options), "127.0.0.1", 0, ssl=wrapped)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(serve())
"#;

fn mail_server(world: &World, tls: &str) -> MailServer {
    use std::io::BufRead;
    let dir = world.dir();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(dir.join("key.pem"))
        .arg("-out")
        .arg(dir.join("cert.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    // Debian's Python, which has Debian's aiosmtpd.
    let mut process = Command::new("/usr/bin/python3")
        .args(["-c", SERVER])
        .arg(dir)
        .arg(tls)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = line.trim().parse().unwrap();
    MailServer { process, port }
}

#[test]
fn mail_is_sent_over_tls_to_a_real_server() {
    for tls in ["smtps", "smtp"] {
        let mut world = telling("", "", "");
        let server = mail_server(&world, tls);
        let of = |to: &str| {
            format!(
                "smtp = \"{tls}://localhost:{}\"\nusername = \"hookd\"\npassword = \"file:$DIR/mail-password\"\nfrom = \"hookd \
                 <hookd@example.org>\"\nto = \"{to}\"\non = \"live\"\n",
                server.port
            )
        };
        let channels = format!(
            "[notify.mail]\n{}[notify.nobody]\n{}",
            of("ops@example.org"),
            of("refused@example.org")
        );
        let config = format!(
            "{channels}[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\nsecret = \
             \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\nnotify = \
             [\"mail\", \"nobody\"]\n"
        );
        world.configure(&config);
        world.write_secret("mail-password", "mail-passw0rd");
        world.before_start("export SSL_CERT_FILE=$DIR/cert.pem");
        world.start();
        world.deploy("Ünïcode & <b>");
        let mail = || std::fs::read_to_string(world.path("mail")).unwrap_or_default();
        wait_until("the mail is there", || {
            assert!(!world.log().contains("notify mail:"), "{}", world.log());
            mail().contains("Subject: site/live is live")
        });
        assert!(
            mail().contains("text/plain")
                && mail().contains("text/html")
                && mail().contains("Auto-Submitted: auto-generated")
        );
        wait_until("the refusal is told", || {
            world.log().contains("notify nobody: given up")
        });
        assert!(!world.log().contains("mail-passw0rd"));
        drop(server);
    }
}
