//! The pre-push hook: counts the places where the bytes behind pushed stubs are.

use std::io::{IsTerminal, Read};

use bstr::ByteVec;
use git_archive_tomb::config::Backend;
use git_archive_tomb::hooks::{PushedStub, Remote, Update, exempt_among};
use git_archive_tomb::item::RepoPath;

use super::RunArguments;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::Session;

/// The longest list of pushed references that is read, in bytes.
const MAX_PUSH_LIST: u64 = 64 << 20;

/// How many stubs are named.
const MAX_LISTED: usize = 10;

/// What the pre-commit framework sets for its hooks, instead of git's arguments and input.
const FRAMEWORK_REMOTE: [&str; 2] = ["PRE_COMMIT_REMOTE_NAME", "PRE_COMMIT_REMOTE_URL"];
/// The commits; where the whole history is new to the remote there are none of them, and only the branches are named.
const FRAMEWORK_COMMITS: [&str; 2] = ["PRE_COMMIT_FROM_REF", "PRE_COMMIT_TO_REF"];
const FRAMEWORK_BRANCHES: [&str; 2] = ["PRE_COMMIT_REMOTE_BRANCH", "PRE_COMMIT_LOCAL_BRANCH"];

/// Warns about, or with `hooks.require_copies` refuses, stubs whose bytes would be in too few places after the push.
/// A push without new stubs asks for no configuration and no archive, so that it fails for neither.
pub(super) fn check_push(arguments: &RunArguments, session: &Session<'_>) -> Result<Exit, CommandError> {
    let repository = &session.repository;
    let updates = updates(session)?;
    if updates.iter().all(|update| update.new.is_none()) {
        return Ok(Exit::Done);
    }
    let mut remotes = Remote::all(session.git_config()?, &repository.references("refs/remotes/")?);
    let [name, url] = remote_of(arguments);
    let here = Remote::pushed_to(&mut remotes, session.git_config()?, &name, &url);
    let stubs = remotes[here].stubs_new_here(repository, &updates)?;
    if stubs.is_empty() {
        return Ok(Exit::Done);
    }
    remotes[here].apply(&updates);

    let required = session.config()?.hooks.require_copies as usize;
    let mut places: Vec<Places> = archive_places(session, &stubs)?;
    for remote in &remotes {
        for (places, has) in places.iter_mut().zip(remote.has(repository, &stubs)?) {
            places.elsewhere += usize::from(has);
        }
    }
    let lacks = |places: &Places| !places.purged && (places.count() < required || places.elsewhere == 0);
    let (stubs, places): (Vec<PushedStub>, Vec<Places>) =
        stubs.into_iter().zip(places).filter(|(_, places)| lacks(places)).unzip();
    let exempt = exempt_among(repository, &stubs)?;
    let (mut only_here, mut too_few) = (Vec::new(), Vec::new());
    for ((pushed, places), _) in stubs.into_iter().zip(places).zip(exempt).filter(|(_, exempt)| !exempt) {
        match places.count() {
            count if count < required => too_few.push((pushed.path, count)),
            _ => only_here.push(pushed.path),
        }
    }
    report_copies(session, &only_here, &too_few, required)
}

/// Where the bytes behind a stub are.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    /// Whether they are in an archive that is a file of this machine.
    on_this_machine: bool,
    /// In how many other places they are.
    elsewhere: usize,
    /// Whether they were destroyed on purpose.
    purged: bool,
}

impl Places {
    fn count(self) -> usize {
        usize::from(self.on_this_machine) + self.elsewhere
    }
}

/// Returns for each of `stubs` what the archive says, which is asked only if that needs no connection.
fn archive_places(session: &Session<'_>, stubs: &[PushedStub]) -> Result<Vec<Places>, CommandError> {
    if session.config()?.url.backend() != Backend::Sqlite {
        return Ok(vec![Places { elsewhere: 1, ..Places::default() }; stubs.len()]);
    }
    // A push does not fail for an archive that cannot be opened: then it is no place.
    let items = session.archive_if_any().ok().flatten().and_then(|mut archive| {
        archive.items(&stubs.iter().map(|pushed| pushed.stub.tombstone).collect::<Vec<_>>()).ok()
    });
    let (items, origin) = (items.unwrap_or_default(), session.known_origin()?);
    let places = |pushed: &PushedStub| {
        let stored = items.get(&pushed.stub.tombstone).filter(|stored| stored.is_visible_to(&origin));
        let purged = stored.is_some_and(|stored| stored.purged_at.is_some());
        Places { on_this_machine: stored.is_some() && !purged, elsewhere: 0, purged }
    };
    Ok(stubs.iter().map(places).collect())
}

fn report_copies(
    session: &Session<'_>,
    only_here: &[RepoPath],
    too_few: &[(RepoPath, usize)],
    required: usize,
) -> Result<Exit, CommandError> {
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

/// Returns the name and the URL of the remote, each empty if it was not told.
fn remote_of(arguments: &RunArguments) -> [Vec<u8>; 2] {
    let given = |index: usize| arguments.arguments.get(index).map(|word| Vec::from_os_str_lossy(word).into_owned());
    let framework = |name| std::env::var_os(name).map(|word| Vec::from_os_str_lossy(&word).into_owned());
    [0, 1].map(|index| given(index).or_else(|| framework(FRAMEWORK_REMOTE[index])).unwrap_or_default())
}

/// Returns what the push changes.
fn updates(session: &Session<'_>) -> Result<Vec<Update>, CommandError> {
    let mut text = Vec::new();
    let stdin = std::io::stdin();
    let failed = |cause: String| CommandError::new(Exit::Failed, "cannot read what is pushed").caused_by(cause);
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_PUSH_LIST).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
    }
    if text.len() as u64 == MAX_PUSH_LIST {
        return Err(failed(format!("it is longer than {} MiB", MAX_PUSH_LIST >> 20)));
    }
    let updates = Update::parse_all(&text)?;
    if !updates.is_empty() {
        return Ok(updates);
    }
    let [from, to] = FRAMEWORK_COMMITS.map(|name| std::env::var(name).ok());
    let [remote_branch, local_branch] = FRAMEWORK_BRANCHES.map(|name| std::env::var(name).ok());
    let Some(to) = to.or(local_branch) else { return Ok(updates) };
    let resolve = |revision: &str| session.repository.resolve_commit(revision);
    let old = from.and_then(|from| resolve(&from).ok());
    Ok(vec![Update { new: Some(resolve(&to)?), old, name: remote_branch.unwrap_or_default().into() }])
}
