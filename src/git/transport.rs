//! git's smart HTTP, which libgit2 speaks through [`crate::web::line`]: the look at a remote and the fetch go over one connection,
//! nothing waits for an acknowledgement, and a host is looked up once, so that the address that was judged is the one that is
//! connected to.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport as Smart};
use git2::{Error, ErrorClass, ErrorCode};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::address::Address;
use super::credentials;
use super::reach::Reach;
use super::wire::RemoteSpec;
use super::{GitError, GitErrorKind};
use crate::model::Locked;
use crate::web::line::{Line, LineError, Lookup, Question, Reply, Way, basic_auth, look_up};

/// Until a server must have taken the connection.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// Most redirects and requests for a password that one request follows: a forge has one or two of each.
const TURNS_MAX: usize = 10;

/// Forges answer with pages to what does not name itself git.
const AGENT: &str = concat!("git/2.0 (hookd ", env!("CARGO_PKG_VERSION"), ")");

/// What stands behind the URL of a repository to list its refs.
const LIST: &str = "/info/refs";

/// The first error of a connection, which libgit2 would tell in fewer words.
pub(super) type Trouble = Arc<Mutex<Option<GitError>>>;

/// Keeps an error if it is the first, and gives what stands for it on the way through libgit2.
pub(super) fn keep(trouble: &Trouble, error: GitError) -> Error {
    trouble.locked().get_or_insert(error);
    credentials::stop()
}

thread_local! {
    /// The server that the call of libgit2 that this thread is in talks to: libgit2 hands nothing else to [`open`].
    static CURRENT: RefCell<Option<Arc<Server>>> = const { RefCell::new(None) };
}

/// Runs `call` of libgit2 with a server for its http and https.
pub(super) fn with<T>(server: Arc<Server>, call: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.set(None);
        }
    }
    CURRENT.set(Some(server));
    let _leave = Leave;
    call()
}

/// What libgit2 calls for each connection to an http or https remote.
pub(super) fn open(remote: &git2::Remote<'_>) -> Result<Smart, Error> {
    let Some(server) = CURRENT.with_borrow(Clone::clone) else {
        return Err(Error::new(
            ErrorCode::GenericError,
            ErrorClass::Net,
            "no server to talk to",
        ));
    };
    Smart::smart(remote, true, Subtransport(server))
}

/// Connections to the servers of one remote.
pub(super) fn line(spec: &RemoteSpec, reach: Option<Arc<Reach>>, silence: Duration) -> Result<Arc<Line>, GitError> {
    let failed = |why: String| GitError::new(GitErrorKind::Other, format!("setting up http: {why}"));
    let proxy = spec.proxy.as_deref().map(Url::parse).transpose();
    let lookup: Box<Lookup> = match reach {
        None => Box::new(look_up),
        Some(reach) => Box::new(move |host, port| within(&reach, host, look_up(host, port)?)),
    };
    let way = Way {
        lookup,
        // The parser repeats nothing of what it can't read.
        proxy: proxy.map_err(|error| failed(format!("`proxy`: {error}")))?,
        ca_file: spec.ca_file.clone(),
        connect: CONNECT.min(silence),
        silence,
    };
    Line::new(way).map_err(|error| failed(error.to_string()))
}

/// Addresses that a submodule may be at, or why not.
fn within(reach: &Reach, host: &str, found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    match reach.require(host, &found) {
        Ok(()) => Ok(found),
        Err(refused) => Err(io::Error::other(refused)),
    }
}

/// One remote during one call of libgit2.
pub(super) struct Server {
    pub line: Arc<Line>,
    pub spec: RemoteSpec,
    pub address: Address,
    pub trouble: Trouble,
    /// `fetching from …`
    pub doing: String,
    pub state: Mutex<State>,
}

/// What the answers so far have taught.
#[derive(Default)]
pub(super) struct State {
    /// Where a redirect led.
    moved: Option<Url>,
    /// What is shown since it was asked for.
    shown: Option<HeaderValue>,
}

struct Subtransport(Arc<Server>);

impl SmartSubtransport for Subtransport {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        let url = Url::parse(url).map_err(|error| self.0.failed(ErrorClass::Net, &error.to_string()))?;
        match action {
            Service::UploadPackLs | Service::UploadPack => Ok(Box::new(Stream {
                server: Arc::clone(&self.0),
                url,
                lists: action == Service::UploadPackLs,
                body: Vec::new(),
                answer: None,
            })),
            _ => Err(self.0.failed(ErrorClass::Net, "hookd pushes nothing")),
        }
    }

    fn close(&self) -> Result<(), Error> {
        *self.0.state.locked() = State::default();
        Ok(())
    }
}

