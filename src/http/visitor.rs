//! Who asks on the control socket or the status address, and what that one may.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};

use super::App;
use super::answer::{self, Answer};
use crate::access::{self, Scope};
use crate::model::{Asker, TargetId};
use crate::operate::By;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address; none on a unix socket.
    pub address: Option<IpAddr>,
    /// Its user id, as the kernel has it; only on a unix socket.
    pub uid: Option<u32>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Visitor {
    /// A process that may open the control socket, with its user id.
    Owner(u32),
    /// Whoever reaches the status address: looks, and does not act.
    Onlooker,
    /// A program with a token: its name, what it may, and the address of the request.
    Token(String, Scope, IpAddr),
}

impl Visitor {
    /// Under whose name an act is noted, if this one may do it: `deploys` is the target that is brought to its tip, and none for
    /// every other act.
    pub fn by(&self, deploys: Option<&TargetId>) -> Option<By> {
        let (asker, address) = match self {
            Self::Owner(uid) => (Asker::Uid(*uid), None),
            Self::Token(name, scope, from) if deploys.is_some_and(|target| scope.may_deploy(target)) => {
                (Asker::Token(name.clone()), Some(from.to_string()))
            }
            Self::Token(..) | Self::Onlooker => return None,
        };
        Some(By { asker, address })
    }

    /// What this one may, for an error.
    pub fn limits(&self) -> String {
        match self {
            Self::Token(name, scope, _) => format!("the token {name} may {scope}, and nothing else"),
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

    /// Who asks on the status address: a program with a token, or an onlooker. A token that nobody knows is refused.
    pub(super) async fn visitor(&self, headers: &HeaderMap, from: IpAddr) -> Result<Visitor, Answer> {
        let Some(token) = bearer(headers) else {
            return Ok(Visitor::Onlooker);
        };
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
