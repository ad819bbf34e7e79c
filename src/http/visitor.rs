//! Who sends a request to the control socket or the status address, and what they may do.

use std::net::{IpAddr, Ipv4Addr};

use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use zeroize::Zeroizing;

use super::answer::{self, Answer};
use super::{App, peer};
use crate::access::{self, Scope, Signed};
use crate::config::{Http, Login};
use crate::model::{Asker, Role, TargetId};
use crate::operate::By;

/// The cookie of a session, behind TLS: browsers take one of this name from this very host alone, and show it to nobody else.
const COOKIE_HOST: &str = "__Host-hookd";

/// The same without TLS, on this machine.
const COOKIE_PLAIN: &str = "hookd-session";

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address; none on a unix socket.
    pub address: Option<IpAddr>,
    /// Its user id, as the kernel has it; only on a unix socket.
    pub uid: Option<u32>,
}

/// How a request came to the status address.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// The address that it comes from: the peer's, or the one that a trusted proxy names.
    pub from: IpAddr,
    /// Whether the peer is a trusted proxy.
    by_proxy: bool,
    /// Whether nobody on the way can read it: TLS here, or at the trusted proxy.
    pub is_secret: bool,
}

impl Way {
    /// The way of a request from that peer, which speaks TLS to this listener or does not.
    pub(super) fn of(peer: Option<IpAddr>, tls: bool, headers: &HeaderMap, http: &Http) -> Self {
        let address = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let by_proxy = http.trusted_proxies.iter().any(|net| net.contains(&address));
        Self {
            from: peer::source(peer, headers, &http.trusted_proxies),
            by_proxy,
            is_secret: tls || (by_proxy && peer::came_by_tls(headers)),
        }
    }

    /// The name of the cookie that a session has on this way.
    pub(super) fn cookie(&self) -> &'static str {
        if self.is_secret { COOKIE_HOST } else { COOKIE_PLAIN }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Visitor {
    /// A process that may open the control socket, with its user id.
    Owner(u32),
    /// Whoever reaches the status address where nobody logs in: looks, and does not act.
    Onlooker,
    /// Whoever reaches it where people log in, and has not: sees what is public.
    Stranger(Way),
    /// A user who logged in, or whom a trusted proxy names.
    User(Guest),
    /// A program with a token: its name, what it may, and the address of the request.
    Token(String, Scope, IpAddr),
}

/// A user on the page.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Who it is.
    pub signed: Signed,
    /// How the request came.
    pub way: Way,
    /// The secret of the session; none for one whom a proxy names.
    pub cookie: Option<Zeroizing<String>>,
}

/// What somebody wants done.
#[derive(Debug, Clone, Copy)]
pub enum Deed<'a> {
    /// The target brought to its tip.
    Deploy(&'a TargetId),
    /// Another act on a target or a delivery.
    Act,
    /// Tokens, samples to channels and forges.
    Manage,
}

impl Visitor {
    /// Under whose name an act is noted, if this one may do it.
    pub fn by(&self, deed: Deed<'_>) -> Option<By> {
        let (asker, address) = match (self, deed) {
            (Self::Owner(uid), _) => (Asker::Uid(*uid), None),
            (Self::User(guest), Deed::Deploy(_) | Deed::Act) if guest.signed.role == Role::Act => {
                (Asker::User(guest.signed.user.clone()), Some(guest.way.from.to_string()))
            }
            (Self::Token(name, scope, from), Deed::Deploy(target)) if scope.may_deploy(target) => {
                (Asker::Token(name.clone()), Some(from.to_string()))
            }
            _ => return None,
        };
        Some(By { asker, address })
    }

    /// The user, if it is one who may act on the page.
    pub fn actor(&self) -> Option<&Guest> {
        match self {
            Self::User(guest) if guest.signed.role == Role::Act => Some(guest),
            _ => None,
        }
    }

    /// What this one may, for an error.
    pub fn limits(&self) -> String {
        match self {
            Self::Token(name, scope, _) => format!("the token {name} may {scope}, and nothing else"),
            Self::User(guest) if guest.signed.role == Role::View => {
                format!("{} has the role view: it looks, and does not act", guest.signed.user)
            }
            Self::User(_) => "that goes through the control socket alone: hookd --help".to_owned(),
            _ => "this address only shows; acting goes through the control socket: hookd --help".to_owned(),
        }
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(known, _)| known.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The user whom a proxy names, if it names just one.
fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let user = value.to_str().ok()?.trim();
    access::check_name(user).is_ok().then_some(user)
}

/// Whether a request is addressed to a name that can't have been made to lead here by somebody else: an address, `localhost`,
/// or the host of `public_url`. A web page from elsewhere with such a name (DNS rebinding) would be of one origin with this one.
pub(super) fn is_addressed_here(headers: &HeaderMap, http: &Http) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    authority.is_some_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        let public = http.public_url.as_ref().and_then(|url| url.host_str());
        name == "localhost"
            || name.parse::<IpAddr>().is_ok()
            || public.is_some_and(|public| public.trim_matches(['[', ']']).eq_ignore_ascii_case(name))
    })
}

/// Whether no other web page had a browser send the request. `Sec-Fetch-Site` is the browser's own word. Where it has none,
/// `Origin` must be the page's own; what has neither comes from no browser.
pub(super) fn same_origin(headers: &HeaderMap, http: &Http) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("-"));
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some("same-origin" | "none"), _) | (None, None) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => {
            let host = text(HOST.as_str()).unwrap_or_default();
            let own = |url: &url::Url| url.origin().ascii_serialization() == origin;
            let authority = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
                || http.public_url.as_ref().is_some_and(own)
        }
    }
}

