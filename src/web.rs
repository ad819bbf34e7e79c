//! One outgoing HTTP request and its answer, and [`line`], a connection that is kept: the only HTTP client of hookd.

mod authorities;
pub mod line;

use std::error::Error;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, USER_AGENT};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

/// Bytes of a body that [`get`] reads: enough for a small page to end in an orderly way, and a bound for an endless one.
const BODY_MAX: usize = 64 * 1024;

/// How long [`get`] reads a body. An endless answer (server-sent events) is an answer, too.
const BODY_TIME: Duration = Duration::from_secs(1);

/// Why there was no answer, in words that go behind the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// Not in time.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No connection for another reason: the name, the network, the certificate.
    #[error("{0}")]
    Connect(String),
    /// There was a connection, but no HTTP answer.
    #[error("no valid answer: {0}")]
    Answer(String),
    /// The URL or this machine does not allow to ask at all.
    #[error("cannot ask: {0}")]
    Setup(String),
}

/// The URL as it may be shown: user, password and query can hold secrets.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Fails for URLs without a host alone, which have no user either.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

/// A request. Redirects are never followed: a redirect must not learn a token.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` and so on.
    pub method: Method,
    /// Where to; user and password become basic authentication.
    pub url: &'a Url,
    /// Header names and values.
    pub headers: &'a [(String, String)],
    /// The body, empty for none.
    pub body: Vec<u8>,
    /// Largest body of an answer, bytes; a larger one is an error.
    pub answer_max: usize,
    /// Longest time until the whole answer is there.
    pub timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Longest pause that is taken from an answer.
const RETRY_MAX: Duration = Duration::from_hours(2);

impl Answer {
    /// The pause that `Retry-After` asks for, in seconds (RFC 9110, 10.2.3; nobody of whom hookd asks anything sends a date).
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
        let seconds = text.trim().split('.').next()?.parse().ok()?;
        Some(Duration::from_secs(seconds).min(RETRY_MAX))
    }

    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends one request and reads the whole answer.
pub async fn send(request: Request<'_>) -> Result<Answer, WebError> {
    let (answer_max, limit) = (request.answer_max, request.timeout);
    let mut client = Caller::new(request.url)?.with(request.headers)?;
    *client.request.method_mut() = request.method;
    *client.request.body_mut() = Full::new(request.body.into());
    client.exchange(answer_max, limit).await
}

/// Sends a GET with these headers and reads the whole answer.
pub async fn fetch(
    url: &Url,
    headers: &[(String, String)],
    answer_max: usize,
    timeout: Duration,
) -> Result<Answer, WebError> {
    let request = Request {
        method: Method::GET,
        url,
        headers,
        body: Vec::new(),
        answer_max,
        timeout,
    };
    send(request).await
}

/// Posts a body with these headers; of the answer at most 64 KiB are read.
pub async fn post(
    url: &Url,
    headers: &[(String, String)],
    body: Vec<u8>,
    timeout: Duration,
) -> Result<Answer, WebError> {
    let request = Request {
        method: Method::POST,
        url,
        headers,
        body,
        answer_max: BODY_MAX,
        timeout,
    };
    send(request).await
}

/// Sends one GET and gives the status; of the body only as much is read as a well-behaved client would.
pub async fn get(url: &Url, timeout: Duration) -> Result<u16, WebError> {
    Caller::new(url)?.get(timeout).await
}

/// A client for one URL, which may be asked again and again. It is made for one purpose and dropped with its authorities'
/// certificates, which take memory that an idle daemon should not have.
pub struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
}

impl Caller {
    /// A client for a URL.
    pub fn new(url: &Url) -> Result<Self, WebError> {
        let setup = |error: &dyn Error| WebError::Setup(error.to_string());
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_max_idle_per_host(0);
        Ok(Self {
            client: client.build(connector(url).map_err(|error| setup(&error))?),
            request: request(url).map_err(|error| setup(&error))?,
        })
    }

