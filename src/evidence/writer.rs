//! Makes evidence files. It only builds their bytes; the operation decides when they are written and staged.

use crate::clock::Timestamp;
use crate::id::Sha256;
use crate::item::RepoPath;

use super::format::{EvidenceFileName, MAX_FILE_LENGTH, MAX_RECORDS};
use super::record::{MAX_LINE_LENGTH, Record, RecordError};

/// The most files that one file names as its predecessors. Operations after it name the rest.
pub const MAX_PREV: usize = 512;

/// An evidence file that is to be written, once, to [`path`](Self::path).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvidenceFile {
    name: EvidenceFileName,
    sha256: Sha256,
    text: String,
}

/// Why some records do not make an evidence file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is none.
    #[error("an evidence file needs a record")]
    NoRecords,
    /// There are more than [`MAX_RECORDS`] of them, or they have more than [`MAX_FILE_LENGTH`] bytes.
    #[error("the operation is too large for one evidence file of at most 1,000,000 records and 1 GiB")]
    TooLarge,
    /// A record is not of the first one's operation.
    #[error("record {number} is of another operation than the first one")]
    OtherOperation {
        /// Which record; the first is 1.
        number: usize,
    },
    /// A record after the first carries `count` or `prev`.
    #[error("record {number} carries `count` or `prev`, which only the first one may")]
    StrayCount {
        /// Which record; the first is 1.
        number: usize,
    },
    /// A record makes no valid line.
    #[error("cannot write record {number}, of path {}", path.as_ref().map_or("(none)".to_owned(), RepoPath::to_string))]
    Record {
        /// Which record; the first is 1.
        number: usize,
        /// Its path, where it has one.
        path: Option<RepoPath>,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// The first record's time has no place in a file's name.
    #[error("the time `{ts}` is not in the years 0 to 9999")]
    Time {
        /// The time.
        ts: Timestamp,
    },
}

impl NewEvidenceFile {
    /// Makes the file of `records`, all of one operation, that comes after the files `heads`.
    ///
    /// Sets `count` and `prev` of the first record. `prev` names as many heads as fit in a line, at most [`MAX_PREV`],
    /// the smallest digests first: those that it leaves out stay heads, and later operations name them.
    pub fn build(mut records: Vec<Record>, mut heads: Vec<Sha256>) -> Result<Self, WriteError> {
        let count = records.len() as u64;
        if count > MAX_RECORDS {
            return Err(WriteError::TooLarge);
        }
        let first = records.first_mut().ok_or(WriteError::NoRecords)?;
        let (op, action, ts) = (first.op, first.action, first.ts);
        heads.sort_unstable();
        heads.dedup();
        first.count = Some(count);
        first.prev = Vec::new();
        heads.truncate(room_for_prev(first)?);
        first.prev = heads;

        let mut text = String::new();
        for (record, number) in records.iter().zip(1..) {
            if record.op != op {
                return Err(WriteError::OtherOperation { number });
            }
            if number > 1 && (record.count.is_some() || !record.prev.is_empty()) {
                return Err(WriteError::StrayCount { number });
            }
            text.push_str(&line(record, number)?);
            if text.len() as u64 > MAX_FILE_LENGTH {
                return Err(WriteError::TooLarge);
            }
        }
        let sha256 = Sha256::of(text.as_bytes());
        let name = EvidenceFileName::new(action, ts, &sha256).ok_or(WriteError::Time { ts })?;
        Ok(Self { name, sha256, text })
    }

