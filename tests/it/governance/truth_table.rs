//! What a purge needs, as a table: every case is put to the rules under the writers' lock of a real archive, with signatures by
//! the real `ssh-keygen`, and held against an expectation that shares nothing with them.
//!
//! Where the answer is no, nothing in the archive may change; where it is yes, in each state of the archive, one purge is
//! applied. How many cases there were is printed (`--no-capture`).
//!
//! On MariaDB, where every question takes its time, a row that is refused in any case meets each day before which its item is to
//! be kept in some of the states only. In CI, or with `ARCHIVE_TOMB_TRUTH=all`, every case is put there too, as it is everywhere
//! else.

#![expect(clippy::print_stderr, reason = "the number of cases is to be known")]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use git_archive_tomb::archive::{AnyArchive, ArchiveError, ContentFacts, Event, Hold, Purge};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record};
use git_archive_tomb::governance::ledger::Told;
use git_archive_tomb::governance::record::{self, RequestKey, Subject};
use git_archive_tomb::governance::rules::{Judge, Policy, PurgeQuestion, judge_purge};
use git_archive_tomb::governance::{Standing, Verdicts, Verifier, statement};
use git_archive_tomb::id::{OperationId, Tombstone};
use git_archive_tomb::item::Item;
use git_archive_tomb::operation::Facts;
use git_archive_tomb::signature::SignatureError;

use super::keys::{Keyring, Signing};
use super::place::{Place, event, item, store};
use crate::databases::Kind;

const RAE: &str = "Rae <rae@example.org>";
const ADA: &str = "Ada <ada@example.org>";
const GRACE: &str = "Grace <grace@example.org>";

/// The days before the present at which things were done.
const REQUESTED: u32 = 20;
const APPROVED_LONG_AGO: u32 = 15;
const APPROVED: u32 = 5;
const HELD: u32 = 4;
const RELEASED: u32 = 3;

/// How many days requests and approvals count. By the shorter one, the request has expired.
const REQUEST_TTL: u32 = 30;
const SHORT_REQUEST_TTL: u32 = 10;
const APPROVAL_TTL: u32 = 10;

fn now() -> Timestamp {
    "2026-11-20T12:00:00.000Z".parse().unwrap()
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn ago(before: u32) -> Timestamp {
    Timestamp::from_millisecond(now().as_millisecond() - i64::from(before) * 86_400_000).unwrap()
}

/// Which approvals there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approvals {
    None,
    One,
    OnePersonTwice,
    Two,
    Expired,
    RequesterAmong,
}

impl Approvals {
    const ALL: [Self; 6] =
        [Self::None, Self::One, Self::OnePersonTwice, Self::Two, Self::Expired, Self::RequesterAmong];

    fn actors(self, signatures: Signatures) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::One => &[ADA],
            Self::OnePersonTwice if signatures == Signatures::Off => {
                &[ADA, "ADA  <Ada@EXAMPLE.org>", "ada@example.org", " Ada\u{a0}Lovelace <ada@example.org> ", "ada"]
            }
            Self::OnePersonTwice => &["ada@example.org", "Ada\u{a0}Lovelace  <ADA@example.org>"],
            Self::Two | Self::Expired => &[ADA, GRACE],
            Self::RequesterAmong => &[RAE, ADA],
        }
    }
}

/// Which record's signature is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Request,
    LastApproval,
    Releases,
}

/// How records are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signatures {
    /// Not at all, and nobody asks.
    Off,
    /// All are good.
    Good,
    /// All but these are good.
    Bad(Signing, Of),
}

impl Signatures {
    /// Returns what there is with these approvals: where they would do, each kind of bad signature of each kind of record, else
    /// each of one, by turns.
    fn all_with(approvals: Approvals) -> Vec<Self> {
        let of = [Of::Request, Of::LastApproval, Of::Releases];
        let bad = Signing::BAD.into_iter().enumerate().flat_map(|(number, how)| {
            let turn = approvals as usize + number;
            let of = if approvals == Approvals::Two { &of[..] } else { &of[turn % 3..=turn % 3] };
            of.iter().map(move |of| Self::Bad(how, *of)).collect::<Vec<_>>()
        });
        [Self::Off, Self::Good].into_iter().chain(bad).collect()
    }

    /// Returns how the records `of` are signed.
    fn of(self, of: Of) -> Signing {
        match self {
            Self::Off => Signing::None,
            Self::Bad(how, bad) if bad == of => how,
            Self::Good | Self::Bad(..) => Signing::Good,
        }
    }
}

