//! What the engine of the servers needs of a connection, in plain values. The drivers of the two kinds of server
//! implement it; the SQL above it is one text but for a [`Dialect`].

use std::borrow::Cow;
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use sqlx::error::BoxDynError;
use sqlx::mysql::MySqlRow;
use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Database, Decode, MySql, Postgres, Type, ValueRef as _};

/// How long a server has to answer the first words, or to take part in the end of a connection.
const GREETING: Duration = Duration::from_secs(15);

/// How long one statement may take. Without a limit, a network that swallows packets would hold a command for ever.
const ANSWER: Duration = Duration::from_mins(5);

/// The longest text in bytes that a row of ours holds: more than a record, with its metadata, may have.
const LONGEST_TEXT: usize = 64 << 10;

/// How many bytes an answer may have: a page of rows of the greatest length.
const LONGEST_ANSWER: usize = 32 << 20;

/// Returns the SQL that reads `column`, a text, no further than shows that it is too long: whatever someone put there,
/// it does not come over in full.
pub(super) fn text(column: &str) -> String {
    format!("LEFT({column}, {})", LONGEST_TEXT + 1)
}

/// What differs in the SQL of the two kinds of server.
pub(super) struct Dialect {
    /// Begins a transaction that may write. Sent at once, as is the next.
    pub begin_write: &'static str,
    /// Begins a transaction that sees the archive as of one moment.
    pub begin_read: &'static str,
    /// Lets the transaction that is under way wait for as long as it takes, for work that is done elsewhere under its lock.
    pub wait_long: &'static str,
    /// Begins an insertion that leaves out rows that are there …
    pub insert_new: &'static str,
    /// … and what ends it.
    pub unless_there: &'static str,
    /// Lets an insertion give numbers of rows, which the server leaves out of account.
    pub own_numbers: &'static str,
    /// Waits, in a transaction, for the blocks that are being written just now.
    pub await_blocks: &'static str,
    /// The name of the column `offset`, which is a word of the language.
    pub offset: &'static str,
    /// The type that a sum is cast to, to be an integer of 64 bits.
    pub integer: &'static str,
    /// Asks which columns there are in the schema, by the names of table and column, of tables `IN (…)`.
    pub columns: &'static str,
    /// Asks for one table or view of the schema that is `NOT IN (…)`, but for what an extension brings.
    pub other_table: &'static str,
    /// Runs before a migration.
    pub begin_migration: &'static [&'static str],
    /// Waits for the lock that keeps others from migrating this archive: one row with 1, or another number where the
    /// waiting was in vain.
    pub lock_migration: &'static str,
    /// Runs after a migration, and gives the lock back.
    pub end_migration: &'static str,
    /// Runs instead where the migration failed.
    pub abandon_migration: &'static str,
}

/// A value that goes into a statement.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Integer(i64),
    OptionalInteger(Option<i64>),
    Boolean(bool),
    Bytes(Option<&'a [u8]>),
}

impl Value<'_> {
    /// Returns how many bytes it has in a statement, or a few more.
    pub(super) fn length(&self) -> usize {
        // What tells a value's type and length, and the longest number.
        const FRAME: usize = 16;
        FRAME
            + match self {
                Self::Text(text) => text.as_deref().map_or(0, str::len),
                Self::Bytes(bytes) => bytes.map_or(0, <[u8]>::len),
                Self::Integer(_) | Self::OptionalInteger(_) | Self::Boolean(_) => 0,
            }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::Text(text.as_deref().map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        Self::Bytes(bytes)
    }
}

/// A row that comes out of a query. Columns are known by their number, from 0.
pub(super) enum Row {
    Postgres(PgRow),
    Mariadb(MySqlRow),
}

impl Row {
    /// Returns a text that is never null.
    pub(super) fn text(&self, column: usize) -> Result<String, sqlx::Error> {
        self.optional_text(column)?.ok_or_else(|| null(column))
    }

    /// Returns a text, if there is one.
    pub(super) fn optional_text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        let text: Option<String> = match self {
            Self::Postgres(row) => get(row, column, <String as Type<Postgres>>::compatible)?,
            // Texts with a binary collation go by the names of bytes.
            Self::Mariadb(row) => get(row, column, <Vec<u8> as Type<MySql>>::compatible)?,
        };
        match text {
            Some(text) if text.len() > LONGEST_TEXT => Err(unreadable(column, "it is too long")),
            text => Ok(text),
        }
    }

    /// Returns a number that is never null.
    pub(super) fn integer(&self, column: usize) -> Result<i64, sqlx::Error> {
        let found: Option<i64> = match self {
            Self::Postgres(row) => get(row, column, <i64 as Type<Postgres>>::compatible)?,
            Self::Mariadb(row) => get(row, column, <i64 as Type<MySql>>::compatible)?,
        };
        found.ok_or_else(|| null(column))
    }

    /// Returns a truth value that is never null.
    pub(super) fn boolean(&self, column: usize) -> Result<bool, sqlx::Error> {
        let found: Option<bool> = match self {
            Self::Postgres(row) => get(row, column, <bool as Type<Postgres>>::compatible)?,
            Self::Mariadb(row) => get(row, column, <bool as Type<MySql>>::compatible)?,
        };
        found.ok_or_else(|| null(column))
    }

    /// Returns bytes, if there are any.
    pub(super) fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
        match self {
            Self::Postgres(row) => get(row, column, <Vec<u8> as Type<Postgres>>::compatible),
            Self::Mariadb(row) => get(row, column, <Vec<u8> as Type<MySql>>::compatible),
        }
    }

    /// Returns how many bytes its values have.
    fn length(&self) -> usize {
        match self {
            Self::Postgres(row) => row_length(row),
            Self::Mariadb(row) => row_length(row),
        }
    }
}

