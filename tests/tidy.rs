//! The rules of the house, as tests: what src/lib.rs, the examples and the manual pages say about the code holds.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hookd::config::keys::KEYS;

/// The doors to the outside: what stands in code only in these places.
const DOORS: &[(&str, &[&str])] = &[
    ("rusqlite", &["store/"]),
    ("git2::", &["git/"]),
    ("libgit2_sys", &["git/globals.rs"]),
    ("unsafe {", &["git/globals.rs", "memory.rs"]),
    ("unsafe fn", &[]),
    ("unsafe impl", &[]),
    ("allow(unsafe_code", &["git/globals.rs", "memory.rs"]),
    ("process::Command", &["exec/", "git/", "cli/demo"]),
    ("Command::new(", &["exec/", "git/", "cli/demo"]),
    ("hyper::", &["http/", "web.rs", "web/", "cli/client.rs", "cli/demo/"]),
    ("listenfd", &["systemd.rs"]),
    ("sd_notify", &["systemd.rs"]),
    ("landlock::", &["exec/start.rs"]),
    ("zbus", &["exec/unit/bus.rs", "exec/unit/proxy.rs"]),
    ("lettre", &["config/check/notify.rs", "notify/mail.rs"]),
    ("toml::", &["config/", "cli/client.rs", "setup/import/"]),
    ("tracing_subscriber", &["logging.rs"]),
    ("tracing_journald", &["logging.rs"]),
    ("println!", &["cli/"]),
    ("eprint", &["cli/"]),
    ("clap", &["cli/"]),
    ("Timestamp::now", &["clock.rs"]),
    ("todo!", &[]),
    ("unimplemented!", &[]),
    ("#[ignore", &[]),
];

