//! The graph of evidence files: which ones the next file has to name, found without reading old ones again.
//!
//! An evidence blob never changes, so what was once read of it is kept by its object id in a cache beside the archive.
//! The cache buys speed and is trusted for nothing else: see "The cache of heads" in `docs/evidence.md`.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use crate::fs;
use crate::id::{ObjectId, Sha256};
use crate::item::RepoPath;

use super::format::{self, EvidenceError, EvidenceFileName, FileError};

/// The longest cache in bytes (64 MiB); a longer one is made anew.
const MAX_CACHE_LENGTH: u64 = 64 << 20;

/// The cache's first bytes. Another version is another first line, and such a cache is made anew.
const MAGIC: &[u8] = b"archive-tomb evidence-heads 1\n";

/// The evidence files that no other one names.
#[derive(Debug, Default)]
pub struct Heads {
    /// Their digests, sorted.
    pub digests: Vec<Sha256>,
    /// What stands among the evidence and is none; it counts neither as a head nor as naming others.
    pub broken: Vec<(RepoPath, EvidenceError)>,
    /// Why the cache could not be written: no failure, as only the next call takes longer for it.
    pub cache_failure: Option<io::Error>,
}

/// Why the heads could not be found.
#[derive(Debug, thiserror::Error)]
pub enum GraphError<E: std::error::Error + 'static> {
    /// An evidence file could not be had from git.
    #[error("cannot read `{path}` (object `{object}`)")]
    Read {
        /// The file.
        path: RepoPath,
        /// Its object id.
        object: ObjectId,
        /// What the reader said.
        #[source]
        source: E,
    },
    /// Reading an evidence file ended early.
    #[error("cannot read `{path}` (object `{object}`) to its end")]
    Cut {
        /// The file.
        path: RepoPath,
        /// Its object id.
        object: ObjectId,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// An evidence file is of a later version; what comes after it needs that version too.
    #[error("`{path}` has schema `{schema}` and needs a newer git-archive-tomb")]
    Newer {
        /// The file.
        path: RepoPath,
        /// Its schema.
        schema: String,
    },
}

/// What is kept of one evidence file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    sha256: Sha256,
    prev: Arc<[Sha256]>,
}

type Cache = HashMap<ObjectId, Node>;

/// Returns the heads among `entries`: the evidence files of an index, each with its blob.
///
/// Opens with `open` only blobs that `cache` does not know, and then adds them to it; they are read in bounded memory. A cache that is missing,
/// damaged or of another version is made anew. Its folder has to exist.
pub fn heads<E: std::error::Error + 'static, R: Read>(
    entries: &[(RepoPath, ObjectId)],
    cache: &Path,
    mut open: impl FnMut(&ObjectId) -> Result<R, E>,
) -> Result<Heads, GraphError<E>> {
    let mut known = load(cache).unwrap_or_default();
    let mut nodes = Vec::with_capacity(entries.len());
    let mut broken = Vec::new();
    let mut learned = false;
    for (path, object) in entries {
        let name = match EvidenceFileName::parse_path(path) {
            Ok(name) => name,
            Err(error) => {
                broken.push((path.clone(), error.into()));
                continue;
            }
        };
        // A cached digest that contradicts the name is wrong, or the file is: read it.
        if let Some(node) = known.get(object).filter(|node| name.matches(&node.sha256)) {
            nodes.push(node.clone());
            continue;
        }
        let blob = open(object).map_err(|source| GraphError::Read { path: path.clone(), object: *object, source })?;
        match format::read(&name, blob, |_| ()) {
            Ok(facts) => {
                let node = Node { sha256: facts.sha256, prev: facts.prev.into() };
                known.insert(*object, node.clone());
                nodes.push(node);
                learned = true;
            }
            Err(FileError::Read { source, .. }) => {
                return Err(GraphError::Cut { path: path.clone(), object: *object, source });
            }
            Err(FileError::Newer { schema, .. }) => return Err(GraphError::Newer { path: path.clone(), schema }),
            Err(error) => broken.push((path.clone(), error.into())),
        }
    }
    let cache_failure = if learned { save(cache, known, entries).err() } else { None };
    Ok(Heads { digests: unnamed(&nodes), broken, cache_failure })
}

/// Returns the digests of the nodes that no node names, sorted and without repeats.
fn unnamed(nodes: &[Node]) -> Vec<Sha256> {
    let named: HashSet<&Sha256> = nodes.iter().flat_map(|node| node.prev.iter()).collect();
    let mut heads: Vec<Sha256> = nodes.iter().map(|node| node.sha256).filter(|sha| !named.contains(sha)).collect();
    heads.sort_unstable();
    heads.dedup();
    heads
}

