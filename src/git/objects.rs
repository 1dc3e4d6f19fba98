//! Raw objects: by libgit2's object database where it can, by `git cat-file` where it cannot.
//!
//! Only the database is opened, never a libgit2 repository: so neither its reading of the configuration nor what it
//! thinks of reference formats, extensions and owners matters. SHA-256 objects, promised objects and anything else it
//! does not find or cannot read go to one long-lived `git cat-file --batch-command`.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use bstr::ByteSlice;
use git2::{Odb, OdbLookupFlags, Oid};

use super::command::{self, Git};
use super::repository::parse_id;
use super::tree::KnownTrees;
use super::{GitError, ObjectFormat};
use crate::id::{ObjectId, Sha256Hasher};

/// Blobs above this size in bytes are streamed from a `git` of their own and not held in memory.
const STREAM_ABOVE: u64 = 4 * 1024 * 1024;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A file's bytes, or a symbolic link's target.
    Blob,
    /// A folder.
    Tree,
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"blob" => Self::Blob,
            b"tree" => Self::Tree,
            b"commit" => Self::Commit,
            b"tag" => Self::Tag,
            _ => return None,
        })
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Commit => "commit",
            Self::Tag => "tag",
        })
    }
}

/// A raw object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its content, without git's header.
    pub bytes: Vec<u8>,
}

