//! Common mistakes: each is reported at its place, with what was probably meant.

use super::{each_gives_one, errors, read, warnings, with_repo, with_target};

#[test]
fn what_nobody_replaces_is_refused() {
    let home = "`~` is not replaced by a home directory";
    let target = |path: &str| {
        with_repo(&format!(
            "[repo.blog.deploy.live]\nbranch = \"main\"\npath = \"{path}\""
        ))
    };
    each_gives_one(&[
        (target("~/site"), &format!("6:8: `path`: {home}"), "from the root"),
        (target("~alice/site"), &format!("6:8: `path`: {home}"), "from the root"),
        (
            target("$HOME/site"),
            "6:8: `path`: variables are not replaced",
            "from the root",
        ),
        (
            target("/srv/${NAME}"),
            "6:8: `path`: variables are not replaced",
            "from the root",
        ),
        (
            with_target("shared = \"~/uploads\""),
            &format!("7:10: `shared`: `~/uploads` {home}"),
            "",
        ),
        (
            with_target("build = [\"~/bin/build\"]"),
            &format!("7:10: `build`: {home} in a list"),
            "from the root",
        ),
        (
            with_target("env = { A = \"~/x\" }"),
            "7:13: `env`: the `~` of `A` is not replaced by a home directory",
            "from the root",
        ),
        (
            "[repo.b]\nurl = \"~/b.git\"\nsecret = \"env:S\"".into(),
            &format!("2:7: `url`: {home}"),
            "from the root",
        ),
        (
            with_repo("token = \"file:~/token\""),
            &format!("4:9: `token`: {home}"),
            "from the root",
        ),
    ]);
    // A shell replaces it.
    for fine in [
        "build = \"~/bin/build $A\"",
        "build = [\"sh\", \"-c\", \"~/bin/build $A\"]",
    ] {
        assert_eq!(warnings(&with_target(fine)), Vec::<String>::new());
    }
    assert_eq!(
        warnings(&with_target("env = { A = \"$HOME/x\" }")),
        ["7:13: `env`: `A` has a variable in it, which is not replaced"]
    );
}

#[test]
fn urls_that_are_none_of_a_repository() {
    let url = |text: &str| format!("[repo.b]\nsecret = \"env:S\"\nurl = \"{text}\"\n");
    for (text, message, meant) in [
        (
            "github.com/alice/blog",
            "the scheme is missing",
            "https://github.com/alice/blog",
        ),
        (
            "git.example.org/a/b.git",
            "the scheme is missing",
            "https://git.example.org/a/b.git",
        ),
        (
            "localhost:3000/alice/blog",
            "the scheme is missing",
            "https://localhost:3000/alice/blog",
        ),
        (
            "git.example.org:8443/alice/blog.git",
            "the scheme is missing",
            "https://git.example.org:8443/alice/blog.git",
        ),
        (
            "//github.com/alice/blog",
            "the scheme is missing",
            "https://github.com/alice/blog",
        ),
        (
            " https://github.com/alice/blog",
            "there is a space before or after it",
            "https://github.com/alice/blog",
        ),
        (
            "https://github.com/alice/blog/tree/main",
            "it names a page of the forge, not the repository",
            "https://github.com/alice/blog",
        ),
        (
            "https://git.example.org/group/sub/blog/-/tree/main",
            "it names a page of the forge, not the repository",
            "https://git.example.org/group/sub/blog",
        ),
    ] {
        each_gives_one(&[(
            url(text),
            &format!("3:7: `url`: {message}"),
            &format!("write \"{meant}\""),
        )]);
    }
    for fine in [
        "blog.git",
        "repos/blog.git",
        "../blog.git",
        "git@git.sr.ht:~alice/blog",
        "https://git.example.org/a/b/c/d",
    ] {
        assert_eq!(errors(&url(fine)), Vec::<String>::new(), "{fine}");
    }
    for (text, meant) in [
        ("https://github.com/alice/blog", "alice/blog"),
        ("git@github.com:alice/blog.git", "alice/blog"),
        ("alice/blog.git", "alice/blog"),
        ("alice/blog/", "alice/blog"),
    ] {
        each_gives_one(&[(
            with_repo(&format!("full_name = \"{text}\"")),
            "4:13: `full_name` is the name alone, as the forge shows it",
            &format!("write \"{meant}\""),
        )]);
    }
}

