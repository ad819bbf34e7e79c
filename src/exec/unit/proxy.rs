//! The system bus as a `reload` finds it: hookd answers, and hands on to systemd what the configuration's `reload` names.
//!
//! The unit has no way to the real bus, where any user may ask for more than is good: its own `systemd --user`, which runs programs
//! outside of every sandbox, say. Nothing of what the command sends is passed on: what is allowed is read, and asked anew.

use std::collections::HashMap;
use std::fmt::Write;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_core::Stream;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use zbus::message::{Header, Type};
use zbus::wire::{OwnedObjectPath, OwnedVariant};
use zbus::{Connection, MatchRule, Message, MessageStream, connection};

use super::bus::{MANAGER, MANAGER_PATH, SYSTEMD};
use super::reload_rule::Asked;
use crate::model::{Locked, words};

/// The bus itself, as clients call it.
const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";

/// Connections at a time: each `systemctl` has one.
const CONNECTIONS_MAX: usize = 4;

/// Most refusals that are told in the log.
const TOLD_MAX: usize = 10;

/// Signals that may wait while systemd answers a question: jobs of a whole boot.
const SIGNALS_MAX: usize = 4096;

/// What clients are told of the server; it has to be there, and nobody looks at it.
const GUID: &str = "686f6f6b640000000000000000000000";

/// Methods of systemd that take a unit and a mode, and polkit's verb for each.
const JOBS: &[(&str, &str)] = &[
    ("StartUnit", "start"),
    ("StopUnit", "stop"),
    ("ReloadUnit", "reload"),
    ("RestartUnit", "restart"),
    ("TryRestartUnit", "try-restart"),
    ("ReloadOrRestartUnit", "reload-or-restart"),
    ("ReloadOrTryRestartUnit", "reload-or-try-restart"),
];

/// How a job may stand to others that wait: as `systemctl` asks by itself, and weaker. polkit is not told of it, and the others could
/// cancel every other job of the machine, or hold up its shutdown.
const MODES: [&str; 2] = ["replace", "fail"];

/// Most of what a refused call said that is told, characters.
const SAID_MAX: usize = 200;

/// What was refused, for the log.
#[derive(Clone, Default)]
pub(super) struct Refused(Arc<Mutex<Vec<String>>>);

impl Refused {
    fn add(&self, what: &str) {
        let mut all = self.0.locked();
        if all.len() < TOLD_MAX && !all.iter().any(|told| told == what) {
            all.push(what.to_owned());
        }
    }

    /// One line for each.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.locked())
    }
}

/// Serves the clients that connect, until it is dropped.
pub(super) async fn serve(listener: UnixListener, asked: Asked, refused: Refused) {
    let gate = Arc::new(Gate { asked, refused });
    let mut clients = JoinSet::new();
    loop {
        if clients.len() >= CONNECTIONS_MAX {
            clients.join_next().await;
        }
        // Out of descriptors, say: those who are served go first.
        let Ok((stream, _)) = listener.accept().await else {
            if clients.join_next().await.is_none() {
                return;
            }
            continue;
        };
        let gate = gate.clone();
        if let Ok(stream) = stream.into_std() {
            // A client that breaks off has nobody to be told.
            clients.spawn(async move { client(&gate, stream).await.unwrap_or_default() });
        }
        while clients.try_join_next().is_some() {}
    }
}

/// What the configuration names.
struct Gate {
    asked: Asked,
    refused: Refused,
}

/// An answer to a call.
enum Answer {
    Nothing,
    Name(String),
    Object(OwnedObjectPath),
    Value(OwnedVariant),
    Values(HashMap<String, OwnedVariant>),
    Error(String, String),
}

async fn client(gate: &Gate, stream: std::os::unix::net::UnixStream) -> zbus::Result<()> {
    let mut calls = connection::Builder::unix_stream(stream)
        .server(GUID)
        .p2p()
        .build_message_stream()
        .await?;
    let client = Connection::from(calls.clone());
    let systemd = Connection::system().await?;
    let ended = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(SYSTEMD)
        .interface(MANAGER)
        .member("JobRemoved")
        .build()?;
    let mut ended = MessageStream::for_match_rule(ended, &systemd, SIGNALS_MAX.try_into().ok()).await?;
    loop {
        tokio::select! {
            call = next(&mut calls) => {
                let Some(call) = call else { return Ok(()) };
                let call = call?;
                if call.message_type() == Type::MethodCall {
                    let answer = gate.answer(&systemd, &call).await;
                    client.send(&reply(&call.header(), answer)?).await?;
                }
            }
            signal = next(&mut ended) => {
                let Some(signal) = signal else { return Ok(()) };
                if let Some(signal) = gate.pass(&signal?)? {
                    client.send(&signal).await?;
                }
            }
        }
    }
}

