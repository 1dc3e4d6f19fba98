//! Files inside a working tree, reached without ever following a symbolic link.
//!
//! A path from git or the archive is walked component by component from the top; a link or a file where a folder
//! should be ends the walk with an error. On Unix every step is relative to an open folder (`openat`), so a folder that
//! is swapped for a link meanwhile is not followed either, and paths may be as long as git allows wherever the working
//! tree stands. Elsewhere each component is looked at before it is used.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::GitError;
use crate::fault;
use crate::item::{FileMode, RepoPath};

#[cfg(unix)]
#[path = "unix.rs"]
mod folder;
#[cfg(not(unix))]
#[path = "portable.rs"]
mod folder;

use folder::Folder;

/// Up to so many files are synced one by one.
const FEW: usize = 16;

/// What the file system has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File {
        /// Whether its owner may execute it; always `false` where the system has no such bit.
        executable: bool,
        /// Its length in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink,
    /// A folder.
    Folder,
    /// A device, socket or pipe.
    Other,
}

impl FileKind {
    /// Returns the mode git would record; `None` for what git does not track as a file.
    pub fn mode(&self) -> Option<FileMode> {
        match self {
            Self::File { executable: false, .. } => Some(FileMode::Regular),
            Self::File { executable: true, .. } => Some(FileMode::Executable),
            Self::Symlink => Some(FileMode::Symlink),
            Self::Folder | Self::Other => None,
        }
    }
}

/// What tells a file or link from another one, and from itself after a change: found without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
}

/// A folder (the top of a working tree, or a staging folder) below which files are reached by [`RepoPath`].
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    top: Folder,
}