/// Which request there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    None,
    /// There is one, of another archive.
    Elsewhere,
    Open,
    Expired,
}

/// The content's hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    Here,
    OnTheOther,
    Released,
}

/// The day before which the item is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    NoDay,
    Past,
    Future,
}

/// The other item with the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Absent,
    Live,
    /// There, and not named by the request.
    Unnamed,
}

/// How the archive is while cases are put.
#[derive(Debug, Clone, Copy)]
struct State {
    held: Held,
    is_shared: bool,
    keep: Keep,
}

/// What the command says.
#[derive(Debug, Clone, Copy)]
struct Command {
    early: bool,
    all_references: bool,
    /// Who approves by it.
    proposed: &'static [&'static str],
    requester_may_approve: bool,
}

/// An item, the other one with its bytes, and what was said of it. Its own approvals stay; the archive's state changes.
struct Row {
    number: usize,
    approvals: Approvals,
    signatures: Signatures,
    has_request: bool,
    names_the_other: bool,
    /// The state in which its purge is applied.
    applied_in: Option<usize>,
    content: Vec<u8>,
    item: Item,
    other: Item,
    request: RequestKey,
    /// The record that the request names the other one, from evidence: what the archive has of an item goes with it.
    named: Vec<Told>,
}

impl Row {
    fn new(number: usize, approvals: Approvals, signatures: Signatures, archive: &str) -> Self {
        let content = format!("row {number}").into_bytes();
        let item = item(&format!("src/{number}.py"), &content);
        let other = self::item(&format!("lib/{number}.py"), &content);
        let request = RequestKey::generate(archive, [item.tombstone, other.tombstone]);
        let (has_request, names_the_other, applied_in) = (true, true, None);
        let named = Vec::new();
        Self {
            number,
            approvals,
            signatures,
            has_request,
            names_the_other,
            applied_in,
            content,
            item,
            other,
            request,
            named,
        }
    }

    /// Returns the rows of the table.
    fn table(archive: &str, states: &[State]) -> Vec<Self> {
        let mut rows = Vec::new();
        let mut row = |approvals, signatures| {
            rows.push(Self::new(rows.len(), approvals, signatures, archive));
            rows.len() - 1
        };
        let mut special = Vec::new();
        for approvals in Approvals::ALL {
            for signatures in Signatures::all_with(approvals) {
                row(approvals, signatures);
            }
            for signatures in [Signatures::Off, Signatures::Good] {
                special.push((row(approvals, signatures), None));
            }
        }
        let unrequested = special.len();
        for signatures in [Signatures::Off, Signatures::Good] {
            special.push((row(Approvals::Two, signatures), None));
            // One to apply for each state in which somebody may.
            for (number, state) in states.iter().enumerate() {
                if matches!(state.held, Held::No | Held::Released) {
                    special.push((row(Approvals::Two, signatures), Some(number)));
                    if signatures == Signatures::Off {
                        special.push((row(Approvals::RequesterAmong, signatures), Some(number)));
                    }
                }
            }
        }
        for (index, (number, applied_in)) in special.into_iter().enumerate() {
            rows[number].applied_in = applied_in;
            if index < unrequested {
                rows[number].has_request = false;
            } else if applied_in.is_none() {
                rows[number].names_the_other = false;
                rows[number].request.items = record::list([rows[number].item.tombstone]);
            }
        }
        rows
    }

    /// Returns whether the row's cases are put in a state.
    fn meets(&self, state: usize, everywhere: bool) -> bool {
        let may_be_granted = matches!(self.approvals, Approvals::Two | Approvals::RequesterAmong)
            && matches!(self.signatures, Signatures::Off | Signatures::Good);
        // States come in threes, one for each day.
        let turn = (self.number + state / 3) % 3;
        self.applied_in.is_none() && (everywhere || may_be_granted || turn == state % 3)
    }

    fn others(&self) -> Vec<Subject> {
        if self.names_the_other { vec![Subject::from(&self.other)] } else { Vec::new() }
    }

