//! The text of an installed hook: rendered with a version and a digest of itself, and recognised again by them.
//!
//! The digest makes a shim recognisable without the template it came from: every version of the program can tell a
//! shim of any other version from one that somebody edited.

use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use super::{Hook, path_bytes};
use crate::id::Sha256;

/// The version of the shims this program writes, and the newest it overwrites.
pub const VERSION: u32 = 1;

/// No shim is longer, in bytes; a longer file is somebody else's hook.
pub(super) const MAX_LENGTH: u64 = 64 * 1024;

const TEMPLATE: &str = include_str!("../../hooks/shim.sh");
const START: &[u8] = b"#!/bin/sh\n# git-archive-tomb hook shim v";
const DIGEST: &[u8] = b" sha256:";

/// A file that begins as a shim does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shim {
    /// The version of the shim.
    pub(super) version: u32,
    /// Whether it is no longer what was installed.
    pub(super) edited: bool,
    /// Where the program was at installation. `None` if that was not recorded.
    pub(super) program: Option<PathBuf>,
}

/// Returns the text of the shim for `hook`, which looks for the program on `PATH` and then at `program`.
pub(super) fn render(hook: Hook, program: Option<&Path>) -> Vec<u8> {
    let body = TEMPLATE
        .replace("@VERSION@", &VERSION.to_string())
        .replace("@HOOK@", hook.name())
        .into_bytes()
        .replacen("@PROGRAM@", quote(&program.map(path_bytes).unwrap_or_default()), 1);
    let mut text = START.to_vec();
    text.extend_from_slice(VERSION.to_string().as_bytes());
    text.extend_from_slice(DIGEST);
    text.extend_from_slice(Sha256::of(&body).to_string().as_bytes());
    text.push(b'\n');
    text.extend_from_slice(&body);
    text
}

/// Returns what `text` says about itself if it is a shim of any version, edited or not.
pub(super) fn parse(text: &[u8]) -> Option<Shim> {
    let rest = text.strip_prefix(START)?;
    let (head, body) = rest.split_once_str("\n").unwrap_or((rest, b""));
    let (version, digest) = head.split_once_str(DIGEST)?;
    let version = version.to_str().ok()?.parse().ok()?;
    let edited = digest != Sha256::of(body).to_string().as_bytes();
    Some(Shim { version, edited, program: recorded_program(body) })
}

/// Returns the path in the line `recorded='…'`. A later version of the shim may do without that line.
fn recorded_program(body: &[u8]) -> Option<PathBuf> {
    let quoted = &body[body.find("\nrecorded=")? + "\nrecorded=".len()..];
    let path = unquote(quoted).filter(|path| !path.is_empty())?;
    path.to_path().ok().map(Path::to_path_buf)
}

/// Returns `bytes` as one word of a POSIX shell: nothing in single quotes is special but the quote itself.
fn quote(bytes: &[u8]) -> Vec<u8> {
    let mut word = b"'".to_vec();
    word.extend(bytes.replace("'", r"'\''"));
    word.push(b'\'');
    word
}

/// Returns the bytes of the word that [`quote`] made, at the start of `text`.
fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    let mut rest = text.strip_prefix(b"'")?;
    loop {
        let (part, tail) = rest.split_once_str("'")?;
        word.extend_from_slice(part);
        let Some(tail) = tail.strip_prefix(br"\''") else { return Some(word) };
        word.push(b'\'');
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shim_is_recognised_and_any_change_shows() {
        let program = Path::new("/opt/it's here/git-archive-tomb");
        let text = render(Hook::PrePush, Some(program));
        let shim = Shim { version: VERSION, edited: false, program: Some(program.to_path_buf()) };
        assert_eq!(parse(&text), Some(shim));
        for (position, _) in text.iter().enumerate().skip(START.len()) {
            let mut changed = text.clone();
            changed[position] ^= 1;
            assert!(parse(&changed).is_none_or(|shim| shim.edited || shim.version != VERSION), "byte {position}");
        }
        assert!(parse(&[&text[..], b"\n"].concat()).expect("still begins as a shim").edited);
        assert!(parse(&text[..text.len() - 1]).expect("still begins as a shim").edited);
    }

    #[test]
    fn other_scripts_are_no_shims() {
        for text in [&b""[..], b"#!/bin/sh\n", START, b"#!/bin/sh\n# git-archive-tomb hook shim vx sha256:\n", b"\xff"]
        {
            assert_eq!(parse(text), None);
        }
        assert_eq!(parse(b"#!/bin/sh\n# git-archive-tomb hook shim v99999999999 sha256:00\n"), None);
    }

    #[test]
    fn a_shim_of_another_version_needs_no_template() {
        let body = b"exec something else\n";
        let text = format!("#!/bin/sh\n# git-archive-tomb hook shim v7 sha256:{}\n", Sha256::of(body)).into_bytes();
        let shim = parse(&[&text[..], body].concat()).expect("is a shim");
        assert_eq!(shim, Shim { version: 7, edited: false, program: None });
    }

    #[test]
    fn a_shim_without_a_recorded_place_names_none() {
        assert_eq!(parse(&render(Hook::PreCommit, None)).expect("is a shim").program, None);
    }

    proptest! {
        #[test]
        fn unquote_undoes_quote(bytes: Vec<u8>, after in "[^'\\\\]*") {
            let mut text = quote(&bytes);
            text.extend_from_slice(after.as_bytes());
            prop_assert_eq!(unquote(&text), Some(bytes));
        }

        #[test]
        #[cfg(unix)]
        fn any_path_is_recorded(bytes in prop::collection::vec(1..=255_u8, 1..64)) {
            let program = PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes));
            let shim = Shim { version: VERSION, edited: false, program: Some(program.clone()) };
            prop_assert_eq!(parse(&render(Hook::PreCommit, Some(&program))), Some(shim));
        }
    }

    #[test]
    #[cfg(unix)]
    fn shells_read_every_byte_of_a_quoted_word() {
        use std::os::unix::ffi::OsStringExt;

        let every: Vec<u8> = (1..=255).chain(*b"''$(id)`id`\\'\n\"").collect();
        for shell in ["sh", "dash", "bash"] {
            let script = [b"word=", &quote(&every)[..], b"; printf %s \"$word\""].concat();
            let mut command = std::process::Command::new(shell);
            let output = command.arg("-c").arg(std::ffi::OsString::from_vec(script)).output().expect("runs");
            assert_eq!(output.stdout.as_bstr(), every.as_bstr(), "{shell}");
        }
    }
}
