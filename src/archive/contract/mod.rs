//! What every engine must do, written once. An engine joins with an [`Engine`] and `contract_suite!(ItsEngine)`.

mod governing;
mod guards;
mod migrations;
mod names;

pub(super) use governing::*;
pub(super) use guards::*;
pub(super) use migrations::*;
pub(super) use names::*;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::migration::Migration;
use super::{
    Archive, ArchiveError, BLOCK_SIZE, Batch, Block, Change, ContentReader, ContentSource, Event, Hold, ItemState,
    ItemStatus, OpenMode, Query, ReadError, StoreContentsError, StoreContentsOptions, StoredContent, store_contents,
};
use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record};
use crate::id::{ObjectId, OperationId, Sha256, Tombstone};
use crate::item::{Backend, FileMode, Item, Kind, Reason, Referent, RepoPath};

/// A fresh archive of some engine, which goes away with this value.
pub(super) trait Engine: Sync {
    /// Makes an empty archive.
    fn create() -> Self;

    /// Opens it, as another program would.
    fn open(&self) -> Box<dyn Archive>;
}

/// A session in which SQL runs, as a text. It ends with this value.
pub(super) type Client<'a> = Box<dyn FnMut(&str) -> Result<(), String> + Send + 'a>;

/// An engine whose archives are in a database, which other programs reach too. It joins with `database_suite!(ItsEngine)`.
pub(super) trait Database: Engine + Sized {
    /// Its dialect.
    const BACKEND: Backend;

    /// Makes a database with nothing in it.
    fn without_archive() -> Self;

    /// Opens what is there, as a program with these migrations does.
    fn try_open(&self, mode: OpenMode, migrations: &[Migration]) -> Result<Box<dyn Archive>, ArchiveError>;

    /// Connects as any client might: to read and write every table, but with no privilege to change the schema.
    fn client(&self) -> Client<'_>;

    /// Connects likewise, with the functions that the program brings.
    fn client_of_the_programs_kind(&self) -> Client<'_> {
        self.client()
    }

    /// Runs SQL as the owner of the database.
    fn owner(&self, sql: &str) -> Result<(), String>;

    /// Describes the schema, and what is known of its migrations.
    fn dump(&self) -> Vec<String>;

    /// Runs a script by the client that comes with the database.
    fn run_by_its_client(&self, script: &str);

    /// Runs SQL in a session of its own, as any client might.
    fn raw(&self, sql: &str) -> Result<(), String> {
        self.client()(sql)
    }
}

/// Makes a test of each behaviour for one engine.
macro_rules! contract_suite {
    ($engine:ty) => {
        $crate::archive::contract::contract_suite!($engine:
            contents_of_every_size_come_back
            equal_contents_are_stored_once
            versions_of_a_large_content_share_blocks
            a_source_that_does_not_keep_its_word_is_refused
            what_was_cut_short_is_completed_without_repeats
            eight_threads_store_the_same_contents
            unknown_contents_are_missing
            items_need_their_contents
            an_item_is_pending_until_sealed
            a_second_store_seals_what_the_first_left_pending
            only_the_clone_that_began_undoes
            what_was_undone_can_begin_anew
            a_hold_that_was_asked_for_stays
            facts_come_back_exactly
            prefixes_find_tombstones
            listings_select_and_keep_their_order
            a_listing_longer_than_any_page_is_whole
            every_version_of_a_path_is_found
            events_are_kept_once_and_in_order
            restoring_is_noted
            counts_count
            any_contents_come_back
            paths_that_look_alike_stay_apart
            texts_that_look_alike_stay_apart
            a_superseded_archive_refuses_every_change
            a_copy_is_changed_by_its_migration_alone
            what_a_copy_takes_in_is_what_was_there
            holds_are_set_and_released_one_by_one
            a_store_sets_a_hold_that_its_undoing_releases
            approvals_are_noted_once_and_used_up_by_a_purge
            a_purge_begins_only_where_its_judge_agrees
            a_purge_takes_one_content_and_leaves_every_other
            what_is_held_moves_also_where_its_bytes_are_another_block
            what_a_stopped_store_has_left_goes_with_a_purge
            what_a_store_brings_of_purged_content_does_not_stay
            purged_content_comes_back_only_where_it_is_asked_for
            a_purge_is_ended_by_its_operation_however_late
            what_governs_is_read_in_its_order
            a_copy_follows_what_is_released_and_what_comes_back
        );
    };
    ($engine:ty: $($behaviour:ident)+) => {
        $(
            #[test]
            fn $behaviour() {
                $crate::archive::contract::$behaviour::<$engine>();
            }
        )+
    };
}
pub(super) use contract_suite;

