//! Where deliveries come in: does something listen, is it hookd, and can others read along?

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::Scene;
use super::finding::{Area, Finding, Findings};
use super::unit::active;
use crate::config::Listen;
use crate::web::{self, WebError};

const AREA: Area = Area::Sockets;

/// How long hookd may take to say that it is well: it asks its disk.
const TIME: Duration = Duration::from_secs(5);

/// The addresses that deliveries come in at: those that the daemon tells, or systemd's if it listens for the daemon, or
/// those of the configuration.
pub fn addresses(scene: &Scene<'_>) -> Vec<Listen> {
    let told = scene
        .told
        .status
        .as_ref()
        .map(|status| status.listen.as_slice())
        .unwrap_or_default();
    if !told.is_empty() {
        return told.iter().filter_map(|text| address(text)).collect();
    }
    let Some(socket) = &scene.machine.socket else {
        return scene.config.listen.clone();
    };
    // `Listen=127.0.0.1:9000 (Stream)`, several separated by spaces or lines.
    let text = socket.get("Listen").map(String::as_str).unwrap_or_default();
    text.split_whitespace().filter_map(address).collect()
}

/// `127.0.0.1:9000`, `/run/hookd/http.sock`, the latter also with `unix:`.
fn address(text: &str) -> Option<Listen> {
    let path = text.strip_prefix("unix:").unwrap_or(text);
    let unix = || path.starts_with('/').then(|| Listen::Unix(path.into()));
    text.parse().ok().map(Listen::Tcp).or_else(unix)
}

/// Looks at each of them.
pub async fn look(scene: &Scene<'_>, found: &mut Findings) {
    let runs = scene.told.status.is_some() || scene.machine.unit.as_ref().is_some_and(active);
    for address in addresses(scene) {
        match address {
            Listen::Tcp(address) => {
                if !address.ip().is_loopback() && scene.config.http.tls.is_none() {
                    let text = format!(
                        "{address} is open to others, without TLS: whoever is on the way reads payloads and tokens"
                    );
                    found
                        .warning(AREA, text)
                        .hint("listen on 127.0.0.1 with a web server in front, or name a certificate: [http] tls = { cert = \"FILE\", key = \"FILE\" }");
                }
                if runs {
                    tcp(scene, address, found).await;
                }
            }
            Listen::Unix(path) if runs => match UnixStream::connect(&path) {
                Ok(_) => found.ok(AREA, format!("deliveries can come in at {}", path.display())),
                Err(error) => {
                    let text = format!("nobody can deliver at {}: {error}", path.display());
                    restart(scene, found.error(AREA, text));
                }
            },
            Listen::Unix(_) => {}
        }
    }
}

async fn tcp(scene: &Scene<'_>, address: SocketAddr, found: &mut Findings) {
    let mut here = address;
    if address.ip().is_unspecified() {
        // What listens everywhere listens here.
        here.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    if scene.config.http.tls.is_some() {
        match tokio::time::timeout(TIME, tokio::net::TcpStream::connect(here)).await {
            Ok(Ok(_)) => found.ok(AREA, format!("deliveries can come in at {address}, with TLS")),
            _ => refused(scene, address, found),
        }
        return;
    }
    let Ok(url) = format!("http://{here}/healthz").parse() else {
        return;
    };
    match web::fetch(&url, &[], 1024, TIME).await {
        Ok(answer) if answer.status == 200 && answer.body.trim_ascii() == b"ok" => {
            found.ok(AREA, format!("deliveries can come in at {address}"));
        }
        Ok(answer) if answer.status == 503 => {
            let text = format!("hookd at {address} can't store deliveries: it answers 503");
            found
                .error(AREA, text)
                .hint("is the disk full? journalctl -u hookd -n 50 says why");
        }
        Err(WebError::Refused) => refused(scene, address, found),
        Ok(answer) => another(address, &format!("it answers {}", answer.status), found),
        Err(error) => another(address, &error.to_string(), found),
    }
}

fn refused(scene: &Scene<'_>, address: SocketAddr, found: &mut Findings) {
    let text = format!("nobody listens on {address}, where deliveries should come in");
    restart(scene, found.error(AREA, text)).hint("if `listen` was changed, the restart is what was missing");
}

/// What starts the daemon anew, where that is known.
fn restart<'f>(scene: &Scene<'_>, finding: &'f mut Finding) -> &'f mut Finding {
    if scene.machine.managed() {
        finding.fix("systemctl restart hookd")
    } else {
        finding
    }
}

fn another(address: SocketAddr, why: &str, found: &mut Findings) {
    let text = format!("what listens on {address} does not answer as hookd does: {why}");
    let hint = format!("who it is: ss -ltnp 'sport = :{}'", address.port());
    found.error(AREA, text).hint(hint);
}
