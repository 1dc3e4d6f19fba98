//! The samples in `fixtures/evidence/` and the JSON Schema, against the code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::format::{EvidenceFile, EvidenceFileName, FileError};
use super::record::{Action, Level, Record, Source, Status};
use super::testing::record_with_every_key;

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/evidence").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("lists the samples") {
            let path = entry.expect("lists the samples").path();
            if path.is_dir() { folders.push(path) } else { paths.push(path) }
        }
    }
    paths.sort();
    paths
}

fn parse(path: &Path) -> Result<EvidenceFile, FileError> {
    let name = path.file_name().expect("is a file").as_encoded_bytes();
    let name = EvidenceFileName::parse(name).expect("samples have valid names");
    EvidenceFile::parse(&name, &std::fs::read(path).expect("reads the sample"))
}

#[test]
fn valid_samples_are_valid() {
    let samples = fixtures("valid");
    assert!(samples.len() >= 8);
    for path in samples {
        parse(&path).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
    }
}

#[test]
fn newer_samples_are_newer_and_not_broken() {
    for path in fixtures("newer") {
        assert!(matches!(parse(&path), Err(FileError::Newer { .. })), "{}", path.display());
    }
}

#[test]
fn invalid_samples_are_refused_for_their_damage() {
    let mut told = String::new();
    for path in fixtures("invalid") {
        let error = parse(&path).expect_err(&path.display().to_string());
        let damage = path.parent().and_then(Path::file_name).expect("is in a folder");
        // The error itself names a file by its digest; its place and its causes are what matters here.
        let place = match &error {
            FileError::Line { number, .. } => format!("line {number}"),
            FileError::Digest { .. } => "digest".to_owned(),
            FileError::Count { stated, found, .. } => format!("count {stated} of {found}"),
            other => format!("{other:?}").split(' ').next().unwrap_or_default().to_owned(),
        };
        let _ = write!(told, "{}: {place}", damage.display());
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let _ = write!(told, ": {error}");
            cause = error.source();
        }
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

/// The keys of a JSON object in their order.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeysVisitor;

        impl<'de> Visitor<'de> for KeysVisitor {
            type Value = Keys;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }

        deserializer.deserialize_map(KeysVisitor)
    }
}

const SCHEMA: &str = include_str!("../../schemas/json/archive-evidence-1.schema.json");
const DOCUMENT: &str = include_str!("../../docs/evidence.md");

#[test]
fn the_schema_lists_the_keys_of_a_record_in_their_order() {
    #[derive(Deserialize)]
    struct Schema {
        properties: Keys,
    }

    let record = serde_json::to_string(&record_with_every_key()).expect("serializes");
    let Keys(keys) = serde_json::from_str(&record).expect("is an object");
    let schema: Schema = serde_json::from_str(SCHEMA).expect("is a schema");
    assert_eq!(schema.properties.0, keys);
    assert_eq!(keys.len(), 42);

    // The table of keys in the documentation is the same list.
    let documented: Vec<&str> = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("| key |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(documented, keys);
}

#[test]
fn the_schema_lists_the_values_of_each_enumeration() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("is JSON");
    let listed = |key: &str| schema["properties"][key]["enum"].clone();
    assert_eq!(listed("action"), serde_json::json!(Action::ALL));
    assert_eq!(listed("level"), serde_json::json!(Level::ALL));
    assert_eq!(listed("status"), serde_json::json!(Status::ALL));
    assert_eq!(listed("source"), serde_json::json!(Source::ALL));
    assert_eq!(listed("mode"), serde_json::json!(crate::item::FileMode::ALL));
    assert_eq!(listed("kind"), serde_json::json!(crate::item::Kind::ALL));
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
}

#[test]
fn a_sample_has_every_key() {
    let path = &fixtures("valid/every-key")[0];
    let record = parse(path).expect("is valid").entries.remove(0).record;
    let line = record.to_line().expect("makes a line");
    let Keys(keys) = serde_json::from_str(&line).expect("is an object");
    // All but `path_b64`, which excludes `path`.
    assert_eq!(keys.len(), 41);
    assert_eq!(Record::parse_line(line.as_bytes()).expect("is a record"), record);
}

#[test]
fn the_worked_example_of_the_documentation_is_true() {
    for path in fixtures("valid/two-branches-merged") {
        let file = parse(&path).expect("is valid");
        for digest in std::iter::once(&file.facts.sha256).chain(&file.facts.prev) {
            assert!(DOCUMENT.contains(&digest.to_string()), "{} has {digest}", path.display());
        }
    }
    let first = &fixtures("valid/two-branches-merged")[0];
    let text = std::fs::read_to_string(first).expect("reads the sample");
    assert!(DOCUMENT.contains(&text));
    let entry = &parse(first).expect("is valid").entries[0];
    assert!(DOCUMENT.contains(&entry.digest.to_string()));
}
