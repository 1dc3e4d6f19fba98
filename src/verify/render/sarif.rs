//! For code-scanning services: SARIF 2.1.0 (OASIS standard).
//!
//! Beyond what the standard asks for there is what those services want to show a result at all, and to know it again in the
//! next run: a location with a line, and a fingerprint.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::id::Sha256;
use crate::verify::report::{Finding, Report, Rule};

/// What artifact locations are relative to, by the name that the standard suggests.
const TOP: &str = "%SRCROOT%";

/// Where findings are that concern no file.
const WITHOUT_PATH: &[u8] = b".codex";

/// Returns one SARIF log with one run.
pub fn sarif(report: &Report) -> String {
    let mut repeats = HashMap::new();
    let results: Vec<Value> = report.findings.iter().map(|finding| result(finding, &mut repeats)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "git-archive-tomb",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": Rule::ALL.iter().map(|rule| describe(*rule)).collect::<Vec<_>>(),
            }},
            "invocations": [{"executionSuccessful": true}],
            "originalUriBaseIds": {TOP: {"description": {"text": "The top of the repository"}}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&log).expect("plain values serialize");
    text.push('\n');
    text
}

fn describe(rule: Rule) -> Value {
    json!({
        "id": rule,
        "shortDescription": {"text": rule.description()},
        "fullDescription": {"text": rule.description()},
        "help": {"text": rule.help()},
        "defaultConfiguration": {"level": rule.severity()},
    })
}

fn result(finding: &Finding, repeats: &mut HashMap<Sha256, u64>) -> Value {
    let index = Rule::ALL.iter().position(|rule| *rule == finding.rule);
    let message = match &finding.hint {
        Some(hint) => format!("{}\nhint: {hint}", finding.reason),
        None => finding.reason.clone(),
    };
    let path = finding.path.as_ref().map_or(WITHOUT_PATH, |path| path.as_slice());
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri_reference(path), "uriBaseId": TOP},
            "region": {"startLine": finding.line.unwrap_or(1)},
        }}],
        "partialFingerprints": {"gitArchiveTomb/v1": fingerprint(finding, repeats)},
    });
    let properties: Map<String, Value> = [
        ("tombstone", finding.tombstone.map(|id| id.to_string())),
        ("record", finding.record.map(|digest| digest.to_string())),
        ("commit", finding.commit.map(|id| id.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), Value::String(value?))))
    .collect();
    if !properties.is_empty() {
        result["properties"] = Value::Object(properties);
    }
    result
}

/// Returns what stays the same from run to run, also when the commit is rebased or the lines shift: a digest of what is wrong
/// with what, and for several of the same kind their number.
fn fingerprint(finding: &Finding, repeats: &mut HashMap<Sha256, u64>) -> String {
    let tombstone = finding.tombstone.map(|tombstone| tombstone.to_string()).unwrap_or_default();
    let path = finding.path.as_ref().map_or(&[][..], |path| path.as_slice());
    let digest = Sha256::of(&[finding.rule.as_str().as_bytes(), path, tombstone.as_bytes()].join(&0));
    let number = repeats.entry(digest).or_default();
    *number += 1;
    format!("{}:{number}", digest.short())
}

/// Returns the path as a relative URI reference (RFC 3986): all but unreserved characters and `/` percent-encoded.
fn uri_reference(path: &[u8]) -> String {
    let mut reference = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            reference.push(char::from(*byte));
        } else {
            let _ = write!(reference, "%{byte:02X}");
        }
    }
    reference
}
