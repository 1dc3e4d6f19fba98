//! Which items a command is about: the options that listings share.

use std::ffi::OsString;

use bstr::ByteVec;
use clap::Args;
use git_archive_tomb::archive::Query;
use git_archive_tomb::item::Reason;

use super::error::CommandError;
use super::exit::Exit;
use super::session::Session;
use super::when::parse_when;

/// Selects items.
#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// Only items of this repository
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
    /// Only items at this path, below this folder, or matching this pattern (`*`, `?`, `[…]`)
    #[arg(long, value_name = "PATTERN")]
    path: Option<OsString>,
    /// Only items with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only items archived for this reason
    #[arg(long)]
    reason: Option<Reason>,
    /// Only items archived then or later: a date, a time, or days ago such as `30d`
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only items archived then or earlier
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only items archived by this actor
    #[arg(long, alias = "actor", value_name = "ACTOR")]
    by: Option<String>,
}

impl FilterArguments {
    /// Returns the query for what this clone sees of it.
    pub(crate) fn into_query(self, session: &Session<'_>) -> Result<Query, CommandError> {
        Ok(Query {
            repo: self.repo,
            path: self
                .path
                .map(Vec::from_os_string)
                .transpose()
                .map_err(|_| CommandError::new(Exit::Usage, "the pattern of `--path` is not valid on this system"))?,
            tag: self.tag,
            reason: self.reason,
            since: self.since.as_deref().map(|text| parse_when("--since", text)).transpose()?,
            until: self.until.as_deref().map(|text| parse_when("--until", text)).transpose()?,
            archived_by: self.by,
            origin: Some(session.known_origin()?),
            limit: None,
        })
    }
}
