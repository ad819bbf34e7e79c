//! One whole forge: a person pushes to a Pagure over ssh, its own signed webhook arrives, and the page changes. Pagure, nginx
//! and hookd share a machine.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::container::{Kind, Machine};

/// Debian 13, the first release whose Pagure runs.
const FORGE: Kind = Kind {
    suite: "trixie",
    packages: "pagure,pagure-webhook,redis-server,openssh-server,git,curl,nginx-light,libssl3t64",
    cgroup: "unified",
};

/// What nothing comes near that is awaited, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Nothing is polled: what goes live was announced. `preview` and `tagged` show what else Pagure announces.
const CONFIG: &str = r#"
[forge.pagure]
url = "http://127.0.0.1:5000/api/0"
token = "file:/etc/hookd/flag.token"

[repo.site]
url = "ssh://_pagure@127.0.0.1/site.git"
forge = "pagure"
secret = "file:/etc/hookd/site.secret"
ssh_key = "/etc/hookd/site.key"
known_hosts = "/etc/hookd/known_hosts"
poll = "off"

[repo.site.deploy.production]
branch = "main"
path = "/srv/site"
build = "mkdir public && sed 's/^/built from /' page > public/index.html"

[repo.site.deploy.preview]
branch = "preview"
path = "/srv/preview"

[repo.site.deploy.tagged]
tag = "v*"
path = "/srv/tagged"
"#;

const PAGE: &str = "server { listen 127.0.0.1:80 default_server; root /srv/site/current/public; }\n";

/// A machine with the forge, a person who pushes, and hookd.
struct Forge(Machine);

impl Forge {
    fn ready() -> Self {
        let forge = Self(Machine::boot(FORGE));
        let machine = &forge.0;
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        machine.copy(&top.join("tests/lab/pagure"), "/opt/pagure");
        machine.sh("/opt/pagure/setup");
        forge.person();
        forge.hookd(top);
        forge
    }

    /// Alice has an ssh key, a project, and a work tree.
    fn person(&self) {
        let machine = &self.0;
        machine.sh("useradd --create-home --shell /bin/sh alice");
        self.alice("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519");
        machine.sh("install -m 644 /home/alice/.ssh/id_ed25519.pub /run/alice.pub");
        self.administer("user alice /run/alice.pub");
        let token = self.administer("project alice site http://127.0.0.1:9000/hook/site");
        machine.sh("install -d -m 755 /etc/hookd");
        machine.write("/etc/hookd/site.secret", 0o600, token.trim());
        let token = self.administer("flag-token site");
        machine.write("/etc/hookd/flag.token", 0o600, token.trim());
        machine.sh("sed 's/^/127.0.0.1 /' /etc/ssh/ssh_host_ed25519_key.pub > /etc/hookd/known_hosts");
        self.alice("cp /etc/hookd/known_hosts ~/.ssh/known_hosts; git config --global user.name Alice");
        self.alice("git config --global user.email alice@example.org");
        self.alice("git init -q -b main site; git -C site remote add origin ssh://_pagure@127.0.0.1/site.git");
    }

    /// The daemon as it is packaged, with a deploy key of its own.
    fn hookd(&self, top: &Path) {
        let machine = &self.0;
        machine.copy(Path::new(env!("CARGO_BIN_EXE_hookd")), "/usr/bin/hookd");
        for (file, place) in [
            ("hookd.service", "/usr/lib/systemd/system/hookd.service"),
            ("hookd.sysusers", "/usr/lib/sysusers.d/hookd.conf"),
        ] {
            machine.copy(&top.join("packaging").join(file), place);
        }
        machine.write("/etc/hookd.toml", 0o644, CONFIG);
        machine.sh("systemd-sysusers; install -d -o hookd -g hookd /srv/site /srv/preview /srv/tagged");
        machine.sh("ssh-keygen -q -t ed25519 -N '' -C hookd -f /etc/hookd/site.key; chown -R hookd: /etc/hookd");
        self.administer("deploy-key site /etc/hookd/site.key.pub");
        machine.write("/etc/nginx/sites-enabled/default", 0o644, PAGE);
        machine.sh("systemctl daemon-reload; systemctl start hookd; systemctl restart nginx");
    }

