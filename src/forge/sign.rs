//! Signing as each forge does, for `hookd send`: the headers that go with a body.

use super::parse::json;
use crate::dialects::{CannotSign, ForgeKind, Headers, Signing};
use crate::model::Secret;

/// Headers for `body` as the forge would send them: event, delivery id, content type and the signature with `secret`; none of
/// the latter if there is no secret, as the forge does where none is set.
///
/// # Errors
/// If the forge's way of signing cannot be followed.
pub fn sign(kind: ForgeKind, secret: Option<&Secret>, body: &[u8], with: &Signing<'_>) -> Result<Headers, CannotSign> {
    let dialect = kind.dialect();
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    // The event is what the body is: a push of a tag has a name of its own with some forges.
    let event = json(body).ok().and_then(|body| (dialect.infer)(&body));
    if let (Some(name), Some(event)) = (dialect.event.header(), event) {
        add(name, &event);
    }
    let signed = secret.map_or(Ok(Vec::new()), |secret| (dialect.sign)(secret, body, with))?;
    let of_rule = with.generic.filter(|_| kind == ForgeKind::Generic);
    let id = dialect.delivery.iter().find_map(|named| named.header());
    let id = of_rule.map(|rule| rule.delivery_header.as_str()).or(id);
    // Some sign it, and then it is there.
    if let Some(name) = id.filter(|id| !signed.iter().any(|(name, _)| name.eq_ignore_ascii_case(id))) {
        add(name, with.id.as_str());
    }
    for (name, value) in dialect.sends {
        add(name, value);
    }
    headers.extend(signed);
    Ok(headers)
}
