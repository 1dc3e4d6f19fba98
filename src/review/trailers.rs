//! Trailers of commit messages that quote the evidence of the commit, and whether what they quote is still there.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use bstr::{BStr, BString, ByteSlice};
use rayon::prelude::*;

use super::evidence::{Evidence, ReviewError, Scope, added, tracked};
use crate::evidence::format::{EvidenceFileName, FileError, read};
use crate::git::{GitError, IndexEntry, Repository};
use crate::id::{ObjectId, Sha256, Tombstone};

/// The most trailers of a kind in one message. The newest evidence names what came before, directly or through others.
pub const MAX_LISTED: usize = 20;

const TOMBSTONE: &str = "Tombstone";
const TOMBSTONE_COUNT: &str = "Tombstone-Count";
const DIGEST: &str = "Evidence-Digest";

/// What the trailers of a commit say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailers {
    /// The items that the evidence is about.
    tombstones: BTreeSet<Tombstone>,
    /// The digests of the evidence files, oldest first.
    digests: Vec<Sha256>,
}

impl Trailers {
    /// Returns those of what is staged.
    pub fn staged(repository: &Repository) -> Result<Self, ReviewError> {
        Self::of(repository, &added(repository, Scope::Staged)?)
    }

    /// Returns those of an operation's evidence that is in no index.
    pub fn of_operation(tombstones: impl IntoIterator<Item = Tombstone>, evidence: Sha256) -> Self {
        Self { tombstones: tombstones.into_iter().collect(), digests: vec![evidence] }
    }

    fn of(repository: &Repository, evidence: &[Evidence]) -> Result<Self, ReviewError> {
        let mut trailers = Self::default();
        for evidence in evidence {
            let mut tombstones = Vec::new();
            let facts = evidence.read(repository, |entry| tombstones.extend(entry.record.tombstone))?;
            trailers.digests.push(facts.sha256);
            trailers.tombstones.extend(tombstones);
        }
        Ok(trailers)
    }

    /// Returns each as `Key: value`.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = if self.tombstones.len() > MAX_LISTED {
            vec![format!("{TOMBSTONE_COUNT}: {}", self.tombstones.len())]
        } else {
            self.tombstones.iter().map(|tombstone| format!("{TOMBSTONE}: {tombstone}")).collect()
        };
        let newest = &self.digests[self.digests.len().saturating_sub(MAX_LISTED)..];
        lines.extend(newest.iter().map(|digest| format!("{DIGEST}: sha256:{digest}")));
        lines
    }
}

impl fmt::Display for Trailers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.lines().join("\n"))
    }
}

/// Returns the message of the commit that is being made with its trailers as they should be; `None` if nothing is to be
/// changed.
///
/// Trailers of ours that are true stay. Evidence that is quoted and no longer in the index was replaced, as an amend may
/// do: then that digest goes, and the tombstones are listed again. What is no trailer is not touched, and what git takes
/// for no message stays one, so that leaving the editor still ends the commit.
pub fn complete(repository: &Repository, message: &[u8]) -> Result<Option<Vec<u8>>, ReviewError> {
    let staged = added(repository, Scope::Staged)?;
    let mentions = message.to_ascii_lowercase().contains_str(DIGEST.to_ascii_lowercase());
    if (staged.is_empty() && !mentions) || repository.is_no_message(message)? {
        return Ok(None);
    }
    let trailers = if mentions { repository.trailers_of(message)? } else { Vec::new() };
    let quoted: Vec<Sha256> = trailers.iter().filter_map(|line| digest_in(line.as_bstr())).collect();
    let tracked = tracked(repository)?;
    let (kept, gone): (Vec<Sha256>, Vec<Sha256>) =
        quoted.into_iter().partition(|digest| tracked.iter().any(|evidence| evidence.name.matches(digest)));
    let mut wanted = staged;
    let mut text = message.to_vec();
    if !gone.is_empty() {
        text = without(&text, &trailers, |line| {
            is_trailer(line, TOMBSTONE)
                || is_trailer(line, TOMBSTONE_COUNT)
                || digest_in(line).is_some_and(|digest| gone.contains(&digest))
        });
        let quoted = tracked.into_iter().filter(|evidence| kept.iter().any(|digest| evidence.name.matches(digest)));
        wanted.extend(quoted);
        wanted.sort();
        wanted.dedup();
    }
    let lines = Trailers::of(repository, &wanted)?.lines();
    let completed = if lines.is_empty() { text } else { repository.add_trailers(&text, &lines)? };
    Ok((completed != message).then_some(completed))
}

/// Returns the message without those of its trailers that `unwanted` names. The trailers are the last of all lines that
/// read like them.
fn without(message: &[u8], trailers: &[BString], unwanted: impl Fn(&BStr) -> bool) -> Vec<u8> {
    let mut pending: Vec<&BString> = trailers.iter().collect();
    let mut lines: Vec<&[u8]> = message.lines_with_terminator().collect();
    let mut position = lines.len();
    while let (Some(trailer), true) = (pending.last(), position > 0) {
        position -= 1;
        if lines[position].trim_end() == trailer.trim_end() {
            if unwanted(trailer.as_bstr()) {
                lines.remove(position);
            }
            pending.pop();
        }
    }
    lines.concat()
}

