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
pub use standing::{
    ConflictStanding, Expected, Standing, Versions, conflict_standings, index_entries_of, stand_as, standings,
};

use crate::evidence::log::{LogError, OperationsLog, records};
use crate::evidence::writer::NewEvidenceFile;
use crate::fault;
use crate::git::{BranchName, FileIdentity, GitError, IndexLock, IndexUpdate, Repository, Root, Stages, TreeEntry};
use crate::id::{ObjectId, OperationId, Sha256};
use crate::item::{FileMode, RepoPath};
use crate::journal::JournalError;

/// A path that changes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileChange {
    /// Where.
    pub path: RepoPath,
    /// What has to stand there for it to change.
    pub before: Before,
    /// What will stand there.
    pub after: After,
    /// Whether the file gets the blob's very bytes, past git's checkout filters.
    pub raw: bool,
}

/// What has to stand at a path for it to change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Before {
    /// Just this.
    Exactly {
        /// What the index holds.
        staged: TreeEntry,
        /// What the working file would be.
        working: TreeEntry,
    },
    /// A conflict; boxed, as changes are many and conflicts few.
    Conflict(Box<Versions>),
    /// Nothing.
    Nothing,
    /// Whatever it is, it may go.
    Anything,
}

/// What will stand at a path after it changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum After {
    /// A file, staged.
    File(TreeEntry),
    /// A conflict.
    Conflict(Box<Versions>),
    /// Nothing.
    Nothing,
}

impl After {
    /// Returns what the working file will be; `None` if there will be none.
    pub fn working(&self) -> Option<TreeEntry> {
        match self {
            Self::File(entry) => Some(*entry),
            Self::Conflict(versions) => versions.working,
            Self::Nothing => None,
        }
    }
}

/// Why a change was not made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Git, or a file of the working tree, failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// With its files there, git would alter evidence.
    #[error(transparent)]
    Attributes(#[from] OwnFilesError),
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
        let evidence = evidence.first().map(|id| (self.evidence.path(), *id));
        let own: Vec<_> = evidence.into_iter().chain(own.iter().cloned()).collect();
        change_files(self.repository, self.lock, files, &own, &mut || {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(ChangeError::Interrupted);
            }
            (self.touching)();
            Ok(())
        })
    }
}

/// Makes files change, then the index, in which `own` is staged too, and releases the lock. Returns the paths that were
/// left as they are, in the index too, because something else than before or after the change stands there.
///
/// `touching` is called when everything is ready and no file has changed.
pub fn change_files(
    repository: &Repository,
    lock: IndexLock<'_>,
    files: &[FileChange],
    own: &[(RepoPath, ObjectId)],
    touching: &mut dyn FnMut() -> Result<(), ChangeError>,
) -> Result<Vec<RepoPath>, ChangeError> {
    let Divided { pending, done, left } = divide(repository, files)?;
    let changing = || pending.iter().map(|(file, _)| *file).chain(done.iter().copied());
    let mut updates: Vec<_> = own.iter().map(|(path, id)| update(path, regular(*id))).collect();
    // Git checks out what is staged and not in conflict, so the conflicts come into the index last.
    updates.extend(changing().map(|file| update_to(&file.path, file.after.working())));
    lock.update(&updates)?;
    fault::point("copy");
    let mut left: Vec<RepoPath> = left.into_iter().map(|file| file.path.clone()).collect();
    left.extend(put_in_place(repository, &lock, &pending, touching)?);
    left.sort();
    fault::point("files");
    let conflicts = changing().filter_map(|file| match &file.after {
        After::Conflict(versions) if left.binary_search(&file.path).is_err() => Some((&file.path, versions.stages)),
        _ => None,
    });
    lock.update_conflicts(&conflicts.collect::<Vec<_>>())?;
    lock.refresh()?;
    lock.commit()?;
    fault::point("index");
    Ok(left)
}

