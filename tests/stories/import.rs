//! Who comes from another program gets a configuration of hookd's, and is told what is not in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::daemon::text_of;
use crate::support::world::{Said, World};

/// Every key and every rule of webhook's manual.
const HOOKS: &str = r#"[
  {
    "id": "blog",
    "execute-command": "/opt/hooks/deploy blog.sh",
    "command-working-directory": "/var/www/blog",
    "response-message": "ok",
    "response-headers": [{ "name": "X-A", "value": "b" }],
    "success-http-response-code": 201,
    "incoming-payload-content-type": "application/json",
    "http-methods": ["POST"],
    "include-command-output-in-response": true,
    "include-command-output-in-response-on-error": true,
    "parse-parameters-as-json": [{ "source": "payload", "name": "a" }],
    "pass-arguments-to-command": [
      { "source": "string", "name": "it's" },
      { "source": "payload", "name": "ref" },
      { "source": "payload", "name": "head_commit.id" },
      { "source": "header", "name": "X-GitHub-Event" },
      { "source": "entire-payload" },
      { "source": "url", "name": "q" }
    ],
    "pass-environment-to-command": [
      { "source": "string", "envname": "STAGE", "name": "live" },
      { "source": "payload", "envname": "WHO", "name": "pusher.name" }
    ],
    "pass-file-to-command": [
      { "source": "entire-payload", "envname": "PAYLOAD" },
      { "source": "payload", "name": "binary", "base64decode": true }
    ],
    "trigger-rule-mismatch-http-response-code": 400,
    "pre-hook-command": "/bin/true",
    "trigger-rule": { "and": [
      { "match": { "type": "payload-hmac-sha256", "secret": "s3cret-of-blog", "parameter": { "source": "header", "name": "X-Hub-Signature-256" } } },
      { "match": { "type": "value", "value": "alice/blog", "parameter": { "source": "payload", "name": "repository.full_name" } } },
      { "or": [
        { "match": { "type": "value", "value": "refs/heads/main", "parameter": { "source": "payload", "name": "ref" } } },
        { "match": { "type": "regex", "regex": "^refs/heads/release/.*$", "parameter": { "source": "payload", "name": "ref" } } },
        { "match": { "type": "value", "value": "ping", "parameter": { "source": "header", "name": "X-GitHub-Event" } } }
      ] },
      { "match": { "type": "ip-whitelist", "ip-range": "192.168.0.1/24" } },
      { "not": { "match": { "type": "value", "value": "refs/heads/wip", "parameter": { "source": "payload", "name": "ref" } } } },
      { "match": { "type": "scalr-signature", "secret": "other-s3cret" } },
      { "match": { "type": "value", "value": "t0ken-in-url", "parameter": { "source": "url", "name": "token" } } }
    ] }
  },
  { "id": "my site", "execute-command": "/opt/hooks/site", "unheard-of": 1,
    "trigger-rule": { "match": { "type": "value", "value": "gl-t0ken-of-site", "parameter": { "source": "header", "name": "X-Gitlab-Token" } } } },
  { "id": "custom", "execute-command": "/opt/hooks/custom",
    "trigger-rule": { "match": { "type": "payload-hash-sha512", "secret": "s3cret-of-custom", "parameter": { "source": "header", "name": "X-Signature" } } } }
]
"#;

/// Imports a file into `out.toml`, which `hookd check` must find right.
fn imported(world: &World, file: &str, more: &[&str]) -> (Said, String) {
    let (from, out) = (
        world.path(file).display().to_string(),
        world.path("out.toml").display().to_string(),
    );
    let mut arguments = vec!["import", &from, "--output", &out];
    arguments.extend(more);
    let said = world.hookd(&arguments).expect(0);
    let mut check = world.hookd_command(&["check"]);
    check.arg("--config").arg(&out);
    let checked = check.output().unwrap();
    assert!(
        checked.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&checked.stderr),
        text_of(&world.path("out.toml"))
    );
    (said, text_of(&world.path("out.toml")))
}

