//! Where the bytes of an item come from: the archive, or git's own history. Only bytes with the right digest count.

use std::fmt;
use std::io::{self, Write};

use crate::archive::{AnyArchive, Archive, ContentReader, ReadError, StoredItem};
use crate::clock::{Stopwatch, Timestamp};
use crate::config::Performance;
use crate::evidence::record::{Record, Source};
use crate::git::{Gap, GitError, ObjectKind, Objects, Repository};
use crate::id::{ObjectId, Sha256, Sha256Hasher, Tombstone};
use crate::item::{FileMode, RepoPath};
use crate::stub::Stub;

/// What is to be given back: what stubs, records and items agree on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wanted {
    /// The item.
    pub tombstone: Tombstone,
    /// The repository that it was archived from.
    pub repo: String,
    /// Where it stood.
    pub path: RepoPath,
    /// The commit whose tree held it.
    pub commit: ObjectId,
    /// The blob that it was.
    pub object: ObjectId,
    /// Its mode.
    pub mode: FileMode,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The length of its bytes.
    pub size: u64,
}

impl From<&Stub> for Wanted {
    fn from(stub: &Stub) -> Self {
        Self {
            tombstone: stub.tombstone,
            repo: stub.repo.clone(),
            path: stub.path.clone(),
            commit: stub.commit,
            object: stub.object,
            mode: stub.mode,
            sha256: stub.sha256,
            size: stub.size,
        }
    }
}

impl From<&StoredItem> for Wanted {
    fn from(stored: &StoredItem) -> Self {
        let item = &stored.item;
        Self {
            tombstone: item.tombstone,
            repo: item.repo.clone(),
            path: item.path.clone(),
            commit: item.commit,
            object: item.object,
            mode: item.mode,
            sha256: item.sha256,
            size: item.size,
        }
    }
}

impl Wanted {
    /// Returns what an `ARCHIVE` record tells of its item; `None` if it does not tell all.
    pub fn from_record(record: &Record) -> Option<Self> {
        Some(Self {
            tombstone: record.tombstone?,
            repo: record.repo.clone()?,
            path: record.repo_path()?,
            commit: record.commit?,
            object: record.object?,
            mode: record.mode?,
            sha256: record.sha256?,
            size: record.size?,
        })
    }
}

/// How bytes were delivered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delivered {
    /// Where they came from.
    pub source: Source,
    /// How long reading, decompressing and checking took, in milliseconds.
    pub decompression_ms: f64,
    /// How long writing took, in milliseconds.
    pub write_ms: f64,
}

impl Delivered {
    /// Writes the measurements that `metrics` asks for into `record`, with the duration of the whole in milliseconds.
    pub fn measure(&self, record: &mut Record, duration_ms: f64, metrics: Performance) {
        record.duration_ms = metrics.total(duration_ms);
        record.decompression_ms = metrics.part(self.decompression_ms);
        record.write_ms = metrics.part(self.write_ms);
    }
}

/// Why bytes could not be delivered.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The archive holds the item, and gave bytes that are not it, or failed.
    #[error("cannot read item {tombstone} from the archive")]
    Archive {
        /// The item.
        tombstone: Tombstone,
        /// Why not.
        source: ReadError,
    },
    /// The item's bytes were destroyed on purpose.
    #[error("item {tombstone} was purged at {purged_at}")]
    Purged {
        /// The item.
        tombstone: Tombstone,
        /// When.
        purged_at: Timestamp,
    },
    /// Neither the archive nor git's history has the bytes.
    #[error("the bytes of item {tombstone} {absence}")]
    Nowhere {
        /// The item.
        tombstone: Tombstone,
        /// Whether an archive was asked as well.
        archive_asked: bool,
        /// What is known of why history lacks them.
        absence: Absence,
    },
    /// Git failed.
    #[error("cannot read item {tombstone} from git's history")]
    History {
        /// The item.
        tombstone: Tombstone,
        /// Whether a filter leaves objects to be fetched when they are asked for.
        partial: bool,
        /// Why not.
        source: GitError,
    },
    /// The bytes could not be read or written.
    #[error("cannot write the bytes of item {tombstone}")]
    Write {
        /// The item.
        tombstone: Tombstone,
        /// Why not.
        source: io::Error,
    },
}

