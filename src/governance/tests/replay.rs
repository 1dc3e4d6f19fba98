//! What is validly signed, presented for something else.

use crate::governance::Verdicts;

use super::signatures::{Keys, signed_by};
use super::*;

/// A request and what Ada and Bob signed for it, all of it good.
struct Signed {
    keys: Keys,
    verdicts: Verdicts,
    key: RequestKey,
    request: Record,
    ada: Record,
    bob: Record,
}

impl Signed {
    fn new() -> Self {
        let keys = Keys::new();
        let signers = keys.allow(&[("ada@x", "", "ada"), ("bob@x", "", "bob")]);
        let (key, records) = request(1, &[subject("src/a.py")]);
        let request = signed_by(&keys, &signers, "ada", &records[0]);
        let ada = signed_by(&keys, &signers, "ada", &approval(2, &key, "Ada <ada@x>", days(-3)));
        let bob = signed_by(&keys, &signers, "bob", &approval(3, &key, "Bob <bob@x>", days(-2)));
        Self { verdicts: Verdicts::new(Some(signers)), keys, key, request, ada, bob }
    }

    fn by(&self, name: &str, record: &Record) -> Record {
        let signers = self.keys.allow(&[("ada@x", "", "ada"), ("bob@x", "", "bob")]);
        signed_by(&self.keys, &signers, name, record)
    }

    /// Returns what is in the way where the archive has these records.
    fn names(&self, records: &[&Record], evidence_of: &[&Record]) -> Vec<&'static str> {
        let mut world = World::new();
        world.policy.signed = true;
        for record in records {
            world.event(record);
        }
        world.evidence.extend(evidence_of.iter().map(|record| evidence(record)));
        let obstacles = world.judge_with(&self.verdicts).err().unwrap_or_default();
        obstacles.iter().map(Obstacle::name).collect()
    }
}

#[test]
fn an_approval_cannot_be_moved() {
    let signed = Signed::new();
    let none: [&str; 0] = [];
    assert_eq!(signed.names(&[&signed.request, &signed.ada, &signed.bob], &[]), none);
    assert_eq!(signed.names(&[&signed.request, &signed.ada], &[&signed.bob]), none);
    let item = subject("src/a.py");
    // Signed for something else, and presented as it is.
    let (other_key, _) = request(9, std::slice::from_ref(&item));
    let elsewhere = RequestKey { archive: OTHER_ARCHIVE.to_owned(), ..signed.key.clone() };
    let longer =
        RequestKey { items: record::list([item.tombstone, subject("src/b.py").tombstone]), ..signed.key.clone() };
    let facts = acts(3, "Bob <bob@x>", days(-2));
    let mut other_content = subject("src/a.py");
    other_content.sha256 = Sha256::of(b"other");
    let consent = |key: &RequestKey, item: &Subject| record::purge_approval(&facts, "Bob <bob@x>", key, item, None);
    for bad in [
        consent(&other_key, &item),
        consent(&elsewhere, &item),
        consent(&longer, &item),
        consent(&signed.key, &subject("src/b.py")),
        consent(&signed.key, &other_content),
        record::restore_approval(&facts, Some(ARCHIVE), &item, None),
        record::withdrawal(&acts(3, "Bob <bob@x>", days(-2)), &other_key, &item, None),
        Record { ts: days(-6), ..consent(&signed.key, &item) },
        Record { ts: days(1), ..consent(&signed.key, &item) },
    ] {
        let bad = signed.by("bob", &bad);
        assert_eq!(signed.names(&[&signed.request, &signed.ada, &bad], &[&bad]), ["approvals"], "{bad:?}");
        // Changed to what it should be, it is not signed by anybody.
        let moved = Record { signature: bad.signature.clone(), ..signed.bob.clone() };
        assert_eq!(signed.names(&[&signed.request, &signed.ada, &moved], &[&moved]), ["approvals"]);
    }
    // One person's twice, in other files and with other times.
    let again = signed.by("ada", &approval(5, &signed.key, "ada@x", days(-1)));
    assert_eq!(signed.names(&[&signed.request, &signed.ada, &again], &[&signed.ada]), ["approvals"]);
}

