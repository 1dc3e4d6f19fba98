use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::archive::contract::{self, Engine, noise, read, store};
use crate::archive::{BLOCK_SIZE, BlockError, ReadError, SqliteArchive, StoreContentsOptions, store_contents};
use crate::fs::parent_of;
use crate::id::OperationId;
use crate::retry::Class;

/// Where the objects of a test are.
pub(in crate::archive) trait TestPlace: Sync {
    fn new() -> Self;

    fn place(&self) -> ObjectPlace;

    /// Returns the names of all objects, in order.
    fn names(&self) -> Vec<String>;

    fn read(&self, name: &str) -> Vec<u8>;

    fn write(&self, name: &str, bytes: &[u8]);

    fn remove(&self, name: &str);
}

pub(in crate::archive) struct Folder(tempfile::TempDir);

impl TestPlace for Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("makes a folder"))
    }

    fn place(&self) -> ObjectPlace {
        let kind = ObjectPlaceKind::Folder(self.0.path().to_owned());
        ObjectPlace { url: format!("file://{}", self.0.path().display()), kind, settings: Vec::new() }
    }

    fn names(&self) -> Vec<String> {
        fn walk(folder: &std::path::Path, prefix: &str, names: &mut Vec<String>) {
            for entry in fs::read_dir(folder).expect("lists") {
                let entry = entry.expect("lists");
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    walk(&entry.path(), &format!("{name}/"), names);
                } else {
                    names.push(name);
                }
            }
        }
        let mut names = Vec::new();
        walk(self.0.path(), "", &mut names);
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).expect("reads")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::create_dir_all(parent_of(&path)).expect("makes folders");
        fs::write(path, bytes).expect("writes");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).expect("removes");
    }
}

/// A prefix of its own in a bucket of the test server.
pub(in crate::archive) struct Bucket {
    prefix: String,
}

const BUCKET: &str = "tomb-tests";

/// Returns the address of the test server.
fn server() -> String {
    let variable = "ARCHIVE_TOMB_TEST_S3";
    let url =
        std::env::var(variable).unwrap_or_else(|_| panic!("{variable} names no server: run the tests by scripts/test"));
    url.strip_prefix("http://").expect("is a URL").to_owned()
}

