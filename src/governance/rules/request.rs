//! Which request for a purge stands.

use crate::clock::Timestamp;
use crate::id::Tombstone;
use crate::signature::SignatureError;

use super::{Judge, Validity, Voice};
use crate::governance::ledger::{Ledger, Request};
use crate::governance::obstacle::{Obstacle, Void};
use crate::governance::person::Person;

/// Returns the request for the purge of an item that stands, and its voice: the oldest where there are several. Where none
/// does, what the newest one lacks.
///
/// With an archive, the requests that it has count, and those only; without one, those that evidence has.
pub fn open_request<'a>(
    judge: &Judge<'_>,
    ledger: &'a Ledger,
    target: &Tombstone,
) -> Result<Result<&'a Request, Obstacle>, SignatureError> {
    Ok(standing_request(judge, ledger, target)?.map(|(request, _)| request))
}

pub(super) fn standing_request<'a>(
    judge: &Judge<'_>,
    ledger: &'a Ledger,
    target: &Tombstone,
) -> Result<Result<(&'a Request, Option<Voice>), Obstacle>, SignatureError> {
    let mut obstacle = Obstacle::NoRequest;
    let about = ledger.requests.iter().filter(|request| request.target == *target);
    // What could stand comes last, so that what it lacks is told and not that another one is for somewhere else.
    let (here, elsewhere): (Vec<&Request>, Vec<&Request>) =
        about.partition(|request| elsewhere(judge, request).is_none());
    for request in elsewhere.into_iter().chain(here) {
        match request_stands(judge, ledger, request)? {
            Ok(voice) => return Ok(Ok((request, voice))),
            Err(why) => {
                let record = &request.told.record;
                let (by, at) = (record.actor.clone(), record.ts);
                obstacle = Obstacle::RequestVoid { request: request.key.id.clone(), by, at, why };
            }
        }
    }
    Ok(Err(obstacle))
}

/// Returns why a request is none of the archive's, as a verb phrase.
fn elsewhere(judge: &Judge<'_>, request: &Request) -> Option<&'static str> {
    let archive = judge.archive?;
    if request.key.archive != archive {
        Some("is for another archive")
    } else if !request.told.in_archive {
        Some("is not in the archive")
    } else {
        None
    }
}

/// Returns whose the request is, if that is known, or why it does not stand, as a verb phrase.
fn request_stands(
    judge: &Judge<'_>,
    ledger: &Ledger,
    request: &Request,
) -> Result<Result<Option<Voice>, String>, SignatureError> {
    let record = &request.told.record;
    if let Some(why) = elsewhere(judge, request) {
        return Ok(Err(why.to_owned()));
    }
    if let Some(used) = ledger.use_of(&request.key.id) {
        return Ok(Err(format!("was used by the purge of {}", used.record.ts.date())));
    }
    if let Some(withdrawal) = ledger.withdrawal(&request.key.id) {
        return Ok(Err(format!("was withdrawn on {}", withdrawal.record.ts.date())));
    }
    if record.ts > judge.now {
        return Ok(Err("is dated in the future".to_owned()));
    }
    if judge.is_older(record.ts, judge.policy.request_ttl) {
        return Ok(Err("has expired".to_owned()));
    }
    let voice = match voice_of(judge, request)? {
        Ok(voice) => voice,
        Err(why) => return Ok(Err(format!("does not count: {why}"))),
    };
    let twins = ledger
        .requests
        .iter()
        .filter(|other| other.key.id == request.key.id && other.told.digest != request.told.digest);
    for twin in twins.filter(|twin| judge.archive.is_none() || twin.told.in_archive) {
        // Whoever may speak here contradicts himself; who may not, contradicts nobody.
        if voice_of(judge, twin)?.is_ok() {
            return Ok(Err("is made twice, and each time otherwise".to_owned()));
        }
    }
    Ok(Ok(voice))
}

/// Returns the voice of a request. Where nothing has to be signed and there is no archive, whoever brings one may be believed:
/// it only says what can be approved.
pub(super) fn voice_of(judge: &Judge<'_>, request: &Request) -> Result<Result<Option<Voice>, String>, SignatureError> {
    if !judge.policy.signed && judge.archive.is_none() {
        return Ok(Ok(None));
    }
    Ok(judge.voice(&request.told, Validity::ThenAndNow)?.map(Some))
}

/// Returns the request that `by` may approve now, or what is in the way.
pub fn judge_approval<'a>(
    judge: &Judge<'_>,
    ledger: &'a Ledger,
    target: &Tombstone,
    by: &str,
) -> Result<Result<&'a Request, Vec<Obstacle>>, SignatureError> {
    let (request, voice) = match standing_request(judge, ledger, target)? {
        Ok(standing) => standing,
        Err(obstacle) => return Ok(Err(vec![obstacle])),
    };
    let requester = match voice {
        Some(voice) => Some(voice.person),
        None => request.told.record.actor.as_deref().and_then(Person::parse),
    };
    let why = match Person::parse(by) {
        None => "it names nobody",
        Some(person) if !judge.policy.requester_may_approve && requester.is_some_and(|one| one.is_same(&person)) => {
            REQUESTER
        }
        Some(_) => return Ok(Ok(request)),
    };
    let void = vec![void(by, None, why)];
    Ok(Err(vec![Obstacle::Approvals { needed: super::PURGE_APPROVALS, given: Vec::new(), void }]))
}

pub(super) const REQUESTER: &str = "whoever requests may not approve here";

pub(super) fn void(by: &str, at: Option<Timestamp>, why: &str) -> Void {
    Void { by: by.to_owned(), at, why: why.to_owned() }
}
