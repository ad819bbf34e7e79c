//! The configuration as its users meet it: files on disk, drop-ins, secrets, and every mistake at once.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hookd::config::{self, Diagnostic, ForgeKind, Limits, Loaded, Report, Secrets};
use proptest::prelude::*;

#[path = "config/examples.rs"]
mod examples;
#[path = "config/schema.rs"]
mod schema;

/// A directory with a `hookd.toml` and whatever else a test writes.
struct Etc(tempfile::TempDir);

impl Etc {
    fn new(main: &str) -> Self {
        let etc = Self(tempfile::tempdir().unwrap());
        etc.write("hookd.toml", main, 0o644);
        etc
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("hookd.toml")
    }

    fn load(&self) -> Result<Loaded, Report> {
        config::load_in(&self.file(), &|_| None)
    }
}

fn place(etc: &Etc, diagnostic: &Diagnostic) -> String {
    let file = Path::new(&diagnostic.file).strip_prefix(etc.0.path()).unwrap();
    format!(
        "{}:{}:{}",
        file.display(),
        diagnostic.line.unwrap(),
        diagnostic.column.unwrap()
    )
}

const REPO: &str = "[repo.blog]\nurl = \"https://github.com/alice/blog\"\nsecret = \"file:blog.secret\"\n";
const TARGET: &str = "[repo.blog.deploy.live]\nbranch = \"main\"\npath = \"/srv/blog\"\n";

