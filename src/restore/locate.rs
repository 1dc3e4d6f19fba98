//! From what the user names to the items it means.

use std::collections::{HashMap, HashSet};

use bstr::ByteSlice;

use super::Wanted;
use crate::archive::{AnyArchive, ArchiveError, StoredItem};
use crate::evidence::format::{EvidenceFileName, read};
use crate::evidence::record::{Action, Record};
use crate::git::{GitError, IndexEntry, Repository, Tracked};
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::{FileMode, RepoPath, RepoPathError};
use crate::places;
use crate::quote::quote;
use crate::stub::Stub;
use crate::survey::{FoundStub, StubContent, stubs_in_conflict, stubs_of};

/// How many items a prefix may mean before it is enough to say that it means several.
const MAX_AMBIGUOUS: usize = 8;

/// How pathspecs begin that start at the top, as our hints write them.
const TOP: [&[u8]; 2] = [b":(top,literal)", b":/"];

/// The most blobs that are fetched to see whether they are stubs.
const MAX_FETCHED: usize = 16;

/// What a user names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An item by its whole tombstone.
    Tombstone(Tombstone),
    /// An item by the beginning of its tombstone, or a path that looks like one.
    Prefix(String, RepoPath),
    /// The path of a stub, or a folder; `None` is the top.
    Path(Option<RepoPath>),
}

/// An item that a target means.
#[derive(Debug, Clone)]
pub struct Located {
    /// What is known of it.
    pub wanted: Wanted,
    /// The stub that stands for it in what is tracked, if there is one.
    pub stub: Option<StubPlace>,
    /// Its row in the archive, if there is one that this clone sees.
    pub stored: Option<StoredItem>,
}

/// Where a stub stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StubPlace {
    /// Its path, which is another than the item's where it was moved.
    pub path: RepoPath,
    /// Its entry.
    pub entry: IndexEntry,
}

/// Why a target means no item.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// No item has this tombstone, or one that starts so.
    #[error("no item has a tombstone `{target}`")]
    NoSuchTombstone {
        /// What was named, quoted.
        target: String,
    },
    /// Several items' tombstones start so.
    #[error("`{prefix}` is the start of several tombstones")]
    Ambiguous {
        /// What was named.
        prefix: String,
        /// Some of them.
        candidates: Vec<Tombstone>,
    },
    /// The path is no stub, and there is none below it.
    #[error("there is no stub at `{path}`")]
    NoStub {
        /// The path, quoted.
        path: String,
    },
    /// The stub is one side of a conflict.
    #[error("the stub at `{path}` is one side of a conflict")]
    Conflicted {
        /// The path.
        path: RepoPath,
    },
    /// The stub cannot be read.
    #[error("the stub at `{path}` is malformed")]
    MalformedStub {
        /// The path.
        path: RepoPath,
        /// Why not.
        source: crate::stub::Malformed,
    },
    /// The stub is of a later version.
    #[error("the stub at `{path}` needs a newer git-archive-tomb")]
    NewerStub {
        /// The path.
        path: RepoPath,
    },
    /// The stub names another digest, repository, size or mode than its item has.
    #[error("the stub at `{path}` does not agree with {with} on its {field}")]
    Mismatch {
        /// The stub's path.
        path: RepoPath,
        /// What knows better.
        with: &'static str,
        /// What differs.
        field: &'static str,
    },
    /// The item was archived from another repository.
    #[error("the stub at `{path}` stands for an item of the repository `{repo}`")]
    OtherRepository {
        /// The stub's path.
        path: RepoPath,
        /// The item's repository.
        repo: String,
        /// The item.
        tombstone: Tombstone,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl Target {
    /// Parses what the user named, standing at `prefix` below the top of the working tree.
    ///
    /// A full tombstone is one; hexadecimal text of 8 or more characters may be the start of one; all else is a path, relative to
    /// where the user stands, or to the top if it begins as git's pathspecs say that (`:/`).
    pub fn parse(named: &[u8], prefix: &[u8]) -> Result<Self, LocateError> {
        if let Some(tombstone) = named.to_str().ok().and_then(|text| text.parse().ok()) {
            return Ok(Self::Tombstone(tombstone));
        }
        let from_top = TOP.iter().find_map(|magic| named.strip_prefix(*magic));
        let (named_there, prefix) = from_top.map_or((named, prefix), |named| (named, &b""[..]));
        let path = path_below_top(named_there, prefix)
            .map_err(|error| LocateError::NoStub { path: quote(&error.path).into_owned() })?;
        let may_be_prefix = (8..36).contains(&named.len())
            && named.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte) || *byte == b'-');
        Ok(match path {
            Some(path) if may_be_prefix => Self::Prefix(named.to_str_lossy().into_owned(), path),
            path => Self::Path(path),
        })
    }
}

