//! Paths that `store` refuses, each with the reason and the way out.

use std::fmt;

use bstr::BString;

use crate::quote::quote;

/// A path that is not archived, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The path or pathspec as bytes, relative to the top of the working tree.
    pub path: BString,
    /// Why it is refused.
    pub reason: RefusalReason,
    /// The row of the manifest that names it, if one does.
    pub row: Option<usize>,
}

impl Refusal {
    /// Returns a refusal of `path`, which row `row` names.
    pub(crate) fn new(path: impl Into<Vec<u8>>, reason: RefusalReason, row: Option<usize>) -> Self {
        Self { path: BString::from(path.into()), reason, row }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(formatter, "row {row}: ")?;
        }
        write!(formatter, "{}: {}", quote(&self.path), self.reason)
    }
}

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusalReason {
    /// Nothing tracked matches.
    #[error("matches no tracked file")]
    NoMatch,
    /// The file is not tracked.
    #[error("is not tracked")]
    Untracked,
    /// The file is not tracked, and ignored.
    #[error("is ignored")]
    Ignored,
    /// The index holds several versions of it.
    #[error("is in conflict{}", if *.with_stub { ", with a stub on one side" } else { "" })]
    Conflicted {
        /// Whether one of them is a stub.
        with_stub: bool,
    },
    /// The working file differs from the index.
    #[error("has local changes")]
    Modified,
    /// The working file is gone.
    #[error("is missing from the working tree")]
    Missing,
    /// A sparse checkout leaves it out.
    #[error("is outside the sparse checkout")]
    Sparse,
    /// The index differs from the commit.
    #[error("has staged changes that are not in the commit")]
    Staged,
    /// The index holds it, the commit does not.
    #[error("is not in the commit")]
    NotInCommit,
    /// The commit holds it, the index does not.
    #[error("is in the commit but no longer in the index")]
    NotInIndex,
    /// It is a submodule.
    #[error("is a submodule")]
    Submodule,
    /// Its bytes are a Git LFS pointer, not the content.
    #[error("is a Git LFS pointer, not the content itself")]
    LfsPointer,
    /// An attribute would change a stub on its way into or out of the working tree.
    #[error("has the attribute `{name}={value}`, which would change a stub")]
    Attribute {
        /// The attribute's name.
        name: String,
        /// Its value.
        value: String,
        /// The pattern that means just this path in the attributes file at the top.
        pattern: String,
    },
    /// It is the program's own.
    #[error("is in `.codex`, which belongs to git-archive-tomb")]
    Own,
    /// Git does not take it for a path or pathspec.
    #[error("is not a path here: {detail}")]
    Pathspec {
        /// What git says.
        detail: String,
    },
    /// Its record would not fit its limit.
    #[error("cannot be recorded: {detail}")]
    Record {
        /// Why not.
        detail: String,
    },
    /// Its mode is none that this program handles.
    #[error("has mode {0:o}, which is not a file or symbolic link")]
    Mode(u32),
}

impl RefusalReason {
    /// Returns what to do about it, given the path as a word of a shell.
    pub fn hint(&self, path: &str) -> Option<String> {
        Some(match self {
            Self::Untracked => format!("commit it first: `git add -- {path} && git commit`"),
            Self::Ignored => format!("commit it first: `git add -f -- {path} && git commit`"),
            Self::Conflicted { with_stub: false } => "resolve the conflict and commit first".to_owned(),
            Self::Conflicted { with_stub: true } => format!(
                "archive what the other side has: `git archive-tomb resolve {path} --re-archive`; or `--keep-tomb`, or `--restore`"
            ),
            Self::Staged | Self::NotInCommit => "commit first, or name the commit with `--commit`".to_owned(),
            Self::Modified => {
                "commit or `git stash` the changes first, or archive them as they stand with `--allow-dirty`".to_owned()
            }
            Self::Missing => format!("bring it back first: `git checkout -- {path}`"),
            Self::Sparse => {
                "bring its folder in with `git sparse-checkout add`, or archive only, with `--keep`".to_owned()
            }
            Self::NotInIndex => "name the commit that holds it and archive only: `--keep`".to_owned(),
            Self::Submodule => "archive the files in the submodule's own repository".to_owned(),
            Self::LfsPointer => "take it out of Git LFS first: `git lfs migrate export`".to_owned(),
            Self::Attribute { name, pattern, .. } => {
                format!("allow a stub there with this line in `.gitattributes` at the top: `{pattern} -{name}`")
            }
            Self::Record { .. } => "give fewer or shorter tags, facts and references".to_owned(),
            Self::NoMatch | Self::Own | Self::Pathspec { .. } | Self::Mode(_) => return None,
        })
    }
}
