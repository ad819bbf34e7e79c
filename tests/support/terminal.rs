//! A real terminal of a given size: tmux draws it, and says what stands on it.

use std::path::{Path, PathBuf};
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
            "-c",
            &terminal.directory.to_string_lossy(),
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
            // Relative: lines with it are as long wherever this world is.
            .env("HOOKD_CONFIG", "hookd.toml");
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
        let mut code = None;
        wait_until("the command ended", || {
            let text = self.text();
            code = text.rsplit_once(END).and_then(|(_, code)| code.trim().parse().ok());
            code.is_some()
        });
        (before_end(&self.text()), code.unwrap())
    }

    /// What an ended command left there, in lines as it wrote them.
    pub fn unbroken(&self) -> String {
        before_end(&self.captured(&["-J"]))
    }
}

fn before_end(text: &str) -> String {
    let (before, _) = text.rsplit_once(END).unwrap();
    before.trim_end().to_owned() + "\n"
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

/// Compares a text with the one that is kept in tests/stories/terminal. With `HOOKD_KEEP=1` it is kept from now on.
#[track_caller]
pub fn same_as_kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/stories/terminal")
        .join(name);
    if std::env::var_os("HOOKD_KEEP").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{name} was\n{kept}\nand is\n{text}");
}