fn settings(endpoint: &str) -> Vec<(String, SecretString)> {
    let settings = [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ACCESS_KEY_ID", "key-of-the-tests"),
        ("AWS_SECRET_ACCESS_KEY", "secret-of-the-tests"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
        // It is not for us: the URL names the bucket.
        ("AWS_BUCKET", "elsewhere"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.into())).into()
}

/// Who asks, for a server that wants a signature and does not check it.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=key-of-the-tests/20251120/us-east-1/s3/aws4_request, \
    SignedHeaders=host, Signature=none";

/// Asks the test server something about the bucket.
fn ask(method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let server = server();
    let mut line = TcpStream::connect(&server).expect("connects");
    let head = format!(
        "{method} /{BUCKET}{path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {}\r\nAuthorization: {SIGNATURE}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    line.write_all(head.as_bytes()).expect("asks");
    line.write_all(body).expect("asks");
    let mut answer = Vec::new();
    line.read_to_end(&mut answer).expect("answers");
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("has a head") + 4;
    let status = std::str::from_utf8(&answer[9..12]).expect("has a status").parse().expect("is a number");
    (status, answer.split_off(end))
}

impl Bucket {
    fn object(&self, name: &str) -> String {
        format!("/{}/{name}", self.prefix)
    }
}

impl TestPlace for Bucket {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (status, _) = ask("PUT", "", b"");
        assert!(status == 200 || status == 409, "{status}");
        let time = std::time::UNIX_EPOCH.elapsed().expect("it is later").as_nanos();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { prefix: format!("t-{}/{time}-{number}", std::process::id()) }
    }

    fn place(&self) -> ObjectPlace {
        let kind = ObjectPlaceKind::Bucket { name: BUCKET.to_owned(), prefix: self.prefix.clone() };
        let settings = settings(&format!("http://{}", server()));
        ObjectPlace { url: format!("s3://{BUCKET}/{}", self.prefix), kind, settings }
    }

    fn names(&self) -> Vec<String> {
        let (status, answer) = ask("GET", &format!("?list-type=2&prefix={}/", self.prefix), b"");
        assert_eq!(status, 200);
        let text = String::from_utf8(answer).expect("is text");
        let keys = text.split("<Key>").skip(1).map(|rest| rest.split_once("</Key>").expect("ends").0);
        let start = self.prefix.len() + 1;
        keys.map(|key| key[start..].to_owned()).collect()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let (status, body) = ask("GET", &self.object(name), b"");
        assert_eq!(status, 200);
        body
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        assert_eq!(ask("PUT", &self.object(name), bytes).0, 200);
    }

    fn remove(&self, name: &str) {
        assert_eq!(ask("DELETE", &self.object(name), b"").0, 204);
    }
}

/// An embedded archive whose bytes are in objects.
struct Sqlite<P> {
    folder: tempfile::TempDir,
    objects: P,
}

impl<P: TestPlace> Sqlite<P> {
    fn without_archive() -> Self {
        Self { folder: tempfile::tempdir().expect("makes a folder"), objects: P::new() }
    }

    fn try_open(&self, place: Option<&ObjectPlace>, mode: OpenMode) -> Result<SqliteArchive, ArchiveError> {
        SqliteArchive::open_at(&self.folder.path().join("archive.sqlite"), place, mode)
    }

    /// Opens with these objects, expecting that they are refused.
    fn refused(&self, place: Option<&ObjectPlace>, mode: OpenMode) -> ObjectsError {
        match self.try_open(place, mode).and_then(|mut archive| archive.ping()) {
            Err(ArchiveError::Objects(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn sql(&self, sql: &str) {
        let client = rusqlite::Connection::open(self.folder.path().join("archive.sqlite")).expect("connects");
        client.execute_batch(sql).expect("runs");
    }
}

impl<P: TestPlace> Engine for Sqlite<P> {
    fn create() -> Self {
        let engine = Self::without_archive();
        engine.try_open(Some(&engine.objects.place()), OpenMode::CreateOrMigrate).expect("makes an archive");
        engine
    }

    fn open(&self) -> Box<dyn Archive> {
        Box::new(self.try_open(Some(&self.objects.place()), OpenMode::Existing).expect("opens"))
    }
}

/// Makes a test of each behaviour of objects for one kind of place.
macro_rules! objects_suite {
    ($place:ty) => {
        objects_suite!($place:
            objects_are_named_by_what_they_hold
            what_a_stop_has_left_is_used
            a_damaged_object_of_the_right_name_is_replaced
            damage_is_named_and_can_be_mended
            an_archive_is_not_given_objects_unasked
            who_opened_it_before_writes_no_bytes_beside_its_objects
            an_archive_and_its_objects_belong_together
            a_stop_between_the_mark_and_the_row_is_finished
            two_archives_that_race_for_a_prefix_do_not_share_it
            only_what_is_deleted_is_gone
            what_is_purged_is_no_object_any_more
            what_a_stopped_store_left_of_purged_content_goes
            an_object_is_put_again_where_only_its_row_is_left
            stores_without_conditional_writes_do
        );
    };
    ($place:ty: $($behaviour:ident)+) => {
        $(
            #[test]
            fn $behaviour() {
                super::$behaviour::<$place>();
            }
        )+
    };
}

fn objects_are_named_by_what_they_hold<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let mut archive = engine.open();
    let text = b"over and over\n".repeat(1_000);
    let noise = noise(1, 70_000);
    store(&mut *archive, std::slice::from_ref(&text));
    store(&mut *archive, std::slice::from_ref(&noise));
    let names = engine.objects.names();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "archive");
    assert_eq!(engine.objects.read("archive"), format!("git-archive-tomb objects 1\n{}\n", archive.id()).as_bytes());
    for name in &names[1..] {
        let bytes = engine.objects.read(name);
        let digest = Sha256::of(&bytes).to_string();
        let (raw, suffix) =
            if name.contains('.') { (zstd::decode_all(&bytes[..]).expect("is a frame"), ".zst") } else { (bytes, "") };
        assert_eq!(*name, format!("blocks/{}/{digest}{suffix}", &digest[..2]));
        assert_eq!(raw, if suffix.is_empty() { noise.clone() } else { text.clone() });
    }
    // And nowhere else.
    engine.sql("CREATE TEMP TABLE t (x CHECK (x = 0)); INSERT INTO t SELECT count(bytes) FROM block");
}

fn what_a_stop_has_left_is_used<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let contents = [noise(1, 3 * BLOCK_SIZE), b"text".repeat(100)];
    store(&mut *engine.open(), &contents);
    let names = engine.objects.names();
    // The objects are there, the rows never came.
    engine.sql("DELETE FROM segment; DELETE FROM artifact; DELETE FROM block");
    let stored = store(&mut *engine.open(), &contents);
    assert!(stored.iter().all(|content| content.new));
    assert_eq!(engine.objects.names(), names);
    for (content, stored) in contents.iter().zip(stored) {
        assert_eq!(read(&mut *engine.open(), &stored.sha256, stored.size).expect("reads"), *content);
    }
}

/// Returns the name of the one block's object.
fn only_block<P: TestPlace>(objects: &P) -> String {
    let names = objects.names();
    assert_eq!(names.len(), 2, "{names:?}");
    names[1].clone()
}

fn a_damaged_object_of_the_right_name_is_replaced<P: TestPlace>() {
    let content = noise(1, 50_000);
    for damage in [&b""[..], &content[..49_999], &[content.clone(), vec![0]].concat(), &vec![b'x'; 3 * BLOCK_SIZE]] {
        let engine = Sqlite::<P>::create();
        store(&mut *engine.open(), std::slice::from_ref(&content));
        let name = only_block(&engine.objects);
        engine.sql("DELETE FROM segment; DELETE FROM artifact; DELETE FROM block");
        engine.objects.write(&name, damage);
        let stored = store(&mut *engine.open(), std::slice::from_ref(&content))[0];
        assert_eq!(engine.objects.read(&name), content);
        assert_eq!(read(&mut *engine.open(), &stored.sha256, stored.size).expect("reads"), content);
    }
}

fn damage_is_named_and_can_be_mended<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let mut archive = engine.open();
    for content in [noise(1, 50_000), b"text ".repeat(9_999)] {
        let before = engine.objects.names();
        let stored = store(&mut *archive, std::slice::from_ref(&content))[0];
        let name = engine.objects.names().into_iter().find(|name| !before.contains(name)).expect("is new");
        let bytes = engine.objects.read(&name);
        let mut flipped = bytes.clone();
        flipped[7] ^= 1;
        let other = zstd::encode_all(&b"another block's bytes"[..], 3).expect("compresses");
        let long = vec![0; BLOCK_SIZE + 1];
        for damage in [None, Some(&b""[..]), Some(&bytes[1..]), Some(&flipped), Some(&other), Some(&long)] {
            match damage {
                None => engine.objects.remove(&name),
                Some(damage) => engine.objects.write(&name, damage),
            }
            let error = read(&mut *archive, &stored.sha256, stored.size).expect_err("is damaged");
            assert!(error.is_integrity(), "{error:?}");
            match (&error, damage.map(<[u8]>::len)) {
                (ReadError::Archive { source, .. }, None | Some(1_048_577)) => {
                    let text = source.to_string();
                    assert!(text.contains(&format!("{}/{name}", engine.objects.place().url)), "{text}");
                }
                (ReadError::Block { source: BlockError::StoredDigest { .. }, .. }, Some(_)) => {}
                _ => panic!("{error:?}"),
            }
            // Nothing is taken for stored because its row is there.
            let source = contract::Memory(vec![content.clone()]);
            store_contents(&mut *archive, &source, StoreContentsOptions::default(), &mut |_| ())
                .expect_err("cannot be relied on");
        }
        engine.objects.write(&name, &bytes);
        assert_eq!(read(&mut *archive, &stored.sha256, stored.size).expect("reads"), content);
        assert!(!store(&mut *archive, &[content])[0].new);
    }
}

fn an_archive_is_not_given_objects_unasked<P: TestPlace>() {
    let engine = Sqlite::<P>::without_archive();
    let place = engine.objects.place();
    let id = engine.try_open(None, OpenMode::CreateOrMigrate).expect("makes an archive").id().to_owned();
    assert!(matches!(engine.refused(Some(&place), OpenMode::Existing), ObjectsError::Unprepared { .. }));
    assert_eq!(engine.objects.names(), [""; 0]);
    // As long as it has no blocks, `init` may still decide.
    let archive = engine.try_open(Some(&place), OpenMode::CreateOrMigrate).expect("prepares the objects");
    assert_eq!(archive.id(), id);
    engine.try_open(Some(&place), OpenMode::Existing).expect("opens");

    let engine = Sqlite::<P>::without_archive();
    let place = engine.objects.place();
    let mut archive = engine.try_open(None, OpenMode::CreateOrMigrate).expect("makes an archive");
    store(&mut archive, &[b"in the database".to_vec()]);
    for mode in [OpenMode::Existing, OpenMode::CreateIfMissing, OpenMode::CreateOrMigrate] {
        assert!(matches!(engine.refused(Some(&place), mode), ObjectsError::InDatabase { .. }));
    }
    assert_eq!(engine.objects.names(), [""; 0]);
}

fn who_opened_it_before_writes_no_bytes_beside_its_objects<P: TestPlace>() {
    let engine = Sqlite::<P>::without_archive();
    let mut archive = engine.try_open(None, OpenMode::CreateOrMigrate).expect("makes an archive");
    contract::bytes_are_refused_that_belong_elsewhere_by_now(&mut archive, || {
        engine.try_open(Some(&engine.objects.place()), OpenMode::CreateOrMigrate).expect("prepares the objects");
    });
}

fn an_archive_and_its_objects_belong_together<P: TestPlace>() {
    let (ours, theirs) = (Sqlite::<P>::create(), Sqlite::<P>::create());
    let stored = store(&mut *ours.open(), &[b"ours".to_vec()])[0];
    for mode in [OpenMode::Existing, OpenMode::CreateIfMissing, OpenMode::CreateOrMigrate] {
        assert!(matches!(ours.refused(None, mode), ObjectsError::NotConfigured));
        let Err(ObjectsError::Foreign { archive, .. }) =
            Err::<(), _>(ours.refused(Some(&theirs.objects.place()), mode))
        else {
            panic!("takes what belongs to another one");
        };
        assert_eq!(archive, theirs.open().id());
        // A place with nothing is a mistake, also for `init`: the bytes are elsewhere.
        let nowhere = P::new();
        assert!(matches!(ours.refused(Some(&nowhere.place()), mode), ObjectsError::Absent { .. }));
        assert_eq!(nowhere.names(), [""; 0]);
        for mark in [&b""[..], b"git-archive-tomb objects 2\n", b"\xff", &b"x".repeat(5_000)] {
            nowhere.write("archive", mark);
            assert!(matches!(ours.refused(Some(&nowhere.place()), mode), ObjectsError::Damaged { .. }));
        }
    }
    // No use of bytes gets by.
    let mut archive = ours.try_open(Some(&theirs.objects.place()), OpenMode::Existing).expect("opens");
    assert!(archive.counts().is_ok_and(|counts| counts.artifacts == 1));
    assert!(read(&mut archive, &stored.sha256, stored.size).is_err());
    let source = contract::Memory(vec![b"more".to_vec()]);
    store_contents(&mut archive, &source, StoreContentsOptions::default(), &mut |_| ()).expect_err("is refused");
    assert_eq!(theirs.objects.names(), ["archive"]);
    // A copy of all objects is as good.
    let copy = P::new();
    for name in ours.objects.names() {
        copy.write(&name, &ours.objects.read(&name));
    }
    let mut archive = ours.try_open(Some(&copy.place()), OpenMode::Existing).expect("opens");
    assert_eq!(read(&mut archive, &stored.sha256, stored.size).expect("reads"), b"ours");
}

fn a_stop_between_the_mark_and_the_row_is_finished<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    engine.sql("UPDATE archive SET driver = 'db'");
    let place = engine.objects.place();
    assert!(matches!(engine.refused(Some(&place), OpenMode::Existing), ObjectsError::Unprepared { .. }));
    engine.try_open(Some(&place), OpenMode::CreateOrMigrate).expect("finishes");
    store(&mut *engine.open(), &[b"text".to_vec()]);
}

