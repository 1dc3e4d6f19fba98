//! The integrity of a set of evidence files: each one's bytes, and what they name as their predecessors.

use std::collections::HashSet;
use std::io::Read;

use crate::id::Sha256;
use crate::item::RepoPath;

use super::format::{self, Entry, EvidenceError, EvidenceFileName, Facts};

/// What is known of one path.
#[derive(Debug)]
pub struct Checked {
    /// The path.
    pub path: RepoPath,
    /// What the file says of itself, or what is wrong with it.
    pub outcome: Result<Facts, EvidenceError>,
}

/// A predecessor that no file of the set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The file that names it.
    pub path: RepoPath,
    /// The digest that it names.
    pub digest: Sha256,
}

/// Checks evidence files one after another. Keeps of each only what it says of itself.
#[derive(Debug, Default)]
pub struct Checker {
    files: Vec<Checked>,
}

/// What [`Checker`] found.
#[derive(Debug, Default)]
pub struct Integrity {
    /// Every file, in the order in which they were checked.
    pub files: Vec<Checked>,
    /// Predecessors that are nowhere in the set: a warning, as they may stand in history that is not at hand.
    pub unresolved: Vec<Unresolved>,
    /// The digests of the files that no other one names, sorted.
    pub heads: Vec<Sha256>,
}

impl Checker {
    /// Checks the file at `path` with the bytes of `source`, handing each record to `each`.
    pub fn file(&mut self, path: &RepoPath, source: impl Read, each: impl FnMut(Entry)) -> &Checked {
        let outcome = format::read_path(path, source, each);
        self.files.push(Checked { path: path.clone(), outcome });
        self.files.last().expect("was just added")
    }

    /// Returns what was found, after the last file.
    pub fn finish(self) -> Integrity {
        let facts = || self.files.iter().filter_map(|file| Some((&file.path, file.outcome.as_ref().ok()?)));
        // A newer file is intact: it may be named, though what it names is unknown. Its name was checked against its
        // digest, but only the first half of that is at hand.
        let present: HashSet<Sha256> = facts().map(|(_, facts)| facts.sha256).collect();
        let named: HashSet<Sha256> = facts().flat_map(|(_, facts)| facts.prev.iter().copied()).collect();
        let newer: Vec<EvidenceFileName> = self
            .files
            .iter()
            .filter(|file| file.outcome.as_ref().is_err_and(EvidenceError::is_newer))
            .filter_map(|file| EvidenceFileName::parse_path(&file.path).ok())
            .collect();
        let mut unresolved = Vec::new();
        for (path, facts) in facts() {
            for digest in &facts.prev {
                if !present.contains(digest) && !newer.iter().any(|name| name.matches(digest)) {
                    unresolved.push(Unresolved { path: path.clone(), digest: *digest });
                }
            }
        }
        let mut heads: Vec<Sha256> = present.difference(&named).copied().collect();
        heads.sort_unstable();
        Integrity { files: self.files, unresolved, heads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testing::file;

    #[test]
    fn files_are_checked_one_by_one_and_together() {
        let first = file(1, 2, Vec::new());
        let second = file(2, 1, vec![*first.sha256(), Sha256::of(b"nowhere")]);
        let broken = file(3, 1, vec![*second.sha256()]);
        let mut checker = Checker::default();
        let mut seen = 0;
        for file in [&first, &second] {
            assert!(checker.file(&file.path(), file.bytes(), |_| seen += 1).outcome.is_ok());
        }
        assert!(checker.file(&broken.path(), &broken.bytes()[1..], |_| ()).outcome.is_err());
        let integrity = checker.finish();
        assert_eq!((integrity.files.len(), seen), (3, 3));
        assert_eq!(integrity.heads, [*second.sha256()]);
        let expected = Unresolved { path: second.path(), digest: Sha256::of(b"nowhere") };
        assert_eq!(integrity.unresolved, [expected]);
    }

    #[test]
    fn an_intact_newer_file_resolves_what_names_it() {
        let newer = String::from_utf8(file(1, 1, Vec::new()).bytes().to_vec()).expect("is text");
        let newer = newer.replace("evidence/1", "evidence/2");
        let sha256 = Sha256::of(newer.as_bytes());
        let name = format!("20251017T132236Z-archive-{}.jsonl", sha256.short());
        let path = EvidenceFileName::parse(name.as_bytes()).expect("is a name").path();
        let second = file(2, 1, vec![sha256]);
        let mut checker = Checker::default();
        let outcome = &checker.file(&path, newer.as_bytes(), |_| ()).outcome;
        assert!(outcome.as_ref().is_err_and(EvidenceError::is_newer));
        checker.file(&second.path(), second.bytes(), |_| ());
        assert_eq!(checker.finish().unresolved, []);
    }
}