impl App {
    /// Whether a visitor may not look there: a token that deploys sees how the jobs of its targets end, and nothing else.
    pub(super) async fn keeps_out(&self, visitor: &Visitor, method: &Method, parts: &[&str]) -> bool {
        let Visitor::Token(_, scope @ Scope::Deploy(_), _) = visitor else {
            return false;
        };
        if let ["api", "v1", "jobs", id] = parts {
            let job = self.overview.job(id.parse().unwrap_or_default()).await.ok();
            let target = job.and_then(|job| job.target.parse().ok());
            return !target.is_some_and(|target| scope.may_deploy(&target));
        }
        matches!(*method, Method::GET | Method::HEAD)
    }

    /// Who asks on the status address: a program with a token, a user, or nobody in particular. A token that nobody knows is
    /// refused.
    pub(super) async fn visitor(&self, headers: &HeaderMap, way: Way) -> Result<Visitor, Answer> {
        if let Some(token) = bearer(headers) {
            return self.program(token, way.from).await;
        }
        let settings = self.settings();
        let http = &settings.config.http;
        let Some(login) = &http.login else {
            return Ok(Visitor::Onlooker);
        };
        if let Some(user) = login
            .header
            .as_ref()
            .filter(|_| way.by_proxy)
            .and_then(|name| named(headers, name))
        {
            if !is_addressed_here(headers, http) {
                let error = "not addressed to this host";
                let hint = "`public_url` in `[http]` says how people reach the page".to_owned();
                return Err(answer::problem(StatusCode::FORBIDDEN, error, Some(hint)));
            }
            return self.proxied(login, user, way).map_err(|refusal| *refusal);
        }
        let cookie = cookie(headers, way.cookie());
        let (Some(file), Some(cookie)) = (&login.users, cookie) else {
            return Ok(Visitor::Stranger(way));
        };
        let signed = self.operator.logins.of_cookie(file, cookie).await;
        let signed = signed.map_err(|e| answer::problem(StatusCode::SERVICE_UNAVAILABLE, &e.to_string(), None))?;
        let cookie = Some(Zeroizing::new(cookie.to_owned()));
        Ok(signed.map_or(Visitor::Stranger(way), |signed| {
            Visitor::User(Guest { signed, way, cookie })
        }))
    }

    fn proxied(&self, login: &Login, user: &str, way: Way) -> Result<Visitor, Box<Answer>> {
        let Some(signed) = self.operator.logins.of_proxy(login, user) else {
            let error = format!("{user} has no role here");
            let hint = "`roles` in `[http.login]` says who may what".to_owned();
            return Err(Box::new(answer::problem(StatusCode::FORBIDDEN, &error, Some(hint))));
        };
        Ok(Visitor::User(Guest {
            signed,
            way,
            cookie: None,
        }))
    }

    async fn program(&self, token: &str, from: IpAddr) -> Result<Visitor, Answer> {
        let row = self.world.store.token(access::hash(token)).await;
        let row = row.map_err(|e| answer::problem(StatusCode::SERVICE_UNAVAILABLE, &e.to_string(), None))?;
        let known = row.and_then(|row| Some(Visitor::Token(row.name, row.scope.parse().ok()?, from)));
        known.ok_or_else(|| {
            let hint = "hookd token list".to_owned();
            let mut refusal = answer::problem(StatusCode::UNAUTHORIZED, "this token is not known", Some(hint));
            let scheme = HeaderValue::from_static("Bearer realm=\"hookd\", error=\"invalid_token\"");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            refusal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn other_pages_send_nothing() {
        let http = Http {
            public_url: Some("https://deploy.example.org/".parse().unwrap()),
            ..Http::default()
        };
        for (list, same) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("sec-fetch-site", "none")], true),
            (
                &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9001")],
                false,
            ),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://127.0.0.1:9001")], true),
            (&[("origin", "http://127.0.0.1:9002")], false),
            (&[("origin", "https://deploy.example.org")], true),
            (&[("origin", "https://deploy.example.org.evil.example")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
        ] {
            let mut all = headers(list);
            all.insert(HOST, HeaderValue::from_static("127.0.0.1:9001"));
            assert_eq!(same_origin(&all, &http), same, "{list:?}");
        }
    }

    #[test]
    fn names_that_lead_here_are_known() {
        let http = Http {
            public_url: Some("https://deploy.example.org/".parse().unwrap()),
            ..Http::default()
        };
        for (host, here) in [
            ("127.0.0.1:9001", true),
            ("[::1]:9001", true),
            ("localhost", true),
            ("deploy.example.org", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
        ] {
            let host = headers(&[("host", host)]);
            assert_eq!(is_addressed_here(&host, &http), here, "{host:?}");
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let all = headers(&[("cookie", "a=b; hookd-session=x_y-z; c=d")]);
        assert_eq!(cookie(&all, "hookd-session"), Some("x_y-z"));
        assert_eq!(cookie(&all, "session"), None);
    }

    #[test]
    fn a_proxy_names_one_user() {
        let mut all = headers(&[("x-user", "alice")]);
        assert_eq!(named(&all, "x-user"), Some("alice"));
        all.append("x-user", HeaderValue::from_static("root"));
        assert_eq!(named(&all, "x-user"), None);
        assert_eq!(named(&headers(&[("x-user", "a b")]), "x-user"), None);
        assert_eq!(named(&headers(&[("x-user", "")]), "x-user"), None);
    }
}