#[test]
fn a_request_cannot_be_moved_extended_or_used_again() {
    let signed = Signed::new();
    let approvals = [&signed.ada, &signed.bob];
    // The list is extended after the approval.
    let mut extended = signed.request.clone();
    let items = [subject("src/a.py").tombstone, subject("src/b.py").tombstone];
    extended.metadata.insert(record::ITEMS.to_owned(), record::list(items));
    assert_eq!(signed.names(&[&extended, approvals[0], approvals[1]], &[]), ["request-void", "approvals"]);
    // Even by whoever made it, the approvals are for the list that they name; and two requests of one id are none.
    let resigned = signed.by("ada", &Record { signature: None, ..extended });
    assert_eq!(signed.names(&[&resigned, approvals[0], approvals[1]], &[]), ["approvals", "request-void"]);
    assert_eq!(signed.names(&[&signed.request, &resigned, approvals[0], approvals[1]], &[])[0], "request-void");
    // Whoever cannot sign contradicts nobody.
    let unsigned = Record { signature: None, ..resigned };
    let none: [&str; 0] = [];
    assert_eq!(signed.names(&[&signed.request, &unsigned, approvals[0], approvals[1]], &[]), none);
    // After the purge, the content came back: neither request nor approvals open the way again.
    let purge = record::purge(&acts(8, "ada@x", days(-1)), &signed.key, &subject("src/a.py"), "ada@x", "bob@x", "PII");
    assert_eq!(signed.names(&[&signed.request, approvals[0], approvals[1], &purge], &[])[0], "request-void");
    assert_eq!(signed.names(&[&signed.request, approvals[0], approvals[1]], &[&purge])[0], "request-void");
    let (_, again) = request(9, &[subject("src/a.py")]);
    let again = signed.by("ada", &again[0]);
    assert_eq!(signed.names(&[&again, approvals[0], approvals[1], &purge], &[]), ["approvals"]);
    // An archive that was copied has an id of its own.
    let mut world = World::new();
    world.policy.signed = true;
    world.event(&signed.request).event(approvals[0]).event(approvals[1]);
    let copy = Judge { policy: world.policy, verifier: &signed.verdicts, archive: Some(OTHER_ARCHIVE), now: days(0) };
    let question = PurgeQuestion {
        target: subject("src/a.py").tombstone,
        facts: &world.facts,
        evidence: &[],
        unreadable: &[],
        proposed: &[],
        early: false,
        all_references: false,
    };
    let obstacles = judge_purge(&copy, &question).expect("judges").expect_err("is refused");
    assert!(obstacles[0].to_string().ends_with("is for another archive"), "{}", obstacles[0]);
}

#[test]
fn a_release_is_for_one_hold() {
    let signed = Signed::new();
    let base = [&signed.request, &signed.ada, &signed.bob];
    let item = subject("src/a.py");
    let set = |number, at| {
        record::hold_set(&acts(number, "Cy <cy@x>", at), Some(ARCHIVE), &item, Some("CASE-7"), "litigation")
    };
    let release = |number, of, item: &Subject, at| {
        let facts = acts(number, "Bob <bob@x>", at);
        let released = record::hold_released(&facts, Some(ARCHIVE), item, Some(of), Some("CASE-7"), "settled");
        signed.by("bob", &released)
    };
    let first = set(20, days(-20));
    let released = release(21, op(20), &item, days(-19));
    let none: [&str; 0] = [];
    let with = |more: &[&Record]| signed.names(&[&base[..], more].concat(), more);
    assert_eq!(with(&[&first, &released]), none);
    // Set again with the same name, the old release does not count, in whatever order they come.
    let again = set(22, days(-10));
    assert_eq!(with(&[&first, &released, &again]), ["hold"]);
    assert_eq!(with(&[&again, &released, &first]), ["hold"]);
    // Nor when it is said to be a later one.
    let replayed = Record { ts: days(-1), request: Some(op(22).to_string()), ..released.clone() };
    assert_eq!(with(&[&first, &released, &again, &replayed]), ["hold"]);
    let other_item = release(23, op(22), &subject("src/b.py"), days(-1));
    assert_eq!(with(&[&first, &released, &again, &other_item])[0], "hold");
    let future = release(24, op(22), &item, days(1));
    assert_eq!(with(&[&first, &released, &again, &future]), ["hold"]);
    let good = release(25, op(22), &item, days(-1));
    assert_eq!(with(&[&first, &released, &again, &good]), none);
}
