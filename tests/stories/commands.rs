//! The commands of the configuration: what they get to know, how long they may take, and what becomes of their output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::support::daemon::text_of;
use crate::support::forge::{Delivery, SECRET, push};
use crate::support::world::{World, wait_until};

/// The variables that `env -0` wrote to a file.
fn variables(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_environment_is_the_contracts_and_nothing_else() {
    let world = World::site(
        r#"
build = ["sh", "-c", "env -0 > $DIR/build.env; pwd > $DIR/build.pwd; cp \"$HOOKD_PAYLOAD_FILE\" $DIR/build.payload; stat -c %a \"$HOOKD_PAYLOAD_FILE\" > $DIR/build.mode"]
reload = "env -0 > $DIR/reload.env"
env = { SITE_MODE = "production" }
"#,
    );
    let one = world.deploy("one");
    let two = world.site.publish("two");
    let payload = push("alice/site", "refs/heads/main", &one, &two).to_string();
    let delivery = Delivery::github("push", payload.clone()).signed(SECRET);
    world.send(&delivery).expect(202);
    world.settled();

    let last = world.last();
    let release = world.path("live/releases").join(last["release"].as_str().unwrap());
    let mut seen = variables(&text_of(&world.path("build.env")));
    // The shell's own.
    for own in ["PWD", "SHLVL", "_", "OLDPWD"] {
        seen.remove(own);
    }
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let payload_file = seen.remove("HOOKD_PAYLOAD_FILE").unwrap();
    let mut expected: BTreeMap<&str, String> = BTreeMap::from([
        ("HOOKD_REPO", "site".into()),
        ("HOOKD_TARGET", "site/live".into()),
        ("HOOKD_REF", "refs/heads/main".into()),
        ("HOOKD_BRANCH", "main".into()),
        ("HOOKD_TAG", String::new()),
        ("HOOKD_COMMIT", two.clone()),
        ("HOOKD_PREVIOUS_COMMIT", one),
        ("HOOKD_RELEASE", text(&release)),
        ("HOOKD_PATH", text(&world.path("live"))),
        ("HOOKD_DEPLOYMENT", last["id"].to_string()),
        ("HOOKD_DELIVERY", delivery.its_id()),
        ("HOOKD_EVENT", "push".into()),
        ("HOOKD_PUSHER", "alice".into()),
        ("SITE_MODE", "production".into()),
        ("HOME", text(world.dir())),
        ("LANG", "C.UTF-8".into()),
        ("TMPDIR", text(&world.path("tmp"))),
    ]);
    expected.insert("PATH", std::env::var("PATH").unwrap());
    let seen: BTreeMap<&str, String> = seen
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(text_of(&world.path("build.pwd")).trim(), text(&release));
    assert_eq!(text_of(&world.path("build.payload")), payload);
    assert_eq!(text_of(&world.path("build.mode")).trim(), "600");
    assert!(
        !std::path::Path::new(&payload_file).exists(),
        "the payload file stays after the deployment"
    );

    let reload = variables(&text_of(&world.path("reload.env")));
    assert_eq!(reload["HOOKD_COMMIT"], two);
    assert_eq!(reload["HOOKD_PAYLOAD_FILE"], payload_file);
}

#[test]
fn a_reload_after_a_restart_knows_as_much() {
    let mut world = World::site(
        "reload = \"$DIR/gate reload; cp $HOOKD_PAYLOAD_FILE $DIR/reload.payload; echo $HOOKD_COMMIT $HOOKD_DELIVERY > $DIR/reload.told\"",
    );
    let gate = world.gate("reload");
    let commit = world.push("one");
    world.kill_at(&gate);
    world.resume(&gate);
    let delivery = world.deliveries()[0]["delivery"].as_str().unwrap().to_owned();
    assert_eq!(
        text_of(&world.path("reload.told")).trim(),
        format!("{commit} {delivery}")
    );
    assert!(text_of(&world.path("reload.payload")).contains(&commit));
}

#[test]
fn the_reload_of_a_rollback_is_told_of_the_release_that_comes_back() {
    let world = World::site(
        "reload = \"echo $HOOKD_COMMIT $HOOKD_PREVIOUS_COMMIT >> $DIR/reloads\"\ncheck = \"! grep -q bad index.html\"\ncheck_timeout = \"3s\"",
    );
    let one = world.deploy("one");
    let bad = world.deploy("bad");
    let told = text_of(&world.path("reloads"));
    assert_eq!(told, format!("{one}\n{bad} {one}\n{one} {bad}\n"));
}

#[test]
fn a_child_in_the_background_holds_nobody_up_and_does_not_survive() {
    let world =
        World::site("build = \"sleep 1000 & echo $! > $DIR/child; setsid sleep 1000 & echo done\"\ntimeout = \"30s\"");
    world.deploy("one");
    assert_eq!(world.served(), "one");
    let child = text_of(&world.path("child"));
    assert!(
        !std::path::Path::new("/proc").join(child.trim()).exists(),
        "the child still runs"
    );
    // That nothing else survives is looked at when the world ends.
}

#[test]
fn a_line_that_fails_fails_the_build() {
    let mut world = World::site("build = \"\"\"\nfalse\necho built > built\n\"\"\"");
    world.deploy("one");
    assert_eq!(world.last()["outcome"], "failed");
    assert!(world.log().contains("build"), "{}", world.log());
    assert_eq!(world.release(), None);
    // Of a pipe, the last command counts; and what is tried is allowed to fail.
    world.configure_site("build = \"\"\"\nfalse | cat\nfalse || :\necho built > built\n\"\"\"");
    world.stop();
    world.start();
    world.deploy("two");
    assert_eq!(text_of(&world.path("live/current/built")), "built\n");
}

#[test]
fn a_reload_that_systemd_refuses_says_what_to_type() {
    let world = World::site("reload = \"$DIR/systemctl reload nginx\"");
    let systemctl = world.path("systemctl");
    std::fs::write(
        &systemctl,
        "#!/bin/sh\necho 'Interactive authentication required.' >&2\nexit 4\n",
    )
    .unwrap();
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.deploy("one");
    let reason = world.last()["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.contains("no polkit rule") && reason.contains("hookd doctor"),
        "{reason}"
    );
    let told = world.hookd(&["logs", "1"]).expect(0).out;
    assert!(
        told.contains("/etc/polkit-1/rules.d/60-hookd-site-live.rules"),
        "{told}"
    );
    assert!(told.contains("nginx.service"), "{told}");
}

#[test]
fn a_script_that_ignores_term_is_killed_after_timeout_and_grace() {
    let world = World::site(
        "build = \"trap '' TERM; echo stubborn; while :; do sleep 1; done\"\ntimeout = \"300ms\"\nkill_grace = \"300ms\"",
    );
    world.deploy("one");
    let last = world.last();
    assert_eq!(last["outcome"], "failed");
    assert_eq!(last["reason"], "build timed out after 300ms and was stopped");
    assert_eq!(world.release(), None);
}

#[test]
fn a_command_that_is_not_there_says_which() {
    let world = World::site(r#"build = ["no-such-program-anywhere", "--now"]"#);
    world.deploy("one");
    let reason = world.last()["reason"].to_string();
    assert!(
        reason.contains("could not be started") && reason.contains("no-such-program-anywhere"),
        "{reason}"
    );
}

#[test]
fn output_is_kept_up_to_its_limit_and_the_deployment_goes_on() {
    let config = r#"
[limits]
output = "64KiB"
$SITE
poll = "off"
$LIVE
build = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; yes | head -n 100000; printf 'bell \\007 escape \\033[31m \\377 bytes\\n' >&2; echo last"
"#;
    let world = World::new(config);
    world.deploy("one");
    assert_eq!(world.served(), "one");
    let kept = std::fs::metadata(world.path("state/logs/1.log")).unwrap().len();
    assert!(kept < 70_000, "{kept} bytes are kept");
    assert!(
        world.log().len() < 300_000,
        "the journal got {} bytes",
        world.log().len()
    );
    let told = world.hookd(&["logs", "1"]).expect(0);
    assert!(
        told.out.contains("| first") && told.out.contains("is not kept") && !told.out.contains("last"),
        "{told:?}"
    );
    // How it ended is told all the same.
    assert!(told.out.contains("· live: deployed "), "{told:?}");
}

#[test]
fn output_of_scripts_can_not_steer_a_terminal() {
    let world = World::site(r#"build = "printf 'bell \\007 escape \\033[31m \\377 bytes\\n'""#);
    world.deploy("one");
    let told = world.hookd(&["logs", "1"]).expect(0);
    assert!(
        told.out.contains("bell") && !told.out.contains(['\u{7}', '\u{1b}']),
        "{told:?}"
    );
    assert!(!world.log().contains(['\u{7}', '\u{1b}']));
}

#[test]
fn logs_follow_what_is_printed_while_it_is_printed() {
    let mut world = World::still_site(r#"build = "echo before the gate; $DIR/gate build; echo after the gate""#);
    let gate = world.gate("build");
    world.start();
    world.push("one");
    let build = gate.reached();
    let mut follower = world
        .hookd_command(&["logs", "-f", "site"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.any(|line| line.contains("before the gate")));
    build.open();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("after the gate")), "{rest:?}");
    assert!(rest.last().unwrap().contains("live: deployed"), "{rest:?}");
    assert!(follower.wait().unwrap().success());
}

#[test]
fn two_follow_and_one_leaves() {
    let mut world = World::still_site(r#"build = "$DIR/gate build; echo after""#);
    let gate = world.gate("build");
    world.start();
    world.push("one");
    let build = gate.reached();
    let follow = || {
        world
            .hookd_command(&["logs", "-f", "1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (mut leaves, mut stays) = (follow(), follow());
    leaves.kill().unwrap();
    leaves.wait().unwrap();
    build.open();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut stays.stdout.take().unwrap(), &mut told).unwrap();
    assert!(told.contains("after"), "{told}");
    stays.wait().unwrap();
    world.settled();
}

#[test]
fn run_as_another_user_reads_the_payload_and_writes_the_release() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can run commands as another user");
        return;
    }
    let world = World::site(
        "run_as = \"nobody\"\nshared = [\"uploads/\"]\nbuild = \"id -un > who; cat $HOOKD_PAYLOAD_FILE > payload\"\n\
         reload = \"id -un >> uploads/log\"",
    );
    // The story's directory itself is closed to others.
    std::fs::set_permissions(world.dir(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let commit = world.deploy("one");
    assert_eq!(
        world.last()["outcome"],
        "live",
        "{}\n{}",
        world.last(),
        world.hookd(&["logs", "1"]).out
    );
    assert_eq!(text_of(&world.path("live/current/who")).trim(), "nobody");
    assert!(text_of(&world.path("live/current/payload")).contains(&commit));
    assert_eq!(text_of(&world.path("live/shared/uploads/log")).trim(), "nobody");
    // What is not meant for that user stays closed.
    for private in ["state/hookd.db", "state/mirrors", "state/logs"] {
        let mode = std::fs::metadata(world.path(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{private} is open: {mode:o}");
    }
}

#[test]
fn the_secret_is_in_no_log_and_no_file() {
    let world = World::site(
        "build = \"env; echo $HOOKD_COMMIT\"\ncheck = \"! grep -q bad index.html\"\ncheck_timeout = \"3s\"",
    );
    world.deploy("one");
    world.deploy("bad");
    world.send(&world.pushed().without("X-Hub-Signature-256")).expect(401);
    world
        .send(&Delivery::push("alice/site", "refs/heads/main", &world.site.head()).signed("guessed"))
        .expect(401);
    // Somebody who sends the secret itself, in the wrong places.
    let confused = world
        .pushed()
        .header("X-Hub-Signature-256", SECRET)
        .header("Authorization", &format!("Bearer {SECRET}"));
    world.send(&confused.header("X-Gitlab-Token", SECRET)).expect(401);
    world
        .hookd(&[
            "send",
            "site",
            "--url",
            &format!("http://{}/hook/site", address(&world)),
        ])
        .expect(0);
    world.settled();
    wait_until("the log tells of it", || world.log().contains("refused a delivery"));

    let found = std::process::Command::new("grep")
        .args(["-rlaF", SECRET])
        .arg(world.dir())
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.trim(), world.path("secret").to_string_lossy());
    for arguments in [
        &["status", "--json"][..],
        &["deliveries", "--json"],
        &["history", "--json"],
        &["logs", "1"],
        &["check"],
    ] {
        let said = world.hookd(arguments);
        assert!(
            !said.out.contains(SECRET) && !said.err.contains(SECRET),
            "{arguments:?}"
        );
    }
    // Neither in the daemon's arguments nor in what it shows of its environment.
    for file in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{}/{file}", world.daemon().pid())).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET));
    }
}

fn address(world: &World) -> String {
    match world.address() {
        crate::support::http::Address::Tcp(address) => address.to_string(),
        crate::support::http::Address::Unix(path) => path.display().to_string(),
    }
}
