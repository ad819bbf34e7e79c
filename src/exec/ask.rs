//! Programs of the machine that are asked something, `systemctl` say: no shell, nothing of this process's environment.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::units::SYSTEMD;

/// Where they are looked for: also where only root's `PATH` leads.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long an answer may take: systemd waits longer for nothing that is only asked.
const TIME: Duration = Duration::from_secs(20);

/// What a program said.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its standard output; what is not UTF-8 is replaced.
    pub out: String,
    /// Its standard error, likewise.
    pub err: String,
}

/// Whether there is a program of that name.
pub fn installed(program: &str) -> bool {
    PATH.split(':')
        .any(|directory| PathBuf::from(directory).join(program).is_file())
}

/// Runs a program and gives what it said. It speaks English, reads nothing and is killed when it takes too long.
pub async fn ask(program: &str, arguments: &[&str]) -> io::Result<Answer> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(TIME, command.output()).await;
    let output = output.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Answer {
        success: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Whether systemd is about to stop this machine. No, where systemd does not run it.
pub async fn machine_stops() -> bool {
    if !Path::new(SYSTEMD).is_dir() {
        return false;
    }
    let state = ask("systemctl", &["is-system-running"]).await;
    state.is_ok_and(|state| state.out.trim() == "stopping")
}

/// One word for a POSIX shell; quoted only if it has to be.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_heard() {
        let said = ask("sh", &["-c", "echo \"$PATH\"; echo no >&2; exit 3"]).await.unwrap();
        assert_eq!((said.success, said.out.trim(), said.err.trim()), (false, PATH, "no"));
        assert!(ask("no-such-program-anywhere", &[]).await.is_err());
        assert!(installed("sh") && !installed("no-such-program-anywhere"));
    }

    #[test]
    fn a_word_stays_one_word() {
        for (text, word) in [
            ("/srv/blog", "/srv/blog"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's $x", r"'it'\''s $x'"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