/// One request: what is written to it is sent when its answer is read.
struct Stream {
    server: Arc<Server>,
    url: Url,
    lists: bool,
    body: Vec<u8>,
    answer: Option<Box<dyn Read + Send>>,
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let answer = if let Some(answer) = &mut self.answer {
            answer
        } else {
            let body = mem::take(&mut self.body);
            let answer = self.server.ask(&self.url, self.lists, body);
            self.answer.insert(answer.map_err(|error| self.server.told(error))?)
        };
        answer.read(buffer).map_err(|error| match inner(&error) {
            Some(line) => self.server.told(self.server.in_words(line)),
            None => error,
        })
    }
}

fn inner(error: &io::Error) -> Option<&LineError> {
    let inside = error.get_ref()?;
    // A decompressor may stand between.
    inside
        .downcast_ref()
        .or_else(|| inside.source().and_then(|source| source.downcast_ref()))
}

impl Server {
    /// Keeps the error aside; libgit2 passes on a text alone.
    fn told(&self, error: GitError) -> io::Error {
        io::Error::other(keep(&self.trouble, error))
    }

    fn failed(&self, class: ErrorClass, text: &str) -> Error {
        keep(&self.trouble, self.error(ErrorCode::GenericError, class, text))
    }

    /// An error as libgit2's own http tells it, so that one place knows what kind it is.
    fn error(&self, code: ErrorCode, class: ErrorClass, text: &str) -> GitError {
        GitError::from_git2(&Error::new(code, class, text), &self.doing)
    }

    fn in_words(&self, error: &LineError) -> GitError {
        let (code, class) = match error {
            LineError::Lookup(_, why) => {
                if let Some(refused) = why.get_ref().and_then(|inner| inner.downcast_ref::<GitError>()) {
                    return refused.clone();
                }
                (ErrorCode::GenericError, ErrorClass::Net)
            }
            LineError::Connect(_, why) if why.kind() == io::ErrorKind::TimedOut => {
                (ErrorCode::Timeout, ErrorClass::Net)
            }
            LineError::Connect(..) => (ErrorCode::GenericError, ErrorClass::Os),
            LineError::Silent(_) => (ErrorCode::Timeout, ErrorClass::Net),
            LineError::Certificate(_) => (ErrorCode::Certificate, ErrorClass::Ssl),
            LineError::Tls(_) => (ErrorCode::GenericError, ErrorClass::Ssl),
            LineError::Cut(_) => (ErrorCode::Eof, ErrorClass::Net),
            LineError::Proxy(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => return self.unknown_to_proxy(),
            LineError::Proxy(_) => return self.plain(GitErrorKind::Connect, error),
            LineError::Setup(_) => return self.plain(GitErrorKind::Other, error),
        };
        self.error(code, class, &error.to_string())
    }

    fn plain(&self, kind: GitErrorKind, error: &LineError) -> GitError {
        GitError::new(kind, format!("{}: {error}", self.doing))
    }

    fn unknown_to_proxy(&self) -> GitError {
        let message = format!("{}: the proxy wants another user and password", self.doing);
        GitError::new(GitErrorKind::Authentication, message).hint("check the user and password in `proxy`")
    }

    /// Sends the request, again as often as redirects and passwords need, and gives the body of what answers it.
    fn ask(&self, url: &Url, lists: bool, body: Vec<u8>) -> Result<Box<dyn Read + Send>, GitError> {
        let body = bytes::Bytes::from(body);
        for _ in 0..TURNS_MAX {
            let base = self.state.locked().moved.clone().unwrap_or_else(|| url.clone());
            let place = place(&base, lists);
            let question = Question {
                method: if lists { Method::GET } else { Method::POST },
                url: &place,
                headers: &self.headers(&base, lists),
                body: body.clone(),
            };
            let reply = self.line.ask(&question).map_err(|error| self.in_words(&error))?;
            match reply.status {
                StatusCode::OK => return self.body(reply, lists),
                StatusCode::UNAUTHORIZED => self.show(&base, &reply.headers)?,
                StatusCode::PROXY_AUTHENTICATION_REQUIRED => return Err(self.unknown_to_proxy()),
                status if is_redirect(status) && lists => self.follow(&place, &reply.headers)?,
                status => {
                    let text = format!("unexpected http status code: {}", status.as_u16());
                    return Err(self.error(ErrorCode::GenericError, ErrorClass::Http, &text));
                }
            }
        }
        let text = "too many redirects or authentication replays";
        Err(self.error(ErrorCode::GenericError, ErrorClass::Http, text))
    }

    fn headers(&self, base: &Url, lists: bool) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![
            (USER_AGENT, HeaderValue::from_static(AGENT)),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        ];
        if lists {
            headers.push((ACCEPT, HeaderValue::from_static("*/*")));
        } else {
            headers.push((ACCEPT, HeaderValue::from_static(content_type(lists))));
            headers.push((
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-git-upload-pack-request"),
            ));
        }
        if let Some(shown) = self.state.locked().shown.clone().filter(|_| self.is_its_own(base)) {
            headers.push((AUTHORIZATION, shown));
        }
        headers
    }

