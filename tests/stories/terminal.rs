//! What people see: lists, one failed deployment, one delivery and wrong configurations, on real terminals of 80 and 200 columns and in
//! a pipe, as the files in `terminal/` keep them. `HOOKD_KEEP=1 cargo test --test stories terminal` keeps what they are now; read
//! the difference before you commit it.

use rusqlite::Connection;

use crate::support::forge::{Delivery, SECRET};
use crate::support::terminal::{Terminal, same_as_kept};
use crate::support::world::{World, wait_until};

/// `$POLL` is `off` while things happen, so that they happen in order.
const TARGETS: &str = r#"
[repo.blog]
url = "$DIR/site.git"
full_name = "alice/blog"
forge = "github"
secret = "file:$DIR/secret"
poll = "$POLL"
[repo.blog.deploy.production]
branch = "main"
path = "$DIR/production"
build = "exec >&2; echo building the pages; if grep -q bad index.html; then printf '\\033[31mERROR\\033[0m menu.yml:12: unexpected \\033]8;;http://evil.example\\007indent\\033]8;;\\007\\n'; exit 3; fi"
[repo.blog.deploy.staging]
branch = "next"
path = "$DIR/staging"
[repo.shop]
url = "$DIR/shop.git"
full_name = "alice/shop"
forge = "github"
secret = "file:$DIR/secret"
poll = "$POLL"
[repo.shop.deploy.live]
branch = ["main", "release/*"]
path = "$DIR/shop"
"#;

/// Half a day ago, for good: whatever a terminal says of its age is the same in each run. A look at the remote may have met the
/// same commit before its delivery did.
const HISTORY: &str = "
    DELETE FROM deployments WHERE outcome IN ('unchanged', 'superseded');
    UPDATE jobs SET source = 'webhook';
    UPDATE deployments SET started_at = ?1, finished_at = ?1 + 4200;
    UPDATE targets SET live_since = ?1;
    UPDATE releases SET created_at = ?1;
    UPDATE deliveries SET received_at = ?1, remote_addr = '192.0.2.7';
    UPDATE audit SET at = ?1, who = 'user:alice';
";

/// What is shown in columns.
const TABLES: &[&str] = &[
    "status",
    "history",
    "deliveries",
    "releases",
    "releases-hostile",
    "audit",
];

/// What terminals obey in a text: colours, a link, another direction, the begin of the line.
const HOSTILE: &str =
    "bad: \x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \u{202e}desrever\r\u{9b}2J <b>html</b>";

/// What no terminal may get from others' texts.
const OBEYED: [char; 5] = ['\x07', '\u{9b}', '\u{202e}', '\u{2066}', '\r'];

/// Three targets: one whose last deployment failed, one whose ref is not there, and one that is paused. Subjects are long, and
/// hostile, and so are names of people and of branches.
fn world() -> World {
    let mut world = World::still(&TARGETS.replace("$POLL", "off"));
    let shop = world.repo("shop");
    shop.publish("Open the shop");
    shop.push_to("refs/heads/release/<i>\u{202e}eno");
    world.start();
    world.hookd(&["deploy", "shop/live", "--ref", "main"]).expect(0);
    let branch = "refs/heads/release/<i>\u{202e}eno";
    shop.commit_as("two", HOSTILE, "\x1b[5mMallory\u{202e}\x1b]0;title\x07");
    shop.push_to(branch);
    let said = world.hookd(&["deploy", "shop/live", "--ref", branch]);
    assert!(!said.out.contains(OBEYED) && !said.err.contains(OBEYED), "{said:?}");
    world.hookd(&["pause", "shop/live"]).expect(0);
    world.site.publish("Begin the site");
    world.hookd(&["deploy", "blog/production"]).expect(0);
    world.site.publish(
        "Fix the menu on small screens, and give the pages subjects that are much longer than any table is wide",
    );
    let pushed = Delivery::push("alice/blog", "refs/heads/main", &world.site.head());
    world.send(&pushed.to("/hook/blog").signed(SECRET)).expect(202);
    world.settled();
    world.site.publish(HOSTILE);
    world.hookd(&["deploy", "blog/production"]).expect(1);
    world.settled();
    world.stop();
    let store = Connection::open(world.path("state/hookd.db")).unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let then = i64::try_from(now.as_millis()).unwrap() - 12 * 3_600_000 - 1_800_000;
    store.execute_batch(&HISTORY.replace("?1", &then.to_string())).unwrap();
    drop(store);
    world.configure(&TARGETS.replace("$POLL", "1h"));
    world.start();
    wait_until("the remotes were looked at", || {
        let problems = world.target("blog/staging")["problems"].to_string();
        let has_tip = |name: &str| !world.target(name)["tip"].is_null();
        problems.contains("ref-missing") && has_tip("blog/production") && has_tip("shop/live")
    });
    world
}

