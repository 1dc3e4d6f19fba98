//! Manifests on the command line.

use std::io::Read;
use std::path::Path;

use super::error::CommandError;
use super::exit::Exit;
use super::session::{Session, shown};

/// Opens the manifest at `path`; `-` is standard input.
pub(crate) fn open_manifest(path: &Path, session: &Session<'_>) -> Result<Box<dyn Read>, CommandError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = std::fs::File::open(session.directory().join(path)).map_err(|error| {
        CommandError::new(Exit::Usage, format!("cannot read the manifest {}", shown(path))).caused_by(error.to_string())
    })?;
    Ok(Box::new(file))
}