/// Makes a test of each behaviour for one engine whose archives are in a database.
macro_rules! database_suite {
    ($engine:ty) => {
        $crate::archive::contract::contract_suite!($engine:
            a_client_changes_no_event_and_destroys_nothing_held
            a_content_that_was_slipped_in_is_noticed_by_the_next_store
            a_hold_counts_for_who_looked_before_it
            a_hold_that_is_being_set_is_waited_for
            a_release_waits_for_a_hold_that_is_being_set
            what_nobody_purges_stays_where_it_is
            what_is_held_moves_only_to_where_its_bytes_are_seen
            a_hold_that_a_client_sets_is_released_by_the_program_alone
            what_is_purged_stays_so_whoever_asks
            an_older_archive_keeps_its_holds
            purged_content_is_known_as_purged_and_does_not_come_back
            an_archive_is_not_made_unasked
            only_init_brings_an_older_archive_up_to_date_and_there_is_no_way_back
            a_changed_migration_is_noticed
            line_ends_do_not_change_a_migration
            a_failed_migration_leaves_a_usable_archive
            eight_programs_make_one_archive
            another_programs_tables_are_left_alone
            an_archive_with_tables_beside_it_stays_one
            an_archive_made_by_hand_equals_one_made_by_init
            the_queries_of_the_python_tools_handbook_run
        );
    };
}
pub(super) use database_suite;

/// Returns `length` bytes that do not compress, the same for the same `seed` (`SplitMix64`).
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Contents in memory.
pub(super) struct Memory(pub Vec<Vec<u8>>);

impl ContentSource for Memory {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn size(&self, index: usize) -> u64 {
        self.0[index].len() as u64
    }

    fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(&self.0[index][..]))
    }
}

/// Stores `contents`.
pub(super) fn store(archive: &mut dyn Archive, contents: &[Vec<u8>]) -> Vec<StoredContent> {
    let source = Memory(contents.to_vec());
    store_contents(archive, &source, StoreContentsOptions::default(), &mut |_| ()).expect("stores")
}

/// Reads a content back.
pub(super) fn read(archive: &mut dyn Archive, sha256: &Sha256, size: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    ContentReader::new(archive).read(sha256, size, &mut bytes)?;
    Ok(bytes)
}

/// Stores `content` and returns an item of it at `path`.
pub(super) fn item(archive: &mut dyn Archive, path: &[u8], content: &[u8]) -> Item {
    let stored = store(archive, &[content.to_vec()])[0];
    let commit = ObjectId::from_bytes(&[7; 20]).expect("has 20 bytes");
    let path = RepoPath::try_new(path).expect("is a path");
    Item {
        tombstone: Tombstone::derive("repo", path.as_bytes(), &commit, &stored.sha256),
        repo: "repo".to_owned(),
        path,
        commit,
        object: ObjectId::from_bytes(&[9; 32]).expect("has 32 bytes"),
        mode: FileMode::Executable,
        sha256: stored.sha256,
        size: stored.size,
        kind: Kind::Code,
        language: Some("python".to_owned()),
        mime: None,
        reason: Reason::Legacy,
        tags: vec!["a".to_owned(), "b c".to_owned()],
        metadata: BTreeMap::from([("ticket".to_owned(), "OPS-1 \"x\" \n é".to_owned())]),
        refs: vec![
            Referent { kind: "pr".to_owned(), value: "2".to_owned() },
            Referent { kind: "pr".to_owned(), value: "1".to_owned() },
        ],
        dirty: true,
        delete_after: Some("2027-01-31".parse().expect("is a date")),
        legal_hold: false,
        archived_by: "A <a@example.org>".to_owned(),
        archived_at: time(1_000),
    }
}

/// Returns the event of `action` on `item`.
pub(super) fn event(op: OperationId, action: Action, item: Option<&Item>) -> Event {
    let mut record = Record::new(action, op, time(2_000));
    record.tombstone = item.map(|item| item.tombstone);
    record.actor = Some("A <a@example.org>".to_owned());
    Event::from_record(&record).expect("is short")
}

fn time(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(millisecond).expect("is in range")
}

fn state(archive: &mut dyn Archive, item: &Item) -> ItemState {
    archive.item(&item.tombstone).expect("looks").expect("is there").state
}

fn list(archive: &mut dyn Archive, query: &Query) -> Vec<String> {
    let mut paths = Vec::new();
    let mut visit = |stored: super::StoredItem| {
        paths.push(stored.item.path.to_string());
        ControlFlow::Continue(())
    };
    archive.list(query, &mut visit).expect("lists");
    paths
}

pub(super) fn contents_of_every_size_come_back<E: Engine>() {
    let engine = E::create();
    let mut contents = Vec::new();
    for size in [0, 1, 1_000, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 17] {
        contents.push(noise(size as u64, size));
        contents.push(b"over and over\n".iter().copied().cycle().take(size).collect());
    }
    let mut last = super::Progress::default();
    let source = Memory(contents);
    let stored = store_contents(&mut *engine.open(), &source, StoreContentsOptions::default(), &mut |now| last = now);
    let stored = stored.expect("stores");
    assert_eq!(last.contents, stored.len());
    assert_eq!(last.bytes, stored.iter().map(|content| content.size).sum::<u64>());
    let mut archive = engine.open();
    for (content, stored) in source.0.iter().zip(&stored) {
        assert_eq!((stored.sha256, stored.size), (Sha256::of(content), content.len() as u64));
        assert_eq!(read(&mut *archive, &stored.sha256, stored.size).expect("reads"), *content);
        let info = archive.find_artifacts(&[stored.sha256]).expect("looks")[&stored.sha256];
        assert_eq!((info.size, info.compressed_size), (stored.size, stored.compressed_size));
        assert_eq!(stored.compressed_size == 0, stored.size == 0);
    }
}

