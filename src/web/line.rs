//! A connection to a server that is kept open from one request to the next and hands over the answer's body as it comes, for a
//! thread that has no runtime.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read as WireRead, Write as WireWrite};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{authorities, reason};
use crate::model::Locked;

/// Most of a body that nobody reads which is passed over to keep the connection, bytes: the end of a chunked body, or an error
/// page.
const PASSED_OVER_MAX: usize = 64 * 1024;

/// How long that may take: it has come already, or a new connection is faster.
const PASSED_OVER_TIME: Duration = Duration::from_millis(100);

/// Shortest time for one address of several.
const ADDRESS_TIME_MIN: Duration = Duration::from_secs(2);

/// Looks up a host and port, and refuses addresses that must not be connected to. What it gives is connected to as it is:
/// nothing looks the name up a second time.
pub type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// How servers are reached.
pub struct Way {
    /// The addresses of a host: [`look_up`], or something stricter.
    pub lookup: Box<Lookup>,
    /// An http proxy; its user and password are shown to it alone. It looks up the host by itself.
    pub proxy: Option<Url>,
    /// Certificates that are trusted besides the system's authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Longest time until a connection is there.
    pub connect: Duration,
    /// Longest silence of a server.
    pub silence: Duration,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The host has no address, or none that may be used: the error of [`Way::lookup`].
    #[error("failed to resolve address for {0}: {1}")]
    Lookup(String, io::Error),
    /// Nobody answers there.
    #[error("failed to connect to {0}: {1}")]
    Connect(String, io::Error),
    /// Longer silence than is allowed.
    #[error("the server timed out: it sent nothing for {:.0} s", .0.as_secs_f64())]
    Silent(Duration),
    /// The certificate is not one that is trusted for this host.
    #[error("the SSL certificate is invalid: {0}")]
    Certificate(String),
    /// TLS failed for another reason.
    #[error("TLS: {0}")]
    Tls(String),
    /// The connection ended too early.
    #[error("the connection broke: {0}")]
    Cut(String),
    /// The proxy makes no connection; its status.
    #[error("the proxy answers {0}")]
    Proxy(StatusCode),
    /// The request can't be sent from here.
    #[error("{0}")]
    Setup(String),
}

/// A request.
#[derive(Debug)]
pub struct Question<'a> {
    /// `GET` or `POST`.
    pub method: Method,
    /// Where to; its user and password are not sent.
    pub url: &'a Url,
    /// Headers besides `Host`.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body, empty for none.
    pub body: Bytes,
}

/// The head of an answer, and its body to be read.
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it was sent.
    pub body: Body,
}

type Sender = SendRequest<Full<Bytes>>;

/// Scheme, host and port.
type Origin = (String, String, u16);

/// One connection at a time, to whatever was asked last.
pub struct Line {
    way: Way,
    runtime: Runtime,
    tls: OnceLock<Arc<ClientConfig>>,
    kept: Mutex<Option<(Origin, Sender)>>,
}

