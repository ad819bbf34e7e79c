//! The dialect that GitHub began and that Gitea, Forgejo and Gogs speak too: the same shapes, few differences.

use serde_json::Value;

use super::error::ParseError;
use super::fields::{
    branch_ref, commit, first_text, flag, has, has_object, is_object_name, list, owned, ref_change, tag_ref, text,
    zero_like,
};
use crate::model::{Action, CommitId, Event, EventKind};

/// Where GitHub's signature is, the better one first; Bitbucket uses the second with SHA-256.
pub(super) const SIGNATURES: &[&str] = &["x-hub-signature-256", "x-hub-signature"];

/// Triggers of a workflow that run on the repo's own commits. All others (`pull_request`, `pull_request_target` and what
/// may come) may name a fork's branch, which may well be called `main`.
const OWN_TRIGGERS: &[&str] = &[
    "push",
    "schedule",
    "workflow_dispatch",
    "repository_dispatch",
    "release",
    "create",
    "deployment",
];

/// Only `cache_sync` of GitHub Enterprise Server has this: a replica has a ref by now, and looks much like a push of it.
const CACHE: &str = "/cache_location";

/// Full name of the repo; GitHub bodies of 2012 have only the owner's name and the repo's.
pub(super) fn repo(body: &Value) -> Option<String> {
    if let Some(name) = first_text(body, &["/repository/full_name", "/run/repository/full_name"]) {
        return Some(name.to_owned());
    }
    let owner = first_text(
        body,
        &[
            "/repository/owner/login",
            "/repository/owner/username",
            "/repository/owner/name",
        ],
    )?;
    Some(format!("{owner}/{}", text(body, "/repository/name")?))
}

fn pusher(body: &Value) -> Option<String> {
    // GitHub has `pusher.name`; Gitea and Gogs have `login` and `username` there, and a full name in `full_name`.
    owned(
        body,
        &[
            "/pusher/login",
            "/pusher/username",
            "/pusher/name",
            "/sender/login",
            "/sender/username",
        ],
    )
}

/// The same event, with repo and pusher of the body.
pub(super) fn signed_off(event: Event, body: &Value) -> Event {
    Event {
        repo: repo(body),
        pusher: pusher(body),
        ..event
    }
}

/// An event of no consequence for refs, under the forge's own name.
pub(super) fn other(name: &str, body: &Value) -> Event {
    let action = text(body, "/action").unwrap_or(name);
    signed_off(
        Event::new(EventKind::Other, name, Action::Other(action.to_owned())),
        body,
    )
}

/// The body of a ping has the hook in it and no ref; anything else that is called a ping is something else.
pub(super) fn ping(body: &Value) -> Result<Vec<Event>, ParseError> {
    if has(body, "/ref") || has(body, "/action") || !(has(body, "/zen") || has(body, "/hook") || has(body, "/hook_id"))
    {
        return Err(ParseError::ShapeMismatch);
    }
    let event = Event::new(EventKind::Ping, "ping", Action::Other("ping".into()));
    Ok(vec![signed_off(event, body)])
}

/// One ref moved. `newest_first`: in which order the commits are listed.
pub(super) fn push(body: &Value, newest_first: bool) -> Result<Vec<Event>, ParseError> {
    if ["/ref_type", "/pull_request", CACHE].iter().any(|mark| has(body, mark)) {
        return Err(ParseError::ShapeMismatch);
    }
    let git_ref = text(body, "/ref").ok_or_else(|| lacking(body, "/ref"))?;
    let after = commit(body, "/after").ok_or_else(|| lacking(body, "/after"))?;
    let before = commit(body, "/before");
    let mut event = ref_change("push", branch_ref(git_ref), before, Some(after));
    if flag(body, "/deleted") == Some(true) {
        event.action = Action::Delete;
    } else if flag(body, "/created") == Some(true) && event.action == Action::Update {
        event.action = Action::Create;
    }
    event.forced = flag(body, "/forced");
    event.head_message = head_message(body, event.after.as_ref(), newest_first);
    Ok(vec![signed_off(event, body)])
}

