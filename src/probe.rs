//! Asks a `check` URL until the site is well.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::web::{Caller, shown};

/// Longest single try. A server that accepts and never answers, while it starts, must leave time for another one.
const TRY_MAX: Duration = Duration::from_secs(10);

/// Wait after the first failed try; it doubles after each.
const WAIT_FIRST: Duration = Duration::from_millis(100);

/// Longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Asks until the answer is 2xx or `timeout` is over, and tells `on_attempt` of each answer in words. The error is the last
/// of them, or that it was cancelled. Secrets that a URL may hold (user, password, query) are in none of them.
pub async fn until_healthy(
    url: &Url,
    timeout: Duration,
    cancel: &CancellationToken,
    mut on_attempt: impl FnMut(&str),
) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    let shown = shown(url);
    let probe = Caller::new(url).map_err(|error| format!("{shown}: {error}"))?;
    let tries = async {
        let mut wait = WAIT_FIRST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (healthy, words) = match probe.get(left.min(TRY_MAX)).await {
                Ok(status) => ((200..300).contains(&status), format!("{shown}: answered {status}")),
                Err(error) => (false, format!("{shown}: {error}")),
            };
            on_attempt(&words);
            if healthy {
                return Ok(());
            }
            if Instant::now() + wait >= deadline {
                return Err(words);
            }
            sleep(wait).await;
            wait = (wait * 2).min(WAIT_MAX);
        }
    };
    cancel
        .run_until_cancelled(tries)
        .await
        .unwrap_or_else(|| Err("cancelled".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::tests::{LONG, nobody, page, server};

    #[tokio::test]
    async fn tries_until_it_is_well() {
        let url = server(|count, _| page(if count < 2 { 502 } else { 204 }, "")).await;
        let mut told = Vec::new();
        let healthy = until_healthy(&url, LONG, &CancellationToken::new(), |words| {
            told.push(words.to_owned());
        })
        .await;
        assert_eq!(healthy, Ok(()));
        let (bad, good) = (format!("{url}: answered 502"), format!("{url}: answered 204"));
        assert_eq!(told, [bad.clone(), bad, good]);
    }

    #[tokio::test]
    async fn gives_up_with_the_last_reason() {
        let never = CancellationToken::new();
        let url = server(|_, _| page(502, "")).await;
        let mut tries = 0;
        let ill = until_healthy(&url, Duration::from_millis(400), &never, |_| tries += 1).await;
        assert_eq!(ill, Err(format!("{url}: answered 502")));
        assert!((2..=3).contains(&tries), "{tries}");
        let url = nobody().await;
        let refused = until_healthy(&url, Duration::from_millis(10), &never, |_| {}).await;
        assert_eq!(refused, Err(format!("{url}: connection refused")));
    }

    #[tokio::test]
    async fn stops_when_it_is_cancelled() {
        let cancel = CancellationToken::new();
        let url = server(|_, _| page(502, "")).await;
        assert_eq!(
            until_healthy(&url, LONG, &cancel, |_| cancel.cancel()).await,
            Err("cancelled".to_owned())
        );
    }
}
