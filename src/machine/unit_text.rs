//! Unit files as systemd reads them: settings in the order of main file and drop-ins, lists that an empty value clears.

use std::path::{Path, PathBuf};

/// One setting, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `Service` of `[Service]`
    pub section: String,
    /// What stands before the `=`.
    pub key: String,
    /// What stands behind it.
    pub value: String,
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

/// A unit: its file and its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitText(Vec<Setting>);

impl UnitText {
    /// Adds the text of a file: first the unit, then its drop-ins in systemd's order.
    pub fn add(&mut self, file: &Path, text: &str) {
        let mut section = String::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let mut line = line.trim().to_owned();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            while let Some(begun) = line.strip_suffix('\\') {
                let Some((_, next)) = lines.next() else { break };
                line = format!("{} {}", begun.trim_end(), next.trim());
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                self.0.push(Setting {
                    section: section.clone(),
                    key: key.trim().to_owned(),
                    value: value.trim().to_owned(),
                    file: file.to_owned(),
                    line: number + 1,
                });
            }
        }
    }

    /// Those of a key in `[Service]` that are in force: all since the last empty one.
    pub fn all(&self, key: &str) -> Vec<&Setting> {
        let of_key = self.0.iter().filter(|s| s.section == "Service" && s.key == key);
        let mut found = Vec::new();
        for setting in of_key {
            if setting.value.is_empty() {
                found.clear();
            } else {
                found.push(setting);
            }
        }
        found
    }

    /// The last of a key in `[Service]`, also an empty one.
    pub fn last(&self, key: &str) -> Option<&Setting> {
        self.0.iter().rev().find(|s| s.section == "Service" && s.key == key)
    }

    /// The value of a key that has one; empty if it is not there.
    pub fn value(&self, key: &str) -> &str {
        self.last(key).map_or("", |setting| setting.value.as_str())
    }

    /// The words of all settings of a key, without their quotes.
    pub fn words(&self, key: &str) -> Vec<String> {
        self.all(key)
            .into_iter()
            .flat_map(|setting| words(&setting.value))
            .collect()
    }

    /// The same words with their settings.
    pub fn each(&self, key: &str) -> Vec<(String, &Setting)> {
        let all = self.all(key).into_iter();
        all.flat_map(|setting| words(&setting.value).into_iter().map(move |word| (word, setting)))
            .collect()
    }
}

/// Words separated by spaces; quotes hold one together.
fn words(value: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in value.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A path for a unit file.
pub fn path_word(path: &Path) -> String {
    // systemd has specifiers of its own, which begin with %.
    let text = path.display().to_string().replace('%', "%%");
    if text.contains(char::is_whitespace) {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// `on`, `true` and `1` are one value.
pub fn same_value(one: &str, other: &str) -> bool {
    let plain = |value: &str| match value.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => "yes".to_owned(),
        "no" | "false" | "off" | "0" => "no".to_owned(),
        other => other.to_owned(),
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_add_and_clear() {
        let mut unit = UnitText::default();
        let main =
            "[Unit]\nUser=no\n[Service]\nUser=hookd\n# no\nReadWritePaths=-/srv \\\n  \"/a b\"\nProtectHome=yes\n";
        unit.add(Path::new("/u"), main);
        assert_eq!(unit.value("User"), "hookd");
        assert_eq!(unit.words("ReadWritePaths"), ["-/srv", "/a b"]);
        unit.add(
            Path::new("/u.d/x.conf"),
            "[Service]\nReadWritePaths=\nReadWritePaths=/x\nProtectHome=no",
        );
        assert_eq!(unit.words("ReadWritePaths"), ["/x"]);
        let last = unit.last("ProtectHome").unwrap();
        assert_eq!(
            (last.value.as_str(), last.line, last.file.as_path()),
            ("no", 4, Path::new("/u.d/x.conf"))
        );
        assert!(same_value("true", "yes") && !same_value("read-only", "yes"));
        assert_eq!(path_word(Path::new("/a b%")), "\"/a b%%\"");
    }
}
