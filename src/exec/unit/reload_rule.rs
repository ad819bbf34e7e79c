//! The polkit rule that a target's `reload` needs to have systemd reload or restart a unit: exactly that one, and nothing else.

use std::path::{Path, PathBuf};

use crate::config::{Command, Target};
use crate::exec::ask::quoted;

/// Where root's own rules are.
const RULES: &str = "/etc/polkit-1/rules.d";

/// What `systemctl` takes, and polkit's `verb` for it (systemd's `src/core/dbus-manager.c`).
const VERBS: &[(&str, &str)] = &[
    ("start", "start"),
    ("stop", "stop"),
    ("reload", "reload"),
    ("restart", "restart"),
    ("try-restart", "try-restart"),
    ("condrestart", "try-restart"),
    ("reload-or-restart", "reload-or-restart"),
    ("try-reload-or-restart", "reload-or-try-restart"),
    ("reload-or-try-restart", "reload-or-try-restart"),
    ("force-reload", "reload-or-try-restart"),
    ("kill", "kill"),
    ("reset-failed", "reset-failed"),
];

/// Options of `systemctl` whose value is the next word.
const WITH_VALUE: &[&str] = &[
    "-s",
    "--signal",
    "--kill-whom",
    "--kill-who",
    "--job-mode",
    "-p",
    "--property",
    "-P",
    "-t",
    "--type",
    "-o",
    "--output",
    "-n",
    "--lines",
];

/// What a `reload` asks of systemd, as far as the words of the configuration tell: a script that it runs is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::exec) struct Asked {
    /// To do something: polkit's verb, and the unit's whole name.
    pub(super) jobs: Vec<(&'static str, String)>,
    /// To tell something (`is-active`, `status`): the units' whole names.
    pub(super) states: Vec<String>,
}

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

impl ReloadRule {
    /// Shell lines that write it.
    pub fn writing(&self) -> Vec<String> {
        writing(&self.path, &self.text)
    }
}

/// Shell lines that write a file.
pub fn writing(path: &Path, text: &str) -> Vec<String> {
    let directory = path.parent().unwrap_or(path);
    let lines: Vec<String> = text.lines().map(quoted).collect();
    vec![
        format!("mkdir -p {}", quoted(&directory.to_string_lossy())),
        format!(
            r"printf '%s\n' {} > {}",
            lines.join(" "),
            quoted(&path.to_string_lossy())
        ),
    ]
}

/// The rule that `user` needs for the `reload` of a target; `None` if it asks systemd for nothing.
pub fn reload_rule(target: &Target, user: &str) -> Option<ReloadRule> {
    let asked = Asked::by(target.reload.as_ref()?).jobs;
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

impl Asked {
    /// What this command asks for.
    pub(in crate::exec) fn by(command: &Command) -> Self {
        let mut asked = Self::default();
        match command {
            Command::Shell(line) => asked.add_line(line),
            Command::Argv(words) => match line_of_shell(words) {
                Some(line) => asked.add_line(line),
                None => asked.add(&words.iter().map(String::as_str).collect::<Vec<_>>()),
            },
        }
        asked
    }

    /// Adds what a line of a shell asks for.
    fn add_line(&mut self, line: &str) {
        for simple in line.split(['&', '|', ';', '(', ')', '\n']) {
            let unquoted = simple.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
            self.add(&unquoted.collect::<Vec<_>>());
        }
    }

    /// Adds what one simple command asks for.
    fn add(&mut self, words: &[&str]) {
        let called = |name: &str| words.iter().position(|word| word.rsplit('/').next() == Some(name));
        if let Some(at) = called("systemctl") {
            let mut words = plain(&words[at + 1..]);
            let verb = words.next();
            self.take(verb, words.take_while(|word| is_unit(word)));
        } else if let Some([unit, verb]) = called("service").and_then(|at| words.get(at + 1..at + 3)) {
            self.take(Some(verb), std::iter::once(*unit).filter(|word| is_unit(word)));
        }
    }

    fn take<'w>(&mut self, verb: Option<&str>, units: impl Iterator<Item = &'w str>) {
        let Some(verb) = verb else { return };
        let known = VERBS.iter().find(|(name, _)| *name == verb);
        for unit in units.map(whole_name) {
            match known {
                Some((_, verb)) => self.jobs.push((verb, unit)),
                None => self.states.push(unit),
            }
        }
    }
}

/// The line of `sh -e -c LINE` and its like.
fn line_of_shell(words: &[String]) -> Option<&String> {
    let (shell, rest) = words.split_first()?;
    let options = rest.iter().take_while(|word| word.starts_with('-')).count();
    let takes_line = rest[..options].iter().any(|option| option.ends_with('c'));
    rest.get(options).filter(|_| shell.ends_with("sh") && takes_line)
}

/// The words that are neither options nor their values.
fn plain<'w>(words: &[&'w str]) -> impl Iterator<Item = &'w str> {
    let mut words = words.iter().copied();
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            if !word.starts_with('-') {
                return Some(word);
            }
            if WITH_VALUE.contains(&word) {
                words.next();
            }
        }
    })
}

/// Only names that need no quotes in a rule.
fn is_unit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
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
        let of = |line: &str| Asked::by(&Command::Shell(line.to_owned())).jobs;
        let nginx = |verb| vec![(verb, "nginx.service".to_owned())];
        assert_eq!(of("systemctl reload nginx && echo done"), nginx("reload"));
        assert_eq!(of("systemctl reload nginx > /dev/null 2>&1"), nginx("reload"));
        assert_eq!(of("exec systemctl kill -s HUP 'nginx' --kill-whom main"), nginx("kill"));
        assert_eq!(of("service nginx reload"), nginx("reload"));
        assert_eq!(
            of("nginx -t && /usr/bin/systemctl --no-block try-reload-or-restart nginx.service"),
            nginx("reload-or-try-restart")
        );
        assert_eq!(
            of("systemctl restart app@1 --no-block app@2;systemctl reload caddy"),
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
            "systemctl restart\nnginx",
        ] {
            assert!(of(nothing).is_empty(), "{nothing}");
        }
        let words = ["systemctl", "restart", "app.socket"].map(str::to_owned).to_vec();
        let asked = Asked::by(&Command::Argv(words));
        assert_eq!(asked.jobs, [("restart", "app.socket".to_owned())]);
        let words = ["/bin/sh", "-c", "true; systemctl reload nginx"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(Asked::by(&Command::Argv(words)).jobs, nginx("reload"));
        let asked = Asked::by(&Command::Shell("systemctl -q is-active app".to_owned()));
        assert_eq!(asked.states, ["app.service"]);
    }
}
