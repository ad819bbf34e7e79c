//! The example: every key with its default and its sentence, as a valid file.

use std::fmt::Write;

use super::keys::{DEFAULTS, KEYS, Key, Unset};

/// Longest line of the file, in characters.
const WIDTH: usize = 118;

const HEAD: &str = "\
# /etc/hookd.toml: every key of hookd, with what holds without it.
#
# Lines that begin with `# ` explain. Lines that begin with `#` and a key are switched off: most of them show the
# default, the others an example. `hookd check` reports everything that is wrong in this file.
#
# Durations are written \"250ms\", \"90s\", \"10m\", \"1h30m\" or \"90d\", sizes \"512KiB\", \"25MiB\" or \"1GiB\".
# Relative paths begin at the directory of the file. The files hookd.d/*.toml beside it can add repos, targets,
# notifications and forges.
";

/// A table of the example.
struct Part {
    /// What stands before it.
    says: &'static str,
    /// Its name in the example; switched off with a `#` before it.
    name: &'static str,
    /// Its name in the table of keys.
    table: &'static str,
    keys: Which,
}

/// The keys of a part.
enum Which {
    /// All of the table but these.
    AllBut(&'static [&'static str]),
    /// These, with values of their own.
    These(&'static [(&'static str, &'static str)]),
}

use Which::{AllBut, These};

/// Keys of a repo that are for ssh, or for forges which sign in other ways.
const ODD: &[&str] = &["ssh_key", "known_hosts", "public_key", "auth_header"];
/// Keys of a target that are for tags.
const OF_TAGS: &[&str] = &["tag", "order", "prereleases"];

const PARTS: &[Part] = &[
    Part {
        says: "",
        name: "",
        table: "",
        keys: AllBut(&[]),
    },
    Part {
        says: "One repository",
        name: "repo.blog",
        table: "repo.NAME",
        keys: AllBut(ODD),
    },
    Part {
        says: "A branch that is kept live; a repo can have any number of targets",
        name: "repo.blog.deploy.production",
        table: "repo.NAME.deploy.TARGET",
        keys: AllBut(OF_TAGS),
    },
    Part {
        says: "A target that follows tags",
        name: "#repo.blog.deploy.stable",
        table: "repo.NAME.deploy.TARGET",
        keys: These(&[
            ("tag", ""),
            ("order", ""),
            ("prereleases", ""),
            ("path", "\"/srv/blog-stable\""),
        ]),
    },
    Part {
        says: "A repository over ssh, of a forge that signs in another way",
        name: "#repo.wiki",
        table: "repo.NAME",
        keys: These(&[
            ("url", "\"git@git.example.org:alice/wiki.git\""),
            ("secret", "[\"credential:wiki\", \"env:WIKI_OLD_SECRET\"]"),
            ("forge", "\"generic\""),
            ("ssh_key", ""),
            ("known_hosts", ""),
            ("public_key", ""),
            ("auth_header", ""),
        ]),
    },
    Part {
        says: "",
        name: "#repo.wiki.dispatch",
        table: "repo.NAME.dispatch",
        keys: AllBut(&[]),
    },
    Part {
        says: "",
        name: "#repo.wiki.generic",
        table: "repo.NAME.generic",
        keys: AllBut(&[]),
    },
    Part {
        says: "",
        name: "#repo.wiki.deploy.live",
        table: "repo.NAME.deploy.TARGET",
        keys: These(&[("branch", ""), ("path", "\"/srv/wiki\"")]),
    },
    Part {
        says: "Whom to tell",
        name: "#notify.ops",
        table: "notify.NAME",
        keys: These(&[("kind", ""), ("url", ""), ("secret", ""), ("on", ""), ("template", "")]),
    },
    Part {
        says: "",
        name: "#notify.room",
        table: "notify.NAME",
        keys: These(&[
            ("kind", "\"matrix\""),
            ("url", "\"https://matrix.example.org\""),
            ("room", ""),
            ("token", ""),
        ]),
    },
    Part {
        says: "",
        name: "#notify.mail",
        table: "notify.NAME",
        keys: These(&[
            ("kind", "\"email\""),
            ("smtp", ""),
            ("username", ""),
            ("password", ""),
            ("from", ""),
            ("to", ""),
        ]),
    },
    Part {
        says: "",
        name: "#notify.script",
        table: "notify.NAME",
        keys: These(&[("kind", "\"command\""), ("command", "")]),
    },
    Part {
        says: "The API of a forge",
        name: "#forge.work",
        table: "forge.NAME",
        keys: AllBut(&["ranges", "app_id"]),
    },
    Part {
        says: "",
        name: "#forge.ghe",
        table: "forge.NAME",
        keys: These(&[
            ("kind", "\"github\""),
            ("token", "\"credential:github-app\""),
            ("app_id", ""),
            ("ranges", ""),
        ]),
    },
    Part {
        says: "The listeners",
        name: "http",
        table: "http",
        keys: AllBut(&[]),
    },
    Part {
        says: "TLS without a proxy",
        name: "#http.tls",
        table: "http.tls",
        keys: AllBut(&[]),
    },
    Part {
        says: "Who may use the status pages",
        name: "#http.login",
        table: "http.login",
        keys: AllBut(&[]),
    },
    Part {
        says: "Limits",
        name: "limits",
        table: "limits",
        keys: AllBut(&[]),
    },
    Part {
        says: "Defaults of all repos and targets: what one of them gives itself wins, and `env` is added to",
        name: "defaults",
        table: DEFAULTS,
        keys: AllBut(&[]),
    },
];

