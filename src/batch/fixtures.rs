//! The samples in `fixtures/batch/` and the JSON Schema, against the code.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ItemResult, RestoreRow, Results, RowStatus};
use crate::id::Sha256;
use crate::manifest::{self, Row};

const SCHEMA: &str = include_str!("../../schemas/json/archive-batch-restore-1.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("is JSON")
}

fn samples(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/batch").join(folder);
    let entries = std::fs::read_dir(folder).expect("lists the samples");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("lists the samples").path()).collect();
    paths.sort();
    paths
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("reads the sample")).expect("is JSON")
}

/// Returns the rows that a sample repeats, as the manifest had them.
fn rows(sample: &Value) -> Vec<Row<RestoreRow>> {
    let items = sample["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<_> = items.iter().map(|item| &item["item"]).collect();
    let text = serde_json::to_string(&rows).expect("is JSON");
    manifest::read_all(text.as_bytes()).expect("are rows").0.rows
}

fn read(path: &Path) -> Option<Results> {
    let sample = json(path);
    let digest: Sha256 = sample["manifest_sha256"].as_str()?.to_lowercase().parse().ok()?;
    Results::read(path, &digest, &rows(&sample)).ok()
}

/// Returns whether `value` is as `schema` wants it: the part of JSON Schema that ours uses, and no more.
fn fits(schema: &Value, value: &Value, root: &Value) -> bool {
    schema.as_object().expect("a schema is an object").iter().all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "$id" | "title" | "description" | "$defs" => true,
        "$ref" => {
            let name = wanted.as_str().and_then(|reference| reference.strip_prefix("#")).expect("is a reference");
            fits(root.pointer(name).expect("is defined"), value, root)
        }
        "type" => match wanted.as_str().expect("is a name") {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        },
        "const" => value == wanted,
        "enum" => wanted.as_array().expect("is a list").contains(value),
        "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
        "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().expect("is text"), text)),
        "anyOf" => wanted.as_array().expect("is a list").iter().any(|schema| fits(schema, value, root)),
        "required" => value.as_object().is_none_or(|object| {
            wanted
                .as_array()
                .expect("is a list")
                .iter()
                .all(|name| object.contains_key(name.as_str().expect("is text")))
        }),
        "additionalProperties" => {
            assert_eq!(wanted, &Value::Bool(false));
            let known = schema["properties"].as_object().expect("is an object");
            value.as_object().is_none_or(|object| object.keys().all(|name| known.contains_key(name)))
        }
        "properties" => wanted
            .as_object()
            .expect("is an object")
            .iter()
            .all(|(name, schema)| value.get(name).is_none_or(|value| fits(schema, value, root))),
        "items" => value.as_array().is_none_or(|list| list.iter().all(|value| fits(wanted, value, root))),
        other => panic!("{other}"),
    })
}

/// Matches the few forms of patterns that the schema has: characters and sets, each perhaps with a number.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).expect("is for the whole");
    let (mut rest, mut text) = (pattern, text.chars());
    while let Some(first) = rest.chars().next() {
        let (set, after) = match first {
            '[' => rest.split_once(']').expect("is closed"),
            '\\' => rest[1..].split_at(1),
            _ => rest.split_at(1),
        };
        let is_set = first == '[';
        let (count, after) = match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            Some((count, after)) => (count.parse().expect("is a number"), after),
            None => (1, after),
        };
        for _ in 0..count {
            let fits = text.next().is_some_and(|character| match set {
                "[0-9" => character.is_ascii_digit(),
                "[0-9a-f" => character.is_ascii_digit() || ('a'..='f').contains(&character),
                set if !is_set => set.starts_with(character),
                other => panic!("{other}"),
            });
            if !fits {
                return false;
            }
        }
        rest = after;
    }
    text.next().is_none()
}

#[test]
fn valid_samples_are_read_and_fit_the_schema() {
    for path in samples("valid") {
        assert!(fits(&schema(), &json(&path), &schema()), "{}", path.display());
        let results = read(&path).unwrap_or_else(|| panic!("{}", path.display()));
        // What is written again is the same.
        let again = tempfile::tempdir().expect("makes a folder");
        let file = super::ResultsFile::create_in(again.path(), &results).expect("writes");
        assert_eq!(json(file.path()), json(&path), "{}", path.display());
    }
}

#[test]
fn invalid_samples_are_refused_by_both() {
    let samples = samples("invalid");
    assert!(samples.len() > 10);
    for path in samples {
        assert!(!fits(&schema(), &json(&path), &schema()), "{} fits the schema", path.display());
        assert!(read(&path).is_none(), "{} is read", path.display());
    }
}

#[test]
fn the_schema_knows_every_status() {
    let known: Vec<_> = RowStatus::ALL.iter().map(|status| Value::from(status.as_str())).collect();
    assert_eq!(schema()["$defs"]["item"]["properties"]["status"]["enum"], Value::from(known));
}

#[test]
fn results_of_rows_not_tried_yet_fit_the_schema() {
    let text = r#"[{"tombstone": "8e3531b9-c839-5a07-9dec-507c36136eb1", "output": "a\u0007\"b"}]"#;
    let manifest = manifest::read::<RestoreRow>(text.as_bytes()).expect("is right");
    let op = "0199f1a2-0000-7000-8000-000000000000".parse().expect("is an id");
    let mut results = Results::begin(op, manifest.sha256, &manifest.rows);
    let folder = tempfile::tempdir().expect("makes a folder");
    let write = |results: &Results| {
        let path = folder.path().join("results.json");
        let file = super::ResultsFile::resumed(&path);
        file.write(results).expect("writes");
        assert!(fits(&schema(), &json(&path), &schema()));
        let read = Results::read(&path, &manifest.sha256, &manifest.rows).expect("reads");
        assert_eq!(read, *results);
    };
    write(&results);
    results.items[0] = ItemResult {
        status: RowStatus::Failed,
        duration_ms: Some(1.125),
        attempts: 3,
        error: Some("\u{1b}[31m".to_owned()),
        ..results.items[0].clone()
    };
    write(&results);
    assert_eq!((results.first_undone(), results.summary().failed), (Some(1), 1));
}
