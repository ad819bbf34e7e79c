//! The contents of a notification, and hookd's own words for it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{Target, units};
use crate::model::{GitRef, Happening, short_commit};
use crate::store::{Claim, Finish};

/// Most commits that a message lists.
const CHANGES_SHOWN: usize = 5;

/// Most lines of output that a message shows.
pub const OUTPUT_LINES: usize = 12;

/// What the outbox keeps of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about: a word of [`Happening`].
    pub happening: String,
    /// `repo/target`
    pub target: String,
    /// The deployment's number.
    pub deployment: i64,
    /// How it ended.
    pub outcome: String,
    /// Why, in words.
    pub reason: String,
    /// The ref.
    pub git_ref: String,
    /// The commit.
    pub commit: Option<String>,
    /// What was live before.
    pub previous_commit: Option<String>,
    /// Who pushed.
    pub pusher: Option<String>,
    /// The delivery that asked for it.
    pub delivery: Option<String>,
    /// When it ended, milliseconds since the epoch.
    pub at: i64,
}

/// A commit that a deployment brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

/// What is looked up when a message is sent.
#[derive(Debug, Clone, Default)]
pub struct Details {
    /// The newest of what it brought; the first one is the commit itself.
    pub changes: Vec<Change>,
    /// How many commits it brought.
    pub count: usize,
    /// How long it took, milliseconds.
    pub duration: Option<i64>,
    /// The last lines that a failed command printed.
    pub output: Vec<String>,
    /// Where the deployment is to be seen.
    pub link: Option<String>,
    /// Where the site is to be seen.
    pub site: Option<String>,
    /// The repository's name at its forge.
    pub full_name: String,
}

impl Notice {
    /// What is known when a deployment ends.
    pub fn new(target: &Target, claim: &Claim, finish: &Finish, happening: Happening, at: i64) -> Self {
        Self {
            happening: happening.to_string(),
            target: target.id.to_string(),
            deployment: claim.deployment,
            outcome: finish.outcome.to_string(),
            reason: finish.reason.clone(),
            git_ref: claim.job.git_ref.to_string(),
            commit: claim.job.wanted.as_ref().map(ToString::to_string),
            previous_commit: None,
            pusher: claim.job.pusher.clone(),
            delivery: claim.job.delivery.clone(),
            at,
        }
    }

    /// One that nothing happened for: to try a channel.
    pub fn sample(target: &str, at: i64) -> Self {
        Self {
            happening: Happening::Live.to_string(),
            target: target.to_owned(),
            deployment: 0,
            outcome: "live".to_owned(),
            reason: "this is a test message: nothing was deployed".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            commit: None,
            previous_commit: None,
            pusher: None,
            delivery: None,
            at,
        }
    }

    /// For the outbox.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// True if the commit went live.
    pub fn is_good(&self) -> bool {
        self.outcome == "live"
    }

    /// True for the word for it.
    pub fn is(&self, happening: Happening) -> bool {
        self.happening == happening.as_str()
    }

    /// `blog/production is live again`
    pub fn title(&self) -> String {
        let words = match self.happening.parse() {
            Ok(Happening::Live) => "is live",
            Ok(Happening::FirstLive) => "is live for the first time",
            Ok(Happening::Recovered) => "is live again",
            Ok(Happening::Failed) => "failed",
            Ok(Happening::RolledBack) => "was rolled back",
            Ok(Happening::StillFailing) => "is still failing",
            Ok(Happening::Cancelled) => "was cancelled",
            Ok(Happening::Interrupted) => "was interrupted",
            Ok(Happening::Unchanged) => "has nothing new",
            Ok(Happening::Superseded) => "was superseded",
            Err(_) => &self.happening,
        };
        format!("{} {words}", self.target)
    }

    /// The branch or tag by its short name.
    pub fn short_ref(&self) -> String {
        match self.git_ref.parse::<GitRef>() {
            Ok(git_ref) => git_ref.short().to_owned(),
            Err(_) => self.git_ref.clone(),
        }
    }

    fn short_commit(&self) -> Option<&str> {
        self.commit.as_deref().map(short_commit)
    }

