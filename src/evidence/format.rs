//! The evidence file: how it is named and what it holds. Reads and checks; [`super::writer`] makes.

use std::fmt;
use std::io::{self, BufReader, Read};

use bstr::ByteSlice;

use crate::clock::Timestamp;
use crate::id::{OperationId, Sha256, Sha256Hasher};
use crate::item::RepoPath;
use crate::quote;

use super::lines::{Line, Lines};
use super::record::{Action, Record, RecordError};

/// The folder of all evidence files, relative to the top of the repository.
pub const OPS_FOLDER: &str = ".codex/evidence/ops";

/// The most records that one evidence file holds.
pub const MAX_RECORDS: u64 = 1_000_000;

/// The longest evidence file in bytes (1 GiB).
pub const MAX_FILE_LENGTH: u64 = 1 << 30;

const EXTENSION: &str = ".jsonl";
const TIME_LENGTH: usize = "20251017T132236Z".len();
const SHORT_LENGTH: usize = 16;

/// The name of an evidence file: `YYYYMMDDTHHMMSSZ-<action>-<16 hex>.jsonl`.
///
/// The time and the action are the first record's, the hexadecimal digits begin the SHA-256 of the file's bytes. An
/// action that this program does not know is a name all the same: a newer program's files are not broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceFileName(String);