    /// The same with these headers.
    fn with(mut self, headers: &[(String, String)]) -> Result<Self, WebError> {
        let setup = |error: &dyn Error| WebError::Setup(error.to_string());
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().map_err(|error| setup(&error))?;
            let value = value.parse().map_err(|error| setup(&error))?;
            self.request.headers_mut().insert(name, value);
        }
        Ok(self)
    }

    /// One request, no redirects, with its whole answer.
    async fn exchange(self, most: usize, limit: Duration) -> Result<Answer, WebError> {
        let answer = async {
            let response = self.client.request(self.request).await;
            let response = response.map_err(|error| in_words(&error))?;
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let read = Limited::new(response.into_body(), most).collect().await;
            let body = read.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => WebError::Answer(format!("it is larger than {most} bytes")),
                Err(error) => WebError::Answer(error.to_string()),
            })?;
            Ok(Answer {
                status,
                headers,
                body: body.to_bytes().to_vec(),
            })
        };
        timeout(limit, answer).await.unwrap_or(Err(WebError::Timeout(limit)))
    }

    /// One GET, no redirects.
    pub async fn get(&self, limit: Duration) -> Result<u16, WebError> {
        let answer = async {
            let response = self
                .client
                .request(self.request.clone())
                .await
                .map_err(|error| in_words(&error))?;
            let status = response.status().as_u16();
            read_some(response.into_body()).await?;
            Ok(status)
        };
        timeout(limit, answer).await.unwrap_or(Err(WebError::Timeout(limit)))
    }
}

/// The system's authorities are read for https alone.
fn connector(url: &Url) -> std::io::Result<HttpsConnector<HttpConnector>> {
    let provider = rustls::crypto::ring::default_provider();
    let builder = if url.scheme() == "https" {
        HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?
    } else {
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        HttpsConnectorBuilder::new().with_tls_config(config)
    };
    Ok(builder.https_or_http().enable_http1().build())
}

fn request(url: &Url) -> http::Result<http::Request<Full<Bytes>>> {
    let mut plain = url.clone();
    let _ = plain.set_username("");
    let _ = plain.set_password(None);
    plain.set_fragment(None);
    let mut request = http::Request::get(plain.as_str())
        .header(USER_AGENT, concat!("hookd/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close");
    if !url.username().is_empty() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
        let user = format!(
            "{}:{}",
            decoded(url.username()),
            decoded(url.password().unwrap_or_default())
        );
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(user)));
    }
    request.body(Full::default())
}

/// Reads the body up to [`BODY_MAX`] and [`BODY_TIME`]; one that breaks off is no answer.
async fn read_some(mut body: Incoming) -> Result<(), WebError> {
    let read = async {
        let mut bytes = 0;
        while bytes < BODY_MAX
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|error| WebError::Answer(reason(&error)))?;
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(())
    };
    timeout(BODY_TIME, read).await.unwrap_or(Ok(()))
}

