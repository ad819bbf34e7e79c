//! The configuration that is made of another program's, and its text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{Note, Place};
use crate::setup::toml_string as string;

/// A host that never exists (RFC 2606), for repos of which the file does not say where they are.
const NOWHERE: &str = "https://example.invalid/";

/// What could be carried over.
#[derive(Debug, Default)]
pub struct Draft {
    /// `listen`
    pub listen: Option<String>,
    /// `max_jobs`
    pub max_jobs: Option<String>,
    /// The repos.
    pub repos: Vec<RepoDraft>,
    /// What could not be carried over, line by line.
    pub notes: Vec<Note>,
}

/// A `[repo.NAME]` with its one target.
#[derive(Debug, Default)]
pub struct RepoDraft {
    /// NAME
    pub name: String,
    /// Where the original stands.
    pub place: Place,
    /// `url`; none: the file does not say it.
    pub url: Option<String>,
    /// `forge`
    pub forge: Option<&'static str>,
    /// `full_name`
    pub full_name: Option<String>,
    /// The secrets themselves; none: a new one is made.
    pub secrets: Vec<String>,
    /// `allow_from`
    pub allow_from: Vec<String>,
    /// `generic.header` and `generic.algorithm`
    pub generic: Option<(String, &'static str)>,
    /// `branch`
    pub branches: Vec<String>,
    /// `tag`
    pub tags: Vec<String>,
    /// `on`
    pub on: Vec<String>,
    /// `path`, if it is not one below the usual directory.
    pub path: Option<PathBuf>,
    /// `shared`
    pub shared: Vec<String>,
    /// `env`
    pub env: Vec<(String, String)>,
    /// `build`
    pub build: Option<String>,
    /// `reload`
    pub reload: Option<String>,
    /// `timeout`
    pub timeout: Option<String>,
    /// `queue`
    pub queue: Option<&'static str>,
}

/// A secret that belongs in a file.
#[derive(Debug)]
pub struct SecretFile {
    /// The file.
    pub file: PathBuf,
    /// Its content; none: a new secret is to be made.
    pub secret: Option<String>,
    /// The repo.
    pub repo: String,
}

impl Draft {
    /// Notes what could not be carried over.
    pub(super) fn note(&mut self, place: Place, text: impl Into<String>) {
        self.notes.push(Note {
            place,
            text: text.into(),
        });
    }

    /// Gives every repo a name of its own that hookd takes, and says where it differs.
    pub(super) fn name_repos(&mut self) {
        let mut taken = BTreeSet::new();
        let mut notes = Vec::new();
        for repo in &mut self.repos {
            let plain = |c: char| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '-'
                }
            };
            let wanted: String = repo.name.chars().take(48).map(plain).collect();
            let wanted = wanted.trim_start_matches(['-', '.']);
            let wanted = if wanted.is_empty() { "repo" } else { wanted };
            let numbered = (2..).map(|n| format!("{wanted}-{n}"));
            let name = std::iter::once(wanted.to_owned())
                .chain(numbered)
                .find(|name| taken.insert(name.clone()));
            let name = name.unwrap_or_default();
            if name != repo.name {
                let text = format!("`{}` is called {name} here", repo.name.escape_debug());
                notes.push(Note {
                    place: repo.place,
                    text,
                });
            }
            repo.name = name;
        }
        self.notes.extend(notes);
    }

    /// The text of the configuration, and the files that it names for secrets, which are in `secrets`. Sites that are nowhere
    /// yet come into `sites`.
    pub fn text(&self, from: &str, secrets: &Path, sites: &Path) -> (String, Vec<SecretFile>) {
        let mut text = format!("# Made by `hookd import` of {}.\n", from.escape_debug());
        let mut files = Vec::new();
        let top = [
            ("listen", self.listen.as_deref().map(string)),
            ("max_jobs", self.max_jobs.clone()),
        ];
        for (key, value) in top {
            pair(&mut text, key, value);
        }
        for repo in &self.repos {
            repo.write(&mut text, &mut files, secrets, sites);
        }
        (text, files)
    }
}

impl RepoDraft {
    fn write(&self, text: &mut String, files: &mut Vec<SecretFile>, secrets: &Path, sites: &Path) {
        let key = if self.name.contains('.') {
            string(&self.name)
        } else {
            self.name.clone()
        };
        let _ = writeln!(text, "\n[repo.{key}]");
        if self.url.is_none() {
            let _ = writeln!(text, "# Where is it? Write the URL that `git clone` takes.");
        }
        let url = self
            .url
            .clone()
            .unwrap_or_else(|| format!("{NOWHERE}{}.git", self.name));
        pair(text, "url", Some(string(&url)));
        pair(text, "forge", self.forge.map(string));
        pair(text, "full_name", self.full_name.as_deref().map(string));
        let count = self.secrets.len().max(1);
        let mut sources = Vec::new();
        for n in 1..=count {
            let number = if n == 1 { String::new() } else { n.to_string() };
            let file = secrets.join(format!("{}.secret{number}", self.name));
            sources.push(format!("file:{}", file.display()));
            let (secret, repo) = (self.secrets.get(n - 1).cloned(), self.name.clone());
            files.push(SecretFile { file, secret, repo });
        }
        pair(text, "secret", strings(&sources));
        pair(text, "allow_from", strings(&self.allow_from));
        if let Some((header, algorithm)) = &self.generic {
            pair(text, "generic.header", Some(string(header)));
            pair(text, "generic.algorithm", Some(string(algorithm)));
        }
        let _ = writeln!(text, "\n[repo.{key}.deploy.production]");
        pair(text, "tag", strings(&self.tags));
        let main = ["main".to_owned()];
        let branches = if self.branches.is_empty() && self.tags.is_empty() {
            &main[..]
        } else {
            &self.branches
        };
        pair(text, "branch", strings(branches).filter(|_| self.tags.is_empty()));
        let path = self.path.clone().unwrap_or_else(|| sites.join(&self.name));
        pair(text, "path", Some(string(&path.display().to_string())));
        pair(text, "on", strings(&self.on));
        pair(text, "shared", (!self.shared.is_empty()).then(|| list(&self.shared)));
        pair(text, "build", self.build.as_deref().map(string));
        pair(text, "reload", self.reload.as_deref().map(string));
        pair(text, "timeout", self.timeout.as_deref().map(string));
        pair(text, "queue", self.queue.map(string));
        let env: Vec<String> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name} = {}", string(value)))
            .collect();
        pair(
            text,
            "env",
            (!env.is_empty()).then(|| format!("{{ {} }}", env.join(", "))),
        );
    }
}

fn pair(text: &mut String, key: &str, value: Option<String>) {
    if let Some(value) = value {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{key} = {value}");
    }
}

fn list(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|text| string(text)).collect();
    format!("[{}]", all.join(", "))
}

/// One alone stands without brackets.
fn strings(texts: &[String]) -> Option<String> {
    match texts {
        [] => None,
        [one] => Some(string(one)),
        all => Some(list(all)),
    }
}
