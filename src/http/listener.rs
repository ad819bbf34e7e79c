//! Accepts connections within their limits and hands requests to a face.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::tls::Terminator;
use super::visitor::{Peer, Visitor, Way};
use super::{App, control, hook, peer};
use crate::intake::counted_with;
use crate::model::Locked;

/// Pause after `accept` failed, which it does when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// So many times as many connections of one address as it has places may be there, waiting for one.
const WAITING_FACTOR: usize = 4;

/// How long a connection that came just before the listener stopped may take to send its request: it is on its way.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// How long connections may go on after the listener has stopped: their requests are small.
const DRAIN: Duration = Duration::from_secs(5);

/// Bytes read beyond the longest head: the exact limit is checked afterwards, and gives the precise error.
const HEAD_SPARE: usize = 8192;

/// How long a reader may take nothing of its answer before its connection ends.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A stream whose other end has to take what is written.
struct Patient<S> {
    stream: S,
    /// When patience ends; none while all is taken.
    end: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether an answer is due: nothing was written yet, something was read since, or what was written [`is_bare`] and held back.
    owes: bool,
}

impl<S> Patient<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            end: None,
            owes: true,
        }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, result: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if result.is_ready() {
            self.end = None;
            return result;
        }
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIME)));
        end.as_mut().poll(cx).map(|()| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.owes |= buffer.filled().len() > before;
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.owes = is_bare(bytes);
        if self.owes {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, result)
    }
}

/// Whether this is hyper's own answer to an invalid request. It has no body, and every error of ours has one.
fn is_bare(bytes: &[u8]) -> bool {
    let is_error = [&b"HTTP/1.1 400 "[..], b"HTTP/1.1 431 "]
        .iter()
        .any(|head| bytes.starts_with(head));
    let empty = b"\r\ncontent-length: 0\r\n";
    is_error && bytes.windows(empty.len()).any(|part| part == empty)
}

/// A socket that listens.
pub enum Socket {
    /// TCP
    Tcp(TcpListener),
    /// A unix socket
    Unix(UnixListener),
}

impl Socket {
    /// Where it listens, as `listen` has it: `127.0.0.1:9000`, `unix:/run/hookd/http.sock`.
    pub fn address(&self) -> Option<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.to_string()),
            Self::Unix(listener) => {
                let address = listener.local_addr().ok()?;
                address.as_pathname().map(|path| format!("unix:{}", path.display()))
            }
        }
    }

    /// True if only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| address.ip().is_loopback()),
            Self::Unix(_) => true,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Who is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Forges, and anybody else.
    Public,
    /// People and their tools: whoever may open the socket may do everything.
    Control,
    /// Whoever is on this machine, and may only look; or users who log in.
    Status,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connections of each address whose sender has not yet shown that it holds a secret.
#[derive(Default)]
struct Strangers(Mutex<HashMap<IpAddr, Arc<Semaphore>>>);

impl Strangers {
    /// A place for an address; waits while all its places are taken. `None` if too many wait already: they would take the
    /// places of everybody else. A proxy on this machine stands for many, and does not pass on what is slow.
    async fn place(&self, address: IpAddr, places: usize) -> Option<OwnedSemaphorePermit> {
        let address = counted_with(address);
        let semaphore = {
            let mut table = self.0.locked();
            table.retain(|_, s| Arc::strong_count(s) > 1 || s.available_permits() < places);
            Arc::clone(table.entry(address).or_insert_with(|| Arc::new(Semaphore::new(places))))
        };
        let there = Arc::strong_count(&semaphore) - 2;
        if there >= places * WAITING_FACTOR && !address.is_loopback() {
            return None;
        }
        semaphore.acquire_owned().await.ok()
    }
}

/// What all connections of a listener share.
struct Shared {
    app: Arc<App>,
    face: Face,
    tls: Option<Arc<Terminator>>,
    strangers: Strangers,
    stop: CancellationToken,
}

/// Serves until `stop`, then lets the connections finish what they have begun.
pub async fn serve(socket: Socket, face: Face, tls: Option<Arc<Terminator>>, app: Arc<App>, stop: CancellationToken) {
    let all = app.limits().connections;
    let places = Arc::new(Semaphore::new(all));
    let shared = Arc::new(Shared {
        app,
        face,
        tls,
        strangers: Strangers::default(),
        stop: stop.clone(),
    });
    let mut failures = 0_u64;
    loop {
        // The place comes first: what can't be served waits in the kernel's queue and costs nothing here.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = accept(&socket) => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                if failures > 0 {
                    tracing::info!(failures, "connections are accepted again");
                    failures = 0;
                }
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    shared.connection(stream, peer).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Said once, not ten times a second: descriptors that are used up stay so for a while.
                if failures == 0 {
                    tracing::warn!(%error, "cannot accept connections");
                }
                failures += 1;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(socket);
    let drained = Arc::clone(&places).acquire_many_owned(u32::try_from(all).unwrap_or(u32::MAX));
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::debug!("connections were still open");
    }
}