#[track_caller]
fn says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_hooks_json_with_every_feature_of_its_manual_is_carried_over_or_told_of() {
    let world = World::still("");
    fs::write(world.path("hooks.json"), HOOKS).unwrap();
    let (said, text) = imported(&world, "hooks.json", &[]);
    says(
        &text,
        &[
            "[repo.blog]\nurl = \"https://github.com/alice/blog.git\"\nforge = \"github\"\nfull_name = \"alice/blog\"",
            "allow_from = \"192.168.0.0/24\"",
            "branch = [\"main\", \"release/**\"]",
            r#"export WHO=\"$HOOKD_PUSHER\"\nexport PAYLOAD=\"$HOOKD_PAYLOAD_FILE\""#,
            r#"'/opt/hooks/deploy blog.sh' 'it'\\''s' \"$HOOKD_REF\" \"$HOOKD_COMMIT\" \"$HOOKD_EVENT\" \"$(cat \"$HOOKD_PAYLOAD_FILE\")\" ''"#,
            "env = { STAGE = \"live\" }",
            "[repo.my-site]",
            "forge = \"gitlab\"",
            "generic.header = \"X-Signature\"\ngeneric.algorithm = \"sha512\"",
        ],
    );
    for (place, word) in [
        ("6:5", "response-message"),
        ("7:5", "response-headers"),
        ("8:5", "success-http-response-code"),
        ("9:5", "incoming-payload-content-type"),
        ("10:5", "http-methods"),
        ("11:5", "include-command-output-in-response"),
        ("12:5", "include-command-output-in-response-on-error"),
        ("13:5", "parse-parameters-as-json"),
        ("20:7", "url `q`"),
        ("28:7", "binary"),
        ("30:5", "trigger-rule-mismatch-http-response-code"),
        ("31:5", "pre-hook-command"),
        ("41:9", "`not`"),
        ("42:20", "Scalr"),
        ("43:20", "token in url"),
        ("46:60", "unheard-of"),
    ] {
        let found = said
            .err
            .lines()
            .any(|line| line.contains(&format!("hooks.json:{place}: ")) && line.contains(word));
        assert!(found, "{place} {word}: {}", said.err);
    }
    // Secrets are in files of their own, and nowhere else.
    for (file, secret) in [
        ("blog", "s3cret-of-blog"),
        ("my-site", "gl-t0ken-of-site"),
        ("custom", "s3cret-of-custom"),
    ] {
        let file = world.path(&format!("hookd/{file}.secret"));
        assert_eq!(text_of(&file).trim_end(), secret);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(!text.contains(secret) && !format!("{said:?}").contains(secret));
    }
    let again = world.path("hooks.json").display().to_string();
    let out = world.path("out.toml").display().to_string();
    let refused = world.hookd(&["import", &again, "--output", &out]).expect(1);
    assert!(refused.err.contains("nothing was overwritten"), "{refused:?}");
    assert_eq!(text_of(&world.path("out.toml")), text);
    let shown = world.hookd(&["import", &again]).expect(0);
    assert!(
        shown.out.contains("[repo.blog]") && shown.err.contains("--secrets"),
        "{shown:?}"
    );
    assert!(!format!("{shown:?}").contains("s3cret-of-blog"));
}

