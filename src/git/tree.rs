//! Trees: one entry, all files below a folder, and what differs between two trees.
//!
//! Parsing is strict, because merging two sorted lists is only right if both are sorted: a tree out of order, with a
//! name twice or with a broken entry is an error, as it is for `git fsck`. A path that could lead out of a working
//! tree or into `.git` is reported in its place and never joined to anything; the walk goes on after it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::objects::lock;
use super::{GitError, ObjectKind, Objects};
use crate::id::ObjectId;
use crate::item::{FileMode, MAX_PATH_LENGTH, RepoPath, RepoPathError};

/// The mode of a folder.
pub const MODE_FOLDER: u32 = 0o040_000;

/// The mode of a submodule: its id is a commit of another repository.
pub const MODE_SUBMODULE: u32 = 0o160_000;

/// The largest tree that is read, in bytes: over a million entries.
const MAX_TREE_SIZE: u64 = 64 * 1024 * 1024;

/// How many bytes of trees are kept in each of two generations; parsed, they take two to three times as many.
const MAX_KEPT_BYTES: usize = 8 * 1024 * 1024;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct TreeEntry {
    /// Git's mode, such as `0o100644`, as it stands in the tree.
    pub mode: u32,
    /// The object: a tree for [`MODE_FOLDER`], a foreign commit for [`MODE_SUBMODULE`], else a blob.
    pub id: ObjectId,
}

impl TreeEntry {
    /// Returns whether this is a folder.
    pub fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == MODE_FOLDER
    }

    /// Returns the mode as git understands it today (old trees have `100664` and the like); `None` for folders and
    /// submodules.
    pub fn file_mode(&self) -> Option<FileMode> {
        match self.mode & 0o170_000 {
            0o100_000 if self.mode & 0o100 == 0 => Some(FileMode::Regular),
            0o100_000 => Some(FileMode::Executable),
            0o120_000 => Some(FileMode::Symlink),
            _ => None,
        }
    }

    /// Returns whether this is a submodule.
    pub fn is_submodule(&self) -> bool {
        self.mode & 0o170_000 == MODE_SUBMODULE
    }
}

/// A path whose entry differs between two trees. Folders never appear, only what is in them; a file that turned into
/// a folder is a removal and additions below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: RepoPath,
    /// What was there.
    pub old: Option<TreeEntry>,
    /// What is there.
    pub new: Option<TreeEntry>,
}

/// One tree: names and entries in git's order. The names stay where they were read.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    bytes: Vec<u8>,
    entries: Vec<(Range<usize>, TreeEntry)>,
}

/// A name with what stands under it.
type Named<'t> = (&'t [u8], TreeEntry);

impl Tree {
    /// Returns the names with what stands under them.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Named<'_>> {
        self.entries.iter().map(|(name, entry)| (&self.bytes[name.clone()], *entry))
    }

    /// Returns the entry at a position.
    pub(crate) fn at(&self, index: usize) -> Option<Named<'_>> {
        let (name, entry) = self.entries.get(index)?;
        Some((&self.bytes[name.clone()], *entry))
    }

    /// Returns how many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns what stands under `name`. The order depends on what that is: a file and a folder of one name need not stand at
    /// the same place.
    fn find(&self, name: &[u8]) -> Option<TreeEntry> {
        [&b""[..], b"/"].into_iter().find_map(|suffix| {
            let wanted = || name.iter().chain(suffix);
            let index = self.entries.binary_search_by(|(range, entry)| {
                self.bytes[range.clone()].iter().chain(suffix_of(entry)).cmp(wanted())
            });
            Some(self.entries[index.ok()?].1)
        })
    }
}

/// Trees that were read, parsed: from commit to commit most are the same, and so are the folders on the way to many paths.
///
/// What was used lately is in the younger of two generations; when that is full, the older one goes.
#[derive(Debug, Default)]
pub(super) struct KnownTrees {
    young: HashMap<ObjectId, Arc<Tree>>,
    old: HashMap<ObjectId, Arc<Tree>>,
    young_bytes: usize,
}

