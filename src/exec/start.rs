//! The starter: becomes the user, takes the limits on, and then becomes the command.
//!
//! It is a process of its own so that the supervisor keeps the daemon's rights (a command that runs as another user
//! cannot touch it) and none of the command's limits, and so that all this happens without code between fork and exec.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use landlock::{AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Uid, User, geteuid, getppid, getresuid, initgroups, setresgid, setresuid, setsid};

use super::orphans::mark;
use super::wire::Start;

/// New files are readable by all and writable by their owner: what is built here is mostly for a web server that runs
/// as somebody else, and the daemon's own mask is a strict one.
const COMMAND_UMASK: Mode = Mode::from_bits_truncate(0o022);

/// Likewise, but what another user made can be removed by the daemon, through their common group.
const GROUP_UMASK: Mode = Mode::from_bits_truncate(0o002);

/// Who goes first when there is no memory left (`proc_pid_oom_score_adj(5)`).
const SCORE: &str = "/proc/self/oom_score_adj";
/// Its greatest value.
const SCORE_MAX: i32 = 1000;
/// How far a command is before its supervisor: by half of the memory that there is.
const SCORE_MORE: i32 = 500;

/// Most files that a command has open. Descriptors on their way through sockets count for all processes of a user together, against
/// the limit of whoever sends one (`unix(7)`, ETOOMANYREFS): the packaged service has four times this, so that no command
/// leaves the daemon without. Large builds take some thousand.
const FILES_MAX: u64 = 16 * 1024;

/// Reads what to start from standard input, a socket, and becomes it. Comes back only if that failed; the reason has
/// then been written to the socket. Once the command runs, the socket is closed without a word. With `first`, the kernel
/// ends the command before its supervisor where memory is short.
pub(super) fn main(first: bool) -> ExitCode {
    if first {
        // It is worth no failure: then the supervisor may go first, and less is known of how the command ended.
        let _ = go_first();
    }
    let Ok(mut supervisor) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let Err(reason) = read_order(&mut supervisor).and_then(|order| become_command(&order));
    // If the supervisor is gone there is nobody left to tell.
    let _ = supervisor.write_all(reason.as_bytes());
    ExitCode::FAILURE
}

/// Raises this process's own score, for which its files have to be its own for a moment; it knows nothing yet.
fn go_first() -> io::Result<()> {
    prctl::set_dumpable(true)?;
    let score = std::fs::read_to_string(SCORE)?.trim().parse().unwrap_or(0);
    std::fs::write(SCORE, SCORE_MAX.min(score + SCORE_MORE).to_string())?;
    prctl::set_dumpable(false).map_err(io::Error::from)
}

fn read_order(supervisor: &mut UnixStream) -> Result<Start, String> {
    let mut text = Vec::new();
    supervisor
        .read_to_end(&mut text)
        .map_err(|error| format!("reading the order: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("reading the order: {error}"))
}

fn become_command(order: &Start) -> Result<std::convert::Infallible, String> {
    let [program, arguments @ ..] = order.argv.as_slice() else {
        return Err("the command is empty: name a program".to_owned());
    };
    // A session of its own: no terminal, and a process group that signals by hand can be sent to.
    setsid().map_err(|error| format!("setsid: {error}"))?;
    umask(if order.group_writes { GROUP_UMASK } else { COMMAND_UMASK });
    // The supervisor blocks signals in order to read them, and the mask is inherited.
    SigSet::empty()
        .thread_set_mask()
        .map_err(|error| format!("unblocking signals: {error}"))?;
    if let Some(lifeline) = &order.mark {
        mark(lifeline).map_err(|error| format!("{}: {error}", lifeline.display()))?;
    }
    let home = become_user(order)?;
    limit(order)?;
    die_with(order.supervisor)?;
    fence(order.fenced).map_err(|error| format!("landlock: {error}"))?;
    std::env::set_current_dir(&order.directory).map_err(|error| in_directory(&order.directory, &error))?;
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(home.map(|home| ("HOME".to_owned(), home)))
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .exec();
    Err(cannot_run(program, &error, &order.environment))
}

/// Becomes that user in every respect and returns the home directory; without a name, stays who the daemon is.
fn become_user(order: &Start) -> Result<Option<String>, String> {
    let me = geteuid();
    let Some(name) = order.run_as.as_deref() else {
        let home = order.home.clone().filter(|home| !home.is_empty());
        return Ok(home.or_else(|| User::from_uid(me).ok().flatten().map(|user| home_of(&user))));
    };
    let user = User::from_name(name)
        .map_err(|error| format!("run_as = {name:?}: looking the user up: {error}"))?
        .ok_or_else(|| format!("run_as = {name:?}: there is no such user on this machine"))?;
    if user.uid != me {
        if !me.is_root() {
            let daemon = User::from_uid(me)
                .ok()
                .flatten()
                .map_or(me.to_string(), |user| user.name);
            return Err(format!(
                "run_as = {name:?} needs a daemon that runs as root, and it runs as {daemon}; \
                 let commands have units of systemd (isolation), run it as root, or remove run_as"
            ));
        }
        change_user(&user).map_err(|error| format!("run_as = {name:?}: becoming that user: {error}"))?;
    }
    Ok(Some(home_of(&user)))
}

fn home_of(user: &User) -> String {
    user.dir.to_string_lossy().into_owned()
}

/// Groups first, since only root can change them; then the group, then the user, each for good (real, effective, saved).
fn change_user(user: &User) -> io::Result<()> {
    let name = CString::new(user.name.as_str())?;
    initgroups(&name, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    let now = getresuid()?;
    let all = [now.real, now.effective, now.saved];
    let way_back = !user.uid.is_root() && setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok();
    if way_back || all.iter().any(|&uid| uid != user.uid) {
        return Err(io::Error::other("the kernel did not drop root's privileges"));
    }
    Ok(())
}

/// No core files: they would hold the environment. Memory is limited as data (heap and private writable mappings), not
/// as address space: Go, Java, Node and sanitizers reserve far more addresses than they ever use. It holds for each
/// process by itself, and tasks are counted over all that the user runs (`setrlimit(2)`); limits on what a command makes,
/// and nothing else, are systemd's `MemoryMax=` and `TasksMax=`.
fn limit(order: &Start) -> Result<(), String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("getrlimit: {error}"))?;
    let files = hard.min(FILES_MAX);
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(files), files)
        .map_err(|error| format!("limiting it to {files} open files: {error}"))?;
    for (resource, limit, what) in [
        (Resource::RLIMIT_CORE, Some(0), "bytes of core files"),
        (Resource::RLIMIT_DATA, order.memory_max, "bytes of memory"),
        (Resource::RLIMIT_NPROC, order.tasks_max, "processes"),
    ] {
        if let Some(limit) = limit {
            setrlimit(resource, limit, limit).map_err(|error| format!("limiting it to {limit} {what}: {error}"))?;
        }
    }
    Ok(())
}

