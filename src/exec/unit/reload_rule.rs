//! The polkit rule that a target's `reload` needs to have systemd reload or restart a unit: exactly that one, and nothing else.

use std::path::PathBuf;

use crate::config::{Command, Target};

/// Where root's own rules are.
const RULES: &str = "/etc/polkit-1/rules.d";

/// What `systemctl` takes, and polkit's `verb` for it (systemd's `src/core/dbus-manager.c`).
const VERBS: &[(&str, &str)] = &[
    ("reload", "reload"),
    ("restart", "restart"),
    ("try-restart", "try-restart"),
    ("reload-or-restart", "reload-or-restart"),
    ("try-reload-or-restart", "reload-or-try-restart"),
];

/// A file for root to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadRule {
    /// What is asked of systemd: polkit's verb, and the unit's whole name.
    pub asked: Vec<(&'static str, String)>,
    /// The file.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// The rule that `user` needs for the `reload` of a target; none if it asks systemd for nothing.
pub fn reload_rule(target: &Target, user: &str) -> Option<ReloadRule> {
    let asked = asked(target.reload.as_ref()?);
    if asked.is_empty() {
        return None;
    }
    let conditions: Vec<String> = asked
        .iter()
        .map(|(verb, unit)| format!("(action.lookup(\"unit\") == \"{unit}\" && action.lookup(\"verb\") == \"{verb}\")"))
        .collect();
    let text = format!(
        "// {}: its `reload` may ask systemd for this, and for nothing else.\n\
         polkit.addRule(function (action, subject) {{\n    \
         if (action.id == \"org.freedesktop.systemd1.manage-units\" && subject.user == \"{user}\" &&\n        \
         ({})) {{\n        return polkit.Result.YES;\n    }}\n}});\n",
        target.id,
        conditions.join(" ||\n         ")
    );
    let path = PathBuf::from(RULES).join(format!("60-hookd-{}-{}.rules", target.id.repo, target.id.target));
    Some(ReloadRule { asked, path, text })
}

/// What a command asks of systemd, as far as its words tell: a script that it runs is not read.
fn asked(command: &Command) -> Vec<(&'static str, String)> {
    let words: Vec<&str> = match command {
        Command::Shell(line) => line.split(|c: char| c.is_whitespace() || "&|;()".contains(c)).collect(),
        Command::Argv(words) => words.iter().map(String::as_str).collect(),
    };
    let mut asked = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        if word.rsplit('/').next() != Some("systemctl") {
            continue;
        }
        while words.next_if(|word| word.starts_with('-')).is_some() {}
        let verb = words
            .next()
            .and_then(|word| VERBS.iter().find(|(name, _)| *name == word));
        while let (Some((_, verb)), Some(unit)) = (verb, words.next_if(|word| is_unit(word))) {
            asked.push((*verb, whole_name(unit)));
        }
    }
    asked
}

/// Only names that need no quotes in a rule.
fn is_unit(word: &str) -> bool {
    word != "systemctl"
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || ":_.@-".contains(c))
}

/// As systemctl completes it.
fn whole_name(unit: &str) -> String {
    if unit.contains('.') {
        unit.to_owned()
    } else {
        format!("{unit}.service")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_asks_for() {
        let of = |line: &str| asked(&Command::Shell(line.to_owned()));
        let nginx = |verb| vec![(verb, "nginx.service".to_owned())];
        assert_eq!(of("systemctl reload nginx"), nginx("reload"));
        assert_eq!(
            of("nginx -t && /usr/bin/systemctl --no-block try-reload-or-restart nginx.service"),
            nginx("reload-or-try-restart")
        );
        assert_eq!(
            of("systemctl restart app@1 app@2;systemctl reload caddy"),
            [
                ("restart", "app@1.service".to_owned()),
                ("restart", "app@2.service".to_owned()),
                ("reload", "caddy.service".to_owned())
            ]
        );
        for nothing in [
            "systemctl status nginx",
            "systemctl restart",
            "echo restart nginx",
            "systemctl restart \"$X\"",
            "touch systemctl-reload",
        ] {
            assert!(of(nothing).is_empty(), "{nothing}");
        }
        let words = ["systemctl", "restart", "app.socket"].map(str::to_owned).to_vec();
        assert_eq!(asked(&Command::Argv(words)), [("restart", "app.socket".to_owned())]);
    }
}
