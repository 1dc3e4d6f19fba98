//! Holds, approvals, and the destruction of bytes.

use super::{Engine, Memory, event, item, noise, read, store, time};
use crate::archive::{
    Approval, Archive, ArchiveError, BLOCK_SIZE, Batch, Block, ContentFacts, Event, Hold, NewArtifact, Purge, Purpose,
    ReadError, Segment, StoreContentsError, StoreContentsOptions, store_contents,
};
use crate::evidence::record::{Action, Record, Status};
use crate::id::{OperationId, Sha256, Tombstone};
use crate::item::{Item, RepoPath};

/// Archives `content` at `path`, under a hold where `held`.
pub(in crate::archive) fn archived(archive: &mut dyn Archive, path: &str, content: &[u8], held: bool) -> Item {
    archived_together(archive, &[(path, content.to_vec(), held)]).remove(0)
}

/// Archives contents at their paths in one operation, so that small ones share a block.
pub(in crate::archive) fn archived_together(archive: &mut dyn Archive, files: &[(&str, Vec<u8>, bool)]) -> Vec<Item> {
    let contents: Vec<Vec<u8>> = files.iter().map(|(_, content, _)| content.clone()).collect();
    store(archive, &contents);
    let items: Vec<Item> = files
        .iter()
        .map(|(path, content, held)| Item { legal_hold: *held, ..item(archive, path.as_bytes(), content) })
        .collect();
    let op = OperationId::generate();
    archive.begin(op, "here", &items).expect("begins");
    let events: Vec<Event> = items.iter().map(|item| event(op, Action::Archive, Some(item))).collect();
    archive.seal(op, &events).expect("seals");
    items
}

/// Returns a purge of the content of `item`.
pub(in crate::archive) fn purge(item: &Item) -> Purge {
    let op = OperationId::generate();
    Purge {
        op,
        origin: "here".to_owned(),
        tombstone: item.tombstone,
        sha256: item.sha256,
        request: format!("request of {op}"),
        by: "A".to_owned(),
        second: "B".to_owned(),
        reason: "why".to_owned(),
        begun_at: time(5_000),
    }
}

/// Purges the content of `item`, all the way.
pub(in crate::archive) fn purge_whole(archive: &mut dyn Archive, item: &Item) -> Purge {
    let purge = purge(item);
    assert!(archive.begin_purge(&purge, &mut |_| true).expect("begins"));
    archive.destroy(&item.sha256).expect("destroys");
    archive.end_purge(purge.op, &[event(purge.op, Action::Purge, Some(item))]).expect("ends");
    purge
}

fn hold(item: &Item, id: OperationId, name: Option<&str>) -> Hold {
    Hold {
        tombstone: item.tombstone,
        id: Some(id),
        name: name.map(str::to_owned),
        set_by: Some("A <a@example.org>".to_owned()),
        reason: Some("a case".to_owned()),
        set_at: time(3_000),
    }
}

fn release(item: &Item, hold: Option<OperationId>) -> Event {
    let mut record = Record::new(Action::HoldReleased, OperationId::generate(), time(4_000));
    record.tombstone = Some(item.tombstone);
    record.status = Some(Status::Done);
    record.request = hold.map(|id| id.to_string());
    Event::from_record(&record).expect("is short")
}

fn facts(archive: &mut dyn Archive, item: &Item) -> ContentFacts {
    archive.content_facts(&item.sha256).expect("asks").expect("is known")
}

fn is_held(archive: &mut dyn Archive, item: &Item) -> bool {
    archive.item(&item.tombstone).expect("looks").expect("is there").item.legal_hold
}

