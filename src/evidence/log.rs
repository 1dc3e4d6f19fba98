//! The operations log: every record made in this clone, appended to one local file under a lock.
//!
//! Each line is the record's own bytes, so what also stands in an evidence file has the same digest. Unlike an evidence
//! file the log proves nothing by itself: it is what this clone remembers, and where an unfinished operation shows.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::fs;
use crate::id::{OperationId, Tombstone};

use super::format::Entry;
use super::lines::{Line, Lines};
use super::record::{Action, MAX_LINE_LENGTH, Record, RecordError, SchemaVersion};

/// Why the operations log could not be read or added to.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened; a symbolic link is not followed.
    #[error("cannot open the operations log `{}`", path.display())]
    Open {
        /// The log.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What stands there is no file.
    #[error("the operations log `{}` is not a regular file", path.display())]
    NotAFile {
        /// The log.
        path: PathBuf,
    },
    /// The records could not be added; those of this call are not in the log.
    #[error("cannot append to the operations log `{}`", path.display())]
    Append {
        /// The log.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What should be appended is not one whole line.
    #[error("line {number} for the operations log `{}` is not one line of at most 64 KiB", path.display())]
    NotALine {
        /// The log.
        path: PathBuf,
        /// Which of the lines; the first is 1.
        number: usize,
    },
}

/// The operations log, open for appending.
#[derive(Debug)]
pub struct OperationsLog {
    path: PathBuf,
    file: File,
}

/// What [`OperationsLog::append`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Whether the log ended in a cut-off line, which was closed with a newline first.
    pub closed_torn_line: bool,
}

impl OperationsLog {
    /// Opens the log at `path` and makes it, empty, with the folders above it, if it is missing.
    ///
    /// A new log gets the permissions that any new file gets here (0666 less the umask): in a repository that a group
    /// shares, everyone has to be able to append.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        std::fs::create_dir_all(fs::parent_of(path))
            .map_err(|source| LogError::Open { path: path.to_owned(), source })?;
        let file = open_regular(OpenOptions::new().read(true).append(true).create(true), path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends `lines`, each with its newline, and returns once they are durable.
    ///
    /// Waits for the lock of another process, which ends at the latest with that process. All lines go in one write;
    /// if it fails, none of them stays, as far as the system lets us take them back.
    pub fn append<L: AsRef<str>>(&mut self, lines: &[L]) -> Result<Appended, LogError> {
        let mut bytes = Vec::new();
        for (line, number) in lines.iter().zip(1..) {
            let line = line.as_ref();
            if line.len() > MAX_LINE_LENGTH || line.find('\n').map(|end| end + 1) != Some(line.len()) {
                return Err(LogError::NotALine { path: self.path.clone(), number });
            }
            bytes.extend_from_slice(line.as_bytes());
        }
        self.append_locked(bytes).map_err(|source| LogError::Append { path: self.path.clone(), source })
    }

    fn append_locked(&mut self, bytes: Vec<u8>) -> io::Result<Appended> {
        self.file.lock()?;
        let written = append_bytes(&mut self.file, &self.path, bytes);
        let unlocked = self.file.unlock();
        let appended = written?;
        unlocked?;
        Ok(appended)
    }
}

/// Appends `bytes` to `file`, whose lock is held.
fn append_bytes(file: &mut File, path: &Path, mut bytes: Vec<u8>) -> io::Result<Appended> {
    let length = file.seek(SeekFrom::End(0))?;
    let closed_torn_line = length > 0 && {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        last != *b"\n"
    };
    if closed_torn_line {
        bytes.insert(0, b'\n');
    }
    if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
        // A full disk may have taken a part. What could not be acknowledged should not be there; where it stays all
        // the same, the next append closes it off.
        let _ = file.set_len(length);
        return Err(error);
    }
    if length == 0 {
        // The file may be new, and a file is only as durable as its name.
        fs::sync_dir(fs::parent_of(path))?;
    }
    Ok(Appended { closed_torn_line })
}

fn open_regular(options: &mut OpenOptions, path: &Path) -> Result<File, LogError> {
    let failed = |source| LogError::Open { path: path.to_owned(), source };
    // Asked before opening too: opening a pipe would wait for its other end.
    if let Ok(metadata) = path.symlink_metadata()
        && !metadata.is_file()
        && !metadata.is_symlink()
    {
        return Err(LogError::NotAFile { path: path.to_owned() });
    }
    let file = fs::open_no_follow(options, path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        Ok(file)
    } else {
        Err(LogError::NotAFile { path: path.to_owned() })
    }
}