fn two_archives_that_race_for_a_prefix_do_not_share_it<P: TestPlace>() {
    let objects = P::new();
    let engines: Vec<Sqlite<P>> = (0..6).map(|_| Sqlite::without_archive()).collect();
    let place = objects.place();
    let won: Vec<bool> = thread::scope(|scope| {
        let inits: Vec<_> = engines
            .iter()
            .map(|engine| {
                let place = &place;
                scope.spawn(move || match engine.try_open(Some(place), OpenMode::CreateOrMigrate) {
                    Ok(_) => true,
                    Err(ArchiveError::Objects(ObjectsError::Foreign { .. })) => false,
                    Err(error) => panic!("{error:?}"),
                })
            })
            .collect();
        inits.into_iter().map(|init| init.join().expect("ends")).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    for (engine, won) in engines.iter().zip(won) {
        let reached = engine.try_open(Some(&place), OpenMode::Existing).and_then(|mut archive| archive.ping());
        assert_eq!(reached.is_ok(), won);
    }
}

fn only_what_is_deleted_is_gone<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let objects = ObjectBlocks::new(&engine.objects.place(), engine.open().id()).expect("connects");
    let mut blocks = Vec::new();
    // The second one's stored bytes are the first one's: their names still differ.
    let text = b"over and over\n".repeat(1_000);
    let first = Block::encode(&text, Sha256::of(&text), 3).expect("encodes");
    let second = Block::encode(&first.stored, Sha256::of(&first.stored), 3).expect("encodes");
    assert_eq!((second.codec, second.stored_sha256), (Codec::None, first.stored_sha256));
    blocks.extend([first, second]);
    objects.put(&blocks.iter().collect::<Vec<_>>()).expect("puts");
    for _ in 0..2 {
        objects.delete(blocks[0].codec, &blocks[0].stored_sha256).expect("deletes");
        let missing = objects.get(blocks[0].codec, &blocks[0].stored_sha256).expect_err("is gone");
        assert!(missing.is_damage());
        assert_eq!(objects.get(blocks[1].codec, &blocks[1].stored_sha256).expect("reads"), blocks[1].stored);
    }
    assert_eq!(engine.objects.names().len(), 2);
}

/// What is held comes to be in the row, where the database sees it; what is not stays an object.
fn what_is_purged_is_no_object_any_more<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let mut archive = engine.open();
    let files = [
        ("a", b"free ".repeat(200), false),
        ("b", b"held ".repeat(200), true),
        ("c", b"goes ".repeat(200), false),
        ("d", noise(4, 1_500_000), false),
    ];
    let items = contract::archived_together(&mut *archive, &files);
    for victim in [&items[3], &items[2]] {
        contract::purge_whole(&mut *archive, victim);
    }
    let raw = Sha256::of(&files[0].1);
    let block = archive.block(&raw).expect("reads").expect("is there");
    let digest = block.stored_sha256.to_string();
    assert_eq!(engine.objects.names(), ["archive".to_owned(), format!("blocks/{}/{digest}.zst", &digest[..2])]);
    for (item, (_, content, _)) in items.iter().zip(&files).take(2) {
        assert_eq!(contract::read(&mut *archive, &item.sha256, item.size).expect("reads"), *content);
    }
    engine.sql("CREATE TEMP TABLE t (x CHECK (x = 1)); INSERT INTO t SELECT count(bytes) FROM block");
}

