//! One change of the tree, for every command that makes one: evidence, operations log, files and index.
//!
//! The order of writes is that of `docs/design.md`, steps 4 to 8. Every step may be repeated, so finishing a change that
//! was stopped is applying it again.

mod own;
mod standing;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

pub use own::{
    OwnFilesError, check_own_places, check_sample, check_unaltered, prepare_own_files, prepare_own_files_in,
    withdraw_own_files,
};
pub use standing::{Expected, Standing, index_entries_of, standings};

use crate::evidence::log::{LogError, OperationsLog, records};
use crate::evidence::writer::NewEvidenceFile;
use crate::fault;
use crate::git::{
    BranchName, FileIdentity, GitError, IndexEntry, IndexLock, IndexUpdate, Repository, Root, TreeEntry, WorkState,
};
use crate::id::{ObjectId, OperationId, Sha256};
use crate::item::{FileMode, RepoPath};
use crate::journal::JournalError;

/// A path that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Where.
    pub path: RepoPath,
    /// What has to stand there for it to change.
    pub before: Before,
    /// What will stand there.
    pub after: TreeEntry,
    /// Whether the file gets the blob's very bytes, past git's checkout filters.
    pub raw: bool,
}

/// What has to stand at a path for it to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Before {
    /// Just this.
    Exactly {
        /// What the index holds.
        staged: TreeEntry,
        /// What the working file would be.
        working: TreeEntry,
    },
    /// Nothing.
    Nothing,
    /// Whatever it is, it may go.
    Anything,
}

/// Why a change was not made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Git, or a file of the working tree, failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The operations log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It was interrupted in time: nothing has changed.
    #[error("interrupted")]
    Interrupted,
    /// Somebody else made a branch of that name, or one that is in its way.
    #[error("branch `{branch}` cannot be made: another one took its name meanwhile")]
    BranchTaken {
        /// The branch.
        branch: BranchName,
    },
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A change about to be applied, under the index lock.
pub struct TreeChange<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its index, locked.
    pub lock: IndexLock<'a>,
    /// The evidence.
    pub evidence: &'a NewEvidenceFile,
    /// Set from outside to stop the change, for which it is too late once a file has changed.
    pub interrupted: &'a AtomicBool,
    /// Told just before the first file changes.
    pub touching: &'a mut dyn FnMut(),
}

/// What a file that is put in place may replace.
#[derive(Debug, Clone, Copy)]
enum Replacing {
    /// The file or link that was seen there, as it was then; nothing if nothing was.
    Seen(Option<FileIdentity>),
    /// Whatever is there.
    Anything,
}

/// The files of a change by how they stand.
#[derive(Default)]
struct Divided<'f> {
    pending: Vec<(&'f FileChange, Replacing)>,
    done: Vec<&'f FileChange>,
    left: Vec<&'f FileChange>,
}

impl TreeChange<'_> {
    /// Makes the files change (steps 6 and 7) and then the index (step 8), and releases the lock. Returns the paths that
    /// were left as they are, in the index too, because something else than before or after the change stands there.
    ///
    /// The blobs of `files` and `own` must have been written.
    pub fn apply(self, files: &[FileChange], own: &[(RepoPath, ObjectId)]) -> Result<Vec<RepoPath>, ChangeError> {
        let evidence = self.repository.objects().write_blobs(&[self.evidence.bytes()])?;
        fault::point("blobs");
        let Divided { pending, done, left } = self.divide(files)?;
        let mut updates = Vec::with_capacity(files.len() + own.len() + 1);
        updates.extend(evidence.first().map(|id| update(&self.evidence.path(), regular(*id))));
        updates.extend(own.iter().map(|(path, id)| update(path, regular(*id))));
        let changing = pending.iter().map(|(file, _)| file).chain(&done);
        updates.extend(changing.map(|file| update(&file.path, file.after)));
        self.lock.update(&updates)?;
        fault::point("copy");
        let placed: Vec<_> = pending.iter().map(|(file, replacing)| (&file.path, *replacing)).collect();
        let raw: Vec<_> =
            pending.iter().filter(|(file, _)| file.raw).map(|(file, _)| (&file.path, file.after)).collect();
        let mut left: Vec<RepoPath> = left.into_iter().map(|file| file.path.clone()).collect();
        left.extend(put_in_place(self.repository, &self.lock, &placed, &raw, &mut || {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(ChangeError::Interrupted);
            }
            (self.touching)();
            Ok(())
        })?);
        left.sort();
        fault::point("files");
        self.lock.refresh()?;
        self.lock.commit()?;
        fault::point("index");
        Ok(left)
    }

    /// Divides the files into those that still have to change, those that have, and those that hold something else.
    fn divide<'f>(&self, files: &'f [FileChange]) -> Result<Divided<'f>, GitError> {
        let root = Root::open(self.repository.require_work_tree()?)?;
        let mut divided = Divided::default();
        let (mut known, mut expected, mut doubtful) = (Vec::new(), Vec::new(), Vec::new());
        for file in files {
            match file.before {
                Before::Exactly { staged, working } => {
                    // Seen before its content is read: what changes later is another file.
                    known.push((file, Replacing::Seen(root.identity(&file.path)?)));
                    expected.push(Expected { path: file.path.clone(), staged, working });
                }
                Before::Anything => divided.pending.push((file, Replacing::Anything)),
                Before::Nothing if root.kind(&file.path)?.is_none() => {
                    divided.pending.push((file, Replacing::Seen(None)));
                }
                Before::Nothing => doubtful.push(file),
            }
        }
        for ((file, seen), standing) in known.into_iter().zip(standings(self.repository, &expected)?) {
            match standing {
                Standing::Exact => divided.pending.push((file, seen)),
                Standing::Modified | Standing::Staged | Standing::NotInIndex => doubtful.push(file),
                _ => divided.left.push(file),
            }
        }
        // An earlier try may have changed the working file already.
        let after: Vec<_> = doubtful.iter().map(|file| (file.path.clone(), file.after)).collect();
        for (file, state) in doubtful.into_iter().zip(self.repository.work_states(&after)?) {
            if state == WorkState::Unmodified { divided.done.push(file) } else { divided.left.push(file) }
        }
        Ok(divided)
    }
}

