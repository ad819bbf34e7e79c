//! Servers that misbehave on demand: a proxy that goes silent or cuts, and one with a single answer to everything.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What a [`Proxy`] does once the server has sent so many bytes on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Goes silent, with the connection open.
    StallAfter(usize),
    /// Closes the connection.
    CutAfter(usize),
}

/// Stands before a server and breaks each connection.
pub struct Proxy {
    port: u16,
    struck: Arc<(Mutex<bool>, Condvar)>,
}

impl Proxy {
    /// Before the server at `port` of loopback. Its threads live as long as the test's process.
    pub fn new(server: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let struck = Arc::new((Mutex::new(false), Condvar::new()));
        let mark = struck.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(upstream)) = (client, TcpStream::connect(("127.0.0.1", server))) else {
                    continue;
                };
                let (mut from, mut to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from, &mut to));
                let mark = mark.clone();
                thread::spawn(move || forward(upstream, client, fault, &mark));
            }
        });
        Self { port, struck }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the fault has struck; fails the test if it doesn't within a minute.
    pub fn wait(&self) {
        let (struck, changed) = &*self.struck;
        let limit = Duration::from_mins(1);
        let (struck, _) = changed
            .wait_timeout_while(struck.lock().unwrap(), limit, |struck| !*struck)
            .unwrap();
        assert!(*struck, "the connection never came so far as to be broken");
    }
}

fn forward(mut server: TcpStream, mut client: TcpStream, fault: Fault, mark: &(Mutex<bool>, Condvar)) {
    let (Fault::StallAfter(limit) | Fault::CutAfter(limit)) = fault;
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
    *mark.0.lock().unwrap() = true;
    mark.1.notify_all();
    if let Fault::CutAfter(_) = fault {
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    } else {
        // Holds the connections open for good.
        loop {
            thread::park();
        }
    }
}

/// Answers every http request with the same bytes, and remembers what it was asked.
pub struct Canned {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    /// `answer` is the whole response. Its thread lives as long as the test's process.
    pub fn new(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), answer.to_owned());
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                seen.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let _ = client.write_all(answer.as_bytes());
            }
        });
        Self { port, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// The heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// An http proxy: passes on what it is asked for, to whom it is asked.
pub struct HttpProxy {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    /// Its threads live as long as the test's process.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&head).into_owned();
                let mut words = text.split(' ');
                let (method, to) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let authority = to.trim_start_matches("http://").split('/').next().unwrap_or_default();
                let Ok(mut server) = TcpStream::connect(authority) else {
                    continue;
                };
                let (mut from, mut back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let _ = if method == "CONNECT" {
                    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                } else {
                    // A server takes the whole URL, too.
                    server.write_all(&head)
                };
                seen.lock().unwrap().push(text);
                thread::spawn(move || std::io::copy(&mut from, &mut server));
                thread::spawn(move || std::io::copy(&mut back, &mut client));
            }
        });
        Self { port, requests }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The head of the first request of each connection.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}
