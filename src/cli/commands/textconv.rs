//! `textconv`: what git's diffs show in place of a stub.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use git_archive_tomb::config::Backend;
use git_archive_tomb::evidence::record::Source;
use git_archive_tomb::restore::{SourceError, Sources, Wanted, find_recorded};
use git_archive_tomb::stub::{HEAD_LENGTH, MAX_RAW_LENGTH, Parsed, Stub, may_be_stub, parse};
use git_archive_tomb::textconv::content::{Hidden, Shown, hidden, is_crlf};

use crate::cli::acting::subject_of;
use crate::cli::arguments::GlobalArguments;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, output_error};
use crate::cli::session::{Session, shown};

/// Print what a stub stands for, or any other file as it is
///
/// Git's diffs call it; `init --textconv` sets that up. Nothing is connected to: the bytes come from an archive that is
/// a file here, else from the objects of this clone. Where they are in neither, or may not be shown, the stub is
/// printed with the reason.
#[derive(Debug, Args)]
pub(crate) struct TextconvArguments {
    /// The file, as git gives it
    file: PathBuf,
}

/// Runs the command.
pub(crate) fn run(
    arguments: &TextconvArguments,
    global: GlobalArguments,
    output: &mut Output,
) -> Result<Exit, CommandError> {
    let failed = |error: io::Error| {
        CommandError::new(Exit::Failed, format!("cannot read {}", shown(&arguments.file))).caused_by(error.to_string())
    };
    let path = global.directories.iter().fold(PathBuf::new(), |folder, next| folder.join(next)).join(&arguments.file);
    let file = File::open(path).map_err(failed)?;
    let mut start = Vec::new();
    (&file).take(HEAD_LENGTH as u64).read_to_end(&mut start).map_err(failed)?;
    if may_be_stub(&start) {
        // One byte more shows that it is too long for a stub.
        let rest = (MAX_RAW_LENGTH + 1 - HEAD_LENGTH) as u64;
        (&file).take(rest).read_to_end(&mut start).map_err(failed)?;
    }
    let text = if let Parsed::Stub(parsed) = parse(&start) {
        let stub = &parsed.stub;
        content(&start, stub, global, output).unwrap_or_else(|why| hidden(&start, &stub.tombstone, why))
    } else {
        let mut shown = Shown::default();
        shown.write_all(&start).and_then(|()| io::copy(&mut &file, &mut shown)).map_err(failed)?;
        shown.finish(false)
    };
    // All or nothing: what git runs shows the file itself where this fails.
    output.raw().write_all(&text).map_err(|error| output_error(&error))?;
    Ok(Exit::Done)
}

/// Returns what the stub stands for.
fn content(text: &[u8], stub: &Stub, global: GlobalArguments, output: &mut Output) -> Result<Vec<u8>, Hidden> {
    let session = Session::open(global, output).map_err(|_| Hidden::Nowhere)?;
    let config = session.config().map_err(|_| Hidden::Unknown)?;
    if config.governance.restore_approvals > 0 {
        return Err(Hidden::NeedsApproval);
    }
    // A diff neither waits for a server nor fetches.
    let mut archive = match config.url.backend() {
        Backend::Sqlite => session.archive_if_any().map_err(|_| Hidden::Unknown)?,
        _ => None,
    };
    let origin = session.known_origin().map_err(|_| Hidden::Unknown)?;
    let stored = match &mut archive {
        Some(archive) => archive.item(&stub.tombstone).map_err(|_| Hidden::Unknown)?,
        None => None,
    };
    let stored = stored.filter(|stored| stored.is_visible_to(&origin));
    let wanted = Wanted::from(stub);
    let mut shown = Shown::default();
    if let Some(stored) = stored {
        if stored.item.sha256 != wanted.sha256 || stored.item.size != wanted.size {
            return Err(Hidden::Damaged);
        }
        Sources::new(&session.repository, archive.as_deref_mut(), Some(Source::Archive))
            .write(&wanted, Some(&stored), &mut shown)
            .map_err(|error| match error {
                SourceError::Purged { .. } => Hidden::Purged,
                _ => Hidden::Damaged,
            })?;
    } else {
        // Where there is no archive, evidence tells what was purged.
        let withheld = session.withheld(&[(subject_of(&wanted), None)], archive.as_deref_mut(), None, None);
        if !withheld.map_err(|_| Hidden::Unknown)?.is_empty() {
            return Err(Hidden::Purged);
        }
        let objects = session.repository.objects();
        let found = find_recorded(objects, &wanted).map_err(|_| Hidden::Nowhere)?.ok_or(Hidden::Nowhere)?;
        let mut blob = objects.open_blob(&found).map_err(|_| Hidden::Nowhere)?;
        io::copy(&mut blob, &mut shown).map_err(|_| Hidden::Nowhere)?;
    }
    Ok(shown.finish(is_crlf(text)))
}
