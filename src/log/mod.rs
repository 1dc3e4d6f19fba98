//! The log: what the program tells while it works, one line per event, for people or for machines.
//!
//! Code anywhere in this crate reports with `tracing`'s macros and the fields below, by name; the [`Log`] writes them. It is
//! not the record of what was done: that is evidence. Specified in `docs/configuration.md`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::clock::Timestamp;
use crate::fs;
use crate::item::text_enum;
use crate::quote::printable;
use crate::redact::Redactor;

text_enum! {
    /// How serious an event is, from the least to the most.
    Level, "a log level (trace, debug, info, warn or error)" {
        /// Every step.
        Trace = "trace",
        /// What helps to find out why.
        Debug = "debug",
        /// What was done.
        Info = "info",
        /// What should be known.
        Warn = "warn",
        /// What failed.
        Error = "error",
    }
}

text_enum! {
    /// The form of the log.
    Format, "a log format (auto, json or text)" {
        /// Text on a terminal, json elsewhere.
        Auto = "auto",
        /// One JSON object per line.
        Json = "json",
        /// Lines for people.
        Text = "text",
    }
}

impl Level {
    /// Returns the level of standard error for `-q` and for `-v`, given `verbose` times.
    #[must_use]
    pub fn adjusted(self, quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Error,
            (false, 0) => self,
            (false, 1) => self.min(Self::Debug),
            (false, _) => Self::Trace,
        }
    }

    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
        }
    }

    fn as_filter(self) -> tracing::level_filters::LevelFilter {
        match self {
            Self::Trace => tracing::Level::TRACE.into(),
            Self::Debug => tracing::Level::DEBUG.into(),
            Self::Info => tracing::Level::INFO.into(),
            Self::Warn => tracing::Level::WARN.into(),
            Self::Error => tracing::Level::ERROR.into(),
        }
    }
}

/// One place that the log goes to.
pub struct Sink {
    level: Level,
    text: bool,
    writer: Mutex<Box<dyn Write + Send>>,
}

impl Sink {
    /// Sends events from `level` up to `writer`; `terminal` says whether people read there.
    pub fn new(level: Level, format: Format, terminal: bool, writer: impl Write + Send + 'static) -> Self {
        let text = match format {
            Format::Text => true,
            Format::Json => false,
            Format::Auto => terminal,
        };
        Self { level, text, writer: Mutex::new(Box::new(writer)) }
    }

    /// Appends events from `level` up to the file at `path`.
    ///
    /// A new file is readable by its owner only; a symbolic link is an error, as is a folder that does not exist.
    pub fn file(level: Level, format: Format, path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file: File = fs::open_no_follow(&mut options, path)?;
        Ok(Self::new(level, format, false, file))
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sink").field("level", &self.level).field("text", &self.text).finish_non_exhaustive()
    }
}

/// A layer for `tracing-subscriber` that writes this crate's events to its sinks, secrets hidden.
///
/// An event is one write, so that lines of two processes in one file do not mix. What cannot be written is lost: the
/// log never makes a command fail.
#[derive(Debug)]
pub struct Log {
    sinks: Vec<Sink>,
    redactor: Redactor,
    now: fn() -> Timestamp,
}

impl Log {
    /// Returns a log to `sinks`, through `redactor`.
    pub fn new(sinks: Vec<Sink>, redactor: Redactor) -> Self {
        Self { sinks, redactor, now: Timestamp::now }
    }

    fn least_level(&self) -> Option<Level> {
        self.sinks.iter().map(|sink| sink.level).min()
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Other crates' events carry fields that nobody has looked at for secrets.
        let ours = metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"));
        ours && self.least_level().is_some_and(|least| Level::of(*metadata.level()) >= least)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.least_level().map_or(tracing::level_filters::LevelFilter::OFF, Level::as_filter))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = Level::of(*event.metadata().level());
        let mut fields = Fields { redactor: &self.redactor, line: Line::new((self.now)(), level) };
        event.record(&mut fields);
        for sink in self.sinks.iter().filter(|sink| level >= sink.level) {
            let line = if sink.text { fields.line.to_text() } else { fields.line.to_json() };
            let mut writer = sink.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
        }
    }
}

/// One event, as it is written. The order of the fields is part of the format.
#[derive(Serialize)]
struct Line {
    ts: Timestamp,
    level: Level,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Line {
    fn new(ts: Timestamp, level: Level) -> Self {
        Self { ts, level, action: None, actor: None, tombstone: None, duration_ms: None, backend: None, message: None }
    }

    fn to_json(&self) -> String {
        use fmt::Write as _;
        let json = serde_json::to_string(self).expect("strings and numbers can be written as JSON");
        let mut line = String::with_capacity(json.len() + 1);
        for character in json.chars() {
            // JSON leaves the upper controls as they are, which a terminal obeys too; they stand in strings only.
            if character.is_control() {
                let _ = write!(line, "\\u{:04x}", u32::from(character));
            } else {
                line.push(character);
            }
        }
        line.push('\n');
        line
    }

    fn to_text(&self) -> String {
        let level = self.level.as_str().to_uppercase();
        // An event without words is still told by what it is about.
        let words = match &self.message {
            Some(message) => message.clone(),
            None => [&self.action, &self.tombstone].into_iter().flatten().cloned().collect::<Vec<_>>().join(" "),
        };
        format!("[{}] {level:<6} {}\n", self.ts, printable(&words))
    }
}

/// Gathers the fields of an event that the format has; others are left out.
struct Fields<'a> {
    redactor: &'a Redactor,
    line: Line,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let slot = match field.name() {
            "action" => &mut self.line.action,
            "actor" => &mut self.line.actor,
            "tombstone" => &mut self.line.tombstone,
            "backend" => &mut self.line.backend,
            "message" => &mut self.line.message,
            _ => return,
        };
        *slot = Some(self.redactor.redact(value).into_owned());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "duration_ms" && value.is_finite() {
            // As in records: three decimals, without what a sum of floats leaves behind.
            self.line.duration_ms = Some((value * 1000.0).round() / 1000.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
