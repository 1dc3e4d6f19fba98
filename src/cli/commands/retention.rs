//! `retention`: what may be destroyed by now, or soon, as far as its date goes.

use std::ops::ControlFlow;

use clap::Args;
use git_archive_tomb::archive::{Query, StoredItem};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::governance::due::{DueDate, Horizon, SOON};
use git_archive_tomb::item::Date;
use git_archive_tomb::quote::quote;
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Style, counted};
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

/// How many items may be destroyed by their dates, now and soon.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DueItems {
    due: usize,
    near: usize,
}

impl DueItems {
    /// Counts an item, if its date has come or is near.
    pub(crate) fn count(&mut self, horizon: &Horizon, stored: &StoredItem) {
        match horizon.due(stored) {
            Some(due) if due.has_come => self.due += 1,
            Some(_) => self.near += 1,
            None => {}
        }
    }

    /// Warns of them, if there are any. `of` says which items they are.
    pub(crate) fn warn(self, of: &str, output: &Output) {
        let (due, near) = (counted(self.due, "item"), counted(self.near, "item"));
        let what = match (self.due, self.near) {
            (0, 0) => return,
            (_, 0) => format!("{due}{of} may be destroyed by now"),
            (0, _) => format!("{near}{of} may be destroyed within {SOON} days"),
            (_, more) => format!("{due}{of} may be destroyed by now, and {more} more within {SOON} days"),
        };
        output.warn(format_args!("{what}: `git archive-tomb retention` lists what is due"));
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &RetentionArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let today = Date(Timestamp::now().date());
    let horizon = Horizon { today, until: parse_day("--within", &arguments.within, today)? };
    let mut archive = session.archive()?;
    let query = Query { origin: Some(session.known_origin()?), ..Query::default() };
    let mut found: Vec<(DueDate, StoredItem)> = Vec::new();
    archive.list(&query, &mut |stored| {
        found.extend(horizon.due(&stored).map(|due| (due, stored)));
        ControlFlow::Continue(())
    })?;
    // The listing's order stays among those of one day.
    found.sort_by_key(|(due, _)| due.date);
    let output = &mut *session.output;
    for (DueDate { date, has_come }, stored) in &found {
        if output.json {
            output.object(&RetentionView { due: *has_come, item: ItemView::from(stored) })?;
            continue;
        }
        let item = &stored.item;
        let tombstone = output.styled(Style::Warning, item.tombstone);
        let repo = quote(item.repo.as_bytes());
        let when = if *has_come { output.styled(Style::Bold, "due ") } else { "near".to_owned() };
        let held = if item.legal_hold { "  [held]" } else { "" };
        output.line(format_args!("{date}  {when}  {tombstone}  {repo}:{}{held}", item.path))?;
    }
    let due = found.iter().filter(|(due, _)| due.has_come).count();
    let near = found.len() - due;
    output.say(format_args!("{} due, {near} more until {}", counted(due, "item"), horizon.until));
    Ok(Exit::Done)
}
