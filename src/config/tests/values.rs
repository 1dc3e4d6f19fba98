//! What values may be, and what is made of them.

use super::*;

#[test]
fn every_value_out_of_range_is_an_error_in_every_layer() {
    for key in KEYS {
        let bad: &[&str] = match key.kind {
            Kind::Boolean => &["maybe", "2", "truee"],
            Kind::Integer(0, _) => &["-1", "9223372036854775808", "1.5", "x", "1e3", "0x1"],
            Kind::Integer(..) => &["0", "-1", "1000001", "x", "9999999999999999999999"],
            Kind::Seconds(..) | Kind::Number(..) => &["-1", "86401", "inf", "nan", "x"],
            Kind::Duration => {
                &["30", "d", "-1d", "0d", "3651d", "1.5d", "30 d", "+3d", "99999999999999999999d", "1y", "é"]
            }
            Kind::Choice(..) => &["nonsense", "INFO", ""],
            Kind::Path => &["a\0b"],
            Kind::ArchiveUrl => {
                &["nonsense", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a/", "sqlite:///a?b"]
            }
            Kind::StoreUrl => &["nonsense"],
        };
        for text in bad {
            let in_git = sources().git(&key.git_key(), text);
            let in_flag = sources().flag(key.name, text);
            let quoted = serde_json::Value::from(*text).to_string();
            let in_file = sources().file(&line(key, &quoted));
            for sources in [in_git, in_flag, in_file] {
                let errors = sources.errors();
                let names_key = errors[0].contains(key.name) || errors[0].contains("unsupported archive backend");
                assert!(errors.len() == 1 && names_key, "{} = {text}: {errors:?}", key.name);
            }
            if !text.is_empty() {
                assert_eq!(sources().variable(&key.variables()[0], text).errors().len(), 1, "{} = {text}", key.name);
            }
        }
    }
}

#[test]
fn toml_types_are_strict() {
    for (text, message) in [
        ("[retry]\nenabled = \"true\"", "`retry.enabled` takes true or false, found a string"),
        ("[retry]\nenabled = 1", "`retry.enabled` takes true or false, found an integer"),
        ("[retry]\nmax_attempts = 3.0", "`retry.max_attempts` takes an integer from 1 to 10, found a float"),
        ("[retry]\nmax_attempts = 11", "`retry.max_attempts` takes an integer from 1 to 10, found `11`"),
        ("[retry]\ninitial_delay = inf", "`retry.initial_delay` takes seconds from 0 to 3600, found `inf`"),
        (
            "[retry]\nseed = 99999999999999999999",
            "`retry.seed` takes an integer from 0 to 9223372036854775807, found `too large`",
        ),
        ("[logging]\nlevel = 2020-01-01", "`logging.level` takes one of trace, debug, info, warn, error, found a date"),
        ("[logging]\nfile = [\"a\"]", "`logging.file` takes a path, found an array"),
        ("[backend]\ntype = \"oracle\"", "unsupported archive backend `oracle`, expected sqlite, postgres or mariadb"),
    ] {
        assert_eq!(sources().file(text).errors(), [format!("`.codex/archive.toml:2:1`: {message}")]);
    }
    let _ = sources().file("[retry]\nmax_attempts = 0x0a\ninitial_delay = 2").load();
}

#[test]
fn broken_toml_is_an_error_that_quotes_nothing() {
    for text in [
        "[backend]\nurl = \"postgres://u:canary@h/db",
        "[backend\nurl = canary",
        "url = 'a' canary",
        "a = 1\na = canary",
        "canary",
    ] {
        let errors = sources().file(text).errors();
        assert!(
            errors.iter().all(|error| error.starts_with("`.codex/archive.toml:") && !error.contains("canary")),
            "{errors:?}"
        );
    }
    assert_eq!(sources().file("[stub]\nstyle = \"loud\"\nstyle = \"auto\"").errors().len(), 1);
    let deep = format!("a = {}", "[".repeat(500_000));
    assert!(!sources().file(&deep).errors().is_empty());
    let deep = format!("{}x = 1", "a.".repeat(100_000));
    assert!(!sources().file(&deep).errors().is_empty());
}

#[test]
fn sqlite_urls_lead_to_places() {
    let place = |text: &str| ArchiveUrl::parse(text).expect("is valid").place().cloned();
    for text in [
        "sqlite:///./.codex/archive.sqlite",
        "sqlite:///.codex/archive.sqlite",
        "sqlite+pysqlite:///././.codex/archive.sqlite",
    ] {
        assert_eq!(place(text), Some(Place::Default), "{text}");
    }
    assert_eq!(place("sqlite:////srv/a b.sqlite"), Some(Place::Path("/srv/a b.sqlite".into())));
    assert_eq!(place("sqlite:///sub/.codex/archive.sqlite"), Some(Place::Path("sub/.codex/archive.sqlite".into())));
    assert_eq!(place("postgres://h/db"), None);
    assert_eq!(
        ArchiveUrl::parse("mongodb://h/db").expect_err("is unsupported").to_string(),
        "unsupported archive backend `mongodb`, expected sqlite, postgres or mariadb"
    );
}

#[test]
fn the_place_of_the_operations_log_follows_file_and_folder() {
    let place = |sources: &Sources| sources.load().logging.evidence_file;
    assert_eq!(place(&sources().variable("CODEX_EVIDENCE_DIR", ".codex/evidence/")), Place::Default);
    assert_eq!(place(&sources().file("[logging]\nevidence_file = \"\"")), Place::Default);
    let beats_file = sources().variable("CODEX_EVIDENCE_DIR", "/var/e").file("[logging]\nevidence_file = \"b\"");
    assert_eq!(place(&beats_file), Place::Path("/var/e/archive_ops.jsonl".into()));
}

#[test]
fn variables_are_expanded_in_the_file_and_in_url_flags_only() {
    let path = |sources: &Sources| sources.load().logging.file;
    let home = sources().variable("HOME", "/home/a");
    assert_eq!(path(&home.clone().file("[logging]\nfile = \"${HOME}/log\"")), Some("/home/a/log".into()));
    assert_eq!(path(&home.clone().file("[logging]\nfile = \"$${HOME}/$log\"")), Some("${HOME}/$log".into()));
    assert_eq!(path(&home.clone().git("archivetomb.logging.file", "${HOME}/log")), Some("${HOME}/log".into()));
    assert_eq!(path(&home.clone().variable("CODEX_ARCHIVE_LOGGING_FILE", "${HOME}/log")), Some("${HOME}/log".into()));
    assert_eq!(path(&home.clone().flag("logging.file", "${HOME}/log")), Some("${HOME}/log".into()));
    assert_eq!(home.flag("backend.url", "sqlite:///${HOME}/a").load().url.expose(), "sqlite:////home/a/a");
    assert_eq!(
        sources().file("[logging]\nfile = \"${HOME}/log\"").errors(),
        ["`.codex/archive.toml:2:1`: `logging.file` cannot be expanded: environment variable `HOME` is not set"]
    );
    assert_eq!(sources().flag("backend.url", "postgres://u:${PW@h/d").errors().len(), 1);
}

#[test]
fn a_mistake_shows_the_variable_and_not_what_it_holds() {
    let errors =
        sources().variable("PW", "canary").file("[logging]\nlevel = \"${PW}\"\n[backend]\ntype = \"${PW}\"").errors();
    let level =
        "`.codex/archive.toml:2:1`: `logging.level` takes one of trace, debug, info, warn, error, found `${PW}`";
    let kind = "`.codex/archive.toml:4:1`: unsupported archive backend `${PW}`, expected sqlite, postgres or mariadb";
    assert_eq!(errors, [level, kind]);
}

#[test]
fn an_object_store_needs_its_url() {
    let store = |text: &str| sources().file(text).load().storage.object_store.map(|url| url.to_string());
    let errors = sources().file("[storage]\ndriver = \"object\"").errors();
    assert_eq!(errors, ["`.codex/archive.toml:2:1`: `storage.driver` is object, which needs a `storage.url`"]);
    assert_eq!(store("[storage]\nurl = \"s3://bucket\""), None);
    assert_eq!(store("[storage]\ndriver = \"object\"\nurl = \"s3://bucket/a/\"").as_deref(), Some("s3://bucket/a/"));
}

#[test]
fn the_url_of_an_object_store_names_a_place_and_nothing_else() {
    let place = |text: &str| StoreUrl::parse(text).map(|url| url.place().clone());
    let bucket = |name: &str, prefix: &str| Ok(StorePlace::Bucket { name: name.to_owned(), prefix: prefix.to_owned() });
    assert_eq!(place("s3://a-b.c"), bucket("a-b.c", ""));
    assert_eq!(place("s3://bucket/"), bucket("bucket", ""));
    assert_eq!(place("s3://bucket/team/tomb_1/"), bucket("bucket", "team/tomb_1"));
    assert_eq!(place("file:///srv/über alles"), Ok(StorePlace::Folder("/srv/über alles".into())));
    let long = format!("s3://bucket/{}", "x".repeat(513));
    for text in [
        "s3:",
        "s3://",
        "s3://b",
        "s3:///prefix",
        "s3://.hidden",
        "s3://bucket//x",
        "s3://bucket/x//",
        "s3://bucket/../x",
        "s3://bucket/./x",
        "s3://bucket/a b",
        "s3://bucket/%2e%2e/x",
        "s3://bucket?region=x",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
        "s3://bucket\n",
        "S3://bucket",
        "https://bucket.s3.amazonaws.com",
        "file://relative",
        "file://host/path",
        "file:///a?b",
        "file:///a%20b",
        "file:///a\n",
        "/srv/tomb",
        long.as_str(),
    ] {
        assert!(matches!(place(text), Err(UrlError::Store { .. })), "{text}");
    }
    for text in ["s3://key:canary@bucket/x", "s3://key:canary@/x", "file://u:canary@h/x"] {
        let error = place(text).expect_err("has a login").to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn durations_have_one_unit() {
    for (text, seconds) in
        [("1s", 1), ("2m", 120), ("36h", 129_600), ("30d", 2_592_000), ("1w", 604_800), ("3650d", 315_360_000)]
    {
        assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
        assert_eq!(parse_duration(&format_duration(Duration::from_secs(seconds))), Some(Duration::from_secs(seconds)));
    }
}
