//! A small HTTP server on loopback, for the demo's forge and for its site.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Pause after `accept` failed, which it does when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// An answer of a type.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer in plain words.
pub fn words(status: StatusCode, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// Serves for ever. `respond` is also told the sender's address.
pub async fn serve<F, R>(listener: TcpListener, respond: F)
where
    F: Fn(Request<Incoming>, std::net::SocketAddr) -> R + Clone + Send + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    // Gone with this future, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let respond = respond.clone();
        let service = service_fn(move |request| {
            let answer = respond(request, peer);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}
