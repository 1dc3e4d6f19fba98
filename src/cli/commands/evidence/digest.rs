//! `evidence digest`: what a reviewer compares with `sha256sum`.

use std::io::Write as _;

use clap::Args;
use git_archive_tomb::evidence::digest::LineDigest;
use git_archive_tomb::id::{Sha256, Tombstone};
use git_archive_tomb::item::{JsonPath, RepoPath};
use git_archive_tomb::review::{Scope, Trailers, added, tracked};
use serde::Serialize;

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::Session;
use crate::cli::view::PathView;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct DigestArguments {
    /// Only lines of these items
    tombstones: Vec<Tombstone>,
    /// Only lines of evidence that is staged and not yet in HEAD
    #[arg(long)]
    staged: bool,
    /// End each line with NUL and quote nothing: `<digest> <tombstone> <path>`, an absent part being `-`
    #[arg(short = 'z')]
    nul: bool,
    /// Print the digest of each whole file instead, as `sha256sum -c` reads them
    #[arg(long, conflicts_with_all = ["tombstones", "nul"])]
    files: bool,
    /// Print trailers for the message of the commit that is staged: `git commit -m … -m "$(…)"`
    #[arg(long, conflicts_with_all = ["tombstones", "nul", "files", "json"])]
    trailers: bool,
}

/// The digest of a line in JSON.
#[derive(Serialize)]
struct DigestView {
    sha256: Sha256,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<Tombstone>,
    #[serde(flatten)]
    path: Option<PathView>,
    file: String,
}

pub(super) fn digest(arguments: &DigestArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    if arguments.trailers {
        for line in Trailers::staged(&session.repository)?.lines() {
            session.output.line(line)?;
        }
        return Ok(Exit::Done);
    }
    let repository = &session.repository;
    let evidence = if arguments.staged { added(repository, Scope::Staged)? } else { tracked(repository)? };
    for evidence in evidence {
        let mut lines = Vec::new();
        // The records count only once the whole file is known to be intact.
        let facts = evidence.read(&session.repository, |line| {
            let wanted = arguments.tombstones.is_empty()
                || line.record.tombstone.is_some_and(|tombstone| arguments.tombstones.contains(&tombstone));
            if wanted && !arguments.files {
                lines.push(LineDigest::from(&line));
            }
        })?;
        let file = evidence.name.to_string();
        if arguments.files && session.output.json {
            let file = file.clone();
            session.output.object(&DigestView { sha256: facts.sha256, tombstone: None, path: None, file })?;
        } else if arguments.files {
            session.output.line(format_args!("{}  {file}", facts.sha256))?;
        }
        for line in lines {
            if session.output.json {
                let path = line.path.map(|path| JsonPath::from(&path).into());
                let view = DigestView { sha256: line.digest, tombstone: line.tombstone, path, file: file.clone() };
                session.output.object(&view)?;
            } else if arguments.nul {
                let tombstone = line.tombstone.map_or_else(|| "-".to_owned(), |tombstone| tombstone.to_string());
                let mut record = format!("{} {tombstone} ", line.digest).into_bytes();
                record.extend_from_slice(line.path.as_ref().map_or(b"-", RepoPath::as_bytes));
                record.push(0);
                session.output.raw().write_all(&record).map_err(|error| output_error(&error))?;
            } else {
                session.output.line(line)?;
            }
        }
    }
    Ok(Exit::Done)
}
