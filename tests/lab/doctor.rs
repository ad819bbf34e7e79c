//! `hookd doctor` and `hookd add` on a machine with a systemd of its own: what is planted is found, and what is printed mends it.

use std::process::Output;

use serde_json::Value;

use crate::container::{Machine, PLAIN};
use crate::deb;

/// Looks and rounds of fixes after which there must be nothing left to mend: some things are seen only once others are well.
const ROUNDS: usize = 6;

/// A machine with hookd's package, nothing set up, and a repository.
fn installed() -> Machine {
    let machine = deb::installed(PLAIN);
    machine.until("systemctl is-active nginx");
    machine.sh(
        "git config --global user.name Alice; git config --global user.email alice@example.org
         git config --global --add safe.directory '*'
         git init -q --bare -b main /srv/git/blog.git; git clone -q /srv/git/blog.git /root/blog",
    );
    publish(&machine, "one");
    machine
}

/// Pushes a page.
fn publish(machine: &Machine, page: &str) {
    machine.sh(&format!(
        "cd /root/blog; git checkout -q -B main; echo {page} >index.html; git add -A; git commit -q -m {page}; git push -q origin main"
    ));
}

/// A configuration of nginx with one site.
fn serve(machine: &Machine, site: &str) {
    machine.sh("rm -f /etc/nginx/sites-enabled/default; mkdir -p /etc/nginx/sites-available");
    machine.write("/etc/nginx/sites-available/blog", 0o644, site);
    machine.sh("ln -sf ../sites-available/blog /etc/nginx/sites-enabled/blog; nginx -t -q; systemctl reload nginx");
}

/// What doctor finds, and whether it is content.
fn doctor(machine: &Machine) -> (Vec<Value>, bool) {
    let output = machine.try_sh("hookd doctor --json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", shown(&output)));
    assert_eq!(report["ok"], output.status.success(), "{report}");
    (report["findings"].as_array().unwrap().clone(), output.status.success())
}

fn shown(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn wrong(findings: &[Value]) -> Vec<&Value> {
    let levels = ["error", "warning"];
    findings
        .iter()
        .filter(|finding| levels.iter().any(|level| finding["level"] == *level))
        .collect()
}

/// Types every line that doctor prints, in its order.
#[track_caller]
fn mend(machine: &Machine, findings: &[Value]) -> usize {
    let lines = wrong(findings)
        .into_iter()
        .flat_map(|finding| finding["fix"].as_array().unwrap());
    let mut typed = 0;
    for line in lines.map(|line| line.as_str().unwrap()) {
        let output = machine.try_sh(line);
        assert!(
            output.status.success(),
            "{line}: {}\n{findings:#?}\n{}",
            shown(&output),
            machine.sh("journalctl --no-pager -u hookd -n 30")
        );
        typed += 1;
    }
    typed
}

/// Mends until nothing is left that a line mends; gives everything that was found on the way.
#[track_caller]
fn mend_all(machine: &Machine) -> Vec<Value> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let (findings, _) = doctor(machine);
        all.extend(wrong(&findings).into_iter().cloned());
        if mend(machine, &findings) == 0 {
            return all;
        }
        // What was started begins with a deployment, and what deploys is not judged yet.
        machine.until("! systemctl is-active -q hookd || hookd status --json | grep -q '\"running\": 0'");
    }
    panic!("not mended after {ROUNDS} rounds: {:#?}", wrong(&doctor(machine).0));
}

