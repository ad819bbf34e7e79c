//! Each diagnostic: its message, its line and column, and its hint.

mod meant;
mod tables;

use std::path::Path;

use super::*;

fn read(text: &str) -> Result<Loaded, Report> {
    parse(Path::new("/etc/hookd.toml"), text, &|_| None)
}

fn short(diagnostics: &[Diagnostic]) -> Vec<String> {
    let one = |d: &Diagnostic| format!("{}:{}: {}", d.line.unwrap(), d.column.unwrap(), d.message);
    diagnostics.iter().map(one).collect()
}

fn errors(text: &str) -> Vec<String> {
    read(text).map_or_else(|report| short(&report.diagnostics), |_| Vec::new())
}

fn warnings(text: &str) -> Vec<String> {
    short(&read(text).unwrap().warnings)
}

/// A repo in lines 1 to 3 and its target in lines 4 to 6, then `more` from line 7 on: keys of the target first.
fn with_target(more: &str) -> String {
    format!(
        "[repo.blog]\nurl = \"https://github.com/alice/blog\"\nsecret = \"env:S\"\n\
         [repo.blog.deploy.live]\nbranch = \"main\"\npath = \"/srv/blog\"\n{more}\n"
    )
}

/// A repo in lines 1 to 3, then `more` from line 4 on.
fn with_repo(more: &str) -> String {
    format!("[repo.blog]\nurl = \"https://github.com/alice/blog\"\nsecret = \"env:S\"\n{more}\n")
}

/// Checks that each text gives just this one error, and that its hint holds these words.
fn each_gives_one(cases: &[(String, &str, &str)]) {
    for (text, message, hint) in cases {
        let report = read(text).expect_err(text);
        assert_eq!(short(&report.diagnostics), [*message], "{text}");
        let given = report.diagnostics[0].hint.clone().unwrap_or_default();
        assert!(given.contains(hint), "{text}\nhint: {given}");
    }
}

#[test]
fn a_minimal_configuration_has_the_documented_defaults() {
    let Loaded { config, warnings } = read(&with_target("")).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.file, Path::new("/etc/hookd.toml"));
    assert_eq!(config.listen, [Listen::Tcp("127.0.0.1:9000".parse().unwrap())]);
    assert_eq!(config.state_dir, Path::new("/var/lib/hookd"));
    assert_eq!(config.control, Path::new("/run/hookd/control.sock"));
    assert_eq!(config.max_jobs, 2);
    let (repo, target) = config.target(&"blog/live".parse().unwrap()).unwrap();
    assert_eq!(
        (repo.forge, repo.full_name.as_str()),
        (Some(ForgeKind::GitHub), "alice/blog")
    );
    assert_eq!(repo.poll, Some(std::time::Duration::from_mins(10)));
    assert!(repo.submodules && repo.refuse_lfs && !repo.allow_sha1);
    assert_eq!((repo.depth, repo.timestamp_tolerance.as_secs()), (0, 300));
    assert_eq!(
        (target.keep, target.timeout.as_secs(), target.kill_grace.as_secs()),
        (5, 600, 10)
    );
    assert_eq!((target.check_timeout.as_secs(), target.queue), (30, QueueMode::Latest));
    assert_eq!(target.strategy, Strategy::Release);
}

#[test]
fn unknown_keys_are_guessed_or_sent_home() {
    each_gives_one(&[
        (
            with_target("brnach = \"x\""),
            "7:1: unknown key `brnach` in `[repo.blog.deploy.live]`",
            "mean `branch`",
        ),
        (
            with_repo("branch = \"x\""),
            "4:1: unknown key `branch` in `[repo.blog]`",
            "`[repo.NAME.deploy.TARGET]`",
        ),
        (
            with_repo("max_jobs = 3"),
            "4:1: unknown key `max_jobs` in `[repo.blog]`",
            "top level",
        ),
        ("max-jobs = 3".into(), "1:1: unknown key `max-jobs`", "mean `max_jobs`"),
        ("[repos.blog]".into(), "1:2: unknown key `repos`", "mean `repo`"),
        (
            "[limits]\nbdy = 1".into(),
            "2:1: unknown key `bdy` in `[limits]`",
            "mean `body`",
        ),
        (
            "http = { tls = { cert = \"a\", key = \"b\", c = 1 } }".into(),
            "1:41: unknown key `c` in `[http.tls]`",
            "",
        ),
        (
            "[defaults]\nsecret = \"env:S\"".into(),
            "2:1: unknown key `secret` in `[defaults]`",
            "`[repo.NAME]`",
        ),
    ]);
}

