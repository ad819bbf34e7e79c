//! Any body with any headers, read as each forge's: no panic, and nothing in what people are told that a terminal would obey.

use hookd::explain::explain;
use hookd::forge::{self, Delivery};
use hookd::rules::{Decision, judge};

use super::request::{self, NOW};

/// A byte for the forge, then a request.
pub fn run(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let (headers, body) = request::parse(rest);
    let forge = request::chosen_forge(*choice);
    let repo = request::chosen_repo(*choice);
    let _ = forge::unsupported_algorithm(&headers);
    let _ = forge::full_name(&headers, body);
    let _ = forge::is_unsigned_ping(&Delivery {
        headers: &headers,
        body,
    });
    for (_, value) in forge::stored_headers(&headers) {
        assert!(!value.is_empty() && !value.contains(char::is_control));
    }
    if let Ok(parsed) = forge::parse_unverified(&headers, body, forge, Some(&repo.generic)) {
        harmless(&parsed.event);
        for verdict in judge(repo, &parsed) {
            harmless(&verdict.reason);
            for condition in &verdict.conditions {
                harmless(&condition.detail);
            }
            if let Decision::Deploy { git_ref, pusher, .. } = &verdict.decision {
                assert!(verdict.conditions.iter().all(|condition| condition.passed));
                harmless(git_ref.as_str());
                harmless(pusher.as_deref().unwrap_or_default());
            }
        }
    }
    let explanation = explain(&headers, body, forge, None, NOW);
    for line in explanation.to_string().lines() {
        harmless(line);
    }
    assert!(serde_json::to_string(&explanation).is_ok());
}

#[track_caller]
fn harmless(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
