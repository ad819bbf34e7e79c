//! A job of CI deploys and waits for the end; and what waits to be told survives a kill.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use crate::support::receiver::{Received, Receiver, plain};
use crate::support::world::{World, wait_until};

/// An address of loopback that is this process's and this test's alone.
fn status_address() -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.95.{high}.{low}:9100")
}

/// The shell part of an example: the block behind this line, without its indentation.
fn script(example: &str, behind: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(example)).unwrap();
    let block = text.split_once(&format!("{behind}\n")).unwrap().1;
    let indent = block.len() - block.trim_start().len();
    let inside = |line: &&str| line.trim().is_empty() || line.starts_with(&" ".repeat(indent));
    let lines: Vec<&str> = block
        .lines()
        .take_while(inside)
        .map(|line| line.get(indent..).unwrap_or_default())
        .collect();
    lines.join("\n")
}

fn run(script: &str, address: &str, token: &str) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOOKD_URL", format!("http://{address}/"))
        .env("HOOKD_TARGET", "site/live")
        .env("HOOKD_TOKEN", token)
        .output()
        .unwrap()
}

#[test]
fn the_examples_for_ci_fail_their_job_unless_the_commit_is_live() {
    let address = status_address();
    let mut world = World::still(&format!(
        "[http]\nstatus = \"{address}\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\nsecret = \
         \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\nbuild = \"test ! -e bad\"\n"
    ));
    world.start();
    let said = world
        .hookd(&["token", "add", "ci", "--may", "deploy:site/live"])
        .expect(0);
    let token = said.out.lines().last().unwrap().to_owned();
    for (example, behind) in [
        ("examples/github-action/action.yml", "      run: |"),
        ("examples/gitlab-ci.yml", "    - |"),
    ] {
        let script = script(example, behind);
        let outcome = |code: i32, word: &str| {
            let ended = run(&script, &address, &token);
            let (out, err) = (
                String::from_utf8_lossy(&ended.stdout),
                String::from_utf8_lossy(&ended.stderr),
            );
            assert_eq!(ended.status.code(), Some(code), "{example}: {out}{err}");
            assert!(
                out.contains(word) && !format!("{out}{err}").contains(&token),
                "{example}: {out}{err}"
            );
        };
        world.site.publish(example);
        outcome(0, "site/live: ");
        assert_eq!(world.served(), example);
        outcome(0, "site/live: unchanged");
        world.site.commit(&[("bad", "x")]);
        world.site.publish("broken");
        outcome(1, "build exited with 1");
        world.site.git(&["rm", "-q", "bad"]);
        let ended = run(&script, &address, "hookd_wrong");
        assert!(!ended.status.success(), "{ended:?}");
    }
}

#[test]
fn a_full_outbox_survives_kills_and_each_message_is_heard_in_order() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    // Takes messages until it has heard so many.
    let up_to = |limit: usize| {
        let heard = Arc::clone(&heard);
        move |asked: &Received| {
            let mut heard = heard.lock().unwrap();
            if heard.len() >= limit {
                return plain(503, "");
            }
            heard.push(asked.body["commit"].as_str().unwrap_or_default().to_owned());
            plain(204, "")
        }
    };
    let receiver = Receiver::new(up_to(0));
    let mut world = World::still(&format!(
        "[notify.ops]\nurl = \"{}\"\non = \"live\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\nsecret = \
         \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\nnotify = [\"ops\"]\n",
        receiver.url("/ops")
    ));
    world.start();
    let commits: Vec<String> = (0..4).map(|n| world.deploy(&n.to_string())).collect();
    wait_until("one was tried", || !receiver.received().is_empty());
    world.kill();
    receiver.answer(up_to(2));
    world.start();
    wait_until("two were heard", || heard.lock().unwrap().len() == 2);
    world.kill();
    receiver.answer(up_to(usize::MAX));
    world.start();
    wait_until("all were heard", || heard.lock().unwrap().last() == commits.last());
    let mut once = heard.lock().unwrap().clone();
    once.dedup();
    assert_eq!(once, commits);
}
