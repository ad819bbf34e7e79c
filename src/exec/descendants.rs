//! The processes below this one, found in /proc, and signals to all of them.
//!
//! The supervisor is a child subreaper: whoever loses their parent becomes its child. So the tree below it holds every
//! process that the command ever made, whatever sessions and process groups they went into.

use std::collections::HashMap;
use std::fs;
use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process as /proc/PID/stat tells it (`proc_pid_stat(5)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// The name of its program, as far as the kernel keeps it.
    pub name: String,
    /// Whether it still runs: a zombie only waits to be reaped.
    pub alive: bool,
}

/// `PID (NAME) STATE PPID …`. The name may hold anything, parentheses and spaces too: the last `)` ends it.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        name: name.to_owned(),
        alive: !matches!(state, "Z" | "X"),
    })
}

/// All processes that /proc shows. One that ends meanwhile is left out.
pub(super) fn processes() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let stat = fs::read(format!("/proc/{}/stat", name.to_string_lossy()));
        found.extend(stat.ok().and_then(|stat| parse(&String::from_utf8_lossy(&stat))));
    }
    Ok(found)
}

/// The living ones among `all` that are below `root`.
fn below(root: i32, all: Vec<Process>) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while next < found.len() {
        found.extend(children.remove(&found[next].pid).unwrap_or_default());
        next += 1;
    }
    found.retain(|process| process.alive);
    found
}

/// Every living process below this one.
pub(super) fn list() -> io::Result<Vec<Process>> {
    Ok(below(Pid::this().as_raw(), processes()?))
}

/// Sends `signal` to every living process below this one. One that is already gone is fine, and one that may not be
/// signalled (a set-user-id program) shows up among the survivors.
pub(super) fn signal_all(signal: Signal) -> io::Result<()> {
    for process in list()? {
        // Nothing to do about an error: see above.
        let _ = kill(Pid::from_raw(process.pid), signal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        Process {
            pid,
            parent,
            name: "x".into(),
            alive: true,
        }
    }

    #[test]
    fn names_may_hold_anything() {
        let odd = parse("42 (a) R 1 (x) S 7 42 42 0").unwrap();
        assert_eq!(
            (odd.pid, odd.parent, odd.name.as_str(), odd.alive),
            (42, 7, "a) R 1 (x", true)
        );
        assert!(!parse("42 (sh) Z 7 42").unwrap().alive);
        assert_eq!(parse("42 (sh"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn the_tree_below_a_process_and_nothing_beside_it() {
        let mut zombie = process(30, 10);
        zombie.alive = false;
        let all = vec![
            process(40, 30),
            process(10, 5),
            process(5, 1),
            process(20, 10),
            process(6, 1),
            zombie,
        ];
        let mut pids: Vec<i32> = below(5, all).iter().map(|p| p.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [10, 20, 40]);
    }

    #[test]
    fn proc_is_read_as_it_is() {
        let me = Pid::this().as_raw();
        let parent = nix::unistd::getppid().as_raw();
        assert!(
            processes()
                .unwrap()
                .iter()
                .any(|p| p.pid == me && p.parent == parent && p.alive)
        );
    }
}
