//! `evidence verify`: whether the evidence files of the index are whole.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use git_archive_tomb::causes::in_one_line;
use git_archive_tomb::evidence::check::Checker;
use git_archive_tomb::evidence::digest::{Known, Mismatch, Quoted, quoted};
use git_archive_tomb::quote::printable;
use git_archive_tomb::review::missing;
use serde::Serialize;

use super::evidence_files;
use super::signed::{self, SignedArguments};
use crate::cli::commands::verify::parse_range;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::{Session, shown};

/// The longest text with quoted digests that is read, in bytes.
const MAX_QUOTED: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// Also compare with the digests quoted in this file, such as a pull request's text
    #[arg(long, value_name = "FILE")]
    digests: Option<PathBuf>,
    /// Also look for the evidence that commit messages quote, of all commits or of those reachable from B and not from A
    #[arg(long, value_name = "A..B", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    trailers: Option<String>,
    /// Take evidence that names unknown predecessors for an error
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    signed: SignedArguments,
}

/// What `evidence verify` found, in JSON as in text.
#[derive(Serialize)]
pub(super) struct Finding {
    pub(super) severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    pub(super) message: String,
}

pub(super) fn verify(arguments: &VerifyArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let objects = session.repository.fetching_objects();
    let mut checker = Checker::default();
    let mut known = Known::default();
    let mut findings = Vec::new();
    let mut lines = 0;
    let files = evidence_files(session)?;
    for entry in &files {
        let file = checker.file(&entry.path, objects.open_blob(&entry.entry.id)?, |line| {
            lines += 1;
            known.add_entry(&line);
        });
        match &file.outcome {
            Ok(facts) => known.add_file(facts),
            Err(error) => {
                let file = Some(entry.path.to_string());
                findings.push(Finding { severity: "error", file, message: in_one_line(error) });
            }
        }
    }
    let integrity = checker.finish();
    for unresolved in &integrity.unresolved {
        findings.push(Finding {
            severity: if arguments.strict { "error" } else { "warning" },
            file: Some(unresolved.path.to_string()),
            message: format!("names {} as its predecessor, which is not here", unresolved.digest),
        });
    }
    if let Some(file) = &arguments.digests {
        let quoted = read_quoted(file, session)?;
        if quoted.is_empty() {
            // Not a pass that looks like one.
            session.output.warn(format_args!("{} quotes no digest", shown(file)));
        }
        for mismatch in known.compare(&quoted) {
            let (quoted, what) = match mismatch {
                Mismatch::Missing(quoted) => (quoted, "is quoted, and no evidence here has it".to_owned()),
                Mismatch::OtherItem { quoted, found } => {
                    (quoted, format!("is quoted for another item; it is of {found}"))
                }
                Mismatch::OtherPath { quoted, found } => {
                    (quoted, format!("is quoted for another path; it is of {found}"))
                }
            };
            let message = format!("{}, line {}: {} {what}", shown(file), quoted.line, quoted.digest);
            findings.push(Finding { severity: "error", file: None, message });
        }
    }
    if let Some(range) = &arguments.trailers {
        check_trailers(range, session, &mut findings)?;
    }
    signed::check(&arguments.signed, &integrity, arguments.strict, &mut findings, session)?;
    for finding in &findings {
        if session.output.json {
            session.output.object(finding)?;
        } else {
            let file = finding.file.as_ref().map_or_else(String::new, |file| format!("{file}: "));
            session.output.line(printable(&format!("{}: {file}{}", finding.severity, finding.message)))?;
        }
    }
    let errors = findings.iter().filter(|finding| finding.severity == "error").count();
    let warnings = findings.iter().filter(|finding| finding.severity == "warning").count();
    let (files, lines) = (counted(files.len(), "evidence file"), counted(lines, "record"));
    if errors == 0 {
        let also = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
        session.output.say(format_args!("{files} with {lines}: all whole{also}"));
        Ok(Exit::Done)
    } else {
        session.output.say(format_args!("{files} with {lines}: {}", counted(errors, "error")));
        Ok(Exit::Failed)
    }
}

/// Looks for the evidence that commit messages quote: in the index, or where a range is given at its end.
fn check_trailers(range: &str, session: &Session<'_>, findings: &mut Vec<Finding>) -> Result<(), CommandError> {
    let repository = &session.repository;
    let missing = if range.is_empty() {
        let Some(head) = repository.head()?.commit() else { return Ok(()) };
        missing(repository, &head, &[], false)?
    } else {
        let (from, to) = parse_range(range, repository)?;
        missing(repository, &to, &[from], true)?
    };
    let mut error = |message| findings.push(Finding { severity: "error", file: None, message });
    for (commit, digest) in missing.digests {
        error(format!("commit {commit} says that it brought evidence {digest}, which is not here any more"));
    }
    if missing.is_incomplete {
        error("messages of commits that are not in this clone were not read; `git fetch --unshallow`".to_owned());
    }
    let quoted = counted(missing.quoted, "evidence file");
    session.output.say(format_args!("commit messages quote {quoted}"));
    Ok(())
}

fn read_quoted(file: &Path, session: &Session<'_>) -> Result<Vec<Quoted>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Usage, format!("cannot read {}", shown(file))).caused_by(error.to_string())
    };
    let mut text = Vec::new();
    let source = File::open(session.directory().join(file)).map_err(failed)?;
    source.take(MAX_QUOTED).read_to_end(&mut text).map_err(failed)?;
    Ok(quoted(&text))
}
