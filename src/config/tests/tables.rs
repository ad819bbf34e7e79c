//! Invalid values of each table of the configuration.

use super::{each_gives_one, errors, read, warnings, with_repo, with_target};

#[test]
fn listeners_and_the_top_level() {
    each_gives_one(&[
        (
            "listen = \":9000\"".into(),
            "1:10: `listen` needs an address with a port, or `unix:PATH`",
            "0.0.0.0:9000",
        ),
        (
            "listen = \"localhost:1\"".into(),
            "1:10: `listen` needs an address with a port, or `unix:PATH`",
            "127.0.0.1:1",
        ),
        (
            "listen = \"unix:\"".into(),
            "1:10: `listen`: the path of the unix socket is missing",
            "",
        ),
        (
            format!("listen = \"unix:/{}\"", "x".repeat(107)),
            "1:10: `listen`: the path of a unix socket has at most 107 bytes, this one 108",
            "choose a shorter one, below /run say",
        ),
        (
            format!("control = \"/{}\"", "x".repeat(107)),
            "1:11: `control`: the path of a unix socket has at most 107 bytes, this one 108",
            "choose a shorter one, below /run say",
        ),
        ("listen = []".into(), "1:10: `listen` is an empty list", ""),
        (
            "listen = [\"[::1]:1\", \"[::1]:1\"]".into(),
            "1:22: this address is in the list twice",
            "",
        ),
        (
            "state_dir = \"~/x\"".into(),
            "1:13: `state_dir`: `~` is not replaced by a home directory",
            "from the root",
        ),
        (
            "http.status = \"0.0.0.0:1\"".into(),
            "1:15: `status` is not a loopback address, and has neither TLS nor log-ins",
            "`[http.tls]` and `[http.login]`",
        ),
        (
            "[http.tls]\ncert = \"a\"".into(),
            "1:7: `[http.tls]` has no `key`",
            "go together",
        ),
        (
            "http.trusted_proxies = \"10.0.0.0/33\"".into(),
            "1:24: `trusted_proxies`: `10.0.0.0/33` is not a network",
            "/8",
        ),
        (
            "[notify.ops]\non = \"live\"".into(),
            "1:9: `[notify.ops]` has neither `url` nor `command`",
            "",
        ),
        (
            "[notify.ops]\ncommand=\"x\"\non = \"alive\"".into(),
            "3:6: `alive` is no value of `on`",
            "mean `live`",
        ),
        (
            "[forge.gitub]\ntoken = \"env:T\"".into(),
            "1:8: `gitub` is not the name of a forge",
            "[forge.github]",
        ),
        (
            "[forge.github]".into(),
            "1:8: `[forge.github]` has no `token`",
            "file:PATH",
        ),
        (
            "[forge.gitlab]\nranges = \"https://x\"".into(),
            "1:8: `ranges`: gitlab has its addresses in its manual only",
            "",
        ),
        (
            "[forge.a]\nkind = \"gitea\"\ntoken = \"env:T\"\nurl = \"ftp://x\"".into(),
            "4:7: the URL begins neither with `https://` nor with `http://`",
            "",
        ),
    ]);
}

#[test]
fn who_may_use_the_pages() {
    each_gives_one(&[
        (
            "http = { status = \"0.0.0.0:1\", login.users = \"u\" }".into(),
            "1:19: `status` is not a loopback address, and passwords would travel without TLS",
            "`[http.tls]`",
        ),
        (
            "http = { status = \"[::]:1\", tls = { cert = \"c\", key = \"k\" } }".into(),
            "1:19: `status` is not a loopback address, and asks for no password",
            "`[http.login]`",
        ),
        (
            "control = \"/run/c\"\nhttp.status = \"unix:/run/c\"".into(),
            "2:15: `status` and `control` are the same socket",
            "socket of their own",
        ),
        (
            "http.status = \"127.0.0.1:1\"\n[http.login]".into(),
            "2:7: `[http.login]` has neither `users` nor `header`",
            "hookd user add",
        ),
        (
            "http = { status = \"127.0.0.1:1\", login = { header = \"X-User\", roles = { a = \"act\" } } }".into(),
            "1:44: `header` is believed from `http.trusted_proxies` only, and there are none",
            "trusted_proxies",
        ),
        (
            "http = { status = \"127.0.0.1:1\", trusted_proxies = \"::1\", login = { header = \"X-User\" } }".into(),
            "1:69: `header` without `roles` lets nobody in",
            "roles = {",
        ),
        (
            "http = { status = \"127.0.0.1:1\", login = { users = \"u\", roles = { a = \"act\" } } }".into(),
            "1:57: `roles` is for those whom `header` names",
            "file `users`",
        ),
        (
            "http = { status = \"127.0.0.1:1\", trusted_proxies = \"::1\", login = { header = \"X-User\", roles = { a = \"root\" } } }"
                .into(),
            "1:102: `roles`: `root` is not a role; there are `view` and `act`",
            "",
        ),
        (
            "http = { status = \"127.0.0.1:1\", login = { users = \"u\", public = [\"badges\"] } }".into(),
            "1:67: `badges` is no value of `public`",
            "mean `badge`",
        ),
    ]);
}

