use std::process::{Command, Stdio};

use super::*;
use crate::archive::contract::{self, Database, Engine, noise};
use crate::archive::{BLOCK_SIZE, ContentReader, ReadError, StoreContentsOptions, store_contents};

pub(super) struct Sqlite {
    folder: tempfile::TempDir,
}

impl Sqlite {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("archive.sqlite")
    }

    /// Connects as any client might, with none of our settings.
    pub(super) fn raw(&self) -> Connection {
        Connection::open(self.path()).expect("connects")
    }

    /// Opens with `mode`, expecting to be refused.
    fn refused(&self, mode: OpenMode) -> ArchiveError {
        SqliteArchive::open(&self.path(), mode).expect_err("is refused")
    }
}

impl Engine for Sqlite {
    fn create() -> Self {
        let engine = Self::without_archive();
        SqliteArchive::open(&engine.path(), OpenMode::CreateIfMissing).expect("makes an archive");
        engine
    }

    fn open(&self) -> Box<dyn Archive> {
        Box::new(SqliteArchive::open(&self.path(), OpenMode::Existing).expect("opens"))
    }
}

impl Database for Sqlite {
    const BACKEND: Backend = Backend::Sqlite;

    fn without_archive() -> Self {
        Self { folder: tempfile::tempdir().expect("makes a folder") }
    }

    fn try_open(&self, mode: OpenMode, migrations: &[Migration]) -> Result<Box<dyn Archive>, ArchiveError> {
        Ok(Box::new(SqliteArchive::open_with(&self.path(), mode, migrations)?))
    }

    fn client(&self) -> contract::Client<'_> {
        let client = self.raw();
        // What some clients leave off.
        client.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA recursive_triggers = OFF").expect("sets");
        Box::new(move |sql| client.execute_batch(sql).map_err(|error| error.to_string()))
    }

    fn client_of_the_programs_kind(&self) -> contract::Client<'_> {
        let client = self.raw();
        super::governing::add_functions(&client).expect("adds");
        Box::new(move |sql| client.execute_batch(sql).map_err(|error| error.to_string()))
    }

    fn owner(&self, sql: &str) -> Result<(), String> {
        self.raw().execute_batch(sql).map_err(|error| error.to_string())
    }

    fn dump(&self) -> Vec<String> {
        let dump = "SELECT type || name || coalesce(sql, '') FROM sqlite_schema
            UNION ALL SELECT 'application ' || application_id FROM pragma_application_id
            UNION ALL SELECT 'version ' || user_version FROM pragma_user_version
            UNION ALL SELECT 'journal ' || journal_mode FROM pragma_journal_mode
            UNION ALL SELECT 'page ' || page_size FROM pragma_page_size ORDER BY 1";
        let client = self.raw();
        let rows = |sql: &str| -> rusqlite::Result<Vec<String>> {
            client.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        let mut lines = rows(dump).expect("answers");
        // Another program's table of this name has other columns.
        lines.extend(rows("SELECT version || name || sha256 || program FROM migration ORDER BY 1").unwrap_or_default());
        lines
    }

    fn run_by_its_client(&self, script: &str) {
        let file = self.folder.path().join("script.sql");
        fs::write(&file, script).expect("writes");
        let script = fs::File::open(file).expect("opens");
        let mut sqlite3 = client("sqlite3").expect("the tests need sqlite3");
        let status = sqlite3.arg(self.path()).stdin(script).stdout(Stdio::null()).status().expect("runs");
        assert!(status.success());
    }
}

contract::contract_suite!(Sqlite);
contract::database_suite!(Sqlite);

const MODES: [OpenMode; 3] = [OpenMode::Existing, OpenMode::CreateIfMissing, OpenMode::CreateOrMigrate];

#[test]
fn opening_never_makes_an_archive_unasked() {
    let engine = Sqlite::without_archive();
    assert!(matches!(engine.refused(OpenMode::Existing), ArchiveError::Missing { .. }));
    assert!(!engine.path().exists());
    let below_nothing = engine.folder.path().join("no/archive.sqlite");
    let refused = SqliteArchive::open(&below_nothing, OpenMode::Existing).expect_err("is refused");
    assert!(matches!(refused, ArchiveError::Missing { .. }));
    let refused = SqliteArchive::open(&below_nothing, OpenMode::CreateIfMissing).expect_err("is refused");
    assert!(matches!(refused, ArchiveError::Place { .. }));

    fs::write(engine.path(), "").expect("writes");
    assert!(matches!(engine.refused(OpenMode::Existing), ArchiveError::Missing { .. }));
    SqliteArchive::open(&engine.path(), OpenMode::CreateIfMissing).expect("an empty file becomes an archive");
}