/// Divides files into those that still have to change, those that have, and those that hold something else.
fn divide<'f>(repository: &Repository, files: &'f [FileChange]) -> Result<Divided<'f>, GitError> {
    let root = Root::open(repository.require_work_tree()?)?;
    let mut divided = Divided::default();
    let (mut known, mut expected, mut doubtful) = (Vec::new(), Vec::new(), Vec::new());
    let (mut in_conflict, mut conflicts) = (Vec::new(), Vec::new());
    for file in files {
        // Seen before its content is read: what changes later is another file.
        let seen = || root.identity(&file.path).map(|seen| (file, Replacing::Seen(seen)));
        match &file.before {
            Before::Exactly { staged, working } => {
                known.push(seen()?);
                expected.push(Expected { path: file.path.clone(), staged: *staged, working: *working });
            }
            Before::Conflict(versions) => {
                in_conflict.push(seen()?);
                conflicts.push((&file.path, **versions));
            }
            Before::Anything => divided.pending.push((file, Replacing::Anything)),
            Before::Nothing if root.kind(&file.path)?.is_none() => {
                divided.pending.push((file, Replacing::Seen(None)));
            }
            Before::Nothing => doubtful.push(file),
        }
    }
    for ((file, seen), standing) in known.into_iter().zip(standings(repository, &expected)?) {
        match standing {
            Standing::Exact => divided.pending.push((file, seen)),
            Standing::Modified | Standing::Staged | Standing::NotInIndex => doubtful.push(file),
            Standing::Missing if file.after == After::Nothing => divided.done.push(file),
            Standing::Conflicted if matches!(file.after, After::Conflict(_)) => doubtful.push(file),
            Standing::Missing | Standing::Sparse | Standing::Conflicted => divided.left.push(file),
        }
    }
    for ((file, seen), standing) in in_conflict.into_iter().zip(conflict_standings(repository, &conflicts)?) {
        match standing {
            ConflictStanding::Exact => divided.pending.push((file, seen)),
            ConflictStanding::Modified | ConflictStanding::Staged => doubtful.push(file),
        }
    }
    // An earlier try may have changed the working file already.
    let after: Vec<_> = doubtful.iter().map(|file| (&file.path, file.after.working())).collect();
    for (file, is_done) in doubtful.into_iter().zip(stand_as(repository, &after)?) {
        if is_done { divided.done.push(file) } else { divided.left.push(file) }
    }
    Ok(divided)
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
    let after: Vec<_> = files.iter().map(|file| (&file.path, file.after.working())).collect();
    let root = Root::open(repository.require_work_tree()?)?;
    let seen: Vec<_> = files.iter().map(|file| root.identity(&file.path)).collect::<Result<_, _>>()?;
    let changed = stand_as(repository, &after)?;
    let (mut originals, mut left) = (Vec::new(), Vec::new());
    let (mut unchanged, mut conflicts) = (Vec::new(), Vec::new());
    for ((file, seen), is_changed) in files.iter().zip(seen).zip(changed) {
        let path = &file.path;
        let working = match &file.before {
            Before::Exactly { working, .. } => Some(*working),
            Before::Conflict(versions) => versions.working,
            Before::Nothing | Before::Anything => None,
        };
        match (&file.before, working) {
            (_, Some(working)) if is_changed => {
                let original = FileChange { after: After::File(working), raw: false, ..file.clone() };
                originals.push((original, Replacing::Seen(seen)));
            }
            (Before::Exactly { staged, working }, _) => {
                unchanged.push(Expected { path: path.clone(), staged: *staged, working: *working });
            }
            (Before::Conflict(versions), Some(_)) => conflicts.push((path, **versions)),
            (Before::Nothing | Before::Conflict(_), None) if is_changed && seen.is_some() => {
                root.remove(path)?;
                root.remove_empty_parents(path)?;
            }
            // What is not the change's own is as it was.
            (Before::Nothing | Before::Conflict(_), _) if is_free(&root, path)? => {}
            (Before::Anything, _) if !is_changed => {}
            (Before::Nothing | Before::Conflict(_) | Before::Anything, _) => left.push(path.clone()),
        }
    }
    for (expected, standing) in unchanged.iter().zip(standings(repository, &unchanged)?) {
        if standing != Standing::Exact {
            left.push(expected.path.clone());
        }
    }
    for ((path, _), standing) in conflicts.iter().zip(conflict_standings(repository, &conflicts)?) {
        if standing != ConflictStanding::Exact {
            left.push((*path).clone());
        }
    }
    // The copy of the index that the lock holds serves to check the originals out; it is never made the index.
    let updates: Vec<_> = originals.iter().map(|(file, _)| update_to(&file.path, file.after.working())).collect();
    lock.update(&updates)?;
    let originals: Vec<_> = originals.iter().map(|(file, replacing)| (file, *replacing)).collect();
    left.extend(put_in_place(repository, lock, &originals, &mut || Ok(()))?);
    left.sort();
    Ok(left)
}

