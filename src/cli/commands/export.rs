//! `export`: the archive as plain files.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use clap::Args;
use git_archive_tomb::archive::{AnyArchive, Query};
use git_archive_tomb::clock::{Stopwatch, Timestamp};
use git_archive_tomb::evidence::record::{Action, Level, Record, Status};
use git_archive_tomb::export::{Exported, Facts, FactsError, export, facts};
use git_archive_tomb::git::ObjectKind;
use git_archive_tomb::id::OperationId;
use git_archive_tomb::proof::{Proof, Proved, Subject};
use git_archive_tomb::quote::shell;
use git_archive_tomb::restore::{Located, StubPlace};
use git_archive_tomb::stub::MAX_RAW_LENGTH;
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{counted, human_size};
use crate::cli::progress::Progress;
use crate::cli::session::{Session, shown};
use crate::cli::signing::known_signers;
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
    #[arg(long, conflicts_with_all = ["dir", "proof"])]
    digest: bool,
    /// Write what an auditor checks offline about this item (a tombstone, or the path of a stub): no bytes, but all evidence
    /// with what was signed
    #[arg(long, value_name = "TARGET", requires = "dir")]
    proof: Option<OsString>,
    #[command(flatten)]
    actor: crate::cli::arguments::ActorArguments,
}

/// Runs the command.
pub(crate) fn run(arguments: &ExportArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let Some(dir) = &arguments.dir else { return print_digest(session) };
    let place = session.directory().join(dir);
    if let Some(target) = &arguments.proof {
        return prove(target, dir, &place, arguments, session);
    }
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

/// Writes the proof of an item, which needs no archive.
fn prove(
    target: &OsStr,
    dir: &Path,
    place: &Path,
    arguments: &ExportArguments,
    session: &mut Session<'_>,
) -> Result<Exit, CommandError> {
    let mut record = Record::new(Action::Export, OperationId::generate(), Timestamp::now());
    record.actor = Some(session.actor(arguments.actor.by.as_deref())?);
    record.output = Some(shown(dir));
    let mut archive = session.archive_if_any()?;
    let located = session.locate_one(archive.as_deref_mut(), target)?;
    record.repo = Some(located.wanted.repo.clone());
    record.set_path(&located.wanted.path);
    record.tombstone = Some(located.wanted.tombstone);
    let proved = write_proof(&located, archive.as_deref_mut(), place, session);
    record.status = Some(if proved.is_ok() { Status::Done } else { Status::Failed });
    if let Err(error) = &proved {
        record.level = Level::Error;
        record.error = Some(talk::redacted(&error.summary()));
    }
    session.record(&record, None)?;
    print_proved(&proved?, dir, session)?;
    Ok(Exit::Done)
}

fn write_proof(
    located: &Located,
    archive: Option<&mut AnyArchive>,
    place: &Path,
    session: &Session<'_>,
) -> Result<Proved, CommandError> {
    let wanted = &located.wanted;
    let objects = session.repository.fetching_objects();
    let read = |stub: &StubPlace| objects.read_kind(&stub.entry.entry.id, ObjectKind::Blob, MAX_RAW_LENGTH as u64);
    let proof = Proof {
        repository: &session.repository,
        item: Subject {
            tombstone: wanted.tombstone,
            repo: &wanted.repo,
            path: &wanted.path,
            sha256: wanted.sha256,
            size: wanted.size,
            mode: wanted.mode,
            commit: wanted.commit,
            object: wanted.object,
            stored: located.stored.as_ref(),
        },
        archive,
        stub: located.stub.as_ref().map(read).transpose()?,
        signers: known_signers(session)?,
        repos: vec![session.repo_name()?, wanted.repo.clone()],
    };
    Ok(git_archive_tomb::proof::prove(proof, place)?)
}

fn print_proved(proved: &Proved, dir: &Path, session: &mut Session<'_>) -> Result<(), CommandError> {
    let has_signers = known_signers(session)?.is_some();
    let output = &mut *session.output;
    for file in &proved.left_out {
        output.warn(format_args!("{file} cannot be read and is not in the proof"));
    }
    if proved.rejected > 0 {
        let signatures = counted(usize::try_from(proved.rejected).unwrap_or(usize::MAX), "signature");
        output.warn(format_args!("{signatures} of records count for nothing here"));
        output.hint(if has_signers {
            "`git archive-tomb evidence log` says why of each; add who may sign to the file of allowed signers"
        } else {
            "name people whose signatures count: `git config gpg.ssh.allowedSignersFile <file>`"
        });
    }
    if output.json {
        return output.object(&ProvedView { output: shown(dir), proved });
    }
    output.line(format_args!("{}  {}", proved.digest, shown(dir)))?;
    let count = |number: u64, noun| counted(usize::try_from(number).unwrap_or(usize::MAX), noun);
    let (records, signed) = (count(proved.records, "record"), proved.signed);
    let (evidence, checkpoints) = (count(proved.evidence, "evidence file"), count(proved.checkpoints, "checkpoint"));
    output.say(format_args!("{records} of the item, {signed} of them signed; {evidence}; {checkpoints}"));
    output
        .hint(format_args!("check it with `cd {} && sh check.sh`", shell(<[u8]>::from_path(dir).unwrap_or_default())));
    Ok(())
}

/// A proof in JSON.
#[derive(Serialize)]
struct ProvedView<'a> {
    output: String,
    #[serde(flatten)]
    proved: &'a Proved,
}

fn write(place: &Path, by: Option<&str>, session: &Session<'_>) -> Result<Exported, CommandError> {
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
