//! How each chat or other receiver wants a message: method, address, headers and body. Texts of strangers are escaped, so that they neither
//! look like hookd's own nor call a whole channel.
//!
//! Sources: docs.slack.dev "Sending messages using incoming webhooks"; docs.discord.com "Webhook Resource", "Execute Webhook";
//! developers.mattermost.com "Incoming webhooks"; spec.matrix.org "Client-Server API", `PUT .../send/{eventType}/{txnId}` and "User
//! and room mentions";
//! docs.ntfy.sh "Publish as JSON".

use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::heard::SendError;
use super::notice::{Details, Notice};
use crate::clock;
use crate::config::{ChannelKind, ForgeKind};
use crate::forge::{self, Signing};
use crate::model::{Happening, Secret};

/// Longest text of a message, characters. Discord takes 4,096 in an embed, ntfy 4,096 bytes, Slack 3,000 in a block.
const TEXT_MAX: usize = 2800;

/// A request to a chat.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Post {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Post {
    fn new(url: &Url, body: Value) -> Self {
        Self {
            method: Method::POST,
            url: url.clone(),
            headers: Vec::new(),
            body,
        }
    }
}

/// A message, as a template or hookd itself words it.
pub(super) struct Words<'a> {
    pub notice: &'a Notice,
    pub details: &'a Details,
    /// The text of a template, if there is one.
    pub template: Option<String>,
}

impl Words<'_> {
    /// One text for everything.
    pub(super) fn text(&self) -> String {
        let text = self.template.clone().unwrap_or_else(|| self.notice.text(self.details));
        shortened(&text)
    }

    /// Title and what stands below it, each escaped by the chat's rules.
    fn marked_up(&self, escape: impl Fn(&str) -> String, bold: &str) -> String {
        if let Some(text) = &self.template {
            return shortened(&escape(text));
        }
        let mut parts = vec![format!("{bold}{}{bold}", escape(&self.notice.title()))];
        parts.extend(self.notice.lines(self.details).iter().map(|line| escape(line)));
        if !self.details.output.is_empty() {
            let output = self.details.output.join("\n").replace("```", "'''");
            parts.push(format!("```\n{}\n```", escape_ampersands_only(&escape, &output)));
        }
        parts.extend(self.details.link.clone());
        parts.extend(self.details.site.clone());
        shortened(&parts.join("\n"))
    }
}

/// Within a block of code nothing but what would end or change the block is escaped: the chat shows the rest as it is.
fn escape_ampersands_only(escape: &impl Fn(&str) -> String, text: &str) -> String {
    if escape("<") == "<" {
        text.to_owned()
    } else {
        slack(text)
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= TEXT_MAX {
        return text.to_owned();
    }
    text.chars().take(TEXT_MAX - 1).chain(['…']).collect()
}

/// Slack: three characters are special, and without `<` nobody is mentioned.
fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Markdown: what would format, link or mention is shown as it is.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '~' | '[' | ']' | '(' | ')' | '<' | '>' | '#' | '|' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            // A zero-width space: no chat takes `@​here` for a name.
            '@' => escaped.push_str("@\u{200b}"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn html(text: &str) -> String {
    slack(text).replace('"', "&quot;").replace('\n', "<br>")
}

fn colour(notice: &Notice) -> u32 {
    match notice.outcome.as_str() {
        "live" => 0x1a_7f37,
        "failed" | "rolled-back" => 0xcf_222e,
        _ => 0x6e_7781,
    }
}

/// Where a message goes.
pub(super) struct Place<'a> {
    pub url: &'a Url,
    /// The secret or token, if there is one.
    pub key: Option<&'a Secret>,
    /// The id of a room of Matrix.
    pub room: &'a str,
    /// The same for each try of one message.
    pub id: &'a str,
}

impl Place<'_> {
    /// The header for the token, if there is one.
    fn bearer(&self) -> Vec<(String, String)> {
        let header = |key: &Secret| {
            let token = String::from_utf8_lossy(key.expose());
            ("authorization".to_owned(), format!("Bearer {token}"))
        };
        self.key.map(header).into_iter().collect()
    }
}

