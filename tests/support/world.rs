//! A small world for one story: a repository that people push to, a forge that delivers, and a daemon that deploys.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::daemon::{Daemon, HOOKD, Place, text_of};
use super::forge::{Delivery, SECRET};
use super::gate::{self, Gate};
use super::http::{self, Address, Answer};
use super::repo::Repo;

/// What nothing comes near that is awaited, unless something hangs.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What stands before the configuration of every story. `$DIR` is the story's directory, `$SITE` is [`SITE_REPO`], `$LIVE` is
/// [`LIVE_TARGET`].
const HEAD: &str = r#"
state_dir = "$DIR/state"
control = "$DIR/control.sock"
"#;

/// The head of the repo of most stories.
const SITE_REPO: &str = r#"[repo.site]
url = "$DIR/site.git"
full_name = "alice/site"
forge = "github"
secret = "file:$DIR/secret""#;

/// The head of the target of most stories.
const LIVE_TARGET: &str = r#"[repo.site.deploy.live]
branch = "main"
path = "$DIR/live""#;

/// The repo of most stories; what a story says of its target follows.
const SITE: &str = r#"
$SITE
poll = "off"
$LIVE
"#;

/// One more repo of alice, from the repository `git` of the story, with a target `live` in `directory` that has these keys.
pub fn another_repo(name: &str, git: &str, directory: &str, keys: &str) -> String {
    format!(
        r#"
[repo.{name}]
url = "$DIR/{git}.git"
full_name = "alice/{name}"
forge = "github"
secret = "file:$DIR/secret"
poll = "off"
[repo.{name}.deploy.live]
branch = "main"
path = "$DIR/{directory}"
{keys}
"#
    )
}

/// Waits for a condition, and fails the test if it does not come.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a command of hookd said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Fails the test unless it ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// See the module.
pub struct World {
    pub site: Repo,
    pub daemon: Option<Daemon>,
    socket: TcpListener,
    place: Place,
    // Removed last.
    directory: TempDir,
}

impl World {
    /// A world with the repo `site` and its target `live`, with these keys of the target besides; the daemon runs.
    pub fn site(keys: &str) -> Self {
        Self::new(&format!("{SITE}{keys}"))
    }

    /// A world with this configuration below its head; the daemon runs.
    pub fn new(config: &str) -> Self {
        let mut world = Self::still(config);
        world.start();
        world
    }

    /// The same as [`World::site`], with these lines of `[limits]`.
    pub fn limited(limits: &str) -> Self {
        Self::new(&format!("\n[limits]\n{limits}{SITE}"))
    }

    /// The same as [`World::site`], before anything runs.
    pub fn still_site(keys: &str) -> Self {
        Self::still(&format!("{SITE}{keys}"))
    }

