//! PostgreSQL's connections, and what is peculiar to its SQL.

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgQueryResult, PgSslMode, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::address::{Address, Host, Tls};
use super::connection::{Connection, Dialect, Row, Runtime, Value, gather};

pub(super) static DIALECT: Dialect = Dialect {
    // Whether it may write is left to the server: where the default is that it only reads, somebody wants it so.
    begin_write: "BEGIN ISOLATION LEVEL READ COMMITTED",
    begin_read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    // The second is there from version 17 on. Where the machine that waits is gone, the network tells within minutes.
    wait_long: "SELECT set_config(name, '0', true) FROM pg_catalog.pg_settings
      WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout');
      SELECT set_config('tcp_keepalives_idle', '60', true), set_config('tcp_keepalives_interval', '60', true)",
    insert_new: "INSERT",
    unless_there: "ON CONFLICT DO NOTHING",
    own_numbers: "OVERRIDING USER VALUE",
    await_blocks: "LOCK TABLE block IN SHARE MODE",
    offset: "\"offset\"",
    integer: "BIGINT",
    columns: "SELECT c.relname::text, a.attname::text FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
        AND c.relname IN (…)",
    other_table: "SELECT c.relname::text FROM pg_catalog.pg_class c
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname NOT IN (…)
        AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') LIMIT 1",
    // Whatever the database's default is: what another program made while it was waited for must be seen.
    begin_migration: &["BEGIN ISOLATION LEVEL READ COMMITTED"],
    // The key is the bytes `ATmb` and the schema: archives in other schemas of the database are none of its business.
    lock_migration: "SELECT CAST(1 AS BIGINT) FROM (
      SELECT pg_advisory_xact_lock(1096052066, hashtext(current_schema()))) AS locked",
    end_migration: "COMMIT",
    abandon_migration: "ROLLBACK",
};

/// What holds for every session of ours. Another program's lock is waited for as long as SQLite waits, and what was
/// acknowledged survives a crash also where somebody made that the exception. Pages cost what they do on today's disks: a
/// planner that thinks of older ones reads a whole table, by several processes, to look for 512 of 100,000 contents.
const SETTINGS: &str = "
    SELECT set_config('lock_timeout', '10s', false), set_config('idle_in_transaction_session_timeout', '600s', false);
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SELECT set_config(name, '1.1', false) FROM pg_catalog.pg_settings WHERE name = 'random_page_cost';";

/// A connection to PostgreSQL.
pub(super) struct PostgresConnection {
    /// `None` only while it is dropped.
    connection: Option<PgConnection>,
    runtime: Runtime,
}

impl PostgresConnection {
    pub(super) fn connect(address: &Address) -> Result<Self, sqlx::Error> {
        let runtime = Runtime::new()?;
        let options = options(address);
        let connection = runtime.greet(async {
            let mut connection = PgConnection::connect_with(&options).await?;
            sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
            Ok(connection)
        })?;
        Ok(Self { connection: Some(connection), runtime })
    }

    fn parts(&mut self) -> (&Runtime, &mut PgConnection) {
        (&self.runtime, self.connection.as_mut().expect("a connection is there until it is dropped"))
    }
}

impl Drop for PostgresConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.runtime.take_leave(connection.close());
        }
    }
}

impl Connection for PostgresConnection {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        let (runtime, connection) = self.parts();
        let sql = numbered(sql);
        runtime.answer(bound(sql, values).execute(connection)).map(|result: PgQueryResult| result.rows_affected())
    }

    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, sqlx::Error> {
        let (runtime, connection) = self.parts();
        if values.is_empty() {
            return runtime.answer(gather(sqlx::raw_sql(AssertSqlSafe(sql)).fetch(connection).map_ok(Row::Postgres)));
        }
        runtime.answer(gather(bound(numbered(sql), values).fetch(connection).map_ok(Row::Postgres)))
    }

    fn run(&mut self, script: &str) -> Result<(), sqlx::Error> {
        let (runtime, connection) = self.parts();
        runtime.answer(sqlx::raw_sql(AssertSqlSafe(script)).execute(connection)).map(|_| ())
    }
}

/// Returns `sql` with `$1`, `$2` … for its question marks, of which there are no others in our statements.
fn numbered(sql: &str) -> String {
    let mut numbered = String::with_capacity(sql.len() + 16);
    for (number, piece) in sql.split('?').enumerate() {
        if number > 0 {
            numbered.push('$');
            numbered.push_str(&number.to_string());
        }
        numbered.push_str(piece);
    }
    numbered
}

fn bound<'q>(sql: String, values: &'q [Value<'_>]) -> Query<'q, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(sql));
    values.iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text.as_deref()),
        Value::Integer(number) => query.bind(*number),
        Value::OptionalInteger(number) => query.bind(*number),
        Value::Boolean(truth) => query.bind(*truth),
        Value::Bytes(bytes) => query.bind(*bytes),
    })
}

/// Returns the variable of the environment that would change what the URL leads to, if there is one: what the driver took
/// from it cannot be taken back.
pub(super) fn in_the_way(address: &Address) -> Option<&'static str> {
    if options(address).get_options().is_some_and(|options| !options.trim().is_empty()) {
        return Some("PGOPTIONS");
    }
    let presents_nothing = address.client_certificate.is_none() && address.tls != Tls::Disable;
    // As the driver reads them, and only to refuse them.
    ["PGSSLCERT", "PGSSLKEY"].into_iter().find(|name| presents_nothing && std::env::var(name).is_ok())
}

fn options(address: &Address) -> PgConnectOptions {
    let mode = match address.tls {
        Tls::Disable => PgSslMode::Disable,
        Tls::Prefer => PgSslMode::Prefer,
        Tls::Require => PgSslMode::Require,
        Tls::VerifyCa => PgSslMode::VerifyCa,
        Tls::VerifyFull => PgSslMode::VerifyFull,
    };
    // The driver begins with what `PGHOST` and the like say: each of them is set here, to nothing where the URL is silent,
    // and `in_the_way` knows the rest.
    let (user, password) = (&address.user, address.password().unwrap_or_default());
    let mut options = PgConnectOptions::new_without_pgpass()
        .username(user)
        .password(password)
        .database(&address.database)
        .application_name("git-archive-tomb")
        .ssl_mode(mode)
        .disable_statement_logging();
    options = match &address.host {
        Host::Name(name) => options.host(name).port(address.port),
        Host::Socket(folder) => options.host("localhost").socket(folder).port(address.port),
    };
    options = match &address.root_certificate {
        Some(file) => options.ssl_root_cert(file),
        None => options.ssl_root_cert_from_pem(Vec::new()),
    };
    match &address.client_certificate {
        Some((certificate, key)) => options.ssl_client_cert(certificate).ssl_client_key(key),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_marks_become_numbers() {
        assert_eq!(numbered("SELECT ?, a FROM b WHERE c = ?"), "SELECT $1, a FROM b WHERE c = $2");
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
    }
}
