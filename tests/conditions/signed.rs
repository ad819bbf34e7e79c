//! `require_signed`, from the push to the page.

use super::keys::{Gpg, SshKey};
use crate::support::forge::Delivery;
use crate::support::forge::SECRET;
use crate::support::repo::git;
use crate::support::world::{World, wait_until};

/// A world that deploys what the keys in `$DIR/signers` signed.
fn world(file: &str) -> World {
    let world = World::still_site("require_signed = \"$DIR/signers\"\n");
    std::fs::write(world.path("signers"), file).unwrap();
    world
}

/// Commits a page, signed as these options say, and delivers the push; gives the reason of the end.
fn push(world: &World, page: &str, signed: &[String]) -> String {
    let options: Vec<&str> = signed.iter().map(String::as_str).collect();
    std::fs::write(world.site.work.join("index.html"), page).unwrap();
    world.site.git(&["add", "--all"]);
    let sign = if signed.is_empty() { "--no-gpg-sign" } else { "-S" };
    world
        .site
        .git(&[&options[..], &["commit", "--quiet", sign, "-m", page]].concat());
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    world.last()["reason"].as_str().unwrap().to_owned()
}

#[test]
fn only_what_an_allowed_ssh_key_signed_goes_live() {
    let keys = tempfile::tempdir().unwrap();
    let (alice, mallory) = (
        SshKey::ed25519(keys.path(), "alice"),
        SshKey::ed25519(keys.path(), "mallory"),
    );
    let mut world = world(&format!("alice@example.org namespaces=\"git\" {}\n", alice.public));
    world.start();
    let reason = push(&world, "unsigned", &[]);
    assert_eq!(reason, format!("commit {} is not signed", &world.site.head()[..7]));
    let reason = push(&world, "by a stranger", &mallory.for_git());
    let expected = format!(
        "commit {} is signed by a key that is not in {}: SHA256:",
        &world.site.head()[..7],
        world.path("signers").display()
    );
    assert!(reason.starts_with(&expected), "{reason}");
    assert_eq!(world.served(), "");
    push(&world, "signed", &alice.for_git());
    assert_eq!(world.served(), "signed");
    push(&world, "unsigned again", &[]);
    assert_eq!(world.served(), "signed");
    assert_eq!(world.outcomes(), ["failed", "failed", "live", "failed"]);
    // Nothing was built of what failed.
    assert_eq!(world.releases().len(), 1);

    // The poll leaves it alone; a person who allows the key after all can have it tried again.
    std::fs::write(
        world.path("signers"),
        format!("a {}\nm {}\n", alice.public, mallory.public),
    )
    .unwrap();
    push(&world, "by a friend", &mallory.for_git());
    assert_eq!(world.served(), "by a friend");
}

#[test]
fn poll_does_not_try_an_unsigned_commit_again() {
    let keys = tempfile::tempdir().unwrap();
    let alice = SshKey::ed25519(keys.path(), "alice");
    let mut world = World::still(
        r#"
[repo.site]
url = "$DIR/site.git"
secret = "file:$DIR/secret"
poll = "1h"
$LIVE
require_signed = "$DIR/signers"
"#,
    );
    std::fs::write(world.path("signers"), format!("alice {}\n", alice.public)).unwrap();
    let commit = world.site.publish("unsigned");
    world.start();
    // Nobody delivers: the look at the start finds it, it fails, and later looks leave it alone.
    wait_until("the poll found it", || !world.history().is_empty());
    world.settled();
    let before = world.history().len();
    assert_eq!((before, &world.last()["commit"]), (1, &commit.into()));
    world.stop();
    world.start();
    wait_until("the remote was looked at", || {
        !world.target("site/live")["behind"].is_null()
    });
    world.settled();
    assert_eq!(world.history().len(), before);
    let said = world.hookd(&["retry", "site"]).expect(1);
    assert!(said.err.contains("is not signed"), "{said:?}");
    // What the person allows meanwhile counts at once.
    world.site.git(
        &[
            &alice.for_git().iter().map(String::as_str).collect::<Vec<_>>()[..],
            &["commit", "--quiet", "--amend", "-S", "--no-edit"],
        ]
        .concat(),
    );
    world.site.push();
    world.hookd(&["deploy", "site"]).expect(0);
    assert_eq!(world.served(), "unsigned");
}

