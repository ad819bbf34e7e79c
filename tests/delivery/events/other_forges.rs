//! The forges with dialects of their own.

use serde_json::Value;

use super::{changed, come_to};
use crate::delivery::hooks;

/// The row of GitLab: push, tags, delete, no ping; pipelines, jobs.
#[test]
fn gitlab() {
    let recorded = "gitlab/pipeline.gitlab4j.json";
    let own = [
        ("/object_attributes/source", "push".into()),
        ("/merge_request", Value::Null),
    ];
    let green = changed(recorded, &own);
    let of_fork = changed(
        recorded,
        &[
            ("/object_attributes/source", "push".into()),
            ("/merge_request/source_project_id", 99.into()),
        ],
    );
    let job = changed("gitlab/job.playground.json", &[("/build_status", "success".into())]);
    come_to(
        &hooks::gitlab(),
        &[("green", &green), ("of_fork", &of_fork), ("job", &job)],
        "
        Push Hook          | gitlab/push.drone-branch-create.json   | gitlab-org/hello-world             | branches refs/heads/feature
        Tag Push Hook      | gitlab/tag_push.drone-create.json      | gitlab-org/hello-world             | tags refs/tags/v1.0.0
        System Hook        | gitlab/system.playground-push.json     | mike/diaspora                      | branches refs/heads/master
        Push Hook          | gitlab/push.drone-branch-delete.json   | gitlab-org/hello-world             | ignored: the branch was deleted
        Tag Push Hook      | gitlab/tag_push.drone-delete.json      | gitlab-org/hello-world             | ignored: the tag was deleted
        Pipeline Hook      | $green                                 | gitlab-org/gitlab-test             | on-branches refs/heads/master
        Pipeline Hook      | gitlab/pipeline.gitlab4j.json          | gitlab-org/gitlab-test             | ignored: from a fork or a pull request
        Pipeline Hook      | $of_fork                               | gitlab-org/gitlab-test             | ignored: from a fork or a pull request
        Job Hook           | gitlab/job.playground.json             | gitlab-org/gitlab-test             | ignored: is not green: created
        Job Hook           | $job                                   | gitlab-org/gitlab-test             | on-branches refs/heads/gitlab-script-trigger
        Release Hook       | gitlab/release.playground.json         | gitlab-org/release-webhook-example | on-tags refs/tags/v1.1
        Merge Request Hook | gitlab/merge_request.drone-merge.json  | gitlab-org/hello-world             | on-branches refs/heads/master
        Merge Request Hook | gitlab/merge_request.drone-create.json | gitlab-org/hello-world             | ignored: was not merged
        Issue Hook         | gitlab/issue.playground.json           | gitlabhq/gitlab-test               | ignored: issue is not in `on`
        ",
    );
}

/// The row of Bitbucket Cloud: push, tags, delete, no ping; commit statuses, for a branch where they name one.
#[test]
fn bitbucket_cloud() {
    come_to(
        &hooks::bitbucket(),
        &[],
        "
        repo:push                  | bitbucket-cloud/repo-push.drone-branch-create.json             | brydzewski/foo                 | branches refs/heads/develop
        repo:push                  | bitbucket-cloud/repo-push.drone-tag-create.json                | brydzewski/foo                 | tags refs/tags/feature/x
        repo:push                  | bitbucket-cloud/repo-push.drone-branch-delete.json             | brydzewski/foo                 | ignored: the branch was deleted
        repo:push                  | bitbucket-cloud/repo-push.drone-tag-delete.json                | brydzewski/foo                 | ignored: the tag was deleted
        repo:commit_status_updated | bitbucket-cloud/repo-commit_status_updated.drone-pipeline.json | automationtestharness/testrepo | on-branches refs/heads/main
        repo:commit_status_created | bitbucket-cloud/repo-commit_status_created.drone-pipeline.json | automationtestharness/testrepo | ignored: is not green: inprogress
        repo:commit_status_updated | bitbucket-cloud/repo-commit_status_updated.playground.json     | team_name/repo_name            | ignored: names no branch or tag
        pullrequest:fulfilled      | bitbucket-cloud/pullrequest-fulfilled.drone.json               | brydzewski/foo                 | on-branches refs/heads/master
        pullrequest:created        | bitbucket-cloud/pullrequest-created.playground.json            | team_name/repo_name            | ignored: was not merged
        ",
    );
}

