//! Statements for many values and rows: few round trips, and none longer than a server takes.

use super::{Connection, Value};
use crate::archive::ArchiveError;

/// How many values of one kind a query asks for at a time.
const VALUES_PER_QUERY: usize = 512;

/// How many rows one statement inserts at most.
const ROWS_PER_INSERT: usize = 256;

/// How many bytes of values one statement inserts at most, a single row aside, which has little more than a block does.
/// Servers refuse a statement that is longer than what they were told to take: MariaDB 16 MiB where nobody says less.
const BYTES_PER_INSERT: usize = 1 << 20;

/// Asks for many values, in groups: `sql` has `IN (…)` where the values go, and `ask` gets the statement and its values.
///
/// Groups are filled up to a power of two by repeating their last value, so that servers prepare few statements.
pub(super) fn in_groups<'v>(
    values: impl IntoIterator<Item = Value<'v>>,
    sql: &str,
    mut ask: impl FnMut(&str, &[Value<'v>]) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let values: Vec<Value<'v>> = values.into_iter().collect();
    for group in values.chunks(VALUES_PER_QUERY) {
        let mut group = group.to_vec();
        let last = group.last().expect("a chunk is not empty").clone();
        group.resize(group.len().next_power_of_two(), last);
        ask(&sql.replace("IN (…)", &format!("IN ({})", placeholders(group.len()))), &group)?;
    }
    Ok(())
}

/// Returns `count` question marks.
pub(super) fn placeholders(count: usize) -> String {
    let mut marks = "?, ".repeat(count);
    marks.truncate(marks.len().saturating_sub(2));
    marks
}

/// Inserts rows, in groups of so many rows and bytes: `sql` has `VALUES …` where they go.
pub(super) fn insert_rows<'v, const WIDTH: usize>(
    connection: &mut dyn Connection,
    sql: &str,
    rows: impl IntoIterator<Item = [Value<'v>; WIDTH]>,
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter().peekable();
    while let Some(first) = rows.next() {
        let mut bytes = length_of(&first);
        let mut values = Vec::from(first);
        while values.len() < ROWS_PER_INSERT * WIDTH {
            let Some(row) = rows.next_if(|row| bytes + length_of(row) <= BYTES_PER_INSERT) else { break };
            bytes += length_of(&row);
            values.extend(row);
        }
        let row = format!("({}), ", placeholders(WIDTH));
        let mut tuples = row.repeat(values.len() / WIDTH);
        tuples.truncate(tuples.len() - 2);
        connection.execute(&sql.replace("VALUES …", &format!("VALUES {tuples}")), &values)?;
    }
    Ok(())
}

/// Returns how many bytes a row adds to a statement.
fn length_of(row: &[Value<'_>]) -> usize {
    row.iter().map(Value::length).sum()
}