impl KnownTrees {
    fn get(&mut self, id: &ObjectId) -> Option<Arc<Tree>> {
        if let Some(tree) = self.young.get(id) {
            return Some(Arc::clone(tree));
        }
        let tree = self.old.remove(id)?;
        self.keep(*id, &tree);
        Some(tree)
    }

    fn keep(&mut self, id: ObjectId, tree: &Arc<Tree>) {
        let length = tree.bytes.len();
        if self.young_bytes + length > MAX_KEPT_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if length <= MAX_KEPT_BYTES && self.young.insert(id, Arc::clone(tree)).is_none() {
            self.young_bytes += length;
        }
    }
}

impl Objects {
    /// Returns what stands at `path` in `tree`, be it a folder; `None` if nothing does.
    pub fn entry(&self, tree: &ObjectId, path: &RepoPath) -> Result<Option<TreeEntry>, GitError> {
        let mut entry = TreeEntry { mode: MODE_FOLDER, id: *tree };
        for name in path.as_bytes().split(|byte| *byte == b'/') {
            if !entry.is_folder() {
                return Ok(None);
            }
            match self.read_tree(&entry.id)?.find(name) {
                Some(found) => entry = found,
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }

    /// Returns everything in `tree` that is no folder, in the order of the bytes of the full paths. After an error
    /// about a path ([`GitError::InvalidPath`]) the walk goes on; any other error ends it.
    pub fn walk_tree(&self, tree: &ObjectId) -> TreeWalk<'_> {
        TreeWalk(self.diff_trees(None, Some(tree)))
    }

    /// Returns, as [`Objects::walk_tree`] does, what is below the folder at `path`; nothing if that is no folder.
    /// The paths are full ones.
    pub fn walk_folder(&self, tree: &ObjectId, path: &RepoPath) -> Result<TreeWalk<'_>, GitError> {
        let mut walk = TreeDiff { objects: self, folders: Vec::new(), ended: false };
        if let Some(folder) = self.entry(tree, path)?.filter(TreeEntry::is_folder) {
            walk.folders.push(Folder { prefix: path.as_bytes().to_vec(), ..self.open(None, Some(&folder.id))? });
        }
        Ok(TreeWalk(walk))
    }

    /// Returns what differs between two trees, in the order of the bytes of the paths, without looking into folders
    /// that are the same; `None` is the empty tree. Errors are those of [`Objects::walk_tree`].
    pub fn diff_trees(&self, old: Option<&ObjectId>, new: Option<&ObjectId>) -> TreeDiff<'_> {
        let mut diff = TreeDiff { objects: self, folders: Vec::new(), ended: false };
        if old != new {
            diff.folders.push(Folder {
                prefix: Vec::new(),
                // Opened by the first step, which can report the error.
                unopened: Some((old.copied(), new.copied())),
                old: Side::default(),
                new: Side::default(),
            });
        }
        diff
    }

    /// Reads one tree.
    pub(crate) fn read_tree(&self, id: &ObjectId) -> Result<Arc<Tree>, GitError> {
        // Git itself knows the empty tree without having it.
        if *id == self.format().empty_tree() {
            return Ok(Arc::default());
        }
        if let Some(tree) = lock(&self.trees).get(id) {
            return Ok(tree);
        }
        let bytes = self.read_kind(id, ObjectKind::Tree, MAX_TREE_SIZE)?;
        let malformed = |reason| GitError::Malformed { id: *id, kind: ObjectKind::Tree, reason };
        let tree = Arc::new(parse(bytes, self.format().id_length()).map_err(malformed)?);
        lock(&self.trees).keep(*id, &tree);
        Ok(tree)
    }

    fn open(&self, old: Option<&ObjectId>, new: Option<&ObjectId>) -> Result<Folder, GitError> {
        let side = |tree: Option<&ObjectId>| -> Result<Side, GitError> {
            Ok(Side { tree: tree.map(|id| self.read_tree(id)).transpose()?.unwrap_or_default(), next: 0 })
        };
        Ok(Folder { prefix: Vec::new(), unopened: None, old: side(old)?, new: side(new)? })
    }
}

