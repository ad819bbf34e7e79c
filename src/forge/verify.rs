//! Whether a delivery is genuine. The only maker of [`Verified`].

use std::borrow::Cow;

use http::HeaderMap;

use super::delivery::{Delivery, header};
use super::detect::{by_event, detect};
use super::scheme::{self, any_equal, any_hmac, base64_bytes, burn};
use super::trust::{Trust, Who};
use super::{body, sourcehut};
use crate::config::{Encoding, ForgeKind, Generic, HashAlgorithm};

/// Most entries of a `webhook-signature` list that are tried; a sender in rotation has two.
const SIGNATURES_MAX: usize = 8;

/// Why a delivery is not believed. Never holds a secret, nor what the signature should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No signature where one belongs.
    #[error("the delivery has no signature")]
    Missing,
    /// A signature header without a signature, as forges send that know no secret.
    #[error("the signature is empty: the forge does not know the secret")]
    Empty,
    /// Not made with any of the secrets, or not over these bytes.
    #[error("the signature does not fit: another secret, or the body was changed on its way")]
    Wrong,
    /// Rightly signed, but not now.
    #[error("the signed time stamp is too old or lies in the future")]
    Stale,
    /// The same signature header more than once.
    #[error("the signature header is there more than once")]
    Repeated,
    /// An algorithm that hookd does not know.
    #[error("the signature algorithm {0:?} is not supported")]
    Unsupported(String),
    /// Only SHA-1, and the configuration does not allow that.
    #[error("the only signature is SHA-1, and `allow_sha1` is off")]
    Sha1,
    /// The configuration names one forge, the headers another.
    #[error("the delivery does not come from the forge that the configuration names")]
    OtherForge,
    /// There is no secret or key to check with.
    #[error("no secret or public key is configured for this kind of signature")]
    NoKey,
}

impl Rejection {
    /// One word for journal and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "signature-missing",
            Self::Empty => "signature-empty",
            Self::Wrong => "signature-wrong",
            Self::Stale => "signature-stale",
            Self::Repeated => "signature-repeated",
            Self::Unsupported(_) => "signature-unsupported",
            Self::Sha1 => "signature-sha1",
            Self::OtherForge => "forge-mismatch",
            Self::NoKey => "no-key",
        }
    }
}

/// A delivery whose sender holds the secret. Only [`verify`] makes one.
pub struct Verified<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) json: Cow<'a, [u8]>,
    pub(super) forge: Option<ForgeKind>,
    pub(super) generic: Option<Generic>,
    signed: bool,
}

impl Verified<'_> {
    /// The forge whose signature it bears; none if nothing was checked and the headers say nothing.
    pub fn forge(&self) -> Option<ForgeKind> {
        self.forge
    }

    /// True if the sender was shown to hold the repo's own secret: not for the key of a service that many share, nor for a repo
    /// that is open to everybody.
    pub fn proves_a_secret(&self) -> bool {
        self.signed && self.forge != Some(ForgeKind::SourceHut)
    }

    /// False if nothing was checked, since the repo is `insecure-none`.
    pub fn is_signed(&self) -> bool {
        self.signed
    }
}

/// Checks the delivery against what is trusted: in constant time, over the raw bytes, with each of the secrets.
///
/// # Errors
/// Why it is not believed. The caller answers all of these alike.
pub fn verify<'a>(delivery: &Delivery<'a>, trust: &Trust<'_>) -> Result<Verified<'a>, Rejection> {
    let json = body::json_text(delivery.headers, delivery.body);
    let agreed = agreed(trust.forge, delivery.headers);
    if trust.who != Who::Open {
        // The scheme of the headers is checked even if it is not the repo's: to refuse at once would tell that there is a repo.
        let scheme = agreed.clone().unwrap_or_else(|_| detect(delivery.headers));
        let request = Request {
            headers: delivery.headers,
            raw: delivery.body,
            json: &json,
            trust,
        };
        request.check(scheme)?;
        if trust.who == Who::Nobody {
            return Err(Rejection::Wrong);
        }
    }
    let forge = agreed?;
    let generic = trust.generic.filter(|_| forge == Some(ForgeKind::Generic)).cloned();
    Ok(Verified {
        headers: delivery.headers,
        json,
        forge,
        generic,
        signed: trust.who == Who::Known,
    })
}

