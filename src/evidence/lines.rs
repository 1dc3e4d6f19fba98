//! Lines of a file that may hold anything, in bounded memory: what the readers of evidence files and of the log share.

use std::io::{self, BufRead};

use bstr::ByteSlice;

use super::record::MAX_LINE_LENGTH;

/// Splits what `source` yields into lines and never keeps more than [`MAX_LINE_LENGTH`] bytes of one.
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
    offset: u64,
}

/// One line as it stands in the file.
pub(super) struct Line<'a> {
    /// Its number; the first is 1.
    pub(super) number: u64,
    /// The bytes before it in the file.
    pub(super) offset: u64,
    /// Its bytes with the newline; only the first [`MAX_LINE_LENGTH`] of a longer one.
    pub(super) bytes: &'a [u8],
    /// Its length in bytes with the newline, however long.
    pub(super) length: u64,
}

impl Line<'_> {
    /// Returns whether the line is longer than any record may be.
    pub(super) fn is_too_long(&self) -> bool {
        self.length > MAX_LINE_LENGTH as u64
    }

    /// Returns whether the newline is missing: only the last line can lack it.
    pub(super) fn is_torn(&self) -> bool {
        !self.is_too_long() && !self.bytes.ends_with(b"\n")
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), number: 0, offset: 0 }
    }

    /// Returns the number and the offset of the line that [`next`](Self::next) returns next.
    pub(super) fn position(&self) -> (u64, u64) {
        (self.number + 1, self.offset)
    }

    /// Returns the next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let mut length = 0;
        let mut ended = false;
        while !ended {
            let available = match self.source.fill_buf() {
                Ok([]) => break,
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let newline = available.find_byte(b'\n');
            ended = newline.is_some();
            let taken = newline.map_or(available.len(), |position| position + 1);
            let room = MAX_LINE_LENGTH - self.buffer.len();
            self.buffer.extend_from_slice(&available[..taken.min(room)]);
            self.source.consume(taken);
            length += taken as u64;
        }
        if length == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += length;
        self.number += 1;
        Ok(Some(Line { number: self.number, offset, bytes: &self.buffer, length }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let endless = io::repeat(b'x').take(200 * 1024 * 1024);
        let mut lines = Lines::new(BufReader::new(endless.chain(&b"\nnext\nlast"[..])));
        let line = lines.next().expect("reads").expect("is a line");
        assert!(line.is_too_long() && !line.is_torn());
        assert_eq!((line.number, line.offset, line.length), (1, 0, 200 * 1024 * 1024 + 1));
        assert!(lines.buffer.capacity() <= 2 * MAX_LINE_LENGTH);
        let line = lines.next().expect("reads").expect("is a line");
        assert_eq!((line.number, line.offset, line.bytes), (2, 200 * 1024 * 1024 + 1, &b"next\n"[..]));
        let line = lines.next().expect("reads").expect("is a line");
        assert!(line.is_torn() && line.bytes == b"last");
        assert!(lines.next().expect("reads").is_none());
    }
}
