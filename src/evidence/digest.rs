//! Digests as pull requests quote them: made from evidence, found again in text, compared with the evidence.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use bstr::ByteSlice;

use crate::id::{Sha256, Tombstone};
use crate::item::RepoPath;
use crate::quote::quote_avoiding;

use super::format::{Entry, Facts};

/// The digest of one record's line, printed as `<sha256>  <tombstone> <path>`.
///
/// `grep TOMBSTONE FILE | sha256sum` prints the same digest where the file has one record of the item, as those of an
/// archiving or restoring operation have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineDigest {
    /// The SHA-256 of the line's bytes with the newline.
    pub digest: Sha256,
    /// The record's item, where it has one.
    pub tombstone: Option<Tombstone>,
    /// The record's path, where it has one.
    pub path: Option<RepoPath>,
}

impl From<&Entry> for LineDigest {
    fn from(entry: &Entry) -> Self {
        Self { digest: entry.digest, tombstone: entry.record.tombstone, path: entry.record.repo_path() }
    }
}

impl fmt::Display for LineDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.digest)?;
        if let Some(tombstone) = &self.tombstone {
            write!(formatter, " {tombstone}")?;
        }
        match &self.path {
            Some(path) => write!(formatter, " {}", quote_foreign(path.as_bytes(), &[])),
            None => Ok(()),
        }
    }
}

/// Returns foreign text for a text that quotes digests: quoted as git quotes paths, and so that nothing in it reads as a
/// digest or a tombstone of its own. The sequences in `forbidden` do not appear in it either.
pub fn quote_foreign<'a>(text: &'a [u8], forbidden: &[&str]) -> Cow<'a, str> {
    let words: Vec<&str> = raw_words(text).filter(|word| is_id(word)).collect();
    let quoted = quote_avoiding(text, &[forbidden, &words].concat());
    // The digits of an escape may complete what follows them.
    if raw_words(quoted.as_bytes()).any(is_id) {
        let escaped: Vec<String> = text.iter().map(|byte| format!("\\{byte:03o}")).collect();
        return Cow::Owned(format!("\"{}\"", escaped.concat()));
    }
    quoted
}

fn is_id(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.parse::<Sha256>().is_ok() || word.parse::<Tombstone>().is_ok()
}

/// A digest that a text quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// The number of the text's line; the first is 1.
    pub line: usize,
    /// The digest.
    pub digest: Sha256,
    /// The tombstone beside it: the only one on the same line.
    pub tombstone: Option<Tombstone>,
    /// The path beside both, as [`LineDigest`] prints it; where the line has that form.
    pub path: Option<String>,
}

/// Returns the SHA-256 digests in `text`, which may be anything, such as the Markdown of a pull request.
///
/// A digest is a word of exactly 64 hexadecimal digits in either case; a word is a run of ASCII letters, digits, `-`
/// and `_`.
pub fn quoted(text: &[u8]) -> Vec<Quoted> {
    let mut found = Vec::new();
    for (content, line) in text.lines().zip(1..) {
        let mut tombstones = words(content).filter_map(|word| word.parse::<Tombstone>().ok());
        let tombstone = match (tombstones.next(), tombstones.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        };
        let digests = words(content).filter_map(|word| word.parse().ok());
        let path = tombstone.and_then(|tombstone| path_beside(content, &tombstone));
        found.extend(digests.map(|digest| Quoted { line, digest, tombstone, path: path.clone() }));
    }
    found
}

/// Returns what stands where [`LineDigest`] prints the path, to the end of the line or of the Markdown around it.
fn path_beside(line: &[u8], tombstone: &Tombstone) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let (before, after) = text.split_once(&format!("  {tombstone} "))?;
    // Nothing but the digest comes before, in a code span or a list perhaps.
    before.rsplit(|character: char| !character.is_ascii_alphanumeric()).next()?.parse::<Sha256>().ok()?;
    let path = after.split('`').next()?.trim_end();
    // In a table without code spans nobody knows where the path ends.
    let is_clear = !path.is_empty() && (after.contains('`') || !after.contains('|'));
    is_clear.then(|| path.to_owned())
}

