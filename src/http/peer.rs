//! The sender of a request: the peer of the connection, or the address that a trusted proxy forwards.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// The address that a request comes from. `peer` is none on a unix socket, which counts as loopback.
///
/// `X-Forwarded-For`, or if there is none `Forwarded`, is believed only from trusted proxies, and only as far as the chain of
/// trusted addresses goes, seen from here: what is left of it could have been written by anybody.
pub fn source(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let trusts = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut address = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
    if !trusts(address) {
        return address;
    }
    for hop in hops(headers).into_iter().rev() {
        let Some(hop) = hop else { break };
        address = hop.to_canonical();
        if !trusts(address) {
            break;
        }
    }
    address
}

/// The addresses that the proxies wrote down, the nearest last; none for one that is not an address. Most proxies know only
/// `X-Forwarded-For`, and pass on what a client put into `Forwarded`: so that one counts only by itself.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let hops = listed(headers, "x-forwarded-for");
    if !hops.is_empty() {
        return hops.iter().map(|hop| address(hop)).collect();
    }
    listed(headers, "forwarded")
        .iter()
        .map(|hop| forwarded_for(hop))
        .collect()
}

/// Whether a trusted proxy says that the request came to it by TLS: `X-Forwarded-Proto`, or if there is none `Forwarded`.
pub fn came_by_tls(headers: &HeaderMap) -> bool {
    let said = listed(headers, "x-forwarded-proto");
    if !said.is_empty() {
        return said.iter().all(|proto| proto.eq_ignore_ascii_case("https"));
    }
    let parts = listed(headers, "forwarded");
    let mut pairs = parts
        .iter()
        .flat_map(|part| part.split(';'))
        .filter_map(|pair| pair.split_once('='));
    pairs.any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("proto") && value.trim().trim_matches('"').eq_ignore_ascii_case("https")
    })
}

/// The parts of a list, over all its lines. Proxies add to what the client sent, so a line is read whatever bytes it has:
/// to leave it out would be to leave out what the proxy wrote.
fn listed(headers: &HeaderMap, name: &str) -> Vec<String> {
    let parts = |line: &HeaderValue| -> Vec<String> {
        let text = String::from_utf8_lossy(line.as_bytes());
        text.split(',').map(|part| part.trim().to_owned()).collect()
    };
    headers.get_all(name).iter().flat_map(parts).collect()
}

/// The address of `for=…` in one element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs
        .into_iter()
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, headers: &[(&'static str, &[u8])], trusted: &[&str]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        source(Some(peer.parse().unwrap()), &map, &trusted).to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(from("192.0.2.9", &[("x-forwarded-for", b"10.0.0.1")], &[]), "192.0.2.9");
        assert_eq!(
            from("192.0.2.9", &[("x-forwarded-for", b"10.0.0.1")], &["127.0.0.0/8"]),
            "192.0.2.9"
        );
    }

    #[test]
    fn trusted_proxies_are_believed_up_to_the_first_stranger() {
        let local = &["127.0.0.0/8"];
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", b"192.0.2.7")], local),
            "192.0.2.7"
        );
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", b"6.6.6.6, 192.0.2.7")], local),
            "192.0.2.7"
        );
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", b"192.0.2.7, 127.0.0.2")], local),
            "192.0.2.7"
        );
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", b"192.0.2.7, junk")], local),
            "127.0.0.1"
        );
        assert_eq!(from("127.0.0.1", &[], local), "127.0.0.1");
        assert_eq!(
            from(
                "127.0.0.1",
                &[("forwarded", b"for=\"[2001:db8::7]:4711\";proto=https")],
                local
            ),
            "2001:db8::7"
        );
        assert_eq!(
            from("::ffff:127.0.0.1", &[("x-forwarded-for", b"192.0.2.7:99")], local),
            "192.0.2.7"
        );
    }

    #[test]
    fn a_proxy_says_what_it_spoke() {
        let by_tls = |name: &'static str, value: &'static str| {
            came_by_tls(&HeaderMap::from_iter([(
                name.parse().unwrap(),
                HeaderValue::from_static(value),
            )]))
        };
        assert!(by_tls("x-forwarded-proto", "https") && by_tls("forwarded", "for=192.0.2.7;proto=https"));
        assert!(!by_tls("x-forwarded-proto", "http") && !by_tls("x-forwarded-proto", "https, http"));
        assert!(!by_tls("forwarded", "for=192.0.2.7;proto=http") && !came_by_tls(&HeaderMap::new()));
    }

    #[test]
    fn a_client_can_write_nothing_that_hides_what_the_proxy_wrote() {
        let local = &["127.0.0.0/8"];
        // nginx appends to what came, and knows nothing of `Forwarded`.
        for came in [
            &b"\xff, 192.0.2.7"[..],
            b"\"192.0.2.1, 192.0.2.7",
            b", 192.0.2.7",
            b"for=\", 192.0.2.7",
        ] {
            assert_eq!(from("127.0.0.1", &[("x-forwarded-for", came)], local), "192.0.2.7");
        }
        let both: &[(&str, &[u8])] = &[("forwarded", b"for=10.0.0.1"), ("x-forwarded-for", b"192.0.2.7")];
        assert_eq!(from("127.0.0.1", both, local), "192.0.2.7");
        let odd = &[("forwarded", &b"for=\"\xff, for=192.0.2.7;for=10.0.0.1"[..])];
        assert_eq!(from("127.0.0.1", odd, local), "192.0.2.7");
    }
}
