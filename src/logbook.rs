//! The log of each deployment: a file of JSON lines that can be read while it grows.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::model::Locked;

pub use crate::api::LogLine;

/// Most bytes that one read of a log gives: what a follower holds in memory.
const CHUNK: usize = 64 * 1024;

/// What hookd's own words may take beyond the limit of the output, bytes: how a deployment ended stands in each log.
const OWN_WORDS: u64 = 256 * 1024;

/// All logs, below one directory.
#[derive(Clone)]
pub struct LogBook {
    directory: PathBuf,
    limit: u64,
    growing: Arc<Mutex<HashMap<i64, watch::Sender<u64>>>>,
}

/// The log of a deployment that runs.
pub struct Log {
    book: LogBook,
    deployment: i64,
    file: File,
    length: u64,
    full: bool,
}

impl LogBook {
    /// Logs in `directory`, which is made; at most `limit` bytes are kept of each.
    pub fn open(directory: PathBuf, limit: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            limit,
            growing: Arc::default(),
        })
    }

    fn path(&self, deployment: i64) -> PathBuf {
        self.directory.join(format!("{deployment}.log"))
    }

    /// Begins or goes on with the log of a deployment.
    pub fn write(&self, deployment: i64) -> io::Result<Log> {
        // Held over both, so that whoever sees the file can also follow it.
        let mut growing = self.growing.locked();
        let file = File::options().create(true).append(true).open(self.path(deployment))?;
        let length = file.metadata()?.len();
        growing.insert(deployment, watch::Sender::new(length));
        drop(growing);
        Ok(Log {
            book: self.clone(),
            deployment,
            file,
            length,
            full: length >= self.limit,
        })
    }

    /// Reads from a byte offset: whole lines, and where to go on. `None` if there is no such log.
    pub fn read(&self, deployment: i64, offset: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
        read_lines(&self.path(deployment), offset)
    }

    /// The lines of the last `length` bytes of a log, and whether there are more before them; `None` if there is no log.
    pub fn tail(&self, deployment: i64, length: u64) -> io::Result<(Vec<LogLine>, bool)> {
        let size = match std::fs::metadata(self.path(deployment)) {
            Ok(data) => data.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), false)),
            Err(error) => return Err(error),
        };
        let mut offset = size.saturating_sub(length);
        let cut = offset > 0;
        let mut text = Vec::new();
        while let Some((more, next)) = self.read(deployment, offset)?.filter(|(more, _)| !more.is_empty()) {
            text.extend(more);
            offset = next;
        }
        // It may begin within a line, which is no JSON then.
        let lines = text
            .split(|b| *b == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok());
        Ok((lines.collect(), cut))
    }

    /// Visits all whole lines of a log as they are in the file, each with the offset behind it; `None` if there is no log.
    pub fn visit(&self, deployment: i64, mut visit: impl FnMut(&[u8], u64)) -> io::Result<()> {
        let mut file = match File::open(self.path(deployment)) {
            Ok(file) => BufReader::with_capacity(CHUNK, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (mut offset, mut text) = (0, Vec::new());
        loop {
            text.clear();
            offset += file.read_until(b'\n', &mut text)? as u64;
            if text.pop() != Some(b'\n') {
                return Ok(());
            }
            visit(&text, offset);
        }
    }

    /// Tells when the log grows, as long as it does; `None` if it is complete.
    pub fn follow(&self, deployment: i64) -> Option<watch::Receiver<u64>> {
        self.growing.locked().get(&deployment).map(watch::Sender::subscribe)
    }

    /// Removes the logs of deployments that are gone from the history.
    pub fn remove(&self, deployments: &[i64]) {
        for deployment in deployments {
            if let Err(error) = std::fs::remove_file(self.path(*deployment))
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "could not remove the log of deployment {deployment}");
            }
        }
    }
}

fn read_lines(path: &Path, offset: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut text = vec![0; CHUNK];
    let mut filled = 0;
    while filled < text.len() {
        match file.read(&mut text[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    // Half a line is left for the next read.
    let whole = text[..filled].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    text.truncate(whole);
    Ok(Some((text, offset + whole as u64)))
}

impl Log {
    /// Adds a line. A disk that is full costs the line, not the deployment.
    pub fn line(&mut self, line: &LogLine) {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        let own = line.stream == "hookd";
        let beyond = self.length + text.len() as u64 > self.book.limit;
        if own && self.length > self.book.limit + OWN_WORDS || !own && self.full {
            return;
        }
        if beyond && !own {
            self.full = true;
            let last = LogLine {
                text: format!(
                    "(output beyond {} bytes is not kept; see `[limits] output`)",
                    self.book.limit
                ),
                stream: "hookd".to_owned(),
                ..line.clone()
            };
            text = serde_json::to_vec(&last).unwrap_or_default();
        }
        text.push(b'\n');
        match self.file.write_all(&text) {
            Ok(()) => self.length += text.len() as u64,
            Err(error) => tracing::warn!(%error, "could not write the log of deployment {}", self.deployment),
        }
        if let Some(sender) = self.book.growing.locked().get(&self.deployment) {
            sender.send_replace(self.length);
        }
    }
}

impl Log {
    /// Brings the log of a deployment that has ended to the disk.
    pub fn sync(&self) {
        let synced = self.file.sync_all();
        let synced = synced.and_then(|()| File::open(&self.book.directory)?.sync_all());
        if let Err(error) = synced {
            tracing::warn!(%error, "the log of deployment {} is not on disk yet", self.deployment);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.book.growing.locked().remove(&self.deployment);
    }
}