pub(in crate::archive) fn holds_are_set_and_released_one_by_one<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = archived(&mut *archive, "a", b"a", false);
    let (first, second) = (OperationId::generate(), OperationId::generate());
    let holds = [hold(&item, first, Some("CASE-1")), hold(&item, second, None)];
    for _ in 0..2 {
        archive.set_holds(&holds).expect("holds, also again");
        assert!(is_held(&mut *archive, &item));
    }
    assert_eq!(facts(&mut *archive, &item).holds, holds);
    let listed = archive.holds().expect("lists");
    assert!(listed.iter().map(|(hold, _)| hold).eq(&holds));
    assert!(listed.iter().all(|(_, stored)| stored.item.tombstone == item.tombstone && stored.item.legal_hold));

    // What names another hold, or none, releases nothing.
    let misses = [release(&item, Some(OperationId::generate())), release(&item, None)];
    archive.release_holds(&misses).expect("appends");
    assert_eq!(facts(&mut *archive, &item).holds, holds);
    let released = release(&item, Some(first));
    for _ in 0..2 {
        archive.release_holds(std::slice::from_ref(&released)).expect("releases, also again");
        assert_eq!(facts(&mut *archive, &item).holds, holds[1..]);
        assert!(is_held(&mut *archive, &item));
    }
    archive.set_holds(&holds).expect("is there");
    assert_eq!(facts(&mut *archive, &item).holds, holds[1..], "what was released stays released");
    archive.release_holds(&[release(&item, Some(second))]).expect("releases");
    assert!(facts(&mut *archive, &item).holds.is_empty() && !is_held(&mut *archive, &item));
    assert!(archive.holds().expect("lists").is_empty());
    assert_eq!(facts(&mut *archive, &item).events.len(), 4);

    let unknown = Tombstone::derive("x", b"x", &item.commit, &item.sha256);
    let refused = archive.set_holds(&[Hold { tombstone: unknown, ..holds[0].clone() }]);
    assert!(matches!(refused, Err(ArchiveError::NoSuchItem { .. })), "{refused:?}");
}

pub(in crate::archive) fn a_store_sets_a_hold_that_its_undoing_releases<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let free = item(&mut *archive, b"a", b"a");
    let held = Item { legal_hold: true, ..free.clone() };
    let (first, second, third) = (OperationId::generate(), OperationId::generate(), OperationId::generate());
    for _ in 0..2 {
        archive.begin(first, "here", std::slice::from_ref(&held)).expect("begins, also again");
    }
    let holds = facts(&mut *archive, &held).holds;
    assert_eq!((holds.len(), holds[0].id, holds[0].set_by.as_deref()), (1, Some(first), Some("A <a@example.org>")));
    let undone = event(first, Action::Recover, Some(&held));
    for _ in 0..2 {
        archive.undo(first, "here", &undone).expect("undoes, also again");
        assert_eq!(archive.content_facts(&held.sha256).expect("asks"), None);
        assert!(archive.holds().expect("lists").is_empty());
    }
    archive.begin(second, "here", std::slice::from_ref(&free)).expect("begins");
    assert!(!is_held(&mut *archive, &free));
    archive.begin(third, "there", std::slice::from_ref(&held)).expect("begins");
    assert_eq!(facts(&mut *archive, &held).holds[0].id, Some(third));
    archive.release_holds(&[release(&held, Some(third))]).expect("releases");
    assert!(!is_held(&mut *archive, &held));
}

