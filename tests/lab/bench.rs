//! A machine with hookd installed and one repo with many targets, for tests of what their commands may do.

use std::fmt::Write as _;

use crate::container::{Kind, Machine};
use crate::deb;

/// Where the repository is, there.
const REPO: &str = "/srv/git/blog";

/// The machine.
pub struct Bench {
    /// To look around and to change things.
    pub machine: Machine,
}

/// What a deployment came to.
pub struct Deployed {
    /// What `hookd deploy` printed.
    pub text: String,
    /// Whether it exited with 0.
    pub live: bool,
}

impl Deployed {
    /// Panics unless it is live.
    #[track_caller]
    pub fn live(self) -> String {
        assert!(self.live, "{}", self.text);
        self.text
    }

    /// Panics if it is live.
    #[track_caller]
    pub fn failed(self) -> String {
        assert!(!self.live, "{}", self.text);
        self.text
    }
}

impl Bench {
    /// Boots a machine and starts hookd there, with the repo `blog`, and each target's own lines. A target follows the branch of its name,
    /// so that what is pushed for one is nothing to the others. There is no commit yet.
    pub fn new(kind: Kind, targets: &[(&str, &str)]) -> Self {
        let bench = Self {
            machine: deb::installed(kind),
        };
        let machine = &bench.machine;
        machine.sh("mkdir -p /srv/git");
        machine.sh(&format!(
            "git init -q -b main {REPO}; cd {REPO}; git config user.email t@example.com; git config user.name t; \
             git config --system --add safe.directory '*'"
        ));
        for secret in ["blog", "other"] {
            machine.write(
                &format!("/etc/hookd/{secret}.secret"),
                0o640,
                "a secret of 24 characters",
            );
        }
        machine.sh("chgrp hookd /etc/hookd/*.secret");
        bench.configure(targets);
        machine.sh("systemctl start hookd");
        bench
    }

    /// Writes the configuration anew; a daemon that runs has to be told.
    pub fn configure(&self, targets: &[(&str, &str)]) {
        self.machine.write("/etc/hookd.toml", 0o644, &configuration(targets));
        for (name, _) in targets {
            self.machine.sh(&format!("install -d -o hookd /srv/{name}"));
        }
    }

    /// Another commit, on the target's own branch.
    pub fn push(&self, target: &str) {
        self.machine.sh(&format!(
            "cd {REPO}; git checkout -qB {target}; date +%N >> file; git add .; git commit -qm another"
        ));
    }

    /// Pushes to a target, deploys it and waits for the end. The look at the remote that follows the deployment before may take the push
    /// first; `hookd deploy` then finds nothing to do, and what counts is the deployment that this look began.
    pub fn deploy(&self, target: &str) -> Deployed {
        self.push(target);
        let asked = self.machine.try_sh(&format!("hookd deploy blog/{target} 2>&1"));
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        let text = if text.contains("· unchanged: ") {
            self.log_of_tip(target)
        } else {
            text
        };
        Deployed {
            text,
            live: asked.status.success(),
        }
    }

    /// The log of the deployment that made the target's last commit live.
    fn log_of_tip(&self, target: &str) -> String {
        let tip = self.machine.sh(&format!("git -C {REPO} rev-parse {target}"));
        let history: serde_json::Value = serde_json::from_str(&self.machine.sh("hookd history --json")).unwrap();
        let mut rows = history.as_array().unwrap().iter();
        let made = rows.find(|row| row["commit"] == tip.trim() && row["outcome"] == "live");
        let made = made.unwrap_or_else(|| panic!("no deployment of {tip}: {history}"));
        self.machine.sh(&format!("hookd logs {}", made["id"]))
    }

    /// Waits until this deployment ended in this way.
    #[track_caller]
    pub fn until_ended(&self, deployment: u64, outcome: &str) {
        self.machine.until(&format!(
            "hookd history --json | tr -d ' \\n' | grep -q '\"id\":{deployment},[^{{]*\"outcome\":\"{outcome}\"'"
        ));
    }

    /// What the daemon said in the journal.
    pub fn journal(&self) -> String {
        self.machine.sh("journalctl --no-pager -o cat -u hookd")
    }
}

/// The whole of it.
pub fn configuration(targets: &[(&str, &str)]) -> String {
    let mut text = format!("[repo.blog]\nurl = {REPO:?}\nsecret = \"file:/etc/hookd/blog.secret\"\npoll = \"off\"\n");
    for (name, lines) in targets {
        writeln!(
            text,
            "[repo.blog.deploy.{name}]\nbranch = {name:?}\npath = \"/srv/{name}\"\n{lines}"
        )
        .unwrap();
    }
    text
}
