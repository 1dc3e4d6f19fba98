//! Blocks as objects, by the crate `object_store`.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig};
use secrecy::ExposeSecret as _;
use tokio::runtime::Runtime;

use super::line::Connector;
use super::{BlockStore, ObjectPlace, ObjectPlaceKind, ObjectsError};
use crate::archive::{ArchiveError, BLOCK_SIZE, Block, Codec};
use crate::fs::{parent_of, sync_dir};
use crate::id::Sha256;

/// How many objects are on their way at once. More do not make a line faster that 8 MiB do not fill.
const AT_ONCE: usize = 8;

/// How long connecting may take.
const GREETING: Duration = Duration::from_secs(10);

/// How long one object may take: a slow line takes as long for 8 blocks at once.
const ANSWER: Duration = Duration::from_mins(2);

/// How long a connection is kept that nobody uses: shorter than servers do, so that they do not end it under our hands.
const IDLE: Duration = Duration::from_secs(5);

/// The object that says whose objects these are.
const MARK: &str = "archive";

/// What the mark begins with: the format, and its version.
const MARK_FORMAT: &str = "git-archive-tomb objects 1";

/// The longest mark in bytes that is looked at.
const LONGEST_MARK: usize = 256;

/// The objects of one archive.
pub(super) struct ObjectBlocks {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where the objects are, as people may see it.
    shown: String,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// The id of the archive whose objects these are to be.
    archive: String,
    /// Whether they were seen to be.
    checked: AtomicBool,
    /// The folders of objects that are durable by name, all the way up.
    named: Mutex<HashSet<PathBuf>>,
    /// With a thread of its own: it has to notice that a server ends an idle connection.
    runtime: Option<Runtime>,
}

impl fmt::Debug for ObjectBlocks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObjectBlocks({})", self.shown)
    }
}

