//! Errors with their causes.

use std::error::Error;

/// Returns an error with its causes, outermost first, as one fragment: `cannot read the stub: no such file`.
pub fn in_one_line(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
