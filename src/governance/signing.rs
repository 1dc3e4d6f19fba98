//! Signatures of records: made with somebody's key, judged by the file of allowed signers.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::evidence::record::{Action, Record};
use crate::id::{Sha256, Tombstone};
use crate::signature::{AllowedSigners, Signature, SignatureError, Signer, Verdict};

use super::person::Person;
use super::statement::statement;

/// How the signature of a record stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "signature", rename_all = "kebab-case")]
pub enum Standing {
    /// It is an allowed signer's.
    Signed {
        /// The signer, as the allowed-signers file has it.
        principal: String,
        /// The fingerprint of the key.
        key: String,
    },
    /// There is none.
    Unsigned,
    /// There is one that counts for nothing.
    Rejected {
        /// Why, as a clause.
        why: String,
    },
}

/// Says whose records are.
pub trait Verifier {
    /// Returns how the signature of `record` stands by the keys that were valid at the moment `at`.
    fn standing(&self, record: &Record, at: Timestamp) -> Result<Standing, SignatureError>;
}

/// Why a record was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The record is none of those that are signed.
    #[error("such a record is not signed")]
    NotSigned,
    /// Signing or checking failed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The key is nobody's who may sign.
    #[error("the signature would not count: {why}")]
    NotAllowed {
        /// Why, as a clause.
        why: String,
    },
    /// The key is somebody else's than whoever is said to act.
    #[error("the key is `{principal}`'s, not `{actor}`'s")]
    OtherPerson {
        /// Who is said to act.
        actor: String,
        /// Whose key it is.
        principal: String,
    },
}

/// Signs `record` in the name of its actor, and returns the principal whose key it is, and the key.
///
/// With `by_default`, the actor is only assumed, and makes room for the principal where they are two persons.
pub fn sign(
    record: &mut Record,
    signer: &Signer,
    signers: &AllowedSigners,
    by_default: bool,
) -> Result<(String, String), SigningError> {
    let mut assumed = by_default;
    loop {
        let message = statement(record).ok_or(SigningError::NotSigned)?;
        let signature = signer.sign(message.as_bytes())?;
        let (principal, key) = match signers.judge(message.as_bytes(), &signature, record.ts)? {
            Verdict::Good { principal, key } => (principal, key),
            Verdict::Untrusted { why, .. } => return Err(SigningError::NotAllowed { why }),
            Verdict::Forged => return Err(SigningError::NotAllowed { why: FORGED.to_owned() }),
        };
        if is_actor(record, &principal) {
            record.signature = Some(signature.to_string());
            return Ok((principal, key));
        }
        if !assumed {
            return Err(SigningError::OtherPerson { actor: record.actor.clone().unwrap_or_default(), principal });
        }
        // The actor is signed along, and whose key it is, only a signature tells.
        assumed = false;
        record.actor = Some(principal);
    }
}

const FORGED: &str = "it is not a signature over this record";

/// The most judgements for one matter: whoever may push could bring any number of signatures, and each takes some 15 ms. What is
/// brought for one matter takes nothing from any other.
const MAX_JUDGED: usize = 512;

/// What a signed record is about: the action, the item, and the request or hold.
type Matter = (Action, Option<Tombstone>, Option<String>);

/// Judges signatures by a file of allowed signers, each once: `ssh-keygen` takes its time.
pub struct Verdicts {
    signers: Option<AllowedSigners>,
    known: RefCell<HashMap<(Sha256, Timestamp), Standing>>,
    judged: RefCell<HashMap<Matter, usize>>,
}

impl Verdicts {
    /// Returns a judge who believes `signers`; without any, nobody.
    pub fn new(signers: Option<AllowedSigners>) -> Self {
        Self { signers, known: RefCell::default(), judged: RefCell::default() }
    }

    fn judge(&self, record: &Record, message: &str, armored: &str, at: Timestamp) -> Result<Standing, SignatureError> {
        let Some(signers) = &self.signers else { return Ok(rejected("nobody is named whose signatures count")) };
        let Ok(signature) = Signature::parse(armored) else { return Ok(rejected("it is not an SSH signature")) };
        Ok(match signers.judge(message.as_bytes(), &signature, at)? {
            Verdict::Good { principal, key } if is_actor(record, &principal) => Standing::Signed { principal, key },
            Verdict::Good { principal, .. } => rejected(&format!("it is `{principal}`'s, who is not the actor")),
            Verdict::Untrusted { why, .. } => Standing::Rejected { why },
            Verdict::Forged => rejected(FORGED),
        })
    }
}

impl Verifier for Verdicts {
    fn standing(&self, record: &Record, at: Timestamp) -> Result<Standing, SignatureError> {
        let Some(armored) = &record.signature else { return Ok(Standing::Unsigned) };
        let Some(message) = statement(record) else { return Ok(rejected("such a record is not signed")) };
        // A statement is two lines, so it is clear where it ends.
        let known = (Sha256::of(format!("{message}{armored}").as_bytes()), at);
        if let Some(standing) = self.known.borrow().get(&known) {
            return Ok(standing.clone());
        }
        let matter = (record.action, record.tombstone, record.request.clone());
        let count = *self.judged.borrow_mut().entry(matter).and_modify(|count| *count += 1).or_insert(1);
        if count > MAX_JUDGED {
            return Ok(rejected("more signatures are there than are looked at"));
        }
        let standing = self.judge(record, &message, armored, at)?;
        self.known.borrow_mut().insert(known, standing.clone());
        Ok(standing)
    }
}

/// Returns whether the actor of `record` is `principal`.
fn is_actor(record: &Record, principal: &str) -> bool {
    let actor = record.actor.as_deref().and_then(Person::parse);
    actor.zip(Person::parse(principal)).is_some_and(|(actor, principal)| actor.is_same(&principal))
}

fn rejected(why: &str) -> Standing {
    Standing::Rejected { why: why.to_owned() }
}