/// How far this kernel can fence commands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Not at all: it has no Landlock, or nobody may use it here.
    None,
    /// They can't look into other processes of the same user, and can signal them (Linux 5.13).
    Memory,
    /// They can do neither (Linux 6.12).
    Whole,
}

impl Fence {
    /// What the kernel can; nothing is fenced in by asking.
    pub fn of_kernel() -> Self {
        let rules = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let memory = || rules().handle_access(AccessFs::MakeBlock)?.create();
        let whole = || {
            rules()
                .handle_access(AccessFs::MakeBlock)?
                .scope(Scope::Signal | Scope::AbstractUnixSocket)?
                .create()
        };
        if whole().is_ok() {
            Self::Whole
        } else if memory().is_ok() {
            Self::Memory
        } else {
            Self::None
        }
    }
}

/// Fences the command in, as far as the kernel can (`landlock(7)`): it can't trace what is outside and runs as the same user, other
/// commands and hookd say, nor look into its memory, environment and files (Linux 5.13). That comes with any rule at all: here
/// that it makes no block devices, for which it has no right anyway. With `unreachable` it can't signal it either, or connect
/// to its abstract sockets (6.12). A command below the daemon may: a `reload` there sends signals to what it deploys.
fn fence(unreachable: bool) -> Result<(), RulesetError> {
    // A fence takes the right to become somebody else. Where sudo still works, it goes on working.
    if !unreachable && !prctl::get_no_new_privs().unwrap_or(false) {
        return Ok(());
    }
    let mut rules = Ruleset::default().handle_access(AccessFs::MakeBlock)?;
    if unreachable {
        rules = rules.scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    }
    rules.create()?.restrict_self().map(drop)
}

/// If the supervisor is killed, its command goes too. It may have happened already.
fn die_with(supervisor: i32) -> Result<(), String> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("prctl: {error}"))?;
    if getppid().as_raw() != supervisor {
        return Err("the supervisor is gone".to_owned());
    }
    Ok(())
}

fn in_directory(directory: &Path, error: &io::Error) -> String {
    format!("its directory {}: {}", directory.display(), plain(error))
}

fn cannot_run(program: &str, error: &io::Error, environment: &[(String, String)]) -> String {
    let in_path = !program.contains('/');
    let path = environment
        .iter()
        .rfind(|(name, _)| name == "PATH")
        .map_or("", |(_, path)| path);
    let hint = match error.kind() {
        io::ErrorKind::NotFound if in_path => format!("; it is in no directory of PATH ({path})"),
        io::ErrorKind::PermissionDenied if in_path => {
            format!("; it is in no directory of PATH that this user may look into, or not executable ({path})")
        }
        io::ErrorKind::NotFound if Path::new(program).exists() => {
            "; the file is there, but the interpreter that its first line names is not".to_owned()
        }
        io::ErrorKind::PermissionDenied if Path::new(program).exists() => {
            "; make it executable (git update-index --chmod=+x), or name its interpreter".to_owned()
        }
        _ => String::new(),
    };
    let program: String = program.chars().take(200).collect();
    format!("{program}: {}{hint}", plain(error))
}

/// The system's reason, without Rust's `(os error 2)`.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
