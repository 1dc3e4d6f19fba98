//! The stub: the small text file left at an archived path.
//!
//! `store` classifies a path ([`classify`]), chooses a [`Template`] and renders a [`Stub`] with it; `verify`, `restore`
//! and the hooks read stubs back with [`parse`], which knows no templates. Specified in `docs/stub.md`.

mod comment;
mod lines;
mod read;
mod table;
mod template;
mod templates;
mod types;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use lines::{first_other_line, line_of};
pub use read::{HEAD_LENGTH, MAX_RAW_LENGTH, Malformed, Parsed, ParsedStub, may_be_stub, parse};
pub use template::{RenderError, Rendered, Template, TemplateError};
pub use templates::{Style, Templates};
pub use types::{FileType, classify};

use crate::clock::Timestamp;
use crate::id::{ObjectId, Sha256, Tombstone};
use crate::item::{FileMode, Reason, RepoPath};
use crate::quote::quote_avoiding;

/// The longest stub in bytes, normalised.
pub const MAX_LENGTH: usize = 32 * 1024;

/// The version of the stub format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// What the marker says before the version's number.
const MARKER: &str = "git-archive-tomb stub v";

/// The keys of a stub, in the order of its lines.
const KEYS: [&str; 13] = [
    "path",
    "tombstone",
    "sha256",
    "size",
    "mode",
    "object",
    "repo",
    "commit",
    "reason",
    "archived-by",
    "archived-at",
    "evidence",
    "restore",
];

/// Where `evidence` stands in [`KEYS`].
const EVIDENCE: usize = 11;

/// What a stub says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// Where the file stood.
    pub path: RepoPath,
    /// The item's id.
    pub tombstone: Tombstone,
    /// The digest of the archived bytes.
    pub sha256: Sha256,
    /// The number of archived bytes.
    pub size: u64,
    /// The file's mode.
    pub mode: FileMode,
    /// The git blob that it was.
    pub object: ObjectId,
    /// The repository's name.
    pub repo: String,
    /// The commit whose tree held it.
    pub commit: ObjectId,
    /// Why it was archived.
    pub reason: Reason,
    /// Who archived it.
    pub archived_by: String,
    /// When it was archived.
    pub archived_at: Timestamp,
    /// The digest of the evidence file that holds its record.
    pub evidence: Sha256,
}

impl Stub {
    /// Returns the values of [`KEYS`] as they stand in a stub, free text without any of `forbidden`.
    fn values(&self, forbidden: &[&str]) -> [Cow<'_, str>; KEYS.len()] {
        [
            quote_avoiding(self.path.as_bytes(), forbidden),
            self.tombstone.to_string().into(),
            self.sha256.to_string().into(),
            self.size.to_string().into(),
            self.mode.as_str().into(),
            self.object.to_string().into(),
            quote_avoiding(self.repo.as_bytes(), forbidden),
            self.commit.to_string().into(),
            self.reason.as_str().into(),
            quote_avoiding(self.archived_by.as_bytes(), forbidden),
            self.archived_at.to_string().into(),
            self.evidence.to_string().into(),
            restore_command(&self.tombstone).into(),
        ]
    }
}

/// Returns the command that brings the item back.
fn restore_command(tombstone: &Tombstone) -> String {
    format!("git archive-tomb restore {tombstone}")
}
