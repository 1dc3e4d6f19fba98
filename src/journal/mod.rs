//! The journal: what is needed to finish or undo an operation that was stopped half-way.
//!
//! One folder per unfinished operation, `archive-tomb/operations/<operation id>/` in the git common directory. It is
//! written whole under another name and renamed into place, so it is there completely or not at all; it holds the
//! operation's plan and, once built, its evidence. A file in it stays locked by the process that runs the operation:
//! the lock goes with the process, however that ends, so a dead operation is told from a running one without guessing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::fault;
use crate::fs;
use crate::git::BranchName;
use crate::id::OperationId;

const PLAN: &str = "plan.json";
const LOCK: &str = "lock";
/// Folders under this prefix are being built or removed and mean nothing.
const TRANSIENT: &str = ".transient-";
/// Folders under this prefix could not be read and were set aside.
const DAMAGED: &str = "damaged-";
/// How often a lock is tried before it counts as taken by a running operation.
const LOOKS: u32 = 50;
/// The longest journal file that is read back, in bytes: room for the plan of several million paths.
const MAX_FILE_LENGTH: u64 = 2 << 30;

/// What went wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A journal file does not hold what this program writes there.
    #[error("`{}` is not a journal this version can read", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The journal was written by a newer version of this program.
    #[error("`{}` has version {version}, this program knows version {}", path.display(), FormatVersion::NUMBER)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The operation is being run by a living process.
    #[error("operation {0} is running in another process")]
    Running(OperationId),
    /// There is no such operation.
    #[error("there is no unfinished operation {0}")]
    Unknown(OperationId),
}

/// A folder for files that no operation needs after this.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
    /// Keeps the folder from being swept; let go after it.
    _building: File,
}

impl Scratch {
    /// Returns where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// The journals of one repository.
#[derive(Debug, Clone)]
pub struct Journal {
    folder: PathBuf,
}

/// An operation in progress: holds its lock; dropping it without [`ActiveOperation::close`] leaves it unfinished.
#[derive(Debug)]
pub struct ActiveOperation {
    id: OperationId,
    journal: Journal,
    folder: PathBuf,
    _lock: File,
}

/// What the journal says of every operation, whatever its plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Header {
    /// The journal's format; see [`FormatVersion`].
    pub version: FormatVersion,
    /// The operation.
    pub id: OperationId,
    /// The command that began it, such as `store`.
    pub command: String,
    /// The branch that it makes, if it makes one: it then belongs to no working tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
    /// When it began.
    pub started: Timestamp,
    /// Who began it.
    pub actor: String,
    /// The git directory of the working tree that it changes, or where it began, quoted and relative to the common one: empty for the main
    /// working tree, `worktrees/<name>` for a linked one. So a repository that was moved knows its operations.
    pub git_dir: String,
    /// The top of that working tree when it began, for people.
    pub work_tree: String,
    /// How many paths it changes.
    pub paths: usize,
}

/// An operation that no living process runs.
#[derive(Debug)]
pub struct Unfinished {
    /// The operation.
    pub id: OperationId,
    /// What the journal says of it; an error where it is damaged, or of a newer version.
    pub header: Result<Header, JournalError>,
}

/// The version of the journal's format: a program finishes and undoes operations of its own version and of those before.
///
/// Since version 2 the plan of a `store` says of each path what it is archived as, and an operation may be one on a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatVersion;

impl FormatVersion {
    const NUMBER: u32 = 2;
}

impl Serialize for FormatVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(Self::NUMBER)
    }
}

impl<'de> serde::Deserialize<'de> for FormatVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1..=Self::NUMBER => Ok(Self),
            other => Err(serde::de::Error::custom(format!("the version is {other}"))),
        }
    }
}

#[derive(Serialize)]
struct EntryRef<'a, P> {
    header: &'a Header,
    plan: &'a P,
}

#[derive(serde::Deserialize)]
struct Entry<P> {
    /// Read for its version alone, which must be checked before the plan means anything.
    #[serde(rename = "header")]
    _header: Header,
    plan: P,
}

#[derive(serde::Deserialize)]
struct HeaderOnly {
    header: Header,
}

/// What every version of the format has.
#[derive(serde::Deserialize)]
struct AnyVersion {
    header: VersionOnly,
}