#[test]
fn what_people_type_wrong() {
    let target = |path: &str| {
        with_repo(&format!(
            "[repo.blog.deploy.live]\nbranch = \"main\"\npath = \"{path}\""
        ))
    };
    each_gives_one(&[
        (
            format!("{}[defaults]\ndepth = 1", with_target("queue = \"all\"")),
            "9:1: `depth` and the `queue = \"all\"` of blog/live contradict each other: a commit may be missing",
            "leave `depth` out",
        ),
        (
            with_target("check = \"localhost:8080/up\""),
            "7:9: `check` is run as a command, since neither `http://` nor `https://` begins it",
            "http://localhost:8080/up",
        ),
        (
            with_target("check = \"blog.example.org/up\""),
            "7:9: `check` is run as a command, since neither `http://` nor `https://` begins it",
            "http://blog.example.org/up",
        ),
        (
            with_target("timeout = \"10 m\""),
            "7:11: `timeout`: not a duration",
            "write \"10m\"",
        ),
        (
            with_target("timeout = 10"),
            "7:11: `timeout` must be a string with a duration, not an integer",
            "\"10s\" for seconds, \"10m\" for minutes",
        ),
        (
            target("/var/lib"),
            "6:8: `path` is /var/lib, which the system has for other things",
            "/srv/NAME",
        ),
        (
            with_repo("[repo.blog.production]\nbranch = \"main\"\npath = \"/srv/b\""),
            "4:12: unknown key `production` in `[repo.blog]`",
            "write `[repo.blog.deploy.production]`",
        ),
        (
            "[blog]\nurl = \"https://h/a\"\nsecret = \"env:S\"".into(),
            "1:2: unknown key `blog`",
            "write `[repo.blog]`",
        ),
        (
            "[[repo]]\nname = \"blog\"".into(),
            "1:1: `repo` must be a table, not a list",
            "write `[repo.NAME]`",
        ),
        (
            with_repo("[repo.blog.deploy.live]\npath = \"/a\"\nbranch = \"main, next\""),
            "6:10: no branch can match `main, next`: not a name that git allows (see git-check-ref-format)",
            "branch = [\"a\", \"b\"]",
        ),
        (
            "listen = \"127.0.0.1:9000\"\nhttp.status = \"127.0.0.1:9000\"".into(),
            "2:15: `status` and `listen` are the same address",
            "an address each",
        ),
        (
            with_target("environment = \" x\""),
            "7:15: `environment` is not the name of an environment",
            "255",
        ),
    ]);
    for (text, warning) in [
        (
            target("/home/alice"),
            "6:8: `path` is the home directory /home/alice: it gets `releases` and `current`",
        ),
        (
            target("srv/blog"),
            "6:8: `path` is /etc/srv/blog, since relative paths begin at the directory of this file",
        ),
        (
            with_target("on = \"pushs\""),
            "7:6: `on`: `pushs` is an event that hookd does not know",
        ),
        (
            with_target("").replace("\"main\"", "\"origin/main\""),
            "5:10: `origin/main` is the name that a clone has for a branch of its remote",
        ),
        (
            with_target("").replace("secret", "ssh_key = \"k\"\nsecret"),
            "3:1: `ssh_key` is not used for `url`, which is no ssh remote",
        ),
    ] {
        assert_eq!(warnings(&text), [warning], "{text}");
    }
}

#[test]
fn lines_that_are_no_toml() {
    for (line, hint) in [
        ("branch = “main”", "plain quotes"),
        ("branch = main", "in quotes"),
        ("branch = \"main", "closing quote"),
        ("branch: \"main\"", "no colons"),
        ("network = True", "true or false"),
        ("run_as = \"DOMAIN\\user\"", "backslash"),
        ("[repo.blog]", "below the first"),
        ("path = \"/srv/b\"", "several values are a list"),
        ("[repo.blog.deploy.next", "closing `]`"),
    ] {
        let report = read(&with_target(line)).expect_err(line);
        let hints: Vec<_> = report.diagnostics.iter().filter_map(|d| d.hint.clone()).collect();
        assert!(
            hints.iter().any(|given| given.contains(hint)),
            "{line}: {hints:?}\n{report}"
        );
        assert_eq!(report.diagnostics[0].line, Some(7), "{report}");
    }
    let json = read("{ \"max_jobs\": 2 }").unwrap_err().to_string();
    assert!(json.contains("not JSON"), "{json}");
    // Editors that write a mark of the byte order do no harm.
    assert_eq!(warnings("\u{feff}max_jobs = 2\n"), Vec::<String>::new());
}

#[test]
fn two_targets_need_two_directories_by_links_too() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().canonicalize().unwrap();
    std::fs::create_dir_all(at.join("site/sub")).unwrap();
    std::os::unix::fs::symlink(at.join("site"), at.join("link")).unwrap();
    let at = at.display();
    for (path, relation, real) in [
        ("link", "is also that of", "site"),
        ("link/", "is also that of", "site"),
        ("link/sub/new", "lies inside that of", "site/sub/new"),
    ] {
        let text = with_target(&format!(
            "[repo.blog.deploy.next]\nbranch = \"next\"\npath = \"{at}/{path}\""
        ));
        let text = text.replace("\"/srv/blog\"", &format!("\"{at}/site\""));
        let message =
            format!("9:8: the `path` of blog/next {relation} blog/live (/etc/hookd.toml:6), by links: {at}/{real}");
        assert_eq!(errors(&text), [message]);
    }
}
