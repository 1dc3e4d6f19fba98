//! What meets a purge on its way: a store of the same content, a hold, a new reference, a reader, another purge. Whoever is
//! first, there is one outcome, and everybody was told that one.
//!
//! `ARCHIVE_TOMB_HAMMER=1` lets them meet a few hundred times each, where the suite lets them meet a few times. How often who
//! was first is printed (`--no-capture`).

#![expect(clippy::print_stderr, reason = "whoever asks for the whole wants its figures")]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Duration;

use git_archive_tomb::archive::{AnyArchive, ArchiveError, ContentFacts, Hold, Purge, ReadError, StoreContentsError};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::id::{OperationId, Sha256};
use git_archive_tomb::item::Item;

use super::place::{Place, archive_items, event, item, read, segments, store};
use crate::common::World;
use crate::databases::Database;

/// Returns how many times the two meet.
fn rounds() -> u64 {
    if std::env::var_os("ARCHIVE_TOMB_HAMMER").is_some() { 200 } else { 6 }
}

/// Two programs on one archive.
struct Two {
    one: Box<AnyArchive>,
    other: Box<AnyArchive>,
    random: fastrand::Rng,
}

impl Two {
    fn at(place: &Place) -> Self {
        Self { one: place.open(), other: place.open(), random: fastrand::Rng::with_seed(7) }
    }

    /// Lets both go at once, or one of them a little later, and returns what came of each.
    fn meet<A: Send, B: Send>(
        &mut self,
        one: impl FnOnce(&mut AnyArchive) -> A + Send,
        other: impl FnOnce(&mut AnyArchive) -> B + Send,
    ) -> (A, B) {
        // The later one is late by about what the other takes.
        let late = [0, self.random.u64(..8_000)];
        let [early, late] = if self.random.bool() { late } else { [late[1], late[0]] };
        let start = Barrier::new(2);
        let (first, second) = (&mut *self.one, &mut *self.other);
        let go = |wait: u64| {
            start.wait();
            std::thread::sleep(Duration::from_micros(wait));
        };
        std::thread::scope(|scope| {
            let go = &go;
            let one = scope.spawn(move || {
                go(early);
                one(first)
            });
            go(late);
            let other = other(second);
            (one.join().unwrap(), other)
        })
    }
}

/// Runs `round` on an archive of every kind, many times, and prints how often which outcome came.
fn on_every_kind(name: &str, mut round: impl FnMut(&mut Two, u64) -> &'static str) {
    for place in Place::all() {
        on(&place, name, rounds(), &mut round);
    }
}

fn on(place: &Place, name: &str, rounds: u64, round: &mut dyn FnMut(&mut Two, u64) -> &'static str) {
    let mut two = Two::at(place);
    let mut outcomes = BTreeMap::<_, u32>::new();
    for number in 0..rounds {
        *outcomes.entry(round(&mut two, number)).or_default() += 1;
    }
    eprintln!("{place}: {name}: {outcomes:?}");
}

/// Returns the contents of round `number`: a few that lie in one block, and do not compress.
fn contents(number: u64) -> [Vec<u8>; 3] {
    let mut random = fastrand::Rng::with_seed(number);
    [1_000, 3_000, 2_000].map(|length| std::iter::repeat_with(|| random.u8(..)).take(length).collect())
}

/// Archives a content for each of `contents`, beside each other in one block.
fn archived(archive: &mut AnyArchive, number: u64, contents: &[Vec<u8>]) -> Vec<Item> {
    let views: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    store(archive, &views).unwrap();
    let items: Vec<Item> =
        contents.iter().enumerate().map(|(part, content)| item(&format!("src/{number}/{part}.py"), content)).collect();
    archive_items(archive, &items).unwrap();
    items
}

fn hold(item: &Item) -> Hold {
    Hold {
        tombstone: item.tombstone,
        id: Some(OperationId::generate()),
        name: Some("CASE-7".to_owned()),
        set_by: None,
        reason: None,
        set_at: Timestamp::now(),
    }
}

/// Returns whether nothing but `target` would be destroyed, and nobody holds it: what the rules ask of the archive.
fn is_free(facts: &ContentFacts, target: &Item) -> bool {
    facts.holds.is_empty() && facts.items.iter().all(|stored| stored.item.tombstone == target.tombstone)
}

