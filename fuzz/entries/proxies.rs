//! Whatever a client writes, it can't hide the address that a trusted proxy wrote behind it.

use std::net::{IpAddr, Ipv4Addr};

use hookd::http::peer::source;
use http::HeaderValue;
use ipnet::IpNet;

use super::request;

/// Who asks the proxy, and the proxies of the chain.
const CLIENT: &str = "192.0.2.7";
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The headers of a client.
pub fn run(data: &[u8]) {
    let (headers, _) = request::parse(data);
    let trusted: [IpNet; 2] = ["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let client: IpAddr = CLIENT.parse().unwrap();
    assert_eq!(source(Some(client), &headers, &trusted), client);
    let _ = source(Some(PROXY), &headers, &trusted);
    let _ = source(None, &headers, &trusted);

    // A proxy that adds a line of its own, and one that adds to the line that came, as nginx does.
    let mut lines = headers.clone();
    lines.append("x-forwarded-for", HeaderValue::from_static(CLIENT));
    assert_eq!(source(Some(PROXY), &lines, &trusted), client);
    let mut joined = headers.clone();
    let mut value: Vec<u8> = Vec::new();
    for line in headers.get_all("x-forwarded-for") {
        value.extend(line.as_bytes());
        value.extend(b", ");
    }
    value.extend(CLIENT.bytes());
    joined.insert("x-forwarded-for", HeaderValue::from_bytes(&value).unwrap());
    assert_eq!(source(Some(PROXY), &joined, &trusted), client);

    // A proxy that writes the standard's header, and takes the other out.
    let mut standard = headers;
    standard.remove("x-forwarded-for");
    standard.append("forwarded", HeaderValue::from_static("for=192.0.2.7;proto=https"));
    assert_eq!(source(Some(PROXY), &standard, &trusted), client);
}
