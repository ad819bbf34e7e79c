//! Sends one message, and says whether to retry it.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::chat::{self, Place, Post, Words};
use super::heard::{Heard, SendError};
use super::mail;
use super::notice::{Details, Notice};
use crate::config::{Channel, Command, Notify, Secrets, UrlSource};
use crate::exec::{self, CommandSpec};
use crate::forge_api::Refusal;
use crate::web;

/// Time from TERM to KILL for a command that does not end in time.
const GRACE: Duration = Duration::from_secs(5);

/// Most of an answer that is kept, bytes.
const ANSWER_SHOWN: usize = 200;

/// Largest answer that is read, bytes.
const ANSWER_MAX: usize = 64 << 10;

/// A message and where it goes.
pub struct Sending<'a> {
    /// The channel's NAME.
    pub name: &'a str,
    /// The channel.
    pub channel: &'a Notify,
    /// All secrets: the channel's own are used, and none gets into a text.
    pub secrets: &'a Secrets,
    /// What happened.
    pub notice: &'a Notice,
    /// What there is to say of it.
    pub details: &'a Details,
    /// The same for each try of one message.
    pub id: String,
    /// Longest time that it may take.
    pub time: Duration,
}

/// Sends a message. `program` is this program, which supervises commands.
pub async fn send(program: &Path, sending: &Sending<'_>) -> Result<Heard, SendError> {
    let template = sending.channel.template.as_ref();
    let words = Words {
        notice: sending.notice,
        details: sending.details,
        template: template.map(|template| sending.notice.fill(template, sending.details)),
    };
    let key = sending.secrets.notify.get(sending.name);
    let post = match &sending.channel.channel {
        Channel::Command(command) => return run(program, command, &words, sending.time).await,
        Channel::Email(settings) => return mail::send(settings, key, &words, sending.time).await,
        Channel::Post { kind, url, room, .. } => {
            let place = Place {
                url: &sending.url(url)?,
                room: room.as_deref().unwrap_or_default(),
                key,
                id: &sending.id,
            };
            chat::post(*kind, &place, &words)?
        }
    };
    deliver(post, sending.secrets, sending.time).await
}

impl Sending<'_> {
    /// The URL, which may be a secret.
    fn url(&self, source: &UrlSource) -> Result<Url, SendError> {
        let secret = match source {
            UrlSource::Plain(url) => return Ok(url.clone()),
            UrlSource::Secret(_) => self.secrets.notify_url.get(self.name),
        };
        let text = secret.map(|secret| String::from_utf8_lossy(secret.expose()).trim().to_owned());
        let url = Url::parse(&text.unwrap_or_default()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        url.ok_or_else(|| SendError::permanent("what `url` names is not an http or https URL".to_owned()))
    }
}

/// Posts, and reads what the answer means. No URL gets into an error: those of chats are secrets.
async fn deliver(post: Post, secrets: &Secrets, time: Duration) -> Result<Heard, SendError> {
    let mut headers = post.headers;
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let host = post.url.host_str().unwrap_or_default().to_owned();
    let request = web::Request {
        method: post.method,
        url: &post.url,
        headers: &headers,
        body: post.body.to_string().into_bytes(),
        answer_max: ANSWER_MAX,
        timeout: time,
    };
    let answer = web::send(request)
        .await
        .map_err(|error| SendError::passing(format!("{host}: {error}")))?;
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    let said = secrets.mask(&said[..said.floor_char_boundary(ANSWER_SHOWN)]);
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shown = format!("{host} answered {} {}", answer.status, said.trim())
        .trim_end()
        .to_owned();
    if answer.is_success() {
        return Ok(Heard { answer: shown });
    }
    let refusal = match (answer.status, answer.retry_after()) {
        (429 | 503, Some(pause)) => Refusal::Limited(pause),
        (408 | 425 | 429 | 500.., _) => Refusal::Passing,
        _ => Refusal::Permanent,
    };
    Err(SendError { reason: shown, refusal })
}

/// Runs a command that is given the message as `HOOKD_MESSAGE` and `HOOKD_TEXT`.
async fn run(program: &Path, command: &Command, words: &Words<'_>, time: Duration) -> Result<Heard, SendError> {
    let json = words.notice.json(words.details).to_string();
    let spec = CommandSpec {
        environment: vec![
            ("HOOKD_MESSAGE".to_owned(), json),
            ("HOOKD_TEXT".to_owned(), words.text()),
        ],
        ..CommandSpec::new(command.clone(), "/", time, GRACE)
    };
    let never = tokio_util::sync::CancellationToken::new();
    let said = |line: exec::OutputLine| tracing::info!("notify: {}", line.text);
    match exec::run(program, &spec, said, &never).await {
        Ok(ended) if ended.success() => Ok(Heard {
            answer: "the command succeeded".to_owned(),
        }),
        Ok(ended) => Err(SendError::passing(format!("the command {ended}"))),
        Err(error) => Err(SendError::passing(error.to_string())),
    }
}
