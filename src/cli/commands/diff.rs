//! `diff`: compares an item's bytes with a file or a revision.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bstr::ByteSlice;
use clap::Args;
use git_archive_tomb::fs::is_executable;
use git_archive_tomb::git::{ObjectKind, Root};
use git_archive_tomb::item::{FileMode, RepoPath};
use git_archive_tomb::quote::quote;
use git_archive_tomb::restore::{Sources, to_writer};
use similar::{Algorithm, ChangeTag, TextDiff};

use crate::cli::acting::subject_of;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Style, output_error};
use crate::cli::session::{Session, shown};

/// The longest contents that are compared, in bytes.
const MAX_LENGTH: u64 = 64 << 20;

/// The most lines that are compared: each takes memory, however short it is.
const MAX_LINES: usize = 2_000_000;

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

/// One of the two that are compared.
struct Side {
    /// What it is called, quoted.
    name: String,
    /// `None` for what is not of git's modes, such as a pipe.
    mode: Option<FileMode>,
    bytes: Vec<u8>,
}

/// Runs the command.
pub(crate) fn run(arguments: &DiffArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let located = session.locate_one(archive.as_deref_mut(), &arguments.target)?;
    if located.wanted.size > MAX_LENGTH {
        return Err(too_large());
    }
    session.clear([&located], archive.as_deref_mut(), None, None)?;
    session.record_handing_out([&subject_of(&located.wanted)], "diff", None, archive.as_deref_mut())?;
    let mut bytes = Vec::new();
    let mut sources = Sources::new(&session.repository, archive.as_deref_mut(), None);
    to_writer(&mut sources, &located.wanted, located.stored.as_ref(), &mut bytes)?;
    drop(sources);
    let (tombstone, mode) = (located.wanted.tombstone, Some(located.wanted.mode));
    let path = located.stub.map_or(located.wanted.path, |stub| stub.path);
    let old = Side { name: format!("{tombstone}:{path}"), mode, bytes };
    let new = match (&arguments.rev, &arguments.file) {
        (Some(revision), _) => at_revision(session, revision, &path)?,
        (None, Some(file)) => read_file(session, file)?,
        (None, None) => in_work_tree(session, &path, &old.bytes)?,
    };
    if [&old, &new].iter().any(|side| memchr::memchr_iter(b'\n', &side.bytes).count() > MAX_LINES) {
        return Err(too_large());
    }
    print(&old, &new, arguments.unified, session.output).map_err(|error| output_error(&error))?;
    Ok(Exit::Done)
}

fn at_revision(session: &Session<'_>, revision: &str, path: &RepoPath) -> Result<Side, CommandError> {
    let name = quote(&[revision.as_bytes(), b":", path.as_bytes()].concat()).into_owned();
    let objects = session.repository.fetching_objects();
    let commit = session.repository.resolve_commit(revision)?;
    let tree = objects.commit(&commit)?.tree;
    let entry = objects
        .entry(&tree, path)?
        .ok_or_else(|| CommandError::new(Exit::Failed, format!("`{path}` is not in `{}`", revision.escape_debug())))?;
    let bytes = objects.read_kind(&entry.id, ObjectKind::Blob, MAX_LENGTH)?;
    Ok(Side { name, mode: FileMode::from_bits(entry.mode), bytes })
}

/// Reads what stands in the working tree, as git would add it: line ends that a checkout converted are no difference.
fn in_work_tree(session: &Session<'_>, path: &RepoPath, archived: &[u8]) -> Result<Side, CommandError> {
    let root = Root::open(session.repository.require_work_tree()?)?;
    // The path is a stranger's: no link on the way is followed. A link at its end is its target, as to git.
    let missing = || CommandError::new(Exit::Failed, format!("there is no file at `{path}`"));
    let mode = root.kind(path)?.and_then(|kind| kind.mode());
    let mut bytes = root.read(path, MAX_LENGTH)?.ok_or_else(missing)?;
    if bytes != archived && mode != Some(FileMode::Symlink) {
        bytes = session.repository.converted_work_file(path, MAX_LENGTH)?;
    }
    Ok(Side { name: path.to_string(), mode, bytes })
}

/// Reads what the user names, through any link: it may be a pipe.
fn read_file(session: &Session<'_>, named: &Path) -> Result<Side, CommandError> {
    let failed = |error: io::Error| {
        CommandError::new(Exit::Failed, format!("cannot read {}", shown(named))).caused_by(error.to_string())
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(session.directory().join(named)).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    file.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(too_large());
    }
    let executable = if metadata.is_file() { is_executable(&metadata) } else { None };
    let mode = executable.map(|executable| if executable { FileMode::Executable } else { FileMode::Regular });
    Ok(Side { name: shown(named), mode, bytes })
}

fn too_large() -> CommandError {
    CommandError::new(Exit::Failed, "contents above 64 MiB, or of more than 2,000,000 lines, are not compared")
        .hint("restore the item to a file, and compare that")
}

/// Prints the differences as git does, colours included.
fn print(old: &Side, new: &Side, context: usize, output: &mut Output) -> io::Result<()> {
    if let (Some(before), Some(after)) = (old.mode, new.mode)
        && before != after
    {
        for line in [format!("old mode {before}"), format!("new mode {after}")] {
            let line = output.styled(Style::Bold, line);
            writeln!(output.raw(), "{line}")?;
        }
    }
    if old.bytes == new.bytes {
        return Ok(());
    }
    if old.bytes.contains(&0) || new.bytes.contains(&0) {
        return writeln!(output.raw(), "Binary files {} and {} differ", old.name, new.name);
    }
    let (before, after): (Vec<_>, Vec<_>) =
        (old.bytes.lines_with_terminator().collect(), new.bytes.lines_with_terminator().collect());
    let diff = TextDiff::configure().algorithm(Algorithm::Histogram).diff_slices(&before, &after);
    for line in [format!("--- {}", old.name), format!("+++ {}", new.name)] {
        let line = output.styled(Style::Bold, line);
        writeln!(output.raw(), "{line}")?;
    }
    for hunk in diff.unified_diff().context_radius(context).iter_hunks() {
        let place = output.styled(Style::Place, hunk.header());
        writeln!(output.raw(), "{place}")?;
        for change in hunk.iter_changes() {
            print_line(change.tag(), change.value(), output)?;
        }
    }
    Ok(())
}

fn print_line(tag: ChangeTag, line: &[u8], output: &mut Output) -> io::Result<()> {
    let (sign, color) = match tag {
        ChangeTag::Equal => (" ", None),
        ChangeTag::Delete => ("-", Some("31")),
        ChangeTag::Insert => ("+", Some("32")),
    };
    let color = color.filter(|_| output.is_colored());
    if let Some(color) = color {
        write!(output.raw(), "\u{1b}[{color}m")?;
    }
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    // With the carriage return before it the line's end does no harm, and none is one to a terminal.
    let (text, end) = match text.strip_suffix(b"\r") {
        Some(text) => (text, "\r\n"),
        None => (text, "\n"),
    };
    let mut content = output.content();
    content.write_all(sign.as_bytes())?;
    content.write_all(text)?;
    content.finish()?;
    if color.is_some() {
        write!(output.raw(), "\u{1b}[0m")?;
    }
    output.raw().write_all(end.as_bytes())?;
    if line.ends_with(b"\n") { Ok(()) } else { writeln!(output.raw(), "\\ No newline at end of file") }
}
