//! The checkpoint's file: a statement, and the signature over its bytes.

use std::fmt;

use bstr::ByteSlice;

use crate::clock::Timestamp;
use crate::id::{ObjectId, Sha256};
use crate::item::RepoPath;
use crate::quote::{quote, unquote};
use crate::signature::{AllowedSigners, ArmorError, Signature, SignatureError, Verdict};

/// The folder of all checkpoints, relative to the top of the repository.
pub const FOLDER: &str = ".codex/evidence/checkpoints";

/// The longest checkpoint, in bytes: room for some 15,000 digests.
pub const MAX_LENGTH: u64 = 1 << 20;

const HEADER: &str = "git-archive-tomb checkpoint v";
const VERSION: u32 = 1;

/// What is signed: which evidence there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// When, by the signer's clock.
    pub time: Timestamp,
    /// The repository's name.
    pub repo: String,
    /// The commit at `HEAD`.
    pub commit: Option<ObjectId>,
    /// How many evidence files there were.
    pub count: u64,
    /// The digest of the sorted list of their digests.
    pub evidence: Sha256,
    /// Those that no other one named as its predecessor, sorted.
    pub heads: Vec<Sha256>,
    /// Predecessors that were named and not there, sorted.
    pub absent: Vec<Sha256>,
    /// The checkpoints that no other one named, sorted.
    pub previous: Vec<Sha256>,
}

/// A whole checkpoint. Whether its signature is good, and whose, is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What is signed.
    pub statement: Statement,
    /// The signature.
    pub signature: Signature,
    /// The digest of the file.
    pub sha256: Sha256,
}

/// Why a file is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// It has more than [`MAX_LENGTH`] bytes.
    #[error("it is larger than any checkpoint")]
    TooLong,
    /// It is no plain file of mode 100644.
    #[error("it is no plain file of mode 100644")]
    NotAFile,
    /// It does not begin as a checkpoint does.
    #[error("it is no checkpoint")]
    Foreign,
    /// It is of a later format.
    #[error("it needs a newer git-archive-tomb (checkpoint v{version})")]
    Newer {
        /// The version.
        version: u32,
    },
    /// The statement is not written as this program writes it.
    #[error("its statement is not in canonical form")]
    NotCanonical,
    /// The signature is missing or damaged.
    #[error("its signature is damaged")]
    Signature(#[from] ArmorError),
    /// It stands under a name that is not its own.
    #[error("its name is not that of its time and digest, `{expected}`")]
    Name {
        /// Its own name.
        expected: String,
    },
}

/// Returns whether `path` is in a folder of checkpoints, at the top or, as in an imported subtree, in any folder.
pub fn is_in_folder(path: &[u8]) -> bool {
    path.find(FOLDER).is_some_and(|found| {
        (found == 0 || path[found - 1] == b'/') && path.get(found + FOLDER.len()).is_none_or(|byte| *byte == b'/')
    })
}

impl Statement {
    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut found = Draft::default();
        for line in text.lines().skip(1) {
            found.take(line).ok_or(CheckpointError::NotCanonical)?;
        }
        let statement = found.finish().ok_or(CheckpointError::NotCanonical)?;
        if statement.to_string() == text { Ok(statement) } else { Err(CheckpointError::NotCanonical) }
    }
}

/// A statement of which not all lines were read.
#[derive(Default)]
struct Draft {
    time: Option<Timestamp>,
    repo: Option<String>,
    commit: Option<ObjectId>,
    count: Option<u64>,
    evidence: Option<Sha256>,
    heads: Vec<Sha256>,
    absent: Vec<Sha256>,
    previous: Vec<Sha256>,
}