/// A file name, or a place in the tree, that no evidence file has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not where an evidence file stands: {reason}", quote::quote(path))]
pub struct NameError {
    /// The name or path.
    pub path: Vec<u8>,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl EvidenceFileName {
    /// Returns the name of the file whose first record is of `action` at `ts`, and whose bytes hash to `sha256`.
    ///
    /// `None` for a time outside the years 0 to 9999, which has no name.
    pub fn new(action: Action, ts: Timestamp, sha256: &Sha256) -> Option<Self> {
        let name = format!("{}-{}-{}{EXTENSION}", ts.compact(), action_in_name(action), sha256.short());
        Self::parse(name.as_bytes()).ok()
    }

    /// Parses a file name without its folder.
    pub fn parse(name: &[u8]) -> Result<Self, NameError> {
        let refuse = |reason| NameError { path: name.to_vec(), reason };
        let text = std::str::from_utf8(name).map_err(|_| refuse("the name is not ASCII"))?;
        let stem = text.strip_suffix(EXTENSION).ok_or_else(|| refuse("the name does not end in `.jsonl`"))?;
        let (rest, short) = stem.rsplit_once('-').ok_or_else(|| refuse("the name lacks a `-`"))?;
        let (time, action) = rest.split_once('-').ok_or_else(|| refuse("the name lacks a second `-`"))?;
        if !is_time(time) {
            return Err(refuse("the name does not begin with a time such as `20251017T132236Z`"));
        }
        if !is_action(action) {
            return Err(refuse("the name has no action of lower-case words joined by `-`"));
        }
        if short.len() != SHORT_LENGTH || !short.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refuse("the name does not end in 16 lower-case hexadecimal digits"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Parses a path of the tree: `.codex/evidence/ops/YYYY/MM/<name>`, at the top or in a folder, as an imported
    /// subtree has it.
    pub fn parse_path(path: &RepoPath) -> Result<Self, NameError> {
        let refuse = |reason| NameError { path: path.as_bytes().to_vec(), reason };
        let name = Self::parse(path.file_name()).map_err(|error| refuse(error.reason))?;
        let own = name.path();
        let top = top_of(path.as_bytes()).map(|top| if top.is_empty() { 0 } else { top.len() + 1 });
        if top.is_none_or(|start| path.as_bytes()[start..] != *own.as_bytes()) {
            return Err(refuse("the folder is not `.codex/evidence/ops` and the name's year and month"));
        }
        Ok(name)
    }

    /// Returns the path of the file from the top of the repository.
    pub fn path(&self) -> RepoPath {
        RepoPath::try_new(self.to_string()).expect("is relative and made of plain names")
    }

    /// Returns the file name without its folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the second of its first record, as the name has it: in their order as text.
    pub fn second(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }

    /// Returns whether the name says that the first record is of `action`.
    pub fn is_of(&self, action: Action) -> bool {
        self.action() == action_in_name(action)
    }

    /// Returns whether a file whose bytes hash to `sha256` may have this name.
    pub fn matches(&self, sha256: &Sha256) -> bool {
        self.short() == sha256.short()
    }

    pub(super) fn time(&self) -> &str {
        &self.0[..TIME_LENGTH]
    }

    fn action(&self) -> &str {
        &self.0[TIME_LENGTH + 1..self.0.len() - EXTENSION.len() - SHORT_LENGTH - 1]
    }

    /// Returns the first 16 digits of the digest, which the name carries.
    pub(crate) fn short(&self) -> &str {
        &self.0[self.0.len() - EXTENSION.len() - SHORT_LENGTH..self.0.len() - EXTENSION.len()]
    }
}

impl fmt::Display for EvidenceFileName {
    /// Writes the path from the top of the repository.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time();
        write!(formatter, "{OPS_FOLDER}/{}/{}/{}", &time[..4], &time[4..6], self.0)
    }
}

/// Returns the top of the evidence folder that holds `path`, or that `path` itself is: the folder with `.codex`, empty for
/// the top of the repository. In an evidence folder there is no other one.
pub fn top_of(path: &[u8]) -> Option<&[u8]> {
    let mut start = 0;
    while let Some(found) = path[start..].find(OPS_FOLDER) {
        let (from, end) = (start + found, start + found + OPS_FOLDER.len());
        let begins = from == 0 || path[from - 1] == b'/';
        let ends = end == path.len() || path[end] == b'/';
        if begins && ends {
            return Some(&path[..from.saturating_sub(1)]);
        }
        start = from + 1;
    }
    None
}

/// Returns `action` as names carry it: `HOLD_SET` is `hold-set`.
fn action_in_name(action: Action) -> String {
    action.as_str().to_ascii_lowercase().replace('_', "-")
}

fn is_action(text: &str) -> bool {
    text.len() <= 64
        && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn is_time(text: &str) -> bool {
    const FORM: &str = "%Y%m%dT%H%M%SZ";
    let parsed = (text.len() == TIME_LENGTH).then(|| jiff::civil::DateTime::strptime(FORM, text).ok()).flatten();
    parsed.is_some_and(|time| time.strftime(FORM).to_string() == text)
}

/// One record where it stands in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The number of its line; the first is 1.
    pub number: u64,
    /// The bytes before its line.
    pub offset: u64,
    /// The digest of its line.
    pub digest: Sha256,
    /// The record.
    pub record: Record,
}

impl Entry {
    pub(super) fn parse(line: &Line<'_>) -> Result<Self, RecordError> {
        if line.is_too_long() {
            return Err(RecordError::TooLong);
        }
        let record = Record::parse_line(line.bytes)?;
        Ok(Self { number: line.number, offset: line.offset, digest: Sha256::of(line.bytes), record })
    }
}

/// What a whole, valid evidence file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub length: u64,
    /// How many records it holds.
    pub count: u64,
    /// The operation that all of them tell of.
    pub op: OperationId,
    /// The files that it names as its predecessors, sorted.
    pub prev: Vec<Sha256>,
}

/// Why a line does not belong in its evidence file.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is not a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The last line lacks its newline.
    #[error("the line is cut off")]
    CutOff,
    /// It is of another operation than the first one.
    #[error("the record is of another operation than the first one")]
    OtherOperation,
    /// A line after the first carries `count` or `prev`.
    #[error("`count` and `prev` stand only in the first record")]
    StrayCount,
    /// The first line has no `count`.
    #[error("the first record has no `count`")]
    NoCount,
    /// Time or action of the first line are not those in the file's name.
    #[error("time and action of the first record are not those in the file's name")]
    OtherName,
}

/// Why a file is not valid evidence.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The bytes could not be read.
    #[error("cannot read `{name}`")]
    Read {
        /// The file.
        name: EvidenceFileName,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is broken.
    #[error("line {number} of `{name}`, at byte {offset}, is broken")]
    Line {
        /// The file.
        name: EvidenceFileName,
        /// The line's number; the first is 1.
        number: u64,
        /// The bytes before the line.
        offset: u64,
        /// What is wrong with it.
        #[source]
        source: LineError,
    },
    /// The name does not begin the digest of the bytes.
    #[error("`{name}` was changed: its bytes have sha256 `{found}`")]
    Digest {
        /// The file.
        name: EvidenceFileName,
        /// The digest of its bytes.
        found: Sha256,
    },
    /// The file holds fewer or more records than its first one says.
    #[error("`{name}` says that it holds {stated} records and holds {found}")]
    Count {
        /// The file.
        name: EvidenceFileName,
        /// The first record's `count`.
        stated: u64,
        /// The number of lines.
        found: u64,
    },
    /// The file holds no record.
    #[error("`{name}` is empty")]
    Empty {
        /// The file.
        name: EvidenceFileName,
    },
    /// The file is longer than [`MAX_FILE_LENGTH`] or holds more than [`MAX_RECORDS`].
    #[error("`{name}` has more than 1 GiB or 1,000,000 records")]
    TooLarge {
        /// The file.
        name: EvidenceFileName,
    },
    /// The file is intact, and a later version of the program wrote it: it is not broken.
    #[error("`{name}` has schema `{schema}` and needs a newer git-archive-tomb")]
    Newer {
        /// The file.
        name: EvidenceFileName,
        /// The `schema` of its first newer record.
        schema: String,
    },
}