/// The object database of a repository. Any number of threads may read at once; each uses a handle of its own.
pub struct Objects {
    git: Git,
    format: ObjectFormat,
    folder: PathBuf,
    /// Where the repository keeps its objects if that is not `folder`: while a push is received, its objects are in a
    /// quarantine folder, which git is told of by its environment and libgit2 is not.
    behind: Option<PathBuf>,
    shallow: bool,
    partial: OnceLock<bool>,
    fetch: bool,
    /// Idle handles of libgit2.
    databases: Mutex<Vec<Odb<'static>>>,
    /// Idle `git cat-file` children.
    children: Mutex<Vec<CatFile>>,
    /// Trees that were read.
    pub(super) trees: Mutex<KnownTrees>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Objects")
            .field("folder", &self.folder)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Objects {
    pub(crate) fn new(git: Git, format: ObjectFormat, folder: PathBuf, common_dir: &Path, shallow: bool) -> Self {
        let own = common_dir.join("objects");
        Self {
            git,
            format,
            behind: (own != folder).then_some(own),
            folder,
            shallow,
            partial: OnceLock::new(),
            fetch: false,
            databases: Mutex::default(),
            children: Mutex::default(),
            trees: Mutex::default(),
        }
    }

    /// Returns the same database with handles of its own; `fetch` says whether it fetches objects that a filter left out.
    pub(crate) fn reopen(&self, fetch: bool) -> Self {
        Self {
            git: self.git.clone(),
            format: self.format,
            folder: self.folder.clone(),
            behind: self.behind.clone(),
            shallow: self.shallow,
            partial: OnceLock::new(),
            fetch,
            databases: Mutex::default(),
            children: Mutex::default(),
            trees: Mutex::default(),
        }
    }

    /// Returns the hash that names objects.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Returns how to start git on the repository.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// Returns where git keeps the objects.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns whether objects may be missing because the repository was cloned with a filter.
    pub(crate) fn is_partial(&self) -> bool {
        *self.partial.get_or_init(|| {
            let keys = r"^(extensions\.partialclone|remote\..*\.(promisor|partialclonefilter))$";
            let mut command = self.git.read_command(&["config", "--null", "--name-only", "--get-regexp", keys]);
            command::run("config", &mut command, b"").is_ok_and(|output| output.success)
        })
    }

    /// Returns the kind and the size in bytes of an object.
    pub fn header(&self, id: &ObjectId) -> Result<(ObjectKind, u64), GitError> {
        let header = self.with_database(id, Odb::read_header);
        if let Some((size, kind)) = header
            && let Some(kind) = kind_of(kind)
        {
            return Ok((kind, size as u64));
        }
        self.with_child(|child| child.header(id))?.ok_or_else(|| self.missing(id))
    }

    /// Returns an object of at most `limit` bytes; a larger one is [`GitError::TooLarge`], and is not read.
    pub fn read(&self, id: &ObjectId, limit: u64) -> Result<Object, GitError> {
        let too_large = |size| GitError::TooLarge { id: *id, size, limit };
        let found = self.with_database(id, |database, oid| {
            let (size, kind) = database.read_header(oid)?;
            if size as u64 > limit {
                return Ok(Err(too_large(size as u64)));
            }
            // libgit2 hashes what it reads, so a damaged object never passes for the one that was asked for.
            let object = database.read(oid)?;
            Ok(Ok((kind, object.data().to_vec())))
        });
        if let Some(found) = found {
            let (kind, bytes) = found?;
            if let Some(kind) = kind_of(kind) {
                return Ok(Object { kind, bytes });
            }
        }
        // Asked first, because `contents` sends everything.
        let (kind, size) = self.with_child(|child| child.header(id))?.ok_or_else(|| self.missing(id))?;
        if size > limit {
            return Err(too_large(size));
        }
        let bytes = self.with_child(|child| child.contents(id, size))?.ok_or_else(|| self.missing(id))?;
        if hash(self.format, kind, &bytes) != *id {
            return Err(GitError::Malformed { id: *id, kind, reason: "its bytes do not hash to its id" });
        }
        Ok(Object { kind, bytes })
    }

    /// Returns the bytes of an object that must be of `kind`, as [`Objects::read`] does.
    pub fn read_kind(&self, id: &ObjectId, kind: ObjectKind, limit: u64) -> Result<Vec<u8>, GitError> {
        let object = self.read(id, limit)?;
        if object.kind != kind {
            return Err(GitError::WrongKind { id: *id, expected: kind, found: object.kind });
        }
        Ok(object.bytes)
    }

    /// Opens a blob of any size for reading, in bounded memory: small ones are read at once and checked against their
    /// id, those above 4 MiB stream from a `git` child and are not (the caller's digest tells). A stream that ends
    /// early or fails is an error of the reader.
    pub fn open_blob(&self, id: &ObjectId) -> Result<Box<dyn Read + Send>, GitError> {
        let size = match self.read_kind(id, ObjectKind::Blob, STREAM_ABOVE) {
            Ok(bytes) => return Ok(Box::new(io::Cursor::new(bytes))),
            Err(GitError::TooLarge { size, .. }) => size,
            Err(error) => return Err(error),
        };
        let (kind, _) = self.header(id)?;
        if kind != ObjectKind::Blob {
            return Err(GitError::WrongKind { id: *id, expected: ObjectKind::Blob, found: kind });
        }
        // Above the threshold git inflates piece by piece. Its maps of a pack count as its memory, and would grow to 1 GiB
        // each and to the whole pack together.
        let configuration = ["core.bigFileThreshold=1m", "core.packedGitWindowSize=16m", "core.packedGitLimit=64m"];
        let mut command = self.git.command(&configuration, &["cat-file", "blob", &id.to_string()]);
        self.limit_fetching(&mut command);
        let mut child = command::spawn(&mut command)?;
        let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || command::drain_stderr(pipe)));
        let stdout = child.stdout.take();
        Ok(Box::new(BlobStream { child, stdout, stderr, remaining: size }))
    }

    /// Returns for each of `ids` whether the object is here, without fetching.
    pub fn contains(&self, ids: &[ObjectId]) -> Result<Vec<bool>, GitError> {
        let mut found: Vec<bool> = ids
            .iter()
            .map(|id| {
                let exists = |database: &Odb<'_>, oid| Ok(database.exists_ext(oid, OdbLookupFlags::NO_REFRESH));
                self.with_database(id, exists).unwrap_or(false)
            })
            .collect();
        // The misses go to git in one call: what was written meanwhile or is kept where libgit2 does not look.
        let missing: Vec<usize> = (0..ids.len()).filter(|index| !found[*index]).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let mut command = self.git.read_command(&["cat-file", "--batch-check", "--buffer"]);
        forbid_fetching(&mut command);
        let mut lines = Vec::new();
        let output = command::stream(
            "cat-file",
            &mut command,
            |pipe| missing.iter().try_for_each(|index| writeln!(pipe, "{}", ids[*index])),
            |pipe| {
                for line in pipe.split(b'\n') {
                    lines.push(!line.map_err(pipe_error)?.ends_with(b" missing"));
                }
                Ok(())
            },
        )?;
        match output.ok("cat-file") {
            Err(error) if is_refused_fetch(&error) => {
                lines.clear();
                for index in &missing {
                    lines.push(self.with_child(|child| child.header(&ids[*index]))?.is_some());
                }
            }
            result => drop(result?),
        }
        if lines.len() != missing.len() {
            return Err(GitError::UnexpectedAnswer { command: "cat-file" });
        }
        for (index, here) in missing.into_iter().zip(lines) {
            found[index] = here;
        }
        Ok(found)
    }

    /// Returns the id that a blob with these bytes has here; nothing is written.
    pub fn hash_blob(&self, bytes: &[u8]) -> ObjectId {
        hash(self.format, ObjectKind::Blob, bytes)
    }

    /// Returns the error for an object that is not here, saying what may be the reason.
    pub(crate) fn missing(&self, id: &ObjectId) -> GitError {
        GitError::MissingObject { id: *id, shallow: self.shallow, partial: self.is_partial() }
    }

    /// Calls `use_it` with a handle of libgit2; `None` if that cannot help, and git has to be asked.
    fn with_database<T>(
        &self,
        id: &ObjectId,
        use_it: impl FnOnce(&Odb<'static>, Oid) -> Result<T, git2::Error>,
    ) -> Option<T> {
        if self.format != ObjectFormat::Sha1 {
            return None;
        }
        let oid = Oid::from_bytes(id.as_bytes()).ok()?;
        let idle = lock(&self.databases).pop();
        let database = idle.or_else(|| self.open_database())?;
        let result = use_it(&database, oid).ok();
        lock(&self.databases).push(database);
        result
    }

    /// Calls `use_it` with a `git cat-file` child, which is kept for the next call unless something went wrong.
    /// `None` means that the object is not here.
    fn with_child<T>(&self, use_it: impl FnOnce(&mut CatFile) -> io::Result<Option<T>>) -> Result<Option<T>, GitError> {
        let idle = lock(&self.children).pop();
        let mut child = idle.map_or_else(|| self.start_child(), Ok)?;
        match use_it(&mut child) {
            Ok(value) => {
                lock(&self.children).push(child);
                Ok(value)
            }
            Err(error) => match child.fail(error) {
                error if !self.fetch && is_refused_fetch(&error) => Ok(None),
                error if is_unknown_to_remote(&error) => Ok(None),
                error => Err(error),
            },
        }
    }

    fn open_database(&self) -> Option<Odb<'static>> {
        let database = Odb::new().ok()?;
        for folder in std::iter::once(&self.folder).chain(&self.behind) {
            database.add_disk_alternate(folder.to_str()?).ok()?;
        }
        Some(database)
    }

    fn start_child(&self) -> Result<CatFile, GitError> {
        let mut command = self.git.read_command(&["cat-file", "--batch-command"]);
        self.limit_fetching(&mut command);
        CatFile::start(command)
    }

    fn limit_fetching(&self, command: &mut std::process::Command) {
        if !self.fetch {
            forbid_fetching(command);
        }
    }
}

