//! What the rules look at: snapshots and the objects behind them. Git implements both (see [`super::git`]); tests do so
//! in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;

use super::names;
use crate::git::{Change, GitError, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// The blobs and commits of a repository.
pub(super) trait Objects: Sync {
    /// Returns the bytes of a blob; `None` if there are more than `limit`.
    fn read(&self, id: &ObjectId, limit: u64) -> Result<Option<Vec<u8>>, GitError>;

    /// Opens a blob of any size.
    fn open(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError>;

    /// Returns what stands at `path` in the tree of `commit`.
    fn entry_in_commit(&self, commit: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError>;

    /// Returns where the commits that `one` has and `other` lacks begin: their parents, as far as `other` has these. None
    /// if `other` has all of `one`.
    fn forks(&self, one: &ObjectId, other: &ObjectId) -> Result<Vec<ObjectId>, GitError>;
}

/// Paths with what stands there: a commit's tree, or the index. Folders have no entry of their own.
pub(super) trait Snapshot: Sync {
    /// Returns what stands at `path`, if that is no folder.
    fn entry(&self, path: &RepoPath) -> Result<Option<TreeEntry>, GitError>;

    /// Returns the files in the evidence folder of `top` whose names carry `short`, the first 16 digits of a digest.
    fn evidence(&self, top: &[u8], short: &str) -> Result<Vec<(RepoPath, TreeEntry)>, GitError>;

    /// Visits everything within `folder` (empty: everything).
    fn walk(&self, folder: &[u8], visit: &mut Visit<'_>) -> Result<(), GitError>;

    /// Returns for each of `paths` whether its attributes exempt it (`-archive-tomb`).
    fn exempt(&self, paths: &[RepoPath]) -> Result<Vec<bool>, GitError>;
}

/// Called for each entry of a walk.
pub(super) type Visit<'a> = dyn FnMut(RepoPath, TreeEntry) + 'a;

/// Returns the 16 digits in the name of an evidence file, if it looks like one.
pub(super) fn short_in_name(name: &[u8]) -> Option<&str> {
    let stem = name.strip_suffix(b".jsonl")?;
    let short = stem.get(stem.len().checked_sub(17)?..)?.strip_prefix(b"-")?;
    std::str::from_utf8(short).ok()
}

/// Entries in memory, with the evidence among them found by digest.
#[derive(Default)]
pub(super) struct Entries {
    entries: BTreeMap<RepoPath, TreeEntry>,
    evidence: HashMap<(Vec<u8>, String), Vec<RepoPath>>,
}

impl Entries {
    /// Returns what stands at `path`.
    pub(super) fn get(&self, path: &RepoPath) -> Option<TreeEntry> {
        self.entries.get(path).copied()
    }

    /// Returns the files in the evidence folder of `top` whose names carry `short`.
    pub(super) fn evidence(&self, top: &[u8], short: &str) -> Vec<(RepoPath, TreeEntry)> {
        let paths = self.evidence.get(&(top.to_vec(), short.to_owned())).into_iter().flatten();
        paths.filter_map(|path| Some((path.clone(), self.get(path)?))).collect()
    }

    /// Visits everything within `folder`.
    pub(super) fn walk(&self, folder: &[u8], visit: &mut Visit<'_>) {
        for (path, entry) in &self.entries {
            if path.is_within(folder) {
                visit(path.clone(), *entry);
            }
        }
    }
}

impl FromIterator<(RepoPath, TreeEntry)> for Entries {
    fn from_iter<I: IntoIterator<Item = (RepoPath, TreeEntry)>>(entries: I) -> Self {
        let mut all = Self::default();
        for (path, entry) in entries {
            if let (Some(top), Some(short)) = (names::evidence_top(path.as_bytes()), short_in_name(path.file_name())) {
                all.evidence.entry((top.to_vec(), short.to_owned())).or_default().push(path.clone());
            }
            all.entries.insert(path, entry);
        }
        all
    }
}

/// A snapshot that differs from another one by some changes: the index, seen from HEAD.
pub(super) struct Overlay<'a> {
    base: &'a dyn Snapshot,
    removed: HashSet<RepoPath>,
    added: Entries,
    attributes: &'a Exemptions<'a>,
}

/// Tells for each of some paths whether its attributes exempt it.
pub(super) type Exemptions<'a> = dyn Fn(&[RepoPath]) -> Result<Vec<bool>, GitError> + Sync + 'a;

impl<'a> Overlay<'a> {
    /// Returns `base` with `changes` made to it.
    pub(super) fn new(
        base: &'a dyn Snapshot,
        changes: impl IntoIterator<Item = Change>,
        attributes: &'a Exemptions<'a>,
    ) -> Self {
        let mut removed = HashSet::new();
        let added = changes
            .into_iter()
            .filter_map(|change| {
                if change.new.is_none() {
                    removed.insert(change.path.clone());
                }
                Some((change.path, change.new?))
            })
            .collect();
        Self { base, removed, added, attributes }
    }

    /// Returns what stands there and differs from the other snapshot.
    pub(super) fn added(&self) -> impl Iterator<Item = (&RepoPath, &TreeEntry)> {
        self.added.entries.iter()
    }

    fn hides(&self, path: &RepoPath) -> bool {
        self.removed.contains(path) || self.added.get(path).is_some()
    }
}

impl Snapshot for Overlay<'_> {
    fn entry(&self, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        if self.hides(path) { Ok(self.added.get(path)) } else { self.base.entry(path) }
    }

    fn evidence(&self, top: &[u8], short: &str) -> Result<Vec<(RepoPath, TreeEntry)>, GitError> {
        let mut found = self.added.evidence(top, short);
        // An operation's stubs and evidence are staged together: the base is seldom asked.
        if found.is_empty() {
            found = self.base.evidence(top, short)?;
            found.retain(|(path, _)| !self.hides(path));
        }
        Ok(found)
    }

    fn walk(&self, folder: &[u8], visit: &mut Visit<'_>) -> Result<(), GitError> {
        self.base.walk(folder, &mut |path, entry| {
            if !self.hides(&path) {
                visit(path, entry);
            }
        })?;
        self.added.walk(folder, visit);
        Ok(())
    }

    fn exempt(&self, paths: &[RepoPath]) -> Result<Vec<bool>, GitError> {
        (self.attributes)(paths)
    }
}

/// The snapshot that holds nothing: what stood before the first commit.
pub(super) struct Nothing;

impl Snapshot for Nothing {
    fn entry(&self, _: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        Ok(None)
    }

    fn evidence(&self, _: &[u8], _: &str) -> Result<Vec<(RepoPath, TreeEntry)>, GitError> {
        Ok(Vec::new())
    }

    fn walk(&self, _: &[u8], _: &mut Visit<'_>) -> Result<(), GitError> {
        Ok(())
    }

    fn exempt(&self, paths: &[RepoPath]) -> Result<Vec<bool>, GitError> {
        Ok(vec![false; paths.len()])
    }
}
