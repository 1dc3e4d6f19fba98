//! Manifests on the command line.

use std::path::Path;

use git_archive_tomb::manifest::{self, FromRow, Manifest, ManifestError, Mistakes};

use super::error::CommandError;
use super::exit::Exit;
use super::session::{Session, shown};

/// How many mistakes are listed; of the rest only the number.
const LISTED: usize = 100;

/// Reads the manifest at `path`; `-` is standard input.
pub(crate) fn read_manifest<T: FromRow>(path: &Path, session: &Session<'_>) -> Result<Manifest<T>, CommandError> {
    let read = if path.as_os_str() == "-" {
        manifest::read(std::io::stdin().lock())
    } else {
        let file = std::fs::File::open(session.directory().join(path)).map_err(|error| {
            CommandError::new(Exit::Usage, format!("cannot read the manifest {}", shown(path)))
                .caused_by(error.to_string())
        })?;
        manifest::read(file)
    };
    read.map_err(|error| match &error {
        ManifestError::Mistakes(mistakes) => refused(&error.to_string(), mistakes),
        _ => CommandError::from_error(Exit::Usage, &error),
    })
}

/// Returns the error that says what is wrong with rows, row by row.
pub(crate) fn refused(what: &str, mistakes: &Mistakes) -> CommandError {
    let error = CommandError::new(Exit::Usage, what);
    let error = mistakes.told().take(LISTED).fold(error, |error, mistake| error.caused_by(mistake.to_string()));
    match mistakes.total().checked_sub(LISTED) {
        Some(more @ 1..) => error.caused_by(format!("and {more} more")),
        _ => error,
    }
}