#[test]
fn yaml_snare_and_webhookd_are_read_too() {
    let world = World::still("");
    fs::write(
        world.path("hooks.yaml"),
        "- &base\n  id: blog\n  execute-command: /opt/blog\n  trigger-rule:\n    and:\n      - match:\n          type: payload-hmac-sha1\n          \
         secret: s3cret-of-yaml\n          parameter: {source: header, name: X-Hub-Signature}\n      - match:\n          type: value\n          value: \
         refs/tags/v1\n          parameter:\n            source: payload\n            name: ref\n",
    )
    .unwrap();
    let (_, text) = imported(
        &world,
        "hooks.yaml",
        &["--url", "https://git.example.org/alice/blog.git"],
    );
    says(
        &text,
        &[
            "url = \"https://git.example.org/alice/blog.git\"",
            "tag = \"v1\"",
            "reload = \"/opt/blog\"",
        ],
    );
    fs::remove_file(world.path("out.toml")).unwrap();
    fs::remove_dir_all(world.path("hookd")).unwrap();

    let snare = "// all\nlisten = \"127.0.0.1:8765\";\nmaxjobs = 3;\ngithub {\n  match \".*\" {\n    email = \"ops@example.org\";\n    secret = \
                 \"s3cret-of-all\";\n  }\n  match \"alice/blog\" {\n    cmd = \"/opt/snare/%o/%r %e %j\";\n    queue = evict;\n    timeout = 60;\n    \
                 secret = \"s3cret-of-snare\";\n  }\n}\n";
    fs::write(world.path("snare.conf"), snare).unwrap();
    let (said, text) = imported(&world, "snare.conf", &[]);
    says(
        &text,
        &[
            "listen = \"127.0.0.1:8765\"\nmax_jobs = 3",
            "url = \"https://github.com/alice/blog.git\"",
            r#"reload = "/opt/snare/alice/blog push \"$HOOKD_PAYLOAD_FILE\"""#,
            "timeout = \"60s\"\nqueue = \"latest\"",
        ],
    );
    says(&said.err, &["snare.conf:6:5: alice/blog: `email` is not carried over"]);
    assert_eq!(text_of(&world.path("hookd/blog.secret")).trim_end(), "s3cret-of-snare");
    fs::remove_file(world.path("out.toml")).unwrap();
    fs::remove_dir_all(world.path("hookd")).unwrap();

    let webhookd = "listen_addr = \"127.0.0.1:8000\"\n[[project]]\nname = \"blog\"\nevent = \"push\"\nexec = \"make deploy\"\nworking_directory = \
                    \"/srv/src\"\nstdout = \"out.log\"\nsecret = \"s3cret-of-webhookd\"\nsave_body = true\n";
    fs::write(world.path("webhookd.toml"), webhookd).unwrap();
    let (said, text) = imported(&world, "webhookd.toml", &[]);
    says(
        &text,
        &[
            "listen = \"127.0.0.1:8000\"",
            r#"reload = "export WEBHOOKD_BODY=\"$HOOKD_PAYLOAD_FILE\"\ncd /srv/src\nmake deploy""#,
        ],
    );
    says(
        &said.err,
        &["webhookd.toml:7:1: project `blog`: `stdout` is not carried over"],
    );
}

#[test]
fn what_is_no_such_file_is_refused_with_its_place() {
    let world = World::still("");
    for (name, content, place, word) in [
        ("a.json", "[\n  { \"id\": \"x\", }\n]", "2:16", "not valid JSON"),
        ("b.json", "{ \"id\": \"x\" }", "1:1", "not a list of hooks"),
        ("c.json", "[ { \"id\": \"x\" } ]", "1:3", "`execute-command`"),
        ("d.json", "[ { \"id\": \"{{ getenv \"A\" }}\" } ]", "1:23", "template"),
        ("e.yaml", "- id: x\n  execute-command: [", "", "not valid YAML"),
        (
            "f.conf",
            "listen = \"127.0.0.1:1\"\ngithub { match x { } }",
            "2:1",
            "`;` is expected",
        ),
        ("g.toml", "[[project]]\nname = \n", "2:8", "not valid TOML"),
        ("h.toml", "[[project]]\nname = \"x\"\n", "1:1", "`exec`"),
        ("i.conf", "what is it?", "", "--format"),
    ] {
        fs::write(world.path(name), content).unwrap();
        let file = world.path(name).display().to_string();
        let said = world.hookd(&["import", &file]).expect(1);
        let at = if place.is_empty() {
            format!("{name}:")
        } else {
            format!("{name}:{place}: ")
        };
        assert!(said.err.contains(&at) && said.err.contains(word), "{name}: {said:?}");
        assert_eq!(said.out, "", "{name}");
    }
    // A text of aliases of aliases ends before the memory does.
    let mut bomb = "- &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let ten = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.extend(["- &a", &n.to_string(), " [", &ten, "]\n"]);
    }
    fs::write(world.path("bomb.yaml"), bomb).unwrap();
    let said = world
        .hookd(&["import", &world.path("bomb.yaml").display().to_string()])
        .expect(1);
    assert!(said.err.contains("values"), "{said:?}");
    world.hookd(&["import", "/no/such/file"]).expect(1);
}

