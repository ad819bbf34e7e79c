//! The forges: the one table of them, and a file for each with everything that hookd has to know of it.
//!
//! Pure: no I/O, no clock, no configuration. [`crate::forge`] takes a delivery through it.

mod azure;
mod bitbucket;
mod bitbucket_server;
mod dialect;
mod error;
mod fields;
mod forgejo;
mod generic;
mod gitea;
mod gitee;
mod github;
mod gitlab;
mod gogs;
mod hub;
mod pagure;
mod request;
mod rule;
mod sample;
mod scheme;
mod signing;
mod sourcehut;
mod standard;

pub use dialect::{Dialect, Named};
pub use error::{CannotSign, ParseError, Rejection};
pub use fields::{addresses, header, text};
pub use generic::read as read_generic;
pub use request::Request;
pub use rule::{Encoding, Generic, HashAlgorithm};
pub use sample::{Sample, put};
pub use scheme::{VERSIONS, algorithm, algorithm_name, burn, versions};
pub use signing::{Headers, Signing};

use crate::model::spelled;

macro_rules! forges {
    ($($(#[$doc:meta])* $variant:ident = $file:ident $word:literal),+ $(,)?) => {
        spelled! {
            /// The forges whose dialect hookd speaks; the word is that of the configuration, the command line and the journal.
            pub ForgeKind "forge" { $($(#[$doc])* $variant = $word),+ }
        }

        impl ForgeKind {
            /// What it has to say of itself.
            pub fn dialect(self) -> &'static Dialect {
                match self { $(Self::$variant => &$file::DIALECT),+ }
            }
        }
    };
}

// A forge stands behind those that it descends from, whose headers it sends too: deliveries are compared with the table from
// its end.
forges! {
    /// github.com, Enterprise Server, and GitHub Apps
    GitHub = github "github",
    /// Gogs
    Gogs = gogs "gogs",
    /// Gitea
    Gitea = gitea "gitea",
    /// Forgejo
    Forgejo = forgejo "forgejo",
    /// GitLab: project, group and system hooks
    GitLab = gitlab "gitlab",
    /// Bitbucket Cloud
    Bitbucket = bitbucket "bitbucket",
    /// Bitbucket Server and Data Center
    BitbucketServer = bitbucket_server "bitbucket-server",
    /// Azure DevOps
    AzureDevOps = azure "azure-devops",
    /// `SourceHut`
    SourceHut = sourcehut "sourcehut",
    /// Pagure
    Pagure = pagure "pagure",
    /// Gitee
    Gitee = gitee "gitee",
    /// Standard Webhooks
    Standard = standard "standard",
    /// Header, algorithm and JSON pointers by configuration
    Generic = generic "generic",
}

impl ForgeKind {
    /// The forge behind a public host name in lower case; none for a host that anybody may run.
    pub fn of_host(host: &str) -> Option<Self> {
        Self::found(|dialect| {
            let below = |domain: &&str| host.strip_suffix(*domain).is_some_and(|host| host.ends_with('.'));
            dialect.hosts.contains(&host) || dialect.domains.iter().any(below)
        })
    }

    /// The last forge of the table that fits.
    pub fn found(fits: impl Fn(&Dialect) -> bool) -> Option<Self> {
        Self::ALL.iter().rev().copied().find(|kind| fits(kind.dialect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_tell_their_forge() {
        for (host, kind) in [
            ("github.com", Some(ForgeKind::GitHub)),
            ("codeberg.org", Some(ForgeKind::Forgejo)),
            ("alice.visualstudio.com", Some(ForgeKind::AzureDevOps)),
            ("git.sr.ht", Some(ForgeKind::SourceHut)),
            ("src.fedoraproject.org", Some(ForgeKind::Pagure)),
            ("github.com.evil.example", None),
            ("notvisualstudio.com", None),
        ] {
            assert_eq!(ForgeKind::of_host(host), kind, "{host}");
        }
    }

    #[test]
    fn headers_that_may_be_stored_hold_no_secret() {
        for dialect in ForgeKind::ALL.iter().map(|kind| kind.dialect()) {
            let stored = dialect
                .kept
                .iter()
                .chain(dialect.delivery.iter().filter_map(|named| match named {
                    Named::Header(name) => Some(name),
                    _ => None,
                }));
            for name in stored {
                let plain = name.to_ascii_lowercase();
                assert!(
                    !dialect.marks.contains(&&*plain) && !dialect.hex.contains(&&*plain),
                    "{name}"
                );
                assert!(
                    !["token", "signature", "authorization"]
                        .iter()
                        .any(|word| plain.contains(word)),
                    "{name}"
                );
            }
        }
    }
}