/// Reads and checks the evidence file `name`, handing each record to `each` in order.
///
/// Takes one line's memory. Only the result says whether the file is intact: `each` also sees the records before the
/// place where a broken file is found broken.
pub fn read(name: &EvidenceFileName, source: impl Read, mut each: impl FnMut(Entry)) -> Result<Facts, FileError> {
    let mut hashed = Hashed { source: source.take(MAX_FILE_LENGTH + 1), hasher: Sha256Hasher::new(), length: 0 };
    let outcome = read_lines(name, &mut hashed, &mut each);
    let Hashed { hasher, length, .. } = hashed;
    if length > MAX_FILE_LENGTH {
        return Err(FileError::TooLarge { name: name.clone() });
    }
    let body = outcome?;
    let sha256 = hasher.finish();
    // Before "newer": else one changed digit would turn a broken file into a newer one.
    if !name.matches(&sha256) {
        return Err(FileError::Digest { name: name.clone(), found: sha256 });
    }
    let First { op, stated, prev } = match body {
        Body::Newer { schema } => return Err(FileError::Newer { name: name.clone(), schema }),
        Body::Records { first, found } if first.stated == found => first,
        Body::Records { first, found } => {
            return Err(FileError::Count { name: name.clone(), stated: first.stated, found });
        }
    };
    Ok(Facts { sha256, length, count: stated, op, prev })
}

/// Why something under `ops/` is not valid evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It stands in the wrong place or has another name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its bytes are not valid evidence, or are of a later version.
    #[error(transparent)]
    File(#[from] FileError),
}

impl EvidenceError {
    /// Returns whether the file is intact and only of a later version.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::File(FileError::Newer { .. }))
    }
}

/// Reads and checks the evidence file at `path` of a tree as [`read`] does, its place included.
pub fn read_path(path: &RepoPath, source: impl Read, each: impl FnMut(Entry)) -> Result<Facts, EvidenceError> {
    let name = EvidenceFileName::parse_path(path)?;
    Ok(read(&name, source, each)?)
}

/// What the first record says of the whole file.
struct First {
    op: OperationId,
    stated: u64,
    prev: Vec<Sha256>,
}

enum Body {
    Records { first: First, found: u64 },
    Newer { schema: String },
}

fn read_lines(
    name: &EvidenceFileName,
    source: &mut impl Read,
    each: &mut impl FnMut(Entry),
) -> Result<Body, FileError> {
    let failed = |source| FileError::Read { name: name.clone(), source };
    let mut lines = Lines::new(BufReader::with_capacity(64 * 1024, source));
    let mut first: Option<First> = None;
    let mut found = 0;
    while let Some(line) = lines.next().map_err(failed)? {
        found = line.number;
        let (number, offset) = (line.number, line.offset);
        let broken = |source| FileError::Line { name: name.clone(), number, offset, source };
        if found > MAX_RECORDS {
            return Err(FileError::TooLarge { name: name.clone() });
        }
        if line.is_torn() {
            return Err(broken(LineError::CutOff));
        }
        let entry = match Entry::parse(&line) {
            Ok(entry) => entry,
            Err(RecordError::Newer { schema }) => {
                // The rest cannot be understood, but counts for the digest.
                while lines.next().map_err(failed)?.is_some() {}
                return Ok(Body::Newer { schema });
            }
            Err(error) => return Err(broken(error.into())),
        };
        match &first {
            None => first = Some(check_first(name, &entry.record).map_err(broken)?),
            Some(first) => check_later(first, &entry.record).map_err(broken)?,
        }
        each(entry);
    }
    let first = first.ok_or_else(|| FileError::Empty { name: name.clone() })?;
    Ok(Body::Records { first, found })
}

