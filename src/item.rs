//! What is archived: repository paths, file modes, and the facts that describe one item.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bstr::{BStr, BString, ByteSlice};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{ObjectId, ParseIdError, Sha256, Tombstone, serialize_as_text};
use crate::quote;

/// The longest path in bytes: git's own limit on most systems (`PATH_MAX` on Linux).
pub const MAX_PATH_LENGTH: usize = 4096;

/// A path inside a repository: bytes, relative to the top of the working tree, with `/` between components.
///
/// It is never empty or absolute, has no empty, `.` or `..` component and no NUL; components that git would take for
/// `.git` on any file system are refused too. So joining it to a folder stays in that folder as long as no component
/// is a symbolic link, which only the file system can tell (see [`crate::fs`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath(BString);

/// Why some bytes are not a [`RepoPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a path inside a repository: {reason}", quote::quote(path))]
pub struct RepoPathError {
    /// The refused bytes.
    pub path: Vec<u8>,
    /// The rule that they break, as a noun phrase.
    pub reason: &'static str,
}

impl RepoPath {
    /// Returns `path` if it stays inside a repository and outside `.git`.
    pub fn try_new(path: impl Into<Vec<u8>>) -> Result<Self, RepoPathError> {
        let path = path.into();
        let reason = if path.is_empty() {
            "it is empty"
        } else if path.len() > MAX_PATH_LENGTH {
            "it is longer than 4096 bytes"
        } else if path.contains(&0) {
            "it holds a NUL byte"
        } else if path[0] == b'/' {
            "it is absolute"
        } else if path.split(|byte| *byte == b'/').any(|part| part.is_empty() || part == b"." || part == b"..") {
            "it has an empty, `.` or `..` component"
        } else if path.split(|byte| *byte == b'/').any(is_dot_git) {
            "it leads into `.git`"
        } else {
            return Ok(Self(path.into()));
        };
        Err(RepoPathError { path, reason })
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes as a displayable byte string.
    pub fn as_bstr(&self) -> &BStr {
        self.0.as_bstr()
    }

    /// Returns the last component.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Returns the folder, without the final slash; empty for a path at the top.
    pub fn parent(&self) -> &[u8] {
        self.0.rfind_byte(b'/').map_or(&[], |slash| &self.0[..slash])
    }

    /// Returns whether the path is `folder` itself or below it; the empty folder holds everything.
    pub fn is_within(&self, folder: &[u8]) -> bool {
        folder.is_empty()
            || self.0.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    }

    /// Returns the pathspec that means just this path, in any folder of the repository: one word of a shell, for hints.
    pub fn to_pathspec(&self) -> String {
        if self.0.iter().copied().all(quote::is_plain_word) {
            return format!(":/{}", self.0);
        }
        // Without `literal`, wildcards would match other paths too, and a `!` at the start all others.
        quote::shell(&[b":(top,literal)", self.as_bytes()].concat())
    }

    /// Returns the path for the operating system, relative to the top of the working tree.
    pub fn to_os_path(&self) -> std::path::PathBuf {
        self.0.to_path_lossy().into_owned()
    }
}

impl fmt::Display for RepoPath {
    /// Writes the path quoted as git quotes it, safe for a terminal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&quote::quote(&self.0))
    }
}

impl FromStr for RepoPath {
    type Err = ParseIdError;

    /// Parses the quoted form that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let bytes = quote::unquote(text).and_then(|bytes| Self::try_new(bytes).ok());
        bytes.ok_or_else(|| ParseIdError::new("a path inside a repository, quoted as git quotes it", text))
    }
}

serialize_as_text!(RepoPath);

/// Returns whether some file system takes `component` for `.git`: other case, the NTFS short name, trailing dots,
/// blanks or streams on NTFS, and characters HFS+ ignores (the list of git's `utf8.c`, `next_hfs_char`).
pub(crate) fn is_dot_git(component: &[u8]) -> bool {
    // Its first byte tells nearly every name apart, and every path of an index comes through here.
    if !matches!(component.first(), Some(b'.' | b'g' | b'G' | 0x80..)) {
        return false;
    }
    let visible: String = component
        .chars()
        .filter(|character| {
            !matches!(character, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
        })
        .collect();
    let name = visible.split([':', '\\']).next().unwrap_or_default();
    let name = name.trim_end_matches(['.', ' ']);
    name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1")
}

/// A path as JSON carries it: `path` where it is UTF-8, else `path_b64` (standard base64, padded).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonPath {
    /// The path as text.
    pub path: Option<String>,
    /// The path in base64, where it is not UTF-8.
    pub path_b64: Option<String>,
}

impl From<&RepoPath> for JsonPath {
    fn from(path: &RepoPath) -> Self {
        Self::from_bytes(path.as_bytes())
    }
}

impl JsonPath {
    /// Returns the form for any bytes, also for a path in a tree that may not be written to.
    pub fn from_bytes(path: &[u8]) -> Self {
        match std::str::from_utf8(path) {
            Ok(text) => Self { path: Some(text.to_owned()), path_b64: None },
            Err(_) => Self { path: None, path_b64: Some(BASE64.encode(path)) },
        }
    }

    /// Returns the bytes of the path; `None` if neither or both forms are there, or the base64 is broken.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        match (&self.path, &self.path_b64) {
            (Some(text), None) => Some(text.clone().into_bytes()),
            (None, Some(base64)) => BASE64.decode(base64).ok(),
            _ => None,
        }
    }
}

macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident, $expected:literal { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the text that stands for this value everywhere.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::id::ParseIdError;

            fn from_str(text: &str) -> Result<Self, $crate::id::ParseIdError> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::id::ParseIdError::new($expected, text)),
                }
            }
        }

        $crate::id::serialize_as_text!($name);
    };
}
pub(crate) use text_enum;

