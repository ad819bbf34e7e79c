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

/// A path of the description with these values in it.
fn filled(path: &str, values: [(&str, &str); 5]) -> String {
    values.iter().fold(path.to_owned(), |path, (name, value)| {
        path.replace(&format!("{{{name}}}"), value)
    })
}

#[test]
fn each_operation_names_the_refusals_that_it_gives_and_no_others() {
    let mut world = World::still_site("");
    let config = std::fs::read_to_string(world.path("hookd.toml")).unwrap();
    let login = "[http]\nstatus = \"unix:$DIR/status.sock\"\n[http.login]\nusers = \"$DIR/users\"\n[repo.site]";
    world.configure_whole(&config.replace("[repo.site]", login));
    world.start();
    let token = |name: &str, may: &str| {
        let said = world.hookd(&["token", "add", name, "--may", may]).expect(0);
        said.out.lines().last().unwrap().to_owned()
    };
    let (looks, deploys) = (token("looks", "view"), token("deploys", "deploy:other/*"));
    let control = Address::Unix(world.path("control.sock"));
    let status = Address::Unix(world.path("status.sock"));
    let ask = |to: &Address, method: &str, path: &str, token: Option<&str>, body: &str| {
        let token = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
        let headers: Vec<(String, String)> = token.into_iter().collect();
        to.send(&request(&method.to_uppercase(), path, &headers, body.as_bytes()))
            .unwrap()
            .status
    };
    let document = world.get("/api/v1/openapi.json");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let there = filled(
                path,
                [
                    ("id", "1"),
                    ("repo", "site"),
                    ("target", "live"),
                    ("name", "ops"),
                    ("delivery", "1"),
                ],
            );
            let nowhere = filled(
                path,
                [
                    ("id", "999"),
                    ("repo", "none"),
                    ("target", "none"),
                    ("name", "none"),
                    ("delivery", "none"),
                ],
            );
            let wrong = format!("{there}?limit=x&before=x&wait=x&follow=x&result=x");
            let mut seen = vec![
                ask(&status, method, &there, None, ""),
                ask(&status, method, &there, Some("hookd_nobody_knows"), ""),
                ask(&status, method, &there, Some(&looks), ""),
                ask(&status, method, &there, Some(&deploys), ""),
                ask(&control, method, &wrong, None, "[]"),
            ];
            // What adds or removes nothing is asked for by its owner, too.
            if *method == "get" || path.contains('{') {
                seen.push(ask(&control, method, &nowhere, None, ""));
            }
            let described = |status: u16| !operation["responses"][status.to_string()].is_null();
            for status in &seen {
                assert!(described(*status), "{method} {path} answers {status}: {seen:?}");
            }
            for status in [400, 401, 403, 404] {
                assert_eq!(
                    described(status),
                    seen.contains(&status),
                    "{method} {path}: {status}, {seen:?}"
                );
            }
            // With a token that looks, and without one that a program can have.
            let by_token = operation["security"].is_null();
            assert_eq!(
                by_token,
                *method == "get" || path.ends_with("/deploy"),
                "{method} {path}"
            );
        }
    }
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
