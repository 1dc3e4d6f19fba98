//! How often a server is asked: the way to it may be long.

use std::io;
use std::sync::Arc;

use super::*;
use crate::archive::contract::Memory;
use crate::archive::server::connection::{Dialect, Row};
use crate::archive::{ContentReader, StoreContentsOptions, StoredContent, store_contents};

/// A connection whose statements are counted.
struct Counted {
    connection: Box<dyn Connection>,
    count: Arc<AtomicU32>,
}

impl Counted {
    fn count(&mut self) -> &mut dyn Connection {
        self.count.fetch_add(1, Ordering::Relaxed);
        &mut *self.connection
    }
}

impl Connection for Counted {
    fn dialect(&self) -> &'static Dialect {
        self.connection.dialect()
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        self.count().execute(sql, values)
    }

    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, sqlx::Error> {
        self.count().query(sql, values)
    }

    fn run(&mut self, script: &str) -> Result<(), sqlx::Error> {
        self.count().run(script)
    }
}

/// An archive that tells how often its server was asked.
struct Asked {
    archive: ServerArchive,
    count: Arc<AtomicU32>,
    _database: Place,
}

impl Asked {
    fn new(kind: Kind) -> Self {
        let database = Place::new(kind);
        let own = migrations(kind.backend());
        let mut archive =
            ServerArchive::open_with(kind, &database.url(), OpenMode::CreateOrMigrate, own).expect("makes an archive");
        let count = Arc::default();
        let connection = archive.connection.take().expect("is connected");
        archive.connection = Some(Box::new(Counted { connection, count: Arc::clone(&count) }));
        Self { archive, count, _database: database }
    }

    /// Returns how often the server is asked while `work` is done.
    fn during(&mut self, work: impl FnOnce(&mut ServerArchive)) -> u32 {
        self.count.store(0, Ordering::Relaxed);
        work(&mut self.archive);
        self.count.load(Ordering::Relaxed)
    }
}

fn store(archive: &mut ServerArchive, contents: &[Vec<u8>]) -> Vec<StoredContent> {
    let source = Memory(contents.to_vec());
    store_contents(archive, &source, StoreContentsOptions::default(), &mut |_| ()).expect("stores")
}

fn read(archive: &mut ServerArchive, stored: &[StoredContent]) {
    let mut reader = ContentReader::new(archive);
    reader.expect(stored.iter().map(|stored| stored.sha256));
    for stored in stored {
        reader.read(&stored.sha256, stored.size, &mut io::sink()).expect("reads");
    }
}

/// A question holds 512 contents, so 400 small ones in one block take as many as 10.
#[test]
fn the_number_of_questions_does_not_grow_with_the_number_of_small_contents() {
    for kind in [Kind::Postgres, Kind::Mariadb] {
        let asked = [10, 400].map(|number: u32| {
            let mut asked = Asked::new(kind);
            let contents: Vec<Vec<u8>> = (0..number).map(|number| format!("content {number}").into_bytes()).collect();
            let mut stored = Vec::new();
            let storing = asked.during(|archive| stored = store(archive, &contents));
            let again = asked.during(|archive| drop(store(archive, &contents)));
            let reading = asked.during(|archive| read(archive, &stored));
            [storing, again, reading]
        });
        let [few, many] = asked;
        // Rows go in groups of 256.
        assert!(many[0] <= few[0] + 4, "{kind:?}: {few:?}, {many:?}");
        assert_eq!(many[1..], few[1..], "{kind:?}");
        assert_eq!(many[2], 2, "where they lie, and their block");
    }
}