/// Returns what the cache holds; `None` if it is missing, unreadable, too long, damaged or of another version.
fn load(path: &Path) -> Option<Cache> {
    // Asked before opening: opening a pipe would wait for its other end.
    if !path.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let file = fs::open_no_follow(OpenOptions::new().read(true), path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_CACHE_LENGTH + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_CACHE_LENGTH {
        return None;
    }
    decode(&bytes)
}

/// Puts `known` in the cache's place; what is not among `entries` is dropped first where it would be too long.
fn save(path: &Path, mut known: Cache, entries: &[(RepoPath, ObjectId)]) -> io::Result<()> {
    let mut bytes = encode(&known);
    if bytes.len() as u64 > MAX_CACHE_LENGTH {
        let wanted: HashSet<&ObjectId> = entries.iter().map(|(_, object)| object).collect();
        known.retain(|object, _| wanted.contains(object));
        bytes = encode(&known);
    }
    if bytes.len() as u64 > MAX_CACHE_LENGTH {
        return Ok(());
    }
    // Replaced whole but not synced: a cache that a power cut damaged fails its digest and is made anew.
    let mut file = tempfile::Builder::new().prefix(".evidence-heads-").tempfile_in(fs::parent_of(path))?;
    file.write_all(&bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn encode(cache: &Cache) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (object, Node { sha256, prev }) in cache {
        // More than 65,535 digests do not fit in a record.
        let Ok(count) = u16::try_from(prev.len()) else { continue };
        bytes.push(if object.as_bytes().len() == 20 { 20 } else { 32 });
        bytes.extend_from_slice(object.as_bytes());
        bytes.extend_from_slice(sha256.as_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        prev.iter().for_each(|digest| bytes.extend_from_slice(digest.as_bytes()));
    }
    let digest = Sha256::of(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Cache> {
    let (content, digest) = bytes.split_last_chunk::<32>()?;
    if Sha256::of(content).as_bytes() != digest {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut cache = Cache::new();
    while !rest.is_empty() {
        let length = usize::from(take(&mut rest, 1)?[0]);
        let object = ObjectId::from_bytes(take(&mut rest, length)?)?;
        let sha256 = take_digest(&mut rest)?;
        let count = u16::from_be_bytes(take(&mut rest, 2)?.try_into().ok()?);
        let prev = (0..count).map(|_| take_digest(&mut rest)).collect::<Option<_>>()?;
        cache.insert(object, Node { sha256, prev });
    }
    Some(cache)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(taken)
}

fn take_digest(rest: &mut &[u8]) -> Option<Sha256> {
    take(rest, 32)?.try_into().ok().map(Sha256::from_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::*;
    use crate::evidence::testing::file;
    use crate::evidence::writer::{MAX_PREV, NewEvidenceFile};

    /// A repository's evidence: what an index lists, and the objects.
    #[derive(Clone, Default)]
    struct Repository {
        index: BTreeMap<RepoPath, ObjectId>,
        objects: HashMap<ObjectId, Vec<u8>>,
    }

    impl Repository {
        fn add(&mut self, file: &NewEvidenceFile) {
            self.put(file.path(), file.bytes().to_vec());
        }

        fn put(&mut self, path: RepoPath, bytes: Vec<u8>) {
            let object = ObjectId::from_bytes(&Sha256::of(&bytes).as_bytes()[..20]).expect("is 20 bytes long");
            self.objects.insert(object, bytes);
            self.index.insert(path, object);
        }

        /// Returns the heads and how many objects were read.
        fn heads(&self, cache: &Path) -> (Heads, usize) {
            let entries: Vec<_> = self.index.clone().into_iter().collect();
            let mut reads = 0;
            let read = |object: &ObjectId| {
                reads += 1;
                Ok::<_, Infallible>(self.objects[object].as_slice())
            };
            (heads(&entries, cache, read).expect("finds the heads"), reads)
        }

        /// Adds the file of operation `operation`, as a clone does, and returns its digest.
        fn operate(&mut self, operation: u64, cache: &Path) -> Sha256 {
            let file = file(operation, 1, self.heads(cache).0.digests);
            self.add(&file);
            *file.sha256()
        }

        fn merge(&mut self, other: &Self) {
            self.index.extend(other.index.clone());
            self.objects.extend(other.objects.clone());
        }
    }

    #[test]
    fn a_merge_has_two_heads_and_the_next_operation_closes_the_graph() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (cache, theirs_cache) = (folder.path().join("ours"), folder.path().join("theirs"));
        let mut ours = Repository::default();
        assert_eq!(ours.heads(&cache).0.digests, []);
        ours.operate(1, &cache);
        let mut theirs = ours.clone();
        ours.operate(2, &cache);
        let left = ours.operate(3, &cache);
        let right = theirs.operate(4, &theirs_cache);
        assert_eq!(ours.heads(&cache).0.digests, [left]);
        assert_eq!(theirs.heads(&theirs_cache).0.digests, [right]);

        ours.merge(&theirs);
        let mut both = vec![left, right];
        both.sort();
        assert_eq!(ours.heads(&cache).0.digests, both);
        let closing = ours.operate(5, &cache);
        assert_eq!(ours.heads(&cache).0.digests, [closing]);
        // The other branch goes on; merging it again leaves exactly its new file open.
        let further = theirs.operate(6, &theirs_cache);
        ours.merge(&theirs);
        let mut both = vec![closing, further];
        both.sort();
        assert_eq!(ours.heads(&cache).0.digests, both);
    }

    #[test]
    fn what_does_not_fit_in_prev_is_closed_by_the_next_operation() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let cache = folder.path().join("cache");
        let mut repository = Repository::default();
        for operation in 0..600 {
            repository.add(&file(operation, 1, Vec::new()));
        }
        repository.operate(600, &cache);
        assert_eq!(repository.heads(&cache).0.digests.len(), 600 - MAX_PREV + 1);
        let closing = repository.operate(601, &cache);
        assert_eq!(repository.heads(&cache).0.digests, [closing]);
    }

    #[test]
    fn only_new_files_are_read() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let cache = folder.path().join("cache");
        let mut repository = Repository::default();
        let mut head = Vec::new();
        for operation in 0..10_000 {
            let file = file(operation, 1, head);
            head = vec![*file.sha256()];
            repository.add(&file);
        }
        assert_eq!(repository.heads(&cache).1, 10_000);
        assert_eq!(repository.heads(&cache).1, 0);
        repository.operate(10_000, &cache);
        let (heads, reads) = repository.heads(&cache);
        assert_eq!((heads.digests.len(), reads), (1, 1));
    }

    #[test]
    fn a_damaged_cache_is_made_anew() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let cache = folder.path().join("cache");
        let mut repository = Repository::default();
        for operation in 1..=3 {
            repository.operate(operation, &cache);
        }
        let expected = repository.heads(&cache).0.digests;
        let good = std::fs::read(&cache).expect("reads the cache");
        let mut damaged: Vec<Vec<u8>> = (0..good.len()).map(|length| good[..length].to_vec()).collect();
        for position in 0..good.len() {
            let mut changed = good.clone();
            changed[position] ^= 1;
            damaged.push(changed);
        }
        // Another version whose digest fits.
        let mut newer = MAGIC.to_vec();
        newer[MAGIC.len() - 2] = b'2';
        let digest = Sha256::of(&newer);
        newer.extend_from_slice(digest.as_bytes());
        damaged.push(newer);
        for bytes in damaged {
            std::fs::write(&cache, bytes).expect("writes the cache");
            let (heads, reads) = repository.heads(&cache);
            assert_eq!((&heads.digests, reads), (&expected, 3));
            assert_eq!(repository.heads(&cache).1, 0);
        }
    }

    #[test]
    fn a_cached_digest_that_contradicts_the_name_is_not_believed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let cache = folder.path().join("cache");
        let mut repository = Repository::default();
        let digest = repository.operate(1, &cache);
        let object = *repository.index.values().next().expect("has a file");
        let lie = Node { sha256: Sha256::of(b"lie"), prev: Arc::from([digest]) };
        std::fs::write(&cache, encode(&HashMap::from([(object, lie)]))).expect("writes the cache");
        assert_eq!(repository.heads(&cache).0.digests, [digest]);
    }

    #[test]
    fn a_cache_that_cannot_be_written_costs_only_time() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let cache = folder.path().join("missing").join("cache");
        let mut repository = Repository::default();
        let digest = repository.operate(1, &cache);
        let (heads, reads) = repository.heads(&cache);
        assert_eq!((heads.digests, reads), (vec![digest], 1));
        assert!(heads.cache_failure.is_some());
    }

    #[test]
    fn what_is_no_evidence_is_told_and_is_no_head() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let cache = folder.path().join("cache");
        let mut repository = Repository::default();
        let first = repository.operate(1, &cache);
        let second = file(2, 1, vec![first]);
        repository.put(second.path(), b"changed".to_vec());
        repository.put(RepoPath::try_new(".codex/evidence/ops/README").expect("is a path"), Vec::new());
        let heads = repository.heads(&cache).0;
        assert_eq!(heads.digests, [first]);
        assert!(matches!(heads.broken[0].1, EvidenceError::File(FileError::Line { number: 1, .. })));
        assert!(matches!(heads.broken[1].1, EvidenceError::Name(_)));
    }

    #[test]
    fn nothing_is_added_to_newer_evidence() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let newer = String::from_utf8(file(1, 1, Vec::new()).bytes().to_vec()).expect("is text");
        let newer = newer.replace("evidence/1", "evidence/2");
        let name = format!("20251017T132236Z-archive-{}.jsonl", Sha256::of(newer.as_bytes()).short());
        let path = EvidenceFileName::parse(name.as_bytes()).expect("is a name").path();
        let entries = [(path, ObjectId::from_bytes(&[1; 20]).expect("is 20 bytes long"))];
        let read = |_: &ObjectId| Ok::<_, Infallible>(newer.as_bytes());
        let error = heads(&entries, &folder.path().join("cache"), read).expect_err("is newer");
        assert!(matches!(error, GraphError::Newer { schema, .. } if schema == "archive-evidence/2"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_the_cache_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let (cache, other) = (folder.path().join("cache"), folder.path().join("other"));
        std::fs::write(&other, "kept").expect("writes");
        std::os::unix::fs::symlink(&other, &cache).expect("links");
        let mut repository = Repository::default();
        repository.operate(1, &cache);
        assert_eq!(repository.heads(&cache).1, 1);
        assert_eq!(repository.heads(&cache).1, 0);
        assert_eq!(std::fs::read(&other).expect("reads"), b"kept");
    }

    /// A working tree for the real git, apart from the user's configuration.
    struct WorkTree(tempfile::TempDir);

    impl WorkTree {
        fn git(&self, arguments: &[&str]) -> Vec<u8> {
            let output = std::process::Command::new("git")
                .args(arguments)
                .current_dir(self.0.path())
                .env_clear()
                .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
                .envs([("HOME", self.0.path().as_os_str())])
                .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("LC_ALL", "C"), ("TZ", "UTC")])
                .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
                .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
                .envs([("GIT_AUTHOR_DATE", "1760707356 +0000"), ("GIT_COMMITTER_DATE", "1760707356 +0000")])
                .output()
                .expect("runs git");
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        }

        fn evidence(&self) -> Vec<(RepoPath, ObjectId)> {
            let listed = self.git(&["ls-files", "--stage", "-z"]);
            let lines = listed.split(|byte| *byte == 0).filter(|line| !line.is_empty());
            let entry = |line: &[u8]| {
                let line = std::str::from_utf8(line).expect("is text");
                let (facts, path) = line.split_once('\t').expect("has a path");
                let object = facts.split(' ').nth(1).expect("has an object").parse().expect("is an object id");
                (RepoPath::try_new(path).expect("is a path"), object)
            };
            lines.map(entry).collect()
        }

        fn blob(&self, object: &ObjectId) -> Vec<u8> {
            self.git(&["cat-file", "blob", &object.to_string()])
        }

        fn heads(&self) -> Vec<Sha256> {
            let cache = self.0.path().join(".git/evidence-heads");
            let read = |object: &ObjectId| Ok::<_, Infallible>(io::Cursor::new(self.blob(object)));
            heads(&self.evidence(), &cache, read).expect("finds the heads").digests
        }

        /// Writes and commits the file of operation `operation`.
        fn operate(&self, operation: u64) -> Sha256 {
            let file = file(operation, 2, self.heads());
            let path = self.0.path().join(file.path().to_os_path());
            std::fs::create_dir_all(fs::parent_of(&path)).expect("makes the folders");
            std::fs::write(path, file.bytes()).expect("writes");
            self.git(&["add", "."]);
            self.git(&["commit", "-q", "-m", "archive"]);
            *file.sha256()
        }
    }

    #[test]
    fn git_merges_branches_that_each_archive_without_a_driver() {
        let tree = WorkTree(tempfile::tempdir().expect("makes a folder"));
        tree.git(&["init", "-q", "-b", "main"]);
        tree.operate(1);
        tree.git(&["checkout", "-q", "-b", "side"]);
        let side = [tree.operate(2), tree.operate(3)][1];
        tree.git(&["checkout", "-q", "main"]);
        let main = tree.operate(4);
        tree.git(&["merge", "-q", "-m", "merge", "side"]);
        let mut both = vec![main, side];
        both.sort();
        assert_eq!(tree.heads(), both);
        let closing = tree.operate(5);
        assert_eq!(tree.heads(), [closing]);

        let mut checker = crate::evidence::check::Checker::default();
        for (path, object) in tree.evidence() {
            checker.file(&path, tree.blob(&object).as_slice(), |_| ());
        }
        let integrity = checker.finish();
        assert!(integrity.files.iter().all(|file| file.outcome.is_ok()));
        assert_eq!((integrity.files.len(), integrity.unresolved.len(), integrity.heads), (5, 0, vec![closing]));
    }
}
