//! A payload says the same whether it comes as JSON or in a form, however the form is written.

use hookd::forge::parse_unverified;

use super::request;

/// Two bytes for the forge and the way of writing, then a request with JSON.
pub fn run(data: &[u8]) {
    let [choice, style, rest @ ..] = data else { return };
    let (mut headers, body) = request::parse(rest);
    let forge = request::chosen_forge(*choice);
    let pointers = &request::chosen_repo(*choice).generic;
    // Bytes that are no UTF-8 are replaced in a form, and refused in JSON.
    if std::str::from_utf8(body).is_err() || !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return;
    }
    let plain = parse_unverified(&headers, body, forge, Some(pointers));
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let mut form = if *style & 1 == 0 {
        b"payload=".to_vec()
    } else {
        b"x=%7B%7D&payload=".to_vec()
    };
    for byte in body {
        match byte {
            b' ' if *style & 2 == 0 => form.push(b'+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if *style & 4 == 0 => form.push(*byte),
            _ if *style & 8 == 0 => form.extend(format!("%{byte:02X}").bytes()),
            _ => form.extend(format!("%{byte:02x}").bytes()),
        }
    }
    if *style & 16 != 0 {
        form.extend(b"&payload=%7B%7D");
    }
    assert_eq!(parse_unverified(&headers, &form, forge, Some(pointers)), plain);
}