#[test]
fn what_is_no_archive_is_left_alone() {
    let engine = Sqlite::without_archive();
    for contents in [&b"SQLite format 3\0 but not really"[..], &b"text".repeat(1_000)] {
        fs::write(engine.path(), contents).expect("writes");
        for mode in MODES {
            assert!(matches!(engine.refused(mode), ArchiveError::NotAnArchive { .. }));
        }
        assert_eq!(fs::read(engine.path()).expect("reads"), contents);
    }
    fs::remove_file(engine.path()).expect("removes");
    engine.raw().execute_batch("CREATE TABLE artifact (id TEXT); CREATE TABLE item (id TEXT);").expect("runs");
    for mode in MODES {
        assert!(matches!(engine.refused(mode), ArchiveError::NotAnArchive { .. }));
    }
    engine.raw().execute_batch("ALTER TABLE artifact ADD COLUMN blob_bytes BLOB").expect("runs");
    for mode in MODES {
        assert!(matches!(engine.refused(mode), ArchiveError::PythonArchive { .. }));
    }
    fs::remove_file(engine.path()).expect("removes");
    fs::create_dir(engine.path()).expect("makes a folder");
    assert!(matches!(engine.refused(OpenMode::CreateIfMissing), ArchiveError::NotAnArchive { .. }));
}

#[cfg(unix)]
#[test]
fn links_to_a_file_are_not_followed_and_links_to_a_folder_are() {
    let (engine, other) = (Sqlite::without_archive(), Sqlite::create());
    std::os::unix::fs::symlink(other.path(), engine.path()).expect("links");
    for mode in MODES {
        assert!(matches!(engine.refused(mode), ArchiveError::SymbolicLink { .. }));
    }
    let folder = engine.folder.path().join("folder");
    std::os::unix::fs::symlink(other.folder.path(), &folder).expect("links");
    SqliteArchive::open(&folder.join("archive.sqlite"), OpenMode::Existing).expect("opens");
}

#[test]
fn a_torn_database_is_reported_as_damaged() {
    let engine = Sqlite::create();
    let stored = contract::store(&mut *engine.open(), &[noise(1, 3_000_000)])[0];
    let mut bytes = fs::read(engine.path()).expect("reads");
    let middle = bytes.len() / 2;
    for page in bytes[middle..].chunks_mut(4096) {
        page[..16].fill(0xff);
    }
    fs::write(engine.path(), bytes).expect("writes");
    let refused = contract::read(&mut *engine.open(), &stored.sha256, stored.size).expect_err("is damaged");
    assert!(refused.is_integrity(), "{refused:?}");
}

#[test]
fn settings_keep_what_was_committed() {
    let engine = Sqlite::create();
    let archive = SqliteArchive::open(&engine.path(), OpenMode::Existing).expect("opens");
    let pragma = |name: &str| -> String {
        let value = archive.connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
        format!("{:?}", value.expect("answers"))
    };
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("synchronous"), "Integer(2)");
    assert_eq!(pragma("foreign_keys"), "Integer(1)");
    assert_eq!(pragma("trusted_schema"), "Integer(0)");
    assert_eq!(pragma("user_version"), "Integer(2)");
}

#[test]
fn a_lock_that_is_not_released_in_time_is_reported_as_busy() {
    let engine = Sqlite::create();
    let mut archive = SqliteArchive::open(&engine.path(), OpenMode::Existing).expect("opens");
    archive.connection.busy_timeout(Duration::ZERO).expect("sets");
    let client = engine.raw();
    client.execute_batch("BEGIN IMMEDIATE").expect("locks");
    assert!(matches!(archive.append_events(&[]), Err(ArchiveError::Busy { .. })));
    archive.counts().expect("reading goes on");
    client.execute_batch("ROLLBACK").expect("unlocks");
    archive.append_events(&[]).expect("writes");
}