/// Returns the path that `named` means, as given at `prefix` below the top of the working tree; `None` is the top. `.` and
/// `..` are resolved.
pub fn path_below_top(named: &[u8], prefix: &[u8]) -> Result<Option<RepoPath>, RepoPathError> {
    if named.starts_with(b"/") {
        return RepoPath::try_new(named).map(Some);
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in prefix.split(|byte| *byte == b'/').chain(named.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                // Refused: it leads above the top.
                if parts.pop().is_none() {
                    return RepoPath::try_new(named).map(Some);
                }
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() { Ok(None) } else { RepoPath::try_new(parts.join(&b'/')).map(Some) }
}

/// Returns the items that `target` means, in the order of their paths: stubs and evidence are those of `tracked`.
///
/// `repo` is this repository's name, as far as it is known: a stub of another one's item is refused.
pub fn locate_in(
    repository: &Repository,
    tracked: Tracked,
    mut archive: Option<&mut AnyArchive>,
    origin: &str,
    repo: &str,
    target: &Target,
) -> Result<Vec<Located>, LocateError> {
    let place = Place { repository, tracked };
    let tombstone = match target {
        Target::Tombstone(tombstone) => *tombstone,
        Target::Prefix(prefix, path) => match by_prefix(archive.as_deref_mut(), origin, prefix)? {
            Some(tombstone) => tombstone,
            None => match by_prefix_in_tree(place, prefix)? {
                Some(tombstone) => tombstone,
                None => {
                    return by_path(place, archive, origin, repo, Some(path)).map_err(|error| match error {
                        LocateError::NoStub { .. } => LocateError::NoSuchTombstone { target: prefix.clone() },
                        error => error,
                    });
                }
            },
        },
        Target::Path(path) => return by_path(place, archive, origin, repo, path.as_ref()),
    };
    Ok(vec![by_tombstone(place, archive, origin, &tombstone)?])
}

/// Where stubs and evidence are looked for.
#[derive(Clone, Copy)]
struct Place<'a> {
    repository: &'a Repository,
    tracked: Tracked,
}

impl Place<'_> {
    /// Returns the stubs at or below `path`; all without one.
    fn stubs(self, path: Option<&RepoPath>) -> Result<Vec<FoundStub>, GitError> {
        let entries = self.tracked.entries(self.repository, path)?;
        if self.tracked != Tracked::Index && self.repository.is_partial() {
            self.fetch_blobs(&entries)?;
        }
        stubs_of(self.repository, self.tracked, entries)
    }

    /// Returns all stubs, but for those that a filter left out of the clone.
    fn stubs_here(self) -> Result<Vec<FoundStub>, GitError> {
        stubs_of(self.repository, self.tracked, self.tracked.entries(self.repository, None)?)
    }

    /// Sees to it that what a filter left out of the clone is here, since nobody may have checked this tree out: a few blobs
    /// are fetched. Many, one by one, would take for ever.
    fn fetch_blobs(self, entries: &[IndexEntry]) -> Result<(), GitError> {
        let files = entries.iter().filter(|entry| entry.entry.file_mode() == Some(FileMode::Regular));
        let ids: Vec<ObjectId> = files.map(|entry| entry.entry.id).collect();
        let here = self.repository.objects().contains(&ids)?;
        let missing: Vec<&ObjectId> = ids.iter().zip(here).filter(|(_, here)| !here).map(|(id, _)| id).collect();
        match missing[..] {
            [first, ..] if missing.len() > MAX_FETCHED => Err(self.repository.objects().missing(first)),
            _ => missing.into_iter().try_for_each(|id| self.repository.fetching_objects().header(id).map(drop)),
        }
    }

    /// Returns the evidence files.
    fn evidence(self) -> Result<Vec<(EvidenceFileName, ObjectId)>, GitError> {
        let folder = RepoPath::try_new(places::EVIDENCE).expect("the program's own paths are valid");
        let entries = self.tracked.entries(self.repository, Some(&folder))?.into_iter();
        Ok(entries
            .filter(|entry| FileMode::from_bits(entry.entry.mode) == Some(FileMode::Regular))
            .filter_map(|entry| Some((EvidenceFileName::parse_path(&entry.path).ok()?, entry.entry.id)))
            .collect())
    }
}