#[test]
fn repos() {
    let url = |text: &str| format!("[repo.b]\nsecret = \"env:S\"\nurl = \"{text}\"\n");
    each_gives_one(&[
        (
            "[repo.b]\nsecret = \"env:S\"".into(),
            "1:7: `[repo.b]` has no `url`",
            "fetched from",
        ),
        (
            "[repo.b]\nurl = \"/srv/x\"".into(),
            "1:7: `[repo.b]` has no `secret`",
            "never open",
        ),
        (
            "[repo.b]\nurl = \"/srv/x\"\nsecret = []".into(),
            "3:10: `secret` is an empty list",
            "",
        ),
        (
            "[repo.\"a/b\"]\nurl = \"/x\"\nsecret = \"env:S\"".into(),
            "1:7: `a/b`: a name has only letters, digits, `-`, `_` and `.`, and does not start with `-` or `.`",
            "",
        ),
        (
            url("https://a:b@h/x"),
            "3:7: `url`: the URL contains a password or token",
            "`token = ",
        ),
        (
            url("svn://h/x"),
            "3:7: `url`: the scheme `svn` is not supported",
            "https, http, ssh and file",
        ),
        (url("https://h"), "3:7: `url`: the URL names no repository", "git clone"),
        (
            with_repo("forge = \"git-hub\""),
            "4:9: `git-hub` is no value of `forge`",
            "mean `github`",
        ),
        (
            with_repo("allow_from = \"10.0.0.0.0\""),
            "4:14: `allow_from`: `10.0.0.0.0` is not a network",
            "10.0.0.0/8",
        ),
        (
            with_repo("allow_from = \"gogs\""),
            "4:14: `allow_from`: gogs publishes no addresses",
            "networks",
        ),
        (
            with_repo(
                "allow_from = \"work\"\n[forge.work]\nkind = \"gitlab\"\nurl = \"https://h/api/v4\"\ntoken = \"env:T\"",
            ),
            "4:14: `allow_from`: a GitLab of your own publishes no addresses",
            "networks",
        ),
        (
            with_repo("allow_from = \"gihub\""),
            "4:14: `gihub` is no value of `allow_from`",
            "mean `github`",
        ),
        (
            with_repo("auth_header = \"a b\""),
            "4:15: `auth_header`: `a b` is not the name of a header",
            "",
        ),
        (
            with_repo("public_key = \"AAAA\""),
            "4:14: `public_key` is not an Ed25519 key",
            "32 bytes",
        ),
        (
            with_repo("lfs = \"yes\""),
            "4:7: `yes` is no value of `lfs`",
            "`refuse`, `keep`",
        ),
        (
            with_repo("full_name = \"/a\""),
            "4:13: `full_name` is not the name of a repository",
            "alice/blog",
        ),
        (
            with_repo("generic.ref = \"/r\""),
            "4:1: `[repo.blog.generic]` is for `forge = \"generic\"`, and the forge is `github`",
            "",
        ),
        (
            with_repo("forge = \"generic\"\ngeneric.ref = \"r\""),
            "5:15: `ref` is not a JSON pointer",
            "begins with `/`",
        ),
        (
            "[repo.b]\nurl = \"git@h:x\"\nsecret = \"env:S\"\ntoken = \"env:T\"".into(),
            "4:1: `token` is for https remotes",
            "ssh_key",
        ),
    ]);
}

