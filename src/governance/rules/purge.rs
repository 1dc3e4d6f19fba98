//! Whether bytes may be destroyed.

use std::time::Duration;

use crate::archive::{ContentFacts, StoredItem};
use crate::evidence::record::Record;
use crate::id::Tombstone;
use crate::signature::SignatureError;

use super::approvals::different;
use super::request::{REQUESTER, UNCLEAR, standing_request, voice_of, void};
use super::{Judge, PURGE_APPROVALS, Policy, Validity, Voice, open_holds};
use crate::governance::evidence::Unreadable;
use crate::governance::ledger::{Ledger, Request, Told};
use crate::governance::obstacle::{Obstacle, Void};
use crate::governance::person::Person;
use crate::governance::record::{RequestKey, Subject, list};

/// The question whether the bytes of a content may be destroyed.
#[derive(Debug, Clone, Copy)]
pub struct PurgeQuestion<'a> {
    /// The item that the request has to be about.
    pub target: Tombstone,
    /// What the archive knows of the content.
    pub facts: &'a ContentFacts,
    /// What evidence says of it.
    pub evidence: &'a [Told],
    /// The evidence that cannot be read and may say that it is held.
    pub unreadable: &'a [Unreadable],
    /// Those who are said to approve with this command. Where all has to be signed, they are only named.
    pub proposed: &'a [&'a str],
    /// Whether it may be before an item's day.
    pub early: bool,
    /// Whether other items may lose their bytes.
    pub all_references: bool,
}

/// That bytes may be destroyed, and by whose will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The request.
    pub request: RequestKey,
    /// Who approved it.
    pub by: String,
    /// Who else did.
    pub second: String,
    /// Those of the proposed whose approval is new and has to be recorded.
    pub fresh: Vec<String>,
    /// The items that lose their bytes, the target first.
    pub items: Vec<Subject>,
}

/// Returns the grant, or everything that is in the way.
pub fn judge_purge(
    judge: &Judge<'_>,
    question: &PurgeQuestion<'_>,
) -> Result<Result<Grant, Vec<Obstacle>>, SignatureError> {
    let ledger = Ledger::of(question.facts, question.evidence);
    let here =
        judge.archive.and_then(|_| question.facts.items.iter().find(|stored| stored.item.tombstone == question.target));
    let Some(target) = here else {
        return Ok(Err(vec![Obstacle::Unknown { tombstone: question.target }]));
    };
    if let Some(obstacle) = purged(judge, &ledger, target) {
        return Ok(Err(vec![obstacle]));
    }
    let others = question.facts.items.iter().filter(|stored| stored.purged_at.is_none());
    let others: Vec<&StoredItem> = others.filter(|stored| stored.item.tombstone != question.target).collect();
    let mut obstacles = Vec::new();
    let request = match standing_request(judge, &ledger, &question.target)? {
        Ok(request) => Some(request),
        Err(obstacle) => {
            obstacles.push(obstacle);
            None
        }
    };
    let strict = request.as_ref().map_or(*judge, |(request, _)| judge.for_request(&ledger, &request.key.id));
    let judge = &strict;
    let approved = approved(judge, &ledger, request.as_ref(), question.proposed, &mut obstacles)?;
    obstacles.extend(open_holds(judge, &ledger)?.into_iter().map(|hold| Obstacle::Hold { hold: Box::new(hold) }));
    obstacles.extend(question.unreadable.iter().map(Unreadable::obstacle));
    if !question.early {
        obstacles
            .extend(std::iter::once(target).chain(others.iter().copied()).filter_map(|stored| kept(judge, stored)));
    }
    if let Some((request, _)) = &request {
        obstacles.extend(unnamed(&ledger, request, question.target, &others));
    }
    if !question.all_references {
        obstacles.extend(others.iter().map(|other| shared(other)));
    }
    let (Some((request, _)), Some(approved), true) = (request, approved, obstacles.is_empty()) else {
        return Ok(Err(obstacles));
    };
    let items = std::iter::once(target).chain(others).map(|stored| Subject::from(&stored.item)).collect();
    let Approved { by, second, fresh } = approved;
    Ok(Ok(Grant { request: request.key.clone(), by, second, fresh, items }))
}

/// How far a request has come that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Those whose approvals count together, at most as many as it takes.
    pub given: Vec<String>,
    /// All whose approvals count.
    voices: Vec<Person>,
    /// The items that have the bytes by now and that the request does not name: as it stands, no purge comes of it.
    pub unnamed: Vec<Obstacle>,
}

impl Progress {
    /// Returns whether `who` has approved already.
    pub fn has(&self, who: &str) -> bool {
        Person::parse(who).is_some_and(|who| self.voices.iter().any(|voice| voice.is_same(&who)))
    }
}

