//! What is allowed, judged from what is known: nothing here reads or changes anything.
//!
//! A record speaks in favour of something only where it counts; what speaks against it always does. [`Judge`] has what that
//! depends on besides the records.

mod approvals;
mod holds;
mod purge;
mod request;
mod restore;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config;
use crate::signature::SignatureError;

use super::ledger::Told;
use super::person::Person;
use super::signing::{Standing, Verifier};

pub use holds::{OpenHold, open_holds};
pub use purge::{Grant, PurgeQuestion, judge_past, judge_purge};
pub use request::{judge_approval, open_request};
pub use restore::{RestoreQuestion, judge_restore};

/// How many persons a purge needs.
pub const PURGE_APPROVALS: usize = 2;

/// What the settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether only what is signed speaks in favour of anything.
    pub signed: bool,
    /// Whether whoever asks may be one of those who approve.
    pub requester_may_approve: bool,
    /// How long an approval counts.
    pub approval_ttl: Duration,
    /// How long a request stands.
    pub request_ttl: Duration,
    /// How many approvals a restore needs.
    pub restore_approvals: usize,
}

impl From<&config::Governance> for Policy {
    fn from(settings: &config::Governance) -> Self {
        Self {
            signed: settings.signed,
            requester_may_approve: settings.requester_may_approve,
            approval_ttl: settings.approval_ttl,
            request_ttl: settings.request_ttl,
            restore_approvals: settings.restore_approvals as usize,
        }
    }
}

/// What every judgement depends on.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The settings.
    pub policy: Policy,
    /// Says whose signatures are.
    pub verifier: &'a dyn Verifier,
    /// The archive's id; `None` where there is no archive.
    pub archive: Option<&'a str>,
    /// The present. Who asks twice about one matter gives the same moment, as each signature is then checked once.
    pub now: Timestamp,
}

/// Somebody who speaks in favour of something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Voice {
    /// Who it is.
    person: Person,
    /// The same, for people.
    who: String,
    /// The fingerprint of the key, if it is signed.
    key: Option<String>,
}

/// Why somebody's word does not count, as a clause.
type Why = String;

/// When a signature has to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validity {
    /// When it was made.
    Then,
    /// When it was made, and now.
    ThenAndNow,
}

impl Judge<'_> {
    /// Returns whose word a record is, if it counts in favour: whoever is named in it where that is in the archive and nothing
    /// has to be signed, else the signer.
    fn voice(&self, told: &Told, validity: Validity) -> Result<Result<Voice, Why>, SignatureError> {
        let record = &told.record;
        if record.ts > self.now {
            return Ok(Err("it is dated in the future".to_owned()));
        }
        if told.in_archive && !self.policy.signed {
            let named = record.actor.as_deref().and_then(|actor| Some((actor, Person::parse(actor)?)));
            let voice = named.map(|(actor, person)| Voice { person, who: actor.to_owned(), key: None });
            return Ok(voice.ok_or_else(|| "it names nobody".to_owned()));
        }
        let mut standing = self.verifier.standing(record, record.ts)?;
        if validity == Validity::ThenAndNow && matches!(standing, Standing::Signed { .. }) {
            standing = self.verifier.standing(record, self.now)?;
        }
        Ok(match standing {
            Standing::Signed { principal, key } => match Person::parse(&principal) {
                Some(person) => Ok(Voice { person, who: principal, key: Some(key) }),
                None => Err("its principal is nobody".to_owned()),
            },
            Standing::Unsigned if self.policy.signed => Err("it is not signed".to_owned()),
            Standing::Unsigned => Err("it is not in the archive, and not signed".to_owned()),
            Standing::Rejected { why } => Err(why),
        })
    }

    /// Returns whether something of `at` is older than `ttl`.
    fn is_older(&self, at: Timestamp, ttl: Duration) -> bool {
        let age = i128::from(self.now.as_millisecond()) - i128::from(at.as_millisecond());
        age > i128::try_from(ttl.as_millis()).unwrap_or(i128::MAX)
    }
}