fn words(text: &[u8]) -> impl Iterator<Item = String> {
    raw_words(text).map(str::to_ascii_lowercase)
}

fn raw_words(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')))
        .filter(|word| matches!(word.len(), 36 | 64))
        .filter_map(|word| std::str::from_utf8(word).ok())
}

/// Every digest that a set of evidence files knows: of its lines, of its files, of archived content and of stubs.
#[derive(Debug, Clone, Default)]
pub struct Known {
    // Lines carry their item and its path; the other digests do not belong to one alone.
    digests: HashMap<Sha256, Option<(Tombstone, Option<RepoPath>)>>,
}

/// What is wrong with a quoted digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The evidence does not know it: the record it stood for was changed or is gone.
    Missing(Quoted),
    /// It is the digest of a record of another item than the tombstone beside it names.
    OtherItem {
        /// What the text quotes.
        quoted: Quoted,
        /// The record's item.
        found: Tombstone,
    },
    /// It is the digest of a record of another path than the one beside it.
    OtherPath {
        /// What the text quotes.
        quoted: Quoted,
        /// The record's path.
        found: RepoPath,
    },
}

impl Known {
    /// Adds the digests of a record's line, content and stub.
    pub fn add_entry(&mut self, entry: &Entry) {
        for digest in [entry.record.sha256, entry.record.stub].into_iter().flatten() {
            self.digests.entry(digest).or_default();
        }
        let item = entry.record.tombstone.map(|tombstone| (tombstone, entry.record.repo_path()));
        self.digests.insert(entry.digest, item);
    }

    /// Adds the digest of a file.
    pub fn add_file(&mut self, facts: &Facts) {
        self.digests.insert(facts.sha256, None);
    }

    /// Returns those of `quoted` that the evidence does not bear out, in order.
    pub fn compare(&self, quoted: &[Quoted]) -> Vec<Mismatch> {
        let check = |quoted: &Quoted| {
            let Some(known) = self.digests.get(&quoted.digest) else {
                return Some(Mismatch::Missing(quoted.clone()));
            };
            let (found, path) = known.as_ref()?;
            if quoted.tombstone.is_some_and(|named| named != *found) {
                return Some(Mismatch::OtherItem { quoted: quoted.clone(), found: *found });
            }
            let (named, path) = (quoted.path.as_ref()?, path.as_ref()?);
            let shown = quote_foreign(path.as_bytes(), &[]);
            // Code spans cannot hold every path as it is.
            let is_same = *named == *shown || shown.contains('`');
            (!is_same).then(|| Mismatch::OtherPath { quoted: quoted.clone(), found: path.clone() })
        };
        quoted.iter().filter_map(check).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::format::EvidenceFile;
    use crate::evidence::testing::file;

    fn evidence() -> EvidenceFile {
        let file = file(1, 2, Vec::new());
        EvidenceFile::parse(file.name(), file.bytes()).expect("is valid")
    }

    fn known(evidence: &EvidenceFile) -> Known {
        let mut known = Known::default();
        known.add_file(&evidence.facts);
        evidence.entries.iter().for_each(|entry| known.add_entry(entry));
        known
    }

    #[test]
    fn a_printed_digest_is_found_again() {
        let evidence = evidence();
        let lines: Vec<_> = evidence.entries.iter().map(|entry| format!("- `{}`", LineDigest::from(entry))).collect();
        let text = lines.join("\n");
        let quoted = quoted(text.as_bytes());
        for (quoted, entry) in quoted.iter().zip(&evidence.entries) {
            assert_eq!((quoted.digest, quoted.tombstone), (entry.digest, entry.record.tombstone));
        }
        assert_eq!(quoted.iter().map(|quoted| quoted.line).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(known(&evidence).compare(&quoted), []);
    }

    #[test]
    fn a_line_digest_prints_as_sha256sum_does() {
        let entry = &evidence().entries[0];
        let tombstone = entry.record.tombstone.expect("has a tombstone");
        let expected = format!("{}  {tombstone} src/legacy/file1.py", entry.digest);
        assert_eq!(LineDigest::from(entry).to_string(), expected);
    }

    #[test]
    fn a_path_that_reads_like_a_digest_is_none() {
        let digest = Sha256::of(b"").to_string();
        let tombstone = "16bd3d4a-ba15-592c-ad02-cf17c8d16881";
        for path in [
            format!("cache/{digest}").into_bytes(),
            format!("{tombstone}/{}", digest.to_uppercase()).into_bytes(),
            [b"\xe9", &digest.as_bytes()[3..]].concat(),
            [b"\n\xe9", &digest.as_bytes()[3..], digest.as_bytes()].concat(),
        ] {
            let line = format!("{digest}  {tombstone} {}", quote_foreign(&path, &["|"]));
            let found = quoted(line.as_bytes());
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].tombstone, tombstone.parse().ok(), "{line}");
            let shown = quote_foreign(&path, &[]);
            assert_eq!(crate::quote::unquote(&shown).as_deref(), Some(&path[..]), "{shown}");
        }
        assert_eq!(quote_foreign(b"src/a.py", &[]), "src/a.py");
    }

