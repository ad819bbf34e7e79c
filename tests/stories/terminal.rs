//! What people see: the lists, a failing deployment and wrong configurations, on real terminals of 80 and 200 columns and in a pipe,
//! as the files in `terminal/` keep them.

use rusqlite::Connection;

use crate::support::forge::{Delivery, SECRET};
use crate::support::terminal::{Terminal, same_as_kept};
use crate::support::world::{World, wait_until};

const TARGETS: &str = r#"
[repo.blog]
url = "$DIR/site.git"
full_name = "alice/blog"
forge = "github"
secret = "file:$DIR/secret"
poll = "off"
[repo.blog.deploy.production]
branch = "main"
path = "$DIR/production"
build = "echo building the pages; if grep -q bad index.html; then printf '\\033[31mERROR\\033[0m menu.yml:12: unexpected \\033]8;;http://evil.example\\007indent\\033]8;;\\007\\n' >&2; exit 3; fi"
[repo.blog.deploy.staging]
branch = "next"
path = "$DIR/staging"
[repo.shop]
url = "$DIR/shop.git"
full_name = "alice/shop"
forge = "github"
secret = "file:$DIR/secret"
poll = "off"
[repo.shop.deploy.live]
branch = ["main", "release/*"]
path = "$DIR/shop"
"#;

/// Some hours ago, for good: whatever a terminal says of its age is the same in each run. A look at the remote may have met the
/// same commit before.
const HISTORY: &str = "
    DELETE FROM deployments WHERE outcome IN ('unchanged', 'superseded');
    DELETE FROM deployments WHERE outcome = 'failed' AND id < (SELECT max(id) FROM deployments);
    UPDATE jobs SET source = 'webhook';
    UPDATE deployments SET started_at = ?1, finished_at = ?1 + 4200;
    UPDATE targets SET live_since = ?1;
    UPDATE releases SET created_at = ?1;
    UPDATE deliveries SET received_at = ?1;
";

/// Three targets: one whose last deployment failed, one whose ref is not there, and one that is paused. Subjects are long, and
/// hostile.
fn world() -> World {
    let mut world = World::still(TARGETS);
    let shop = world.repo("shop");
    shop.publish("Open the shop");
    world.start();
    world.hookd(&["deploy", "shop/live", "--ref", "main"]).expect(0);
    world.hookd(&["pause", "shop/live"]).expect(0);
    world.site.publish("Begin the site");
    world.hookd(&["deploy", "blog/production"]).expect(0);
    world.site.publish(
        "Fix the menu on small screens, and give the pages subjects that are much longer than any table is wide",
    );
    let pushed = Delivery::push("alice/blog", "refs/heads/main", &world.site.head());
    world.send(&pushed.to("/hook/blog").signed(SECRET)).expect(202);
    world.settled();
    world.site.publish(
        "bad: \x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \u{202e}desrever <b>html</b>",
    );
    world.hookd(&["deploy", "blog/production"]).expect(1);
    world.settled();
    world.stop();
    let store = Connection::open(world.path("state/hookd.db")).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let then = i64::try_from(now.as_millis()).unwrap() - 3 * 3_600_000 - 1_800_000;
    store.execute_batch(&HISTORY.replace("?1", &then.to_string())).unwrap();
    drop(store);
    world.start();
    wait_until("the remotes were looked at", || {
        let problems = world.target("blog/staging")["problems"].to_string();
        let has_tip = |name: &str| !world.target(name)["tip"].is_null();
        problems.contains("ref-missing") && has_tip("blog/production") && has_tip("shop/live")
    });
    world
}

