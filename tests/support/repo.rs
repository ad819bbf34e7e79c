//! A repository that people push to: a bare one, and the clone of one developer, both made by the real git program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bare repository and a developer's clone of it.
#[derive(Debug, Clone)]
pub struct Repo {
    pub bare: PathBuf,
    pub work: PathBuf,
}

/// Runs git with nobody's configuration; gives what it printed.
#[track_caller]
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", directory)
        .env("LC_ALL", "C.UTF-8")
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0")])
        .envs([("GIT_AUTHOR_NAME", "Alice"), ("GIT_AUTHOR_EMAIL", "alice@example.org")])
        .envs([
            ("GIT_COMMITTER_NAME", "Alice"),
            ("GIT_COMMITTER_EMAIL", "alice@example.org"),
        ])
        .output()
        .expect("these tests need git: apt-get install git");
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    assert!(
        output.status.success(),
        "git {arguments:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

impl Repo {
    /// Makes `DIRECTORY/NAME.git` and the clone `DIRECTORY/NAME.work`.
    pub fn new(directory: &Path, name: &str) -> Self {
        let repo = Self {
            bare: directory.join(format!("{name}.git")),
            work: directory.join(format!("{name}.work")),
        };
        git(directory, &["init", "--quiet", "--bare", &repo.bare.to_string_lossy()]);
        git(&repo.bare, &["config", "receive.denyDeleteCurrent", "ignore"]);
        git(directory, &["init", "--quiet", &repo.work.to_string_lossy()]);
        git(&repo.work, &["remote", "add", "origin", &repo.bare.to_string_lossy()]);
        repo
    }

    /// Runs git in the clone.
    #[track_caller]
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.work, arguments)
    }

    /// Writes files in the clone and commits everything; gives the commit.
    #[track_caller]
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            let path = self.work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.git(&["add", "--all"]);
        let subject = files.first().map_or("nothing", |(_, content)| content.trim());
        let subject = if subject.is_empty() { "a commit" } else { subject };
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.head()
    }

    /// Commits a page with a subject and an author of its own; git takes nearly any.
    #[track_caller]
    pub fn commit_as(&self, page: &str, subject: &str, author: &str) {
        fs::write(self.work.join("index.html"), page).unwrap();
        self.git(&["add", "--all"]);
        let author = format!("{author} <mallory@example.org>");
        self.git(&["commit", "--quiet", "-m", subject, "--author", &author]);
    }

    /// The clone's commit.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes the clone's commit to `main`.
    #[track_caller]
    pub fn push(&self) {
        self.push_to("refs/heads/main");
    }

    /// Pushes the clone's commit to a ref, whatever was there.
    #[track_caller]
    pub fn push_to(&self, git_ref: &str) {
        self.git(&["push", "--quiet", "--force", "origin", &format!("HEAD:{git_ref}")]);
    }

    /// Commits a page and pushes it to `main`; gives the commit.
    #[track_caller]
    pub fn publish(&self, page: &str) -> String {
        let commit = self.commit(&[("index.html", page)]);
        self.push();
        commit
    }
}
