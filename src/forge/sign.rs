//! Signing as each forge does, for `hookd send`: the headers that go with a body.

use super::parse::{Dialect, json};
use super::scheme::{base64_text, hmac, standard_key};
use crate::config::{Encoding, ForgeKind, Generic, HashAlgorithm};
use crate::model::{DeliveryId, Secret, Timestamp};

/// What else goes into the headers.
pub struct Signing<'a> {
    /// The delivery's id.
    pub id: &'a DeliveryId,
    /// The time, for forges that sign it.
    pub now: Timestamp,
    /// How the `generic` forge signs.
    pub generic: Option<&'a Generic>,
    /// The header that holds the secret (Azure DevOps).
    pub auth_header: Option<&'a str>,
}

/// Why nothing can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSign {
    /// `SourceHut` and some senders of Standard Webhooks sign with a private key.
    #[error("such deliveries are signed with the sender's private key, which nobody else has")]
    PrivateKey,
    /// The secret cannot stand in a header.
    #[error("the secret has characters that a header cannot hold (line breaks, or what is no UTF-8)")]
    HeaderText,
    /// The secret is empty.
    #[error("the secret is empty")]
    NoKey,
    /// Nothing says how the generic forge signs.
    #[error("the generic forge needs its [repo.NAME.generic] to sign")]
    NoRule,
}

/// Headers for `body` as the forge would send them: event, delivery id, content type and the signature with `secret`; none of
/// the latter if there is no secret, as the forge does where none is set.
///
/// # Errors
/// If the forge's way of signing cannot be followed.
pub fn sign(
    kind: ForgeKind,
    secret: Option<&Secret>,
    body: &[u8],
    with: &Signing<'_>,
) -> Result<Vec<(String, String)>, CannotSign> {
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    let dialect = Dialect::of(kind);
    // The event is what the body is: a push of a tag has a name of its own with some forges.
    if let (Some(name), Ok(body)) = (dialect.event_header(), json(body)) {
        add(name, &(dialect.infer)(&body));
    }
    let id = with.id.as_str();
    // `webhook-id` is part of what is signed, and is added there.
    if let Some(name) = dialect.delivery_header().filter(|_| kind != ForgeKind::Standard) {
        add(name, id);
    }
    if kind == ForgeKind::Generic
        && let Some(rule) = with.generic
    {
        add(&rule.delivery_header, id);
    }
    for (name, value) in related(kind) {
        add(name, value);
    }
    if let Some(secret) = secret {
        for (name, value) in signature(kind, secret, body, with)? {
            add(&name, &value);
        }
    }
    Ok(headers)
}

/// What else such a forge is known by.
fn related(kind: ForgeKind) -> &'static [(&'static str, &'static str)] {
    match kind {
        ForgeKind::GitHub => &[("User-Agent", "GitHub-Hookshot/hookd")],
        ForgeKind::GitLab => &[("User-Agent", "GitLab/hookd")],
        ForgeKind::Gitee => &[("User-Agent", "git-oschina-hook")],
        ForgeKind::Bitbucket => &[("User-Agent", "Bitbucket-Webhooks/2.0"), ("X-Attempt-Number", "1")],
        _ => &[("User-Agent", concat!("hookd/", env!("CARGO_PKG_VERSION")))],
    }
}

fn signature(
    kind: ForgeKind,
    secret: &Secret,
    body: &[u8],
    with: &Signing<'_>,
) -> Result<Vec<(String, String)>, CannotSign> {
    let digest = |algorithm| hex::encode(hmac(algorithm, secret.expose(), &[body]));
    let sha256 = || digest(HashAlgorithm::Sha256);
    let one = |name: &str, value: String| Ok(vec![(name.to_owned(), value)]);
    match kind {
        ForgeKind::GitHub => Ok(vec![
            (
                "X-Hub-Signature".to_owned(),
                format!("sha1={}", digest(HashAlgorithm::Sha1)),
            ),
            ("X-Hub-Signature-256".to_owned(), format!("sha256={}", sha256())),
        ]),
        ForgeKind::Bitbucket | ForgeKind::BitbucketServer => one("X-Hub-Signature", format!("sha256={}", sha256())),
        ForgeKind::Forgejo => one("X-Forgejo-Signature", sha256()),
        ForgeKind::Gitea => one("X-Gitea-Signature", sha256()),
        ForgeKind::Gogs => one("X-Gogs-Signature", sha256()),
        ForgeKind::Pagure => one("X-Pagure-Signature-256", sha256()),
        ForgeKind::GitLab if !is_signing_token(secret) => one("X-Gitlab-Token", header_text(secret)?.to_owned()),
        ForgeKind::GitLab | ForgeKind::Standard => standard(secret, body, with),
        ForgeKind::AzureDevOps => {
            let Some(name) = with.auth_header else {
                let pair = [b"hookd:", secret.expose()].concat();
                return one("Authorization", format!("Basic {}", base64_text(&pair)));
            };
            one(name, header_text(secret)?.to_owned())
        }
        ForgeKind::Gitee => {
            let (key, sent) = (secret.expose(), with.now.0.to_string());
            let tag = hmac(HashAlgorithm::Sha256, key, &[sent.as_bytes(), b"\n", key]);
            Ok(vec![
                ("X-Gitee-Token".to_owned(), base64_text(&tag)),
                ("X-Gitee-Timestamp".to_owned(), sent),
            ])
        }
        ForgeKind::SourceHut => Err(CannotSign::PrivateKey),
        ForgeKind::Generic => {
            let rule = with.generic.ok_or(CannotSign::NoRule)?;
            let tag = hmac(rule.algorithm, secret.expose(), &[body]);
            let text = match rule.encoding {
                Encoding::Hex => hex::encode(tag),
                Encoding::Base64 => base64_text(&tag),
            };
            one(&rule.header, format!("{}{text}", rule.prefix))
        }
    }
}

fn standard(secret: &Secret, body: &[u8], with: &Signing<'_>) -> Result<Vec<(String, String)>, CannotSign> {
    let key = standard_key(secret).ok_or(CannotSign::NoKey)?;
    let (id, sent) = (with.id.as_str(), with.now.seconds().to_string());
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", sent.as_bytes(), b".", body];
    let tag = base64_text(&hmac(HashAlgorithm::Sha256, &key, &parts));
    let headers = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", sent),
        ("webhook-signature", format!("v1,{tag}")),
    ];
    Ok(headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

/// GitLab has two ways; the secret tells which one.
fn is_signing_token(secret: &Secret) -> bool {
    let text = secret.expose().trim_ascii();
    text.strip_prefix(b"v1,").unwrap_or(text).starts_with(b"whsec_")
}

fn header_text(secret: &Secret) -> Result<&str, CannotSign> {
    let text = std::str::from_utf8(secret.expose().trim_ascii()).map_err(|_| CannotSign::HeaderText)?;
    let fits = !text.is_empty() && !text.contains(|c: char| c.is_ascii_control());
    if fits { Ok(text) } else { Err(CannotSign::HeaderText) }
}