#[test]
fn what_lies_about_in_other_directories_is_not_waited_for_and_hides_nothing() {
    let world = World::still_site("");
    // Where the program that is left behind worked, others may have put anything.
    fs::create_dir_all(world.path("work/.git")).unwrap();
    nix::unistd::mkfifo(&world.path("work/.git/config"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", world.path("work/config")).unwrap();
    let work = world.path("work").display().to_string();
    let hooks = serde_json::json!([{
        "id": "blog\nhookd: all is well", "execute-command": "/bin/a\u{9b}31m\u{202e}\u{e0041}b",
        "command-working-directory": work,
    }]);
    fs::write(world.path("hooks.json"), hooks.to_string()).unwrap();
    let (said, text) = imported(&world, "hooks.json", &[]);
    says(&text, &["\\u009b31m\\u202e\\U000e0041b"]);
    assert!(!said.err.lines().any(|line| line.starts_with("hookd:")), "{}", said.err);
    // What a template makes of it comes through a pipe.
    let mut command = world.hookd_command(&["import", "/dev/stdin", "--format", "webhook-json"]);
    let pipe = fs::File::open(world.path("hooks.json")).unwrap();
    let piped = command.stdin(pipe).output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
}

#[test]
fn a_directory_of_capistrano_is_adopted_and_its_current_is_never_torn() {
    let mut world = World::still("");
    world.site.publish("one");
    // The directory as Capistrano leaves it.
    let (old, shared) = (world.path("live/releases/20240102030405"), world.path("live/shared"));
    fs::create_dir_all(old.join("config")).unwrap();
    fs::create_dir_all(shared.join("uploads")).unwrap();
    fs::create_dir_all(shared.join("config")).unwrap();
    fs::create_dir_all(world.path("live/repo")).unwrap();
    fs::write(shared.join("uploads/cat"), "meow").unwrap();
    fs::write(shared.join("config/app.env"), "A=b").unwrap();
    fs::write(old.join("index.html"), "of capistrano").unwrap();
    fs::write(old.join("REVISION"), world.site.head()).unwrap();
    symlink(shared.join("uploads"), old.join("uploads")).unwrap();
    symlink("../../../shared/config/app.env", old.join("config/app.env")).unwrap();
    let origin = format!(
        "[core]\n\tbare = true\n[remote \"origin\"]\n\turl = {}\n",
        world.site.bare.display()
    );
    fs::write(world.path("live/repo/config"), origin).unwrap();
    fs::write(
        world.path("live/revisions.log"),
        "Branch main (at 1a2b3c4) deployed as release 20240102030405 by alice\n",
    )
    .unwrap();
    symlink(&old, world.path("live/current")).unwrap();

    let (said, text) = imported(&world, "live", &[]);
    says(
        &text,
        &["branch = \"main\"", "shared = [\"config/app.env\", \"uploads/\"]"],
    );
    says(&said.err, &["20240102030405"]);
    assert_eq!(fs::read_link(world.path("live/current")).unwrap(), old);
    // A first release that fails its check, and then a good one; somebody looks at the site all the while.
    let text = text.replace("[repo.live]\n", "[repo.live]\npoll = \"off\"\n");
    world.configure(&format!(
        "{text}check = \"test ! -e $HOOKD_PATH/current/bad\"\ncheck_timeout = \"1s\"\n"
    ));
    world.site.commit(&[("bad", "x")]);
    world.site.publish("two");
    let (page, stop) = (world.path("live/current/index.html"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let served = fs::read_to_string(&page).expect("the site is whole");
                assert!(["of capistrano", "two", "three"].contains(&served.as_str()), "{served}");
                fs::read_to_string(old.join("index.html")).expect("its old path is whole");
            }
        });
        world.start();
        world.hookd(&["deploy", "live"]).expect(1);
        world.settled();
        assert_eq!(world.served(), "of capistrano");
        world.site.git(&["rm", "-q", "bad"]);
        world.site.publish("three");
        world.hookd(&["deploy", "live"]).expect(0);
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(world.served(), "three");
    assert_eq!(text_of(&world.path("live/current/uploads/cat")), "meow");
    assert_eq!(text_of(&world.path("live/current/config/app.env")), "A=b");
    assert_eq!(text_of(&old.join("index.html")), "of capistrano");
}