/// The forge, if configuration and headers agree; the headers may also say nothing. Within the family of Gogs the headers
/// know best which one it is, between the two Bitbuckets the configuration does.
fn agreed(configured: Option<ForgeKind>, headers: &HeaderMap) -> Result<Option<ForgeKind>, Rejection> {
    use ForgeKind::{Bitbucket, BitbucketServer, Forgejo, Generic, Gitea, Gogs};
    let Some(ours) = configured else {
        return Ok(detect(headers));
    };
    match (ours, by_event(headers)) {
        // A self-made sender may use any headers.
        (Generic, _) | (_, None) | (Bitbucket | BitbucketServer, Some(Bitbucket | BitbucketServer)) => Ok(configured),
        (Gogs | Gitea | Forgejo, theirs @ Some(Gogs | Gitea | Forgejo)) => Ok(theirs),
        (ours, Some(theirs)) if ours == theirs => Ok(configured),
        _ => Err(Rejection::OtherForge),
    }
}

struct Request<'d, 't> {
    headers: &'d HeaderMap,
    raw: &'d [u8],
    json: &'d [u8],
    trust: &'t Trust<'t>,
}

impl Request<'_, '_> {
    /// Checks by the rules of that forge. Each answer costs at least as much as an HMAC over the body.
    fn check(&self, scheme: Option<ForgeKind>) -> Result<(), Rejection> {
        let checked = match scheme {
            Some(ForgeKind::GitHub | ForgeKind::Bitbucket | ForgeKind::BitbucketServer) => {
                self.hex(&["x-hub-signature-256", "x-hub-signature"], self.raw)
            }
            Some(ForgeKind::Forgejo) => self.hex(FORGEJO, self.json),
            Some(ForgeKind::Gitea) => self.hex(GITEA, self.json),
            Some(ForgeKind::Gogs) => self.hex(GOGS, self.json),
            Some(ForgeKind::Pagure) => self.hex(&["x-pagure-signature-256", "x-pagure-signature"], self.json),
            Some(ForgeKind::GitLab) if !self.headers.contains_key("webhook-signature") => self.gitlab_token(),
            Some(ForgeKind::GitLab | ForgeKind::Standard) => self.standard(),
            Some(ForgeKind::Gitee) => self.gitee(),
            Some(ForgeKind::SourceHut) => self.sourcehut(),
            Some(ForgeKind::AzureDevOps) => self.azure(),
            Some(ForgeKind::Generic) => self.generic(),
            None => Err(Rejection::Missing),
        };
        if matches!(checked, Err(ref refused) if *refused != Rejection::Stale) {
            burn(self.raw);
        }
        checked
    }

