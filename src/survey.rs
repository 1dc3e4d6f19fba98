//! Finds the stubs of an index, or of a tree.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::git::{AttributeSource, AttributeValue, GitError, IndexEntry, ObjectKind, Repository, Tracked, TreeEntry};
use crate::item::{FileMode, RepoPath};
use crate::stub::{self, Malformed, Parsed, ParsedStub};

/// A stub, or what claims to be one.
#[derive(Debug)]
pub struct FoundStub {
    /// Where it is.
    pub entry: IndexEntry,
    /// What it is.
    pub content: StubContent,
}

/// What something that claims to be a stub is.
#[derive(Debug)]
pub enum StubContent {
    /// A stub.
    Stub(Box<ParsedStub>),
    /// A stub of a later version.
    Newer,
    /// None.
    Malformed(Malformed),
}

/// Returns the stubs among `entries` of the index (in a bare repository: of the tree at `HEAD`), as [`stubs_of`] does.
pub fn stubs_among(repository: &Repository, entries: Vec<IndexEntry>) -> Result<Vec<FoundStub>, GitError> {
    stubs_of(repository, Tracked::here(repository)?, entries)
}

/// Returns the stubs among `entries` of what is tracked, in their order. Every blob that is small enough to be one is read,
/// on all cores. In a conflict a path has several entries and none of them counts: what stands there is not decided yet.
/// Nor does what the attributes exempt.
pub fn stubs_of(
    repository: &Repository,
    tracked: Tracked,
    entries: Vec<IndexEntry>,
) -> Result<Vec<FoundStub>, GitError> {
    let found: Vec<Option<FoundStub>> = entries
        .into_par_iter()
        .filter(|entry| entry.stage == 0)
        .map(|entry| Ok(blob_stub(repository, &entry.entry)?.map(|content| FoundStub { entry, content })))
        .collect::<Result<_, GitError>>()?;
    let found: Vec<FoundStub> = found.into_iter().flatten().collect();
    let paths: Vec<_> = found.iter().map(|found| found.entry.path.clone()).collect();
    let exempt = exempt(repository, tracked.attributes(), &paths)?;
    Ok(found.into_iter().zip(exempt).filter_map(|(found, exempt)| (!exempt).then_some(found)).collect())
}

/// Returns the paths in conflict among `entries` in which one side, at least, is a stub.
pub fn stubs_in_conflict(repository: &Repository, entries: &[IndexEntry]) -> Result<BTreeSet<RepoPath>, GitError> {
    let mut found = BTreeSet::new();
    // Stage 1 is no side, but what both come from.
    for entry in entries.iter().filter(|entry| entry.stage > 1) {
        if blob_stub(repository, &entry.entry)?.is_some() {
            found.insert(entry.path.clone());
        }
    }
    Ok(found)
}

/// Returns for each path whether the attribute `-archive-tomb` is set on it: what is there is then no stub.
pub(crate) fn exempt(
    repository: &Repository,
    source: AttributeSource,
    paths: &[RepoPath],
) -> Result<Vec<bool>, GitError> {
    let paths: Vec<&RepoPath> = paths.iter().collect();
    let values = repository.attributes(source, &paths, &["archive-tomb"])?;
    Ok(values.into_iter().map(|values| values.first() == Some(&AttributeValue::Unset)).collect())
}

/// Returns what `entry` is as a stub; `None` if it is something else.
pub fn blob_stub(repository: &Repository, entry: &TreeEntry) -> Result<Option<StubContent>, GitError> {
    const LIMIT: u64 = stub::MAX_RAW_LENGTH as u64;
    if FileMode::from_bits(entry.mode) != Some(FileMode::Regular) {
        return Ok(None);
    }
    let bytes = match repository.objects().read(&entry.id, LIMIT) {
        Ok(object) if object.kind == ObjectKind::Blob => object.bytes,
        // A blob that a filter left out of the clone was never asked for, so nobody has seen it as a stub here.
        Ok(_) | Err(GitError::TooLarge { .. } | GitError::MissingObject { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match stub::parse(&bytes) {
        Parsed::NotAStub => None,
        Parsed::Stub(parsed) => Some(StubContent::Stub(parsed)),
        Parsed::Newer { .. } => Some(StubContent::Newer),
        Parsed::Malformed(malformed) => Some(StubContent::Malformed(malformed)),
    })
}
