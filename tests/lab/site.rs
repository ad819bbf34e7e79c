//! A machine with hookd installed and one repo to deploy from, for tests of what commands may do.

use std::path::Path;

use crate::container::{Kind, Machine};

/// Where the repository is, there.
const REPO: &str = "/srv/git/blog";

/// The packaged files, and where the package puts them.
const FILES: &[(&str, &str)] = &[
    ("hookd.service", "/usr/lib/systemd/system/hookd.service"),
    ("hookd-run@.service", "/usr/lib/systemd/system/hookd-run@.service"),
    ("hookd-reload@.service", "/usr/lib/systemd/system/hookd-reload@.service"),
    ("hookd.rules", "/usr/share/polkit-1/rules.d/50-hookd.rules"),
    ("hookd.sysusers", "/usr/lib/sysusers.d/hookd.conf"),
    ("hookd.tmpfiles", "/usr/lib/tmpfiles.d/hookd.conf"),
];

/// The machine.
pub struct Site {
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

impl Site {
    /// Boots a machine and starts hookd there, with the repo `blog`, and each target's own lines. A target follows the branch of its name,
    /// so that what is pushed for one is nothing to the others. There is no commit yet.
    pub fn new(kind: Kind, targets: &[(&str, &str)]) -> Self {
        let site = Self {
            machine: Machine::boot(kind),
        };
        let machine = &site.machine;
        machine.copy(Path::new(env!("CARGO_BIN_EXE_hookd")), "/usr/bin/hookd");
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
        for (from, to) in FILES {
            machine.copy(&packaging.join(from), to);
        }
        machine.sh("systemd-sysusers 2>&1; systemd-tmpfiles --create; systemctl daemon-reload; mkdir -p /srv/git");
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
        site.configure(targets);
        machine.sh("systemctl start hookd");
        site
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

    /// Deploys a target and waits for the end.
    pub fn deploy(&self, target: &str) -> Deployed {
        self.push(target);
        let output = self.machine.try_sh(&format!("hookd deploy blog/{target} 2>&1"));
        Deployed {
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            live: output.status.success(),
        }
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
        text += &format!("[repo.blog.deploy.{name}]\nbranch = {name:?}\npath = \"/srv/{name}\"\n{lines}\n");
    }
    text
}
