//! `pr-body`: what a pull request says about the archivals and restores that it brings.

mod markdown;

use bstr::ByteSlice;
use clap::Args;
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Source};
use git_archive_tomb::id::{ObjectId, OperationId, Sha256, Tombstone};
use git_archive_tomb::item::JsonPath;
use git_archive_tomb::review::{Evidence, Scope, added};
use serde::Serialize;

use crate::cli::commands::verify::parse_range;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::view::PathView;

/// Print what a pull request should say, and how to check it
///
/// Without `--range` it is about what is staged; where that is no evidence, about the commits since the branch's
/// upstream, or since the remote's default branch. The text is Markdown, at most 60,000 bytes of it.
#[derive(Debug, Args)]
pub(crate) struct PrBodyArguments {
    /// The evidence that the tree of B has and that of A has not
    #[arg(long, value_name = "A..B")]
    range: Option<String>,
}

/// A record in JSON.
#[derive(Serialize)]
struct LineView<'a> {
    action: Action,
    ts: Timestamp,
    op: OperationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<Tombstone>,
    #[serde(flatten)]
    path: Option<PathView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    line_sha256: Sha256,
    file: &'a str,
    file_sha256: Sha256,
}

/// Runs the command.
pub(crate) fn run(arguments: &PrBodyArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let Change { evidence, base } = change(arguments, session)?;
    if evidence.is_empty() {
        session.output.say("no evidence is added, so there is nothing to say");
    } else if session.output.json {
        for evidence in &evidence {
            print_json(evidence, session)?;
        }
    } else {
        let body = markdown::body(&session.repository, &evidence, base.as_ref())?;
        session.output.line(body.trim_end())?;
    }
    Ok(Exit::Done)
}

/// What the text is about.
struct Change {
    evidence: Vec<Evidence>,
    /// The commit that the change is on top of; `None` where it begins the history.
    base: Option<ObjectId>,
}

fn change(arguments: &PrBodyArguments, session: &Session<'_>) -> Result<Change, CommandError> {
    let repository = &session.repository;
    if let Some(range) = &arguments.range {
        let (from, to) = parse_range(range, repository)?;
        return Ok(Change {
            evidence: added(repository, Scope::Range { from, to })?,
            base: Some(from).filter(|from| !from.is_null()),
        });
    }
    let head = repository.head()?.commit();
    let staged = if repository.is_bare() { Vec::new() } else { added(repository, Scope::Staged)? };
    if !staged.is_empty() {
        session.output.say("about what is staged");
        return Ok(Change { evidence: staged, base: head });
    }
    let Some(to) = head else { return Ok(Change { evidence: staged, base: None }) };
    let name = repository.base_reference()?;
    let base = name.as_ref().and_then(|name| name.to_str().ok());
    let base = base.ok_or_else(|| {
        CommandError::new(
            Exit::Usage,
            "no evidence is staged, and nothing tells what this branch is to be compared with",
        )
        .hint("name the commits: `git archive-tomb pr-body --range main..HEAD`")
    })?;
    session.output.say(format_args!("about {base}..HEAD"));
    let from = repository.resolve_commit(base)?;
    Ok(Change { evidence: added(repository, Scope::Range { from, to })?, base: Some(from) })
}

fn print_json(evidence: &Evidence, session: &mut Session<'_>) -> Result<(), CommandError> {
    let mut entries: Vec<(Sha256, Record)> = Vec::new();
    let facts = evidence.read(&session.repository, |entry| entries.push((entry.digest, entry.record)))?;
    let file = evidence.name.to_string();
    for (line_sha256, record) in entries {
        let view = LineView {
            action: record.action,
            ts: record.ts,
            op: record.op,
            actor: &record.actor,
            tombstone: record.tombstone,
            path: record.repo_path().map(|path| JsonPath::from(&path).into()),
            sha256: record.sha256,
            size_bytes: record.size,
            reason: &record.reason,
            source: record.source,
            line_sha256,
            file: &file,
            file_sha256: facts.sha256,
        };
        session.output.object(&view)?;
    }
    Ok(())
}