async fn accept(socket: &Socket) -> std::io::Result<(Box<dyn Stream>, Peer)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            // An answer is one small packet; waiting for more to send with it only delays it.
            stream.set_nodelay(true)?;
            let peer = Peer {
                address: Some(peer.ip().to_canonical()),
                uid: None,
            };
            Ok((Box::new(stream), peer))
        }
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let peer = Peer {
                address: None,
                uid: Some(stream.peer_cred()?.uid()),
            };
            Ok((Box::new(stream), peer))
        }
    }
}

type Pending = Pin<Box<dyn Future<Output = Result<Answer, std::convert::Infallible>> + Send>>;

impl Shared {
    /// The stream within TLS, if this listener speaks it; `None` if the peer does not.
    async fn secured(&self, stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
        let Some(tls) = &self.tls else {
            return Some(stream);
        };
        let handshake = tls.acceptor().accept(stream);
        let limit = self.app.limits().header_time;
        let secured = tokio::time::timeout(limit, handshake).await.ok()?.ok()?;
        Some(Box::new(secured))
    }

    /// The peer's address, if the connection counts among those of strangers from the start. Whom a trusted proxy speaks for is
    /// known with the head of a request; and where nobody logs in there are no strangers.
    fn stranger(&self, peer: Peer) -> Option<IpAddr> {
        let counts = match self.face {
            Face::Public => true,
            Face::Control => false,
            Face::Status => self.app.settings().config.http.login.is_some(),
        };
        peer.address.filter(|address| counts && !self.trusts(*address))
    }

    async fn connection(self: Arc<Self>, mut stream: Box<dyn Stream>, peer: Peer) {
        let limits = self.app.limits();
        let mut stranger = None;
        if let Some(address) = self.stranger(peer) {
            let place = self.strangers.place(address, limits.connections_per_address);
            match tokio::time::timeout(limits.header_time, place).await {
                Ok(Some(place)) => stranger = Some(place),
                // Before the handshake nobody could read why.
                Ok(None) | Err(_) if self.tls.is_some() => return,
                Ok(None) | Err(_) => {
                    return refuse(
                        &mut stream,
                        "429 Too Many Requests",
                        "too many connections from this address",
                    )
                    .await;
                }
            }
        }
        // The handshake, too, is a stranger's: it takes time and memory.
        if let Some(stream) = self.secured(stream).await {
            self.requests(stream, peer, stranger).await;
        }
    }

