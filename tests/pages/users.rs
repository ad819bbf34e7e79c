//! People who log in and act, with the mouse and with the keyboard alone.

use std::io::Write;
use std::process::Stdio;

use super::browser::{Browser, RETURN, TAB};
use crate::status_address;
use crate::support::world::{World, wait_until};

pub const PASSWORD: &str = "correct horse battery";

/// A world with the repo `site`, a status address of this test's own, and these keys of the target.
pub fn world(test: u8, keys: &str) -> (World, String) {
    let status = status_address(test);
    let world = World::still(&format!(
        "[http]\nstatus = \"{status}\"\n[http.login]\nusers = \"$DIR/users\"\n[repo.site]\nurl = \"$DIR/site.git\"\n\
         full_name = \"alice/site\"\nforge = \"github\"\nsecret = \"file:$DIR/secret\"\npoll = \"off\"\n\
         [repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\nurl = \"https://site.example.org/\"\n{keys}"
    ));
    for (name, role) in [("alice", "act"), ("bob", "view")] {
        let mut command = world.hookd_command(&["user", "add", name, "--role", role]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        assert!(child.wait().unwrap().success());
    }
    (world, format!("http://{status}"))
}

#[test]
fn a_user_rolls_back_by_click_and_one_who_looks_can_not() {
    let (mut world, here) = world(93, "");
    world.start();
    world.deploy("one");
    world.deploy("two");
    let browser = Browser::start(&world);
    let target = format!("{here}/targets/site/live");

    browser.open(&target);
    browser.until("Log in");
    browser.log_in("alice", "a guess");
    browser.until("The name or the password is wrong.");
    browser.fill("#password", PASSWORD);
    browser.press("form.card button");
    // Back where it was meant to go.
    browser.until("Releases");
    assert_eq!(browser.path(), "/targets/site/live");
    assert!(browser.text().contains("alice"), "{}", browser.text());

    browser.press(".list .button.small");
    browser.until("no fetch and no build");
    assert!(browser.text().contains(" \u{2192} "), "{}", browser.text());
    browser.press("form.card .primary");
    browser.until("The rollback is queued.");
    browser.until("pinned");
    world.settled();
    assert_eq!(
        (world.served(), world.last()["asked_by"].as_str()),
        ("one".to_owned(), Some("user:alice"))
    );

    // A page from elsewhere that looks like a button of this one.
    let form = format!("<form method=post action={target}/resume><button>Win</button></form>");
    browser.open(&format!("data:text/html,{form}"));
    browser.press("button");
    browser.until("are refused");
    assert_eq!(world.target("site/live")["state"], "pinned");

    browser.open(&here);
    browser.press(".who button");
    browser.until("Password");
    browser.log_in("bob", PASSWORD);
    browser.until("bob");
    browser.open(&target);
    browser.until("Releases");
    assert!(
        !browser.text().contains("Roll back") && !browser.text().contains("Resume"),
        "{}",
        browser.text()
    );
    browser.open(&format!("{target}/resume"));
    browser.until("has the role view");
}

#[test]
fn the_keyboard_is_enough() {
    let (mut world, here) = world(94, "");
    world.start();
    world.deploy("one");
    let browser = Browser::start(&world);
    browser.open(&format!("{here}/targets/site/live"));
    browser.until("Log in");
    browser.keys("alice");
    browser.keys(TAB);
    browser.keys(PASSWORD);
    browser.keys(RETURN);
    browser.until("Releases");
    browser.tab_to("Pause");
    browser.keys(RETURN);
    browser.until("Nothing is deployed to");
    // The focus is on what the page asks.
    wait_until("the button has the focus", || {
        browser.run("document.activeElement.type") == "submit"
    });
    browser.keys(RETURN);
    browser.until("The target is paused");
    assert_eq!(world.target("site/live")["paused"], true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_whose_session_ended_asks_for_a_log_in_and_one_whose_daemon_died_says_so() {
    let (mut world, here) = world(95, "");
    world.start();
    world.deploy("one");
    let browser = Browser::start(&world);
    browser.open(&here);
    browser.until("Log in");
    browser.log_in("alice", PASSWORD);
    browser.until("The target is well");
    world.kill();
    browser.until("Not connected since");
    // What was known stays.
    assert!(browser.text().contains("The target is well"), "{}", browser.text());
    world.start();
    wait_until("the page is connected again", || {
        browser.run("document.querySelector('#offline').hidden") == true
    });
    assert!(world.hookd(&["user", "remove", "alice"]).code == 0);
    browser.until("Password");
}