/// The text with the same letters for what differs from run to run and from machine to machine: commits, times, numbers, the directory,
/// and what commands run as.
fn normalised(world: &World, text: &str) -> String {
    let directory = world.dir().to_string_lossy().into_owned();
    let mut text = text.replace(&directory, "/tmp/hookd-story");
    for delivery in world.daemon.iter().flat_map(|_| world.deliveries()) {
        text = text.replace(delivery["delivery"].as_str().unwrap(), "de11very-id");
    }
    if let Some(at) = text.rfind("0 waiting; ") {
        text.truncate(at + "0 waiting; ".len());
    }
    let text = text.replace(concat!("hookd ", env!("CARGO_PKG_VERSION")), "hookd VERSION");
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
        if run.len() == 40 && is_hex {
            out.push_str("c0mm1t7…");
        } else if run.len() == 16 && run.ends_with('Z') && run.as_bytes()[8] == b'T' {
            out.push_str("yyyymmddThhmmssZ");
        } else if is_number && (out.ends_with('#') || out.ends_with("logs ") || out.ends_with("hookd-")) {
            out.push('n');
        } else if run.len() == 7 && is_hex {
            out.push_str("c0mm1t7");
        } else {
            out.push_str(&run);
        }
        rest = &rest[run.len()..];
    }
    if let Some(at) = out.find("came in    ") {
        let at = at + "came in    ".len();
        out.replace_range(at..at + "yyyy-mm-ddThh:mm:ssZ".len(), "yyyy-mm-ddThh:mm:ssZ");
    }
    // Seconds since the world was made.
    for seconds in 5..120 {
        out = out.replace(&format!("({seconds} s ago)"), "(now)");
    }
    // Its commit is known by the time that it is asked for, or not yet.
    let begun = "#n blog/production (deploy";
    let line = |line: &str| {
        if line.starts_with(begun) {
            format!("{begun})")
        } else {
            line.trim_end().to_owned()
        }
    };
    out.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// On terminals of both widths and in a pipe: the text is the kept one, and obeys nobody. What has columns fits; lines of prose and
/// of output are the terminal's to break.
#[track_caller]
fn shown(world: &World, name: &str, arguments: &str, code: i32) {
    for columns in [80, 200] {
        let terminal = Terminal::run(world, columns, arguments);
        let (text, ended) = terminal.ended();
        assert_eq!(ended, code, "{text}");
        let has_columns = TABLES.contains(&name);
        assert!(
            !has_columns || !terminal.wraps(),
            "{columns} columns are too few for `{arguments}`:\n{text}"
        );
        let colours = terminal.colours();
        assert!(!colours.contains("\x1b]") && !text.contains(OBEYED), "{colours:?}");
        let text = if has_columns { text } else { terminal.unbroken() };
        same_as_kept(&format!("{name}.{columns}"), &normalised(world, &text));
    }
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let said = world.hookd(&arguments).expect(code);
    let piped = format!("{}{}", said.out, said.err);
    assert!(!piped.contains(OBEYED) && !piped.contains(['\x1b', '…']), "{piped:?}");
    same_as_kept(&format!("{name}.pipe"), &normalised(world, &piped));
}

#[test]
fn what_there_is_to_look_at_is_as_it_is_kept() {
    let world = world();
    let failed = world.last()["id"].to_string();
    let delivery = world.deliveries()[0]["number"].to_string();
    for (name, arguments, code) in [
        ("status", "status", 0),
        ("history", "history", 0),
        ("deliveries", "deliveries", 0),
        ("releases", "releases blog/production", 0),
        ("releases-hostile", "releases shop", 0),
        ("logs", &format!("logs {failed}"), 0),
        ("explain", &format!("explain {delivery}"), 0),
        ("audit", "audit", 0),
        ("check", "check", 0),
        ("not-found", "logs 99", 3),
        ("mistyped", "stauts", 2),
    ] {
        shown(&world, name, arguments, code);
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
    shown(&world, "deploy", "deploy blog/production", 1);
    // The program's own colours stay, and its link is text.
    let colours = Terminal::run(&world, 80, "logs blog/production");
    colours.ended();
    assert!(colours.colours().contains("\x1b[31mERROR"), "{:?}", colours.colours());
}

#[test]
fn a_wrong_configuration_is_shown_with_its_place() {
    let world =
        World::still("[repo.site]\nurl = \"$DIR/site.git\"\nscret = \"x\"\n[repo.site.deploy.live]\nbranch = 3\n");
    shown(&world, "check-wrong", "check", 78);
}

/// The parts of the doctor's report on what does not differ from machine to machine, a line for each finding.
fn of_this_world(text: &str) -> String {
    let mut of_world = false;
    let is_kept = |line: &&str| {
        if !line.starts_with(' ') {
            of_world = matches!(*line, "secrets" | "remotes");
        }
        of_world
    };
    let text = text.lines().filter(is_kept).collect::<Vec<_>>().join("\n");
    // In lines of any width.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace(" ERROR", "\n  ERROR").replace(" WARNING", "\n  WARNING") + "\n"
}

#[test]
fn doctor_says_first_how_many_problems_there_are_and_fits() {
    use std::os::unix::fs::PermissionsExt;
    let world = world();
    std::fs::set_permissions(world.path("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for columns in [80, 200] {
        let terminal = Terminal::run(&world, columns, "doctor");
        let (text, code) = terminal.ended();
        assert_eq!(code, 1, "{text}");
        let is_prose = |line: &&str| !line.starts_with("          ") && !line.contains(&*world.dir().to_string_lossy());
        let widest = text.lines().filter(is_prose).map(|line| line.chars().count()).max();
        assert!(widest <= Some(columns), "{text}");
        let first = text.lines().next().unwrap();
        assert!(first.contains(" error"), "{first}");
        let problem = text.find("ERROR:").unwrap();
        assert!(text.find("WARNING:").is_none_or(|warning| problem < warning), "{text}");
        same_as_kept("doctor", &normalised(&world, &of_this_world(&text)));
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
        r"build = '''printf '\033[2J\033]0;title\007\377\342\200\256 odd bytes\n'; head -c 62914560 /dev/zero | tr '\0' x'''",
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
