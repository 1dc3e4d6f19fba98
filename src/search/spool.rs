//! Where lines wait for their turn: in memory while they are few, else in a temporary file that has no name.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Take, Write};
use std::ops::Range;

use tempfile::SpooledTempFile;

use super::SearchError;

/// Up to so many bytes stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// Lines with their numbers, one after the other.
pub(super) struct Spool {
    file: SpooledTempFile,
    length: u64,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self { file: SpooledTempFile::new(IN_MEMORY), length: 0 }
    }

    /// Returns how long it is: where the next line will be.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Adds a line.
    pub(super) fn push(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        let head = [number.to_le_bytes(), length.to_le_bytes()].concat();
        self.file.write_all(&head)?;
        self.file.write_all(line)?;
        self.length += head.len() as u64 + length;
        Ok(())
    }

    /// Forgets what was added since it had this length.
    pub(super) fn truncate(&mut self, length: u64) -> io::Result<()> {
        if length < self.length {
            self.file.set_len(length)?;
            self.file.seek(SeekFrom::Start(length))?;
            self.length = length;
        }
        Ok(())
    }

    /// Adds what stands in `other`, and returns where it is here.
    pub(super) fn take_over(&mut self, other: &mut Self, at: &Range<u64>) -> Result<Range<u64>, SearchError> {
        let start = self.length;
        self.file.seek(SeekFrom::Start(start)).map_err(SearchError::Spool)?;
        other.file.seek(SeekFrom::Start(at.start)).map_err(SearchError::Spool)?;
        let mut part = (&mut other.file).take(at.end - at.start);
        self.length += io::copy(&mut part, &mut self.file).map_err(SearchError::Spool)?;
        Ok(start..self.length)
    }

    /// Returns the lines that stand there. From then on lines are read, and none added but with [`Self::take_over`].
    pub(super) fn lines(&mut self, at: &Range<u64>) -> Result<Lines<'_>, SearchError> {
        self.file.seek(SeekFrom::Start(at.start)).map_err(SearchError::Spool)?;
        Ok(Lines { reader: BufReader::new((&mut self.file).take(at.end - at.start)), line: Vec::new() })
    }
}

/// The lines of one content that have a match.
pub struct Lines<'a> {
    reader: BufReader<Take<&'a mut SpooledTempFile>>,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// Returns the next line, without its end, and its number, from 1.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let (mut number, mut length) = ([0; 8], [0; 8]);
        if self.reader.get_ref().limit() == 0 && self.reader.buffer().is_empty() {
            return Ok(None);
        }
        self.reader.read_exact(&mut number)?;
        self.reader.read_exact(&mut length)?;
        self.line.clear();
        let length = u64::from_le_bytes(length);
        if (&mut self.reader).take(length).read_to_end(&mut self.line)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((u64::from_le_bytes(number), &self.line)))
    }
}