    /// Returns the records of the request and its approvals, and how they are to be signed.
    fn records(&mut self) -> Vec<(Record, Signing)> {
        let (target, mut records) = (Subject::from(&self.item), Vec::new());
        if self.has_request {
            let facts = facts(RAE, REQUESTED);
            let all = record::prune_request(&facts, &self.request, &target, &self.others(), "Contains PII");
            let told = |record: &Record| {
                let digest = Event::from_record(record).unwrap().digest;
                Told { record: record.clone(), digest, in_archive: false, file: None }
            };
            self.named = all[1..].iter().map(told).collect();
            let first = std::iter::once(self.signatures.of(Of::Request));
            records.extend(all.into_iter().zip(first.chain(std::iter::repeat(Signing::None))));
        }
        let actors = self.approvals.actors(self.signatures);
        let approved = if self.approvals == Approvals::Expired { APPROVED_LONG_AGO } else { APPROVED };
        for (number, actor) in actors.iter().enumerate() {
            let last = number + 1 == actors.len();
            let signing = if last { self.signatures.of(Of::LastApproval) } else { self.signatures.of_good() };
            let facts = facts(actor, approved);
            records.push((record::purge_approval(&facts, actor, &self.request, &target, None), signing));
        }
        records
    }
}

impl Signatures {
    /// Returns how a record is signed whose signature is never the bad one.
    fn of_good(self) -> Signing {
        if self == Self::Off { Signing::None } else { Signing::Good }
    }
}

fn facts(actor: &str, before: u32) -> Facts {
    Facts { op: OperationId::generate(), started: ago(before), actor: actor.to_owned(), repo: "project".to_owned() }
}

/// Returns whether a purge is to be granted: this is the table.
fn expected(row: &Row, request: Request, state: State, other: Other, command: Command) -> bool {
    let is_good = |of| match row.signatures {
        Signatures::Off | Signatures::Good => true,
        // A key that has expired since has released what it released, and consents to nothing any more.
        Signatures::Bad(Signing::KeyExpiredSince, bad) => bad != of || of == Of::Releases,
        Signatures::Bad(_, bad) => bad != of,
    };
    let consent = match row.approvals {
        Approvals::None | Approvals::Expired => [false; 3],
        Approvals::One => [false, is_good(Of::LastApproval), false],
        // The last of the spellings may be badly signed: the first is not.
        Approvals::OnePersonTwice => [false, true, false],
        Approvals::Two => [false, true, is_good(Of::LastApproval)],
        Approvals::RequesterAmong => [true, is_good(Of::LastApproval), false],
    };
    let [rae, ada, grace] = consent;
    let says = |who: &str| row.signatures == Signatures::Off && command.proposed.iter().any(|one| one.contains(who));
    let rae = (rae || says("rae@")) && command.requester_may_approve;
    let (ada, grace) = (ada || says("ada@"), grace || says("grace@"));
    let is_requested = request == Request::Open && row.has_request && is_good(Of::Request);
    let is_held = match state.held {
        Held::No => false,
        Held::Here | Held::OnTheOther => true,
        Held::Released => !is_good(Of::Releases),
    };
    let others_may_go = match other {
        Other::Absent => true,
        Other::Live => command.all_references,
        Other::Unnamed => false,
    };
    let day_has_come = state.keep != Keep::Future || command.early;
    is_requested && u8::from(rae) + u8::from(ada) + u8::from(grace) >= 2 && !is_held && others_may_go && day_has_come
}

/// The real judge of signatures, who is not asked twice about one record: a statement takes time to put together.
struct Remembering {
    verdicts: Verdicts,
    known: RefCell<HashMap<(Option<String>, Timestamp), Standing>>,
}

impl Verifier for Remembering {
    fn standing(&self, record: &Record, at: Timestamp) -> Result<Standing, SignatureError> {
        let key = (record.signature.clone(), at);
        if let Some(standing) = self.known.borrow().get(&key) {
            return Ok(standing.clone());
        }
        let standing = self.verdicts.standing(record, at)?;
        self.known.borrow_mut().insert(key, standing.clone());
        Ok(standing)
    }
}

/// Puts a case to the rules.
fn verdict(
    archive: &str,
    verdicts: &Remembering,
    row: &Row,
    request: Request,
    facts: &ContentFacts,
    command: Command,
) -> bool {
    let policy = Policy {
        signed: row.signatures != Signatures::Off,
        requester_may_approve: command.requester_may_approve,
        approval_ttl: days(APPROVAL_TTL),
        request_ttl: days(if request == Request::Expired { SHORT_REQUEST_TTL } else { REQUEST_TTL }),
        restore_approvals: 0,
    };
    let elsewhere = "3c7a4f0e-8f0e-4d57-9d0e-3f6f1f0f8a11";
    let archive = if request == Request::Elsewhere { elsewhere } else { archive };
    let judge = Judge { policy, verifier: verdicts, archive: Some(archive), now: now() };
    let question = PurgeQuestion {
        target: row.item.tombstone,
        facts,
        evidence: &row.named,
        unreadable: &[],
        proposed: command.proposed,
        early: command.early,
        all_references: command.all_references,
    };
    judge_purge(&judge, &question).unwrap().is_ok()
}