#[test]
fn every_mistake_is_reported_at_once() {
    let etc = Etc::new(
        r#"listen = "localhost"
max_job = 2

[limits]
body = "25MB"
connections = "many"

[repo.blog]
url = "https://alice:hunter2@github.com/alice/blog.git"
secret = "hunter2"
poll = 10

[repo.blog.deploy.live]
branch = ["refs/heads/main", "next"]
path = "/"
shared = ["uploads", "../etc"]
env = { LANG = "C", HOOKD_REPO = "x" }
"#,
    );
    let report = etc.load().unwrap_err();
    let places: Vec<_> = report.diagnostics.iter().map(|d| place(&etc, d)).collect();
    let expected = [
        "1:10", "2:1", "5:8", "6:15", "9:7", "10:10", "11:8", "14:11", "15:8", "16:22", "17:21",
    ];
    assert_eq!(places, expected.map(|at| format!("hookd.toml:{at}")));
    let text = report.to_string();
    assert_eq!(text.split("\n\n").count(), 11);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(
        text.contains("\n    shared = [\"uploads\", \"../etc\"]\n                         ^^^^^^^^"),
        "{text}"
    );
    assert!(text.contains("hint: did you mean `max_jobs`?"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["diagnostics"][1]["line"], 2);
    assert!(!json.to_string().contains("hunter2"));
}

#[test]
fn secrets_are_masked_wherever_they_are_typed() {
    for text in [
        "[repo.b]\nsecret = \"hunter2\"",
        "[repo.b]\nsecret = [\"env:S\", \"hunter2\"]",
        "[repo.b]\nsecret = '''\nhunter2'''",
        "[repo.b]\nsecret = { value = \"hunter2\" }",
        "[repo.b]\nsecrets = \"hunter2\"",
        "[repo.b]\nwebhook_key = \"hunter2\"",
        "[repo.b]\ntoken = \"hunter2\"",
        "[repo.b]\nurl = \"https://hunter2@h/x?\"",
        "[repo.b]\nurl = \"https://h/x?t=hunter2\"",
        "[repo.b]\nurl = \"https://u:hun/ter2hunter2@h/x\"",
        "[repo.b]\nurl = \"u:hunter2@h:x\"",
        "repo.b = { secret = \"hunter2\", x = 1 }",
        "[repo.b]\nsecret = \"hunter2",
        "[repo.b]\nsecret = hunter2",
        "[repo.b]\nsecret = \"env:S\"\nsecret = \"hunter2\"",
        "[repo.b]\nsecret = [\n  \"env:S\",\n  \"hunter2\n]",
        "[repo.b]\nsecret \"hunter2\"",
        "[repo.b]\nsecret hunter2",
        "[repo.b]\nsecret: hunter2",
        "repo.b = { secret = \"hunter2\", x = }",
        "[repo.b.deploy.t]\nenv = { KEY = \"hunter2\", HOOKD_X = \"\" }",
        "[repo.b.deploy.t]\nenv = \"hunter2\"",
        "[notify.chat]\nurl = \"htps://chat/hunter2\"",
        "[forge.github]\ntoken = \"hunter2\"",
    ] {
        let report = Etc::new(text).load().expect_err(text);
        assert!(!report.to_string().contains("hunter2"), "{text}\n\n{report}");
        assert!(!serde_json::to_string(&report).unwrap().contains("hunter2"), "{text}");
    }
}

#[test]
fn drop_ins_are_merged_in_order_and_relative_paths_are_theirs() {
    let etc = Etc::new(&format!("{REPO}{TARGET}[notify.ops]\ncommand = \"x\"\n"));
    etc.write(
        "hookd.d/20-shop.toml",
        "[repo.shop]\nurl = \"../git/shop\"\nsecret = \"file:shop.secret\"\n",
        0o644,
    );
    let staging = "[repo.blog.deploy.staging]\nbranch = \"next\"\npath = \"/srv/staging\"\nnotify = \"ops\"\n";
    etc.write("hookd.d/10-staging.toml", staging, 0o644);
    etc.write("hookd.d/.hidden.toml", "nonsense", 0o644);
    etc.write("hookd.d/README", "nonsense", 0o644);
    let Loaded { config, warnings } = etc.load().unwrap();
    assert_eq!(config.repos.len(), 2);
    assert_eq!(config.repos[&"blog".parse().unwrap()].targets.len(), 2);
    let shop = &config.repos[&"shop".parse().unwrap()];
    assert_eq!(
        shop.remote.url.as_str(),
        etc.0.path().join("git/shop").to_str().unwrap()
    );
    assert_eq!(
        shop.secret,
        [config::SecretSource::File(etc.0.path().join("hookd.d/shop.secret"))]
    );
    assert_eq!(place(&etc, &warnings[0]), "hookd.d/20-shop.toml:1:7");
}

#[test]
fn drop_ins_can_neither_repeat_nor_take_over() {
    let etc = Etc::new(&format!("{REPO}{TARGET}"));
    etc.write(
        "hookd.d/a.toml",
        "listen = \"0.0.0.0:1\"\n[repo.blog]\nsecret = \"env:S\"\npoll = \"1m\"\n",
        0o644,
    );
    etc.write("hookd.d/b.toml", "[repo.blog]\npoll = \"2m\"\nbogus = 1\n", 0o644);
    let report = etc.load().unwrap_err();
    let places: Vec<_> = report.diagnostics.iter().map(|d| place(&etc, d)).collect();
    assert_eq!(
        places,
        [
            "hookd.d/a.toml:1:1",
            "hookd.d/a.toml:3:1",
            "hookd.d/b.toml:2:1",
            "hookd.d/b.toml:3:1"
        ]
    );
    let main = etc.file().display().to_string();
    assert_eq!(
        report.diagnostics[1].message,
        format!("`repo.blog.secret` is given twice, first in {main}:3")
    );
    assert!(report.diagnostics[0].hint.as_deref().unwrap().contains(&main));
}

#[test]
fn what_cannot_be_read_says_so() {
    let etc = Etc::new("");
    let missing = config::load(&etc.0.path().join("other.toml")).unwrap_err();
    assert!(
        missing.to_string().contains("other.toml: cannot be read: No such file"),
        "{missing}"
    );
    fs::write(etc.file(), b"# a\n# \xff\n").unwrap();
    assert!(etc.load().unwrap_err().to_string().contains("not UTF-8 in line 2"));
    let directory = config::load(etc.0.path()).unwrap_err();
    assert!(directory.to_string().contains("cannot be read"), "{directory}");
}

#[test]
fn secrets_come_from_files_credentials_and_the_environment() {
    let text = REPO.replace(
        "\"file:blog.secret\"",
        "[\"file:a\", \"credential:b\", \"env:C\"]\ntoken = \"file:crlf\"",
    );
    let etc = Etc::new(&text);
    etc.write("a", "one-secret\n", 0o640);
    etc.write("credentials/b", "two-secret", 0o644);
    etc.write("crlf", "four\r\n", 0o600);
    let credentials = etc.0.path().join("credentials");
    let environment = |name: &str| -> Option<OsString> {
        match name {
            "CREDENTIALS_DIRECTORY" => Some(credentials.clone().into()),
            "C" => Some("three-secret".into()),
            _ => None,
        }
    };
    let config = etc.load().unwrap().config;
    let secrets = Secrets::read_in(&config, &environment).ok().unwrap();
    let blog = "blog".parse().unwrap();
    let webhook: Vec<&[u8]> = secrets.webhook[&blog]
        .iter()
        .map(hookd::model::Secret::expose)
        .collect();
    assert_eq!(webhook, [b"one-secret".as_slice(), b"two-secret", b"three-secret"]);
    assert_eq!(secrets.token[&blog].expose(), b"four");
}

#[test]
fn each_secret_that_cannot_be_had_is_named_with_its_fix() {
    let expected = [
        ("file:gone", "gone cannot be read: No such file", ""),
        ("file:open", "open is open to every user", "chmod 640"),
        ("file:empty", "empty is empty", "openssl rand"),
        ("file:dir", "dir is not a file", ""),
        ("credential:b", "no $CREDENTIALS_DIRECTORY", "LoadCredential=b:PATH"),
        ("env:C", "no variable C", ""),
        ("env:E", "E is empty", ""),
        ("file:huge", "huge has more than 65536 bytes", ""),
    ];
    let sources = format!("{:?}", expected.map(|(source, ..)| source));
    let etc = Etc::new(&REPO.replace("\"file:blog.secret\"", &sources));
    etc.write("open", "hunter2", 0o644);
    etc.write("empty", "\n", 0o600);
    etc.write("dir/x", "", 0o600);
    etc.write("huge", &"hunter2".repeat(10_000), 0o600);
    let config = etc.load().unwrap().config;
    let environment = |name: &str| (name == "E").then(OsString::new);
    let diagnostics = Secrets::read_in(&config, &environment).err().unwrap();
    assert_eq!(diagnostics.len(), expected.len());
    for (diagnostic, (_, message, hint)) in diagnostics.iter().zip(expected) {
        assert!(diagnostic.message.starts_with("`repo.blog.secret`: "), "{diagnostic}");
        assert!(diagnostic.message.contains(message), "{diagnostic}");
        assert!(
            diagnostic.hint.clone().unwrap_or_default().contains(hint),
            "{diagnostic}"
        );
        assert!(!diagnostic.to_string().contains("hunter2"));
    }
}

#[test]
fn an_open_repo_has_an_empty_list_of_secrets() {
    let etc = Etc::new(&REPO.replace("file:blog.secret", "insecure-none"));
    let secrets = Secrets::read_in(&etc.load().unwrap().config, &|_| None).ok().unwrap();
    assert!(secrets.webhook[&"blog".parse().unwrap()].is_empty());
}

/// The shipped example, and the same with everything switched on.
fn example() -> (String, String) {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hookd.toml")).unwrap();
    let switched_on = |line: &str| {
        let code = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
        code.unwrap_or(line).to_owned()
    };
    let all = text.lines().map(switched_on).collect::<Vec<_>>().join("\n");
    (text, all)
}

fn at_path<'a>(value: &'a toml::Value, path: &[&str]) -> Vec<&'a toml::Value> {
    let Some((first, rest)) = path.split_first() else {
        return vec![value];
    };
    let Some(table) = value.as_table() else {
        return Vec::new();
    };
    match *first {
        "NAME" | "TARGET" => table.values().flat_map(|inner| at_path(inner, rest)).collect(),
        name => table.get(name).map(|inner| at_path(inner, rest)).unwrap_or_default(),
    }
}

