//! nginx's configuration: directives, blocks and includes, and what is in force in each location.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;

use super::{Forward, Kind, Php, Place, Root, Web};

/// Includes within includes; nginx has no more use for it than this.
const DEPTH_MAX: usize = 8;

/// Without `client_max_body_size`, bytes.
const BODY_DEFAULT: u64 = 1 << 20;

/// `name args;` or `name args { block }`
#[derive(Debug, Clone, PartialEq, Eq)]
struct Directive {
    name: String,
    args: Vec<String>,
    place: Place,
    block: Vec<Directive>,
}

/// What is in force at a place, by inheritance.
#[derive(Debug, Clone, Default)]
struct InForce {
    root: Option<PathBuf>,
    no_links: Option<Place>,
    cache: Option<Place>,
    body_max: Option<u64>,
    headers: Vec<String>,
    script: Option<(String, Place)>,
    names: Vec<String>,
    location: String,
}

/// Reads the main file and what it includes.
pub(super) fn read(file: &Path, web: &mut Web) {
    let Some(text) = web.read(file) else { return };
    let main = parse(file, &text);
    let base = file.parent().unwrap_or(Path::new("/"));
    let main = included(main, base, web, 0);
    let user = main.iter().find(|directive| directive.name == "user");
    web.servers
        .push((Kind::Nginx, user.and_then(|directive| directive.args.first().cloned())));
    walk(&main, &InForce::default(), web);
}

/// Puts the directives of included files in the place of `include`.
fn included(directives: Vec<Directive>, base: &Path, web: &mut Web, depth: usize) -> Vec<Directive> {
    let mut all = Vec::new();
    for mut directive in directives {
        if directive.name == "include" && depth < DEPTH_MAX {
            let pattern = base.join(directive.args.first().map_or("", String::as_str));
            for file in matching(&pattern) {
                if let Some(text) = web.read(&file) {
                    all.extend(included(parse(&file, &text), base, web, depth + 1));
                }
            }
        } else {
            directive.block = included(directive.block, base, web, depth);
            all.push(directive);
        }
    }
    all
}

/// Files by a pattern whose last part may have wildcards, sorted as nginx does.
pub(super) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if !name.contains(['*', '?', '[']) {
        return vec![pattern.to_owned()];
    }
    let Ok(glob) = GlobBuilder::new(&name).literal_separator(true).build() else {
        return Vec::new();
    };
    let glob = glob.compile_matcher();
    let entries = std::fs::read_dir(pattern.parent().unwrap_or(Path::new("/")))
        .into_iter()
        .flatten()
        .flatten();
    let shown = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
    };
    let fits = |path: &PathBuf| path.file_name().is_some_and(|name| glob.is_match(name));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(shown).filter(fits).collect();
    files.sort();
    files
}

/// The directives of a text; what is left open at its end is closed.
fn parse(file: &Path, text: &str) -> Vec<Directive> {
    let mut words: Vec<(String, usize)> = Vec::new();
    let mut open: Vec<(Vec<Directive>, Option<Directive>)> = vec![(Vec::new(), None)];
    let directive = |words: &mut Vec<(String, usize)>| {
        let mut words = std::mem::take(words).into_iter();
        let (name, line) = words.next()?;
        Some(Directive {
            name,
            args: words.map(|(word, _)| word).collect(),
            place: Place {
                file: file.to_owned(),
                line,
            },
            block: Vec::new(),
        })
    };
    for token in tokens(text) {
        match token {
            Token::Word(word, line) => words.push((word, line)),
            Token::End => {
                if let (Some(found), Some((list, _))) = (directive(&mut words), open.last_mut()) {
                    list.push(found);
                }
            }
            Token::Open => open.push((Vec::new(), directive(&mut words))),
            Token::Close => close(&mut open),
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().map(|(list, _)| list).unwrap_or_default()
}

fn close(open: &mut Vec<(Vec<Directive>, Option<Directive>)>) {
    if open.len() < 2 {
        return;
    }
    if let Some((block, Some(head))) = open.pop()
        && let Some((list, _)) = open.last_mut()
    {
        list.push(Directive { block, ..head });
    }
}

enum Token {
    Word(String, usize),
    End,
    Open,
    Close,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<(String, usize)> = None;
    let mut line = 1;
    let mut chars = text.chars().peekable();
    let finish = |word: &mut Option<(String, usize)>, tokens: &mut Vec<Token>| {
        if let Some((text, line)) = word.take() {
            tokens.push(Token::Word(text, line));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                finish(&mut word, &mut tokens);
                line += 1;
            }
            '#' if word.is_none() => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
            }
            '"' | '\'' if word.is_none() => {
                let mut quoted = String::new();
                let begun = line;
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => quoted.extend(chars.next()),
                        inner if inner == c => break,
                        inner => {
                            line += usize::from(inner == '\n');
                            quoted.push(inner);
                        }
                    }
                }
                tokens.push(Token::Word(quoted, begun));
            }
            // `${name}` is one word.
            ';' | '{' | '}' if !word.as_ref().is_some_and(|(text, _)| in_variable(text, c)) => {
                finish(&mut word, &mut tokens);
                tokens.push(match c {
                    ';' => Token::End,
                    '{' => Token::Open,
                    _ => Token::Close,
                });
            }
            c if c.is_whitespace() => finish(&mut word, &mut tokens),
            c => word.get_or_insert_with(|| (String::new(), line)).0.push(c),
        }
    }
    finish(&mut word, &mut tokens);
    tokens
}