/// A store is stopped when its objects are there and its rows are not, and the next one packs otherwise.
fn what_a_stopped_store_left_of_purged_content_goes<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let mut archive = engine.open();
    let (small, large) = (b"what goes, among others ".repeat(50), noise(5, 2 * BLOCK_SIZE));
    let left = [[b"before ".repeat(40), small.clone(), b"after ".repeat(40)].concat(), b"nobody's ".repeat(300)];
    let id = archive.id().to_owned();
    let objects = ObjectBlocks::new(&engine.objects.place(), &id).expect("connects");
    let mut blocks: Vec<Block> =
        left.iter().map(|raw| Block::encode(raw, Sha256::of(raw), 3).expect("encodes")).collect();
    let items = contract::archived_together(
        &mut *archive,
        &[("a", small, false), ("b", large, false), ("c", b"stays ".repeat(90), false)],
    );
    // A piece of the large one, as it was never stored.
    let piece = archive.segments(&items[1].sha256, 0).expect("reads")[0];
    let piece = archive.block(&piece.block).expect("reads").expect("is there");
    assert_eq!(piece.codec, Codec::None);
    let stored = zstd::encode_all(&piece.stored[..], 1).expect("compresses");
    let stored_sha256 = Sha256::of(&stored);
    blocks.push(Block { stored_sha256, codec: Codec::Zstd, stored, ..piece });
    objects.put(&blocks.iter().filter(|block| block.stored.len() <= BLOCK_SIZE).collect::<Vec<_>>()).expect("puts");
    for item in &items[..2] {
        contract::purge_whole(&mut *archive, item);
    }
    let names = engine.objects.names();
    let is_there = |block: &Block| names.iter().any(|name| name.contains(&block.stored_sha256.to_string()));
    assert_eq!(blocks.iter().map(is_there).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(names.len(), 3, "the mark, what nobody knows, and what stays: {names:?}");
    assert_eq!(read(&mut *archive, &items[2].sha256, items[2].size).expect("reads"), b"stays ".repeat(90));
}