/// The message as that kind wants it.
pub(super) fn post(kind: ChannelKind, to: &Place<'_>, words: &Words<'_>) -> Result<Post, SendError> {
    Ok(match kind {
        ChannelKind::Slack => Post::new(to.url, slack_body(words)),
        ChannelKind::Discord => Post::new(to.url, discord_body(words)),
        ChannelKind::Mattermost => Post::new(to.url, json!({ "text": words.marked_up(markdown, "**") })),
        ChannelKind::Matrix => matrix(to, words),
        ChannelKind::Ntfy => ntfy(to, words),
        ChannelKind::Webhook | ChannelKind::Email | ChannelKind::Command => webhook(to, words)?,
    })
}

/// JSON, signed if there is a secret.
fn webhook(to: &Place<'_>, words: &Words<'_>) -> Result<Post, SendError> {
    let mut body = words.notice.json(words.details);
    if let Some(text) = &words.template {
        body["text"] = Value::from(text.as_str());
    }
    let no_id = |_| SendError::permanent("no message id".to_owned());
    let signing = Signing {
        id: &to.id.parse().map_err(no_id)?,
        now: clock::now(),
        generic: None,
        auth_header: None,
    };
    let mut post = Post::new(to.url, body);
    if to.key.is_some() {
        let signed = forge::sign(ForgeKind::Standard, to.key, post.body.to_string().as_bytes(), &signing);
        post.headers = signed.map_err(|e| SendError::permanent(e.to_string()))?;
    }
    Ok(post)
}

fn slack_body(words: &Words<'_>) -> Value {
    json!({
        "text": slack(&words.notice.title()),
        "attachments": [{
            "color": format!("#{:06x}", colour(words.notice)),
            "fallback": slack(&words.notice.title()),
            "blocks": [{ "type": "section", "text": { "type": "mrkdwn", "text": words.marked_up(slack, "*") } }],
        }],
    })
}

fn discord_body(words: &Words<'_>) -> Value {
    let mut embed = json!({ "description": words.marked_up(markdown, "**"), "color": colour(words.notice) });
    if let Some(link) = &words.details.link {
        embed["url"] = json!(link);
        embed["title"] = json!(words.notice.title());
    }
    json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } })
}

/// The id makes sending twice harmless: the homeserver knows the transaction.
fn matrix(to: &Place<'_>, words: &Words<'_>) -> Post {
    let mut url = to.url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend([
            "_matrix",
            "client",
            "v3",
            "rooms",
            to.room,
            "send",
            "m.room.message",
            to.id,
        ]);
    }
    let text = words.text();
    Post {
        method: Method::PUT,
        url,
        headers: to.bearer(),
        body: json!({
            "msgtype": "m.notice", "body": text, "format": "org.matrix.custom.html", "formatted_body": html(&text),
            // That it is there is what counts: without it `@room` and names in the text call people.
            "m.mentions": {},
        }),
    }
}

