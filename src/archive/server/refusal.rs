//! What servers and drivers say when something fails, as errors of an archive.

use std::io;

use sqlx::mysql::MySqlDatabaseError;

use super::Address;
use crate::archive::error::damaged;
use crate::archive::{ArchiveError, Setting};
use crate::causes::in_one_line;

/// What a server's refusal means, by the standard's classes and the servers' own codes.
enum Refusal {
    Login,
    NoDatabase,
    Forbidden,
    ReadOnly,
    Setup(Setting),
    Conflict,
    Gone,
    Schema,
    Corrupt,
    Other,
}

fn refusal(error: &dyn sqlx::error::DatabaseError) -> Refusal {
    let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    match (number, error.code().as_deref().unwrap_or_default()) {
        // Access denied: wrong password or no such user, host not allowed, password expired, no plugin for the login.
        (Some(1045 | 1130 | 1698 | 1820 | 1862), _) | (None, "28P01" | "28000") => Refusal::Login,
        (Some(1049), _) | (None, "3D000") => Refusal::NoDatabase,
        // No right: to the database, a table, a column, an administrator's statement, a routine.
        (Some(1044 | 1142 | 1143 | 1227 | 1370), _) | (None, "42501") => Refusal::Forbidden,
        // A replica, a server or a transaction that only reads; storage that does.
        (Some(1290 | 1792 | 1836), _) | (None, "25006") => Refusal::ReadOnly,
        (Some(1419), _) => Refusal::Setup(Setting::TrustFunctionCreators),
        (Some(1665), _) => Refusal::Setup(Setting::BinlogFormat),
        // Lock wait timeout, deadlock, changed since it was read, too many connections (of all, of this user); serialization
        // failure, deadlock, lock not available, too many connections. And a row that came after it was looked for, as in
        // a cluster whose nodes do not share their locks: the next attempt finds it.
        (Some(1205 | 1213 | 1020 | 1040 | 1203 | 1226 | 1062), _)
        | (None, "40001" | "40P01" | "55P03" | "53300" | "23505") => Refusal::Conflict,
        // A node that is not in its cluster, shutdown in progress, shutdown, aborted, query or connection killed, a statement
        // that took too long, a session that was idle for too long; administrator's command, crash, start, and a session
        // that was idle for too long, in a transaction or not, or in one that took too long.
        (Some(1047 | 1053 | 1077 | 1079 | 1152 | 1184 | 1317 | 1927 | 1969 | 4031), _)
        | (None, "57014" | "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04") => Refusal::Gone,
        (None, code) if code.starts_with("08") => Refusal::Gone,
        // No such table, column or function, or not for values of this type: the schema was changed. And no sum of what an
        // archive holds is out of range or divided by nothing.
        (Some(1054 | 1146 | 1305 | 1690), _) | (None, "42P01" | "42703" | "42883" | "42804" | "22003" | "22012") => {
            Refusal::Schema
        }
        // A page or an index of the server's own is damaged.
        (Some(1034 | 1194 | 1195 | 1712 | 1877), _) | (None, "XX001" | "XX002") => Refusal::Corrupt,
        _ => Refusal::Other,
    }
}

/// Returns why there is no connection.
pub(super) fn cannot_connect(address: &Address, error: sqlx::Error) -> ArchiveError {
    let archive = address.shown.clone();
    let refusal = error.as_database_error().map(refusal);
    // Certificates and settings do not mend themselves.
    let passing = matches!(&error, sqlx::Error::Io(error) if is_passing(error));
    if let Some(reason) = unknown_login(&error) {
        return ArchiveError::LoginUnknown { archive, source: reason.into() };
    }
    let source = plain(error);
    match refusal {
        Some(Refusal::Login | Refusal::Forbidden) => ArchiveError::LoginRefused { archive, source },
        Some(Refusal::NoDatabase) => ArchiveError::NoDatabase { archive, source },
        Some(Refusal::Conflict) => ArchiveError::Busy { source },
        Some(Refusal::Gone) => ArchiveError::Unreachable { archive, source },
        Some(Refusal::ReadOnly | Refusal::Setup(_) | Refusal::Schema | Refusal::Corrupt | Refusal::Other) => {
            ArchiveError::Engine { action: "let us in", source }
        }
        None if passing => ArchiveError::Unreachable { archive, source },
        None => ArchiveError::Insecure { archive, source },
    }
}

/// Returns why the driver could not do what the server asks of a login, if that is what it says. Its own words may have a
/// character of the password in them.
fn unknown_login(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Configuration(reason) if reason.to_string().contains("saslprep") => {
            let reason = "user or password has a character that a login by SCRAM takes in no prescribed form (RFC 4013): \
                          an emoji, a control character, a letter that is younger than the year 2002";
            Some(reason.to_owned())
        }
        sqlx::Error::Protocol(reason) => {
            let kinds = ["authentication plugin: ", "authentication method: "];
            let (_, rest) = kinds.iter().find_map(|kind| reason.split_once(kind))?;
            let name: String = rest.split_whitespace().next()?.escape_debug().take(64).collect();
            Some(format!("the server asks for a login by `{name}`, which this program does not know"))
        }
        _ => None,
    }
}

/// Returns what an error says by itself: the driver's errors repeat what caused them.
fn plain(error: sqlx::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        sqlx::Error::Database(error) => error.message().into(),
        sqlx::Error::Io(error) => error.into(),
        sqlx::Error::Tls(error) | sqlx::Error::Configuration(error) => error,
        error => error.into(),
    }
}

/// Returns whether a network's failure may pass.
fn is_passing(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied)
}

/// Returns what turns a driver's errors into ours, for something that was to `action` (a verb phrase).
pub(super) fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> ArchiveError + Copy {
    move |error| {
        let refusal = error.as_database_error().map(refusal);
        match (refusal, &error) {
            (Some(Refusal::Conflict), _) => ArchiveError::Busy { source: plain(error) },
            (Some(Refusal::Forbidden), _) => ArchiveError::Forbidden { action, source: plain(error) },
            (Some(Refusal::ReadOnly), _) => ArchiveError::ReadOnly { action, source: plain(error) },
            (Some(Refusal::Setup(setting)), _) => ArchiveError::Setup { action, setting, source: plain(error) },
            (Some(Refusal::Schema), _) => damaged(format!("its tables are not as an archive's ({})", plain(error))),
            (Some(Refusal::Corrupt), _) => damaged(format!("the server cannot read its own files ({})", plain(error))),
            (Some(Refusal::Gone), _)
            | (None, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
                ArchiveError::Lost { action, source: plain(error) }
            }
            (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                damaged(format!("a value cannot be read ({})", in_one_line(&error)))
            }
            _ => ArchiveError::Engine { action, source: plain(error) },
        }
    }
}
