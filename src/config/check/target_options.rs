//! The keys of `[repo.NAME.deploy.TARGET]` that `[defaults]` may give, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::source_of_secret::is_variable;
use super::table::table;
use crate::config::section::Section;
use crate::config::value::{Isolation, QueueMode, Strategy};
use crate::config::{paths, suggest};

table! {
    /// The keys of a target that `[defaults]` may give, too. A [`Target`](crate::config::Target) has them as its own.
    #[derive(Debug, Clone)]
    #[allow(clippy::struct_excessive_bools, reason = "one for each key that is yes or no")]
    pub TargetOptions["repo.NAME.deploy.TARGET"](s, channels: &[&str] = &[]) {
        /// `strategy`
        strategy: Strategy = s.choice("strategy"),
        /// `keep`: good releases that stay (5).
        keep: usize = s.count("keep"),
        /// `shared`: relative paths, without `..`.
        shared: Vec<String> = shared(s),
        /// `env`
        env: BTreeMap<String, String> = environment(s),
        /// `timeout` of build, and of each run of reload (10 min).
        timeout: Duration = s.duration("timeout"),
        /// `kill_grace`: from TERM to KILL (10 s).
        kill_grace: Duration = s.duration("kill_grace"),
        /// `check_timeout`: how long `check` may go on failing (30 s).
        check_timeout: Duration = s.duration("check_timeout"),
        /// `run_as`: user that commands run as.
        run_as: Option<String> = run_as(s),
        /// `isolation`; none: units of systemd where that is possible, else processes.
        isolation: Option<Isolation> = s.some_choice("isolation"),
        /// `memory_max`, bytes.
        memory_max: Option<u64> = s.some_size("memory_max"),
        /// `tasks_max`: processes and threads at once.
        tasks_max: Option<u64> = s.some_number("tasks_max"),
        /// `cpu_weight`, 1 to 10000.
        cpu_weight: Option<u64> = s.some_number("cpu_weight"),
        /// `io_weight`, 1 to 10000.
        io_weight: Option<u64> = s.some_number("io_weight"),
        /// `network`: whether `build` and a `check` command have one.
        network: bool = s.boolean("network"),
        /// `notify`: names of `[notify.NAME]`.
        notify: Vec<String> = names(s, channels),
        /// `require_signed`: file of allowed signers.
        require_signed: Option<PathBuf> = s.path("require_signed").map(|at| at.value),
        /// `require_checks`: names of CI checks that must be green.
        require_checks: Vec<String> = s.each("require_checks", |name| Some(name.value.to_owned())),
        /// `checks_timeout`: how long a commit waits for them (1 h).
        checks_timeout: Duration = s.duration("checks_timeout"),
        /// `queue`
        queue: QueueMode = s.choice("queue"),
        /// `history`: whether `build` can read the history of the commit.
        history: bool = s.boolean("history"),
        /// `spare`: whether a copy of the live release is kept ready for the next one.
        spare: bool = s.boolean("spare"),
    }
}

fn shared(section: &Section) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    section.each("shared", |text| {
        let shown = text.value.escape_debug();
        if let Some(reason) = paths::refuse_within(text.value) {
            section.wrong(text.place, format!("`shared`: `{shown}` {reason}"), None);
            return None;
        }
        let path = text
            .value
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect::<Vec<_>>()
            .join("/");
        let within = |a: &str, b: &str| std::path::Path::new(a).starts_with(b);
        if let Some(other) = taken.iter().find(|other| within(&path, other) || within(other, &path)) {
            section.wrong(
                text.place,
                format!("`shared`: `{shown}` and `{other}` must not contain each other"),
                None,
            );
            return None;
        }
        taken.push(path.clone());
        // The `/` at the end says that it is a directory, whatever its name looks like.
        Some(if text.value.ends_with('/') {
            format!("{path}/")
        } else {
            path
        })
    })
}

fn environment(section: &Section) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (name, text) in section.pairs("env") {
        let shown = name.value.escape_debug();
        if !is_variable(name.value) {
            let hint = "letters, digits and `_`; must not start with a digit".to_owned();
            section.wrong(
                name.place,
                format!("`env`: `{shown}` is not the name of a variable"),
                hint,
            );
        } else if name.value.starts_with("HOOKD_") {
            let hint = "variables that begin with HOOKD_ are set by hookd".to_owned();
            section.wrong(name.place, format!("`env`: `{shown}` is reserved"), hint);
        }
        if text.value == "~" || text.value.starts_with("~/") {
            let message = format!("`env`: the `~` of `{shown}` is not replaced by a home directory");
            section.wrong(text.place, message, "write the path from the root");
        } else if paths::has_variable(text.value) {
            let message = format!("`env`: `{shown}` has a variable in it, which is not replaced");
            let hint = "write its value, or set it in a shell line: `build = \"X=$Y make\"`";
            section.problems.warning(text.place, message, hint);
        }
        all.insert(name.value.to_owned(), text.value.to_owned());
    }
    all
}

fn run_as(section: &Section) -> Option<String> {
    let text = section.string("run_as")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    if text.value.starts_with('-') || !text.value.chars().all(plain) {
        section.wrong(text.place, "`run_as` is not the name of a user", None);
    }
    Some(text.value.to_owned())
}

/// Names of `[notify.NAME]`, all of which exist.
fn names(section: &Section, known: &[&str]) -> Vec<String> {
    section.each("notify", |name| {
        if !known.contains(&name.value) {
            let message = format!("there is no `[notify.{}]`", name.value.escape_debug());
            section.wrong(name.place, message, suggest::hint(name.value, known.iter().copied()));
        }
        Some(name.value.to_owned())
    })
}