/// A purge is stopped between an object and its row, and somebody stores the block's bytes.
fn an_object_is_put_again_where_only_its_row_is_left<P: TestPlace>() {
    let engine = Sqlite::<P>::create();
    let mut archive = engine.open();
    let content = b"alone in its block ".repeat(60);
    let block = Block::encode(&content, Sha256::of(&content), 3).expect("encodes");
    archive.put(std::slice::from_ref(&block), &[]).expect("stores");
    engine.objects.remove(&only_block(&engine.objects));
    let stored = store(&mut *archive, std::slice::from_ref(&content))[0];
    assert!(stored.new);
    assert_eq!(engine.objects.names().len(), 2);
    assert_eq!(read(&mut *archive, &stored.sha256, stored.size).expect("reads"), content);

    // Where the row names bytes that come out of another way of compressing, nothing is relied on, and nothing left behind.
    let other = b"compressed in another way ".repeat(60);
    let packed = zstd::encode_all(&other[..], 19).expect("compresses");
    let block = Block::encode(&other, Sha256::of(&other), 3).expect("encodes");
    let stored_sha256 = Sha256::of(&packed);
    assert_ne!(stored_sha256, block.stored_sha256);
    let block = Block { stored_sha256, stored: packed, ..block };
    let before = engine.objects.names();
    archive.put(std::slice::from_ref(&block), &[]).expect("stores");
    let name = engine.objects.names().into_iter().find(|name| !before.contains(name)).expect("is new");
    engine.objects.remove(&name);
    let source = contract::Memory(vec![other]);
    store_contents(&mut *archive, &source, StoreContentsOptions::default(), &mut |_| ())
        .expect_err("cannot be relied on");
    assert_eq!(engine.objects.names(), before);
    assert!(archive.find_artifacts(&[Sha256::of(&source.0[0])]).expect("looks").is_empty());
}

