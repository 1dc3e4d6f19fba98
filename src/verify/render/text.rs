//! For people at a terminal.

use std::fmt::Write as _;

use crate::quote::quote;
use crate::verify::report::{Finding, Report, Severity};

/// Returns the findings, one paragraph each, and a summary as the last line.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        // Writing to a `String` cannot fail.
        let _ = write_finding(&mut text, finding);
    }
    let checked = report.checked;
    let _ = writeln!(
        text,
        "{}, {}; checked {}, {}, {}, {}",
        plural(report.count(Severity::Error) as u64, "error"),
        plural(report.count(Severity::Warning) as u64, "warning"),
        plural(checked.commits, "commit"),
        plural(checked.edges, "edge"),
        plural(checked.stubs, "stub"),
        plural(checked.evidence_files, "evidence file"),
    );
    text
}

fn write_finding(text: &mut String, finding: &Finding) -> std::fmt::Result {
    writeln!(text, "{}[{}]: {}", finding.severity, finding.rule, printable(&finding.reason))?;
    if let Some(path) = &finding.path {
        match finding.line {
            Some(line) => writeln!(text, "  at: {}:{line}", quote(path))?,
            None => writeln!(text, "  at: {}", quote(path))?,
        }
    }
    if let Some(commit) = finding.commit {
        writeln!(text, "  commit: {commit}")?;
    }
    if let Some(tombstone) = finding.tombstone {
        writeln!(text, "  tombstone: {tombstone}")?;
    }
    if let Some(record) = finding.record {
        writeln!(text, "  record: {record}")?;
    }
    if let Some(hint) = &finding.hint {
        writeln!(text, "  hint: {}", printable(hint))?;
    }
    Ok(())
}

/// Escapes control characters, should a reason hold any in spite of its quoting.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { printable.extend(character.escape_default()) } else { printable.push(character) }
    }
    printable
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