    /// The one value of a header that must not be there twice.
    fn single_bytes(&self, name: &str) -> Result<&[u8], Rejection> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().ok_or(Rejection::Missing)?.as_bytes().trim_ascii();
        match values.next() {
            Some(_) => Err(Rejection::Repeated),
            None if value.is_empty() => Err(Rejection::Empty),
            None => Ok(value),
        }
    }

    /// The same of visible ASCII.
    fn single(&self, name: &str) -> Result<&str, Rejection> {
        let value = self.single_bytes(name)?;
        let text = std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        text.ok_or(Rejection::Wrong)
    }

    /// The keys to try. An empty one would let anybody in, so it is none.
    fn keys(&self) -> Result<Vec<&[u8]>, Rejection> {
        let keys = scheme::keys(self.trust.secrets);
        if keys.is_empty() {
            Err(Rejection::NoKey)
        } else {
            Ok(keys)
        }
    }

    /// Hexadecimal, bare or behind `algorithm=`. The first header that is there decides; there is no falling back.
    fn hex(&self, names: &[&str], signed: &[u8]) -> Result<(), Rejection> {
        let name = names
            .iter()
            .find(|name| self.headers.contains_key(**name))
            .ok_or(Rejection::Missing)?;
        let (algorithm, tag) = hex_signature(self.single(name)?)?;
        if algorithm == HashAlgorithm::Sha1 && !self.trust.allow_sha1 {
            return Err(Rejection::Sha1);
        }
        fits(any_hmac(algorithm, &self.keys()?, &[signed], &[tag]))
    }

    /// The token may be any text: GitLab sends its UTF-8 bytes.
    fn gitlab_token(&self) -> Result<(), Rejection> {
        let token = self.single_bytes("x-gitlab-token")?;
        self.keys()?;
        fits(any_equal(self.trust.secrets, token))
    }

    /// Standard Webhooks 1.0.0, and GitLab's signing token, which is the same.
    fn standard(&self) -> Result<(), Rejection> {
        let list = self.single("webhook-signature")?;
        let id = self.single("webhook-id")?;
        let sent = self.single("webhook-timestamp")?;
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", sent.as_bytes(), b".", self.raw];
        let listed = standard_signatures(list)?;
        let by_owner = |tag: &Vec<u8>| {
            self.trust
                .public_key
                .is_some_and(|key| scheme::ed25519(&key, &parts, tag))
        };
        let decoded: Vec<_> = self.trust.secrets.iter().filter_map(scheme::standard_key).collect();
        let keys: Vec<&[u8]> = decoded.iter().map(|key| key.as_slice()).collect();
        let genuine =
            any_hmac(HashAlgorithm::Sha256, &keys, &parts, &listed.symmetric) | listed.asymmetric.iter().any(by_owner);
        fits(genuine)?;
        let sent: i64 = sent.parse().map_err(|_| Rejection::Stale)?;
        let off = self.trust.now.seconds().abs_diff(sent);
        if off > self.trust.timestamp_tolerance.as_secs() {
            Err(Rejection::Stale)
        } else {
            Ok(())
        }
    }

    /// Ed25519 by the service's own key: it proves the service, not the repo, so it counts only where it is configured.
    fn sourcehut(&self) -> Result<(), Rejection> {
        let tag = base64_bytes(self.single("x-payload-signature")?).ok_or(Rejection::Wrong)?;
        let nonce = header(self.headers, "x-payload-nonce").unwrap_or_default();
        let key = self.trust.public_key.unwrap_or(sourcehut::PUBLIC_KEY);
        let genuine = scheme::ed25519(&key, &[self.raw, nonce.as_bytes()], &tag);
        if self.trust.forge != Some(ForgeKind::SourceHut) && self.trust.public_key.is_none() {
            return Err(Rejection::NoKey);
        }
        fits(genuine)
    }

    /// Gitee sends the password itself, or signs the time with the key. Neither covers the body.
    fn gitee(&self) -> Result<(), Rejection> {
        let token = self.single_bytes("x-gitee-token")?;
        let keys = self.keys()?;
        let is_password = any_equal(self.trust.secrets, token);
        let sent = header(self.headers, "x-gitee-timestamp").unwrap_or_default();
        let decoded: Vec<u8> = percent_encoding::percent_decode(token).collect();
        let tag = std::str::from_utf8(&decoded)
            .ok()
            .and_then(base64_bytes)
            .unwrap_or_default();
        let mut is_signed = false;
        for key in keys {
            is_signed |= any_hmac(
                HashAlgorithm::Sha256,
                &[key],
                &[sent.as_bytes(), b"\n", key],
                std::slice::from_ref(&tag),
            );
        }
        if is_password {
            return Ok(());
        }
        fits(is_signed)?;
        let sent: i64 = sent.parse().map_err(|_| Rejection::Stale)?;
        let off = self.trust.now.0.abs_diff(sent) / 1000;
        if off > self.trust.timestamp_tolerance.as_secs() {
            Err(Rejection::Stale)
        } else {
            Ok(())
        }
    }

    /// Azure DevOps signs nothing: the secret is the password of basic authentication, or the value of a header.
    fn azure(&self) -> Result<(), Rejection> {
        self.keys()?;
        if let Some(name) = self.trust.auth_header {
            let value = self.single(&name.to_ascii_lowercase())?;
            let bare = value.strip_prefix("Bearer ").unwrap_or(value);
            return fits(
                any_equal(self.trust.secrets, value.as_bytes()) | any_equal(self.trust.secrets, bare.as_bytes()),
            );
        }
        let encoded = self
            .single("authorization")?
            .strip_prefix("Basic ")
            .ok_or(Rejection::Wrong)?;
        let pair = zeroize::Zeroizing::new(base64_bytes(encoded.trim()).ok_or(Rejection::Wrong)?);
        let colon = pair.iter().position(|byte| *byte == b':').ok_or(Rejection::Wrong)?;
        let password = &pair[colon + 1..];
        if password.is_empty() {
            return Err(Rejection::Empty);
        }
        fits(any_equal(self.trust.secrets, password) | any_equal(self.trust.secrets, &pair))
    }

    /// An HMAC over the raw body, written as the configuration says.
    fn generic(&self) -> Result<(), Rejection> {
        let rule = self.trust.generic.ok_or(Rejection::NoKey)?;
        let value = self.single(&rule.header.to_ascii_lowercase())?;
        let digest = value.strip_prefix(rule.prefix.as_str()).ok_or(Rejection::Wrong)?;
        if digest.is_empty() {
            return Err(Rejection::Empty);
        }
        let tag = match rule.encoding {
            Encoding::Hex => hex::decode(digest).ok(),
            Encoding::Base64 => base64_bytes(digest),
        };
        fits(any_hmac(
            rule.algorithm,
            &self.keys()?,
            &[self.raw],
            &[tag.ok_or(Rejection::Wrong)?],
        ))
    }
}

