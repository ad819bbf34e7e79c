//! Reads a request body within its limits of size, time, rate and memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// Bodies up to this size, bytes, need no place in the budget: most pushes are a tenth of it, and all connections
/// together stay below 128 MiB.
const SMALL: u64 = 256 * 1024;

/// Memory that all larger bodies may take together, in units: 100 MiB, four of the largest.
const LARGE_UNITS: u32 = 1600;

/// Unit in which the budget is counted, bytes.
const UNIT: u64 = 64 * 1024;

/// A body may be slower than the least rate for so long at its beginning.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// Memory for the bodies of all requests.
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_UNITS as usize)))
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
    /// The connection broke.
    Broken,
}

/// A body and its place in the budget.
pub struct Read {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    _place: Option<OwnedSemaphorePermit>,
}

/// Reads a body to its end.
pub async fn read(body: Incoming, limits: &Limits, budget: &Budget) -> Result<Read, BodyError> {
    if body.size_hint().lower() > limits.body {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(limits.body_time, read_all(body, limits, budget)).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::TooSlow),
    }
}

async fn read_all(mut body: Incoming, limits: &Limits, budget: &Budget) -> Result<Read, BodyError> {
    let announced = body.size_hint().exact();
    let mut place = None;
    if announced.is_some_and(|size| size > SMALL) {
        place = Some(reserve(budget, announced.unwrap_or_default()).await?);
    }
    let start = Instant::now();
    let mut bytes = Vec::with_capacity(usize::try_from(announced.unwrap_or(0)).unwrap_or(0));
    while let Some(frame) = next_frame(&mut body, &bytes, start, limits).await? {
        let Ok(data) = frame.into_data() else { continue };
        let length = (bytes.len() + data.len()) as u64;
        if length > limits.body {
            return Err(BodyError::TooLarge);
        }
        if length > SMALL && place.is_none() {
            // A body of unknown length may become as large as any.
            place = Some(reserve(budget, limits.body).await?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Read { bytes, _place: place })
}

async fn reserve(budget: &Budget, size: u64) -> Result<OwnedSemaphorePermit, BodyError> {
    let units = u32::try_from(size.div_ceil(UNIT)).unwrap_or(u32::MAX).min(LARGE_UNITS);
    Arc::clone(&budget.0)
        .acquire_many_owned(units)
        .await
        .map_err(|_| BodyError::NoMemory)
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
