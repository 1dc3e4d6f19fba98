//! `resolve`: ends conflicts between what one side archived and the other changed.

use std::collections::HashMap;
use std::ffi::OsString;

use bstr::ByteVec;
use clap::Args;
use git_archive_tomb::archive::{AnyArchive, Change};
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::Action;
use git_archive_tomb::git::{Unfinished, UnfinishedKind};
use git_archive_tomb::governance::Obstacle;
use git_archive_tomb::id::{OperationId, Sha256, Tombstone};
use git_archive_tomb::item::{JsonPath, Reason, RepoPath};
use git_archive_tomb::journal::Journal;
use git_archive_tomb::operation::{Facts, StagingPlan, execute, stage_files};
use git_archive_tomb::quote::quote;
use git_archive_tomb::resolve::{
    Choice, Conflict, Conflicts, Home, LeftBehind, Named, check_own, keep, keep_left_behind, re_archive, restore,
};
use git_archive_tomb::restore::{InPlace, RestoreOptions, Wanted};
use git_archive_tomb::store::StoreOptions;
use serde::Serialize;

use super::doctor::with_context;
use crate::cli::acting::subject_of;
use crate::cli::arguments::ActorArguments;
use crate::cli::clearing::refusal;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::Session;
use crate::cli::view::PathView;