fn check_first(name: &EvidenceFileName, record: &Record) -> Result<First, LineError> {
    if name.time() != record.ts.compact() || name.action() != action_in_name(record.action) {
        return Err(LineError::OtherName);
    }
    let stated = record.count.ok_or(LineError::NoCount)?;
    Ok(First { op: record.op, stated, prev: record.prev.clone() })
}

fn check_later(first: &First, record: &Record) -> Result<(), LineError> {
    if record.op != first.op {
        return Err(LineError::OtherOperation);
    }
    if record.count.is_some() || !record.prev.is_empty() {
        return Err(LineError::StrayCount);
    }
    Ok(())
}

/// Hashes and counts what is read through it.
struct Hashed<R> {
    source: R,
    hasher: Sha256Hasher,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// A whole, valid evidence file in memory: about 1.5 KiB for each record. [`read`] needs one line's memory.
#[derive(Debug, Clone, PartialEq)]
pub struct EvidenceFile {
    /// Its name.
    pub name: EvidenceFileName,
    /// What it says of itself.
    pub facts: Facts,
    /// Its records in order.
    pub entries: Vec<Entry>,
}

impl EvidenceFile {
    /// Parses `bytes` as the file `name`.
    pub fn parse(name: &EvidenceFileName, bytes: &[u8]) -> Result<Self, FileError> {
        let mut entries = Vec::new();
        let facts = read(name, bytes, |entry| entries.push(entry))?;
        Ok(Self { name: name.clone(), facts, entries })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rayon::prelude::*;

    use super::*;
    use crate::evidence::testing::{file, op, record};
    use crate::evidence::writer::NewEvidenceFile;

    fn parse(file: &NewEvidenceFile, bytes: &[u8]) -> Result<EvidenceFile, FileError> {
        EvidenceFile::parse(file.name(), bytes)
    }

    /// Returns the file that a careless or malicious writer would make of `lines`: its name fits its bytes.
    fn forged(lines: &[Record]) -> Result<EvidenceFile, FileError> {
        let text: String = lines.iter().map(|record| record.to_line().expect("makes a line")).collect();
        let first = &lines[0];
        let name = EvidenceFileName::new(first.action, first.ts, &Sha256::of(text.as_bytes())).expect("has a name");
        EvidenceFile::parse(&name, text.as_bytes())
    }

    #[test]
    fn what_is_written_reads_back() {
        let heads = vec![Sha256::of(b"b"), Sha256::of(b"a"), Sha256::of(b"b")];
        let file = file(7, 3, heads);
        let parsed = parse(&file, file.bytes()).expect("is valid");
        let mut prev = vec![Sha256::of(b"a"), Sha256::of(b"b")];
        prev.sort();
        assert_eq!((parsed.facts.sha256, parsed.facts.length), (*file.sha256(), file.bytes().len() as u64));
        assert_eq!((parsed.facts.count, parsed.facts.op, &parsed.facts.prev), (3, op(7), &prev));
        for (entry, line) in parsed.entries.iter().zip(file.lines()) {
            assert_eq!(entry.digest, Sha256::of(line.as_bytes()));
            assert_eq!(entry.record.to_line().expect("makes a line"), line);
        }
        assert_eq!(EvidenceFileName::parse_path(&file.path()).as_ref(), Ok(file.name()));
    }

    #[test]
    fn evidence_folders_are_found_at_any_depth() {
        assert_eq!(top_of(b".codex/evidence/ops/2025/10/x.jsonl"), Some(&b""[..]));
        assert_eq!(top_of(b"lib/a/.codex/evidence/ops/x"), Some(&b"lib/a"[..]));
        assert_eq!(top_of(b".codex/evidence/ops"), Some(&b""[..]));
        assert_eq!(top_of(b"x.codex/evidence/ops/y"), None);
        assert_eq!(top_of(b".codex/evidence/opsx/y"), None);
        assert_eq!(top_of(b"x.codex/evidence/ops/.codex/evidence/ops"), Some(&b"x.codex/evidence/ops"[..]));
        assert_eq!(top_of(b".codex/evidence/ops/.codex/evidence/ops/x"), Some(&b""[..]));
    }

    #[test]
    fn names_have_one_form() {
        let good = "20251017T132236Z-hold-set-0123456789abcdef.jsonl";
        let name = EvidenceFileName::parse(good.as_bytes()).expect("is a name");
        assert_eq!((name.time(), name.action(), name.short()), ("20251017T132236Z", "hold-set", "0123456789abcdef"));
        assert_eq!(name.to_string(), format!(".codex/evidence/ops/2025/10/{good}"));
        for bad in [
            "",
            "-",
            "--.jsonl",
            ".jsonl",
            "20251017T132236Z-archive-0123456789abcdef.json",
            "20251017T132236Z-archive-0123456789ABCDEF.jsonl",
            "20251017T132236Z-archive-0123456789abcde.jsonl",
            "20251017T132236Z-archive-0123456789abcdef0.jsonl",
            "20251017T132236Z-0123456789abcdef.jsonl",
            "20251017T132236Z--0123456789abcdef.jsonl",
            "20251017T132236Z-hold--set-0123456789abcdef.jsonl",
            "20251017T132236Z-Archive-0123456789abcdef.jsonl",
            "20251317T132236Z-archive-0123456789abcdef.jsonl",
            "20250230T132236Z-archive-0123456789abcdef.jsonl",
            "20251017T132260Z-archive-0123456789abcdef.jsonl",
            "20251017T132236-archive-0123456789abcdef.jsonl",
            "+0251017T132236Z-archive-0123456789abcdef.jsonl",
            "a/20251017T132236Z-archive-0123456789abcdef.jsonl",
            "20251017T132236Z-archive-0123456789abcdef.jsonl\n",
        ] {
            assert!(EvidenceFileName::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(EvidenceFileName::parse(b"\xff.jsonl").is_err());
    }

    #[test]
    fn a_file_stands_in_the_folder_of_its_month() {
        let name = "20251017T132236Z-archive-0123456789abcdef.jsonl";
        let parse = |folder: &str| {
            EvidenceFileName::parse_path(&RepoPath::try_new(format!("{folder}/{name}")).expect("is a path"))
        };
        assert!(parse(".codex/evidence/ops/2025/10").is_ok());
        assert!(parse("vendor/lib/.codex/evidence/ops/2025/10").is_ok());
        for folder in [
            "x.codex/evidence/ops/2025/10",
            ".codex/evidence/ops/.codex/evidence/ops/2025/10",
            ".codex/evidence/ops/2025/11",
            ".codex/evidence/ops/2024/10",
            ".codex/evidence/ops/2025",
            ".CODEX/evidence/ops/2025/10",
            ".codex/evidence/2025/10",
        ] {
            assert!(parse(folder).is_err(), "{folder}");
        }
    }

    #[test]
    fn every_change_of_a_file_is_detected() {
        // Short records: each of the changed files is read from its beginning.
        let short = |number| {
            let full = record(1, number);
            Record { path: full.path, ..Record::new(full.action, full.op, full.ts) }
        };
        let heads = vec![Sha256::of(b"one"), Sha256::of(b"two")];
        let file = NewEvidenceFile::build((1..=50).map(short).collect(), heads).expect("makes a file");
        let bytes = file.bytes();
        let intact = |changed: &[u8]| read(file.name(), changed, |_| ()).is_ok();
        assert!(intact(bytes));

        let values = [0x01, 0x20];
        let missed: usize = (0..bytes.len())
            .into_par_iter()
            .flat_map_iter(|position| values.map(|value| (position, value)))
            .filter(|(position, value)| {
                let mut changed = bytes.to_vec();
                changed[*position] ^= value;
                intact(&changed)
            })
            .count();
        let changes = bytes.len() * values.len();
        let cuts = (0..bytes.len()).into_par_iter().filter(|length| intact(&bytes[..*length])).count();

        let lines = file.lines();
        let mut moved = 0;
        let mut moved_missed = 0;
        let mut try_lines = |lines: &[&str]| {
            moved += 1;
            moved_missed += usize::from(intact(lines.concat().as_bytes()));
        };
        for one in 0..lines.len() {
            let mut deleted = lines.clone();
            deleted.remove(one);
            try_lines(&deleted);
            let mut doubled = lines.clone();
            doubled.insert(one, lines[one]);
            try_lines(&doubled);
            for other in one + 1..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(one, other);
                try_lines(&swapped);
            }
        }
        assert_eq!(
            (missed, cuts, moved_missed),
            (0, 0, 0),
            "of {changes} changed bytes, {} cuts and {moved} moved lines",
            bytes.len()
        );
        // Captured unless the test is run with `--no-capture`.
        #[expect(clippy::print_stdout, reason = "the counts are what this test is asked for")]
        {
            println!("detected: {changes} changed bytes, {} cuts, {moved} moved lines", bytes.len());
        }
    }

    #[test]
    fn a_broken_line_is_located() {
        let file = file(1, 3, Vec::new());
        let lines = file.lines();
        let second = lines[0].len();
        let mut changed = file.bytes().to_vec();
        changed[second + 3] = b'X';
        let error = parse(&file, &changed).expect_err("is broken");
        assert!(matches!(error, FileError::Line { number: 2, offset, .. } if offset == second as u64), "{error:?}");
        let error = parse(&file, &file.bytes()[..file.bytes().len() - 1]).expect_err("is cut off");
        assert!(matches!(error, FileError::Line { number: 3, source: LineError::CutOff, .. }), "{error:?}");
    }

    #[test]
    fn a_file_whose_name_fits_still_has_to_be_consistent() {
        let good = || {
            let mut records = vec![record(1, 1), record(1, 2)];
            records[0].count = Some(2);
            records
        };
        assert!(forged(&good()).is_ok());

        let mut records = good();
        records[0].count = Some(3);
        assert!(matches!(forged(&records), Err(FileError::Count { stated: 3, found: 2, .. })));
        records[0].count = None;
        assert!(matches!(forged(&records), Err(FileError::Line { number: 1, source: LineError::NoCount, .. })));
        let mut records = good();
        records[1].count = Some(2);
        assert!(matches!(forged(&records), Err(FileError::Line { number: 2, source: LineError::StrayCount, .. })));
        let mut records = good();
        records[1].prev = vec![Sha256::of(b"")];
        assert!(matches!(forged(&records), Err(FileError::Line { number: 2, source: LineError::StrayCount, .. })));
        let mut records = good();
        records[1].op = op(2);
        assert!(matches!(forged(&records), Err(FileError::Line { number: 2, source: LineError::OtherOperation, .. })));

        let file = file(1, 1, Vec::new());
        let other = file.name().as_str().replace("-archive-", "-purge-");
        let other = EvidenceFileName::parse(other.as_bytes()).expect("is a name");
        let error = EvidenceFile::parse(&other, file.bytes()).expect_err("has another action");
        assert!(matches!(error, FileError::Line { number: 1, source: LineError::OtherName, .. }));
        assert!(matches!(parse(&file, b""), Err(FileError::Empty { .. })));
    }

    #[test]
    fn a_newer_file_is_newer_only_while_it_is_intact() {
        let file = file(1, 2, Vec::new());
        let text = String::from_utf8(file.bytes().to_vec()).expect("is text").replace("evidence/1", "evidence/2");
        assert!(matches!(parse(&file, text.as_bytes()), Err(FileError::Digest { .. })));
        let sha256 = Sha256::of(text.as_bytes());
        let name = format!("20251017T132236Z-new-action-{}.jsonl", sha256.short());
        let name = EvidenceFileName::parse(name.as_bytes()).expect("is a name");
        let error = EvidenceFile::parse(&name, text.as_bytes()).expect_err("is newer");
        assert!(matches!(error, FileError::Newer { schema, .. } if schema == "archive-evidence/2"));
    }

    #[test]
    fn a_hostile_file_takes_bounded_memory() {
        let name = file(1, 1, Vec::new()).name().clone();
        let error = read(&name, io::repeat(b'{').take(100 << 20), |_| ()).expect_err("is no evidence");
        assert!(matches!(error, FileError::Line { number: 1, source: LineError::Record(RecordError::TooLong), .. }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_panic(bytes: Vec<u8>) {
            let file = file(1, 1, Vec::new());
            prop_assert!(parse(&file, &bytes).is_err());
            prop_assert!(Record::parse_line(&bytes).is_err());
            let _ = EvidenceFileName::parse(&bytes);
        }

        #[test]
        fn names_that_parse_print_the_same(name in "[0-9]{8}T[0-9]{6}Z-[a-z-]{1,12}-[0-9a-f]{16}\\.jsonl") {
            if let Ok(parsed) = EvidenceFileName::parse(name.as_bytes()) {
                prop_assert_eq!(parsed.as_str(), &name);
                prop_assert_eq!(EvidenceFileName::parse_path(&parsed.path()), Ok(parsed));
            }
        }
    }
}
