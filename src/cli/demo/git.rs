//! The `git` program, away from everything that its user has set up for it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cli::output::Failure;

/// Who commits and pushes.
const WHO: (&str, &str) = ("Alice", "alice@example.org");

/// Runs git with a clean environment.
#[derive(Clone)]
pub struct Git {
    home: PathBuf,
}

impl Git {
    /// A git whose home is `home`. An error if this machine has none that can serve a repository.
    pub async fn new(home: &Path) -> Result<Self, Failure> {
        let git = Self { home: home.to_owned() };
        let path = git.run(home, &["--exec-path"]).await?;
        let backend = Path::new(path.trim()).join("git-http-backend");
        if !backend.exists() {
            return Err(Failure::failed(format!(
                "this git can't serve over HTTP: there is no {}",
                backend.display()
            ))
            .hint("some systems have it in a package of its own (Alpine: apk add git-daemon)".to_owned()));
        }
        Ok(git)
    }

    /// The command, with nothing of the user's own: no configuration, no proxy, no question on the terminal.
    pub fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .current_dir(directory)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", &self.home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), WHO.0)
                .env(format!("GIT_{role}_EMAIL"), WHO.1);
        }
        command
    }

    /// Runs git in a directory and gives what it printed.
    pub async fn run(&self, directory: &Path, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.command(directory).args(arguments).output().await.map_err(|e| {
            let failure = Failure::failed("git can't be run, and the demo needs it").cause(e.to_string());
            failure.hint("install it (Debian: apt-get install git)".to_owned())
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(Failure::failed(format!("git {} failed", arguments.join(" "))).cause(words.trim()))
    }
}

/// Runs a command that is fed `input`; gives all that it wrote.
pub async fn feed(mut command: Command, input: &[u8]) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A git that has read enough closes its end; what it made of that it says itself.
            drop(stdin.write_all(input).await);
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    output
}
