//! `evidence digest`: what a reviewer compares with `sha256sum`.

use std::io::Write as _;

use clap::Args;
use git_archive_tomb::evidence::digest::LineDigest;
use git_archive_tomb::evidence::format::{EvidenceFileName, read};
use git_archive_tomb::id::{Sha256, Tombstone};
use git_archive_tomb::item::{JsonPath, RepoPath};
use serde::Serialize;

use super::evidence_files;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::Session;
use crate::cli::view::PathView;

#[derive(Debug, Args)]
pub(super) struct DigestArguments {
    /// Only lines of these items
    tombstones: Vec<Tombstone>,
    /// Only lines of evidence that is staged and not yet in HEAD
    #[arg(long)]
    staged: bool,
    /// End each line with NUL and quote nothing: `<digest> <tombstone> <path>`, an absent part being `-`
    #[arg(short = 'z')]
    nul: bool,
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
    let mut files = evidence_files(session)?;
    if arguments.staged {
        let head = session.repository.head()?.commit();
        let staged: Vec<_> =
            session.repository.index_changes(head.as_ref())?.changes.into_iter().map(|change| change.path).collect();
        files.retain(|entry| staged.contains(&entry.path));
    }
    let objects = session.repository.fetching_objects();
    for entry in files {
        let Ok(name) = EvidenceFileName::parse_path(&entry.path) else { continue };
        let mut lines = Vec::new();
        let facts = read(&name, objects.open_blob(&entry.entry.id)?, |line| {
            let wanted = arguments.tombstones.is_empty()
                || line.record.tombstone.is_some_and(|tombstone| arguments.tombstones.contains(&tombstone));
            if wanted {
                lines.push(LineDigest::from(&line));
            }
        });
        // The records count only once the whole file is known to be intact.
        facts.map_err(|error| {
            CommandError::from_error(Exit::Failed, &error)
                .caused_by(format!("in {}", entry.path))
                .hint("`git archive-tomb evidence verify` tells more")
        })?;
        for line in lines {
            if session.output.json {
                let path = line.path.map(|path| JsonPath::from(&path).into());
                let file = entry.path.to_string();
                let view = DigestView { sha256: line.digest, tombstone: line.tombstone, path, file };
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