/// Purges `target` if it is free, and returns whether it was.
fn purge(archive: &mut AnyArchive, target: &Item) -> Result<bool, ArchiveError> {
    let op = OperationId::generate();
    let purge = Purge {
        op,
        origin: "clone".to_owned(),
        tombstone: target.tombstone,
        sha256: target.sha256,
        request: OperationId::generate().to_string(),
        by: "Ada <ada@example.org>".to_owned(),
        second: "Grace <grace@example.org>".to_owned(),
        reason: "Contains PII".to_owned(),
        begun_at: Timestamp::now(),
    };
    if !archive.begin_purge(&purge, &mut |facts| is_free(facts, target))? {
        return Ok(false);
    }
    // A reader may be in the way for a moment; whoever gives up here is helped by `doctor --continue`.
    for _ in 0..1000 {
        match archive.destroy(&target.sha256) {
            Err(ArchiveError::InUse) => std::thread::sleep(Duration::from_millis(1)),
            done => {
                done?;
                archive.end_purge(op, &[event(op, Action::Purge, target)])?;
                return Ok(true);
            }
        }
    }
    Err(ArchiveError::InUse)
}

/// Asserts that a content is gone for everybody, with nothing half done.
#[track_caller]
fn assert_gone(archive: &mut AnyArchive, content: &[u8]) {
    let sha256 = Sha256::of(content);
    assert_eq!(segments(archive, content), []);
    assert!(archive.find_artifacts(&[sha256]).unwrap()[&sha256].purged_at.is_some());
    let facts = archive.content_facts(&sha256).unwrap().unwrap();
    assert!(facts.holds.is_empty(), "held and destroyed: {:?}", facts.holds);
    assert!(facts.items.iter().all(|stored| stored.purged_at.is_some()), "an item whose bytes are gone");
    assert!(is_purged(&read(archive, content).unwrap_err()));
    assert_eq!(archive.unfinished_purges().unwrap(), []);
}

/// Asserts that contents are whole.
#[track_caller]
fn assert_whole<'a>(archive: &mut AnyArchive, contents: impl IntoIterator<Item = &'a Vec<u8>>) {
    for content in contents {
        assert!(read(archive, content).unwrap() == *content);
    }
}

fn is_purged(error: &ReadError) -> bool {
    matches!(error, ReadError::Archive { source: ArchiveError::Purged { .. }, .. })
}

#[test]
fn a_store_of_the_same_content_is_refused_or_keeps_it() {
    on_every_kind("store of the same content", |two, number| {
        let contents = contents(number);
        let target = archived(&mut *two.one, number, &contents).swap_remove(0);
        let again = item(&format!("lib/{number}.py"), &contents[0]);
        let (purged, stored) = two.meet(
            |archive| purge(archive, &target).unwrap(),
            |archive| -> Result<(), StoreContentsError> {
                store(archive, &[&contents[0]])?;
                archive_items(archive, std::slice::from_ref(&again))?;
                Ok(())
            },
        );
        assert_whole(&mut *two.other, &contents[1..]);
        match stored {
            Ok(()) => {
                assert!(!purged, "stored and purged");
                assert_whole(&mut *two.one, &contents);
                "stored"
            }
            Err(error) => {
                assert!(purged, "{error:?}");
                assert_gone(&mut *two.other, &contents[0]);
                assert!(two.one.item(&again.tombstone).unwrap().is_none());
                "purged"
            }
        }
    });
}

#[test]
fn a_new_item_with_the_same_bytes_keeps_them_or_does_not_come_to_be() {
    on_every_kind("new reference", |two, number| {
        let contents = contents(number);
        let target = archived(&mut *two.one, number, &contents).swap_remove(0);
        let reference = item(&format!("lib/{number}.py"), &contents[0]);
        let (purged, begun) = two.meet(
            |archive| purge(archive, &target).unwrap(),
            |archive| archive_items(archive, std::slice::from_ref(&reference)),
        );
        assert_whole(&mut *two.one, &contents[1..]);
        match begun {
            Ok(()) => {
                assert!(!purged, "sealed, and its bytes are gone");
                assert_whole(&mut *two.one, &contents);
                "kept"
            }
            Err(ArchiveError::Purged { .. }) => {
                assert!(purged);
                assert_gone(&mut *two.one, &contents[0]);
                assert!(two.one.item(&reference.tombstone).unwrap().is_none());
                "purged"
            }
            Err(error) => panic!("{error:?}"),
        }
    });
}

