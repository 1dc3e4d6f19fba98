//! Gives an item's bytes to any file or stream.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bstr::{ByteSlice, ByteVec};
use tempfile::TempPath;

use super::{Closed, Delivered, SourceError, Sources, Wanted};
use crate::archive::StoredItem;
use crate::fs;
use crate::id::Sha256;
use crate::item::FileMode;
use crate::stub::{self, Parsed};

/// Up to so many bytes wait in memory for their check on the way to a stream, more in a file.
const IN_MEMORY: usize = 8 << 20;

/// The longest target of a symbolic link, in bytes: longer than any system's.
const MAX_TARGET: u64 = 64 * 1024;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Written {
    /// The bytes were written.
    New(Delivered),
    /// The very bytes and mode were there.
    Present,
}

/// Why bytes did not get to their place.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// Others rely on what is there.
    #[error("`{}` is {what}, or in it", path.display())]
    Closed {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// Something else is there.
    #[error("`{}` exists and is not the item", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// A folder is there, which is never replaced.
    #[error("`{}` is a folder", path.display())]
    Folder {
        /// The path.
        path: PathBuf,
        /// Where the item could stand in it.
        file: PathBuf,
    },
    /// The bytes could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The place could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The stream could not be written.
    #[error("cannot write the bytes")]
    Stream(#[source] io::Error),
}

/// Puts the bytes of `wanted`, with its mode, at `path`: a reader sees the old file or the whole new one. Folders above
/// are made. A file that is neither the item nor its stub is replaced only with `force`; a folder, and what is `closed`, never.
pub fn to_file(
    sources: &mut Sources<'_>,
    wanted: &Wanted,
    stored: Option<&StoredItem>,
    path: &Path,
    closed: &Closed,
    force: bool,
) -> Result<Written, ElsewhereError> {
    if let Some(what) = closed.at(path) {
        return Err(ElsewhereError::Closed { path: path.to_owned(), what });
    }
    let standing = look_at(path, wanted, force)?;
    if standing == Standing::Item {
        return Ok(Written::Present);
    }
    let (beside, delivered) = write_beside(sources, wanted, stored, path, None)?;
    beside.put(standing)?;
    fs::sync_dir(fs::parent_of(path)).map_err(|source| failed(path, source))?;
    Ok(Written::New(delivered))
}

/// What stands where an item is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Nothing,
    /// The very item.
    Item,
    /// Something that the item may replace.
    Replaceable,
}

/// Looks at `path`: an error if something is there that `wanted` may not replace.
pub(crate) fn look_at(path: &Path, wanted: &Wanted, force: bool) -> Result<Standing, ElsewhereError> {
    let failed = |source| failed(path, source);
    match path.symlink_metadata() {
        Ok(_) if is_item(path, wanted).map_err(failed)? => Ok(Standing::Item),
        Ok(metadata) if metadata.is_dir() => {
            let name = wanted.path.file_name().to_path().unwrap_or(Path::new("file"));
            Err(ElsewhereError::Folder { path: path.to_owned(), file: path.join(name) })
        }
        Ok(_) if force || is_stub_of(path, wanted).map_err(failed)? => Ok(Standing::Replaceable),
        Ok(_) => Err(ElsewhereError::Exists { path: path.to_owned() }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Standing::Nothing)
        }
        Err(error) => Err(failed(error)),
    }
}

/// An item beside the path that it is to have, whole, checked and synced; removed if it gets no further.
#[derive(Debug)]
pub(crate) struct Beside {
    file: TempPath,
    path: PathBuf,
}

/// Writes an item beside `path`, as a file called `name`, or by a random name. Folders above are made.
pub(crate) fn write_beside(
    sources: &mut Sources<'_>,
    wanted: &Wanted,
    stored: Option<&StoredItem>,
    path: &Path,
    name: Option<&str>,
) -> Result<(Beside, Delivered), ElsewhereError> {
    let failed = |source| failed(path, source);
    let parent = fs::parent_of(path);
    fs::create_dir_all(parent).map_err(failed)?;
    let (file, delivered) = if wanted.mode == FileMode::Symlink {
        if wanted.size > MAX_TARGET {
            return Err(failed(io::ErrorKind::InvalidFilename.into()));
        }
        let mut target = Vec::new();
        let delivered = sources.write(wanted, stored, &mut target)?;
        let link = fs::temporary_link_in(parent, name, &target).map_err(failed)?;
        (link, delivered)
    } else {
        let executable = wanted.mode == FileMode::Executable;
        let mut file = fs::temporary_named(parent, name, executable).map_err(failed)?;
        let delivered = sources.write(wanted, stored, file.as_file_mut())?;
        file.as_file().sync_all().map_err(failed)?;
        (file.into_temp_path(), delivered)
    };
    Ok((Beside { file, path: path.to_owned() }, delivered))
}

impl Beside {
    /// Puts it in its place. Where nothing stood, nothing is replaced that came since.
    pub(crate) fn put(self, standing: Standing) -> Result<(), ElsewhereError> {
        let Self { file, path } = self;
        let put = match standing {
            Standing::Nothing => file.persist_noclobber(&path),
            Standing::Item | Standing::Replaceable => file.persist(&path),
        };
        put.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => ElsewhereError::Exists { path },
            _ => failed(&path, error.error),
        })
    }
}

fn failed(path: &Path, source: io::Error) -> ElsewhereError {
    ElsewhereError::Write { path: path.to_owned(), source }
}

/// Writes the bytes of `wanted` to `out`, once they are known to be right.
pub fn to_writer(
    sources: &mut Sources<'_>,
    wanted: &Wanted,
    stored: Option<&StoredItem>,
    out: &mut dyn Write,
) -> Result<Delivered, ElsewhereError> {
    let mut spool = tempfile::spooled_tempfile(IN_MEMORY);
    let delivered = sources.write(wanted, stored, &mut spool)?;
    spool.seek(SeekFrom::Start(0)).map_err(ElsewhereError::Stream)?;
    match io::copy(&mut spool, out).and_then(|_| out.flush()) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ElsewhereError::Stream(error)),
        _ => Ok(delivered),
    }
}

/// Returns whether what is at `path` is the item: its bytes and, as far as the system knows modes, its mode.
fn is_item(path: &Path, wanted: &Wanted) -> io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        let target = std::fs::read_link(path)?;
        let target = Vec::from_path_buf(target).unwrap_or_default();
        return Ok(wanted.mode == FileMode::Symlink && Sha256::of(&target) == wanted.sha256);
    }
    if !metadata.is_file() || metadata.len() != wanted.size || wanted.mode == FileMode::Symlink {
        return Ok(false);
    }
    if fs::is_executable(&metadata).is_some_and(|executable| executable != (wanted.mode == FileMode::Executable)) {
        return Ok(false);
    }
    let (sha256, _) = Sha256::of_reader(std::fs::File::open(path)?)?;
    Ok(sha256 == wanted.sha256)
}

/// Returns whether what is at `path` is the item's own stub.
fn is_stub_of(path: &Path, wanted: &Wanted) -> io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    if !metadata.is_file() || metadata.len() > stub::MAX_RAW_LENGTH as u64 {
        return Ok(false);
    }
    let parsed = stub::parse(&std::fs::read(path)?);
    Ok(matches!(parsed, Parsed::Stub(parsed) if parsed.stub.tombstone == wanted.tombstone))
}
