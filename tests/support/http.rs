//! An HTTP client of the tests' own: it sends the bytes it is given, also wrong ones, and keeps the bytes that come back.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What no answer comes near, unless something hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that can be given up half-way.
pub trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    pub fn connect(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(unix(path)?),
        })
    }

    /// Connects from another address of loopback, as another machine would.
    pub fn connect_from(&self, source: Ipv4Addr) -> io::Result<TcpStream> {
        let Self::Tcp(address) = self else {
            return Err(io::Error::other("only TCP has source addresses"));
        };
        // The one thing of it that the standard library lacks is the choice of the own address.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((source, 0)))?;
            socket.connect(*address).await?.into_std()
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends bytes and reads the answer to its end.
    pub fn send(&self, request: &[u8]) -> io::Result<Answer> {
        let mut stream = self.connect()?;
        // A server may answer before it has read everything.
        let sent = stream.write_all(request);
        match read_answer(&mut stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(sent.err().unwrap_or(error)),
            other => other,
        }
    }
}

fn unix(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A request with a body, whose connection ends with it.
pub fn request(method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let length = if method == "GET" {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let mut bytes = format!("{}{length}\r\n", head(method, path, headers)).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// The head of a request without the empty line that ends it.
pub fn head(method: &str, path: &str, headers: &[(String, String)]) -> String {
    let first = format!("{method} {path} HTTP/1.1\r\nHost: hookd.test\r\nConnection: close\r\n");
    let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    std::iter::once(first).chain(lines).collect()
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it isn't.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A text of the JSON body; empty if it is not there.
    pub fn word(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap_or_default().to_owned()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// Reads an answer to the end of the connection.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // What came before the connection was reset still counts, if it is whole.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !bytes.is_empty() => {}
        result => drop(result?),
    }
    parse(&bytes).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        io::Error::new(io::ErrorKind::UnexpectedEof, format!("no whole answer, but {shown:?}"))
    })
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let rest = &bytes[end + 4..];
    let of = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let body = if of("transfer-encoding") == Some("chunked") {
        unchunked(rest)?
    } else {
        let length = of("content-length").and_then(|l| l.parse().ok()).unwrap_or(rest.len());
        rest.get(..length)?.to_vec()
    };
    Some(Answer { status, headers, body })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}