/// Returns how far a request has come; `others` are the other items that have the bytes, where an archive tells.
pub fn progress(
    judge: &Judge<'_>,
    ledger: &Ledger,
    request: &Request,
    others: Option<&[&StoredItem]>,
) -> Result<Progress, SignatureError> {
    let requester = voice_of(judge, request)?.ok().flatten();
    let (voices, _) = recorded(judge, ledger, request, requester.as_ref())?;
    let given = different(&voices, PURGE_APPROVALS).into_iter().map(|voice| voice.who.clone()).collect();
    let unnamed = others.map(|others| unnamed(ledger, request, request.target, others)).unwrap_or_default();
    Ok(Progress { given, voices: voices.into_iter().map(|voice| voice.person).collect(), unnamed })
}

/// Returns what the purge that `record` tells of lacks by these rules, as of its time: a request and two persons' approvals.
/// Nobody's word has got too old since.
pub fn judge_past(judge: &Judge<'_>, ledger: &Ledger, record: &Record) -> Result<Option<Obstacle>, SignatureError> {
    let policy = Policy { approval_ttl: Duration::MAX, request_ttl: Duration::MAX, ..judge.policy };
    let judge = Judge { policy, now: record.ts, ..*judge };
    let mut requests = ledger.requests.iter();
    let id = record.request.as_deref().unwrap_or_default();
    let Some(request) = requests.find(|request| request.key.id == id) else { return Ok(Some(Obstacle::NoRequest)) };
    let requester = match voice_of(&judge, request)? {
        Ok(requester) => requester,
        Err(why) => {
            let told = &request.told.record;
            let (by, at, why) = (told.actor.clone(), told.ts, format!("does not count: {why}"));
            return Ok(Some(Obstacle::RequestVoid { request: id.to_owned(), by, at, why }));
        }
    };
    let mut obstacles = Vec::new();
    approved(&judge, ledger, Some(&(request, requester)), &[], &mut obstacles)?;
    Ok(obstacles.pop())
}

fn purged(judge: &Judge<'_>, ledger: &Ledger, target: &StoredItem) -> Option<Obstacle> {
    let at = target.purged_at?;
    let told = ledger.purge_of(&target.item.tombstone, judge.archive).map(|told| &told.record);
    // Its record may have yet to be made.
    let row = ledger.purge_rows.iter().find(|purge| purge.begun_at == at);
    Some(Obstacle::Purged {
        at,
        by: told.and_then(|record| record.actor.clone()).or_else(|| Some(row?.by.clone())),
        second: told.and_then(|record| record.second.clone()).or_else(|| Some(row?.second.clone())),
        reason: told.and_then(|record| record.reason.clone()).or_else(|| Some(row?.reason.clone())),
        unfinished: false,
    })
}

fn kept(judge: &Judge<'_>, stored: &StoredItem) -> Option<Obstacle> {
    let until = stored.item.delete_after.filter(|until| judge.now.date() < until.0)?;
    Some(Obstacle::Retention { tombstone: stored.item.tombstone, path: stored.item.path.clone(), until })
}

fn shared(other: &StoredItem) -> Obstacle {
    Obstacle::Shared { tombstone: other.item.tombstone, path: other.item.path.clone() }
}

/// Returns the items that would lose their bytes and that the request does not name.
fn unnamed(ledger: &Ledger, request: &Request, target: Tombstone, others: &[&StoredItem]) -> Vec<Obstacle> {
    let all = others.iter().map(|other| other.item.tombstone).chain([target]);
    if list(all) == request.key.items {
        return Vec::new();
    }
    // Items that were there when it was made may be gone by now. The names count only where they are just those of the list.
    let named = ledger.named(request);
    let is_list = list(named.iter().copied()) == request.key.items;
    let unnamed = others.iter().filter(|other| !is_list || !named.contains(&other.item.tombstone));
    let mut obstacles: Vec<Obstacle> = unnamed
        .map(|other| Obstacle::Unnamed { tombstone: other.item.tombstone, path: other.item.path.clone() })
        .collect();
    if obstacles.is_empty() && !is_list {
        let record = &request.told.record;
        let why = "names other items than those that have the bytes".to_owned();
        let (by, at) = (record.actor.clone(), record.ts);
        obstacles.push(Obstacle::RequestVoid { request: request.key.id.clone(), by, at, why });
    }
    obstacles
}

struct Approved {
    by: String,
    second: String,
    fresh: Vec<String>,
}