#[test]
fn damage_in_any_table_is_noticed() {
    let damages = [
        "UPDATE block SET bytes = CAST('x' || substr(bytes, 2) AS BLOB), stored_size = length(bytes)",
        "UPDATE block SET stored_sha256 = printf('%064d', 1)",
        "UPDATE block SET codec = 'none', stored_size = raw_size, bytes = zeroblob(raw_size)",
        "UPDATE block SET raw_size = raw_size - 1",
        "UPDATE block SET codec = 'lzma'",
        "UPDATE block SET bytes = zeroblob(3000000), stored_size = 3000000",
        "UPDATE block SET bytes = zeroblob(50000000), stored_size = 50000000",
        "DELETE FROM block",
        "UPDATE segment SET offset = 1",
        "UPDATE segment SET offset = -1",
        "UPDATE segment SET length = length - 1",
        "UPDATE segment SET length = 0",
        "UPDATE segment SET length = 4294967296",
        "UPDATE segment SET position = position + 10; UPDATE segment SET position = 11 - position",
        "DELETE FROM segment",
        "INSERT INTO segment SELECT artifact_id, position + 9, block_id, offset, length FROM segment",
        "UPDATE artifact SET size_bytes = size_bytes + 1",
        "UPDATE artifact SET size_bytes = -1",
        "UPDATE artifact SET purged_at = 'soon'",
    ];
    for damage in damages {
        let engine = Sqlite::create();
        // Two pieces of equal length, so that exchanging them keeps every length.
        let large: Vec<u8> = (0..2_u8).flat_map(|byte| vec![byte; BLOCK_SIZE]).collect();
        let stored = contract::store(&mut *engine.open(), std::slice::from_ref(&large))[0];
        damage_by_force(&engine, damage);
        let mut bytes = Vec::new();
        let mut archive = engine.open();
        let result = ContentReader::new(&mut *archive).read(&stored.sha256, stored.size, &mut bytes);
        let error = result.expect_err(damage);
        assert!(error.is_integrity(), "{damage}: {error:?}");
        assert!(bytes.len() <= large.len(), "{damage}");
    }
    let damages = [
        "UPDATE item SET path_bytes = x'2e2e2f78'",
        "UPDATE item SET mode = '100666'",
        "UPDATE item SET metadata = '{\"a\":1}'",
        "UPDATE item SET metadata = '{\"a\":\"' || hex(zeroblob(3000000)) || '\"}'",
        "UPDATE item SET archived_at = 'then'",
        "UPDATE item SET tombstone_id = upper(tombstone_id)",
        "UPDATE event SET line = replace(line, 'example', 'elsewhere')",
        "UPDATE event SET digest = printf('%064d', id)",
        "UPDATE event SET tombstone_id = (SELECT tombstone_id FROM item WHERE id = 2) WHERE id = 1",
    ];
    for damage in damages {
        let (engine, _) = contract::with_held_item::<Sqlite>();
        damage_by_force(&engine, damage);
        let mut archive = engine.open();
        let mut tombstones = Vec::new();
        let listed = archive.list(&Query::default(), &mut |stored| {
            tombstones.push(stored.item.tombstone);
            ControlFlow::Continue(())
        });
        let noticed = listed.and_then(|()| {
            tombstones.iter().try_for_each(|tombstone| archive.events(tombstone, &mut |_| ControlFlow::Continue(())))
        });
        assert!(matches!(noticed, Err(ArchiveError::Damaged { .. })), "{damage}: {noticed:?}");
    }
}