/// Whether a brace belongs to a variable that the word begins or ends.
fn in_variable(word: &str, brace: char) -> bool {
    match brace {
        '{' => word.ends_with('$'),
        '}' => word.rfind("${").is_some_and(|at| !word[at..].contains('}')),
        _ => false,
    }
}

/// Goes through a block with what is in force around it.
fn walk(block: &[Directive], around: &InForce, web: &mut Web) {
    let here = in_force(block, around);
    for directive in block {
        let first = directive.args.first().map_or("", String::as_str);
        match directive.name.as_str() {
            "root" | "alias" if first.starts_with('/') && !first.contains('$') => web.roots.push(Root {
                kind: Kind::Nginx,
                place: directive.place.clone(),
                path: PathBuf::from(first),
                no_links: here.no_links.clone(),
                cache: here.cache.clone(),
            }),
            "proxy_pass" => web.forwards.extend(forward(directive, first, &here, block)),
            "fastcgi_pass" => {
                if let (Some(root), Some((value, place))) = (&here.root, &here.script)
                    && value.contains("$document_root")
                {
                    web.php.push(Php {
                        place: place.clone(),
                        root: root.clone(),
                    });
                }
            }
            "location" => {
                let location = directive.args.last().cloned().unwrap_or_default();
                walk(
                    &directive.block,
                    &InForce {
                        location,
                        ..here.clone()
                    },
                    web,
                );
            }
            _ => walk(&directive.block, &here, web),
        }
    }
}

fn in_force(block: &[Directive], around: &InForce) -> InForce {
    let mut here = around.clone();
    // Lists are inherited only by blocks that have none of their own.
    if block.iter().any(|directive| directive.name == "proxy_set_header") {
        here.headers.clear();
    }
    if block.iter().any(|directive| directive.name == "fastcgi_param") {
        here.script = None;
    }
    for directive in block {
        let first = directive.args.first().map_or("", String::as_str);
        let place = || Some(directive.place.clone());
        match directive.name.as_str() {
            "root" => here.root = Some(PathBuf::from(first)),
            "disable_symlinks" => here.no_links = if first == "on" { place() } else { None },
            "open_file_cache" => here.cache = if first == "off" { None } else { place() },
            "client_max_body_size" => here.body_max = size(first),
            "proxy_set_header" => here.headers.push(first.to_ascii_lowercase()),
            "server_name" => here.names.clone_from(&directive.args),
            "fastcgi_param" if first == "SCRIPT_FILENAME" => {
                here.script = directive
                    .args
                    .get(1)
                    .map(|value| (value.clone(), directive.place.clone()));
            }
            _ => {}
        }
    }
    here
}

fn forward(directive: &Directive, to: &str, here: &InForce, block: &[Directive]) -> Option<Forward> {
    let (_, rest) = to.split_once("://")?;
    // `unix:/path:/uri`, and `host:port/uri`
    let (address, uri) = if let Some(unix) = rest.strip_prefix("unix:") {
        unix.split_once(':')
            .map_or((unix, None), |(path, uri)| (path, Some(uri)))
    } else {
        rest.find('/')
            .map_or((rest, None), |at| (&rest[..at], Some(&rest[at..])))
    };
    let own = block.iter().find(|directive| directive.name == "client_max_body_size");
    Some(Forward {
        kind: Kind::Nginx,
        place: directive.place.clone(),
        to: address.to_owned(),
        path: public_path(&here.location, uri),
        body_max: match here.body_max {
            Some(0) => None,
            Some(most) => Some(most),
            None => Some(BODY_DEFAULT),
        },
        body_place: own.map(|directive| directive.place.clone()),
        sender: here
            .headers
            .iter()
            .any(|name| name == "x-forwarded-for" || name == "forwarded"),
        names: here.names.clone(),
    })
}

