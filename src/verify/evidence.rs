//! Evidence files as the rules need them: read whole, checked, and then only what stubs and removals are compared with.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::snapshot::Objects;
use crate::causes::in_one_line;
use crate::clock::Timestamp;
use crate::evidence::format::{self, EvidenceFileName, FileError};
use crate::evidence::record::{Action, Record, Status};
use crate::git::{GitError, TreeEntry};
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::{FileMode, RepoPath};

/// How many records of intact files are kept at a time, about half a kilobyte each. Beyond that the cache starts anew.
const MAX_CACHED_RECORDS: usize = 200_000;

/// What a record says that a path was archived; see `docs/evidence.md` for the keys.
#[derive(Debug, Clone)]
pub(super) struct Archived {
    pub(super) digest: Sha256,
    pub(super) action: Action,
    pub(super) path: Option<RepoPath>,
    pub(super) repo: Option<String>,
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
    pub(super) mode: Option<FileMode>,
    pub(super) object: Option<ObjectId>,
    pub(super) commit: Option<ObjectId>,
    pub(super) reason: Option<String>,
    pub(super) actor: Option<String>,
    pub(super) ts: Timestamp,
    pub(super) stub: Option<Sha256>,
    pub(super) dirty: bool,
}

/// An intact evidence file.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The digest of the whole file.
    pub(super) sha256: Sha256,
    /// The files that it names as its predecessors.
    pub(super) prev: Vec<Sha256>,
    /// What it archives.
    pub(super) archived: HashMap<Tombstone, Vec<Archived>>,
    /// What it says was restored or purged, so that its stub may go.
    pub(super) returned: HashSet<Tombstone>,
}

/// What became of reading an evidence file.
#[derive(Debug, Clone)]
pub(super) enum Reading {
    /// It is whole, and its bytes are those that its name promises.
    Intact(Arc<Evidence>),
    /// It is intact and of a later format.
    Newer(String),
    /// It is not evidence.
    Broken {
        /// The line, where it is one line's fault.
        line: Option<u64>,
        /// Why, as a fragment.
        reason: String,
    },
}

/// Reads evidence files, each once as long as the cache lasts.
pub(super) struct EvidenceReader<'a> {
    objects: &'a dyn Objects,
    /// How many records are kept.
    pub(super) most_records: usize,
    cache: Mutex<Cache>,
    files_read: AtomicU64,
}

#[derive(Default)]
struct Cache {
    /// By blob and name: a name is checked against the bytes, and one blob can have several names.
    slots: HashMap<(ObjectId, EvidenceFileName), Slot>,
    records: usize,
}

/// Filled by the first thread that wants the file; the others wait for it instead of reading it too.
type Slot = Arc<Mutex<Option<Reading>>>;

impl<'a> EvidenceReader<'a> {
    pub(super) fn new(objects: &'a dyn Objects) -> Self {
        Self { objects, most_records: MAX_CACHED_RECORDS, cache: Mutex::default(), files_read: AtomicU64::new(0) }
    }

    /// Returns how many files were read so far.
    pub(super) fn files_read(&self) -> u64 {
        self.files_read.load(Ordering::Relaxed)
    }

    /// Reads the evidence file at `path`; what does not even have the mode and name of one is broken.
    pub(super) fn read(&self, path: &RepoPath, entry: &TreeEntry) -> Result<Reading, GitError> {
        if let Some(reason) = wrong_mode(entry) {
            return Ok(Reading::Broken { line: None, reason });
        }
        let name = match EvidenceFileName::parse_path(path) {
            Ok(name) => name,
            Err(error) => return Ok(Reading::Broken { line: None, reason: error.reason.to_owned() }),
        };
        let slot = Arc::clone(lock(&self.cache).slots.entry((entry.id, name.clone())).or_default());
        let mut filled = lock(&slot);
        if let Some(reading) = &*filled {
            return Ok(reading.clone());
        }
        let reading = read(&name, self.objects, &entry.id)?;
        *filled = Some(reading.clone());
        drop(filled);
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let mut cache = lock(&self.cache);
        cache.records += reading.weight();
        if cache.records > self.most_records {
            // All but this one, which may alone be larger than that, and of which more may be asked right away.
            *cache = Cache { slots: HashMap::from([((entry.id, name), slot)]), records: reading.weight() };
        }
        Ok(reading)
    }
}

impl Reading {
    /// Returns how much room it takes in the cache, in records.
    fn weight(&self) -> usize {
        match self {
            Self::Intact(evidence) => 1 + evidence.archived.len() + evidence.returned.len(),
            Self::Newer(_) | Self::Broken { .. } => 1,
        }
    }
}

/// Locks; a thread that panicked while it read left nothing half done behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what is wrong with an entry that should be a plain file.
fn wrong_mode(entry: &TreeEntry) -> Option<String> {
    let what = match entry.mode {
        0o100_644 => return None,
        0o120_000 => "a symbolic link".to_owned(),
        0o160_000 => "a submodule".to_owned(),
        mode => format!("of mode {mode:06o}"),
    };
    Some(format!("it is {what}, and evidence is a plain file of mode 100644"))
}

fn read(name: &EvidenceFileName, objects: &dyn Objects, id: &ObjectId) -> Result<Reading, GitError> {
    let mut archived: HashMap<Tombstone, Vec<Archived>> = HashMap::new();
    let mut returned = HashSet::new();
    let outcome = format::read(name, objects.open(id)?, |entry| {
        let format::Entry { digest, record, .. } = entry;
        let Some(tombstone) = record.tombstone else { return };
        match record.action {
            Action::Archive | Action::Import if is_done(&record) => {
                // Room for one: it is nearly always the only one.
                archived.entry(tombstone).or_insert_with(|| Vec::with_capacity(1)).push(Archived::new(digest, record));
            }
            Action::Restore | Action::BatchRestore | Action::Purge if is_done(&record) => {
                returned.insert(tombstone);
            }
            _ => {}
        }
    });
    Ok(match outcome {
        Ok(facts) => Reading::Intact(Arc::new(Evidence { sha256: facts.sha256, prev: facts.prev, archived, returned })),
        Err(FileError::Read { source, .. }) => return Err(GitError::Pipe { command: "cat-file", source }),
        Err(FileError::Newer { schema, .. }) => Reading::Newer(schema),
        Err(error) => {
            let line = if let FileError::Line { number, .. } = &error { Some(*number) } else { None };
            Reading::Broken { line, reason: in_one_line(&error) }
        }
    })
}

/// Returns whether what the record tells of came about.
fn is_done(record: &Record) -> bool {
    !matches!(record.status, Some(Status::Intent | Status::Failed | Status::Retrying | Status::Undone))
}

impl Archived {
    fn new(digest: Sha256, record: Record) -> Self {
        Self {
            digest,
            action: record.action,
            path: record.repo_path(),
            repo: record.repo,
            sha256: record.sha256,
            size: record.size,
            mode: record.mode,
            object: record.object,
            commit: record.commit,
            reason: record.reason,
            actor: record.actor,
            ts: record.ts,
            stub: record.stub,
            dirty: record.dirty,
        }
    }
}