async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn reply(call: &Header<'_>, answer: Answer) -> zbus::Result<Message> {
    let ok = Message::method_return(call);
    match answer {
        Answer::Nothing => ok.build(&()),
        Answer::Name(name) => ok.build(&name),
        Answer::Object(path) => ok.build(&path),
        Answer::Value(value) => ok.build(&value),
        Answer::Values(values) => ok.build(&values),
        Answer::Error(name, text) => Message::error(call, name).build(&text),
    }
}

impl Gate {
    /// The end of a job of a unit that is named.
    fn pass(&self, signal: &Message) -> zbus::Result<Option<Message>> {
        let body = signal.body();
        let ended: (u32, OwnedObjectPath, String, String) = body.deserialize()?;
        if !self.names(&ended.2) {
            return Ok(None);
        }
        let header = signal.header();
        let mut copy = Message::signal(MANAGER_PATH, MANAGER, "JobRemoved");
        if let Some(sender) = header.sender() {
            copy = copy.sender(sender.to_owned());
        }
        copy.build(&ended).map(Some)
    }

    /// Whether a unit is named at all.
    fn names(&self, unit: &str) -> bool {
        let jobs = self.asked.jobs.iter().map(|(_, name)| name);
        jobs.chain(&self.asked.states).any(|name| name == unit)
    }

    fn allows(&self, verb: &str, unit: &str) -> bool {
        self.asked
            .jobs
            .iter()
            .any(|(known, name)| *known == verb && name == unit)
    }

    /// What comes of a call.
    async fn answer(&self, systemd: &Connection, call: &Message) -> Answer {
        let header = call.header();
        let word = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let to = word(header.destination().map(zbus::names::BusName::as_str));
        let interface = word(header.interface().map(zbus::names::InterfaceName::as_str));
        let method = word(header.member().map(zbus::names::MemberName::as_str));
        let path = word(header.path().map(zbus::wire::ObjectPath::as_str));
        let answer = match (to.as_str(), interface.as_str()) {
            (BUS, BUS) => return self.as_bus(systemd, &method),
            (SYSTEMD, MANAGER) if path == MANAGER_PATH => self.as_manager(systemd, &method, call).await,
            (SYSTEMD, PROPERTIES) => self.as_unit(systemd, &method, &path, call).await,
            _ => None,
        };
        match answer {
            Some(Ok(answer)) => answer,
            Some(Err(zbus::Error::MethodError(name, text, _))) => {
                Answer::Error(name.to_string(), text.unwrap_or_default())
            }
            Some(Err(error)) => Answer::Error(format!("{BUS}.Error.Failed"), error.to_string()),
            None => self.deny(&format!("{interface}.{method}")),
        }
    }

    /// Refuses something, with what would be allowed.
    fn deny(&self, what: &str) -> Answer {
        let named: Vec<String> = self
            .asked
            .jobs
            .iter()
            .map(|(verb, unit)| format!("{verb} {unit}"))
            .collect();
        let named = if named.is_empty() {
            "nothing".to_owned()
        } else {
            named.join(", ")
        };
        let what = words::shown(what, SAID_MAX);
        let text = format!("refused {what}: of systemd, the words of `reload` in the configuration name {named}");
        self.refused.add(&text);
        Answer::Error(DENIED.to_owned(), text)
    }

    /// What each client says to the bus. Signals that it wants to hear come anyway, and no others.
    fn as_bus(&self, systemd: &Connection, method: &str) -> Answer {
        match method {
            "Hello" => Answer::Name(systemd.unique_name().map(ToString::to_string).unwrap_or_default()),
            "AddMatch" | "RemoveMatch" => Answer::Nothing,
            other => self.deny(&format!("{BUS}.{other}")),
        }
    }

