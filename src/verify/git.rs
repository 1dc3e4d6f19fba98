//! Binds the rules to git: commits' trees and the index as snapshots, blobs from the object database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bstr::BString;

use super::names::{self, EVIDENCE_FOLDER};
use super::snapshot::{self, Entries, Snapshot, Visit};
use crate::git::{AttributeSource, GitError, ObjectKind, Objects, Repository, Tree, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// How many names of evidence files are remembered at a time, about two hundred bytes each.
const MAX_REMEMBERED_NAMES: usize = 400_000;

impl snapshot::Objects for Objects {
    fn read(&self, id: &ObjectId, limit: u64) -> Result<Option<Vec<u8>>, GitError> {
        match self.read_kind(id, ObjectKind::Blob, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(GitError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError> {
        self.open_blob(id)
    }

    fn entry_in_commit(&self, commit: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let commit = self.commit(commit)?;
        Ok(self.entry(&commit.tree, path)?.filter(|entry| !entry.is_folder()))
    }

    fn forks(&self, one: &ObjectId, other: &ObjectId) -> Result<Vec<ObjectId>, GitError> {
        let only_one = self.history(&[*one], &[*other])?.commits;
        let own: HashSet<ObjectId> = only_one.iter().map(|commit| commit.id).collect();
        let parents: BTreeSet<ObjectId> = only_one.into_iter().flat_map(|commit| commit.parents).collect();
        Ok(parents.into_iter().filter(|parent| !own.contains(parent)).collect())
    }
}

/// The evidence folders of many trees, each month read once: from one commit to the next, nearly all are the same.
#[derive(Default)]
pub(super) struct EvidenceNames {
    months: Mutex<Months>,
}

#[derive(Default)]
struct Months {
    by_tree: HashMap<ObjectId, Arc<Month>>,
    names: usize,
}

/// The evidence files of one month.
struct Month {
    tree: Arc<Tree>,
    /// The 16 digits in each file's name with its position in the tree, sorted.
    positions: Vec<([u8; 16], usize)>,
}

impl Month {
    fn new(tree: Arc<Tree>) -> Self {
        let digits = |name: &[u8]| snapshot::short_in_name(name)?.as_bytes().try_into().ok();
        let mut positions: Vec<_> =
            tree.iter().enumerate().filter_map(|(position, (name, _))| Some((digits(name)?, position))).collect();
        positions.sort_unstable();
        Self { tree, positions }
    }

    /// Returns names and entries of the files whose names carry `short`.
    fn get(&self, short: &str) -> impl Iterator<Item = (&[u8], TreeEntry)> {
        let start = self.positions.partition_point(|(digits, _)| &digits[..] < short.as_bytes());
        let found = self.positions[start..].iter().take_while(move |(digits, _)| &digits[..] == short.as_bytes());
        found.filter_map(|(_, position)| self.tree.at(*position))
    }
}

impl EvidenceNames {
    fn month(&self, objects: &Objects, tree: &ObjectId) -> Result<Arc<Month>, GitError> {
        let months = || self.months.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(month) = months().by_tree.get(tree) {
            return Ok(Arc::clone(month));
        }
        let month = Arc::new(Month::new(objects.read_tree(tree)?));
        let mut months = months();
        months.names += 1 + month.tree.len();
        if months.names > MAX_REMEMBERED_NAMES {
            *months = Months::default();
        }
        months.by_tree.insert(*tree, Arc::clone(&month));
        Ok(month)
    }
}

/// A commit's tree.
pub(super) struct CommitTree<'a> {
    repository: &'a Repository,
    names: &'a EvidenceNames,
    root: ObjectId,
    /// The evidence folders that were asked for, by their tops.
    folders: Mutex<HashMap<Vec<u8>, Arc<EvidenceFolder>>>,
}

/// An evidence folder's months, each with its path.
type EvidenceFolder = Vec<(Vec<u8>, Arc<Month>)>;

impl<'a> CommitTree<'a> {
    pub(super) fn new(repository: &'a Repository, names: &'a EvidenceNames, root: ObjectId) -> Self {
        Self { repository, names, root, folders: Mutex::default() }
    }

    fn evidence_folder(&self, top: &[u8]) -> Result<Arc<EvidenceFolder>, GitError> {
        let folders = || self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = folders().get(top) {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(self.read_evidence_folder(top)?);
        folders().insert(top.to_vec(), Arc::clone(&folder));
        Ok(folder)
    }

    fn read_evidence_folder(&self, top: &[u8]) -> Result<EvidenceFolder, GitError> {
        let mut months = EvidenceFolder::new();
        let Ok(path) = RepoPath::try_new(names::join(top, EVIDENCE_FOLDER.as_bytes())) else { return Ok(months) };
        let objects = self.repository.objects();
        let Some(ops) = objects.entry(&self.root, &path)?.filter(TreeEntry::is_folder) else { return Ok(months) };
        for (year, tree) in folders_in(objects, &ops.id)? {
            for (month, tree) in folders_in(objects, &tree)? {
                let path = [path.as_bytes(), &year, &month].join(&b'/');
                months.push((path, self.names.month(objects, &tree)?));
            }
        }
        Ok(months)
    }
}

/// The evidence in the repository's own index while git commits from a temporary one. It is listed when it is first asked
/// for: only a stub without its evidence needs it.
pub(super) struct OwnEvidence<'a> {
    repository: &'a Repository,
    file: PathBuf,
    entries: OnceLock<Entries>,
}

impl<'a> OwnEvidence<'a> {
    pub(super) fn new(repository: &'a Repository, file: PathBuf) -> Self {
        Self { repository, file, entries: OnceLock::new() }
    }

    fn entries(&self) -> Result<&Entries, GitError> {
        if let Some(entries) = self.entries.get() {
            return Ok(entries);
        }
        let evidence = BString::from(format!(":(top,glob)**/{EVIDENCE_FOLDER}/**"));
        let listed = self.repository.entries_of_index(&self.file, &[evidence])?;
        Ok(self.entries.get_or_init(|| listed.into_iter().map(|listed| (listed.path, listed.entry)).collect()))
    }
}

impl Snapshot for OwnEvidence<'_> {
    fn entry(&self, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        Ok(self.entries()?.get(path))
    }

    fn evidence(&self, top: &[u8], short: &str) -> Result<Vec<(RepoPath, TreeEntry)>, GitError> {
        Ok(self.entries()?.evidence(top, short))
    }

    fn walk(&self, folder: &[u8], visit: &mut Visit<'_>) -> Result<(), GitError> {
        self.entries()?.walk(folder, visit);
        Ok(())
    }

    fn exempt(&self, paths: &[RepoPath]) -> Result<Vec<bool>, GitError> {
        crate::survey::exempt(self.repository, AttributeSource::Index, paths)
    }
}

/// Returns the folders in a folder.
fn folders_in(objects: &Objects, tree: &ObjectId) -> Result<Vec<(Vec<u8>, ObjectId)>, GitError> {
    let tree = objects.read_tree(tree)?;
    Ok(tree.iter().filter(|(_, entry)| entry.is_folder()).map(|(name, entry)| (name.to_vec(), entry.id)).collect())
}

impl Snapshot for CommitTree<'_> {
    fn entry(&self, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        Ok(self.repository.objects().entry(&self.root, path)?.filter(|entry| !entry.is_folder()))
    }

    fn evidence(&self, top: &[u8], short: &str) -> Result<Vec<(RepoPath, TreeEntry)>, GitError> {
        let mut found = Vec::new();
        for (folder, month) in self.evidence_folder(top)?.iter() {
            for (name, entry) in month.get(short) {
                found.extend(RepoPath::try_new(names::join(folder, name)).ok().map(|path| (path, entry)));
            }
        }
        Ok(found)
    }

    fn walk(&self, folder: &[u8], visit: &mut Visit<'_>) -> Result<(), GitError> {
        let objects = self.repository.objects();
        let walk = match RepoPath::try_new(folder) {
            Ok(folder) => objects.walk_folder(&self.root, &folder)?,
            Err(_) => objects.walk_tree(&self.root),
        };
        for entry in walk {
            match entry {
                Ok((path, entry)) => visit(path, entry),
                // Git refuses to check such a path out, so nothing can stand there.
                Err(GitError::InvalidPath(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn exempt(&self, paths: &[RepoPath]) -> Result<Vec<bool>, GitError> {
        crate::survey::exempt(self.repository, AttributeSource::Tree(self.root), paths)
    }
}