    /// What stands below the title, in lines.
    pub fn lines(&self, details: &Details) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(commit) = self.short_commit() {
            let head = details.changes.first();
            let about = head
                .map(|c| format!(" {} ({})", c.subject, c.author))
                .unwrap_or_default();
            lines.push(format!("{commit}{about} on {}", self.short_ref()));
        }
        if !self.is_good() || self.deployment == 0 {
            lines.push(self.reason.clone());
        }
        if self.is_good() && details.count > 1 {
            lines.push(changes_in_words(details));
        }
        if let Some(duration) = details.duration {
            let words = units::show_duration(std::time::Duration::from_secs(
                duration.max(0).unsigned_abs().div_ceil(1000),
            ));
            lines.push(format!("after {words}"));
        }
        lines
    }

    /// hookd's own text: title, lines, output and links.
    pub fn text(&self, details: &Details) -> String {
        let mut text = self.title();
        for line in self.lines(details) {
            let _ = write!(text, "\n{line}");
        }
        if !details.output.is_empty() {
            let _ = write!(text, "\n\nIt ended with:\n  {}", details.output.join("\n  "));
        }
        let links = [details.link.as_deref(), details.site.as_deref()];
        for link in links.into_iter().flatten() {
            let _ = write!(text, "\n{link}");
        }
        text
    }

    /// A template of the configuration, filled in. What is filled in is not looked through again.
    pub fn fill(&self, template: &str, details: &Details) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}').unwrap_or((behind, ""));
            text.push_str(before);
            text.push_str(&self.field(name, details));
            rest = after;
        }
        text + rest
    }

    fn field(&self, name: &str, details: &Details) -> String {
        let head = details.changes.first();
        match name {
            "target" => self.target.clone(),
            "happening" => self.happening.clone(),
            "outcome" => self.outcome.clone(),
            "reason" => self.reason.clone(),
            "ref" => self.short_ref(),
            "commit" => self.short_commit().unwrap_or_default().to_owned(),
            "subject" => head.map(|c| c.subject.clone()).unwrap_or_default(),
            "author" => head.map(|c| c.author.clone()).unwrap_or_default(),
            "changes" => changes_in_words(details),
            "duration" => details
                .duration
                .map(|ms| format!("{} s", ms / 1000))
                .unwrap_or_default(),
            "output" => details.output.join("\n"),
            "link" => details.link.clone().unwrap_or_default(),
            "site" => details.site.clone().unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// The JSON of `webhook` and `command`. What went live is also written as a push of that ref, in `data`, as Standard
    /// Webhooks have it: another hookd with `forge = "standard"` deploys on it.
    pub fn json(&self, details: &Details) -> Value {
        let changes: Vec<Value> = details
            .changes
            .iter()
            .map(|c| json!({ "commit": c.commit, "subject": c.subject, "author": c.author }))
            .collect();
        let head = details.changes.first();
        let mut body = json!({
            "type": format!("deployment.{}", self.happening),
            "timestamp": jiff::Timestamp::from_millisecond(self.at).map(|t| t.to_string()).unwrap_or_default(),
            "target": self.target,
            "deployment": self.deployment,
            "happening": self.happening,
            "outcome": self.outcome,
            "reason": self.reason,
            "commit": self.commit,
            "subject": head.map(|c| &c.subject),
            "author": head.map(|c| &c.author),
            "branch": self.short_ref(),
            "previous_commit": self.previous_commit,
            "changes": changes,
            "change_count": details.count,
            "pusher": self.pusher,
            "delivery": self.delivery,
            "duration_ms": details.duration,
            "output": details.output,
            "link": details.link,
            "site": details.site,
        });
        if self.is_good() && self.commit.is_some() {
            body["data"] = json!({
                "repository": { "full_name": details.full_name }, "ref": self.git_ref,
                "before": self.previous_commit, "after": self.commit, "pusher": self.pusher,
            });
        }
        body
    }

    /// What a workflow gets as `github.event.client_payload`: GitHub takes at most ten keys.
    pub fn event_payload(&self, details: &Details) -> Value {
        let head = details.changes.first();
        json!({
            "target": self.target, "deployment": self.deployment, "repository": details.full_name, "ref": self.git_ref,
            "commit": self.commit, "previous_commit": self.previous_commit, "subject": head.map(|c| &c.subject),
            "author": head.map(|c| &c.author), "link": details.link, "site": details.site,
        })
    }
}

/// `3 commits: 24340d3 Fix the header, …`
fn changes_in_words(details: &Details) -> String {
    if details.count == 0 {
        return String::new();
    }
    let plural = if details.count == 1 { "" } else { "s" };
    let mut text = format!("{} commit{plural}:", details.count);
    for change in details.changes.iter().take(CHANGES_SHOWN) {
        let short = short_commit(&change.commit);
        let _ = write!(text, "\n  {short} {} ({})", change.subject, change.author);
    }
    let shown = details.changes.len().min(CHANGES_SHOWN);
    if details.count > shown {
        let _ = write!(text, "\n  and {} more", details.count - shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(happening: Happening, outcome: &str) -> Notice {
        Notice {
            happening: happening.to_string(),
            commit: Some("24340d3000000000000000000000000000000000".to_owned()),
            outcome: outcome.to_owned(),
            reason: "build: exit status 1".to_owned(),
            ..Notice::sample("blog/live", 0)
        }
    }

    fn details() -> Details {
        let change = |commit: &str, subject: &str| Change {
            commit: commit.to_owned(),
            subject: subject.to_owned(),
            author: "Alice".to_owned(),
        };
        Details {
            changes: vec![change("24340d3000", "Fix the header"), change("aaaaaaa111", "{reason}")],
            count: 9,
            duration: Some(12_000),
            output: vec!["error: no such file".to_owned()],
            link: Some("https://deploy.example.org/deployments/12".to_owned()),
            site: None,
            full_name: "alice/blog".to_owned(),
        }
    }

    #[test]
    fn a_message_says_what_why_and_where() {
        let text = Notice {
            deployment: 12,
            ..notice(Happening::Failed, "failed")
        }
        .text(&details());
        let wanted = "blog/live failed\n24340d3 Fix the header (Alice) on main\nbuild: exit status 1\nafter 12s\n\nIt ended with:\n  error: \
                      no such file\nhttps://deploy.example.org/deployments/12";
        assert_eq!(text, wanted);
    }

    #[test]
    fn templates_are_filled_in_once() {
        let text = notice(Happening::Live, "live").fill("{target}: {subject} {changes}!", &details());
        assert!(text.starts_with("blog/live: Fix the header 9 commits:"), "{text}");
        assert!(
            text.contains("aaaaaaa {reason} (Alice)") && text.ends_with("and 7 more!"),
            "{text}"
        );
    }

    #[test]
    fn only_what_went_live_looks_like_a_push() {
        let good = notice(Happening::Live, "live").json(&details());
        assert_eq!(good["data"]["repository"]["full_name"], "alice/blog");
        assert_eq!(good["data"]["ref"], "refs/heads/main");
        let bad = notice(Happening::Failed, "failed").json(&details());
        assert!(bad.get("data").is_none() && bad.get("ref").is_none(), "{bad}");
    }
}
