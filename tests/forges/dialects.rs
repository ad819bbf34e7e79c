//! What the recorded payloads do not have: made after the forges' documentation.

use hookd::config::{ForgeKind, Generic};
use hookd::forge::{ParseError, Parsed, full_name, parse_unverified, restored_headers, stored_headers};
use hookd::model::{Action, EventKind};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::support::{generic, headers, payload};

fn said(pairs: &[(&str, &str)], body: &Value) -> Result<Parsed, ParseError> {
    parse_unverified(&headers(pairs), body.to_string().as_bytes(), None, None)
}

fn one(number: char) -> String {
    number.to_string().repeat(40)
}

/// `kind action ref before after`, the commits by their first digit.
fn facts(parsed: &Parsed) -> Vec<String> {
    let digit = |id: &Option<hookd::model::CommitId>| id.as_ref().map_or('-', |id| id.as_str().chars().next().unwrap());
    let fact = |event: &hookd::model::Event| {
        let git_ref = event.git_ref.as_deref().unwrap_or("-");
        format!(
            "{} {} {} {git_ref} {} {}",
            event.name,
            event.kind.as_str(),
            event.action.as_str(),
            digit(&event.before),
            digit(&event.after)
        )
    };
    parsed.events.iter().map(fact).collect()
}

#[test]
fn several_changes_in_one_delivery() {
    let end = |kind: &str, name: &str, digit| json!({"type": kind, "name": name, "target": {"hash": one(digit), "message": "m"}});
    let cloud = json!({"actor": {"nickname": "ann"}, "repository": {"full_name": "a/b", "uuid": "{1}"}, "push": {"changes": [
        {"old": end("branch", "main", '1'), "new": end("branch", "main", '2'), "forced": true},
        {"old": null, "new": end("tag", "v1", '2'), "created": true, "forced": false},
        {"old": end("branch", "old", '3'), "new": null, "closed": true, "forced": false},
    ]}});
    let parsed = said(&[("X-Event-Key", "repo:push"), ("X-Request-UUID", "u-1")], &cloud).unwrap();
    let expected = [
        "push branch update refs/heads/main 1 2",
        "push tag create refs/tags/v1 0 2",
        "push branch delete refs/heads/old 3 0",
    ];
    assert_eq!(facts(&parsed), expected);
    assert_eq!(parsed.events[0].forced, Some(true));
    assert_eq!(parsed.delivery.unwrap().as_str(), "u-1");

    let azure = json!({"id": "d-1", "eventType": "git.push", "resource": {
    "repository": {"name": "My Repo", "project": {"name": "My Project"}}, "pushedBy": {"uniqueName": "ann@x"},
    "refUpdates": [
        {"name": "refs/heads/main", "oldObjectId": one('1'), "newObjectId": one('2')},
        {"name": "refs/tags/v1", "oldObjectId": one('0'), "newObjectId": one('2')},
        {"name": "refs/heads/gone", "oldObjectId": one('3'), "newObjectId": one('0')},
    ]}});
    let parsed = said(&[], &azure).unwrap();
    assert_eq!(
        facts(&parsed),
        [
            "push branch update refs/heads/main 1 2",
            "push tag create refs/tags/v1 0 2",
            "push branch delete refs/heads/gone 3 0"
        ]
    );
    assert_eq!(parsed.events[0].repo.as_deref(), Some("My Project/My Repo"));
    assert_eq!(parsed.delivery.unwrap().as_str(), "d-1");
    assert_eq!(
        said(&[("X-Event-Key", "repo:push")], &json!({"push": {"changes": []}}))
            .unwrap()
            .events,
        []
    );
}

#[test]
fn azure_with_minimal_details_is_a_push_of_nobody_knows_what() {
    let parsed = said(
        &[],
        &json!({"id": "1", "eventType": "git.push", "publisherId": "tfs", "resource": {}}),
    )
    .unwrap();
    assert_eq!(
        (parsed.events[0].kind, &parsed.events[0].git_ref),
        (EventKind::Other, &None)
    );
}

