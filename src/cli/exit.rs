//! Exit codes: the table that `docs/cli.md` explains. Where nothing has begun that would have to be taken back, an interrupt just kills the
//! program, and shells say 130 of themselves.

use std::process::ExitCode;

/// How the program ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done = 0,
    /// The operation failed, a check found problems, or part of a batch failed.
    Failed = 1,
    /// Usage, configuration, trust, or a repository that is not supported.
    Usage = 2,
    /// No such tombstone.
    NotFound = 3,
    /// Refused by governance: a hold, missing approvals, retention, or purged content.
    Governance = 4,
    /// Bytes that were asked for do not match their digest.
    Integrity = 5,
    /// The archive cannot be reached, or it refused the login.
    Unreachable = 6,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
