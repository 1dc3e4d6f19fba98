//! Sessions that end, and what a server says of it.

use std::time::Duration;

use super::*;

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
        let event = contract::event(OperationId::generate(), crate::evidence::record::Action::Migrate, None);
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