pub(super) fn equal_contents_are_stored_once<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let large = noise(1, 2 * BLOCK_SIZE);
    let contents = [b"x".to_vec(), large.clone(), b"x".to_vec(), large, b"".to_vec(), b"".to_vec()];
    let new = |stored: Vec<StoredContent>| stored.iter().map(|content| content.new).collect::<Vec<_>>();
    let first = store(&mut *archive, &contents);
    assert_eq!(first[0].compressed_size, first[2].compressed_size);
    assert_eq!(new(first), [true, true, false, false, true, false]);
    let counts = archive.counts().expect("counts");
    assert_eq!(new(store(&mut *engine.open(), &contents)), [false; 6]);
    assert_eq!(archive.counts().expect("counts"), counts);
    assert_eq!((counts.artifacts, counts.artifact_bytes), (3, 1 + 2 * BLOCK_SIZE as u64));
}

pub(super) fn versions_of_a_large_content_share_blocks<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let old = noise(1, 8 * BLOCK_SIZE);
    let mut new = old.clone();
    new.splice(3_000_000..3_000_000, *b"inserted");
    let before = store(&mut *archive, std::slice::from_ref(&old))[0];
    let bytes = archive.counts().expect("counts").stored_bytes;
    let after = store(&mut *archive, std::slice::from_ref(&new))[0];
    assert!(archive.counts().expect("counts").stored_bytes < bytes + 3 * BLOCK_SIZE as u64);
    assert_eq!(read(&mut *archive, &before.sha256, before.size).expect("reads"), old);
    assert_eq!(read(&mut *archive, &after.sha256, after.size).expect("reads"), new);
}

pub(super) fn a_source_that_does_not_keep_its_word_is_refused<E: Engine>() {
    /// Yields `yields` bytes where it promises `says`, and other bytes each time it is opened.
    struct Liar {
        says: u64,
        yields: usize,
        opened: std::sync::atomic::AtomicU64,
    }

    impl ContentSource for Liar {
        fn len(&self) -> usize {
            1
        }

        fn size(&self, _: usize) -> u64 {
            self.says
        }

        fn open(&self, _: usize) -> io::Result<Box<dyn Read + Send + '_>> {
            let seed = self.opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Box::new(io::Cursor::new(noise(seed, self.yields))))
        }
    }

    let engine = E::create();
    let mut archive = engine.open();
    let large = 3 * BLOCK_SIZE;
    for (says, yields) in [(0, 1), (10, 9), (10, 11), (large, large - 1), (large, large + 1), (large, large)] {
        let source = Liar { says: says as u64, yields, opened: 0.into() };
        let result = store_contents(&mut *archive, &source, StoreContentsOptions::default(), &mut |_| ());
        assert!(matches!(result, Err(StoreContentsError::Changed { index: 0, .. })), "{says} {yields} {result:?}");
        assert_eq!(archive.counts().expect("counts").artifacts, 0);
    }
}

pub(super) fn what_was_cut_short_is_completed_without_repeats<E: Engine>() {
    /// Reads the first bytes of each content, and then fails.
    struct Torn<'a>(&'a Memory, u64);

    impl ContentSource for Torn<'_> {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn size(&self, index: usize) -> u64 {
            self.0.size(index)
        }

        fn open(&self, index: usize) -> io::Result<Box<dyn Read + Send + '_>> {
            struct Failing;
            impl Read for Failing {
                fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                    Err(io::Error::other("torn"))
                }
            }
            if index + 1 < self.len() {
                self.0.open(index)
            } else {
                Ok(Box::new(self.0.open(index)?.take(self.1).chain(Failing)))
            }
        }
    }

    let engine = E::create();
    let contents: Vec<_> = (0..60).map(|seed| noise(seed, 700_000)).collect();
    let source = Memory(contents);
    let torn = store_contents(&mut *engine.open(), &Torn(&source, 9), StoreContentsOptions::default(), &mut |_| ());
    assert!(matches!(torn, Err(StoreContentsError::Source { index: 59, .. })), "{torn:?}");
    let before = engine.open().counts().expect("counts");
    assert!(before.artifacts > 0, "something was committed before");
    let stored = store(&mut *engine.open(), &source.0);
    assert_eq!(stored.iter().filter(|content| content.new).count() as u64, 60 - before.artifacts);
    let counts = engine.open().counts().expect("counts");
    assert_eq!((counts.artifacts, counts.stored_bytes), (60, 60 * 700_000));
}

pub(super) fn eight_threads_store_the_same_contents<E: Engine>() {
    let engine = E::create();
    let contents: Vec<_> =
        (0..20).map(|seed| noise(seed, 50_000)).chain([noise(99, 3 * BLOCK_SIZE), Vec::new()]).collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store(&mut *engine.open(), &contents));
        }
    });
    let mut archive = engine.open();
    for content in &contents {
        assert_eq!(read(&mut *archive, &Sha256::of(content), content.len() as u64).expect("reads"), *content);
    }
    assert_eq!(archive.counts().expect("counts").artifacts, contents.len() as u64);
}

pub(super) fn unknown_contents_are_missing<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    assert!(matches!(read(&mut *archive, &Sha256::of(b"x"), 1), Err(ReadError::Missing { .. })));
    store(&mut *archive, &[b"x".to_vec()]);
    let wrong = read(&mut *archive, &Sha256::of(b"x"), 2).expect_err("the length is another");
    assert!(wrong.is_integrity());
}