/// Why git's history, as far as it is here, lacks an item's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// This clone leaves out a part that may have them.
    Gap(Gap),
    /// The commit that the file was archived from is here, and has other bytes: they were a local change.
    NeverCommitted,
    /// Nothing is known.
    Unknown,
}

impl fmt::Display for Absence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gap(_) => "are not in the part of git's history that is here",
            Self::NeverCommitted => "are not in git's history: they were never committed",
            Self::Unknown => "are not in git's history",
        })
    }
}

/// Gives back bytes, from the archive where there is one, else from history.
pub struct Sources<'a> {
    repository: &'a Repository,
    archive: Option<ContentReader<'a>>,
    only: Option<Source>,
}

impl<'a> Sources<'a> {
    /// Returns the sources of `repository`; `only` limits them to one.
    pub fn new(repository: &'a Repository, archive: Option<&'a mut AnyArchive>, only: Option<Source>) -> Self {
        Self { repository, archive: archive.map(|archive| ContentReader::new(archive as &mut dyn Archive)), only }
    }

    /// Announces the contents that will be [written](Self::write) next, in this order, as far as they come from the archive.
    pub fn expect(&mut self, contents: impl IntoIterator<Item = Sha256>) {
        if let Some(archive) = self.archive.as_mut().filter(|_| self.only != Some(Source::History)) {
            archive.expect(contents);
        }
    }

    /// Returns how many attempts to ask the archive failed and were made again.
    pub fn retries(&mut self) -> u64 {
        self.archive.as_mut().map_or(0, |archive| archive.archive().retries())
    }

    /// Writes the bytes of `wanted` to `out`; `stored` is its item, if the archive has it.
    ///
    /// The digest is known only at the end: on an error, what `out` got is to be thrown away.
    pub fn write(
        &mut self,
        wanted: &Wanted,
        stored: Option<&StoredItem>,
        out: &mut dyn Write,
    ) -> Result<Delivered, SourceError> {
        let tombstone = wanted.tombstone;
        if let Some(purged_at) = stored.and_then(|stored| stored.purged_at)
            && self.only != Some(Source::History)
        {
            return Err(SourceError::Purged { tombstone, purged_at });
        }
        if self.only != Some(Source::History)
            && stored.is_some()
            && let Some(archive) = &mut self.archive
        {
            let timings = archive
                .read(&wanted.sha256, wanted.size, out)
                .map_err(|source| SourceError::Archive { tombstone, source })?;
            return Ok(Delivered {
                source: Source::Archive,
                decompression_ms: timings.decompression_ms,
                write_ms: timings.write_ms,
            });
        }
        let archive_asked = self.archive.is_some();
        let nowhere = |absence| SourceError::Nowhere { tombstone, archive_asked, absence };
        if self.only == Some(Source::Archive) {
            return Err(nowhere(Absence::Unknown));
        }
        let failed = |source| SourceError::History { tombstone, partial: self.repository.is_partial(), source };
        let Some(object) = find_in_history(self.repository, wanted).map_err(failed)? else {
            return Err(nowhere(absence(self.repository, wanted).map_err(failed)?));
        };
        let watch = Stopwatch::start();
        self.copy_blob(wanted, &object, out)?;
        Ok(Delivered { source: Source::History, decompression_ms: 0.0, write_ms: watch.elapsed_ms() })
    }

