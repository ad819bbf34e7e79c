//! Counters, and the text that Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Mutex;

use super::App;
use crate::api::{Problem, TargetStatus};
use crate::clock;
use crate::model::{Locked, Outcome};

/// Upper bounds of the buckets of a phase's duration, seconds.
const BUCKETS: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

#[derive(Default)]
struct Inner {
    deliveries: BTreeMap<(String, &'static str), u64>,
    rejected: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<(String, &'static str), u64>,
    durations: BTreeMap<(String, String), Histogram>,
    last_success: BTreeMap<String, i64>,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    sum: f64,
    count: u64,
}

/// The counters since the daemon started.
#[derive(Default)]
pub struct Metrics(Mutex<Inner>);

impl Metrics {
    /// Counts a verified delivery.
    pub fn delivery(&self, repo: &str, result: &'static str) {
        *self.0.locked().deliveries.entry((repo.to_owned(), result)).or_default() += 1;
    }

    /// Counts a refused one.
    pub fn rejected(&self, reason: &'static str) {
        *self.0.locked().rejected.entry(reason).or_default() += 1;
    }

    /// Counts a deployment that ended.
    pub fn deployment(&self, target: &str, outcome: Outcome) {
        let mut inner = self.0.locked();
        *inner.outcomes.entry((target.to_owned(), outcome.as_str())).or_default() += 1;
        if matches!(outcome, Outcome::Live | Outcome::Unchanged) {
            inner.last_success.insert(target.to_owned(), clock::now().seconds());
        }
    }

    /// Counts how long a phase took.
    pub fn phase(&self, target: &str, phase: &str, seconds: f64) {
        let mut inner = self.0.locked();
        let histogram = inner
            .durations
            .entry((target.to_owned(), phase.to_owned()))
            .or_default();
        histogram.sum += seconds;
        histogram.count += 1;
        for (count, bound) in histogram.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= *bound);
        }
    }
}

/// A label's value, as the text format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", label(v))).collect();
        let braces = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{braces} {value}");
    }
}

/// The codes of problems; two of one code are one sample.
fn codes(problems: &[Problem]) -> BTreeSet<&str> {
    problems.iter().map(|problem| problem.code.as_str()).collect()
}

/// All metrics, in Prometheus's text format.
pub async fn render(app: &App) -> Result<String, crate::store::StoreError> {
    let waiting = app.world.store.waiting().await?;
    let status = app.overview.status().await?;
    let now = clock::now();
    let mut text = Text(String::new());
    text.family("hookd_build_info", "gauge", "Version of hookd.");
    text.sample("hookd_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("hookd_jobs_queued", "gauge", "Jobs that wait.");
    text.sample("hookd_jobs_queued", &[], waiting.len());
    text.family(
        "hookd_oldest_queued_seconds",
        "gauge",
        "How long the oldest waiting job has waited.",
    );
    let oldest = waiting
        .iter()
        .map(|job| now.since(job.requested_at).as_secs())
        .max()
        .unwrap_or(0);
    text.sample("hookd_oldest_queued_seconds", &[], oldest);
    counters(&mut text, &app.metrics.0.locked());
    successes(&mut text, &app.metrics.0.locked(), &status.targets);
    durations(&mut text, &app.metrics.0.locked());
    text.family(
        "hookd_target_behind",
        "gauge",
        "1 if the tip of the ref is not what is live.",
    );
    for target in &status.targets {
        if let Some(behind) = target.behind {
            text.sample("hookd_target_behind", &[("target", &target.target)], u8::from(behind));
        }
    }
    text.family("hookd_target_problem", "gauge", "1 for each problem of a target.");
    for target in &status.targets {
        for code in codes(&target.problems) {
            let labels = [("target", target.target.as_str()), ("code", code)];
            text.sample("hookd_target_problem", &labels, 1);
        }
    }
    text.family(
        "hookd_problem",
        "gauge",
        "1 for each problem that is of no target in particular.",
    );
    for code in codes(&status.problems) {
        text.sample("hookd_problem", &[("code", code)], 1);
    }
    text.family(
        "hookd_outbox_pending",
        "gauge",
        "Messages and reports that wait to be heard.",
    );
    // A channel for which nothing waits is told of, too: one that appears only with its first failure is hard to alert on.
    let mut pending = app.world.store.outbox_pending().await?;
    for channel in app.settings().config.notify.keys() {
        pending.entry(channel.clone()).or_insert(0);
    }
    for (channel, count) in pending {
        text.sample("hookd_outbox_pending", &[("channel", &channel)], count);
    }
    text.sample(
        "hookd_outbox_pending",
        &[("channel", "forge")],
        app.world.store.reports_pending().await?,
    );
    Ok(text.0)
}

fn counters(text: &mut Text, inner: &Inner) {
    text.family("hookd_deliveries_total", "counter", "Verified deliveries.");
    for ((repo, result), count) in &inner.deliveries {
        text.sample("hookd_deliveries_total", &[("repo", repo), ("result", result)], count);
    }
    text.family("hookd_rejected_total", "counter", "Refused deliveries.");
    for (reason, count) in &inner.rejected {
        text.sample("hookd_rejected_total", &[("reason", reason)], count);
    }
    text.family("hookd_deployments_total", "counter", "Deployments that ended.");
    for ((target, outcome), count) in &inner.outcomes {
        text.sample(
            "hookd_deployments_total",
            &[("target", target), ("outcome", outcome)],
            count,
        );
    }
}

/// A daemon that has not deployed anything yet knows since when what is live is live.
fn successes(text: &mut Text, inner: &Inner, targets: &[TargetStatus]) {
    let name = "hookd_last_success_timestamp_seconds";
    text.family(name, "gauge", "When a deployment last succeeded.");
    for target in targets {
        let seen = inner.last_success.get(&target.target).copied();
        if let Some(at) = seen.or(target.live_since.map(|since| since / 1000)) {
            text.sample(name, &[("target", &target.target)], at);
        }
    }
}

fn durations(text: &mut Text, inner: &Inner) {
    let name = "hookd_deployment_duration_seconds";
    text.family(name, "histogram", "How long each phase of a deployment took.");
    for ((target, phase), histogram) in &inner.durations {
        let labels = [("target", target.as_str()), ("phase", phase.as_str())];
        for (count, bound) in histogram.buckets.iter().zip(BUCKETS) {
            let bound = bound.to_string();
            text.sample(
                &format!("{name}_bucket"),
                &[labels[0], labels[1], ("le", &bound)],
                count,
            );
        }
        text.sample(
            &format!("{name}_bucket"),
            &[labels[0], labels[1], ("le", "+Inf")],
            histogram.count,
        );
        text.sample(&format!("{name}_sum"), &labels, histogram.sum);
        text.sample(&format!("{name}_count"), &labels, histogram.count);
    }
}
