//! The way to the daemon: JSON over HTTP on its control socket.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::output::{self, Code, Failure};
use crate::api::{ErrorBody, Status};
use crate::config;

/// Where the daemon's control socket is if no configuration says it.
const DEFAULT_CONTROL: &str = "/run/hookd/control.sock";

/// What others named, as one part of a path.
pub fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A connection to the daemon.
#[derive(Clone)]
pub struct Client {
    control: PathBuf,
}

impl Client {
    /// The daemon that runs with this configuration. A broken file does not keep anybody from asking what is live.
    pub fn new(config: &Path) -> Self {
        Self {
            control: control_path(config),
        }
    }

    /// A target, or a repo with all of its targets, that the daemon knows.
    pub async fn target_or_repo(&self, name: &str) -> Result<String, Failure> {
        let status: Status = self.get("/api/v1/status").await?;
        let names: Vec<&str> = status.targets.iter().map(|target| target.target.as_str()).collect();
        let is_meant = |target: &&str| *target == name || target.split_once('/').is_some_and(|(repo, _)| repo == name);
        if names.iter().any(is_meant) {
            return Ok(name.to_owned());
        }
        let what = if name.contains('/') { "target" } else { "repo" };
        Err(no_such(what, name, &names))
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<http::Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.control)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let broken =
            |e: hyper::Error| Failure::new(Code::Unreachable, format!("the daemon closed the connection: {e}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "hookd")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| Failure::failed(e.to_string()))?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(problem(answer).await)
    }

    /// The process that made the control socket, as the kernel has it; systemd, if that keeps it.
    pub async fn maker(&self) -> Option<u32> {
        let stream = UnixStream::connect(&self.control).await.ok()?;
        u32::try_from(stream.peer_cred().ok()?.pid()?).ok()
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "become a member of the group hookd (adduser YOU hookd), or use sudo"
            }
            _ => "is it running? systemctl status hookd",
        };
        Failure::new(
            Code::Unreachable,
            format!("the daemon can't be reached at {}", self.control.display()),
        )
        .cause(error.to_string())
        .hint(hint.to_owned())
    }

    /// Asks for JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        parse(self.send(Method::GET, path, Vec::new()).await?).await
    }

    /// Asks for something to be done.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::failed(e.to_string()))?;
        parse(self.send(Method::POST, path, body).await?).await
    }

    /// Asks for something that comes line by line; `each` is given every line.
    pub async fn lines(&self, path: &str, mut each: impl FnMut(&str)) -> Result<(), Failure> {
        let mut body = self.send(Method::GET, path, Vec::new()).await?.into_body();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|e| Failure::new(Code::Unreachable, format!("the daemon closed the connection: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                each(String::from_utf8_lossy(&line).trim_end());
            }
        }
        Ok(())
    }

    /// `repo/target`, from that or from the name of a repo that has one target.
    pub async fn target(&self, name: &str) -> Result<String, Failure> {
        if name.contains('/') {
            return Ok(name.to_owned());
        }
        let status: Status = self.get("/api/v1/status").await?;
        let of_repo = format!("{name}/");
        let found: Vec<&str> = status
            .targets
            .iter()
            .map(|t| t.target.as_str())
            .filter(|t| t.starts_with(&of_repo))
            .collect();
        match found.as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => {
                let known: Vec<&str> = status.targets.iter().map(|t| t.target.as_str()).collect();
                Err(no_such("repo", name, &known))
            }
            several => Err(Failure::new(Code::Usage, format!("{name} has several targets"))
                .hint(format!("say which: {}", several.join(", ")))),
        }
    }
}

/// The failure for a name that the daemon does not know, with what was meant or what there is.
fn no_such(what: &str, name: &str, known: &[&str]) -> Failure {
    let repos = known.iter().filter_map(|target| Some(target.split_once('/')?.0));
    let hint = match config::nearest(name, known.iter().copied().chain(repos)) {
        Some(meant) => format!("did you mean {meant}?"),
        None if known.is_empty() => "the configuration has no targets: see hookd add".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    Failure::new(Code::NotFound, format!("there is no {what} {name}")).hint(hint)
}

async fn parse<T: DeserializeOwned>(answer: http::Response<Incoming>) -> Result<T, Failure> {
    let bytes = answer
        .into_body()
        .collect()
        .await
        .map_err(|e| Failure::new(Code::Unreachable, e.to_string()))?
        .to_bytes();
    let understood = serde_json::from_slice(&bytes).and_then(|mut answer| {
        neutralise(&mut answer);
        serde_json::from_value(answer)
    });
    understood.map_err(|e| {
        Failure::failed(format!("cannot parse the daemon's answer: {e}"))
            .hint("do hookd and its daemon have the same version?".to_owned())
    })
}

/// Takes out of all texts of an answer what a terminal would obey: whoever answers at a socket need not be a hookd.
fn neutralise(answer: &mut Value) {
    match answer {
        Value::String(text) => *text = output::printable(text),
        Value::Array(items) => items.iter_mut().for_each(neutralise),
        Value::Object(fields) => fields.values_mut().for_each(neutralise),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

async fn problem(answer: http::Response<Incoming>) -> Failure {
    let code = if answer.status() == StatusCode::NOT_FOUND {
        Code::NotFound
    } else {
        Code::Failed
    };
    match parse::<ErrorBody>(answer).await {
        Ok(problem) => Failure::new(code, problem.error).hint(problem.hint),
        Err(failure) => failure,
    }
}

fn control_path(file: &Path) -> PathBuf {
    if let Ok(loaded) = config::load(file) {
        return loaded.config.control;
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let named = text
        .parse::<toml::Table>()
        .ok()
        .and_then(|table| Some(table.get("control")?.as_str()?.to_owned()));
    match (named, std::env::var_os("RUNTIME_DIRECTORY")) {
        (Some(named), _) => file.parent().unwrap_or(Path::new("/")).join(named),
        (None, Some(runtime)) => PathBuf::from(runtime).join("control.sock"),
        (None, None) => PathBuf::from(DEFAULT_CONTROL),
    }
}
