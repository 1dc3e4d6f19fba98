use std::sync::{Arc, Mutex};

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::redact::SecretUrl;

/// A writer whose text can be looked at afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("the log is UTF-8")
    }
}

fn noon() -> Timestamp {
    "2025-10-17T13:22:36.123Z".parse().expect("is a time")
}

/// Returns what `work` logs in `format` from `level` up.
fn logged(level: Level, format: Format, redactor: Redactor, work: impl FnOnce()) -> String {
    let shared = Shared::default();
    let log = Log { now: noon, ..Log::new(vec![Sink::new(level, format, false, shared.clone())], redactor) };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(log), work);
    shared.text()
}

fn restore() {
    tracing::info!(
        backend = "sqlite",
        duration_ms = 245.0,
        tombstone = %"8e3531b9-c839-4a07-9dec-507c36136eb1",
        other = 1,
        actor = "user",
        action = "RESTORE",
        "Restore completed in {}ms",
        245
    );
}

#[test]
fn json_has_its_fields_in_one_order() {
    let expected = concat!(
        r#"{"ts":"2025-10-17T13:22:36.123Z","level":"info","action":"RESTORE","actor":"user","#,
        r#""tombstone":"8e3531b9-c839-4a07-9dec-507c36136eb1","duration_ms":245.0,"backend":"sqlite","#,
        r#""message":"Restore completed in 245ms"}"#,
        "\n"
    );
    assert_eq!(logged(Level::Info, Format::Json, Redactor::new(), restore), expected);
    assert_eq!(logged(Level::Info, Format::Auto, Redactor::new(), restore), expected);
}

#[test]
fn what_does_not_apply_is_absent() {
    let text = logged(Level::Info, Format::Json, Redactor::new(), || tracing::warn!(duration_ms = f64::NAN, "a"));
    assert_eq!(text, "{\"ts\":\"2025-10-17T13:22:36.123Z\",\"level\":\"warn\",\"message\":\"a\"}\n");
}

#[test]
fn durations_have_three_decimals() {
    let text = logged(Level::Info, Format::Json, Redactor::new(), || {
        tracing::info!(duration_ms = 0.1 + 0.2, "a");
        tracing::info!(duration_ms = 4.862_999_999_999_999_5, "b");
    });
    assert!(text.contains(r#""duration_ms":0.3,"#) && text.contains(r#""duration_ms":4.863,"#), "{text}");
}

#[test]
fn text_is_for_people() {
    let text = logged(Level::Trace, Format::Text, Redactor::new(), || {
        restore();
        tracing::error!("it's \"bad\"\n\u{1b}[31m\u{202e}é\\");
        tracing::debug!(action = "RESTORE", tombstone = "8e35");
    });
    let expected = "[2025-10-17T13:22:36.123Z] INFO   Restore completed in 245ms\n\
                    [2025-10-17T13:22:36.123Z] ERROR  it's \"bad\"\\n\\u{1b}[31m\\u{202e}é\\\n\
                    [2025-10-17T13:22:36.123Z] DEBUG  RESTORE 8e35\n";
    assert_eq!(text, expected);
}

#[test]
fn json_carries_any_text_without_raw_controls() {
    let message = "a\n\u{1b}[31m\u{7f}\u{9b}2J\"\\é";
    let text = logged(Level::Info, Format::Json, Redactor::new(), || tracing::info!("{message}"));
    assert_eq!(text.chars().filter(|character| character.is_control()).count(), 1, "{text:?}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(json["message"], message);
}

#[test]
fn events_below_the_level_are_left_out() {
    let work = || {
        tracing::trace!("t");
        tracing::debug!("d");
        tracing::info!("i");
        tracing::warn!("w");
        tracing::error!("e");
    };
    for (index, level) in Level::ALL.iter().enumerate() {
        assert_eq!(logged(*level, Format::Text, Redactor::new(), work).lines().count(), 5 - index, "{level}");
    }
}

#[test]
fn sinks_have_their_own_level_and_format() {
    let (first, second) = (Shared::default(), Shared::default());
    let sinks = vec![
        Sink::new(Level::Error, Format::Auto, true, first.clone()),
        Sink::new(Level::Debug, Format::Auto, false, second.clone()),
    ];
    let log = Log::new(sinks, Redactor::new());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || tracing::info!("a"));
    assert_eq!(first.text(), "");
    assert!(second.text().starts_with('{'));
}

#[test]
fn other_crates_are_not_logged() {
    let text = logged(Level::Trace, Format::Json, Redactor::new(), || {
        tracing::error!(target: "other_crate", "a");
        tracing::error!(target: "git_archive_tomb_lookalike", "b");
    });
    assert_eq!(text, "");
}

#[test]
fn secrets_are_hidden_in_every_field() {
    let mut redactor = Redactor::new();
    redactor.add_url(&SecretUrl::new("postgres://u:hunter2%22canary@h/db"));
    for format in [Format::Json, Format::Text] {
        let text = logged(Level::Info, format, redactor.clone(), || {
            tracing::info!(actor = "hunter2\"canary", backend = "x hunter2%22canary", "{:?}", "hunter2\"canary");
            tracing::info!("cannot reach postgres://u:hunter2%22canary@h/db");
            tracing::info!("cannot reach mysql://u:another-canary@h/db");
        });
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }
}

#[test]
fn quiet_and_verbose_change_the_level() {
    assert_eq!(Level::Info.adjusted(true, 2), Level::Error);
    assert_eq!(Level::Warn.adjusted(false, 0), Level::Warn);
    assert_eq!(Level::Warn.adjusted(false, 1), Level::Debug);
    assert_eq!(Level::Trace.adjusted(false, 1), Level::Trace);
    assert_eq!(Level::Error.adjusted(false, 2), Level::Trace);
}

#[cfg(unix)]
#[test]
fn the_file_is_private_appended_to_and_no_link() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("makes a folder");
    let (path, link) = (folder.path().join("log"), folder.path().join("link"));
    for _ in 0..2 {
        let sink = Sink::file(Level::Info, Format::Auto, &path).expect("opens the file");
        let log = Log::new(vec![sink], Redactor::new());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log), || tracing::info!("a"));
    }
    assert_eq!(std::fs::read_to_string(&path).expect("reads").lines().count(), 2);
    assert_eq!(std::fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    std::os::unix::fs::symlink(&path, &link).expect("links");
    assert!(Sink::file(Level::Info, Format::Auto, &link).is_err());
    assert!(Sink::file(Level::Info, Format::Auto, &folder.path().join("missing/log")).is_err());
}