pub(in crate::archive) fn approvals_are_noted_once_and_used_up_by_a_purge<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = archived(&mut *archive, "a", b"a", false);
    let approval = |purpose, request: Option<&str>, approver: &str| Approval {
        purpose,
        request: request.map(str::to_owned),
        approver: approver.to_owned(),
        approved_at: time(1_000),
        consumed_at: None,
    };
    let approvals = [
        approval(Purpose::Purge, Some("request"), "A"),
        approval(Purpose::Purge, Some("request"), "B"),
        approval(Purpose::Purge, Some("another"), "A"),
        approval(Purpose::Restore, None, "A"),
    ]
    .map(|approval| (item.tombstone, approval));
    let approved = event(OperationId::generate(), Action::DeleteApproved, Some(&item));
    for _ in 0..2 {
        archive.approve(&approvals, std::slice::from_ref(&approved)).expect("notes, also again");
    }
    let known = archive.items_page(None).expect("reads").remove(0).approvals;
    assert!(known.iter().eq(approvals.iter().map(|(_, approval)| approval)));
    let begun = {
        let purge = Purge { request: "request".to_owned(), ..purge(&item) };
        archive.begin_purge(&purge, &mut |facts| facts.events == std::slice::from_ref(&approved))
    };
    assert!(begun.expect("begins"));
    let known = archive.items_page(None).expect("reads").remove(0).approvals;
    let consumed: Vec<bool> = known.iter().map(|approval| approval.consumed_at == Some(time(5_000))).collect();
    assert_eq!(consumed, [true, true, false, false]);
    let unknown = Tombstone::derive("x", b"x", &item.commit, &item.sha256);
    let refused = archive.approve(&[(unknown, approvals[0].1.clone())], &[]);
    assert!(matches!(refused, Err(ArchiveError::NoSuchItem { .. })), "{refused:?}");
}

pub(in crate::archive) fn a_purge_begins_only_where_its_judge_agrees<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let content = b"the content".to_vec();
    let item = archived(&mut *archive, "a", &content, false);
    let other = archived(&mut *archive, "b", &content, true);
    let purge = purge(&item);
    let mut shown = None;
    let begun = archive.begin_purge(&purge, &mut |facts| {
        shown = Some(facts.clone());
        false
    });
    assert!(!begun.expect("asks"));
    let shown = shown.expect("was asked");
    assert_eq!(shown, facts(&mut *archive, &item));
    assert_eq!((shown.items.len(), shown.holds.len()), (2, 1));
    archive.begin_purge(&purge, &mut |_| true).expect_err("not even so: the database knows of the hold");
    assert!(
        archive.unfinished_purges().expect("asks").is_empty()
            && archive.purge_of(&item.sha256).expect("asks").is_none()
    );
    assert_eq!(read(&mut *archive, &item.sha256, item.size).expect("reads"), content);
    assert!(matches!(archive.destroy(&item.sha256), Err(ArchiveError::MissingArtifact { .. })));
    assert_eq!(read(&mut *archive, &item.sha256, item.size).expect("reads"), content);

    let hold = shown.holds[0].id;
    archive.release_holds(&[release(&other, hold)]).expect("releases");
    let wrong = Purge { sha256: Sha256::ZERO, ..purge.clone() };
    assert!(matches!(archive.begin_purge(&wrong, &mut |_| true), Err(ArchiveError::NoSuchItem { .. })));
    let unknown = Purge { tombstone: Tombstone::derive("x", b"x", &item.commit, &item.sha256), ..purge.clone() };
    assert!(matches!(archive.begin_purge(&unknown, &mut |_| true), Err(ArchiveError::NoSuchItem { .. })));
    assert!(archive.begin_purge(&purge, &mut |_| true).expect("begins"));
    assert!(archive.begin_purge(&purge, &mut |_| panic!("it has begun")).expect("has begun"));
    let second = Purge { op: OperationId::generate(), ..purge.clone() };
    assert!(matches!(archive.begin_purge(&second, &mut |_| true), Err(ArchiveError::Purged { .. })));

    // From here on it counts as purged for everybody.
    let mut archive = engine.open();
    for item in [&item, &other] {
        assert_eq!(archive.item(&item.tombstone).expect("looks").expect("stays").purged_at, Some(time(5_000)));
    }
    assert_eq!(archive.unfinished_purges().expect("asks"), std::slice::from_ref(&purge));
    assert_eq!(archive.purge_of(&item.sha256).expect("asks"), Some(purge));
    let refused = read(&mut *archive, &item.sha256, item.size).expect_err("is purged");
    assert!(matches!(refused, ReadError::Archive { source: ArchiveError::Purged { .. }, .. }), "{refused:?}");
    let refused = archive.set_holds(&[self::hold(&item, OperationId::generate(), None)]);
    assert!(matches!(refused, Err(ArchiveError::Purged { .. })), "{refused:?}");
    let refused = archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item));
    assert!(matches!(refused, Err(ArchiveError::Purged { .. })), "{refused:?}");
    for allow_purged in [false, true] {
        let options = StoreContentsOptions { allow_purged, ..StoreContentsOptions::default() };
        let refused = store_contents(&mut *archive, &Memory(vec![content.clone()]), options, &mut |_| ());
        assert!(matches!(refused, Err(StoreContentsError::Archive(ArchiveError::Purged { .. }))), "{refused:?}");
    }
    let counts = archive.counts().expect("counts");
    assert_eq!((counts.retrievable, counts.purged), (0, counts.items));
}

