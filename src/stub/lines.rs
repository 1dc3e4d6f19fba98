//! Where in a stub something stands, for those who report it.

use bstr::ByteSlice;

use super::read::{Head, normalise};
use super::{KEYS, MAX_RAW_LENGTH};

/// Returns the number of the line, from 1, on which `key` stands, or should, in a file that has a stub's marker.
pub fn line_of(bytes: &[u8], key: &str) -> Option<u64> {
    let text = normalise(&bytes[..bytes.len().min(MAX_RAW_LENGTH)]);
    let index = match Head::of(&text)? {
        // The fields are the lines after the marker's.
        Head::Text { line, .. } => line + 1 + KEYS.iter().position(|known| *known == key)?,
        Head::Json { .. } => {
            let quoted = format!("\"{key}\"");
            text.lines().position(|line| line.contains_str(&quoted))?
        }
        Head::Conflict { .. } => return None,
    };
    Some(index as u64 + 1)
}

/// Returns the number of the first line, from 1, in which two stubs differ by more than readers let pass.
pub fn first_other_line(old: &[u8], new: &[u8]) -> u64 {
    let [old, new] = [old, new].map(|bytes| normalise(&bytes[..bytes.len().min(MAX_RAW_LENGTH)]));
    old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_both_forms() {
        let json = "{\n  \"git-archive-tomb\": {\n    \"marker\": \"git-archive-tomb stub v1\",\n    \"path\": \"a\"\n  }\n}\n";
        assert_eq!(line_of(json.as_bytes(), "path"), Some(4));
        assert_eq!(line_of(json.as_bytes(), "size"), None);
        assert_eq!(line_of(b"# git-archive-tomb stub v1\n", "path"), Some(2));
        assert_eq!(line_of(b"\xef\xbb\xbf#!/bin/sh\r\n# git-archive-tomb stub v1\r\n", "size"), Some(6));
        assert_eq!(line_of(b"print()\n", "path"), None);
    }

    #[test]
    fn what_readers_let_pass_is_no_difference() {
        assert_eq!(first_other_line(b"a\nb\n", b"\xef\xbb\xbfa \r\nc"), 2);
        assert_eq!(first_other_line(b"a\n", b"a\nb\n"), 2);
    }
}