pub(super) fn items_need_their_contents<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let good = item(&mut *archive, b"good", b"good");
    let mut bad = good.clone();
    (bad.sha256, bad.tombstone) = (Sha256::ZERO, Tombstone::derive("repo", b"bad", &good.commit, &Sha256::ZERO));
    let refused = archive.begin(OperationId::generate(), "here", &[good.clone(), bad]);
    assert!(matches!(refused, Err(ArchiveError::MissingArtifact { .. })), "{refused:?}");
    assert_eq!(archive.item(&good.tombstone).expect("looks"), None, "all or nothing");
}

pub(super) fn an_item_is_pending_until_sealed<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (op, item) = (OperationId::generate(), item(&mut *archive, b"a", b"a"));
    let items = std::slice::from_ref(&item);
    for _ in 0..2 {
        assert_eq!(archive.begin(op, "here", items).expect("begins, also again"), [ItemStatus::Stored]);
    }
    let stored = archive.item(&item.tombstone).expect("looks").expect("is there");
    assert!(stored.is_visible_to("here") && !stored.is_visible_to("there"));
    let pending = archive.pending("here").expect("looks");
    assert_eq!((pending.len(), pending[0].op, pending[0].items, pending[0].since), (1, op, 1, item.archived_at));
    assert!(archive.pending("there").expect("looks").is_empty());
    assert_eq!(archive.operation_items(op).expect("looks"), [stored]);
    let events = [event(op, Action::Archive, Some(&item))];
    for _ in 0..2 {
        archive.seal(op, &events).expect("seals");
        assert_eq!(state(&mut *engine.open(), &item), ItemState::Sealed);
        assert_eq!(archive.counts().expect("counts").events, 1);
        assert!(archive.pending("here").expect("looks").is_empty());
    }
    let undone = archive.undo(op, "here", &event(op, Action::Recover, None)).expect("changes nothing");
    assert_eq!((undone, state(&mut *archive, &item)), (0, ItemState::Sealed));
}

pub(super) fn a_second_store_seals_what_the_first_left_pending<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (first, second, item) = (OperationId::generate(), OperationId::generate(), item(&mut *archive, b"a", b"a"));
    let items = std::slice::from_ref(&item);
    archive.begin(first, "here", items).expect("begins");
    assert_eq!(archive.begin(second, "there", items).expect("begins"), [ItemStatus::AlreadyStored]);
    archive.seal(second, &[event(second, Action::Archive, Some(&item))]).expect("seals");
    assert_eq!(state(&mut *archive, &item), ItemState::Sealed);
    archive.seal(first, &[event(first, Action::Archive, Some(&item))]).expect("seals");
    assert_eq!(archive.counts().expect("counts").events, 2);

    let unknown = event(
        second,
        Action::Archive,
        Some(&Item { tombstone: Tombstone::derive("x", b"x", &item.commit, &item.sha256), ..item }),
    );
    assert!(matches!(archive.seal(second, &[unknown]), Err(ArchiveError::NoSuchItem { .. })));
}

pub(super) fn only_the_clone_that_began_undoes<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (op, item) = (OperationId::generate(), item(&mut *archive, b"a", b"a"));
    archive.begin(op, "here", std::slice::from_ref(&item)).expect("begins");
    let undone = event(op, Action::Recover, Some(&item));
    assert!(matches!(archive.undo(op, "there", &undone), Err(ArchiveError::OtherOrigin { .. })));
    assert_eq!(archive.counts().expect("counts").events, 0);
    assert_eq!(archive.undo(op, "here", &undone).expect("undoes"), 1);
    assert_eq!(archive.undo(op, "here", &undone).expect("undoes again"), 0);
    assert_eq!(state(&mut *archive, &item), ItemState::Undone);
    let counts = archive.counts().expect("counts");
    assert_eq!((counts.items, counts.artifacts, counts.events), (0, 1, 1), "bytes stay");
}

pub(super) fn what_was_undone_can_begin_anew<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (first, second) = (OperationId::generate(), OperationId::generate());
    let old = item(&mut *archive, b"a", b"a");
    archive.begin(first, "here", std::slice::from_ref(&old)).expect("begins");
    archive.undo(first, "here", &event(first, Action::Recover, Some(&old))).expect("undoes");
    let new = Item { reason: Reason::Dead, tags: vec!["new".to_owned()], refs: Vec::new(), ..old };
    let statuses = archive.begin(second, "there", std::slice::from_ref(&new)).expect("begins");
    assert_eq!(statuses, [ItemStatus::Stored]);
    let stored = archive.item(&new.tombstone).expect("looks").expect("is there");
    assert_eq!((stored.state, stored.op, &*stored.origin), (ItemState::Pending, second, "there"));
    assert_eq!(stored.item, new);
}

pub(super) fn a_hold_that_was_asked_for_stays<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let free = item(&mut *archive, b"a", b"a");
    let held = Item { legal_hold: true, ..free.clone() };
    for item in [&free, &held, &free] {
        let op = OperationId::generate();
        archive.begin(op, "here", std::slice::from_ref(item)).expect("begins");
        archive.seal(op, &[event(op, Action::Archive, Some(item))]).expect("seals");
    }
    assert!(archive.item(&free.tombstone).expect("looks").expect("is there").item.legal_hold);
}

