//! What a file that git tracks may not do until someone in this clone trusts it.
//!
//! Such a file is written by whoever wrote the branch: checking it out must send nothing anywhere, read no variable,
//! reach no path outside the working tree and change no rule.

use std::fmt;
use std::io;
use std::path::Path;

use super::expand;
use super::file::{self, Entry};
use super::schema::{Key, Kind};
use super::url::{DEFAULT_ARCHIVE, DEFAULT_OPERATIONS_LOG};
use super::value::Raw;
use crate::id::Sha256;
use crate::item::{RepoPath, text_enum};

/// The key of git's local config that holds the digests of trusted files, one value for each.
pub const TRUST_KEY: &str = "archivetomb.trusted";

/// Sections whose keys are rules, and so are for the people of this clone to set.
const RULES: &[&str] = &["governance", "hooks", "storage"];

text_enum! {
    /// Why a value needs trust.
    TrustCause, "a cause" {
        /// It leads to another machine.
        RemoteUrl = "a remote url",
        /// It reads the environment.
        Variable = "an environment variable",
        /// It leads out of the working tree, or into `.git`.
        OutsidePath = "a path outside the working tree",
        /// It sets a rule.
        Rule = "a rule",
    }
}

/// Something in a tracked file that needs trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustReason {
    /// The key's name in the schema.
    pub key: &'static str,
    /// The line of the key, from 1.
    pub line: usize,
    /// Why.
    pub cause: TrustCause,
}

impl fmt::Display for TrustReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` in line {} ({})", self.key, self.line, self.cause)
    }
}

/// Returns everything in the configuration file `text` that needs trust, in the order of the file.
///
/// With `top`, the top of the working tree, a path that goes through a symbolic link there leaves the tree too. Broken
/// TOML has no reasons: it is not used at all.
pub fn needs_trust(text: &str, top: Option<&Path>) -> Vec<TrustReason> {
    let (entries, _) = file::entries(Path::new(""), text);
    entries.iter().filter_map(|entry| entry.trust_reason(top)).collect()
}

/// Returns what is remembered of a trusted file: the SHA-256 of its bytes.
pub fn trust_digest(bytes: &[u8]) -> Sha256 {
    Sha256::of(bytes)
}

impl Entry {
    /// Returns why the entry needs trust, if it does.
    pub(super) fn trust_reason(&self, top: Option<&Path>) -> Option<TrustReason> {
        let cause = cause(self.key, &self.raw, top)?;
        Some(TrustReason { key: self.key.name, line: self.line, cause })
    }
}

fn cause(key: &Key, raw: &Raw, top: Option<&Path>) -> Option<TrustCause> {
    if RULES.contains(&key.section()) {
        return Some(TrustCause::Rule);
    }
    let text = raw.text()?;
    if expand::has_variables(text) {
        return Some(TrustCause::Variable);
    }
    match key.kind {
        Kind::Path if !text.is_empty() && !is_inside(text, top) => Some(TrustCause::OutsidePath),
        Kind::ArchiveUrl => match text.split_once("://") {
            Some((scheme, rest)) if scheme == "sqlite" || scheme.starts_with("sqlite+") => {
                (!is_inside(rest.strip_prefix('/').unwrap_or(rest), top)).then_some(TrustCause::OutsidePath)
            }
            _ => Some(TrustCause::RemoteUrl),
        },
        _ => None,
    }
}

/// Returns whether `path` stays in the working tree and out of `.git`: by its text, and by the links below `top`.
fn is_inside(path: &str, top: Option<&Path>) -> bool {
    let mut plain = path;
    while let Some(rest) = plain.strip_prefix("./") {
        plain = rest;
    }
    // Windows reads both as more than a character of a name.
    let is_path = !plain.contains(['\\', ':']) && RepoPath::try_new(plain).is_ok();
    // The Python tool's places are links that this program made, and it never goes through them.
    let is_default = plain == DEFAULT_ARCHIVE || plain == DEFAULT_OPERATIONS_LOG;
    is_path && (is_default || top.is_none_or(|top| !goes_through_link(top, plain)))
}

/// Returns whether `path` below `top` is or goes through a symbolic link, or cannot be looked at.
fn goes_through_link(top: &Path, path: &str) -> bool {
    let mut place = top.to_owned();
    for part in path.split('/') {
        place.push(part);
        match std::fs::symlink_metadata(&place) {
            Ok(metadata) if !metadata.is_symlink() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            _ => return true,
        }
    }
    false
}