    /// Returns the file that these bytes, built earlier, are: the same name and digest.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, RecordError> {
        let text = String::from_utf8(bytes).map_err(|_| RecordError::NotCanonical)?;
        let sha256 = Sha256::of(text.as_bytes());
        let first = Record::parse_line(text.split_inclusive('\n').next().unwrap_or_default().as_bytes())?;
        let name = EvidenceFileName::new(first.action, first.ts, &sha256).ok_or(RecordError::NotCanonical)?;
        Ok(Self { name, sha256, text })
    }

    /// Returns the records, parsed from the lines.
    pub fn records(&self) -> Result<Vec<Record>, RecordError> {
        self.lines().into_iter().map(|line| Record::parse_line(line.as_bytes())).collect()
    }

    /// Returns the name.
    pub fn name(&self) -> &EvidenceFileName {
        &self.name
    }

    /// Returns the path from the top of the repository.
    pub fn path(&self) -> RepoPath {
        self.name.path()
    }

    /// Returns the SHA-256 of the bytes: what the stubs of this operation carry as `evidence`.
    pub fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Returns the lines with their newlines: the same bytes go to the operations log and the archive's events.
    pub fn lines(&self) -> Vec<&str> {
        self.text.split_inclusive('\n').collect()
    }
}

fn line(record: &Record, number: usize) -> Result<String, WriteError> {
    record.to_line().map_err(|source| WriteError::Record { number, path: record.repo_path(), source })
}

/// Returns how many digests fit in the `prev` of `first`, which has none yet.
fn room_for_prev(first: &Record) -> Result<usize, WriteError> {
    const KEY: usize = r#","prev":[]"#.len();
    const DIGEST: usize = r#""","#.len() + 64;
    let room = MAX_LINE_LENGTH.saturating_sub(line(first, 1)?.len() + KEY);
    // The last digest has no comma.
    Ok(MAX_PREV.min((room + 1) / DIGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::format::EvidenceFile;
    use crate::evidence::record::Action;
    use crate::evidence::testing::{op, record, records};

    fn heads(count: u32) -> Vec<Sha256> {
        (0..count).map(|number| Sha256::of(&number.to_be_bytes())).collect()
    }

    #[test]
    fn prev_names_the_smallest_heads_that_fit() {
        let file = NewEvidenceFile::build(records(1, 2), heads(600)).expect("makes a file");
        let prev = EvidenceFile::parse(file.name(), file.bytes()).expect("is valid").facts.prev;
        let mut sorted = heads(600);
        sorted.sort();
        assert_eq!(prev, sorted[..MAX_PREV]);

        let mut long = record(1, 1);
        long.reason = Some("x".repeat(60_000));
        let file = NewEvidenceFile::build(vec![long], heads(600)).expect("makes a file");
        let prev = EvidenceFile::parse(file.name(), file.bytes()).expect("is valid").facts.prev;
        assert!(!prev.is_empty() && prev.len() < MAX_PREV);
        assert_eq!(prev, sorted[..prev.len()]);
        // Not one more would have fitted.
        assert!(file.bytes().len() > MAX_LINE_LENGTH - 67 && file.bytes().len() <= MAX_LINE_LENGTH);
    }

    #[test]
    fn what_no_reader_would_take_is_not_written() {
        let build = |records| NewEvidenceFile::build(records, Vec::new());
        assert!(matches!(build(Vec::new()), Err(WriteError::NoRecords)));
        let mut other = records(1, 3);
        other[2].op = op(2);
        assert!(matches!(build(other), Err(WriteError::OtherOperation { number: 3 })));
        let mut stray = records(1, 3);
        stray[1].count = Some(3);
        assert!(matches!(build(stray), Err(WriteError::StrayCount { number: 2 })));
        let mut long = records(1, 2);
        long[1].reason = Some("x".repeat(MAX_LINE_LENGTH));
        assert!(matches!(
            build(long),
            Err(WriteError::Record { number: 2, path: Some(_), source: RecordError::TooLong })
        ));
        let mut early = record(1, 1);
        early.ts = Timestamp::from_millisecond(-100_000_000_000_000).expect("is in range");
        assert!(matches!(build(vec![early]), Err(WriteError::Time { .. })));
    }

    #[test]
    fn every_action_makes_a_name() {
        for action in Action::ALL {
            let mut record = record(1, 1);
            record.action = *action;
            let file = NewEvidenceFile::build(vec![record], Vec::new()).expect("makes a file");
            EvidenceFile::parse(file.name(), file.bytes()).expect("is valid");
        }
    }
}
