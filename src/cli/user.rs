//! `hookd user`: who may log in on the page. It writes the file that `[http.login] users` names; the daemon reads it again.

use std::fs::{self, File, Permissions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::block_on;
use super::output::{self, Code, Failure};
use super::paint::Cell;
use super::reload;
use crate::access::{self, PASSWORD_MAX, User, Users, UsersError};
use crate::config;
use crate::machine::Machine;
use crate::setup::{Owner, Place};

/// `hookd user`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user. The password is asked for on a terminal, and read from standard input elsewhere.
    Add {
        /// The name to log in with.
        name: String,
        /// What the user may: `view` looks at everything, `act` also deploys, rolls back, pauses and the like.
        #[arg(long, value_parser = ["view", "act"])]
        role: String,
    },
    /// List the users.
    List,
    /// Give a user another password, which ends the sessions of the old one.
    Password {
        /// The name.
        name: String,
    },
    /// Remove a user, and end the sessions.
    Remove {
        /// The name.
        name: String,
    },
}

/// Rights of a new file: root writes it, and the daemon's group reads it.
const MODE: u32 = 0o640;

/// Passwords below so many characters are warned of (NIST SP 800-63B).
const SHORT: usize = 8;

/// Runs the command.
pub fn run(config: &Path, json: bool, command: &UserCommand) -> Result<ExitCode, Failure> {
    let file = users_file(config)?;
    let done = match command {
        UserCommand::List => return list(&file, json),
        UserCommand::Add { name, role } => {
            access::check_name(name).map_err(|why| Failure::new(Code::Usage, why))?;
            let role = role.parse().map_err(|error| Failure::new(Code::Usage, error))?;
            let known = read_or_new(&file)?.find(name).is_some();
            if known {
                let failure = Failure::failed(format!("there is a user {name} already"));
                return Err(failure.hint(format!("hookd user password {name}, or hookd user remove {name}")));
            }
            let hash = new_hash()?;
            let user = User {
                name: name.clone(),
                role,
                hash,
            };
            change(config, &file, |users| {
                users.put(user);
                Ok(())
            })?;
            format!("{name} may log in, with the role {role}")
        }
        UserCommand::Password { name } => {
            read_or_new(&file)?.find(name).ok_or_else(|| unknown(name))?;
            let hash = new_hash()?;
            change(config, &file, |users| {
                let user = users.find(name).cloned().ok_or_else(|| unknown(name))?;
                users.put(User { hash, ..user });
                Ok(())
            })?;
            format!("{name} has a new password; sessions with the old one are over")
        }
        UserCommand::Remove { name } => {
            change(config, &file, |users| {
                if users.remove(name) { Ok(()) } else { Err(unknown(name)) }
            })?;
            format!("{name} is removed; the sessions are over")
        }
    };
    if json {
        return output::json(&json!({ "status": "done", "message": done }));
    }
    output::line(&done);
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str) -> Failure {
    Failure::new(Code::NotFound, format!("there is no user {name}")).hint("hookd user list".to_owned())
}

/// Where the users stand.
fn users_file(file: &Path) -> Result<PathBuf, Failure> {
    let loaded = config::load(file).map_err(|report| {
        let failure = Failure::new(Code::Config, "the configuration is not valid");
        failure.cause(report.to_string()).hint("hookd check".to_owned())
    })?;
    let users = loaded.config.http.login.and_then(|login| login.users);
    users.ok_or_else(|| {
        let error = format!("{} has no `users` in `[http.login]`", file.display());
        Failure::new(Code::Config, error).hint("[http.login] users = \"/etc/hookd/users\"".to_owned())
    })
}

fn list(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let users = read_or_new(file)?;
    if json {
        let row = |user: &User| json!({ "name": user.name, "role": user.role.as_str() });
        return output::json(&users.all().iter().map(row).collect::<Vec<_>>());
    }
    let row = |user: &User| -> Vec<Cell> { vec![user.name.clone().into(), user.role.as_str().to_owned().into()] };
    output::table(&["NAME", "ROLE"], &users.all().iter().map(row).collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

fn read_or_new(file: &Path) -> Result<Users, Failure> {
    match Users::read(file) {
        Err(UsersError::Missing(_)) => Ok(Users::default()),
        Err(error) => Err(Failure::failed(error.to_string()).hint(error.hint())),
        Ok(users) => Ok(users),
    }
}

/// Changes the file as a whole; two at once wait for each other.
fn change(config: &Path, file: &Path, with: impl FnOnce(&mut Users) -> Result<(), Failure>) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::failed(format!("{} can't be written", file.display())).cause(error.to_string());
        let hint = (error.kind() == io::ErrorKind::PermissionDenied).then(|| "as root: sudo hookd user …".to_owned());
        failure.hint(hint)
    };
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(failed)?;
    let lock = File::open(directory).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut users = read_or_new(file)?;
    with(&mut users)?;
    let owner = if file.exists() {
        Owner::default()
    } else {
        owner(config)?
    };
    write(file, directory, &users.text(), owner).map_err(failed)?;
    lock.sync_all().map_err(failed)
}

/// Whom a new file belongs to: root, and the daemon's group reads it.
fn owner(config: &Path) -> Result<Owner, Failure> {
    let machine = block_on(async { Ok(Machine::look(config, reload::running(config).await).await) })?;
    Ok(Place::new(config, &machine)
        .map(|place| place.admin)
        .unwrap_or_default())
}

fn write(file: &Path, directory: &Path, text: &str, owner: Owner) -> io::Result<()> {
    let mut new = tempfile::Builder::new().prefix(".hookd-").tempfile_in(directory)?;
    new.write_all(text.as_bytes())?;
    let (mode, uid, gid) = match fs::metadata(file) {
        Ok(about) => (about.mode() & 0o777, Some(about.uid()), Some(about.gid())),
        Err(_) => (MODE, owner.uid, owner.gid),
    };
    fchown(new.as_file(), uid, gid)?;
    new.as_file().set_permissions(Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

/// The hash of the password that is typed twice on a terminal, or that comes through a pipe.
fn new_hash() -> Result<String, Failure> {
    let password = read_password()?;
    if password.is_empty() {
        return Err(Failure::failed("the password must not be empty"));
    }
    if password.len() > PASSWORD_MAX {
        return Err(Failure::failed(format!("a password has at most {PASSWORD_MAX} bytes")));
    }
    if password.chars().count() < SHORT {
        anstream::eprintln!("hookd: warning: the password has fewer than {SHORT} characters, and is easy to guess");
    }
    access::hash_password(&password).map_err(|error| Failure::failed(error.to_string()))
}

fn read_password() -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("the password can't be read: {error}"));
    if io::stdin().is_terminal() {
        let ask = |what: &str| rpassword::prompt_password(what).map(Zeroizing::new).map_err(failed);
        let first = ask("Password: ")?;
        if *first != *ask("The same again: ")? {
            return Err(Failure::failed("the passwords differ; nothing was changed"));
        }
        return Ok(first);
    }
    let mut text = Zeroizing::new(String::with_capacity(2 * PASSWORD_MAX));
    let limit = PASSWORD_MAX as u64 + 2;
    io::stdin()
        .lock()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let line = text.lines().next().unwrap_or_default();
    Ok(Zeroizing::new(line.to_owned()))
}