/// End the conflict of a side that archived a file with one that changed it
///
/// For paths that a merge, rebase, cherry-pick, revert or stash left in conflict, where one side has a stub and the other
/// edited, renamed, deleted or archived the file as well. What is chosen is staged, other conflicts stay as they are.
#[derive(Debug, Args)]
pub(crate) struct ResolveArguments {
    /// A path in conflict, the other name of a renamed one, a folder, or the tombstone of the stub that is meant
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    #[command(flatten)]
    choice: ChoiceArguments,
    #[command(flatten)]
    actor: ActorArguments,
    /// With `--re-archive`: why the file goes; by default what the stub says
    #[arg(long, value_name = "dead|pruned|legacy|replaced", conflicts_with_all = ["keep_tomb", "restore"])]
    reason: Option<Reason>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ChoiceArguments {
    /// The stub stays; the edited version is in the other side's history only
    #[arg(long)]
    keep_tomb: bool,
    /// The edited version stays, on record; where the other side deleted the file, the archived one comes back
    #[arg(long)]
    restore: bool,
    /// The edited version is archived as well, and its stub takes the place of the other one
    #[arg(long)]
    re_archive: bool,
}

impl ChoiceArguments {
    fn choice(&self) -> Choice {
        match (self.keep_tomb, self.restore) {
            (true, _) => Choice::KeepTomb,
            (_, true) => Choice::Restore,
            _ => Choice::ReArchive,
        }
    }
}

/// One line of the results.
#[derive(Serialize)]
struct ResolvedView {
    #[serde(flatten)]
    path: PathView,
    status: &'static str,
    /// The item whose stub, or file, stands there now.
    tombstone: Tombstone,
    /// Items whose stubs gave way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Tombstone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Sha256>,
}

/// What was done.
#[derive(Default)]
struct Done {
    views: Vec<(RepoPath, ResolvedView)>,
    left: Vec<RepoPath>,
    /// Where git put a file beside a folder that took its place.
    beside: Vec<RepoPath>,
}

/// Runs the command.
pub(crate) fn run(arguments: &ResolveArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    session.repository.require_work_tree()?;
    session.refuse_unfinished()?;
    session.check_places()?;
    let choice = arguments.choice.choice();
    let actor = session.actor(arguments.actor.by.as_deref())?;
    let conflicts = Conflicts::of(&session.repository, Journal::at(session.places.journal()))?;
    check_own(&conflicts)?;
    let named = named(arguments, &conflicts, session)?;
    if choice != Choice::KeepTomb {
        clear(&named, &actor, session)?;
    }
    let mut done = match choice {
        Choice::KeepTomb => keep_tombs(&conflicts, &named, actor, session)?,
        Choice::Restore => restore_files(&conflicts, &named, actor, session)?,
        Choice::ReArchive => archive_again(&conflicts, &named, arguments, actor, session)?,
    };
    for (path, _) in &done.views {
        if conflicts.is_made_up(path)? {
            done.beside.push(path.clone());
        }
    }
    let unfinished = conflicts.unfinished().clone();
    report(done, &unfinished, session)
}

/// Refuses to end conflicts in another way than by the stub where the items may not be handed out.
fn clear(named: &[Named], actor: &str, session: &Session<'_>) -> Result<(), CommandError> {
    if !session.needs_approvals()? {
        return Ok(());
    }
    let stubs = named.iter().flat_map(|(conflict, _)| &conflict.tombs).map(|tomb| Wanted::from(&tomb.stub));
    let wanted: Vec<Wanted> = stubs.collect();
    let mut archive = session.archive_if_any()?;
    let known = match archive.as_deref_mut() {
        Some(archive) => archive.items(&wanted.iter().map(|wanted| wanted.tombstone).collect::<Vec<_>>())?,
        None => HashMap::new(),
    };
    let items: Vec<_> = wanted.iter().map(|wanted| (subject_of(wanted), known.get(&wanted.tombstone))).collect();
    let mut withheld = session.withheld(&items, archive.as_deref_mut(), Some(actor), None)?;
    // The edited version may stay whatever became of the other.
    withheld.retain(|one| !matches!(one.obstacle, Obstacle::Purged { .. }));
    refusal(&withheld).map_or(Ok(()), Err)
}

/// Returns the conflicts that are meant, each once.
fn named(
    arguments: &ResolveArguments,
    conflicts: &Conflicts<'_>,
    session: &Session<'_>,
) -> Result<Vec<Named>, CommandError> {
    let mut all: Vec<Named> = Vec::new();
    for path in &arguments.paths {
        let shown = quote(&Vec::from_os_str_lossy(path)).into_owned();
        for found in conflicts.named(&session.target(path)?, &shown)? {
            match all.iter_mut().find(|(known, _)| known.path == found.0.path) {
                Some((_, tombstone)) => *tombstone = found.1.or(*tombstone),
                None => all.push(found),
            }
        }
    }
    Ok(all)
}

fn keep_tombs(
    conflicts: &Conflicts<'_>,
    named: &[Named],
    actor: String,
    session: &Session<'_>,
) -> Result<Done, CommandError> {
    let files = keep(&session.repository, conflicts, named)?;
    session.places.create()?;
    let left_behind = keep_left_behind(&session.repository, conflicts, named)?;
    session.catch_signals()?;
    let facts = Facts { op: OperationId::generate(), started: Timestamp::now(), actor, repo: session.repo_name()? };
    let plan = StagingPlan { facts, files };
    let left = with_context(session, None, |context| Ok(stage_files(context, &plan)?))?;
    let mut done = Done { left, ..Done::default() };
    for (conflict, wanted) in named {
        let Some(kept) = conflict.chosen(*wanted) else { continue };
        let path = conflict.place(&kept.stands).clone();
        let home = conflict.file.as_ref().and_then(|file| file.home.as_ref());
        if let Some(Home { commit, path }) = home.filter(|home| left_behind.iter().all(|left| left.home != *home)) {
            session.output.say(format_args!("the edited version stays in commit {commit}, at {path}"));
        }
        let replaced = others(conflict, kept.stub.tombstone);
        for tombstone in &replaced {
            session.output.say(format_args!("the other side's item {tombstone} can be restored by its tombstone"));
        }
        let view = ResolvedView {
            path: JsonPath::from(&path).into(),
            status: "kept",
            tombstone: kept.stub.tombstone,
            replaced,
            evidence: None,
        };
        done.views.push((path, view));
    }
    warn_of_left_behind(&left_behind, session);
    Ok(done)
}

/// Says where the bytes are that git would have dropped.
fn warn_of_left_behind(left_behind: &[LeftBehind<'_>], session: &Session<'_>) {
    for LeftBehind { home: Home { commit, path }, reference, .. } in left_behind {
        session.output.warn(format_args!(
            "no branch keeps commit {commit}, which has the edited version, at {path}; its bytes are kept in this repository alone"
        ));
        session
            .output
            .hint(format_args!("`git cat-file blob {reference}`; the commit with `git branch <name> {commit}`"));
    }
}

fn restore_files(
    conflicts: &Conflicts<'_>,
    named: &[Named],
    actor: String,
    session: &Session<'_>,
) -> Result<Done, CommandError> {
    let op = OperationId::generate();
    let mut archive = archive(Change::Restore, session)?;
    let options = RestoreOptions { op, actor, repo: session.repo_name()?, only: None, force: false, raw: false };
    let known_origin = session.known_origin()?;
    let plan = restore(&session.repository, conflicts, archive.as_deref_mut(), &known_origin, named, &options)?;
    session.act(plan.facts.record(Action::Restore));
    session.places.create()?;
    session.places.link(session.is_default_archive()?)?;
    let (scratch, metrics) = (session.places.scratch(op), session.config()?.performance);
    let mut operation = InPlace { plan: plan.clone(), scratch, metrics, progress: &mut |_| {} };
    session.catch_signals()?;
    let outcome = with_context(session, archive.as_deref_mut(), |context| Ok(execute(context, &mut operation)?))?;
    let mut done = Done { left: outcome.left, ..Done::default() };
    for item in &plan.items {
        let tombstone = item.wanted.tombstone;
        let conflict = named.iter().find(|(conflict, _)| {
            let stands =
                conflict.file.as_ref().map(|file| &file.stands).or(conflict.tombs.first().map(|tomb| &tomb.stands));
            stands.is_some_and(|stands| *conflict.place(stands) == item.path)
        });
        let view = ResolvedView {
            path: JsonPath::from(&item.path).into(),
            status: "restored",
            tombstone,
            replaced: conflict.map(|(conflict, _)| others(conflict, tombstone)).unwrap_or_default(),
            evidence: Some(outcome.evidence),
        };
        done.views.push((item.path.clone(), view));
    }
    Ok(done)
}

fn archive_again(
    conflicts: &Conflicts<'_>,
    named: &[Named],
    arguments: &ResolveArguments,
    actor: String,
    session: &Session<'_>,
) -> Result<Done, CommandError> {
    let options = StoreOptions {
        commit: String::new(),
        repo: session.repo_name()?,
        actor,
        reason: Reason::Dead,
        kind: None,
        language: None,
        mime: None,
        tags: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
        refs: Vec::new(),
        delete_after: None,
        legal_hold: false,
        allow_purged: false,
        style: session.config()?.stub.style,
        keep: false,
        allow_dirty: false,
        in_conflict: true,
        dry_run: false,
    };
    let mut known = archive(Change::Store, session)?;
    let origin = session.known_origin()?;
    let plans =
        re_archive(&session.repository, conflicts, known.as_deref_mut(), &origin, named, arguments.reason, &options)?;
    drop(known);
    let left_behind = keep_left_behind(&session.repository, conflicts, named)?;
    let mut done = Done::default();
    for plan in plans {
        let outcome = super::store::carry_out(plan.clone(), session)?;
        for (item, record) in plan.items.iter().zip(&outcome.records) {
            let Some(tombstone) = record.tombstone else { continue };
            let conflict = named.iter().find(|(conflict, _)| {
                conflict.file.as_ref().is_some_and(|file| *conflict.place(&file.stands) == item.path)
            });
            let view = ResolvedView {
                path: JsonPath::from(&item.path).into(),
                status: "archived",
                tombstone,
                replaced: conflict.map(|(conflict, _)| others(conflict, tombstone)).unwrap_or_default(),
                evidence: Some(outcome.evidence),
            };
            done.views.push((item.path.clone(), view));
        }
        done.left.extend(outcome.left);
    }
    warn_of_left_behind(&left_behind, session);
    Ok(done)
}

/// Returns the items of a conflict's stubs but for one.
fn others(conflict: &Conflict, but: Tombstone) -> Vec<Tombstone> {
    conflict.tombs.iter().map(|tomb| tomb.stub.tombstone).filter(|tombstone| *tombstone != but).collect()
}

/// Opens the archive, if there is one.
fn archive(change: Change, session: &Session<'_>) -> Result<Option<Box<AnyArchive>>, CommandError> {
    let mut archive = session.archive_if_any()?;
    if let Some(archive) = &mut archive {
        archive.check_change(change)?;
    }
    Ok(archive)
}

/// Prints what was done, and what comes next.
fn report(mut done: Done, unfinished: &Unfinished, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    done.views.sort_by(|a, b| a.0.cmp(&b.0));
    done.views.retain(|(path, _)| !done.left.contains(path));
    for (path, view) in &done.views {
        if session.output.json {
            session.output.object(view)?;
        } else {
            session.output.line(path)?;
        }
    }
    for path in &done.beside {
        session.output.warn(format_args!(
            "{path} is a name that git made up, as the other side has a folder in its place: `git mv` gives it another"
        ));
    }
    for path in &done.left {
        session.output.warn(format_args!("{path} changed in the meantime and was left as it is"));
    }
    let resolved = counted(done.views.len(), "conflict");
    let left = session.repository.conflicts()?.len();
    if left > 0 {
        session.output.say(format_args!("resolved {resolved}; {} still in conflict", counted(left, "path")));
    } else {
        session.output.say(format_args!("resolved {resolved}; {}", what_next(unfinished, session)?));
    }
    Ok(if done.left.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Returns how to go on once nothing is in conflict any more.
fn what_next(unfinished: &Unfinished, session: &Session<'_>) -> Result<&'static str, CommandError> {
    let nothing_staged = || {
        let changes = session.repository.index_changes(unfinished.ours.as_ref())?;
        Ok::<_, CommandError>(changes.changes.is_empty())
    };
    Ok(match unfinished.kind {
        UnfinishedKind::Merge => "conclude the merge with `git commit`",
        UnfinishedKind::Rebase { .. } => "go on with `git rebase --continue`",
        UnfinishedKind::Apply if nothing_staged()? => "nothing is left to apply: go on with `git am --skip`",
        UnfinishedKind::Apply => "go on with `git am --continue`",
        UnfinishedKind::CherryPick if nothing_staged()? => {
            "nothing is left to pick: go on with `git cherry-pick --skip`"
        }
        UnfinishedKind::CherryPick => "go on with `git cherry-pick --continue`",
        UnfinishedKind::Revert if nothing_staged()? => "nothing is left to revert: go on with `git revert --skip`",
        UnfinishedKind::Revert => "go on with `git revert --continue`",
        UnfinishedKind::Other => "commit with `git commit`",
    })
}