#[test]
fn sourcehut_by_rest_and_by_graphql() {
    let rest = json!({"push": "u", "push-options": {}, "pusher": {"canonical_name": "~ann", "name": "ann"}, "refs": [
        {"name": "refs/heads/master", "old": {"id": one('1'), "message": "m"}, "new": {"id": one('2'), "message": "n"}},
        {"name": "refs/tags/v1", "old": null, "new": {"id": one('2')}},
    ]});
    let expected = [
        "push branch update refs/heads/master 1 2",
        "push tag create refs/tags/v1 0 2",
    ];
    for pairs in [
        &[("X-Webhook-Event", "repo:post-update"), ("X-Webhook-Delivery", "d-1")][..],
        &[],
    ] {
        let parsed = said(pairs, &rest).unwrap();
        assert_eq!(parsed.forge, ForgeKind::SourceHut);
        assert_eq!(facts(&parsed), expected);
        assert_eq!(
            (parsed.events[0].repo.as_deref(), parsed.events[0].pusher.as_deref()),
            (None, Some("~ann"))
        );
        assert_eq!(parsed.events[0].head_message.as_deref(), Some("n"));
    }
    let graphql = json!({"data": {"webhook": {"uuid": "u", "event": "GIT_POST_RECEIVE", "updates": [
        {"ref": {"name": "refs/heads/master"}, "old": {"id": one('1')}, "new": {"id": one('2')}},
        {"ref": {"name": "refs/heads/gone"}, "old": {"id": one('1')}, "new": null},
        {"ref": {"name": "refs/heads/unasked"}, "new": {"id": one('2')}},
    ], "repository": {"name": "site", "owner": {"canonicalName": "~ann"}}}}});
    for pairs in [&[("X-Webhook-Event", "GIT_POST_RECEIVE")][..], &[]] {
        let parsed = said(pairs, &graphql).unwrap();
        assert_eq!(
            facts(&parsed),
            [
                "push branch update refs/heads/master 1 2",
                "push branch delete refs/heads/gone 1 0",
                "push branch update refs/heads/unasked - 2"
            ]
        );
        assert_eq!(parsed.events[0].repo.as_deref(), Some("~ann/site"));
    }
}

#[test]
fn standard_and_generic_senders() {
    let data = json!({"ref": "main", "before": one('1'), "after": one('2'), "repository": {"full_name": "a/b"}});
    let parsed = said(
        &[("webhook-id", "m1"), ("webhook-signature", "v1,AA==")],
        &json!({"type": "site.updated", "data": data}),
    )
    .unwrap();
    assert_eq!(
        (parsed.forge, parsed.event.as_str()),
        (ForgeKind::Standard, "site.updated")
    );
    assert_eq!(facts(&parsed), ["push branch update refs/heads/main 1 2"]);
    let ping = said(
        &[],
        &json!({"type": "ping", "timestamp": "2026-01-01T00:00:00Z", "data": {}}),
    )
    .unwrap();
    assert_eq!(ping.events[0].kind, EventKind::Ping);

    let pointers = Generic {
        repo: "/project".into(),
        git_ref: "/change/branch".into(),
        commit: "/change/rev".into(),
        ..generic()
    };
    let body = json!({"project": "a/b", "change": {"branch": "main", "rev": one('2')}}).to_string();
    let read = |body: &str| {
        parse_unverified(
            &headers(&[("X-Delivery", "7")]),
            body.as_bytes(),
            Some(ForgeKind::Generic),
            Some(&pointers),
        )
    };
    let parsed = read(&body).unwrap();
    assert_eq!(facts(&parsed), ["push branch update refs/heads/main - 2"]);
    assert_eq!(
        (parsed.events[0].repo.as_deref(), parsed.delivery.unwrap().as_str()),
        (Some("a/b"), "7")
    );
    assert_eq!(read("{}"), Err(ParseError::MissingField("/change/branch".into())));
}

