//! Reads a request body within its limits of size, time, rate and memory. A long body is buffered in a file until it is complete, so
//! that no slow sender takes much memory.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::intake::counted_with;
use crate::model::Locked;

/// Bodies up to this size, bytes, are read into memory and need no place in the budget: many pushes are no larger, and all
/// connections together stay below 16 MiB.
const SMALL: usize = 32 * 1024;

/// Unit in which both budgets are counted, bytes. A place is taken for received bytes, not for announced ones.
const UNIT: usize = 64 * 1024;

/// Space that all larger bodies may take together while they come, in units: 100 MiB, four of the largest.
const FILE_UNITS: usize = 1600;

/// What of it the bodies of one address may take, so that nobody holds up everybody; a body of any size needs no more.
const ADDRESS_UNITS: usize = FILE_UNITS / 2;

/// Memory that larger bodies may take together once they are whole, in units: 25 MiB, one of the largest.
const MEMORY_UNITS: usize = 400;

/// How long a body waits for a place.
const PLACE_TIME: Duration = Duration::from_secs(5);

/// A body may be slower than the least rate for so long at its beginning.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// Space and memory for the bodies of all requests.
pub struct Budget {
    directory: PathBuf,
    all: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    memory: Arc<Semaphore>,
}

impl Budget {
    /// Bodies wait in nameless files in this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            all: Arc::new(Semaphore::new(FILE_UNITS)),
            addresses: Mutex::default(),
            memory: Arc::new(Semaphore::new(MEMORY_UNITS)),
        }
    }

    /// The part of an address.
    fn of(&self, from: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.locked();
        addresses.retain(|_, part| Arc::strong_count(part) > 1);
        let part = addresses.entry(counted_with(from));
        Arc::clone(part.or_insert_with(|| Arc::new(Semaphore::new(ADDRESS_UNITS))))
    }
}

/// A long body while it comes: the file that it waits in, and what it holds of the budget.
struct Waiting<'a> {
    budget: &'a Budget,
    file: File,
    part: Arc<Semaphore>,
    held: Vec<OwnedSemaphorePermit>,
    units: usize,
    length: usize,
}

impl<'a> Waiting<'a> {
    async fn new(budget: &'a Budget, from: IpAddr) -> Result<Self, BodyError> {
        let directory = budget.directory.clone();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory)).await;
        let mut file = File::from_std(made.map_err(|_| BodyError::NoSpace)?.map_err(no_space)?);
        file.set_max_buf_size(UNIT);
        Ok(Self {
            budget,
            file,
            part: budget.of(from),
            held: Vec::new(),
            units: 0,
            length: 0,
        })
    }

    /// Writes what has come, once there is a place for it.
    async fn add(&mut self, data: &[u8]) -> Result<(), BodyError> {
        self.length += data.len();
        let needed = self.length.div_ceil(UNIT).min(ADDRESS_UNITS);
        if needed > self.units {
            let more = needed - self.units;
            self.held.push(take(&self.part, more).await?);
            self.held.push(take(&self.budget.all, more).await?);
            self.units = needed;
        }
        self.file.write_all(data).await.map_err(no_space)
    }

    /// The whole body, and its place in memory.
    async fn whole(mut self) -> Result<Read, BodyError> {
        let units = self.length.div_ceil(UNIT).min(MEMORY_UNITS);
        let place = take(&self.budget.memory, units).await?;
        let mut bytes = Vec::with_capacity(self.length);
        self.file.flush().await.map_err(no_space)?;
        self.file.seek(SeekFrom::Start(0)).await.map_err(no_space)?;
        self.file.read_to_end(&mut bytes).await.map_err(no_space)?;
        Ok(Read {
            bytes,
            _place: Some(place),
        })
    }
}

/// Takes so many units of a budget; [`BodyError::NoMemory`] if they are not free in time.
async fn take(budget: &Arc<Semaphore>, units: usize) -> Result<OwnedSemaphorePermit, BodyError> {
    let count = u32::try_from(units).unwrap_or(u32::MAX);
    let taken = tokio::time::timeout(PLACE_TIME, Arc::clone(budget).acquire_many_owned(count));
    let taken = taken.await.map_err(|_| BodyError::NoMemory)?;
    taken.map_err(|_| BodyError::NoMemory)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn no_space(error: std::io::Error) -> BodyError {
    tracing::debug!(%error, "a body could not be kept in a file");
    BodyError::NoSpace
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Larger than `[limits] body`.
    TooLarge,
    /// Not there in time, or too slow.
    TooSlow,
    /// Too many large bodies at once.
    NoMemory,
    /// It is long, and can't be written to a file or read from it: the disk is full, say.
    NoSpace,
    /// It ends before its end, or its chunks are none.
    Broken,
}

/// A body and its place in memory.
pub struct Read {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Reads the body of a request of `from` to its end.
pub async fn read(body: Incoming, from: IpAddr, limits: &Limits, budget: &Budget) -> Result<Read, BodyError> {
    if body.size_hint().lower() > limits.body {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(limits.body_time, read_all(body, from, limits, budget)).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::TooSlow),
    }
}

async fn read_all(mut body: Incoming, from: IpAddr, limits: &Limits, budget: &Budget) -> Result<Read, BodyError> {
    let start = Instant::now();
    let (mut bytes, mut length) = (Vec::new(), 0);
    let mut waiting = None;
    while let Some(frame) = next_frame(&mut body, length, start, limits).await? {
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length as u64 > limits.body {
            return Err(BodyError::TooLarge);
        }
        match &mut waiting {
            None if length <= SMALL => bytes.extend_from_slice(&data),
            None => {
                let file = waiting.insert(Waiting::new(budget, from).await?);
                file.add(&std::mem::take(&mut bytes)).await?;
                file.add(&data).await?;
            }
            Some(file) => file.add(&data).await?,
        }
    }
    match waiting {
        Some(file) => file.whole().await,
        None => Ok(Read { bytes, _place: None }),
    }
}

/// The next part, as long as the sender keeps up the least rate.
async fn next_frame(
    body: &mut Incoming,
    so_far: usize,
    start: Instant,
    limits: &Limits,
) -> Result<Option<hyper::body::Frame<bytes::Bytes>>, BodyError> {
    let due = match (so_far as u64).checked_div(limits.body_rate) {
        Some(seconds) => RATE_GRACE + Duration::from_secs(seconds),
        // 0 is no such limit; that of the whole body holds.
        None => limits.body_time,
    };
    let left = due.saturating_sub(start.elapsed());
    match tokio::time::timeout(left, body.frame()).await {
        Err(_) => Err(BodyError::TooSlow),
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(_))) => Err(BodyError::Broken),
    }
}