    /// A world in which nothing runs yet.
    pub fn still(config: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("hookd-story-").tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("tmp")).unwrap();
        gate::write_script(path);
        let world = Self {
            site: Repo::new(path, "site"),
            daemon: None,
            socket: TcpListener::bind("127.0.0.1:0").unwrap(),
            place: Place::default(),
            directory,
        };
        world.write_secret("secret", SECRET);
        world.configure(config);
        world
    }

    /// Writes the configuration: the head, and this.
    pub fn configure(&self, config: &str) {
        self.configure_whole(&format!("{HEAD}{config}"));
    }

    /// Writes the configuration of [`World::site`], with these keys of the target.
    pub fn configure_site(&self, keys: &str) {
        self.configure(&format!("{SITE}{keys}"));
    }

    /// Writes the configuration as it is, but for `$SITE`, `$LIVE` and `$DIR`.
    pub fn configure_whole(&self, config: &str) {
        let text = config
            .replace("$SITE", SITE_REPO)
            .replace("$LIVE", LIVE_TARGET)
            .replace("$DIR", &self.dir().to_string_lossy());
        fs::write(self.path("hookd.toml"), text).unwrap();
    }

    /// Writes a secret to a file that only this user can read.
    pub fn write_secret(&self, name: &str, secret: &str) {
        use std::os::unix::fs::PermissionsExt;
        fs::write(self.path(name), format!("{secret}\n")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Shell text that runs before the daemon does, in a mount namespace of its own. `$DIR` is the story's directory.
    pub fn before_start(&mut self, prelude: &str) {
        self.place.prelude = Some(prelude.replace("$DIR", &self.dir().to_string_lossy()));
    }

    /// The daemon will have to listen itself, as its configuration says.
    pub fn without_socket(&mut self) {
        self.place.without_socket = true;
    }

    /// The daemon will run without the rights that root has over other users' files.
    pub fn without_power(&mut self) {
        self.place.powerless = true;
    }

    /// The story's directory.
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// A path below it.
    pub fn path(&self, below: &str) -> PathBuf {
        self.dir().join(below)
    }

    /// A path as the daemon sees it, also in its own mount namespace.
    pub fn seen(&self, below: &str) -> PathBuf {
        let path = self.path(below);
        match (&self.place.prelude, &self.daemon) {
            (Some(_), Some(daemon)) => {
                Path::new(&format!("/proc/{}/root", daemon.pid())).join(path.strip_prefix("/").unwrap())
            }
            _ => path,
        }
    }

    /// Another repository, `$DIR/NAME.git`.
    pub fn repo(&self, name: &str) -> Repo {
        Repo::new(self.dir(), name)
    }

    /// A gate for commands: `$DIR/gate NAME`.
    pub fn gate(&self, name: &str) -> Gate {
        Gate::new(self.dir(), name)
    }

    // ---- The daemon ----

    /// Starts the daemon.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.daemon.is_none());
        match self.try_start() {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(status) => panic!("the daemon did not start: {status}"),
        }
    }

    /// Starts a daemon that may refuse to.
    pub fn try_start(&self) -> Result<Daemon, ExitStatus> {
        Daemon::start(self.dir(), &self.socket, &self.place)
    }

    pub fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the daemon runs")
    }

    /// Kills the daemon with SIGKILL.
    pub fn kill(&mut self) {
        self.daemon.take().expect("the daemon runs").kill();
    }

    /// Kills the daemon while a command stands at the gate, which goes too.
    pub fn kill_at(&mut self, gate: &Gate) {
        let command = gate.reached();
        self.kill();
        command.killed();
    }

    /// Stops the daemon while a command stands at the gate, which goes too.
    #[track_caller]
    pub fn stop_at(&mut self, gate: &Gate) {
        let command = gate.reached();
        self.stop();
        command.killed();
    }

    /// Starts the daemon again, lets the command pass that it runs anew, and waits for the end.
    #[track_caller]
    pub fn resume(&mut self, gate: &Gate) {
        self.start();
        gate.reached().open();
        self.settled();
    }

    /// Stops the daemon with SIGTERM, and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) {
        let daemon = self.daemon.take().expect("the daemon runs");
        daemon.signal(Signal::SIGTERM);
        let status = daemon.ended();
        assert!(status.success(), "{status}");
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        text_of(&self.path("daemon.log"))
    }

    /// Runs a command of hookd.
    pub fn hookd(&self, arguments: &[&str]) -> Said {
        let output = self.hookd_command(arguments).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A command of hookd, to be run.
    pub fn hookd_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(HOOKD);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOOKD_CONFIG", self.path("hookd.toml"));
        command
    }

    // ---- The forge ----

    /// Where the daemon receives deliveries.
    pub fn address(&self) -> Address {
        Address::Tcp(self.socket.local_addr().unwrap())
    }

    /// A signed delivery that says that `main` was pushed.
    pub fn pushed(&self) -> Delivery {
        Delivery::push("alice/site", "refs/heads/main", &self.site.head()).signed(SECRET)
    }

    /// Sends a delivery.
    #[track_caller]
    pub fn send(&self, delivery: &Delivery) -> Answer {
        self.address().send(&delivery.bytes()).unwrap()
    }

    /// Publishes a page and delivers the push, which must be accepted; gives the commit.
    #[track_caller]
    pub fn push(&self, page: &str) -> String {
        let commit = self.site.publish(page);
        self.send(&self.pushed()).expect(202);
        commit
    }

    /// The same, and waits for the end.
    #[track_caller]
    pub fn deploy(&self, page: &str) -> String {
        let commit = self.push(page);
        self.settled();
        commit
    }

    // ---- What came of it ----

    /// Asks the control socket.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        let control = Address::Unix(self.path("control.sock"));
        control.send(&http::request(method, path, &[], body.as_bytes()))
    }

    /// Reads JSON from the control socket.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").unwrap().expect(200).json()
    }

    pub fn status(&self) -> Value {
        self.get("/api/v1/status")
    }

    /// The status of one target.
    #[track_caller]
    pub fn target(&self, name: &str) -> Value {
        let status = self.status();
        let targets = status["targets"].as_array().unwrap();
        let found = targets.iter().find(|target| target["target"] == name);
        found.unwrap_or_else(|| panic!("no target {name}: {status}")).clone()
    }

    /// Waits until no job waits or runs.
    #[track_caller]
    pub fn settled(&self) {
        wait_until("nothing waits or runs", || {
            let status = self.status();
            let idle = |target: &Value| target["running"].is_null();
            status["waiting"] == 0 && status["running"] == 0 && status["targets"].as_array().unwrap().iter().all(idle)
        });
    }

    /// Waits until the look that follows a first deployment is over: with `poll = "off"` nothing finds a push then until it is
    /// delivered.
    #[track_caller]
    pub fn looked(&self) {
        wait_until("the look at the remote is over", || {
            self.target("site/live")["behind"] == false
        });
    }

    /// All deployments, oldest first.
    pub fn history(&self) -> Vec<Value> {
        let Value::Array(mut rows) = self.get("/api/v1/deployments?limit=1000") else {
            panic!("no list")
        };
        rows.reverse();
        rows
    }

    /// All deployments that did something, oldest first. A look at the remote may find a push before its delivery comes;
    /// one of the two jobs is then `superseded` or `unchanged`.
    fn effective(&self) -> Vec<Value> {
        let mut rows = self.history();
        rows.retain(|row| row["outcome"] != "unchanged" && row["outcome"] != "superseded");
        rows
    }

    /// The outcomes of all deployments that did something, oldest first.
    pub fn outcomes(&self) -> Vec<String> {
        let word = |row: &Value| row["outcome"].as_str().unwrap_or("none").to_owned();
        self.effective().iter().map(word).collect()
    }

    /// The last deployment that did something.
    #[track_caller]
    pub fn last(&self) -> Value {
        self.effective().pop().expect("something was deployed")
    }

    /// All deliveries, oldest first.
    pub fn deliveries(&self) -> Vec<Value> {
        let Value::Array(mut rows) = self.get("/api/v1/deliveries?limit=1000") else {
            panic!("no list")
        };
        rows.reverse();
        rows
    }

    /// The page that a web server with `$DIR/live/current` as its root would serve; empty if there is none.
    pub fn served(&self) -> String {
        text_of(&self.seen("live/current/index.html"))
    }

    /// The release that `current` points at; `None` if there is none.
    pub fn release(&self) -> Option<String> {
        let link = fs::read_link(self.seen("live/current")).ok()?;
        let name = link.strip_prefix("releases").expect("a link into releases/");
        Some(name.to_string_lossy().into_owned())
    }

    /// The names of the releases that are there, oldest first, with whatever else is in their directory.
    pub fn releases(&self) -> Vec<String> {
        names(&self.seen("live/releases"))
    }

    /// What is told of a world whose story failed: what it is, and its text.
    fn describe(&self) -> Vec<(&'static str, String)> {
        let mut told = vec![
            ("configuration", text_of(&self.path("hookd.toml"))),
            ("log of the daemon", self.log()),
        ];
        for path in [
            "/api/v1/status",
            "/api/v1/deployments?limit=100",
            "/api/v1/deliveries?limit=100",
        ] {
            told.extend(self.ask("GET", path, "").ok().map(|answer| (path, answer.text())));
        }
        let mut tree = Command::new("find");
        tree.arg(self.dir()).args([
            "-name", "*.work", "-prune", "-o", "-name", "*.git", "-prune", "-o", "-ls",
        ]);
        let tree = tree
            .output()
            .map(|tree| String::from_utf8_lossy(&tree.stdout).into_owned());
        told.push(("files", tree.unwrap_or_default()));
        told
    }

    /// Processes that belong to this world: those that have its directory in their environment.
    fn strays(&self) -> Vec<String> {
        let mark = self.dir().as_os_str().as_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.windows(mark.len()).any(|part| part == mark) {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.push(format!(
                    "{} {}",
                    entry.file_name().display(),
                    String::from_utf8_lossy(&command).replace('\0', " ")
                ));
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (what, text) in self.describe() {
                eprintln!("---- {what}\n{text}");
            }
            return;
        }
        drop(self.daemon.take());
        wait_until("nothing is left of the story's processes", || self.strays().is_empty());
    }
}

/// The names in a directory, sorted; `None` if there is no such directory.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
