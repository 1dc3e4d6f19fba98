//! `health-check`: reaches the archive.

use clap::Args;
use git_archive_tomb::archive::{Counts, Event, Examination, Pool, examine};
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::config::Config;
use git_archive_tomb::config::show::{self, Reveal};
use git_archive_tomb::evidence::record::{Action, Level, Record, Status};
use git_archive_tomb::id::OperationId;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Style, counted};
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
    /// The contents that were read, if that was asked for.
    examined: Option<Examination>,
}

/// Runs the command.
pub(crate) fn run(arguments: &HealthCheckArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let reveal = if session.global.debug { Reveal::Whole } else { Reveal::Redacted };
    let config = session.config()?;
    let (lines, url) = (opening_lines(config, reveal), show::url(config, reveal));
    let objects = config.storage.object_store.as_ref().map(ToString::to_string);
    let watch = Stopwatch::start();
    let mut record = Record::new(Action::HealthCheck, OperationId::generate(), Timestamp::now());
    record.actor = Some(session.actor(arguments.actor.by.as_deref())?);
    record.backend = Some(config.url.backend().as_str().to_owned());
    session.act(record.clone());
    let metrics = config.performance;
    let reached = session.pool().and_then(|pool| {
        let mut archive = pool.lend()?;
        archive.ping()?;
        let counts = archive.counts()?;
        drop(archive);
        let examined = if arguments.deep || arguments.sample.is_some() {
            Some(examine_with_bar(&pool, arguments.sample, session)?)
        } else {
            None
        };
        let damaged = examined.as_ref().map_or(0, |examined| examined.damaged.len());
        record.status = Some(Status::Done);
        if damaged > 0 {
            record.level = Level::Error;
            record.status = Some(Status::Failed);
            record.error = Some(format!("{} damaged", counted(damaged, "content")));
        }
        record.count = Some(counts.retrievable);
        record.duration_ms = metrics.total(watch.elapsed_ms());
        let event = Event::from_record(&record).map_err(|error| CommandError::from_error(Exit::Failed, &error))?;
        pool.lend()?.append_events(&[event])?;
        Ok(Found { counts, examined })
    });
    if let Err(error) = &reached {
        record.level = Level::Error;
        record.status = Some(Status::Failed);
        record.error = Some(talk::redacted(&error.summary()));
        record.duration_ms = metrics.total(watch.elapsed_ms());
    }
    session.record(&record, None)?;
    let output = &mut *session.output;
    match reached {
        Ok(Found { counts, examined }) => {
            let damaged = examined.as_ref().map_or(&[][..], |examined| &examined.damaged);
            for damage in damaged {
                let summary = CommandError::from_error(Exit::Integrity, &damage.error).summary();
                output.warn(format_args!("{} of {}: {summary}", damage.tombstone, damage.path));
            }
            if output.json {
                let mut view = serde_json::json!({
                    "backend": record.backend, "url": url, "status": if damaged.is_empty() { "ok" } else { "failed" },
                    "items": counts.items, "items_retrievable": counts.retrievable, "duration_ms": record.duration_ms,
                });
                if objects.is_some() {
                    view["objects"] = objects.into();
                }
                if let Some(examined) = &examined {
                    view["contents_read"] = examined.read.into();
                    view["contents_damaged"] = damaged.len().into();
                }
                output.object(&view)?;
            } else {
                output.line("=== Archive Health Check ===")?;
                output.line(lines.trim_end())?;
                let status = if damaged.is_empty() {
                    output.styled(Style::Good, "✓ OK")
                } else {
                    output.styled(Style::Error, "✗ FAILED")
                };
                output.line(format_args!("Status: {status}"))?;
                output.line(format_args!("Items Retrievable: {}", counts.retrievable))?;
                if let Some(examined) = &examined {
                    output.line(format_args!("Contents Read: {}", examined.read))?;
                }
            }
            if !damaged.is_empty() {
                return Err(CommandError::new(
                    Exit::Integrity,
                    format!("{} did not come out of the archive as they went in", counted(damaged.len(), "content")),
                )
                .hint("git's history may have them: `git archive-tomb restore --from history <tombstone>`"));
            }
        }
        Err(error) => {
            if output.json {
                output.object(&serde_json::json!({
                    "backend": record.backend, "url": url, "status": "failed", "error": record.error,
                    "duration_ms": record.duration_ms,
                }))?;
            } else {
                output.line("=== Archive Health Check ===")?;
                output.line(lines.trim_end())?;
                let bad = output.styled(Style::Error, "✗ FAILED");
                output.line(format_args!("Status: {bad}"))?;
            }
            return Err(error);
        }
    }
    Ok(Exit::Done)
}

/// Returns the lines that say which archive this is.
fn opening_lines(config: &Config, reveal: Reveal) -> String {
    let lines = show::backend_lines(config, reveal);
    match &config.storage.object_store {
        Some(objects) => format!("{lines}Objects: {objects}\n"),
        None => lines,
    }
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
