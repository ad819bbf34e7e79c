//! `hookd import`: the configuration of another program as one of hookd's.
//!
//! | what | file |
//! |---|---|
//! | JSON, YAML and TOML with places | `tree` |
//! | what could be carried over, and its text | [`Draft`] |
//! | adnanh/webhook: hooks.json, hooks.yaml ("Hook definition", "Hook rules") | `webhook`, `rules` |
//! | snare.conf(5) | `snare` |
//! | webhookd's TOML (its example.toml) | `webhookd` |
//! | a directory of Capistrano or Deployer | `releases` |
//!
//! Nothing is left out silently: what has no counterpart becomes a [`Note`] with its place.

mod draft;
mod releases;
mod rules;
mod snare;
mod tree;
mod webhook;
mod webhookd;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use draft::{Draft, RepoDraft, SecretFile};

/// Largest file that is read, bytes: a configuration by hand is a thousandth of it.
const FILE_MAX: u64 = 4 << 20;

/// Line and column, from 1; zeros for a whole file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Something that could not be carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it stands.
    pub place: Place,
    /// What it is, and what hookd does instead.
    pub text: String,
}

/// Why a file can't be imported at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Bad {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// What wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// adnanh/webhook, JSON.
    WebhookJson,
    /// adnanh/webhook, YAML.
    WebhookYaml,
    /// snare
    Snare,
    /// webhookd
    Webhookd,
    /// Capistrano or Deployer: a directory.
    Releases,
}

impl Format {
    /// Tells it from the name, and from the text where the name says nothing.
    fn of(path: &Path, text: &str) -> Option<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "json" => return Some(Self::WebhookJson),
            "yaml" | "yml" => return Some(Self::WebhookYaml),
            "toml" => return Some(Self::Webhookd),
            _ => {}
        }
        let start = text.trim_start();
        if start.starts_with(['[', '{']) && !text.contains("[[project]]") {
            Some(Self::WebhookJson)
        } else if text.contains("[[project]]") {
            Some(Self::Webhookd)
        } else if text.contains("github") && text.contains('{') && (text.contains(';') || text.contains("match")) {
            Some(Self::Snare)
        } else if start.starts_with('-') {
            Some(Self::WebhookYaml)
        } else {
            None
        }
    }
}

/// Reads what another program was configured with; `format` where it is not told from the file.
pub fn import(path: &Path, format: Option<Format>) -> Result<Draft, Bad> {
    let nowhere = Place::default();
    let about = fs::metadata(path).map_err(|e| Bad::new(nowhere, e.to_string()))?;
    let mut draft = if about.is_dir() {
        releases::read(path)?
    } else {
        let opened = File::open(path).map_err(|e| Bad::new(nowhere, e.to_string()))?;
        let bytes = whole(opened).map_err(|e| Bad::new(nowhere, e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let valid = e.utf8_error().valid_up_to();
            let place = tree::place_at(&String::from_utf8_lossy(e.as_bytes()), valid);
            Bad::new(place, "not UTF-8 text")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        match format.or_else(|| Format::of(path, text)) {
            Some(Format::WebhookJson) => webhook::read(&tree::json(text)?)?,
            Some(Format::WebhookYaml) => webhook::read(&tree::yaml(text)?)?,
            Some(Format::Webhookd) => webhookd::read(&tree::toml(text)?)?,
            Some(Format::Snare) => snare::read(text)?,
            Some(Format::Releases) => return Err(Bad::new(nowhere, "not a directory")),
            None => {
                let message = "neither hooks.json, hooks.yaml, snare.conf nor webhookd's TOML";
                return Err(Bad::new(nowhere, message).hint("--format says what it is"));
            }
        }
    };
    draft.name_repos();
    draft.notes.sort_by_key(|note| note.place);
    Ok(draft)
}

/// All that can be read, which may be a pipe's; more than [`FILE_MAX`] is an error.
fn whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!("larger than {} MiB", FILE_MAX >> 20)));
    }
    Ok(bytes)
}

/// The text of a file that nobody has named, in a directory that may be anybody's: nothing is waited for there.
fn text_of(path: &Path) -> Option<String> {
    let flags = nix::libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    String::from_utf8(whole(file).ok()?).ok()
}

/// Where a repository of that name is to be fetched, at the forges that have one place for all.
fn public_url(forge: Option<&str>, full_name: &str) -> Option<String> {
    let host = match forge? {
        "github" => "github.com",
        "gitlab" => "gitlab.com",
        "bitbucket" => "bitbucket.org",
        _ => return None,
    };
    Some(format!("https://{host}/{full_name}.git"))
}

/// The URL of `origin` in a git directory or a checkout, without user and password.
fn origin(directory: &Path) -> Option<String> {
    let files = [directory.join(".git/config"), directory.join("config")];
    let text = files.iter().find_map(|file| text_of(file))?;
    let mut here = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            here = line == "[remote \"origin\"]";
        } else if let Some(("url", url)) = line.split_once('=').map(|(key, value)| (key.trim(), value.trim()))
            && here
        {
            return Some(without_password(url));
        }
    }
    None
}

fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if matches!(parsed.scheme(), "http" | "https") => {
            // Both fail for URLs without a host alone, which have neither.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}