/// Returns the digests of the blocks that a content is made of.
fn blocks_of(archive: &mut dyn Archive, item: &Item) -> Vec<Sha256> {
    archive.segments(&item.sha256, 0).expect("reads").iter().map(|segment| segment.block).collect()
}

pub(in crate::archive) fn a_purge_takes_one_content_and_leaves_every_other<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let large = noise(1, 4 * BLOCK_SIZE);
    let mut version = large.clone();
    version.splice(1_000_000..1_000_000, *b"inserted");
    let files = [
        ("a", b"first ".repeat(100), false),
        ("b", b"held, before ".repeat(100), true),
        ("c", b"what is destroyed ".repeat(100), false),
        ("d", noise(2, 3_000), true),
        ("e", b"x".to_vec(), false),
        ("f", Vec::new(), false),
        ("g", noise(3, 2_000), false),
        ("h", large, false),
        ("i", version, false),
    ];
    let mut items = archived_together(&mut *archive, &files);
    // One at a time, each way of lying in blocks: among neighbours, alone, sharing pieces, without bytes.
    for (number, victim) in ["c", "h", "f", "e", "a", "g", "i"].into_iter().enumerate() {
        let position = items.iter().position(|item| item.path == RepoPath::try_new(victim).expect("is a path"));
        let victim = items.remove(position.expect("is left"));
        let before = blocks_of(&mut *archive, &victim);
        let purge = purge_whole(&mut *archive, &victim);
        assert!(archive.begin_purge(&purge, &mut |_| panic!("it has begun")).expect("has begun, and ended"));
        assert_eq!(archive.destroy(&victim.sha256).expect("does nothing"), super::super::Destroyed::default());
        assert!(archive.unfinished_purges().expect("asks").is_empty());
        let left: Vec<Sha256> = items.iter().flat_map(|item| blocks_of(&mut *archive, item)).collect();
        let there = archive.find_blocks(&before).expect("looks");
        assert!(there.keys().all(|block| left.contains(block)), "{number}");
        for item in &items {
            let (_, content, _) =
                files.iter().find(|(path, ..)| item.path.as_bytes() == path.as_bytes()).expect("is one");
            assert!(read(&mut *archive, &item.sha256, item.size).expect("reads") == *content, "{number} {}", item.path);
        }
        let counts = archive.counts().expect("counts");
        assert_eq!((counts.items, counts.retrievable), (9, items.len() as u64));
        assert_eq!(archive.item(&victim.tombstone).expect("looks").expect("stays").item, victim);
    }
    // Only what is held is left, where the database sees its bytes.
    assert_eq!(items.len(), 2);
    for item in &items {
        for block in blocks_of(&mut *archive, item) {
            let block = archive.block(&block).expect("reads").expect("is there");
            assert_eq!(block.stored_sha256, block.raw_sha256);
        }
    }
    let stored = archive.counts().expect("counts").stored_bytes;
    assert_eq!(stored, items.iter().map(|item| item.size).sum::<u64>(), "and nothing else");
}