impl Line {
    /// Nothing is connected yet.
    pub fn new(way: Way) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            way,
            runtime: Builder::new_current_thread().enable_all().build()?,
            tls: OnceLock::new(),
            kept: Mutex::new(None),
        }))
    }

    /// Sends the request and waits for the head of the answer. Redirects are the caller's affair.
    pub fn ask(self: &Arc<Self>, question: &Question<'_>) -> Result<Reply, LineError> {
        let origin = origin(question.url)?;
        let kept = self.kept.locked().take();
        if let Some((_, sender)) = kept.filter(|(at, sender)| *at == origin && !sender.is_closed()) {
            match self.exchange(origin.clone(), sender, question) {
                // Servers close idle connections at any time.
                Err(LineError::Cut(_)) => {}
                answered => return answered,
            }
        }
        let sender = self.connect(&origin)?;
        self.exchange(origin, sender, question)
    }

    fn exchange(
        self: &Arc<Self>,
        origin: Origin,
        mut sender: Sender,
        question: &Question<'_>,
    ) -> Result<Reply, LineError> {
        let request = self.request(question)?;
        let answer = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let answer = self.runtime.block_on(async { timeout(self.way.silence, answer).await });
        let answer = answer.map_err(|_| LineError::Silent(self.way.silence))?;
        let (head, incoming) = answer.map_err(|error| cut(&error))?.into_parts();
        Ok(Reply {
            status: head.status,
            headers: head.headers,
            body: Body {
                line: Arc::clone(self),
                from: Some((origin, sender)),
                incoming,
                chunk: Bytes::new(),
            },
        })
    }

    /// A proxy is told the whole URL of what is not encrypted, and its password.
    fn request(&self, question: &Question<'_>) -> Result<http::Request<Full<Bytes>>, LineError> {
        let (url, setup) = (question.url, |error: http::Error| LineError::Setup(error.to_string()));
        let authority = authority(url);
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let proxy = self.way.proxy.as_ref().filter(|_| url.scheme() == "http");
        let uri = match proxy {
            Some(_) => format!("http://{authority}{path}"),
            None => path.to_owned(),
        };
        let mut request = http::Request::builder()
            .method(question.method.clone())
            .uri(uri)
            .header(HOST, authority)
            .body(Full::new(question.body.clone()))
            .map_err(setup)?;
        request.headers_mut().extend(question.headers.iter().cloned());
        if let Some(basic) = proxy.and_then(basic) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, basic);
        }
        Ok(request)
    }

    fn connect(&self, origin: &Origin) -> Result<Sender, LineError> {
        let (scheme, host, port) = origin;
        let (near, near_port) = match &self.way.proxy {
            Some(proxy) => {
                let (_, host, port) = self::origin(proxy)?;
                (host, port)
            }
            None => (host.clone(), *port),
        };
        let socket = self.socket(&near, near_port)?;
        let https = scheme == "https";
        let tls = https.then(|| self.tls()).transpose()?;
        self.runtime.block_on(async {
            let silence = self.way.silence;
            let opened = timeout(silence, async {
                let socket =
                    tokio::net::TcpStream::from_std(socket).map_err(|e| LineError::Connect(near.clone(), e))?;
                let socket = TokioIo::new(socket);
                match (&self.way.proxy, tls) {
                    (_, None) => start(socket).await,
                    (None, Some(tls)) => start(encrypt(socket, host, tls).await?).await,
                    (Some(proxy), Some(tls)) => {
                        let through = tunnel(socket, host, *port, proxy).await?;
                        start(encrypt(through, host, tls).await?).await
                    }
                }
            });
            opened.await.unwrap_or(Err(LineError::Silent(silence)))
        })
    }

    /// The first address that takes the connection; those after one that does not answer get their time, too.
    fn socket(&self, host: &str, port: u16) -> Result<TcpStream, LineError> {
        let bare = host.trim_matches(['[', ']']);
        let failed = |error| LineError::Lookup(host.to_owned(), error);
        // A proxy is configured, so it may be anywhere.
        let found = match &self.way.proxy {
            Some(_) => look_up(bare, port),
            None => (self.way.lookup)(bare, port),
        };
        let addresses = found.map_err(failed)?;
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let each = (self.way.connect / count).max(ADDRESS_TIME_MIN.min(self.way.connect));
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            let connected = TcpStream::connect_timeout(&address, each).and_then(|socket| {
                // A request is one write, and must not wait until the one before is acknowledged.
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(LineError::Connect(host.to_owned(), last))
    }

    /// The authorities are read when they are needed first, which takes longer than most of what a short-lived process does.
    fn tls(&self) -> Result<Arc<ClientConfig>, LineError> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = authorities::client(self.way.ca_file.as_deref()).map_err(LineError::Setup)?;
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(config))))
    }
}

/// All addresses of a host.
pub fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    std::net::ToSocketAddrs::to_socket_addrs(&(host, port)).map(Iterator::collect)
}

/// The body of an answer. Its end frees the connection for the next request.
pub struct Body {
    line: Arc<Line>,
    from: Option<(Origin, Sender)>,
    incoming: Incoming,
    chunk: Bytes,
}