#[test]
fn only_what_an_allowed_openpgp_key_signed_goes_live() {
    let gpg = Gpg::new();
    let (alice, mallory) = (
        gpg.key("Alice <alice@example.org>", "ed25519", "sign", "never"),
        gpg.key("Mallory", "ed25519", "sign", "never"),
    );
    let mut world = world(&gpg.public(&alice));
    world.start();
    push(&world, "signed", &gpg.for_git(&alice));
    assert_eq!(world.served(), "signed");
    let reason = push(&world, "by a stranger", &gpg.for_git(&mallory));
    assert!(reason.contains("is signed by a key that is not in"), "{reason}");
    assert_eq!(world.served(), "signed");
    let log = world.hookd(&["logs", "site"]).out;
    assert!(!log.contains("PRIVATE"), "{log}");
}

#[test]
fn a_tag_or_its_commit_may_be_signed_and_the_name_is_part_of_it() {
    let keys = tempfile::tempdir().unwrap();
    let alice = SshKey::ed25519(keys.path(), "alice");
    let mut world = World::still(
        r#"
$SITE
poll = "off"
[repo.site.deploy.live]
tag = "v*"
path = "$DIR/live"
require_signed = "$DIR/signers"
"#,
    );
    std::fs::write(world.path("signers"), format!("alice {}\n", alice.public)).unwrap();
    world.start();
    let signing = alice.for_git();
    let with_key = |arguments: &[&str]| {
        let options: Vec<&str> = signing.iter().map(String::as_str).collect();
        world.site.git(&[&options[..], arguments].concat())
    };
    let deliver = |tag: &str| {
        let git_ref = format!("refs/tags/{tag}");
        world.site.git(&["push", "--quiet", "--force", "origin", &git_ref]);
        let commit = world.site.git(&["rev-parse", &git_ref]);
        world
            .send(&Delivery::push("alice/site", &git_ref, &commit).signed(SECRET))
            .expect(202);
        world.settled();
        world.last()["reason"].as_str().unwrap().to_owned()
    };
    // The tag is signed, its commit is not.
    world.site.commit(&[("index.html", "one")]);
    with_key(&["tag", "-s", "-m", "one", "v1"]);
    deliver("v1");
    assert_eq!(world.served(), "one");
    // Neither is.
    let two = world.site.commit(&[("index.html", "two")]);
    world.site.git(&["tag", "-a", "-m", "two", "v2"]);
    assert_eq!(
        deliver("v2"),
        format!("tag v2 is not signed, and commit {} is not signed", &two[..7])
    );
    // A lightweight tag of a signed commit.
    world.site.commit(&[("index.html", "three")]);
    with_key(&["commit", "--quiet", "--amend", "-S", "--no-edit"]);
    world.site.git(&["tag", "v3"]);
    deliver("v3");
    assert_eq!(world.served(), "three");
    // Whoever may push, and may not sign, gives the old signed tag a new name.
    let old = world.site.git(&["rev-parse", "refs/tags/v1"]);
    git(&world.site.work, &["update-ref", "refs/tags/v4", &old]);
    let reason = deliver("v4");
    assert!(
        reason.starts_with("tag v1 has a signature that can't be checked: it calls itself v1, and commit "),
        "{reason}"
    );
    assert_eq!(world.served(), "three");
}

#[test]
fn a_file_that_can_not_be_read_stops_deployments_and_is_told_beforehand() {
    let mut world = world("alice cert-authority ssh-ed25519 AAAA\n");
    let said = world.hookd(&["check"]);
    assert!(said.code != 0 && said.err.contains("`require_signed`"), "{said:?}");
    world.start();
    assert!(world.log().contains("`require_signed`"), "{}", world.log());
    let reason = push(&world, "one", &[]);
    assert!(reason.starts_with("`require_signed`: "), "{reason}");
    assert_eq!(world.served(), "");
}

#[test]
fn explain_names_the_condition() {
    let mut world = world("# nobody yet\n");
    world.start();
    world.site.publish("one");
    std::fs::write(world.path("payload.json"), world.pushed().body).unwrap();
    let payload = world.path("payload.json");
    let said = world
        .hookd(&["explain", &payload.to_string_lossy(), "-H", "X-GitHub-Event: push"])
        .expect(0);
    assert!(
        said.out.contains("require_signed: judged in the deployment"),
        "{said:?}"
    );
}
