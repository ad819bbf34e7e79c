//! Reads a request body within its limits of size, time, rate and memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::intake::counted_with;

/// Bodies up to this size, bytes, need no place in the budget: most pushes are a tenth of it, and all connections
/// together stay below 128 MiB.
const SMALL: usize = 256 * 1024;

/// Memory that all larger bodies may take together, in units: 100 MiB, four of the largest.
const LARGE_UNITS: usize = 1600;

/// What of it the bodies of one address may take, so that nobody holds up everybody; a body of any size needs no more.
const ADDRESS_UNITS: usize = LARGE_UNITS / 2;

/// Unit in which the budget is counted, bytes. A place is taken for what has come, not for what is announced.
const UNIT: usize = 64 * 1024;

/// How long a body waits for a place.
const PLACE_TIME: Duration = Duration::from_secs(5);

/// A body may be slower than the least rate for so long at its beginning.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// Memory for the bodies of all requests.
pub struct Budget {
    all: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(LARGE_UNITS)),
            addresses: Mutex::default(),
        }
    }
}

impl Budget {
    /// The part of an address.
    fn of(&self, from: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, part| Arc::strong_count(part) > 1);
        let part = addresses.entry(counted_with(from));
        Arc::clone(part.or_insert_with(|| Arc::new(Semaphore::new(ADDRESS_UNITS))))
    }
}

/// What a body holds of the budget.
struct Place {
    all: Arc<Semaphore>,
    part: Arc<Semaphore>,
    held: Vec<OwnedSemaphorePermit>,
    units: usize,
}

impl Place {
    fn new(budget: &Budget, from: IpAddr) -> Self {
        Self {
            all: Arc::clone(&budget.all),
            part: budget.of(from),
            held: Vec::new(),
            units: 0,
        }
    }

    /// Takes what a body of so many bytes needs beyond what it holds.
    async fn hold(&mut self, length: usize) -> Result<(), BodyError> {
        let needed = if length > SMALL { length.div_ceil(UNIT) } else { 0 };
        let more = needed.min(ADDRESS_UNITS).saturating_sub(self.units);
        let Ok(count) = u32::try_from(more) else { return Ok(()) };
        if count == 0 {
            return Ok(());
        }
        let take = async {
            let part = Arc::clone(&self.part).acquire_many_owned(count).await;
            Ok([part?, Arc::clone(&self.all).acquire_many_owned(count).await?])
        };
        let taken: Result<_, tokio::sync::AcquireError> = tokio::time::timeout(PLACE_TIME, take)
            .await
            .map_err(|_| BodyError::NoMemory)?;
        self.held.extend(taken.map_err(|_| BodyError::NoMemory)?);
        self.units += more;
        Ok(())
    }
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
    /// It ends before its end, or its chunks are none.
    Broken,
}

/// A body and its place in the budget.
pub struct Read {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    _place: Place,
}

/// Reads the body of a request of `from` to its end.
pub async fn read(body: Incoming, from: IpAddr, limits: &Limits, budget: &Budget) -> Result<Read, BodyError> {
    if body.size_hint().lower() > limits.body {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(limits.body_time, read_all(body, limits, Place::new(budget, from))).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::TooSlow),
    }
}

async fn read_all(mut body: Incoming, limits: &Limits, mut place: Place) -> Result<Read, BodyError> {
    let announced = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(SMALL);
    let start = Instant::now();
    let mut bytes = Vec::with_capacity(announced.min(SMALL));
    while let Some(frame) = next_frame(&mut body, &bytes, start, limits).await? {
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length as u64 > limits.body {
            return Err(BodyError::TooLarge);
        }
        place.hold(length).await?;
        bytes.extend_from_slice(&data);
    }
    Ok(Read { bytes, _place: place })
}

/// The next part, as long as the sender keeps up the least rate.
async fn next_frame(
    body: &mut Incoming,
    so_far: &[u8],
    start: Instant,
    limits: &Limits,
) -> Result<Option<hyper::body::Frame<bytes::Bytes>>, BodyError> {
    let due = match (so_far.len() as u64).checked_div(limits.body_rate) {
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
