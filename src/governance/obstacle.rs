//! What is in the way of a purge or a restore.

use std::fmt;

use crate::clock::Timestamp;
use crate::id::Tombstone;
use crate::item::{Date, RepoPath};
use crate::quote::printable;

use super::rules::OpenHold;

/// The longest foreign text in a message, in characters.
const MAX_SHOWN: usize = 200;

/// The most voices that do not count which a message lists.
const MAX_LISTED: usize = 10;

/// An approval that does not count.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Void {
    /// Whose it is, or is said to be.
    pub by: String,
    /// When it was given; `None` for one that was about to be.
    pub at: Option<Timestamp>,
    /// Why it does not count, as a clause.
    pub why: String,
}

/// Something that is in the way, and who, when and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum Obstacle {
    /// The archive has no such item.
    Unknown {
        /// The item.
        tombstone: Tombstone,
    },
    /// The bytes are destroyed already.
    Purged {
        /// When.
        at: Timestamp,
        /// Who approved it.
        by: Option<String>,
        /// Who else did.
        second: Option<String>,
        /// Why.
        reason: Option<String>,
        /// Whether it has begun and not ended.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        unfinished: bool,
    },
    /// Nobody asked for the purge of this item of this archive.
    NoRequest,
    /// There is a request that stands no longer, or not yet.
    RequestVoid {
        /// Its id.
        request: String,
        /// Who asked.
        by: Option<String>,
        /// When.
        at: Timestamp,
        /// Why it does not stand, as a clause.
        why: String,
    },
    /// Too few persons approved.
    Approvals {
        /// How many are needed.
        needed: usize,
        /// Those who did.
        given: Vec<String>,
        /// The approvals that do not count.
        void: Vec<Void>,
    },
    /// Somebody is named as approver and has not approved.
    NotApproved {
        /// Who.
        by: String,
    },
    /// A hold is not released.
    Hold {
        /// The hold.
        #[serde(flatten)]
        hold: Box<OpenHold>,
    },
    /// An evidence file that may hold the content cannot be read.
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// An item is to be kept for longer.
    Retention {
        /// The item.
        tombstone: Tombstone,
        /// Its path.
        path: RepoPath,
        /// The day from which it may be destroyed.
        until: Date,
    },
    /// Another item has the same bytes.
    Shared {
        /// The item.
        tombstone: Tombstone,
        /// Its path.
        path: RepoPath,
    },
    /// Another item has the same bytes, and the request does not name it.
    Unnamed {
        /// The item.
        tombstone: Tombstone,
        /// Its path.
        path: RepoPath,
    },
}

impl Obstacle {
    /// Returns the name by which programs know it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::Purged { .. } => "purged",
            Self::NoRequest => "no-request",
            Self::RequestVoid { .. } => "request-void",
            Self::Approvals { .. } => "approvals",
            Self::NotApproved { .. } => "not-approved",
            Self::Hold { .. } => "hold",
            Self::Unreadable { .. } => "unreadable",
            Self::Retention { .. } => "retention",
            Self::Shared { .. } => "shared",
            Self::Unnamed { .. } => "unnamed",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { tombstone } => write!(out, "the archive has no item `{tombstone}`"),
            Self::Purged { at, by, second, reason, unfinished } => {
                let what = if *unfinished { "are being destroyed since" } else { "were destroyed on" };
                write!(out, "the bytes {what} {}", at.date())?;
                let approvers: Vec<String> = by.iter().chain(second).map(|name| shown(name)).collect();
                if !approvers.is_empty() {
                    write!(out, ", approved by {}", approvers.join(" and "))?;
                }
                because(out, reason.as_deref())
            }
            Self::NoRequest => out.write_str("nobody requested it"),
            Self::RequestVoid { request, by, at, why } => {
                write!(out, "request {}{} of {} {why}", shown(request), by_whom(by.as_deref()), at.date())
            }
            Self::Approvals { needed, given, void } => {
                write!(out, "{} of {needed} approvals", given.len())?;
                if !given.is_empty() {
                    write!(out, ", by {}", given.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", "))?;
                }
                for Void { by, at, why } in void.iter().take(MAX_LISTED) {
                    let of = at.map(|at| format!(" of {}", at.date())).unwrap_or_default();
                    write!(out, "; that by {}{of} does not count: {why}", shown(by))?;
                }
                match void.len().saturating_sub(MAX_LISTED) {
                    0 => Ok(()),
                    more => write!(out, "; nor do {more} more"),
                }
            }
            Self::NotApproved { by } => write!(out, "{} is named as approver and has not approved", shown(by)),
            Self::Hold { hold } => hold.fmt(out),
            Self::Unreadable { file, why } => {
                write!(out, "evidence {} may hold it and cannot be read: {why}", shown(file))
            }
            Self::Retention { path, until, .. } => write!(out, "`{path}` is to be kept until {until}"),
            Self::Shared { tombstone, path } => write!(out, "`{path}` ({tombstone}) has the same bytes"),
            Self::Unnamed { tombstone, path } => {
                write!(out, "`{path}` ({tombstone}) has the same bytes and is not named by the request")
            }
        }
    }
}

pub(super) fn because(out: &mut fmt::Formatter<'_>, reason: Option<&str>) -> fmt::Result {
    reason.map_or(Ok(()), |reason| write!(out, " ({})", short(reason)))
}

pub(super) fn by_whom(by: Option<&str>) -> String {
    by.map(|by| format!(" by {}", shown(by))).unwrap_or_default()
}

pub(super) fn shown(text: &str) -> String {
    format!("`{}`", short(text))
}

/// Returns foreign text as one line that is not too long.
fn short(text: &str) -> String {
    let start: String = text.chars().take(MAX_SHOWN).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", printable(&start))
}