    #[test]
    fn what_the_evidence_does_not_know_is_missing() {
        let evidence = evidence();
        let (one, two) = (&evidence.entries[0], &evidence.entries[1]);
        let gone = Sha256::of(b"gone");
        let content = one.record.sha256.expect("has content");
        let tombstone = |entry: &Entry| entry.record.tombstone.expect("has a tombstone");
        let text = format!(
            "| {gone} |\n{} {}\nfile {} and content {content}\n",
            one.digest.to_string().to_uppercase(),
            tombstone(two),
            evidence.facts.sha256,
        );
        let mismatches = known(&evidence).compare(&quoted(text.as_bytes()));
        let swapped = Quoted { line: 2, digest: one.digest, tombstone: Some(tombstone(two)), path: None };
        assert_eq!(
            mismatches,
            [
                Mismatch::Missing(Quoted { line: 1, digest: gone, tombstone: None, path: None }),
                Mismatch::OtherItem { quoted: swapped, found: tombstone(one) },
            ]
        );
    }

    #[test]
    fn a_path_beside_digest_and_tombstone_is_the_records() {
        let evidence = evidence();
        let entry = &evidence.entries[0];
        let right = LineDigest::from(entry).to_string();
        let wrong = right.replace("file1", "file2");
        for (before, after) in [("", ""), ("- `", "`"), ("| `", "` | dead |"), ("> ", "\r"), ("sha256:", "  ")] {
            let compare = |line: &str| known(&evidence).compare(&quoted(format!("{before}{line}{after}\n").as_bytes()));
            assert_eq!(compare(&right), [], "{before}");
            assert!(matches!(&compare(&wrong)[..], [Mismatch::OtherPath { .. }]), "{before}");
        }
        // In any other form, words beside the digest may be anything.
        let table = format!("| {} | {} | something |", entry.digest, entry.record.tombstone.expect("has a tombstone"));
        assert_eq!(known(&evidence).compare(&quoted(table.as_bytes())), []);
    }

    #[test]
    fn only_whole_words_are_digests() {
        let digest = Sha256::of(b"").to_string();
        for text in [format!("x{digest}"), format!("{digest}0"), format!("{digest}-"), digest[1..].to_owned()] {
            assert_eq!(quoted(text.as_bytes()), [], "{text}");
        }
        for text in [digest.clone(), format!("`{digest}`,"), format!("sha256:{digest}\r\n"), format!("\u{e9}{digest}")]
        {
            assert_eq!(quoted(text.as_bytes()).len(), 1, "{text}");
        }
        assert_eq!(quoted(&[0xff; 100]), []);
    }
}
