//! Which holds are not released.

use std::fmt;

use crate::clock::Timestamp;
use crate::evidence::record::Action;
use crate::id::{OperationId, Tombstone};
use crate::item::RepoPath;
use crate::signature::SignatureError;

use super::{Judge, Validity};
use crate::governance::ledger::{HoldKey, KnownHold, Ledger, Told};
use crate::governance::obstacle::{because, by_whom, shown};

/// A hold that is not released everywhere.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OpenHold {
    /// The item.
    pub tombstone: Tombstone,
    /// Its path, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<RepoPath>,
    /// The operation that set it; `None` where somebody set it by SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<OperationId>,
    /// The name of the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who set it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was set, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether it is not released in the archive.
    pub in_archive: bool,
    /// An evidence file that sets it, where it is not released in evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Why what was said to release it does not, as a clause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_void: Option<String>,
}

/// Returns the holds that are not released: each counts in the place where it stands, and is released there only.
pub fn open_holds(judge: &Judge<'_>, ledger: &Ledger) -> Result<Vec<OpenHold>, SignatureError> {
    let mut open = Vec::new();
    for (key, hold) in &ledger.holds {
        open.extend(still_open(judge, key, hold)?);
    }
    open.sort_by_key(|hold| (hold.at, hold.id, hold.tombstone));
    Ok(open)
}

fn still_open(judge: &Judge<'_>, key: &HoldKey, hold: &KnownHold) -> Result<Option<OpenHold>, SignatureError> {
    let mut release_void = None;
    // A row of the archive that is open is open whatever anybody says. One that is closed was a hold; whether it was rightly
    // closed is for the releases to say.
    let told = |told: &&Told| told.in_archive;
    let known = hold.row.is_some() || hold.set.iter().chain(&hold.released).any(|told| told.in_archive);
    let in_archive = known
        && (hold.row.is_some() || !is_released(judge, hold, hold.released.iter().filter(told), &mut release_void)?);
    let set = hold.set.iter().find_map(|told| told.file.as_ref());
    let evidence = match set {
        Some(file) => {
            let releases = hold.released.iter().filter(|told| told.file.is_some());
            (!is_released(judge, hold, releases, &mut release_void)?).then(|| file.to_string())
        }
        None => None,
    };
    if !in_archive && evidence.is_none() {
        return Ok(None);
    }
    let set = hold.set.first().map(|told| &told.record);
    let said = set.or(hold.released.first().map(|told| &told.record));
    let (row, reason) = (hold.row.as_ref(), set.filter(|record| record.action == Action::HoldSet));
    Ok(Some(OpenHold {
        tombstone: key.tombstone,
        path: hold.path.clone().or_else(|| said?.repo_path()),
        id: key.id,
        name: said.and_then(|record| record.name.clone()).or_else(|| row?.name.clone()),
        by: set.and_then(|record| record.actor.clone()).or_else(|| row?.set_by.clone()),
        reason: reason.and_then(|record| record.reason.clone()).or_else(|| row?.reason.clone()),
        at: set.map(|record| record.ts).or_else(|| Some(row?.set_at)),
        in_archive,
        evidence,
        release_void,
    }))
}

/// Returns whether one of `releases` releases the hold, the newest of which are looked at first. Says why that does not.
fn is_released<'a>(
    judge: &Judge<'_>,
    hold: &KnownHold,
    releases: impl DoubleEndedIterator<Item = &'a Told>,
    why: &mut Option<String>,
) -> Result<bool, SignatureError> {
    for release in releases.rev() {
        let bound = release.archive();
        let same = bound.is_none() || bound == judge.archive || hold.set.iter().any(|set| set.archive() == bound);
        if !same {
            why.get_or_insert_with(|| "it is bound to another archive".to_owned());
            continue;
        }
        match releasing(judge, release)? {
            Ok(()) => return Ok(true),
            Err(void) => drop(why.get_or_insert(void)),
        }
    }
    Ok(false)
}

/// Returns whether a release counts: anybody's does where nothing has to be signed.
fn releasing(judge: &Judge<'_>, release: &Told) -> Result<Result<(), String>, SignatureError> {
    if judge.policy.signed {
        // A key that has expired since released what it released.
        return Ok(judge.voice(release, Validity::Then)?.map(|_| ()));
    }
    let future = release.record.ts > judge.now;
    Ok(if future { Err("it is dated in the future".to_owned()) } else { Ok(()) })
}

impl fmt::Display for OpenHold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("legal hold")?;
        if let Some(name) = &self.name {
            write!(out, " {}", shown(name))?;
        }
        if let Some(at) = self.at {
            write!(out, " of {}", at.date())?;
        }
        out.write_str(&by_whom(self.by.as_deref()))?;
        match &self.path {
            Some(path) => write!(out, " on `{path}`")?,
            None => write!(out, " on `{}`", self.tombstone)?,
        }
        match (self.in_archive, &self.evidence) {
            (true, Some(file)) => write!(out, ", in the archive and in evidence `{file}`")?,
            (true, None) => out.write_str(", in the archive")?,
            (false, Some(file)) => write!(out, ", in evidence `{file}`")?,
            (false, None) => {}
        }
        because(out, self.reason.as_deref())?;
        match &self.release_void {
            Some(why) => write!(out, "; its release does not count: {why}"),
            None => Ok(()),
        }
    }
}