impl Drop for ObjectBlocks {
    fn drop(&mut self) {
        // Not waited for: what hangs would keep the program from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl ObjectBlocks {
    /// Returns the objects at `place`, which are to be those of `archive`.
    pub(super) fn new(place: &ObjectPlace, archive: &str) -> Result<Self, ObjectsError> {
        let shown = place.url.trim_end_matches('/').to_owned();
        let unusable = |source: Box<dyn Error + Send + Sync>| ObjectsError::Unusable { store: shown.clone(), source };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| unusable(error.into()))?;
        let (store, prefix, folder): (Arc<dyn ObjectStore>, _, _) = match &place.kind {
            ObjectPlaceKind::Bucket { name, prefix } => {
                let store = bucket(name, place).build().map_err(|error| unusable(plain(&error)))?;
                (Arc::new(store), Path::parse(prefix).map_err(|error| unusable(error.into()))?, None)
            }
            ObjectPlaceKind::Folder(folder) => {
                // Only so is it known to be a folder: the crate would make what is missing.
                let found = std::fs::metadata(folder)
                    .and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
                found.map_err(|error| unusable(error.into()))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable(plain(&error)))?;
                (Arc::new(store.with_fsync(true)), Path::default(), Some(folder.clone()))
            }
        };
        let (archive, checked) = (archive.to_owned(), AtomicBool::new(false));
        let named = Mutex::default();
        Ok(Self { store, prefix, shown, folder, archive, checked, named, runtime: Some(runtime) })
    }

    /// Makes the objects here this archive's, unless they are another one's.
    pub(super) fn mark(&self) -> Result<(), ObjectsError> {
        match self.check_mark() {
            Err(ObjectsError::Absent { .. }) => {}
            checked => return checked,
        }
        let path = self.path(MARK);
        self.run(async {
            let mark = format!("{MARK_FORMAT}\n{}\n", self.archive);
            self.create(&path, mark.into_bytes(), "take the mark").await
        })?;
        self.check_mark()
    }

    /// Checks that the objects here are this archive's, unless that was seen before.
    fn check(&self) -> Result<(), ObjectsError> {
        if self.checked.load(Ordering::Relaxed) { Ok(()) } else { self.check_mark() }
    }

    fn check_mark(&self) -> Result<(), ObjectsError> {
        let path = self.path(MARK);
        let store = || self.shown.clone();
        let found = self.run(self.read(&path, LONGEST_MARK)).map_err(|unread| match unread {
            Unread::TooLong => self.damaged(&path, "it is no mark of an archive"),
            Unread::Failed(error) => self.failure("read the mark", error),
        })?;
        let mark = found.ok_or_else(|| ObjectsError::Absent { store: store() })?;
        let mark = String::from_utf8(mark).unwrap_or_default();
        let mut lines = mark.lines();
        let known = lines.next() == Some(MARK_FORMAT);
        let id = lines.next().filter(|_| known).and_then(|line| line.parse::<uuid::Uuid>().ok());
        match id {
            Some(id) if id.to_string() == self.archive => {
                self.checked.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some(id) => Err(ObjectsError::Foreign { store: store(), archive: id.to_string() }),
            None => Err(self.damaged(&path, "it is no mark of an archive that this program knows")),
        }
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("a runtime is there until it is dropped").block_on(work)
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }

    fn path_of(&self, codec: Codec, stored_sha256: &Sha256) -> Path {
        let digest = stored_sha256.to_string();
        let suffix = match codec {
            Codec::Zstd => ".zst",
            Codec::None => "",
        };
        self.path(&format!("blocks/{}/{digest}{suffix}", &digest[..2]))
    }

    /// Puts an object unless there is one of its name.
    async fn create(&self, path: &Path, bytes: Vec<u8>, action: &'static str) -> Result<(), ObjectsError> {
        use object_store::Error::{AlreadyExists, NotImplemented, NotSupported, Precondition};
        let put = self.store.put_opts(path, bytes.clone().into(), PutMode::Create.into()).await;
        let was_there = matches!(put, Err(AlreadyExists { .. } | Precondition { .. }));
        match put {
            Ok(_) | Err(AlreadyExists { .. } | Precondition { .. }) => {}
            // Conditions were turned off, for a store that has none.
            Err(NotImplemented { .. } | NotSupported { .. }) => {
                self.replace(path, bytes).await.map_err(|error| self.failure(action, error))?;
            }
            Err(error) => return Err(self.failure(action, error)),
        }
        let synced = self.sync_folders(path, was_there);
        synced.map_err(|error| ObjectsError::Failed { store: self.shown.clone(), action, source: error.into() })
    }

    /// Makes the name of an object in a folder durable, which whoever made it may have been stopped before: of one that was
    /// there, and of the folders on the way to any.
    fn sync_folders(&self, path: &Path, was_there: bool) -> io::Result<()> {
        let Some(top) = &self.folder else { return Ok(()) };
        let file = top.join(path.as_ref());
        let folder = parent_of(&file);
        if was_there {
            sync_dir(folder)?;
        }
        let named = || self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if !named().contains(folder) {
            folder.ancestors().skip(1).take_while(|above| above.starts_with(top)).try_for_each(sync_dir)?;
            named().insert(folder.to_owned());
        }
        Ok(())
    }

    async fn replace(&self, path: &Path, bytes: Vec<u8>) -> Result<(), object_store::Error> {
        self.store.put(path, bytes.into()).await.map(|_| ())
    }

    /// Reads an object of at most `longest` bytes; `None` if there is none.
    async fn read(&self, path: &Path, longest: usize) -> Result<Option<Vec<u8>>, Unread> {
        let answer = match self.store.get(path).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Unread::Failed(error)),
        };
        let said = usize::try_from(answer.meta.size).unwrap_or(usize::MAX);
        if said > longest {
            return Err(Unread::TooLong);
        }
        let mut bytes = Vec::with_capacity(said);
        let mut pieces = answer.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(Unread::Failed)? {
            if bytes.len() + piece.len() > longest {
                return Err(Unread::TooLong);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    /// Makes one block's bytes durable, and sees that they are.
    async fn put_one(&self, block: &Block) -> Result<(), ObjectsError> {
        let path = self.path_of(block.codec, &block.stored_sha256);
        let failed = |error| self.failure("take an object", error);
        self.create(&path, block.stored.clone(), "take an object").await?;
        if self.is_there(&path, block).await? {
            return Ok(());
        }
        // It was there before, and is not what its name says: what was cut off, or lost with a machine's power.
        self.replace(&path, block.stored.clone()).await.map_err(failed)?;
        if self.is_there(&path, block).await? {
            Ok(())
        } else {
            Err(self.damaged(&path, "it was not read back as it was written"))
        }
    }

    /// Returns whether the object at `path` is what is stored of `block`.
    async fn is_there(&self, path: &Path, block: &Block) -> Result<bool, ObjectsError> {
        match self.read(path, block.stored.len()).await {
            Ok(bytes) => Ok(bytes.is_some_and(|bytes| bytes == block.stored)),
            Err(Unread::TooLong) => Ok(false),
            Err(Unread::Failed(error)) => Err(self.failure("give an object back", error)),
        }
    }

    fn damaged(&self, path: &Path, damage: &'static str) -> ObjectsError {
        let name = path.prefix_match(&self.prefix).map_or_else(String::new, |parts| {
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            parts.join("/")
        });
        ObjectsError::Damaged { object: format!("{}/{name}", self.shown), damage }
    }

    fn failure(&self, action: &'static str, error: object_store::Error) -> ObjectsError {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        let store = self.shown.clone();
        match error {
            // Where something was to be written, only the bucket itself can be missing.
            NotFound { .. } => ObjectsError::Unusable { store, source: plain(&error) },
            PermissionDenied { .. } | Unauthenticated { .. } => {
                ObjectsError::Refused { store, action, source: plain(&error) }
            }
            error if may_pass(&error) => ObjectsError::Unreachable { store, source: plain(&error) },
            error => ObjectsError::Failed { store, action, source: plain(&error) },
        }
    }
}

impl BlockStore for ObjectBlocks {
    fn ping(&self) -> Result<(), ArchiveError> {
        Ok(self.check_mark()?)
    }

    fn put(&self, blocks: &[&Block]) -> Result<(), ArchiveError> {
        self.check()?;
        let puts = stream::iter(blocks).map(|block| self.put_one(block)).buffer_unordered(AT_ONCE);
        Ok(self.run(puts.try_collect::<()>())?)
    }

    fn get(&self, codec: Codec, stored_sha256: &Sha256) -> Result<Vec<u8>, ArchiveError> {
        self.check()?;
        let path = self.path_of(codec, stored_sha256);
        let bytes = self.run(self.read(&path, BLOCK_SIZE)).map_err(|unread| match unread {
            Unread::TooLong => self.damaged(&path, "it is longer than 1 MiB"),
            Unread::Failed(error) => self.failure("give an object back", error),
        })?;
        Ok(bytes.ok_or_else(|| self.damaged(&path, "it is missing"))?)
    }

    fn names(&self, first: u32) -> Result<Vec<(Codec, Sha256)>, ArchiveError> {
        self.check()?;
        let folders = (0..16).map(|second| self.path(&format!("blocks/{first:x}{second:x}")));
        let listings = stream::iter(folders)
            .map(|folder| self.store.list(Some(&folder)).map_ok(|found| found.location).try_collect::<Vec<Path>>())
            .buffer_unordered(AT_ONCE);
        let listed = self.run(listings.try_concat()).map_err(|error| self.failure("list objects", error))?;
        let name = |path: &Path| {
            let name = path.filename()?;
            let (digest, codec) = name.strip_suffix(".zst").map_or((name, Codec::None), |digest| (digest, Codec::Zstd));
            let digest = digest.parse().ok()?;
            (self.path_of(codec, &digest) == *path).then_some((codec, digest))
        };
        Ok(listed.iter().filter_map(name).collect())
    }

    fn delete(&self, codec: Codec, stored_sha256: &Sha256) -> Result<(), ArchiveError> {
        self.check()?;
        let path = self.path_of(codec, stored_sha256);
        match self.run(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.failure("delete an object", error).into()),
        }
        if let Some(folder) = &self.folder {
            let file = folder.join(path.as_ref());
            // The crate does not sync: without it, a power cut could bring the bytes back.
            match remove_staged(&file).and_then(|()| sync_dir(parent_of(&file))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let (store, action) = (self.shown.clone(), "delete an object for good");
                    return Err(ObjectsError::Failed { store, action, source: error.into() }.into());
                }
                _ => {}
            }
        }
        let left = self.run(self.store.head(&path));
        match left {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failure("say whether an object is deleted", error).into()),
            Ok(_) => Err(self.damaged(&path, "it is there although it was deleted").into()),
        }
    }
}

