//! `status`: what is archived here, and what needs attention, on one screen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use clap::Args;
use git_archive_tomb::archive::{Location, Query, StoredItem};
use git_archive_tomb::git::Repository;
use git_archive_tomb::governance::due::{DueDate, Horizon};
use git_archive_tomb::id::ObjectId;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::restore::{Wanted, find_in_history};
use git_archive_tomb::survey::{StubContent, stubs_among, stubs_in_conflict};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Style, counted, human_size};
use crate::cli::session::Session;

/// How many stubs are listed one by one.
const MAX_LISTED: usize = 20;

/// Show the stubs here, where their bytes are, and what needs attention
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// List every stub
    #[arg(long)]
    all: bool,
}

/// Where the bytes of a stub are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whereabouts {
    /// In the archive, and in commits that a remote has.
    Both,
    /// In the archive, which is on a server.
    Archive,
    /// In commits that a remote has.
    History,
    /// In the archive, a file on this machine, and in commits that no remote is known to have.
    BothHere,
    /// In the archive alone.
    ArchiveHere,
    /// In commits that no remote is known to have.
    HistoryHere,
    /// They were destroyed on purpose.
    Purged,
    /// Nowhere that can be seen from here.
    Nowhere,
}

impl Whereabouts {
    /// Returns where the bytes are, given their item, whether the archive is on a server, whether git has them here, and
    /// whether a remote has their commit.
    fn of(stored: Option<&StoredItem>, on_server: bool, in_history: bool, pushed: bool) -> Self {
        match stored {
            Some(stored) if stored.purged_at.is_some() => Self::Purged,
            // The blob of a dirty one is kept by a reference of this clone alone.
            Some(stored) if in_history && pushed && !stored.item.dirty => Self::Both,
            Some(_) if on_server => Self::Archive,
            Some(stored) if in_history && !stored.item.dirty => Self::BothHere,
            Some(_) => Self::ArchiveHere,
            None if in_history => {
                if pushed {
                    Self::History
                } else {
                    Self::HistoryHere
                }
            }
            None => Self::Nowhere,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Both => "in the archive and in git's history",
            Self::Archive => "in the archive on a server",
            Self::History => "in git's history",
            Self::BothHere => "in the archive and in git's history, only on this machine",
            Self::ArchiveHere => "in the archive, only on this machine",
            Self::HistoryHere => "in git's history, only on this machine",
            Self::Purged => "purged",
            Self::Nowhere => "nowhere to be seen from here",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Both | Self::Archive | Self::History => Style::Good,
            Self::Purged => Style::Dim,
            Self::BothHere | Self::ArchiveHere | Self::HistoryHere => Style::Warning,
            Self::Nowhere => Style::Error,
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &StatusArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    let mut archive = session.archive_if_any()?;
    let on_server = !matches!(session.archive_location()?, Location::File(_));
    let origin = session.known_origin()?;
    let entries = session.repository.tracked_entries(&[])?;
    let in_conflict = stubs_in_conflict(&session.repository, &entries)?;
    let (mut stubs, mut broken) = (Vec::new(), Vec::new());
    for found in stubs_among(&session.repository, entries)? {
        match found.content {
            StubContent::Stub(parsed) => stubs.push((found.entry.path, parsed)),
            StubContent::Newer | StubContent::Malformed(_) => broken.push(found.entry.path),
        }
    }
    let commits = stubs.iter().map(|(_, parsed)| parsed.stub.commit).collect();
    let unpushed = unpushed(&session.repository, commits)?;
    let mut places: BTreeMap<Whereabouts, Vec<RepoPath>> = BTreeMap::new();
    let mut bytes = 0;
    let items = match &mut archive {
        Some(archive) => archive.items(&stubs.iter().map(|(_, parsed)| parsed.stub.tombstone).collect::<Vec<_>>())?,
        None => HashMap::new(),
    };
    let objects: Vec<_> = stubs.iter().map(|(_, parsed)| parsed.stub.object).collect();
    let present = session.repository.objects().contains(&objects)?;
    for ((path, parsed), present) in stubs.iter().zip(present) {
        let wanted = Wanted::from(&parsed.stub);
        bytes += wanted.size;
        let stored = items.get(&wanted.tombstone).filter(|stored| stored.is_visible_to(&origin));
        // The recorded blob is nearly always there; looking through a path's whole history is for `restore`.
        let in_history = present || (stored.is_none() && find_in_history(&session.repository, &wanted)?.is_some());
        let whereabouts = Whereabouts::of(stored, on_server, in_history, !unpushed.contains(&wanted.commit));
        places.entry(whereabouts).or_default().push(path.clone());
    }
    let (mut held, mut due) = (Vec::new(), Vec::new());
    if let Some(archive) = &mut archive {
        let horizon = Horizon::now();
        let query = Query { repo: Some(session.repo_name()?), origin: Some(origin), ..Query::default() };
        archive.list(&query, &mut |stored| {
            if stored.item.legal_hold {
                held.push(stored.item.path.clone());
            }
            if let Some(DueDate { date, .. }) = horizon.due(&stored) {
                due.push((date, stored.item.path));
            }
            ControlFlow::Continue(())
        })?;
    }
    due.sort();
    let unfinished = session.unfinished()?;
    let output = &mut *session.output;
    if output.json {
        let paths = |whereabouts: Whereabouts| places.get(&whereabouts).map_or(0, Vec::len);
        return output
            .object(&serde_json::json!({
                "stubs": stubs.len(), "bytes": bytes, "in_archive_and_on_remote": paths(Whereabouts::Both),
                "in_archive_on_server": paths(Whereabouts::Archive), "on_remote": paths(Whereabouts::History), "only_on_this_machine": paths(Whereabouts::BothHere)
                    + paths(Whereabouts::ArchiveHere)
                    + paths(Whereabouts::HistoryHere),
                "purged": paths(Whereabouts::Purged), "nowhere": paths(Whereabouts::Nowhere),
                "malformed": broken.len(), "in_conflict": in_conflict.len(), "held": held.len(), "due": due.len(), "unfinished": unfinished.len(),
            }))
            .map(|()| Exit::Done);
    }
    if stubs.is_empty() && broken.is_empty() && in_conflict.is_empty() {
        output.line("no stubs here")?;
    } else {
        output.line(format_args!("{} for {} of files", counted(stubs.len(), "stub"), human_size(bytes)))?;
    }
    for (whereabouts, paths) in &places {
        let text = output.styled(whereabouts.style(), whereabouts.describe());
        output.line(format_args!("  {:>6}  {text}", paths.len()))?;
        let worth_naming = matches!(whereabouts.style(), Style::Warning | Style::Error);
        if arguments.all || worth_naming {
            let listed = if arguments.all { paths.len() } else { MAX_LISTED };
            for path in paths.iter().take(listed) {
                output.line(format_args!("          {path}"))?;
            }
            if paths.len() > listed {
                output.line(format_args!("          and {} more (`--all` lists them)", paths.len() - listed))?;
            }
        }
    }
    for path in &broken {
        let text = output.styled(Style::Error, "not a valid stub");
        output.line(format_args!("  {path}: {text}"))?;
    }
    print_conflicts(&in_conflict, output)?;
    if !held.is_empty() {
        output.line(format_args!("{} under a legal hold", counted(held.len(), "item")))?;
    }
    for (date, path) in due.iter().take(MAX_LISTED) {
        output.line(format_args!("{path} may be destroyed from {date} on"))?;
    }
    if archive.is_none() && !stubs.is_empty() {
        output.hint("there is no archive in this clone; restoring takes the bytes from git's history");
    }
    Ok(Exit::Done)
}

/// Prints which paths are in conflict, and how to end that.
fn print_conflicts(paths: &BTreeSet<RepoPath>, output: &mut Output) -> Result<(), CommandError> {
    for path in paths {
        let text = output.styled(Style::Error, "in conflict");
        output.line(format_args!("  {path}: {text}"))?;
    }
    if let Some(path) = paths.first() {
        output.hint(format_args!(
            "end a conflict with `git archive-tomb resolve {} --keep-tomb`, or `--restore`, or `--re-archive`",
            path.to_pathspec()
        ));
    }
    Ok(())
}

/// Returns those of `commits`, and of what they come from, that no remote-tracking branch has.
fn unpushed(repository: &Repository, commits: BTreeSet<ObjectId>) -> Result<HashSet<ObjectId>, CommandError> {
    let objects = repository.objects();
    let remotes = repository.references("refs/remotes/")?.into_iter().map(|reference| reference.id);
    let remotes: Vec<_> = remotes.filter(|id| objects.commit(id).is_ok()).collect();
    let commits: Vec<_> = commits.into_iter().collect();
    let history = objects.history(&commits, &remotes)?;
    Ok(history.commits.into_iter().map(|commit| commit.id).chain(history.missing).collect())
}
