//! From the body as sent to the JSON text in it: plain, or the field `payload` of a form.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Name of the form field that holds the JSON (GitHub, Gitea, Forgejo, Gogs, older Pagure).
const FIELD: &[u8] = b"payload";

/// The JSON text that the body holds. The bytes decide before the content type does: Pagure used to send forms that
/// were declared as JSON, and `curl -d` sends JSON that is declared as a form. A form without the field gives nothing.
pub(super) fn json_text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Cow<'a, [u8]> {
    if looks_like_json(body) || !is_form(headers, body) {
        return Cow::Borrowed(without_mark(body));
    }
    let payload = body.split(|byte| *byte == b'&').find_map(|pair| {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len()));
        (decoded(name) == FIELD).then(|| decoded(value.strip_prefix(b"=").unwrap_or(value)))
    });
    Cow::Owned(payload.unwrap_or_default())
}

/// A name or value of a form, byte for byte: what was signed may be no UTF-8.
fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_encoding::percent_decode(&spaced).collect()
}

fn looks_like_json(body: &[u8]) -> bool {
    matches!(without_mark(body).trim_ascii_start().first(), Some(b'{' | b'['))
}

fn is_form(headers: &HeaderMap, body: &[u8]) -> bool {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let form = |text: &str| {
        text.to_ascii_lowercase()
            .starts_with("application/x-www-form-urlencoded")
    };
    body.starts_with(b"payload=") || declared.is_some_and(form)
}

/// A byte order mark is no part of JSON (RFC 8259, 8.1), yet some senders write one.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap(),
        );
        headers
    }

    #[test]
    fn forms_and_json_are_told_apart_by_their_bytes() {
        let encoded: &[u8] = b"payload=%7B%22a%22%3A+%22b%22%7D";
        assert_eq!(*json_text(&form(), encoded), *br#"{"a": "b"}"#);
        assert_eq!(*json_text(&HeaderMap::new(), encoded), *br#"{"a": "b"}"#);
        assert_eq!(*json_text(&form(), b"x=1&payload=%7B%7D&payload=evil"), *b"{}");
        assert_eq!(*json_text(&form(), b" {\"payload=\": 1}"), *b" {\"payload=\": 1}");
        assert_eq!(*json_text(&form(), b"other=1"), *b"");
        assert_eq!(*json_text(&HeaderMap::new(), b"\xef\xbb\xbf{}"), *b"{}");
        assert_eq!(*json_text(&HeaderMap::new(), b"nonsense"), *b"nonsense");
    }
}