    /// Copies a blob that was found to be the right one, and checks it again on the way.
    fn copy_blob(&self, wanted: &Wanted, object: &ObjectId, out: &mut dyn Write) -> Result<(), SourceError> {
        let tombstone = wanted.tombstone;
        let mut reader = self
            .repository
            .fetching_objects()
            .open_blob(object)
            .map_err(|source| SourceError::History { tombstone, partial: self.repository.is_partial(), source })?;
        let mut tee = HashingWriter { out, hasher: Sha256Hasher::new() };
        io::copy(&mut reader, &mut tee).map_err(|source| SourceError::Write { tombstone, source })?;
        if tee.hasher.finish() == wanted.sha256 {
            Ok(())
        } else {
            let source = io::Error::new(io::ErrorKind::InvalidData, "the blob changed while it was read");
            Err(SourceError::Write { tombstone, source })
        }
    }
}

/// Hashes what passes through.
struct HashingWriter<'a> {
    out: &'a mut dyn Write,
    hasher: Sha256Hasher,
}

impl Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the blob in git whose bytes have the wanted digest: the recorded one, or any content the path ever had; `None`
/// if there is none here.
pub fn find_in_history(repository: &Repository, wanted: &Wanted) -> Result<Option<ObjectId>, GitError> {
    let objects = repository.fetching_objects();
    if let Some(object) = find_recorded(objects, wanted)? {
        return Ok(Some(object));
    }
    let mut starts: Vec<ObjectId> = repository.references("refs/")?.into_iter().map(|reference| reference.id).collect();
    // References may name blobs and trees as well (our own do), which have no history.
    starts.retain(|id| matches!(objects.header(id), Ok((ObjectKind::Commit, _))));
    starts.extend(repository.head()?.commit());
    for (_, entry) in objects.path_history(&starts, &wanted.path)? {
        if is_wanted(objects, wanted, &entry.id)? {
            return Ok(Some(entry.id));
        }
    }
    Ok(None)
}

/// Returns the blob that the record names, or what stands at its commit and path, if its bytes have the wanted digest:
/// what is found without a search.
pub fn find_recorded(objects: &Objects, wanted: &Wanted) -> Result<Option<ObjectId>, GitError> {
    if is_wanted(objects, wanted, &wanted.object)? {
        return Ok(Some(wanted.object));
    }
    let commit = unless_missing(objects.commit(&wanted.commit))?;
    if let Some(commit) = commit
        && let Some(entry) = unless_missing(objects.entry(&commit.tree, &wanted.path))?.flatten()
        && is_wanted(objects, wanted, &entry.id)?
    {
        return Ok(Some(entry.id));
    }
    Ok(None)
}

/// Returns what is known of why bytes that were not found in history are not there.
fn absence(repository: &Repository, wanted: &Wanted) -> Result<Absence, GitError> {
    let objects = repository.fetching_objects();
    let commit = unless_missing(objects.commit(&wanted.commit))?;
    let entry = match commit {
        Some(commit) => unless_missing(objects.entry(&commit.tree, &wanted.path))?.flatten(),
        None => None,
    };
    // What stands there was looked at already.
    let other_is_here = match entry {
        Some(entry) => unless_missing(objects.header(&entry.id))?.is_some(),
        None => false,
    };
    if other_is_here {
        return Ok(Absence::NeverCommitted);
    }
    Ok(repository.gap()?.map_or(Absence::Unknown, Absence::Gap))
}

/// Returns whether `object` is a blob of the wanted bytes.
pub(super) fn is_wanted(objects: &Objects, wanted: &Wanted, object: &ObjectId) -> Result<bool, GitError> {
    match objects.header(object) {
        Ok((ObjectKind::Blob, size)) if size == wanted.size => {}
        Ok(_) | Err(GitError::MissingObject { .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    let digest = Sha256::of_reader(objects.open_blob(object)?);
    Ok(digest.is_ok_and(|(sha256, _)| sha256 == wanted.sha256))
}

/// Returns `None` in place of the error that an object is not here.
fn unless_missing<T>(result: Result<T, GitError>) -> Result<Option<T>, GitError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(GitError::MissingObject { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
