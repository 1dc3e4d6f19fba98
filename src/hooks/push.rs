//! What a push brings to a remote, and which remotes have the bytes behind stubs. Only what this clone knows counts: nothing
//! is connected to.

use std::collections::{BTreeMap, HashMap, HashSet};

use bstr::{BStr, BString, ByteSlice};
use rayon::prelude::*;

use super::HooksError;
use crate::git::{AttributeSource, Change, Commit, GitConfig, GitError, Reference, Repository, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;
use crate::quote::quote;
use crate::stub::Stub;
use crate::survey::{StubContent, blob_stub, exempt};

/// Where git keeps what it last saw of remotes.
const TRACKING: &str = "refs/remotes/";

/// One reference that a push changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// What the remote's reference becomes; `None` if it is deleted.
    pub new: Option<ObjectId>,
    /// What it is now; `None` if it is not there yet.
    pub old: Option<ObjectId>,
    /// The remote's reference, such as `refs/heads/main`.
    pub name: BString,
}

impl Update {
    /// Reads what git writes to a pre-push hook: `<local ref> <local id> <remote ref> <remote id>` on each line.
    pub fn parse_all(text: &[u8]) -> Result<Vec<Self>, HooksError> {
        let parse = |line: &[u8]| {
            // What was pushed comes first, as the user wrote it, and may hold blanks.
            let mut fields = line.rsplitn(4, |byte| *byte == b' ');
            let (old, name, new) = (fields.next()?, fields.next()?, fields.next()?);
            fields.next()?;
            // A null id stands for a reference that is deleted, or not there yet.
            let id = |field: &[u8]| {
                field.to_str().ok()?.parse().ok().map(|id: ObjectId| Some(id).filter(|id| !id.is_null()))
            };
            Some(Self { new: id(new)?, old: id(old)?, name: name.into() })
        };
        let parse = |line: &[u8]| parse(line).ok_or_else(|| HooksError::NoUpdate { line: quote(line).into_owned() });
        text.lines().map(parse).collect()
    }
}

/// A stub that a push brings to a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedStub {
    /// Where it is.
    pub path: RepoPath,
    /// The stub.
    pub stub: Stub,
    /// The tree in which it is.
    tree: ObjectId,
    /// Whether the commit that it names is here and has the archived blob where it stood.
    in_its_commit: bool,
}

/// A place to push to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its URL; several remotes with one URL are one place.
    url: BString,
    /// Its references as far as they are known, with their names there.
    references: BTreeMap<BString, ObjectId>,
}

impl Remote {
    /// Returns the remotes that `config` names, with what `references` says of them.
    pub fn all(config: &GitConfig, references: &[Reference]) -> Vec<Self> {
        let mut by_name: BTreeMap<&BStr, Self> = BTreeMap::new();
        for entry in config.entries() {
            let name = entry.key.strip_prefix(b"remote.").and_then(|rest| rest.strip_suffix(b".url"));
            if let (Some(name), Some(url)) = (name, &entry.value) {
                by_name.entry(name.into()).or_insert_with(|| Self { url: normalized(url), ..Self::default() });
            }
        }
        for reference in references {
            let Some(tracked) = reference.name.strip_prefix(TRACKING.as_bytes()) else { continue };
            // A remote's name may hold slashes, so several may fit: the longest does.
            let ends = tracked.rfind_iter("/").map(|end| tracked.split_at(end));
            let found =
                ends.filter(|(name, _)| by_name.contains_key(name.as_bstr())).max_by_key(|(name, _)| name.len());
            if let Some((name, branch)) = found
                // That is another name for a branch, and not moved by a push.
                && branch != b"/HEAD"
                && let Some(remote) = by_name.get_mut(name.as_bstr())
            {
                remote.references.insert([b"refs/heads", branch].concat().into(), reference.id);
            }
        }
        let mut remotes: Vec<Self> = Vec::new();
        for remote in by_name.into_values() {
            match remotes.iter_mut().find(|known| known.url == remote.url) {
                Some(known) => known.references.extend(remote.references),
                None => remotes.push(remote),
            }
        }
        remotes
    }

    /// Returns the position among `remotes` of the one with this name or URL; it is added if it is not there.
    pub fn pushed_to(remotes: &mut Vec<Self>, config: &GitConfig, name: &[u8], url: &[u8]) -> usize {
        let named = name.to_str().ok().and_then(|name| config.get_str(&format!("remote.{name}.url")));
        let url = normalized(named.map_or(url, str::as_bytes));
        remotes.iter().position(|remote| remote.url == url).unwrap_or_else(|| {
            remotes.push(Self { url, ..Self::default() });
            remotes.len() - 1
        })
    }

    /// Takes `updates` for done.
    pub fn apply(&mut self, updates: &[Update]) {
        for update in updates {
            match update.new {
                Some(new) => self.references.insert(update.name.clone(), new),
                None => self.references.remove(&update.name),
            };
        }
    }

    /// Returns the commits that it has references to, as far as they are here.
    fn tips(&self, repository: &Repository) -> Result<Vec<ObjectId>, GitError> {
        let peel = |id: &ObjectId| Ok(repository.objects().peel_to_commit(id)?.map(|commit| commit.id));
        self.references.values().filter_map(|id| peel(id).transpose()).collect()
    }

