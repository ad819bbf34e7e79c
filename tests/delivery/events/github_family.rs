//! GitHub, and those who speak like it: Gitea, Forgejo, Gogs.

use serde_json::Value;

use super::{changed, come_to};
use crate::delivery::hooks;

/// The row of GitHub: push, tags, delete, ping; `workflow_run`, `check_suite`, `check_run`, `status`.
#[test]
fn github() {
    let suite = "github/check_suite.octokit-completed.json";
    let run = "github/workflow_run.octokit-completed.json";
    let check = "github/check_run.octokit-completed.json";
    let of_fork = changed(
        run,
        &[("/workflow_run/head_repository/full_name", "mallory/octo-repo".into())],
    );
    let of_request = changed(run, &[("/workflow_run/event", "pull_request".into())]);
    let red = changed(run, &[("/workflow_run/conclusion", "failure".into())]);
    let of_forks_suite = changed(suite, &[("/check_suite/head_branch", Value::Null)]);
    let green = changed(check, &[("/check_run/conclusion", "success".into())]);
    let job = changed(
        "github/workflow_job.octokit-completed.json",
        &[("/workflow_job/conclusion", "success".into())],
    );
    let merged = changed(
        "github/pull_request.octokit-closed.json",
        &[("/pull_request/merged", true.into())],
    );
    come_to(
        &hooks::github(),
        &[("of_fork", &of_fork), ("of_request", &of_request), ("red", &red), ("of_forks_suite", &of_forks_suite), ("green", &green), ("job", &job), ("merged", &merged)],
        "
        push                | github/push.drone-branch-create.json                   | bradrydzewski/drone-test-go | branches refs/heads/feature-branch
        push                | github/push.drone-tag.json                             | bradrydzewski/drone-test-go | tags refs/tags/v0.0.1
        push                | github/push.drone-branch-delete.json                   | bradrydzewski/drone-test-go | ignored: the branch was deleted
        push                | github/push.drone-tag-delete.json                      | bradrydzewski/drone-test-go | ignored: the tag was deleted
        create              | github/create.drone-tag.json                           | bradrydzewski/drone-test-go | on-tags refs/tags/v0.0.1
        create              | github/create.drone-branch.json                        | bradrydzewski/drone-test-go | on-branches refs/heads/feature-branch
        delete              | github/delete.drone-branch.json                        | bradrydzewski/drone-test-go | ignored: the branch was deleted
        ping                | github/ping.octokit-repository.json                    | Codertocat/Hello-World      | pong
        workflow_run        | github/workflow_run.octokit-completed.json             | octo-org/octo-repo          | on-branches refs/heads/master
        workflow_run        | $of_fork                                               | octo-org/octo-repo          | ignored: a fork
        workflow_run        | $of_request                                            | octo-org/octo-repo          | ignored: a fork
        workflow_run        | $red                                                   | octo-org/octo-repo          | ignored: is not green: failure
        check_suite         | github/check_suite.octokit-completed.json              | Codertocat/Hello-World      | on-branches refs/heads/changes
        check_suite         | $of_forks_suite                                        | Codertocat/Hello-World      | ignored: from a fork or a pull request
        check_run           | github/check_run.octokit-completed.json                | Codertocat/Hello-World      | ignored: is not green: failure
        check_run           | $green                                                 | Codertocat/Hello-World      | on-branches refs/heads/changes
        workflow_job        | $job                                                   | Codertocat/Hello-World      | ignored: names no branch or tag
        status              | github/status.playground.json                          | baxterthehacker/public-repo | on-branches refs/heads/master
        release             | github/release.octokit-published.json                  | Codertocat/Hello-World      | on-tags refs/tags/0.0.1
        release             | github/release.octokit-edited.json                     | Codertocat/Hello-World      | ignored: not (newly) published
        pull_request        | github/pull_request.octokit-closed.json                | Codertocat/Hello-World      | ignored: was not merged
        pull_request        | $merged                                                | Codertocat/Hello-World      | on-branches refs/heads/master
        repository_dispatch | github/repository_dispatch.octokit-on-demand-test.json | octo-org/octo-repo          | on-branches refs/heads/master
        star                | github/star.octokit-created.json                       | Codertocat/Hello-World      | ignored: star is not in `on`
        ",
    );
}

/// A run of Gitea's Actions, after its source (`services/webhook/payloader.go`, `modules/structs/hook.go`).
fn gitea_run(event: &str, head: &str) -> String {
    serde_json::json!({
        "action": "completed", "workflow": {"name": "ci.yaml"}, "sender": {"login": "ann", "username": "ann"},
        "workflow_run": {
            "id": 1, "name": "ci", "path": "ci.yaml@refs/heads/main", "event": event, "status": "completed", "conclusion": "success",
            "head_branch": "main", "head_sha": "1".repeat(40),
            "repository": {"full_name": "ann/site"}, "head_repository": {"full_name": head},
        },
        "repository": {"full_name": "ann/site"},
    })
    .to_string()
}

/// `status` of Gitea and Forgejo: no branch in it.
const GITEA_STATUS: &str = r#"{"id":1,"sha":"1111111111111111111111111111111111111111","context":"ci","state":"success","commit":null,"repository":{"full_name":"ann/site"},"sender":{"login":"ann","username":"ann"}}"#;