/// Returns who approves; what is missing goes to `obstacles`.
fn approved(
    judge: &Judge<'_>,
    ledger: &Ledger,
    request: Option<&(&Request, Option<Voice>)>,
    proposed: &[&str],
    obstacles: &mut Vec<Obstacle>,
) -> Result<Option<Approved>, SignatureError> {
    let (recorded, mut voids) = match request {
        Some((request, requester)) => recorded(judge, ledger, request, requester.as_ref())?,
        None => Default::default(),
    };
    let requester = request.and_then(|(_, voice)| voice.as_ref());
    let proposals = proposals(judge, requester, proposed, &mut voids);
    // Those whom the command names come first, by their own voice where they have one on record.
    let is_by = |voice: &Voice, person: &Person| voice.person.is_same(person);
    let mut voices = Vec::new();
    for proposal in &proposals {
        let known: Vec<&Voice> = recorded.iter().filter(|voice| is_by(voice, &proposal.person)).collect();
        if judge.policy.signed && known.is_empty() {
            obstacles.push(Obstacle::NotApproved { by: proposal.who.clone() });
        }
        voices.extend(known.into_iter().cloned());
        if !judge.policy.signed {
            voices.push(proposal.clone());
        }
    }
    voices.extend(recorded.iter().cloned());
    let chosen = different(&voices, PURGE_APPROVALS);
    let [by, second] = chosen[..] else {
        let given = chosen.iter().map(|voice| voice.who.clone()).collect();
        obstacles.push(Obstacle::Approvals { needed: PURGE_APPROVALS, given, void: voids });
        return Ok(None);
    };
    // Whoever has no voice on record has the one of this command.
    let is_fresh = |voice: &&&Voice| !recorded.iter().any(|other| is_by(other, &voice.person));
    let fresh = chosen.iter().filter(is_fresh).map(|voice| voice.who.clone()).collect();
    Ok(Some(Approved { by: by.who.clone(), second: second.who.clone(), fresh }))
}

/// Returns the voices that approved a request, in the order of time, and what does not count and why.
fn recorded(
    judge: &Judge<'_>,
    ledger: &Ledger,
    request: &Request,
    requester: Option<&Voice>,
) -> Result<(Vec<Voice>, Vec<Void>), SignatureError> {
    let (mut voices, mut voids) = (Vec::new(), Vec::new());
    for told in ledger.approvals_of(&request.key.id) {
        let Record { actor, ts, .. } = &told.record;
        match approval(judge, request, requester, told)? {
            Ok(voice) => voices.push((*ts, voice)),
            Err(why) => voids.push(void(actor.as_deref().unwrap_or_default(), Some(*ts), &why)),
        }
    }
    voices.sort_by_key(|(at, _)| *at);
    Ok((voices.into_iter().map(|(_, voice)| voice).collect(), voids))
}

/// Returns the voices of those who are said to approve with this command.
fn proposals(judge: &Judge<'_>, requester: Option<&Voice>, proposed: &[&str], voids: &mut Vec<Void>) -> Vec<Voice> {
    let mut voices = Vec::new();
    for who in proposed {
        let Some(person) = Person::parse(who) else {
            voids.push(void(who, None, "it names nobody"));
            continue;
        };
        if !Person::is_clear(who) {
            voids.push(void(who, None, UNCLEAR));
            continue;
        }
        let voice = Voice { person, who: (*who).to_owned(), key: None };
        if is_requester(judge, requester, &voice) { voids.push(void(who, None, REQUESTER)) } else { voices.push(voice) }
    }
    voices
}

/// Returns whose an approval of `request` is, or why it does not count.
fn approval(
    judge: &Judge<'_>,
    request: &Request,
    requester: Option<&Voice>,
    told: &Told,
) -> Result<Result<Voice, String>, SignatureError> {
    let refused = |why: &str| Ok(Err(why.to_owned()));
    if told.archive() != Some(&request.key.archive) {
        return refused("it is for another archive");
    }
    if told.record.tombstone != Some(request.target) {
        return refused("it is for another item");
    }
    if told.items() != Some(&request.key.items) {
        return refused("it is for another list of items");
    }
    if told.record.ts < request.told.record.ts {
        return refused("it is older than the request");
    }
    if judge.is_older(told.record.ts, judge.policy.approval_ttl) {
        return refused("it has expired");
    }
    Ok(match judge.voice(told, Validity::ThenAndNow)? {
        Ok(voice) if is_requester(judge, requester, &voice) => Err(REQUESTER.to_owned()),
        other => other,
    })
}

/// Returns whether a voice is that of whoever requested, where that one may not approve.
fn is_requester(judge: &Judge<'_>, requester: Option<&Voice>, voice: &Voice) -> bool {
    !judge.policy.requester_may_approve
        && requester.is_some_and(|requester| {
            requester.person.is_same(&voice.person) || (voice.key.is_some() && requester.key == voice.key)
        })
}