/// The topic's URL is the server's with the topic behind it; JSON goes to the server, since headers take no other letters.
fn ntfy(to: &Place<'_>, words: &Words<'_>) -> Post {
    let mut url = to.url.clone();
    let mut segments = to.url.path_segments().into_iter().flatten();
    let topic = segments.rfind(|s| !s.is_empty()).unwrap_or_default();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().pop();
    }
    let bad = matches!(words.notice.outcome.as_str(), "failed" | "rolled-back");
    let text = if words.template.is_some() {
        words.text()
    } else {
        let text = words.notice.text(words.details);
        shortened(text.split_once('\n').map_or("", |(_, rest)| rest))
    };
    let mut body = json!({
        "topic": topic, "title": words.notice.title(), "message": text,
        "priority": if bad { 4 } else { 3 },
        "tags": [if bad { "rotating_light" } else if words.notice.is(Happening::Recovered) { "tada" } else { "white_check_mark" }],
    });
    if let Some(link) = words.details.link.as_ref().or(words.details.site.as_ref()) {
        body["click"] = json!(link);
    }
    Post {
        headers: to.bearer(),
        ..Post::new(&url, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notice::Change;

    fn evil() -> (Notice, Details) {
        let notice = Notice {
            happening: "failed".to_owned(),
            outcome: "failed".to_owned(),
            commit: Some("24340d3000".to_owned()),
            reason: "build <!channel> @everyone **x** & [a](http://evil)".to_owned(),
            deployment: 7,
            ..Notice::sample("blog/live", 0)
        };
        let details = Details {
            changes: vec![Change {
                commit: "24340d3000".to_owned(),
                subject: "<@U123> @here `code`".to_owned(),
                author: "A".to_owned(),
            }],
            count: 1,
            output: vec!["``` <b> @all".to_owned()],
            ..Details::default()
        };
        (notice, details)
    }

    fn words((notice, details): &(Notice, Details)) -> Words<'_> {
        Words {
            notice,
            details,
            template: None,
        }
    }

    fn sent(kind: ChannelKind, url: &Url, what: &(Notice, Details)) -> Post {
        let to = Place {
            url,
            key: Some(&Secret::new(b"tk".to_vec())),
            room: "!a:b.c",
            id: "7",
        };
        post(kind, &to, &words(what)).unwrap()
    }

    #[test]
    fn nobody_is_called_by_a_commit() {
        let (evil, url) = (evil(), "https://chat.example.org/hooks/abc".parse().unwrap());
        let slack = sent(ChannelKind::Slack, &url, &evil).body.to_string();
        assert!(!slack.contains("<!channel>") && !slack.contains("<@U123>"), "{slack}");
        let discord = sent(ChannelKind::Discord, &url, &evil).body;
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
        let mattermost = sent(ChannelKind::Mattermost, &url, &evil).body["text"]
            .as_str()
            .unwrap()
            .to_owned();
        let outside = mattermost.split("```").next().unwrap();
        assert!(
            !outside.contains("@here") && !outside.contains("@everyone") && !outside.contains("[a]("),
            "{outside}"
        );
    }

    #[test]
    fn limits_of_chats_are_kept() {
        let (notice, mut details) = evil();
        details.output = vec!["x".repeat(8000); 12];
        let long = (notice, details);
        let url: Url = "https://chat.example.org/topic".parse().unwrap();
        let slack = sent(ChannelKind::Slack, &url, &long).body;
        let text = slack["attachments"][0]["blocks"][0]["text"]["text"]
            .as_str()
            .unwrap()
            .chars()
            .count();
        assert!(text <= 3000, "{text}");
        assert!(
            sent(ChannelKind::Discord, &url, &long).body["embeds"][0]["description"]
                .as_str()
                .unwrap()
                .chars()
                .count()
                <= 4096
        );
    }

    #[test]
    fn ntfy_and_matrix_have_their_own_places() {
        let evil = evil();
        let topic = "https://ntfy.example.org/base/deploys".parse().unwrap();
        let ntfy = sent(ChannelKind::Ntfy, &topic, &evil);
        assert_eq!(
            (ntfy.url.as_str(), &ntfy.body["topic"]),
            ("https://ntfy.example.org/base", &json!("deploys"))
        );
        let matrix = sent(ChannelKind::Matrix, &"https://m.example.org".parse().unwrap(), &evil);
        assert_eq!(
            matrix.url.path(),
            "/_matrix/client/v3/rooms/!a:b.c/send/m.room.message/7"
        );
        assert!(!matrix.body["formatted_body"].as_str().unwrap().contains("<@U123>"));
        assert_eq!(matrix.body["m.mentions"], json!({}));
    }
}