/// The example file.
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    for part in PARTS {
        part.write(&mut text);
    }
    text
}

impl Part {
    fn write(&self, text: &mut String) {
        text.push('\n');
        if !self.says.is_empty() {
            let rule = "-".repeat(WIDTH.saturating_sub(self.says.chars().count() + 8));
            line(text, &format!("# ---- {} {rule}", self.says));
            text.push('\n');
        }
        let (off, name) = self.name.strip_prefix('#').map_or(("", self.name), |name| ("#", name));
        if !name.is_empty() {
            line(text, &format!("{off}[{name}]"));
        }
        for (key, value) in self.keys() {
            // What is shown a second time was explained at the first.
            if self.table != DEFAULTS && value.is_empty() {
                comment(text, key);
            }
            let value = if value.is_empty() { key.example() } else { value };
            let on = off.is_empty() && matches!(key.name(), "url" | "secret" | "branch" | "path" | "build" | "check");
            let on = on && self.table != DEFAULTS && !(key.table().ends_with("TARGET") && key.name() == "url");
            line(text, &format!("{}{} = {value}", if on { "" } else { "#" }, key.name()));
        }
    }

    fn keys(&self) -> Vec<(&'static Key, &'static str)> {
        let here = |key: &&Key| key.table() == self.table || (self.table == DEFAULTS && key.in_defaults);
        match self.keys {
            AllBut(left_out) => {
                let all = KEYS.iter().filter(here).filter(|key| !left_out.contains(&key.name()));
                all.map(|key| (key, "")).collect()
            }
            These(keys) => {
                let find = |(name, value): &(&str, &'static str)| {
                    Some((KEYS.iter().filter(here).find(|key| key.name() == *name)?, *value))
                };
                keys.iter().filter_map(find).collect()
            }
        }
    }
}

/// The sentence of a key, its values if they are few, and what holds without it if the line below does not show that.
fn comment(text: &mut String, key: &Key) {
    let choices = key
        .kind
        .choices()
        .map(|choices| format!(" One of: {}.", choices.join(", ")));
    let default = match key.unset {
        Unset::Absent(default, _) if default != "none" && !default.contains("required") => {
            format!(" Default: {default}.")
        }
        _ => String::new(),
    };
    let words = format!("{}{}{default}", key.meaning, choices.unwrap_or_default());
    let mut row = String::from("#");
    for word in words.split(' ') {
        if row.chars().count() + 1 + word.chars().count() > WIDTH {
            line(text, &row);
            row = String::from("#");
        }
        row.push(' ');
        row.push_str(word);
    }
    line(text, &row);
}

fn line(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}
