//! `batch-store`: archives what a manifest names.

use std::path::PathBuf;

use clap::Args;
use git_archive_tomb::manifest;
use git_archive_tomb::store::{PlanError, Planned, plan_rows};

use super::store::{ItemArguments, archive, prepare};
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::manifest::open_manifest;
use crate::cli::output::counted;
use crate::cli::session::Session;

/// Archive what a manifest names, each path as its row says
///
/// A row has a `path` (a file, a folder or a pathspec, as `store` takes them) and may have a `reason`, `tags` and
/// `metadata`: in JSON, JSON lines or CSV. The options say the same for all rows; a row's reason, and its value of a fact,
/// counts in their place, its tags beside them. All of it is one operation.
#[derive(Debug, Args)]
pub(crate) struct BatchStoreArguments {
    /// The manifest; `-` is standard input
    manifest: PathBuf,
    #[command(flatten)]
    items: ItemArguments,
    /// Archive what can be archived, and name the rest; otherwise one refused path refuses all
    #[arg(long)]
    continue_on_error: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &BatchStoreArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    prepare(session)?;
    let rows = manifest::read(open_manifest(&arguments.manifest, session)?)?.rows;
    let options = arguments.items.options(session)?;
    let carries_on = arguments.continue_on_error || session.config()?.batch.continue_on_error;
    let planned = plan_rows(&session.repository, rows, &options)?;
    if !carries_on {
        return archive(&planned.whole()?, arguments.items.dry_run, session);
    }
    let Planned { plan, refusals } = planned;
    let refused = refusals.len();
    // What would have been the error of it all.
    let told = CommandError::from(PlanError::Refused { refusals });
    told.causes.iter().for_each(|cause| session.output.warn(cause));
    told.hints.iter().for_each(|hint| session.output.hint(hint));
    let exit = archive(&plan, arguments.items.dry_run, session)?;
    if refused == 0 {
        return Ok(exit);
    }
    session.output.say(format_args!("left out {} that cannot be archived", counted(refused, "path")));
    Ok(Exit::Failed)
}
