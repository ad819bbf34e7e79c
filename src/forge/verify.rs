//! Whether a delivery is genuine. The only maker of [`Verified`].

use std::borrow::Cow;

use http::HeaderMap;

use super::body;
use super::delivery::Delivery;
use super::detect::{by_event, detect};
use super::trust::{Trust, Who};
use crate::dialects::{ForgeKind, Generic, Rejection, Request, burn};
use crate::model::Secret;

/// A delivery whose sender holds the secret. Only [`verify`] makes one.
pub struct Verified<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) json: Cow<'a, [u8]>,
    pub(super) forge: Option<ForgeKind>,
    pub(super) generic: Option<Generic>,
    signed: bool,
    secret: Option<u32>,
}

impl Verified<'_> {
    /// Which of the repo's secrets it was signed with, counted from 1 in the order of the configuration; none if it was none of
    /// them.
    pub fn secret(&self) -> Option<u32> {
        self.secret
    }

    /// True if the sender was shown to hold the repo's own secret: not for the key of a service that many share, nor for a repo
    /// that is open to everybody.
    pub fn proves_a_secret(&self) -> bool {
        self.signed && !self.forge.is_some_and(|forge| forge.dialect().key_is_shared)
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
    let mut secret = None;
    if trust.who != Who::Open {
        // The scheme of the headers is checked even if it is not the repo's: to refuse at once would tell that there is a repo.
        let scheme = agreed.clone().unwrap_or_else(|_| detect(delivery.headers));
        check(scheme, delivery, &json, trust)?;
        if trust.who == Who::Nobody {
            return Err(Rejection::Wrong);
        }
        secret = which(agreed.as_ref().ok().copied().flatten(), delivery, &json, trust);
    }
    let forge = agreed?;
    let generic = trust.generic.filter(|_| forge == Some(ForgeKind::Generic)).cloned();
    Ok(Verified {
        headers: delivery.headers,
        json,
        forge,
        generic,
        signed: trust.who == Who::Known,
        secret,
    })
}

/// The forge, if configuration and headers agree; the headers may also say nothing. Within the family of Gogs the headers
/// know best which one it is, between the two Bitbuckets the configuration does.
fn agreed(configured: Option<ForgeKind>, headers: &HeaderMap) -> Result<Option<ForgeKind>, Rejection> {
    let Some(ours) = configured else {
        return Ok(detect(headers));
    };
    // A self-made sender may use any headers.
    let theirs = by_event(headers).filter(|theirs| ours != ForgeKind::Generic && *theirs != ours);
    let Some(theirs) = theirs else {
        return Ok(configured);
    };
    let (our, their) = (ours.dialect(), theirs.dialect());
    if our.event.header() == their.event.header() {
        Ok(configured)
    } else if our.family.is_some() && our.family == their.family {
        Ok(Some(theirs))
    } else {
        Err(Rejection::OtherForge)
    }
}

/// Which of the secrets a genuine delivery is signed with: the first that is enough by itself.
fn which(scheme: Option<ForgeKind>, delivery: &Delivery<'_>, json: &[u8], trust: &Trust<'_>) -> Option<u32> {
    let check = scheme?.dialect().check;
    if trust.secrets.len() == 1 && trust.public_key.is_none() {
        return Some(1);
    }
    let alone = |secret: &Secret| {
        let request = request(scheme, delivery, json, trust);
        let request = Request {
            secrets: std::slice::from_ref(secret),
            public_key: None,
            ..request
        };
        check(&request).is_ok()
    };
    (1..)
        .zip(trust.secrets)
        .find(|(_, secret)| alone(secret))
        .map(|(number, _)| number)
}

/// Checks by the rules of that forge. Each answer costs at least as much as an HMAC over the body.
fn check(scheme: Option<ForgeKind>, delivery: &Delivery<'_>, json: &[u8], trust: &Trust<'_>) -> Result<(), Rejection> {
    let request = request(scheme, delivery, json, trust);
    let checked = scheme.map_or(Err(Rejection::Missing), |kind| (kind.dialect().check)(&request));
    if matches!(checked, Err(ref refused) if *refused != Rejection::Stale) {
        burn(delivery.body);
    }
    checked
}

fn request<'a>(
    scheme: Option<ForgeKind>,
    delivery: &'a Delivery<'_>,
    json: &'a [u8],
    trust: &'a Trust<'_>,
) -> Request<'a> {
    Request {
        headers: delivery.headers,
        raw: delivery.body,
        json,
        secrets: trust.secrets,
        allow_sha1: trust.allow_sha1,
        public_key: trust.public_key,
        is_named: trust.forge.is_some() && trust.forge == scheme,
        auth_header: trust.auth_header,
        generic: trust.generic,
        tolerance: trust.timestamp_tolerance,
        now: trust.now,
    }
}