/// A line of the log that is no record.
#[derive(Debug, thiserror::Error)]
#[error("line {number} of `{}`, at byte {offset}, is no record", path.display())]
pub struct LineProblem {
    /// The log.
    pub path: PathBuf,
    /// The line's number; the first is 1.
    pub number: u64,
    /// The bytes before the line.
    pub offset: u64,
    /// What is wrong with it.
    #[source]
    pub kind: ProblemKind,
}

/// What is wrong with a line of the log.
#[derive(Debug, thiserror::Error)]
pub enum ProblemKind {
    /// It is the beginning of a record, as a crash leaves it: not tampering.
    #[error("the line was cut off, as by a crash")]
    Torn,
    /// It is of another program or version that did not name a schema of this family.
    #[error("the line is JSON of another program")]
    Foreign,
    /// It is longer than a record may be, or broken, or of a later version.
    #[error(transparent)]
    Record(RecordError),
    /// The log cannot be read any further.
    #[error("the log cannot be read any further")]
    Read(#[source] io::Error),
}

/// The lines of an operations log in order, in one line's memory.
pub struct Records {
    path: PathBuf,
    // `None` after a failed read.
    lines: Option<Lines<BufReader<File>>>,
}

/// Opens the log at `path` for reading; `None` if there is none yet.
///
/// Records that others append meanwhile may be seen or not; a record is never seen in part except as
/// [`ProblemKind::Torn`] in the last line.
pub fn records(path: &Path) -> Result<Option<Records>, LogError> {
    match open_regular(OpenOptions::new().read(true), path) {
        Ok(file) => Ok(Some(Records { path: path.to_owned(), lines: Some(Lines::new(BufReader::new(file))) })),
        Err(LogError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Iterator for Records {
    type Item = Result<Entry, LineProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        let lines = self.lines.as_mut()?;
        let (number, offset) = lines.position();
        match lines.next() {
            Ok(None) => None,
            Ok(Some(line)) => Some(parse(&line).map_err(|kind| LineProblem {
                path: self.path.clone(),
                number: line.number,
                offset: line.offset,
                kind,
            })),
            Err(error) => {
                self.lines = None;
                Some(Err(LineProblem { path: self.path.clone(), number, offset, kind: ProblemKind::Read(error) }))
            }
        }
    }
}

fn parse(line: &Line<'_>) -> Result<Entry, ProblemKind> {
    if line.is_torn() {
        return Err(ProblemKind::Torn);
    }
    Entry::parse(line).map_err(|error| match error {
        RecordError::Malformed(_) if is_cut_off(line.bytes) => ProblemKind::Torn,
        RecordError::Malformed(_) if is_foreign(line.bytes) => ProblemKind::Foreign,
        error => ProblemKind::Record(error),
    })
}

/// Returns whether `line` begins as our records do and then stops, perhaps in the zeros that a file system fills in
/// after a power cut.
fn is_cut_off(line: &[u8]) -> bool {
    let mut content = line.strip_suffix(b"\n").unwrap_or(line);
    while let [rest @ .., 0] = content {
        content = rest;
    }
    let beginning = format!("{{\"schema\":\"{}", SchemaVersion::FAMILY);
    let compared = content.len().min(beginning.len());
    let filled_with_zeros = line.len() > content.len() + 1;
    content[..compared] == beginning.as_bytes()[..compared]
        && (filled_with_zeros
            || !content.is_empty()
                && serde_json::from_slice::<serde::de::IgnoredAny>(content).is_err_and(|error| error.is_eof()))
}

/// Returns whether `line` is a JSON object that does not claim to be one of our records.
fn is_foreign(line: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line) {
        Ok(object) => {
            let schema = object.get("schema").and_then(serde_json::Value::as_str);
            !schema.is_some_and(|schema| schema.starts_with(SchemaVersion::FAMILY))
        }
        Err(_) => false,
    }
}

/// Which records are wanted; an absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this item.
    pub tombstone: Option<Tombstone>,
    /// Those of one of these actions; empty for all.
    pub actions: Vec<Action>,
    /// Those of this operation.
    pub op: Option<OperationId>,
    /// Those made then or later.
    pub since: Option<Timestamp>,
    /// Those made then or earlier.
    pub until: Option<Timestamp>,
    /// Those of this path or of paths in this folder.
    pub path: Option<Vec<u8>>,
}

impl Filter {
    /// Returns whether `record` is wanted.
    pub fn matches(&self, record: &Record) -> bool {
        self.tombstone.is_none_or(|tombstone| record.tombstone == Some(tombstone))
            && (self.actions.is_empty() || self.actions.contains(&record.action))
            && self.op.is_none_or(|op| record.op == op)
            && self.since.is_none_or(|since| record.ts >= since)
            && self.until.is_none_or(|until| record.ts <= until)
            && self.path.as_ref().is_none_or(|path| record.repo_path().is_some_and(|own| own.is_within(path)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::testing::{op, record};

    fn line(number: u64) -> String {
        record(1, number).to_line().expect("makes a line")
    }

    fn read(path: &Path) -> Vec<Result<Entry, LineProblem>> {
        records(path).expect("opens").expect("is there").collect()
    }

    #[test]
    fn what_is_appended_is_read_in_order() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("log");
        assert!(records(&path).expect("asks").is_none());
        let mut log = OperationsLog::open(&path).expect("opens");
        assert!(!log.append(&[line(1), line(2)]).expect("appends").closed_torn_line);
        log.append::<String>(&[]).expect("appends nothing");
        log.append(&[line(3)]).expect("appends");
        let entries: Vec<_> = read(&path).into_iter().map(|entry| entry.expect("is a record")).collect();
        let sizes: Vec<_> = entries.iter().filter_map(|entry| entry.record.size).collect();
        assert_eq!(sizes, [1, 2, 3]);
        assert_eq!((entries[2].number, entries[2].offset), (3, (line(1).len() + line(2).len()) as u64));
        assert_eq!(entries[0].digest, Record::digest(&line(1)));
    }

    #[test]
    fn what_is_not_one_line_is_not_appended() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("log");
        let mut log = OperationsLog::open(&path).expect("opens");
        for bad in ["", "x", "x\ny\n", "x\ny", &format!("{}\n", "x".repeat(MAX_LINE_LENGTH))] {
            let lines = [line(1), bad.to_owned()];
            assert!(matches!(log.append(&lines), Err(LogError::NotALine { number: 2, .. })));
        }
        assert_eq!(std::fs::read(&path).expect("reads"), b"");
    }

    #[test]
    fn a_log_cut_anywhere_takes_the_next_record_whole() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("log");
        let mut torn = 0;
        let whole = [line(1), line(2), line(3)].concat();
        // With the zeros that some file systems leave behind a power cut, and without.
        for (cut, zeros) in (0..=whole.len()).flat_map(|cut| [(cut, 0), (cut, 9)]) {
            let mut left = whole.as_bytes()[..cut].to_vec();
            left.resize(cut + zeros, 0);
            std::fs::write(&path, &left).expect("writes");
            let before = read(&path);
            assert!(before.iter().all(is_whole_or_torn), "cut at {cut}");

            let appended = OperationsLog::open(&path).expect("opens").append(&[line(4)]).expect("appends");
            assert_eq!(appended.closed_torn_line, !left.is_empty() && !left.ends_with(b"\n"));
            let mut after = read(&path);
            let last = after.pop().expect("has a line").expect("is a record");
            assert_eq!(last.record, record(1, 4));
            let records = after.iter().filter(|line| line.is_ok()).count();
            assert!(records >= whole[..cut].matches('\n').count());
            assert!(after.iter().all(is_whole_or_torn), "cut at {cut}: {after:?}");
            torn += after.len() - records;
        }
        assert!(torn > whole.len(), "cuts leave torn lines");
    }

