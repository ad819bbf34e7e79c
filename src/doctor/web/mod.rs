//! The web server in front: what it serves, and whether it hands webhooks on.

mod apache;
mod caddy;
mod judge;
mod nginx;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Scene;
use super::finding::{Area, Findings};
use crate::exec;
use crate::model::spelled;

spelled! {
    /// Which web server.
    pub Kind "web server" {
        /// nginx
        Nginx = "nginx",
        /// Caddy
        Caddy = "caddy",
        /// Apache
        Apache = "apache",
    }
}

impl Kind {
    /// The shell line after which a change counts.
    fn reload(self) -> &'static str {
        match self {
            Self::Nginx => "nginx -t && systemctl reload nginx",
            Self::Caddy => "systemctl reload caddy",
            Self::Apache => "apachectl configtest && systemctl reload apache2",
        }
    }
}

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A directory that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// By whom.
    pub kind: Kind,
    /// Where that is said.
    pub place: Place,
    /// The directory, as written.
    pub path: PathBuf,
    /// What keeps it from following links.
    pub no_links: Option<Place>,
    /// What keeps files open.
    pub cache: Option<Place>,
}

/// PHP that is given its file by way of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Php {
    /// Where it is handed over.
    pub place: Place,
    /// Below which directory.
    pub root: PathBuf,
}

/// Requests that are handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// By whom.
    pub kind: Kind,
    /// Where that is said.
    pub place: Place,
    /// The address: `127.0.0.1:9000` or a path.
    pub to: String,
    /// The path at which webhooks come in from outside, `/hook/`; `None` if they end up somewhere else.
    pub path: Option<String>,
    /// Largest body, bytes; `None` if there is no limit.
    pub body_max: Option<u64>,
    /// Where that limit is set, if it is set just there.
    pub body_place: Option<Place>,
    /// Whether hookd is told who sent it.
    pub sender: bool,
    /// The names that the server is asked by.
    pub names: Vec<String>,
}

/// What all web servers of the machine say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Web {
    /// Those that are there, with the users that they run as, where that is known.
    pub servers: Vec<(Kind, Option<String>)>,
    /// What is served.
    pub roots: Vec<Root>,
    /// PHP.
    pub php: Vec<Php>,
    /// What is handed on.
    pub forwards: Vec<Forward>,
    /// Files that may not be read.
    pub unread: Vec<PathBuf>,
    /// Those of `forwards` that lead to hookd.
    to_hookd: Vec<usize>,
}

impl Web {
    /// Reads a file; one that may not be read is noted.
    fn read(&mut self, file: &Path) -> Option<String> {
        match fs::read(file) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                if error.kind() == ErrorKind::PermissionDenied {
                    self.unread.push(file.to_owned());
                }
                None
            }
        }
    }

    /// Where the forge finds a repo, as far as the web server tells.
    pub fn public_url(&self, repo: &str) -> String {
        let mut to_hookd = self.to_hookd.iter().filter_map(|index| self.forwards.get(*index));
        let found = to_hookd.find_map(|forward| {
            let name = forward
                .names
                .iter()
                .find(|name| name.contains('.') && !name.contains('*'))?;
            Some((name.clone(), forward.path.clone()?))
        });
        let (name, path) = found.unwrap_or_else(|| ("YOUR.SERVER".to_owned(), "/hook/".to_owned()));
        format!("https://{name}{path}{repo}")
    }
}

/// Looks at all web servers.
pub async fn look(scene: &Scene<'_>, found: &mut Findings) -> Web {
    let mut web = Web::default();
    nginx::read(Path::new("/etc/nginx/nginx.conf"), &mut web);
    caddy::read(Path::new("/etc/caddy/Caddyfile"), &mut web);
    apache::read(Path::new("/etc/apache2"), &mut web);
    if scene.machine.root() && web.servers.iter().any(|(kind, _)| *kind == Kind::Nginx) {
        syntax(found).await;
    }
    for file in std::mem::take(&mut web.unread) {
        found
            .skipped(Area::Web, format!("{} may not be read by you", file.display()))
            .hint("sudo hookd doctor");
    }
    let listeners = super::sockets::addresses(scene);
    web.to_hookd = judge::to_hookd(&web, &listeners);
    judge::forwards(scene.config, &web, &listeners, found);
    judge::roots(scene.config, &web, found);
    web
}

/// What nginx itself says of its configuration: with a mistake in it no reload takes effect.
async fn syntax(found: &mut Findings) {
    if !exec::installed("nginx") {
        return;
    }
    if let Ok(answer) = exec::ask("nginx", &["-t", "-q"]).await
        && !answer.success
    {
        let said = answer
            .err
            .lines()
            .find(|line| line.contains("[emerg]"))
            .unwrap_or("nginx -t fails");
        let said = said.split("[emerg]").last().unwrap_or(said).trim();
        found
            .error(Area::Web, format!("nginx refuses its configuration: {said}"))
            .hint("nginx -t");
    }
}