/// The body of a push without one of its fields is a broken push; without most of them it is no push at all.
fn lacking(body: &Value, pointer: &'static str) -> ParseError {
    if ["/ref", "/before", "/after", "/commits"]
        .iter()
        .filter(|key| has(body, key))
        .count()
        >= 2
    {
        ParseError::MissingField(pointer.into())
    } else {
        ParseError::ShapeMismatch
    }
}

fn head_message(body: &Value, after: Option<&CommitId>, newest_first: bool) -> Option<String> {
    if let Some(message) = text(body, "/head_commit/message") {
        return Some(message.to_owned());
    }
    let commits = list(body, "/commits");
    let is_head = |entry: &&Value| commit(entry, "/id").as_ref() == after;
    let by_order = if newest_first { commits.first() } else { commits.last() };
    text(commits.iter().find(is_head).or(by_order)?, "/message").map(str::to_owned)
}

/// True for a body that only a `delete` event has.
fn is_deletion(body: &Value) -> bool {
    has(body, "/pusher_type")
        && !["/master_branch", "/default_branch", "/sha"]
            .iter()
            .any(|key| has(body, key))
}

/// `create`: a short ref (full from some Forgejo versions), its type, and the commit from Gitea alone.
pub(super) fn create(body: &Value) -> Result<Vec<Event>, ParseError> {
    // GitHub once sent it for the repository itself, too, with a ref of null.
    if text(body, "/ref_type") == Some("repository") && !has(body, "/ref") {
        return Ok(vec![other("create", body)]);
    }
    let git_ref = typed_ref(body)?;
    if is_deletion(body) {
        return Err(ParseError::ShapeMismatch);
    }
    let after = commit(body, "/sha");
    let mut event = ref_change("create", git_ref, Some(zero_like(after.as_ref())), after);
    event.action = Action::Create;
    Ok(vec![signed_off(event, body)])
}

/// `delete`: a short ref and its type.
pub(super) fn delete(body: &Value) -> Result<Vec<Event>, ParseError> {
    let git_ref = typed_ref(body)?;
    if has(body, "/master_branch") || has(body, "/sha") {
        return Err(ParseError::ShapeMismatch);
    }
    Ok(vec![signed_off(
        ref_change("delete", git_ref, None, Some(CommitId::zero())),
        body,
    )])
}

fn typed_ref(body: &Value) -> Result<String, ParseError> {
    if has(body, "/before") || has(body, "/after") {
        return Err(ParseError::ShapeMismatch);
    }
    match (text(body, "/ref"), text(body, "/ref_type")) {
        (Some(name), Some("tag")) => Ok(tag_ref(name)),
        (Some(name), Some("branch")) => Ok(branch_ref(name)),
        (Some(_), Some(_)) => Err(ParseError::MissingField("/ref_type".into())),
        (None, Some(_)) => Err(ParseError::MissingField("/ref".into())),
        (_, None) => Err(ParseError::ShapeMismatch),
    }
}

/// `release`: names a tag, never a commit.
pub(super) fn release(body: &Value) -> Result<Vec<Event>, ParseError> {
    object(body, "/release")?;
    let action = text(body, "/action").unwrap_or("published");
    let draft = flag(body, "/release/draft") == Some(true);
    let prerelease = flag(body, "/release/prerelease") == Some(true);
    let event = Event {
        git_ref: text(body, "/release/tag_name").map(tag_ref),
        success: !draft && (action == "published" || (action == "released" && !prerelease)),
        ..Event::new(EventKind::Release, "release", Action::Other(action.to_owned()))
    };
    Ok(vec![signed_off(event, body)])
}

