//! `verify`: checks stubs and evidence.

use std::io::Write;

use clap::{Args, ValueEnum};
use git_archive_tomb::git::Repository;
use git_archive_tomb::id::ObjectId;
use git_archive_tomb::verify::{Options, Scope, deepen, render, verify};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::output_error;
use crate::cli::session::Session;

/// Check stubs and evidence
///
/// Without options, what is staged is checked, as the pre-commit hook does. Nothing is written, and without `--deep`
/// nothing is connected to.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct VerifyArguments {
    /// Check what is about to be committed (the default)
    #[arg(long, conflicts_with_all = ["range", "update", "all"])]
    staged: bool,
    /// Check every commit reachable from B and not from A
    #[arg(long, value_name = "A..B", conflicts_with_all = ["update", "all"])]
    range: Option<String>,
    /// Check a branch that moves from A to B: the range, and that a forced push loses nothing
    #[arg(long, value_name = "A..B", conflicts_with = "all")]
    update: Option<String>,
    /// Check the stubs here, and the evidence of the whole history
    #[arg(long)]
    all: bool,
    /// Also compare with the archive: read and hash the bytes of every stub here
    #[arg(long)]
    deep: bool,
    /// Take evidence that names unknown predecessors for an error
    #[arg(long)]
    strict: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value = "text", hide_default_value = true)]
    format: FormatArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArgument {
    /// For people
    Text,
    /// One JSON object per finding
    Json,
    /// Annotations of GitHub Actions
    Github,
    /// SARIF 2.1.0
    Sarif,
}

/// Runs the command.
pub(crate) fn run(arguments: &VerifyArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let ends = |range: &String| parse_range(range, &session.repository);
    let scope =
        match (arguments.range.as_ref().map(ends).transpose()?, arguments.update.as_ref().map(ends).transpose()?) {
            (Some((from, to)), _) => Scope::Range { from, to },
            (None, Some((from, to))) => Scope::Update { from, to },
            (None, None) if arguments.all => Scope::All,
            (None, None) => Scope::Staged { merge_heads: merge_heads_of_environment() },
        };
    let mut report = verify(&session.repository, &scope, Options { strict: arguments.strict })?;
    if arguments.deep {
        let mut archive = session.archive()?;
        deepen(&mut report, &session.repository, &mut *archive, &session.known_origin()?)?;
    }
    let format = if session.output.json { FormatArgument::Json } else { arguments.format };
    let text = match format {
        FormatArgument::Text => render::text(&report),
        FormatArgument::Json => render::json(&report),
        FormatArgument::Github => render::github(&report),
        FormatArgument::Sarif => render::sarif(&report),
    };
    session.output.raw().write_all(text.as_bytes()).map_err(|error| output_error(&error))?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

/// Parses `A..B`; an omitted end is `HEAD`, and git's null id, which stands for a branch that is new, is a beginning.
pub(crate) fn parse_range(range: &str, repository: &Repository) -> Result<(ObjectId, ObjectId), CommandError> {
    let ends = range.split_once("..").filter(|(from, to)| !(to.starts_with('.') || from.is_empty() && to.is_empty()));
    let Some((from, to)) = ends else {
        return Err(CommandError::new(Exit::Usage, format!("`{}` is not a range", range.escape_debug()))
            .hint("give two revisions: `--range main..HEAD`"));
    };
    let resolve = |revision: &str| repository.resolve_commit(if revision.is_empty() { "HEAD" } else { revision });
    let null = from.parse().ok().filter(ObjectId::is_null);
    Ok((null.map_or_else(|| resolve(from), Ok)?, resolve(to)?))
}

/// Returns the commits that a running `git merge` names to its hooks, one variable `GITHEAD_<id>` each.
pub(crate) fn merge_heads_of_environment() -> Vec<ObjectId> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    names.filter_map(|name| name.strip_prefix("GITHEAD_")?.parse().ok()).collect()
}
