//! Sessions that end, and what a server says of it.

use std::time::Duration;

use super::*;
use crate::evidence::record::Action;

const KINDS: [Kind; 2] = [Kind::Postgres, Kind::Mariadb];

/// Makes an archive and opens it.
fn archive(database: &Place) -> ServerArchive {
    ServerArchive::open(database.kind, &database.url(), None, OpenMode::CreateOrMigrate).expect("makes an archive")
}

/// A server that ends sessions which say nothing does not end the one that holds the lock while all is compared.
#[test]
fn the_last_look_takes_as_long_as_it_takes() {
    let look_long = |kind| {
        let database = Place::new(kind);
        let mut archive = archive(&database);
        let impatient = match kind {
            Kind::Postgres => "SET idle_in_transaction_session_timeout = '2s'",
            Kind::Mariadb => {
                "SET SESSION wait_timeout = 2, idle_transaction_timeout = 2, idle_write_transaction_timeout = 2"
            }
        };
        archive.connection.as_mut().expect("is connected").run(impatient).expect(impatient);
        let by = uuid::Uuid::nil().to_string();
        let event = contract::event(OperationId::generate(), Action::Migrate, None);
        let mut last_look = || {
            std::thread::sleep(Duration::from_secs(4));
            Some(event.clone())
        };
        archive.supersede(&by, &mut last_look).expect("is still there");
        assert_eq!(archive.superseded_by().expect("answers"), Some(by));
    };
    std::thread::scope(|scope| {
        for kind in KINDS {
            scope.spawn(move || look_long(kind));
        }
    });
}

/// Whatever ends a session or a statement passes, in the words of the server itself.
#[test]
fn what_ends_a_session_passes() {
    for code in ["57014", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "08006"] {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        assert_passes(Kind::Postgres, &raise);
    }
    for number in [1047, 1053, 1077, 1079, 1152, 1184, 1317, 1927, 1969, 4031] {
        assert_passes(Kind::Mariadb, &format!("SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = {number}"));
    }
}

fn assert_passes(kind: Kind, raise: &str) {
    let address = Address::parse(kind, &SecretUrl::new(&server(kind))).expect("is a URL");
    let raised = connect(&address).expect("connects").run(raise).map_err(failed("try")).expect_err(raise);
    assert!(matches!(raised, ArchiveError::Lost { .. }), "{raise}: {raised:?}");
}

/// What is lost is not asked to go back, and waited for once more.
#[test]
fn a_connection_that_is_lost_in_a_transaction_is_given_up() {
    for kind in KINDS {
        let database = Place::new(kind);
        let mut archive = archive(&database);
        let lost =
            archive.read(|_| -> Result<(), _> { Err(ArchiveError::Lost { action: "try", source: "it is".into() }) });
        assert!(matches!(lost, Err(ArchiveError::Lost { .. })), "{lost:?}");
        assert!(archive.connection.is_none());
        archive.ping().expect("connects again");
    }
}

/// After an outage, what is at the same address may not be what was opened.
#[test]
fn another_archive_at_the_same_address_is_not_written_to() {
    for kind in KINDS {
        let database = Place::new(kind);
        let mut archive = archive(&database);
        let mut outage = |sql: &str| {
            database.owner().run(sql).expect(sql);
            end_sessions(&database);
            let lost = archive.ping().expect_err("has lost its connection");
            assert!(matches!(lost, ArchiveError::Lost { .. }), "{lost:?}");
            let event = contract::event(OperationId::generate(), Action::Archive, None);
            archive.append_events(&[event])
        };
        outage("SELECT 1").expect("goes on where it is the same");
        let newer = "INSERT INTO migration (version, name, sha256, program, applied_at)
                     VALUES (1000, 'newer', 'x', '9.0.0', '2100-01-01T00:00:00.000Z')";
        let refused = outage(newer).expect_err("has another schema");
        assert!(matches!(refused, ArchiveError::Newer { .. }), "{refused:?}");
    }
    for kind in KINDS {
        let database = Place::new(kind);
        let mut archive = archive(&database);
        let other = uuid::Uuid::nil().to_string();
        database.owner().run(&format!("UPDATE archive SET id = '{other}'")).expect("is the owner");
        end_sessions(&database);
        archive.ping().expect_err("has lost its connection");
        // Also where it is tried again.
        for _ in 0..2 {
            let event = contract::event(OperationId::generate(), Action::Archive, None);
            let refused = archive.append_events(&[event]).expect_err("is another archive");
            assert!(matches!(&refused, ArchiveError::Replaced { found, .. } if **found == *other), "{refused:?}");
            assert_eq!(refused.class(), crate::retry::Class::Permanent);
        }
        let events = database.owner().query("SELECT id FROM event", &[]).expect("answers");
        assert!(events.is_empty());
    }
}

/// Ends the sessions in a database, and waits until they have ended.
fn end_sessions(database: &Place) {
    let administrator = Address::parse(database.kind, &SecretUrl::new(&server(database.kind))).expect("is a URL");
    let mut administrator = connect(&administrator).expect("connects");
    let name = [database.name.as_str().into()];
    let (find, end): (_, fn(i64) -> String) = match database.kind {
        Kind::Postgres => ("SELECT CAST(pid AS BIGINT) FROM pg_stat_activity WHERE datname = ?", |id| {
            format!("SELECT pg_terminate_backend({id})")
        }),
        Kind::Mariadb => {
            ("SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = ?", |id| format!("KILL {id}"))
        }
    };
    loop {
        let sessions = administrator.query(find, &name).expect("answers");
        if sessions.is_empty() {
            return;
        }
        for session in sessions {
            // It may have ended by itself.
            let _ = administrator.run(&end(session.integer(0).expect("is a number")));
        }
    }
}
