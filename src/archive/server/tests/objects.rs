//! The contract, held by archives on servers whose bytes are in a bucket: what reads and writes blocks.

use super::*;
use crate::archive::BLOCK_SIZE;
use crate::archive::objects::tests::{Bucket, TestPlace};

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
            fn no_block_has_its_bytes_in_the_database() {
                super::no_block_has_its_bytes_in_the_database::<$postgres>();
            }
        }
    };
}

suite!(postgres, true);
suite!(mariadb, false);
