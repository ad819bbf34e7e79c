//! Readers that do not read: they hold up nobody.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::http::{Address, head, request};
use crate::support::world::{World, wait_until};

/// So many readers at once, on the status address and on the control socket.
const READERS: usize = 540;

/// An address of loopback that is this process's alone, and a port that is the test's.
fn status_address() -> String {
    static PORT: AtomicU16 = AtomicU16::new(9300);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.93.{high}.{low}:{}", PORT.fetch_add(1, Ordering::Relaxed))
}

/// A world with a status address, whose build is this.
fn world(build: &str) -> (World, Address) {
    // Each reader is an open file, here and there.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(8192), most).unwrap();
    let address = status_address();
    let world = World::new(&format!(
        "[http]\nstatus = \"{address}\"\n[repo.site]\nurl = \"$DIR/site.git\"\nfull_name = \"alice/site\"\n\
         forge = \"github\"\nsecret = \"file:$DIR/secret\"\npoll = \"off\"\n[repo.site.deploy.live]\nbranch = \"main\"\n\
         path = \"$DIR/live\"\nbuild = '{build}'\n"
    ));
    let status = Address::Tcp(address.parse().unwrap());
    (world, status)
}

/// What a browser on this machine asks.
fn asked(path: &str) -> String {
    head("GET", path, &[]).replace("hookd.test", "127.0.0.1") + "\r\n"
}

fn answers(status: &Address) {
    let whole = String::from_utf8(request("GET", "/api/v1/status", &[], b"")).unwrap();
    let answer = status
        .send(whole.replace("hookd.test", "127.0.0.1").as_bytes())
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn streams_that_nobody_reads_leave_room_for_others() {
    let (world, status) = world("$DIR/gate build");
    let gate = world.gate("build");
    world.site.publish("one");
    world.hookd(&["deploy", "site", "--no-wait"]).expect(0);
    let waiting = gate.reached();
    let id = world.target("site/live")["running"]["id"].as_i64().unwrap();
    let path = format!("/api/v1/deployments/{id}/log?follow=1");
    let Address::Tcp(address) = &status else { panic!() };
    let mut readers: Vec<TcpStream> = Vec::new();
    for _ in 0..READERS {
        let mut reader = TcpStream::connect(address).unwrap();
        reader.write_all(asked(&path).as_bytes()).unwrap();
        readers.push(reader);
    }
    let control = Address::Unix(world.path("control.sock"));
    let more: Vec<_> = (0..READERS)
        .map(|_| {
            let mut reader = control.connect().unwrap();
            reader.write_all(asked(&path).as_bytes()).unwrap();
            reader
        })
        .collect();
    answers(&status);
    assert_eq!(world.status()["running"], 1);
    // For a further one there is no place for now, and that is said.
    let whole = asked(&path);
    wait_until("all places are taken", || {
        status.send(whole.as_bytes()).is_ok_and(|answer| answer.status == 503)
    });
    let refused = status.send(whole.as_bytes()).unwrap();
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert!(refused.header("retry-after").is_some());
    waiting.open();
    world.settled();
    assert_eq!(world.served(), "one");
    drop((readers, more));
    wait_until("the places are free again", || {
        status.send(whole.as_bytes()).is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_large_log_that_nobody_reads_is_not_kept_in_memory() {
    let (world, status) = world("yes 0123456789012345678901234567890123456789 | head -c 20000000");
    world.site.publish("one");
    world.hookd(&["deploy", "site", "--no-wait"]).expect(0);
    world.settled();
    let id = world.last()["id"].as_i64().unwrap();
    let before = world.daemon().memory();
    let Address::Tcp(address) = &status else { panic!() };
    let readers: Vec<TcpStream> = (0..30)
        .map(|number| {
            let mut reader = TcpStream::connect(address).unwrap();
            let form = ["", "?follow=1"][number % 2];
            reader
                .write_all(asked(&format!("/api/v1/deployments/{id}/log{form}")).as_bytes())
                .unwrap();
            reader
        })
        .collect();
    for reader in &readers {
        // The answer has begun.
        let mut byte = [0];
        assert_eq!(reader.peek(&mut byte).unwrap(), 1);
    }
    answers(&status);
    let grown = world.daemon().memory().saturating_sub(before);
    assert!(grown < 32 * 1024, "30 readers cost {grown} KiB");
}