pub(super) fn facts_come_back_exactly<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let op = OperationId::generate();
    let items: Vec<_> = [&b"plain"[..], b"caf\xe9", b"a\nb", b"\"quoted\"", "é".as_bytes(), &[b'x'; 4096]]
        .iter()
        .map(|path| item(&mut *archive, path, b"shared"))
        .collect();
    archive.begin(op, "here", &items).expect("begins");
    for item in &items {
        let stored = archive.item(&item.tombstone).expect("looks").expect("is there");
        assert_eq!(stored.item, *item);
        assert_eq!((stored.state, stored.op, &*stored.origin), (ItemState::Pending, op, "here"));
        assert_eq!((stored.restored_at, stored.purged_at), (None, None));
        assert_eq!(archive.items_by_path("repo", &item.path).expect("looks"), [stored]);
        assert!(archive.items_by_path("other", &item.path).expect("looks").is_empty());
    }
}

pub(super) fn prefixes_find_tombstones<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = item(&mut *archive, b"a", b"a");
    archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("begins");
    let text = item.tombstone.to_string();
    for length in [8, 9, 20, 36] {
        assert_eq!(archive.items_by_prefix(&text[..length], 2).expect("looks").len(), 1);
    }
    assert!(archive.items_by_prefix(&text[..8], 0).expect("looks").is_empty());
    assert!(archive.items_by_prefix("zzzzzzzz", 2).expect("looks").is_empty());
    assert!(archive.items_by_prefix("%%%%%%%%", 2).expect("looks").is_empty());
    assert!(matches!(archive.items_by_prefix(&text[..7], 2), Err(ArchiveError::ShortPrefix { .. })));
}

pub(super) fn listings_select_and_keep_their_order<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let mut items = Vec::new();
    for (path, second) in [("b/2", 5), ("b/1", 5), ("a", 9), ("c.py", 1)] {
        let base = item(&mut *archive, path.as_bytes(), path.as_bytes());
        items.push(Item { archived_at: time(second * 1_000), ..base });
    }
    items[0].tags = vec!["rare".to_owned()];
    items[1].reason = Reason::Dead;
    items[2].archived_by = "B".to_owned();
    let (sealed, pending) = (OperationId::generate(), OperationId::generate());
    archive.begin(sealed, "here", &items[..3]).expect("begins");
    archive.seal(sealed, &[]).expect("seals");
    archive.begin(pending, "here", &items[3..]).expect("begins");

    let all = Query { origin: Some("here".to_owned()), ..Query::default() };
    assert_eq!(list(&mut *archive, &all), ["a", "b/1", "b/2", "c.py"]);
    assert_eq!(list(&mut *archive, &Query::default()), ["a", "b/1", "b/2"]);
    let elsewhere = Query { origin: Some("there".to_owned()), ..Query::default() };
    assert_eq!(list(&mut *archive, &elsewhere), ["a", "b/1", "b/2"]);
    let cases = [
        (Query { limit: Some(2), ..all.clone() }, vec!["a", "b/1"]),
        (Query { path: Some(b"b".to_vec()), ..all.clone() }, vec!["b/1", "b/2"]),
        (Query { path: Some(b"*.py".to_vec()), limit: Some(1), ..all.clone() }, vec!["c.py"]),
        (Query { tag: Some("rare".to_owned()), ..all.clone() }, vec!["b/2"]),
        (Query { reason: Some(Reason::Dead), ..all.clone() }, vec!["b/1"]),
        (Query { archived_by: Some("B".to_owned()), ..all.clone() }, vec!["a"]),
        (Query { since: Some(time(5_000)), ..all.clone() }, vec!["a", "b/1", "b/2"]),
        (Query { until: Some(time(5_000)), ..all.clone() }, vec!["b/1", "b/2", "c.py"]),
        (Query { repo: Some("other".to_owned()), ..all.clone() }, vec![]),
        (Query { limit: Some(0), ..all }, vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(list(&mut *archive, &query), expected, "{query:?}");
    }
}

pub(super) fn a_listing_longer_than_any_page_is_whole<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let base = item(&mut *archive, b"0", b"x");
    // All of one operation, so of one time.
    let items: Vec<Item> = (0..8_500)
        .map(|number| {
            let path = RepoPath::try_new(format!("{number:05}")).expect("is a path");
            let tombstone = Tombstone::derive("repo", path.as_bytes(), &base.commit, &base.sha256);
            Item { tombstone, path, refs: Vec::new(), ..base.clone() }
        })
        .collect();
    let op = OperationId::generate();
    archive.begin(op, "here", &items).expect("begins");
    archive.seal(op, &[]).expect("seals");
    let expected: Vec<String> = items.iter().map(|item| item.path.to_string()).collect();
    assert!(list(&mut *archive, &Query::default()) == expected);
    let limited = Query { limit: Some(8_300), ..Query::default() };
    assert!(list(&mut *archive, &limited) == expected[..8_300]);
    let late = Query { path: Some(b"084*".to_vec()), ..Query::default() };
    assert!(list(&mut *archive, &late) == expected[8_400..]);
}