#[track_caller]
fn found(all: &[Value], level: &str, words: &[&str]) {
    let fits = |finding: &&Value| {
        let text = finding["text"].as_str().unwrap();
        finding["level"] == level && words.iter().all(|word| text.contains(word))
    };
    assert!(all.iter().any(|finding| fits(&finding)), "{words:?} is not in {all:#?}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "a list of mistakes")]
fn planted_mistakes_are_found_and_mended_by_what_is_printed() {
    let machine = installed();
    // No secret, a target that nobody made, one that the unit may not write, one with a credential that is not loaded.
    machine.write(
        "/etc/hookd.toml",
        0o600,
        r#"
[http]
trusted_proxies = ["127.0.0.1"]
[repo.blog]
url = "/srv/git/blog.git"
secret = "file:/etc/hookd/blog.secret"
[repo.blog.deploy.production]
branch = "main"
path = "/srv/blog"
reload = "systemctl reload nginx"
[repo.blog.deploy.stage]
branch = "main"
path = "/var/www/the stage"
[repo.docs]
url = "/srv/git/blog.git"
full_name = "alice/docs"
secret = "credential:docs"
[repo.docs.deploy.production]
branch = "main"
path = "/srv/docs"
[repo.home]
url = "/srv/git/blog.git"
full_name = "alice/home"
secret = "file:/etc/hookd/home.secret"
[repo.home.deploy.production]
branch = "main"
path = "/home/site/www"
"#,
    );
    machine.sh(
        "openssl rand -hex 32 >/etc/hookd/home.secret; chmod 644 /etc/hookd/home.secret; install -d -m 700 /srv/docs",
    );
    machine.sh("mkdir -p /etc/systemd/system/hookd.service.d");
    machine.write(
        "/etc/systemd/system/hookd.service.d/open.conf",
        0o644,
        "[Service]\nNoNewPrivileges=no\n",
    );
    serve(
        &machine,
        "server {
    listen 80;
    server_name blog.example.org;
    root /srv/blog/releases/20261122T101500Z-1a2b3c4;
    disable_symlinks on;
    location /hook/ {
        proxy_pass http://127.0.0.1:9000;
    }
}
",
    );
    let all = mend_all(&machine);
    for (level, words) in [
        ("error", &["/etc/hookd.toml", "can't be read by hookd"][..]),
        ("error", &["repo.blog.secret", "is not there"]),
        ("error", &["repo.home.secret", "open to every user"]),
        ("error", &["repo.docs.secret", "no LoadCredential=docs"]),
        ("error", &["blog/production", "/srv/blog is not there"]),
        ("error", &["asks systemd for nginx.service", "no polkit rule"]),
        ("error", &["blog/stage", "ReadWritePaths= lacks it"]),
        ("error", &["docs/production", "may not write in /srv/docs"]),
        ("error", &["home/production", "ProtectHome= of the unit hides"]),
        ("warning", &["open.conf:2", "NoNewPrivileges=no"]),
        ("error", &["hookd.service is not enabled"]),
        ("error", &["hookd.service does not run"]),
        ("error", &["sites-enabled/blog:4", "one release for ever"]),
        ("error", &["sites-enabled/blog:5", "follows no links"]),
        ("warning", &["sites-enabled/blog:7", "refuses webhooks of more than"]),
        ("warning", &["sites-enabled/blog:7", "not told who sent"]),
        ("warning", &["repo blog", "no webhook was ever seen"]),
    ] {
        found(&all, level, words);
    }
    // The home directory is open now, which is told, and it is the price of a site in there.
    let (findings, content) = doctor(&machine);
    assert!(content, "{findings:#?}");
    let left: Vec<&str> = wrong(&findings)
        .iter()
        .map(|finding| finding["text"].as_str().unwrap())
        .collect();
    assert!(
        left.iter()
            .all(|text| text.contains("ever seen") || text.contains("ProtectHome=no")),
        "{left:#?}"
    );
    let page = ["curl", "-s", "http://127.0.0.1/index.html"];
    assert_eq!(machine.net(&page).trim(), "one");

    publish(&machine, "two");
    machine.sh("hookd send blog --url http://127.0.0.1/hook/blog");
    machine.until("grep -qx two /srv/blog/current/index.html");
    assert_eq!(machine.net(&page).trim(), "two");
    machine.sh("hookd pause blog/stage");
    let all = mend_all(&machine);
    found(&all, "warning", &["blog/stage: paused"]);
    let text = machine.sh("hookd doctor -v");
    assert!(
        text.contains("repo blog: the last webhook came") && text.contains("no errors"),
        "{text}"
    );
}

#[test]
fn a_running_machine_that_goes_wrong_is_found_out() {
    let machine = installed();
    machine.sh("hookd add /srv/git/blog.git --build 'test ! -e broken' && systemctl enable -q --now hookd");
    machine.until("test -e /srv/blog/current/index.html");
    machine.sh("chmod 666 /run/hookd/control.sock; rm /etc/hookd/blog.secret; touch /root/blog/broken");
    publish(&machine, "two");
    machine.try_sh("hookd deploy blog");
    let (findings, content) = doctor(&machine);
    assert!(!content);
    found(&findings, "error", &["control.sock", "every user of this machine"]);
    found(&findings, "error", &["repo.blog.secret", "is not there"]);
    found(&findings, "error", &["its last deployment", "failed"]);
    found(&findings, "ok", &["the journal can be read"]);
    machine.sh("cd /root/blog; git rm -q broken; git commit -q -m mended; git push -q origin main");
    mend_all(&machine);
    assert!(doctor(&machine).1);
    // Another daemon than the one that the program is of would be told, too; and one that hangs.
    machine.sh("systemctl kill -s STOP hookd; rm -f /run/hookd/control.sock");
    let (findings, _) = doctor(&machine);
    found(&findings, "error", &["hookd runs but does not answer"]);
}

#[test]
fn whoever_is_not_root_learns_what_takes_root() {
    let machine = installed();
    machine.sh("hookd add /srv/git/blog.git && systemctl enable -q --now hookd && useradd alice");
    machine.until("test -e /srv/blog/current/index.html");
    let output = machine.try_sh("setpriv --reuid=alice --regid=alice --init-groups hookd doctor -v");
    let text = shown(&output);
    assert!(
        text.contains("/etc/hookd.d/blog.toml may not be read by you") && text.contains("adduser alice hookd"),
        "{text}"
    );
    machine.sh("gpasswd -a alice hookd");
    let output = machine.try_sh("setpriv --reuid=alice --regid=alice --init-groups hookd doctor -v");
    let text = shown(&output);
    assert!(
        text.contains("control socket /run/hookd/control.sock answers"),
        "{text}"
    );
    assert!(
        text.contains("adduser alice systemd-journal") && text.contains("no errors"),
        "{text}"
    );
}

#[test]
fn a_fresh_machine_serves_after_one_command() {
    let machine = installed();
    serve(
        &machine,
        "server {
    listen 80;
    server_name blog.example.org;
    root /var/www/blog/current;
    location /hook/ {
        proxy_pass http://127.0.0.1:9000;
        proxy_set_header X-Forwarded-For $remote_addr;
        client_max_body_size 25m;
    }
}
",
    );
    let said = machine.sh("hookd add /srv/git/blog.git --path /var/www/blog --hook-url https://blog.example.org");
    assert!(
        said.contains("systemctl enable --now hookd") && said.contains("https://blog.example.org/hook/blog"),
        "{said}"
    );
    let rights =
        machine.sh("stat -c '%n %U:%G %a' /etc/hookd.toml /etc/hookd.d/blog.toml /etc/hookd/blog.secret /var/www/blog");
    assert_eq!(
        rights.trim(),
        "/etc/hookd.toml root:root 644\n/etc/hookd.d/blog.toml root:hookd 640\n/etc/hookd/blog.secret hookd:hookd 400\n\
         /var/www/blog hookd:hookd 755"
    );
    machine.sh("systemctl enable -q --now hookd");
    machine.until("test -e /var/www/blog/current/index.html");
    publish(&machine, "two");
    machine.sh("hookd send blog --url http://127.0.0.1/hook/blog");
    machine.until("grep -qx two /var/www/blog/current/index.html");
    assert_eq!(
        machine.net(&["curl", "-s", "http://127.0.0.1/index.html"]).trim(),
        "two"
    );
    let again = machine.sh("hookd add /srv/git/blog.git --path /var/www/blog");
    assert!(again.contains("nothing was changed"), "{again}");

    // A second repo comes to the running daemon, and goes again.
    let said =
        machine.sh("hookd add /srv/git/blog.git --name more --forge gitea --full-name alice/more --path /opt/more");
    assert!(said.contains("the daemon has read it"), "{said}");
    machine.until("test -e /opt/more/current/index.html");
    machine.until("hookd status --json | grep -q '\"running\": 0'");
    machine.sh("hookd remove more --purge --yes");
    machine.sh("test ! -e /opt/more && test ! -e /etc/hookd/more.secret && ! hookd status | grep more/");
    machine.sh("test ! -e /etc/systemd/system/hookd.service.d/more-production.conf");
    machine.sh("hookd remove blog; hookd check; test -e /var/www/blog/current/index.html");
}
