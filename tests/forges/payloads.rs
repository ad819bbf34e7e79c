//! Every recorded payload is recognised, with its header and without, and says what it is known to say.

use std::collections::BTreeMap;

use hookd::forge::{self, Delivery, Parsed, Trust, verify};
use hookd::model::{CommitId, Event};
use http::HeaderMap;

use crate::support::{Fixture, NOW, fixtures, repo, table};

/// Read as a repo without any check would read it.
fn parsed(fixture: &Fixture) -> Parsed {
    let open = hookd::config::Repo {
        secret: vec![hookd::config::SecretSource::InsecureNone],
        ..repo("open", "any/thing")
    };
    let trust = Trust::of(&open, &[], NOW);
    let delivery = Delivery {
        headers: &fixture.headers,
        body: &fixture.body,
    };
    let verified = verify(&delivery, &trust).unwrap_or_else(|error| panic!("{}: {error}", fixture.path));
    assert!(!verified.is_signed());
    forge::parse(&verified).unwrap_or_else(|error| panic!("{}: {error}", fixture.path))
}

/// What `kind` of the manifest means for the kind of the event.
fn expected_kind(fixture: &Fixture) -> &'static str {
    let kind = fixture.kind.as_str();
    let is = |words: &[&str]| words.iter().any(|word| kind.starts_with(word));
    if is(&["branch-", "receive."]) {
        "branch"
    } else if is(&["tag-"]) {
        "tag"
    } else if is(&["ping", "diagnostics:ping"]) {
        "ping"
    } else if is(&["release."]) {
        "release"
    } else if is(&[
        "status",
        "check_",
        "workflow_run",
        "workflow_job",
        "pipeline",
        "repo:commit_status",
        "action_run",
        "build",
    ]) {
        "ci"
    } else {
        "other"
    }
}

#[test]
fn every_payload_is_understood_with_its_header() {
    let all = fixtures();
    assert!(all.len() >= 177, "{} payloads", all.len());
    for fixture in all {
        let parsed = parsed(&fixture);
        assert_eq!(parsed.forge.as_str(), fixture.forge, "{}", fixture.path);
        assert_eq!(parsed.events.len(), 1, "{}", fixture.path);
        assert_eq!(
            parsed.events[0].kind.as_str(),
            expected_kind(&fixture),
            "{}",
            fixture.path
        );
    }
}

/// Bodies of Forgejo in which nothing is there that Gitea would not write too; both speak the same dialect.
const INDISTINGUISHABLE: &[&str] = &["forgejo/pull_request.woodpecker-updated.json"];

#[test]
fn every_payload_is_understood_without_headers() {
    for fixture in fixtures() {
        let without = forge::parse_unverified(&HeaderMap::new(), &fixture.body, None, None)
            .unwrap_or_else(|error| panic!("{}: {error}", fixture.path));
        let expected = if INDISTINGUISHABLE.contains(&fixture.path.as_str()) {
            "gitea"
        } else {
            &fixture.forge
        };
        assert_eq!(without.forge.as_str(), expected, "{}", fixture.path);
        let with = parsed(&fixture);
        let facts = |event: &Event| {
            (
                event.kind,
                event.repo.clone(),
                event.git_ref.clone(),
                event.after.clone(),
            )
        };
        let both = (facts(&without.events[0]), facts(&with.events[0]));
        assert_eq!(both.0, both.1, "{}", fixture.path);
    }
}

#[test]
fn ref_changes_are_as_expected() {
    let by_path: BTreeMap<_, _> = fixtures()
        .into_iter()
        .map(|fixture| (fixture.path.clone(), fixture))
        .collect();
    for row in table("EXPECTED.tsv") {
        let [path, index, repo, git_ref, before, after] = &row[..6] else {
            panic!("{row:?}")
        };
        let parsed = parsed(&by_path[path]);
        let event = &parsed.events[index.parse::<usize>().unwrap()];
        let said = |id: &Option<CommitId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
        if !repo.is_empty() {
            assert_eq!(event.repo.as_ref(), Some(repo), "{path}");
        }
        assert_eq!(event.git_ref.as_ref(), Some(git_ref), "{path}");
        if !before.is_empty() {
            assert_eq!(said(&event.before), *before, "{path}");
        }
        if !after.is_empty() {
            assert_eq!(said(&event.after), *after, "{path}");
        }
    }
}

