//! `A..B` on the command line.

use git_archive_tomb::git::Repository;
use git_archive_tomb::id::ObjectId;

use super::error::CommandError;
use super::exit::Exit;

/// The commits reachable from `to` and not from `from`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) from: ObjectId,
    pub(crate) to: ObjectId,
}

impl Range {
    /// Parses `A..B`; an omitted end is `HEAD`.
    pub(crate) fn parse(range: &str, repository: &Repository) -> Result<Self, CommandError> {
        let ends =
            range.split_once("..").filter(|(from, to)| !(to.starts_with('.') || from.is_empty() && to.is_empty()));
        let Some((from, to)) = ends else {
            return Err(CommandError::new(Exit::Usage, format!("`{}` is not a range", range.escape_debug()))
                .hint("give two revisions: `--range main..HEAD`"));
        };
        let resolve = |revision: &str| repository.resolve_commit(if revision.is_empty() { "HEAD" } else { revision });
        Ok(Self { from: resolve(from)?, to: resolve(to)? })
    }
}
