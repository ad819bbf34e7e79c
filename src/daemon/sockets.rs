//! The listening sockets: passed by systemd, kept by it since the last start, or opened here.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::StartError;
use crate::config::{Config, Listen, SecretSource};
use crate::http::listener::Socket;
use crate::systemd;

/// All sockets that are listened on.
pub(super) struct Sockets {
    /// For forges.
    pub(super) public: Vec<Socket>,
    /// For people and their tools.
    pub(super) control: Vec<Socket>,
    /// For people who look, and for those who log in.
    pub(super) status: Vec<Socket>,
    /// Unix sockets that this process removes when it stops.
    pub(super) made: Vec<PathBuf>,
    /// Sockets that systemd kept since the last start, and that nothing uses yet.
    kept: Vec<Socket>,
}

impl Sockets {
    /// Takes the sockets that systemd hands over, and opens the others.
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        let handed = systemd::handed_over(&config.control)
            .map_err(|e| StartError::new(format!("the sockets from systemd can't be used: {e}"), None))?;
        let (public, control) = (handed.public, handed.control);
        let mut sockets = Self {
            public: Vec::new(),
            control: Vec::new(),
            status: Vec::new(),
            made: Vec::new(),
            kept: handed.kept,
        };
        if public.is_empty() {
            for listen in &config.listen {
                // Whoever may connect to the web server may connect here; the signature decides.
                let socket = sockets.socket(listen, 0o666).await?;
                sockets.public.push(socket);
            }
        }
        if control.is_none() {
            let socket = sockets.socket(&Listen::Unix(config.control.clone()), 0o660).await?;
            sockets.control.push(socket);
        }
        if let Some(status) = &config.http.status {
            // Whoever is on this machine may connect to one on loopback, too; log-ins decide.
            let socket = sockets.socket(status, 0o666).await?;
            sockets.status.push(socket);
        }
        // A socket that was kept and is no longer wanted is closed with this, and systemd forgets it below.
        sockets.kept.clear();
        let own = (sockets.public.len(), sockets.control.len());
        sockets.public.extend(public);
        sockets.control.extend(control);
        sockets.refuse_open_repos(config)?;
        let (public, control) = (&sockets.public[..own.0], &sockets.control[..own.1]);
        systemd::keep(&public.iter().chain(control).chain(&sockets.status).collect::<Vec<_>>());
        // What systemd keeps has to be found at its path by those who connect during a restart.
        sockets.made.retain(|path| !systemd::removes(path));
        Ok(sockets)
    }

    /// The socket at an address: the one that was kept, or a new one. `mode` is that of a unix socket.
    async fn socket(&mut self, listen: &Listen, mode: u32) -> Result<Socket, StartError> {
        match self.kept.iter().position(|socket| is_at(socket, listen)) {
            Some(index) => {
                if let Listen::Unix(path) = listen {
                    self.made.push(path.clone());
                }
                Ok(self.kept.swap_remove(index))
            }
            None => self.bind(listen, mode).await,
        }
    }

    /// Under socket activation the configuration could not know where deliveries come in.
    fn refuse_open_repos(&self, config: &Config) -> Result<(), StartError> {
        let open = config
            .repos
            .values()
            .find(|repo| repo.secret.contains(&SecretSource::InsecureNone));
        match open {
            Some(repo) if !self.public.iter().all(Socket::is_local) => Err(StartError::new(
                format!(
                    "repo {} has `secret = \"insecure-none\"`, and others than this machine can connect",
                    repo.name
                ),
                "give it a secret, or listen on loopback or a unix socket".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    async fn bind(&mut self, listen: &Listen, mode: u32) -> Result<Socket, StartError> {
        match listen {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(|e| {
                    StartError::new(
                        format!("can't listen on {address}: {e}"),
                        format!(
                            "something else may listen there: ss -ltnp 'sport = :{}'",
                            address.port()
                        ),
                    )
                })?;
                Ok(Socket::Tcp(listener))
            }
            Listen::Unix(path) => self.bind_unix(path, mode),
        }
    }

    fn bind_unix(&mut self, path: &Path, mode: u32) -> Result<Socket, StartError> {
        let failed = |e: std::io::Error| StartError::new(format!("can't listen on {}: {e}", path.display()), None);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        if UnixStream::connect(path).is_ok() {
            return Err(StartError::new(
                format!("another process listens on {}", path.display()),
                None,
            ));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        self.made.push(path.to_owned());
        Ok(Socket::Unix(listener))
    }
}

/// Whether a socket listens there. The file of a unix socket may be another's by now, or gone.
fn is_at(socket: &Socket, listen: &Listen) -> bool {
    match (socket, listen) {
        (Socket::Tcp(listener), Listen::Tcp(address)) => listener.local_addr().is_ok_and(|own| own == *address),
        (Socket::Unix(listener), Listen::Unix(path)) => {
            listener
                .local_addr()
                .is_ok_and(|own| own.as_pathname() == Some(path.as_path()))
                && UnixStream::connect(path).is_ok()
        }
        _ => false,
    }
}
