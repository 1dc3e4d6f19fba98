//! `health-check`: reaches the archive.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use clap::Args;
use git_archive_tomb::archive::{Counts, Damage, Event, Examination, Pool, Query, examine};
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::config::Config;
use git_archive_tomb::config::show::{self, Reveal};
use git_archive_tomb::evidence::record::{Action, Level, Record, Status};
use git_archive_tomb::governance::due::Horizon;
use git_archive_tomb::id::OperationId;

use super::retention::DueItems;
use crate::cli::convert::from_history;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Style, counted};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::talk;

/// Reach the archive and count what can be restored
#[derive(Debug, Args)]
pub(crate) struct HealthCheckArguments {
    #[command(flatten)]
    actor: crate::cli::arguments::ActorArguments,
    /// Also read and hash everything in it
    #[arg(long)]
    deep: bool,
    /// Also read and hash N contents, chosen at random
    #[arg(long, value_name = "N", conflicts_with = "deep")]
    sample: Option<usize>,
}

/// What was found in the archive.
struct Found {
    counts: Counts,
    /// How many items may be destroyed by their date.
    due: DueItems,
    /// The contents that were read, if that was asked for.
    examined: Option<Examination>,
}

impl Found {
    fn damaged(&self) -> &[Damage] {
        self.examined.as_ref().map_or(&[], |examined| &examined.damaged)
    }
}

/// Where the archive is, as people may see it.
struct Place {
    url: String,
    objects: Option<String>,
    lines: String,
}

impl Place {
    fn of(config: &Config, reveal: Reveal) -> Self {
        let objects = config.storage.object_store.as_ref().map(ToString::to_string);
        let mut lines = show::backend_lines(config, reveal);
        if let Some(objects) = &objects {
            let _ = writeln!(lines, "Objects: {objects}");
        }
        Self { url: show::url(config, reveal), objects, lines }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &HealthCheckArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let reveal = if session.global.debug { Reveal::Whole } else { Reveal::Redacted };
    let config = session.config()?;
    let (place, metrics) = (Place::of(config, reveal), config.performance);
    let watch = Stopwatch::start();
    let mut record = Record::new(Action::HealthCheck, OperationId::generate(), Timestamp::now());
    record.actor = Some(session.actor(arguments.actor.by.as_deref())?);
    record.backend = Some(config.url.backend().as_str().to_owned());
    session.act(record.clone());
    let reached = session.pool().and_then(|pool| {
        let found = look(&pool, arguments, session)?;
        record.status = Some(Status::Done);
        let damaged = found.damaged().len();
        if damaged > 0 {
            record.level = Level::Error;
            record.status = Some(Status::Failed);
            record.error = Some(format!("{} damaged", counted(damaged, "content")));
        }
        record.count = Some(found.counts.retrievable);
        record.duration_ms = metrics.total(watch.elapsed_ms());
        let event = Event::from_record(&record).map_err(|error| CommandError::from_error(Exit::Failed, &error))?;
        pool.lend()?.append_events(&[event])?;
        Ok(found)
    });
    if let Err(error) = &reached {
        record.level = Level::Error;
        record.status = Some(Status::Failed);
        record.error = Some(talk::redacted(&error.summary()));
        record.duration_ms = metrics.total(watch.elapsed_ms());
    }
    session.record(&record, None)?;
    tell(&place, &record, reached.as_ref().ok(), session.output)?;
    let found = reached?;
    let damaged = found.damaged();
    let Some(first) = damaged.first() else { return Ok(Exit::Done) };
    let what = counted(damaged.len(), "content");
    Err(CommandError::new(Exit::Integrity, format!("{what} did not come out of the archive as they went in"))
        .hint(from_history(&first.tombstone, &first.path, damaged.len())))
}

/// Reaches the archive, and reads what is asked for.
fn look(pool: &Pool<'_>, arguments: &HealthCheckArguments, session: &Session<'_>) -> Result<Found, CommandError> {
    let mut archive = pool.lend()?;
    archive.ping()?;
    let counts = archive.counts()?;
    let (mut due, horizon) = (DueItems::default(), Horizon::now());
    archive.list(&Query::default(), &mut |stored| {
        due.count(&horizon, &stored);
        ControlFlow::Continue(())
    })?;
    drop(archive);
    let examined = if arguments.deep || arguments.sample.is_some() {
        Some(examine_with_bar(pool, arguments.sample, session)?)
    } else {
        None
    };
    Ok(Found { counts, due, examined })
}

/// Prints what was found; `None` if the archive was not reached.
fn tell(place: &Place, record: &Record, found: Option<&Found>, output: &mut Output) -> Result<(), CommandError> {
    for damage in found.map_or(&[][..], Found::damaged) {
        let summary = CommandError::from_error(Exit::Integrity, &damage.error).summary();
        output.warn(format_args!("{} of {}: {summary}", damage.tombstone, damage.path));
    }
    found.map(|found| found.due).unwrap_or_default().warn("", output);
    let good = record.status == Some(Status::Done);
    if output.json {
        let status = if good { "ok" } else { "failed" };
        let mut view = serde_json::json!({ "backend": record.backend, "url": place.url, "status": status });
        match found {
            Some(Found { counts, .. }) => {
                view["items"] = counts.items.into();
                view["items_retrievable"] = counts.retrievable.into();
            }
            None => view["error"] = record.error.clone().into(),
        }
        view["duration_ms"] = record.duration_ms.into();
        if let Some(objects) = &place.objects {
            view["objects"] = objects.as_str().into();
        }
        if let Some(examined) = found.and_then(|found| found.examined.as_ref()) {
            view["contents_read"] = examined.read.into();
            view["contents_damaged"] = examined.damaged.len().into();
        }
        return output.object(&view);
    }
    output.line("=== Archive Health Check ===")?;
    output.line(place.lines.trim_end())?;
    let status = if good { output.styled(Style::Good, "✓ OK") } else { output.styled(Style::Error, "✗ FAILED") };
    output.line(format_args!("Status: {status}"))?;
    if let Some(Found { counts, examined, .. }) = found {
        output.line(format_args!("Items Retrievable: {}", counts.retrievable))?;
        if let Some(examined) = examined {
            output.line(format_args!("Contents Read: {}", examined.read))?;
        }
    }
    Ok(())
}

/// Reads and hashes contents, with a bar on a terminal.
fn examine_with_bar(
    pool: &Pool<'_>,
    sample: Option<usize>,
    session: &Session<'_>,
) -> Result<Examination, CommandError> {
    let origin = session.known_origin()?;
    let mut bar = None;
    let examination = examine(pool, &origin, sample, &mut |done, total| {
        let bar = bar.get_or_insert_with(|| Progress::count("reading", total as u64, session.output.quiet));
        bar.set(done as u64);
    })?;
    Ok(examination)
}
