//! Keys made by the real ssh-keygen and gpg, and commits signed with them by the real git.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::git_server::program;

/// Runs a command that must succeed; gives what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{said}");
    text
}

/// An SSH key pair.
pub struct SshKey {
    pub private: PathBuf,
    /// `ssh-ed25519 AAAA…`
    pub public: String,
}

impl SshKey {
    pub fn new(directory: &Path, name: &str, kind: &[&str]) -> Self {
        let private = directory.join(name);
        run(Command::new(program("ssh-keygen", "openssh-client"))
            .args(["-q", "-N", "", "-C", "", "-f"])
            .arg(&private)
            .arg("-t")
            .args(kind));
        let public = std::fs::read_to_string(private.with_extension("pub")).unwrap();
        Self {
            private,
            public: public.trim().to_owned(),
        }
    }

    pub fn ed25519(directory: &Path, name: &str) -> Self {
        Self::new(directory, name, &["ed25519"])
    }

    /// `ssh-keygen -Y sign` for a namespace; gives the armoured signature.
    pub fn sign(&self, namespace: &str, payload: &[u8]) -> String {
        let file = self.private.with_extension("payload");
        let signature = self.private.with_extension("payload.sig");
        let _ = std::fs::remove_file(&signature);
        std::fs::write(&file, payload).unwrap();
        run(Command::new(program("ssh-keygen", "openssh-client"))
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .arg(&self.private)
            .arg(&file));
        std::fs::read_to_string(signature).unwrap()
    }

    /// What makes git sign with it.
    pub fn for_git(&self) -> Vec<String> {
        let key = format!("user.signingKey={}", self.private.display());
        ["-c", "gpg.format=ssh", "-c", &key].map(str::to_owned).to_vec()
    }
}

/// A home of gpg, with its agent, which ends with it. Its path is short, as those of sockets must be.
pub struct Gpg(TempDir);

impl Gpg {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap())
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("gpg", "gnupg"));
        command
            .env("GNUPGHOME", self.0.path())
            .args(["--batch", "--quiet", "--yes", "--no-tty", "--pinentry-mode", "loopback"])
            .args(["--passphrase", ""])
            .args(arguments);
        command
    }

    /// Makes a key; gives its fingerprint. `expire` as gpg takes it: `never`, `1d`, or a date.
    pub fn key(&self, name: &str, kind: &str, usage: &str, expire: &str) -> String {
        run(&mut self.command(&["--quick-generate-key", name, kind, usage, expire]));
        let listed = run(&mut self.command(&["--with-colons", "--list-keys", name]));
        let print = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
        print.unwrap().trim_matches(':').to_owned()
    }

    /// The public key, armoured.
    pub fn public(&self, key: &str) -> String {
        run(&mut self.command(&["--armor", "--export", key]))
    }

    /// A detached armoured signature.
    pub fn sign(&self, key: &str, payload: &[u8], more: &[&str]) -> String {
        let file = self.0.path().join("payload");
        std::fs::write(&file, payload).unwrap();
        let mut command = self.command(more);
        run(command
            .args(["--local-user", key, "--armor", "--output", "-", "--detach-sign"])
            .arg(file))
    }

    /// The file with the revocation that gpg made along with the key, ready to be imported.
    pub fn revocation(&self, key: &str) -> String {
        let file = self.0.path().join(format!("openpgp-revocs.d/{key}.rev"));
        let text = std::fs::read_to_string(&file).unwrap();
        // gpg puts a colon before the armour, against accidents.
        std::fs::write(&file, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
        file.to_string_lossy().into_owned()
    }

    /// What makes git sign with a key of it.
    pub fn for_git(&self, key: &str) -> Vec<String> {
        let program = self.0.path().join("as-git");
        let text = format!(
            "#!/bin/sh\nexec gpg --homedir {} --batch --no-tty --pinentry-mode loopback --passphrase '' \"$@\"\n",
            self.0.path().display()
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let (program, key) = (
            format!("gpg.program={}", program.display()),
            format!("user.signingKey={key}"),
        );
        ["-c", "gpg.format=openpgp", "-c", &program, "-c", &key]
            .map(str::to_owned)
            .to_vec()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home = self.0.path();
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(home)
            .args(["--kill", "all"])
            .status();
    }
}
