//! The drop-in that `hookd add` writes, and what one says of itself.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::toml_string as string;

/// How the first line begins, by which `hookd remove` knows its own.
const MARK: &str = "# Made by `hookd add`";

/// How the line begins that says where the forge delivers.
const WEBHOOK: &str = "# webhook: ";

/// What stands in a drop-in.
#[derive(Debug, Clone, Default)]
pub struct Fragment {
    /// NAME of `[repo.NAME]`
    pub repo: String,
    /// `url`
    pub url: String,
    /// `forge`, if it is not told from the URL.
    pub forge: Option<String>,
    /// `full_name`, if it is not the URL's path.
    pub full_name: Option<String>,
    /// File of the secret.
    pub secret: PathBuf,
    /// File of the secret that is about to take the other's place.
    pub next_secret: Option<PathBuf>,
    /// `ssh_key`
    pub ssh_key: Option<PathBuf>,
    /// `known_hosts`
    pub known_hosts: Option<PathBuf>,
    /// NAME of `[repo.NAME.deploy.TARGET]`
    pub target: String,
    /// `branch` or `tag`, and what it follows.
    pub follows: (&'static str, String),
    /// `path`
    pub path: PathBuf,
    /// `build`, `reload`, `check` and their like, as far as they are given.
    pub options: Vec<(&'static str, String)>,
    /// Where the forge delivers, if it is known.
    pub webhook: Option<String>,
}

/// A key; dots in it would separate tables.
fn key(name: &str) -> String {
    if name.contains('.') {
        string(name)
    } else {
        name.to_owned()
    }
}

impl Fragment {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{MARK}; `hookd remove {}` takes it away, with what belongs to it.\n",
            self.repo
        );
        if let Some(url) = &self.webhook {
            line(&mut text, &format!("{WEBHOOK}{url}"));
        }
        let repo = key(&self.repo);
        line(&mut text, &format!("\n[repo.{repo}]"));
        let path = |path: &PathBuf| path.display().to_string();
        let source = |file: &PathBuf| string(&format!("file:{}", path(file)));
        let secret = match &self.next_secret {
            None => source(&self.secret),
            Some(next) => format!("[{}, {}]", source(&self.secret), source(next)),
        };
        let quoted = |value: Option<String>| value.map(|value| string(&value));
        let pairs = [
            ("url", quoted(Some(self.url.clone()))),
            ("forge", quoted(self.forge.clone())),
            ("full_name", quoted(self.full_name.clone())),
            ("secret", Some(secret)),
            ("ssh_key", quoted(self.ssh_key.as_ref().map(path))),
            ("known_hosts", quoted(self.known_hosts.as_ref().map(path))),
        ];
        for (name, value) in pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            line(&mut text, &format!("{name} = {value}"));
        }
        line(&mut text, &format!("\n[repo.{repo}.deploy.{}]", key(&self.target)));
        line(&mut text, &format!("{} = {}", self.follows.0, string(&self.follows.1)));
        line(&mut text, &format!("path = {}", string(&path(&self.path))));
        for (name, value) in &self.options {
            line(&mut text, &format!("{name} = {}", string(value)));
        }
        text
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}

/// What a drop-in says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Whether `hookd add` made it.
    pub ours: bool,
    /// Where the forge delivers, if it was known.
    pub webhook: Option<String>,
}

impl Header {
    /// Reads it from the text of a file.
    pub fn read(text: &str) -> Self {
        let comments = || text.lines().take_while(|line| line.starts_with('#'));
        Self {
            ours: text.starts_with(MARK),
            webhook: comments()
                .find_map(|line| line.strip_prefix(WEBHOOK))
                .map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn the_text_is_a_configuration_and_knows_its_origin() {
        let fragment = Fragment {
            repo: "my.blog".into(),
            url: "git@github.com:alice/blog.git".into(),
            secret: "/etc/hookd/my.blog.secret".into(),
            ssh_key: Some("/etc/hookd/my.blog.key".into()),
            target: "production".into(),
            follows: ("branch", "main".into()),
            path: "/srv/a \"b\"\\".into(),
            options: vec![("build", "printf 'a\\tb' > \"$HOOKD_PATH/x\"\nls".into())],
            webhook: Some("https://blog.example.org/hook/my.blog".into()),
            ..Fragment::default()
        };
        let text = fragment.text();
        let config = config::parse(Path::new("/etc/hookd.toml"), &text, &|_| None)
            .unwrap()
            .config;
        let repo = config.repos.values().next().unwrap();
        let target = repo.targets.values().next().unwrap();
        assert_eq!(repo.name.as_str(), "my.blog");
        assert_eq!(target.path, fragment.path);
        assert_eq!(
            target.build,
            Some(config::Command::Shell(fragment.options[0].1.clone()))
        );
        let header = Header::read(&text);
        assert_eq!((header.ours, header.webhook), (true, fragment.webhook));
        assert_eq!(Header::read("[repo.x]\n# webhook: no"), Header::default());
    }
}
