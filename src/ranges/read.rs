//! Parses the networks that forges publish for their webhooks.

use ipnet::IpNet;
use serde::Deserialize;

use crate::config::ForgeKind;

/// GitLab.com's networks. Source: docs.gitlab.com, "GitLab.com settings", "IP range".
pub const GITLAB: &[&str] = &["34.74.90.64/28", "34.74.226.0/24"];

/// Shortest prefixes that are believed: a forge is no eighth of the Internet, and a mistake must not let everybody in.
const SHORTEST: (u8, u8) = (8, 16);

/// `GET /meta` of GitHub; all else in it is passed over.
#[derive(Deserialize)]
struct GitHub {
    hooks: Vec<IpNet>,
}

/// `https://ip-ranges.atlassian.com/`
#[derive(Deserialize)]
struct Atlassian {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    cidr: IpNet,
    #[serde(default)]
    product: Vec<String>,
    /// `ingress`, `egress`; older files did not say.
    #[serde(default)]
    direction: Vec<String>,
}

/// The networks in an answer; or why it can't be the right answer.
pub fn read(kind: ForgeKind, body: &[u8]) -> Result<Vec<IpNet>, String> {
    let wrong = |e: serde_json::Error| format!("the answer cannot be parsed: {e}");
    let networks: Vec<IpNet> = match kind {
        ForgeKind::Bitbucket => {
            let all: Atlassian = serde_json::from_slice(body).map_err(wrong)?;
            let ours = |item: &Item| {
                let sends = item.direction.is_empty() || item.direction.iter().any(|d| d == "egress");
                sends && item.product.iter().any(|p| p == "bitbucket")
            };
            all.items.into_iter().filter(ours).map(|item| item.cidr).collect()
        }
        _ => serde_json::from_slice::<GitHub>(body).map_err(wrong)?.hooks,
    };
    plausible(networks)
}

/// The networks, unless there are none or one of them is far too large.
pub fn plausible(networks: Vec<IpNet>) -> Result<Vec<IpNet>, String> {
    let shortest = |net: &IpNet| match net {
        IpNet::V4(_) => SHORTEST.0,
        IpNet::V6(_) => SHORTEST.1,
    };
    if let Some(huge) = networks.iter().find(|net| net.prefix_len() < shortest(net)) {
        return Err(format!("the answer holds {huge}, which no forge owns"));
    }
    if networks.is_empty() {
        return Err("the answer holds no networks".to_owned());
    }
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: ForgeKind, body: &str) -> Result<Vec<String>, String> {
        read(kind, body.as_bytes()).map(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn github_publishes_hooks() {
        let body = r#"{"verifiable_password_authentication": false, "ssh_keys": ["a"], "hooks": ["192.30.252.0/22", "2a0a:a440::/29"],
            "actions": ["1.2.3.0/24"], "domains": {"website": ["*.github.com"]}}"#;
        assert_eq!(
            shown(ForgeKind::GitHub, body).unwrap(),
            ["192.30.252.0/22", "2a0a:a440::/29"]
        );
    }

    #[test]
    fn atlassian_publishes_everything_and_bitbuckets_senders_count() {
        let body = r#"{"creationDate": "2026-11-20", "syncToken": 1, "items": [
            {"network": "13.52.5.96", "mask_len": 28, "cidr": "13.52.5.96/28", "mask": "255.255.255.240",
             "region": ["us-west-1"], "product": ["bitbucket", "jira"], "direction": ["ingress", "egress"]},
            {"cidr": "13.1.0.0/24", "product": ["bitbucket"], "direction": ["ingress"]},
            {"cidr": "13.2.0.0/24", "product": ["jira"], "direction": ["egress"]},
            {"cidr": "2401:1d80::/40", "product": ["bitbucket"]}]}"#;
        assert_eq!(
            shown(ForgeKind::Bitbucket, body).unwrap(),
            ["13.52.5.96/28", "2401:1d80::/40"]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for body in [
            "",
            "{}",
            "<html>",
            r#"{"hooks": []}"#,
            r#"{"hooks": ["0.0.0.0/0"]}"#,
            r#"{"hooks": ["10.0.0.0/8", "::/0"]}"#,
            r#"{"hooks": ["github.com"]}"#,
            r#"{"hooks": "10.0.0.0/8"}"#,
        ] {
            assert!(shown(ForgeKind::GitHub, body).is_err(), "{body}");
        }
        assert!(shown(ForgeKind::Bitbucket, r#"{"items": []}"#).is_err());
    }

    #[test]
    fn the_constants_are_networks() {
        assert!(GITLAB.iter().all(|net| net.parse::<IpNet>().is_ok()));
    }
}
