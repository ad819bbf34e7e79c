//! The JSON Schema judges configurations as the daemon does, by a validator of others.

use std::path::Path;

use hookd::config;
use serde_json::Value;

/// What the validator says; `None` if it finds nothing wrong.
fn refused(text: &str) -> Option<String> {
    let table: toml::Table = text.parse().unwrap();
    let instance = serde_json::to_value(table).unwrap();
    let place = "https://example.org/hookd.json";
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource(place, config::schema()).unwrap();
    let schema = compiler.compile(place, &mut schemas).unwrap();
    schemas
        .validate(&instance, schema)
        .err()
        .map(|error| format!("{error:#}"))
}

fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The first block of TOML in README.md.
fn of_readme() -> String {
    let text = shipped("README.md");
    let block = text.split_once("```toml\n").unwrap().1;
    block.split_once("```").unwrap().0.to_owned()
}

const GOOD: &[&str] = &[
    "",
    "max_jobs = 4\nlisten = [\"127.0.0.1:1\", \"[::1]:2\", \"unix:/run/x\"]",
    "[repo.a]\nurl = \"git@git.sr.ht:~ann/b\"\n[repo.a.deploy.live]\ntag = [\"v*\", \"!v0*\"]\npath = \"/srv/a\"\norder = \"pushed\"",
    "[repo.a]\nurl = \"/srv/git/a.git\"\nsecret = [\"env:A\", \"credential:b\"]\npoll = \"off\"\nallow_from = [\"github\", \"10.0.0.0/8\"]",
    "[repo.a]\nurl = \"https://h/a%20b\"\nsecret = \"insecure-none\"\n[repo.a.deploy.live]\nbranch = \"main\"\npath = \"a\"\n\
     build = [\"make\", \"\"]\ncheck = \"true\"\nmemory_max = 1073741824\nenv = { A_B = \"\" }\ntimeout = \"1h30m\"",
    "[notify.ops]\ncommand = \"tell\"\non = \"failed\"\n[forge.work]\nkind = \"gitlab\"\ntoken = \"env:T\"",
    "[http.tls]\ncert = \"c\"\nkey = \"k\"\n[limits]\nbody = \"1MiB\"\nbody_rate = 0\n[defaults]\nkeep = 3\nenv = { A = \"b\" }",
];

const WRONG: &[&str] = &[
    "max_job = 2",
    "max_jobs = 0",
    "max_jobs = \"2\"",
    "listen = \"localhost:9000\"",
    "listen = []",
    "limits.body = \"25MB\"",
    "limits.header_time = 10",
    "limits.header_time = \"10 s\"",
    "http.tls.cert = \"c\"",
    "[notify.ops]\non = \"live\"",
    "[notify.ops]\ncommand = \"x\"\non = \"alive\"",
    "[forge.github]",
    "[repo.a]\nurl = \"/srv/a\"",
    "[repo.a]\nsecret = \"env:S\"",
    "[repo.\"a/b\"]\nurl = \"/srv/a\"\nsecret = \"env:S\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"hunter2\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = []",
    "[repo.a]\nurl = \"~/a\"\nsecret = \"env:S\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\nforge = \"git-hub\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\nbranch = \"main\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\nbranch = \"main\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\npath = \"/srv/t\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\npath = \"/srv/t\"\nbranch = \"m\"\ntag = \"v\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\npath = \"/srv/t\"\nbranch = \"m\"\nqueue = \"some\"",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\npath = \"/srv/t\"\nbranch = \"m\"\nenv = { \"A-B\" = \"\" }",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\npath = \"/srv/t\"\nbranch = \"m\"\nkeep = 2.5",
    "[repo.a]\nurl = \"/srv/a\"\nsecret = \"env:S\"\n[repo.a.deploy.t]\npath = \"/srv/t\"\nbranch = \"m\"\nbuild = []",
    "[[repo]]\nurl = \"/srv/a\"",
    "[defaults]\nsecret = \"env:S\"",
];

#[test]
fn the_schema_takes_what_the_daemon_takes() {
    let example = shipped("examples/hookd.toml");
    let all = super::example().1;
    let site = shipped("examples/static-site/hookd.toml");
    let app = shipped("examples/systemd-app/hookd.toml");
    let readme = of_readme();
    let shipped: [&str; 5] = [&example, &all, &site, &app, &readme];
    for text in shipped.iter().chain(GOOD) {
        let daemon = config::parse(Path::new("/etc/hookd.toml"), text, &|_| None);
        assert!(daemon.is_ok(), "{text}\n\n{}", daemon.unwrap_err());
        assert_eq!(refused(text), None, "{text}");
    }
}

#[test]
fn the_schema_refuses_what_the_daemon_refuses() {
    for text in WRONG {
        let daemon = config::parse(Path::new("/etc/hookd.toml"), text, &|_| None);
        assert!(daemon.is_err(), "the daemon takes {text}");
        assert!(refused(text).is_some(), "{text}");
    }
}

#[test]
fn editors_are_told_of_every_key() {
    let schema = config::schema();
    let mut keys = 0;
    count(&schema, &mut keys);
    let of_table = config::keys::KEYS.len();
    let inherited = config::keys::KEYS.iter().filter(|key| key.in_defaults).count();
    assert_eq!(keys, of_table + inherited);
    let body = &schema["properties"]["limits"]["properties"]["body"];
    assert_eq!(body["x-taplo"]["docs"]["main"], "Largest request body.");
    assert_eq!(body["default"], "25MiB");
}

fn count(value: &Value, keys: &mut usize) {
    if value["x-taplo"]["docs"]["main"].is_string() {
        *keys += 1;
    }
    match value {
        Value::Object(map) => map.values().for_each(|value| count(value, keys)),
        Value::Array(list) => list.iter().for_each(|value| count(value, keys)),
        _ => {}
    }
}
