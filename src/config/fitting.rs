//! Secrets that can never match, since no forge's web page or header can carry them. No message contains a part of one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ForgeKind;

/// What a secret is for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// Deliveries are checked with it.
    Webhook(Option<ForgeKind>),
    /// hookd sends it in a header.
    Token,
    /// hookd signs with it: the private key of an App, in PEM form, which has many lines.
    PrivateKey,
}

/// Marks of order that editors write before the text: UTF-8's, and those of UTF-16.
const MARKS: &[&[u8]] = &[b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// Shortest webhook secret, bytes: all shorter ones can be tried against one delivery that somebody has seen.
const SECRET_MIN: usize = 8;

/// What begins a secret of Standard Webhooks.
const STANDARD_SECRET: &str = "whsec_";

/// Why a secret can't be the one that the forge has, and what to do.
pub(super) fn refuse(secret: &[u8], purpose: Use) -> Option<(&'static str, &'static str)> {
    if MARKS.iter().any(|mark| secret.starts_with(mark)) {
        return Some((
            "begins with a byte order mark, which is no part of the secret",
            "save it as UTF-8 without one; an editor that calls itself Notepad writes it",
        ));
    }
    let text = String::from_utf8_lossy(secret);
    if text.trim().len() != text.len() {
        return Some((
            "begins or ends with a blank or an empty line, which is no part of the secret",
            "write it without: printf %s SECRET > FILE",
        ));
    }
    if matches!(purpose, Use::PrivateKey) {
        return None;
    }
    if text.contains(['\n', '\r']) {
        return Some(("has several lines", "a secret is one line; one per file"));
    }
    if text.contains(char::is_control) {
        return Some(("has control characters in it", "copy it once more from the forge"));
    }
    match purpose {
        Use::Token if !secret.iter().all(u8::is_ascii_graphic) => Some((
            "has characters that no header can carry",
            "a token has ASCII letters, digits and signs; copy it once more from the forge",
        )),
        Use::Token | Use::PrivateKey => None,
        Use::Webhook(forge) => refuse_standard(&text, forge).or_else(|| {
            (secret.len() < SECRET_MIN).then_some((
                "has fewer than 8 bytes, and so can be guessed",
                "make one, and give it to the forge, too: openssl rand -hex 32",
            ))
        }),
    }
}

/// The same for the forges whose secrets are written as Standard Webhooks writes them.
fn refuse_standard(text: &str, forge: Option<ForgeKind>) -> Option<(&'static str, &'static str)> {
    let standard = forge == Some(ForgeKind::Standard);
    if !standard && !matches!(forge, None | Some(ForgeKind::GitLab)) {
        return None;
    }
    if let Some((version, _)) = text.split_once(",wh")
        && version.starts_with('v')
    {
        return Some((
            "begins with the version of a signature",
            "the secret begins with `whsec_`: take out what stands before it",
        ));
    }
    if text.starts_with("whpk_") {
        return Some((
            "is a public key",
            "write it as `public_key = \"whpk_…\"`, and leave `secret` out",
        ));
    }
    if text.starts_with("whsk_") {
        return Some((
            "is the sender's private key",
            "hookd needs the public one: `public_key = \"whpk_…\"`",
        ));
    }
    let encoded = text.strip_prefix(STANDARD_SECRET)?;
    let key = STANDARD.decode(encoded).unwrap_or_default();
    key.is_empty().then_some((
        "begins with `whsec_`, and what follows is not base64",
        "copy it once more from the sender",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_fit_and_what_can() {
        use ForgeKind::{GitHub, GitLab, Standard};
        let webhook = |forge| Use::Webhook(Some(forge));
        for (secret, purpose, word) in [
            ("\u{feff}abc", webhook(GitHub), "byte order mark"),
            (" abc", webhook(GitHub), "blank"),
            ("abc\n", webhook(GitHub), "blank"),
            ("abc\u{a0}", webhook(GitLab), "blank"),
            ("abc\ndef", webhook(GitHub), "several lines"),
            ("abc\u{1b}[A", webhook(GitHub), "control"),
            ("v1,whsec_AAECAwQFBgc=", webhook(Standard), "version"),
            ("v1,whsec_AAECAwQFBgc=", webhook(GitLab), "version"),
            ("v1,whsec_AAECAwQFBgc=", Use::Webhook(None), "version"),
            ("v1a,whpk_AAECAwQFBgc=", webhook(Standard), "version"),
            ("whpk_AAECAwQFBgc=", webhook(Standard), "public key"),
            ("whsk_AAECAwQFBgc=", webhook(Standard), "private key"),
            ("whsec_not base64", webhook(Standard), "not base64"),
            ("whsec_", webhook(GitLab), "not base64"),
            ("seven b", webhook(GitHub), "guessed"),
            ("glpat-ä", Use::Token, "no header"),
            ("two words", Use::Token, "no header"),
        ] {
            let (message, hint) = refuse(secret.as_bytes(), purpose).unwrap_or_else(|| panic!("{secret:?} is taken"));
            assert!(message.contains(word) && !hint.is_empty(), "{secret:?}: {message}");
        }
        for (secret, purpose) in [
            ("pä$$ wörd=", webhook(GitLab)),
            ("pä$$ wörd=", webhook(GitHub)),
            ("v1,whsec_AAECAwQFBgc=", webhook(GitHub)),
            ("whsec_AAECAwQFBgc=", webhook(Standard)),
            ("AAECAwQFBgc=", webhook(Standard)),
            ("plain text", webhook(Standard)),
            ("glpat-a_b.c~d", Use::Token),
        ] {
            assert_eq!(refuse(secret.as_bytes(), purpose), None, "{secret:?}");
        }
    }
}