#[derive(serde::Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Journal {
    /// Returns the journals kept in `folder`, which need not exist yet.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Writes `plan` durably and takes the operation's lock.
    pub fn begin<P: Serialize>(&self, header: &Header, plan: &P) -> Result<ActiveOperation, JournalError> {
        fs::create_dir(&self.folder).map_err(io_error("create", &self.folder))?;
        self.sweep()?;
        let _building = self.building(File::lock_shared)?;
        let transient = self.transient(header.id);
        let folder = self.folder.join(header.id.to_string());
        let written = self.build(&transient, &folder, header, plan);
        if written.is_err() {
            let _ = std::fs::remove_dir_all(&transient);
        }
        let lock = written?;
        fault::point("journal");
        Ok(ActiveOperation { id: header.id, journal: self.clone(), folder, _lock: lock })
    }

    /// Builds a journal under another name and renames it into place; returns its lock, taken.
    fn build<P: Serialize>(
        &self,
        transient: &Path,
        folder: &Path,
        header: &Header,
        plan: &P,
    ) -> Result<File, JournalError> {
        fs::create_dir(transient).map_err(io_error("create", transient))?;
        let lock_path = transient.join(LOCK);
        let lock = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&lock_path)
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(io_error("lock", &lock_path))?;
        let entry = serde_json::to_vec(&EntryRef { header, plan })
            .map_err(|source| JournalError::Malformed { path: folder.join(PLAN), source })?;
        let plan_path = transient.join(PLAN);
        fs::replace(&plan_path, &entry).map_err(io_error("write", &plan_path))?;
        fault::point("journal-written");
        std::fs::rename(transient, folder).map_err(io_error("rename", transient))?;
        fs::sync_dir(&self.folder).map_err(io_error("sync", &self.folder))?;
        Ok(lock)
    }

    /// Returns the operations that no living process runs, oldest first.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        let mut found = Vec::new();
        for id in self.names()?.iter().filter_map(|name| name.parse::<OperationId>().ok()) {
            // Shared, so that several commands may look at once.
            match self.lock(id, File::try_lock_shared) {
                Ok(operation) => found.push(Unfinished { id, header: operation.header() }),
                Err(JournalError::Running(_) | JournalError::Unknown(_)) => {}
                Err(error) => found.push(Unfinished { id, header: Err(error) }),
            }
        }
        found.sort_by_key(|unfinished| unfinished.id);
        Ok(found)
    }

    /// Returns whether there is a journal of operation `id`, running or not.
    pub fn holds(&self, id: OperationId) -> bool {
        self.folder.join(id.to_string()).symlink_metadata().is_ok()
    }

    /// Takes over an unfinished operation.
    pub fn resume(&self, id: OperationId) -> Result<ActiveOperation, JournalError> {
        for _ in 0..LOOKS {
            match self.lock(id, File::try_lock) {
                // Perhaps a command that only looks has it, for a moment.
                Err(JournalError::Running(_)) => std::thread::sleep(Duration::from_millis(10)),
                result => return result,
            }
        }
        self.lock(id, File::try_lock)
    }

    /// Removes what killed operations left that means nothing: journals that were being built or removed. Where a living
    /// process does either just now, that is left to another time.
    pub fn sweep(&self) -> Result<(), JournalError> {
        let left: Vec<_> = self.names()?.into_iter().filter(|name| name.starts_with(TRANSIENT)).collect();
        if left.is_empty() {
            return Ok(());
        }
        let _alone = match self.building(|file| file.try_lock().map_err(io::Error::from)) {
            Ok(alone) => alone,
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for name in left {
            let path = self.folder.join(name);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a folder for files of an operation that is being planned. It goes when it is dropped; after a kill the next
    /// operation removes it.
    pub fn scratch(&self) -> Result<Scratch, JournalError> {
        fs::create_dir(&self.folder).map_err(io_error("create", &self.folder))?;
        self.sweep()?;
        let building = self.building(File::lock_shared)?;
        let made = tempfile::Builder::new().prefix(TRANSIENT).tempdir_in(&self.folder);
        Ok(Scratch { folder: made.map_err(io_error("create", &self.folder))?, _building: building })
    }

    /// Opens the file beside the folder whose lock is shared by those who build or remove a journal, and taken alone by
    /// who sweeps after the dead, and takes it; the lock goes with the file.
    fn building(&self, take: impl FnOnce(&File) -> io::Result<()>) -> Result<File, JournalError> {
        let path = self.folder.with_extension("lock");
        fs::open_no_follow(OpenOptions::new().write(true).create(true), &path)
            .and_then(|file| take(&file).map(|()| file))
            .map_err(io_error("lock", &path))
    }

    /// Returns the names in the folder of the journals.
    fn names(&self) -> Result<Vec<String>, JournalError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(JournalError::Io { action: "list", path: self.folder.clone(), source }),
        };
        let name = |entry: io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        entries.map(name).collect::<io::Result<_>>().map_err(io_error("list", &self.folder))
    }

    fn transient(&self, id: OperationId) -> PathBuf {
        self.folder.join(format!("{TRANSIENT}{id}"))
    }

    /// Opens an operation with its lock taken by `take`.
    fn lock(
        &self,
        id: OperationId,
        take: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<ActiveOperation, JournalError> {
        let folder = self.folder.join(id.to_string());
        let path = folder.join(LOCK);
        // Reading suffices for a lock. A journal whose lock was lost is still one.
        let open = |options: &mut OpenOptions| fs::open_no_follow(options, &path);
        let opened = match open(OpenOptions::new().read(true)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => open(OpenOptions::new().write(true).create(true)),
            opened => opened,
        };
        let lock = match opened {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(JournalError::Unknown(id)),
            Err(source) => return Err(JournalError::Io { action: "open", path, source }),
        };
        match take(&lock) {
            // The operation may have been closed between opening and locking.
            Ok(()) if folder.exists() => Ok(ActiveOperation { id, journal: self.clone(), folder, _lock: lock }),
            Ok(()) => Err(JournalError::Unknown(id)),
            Err(TryLockError::WouldBlock) => Err(JournalError::Running(id)),
            Err(TryLockError::Error(source)) => Err(JournalError::Io { action: "lock", path, source }),
        }
    }
}

impl ActiveOperation {
    /// Returns the operation's id.
    pub fn id(&self) -> OperationId {
        self.id
    }

    /// Returns what the journal says of the operation.
    pub fn header(&self) -> Result<Header, JournalError> {
        self.parse(|bytes| serde_json::from_slice::<HeaderOnly>(bytes).map(|entry| entry.header))
    }

    /// Returns the plan.
    pub fn plan<P: DeserializeOwned>(&self) -> Result<P, JournalError> {
        self.parse(|bytes| serde_json::from_slice::<Entry<P>>(bytes).map(|entry| entry.plan))
    }

    fn parse<T>(&self, parse: impl FnOnce(&[u8]) -> Result<T, serde_json::Error>) -> Result<T, JournalError> {
        let path = self.folder.join(PLAN);
        let bytes = self.load(PLAN)?.unwrap_or_default();
        if let Ok(AnyVersion { header: VersionOnly { version } }) = serde_json::from_slice(&bytes)
            && version > FormatVersion::NUMBER
        {
            return Err(JournalError::Newer { path, version });
        }
        parse(&bytes).map_err(|source| JournalError::Malformed { path, source })
    }

    /// Keeps `bytes` with the operation, durably, under `name`.
    pub fn save(&self, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
        let path = self.folder.join(name);
        fs::replace(&path, bytes).map_err(io_error("write", &path))
    }

    /// Returns what was kept under `name`, if anything was.
    pub fn load(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.folder.join(name);
        let mut bytes = Vec::new();
        match fs::open_no_follow(OpenOptions::new().read(true), &path) {
            Ok(file) => file.take(MAX_FILE_LENGTH).read_to_end(&mut bytes).map_err(io_error("read", &path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::Io { action: "open", path, source }),
        };
        Ok(Some(bytes))
    }

    /// Ends the operation: it is finished or undone, and its journal goes.
    pub fn close(self) -> Result<(), JournalError> {
        let _building = self.journal.building(File::lock_shared)?;
        let transient = self.journal.transient(self.id);
        std::fs::rename(&self.folder, &transient).map_err(io_error("rename", &self.folder))?;
        fs::sync_dir(&self.journal.folder).map_err(io_error("sync", &self.journal.folder))?;
        fault::point("journal-renamed");
        std::fs::remove_dir_all(&transient).map_err(io_error("remove", &transient))?;
        fault::point("closed");
        Ok(())
    }

    /// Sets a journal that cannot be read aside, so that it is in nobody's way, and returns where it is now.
    pub fn set_aside(self) -> Result<PathBuf, JournalError> {
        let aside = self.journal.folder.join(format!("{DAMAGED}{}", self.id));
        std::fs::rename(&self.folder, &aside).map_err(io_error("rename", &self.folder))?;
        fs::sync_dir(&self.journal.folder).map_err(io_error("sync", &self.journal.folder))?;
        Ok(aside)
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| JournalError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: FormatVersion,
            id: OperationId::generate(),
            command: "store".to_owned(),
            branch: None,
            started: Timestamp::now(),
            actor: "A <a@example.org>".to_owned(),
            git_dir: String::new(),
            work_tree: "/repository".to_owned(),
            paths: 1,
        }
    }

    /// Returns the headers of the unfinished operations, all of which must be readable.
    fn unfinished(journal: &Journal) -> Vec<Header> {
        journal.unfinished().expect("lists").into_iter().map(|found| found.header.expect("is readable")).collect()
    }

    fn entries(folder: &Path) -> usize {
        std::fs::read_dir(folder).expect("lists").count()
    }

    #[test]
    fn an_operation_is_unfinished_once_nobody_runs_it_and_until_it_is_closed() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let journal = Journal::at(folder.path().join("operations"));
        assert_eq!(unfinished(&journal), vec![]);

        let header = header();
        let operation = journal.begin(&header, &"the plan").expect("begins");
        assert_eq!(unfinished(&journal), vec![], "it is running");
        assert!(matches!(journal.resume(header.id), Err(JournalError::Running(_))));
        journal.sweep().expect("sweeps");

        operation.save("evidence.jsonl", b"evidence").expect("saves");
        drop(operation);
        assert_eq!(unfinished(&journal), vec![header.clone()]);

        let operation = journal.resume(header.id).expect("resumes");
        assert_eq!(operation.plan::<String>().expect("has a plan"), "the plan");
        assert_eq!(operation.load("evidence.jsonl").expect("loads").as_deref(), Some(&b"evidence"[..]));
        assert_eq!(operation.load("other").expect("loads"), None);
        operation.close().expect("closes");
        assert_eq!(unfinished(&journal), vec![]);
        assert!(matches!(journal.resume(header.id), Err(JournalError::Unknown(_))));
        assert_eq!(entries(&folder.path().join("operations")), 0);
    }

    #[test]
    fn looking_at_an_operation_keeps_nobody_from_looking_or_taking_it_over() {
        let temporary = tempfile::tempdir().expect("makes a folder");
        let folder = temporary.path().join("operations");
        let journal = Journal::at(folder.clone());
        let header = header();
        drop(journal.begin(&header, &"the plan").expect("begins"));
        let looking = journal.lock(header.id, File::try_lock_shared).expect("looks");
        assert_eq!(unfinished(&journal), vec![header.clone()]);
        std::thread::scope(|scope| {
            let resumed = scope.spawn(|| journal.resume(header.id).map(drop));
            std::thread::sleep(Duration::from_millis(30));
            drop(looking);
            resumed.join().expect("ends").expect("waits for those who look");
        });
    }

    #[test]
    fn what_a_killed_operation_left_means_nothing_and_goes() {
        let temporary = tempfile::tempdir().expect("makes a folder");
        let folder = temporary.path().join("operations");
        let journal = Journal::at(folder.clone());
        std::fs::create_dir(&folder).expect("makes a folder");
        for content in [&["lock", "plan.json"][..], &["lock"], &[]] {
            let left = folder.join(format!("{TRANSIENT}{}", OperationId::generate()));
            std::fs::create_dir(&left).expect("makes it");
            for name in content {
                std::fs::write(left.join(name), "").expect("writes");
            }
        }
        assert_eq!(unfinished(&journal), vec![]);
        let building = journal.building(File::lock_shared).expect("locks");
        journal.sweep().expect("leaves it");
        assert_eq!(entries(&folder), 3, "somebody may be building one of them");
        drop(building);
        journal.sweep().expect("sweeps");
        assert_eq!(entries(&folder), 0);
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_told_apart_and_hides_no_other() {
        let temporary = tempfile::tempdir().expect("makes a folder");
        let folder = temporary.path().join("operations");
        let journal = Journal::at(folder.clone());
        let [newer, damaged, sound] = [header(), header(), header()];
        for header in [&newer, &damaged, &sound] {
            drop(journal.begin(header, &"the plan").expect("begins"));
        }
        let plan = |id: OperationId| folder.join(id.to_string()).join(PLAN);
        let text = std::fs::read_to_string(plan(newer.id)).expect("reads");
        std::fs::write(plan(newer.id), text.replace("\"version\":2", "\"version\":3")).expect("writes");
        std::fs::write(plan(damaged.id), &text[..text.len() / 2]).expect("writes");
        std::fs::remove_file(folder.join(sound.id.to_string()).join(LOCK)).expect("removes");

        let found = journal.unfinished().expect("lists");
        assert_eq!(found.len(), 3);
        for Unfinished { id, header } in found {
            match header {
                Ok(header) => assert_eq!(header, sound),
                Err(JournalError::Newer { version: 3, .. }) => assert_eq!(id, newer.id),
                Err(JournalError::Malformed { .. }) => assert_eq!(id, damaged.id),
                Err(other) => panic!("{other}"),
            }
        }
        let aside = journal.resume(damaged.id).expect("resumes").set_aside().expect("sets aside");
        assert!(aside.join(PLAN).exists());
        assert!(!journal.holds(damaged.id) && journal.holds(newer.id));
    }
}
