//! What is deployed: which refs, which files, and what becomes of trees that need more than a copy.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::daemon::text_of;
use crate::support::forge::{Delivery, SECRET, ZEROS, push};
use crate::support::repo::git;
use crate::support::world::World;

/// A delivery for a ref of the site, which must be answered so.
#[track_caller]
fn deliver(world: &World, git_ref: &str, commit: &str, status: u16) -> String {
    let answer = world
        .send(&Delivery::push("alice/site", git_ref, commit).signed(SECRET))
        .expect(status);
    world.settled();
    answer.word("reason")
}

/// The usual repo, with a target of its own.
fn target(keys: &str) -> String {
    format!(
        r#"
$SITE
poll = "off"
[repo.site.deploy.live]
path = "$DIR/live"
{keys}
"#
    )
}

#[test]
fn a_force_push_is_a_push() {
    let world = World::site("");
    world.deploy("one");
    world.deploy("two");
    world.site.git(&["checkout", "--quiet", "--orphan", "elsewhere"]);
    let rewritten = world.deploy("rewritten");
    assert_eq!(world.served(), "rewritten");
    assert_eq!(world.target("site/live")["commit"], rewritten);
    // Back to a commit that was live before.
    world.site.git(&[
        "reset",
        "--quiet",
        "--hard",
        world.history()[0]["commit"].as_str().unwrap(),
    ]);
    world.site.push();
    deliver(&world, "refs/heads/main", &world.site.head(), 202);
    assert_eq!(world.served(), "one");
}

#[test]
fn a_deleted_branch_never_deploys() {
    let world = World::site("");
    let one = world.deploy("one");
    let payload = push("alice/site", "refs/heads/main", &one, ZEROS).to_string();
    let deleted = Delivery::github("push", payload).signed(SECRET);
    world.site.git(&["push", "--quiet", "origin", ":refs/heads/main"]);
    let answer = world.send(&deleted).expect(200);
    assert_eq!(answer.word("status"), "ignored");
    assert!(answer.word("reason").contains("deleted"), "{}", answer.text());
    // A push that was overtaken by the deletion finds no branch, and says so.
    deliver(
        &world,
        "refs/heads/main",
        &world.site.commit(&[("index.html", "two")]),
        202,
    );
    assert_eq!(world.last()["outcome"], "failed");
    assert!(
        world.last()["reason"].as_str().unwrap().contains("refs/heads/main"),
        "{}",
        world.last()
    );
    assert_eq!(world.served(), "one");
}

#[test]
fn a_target_of_tags_follows_tags_alone() {
    let world = World::new(&target("tag = \"v*\""));
    world.site.publish("one");
    assert!(deliver(&world, "refs/heads/main", &world.site.head(), 200).contains("branch"));
    world.site.git(&["tag", "--annotate", "-m", "first", "v1.0"]);
    world.site.git(&["push", "--quiet", "origin", "v1.0"]);
    // Of an annotated tag, a forge names the tag object.
    deliver(&world, "refs/tags/v1.0", &world.site.git(&["rev-parse", "v1.0"]), 202);
    assert_eq!(world.served(), "one");
    assert_eq!(world.last()["commit"], world.site.head());
    world.site.publish("two");
    world.site.push_to("refs/tags/v1.1");
    deliver(&world, "refs/tags/v1.1", &world.site.head(), 202);
    assert_eq!(world.served(), "two");
    world.site.push_to("refs/tags/nightly");
    deliver(&world, "refs/tags/nightly", &world.site.head(), 200);
}

#[test]
fn a_tag_that_names_no_commit_is_tried_once_whatever_the_delivery_says_of_it() {
    let world = World::new(&target("tag = \"v*\""));
    world.site.publish("one");
    let tree = world.site.git(&["rev-parse", "HEAD^{tree}"]);
    world.site.git(&["tag", "--annotate", "-m", "a tree", "v1.0", &tree]);
    world.site.git(&["push", "--quiet", "origin", "v1.0"]);
    // The tag object, which is not what the remote says that it stands for.
    deliver(&world, "refs/tags/v1.0", &world.site.git(&["rev-parse", "v1.0"]), 202);
    assert!(world.last()["reason"].as_str().unwrap().contains("names a tree"));
    world.site.publish("two");
    world.site.push_to("refs/tags/v0.9");
    deliver(&world, "refs/tags/v0.9", &world.site.head(), 202);
    let of_the_tree = |row: &&serde_json::Value| row["ref"] == "refs/tags/v1.0" && row["source"] == "poll";
    assert_eq!(world.history().iter().filter(of_the_tree).count(), 0);
}