/// Returns the commands that make a difference in a state.
fn commands(row: &Row, state: State) -> Vec<Command> {
    let proposed: &[&'static [&'static str]] = match (row.signatures, row.approvals) {
        (Signatures::Off, _) if state.keep == Keep::NoDay => {
            &[&[], &[ADA], &[ADA, " ADA\t<ada@Example.org>"], &[ADA, GRACE], &[RAE, ADA]]
        }
        (Signatures::Good, Approvals::None) => &[&[], &[ADA, GRACE]],
        _ => &[&[]],
    };
    let both = [false, true];
    let one = [false];
    let early = if state.keep == Keep::Future { &both[..] } else { &one };
    let all_references = if state.is_shared { &both[..] } else { &one };
    let mut commands = Vec::new();
    for requester_may_approve in both {
        for early in early {
            for all_references in all_references {
                for proposed in proposed {
                    let (early, all_references) = (*early, *all_references);
                    commands.push(Command { early, all_references, proposed, requester_may_approve });
                }
            }
        }
    }
    commands
}

fn requests(row: &Row) -> &'static [Request] {
    if row.has_request { &[Request::Elsewhere, Request::Open, Request::Expired] } else { &[Request::None] }
}

/// The table on one archive.
struct Table<'a> {
    place: &'a Place,
    archive: Box<AnyArchive>,
    id: String,
    keyring: Keyring,
    verdicts: Remembering,
    rows: Vec<Row>,
    states: Vec<State>,
    /// The operations that share the bytes.
    sharing: Option<OperationId>,
    /// Whether every row meets every state.
    everywhere: bool,
    cases: usize,
    granted: usize,
    applied: usize,
}

/// The archive's states, in the order in which it comes to them.
fn states() -> Vec<State> {
    let steps = [
        (Held::No, true),
        (Held::OnTheOther, true),
        (Held::Released, true),
        (Held::No, false),
        (Held::Here, false),
        (Held::Released, false),
        (Held::Released, true),
        (Held::Here, true),
    ];
    let days = [Keep::NoDay, Keep::Past, Keep::Future];
    steps.into_iter().flat_map(|(held, is_shared)| days.map(|keep| State { held, is_shared, keep })).collect()
}

impl<'a> Table<'a> {
    fn new(place: &'a Place) -> Self {
        let mut archive = place.open();
        let id = archive.id().to_owned();
        let (keyring, states) = (Keyring::new(now()), states());
        let rows = Row::table(&id, &states);
        for some in rows.chunks(16) {
            store(&mut *archive, &some.iter().map(|row| &*row.content).collect::<Vec<_>>()).unwrap();
        }
        let verdicts = Verdicts::new(Some(keyring.allowed_signers()));
        let verdicts = Remembering { verdicts, known: RefCell::default() };
        let (cases, granted, applied, sharing) = (0, 0, 0, None);
        let asked = std::env::var("ARCHIVE_TOMB_TRUTH").is_ok_and(|set| set == "all");
        let everywhere = place.database.kind != Kind::Mariadb || asked || std::env::var_os("CI").is_some();
        let mut table =
            Self { place, archive, id, keyring, verdicts, rows, states, sharing, everywhere, cases, granted, applied };
        let items: Vec<Item> = table.rows.iter().map(|row| row.item.clone()).collect();
        super::place::archive_items(&mut *table.archive, &items).unwrap();
        let records = table.rows.iter_mut().flat_map(Row::records).collect();
        let events = table.events(records);
        table.archive.approve(&[], &events).unwrap();
        table
    }

    /// Returns records as events, signed.
    fn events(&self, records: Vec<(Record, Signing)>) -> Vec<Event> {
        let signed = self.keyring.sign(records, |record| statement(record).unwrap());
        signed.iter().map(|record| Event::from_record(record).unwrap()).collect()
    }

