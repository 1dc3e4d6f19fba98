//! Archives of their own, of every kind: each database, with the bytes in it, in a folder, in a bucket.

use std::collections::BTreeMap;
use std::io::{self, Read};

use git_archive_tomb::archive::{
    AnyArchive, ContentReader, ContentSource, Event, ObjectPlace, ObjectPlaceKind, OpenMode, ReadError, Segment,
    StoreContentsError, StoreContentsOptions, store_contents,
};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::id::{ObjectId, OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{FileMode, Item, Kind as ItemKind, Reason, RepoPath};

use crate::databases::{self, Database, KINDS, Kind};

/// An archive, gone with this value.
pub(crate) struct Place {
    pub(crate) database: Database,
    objects: Option<ObjectPlace>,
    _folder: tempfile::TempDir,
}

impl Place {
    /// Makes an archive with its bytes in the database.
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, |_| None)
    }

    /// Makes an archive with its bytes in a folder.
    #[cfg(feature = "net")]
    pub(crate) fn with_folder(kind: Kind) -> Self {
        Self::with(kind, |folder| {
            let folder = folder.join("objects");
            std::fs::create_dir(&folder).unwrap();
            let url = format!("file://{}", folder.display());
            Some(ObjectPlace { url, kind: ObjectPlaceKind::Folder(folder), settings: Vec::new() })
        })
    }

    /// Makes an archive with its bytes in a bucket of the test server.
    #[cfg(feature = "net")]
    pub(crate) fn with_bucket(kind: Kind) -> Self {
        let (name, prefix, settings) = crate::objects::bucket();
        let url = format!("s3://{name}/{prefix}");
        Self::with(kind, |_| Some(ObjectPlace { url, kind: ObjectPlaceKind::Bucket { name, prefix }, settings }))
    }

    fn with(kind: Kind, objects: impl FnOnce(&std::path::Path) -> Option<ObjectPlace>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects = objects(folder.path());
        let place = Self { database: Database::new(kind), objects, _folder: folder };
        drop(place.open_as(OpenMode::CreateOrMigrate));
        place
    }

    /// Makes one of every kind: each database, with its bytes in it and in a folder.
    pub(crate) fn all() -> Vec<Self> {
        let places = KINDS.iter().map(|kind| Self::new(*kind));
        #[cfg(feature = "net")]
        let places = places.chain(KINDS.iter().map(|kind| Self::with_folder(*kind)));
        places.collect()
    }

    /// Opens it, as another program would.
    pub(crate) fn open(&self) -> Box<AnyArchive> {
        self.open_as(OpenMode::Existing)
    }

    fn open_as(&self, mode: OpenMode) -> Box<AnyArchive> {
        databases::location(&self.database).open(self.objects.as_ref(), mode).unwrap()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects = match self.objects.as_ref().map(|objects| &objects.kind) {
            None => "",
            Some(ObjectPlaceKind::Folder(_)) => " with a folder",
            Some(ObjectPlaceKind::Bucket { .. }) => " with a bucket",
        };
        write!(formatter, "{:?}{objects}", self.database.kind)
    }
}

struct Memory<'a>(&'a [&'a [u8]]);

impl ContentSource for Memory<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn size(&self, index: usize) -> u64 {
        self.0[index].len() as u64
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0[index]))
    }
}

/// Stores contents; those of one call that are small lie in one block.
pub(crate) fn store(archive: &mut AnyArchive, contents: &[&[u8]]) -> Result<(), StoreContentsError> {
    store_contents(archive, &Memory(contents), StoreContentsOptions::default(), &mut |_| ()).map(drop)
}

/// Reads a content.
pub(crate) fn read(archive: &mut AnyArchive, content: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    ContentReader::new(archive).read(&Sha256::of(content), content.len() as u64, &mut bytes)?;
    Ok(bytes)
}

/// Returns the segments of a content.
pub(crate) fn segments(archive: &mut AnyArchive, content: &[u8]) -> Vec<Segment> {
    archive.segments(&Sha256::of(content), 0).unwrap()
}

/// Returns an item of `content` at `path`.
pub(crate) fn item(path: &str, content: &[u8]) -> Item {
    let sha256 = Sha256::of(content);
    let path = RepoPath::try_new(path).unwrap();
    let commit = ObjectId::from_bytes(&[7; 20]).unwrap();
    Item {
        tombstone: Tombstone::derive("project", path.as_bytes(), &commit, &sha256),
        repo: "project".to_owned(),
        path,
        commit,
        object: ObjectId::from_bytes(&[9; 20]).unwrap(),
        mode: FileMode::Regular,
        sha256,
        size: content.len() as u64,
        kind: ItemKind::Code,
        language: None,
        mime: None,
        reason: Reason::Dead,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        refs: Vec::new(),
        dirty: false,
        delete_after: None,
        legal_hold: false,
        archived_by: "Ada <ada@example.org>".to_owned(),
        archived_at: Timestamp::now(),
    }
}

/// Returns an event about an item.
pub(crate) fn event(op: OperationId, action: Action, item: &Item) -> Event {
    let mut record = Record::new(action, op, Timestamp::now());
    record.tombstone = Some(item.tombstone);
    record.sha256 = Some(item.sha256);
    Event::from_record(&record).unwrap()
}

/// Archives items whose contents are in the archive.
pub(crate) fn archive_items(
    archive: &mut AnyArchive,
    items: &[Item],
) -> Result<(), git_archive_tomb::archive::ArchiveError> {
    let op = OperationId::generate();
    archive.begin(op, "clone", items)?;
    let events: Vec<Event> = items.iter().map(|item| event(op, Action::Archive, item)).collect();
    archive.seal(op, &events)
}