impl Body {
    /// The next part; none at the end.
    fn next(&mut self, silence: Duration) -> Result<Option<Bytes>, LineError> {
        let frame = async { timeout(silence, self.incoming.frame()).await };
        let frame = self.line.runtime.block_on(frame);
        let frame = frame.map_err(|_| LineError::Silent(silence))?.transpose();
        let frame = frame.map_err(|error| cut(&error))?;
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

impl Read for Body {
    /// The error is a [`LineError`] inside.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.next(self.line.way.silence).map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut passed_over = self.chunk.len();
        while passed_over <= PASSED_OVER_MAX {
            match self.next(PASSED_OVER_TIME) {
                Ok(Some(chunk)) => passed_over += chunk.len(),
                Ok(None) => {
                    *self.line.kept.locked() = self.from.take();
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

fn origin(url: &Url) -> Result<Origin, LineError> {
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => Ok((url.scheme().to_owned(), host.to_owned(), port)),
        _ => Err(LineError::Setup("the URL names no host".to_owned())),
    }
}

/// `HOST[:PORT]`, as `Host` has it.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// User and password of a URL as basic authentication.
fn basic(url: &Url) -> Option<HeaderValue> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    (!url.username().is_empty()).then(|| basic_auth(&user, &password))
}

/// The value of `Authorization` for a user and password.
pub fn basic_auth(user: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    // Base64 has nothing that a header can't carry.
    let mut value = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Speaks HTTP over a connection.
async fn start<T>(io: T) -> Result<Sender, LineError>
where
    T: WireRead + WireWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(io).await.map_err(|error| cut(&error))?;
    // Ends with the sender and the body; what goes wrong is told to them.
    tokio::spawn(connection);
    Ok(sender)
}

async fn encrypt<T>(
    io: T,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TokioIo<tokio_rustls::client::TlsStream<TokioIo<T>>>, LineError>
where
    T: WireRead + WireWrite + Unpin,
{
    let bare = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(bare).map_err(|error| LineError::Tls(error.to_string()))?;
    let encrypted = TlsConnector::from(config).connect(name, TokioIo::new(io)).await;
    encrypted.map(TokioIo::new).map_err(|error| match tls_error(&error) {
        Some(rustls::Error::InvalidCertificate(why)) => LineError::Certificate(why.to_string()),
        Some(other) => LineError::Tls(other.to_string()),
        None => LineError::Cut(reason(&error)),
    })
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Has the proxy connect to a host, and hands over the connection.
async fn tunnel(
    io: TokioIo<tokio::net::TcpStream>,
    host: &str,
    port: u16,
    proxy: &Url,
) -> Result<hyper::upgrade::Upgraded, LineError> {
    let (mut sender, connection) = handshake::<_, Full<Bytes>>(io).await.map_err(|error| cut(&error))?;
    tokio::spawn(connection.with_upgrades());
    let setup = |error: http::Error| LineError::Setup(error.to_string());
    let to = format!("{host}:{port}");
    let uri = Uri::builder().authority(to.as_str()).build().map_err(setup)?;
    let mut request = http::Request::connect(uri)
        .header(HOST, to)
        .body(Full::default())
        .map_err(setup)?;
    if let Some(basic) = basic(proxy) {
        request.headers_mut().insert(PROXY_AUTHORIZATION, basic);
    }
    let answer = sender.send_request(request).await.map_err(|error| cut(&error))?;
    if !answer.status().is_success() {
        return Err(LineError::Proxy(answer.status()));
    }
    hyper::upgrade::on(answer).await.map_err(|error| cut(&error))
}

/// Also a failure of TLS in the middle of an answer is a connection that broke.
fn cut(error: &hyper::Error) -> LineError {
    LineError::Cut(reason(error))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn way(lookup: Box<Lookup>) -> Way {
        Way {
            lookup,
            proxy: None,
            ca_file: None,
            connect: LONG,
            silence: LONG,
        }
    }

    /// A server at `at` that answers with `text`, `times` requests on each connection.
    fn server(at: &str, text: &'static str, times: usize) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(at).unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                for _ in 0..times {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
                        head.push(byte[0]);
                    }
                    let length = text.len();
                    let _ = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
                }
            }
        });
        (address, connections)
    }

    fn ask(line: &Arc<Line>, url: &str) -> Result<String, LineError> {
        let url = url.parse().unwrap();
        let question = Question {
            method: Method::GET,
            url: &url,
            headers: &[],
            body: Bytes::new(),
        };
        let mut text = String::new();
        line.ask(&question)?.body.read_to_string(&mut text).unwrap();
        Ok(text)
    }

    #[test]
    fn the_address_that_was_judged_is_the_one_that_is_connected_to() {
        let (judged, _) = server("127.0.0.2:0", "judged", 2);
        let (other, reached) = server(&format!("127.0.0.3:{}", judged.port()), "other", 2);
        let lookups = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lookups);
        // A name that leads elsewhere the second time.
        let rebinding = move |_: &str, _| match count.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![judged]),
            _ => Ok(vec![other]),
        };
        let line = Line::new(way(Box::new(rebinding))).unwrap();
        let url = format!("http://rebinding.example:{}/", judged.port());
        for _ in 0..2 {
            assert_eq!(ask(&line, &url).unwrap(), "judged");
        }
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_address_that_is_refused_is_not_connected_to() {
        let (address, reached) = server("127.0.0.1:0", "private", 1);
        let refuse = |_: &str, _| Err(io::Error::other("out of reach"));
        let line = Line::new(way(Box::new(refuse))).unwrap();
        let error = ask(&line, &format!("http://{address}/")).unwrap_err();
        assert!(
            matches!(&error, LineError::Lookup(_, why) if why.to_string() == "out of reach"),
            "{error}"
        );
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_connection_serves_until_the_server_closes_it_and_then_another_does() {
        let (address, connections) = server("127.0.0.1:0", "text", 3);
        let line = Line::new(way(Box::new(look_up))).unwrap();
        for _ in 0..6 {
            assert_eq!(ask(&line, &format!("http://{address}/")).unwrap(), "text");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn an_address_where_nobody_is_leaves_the_next_one() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, _) = server("127.0.0.1:0", "text", 1);
        let line = Line::new(way(Box::new(move |_: &str, _| Ok(vec![nobody, address])))).unwrap();
        assert_eq!(ask(&line, "http://two.example/").unwrap(), "text");
    }
}