/// `workflow_run`: finished and green, on a commit of the repo itself.
pub(super) fn workflow_run(body: &Value) -> Result<Vec<Event>, ParseError> {
    object(body, "/workflow_run")?;
    let run = &body["workflow_run"];
    let own_trigger = match text(run, "/event") {
        Some(trigger) => OWN_TRIGGERS.contains(&trigger),
        None => list(run, "/pull_requests").is_empty(),
    };
    let elsewhere =
        text(run, "/head_repository/full_name").is_some_and(|head| !same_name(Some(head), repo(body).as_deref()));
    let mut event = ci("workflow_run", body, run);
    event.foreign =
        !own_trigger || elsewhere || flag(run, "/head_repository/fork") == Some(true) && repo(body).is_none();
    event.trigger = owned(run, &["/event"]);
    event.check = owned(body, &["/workflow_run/name", "/workflow/name", "/workflow_run/path"]);
    event.head_message = owned(run, &["/head_commit/message"]);
    Ok(vec![event])
}

/// `workflow_job`: tells neither the trigger nor whose the branch is, and a fork's `main` looks like the repo's own. So it
/// counts for its commit, and for no branch.
pub(super) fn workflow_job(body: &Value) -> Result<Vec<Event>, ParseError> {
    object(body, "/workflow_job")?;
    let mut event = ci("workflow_job", body, &body["workflow_job"]);
    event.git_ref = None;
    event.check = owned(body, &["/workflow_job/name"]);
    Ok(vec![event])
}

/// An event of CI from an object with `head_branch`, `head_sha` and `conclusion`.
pub(super) fn ci(name: &str, body: &Value, run: &Value) -> Event {
    let action = text(body, "/action").unwrap_or_default();
    let conclusion = text(run, "/conclusion");
    let said = if action == "completed" {
        conclusion.unwrap_or(action)
    } else {
        action
    };
    let event = Event {
        git_ref: text(run, "/head_branch").map(branch_ref),
        after: commit(run, "/head_sha"),
        success: action == "completed" && conclusion == Some("success"),
        ..Event::new(EventKind::Ci, name, Action::Other(said.to_owned()))
    };
    signed_off(event, body)
}

/// `status`: a commit has a state. It proves something for the branches whose tip that commit is, one event for each.
pub(super) fn status(body: &Value) -> Result<Vec<Event>, ParseError> {
    let (Some(state), Some(sha)) = (text(body, "/state"), commit(body, "/sha")) else {
        return Err(ParseError::ShapeMismatch);
    };
    let base = Event {
        after: Some(sha.clone()),
        check: owned(body, &["/context"]),
        success: state == "success",
        head_message: owned(body, &["/commit/commit/message", "/commit/message"]),
        ..Event::new(EventKind::Ci, "status", Action::Other(state.to_owned()))
    };
    let base = signed_off(base, body);
    let tip = |branch: &&Value| commit(branch, "/commit/sha").is_none_or(|tip| tip == sha);
    let branches = list(body, "/branches")
        .iter()
        .filter(tip)
        .filter_map(|branch| text(branch, "/name"));
    let events: Vec<_> = branches
        .map(|name| Event {
            git_ref: Some(branch_ref(name)),
            ..base.clone()
        })
        .collect();
    Ok(if events.is_empty() { vec![base] } else { events })
}

/// `deployment` and `deployment_status`: somebody asks the forge for a deployment of a ref.
pub(super) fn deployment(name: &str, body: &Value) -> Result<Vec<Event>, ParseError> {
    object(body, "/deployment")?;
    let asked = name == "deployment";
    if asked == has(body, "/deployment_status") || has(body, "/workflow_job") {
        return Err(ParseError::ShapeMismatch);
    }
    let said = if asked {
        text(body, "/action")
    } else {
        text(body, "/deployment_status/state")
    };
    let said = said.unwrap_or("created");
    let git_ref = text(body, "/deployment/ref").filter(|name| !is_object_name(name));
    let event = Event {
        git_ref: git_ref.map(branch_ref),
        after: commit(body, "/deployment/sha"),
        check: owned(body, &["/deployment/environment"]),
        success: said == if asked { "created" } else { "success" },
        ..Event::new(EventKind::Other, name, Action::Other(said.to_owned()))
    };
    Ok(vec![signed_off(event, body)])
}