/// Where `/hook/…` of hookd is seen from outside, if a location hands on with this path or without one.
pub(super) fn public_path(location: &str, uri: Option<&str>) -> Option<String> {
    const HOOK: &str = "/hook/";
    match uri {
        None if HOOK.starts_with(location) || location.starts_with(HOOK) || !location.starts_with('/') => {
            Some(HOOK.to_owned())
        }
        None => None,
        Some(uri) if uri.starts_with(HOOK) && uri != HOOK => Some(HOOK.to_owned()),
        // `/hook/` handed on as `/`: only `/hook/hook/REPO` would arrive, which nobody means.
        Some("/") if location != "/" && HOOK.starts_with(location) => None,
        Some(uri) => HOOK.strip_prefix(uri).map(|rest| format!("{location}{rest}")),
    }
}

/// `25m`, `1g`, `512k`, bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_comes_from_around_and_from_includes() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        std::fs::create_dir(directory.path().join("sites")).unwrap();
        write(
            "nginx.conf",
            "user www-data;\nhttp {\n  open_file_cache max=10;\n  include sites/*.conf;\n}\n",
        );
        write(
            "fastcgi.conf",
            "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n",
        );
        write(
            "sites/blog.conf",
            "server {\n  server_name blog.example.org;\n  root '/srv/blog/current'; # the site\n  disable_symlinks on;\n\
             location ~ \\.php$ {\n fastcgi_pass unix:/run/php.sock;\n include fastcgi.conf; }\n\
             location /hook/ {\n proxy_pass http://127.0.0.1:9000;\n client_max_body_size 25m;\n proxy_set_header X-Forwarded-For $remote_addr; }\n\
             location /in/ { proxy_pass http://127.0.0.1:9000/hook/; }\n}\n",
        );
        write("sites/.hidden.conf", "root /no;");
        let mut web = Web::default();
        read(&directory.path().join("nginx.conf"), &mut web);
        assert_eq!(web.servers, [(Kind::Nginx, Some("www-data".to_owned()))]);
        let [root] = &web.roots[..] else { panic!("{web:?}") };
        assert_eq!(
            (root.path.as_path(), root.place.line),
            (Path::new("/srv/blog/current"), 3)
        );
        assert_eq!(
            (root.no_links.as_ref().unwrap().line, root.cache.as_ref().unwrap().line),
            (4, 3)
        );
        assert_eq!(web.php[0].root, Path::new("/srv/blog/current"));
        assert!(web.php[0].place.file.ends_with("fastcgi.conf"));
        let [hook, other] = &web.forwards[..] else {
            panic!("{web:?}")
        };
        assert_eq!(
            (hook.to.as_str(), hook.path.as_deref(), hook.body_max, hook.sender),
            ("127.0.0.1:9000", Some("/hook/"), Some(25 << 20), true)
        );
        assert_eq!(
            (other.path.as_deref(), other.body_max, other.sender),
            (Some("/in/"), Some(BODY_DEFAULT), false)
        );
        assert_eq!(hook.names, ["blog.example.org"]);
    }

    #[test]
    fn broken_files_are_read_as_far_as_they_go() {
        for text in ["}", "{", "a {", "a 'b", "a; }} b;", "$ {", "\"\\"] {
            parse(Path::new("/x"), text);
        }
        assert_eq!(parse(Path::new("/x"), "a ${b} \"c d\";")[0].args, ["${b}", "c d"]);
    }

    #[test]
    fn where_webhooks_end_up() {
        for (location, uri, path) in [
            ("/", None, Some("/hook/")),
            ("/hook/", None, Some("/hook/")),
            ("/hook/blog", None, Some("/hook/")),
            ("/webhooks/", None, None),
            ("/hook/", Some("/"), None),
            ("/", Some("/"), Some("/hook/")),
            ("/webhooks/", Some("/hook/"), Some("/webhooks/")),
            ("/hook/", Some("/other/"), None),
        ] {
            let found = public_path(location, uri);
            assert_eq!(found.as_deref(), path, "{location} {uri:?}");
        }
    }
}
