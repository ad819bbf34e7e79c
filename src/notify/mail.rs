//! Mail, by SMTP with TLS.

use std::time::Duration;

use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use tokio::time::timeout;

use super::chat::Words;
use super::heard::{Heard, SendError};
use crate::config::Mail;
use crate::forge_api::Refusal;
use crate::model::Secret;
use crate::web::WebError;

/// Sends one mail to all who get it; `time` is the limit of the whole conversation with the server.
pub(super) async fn send(
    mail: &Mail,
    password: Option<&Secret>,
    words: &Words<'_>,
    time: Duration,
) -> Result<Heard, SendError> {
    let message = compose(mail, words).map_err(SendError::permanent)?;
    let transport = transport(mail, password).map_err(SendError::permanent)?;
    let host = mail.smtp.host_str().unwrap_or_default();
    // The transport's own limit is for the connection alone.
    let Ok(sent) = timeout(time, transport.send(message)).await else {
        return Err(SendError::passing(format!("{host}: {}", WebError::Timeout(time))));
    };
    match sent {
        Ok(answer) => Ok(Heard {
            answer: format!("{} {}", answer.code(), answer.first_line().unwrap_or_default()),
        }),
        Err(error) => Err(SendError {
            reason: format!("{host}: {error}"),
            refusal: if error.is_permanent() {
                Refusal::Permanent
            } else {
                Refusal::Passing
            },
        }),
    }
}

fn compose(mail: &Mail, words: &Words<'_>) -> Result<Message, String> {
    let address = |text: &str| text.parse::<Mailbox>().map_err(|e| format!("{text}: {e}"));
    let mut message = Message::builder()
        .from(address(&mail.from)?)
        .subject(words.notice.title())
        // Neither out-of-office replies nor mailing lists answer (RFC 3834).
        .raw_header(lettre::message::header::HeaderValue::new(
            lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    for to in &mail.to {
        message = message.to(address(to)?);
    }
    let text = words.text();
    message
        .multipart(MultiPart::alternative_plain_html(text.clone(), page(words, &text)))
        .map_err(|e| e.to_string())
}

/// The same in HTML: title, lines, output, links.
fn page(words: &Words<'_>, text: &str) -> String {
    let colour = match words.notice.outcome.as_str() {
        "live" => "#1a7f37",
        "failed" | "rolled-back" => "#cf222e",
        _ => "#6e7781",
    };
    let (notice, details) = (words.notice, words.details);
    maud::html! {
        (maud::DOCTYPE)
        html lang="en" {
            body style="font-family: system-ui, sans-serif; line-height: 1.5; max-width: 40em" {
                @if words.template.is_some() {
                    pre style="font-family: inherit; white-space: pre-wrap" { (text) }
                } @else {
                    h1 style={ "font-size: 1.2em; color: " (colour) } { (notice.title()) }
                    @for line in notice.lines(details) { p style="margin: .2em 0; white-space: pre-wrap" { (line) } }
                    @if !details.output.is_empty() {
                        pre style="background: #f6f8fa; padding: 1em; white-space: pre-wrap" { (details.output.join("\n")) }
                    }
                    @for link in details.link.iter().chain(&details.site) { p { a href=(link) { (link) } } }
                }
            }
        }
    }
    .into_string()
}

fn transport(mail: &Mail, password: Option<&Secret>) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let host = mail.smtp.host_str().unwrap_or_default();
    let builder = match mail.smtp.scheme() {
        "smtps" => AsyncSmtpTransport::<Tokio1Executor>::relay(host),
        "smtp" => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host),
        _ => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)),
    };
    let mut builder = builder.map_err(|e| e.to_string())?.timeout(None);
    if let Some(port) = mail.smtp.port() {
        builder = builder.port(port);
    }
    if let (Some(user), Some(password)) = (&mail.username, password) {
        let password = String::from_utf8_lossy(password.expose()).into_owned();
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}