/// Returns the items of the stubs at or below `path`.
fn by_path(
    place: Place<'_>,
    archive: Option<&mut AnyArchive>,
    origin: &str,
    repo: &str,
    path: Option<&RepoPath>,
) -> Result<Vec<Located>, LocateError> {
    let mut stubs = Vec::new();
    for FoundStub { entry, content } in place.stubs(path)? {
        match content {
            StubContent::Stub(parsed) => stubs.push((entry, parsed.stub)),
            StubContent::Newer => return Err(LocateError::NewerStub { path: entry.path }),
            StubContent::Malformed(source) => return Err(LocateError::MalformedStub { path: entry.path, source }),
        }
    }
    let items = match archive {
        Some(archive) => archive.items(&stubs.iter().map(|(_, stub)| stub.tombstone).collect::<Vec<_>>())?,
        None => HashMap::new(),
    };
    let mut told = Told { place, files: None, items: HashMap::new() };
    let (mut located, mut foreign) = (Vec::new(), None);
    for (entry, stub) in stubs {
        // Not removed: two stubs may name one item.
        let stored = items.get(&stub.tombstone).filter(|stored| stored.is_visible_to(origin)).cloned();
        let wanted = told.confirm(&entry.path, &stub, stored.as_ref())?;
        // What this very clone archived is its own, whatever the repository was called then or is called now.
        let ours = wanted.repo == repo || stored.as_ref().is_some_and(|stored| stored.origin == origin);
        if ours {
            let place = StubPlace { path: entry.path.clone(), entry };
            located.push(Located { wanted, stub: Some(place), stored });
        } else {
            foreign.get_or_insert((entry.path, wanted));
        }
    }
    if located.is_empty() {
        if let Some((path, Wanted { repo, tombstone, .. })) = foreign {
            return Err(LocateError::OtherRepository { path, repo, tombstone });
        }
        let entries = place.tracked.entries(place.repository, path)?;
        if let Some(path) = stubs_in_conflict(place.repository, &entries)?.pop_first() {
            return Err(LocateError::Conflicted { path });
        }
        let path = path.map_or_else(|| ".".to_owned(), ToString::to_string);
        return Err(LocateError::NoStub { path });
    }
    Ok(located)
}

/// Returns the item of a tombstone: from the archive, a stub, or evidence.
fn by_tombstone(
    place: Place<'_>,
    archive: Option<&mut AnyArchive>,
    origin: &str,
    tombstone: &Tombstone,
) -> Result<Located, LocateError> {
    let stored = match archive {
        Some(archive) => archive.item(tombstone)?.filter(|stored| stored.is_visible_to(origin)),
        None => None,
    };
    let hint = stored.as_ref().map(|stored| &stored.item.path);
    let stub = find_stub(place, tombstone, hint)?;
    let wanted = match (&stored, &stub) {
        (Some(stored), _) => Wanted::from(stored),
        // Evidence knows better than a stub, which anybody may have edited.
        (None, stub) => find_in_evidence(place, |found| found == tombstone)?
            .or_else(|| stub.as_ref().map(|(_, wanted)| wanted.clone()))
            .ok_or_else(|| LocateError::NoSuchTombstone { target: tombstone.to_string() })?,
    };
    if let Some((place, of_stub)) = &stub
        && let Some(field) = disagreement(of_stub, &wanted)
    {
        let with = if stored.is_some() { "the archive" } else { "its evidence" };
        return Err(LocateError::Mismatch { path: place.path.clone(), with, field });
    }
    Ok(Located { wanted, stub: stub.map(|(place, _)| place), stored })
}

/// Returns the item of a stub that stands at `path`, or would but for a conflict, once it agrees with what is known of it.
pub(crate) fn confirm(
    repository: &Repository,
    archive: Option<&mut AnyArchive>,
    origin: &str,
    path: &RepoPath,
    stub: &Stub,
) -> Result<Wanted, LocateError> {
    let stored = match archive {
        Some(archive) => archive.item(&stub.tombstone)?.filter(|stored| stored.is_visible_to(origin)),
        None => None,
    };
    let place = Place { repository, tracked: Tracked::Index };
    Told { place, files: None, items: HashMap::new() }.confirm(path, stub, stored.as_ref())
}

