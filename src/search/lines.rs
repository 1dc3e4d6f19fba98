//! One content, searched line by line as it comes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use bstr::ByteSlice;

use super::pattern::{Pattern, without_end};
use super::spool::Spool;

/// The longest line, in bytes, that counts as one of a text, and is kept in memory.
pub const MAX_LINE: usize = 4 << 20;

/// So much of a longer line is looked at again with what follows: a match of that length is found wherever it is.
const OVERLAP: usize = 64 << 10;

/// A content with a NUL among so many of its first bytes is no text; git's rule.
const HEAD: usize = 8000;

/// How much is wanted of a content that has a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// That it has one.
    Name,
    /// The number of its lines that have one.
    Count,
    /// These lines.
    Lines,
}

/// What was found in one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// How many lines have a match; where they need not be counted, 1 stands for any number.
    pub count: u64,
    /// Whether its lines are a text's: no NUL among the first 8,000 bytes, and no line longer than [`MAX_LINE`]. Those of
    /// anything else are counted, and not shown.
    pub is_text: bool,
}

impl Default for Found {
    fn default() -> Self {
        Self { count: 0, is_text: true }
    }
}

/// Takes the bytes of a content in pieces of any length, and looks for lines with a match.
pub(super) struct Scanner<'a> {
    pattern: &'a Pattern,
    detail: Detail,
    spool: &'a mut Spool,
    ended: &'a AtomicBool,
    /// The line that has begun and not ended, or the last part of it where it is too long.
    begun: Vec<u8>,
    /// Of a line that is too long: whether a match was found in the parts that are gone.
    too_long: Option<bool>,
    /// How many lines have ended.
    lines: u64,
    /// How many bytes have come, up to [`HEAD`].
    seen: usize,
    found: Found,
}

impl<'a> Scanner<'a> {
    /// Returns a scanner that puts lines into `spool`, and gives up once the search has `ended`.
    pub(super) fn new(pattern: &'a Pattern, detail: Detail, spool: &'a mut Spool, ended: &'a AtomicBool) -> Self {
        let found = Found::default();
        Self { pattern, detail, spool, ended, begun: Vec::new(), too_long: None, lines: 0, seen: 0, found }
    }

    /// Returns what was found, once all bytes have come.
    pub(super) fn finish(mut self) -> io::Result<Found> {
        self.end_line()?;
        Ok(self.found)
    }

    /// Returns whether nothing that may still come changes the result.
    fn is_decided(&self) -> bool {
        self.found.count > 0
            && match self.detail {
                Detail::Name => true,
                Detail::Lines => !self.found.is_text,
                Detail::Count => false,
            }
    }

    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.look_for_nul(bytes);
        if self.is_decided() {
            return Ok(());
        }
        if !self.begun.is_empty() || self.too_long.is_some() {
            let (rest, ended) = match bytes.find_byte(b'\n') {
                Some(end) => (end + 1, true),
                None => (bytes.len(), false),
            };
            self.begun.extend_from_slice(&bytes[..rest]);
            bytes = &bytes[rest..];
            if ended {
                self.end_line()?;
            }
        }
        // Whole lines are searched where they are.
        let whole = bytes.rfind_byte(b'\n').map_or(0, |end| end + 1);
        self.search(&bytes[..whole])?;
        self.begun.extend_from_slice(&bytes[whole..]);
        if self.begun.len() > MAX_LINE {
            self.search_part();
        }
        Ok(())
    }

    fn look_for_nul(&mut self, bytes: &[u8]) {
        let head = &bytes[..bytes.len().min(HEAD - self.seen)];
        self.seen += head.len();
        self.found.is_text &= !head.contains(&0);
    }

    /// Searches whole lines.
    fn search(&mut self, text: &[u8]) -> io::Result<()> {
        let mut from = 0;
        while !self.is_decided()
            && let Some(line) = self.pattern.next_line(text, from)
        {
            self.lines += count_lines(&text[from..line.start]) + 1;
            self.hit(without_end(&text[line.clone()]))?;
            from = line.end;
        }
        self.lines += count_lines(&text[from..]);
        Ok(())
    }

    /// Searches a part of a line that is too long, and forgets it but for its end.
    fn search_part(&mut self) {
        let matched = self.too_long == Some(true) || self.pattern.is_match(&self.begun);
        self.too_long = Some(matched);
        self.found.is_text = false;
        self.begun.drain(..self.begun.len() - OVERLAP);
    }

    /// Searches the line that has begun, if there is one.
    fn end_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.begun);
        match self.too_long.take() {
            Some(matched) => {
                self.lines += 1;
                if matched || self.pattern.is_match(without_end(&line)) {
                    self.hit(&[])?;
                }
                Ok(())
            }
            None => self.search(&line),
        }
    }

    fn hit(&mut self, line: &[u8]) -> io::Result<()> {
        self.found.count += 1;
        if self.detail == Detail::Lines && self.found.is_text { self.spool.push(self.lines, line) } else { Ok(()) }
    }
}

