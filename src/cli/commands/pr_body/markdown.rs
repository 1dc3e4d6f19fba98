//! The text itself.
//!
//! Everything foreign stands in a code span, quoted so that it has neither a backtick, which would end the span, nor a
//! bar, which would end the cell, nor anything that does not print. In a code span nothing is markup, and hosts link no
//! names, numbers and addresses there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use git_archive_tomb::evidence::digest::quote_foreign;
use git_archive_tomb::evidence::format::Entry;
use git_archive_tomb::evidence::record::{Action, Record, Status};
use git_archive_tomb::git::Repository;
use git_archive_tomb::id::{ObjectId, Sha256, Tombstone};
use git_archive_tomb::quote::shell;
use git_archive_tomb::review::{Evidence, ReviewError};

use crate::cli::output::{counted, human_size};

/// The longest text in bytes. GitHub takes 65,536 characters; the rest is for the author's own words.
const MAX_LENGTH: usize = 60_000;

/// How much of that is for what is said of whole operations, the newest first; the rest is for their lines.
const MAX_SECTIONS: usize = 40_000;

/// The most lines of an operation that are not folded away.
const MAX_UNFOLDED: usize = 10;

/// The most evidence files for which commands are spelled out.
const MAX_COMMANDS: usize = 5;

/// One operation.
struct Operation {
    file: String,
    sha256: Sha256,
    prev: Vec<Sha256>,
    /// What it is, who made it and when.
    title: String,
    /// Lines of the table, as many as may have room.
    rows: Vec<String>,
    /// A tombstone that only one of its lines has, for the example.
    tombstone: Option<Tombstone>,
    records: usize,
    size: u64,
}

/// How much of what there is.
#[derive(Default)]
struct Totals {
    records: usize,
    size: u64,
}

/// Returns the text for a change that brings `evidence` (oldest first) on top of `base`.
pub(super) fn body(
    repository: &Repository,
    evidence: &[Evidence],
    base: Option<&ObjectId>,
) -> Result<String, ReviewError> {
    let mut totals = BTreeMap::new();
    let mut operations = Vec::new();
    // What no text has room for is not kept.
    let mut room = MAX_LENGTH;
    for evidence in evidence.iter().rev() {
        let operation = read(repository, evidence, room, &mut totals)?;
        room = room.saturating_sub(operation.rows.iter().map(String::len).sum());
        operations.push(operation);
    }
    Ok(compose(&operations, &totals, base))
}

fn read(
    repository: &Repository,
    evidence: &Evidence,
    room: usize,
    totals: &mut BTreeMap<&'static str, Totals>,
) -> Result<Operation, ReviewError> {
    let (mut rows, mut used, mut records, mut size) = (Vec::new(), 0, 0, 0_u64);
    let (mut first, mut alike, mut by_others) = (None::<Record>, 0, false);
    let facts = evidence.read(repository, |entry| {
        records += 1;
        size = size.saturating_add(entry.record.size.unwrap_or_default());
        if used < room {
            let row = row(&entry);
            used += row.len();
            rows.push(row);
        }
        by_others |= first.as_ref().is_some_and(|first| first.actor != entry.record.actor);
        alike += usize::from(first.as_ref().is_none_or(|first| first.tombstone == entry.record.tombstone));
        first.get_or_insert(entry.record);
    })?;
    let first = first.expect("valid evidence holds a record");
    let what = action_noun(first.action);
    let total = totals.entry(what).or_default();
    total.records += records;
    total.size = total.size.saturating_add(size);
    let others = if by_others { " and others" } else { "" };
    let actor =
        first.actor.as_ref().map_or_else(String::new, |actor| format!(" by {}{others}", code(actor.as_bytes())));
    let title = format!("{}{actor}, {}", phrase(what, records), first.ts);
    // `grep` shows one line where the item has no other, as in an operation that archives or restores.
    let tombstone = first.tombstone.filter(|_| alike == 1);
    let file = evidence.name.to_string();
    Ok(Operation { file, sha256: facts.sha256, prev: facts.prev, title, rows, tombstone, records, size })
}

fn compose(operations: &[Operation], totals: &BTreeMap<&'static str, Totals>, base: Option<&ObjectId>) -> String {
    let summary: Vec<String> = totals
        .iter()
        .map(|(what, total)| format!("**{}** ({})", phrase(what, total.records), human_size(total.size)))
        .collect();
    let mut text = format!(
        "{}, in {}. Each line of evidence below has the SHA-256 of its bytes, newline included.\n",
        summary.join(", "),
        counted(operations.len(), "operation")
    );
    let check = commands(operations, base);
    let mut used = text.len() + check.len();

    // The newest operations come first here: each names those before it.
    let mut listed = 0;
    for operation in operations {
        let length = operation.frame_length();
        if used + length > MAX_SECTIONS {
            break;
        }
        used += length;
        listed += 1;
    }
    let mut kept_rows = Vec::new();
    for operation in &operations[..listed] {
        let mut kept = 0;
        for row in &operation.rows {
            if used + row.len() > MAX_LENGTH {
                break;
            }
            used += row.len();
            kept += 1;
        }
        kept_rows.push(kept);
    }
    if listed < operations.len() {
        text.push_str(&left_out(operations, listed));
    }
    for (operation, kept) in operations[..listed].iter().zip(kept_rows).rev() {
        operation.write(&mut text, kept);
    }
    text + &check
}

impl Operation {
    /// Returns how long what stands around its lines can get.
    fn frame_length(&self) -> usize {
        let mut text = String::new();
        self.write(&mut text, 0);
        // Folding, and the sentence about lines that are left out, are not in every text.
        text.len() + 256
    }