#[test]
fn the_example_holds_with_everything_off_and_with_everything_on() {
    let (text, all) = example();
    let loaded = Etc::new(&text).load().unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.repos.len(), 1);
    let Loaded { config, warnings } = Etc::new(&all).load().unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(warnings, []);
    assert_eq!(config.repos.len(), 2);
    // What the example calls a default is one.
    assert_eq!(config.limits, Limits::default());
    assert_eq!(
        (&config.listen, config.max_jobs),
        (&loaded.config.listen, loaded.config.max_jobs)
    );
    assert_eq!(
        (&config.state_dir, &config.control),
        (&loaded.config.state_dir, &loaded.config.control)
    );
    let id = "blog/production".parse().unwrap();
    let ((repo, target), (bare_repo, bare)) = (config.target(&id).unwrap(), loaded.config.target(&id).unwrap());
    assert_eq!(repo.poll, bare_repo.poll);
    assert_eq!(repo.timestamp_tolerance, bare_repo.timestamp_tolerance);
    assert_eq!((repo.submodules, repo.depth), (bare_repo.submodules, bare_repo.depth));
    assert_eq!(
        (repo.refuse_lfs, repo.allow_sha1),
        (bare_repo.refuse_lfs, bare_repo.allow_sha1)
    );
    assert_eq!(
        (target.keep, target.strategy, target.queue),
        (bare.keep, bare.strategy, bare.queue)
    );
    assert_eq!((target.timeout, target.kill_grace), (bare.timeout, bare.kill_grace));
    assert_eq!(target.check_timeout, bare.check_timeout);
    let wiki = &config.repos[&"wiki".parse().unwrap()];
    assert_eq!(wiki.forge, Some(ForgeKind::Generic));
    let plain = config::parse(Path::new("/x"), "[repo.a]\nurl = \"/a\"\nsecret = \"env:S\"", &|_| None).unwrap();
    assert_eq!(wiki.generic, plain.config.repos[&"a".parse().unwrap()].generic);
}