/// The row of Bitbucket Server: push, tags, delete, ping; no CI.
#[test]
fn bitbucket_server() {
    come_to(
        &hooks::bitbucket_server(),
        &[],
        "
        repo:refs_changed | bitbucket-server/repo-refs_changed.drone-branch-create.json | PRJ/my-repo          | branches refs/heads/develop
        repo:refs_changed | bitbucket-server/repo-refs_changed.drone-tag-create.json    | PRJ/my-repo          | tags refs/tags/v1.1.0
        repo:refs_changed | bitbucket-server/repo-refs_changed.drone-branch-delete.json | PRJ/my-repo          | ignored: the branch was deleted
        repo:refs_changed | bitbucket-server/repo-refs_changed.drone-tag-delete.json    | PRJ/my-repo          | ignored: the tag was deleted
        diagnostics:ping  | bitbucket-server/diagnostics-ping.jenkins.json              | PRJ/my-repo          | pong
        pr:merged         | bitbucket-server/pr-merged.drone.json                       | PRJ/my-repo          | on-branches refs/heads/master
        pr:opened         | bitbucket-server/pr-opened.playground.json                  | ~gopher/webhook-test | ignored: was not merged
        ",
    );
}

/// The row of Azure DevOps: push, tags, delete, no ping; `build.complete`, which is `pipeline` in `on`.
#[test]
fn azure_devops() {
    let recorded = "azure-devops/git-push.drone.json";
    let ones = || Value::from("1".repeat(40));
    let zeros = || Value::from("0".repeat(40));
    let at = |name: &str| format!("/resource/refUpdates/0/{name}");
    let (name, old, new) = (at("name"), at("oldObjectId"), at("newObjectId"));
    let tag = changed(
        recorded,
        &[(&name, "refs/tags/v1".into()), (&old, zeros()), (&new, ones())],
    );
    let gone = changed(recorded, &[(&new, zeros())]);
    let minimal = changed(recorded, &[("/resource", serde_json::json!({"pushId": 14}))]);
    let build = "azure-devops/build-complete.playground.json";
    let of_request = changed(build, &[("/resource/reason", "pullRequest".into())]);
    let red = changed(build, &[("/resource/status", "failed".into())]);
    come_to(
        &hooks::azure(),
        &[("tag", &tag), ("gone", &gone), ("minimal", &minimal), ("of_request", &of_request), ("red", &red)],
        "
        - | azure-devops/git-push.playground.json               | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | branches refs/heads/main
        - | $tag                                                | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | tags refs/tags/v1
        - | $gone                                               | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | ignored: the branch was deleted
        - | $minimal                                            | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | ignored: does not say of which branch or tag
        - | azure-devops/build-complete.playground.json         | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | on-branches refs/heads/master
        - | $of_request                                         | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | ignored: from a fork or a pull request
        - | $red                                                | Fabrikam-Fiber-Git/Fabrikam-Fiber-Git | ignored: is not green: failed
        - | azure-devops/git-pullrequest-merged.playground.json | Fabrikam/Fabrikam                     | on-branches refs/heads/master
        ",
    );
}

/// The row of `SourceHut`: push, tags, delete; no ping, no CI.
#[test]
fn sourcehut() {
    let update = |name: &str, old: &str, new: &str| {
        let end = |id: &str| {
            if id.is_empty() {
                Value::Null
            } else {
                serde_json::json!({"id": id.repeat(40)})
            }
        };
        serde_json::json!({"push": "u", "push-options": {}, "pusher": {"canonical_name": "~ann", "name": "ann"},
            "refs": [{"name": name, "old": end(old), "new": end(new)}]})
        .to_string()
    };
    let graphql = r#"{"data":{"webhook":{"uuid":"u","event":"GIT_POST_RECEIVE","date":"2026-11-22T10:15:00Z","updates":[{"ref":{"name":"refs/heads/main"},"old":{"id":"1111111111111111111111111111111111111111"},"new":{"id":"2222222222222222222222222222222222222222"}}]}}}"#;
    come_to(
        &hooks::sourcehut(),
        &[
            ("pushed", &update("refs/heads/main", "1", "2")),
            ("graphql", graphql),
            ("tag", &update("refs/tags/v1", "", "2")),
            ("gone", &update("refs/heads/old", "2", "")),
        ],
        "
        repo:post-update | $pushed  | ~ann/site | branches refs/heads/main
        GIT_POST_RECEIVE | $graphql | ~ann/site | branches refs/heads/main
        repo:post-update | $tag     | ~ann/site | tags refs/tags/v1
        repo:post-update | $gone    | ~ann/site | ignored: the branch was deleted
        ",
    );
}