    /// A question to systemd itself. `None` if it is not to be asked.
    async fn as_manager(&self, systemd: &Connection, method: &str, call: &Message) -> Option<zbus::Result<Answer>> {
        let body = call.body();
        if let Some((_, verb)) = JOBS.iter().find(|(name, _)| *name == method) {
            let (unit, mode): (String, String) = body.deserialize().ok()?;
            if !self.allows(verb, &unit) {
                return Some(Ok(self.deny(&format!("{verb} {unit}"))));
            }
            if !MODES.contains(&mode.as_str()) {
                return Some(Ok(self.deny(&format!("{verb} {unit} with the job mode {mode}"))));
            }
            return Some(object(systemd, method, &(unit, mode)).await);
        }
        match method {
            "GetUnit" | "LoadUnit" => {
                let unit: String = body.deserialize().ok()?;
                if !self.names(&unit) {
                    return Some(Ok(self.deny(&format!("{method} {unit}"))));
                }
                Some(object(systemd, method, &unit).await)
            }
            "KillUnit" => {
                let (unit, whom, signal): (String, String, i32) = body.deserialize().ok()?;
                if !self.allows("kill", &unit) {
                    return Some(Ok(self.deny(&format!("kill {unit}"))));
                }
                Some(nothing(systemd, method, &(unit, whom, signal)).await)
            }
            "ResetFailedUnit" => {
                let unit: String = body.deserialize().ok()?;
                if !self.allows("reset-failed", &unit) {
                    return Some(Ok(self.deny(&format!("reset-failed {unit}"))));
                }
                Some(nothing(systemd, method, &unit).await)
            }
            // What concerns its jobs it hears in any case.
            "Subscribe" | "Unsubscribe" => Some(Ok(Answer::Nothing)),
            _ => None,
        }
    }

    /// A look at a unit that is named; any user of the machine may have it.
    async fn as_unit(
        &self,
        systemd: &Connection,
        method: &str,
        path: &str,
        call: &Message,
    ) -> Option<zbus::Result<Answer>> {
        let jobs = self.asked.jobs.iter().map(|(_, unit)| unit);
        if !jobs.chain(&self.asked.states).any(|unit| unit_path(unit) == path) {
            return Some(Ok(self.deny(&format!("a look at {path}"))));
        }
        let body = call.body();
        match method {
            "Get" => {
                let words: (String, String) = body.deserialize().ok()?;
                let answer = systemd
                    .call_method(Some(SYSTEMD), path, Some(PROPERTIES), method, &words)
                    .await;
                Some(answer.and_then(|answer| answer.body().deserialize().map(Answer::Value)))
            }
            "GetAll" => {
                let interface: String = body.deserialize().ok()?;
                let answer = systemd
                    .call_method(Some(SYSTEMD), path, Some(PROPERTIES), method, &interface)
                    .await;
                Some(answer.and_then(|answer| answer.body().deserialize().map(Answer::Values)))
            }
            _ => None,
        }
    }
}

/// Asks systemd for something that gives an object: a unit, a job.
async fn object<B>(systemd: &Connection, method: &str, body: &B) -> zbus::Result<Answer>
where
    B: serde::Serialize + zbus::DynamicType,
{
    let answer = systemd
        .call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), method, body)
        .await?;
    answer.body().deserialize().map(Answer::Object)
}

/// Asks systemd for something that gives nothing.
async fn nothing<B>(systemd: &Connection, method: &str, body: &B) -> zbus::Result<Answer>
where
    B: serde::Serialize + zbus::DynamicType,
{
    systemd
        .call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), method, body)
        .await
        .map(|_| Answer::Nothing)
}

/// The object of a unit: all but letters and digits is written as `_` and its number (systemd's `bus_label_escape`).
fn unit_path(unit: &str) -> String {
    let mut path = format!("{MANAGER_PATH}/unit/");
    for (at, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_units_have_the_names_that_systemd_gives_them() {
        assert_eq!(
            unit_path("app-1@x.service"),
            "/org/freedesktop/systemd1/unit/app_2d1_40x_2eservice"
        );
        assert_eq!(unit_path("9p.mount"), "/org/freedesktop/systemd1/unit/_39p_2emount");
    }
}