#[test]
fn sources_of_secrets() {
    let secret = |text: &str| format!("[repo.b]\nurl = \"/srv/x\"\nsecret = {text}\n");
    each_gives_one(&[
        (
            secret("\"hunter2\""),
            "3:10: `secret` contains the secret itself, which does not belong in the configuration",
            "\"credential:NAME\", \"file:PATH\" or \"env:VAR\"",
        ),
        (
            secret("\"credential:a/b\""),
            "3:10: `secret`: the name of a credential is a file name, without `/`",
            "LoadCredential",
        ),
        (
            secret("\"file:\""),
            "3:10: `secret`: the path is missing after `file:`",
            "",
        ),
        (
            secret("\"env:1X\""),
            "3:10: `secret`: what follows `env:` is not the name of a variable",
            "",
        ),
        (
            secret("[\"env:S\", \"insecure-none\"]"),
            "3:20: `insecure-none` cannot be combined with another secret",
            "",
        ),
        (
            with_repo("token = \"insecure-none\""),
            "4:9: `token`: `insecure-none` is for webhook secrets only",
            "",
        ),
        (
            format!("listen = \"0.0.0.0:1\"\n{}", secret("\"insecure-none\"")),
            "4:10: `insecure-none` on 0.0.0.0:1, which others can reach (/etc/hookd.toml:1)",
            "unix socket",
        ),
    ]);
    let open = format!(
        "listen = [\"127.0.0.1:1\", \"unix:/run/x\"]\n{}",
        secret("\"insecure-none\"")
    );
    assert!(
        warnings(&open)
            .iter()
            .any(|w| w.starts_with("4:10: `insecure-none`: whoever reaches"))
    );
    // A public key says as well as a secret who may send.
    for enough in [
        "public_key = \"uX7KWyyDNMaBma4aVbJ/cbUQpdjqczuCyK/HxzV/u+4=\"",
        "forge = \"sourcehut\"",
    ] {
        let text = format!("[repo.b]\nurl = \"ssh://git@example.org/~ann/b\"\n{enough}\n");
        let loaded = read(&text).unwrap_or_else(|report| panic!("{:?}", report.diagnostics));
        assert!(loaded.config.repos.values().all(|repo| repo.secret.is_empty()));
    }
}

#[test]
fn refs_and_paths_of_targets() {
    let target = |keys: &str| with_repo(&format!("[repo.blog.deploy.live]\n{keys}"));
    each_gives_one(&[
        (
            target("path = \"/srv/b\""),
            "4:19: `[repo.blog.deploy.live]` has neither `branch` nor `tag`",
            "branch = \"main\"",
        ),
        (
            target("branch = \"main\""),
            "4:19: `[repo.blog.deploy.live]` has no `path`",
            "/srv/blog",
        ),
        (
            with_target("tag = \"v*\""),
            "7:1: `branch` and `tag` in one target",
            "two of them",
        ),
        (
            target("path = \"/\"\nbranch = \"main\""),
            "5:8: `path` is the root of the file system",
            "",
        ),
        (
            target("path = \"/var/lib/hookd/x\"\ntag = \"v\""),
            "5:8: `path` and `state_dir` (/var/lib/hookd) must not contain each other",
            "/srv/NAME",
        ),
        (
            target("path = \"/a\"\nbranch = []"),
            "6:10: `branch` is an empty list",
            "",
        ),
        (
            target("path = \"/a\"\nbranch = \"refs/heads/main\""),
            "6:10: `branch` takes short names",
            "write `main`",
        ),
        (
            target("path = \"/a\"\nbranch = \"refs/tags/v1\""),
            "6:10: `branch` takes no names below `refs/tags/`",
            "tag = \"v1\"",
        ),
        (
            target("path = \"/a\"\nbranch = [\"main\", \"a..*\"]"),
            "6:19: no branch can match `a..*`: not a name that git allows (see git-check-ref-format)",
            "",
        ),
        (
            target("path = \"/a\"\ntag = \"v[1\""),
            "6:7: `tag`: not a valid pattern: unclosed character class; missing ']'",
            "",
        ),
        (
            target("path = \"/a\"\ntag = \"v1\"\nqueue = \"all\""),
            "7:1: `queue = \"all\"` is for branches, not for tags",
            "",
        ),
        (
            target("path = \"/a\"\nbranch = \"main\"\nprereleases = true"),
            "7:1: `prereleases` is for tags, and the target follows branches",
            "leave it out",
        ),
        (
            target("path = \"/a\"\ntag = \"v*\"\norder = \"newest\""),
            "7:9: `newest` is no value of `order`",
            "`version`, `pushed`",
        ),
    ]);
}

