//! Changing the index under git's own lock.
//!
//! The lock is `<index>.lock`, made exclusively as git makes it, so no git command changes the index meanwhile. Changes
//! go to a copy beside the index, by git itself; the finished copy is synced and renamed over the index, and the lock
//! removed. A lock that a killed process left holds the note it was taken with, so that its owner's journal knows it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use super::{FileKind, GitError, ObjectFormat, Repository, Root, Stages, TreeEntry, command};
use crate::fault;
use crate::id::Sha256;
use crate::item::RepoPath;

/// The first line of our locks, before the note.
const SIGNATURE: &str = "git-archive-tomb ";

/// What the index's name and this begin: the names of its copies.
const COPY: &str = ".archive-tomb-";

/// How the names of locks begin that are not in place yet.
const NEW_LOCK: &str = "archive-tomb-lock-";

/// How the names of staging folders begin.
const STAGING: &str = "archive-tomb-staging-";

/// One change to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexUpdate {
    /// Where.
    pub path: RepoPath,
    /// What is to stand there; `None` removes the entry. Entries in conflict at the path are replaced.
    pub entry: Option<TreeEntry>,
    /// Whether sparse checkout leaves the file out of the working tree.
    pub skip_worktree: bool,
}

/// The lock on the index, with a copy that collects changes. Dropped without [`IndexLock::commit`], both are gone and
/// the index is as it was.
#[derive(Debug)]
pub struct IndexLock<'a> {
    repository: &'a Repository,
    index: PathBuf,
    lock: PathBuf,
    copy: PathBuf,
    tag: String,
}