/// Removes what a stopped program may have left of an object in a folder: the crate writes `<name>#<number>` first, which
/// becomes another name of the object's bytes before it goes away.
fn remove_staged(file: &std::path::Path) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default();
    for entry in std::fs::read_dir(parent_of(file))? {
        let other = entry?.file_name();
        let number = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let number = number.and_then(|rest| rest.strip_prefix(b"#"));
        if number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)) {
            match std::fs::remove_file(file.with_file_name(other)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Why an object was not read.
enum Unread {
    /// It is longer than it may be.
    TooLong,
    Failed(object_store::Error),
}

/// Returns what connects to a bucket.
fn bucket(name: &str, place: &ObjectPlace) -> AmazonS3Builder {
    // The client asks for the process's choice, and there is one cryptography library here to choose from. Where
    // somebody chose before, that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = ClientOptions::new()
        .with_connect_timeout(GREETING)
        .with_timeout(ANSWER)
        .with_pool_idle_timeout(IDLE)
        .with_pool_max_idle_per_host(AT_ONCE);
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: 2, retry_timeout: ANSWER };
    let mut builder =
        AmazonS3Builder::new().with_http_connector(Connector::default()).with_client_options(options).with_retry(retry);
    for (variable, value) in &place.settings {
        // Others that begin so are for other programs.
        if let Ok(key) = variable.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value.expose_secret());
        }
    }
    builder.with_bucket_name(name)
}

/// Returns whether it may pass that a store did not answer.
fn may_pass(error: &object_store::Error) -> bool {
    let mut passing = false;
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            use HttpErrorKind::{Connect, Interrupted, Request, Timeout};
            passing = matches!(http.kind(), Connect | Interrupted | Request | Timeout);
        }
        // An I/O error passes over what it holds when it is asked for its source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<rustls::Error>() || held.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
            // Certificates do not mend themselves.
            return false;
        }
        next = error.source();
    }
    passing
}

/// How much of a store's own words is passed on, in characters.
const LONGEST_SAYING: usize = 300;

/// Returns what an error says at its root: every level of the crate's errors repeats those below, and some say the whole
/// of a server's answer.
fn plain(error: &object_store::Error) -> Box<dyn Error + Send + Sync> {
    let mut root: &(dyn Error + 'static) = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let mut saying = root.to_string();
    // An S3 error says what is wrong in one element; the rest repeats the request, with who made it.
    if let Some((_, rest)) = saying.split_once("<Message>")
        && let Some((message, _)) = rest.split_once("</Message>")
    {
        saying = message.to_owned();
    }
    let words: Vec<&str> = saying.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_SAYING).flat_map(char::escape_debug).collect::<String>().into()
}