#[test]
fn refs_of_sha256_repositories() {
    let (zero, after) = ("0".repeat(64), "a".repeat(64));
    let body = json!({"ref": "refs/heads/main", "before": zero, "after": after, "commits": [], "repository": {"full_name": "a/b"}});
    let parsed = said(&[("X-Forgejo-Event", "push"), ("X-GitHub-Event", "push")], &body).unwrap();
    assert_eq!(parsed.forge, ForgeKind::Forgejo);
    assert_eq!(parsed.events[0].action, Action::Create);
    assert_eq!(parsed.events[0].after.as_ref().unwrap().as_str(), after);
}

#[test]
fn gitea_deletes_a_tag_with_a_push() {
    let body = json!({"ref": "refs/tags/v1", "before": one('1'), "after": one('0'), "commits": [], "total_commits": 0,
        "repository": {"full_name": "a/b"}, "pusher": {"login": "ann", "username": "ann"}});
    let parsed = said(&[("X-Gitea-Event", "push"), ("X-Gitea-Delivery", "g-1")], &body).unwrap();
    assert_eq!(facts(&parsed), ["push tag delete refs/tags/v1 1 0"]);
    let gone =
        json!({"ref": "refs/tags/v1", "ref_type": "tag", "pusher_type": "user", "repository": {"full_name": "a/b"}});
    for (name, event) in [
        ("X-Gitea-Event", "delete"),
        ("X-Forgejo-Event", "delete"),
        ("X-Gogs-Event", "delete"),
    ] {
        assert_eq!(
            facts(&said(&[(name, event)], &gone).unwrap()),
            ["delete tag delete refs/tags/v1 - 0"]
        );
    }
}

#[test]
fn new_tags_of_gogs_and_pagure_count_as_pushes() {
    let body = json!({"ref": "v1", "ref_type": "tag", "sha": one('1'), "default_branch": "main", "repository": {"full_name": "a/b"}});
    assert_eq!(
        facts(&said(&[("X-Gogs-Event", "create")], &body).unwrap()),
        ["push tag create refs/tags/v1 0 1"]
    );
    assert_eq!(
        facts(&said(&[("X-Gitea-Event", "create")], &body).unwrap()),
        ["create tag create refs/tags/v1 0 1"]
    );
    let parsed = parse_unverified(
        &HeaderMap::new(),
        &payload("pagure/tag-creation.annotated.lab.json"),
        None,
        None,
    )
    .unwrap();
    assert_eq!(facts(&parsed), ["push tag create refs/tags/v1 0 4"]);
    let gone = parse_unverified(
        &HeaderMap::new(),
        &payload("pagure/branch-deletion.lab.json"),
        None,
        None,
    )
    .unwrap();
    assert_eq!(facts(&gone), ["delete branch delete refs/heads/feat/x b 0"]);
    let topic =
        json!({"topic": "git.tag.deletion", "msg": {"tag": "v1", "rev": one('1'), "project_fullname": "ns/site"}});
    assert_eq!(
        facts(&said(&[("X-Pagure-Topic", "git.tag.deletion")], &topic).unwrap()),
        ["delete tag delete refs/tags/v1 1 0"]
    );
    assert_eq!(
        said(&[("X-Pagure-Topic", "git.receive")], &topic),
        Err(ParseError::ShapeMismatch)
    );
    // A tag that moved comes under its full name in the place of a branch.
    let moved = json!({"topic": "git.receive", "msg": {"branch": "refs/tags/v1", "old_commit": one('1'), "end_commit": one('2'),
        "forced": true, "project_fullname": "ns/site"}});
    assert_eq!(
        facts(&said(&[("X-Pagure-Topic", "git.receive")], &moved).unwrap()),
        ["push tag update refs/tags/v1 1 2"]
    );
}

