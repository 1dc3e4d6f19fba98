//! `diff`: compares an item's bytes with a file or a revision.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::PathBuf;

use clap::Args;
use git_archive_tomb::git::{ObjectKind, Root};
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::restore::{Sources, to_writer};
use similar::{Algorithm, TextDiff};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::{Session, shown};

/// The longest contents that are compared, in bytes.
const MAX_LENGTH: u64 = 64 << 20;

/// Show how an item differs from a file or a revision
///
/// Without FILE and `--rev`, the item is compared with what stands at its path in the working tree.
#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    /// A tombstone, at least 8 characters of one, or the path of a stub
    target: OsString,
    /// The file to compare with
    file: Option<PathBuf>,
    /// Compare with the item's path at this revision
    #[arg(long, value_name = "REV", conflicts_with = "file")]
    rev: Option<String>,
    /// Lines of context
    #[arg(short = 'U', long, value_name = "N", default_value_t = 3)]
    unified: usize,
}

/// Runs the command.
pub(crate) fn run(arguments: &DiffArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let located = session.locate_one(archive.as_deref_mut(), &arguments.target)?;
    if located.wanted.size > MAX_LENGTH {
        return Err(too_large());
    }
    let mut old = Vec::new();
    let mut sources = Sources::new(&session.repository, archive.as_deref_mut(), None);
    to_writer(&mut sources, &located.wanted, located.stored.as_ref(), &mut old)?;
    drop(sources);
    let path = located.stub.map_or(located.wanted.path, |stub| stub.path);
    let (name, new) = match (&arguments.rev, &arguments.file) {
        (Some(revision), _) => (format!("{revision}:{path}"), at_revision(session, revision, &path)?),
        (None, Some(file)) => (shown(file), read_file(&session.directory().join(file))?),
        (None, None) => {
            let root = Root::open(session.repository.require_work_tree()?)?;
            // The path is a stranger's: no link on the way is followed. A link at its end is its target, as to git.
            let bytes = root.read(&path, MAX_LENGTH)?;
            let missing = || CommandError::new(Exit::Failed, format!("there is no file at `{path}`"));
            (path.to_string(), bytes.ok_or_else(missing)?)
        }
    };
    let old_name = format!("{}:{path}", located.wanted.tombstone);
    let output = session.output.raw();
    if old.contains(&0) || new.contains(&0) {
        if old != new {
            writeln!(output, "Binary files {old_name} and {name} differ").map_err(|error| output_error(&error))?;
        }
    } else {
        let diff = TextDiff::configure().algorithm(Algorithm::Histogram).diff_lines(old.as_slice(), new.as_slice());
        diff.unified_diff()
            .context_radius(arguments.unified)
            .header(&old_name, &name)
            .to_writer(output)
            .map_err(|error| output_error(&error))?;
    }
    Ok(Exit::Done)
}

fn at_revision(session: &Session<'_>, revision: &str, path: &RepoPath) -> Result<Vec<u8>, CommandError> {
    let objects = session.repository.fetching_objects();
    let commit = session.repository.resolve_commit(revision)?;
    let tree = objects.commit(&commit)?.tree;
    let entry = objects
        .entry(&tree, path)?
        .ok_or_else(|| CommandError::new(Exit::Failed, format!("`{path}` is not in `{}`", revision.escape_debug())))?;
    Ok(objects.read_kind(&entry.id, ObjectKind::Blob, MAX_LENGTH)?)
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Failed, format!("cannot read {}", shown(path))).caused_by(error.to_string())
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_LENGTH { Err(too_large()) } else { Ok(bytes) }
}

fn too_large() -> CommandError {
    CommandError::new(Exit::Failed, "contents above 64 MiB are not compared")
        .hint("restore the item to a file, and compare that")
}