pub(super) fn every_version_of_a_path_is_found<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let base = item(&mut *archive, b"a", b"x");
    // More than an answer of a server may have, several of each time.
    let metadata = BTreeMap::from([("notes".to_owned(), "x".repeat(60_000))]);
    let mut items: Vec<Item> = (0..600_u16)
        .map(|number| {
            let commit = ObjectId::from_bytes(&[number.to_be_bytes(); 10].concat()).expect("has 20 bytes");
            let tombstone = Tombstone::derive("repo", b"a", &commit, &base.sha256);
            let (metadata, archived_at) = (metadata.clone(), time(i64::from(number / 200)));
            Item { tombstone, commit, metadata, archived_at, refs: Vec::new(), tags: Vec::new(), ..base.clone() }
        })
        .collect();
    archive.begin(OperationId::generate(), "here", &items).expect("begins");
    items.sort_by_key(|item| (std::cmp::Reverse(item.archived_at), item.tombstone.to_string()));
    let found = archive.items_by_path("repo", &base.path).expect("looks");
    assert!(found.iter().map(|stored| stored.item.tombstone).eq(items.iter().map(|item| item.tombstone)));
}

pub(super) fn events_are_kept_once_and_in_order<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = item(&mut *archive, b"a", b"a");
    let events: Vec<_> = [Action::Restore, Action::Archive, Action::HoldSet]
        .map(|action| event(OperationId::generate(), action, Some(&item)))
        .into();
    archive.append_events(&events[..2]).expect("appends");
    archive.append_events(&events).expect("appends");
    archive.append_events(&[event(OperationId::generate(), Action::HealthCheck, None)]).expect("appends");
    let mut found = Vec::new();
    let mut visit = |event| {
        found.push(event);
        ControlFlow::Continue(())
    };
    archive.events(&item.tombstone, &mut visit).expect("reads");
    assert_eq!(found, events);
    let digests: Vec<_> = events.iter().map(|event| event.digest).chain([Sha256::ZERO]).collect();
    let known = archive.find_events(&digests).expect("looks");
    assert!(known.len() == 3 && !known.contains(&Sha256::ZERO));
}

pub(super) fn restoring_is_noted<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (op, item) = (OperationId::generate(), item(&mut *archive, b"a", b"a"));
    archive.begin(op, "here", std::slice::from_ref(&item)).expect("begins");
    let unknown = Tombstone::derive("x", b"x", &item.commit, &item.sha256);
    let events = [event(op, Action::Restore, Some(&item))];
    archive.mark_restored(&[item.tombstone, unknown], time(9), &events).expect("notes");
    let stored = archive.item(&item.tombstone).expect("looks").expect("is there");
    assert_eq!((stored.restored_at, stored.item), (Some(time(9)), item));
    assert_eq!(archive.counts().expect("counts").events, 1);
}

pub(super) fn counts_count<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    archive.ping().expect("answers");
    assert_eq!(archive.counts().expect("counts"), super::Counts::default());
    assert_eq!(archive.id(), engine.open().id());
    assert_ne!(archive.id(), E::create().open().id());
    let items =
        [item(&mut *archive, b"a", b"same"), item(&mut *archive, b"b", b"same"), item(&mut *archive, b"c", b"")];
    archive.begin(OperationId::generate(), "here", &items).expect("begins");
    let counts = archive.counts().expect("counts");
    assert_eq!((counts.items, counts.retrievable, counts.artifacts), (3, 3, 2));
    assert_eq!((counts.item_bytes, counts.artifact_bytes, counts.stored_bytes), (8, 4, 4));
}

