//! A proxy before a git server that can be stalled and healed, as networks are.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::world::{World, wait_until};

/// How many bytes of the server's a connection lets through before it stalls, if it does.
#[derive(Clone, Copy, Default)]
struct Limit {
    bytes: Option<usize>,
    number: usize,
}

/// See the module. Its threads live as long as the test's process.
pub struct Tap {
    port: u16,
    limit: Arc<Mutex<Limit>>,
    stalled: Arc<AtomicUsize>,
}

impl Tap {
    /// Before the server at `port` of loopback; everything flows.
    pub fn new(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tap = Self {
            port: listener.local_addr().unwrap().port(),
            limit: Arc::default(),
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
                let (limit, stalled) = (Arc::clone(&limit), Arc::clone(&stalled));
                thread::spawn(move || forward(upstream, client, &limit, &stalled));
            }
        });
        tap
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Each connection, also one that is kept open for the next request, goes silent after so many bytes from now on.
    pub fn stall_after(&self, bytes: usize) {
        self.set(Some(bytes));
    }

    /// Connections flow. Those that have stalled stay so.
    pub fn heal(&self) {
        self.set(None);
    }

    fn set(&self, bytes: Option<usize>) {
        let mut limit = self.limit.lock().unwrap();
        *limit = Limit {
            bytes,
            number: limit.number + 1,
        };
    }

    /// Pushes another page to the site, whose remote is behind this, and waits until the fetch of it stalls in the middle of the pack:
    /// what lists the refs is shorter, on as many connections as it may be, and the pack is longer.
    #[track_caller]
    pub fn stall_a_push(&self, world: &World, page: &str) {
        world.looked();
        let film: String = (1..4000_u64)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string())
            .collect();
        world.site.commit(&[("index.html", page), ("film", &film)]);
        self.stall_after(4096);
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

fn forward(mut server: TcpStream, mut client: TcpStream, limit: &Mutex<Limit>, stalled: &AtomicUsize) {
    let mut left = *limit.lock().unwrap();
    let mut buffer = [0; 4096];
    while left.bytes != Some(0) {
        let Ok(count @ 1..) = server.read(&mut buffer) else {
            return;
        };
        let now = *limit.lock().unwrap();
        if now.number != left.number {
            left = now;
        }
        let count = count.min(left.bytes.unwrap_or(count));
        if client.write_all(&buffer[..count]).is_err() {
            return;
        }
        left.bytes = left.bytes.map(|bytes| bytes - count);
    }
    stalled.fetch_add(1, Ordering::SeqCst);
    // Holds both connections open for good.
    loop {
        thread::park();
    }
}
