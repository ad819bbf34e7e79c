//! Many at once: connections, failures, slow senders. Whoever holds the secret still gets through, and memory stays small.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::forge::{Delivery, SECRET};
use crate::support::http::{Answer, read_answer};
use crate::support::world::{World, wait_until};

/// Most anonymous memory of the daemon after a flood, kilobytes. The contract's 15 MiB are for a release build; this one has no
/// optimisation and keeps its symbols in other memory, so a little more is allowed to it.
const MEMORY_MAX: u64 = 24 * 1024;

/// Another machine on loopback.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 6, 6, 6);

/// Begins a request as a stranger, and leaves it at that.
fn half_a_request(world: &World) -> TcpStream {
    let mut stream = world.address().connect_from(STRANGER).unwrap();
    stream
        .write_all(b"POST /hook/site HTTP/1.1\r\nHost: x\r\nX-Slow")
        .unwrap();
    stream
}

fn send_from(world: &World, source: Ipv4Addr, delivery: &Delivery) -> Answer {
    let mut stream = world.address().connect_from(source).unwrap();
    stream.write_all(&delivery.bytes()).unwrap();
    read_answer(&mut stream).unwrap()
}

#[test]
fn slow_connections_of_one_address_do_not_hold_up_another() {
    let world = World::limited("");
    world.site.publish("one");
    // More than one address may have; those beyond it wait for a place.
    let _slow: Vec<TcpStream> = (0..40).map(|_| half_a_request(&world)).collect();
    let start = Instant::now();
    world.send(&world.pushed()).expect(202);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        start.elapsed()
    );
    world.settled();
    assert_eq!(world.served(), "one");
}

#[test]
fn slow_connections_of_the_same_address_are_gone_in_time() {
    let world = World::limited("header_time = \"500ms\"");
    world.site.publish("one");
    let mut slow: Vec<TcpStream> = (0..40).map(|_| half_a_request(&world)).collect();
    // A forge waits for ten seconds.
    let start = Instant::now();
    let answer = send_from(&world, STRANGER, &world.pushed());
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(start.elapsed() < Duration::from_secs(10));
    for stream in &mut slow {
        let status = read_answer(stream).unwrap().status;
        assert!([408, 429].contains(&status), "{status}");
    }
    world.settled();
}

#[test]
fn six_hundred_connections_cost_neither_deliveries_nor_memory() {
    let world = World::limited("header_time = \"2s\"");
    world.site.publish("one");
    let before = world.daemon().descriptors();
    let mut all: Vec<TcpStream> = Vec::new();
    for number in 0..600_u16 {
        // Twenty to each address, so that the limit of all connections is what counts.
        let [high, low] = (number / 20).to_be_bytes();
        let source = Ipv4Addr::new(127, 7, high, low + 1);
        let mut stream = world.address().connect_from(source).unwrap();
        let _ = stream.write_all(b"POST /hook/site HTTP/1.1\r\nHost: x\r\n");
        all.push(stream);
    }
    let open = world.daemon().descriptors();
    assert!(open < before + 530, "{open} descriptors are open");
    // All places are taken for now; they are free again once the heads did not come in time.
    assert_eq!(send_from(&world, STRANGER, &world.pushed()).status, 202);
    drop(all);
    wait_until("the connections are closed", || {
        world.daemon().descriptors() <= before + 5
    });
    world.settled();
    assert_eq!(world.served(), "one");
    assert!(world.daemon().memory() < MEMORY_MAX, "{} kB", world.daemon().memory());
}

