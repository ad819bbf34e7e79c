//! From each forge's push to the changed page; and the same push signed with another secret, which does nothing.

use super::hooks::{self, Hook};
use super::sender::{Delivery, body};

/// A wrong secret does nothing; the right one deploys; the same delivery again is known, also without the repo in the path.
fn deploys(hook: &Hook) {
    let [event, payload, full_name, branch] = hook.push;
    let target = format!("branch = \"{branch}\"");
    let mut world = hook.set_up(&hook.repo("site", full_name, &[("live", &target)]));
    world.start();
    let served = || std::fs::read_to_string(world.path("site/live/current/index.html")).unwrap_or_default();
    world.site.commit(&[("index.html", "delivered")]);
    world.site.push_to(&format!("refs/heads/{branch}"));

    let delivery = Delivery::new(hook, event, body(payload));
    let answer = delivery.clone().secret(hook.wrong).send(&world);
    assert_eq!(answer.status, 401, "{}: {}", hook.name, answer.text);
    world.settled();
    assert_eq!(served(), "", "{}", hook.name);
    assert!(world.history().is_empty(), "{}", hook.name);

    let answer = delivery.send(&world);
    assert_eq!((answer.status, answer.word("status")), (202, "accepted"), "{answer:?}");
    world.settled();
    assert_eq!(served(), "delivered", "{}", hook.name);
    let last = world.last();
    assert_eq!((&last["source"], &last["outcome"]), (&"webhook".into(), &"live".into()));

    let answer = delivery.send(&world);
    assert_eq!((answer.status, answer.word("status")), (200, "duplicate"), "{answer:?}");

    // The hook of an organisation finds the repo by its full name, where the payload has it in a known place.
    let answer = delivery.to("/hook").send(&world);
    let expected = if hook.forge == "sourcehut" {
        (401, "error")
    } else {
        (200, "duplicate")
    };
    assert_eq!((answer.status, answer.word("status")), expected, "{}", hook.name);
    world.settled();
}

#[test]
fn github_with_octokit() {
    deploys(&hooks::github());
    deploys(&hooks::github_form());
}

#[test]
fn gitlab_with_a_secret_token() {
    deploys(&hooks::gitlab());
}

#[test]
fn gitlab_with_a_signing_token_and_standardwebhooks() {
    deploys(&hooks::gitlab_signing());
}

#[test]
fn gitea() {
    deploys(&hooks::gitea());
    deploys(&hooks::gitea_form());
}

#[test]
fn forgejo() {
    deploys(&hooks::forgejo());
    deploys(&hooks::forgejo_form());
}

#[test]
fn gogs() {
    deploys(&hooks::gogs());
    deploys(&hooks::gogs_form());
}

#[test]
fn bitbucket_cloud() {
    deploys(&hooks::bitbucket());
}

#[test]
fn bitbucket_server() {
    deploys(&hooks::bitbucket_server());
}

#[test]
fn azure_devops_with_basic_authentication_and_with_a_header() {
    deploys(&hooks::azure());
    deploys(&hooks::azure_header());
}

#[test]
fn sourcehut_with_a_key_of_openssl() {
    deploys(&hooks::sourcehut());
}

#[test]
fn pagure() {
    deploys(&hooks::pagure());
    deploys(&hooks::pagure_sha1());
}

#[test]
fn standard_webhooks_with_standardwebhooks_and_with_a_key_of_openssl() {
    deploys(&hooks::standard());
    deploys(&hooks::standard_v1a());
}

#[test]
fn generic_with_three_algorithms() {
    deploys(&hooks::generic());
    deploys(&hooks::generic_sha256());
    deploys(&hooks::generic_sha1());
}
