//! A folder where the system has no `openat`: each name is looked at before it is used.
//!
//! Somebody who swaps a folder for a link between the look and the use is not noticed here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use super::{FileIdentity, FileKind};

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open_top(path: &Path) -> io::Result<Self> {
        fs::canonicalize(path).map(Self)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same shape on every system")]
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    pub(super) fn open_folder(&self, name: &[u8]) -> io::Result<Self> {
        let path = self.path(name)?;
        if fs::symlink_metadata(&path)?.file_type().is_dir() {
            Ok(Self(path))
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    pub(super) fn create_folder(&self, name: &[u8]) -> io::Result<()> {
        fs::create_dir(self.path(name)?)
    }

    pub(super) fn kind(&self, name: &[u8]) -> io::Result<Option<FileKind>> {
        let metadata = match fs::symlink_metadata(self.path(name)?) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = metadata.file_type();
        Ok(Some(if kind.is_symlink() {
            FileKind::Symlink
        } else if kind.is_file() {
            FileKind::File { executable: false, size: metadata.len() }
        } else if kind.is_dir() {
            FileKind::Folder
        } else {
            FileKind::Other
        }))
    }

    /// Returns what tells the file from others, as far as every system knows it.
    pub(super) fn identity(&self, name: &[u8]) -> io::Result<Option<FileIdentity>> {
        let metadata = match fs::symlink_metadata(self.path(name)?) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !metadata.is_file() && !metadata.is_symlink() {
            return Ok(None);
        }
        let since = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let modified = (since.as_secs().cast_signed(), since.subsec_nanos().into());
        let mode = u32::from(metadata.permissions().readonly());
        Ok(Some(FileIdentity { device: 0, inode: 0, size: metadata.len(), mode, modified }))
    }

    /// Returns the names in the folder.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_encoded_bytes());
        fs::read_dir(&self.0)?.map(name).collect()
    }

    pub(super) fn open_file(&self, name: &[u8]) -> io::Result<File> {
        crate::fs::open_no_follow(OpenOptions::new().read(true), &self.path(name)?)
    }

    pub(super) fn create_file(&self, name: &[u8], _executable: bool) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.path(name)?)
    }

    #[expect(clippy::unused_self, reason = "the same shape on every system")]
    pub(super) fn create_link(&self, _target: &[u8], _name: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let target = fs::read_link(self.path(name)?)?;
        let text = target.into_os_string().into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(text.replace('\\', "/").into_bytes())
    }

    pub(super) fn rename(&self, name: &[u8], target: &Self, new_name: &[u8]) -> io::Result<()> {
        fs::rename(self.path(name)?, target.path(new_name)?)
    }

    #[expect(clippy::unused_self, reason = "the same shape on every system")]
    pub(super) fn exchange(&self, _name: &[u8], _target: &Self, _new_name: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[expect(clippy::unused_self, reason = "the same shape on every system")]
    pub(super) fn rename_new(&self, _name: &[u8], _target: &Self, _new_name: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn remove_file(&self, name: &[u8]) -> io::Result<()> {
        fs::remove_file(self.path(name)?)
    }

    pub(super) fn remove_folder(&self, name: &[u8]) -> io::Result<()> {
        fs::remove_dir(self.path(name)?)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        crate::fs::sync_dir(&self.0)
    }

    fn path(&self, name: &[u8]) -> io::Result<PathBuf> {
        let name = name.to_path().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.0.join(name))
    }
}
