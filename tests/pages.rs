//! The status pages in a real browser: they are whole, keep themselves up to date, and run nothing of what they show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic, in its helpers too"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::http::Address;
use support::world::{World, wait_until};

/// Chromium for tests: no display, nothing of its own on the network. `no-sandbox` since root may not have one.
const CHROMIUM: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
];

/// A browser, driven by `WebDriver`; it ends with this.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    fn start(world: &World) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("chromedriver: {e}; install the Debian packages chromium and chromium-driver"));
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let port = line.split("successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        // What it says besides is read to its end, so that it never waits for a reader.
        std::thread::spawn(move || lines.count());
        let mut browser = Self {
            driver,
            port: port.unwrap(),
            session: String::new(),
        };
        let profile = format!("--user-data-dir={}", world.path("browser").display());
        let arguments: Vec<&str> = CHROMIUM.iter().copied().chain([profile.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let (body, json) = (body.to_string(), "Content-Type: application/json");
        let arguments = ["-sS", "-X", method, "-H", json, "--data-binary", &body, &url];
        let output = Command::new("curl").args(arguments).output().unwrap();
        let mut value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(value["value"]["error"].is_null(), "{method} {path}: {value}");
        value["value"].take()
    }

    #[track_caller]
    fn open(&self, url: &str) {
        self.call("POST", &format!("{}/url", self.session), &json!({ "url": url }));
    }

    /// What a line of JavaScript gives in the page.
    #[track_caller]
    fn run(&self, script: &str) -> Value {
        let body = json!({"script": format!("return {script};"), "args": []});
        self.call("POST", &format!("{}/execute/sync", self.session), &body)
    }

    /// The page as a person reads it.
    #[track_caller]
    fn text(&self) -> String {
        self.run("document.body.innerText").as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn until(&self, text: &str) {
        let mut seen = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(&format!("the page shows {text:?}"), || {
                seen = self.text();
                seen.contains(text)
            });
        }));
        assert!(shown.is_ok(), "no {text:?} in the page:\n{seen}");
    }

    #[track_caller]
    fn click(&self, link: &str) {
        let body = json!({"using": "link text", "value": link});
        let found = self.call("POST", &format!("{}/element", self.session), &body);
        let element = found
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        self.call("POST", &format!("{}/element/{element}/click", self.session), &json!({}));
    }

    /// What the browser complained about.
    fn complaints(&self) -> Vec<String> {
        let log = self.call("POST", &format!("{}/se/log", self.session), &json!({"type": "browser"}));
        log.as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, the driver ends the browser; it leads a group of its own, which is then killed.
        let url = format!("http://127.0.0.1:{}{}", self.port, self.session);
        let asked = Command::new("curl")
            .args(["-sS", "--max-time", "10", "-o", "/dev/null", "-X", "DELETE", &url])
            .status();
        assert!(asked.is_ok() || std::thread::panicking(), "{asked:?}");
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.driver.id()).unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
        self.driver.wait().unwrap();
    }
}

/// An address of loopback that is this process's alone, and so has every port free.
fn status_address() -> String {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.91.{high}.{low}:9001")
}

#[test]
fn a_person_sees_what_goes_on_without_pressing_reload() {
    let status = status_address();
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
    let status = status_address().replace("127.91.", "127.92.");
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
