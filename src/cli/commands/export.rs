//! `export`: the archive as plain files.

use std::io;
use std::path::PathBuf;

use clap::Args;
use git_archive_tomb::archive::Query;
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::evidence::record::{Action, Level, Record, Status};
use git_archive_tomb::export::{Exported, Facts, FactsError, export, facts};
use git_archive_tomb::id::OperationId;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{counted, human_size};
use crate::cli::progress::Progress;
use crate::cli::session::{Session, shown};
use crate::cli::talk;

/// Write everything in the archive as plain files
///
/// `zstd`, `sha256sum` and a shell get the files out again. Two archives that hold the same have exports of the same digest.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The folder to make
    #[arg(required_unless_present = "digest")]
    dir: Option<PathBuf>,
    /// Only print the digest that an export would have; write nothing
    #[arg(long, conflicts_with = "dir")]
    digest: bool,
    #[command(flatten)]
    actor: crate::cli::arguments::ActorArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &ExportArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let Some(dir) = &arguments.dir else { return print_digest(session) };
    let place = session.directory().join(dir);
    let watch = Stopwatch::start();
    let mut record = Record::new(Action::Export, OperationId::generate(), Timestamp::now());
    record.actor = Some(session.actor(arguments.actor.by.as_deref())?);
    record.backend = Some(session.config()?.url.backend().as_str().to_owned());
    record.output = Some(shown(dir));
    session.act(record.clone());
    let exported = write(&place, arguments.actor.by.as_deref(), session);
    record.duration_ms = session.config()?.performance.total(watch.elapsed_ms());
    match &exported {
        Ok(exported) => {
            record.status = Some(Status::Done);
            record.sha256 = Some(exported.facts.digest());
            record.count = Some(exported.facts.items);
        }
        Err(error) => {
            record.level = Level::Error;
            record.status = Some(Status::Failed);
            record.error = Some(talk::redacted(&error.summary()));
        }
    }
    // Not among the archive's events: no two exports of one archive would be equal.
    session.record(&record, None)?;
    let Exported { facts, contents, bytes } = exported?;
    let digest = facts.digest();
    let output = &mut *session.output;
    if output.json {
        output.object(&serde_json::json!({
            "output": shown(dir), "digest": digest, "items": facts.items, "contents": contents, "size_bytes": bytes,
            "events": facts.events,
        }))?;
    } else {
        output.line(format_args!("{digest}  {}", shown(dir)))?;
        output.say(format_args!("exported {}, {} of contents", summary(&facts), human_size(bytes)));
    }
    Ok(Exit::Done)
}

fn write(place: &std::path::Path, by: Option<&str>, session: &Session<'_>) -> Result<Exported, CommandError> {
    let mut archive = session.archive()?;
    session.clear_listed(&mut *archive, &Query::default(), "export", by)?;
    let bar = Progress::bytes("exporting", archive.counts()?.artifact_bytes, session.output.quiet);
    Ok(export(&mut *archive, place, session.config()?.storage.level, &mut |bytes| bar.set(bytes))?)
}

/// Returns how much there is, for people.
pub(crate) fn summary(facts: &Facts) -> String {
    let count = |number: u64, noun| counted(usize::try_from(number).unwrap_or(usize::MAX), noun);
    format!("{} and {}", count(facts.items, "item"), count(facts.events, "event"))
}

fn print_digest(session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive()?;
    let said = facts(&mut *archive, &mut io::sink(), &mut io::sink(), &mut |_| Ok(()));
    let facts = said.map_err(|error| match error {
        FactsError::Archive(error) => error.into(),
        error @ FactsError::Write(_) => CommandError::from_error(Exit::Failed, &error),
    })?;
    let digest = facts.digest();
    if session.output.json {
        session.output.object(&serde_json::json!({
            "digest": digest, "items": facts.items, "events": facts.events,
        }))?;
    } else {
        session.output.line(digest)?;
    }
    Ok(Exit::Done)
}