/// Puts the evidence file into the working tree, durably.
pub fn place_evidence(repository: &Repository, evidence: &NewEvidenceFile) -> Result<(), GitError> {
    Root::open(repository.require_work_tree()?)?.write(&evidence.path(), evidence.bytes())?;
    fault::point("evidence-file");
    Ok(())
}

/// Appends the lines of the evidence of operation `op` to the operations log; with `resumed` those that are not there.
pub fn log_evidence(log: &Path, op: OperationId, evidence: &NewEvidenceFile, resumed: bool) -> Result<(), LogError> {
    let mut lines = evidence.lines();
    if resumed {
        let present = logged(log, op)?;
        lines.retain(|line| !present.contains(&Sha256::of(line.as_bytes())));
    }
    OperationsLog::open(log)?.append(&lines)?;
    fault::point("log");
    Ok(())
}

/// Puts back what stood at the paths of a change that was stopped before the index changed. Returns the paths that hold
/// neither what stood there nor what the change made of it, and those whose former content is not known.
pub fn revert(
    repository: &Repository,
    lock: &IndexLock<'_>,
    files: &[FileChange],
) -> Result<Vec<RepoPath>, ChangeError> {
    let after: Vec<_> = files.iter().map(|file| (file.path.clone(), file.after)).collect();
    let root = Root::open(repository.require_work_tree()?)?;
    let seen: Vec<_> = files.iter().map(|file| root.identity(&file.path)).collect::<Result<_, _>>()?;
    let (mut originals, mut updates, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let mut unchanged = Vec::new();
    for ((file, seen), state) in files.iter().zip(seen).zip(repository.work_states(&after)?) {
        match (file.before, state) {
            (Before::Exactly { working, .. }, WorkState::Unmodified) => {
                originals.push((&file.path, Replacing::Seen(seen)));
                updates.push(update(&file.path, working));
            }
            (Before::Exactly { staged, working }, _) => {
                unchanged.push(Expected { path: file.path.clone(), staged, working });
            }
            (Before::Nothing, WorkState::Unmodified) => {
                root.remove(&file.path)?;
                root.remove_empty_parents(&file.path)?;
            }
            // What is not the change's own is as it was.
            (Before::Nothing, WorkState::Missing) | (Before::Anything, WorkState::Modified | WorkState::Missing) => {}
            (Before::Nothing, WorkState::Modified) | (Before::Anything, WorkState::Unmodified) => {
                left.push(file.path.clone());
            }
        }
    }
    for (expected, standing) in unchanged.iter().zip(standings(repository, &unchanged)?) {
        if standing != Standing::Exact {
            left.push(expected.path.clone());
        }
    }
    // The copy of the index that the lock holds serves to check the originals out; it is never made the index.
    lock.update(&updates)?;
    left.extend(put_in_place(repository, lock, &originals, &[], &mut || Ok(()))?);
    left.sort();
    Ok(left)
}

/// Removes the evidence file of a change that is undone, if it is there and is that file.
pub fn withdraw_evidence(repository: &Repository, evidence: &NewEvidenceFile) -> Result<(), GitError> {
    let root = Root::open(repository.require_work_tree()?)?;
    let path = evidence.path();
    match root.read(&path, evidence.bytes().len() as u64) {
        Ok(Some(bytes)) if bytes == evidence.bytes() => {
            root.remove(&path)?;
            root.remove_empty_parents(&path)?;
            root.sync([&path])
        }
        // Its folders may have been made already.
        Ok(None) => root.remove_empty_parents(&path),
        _ => Ok(()),
    }
}

/// Removes what a killed process left half-written beside `paths`. Only under the index lock, when nobody writes there.
pub fn remove_unfinished<'a>(
    repository: &Repository,
    paths: impl IntoIterator<Item = &'a RepoPath>,
) -> Result<(), GitError> {
    let root = Root::open(repository.require_work_tree()?)?;
    // One of each folder will do.
    let folders: BTreeMap<&[u8], &RepoPath> = paths.into_iter().map(|path| (path.parent(), path)).collect();
    folders.into_values().try_for_each(|path| match root.remove_unfinished(path) {
        // A folder that became something else holds nothing of ours.
        Err(GitError::BlockedPath { .. }) => Ok(()),
        result => result,
    })
}