/// Keeps a child from fetching what a filter left out.
pub(super) fn forbid_fetching(command: &mut std::process::Command) {
    command.env("GIT_NO_LAZY_FETCH", "1");
    // Before 2.45 git does not know that variable: there, no protocol may be used, and a child that wants to fetch dies.
    command.env("GIT_ALLOW_PROTOCOL", "");
}

/// Returns whether a child died because it could not fetch an object that a filter left out.
fn is_refused_fetch(error: &GitError) -> bool {
    matches!(error, GitError::Failed { detail, .. } if detail.contains("from promisor remote"))
}

/// Returns whether a child died because the remote does not have an object that it was asked for either.
fn is_unknown_to_remote(error: &GitError) -> bool {
    matches!(error, GitError::Failed { detail, .. } if detail.contains("not our ref"))
}

/// Locks a pool. A panicking thread leaves it whole: handles are taken out while they are used.
pub(super) fn lock<T>(pool: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kind_of(kind: git2::ObjectType) -> Option<ObjectKind> {
    ObjectKind::parse(kind.str().as_bytes())
}

fn pipe_error(source: io::Error) -> GitError {
    GitError::Pipe { command: "cat-file", source }
}

/// Returns the id of an object: the hash of its kind, its size in decimal, NUL, and its bytes.
fn hash(format: ObjectFormat, kind: ObjectKind, bytes: &[u8]) -> ObjectId {
    match format {
        ObjectFormat::Sha1 => {
            let kind = git2::ObjectType::from_str(&kind.to_string()).expect("libgit2 knows every kind of object");
            // As git's own: it detects the known attacks on SHA-1 and gives such bytes another id.
            let oid = Oid::hash_object(kind, bytes).expect("hashing memory cannot fail");
            ObjectId::from_bytes(oid.as_bytes()).expect("a SHA-1 has 20 bytes")
        }
        ObjectFormat::Sha256 => {
            let mut hasher = Sha256Hasher::new();
            hasher.update(format!("{kind} {}\0", bytes.len()).as_bytes());
            hasher.update(bytes);
            ObjectId::from_bytes(hasher.finish().as_bytes()).expect("a SHA-256 has 32 bytes")
        }
    }
}

/// A running `git cat-file --batch-command`.
struct CatFile {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
}

impl CatFile {
    fn start(mut command: std::process::Command) -> Result<Self, GitError> {
        let mut child = command::spawn(command.stdin(Stdio::piped()))?;
        let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || command::drain_stderr(pipe)));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| pipe_error(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, stdin, stdout: BufReader::with_capacity(64 * 1024, stdout), stderr })
    }

    /// Asks for the header; `None` if the object is not here.
    fn header(&mut self, id: &ObjectId) -> io::Result<Option<(ObjectKind, u64)>> {
        self.ask("info", id)
    }

    /// Asks for the content of an object whose size is known; `None` if it is not here.
    fn contents(&mut self, id: &ObjectId, expected: u64) -> io::Result<Option<Vec<u8>>> {
        let Some((_, size)) = self.ask("contents", id)? else { return Ok(None) };
        if size != expected {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the size of an object changed"));
        }
        let mut bytes = Vec::new();
        self.stdout.by_ref().take(size).read_to_end(&mut bytes)?;
        let mut newline = [0];
        self.stdout.read_exact(&mut newline)?;
        Ok(Some(bytes))
    }

    fn ask(&mut self, question: &str, id: &ObjectId) -> io::Result<Option<(ObjectKind, u64)>> {
        let pipe = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        pipe.write_all(format!("{question} {id}\n").as_bytes())?;
        let mut line = Vec::new();
        // An answer is an id, a kind and a size.
        self.stdout.by_ref().take(256).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fields = line.trim_end().split(|byte| *byte == b' ');
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "the answer has an unknown form");
        if fields.next().and_then(parse_id) != Some(*id) {
            return Err(unknown());
        }
        match (fields.next(), fields.next()) {
            (Some(b"missing"), None) => Ok(None),
            (Some(kind), Some(size)) => {
                let size = size.to_str().ok().and_then(|size| size.parse().ok());
                Ok(Some((ObjectKind::parse(kind).ok_or_else(unknown)?, size.ok_or_else(unknown)?)))
            }
            _ => Err(unknown()),
        }
    }

    /// Returns why talking failed: what the child said if it died, else the cause.
    fn fail(mut self, source: io::Error) -> GitError {
        self.stdin = None;
        let _ = self.child.kill();
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if said.is_empty() { pipe_error(source) } else { GitError::Failed { command: "cat-file", detail: said } }
    }
}