#[test]
fn other_keys_of_targets() {
    let nothing_below = "names no file or directory";
    each_gives_one(&[
        (
            with_target("shared = \"/etc\""),
            "7:10: `shared`: `/etc` is absolute; it must be relative to the release",
            "",
        ),
        (
            with_target("shared = [\"a\", \"b/../c\"]"),
            "7:16: `shared`: `b/../c` leads out of the release by `..`",
            "",
        ),
        (
            with_target("shared = \".\""),
            &format!("7:10: `shared`: `.` {nothing_below}"),
            "",
        ),
        (with_target("shared = \"\""), "7:10: `shared` is empty", ""),
        (
            with_target("shared = [\"a\", \"a/b\"]"),
            "7:16: `shared`: `a/b` and `a` must not contain each other",
            "",
        ),
        (
            with_target("strategy = \"in-place\"\nkeep = 3"),
            "8:1: `keep` has no meaning with `strategy = \"in-place\"`",
            "",
        ),
        (
            with_target("strategy = \"in-place\"\nshared = \"a\""),
            "8:1: `shared` has no meaning with `strategy = \"in-place\"`",
            "",
        ),
        (with_target("build = \" \""), "7:9: `build` is empty", ""),
        (
            with_target("build = []"),
            "7:9: `build` is an empty list",
            "leave the key out",
        ),
        (
            with_target("build = [\"\", \"x\"]"),
            "7:10: `build` names no program",
            "",
        ),
        (
            with_target("check = \"http://\""),
            "7:9: not a URL: empty host",
            "https://HOST/PATH",
        ),
        (
            with_target("env = { HOOKD_X = \"1\" }"),
            "7:9: `env`: `HOOKD_X` is reserved",
            "set by hookd",
        ),
        (
            with_target("env = { \"A-B\" = \"1\" }"),
            "7:9: `env`: `A-B` is not the name of a variable",
            "",
        ),
        (
            with_target("notify = \"opps\"\n[notify.ops]\ncommand = \"x\""),
            "7:10: there is no `[notify.opps]`",
            "mean `ops`",
        ),
        (
            with_target("run_as = \"a b\""),
            "7:10: `run_as` is not the name of a user",
            "",
        ),
        (
            with_target("paths = \"/docs\""),
            "7:9: `paths`: no file of a repository matches `/docs`",
            "without `/`",
        ),
        (
            with_target("checks_timeout = \"0s\""),
            "7:18: `checks_timeout` must be between 1s and 7d",
            "",
        ),
        (
            with_target("on = \"a b\""),
            "7:6: `on`: `a b` is not the name of an event",
            "",
        ),
    ]);
}

#[test]
fn two_targets_need_two_directories() {
    for (path, relation) in [
        ("/srv/blog/", "is also that of"),
        ("/srv/./blog/x", "lies inside that of"),
        ("/srv", "encloses that of"),
    ] {
        let text = with_target(&format!(
            "[repo.blog.deploy.next]\nbranch = \"next\"\npath = \"{path}\""
        ));
        let message = format!("9:8: the `path` of blog/next {relation} blog/live (/etc/hookd.toml:6)");
        assert_eq!(errors(&text), [message]);
    }
    // The complaint is about the later one in the file, also if it comes first in the alphabet.
    let text = with_target("[repo.blog.deploy.early]\nbranch = \"next\"\npath = \"/srv\"");
    assert_eq!(
        errors(&text),
        ["9:8: the `path` of blog/early encloses that of blog/live (/etc/hookd.toml:6)"]
    );
}

#[test]
fn events_for_workflows() {
    each_gives_one(&[
        (
            with_repo("dispatch = { event = \"deployed\" }\n[forge.github]\ntoken = \"env:T\""),
            "4:1: `[repo.blog.dispatch]` has no `repo`",
            "alice/docs",
        ),
        (
            with_repo("dispatch.repo = \"https://github.com/alice/docs\"\n[forge.github]\ntoken = \"env:T\""),
            "4:17: `repo` is not the name of a repository at GitHub",
            "OWNER/NAME",
        ),
    ]);
    let found = warnings(&with_target("[repo.blog.dispatch]\nrepo = \"alice/docs\""));
    assert!(
        found[0].ends_with("`dispatch` sends nothing: no `[forge.NAME]` of GitHub has a token"),
        "{found:?}"
    );
}
