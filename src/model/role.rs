//! The role of a user.

use super::spelled;

spelled! {
    /// What a user may.
    pub Role "role" {
        /// Look at everything.
        View = "view",
        /// Look, and deploy, retry, roll back, cancel, pause, resume, replay.
        Act = "act",
    }
}