fn stores_without_conditional_writes_do<P: TestPlace>() {
    let engine = Sqlite::<P>::without_archive();
    let mut place = engine.objects.place();
    place.settings.push(("AWS_CONDITIONAL_PUT".to_owned(), "disabled".into()));
    let mut archive = engine.try_open(Some(&place), OpenMode::CreateOrMigrate).expect("makes an archive");
    let contents = [noise(1, 3 * BLOCK_SIZE)];
    for _ in 0..2 {
        let stored = store(&mut archive, &contents)[0];
        assert_eq!(read(&mut archive, &stored.sha256, stored.size).expect("reads"), contents[0]);
        engine.sql("DELETE FROM segment; DELETE FROM artifact; DELETE FROM block");
    }
}

/// The crate writes beside the place, links into place, and removes the first name: it may be stopped at any point.
#[test]
fn nothing_is_left_of_a_deleted_object_under_the_names_of_unfinished_ones() {
    let engine = Sqlite::<Folder>::create();
    let objects = ObjectBlocks::new(&engine.objects.place(), engine.open().id()).expect("connects");
    let text = b"over and over\n".repeat(1_000);
    let block = Block::encode(&text, Sha256::of(&text), 3).expect("encodes");
    objects.put(&[&block]).expect("puts");
    let name = only_block(&engine.objects);
    let path = engine.objects.0.path().join(&name);
    // The same bytes without their suffix would be another block's.
    let others = [name.trim_end_matches(".zst"), &format!("{name}#"), &format!("{name}#1x"), &format!("{name}12")]
        .map(ToOwned::to_owned);
    for other in &others {
        engine.objects.write(other, &block.stored);
    }
    engine.objects.write(&format!("{}#1", others[0]), &block.stored);
    for is_whole in [true, false] {
        let staged = [format!("{name}#1"), format!("{name}#23")];
        if is_whole {
            fs::hard_link(&path, engine.objects.0.path().join(&staged[0])).expect("links");
        }
        engine.objects.write(&staged[1], &block.stored[..9]);
        objects.delete(block.codec, &block.stored_sha256).expect("deletes");
        let left = engine.objects.names();
        assert!(!left.contains(&name) && staged.iter().all(|staged| !left.contains(staged)), "{left:?}");
        assert_eq!(left.len(), 1 + others.len() + 1, "{left:?}");
    }
}