impl<'a> IndexLock<'a> {
    /// Takes the lock, at once or not at all, as git does. `note` is one line that tells whose lock it is, and by which
    /// [`remove_stale_lock`] knows whatever a killed owner leaves.
    pub fn acquire(repository: &'a Repository, note: &str) -> Result<Self, GitError> {
        let (index, lock) = places(repository);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| GitError::Io { action, path, source }
        };
        // The lock appears with its note in it, so that even one left by a process killed right here is recognised.
        let folder = crate::fs::parent_of(&index);
        let tag = tag(note);
        let mut file = tempfile::Builder::new()
            .prefix(&format!("{NEW_LOCK}{tag}-"))
            .tempfile_in(folder)
            .map_err(failed("make a file in", folder))?;
        writeln!(file, "{SIGNATURE}{note}")
            .and_then(|()| file.as_file().sync_all())
            .map_err(failed("write", file.path()))?;
        fault::point("lock-written");
        match file.persist_noclobber(&lock) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(GitError::IndexLocked { path: lock });
            }
            Err(error) => return Err(failed("create", &lock)(error.error)),
        }
        // A name of its own: a child that outlives a killed owner may still write to that one's copy.
        let mut copy = index.clone().into_os_string();
        copy.push(format!("{COPY}{tag}-{:016x}", fastrand::u64(..)));
        let copy = PathBuf::from(copy);
        // From here on, dropping frees the lock.
        let guard = Self { repository, index, lock, copy, tag };
        fault::point("lock-bare");
        match std::fs::copy(&guard.index, &guard.copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("copy", &guard.index)(error)),
            // There may be no index yet: git makes one.
            _ => Ok(guard),
        }
    }

    /// Changes the copy, in one child.
    pub fn update(&self, updates: &[IndexUpdate]) -> Result<(), GitError> {
        let lines = index_info(updates, self.repository.object_format());
        let skips = |update: &&IndexUpdate| update.entry.is_some() && update.skip_worktree;
        let skipped: Vec<u8> =
            updates.iter().filter(skips).flat_map(|update| [update.path.as_bytes(), b"\0"].concat()).collect();
        self.run("update-index", &["update-index", "-z", "--index-info"], &lines)?;
        if !skipped.is_empty() {
            self.run("update-index", &["update-index", "-z", "--skip-worktree", "--stdin"], &skipped)?;
        }
        Ok(())
    }

    /// Puts paths into conflict in the copy: each with the versions that it has, the common ancestor's, ours and theirs.
    pub fn update_conflicts(&self, conflicts: &[(&RepoPath, Stages)]) -> Result<(), GitError> {
        let null = self.repository.object_format().null_id();
        let mut lines = Vec::new();
        for (path, stages) in conflicts {
            lines.extend([format!("0 {null}\t").as_bytes(), path.as_bytes(), b"\0"].concat());
            for (entry, stage) in stages.iter().zip(1..).filter_map(|(entry, stage)| Some((entry.as_ref()?, stage))) {
                let facts = format!("{:o} {} {stage}\t", entry.mode, entry.id);
                lines.extend([facts.as_bytes(), path.as_bytes(), b"\0"].concat());
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        self.run("update-index", &["update-index", "-z", "--index-info"], &lines)
    }

    /// Writes the copy's files at `paths` into a staging folder, as git checks them out: with their modes, links, line
    /// ends and filters. They are durable when this returns. Where a path is no file or link in the copy (nothing, a
    /// conflict, a submodule), that is an error.
    pub fn checkout(&self, paths: &[&RepoPath]) -> Result<StagedFiles, GitError> {
        let top = self.repository.require_work_tree()?;
        let folder = staging_parent(self.repository.git_dir(), top)?;
        let failed = |source| GitError::Io { action: "make a staging folder in", path: folder.to_owned(), source };
        let staging =
            tempfile::Builder::new().prefix(&format!("{STAGING}{}-", self.tag)).tempdir_in(folder).map_err(failed)?;
        // A relative prefix keeps the whole short: long paths have little room below the system's limit.
        let prefix = relative(top, staging.path());
        let mut option = OsString::from("--prefix=");
        option.push(prefix);
        option.push("/");
        let listed: Vec<u8> = paths.iter().flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect();
        let arguments = ["checkout-index", "-z", "--stdin", "--quiet", "--ignore-skip-worktree-bits"];
        let mut command = self.command(&["core.bigFileThreshold=1m"], &arguments);
        command::run("checkout-index", command.arg(option), &listed)?.ok("checkout-index")?;
        let root = Root::open(staging.path())?;
        for path in paths {
            // Git passes over what is not in the index without an error.
            if root.kind(path)?.as_ref().and_then(FileKind::mode).is_none() {
                let source = io::Error::new(io::ErrorKind::NotFound, "git did not check it out");
                return Err(GitError::Io { action: "stage", path: path.to_os_path(), source });
            }
        }
        // Besides being needed, this is fast: ext4 writes out a file that is not on disk yet when it is renamed over
        // another, one by one.
        root.sync(paths.iter().copied())?;
        Ok(StagedFiles { root, _folder: staging })
    }

    /// Looks at the files of the working tree again, so that git need not take those just written for changed.
    pub fn refresh(&self) -> Result<(), GitError> {
        let mut command = self.command(&[], &["update-index", "-q", "--unmerged", "--refresh"]);
        // It fails where files differ from the index, which is none of our business.
        command::run("update-index", &mut command, b"").map(drop)
    }

    /// Makes the copy the index, durably, and frees the lock.
    pub fn commit(self) -> Result<(), GitError> {
        let failed = |action, source| GitError::Io { action, path: self.index.clone(), source };
        File::open(&self.copy).and_then(|file| file.sync_all()).map_err(|source| failed("sync", source))?;
        fault::point("index-written");
        std::fs::rename(&self.copy, &self.index).map_err(|source| failed("replace", source))?;
        fault::point("index-renamed");
        crate::fs::sync_dir(crate::fs::parent_of(&self.index)).map_err(|source| failed("sync", source))
    }

    fn run(&self, name: &'static str, arguments: &[&str], input: &[u8]) -> Result<(), GitError> {
        command::run(name, &mut self.command(&[], arguments), input)?.ok(name).map(drop)
    }

    fn command(&self, configuration: &[&str], arguments: &[&str]) -> std::process::Command {
        let mut command = self.repository.git().command(configuration, arguments);
        command.env("GIT_INDEX_FILE", &self.copy);
        // Interrupting at the terminal reaches every program there. Whether to stop is decided by the owner of the lock.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if self.repository.work_tree().is_none() {
            command.env("GIT_WORK_TREE", self.repository.git_dir());
        }
        command
    }
}

