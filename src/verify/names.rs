//! Where evidence stands in a tree, and which names a file system may take for such a place.

use bstr::ByteSlice;

pub(super) use crate::evidence::format::{OPS_FOLDER as EVIDENCE_FOLDER, top_of as evidence_top};
use crate::places::is_taken_for;

/// The components of an evidence folder, from its top.
const PARTS: [&str; 3] = [".codex", "evidence", "ops"];

/// Returns the folder `below` within `folder`, either of which may be empty.
pub(super) fn join(folder: &[u8], below: &[u8]) -> Vec<u8> {
    match (folder.is_empty(), below.is_empty()) {
        (true, _) => below.to_vec(),
        (_, true) => folder.to_vec(),
        _ => [folder, below].join(&b'/'),
    }
}

/// Returns `path` relative to the folder `top` that holds it.
pub(super) fn relative_to<'a>(path: &'a [u8], top: &[u8]) -> &'a [u8] {
    if top.is_empty() { path } else { path.get(top.len() + 1..).unwrap_or_default() }
}

/// Returns the folders that hold `path`, the nearest first, the top of the tree (empty) last.
pub(super) fn folders_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(parent(path), |folder| parent(folder))
}

fn parent(path: &[u8]) -> Option<&[u8]> {
    match path.rfind_byte(b'/') {
        Some(slash) => Some(&path[..slash]),
        None => (!path.is_empty()).then_some(&[]),
    }
}

/// Returns whether some file system would take `path` for one in `.codex` at the top, or in an evidence folder
/// anywhere, though its bytes say otherwise.
pub(super) fn is_imposter(path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split_str("/").collect();
    (0..parts.len()).any(|start| {
        let alike = parts[start..].iter().zip(PARTS).take_while(|(part, name)| is_taken_for(part, name)).count();
        let exact = parts[start..].iter().zip(PARTS).take(alike).all(|(part, name)| *part == name.as_bytes());
        !exact && alike >= if start == 0 { 1 } else { PARTS.len() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_its_folders_from_the_nearest_to_the_top() {
        let folders: Vec<_> = folders_of(b"a/b/c").collect();
        assert_eq!(folders, [&b"a/b"[..], b"a", b""]);
        assert_eq!(folders_of(b"c").collect::<Vec<_>>(), [b""]);
        assert_eq!((relative_to(b"a/b/c", b"a"), relative_to(b"a", b"")), (&b"b/c"[..], &b"a"[..]));
        assert_eq!(
            (join(b"", b"a"), join(b"a", b"b"), join(b"a", b"")),
            (b"a".to_vec(), b"a/b".to_vec(), b"a".to_vec())
        );
    }

    #[test]
    fn what_a_file_system_folds_into_codex_is_an_imposter() {
        for path in [
            ".CODEX/evidence/ops/x",
            ".Codex",
            ".codex/Evidence/x",
            ".codex/evidence/OPS/x",
            ".codex./x",
            ".codex /x",
            ".codex::$INDEX_ALLOCATION/x",
            "CODEX~1/x",
            ".c\u{200c}odex/x",
            ".co\u{ad}dex/x",
            ".codex/evi\u{feff}dence/x",
            ".\u{ff43}odex/x",
            "lib/.codex/evidence/opS/x",
            "lib/.CODEX/evidence/ops",
        ] {
            assert!(is_imposter(path.as_bytes()), "{path}");
        }
        for path in [
            ".codex/evidence/ops/x",
            ".codex/stubs/OPS",
            "lib/.codex/evidence/ops/x",
            "lib/.Codex/notes",
            "codex/Evidence/ops",
            ".codexx/x",
            "evidence/ops",
            "a/.codex/evidence/x",
            "é/.codex",
        ] {
            assert!(!is_imposter(path.as_bytes()), "{path}");
        }
        assert!(!is_imposter(b".codex\xff/x"));
    }
}