/// Between the look-up and the reading of a content its bytes may move to another block, or be destroyed.
#[test]
fn what_moved_after_it_was_looked_up_is_found_again() {
    let purge = format!("UPDATE artifact SET purged_at = '{}'; DELETE FROM segment", Timestamp::now());
    let moves = [
        ("UPDATE segment SET block_id = (SELECT max(id) FROM block), offset = 3", true),
        (&*purge, false),
        ("DELETE FROM segment; DELETE FROM artifact", false),
    ];
    for (change, comes_back) in moves {
        let engine = Sqlite::create();
        let mut archive = engine.open();
        let other = contract::store(&mut *archive, &[b"other".to_vec()])[0];
        let content = b"content".to_vec();
        let stored = contract::store(&mut *archive, std::slice::from_ref(&content))[0];
        let larger = [b"aaa", &content[..]].concat();
        let larger = Block::encode(&larger, Sha256::of(&larger), 3).expect("compresses");
        archive.put(&[larger], &[]).expect("stores");
        let mut reader = ContentReader::new(&mut *archive);
        reader.expect([other.sha256, stored.sha256]);
        reader.read(&other.sha256, other.size, &mut io::sink()).expect("reads");
        damage_by_force(&engine, &format!("{change}; DELETE FROM block WHERE id = 2"));
        let mut bytes = Vec::new();
        match reader.read(&stored.sha256, stored.size, &mut bytes) {
            Ok(_) => assert!(comes_back && bytes == content, "{change}"),
            Err(ReadError::Archive { source: ArchiveError::Purged { .. }, .. }) => assert_eq!(change, purge),
            Err(ReadError::Missing { .. }) => assert!(change.contains("DELETE FROM artifact")),
            Err(error) => panic!("{change}: {error:?}"),
        }
    }
}

/// Runs `damage` as the owner of the database might, past triggers and checks.
fn damage_by_force(engine: &Sqlite, damage: &str) {
    let client = engine.raw();
    let mut statement = client.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").expect("prepares");
    let triggers: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("asks").collect::<Result<_, _>>().expect("reads");
    for trigger in triggers {
        client.execute_batch(&format!("DROP TRIGGER {trigger}")).expect("drops");
    }
    client.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").expect("sets");
    client.execute_batch(damage).expect(damage);
}

/// Returns the client `name`, if the machine has it.
pub(super) fn client(name: &str) -> Option<Command> {
    let there = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    there.is_ok().then(|| Command::new(name))
}

/// The recipe of `docs/archive.md`, run as it stands there.
#[cfg(unix)]
#[test]
fn a_file_is_restored_by_the_documented_recipe_alone() {
    if ["sqlite3", "zstd", "sha256sum"].iter().any(|name| client(name).is_none()) {
        return;
    }
    let text = include_str!("../../../docs/archive.md");
    let recipe = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the page has a recipe");
    let engine = Sqlite::create();
    fs::write(engine.folder.path().join("recipe.sh"), recipe).expect("writes");
    let mut large = noise(5, 2_000_000);
    large.extend(b"and text\n".repeat(200_000));
    for (name, content) in [("large", large), ("small", b"small\n".to_vec()), ("empty", Vec::new())] {
        let mut archive = engine.open();
        let item = contract::item(&mut *archive, name.as_bytes(), &content);
        archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("begins");
        let output = Command::new("sh")
            .current_dir(engine.folder.path())
            .args(["recipe.sh", "archive.sqlite", &item.tombstone.to_string(), name])
            .output()
            .expect("runs");
        assert!(output.status.success(), "{output:?}");
        assert!(fs::read(engine.folder.path().join(name)).expect("reads") == content);
    }
    let status = Command::new("sh")
        .current_dir(engine.folder.path())
        .args(["recipe.sh", "archive.sqlite", "00000000-0000-5000-8000-000000000000", "none"])
        .stderr(Stdio::null())
        .status()
        .expect("runs");
    assert!(!status.success());
}

/// Runs of 64 KiB, every other one zeros and the rest noise that differs from run to run, made as they are read.
#[cfg(target_os = "linux")]
struct Endless {
    size: u64,
    noise: Vec<u8>,
}

#[cfg(target_os = "linux")]
struct Runs<'a> {
    noise: &'a [u8],
    at: usize,
}

#[cfg(target_os = "linux")]
impl io::Read for Runs<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (run, start) = (self.at / self.noise.len(), self.at % self.noise.len());
        let length = buffer.len().min(self.noise.len() - start);
        buffer[..length].fill(0);
        if run % 2 == 1 {
            buffer[..length].copy_from_slice(&self.noise[start..start + length]);
            let mark = run.to_le_bytes();
            buffer[..length].iter_mut().zip(start..).for_each(|(byte, at)| *byte ^= mark[at % mark.len()]);
        }
        self.at += length;
        Ok(length)
    }
}

#[cfg(target_os = "linux")]
impl crate::archive::ContentSource for Endless {
    fn len(&self) -> usize {
        1
    }

    fn size(&self, _: usize) -> u64 {
        self.size
    }