/// Where a block with the bytes of what is held is there already, and does not show them.
pub(in crate::archive) fn what_is_held_moves_also_where_its_bytes_are_another_block<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let (held, gone) = (b"what is held ".repeat(50), b"what goes ".repeat(50));
    let files = [("a", held.clone(), true), ("b", gone, false)];
    let items = archived_together(&mut *archive, &files);
    // Another content is made of just this block, compressed.
    let block = Block::encode(&held, Sha256::of(&held), 3).expect("compresses");
    let content = [&held[..], &held[..]].concat();
    let length = u32::try_from(held.len()).expect("is short");
    let segment = Segment { block: block.raw_sha256, offset: 0, length };
    let (sha256, size) = (Sha256::of(&content), content.len() as u64);
    let artifact = NewArtifact { sha256, size, segments: vec![segment; 2], readmit: false };
    archive.put(&[block], &[artifact]).expect("stores");
    purge_whole(&mut *archive, &items[1]);
    assert_eq!(read(&mut *archive, &items[0].sha256, items[0].size).expect("reads"), held);
    assert_eq!(read(&mut *archive, &sha256, size).expect("reads"), content);
}

pub(in crate::archive) fn what_a_stopped_store_has_left_goes_with_a_purge<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let content = b"some content ".repeat(100);
    let left = [&b"before ".repeat(10), &content[..]].concat();
    let left = Block::encode(&left, Sha256::of(&left), 3).expect("compresses");
    archive.put(std::slice::from_ref(&left), &[]).expect("stores");
    let item = archived(&mut *archive, "a", &content, false);
    let other = archived(&mut *archive, "b", b"other", false);
    purge_whole(&mut *archive, &item);
    assert!(archive.find_blocks(&[left.raw_sha256]).expect("looks").is_empty());
    assert_eq!(read(&mut *archive, &other.sha256, other.size).expect("reads"), b"other");
    assert_eq!(archive.counts().expect("counts").stored_bytes, 5);
}

/// A store that began before a purge comes too late with its bytes.
pub(in crate::archive) fn what_a_store_brings_of_purged_content_does_not_stay<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let content = b"some content ".repeat(100);
    let item = archived(&mut *archive, "a", &content, false);
    assert!(archive.begin_purge(&purge(&item), &mut |_| true).expect("begins"));
    archive.destroy(&item.sha256).expect("destroys");
    let raw = [&b"before ".repeat(10), &content[..]].concat();
    let block = Block::encode(&raw, Sha256::of(&raw), 3).expect("compresses");
    let length = u32::try_from(content.len()).expect("is short");
    let segments = vec![Segment { block: block.raw_sha256, offset: 70, length }];
    let artifact = NewArtifact { sha256: item.sha256, size: item.size, segments, readmit: true };
    let refused = archive.put(std::slice::from_ref(&block), &[artifact]);
    assert!(matches!(refused, Err(ArchiveError::Purged { .. })), "{refused:?}");
    assert!(archive.find_blocks(&[block.raw_sha256]).expect("looks").is_empty());
    assert_eq!(archive.counts().expect("counts").stored_bytes, 0);
}

