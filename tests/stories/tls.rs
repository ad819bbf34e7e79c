//! Built-in TLS of the public listener, with a real client, and a certificate that is renewed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A daemon that is killed when the test ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn run(program: &str, arguments: &[&str], directory: &Path) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; install the Debian packages curl and openssl"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// A certificate for localhost that signs itself, in NAME.pem and NAME.key.
fn certificate(directory: &Path, name: &str) {
    let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        &key,
        "-out",
        &pem,
    ];
    let (done, text) = run("openssl", &arguments, directory);
    assert!(done, "{text}");
}

/// Starts a daemon that listens on a unix socket, and waits until it says that it is ready.
fn start(directory: &Path) -> Daemon {
    let program = env!("CARGO_BIN_EXE_hookd");
    let mut child = Command::new(program)
        .args(["serve", "--config", "hookd.toml", "--log-format", "text"])
        .current_dir(directory)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let daemon = Daemon(child);
    assert!(
        lines.any(|line| line.unwrap().contains("is ready")),
        "the daemon ended before it was ready"
    );
    // Whatever it says later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    daemon
}

fn healthz(directory: &Path, authority: &str) -> (bool, String) {
    let arguments = [
        "-sS",
        "--unix-socket",
        "http.sock",
        "--cacert",
        authority,
        "https://localhost/healthz",
    ];
    run("curl", &arguments, directory)
}

#[test]
fn speaks_tls_with_the_configured_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    certificate(at, "first");
    certificate(at, "other");
    std::fs::write(
        at.join("hookd.toml"),
        "listen = \"unix:http.sock\"\nstate_dir = \"state\"\ncontrol = \"control.sock\"\n\
         [http]\ntls = { cert = \"first.pem\", key = \"first.key\" }\n",
    )
    .unwrap();
    let daemon = start(at);
    let (done, text) = healthz(at, "first.pem");
    assert!(done && text.trim() == "ok", "{text}");
    let (done, text) = healthz(at, "other.pem");
    assert!(!done, "a client that trusts another authority must refuse: {text}");
    let (done, text) = run(
        "curl",
        &["-sS", "--unix-socket", "http.sock", "http://localhost/healthz"],
        at,
    );
    assert!(!done, "plain HTTP must not be answered: {text}");
    drop(daemon);
}

#[test]
fn a_bad_key_keeps_the_daemon_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    certificate(at, "first");
    std::fs::write(at.join("first.key"), "no key").unwrap();
    std::fs::write(
        at.join("hookd.toml"),
        "listen = \"unix:http.sock\"\nstate_dir = \"state\"\ncontrol = \"control.sock\"\n\
         [http]\ntls = { cert = \"first.pem\", key = \"first.key\" }\n",
    )
    .unwrap();
    let (done, text) = run(
        env!("CARGO_BIN_EXE_hookd"),
        &["serve", "--config", "hookd.toml", "--log-format", "text"],
        at,
    );
    assert!(!done && text.contains("first.key"), "{text}");
}
