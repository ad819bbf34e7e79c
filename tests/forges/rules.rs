//! Verdicts, as a table: event, configuration, and what is said about it.

use hookd::config::{ForgeKind, RefFilter, Repo, TagOrder, Tags, Target, TargetOptions};
use hookd::forge::Parsed;
use hookd::model::{Action, CommitId, Event, EventKind};
use hookd::rules::{Decision, Verdict, judge, matches, noted};

use crate::support::{on, patterns, repo, target, with_target};

fn parsed(events: Vec<Event>) -> Parsed {
    Parsed {
        forge: ForgeKind::GitHub,
        event: "push".into(),
        delivery: None,
        repo: None,
        addresses: Vec::new(),
        events,
    }
}

fn push(git_ref: &str) -> Event {
    Event {
        repo: Some("alice/blog".into()),
        git_ref: Some(git_ref.into()),
        before: "1".repeat(40).parse().ok(),
        after: "2".repeat(40).parse().ok(),
        pusher: Some("alice".into()),
        ..Event::new(
            if git_ref.starts_with("refs/tags/") {
                EventKind::Tag
            } else {
                EventKind::Branch
            },
            "push",
            Action::Update,
        )
    }
}

fn ci(name: &str, success: bool) -> Event {
    Event {
        success,
        check: Some("build".into()),
        kind: EventKind::Ci,
        name: name.into(),
        action: Action::Other(if success { "success" } else { "failure" }.into()),
        ..push("refs/heads/main")
    }
}