    fn open(&self, _: usize) -> io::Result<Box<dyn io::Read + Send + '_>> {
        Ok(Box::new(io::Read::take(Runs { noise: &self.noise, at: 0 }, self.size)))
    }
}

/// Returns a command that runs one of the ignored tests here in a process of its own.
fn in_own_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("is known"));
    command.args(["--ignored", "--exact", &format!("archive::sqlite::tests::{test}")]);
    command
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs a process of its own, which `memory_does_not_grow_with_the_size_of_a_content` gives it"]
fn stores_and_reads_in_little_memory() {
    let engine = Sqlite::create();
    let source = Endless { size: 160 << 20, noise: noise(3, 64 * 1024) };
    let mut archive = engine.open();
    let options = StoreContentsOptions::default();
    let stored = store_contents(&mut *archive, &source, options, &mut |_| ()).expect("stores")[0];
    ContentReader::new(&mut *archive).read(&stored.sha256, stored.size, &mut io::sink()).expect("reads");
    let mut item = contract::item(&mut *archive, b"a", b"a");
    item.tombstone = Tombstone::derive("repo", b"a", &item.commit, &stored.sha256);
    (item.sha256, item.size) = (stored.sha256, stored.size);
    archive.begin(OperationId::generate(), "here", std::slice::from_ref(&item)).expect("begins");
    contract::purge_whole(&mut *archive, &item);
    assert!(fs::metadata(engine.path()).expect("is there").len() < 1 << 20);
    let status = fs::read_to_string("/proc/self/status").expect("reads");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("is a number");
    assert!(peak < 100 * 1024, "{peak} KiB");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_size_of_a_content() {
    let output = in_own_process("stores_and_reads_in_little_memory").output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the test has another name");
}

/// Names the archive for [`stores_until_killed`].
const VICTIM: &str = "ARCHIVE_TOMB_TEST_VICTIM";

fn many_contents() -> Vec<Vec<u8>> {
    (0..60).map(|seed| noise(seed, 700_000)).chain([noise(99, 9_000_000)]).collect()
}

#[test]
#[ignore = "is the process that `a_store_killed_at_any_moment_is_completed_by_the_next` kills"]
fn stores_until_killed() {
    if let Some(path) = std::env::var_os(VICTIM) {
        let mut archive = SqliteArchive::open(Path::new(&path), OpenMode::Existing).expect("opens");
        contract::store(&mut archive, &many_contents());
    }
}

#[test]
fn a_store_killed_at_any_moment_is_completed_by_the_next() {
    let engine = Sqlite::create();
    let contents = many_contents();
    for milliseconds in [50, 100, 200, 300, 400, 600] {
        let mut victim = in_own_process("stores_until_killed")
            .env(VICTIM, engine.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        victim.kill().expect("kills");
        victim.wait().expect("ends");
        let mut archive = engine.open();
        let digests: Vec<_> = contents.iter().map(|content| Sha256::of(content)).collect();
        let there = archive.find_artifacts(&digests).expect("looks");
        for content in contents.iter().filter(|content| there.contains_key(&Sha256::of(content))) {
            let bytes = contract::read(&mut *archive, &Sha256::of(content), content.len() as u64).expect("reads");
            assert!(bytes == *content);
        }
    }
    contract::store(&mut *engine.open(), &contents);
    let counts = engine.open().counts().expect("counts");
    let bytes = contents.iter().map(|content| content.len() as u64).sum::<u64>();
    assert_eq!((counts.artifacts, counts.artifact_bytes, counts.stored_bytes), (61, bytes, bytes));
}

#[test]
fn statements_are_prepared_once_whatever_is_bound_to_them() {
    let engine = Sqlite::create();
    let archive = SqliteArchive::open(&engine.path(), OpenMode::Existing).expect("opens");
    for sql in
        ["SELECT 1 FROM item WHERE tombstone_id = ?1", "UPDATE item SET state = 'sealed' WHERE tombstone_id = ?1"]
    {
        let mut statement = archive.connection.prepare(sql).expect("prepares");
        for tombstone in ["a", "b", "c"] {
            let mut rows = statement.query([tombstone]).expect("asks");
            assert!(rows.next().expect("answers").is_none());
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0, "{sql}");
    }
}
