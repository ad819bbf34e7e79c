//! A proxy before a git server that can be stalled and healed, as networks are.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::world::{World, wait_until};

/// No stall.
const FLOWS: usize = usize::MAX;

/// See the module. Its threads live as long as the test's process.
pub struct Tap {
    port: u16,
    /// How many bytes of the server's a new connection lets through before it stalls.
    limit: Arc<AtomicUsize>,
    stalled: Arc<AtomicUsize>,
}

impl Tap {
    /// Before the server at `port` of loopback; everything flows.
    pub fn new(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Self {
            port: listener.local_addr().unwrap().port(),
            limit: Arc::new(AtomicUsize::new(FLOWS)),
            stalled: Arc::new(AtomicUsize::new(0)),
        };
        let (limit, stalled) = (Arc::clone(&tap.limit), Arc::clone(&tap.stalled));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from, &mut to));
                let (limit, stalled) = (limit.load(Ordering::SeqCst), Arc::clone(&stalled));
                thread::spawn(move || forward(upstream, client, limit, &stalled));
            }
        });
        tap
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// New connections go silent after so many bytes.
    pub fn stall_after(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::SeqCst);
    }

    /// New connections flow. Those that have stalled stay so.
    pub fn heal(&self) {
        self.limit.store(FLOWS, Ordering::SeqCst);
    }

    /// Pushes another page to the site, whose remote is behind this, and waits until the fetch of it stalls in the middle of the pack: the
    /// first answer of the fetch lists the refs, the second one is the pack.
    #[track_caller]
    pub fn stall_a_push(&self, world: &World, page: &str) {
        wait_until("the look after the deployment is over", || {
            world.target("site/live")["behind"] == false
        });
        let film = "incompressible".repeat(10);
        world.site.commit(&[("index.html", page), ("film", &film)]);
        self.stall_after(300);
        world.site.push();
        world.send(&world.pushed()).expect(202);
        self.has_stalled(1);
    }

    /// Waits until so many connections have stalled in all.
    #[track_caller]
    pub fn has_stalled(&self, count: usize) {
        wait_until("a connection stalls", || self.stalled.load(Ordering::SeqCst) >= count);
    }
}

fn forward(mut server: TcpStream, mut client: TcpStream, limit: usize, stalled: &AtomicUsize) {
    let mut left = limit;
    let mut buffer = [0; 4096];
    while left > 0 {
        let Ok(count @ 1..) = server.read(&mut buffer) else {
            return;
        };
        let count = count.min(left);
        if client.write_all(&buffer[..count]).is_err() {
            return;
        }
        left -= count;
    }
    stalled.fetch_add(1, Ordering::SeqCst);
    // Holds both connections open for good.
    loop {
        thread::park();
    }
}