impl Draft {
    /// Takes a line; the order, and that nothing comes twice, shows when the whole is written again.
    fn take(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(": ")?;
        match key {
            "time" => self.time = Some(value.parse().ok()?),
            "repo" => self.repo = Some(String::from_utf8(unquote(value)?.into_owned()).ok()?),
            "commit" => self.commit = Some(value.parse().ok()?),
            "count" => self.count = Some(value.parse().ok()?),
            "evidence" => self.evidence = Some(value.parse().ok()?),
            "head" => self.heads.push(value.parse().ok()?),
            "absent" => self.absent.push(value.parse().ok()?),
            "previous" => self.previous.push(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    fn finish(mut self) -> Option<Statement> {
        for digests in [&mut self.heads, &mut self.absent, &mut self.previous] {
            digests.sort_unstable();
            digests.dedup();
        }
        let statement = Statement {
            time: self.time?,
            repo: self.repo?,
            commit: self.commit,
            count: self.count?,
            evidence: self.evidence?,
            heads: self.heads,
            absent: self.absent,
            previous: self.previous,
        };
        // A statement about nothing would hold anywhere.
        let is_about_something = statement.count > 0 && !statement.heads.is_empty() && !statement.repo.is_empty();
        let has_a_name = (0..=9999).contains(&statement.time.date().year());
        (is_about_something && has_a_name).then_some(statement)
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{HEADER}{VERSION}")?;
        writeln!(formatter, "time: {}", self.time)?;
        writeln!(formatter, "repo: {}", quote(self.repo.as_bytes()))?;
        if let Some(commit) = &self.commit {
            writeln!(formatter, "commit: {commit}")?;
        }
        writeln!(formatter, "count: {}", self.count)?;
        writeln!(formatter, "evidence: {}", self.evidence)?;
        for (key, digests) in [("head", &self.heads), ("absent", &self.absent), ("previous", &self.previous)] {
            for digest in digests {
                writeln!(formatter, "{key}: {digest}")?;
            }
        }
        Ok(())
    }
}

impl Checkpoint {
    /// Returns the checkpoint of a statement with its signature.
    pub fn new(statement: Statement, signature: Signature) -> Self {
        let sha256 = Sha256::of(format!("{statement}{signature}").as_bytes());
        Self { statement, signature, sha256 }
    }

    /// Parses a file's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() as u64 > MAX_LENGTH {
            return Err(CheckpointError::TooLong);
        }
        let (first, _) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len()));
        let version = std::str::from_utf8(first).ok().and_then(|line| line.strip_prefix(HEADER));
        let version = version.ok_or(CheckpointError::Foreign)?;
        match version.parse::<u32>() {
            Ok(VERSION) => {}
            Ok(newer) if newer > VERSION && newer.to_string() == version => {
                return Err(CheckpointError::Newer { version: newer });
            }
            _ => return Err(CheckpointError::Foreign),
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::NotCanonical)?;
        let (statement, signature) = Signature::split(text).ok_or(ArmorError)?;
        Ok(Self {
            statement: Statement::parse(statement)?,
            signature: Signature::parse(signature)?,
            sha256: Sha256::of(bytes),
        })
    }

    /// Parses the bytes of the file at `path`, whose name has to fit; an imported subtree has its own below its folder. One of a later format is only called newer while its
    /// bytes fit its name; otherwise a changed digit would do.
    pub fn parse_at(path: &RepoPath, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let short = Sha256::of(bytes).short();
        let checkpoint = match Self::parse(bytes) {
            Err(CheckpointError::Newer { .. }) if !path.as_bytes().ends_with(format!("-{short}.txt").as_bytes()) => {
                Err(CheckpointError::Foreign)
            }
            parsed => parsed,
        }?;
        let own = checkpoint.path();
        let folder = path.as_bytes().strip_suffix(own.as_bytes());
        match folder {
            Some(folder) if folder.is_empty() || folder.ends_with(b"/") => Ok(checkpoint),
            _ => Err(CheckpointError::Name { expected: own.to_string() }),
        }
    }

    /// Returns the path of the file from the top of the repository.
    pub fn path(&self) -> RepoPath {
        let path = format!("{FOLDER}/{}-{}.txt", self.statement.time.compact(), self.sha256.short());
        RepoPath::try_new(path).expect("is relative and made of plain names")
    }

    /// Returns whose the signature is, as of the time that it states.
    pub fn verdict(&self, signers: &AllowedSigners) -> Result<Verdict, SignatureError> {
        signers.judge(self.statement.to_string().as_bytes(), &self.signature, self.statement.time)
    }

    /// Returns the file's text.
    pub fn text(&self) -> String {
        format!("{}{}", self.statement, self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Sha256 {
        Sha256::of(&[number])
    }

    fn sorted(numbers: &[u8]) -> Vec<Sha256> {
        let mut digests: Vec<_> = numbers.iter().copied().map(digest).collect();
        digests.sort_unstable();
        digests
    }

    fn sample() -> Checkpoint {
        let statement = Statement {
            time: "2025-10-17T13:22:36.123Z".parse().expect("is a time"),
            repo: "a \"name\"\n\u{1b}[31m".to_owned(),
            commit: Some("0123456789012345678901234567890123456789".parse().expect("is an id")),
            count: 4,
            evidence: digest(0),
            heads: sorted(&[1, 2]),
            absent: sorted(&[3]),
            previous: sorted(&[4, 5]),
        };
        let armor = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAA\n-----END SSH SIGNATURE-----\n";
        Checkpoint::new(statement, Signature::parse(armor).expect("is a signature"))
    }

    #[test]
    fn folders_of_checkpoints_are_found_at_any_depth() {
        for path in [FOLDER, ".codex/evidence/checkpoints/x.txt", "lib/.codex/evidence/checkpoints/x.txt"] {
            assert!(is_in_folder(path.as_bytes()), "{path}");
        }
        for path in ["x.codex/evidence/checkpoints/x", ".codex/evidence/checkpointsx/y", ".codex/evidence"] {
            assert!(!is_in_folder(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_checkpoint_reads_as_it_was_written() {
        let checkpoint = sample();
        let text = checkpoint.text();
        assert_eq!(Checkpoint::parse(text.as_bytes()).as_ref(), Ok(&checkpoint));
        assert_eq!(Checkpoint::parse_at(&checkpoint.path(), text.as_bytes()), Ok(checkpoint.clone()));
        assert!(!text.contains('\u{1b}'), "{text}");
        let first = Checkpoint::new(Statement { commit: None, ..checkpoint.statement }, checkpoint.signature);
        assert_eq!(Checkpoint::parse(first.text().as_bytes()), Ok(first));
    }

    #[test]
    fn every_changed_byte_shows_in_the_name() {
        let checkpoint = sample();
        let (path, text) = (checkpoint.path(), checkpoint.text());
        let mut found = 0;
        for index in 0..text.len() {
            for bit in 0..8 {
                let mut damaged = text.clone().into_bytes();
                damaged[index] ^= 1 << bit;
                assert!(Checkpoint::parse_at(&path, &damaged).is_err(), "{index}: {bit}");
                found += 1;
            }
            assert!(Checkpoint::parse_at(&path, &text.as_bytes()[..index]).is_err(), "{index}");
        }
        assert_eq!(found, text.len() * 8);
    }

    #[test]
    fn lines_are_there_once_and_in_order() {
        let text = sample().text();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let refused = |lines: &[&str]| Checkpoint::parse(lines.concat().as_bytes()).is_err();
        let is_optional = |line: &str| ["commit", "absent", "previous", "head"].iter().any(|key| line.starts_with(key));
        for index in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(index);
            assert_eq!(refused(&without), !is_optional(lines[index]), "{}", lines[index]);
            let mut doubled = lines.clone();
            doubled.insert(index, lines[index]);
            assert!(refused(&doubled), "{}", lines[index]);
            if index + 1 < lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(index, index + 1);
                assert!(refused(&swapped), "{}", lines[index]);
            }
            let mut added = lines.clone();
            added.insert(index, "note: x\n");
            assert!(refused(&added), "{}", lines[index]);
        }
        for (from, to) in [
            ("count: 4", "count: 0"),
            ("count: 4", "count: 04"),
            ("count: 4", "count: -1"),
            ("count: 4", "count: 99999999999999999999"),
            ("time: 2025", "time: -002025"),
            ("time: 2025-10-17T13:22:36.123Z", "time: now"),
            ("checkpoint v1", "checkpoint v01"),
            ("checkpoint v1", "checkpoint v0"),
            ("\n", "\r\n"),
        ] {
            assert!(Checkpoint::parse(text.replace(from, to).as_bytes()).is_err(), "{from}: {to}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_accepted_is_written_as_it_was_read(
            at in 0_usize..600, length in 0_usize..40, text in "[a-f0-9:. \\n\"\\\\]{0,40}",
        ) {
            let sample = sample().text();
            let start = at.min(sample.len());
            let end = (start + length).min(sample.len());
            let edited = [&sample[..start], &text, &sample[end..]].concat();
            if let Ok(checkpoint) = Checkpoint::parse(edited.as_bytes()) {
                proptest::prop_assert_eq!(checkpoint.text(), edited);
            }
        }
    }

    #[test]
    fn hostile_files_are_refused_with_a_reason() {
        let checkpoint = sample();
        let text = checkpoint.text();
        let parse = |bytes: &[u8]| Checkpoint::parse(bytes).expect_err("is refused");
        assert_eq!(parse(b""), CheckpointError::Foreign);
        assert_eq!(parse(&[0; 100]), CheckpointError::Foreign);
        assert_eq!(parse(&vec![b'\n'; 2 << 20]), CheckpointError::TooLong);
        assert_eq!(parse(&[text.as_bytes(), b"\xff"].concat()), CheckpointError::NotCanonical);
        assert_eq!(parse(text.replace("-----END", "----END").as_bytes()), CheckpointError::Signature(ArmorError));
        let newer = text.replace("checkpoint v1", "checkpoint v2");
        assert_eq!(parse(newer.as_bytes()), CheckpointError::Newer { version: 2 });
        let at = |path: &str| {
            let path = RepoPath::try_new(path).expect("is a path");
            Checkpoint::parse_at(&path, newer.as_bytes()).expect_err("is refused")
        };
        assert_eq!(at(&checkpoint.path().to_string()), CheckpointError::Foreign);
        let own = format!("{FOLDER}/20251017T132236Z-{}.txt", Sha256::of(newer.as_bytes()).short());
        assert_eq!(at(&own), CheckpointError::Newer { version: 2 });
        let elsewhere = RepoPath::try_new(format!("{FOLDER}/x.txt")).expect("is a path");
        assert!(matches!(Checkpoint::parse_at(&elsewhere, text.as_bytes()), Err(CheckpointError::Name { .. })));
    }
}