#[test]
fn ci_of_forks_and_pull_requests_is_foreign() {
    let run = |event: &str, head: &str| {
        let body = json!({"action": "completed", "repository": {"full_name": "a/b"}, "workflow_run": {"name": "CI", "event": event,
            "conclusion": "success", "head_branch": "main", "head_sha": one('1'), "head_repository": {"full_name": head}}});
        let parsed = said(&[("X-GitHub-Event", "workflow_run")], &body).unwrap();
        (parsed.events[0].success, parsed.events[0].foreign)
    };
    assert_eq!(run("push", "a/b"), (true, false));
    assert_eq!(run("push", "A/B"), (true, false));
    assert_eq!(run("push", "mallory/b"), (true, true));
    assert_eq!(run("pull_request", "a/b"), (true, true));
    assert_eq!(run("pull_request_target", "mallory/b"), (true, true));
    assert_eq!(run("issue_comment", "a/b"), (true, true));

    let suite = json!({"action": "completed", "repository": {"full_name": "a/b"},
        "check_suite": {"conclusion": "success", "head_branch": null, "head_sha": one('1'), "pull_requests": []}});
    assert!(said(&[("X-GitHub-Event", "check_suite")], &suite).unwrap().events[0].foreign);

    let pipeline = |source: &str, from: u32| {
        let body = json!({"object_kind": "pipeline", "project": {"path_with_namespace": "a/b"},
            "object_attributes": {"ref": "main", "tag": false, "sha": one('1'), "status": "success", "source": source},
            "merge_request": if from == 0 { Value::Null } else { json!({"source_project_id": from, "target_project_id": 1}) }});
        let parsed = said(&[("X-Gitlab-Event", "Pipeline Hook")], &body).unwrap();
        (parsed.events[0].success, parsed.events[0].foreign)
    };
    // Old versions do not tell the source; a merge request beside it does.
    assert_eq!(pipeline("", 0), (true, false));
    assert_eq!(pipeline("", 1), (true, true));
    assert_eq!(pipeline("push", 0), (true, false));
    assert_eq!(pipeline("push", 1), (true, false));
    assert_eq!(pipeline("push", 2), (true, true));
    assert_eq!(pipeline("merge_request_event", 1), (true, true));
    assert_eq!(pipeline("external_pull_request_event", 0), (true, true));
}

#[test]
fn a_conclusion_is_needed_for_success() {
    let run = |action: &str, conclusion: Value| {
        let body = json!({"action": action, "repository": {"full_name": "a/b"},
            "workflow_run": {"event": "push", "conclusion": conclusion, "head_branch": "main", "head_sha": one('1')}});
        let parsed = said(&[("X-GitHub-Event", "workflow_run")], &body).unwrap();
        (parsed.events[0].success, parsed.events[0].action.as_str().to_owned())
    };
    assert_eq!(run("completed", json!("success")), (true, "success".into()));
    assert_eq!(run("completed", Value::Null), (false, "completed".into()));
    assert_eq!(run("completed", json!("failure")), (false, "failure".into()));
    assert_eq!(run("in_progress", json!("success")), (false, "in_progress".into()));
}

#[test]
fn a_status_counts_for_the_branches_whose_tip_it_is() {
    let branch = |name: &str, tip| json!({"name": name, "commit": {"sha": one(tip)}});
    let body = json!({"sha": one('1'), "state": "success", "context": "ci/x", "repository": {"full_name": "a/b"},
        "branches": [branch("main", '1'), branch("old", '2'), branch("next", '1')]});
    let parsed = said(&[("X-GitHub-Event", "status")], &body).unwrap();
    assert_eq!(
        facts(&parsed),
        [
            "status ci success refs/heads/main - 1",
            "status ci success refs/heads/next - 1"
        ]
    );
    assert_eq!(parsed.events[0].check.as_deref(), Some("ci/x"));
}

