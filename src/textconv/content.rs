//! What the driver prints for a file, be it the archived one or any other, so that the two can be compared.

use std::io::{self, Write};

use crate::id::{Sha256Hasher, Tombstone};

/// The longest content that is shown, in bytes.
const MAX_LENGTH: usize = 64 << 20;

/// How far git looks for a NUL, which makes a content binary to it.
const BINARY_HEAD: usize = 8000;

/// Takes a content and makes of it what is shown: itself, or a line where it is binary or too long. Equal contents make
/// equal lines, and different ones do not.
#[derive(Default)]
pub struct Shown {
    kept: Vec<u8>,
    length: u64,
    hasher: Sha256Hasher,
}

impl Shown {
    /// Returns what is shown. `crlf` turns line ends into those that git's checkout gives to this path.
    pub fn finish(self, crlf: bool) -> Vec<u8> {
        let is_binary = self.kept[..self.kept.len().min(BINARY_HEAD)].contains(&0);
        if is_binary || self.kept.len() as u64 != self.length {
            let why = if is_binary { "binary" } else { "too long to be shown" };
            return note(&format!("{why}, {} bytes, sha256 {}", self.length, self.hasher.finish()));
        }
        if crlf && !self.kept.contains(&b'\r') {
            return self.kept.split_inclusive(|byte| *byte == b'\n').fold(Vec::new(), |mut text, line| {
                match line.strip_suffix(b"\n") {
                    Some(line) => text.extend_from_slice(&[line, b"\r\n"].concat()),
                    None => text.extend_from_slice(line),
                }
                text
            });
        }
        self.kept
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_LENGTH.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a stub is shown itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// The bytes are neither in the archive nor among the objects of this clone.
    Nowhere,
    /// They were destroyed on purpose.
    Purged,
    /// Whoever wants them needs approvals.
    NeedsApproval,
    /// The archive has other bytes for the item than the stub says, or damaged ones.
    Damaged,
    /// The configuration or the archive cannot be read, so it is not known whether the bytes may be shown.
    Unknown,
}

/// Returns the stub with the reason why it, and not its content, is shown.
pub fn hidden(stub: &[u8], tombstone: &Tombstone, why: Hidden) -> Vec<u8> {
    let why = match why {
        Hidden::Nowhere => "are not in this clone",
        Hidden::Purged => "were purged",
        Hidden::NeedsApproval => "are shown with approvals only",
        Hidden::Damaged => "do not match its archive",
        Hidden::Unknown => "are in an archive that cannot be read",
    };
    [note(&format!("the bytes of this stub {why}; item {tombstone}")), stub.to_vec()].concat()
}

/// Returns whether a text has only the line ends of Windows.
pub fn is_crlf(text: &[u8]) -> bool {
    let mut ends = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).peekable();
    ends.peek().is_some() && ends.all(|line| line.ends_with(b"\r\n"))
}

fn note(text: &str) -> Vec<u8> {
    format!("[git-archive-tomb: {text}]\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(content: &[u8], crlf: bool) -> Vec<u8> {
        let mut shown = Shown::default();
        shown.write_all(content).expect("memory takes all");
        shown.finish(crlf)
    }

    #[test]
    fn text_is_shown_and_the_rest_is_named() {
        assert_eq!(shown(b"a\nb", false), b"a\nb");
        assert_eq!(shown(b"a\nb", true), b"a\r\nb");
        assert_eq!(shown(b"a\r\nb\n", true), b"a\r\nb\n");
        let binary = String::from_utf8(shown(b"a\0b", false)).expect("is text");
        assert!(binary.starts_with("[git-archive-tomb: binary, 3 bytes, sha256 "), "{binary}");
        let long = vec![b'x'; MAX_LENGTH + 1];
        let long = String::from_utf8(shown(&long, false)).expect("is text");
        assert!(long.starts_with("[git-archive-tomb: too long to be shown, 67108865 bytes, sha256 "), "{long}");
        assert!(is_crlf(b"a\r\nb\r\n") && !is_crlf(b"a\r\nb\n") && !is_crlf(b"") && !is_crlf(b"a"));
    }
}
