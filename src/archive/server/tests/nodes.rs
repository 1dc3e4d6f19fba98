//! Clusters with several nodes that write, where a row lock holds on its own node only.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::archive::contract::noise;
use crate::archive::server::connection::{Dialect, Row};
use crate::archive::{Codec, NewArtifact, Segment};

/// A connection to one node: the lock of those who write does not reach the others.
struct Node {
    connection: Box<dyn Connection>,
    /// Told of each statement before it runs.
    before: Box<dyn FnMut(&str) + Send>,
}

impl Connection for Node {
    fn dialect(&self) -> &'static Dialect {
        self.connection.dialect()
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, sqlx::Error> {
        (self.before)(sql);
        self.connection.execute(sql, values)
    }

    fn query(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, sqlx::Error> {
        self.connection.query(&sql.replace(" FOR UPDATE", ""), values)
    }

    fn run(&mut self, script: &str) -> Result<(), sqlx::Error> {
        (self.before)(script);
        self.connection.run(script)
    }
}

fn on_a_node(database: &Place, before: impl FnMut(&str) + Send + 'static) -> ServerArchive {
    let own = migrations(database.kind.backend());
    let mut archive = ServerArchive::open_with(database.kind, &database.url(), OpenMode::Existing, own).expect("opens");
    let connection = archive.connection.take().expect("is connected");
    archive.connection = Some(Box::new(Node { connection, before: Box::new(before) }));
    archive
}

/// Tells `here` and waits for `there` before the statements that begin with `statement`.
fn meet(statement: &'static str, here: Sender<()>, there: Receiver<()>) -> impl FnMut(&str) + Send + 'static {
    move |sql| {
        if sql.starts_with(statement) {
            let _ = here.send(());
            // The other one does not come where it failed before.
            let _ = there.recv_timeout(Duration::from_secs(30));
        }
    }
}

/// Two nodes write the same content at once: neither sees that the other does, and the later one is told to try again.
#[test]
fn what_another_node_wrote_meanwhile_is_found_by_the_next_attempt() {
    for kind in [Kind::Postgres, Kind::Mariadb] {
        let database = Place::new(kind);
        database.open(OpenMode::CreateOrMigrate, migrations(kind.backend())).expect("makes an archive");
        let content = noise(1, 1000);
        let sha256 = Sha256::of(&content);
        let block = Block::encode(&content, sha256, 3).expect("compresses");
        assert_eq!(block.codec, Codec::None);
        let segments = vec![Segment { block: sha256, offset: 0, length: 1000 }];
        let artifact = NewArtifact { sha256, size: 1000, segments, readmit: false };
        let ((written, writes), (looked, looks)) = (channel(), channel());
        // The first one ends when the second one has looked for the content in vain.
        let mut first = on_a_node(&database, meet("COMMIT", written, looks));
        let mut second = on_a_node(&database, meet("INSERT INTO artifact", looked, writes));
        let put =
            |archive: &mut ServerArchive| archive.put(std::slice::from_ref(&block), std::slice::from_ref(&artifact));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| put(&mut first));
            let refused = put(&mut second);
            assert!(matches!(refused, Err(ArchiveError::Busy { .. })), "{kind:?}: {refused:?}");
            assert_eq!(first.join().expect("ends").expect("stores").len(), 1);
            assert_eq!(put(&mut second).expect("finds it").len(), 0);
        });
    }
}