    /// Whether a URL leads to the very server that is configured.
    fn is_its_own(&self, url: &Url) -> bool {
        Address::parse(url.as_str()).is_some_and(|asked| asked.same_place(&self.address))
    }

    /// Takes the credentials out, once: a server that asks again does not accept them.
    fn show(&self, base: &Url, headers: &HeaderMap) -> Result<(), GitError> {
        if !self.is_its_own(base) {
            return Err(credentials::for_another(&self.address));
        }
        let basic = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
            text.split(',').any(|offer| offer.trim_start().starts_with("basic"))
        };
        if !headers.get_all(WWW_AUTHENTICATE).iter().any(basic) {
            let text = "server requires authentication that we do not support";
            return Err(self.error(ErrorCode::Auth, ErrorClass::Http, text));
        }
        let mut state = self.state.locked();
        if state.shown.is_some() {
            return Err(credentials::rejected(&self.spec, &self.address));
        }
        let (user, password) = credentials::user_and_password(&self.spec, &self.address)?;
        state.shown = Some(basic_auth(&user, &password));
        Ok(())
    }

    /// Notes where the repository is now: on the same host, and never from https to http.
    fn follow(&self, from: &Url, headers: &HeaderMap) -> Result<(), GitError> {
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(mut to) = location.and_then(|text| from.join(text).ok()) else {
            return Err(self.error(ErrorCode::GenericError, ErrorClass::Http, "redirect without location"));
        };
        let scheme = |url: &Url| url.scheme().to_owned();
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        let refuse = |from: String, to: String| {
            let text = format!("cannot redirect from '{from}' to '{to}'");
            Err(self.error(ErrorCode::GenericError, ErrorClass::Net, &text))
        };
        if to.scheme() != from.scheme() && to.scheme() != "https" {
            return refuse(scheme(from), scheme(&to));
        }
        if host(&to) != host(from) {
            return refuse(host(from), host(&to));
        }
        to.set_query(None);
        to.set_fragment(None);
        let path = to.path().strip_suffix(LIST).unwrap_or(to.path()).to_owned();
        to.set_path(&path);
        self.state.locked().moved = Some(to);
        Ok(())
    }

    /// The body, if it is what git answers.
    fn body(&self, reply: Reply, lists: bool) -> Result<Box<dyn Read + Send>, GitError> {
        let text = |name| reply.headers.get(name).and_then(|value| value.to_str().ok());
        let wrong = |text: String| Err(self.error(ErrorCode::GenericError, ErrorClass::Http, &text));
        match text(CONTENT_TYPE) {
            Some(kind)
                if kind
                    .split(';')
                    .next()
                    .is_some_and(|kind| kind.trim() == content_type(lists)) => {}
            Some(kind) => return wrong(format!("invalid content-type: '{kind}'")),
            None => return wrong("no content-type header in response".to_owned()),
        }
        match text(CONTENT_ENCODING) {
            None | Some("identity" | "") => Ok(Box::new(reply.body)),
            Some(coding) if coding.trim().eq_ignore_ascii_case("gzip") => Ok(Box::new(MultiGzDecoder::new(reply.body))),
            Some(coding) => wrong(format!("unknown content-encoding: '{coding}'")),
        }
    }
}

fn content_type(lists: bool) -> &'static str {
    if lists {
        "application/x-git-upload-pack-advertisement"
    } else {
        "application/x-git-upload-pack-result"
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a request to the repository at `base` goes.
fn place(base: &Url, lists: bool) -> Url {
    let mut place = base.clone();
    let path = base.path().trim_end_matches('/');
    place.set_path(&format!("{path}{}", if lists { LIST } else { "/git-upload-pack" }));
    place.set_query(lists.then_some("service=git-upload-pack"));
    place
}