    /// Returns for each of `stubs` whether this remote has its bytes: a commit there has the archived blob at the path
    /// where it stood.
    pub fn has(&self, repository: &Repository, stubs: &[PushedStub]) -> Result<Vec<bool>, GitError> {
        let proven = stubs.iter().filter(|pushed| pushed.in_its_commit).map(|pushed| pushed.stub.commit);
        let commits: Vec<ObjectId> = proven.collect::<HashSet<_>>().into_iter().collect();
        // One walk for all stubs: what is not reached from there is left.
        let left = repository.objects().history(&commits, &self.tips(repository)?)?;
        let left: HashSet<ObjectId> = left.commits.into_iter().map(|commit| commit.id).collect();
        Ok(stubs.iter().map(|pushed| pushed.in_its_commit && !left.contains(&pushed.stub.commit)).collect())
    }

    /// Returns the stubs that `updates` bring here: those in the commits that references are set to, and in none that the
    /// remote is known to have.
    pub fn stubs_new_here(&self, repository: &Repository, updates: &[Update]) -> Result<Vec<PushedStub>, GitError> {
        let objects = repository.objects();
        let mut known = self.tips(repository)?;
        for old in updates.iter().filter_map(|update| update.old) {
            known.extend(objects.peel_to_commit(&old)?.map(|commit| commit.id));
        }
        let mut tips = HashSet::new();
        for new in updates.iter().filter_map(|update| update.new) {
            tips.extend(objects.peel_to_commit(&new)?.map(|commit| commit.id));
        }
        let new = objects.history(&tips.iter().copied().collect::<Vec<_>>(), &known)?;
        let parents: HashMap<ObjectId, &Commit> = new.commits.iter().map(|commit| (commit.id, commit)).collect();
        let mut done: HashSet<ObjectId> = HashSet::new();
        let mut candidates: BTreeMap<(RepoPath, ObjectId), (TreeEntry, ObjectId)> = BTreeMap::new();
        // Oldest first, each compared with the nearest commit that was looked at or that the remote has: so a push of a
        // thousand tags costs what their differences cost.
        for tip in new.commits.iter().rev().filter(|commit| tips.contains(&commit.id)) {
            let mut base = tip.parents.first();
            while let Some(commit) = base.filter(|id| !done.contains(id)).and_then(|id| parents.get(id)) {
                base = commit.parents.first();
            }
            // Beyond a shallow clone's boundary nothing is known, so all counts as new.
            let base = base.and_then(|id| objects.commit(id).ok()).map(|commit| commit.tree);
            for change in objects.diff_trees(base.as_ref(), Some(&tip.tree)) {
                match change {
                    Ok(Change { path, new: Some(entry), .. }) => {
                        candidates.entry((path, entry.id)).or_insert((entry, tip.tree));
                    }
                    // Paths that this program does not handle cannot be stubs of its making, and what a filter left out
                    // came from a remote.
                    Ok(_) | Err(GitError::InvalidPath(_) | GitError::MissingObject { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            done.insert(tip.id);
        }
        let candidates: Vec<_> = candidates.into_iter().collect();
        let stub = |((path, _), (entry, tree)): ((RepoPath, ObjectId), (TreeEntry, ObjectId))| {
            let Some(StubContent::Stub(parsed)) = blob_stub(repository, &entry)? else { return Ok(None) };
            let in_its_commit = is_in_its_commit(repository, &parsed.stub)?;
            Ok(Some(PushedStub { path, stub: parsed.stub, tree, in_its_commit }))
        };
        candidates.into_par_iter().filter_map(|candidate| stub(candidate).transpose()).collect()
    }
}

/// Returns whether the commit that a stub names is here and has the archived blob where it stood. Bytes that were archived
/// before they were committed are in none.
fn is_in_its_commit(repository: &Repository, stub: &Stub) -> Result<bool, GitError> {
    let objects = repository.objects();
    let entry = objects.commit(&stub.commit).and_then(|commit| objects.entry(&commit.tree, &stub.path));
    match entry {
        Ok(entry) => Ok(entry.is_some_and(|entry| entry.id == stub.object)),
        Err(GitError::MissingObject { .. } | GitError::WrongKind { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns for each of `stubs` whether the attributes of its tree exempt it.
pub fn exempt_among(repository: &Repository, stubs: &[PushedStub]) -> Result<Vec<bool>, GitError> {
    let mut found = vec![false; stubs.len()];
    let mut by_tree: BTreeMap<ObjectId, Vec<usize>> = BTreeMap::new();
    for (position, pushed) in stubs.iter().enumerate() {
        by_tree.entry(pushed.tree).or_default().push(position);
    }
    for (tree, positions) in by_tree {
        let paths: Vec<RepoPath> = positions.iter().map(|position| stubs[*position].path.clone()).collect();
        for (position, exempt) in positions.into_iter().zip(exempt(repository, AttributeSource::Tree(tree), &paths)?) {
            found[position] = exempt;
        }
    }
    Ok(found)
}

/// Returns a URL without what people write or leave out as they like.
fn normalized(url: &[u8]) -> BString {
    let url = url.trim_end_with(|end| end == '/');
    url.strip_suffix(b".git").unwrap_or(url).into()
}
