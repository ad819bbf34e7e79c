//! What root has to write so that a target's limits and its user hold in its units; and what the templates do not hide.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Template, UnitName};
use crate::config::{Config, SecretSource, Target};

/// Where root keeps what it adds to units (`systemd.unit(5)`).
const UNITS: &str = "/etc/systemd/system";

/// Among the files of a directory of drop-ins, which are read in the order of their names.
const FILE: &str = "50-hookd.conf";

/// The group of hookd's user, as packaged.
const GROUP: &str = "hookd";

/// What `RuntimeMaxSec=` is beyond the target's own times: hookd itself keeps those, and should be faster.
const RUNTIME_SLACK: Duration = Duration::from_mins(1);

/// What the packaged templates make inaccessible, so that commands can't read secrets of the daemon. The templates have
/// the same list.
const HIDDEN: [&str; 8] = [
    "/etc/hookd",
    "/etc/hookd.d",
    "/etc/hookd.toml",
    "/var/lib/hookd",
    "/run/hookd/control.sock",
    "/home",
    "/root",
    "/run/user",
];

/// A file for root to write, before `systemctl daemon-reload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// The unit that it is for.
    pub unit: String,
    /// The file.
    pub path: PathBuf,
    /// All that is to stand in it.
    pub text: String,
}

/// The drop-ins of a target's units. None if the templates alone do: no limits, no other user, nothing more to hide.
pub fn drop_ins(config: &Config, target: &Target) -> Vec<DropIn> {
    let hidden = exposed(config);
    [Template::Run, Template::Reload]
        .into_iter()
        .filter_map(|template| {
            let settings = settings(template, target, &hidden)?;
            let unit = UnitName::new(template, &target.id).to_string();
            let path = Path::new(UNITS).join(format!("{unit}.d")).join(FILE);
            let text = format!(
                "# What {} says about the commands of {}. Made by hookd; after a change: systemctl daemon-reload\n\
                 [Service]\n{settings}",
                config.file.display(),
                target.id
            );
            Some(DropIn { unit, path, text })
        })
        .collect()
}

/// The lines of the drop-in, if there are any.
fn settings(template: Template, target: &Target, hidden: &[PathBuf]) -> Option<String> {
    let mut lines = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{key}={value}");
    };
    if let Some(user) = &target.run_as {
        line("User", user);
        // The daemon's: what is built is removed through it.
        line("Group", GROUP);
    }
    for (key, value) in [
        ("MemoryMax", target.memory_max),
        ("TasksMax", target.tasks_max),
        ("CPUWeight", target.cpu_weight),
        ("IOWeight", target.io_weight),
    ] {
        if let Some(value) = value {
            line(key, &value.to_string());
        }
    }
    if target.memory_max.is_some() {
        // Else what is over the limit goes to the swap, and the machine slows down instead of the build.
        line("MemorySwapMax", "0");
    }
    if !target.network && template == Template::Run {
        line("PrivateNetwork", "yes");
    }
    for path in hidden {
        line("InaccessiblePaths", &format!("-{}", quoted(path)));
    }
    if lines.is_empty() {
        return None;
    }
    let longest = target.timeout.max(target.check_timeout) + target.kill_grace + RUNTIME_SLACK;
    Some(format!("{lines}RuntimeMaxSec={}\n", longest.as_secs()))
}

/// As a word of a unit file: `%` begins a specifier, and quotes keep spaces in.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
    )
}

/// What the configuration keeps where the templates do not hide it: secrets, keys, state and control socket in places of
/// this machine's own. The drop-ins hide it.
pub fn exposed(config: &Config) -> Vec<PathBuf> {
    let mut all = vec![config.file.clone(), config.state_dir.clone(), config.control.clone()];
    if let Some(directory) = config.file.parent() {
        all.push(directory.join("hookd.d"));
    }
    let file = |source: &SecretSource| match source {
        SecretSource::File(path) => Some(path.clone()),
        _ => None,
    };
    for repo in config.repos.values() {
        all.extend(repo.secret.iter().chain(&repo.token).filter_map(file));
        all.extend(repo.ssh_key.clone());
    }
    all.extend(config.forges.values().filter_map(|forge| file(forge.token.as_ref()?)));
    all.extend(config.http.tls.as_ref().map(|tls| tls.key.clone()));
    all.retain(|path| !HIDDEN.iter().any(|hidden| path.starts_with(hidden)));
    all.sort();
    all.dedup();
    all
}
