//! `hookd explain`: what a delivery would do, and why. Needs no daemon and no root.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::block_on;
use super::client::{Client, part};
use super::output::{self, Code, Failure};
use crate::config::{self, ForgeKind, Secrets};
use crate::{clock, explain};

/// `hookd explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// File with the payload, `-` for standard input, or the id of a stored delivery.
    pub payload: String,
    /// A header of the delivery.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The forge that sent it; default: detected from headers and payload.
    #[arg(long)]
    pub forge: Option<String>,
}

/// Largest payload that is read, bytes: the largest that a forge sends.
const PAYLOAD_MAX: u64 = 25 * 1024 * 1024;

/// Runs the command.
pub fn run(file: &Path, json: bool, options: &Explain) -> Result<ExitCode, Failure> {
    let forge = options.forge.as_deref().map(str::parse::<ForgeKind>).transpose();
    let forge = forge.map_err(|e| Failure::new(Code::Usage, e))?;
    let headers = headers(&options.headers)?;
    let Some(body) = payload(&options.payload)? else {
        return stored(file, json, &options.payload);
    };
    let settings = settings(file)?;
    let config = settings.as_ref().map(|(config, secrets)| (config, secrets));
    let explanation = explain::explain(&headers, &body, forge, config, clock::now());
    let understood = explanation.error.is_none();
    if json {
        output::json(&explanation)?;
    } else {
        output::line(output::printable(&explanation.to_string()).trim_end());
    }
    if let (Some(error), false) = (&explanation.error, json) {
        return Err(Failure::failed(format!(
            "{} cannot be parsed: {error}",
            options.payload
        )));
    }
    Ok(if understood {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Code::Failed as u8)
    })
}

/// `-H 'Name: value'`
fn headers(lines: &[String]) -> Result<http::HeaderMap, Failure> {
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let parsed = line.split_once(':').and_then(|(name, value)| {
            Some((
                name.trim().parse::<http::HeaderName>().ok()?,
                value.trim().parse::<http::HeaderValue>().ok()?,
            ))
        });
        let (name, value) = parsed.ok_or_else(|| {
            Failure::new(Code::Usage, format!("not a header: {line:?}")).hint("-H 'X-GitHub-Event: push'".to_owned())
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The payload of a file or of standard input; `None` if there is no such file, so that it may be a delivery's id.
fn payload(name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let failed = |e: std::io::Error| Failure::failed(format!("{name}: {e}"));
    if name == "-" {
        std::io::stdin()
            .take(PAYLOAD_MAX)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        return Ok(Some(bytes));
    }
    match std::fs::File::open(name) {
        Ok(file) => {
            file.take(PAYLOAD_MAX).read_to_end(&mut bytes).map_err(failed)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !name.contains('/') => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::new(Code::NotFound, format!("{name}: {error}")))
        }
        Err(error) => Err(failed(error)),
    }
}

/// The configuration with the secrets that this user may read. `None` if there is no file.
fn settings(file: &Path) -> Result<Option<(config::Config, Secrets)>, Failure> {
    if !file.exists() {
        return Ok(None);
    }
    match config::load(file) {
        Ok(loaded) => {
            let secrets = Secrets::read(&loaded.config).unwrap_or_default();
            Ok(Some((loaded.config, secrets)))
        }
        Err(report) => {
            eprintln!("{report}\n");
            Err(Failure::new(
                Code::Config,
                format!("{} is not a usable configuration", file.display()),
            ))
        }
    }
}

/// A stored delivery: the daemon has it.
fn stored(file: &Path, json: bool, id: &str) -> Result<ExitCode, Failure> {
    let client = Client::new(file);
    let value: serde_json::Value =
        block_on(client.get(&format!("/api/v1/deliveries/{}/explain", part(id)))).map_err(|failure| {
            failure.cause(format!(
                "{id} is not a file here, so it was taken for the id of a delivery"
            ))
        })?;
    if json {
        return output::json(&value);
    }
    let explanation: explain::Explanation =
        serde_json::from_value(value).map_err(|e| Failure::failed(format!("the daemon's answer: {e}")))?;
    output::line(output::printable(&explanation.to_string()).trim_end());
    Ok(ExitCode::SUCCESS)
}
