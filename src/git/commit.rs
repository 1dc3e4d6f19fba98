//! Commits: what the raw object says, and the part of the graph between two sets of them.

use std::collections::{BinaryHeap, HashMap, HashSet};

use bstr::ByteSlice;

use super::repository::parse_id;
use super::{GitError, ObjectKind, Objects, TreeEntry};
use crate::id::ObjectId;
use crate::item::RepoPath;

/// The largest commit object that is read, in bytes.
pub(super) const MAX_COMMIT_SIZE: u64 = 8 * 1024 * 1024;

/// A commit, as its raw object says: neither replace references nor grafts have a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// When it was committed, in seconds since 1970 by the committer's clock.
    pub committed_at: i64,
}

/// A part of the commit graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The commits, each before its parents.
    pub commits: Vec<Commit>,
    /// Parents (or starting points) that are not here: shallow clones, damage. Sorted.
    pub missing: Vec<ObjectId>,
}

impl Objects {
    /// Returns the commit `id`.
    pub fn commit(&self, id: &ObjectId) -> Result<Commit, GitError> {
        let bytes = self.read_kind(id, ObjectKind::Commit, MAX_COMMIT_SIZE)?;
        parse(id, &bytes).map_err(|reason| GitError::Malformed { id: *id, kind: ObjectKind::Commit, reason })
    }

    /// Returns the commit that `id` is or, as an annotated tag, names; `None` if that is something else, or not here.
    pub fn peel_to_commit(&self, id: &ObjectId) -> Result<Option<Commit>, GitError> {
        /// Tags may name tags; nobody makes longer chains of them.
        const MAX_TAGS: usize = 16;
        let mut id = *id;
        for _ in 0..MAX_TAGS {
            let object = match self.read(&id, MAX_COMMIT_SIZE) {
                Err(GitError::MissingObject { .. } | GitError::TooLarge { .. }) => return Ok(None),
                object => object?,
            };
            id = match object.kind {
                ObjectKind::Commit => return self.commit(&id).map(Some),
                ObjectKind::Tag => {
                    let named = object.bytes.lines().next().and_then(|line| parse_id(line.strip_prefix(b"object ")?));
                    named.ok_or(GitError::Malformed { id, kind: object.kind, reason: "it names no object" })?
                }
                ObjectKind::Blob | ObjectKind::Tree => return Ok(None),
            };
        }
        Ok(None)
    }

    /// Returns the commits reachable from `include` and not from `exclude`.
    ///
    /// What is excluded is followed until it is older than all that is included. So commits with a wrong clock can
    /// make the answer larger than it should be, never smaller. Missing commits are listed and end their branch.
    pub fn history(&self, include: &[ObjectId], exclude: &[ObjectId]) -> Result<History, GitError> {
        let mut walk =
            Walk { objects: self, seen: HashMap::new(), queue: BinaryHeap::new(), missing: Vec::new(), wanted: 0 };
        for id in exclude {
            walk.reach(id, false)?;
        }
        for id in include {
            walk.reach(id, true)?;
        }
        let mut oldest = i64::MAX;
        while let Some((committed_at, id)) = walk.queue.pop() {
            let Some(node) = walk.seen.get_mut(&id) else { continue };
            node.queued = false;
            let (included, parents) = (node.included, node.commit.parents.clone());
            if included {
                walk.wanted -= 1;
                oldest = oldest.min(committed_at);
            } else if walk.wanted == 0 && committed_at < oldest {
                break;
            }
            for parent in parents {
                walk.reach(&parent, included)?;
            }
        }
        let mut missing = walk.missing;
        missing.sort_unstable();
        missing.dedup();
        let included = walk.seen.into_values().filter(|node| node.included).map(|node| node.commit);
        Ok(History { commits: children_first(included.collect()), missing })
    }