/// Returns a value, after a look at its type: drivers trust what they are told, and decode one type as another.
fn get<'r, R, T>(
    row: &'r R,
    column: usize,
    compatible: fn(&<R::Database as Database>::TypeInfo) -> bool,
) -> Result<Option<T>, sqlx::Error>
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    T: Decode<'r, R::Database>,
{
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    if !compatible(&value.type_info()) {
        return Err(unreadable(column, "it is of another type"));
    }
    let decoded = T::decode(value).map_err(|source| unreadable(column, source))?;
    Ok(Some(decoded))
}

fn row_length<'r, R>(row: &'r R) -> usize
where
    R: sqlx::Row,
    usize: ColumnIndex<R>,
    &'r [u8]: Decode<'r, R::Database>,
    &'r str: Decode<'r, R::Database>,
{
    let value = |column| row.try_get_raw(column).ok().filter(|value| !value.is_null());
    // PostgreSQL's answers to what was not prepared are texts.
    let bytes = |column| value(column).and_then(|value| <&[u8]>::decode(value).ok()).map(<[u8]>::len);
    let text = |column| value(column).and_then(|value| <&str>::decode(value).ok()).map(str::len);
    (0..row.len()).filter_map(|column| bytes(column).or_else(|| text(column))).sum()
}

fn null(column: usize) -> sqlx::Error {
    unreadable(column, "it is null")
}

fn unreadable(column: usize, source: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_string(), source: source.into() }
}

/// Takes the rows of an answer while they are not too many.
pub(super) async fn gather(
    mut rows: impl Stream<Item = Result<Row, sqlx::Error>> + Unpin,
) -> Result<Vec<Row>, sqlx::Error> {
    let (mut gathered, mut left) = (Vec::new(), LONGEST_ANSWER);
    while let Some(row) = rows.try_next().await? {
        let length = row.length() + size_of::<Row>();
        left = left.checked_sub(length).ok_or_else(|| sqlx::Error::Decode("the answer is too long".into()))?;
        gathered.push(row);
    }
    Ok(gathered)
}

/// A connection to a server.
pub(super) trait Connection: Send {
    /// Returns what is peculiar to its SQL.
    fn dialect(&self) -> &'static Dialect;

    /// Runs a statement with a `?` for each value, and returns how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, sqlx::Error>;

    /// Runs a query with a `?` for each value. It must be one whose answer is bounded, and is refused where that is not so.
    /// One without values is not prepared: that would be one more round trip.
    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, sqlx::Error>;

    /// Runs SQL as it is: one statement, or a script.
    fn run(&mut self, script: &str) -> Result<(), sqlx::Error>;
}

/// Runs the futures of one connection, on the thread that asks.
pub(super) struct Runtime {
    runtime: tokio::runtime::Runtime,
    /// The network failed, or the server did not answer in time.
    deaf: Cell<bool>,
}

impl Runtime {
    pub(super) fn new() -> Result<Self, sqlx::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, deaf: Cell::new(false) })
    }

    /// Tells the server that the connection ends, so that its log has no complaint, unless nobody would hear it. Whether it
    /// does is all the same.
    pub(super) fn take_leave(&self, future: impl Future<Output = Result<(), sqlx::Error>>) {
        if !self.deaf.get() {
            let _ = self.greet(future);
        }
    }

    /// Waits for what a server says to the first words.
    pub(super) fn greet<T>(&self, future: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        self.wait(GREETING, future)
    }

    /// Waits for an answer.
    pub(super) fn answer<T>(&self, future: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        self.wait(ANSWER, future)
    }

    fn wait<T>(&self, limit: Duration, future: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let limited = async { tokio::time::timeout(limit, future).await };
        let answer = self.runtime.block_on(limited).unwrap_or_else(|_| {
            let message = format!("no answer for {} seconds", limit.as_secs());
            Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, message)))
        });
        if let Err(sqlx::Error::Io(_)) = answer {
            self.deaf.set(true);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_did_not_answer_is_told_nothing_more() {
        let runtime = Runtime::new().expect("starts");
        let told = Cell::new(0);
        let farewell = || async {
            told.set(told.get() + 1);
            Ok(())
        };
        runtime.take_leave(farewell());
        let silence = runtime.wait(Duration::ZERO, std::future::pending::<Result<(), _>>());
        assert!(matches!(silence, Err(sqlx::Error::Io(_))), "{silence:?}");
        runtime.take_leave(farewell());
        assert_eq!(told.get(), 1);
    }
}