#[test]
fn the_example_is_what_the_program_prints() {
    let hint = "cargo run -- schema --example > examples/hookd.toml";
    assert!(example().0 == config::example(), "out of date: {hint}");
}

#[test]
fn every_key_stands_in_the_example() {
    let all = toml::Value::Table(example().1.parse().unwrap());
    for key in config::keys::KEYS {
        let mut paths = vec![key.path.to_owned()];
        paths.extend(key.in_defaults.then(|| format!("defaults.{}", key.name())));
        for path in paths {
            let found = at_path(&all, &path.split('.').collect::<Vec<_>>());
            let value = &format!("x = {}", key.example()).parse::<toml::Table>().unwrap()["x"];
            assert!(
                found.contains(&value),
                "`{path}` is not in the example, or something else: {found:?}"
            );
        }
    }
}

/// Text that is nearly a configuration: the keys that there are, with whatever under them.
fn nearly_a_configuration() -> impl Strategy<Value = String> {
    let key = prop::sample::select(config::keys::KEYS);
    let key = key.prop_map(|key| key.path.replace("NAME", "a").replace("TARGET", "b"));
    let text = prop_oneof!["\\PC{0,12}", "(\\[|\\]|[!*?{},/.:@~-]|x|http|://|unix|file){0,8}"];
    let quoted = text.prop_map(|text| toml::Value::String(text).to_string());
    let number = any::<i64>().prop_map(|number| number.to_string());
    let scalar = prop_oneof![9 => quoted, 3 => number, 3 => "true|1.5|1979-05-27|''", 1 => "\\PC{0,6}"];
    let list = prop::collection::vec(scalar.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", ")));
    let table = scalar.clone().prop_map(|value| format!("{{ A = {value} }}"));
    let value = prop_oneof![4 => scalar, 1 => list, 1 => table];
    let line = (key, value).prop_map(|(key, value)| format!("{key} = {value}\n"));
    prop::collection::btree_map("[a-z]{3}", line, 0..6).prop_map(|lines: BTreeMap<_, _>| lines.into_values().collect())
}

proptest! {
    // The defaults of proptest write failures beside the sources; the message alone is enough to repeat one.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = config::parse(Path::new("/etc/hookd.toml"), &text, &|_| None).map_err(|report| report.to_string());
    }

    #[test]
    fn no_configuration_makes_it_panic(text in nearly_a_configuration()) {
        if let Err(report) = config::parse(Path::new("/etc/hookd.toml"), &text, &|_| None) {
            prop_assert!(!report.diagnostics.is_empty());
            for diagnostic in &report.diagnostics {
                let line = text.split('\n').nth(diagnostic.line.unwrap() - 1);
                prop_assert!(line.is_some_and(|line| diagnostic.column.unwrap() <= line.chars().count() + 1));
            }
            prop_assert!(!report.to_string().is_empty());
        }
    }
}
