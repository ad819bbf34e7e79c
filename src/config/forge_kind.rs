//! The forges by name and by host.

use std::fmt;
use std::str::FromStr;

use super::suggest;

/// A word that names no forge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown forge `{word}`")]
pub struct UnknownForge {
    /// The word.
    pub word: String,
    /// The forge that may have been meant.
    pub suggestion: Option<ForgeKind>,
}

macro_rules! forges {
    ($($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        /// The forges whose dialect hookd speaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ForgeKind { $($(#[$doc])* $variant),+ }

        impl ForgeKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that the configuration, the command line and the journal use.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

forges! {
    /// `github`
    GitHub = "github",
    /// `gitlab`
    GitLab = "gitlab",
    /// `gitea`
    Gitea = "gitea",
    /// `forgejo`
    Forgejo = "forgejo",
    /// `gogs`
    Gogs = "gogs",
    /// `bitbucket`
    Bitbucket = "bitbucket",
    /// `bitbucket-server`
    BitbucketServer = "bitbucket-server",
    /// `azure-devops`
    AzureDevOps = "azure-devops",
    /// `sourcehut`
    SourceHut = "sourcehut",
    /// `pagure`
    Pagure = "pagure",
    /// `gitee`
    Gitee = "gitee",
    /// `standard`: Standard Webhooks
    Standard = "standard",
    /// `generic`: header, algorithm and JSON pointers by configuration
    Generic = "generic",
}

impl ForgeKind {
    /// The forge behind a public host name in lower case; none for a host that anybody may run.
    pub fn of_host(host: &str) -> Option<Self> {
        Some(match host {
            // `ssh.github.com` and `altssh.…` answer on port 443, for networks that close port 22.
            "github.com" | "ssh.github.com" => Self::GitHub,
            "gitlab.com" | "altssh.gitlab.com" => Self::GitLab,
            "bitbucket.org" | "altssh.bitbucket.org" => Self::Bitbucket,
            "codeberg.org" => Self::Forgejo,
            "dev.azure.com" | "ssh.dev.azure.com" => Self::AzureDevOps,
            "gitee.com" => Self::Gitee,
            "git.sr.ht" => Self::SourceHut,
            "pagure.io" | "src.fedoraproject.org" => Self::Pagure,
            other if other.ends_with(".visualstudio.com") => Self::AzureDevOps,
            _ => return None,
        })
    }
}

impl FromStr for ForgeKind {
    type Err = UnknownForge;
    fn from_str(text: &str) -> Result<Self, UnknownForge> {
        let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            let near = suggest::nearest(text, Self::ALL.iter().map(|kind| kind.as_str()));
            let suggestion = Self::ALL.iter().copied().find(|kind| Some(kind.as_str()) == near);
            UnknownForge {
                word: text.to_owned(),
                suggestion,
            }
        })
    }
}

impl fmt::Display for ForgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_forge() {
        assert_eq!(ForgeKind::ALL.len(), 13);
        for kind in ForgeKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
    }

    #[test]
    fn a_misspelt_forge_is_guessed() {
        let error = "gihtub".parse::<ForgeKind>().unwrap_err();
        assert_eq!(error.suggestion, Some(ForgeKind::GitHub));
        assert_eq!("svn".parse::<ForgeKind>().unwrap_err().suggestion, None);
    }

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
}
