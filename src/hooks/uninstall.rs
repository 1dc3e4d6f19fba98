//! Removes the hooks and puts back what was there before.

use std::path::Path;

use super::install::is_same_hook;
use super::place::{Owner, Place};
use super::status::{Found, exists, look};
use super::{Hook, HooksError};
use crate::fs;

/// How to remove hooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UninstallOptions {
    /// Whether to change a folder outside the repository's git directory.
    pub shared: bool,
    /// Whether to remove shims that were edited.
    pub force: bool,
}

/// What came of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UninstallOutcome {
    /// No shim of ours is left: each of [`Hook::ALL`] in that order, and the one for trailers if it was there.
    Done(Vec<(Hook, Uninstalled)>),
    /// Nothing was changed: the folder is shared with others.
    Shared,
}

/// What was done about one hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uninstalled {
    /// Removed; there was none before it.
    Removed,
    /// The hook that was there before stands again, the very file it was.
    Restored,
    /// There was none.
    Missing,
    /// Somebody else's hook is there, and was left alone.
    Foreign {
        /// Whether the hook that our shim ran is still kept beside it; only a person can say which of the two counts.
        kept: bool,
    },
}

/// Removes every hook that is ours from `place`, or none where that is refused.
pub fn uninstall(place: &Place, options: UninstallOptions) -> Result<UninstallOutcome, HooksError> {
    if place.owner()? == Owner::Shared && !options.shared {
        return Ok(UninstallOutcome::Shared);
    }
    let plans = Hook::EVERY.into_iter().map(|hook| Ok((hook, plan(place, hook, options.force)?)));
    let mut plans = plans.collect::<Result<Vec<_>, HooksError>>()?;
    // Of the one that few ask for nothing is said unless it is ours.
    plans.retain(|(hook, action)| {
        let is_ours = !matches!(action, Uninstalled::Missing | Uninstalled::Foreign { kept: false });
        Hook::ALL.contains(hook) || is_ours
    });
    for (hook, action) in &plans {
        execute(&hook.path(place), &hook.chained_path(place), *action)?;
    }
    Ok(UninstallOutcome::Done(plans))
}

fn plan(place: &Place, hook: Hook, force: bool) -> Result<Uninstalled, HooksError> {
    let (path, kept) = (hook.path(place), hook.chained_path(place));
    let is_kept = exists(&kept)?;
    Ok(match look(&path)? {
        Found::Shim(shim) if shim.edited && !force => return Err(HooksError::Edited { path }),
        Found::Shim(_) | Found::Nothing if is_kept => Uninstalled::Restored,
        Found::Shim(_) => Uninstalled::Removed,
        Found::Nothing => Uninstalled::Missing,
        Found::Foreign => Uninstalled::Foreign { kept: is_kept && !is_same_hook(&path, &kept)? },
    })
}

fn execute(path: &Path, kept: &Path, action: Uninstalled) -> Result<(), HooksError> {
    match action {
        Uninstalled::Missing | Uninstalled::Foreign { kept: true } => return Ok(()),
        Uninstalled::Restored => std::fs::rename(kept, path).map_err(HooksError::io("restore", path))?,
        Uninstalled::Removed => std::fs::remove_file(path).map_err(HooksError::io("remove", path))?,
        // Without a second name, or with one that an installation stopped half-way gave to this very hook.
        Uninstalled::Foreign { kept: false } => match std::fs::remove_file(kept) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(HooksError::io("remove", kept))?,
        },
    }
    let folder = fs::parent_of(path);
    fs::sync_dir(folder).map_err(HooksError::io("sync", folder))
}
