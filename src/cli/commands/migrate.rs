//! `migrate`: the archive moves to another database.

use std::io::Read as _;

use clap::Args;
use git_archive_tomb::archive::{ArchiveError, Change, Counts, Event, Location, ObjectsError, OpenMode};
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::config::{ArchiveUrl, StoreUrl, expand};
use git_archive_tomb::evidence::record::{Action, Level, Record, Status};
use git_archive_tomb::export::Facts;
use git_archive_tomb::id::OperationId;
use git_archive_tomb::migrate::{Archives, MigrateError, Migrated, Progress as Step, Purges, migrate};
use git_archive_tomb::redact::Redactor;

use super::export::summary;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::progress::Progress;
use crate::cli::session::{Session, object_place, shown_location, store_secrets};
use crate::cli::talk;

/// The longest URL that is taken, in bytes: the record that names it has to stay short.
const LONGEST_URL: usize = 4 * 1024;

/// Copy the archive to another database, and mark the old one as superseded
///
/// Everything is compared and read back before the old archive stops taking changes. Run again after a stop, the same
/// command goes on where it was.
#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// The URL of the new archive; `${VAR}` in it is the environment's value, and `-` reads it from standard input
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    to: String,
    /// Keep the bytes of the new archive in the object store at this URL, not in its database
    #[arg(long, value_name = "URL")]
    storage: Option<String>,
    #[command(flatten)]
    actor: crate::cli::arguments::ActorArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &MigrateArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let url = target_url(&arguments.to)?;
    let storage = arguments.storage.as_deref().map(StoreUrl::parse).transpose();
    let storage = storage.map_err(|error| CommandError::from_error(Exit::Usage, &error))?;
    let mut redactor = Redactor::new();
    redactor.add_url(url.as_secret());
    if storage.is_some() {
        store_secrets().for_each(|secret| redactor.add_secret(&secret));
    }
    talk::hide(redactor);
    let target = Target { location: session.location_of(&url), storage };
    let watch = Stopwatch::start();
    let mut record = Record::new(Action::Migrate, OperationId::generate(), Timestamp::now());
    record.actor = Some(session.actor(arguments.actor.by.as_deref())?);
    record.backend = Some(url.backend().as_str().to_owned());
    record.output = Some(url.to_string());
    session.act(record.clone());
    match copy(&target, &record, &watch, session) {
        Ok((from, to, migrated)) => {
            if let Some(event) = &migrated.event {
                session.log_event(event)?;
            }
            report(session, &target, &from, &to, &migrated)?;
            Ok(Exit::Done)
        }
        Err(error) => {
            record.level = Level::Error;
            record.status = Some(Status::Failed);
            record.error = Some(talk::redacted(&error.summary()));
            record.duration_ms = session.config()?.performance.total(watch.elapsed_ms());
            session.record(&record, None)?;
            Err(error)
        }
    }
}

/// Returns the URL that the argument means. It is not in an error's text unless its secrets are hidden.
fn target_url(argument: &str) -> Result<ArchiveUrl, CommandError> {
    let usage = |error: &dyn std::error::Error| CommandError::from_error(Exit::Usage, error);
    let text = if argument == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LONGEST_URL as u64 + 1).read_to_string(&mut text);
        read.map_err(|error| {
            CommandError::new(Exit::Usage, "cannot read the URL from standard input").caused_by(error.to_string())
        })?;
        // What a shell or a secret store prints ends with a newline.
        text.trim_end_matches(['\n', '\r']).to_owned()
    } else {
        expand(argument, |name| std::env::var(name).ok()).map_err(|error| usage(&error))?
    };
    if text.len() > LONGEST_URL {
        return Err(CommandError::new(Exit::Usage, "the URL is longer than 4 KiB"));
    }
    ArchiveUrl::parse(&text).map_err(|error| usage(&error))
}

/// Where the new archive is.
struct Target {
    location: Location,
    /// Where the bytes of its blocks are; `None`: in its database.
    storage: Option<StoreUrl>,
}

