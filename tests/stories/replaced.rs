//! A token that is replaced: what the forge refused to the old one is told with the new one.

use super::talk::{github, shows, states, with_github};
use crate::support::receiver::{Receiver, plain};
use crate::support::world::wait_until;

/// How often the forge was told of a commit.
fn count(api: &Receiver, commit: &str) -> usize {
    api.told().iter().filter(|asked| asked.path.ends_with(commit)).count()
}

#[test]
fn what_was_refused_to_a_token_is_told_with_another_one() {
    let api = Receiver::new(github);
    let mut world = with_github(&api, "", "build = \"test ! -e bad\"\n");
    world.write_secret("token", "an-old-t0ken");
    world.start();
    let good = world.deploy("one");
    shows(&api, &good, "success");
    world.site.commit(&[("bad", "x")]);
    let bad = world.deploy("two");
    shows(&api, &bad, "failure");
    let told = (count(&api, &good), count(&api, &bad));

    // The same token again: nobody asks again.
    world.daemon().reload();
    world.write_secret("token", "t0ken-of-the-api");
    world.daemon().reload();
    wait_until("both are told anew", || {
        count(&api, &good) > told.0 && count(&api, &bad) > told.1
    });
    wait_until("it is no problem any more", || {
        let problems = world.target("site/live")["problems"].to_string();
        !problems.contains("report-failing")
    });
    // Only what they are by now.
    assert_eq!((count(&api, &good), count(&api, &bad)), (told.0 + 1, told.1 + 1));
    assert!(!states(&api, &bad).contains(&"success".to_owned()));
}

#[test]
fn a_daemon_that_starts_with_another_token_tells_what_was_refused_to_the_old_one() {
    let api = Receiver::new(|_| plain(403, r#"{"message":"Resource not accessible"}"#));
    let mut world = with_github(&api, "", "");
    world.write_secret("token", "an-old-t0ken");
    world.start();
    let one = world.deploy("one");
    shows(&api, &one, "success");
    // What the forge can't do with any token stays refused.
    api.answer(|_| plain(422, r#"{"message":"No commit found for SHA"}"#));
    let two = world.deploy("two");
    shows(&api, &two, "success");
    wait_until("that is noted", || {
        world.target("site/live")["problems"][0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("422"))
    });
    let told = (count(&api, &one), count(&api, &two));

    api.answer(github);
    world.stop();
    world.start();
    world.stop();
    assert_eq!((count(&api, &one), count(&api, &two)), told);
    world.write_secret("token", "t0ken-of-the-api");
    world.start();
    wait_until("it is told anew", || count(&api, &one) > told.0);
    assert_eq!(states(&api, &one).last().unwrap(), "success");
    assert_eq!(count(&api, &two), told.1);
}