/// Most lines of a file of code.
const LINES_MAX: usize = 600;

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Files of that extension below a directory of the repository, with their names from there.
fn files(directory: &str, extension: &str) -> Vec<(String, String)> {
    let root = top().join(directory);
    let mut found = Vec::new();
    files_below(&root, &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    found.sort();
    assert!(!found.is_empty(), "no .{extension} below {directory}");
    let named = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    found.into_iter().map(named).collect()
}

/// The code of a file, without comments and without the tests at its end.
fn code(text: &str) -> String {
    let tests = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\nmod tests;"];
    let end = tests.iter().filter_map(|t| text.find(t)).min().unwrap_or(text.len());
    text[..end]
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"))
        .map(|line| line.split(" // ").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The source files of the program, as code; the tests within them are left out.
fn sources() -> Vec<(String, String)> {
    let mut sources = files("src", "rs");
    sources.retain(|(name, _)| !name.contains("/tests/"));
    sources.into_iter().map(|(name, text)| (name, code(&text))).collect()
}

/// `worker.rs` and `git/mod.rs` are the rooms `worker` and `git`.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// The floors from the ground up, each with its rooms, as the table in src/lib.rs lists them. A room imports only rooms on the floors
/// below its own, never a neighbour.
fn floors() -> Vec<Vec<String>> {
    let map = text("src/lib.rs");
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | "));
    let rooms = rows.map(|row| {
        let parts = row.split(" | ").nth(1).unwrap().split("[`").skip(1);
        parts.map(word).collect::<Vec<_>>()
    });
    rooms.filter(|rooms| !rooms.is_empty()).collect()
}

/// The rooms that a file imports: `crate::store::…`, and each one of `crate::{clock, store::…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            rooms.insert(word(rest));
            continue;
        };
        let mut depth = 1;
        let mut first = true;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => first = true,
                _ if first && c.is_alphanumeric() => {
                    rooms.insert(word(&list[at..]));
                    first = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_are_found_however_they_are_written() {
    let code = "use crate::config;\nuse crate::{clock,\n store::{A, B}, git::x};\nlet a = crate::model::B;";
    let found: Vec<String> = imports(code).into_iter().collect();
    assert_eq!(found, ["clock", "config", "git", "model", "store"]);
}

#[test]
fn rooms_import_only_what_is_on_the_floors_below() {
    let floors = floors();
    let floor = |room: &str| floors.iter().position(|rooms| rooms.iter().any(|known| known == room));
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let own = room(&file);
        if matches!(own, "lib" | "main") {
            continue;
        }
        let Some(own_floor) = floor(own) else {
            wrong.push(format!(
                "src/{file}: the room `{own}` is on no floor: add it to the table in src/lib.rs"
            ));
            continue;
        };
        for import in imports(&code).iter().filter(|import| *import != own) {
            if floor(import).is_none_or(|floor| floor >= own_floor) {
                wrong.push(format!(
                    "src/{file}: imports `{import}`, which is not on a floor below `{own}`"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_door_to_the_outside_is_in_its_room() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        for (word, allowed) in DOORS {
            if code.contains(word) && !allowed.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!("src/{file}: `{word}` belongs into {allowed:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (word, allowed) in DOORS.iter().filter(|(_, allowed)| !allowed.is_empty()) {
        let used = sources()
            .iter()
            .any(|(file, code)| code.contains(word) && allowed.iter().any(|place| file.starts_with(place)));
        assert!(used, "`{word}` stands nowhere: is the rule still of use?");
    }
}

#[test]
fn each_file_says_what_it_is_for_and_is_not_too_long() {
    for directory in ["src", "tests"] {
        for (file, text) in files(directory, "rs") {
            assert!(
                text.starts_with("//! "),
                "{directory}/{file} does not begin with its purpose"
            );
            let lines = text.lines().count();
            assert!(
                lines <= LINES_MAX,
                "{directory}/{file} has {lines} lines, more than {LINES_MAX}"
            );
        }
    }
}

#[test]
fn the_map_knows_each_room() {
    let map = text("src/lib.rs");
    let modules: BTreeSet<String> = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .map(word)
        .collect();
    let listed: Vec<String> = floors().concat();
    let rooms: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(rooms.len(), listed.len(), "a room is on two floors: {listed:?}");
    assert_eq!(
        rooms, modules,
        "the table of floors in src/lib.rs does not match its modules"
    );
}

#[test]
fn each_key_is_in_the_example_and_in_the_manual() {
    let (example, manual) = (text("examples/hookd.toml"), text("packaging/man/hookd.toml.5"));
    for key in KEYS {
        let name = key.name();
        let typed = |line: &str| {
            line.trim_start_matches('#')
                .trim_start()
                .starts_with(&format!("{name} ="))
        };
        assert!(example.lines().any(typed), "examples/hookd.toml lacks `{}`", key.path);
        let heading = format!(".B {}", key.path.replace('-', "\\-"));
        assert!(
            manual.lines().any(|line| line == heading),
            "hookd.toml.5 lacks `{}`",
            key.path
        );
    }
}

#[test]
fn each_command_is_in_the_manual_and_in_the_readme() {
    let help = Command::new(env!("CARGO_BIN_EXE_hookd"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, behind) = help.split_once("Usage:").unwrap();
    let (listed, _) = behind.split_once("\nOptions:").unwrap();
    let commands: Vec<&str> = listed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"serve") && commands.len() > 15, "{help}");
    let (manual, readme) = (text("packaging/man/hookd.1"), text("README.md"));
    for command in commands {
        let heading = format!(".SS \"hookd {command}\"");
        assert!(manual.contains(&heading), "hookd.1 lacks `{command}`");
        assert!(
            readme.contains(&format!("hookd {command}")),
            "README.md lacks `hookd {command}`"
        );
    }
}

#[test]
fn links_lead_somewhere() {
    let mut files = vec![
        "README.md".to_owned(),
        "ARCHITECTURE.md".into(),
        "CONTRIBUTING.md".into(),
        "SECURITY.md".into(),
        "CHANGELOG.md".into(),
        "COMPARISON.md".into(),
        "tests/hard/REPORT.md".into(),
    ];
    files.extend(files_of_examples());
    for file in files {
        let text = text(&file);
        let directory = Path::new(&file).parent().unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap();
            if target.is_empty() || target.starts_with("https://") {
                continue;
            }
            let path = top().join(directory).join(target);
            assert!(path.exists(), "{file} links to {target}, which is not there");
        }
    }
}

fn files_of_examples() -> Vec<String> {
    files("examples", "md")
        .into_iter()
        .map(|(name, _)| format!("examples/{name}"))
        .collect()
}

/// The paths of the API in a file of the command line, each part on its own; `*` is what is filled in.
fn api_paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("\"/api/v1/") {
        let path = code[at + 1..].split(['"', '?']).next().unwrap();
        let part = |part: &str| match part.split_once('{') {
            // `log{follow}` adds a query.
            Some((fixed, _)) if !fixed.is_empty() => fixed.to_owned(),
            Some(_) => "*".to_owned(),
            None => part.to_owned(),
        };
        found.push(path.trim_start_matches("/api/v1").split('/').map(part).collect());
    }
    found
}

/// Whether a path of the command line may be one of the table; `{target}` there fills two parts.
fn is_of(path: &[String], route: &[&str]) -> bool {
    match (path, route) {
        ([], []) => true,
        ([first, rest @ ..], [part, others @ ..]) if first == "*" => {
            is_of(rest, others) || part.starts_with('{') && is_of(path, others)
        }
        ([first, rest @ ..], [part, others @ ..]) => first == part && is_of(rest, others),
        _ => false,
    }
}

#[test]
fn the_command_line_uses_nothing_but_the_api_as_described() {
    let mut count = 0;
    for (file, code) in sources().iter().filter(|(file, _)| file.starts_with("cli/")) {
        for path in api_paths(code) {
            let known = |route: &hookd::api::routes::Route| is_of(&path, &route.path.split('/').collect::<Vec<_>>());
            assert!(
                hookd::api::routes::ROUTES.iter().any(known),
                "src/{file}: {path:?} is no route of src/api/routes.rs"
            );
            count += 1;
        }
    }
    assert!(count > 20, "{count} paths");
}

/// The paths in a tree of imports: `a::{b, c::{self, d}}` is `a::b`, `a::c::self` and `a::c::d`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let mut depth = 0;
    let inner = rest.rsplit_once('}').unwrap().0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let parts = parts.filter(|part| !part.trim().is_empty());
    parts
        .flat_map(expanded)
        .map(|path| format!("{}{path}", before.trim()))
        .collect()
}

/// What a file imports or names in passing, and what it imports only to pass it on (`pub use`).
fn named_paths(code: &str) -> (Vec<String>, Vec<String>) {
    let (mut used, mut passed_on, mut rest) = (Vec::new(), Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let Some((visibility, tree)) = line
            .split_once("use ")
            .filter(|(before, _)| before.is_empty() || before.starts_with("pub") && before.ends_with([' ', ')']))
        else {
            rest = rest + line + "\n";
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree += lines.next().unwrap();
        }
        let list = if visibility.is_empty() {
            &mut used
        } else {
            &mut passed_on
        };
        list.extend(expanded(tree.split(';').next().unwrap()));
    }
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    // That a door calls its own files, `child::go()`, is no import.
    let is_import = |word: &&str| {
        ["super::", "crate::", "self::"]
            .iter()
            .any(|first| word.starts_with(first))
    };
    let words = rest.split(|c| !is_of_path(c)).filter(is_import);
    used.extend(words.map(str::to_owned));
    (used, passed_on)
}

/// The files of the program by the path of their modules: `git/ssh/mod.rs` is `[git, ssh]`.
struct Tree {
    files: BTreeMap<Vec<String>, String>,
    /// Names that a file has from one of its children, with that child's file: `super::Error` is the child's.
    children: BTreeMap<(String, String), String>,
}

impl Tree {
    fn module(file: &str) -> Vec<String> {
        let bare = file.trim_end_matches(".rs").trim_end_matches("/mod");
        bare.split('/').map(str::to_owned).collect()
    }

    fn new(sources: &[(String, String)]) -> Self {
        let files = sources.iter().map(|(file, _)| (Self::module(file), file.clone()));
        let mut tree = Self {
            files: files.collect(),
            children: BTreeMap::new(),
        };
        for (file, code) in sources {
            let (used, passed_on) = named_paths(code);
            for path in used.iter().chain(&passed_on) {
                let own = path.trim_start_matches("self::");
                let (first, name) = (own.split("::").next().unwrap(), own.rsplit("::").next().unwrap());
                let child = [Self::module(file), vec![first.to_owned()]].concat();
                if let Some(child) = tree.files.get(&child) {
                    tree.children.insert((file.clone(), name.to_owned()), child.clone());
                }
            }
        }
        tree
    }

    /// The file that a path leads to, as written in another one.
    fn file_of(&self, from: &str, path: &str) -> Option<&String> {
        let mut base = Self::module(from);
        let mut parts: &[&str] = &path.split("::").collect::<Vec<_>>();
        match parts[0] {
            "crate" => (base, parts) = (Vec::new(), &parts[1..]),
            "self" => parts = &parts[1..],
            "super" => {
                while let Some(("super", rest)) = parts.split_first().map(|(first, rest)| (*first, rest)) {
                    base.pop();
                    parts = rest;
                }
            }
            // A child, or another crate.
            child
                if self
                    .files
                    .contains_key(&[base.clone(), vec![child.to_owned()]].concat()) => {}
            _ => return None,
        }
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let (length, file) = (0..=parts.len()).rev().find_map(|length| {
            let module = [&base[..], &parts[..length]].concat();
            Some((length, self.files.get(&module)?))
        })?;
        let name = parts.get(length);
        let child = name.and_then(|name| self.children.get(&(file.clone(), name.clone())));
        Some(child.unwrap_or(file))
    }
}

/// A release is made from its spare, and its spare as a release is: the one pair of files that import one another.
const PAIR: [&str; 2] = ["git/materialise.rs", "git/spare.rs"];

#[test]
fn files_of_a_room_import_one_another_in_no_circle() {
    let sources = sources();
    let tree = Tree::new(&sources);
    let mut edges: BTreeSet<(String, String)> = BTreeSet::new();
    for (file, code) in &sources {
        let imported = named_paths(code).0;
        let imported = imported.iter().filter_map(|path| tree.file_of(file, path));
        let of_room = imported.filter(|other| *other != file && room(other) == room(file));
        edges.extend(of_room.map(|other| (file.clone(), other.clone())));
    }
    edges.retain(|(file, other)| ![file, other].iter().all(|file| PAIR.contains(&file.as_str())));
    assert!(edges.len() > 300, "only {} imports were found", edges.len());
    // What imports nothing that is left, or is imported by nothing that is left, is in no circle.
    loop {
        let importing: BTreeSet<String> = edges.iter().map(|(file, _)| file.clone()).collect();
        let imported: BTreeSet<String> = edges.iter().map(|(_, other)| other.clone()).collect();
        let before = edges.len();
        edges.retain(|(file, other)| importing.contains(other) && imported.contains(file));
        if edges.len() == before {
            break;
        }
    }
    let lines: Vec<String> = edges
        .iter()
        .map(|(file, other)| format!("src/{file} imports src/{other}"))
        .collect();
    assert!(
        lines.is_empty(),
        "circles; move what both need to a file below:\n{}",
        lines.join("\n")
    );
}

/// Rooms that show things to people and programs: they have types of their own, so that the store can change.
const FACES: &[&str] = &["api", "http", "cli", "doctor", "setup"];

#[test]
fn rows_stay_in_the_store_and_below_the_faces() {
    let is_row = |word: &&str| word.len() > "Row".len() && word.ends_with("Row");
    for (file, code) in sources() {
        let words = || code.split(|c: char| !c.is_alphanumeric() && c != '_');
        let defines = code.lines().any(|line| {
            let name = line.split("struct ").nth(1).map(word);
            name.is_some_and(|name| is_row(&name.as_str()))
        });
        let in_store = room(&file) == "store";
        assert!(
            in_store || !defines,
            "src/{file} defines a row, which belongs into store/"
        );
        assert!(
            !in_store || !code.contains("Serialize"),
            "src/{file}: what goes over a wire is in src/api.rs"
        );
        let shown = words().find(is_row).filter(|_| FACES.contains(&room(&file)));
        assert!(shown.is_none(), "src/{file} names a row of the store: {shown:?}");
    }
}
