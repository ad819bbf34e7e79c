//! The journal: what is logged, with which fields, and where it goes.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::model::words;

/// How log lines are written where there is no journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One readable line each.
    Text,
    /// One JSON object each.
    Json,
    /// Natively to systemd's journal.
    Journal,
}

/// What a log entry is about: fields of the journal (`HOOKD_REPO=` …).
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// `HOOKD_REPO`
    pub repo: Option<&'a str>,
    /// `HOOKD_TARGET`, as `repo/target`
    pub target: Option<&'a str>,
    /// `HOOKD_REF`
    pub git_ref: Option<&'a str>,
    /// `HOOKD_COMMIT`
    pub commit: Option<&'a str>,
    /// `HOOKD_DELIVERY`
    pub delivery: Option<&'a str>,
    /// `HOOKD_DEPLOYMENT`
    pub deployment: Option<i64>,
    /// `HOOKD_PHASE`
    pub phase: Option<&'a str>,
    /// `HOOKD_STREAM`
    pub stream: Option<&'a str>,
    /// `HOOKD_OUTCOME`
    pub outcome: Option<&'a str>,
    /// `HOOKD_REMOTE_ADDR`
    pub remote_addr: Option<&'a str>,
    /// `HOOKD_REASON`
    pub reason: Option<&'a str>,
}

macro_rules! emit {
    ($level:expr, $about:expr, $message:expr) => {
        tracing::event!(
            target: "hookd",
            $level,
            "HOOKD_REPO" = $about.repo,
            "HOOKD_TARGET" = $about.target,
            "HOOKD_REF" = $about.git_ref,
            "HOOKD_COMMIT" = $about.commit,
            "HOOKD_DELIVERY" = $about.delivery,
            "HOOKD_DEPLOYMENT" = $about.deployment,
            "HOOKD_PHASE" = $about.phase,
            "HOOKD_STREAM" = $about.stream,
            "HOOKD_OUTCOME" = $about.outcome,
            "HOOKD_REMOTE_ADDR" = $about.remote_addr,
            "HOOKD_REASON" = $about.reason,
            "{}",
            $message
        )
    };
}

impl About<'_> {
    /// Logs what a person may want to know.
    pub fn info(&self, message: impl fmt::Display) {
        self.harmless(message, |about, message| emit!(Level::INFO, about, message));
    }

    /// Logs what a person should look at.
    pub fn warn(&self, message: impl fmt::Display) {
        self.harmless(message, |about, message| emit!(Level::WARN, about, message));
    }

    /// Logs what failed.
    pub fn error(&self, message: impl fmt::Display) {
        self.harmless(message, |about, message| emit!(Level::ERROR, about, message));
    }

    /// Messages and reasons quote strangers; readers of the journal print them as they are.
    fn harmless(&self, message: impl fmt::Display, log: impl FnOnce(&About<'_>, &str)) {
        let reason = self.reason.map(printable);
        let about = About {
            reason: reason.as_deref(),
            ..*self
        };
        log(&about, &printable(&message.to_string()));
    }
}

/// Starts logging. `None` chooses: the journal if systemd connected this process to it, else text.
pub fn start(format: Option<Format>) -> Result<(), String> {
    let connected = std::env::var_os("JOURNAL_STREAM").is_some();
    let format = format.unwrap_or(if connected { Format::Journal } else { Format::Text });
    let layer = match format {
        Format::Journal => tracing_journald::layer()
            .map_err(|e| format!("the journal can't be reached: {e}"))?
            .with_field_prefix(None)
            .with_syslog_identifier("hookd".to_owned())
            .with_priority_mappings(PriorityMappings {
                info: Priority::Informational,
                debug: Priority::Debug,
                ..PriorityMappings::new()
            })
            .boxed(),
        Format::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_timer(UtcTime)
            .with_writer(std::io::stderr)
            .boxed(),
        Format::Text => tracing_subscriber::fmt::layer()
            .event_format(Readable)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(LevelFilter::INFO));
    tracing::subscriber::set_global_default(subscriber).map_err(|e| e.to_string())
}

struct UtcTime;

impl tracing_subscriber::fmt::time::FormatTime for UtcTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{}", clock::now())
    }
}

/// `2026-11-22T10:15:00Z INFO blog/production #12 build: message`
struct Readable;

#[derive(Default)]
struct Parts {
    message: String,
    subject: String,
    deployment: Option<i64>,
    phase: Option<String>,
    rest: Vec<String>,
}

impl Parts {
    fn text(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            "HOOKD_TARGET" => self.subject = value,
            "HOOKD_REPO" if self.subject.is_empty() => self.subject = value,
            "HOOKD_PHASE" => self.phase = Some(value),
            "HOOKD_REMOTE_ADDR" => self.rest.push(format!("from {value}")),
            "HOOKD_DELIVERY" => self.rest.push(format!("delivery {value}")),
            name if name.starts_with("HOOKD_") => {}
            name => self.rest.push(format!("{name}: {value}")),
        }
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "HOOKD_DEPLOYMENT" {
            self.deployment = Some(value);
        } else {
            self.text(field, value.to_string());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}

/// A terminal must not obey what a script or a stranger wrote.
fn printable(text: &str) -> String {
    words::printable(text, |c| c == '\t')
}

impl<S, N> FormatEvent<S, N> for Readable
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        write!(w, "{} {:<5}", clock::now(), event.metadata().level())?;
        if !parts.subject.is_empty() {
            write!(w, " {}", printable(&parts.subject))?;
        }
        if let Some(deployment) = parts.deployment {
            write!(w, " #{deployment}")?;
        }
        if let Some(phase) = &parts.phase {
            write!(w, " {phase}")?;
        }
        if !parts.subject.is_empty() || parts.phase.is_some() {
            write!(w, ":")?;
        }
        write!(w, " {}", printable(&parts.message))?;
        if !parts.rest.is_empty() {
            write!(w, " ({})", printable(&parts.rest.join(", ")))?;
        }
        writeln!(w)
    }
}