pub(in crate::archive) fn purged_content_comes_back_only_where_it_is_asked_for<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    for (number, content) in [b"small".to_vec(), Vec::new(), noise(7, 2 * BLOCK_SIZE + 5)].into_iter().enumerate() {
        let source = Memory(vec![content.clone(), content.clone()]);
        let item = archived(&mut *archive, &format!("{number}"), &content, false);
        let first = purge_whole(&mut *archive, &item);
        let refused = store_contents(&mut *archive, &source, StoreContentsOptions::default(), &mut |_| ());
        assert!(matches!(refused, Err(StoreContentsError::Archive(ArchiveError::Purged { .. }))), "{refused:?}");
        let options = StoreContentsOptions { allow_purged: true, ..StoreContentsOptions::default() };
        let stored = store_contents(&mut *archive, &source, options, &mut |_| ()).expect("stores");
        assert_eq!(stored.iter().map(|content| content.new).collect::<Vec<_>>(), [true, false]);
        assert!(read(&mut *archive, &item.sha256, item.size).expect("reads") == content);
        // With its content, the item does not come back by itself.
        let purged_at =
            |archive: &mut dyn Archive| archive.item(&item.tombstone).expect("looks").expect("stays").purged_at;
        assert_eq!(purged_at(&mut *archive), Some(time(5_000)));
        assert!(matches!(archive.begin_purge(&purge(&item), &mut |_| true), Err(ArchiveError::Purged { .. })));
        let op = OperationId::generate();
        archive.begin(op, "here", std::slice::from_ref(&item)).expect("begins");
        archive.seal(op, &[event(op, Action::Archive, Some(&item))]).expect("seals");
        assert_eq!(purged_at(&mut *archive), None);
        assert_eq!(archive.purge_of(&item.sha256).expect("asks").as_ref(), Some(&first));
        // And goes again, by another request.
        let replay = Purge { request: first.request.clone(), ..purge(&item) };
        let refused = archive.begin_purge(&replay, &mut |facts| facts.purges == std::slice::from_ref(&first));
        assert!(matches!(refused, Err(ArchiveError::RequestUsed { .. })), "{refused:?}");
        let second = purge_whole(&mut *archive, &item);
        assert_eq!(archive.purge_of(&item.sha256).expect("asks"), Some(second));
        assert!(read(&mut *archive, &item.sha256, item.size).is_err());
    }
    assert_eq!(archive.purges_page(0).expect("reads").len(), 6);
}

pub(in crate::archive) fn a_purge_is_ended_by_its_operation_however_late<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = archived(&mut *archive, "a", b"a", false);
    let nobodys = OperationId::generate();
    let refused = archive.end_purge(nobodys, &[]);
    assert!(matches!(refused, Err(ArchiveError::NoSuchPurge { op }) if op == nobodys), "{refused:?}");
    let first = purge_whole(&mut *archive, &item);
    let source = Memory(vec![b"a".to_vec()]);
    let options = StoreContentsOptions { allow_purged: true, ..StoreContentsOptions::default() };
    store_contents(&mut *archive, &source, options, &mut |_| ()).expect("stores");
    let op = OperationId::generate();
    archive.begin(op, "here", std::slice::from_ref(&item)).expect("begins");
    archive.seal(op, &[event(op, Action::Archive, Some(&item))]).expect("seals");
    let second = purge(&item);
    assert!(archive.begin_purge(&second, &mut |_| true).expect("begins"));
    // The clone that began the first comes to its end now; the second stays.
    archive.end_purge(first.op, &[event(first.op, Action::DeleteApproved, Some(&item))]).expect("appends");
    assert_eq!(archive.unfinished_purges().expect("asks"), std::slice::from_ref(&second));
    let ended = |archive: &mut dyn Archive, op| {
        archive.purge_by(op).expect("asks").map(|known| (known.purge, known.destroyed_at.is_some()))
    };
    assert_eq!(ended(&mut *archive, first.op), Some((first.clone(), true)));
    assert_eq!(ended(&mut *archive, second.op), Some((second.clone(), false)));
    assert_eq!(ended(&mut *archive, nobodys), None);
    let facts = facts(&mut *archive, &item);
    assert_eq!(facts.purges, [first, second]);
    let actions: Vec<Action> = facts.events.iter().map(|event| event.action).collect();
    assert_eq!(actions, [Action::Purge, Action::DeleteApproved]);
}

