//! SSH signatures over statements of this program, made and checked by `ssh-keygen` with git's own set-up.
//!
//! Whoever signs commits with SSH keys needs nothing more: the key is git's, and so is the file that says whom to believe.
//! [`Signer`] signs, [`AllowedSigners`] says whose a [`Signature`] is, and neither knows what is signed. All of it is in the
//! namespace [`NAMESPACE`], so that a signature of a commit or tag is none here, nor the other way round.

mod armor;
mod keygen;
mod setup;

pub use armor::{ArmorError, Signature};
pub use keygen::{AllowedSigners, Key, SignatureError, Signer, Verdict};
pub use setup::{allowed_signers_of_git, program_of_git, revocations_of_git};

/// What every signature of this program is for; `ssh-keygen` signs it along.
pub const NAMESPACE: &str = "git-archive-tomb";
