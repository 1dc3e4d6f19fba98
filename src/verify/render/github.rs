//! For GitHub: workflow commands that annotate files of a pull request.

use std::fmt::Write as _;

use crate::quote::quote;
use crate::verify::report::{Report, Severity};

/// Returns one `::error …::…` or `::warning …::…` line per finding.
///
/// The escaping is that of the runner's own toolkit (`escapeData` and `escapeProperty`). A path that is not UTF-8, for
/// which an annotation has no form, is given quoted in the message instead of as `file`.
pub fn github(report: &Report) -> String {
    let mut lines = String::new();
    for finding in &report.findings {
        lines.push_str(match finding.severity {
            Severity::Error => "::error ",
            Severity::Warning => "::warning ",
        });
        let mut message = String::new();
        if let Some(path) = &finding.path {
            if let Ok(path) = std::str::from_utf8(path) {
                let _ = write!(lines, "file={},", escape_property(path));
                if let Some(line) = finding.line {
                    let _ = write!(lines, "line={line},");
                }
            } else {
                let _ = write!(message, "{}: ", quote(path));
            }
        }
        message.push_str(&finding.reason);
        if let Some(tombstone) = finding.tombstone {
            let _ = write!(message, " (tombstone {tombstone})");
        }
        if let Some(record) = finding.record {
            let _ = write!(message, " (record {record})");
        }
        if let Some(commit) = finding.commit {
            let _ = write!(message, " (commit {commit})");
        }
        if let Some(hint) = &finding.hint {
            let _ = write!(message, "\nhint: {hint}");
        }
        let _ = writeln!(lines, "title={}::{}", finding.rule, escape_data(&message));
    }
    lines
}

/// Escapes a message. Control characters other than line ends are dropped: no log viewer needs them.
fn escape_data(text: &str) -> String {
    let kept = text.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\r'));
    kept.collect::<String>().replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property.
fn escape_property(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '%' | ':' | ',' | '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(escaped, "%{:02X}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}