impl Drop for IndexLock<'_> {
    fn drop(&mut self) {
        // After a commit the copy is gone already.
        let _ = std::fs::remove_file(&self.copy);
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// Files in a staging folder, ready to be moved into the working tree. The folder goes when this is dropped.
#[derive(Debug)]
pub struct StagedFiles {
    root: Root,
    _folder: tempfile::TempDir,
}

impl StagedFiles {
    /// Returns the staging folder; each file is at its own path in it. See [`Root::take`].
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Gives the file at `path`, which must be a regular one, exactly these bytes: past git's filters. Durable on return.
    pub fn replace(&self, path: &RepoPath, executable: bool, bytes: &mut dyn Read) -> Result<(), GitError> {
        self.root.remove(path)?;
        let mut file = self.root.create_file(path, executable)?;
        io::copy(bytes, &mut file).and_then(|_| file.sync_all()).map_err(|source| GitError::Io {
            action: "write",
            path: path.to_os_path(),
            source,
        })
    }
}

/// Returns the note of a lock that this program took and did not free; `None` if there is no lock or it is not ours.
/// Whether its owner still runs is not known here.
pub fn stale_lock_note(repository: &Repository) -> Result<Option<String>, GitError> {
    let (_, lock) = places(repository);
    let mut text = Vec::new();
    match crate::fs::open_no_follow(OpenOptions::new().read(true), &lock)
        .and_then(|file| file.take(1024).read_to_end(&mut text))
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(GitError::Io { action: "read", path: lock, source }),
    }
    let note = text.strip_prefix(SIGNATURE.as_bytes()).and_then(|note| note.strip_suffix(b"\n"));
    Ok(note.and_then(|note| String::from_utf8(note.to_vec()).ok()))
}

/// Removes a lock that was taken with `note`, and whatever else its owner left beside the index, in the git directory and
/// at the top of the working tree; returns whether the lock was there.
///
/// Only for callers who know that the owner is dead: it holds another lock then that died with it. The lock may be gone
/// already: git tells people to remove such a file by hand.
pub fn remove_stale_lock(repository: &Repository, note: &str) -> Result<bool, GitError> {
    let (index, lock) = places(repository);
    let tag = tag(note);
    let beside = crate::fs::parent_of(&index);
    let mut copies = index.file_name().unwrap_or_default().to_owned();
    copies.push(format!("{COPY}{tag}-"));
    remove_named(beside, &copies)?;
    remove_named(beside, format!("{NEW_LOCK}{tag}-").as_ref())?;
    for folder in std::iter::once(repository.git_dir()).chain(repository.work_tree()) {
        remove_named(folder, format!("{STAGING}{tag}-").as_ref())?;
    }
    if stale_lock_note(repository)?.as_deref() != Some(note) {
        return Ok(false);
    }
    std::fs::remove_file(&lock).map_err(|source| GitError::Io { action: "remove", path: lock, source })?;
    Ok(true)
}

/// Returns what `git update-index -z --index-info` is told to make these changes.
pub(super) fn index_info(updates: &[IndexUpdate], format: ObjectFormat) -> Vec<u8> {
    let mut lines = Vec::new();
    for update in updates {
        let facts = match &update.entry {
            Some(entry) => format!("{:o} {}\t", entry.mode, entry.id),
            None => format!("0 {}\t", format.null_id()),
        };
        lines.extend([facts.as_bytes(), update.path.as_bytes(), b"\0"].concat());
    }
    lines
}

/// Returns what the names of all files of a lock with this note have in common, and no others.
fn tag(note: &str) -> String {
    let mut tag = Sha256::of(note.as_bytes()).to_string();
    tag.truncate(16);
    tag
}

/// Removes the files and folders in `folder` whose names begin with `prefix`.
fn remove_named(folder: &Path, prefix: &OsStr) -> Result<(), GitError> {
    let failed = |source| GitError::Io { action: "list", path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed =
                if is_folder { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) };
            removed.map_err(|source| GitError::Io { action: "remove", path: entry.path(), source })?;
        }
    }
    Ok(())
}

/// Returns the index itself, where its name is a link as git follows it, and its lock.
fn places(repository: &Repository) -> (PathBuf, PathBuf) {
    let named = repository.index_path();
    let index = std::fs::canonicalize(named).unwrap_or_else(|_| named.to_owned());
    let mut lock = index.clone().into_os_string();
    lock.push(".lock");
    (index, lock.into())
}

/// Returns how to reach `target` from the folder `from`; both are absolute and free of links.
fn relative(from: &Path, target: &Path) -> PathBuf {
    let common = from.components().zip(target.components()).take_while(|(left, right)| left == right).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(target.components().skip(common)).collect()
}

/// Returns where to stage: the git directory if files can be renamed from there into the working tree, else its top.
fn staging_parent<'a>(git_dir: &'a Path, top: &'a Path) -> Result<&'a Path, GitError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let device = |path: &Path| match std::fs::metadata(path) {
            Ok(metadata) => Ok(metadata.dev()),
            Err(source) => Err(GitError::Io { action: "examine", path: path.to_owned(), source }),
        };
        Ok(if device(git_dir)? == device(top)? { git_dir } else { top })
    }
    #[cfg(not(unix))]
    Ok(if git_dir.starts_with(top) { git_dir } else { top })
}