#[test]
fn merged_requests_name_their_target() {
    for (path, header, event, git_ref) in [
        (
            "gitlab/merge_request.drone-merge.json",
            "X-Gitlab-Event",
            "Merge Request Hook",
            "refs/heads/master",
        ),
        (
            "gitea/pull_request.drone-merged.json",
            "X-Gitea-Event",
            "pull_request",
            "refs/heads/master",
        ),
        (
            "forgejo/pull_request.woodpecker-merged.json",
            "X-Forgejo-Event",
            "pull_request",
            "refs/heads/main",
        ),
        (
            "bitbucket-cloud/pullrequest-fulfilled.drone.json",
            "X-Event-Key",
            "pullrequest:fulfilled",
            "refs/heads/master",
        ),
        (
            "bitbucket-server/pr-merged.drone.json",
            "X-Event-Key",
            "pr:merged",
            "refs/heads/master",
        ),
    ] {
        let parsed = parse_unverified(&headers(&[(header, event)]), &payload(path), None, None).unwrap();
        let event = &parsed.events[0];
        assert_eq!(
            (event.name.as_str(), event.action.as_str(), event.success),
            ("pull_request", "merged", true),
            "{path}"
        );
        assert_eq!(
            (event.git_ref.as_deref(), event.foreign),
            (Some(git_ref), false),
            "{path}"
        );
    }
}

