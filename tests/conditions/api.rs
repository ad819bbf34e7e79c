//! A forge's API: a small HTTP server on loopback that answers as the test says, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it answers to a path with its query.
type Answers = Box<dyn FnMut(&str) -> (u16, String) + Send>;

/// What it was asked: the path with its query, and the headers, their names in lower case.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: Vec<(String, String)>,
}

struct Inner {
    answers: Answers,
    asked: Vec<Asked>,
}

/// The server; its thread ends with the test's process.
pub struct Api {
    address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

impl Api {
    pub fn new(answers: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner {
            answers: Box::new(answers),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is no concern of the server.
                let _ = serve(stream, &shared);
            }
        });
        Self { address, inner }
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, answers: impl FnMut(&str) -> (u16, String) + Send + 'static) {
        self.inner.lock().unwrap().answers = Box::new(answers);
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.inner.lock().unwrap().asked.clone()
    }
}

fn serve(mut stream: TcpStream, inner: &Mutex<Inner>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let (status, body) = {
        let mut inner = inner.lock().unwrap();
        inner.asked.push(Asked {
            path: path.clone(),
            headers,
        });
        (inner.answers)(&path)
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    // Until the client has read it.
    let _ = stream.read(&mut [0]);
    Ok(())
}