/// `pull_request`: of consequence once it is merged, for the branch it was merged into.
pub(super) fn pull_request(body: &Value) -> Result<Vec<Event>, ParseError> {
    object(body, "/pull_request")?;
    let merged = text(body, "/action") == Some("closed") && flag(body, "/pull_request/merged") == Some(true);
    let action = if merged {
        "merged"
    } else {
        text(body, "/action").unwrap_or("pull_request")
    };
    let name_of = |side: &str| text(body, side);
    let (head, base) = (
        name_of("/pull_request/head/repo/full_name"),
        name_of("/pull_request/base/repo/full_name"),
    );
    let event = Event {
        git_ref: text(body, "/pull_request/base/ref").map(branch_ref),
        after: commit(body, "/pull_request/merge_commit_sha").filter(|_| merged),
        success: merged,
        // What was merged is the repo's own by now, wherever it came from.
        foreign: !merged && !same_name(head, base),
        ..Event::new(EventKind::Other, "pull_request", Action::Other(action.to_owned()))
    };
    Ok(vec![signed_off(event, body)])
}

/// An error unless there is an object at the pointer, which is what makes a body fit its event.
pub(super) fn object(body: &Value, pointer: &str) -> Result<(), ParseError> {
    if has_object(body, pointer) {
        Ok(())
    } else {
        Err(ParseError::ShapeMismatch)
    }
}

fn same_name(one: Option<&str>, other: Option<&str>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
}

/// True for the body of a push: whatever else its event header says.
pub(super) fn is_push(body: &Value) -> bool {
    ["/ref", "/before", "/after", "/commits"]
        .iter()
        .all(|key| has(body, key))
        && !has(body, "/pull_request")
}

/// What a body looks like when no header says it: marks of an event, the most telling first.
const MARKS: &[(&str, &str)] = &[
    ("/deployment_status", "deployment_status"),
    ("/workflow_job", "workflow_job"),
    ("/deployment", "deployment"),
    ("/reviewers", "deployment_review"),
    ("/workflow_run", "workflow_run"),
    ("/check_run", "check_run"),
    ("/check_suite", "check_suite"),
    ("/release", "release"),
    ("/merge_group", "merge_group"),
    ("/client_payload", "repository_dispatch"),
    ("/workflow", "workflow_dispatch"),
    ("/review", "pull_request_review"),
    ("/thread", "pull_request_review_thread"),
    ("/pull_request", "pull_request"),
    ("/comment", "issue_comment"),
    ("/issue", "issues"),
    ("/forkee", "fork"),
    ("/repositories_added", "installation_repositories"),
    ("/repositories", "installation"),
    ("/key", "deploy_key"),
    ("/member", "member"),
    ("/build", "page_build"),
    ("/team", "team_add"),
    ("/starred_at", "star"),
    ("/package", "package"),
    ("/label", "label"),
    ("/pages", "gollum"),
    ("/security_advisory", "security_advisory"),
];

/// What every event has, and those that are of the repository itself have nothing else.
const COMMON: &[&str] = &[
    "action",
    "changes",
    "enterprise",
    "installation",
    "organization",
    "repository",
    "secret",
    "sender",
];

fn is_of_repository_alone(body: &Value) -> bool {
    let is_common = |key: &String| COMMON.contains(&key.as_str());
    has(body, "/repository") && body.as_object().is_some_and(|body| body.keys().all(is_common))
}

