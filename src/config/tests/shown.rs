//! What is shown, and what is not.

use std::path::Path;

use super::super::show::Reveal;
use super::*;

#[test]
fn show_begins_with_the_python_tools_lines() {
    let text = show::text(&Config::default(), Reveal::Redacted);
    let first = "Backend: sqlite\nURL: sqlite:///./.codex/archive.sqlite (credentials redacted)\nLog Level: info\nRetry: disabled\nBatch Concurrency: 5\n\n";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("\nretry.seed = (not set)  # default\n"));
    let debug = show::text(&Config::default(), Reveal::Whole);
    assert!(debug.starts_with("Backend: sqlite\nURL: sqlite:///./.codex/archive.sqlite\nLog Level"), "{debug}");
}

#[test]
fn show_tells_secrets_in_debug_only() {
    let config = sources()
        .file("[backend]\nurl = \"postgres://u:canary@h/db\"\n[storage]\ndriver = \"object\"\nurl = \"s3://bucket\"")
        .load();
    let json = |reveal| {
        show::entries(&config, reveal).map(|entry| serde_json::to_string(&entry).expect("is JSON")).collect::<Vec<_>>()
    };
    for shown in [show::text(&config, Reveal::Redacted), json(Reveal::Redacted).join("\n"), format!("{config:?}")] {
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!(show::text(&config, Reveal::Whole).matches("canary").count(), 2);
    assert_eq!(json(Reveal::Whole).join("\n").matches("canary").count(), 1);
    assert_eq!(
        json(Reveal::Redacted)[1],
        r#"{"key":"backend.url","value":"postgres://u:***@h/db","origin":{"layer":"file","path":".codex/archive.toml","line":2,"column":1}}"#
    );
    assert_eq!(config.redactor().redact("login canary refused"), "login *** refused");
}

#[test]
fn no_secret_is_shown_wherever_it_was_put() {
    let misplaced = |secret: &str, key: &Key| {
        let layers = [
            sources().flag(key.name, secret),
            sources().variable(&key.variables()[0], secret),
            sources().file(&line(key, &format!("\"{secret}\""))),
            sources().git(&key.git_key(), secret),
        ];
        for sources in layers {
            let shown = match Config::load(&sources) {
                Ok((config, warnings)) => format!("{config:?} {warnings:?} {}", show::text(&config, Reveal::Redacted)),
                Err(errors) => format!("{:?} {errors:?}", messages(&errors)),
            };
            assert!(!shown.contains("canary"), "{}: {shown}", key.name);
        }
    };
    for key in KEYS.iter().filter(|key| key.kind != Kind::Path) {
        for secret in ["postgres://u:hunter2-canary@h/db", "u:hunter2-canary@h/db", "host=h password=hunter2-canary"] {
            misplaced(secret, key);
        }
    }
}

#[test]
fn paths_in_messages_are_quoted() {
    let error = ConfigError::Missing { path: Path::new("a\nb").to_owned() };
    assert_eq!(error.to_string(), "configuration file `\"a\\nb\"` does not exist");
}