text_enum! {
    /// The kind of database that is the archive.
    Backend, "a backend (sqlite, postgres or mariadb)" {
        /// A file, the embedded default.
        Sqlite = "sqlite",
        /// A PostgreSQL server.
        Postgres = "postgres",
        /// A MariaDB or MySQL server.
        Mariadb = "mariadb",
    }
}

text_enum! {
    /// What git records of a file besides its bytes.
    FileMode, "a file mode (100644, 100755 or 120000)" {
        /// A plain file.
        Regular = "100644",
        /// A file with the executable bit.
        Executable = "100755",
        /// A symbolic link; its bytes are the link's target.
        Symlink = "120000",
    }
}

impl FileMode {
    /// Returns the mode as git's trees and index have it.
    pub fn bits(self) -> u32 {
        match self {
            Self::Regular => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_000,
        }
    }

    /// Returns the mode that git's `bits` mean; `None` for folders, submodules and what else there may be.
    pub fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            // Old versions of git wrote 100664.
            0o100_644 | 0o100_664 => Some(Self::Regular),
            0o100_755 => Some(Self::Executable),
            0o120_000 => Some(Self::Symlink),
            _ => None,
        }
    }
}

text_enum! {
    /// Why a path left the tree.
    Reason, "a reason (dead, pruned, legacy or replaced)" {
        /// Nothing uses it any more.
        Dead = "dead",
        /// It was removed to make the repository smaller.
        Pruned = "pruned",
        /// It belongs to something that is no longer supported.
        Legacy = "legacy",
        /// Something else took its place.
        Replaced = "replaced",
    }
}

text_enum! {
    /// What sort of file an item is.
    Kind, "a kind (code, doc or asset)" {
        /// Source code, configuration and scripts.
        Code = "code",
        /// Text for people.
        Doc = "doc",
        /// Everything else: images, data, binaries.
        Asset = "asset",
    }
}

/// A pointer from an item to something elsewhere: a pull request, a ticket, the file that replaced it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Referent {
    /// What `value` is, such as `pr`, `ticket` or `url`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The pointer itself.
    pub value: String,
}

/// A calendar date (UTC) such as `2027-01-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub jiff::civil::Date);

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Date {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parsed = text.parse().ok().map(Self);
        parsed
            .filter(|date: &Self| date.to_string() == text)
            .ok_or_else(|| ParseIdError::new("a date such as `2027-01-31`", text))
    }
}

serialize_as_text!(Date);

/// One archived path of one repository at one commit, as the archive keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The item's id.
    pub tombstone: Tombstone,
    /// The repository's name.
    pub repo: String,
    /// Where it stood.
    pub path: RepoPath,
    /// The commit whose tree held it.
    pub commit: ObjectId,
    /// The git blob that it was.
    pub object: ObjectId,
    /// Its mode in that tree.
    pub mode: FileMode,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The length of its bytes.
    pub size: u64,
    /// What sort of file it is.
    pub kind: Kind,
    /// The programming or markup language, where known.
    pub language: Option<String>,
    /// The media type, where known.
    pub mime: Option<String>,
    /// Why it was archived.
    pub reason: Reason,
    /// Labels, sorted and without repeats.
    pub tags: Vec<String>,
    /// Free facts by name.
    pub metadata: BTreeMap<String, String>,
    /// Pointers elsewhere.
    pub refs: Vec<Referent>,
    /// Whether the bytes are a locally modified file's and not the blob's at `commit`.
    pub dirty: bool,
    /// The day before which it should not be destroyed.
    pub delete_after: Option<Date>,
    /// Whether it was put under a legal hold when it was stored.
    pub legal_hold: bool,
    /// Who archived it.
    pub archived_by: String,
    /// When it was archived.
    pub archived_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for good in [&b"a"[..], b"a/b c", b".gitignore", b"a/.github/x", b"caf\xe9", b"a\nb", b"git~10", b"..."] {
            assert!(RepoPath::try_new(good).is_ok(), "{}", good.as_bstr());
        }
        for bad in [
            &b""[..],
            b"/a",
            b"a//b",
            b"a/",
            b".",
            b"a/../b",
            b"a\0b",
            b".git",
            b"a/.GIT/config",
            b"git~1/x",
            b".git. /x",
            b".git::$INDEX_ALLOCATION/x",
            b".g\xe2\x80\x8cit/config",
            b".git\\config",
        ] {
            assert!(RepoPath::try_new(bad).is_err(), "{}", bad.as_bstr());
        }
        assert!(RepoPath::try_new(vec![b'a'; MAX_PATH_LENGTH]).is_ok());
        assert!(RepoPath::try_new(vec![b'a'; MAX_PATH_LENGTH + 1]).is_err());
    }

    #[test]
    fn folders_hold_what_is_below_them() {
        let path = RepoPath::try_new("a/b/c").expect("is a path");
        assert!(path.is_within(b"") && path.is_within(b"a") && path.is_within(b"a/b") && path.is_within(b"a/b/c"));
        assert!(!path.is_within(b"a/bb") && !path.is_within(b"a/") && !path.is_within(b"b"));
        assert_eq!((path.file_name(), path.parent()), (&b"c"[..], &b"a/b"[..]));
    }

    #[test]
    fn json_carries_any_path() {
        for path in [&b"a/b"[..], b"caf\xe9", b"a\nb"] {
            let path = RepoPath::try_new(path).expect("is a path");
            assert_eq!(JsonPath::from(&path).to_bytes().as_deref(), Some(path.as_bytes()));
        }
        assert_eq!(JsonPath::default().to_bytes(), None);
    }
}
