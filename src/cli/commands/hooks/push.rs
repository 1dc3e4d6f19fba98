//! The pre-push hook: counts the places where the bytes behind pushed stubs are.

use std::collections::HashSet;
use std::io::{IsTerminal, Read};

use git_archive_tomb::config::Place;
use git_archive_tomb::id::ObjectId;
use git_archive_tomb::item::RepoPath;
use git_archive_tomb::quote::quote;
use git_archive_tomb::survey::{StubContent, blob_stub};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::Session;

/// The longest list of pushed references that a hook reads, in bytes.
const MAX_PUSH_LIST: u64 = 16 << 20;

/// Warns about, or with `hooks.require_copies` refuses, stubs whose bytes would be in too few places after the push.
pub(super) fn check_push(session: &Session<'_>) -> Result<Exit, CommandError> {
    let required = session.config()?.hooks.require_copies as usize;
    // A push does not fail for an archive that cannot be opened: then it is no place.
    let mut archive = session.archive_if_any().unwrap_or_default();
    let origin = session.known_origin()?;
    // A local archive is one place, and a place of this machine alone.
    let archive_is_local = matches!(session.config()?.url.place(), Some(Place::Default | Place::Path(_)));
    let (mut only_here, mut too_few) = (Vec::new(), Vec::new());
    for (local, remote) in pushed(session)? {
        let objects = session.repository.objects();
        let known = remote.filter(|remote| objects.commit(remote).is_ok());
        let history = objects.history(&[local], &[])?;
        let reachable: HashSet<ObjectId> = history.commits.iter().map(|commit| commit.id).collect();
        let old = known.map(|remote| objects.commit(&remote)).transpose()?.map(|commit| commit.tree);
        let new = objects.commit(&local)?.tree;
        for change in objects.diff_trees(old.as_ref(), Some(&new)) {
            // Paths that this program does not handle cannot be stubs of its making.
            let Ok(change) = change else { continue };
            let Some(entry) = change.new else { continue };
            let Some(StubContent::Stub(parsed)) = blob_stub(&session.repository, &entry)? else { continue };
            let stub = &parsed.stub;
            let stored = match &mut archive {
                Some(archive) => archive.item(&stub.tombstone)?.filter(|stored| stored.is_visible_to(&origin)),
                None => None,
            };
            let in_archive = stored.as_ref().is_some_and(|stored| stored.purged_at.is_none());
            if stored.is_some() && !in_archive {
                continue;
            }
            // The remote gets the blob with the commit that held it.
            let dirty = stored.is_some_and(|stored| stored.item.dirty);
            let on_remote = !dirty && reachable.contains(&stub.commit) && objects.contains(&[stub.object])? == [true];
            let places = usize::from(in_archive) + usize::from(on_remote);
            if places < required {
                too_few.push((change.path.clone(), places));
            } else if !on_remote && (archive_is_local || !in_archive) {
                only_here.push(change.path);
            }
        }
    }
    report_copies(session, &only_here, &too_few, required)
}

fn report_copies(
    session: &Session<'_>,
    only_here: &[RepoPath],
    too_few: &[(RepoPath, usize)],
    required: usize,
) -> Result<Exit, CommandError> {
    const MAX_LISTED: usize = 10;
    for path in only_here.iter().take(MAX_LISTED) {
        session.output.warn(format_args!("the bytes of {path} are only on this machine"));
    }
    if only_here.len() > MAX_LISTED {
        session.output.warn(format_args!("and those of {} more", counted(only_here.len() - MAX_LISTED, "stub")));
    }
    if too_few.is_empty() {
        return Ok(Exit::Done);
    }
    let mut error = CommandError::new(
        Exit::Failed,
        format!(
            "the push is refused: the bytes of {} are in fewer than {required} places",
            counted(too_few.len(), "stub")
        ),
    );
    for (path, places) in too_few.iter().take(MAX_LISTED) {
        error = error.caused_by(format!("{path} is in {}", counted(*places, "place")));
    }
    Err(error.hint("push the commits that hold the files as well, or lower `hooks.require_copies`"))
}

/// Returns what is pushed: each commit with the remote's present one, where it has one.
fn pushed(session: &Session<'_>) -> Result<Vec<(ObjectId, Option<ObjectId>)>, CommandError> {
    let mut text = String::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_PUSH_LIST).read_to_string(&mut text).map_err(|error| {
            CommandError::new(Exit::Failed, "cannot read what is pushed").caused_by(error.to_string())
        })?;
    }
    let mut pushed = Vec::new();
    // The pre-commit framework tells it by variables.
    let from_framework = (std::env::var("PRE_COMMIT_FROM_REF"), std::env::var("PRE_COMMIT_TO_REF"));
    if let (Ok(from), Ok(to)) = from_framework
        && text.trim().is_empty()
    {
        let local = session.repository.resolve_commit(&to)?;
        pushed.push((local, session.repository.resolve_commit(&from).ok()));
    }
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let ids = match fields[..] {
            [_, local, _, remote] => (local.parse::<ObjectId>().ok(), remote.parse::<ObjectId>().ok()),
            _ => (None, None),
        };
        let (Some(local), Some(remote)) = ids else {
            return Err(CommandError::new(
                Exit::Usage,
                format!("{} is not what git gives a pre-push hook", quote(line.as_bytes())),
            ));
        };
        // A null id stands for a reference that is deleted, or not there yet. Tags of other things are not looked into.
        if !local.is_null()
            && let Ok(local) = session.repository.resolve_commit(&local.to_string())
        {
            pushed.push((local, Some(remote).filter(|remote| !remote.is_null())));
        }
    }
    Ok(pushed)
}
