//! A real terminal of a given size: tmux draws it, and says what stands on it.

use std::path::PathBuf;
use std::process::{Command, Output};

use super::daemon::HOOKD;
use super::world::{World, wait_until};

/// What the shell prints when a command has ended, before its exit code.
const END: &str = "=== ended with";

/// A terminal that runs one command of hookd.
pub struct Terminal {
    socket: PathBuf,
    directory: PathBuf,
}

impl Terminal {
    /// Runs hookd with these arguments on a terminal of that many columns.
    pub fn run(world: &World, columns: usize, arguments: &str) -> Self {
        let name = format!(
            "tmux-{columns}-{}",
            arguments.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        );
        let terminal = Self {
            socket: world.path(&name),
            directory: world.dir().to_owned(),
        };
        // Ctrl-C reaches the shell, too, which shall stay.
        let script = format!("trap : INT; {HOOKD} {arguments}; echo \"{END} $?\"; exec sleep 1000");
        let size = columns.to_string();
        let made = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &size,
            "-y",
            "200",
            "sh",
            "-c",
            &script,
        ]);
        assert!(made.status.success(), "{made:?}");
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(arguments);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm-256color")
            .env("HOME", &self.directory)
            .env("HOOKD_CONFIG", self.directory.join("hookd.toml"));
        command.output().unwrap()
    }

    /// What is on it now, line by line as it is drawn.
    pub fn text(&self) -> String {
        self.captured(&[])
    }

    /// The same with colours.
    pub fn colours(&self) -> String {
        self.captured(&["-e"])
    }

    /// Whether a line was too long for it.
    pub fn wraps(&self) -> bool {
        self.text().lines().count() != self.captured(&["-J"]).lines().count()
    }

    fn captured(&self, how: &[&str]) -> String {
        let output = self.tmux(&[&["capture-pane", "-p"], how].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.trim_end().to_owned()
    }

    /// Waits until something stands on it.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        wait_until(&format!("the terminal shows {text:?}"), || self.text().contains(text));
    }

    /// Presses keys, as tmux names them.
    pub fn press(&self, keys: &str) {
        assert!(self.tmux(&["send-keys", keys]).status.success());
    }

    /// Waits for the end of the command; gives what it left there, and its exit code.
    #[track_caller]
    pub fn ended(&self) -> (String, i32) {
        self.shows(END);
        let text = self.text();
        let (before, code) = text.rsplit_once(END).unwrap();
        (before.trim_end().to_owned() + "\n", code.trim().parse().unwrap())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}
