//! The records of an item as they are printed: who did what, when and why, and whose signature bears it out.

use git_archive_tomb::evidence::record::{Action, Record, Status};
use git_archive_tomb::governance::ledger::Told;
use git_archive_tomb::governance::story::Story;
use git_archive_tomb::governance::{Standing, Verdicts, Verifier, statement};
use git_archive_tomb::id::Sha256;
use git_archive_tomb::quote::{printable, quote};
use serde::Serialize;

use super::error::CommandError;
use super::output::{Output, Style};
use super::session::Session;
use super::signing::known_signers;

/// A record in JSON, with where it stands and whose it is.
#[derive(Debug, Serialize)]
pub(crate) struct ToldView<'a> {
    #[serde(flatten)]
    record: &'a Record,
    digest: Sha256,
    in_archive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
}

/// Judges signatures as they stood when they were made, and says when one counts for nothing.
pub(crate) struct Witness {
    verdicts: Verdicts,
    /// Whether records of governance should be signed here.
    expected: bool,
}

impl Witness {
    /// Returns one who believes whom the settings name.
    pub(crate) fn new(session: &Session<'_>) -> Result<Self, CommandError> {
        let verdicts = Verdicts::new(known_signers(session)?);
        Ok(Self { verdicts, expected: session.config()?.governance.signed })
    }

    /// Returns how the signature of a record stands; `None` where there is none and none is expected.
    fn standing(&self, record: &Record) -> Result<Option<Standing>, CommandError> {
        if record.signature.is_none() && !(self.expected && statement(record).is_some()) {
            return Ok(None);
        }
        Ok(Some(self.verdicts.standing(record, record.ts)?))
    }

    /// Returns a record for JSON.
    pub(crate) fn view<'a>(&self, told: &'a Told) -> Result<ToldView<'a>, CommandError> {
        Ok(ToldView {
            record: &told.record,
            digest: told.digest,
            in_archive: told.in_archive,
            evidence: told.file.as_ref().map(ToString::to_string),
            standing: self.standing(&told.record)?,
        })
    }

    /// Returns a record for people, in lines; `is_known` says whether they know of which item they read.
    pub(crate) fn lines(&self, told: &Told, is_known: bool) -> Result<Vec<String>, CommandError> {
        let record = &told.record;
        let mut lines = vec![heading(record)];
        let mut add = |line: String| lines.push(format!("    {line}"));
        if !is_known {
            let path = record.repo_path().map(|path| format!(" {path}")).unwrap_or_default();
            record.tombstone.iter().for_each(|tombstone| add(format!("{tombstone}{path}")));
        }
        if let Some(by) = by(record) {
            add(by);
        }
        if let Some(although) = although_purged(record) {
            add(although);
        }
        let is_hold = matches!(record.action, Action::HoldSet | Action::HoldReleased);
        let id = if is_hold { "hold" } else { "request" };
        let request = record.request.as_ref().filter(|_| record.action != Action::Archive);
        for (name, value) in [("to", record.output.as_ref()), (id, request), ("error:", record.error.as_ref())] {
            if let Some(value) = value {
                add(format!("{name} {}", quote(value.as_bytes())));
            }
        }
        if record.legal_hold {
            add("under a legal hold".to_owned());
        }
        if let Some(date) = record.delete_after {
            add(format!("to be kept until {date}"));
        }
        match self.standing(record)? {
            None => {}
            Some(Standing::Signed { principal, .. }) => add(format!("signed by {}", quote(principal.as_bytes()))),
            Some(Standing::Unsigned) => add("not signed".to_owned()),
            Some(Standing::Rejected { why }) => add(format!("signature does not count: {}", printable(&why))),
        }
        Ok(lines)
    }
}

/// Returns when what happened, and to which case.
fn heading(record: &Record) -> String {
    let mut text = format!("{}  {}", record.ts, record.action);
    if let Some(status) = record.status.filter(|status| *status != Status::Done) {
        text.push(' ');
        text.push_str(status.as_str());
    }
    if let Some(name) = &record.name {
        text.push(' ');
        text.push_str(&quote(name.as_bytes()));
    }
    text
}

/// Returns that what a record stored had been purged before, if it had: by which request.
pub(crate) fn although_purged(record: &Record) -> Option<String> {
    let request = record.request.as_ref().filter(|_| record.action == Action::Archive)?;
    Some(format!("although purged (request {})", quote(request.as_bytes())))
}

/// Returns who acted, and why.
pub(crate) fn by(record: &Record) -> Option<String> {
    let quoted = |text: &Option<String>| text.as_ref().map(|text| quote(text.as_bytes()).into_owned());
    let actor = quoted(&record.actor).map(|actor| format!("by {actor}"));
    let actor = match (actor, quoted(&record.second)) {
        (Some(actor), Some(second)) => Some(format!("{actor} and {second}")),
        (actor, _) => actor,
    };
    match (actor, quoted(&record.reason)) {
        (Some(actor), Some(reason)) => Some(format!("{actor}: {reason}")),
        (actor, None) => actor,
        (None, reason) => reason.map(|reason| format!("because {reason}")),
    }
}

/// Says what of a story could not be read, and what nothing but evidence tells.
pub(crate) fn warn_unreadable(story: &Story, output: &Output) {
    for unreadable in &story.unreadable {
        output.warn(format_args!("what {} says is not known: {}", unreadable.file, unreadable.why));
    }
}

/// Returns where a record stands that the archive does not have, for people who would look for it there.
pub(crate) fn place(told: &Told, with_archive: bool, output: &Output) -> Option<String> {
    let file = told.file.as_ref().filter(|_| with_archive && !told.in_archive)?;
    Some(format!("    {}", output.styled(Style::Dim, format_args!("only in {}", file.as_str()))))
}