#[test]
fn a_hold_keeps_the_bytes_or_is_refused() {
    on_every_kind("hold", |two, number| {
        let contents = contents(number);
        let target = archived(&mut *two.one, number, &contents).swap_remove(0);
        let (purged, held) =
            two.meet(|archive| purge(archive, &target).unwrap(), |archive| archive.set_holds(&[hold(&target)]));
        assert_whole(&mut *two.one, &contents[1..]);
        match held {
            Ok(()) => {
                assert!(!purged, "held and destroyed");
                assert_whole(&mut *two.one, &contents);
                "held"
            }
            Err(ArchiveError::Purged { .. }) => {
                assert!(purged);
                assert_gone(&mut *two.one, &contents[0]);
                "purged"
            }
            Err(error) => panic!("{error:?}"),
        }
    });
}

#[test]
fn a_neighbour_that_comes_under_a_hold_meanwhile_moves_whole() {
    on_every_kind("hold of a neighbour", |two, number| {
        let contents = contents(number);
        let items = archived(&mut *two.one, number, &contents);
        let holds = [hold(&items[1])];
        let (purged, held) =
            two.meet(|archive| purge(archive, &items[0]).unwrap(), |archive| archive.set_holds(&holds));
        held.unwrap();
        assert!(purged);
        assert_gone(&mut *two.other, &contents[0]);
        assert_whole(&mut *two.one, &contents[1..]);
        assert!(!purge(&mut *two.one, &items[1]).unwrap(), "it is held where it is now");
        assert_whole(&mut *two.other, &contents[1..]);
        "both"
    });
}

#[test]
fn a_reader_gets_all_the_bytes_or_hears_that_they_were_purged() {
    on_every_kind("reader", |two, number| {
        let contents = contents(number);
        let target = archived(&mut *two.one, number, &contents).swap_remove(0);
        let (purged, (complete, neighbours)) = two.meet(
            |archive| purge(archive, &target).unwrap(),
            |archive| {
                let mut complete = 0;
                loop {
                    // Neighbours are read while they move.
                    assert_whole(archive, &contents[1..]);
                    match read(archive, &contents[0]) {
                        Ok(bytes) => assert!(bytes == contents[0]),
                        Err(error) if is_purged(&error) => return (complete, read(archive, &contents[1]).is_ok()),
                        Err(error) => panic!("{error:?}"),
                    }
                    complete += 1;
                }
            },
        );
        assert!(purged && neighbours);
        assert_gone(&mut *two.other, &contents[0]);
        assert_whole(&mut *two.other, &contents[1..]);
        if complete == 0 { "purged at once" } else { "read before" }
    });
}

#[test]
fn neighbours_in_one_block_are_purged_by_two_at_once() {
    on_every_kind("purge of a neighbour", |two, number| {
        let contents = contents(number);
        let items = archived(&mut *two.one, number, &contents);
        let (one, other) =
            two.meet(|archive| purge(archive, &items[0]).unwrap(), |archive| purge(archive, &items[1]).unwrap());
        assert!(one && other);
        assert_gone(&mut *two.one, &contents[0]);
        assert_gone(&mut *two.other, &contents[1]);
        assert_whole(&mut *two.one, &contents[2..]);
        "both"
    });
}

/// A store writes blocks before anything refers to them, and a purge deletes blocks that nothing refers to.
#[test]
fn a_store_of_something_else_is_not_swept_away() {
    on_every_kind("store of something else", |two, number| {
        let contents = contents(number);
        let target = archived(&mut *two.one, number, &contents).swap_remove(0);
        let mut random = fastrand::Rng::with_seed(number + 1_000_000);
        let other: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(3_000_000).collect();
        let item = item(&format!("lib/{number}.bin"), &other);
        let (purged, stored) = two.meet(
            |archive| purge(archive, &target).unwrap(),
            |archive| -> Result<(), StoreContentsError> {
                store(archive, &[&other])?;
                archive_items(archive, std::slice::from_ref(&item))?;
                Ok(())
            },
        );
        assert!(purged);
        stored.unwrap();
        assert_gone(&mut *two.other, &contents[0]);
        assert_whole(&mut *two.one, contents[1..].iter().chain([&other]));
        "both"
    });
}