fn in_words(error: &hyper_util::client::legacy::Error) -> WebError {
    let is_refused = |error: &&(dyn Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    if causes(error).any(|cause| is_refused(&cause)) {
        WebError::Refused
    } else if error.is_connect() {
        WebError::Connect(reason(error))
    } else {
        WebError::Answer(reason(error))
    }
}

/// An error and what is below it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The cause at the bottom, which is the one that tells a person something.
fn reason(error: &(dyn Error + 'static)) -> String {
    let cause = causes(error).last().unwrap_or(error);
    match cause
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error)
    {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => cause.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Frame;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    struct Endless;

    impl hyper::body::Body for Endless {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1024])))))
        }
    }

    pub(crate) type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;
    pub(crate) const LONG: Duration = Duration::from_mins(1);

    pub(crate) fn page(status: u16, text: &'static str) -> Response<Body> {
        let body = Full::new(Bytes::from_static(text.as_bytes())).boxed();
        Response::builder()
            .status(status)
            .header("location", "/elsewhere")
            .body(body)
            .unwrap()
    }

    /// A server that answers the n-th request, from 0, with what `answer` says; it stops with the test.
    pub(crate) async fn server(
        answer: impl Fn(usize, &Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap());
        let (answer, count) = (Arc::new(answer), Arc::new(Mutex::new(0)));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                let service = service_fn(move |request| {
                    let mut count = count.lock().unwrap();
                    let response = answer(*count, &request);
                    *count += 1;
                    std::future::ready(Ok::<_, Infallible>(response))
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        url
    }

    /// A server that answers every request with `bytes` and, unless it is to go on, closes the connection.
    async fn raw(bytes: &'static [u8], go_on: bool) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(bytes).await;
                if go_on {
                    open.push(socket);
                }
            }
        });
        url
    }

    fn url(address: SocketAddr) -> Url {
        format!("http://{address}/").parse().unwrap()
    }

    pub(crate) async fn nobody() -> Url {
        url(TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap())
    }

    #[tokio::test]
    async fn tells_the_status_and_follows_no_redirect() {
        let url = server(|_, request| page(request.uri().path()[1..].parse().unwrap(), "text")).await;
        for status in [200, 204, 301, 404, 503] {
            assert_eq!(get(&url.join(&status.to_string()).unwrap(), LONG).await, Ok(status));
        }
    }

    #[tokio::test]
    async fn says_who_it_is_and_takes_user_and_password_out_of_the_url() {
        let mut url = server(|_, request| {
            let header = |name| {
                request
                    .headers()
                    .get(name)
                    .map(|value: &http::HeaderValue| value.to_str().unwrap())
            };
            assert_eq!(header("user-agent"), Some(concat!("hookd/", env!("CARGO_PKG_VERSION"))));
            assert_eq!(request.uri().to_string(), "/a?token=x%20y");
            page(
                if header("authorization") == Some("Basic YTpiOmM=") {
                    200
                } else {
                    401
                },
                "",
            )
        })
        .await;
        url.set_path("a");
        url.set_query(Some("token=x%20y"));
        url.set_fragment(Some("part"));
        assert_eq!(get(&url, LONG).await, Ok(401));
        url.set_username("a").unwrap();
        url.set_password(Some("b:c")).unwrap();
        assert_eq!(get(&url, LONG).await, Ok(200));

        let shown = shown(&url);
        assert!(
            shown.ends_with("/a") && !shown.contains("token") && !shown.contains('@'),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_in_words() {
        let short = Duration::from_millis(100);
        assert_eq!(get(&nobody().await, LONG).await, Err(WebError::Refused));
        assert_eq!(get(&raw(b"", true).await, short).await, Err(WebError::Timeout(short)));
        assert!(matches!(
            get(&raw(b"", false).await, LONG).await,
            Err(WebError::Answer(_))
        ));
        let garbage = get(&raw(b"SSH-2.0-OpenSSH_9.2\r\n", true).await, LONG).await;
        assert!(matches!(garbage, Err(WebError::Answer(_))), "{garbage:?}");
        let cut = get(
            &raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", false).await,
            LONG,
        )
        .await;
        assert!(matches!(cut, Err(WebError::Answer(_))), "{cut:?}");

        let mut not_tls = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", false).await;
        not_tls.set_scheme("https").unwrap();
        assert!(matches!(
            get(&not_tls, LONG).await,
            Err(WebError::Connect(_) | WebError::Setup(_))
        ));
        let name = get(&"http://no-such-host.invalid/".parse().unwrap(), LONG).await;
        assert!(matches!(name, Err(WebError::Connect(_))), "{name:?}");
    }

    #[tokio::test]
    async fn an_endless_answer_is_an_answer() {
        let endless = server(|_, _| Response::new(Endless.boxed())).await;
        assert_eq!(get(&endless, LONG).await, Ok(200));
        let silent = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", true).await;
        assert_eq!(get(&silent, LONG).await, Ok(200));
    }
}
