//! Which evidence a change brings, read from git's objects and never from the working tree.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;

use crate::evidence::format::{Entry, EvidenceFileName, Facts, FileError, read};
use crate::git::{Change, GitError, Repository, TreeEntry, literal};
use crate::id::{ObjectId, Sha256};
use crate::item::{FileMode, RepoPath};
use crate::places;

/// A change whose evidence is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is staged: what the index has and no parent of the commit to be.
    Staged,
    /// What the tree of `to` has and that of `from` has not.
    Range {
        /// Where the change goes; git's null id where nothing is there yet.
        from: ObjectId,
        /// The last commit of the change.
        to: ObjectId,
    },
}

/// An evidence file of a tree or the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// Its name.
    pub name: EvidenceFileName,
    id: ObjectId,
}

/// Why evidence could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// It is not what it should be.
    #[error("evidence that is not intact cannot be quoted")]
    Evidence(#[from] FileError),
}

impl Evidence {
    /// Returns `path` and `entry` as one of this repository's own evidence files; `None` if they are none. Those in other
    /// folders came with a subtree, and have been reviewed where they come from.
    fn new(path: &RepoPath, entry: &TreeEntry) -> Option<Self> {
        Self::look(path, entry)?.ok()
    }

    /// Does the same; `Err` is the name of what is called so and is no regular file.
    fn look(path: &RepoPath, entry: &TreeEntry) -> Option<Result<Self, EvidenceFileName>> {
        let name = EvidenceFileName::parse_path(path).ok().filter(|name| name.path() == *path)?;
        let is_file = FileMode::from_bits(entry.mode) == Some(FileMode::Regular);
        Some(if is_file { Ok(Self { name, id: entry.id }) } else { Err(name) })
    }

    /// Returns the blob that git keeps it as.
    pub fn blob(&self) -> ObjectId {
        self.id
    }

    /// Opens the file's bytes for reading; nothing has checked them.
    pub fn open(&self, repository: &Repository) -> Result<impl Read + use<>, GitError> {
        repository.fetching_objects().open_blob(&self.id)
    }

    /// Reads the file and hands each record to `each`. The records count only if the result is no error.
    pub fn read(&self, repository: &Repository, each: impl FnMut(Entry)) -> Result<Facts, ReviewError> {
        Ok(read(&self.name, self.open(repository)?, each)?)
    }
}

/// Returns the evidence files of the index, oldest first.
pub fn tracked(repository: &Repository) -> Result<Vec<Evidence>, GitError> {
    Ok(sorted(repository, staged(repository)?))
}

/// Returns the evidence files of the index as they come.
fn staged(repository: &Repository) -> Result<Vec<Evidence>, GitError> {
    let entries = repository.tracked_entries(&[literal(&folder())])?;
    let unconflicted = entries.iter().filter(|entry| entry.stage == 0);
    Ok(unconflicted.filter_map(|entry| Evidence::new(&entry.path, &entry.entry)).collect())
}

/// Returns the evidence files of the index, of HEAD and of every reference. Along a history evidence only grows, so the
/// tips have it all.
pub fn everywhere(repository: &Repository) -> Result<BTreeSet<Evidence>, GitError> {
    let mut files = BTreeSet::new();
    if !repository.is_bare() {
        files.extend(staged(repository)?);
    }
    let mut known = Known { files, strange: BTreeSet::new() };
    known.add_tips(repository, tips(repository)?)?;
    Ok(known.files)
}

/// What a clone knows of evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The files.
    pub files: BTreeSet<Evidence>,
    /// What is called like evidence and is no regular file: nobody reads it.
    pub strange: BTreeSet<EvidenceFileName>,
}

/// Returns all evidence that a clone knows of: that of every reference, of the index and the `HEAD` of each working tree, of
/// what is being merged there, and of what was fetched last.
pub fn known(repository: &Repository) -> Result<Known, GitError> {
    let folder = [literal(&folder())];
    let mut known = Known::default();
    let mut tips = tips(repository)?;
    for work_tree in repository.work_trees()? {
        // A conflict has several versions of a file, each of which somebody brought.
        for entry in repository.entries_in(&work_tree, &folder)? {
            known.add(&entry.path, &entry.entry);
        }
        let states = repository.state_of(&work_tree)?.into_iter();
        tips.extend(states.filter(|state| STATES.contains(&state.name.as_slice())).map(|state| state.id));
    }
    known.add_tips(repository, tips)?;
    Ok(known)
}

/// The files of a git directory whose commits are here to stay, or about to be.
const STATES: [&[u8]; 3] = [b"HEAD", b"MERGE_HEAD", b"FETCH_HEAD"];

