//! For programs: one object per line.

use serde::Serialize;

use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::JsonPath;
use crate::verify::report::{Finding, Report, Rule, Severity};

/// A finding as JSON carries it; the order of the fields is the order of the keys.
#[derive(Serialize)]
struct JsonFinding<'a> {
    rule: Rule,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<Tombstone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<ObjectId>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> From<&'a Finding> for JsonFinding<'a> {
    fn from(finding: &'a Finding) -> Self {
        let json = finding.path.as_deref().map(|path| JsonPath::from_bytes(path)).unwrap_or_default();
        Self {
            rule: finding.rule,
            severity: finding.severity,
            path: json.path,
            path_b64: json.path_b64,
            line: finding.line,
            tombstone: finding.tombstone,
            record: finding.record,
            commit: finding.commit,
            reason: &finding.reason,
            hint: finding.hint.as_deref(),
        }
    }
}

/// Returns one line of JSON per finding; nothing for a report without findings.
pub fn json(report: &Report) -> String {
    let mut lines = String::new();
    for finding in &report.findings {
        lines.push_str(&serde_json::to_string(&JsonFinding::from(finding)).expect("plain values serialize"));
        lines.push('\n');
    }
    lines
}