#[test]
fn a_folder_that_is_missing_is_not_made() {
    let engine = Sqlite::<Folder>::without_archive();
    let mut place = engine.objects.place();
    let missing = engine.folder.path().join("missing");
    let file = engine.folder.path().join("file");
    fs::write(&file, "").expect("writes");
    for folder in [&missing, &file] {
        place.kind = ObjectPlaceKind::Folder(folder.clone());
        assert!(matches!(engine.refused(Some(&place), OpenMode::CreateOrMigrate), ObjectsError::Unusable { .. }));
    }
    assert!(!missing.exists());
}

#[test]
fn a_bucket_that_is_missing_is_not_made() {
    let engine = Sqlite::<Bucket>::without_archive();
    let mut place = engine.objects.place();
    place.kind = ObjectPlaceKind::Bucket { name: "no-such-bucket".to_owned(), prefix: String::new() };
    let error = engine.refused(Some(&place), OpenMode::CreateOrMigrate);
    assert!(matches!(error, ObjectsError::Unusable { .. }), "{error:?}");
    assert!(crate::causes::in_one_line(&error).contains("bucket does not exist"), "{error:?}");
    let engine = Sqlite::<Bucket>::create();
    let error = engine.refused(Some(&place), OpenMode::Existing);
    assert!(matches!(error, ObjectsError::Absent { .. }), "{error:?}");
}

