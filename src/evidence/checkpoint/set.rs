//! The evidence that is here, and which part of it a statement is about.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::clock::Timestamp;
use crate::evidence::check::Integrity;
use crate::evidence::format::EvidenceFileName;
use crate::id::{Sha256, Sha256Hasher};
use crate::item::RepoPath;

use super::format::Statement;
use super::latest;

/// The intact evidence files that are here, by digest.
#[derive(Debug, Default)]
pub struct EvidenceSet {
    files: HashMap<Sha256, File>,
    heads: Vec<Sha256>,
    absent: BTreeSet<Sha256>,
}

#[derive(Debug)]
struct File {
    path: RepoPath,
    prev: Vec<Sha256>,
}

/// Why a statement about evidence does not hold here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Evidence that it vouches for is not here.
    #[error("it vouches for evidence that is not here: {} at least, the first is `{first}`", if *count == 1 { "one file".to_owned() } else { format!("{count} files") })]
    Missing {
        /// How many files are named and not here; what these named is unknown.
        count: usize,
        /// The first of them.
        first: Sha256,
    },
    /// It is about other evidence than its own heads lead to.
    #[error("its number and digest of evidence files are not those of what its heads lead to")]
    Inconsistent,
}

impl EvidenceSet {
    /// Returns the set of the files that were found intact.
    pub fn new(integrity: &Integrity) -> Self {
        let intact = integrity.files.iter().filter_map(|file| Some((&file.path, file.outcome.as_ref().ok()?)));
        let files = intact.map(|(path, facts)| (facts.sha256, File { path: path.clone(), prev: facts.prev.clone() }));
        Self {
            files: files.collect(),
            heads: integrity.heads.clone(),
            absent: integrity.unresolved.iter().map(|unresolved| unresolved.digest).collect(),
        }
    }

    /// Returns the path of each file, by digest.
    pub fn paths(&self) -> impl Iterator<Item = (&Sha256, &RepoPath)> {
        self.files.iter().map(|(digest, file)| (digest, &file.path))
    }

    /// Returns whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Makes `statement` one about this very set.
    pub(super) fn describe(&self, statement: &mut Statement) {
        statement.count = self.files.len() as u64;
        statement.evidence = digest_of(self.files.keys().copied().collect());
        statement.heads.clone_from(&self.heads);
        statement.absent = self.absent.iter().copied().collect();
    }

    /// Returns the files that `statement` is about, if all of them are here.
    pub fn extent(&self, statement: &Statement) -> Result<HashSet<Sha256>, Contradiction> {
        let absent: HashSet<&Sha256> = statement.absent.iter().collect();
        let (mut extent, mut missing) = (HashSet::new(), BTreeSet::new());
        let mut next: Vec<Sha256> = statement.heads.clone();
        while let Some(digest) = next.pop() {
            match self.files.get(&digest) {
                Some(file) if extent.insert(digest) => {
                    next.extend(file.prev.iter().filter(|digest| !absent.contains(digest)));
                }
                Some(_) => {}
                None => {
                    missing.insert(digest);
                }
            }
        }
        if let Some(first) = missing.first() {
            return Err(Contradiction::Missing { count: missing.len(), first: *first });
        }
        let is_as_stated =
            extent.len() as u64 == statement.count && digest_of(extent.iter().copied().collect()) == statement.evidence;
        if is_as_stated { Ok(extent) } else { Err(Contradiction::Inconsistent) }
    }

    /// Returns the youngest of the files `among`, if it is younger than `time`, by more than clocks differ.
    pub(super) fn younger<'a>(
        &self,
        among: impl IntoIterator<Item = &'a Sha256>,
        time: Timestamp,
    ) -> Option<EvidenceFileName> {
        let file = |digest| EvidenceFileName::parse_path(&self.files.get(digest)?.path).ok();
        let youngest = among.into_iter().filter_map(file).max_by(|one, other| one.time().cmp(other.time()))?;
        (*latest(time).compact() < *youngest.time()).then_some(youngest)
    }
}

/// Returns the digest of a list of digests: sorted, each in hexadecimal on a line of its own.
fn digest_of(mut digests: Vec<Sha256>) -> Sha256 {
    digests.sort_unstable();
    let mut hasher = Sha256Hasher::new();
    for digest in digests {
        hasher.update(format!("{digest}\n").as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::check::Checker;
    use crate::evidence::testing::file;
    use crate::evidence::writer::NewEvidenceFile;

    fn set(files: &[&NewEvidenceFile]) -> EvidenceSet {
        let mut checker = Checker::default();
        for file in files {
            checker.file(&file.path(), file.bytes(), |_| ());
        }
        EvidenceSet::new(&checker.finish())
    }

    fn statement(set: &EvidenceSet) -> Statement {
        let mut statement = Statement {
            time: Timestamp::now(),
            repo: "sample".to_owned(),
            commit: None,
            count: 0,
            evidence: Sha256::ZERO,
            heads: Vec::new(),
            absent: Vec::new(),
            previous: Vec::new(),
        };
        set.describe(&mut statement);
        statement
    }

    #[test]
    fn a_statement_holds_in_every_larger_set_and_in_no_smaller_one() {
        let first = file(1, 1, Vec::new());
        let ours = file(2, 1, vec![*first.sha256()]);
        let theirs = file(3, 1, vec![*first.sha256()]);
        let closing = file(4, 1, vec![*ours.sha256(), *theirs.sha256()]);
        let signed = statement(&set(&[&first, &ours]));
        let expected: HashSet<_> = [*first.sha256(), *ours.sha256()].into();
        assert_eq!(set(&[&first, &ours]).extent(&signed), Ok(expected.clone()));
        assert_eq!(set(&[&closing, &theirs, &first, &ours]).extent(&signed), Ok(expected));
        let missing = |first: &NewEvidenceFile| Err(Contradiction::Missing { count: 1, first: *first.sha256() });
        assert_eq!(set(&[&first, &theirs]).extent(&signed), missing(&ours));
        assert_eq!(set(&[&ours, &theirs]).extent(&signed), missing(&first));
        assert_eq!(set(&[]).extent(&signed), missing(&ours));
    }

    #[test]
    fn what_was_absent_may_come_later() {
        let elsewhere = file(1, 1, Vec::new());
        let picked = file(2, 1, vec![*elsewhere.sha256()]);
        let signed = statement(&set(&[&picked]));
        assert_eq!(signed.absent, [*elsewhere.sha256()]);
        let extent = set(&[&picked, &elsewhere]).extent(&signed).expect("holds");
        assert_eq!(extent, [*picked.sha256()].into());
    }

    #[test]
    fn number_and_digest_bind_the_set() {
        let first = file(1, 1, Vec::new());
        let second = file(2, 1, vec![*first.sha256()]);
        let all = set(&[&first, &second]);
        let signed = statement(&all);
        // The list is what `sha256sum`, `sort` and `sha256sum` make of the files.
        let mut list = [first.sha256().to_string(), second.sha256().to_string()];
        list.sort();
        assert_eq!(signed.evidence, Sha256::of(format!("{}\n{}\n", list[0], list[1]).as_bytes()));
        for lie in [
            Statement { count: 3, ..signed.clone() },
            Statement { evidence: Sha256::ZERO, ..signed.clone() },
            Statement { absent: vec![*first.sha256()], ..signed.clone() },
            Statement { heads: vec![*first.sha256()], ..signed.clone() },
        ] {
            assert_eq!(all.extent(&lie), Err(Contradiction::Inconsistent), "{lie}");
        }
    }
}