pub(in crate::archive) fn what_governs_is_read_in_its_order<E: Engine>() {
    let engine = E::create();
    let mut archive = engine.open();
    let item = archived(&mut *archive, "a", b"a", false);
    let mut expected = Vec::new();
    for number in 0..600_usize {
        let action = if number % 2 == 0 { Action::Restore } else { Action::GOVERNANCE[number % 7] };
        let event = event(OperationId::generate(), action, Some(&item));
        if action.is_governance() {
            expected.push(event.clone());
        }
        archive.append_events(&[event]).expect("appends");
    }
    let (mut found, mut last) = (Vec::new(), 0);
    loop {
        let page = archive.governance_page(last).expect("reads");
        let Some((end, _)) = page.last() else { break };
        last = *end;
        found.extend(page.into_iter().map(|(_, event)| event));
    }
    assert!(found == expected);
    assert!(facts(&mut *archive, &item).events == expected);
}

/// What changes in the source while it is copied: a hold is released, and a purged content comes back.
pub(in crate::archive) fn a_copy_follows_what_is_released_and_what_comes_back<E: Engine>() {
    let (from, to) = (E::create(), E::create());
    let (mut source, mut target) = (from.open(), to.open());
    let files = [("a", b"held".to_vec(), true), ("b", b"purged".to_vec(), false)];
    let items = archived_together(&mut *source, &files);
    let gone = purge_whole(&mut *source, &items[1]);
    let of = source.id().to_owned();
    target.begin_copy(&of).expect("is empty");
    let bring = |source: &mut dyn Archive, target: &mut dyn Archive, events: bool| {
        let mut batch = Batch::default();
        for content in source.contents_page(0).expect("reads") {
            let segments = source.segments(&content.sha256, 0).expect("reads");
            for segment in &segments {
                batch.blocks.push(source.block(&segment.block).expect("reads").expect("is there"));
            }
            batch.contents.push((content, segments));
        }
        batch.items = source.items_page(None).expect("reads");
        if events {
            batch.events = source.events_page(0).expect("reads").into_iter().map(|(_, event)| event).collect();
        }
        batch.holds = source.holds_page(0).expect("reads").into_iter().map(|(_, known)| known).collect();
        batch.purges = source.purges_page(0).expect("reads").into_iter().map(|(_, known)| known).collect();
        target.take_in(&of, &batch).expect("takes in");
    };
    bring(&mut *source, &mut *target, true);
    let open = |archive: &mut dyn Archive| facts(archive, &items[0]).holds.len();
    assert_eq!((open(&mut *target), target.purge_of(&items[1].sha256).expect("asks")), (1, Some(gone)));

    let id = facts(&mut *source, &items[0]).holds[0].id;
    source.release_holds(&[release(&items[0], id)]).expect("releases");
    let options = StoreContentsOptions { allow_purged: true, ..StoreContentsOptions::default() };
    store_contents(&mut *source, &Memory(vec![files[1].1.clone()]), options, &mut |_| ()).expect("stores");
    let op = OperationId::generate();
    source.begin(op, "here", std::slice::from_ref(&items[1])).expect("begins");
    source.seal(op, &[event(op, Action::Archive, Some(&items[1]))]).expect("seals");
    // Not without the event that says so.
    bring(&mut *source, &mut *target, false);
    assert_eq!(open(&mut *target), 1);
    bring(&mut *source, &mut *target, true);
    assert_eq!(open(&mut *target), 0);
    assert!(!is_held(&mut *target, &items[0]));
    assert_eq!(read(&mut *target, &items[1].sha256, items[1].size).expect("reads"), files[1].1);
    for archive in [&mut source, &mut target] {
        assert_eq!(archive.item(&items[1].tombstone).expect("looks").expect("stays").purged_at, None);
    }
    let rows = |archive: &mut dyn Archive| {
        let holds: Vec<_> = archive.holds_page(0).expect("reads").into_iter().map(|(_, known)| known).collect();
        let ended: Vec<_> = archive.purges_page(0).expect("reads").into_iter().map(|(_, known)| known).collect();
        (holds, ended)
    };
    assert_eq!(rows(&mut *source), rows(&mut *target));
}