/// Returns whether nothing stands at a path.
fn is_free(root: &Root, path: &RepoPath) -> Result<bool, GitError> {
    match root.kind(path) {
        Err(GitError::BlockedPath { .. }) => Ok(true),
        kind => Ok(kind?.is_none()),
    }
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

/// Checks files out of the locked copy of the index, those that are raw as the very bytes of their blobs, and moves them
/// into the working tree, and what is to go out of it, durably. Returns the paths at which something else stands than was
/// seen there; they stay as they are, in the copy of the index too.
///
/// `touching` is called when all files are ready and none has moved.
fn put_in_place(
    repository: &Repository,
    lock: &IndexLock<'_>,
    files: &[(&FileChange, Replacing)],
    touching: &mut dyn FnMut() -> Result<(), ChangeError>,
) -> Result<Vec<RepoPath>, ChangeError> {
    let new: Vec<_> = files.iter().filter_map(|(file, _)| Some((*file, file.after.working()?))).collect();
    let paths: Vec<_> = new.iter().map(|(file, _)| &file.path).collect();
    let staged = if files.is_empty() { None } else { Some(lock.checkout(&paths)?) };
    for (file, entry) in new.iter().filter(|(file, _)| file.raw) {
        let mode = FileMode::from_bits(entry.mode);
        if let (Some(staged), true) = (&staged, mode != Some(FileMode::Symlink)) {
            let mut bytes = repository.objects().open_blob(&entry.id)?;
            staged.replace(&file.path, mode == Some(FileMode::Executable), &mut bytes)?;
        }
    }
    fault::point("staged");
    touching()?;
    let Some(staged) = staged else { return Ok(Vec::new()) };
    let root = Root::open(repository.require_work_tree()?)?;
    let mut left = Vec::new();
    for (FileChange { path, after, .. }, replacing) in files {
        let replaced = match (after.working(), replacing) {
            (Some(_), Replacing::Seen(seen)) => root.replace(staged.root(), path, *seen)?,
            (Some(_), Replacing::Anything) => root.take(staged.root(), path).map(|()| true)?,
            (None, Replacing::Seen(Some(seen))) => root.set_aside(staged.root(), path, *seen)?,
            (None, Replacing::Seen(None)) => true,
            (None, Replacing::Anything) => root.remove(path).map(|()| true)?,
        };
        if !replaced {
            left.push(path);
        } else if after.working().is_none() {
            root.remove_empty_parents(path)?;
        }
        fault::point("file");
    }
    root.sync(files.iter().map(|(file, _)| &file.path))?;
    leave_in_index(repository, lock, &left)?;
    Ok(left.into_iter().cloned().collect())
}

/// Gives paths back in the copy of the index what they have in the index itself, which has not changed under the lock.
fn leave_in_index(repository: &Repository, lock: &IndexLock<'_>, paths: &[&RepoPath]) -> Result<(), GitError> {
    let (mut updates, mut conflicts) = (Vec::new(), Vec::new());
    for (path, entries) in paths.iter().zip(index_entries_of(repository, paths)?) {
        let mut stages = Stages::default();
        for entry in entries.iter().filter(|entry| entry.stage > 0) {
            stages[usize::from(entry.stage) - 1] = Some(entry.entry);
        }
        let entry = entries.iter().find(|entry| entry.stage == 0);
        let skip_worktree = entry.is_some_and(|entry| entry.skip_worktree);
        updates.push(IndexUpdate { skip_worktree, ..update_to(path, entry.map(|entry| entry.entry)) });
        if stages != Stages::default() {
            conflicts.push((*path, stages));
        }
    }
    if !updates.is_empty() {
        lock.update(&updates)?;
    }
    lock.update_conflicts(&conflicts)
}

/// Puts regular files into the locked copy of the index.
pub fn stage(lock: &IndexLock<'_>, files: &[(RepoPath, ObjectId)]) -> Result<(), GitError> {
    let updates: Vec<_> = files.iter().map(|(path, id)| update(path, regular(*id))).collect();
    lock.update(&updates)
}

/// Returns the change that puts `entry` at `path`.
pub(crate) fn update(path: &RepoPath, entry: TreeEntry) -> IndexUpdate {
    update_to(path, Some(entry))
}

/// Returns the change that puts `entry` at `path`, or nothing.
pub(crate) fn update_to(path: &RepoPath, entry: Option<TreeEntry>) -> IndexUpdate {
    IndexUpdate { path: path.clone(), entry, skip_worktree: false }
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
