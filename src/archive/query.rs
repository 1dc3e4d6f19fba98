//! What a listing selects.

use bstr::ByteSlice;

use crate::clock::Timestamp;
use crate::item::{Reason, RepoPath};

/// Selects items for [`Archive::list`](super::Archive::list). The default selects every sealed item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only items of this repository.
    pub repo: Option<String>,
    /// Only items at paths that this pattern matches: a path, a folder (which stands for everything below it), or, with
    /// `*`, `?` or `[…]` in it, a pattern as git's pathspecs have it, in which `*` and `?` match `/` too.
    pub path: Option<Vec<u8>>,
    /// Only items that carry this tag.
    pub tag: Option<String>,
    /// Only items with this reason.
    pub reason: Option<Reason>,
    /// Only items archived then or later.
    pub since: Option<Timestamp>,
    /// Only items archived then or earlier.
    pub until: Option<Timestamp>,
    /// Only items archived by this actor, exactly.
    pub archived_by: Option<String>,
    /// The clone that asks, which also sees the pending items it began itself.
    pub origin: Option<String>,
    /// At most so many items.
    pub limit: Option<u64>,
}

/// Returns whether `pattern` (see [`Query::path`]) matches `path`.
pub(super) fn path_matches(pattern: &[u8], path: &RepoPath) -> bool {
    let folder = pattern.strip_suffix(b"/").unwrap_or(pattern);
    path.is_within(folder) || (pattern.find_byteset(b"*?[\\").is_some() && glob_matches(pattern, path.as_bytes()))
}

/// Returns whether `text` as a whole matches `pattern`: `*` is any run of bytes, `?` any byte, `[a-z]` and `[!a-z]` a
/// byte of a set, `\` takes the next byte as it is. A set that is never closed matches nothing.
///
/// On a mismatch only the last `*` is tried again, so the time is at most the product of the lengths.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    let mut star: Option<(&[u8], usize)> = None;
    loop {
        if let [b'*', tail @ ..] = rest {
            star = Some((tail, at));
            rest = tail;
            continue;
        }
        let step = match text.get(at) {
            Some(byte) => match_byte(rest, *byte),
            None if rest.is_empty() => return true,
            None => None,
        };
        match (step, star) {
            (Some(tail), _) => {
                rest = tail;
                at += 1;
            }
            (None, Some((tail, start))) if start < text.len() => {
                star = Some((tail, start + 1));
                (rest, at) = (tail, start + 1);
            }
            (None, _) => return false,
        }
    }
}

/// Matches `byte` with the first element of `pattern`, which is not `*`, and returns what follows that element.
fn match_byte(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', tail @ ..] => Some(tail),
        [b'[', set @ ..] => match_set(set, byte),
        [b'\\', literal, tail @ ..] | [literal, tail @ ..] => (*literal == byte).then_some(tail),
        [] => None,
    }
}

/// Matches `byte` with the set whose text follows the opening bracket, and returns what follows the closing one.
fn match_set(set: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match set {
        [b'!' | b'^', tail @ ..] => (true, tail),
        _ => (false, set),
    };
    let (mut found, mut first) = (false, true);
    loop {
        rest = match rest {
            [b']', tail @ ..] if !first => return (found != negated).then_some(tail),
            [low, b'-', high, tail @ ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                tail
            }
            [literal, tail @ ..] => {
                found |= *literal == byte;
                tail
            }
            [] => return None,
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        path_matches(pattern.as_bytes(), &RepoPath::try_new(path).expect("is a path"))
    }

    #[test]
    fn a_pattern_is_a_path_a_folder_or_a_glob() {
        for (pattern, path) in [
            ("", "a/b.py"),
            ("a", "a/b.py"),
            ("a/", "a/b.py"),
            ("a/b.py", "a/b.py"),
            ("*.py", "a/b.py"),
            ("a/*", "a/b/c"),
            ("?/[a-c].py", "a/b.py"),
            ("a/[!x]*", "a/b.py"),
            ("a/[]]", "a/]"),
            (r"a/\*", "a/*"),
            ("a/[x]", "a/[x]"),
            ("**", "a"),
            ("*a*b*c", "xaxbxbxc"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("a/b", "a/bc"),
            ("*.py", "a/b.pyc"),
            ("?", "ab"),
            ("a/[!b]*", "a/b.py"),
            (r"a/\*", "a/b"),
            ("a/[x", "a/x"),
            ("*a*b*c", "xaxbxbx"),
            ("/", "a"),
        ] {
            assert_eq!(matches(pattern, path), pattern == "/", "{pattern} {path}");
        }
    }
}
