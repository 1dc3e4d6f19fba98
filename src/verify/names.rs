//! Where evidence stands in a tree, and which names a file system may take for such a place.

use bstr::ByteSlice;
use unicode_normalization::UnicodeNormalization;

/// The components of an evidence folder, from its top.
const PARTS: [&str; 3] = [".codex", "evidence", "ops"];

/// The evidence folder below its top.
pub(super) const EVIDENCE_FOLDER: &str = ".codex/evidence/ops";

/// Returns the folder `below` within `folder`, either of which may be empty.
pub(super) fn join(folder: &[u8], below: &[u8]) -> Vec<u8> {
    match (folder.is_empty(), below.is_empty()) {
        (true, _) => below.to_vec(),
        (_, true) => folder.to_vec(),
        _ => [folder, below].join(&b'/'),
    }
}

/// Returns the top of the evidence folder that holds `path`, or that `path` itself is.
pub(super) fn evidence_top(path: &[u8]) -> Option<&[u8]> {
    let mut start = 0;
    while let Some(found) = path[start..].find(EVIDENCE_FOLDER) {
        let (from, end) = (start + found, start + found + EVIDENCE_FOLDER.len());
        let begins = from == 0 || path[from - 1] == b'/';
        let ends = end == path.len() || path[end] == b'/';
        if begins && ends {
            return Some(&path[..from.saturating_sub(1)]);
        }
        start = from + 1;
    }
    None
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

/// Returns whether some file system takes `component` for `name` (lower-case ASCII), or it is that.
///
/// File systems fold case and Unicode forms, HFS+ skips code points that are not shown, NTFS drops trailing dots and
/// blanks and what follows a colon, and gives names that begin with a dot a short form.
fn is_taken_for(component: &[u8], name: &str) -> bool {
    let stem = component.split(|byte| *byte == b':').next().unwrap_or_default();
    if stem.is_ascii() {
        let stem = stem.trim_end_with(|character| matches!(character, '.' | ' '));
        return stem.eq_ignore_ascii_case(name.as_bytes())
            || name.strip_prefix('.').is_some_and(|rest| {
                stem.strip_suffix(b"~1").is_some_and(|short| short.eq_ignore_ascii_case(rest.as_bytes()))
            });
    }
    let Ok(stem) = std::str::from_utf8(stem) else { return false };
    let visible = stem.chars().filter(|character| !is_ignorable(*character));
    let folded: String =
        visible.nfkc().flat_map(char::to_lowercase).filter(|character| !is_ignorable(*character)).collect();
    folded.trim_end_matches(['.', ' ']) == name
}

/// Returns whether Unicode calls `character` default-ignorable (`DerivedCoreProperties.txt`, Unicode 16).
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_folders_are_found_at_any_depth() {
        assert_eq!(evidence_top(b".codex/evidence/ops/2025/10/x.jsonl"), Some(&b""[..]));
        assert_eq!(evidence_top(b"lib/a/.codex/evidence/ops/x"), Some(&b"lib/a"[..]));
        assert_eq!(evidence_top(b".codex/evidence/ops"), Some(&b""[..]));
        assert_eq!(evidence_top(b"x.codex/evidence/ops/y"), None);
        assert_eq!(evidence_top(b".codex/evidence/opsx/y"), None);
        assert_eq!(evidence_top(b"x.codex/evidence/ops/.codex/evidence/ops"), Some(&b"x.codex/evidence/ops"[..]));
    }

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