impl Write for Scanner<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.take(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn count_lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search::PatternOptions;

    /// Returns what is found in `content` as it comes in pieces of `length` bytes, and the lines.
    fn scan(wanted: &str, content: &[u8], length: usize, detail: Detail) -> (Found, Vec<(u64, Vec<u8>)>) {
        let pattern = Pattern::new(&[wanted.to_owned()], PatternOptions::default()).expect("is a pattern");
        let (mut spool, ended) = (Spool::new(), AtomicBool::new(false));
        let mut scanner = Scanner::new(&pattern, detail, &mut spool, &ended);
        for piece in content.chunks(length) {
            scanner.write_all(piece).expect("takes it");
        }
        let found = scanner.finish().expect("ends");
        let (end, mut listed) = (spool.len(), Vec::new());
        let mut lines = spool.lines(&(0..end)).expect("reads");
        while let Some((number, line)) = lines.next_line().expect("reads") {
            listed.push((number, line.to_vec()));
        }
        (found, listed)
    }

    #[test]
    fn a_nul_at_the_start_makes_it_no_text_and_a_later_one_does_not() {
        let mut content = b"match\n".repeat(2000);
        assert_eq!(scan("match", &content, 700, Detail::Lines).0, Found { count: 2000, is_text: true });
        content[HEAD] = 0;
        assert!(scan("match", &content, 700, Detail::Lines).0.is_text);
        content[HEAD - 1] = 0;
        assert!(!scan("match", &content, 700, Detail::Lines).0.is_text);
        assert_eq!(scan("match", &content, 700, Detail::Count).0, Found { count: 1999, is_text: false });
        assert_eq!(scan("match", &content, 700, Detail::Name).0.count, 1);
    }

    #[test]
    fn in_a_line_that_is_too_long_matches_are_found_and_not_kept() {
        let piece = 1 << 20;
        let mut content = vec![b'x'; 3 * MAX_LINE];
        // Across the place where a part ends.
        for at in [10, MAX_LINE + piece - 3, content.len() - 7] {
            content[at..at + 7].copy_from_slice(b"needle\n");
            content[at + 6] = b'x';
            for detail in [Detail::Name, Detail::Count, Detail::Lines] {
                let (found, lines) = scan("needle", &content, piece, detail);
                assert_eq!((found.count, lines.len()), (1, 0), "{at}");
            }
        }
        content.extend(b"\nneedle\nend");
        assert_eq!(scan("needle", &content, piece, Detail::Count).0, Found { count: 2, is_text: false });
        assert_eq!(scan("^end$", &content, piece, Detail::Count).0.count, 1);
        assert_eq!(scan("nothing", &content, piece, Detail::Lines).0.count, 0);
    }

    proptest! {
        #[test]
        fn what_is_found_does_not_depend_on_how_it_comes(
            content in r"([ab]{0,4}\n){0,12}[ab]{0,4}", length in 1_usize..20,
            wanted in prop::sample::select(&["a", "ab", "^a", "b$", "^$", "[^a]b", "aa+", "", r"\Aa", r"\s"][..]),
        ) {
            let pattern = Pattern::new(&[wanted.to_owned()], PatternOptions::default()).expect("is a pattern");
            let (found, lines) = scan(wanted, content.as_bytes(), length, Detail::Lines);
            let expected: Vec<_> = (1..).zip(content.as_bytes().lines())
                .filter(|(_, line)| pattern.is_match(line))
                .map(|(number, line)| (number, line.to_vec()))
                .collect();
            prop_assert_eq!(found.count, expected.len() as u64);
            prop_assert_eq!(lines, expected);
        }
    }
}
