//! From each forge's push to the changed page; and the same push signed with another secret, which does nothing.

use super::hooks::{self, Hook};
use super::sender::{Delivery, body};

/// A wrong secret does nothing; the right one deploys; the same delivery again is known.
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
}

#[test]
fn gogs() {
    deploys(&hooks::gogs());
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
}

#[test]
fn standard_webhooks_with_standardwebhooks_and_with_a_key_of_openssl() {
    deploys(&hooks::standard());
    deploys(&hooks::standard_v1a());
}

#[test]
fn generic_with_sha512_in_base64() {
    deploys(&hooks::generic());
}
