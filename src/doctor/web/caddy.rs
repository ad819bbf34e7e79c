//! Caddy's configuration, as far as it says what is served and what is handed on.

use std::path::{Path, PathBuf};

use super::{Forward, Kind, Place, Root, Web};

/// Reads a Caddyfile. Snippets and imports are not followed.
pub(super) fn read(file: &Path, web: &mut Web) {
    let Some(text) = web.read(file) else { return };
    web.servers.push((Kind::Caddy, Some("caddy".to_owned())));
    let mut names: Vec<String> = Vec::new();
    // How each open block hands a path on: its matcher, and whether it is taken away.
    let mut open: Vec<(String, bool)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = Place {
            file: file.to_owned(),
            line: number + 1,
        };
        let opens = words.last() == Some(&"{");
        let at_top = open.is_empty();
        if at_top && (opens || !line.contains(' ')) {
            names = words
                .iter()
                .filter(|word| **word != "{")
                .map(|word| host(word))
                .collect();
        }
        match words[0] {
            "root" => {
                let path = words.last().map_or("", |word| word.trim_matches('"'));
                if path.starts_with('/') {
                    web.roots.push(Root {
                        kind: Kind::Caddy,
                        place,
                        path: PathBuf::from(path),
                        no_links: None,
                        cache: None,
                    });
                }
            }
            "reverse_proxy" => {
                let matcher = words.get(1).filter(|word| word.starts_with('/')).copied();
                let around = || open.iter().rev().find(|(matcher, _)| matcher.starts_with('/'));
                let (matcher, stripped) = match matcher {
                    Some(matcher) => (matcher.to_owned(), false),
                    None => around().cloned().unwrap_or_default(),
                };
                let path = handed_on(&matcher, stripped);
                for to in words
                    .iter()
                    .skip(1)
                    .filter(|word| **word != "{" && !word.starts_with(['/', '@', '*']))
                {
                    web.forwards.push(Forward {
                        kind: Kind::Caddy,
                        place: place.clone(),
                        to: address(to),
                        path: path.clone(),
                        body_max: None,
                        body_place: None,
                        sender: true,
                        names: names.clone(),
                    });
                }
            }
            _ => {}
        }
        if opens {
            let matcher = words
                .iter()
                .find(|word| word.starts_with('/'))
                .copied()
                .unwrap_or_default();
            open.push((matcher.to_owned(), words[0] == "handle_path"));
        } else if words[0] == "}" {
            open.pop();
        }
    }
}

/// `https://blog.example.org:443,` to its name.
fn host(word: &str) -> String {
    let bare = word.trim_end_matches(',');
    let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    bare.split(':').next().unwrap_or_default().to_owned()
}

fn address(word: &str) -> String {
    let bare = word.split_once("://").map_or(word, |(_, rest)| rest);
    bare.strip_prefix("unix/").unwrap_or(bare).to_owned()
}

/// Where webhooks come in, if these paths are handed on.
fn handed_on(matcher: &str, stripped: bool) -> Option<String> {
    let prefix = matcher.trim_end_matches('*');
    match (prefix, stripped) {
        ("", _) => Some("/hook/".to_owned()),
        (prefix, false) => super::nginx::public_path(prefix, None),
        // The matched part is gone: what is left must begin with /hook/.
        (prefix, true) => Some(format!("{}/hook/", prefix.trim_end_matches('/'))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_with_its_webhooks() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("Caddyfile");
        let text = "{\n  email a@example.org\n}\nblog.example.org {\n  root * /srv/blog/current/public\n  file_server\n\
                    \n  handle /hook/* {\n    reverse_proxy 127.0.0.1:9000\n  }\n  reverse_proxy /old/* http://localhost:9000\n}\n";
        std::fs::write(&file, text).unwrap();
        let mut web = Web::default();
        read(&file, &mut web);
        assert_eq!(
            (web.roots[0].path.as_path(), web.roots[0].place.line),
            (Path::new("/srv/blog/current/public"), 5)
        );
        let [good, bad] = &web.forwards[..] else {
            panic!("{web:?}")
        };
        assert_eq!(
            (good.to.as_str(), good.path.as_deref()),
            ("127.0.0.1:9000", Some("/hook/"))
        );
        assert_eq!(good.names, ["blog.example.org"]);
        assert_eq!((bad.to.as_str(), bad.path.as_deref()), ("localhost:9000", None));
    }
}
