//! The rules one by one, with what people are told.

use crate::governance::ledger::Ledger;
use crate::governance::rules::{RestoreQuestion, judge_approval, judge_restore, open_holds, open_request};

use super::*;

/// Returns a world with an open request that two persons approved.
fn granted() -> (World, RequestKey) {
    let mut world = World::new();
    let (key, records) = request(1, &[subject("src/a.py")]);
    world.event(&records[0]);
    world.event(&approval(2, &key, "Ada <ada@x>", days(-4)));
    world.event(&approval(3, &key, "Bob <bob@x>", days(-3)));
    (world, key)
}

#[test]
fn a_name_beside_an_address_that_goes_by_it_is_nobody_more() {
    let (key, records) = request(1, &[subject("src/a.py")]);
    let mut world = World::new();
    world.event(&records[0]).event(&approval(2, &key, "Ada <ada@x>", days(-3)));
    world.event(&approval(3, &key, "Countess <ada@x>", days(-2))).event(&approval(4, &key, "countess", days(-1)));
    assert_eq!(world.names(), ["approvals"]);
    world.event(&approval(5, &key, "Bob", days(-1)));
    assert!(world.judge().is_ok());
}

fn judge(policy: Policy) -> Judge<'static> {
    Judge { policy, verifier: &Claims, archive: Some(ARCHIVE), now: days(0) }
}

fn hold(name: Option<&str>, at: Timestamp, item: &Subject) -> Record {
    record::hold_set(&acts(20, "Ada <ada@x>", at), Some(ARCHIVE), item, name, "litigation")
}

fn row(record: &Record) -> Hold {
    Hold {
        tombstone: record.tombstone.expect("names an item"),
        id: Some(record.op),
        name: record.name.clone(),
        set_by: record.actor.clone(),
        reason: record.reason.clone(),
        set_at: record.ts,
    }
}

fn release(of: &Record, at: Timestamp) -> Record {
    let item = Subject::of(of).expect("names an item");
    record::hold_released(
        &acts(21, "Bob <bob@x>", at),
        Some(ARCHIVE),
        &item,
        Some(of.op),
        of.name.as_deref(),
        "settled",
    )
}

#[test]
fn two_approvals_of_an_open_request_open_the_way() {
    let (world, key) = granted();
    let grant = world.judge().expect("is granted");
    assert_eq!((grant.by.as_str(), grant.second.as_str()), ("Ada <ada@x>", "Bob <bob@x>"));
    assert_eq!((grant.request, grant.fresh, grant.items), (key, Vec::new(), vec![subject("src/a.py")]));
}