    /// Returns what stood at `path` in the commits reachable from `start`: each different entry once, with the newest
    /// commit that has it, newest first. So a file's earlier contents are found. Missing commits are passed over.
    pub fn path_history(&self, start: &[ObjectId], path: &RepoPath) -> Result<Vec<(ObjectId, TreeEntry)>, GitError> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for commit in self.history(start, &[])?.commits {
            match self.entry(&commit.tree, path)? {
                Some(entry) if !entry.is_folder() && seen.insert(entry) => found.push((commit.id, entry)),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The state of [`Objects::history`].
struct Walk<'a> {
    objects: &'a Objects,
    seen: HashMap<ObjectId, Node>,
    /// Commits whose parents are to be visited, newest first.
    queue: BinaryHeap<(i64, ObjectId)>,
    missing: Vec<ObjectId>,
    /// How many included commits are in the queue.
    wanted: usize,
}

struct Node {
    commit: Commit,
    included: bool,
    queued: bool,
}

impl Walk<'_> {
    /// Visits a commit: the first time, and again when it turns out to be excluded.
    fn reach(&mut self, id: &ObjectId, included: bool) -> Result<(), GitError> {
        if let Some(node) = self.seen.get_mut(id) {
            if node.included && !included {
                node.included = false;
                if node.queued {
                    self.wanted -= 1;
                } else {
                    node.queued = true;
                    self.queue.push((node.commit.committed_at, *id));
                }
            }
            return Ok(());
        }
        let commit = match self.objects.commit(id) {
            Ok(commit) => commit,
            Err(GitError::MissingObject { .. }) => {
                self.missing.push(*id);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.queue.push((commit.committed_at, *id));
        self.wanted += usize::from(included);
        self.seen.insert(*id, Node { commit, included, queued: true });
        Ok(())
    }
}

/// Sorts commits so that each stands before its parents; among those that could come next, the newest.
fn children_first(commits: Vec<Commit>) -> Vec<Commit> {
    let mut children: HashMap<ObjectId, usize> = commits.iter().map(|commit| (commit.id, 0)).collect();
    for parent in commits.iter().flat_map(|commit| &commit.parents) {
        if let Some(count) = children.get_mut(parent) {
            *count += 1;
        }
    }
    let mut ready: BinaryHeap<(i64, ObjectId)> = commits
        .iter()
        .filter(|commit| children[&commit.id] == 0)
        .map(|commit| (commit.committed_at, commit.id))
        .collect();
    let mut waiting: HashMap<ObjectId, Commit> = commits.into_iter().map(|commit| (commit.id, commit)).collect();
    let mut sorted = Vec::with_capacity(waiting.len());
    while let Some((_, id)) = ready.pop() {
        let Some(commit) = waiting.remove(&id) else { continue };
        for parent in &commit.parents {
            if let Some(count) = children.get_mut(parent) {
                *count -= 1;
                if *count == 0 {
                    ready.extend(waiting.get(parent).map(|parent| (parent.committed_at, parent.id)));
                }
            }
        }
        sorted.push(commit);
    }
    sorted
}

/// Parses a commit: `tree`, any number of `parent`, `author`, `committer`, each on a line, then what we do not need.
fn parse(id: &ObjectId, bytes: &[u8]) -> Result<Commit, &'static str> {
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    let named = |line: &[u8], name: &str| {
        let value = line.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b" "))?;
        parse_id(value).filter(|found| found.as_bytes().len() == id.as_bytes().len())
    };
    let tree = lines.next().and_then(|line| named(line, "tree")).ok_or("it names no tree")?;
    let mut parents = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with(b"parent ")) {
        parents.push(named(line, "parent").ok_or("it names a parent that is no id")?);
    }
    // Old commits have broken dates; git takes them for zero, and so do we: they only decide the order of the walk.
    let committer = lines.take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(b"committer "));
    let after_name = committer.and_then(|line| line.rsplit_once_str("> ")).map(|(_, date)| date);
    let seconds = after_name.and_then(|date| date.split(|byte| *byte == b' ').next());
    let committed_at = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok()).unwrap_or(0);
    Ok(Commit { id: *id, tree, parents, committed_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn a_commit_is_read_from_its_raw_object() {
        let id = ObjectId::from_bytes(&[1; 20]).expect("has 20 bytes");
        let hex = "0123456789012345678901234567890123456789";
        let sound = format!("tree {hex}\nparent {hex}\nauthor A <a> 1 +0000\ncommitter B > x <b> 17 +0100\n\ntext\n");
        let commit = parse(&id, sound.as_bytes()).expect("is sound");
        assert_eq!((commit.parents.len(), commit.committed_at), (1, 17));
        assert!(parse(&id, b"").is_err());
        assert!(parse(&id, format!("tree {hex}00\n").as_bytes()).is_err());
        assert!(parse(&id, format!("tree {hex}\r\n").as_bytes()).is_err());
        assert!(parse(&id, format!("tree {hex}\nparent x\n").as_bytes()).is_err());
        assert_eq!(
            parse(&id, format!("tree {hex}\n\ncommitter A <a> 9 +0").as_bytes()).expect("is sound").committed_at,
            0
        );
        let long = "a".repeat(64);
        assert!(parse(&id, format!("tree {long}\n").as_bytes()).is_err(), "an id of the other hash");
    }

    #[test]
    fn tags_lead_to_commits_or_to_nothing() {
        let fixture = Fixture::new("sha1");
        let commit = fixture.commit_files(&[("a", "1")]);
        let peel = |name: &str| {
            let id = fixture.git(&["rev-parse", name]).parse().expect("is an id");
            fixture.repository().objects().peel_to_commit(&id).map(|commit| commit.map(|commit| commit.id))
        };
        fixture.git(&["tag", "-a", "-m", "tag", "one"]);
        fixture.git(&["tag", "-a", "-m", "tag of a tag", "two", "one"]);
        fixture.git(&["tag", "-a", "-m", "tag of a file", "file", "HEAD:a"]);
        for name in ["HEAD", "one", "two"] {
            assert_eq!(peel(name).expect("reads"), Some(commit));
        }
        assert_eq!(peel("file").expect("reads"), None);
        assert_eq!(peel("HEAD^{tree}").expect("reads"), None);
        assert_eq!(peel(&"1".repeat(40)).expect("reads"), None);
        let broken = fixture
            .git_input(&["hash-object", "-w", "-t", "tag", "--literally", "--stdin"], b"objects are not named\n");
        assert!(matches!(peel(&broken), Err(GitError::Malformed { .. })));
    }

    #[test]
    fn history_is_what_is_included_and_not_excluded_children_first() {
        let fixture = Fixture::new("sha1");
        let first = fixture.commit_files(&[("a", "1")]);
        let second = fixture.commit_files(&[("a", "2")]);
        fixture.git(&["checkout", "-q", "-b", "side", &first.to_string()]);
        let side = fixture.commit_files(&[("a", "1"), ("b", "1")]);
        fixture.git(&["checkout", "-q", "main"]);
        fixture.git(&["merge", "-q", "--no-edit", "side"]);
        let repository = fixture.repository();
        let merge = repository.resolve_commit("HEAD").expect("resolves");
        let objects = repository.objects();

        let all = objects.history(&[merge], &[]).expect("walks");
        assert_eq!(all.commits.len(), 4);
        assert_eq!((all.commits[0].id, all.commits[3].id), (merge, first));
        let range: HashSet<_> =
            objects.history(&[merge], &[second]).expect("walks").commits.iter().map(|c| c.id).collect();
        assert_eq!(range, HashSet::from([merge, side]));
        assert_eq!(objects.history(&[first], &[merge]).expect("walks").commits, []);
        assert_eq!(objects.history(&[merge], &[merge]).expect("walks").commits, []);

        let nowhere = ObjectId::from_bytes(&[9; 20]).expect("has 20 bytes");
        assert_eq!(objects.history(&[nowhere, first], &[]).expect("walks").missing, [nowhere]);
    }

    #[test]
    fn replacements_and_grafts_have_no_say() {
        let fixture = Fixture::new("sha1");
        let first = fixture.commit_files(&[("a", "1")]);
        let second = fixture.commit_files(&[("a", "2")]);
        let third = fixture.commit_files(&[("a", "3")]);
        fixture.git(&["replace", "--graft", &third.to_string(), &first.to_string()]);
        let repository = fixture.repository();
        assert_eq!(repository.objects().commit(&third).expect("reads").parents, [second]);
        assert_eq!(repository.resolve_commit("HEAD^").expect("resolves"), second);
    }

    #[test]
    fn a_path_has_a_history_of_entries() {
        let fixture = Fixture::new("sha1");
        fixture.commit_files(&[("a", "1")]);
        fixture.commit_files(&[("a", "2")]);
        fixture.commit_files(&[("b", "2")]);
        let last = fixture.commit_files(&[("a", "1")]);
        let repository = fixture.repository();
        let path = RepoPath::try_new("a").expect("is a path");
        let found = repository.objects().path_history(&[last], &path).expect("walks");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].0, last);
    }

    #[test]
    fn a_wrong_clock_never_hides_a_commit() {
        let fixture = Fixture::new("sha1");
        let old = fixture.commit_files_at(&[("a", "1")], 2_000_000_000);
        let new = fixture.commit_files_at(&[("a", "2")], 1_000_000_000);
        let newest = fixture.commit_files_at(&[("a", "3")], 1_500_000_000);
        let repository = fixture.repository();
        let ids = |history: History| history.commits.iter().map(|commit| commit.id).collect::<Vec<_>>();
        assert_eq!(ids(repository.objects().history(&[newest], &[old]).expect("walks")), [newest, new]);
    }
}
