//! The status pages in a real browser: they are whole, keep themselves up to date, and run nothing of what they show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

mod support;

mod pages {
    pub mod browser;
    mod looks;
    mod users;
}

use pages::browser::Browser;
use support::http::Address;
use support::world::World;

/// An address of loopback that is this process's and this test's alone, and so has every port free.
fn status_address(test: u8) -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{test}.{high}.{low}:9001")
}

#[test]
fn a_person_sees_what_goes_on_without_pressing_reload() {
    let status = status_address(91);
    let mut world = World::still(&format!(
        "[http]\nstatus = \"{status}\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\n\
         secret = \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n\
         build = \"cat index.html; $DIR/gate build; ! grep -q bad index.html\"\n"
    ));
    world.start();
    let browser = Browser::start(&world);
    let here = format!("http://{status}");

    // The overview finds by itself what comes.
    browser.open(&here);
    browser.until("Nothing is live");
    browser.until("1 of 1 target needs you");
    world.deploy("the first page");
    browser.until("The target is well");
    browser.until("accepted");

    // A deployment that runs shows its output as it comes, and its end. What it prints is text, whatever it looks like.
    let gate = world.gate("build");
    world.push("<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>");
    let build = gate.reached();
    browser.until("#2 build");
    browser.click("#2 build");
    browser.until("<script>document.title='run'</script>");
    assert!(browser.text().contains("running"));
    build.pass();
    gate.open();
    browser.until("took ");
    assert_eq!(browser.run("document.title"), "live #2 site/live · hookd");
    assert!(browser.text().contains("<img src=x onerror="), "{}", browser.text());

    // One that failed says why, and is found from its target and its delivery.
    world.deploy("bad");
    browser.open(&format!("{here}/targets/site/live"));
    assert!(browser.text().contains("build exited with 1"), "{}", browser.text());
    browser.click("#3");
    browser.until("failed: build exited with 1");
    let delivery = world.deliveries().last().unwrap()["delivery"]
        .as_str()
        .unwrap()
        .to_owned();
    browser.click("webhook");
    browser.until(&delivery);
    browser.until("main");
    assert!(browser.text().contains("deploy"), "{}", browser.text());

    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_address_only_shows_and_only_to_this_machine() {
    let status = status_address(92);
    let mut world = World::still_site("");
    world.configure(&format!(
        "[http]\nstatus = \"{status}\"\n[repo.site]\nurl = \"$DIR/site.git\"\nsecret = \"file:$DIR/secret\"\n\
         poll = \"off\"\nfull_name = \"alice/site\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n"
    ));
    world.start();
    let address = Address::Tcp(status.parse().unwrap());
    let ask = |method: &str, path: &str, host: &str| {
        let bytes =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        address.send(bytes.as_bytes()).unwrap()
    };
    let page = ask("GET", "/", &status).expect(200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'")
    );
    ask("GET", "/api/v1/status", "localhost:9001").expect(200);
    // A name elsewhere that was made to lead here.
    ask("GET", "/api/v1/status", "evil.example").expect(403);
    for path in ["/api/v1/targets/site/live/deploy", "/api/v1/targets/site/live/pause"] {
        let refused = ask("POST", path, &status).expect(403);
        assert!(refused.text().contains("control socket"), "{}", refused.text());
    }
    assert_eq!(world.target("site/live")["paused"], false);
    for gone in [
        "/targets/site/none",
        "/deployments/99",
        "/deliveries/none",
        "/deployments/x",
    ] {
        ask("GET", gone, &status).expect(404);
    }
}
