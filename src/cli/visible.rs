//! Archived bytes on a terminal: text as it is, and everything that a terminal would obey as something to read.

use std::io::{self, Write};

use bstr::ByteSlice;

/// Returns whether a terminal obeys `character` (controls) or shows what stands beside it in another order.
pub(super) fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Hands bytes on as they are, or, for a terminal, with what misleads it escaped; lines and tabs stay.
pub(crate) struct Visible<W> {
    inner: W,
    escapes: bool,
    /// What may go on as a character, or as the end of a line.
    begun: Vec<u8>,
}

impl<W: Write> Visible<W> {
    /// Returns a writer to `inner`, which is a terminal if it `escapes`.
    pub(super) fn new(inner: W, escapes: bool) -> Self {
        Self { inner, escapes, begun: Vec::new() }
    }

    /// Writes what was still to be completed.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let begun = std::mem::take(&mut self.begun);
        self.escape(&begun, true)
    }

    fn escape(&mut self, bytes: &[u8], last: bool) -> io::Result<()> {
        let mut text = String::with_capacity(bytes.len() + 8);
        let mut chunks = ByteSlice::utf8_chunks(bytes).peekable();
        while let Some(chunk) = chunks.next() {
            let at_end = chunks.peek().is_none() && !last;
            let mut characters = chunk.valid().chars().peekable();
            while let Some(character) = characters.next() {
                match (character, characters.peek()) {
                    ('\n' | '\t', _) | ('\r', Some('\n')) => text.push(character),
                    ('\r', None) if at_end && chunk.invalid().is_empty() => self.begun.push(b'\r'),
                    _ if misleads(character) => text.extend(character.escape_debug()),
                    _ => text.push(character),
                }
            }
            if at_end && chunk.incomplete() {
                self.begun.extend_from_slice(chunk.invalid());
            } else {
                text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
            }
        }
        self.inner.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.escapes {
            return self.inner.write(bytes);
        }
        if self.begun.is_empty() {
            self.escape(bytes, false)?;
        } else {
            let joined = [std::mem::take(&mut self.begun).as_slice(), bytes].concat();
            self.escape(&joined, false)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a terminal gets of `bytes` that come in pieces of `length`.
    fn shown(bytes: &[u8], length: usize) -> String {
        let mut shown = Vec::new();
        let mut visible = Visible::new(&mut shown, true);
        for piece in bytes.chunks(length) {
            visible.write_all(piece).expect("writes");
        }
        visible.finish().expect("writes");
        String::from_utf8(shown).expect("is text")
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_and_text_is_left_alone() {
        let text = "tab\t é 漢 🦀\r\nnext\n";
        let hostile = "\u{1b}]0;x\u{7}\0\u{9b}1m \u{202e}back\rover";
        for length in 1..9 {
            assert_eq!(shown(text.as_bytes(), length), text);
            let expected = r"\u{1b}]0;x\u{7}\0\u{9b}1m \u{202e}back\rover";
            assert_eq!(shown(hostile.as_bytes(), length), expected);
            assert_eq!(shown(b"caf\xe9 \xf0\x9f\x9b\xff\r", length), "caf\\xe9 \\xf0\\x9f\\x9b\\xff\\r");
        }
    }

    #[test]
    fn elsewhere_every_byte_is_as_it_was() {
        let mut same = Vec::new();
        let mut visible = Visible::new(&mut same, false);
        visible.write_all(b"\x1b[31m\xff\r").expect("writes");
        visible.finish().expect("writes");
        assert_eq!(same, b"\x1b[31m\xff\r");
    }
}