    /// Returns the rows whose content is there.
    fn live(&self, state: usize) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.applied_in.is_none_or(|applied| applied >= state))
    }

    /// Brings the archive from state `from` to the next one.
    fn advance(&mut self, next: usize) {
        let state = self.states[next];
        let before = next.checked_sub(1).map(|before| self.states[before]);
        let was_shared = before.is_some_and(|before| before.is_shared);
        if state.is_shared && !was_shared {
            let others: Vec<Item> = self.live(next).map(|row| row.other.clone()).collect();
            let op = OperationId::generate();
            self.archive.begin(op, "clone", &others).unwrap();
            // The second time it is a finished archival that shares the bytes.
            if next > 0 {
                let events: Vec<Event> = others.iter().map(|other| event(op, Action::Archive, other)).collect();
                self.archive.seal(op, &events).unwrap();
            }
            self.sharing = Some(op);
        } else if was_shared && !state.is_shared {
            let op = self.sharing.take().unwrap();
            let recover = Event::from_record(&Record::new(Action::Recover, op, Timestamp::now())).unwrap();
            assert!(self.archive.undo(op, "clone", &recover).unwrap() > 0);
        }
        let was_held = before.map_or(Held::No, |before| before.held);
        match state.held {
            held if held == was_held => {}
            Held::Here => self.hold(next, |row| &row.item),
            Held::OnTheOther => self.hold(next, |row| &row.other),
            Held::Released => self.release(next),
            Held::No => {}
        }
        let day = match state.keep {
            Keep::NoDay => "NULL",
            Keep::Past => "'2026-11-19'",
            Keep::Future => "'2026-11-22'",
        };
        self.place.database.sql(&format!("UPDATE item SET delete_after = {day}"));
    }

    fn hold(&mut self, state: usize, on: fn(&Row) -> &Item) {
        let (mut holds, mut events) = (Vec::new(), Vec::new());
        for row in self.live(state) {
            let (facts, target) = (facts(GRACE, HELD), Subject::from(on(row)));
            let record = record::hold_set(&facts, Some(&self.id), &target, Some("CASE-7"), "Litigation");
            events.push(Event::from_record(&record).unwrap());
            holds.push(Hold {
                tombstone: target.tombstone,
                id: Some(facts.op),
                name: Some("CASE-7".to_owned()),
                set_by: Some(GRACE.to_owned()),
                reason: Some("Litigation".to_owned()),
                set_at: facts.started,
            });
        }
        self.archive.set_holds(&holds).unwrap();
        self.archive.append_events(&events).unwrap();
    }

    /// Releases all holds.
    fn release(&mut self, state: usize) {
        let holds = self.archive.holds().unwrap();
        let rows: BTreeMap<Tombstone, &Row> =
            self.live(state).flat_map(|row| [(row.item.tombstone, row), (row.other.tombstone, row)]).collect();
        let records = holds.into_iter().map(|(hold, stored)| {
            let target = Subject::from(&stored.item);
            let facts = facts(ADA, RELEASED);
            let name = hold.name.as_deref();
            let record = record::hold_released(&facts, Some(&self.id), &target, hold.id, name, "Settled");
            (record, rows[&hold.tombstone].signatures.of(Of::Releases))
        });
        let records = records.collect();
        let events = self.events(records);
        self.archive.release_holds(&events).unwrap();
        assert_eq!(self.archive.holds().unwrap(), []);
    }

    /// Puts every case of a state.
    fn put(&mut self, number: usize) {
        let state = self.states[number];
        let before = dump(&mut *self.archive);
        let everywhere = self.everywhere;
        for row in self.rows.iter().filter(|row| row.meets(number, everywhere)) {
            let other = match (state.is_shared, row.names_the_other) {
                (false, _) => Other::Absent,
                (true, true) => Other::Live,
                (true, false) => Other::Unnamed,
            };
            let (cases, granted) = (&mut self.cases, &mut self.granted);
            let begun = self.archive.begin_purge(&purge(row), &mut |facts| {
                for request in requests(row) {
                    for command in commands(row, state) {
                        let expected = expected(row, *request, state, other, command);
                        let verdict = verdict(&self.id, &self.verdicts, row, *request, facts, command);
                        assert_eq!(
                            verdict, expected,
                            "{:?}, {:?}, {request:?}, {state:?}, {other:?}, {command:?}",
                            row.approvals, row.signatures
                        );
                        // Each of them is also a case without `--apply`, which begins nothing.
                        *cases += 2;
                        *granted += usize::from(verdict);
                    }
                }
                false
            });
            assert!(!begun.unwrap());
        }
        assert_eq!(dump(&mut *self.archive), before, "{state:?}: what is refused changes nothing");
    }

    /// Applies the purges that are for a state.
    fn apply(&mut self, number: usize) {
        let state = self.states[number];
        for row in self.rows.iter().filter(|row| row.applied_in == Some(number)) {
            let (early, all_references) = (state.keep == Keep::Future, state.is_shared);
            let command = Command { early, all_references, proposed: &[], requester_may_approve: true };
            let purge = purge(row);
            let mut judge =
                |facts: &ContentFacts| verdict(&self.id, &self.verdicts, row, Request::Open, facts, command);
            assert!(self.archive.begin_purge(&purge, &mut judge).unwrap(), "{state:?}");
            let facts = self.archive.content_facts(&row.item.sha256).unwrap().unwrap();
            assert_eq!(facts.items.len(), if state.is_shared { 2 } else { 1 });
            assert!(facts.items.iter().all(|stored| stored.purged_at.is_some()), "{state:?}: {facts:?}");
            self.archive.destroy(&row.item.sha256).unwrap();
            let done = facts.items.iter().map(|stored| event(purge.op, Action::Purge, &stored.item));
            self.archive.end_purge(purge.op, &done.collect::<Vec<_>>()).unwrap();
            assert_eq!(self.archive.segments(&row.item.sha256, 0).unwrap(), []);
            self.applied += 1;
        }
    }

    /// Puts every case again for contents that are purged. Held ones cannot be: not even by who asks no rules.
    fn put_purged(&mut self) {
        let state = *self.states.last().unwrap();
        for row in self.rows.iter().filter(|row| row.applied_in.is_none()) {
            let error = self.archive.begin_purge(&purge(row), &mut |_| true).unwrap_err();
            assert!(!matches!(error, ArchiveError::Purged { .. }), "{error:?}");
        }
        self.release(usize::MAX);
        for row in self.rows.iter().filter(|row| row.applied_in.is_none()) {
            assert!(self.archive.begin_purge(&purge(row), &mut |_| true).unwrap());
            let again = self.archive.begin_purge(&purge(row), &mut |_| panic!("nobody is asked"));
            assert!(matches!(again, Err(ArchiveError::Purged { .. })), "{again:?}");
            let facts = self.archive.content_facts(&row.item.sha256).unwrap().unwrap();
            for request in requests(row) {
                for command in commands(row, state) {
                    assert!(!verdict(&self.id, &self.verdicts, row, *request, &facts, command));
                    self.cases += 2;
                }
            }
        }
    }
}

