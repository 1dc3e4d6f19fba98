//! `evidence log`: the records of the operations log.

use clap::Args;
use git_archive_tomb::archive::{ArchiveError, OpenMode};
use git_archive_tomb::evidence::format::Entry;
use git_archive_tomb::evidence::log::{Filter, LineProblem, ProblemKind, records};
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::governance::ledger::Told;
use git_archive_tomb::governance::story::Story;
use git_archive_tomb::id::{OperationId, Tombstone};
use git_archive_tomb::quote::quote;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::story::{Witness, although_purged, warn_unreadable};
use crate::cli::when::parse_when;

#[derive(Debug, Args)]
pub(super) struct LogArguments {
    /// Only records of this item, with those that the archive and the evidence of all references have
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

pub(super) fn log(arguments: &LogArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let filter = Filter {
        tombstone: arguments.tombstone,
        actions: arguments.actions.clone(),
        op: arguments.op,
        since: arguments.since.as_deref().map(|text| parse_when("--since", text)).transpose()?,
        until: arguments.until.as_deref().map(|text| parse_when("--until", text)).transpose()?,
        path: arguments.path.as_ref().map(|path| path.trim_end_matches('/').as_bytes().to_vec()),
    };
    if let Some(tombstone) = arguments.tombstone {
        return item(&tombstone, &filter, session);
    }
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
            Err(problem) => damaged |= is_damage(&problem, session),
        }
    }
    Ok(if damaged { Exit::Failed } else { Exit::Done })
}

/// Prints the records of one item, from wherever there are any.
fn item(tombstone: &Tombstone, filter: &Filter, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let (mut logged, mut damaged) = (Vec::new(), false);
    for entry in records(&session.operations_log()?)?.into_iter().flatten() {
        match entry {
            Ok(Entry { record, digest, .. }) if filter.matches(&record) => {
                logged.push(Told { record, digest, in_archive: false, file: None });
            }
            Ok(_) => {}
            Err(problem) => damaged |= is_damage(&problem, session),
        }
    }
    let mut archive = match session.try_open_archive(OpenMode::Existing)? {
        Ok(archive) => Some(archive),
        Err(ArchiveError::Missing { .. }) => None,
        // The log is here, whatever became of the archive.
        Err(error) => {
            session
                .output
                .warn(format_args!("what the archive tells is missing: {}", CommandError::from(error).summary()));
            None
        }
    };
    let story = Story::of(&session.repository, tombstone, archive.as_deref_mut(), logged)?;
    warn_unreadable(&story, session.output);
    let witness = Witness::new(session)?;
    for told in story.told.iter().filter(|told| filter.matches(&told.record)) {
        if session.output.json {
            session.output.object(&witness.view(told)?)?;
        } else {
            for line in witness.lines(told, false)? {
                session.output.line(line)?;
            }
        }
    }
    Ok(if damaged || !story.unreadable.is_empty() { Exit::Failed } else { Exit::Done })
}

/// Tells of a line that is no record; returns whether that is damage.
fn is_damage(problem: &LineProblem, session: &Session<'_>) -> bool {
    session.output.warn(format_args!("{problem}"));
    // A torn line is what a power cut leaves, and the next command has closed it off.
    !matches!(problem.kind, ProblemKind::Torn)
}

/// Returns a record in a line for people.
fn summary(record: &Record) -> String {
    let mut text = format!("{}  {:<17}", record.ts, record.action);
    let mut add = |part: &str| {
        text.push(' ');
        text.push_str(part);
    };
    if let Some(status) = record.status {
        add(status.as_str());
    }
    if let Some(tombstone) = record.tombstone {
        add(&tombstone.to_string());
    }
    if let Some(path) = record.repo_path() {
        add(&path.to_string());
    }
    for (name, value) in
        [("by", &record.actor), ("to", &record.output), ("because", &record.reason), ("error:", &record.error)]
    {
        if let Some(value) = value {
            add(name);
            add(&quote(value.as_bytes()));
        }
    }
    if let Some(although) = although_purged(record) {
        add(&although);
    }
    text
}
