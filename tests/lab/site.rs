//! A machine whose hookd deploys one site, from a repository on the same machine; deliveries come over the network.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::container::{Kind, Machine, PLAIN};
use super::deb;
use crate::support::forge::{self, Delivery, SECRET};
use crate::support::http::{Address, Answer};

/// Where the repository is; it belongs to hookd's user, as git asks for.
pub const REPOSITORY: &str = "/srv/git/site.git";

/// Where hookd listens.
pub fn address() -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 9000)))
}

/// A machine with one site.
pub struct Site {
    pub machine: Machine,
}

impl Site {
    /// The site `site/live` with these further keys of its target, and nothing deployed yet.
    pub fn new(target: &str) -> Self {
        Self::on(PLAIN, target)
    }

    /// The same on another kind of machine.
    pub fn on(kind: Kind, target: &str) -> Self {
        let site = Self::stopped_on(kind);
        site.configure(&configuration(target));
        site.machine.sh("systemctl enable --now hookd");
        site
    }

    /// The same, before hookd is configured and started.
    pub fn stopped() -> Self {
        Self::stopped_on(PLAIN)
    }

    /// The same on another kind of machine.
    pub fn stopped_on(kind: Kind) -> Self {
        let machine = deb::installed(kind);
        machine.sh(&format!(
            "install -d -o hookd -g hookd /srv/git /srv/site /srv/work
             cat >/etc/gitconfig <<'END'
[user]
  name = Alice
  email = alice@example.org
[init]
  defaultBranch = main
END
             runuser -u hookd -- git init --quiet --bare {REPOSITORY}
             runuser -u hookd -- git clone --quiet {REPOSITORY} /srv/work 2>/dev/null"
        ));
        machine.write("/etc/hookd/site.secret", 0o640, SECRET);
        machine.sh("chown root:hookd /etc/hookd/site.secret");
        Self { machine }
    }

    /// Writes the configuration.
    pub fn configure(&self, text: &str) {
        self.machine.write("/etc/hookd.toml", 0o644, text);
    }

    /// Commits a page and pushes it; gives the commit. Nobody tells hookd.
    #[track_caller]
    pub fn publish(&self, page: &str) -> String {
        let printed = self.machine.sh(&format!(
            "cd /srv/work; echo '{page}' > index.html
             runuser -u hookd -- sh -euc 'git add -A; git commit -qm \"$1\"; git push -q origin HEAD:main; git rev-parse HEAD' - '{page}'"
        ));
        printed.trim().to_owned()
    }

    /// Sends a signed delivery from outside, which says that `main` is at this commit.
    #[track_caller]
    pub fn deliver(&self, commit: &str) -> Answer {
        let delivery = pushed(commit);
        self.machine.in_network(|| address().send(&delivery.bytes())).unwrap()
    }

    /// A push of a page, with its delivery; gives the commit.
    #[track_caller]
    pub fn push(&self, page: &str) -> String {
        let commit = self.publish(page);
        self.deliver(&commit).expect(202);
        commit
    }

    /// Waits until this page is live.
    #[track_caller]
    pub fn served(&self, page: &str) {
        self.machine
            .until(&format!("grep -qx '{page}' /srv/site/current/index.html"));
    }

    /// Waits until nothing runs and nothing waits.
    #[track_caller]
    pub fn settled(&self) {
        self.machine
            .until("hookd status --json | tr -d ' ' | tr '\\n' ' ' | grep -q '\"waiting\":0,.*\"running\":0,'");
    }

    /// What a command with `--json` prints.
    #[track_caller]
    pub fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.machine.sh(command)).unwrap()
    }

    /// systemd's word about hookd.
    #[track_caller]
    pub fn property(&self, name: &str) -> String {
        self.machine
            .sh(&format!("systemctl show --value -p {name} hookd"))
            .trim()
            .to_owned()
    }
}

/// A configuration with this site.
pub fn configuration(target: &str) -> String {
    format!(
        r#"
[repo.site]
url = "{REPOSITORY}"
full_name = "alice/site"
forge = "github"
secret = "file:/etc/hookd/site.secret"
poll = "off"
[repo.site.deploy.live]
branch = "main"
path = "/srv/site"
{target}
"#
    )
}

/// A signed push of `main`. Each is another one: a forge would not send the same bytes under another id.
pub fn pushed(commit: &str) -> Delivery {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let mut payload = forge::push("alice/site", "refs/heads/main", forge::ZEROS, commit);
    payload["repository"]["pushed_at"] = NUMBER.fetch_add(1, Ordering::Relaxed).into();
    Delivery::github("push", payload.to_string()).signed(SECRET)
}

/// Sends a delivery with the program curl of this machine, in the network of the other; gives the body of the answer.
#[track_caller]
pub fn curl(machine: &Machine, delivery: &Delivery, arguments: &[&str]) -> String {
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), &delivery.body).unwrap();
    let data = format!("@{}", body.path().display());
    let of = |(name, value): &(String, String)| format!("{name}: {value}");
    let headers: Vec<String> = delivery.headers.iter().map(of).collect();
    let mut command = vec!["curl", "-sS", "--data-binary", &data];
    command.extend(headers.iter().flat_map(|header| ["-H", header]));
    command.extend(arguments);
    machine.net(&command)
}