/// Checks files out of the locked copy of the index, those that are in `raw` too as the very bytes of their blobs, and
/// moves them into the working tree, durably. Returns the paths at which something else stands than was seen there; they
/// stay as they are, in the copy of the index too.
///
/// `touching` is called when all files are ready and none has moved.
fn put_in_place(
    repository: &Repository,
    lock: &IndexLock<'_>,
    files: &[(&RepoPath, Replacing)],
    raw: &[(&RepoPath, TreeEntry)],
    touching: &mut dyn FnMut() -> Result<(), ChangeError>,
) -> Result<Vec<RepoPath>, ChangeError> {
    let paths: Vec<_> = files.iter().map(|(path, _)| *path).collect();
    let staged = if paths.is_empty() { None } else { Some(lock.checkout(&paths)?) };
    for (path, entry) in raw {
        let mode = FileMode::from_bits(entry.mode);
        if let (Some(staged), true) = (&staged, mode != Some(FileMode::Symlink)) {
            let mut bytes = repository.objects().open_blob(&entry.id)?;
            staged.replace(path, mode == Some(FileMode::Executable), &mut bytes)?;
        }
    }
    fault::point("staged");
    touching()?;
    let Some(staged) = staged else { return Ok(Vec::new()) };
    let root = Root::open(repository.require_work_tree()?)?;
    let mut left = Vec::new();
    for (path, replacing) in files {
        let replaced = match replacing {
            Replacing::Seen(seen) => root.replace(staged.root(), path, *seen)?,
            Replacing::Anything => root.take(staged.root(), path).map(|()| true)?,
        };
        if !replaced {
            left.push((*path).clone());
        }
        fault::point("file");
    }
    root.sync(paths.iter().copied())?;
    if !left.is_empty() {
        // The index itself has not changed under the lock.
        let entries = index_entries_of(repository, &left.iter().collect::<Vec<_>>())?;
        let as_before = |(path, entries): (&RepoPath, Vec<_>)| {
            let entry = entries.into_iter().find(|entry: &IndexEntry| entry.stage == 0);
            let skip_worktree = entry.as_ref().is_some_and(|entry| entry.skip_worktree);
            IndexUpdate { path: path.clone(), entry: entry.map(|entry| entry.entry), skip_worktree }
        };
        lock.update(&left.iter().zip(entries).map(as_before).collect::<Vec<_>>())?;
    }
    Ok(left)
}

/// Puts regular files into the locked copy of the index.
pub fn stage(lock: &IndexLock<'_>, files: &[(RepoPath, ObjectId)]) -> Result<(), GitError> {
    let updates: Vec<_> = files.iter().map(|(path, id)| update(path, regular(*id))).collect();
    lock.update(&updates)
}

/// Returns the change that puts `entry` at `path`.
pub(crate) fn update(path: &RepoPath, entry: TreeEntry) -> IndexUpdate {
    IndexUpdate { path: path.clone(), entry: Some(entry), skip_worktree: false }
}

/// Returns the entry of a plain file.
pub(crate) fn regular(id: ObjectId) -> TreeEntry {
    TreeEntry { mode: FileMode::Regular.bits(), id }
}

/// Returns the digests of the lines of operation `op` that are in the operations log.
fn logged(log: &Path, op: OperationId) -> Result<HashSet<Sha256>, LogError> {
    let mut digests = HashSet::new();
    for entry in records(log)?.into_iter().flatten() {
        if let Ok(entry) = entry
            && entry.record.op == op
        {
            digests.insert(entry.digest);
        }
    }
    Ok(digests)
}