#[test]
fn wrong_types_say_what_is_wanted() {
    each_gives_one(&[
        (
            "max_jobs = \"2\"".into(),
            "1:12: `max_jobs` must be an integer, not a string",
            "without the quotes",
        ),
        (
            "state_dir = 1".into(),
            "1:13: `state_dir` must be a string, not an integer",
            "in quotes",
        ),
        (
            "listen = [\"127.0.0.1:1\", 9000]".into(),
            "1:26: `listen` must be a string, not an integer",
            "quotes",
        ),
        ("repo = 1".into(), "1:8: `repo` must be a table, not an integer", ""),
        (
            "[repo]\nblog = 1".into(),
            "2:1: `repo.blog` must be a table, not an integer",
            "[repo.NAME]",
        ),
        (
            with_repo("submodules = \"true\""),
            "4:14: `submodules` must be a boolean, not a string",
            "quotes",
        ),
        (
            with_target("timeout = 90"),
            "7:11: `timeout` must be a string with a duration, not an integer",
            "\"90s\" for seconds",
        ),
        (
            with_target("timeout = \"90\""),
            "7:11: `timeout`: a unit is missing",
            "\"90s\"",
        ),
        (
            with_target("memory_max = \"1GB\""),
            "7:14: `memory_max`: not a size",
            "\"1GiB\"",
        ),
        (
            with_target("build = 1"),
            "7:9: `build` must be a string or a list of strings, not an integer",
            "quotes",
        ),
        (
            with_target("env = { A = 1 }"),
            "7:13: `env.A` must be a string, not an integer",
            "quotes",
        ),
        (
            with_target("build = \"a\\u0000b\""),
            "7:9: `build` holds a NUL character",
            "",
        ),
    ]);
}

#[test]
fn ranges_hold() {
    each_gives_one(&[
        ("max_jobs = 0".into(), "1:12: `max_jobs` must be between 1 and 1000", ""),
        (
            "max_jobs = 99999999999999999999".into(),
            "1:12: `max_jobs` must be between 1 and 1000",
            "",
        ),
        (
            "[limits]\nbody = -1".into(),
            "2:8: `body` must be between 1KiB and 1GiB",
            "",
        ),
        (with_target("keep = 0"), "7:8: `keep` must be between 1 and 1000", ""),
        (
            with_target("check_timeout = \"2h\""),
            "7:17: `check_timeout` must be between 1ms and 1h",
            "",
        ),
        (
            with_repo("poll = \"0s\""),
            "4:8: `poll` must be between 1s and 365d",
            "",
        ),
        (
            "[limits]\nconnections = 8\nconnections_per_address = 9".into(),
            "3:27: `connections_per_address` is above `connections`, which is 8",
            "",
        ),
    ]);
}

#[test]
fn syntax_errors_have_a_place_too() {
    each_gives_one(&[
        (
            "max_jobs = xy".into(),
            "1:12: string values must be quoted, expected literal string",
            "",
        ),
        ("max_jobs = 1\nmax_jobs = 2".into(), "2:1: duplicate key", ""),
    ]);
    let report = read("a = \"x\n[b\n").unwrap_err();
    assert_eq!(report.diagnostics.len(), 2);
    assert!(report.to_string().starts_with("/etc/hookd.toml:1:"));
}

#[test]
fn warnings_do_not_stop() {
    assert_eq!(
        warnings(&with_repo("")),
        ["1:7: `blog` has no target: nothing is ever deployed"]
    );
    let http = with_target("").replace("https:", "http:");
    assert_eq!(
        warnings(&http),
        ["2:7: plain http: whoever sits between can change what is deployed"]
    );
    assert_eq!(
        warnings(&http.replace("github.com", "127.0.0.1:3000")),
        Vec::<String>::new()
    );
    let ftp = with_target("check = \"ftp://x\"");
    assert_eq!(
        warnings(&ftp),
        ["7:9: `check` is run as a command, since only http:// and https:// are asked"]
    );
    let twin = with_target(
        "[repo.copy]\nurl = \"https://github.com/Alice/blog.git\"\nsecret = \"env:S\"\n[repo.copy.deploy.live]\nbranch = \"b\"\npath = \"/srv/copy\"",
    );
    assert_eq!(
        warnings(&twin),
        ["7:7: `copy` and `blog` have the same full name, `Alice/blog`"]
    );
}