/// Returns the items of many tombstones: from the archive, then from the tracked evidence, then from
/// stubs. Those that are nowhere are left out.
///
/// Only where they are asked for are stubs looked for that stand for items known already, and held against these.
pub fn locate_tombstones(
    repository: &Repository,
    tracked: Tracked,
    archive: Option<&mut AnyArchive>,
    origin: &str,
    tombstones: &[Tombstone],
    with_stubs: bool,
) -> Result<HashMap<Tombstone, Located>, LocateError> {
    let place = Place { repository, tracked };
    let mut located = HashMap::with_capacity(tombstones.len());
    if let Some(archive) = archive {
        let items = archive.items(tombstones)?.into_iter().filter(|(_, stored)| stored.is_visible_to(origin));
        located.extend(items.map(|(tombstone, stored)| {
            (tombstone, Located { wanted: Wanted::from(&stored), stub: None, stored: Some(stored) })
        }));
    }
    let mut missing: HashSet<Tombstone> = tombstones.iter().copied().filter(|id| !located.contains_key(id)).collect();
    if !missing.is_empty() {
        for (name, id) in place.evidence()? {
            archived_in(repository, &name, &id, |record| {
                if record.tombstone.is_some_and(|tombstone| missing.contains(&tombstone))
                    && let Some(wanted) = Wanted::from_record(record)
                {
                    missing.remove(&wanted.tombstone);
                    located.insert(wanted.tombstone, Located { wanted, stub: None, stored: None });
                }
            })?;
        }
    }
    if !missing.is_empty() || with_stubs {
        for found in place.stubs_here()? {
            let StubContent::Stub(parsed) = found.content else { continue };
            let (tombstone, of_stub) = (parsed.stub.tombstone, Wanted::from(&parsed.stub));
            let stub = || Some(StubPlace { path: found.entry.path.clone(), entry: found.entry.clone() });
            match located.get_mut(&tombstone) {
                Some(known) if with_stubs && known.stub.is_none() => {
                    if let Some(field) = disagreement(&of_stub, &known.wanted) {
                        let with = if known.stored.is_some() { "the archive" } else { "its evidence" };
                        return Err(LocateError::Mismatch { path: found.entry.path, with, field });
                    }
                    known.stub = stub();
                }
                None if missing.contains(&tombstone) => {
                    located.insert(tombstone, Located { wanted: of_stub, stub: stub(), stored: None });
                }
                _ => {}
            }
        }
    }
    Ok(located)
}

/// Returns on what a stub does not agree with what is known of its item.
fn disagreement(of_stub: &Wanted, known: &Wanted) -> Option<&'static str> {
    let differs = [
        ("sha256", of_stub.sha256 != known.sha256),
        ("repo", of_stub.repo != known.repo),
        ("size", of_stub.size != known.size),
        ("mode", of_stub.mode != known.mode),
    ];
    differs.into_iter().find_map(|(field, differs)| differs.then_some(field))
}

/// Finds the stub of a tombstone: where its file stood, else anywhere.
fn find_stub(
    place: Place<'_>,
    tombstone: &Tombstone,
    hint: Option<&RepoPath>,
) -> Result<Option<(StubPlace, Wanted)>, GitError> {
    let among = |found: Vec<FoundStub>| {
        found.into_iter().find_map(|found| match found.content {
            StubContent::Stub(parsed) if parsed.stub.tombstone == *tombstone => {
                let place = StubPlace { path: found.entry.path.clone(), entry: found.entry };
                Some((place, Wanted::from(&parsed.stub)))
            }
            _ => None,
        })
    };
    if hint.is_some()
        && let Some(found) = among(place.stubs(hint)?)
    {
        return Ok(Some(found));
    }
    Ok(among(place.stubs_here()?))
}

/// Returns the one item whose tombstone starts with `prefix`, going by the archive.
fn by_prefix(archive: Option<&mut AnyArchive>, origin: &str, prefix: &str) -> Result<Option<Tombstone>, LocateError> {
    let Some(archive) = archive else { return Ok(None) };
    let mut items = archive.items_by_prefix(prefix, MAX_AMBIGUOUS)?;
    items.retain(|stored| stored.is_visible_to(origin));
    let candidates: Vec<_> = items.iter().map(|stored| stored.item.tombstone).collect();
    one_of(prefix, candidates)
}

/// Returns the one item whose tombstone starts with `prefix`, going by the tracked evidence.
fn by_prefix_in_tree(place: Place<'_>, prefix: &str) -> Result<Option<Tombstone>, LocateError> {
    let mut candidates = Vec::new();
    find_in_evidence(place, |tombstone| {
        if tombstone.to_string().starts_with(prefix) && !candidates.contains(tombstone) {
            candidates.push(*tombstone);
        }
        false
    })?;
    one_of(prefix, candidates)
}

