//! The ledger against whatever somebody writes.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::evidence::record::{Level, Status};
use crate::governance::ledger::Ledger;
use crate::governance::rules::open_holds;

use super::*;

#[test]
fn a_record_counts_once_wherever_it_stands() {
    let (key, records) = request(1, &[subject("src/a.py"), subject("src/b.py")]);
    let ada = approval(2, &key, "Ada", days(-1));
    let everywhere = [evidence(&ada), archived(&ada), evidence(&ada), archived(&records[0]), evidence(&records[1])];
    let ledger = Ledger::of_records(&subject("src/a.py").sha256, everywhere);
    assert_eq!((ledger.requests.len(), ledger.approvals.len()), (1, 1));
    assert!(ledger.approvals[0].in_archive && ledger.approvals[0].file.is_some());
    assert_eq!(ledger.named(&ledger.requests[0]).len(), 2);
    assert_eq!(ledger.requests[0].key, key);
}

#[test]
fn what_did_not_take_place_does_not_count() {
    let (_, records) = request(1, &[subject("src/a.py")]);
    for (level, status, counts) in [
        (Level::Info, Some(Status::Done), true),
        (Level::Info, None, true),
        (Level::Error, Some(Status::Done), false),
        (Level::Info, Some(Status::Failed), false),
        (Level::Info, Some(Status::Intent), false),
        (Level::Info, Some(Status::Retrying), false),
    ] {
        let record = Record { level, status, ..records[0].clone() };
        let told = Told::of_event(&event(&record)).into_iter();
        let ledger = Ledger::of_records(&subject("src/a.py").sha256, told);
        assert_eq!(ledger.requests.len(), usize::from(counts), "{level} {status:?}");
    }
}

#[test]
fn thousands_of_records_are_no_trouble() {
    let (key, records) = request(1, &[subject("src/a.py")]);
    let mut world = World::new();
    world.event(&records[0]);
    for number in 0..3000 {
        world.event(&approval(10 + number, &key, &format!("Ada {}", number % 1500), days(-1)));
        let set = record::hold_set(&acts(number, "Eve", days(-2)), None, &subject("src/a.py"), None, "x");
        let release = record::hold_released(
            &acts(number, "Eve", days(-1)),
            None,
            &subject("src/a.py"),
            Some(op(number)),
            None,
            "x",
        );
        world.evidence.extend([evidence(&release), evidence(&set)]);
    }
    assert!(world.judge().is_ok());
}

/// Records that are often about the same things, and often contradict each other.
fn anything() -> impl Strategy<Value = Record> {
    let action = prop::sample::select(Action::ALL.to_vec());
    let text =
        || prop::option::of(prop::sample::select(vec!["", "a", "Ada", "ada@x", ARCHIVE, OTHER_ARCHIVE, "\n\u{202e}"]));
    let signature =
        prop::option::of(prop::sample::select(vec!["signed ada@x k1", "signed bob@x k2", "expired cy@x k3", "no"]));
    let metadata = (text(), prop::option::of(prop::sample::select(vec!["a", "b", "c"])));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (action, 0_u64..4, -40_i64..3, (text(), text(), text()), metadata, signature, flags).prop_map(
        |(action, number, at, (actor, request, reason), (archive, items), signature, (hold, content, path))| {
            let mut record = Record::new(action, op(number), days(at));
            let item = subject(if number % 2 == 0 { "src/a.py" } else { "src/b.py" });
            record.actor = actor.map(str::to_owned);
            record.request = match request {
                Some("a") => Some(op(number).to_string()),
                other => other.map(str::to_owned),
            };
            record.reason = reason.map(str::to_owned);
            record.legal_hold = hold;
            record.tombstone = content.then_some(item.tombstone);
            record.sha256 = Some(if number == 3 { Sha256::of(b"other") } else { item.sha256 });
            if path {
                record.set_path(&item.path);
            }
            record.metadata.extend(archive.map(|archive| (record::ARCHIVE.to_owned(), archive.to_owned())));
            let items = items.map(|items| match items {
                "a" => record::list([subject("src/a.py").tombstone]),
                "b" => record::list(["src/a.py", "src/b.py"].map(|path| subject(path).tombstone)),
                other => other.to_owned(),
            });
            record.metadata.extend(items.map(|items| (record::ITEMS.to_owned(), items)));
            record.signature = signature.map(str::to_owned);
            record
        },
    )
}

proptest! {
    #[test]
    fn nonsense_is_survived_and_opens_nothing(
        events in prop::collection::vec(anything(), 0..12),
        files in prop::collection::vec(anything(), 0..12),
        signed: bool,
        shared: bool,
    ) {
        let mut world = World::new();
        world.policy.signed = signed;
        world.all_references = true;
        if shared {
            world.facts.items.push(stored(&subject("src/b.py")));
        }
        for record in &events {
            world.event(record);
        }
        world.evidence.extend(files.iter().map(evidence));
        let told: Vec<Told> = world.facts.events.iter().filter_map(Told::of_event).collect();
        let outcome = world.judge();
        // The order in which evidence is found says nothing.
        let mut turned = world.clone();
        turned.evidence.reverse();
        prop_assert_eq!(turned.judge().is_ok(), outcome.is_ok());
        match outcome {
            Ok(grant) => {
                // Whatever it is: somebody asked for it in this archive, and two have approved that.
                let asked = told.iter().any(|told| {
                    told.record.action == Action::PruneRequest && told.archive() == Some(ARCHIVE) && told.items() == Some(&grant.request.items)
                });
                let approvers: HashSet<Option<&str>> = told
                    .iter()
                    .chain(&world.evidence)
                    .filter(|told| told.record.action == Action::DeleteApproved && told.record.request.as_deref() == Some(&grant.request.id))
                    .map(|told| if signed { told.record.signature.as_deref() } else { told.record.actor.as_deref().or(told.record.signature.as_deref()) })
                    .collect();
                prop_assert!(asked && approvers.len() >= 2);
            }
            Err(obstacles) => {
                prop_assert!(!obstacles.is_empty());
                for obstacle in &obstacles {
                    let text = obstacle.to_string();
                    let hostile = ['\n', '\u{202e}'];
                    prop_assert!(!text.contains(hostile) && !text.is_empty());
                    let json = serde_json::to_value(obstacle).expect("serializes");
                    prop_assert_eq!(json["obstacle"].as_str(), Some(obstacle.name()));
                }
            }
        }
    }

    #[test]
    fn evidence_never_takes_a_hold_of_the_archive_away(
        files in prop::collection::vec(anything(), 0..12),
        signed: bool,
    ) {
        let item = subject("src/a.py");
        let mut world = World::new();
        let set = record::hold_set(&acts(1, "Ada", days(-9)), Some(ARCHIVE), &item, None, "x");
        world.event(&set);
        world.evidence.extend(files.iter().map(evidence));
        let policy = Policy { signed, ..POLICY };
        let judge = Judge { policy, verifier: &Claims, archive: Some(ARCHIVE), now: days(0) };
        let ledger = Ledger::of(&world.facts, &world.evidence);
        let open = open_holds(&judge, &ledger).expect("judges");
        prop_assert!(open.iter().any(|hold| hold.in_archive));
    }
}
