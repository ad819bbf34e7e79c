//! Where the submodules of a remote repository may lead. Their URLs are the pusher's choice, and hookd asks from within a
//! network that the pusher may not be in: other services of the machine and of its network are out of reach, unless the repo
//! is there itself or the configuration lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::Address;
use super::{GitError, GitErrorKind};

/// IPv4 addresses that are nobody's on the Internet (IANA IPv4 Special-Purpose Address Registry, and multicast).
const PRIVATE_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 3),
];

/// The one block of IPv6 that is routed on the Internet (RFC 4291, section 4).
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What of it is not, or holds an IPv4 address: Teredo and the like, documentation, 6to4.
const PRIVATE_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 23),
    v6(0x2001, 0xdb8, 32),
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// By the first two groups of the address.
const fn v6(first: u16, second: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), length)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !PRIVATE_V4.iter().any(|net| net.contains(&v4)),
        IpAddr::V6(v6) => GLOBAL_V6.contains(&v6) && !PRIVATE_V6.iter().any(|net| net.contains(&v6)),
    }
}

/// Where the addresses of a submodule's host may be, which is judged when they are looked up to be connected to: a name
/// may lead elsewhere a moment later.
#[derive(Debug)]
pub(super) struct Reach {
    nets: Vec<IpNet>,
}

impl Reach {
    /// Refuses a submodule at `address` that the repository at `own` may not name. `listed` has hosts and networks; with a proxy
    /// the proxy looks the name up, so only its spelling is judged. `None` if nothing is left to judge.
    pub(super) fn judge(
        address: &Address,
        own: &Address,
        listed: &[String],
        by_proxy: bool,
    ) -> Result<Option<Self>, GitError> {
        let host = address.host.trim_end_matches('.');
        if host == own.host.trim_end_matches('.') || listed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return Ok(None);
        }
        let net = |text: &String| {
            text.parse()
                .ok()
                .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        let reach = Self {
            nets: listed.iter().filter_map(net).collect(),
        };
        if host == "localhost" || host.ends_with(".localhost") {
            return Err(refused(host));
        }
        match host.parse::<IpAddr>() {
            Ok(ip) => reach.require(host, &[SocketAddr::new(ip, address.port)]).map(|()| None),
            Err(_) => Ok(Some(reach).filter(|_| !by_proxy)),
        }
    }

    /// Refuses a host of which one address is out of reach.
    pub(super) fn require(&self, host: &str, found: &[SocketAddr]) -> Result<(), GitError> {
        let allowed = |ip: IpAddr| is_public(ip) || self.nets.iter().any(|net| net.contains(&ip.to_canonical()));
        if found.iter().all(|address| allowed(address.ip())) {
            return Ok(());
        }
        Err(refused(host))
    }
}

fn refused(host: &str) -> GitError {
    let message = format!("its host {host} is on this machine or in a private network, where no submodule may lead");
    GitError::new(GitErrorKind::Submodule, message)
        .hint(format!("if it should, add \"{host}\" to `submodule_hosts` of the repo"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::line::look_up;

    fn may(url: &str, own: &str, listed: &[&str]) -> bool {
        let listed: Vec<String> = listed.iter().map(|text| (*text).to_owned()).collect();
        let (address, own) = (Address::parse(url).unwrap(), Address::parse(own).unwrap());
        match Reach::judge(&address, &own, &listed, false) {
            Ok(None) => true,
            Ok(Some(reach)) => {
                let found = look_up(&address.host, address.port).unwrap_or_default();
                reach.require(&address.host, &found).is_ok()
            }
            Err(_) => false,
        }
    }

    #[test]
    fn what_is_nobodys_on_the_internet_is_out_of_reach() {
        for host in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "[::]",
            "[::1]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "[2001::1]",
        ] {
            for url in [
                format!("http://{host}/a"),
                format!("ssh://git@{host}/a"),
                format!("git@{host}:a"),
            ] {
                if Address::parse(&url).is_some() {
                    assert!(!may(&url, "https://github.com/a/b", &[]), "{url}");
                }
            }
        }
        for host in [
            "8.8.8.8",
            "1.1.1.1",
            "172.32.0.1",
            "[2606:4700::1111]",
            "no-such-host.invalid",
        ] {
            assert!(
                may(&format!("https://{host}/a"), "https://github.com/a/b", &[]),
                "{host}"
            );
        }
    }

    #[test]
    fn the_repos_own_host_and_what_is_listed_are_within_reach() {
        assert!(may("http://127.0.0.1:81/a", "http://127.0.0.1:80/b", &[]));
        assert!(!may("http://127.0.0.2/a", "http://127.0.0.1/b", &[]));
        assert!(may("http://10.0.0.1/a", "https://h/b", &["10.0.0.0/8"]));
        assert!(may("http://10.0.0.1/a", "https://h/b", &["10.0.0.1"]));
        assert!(!may("http://10.0.0.2/a", "https://h/b", &["10.0.0.1"]));
        assert!(may("http://localhost/a", "https://h/b", &["localhost"]));
    }
}
