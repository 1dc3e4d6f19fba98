//! An open folder on Unix: every name is relative to it, and no name follows a link.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{FileIdentity, FileKind};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    pub(super) fn open_top(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::open(path, FOLDER, Mode::empty())?))
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Opens a folder; a link or a file is [`io::ErrorKind::NotADirectory`].
    pub(super) fn open_folder(&self, name: &[u8]) -> io::Result<Self> {
        match fs::openat(&self.0, c(name)?, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            // What systems other than Linux say of a link.
            Err(Errno::LOOP | Errno::MLINK) => Err(io::ErrorKind::NotADirectory.into()),
            result => Ok(Self(result?)),
        }
    }

    pub(super) fn create_folder(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::mkdirat(&self.0, c(name)?, Mode::from_raw_mode(0o777))?)
    }

    pub(super) fn kind(&self, name: &[u8]) -> io::Result<Option<FileKind>> {
        let stat = match fs::statat(&self.0, c(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File {
                executable: Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR),
                size: u64::try_from(stat.st_size).unwrap_or_default(),
            },
            FileType::Symlink => FileKind::Symlink,
            FileType::Directory => FileKind::Folder,
            _ => FileKind::Other,
        }))
    }

    /// Returns what tells the file or link from others; folders and whatever else there is have nothing.
    pub(super) fn identity(&self, name: &[u8]) -> io::Result<Option<FileIdentity>> {
        let stat = match fs::statat(&self.0, c(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Symlink) {
            return Ok(None);
        }
        #[allow(
            clippy::unnecessary_cast,
            clippy::useless_conversion,
            clippy::cast_possible_wrap,
            reason = "the types of these fields differ from system to system; equality is all that counts"
        )]
        let identity = FileIdentity {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size.cast_unsigned(),
            mode: u32::from(stat.st_mode),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        };
        Ok(Some(identity))
    }

    /// Returns the names in the folder.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let entries = fs::Dir::read_from(&self.0)?;
        entries.map(|entry| Ok(entry?.file_name().to_bytes().to_vec())).collect()
    }

    pub(super) fn open_file(&self, name: &[u8]) -> io::Result<File> {
        // Without NONBLOCK, a pipe that took the file's place would hold us up for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(fs::openat(&self.0, c(name)?, flags, Mode::empty())?))
    }

    pub(super) fn create_file(&self, name: &[u8], executable: bool) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o777 } else { 0o666 });
        Ok(File::from(fs::openat(&self.0, c(name)?, flags, mode)?))
    }

    pub(super) fn create_link(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(fs::symlinkat(c(target)?, &self.0, c(name)?)?)
    }

    pub(super) fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.0, c(name)?, Vec::new())?.into_bytes())
    }

    pub(super) fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> io::Result<()> {
        Ok(fs::renameat(&self.0, c(name)?, &target.0, c(new_name)?)?)
    }

    /// Swaps two names, of which neither is a folder; [`io::ErrorKind::Unsupported`] where that cannot be done.
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    pub(super) fn exchange(&self, name: &[u8], target: &Self, new_name: &[u8]) -> io::Result<()> {
        if target.kind(new_name)? == Some(FileKind::Folder) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.rename_with(name, target, new_name, fs::RenameFlags::EXCHANGE)
    }

    /// Renames, but replaces nothing; [`io::ErrorKind::Unsupported`] where that cannot be done in one step.
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    pub(super) fn rename_new(&self, name: &[u8], target: &Self, new_name: &[u8]) -> io::Result<()> {
        self.rename_with(name, target, new_name, fs::RenameFlags::NOREPLACE)
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    fn rename_with(&self, name: &[u8], target: &Self, new_name: &[u8], flags: fs::RenameFlags) -> io::Result<()> {
        match fs::renameat_with(&self.0, c(name)?, &target.0, c(new_name)?, flags) {
            // How file systems without it answer.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(io::ErrorKind::Unsupported.into()),
            result => Ok(result?),
        }
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    pub(super) fn exchange(&self, _name: &[u8], _target: &Self, _new_name: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    pub(super) fn rename_new(&self, _name: &[u8], _target: &Self, _new_name: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, c(name)?, AtFlags::empty())?)
    }

    pub(super) fn remove_folder(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, c(name)?, AtFlags::REMOVEDIR)?)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.0)?)
    }
}

fn c(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|_| io::ErrorKind::InvalidInput.into())
}
