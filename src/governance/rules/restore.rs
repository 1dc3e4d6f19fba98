//! Whether archived bytes may be handed out.

use crate::signature::SignatureError;

use super::approvals::different;
use super::request::{REQUESTER, void};
use super::{Judge, Validity, Voice};
use crate::governance::ledger::{Ledger, Told};
use crate::governance::obstacle::Obstacle;
use crate::governance::person::Person;
use crate::governance::record::Subject;

/// The question whether the bytes of an item may be handed out.
#[derive(Debug, Clone, Copy)]
pub struct RestoreQuestion<'a> {
    /// The item.
    pub item: &'a Subject,
    /// The events of the item and what evidence says of it.
    pub records: &'a [Told],
    /// Who asks for them.
    pub by: &'a str,
}

/// Returns who approved, or what is missing.
pub fn judge_restore(
    judge: &Judge<'_>,
    question: &RestoreQuestion<'_>,
) -> Result<Result<Vec<String>, Obstacle>, SignatureError> {
    let needed = judge.policy.restore_approvals;
    if needed == 0 {
        return Ok(Ok(Vec::new()));
    }
    let ledger = Ledger::of_records(&question.item.sha256, question.records.iter().cloned());
    let (mut voices, mut voids) = (Vec::new(), Vec::new());
    for told in ledger.restore_approvals.iter().filter(|told| told.record.tombstone == Some(question.item.tombstone)) {
        match approval(judge, question, told)? {
            Ok(voice) => voices.push(voice),
            Err(why) => voids.push(void(told.record.actor.as_deref().unwrap_or_default(), Some(told.record.ts), &why)),
        }
    }
    let given: Vec<String> = different(&voices, needed).into_iter().map(|voice| voice.who.clone()).collect();
    Ok(if given.len() == needed { Ok(given) } else { Err(Obstacle::Approvals { needed, given, void: voids }) })
}

fn approval(
    judge: &Judge<'_>,
    question: &RestoreQuestion<'_>,
    told: &Told,
) -> Result<Result<Voice, String>, SignatureError> {
    if told.archive().zip(judge.archive).is_some_and(|(theirs, ours)| theirs != ours) {
        return Ok(Err("it is for another archive".to_owned()));
    }
    if judge.is_older(told.record.ts, judge.policy.approval_ttl) {
        return Ok(Err("it has expired".to_owned()));
    }
    let restoring = Person::parse(question.by);
    Ok(match judge.voice(told, Validity::ThenAndNow)? {
        Ok(voice) if !judge.policy.requester_may_approve && restoring.is_some_and(|one| one.is_same(&voice.person)) => {
            Err(REQUESTER.to_owned())
        }
        other => other,
    })
}