/// The text with the same letters for what differs from run to run: commits, times, the directory.
fn normalised(world: &World, text: &str) -> String {
    let directory = world.dir().to_string_lossy().into_owned();
    let text = text.replace(&directory, "/tmp/hookd-story");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let run: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        if run.is_empty() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let is_hex = run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_number = run.bytes().all(|b| b.is_ascii_digit());
        if run.len() == 16 && run.ends_with('Z') && run.as_bytes()[8] == b'T' {
            out.push_str("yyyymmddThhmmssZ");
        } else if is_number && (out.ends_with('#') || out.ends_with("logs ")) {
            out.push('n');
        } else if run.len() == 7 && is_hex {
            out.push_str("c0mm1t7");
        } else {
            out.push_str(&run);
        }
        rest = &rest[run.len()..];
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn lists_are_as_they_are_kept_on_terminals_and_in_a_pipe() {
    let world = world();
    for (arguments, name) in [
        ("status", "status"),
        ("history", "history"),
        ("deliveries", "deliveries"),
        ("releases blog/production", "releases"),
    ] {
        for columns in [80, 200] {
            let terminal = Terminal::run(&world, columns, arguments);
            let (text, code) = terminal.ended();
            assert_eq!(code, 0, "{text}");
            assert!(
                !terminal.wraps(),
                "{columns} columns are too few for `{arguments}`:\n{text}"
            );
            same_as_kept(&format!("{name}.{columns}"), &normalised(&world, &text));
        }
        let piped = world.hookd(&arguments.split(' ').collect::<Vec<_>>()).expect(0).out;
        assert!(!piped.contains(['\x1b', '\u{202e}', '\x07', '…']), "{piped:?}");
        same_as_kept(&format!("{name}.pipe"), &normalised(&world, &piped));
    }
    let terminal = Terminal::run(&world, 120, "status");
    terminal.ended();
    // What is wrong is red, what is well is green.
    let colours = terminal.colours();
    assert!(
        colours.contains("\x1b[1m\x1b[31mfailed") || colours.contains("\x1b[1;31mfailed"),
        "{colours:?}"
    );
}

#[test]
fn a_failing_deployment_ends_with_its_last_lines_and_what_to_type() {
    let world = world();
    for columns in [80, 200] {
        let terminal = Terminal::run(&world, columns, "deploy blog/production");
        let (text, code) = terminal.ended();
        assert_eq!(code, 1, "{text}");
        assert!(!terminal.wraps(), "{text}");
        same_as_kept(&format!("deploy.{columns}"), &normalised(&world, &text));
        // The program's own colours stay, and its link is text.
        let colours = terminal.colours();
        assert!(colours.contains("\x1b[31mERROR"), "{colours:?}");
        assert!(!colours.contains("evil.example\x1b"), "{colours:?}");
    }
    let said = world.hookd(&["deploy", "blog/production"]).expect(1);
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "{said:?}");
    same_as_kept("deploy.pipe", &normalised(&world, &format!("{}{}", said.out, said.err)));
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place() {
    let world =
        World::still("[repo.site]\nurl = \"$DIR/site.git\"\nscret = \"x\"\n[repo.site.deploy.live]\nbranch = 3\n");
    for columns in [80, 200] {
        let terminal = Terminal::run(&world, columns, "check");
        let (text, code) = terminal.ended();
        assert_eq!(code, 78, "{text}");
        same_as_kept(&format!("check.{columns}"), &normalised(&world, &text));
    }
}

#[test]
fn doctor_says_first_how_many_problems_there_are_and_fits() {
    let world = world();
    for columns in [80, 200] {
        let terminal = Terminal::run(&world, columns, "doctor");
        let (text, code) = terminal.ended();
        assert_eq!(code, 1, "{text}");
        let first = text.lines().next().unwrap();
        assert!(first.contains(" error"), "{first}");
        let problem = text.find("ERROR:").unwrap();
        assert!(text.find("WARNING:").is_none_or(|warning| problem < warning), "{text}");
    }
}

#[test]
fn a_watched_status_goes_with_what_happens() {
    let world = World::site("");
    world.deploy("one");
    let terminal = Terminal::run(&world, 80, "status --watch");
    terminal.shows("The target is well.");
    world.hookd(&["pause", "site"]).expect(0);
    terminal.shows("1 of 1 target needs you.");
    assert!(!terminal.text().contains("The target is well."), "{}", terminal.text());
    terminal.press("C-c");
    terminal.ended();
}

#[test]
fn who_stops_following_is_told_that_the_deployment_goes_on() {
    let world = World::site("build = \"echo begun; $DIR/gate build\"");
    let gate = world.gate("build");
    world.site.publish("one");
    let terminal = Terminal::run(&world, 80, "deploy site");
    let waiting = gate.reached();
    terminal.shows("begun");
    terminal.press("C-c");
    let (text, code) = terminal.ended();
    assert_eq!(code, 130, "{text}");
    for said in [
        "the deployment goes on",
        "hookd logs -f site/live",
        "hookd cancel site/live",
    ] {
        assert!(text.contains(said), "{text}");
    }
    waiting.open();
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn a_line_without_an_end_and_bytes_of_all_kinds_break_no_terminal() {
    let world = World::site(
        r"build = '''printf '\033[2J\033]0;title\007\377\342\200\256 odd bytes\n'; head -c 60000000 /dev/zero | tr '\0' x'''",
    );
    world.site.publish("one");
    let terminal = Terminal::run(&world, 80, "deploy site");
    let (text, code) = terminal.ended();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("live: deployed"), "the end is missing");
    let piped = world.hookd(&["logs", "site"]).expect(0).out;
    assert!(piped.contains("odd bytes"));
    assert!(
        !piped.contains(['\x1b', '\x07', '\u{202e}']),
        "no escape may come through"
    );
    assert!(world.daemon().memory() < 64 * 1024, "{} KiB", world.daemon().memory());
}
