//! Everything that the demo makes, in one temporary directory and on free ports: made and removed here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use url::Url;

use super::daemon::{self, Daemon};
use super::forge::{Delivery, Forge};
use super::git::Git;
use super::{serve, site};
use crate::cli::output::Failure;
use crate::model::Secret;

/// What the directory's name begins with.
const PREFIX: &str = "hookd-demo-";

/// Random bytes of the webhook's secret: as many as the hash that it keys gives.
const SECRET_BYTES: usize = 32;

/// How often the directory is tried to be removed, and the pause in between: a git that was cut off may still be
/// writing its last file.
const REMOVE: (usize, Duration) = (20, Duration::from_millis(50));

/// What is there while the demo runs.
pub struct Stage {
    place: TempDir,
    servers: JoinSet<()>,
    /// Keeps the port of the daemon's own page until it listens there: bound, and never listening.
    page_port: Option<TcpSocket>,
    /// The daemon, once it runs.
    pub daemon: Option<Daemon>,
    /// Whether the whole story was told.
    pub told: bool,
}

/// What the story is played with.
pub struct Props {
    /// The git program.
    pub git: Git,
    /// The forge, which serves.
    pub forge: Arc<Forge>,
    /// The webhooks that the forge sent.
    pub sent: UnboundedReceiver<Delivery>,
    /// Where the site is served.
    pub site: SocketAddr,
    /// Where the daemon shows its own page.
    pub page: SocketAddr,
    /// The daemon's configuration.
    pub config: PathBuf,
    /// The daemon's listener, to be handed to it.
    pub listener: TcpListener,
    /// The daemon's address.
    pub daemon: Url,
}

fn failed(what: &str, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{what}: {error}"))
}

fn listen() -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let bound = bound.and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|e| failed("can't listen on 127.0.0.1", &e))
}

/// A port of loopback that nobody else is given while the socket is there, and that the daemon can still listen on.
fn reserve() -> Result<(TcpSocket, SocketAddr), Failure> {
    let bound = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    });
    bound.map_err(|e| failed("no port on 127.0.0.1", &e))
}

fn url(address: SocketAddr, path: &str) -> Result<Url, Failure> {
    let text = format!("http://{address}{path}");
    text.parse().map_err(|e| Failure::failed(format!("{text}: {e}")))
}

impl Stage {
    /// An empty directory, readable for its user alone.
    pub fn new() -> Result<Self, Failure> {
        let place = tempfile::Builder::new().prefix(PREFIX).tempdir();
        let place = place.map_err(|e| {
            let what = format!("no temporary directory in {}", std::env::temp_dir().display());
            failed(&what, &e).hint("name another one with TMPDIR".to_owned())
        })?;
        Ok(Self {
            place,
            servers: JoinSet::new(),
            page_port: None,
            daemon: None,
            told: false,
        })
    }

    /// The directory.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// Makes the forge with an empty repository, the web server, and all that the daemon needs.
    pub async fn set_up(&mut self) -> Result<Props, Failure> {
        let place = self.place().to_owned();
        let git = Git::new(&place).await?;
        let (forge_listener, forge_address) = listen()?;
        let (site_listener, site_address) = listen()?;
        let (listener, address) = listen()?;
        let (page_port, page) = reserve()?;
        self.page_port = Some(page_port);
        let text = secret()?;
        let (sender, sent) = unbounded_channel();
        let forge = Arc::new(Forge {
            root: place.join("forge"),
            here: forge_address,
            hook: url(address, "/hook/site")?,
            secret: Secret::new(text.clone().into_bytes()),
            git: git.clone(),
            sent: sender,
            turn: Mutex::new(()),
        });
        forge.create().await?;
        self.serve_forge(&forge, forge_listener)?;
        self.serve_site(site_listener)?;
        write(&place.join("webhook.secret"), &text)?;
        let config = place.join("hookd.toml");
        write(&config, &configuration(address, page, &forge.clone_url(), site_address))?;
        Ok(Props {
            git,
            forge,
            sent,
            site: site_address,
            page,
            config,
            listener,
            daemon: url(address, "/healthz")?,
        })
    }

    fn serve_forge(&mut self, forge: &Arc<Forge>, listener: TcpListener) -> Result<(), Failure> {
        let forge = Arc::clone(forge);
        let respond = move |request, peer| Arc::clone(&forge).respond(request, peer);
        self.servers.spawn(serve::serve(tokio_listener(listener)?, respond));
        Ok(())
    }

    fn serve_site(&mut self, listener: TcpListener) -> Result<(), Failure> {
        let root = self.place().join("www/current/public");
        let respond = move |request, _| std::future::ready(site::respond(&root, &request));
        self.servers.spawn(serve::serve(tokio_listener(listener)?, respond));
        Ok(())
    }

    /// Stops all that runs. The daemon goes first: what it is just deploying may still need the others.
    pub async fn close(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
        self.servers.shutdown().await;
    }

    /// The last lines of the daemon's log; `None` if there is none.
    pub fn log_tail(&self) -> Option<String> {
        daemon::log_tail(&self.place().join("hookd.toml"))
    }

    /// Leaves the directory where it is.
    pub fn keep(self) -> PathBuf {
        self.place.keep()
    }

    /// Removes the directory.
    pub async fn remove(self) -> Result<(), Failure> {
        let place = self.keep();
        let (tries, pause) = REMOVE;
        for _ in 1..tries {
            if std::fs::remove_dir_all(&place).is_ok() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        let what = format!("{} can't be removed", place.display());
        std::fs::remove_dir_all(&place).map_err(|e| failed(&what, &e))
    }
}

fn tokio_listener(listener: TcpListener) -> Result<tokio::net::TcpListener, Failure> {
    tokio::net::TcpListener::from_std(listener).map_err(|e| failed("can't serve", &e))
}

fn secret() -> Result<String, Failure> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| Failure::failed(format!("no random numbers: {e}")))?;
    Ok(hex::encode(bytes))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = std::fs::File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|e| failed(&path.display().to_string(), &e))
}

/// The daemon's configuration. It looks at the remote only when something was deployed, so that what is seen comes of
/// the webhooks.
fn configuration(daemon: SocketAddr, page: SocketAddr, clone_url: &str, site: SocketAddr) -> String {
    format!(
        r#"# The configuration of `hookd demo`.
listen    = "{daemon}"
state_dir = "state"
control   = "control.sock"

[http]
status = "{page}"

[limits]
stop_grace = "3s"

[repo.site]
url    = "{clone_url}"
forge  = "github"
secret = "file:webhook.secret"
poll   = "off"

[repo.site.deploy.production]
branch = "main"
path   = "www"
build  = "sh build.sh"
check  = "http://{site}/"
check_timeout = "2s"
"#
    )
}