#[test]
fn a_tag_without_a_delivery_is_found_and_the_greatest_wins() {
    let world = World::new(&target("tag = \"v*\"").replace("poll = \"off\"", "poll = \"1s\""));
    for (page, tag) in [("nine", "v9"), ("ten", "v10"), ("eight", "v8")] {
        world.site.commit(&[("index.html", page)]);
        world.site.git(&["tag", tag]);
    }
    world.site.git(&["push", "--quiet", "origin", "--tags"]);
    crate::support::world::wait_until("a tag is found", || world.served() == "ten");
    world.settled();
    world.site.commit(&[("index.html", "eleven")]);
    world.site.push_to("refs/tags/v11");
    crate::support::world::wait_until("the new tag is found", || world.served() == "eleven");
    world.settled();
    assert_eq!(world.outcomes(), ["live", "live"]);
}

/// Commits a page, tags it, and pushes the tag.
fn tag(world: &World, tag: &str) -> String {
    let commit = world.site.commit(&[("index.html", tag)]);
    world.site.push_to(&format!("refs/tags/{tag}"));
    commit
}

#[test]
fn the_newest_version_stays_live_whatever_is_delivered_last() {
    let mut world = World::new(&target("tag = \"v*\""));
    for name in ["v2.10.0", "v2.9.0", "v1.10.1"] {
        let commit = tag(&world, name);
        deliver(&world, &format!("refs/tags/{name}"), &commit, 202);
    }
    assert_eq!(world.served(), "v2.10.0");
    assert_eq!(world.target("site/live")["ref"], "refs/tags/v2.10.0");
    assert_eq!(world.outcomes(), ["live"]);
    // A person and a restart come to the same end.
    world.hookd(&["deploy", "site", "--no-wait"]).expect(0);
    world.settled();
    world.stop();
    world.start();
    deliver(&world, "refs/tags/v1.10.1", &world.site.head(), 202);
    assert_eq!(world.served(), "v2.10.0");
    // What only the remote knows goes live with the delivery of something older.
    tag(&world, "v2.11.0");
    let older = tag(&world, "v2.10.5");
    deliver(&world, "refs/tags/v2.10.5", &older, 202);
    assert_eq!(world.served(), "v2.11.0");
    let last = world.last();
    assert_eq!(last["ref"], "refs/tags/v2.11.0");
    let told = world.hookd(&["logs", &last["id"].to_string()]).out;
    assert!(told.contains("v2.11.0 is the newest version"), "{told}");
}

#[test]
fn a_person_who_deploys_a_target_of_tags_needs_to_name_none() {
    let world = World::new(&target("tag = \"v*\""));
    world.hookd(&["deploy", "site", "--no-wait"]).expect(3);
    for name in ["v1.9", "v1.10", "v1.2-rc1", "v2.0-beta"] {
        tag(&world, name);
    }
    world.hookd(&["deploy", "site", "--no-wait"]).expect(0);
    world.settled();
    assert_eq!(world.served(), "v1.10");
}

#[test]
fn pre_releases_are_deployed_only_if_wanted() {
    let mut world = World::new(&target("tag = \"v*\""));
    let first = tag(&world, "v1.0.0");
    deliver(&world, "refs/tags/v1.0.0", &first, 202);
    let candidate = tag(&world, "v2.0.0-rc.1");
    let reason = deliver(&world, "refs/tags/v2.0.0-rc.1", &candidate, 200);
    assert!(reason.contains("pre-release"), "{reason}");
    assert_eq!(world.served(), "v1.0.0");
    world.stop();
    world.configure(&target("tag = \"v*\"\nprereleases = true").replace("poll = \"off\"", "poll = \"1s\""));
    world.start();
    crate::support::world::wait_until("the pre-release is found", || world.served() == "v2.0.0-rc.1");
    world.settled();
    let second = tag(&world, "v2.0.0");
    deliver(&world, "refs/tags/v2.0.0", &second, 202);
    assert_eq!(world.served(), "v2.0.0");
}

#[test]
fn the_newest_of_the_versions_that_were_released_stays_live() {
    let world = World::new(&target("tag = \"v*\"\non = \"release\""));
    for name in ["v1.9.0", "v1.10.0", "v2.0.0"] {
        tag(&world, name);
    }
    let release = |name: &str| {
        let body = serde_json::json!({
            "action": "published",
            "release": { "tag_name": name, "draft": false, "prerelease": false, "target_commitish": "main" },
            "repository": { "full_name": "alice/site" },
            "sender": { "login": "alice" },
        });
        let delivery = Delivery::github("release", body.to_string()).signed(SECRET);
        world.send(&delivery).expect(202);
    };
    // v2.0.0 is not released yet.
    release("v1.10.0");
    release("v1.9.0");
    world.settled();
    assert_eq!(world.served(), "v1.10.0");
    let last = world.history().pop().unwrap();
    assert_eq!(last["outcome"], "unchanged");
    assert_eq!(last["reason"], "v1.9.0 is older than v1.10.0, which is live");
    release("v2.0.0");
    world.settled();
    assert_eq!(world.served(), "v2.0.0");
}