#[test]
fn defaults_fill_in_and_lose() {
    let text = format!(
        "[defaults]\nkeep = 9\npoll = \"off\"\nenv = {{ A = \"1\", B = \"1\" }}\nqueue = \"all\"\n{}",
        with_target("env = { B = \"2\" }\n[repo.blog.deploy.other]\ntag = \"v*\"\npath = \"/srv/other\"\nkeep = 2")
    );
    let config = read(&text).unwrap().config;
    let (repo, live) = config.target(&"blog/live".parse().unwrap()).unwrap();
    assert_eq!((repo.poll, live.keep, live.queue), (None, 9, QueueMode::All));
    assert_eq!(
        live.env,
        [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())].into()
    );
    let (_, other) = config.target(&"blog/other".parse().unwrap()).unwrap();
    assert_eq!((other.keep, other.queue), (2, QueueMode::Latest));
    // A wrong default is reported once, however many take it; and even if nobody does.
    let wrong = "1:8: `keep` must be between 1 and 1000";
    assert_eq!(errors(&format!("defaults.keep = 0\n{}", with_target(""))).len(), 1);
    assert_eq!(errors("[defaults]\nkeep = 0"), [wrong.replacen("1:", "2:", 1)]);
}

#[test]
fn systemd_names_the_directories() {
    let environment = |name: &str| match name {
        "STATE_DIRECTORY" => Some("/var/lib/a:/var/lib/b".into()),
        "RUNTIME_DIRECTORY" => Some("/run/a".into()),
        _ => None,
    };
    let config = parse(Path::new("/etc/hookd.toml"), "", &environment).unwrap().config;
    assert_eq!(config.state_dir, Path::new("/var/lib/a"));
    assert_eq!(config.control, Path::new("/run/a/control.sock"));
    let own = parse(Path::new("/etc/hookd.toml"), "state_dir = \"s\"", &environment)
        .unwrap()
        .config;
    assert_eq!(own.state_dir, Path::new("/etc/s"));
}

/// Puts `value` at a path of the table of keys, into a configuration that is right without it.
fn configuration_with(path: &str, value: &toml::Value) -> String {
    let mut table: toml::Table = with_target("[defaults]").parse().unwrap();
    let path = path.replace("NAME", "blog").replace("TARGET", "live");
    let (tables, key) = path.rsplit_once('.').unwrap_or(("", &path));
    let mut at = &mut table;
    for name in tables.split('.').filter(|name| !name.is_empty()) {
        at = at
            .entry(name)
            .or_insert_with(|| toml::Table::new().into())
            .as_table_mut()
            .unwrap();
    }
    at.insert(key.to_owned(), value.clone());
    toml::to_string(&table).unwrap()
}

#[test]
fn every_key_of_the_table_is_read_and_its_type_is_looked_at() {
    let date: toml::Value = toml::Value::Datetime("1979-05-27".parse().unwrap());
    let in_defaults = keys::KEYS
        .iter()
        .filter(|key| key.in_defaults)
        .map(|key| format!("defaults.{}", key.name()));
    for path in keys::KEYS.iter().map(|key| key.path.to_owned()).chain(in_defaults) {
        let name = path.rsplit('.').next().unwrap();
        let found = errors(&configuration_with(&path, &date));
        let says_so = |e: &String| e.contains(&format!("`{name}` must be")) && e.ends_with("not a date or time");
        assert!(found.iter().any(says_so), "{path}: {found:?}");
    }
}

#[test]
fn a_shared_path_keeps_the_slash_that_says_that_it_is_a_directory() {
    let shared = |text: &str| {
        let loaded = read(&with_target(&format!("shared = \"{text}\""))).unwrap();
        let id = "blog/live".parse().unwrap();
        loaded.config.target(&id).unwrap().1.shared[0].clone()
    };
    assert_eq!(shared("a//b.d/"), "a/b.d/");
    assert_eq!(shared("./.env"), ".env");
}
