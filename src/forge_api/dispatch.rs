//! GitHub's `repository_dispatch`: starts the workflows of a repository that wait for an event of this type.

use http::Method;
use serde_json::{Value, json};

use super::{Api, ApiError, Call, Purpose};

/// An event of our own.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// `event_type`, by which workflows choose.
    pub kind: &'a str,
    /// What the workflow reads as `github.event.client_payload`; GitHub takes at most ten keys.
    pub payload: &'a Value,
}

impl Api {
    /// Sends an event to the repository.
    pub async fn dispatch(&self, event: &Event<'_>) -> Result<(), ApiError> {
        let mut path = self.repository();
        path.push("dispatches");
        let body = json!({ "event_type": event.kind, "client_payload": event.payload });
        let call = Call {
            method: Method::POST,
            path,
            query: &[],
            body: Some(&body),
            purpose: Purpose::Dispatch,
        };
        self.call(call).await.map(drop)
    }
}