fn verdict(target: Target, event: Event) -> Verdict {
    let repo = with_target(repo("blog", "alice/blog"), target);
    let mut verdicts = judge(&repo, &parsed(vec![event]));
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

#[track_caller]
fn deploys(target: Target, event: Event, git_ref: &str) -> String {
    let verdict = verdict(target, event);
    match &verdict.decision {
        Decision::Deploy { git_ref: decided, .. } => assert_eq!(decided.as_str(), git_ref),
        Decision::Ignore => panic!("{}", verdict.reason),
    }
    assert!(verdict.conditions.iter().all(|condition| condition.passed));
    verdict.reason
}

#[track_caller]
fn ignores(target: Target, event: Event, reason: &str) {
    let verdict = verdict(target, event);
    assert_eq!(
        (&verdict.decision, verdict.reason.as_str()),
        (&Decision::Ignore, reason)
    );
    assert!(
        verdict
            .conditions
            .iter()
            .any(|condition| !condition.passed && condition.detail == reason)
    );
}

fn tags(globs: &[&str]) -> RefFilter {
    RefFilter::Tags(Tags {
        patterns: patterns(globs),
        order: TagOrder::Version,
        prereleases: false,
    })
}

#[test]
fn a_push_to_the_branch_deploys() {
    assert_eq!(
        deploys(target(), push("refs/heads/main"), "refs/heads/main"),
        "branch main was pushed"
    );
    let verdict = verdict(target(), push("refs/heads/main"));
    let Decision::Deploy { commit, pusher, .. } = verdict.decision else {
        panic!()
    };
    assert_eq!(
        (commit.unwrap().as_str(), pusher.as_deref()),
        ("2".repeat(40).as_str(), Some("alice"))
    );
    assert_eq!(verdict.target.to_string(), "blog/production");
}

#[test]
fn other_refs_do_not() {
    ignores(target(), push("refs/heads/feature/x"), "branch feature/x is not main");
    ignores(
        target(),
        push("refs/tags/main"),
        "tag main: the target follows branches (main)",
    );
    let tags = || Target {
        refs: tags(&["v*"]),
        ..target()
    };
    deploys(tags(), push("refs/tags/v1.0"), "refs/tags/v1.0");
    ignores(tags(), push("refs/tags/nightly"), "tag nightly does not match v*");
    ignores(
        tags(),
        push("refs/heads/v1.0"),
        "branch v1.0: the target follows tags (v*)",
    );
    let several = || Target {
        refs: RefFilter::Branches(patterns(&["main", "release/*", "!release/old"])),
        ..target()
    };
    deploys(several(), push("refs/heads/release/2"), "refs/heads/release/2");
    ignores(
        several(),
        push("refs/heads/release/old"),
        "branch release/old does not match main, release/*, !release/old",
    );
    ignores(
        several(),
        push("refs/heads/release/2/x"),
        "branch release/2/x does not match main, release/*, !release/old",
    );
    let other = |git_ref: Option<&str>| Event {
        kind: EventKind::Other,
        success: false,
        git_ref: git_ref.map(Into::into),
        ..push("refs/heads/main")
    };
    ignores(
        target(),
        other(Some("refs/notes/commits")),
        "refs/notes/commits is neither a branch nor a tag",
    );
    ignores(target(), other(None), "the push does not say of which branch or tag");
}

#[test]
fn names_that_are_dangerous_are_refused_and_shown_tamely() {
    let any = || Target {
        refs: RefFilter::Branches(patterns(&["**"])),
        ..target()
    };
    ignores(
        any(),
        push("refs/heads/-rf"),
        "ref refs/heads/-rf: a branch or tag name that starts with `-` is refused, since commands would take it for an option",
    );
    ignores(
        any(),
        push("refs/heads/a\nb"),
        "ref refs/heads/a\u{fffd}b: not a name that git allows (see git-check-ref-format)",
    );
    let pull = Event {
        kind: EventKind::Branch,
        ..push("refs/pull/1/head")
    };
    ignores(
        any(),
        pull,
        "ref refs/pull/1/head: not a full branch or tag name (refs/heads/… or refs/tags/…)",
    );
    let hostile = "refs/heads/$(touch x);'\"&|<>";
    ignores(
        any(),
        push(hostile),
        "ref refs/heads/$(touch x);'\"&|<>: not a name that git allows (see git-check-ref-format)",
    );
    deploys(
        any(),
        push("refs/heads/special-\"$;><&#_=@!|.,/test"),
        "refs/heads/special-\"$;><&#_=@!|.,/test",
    );
}

#[test]
fn a_deleted_ref_never_deploys() {
    let gone = |git_ref: &str| Event {
        action: Action::Delete,
        after: Some(CommitId::zero()),
        ..push(git_ref)
    };
    ignores(target(), gone("refs/heads/main"), "the branch was deleted");
    let all = || Target {
        on: on(&["push", "delete"]),
        ..target()
    };
    ignores(
        all(),
        Event {
            name: "delete".into(),
            ..gone("refs/heads/main")
        },
        "the branch was deleted",
    );
    ignores(all(), gone("refs/tags/v1"), "the tag was deleted");
    // Zeros count even if the forge calls it something else.
    ignores(
        target(),
        Event {
            action: Action::Update,
            ..gone("refs/heads/main")
        },
        "the branch was deleted",
    );
}

#[test]
fn it_must_be_about_this_repo() {
    deploys(
        target(),
        Event {
            repo: Some("Alice/Blog".into()),
            ..push("refs/heads/main")
        },
        "refs/heads/main",
    );
    let other = Event {
        repo: Some("mallory/blog".into()),
        ..push("refs/heads/main")
    };
    ignores(target(), other, "it is about mallory/blog, not about alice/blog");
    let nameless = Event {
        repo: None,
        ..push("refs/heads/main")
    };
    ignores(target(), nameless.clone(), "the payload names no repo");
    let repo = with_target(repo("blog", "alice/blog"), target());
    let at = |address: &str| Parsed {
        addresses: vec![address.to_owned()],
        ..parsed(vec![nameless.clone()])
    };
    let by_address = judge(&repo, &at("https://git.example/alice/blog.git"));
    assert_eq!(by_address[0].word(), "deploy");
    let elsewhere = judge(&repo, &at("https://git.example/mallory/blog.git"));
    assert_eq!(elsewhere[0].word(), "ignore");
    let of_sourcehut = Parsed {
        forge: ForgeKind::SourceHut,
        ..parsed(vec![nameless])
    };
    assert_eq!(judge(&repo, &of_sourcehut)[0].word(), "deploy");
}

#[test]
fn only_the_events_that_are_wanted() {
    let created = || Event {
        name: "create".into(),
        action: Action::Create,
        ..push("refs/heads/main")
    };
    ignores(
        target(),
        created(),
        "create is not in `on`, and without `on` only pushes count",
    );
    deploys(
        Target {
            on: on(&["create"]),
            ..target()
        },
        created(),
        "refs/heads/main",
    );
    ignores(
        Target {
            on: on(&["workflow_run"]),
            ..target()
        },
        push("refs/heads/main"),
        "push is not in `on`",
    );
    let merged = Event {
        kind: EventKind::Other,
        name: "pull_request".into(),
        action: Action::Other("merged".into()),
        success: true,
        ..push("refs/heads/main")
    };
    ignores(
        Target {
            on: on(&["push"]),
            ..target()
        },
        merged.clone(),
        "pull_request is not in `on`",
    );
    deploys(
        Target {
            on: on(&["pull_request"]),
            ..target()
        },
        merged.clone(),
        "refs/heads/main",
    );
    let closed = Event {
        success: false,
        action: Action::Other("closed".into()),
        ..merged
    };
    ignores(
        Target {
            on: on(&["pull_request"]),
            ..target()
        },
        closed,
        "the pull request was not merged: closed",
    );
}

#[test]
fn a_run_for_a_fork_says_by_what_it_was_set_off() {
    let with_ci = || Target {
        on: on(&["workflow_run"]),
        ..target()
    };
    let of_requests = "it comes from a fork or a pull request, and says nothing about the repo's own branch";
    let of_others = |trigger: &str| {
        format!(
            "it was triggered by {trigger}, which may be for a fork's commit, and says nothing about the repo's own branch"
        )
    };
    for (trigger, reason) in [
        (None, of_requests.to_owned()),
        (Some("pull_request_target"), of_requests.to_owned()),
        (Some("merge_request_event"), of_requests.to_owned()),
        (Some("push"), of_requests.to_owned()),
        (Some("workflow_dispatch"), of_requests.to_owned()),
        (Some("issue_comment"), of_others("issue_comment")),
        (Some("workflow_run"), of_others("workflow_run")),
    ] {
        let event = Event {
            foreign: true,
            trigger: trigger.map(str::to_owned),
            ..ci("workflow_run", true)
        };
        ignores(with_ci(), event, &reason);
    }
}

#[test]
fn what_is_no_success_says_what_it_is() {
    let on_both = || Target {
        on: on(&["pull_request", "label"]),
        ..target()
    };
    let other = |name: &str| Event {
        kind: EventKind::Other,
        name: name.into(),
        success: false,
        action: Action::Other("opened".into()),
        ..push("refs/heads/main")
    };
    ignores(
        on_both(),
        other("pull_request"),
        "the pull request was not merged: opened",
    );
    ignores(on_both(), other("label"), "label (opened) is no reason to deploy");
}

#[test]
fn ci_must_be_green_and_the_repos_own() {
    let after_ci = || Target {
        on: on(&["workflow_run"]),
        ..target()
    };
    assert_eq!(
        deploys(after_ci(), ci("workflow_run", true), "refs/heads/main"),
        "build is green for branch main"
    );
    ignores(after_ci(), ci("workflow_run", false), "build is not green: failure");
    let foreign = Event {
        foreign: true,
        ..ci("workflow_run", true)
    };
    ignores(
        after_ci(),
        foreign,
        "it comes from a fork or a pull request, and says nothing about the repo's own branch",
    );
    let nowhere = Event {
        git_ref: None,
        ..ci("workflow_run", true)
    };
    ignores(after_ci(), nowhere, "the event names no branch or tag");
    let checked = |names: &[&str]| Target {
        on: on(&["check_run"]),
        options: TargetOptions {
            require_checks: names.iter().map(|name| (*name).to_owned()).collect(),
            ..target().options
        },
        ..target()
    };
    deploys(checked(&["build"]), ci("check_run", true), "refs/heads/main");
    ignores(
        checked(&["lint"]),
        ci("check_run", true),
        "the check build is not in `require_checks`",
    );
}

#[test]
fn a_check_is_noted_once_for_each_of_its_names_and_commits() {
    let wanting = Target {
        options: TargetOptions {
            require_checks: vec!["build".into(), "pipeline".into()],
            ..target().options
        },
        ..target()
    };
    let repo = with_target(repo("blog", "alice/blog"), wanting);
    let other = Event {
        after: "3".repeat(40).parse().ok(),
        ..ci("pipeline", true)
    };
    let events = vec![ci("pipeline", true), ci("pipeline", true), other];
    let notes = noted(&repo, &parsed(events));
    let told: Vec<_> = notes
        .iter()
        .map(|note| (note.check.as_str(), note.commit.short()))
        .collect();
    let both = |commit| [("build", commit), ("pipeline", commit)];
    assert_eq!(told, [both("2222222"), both("3333333")].concat());
}

#[test]
fn of_the_repos_own_runs_alone_a_required_check_is_noted_and_said_to_be() {
    let requiring = || Target {
        options: TargetOptions {
            require_checks: vec!["build".into()],
            ..target().options
        },
        ..target()
    };
    let unwanted = "check_run is not in `on`, and without `on` only pushes count";
    let own = ci("check_run", true);
    let foreign = Event {
        foreign: true,
        ..own.clone()
    };
    let lint = Event {
        check: Some("lint".into()),
        ..own.clone()
    };
    let of_nothing = Event {
        after: Some(CommitId::zero()),
        ..own.clone()
    };
    let green = "build is green for 2222222, which is noted for `require_checks`";
    let red = "build is red for 2222222, which is noted for `require_checks`";
    for (event, count, reason) in [
        (own, 1, green),
        (ci("check_run", false), 1, red),
        (foreign, 0, unwanted),
        (lint, 0, unwanted),
        (of_nothing, 0, unwanted),
    ] {
        let repo = with_target(repo("blog", "alice/blog"), requiring());
        assert_eq!(noted(&repo, &parsed(vec![event.clone()])).len(), count, "{event:?}");
        ignores(requiring(), event, reason);
    }
    let pushed = vec![Event {
        check: Some("build".into()),
        ..push("refs/heads/main")
    }];
    let repo = with_target(repo("blog", "alice/blog"), requiring());
    assert!(noted(&repo, &parsed(pushed)).is_empty(), "a push is no run");
}

#[test]
fn a_release_deploys_its_tag() {
    let release = |success, action: &str| Event {
        kind: EventKind::Release,
        name: "release".into(),
        action: Action::Other(action.into()),
        success,
        before: None,
        after: None,
        ..push("refs/tags/v1")
    };
    let tags = || Target {
        refs: tags(&["v*"]),
        on: on(&["release"]),
        ..target()
    };
    deploys(tags(), release(true, "published"), "refs/tags/v1");
    ignores(
        tags(),
        release(false, "edited"),
        "the release is not (newly) published: edited",
    );
}

#[test]
fn pushers_and_marks_in_the_message() {
    let picky = || Target {
        pusher: patterns(&["alice", "*-bot", "!evil-bot"]),
        ..target()
    };
    deploys(picky(), push("refs/heads/main"), "refs/heads/main");
    let by = |pusher: Option<&str>| Event {
        pusher: pusher.map(str::to_owned),
        ..push("refs/heads/main")
    };
    deploys(picky(), by(Some("merge-bot")), "refs/heads/main");
    ignores(picky(), by(Some("bob")), "pusher bob is not in `pusher`");
    ignores(picky(), by(Some("evil-bot")), "pusher evil-bot is not in `pusher`");
    ignores(
        picky(),
        by(None),
        "the payload names no pusher, and `pusher` asks for one",
    );
    let says = |message: &str| Event {
        head_message: Some(message.into()),
        ..push("refs/heads/main")
    };
    ignores(
        target(),
        says("Fix typo [Skip Deploy]\n\nmore"),
        "[skip deploy] in the head commit's message",
    );
    deploys(target(), says("Fix [skip ci]"), "refs/heads/main");
}

#[test]
fn what_needs_the_commit_is_judged_later() {
    let later = Target {
        paths: patterns(&["site/**"]),
        options: TargetOptions {
            require_signed: Some("/etc/signers".into()),
            ..target().options
        },
        ..target()
    };
    let verdict = verdict(later, push("refs/heads/main"));
    assert_eq!(verdict.word(), "deploy");
    let names: Vec<_> = verdict.conditions.iter().map(|condition| condition.name).collect();
    assert!(
        names.contains(&"paths") && names.contains(&"require_signed"),
        "{names:?}"
    );
}

#[test]
fn one_verdict_for_each_event_and_target_and_none_for_a_ping() {
    let mut both: Repo = with_target(repo("blog", "alice/blog"), target());
    let staging = Target {
        id: "blog/staging".parse().unwrap(),
        refs: RefFilter::Branches(patterns(&["next"])),
        ..target()
    };
    both.targets.insert(staging.id.target.clone(), staging.into());
    let ping = Event::new(EventKind::Ping, "ping", Action::Other("ping".into()));
    let verdicts = judge(
        &both,
        &parsed(vec![push("refs/heads/main"), ping, push("refs/heads/next")]),
    );
    let said: Vec<_> = verdicts
        .iter()
        .map(|verdict| format!("{} {}", verdict.target, verdict.word()))
        .collect();
    let expected = [
        "blog/production deploy",
        "blog/staging ignore",
        "blog/production ignore",
        "blog/staging deploy",
    ];
    assert_eq!(said, expected);
    assert!(judge(&both, &parsed(Vec::new())).is_empty());
}

#[test]
fn patterns_include_and_exclude() {
    let all = patterns(&["!secret/**"]);
    assert!(matches(&all, "anything") && !matches(&all, "secret/a/b"));
    assert!(matches(&[], "anything"));
    assert!(!matches(&patterns(&["a*"]), "a/b") && matches(&patterns(&["a/**"]), "a/b/c"));
}