    fn is_whole_or_torn(line: &Result<Entry, LineProblem>) -> bool {
        matches!(line, Ok(_) | Err(LineProblem { kind: ProblemKind::Torn, .. }))
    }

    #[test]
    fn many_writers_leave_whole_lines() {
        const WRITERS: u64 = 8;
        const APPENDS: u64 = 200;
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("log");
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = &path;
                scope.spawn(move || {
                    for append in 0..APPENDS {
                        // Opened each time: the lock belongs to the open file, so threads exclude each other as
                        // processes do.
                        let mut log = OperationsLog::open(path).expect("opens");
                        let number = writer * APPENDS + append;
                        log.append(&[line(2 * number), line(2 * number + 1)]).expect("appends");
                    }
                });
            }
        });
        let mut sizes: Vec<u64> =
            read(&path).into_iter().filter_map(|entry| entry.expect("is a record").record.size).collect();
        // Records of one call stay together.
        assert!(sizes.chunks(2).all(|pair| pair[0] + 1 == pair[1]));
        sizes.sort_unstable();
        assert_eq!(sizes, (0..2 * WRITERS * APPENDS).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("log");
        let newer = line(1).replace("evidence/1", "evidence/2");
        let not_canonical = line(1).replace(':', ": ");
        let foreign = "{\"action\":\"ARCHIVE\",\"ts\":1}\n";
        let long = format!("{}\n", "x".repeat(MAX_LINE_LENGTH));
        let text =
            [line(1), newer, not_canonical, foreign.to_owned(), "x\n".to_owned(), "\n".to_owned(), long, line(2)];
        std::fs::write(&path, text.concat()).expect("writes");
        let kinds: Vec<_> = read(&path)
            .into_iter()
            .map(|line| match line {
                Ok(_) => "record",
                Err(LineProblem { kind: ProblemKind::Torn, .. }) => "torn",
                Err(LineProblem { kind: ProblemKind::Foreign, .. }) => "foreign",
                Err(LineProblem { kind: ProblemKind::Record(RecordError::Newer { .. }), .. }) => "newer",
                Err(LineProblem { kind: ProblemKind::Record(RecordError::TooLong), .. }) => "long",
                Err(LineProblem { kind: ProblemKind::Record(_), .. }) => "broken",
                Err(LineProblem { kind: ProblemKind::Read(_), .. }) => "unreadable",
            })
            .collect();
        assert_eq!(kinds, ["record", "newer", "broken", "foreign", "broken", "broken", "long", "record"]);
    }

    #[cfg(unix)]
    #[test]
    fn neither_links_nor_pipes_nor_folders_are_opened() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).expect("links");
        assert!(matches!(OperationsLog::open(&link), Err(LogError::Open { .. })));
        assert!(!folder.path().join("elsewhere").exists());
        std::fs::write(folder.path().join("elsewhere"), line(1)).expect("writes");
        assert!(matches!(records(&link), Err(LogError::Open { .. })));

        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs mkfifo");
        assert!(made.success());
        assert!(matches!(records(&pipe), Err(LogError::NotAFile { .. })));
        assert!(matches!(OperationsLog::open(&pipe), Err(LogError::NotAFile { .. })));
        assert!(matches!(OperationsLog::open(folder.path()), Err(LogError::NotAFile { .. })));
    }

    #[test]
    fn filters_join_their_conditions() {
        let (one, two) = (record(1, 1), record(2, 2));
        let keeps = |filter: &Filter| (filter.matches(&one), filter.matches(&two));
        let all = Filter::default();
        assert_eq!(keeps(&all), (true, true));
        assert_eq!(keeps(&Filter { tombstone: one.tombstone, ..all.clone() }), (true, false));
        assert_eq!(keeps(&Filter { actions: vec![Action::Purge], ..all.clone() }), (false, false));
        assert_eq!(keeps(&Filter { actions: vec![Action::Purge, Action::Archive], ..all.clone() }), (true, true));
        assert_eq!(keeps(&Filter { op: Some(op(2)), ..all.clone() }), (false, true));
        assert_eq!(keeps(&Filter { since: Some(two.ts), ..all.clone() }), (false, true));
        assert_eq!(keeps(&Filter { until: Some(one.ts), ..all.clone() }), (true, false));
        assert_eq!(keeps(&Filter { path: Some(b"src/legacy".to_vec()), ..all.clone() }), (true, true));
        assert_eq!(keeps(&Filter { path: Some(b"src/leg".to_vec()), ..all.clone() }), (false, false));
        let both = Filter { tombstone: one.tombstone, op: Some(op(2)), ..all };
        assert_eq!(keeps(&both), (false, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_to_their_end_and_take_the_next_record(bytes: Vec<u8>) {
            let folder = tempfile::tempdir().expect("makes a folder");
            let path = folder.path().join("log");
            std::fs::write(&path, &bytes).expect("writes");
            OperationsLog::open(&path).expect("opens").append(&[line(1)]).expect("appends");
            let last = read(&path).pop().expect("has a line").expect("is a record");
            prop_assert_eq!(last.record, record(1, 1));
        }
    }
}