#[test]
fn of_two_requests_for_one_content_one_is_used() {
    on_every_kind("two purges", |two, number| {
        let contents = contents(number);
        let target = archived(&mut *two.one, number, &contents).swap_remove(0);
        let (one, other) = two.meet(|archive| purge(archive, &target), |archive| purge(archive, &target));
        assert_gone(&mut *two.one, &contents[0]);
        assert_whole(&mut *two.other, &contents[1..]);
        match (one, other) {
            (Ok(true), Err(ArchiveError::Purged { .. })) => "one",
            (Err(ArchiveError::Purged { .. }), Ok(true)) => "other",
            both => panic!("{both:?}"),
        }
    });
}

/// The program itself, from two clones: whoever is second is refused (exit 4), and neither leaves anything half done.
#[test]
fn two_programs_come_to_one_outcome() {
    let rounds = rounds() / 3;
    for kind in crate::databases::KINDS {
        let (world, database) = (World::new(), Database::new(*kind));
        let here = world.sample("here").with("CODEX_ARCHIVE_URL", database.url());
        here.tomb_ok(&["init", "--no-hooks"]);
        here.commit_all("init");
        let mut random = fastrand::Rng::with_seed(3);
        let mut outcomes = BTreeMap::<_, u32>::new();
        for round in 0..2 * rounds {
            let (path, same) = (format!("old-{round}.md"), format!("same-{round}.md"));
            here.write(&path, format!("secret {round}\n"));
            here.commit_all("add");
            here.tomb_ok(&["store", &path]);
            here.commit("store");
            here.tomb_ok(&["prune-request", &path, "--reason", "PII"]);
            here.commit("request");
            let there = world.at(&format!("there-{round}")).with("CODEX_ARCHIVE_URL", database.url());
            world.at(".").git(&["clone", "-q", "here", &format!("there-{round}")]);
            there.write(&same, format!("secret {round}\n"));
            there.commit_all("the same bytes");
            let (what, rival) = if round % 2 == 0 {
                ("store", vec!["store", &same])
            } else {
                ("hold", vec!["hold", "set", &path, "--reason", "Litigation"])
            };
            let purge = ["purge", &path, "--by", "Ada", "--second", "Grace", "--reason", "PII", "--apply"];
            let late = Duration::from_millis(random.u64(..60));
            let (done, purged) = std::thread::scope(|scope| {
                let purging = scope.spawn(|| here.tomb(&purge));
                std::thread::sleep(late);
                (there.tomb(&rival), purging.join().unwrap())
            });
            let outcome = match (purged.code, done.code) {
                (Some(0), Some(4)) => "purged",
                (Some(4), Some(0)) => "kept",
                _ => panic!("{kind:?}, {what}: {purged}\n{done}"),
            };
            *outcomes.entry((what, outcome)).or_default() += 1;
            let target = here.tombstone_at(&path);
            here.tomb(&["cat", &target]).exits(if outcome == "purged" { 4 } else { 0 });
            for clone in [&here, &there] {
                clone.tomb_ok(&["doctor"]);
            }
            here.git(&["reset", "-q", "--hard"]);
        }
        eprintln!("{kind:?}: two programs: {outcomes:?}");
    }
}

/// All of it on a bucket, a few times.
#[cfg(feature = "net")]
#[test]
fn in_a_bucket_a_store_is_refused_or_keeps_the_content() {
    let place = Place::with_bucket(crate::databases::Kind::Sqlite);
    on(&place, "store of the same content", rounds().min(20), &mut |two, number| {
        let contents = contents(number);
        let items = archived(&mut *two.one, number, &contents);
        let (purged, stored) = two.meet(
            |archive| purge(archive, &items[0]).unwrap(),
            |archive| {
                store(archive, &[&contents[0]]).map(|()| archive_items(archive, &[item("lib/again", &contents[0])]))
            },
        );
        assert_whole(&mut *two.one, &contents[1..]);
        if purged {
            assert!(!matches!(stored, Ok(Ok(()))));
            assert_gone(&mut *two.one, &contents[0]);
            "purged"
        } else {
            stored.unwrap().unwrap();
            assert_whole(&mut *two.one, &contents);
            "stored"
        }
    });
}
