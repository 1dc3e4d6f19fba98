//! What a reviewer is given to check: the evidence that a change brings, and trailers that quote it in commit messages.
//!
//! A commit whose evidence was taken away with everything that names it looks like a commit that never had any. What
//! quotes the evidence elsewhere (a pull request, a commit's own message) still shows it. Specified in `docs/review.md`.

mod evidence;
mod trailers;

pub use evidence::{Evidence, Known, ReviewError, Scope, added, everywhere, known, tracked};
pub use trailers::{MAX_LISTED, Missing, Trailers, complete, missing};