/// Where Forgejo, Gitea and Gogs put their signature, the most telling header first.
const FORGEJO: &[&str] = &[
    "x-forgejo-signature",
    "x-gitea-signature",
    "x-hub-signature-256",
    "x-gogs-signature",
    "x-hub-signature",
];
const GITEA: &[&str] = &[
    "x-gitea-signature",
    "x-hub-signature-256",
    "x-gogs-signature",
    "x-hub-signature",
];
const GOGS: &[&str] = &["x-gogs-signature", "x-hub-signature-256", "x-hub-signature"];

fn fits(genuine: bool) -> Result<(), Rejection> {
    if genuine { Ok(()) } else { Err(Rejection::Wrong) }
}

/// `sha256=<hex>`, or bare hexadecimal, whose length then tells the algorithm.
fn hex_signature(value: &str) -> Result<(HashAlgorithm, Vec<u8>), Rejection> {
    let (algorithm, digits) = match value.split_once('=') {
        Some((name, digits)) => {
            let unknown =
                || scheme::algorithm_name(value).map_or(Rejection::Wrong, |name| Rejection::Unsupported(name.into()));
            (Some(scheme::algorithm(name).ok_or_else(unknown)?), digits)
        }
        None => (None, value),
    };
    if digits.is_empty() {
        return Err(Rejection::Empty);
    }
    let tag = hex::decode(digits).map_err(|_| Rejection::Wrong)?;
    let of_length = |algorithm: &HashAlgorithm| scheme::digest_len(*algorithm) == tag.len();
    let known = [HashAlgorithm::Sha1, HashAlgorithm::Sha256, HashAlgorithm::Sha512];
    let algorithm = algorithm
        .or_else(|| known.into_iter().find(of_length))
        .filter(of_length);
    Ok((algorithm.ok_or(Rejection::Wrong)?, tag))
}

/// The signatures of a `webhook-signature` header.
#[derive(Default)]
struct Listed {
    symmetric: Vec<Vec<u8>>,
    asymmetric: Vec<Vec<u8>>,
}

/// The `v1` (HMAC) and the `v1a` (Ed25519) signatures of a list.
fn standard_signatures(list: &str) -> Result<Listed, Rejection> {
    let mut listed = Listed::default();
    for (version, text) in list
        .split_ascii_whitespace()
        .take(SIGNATURES_MAX)
        .filter_map(|entry| entry.split_once(','))
    {
        let tag = base64_bytes(text).filter(|tag| !tag.is_empty());
        match version {
            "v1" => listed.symmetric.extend(tag),
            "v1a" => listed.asymmetric.extend(tag),
            _ => {}
        }
    }
    if listed.symmetric.is_empty() && listed.asymmetric.is_empty() {
        let unknown = scheme::versions(list).find(|version| !scheme::VERSIONS.contains(version));
        return Err(unknown.map_or(Rejection::Wrong, |version| Rejection::Unsupported(version.to_owned())));
    }
    Ok(listed)
}