fn purge(row: &Row) -> Purge {
    Purge {
        op: OperationId::generate(),
        origin: "clone".to_owned(),
        tombstone: row.item.tombstone,
        sha256: row.item.sha256,
        request: row.request.id.clone(),
        by: ADA.to_owned(),
        second: GRACE.to_owned(),
        reason: "Contains PII".to_owned(),
        begun_at: now(),
    }
}

/// Returns what an archive holds.
fn dump(archive: &mut AnyArchive) -> Vec<String> {
    let mut dump = Vec::new();
    let mut last = None;
    loop {
        let page = archive.items_page(last.as_ref()).unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.stored.item.tombstone);
        dump.extend(page.iter().map(|known| format!("{known:?}")));
    }
    let mut last = 0;
    loop {
        let page = archive.contents_page(last).unwrap();
        let Some(end) = page.last() else { break };
        last = end.number;
        dump.extend(page.iter().map(|known| format!("{known:?}")));
    }
    dump.extend(archive.holds().unwrap().iter().map(|held| format!("{held:?}")));
    dump.extend(archive.unfinished_purges().unwrap().iter().map(|purge| format!("{purge:?}")));
    dump.push(format!("{:?}", archive.counts().unwrap()));
    dump
}

fn assert_table(place: &Place) {
    let start = Instant::now();
    let mut table = Table::new(place);
    for number in 0..table.states.len() {
        table.advance(number);
        table.put(number);
        table.apply(number);
    }
    table.put_purged();
    let Table { cases, granted, applied, .. } = table;
    eprintln!(
        "{place}: {cases} cases, {granted} granted, {applied} applied, in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    assert!(granted > 100 && applied > 40, "the table has both answers");
}

#[test]
fn every_case_is_decided_as_the_table_says_on_sqlite() {
    assert_table(&Place::new(Kind::Sqlite));
}

#[cfg(feature = "net")]
#[test]
fn every_case_is_decided_as_the_table_says_on_postgres() {
    assert_table(&Place::new(Kind::Postgres));
}

#[cfg(feature = "net")]
#[test]
fn every_case_is_decided_as_the_table_says_on_mariadb() {
    assert_table(&Place::new(Kind::Mariadb));
}