#[test]
fn the_tag_that_is_pushed_last_wins_where_that_is_wanted() {
    let world = World::new(&target("tag = \"v*\"\norder = \"pushed\""));
    for name in ["v2.10.0", "v2.9.0"] {
        let commit = tag(&world, name);
        deliver(&world, &format!("refs/tags/{name}"), &commit, 202);
        assert_eq!(world.served(), name);
    }
}

#[test]
fn patterns_of_branches_deploy_the_branch_that_was_pushed() {
    let world = World::new(&target(r#"branch = ["main", "release/*", "!release/old"]"#));
    for (branch, status) in [
        ("main", 202),
        ("release/1", 202),
        ("release/old", 200),
        ("release/1/x", 200),
        ("other", 200),
    ] {
        let commit = world.site.commit(&[("index.html", branch)]);
        world.site.git(&[
            "push",
            "--quiet",
            "--force",
            "origin",
            &format!("HEAD:refs/heads/{}", branch.replace("release/1/x", "deep/x")),
        ]);
        deliver(&world, &format!("refs/heads/{branch}"), &commit, status);
        if status == 202 {
            assert_eq!(world.served(), branch);
        }
    }
    assert_eq!(world.served(), "release/1");
}

/// Everything that `git check-ref-format` lets through, but for letters.
const EVERY_CHARACTER: &str = "!\"#$%&'()+,-./0123456789;<=>@A_]`z{|}ü€😀$(touch x)`touch x`";

#[test]
fn a_branch_name_with_every_character_that_git_allows_is_deployed() {
    let branch = EVERY_CHARACTER.replace(' ', "\u{a0}");
    let git_ref = format!("refs/heads/{branch}");
    let world = World::new(&target(
        r#"
branch = ["**"]
build = "printf %s \"$HOOKD_BRANCH\" > branch; printf %s \"$HOOKD_REF\" > ref"
"#,
    ));
    world.site.git(&["check-ref-format", &git_ref]);
    world.site.commit(&[("index.html", "special")]);
    world.site.push_to(&git_ref);
    deliver(&world, &git_ref, &world.site.head(), 202);
    assert_eq!(world.last()["outcome"], "live", "{}", world.last());
    assert_eq!(world.served(), "special");
    let built = |name: &str| text_of(&world.path("live/current").join(name));
    assert_eq!((built("branch"), built("ref")), (branch, git_ref));
    assert!(!world.path("live/current/x").exists(), "a part of the name was run");
}

#[test]
fn paths_deploy_only_what_touches_them() {
    let world = World::site(r#"paths = ["content", "*.toml", "!content/drafts"]"#);
    let push = |files: &[(&str, &str)]| {
        let before = world.outcomes().len();
        world.site.commit(files);
        world.site.push();
        deliver(&world, "refs/heads/main", &world.site.head(), 202);
        world.outcomes().get(before).cloned().unwrap_or("unchanged".to_owned())
    };
    assert_eq!(push(&[("index.html", "one"), ("content/a", "1")]), "live");
    assert_eq!(push(&[("README", "x")]), "unchanged");
    assert_eq!(push(&[("content/drafts/b", "2")]), "unchanged");
    assert_eq!(push(&[("content/c", "3")]), "live");
    assert_eq!(push(&[("site.toml", "4")]), "live");
    // The difference is the one to what is live, over several pushes.
    assert_eq!(push(&[("README", "y")]), "unchanged");
    world.site.commit(&[("content/d", "5")]);
    assert_eq!(push(&[("README", "z")]), "live");
    assert_eq!(text_of(&world.path("live/current/README")), "z");
}

#[test]
fn shared_paths_outlive_releases() {
    let world = World::site(
        "shared = [\"uploads\", \".env\", \"data/cache\"]\nbuild = \"test -e uploads && echo $HOOKD_COMMIT > uploads/last\"",
    );
    world
        .site
        .commit(&[("uploads/seed.txt", "from git"), ("index.html", "one")]);
    world.site.push();
    fs::create_dir_all(world.path("live/shared")).unwrap();
    fs::write(world.path("live/shared/.env"), "KEY=1").unwrap();
    deliver(&world, "refs/heads/main", &world.site.head(), 202);
    assert_eq!(world.last()["outcome"], "live", "{}", world.last());
    assert_eq!(text_of(&world.path("live/current/.env")), "KEY=1");
    fs::write(world.path("live/current/uploads/photo"), "a photo").unwrap();
    world.deploy("two");
    assert_eq!(text_of(&world.path("live/current/uploads/photo")), "a photo");
    assert_eq!(
        text_of(&world.path("live/shared/uploads/last")).trim(),
        world.site.head()
    );
}

#[test]
fn in_place_keeps_what_is_not_in_git() {
    let world = World::site("strategy = \"in-place\"");
    fs::create_dir_all(world.path("live")).unwrap();
    fs::write(world.path("live/mine"), "untracked").unwrap();
    world.site.commit(&[("index.html", "one"), ("old/file", "x")]);
    world.site.push();
    deliver(&world, "refs/heads/main", &world.site.head(), 202);
    fs::remove_dir_all(world.site.work.join("old")).unwrap();
    world.deploy("two");
    assert_eq!(text_of(&world.path("live/index.html")), "two");
    assert_eq!(text_of(&world.path("live/mine")), "untracked");
    assert!(!world.path("live/old").exists() && !world.path("live/.git").exists());
    // It keeps no releases, and says so.
    let refused = world.hookd(&["rollback", "site"]).expect(1);
    assert!(refused.err.contains("deployed in place"), "{refused:?}");
}

#[test]
fn lfs_pointers_are_refused_before_anything_is_live() {
    let world = World::site("");
    world.deploy("one");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    world.site.commit(&[("index.html", "two"), ("film.mp4", pointer)]);
    world.site.push();
    deliver(&world, "refs/heads/main", &world.site.head(), 202);
    let last = world.last();
    assert_eq!(last["outcome"], "failed");
    let reason = last["reason"].as_str().unwrap();
    assert!(reason.contains("LFS") && reason.contains("film.mp4"), "{reason}");
    assert_eq!(world.served(), "one");
    assert_eq!(world.releases().len(), 1, "{:?}", world.releases());
}

#[test]
fn submodules_with_a_relative_url_are_filled() {
    let world = World::site("");
    let theme = world.repo("theme");
    theme.commit(&[("style.css", "body{}")]);
    theme.push();
    let add = ["submodule", "--quiet", "add", "../theme.git", "themes/plain"];
    world.site.commit(&[("index.html", "one")]);
    world
        .site
        .git(&["config", "remote.origin.url", &world.site.bare.to_string_lossy()]);
    world.site.git(&add);
    world.site.commit(&[("index.html", "with a theme")]);
    world.site.push();
    deliver(&world, "refs/heads/main", &world.site.head(), 202);
    assert_eq!(world.last()["outcome"], "live", "{}", world.last());
    assert_eq!(text_of(&world.path("live/current/themes/plain/style.css")), "body{}");

    theme.commit(&[("style.css", "p{}")]);
    theme.push();
    git(
        &world.site.work.join("themes/plain"),
        &["pull", "--quiet", "origin", "main"],
    );
    world.deploy("with a newer theme");
    assert_eq!(text_of(&world.path("live/current/themes/plain/style.css")), "p{}");
}

#[test]
fn links_and_modes_are_as_in_git() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::site("");
    world.site.commit(&[("index.html", "one"), ("run.sh", "#!/bin/sh\n")]);
    fs::set_permissions(world.site.work.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("index.html", world.site.work.join("link.html")).unwrap();
    world.deploy("two");
    let live = world.path("live/current");
    assert_eq!(
        fs::read_link(live.join("link.html")).unwrap().to_str(),
        Some("index.html")
    );
    let mode = |name: &str| fs::metadata(live.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("run.sh"), mode("index.html")), (0o755, 0o644));
}

#[test]
fn the_page_of_a_deployment_names_the_files_that_it_changed() {
    let world = World::site("");
    world.deploy("one");
    let many: Vec<(String, String)> = (0..60).map(|n| (format!("docs/{n:02}"), n.to_string())).collect();
    let many = many.iter().map(|(path, content)| (path.as_str(), content.as_str()));
    world.site.commit(&many.chain([("<b>evil", "x")]).collect::<Vec<_>>());
    world.site.push();
    world.send(&world.pushed()).expect(202);
    world.settled();
    let id = &world.last()["id"];
    let page = world.ask("GET", &format!("/deployments/{id}"), "").unwrap().text();
    for part in [
        "1 commit",
        "61 changed files",
        "<code>&lt;b&gt;evil</code>",
        "<code>docs/48</code>",
        "The first 50 are shown",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("docs/49"), "{page}");
}