#[test]
fn what_cannot_be_understood_says_what_and_where_and_echoes_nothing() {
    let raw = |pairs: &[(&str, &str)], body: &[u8]| parse_unverified(&headers(pairs), body, None, None).unwrap_err();
    let push = [("X-GitHub-Event", "push")];
    assert_eq!(raw(&push, b""), ParseError::Empty);
    assert_eq!(raw(&push, b" \n"), ParseError::Empty);
    assert_eq!(
        raw(&[("content-type", "application/x-www-form-urlencoded")], b"a=b"),
        ParseError::Empty
    );
    assert_eq!(
        raw(&push, b"{\"hunter2\" 1}"),
        ParseError::MalformedJson { line: 1, column: 12 }
    );
    assert_eq!(raw(&push, b"[\"hunter2\"]"), ParseError::NotAnObject);
    assert_eq!(raw(&[], b"{\"hunter2\": 1}"), ParseError::UnknownForge);
    assert_eq!(raw(&push, b"{\"zen\": \"hunter2\"}"), ParseError::ShapeMismatch);
    let broken = json!({"ref": "refs/heads/main", "before": one('1'), "after": "hunter2", "commits": []}).to_string();
    assert_eq!(raw(&push, broken.as_bytes()), ParseError::MissingField("/after".into()));
    let deep = "[".repeat(100_000);
    assert!(matches!(raw(&push, deep.as_bytes()), ParseError::MalformedJson { .. }));
    for error in [
        raw(&push, b"{\"hunter2\" 1}"),
        raw(&push, broken.as_bytes()),
        raw(&push, b"{\"zen\": \"hunter2\"}"),
    ] {
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn wrong_types_where_nothing_is_needed_do_no_harm() {
    let body = json!({"ref": "refs/heads/main", "before": 7, "after": one('2'), "commits": "none", "head_commit": [], "forced": "no",
        "pusher": "ann", "sender": null, "repository": {"full_name": "a/b", "owner": 3}});
    let parsed = said(&[("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "not an id")], &body).unwrap();
    assert_eq!(facts(&parsed), ["push branch update refs/heads/main - 2"]);
    assert_eq!((parsed.events[0].forced, &parsed.delivery), (None, &None));
}

#[test]
fn gitlab_bodies_belong_to_their_hook() {
    let push = payload("gitlab/push.drone.json");
    let read = |hook: &str| parse_unverified(&headers(&[("X-Gitlab-Event", hook)]), &push, None, None);
    assert!(read("Push Hook").is_ok());
    assert!(read("System Hook").is_ok());
    for hook in ["Tag Push Hook", "Pipeline Hook", "Note Hook", "Emoji Hook"] {
        assert_eq!(read(hook), Err(ParseError::ShapeMismatch), "{hook}");
    }
    // A custom template without `object_kind`.
    let bare = json!({"ref": "refs/heads/main", "before": one('1'), "after": one('2'), "project": {"path_with_namespace": "a/b/c/d"}});
    let parsed = said(
        &[
            ("X-Gitlab-Event", "Push Hook"),
            ("Idempotency-Key", "k"),
            ("X-Gitlab-Event-UUID", "no"),
        ],
        &bare,
    )
    .unwrap();
    assert_eq!(parsed.events[0].repo.as_deref(), Some("a/b/c/d"));
    assert_eq!(parsed.delivery.unwrap().as_str(), "k");
}

#[test]
fn kept_headers_hold_no_secret() {
    let all = headers(&[
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "1"),
        ("User-Agent", "GitHub-Hookshot/1"),
        ("Content-Type", "application/json"),
        ("X-Gitlab-Token", "hunter2"),
        ("Authorization", "Basic hunter2"),
        ("Proxy-Authorization", "hunter2"),
        ("Cookie", "hunter2"),
        ("X-Hub-Signature-256", "hunter2"),
        ("X-My-Own-Key", "hunter2"),
    ]);
    let kept = stored_headers(&all);
    let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["content-type", "user-agent", "x-github-delivery", "x-github-event"]
    );
    assert!(kept.iter().all(|(_, value)| !value.contains("hunter2")));
    let restored = restored_headers(&serde_json::to_string(&kept).unwrap());
    assert_eq!(stored_headers(&restored), kept);
}

#[test]
fn full_names_of_forms_and_of_large_bodies() {
    let form = headers(&[
        ("content-type", "application/x-www-form-urlencoded"),
        ("X-GitHub-Event", "push"),
    ]);
    let body = b"payload=%7B%22repository%22%3A%7B%22full_name%22%3A%22a%2Fb%22%7D%7D";
    assert_eq!(full_name(&form, body), Some((ForgeKind::GitHub, "a/b".to_owned())));
    let padding: Vec<Value> = vec![json!({"name": "x", "nested": {"repository": {"full_name": "evil/evil"}}}); 20_000];
    let large = json!({"commits": padding, "aaa": "x".repeat(1 << 20), "repository": {"full_name": "a/b"}}).to_string();
    assert_eq!(
        full_name(&headers(&[("X-GitHub-Event", "push")]), large.as_bytes()),
        Some((ForgeKind::GitHub, "a/b".to_owned()))
    );
    // Nobody is known by then: only so many keys are read, wherever they are.
    let keys = "\"repository\":{},".repeat(300);
    let many = format!("{{{keys}\"repository\":{{\"full_name\":\"a/b\"}}}}");
    assert_eq!(
        full_name(&headers(&[("X-GitHub-Event", "push")]), many.as_bytes()),
        None
    );
    assert_eq!(full_name(&HeaderMap::new(), b"[[[["), None);
    assert_eq!(full_name(&HeaderMap::new(), b"{}"), None);
}

#[test]
fn gitlabs_integrations_push_like_its_hooks() {
    let body = json!({"object_kind": "push", "ref": "refs/heads/main", "before": one('1'), "after": one('2'),
        "project": {"path_with_namespace": "a/b"}, "commits": []});
    for hook in ["Push Hook", "System Hook", "Service Hook"] {
        let parsed = said(&[("X-Gitlab-Event", hook)], &body).unwrap();
        assert_eq!(facts(&parsed), ["push branch update refs/heads/main 1 2"]);
    }
    for hook in ["Issue Hook", "Emoji Hook"] {
        assert_eq!(said(&[("X-Gitlab-Event", hook)], &body), Err(ParseError::ShapeMismatch));
    }
}

#[test]
fn a_replica_of_github_enterprise_that_has_a_ref_is_no_push() {
    let body = json!({"ref": "refs/heads/main", "before": one('0'), "after": one('1'), "cache_location": "europe",
        "repository": {"full_name": "a/b", "node_id": "x"}});
    let parsed = said(&[], &body).unwrap();
    assert_eq!(
        (parsed.event.as_str(), parsed.events[0].kind),
        ("cache_sync", EventKind::Other)
    );
    assert_eq!(
        said(&[("X-GitHub-Event", "push")], &body),
        Err(ParseError::ShapeMismatch)
    );
}

#[test]
fn jobs_of_github_count_for_their_commit_and_for_no_branch() {
    // A fork's `main` is called main, too, and the payload does not tell whose it is.
    let job = json!({"action": "completed", "repository": {"full_name": "a/b"},
        "workflow_job": {"name": "test", "conclusion": "success", "head_branch": "main", "head_sha": one('1')}});
    let parsed = said(&[("X-GitHub-Event", "workflow_job")], &job).unwrap();
    let event = &parsed.events[0];
    assert_eq!(
        (event.success, event.check.as_deref(), &event.git_ref),
        (true, Some("test"), &None)
    );
    assert_eq!(event.after.as_ref().unwrap().as_str(), one('1'));
}

#[test]
fn an_event_without_its_header_gets_no_made_up_name() {
    for (forge, header, body) in [
        (
            ForgeKind::Bitbucket,
            "X-Event-Key",
            json!({"actor": {"nickname": "ann"}, "repository": {"full_name": "a/b", "uuid": "{1}"}}),
        ),
        (
            ForgeKind::BitbucketServer,
            "X-Event-Key",
            json!({"actor": {"name": "ann"}, "repository": {"slug": "b", "project": {"key": "A"}}}),
        ),
        (
            ForgeKind::GitHub,
            "X-GitHub-Event",
            json!({"sender": {"login": "ann"}, "novelty": {}}),
        ),
        (
            ForgeKind::Gitea,
            "X-Gitea-Event",
            json!({"sender": {"login": "ann"}, "novelty": {}}),
        ),
        (
            ForgeKind::GitLab,
            "X-Gitlab-Event",
            json!({"project": {"path_with_namespace": "a/b"}}),
        ),
        (
            ForgeKind::SourceHut,
            "X-Webhook-Event",
            json!({"name": "b", "owner": {"canonical_name": "~a"}}),
        ),
        (
            ForgeKind::Pagure,
            "X-Pagure-Topic",
            json!({"msg": {"project_fullname": "b"}}),
        ),
    ] {
        let text = body.to_string();
        let told = parse_unverified(&HeaderMap::new(), text.as_bytes(), Some(forge), None);
        assert_eq!(told.unwrap_err(), ParseError::MissingEventHeader(header), "{forge}");
    }
}

#[test]
fn events_of_a_workspace_of_bitbucket_cloud_are_not_taken_for_the_servers() {
    let body: Value = serde_json::from_slice(&payload("bitbucket-cloud/project-updated.documented.json")).unwrap();
    let cloud = said(
        &[
            ("X-Event-Key", "project:updated"),
            ("X-Hook-UUID", "u"),
            ("X-Request-UUID", "r"),
        ],
        &body,
    )
    .unwrap();
    assert_eq!(
        (cloud.forge, cloud.event.as_str()),
        (ForgeKind::Bitbucket, "project:updated")
    );
    let server = json!({"eventKey": "project:modified", "old": {"key": "A"}, "new": {"key": "B"}});
    let server = said(&[("X-Event-Key", "project:modified"), ("X-Request-Id", "r")], &server).unwrap();
    assert_eq!(server.forge, ForgeKind::BitbucketServer);
}