/// The recipe of `docs/archive.md`, run as it stands there.
#[cfg(unix)]
#[test]
fn a_file_is_restored_from_objects_by_the_documented_recipe_alone() {
    use std::process::Command;

    let there = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !["sqlite3", "zstd", "sha256sum"].into_iter().all(there) {
        return;
    }
    let text = include_str!("../../../docs/archive.md");
    let recipe = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has a recipe");
    let engine = Sqlite::<Folder>::create();
    fs::write(engine.folder.path().join("recipe.sh"), recipe).expect("writes");
    let mut large = noise(5, 2_000_000);
    large.extend(b"and text\n".repeat(200_000));
    for (name, content) in [("large", large), ("small", b"small\n".to_vec()), ("empty", Vec::new())] {
        let mut archive = engine.open();
        let item = contract::item(&mut *archive, name.as_bytes(), &content);
        archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("begins");
        let output = Command::new("sh")
            .current_dir(engine.folder.path())
            .args(["recipe.sh", "archive.sqlite", &item.tombstone.to_string(), name])
            .arg(engine.objects.0.path())
            .output()
            .expect("runs");
        assert!(output.status.success(), "{output:?}");
        assert!(fs::read(engine.folder.path().join(name)).expect("reads") == content);
    }
    // What a purge has moved into a row.
    let mut archive = engine.open();
    let files = [("kept", b"held\n".to_vec(), true), ("gone", b"purged\n".to_vec(), false)];
    let items = contract::archived_together(&mut *archive, &files);
    contract::purge_whole(&mut *archive, &items[1]);
    for (item, code) in items.iter().zip([0, 3]) {
        let output = Command::new("sh")
            .current_dir(engine.folder.path())
            .args(["recipe.sh", "archive.sqlite", &item.tombstone.to_string(), "kept"])
            .arg(engine.objects.0.path())
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    assert_eq!(fs::read(engine.folder.path().join("kept")).expect("reads"), b"held\n");
}

/// Opens an archive whose objects are on a server that treats every connection in this way, and returns what comes of it.
fn with_server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> ObjectsError {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let endpoint = format!("http://{}", listener.local_addr().expect("has an address"));
    thread::spawn(move || {
        for line in listener.incoming().flatten() {
            serve(line);
        }
    });
    let engine = Sqlite::<Folder>::create();
    let kind = ObjectPlaceKind::Bucket { name: "bucket".to_owned(), prefix: "prefix".to_owned() };
    let place = ObjectPlace { url: "s3://bucket/prefix".to_owned(), kind, settings: settings(&endpoint) };
    engine.refused(Some(&place), OpenMode::Existing)
}

/// Reads the head of a request.
fn read_head(line: &TcpStream) {
    for text in BufReader::new(line).lines() {
        if text.is_ok_and(|text| text.is_empty()) {
            return;
        }
    }
}

fn answer(mut line: TcpStream, status: &str, body: &str) {
    read_head(&line);
    let _ = write!(line, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
}

#[test]
fn what_may_pass_is_told_from_what_does_not() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("has an address");
    let engine = Sqlite::<Folder>::create();
    let kind = ObjectPlaceKind::Bucket { name: "bucket".to_owned(), prefix: String::new() };
    let mut place = ObjectPlace { url: "s3://bucket".to_owned(), kind, settings: settings(&format!("http://{gone}")) };
    let error = engine.refused(Some(&place), OpenMode::Existing);
    assert!(matches!(error, ObjectsError::Unreachable { .. }) && error.class() == Class::Transient, "{error:?}");
    // Without leave, nothing goes over a line that anybody can read.
    place.settings.retain(|(name, _)| name != "AWS_ALLOW_HTTP");
    let error = engine.refused(Some(&place), OpenMode::Existing);
    assert_eq!(error.class(), Class::Permanent, "{error:?}");

    for (status, class) in [
        ("503 Slow Down", Class::Transient),
        ("500 Internal Server Error", Class::Transient),
        ("429 Too Many Requests", Class::Transient),
        ("400 Bad Request", Class::Permanent),
        ("501 Not Implemented", Class::Permanent),
        ("200 OK", Class::Permanent),
    ] {
        let error = with_server(move |line| answer(line, status, "not for us"));
        assert_eq!(error.class(), class, "{status}: {error:?}");
    }
    let hung_up = with_server(|line| read_head(&line));
    assert_eq!(hung_up.class(), Class::Transient, "{hung_up:?}");
}

#[test]
fn of_a_refusal_only_the_message_is_told() {
    let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>Check your key \x1b[31m\nand
        method.</Message><AWSAccessKeyId>canary</AWSAccessKeyId><StringToSign>canary</StringToSign></Error>";
    let error = with_server(move |line| answer(line, "403 Forbidden", body));
    assert!(matches!(error, ObjectsError::Refused { .. }), "{error:?}");
    let shown = crate::causes::in_one_line(&error);
    assert!(shown.ends_with(r"Check your key \u{1b}[31m and method."), "{shown}");
    assert!(!format!("{error:?}{shown}").contains("canary"));

    let long = "x".repeat(100_000);
    let error = with_server(move |line| answer(line, "403 Forbidden", &long));
    assert!(crate::causes::in_one_line(&error).len() < 1_000);
}

#[test]
fn an_answer_without_end_is_not_heard_out() {
    // As the mark itself, and as the text of an error, of which the driver would read everything.
    for status in ["200 OK", "404 Not Found", "403 Forbidden"] {
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let error = with_server(move |mut line| {
            read_head(&line);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: 99999999999\r\nETag: \"x\"\r\nLast-Modified: Thu, 20 Nov 2025 17:18:26 GMT\r\n\r\n"
            );
            let _ = line.write_all(head.as_bytes());
            let piece = vec![b'x'; 65_536];
            while line.write_all(&piece).is_ok() {
                counted.fetch_add(65_536, Ordering::Relaxed);
            }
        });
        assert_eq!(error.class(), Class::Permanent, "{status}: {error:?}");
        // What the system holds for both ends comes on top of what was read.
        assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{status}");
    }
}

mod in_a_folder {
    use super::*;

    contract::contract_suite!(Sqlite<Folder>);
    objects_suite!(Folder);
}

mod in_a_bucket {
    use super::*;

    contract::contract_suite!(Sqlite<Bucket>);
    objects_suite!(Bucket);
}
