//! An HTTP server on loopback that takes what it is sent, answers as the test says, and remembers everything in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub raw: Vec<u8>,
    pub body: Value,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }
}

/// In place of a status: takes the request and never answers.
pub const SILENT: u16 = 0;

/// In place of a status: a good answer whose body comes byte by byte, and never ends.
pub const DRIPPING: u16 = 1;

/// In place of a status: a good answer whose body comes as fast as it is read, and never ends.
pub const ENDLESS: u16 = 2;

/// From one byte of a dripping body to the next.
const DRIP: Duration = Duration::from_millis(20);

/// An answer: the status, headers, and the body.
pub type Reply = (u16, Vec<(&'static str, String)>, String);

type Answers = Box<dyn FnMut(&Received) -> Reply + Send>;

struct Inner {
    answers: Answers,
    received: Vec<Received>,
}

/// The server; its thread ends with the test's process.
pub struct Receiver {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

/// An answer without headers.
pub fn plain(status: u16, body: &str) -> Reply {
    (status, Vec::new(), body.to_owned())
}

impl Receiver {
    pub fn new(answers: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner {
            answers: Box::new(answers),
            received: Vec::new(),
        }));
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that goes away is no concern of the server.
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, inner }
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, answers: impl FnMut(&Received) -> Reply + Send + 'static) {
        self.inner.lock().unwrap().answers = Box::new(answers);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was told to it, without what it was asked: a daemon with a token asks for failed deliveries whenever it starts.
    pub fn told(&self) -> Vec<Received> {
        let mut told = self.received();
        told.retain(|received| received.method != "GET");
        told
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().unwrap().received.clone()
    }
}

fn serve(mut stream: TcpStream, inner: &Mutex<Inner>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut raw = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut raw)?;
    let received = Received {
        method,
        path,
        headers,
        body: serde_json::from_slice(&raw).unwrap_or_default(),
        raw,
    };
    let (status, more, body) = {
        let mut inner = inner.lock().unwrap();
        inner.received.push(received.clone());
        (inner.answers)(&received)
    };
    match status {
        SILENT => return stream.read(&mut [0]).map(drop),
        DRIPPING => return drip(stream),
        ENDLESS => {
            stream.write_all(b"HTTP/1.1 201 X\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[b' '; 16 << 10])?;
            }
        }
        _ => {}
    }
    let mut head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in more {
        head.extend([name, ": ", &value, "\r\n"]);
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    // Until the client has read it.
    let _ = stream.read(&mut [0]);
    Ok(())
}

/// Until the client goes away.
fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 201 X\r\nConnection: close\r\n\r\n")?;
    stream.set_read_timeout(Some(DRIP))?;
    while !matches!(stream.read(&mut [0]), Ok(0)) {
        stream.write_all(b" ")?;
    }
    Ok(())
}
