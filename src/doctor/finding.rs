//! The findings of a check of the machine: each problem, and the commands that fix it.

use serde::Serialize;

use crate::model::spelled;

spelled! {
    /// What was looked at; the word is that in JSON, and the heading.
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    pub Area "area" {
        /// The configuration file.
        Configuration = "configuration",
        /// Secrets, tokens, certificates' keys.
        Secrets = "secrets",
        /// Keys and known hosts of ssh.
        Ssh = "ssh",
        /// Directories of targets and state.
        Directories = "directories",
        /// Free space and inodes.
        Space = "space",
        /// The systemd unit.
        Unit = "unit",
        /// The daemon that runs.
        Daemon = "daemon",
        /// What it listens on.
        Sockets = "sockets",
        /// The remotes.
        Remotes = "remotes",
        /// The web server in front.
        Web = "web",
        /// Webhook deliveries from the forges.
        Webhooks = "webhooks",
        /// What is live.
        Targets = "targets",
        /// The machine's clock.
        Clock = "clock",
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Looked at, and well.
    Ok,
    /// Works, and is probably not what is wanted.
    Warning,
    /// Something does not work, or is open to others.
    Error,
    /// Not looked at; the text says why.
    Skipped,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub area: Area,
    /// How bad it is.
    pub level: Level,
    /// In words.
    pub text: String,
    /// Shell lines that mend it, to be run as root in this order.
    pub fix: Vec<String>,
    /// What else to do, in words or lines to type somewhere else.
    pub hint: Option<String>,
}

impl Finding {
    /// Adds a shell line that mends it.
    pub fn fix(&mut self, line: impl Into<String>) -> &mut Self {
        self.fix.push(line.into());
        self
    }

    /// Adds what to do in words.
    pub fn hint(&mut self, text: impl Into<String>) -> &mut Self {
        self.hint = Some(text.into());
        self
    }
}

/// All findings about one area, or in the end of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    fn add(&mut self, area: Area, level: Level, text: String) -> &mut Finding {
        self.0.push(Finding {
            area,
            level,
            text,
            fix: Vec::new(),
            hint: None,
        });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// It is well.
    pub fn ok(&mut self, area: Area, text: impl Into<String>) {
        self.add(area, Level::Ok, text.into());
    }

    /// It works, and is probably not what is wanted.
    pub fn warning(&mut self, area: Area, text: impl Into<String>) -> &mut Finding {
        self.add(area, Level::Warning, text.into())
    }

    /// It is wrong.
    pub fn error(&mut self, area: Area, text: impl Into<String>) -> &mut Finding {
        self.add(area, Level::Error, text.into())
    }

    /// It was not looked at, and why.
    pub fn skipped(&mut self, area: Area, text: impl Into<String>) -> &mut Finding {
        self.add(area, Level::Skipped, text.into())
    }

    /// How many there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// The texts of a level, for tests.
    #[cfg(test)]
    pub fn texts(&self, level: Level) -> Vec<&str> {
        let of_level = self.0.iter().filter(|finding| finding.level == level);
        of_level.map(|finding| finding.text.as_str()).collect()
    }
}
