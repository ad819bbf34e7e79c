//! The machine as hookd's commands find it: who asks, who the daemon is, whether systemd runs it and how closed its unit is.

mod account;
mod sandbox;
mod unit_text;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid};

use crate::exec;

pub use account::{Access, Account, PASS, READ, WRITE, group_name, rights};
pub use sandbox::{Block, DROP_INS, block, drop_in, drop_in_file, in_home, opening};
pub use unit_text::{Setting, UnitText, same_value};

/// The configuration that the shipped unit uses.
const SHIPPED_CONFIG: &str = "/etc/hookd.toml";

/// The user of the shipped unit.
const SHIPPED_USER: &str = "hookd";

/// What systemd tells of the unit, and nothing else of it.
const PROPERTIES: &str = "LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainStatus,FragmentPath,DropInPaths,\
                          NeedDaemonReload,MainPID,ExecStart,Environment";

/// `hookd.service`, as systemd knows it.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// What `systemctl show` says.
    pub properties: BTreeMap<String, String>,
    /// Its file and drop-ins.
    pub text: UnitText,
}

impl Unit {
    /// Whether there is such a unit, and systemd can read it.
    pub fn installed(&self) -> bool {
        self.property("LoadState") == "loaded"
    }

    /// A property; empty if systemd does not tell it.
    pub fn property(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Who asks.
    pub me: Account,
    /// Who the daemon is, or would be; `None` if the user of the unit does not exist.
    pub daemon: Option<Account>,
    /// Whether systemd runs this machine.
    pub systemd: bool,
    /// The unit, if it is about this configuration.
    pub unit: Option<Unit>,
    /// The socket unit, if systemd listens for the daemon.
    pub socket: Option<BTreeMap<String, String>>,
    /// Whether this is a container, whose clock is its host's.
    pub container: bool,
}

impl Machine {
    /// Whether root asks.
    pub fn root(&self) -> bool {
        self.me.uid == 0
    }

    /// Whether systemd runs the daemon with this configuration.
    pub fn managed(&self) -> bool {
        self.unit.as_ref().is_some_and(Unit::installed)
    }

    /// Looks around. `running` is the process id of a daemon that answered.
    pub async fn look(config: &Path, running: Option<u32>) -> Self {
        let systemd = Path::new("/run/systemd/system").is_dir();
        let unit = if systemd { unit_about(config).await } else { None };
        let socket = if systemd {
            show("hookd.socket", "ActiveState,UnitFileState,Listen").await
        } else {
            None
        };
        let me = Account::numbered(geteuid());
        let container = systemd && asked("systemd-detect-virt", &["--container"]).await.is_some();
        Self {
            daemon: daemon(&me, unit.as_ref(), running),
            me,
            systemd,
            unit,
            socket: socket.filter(|socket| socket.get("ActiveState").is_some_and(|state| state == "active")),
            container,
        }
    }
}

/// What a program says if it succeeds.
pub async fn asked(program: &str, arguments: &[&str]) -> Option<String> {
    let answer = exec::ask(program, arguments).await.ok()?;
    answer.success.then_some(answer.out)
}

/// Properties of a unit, by their names.
pub async fn show(unit: &str, properties: &str) -> Option<BTreeMap<String, String>> {
    Some(pairs(
        &asked("systemctl", &["show", "--no-pager", unit, "-p", properties]).await?,
    ))
}

/// What `timedatectl` says.
pub async fn show_time() -> Option<BTreeMap<String, String>> {
    Some(pairs(&asked("timedatectl", &["show"]).await?))
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The unit, unless it runs hookd with another configuration.
async fn unit_about(config: &Path) -> Option<Unit> {
    let properties = show("hookd.service", PROPERTIES).await?;
    let mut unit = Unit {
        properties,
        text: UnitText::default(),
    };
    let files = [unit.property("FragmentPath"), unit.property("DropInPaths")].join(" ");
    for file in files.split_whitespace().map(PathBuf::from) {
        unit.text.add(&file, &fs::read_to_string(&file).unwrap_or_default());
    }
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let named = [unit.property("ExecStart"), unit.property("Environment")].join(" ");
    let other = named.contains("--config") || named.contains("HOOKD_CONFIG");
    let about = if other {
        named.contains(&config.display().to_string())
    } else {
        config == Path::new(SHIPPED_CONFIG)
    };
    about.then_some(unit)
}

/// The user of the process that answered, of the unit, or whoever asks.
fn daemon(me: &Account, unit: Option<&Unit>, running: Option<u32>) -> Option<Account> {
    let process = running.and_then(|pid| fs::metadata(format!("/proc/{pid}")).ok());
    if let Some(process) = process {
        return Some(Account::numbered(Uid::from_raw(process.uid())));
    }
    match unit.filter(|unit| unit.installed()).map(|unit| unit.text.value("User")) {
        Some("") => Some(Account::numbered(Uid::from_raw(0))),
        Some(user) => Account::named(user),
        // The shipped unit is not installed, or not about this configuration.
        None => unit
            .and_then(|_| Account::named(SHIPPED_USER))
            .or_else(|| Some(me.clone())),
    }
}
