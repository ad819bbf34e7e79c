//! JSON that is wrong in places that nobody needs, made readable: odd bytes in a commit's message must not cost a push.

use std::borrow::Cow;

/// What stands for a character that can't be read.
const REPLACEMENT: &[u8] = b"\\ufffd";

/// The text with everything replaced that a strict reader refuses within strings and numbers: bytes that are no UTF-8, halves of
/// surrogate pairs, control characters, escapes that do not exist, and numbers beyond all measure. Its structure stays.
pub(super) fn repaired(text: &[u8]) -> Vec<u8> {
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len() + 64);
    while let Some(&byte) = rest.first() {
        let used = match byte {
            b'"' => string(rest, &mut out),
            b'-' | b'0'..=b'9' => number(rest, &mut out),
            _ => {
                out.push(byte);
                1
            }
        };
        rest = &rest[used..];
    }
    out
}

/// Copies a string with its quotes; returns how many bytes it was.
fn string(text: &[u8], out: &mut Vec<u8>) -> usize {
    out.push(b'"');
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                out.push(byte);
                return at + 1;
            }
            b'\\' => at += escape(&text[at..], out),
            0..=0x1f => {
                out.extend_from_slice(REPLACEMENT);
                at += 1;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    at
}

/// Copies what a backslash begins; returns how many bytes it was.
fn escape(text: &[u8], out: &mut Vec<u8>) -> usize {
    match text.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
            out.extend_from_slice(&text[..2]);
            2
        }
        Some(b'u') => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                out.extend_from_slice(&text[..12]);
                12
            }
            (Some(0xd800..=0xdfff), _) => {
                out.extend_from_slice(REPLACEMENT);
                6
            }
            (Some(_), _) => {
                out.extend_from_slice(&text[..6]);
                6
            }
            (None, _) => {
                out.extend_from_slice(REPLACEMENT);
                2
            }
        },
        // The character after it stays, if there is one: it may be the first byte of several.
        _ => {
            out.extend_from_slice(REPLACEMENT);
            1
        }
    }
}

/// The UTF-16 unit of a `\u` and its four digits.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
    u16::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| all_hex)?, 16).ok()
}

/// Copies a number, or null for one that is too large; returns how many bytes it was.
fn number(text: &[u8], out: &mut Vec<u8>) -> usize {
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = text.iter().take_while(|byte| of_number(byte)).count();
    let value = std::str::from_utf8(&text[..length])
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    if value.is_some_and(f64::is_infinite) {
        out.extend_from_slice(b"null");
    } else {
        out.extend_from_slice(&text[..length]);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(text: &[u8]) -> Value {
        assert!(serde_json::from_slice::<Value>(text).is_err(), "nothing to repair");
        serde_json::from_slice(&repaired(text)).unwrap()
    }

    #[test]
    fn what_nobody_needs_is_replaced() {
        for text in [
            &b"{\"m\": \"a \\ud83d b\", \"ref\": \"x\"}"[..],
            b"{\"m\": \"a \\uDe00 b\", \"ref\": \"x\"}",
            b"{\"m\": \"a \xe9 b\", \"ref\": \"x\"}",
            b"{\"m\": \"a \x01 b\", \"ref\": \"x\"}",
            b"{\"m\": \"a \\ud83d\\ud83d b\", \"ref\": \"x\"}",
        ] {
            let value = read(text);
            assert_eq!(value["ref"], "x");
            assert!(value["m"].as_str().unwrap().contains('\u{fffd}'), "{value}");
        }
        assert_eq!(
            read(b"{\"n\": -1e999, \"m\": [1e400, 2.5], \"k\": \"\\ud83d\\ude00 \\ud83d\"}"),
            json!({"n": null, "m": [null, 2.5], "k": "\u{1f600} \u{fffd}"})
        );
        assert_eq!(read(b"{\"p\": \"C:\\q\\u12\"}"), json!({"p": "C:\u{fffd}q\u{fffd}12"}));
        assert_eq!(
            read(b"{\"m\": \"say \\\"hi\\\" in C:\\\\x\\n \x01\"}"),
            json!({"m": "say \"hi\" in C:\\x\n \u{fffd}"})
        );
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in [
            &b"{\"a\": "[..],
            b"{\"a\": \"b",
            b"{'a': 1}",
            b"{\"a\" 1}",
            b"\"\\",
            b"{\"a\": \"\\",
        ] {
            assert!(serde_json::from_slice::<Value>(&repaired(text)).is_err());
        }
    }
}
