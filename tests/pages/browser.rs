//! A real browser, driven by `WebDriver`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::world::{World, wait_until};

/// The tabulator, as `WebDriver` names it.
pub const TAB: &str = "\u{e004}";

/// The return key.
pub const RETURN: &str = "\u{e006}";

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
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    pub fn start(world: &World) -> Self {
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
        let arguments = [
            "-sS",
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
            &url,
        ];
        let mut curl = Command::new("curl");
        let mut curl = curl
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        curl.stdin
            .take()
            .unwrap()
            .write_all(body.to_string().as_bytes())
            .unwrap();
        let output = curl.wait_with_output().unwrap();
        let mut value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(value["value"]["error"].is_null(), "{method} {path}: {value}");
        value["value"].take()
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.call("POST", &format!("{}/url", self.session), &json!({ "url": url }));
    }

    /// Where the page is.
    pub fn path(&self) -> String {
        let path = self.run("location.pathname + location.search");
        path.as_str().unwrap().to_owned()
    }

    /// What a line of JavaScript gives in the page.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        let body = json!({"script": format!("return {script};"), "args": []});
        self.call("POST", &format!("{}/execute/sync", self.session), &body)
    }

    /// The page as a person reads it.
    #[track_caller]
    pub fn text(&self) -> String {
        self.run("document.body.innerText").as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub fn until(&self, text: &str) {
        let mut seen = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(&format!("the page shows {text:?}"), || {
                seen = self.text();
                seen.contains(text)
            });
        }));
        assert!(shown.is_ok(), "no {text:?} in the page:\n{seen}");
    }

    /// Clicks a link.
    #[track_caller]
    pub fn click(&self, link: &str) {
        self.click_on("link text", link);
    }

    /// Clicks what a CSS selector finds first.
    #[track_caller]
    pub fn press(&self, selector: &str) {
        self.click_on("css selector", selector);
    }

    #[track_caller]
    fn click_on(&self, using: &str, value: &str) {
        let element = self.find(using, value);
        self.call("POST", &format!("{}/element/{element}/click", self.session), &json!({}));
    }

    #[track_caller]
    fn find(&self, using: &str, value: &str) -> String {
        let body = json!({"using": using, "value": value});
        let found = self.call("POST", &format!("{}/element", self.session), &body);
        found
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Types into a field.
    #[track_caller]
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.find("css selector", selector);
        let path = format!("{}/element/{element}/value", self.session);
        self.call("POST", &path, &json!({ "text": text }));
    }

    /// Types where the focus is.
    #[track_caller]
    pub fn keys(&self, text: &str) {
        let strokes = text
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })));
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>()}]});
        self.call("POST", &format!("{}/actions", self.session), &actions);
    }

    /// Goes on with the tabulator until the focus is on what reads so.
    #[track_caller]
    pub fn tab_to(&self, text: &str) {
        for _ in 0..100 {
            self.keys(TAB);
            if self.run("document.activeElement.innerText.trim()") == text {
                return;
            }
        }
        panic!("no {text:?} is reached by the keyboard:\n{}", self.text());
    }

    /// Logs in with the form that is shown.
    #[track_caller]
    pub fn log_in(&self, name: &str, password: &str) {
        self.fill("#username", name);
        self.fill("#password", password);
        self.press("form.card button");
    }

    /// A command of the browser's own protocol.
    #[track_caller]
    fn command(&self, name: &str, parameters: &Value) -> Value {
        let path = format!("{}/goog/cdp/execute", self.session);
        self.call("POST", &path, &json!({ "cmd": name, "params": parameters }))
    }

    /// Makes the window so wide, pixels, for people who like it so: `light`, `dark`.
    #[track_caller]
    pub fn look(&self, width: u32, scheme: &str) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", &size);
        // As on a phone; else a picture of the whole page lacks the bar's width at the right.
        self.command("Emulation.setScrollbarsHidden", &json!({"hidden": true}));
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", &features);
    }

    /// A picture of the page, PNG in base64.
    pub fn picture(&self) -> String {
        let shot = self.command(
            "Page.captureScreenshot",
            &json!({"format": "png", "captureBeyondViewport": true}),
        );
        shot["data"].as_str().unwrap().to_owned()
    }

    /// What axe-core has against the page.
    #[track_caller]
    pub fn barriers(&self) -> Vec<String> {
        let axe = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/pages/node_modules/axe-core/axe.min.js"
        );
        let axe = std::fs::read_to_string(axe).unwrap_or_else(|e| panic!("{axe}: {e}; npm ci --prefix tests/pages"));
        let run = "axe.run(document).then(found => found.violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html} ${n.failureSummary}`)))";
        let script = format!("{axe};\nconst done = arguments[0]; {run}.then(done, error => done([String(error)]));");
        let body = json!({"script": script, "args": []});
        let found = self.call("POST", &format!("{}/execute/async", self.session), &body);
        let found = found.as_array().unwrap().iter();
        found.map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// What the browser complained about.
    pub fn complaints(&self) -> Vec<String> {
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
