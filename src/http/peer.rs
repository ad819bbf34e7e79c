//! Who sent a request: the peer of the connection, or whom a trusted proxy names.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use ipnet::IpNet;

/// The address that a request comes from. `peer` is none on a unix socket, which counts as loopback.
///
/// `X-Forwarded-For` and `Forwarded` are believed only from trusted proxies, and only as far as the chain of trusted
/// addresses goes, seen from here: what is left of it could have been written by anybody.
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

/// The addresses that the proxies wrote down, the nearest last; none for one that is not an address.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| -> Vec<String> {
        let lines = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        lines
            .flat_map(|line| line.split(','))
            .map(|part| part.trim().to_owned())
            .collect()
    };
    let forwarded: Vec<Option<IpAddr>> = values("forwarded")
        .iter()
        .map(|element| {
            element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                if name.trim().eq_ignore_ascii_case("for") {
                    address(value.trim().trim_matches('"'))
                } else {
                    None
                }
            })
        })
        .collect();
    if forwarded.is_empty() {
        values("x-forwarded-for").iter().map(|v| address(v)).collect()
    } else {
        forwarded
    }
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

    fn from(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        source(Some(peer.parse().unwrap()), &map, &trusted).to_string()
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(from("192.0.2.9", &[("x-forwarded-for", "10.0.0.1")], &[]), "192.0.2.9");
        assert_eq!(
            from("192.0.2.9", &[("x-forwarded-for", "10.0.0.1")], &["127.0.0.0/8"]),
            "192.0.2.9"
        );
    }

    #[test]
    fn trusted_proxies_are_believed_up_to_the_first_stranger() {
        let local = &["127.0.0.0/8"];
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", "192.0.2.7")], local),
            "192.0.2.7"
        );
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", "6.6.6.6, 192.0.2.7")], local),
            "192.0.2.7"
        );
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", "192.0.2.7, 127.0.0.2")], local),
            "192.0.2.7"
        );
        assert_eq!(
            from("127.0.0.1", &[("x-forwarded-for", "192.0.2.7, junk")], local),
            "127.0.0.1"
        );
        assert_eq!(from("127.0.0.1", &[], local), "127.0.0.1");
        assert_eq!(
            from(
                "127.0.0.1",
                &[("forwarded", "for=\"[2001:db8::7]:4711\";proto=https")],
                local
            ),
            "2001:db8::7"
        );
        assert_eq!(
            from("::ffff:127.0.0.1", &[("x-forwarded-for", "192.0.2.7:99")], local),
            "192.0.2.7"
        );
    }
}