/// The files below a folder; see [`Objects::walk_tree`].
#[derive(Debug)]
pub struct TreeWalk<'a>(TreeDiff<'a>);

impl Iterator for TreeWalk<'_> {
    type Item = Result<(RepoPath, TreeEntry), GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        let change = self.0.next()?;
        Some(change.map(|change| (change.path, change.new.expect("against nothing, everything is new"))))
    }
}

/// What differs between two trees; see [`Objects::diff_trees`].
///
/// Folders on the way are a stack of our own: a hostile depth costs what its path costs, and paths end at
/// [`MAX_PATH_LENGTH`] bytes.
#[derive(Debug)]
pub struct TreeDiff<'a> {
    objects: &'a Objects,
    folders: Vec<Folder>,
    ended: bool,
}

/// One folder on the way, on both sides.
#[derive(Debug)]
struct Folder {
    prefix: Vec<u8>,
    unopened: Option<(Option<ObjectId>, Option<ObjectId>)>,
    old: Side,
    new: Side,
}

/// One side's folder, and which of its entries is the next to come.
#[derive(Debug, Default)]
struct Side {
    tree: Arc<Tree>,
    next: usize,
}

impl Iterator for TreeDiff<'_> {
    type Item = Result<Change, GitError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step();
        if let Err(error) = &step {
            self.ended = !matches!(error, GitError::InvalidPath(_));
        }
        step.transpose()
    }
}

impl TreeDiff<'_> {
    fn step(&mut self) -> Result<Option<Change>, GitError> {
        while let Some(folder) = self.folders.last_mut() {
            if let Some((old, new)) = folder.unopened.take() {
                let opened = self.objects.open(old.as_ref(), new.as_ref())?;
                (folder.old, folder.new) = (opened.old, opened.new);
            }
            let Some((path, old, new)) = folder.next_difference() else {
                self.folders.pop();
                continue;
            };
            let path = path?;
            // The order puts a folder after a file of the same name, so both sides are folders or neither is.
            if old.or(new).is_some_and(|entry| entry.is_folder()) {
                let ids = (old.map(|entry| entry.id), new.map(|entry| entry.id));
                if ids.0 != ids.1 {
                    let prefix = path.as_bytes().to_vec();
                    let (old, new) = (Side::default(), Side::default());
                    self.folders.push(Folder { prefix, unopened: Some(ids), old, new });
                }
                continue;
            }
            return Ok(Some(Change { path, old, new }));
        }
        Ok(None)
    }
}

