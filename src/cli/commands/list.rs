//! `list`: finds items in the archive.

use std::io::Write;
use std::ops::ControlFlow;

use clap::Args;
use git_archive_tomb::archive::Query;
use git_archive_tomb::governance::due::Horizon;
use git_archive_tomb::quote::quote;

use super::retention::DueItems;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::filter::FilterArguments;
use crate::cli::output::{Style, human_size, output_error};
use crate::cli::session::Session;
use crate::cli::view::ItemView;

/// List archived items, newest first
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filter: FilterArguments,
    /// At most so many items
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End each item with NUL and quote nothing: `<tombstone> <size> <archived-at> <reason> <repo> <path>`
    #[arg(short = 'z')]
    nul: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: ListArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let query = Query { limit: arguments.limit, ..arguments.filter.into_query(session)? };
    let mut archive = session.archive()?;
    let output = &mut *session.output;
    let (mut printed, mut due, horizon) = (Ok(()), DueItems::default(), Horizon::now());
    archive.list(&query, &mut |stored| {
        let item = &stored.item;
        due.count(&horizon, &stored);
        printed = if output.json {
            output.object(&ItemView::from(&stored))
        } else if arguments.nul {
            let fields =
                format!("{}\t{}\t{}\t{}\t{}\t", item.tombstone, item.size, item.archived_at, item.reason, item.repo);
            let mut record = fields.into_bytes();
            record.extend_from_slice(item.path.as_bytes());
            record.push(0);
            output.raw().write_all(&record).map_err(|error| output_error(&error))
        } else {
            let tombstone = output.styled(Style::Warning, item.tombstone);
            let date = item.archived_at.date();
            let size = human_size(item.size);
            let repo = quote(item.repo.as_bytes());
            let marks = if stored.purged_at.is_some() {
                "  [purged]"
            } else if item.legal_hold {
                "  [held]"
            } else {
                ""
            };
            output
                .line(format_args!("{tombstone}  {date}  {size:>10}  {:<8}  {repo}:{}{marks}", item.reason, item.path))
        };
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed?;
    due.warn("", session.output);
    Ok(Exit::Done)
}
