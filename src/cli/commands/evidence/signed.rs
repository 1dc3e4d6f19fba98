//! `evidence verify --signed`: whether signed checkpoints hold for the evidence that is here.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use clap::Args;
use git_archive_tomb::causes::in_one_line;
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::check::Integrity;
use git_archive_tomb::evidence::checkpoint::format::{Checkpoint, MAX_LENGTH};
use git_archive_tomb::evidence::checkpoint::judge::{Candidate, Judge, Judged, Judgement, Place, good};
use git_archive_tomb::evidence::checkpoint::set::EvidenceSet;
use git_archive_tomb::id::{ObjectId, Sha256};
use serde::Serialize;

use super::verify::Finding;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::{Session, shown};
use crate::cli::signing::allowed_signers;
use crate::cli::when::parse_when;

/// The most files without a checkpoint that are named to people.
const MAX_NAMED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct SignedArguments {
    /// Also check that a checkpoint by an allowed signer vouches for the evidence, and that all of them hold
    #[arg(long)]
    signed: bool,
    /// Check this checkpoint too, kept outside of the repository; `-` is standard input; may be repeated
    #[arg(long = "checkpoint", value_name = "FILE", requires = "signed")]
    checkpoints: Vec<PathBuf>,
    /// Whose signatures count; default: git's `gpg.ssh.allowedSignersFile`
    #[arg(long, value_name = "FILE", requires = "signed")]
    allowed_signers: Option<PathBuf>,
    /// Take checkpoints of a repository of this name, too, as after it was renamed; may be repeated
    #[arg(long = "repo", value_name = "NAME", requires = "signed")]
    repos: Vec<String>,
    /// Ask for a checkpoint that was signed then or later: a date, a time, or days ago such as `30d`
    #[arg(long, value_name = "WHEN", requires = "signed")]
    signed_since: Option<String>,
}

/// A checkpoint in JSON.
#[derive(Serialize)]
pub(super) struct CheckpointView<'a> {
    checkpoint: &'a str,
    sha256: Sha256,
    #[serde(skip_serializing_if = "Option::is_none")]
    signer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    time: Timestamp,
    repo: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<ObjectId>,
    count: u64,
    evidence: Sha256,
}

impl<'a> CheckpointView<'a> {
    pub(super) fn new(name: &'a str, checkpoint: &'a Checkpoint) -> Self {
        let statement = &checkpoint.statement;
        Self {
            checkpoint: name,
            sha256: checkpoint.sha256,
            signer: None,
            key: None,
            time: statement.time,
            repo: &statement.repo,
            commit: statement.commit,
            count: statement.count,
            evidence: statement.evidence,
        }
    }
}

/// Adds what there is to say about checkpoints to `findings`, and prints those that hold.
pub(super) fn check(
    arguments: &SignedArguments,
    integrity: &Integrity,
    strict: bool,
    findings: &mut Vec<Finding>,
    session: &mut Session<'_>,
) -> Result<(), CommandError> {
    if !arguments.signed {
        return Ok(());
    }
    let since = arguments.signed_since.as_deref().map(|text| parse_when("--signed-since", text)).transpose()?;
    let signers = allowed_signers(arguments.allowed_signers.as_deref(), session)?;
    let mut repos = arguments.repos.clone();
    repos.push(session.repo_name()?);
    let mut candidates = Candidate::in_index(&session.repository)?;
    for file in &arguments.checkpoints {
        candidates.push(Candidate { name: shown(file), place: Place::Outside { bytes: read(file, session)? } });
    }
    let evidence = EvidenceSet::new(integrity);
    let judge = Judge {
        repository: &session.repository,
        evidence: &evidence,
        signers: &signers,
        repos: &repos,
        now: Timestamp::now(),
    };
    let judgement = judge.judge(&candidates)?;
    for judged in &judgement.judged {
        report(judged, strict, findings, session)?;
    }
    let newest = good(&judgement.judged).map(|(_, good)| good.checkpoint.statement.time).max();
    match (newest, since) {
        (None, _) => findings.push(Finding {
            severity: "error",
            file: None,
            message: if candidates.is_empty() {
                "there is no signed checkpoint: `git archive-tomb evidence sign` makes one".to_owned()
            } else {
                "none of the checkpoints was signed by an allowed signer and holds here".to_owned()
            },
        }),
        (Some(newest), Some(since)) if newest < since => findings.push(Finding {
            severity: "error",
            file: None,
            message: format!("the newest checkpoint that holds is of {newest}, and one since {since} was asked for"),
        }),
        _ => {}
    }
    if newest.is_some() {
        note_uncovered(&judgement, findings, session);
    }
    Ok(())
}

/// Says what became of a checkpoint.
fn report(
    judged: &Judged,
    strict: bool,
    findings: &mut Vec<Finding>,
    session: &mut Session<'_>,
) -> Result<(), CommandError> {
    let mut find = |severity, message| findings.push(Finding { severity, file: Some(judged.name.clone()), message });
    let good = match &judged.result {
        Ok(good) => good,
        Err(problem) => {
            // Whoever names a file wants it to hold; what stands in the tree may be anybody's.
            let is_harmless = problem.is_harmless() && !judged.is_outside;
            find(if is_harmless { "warning" } else { "error" }, in_one_line(problem));
            return Ok(());
        }
    };
    for previous in &judged.unknown {
        let severity = if strict { "error" } else { "warning" };
        find(severity, format!("names the checkpoint {previous} as its predecessor, which is not here"));
    }
    let view = CheckpointView::new(&judged.name, &good.checkpoint);
    if session.output.json {
        return session.output.object(&CheckpointView { signer: Some(&good.principal), key: Some(&good.key), ..view });
    }
    let files = counted(usize::try_from(view.count).unwrap_or(usize::MAX), "evidence file");
    let line = format!("signed: {}: {files} by {} with {} on {}", judged.name, good.principal, good.key, view.time);
    // Whoever wrote the list of signers wrote their names.
    session.output.line(git_archive_tomb::quote::printable(&line))
}

/// Names the evidence that came after the last checkpoint.
fn note_uncovered(judgement: &Judgement, findings: &mut Vec<Finding>, session: &Session<'_>) {
    let note = |file, message: &str| Finding { severity: "note", file, message: message.to_owned() };
    let named = if session.output.json { usize::MAX } else { MAX_NAMED };
    for path in judgement.uncovered.iter().take(named) {
        findings.push(note(Some(path.to_string()), "is newer than every checkpoint that holds"));
    }
    if judgement.uncovered.len() > named {
        let more = counted(judgement.uncovered.len() - named, "more file");
        findings.push(note(None, &format!("and {more} of evidence")));
    }
}

/// Reads a checkpoint from outside; what is too long is cut, and then found to be.
fn read(file: &Path, session: &Session<'_>) -> Result<Vec<u8>, CommandError> {
    let failed = |error: std::io::Error| {
        CommandError::new(Exit::Usage, format!("cannot read {}", shown(file))).caused_by(error.to_string())
    };
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(stdin().lock())
    } else {
        Box::new(File::open(session.directory().join(file)).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    source.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