    fn write(&self, text: &mut String, kept: usize) {
        let _ = write!(text, "\n### {}\n\n", self.title);
        let is_folded = kept > MAX_UNFOLDED;
        if is_folded {
            let _ = write!(
                text,
                "<details><summary>{}, {}</summary>\n\n",
                counted(self.records, "line"),
                human_size(self.size)
            );
        }
        if kept > 0 {
            text.push_str(
                "| path | size | why | tombstone | SHA-256 of the line |\n| --- | ---: | --- | --- | --- |\n",
            );
            self.rows[..kept].iter().for_each(|row| text.push_str(row));
            text.push('\n');
        }
        if is_folded {
            text.push_str("</details>\n\n");
        }
        if kept < self.records {
            let left = counted(self.records - kept, if kept > 0 { "more line" } else { "line" });
            let _ = write!(text, "{left} not shown here: the digest of the whole file covers all.\n\n");
        }
        let _ = writeln!(text, "Evidence `{}`, whole file: `{}`", self.file, self.sha256);
    }
}

/// Returns what is said of the operations that are not listed, with which digests cover them.
fn left_out(operations: &[Operation], listed: usize) -> String {
    let known: HashMap<Sha256, &Operation> = operations.iter().map(|operation| (operation.sha256, operation)).collect();
    let mut covered: HashSet<Sha256> = HashSet::new();
    let mut pending: Vec<&Operation> = operations[..listed].iter().collect();
    while let Some(operation) = pending.pop() {
        for digest in &operation.prev {
            if let Some(earlier) = known.get(digest)
                && covered.insert(*digest)
            {
                pending.push(earlier);
            }
        }
    }
    let uncovered = operations[listed..].iter().filter(|operation| !covered.contains(&operation.sha256)).count();
    let mut text =
        format!("\n{} earlier than those below not shown here", counted(operations.len() - listed, "operation"));
    if uncovered == 0 {
        text.push_str(": the evidence below names all of theirs as its predecessors, so its digests cover them too.\n");
    } else {
        let _ = writeln!(text, "; {uncovered} of them are covered by no digest below.");
    }
    text
}

/// Returns the commands that check the text.
fn commands(operations: &[Operation], base: Option<&ObjectId>) -> String {
    let mut text =
        "\n### How to check this\n\nIn a checkout of this branch, with this text saved as `body.md`:\n\n```sh\n"
            .to_owned();
    let scope = base.map_or_else(
        || "--all".to_owned(),
        // A whole id of a SHA-256 repository would read as a digest.
        |base| format!("--range {}..HEAD", &base.to_string()[..12]),
    );
    let _ = writeln!(text, "git archive-tomb verify {scope}");
    text.push_str("git archive-tomb evidence verify --digests body.md\n");
    for operation in operations.iter().take(MAX_COMMANDS) {
        let _ = writeln!(text, "sha256sum {}", shell(operation.file.as_bytes()));
    }
    // Where a file is a single line its digest says nothing new.
    let examples = || operations.iter().filter_map(|operation| Some((operation.tombstone?, operation)));
    let example = examples().find(|(_, operation)| operation.records > 1).or_else(|| examples().next());
    if let Some((tombstone, operation)) = example {
        let _ = writeln!(text, "grep {tombstone} {} | sha256sum", shell(operation.file.as_bytes()));
    }
    text + "```\n"
}

/// Returns a record as a line of the table.
fn row(entry: &Entry) -> String {
    let record = &entry.record;
    let path = record.repo_path().map_or_else(String::new, |path| code(path.as_bytes()));
    let size = record.size.map_or_else(String::new, human_size);
    let tombstone = record.tombstone.map_or_else(String::new, |tombstone| format!("`{tombstone}`"));
    format!("| {path} | {size} | {} | {tombstone} | `{}` |\n", why(record), entry.digest)
}

/// Returns the reason, and what a reviewer should not miss.
fn why(record: &Record) -> String {
    let mut parts = Vec::new();
    parts.extend(record.reason.as_ref().map(|reason| code(reason.as_bytes())));
    parts.extend(record.source.map(|source| format!("from the {source}")));
    if record.status == Some(Status::AlreadyStored) {
        parts.push("was stored already".to_owned());
    }
    if record.dirty {
        parts.push("never committed".to_owned());
    }
    if record.legal_hold {
        parts.push("legal hold".to_owned());
    }
    parts.extend(record.delete_after.map(|date| format!("not to be destroyed before {date}")));
    parts.extend(record.name.as_ref().map(|name| code(name.as_bytes())));
    parts.join(", ")
}

/// Returns foreign text as a code span that stays in its cell and its line.
fn code(text: &[u8]) -> String {
    format!("`{}`", quote_foreign(text, &["`", "|"]))
}

/// Returns what an operation did to its items.
fn action_noun(action: Action) -> &'static str {
    match action {
        Action::Archive | Action::Import => "archived",
        Action::Restore | Action::BatchRestore => "restored",
        Action::RestoreApproved => "approved for a restore",
        Action::PruneRequest => "requested to be purged",
        Action::RequestWithdrawn => "no longer requested to be purged",
        Action::DeleteApproved => "approved for a purge",
        Action::Purge => "purged",
        Action::HoldSet => "put on hold",
        Action::HoldReleased => "released from a hold",
        _ => "recorded otherwise",
    }
}

fn phrase(what: &str, count: usize) -> String {
    format!("{} {what}", counted(count, "file"))
}
