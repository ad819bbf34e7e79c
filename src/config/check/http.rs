//! `[http]`: trusted proxies, the address of the status pages, and who may use them.

use std::path::Path;

use super::across::Seen;
use super::listener::{listener, network};
use crate::config::section::Section;
use crate::config::source::At;
use crate::config::types::{Http, Login, Tls};
use crate::config::value::Listen;
use crate::model::Role;

pub(super) fn read(section: &Section, control: &Path, seen: &mut Seen) -> Http {
    let trusted_proxies = section.each("trusted_proxies", |text| network(section, "trusted_proxies", text));
    let tls = section.sub("tls", "http.tls").and_then(|tls| {
        tls.require("cert", "`cert` and `key` go together");
        tls.require("key", "`cert` and `key` go together");
        let (cert, key) = (tls.path("cert"), tls.path("key"));
        Some(Tls {
            cert: cert?.value,
            key: key?.value,
        })
    });
    let login = section.sub("login", "http.login").map(|section| {
        seen.note("http.login.users", section.string("users"));
        login(&section, !trusted_proxies.is_empty())
    });
    let status = section.string("status").and_then(|text| {
        let value = listener(section, "status", text)?;
        Some(text.with(value))
    });
    if let Some(status) = &status {
        stands_alone(section, status, control, seen);
        is_safe(section, status, tls.as_ref(), login.as_ref());
    }
    if let (Some(_), None, Some(entry)) = (&login, section.own("status"), section.own("login")) {
        let hint = "`status = \"127.0.0.1:9001\"` in `[http]` says where the pages are";
        let message = "`[http.login]` is for the status pages, and there is no `status`";
        section.problems.warning(entry.key, message, hint);
    }
    Http {
        trusted_proxies,
        status: status.map(|at| at.value),
        public_url: section
            .string("public_url")
            .and_then(|text| super::apis::web_url(section, text)),
        tls,
        login,
    }
}

/// The status pages share their address with nothing.
fn stands_alone(section: &Section, status: &At<Listen>, control: &Path, seen: &Seen) {
    if seen.listeners.iter().any(|other| other.value == status.value) {
        let hint = "webhooks and the status pages need an address each";
        section.wrong(status.place, "`status` and `listen` are the same address", hint);
    }
    if matches!(&status.value, Listen::Unix(path) if path == control) {
        let hint = "whoever may open the control socket may do everything; the status pages need a socket of their own";
        section.wrong(status.place, "`status` and `control` are the same socket", hint);
    }
}

/// What others than this machine can reach asks for a password, which nobody on the way may read.
fn is_safe(section: &Section, status: &At<Listen>, tls: Option<&Tls>, login: Option<&Login>) {
    if matches!(&status.value, Listen::Tcp(address) if !address.ip().is_loopback()) {
        let (message, missing) = match (tls, login) {
            (Some(_), Some(_)) => return,
            (None, None) => (
                "is not a loopback address, and has neither TLS nor log-ins",
                "`[http.tls]` and `[http.login]`",
            ),
            (None, Some(_)) => (
                "is not a loopback address, and passwords would travel without TLS",
                "`[http.tls]`",
            ),
            (Some(_), None) => ("is not a loopback address, and asks for no password", "`[http.login]`"),
        };
        let hint = format!("add {missing}, or keep it to this machine: \"127.0.0.1:9001\"");
        section.wrong(status.place, format!("`status` {message}"), hint);
    }
}

fn login(section: &Section, has_proxies: bool) -> Login {
    let header = section.string("header").and_then(|text| {
        let name = http::HeaderName::from_bytes(text.value.as_bytes()).ok();
        if name.is_none() {
            section.wrong(text.place, "`header` is not the name of a header", None);
        }
        name.map(|name| name.as_str().to_owned())
    });
    let roles = section.pairs("roles");
    let mut known = std::collections::BTreeMap::new();
    for (user, role) in &roles {
        match role.value.parse::<Role>() {
            Ok(role) => drop(known.insert(user.value.to_owned(), role)),
            Err(error) => section.wrong(role.place, format!("`roles`: {error}"), None),
        }
    }
    let named = section.own("header");
    match (named, section.own("roles")) {
        (None, None) if section.own("users").is_none() => {
            let hint = "`users = \"/etc/hookd/users\"`, and hookd user add NAME --role act";
            section.wrong(section.place, "`[http.login]` has neither `users` nor `header`", hint);
        }
        (Some(header), _) if !has_proxies && section.own("users").is_none() => {
            let hint = "name the proxy: `trusted_proxies = [\"127.0.0.1\"]` in `[http]`";
            let message = "`header` is believed from `http.trusted_proxies` only, and there are none";
            section.wrong(header.key, message, hint);
        }
        (Some(header), None) if section.own("users").is_none() => {
            let hint = "`roles = { alice = \"act\", \"*\" = \"view\" }`";
            section.wrong(header.key, "`header` without `roles` lets nobody in", hint);
        }
        (None, Some(roles)) => {
            let hint = "the roles of those who log in with a password stand in the file `users`";
            section.wrong(roles.key, "`roles` is for those whom `header` names", hint);
        }
        _ => {}
    }
    Login {
        users: section.path("users").map(|at| at.value),
        header,
        roles: known,
        public: section.each("public", |text| section.chosen("public", text)),
    }
}
