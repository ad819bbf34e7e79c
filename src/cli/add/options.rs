//! The arguments of `hookd add`.

use std::path::PathBuf;

use clap::Args;

/// `hookd add`
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Add {
    /// The repository, as `git clone` takes it. An ssh URL gets a deploy key.
    pub url: String,
    /// Name of the repo; default: the last part of the URL.
    #[arg(long)]
    pub name: Option<String>,
    /// The branch to follow.
    #[arg(long, default_value = "main")]
    pub branch: String,
    /// Follow the tags of this pattern instead: `v*`.
    #[arg(long, value_name = "PATTERN", conflicts_with = "branch")]
    pub tag: Option<String>,
    /// Name of the target.
    #[arg(long, default_value = "production")]
    pub target: String,
    /// The target's directory; default: /srv/NAME.
    #[arg(long, value_name = "DIRECTORY")]
    pub path: Option<PathBuf>,
    /// Shell line that builds a release, before it is live.
    #[arg(long, value_name = "LINE")]
    pub build: Option<String>,
    /// Shell line that runs after a release went live.
    #[arg(long, value_name = "LINE")]
    pub reload: Option<String>,
    /// URL that must answer 2xx, or shell line that must succeed; else the previous release comes back.
    #[arg(long, value_name = "URL|LINE")]
    pub check: Option<String>,
    /// The forge: github, gitlab, gitea, …; default: detected from the URL.
    #[arg(long)]
    pub forge: Option<String>,
    /// Name at the forge, `alice/blog`, if it is not the path of the URL.
    #[arg(long, value_name = "OWNER/NAME")]
    pub full_name: Option<String>,
    /// URL by which the forge reaches hookd: `https://blog.example.org`, with the path if it is not /hook/NAME.
    #[arg(long, value_name = "URL")]
    pub hook_url: Option<String>,
    /// Create webhook and deploy key at the forge with this token: `file:PATH` or `env:VARIABLE`. It is not kept.
    #[arg(long, value_name = "SOURCE")]
    pub token: Option<String>,
    /// Base URL of the forge's API; default: derived from forge and host.
    #[arg(long, value_name = "URL")]
    pub api: Option<url::Url>,
    /// Fingerprint of the remote's host key, `SHA256:…`, if no forge publishes it.
    #[arg(long, value_name = "FINGERPRINT")]
    pub accept_host_key: Option<String>,
    /// Replace the webhook's secret, here and at the forge; both are good until a delivery with the new one came. Needs `--token`.
    #[arg(long, requires = "token")]
    pub rotate: bool,
    /// Don't wait for the forge's test delivery and the first deployment.
    #[arg(long)]
    pub no_wait: bool,
    /// Print the webhook's secret; on a terminal only.
    #[arg(long)]
    pub show_secret: bool,
    /// Only print what would be created.
    #[arg(long)]
    pub dry_run: bool,
}
