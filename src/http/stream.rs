//! The log of a deployment, whole or live, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::answer::{self, Answer, Body, whole};
use crate::api::{Deployment, LogLine};
use crate::deploy::World;

/// Chunks of a log that wait for a slow reader; the log itself is on disk.
const AHEAD: usize = 4;

/// How often a silent stream says that it is still there: proxies cut connections that say nothing for a minute.
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(15);

/// Pause between two looks whether a log has begun.
const BEGIN_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// The event that says that nothing more comes.
const END: &[u8] = b"event: end\ndata: {}\n\n";

/// Pause between two looks whether a deployment goes on that waits for checks: at first, and at most.
const WAITS: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_millis(20), std::time::Duration::from_secs(1));

/// Most logs that are sent at once: a reader that stands still keeps its connection, and some must be left for others.
const STREAMS: usize = 64;

/// Seconds after which a reader may ask again for whom there is no place.
const RETRY: u64 = 5;

/// Places for logs that are sent.
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }
}

impl Streams {
    /// A place; `None` if all are taken.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The answer if there is no place. The connection ends with it.
pub fn too_many() -> Answer {
    let mut answer = answer::problem_later(StatusCode::SERVICE_UNAVAILABLE, "too many logs are followed", RETRY);
    let close = http::HeaderValue::from_static("close");
    answer.headers_mut().insert(http::header::CONNECTION, close);
    answer
}

/// Writes whole lines of a log, up to an offset, as the reader wants them.
pub type Encode = Box<dyn FnMut(&[u8], u64) -> Bytes + Send>;

/// How a log is read.
pub struct Reading {
    /// From which offset.
    pub offset: u64,
    /// Whether what comes later is sent, too, with an event that says the end.
    pub follow: bool,
    /// The form.
    pub encode: Encode,
}

/// A body that another task fills.
struct Channel(
    mpsc::Receiver<Bytes>,
    #[expect(dead_code, reason = "held until the body is gone")] OwnedSemaphorePermit,
);

impl hyper::body::Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
    }
}

/// The lines of a log: JSON lines as they are, or with `follow` as events until the deployment ends.
pub async fn log(world: &World, row: &Deployment, follow: bool, place: OwnedSemaphorePermit) -> Answer {
    let kind = if follow {
        "text/event-stream"
    } else {
        "application/jsonl"
    };
    let encode: Encode = if follow {
        Box::new(|lines, _| events(lines))
    } else {
        Box::new(|lines, _| Bytes::copy_from_slice(lines))
    };
    let reading = Reading {
        offset: 0,
        follow,
        encode,
    };
    read(world, row, kind, reading, place).await
}

/// A log in a form of the reader's.
pub async fn read(
    world: &World,
    row: &Deployment,
    kind: &'static str,
    mut reading: Reading,
    place: OwnedSemaphorePermit,
) -> Answer {
    let deployment = row.id;
    if reading.follow {
        until_begun(world, deployment).await;
    }
    match world.logs.read(deployment, 0) {
        Ok(Some(_)) => {}
        Ok(None) => return answer_of(whole(last_words(row, &mut reading)), kind),
        Err(error) => return answer::problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), None),
    }
    let (sender, receiver) = mpsc::channel(AHEAD);
    let world = world.clone();
    tokio::spawn(async move { feed(&world, deployment, reading, &sender).await });
    answer_of(Channel(receiver, place).boxed_unsync(), kind)
}

fn answer_of(body: Body, kind: &'static str) -> Answer {
    let mut answer = http::Response::new(body);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
        .headers_mut()
        .insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    answer
}

/// Waits for the log of a deployment that runs: whoever was told its number may come a moment before the log is there.
async fn until_begun(world: &World, deployment: i64) {
    while matches!(world.logs.read(deployment, 0), Ok(None)) {
        match world.store.deployment(deployment).await {
            Ok(Some((row, _))) if row.finished_at.is_none() => tokio::time::sleep(BEGIN_PAUSE).await,
            _ => return,
        }
    }
}

/// What stands for the log of a deployment that has none, since it never ran.
fn last_words(row: &Deployment, reading: &mut Reading) -> Bytes {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let line = LogLine {
        at: row.finished_at.unwrap_or(row.started_at),
        phase: row.phase.clone(),
        stream: "hookd".to_owned(),
        text: format!("{}: {}", text(&row.outcome), text(&row.reason)),
        done: None,
        total: None,
    };
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    let line = (reading.encode)(&line, 0);
    if reading.follow {
        [&line[..], END].concat().into()
    } else {
        line
    }
}

/// Sends the log so far, then each new line, until the log is complete or the reader is gone.
async fn feed(world: &World, deployment: i64, reading: Reading, sender: &mpsc::Sender<Bytes>) {
    let Reading {
        mut offset,
        follow,
        mut encode,
    } = reading;
    let mut ended = !follow;
    // Looked up before the first read, so that nothing that comes in between is missed.
    let mut growth = if follow { world.logs.follow(deployment) } else { None };
    loop {
        match world.logs.read(deployment, offset) {
            Ok(Some((text, next))) if !text.is_empty() => {
                offset = next;
                if sender.send(encode(&text, offset)).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(_) => {}
            Err(_) => return,
        }
        let Some(receiver) = &mut growth else {
            if ended {
                break;
            }
            growth = go_on(world, deployment, sender).await;
            // What came last is still read.
            ended = growth.is_none();
            continue;
        };
        match tokio::time::timeout(HEARTBEAT, receiver.changed()).await {
            Ok(Ok(())) => {}
            // The log is complete, or goes on later.
            Ok(Err(_)) => growth = None,
            Err(_) => {
                if sender.send(Bytes::from_static(b": still there\n\n")).await.is_err() {
                    return;
                }
            }
        }
    }
    if follow {
        // A reader that is gone needs no end.
        let _ = sender.send(Bytes::from_static(END)).await;
    }
}

/// Waits until a deployment goes on that waits for checks; none once it has ended, or if the reader is gone.
async fn go_on(
    world: &World,
    deployment: i64,
    sender: &mpsc::Sender<Bytes>,
) -> Option<tokio::sync::watch::Receiver<u64>> {
    let mut pause = WAITS.0;
    loop {
        match world.store.deployment(deployment).await {
            Ok(Some((row, _))) if row.outcome.is_none() => {}
            _ => return None,
        }
        if let Some(growth) = world.logs.follow(deployment) {
            return Some(growth);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = sender.closed() => return None,
        }
        pause = (pause * 2).min(WAITS.1);
    }
}

/// Each line is one event; JSON has no line breaks of its own.
fn events(lines: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(lines.len() * 2);
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(b"\n\n");
    }
    out.into()
}
