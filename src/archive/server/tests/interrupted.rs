//! Migrations that are stopped, and what else only servers do to them.

use super::*;

/// MariaDB commits at every change of the schema: after each statement of a migration the program may be stopped, and
/// the next `init` finishes what it began.
#[test]
fn a_migration_stopped_after_any_statement_is_finished_by_the_next() {
    let own = migrations(Backend::Mariadb);
    let undisturbed = Place::new(Kind::Mariadb);
    undisturbed.open(OpenMode::CreateOrMigrate, own).expect("makes an archive");
    let undisturbed = undisturbed.dump();
    let statements = mariadb::statements(&own[0].text());
    assert!(statements.len() > 20, "{}", statements.len());
    let stops: Vec<usize> = (1..=statements.len()).collect();
    let finish = |stop: usize| {
        let database = Place::new(Kind::Mariadb);
        let mut stopped = database.owner();
        for statement in &statements[..stop] {
            stopped.run(&one(statement)).expect(statement);
        }
        drop(stopped);
        let refused = database.open(OpenMode::Existing, own).err().expect("is refused");
        assert!(matches!(refused, ArchiveError::Missing { .. }), "{stop}: {refused:?}");
        database.open(OpenMode::CreateOrMigrate, own).expect("finishes");
        assert_eq!(database.dump(), undisturbed, "stopped after {}", statements[stop - 1]);
    };
    std::thread::scope(|scope| {
        for part in stops.chunks(stops.len().div_ceil(4)) {
            scope.spawn(move || part.iter().copied().for_each(finish));
        }
    });
}

/// Returns a script of one statement, whatever stands in it.
fn one(statement: &str) -> String {
    format!("DELIMITER //\n{statement}//\n")
}

/// What another program made while it was waited for is seen, whatever transactions are like by default.
#[test]
fn a_database_with_serializable_transactions_gets_one_archive_too() {
    let database = Place::new(Kind::Postgres);
    database
        .administrate(&format!("ALTER DATABASE {} SET default_transaction_isolation = serializable", database.name));
    let open =
        || database.open(OpenMode::CreateOrMigrate, migrations(Backend::Postgres)).expect("opens").id().to_owned();
    let ids: HashSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).collect()
    });
    assert_eq!(ids.len(), 1);
}

/// An account whose search path leads to a schema has its archive there, and several fit into one database.
#[test]
fn an_archive_in_another_schema_is_one_by_itself() {
    let database = Place::new(Kind::Postgres);
    drop(database.client());
    let name = &database.name;
    let mut ids = HashSet::new();
    for schema in ["first", "the \"Second\""] {
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        database.owner().run(&format!("CREATE SCHEMA {quoted} AUTHORIZATION {name}")).expect("makes a schema");
        database.administrate(&format!("ALTER ROLE {name} SET search_path = {quoted}"));
        let url = database.client_url();
        let open = |mode| ServerArchive::open(Kind::Postgres, &url, None, mode);
        assert!(matches!(open(OpenMode::Existing), Err(ArchiveError::Missing { .. })));
        open(OpenMode::CreateOrMigrate).expect("makes an archive");
        let mut archive = open(OpenMode::Existing).expect("opens");
        let mut item = contract::item(&mut archive, b"a", b"a");
        item.legal_hold = true;
        archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("begins");
        archive.seal(OperationId::generate(), &[]).expect("seals");
        // The owner of these tables is bound by the triggers, too, until it drops them.
        let refused = database.connect(&url).run("SET search_path = public; DELETE FROM segment");
        refused.expect_err("there is none in this schema");
        let refused = database.connect(&url).run("DELETE FROM segment").expect_err("is held");
        assert!(refused.to_string().contains("the content is under a legal hold"), "{refused}");
        ids.insert(archive.id().to_owned());
    }
    assert_eq!(ids.len(), 2);
    let public = database.open(OpenMode::Existing, migrations(Backend::Postgres)).err().expect("is none");
    assert!(matches!(public, ArchiveError::Missing { .. }), "{public:?}");
    database.administrate(&format!("ALTER ROLE {name} RESET ALL"));
}

/// What an extension brings into a schema, as many a provider's do, makes it nobody's.
#[test]
fn a_schema_with_an_extension_in_it_is_empty() {
    let database = Place::new(Kind::Postgres);
    database.owner().run("CREATE EXTENSION pg_stat_statements").expect("is part of the server's package");
    database.open(OpenMode::CreateOrMigrate, migrations(Backend::Postgres)).expect("makes an archive");
}