fn is_trailer(line: &BStr, key: &str) -> bool {
    line.split_once_str(":").is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(key.as_bytes()))
}

/// Returns the digest of a line `Evidence-Digest: sha256:<64 hex>`.
fn digest_in(line: &BStr) -> Option<Sha256> {
    let (key, value) = line.split_once_str(":")?;
    if !key.trim().eq_ignore_ascii_case(DIGEST.as_bytes()) {
        return None;
    }
    value.trim().strip_prefix(b"sha256:")?.to_str().ok()?.parse().ok()
}

/// What commit messages quote and the evidence does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// How many digests were looked for.
    pub quoted: usize,
    /// Each digest that no evidence has, with the commit whose message quotes it. Oldest commit first.
    pub digests: Vec<(ObjectId, Sha256)>,
    /// Whether commits are missing from this clone, so that their messages were not read.
    pub is_incomplete: bool,
}

/// Looks for all evidence that the messages of the commits reachable from `to` and not from `exclude` quote, in the
/// index, or with `in_tree` in the tree of `to`.
///
/// A message counts wherever in it the line stands: a squash puts the trailers of many commits into its middle.
pub fn missing(
    repository: &Repository,
    to: &ObjectId,
    exclude: &[ObjectId],
    in_tree: bool,
) -> Result<Missing, GitError> {
    let objects = repository.objects();
    // Git's null id stands for a branch that is not there yet.
    let exclude: Vec<ObjectId> = exclude.iter().copied().filter(|id| !id.is_null()).collect();
    let history = objects.history(&[*to], &exclude)?;
    let quoted: Vec<(ObjectId, Sha256)> = history
        .commits
        .par_iter()
        .rev()
        .map(|commit| {
            let message = objects.message(&commit.id)?;
            Ok(message.lines().filter_map(|line| Some((commit.id, digest_in(line.as_bstr())?))).collect::<Vec<_>>())
        })
        .collect::<Result<Vec<_>, GitError>>()?
        .concat();
    // Of an imported subtree the messages are here, and the evidence is in its folder.
    let anywhere = BString::from(":(top,glob)**/.codex/evidence/ops/**");
    let entries: Vec<IndexEntry> = if quoted.is_empty() {
        Vec::new()
    } else if in_tree {
        let entries = repository.expand(to, &[anywhere])?.entries.into_iter();
        let entry = |(path, entry)| IndexEntry { path, entry, stage: 0, skip_worktree: false, assume_unchanged: false };
        entries.map(entry).collect()
    } else {
        repository.tracked_entries(&[anywhere])?
    };
    let named: Vec<(EvidenceFileName, ObjectId)> = entries
        .into_iter()
        .filter_map(|entry| Some((EvidenceFileName::parse_path(&entry.path).ok()?, entry.entry.id)))
        .collect();
    let wanted: HashSet<Sha256> = quoted.iter().map(|(_, digest)| *digest).collect();
    let shorts: HashSet<String> = wanted.iter().map(Sha256::short).collect();
    let mut present = HashSet::new();
    for (name, id) in named.iter().filter(|(name, _)| shorts.contains(name.short())) {
        // The name has the first digits only. What is broken is not the evidence that was quoted.
        match read(name, repository.fetching_objects().open_blob(id)?, |_| ()) {
            Ok(facts) => drop(present.insert(facts.sha256)),
            Err(FileError::Newer { .. }) => present.extend(wanted.iter().filter(|digest| name.matches(digest))),
            Err(_) => {}
        }
    }
    Ok(Missing {
        quoted: wanted.len(),
        digests: quoted.into_iter().filter(|(_, digest)| !present.contains(digest)).collect(),
        is_incomplete: !history.missing.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trailers_at_the_end_are_taken_out() {
        let gone = Sha256::of(b"gone");
        let line = format!("Evidence-Digest: sha256:{gone}\n");
        let message = format!("subject\n\n{line}\nSigned-off-by: A\n{line}# comment\n");
        let trailers = [BString::from("Signed-off-by: A"), BString::from(line.trim_end())];
        let kept = without(message.as_bytes(), &trailers, |line| digest_in(line) == Some(gone));
        assert_eq!(kept.as_bstr(), format!("subject\n\n{line}\nSigned-off-by: A\n# comment\n").as_bytes().as_bstr());
    }

    #[test]
    fn a_digest_is_read_as_git_reads_trailers() {
        let digest = Sha256::of(b"");
        for line in [format!("Evidence-Digest: sha256:{digest}"), format!("evidence-digest:sha256:{digest}\r")] {
            assert_eq!(digest_in(line.as_bytes().as_bstr()), Some(digest));
        }
        for line in [format!("Evidence-Digest: {digest}"), format!("x Evidence-Digest: sha256:{digest}"), String::new()]
        {
            assert_eq!(digest_in(line.as_bytes().as_bstr()), None, "{line}");
        }
    }
}
