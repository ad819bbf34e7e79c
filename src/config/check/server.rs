//! The top level, `[limits]` and `[http]`: the keys of the daemon as a whole.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::across::Seen;
use super::http;
use super::limits::Limits;
use super::listener::{fits_a_socket, listener};
use crate::config::Environment;
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::types::Http;
use crate::config::value::{Listen, Proxy};
use crate::model::{GitUrl, Secret};

/// Without `listen`: loopback, since TLS is mostly done by a proxy on the same machine.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9000);

/// Without `state_dir` and outside systemd.
const STATE_DIR: &str = "/var/lib/hookd";

/// Without `control` and outside systemd.
const RUNTIME_DIR: &str = "/run/hookd";
/// Name of the control socket in the runtime directory.
const CONTROL: &str = "control.sock";

/// What this file reads.
pub(super) struct Server {
    pub listen: Vec<Listen>,
    pub state_dir: PathBuf,
    pub control: PathBuf,
    pub max_jobs: usize,
    pub limits: Limits,
    pub http: Http,
    pub proxy: Option<Proxy>,
}

pub(super) fn read(root: &Section, environment: Environment, seen: &mut Seen) -> Server {
    let listeners = listeners(root);
    let listen = if listeners.is_empty() {
        vec![Listen::Tcp(LISTEN)]
    } else {
        listeners.iter().map(|at| at.value.clone()).collect()
    };
    seen.listeners = listeners;
    let state_dir = root.path("state_dir").map(|at| at.value);
    let control = root.path("control").map(|at| {
        fits_a_socket(root, "control", &at.value, at.place);
        if seen
            .listeners
            .iter()
            .any(|other| other.value == Listen::Unix(at.value.clone()))
        {
            let hint = "the control socket is for hookd's own commands, `listen` for webhooks";
            root.wrong(at.place, "`control` and `listen` are the same socket", hint);
        }
        at.value
    });
    let runtime = || first_directory(environment, "RUNTIME_DIRECTORY").unwrap_or_else(|| RUNTIME_DIR.into());
    let state = || first_directory(environment, "STATE_DIRECTORY").unwrap_or_else(|| STATE_DIR.into());
    let control = control.unwrap_or_else(|| runtime().join(CONTROL));
    let http = root.sub("http", "http");
    let http = http.map_or_else(Http::default, |section| http::read(&section, &control, seen));
    Server {
        listen,
        state_dir: state_dir.unwrap_or_else(state),
        control,
        max_jobs: root.count("max_jobs"),
        limits: root
            .sub("limits", "limits")
            .map_or_else(Limits::default, |section| Limits::bounded(&section)),
        http,
        proxy: proxy(root, None),
    }
}

/// systemd separates several directories by colons; the first is the one that is named first in the unit.
fn first_directory(environment: Environment, variable: &str) -> Option<PathBuf> {
    let value = environment(variable)?;
    let first = value.as_bytes().split(|b| *b == b':').next()?;
    let path = Path::new(OsStr::from_bytes(first));
    path.is_absolute().then(|| path.to_owned())
}

fn listeners(root: &Section) -> Vec<At<Listen>> {
    let mut listeners: Vec<At<Listen>> = Vec::new();
    for text in root.some_strings("listen").map(|list| list.value).unwrap_or_default() {
        let Some(value) = listener(root, "listen", text) else {
            continue;
        };
        if listeners.iter().any(|other| other.value == value) {
            root.wrong(text.place, "this address is in the list twice", None);
        }
        listeners.push(text.with(value));
    }
    listeners
}

/// `proxy`, here and in a repo, where that of the top level holds `otherwise`. No message repeats it: it may hold a password.
pub(super) fn proxy(section: &Section, otherwise: Option<&Proxy>) -> Option<Proxy> {
    let Some(text) = section.string("proxy") else {
        return otherwise.cloned();
    };
    if text.value == "off" {
        return None;
    }
    let plain = text.value.parse::<GitUrl>().ok();
    let url = plain.and_then(|url| url::Url::parse(&url).ok());
    let holds = |url: &url::Url| {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        url.scheme() == "http" && url.has_host() && bare
    };
    if !url.as_ref().is_some_and(holds) {
        let hint = "write \"http://HOST:PORT\", with USER:PASSWORD@ before the host if it asks for one, or \"off\"";
        section.wrong(text.place, "`proxy` is not the URL of an http proxy", hint);
    }
    Some(Proxy(Secret::new(text.value.as_bytes().to_vec())))
}