impl Known {
    fn add(&mut self, path: &RepoPath, entry: &TreeEntry) {
        match Evidence::look(path, entry) {
            Some(Ok(evidence)) => drop(self.files.insert(evidence)),
            Some(Err(name)) => drop(self.strange.insert(name)),
            None => {}
        }
    }

    fn add_tips(&mut self, repository: &Repository, tips: Vec<ObjectId>) -> Result<(), GitError> {
        let (objects, folder) = (repository.objects(), folder());
        let mut seen = HashSet::new();
        for tip in tips {
            // A reference may lead to something else than a commit.
            let Some(commit) = objects.peel_to_commit(&tip)? else { continue };
            let Some(entry) = objects.entry(&commit.tree, &folder)? else { continue };
            if !seen.insert(entry.id) {
                continue;
            }
            for entry in objects.walk_folder(&commit.tree, &folder)? {
                match entry {
                    Ok((path, entry)) => self.add(&path, &entry),
                    Err(GitError::InvalidPath(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Returns what every reference and `HEAD` lead to.
fn tips(repository: &Repository) -> Result<Vec<ObjectId>, GitError> {
    let references = repository.references("refs/")?.into_iter().map(|reference| reference.id);
    Ok(references.chain(repository.head()?.commit()).collect())
}

fn folder() -> RepoPath {
    RepoPath::try_new(places::EVIDENCE).expect("the program's own paths are valid")
}

/// Returns the evidence files that a change adds, oldest first.
pub fn added(repository: &Repository, scope: Scope) -> Result<Vec<Evidence>, GitError> {
    let objects = repository.objects();
    let new = |change: Change| Evidence::new(&change.path, &change.new?);
    match scope {
        Scope::Staged => {
            let head = repository.head()?.commit();
            let changes = repository.index_changes(head.as_ref())?.changes;
            let mut found: Vec<Evidence> = changes.into_iter().filter_map(new).collect();
            for parent in repository.merge_heads()? {
                let tree = objects.commit(&parent)?.tree;
                let mut others = Vec::new();
                for evidence in found {
                    let there = objects.entry(&tree, &evidence.name.path())?;
                    if there.is_none_or(|there| there.id != evidence.id) {
                        others.push(evidence);
                    }
                }
                found = others;
            }
            Ok(sorted(repository, found))
        }
        Scope::Range { from, to } => {
            let tree = |commit: &ObjectId| Ok::<_, GitError>(objects.commit(commit)?.tree);
            let from = if from.is_null() { None } else { Some(tree(&from)?) };
            let mut found = Vec::new();
            for change in objects.diff_trees(from.as_ref(), Some(&tree(&to)?)) {
                match change {
                    Ok(change) => found.extend(new(change)),
                    // No path of ours.
                    Err(GitError::InvalidPath(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(sorted(repository, found))
        }
    }
}

/// Sorts by name, which is by the second, and what is of one second in the order in which it was made, as far as one file
/// names another.
fn sorted(repository: &Repository, mut found: Vec<Evidence>) -> Vec<Evidence> {
    found.sort();
    let mut ordered = Vec::with_capacity(found.len());
    for group in found.chunk_by(|a, b| a.name.second() == b.name.second()) {
        if group.len() == 1 {
            ordered.extend_from_slice(group);
            continue;
        }
        let mut order = chained(repository, group);
        ordered.append(&mut order);
    }
    ordered
}

/// Returns evidence of one second in the order in which it was made, else in that of the names. A file that cannot be read
/// stands where its name puts it: whoever reads it will be told.
fn chained(repository: &Repository, group: &[Evidence]) -> Vec<Evidence> {
    let facts: Vec<Option<Facts>> = group.iter().map(|evidence| evidence.read(repository, |_| ()).ok()).collect();
    let known = facts.iter().enumerate().filter_map(|(number, facts)| Some((facts.as_ref()?.sha256, number)));
    let numbers: HashMap<Sha256, usize> = known.collect();
    let mut followers = vec![Vec::new(); group.len()];
    let mut waiting = vec![0_usize; group.len()];
    for (number, facts) in facts.iter().enumerate() {
        for earlier in facts.iter().flat_map(|facts| &facts.prev).filter_map(|sha256| numbers.get(sha256)) {
            followers[*earlier].push(number);
            waiting[number] += 1;
        }
    }
    let mut ready: BTreeSet<usize> = (0..group.len()).filter(|number| waiting[*number] == 0).collect();
    let mut order = Vec::with_capacity(group.len());
    // It comes to an end with all of them: each is named by its digest, so no file names one that names it.
    while let Some(number) = ready.pop_first() {
        order.push(group[number].clone());
        for follower in &followers[number] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                ready.insert(*follower);
            }
        }
    }
    order
}
