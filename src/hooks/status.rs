//! What is installed, without changing anything.

use std::path::Path;

use super::place::{self, Manager, Owner, Place};
use super::shim::{self, Shim};
use super::{Hook, HooksError, found, read_start};

/// To whom the hooks belong, and the state of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// To whom the hooks belong.
    pub owner: Owner,
    /// Each hook of [`Hook::ALL`], in that order, and the one for trailers if it is installed.
    pub hooks: Vec<(Hook, State)>,
}

impl Status {
    /// Returns whether git runs our checks from every hook.
    pub fn is_complete(&self) -> bool {
        self.hooks.iter().all(|(_, state)| state.is_active())
    }
}

/// The state of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There is no hook.
    Missing,
    /// Our shim, as this program writes it.
    Installed {
        /// Its version.
        version: u32,
        /// Whether it runs a hook that was there before.
        chained: bool,
    },
    /// Our shim, of an older version, without leave to be executed, or naming a program that is gone; `install` mends it.
    Stale {
        /// Its version.
        version: u32,
        /// Whether it runs a hook that was there before.
        chained: bool,
    },
    /// A shim that a newer version of this program wrote.
    Newer {
        /// Its version.
        version: u32,
    },
    /// Our shim, changed by somebody.
    Edited,
    /// Somebody else's hook.
    Foreign {
        /// Whether it mentions our program, so that it probably runs our checks.
        wired: bool,
        /// Whether a hook that our shim ran is still kept beside it.
        kept: bool,
    },
    /// The hook is a manager's.
    Managed {
        /// The manager.
        manager: Manager,
        /// Whether its configuration mentions our program, so that it probably runs our checks.
        wired: bool,
    },
}

impl State {
    /// Returns whether our checks run from this hook, as far as can be told without running it.
    pub fn is_active(&self) -> bool {
        match self {
            Self::Installed { .. } | Self::Newer { .. } => true,
            Self::Foreign { wired, .. } | Self::Managed { wired, .. } => *wired,
            Self::Missing | Self::Stale { .. } | Self::Edited => false,
        }
    }
}

/// Returns what is installed at `place`.
pub fn status(place: &Place) -> Result<Status, HooksError> {
    let owner = place.owner()?;
    let mut hooks = Vec::new();
    for hook in Hook::EVERY {
        // The one that few ask for counts only where it is installed.
        if Hook::ALL.contains(&hook) || matches!(look(&hook.path(place))?, Found::Shim(_)) {
            hooks.push((hook, state(place, owner, hook)?));
        }
    }
    Ok(Status { owner, hooks })
}

fn state(place: &Place, owner: Owner, hook: Hook) -> Result<State, HooksError> {
    let path = hook.path(place);
    let hook_found = look(&path)?;
    let chained = exists(&hook.chained_path(place))?;
    Ok(match (hook_found, owner) {
        (Found::Shim(Shim { edited: true, .. }), _) => State::Edited,
        (Found::Shim(Shim { version, .. }), _) if version > shim::VERSION => State::Newer { version },
        (Found::Shim(Shim { version, program, .. }), _) => {
            if version < shim::VERSION || !is_executable(&path) || program.is_some_and(|program| !program.is_file()) {
                State::Stale { version, chained }
            } else {
                State::Installed { version, chained }
            }
        }
        (_, Owner::Manager(manager)) => State::Managed { manager, wired: place.is_wired(manager, hook)? },
        (Found::Foreign, _) => State::Foreign { wired: place::mentions_us(&path)?, kept: chained },
        (Found::Nothing, _) => State::Missing,
    })
}

/// What stands at the name of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A script that begins as our shims do.
    Shim(Shim),
    /// Anything else. Links are: we write none, and what they lead to belongs to somebody else.
    Foreign,
}

/// Returns what stands at `path`.
pub(super) fn look(path: &Path) -> Result<Found, HooksError> {
    let Some(metadata) = found(path.symlink_metadata()).map_err(HooksError::io("read", path))? else {
        return Ok(Found::Nothing);
    };
    if !metadata.is_file() || metadata.len() > shim::MAX_LENGTH {
        return Ok(Found::Foreign);
    }
    let text = read_start(path, shim::MAX_LENGTH)?.unwrap_or_default();
    Ok(shim::parse(&text).map_or(Found::Foreign, Found::Shim))
}

/// Returns whether anything, even a broken link, stands at `path`.
pub(super) fn exists(path: &Path) -> Result<bool, HooksError> {
    Ok(found(path.symlink_metadata()).map_err(HooksError::io("read", path))?.is_some())
}

/// Returns whether git would run the hook at `path`; it passes over those without leave to be executed.
pub(super) fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    path.is_file()
}
