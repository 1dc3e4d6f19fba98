//! Gives an item's bytes to any file or stream.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Delivered, SourceError, Sources, Wanted};
use bstr::ByteVec;

use crate::archive::StoredItem;
use crate::fs;
use crate::id::Sha256;
use crate::item::FileMode;

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
    /// Something else is there.
    #[error("`{}` exists and is not the item", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
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
/// are made. A file that is there and not the item is replaced only with `force`; a folder never.
pub fn to_file(
    sources: &mut Sources<'_>,
    wanted: &Wanted,
    stored: Option<&StoredItem>,
    path: &Path,
    force: bool,
) -> Result<Written, ElsewhereError> {
    let failed = |source| ElsewhereError::Write { path: path.to_owned(), source };
    match path.symlink_metadata() {
        Ok(_) if is_item(path, wanted).map_err(failed)? => return Ok(Written::Present),
        Ok(metadata) if !force || metadata.is_dir() => return Err(ElsewhereError::Exists { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(error) => return Err(failed(error)),
    }
    let parent = fs::parent_of(path);
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut file = fs::temporary_in(parent, wanted.mode == FileMode::Executable).map_err(failed)?;
    let delivered = sources.write(wanted, stored, file.as_file_mut())?;
    if wanted.mode == FileMode::Symlink {
        if wanted.size > MAX_TARGET {
            return Err(failed(io::ErrorKind::InvalidFilename.into()));
        }
        let target = std::fs::read(file.path()).map_err(failed)?;
        replace_with_link(&target, path).map_err(failed)?;
    } else {
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
    }
    fs::sync_dir(parent).map_err(failed)?;
    Ok(Written::New(delivered))
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

/// Puts a symbolic link to `target` at `path`, in place of what is there.
fn replace_with_link(target: &[u8], path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let beside = tempfile::Builder::new().prefix(".archive-tomb-").make_in(fs::parent_of(path), |beside| {
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), beside)
        })?;
        beside.into_temp_path().persist(path).map_err(|error| error.error)
    }
    #[cfg(not(unix))]
    {
        let _ = (target, path);
        Err(io::Error::new(io::ErrorKind::Unsupported, "symbolic links are not restored to files on this system"))
    }
}