/// A deleted tag as Gitea and Forgejo push it, besides their `delete`.
const GITEA_TAG_DELETED: &str = r#"{"ref":"refs/tags/v1","before":"1111111111111111111111111111111111111111","after":"0000000000000000000000000000000000000000","commits":[],"total_commits":0,"head_commit":null,"repository":{"full_name":"ann/site"},"pusher":{"login":"ann","username":"ann"}}"#;

/// A new tag of theirs.
const GITEA_TAG: &str = r#"{"ref":"refs/tags/v1","before":"0000000000000000000000000000000000000000","after":"1111111111111111111111111111111111111111","commits":[],"total_commits":0,"head_commit":null,"repository":{"full_name":"ann/site"},"pusher":{"login":"ann","username":"ann"}}"#;

/// The row of Gitea: push, tags, delete, no ping; `workflow_run`; `status` for `require_checks`.
#[test]
fn gitea() {
    let (green, of_fork) = (gitea_run("push", "ann/site"), gitea_run("pull_request", "mallory/site"));
    come_to(
        &hooks::gitea(),
        &[("tag", GITEA_TAG), ("tag_gone", GITEA_TAG_DELETED), ("green", &green), ("of_fork", &of_fork), ("status", GITEA_STATUS)],
        "
        push         | gitea/push.playground.json           | example/example    | branches refs/heads/master
        push         | $tag                                 | ann/site           | tags refs/tags/v1
        push         | $tag_gone                            | ann/site           | ignored: the tag was deleted
        create       | gitea/create.drone-tag.json          | gogits/hello-world | on-tags refs/tags/v1.0.0
        delete       | gitea/delete.drone-branch.json       | gogits/hello-world | ignored: the branch was deleted
        delete       | gitea/delete.drone-tag.json          | gogits/hello-world | ignored: the tag was deleted
        workflow_run | $green                               | ann/site           | on-branches refs/heads/main
        workflow_run | $of_fork                             | ann/site           | ignored: from a fork or a pull request
        status       | $status                              | ann/site           | ignored: names no branch or tag
        release      | gitea/release.playground.json        | example/example    | on-tags refs/tags/example
        pull_request | gitea/pull_request.drone-merged.json | jcitizen/my-repo   | on-branches refs/heads/master
        pull_request | gitea/pull_request.drone-opened.json | jcitizen/my-repo   | ignored: was not merged
        ",
    );
}

/// The row of Forgejo: push, tags, delete, no ping; `action_run_success`, which is `workflow_run` in `on`.
#[test]
fn forgejo() {
    let run = "forgejo/action_run_success.packit-push.json";
    let of_fork = changed(run, &[("/run/is_fork_pull_request", true.into())]);
    let red = changed(run, &[("/action", "failure".into())]);
    let gone = r#"{"ref":"refs/heads/old","ref_type":"branch","pusher_type":"user","repository":{"full_name":"ann/site"},"sender":{"login":"ann","username":"ann"}}"#;
    come_to(
        &hooks::forgejo(),
        &[("tag", GITEA_TAG), ("tag_gone", GITEA_TAG_DELETED), ("status", GITEA_STATUS), ("gone", gone), ("of_fork", &of_fork), ("red", &red)],
        "
        push               | forgejo/push.woodpecker.json                | gordon/hello-world | branches refs/heads/main
        push               | $tag                                        | ann/site           | tags refs/tags/v1
        push               | $tag_gone                                   | ann/site           | ignored: the tag was deleted
        create             | forgejo/create.woodpecker-tag.json          | gordon/hello-world | on-tags refs/tags/v1.0.0
        delete             | $gone                                       | ann/site           | ignored: the branch was deleted
        action_run_success | forgejo/action_run_success.packit-push.json | infra/ansible      | on-branches refs/heads/main
        action_run_success | $of_fork                                    | infra/ansible      | ignored: from a fork or a pull request
        status             | $status                                     | ann/site           | ignored: names no branch or tag
        action_run_failure | $red                                        | infra/ansible      | ignored: is not green: failure
        pull_request       | forgejo/pull_request.woodpecker-merged.json | anbraten/test-repo | on-branches refs/heads/main
        pull_request       | forgejo/pull_request.woodpecker-closed.json | anbraten/test-repo | ignored: was not merged
        ",
    );
}

/// The row of Gogs: push, tags (which come as `create`), delete, no ping, no CI.
#[test]
fn gogs() {
    let tag = r#"{"ref":"v1","ref_type":"tag","sha":"1111111111111111111111111111111111111111","default_branch":"master","repository":{"full_name":"ann/site"},"sender":{"login":"ann","username":"ann"}}"#;
    come_to(
        &hooks::gogs(),
        &[("tag", tag)],
        "
        push         | gogs/push.drone.json              | gogits/hello-world | branches refs/heads/master
        create       | $tag                              | ann/site           | tags refs/tags/v1
        create       | gogs/create.drone-branch.json     | gogits/hello-world | on-branches refs/heads/feature
        delete       | gogs/delete.drone-branch.json     | gogits/hello-world | ignored: the branch was deleted
        delete       | gogs/delete.drone-tag.json        | gogits/hello-world | ignored: the tag was deleted
        release      | gogs/release.playground.json      | user/repo          | on-tags refs/tags/v1.0.0
        pull_request | gogs/pull_request.playground.json | user/repo          | ignored: was not merged
        ",
    );
}
