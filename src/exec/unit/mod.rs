//! Commands in units of systemd of their own, each an instance of a packaged template.
//!
//! The supervisor has two halves then. The one outside ([`outside`]) is the daemon's child as ever: it asks systemd for the
//! unit over D-Bus, hands the order and the pipes of the output to whoever runs in there, and puts the verdict of systemd
//! beside the report. The one inside ([`inside`]) is the unit's main process, and does what a supervisor does.
//!
//! What is fixed stands in the template, which root owns. What this user may choose is the instance's name, and where two
//! links lead: systemd makes what they lead to writable in the unit, and whether the unit's user may write there at all is
//! for the file system to say. So the right to start these units gives nothing but to run with fewer rights.

mod bus;
mod counters;
mod drop_in;
mod handover;
mod inside;
mod outside;
mod place;
mod proxy;
mod reload_rule;
mod verdict;

use std::fmt;
use std::path::PathBuf;

use nix::unistd::{Group, getgroups};
use serde::{Deserialize, Serialize};

use crate::model::TargetId;

pub(super) use counters::{Counters, Group as CountedGroup};
pub use drop_in::{DropIn, drop_ins};
pub(super) use inside::{Inside, open_directories};
pub(super) use outside::run;
pub use reload_rule::{ReloadRule, reload_rule, writing};

/// Longest name of an instance, bytes: the path of a socket has 108 at most (`unix(7)`).
const INSTANCE_MAX: usize = 80;

/// The group of what commands with a user of their own make, through which hookd removes it one day. It is not the daemon's: members of
/// that one are people, who may use the control socket.
const FILES_GROUP: &str = "hookd-files";

/// The number of that group, if this process is in it.
pub fn files_group() -> Option<u32> {
    let group = Group::from_name(FILES_GROUP).ok().flatten()?.gid;
    let own = getgroups().unwrap_or_default();
    own.contains(&group).then_some(group.as_raw())
}

/// Which packaged template a command runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Template {
    /// `hookd-run@.service`, for `build` and `check`: no way to systemd and no other services by D-Bus.
    Run,
    /// `hookd-reload@.service`, for `reload`: may ask systemd for what the configuration names and polkit allows.
    Reload,
}

impl Template {
    /// The unit's name before the `@`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Run => "hookd-run",
            Self::Reload => "hookd-reload",
        }
    }
}

/// The name of the unit of a target's commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitName {
    template: Template,
    instance: String,
}

impl UnitName {
    /// `hookd-run@blog@production.service` for `blog/production`. Not as `systemd-escape` would have it: that makes `\x2d` of
    /// each `-`, which systemd 257 stumbles over in `CacheDirectory=`, and people, too. All characters of names may stand in
    /// an instance, and `@`, which is in no name, keeps `a/b-c` and `a-b/c` apart.
    pub fn new(template: Template, target: &TargetId) -> Self {
        Self {
            template,
            instance: format!("{}@{}", target.repo, target.target),
        }
    }

    /// An instance that is no target's, to see whether units can be started at all.
    fn probe() -> Self {
        Self {
            template: Template::Run,
            instance: "probe".to_owned(),
        }
    }

    /// Whether a command in there may ask systemd for what the configuration names.
    pub(super) fn asks_systemd(&self) -> bool {
        self.template == Template::Reload
    }

    /// What stands between `@` and `.service`.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}.service", self.template.prefix(), self.instance)
    }
}

/// The unit that a command runs in, and what it needs there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    pub name: UnitName,
    /// The directory of the release, or of the target that is changed in place: can be written.
    pub release: PathBuf,
    /// What the releases share: can be written.
    pub shared: PathBuf,
    /// Whether it may have a network. If not, and root has not said so in a drop-in, the command does not run.
    pub network: bool,
    /// Processes and threads, if the target says how many.
    pub tasks_max: Option<u64>,
    /// Share of the processors, if the target says so.
    pub cpu_weight: Option<u64>,
    /// Share of the disks, if the target says so.
    pub io_weight: Option<u64>,
    /// Whether to say in the output which limits lack a drop-in.
    pub explain: bool,
}

impl Unit {
    /// A unit that writes nowhere and has no limits of its own.
    pub(super) fn probe() -> Self {
        let name = UnitName::probe();
        let nowhere = place::directory(&name);
        Self {
            name,
            release: nowhere.clone(),
            shared: nowhere,
            network: true,
            tasks_max: None,
            cpu_weight: None,
            io_weight: None,
            explain: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_units_of_its_own() {
        let name = |template, target: &str| UnitName::new(template, &target.parse().unwrap()).to_string();
        assert_eq!(
            name(Template::Run, "my-blog/v1.2_x"),
            "hookd-run@my-blog@v1.2_x.service"
        );
        assert_eq!(name(Template::Reload, "a/b-c"), "hookd-reload@a@b-c.service");
        assert_ne!(name(Template::Run, "a-b/c"), name(Template::Run, "a/b-c"));
    }
}