fn one_of(prefix: &str, candidates: Vec<Tombstone>) -> Result<Option<Tombstone>, LocateError> {
    match candidates[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => Err(LocateError::Ambiguous { prefix: prefix.to_owned(), candidates }),
    }
}

/// Returns what the first `ARCHIVE` record in the tracked evidence whose tombstone `wanted` picks tells of its item.
fn find_in_evidence(place: Place<'_>, mut wanted: impl FnMut(&Tombstone) -> bool) -> Result<Option<Wanted>, GitError> {
    for (name, id) in place.evidence()? {
        let mut found = None;
        archived_in(place.repository, &name, &id, |record| {
            if found.is_none() && record.tombstone.as_ref().is_some_and(&mut wanted) {
                found = Wanted::from_record(record);
            }
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Hands each `ARCHIVE` record of an evidence file to `each`.
fn archived_in(
    repository: &Repository,
    name: &EvidenceFileName,
    id: &ObjectId,
    mut each: impl FnMut(&Record),
) -> Result<(), GitError> {
    // What is broken here is for `verify` to tell; what can be read of it still helps.
    let _ = read(name, repository.fetching_objects().open_blob(id)?, |line| {
        if line.record.action == Action::Archive {
            each(&line.record);
        }
    });
    Ok(())
}

/// What the tracked evidence tells of items, read when it is first asked for.
struct Told<'a> {
    place: Place<'a>,
    files: Option<Vec<(EvidenceFileName, ObjectId)>>,
    items: HashMap<Sha256, HashMap<Tombstone, Wanted>>,
}

impl Told<'_> {
    /// Returns the item of a stub at `path`, once it agrees with what the archive has of it, else with its evidence.
    fn confirm(&mut self, path: &RepoPath, stub: &Stub, stored: Option<&StoredItem>) -> Result<Wanted, LocateError> {
        let wanted = Wanted::from(stub);
        let disagreement = match stored {
            Some(stored) => disagreement(&wanted, &Wanted::from(stored)).map(|field| ("the archive", field)),
            None => self.of(stub)?.and_then(|told| disagreement(&wanted, told)).map(|field| ("its evidence", field)),
        };
        match disagreement {
            Some((with, field)) => Err(LocateError::Mismatch { path: path.clone(), with, field }),
            None => Ok(wanted),
        }
    }

    /// Returns what the evidence that `stub` names tells of its item; `None` if that is not in the tree.
    fn of(&mut self, stub: &Stub) -> Result<Option<&Wanted>, GitError> {
        if !self.items.contains_key(&stub.evidence) {
            let files = match &mut self.files {
                Some(files) => files,
                none => none.insert(self.place.evidence()?),
            };
            let mut items = HashMap::new();
            for (name, id) in files.iter().filter(|(name, _)| name.matches(&stub.evidence)) {
                archived_in(self.place.repository, name, id, |record| {
                    items.extend(Wanted::from_record(record).map(|wanted| (wanted.tombstone, wanted)));
                })?;
            }
            self.items.insert(stub.evidence, items);
        }
        Ok(self.items.get(&stub.evidence).and_then(|items| items.get(&stub.tombstone)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let path = |text: &str| RepoPath::try_new(text).expect("is a path");
        let parse = |text: &str, prefix: &str| Target::parse(text.as_bytes(), prefix.as_bytes());
        let tombstone = "8e3531b9-c839-5a07-9dec-507c36136eb1";
        assert_eq!(parse(tombstone, "").ok(), tombstone.parse().ok().map(Target::Tombstone));
        assert_eq!(parse("8e3531b9", "a/").ok(), Some(Target::Prefix("8e3531b9".to_owned(), path("a/8e3531b9"))));
        assert_eq!(parse("8e3531b", "").ok(), Some(Target::Path(Some(path("8e3531b")))));
        assert_eq!(parse("./8e3531b9", "").ok(), Some(Target::Path(Some(path("8e3531b9")))));
        assert_eq!(parse("../b/./c/", "a/").ok(), Some(Target::Path(Some(path("b/c")))));
        assert_eq!(parse(".", "").ok(), Some(Target::Path(None)));
        assert_eq!(parse("..", "a/").ok(), Some(Target::Path(None)));
        assert_eq!(parse(":/b", "a/").ok(), Some(Target::Path(Some(path("b")))));
        assert_eq!(parse(":(top,literal)b c", "a/").ok(), Some(Target::Path(Some(path("b c")))));
        assert!(parse("../..", "a/").is_err());
        assert!(parse(".git/config", "").is_err());
        assert!(parse("/a", "").is_err(), "no path of the repository, whatever is below its top");
    }
}