pub(super) fn any_contents_come_back<E: Engine>() {
    use proptest::prelude::*;

    let content = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => (0..3_u64, 0..3_000_000_usize).prop_map(|(seed, length)| noise(seed, length)),
        1 => (any::<u8>(), 0..2_000_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    let engine = E::create();
    proptest!(config, |(contents in proptest::collection::vec(content, 0..12))| {
        let mut archive = engine.open();
        let stored = store(&mut *archive, &contents);
        prop_assert_eq!(stored.len(), contents.len());
        let mut reader = ContentReader::new(&mut *archive);
        for (content, stored) in contents.iter().zip(stored) {
            let mut bytes = Vec::new();
            reader.read(&stored.sha256, stored.size, &mut bytes).expect("reads");
            prop_assert!(bytes == *content);
        }
    });
}

/// Returns every change that an archive may be asked for, by name.
fn changes(item: &Item) -> Vec<(&'static str, Changing)> {
    let op = OperationId::generate();
    let [archived, other] = [event(op, Action::Archive, Some(item)), event(op, Action::Recover, None)];
    let (again, purge, sha256) = (item.clone(), governing::purge(item), item.sha256);
    let (tombstone, sealed, undone, restored) = (item.tombstone, other.clone(), other.clone(), other.clone());
    vec![
        ("check for a store", Box::new(|archive: &mut dyn Archive| archive.check_change(Change::Store))),
        ("check for a restore", Box::new(|archive: &mut dyn Archive| archive.check_change(Change::Restore))),
        ("put", Box::new(|archive: &mut dyn Archive| archive.put(&[], &[]).map(|_| ()))),
        (
            "begin",
            Box::new(move |archive: &mut dyn Archive| {
                archive.begin(op, "here", std::slice::from_ref(&again)).map(|_| ())
            }),
        ),
        ("seal", Box::new(move |archive: &mut dyn Archive| archive.seal(op, &[archived.clone(), sealed.clone()]))),
        ("undo", Box::new(move |archive: &mut dyn Archive| archive.undo(op, "here", &undone).map(|_| ()))),
        ("append", Box::new(move |archive: &mut dyn Archive| archive.append_events(std::slice::from_ref(&other)))),
        (
            "hold",
            Box::new(move |archive: &mut dyn Archive| {
                archive.set_holds(&[Hold {
                    tombstone,
                    id: Some(op),
                    name: None,
                    set_by: None,
                    reason: None,
                    set_at: time(1),
                }])
            }),
        ),
        ("release", Box::new(|archive: &mut dyn Archive| archive.release_holds(&[]))),
        ("approve", Box::new(|archive: &mut dyn Archive| archive.approve(&[], &[]))),
        (
            "begin a purge",
            Box::new(move |archive: &mut dyn Archive| archive.begin_purge(&purge, &mut |_| true).map(|_| ())),
        ),
        ("destroy", Box::new(move |archive: &mut dyn Archive| archive.destroy(&sha256).map(|_| ()))),
        ("end a purge", Box::new(move |archive: &mut dyn Archive| archive.end_purge(op, &[]))),
        (
            "restored",
            Box::new(move |archive: &mut dyn Archive| {
                archive.mark_restored(&[tombstone], time(9), std::slice::from_ref(&restored))
            }),
        ),
    ]
}

type Changing = Box<dyn Fn(&mut dyn Archive) -> Result<(), ArchiveError>>;

pub(super) fn a_superseded_archive_refuses_every_change<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = item(&mut *archive, b"a", b"content");
    let (op, by) = (OperationId::generate(), "0199f1a2-0000-4000-8000-000000000001");
    archive.begin(op, "here", std::slice::from_ref(&item)).expect("begins");

    for change in [Change::Store, Change::Restore, Change::Supersede] {
        archive.check_change(change).expect("takes changes");
    }
    // A last look that finds something leaves everything as it is.
    archive.supersede(by, &mut || None).expect("looks");
    assert_eq!(archive.superseded_by().expect("asks"), None);
    archive.append_events(&[event(op, Action::HealthCheck, None)]).expect("is in use");

    let moved = event(op, Action::Migrate, None);
    archive.supersede(by, &mut || Some(moved.clone())).expect("is superseded");
    archive.supersede(by, &mut || panic!("it has been done")).expect("may be repeated");
    let other = archive.supersede("0199f1a2-0000-4000-8000-000000000002", &mut || panic!("it has been done"));
    assert!(matches!(other, Err(ArchiveError::Superseded { .. })));
    let mut archive = engine.open();
    assert_eq!(archive.superseded_by().expect("asks").as_deref(), Some(by));
    assert!(archive.find_events(&[moved.digest]).expect("looks").contains(&moved.digest));
    let events = archive.counts().expect("counts").events;
    for (name, change) in changes(&item) {
        let refused = change(&mut *archive);
        assert!(matches!(refused, Err(ArchiveError::Superseded { by: other }) if other == by), "{name}");
    }
    // Not even bytes that nobody would use.
    let block = Block::encode(b"late", Sha256::of(b"late"), 3).expect("compresses");
    let refused = archive.put(std::slice::from_ref(&block), &[]);
    assert!(matches!(refused, Err(ArchiveError::Superseded { .. })));
    assert!(archive.find_blocks(&[block.raw_sha256]).expect("looks").is_empty());
    assert_eq!(archive.counts().expect("counts").events, events);
    assert_eq!(state(&mut *archive, &item), ItemState::Pending);
    assert_eq!(read(&mut *archive, &item.sha256, item.size).expect("reads"), b"content");
    assert!(matches!(archive.begin_copy("0199f1a2-0000-4000-8000-000000000002"), Err(ArchiveError::NotACopy { .. })));
}

pub(super) fn a_copy_is_changed_by_its_migration_alone<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (of, other) = ("0199f1a2-0000-4000-8000-000000000001", "0199f1a2-0000-4000-8000-000000000002");
    assert!(matches!(archive.take_in(of, &Batch::default()), Err(ArchiveError::NotACopy { .. })));
    archive.begin_copy(of).expect("is empty");
    archive.begin_copy(of).expect("may be repeated");
    for refused in [
        archive.begin_copy(other),
        archive.take_in(other, &Batch::default()),
        archive.complete_copy(other, &[]),
        archive.append_events(&[event(OperationId::generate(), Action::HealthCheck, None)]),
    ] {
        assert!(matches!(refused, Err(ArchiveError::NotACopy { .. } | ArchiveError::Superseded { .. })));
    }
    let moved = event(OperationId::generate(), Action::Migrate, None);
    archive.complete_copy(of, std::slice::from_ref(&moved)).expect("completes");
    archive.complete_copy(of, std::slice::from_ref(&moved)).expect("may be repeated");
    assert!(matches!(archive.take_in(of, &Batch::default()), Err(ArchiveError::NotACopy { .. })));
    // It is an archive like any other, and so it is nobody's copy any more.
    let item = item(&mut *archive, b"a", b"content");
    archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("is in use");
    assert!(matches!(archive.begin_copy(of), Err(ArchiveError::NotACopy { .. })));
}

