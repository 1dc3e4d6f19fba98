//! Where a content went, by the records of it: files it was restored to, exports, other archives.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::{Content, ResidueError};
use crate::archive::{AnyArchive, Event};
use crate::clock::Timestamp;
use crate::evidence::log::records;
use crate::evidence::record::{Action, Record, Status};
use crate::governance::record::took_place;
use crate::id::Sha256;

/// Somewhere the content went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// What took it there: a restore, an export of the whole archive, a migration.
    pub action: Action,
    /// Where to: a path as it was given, or an archive's URL without its secrets.
    pub output: String,
    /// When.
    pub time: Timestamp,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// Returns where the content went by the operations log at `log` and by the events of `archive`, oldest first.
pub(super) fn copies(
    content: &Content,
    log: &Path,
    archive: Option<&mut AnyArchive>,
) -> Result<Vec<Copy>, ResidueError> {
    let mut seen: HashSet<Sha256> = HashSet::new();
    let (mut found, mut stay) = (Vec::new(), Stay::default());
    let mut note = |digest: Sha256, record: &Record| {
        if seen.insert(digest) {
            stay.note(record, content);
            found.extend(copy(record, content));
        }
    };
    for entry in records(log)?.into_iter().flatten().flatten() {
        note(entry.digest, &entry.record);
    }
    if let Some(archive) = archive {
        let mut last = 0;
        loop {
            let page = archive.events_page(last)?;
            let Some((end, _)) = page.last() else { break };
            last = *end;
            for (_, event) in &page {
                if matters(event, content)
                    && let Ok(record) = Record::parse_line(event.line.as_bytes())
                {
                    note(event.digest, &record);
                }
            }
        }
    }
    // What took all that the archive had took this only while it was there.
    found.retain(|copy| copy.action == Action::Restore || stay.covers(copy.time));
    found.sort_by_key(|copy| copy.time);
    Ok(found)
}

/// When a content was in the archive.
#[derive(Default)]
struct Stay {
    /// When it came, and when it was destroyed: which of the two.
    moments: BTreeMap<Timestamp, bool>,
}

impl Stay {
    fn note(&mut self, record: &Record, content: &Content) {
        if record.sha256 == Some(content.sha256)
            && took_place(record)
            && matches!(record.action, Action::Archive | Action::Purge)
        {
            self.moments.insert(record.ts, record.action == Action::Archive);
        }
    }

    /// Returns whether it was there at a moment. Where nothing tells when it came, it always was.
    fn covers(&self, time: Timestamp) -> bool {
        let before = self.moments.range(..=time).next_back();
        before.map_or(self.moments.values().next() != Some(&true), |(_, came)| *came)
    }
}

fn matters(event: &Event, content: &Content) -> bool {
    match event.action {
        Action::Export | Action::Migrate => true,
        Action::Restore | Action::Archive | Action::Purge => {
            event.tombstone.is_some_and(|tombstone| content.tombstones.contains(&tombstone))
        }
        _ => false,
    }
}

/// Returns where `record` says that the content went.
fn copy(record: &Record, content: &Content) -> Option<Copy> {
    let of_content = match record.action {
        // One that only handed the bytes out, to a terminal or a pipe, has no output.
        Action::Restore => record.tombstone.is_some_and(|tombstone| content.tombstones.contains(&tombstone)),
        // Of everything that the archive had then. The proof of an item has no bytes.
        Action::Export => record.tombstone.is_none(),
        action => action == Action::Migrate,
    };
    if !of_content || !matches!(record.status, None | Some(Status::Done)) {
        return None;
    }
    Some(Copy { action: record.action, output: record.output.clone()?, time: record.ts, actor: record.actor.clone() })
}
