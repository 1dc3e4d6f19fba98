//! `schema`: prints the archive's schema as SQL.

use clap::{Args, ValueEnum};
use git_archive_tomb::archive::schema;
use git_archive_tomb::item::Backend;

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
    /// PostgreSQL 13 or later
    Postgres,
    /// MariaDB 10.6 or later
    Mariadb,
}

/// Runs the command.
pub(crate) fn run(arguments: &SchemaArguments, output: &mut Output) -> Result<Exit, CommandError> {
    use std::io::Write as _;
    let backend = match arguments.dialect {
        DialectArgument::Sqlite => Backend::Sqlite,
        DialectArgument::Postgres => Backend::Postgres,
        DialectArgument::Mariadb => Backend::Mariadb,
    };
    output.raw().write_all(schema(backend).as_bytes()).map_err(|error| output_error(&error))?;
    Ok(Exit::Done)
}