    /// What is done on Pagure's pages, see the script.
    #[track_caller]
    fn administer(&self, what: &str) -> String {
        let user = "setpriv --reuid=_pagure --regid=_pagure --init-groups env HOME=/var/lib/pagure";
        self.0
            .sh(&format!("{user} python3 -W ignore /opt/pagure/administer {what}"))
    }

    #[track_caller]
    fn alice(&self, line: &str) -> String {
        self.0.sh(&format!("su - alice -c {}", quoted(line)))
    }

    /// Alice commits this page and pushes.
    #[track_caller]
    fn push(&self, page: &str) {
        self.alice(&format!(
            "cd site; echo {page} > page; git add page; git commit -qm {page}; git push -q origin main"
        ));
    }

    fn list(&self, what: &str) -> Vec<Value> {
        let Ok(Value::Array(mut rows)) = serde_json::from_str(&self.0.sh(&format!("hookd {what} --json"))) else {
            panic!("hookd {what} gives no list")
        };
        rows.reverse();
        rows
    }

    /// Result, event and reason of all deliveries, oldest first.
    fn deliveries(&self) -> Vec<[String; 3]> {
        let told = |row: Value| ["result", "event", "reason"].map(|key| row[key].as_str().unwrap_or("").to_owned());
        self.list("deliveries").into_iter().map(told).collect()
    }

    /// Target and outcome of all deployments that did something, oldest first.
    fn deployments(&self) -> Vec<(String, String)> {
        let told = |row: Value| {
            let text = |key: &str| row[key].as_str().unwrap_or("none").to_owned();
            (text("target"), text("outcome"))
        };
        let done = |(_, outcome): &(String, String)| outcome != "unchanged" && outcome != "superseded";
        self.list("history").into_iter().map(told).filter(done).collect()
    }