/// What a program may do that opened an archive as one whose bytes are in its database, before `init` made it one that has
/// them in objects. It is `objects` that say so, which is not for every engine to do.
#[cfg(feature = "net")]
pub(super) fn bytes_are_refused_that_belong_elsewhere_by_now(archive: &mut dyn Archive, init: impl FnOnce()) {
    use crate::archive::{NewArtifact, ObjectsError, Segment};

    let content = b"late";
    let block = Block::encode(content, Sha256::of(content), 3).expect("compresses");
    let sha256 = block.raw_sha256;
    let segments = vec![Segment { block: sha256, offset: 0, length: 4 }];
    let artifact = NewArtifact { sha256, size: 4, segments, readmit: false };
    let elsewhere = |error| matches!(error, ArchiveError::Objects(ObjectsError::NotConfigured));
    archive.put(&[], &[]).expect("is in use");
    init();
    for artifacts in [&[][..], &[artifact]] {
        let refused = archive.put(std::slice::from_ref(&block), artifacts).expect_err("is refused");
        assert!(elsewhere(refused));
        assert!(archive.find_blocks(&[sha256]).expect("looks").is_empty());
    }
    let of = "0199f1a2-0000-4000-8000-000000000001";
    archive.begin_copy(of).expect("is empty");
    let batch = Batch { blocks: vec![block], ..Batch::default() };
    assert!(elsewhere(archive.take_in(of, &batch).expect_err("is refused")));
    assert!(archive.find_blocks(&[sha256]).expect("looks").is_empty());
}

pub(super) fn what_a_copy_takes_in_is_what_was_there<E: Engine>() {
    let (from, to) = (E::create(), E::create());
    let (mut source, mut target) = (from.open(), to.open());
    let op = OperationId::generate();
    let items: Vec<Item> = (0..300_u32)
        .map(|number| Item {
            legal_hold: number % 7 == 0,
            ..item(&mut *source, format!("{number}").as_bytes(), &number.to_le_bytes())
        })
        .collect();
    source.begin(op, "here", &items).expect("begins");
    let events: Vec<Event> = items.iter().take(280).map(|item| event(op, Action::Archive, Some(item))).collect();
    source.append_events(&events).expect("appends");

    let of = source.id().to_owned();
    target.begin_copy(&of).expect("is empty");
    // What is missing is said, and what comes before it is not taken in without it.
    let known = source.items_page(None).expect("reads");
    let early = target.take_in(&of, &Batch { items: known.clone(), ..Batch::default() });
    assert!(matches!(early, Err(ArchiveError::MissingArtifact { .. })), "{early:?}");
    let contents = source.contents_page(0).expect("reads");
    let segments = source.segments(&contents[0].sha256, 0).expect("reads");
    let early = target.take_in(&of, &Batch { contents: vec![(contents[0], segments)], ..Batch::default() });
    assert!(matches!(early, Err(ArchiveError::MissingBlock { .. })), "{early:?}");

    let mut last = 0;
    loop {
        let page = source.contents_page(last).expect("reads");
        let Some(end) = page.last() else { break };
        last = end.number;
        let mut batch = Batch::default();
        for content in page {
            let segments = source.segments(&content.sha256, 0).expect("reads");
            for segment in &segments {
                batch.blocks.push(source.block(&segment.block).expect("reads").expect("is there"));
            }
            batch.contents.push((content, segments));
        }
        target.take_in(&of, &batch).expect("takes in");
        target.take_in(&of, &batch).expect("may be repeated");
    }
    let mut last = None;
    loop {
        let items = source.items_page(last.as_ref()).expect("reads");
        let Some(end) = items.last() else { break };
        last = Some(end.stored.item.tombstone);
        let batch = Batch { items, ..Batch::default() };
        target.take_in(&of, &batch).expect("takes in");
        target.take_in(&of, &batch).expect("may be repeated");
        assert_eq!(target.items(&[end_of(&batch)]).expect("reads").len(), 1);
    }
    let page = source.events_page(0).expect("reads");
    let rest = source.events_page(page.last().expect("has events").0).expect("reads");
    assert_eq!((page.len() + rest.len()) as u64, source.counts().expect("counts").events);
    for events in [&page, &page, &rest] {
        let events = events.iter().map(|(_, event)| event.clone()).collect();
        target.take_in(&of, &Batch { events, ..Batch::default() }).expect("takes in");
    }
    let holds: Vec<_> = source.holds_page(0).expect("reads").into_iter().map(|(_, known)| known).collect();
    assert_eq!(holds.len(), 43);
    for _ in 0..2 {
        target.take_in(&of, &Batch { holds: holds.clone(), ..Batch::default() }).expect("takes in");
        assert!(target.holds_page(0).expect("reads").into_iter().map(|(_, known)| known).eq(holds.iter().cloned()));
    }
    let lines = |archive: &mut dyn Archive| {
        let mut sink = (Vec::new(), Vec::new());
        let facts = crate::export::facts(archive, &mut sink.0, &mut sink.1, &mut |_| Ok(())).expect("reads");
        (facts, sink)
    };
    assert_eq!(lines(&mut *source), lines(&mut *target));
    assert_eq!(source.counts().expect("counts"), target.counts().expect("counts"));
    assert_eq!(source.newest_event().expect("asks") > 0, target.newest_event().expect("asks") > 0);
}

fn end_of(batch: &Batch) -> Tombstone {
    batch.items.last().expect("is not empty").stored.item.tombstone
}
