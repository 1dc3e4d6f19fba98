//! `evidence`: the records, their digests, and whether they are whole.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::PathBuf;

use bstr::BString;
use clap::{Args, Subcommand};
use git_archive_tomb::causes::in_one_line;
use git_archive_tomb::evidence::check::Checker;
use git_archive_tomb::evidence::digest::{Known, LineDigest, Mismatch, quoted};
use git_archive_tomb::evidence::format::{EvidenceFileName, MAX_FILE_LENGTH, read};
use git_archive_tomb::evidence::log::{Filter, ProblemKind, records};
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::git::IndexEntry;
use git_archive_tomb::id::{OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{JsonPath, RepoPath};
use git_archive_tomb::places;
use serde::Serialize;

use super::show::summary;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{counted, output_error};
use crate::cli::session::{Session, shown};
use crate::cli::view::PathView;
use crate::cli::when::parse_when;

/// The longest text with quoted digests that is read, in bytes.
const MAX_QUOTED: u64 = 64 << 20;

/// Show records and their digests, or check that they are whole
#[derive(Debug, Args)]
pub(crate) struct EvidenceArguments {
    #[command(subcommand)]
    command: EvidenceCommand,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Print the records of the operations log, oldest first
    Log(LogArguments),
    /// Print the digest of each line of evidence in the index, for a pull request
    ///
    /// `grep TOMBSTONE FILE | sha256sum` gives the same digest.
    Digest(DigestArguments),
    /// Check that the evidence files of the index are whole
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
struct LogArguments {
    /// Only records of this item
    #[arg(long)]
    tombstone: Option<Tombstone>,
    /// Only records of this action, such as ARCHIVE; may be repeated
    #[arg(long = "action", value_name = "ACTION")]
    actions: Vec<Action>,
    /// Only records of this operation
    #[arg(long)]
    op: Option<OperationId>,
    /// Only records made then or later: a date, a time, or days ago such as `30d`
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only records made then or earlier
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only records of this path, or of what is below this folder
    #[arg(long)]
    path: Option<String>,
}

#[derive(Debug, Args)]
struct DigestArguments {
    /// Only lines of these items
    tombstones: Vec<Tombstone>,
    /// Only lines of evidence that is staged and not yet in HEAD
    #[arg(long)]
    staged: bool,
    /// End each line with NUL and quote nothing: `<digest> <tombstone> <path>`, an absent part being `-`
    #[arg(short = 'z')]
    nul: bool,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// Also compare with the digests quoted in this file, such as a pull request's text
    #[arg(long, value_name = "FILE")]
    digests: Option<PathBuf>,
    /// Take evidence that names unknown predecessors for an error
    #[arg(long)]
    strict: bool,
}

/// The digest of a line in JSON.
#[derive(Serialize)]
struct DigestView {
    sha256: Sha256,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<Tombstone>,
    #[serde(flatten)]
    path: Option<PathView>,
    file: String,
}

/// Runs the command.
pub(crate) fn run(arguments: &EvidenceArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    match &arguments.command {
        EvidenceCommand::Log(arguments) => log(arguments, session),
        EvidenceCommand::Digest(arguments) => digest(arguments, session),
        EvidenceCommand::Verify(arguments) => verify(arguments, session),
    }
}

fn log(arguments: &LogArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let filter = Filter {
        tombstone: arguments.tombstone,
        actions: arguments.actions.clone(),
        op: arguments.op,
        since: arguments.since.as_deref().map(|text| parse_when("--since", text)).transpose()?,
        until: arguments.until.as_deref().map(|text| parse_when("--until", text)).transpose()?,
        path: arguments.path.as_ref().map(|path| path.trim_end_matches('/').as_bytes().to_vec()),
    };
    let path = session.operations_log()?;
    let Some(records) = records(&path)? else {
        session.output.say("there is no operations log yet");
        return Ok(Exit::Done);
    };
    let mut damaged = false;
    for entry in records {
        match entry {
            Ok(entry) if filter.matches(&entry.record) => {
                if session.output.json {
                    session.output.object(&entry.record)?;
                } else {
                    session.output.line(summary(&entry.record))?;
                }
            }
            Ok(_) => {}
            Err(problem) => {
                // A torn line is what a power cut leaves, and the next command has closed it off.
                damaged |= !matches!(problem.kind, ProblemKind::Torn);
                session.output.warn(format_args!("{problem}"));
            }
        }
    }
    Ok(if damaged { Exit::Failed } else { Exit::Done })
}

fn digest(arguments: &DigestArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut files = evidence_files(session)?;
    if arguments.staged {
        let head = session.repository.head()?.commit();
        let staged: Vec<_> =
            session.repository.index_changes(head.as_ref())?.changes.into_iter().map(|change| change.path).collect();
        files.retain(|entry| staged.contains(&entry.path));
    }
    let objects = session.repository.fetching_objects();
    for entry in files {
        let Ok(name) = EvidenceFileName::parse_path(&entry.path) else { continue };
        let mut lines = Vec::new();
        let facts = read(&name, objects.open_blob(&entry.entry.id)?, |line| {
            let wanted = arguments.tombstones.is_empty()
                || line.record.tombstone.is_some_and(|tombstone| arguments.tombstones.contains(&tombstone));
            if wanted {
                lines.push(LineDigest::from(&line));
            }
        });
        // The records count only once the whole file is known to be intact.
        facts.map_err(|error| {
            CommandError::from_error(Exit::Failed, &error)
                .caused_by(format!("in {}", entry.path))
                .hint("`git archive-tomb evidence verify` tells more")
        })?;
        for line in lines {
            if session.output.json {
                let path = line.path.map(|path| JsonPath::from(&path).into());
                let file = entry.path.to_string();
                let view = DigestView { sha256: line.digest, tombstone: line.tombstone, path, file };
                session.output.object(&view)?;
            } else if arguments.nul {
                let tombstone = line.tombstone.map_or_else(|| "-".to_owned(), |tombstone| tombstone.to_string());
                let mut record = format!("{} {tombstone} ", line.digest).into_bytes();
                record.extend_from_slice(line.path.as_ref().map_or(b"-", RepoPath::as_bytes));
                record.push(0);
                session.output.raw().write_all(&record).map_err(|error| output_error(&error))?;
            } else {
                session.output.line(line)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// What `evidence verify` found, in JSON as in text.
#[derive(Serialize)]
struct Finding {
    severity: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    message: String,
}

fn verify(arguments: &VerifyArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
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
    for unresolved in checker.finish().unresolved {
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
    for finding in &findings {
        if session.output.json {
            session.output.object(finding)?;
        } else {
            let file = finding.file.as_ref().map_or_else(String::new, |file| format!("{file}: "));
            session.output.line(format_args!("{}: {file}{}", finding.severity, finding.message))?;
        }
    }
    let errors = findings.iter().filter(|finding| finding.severity == "error").count();
    let warnings = findings.len() - errors;
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

fn read_quoted(
    file: &std::path::Path,
    session: &Session<'_>,
) -> Result<Vec<git_archive_tomb::evidence::digest::Quoted>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Usage, format!("cannot read {}", shown(file))).caused_by(error.to_string())
    };
    let mut text = Vec::new();
    let source = File::open(session.directory().join(file)).map_err(failed)?;
    source.take(MAX_QUOTED).read_to_end(&mut text).map_err(failed)?;
    Ok(quoted(&text))
}

/// Returns the evidence files of the index, in the order of their names, which is that of time.
fn evidence_files(session: &Session<'_>) -> Result<Vec<IndexEntry>, CommandError> {
    let folder = BString::from(format!(":(top,literal){}", places::EVIDENCE));
    let objects = session.repository.objects();
    let mut entries = session.repository.tracked_entries(&[folder])?;
    entries.retain(|entry| entry.stage == 0);
    for entry in &entries {
        let (_, size) = objects.header(&entry.entry.id)?;
        if size > MAX_FILE_LENGTH {
            return Err(CommandError::new(Exit::Failed, format!("{} is larger than any evidence file", entry.path)));
        }
    }
    Ok(entries)
}
