//! What the pages look like: on small and large windows, in light and dark, for people who see and for those who do not, and with
//! texts that were written to break them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::browser::Browser;
use super::users::{PASSWORD, world};
use crate::support::forge::{Delivery, SECRET};

/// A step that prints in colours, and fails if the page is broken.
const BUILD: &str = r#"printf '\033[1mBuilding 14 pages\033[0m\n\033[32mok\033[0m    index.html\n\033[33mwarn\033[0m  no alt text in about.html\n'
$(dirname "$0")/gate build
if grep -q broken index.html; then
  printf '\033[31merror\033[0m index.html:3: <main> is never closed\n' >&2
  exit 2
fi
"#;

/// Saves a picture, if somebody wants to look: `HOOKD_PICTURES` names the directory.
fn save(browser: &Browser, name: &str) {
    if let Some(directory) = std::env::var_os("HOOKD_PICTURES") {
        let file = std::path::Path::new(&directory).join(format!("{name}.png"));
        std::fs::write(file, STANDARD.decode(browser.picture()).unwrap()).unwrap();
    }
}

#[track_caller]
fn judge(browser: &Browser, name: &str, url: &str) {
    for (width, scheme) in [
        (1280, "light"),
        (1280, "dark"),
        (768, "light"),
        (320, "light"),
        (320, "dark"),
    ] {
        browser.look(width, scheme);
        browser.open(url);
        let beyond = browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(beyond, 0, "{name} scrolls sideways at {width} pixels");
        save(browser, &format!("{name}-{width}-{scheme}"));
        if (width, scheme) != (320, "dark") && width != 768 {
            let barriers = browser.barriers();
            assert!(
                barriers.is_empty(),
                "{name}, {width}, {scheme}:\n{}",
                barriers.join("\n")
            );
        }
    }
}

#[test]
fn every_page_is_for_everybody() {
    let (mut world, here) = world(96, "build = \"sh $DIR/build.sh\"\n");
    std::fs::write(world.path("build.sh"), BUILD).unwrap();
    world.start();
    for page in ["one", "two", "broken"] {
        world.deploy(page);
    }
    let failed = world
        .history()
        .into_iter()
        .find(|row| row["outcome"] == "failed")
        .unwrap();
    let delivery = world
        .deliveries()
        .into_iter()
        .find(|row| row["result"] == "accepted")
        .unwrap();
    let gate = world.gate("build");
    world.push("four");
    let build = gate.reached();
    let running = world.target("site/live")["running"]["id"].clone();

    let browser = Browser::start(&world);
    judge(&browser, "login", &format!("{here}/login"));
    browser.log_in("alice", PASSWORD);
    browser.until("Deployments");
    for (name, path) in [
        ("overview", "/".to_owned()),
        ("target", "/targets/site/live".to_owned()),
        ("failed", format!("/deployments/{}", failed["id"])),
        ("live", format!("/deployments/{running}")),
        ("delivery", format!("/deliveries/{}", delivery["number"])),
        ("deployments", "/deployments".to_owned()),
        ("deliveries", "/deliveries".to_owned()),
        ("audit", "/audit".to_owned()),
        ("rollback", "/targets/site/live/rollback".to_owned()),
        ("cancel", "/targets/site/live/cancel".to_owned()),
    ] {
        judge(&browser, name, &format!("{here}{path}"));
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
    judge(&browser, "error", &format!("{here}/deployments/999"));
    build.open();
    world.settled();
}

/// What people and programs write who want to be seen as something else: HTML, colours, links of terminals, another direction, the
/// begin of the line.
const HOSTILE: &str = "<img src=x onerror=document.title=1>\u{1b}[31mred\u{1b}]8;;https://evil.example\u{7}link\u{1b}]8;;\u{7}\u{202e}drow\u{2066}\rback";

/// The same as the name of a branch, in which git has no blanks and no controls.
const BRANCH: &str = "x/<img/src=x/onerror=document.title=1>\u{202e}eno\"&amp;";

/// A second target, for such branches. Its build prints what was committed, and a line of 60 MiB.
const SECOND: &str = "build = \"cat index.html\"\n[repo.site.deploy.any]\nbranch = \"x/**\"\npath = \"$DIR/any\"\n\
     build = '''cat index.html; head -c 62914560 /dev/zero | tr '\\0' x'''\n";

#[test]
fn texts_from_elsewhere_are_shown_and_do_nothing() {
    let (mut world, here) = world(97, SECOND);
    world.start();
    let author = "\u{202e}Mallory &lt;b&gt;\u{1b}[5m\u{1b}]0;title\u{7}";
    world.site.commit_as(HOSTILE, HOSTILE, author);
    world.site.push();
    let git_ref = format!("refs/heads/{BRANCH}");
    let push = |git_ref: &str| {
        let pushed = Delivery::push("alice/site", git_ref, &world.site.head()).signed(SECRET);
        world.send(&pushed).expect(202);
    };
    push("refs/heads/main");
    world.settled();
    world.site.push_to(&git_ref);
    // It takes as long as it takes.
    world.hookd(&["deploy", "site/any", "--ref", &git_ref]).expect(0);
    push(&git_ref);
    world.settled();
    let browser = Browser::start(&world);
    browser.open(&format!("{here}/login"));
    browser.log_in("alice", PASSWORD);
    browser.until("Deployments");
    let of = |target: &str| {
        let is_live = |row: &serde_json::Value| row["target"] == target && row["outcome"] == "live";
        world.history().into_iter().find(is_live).expect("it is live")["id"].to_string()
    };
    let (live, any) = (of("site/live"), of("site/any"));
    for path in [
        "/",
        "/targets/site/live",
        "/targets/site/any",
        &format!("/deployments/{live}"),
        &format!("/deployments/{any}"),
        "/deployments",
        "/deliveries",
        "/deliveries/1",
        "/deliveries/2",
        "/audit",
        "/targets/site/any/deploy",
    ] {
        browser.look(320, "light");
        browser.open(&format!("{here}{path}"));
        let text = browser.text();
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{1b}']), "{path}: {text}");
        assert_eq!(
            browser.run("document.querySelectorAll('main img, main a[href*=evil]').length"),
            0,
            "{path}"
        );
        assert_ne!(browser.run("document.title"), "1", "{path}");
        let beyond = browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(beyond, 0, "{path}");
    }
    for (id, printed) in [(&live, "<img src=x onerror=document.title=1>"), (&any, "is not kept")] {
        browser.open(&format!("{here}/deployments/{id}"));
        // Also where it is not in view, and so not drawn yet.
        let has = format!("document.querySelector('#lines').textContent.includes('{printed}')");
        assert_eq!(browser.run(&has), true, "{printed}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