impl Drop for CatFile {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A blob that a child sends. It ends well only after exactly the announced bytes and a successful exit.
struct BlobStream {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<JoinHandle<String>>,
    remaining: u64,
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(pipe) = &mut self.stdout else { return Ok(0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = pipe.read(buffer)?;
        match self.remaining.checked_sub(read as u64) {
            Some(remaining) if read > 0 => {
                self.remaining = remaining;
                return Ok(read);
            }
            Some(_) => {}
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, "the blob is longer than its header says")),
        }
        self.stdout = None;
        let status = self.child.wait()?;
        if status.success() && self.remaining == 0 {
            return Ok(0);
        }
        let said = self.stderr.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`git cat-file` failed: {said}")))
    }
}

impl Drop for BlobStream {
    fn drop(&mut self) {
        // A reader may stop early; the child must not outlive it.
        self.stdout = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Fixture;

    #[test]
    fn while_a_push_is_received_both_folders_are_read_in_process() {
        let fixture = Fixture::new("sha1");
        let commit = fixture.commit_files(&[("a", "kept")]);
        let received = fixture.git_input(&["hash-object", "-w", "--stdin"], b"received");
        let (own, quarantine) = (fixture.top().join(".git/objects"), fixture.home().join("quarantine"));
        let file = |folder: &Path| folder.join(&received[..2]).join(&received[2..]);
        std::fs::create_dir_all(file(&quarantine).parent().expect("has a parent")).expect("makes folders");
        std::fs::rename(file(&own), file(&quarantine)).expect("moves");
        let received: ObjectId = received.parse().expect("is an id");
        assert!(matches!(fixture.repository().objects().read(&received, 99), Err(GitError::MissingObject { .. })));

        let environment = [("GIT_OBJECT_DIRECTORY", &quarantine), ("GIT_ALTERNATE_OBJECT_DIRECTORIES", &own)];
        let environment = environment.map(|(name, path)| (name, path.to_str().expect("is text")));
        let repository = fixture.discover_with(&fixture.top(), &environment).expect("finds it");
        let objects = repository.objects();
        assert_eq!(objects.read(&received, 99).expect("reads").bytes, b"received");
        assert_eq!(objects.commit(&commit).expect("reads").id, commit);
        assert_eq!(objects.contains(&[received, commit]).expect("asks"), [true, true]);
        assert!(lock(&objects.children).is_empty(), "git was asked");
    }
}
