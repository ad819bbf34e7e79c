//! `[forge.NAME]`: the APIs of forges, and what hookd reports there.

use super::ForgeKind;
use super::value::SecretSource;
use crate::model::spelled;

spelled! {
    /// `report`: what the forge is told of each push.
    pub Reporting "value of `report`" {
        /// The status of the commit.
        Status = "status",
        /// The deployment to an environment.
        Deployment = "deployment",
    }
}

/// `[repo.NAME.dispatch]`: which workflows at GitHub are started when a target went live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// `repo`: the repository that gets the event, `OWNER/NAME`.
    pub repo: String,
    /// `event`: the event's type.
    pub event: String,
}

/// `[forge.NAME]`: API of a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeApi {
    /// Which forge it is.
    pub kind: ForgeKind,
    /// `url`: base of the API; default: the forge's public one.
    pub url: Option<url::Url>,
    /// `token`; none for a forge that is asked for its ranges only. With `app_id` it is the App's private key.
    pub token: Option<SecretSource>,
    /// `app_id`: of a GitHub App.
    pub app_id: Option<String>,
    /// `ranges`: where it publishes the addresses of its webhooks; default: the forge's public place.
    pub ranges: Option<url::Url>,
}
