//! The contract, held by archives on servers whose bytes are in a bucket: what reads and writes blocks.

use super::*;
use crate::archive::objects::tests::{Bucket, TestPlace};
use crate::archive::{BLOCK_SIZE, ObjectsError};

struct WithObjects<const POSTGRES: bool> {
    place: Place,
    bucket: Bucket,
}

impl<const POSTGRES: bool> WithObjects<POSTGRES> {
    fn try_open(&self, mode: OpenMode) -> Result<ServerArchive, ArchiveError> {
        ServerArchive::open(self.place.kind, &self.place.url(), Some(&self.bucket.place()), mode)
    }
}

impl<const POSTGRES: bool> Engine for WithObjects<POSTGRES> {
    fn create() -> Self {
        let place = Place::new(if POSTGRES { Kind::Postgres } else { Kind::Mariadb });
        let engine = Self { place, bucket: Bucket::new() };
        // A server's archive is made by `init` alone, and so are its objects.
        assert!(engine.try_open(OpenMode::CreateIfMissing).is_err());
        assert_eq!(engine.bucket.names(), [""; 0]);
        engine.try_open(OpenMode::CreateOrMigrate).expect("makes an archive");
        engine
    }

    fn open(&self) -> Box<dyn Archive> {
        Box::new(self.try_open(OpenMode::Existing).expect("opens"))
    }
}

fn no_block_has_its_bytes_in_the_database<const POSTGRES: bool>() {
    let engine = WithObjects::<POSTGRES>::create();
    let mut archive = engine.open();
    let contents = [contract::noise(1, 3 * BLOCK_SIZE), b"text".repeat(100)];
    contract::store(&mut *archive, &contents);
    let rows = engine.place.owner().query("SELECT id FROM block WHERE bytes IS NOT NULL", &[]).expect("answers");
    assert!(rows.is_empty());
    let blocks = engine.place.owner().query("SELECT id FROM block", &[]).expect("answers").len();
    assert_eq!(engine.bucket.names().len(), blocks + 1);
    // Another program, whose configuration lacks the objects, is kept from writing bytes elsewhere.
    let without = ServerArchive::open(engine.place.kind, &engine.place.url(), None, OpenMode::Existing);
    assert!(matches!(without.err(), Some(ArchiveError::Objects(_))));
}

fn who_opened_it_before_writes_no_bytes_beside_its_objects<const POSTGRES: bool>() {
    let place = Place::new(if POSTGRES { Kind::Postgres } else { Kind::Mariadb });
    let mut archive =
        place.open(OpenMode::CreateOrMigrate, migrations(place.kind.backend())).expect("makes an archive");
    let engine = WithObjects::<POSTGRES> { place, bucket: Bucket::new() };
    contract::bytes_are_refused_that_belong_elsewhere_by_now(&mut *archive, || {
        engine.try_open(OpenMode::CreateOrMigrate).expect("prepares the objects");
    });
}

/// A block on its way into the database is not seen by others yet, and counts.
fn a_block_that_is_being_written_keeps_objects_out<const POSTGRES: bool>() {
    let place = Place::new(if POSTGRES { Kind::Postgres } else { Kind::Mariadb });
    place.open(OpenMode::CreateOrMigrate, migrations(place.kind.backend())).expect("makes an archive");
    let engine = WithObjects::<POSTGRES> { place, bucket: Bucket::new() };
    let mut writer = engine.place.owner();
    writer.run(writer.dialect().begin_write).expect("begins");
    let digest = Sha256::of(b"x").to_string();
    let values = [digest.as_str().into(), digest.as_str().into(), Value::Bytes(Some(b"x"))];
    let sql = "INSERT INTO block (raw_sha256, raw_size, stored_sha256, stored_size, codec, bytes)
      VALUES (?, 1, ?, 1, 'none', ?)";
    writer.execute(sql, &values).expect("writes");
    std::thread::scope(|scope| {
        let init = scope.spawn(|| engine.try_open(OpenMode::CreateOrMigrate).map(|_| ()));
        // Long enough for it to come to its look for blocks; shorter would only prove less.
        std::thread::sleep(std::time::Duration::from_millis(500));
        writer.run("COMMIT").expect("ends");
        let refused = init.join().expect("ends").expect_err("has a block");
        assert!(matches!(refused, ArchiveError::Objects(ObjectsError::InDatabase { .. })), "{refused:?}");
    });
}

macro_rules! suite {
    ($module:ident, $postgres:literal) => {
        mod $module {
            use super::*;

            contract::contract_suite!(WithObjects<$postgres>:
                contents_of_every_size_come_back
                equal_contents_are_stored_once
                what_was_cut_short_is_completed_without_repeats
                eight_threads_store_the_same_contents
                a_superseded_archive_refuses_every_change
                what_a_copy_takes_in_is_what_was_there
            );

            #[test]
            fn who_opened_it_before_writes_no_bytes_beside_its_objects() {
                super::who_opened_it_before_writes_no_bytes_beside_its_objects::<$postgres>();
            }

            #[test]
            fn a_block_that_is_being_written_keeps_objects_out() {
                super::a_block_that_is_being_written_keeps_objects_out::<$postgres>();
            }

            #[test]
            fn no_block_has_its_bytes_in_the_database() {
                super::no_block_has_its_bytes_in_the_database::<$postgres>();
            }
        }
    };
}

suite!(postgres, true);
suite!(mariadb, false);