impl Folder {
    /// Goes on to the next name under which the sides differ, and returns its path with what each side has there.
    fn next_difference(&mut self) -> Option<Difference> {
        loop {
            let (old, new) = (self.old.tree.at(self.old.next), self.new.tree.at(self.new.next));
            let order = match (&old, &new) {
                (Some(old), Some(new)) if old == new => {
                    self.old.next += 1;
                    self.new.next += 1;
                    continue;
                }
                (Some(old), Some(new)) => compare(old, new),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let (old, new) = (old.filter(|_| order.is_le()), new.filter(|_| order.is_ge()));
            let (name, _) = old.or(new)?;
            self.old.next += usize::from(old.is_some());
            self.new.next += usize::from(new.is_some());
            return Some((join(&self.prefix, name), old.map(|(_, entry)| entry), new.map(|(_, entry)| entry)));
        }
    }
}

/// A path, if it is one inside a repository, with what the two sides have there.
type Difference = (Result<RepoPath, RepoPathError>, Option<TreeEntry>, Option<TreeEntry>);

/// Returns `name` in the folder `prefix`, if that is a path inside a repository.
fn join(prefix: &[u8], name: &[u8]) -> Result<RepoPath, RepoPathError> {
    let mut path = Vec::with_capacity((prefix.len() + 1 + name.len()).min(2 * MAX_PATH_LENGTH));
    if !prefix.is_empty() {
        path.extend_from_slice(prefix);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    RepoPath::try_new(path)
}

/// Compares two entries in git's order: a folder's name counts as if it ended with `/`. Joined to the folders above,
/// this is the order of the bytes of full paths.
fn compare(left: &Named<'_>, right: &Named<'_>) -> Ordering {
    left.0.iter().chain(suffix_of(&left.1)).cmp(right.0.iter().chain(suffix_of(&right.1)))
}

fn suffix_of(entry: &TreeEntry) -> &'static [u8] {
    if entry.is_folder() { b"/" } else { b"" }
}

/// Parses a tree's bytes: each entry is its mode in octal, a blank, its name, NUL, and the raw id.
fn parse(bytes: Vec<u8>, id_length: usize) -> Result<Tree, &'static str> {
    let mut tree = Tree { bytes, entries: Vec::new() };
    let mut position = 0;
    while position < tree.bytes.len() {
        let rest = &tree.bytes[position..];
        let blank = rest.iter().take(8).position(|byte| *byte == b' ').ok_or("an entry has no mode")?;
        let mode = parse_mode(&rest[..blank]).ok_or("a mode is not octal")?;
        let length = rest[blank + 1..].iter().position(|byte| *byte == 0).ok_or("a name does not end")?;
        let (start, end) = (position + blank + 1, position + blank + 1 + length);
        let name = &tree.bytes[start..end];
        if name.is_empty() || name.contains(&b'/') {
            return Err("a name is empty or holds a slash");
        }
        position = end + 1 + id_length;
        let id = tree.bytes.get(end + 1..position).and_then(ObjectId::from_bytes).ok_or("an id is cut off")?;
        let entry = TreeEntry { mode, id };
        if tree
            .len()
            .checked_sub(1)
            .and_then(|last| tree.at(last))
            .is_some_and(|last| compare(&last, &(name, entry)).is_ge())
        {
            return Err("its entries are out of order");
        }
        // A file and a folder of one name need not be neighbours.
        if entry.is_folder() && tree.find(name).is_some() {
            return Err("a name stands twice");
        }
        tree.entries.push((start..end, entry));
    }
    Ok(tree)
}