#[test]
fn nothing_at_all_is_not_enough() {
    insta::assert_snapshot!(World::new().told(), @"
    nobody requested it
    0 of 2 approvals
    ");
}

#[test]
fn everything_in_the_way_is_told_at_once() {
    let mut world = World::new();
    let (key, records) = request(1, &[subject("src/a.py")]);
    world.event(&records[0]).event(&approval(2, &key, "Ada <ada@x>", days(-4)));
    world.event(&approval(3, &key, "ADA", days(-3))).event(&approval(4, &key, "Bob", days(-31)));
    world.facts.items.push(stored(&subject("docs/é\n.md")));
    world.facts.items[0].item.delete_after = Some("2027-01-31".parse().expect("is a date"));
    let set = hold(Some("CASE-7"), days(-20), &subject("docs/é\n.md"));
    world.event(&set).hold_row(row(&set)).evidence.push(evidence(&set));
    world.hold_row(Hold { id: None, name: None, set_by: None, reason: None, ..row(&set) });
    insta::assert_snapshot!(world.told(), @r#"
    1 of 2 approvals, by `Ada <ada@x>`; that by `Bob` of 2026-10-01 does not count: it is older than the request
    legal hold of 2026-10-12 on `"docs/é\n.md"`, in the archive
    legal hold `CASE-7` of 2026-10-12 by `Ada <ada@x>` on `"docs/é\n.md"`, in the archive and in evidence `.codex/evidence/ops/2026/10/20261012T120856Z-hold-set-bab3a9683636c53e.jsonl` (litigation)
    `src/a.py` is to be kept until 2027-01-31
    `"docs/é\n.md"` (cf59b91a-20ca-584e-a18d-0ba5957c70c9) has the same bytes and is not named by the request
    `"docs/é\n.md"` (cf59b91a-20ca-584e-a18d-0ba5957c70c9) has the same bytes
    "#);
}

#[test]
fn proposals_are_voices_of_their_own() {
    let (key, records) = request(1, &[subject("src/a.py")]);
    let mut world = World::new();
    world.event(&records[0]).proposed = vec!["primary-approver", "secondary-approver"];
    let grant = world.judge().expect("is granted");
    assert_eq!(grant.fresh, ["primary-approver", "secondary-approver"]);
    for (proposed, fresh) in [
        (vec!["Cy", "Di"], Some(vec!["Cy", "Di"])),
        (vec!["Cy"], Some(vec!["Cy"])),
        (vec!["bob"], None),
        (vec!["Bob <b@x>"], None),
        (vec!["Cy", "Bob"], Some(vec!["Cy"])),
        (vec!["Cy", "CY"], Some(vec!["Cy"])),
        (vec![""], None),
        (vec![], None),
    ] {
        let mut world = world.clone();
        world.event(&approval(2, &key, "Bob", days(-1))).proposed.clone_from(&proposed);
        let fresh = fresh.map(|fresh| fresh.into_iter().map(str::to_owned).collect());
        assert_eq!(world.judge().ok().map(|grant: Grant| grant.fresh), fresh, "{proposed:?}");
    }
}

#[test]
fn whoever_requests_may_be_kept_from_approving() {
    let (mut world, key) = granted();
    world.policy.requester_may_approve = false;
    insta::assert_snapshot!(world.told(), @"1 of 2 approvals, by `Bob <bob@x>`; that by `Ada <ada@x>` of 2026-10-28 does not count: whoever requests may not approve here");
    world.proposed = vec!["ada@X", "Ada"];
    assert_eq!(world.names(), ["approvals"]);
    world.event(&approval(4, &key, "Cy", days(0)));
    assert!(world.judge().is_ok());
}

#[test]
fn a_request_stands_until_something_ends_it() {
    let ended = |change: &dyn Fn(&mut World, &RequestKey)| {
        let (mut world, key) = granted();
        change(&mut world, &key);
        world.told()
    };
    let item = subject("src/a.py");
    let withdrawal = |key: &RequestKey| record::withdrawal(&acts(9, "Eve", days(-1)), key, &item, None);
    insta::assert_snapshot!(ended(&|world, key| world.evidence.push(evidence(&withdrawal(key)))), @"
    request `0f0f6f6c-52a5-4b52-8f5a-000000000001` by `Ada <ada@x>` of 2026-10-27 was withdrawn on 2026-10-31
    0 of 2 approvals
    ");
    let purge = |key: &RequestKey| record::purge(&acts(9, "Ada", days(-1)), key, &item, "Ada", "Bob", "PII");
    insta::assert_snapshot!(ended(&|world, key| { world.event(&purge(key)); }), @"
    request `0f0f6f6c-52a5-4b52-8f5a-000000000001` by `Ada <ada@x>` of 2026-10-27 was used by the purge of 2026-10-31
    0 of 2 approvals
    ");
    insta::assert_snapshot!(ended(&|world, _| world.policy.request_ttl = Duration::from_hours(5 * 24 - 1)), @"
    request `0f0f6f6c-52a5-4b52-8f5a-000000000001` by `Ada <ada@x>` of 2026-10-27 has expired
    0 of 2 approvals
    ");
    let twin = |key: &RequestKey| record::prune_request(&acts(9, "Eve", days(-5)), key, &item, &[], "other")[0].clone();
    insta::assert_snapshot!(ended(&|world, key| { world.event(&twin(key)); }), @"
    request `0f0f6f6c-52a5-4b52-8f5a-000000000001` by `Eve` of 2026-10-27 is made twice, and each time otherwise
    0 of 2 approvals
    ");
    assert_eq!(ended(&|world, key| world.evidence.push(evidence(&twin(key)))), "");
    assert_eq!(ended(&|world, _| world.policy.request_ttl = Duration::from_hours(5 * 24)), "");
    let failed = |key: &RequestKey| Record { status: Some(crate::evidence::record::Status::Failed), ..purge(key) };
    assert_eq!(
        ended(&|world, key| {
            world.event(&failed(key));
        }),
        ""
    );
}

#[test]
fn a_purge_uses_its_request_up_before_its_record_is_made() {
    let (mut world, key) = granted();
    world.facts.purges.push(purge_row(&key, &subject("src/a.py")));
    insta::assert_snapshot!(world.told(), @"
    request `0f0f6f6c-52a5-4b52-8f5a-000000000001` by `Ada <ada@x>` of 2026-10-27 was used by the purge of 2026-10-31
    0 of 2 approvals
    ");
    world.facts.items[0].purged_at = Some(days(-1));
    insta::assert_snapshot!(world.told(), @"the bytes were destroyed on 2026-10-31, approved by `Ada <ada@x>` and `Bob` (PII)");
    // A purge of another request is none of this one.
    world.facts.items[0].purged_at = None;
    world.facts.purges[0].request.push('x');
    assert_eq!(world.told(), "");
}

#[test]
fn where_one_is_signed_all_are_whatever_the_settings_say() {
    let (key, records) = request(1, &[subject("src/a.py")]);
    let [ada, bob] = [("Ada <ada@x>", 2), ("Bob <bob@x>", 3)].map(|(by, number)| approval(number, &key, by, days(-1)));
    let signed =
        [claimed(&records[0], "signed cy@x k3"), claimed(&ada, "signed ada@x k1"), claimed(&bob, "signed bob@x k2")];
    let plain = [records[0].clone(), ada, bob];
    for chosen in 0..8 {
        let mut world = World::new();
        for number in 0..3 {
            world.event(if chosen >> number & 1 == 1 { &signed[number] } else { &plain[number] });
        }
        assert_eq!(world.names().is_empty(), chosen == 0 || chosen == 7, "{chosen:b} {}", world.told());
    }
    // Who says to approve has no voice but a signed one, and a release is signed like the rest.
    let mut world = World::new();
    world.event(&signed[0]).event(&signed[1]);
    world.proposed = vec!["Ada <ada@x>", "Bob <bob@x>"];
    assert_eq!(world.names(), ["not-approved", "approvals"]);
    world.event(&signed[2]);
    assert!(world.judge().is_ok());
    let item = subject("src/a.py");
    let set = record::hold_set(&acts(20, "Cy", days(-9)), Some(ARCHIVE), &item, None, "x");
    let release = record::hold_released(&acts(21, "Cy", days(-8)), Some(ARCHIVE), &item, Some(op(20)), None, "x");
    world.event(&set).event(&release);
    assert_eq!(world.names(), ["hold"]);
    // Nor is it approved otherwise.
    let judge = Judge { policy: POLICY, verifier: &Claims, archive: Some(ARCHIVE), now: days(0) };
    let mut world = World::new();
    world.event(&signed[0]);
    let ledger = Ledger::of(&world.facts, &[]);
    let refused = judge_approval(&judge, &ledger, &item.tombstone, "Bob <bob@x>").expect("judges");
    insta::assert_snapshot!(refused.expect_err("is refused")[0], @"0 of 2 approvals; that by `Bob <bob@x>` does not count: what belongs to this request is signed, so this has to be, too");
    let policy = Policy { signed: true, ..POLICY };
    assert!(
        judge_approval(&Judge { policy, ..judge }, &ledger, &item.tombstone, "Bob <bob@x>").expect("judges").is_ok()
    );
}

#[test]
fn a_request_is_the_archives_own() {
    let (mut world, key) = granted();
    let told = Told::of_event(&world.facts.events.remove(0)).expect("is a request");
    world.evidence.push(evidence(&told.record));
    assert!(world.told().contains("is not in the archive"), "{}", world.told());
    let mut signed = world.clone();
    signed.policy.signed = true;
    signed.evidence = vec![evidence(&claimed(&told.record, "signed ada@x k1"))];
    assert!(signed.told().contains("2026-10-27 is not in the archive"), "{}", signed.told());
    let mut moved = told.record.clone();
    moved.metadata.insert(record::ARCHIVE.to_owned(), OTHER_ARCHIVE.to_owned());
    world.evidence.clear();
    world.event(&moved);
    assert!(world.told().contains("is for another archive"), "{}", world.told());
    world.facts.events.pop();
    // The oldest that stands is the one.
    world.event(&told.record);
    let (_, later) = request(7, &[subject("src/a.py")]);
    world.event(&Record { ts: days(-1), ..later[0].clone() });
    assert_eq!(world.judge().expect("is granted").request, key);
}

#[test]
fn what_shares_the_bytes_is_named_by_the_request_and_the_command() {
    let [a, b, c] = ["src/a.py", "src/b.py", "src/c.py"].map(subject);
    let (key, records) = request(1, &[a.clone(), b.clone()]);
    let mut world = World::new();
    for record in &records {
        world.event(record);
    }
    world.event(&approval(2, &key, "Ada", days(-4))).event(&approval(3, &key, "Bob", days(-3)));
    // An item that is gone is no item that is not named.
    world.all_references = true;
    assert!(world.judge().is_ok());
    world.facts.items.push(StoredItem { state: ItemState::Pending, ..stored(&b) });
    assert_eq!(world.judge().expect("is granted").items, [a.clone(), b.clone()]);
    world.all_references = false;
    assert_eq!(world.names(), ["shared"]);
    world.all_references = true;
    world.facts.items.push(stored(&c));
    assert_eq!(world.names(), ["unnamed"]);
    // Somebody who names one more changes the list, and then no name counts.
    world.event(&Record {
        op: op(9),
        ..record::prune_request(&acts(9, "Eve", days(-5)), &key, &a, std::slice::from_ref(&c), "x")[1].clone()
    });
    assert_eq!(world.names(), ["unnamed", "unnamed"]);
    // One whose bytes went before has none to lose.
    world.facts.items[2].purged_at = Some(days(-50));
    assert_eq!(world.judge().expect("is granted").items, [a, b]);
}

#[test]
fn a_purged_item_is_not_purged_again() {
    let (mut world, key) = granted();
    world.facts.items[0].purged_at = Some(days(-1));
    insta::assert_snapshot!(world.told(), @"the bytes were destroyed on 2026-10-31");
    world.event(&record::purge(&acts(9, "Ada", days(-1)), &key, &subject("src/a.py"), "Ada", "Bob", "Contains\nPII"));
    insta::assert_snapshot!(world.told(), @r"the bytes were destroyed on 2026-10-31, approved by `Ada` and `Bob` (Contains\nPII)");
}

#[test]
fn a_hold_is_released_where_it_stands() {
    let item = subject("src/a.py");
    let set = hold(None, days(-20), &item);
    let release = release(&set, days(-2));
    let early = Record { ts: days(1), ..release.clone() };
    let open = |rows: &[&Record], events: &[&Record], files: &[&Record], policy: Policy| {
        let (mut world, _) = granted();
        for record in rows {
            world.hold_row(row(record));
        }
        for record in events {
            world.event(record);
        }
        world.evidence.extend(files.iter().map(|record| evidence(record)));
        let open = open_holds(&judge(policy), &Ledger::of(&world.facts, &world.evidence)).expect("judges");
        assert!(open.len() <= 1);
        open.first().map(|hold| (hold.in_archive, hold.evidence.is_some()))
    };
    for (rows, events, files, expected) in [
        (vec![&set], vec![], vec![], Some((true, false))),
        (vec![&set], vec![&set], vec![&set], Some((true, true))),
        (vec![], vec![&set, &release], vec![&set, &release], None),
        (vec![], vec![&set, &release], vec![&set], Some((false, true))),
        (vec![&set], vec![&set], vec![&set, &release], Some((true, false))),
        // An open row is open, whatever events say.
        (vec![&set], vec![&set, &release], vec![], Some((true, false))),
        (vec![], vec![], vec![&release], None),
        (vec![], vec![&set, &early], vec![&set, &early], Some((true, true))),
        (vec![], vec![&release], vec![], None),
    ] {
        assert_eq!(open(&rows, &events, &files, POLICY), expected);
    }
    // Where everything has to be signed, a hold needs no signature, and what releases it does.
    let signed = Policy { signed: true, ..POLICY };
    let good = claimed(&release, "signed bob k2");
    let expired = claimed(&release, "expired bob k2");
    let forged = claimed(&release, "forged");
    for (events, files, expected) in [
        (vec![&set, &release], vec![&set, &release], Some((true, true))),
        (vec![&set, &good], vec![&set, &good], None),
        (vec![&set, &expired], vec![&set, &expired], None),
        (vec![&set, &forged], vec![&set, &good], Some((true, false))),
        // What somebody released without being entitled to is still a hold, though its row is closed.
        (vec![&release], vec![], Some((true, false))),
        (vec![&good], vec![], None),
    ] {
        assert_eq!(open(&[], &events, &files, signed), expected);
    }
}

#[test]
fn a_hold_that_a_store_sets_is_one() {
    let item = subject("src/a.py");
    let mut stored = acts(30, "Ada", days(-60)).record(Action::Archive);
    stored.legal_hold = true;
    stored.reason = Some("dead".to_owned());
    stored.set_path(&item.path);
    (stored.tombstone, stored.sha256) = (Some(item.tombstone), Some(item.sha256));
    let (mut world, _) = granted();
    world.evidence.push(evidence(&stored));
    insta::assert_snapshot!(world.told(), @"legal hold of 2026-09-02 by `Ada` on `src/a.py`, in evidence `.codex/evidence/ops/2026/09/20260902T120856Z-archive-3ec9ed4aa446df2d.jsonl`");
    let released = record::hold_released(&acts(31, "Bob", days(-1)), Some(ARCHIVE), &item, Some(op(30)), None, "over");
    world.evidence.push(evidence(&released));
    assert!(world.judge().is_ok());
}

#[test]
fn a_hold_is_known_by_its_operation_whatever_it_says() {
    let item = subject("src/a.py");
    let (mut world, _) = granted();
    let strange = Record { request: Some("no id \u{202e}".to_owned()), ..hold(None, days(-20), &item) };
    let nonsense = Record { request: strange.request.clone(), ..release(&strange, days(-2)) };
    world.evidence = vec![evidence(&strange), evidence(&nonsense)];
    let open = open_holds(&judge(POLICY), &Ledger::of(&world.facts, &world.evidence)).expect("judges");
    assert_eq!(open.iter().map(|hold| hold.id).collect::<Vec<_>>(), [Some(strange.op)]);
    world.evidence.push(evidence(&release(&strange, days(-1))));
    assert!(world.judge().is_ok());
}

#[test]
fn a_release_is_for_one_archive() {
    let item = subject("src/a.py");
    let set = hold(None, days(-20), &item);
    let mut elsewhere = release(&set, days(-2));
    elsewhere.metadata.insert(record::ARCHIVE.to_owned(), OTHER_ARCHIVE.to_owned());
    let (mut world, _) = granted();
    world.evidence = vec![evidence(&set), evidence(&elsewhere)];
    assert!(world.told().ends_with("its release does not count: it is bound to another archive"), "{}", world.told());
    // The archive that it was set for may be gone; the one that is here may release it as well.
    let mut moved = set.clone();
    moved.metadata.insert(record::ARCHIVE.to_owned(), OTHER_ARCHIVE.to_owned());
    world.evidence = vec![evidence(&moved), evidence(&release(&set, days(-2)))];
    assert!(world.judge().is_ok());
}

#[test]
fn evidence_that_cannot_be_read_is_in_the_way() {
    let (world, _) = granted();
    let unreadable = [crate::governance::evidence::Unreadable { file: "f".to_owned(), why: "it is empty".to_owned() }];
    let question = PurgeQuestion {
        target: subject("src/a.py").tombstone,
        facts: &world.facts,
        evidence: &[],
        unreadable: &unreadable,
        proposed: &[],
        early: false,
        all_references: false,
    };
    let obstacles = judge_purge(&judge(POLICY), &question).expect("judges").expect_err("is refused");
    assert_eq!(obstacles[0].to_string(), "evidence `f` may hold it and cannot be read: it is empty");
    let elsewhere = Judge { archive: None, ..judge(POLICY) };
    assert_eq!(judge_purge(&elsewhere, &question).expect("judges").expect_err("is refused")[0].name(), "unknown");
}

#[test]
fn approving_needs_an_open_request_and_perhaps_somebody_else() {
    let (world, key) = granted();
    let ledger = Ledger::of(&world.facts, &[]);
    let target = subject("src/a.py").tombstone;
    let strict = judge(Policy { requester_may_approve: false, ..POLICY });
    let approved = |judge: &Judge<'_>, by: &str| {
        judge_approval(judge, &ledger, &target, by).expect("judges").map(|request| request.key.clone())
    };
    assert_eq!(approved(&judge(POLICY), "ADA"), Ok(key.clone()));
    assert_eq!(approved(&strict, "Bob"), Ok(key.clone()));
    assert_eq!(approved(&strict, "Ada").expect_err("is refused")[0].name(), "approvals");
    assert_eq!(approved(&strict, " ").expect_err("is refused")[0].name(), "approvals");
    let other = subject("src/b.py").tombstone;
    assert_eq!(open_request(&strict, &ledger, &other).expect("judges").expect_err("none"), Obstacle::NoRequest);
    // In a clone without archive, the request comes with the evidence.
    let clone = Judge { archive: None, ..judge(POLICY) };
    let told: Vec<Told> =
        world.facts.events.iter().filter_map(Told::of_event).map(|told| evidence(&told.record)).collect();
    let ledger = Ledger::of_records(&world.facts.sha256, told);
    assert_eq!(open_request(&clone, &ledger, &target).expect("judges").expect("is open").key, key);
    let signed = Judge { policy: Policy { signed: true, ..POLICY }, ..clone };
    assert_eq!(open_request(&signed, &ledger, &target).expect("judges").expect_err("is void").name(), "request-void");
}

#[test]
fn restores_need_as_many_persons_as_the_settings_say() {
    let item = subject("src/a.py");
    let consent = |number, by: &str, at| record::restore_approval(&acts(number, by, at), Some(ARCHIVE), &item, None);
    let ask = |records: &[Told], policy: Policy, by: &str| {
        let question = RestoreQuestion { item: &item, records, by };
        judge_restore(&judge(policy), &question).expect("judges")
    };
    assert_eq!(ask(&[], POLICY, "Ada"), Ok(Vec::new()));
    let two = Policy { restore_approvals: 2, ..POLICY };
    let ada = archived(&consent(1, "Ada", days(-1)));
    let bob = archived(&consent(2, "Bob", days(-2)));
    assert_eq!(ask(&[ada.clone(), bob.clone()], two, "Ada"), Ok(vec!["Bob".to_owned(), "Ada".to_owned()]));
    let refusals = |records: &[Told], policy, by| ask(records, policy, by).expect_err("is refused").to_string();
    insta::assert_snapshot!(refusals(&[ada.clone(), ada.clone()], two, "Ada"), @"1 of 2 approvals, by `Ada`");
    let others_only = Policy { requester_may_approve: false, ..two };
    insta::assert_snapshot!(refusals(&[ada.clone(), bob.clone()], others_only, "ADA"), @"1 of 2 approvals, by `Bob`; that by `Ada` of 2026-10-31 does not count: whoever requests may not approve here");
    assert!(ask(&[ada.clone(), bob.clone()], others_only, "Cy").is_ok());
    // Of another item, another archive, another purpose, the past, the future, and said by evidence alone.
    let mut elsewhere = consent(3, "Cy", days(-1));
    elsewhere.metadata.insert(record::ARCHIVE.to_owned(), OTHER_ARCHIVE.to_owned());
    let other = record::restore_approval(&acts(4, "Cy", days(-1)), Some(ARCHIVE), &subject("src/b.py"), None);
    let (key, _) = request(1, &[subject("src/a.py")]);
    let purge = approval(5, &key, "Cy", days(-1));
    for void in [
        archived(&elsewhere),
        archived(&other),
        archived(&purge),
        archived(&consent(6, "Cy", days(-31))),
        archived(&consent(7, "Cy", days(1))),
        evidence(&consent(8, "Cy", days(-1))),
        evidence(&claimed(&consent(9, "Cy", days(-1)), "forged")),
        evidence(&claimed(&consent(9, "Cy", days(-1)), "expired Cy k1")),
    ] {
        assert!(ask(&[ada.clone(), void.clone()], two, "Ada").is_err(), "{void:?}");
    }
    // A clone without archive: bound to some archive or to none, what is signed counts.
    let signed = evidence(&claimed(&elsewhere, "signed Cy k1"));
    assert!(ask(&[ada.clone(), signed.clone()], two, "Ada").is_err());
    let clone = Judge { archive: None, ..judge(Policy { restore_approvals: 1, ..POLICY }) };
    let question = RestoreQuestion { item: &item, records: &[signed], by: "Ada" };
    assert_eq!(judge_restore(&clone, &question).expect("judges"), Ok(vec!["Cy".to_owned()]));
}

#[test]
fn keys_and_principals_count_once() {
    let (key, records) = request(1, &[subject("src/a.py")]);
    let count = |signatures: &[&str]| {
        let mut world = World::new();
        world.policy.signed = true;
        world.event(&claimed(&records[0], "signed ada k1"));
        for (number, signature) in signatures.iter().enumerate() {
            world.event(&claimed(&approval(number as u64 + 2, &key, "somebody", days(-1)), signature));
        }
        match world.judge() {
            Ok(_) => 2,
            Err(obstacles) => obstacles
                .iter()
                .find_map(|one| if let Obstacle::Approvals { given, .. } = one { Some(given.len()) } else { None })
                .expect("lacks approvals"),
        }
    };
    assert_eq!(count(&["signed ada k1", "signed bob k2"]), 2);
    assert_eq!(count(&["signed ada k1", "signed bob k1"]), 1);
    assert_eq!(count(&["signed ada k1", "signed ADA k2"]), 1);
    assert_eq!(count(&["signed ada k1", "signed bob k1", "signed ada k3"]), 2);
    assert_eq!(count(&["signed bob k1", "signed ada k1", "signed bob k2"]), 2);
    assert_eq!(count(&["expired ada k1", "signed bob k2"]), 1);
    assert_eq!(count(&["", "signed bob k2", "forged"]), 1);
}

#[test]
fn in_signed_mode_names_are_only_names() {
    let (key, records) = request(1, &[subject("src/a.py")]);
    let mut world = World::new();
    world.policy.signed = true;
    world.event(&claimed(&records[0], "signed ada@x k1"));
    world.event(&claimed(&approval(2, &key, "x", days(-1)), "signed ada@x k1"));
    world.proposed = vec!["Ada <ada@x>", "Bob <bob@x>"];
    insta::assert_snapshot!(world.told(), @"
    `Bob <bob@x>` is named as approver and has not approved
    1 of 2 approvals, by `ada@x`
    ");
    world.evidence.push(evidence(&claimed(&approval(3, &key, "x", days(-1)), "signed bob@x k2")));
    let grant = world.judge().expect("is granted");
    assert_eq!((grant.by.as_str(), grant.second.as_str(), grant.fresh.len()), ("ada@x", "bob@x", 0));
    world.proposed = vec!["Cy"];
    assert_eq!(world.names(), ["not-approved"]);
    // An unsigned request opens nothing.
    world.facts.events[0] = event(&records[0]);
    assert!(world.told().contains("does not count: it is not signed"), "{}", world.told());
}

#[test]
fn persons_are_told_apart_by_what_the_rules_compare() {
    assert_eq!(Person::parse("ada").map(|person| person.is_same(&Person::parse("ADA").expect("is one"))), Some(true));
}
