//! MariaDB's connections, and what is peculiar to its SQL.

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySql, MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlQueryResult, MySqlSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::address::{Address, Host, Tls};
use super::connection::{Connection, Dialect, Row, Runtime, Value, gather};

pub(super) static DIALECT: Dialect = Dialect {
    // Whether it may write is left to the server: where the default is that it only reads, somebody wants it so.
    begin_write: "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION",
    begin_read: "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    // For the rest of the session, which has nothing else to do. The first is as long as any system takes; the others are
    // MariaDB's alone, and off.
    wait_long: "SET SESSION wait_timeout = 2147483
      /*M! , idle_transaction_timeout = 0, idle_write_transaction_timeout = 0 */",
    // This passes over rows that are there, and cuts values that do not fit until they do. Checks still fail: those of table
    // `block`, which it is for, refuse whatever was cut. (`ON DUPLICATE KEY` would run the trigger that refuses changes.)
    insert_new: "INSERT IGNORE",
    unless_there: "",
    own_numbers: "",
    await_blocks: "SELECT id FROM block LIMIT 1 FOR UPDATE",
    offset: "`offset`",
    integer: "SIGNED",
    columns: "SELECT table_name, column_name FROM information_schema.columns
      WHERE table_schema = DATABASE() AND table_name IN (…)",
    other_table: "SELECT table_name FROM information_schema.tables
      WHERE table_schema = DATABASE() AND table_name NOT IN (…) LIMIT 1",
    // It commits at every change of the schema, so a transaction would promise what it does not keep.
    begin_migration: &[],
    lock_migration: "SELECT CAST(COALESCE(GET_LOCK(CONCAT('git-archive-tomb.', LEFT(DATABASE(), 40)), 60), 0) AS SIGNED)",
    end_migration: "DO RELEASE_LOCK(CONCAT('git-archive-tomb.', LEFT(DATABASE(), 40)))",
    abandon_migration: "DO RELEASE_LOCK(CONCAT('git-archive-tomb.', LEFT(DATABASE(), 40)))",
};

/// What holds for every session of ours: values that do not fit are errors, and another program's lock is waited for as
/// long as SQLite waits. By itself, a statement that writes blocks takes no lock on the archive that it asks where they
/// belong.
const SETTINGS: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',
    innodb_lock_wait_timeout = 10, lock_wait_timeout = 60, innodb_strict_mode = ON, foreign_key_checks = ON";

/// A connection to MariaDB.
pub(super) struct MariadbConnection {
    /// `None` only while it is dropped.
    connection: Option<MySqlConnection>,
    runtime: Runtime,
}

impl MariadbConnection {
    pub(super) fn connect(address: &Address) -> Result<Self, sqlx::Error> {
        let runtime = Runtime::new()?;
        let options = options(address);
        let connection = runtime.greet(async {
            let mut connection = MySqlConnection::connect_with(&options).await?;
            sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
            Ok(connection)
        })?;
        Ok(Self { connection: Some(connection), runtime })
    }

    fn parts(&mut self) -> (&Runtime, &mut MySqlConnection) {
        (&self.runtime, self.connection.as_mut().expect("a connection is there until it is dropped"))
    }
}

impl Drop for MariadbConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.runtime.take_leave(connection.close());
        }
    }
}

impl Connection for MariadbConnection {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        let (runtime, connection) = self.parts();
        runtime.answer(bound(sql, values).execute(connection)).map(|result: MySqlQueryResult| result.rows_affected())
    }

    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, sqlx::Error> {
        let (runtime, connection) = self.parts();
        if values.is_empty() {
            return runtime.answer(gather(sqlx::raw_sql(AssertSqlSafe(sql)).fetch(connection).map_ok(Row::Mariadb)));
        }
        runtime.answer(gather(bound(sql, values).fetch(connection).map_ok(Row::Mariadb)))
    }

    fn run(&mut self, script: &str) -> Result<(), sqlx::Error> {
        let (runtime, connection) = self.parts();
        for statement in statements(script) {
            runtime.answer(sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection))?;
        }
        Ok(())
    }
}

/// Returns the statements of a script of MariaDB's own client: each ends with a line that ends with the delimiter, which
/// is `;` until a line `DELIMITER` changes it.
pub(super) fn statements(script: &str) -> Vec<String> {
    let (mut found, mut delimiter, mut statement) = (Vec::new(), ";", String::new());
    for line in script.lines() {
        if let Some(changed) = line.strip_prefix("DELIMITER ") {
            delimiter = changed.trim();
        } else if let Some(last) = line.trim_end().strip_suffix(delimiter) {
            statement.push_str(last);
            found.push(std::mem::take(&mut statement));
        } else if !(statement.is_empty() && (line.trim().is_empty() || line.starts_with("--"))) {
            statement.push_str(line);
            statement.push('\n');
        }
    }
    if !statement.trim().is_empty() {
        found.push(statement);
    }
    found
}

fn bound<'q>(sql: &str, values: &'q [Value<'_>]) -> Query<'q, MySql, MySqlArguments> {
    let query = sqlx::query(AssertSqlSafe(sql));
    values.iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Integer(number) => query.bind(*number),
        Value::OptionalInteger(number) => query.bind(*number),
        Value::Boolean(truth) => query.bind(*truth),
        Value::Bytes(bytes) => query.bind(*bytes),
    })
}

fn options(address: &Address) -> MySqlConnectOptions {
    let mode = match address.tls {
        Tls::Disable => MySqlSslMode::Disabled,
        Tls::Prefer => MySqlSslMode::Preferred,
        Tls::Require => MySqlSslMode::Required,
        Tls::VerifyCa => MySqlSslMode::VerifyCa,
        Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
    };
    let mut options = MySqlConnectOptions::new()
        .username(&address.user)
        .database(&address.database)
        .charset("utf8mb4")
        .ssl_mode(mode)
        .disable_statement_logging();
    options = match &address.host {
        Host::Name(name) => options.host(name).port(address.port),
        Host::Socket(socket) => options.socket(socket),
    };
    if let Some(password) = address.password() {
        options = options.password(password);
    }
    if let Some(file) = &address.root_certificate {
        options = options.ssl_ca(file);
    }
    match &address.client_certificate {
        Some((certificate, key)) => options.ssl_client_cert(certificate).ssl_client_key(key),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_split_as_the_client_does() {
        let script = "-- first\n\nA\n  b; c;\nDELIMITER //\n-- in between\nX;\nY;//\nDELIMITER ;\nZ;\nrest";
        assert_eq!(statements(script), ["A\n  b; c", "X;\nY;", "Z", "rest\n"]);
    }
}