#[test]
fn who_fails_too_often_has_to_wait_but_not_who_signs_rightly() {
    let world = World::limited("auth_failures = 5");
    world.site.publish("one");
    let wrong = Delivery::push("alice/site", "refs/heads/main", &world.site.head()).signed("guess");
    let unknown = wrong.clone().to("/hook/nobody");
    for number in 0..5 {
        let delivery = if number % 2 == 0 { &wrong } else { &unknown };
        assert_eq!(send_from(&world, STRANGER, delivery).status, 401, "{number}");
    }
    for delivery in [&wrong, &unknown] {
        let answer = send_from(&world, STRANGER, delivery);
        assert_eq!(answer.status, 429);
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    // Neither does another address pay for it, nor a right signature from the same one.
    assert_eq!(world.send(&wrong).status, 401);
    assert_eq!(send_from(&world, STRANGER, &world.pushed()).status, 202);
    world.settled();
    assert_eq!(world.served(), "one");
    let metrics = world.ask("GET", "/metrics", "").unwrap().text();
    assert!(
        metrics.contains(r#"hookd_rejected_total{reason="rate-limit"} 2"#),
        "{metrics}"
    );
}

/// Sends a delivery again and again from a few threads.
fn flood(world: &World, count: usize, make: &(dyn Fn() -> Delivery + Sync), good: &[u16]) {
    let address = world.address();
    let left = AtomicUsize::new(count);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok()
                {
                    let answer = address.send(&make().bytes()).unwrap();
                    assert!(good.contains(&answer.status), "{} {}", answer.status, answer.text());
                }
            });
        }
    });
}

#[test]
fn a_flood_leaves_little_in_memory() {
    let world = World::limited("");
    world.site.publish("one");
    let head = world.site.head();
    let wrong = || Delivery::push("alice/site", "refs/heads/main", &head).signed("guess");
    flood(&world, 800, &wrong, &[401, 429]);
    // A stranger can also send much at once, without a signature.
    let much = || Delivery {
        body: vec![b'x'; 3 << 20],
        ..wrong()
    };
    flood(&world, 16, &much, &[401, 429]);
    let right = || Delivery::push("alice/site", "refs/heads/main", &head).signed(SECRET);
    flood(&world, 200, &right, &[200, 202]);
    world.settled();
    assert_eq!(world.served(), "one");
    wait_until("memory is given back", || world.daemon().memory() < MEMORY_MAX);
    assert!(world.daemon().descriptors() < 40, "{}", world.daemon().descriptors());
}

#[test]
fn slow_senders_behind_a_trusted_proxy_hold_up_nobody_else() {
    let world = World::limited("header_time = \"1m\"\n[http]\ntrusted_proxies = [\"127.0.0.0/8\"]");
    world.site.publish("one");
    let slow = |_| {
        let mut stream = world.address().connect_from(STRANGER).unwrap();
        let head = "POST /hook/site HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: 99\r\n\r\n{";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let _slow: Vec<TcpStream> = (0..80).map(slow).collect();
    let delivery = world.pushed().header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(send_from(&world, STRANGER, &delivery).status, 202);
    world.settled();
}

#[test]
fn large_uploads_that_only_drip_hold_no_memory() {
    let world = World::limited("");
    world.site.publish("one");
    let drip = |number: u8| {
        let mut stream = world.address().connect_from(Ipv4Addr::new(127, 8, 0, number)).unwrap();
        let head = "POST /hook/site HTTP/1.1\r\nHost: x\r\nContent-Length: 26000000\r\n\r\n{";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let _slow: Vec<TcpStream> = (1..=8).map(drip).collect();
    let large = Delivery {
        body: [vec![b' '; 20 << 20], world.pushed().body].concat(),
        ..world.pushed()
    };
    assert_eq!(send_from(&world, STRANGER, &large.signed(SECRET)).status, 202);
    world.settled();
}

#[test]
fn large_uploads_that_stop_before_their_end_hold_no_memory() {
    let world = World::limited("");
    world.site.publish("one");
    let most = vec![b'x'; 20 << 20];
    let upload = |number: u8| {
        let mut stream = world.address().connect_from(Ipv4Addr::new(127, 8, 0, number)).unwrap();
        let head = "POST /hook/site HTTP/1.1\r\nHost: x\r\nContent-Length: 26000000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&most).unwrap();
        stream
    };
    let _stopped: Vec<TcpStream> = (1..=4).map(upload).collect();
    assert!(world.daemon().memory() < MEMORY_MAX, "{} kB", world.daemon().memory());
    let large = Delivery {
        body: [vec![b' '; 1 << 20], world.pushed().body].concat(),
        ..world.pushed()
    };
    assert_eq!(send_from(&world, STRANGER, &large.signed(SECRET)).status, 202);
    world.settled();
    assert_eq!(world.served(), "one");
}