#[test]
fn the_full_name_is_found_before_anything_is_checked() {
    for fixture in fixtures() {
        let parsed = parsed(&fixture);
        assert_eq!(
            forge::full_name(&fixture.headers, &fixture.body),
            parsed.events[0].repo.clone().map(|name| (parsed.forge, name)),
            "{}",
            fixture.path
        );
    }
}

#[test]
fn the_bodies_of_one_event_do_not_pass_for_another() {
    // Event headers are not signed: a captured body could be sent again under another name.
    let names = [
        "push",
        "create",
        "delete",
        "release",
        "ping",
        "workflow_run",
        "check_run",
        "check_suite",
        "status",
        "deployment",
    ];
    for fixture in fixtures().into_iter().filter(|fixture| fixture.forge == "github") {
        let own = fixture.headers["x-github-event"].to_str().unwrap().to_owned();
        for name in names.into_iter().filter(|name| *name != own) {
            let headers = crate::support::headers(&[("X-GitHub-Event", name)]);
            let replayed = forge::parse_unverified(&headers, &fixture.body, None, None);
            assert!(replayed.is_err(), "{} passes for {name}: {replayed:?}", fixture.path);
        }
    }
}

#[test]
fn no_body_does_more_under_another_name_than_under_its_own() {
    // The documentation's example for all events of pull requests is in no state: "OPEN|MERGED|DECLINED".
    let of_none = |fixture: &Fixture| fixture.body.windows(7).any(|part| part == b"|MERGED");
    let all: Vec<Fixture> = fixtures()
        .into_iter()
        .filter(|fixture| !fixture.headers.is_empty() && !of_none(fixture))
        .collect();
    for fixture in &all {
        // What could be done about an event: nothing, unless it moves a ref or ended well.
        let matters = |parsed: &Parsed| -> Vec<(String, Option<String>)> {
            let moved =
                |event: &Event| event.kind.as_str() != "ping" && event.after.as_ref().is_some_and(|id| !id.is_zero());
            let of_ref = |event: &Event| matches!(event.kind.as_str(), "branch" | "tag") && moved(event);
            let that = parsed.events.iter().filter(|event| event.success || of_ref(event));
            that.map(|event| (event.name.clone(), event.git_ref.clone())).collect()
        };
        let own = matters(&parsed(fixture));
        let of_forge = all.iter().filter(|other| other.forge == fixture.forge);
        for other in of_forge {
            if let Ok(replayed) = forge::parse_unverified(&other.headers, &fixture.body, None, None) {
                let does = matters(&replayed);
                let fits = does.is_empty() || does == own;
                assert!(fits, "{} as {:?}: {does:?}", fixture.path, other.headers);
            }
        }
    }
}

#[test]
fn github_bodies_that_carry_other_events_objects() {
    // Deployments of Actions bring their run along, reviews their pull request.
    let named = |body: serde_json::Value| {
        let parsed = forge::parse_unverified(&HeaderMap::new(), body.to_string().as_bytes(), None, None).unwrap();
        parsed.event
    };
    let repository = serde_json::json!({"full_name": "a/b", "url": "https://api.github.com/repos/a/b"});
    for (key, other, expected) in [
        ("deployment", "workflow_run", "deployment"),
        ("reviewers", "workflow_run", "deployment_review"),
        ("thread", "pull_request", "pull_request_review_thread"),
        ("comment", "pull_request", "pull_request_review_comment"),
        ("review", "pull_request", "pull_request_review"),
    ] {
        let body = serde_json::json!({"action": "completed", "repository": repository, key: {}, other: {"conclusion": "success"}});
        assert_eq!(named(body.clone()), expected);
        let headers = crate::support::headers(&[("X-GitHub-Event", other)]);
        let replayed = forge::parse_unverified(&headers, body.to_string().as_bytes(), None, None);
        if key != "thread" {
            assert_eq!(replayed, Err(forge::ParseError::ShapeMismatch), "{key}");
        }
    }
}
