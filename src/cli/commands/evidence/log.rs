//! `evidence log`: the records of the operations log.

use clap::Args;
use git_archive_tomb::evidence::log::{Filter, ProblemKind, records};
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::id::{OperationId, Tombstone};

use super::super::show::summary;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::when::parse_when;

#[derive(Debug, Args)]
pub(super) struct LogArguments {
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

pub(super) fn log(arguments: &LogArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
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
