//! `schema`: prints the archive's schema as SQL.

use clap::{Args, ValueEnum};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, output_error};

/// Print the SQL that makes an archive; connects to nothing
#[derive(Debug, Args)]
pub(crate) struct SchemaArguments {
    /// The database's dialect
    #[arg(long, value_enum)]
    dialect: DialectArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DialectArgument {
    /// SQLite 3.37 or later
    Sqlite,
}

/// Runs the command.
pub(crate) fn run(arguments: &SchemaArguments, output: &mut Output) -> Result<Exit, CommandError> {
    use std::io::Write as _;
    let sql = match arguments.dialect {
        DialectArgument::Sqlite => git_archive_tomb::archive::sqlite_schema(),
    };
    output.raw().write_all(sql.as_bytes()).map_err(|error| output_error(&error))?;
    Ok(Exit::Done)
}
