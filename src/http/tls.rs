//! TLS of the public listener: certificate and key from files, read again when they change.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::model::Locked;

/// How often the files are looked at: renewals come weeks before the old certificate ends.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Makes TLS of connections.
pub struct Terminator {
    files: Tls,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    changed: Vec<Option<SystemTime>>,
    looked: Instant,
}

impl Terminator {
    /// Reads certificate and key. The error says which file is wrong, and why.
    pub fn new(files: &Tls) -> Result<Self, String> {
        let state = State {
            acceptor: acceptor(files)?,
            changed: changed(files),
            looked: Instant::now(),
        };
        Ok(Self {
            files: files.clone(),
            state: Mutex::new(state),
        })
    }

    /// The acceptor for the next connection. If the files can't be read, the previous certificate stays.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut state = self.state.locked();
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let changed = changed(&self.files);
            if changed != state.changed {
                match acceptor(&self.files) {
                    Ok(acceptor) => {
                        tracing::info!("the certificate was read again");
                        state.acceptor = acceptor;
                        state.changed = changed;
                    }
                    Err(error) => tracing::error!("the previous certificate stays in use: {error}"),
                }
            }
        }
        state.acceptor.clone()
    }
}

fn changed(files: &Tls) -> Vec<Option<SystemTime>> {
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    vec![time(&files.cert), time(&files.key)]
}

fn acceptor(files: &Tls) -> Result<TlsAcceptor, String> {
    let wrong = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|e| wrong(&files.cert, &e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| wrong(&files.key, &e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| wrong(&files.cert, &e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
