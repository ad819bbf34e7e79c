//! What the kernel counts for a control group: processes that it killed for want of memory, and forks that it refused.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where systemd mounts control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// Both counters; what can't be read is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::exec) struct Counters {
    /// Processes that the kernel killed since the group was over its memory.
    pub oom_kills: u64,
    /// Forks that failed since the group had all its tasks.
    pub refused_forks: u64,
}

/// Bytes of a file of events, and some more.
const EVENTS_MAX: usize = 512;

/// The counters of the control group of this process, which has to be its unit's own. The files stay open, and are read without
/// taking memory: there may be none left when it matters.
pub(in crate::exec) struct Group {
    memory: Option<File>,
    tasks: Option<File>,
    before: Counters,
}

impl Group {
    /// Begins to count. A unit's group may live on from one command to the next.
    pub(super) fn own() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let open = |controller| File::open(file(&groups, controller)?).ok();
        let mut group = Self {
            memory: open("memory"),
            tasks: open("pids"),
            before: Counters::default(),
        };
        group.before = group.so_far();
        group
    }

    fn so_far(&self) -> Counters {
        let read = |file: &Option<File>, key| {
            let mut text = [0; EVENTS_MAX];
            let length = file.as_ref()?.read_at(&mut text, 0).ok()?;
            count(std::str::from_utf8(&text[..length]).ok()?, key)
        };
        Counters {
            oom_kills: read(&self.memory, "oom_kill").unwrap_or(0),
            refused_forks: read(&self.tasks, "max").unwrap_or(0),
        }
    }

    /// What was counted since the command began.
    pub(in crate::exec) fn counted(&self) -> Counters {
        let now = self.so_far();
        Counters {
            oom_kills: now.oom_kills.saturating_sub(self.before.oom_kills),
            refused_forks: now.refused_forks.saturating_sub(self.before.refused_forks),
        }
    }
}

/// Where the events of a controller are counted. `/proc/self/cgroup` says `0::/system.slice/x.service` for version 2,
/// and `4:memory:/system.slice/x.service` for a controller of version 1 (`cgroups(7)`).
fn file(groups: &str, controller: &str) -> Option<PathBuf> {
    let of = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (
            parts.next()?.to_owned(),
            parts.next()?.trim_start_matches('/').to_owned(),
        );
        // In a group above the unit's others are counted, too.
        path.ends_with(".service").then_some((names, path))
    };
    let groups: Vec<(String, String)> = groups.lines().filter_map(of).collect();
    let first = groups
        .iter()
        .find(|(names, _)| names.split(',').any(|name| name == controller));
    if let Some((names, path)) = first {
        let directory = Path::new(ROOT).join(names).join(path);
        let name = if controller == "memory" {
            "memory.oom_control"
        } else {
            "pids.events"
        };
        return Some(directory.join(name));
    }
    let (_, path) = groups.iter().find(|(names, _)| names.is_empty())?;
    let directory = Path::new(ROOT).join(path);
    Some(directory.join(format!("{controller}.events")))
}

/// The number after a key in lines of `KEY NUMBER`.
fn count(text: &str, key: &str) -> Option<u64> {
    let mut values = text.lines().filter_map(|line| line.split_once(' '));
    values.find(|(name, _)| *name == key)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_where_each_version_has_them() {
        let found = |groups, controller| file(groups, controller).map(|file| file.to_str().unwrap().to_owned());
        let two = "0::/system.slice/a@b.service\n";
        assert_eq!(
            found(two, "memory").unwrap(),
            "/sys/fs/cgroup/system.slice/a@b.service/memory.events"
        );
        let one = "9:pids:/s/a.service\n4:memory:/s/a.service\n1:name=systemd:/s/a.service\n0::/s/a.service\n";
        assert_eq!(
            found(one, "memory").unwrap(),
            "/sys/fs/cgroup/memory/s/a.service/memory.oom_control"
        );
        assert_eq!(
            found(one, "pids").unwrap(),
            "/sys/fs/cgroup/pids/s/a.service/pids.events"
        );
        assert_eq!(found("0::/user.slice\n", "pids"), None);
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((count(text, "oom_kill"), count(text, "max")), (Some(2), None));
        assert_eq!(
            count("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", "oom_kill"),
            Some(1)
        );
    }
}
