//! Git hooks: installs, removes and describes the small scripts through which git runs our checks.
//!
//! The hooks are a courtesy (git runs none for cherry-pick, revert and rebase; CI's `verify --range` is the gate), so
//! they must never cost anybody anything: a hook that was there is kept and still runs, folders that are not this
//! repository's own are left alone, and what a hook manager owns is left to it. The installed script is a shim; the
//! work is in the program, so an upgrade of the program is an upgrade of the hooks. Specified in `docs/hooks.md`.

mod install;
mod place;
mod push;
mod shim;
mod status;
mod uninstall;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bstr::ByteVec;

pub use self::install::{InstallOptions, InstallOutcome, Installed, install, install_with_trailers};
pub use self::place::{Manager, Owner, Place, Snippet};
pub use self::push::{PushedStub, Remote, Update, exempt_among};
pub use self::shim::VERSION as SHIM_VERSION;
pub use self::status::{State, Status, status};
pub use self::uninstall::{UninstallOptions, UninstallOutcome, Uninstalled, uninstall};

/// A hook of git that we install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before a commit: checks the index that is about to be committed.
    PreCommit,
    /// Before the commit of a merge, for which git does not run `pre-commit`.
    PreMergeCommit,
    /// Before a push: checks that the bytes behind the pushed stubs are in enough places.
    PrePush,
    /// After a commit's message was written: adds trailers to it. Installed only on request.
    CommitMsg,
}

impl Hook {
    /// The hooks that check, in the order they are listed and installed.
    pub const ALL: [Self; 3] = [Self::PreCommit, Self::PreMergeCommit, Self::PrePush];

    /// These, and the one that is installed only on request.
    const EVERY: [Self; 4] = [Self::PreCommit, Self::PreMergeCommit, Self::PrePush, Self::CommitMsg];

    /// Returns git's name for it, which is the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PreMergeCommit => "pre-merge-commit",
            Self::PrePush => "pre-push",
            Self::CommitMsg => "commit-msg",
        }
    }

    /// Returns the file that git runs.
    fn path(self, place: &Place) -> PathBuf {
        place.hooks_dir.join(self.name())
    }

    /// Returns the file that keeps the hook that was there before ours, and that ours runs first.
    ///
    /// It is in the same folder, so that a script or a relative link finds what is beside it.
    fn chained_path(self, place: &Place) -> PathBuf {
        place.hooks_dir.join(format!("{}.archive-tomb-chained", self.name()))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The name of a hook that we do not install.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no hook of git-archive-tomb is named `{}`", crate::quote::quote(.name.as_bytes()))]
pub struct UnknownHook {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Hook {
    type Err = UnknownHook;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::EVERY.into_iter().find(|hook| hook.name() == name).ok_or_else(|| UnknownHook { name: name.to_owned() })
    }
}

/// Why hooks could not be installed, removed or looked at. Nothing was changed, but for [`HooksError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum HooksError {
    /// A shim that somebody changed since; it is overwritten or removed only with `force`.
    #[error("hook `{}` was edited after it was installed", shown(.path))]
    Edited {
        /// The edited shim.
        path: PathBuf,
    },
    /// A shim that a newer version of the program wrote.
    #[error("hook `{}` has version {version}, and this program writes version {}", shown(.path), shim::VERSION)]
    Newer {
        /// The shim.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Something replaced our shim while an older hook is still kept for it: which of the two counts is not ours to say.
    #[error("hook `{}` is not ours, and `{}` is kept from an earlier installation", shown(.path), shown(.kept))]
    TwoHooks {
        /// The hook that git runs now.
        path: PathBuf,
        /// The hook that was there before our shim.
        kept: PathBuf,
    },
    /// A hook's name is taken by something that is no file.
    #[error("hook `{}` is not a file", shown(.path))]
    NotAFile {
        /// The folder, pipe or device.
        path: PathBuf,
    },
    /// The place where git looks for hooks is not a folder, as where `core.hooksPath` is `/dev/null`.
    #[error("hooks folder `{}` is not a folder", shown(.path))]
    NotAFolder {
        /// Where git looks for hooks.
        path: PathBuf,
    },
    /// A pre-push hook was told something that git does not say.
    #[error("`{line}` is not what git tells a pre-push hook")]
    NoUpdate {
        /// The line.
        line: String,
    },
    /// The system refused. Each hook is whole: the one before, or the one after.
    #[error("cannot {action} `{}`", shown(.path))]
    Io {
        /// What was tried, as "read" or "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl HooksError {
    /// Returns the function that makes this error of the system's.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// Returns `path` fit for one line of a terminal.
fn shown(path: &Path) -> String {
    crate::quote::quote(&path_bytes(path)).into_owned()
}

/// Returns `path` as the system's tools write it, a shell among them.
fn path_bytes(path: &Path) -> Cow<'_, [u8]> {
    Vec::from_path_lossy(path)
}

/// Returns the first `limit` bytes of the file at `path`, or `None` if there is no such file.
fn read_start(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, HooksError> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    found(read()).map_err(HooksError::io("read", path))
}

/// Returns `None` where what was asked for does not exist.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
