//! `retention`: what may be destroyed by now, or soon, as far as its date goes.

use std::ops::ControlFlow;

use clap::Args;
use git_archive_tomb::archive::{Query, StoredItem};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::item::Date;
use git_archive_tomb::quote::quote;
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Style, counted};
use crate::cli::session::Session;
use crate::cli::view::ItemView;
use crate::cli::when::parse_day;

/// List items that may be destroyed by their date, or soon
///
/// Nothing is destroyed because of a date: a purge still takes a request and two persons' approvals.
#[derive(Debug, Args)]
pub(crate) struct RetentionArguments {
    /// How near: a date, or days from today such as `30d`
    #[arg(long, value_name = "DATE|DAYS", default_value = "30d")]
    within: String,
}

/// One line of the results.
#[derive(Serialize)]
struct RetentionView<'a> {
    due: bool,
    #[serde(flatten)]
    item: ItemView<'a>,
}

/// Runs the command.
pub(crate) fn run(arguments: &RetentionArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let today = Date(Timestamp::now().date());
    let until = parse_day("--within", &arguments.within, today)?;
    let mut archive = session.archive()?;
    let query = Query { origin: Some(session.known_origin()?), ..Query::default() };
    let mut found: Vec<(Date, StoredItem)> = Vec::new();
    archive.list(&query, &mut |stored| {
        let date = stored.item.delete_after.filter(|date| date.0 <= until.0 && stored.purged_at.is_none());
        found.extend(date.map(|date| (date, stored)));
        ControlFlow::Continue(())
    })?;
    // The listing's order stays among those of one day.
    found.sort_by_key(|(date, _)| date.0);
    let output = &mut *session.output;
    for (date, stored) in &found {
        let due = date.0 <= today.0;
        if output.json {
            output.object(&RetentionView { due, item: ItemView::from(stored) })?;
            continue;
        }
        let item = &stored.item;
        let tombstone = output.styled(Style::Warning, item.tombstone);
        let repo = quote(item.repo.as_bytes());
        let when = if due { output.styled(Style::Bold, "due ") } else { "near".to_owned() };
        let held = if item.legal_hold { "  [held]" } else { "" };
        output.line(format_args!("{date}  {when}  {tombstone}  {repo}:{}{held}", item.path))?;
    }
    let due = found.iter().filter(|(date, _)| date.0 <= today.0).count();
    let near = found.len() - due;
    output.say(format_args!("{} due, {near} more until {until}", counted(due, "item")));
    Ok(Exit::Done)
}
