//! For code-scanning services: SARIF 2.1.0 (OASIS standard).

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::verify::report::{Finding, Report, Rule};

/// Returns one SARIF log with one run.
pub fn sarif(report: &Report) -> String {
    let rules: Vec<Value> =
        Rule::ALL.iter().map(|rule| json!({"id": rule, "shortDescription": {"text": rule.description()}})).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "git-archive-tomb",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    });
    let mut text = serde_json::to_string_pretty(&log).expect("plain values serialize");
    text.push('\n');
    text
}

fn result(finding: &Finding) -> Value {
    let index = Rule::ALL.iter().position(|rule| *rule == finding.rule);
    let message = match &finding.hint {
        Some(hint) => format!("{}\nhint: {hint}", finding.reason),
        None => finding.reason.clone(),
    };
    let mut result = json!({
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": message},
    });
    if let Some(path) = &finding.path {
        let mut location = json!({"artifactLocation": {"uri": uri_reference(path)}});
        if let Some(line) = finding.line {
            location["region"] = json!({"startLine": line});
        }
        result["locations"] = json!([{"physicalLocation": location}]);
    }
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