/// Copies the archive, and returns the ids of both.
fn copy(
    target: &Target,
    record: &Record,
    watch: &Stopwatch,
    session: &Session<'_>,
) -> Result<(String, String, Migrated), CommandError> {
    if target.location == session.archive_location()? {
        return Err(MigrateError::Same.into());
    }
    let mut source = session.open_archive(OpenMode::Existing)?;
    // Before the copy comes to be. A source that is marked already needs no further mark.
    if source.superseded_by()?.is_none() {
        source.check_change(Change::Supersede).map_err(MigrateError::Source)?;
    }
    let mut lock = session.open_archive(OpenMode::Existing)?;
    let storage = target.storage.as_ref();
    let objects = storage.map(object_place);
    look(target, source.id(), session)?;
    let opened = session.open_with(&target.location, objects.as_ref(), OpenMode::CreateOrMigrate)?;
    let mut target = opened.map_err(MigrateError::Target)?;
    let purges = Purges::of(&session.repository)?;
    for file in &purges.broken {
        session.output.warn(format_args!("{file} is no intact evidence: what it says of purges is not known"));
    }
    let (from, to) = (source.id().to_owned(), target.id().to_owned());
    let counts = source.counts()?;
    let metrics = session.config()?.performance;
    let mut make_event = |facts: &Facts| {
        let mut record = record.clone();
        record.ts = Timestamp::now();
        record.status = Some(Status::Done);
        record.count = Some(facts.items);
        record.sha256 = Some(facts.digest());
        record.metadata = [("from".to_owned(), from.clone()), ("to".to_owned(), to.clone())].into();
        record.metadata.extend(storage.map(|storage| ("storage".to_owned(), storage.to_string())));
        record.duration_ms = metrics.total(watch.elapsed_ms());
        Event::from_record(&record).expect("an actor, a URL of 4 KiB and two ids are short")
    };
    let quiet = session.output.quiet;
    let mut bar = Progress::bytes("copying", counts.artifact_bytes, quiet);
    let mut stage = Stage::Contents;
    let mut progress = |step| {
        let (now, done) = match step {
            Step::Contents(bytes) => (Stage::Contents, bytes),
            Step::Items(items) => (Stage::Items, items),
            Step::Events(events) => (Stage::Events, events),
            Step::Comparing => (Stage::Comparing, 0),
        };
        if now != stage {
            stage = now;
            bar = match now {
                Stage::Contents => Progress::bytes("copying", counts.artifact_bytes, quiet),
                Stage::Items => Progress::count("copying items", counts.items, quiet),
                Stage::Events => Progress::count("copying events", counts.events, quiet),
                Stage::Comparing => Progress::count("comparing", counts.items, quiet),
            };
        }
        bar.set(done);
    };
    let archives = Archives { source: &mut *source, lock: &mut *lock, target: &mut *target };
    let migrated = migrate(archives, &purges, &mut make_event, &mut progress)?;
    Ok((from, to, migrated))
}

/// Fails where opening the target to copy archive `of` there would change an archive that is to be left alone: it would be
/// brought up to date, or get an object store.
fn look(target: &Target, of: &str, session: &Session<'_>) -> Result<(), CommandError> {
    let mut found = match session.open_with(&target.location, None, OpenMode::Existing)? {
        Ok(found) => found,
        // The one has nothing to change yet, the other nothing any more.
        Err(ArchiveError::Missing { .. } | ArchiveError::Objects(ObjectsError::NotConfigured)) => return Ok(()),
        Err(error) => return Err(MigrateError::Target(error).into()),
    };
    if found.id() == of {
        return Err(MigrateError::Same.into());
    }
    let has_more = |counts: Counts| counts.artifacts + counts.stored_bytes + counts.events > 0;
    let is_another = match found.superseded_by() {
        Ok(Some(by)) => by != of,
        // That it holds something is said by whoever begins to copy; here it has to be said before it gets a store.
        Ok(None) => target.storage.is_some() && has_more(found.counts().map_err(MigrateError::Target)?),
        Err(error) => return Err(MigrateError::Target(error).into()),
    };
    if is_another { Err(MigrateError::Target(ArchiveError::NotACopy { of: of.to_owned() }).into()) } else { Ok(()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Contents,
    Items,
    Events,
    Comparing,
}

fn report(
    session: &mut Session<'_>,
    target: &Target,
    from: &str,
    to: &str,
    migrated: &Migrated,
) -> Result<(), CommandError> {
    let facts = &migrated.facts;
    let place = shown_location(&target.location);
    let from_objects = session.config()?.storage.object_store.is_some();
    let output = &mut *session.output;
    if output.json {
        let status = if migrated.event.is_some() { "migrated" } else { "already-migrated" };
        output.object(&serde_json::json!({
            "status": status, "from": from, "to": to, "url": place, "items": facts.items, "events": facts.events,
            "digest": facts.digest(), "storage": target.storage.as_ref().map(ToString::to_string),
        }))?;
    } else {
        let verb = if migrated.event.is_some() { "Migrated" } else { "Already migrated:" };
        output.line(format_args!("{verb} {} to {place}", summary(facts)))?;
        output.line(format_args!("From archive: {from}"))?;
        output.line(format_args!("To archive: {to}"))?;
        if let Some(storage) = &target.storage {
            output.line(format_args!("Objects: {storage}"))?;
        }
        output.line(format_args!("Digest: {}", facts.digest()))?;
    }
    output.hint("use the new archive from now on: put its URL into `backend.url`, in every clone");
    match &target.storage {
        Some(storage) => {
            output.hint(format_args!("and `storage.driver = \"object\"` with `storage.url = \"{storage}\"`"));
        }
        None if from_objects => {
            output.hint("and `storage.driver = \"db\"`: its bytes are in its database");
        }
        None => {}
    }
    output.hint("`git archive-tomb config-show` says where that is set; the old archive takes no changes any more");
    Ok(())
}