    /// Waits until so many deliveries came, the last of them of this event, and nothing is left to do.
    #[track_caller]
    fn settled(&self, event: &str, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let deliveries = self.deliveries();
            let of_event = deliveries.iter().filter(|[_, name, _]| name == event).count();
            let status: Value = serde_json::from_str(&self.0.sh("hookd status --json")).unwrap();
            let idle = status["waiting"] == 0 && status["running"] == 0;
            if of_event == count && idle {
                return;
            }
            assert!(
                Instant::now() < end && of_event <= count,
                "waited in vain for {count} of {event}: {deliveries:#?}\n{}",
                self.0.sh("journalctl --no-pager -u hookd -u pagure-webhook -n 200")
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the commit whose page that is has one flag, with this status.
    #[track_caller]
    fn flagged(&self, page: &str, status: &str) {
        let commit = self.alice(&format!("git -C site log -1 --format=%H --grep={page}"));
        let flags = format!("http://127.0.0.1:5000/api/0/site/c/{}/flag", commit.trim());
        let of = "import json, sys; print(*[f[\"status\"] for f in json.load(sys.stdin)[\"flags\"]])";
        self.0
            .until(&format!("test \"$(curl -sf {flags} | python3 -c '{of}')\" = {status}"));
    }

    /// What the web server shows.
    fn page(&self) -> String {
        let answer = self.0.try_sh("curl -sf http://127.0.0.1/");
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn live(target: &str) -> (String, String) {
    (target.to_owned(), "live".to_owned())
}

#[test]
fn a_push_to_a_real_forge_changes_the_page() {
    let forge = Forge::ready();
    pushes_go_live(&forge);
    new_branches_and_tags_go_live(&forge);
    another_token_is_refused(&forge);
    deletions_change_nothing(&forge);
    another_host_key_is_refused(&forge);
}

fn pushes_go_live(forge: &Forge) {
    // Of a new branch come two deliveries, and one deployment comes of them.
    forge.push("one");
    forge.settled("git.branch.creation", 1);
    forge.settled("git.receive", 1);
    assert_eq!(forge.page(), "built from one");
    assert_eq!(forge.deployments(), [live("site/production")]);
    assert_eq!(forge.0.sh("ls /srv/site/releases | wc -l").trim(), "1");

    forge.push("two");
    forge.settled("git.receive", 2);
    assert_eq!(forge.page(), "built from two");
    assert_eq!(forge.deployments(), [live("site/production"), live("site/production")]);
    // Flags are announced, too.
    let deliveries = forge.list("deliveries");
    let last = deliveries.iter().rfind(|row| row["event"] == "git.receive").unwrap();
    assert_eq!(
        (&last["forge"], &last["result"]),
        (&"pagure".into(), &"accepted".into())
    );
    forge.flagged("two", "success");
    // The id is the body's `msg_id`, which begins with the year.
    assert!(last["delivery"].as_str().unwrap().starts_with("20"), "{last}");
}

fn new_branches_and_tags_go_live(forge: &Forge) {
    // Pagure says nothing of the commits of this branch, since `main` has them; the remote is asked.
    forge.alice("cd site; git tag -m 'the first' v1; git push -q origin main:preview v1");
    forge.settled("git.branch.creation", 2);
    forge.settled("git.tag.creation", 1);
    forge.0.until("test \"$(cat /srv/preview/current/page)\" = two");
    assert_eq!(forge.0.sh("cat /srv/tagged/current/page").trim(), "two");
}

fn another_token_is_refused(forge: &Forge) {
    let before = forge.deployments();
    let token = forge.administer("new-token site");
    forge.push("three");
    forge.settled("git.receive", 3);
    let refused = forge.list("deliveries").pop().unwrap();
    assert_eq!(
        (&refused["result"], &refused["reason"]),
        (&"rejected".into(), &"signature-wrong".into())
    );
    assert_eq!(refused["remote_addr"], "127.0.0.1");
    // What Pagure was told.
    forge
        .0
        .until("journalctl -u pagure-webhook | grep -q 'Error code: 401'");
    let line = forge.0.sh("journalctl -u hookd -o cat HOOKD_REASON=signature-wrong");
    assert_eq!(line.trim(), "refused a delivery: signature-wrong");
    assert_eq!((forge.deployments(), forge.page()), (before, "built from two".into()));

    forge.0.write("/etc/hookd/site.secret", 0o600, token.trim());
    forge
        .0
        .sh("chown hookd: /etc/hookd/site.secret; systemctl reload hookd");
}

fn deletions_change_nothing(forge: &Forge) {
    forge.alice("cd site; git push -q origin :preview :v1");
    forge.settled("git.branch.deletion", 1);
    forge.settled("git.tag.deletion", 1);
    let deliveries = forge.deliveries();
    for [result, event, reason] in &deliveries[deliveries.len() - 2..] {
        assert_eq!(result, "ignored", "{event}");
        assert!(reason.contains(" was deleted"), "{event}: {reason}");
    }
    assert_eq!(forge.page(), "built from two");
    assert_eq!(
        forge.0.sh("cat /srv/preview/current/page /srv/tagged/current/page"),
        "two\ntwo\n"
    );
}

fn another_host_key_is_refused(forge: &Forge) {
    forge
        .0
        .sh("cp /etc/hookd/known_hosts /run/known_hosts; ssh-keygen -q -t ed25519 -N '' -f /run/stranger");
    forge
        .0
        .sh("sed 's/^/127.0.0.1 /' /run/stranger.pub > /etc/hookd/known_hosts");
    let refused = forge.0.try_sh("hookd deploy site/production");
    let told = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("/etc/hookd/known_hosts:1"), "{told}");
    assert_eq!(forge.page(), "built from two");

    forge
        .0
        .sh("cp /run/known_hosts /etc/hookd/known_hosts; hookd deploy site/production");
    assert_eq!(forge.page(), "built from three");
}
