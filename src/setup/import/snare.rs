//! snare: snare.conf(5).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::draft::{Draft, RepoDraft};
use super::tree::place_at;
use super::{Bad, Place, public_url};
use crate::exec::quoted;

/// What `timeout` is without one.
const TIMEOUT: &str = "3600";

/// A word, a string, or one of `= ; { }`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
    End,
}

/// A setting of a block, and its place.
type Settings = BTreeMap<String, (Place, String)>;

/// A `match` block.
struct Match {
    place: Place,
    pattern: String,
    settings: Settings,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// Reads the file.
pub(super) fn read(text: &str) -> Result<Draft, Bad> {
    let mut reader = Reader { text, at: 0 };
    let mut draft = Draft::default();
    let (mut blocks, mut found) = (Vec::new(), Settings::new());
    loop {
        let (place, token) = reader.next()?;
        match token {
            Token::End => break,
            Token::Word(word) if word == "github" => reader.github(&mut blocks, &mut found)?,
            Token::Word(word) => {
                let value = reader.setting(place)?;
                match word.as_str() {
                    "listen" => draft.listen = Some(value),
                    "maxjobs" => draft.max_jobs = Some(value),
                    "user" => draft.note(place, format!("`user` is not carried over: hookd runs as its unit's User=, and `run_as = {value:?}` is a key of targets")),
                    other => return Err(Bad::new(place, format!("`{other}` is not an option of snare"))),
                }
            }
            _ => {
                return Err(Bad::new(
                    place,
                    "an option is expected here, such as `listen = \"127.0.0.1:8765\";`",
                ));
            }
        }
    }
    let names = names(
        &blocks,
        found.get("reposdir").map(|(_, path)| path.as_str()),
        &mut draft,
    );
    for (name, place) in names {
        let repo = repo_of(&name, place, &blocks, &found, &mut draft);
        draft.repos.push(repo);
    }
    if draft.repos.is_empty() {
        let place = blocks.first().map_or(Place::default(), |block| block.place);
        draft.note(
            place,
            "no `match` names one repository, and `reposdir` has no programs: add each by hookd add URL".to_owned(),
        );
    }
    Ok(draft)
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(Place, Token), Bad> {
        loop {
            let rest = &self.text[self.at..];
            let blank = rest.len() - rest.trim_start().len();
            self.at += blank;
            let rest = &self.text[self.at..];
            if !rest.starts_with("//") {
                break;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
        let (rest, place) = (&self.text[self.at..], place_at(self.text, self.at));
        let Some(first) = rest.chars().next() else {
            return Ok((place, Token::End));
        };
        let token = match first {
            '=' | ';' | '{' | '}' => {
                self.at += 1;
                Token::Sign(first)
            }
            '"' => Token::Text(self.string(place)?),
            _ => {
                let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                if length == 0 {
                    return Err(Bad::new(
                        place,
                        format!("`{}` is not expected here", first.escape_debug()),
                    ));
                }
                self.at += length;
                Token::Word(rest[..length].to_owned())
            }
        };
        Ok((place, token))
    }

    fn string(&mut self, place: Place) -> Result<String, Bad> {
        let rest = &self.text[self.at + 1..];
        let (mut text, mut escaped) = (String::new(), false);
        for (at, c) in rest.char_indices() {
            match c {
                _ if escaped => {
                    if !matches!(c, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.at += at + 2;
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        Err(Bad::new(place, "the string has no end"))
    }

    fn expect(&mut self, sign: char) -> Result<(), Bad> {
        match self.next()? {
            (_, Token::Sign(found)) if found == sign => Ok(()),
            (place, _) => Err(Bad::new(place, format!("`{sign}` is expected here"))),
        }
    }

    /// `= VALUE ;`
    fn setting(&mut self, place: Place) -> Result<String, Bad> {
        self.expect('=')?;
        let (_, Token::Text(value) | Token::Word(value)) = self.next()? else {
            return Err(Bad::new(place, "the option has no value"));
        };
        self.expect(';')?;
        Ok(value)
    }

    fn github(&mut self, blocks: &mut Vec<Match>, found: &mut Settings) -> Result<(), Bad> {
        self.expect('{')?;
        loop {
            match self.next()? {
                (_, Token::Sign('}')) => return Ok(()),
                (place, Token::Word(word)) if word == "match" => {
                    let (_, Token::Text(pattern)) = self.next()? else {
                        return Err(Bad::new(place, "`match` needs a regular expression in quotes"));
                    };
                    self.expect('{')?;
                    let settings = self.block()?;
                    blocks.push(Match {
                        place,
                        pattern,
                        settings,
                    });
                }
                (place, Token::Word(word)) => {
                    let value = self.setting(place)?;
                    found.insert(word, (place, value));
                }
                (place, _) => return Err(Bad::new(place, "`match` or `}` is expected here")),
            }
        }
    }

    fn block(&mut self) -> Result<Settings, Bad> {
        let mut settings = Settings::new();
        loop {
            match self.next()? {
                (_, Token::Sign('}')) => return Ok(settings),
                (place, Token::Word(word)) => {
                    let value = self.setting(place)?;
                    settings.insert(word, (place, value));
                }
                (place, _) => return Err(Bad::new(place, "an option or `}` is expected here")),
            }
        }
    }
}

/// The repositories: those that a `match` names in full, and those with a program in `reposdir`.
fn names(blocks: &[Match], reposdir: Option<&str>, draft: &mut Draft) -> Vec<(String, Place)> {
    let mut names: Vec<(String, Place)> = Vec::new();
    for block in blocks {
        let name = block.pattern.replace("\\.", ".");
        if is_name(&name) {
            if !names.iter().any(|(known, _)| *known == name) {
                names.push((name, block.place));
            }
        } else if glob(&block.pattern).is_none() {
            let text = format!(
                "match `{}` is not carried over: it is more than a name with `.*` in it",
                block.pattern.escape_debug()
            );
            draft.note(block.place, text);
        }
    }
    let list = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    };
    let Some(reposdir) = reposdir.map(Path::new) else {
        return names;
    };
    for owner in list(reposdir) {
        for program in list(&reposdir.join(&owner)) {
            let name = format!("{owner}/{program}");
            if is_name(&name) && !names.iter().any(|(known, _)| *known == name) {
                names.push((name, Place::default()));
            }
        }
    }
    names
}

fn is_name(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    text.split_once('/')
        .is_some_and(|(owner, name)| plain(owner) && plain(name))
}

/// A regular expression as a glob, if it is a name with `.*` in it.
fn glob(pattern: &str) -> Option<globset::GlobMatcher> {
    let text = pattern.replace(".*", "*").replace("\\.", ".");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./*".contains(c);
    let text = text.chars().all(plain).then_some(text)?;
    globset::Glob::new(&text).ok().map(|glob| glob.compile_matcher())
}

fn repo_of(name: &str, place: Place, blocks: &[Match], found: &Settings, draft: &mut Draft) -> RepoDraft {
    let mut settings = Settings::new();
    let matches = |block: &&Match| glob(&block.pattern).is_some_and(|glob| glob.is_match(name));
    for block in blocks.iter().filter(matches) {
        settings.extend(block.settings.clone());
    }
    let text = |key: &str| settings.get(key).map(|(_, value)| value.as_str());
    let own = text("cmd").map(|command| expanded(command, name));
    let of_directory = || found.get("reposdir").map(|(_, directory)| program(directory, name));
    let mut repo = RepoDraft {
        name: name.rsplit('/').next().unwrap_or(name).to_owned(),
        place,
        url: public_url(Some("github"), name),
        forge: Some("github"),
        full_name: Some(name.to_owned()),
        secrets: text("secret").map(str::to_owned).into_iter().collect(),
        reload: own.or_else(of_directory),
        timeout: Some(format!("{}s", text("timeout").unwrap_or(TIMEOUT))),
        ..RepoDraft::default()
    };
    for (key, (place, value)) in &settings {
        match key.as_str() {
            "cmd" | "secret" | "timeout" => {}
            "queue" => match value.as_str() {
                "sequential" => repo.queue = Some("all"),
                "evict" => repo.queue = Some("latest"),
                _ => draft.note(
                    *place,
                    format!("{name}: `queue = {value}` is not carried over: one deployment of a repo runs at a time"),
                ),
            },
            "email" => draft.note(
                *place,
                format!(
                    "{name}: `email` is not carried over: add a [notify.NAME] with kind = \"email\" to = {value:?}"
                ),
            ),
            "errorcmd" => draft.note(
                *place,
                format!("{name}: `errorcmd` is not carried over: add a [notify.NAME] with kind = \"command\""),
            ),
            other => draft.note(*place, format!("{name}: `{other}` is not an option of snare")),
        }
    }
    if !settings.contains_key("queue") {
        repo.queue = Some("all");
    }
    draft.note(
        place,
        format!("{name}: it ran for every event; hookd follows main, or what `branch` says"),
    );
    draft.note(
        place,
        format!("{name}: the forge delivers to /hook/{} now, not to /", repo.name),
    );
    if repo.secrets.is_empty() {
        draft.note(place, format!("{name}: it has no secret: a new one is made"));
    }
    repo
}

fn program(directory: &str, name: &str) -> String {
    let program = Path::new(directory).join(name);
    format!(
        "{} push \"$HOOKD_PAYLOAD_FILE\"",
        quoted(&program.display().to_string())
    )
}

/// `%e` event, `%o` owner, `%r` repository, `%j` file of the payload, `%b` branch.
fn expanded(command: &str, name: &str) -> String {
    let (owner, repo) = name.split_once('/').unwrap_or((name, name));
    let (mut line, mut chars) = (String::new(), command.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            line.push(c);
            continue;
        }
        match chars.next() {
            Some('e') => line.push_str("push"),
            Some('o') => line.push_str(owner),
            Some('r') => line.push_str(repo),
            Some('j') => line.push_str("\"$HOOKD_PAYLOAD_FILE\""),
            Some('b') => line.push_str("\"$HOOKD_BRANCH\""),
            Some('%') => line.push('%'),
            other => line.extend(std::iter::once('%').chain(other)),
        }
    }
    line
}