    /// Answers the requests of a connection, one after the other.
    async fn requests(self: Arc<Self>, stream: Box<dyn Stream>, peer: Peer, stranger: Option<OwnedSemaphorePermit>) {
        let limits = self.app.limits();
        let stranger = Arc::new(Mutex::new(stranger));
        let shared = Arc::clone(&self);
        let begun = CancellationToken::new();
        let first = begun.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| -> Pending {
            first.cancel();
            let (shared, stranger) = (Arc::clone(&shared), Arc::clone(&stranger));
            // A task of its own: what a sender has begun is brought to its end even if it hangs up before the answer.
            let answer = tokio::spawn(async move { shared.answer(request, peer, &stranger).await });
            Box::pin(async move { Ok(answer.await.unwrap_or_else(|error| broken(&error))) })
        });
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_headers(limits.header_count)
            // A sender that has said all may close its half, and gets its answer.
            .half_close(true)
            .max_buf_size(usize::try_from(limits.headers).unwrap_or(usize::MAX).max(8192) + HEAD_SPARE);
        let mut connection = builder.serve_connection(TokioIo::new(Patient::new(stream)), service);
        let result = tokio::select! {
            result = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => result,
            // One that has sent nothing yet would be closed without an answer.
            () = async {
                self.stop.cancelled().await;
                let _ = tokio::time::timeout(FIRST_REQUEST, begun.cancelled()).await;
            } => {
                Pin::new(&mut connection).graceful_shutdown();
                std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await
            }
        };
        let mut stream = connection.into_parts().io.into_inner();
        match result {
            // A connection that is only kept open ends without a word, which its client could take for the next answer.
            Err(error) if error.is_timeout() && stream.owes => {
                refuse(
                    &mut stream.stream,
                    "408 Request Timeout",
                    "the request did not come in time",
                )
                .await;
            }
            Err(error) if error.is_parse_too_large() && stream.owes => {
                let status = "431 Request Header Fields Too Large";
                refuse(&mut stream.stream, status, "the head of the request is too large").await;
            }
            Err(error) if error.is_parse() && stream.owes => {
                refuse(&mut stream.stream, "400 Bad Request", "this is not an HTTP/1.1 request").await;
            }
            // What else breaks a connection is its sender's business.
            _ => drop(stream.shutdown().await),
        }
    }

    /// Whether a peer is a proxy that says whom it speaks for.
    fn trusts(&self, peer: IpAddr) -> bool {
        let settings = self.app.settings();
        let proxies = &settings.config.http.trusted_proxies;
        proxies.iter().any(|net| net.contains(&peer))
    }

    /// Counts a request that a trusted proxy passed on among those of its sender.
    async fn count_sender(
        &self,
        request: &Request<Incoming>,
        peer: Option<IpAddr>,
        stranger: &Mutex<Option<OwnedSemaphorePermit>>,
    ) -> Result<(), Answer> {
        let proxy = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        if !self.trusts(proxy) {
            return Ok(());
        }
        let (settings, limits) = (self.app.settings(), self.app.limits());
        let from = peer::source(peer, request.headers(), &settings.config.http.trusted_proxies);
        let place = self.strangers.place(from, limits.connections_per_address);
        match tokio::time::timeout(limits.header_time, place).await {
            Ok(Some(place)) => {
                *stranger.locked() = Some(place);
                Ok(())
            }
            Ok(None) | Err(_) => Err(super::answer::later(
                http::StatusCode::TOO_MANY_REQUESTS,
                "too many connections from this address",
                1,
            )),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        stranger: &Mutex<Option<OwnedSemaphorePermit>>,
    ) -> Answer {
        if head_size(&request) > self.app.limits().headers {
            return super::answer::error(
                http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the head of the request is too large",
            );
        }
        match self.face {
            Face::Public => {}
            // A unix socket always has one; root's stands for none.
            Face::Control => return control::answer(&self.app, request, &Visitor::Owner(peer.uid.unwrap_or(0))).await,
            Face::Status => {
                let settings = self.app.settings();
                let http = &settings.config.http;
                let way = Way::of(peer.address, self.tls.is_some(), request.headers(), http);
                let visitor = match self.app.visitor(request.headers(), way).await {
                    Ok(visitor) => visitor,
                    Err(refusal) => return refusal,
                };
                if let Visitor::Stranger(_) = visitor {
                    if let Err(refusal) = self.count_sender(&request, peer.address, stranger).await {
                        return refusal;
                    }
                } else {
                    drop(stranger.locked().take());
                }
                // A web page from elsewhere has no token.
                if let (Visitor::Onlooker, Some(refusal)) = (&visitor, control::refused_to_onlookers(&request, http)) {
                    return refusal;
                }
                return control::answer(&self.app, request, &visitor).await;
            }
        }
        // Slashes too many mean nothing: `//hook/blog/` is how some people and proxies put addresses together.
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let repo = match *parts.as_slice() {
            ["healthz"] => return control::healthz(&self.app, request.method()).await,
            ["hook"] => None,
            ["hook", repo] => Some(repo.to_owned()),
            _ => return super::answer::error(http::StatusCode::NOT_FOUND, "not found"),
        };
        if let Err(refusal) = self.count_sender(&request, peer.address, stranger).await {
            return refusal;
        }
        let authenticated = || drop(stranger.locked().take());
        hook::receive(&self.app, request, repo, peer.address, authenticated).await
    }
}

/// Bytes of a request's head, written without needless blanks.
fn head_size(request: &Request<Incoming>) -> u64 {
    let target = request.uri().path_and_query().map_or(1, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + " / HTTP/1.1\r\n".len() - 1;
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    (line + fields.sum::<usize>() + "\r\n".len()) as u64
}

/// The answer if there is none: a bug here costs one request, not the daemon.
fn broken(error: &tokio::task::JoinError) -> Answer {
    tracing::error!(%error, "a request could not be answered");
    super::answer::error(http::StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// Answers where hyper has no request to answer, and closes.
async fn refuse(stream: &mut (impl AsyncWrite + Unpin), status: &str, what: &str) {
    let body = format!("{{\"status\":\"error\",\"error\":\"{what}\"}}");
    let passing = status.starts_with("408") || status.starts_with("429");
    let retry = if passing { "Retry-After: 1\r\n" } else { "" };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}Connection: close\r\n\r\n{body}",
        body.len()
    );
    // A receiver that is gone misses nothing.
    if stream.write_all(text.as_bytes()).await.is_ok() {
        drop(stream.shutdown().await);
    }
}