/// Parses a mode: one to seven octal digits.
pub(crate) fn parse_mode(text: &[u8]) -> Option<u32> {
    let digit = |mode, digit: &u8| matches!(digit, b'0'..=b'7').then(|| mode << 3 | u32::from(digit - b'0'));
    text.iter().try_fold(0, digit).filter(|_| (1..=7).contains(&text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    fn entry(mode: &str, name: &[u8]) -> Vec<u8> {
        [mode.as_bytes(), b" ", name, b"\0", &[7; 20]].concat()
    }

    #[test]
    fn malformed_trees_are_refused() {
        let parse = |bytes: &[u8], length| super::parse(bytes.to_vec(), length).map(|tree| tree.len());
        assert_eq!(parse(b"", 20), Ok(0));
        let sound = [entry("100644", b"a"), entry("100644", b"a.b"), entry("40000", b"c")].concat();
        assert_eq!(parse(&sound, 20), Ok(3));
        for end in 1..sound.len() {
            // Cut between two entries, it is a shorter tree; anywhere else it is broken.
            assert_eq!(parse(&sound[..end], 20).is_ok(), [29, 60].contains(&end), "{end}");
        }
        assert!(parse(&entry("10064x", b"a"), 20).is_err());
        assert!(parse(&entry("", b"a"), 20).is_err());
        assert!(parse(&entry("100644", b""), 20).is_err());
        assert!(parse(&entry("100644", b"a/b"), 20).is_err());
        assert!(parse(&[entry("100644", b"b"), entry("100644", b"a")].concat(), 20).is_err());
        assert!(parse(&[entry("100644", b"a"), entry("100755", b"a")].concat(), 20).is_err());
        let apart = [entry("100644", b"a"), entry("100644", b"a.b"), entry("40000", b"a")].concat();
        assert_eq!(parse(&apart, 20), Err("a name stands twice"));
    }

    #[test]
    fn walks_and_differences_come_in_the_order_of_full_paths() {
        for format in ["sha1", "sha256"] {
            let fixture = Fixture::new(format);
            let old = fixture.commit_files(&[("a/b/c", "1"), ("a/d", "2"), ("a.txt", "3"), ("x", "4")]);
            let new = fixture.commit_files(&[("a/b/c", "1"), ("a/d", "9"), ("a.txt", "3"), ("x/y", "5")]);
            let repository = fixture.repository();
            let objects = repository.objects();
            let tree = |commit| objects.commit(&commit).expect("reads").tree;
            let (old, new) = (tree(old), tree(new));

            let walk = objects.walk_tree(&old).map(|found| found.expect("is sound").0.to_string());
            assert_eq!(walk.collect::<Vec<_>>(), ["a.txt", "a/b/c", "a/d", "x"]);

            let folder = RepoPath::try_new("a").expect("is a path");
            let walk = objects.walk_folder(&old, &folder).expect("opens");
            assert_eq!(walk.map(|found| found.expect("is sound").0.to_string()).collect::<Vec<_>>(), ["a/b/c", "a/d"]);

            let changes: Vec<_> =
                objects.diff_trees(Some(&old), Some(&new)).map(|change| change.expect("is sound")).collect();
            let shown: Vec<_> = changes
                .iter()
                .map(|change| (change.path.to_string(), change.old.is_some(), change.new.is_some()))
                .collect();
            assert_eq!(
                shown,
                [("a/d".to_owned(), true, true), ("x".to_owned(), true, false), ("x/y".to_owned(), false, true)]
            );
            assert_eq!(objects.diff_trees(Some(&old), Some(&old)).count(), 0);
            assert_eq!(objects.diff_trees(Some(&old), None).count(), 4);

            let path = RepoPath::try_new("a/b/c").expect("is a path");
            assert_eq!(objects.entry(&old, &path).expect("reads").map(|entry| entry.mode), Some(0o100_644));
            assert!(objects.entry(&old, &folder).expect("reads").expect("is there").is_folder());
            let below_a_file = RepoPath::try_new("x/y/z").expect("is a path");
            assert_eq!(objects.entry(&old, &below_a_file).expect("reads"), None);
        }
    }

    #[test]
    fn paths_that_lead_out_are_reported_and_passed_over() {
        let fixture = Fixture::new("sha1");
        let blob = fixture.git_input(&["hash-object", "-w", "--stdin"], b"x");
        let listing = format!("100644 blob {blob}\t..\0100644 blob {blob}\t.git\0100644 blob {blob}\tsound\0");
        let tree = fixture.git_input(&["mktree", "-z"], listing.as_bytes()).parse().expect("is an id");
        let repository = fixture.repository();
        let found: Vec<_> = repository.objects().walk_tree(&tree).collect();
        assert!(matches!(
            &found[..],
            [Err(GitError::InvalidPath(_)), Err(GitError::InvalidPath(_)), Ok((path, _))] if path.as_bytes() == b"sound"
        ));
    }

    #[test]
    fn a_hostile_depth_ends_at_the_longest_path() {
        let fixture = Fixture::new("sha1");
        let blob = fixture.git_input(&["hash-object", "-w", "--stdin"], b"x");
        // Deeper than any path may be long.
        let path = vec!["d"; 3000].join("/");
        let commit = "commit refs/heads/deep\ncommitter A <a@example.org> 1 +0000\ndata 0\n";
        let import = format!("{commit}M 100644 {blob} {path}\n");
        fixture.git_input(&["fast-import", "--quiet"], import.as_bytes());
        let repository = fixture.repository();
        let commit = repository.resolve_commit("deep").expect("resolves");
        let tree = repository.objects().commit(&commit).expect("reads").tree;
        let found: Vec<_> = repository.objects().walk_tree(&tree).collect();
        assert!(matches!(&found[..], [Err(GitError::InvalidPath(_))]));
    }
}
