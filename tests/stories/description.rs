//! The description of the API against a daemon that has seen something: whatever it names is answered as it says.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::forge::{Delivery, SECRET};
use crate::support::http::{Address, request};
use crate::support::world::World;

/// Passes TCP on to a unix socket, for programs that know no others.
fn bridge(socket: PathBuf) -> std::net::SocketAddr {
    fn copy(mut from: impl io::Read + Send + 'static, mut to: TcpOrUnix) {
        std::thread::spawn(move || {
            // Either end may hang up.
            let _ = io::copy(&mut from, &mut to);
            to.end();
        });
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(daemon) = UnixStream::connect(&socket) else {
                return;
            };
            copy(
                stream.try_clone().unwrap(),
                TcpOrUnix::Unix(daemon.try_clone().unwrap()),
            );
            copy(daemon, TcpOrUnix::Tcp(stream));
        }
    });
    address
}

enum TcpOrUnix {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl TcpOrUnix {
    fn end(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

impl io::Write for TcpOrUnix {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A daemon with releases, a failure, deliveries of each kind, a token and a channel.
fn with_history() -> World {
    let world = World::site(
        "build = \"! grep -q bad index.html\"\nnotify = [\"ops\"]\n\
         [notify.ops]\nkind = \"command\"\ncommand = \"true\"\n",
    );
    world.deploy("one");
    world.deploy("two");
    world.deploy("bad");
    world.deploy("three");
    world
        .send(
            &Delivery::github(
                "ping",
                r#"{"zen":"x","hook":{},"repository":{"full_name":"alice/site"}}"#,
            )
            .signed(SECRET),
        )
        .expect(200);
    world.send(&world.pushed()).expect(200);
    world.send(&world.pushed().signed("wrong")).expect(401);
    world.hookd(&["token", "add", "ci", "--may", "deploy:site/*"]).expect(0);
    world.hookd(&["rollback", "site"]).expect(0);
    world.hookd(&["resume", "site"]).expect(0);
    world.settled();
    world
}

fn schemathesis(place: &Path, address: std::net::SocketAddr) -> (bool, String) {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let output = Command::new(tools.join("schemathesis"))
        .arg("--config-file")
        .arg(tools.join("schemathesis.toml"))
        .args(["run", "--no-color", "--suppress-health-check", "all"])
        .arg(format!("http://{address}/api/v1/openapi.json"))
        // It leaves notes where it runs.
        .current_dir(place)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn what_the_api_answers_is_what_its_description_says() {
    let world = with_history();
    let (well, said) = schemathesis(world.dir(), bridge(world.path("control.sock")));
    assert!(well, "{said}");
}

#[test]
fn parameters_and_methods_are_taken_as_described() {
    let world = World::site("");
    let api = |method: &str, path: &str| {
        let control = Address::Unix(world.path("control.sock"));
        control
            .send(&request(method, &format!("/api/v1{path}"), &[], b""))
            .unwrap()
    };
    for path in [
        "/deployments?limit=x",
        "/deployments?limit=0",
        "/deployments?before=-1",
        "/deployments?outcome=lost",
        "/deliveries?result=",
        "/audit?limit=1e3",
    ] {
        let answer = api("GET", path).expect(400);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        let parameter = path.split(['?', '=']).nth(1).unwrap();
        assert!(answer.word("error").contains(parameter), "{path}: {}", answer.text());
    }
    api("GET", "/deployments?limit=1000000&unknown=1").expect(200);
    for (method, path, allow) in [
        ("DELETE", "/tokens", "GET, HEAD, POST"),
        ("POST", "/status", "GET, HEAD"),
        ("GET", "/targets/site/live/pause", "POST"),
    ] {
        let answer = api(method, path).expect(405);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    let answer = api("GET", "/nothing").expect(404);
    assert!(answer.word("hint").contains("openapi.json"), "{}", answer.text());
}