/// The row of Pagure: push, tags, delete, ping; flags of commits for `require_checks`.
#[test]
fn pagure() {
    let message = |topic: &str, msg: Value| {
        serde_json::json!({"topic": topic, "msg": msg, "msg_id": "2026-u", "i": 1, "timestamp": 1}).to_string()
    };
    let test = message("Test.notification", serde_json::json!({"content": "Test message"}));
    let flag = message(
        "commit.flag.added",
        serde_json::json!({"repo": {"fullname": "site"}, "agent": "ci",
            "flag": {"username": "ci", "status": "success", "commit_hash": "1".repeat(40)}}),
    );
    let gone = message(
        "git.tag.deletion",
        serde_json::json!({"project_fullname": "site", "tag": "v1", "rev": "1".repeat(40)}),
    );
    come_to(
        &hooks::pagure(),
        &[("gone", &gone), ("test", &test), ("flag", &flag)],
        "
        git.receive         | pagure/receive.branch-create.lab.json  | site | branches refs/heads/main
        git.tag.creation    | pagure/tag-creation.annotated.lab.json | site | tags refs/tags/v1
        git.branch.deletion | pagure/branch-deletion.lab.json        | site | ignored: the branch was deleted
        git.tag.deletion    | $gone                                  | site | ignored: the tag was deleted
        Test.notification   | $test                                  | site | pong
        commit.flag.added   | $flag                                  | site | ignored: names no branch or tag
        ",
    );
}

/// The row of Standard Webhooks: a ref at the top or in `data` is a push; ping; no CI.
#[test]
fn standard_webhooks() {
    let about = |data: Value| {
        serde_json::json!({"type": "repo.push", "timestamp": "2026-11-22T10:15:00Z", "data": data}).to_string()
    };
    let tag = about(serde_json::json!({"ref": "refs/tags/v1", "repository": {"full_name": "ann/site"}}));
    let gone = about(serde_json::json!({"ref": "refs/heads/old", "before": "1".repeat(40), "after": "0".repeat(40)}));
    let ping = r#"{"type":"ping","timestamp":"2026-11-22T10:15:00Z","data":{}}"#;
    come_to(
        &hooks::standard(),
        &[
            ("pushed", r#"{"type":"push","ref":"main"}"#),
            ("tag", &tag),
            ("gone", &gone),
            ("ping", ping),
            (
                "other",
                r#"{"type":"user.created","timestamp":"2026-11-22T10:15:00Z","data":{}}"#,
            ),
        ],
        "
        - | $pushed | ann/site | branches refs/heads/main
        - | $tag    | ann/site | tags refs/tags/v1
        - | $gone   | ann/site | ignored: the branch was deleted
        - | $ping   | ann/site | pong
        - | $other  | ann/site | ignored: user.created is not in `on`
        ",
    );
}

/// The row of the generic forge: what its pointers find is a push, of a branch unless it is a full ref; no ping, no CI.
#[test]
fn generic() {
    let sent = |git_ref: &str, sha: &str| {
        serde_json::json!({"project": "ann/site", "branch": git_ref, "sha": sha.repeat(40)}).to_string()
    };
    come_to(
        &hooks::generic(),
        &[
            ("pushed", &sent("release/2", "1")),
            ("tag", &sent("refs/tags/v1", "1")),
            ("gone", &sent("old", "0")),
            ("nothing", r#"{"project":"ann/site"}"#),
        ],
        "
        - | $pushed  | ann/site | branches refs/heads/release/2
        - | $tag     | ann/site | tags refs/tags/v1
        - | $gone    | ann/site | ignored: the branch was deleted
        - | $nothing | ann/site | ignored: no usable value at /branch
        ",
    );
}