impl Root {
    /// Opens the folder `path`; this path itself may lead through links.
    pub fn open(path: &Path) -> Result<Self, GitError> {
        let top =
            Folder::open_top(path).map_err(|source| GitError::Io { action: "open", path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), top })
    }

    /// Returns the folder's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is at `path`; `None` if nothing is, or a folder above it is missing.
    pub fn kind(&self, path: &RepoPath) -> Result<Option<FileKind>, GitError> {
        let Some(folder) = self.parent(path, false)? else { return Ok(None) };
        folder.kind(path.file_name()).map_err(self.failed("examine", path))
    }

    /// Returns the bytes of the regular file, or the target of the link, at `path`; `None` if nothing is there.
    ///
    /// What is larger than `limit` bytes, or neither file nor link, is an error.
    pub fn read(&self, path: &RepoPath, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        let Some(folder) = self.parent(path, false)? else { return Ok(None) };
        let failed = self.failed("read", path);
        let read = || match folder.kind(path.file_name())? {
            None => Ok(None),
            Some(FileKind::Symlink) => folder.read_link(path.file_name()).map(Some),
            Some(FileKind::File { .. }) => {
                let mut bytes = Vec::new();
                folder.open_file(path.file_name())?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > limit {
                    Err(io::Error::from(io::ErrorKind::FileTooLarge))
                } else {
                    Ok(Some(bytes))
                }
            }
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a link")),
        };
        read().map_err(failed)
    }

    /// Opens the regular file at `path` for reading.
    pub fn open_file(&self, path: &RepoPath) -> Result<File, GitError> {
        let failed = self.failed("open", path);
        let Some(folder) = self.parent(path, false)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let open = || match folder.kind(path.file_name())? {
            Some(FileKind::File { .. }) => folder.open_file(path.file_name()),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        open().map_err(failed)
    }

    /// Makes the folders above `path`, as far as they are missing.
    pub fn create_parents(&self, path: &RepoPath) -> Result<(), GitError> {
        self.parent(path, true).map(drop)
    }

    /// Moves the file or link at `path` below `from` to the same path here, replacing what is there unless that is a
    /// folder. Missing folders are made. Readers see the old file or the whole new one.
    ///
    /// Both must be on one file system, except below a mount point: there the bytes are copied beside the target,
    /// synced, and renamed. Otherwise nothing is synced here: see [`Root::sync`].
    pub fn take(&self, from: &Root, path: &RepoPath) -> Result<(), GitError> {
        let failed = self.failed("replace", path);
        let Some(source) = from.parent(path, false)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let Some(target) = self.parent(path, true)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let name = path.file_name();
        match source.rename(name, &target, name) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                copy_across(&source, &target, name).map_err(failed)
            }
            result => result.map_err(failed),
        }
    }

    /// Puts a regular file with these bytes at `path`, replacing what is there unless that is a folder; durable on
    /// return. Missing folders are made. Readers see the old file or the whole new one.
    pub fn write(&self, path: &RepoPath, bytes: &[u8]) -> Result<(), GitError> {
        let failed = self.failed("write", path);
        let Some(folder) = self.parent(path, true)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let beside = beside();
        let written = folder
            .create_file(&beside, false)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .inspect(|()| fault::point("own-written"))
            .and_then(|()| folder.rename(&beside, &folder, path.file_name()));
        if let Err(error) = written {
            let _ = folder.remove_file(&beside);
            return Err(failed(error));
        }
        self.sync([path])
    }

    /// Makes a new regular file at `path`, in whose place nothing may be. Missing folders are made, nothing is synced.
    pub fn create_file(&self, path: &RepoPath, executable: bool) -> Result<File, GitError> {
        let failed = self.failed("create", path);
        let Some(folder) = self.parent(path, true)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        folder.create_file(path.file_name(), executable).map_err(failed)
    }

    /// Returns what tells the file or link at `path` from another one and from itself after a change; `None` if there is
    /// none. See [`Root::replace`].
    pub fn identity(&self, path: &RepoPath) -> Result<Option<FileIdentity>, GitError> {
        match self.parent(path, false) {
            Ok(Some(folder)) => folder.identity(path.file_name()).map_err(self.failed("examine", path)),
            Ok(None) | Err(GitError::BlockedPath { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Moves the file or link at `path` below `from` to the same path here, as [`Root::take`] does, but only if what it
    /// replaces is still `seen` (`None`: if nothing is there). Returns whether it was.
    ///
    /// Nobody can get between look and replacement: the two are swapped in one step, the one that was replaced is looked
    /// at, when nobody finds it by its name any more, and swapped back if it is another (saved by an editor a moment
    /// ago). Where the system cannot swap, the look comes just before the move.
    pub fn replace(&self, from: &Root, path: &RepoPath, seen: Option<FileIdentity>) -> Result<bool, GitError> {
        let failed = self.failed("replace", path);
        let Some(source) = from.parent(path, false)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let target = match self.parent(path, seen.is_none()) {
            Ok(Some(target)) => target,
            Ok(None) | Err(GitError::BlockedPath { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let name = path.file_name();
        let result = match seen {
            Some(seen) => source.exchange(name, &target, name).and_then(|()| {
                let expected = source.identity(name)? == Some(seen);
                if !expected {
                    source.exchange(name, &target, name)?;
                }
                Ok(expected)
            }),
            None => source.rename_new(name, &target, name).map(|()| true),
        };
        match result {
            Ok(replaced) => Ok(replaced),
            // It was removed, or somebody made a file, a moment ago.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices) => {
                if target.identity(name).map_err(&failed)? == seen {
                    self.take(from, path).map(|()| true)
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Moves the file or link at `path` to the same path below `aside`, but only if it is still `seen`. Returns whether it
    /// was. As with [`Root::replace`], it is looked at when nobody finds it by its name any more, and moved back if it is
    /// another.
    pub fn set_aside(&self, aside: &Root, path: &RepoPath, seen: FileIdentity) -> Result<bool, GitError> {
        let failed = self.failed("remove", path);
        let Some(target) = aside.parent(path, true)? else { return Err(failed(io::ErrorKind::NotFound.into())) };
        let source = match self.parent(path, false) {
            Ok(Some(source)) => source,
            Ok(None) | Err(GitError::BlockedPath { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let name = path.file_name();
        match source.rename(name, &target, name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                // Below a mount point it can only be looked at first.
                let is_seen = source.identity(name).map_err(&failed)? == Some(seen);
                return if is_seen { source.remove_file(name).map(|()| true).map_err(failed) } else { Ok(false) };
            }
            Err(error) => return Err(failed(error)),
        }
        let is_seen = target.identity(name).map_err(&failed)? == Some(seen);
        if !is_seen {
            let back = match target.rename_new(name, &source, name) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => target.rename(name, &source, name),
                result => result,
            };
            back.map_err(failed)?;
        }
        Ok(is_seen)
    }

    /// Removes the file or link at `path`; it need not be there. Folders are not removed.
    pub fn remove(&self, path: &RepoPath) -> Result<(), GitError> {
        let Some(folder) = self.parent(path, false)? else { return Ok(()) };
        match folder.remove_file(path.file_name()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(self.failed("remove", path)),
        }
    }

    /// Removes what [`Root::write`] leaves beside `path` when it is killed. Only for callers who know that nobody writes
    /// there now.
    pub fn remove_unfinished(&self, path: &RepoPath) -> Result<(), GitError> {
        let failed = self.failed("tidy up beside", path);
        let Some(folder) = self.parent(path, false)? else { return Ok(()) };
        for name in folder.names().map_err(&failed)? {
            let random = name.strip_prefix(BESIDE.as_bytes()).unwrap_or_default();
            if random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit) {
                folder.remove_file(&name).map_err(&failed)?;
            }
        }
        Ok(())
    }

    /// Removes the folders above `path` that are empty now, from the inside out, as git does after removing a file.
    pub fn remove_empty_parents(&self, path: &RepoPath) -> Result<(), GitError> {
        let mut folder = path.parent();
        while !folder.is_empty() {
            let Ok(current) = RepoPath::try_new(folder) else { return Ok(()) };
            let Some(parent) = self.parent(&current, false)? else { return Ok(()) };
            // Not empty, or gone already: both mean that we are done.
            if parent.remove_folder(current.file_name()).is_err() {
                return Ok(());
            }
            folder = &folder[..current.parent().len()];
        }
        Ok(())
    }

    /// Makes durable what was done at `paths`: the files and the names in their folders. Many are synced in one call for
    /// the whole file system where the system has one (Linux). It waits for everybody else's unwritten data too, so few
    /// files and their folders are synced one by one.
    pub fn sync<'a>(&self, paths: impl IntoIterator<Item = &'a RepoPath>) -> Result<(), GitError> {
        let failed = |source| GitError::Io { action: "sync", path: self.path.clone(), source };
        let paths: Vec<_> = paths.into_iter().collect();
        if paths.len() > FEW && crate::fs::sync_filesystem(&self.path).map_err(failed)? {
            return Ok(());
        }
        let mut folders = std::collections::BTreeSet::new();
        for path in paths {
            if let Some(folder) = self.parent(path, false)? {
                if matches!(folder.kind(path.file_name()), Ok(Some(FileKind::File { .. }))) {
                    folder
                        .open_file(path.file_name())
                        .and_then(|file| file.sync_all())
                        .map_err(self.failed("sync", path))?;
                }
                folder.sync().map_err(self.failed("sync", path))?;
            }
            folders.insert(path.parent());
        }
        // New folders are names in the folders above them.
        for folder in folders {
            let mut above = RepoPath::try_new(folder).ok();
            while let Some(current) = above {
                if let Some(parent) = self.parent(&current, false)? {
                    parent.sync().map_err(self.failed("sync", &current))?;
                }
                above = RepoPath::try_new(current.parent()).ok();
            }
        }
        Ok(())
    }

    /// Opens the folder that holds `path`; `None` if it is missing and not to be made.
    fn parent(&self, path: &RepoPath, create: bool) -> Result<Option<Folder>, GitError> {
        let mut folder = self.top.try_clone().map_err(self.failed("open", path))?;
        let mut length = 0;
        for name in path.parent().split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            length += name.len() + usize::from(length > 0);
            let blocked = || GitError::BlockedPath {
                path: path.clone(),
                parent: RepoPath::try_new(&path.as_bytes()[..length]).expect("part of a path is a path"),
            };
            folder = match folder.open_folder(name) {
                Ok(next) => next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !create {
                        return Ok(None);
                    }
                    match folder.create_folder(name) {
                        // Somebody else may have made it just now.
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(self.failed("make the folders of", path)(error));
                        }
                        _ => folder.open_folder(name).map_err(self.failed("reach", path))?,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(blocked()),
                Err(error) => return Err(self.failed("reach", path)(error)),
            };
        }
        Ok(Some(folder))
    }

    fn failed<'a>(&'a self, action: &'static str, path: &'a RepoPath) -> impl Fn(io::Error) -> GitError + use<'a> {
        move |source| GitError::Io { action, path: self.path.join(path.to_os_path()), source }
    }
}

/// How the names of files begin that are about to be renamed.
const BESIDE: &str = ".archive-tomb-";

/// Returns a name for a file that is about to be renamed.
fn beside() -> Vec<u8> {
    format!("{BESIDE}{:016x}", fastrand::u64(..)).into_bytes()
}

/// Copies `name` beside its target, syncs it and renames it: the way across file systems.
fn copy_across(source: &Folder, target: &Folder, name: &[u8]) -> io::Result<()> {
    let beside = beside();
    let copied = match source.kind(name)? {
        Some(FileKind::File { executable, .. }) => target.create_file(&beside, executable).and_then(|mut file| {
            io::copy(&mut source.open_file(name)?, &mut file)?;
            file.sync_all()
        }),
        Some(FileKind::Symlink) => target.create_link(&source.read_link(name)?, &beside),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a file nor a link")),
    };
    let renamed = copied.and_then(|()| target.rename(&beside, target, name));
    if renamed.is_err() {
        let _ = target.remove_file(&beside);
    }
    renamed
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn path(bytes: impl Into<Vec<u8>>) -> RepoPath {
        RepoPath::try_new(bytes).expect("is a path")
    }

    #[test]
    fn a_linked_or_blocked_parent_is_never_followed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir_all(&inside).expect("makes");
        std::fs::create_dir_all(&outside).expect("makes");
        std::fs::write(outside.join("file"), "kept").expect("writes");
        std::fs::write(inside.join("plain"), "kept").expect("writes");
        symlink(&outside, inside.join("link")).expect("links");
        symlink(outside.join("file"), inside.join("last")).expect("links");
        let root = Root::open(&inside).expect("opens");
        for bad in ["link/file", "link/new/file", "plain/file"] {
            let bad = path(bad);
            assert!(matches!(root.kind(&bad), Err(GitError::BlockedPath { .. })));
            assert!(matches!(root.read(&bad, 10), Err(GitError::BlockedPath { .. })));
            assert!(matches!(root.create_parents(&bad), Err(GitError::BlockedPath { .. })));
            assert!(matches!(root.remove(&bad), Err(GitError::BlockedPath { .. })));
        }
        assert!(root.open_file(&path("last")).is_err());
        assert_eq!(root.kind(&path("last")).expect("looks"), Some(FileKind::Symlink));
        root.remove(&path("last")).expect("removes the link");
        assert_eq!(std::fs::read(outside.join("file")).expect("reads"), b"kept");
        assert_eq!(std::fs::read_dir(&outside).expect("lists").count(), 1);
    }

    #[test]
    fn files_move_in_whatever_their_name_length_and_mode() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (staging, top) = (folder.path().join("staging"), folder.path().join("top"));
        std::fs::create_dir_all(&staging).expect("makes");
        std::fs::create_dir_all(&top).expect("makes");
        let (from, to) = (Root::open(&staging).expect("opens"), Root::open(&top).expect("opens"));
        let long = path([vec!["d".repeat(199); 20].join("/"), "f".repeat(90)].join("/"));
        assert!(long.as_bytes().len() > 4000);
        for path in [path("a/b"), path(b"caf\xe9\n".as_slice()), long] {
            let parent = from.parent(&path, true).expect("makes").expect("is there");
            let file = parent.create_file(path.file_name(), true).expect("creates");
            std::io::Write::write_all(&mut &file, b"new").expect("writes");
            to.take(&from, &path).expect("moves");
            assert_eq!(to.read(&path, 3).expect("reads").as_deref(), Some(&b"new"[..]));
            assert!(to.read(&path, 2).is_err(), "larger than the limit");
            assert_eq!(to.kind(&path).expect("looks"), Some(FileKind::File { executable: true, size: 3 }));
            assert_eq!(from.kind(&path).expect("looks"), None);
            to.sync([&path]).expect("syncs");
            to.remove(&path).expect("removes");
            to.remove(&path).expect("removes what is not there");
            to.remove_empty_parents(&path).expect("tidies");
        }
        assert_eq!(std::fs::read_dir(&top).expect("lists").count(), 0);
    }

    #[test]
    fn only_the_file_that_was_seen_is_replaced() {
        let folder = tempfile::tempdir().expect("makes a folder");
        for (side, content) in [("from", "new"), ("to", "old")] {
            std::fs::create_dir_all(folder.path().join(side).join("d")).expect("makes");
            std::fs::write(folder.path().join(side).join("d/f"), content).expect("writes");
        }
        let from = Root::open(&folder.path().join("from")).expect("opens");
        let to = Root::open(&folder.path().join("to")).expect("opens");
        let file = path("d/f");
        let content =
            |root: &Root| root.read(&file, 99).expect("reads").map(|bytes| String::from_utf8(bytes).expect("is text"));
        let seen = to.identity(&file).expect("looks");
        assert!(!to.replace(&from, &file, None).expect("asks"), "something is there");
        std::fs::write(to.path().join("d/f"), "edited").expect("edits");
        assert!(!to.replace(&from, &file, seen).expect("asks"), "it was edited");
        assert_eq!((content(&from).as_deref(), content(&to).as_deref()), (Some("new"), Some("edited")));
        let seen = to.identity(&file).expect("looks");
        assert!(to.replace(&from, &file, seen).expect("replaces"));
        assert_eq!(content(&to).as_deref(), Some("new"));
        to.remove(&file).expect("removes");
        std::fs::write(from.path().join("d/f"), "again").expect("writes");
        assert!(!to.replace(&from, &file, seen).expect("asks"), "it was removed");
        std::fs::remove_dir(to.path().join("d")).expect("removes");
        assert!(!to.replace(&from, &file, seen).expect("asks"), "its folder was removed");
        assert!(to.replace(&from, &file, None).expect("moves"));
        assert_eq!(content(&to).as_deref(), Some("again"));
        std::fs::write(from.path().join("x"), "file").expect("writes");
        std::fs::create_dir_all(to.path().join("x/y")).expect("makes");
        assert_eq!(to.identity(&path("x")).expect("looks"), None);
        assert!(!to.replace(&from, &path("x"), None).expect("asks"), "folders stay");
    }

    #[test]
    fn only_the_file_that_was_seen_is_set_aside() {
        let folder = tempfile::tempdir().expect("makes a folder");
        for side in ["aside", "top"] {
            std::fs::create_dir(folder.path().join(side)).expect("makes");
        }
        let aside = Root::open(&folder.path().join("aside")).expect("opens");
        let top = Root::open(&folder.path().join("top")).expect("opens");
        let file = path("d/f");
        top.write(&file, b"old").expect("writes");
        let seen = top.identity(&file).expect("looks").expect("is there");
        std::fs::write(top.path().join("d/f"), "edited").expect("edits");
        assert!(!top.set_aside(&aside, &file, seen).expect("asks"), "it was edited");
        assert_eq!(top.read(&file, 99).expect("reads").as_deref(), Some(&b"edited"[..]));
        let seen = top.identity(&file).expect("looks").expect("is there");
        assert!(top.set_aside(&aside, &file, seen).expect("moves"));
        assert_eq!((top.kind(&file).expect("looks"), aside.kind(&file).expect("looks").is_some()), (None, true));
        assert!(!top.set_aside(&aside, &file, seen).expect("asks"), "it is gone");
    }

    #[test]
    fn what_a_killed_writer_leaves_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let root = Root::open(folder.path()).expect("opens");
        for name in [".archive-tomb-0123456789abcdef", ".archive-tomb-mine", "file"] {
            std::fs::write(folder.path().join(name), "x").expect("writes");
        }
        root.remove_unfinished(&path("file")).expect("tidies");
        root.remove_unfinished(&path("none/file")).expect("has nothing to do");
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).expect("lists").map(|entry| entry.expect("lists").file_name()).collect();
        names.sort();
        assert_eq!(names, [".archive-tomb-mine", "file"]);
    }

    #[test]
    fn across_file_systems_files_are_copied_whole() {
        let folder = tempfile::tempdir().expect("makes a folder");
        std::fs::write(folder.path().join("a"), "bytes").expect("writes");
        std::fs::set_permissions(folder.path().join("a"), std::fs::Permissions::from_mode(0o755)).expect("sets");
        symlink("target", folder.path().join("l")).expect("links");
        std::fs::create_dir(folder.path().join("to")).expect("makes");
        let (source, target) = (Folder::open_top(folder.path()).expect("opens"), Root::open(&folder.path().join("to")));
        let target = target.expect("opens");
        for name in ["a", "l"] {
            copy_across(&source, &target.top, name.as_bytes()).expect("copies");
        }
        assert_eq!(target.kind(&path("a")).expect("looks"), Some(FileKind::File { executable: true, size: 5 }));
        assert_eq!(target.read(&path("l"), 10).expect("reads").as_deref(), Some(&b"target"[..]));
        assert_eq!(std::fs::read_dir(target.path()).expect("lists").count(), 2);
    }

    #[test]
    fn a_folder_is_never_replaced_by_a_file() {
        let folder = tempfile::tempdir().expect("makes a folder");
        std::fs::create_dir_all(folder.path().join("from")).expect("makes");
        std::fs::create_dir_all(folder.path().join("to/a/b")).expect("makes");
        std::fs::write(folder.path().join("from/a"), "x").expect("writes");
        let from = Root::open(&folder.path().join("from")).expect("opens");
        let to = Root::open(&folder.path().join("to")).expect("opens");
        assert!(to.take(&from, &path("a")).is_err());
        assert!(to.remove(&path("a")).is_err());
        assert_eq!(to.kind(&path("a/b")).expect("looks"), Some(FileKind::Folder));
    }
}
