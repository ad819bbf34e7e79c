//! Strangers who take connections and keep them: they hold up nobody who is not one of them.

use std::fs::read_to_string;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::support::http::{Address, head, read_answer, request};
use crate::support::world::{World, wait_until};

/// Another machine on loopback.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 6, 6, 6);

/// So many connections of one address, and no more, before somebody has shown who it is.
const LIMITS: &str = "[limits]\nconnections_per_address = 2\nheader_time = \"1m\"\n";

const SITE: &str = "[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\nforge = \"github\"\n\
                    secret = \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\npath = \"$DIR/live\"\n";

/// An address of loopback that is this process's alone, and a port that is the test's.
fn status_address() -> String {
    static PORT: AtomicU16 = AtomicU16::new(9500);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.95.{high}.{low}:{}", PORT.fetch_add(1, Ordering::Relaxed))
}

/// A world whose status pages ask for a password, and these limits.
fn with_log_in(limits: &str) -> (World, Address) {
    let status = status_address();
    let mut world = World::still(&format!(
        "{limits}[http]\nstatus = \"{status}\"\n[http.login]\nusers = \"$DIR/users\"\n{SITE}"
    ));
    let mut command = world.hookd_command(&["user", "add", "alice", "--role", "act"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "correct horse battery").unwrap();
    assert!(child.wait().unwrap().success());
    world.start();
    (world, Address::Tcp(status.parse().unwrap()))
}

/// A log-in whose form does not come.
fn slow_log_in(status: &Address) -> TcpStream {
    let mut stream = status.connect_from(STRANGER).unwrap();
    let length = [("Content-Length".to_owned(), "99".to_owned())];
    let begun = head("POST", "/login", &length) + "\r\nusername=";
    stream.write_all(begun.as_bytes()).unwrap();
    stream
}

/// Whether something has come for a connection.
fn has_come(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let come = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    come
}

#[test]
fn slow_log_ins_of_one_address_leave_the_page_to_others() {
    let (_world, status) = with_log_in(LIMITS);
    let slow = [slow_log_in(&status), slow_log_in(&status)];
    // Of three connections that begin at once any one may be the third.
    let mut third = None;
    wait_until("a third connection of one address waits", || {
        let mut stream = status.connect_from(STRANGER).unwrap();
        stream.write_all(&request("GET", "/login", &[], b"")).unwrap();
        // Another address is served meanwhile.
        for _ in 0..5 {
            let page = status.send(&request("GET", "/login", &[], b"")).unwrap();
            assert_eq!(page.status, 200, "{}", page.text());
        }
        let waits = !has_come(&stream);
        third = Some(stream);
        waits
    });
    let mut third = third.unwrap();
    drop(slow);
    assert_eq!(read_answer(&mut third).unwrap().status, 200);
}

#[test]
fn a_form_that_does_not_come_is_not_waited_for() {
    let (_world, status) = with_log_in("[limits]\nbody_time = \"300ms\"\n");
    let answer = read_answer(&mut slow_log_in(&status)).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("did not come in time"), "{}", answer.text());
}

/// Makes a certificate in the world's directory; gives what a client says first.
fn certificate(world: &World) -> Vec<u8> {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem";
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).current_dir(world.path(""));
    let made = command
        .output()
        .unwrap_or_else(|e| panic!("openssl: {e}; install the Debian package openssl"));
    assert!(made.status.success(), "{made:?}");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn handshakes_that_are_not_gone_on_with_count_among_the_connections_of_their_address() {
    let mut world = World::still(&format!(
        "{LIMITS}[http]\ntls = {{ cert = \"$DIR/cert.pem\", key = \"$DIR/key.pem\" }}\n{SITE}"
    ));
    let hello = certificate(&world);
    world.start();
    let public = world.address();
    let silent: Vec<TcpStream> = (0..2).map(|_| public.connect_from(STRANGER).unwrap()).collect();
    let mut third = None;
    wait_until("a third connection of one address waits", || {
        let mut stream = public.connect_from(STRANGER).unwrap();
        stream.write_all(&hello).unwrap();
        // Another address gets its answer meanwhile.
        for _ in 0..5 {
            let mut other = public.connect_from(Ipv4Addr::LOCALHOST).unwrap();
            other.write_all(&hello).unwrap();
            other.read_exact(&mut [0]).unwrap();
        }
        let waits = !has_come(&stream);
        third = Some(stream);
        waits
    });
    let mut third = third.unwrap();
    drop(silent);
    third.read_exact(&mut [0]).unwrap();
    let log = read_to_string(world.path("daemon.log")).unwrap();
    assert!(!log.contains("panic"), "{log}");
}
