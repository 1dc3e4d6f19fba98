//! Installs the hooks: decides for all of them first, then changes one after the other.

use std::io;
use std::path::{Path, PathBuf};

use super::place::{Manager, Owner, Place, Snippet};
use super::status::{Found, exists, is_executable, look};
use super::{Hook, HooksError, found, read_start, shim};
use crate::fs;
use crate::id::Sha256;

/// How to install hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallOptions {
    /// Where the program is, absolute: hooks look there when it is not on `PATH`. A shared folder's hooks do not, as
    /// the place may differ from one user of the folder to the next.
    pub program: PathBuf,
    /// Whether to write into a folder outside the repository's git directory.
    pub shared: bool,
    /// Whether to overwrite shims that were edited.
    pub force: bool,
}

/// What came of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallOutcome {
    /// The hooks are there, in the order of [`Hook::ALL`].
    Done(Vec<(Hook, Installed)>),
    /// Nothing was changed: the hooks belong to a manager, whose configuration needs this.
    Managed {
        /// The manager.
        manager: Manager,
        /// What to add, and where.
        snippets: Vec<Snippet>,
    },
    /// Nothing was changed: the folder is shared with others, and its hooks need this.
    Shared {
        /// What to add, and where.
        snippets: Vec<Snippet>,
    },
}

/// What was done about one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// Written where there was none.
    New,
    /// Written; it runs the hook that was there before.
    Chained,
    /// Our own shim was replaced: it was stale, edited, or recorded another place of the program.
    Updated,
    /// It was there already, byte for byte.
    Unchanged,
}

/// Installs every hook of [`Hook::ALL`] at `place`, or none where that is refused or not ours to do. The one that adds
/// trailers is renewed where it is installed.
///
/// Stopped at any moment, each hook is the one before or the one after, and the next run finishes the work. The hook
/// that was there is first given its second name and only then replaced, so that it is never without a name.
pub fn install(place: &Place, options: &InstallOptions) -> Result<InstallOutcome, HooksError> {
    let mut hooks = Hook::ALL.to_vec();
    if matches!(look(&Hook::CommitMsg.path(place))?, Found::Shim(_)) {
        hooks.push(Hook::CommitMsg);
    }
    install_each(place, options, &hooks)
}

/// Installs all of them and the hook that adds trailers, as [`install`] does.
pub fn install_with_trailers(place: &Place, options: &InstallOptions) -> Result<InstallOutcome, HooksError> {
    install_each(place, options, &Hook::EVERY)
}

fn install_each(place: &Place, options: &InstallOptions, hooks: &[Hook]) -> Result<InstallOutcome, HooksError> {
    let program = match place.owner()? {
        Owner::Repository => Some(options.program.as_path()),
        Owner::Shared if options.shared => None,
        Owner::Shared => return Ok(InstallOutcome::Shared { snippets: place.shared_snippets(hooks) }),
        Owner::Manager(manager) => {
            return Ok(InstallOutcome::Managed { manager, snippets: place.manager_snippets(manager, hooks) });
        }
    };
    if exists(&place.hooks_dir)? && !place.hooks_dir.is_dir() {
        return Err(HooksError::NotAFolder { path: place.hooks_dir.clone() });
    }
    let plans = hooks.iter().map(|hook| Plan::new(place, *hook, program, options.force));
    let plans = plans.collect::<Result<Vec<_>, _>>()?;
    std::fs::create_dir_all(&place.hooks_dir).map_err(HooksError::io("make", &place.hooks_dir))?;
    plans.iter().try_for_each(Plan::execute)?;
    Ok(InstallOutcome::Done(plans.into_iter().map(|plan| (plan.hook, plan.action)).collect()))
}

/// What is to be done about one hook.
struct Plan {
    hook: Hook,
    action: Installed,
    path: PathBuf,
    /// Where the hook at `path` is still to be kept.
    keep_as: Option<PathBuf>,
    text: Vec<u8>,
}

impl Plan {
    fn new(place: &Place, hook: Hook, program: Option<&Path>, force: bool) -> Result<Self, HooksError> {
        let (path, kept) = (hook.path(place), hook.chained_path(place));
        let text = shim::render(hook, program);
        let is_kept = exists(&kept)?;
        let mut keep_as = None;
        let action = match look(&path)? {
            Found::Nothing if is_kept => Installed::Chained,
            Found::Nothing => Installed::New,
            Found::Shim(shim) if shim.version > shim::VERSION => {
                return Err(HooksError::Newer { path, version: shim.version });
            }
            Found::Shim(shim) if shim.edited && !force => return Err(HooksError::Edited { path }),
            Found::Shim(_) => {
                let is_same = read_start(&path, shim::MAX_LENGTH)?.is_some_and(|there| there == text);
                if is_same && is_executable(&path) { Installed::Unchanged } else { Installed::Updated }
            }
            Found::Foreign if !is_file_or_link(&path)? => return Err(HooksError::NotAFile { path }),
            // An installation that was stopped between the two steps leaves one hook under both names.
            Found::Foreign if is_kept && !is_same_hook(&path, &kept)? => {
                return Err(HooksError::TwoHooks { path, kept });
            }
            Found::Foreign => {
                keep_as = (!is_kept).then_some(kept);
                Installed::Chained
            }
        };
        Ok(Self { hook, action, path, keep_as, text })
    }

    fn execute(&self) -> Result<(), HooksError> {
        if let Some(kept) = &self.keep_as {
            keep(&self.path, kept).map_err(HooksError::io("keep", &self.path))?;
        }
        if self.action != Installed::Unchanged {
            fs::replace_executable(&self.path, &self.text).map_err(HooksError::io("write", &self.path))?;
        }
        Ok(())
    }
}

/// Makes the hook at `path` durable under the name `kept`: the same file, with all that is not in its bytes.
fn keep(path: &Path, kept: &Path) -> io::Result<()> {
    // Some file systems have no second names for a file (FAT, some shares). There the hook is absent for a moment.
    std::fs::hard_link(path, kept).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::rename(path, kept),
    })?;
    fs::sync_dir(fs::parent_of(kept))
}

fn is_file_or_link(path: &Path) -> Result<bool, HooksError> {
    let metadata = path.symlink_metadata().map_err(HooksError::io("read", path))?;
    Ok(metadata.is_file() || metadata.is_symlink())
}

/// Returns whether two hooks are the same link, or files with the same bytes.
pub(super) fn is_same_hook(one: &Path, other: &Path) -> Result<bool, HooksError> {
    let contents = |path: &Path| {
        let metadata = path.symlink_metadata()?;
        if metadata.is_symlink() {
            return Ok(Some((Sha256::of(path.read_link()?.as_os_str().as_encoded_bytes()), None)));
        }
        // Anything else, as a pipe, is not worth a reader that might never return.
        if !metadata.is_file() {
            return Ok(None);
        }
        Sha256::of_reader(std::fs::File::open(path)?).map(|(digest, size)| Some((digest, Some(size))))
    };
    let read = |path: &Path| found(contents(path)).map(Option::flatten).map_err(HooksError::io("read", path));
    let one = read(one)?;
    Ok(one.is_some() && one == read(other)?)
}
