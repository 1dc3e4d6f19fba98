//! What `config-show` and `health-check` print of a configuration.

use serde::Serialize;

use super::{Config, Origin, Value};
use crate::quote::printable;

/// How much of a URL is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reveal {
    /// What the allow-list names.
    Redacted,
    /// Everything, for `--debug`.
    Whole,
}

/// Returns the archive's URL.
pub fn url(config: &Config, reveal: Reveal) -> String {
    match reveal {
        Reveal::Redacted => config.url.to_string(),
        Reveal::Whole => printable(config.url.expose()).into_owned(),
    }
}

/// Returns the lines that name the backend and its URL, as `config-show` and `health-check` begin.
pub fn backend_lines(config: &Config, reveal: Reveal) -> String {
    let backend = config.url.backend();
    let remark = if reveal == Reveal::Redacted { " (credentials redacted)" } else { "" };
    format!("Backend: {backend}\nURL: {}{remark}\n", url(config, reveal))
}

/// Returns the text of `config-show`: the summary, an empty line, then each key with its value and its origin.
pub fn text(config: &Config, reveal: Reveal) -> String {
    use std::fmt::Write as _;
    let mut text = backend_lines(config, reveal);
    let retry = if config.retry.enabled { "enabled" } else { "disabled" };
    let _ = writeln!(text, "Log Level: {}\nRetry: {retry}", config.logging.level);
    let _ = writeln!(text, "Batch Concurrency: {}\n", config.batch.max_concurrent);
    for setting in config.settings() {
        let value = match (&setting.value, reveal) {
            (Value::ArchiveUrl(url), Reveal::Whole) => format!("\"{}\"", printable(url.expose())),
            (value, _) => value.to_string(),
        };
        let _ = writeln!(text, "{} = {value}  # {}", setting.key.name, setting.origin);
    }
    text
}

/// One key as `config-show --json` prints it, one object per line.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The key's full name.
    pub key: &'static str,
    /// Its value in its JSON type; null for a key that is not set.
    pub value: serde_json::Value,
    /// Where the value is from.
    pub origin: &'a Origin,
}

/// Returns all keys as `config-show --json` prints them, in the order of the schema.
pub fn entries(config: &Config, reveal: Reveal) -> impl Iterator<Item = Entry<'_>> {
    config.settings().map(move |setting| Entry {
        key: setting.key.name,
        value: json_value(&setting.value, reveal),
        origin: &setting.origin,
    })
}

fn json_value(value: &Value, reveal: Reveal) -> serde_json::Value {
    let url = |url: &crate::redact::SecretUrl| match reveal {
        Reveal::Whole => url.expose().into(),
        Reveal::Redacted => url.redacted().into(),
    };
    match value {
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Number(number) => (*number).into(),
        Value::Duration(duration) => super::format_duration(*duration).into(),
        Value::Word(word) => (*word).into(),
        Value::Path(path) => path.as_str().into(),
        Value::ArchiveUrl(archive) => url(archive.as_secret()),
        Value::StoreUrl(store) => store.as_ref().map_or_else(String::new, ToString::to_string).into(),
        Value::Unset => serde_json::Value::Null,
    }
}