/// The event that a body looks like, in GitHub's words.
pub(super) fn infer(body: &Value) -> Option<String> {
    let marked = MARKS.iter().find(|(mark, _)| has(body, mark)).map(|(_, name)| *name);
    let name = if has(body, CACHE) {
        "cache_sync"
    } else if has(body, "/ref_type") {
        if is_deletion(body) { "delete" } else { "create" }
    } else if text(body, "/ref").is_some() && commit(body, "/after").is_some() && !has(body, "/pull_request") {
        "push"
    } else if has(body, "/zen") || (has(body, "/hook") && !has(body, "/action")) {
        "ping"
    } else if has(body, "/hook") {
        "meta"
    } else if has(body, "/state") && has(body, "/sha") {
        "status"
    } else if has(body, "/pull_request") && has(body, "/comment") {
        "pull_request_review_comment"
    } else {
        let action = has(body, "/action");
        return marked
            .or(match is_of_repository_alone(body) {
                true if action => Some("repository"),
                true => Some("public"),
                false => None,
            })
            .map(str::to_owned);
    };
    Some(name.to_owned())
}

/// Who speaks this dialect.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kin {
    GitHub,
    Gogs,
    Gitea,
    Forgejo,
}

/// GitHub, Gitea, Forgejo and Gogs: one family, told apart by what only one of them writes.
pub(super) fn whose(body: &Value) -> Option<Kin> {
    if has_object(body, "/run") && has(body, "/prior_status") {
        return Some(Kin::Forgejo);
    }
    let marks = [
        "repository",
        "sender",
        "hook",
        "installation",
        "zen",
        "ref",
        "organization",
        "security_advisory",
    ];
    if !marks
        .iter()
        .any(|mark| body.get(mark).is_some_and(|found| !found.is_null()))
    {
        return None;
    }
    if is_github(body) {
        return Some(Kin::GitHub);
    }
    let hosts = [
        "/repository/html_url",
        "/repository/clone_url",
        "/repository/ssh_url",
        "/compare_url",
        "/sender/avatar_url",
    ];
    let named = |word: &str| {
        let host = |address: &str| address.split('/').nth(2).unwrap_or(address).to_ascii_lowercase();
        hosts
            .iter()
            .filter_map(|pointer| text(body, pointer))
            .any(|address| host(address).contains(word))
    };
    let of_forgejo = [
        "wiki_branch",
        "globally_editable_wiki",
        "default_update_style",
        "has_wiki_contents",
    ];
    if named("forgejo") || named("codeberg") || of_forgejo.iter().any(|key| has(body, &format!("/repository/{key}"))) {
        return Some(Kin::Forgejo);
    }
    let of_gitea = [
        "/head_commit",
        "/total_commits",
        "/repository/internal",
        "/repository/permissions",
        "/repository/has_issues",
    ];
    if named("gogs") {
        return Some(Kin::Gogs);
    }
    if named("gitea") || of_gitea.iter().any(|pointer| has(body, pointer)) && first_text(body, GITEA_USER).is_some() {
        return Some(Kin::Gitea);
    }
    // What is left tells little. Gitea has had the permissions in `repository` for long, Gogs has a few of its fields, or
    // none but the name and addresses.
    let of_kin =
        first_text(body, GITEA_USER).is_some() || has(body, "/compare_url") || has(body, "/repository/stars_count");
    Some(match of_kin {
        true if has(body, "/repository/stars_count") => Kin::Gogs,
        true => Kin::Gitea,
        false if is_bare(body) => Kin::Gogs,
        false => Kin::GitHub,
    })
}

/// Gitea and its kin name users twice, as `login` and as `username`; GitHub never has the second.
const GITEA_USER: &[&str] = &["/sender/username", "/pusher/username", "/repository/owner/username"];

fn is_github(body: &Value) -> bool {
    let own = [
        "/zen",
        "/installation/id",
        "/repository/node_id",
        "/sender/node_id",
        "/repository/keys_url",
        "/sender/gists_url",
    ];
    let address = first_text(body, &["/repository/url", "/repository/html_url"]).unwrap_or_default();
    let here = ["https://github.com/", "https://api.github.com/", "http://github.com/"];
    own.iter().any(|pointer| has(body, pointer)) || here.iter().any(|prefix| address.starts_with(prefix))
}

/// Name, full name and addresses, and neither id nor owner.
fn is_bare(body: &Value) -> bool {
    has(body, "/repository/clone_url") && !has(body, "/repository/id") && !has(body, "/repository/owner")
}
