//! An archive that somebody else wrote: whatever its rows say, nothing gets out of the working tree or into `.git`, and no
//! bytes but the right ones are handed out. Exit 5, on every database.

use std::io::Read as _;
use std::os::unix::fs::symlink;

use crate::common::{Repo, World, path_of};
use crate::databases::{Database, KINDS, Kind};

/// Paths that no item can have.
const PATHS: [&[u8]; 17] = [
    b"/etc/evil",
    b"../evil",
    b"docs/../../evil",
    b"docs/../evil",
    b"./evil",
    b"docs//evil",
    b"docs/",
    b"",
    b".git/evil",
    b".GIT/evil",
    b"git~1/evil",
    b"docs/.git/evil",
    b"GIT~1/hooks/evil",
    b".git./evil",
    b".git::$INDEX_ALLOCATION/evil",
    ".g\u{200c}it/evil".as_bytes(),
    b"docs/evil\0",
];

/// Drops what keeps clients from changing rows.
fn open_tables(database: &Database) {
    match database.kind {
        Kind::Sqlite => {
            for (table, triggers) in [
                ("item", ["update", "unseal", "release"].as_slice()),
                ("artifact", &["update", "purge"]),
                ("block", &["update"]),
                ("segment", &["update", "move"]),
            ] {
                for trigger in triggers {
                    database.sql(&format!("DROP TRIGGER {table}_{trigger}"));
                }
            }
        }
        Kind::Postgres => {
            for table in ["item", "artifact", "block", "segment"] {
                database.sql(&format!("ALTER TABLE {table} DISABLE TRIGGER USER"));
            }
        }
        Kind::Mariadb => {
            for table in ["item", "artifact", "block", "segment"] {
                database.sql(&format!("DROP TRIGGER {table}_update"));
            }
        }
    }
}

/// Returns bytes as the database's SQL has them.
fn literal(kind: Kind, bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    match kind {
        Kind::Sqlite | Kind::Mariadb => format!("X'{hex}'"),
        Kind::Postgres => format!("'\\x{hex}'::bytea"),
    }
}

/// Archives `docs/old.md` and `src/legacy`, and returns the repository and the tombstone of the first.
fn archived<'w>(world: &'w World, database: &Database) -> (Repo<'w>, String) {
    let repo = world.sample("project").with("CODEX_ARCHIVE_URL", database.url());
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    let tombstone = repo.tombstone_at("docs/old.md");
    open_tables(database);
    (repo, tombstone)
}

/// Restores an item, which must be refused and write nothing.
fn assert_not_restored(repo: &Repo<'_>, tombstone: &str, what: &str) {
    let tree = repo.tree();
    let run = repo.tomb(&["restore", "--force", tombstone]);
    assert_eq!(run.code, Some(5), "{what}: {run}");
    assert_eq!(repo.tree(), tree, "{what}");
}

/// Runs everything that hands out the bytes of an item, each of which must refuse it and write nothing.
fn assert_refused(repo: &Repo<'_>, tombstone: &str, target: &str, what: &str) {
    let (tree, outside) = (repo.tree(), repo.path.parent().unwrap().join("out"));
    for arguments in [
        &["restore", target][..],
        &["restore", "--force", target],
        &["restore", tombstone],
        &["restore", "--force", tombstone],
        &["restore", target, "../out"],
        &["restore", tombstone, "-"],
        &["restore", target, "--branch", "back"],
        &["restore", tombstone, "--branch", "back", "--force"],
        &["cat", target],
        &["diff", tombstone],
        &["grep", "Nobody"],
    ] {
        let run = repo.tomb(arguments);
        assert_eq!(run.code, Some(5), "{what} {arguments:?}: {run}");
        assert_eq!(run.stdout, b"", "{what} {arguments:?}");
        assert_eq!(repo.tree(), tree, "{what} {arguments:?}");
        assert!(!outside.exists(), "{what} {arguments:?}");
    }
    for (output, more) in [("out", &[][..]), ("out", &["--continue-on-error"]), ("docs/back.md", &["--branch", "back"])]
    {
        let row = format!("{{\"tombstone\": \"{tombstone}\", \"output\": \"{output}\"}}\n");
        std::fs::write(outside.with_file_name("manifest"), row).unwrap();
        let run = repo.tomb(
            &[
                &[
                    "batch-restore",
                    "../manifest",
                    "--force",
                    "--results",
                    "../results",
                    "--output-root",
                    if more.contains(&"--branch") { "." } else { ".." },
                ],
                more,
            ]
            .concat(),
        );
        let told = run.all_text();
        assert!(told.contains("damaged") || told.contains("does not agree"), "{what} {more:?}: {run}");
        // Part of a batch failed, or there was none.
        assert!(matches!(run.code, Some(1 | 5)), "{what} {more:?}: {run}");
        assert!(!outside.exists(), "{what} {more:?}");
        assert_eq!(repo.tree(), tree, "{what} {more:?}");
    }
    assert_eq!(repo.git(&["branch", "--list", "back"]), "", "{what}");
    let doctor = repo.tomb(&["doctor"]);
    assert!(!doctor.all_text().contains("unfinished"), "{what}: {doctor}");
}

#[test]
fn a_row_whose_path_leads_anywhere_else_is_refused() {
    for &kind in KINDS {
        let world = World::new();
        let database = Database::new(kind);
        let (repo, tombstone) = archived(&world, &database);
        for path in PATHS {
            let bytes = literal(kind, path);
            database.sql(&format!("UPDATE item SET path_bytes = {bytes} WHERE tombstone_id = '{tombstone}'"));
            assert_not_restored(&repo, &tombstone, &format!("{kind:?} {:?}", path_of(path)));
        }
        assert_refused(&repo, &tombstone, "docs/old.md", &format!("{kind:?}"));
        assert!(!world.at("evil").path.exists());
        assert!(!repo.exists(".git/evil"));
        // Who is not named is not concerned.
        repo.tomb_ok(&["restore", "src/legacy"]);
    }
}

#[test]
fn a_row_whose_path_goes_through_a_link_is_refused() {
    for &kind in KINDS {
        let world = World::new();
        let database = Database::new(kind);
        let (repo, tombstone) = archived(&world, &database);
        let outside = world.at("outside").path;
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, repo.path.join("link")).unwrap();
        symlink(".git", repo.path.join("inside")).unwrap();
        // Without its stub, an item goes where its row says.
        repo.git(&["rm", "-q", "docs/old.md"]);
        repo.commit("gone");
        for path in ["link/evil", "link/deep/evil", "inside/evil"] {
            let bytes = literal(kind, path.as_bytes());
            database.sql(&format!("UPDATE item SET path_bytes = {bytes} WHERE tombstone_id = '{tombstone}'"));
            let tree = repo.tree();
            for force in [&[][..], &["--force"]] {
                let error = repo.tomb(&[&["restore", tombstone.as_str()], force].concat()).exits(5).stderr_text();
                assert!(error.contains("which is never followed"), "{error}");
            }
            assert_eq!(repo.tree(), tree, "{kind:?} {path}");
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{kind:?} {path}");
        }
        assert!(!repo.exists(".git/evil"));
    }
}

#[test]
fn a_row_whose_size_lies_is_refused() {
    for &kind in KINDS {
        let world = World::new();
        let database = Database::new(kind);
        let (repo, tombstone) = archived(&world, &database);
        let size = "# Old\n\nNobody reads this.\n".len();
        let artifact = format!("(SELECT artifact_id FROM item WHERE tombstone_id = '{tombstone}')");
        for lie in [0, 1, size as u64 - 1, 1 << 20, 1 << 40, i64::MAX as u64, size as u64 + 1] {
            database.sql(&format!("UPDATE artifact SET size_bytes = {lie} WHERE id = {artifact}"));
            assert_not_restored(&repo, &tombstone, &format!("{kind:?} {lie}"));
        }
        assert_refused(&repo, &tombstone, "docs/old.md", &format!("{kind:?}"));
    }
}

/// Rows that agree with each other, and stored bytes that decompress to a thousand times what they say.
#[test]
fn stored_bytes_that_decompress_to_more_than_they_say_are_refused() {
    let mut bomb = Vec::new();
    zstd::stream::copy_encode(std::io::repeat(0).take(1 << 30), &mut bomb, 3).unwrap();
    assert!(bomb.len() < 60_000, "{}", bomb.len());
    let stored = git_archive_tomb::id::Sha256::of(&bomb);
    for &kind in KINDS {
        let world = World::new();
        let database = Database::new(kind);
        let (repo, tombstone) = archived(&world, &database);
        // A stub would disagree; without one the rows are all there is.
        repo.git(&["rm", "-rq", "docs", ".codex/evidence"]);
        repo.commit("gone");
        let artifact = format!("(SELECT artifact_id FROM item WHERE tombstone_id = '{tombstone}')");
        let offset = match kind {
            Kind::Mariadb => "`offset`",
            Kind::Sqlite | Kind::Postgres => "\"offset\"",
        };
        database.sql(&format!("UPDATE artifact SET size_bytes = 1048576 WHERE id = {artifact}"));
        database.sql(&format!(
            "UPDATE block SET raw_size = 1048576, codec = 'zstd', stored_size = {}, stored_sha256 = '{stored}',
               bytes = {} WHERE id = (SELECT MIN(block_id) FROM segment WHERE artifact_id = {artifact})",
            bomb.len(),
            literal(kind, &bomb)
        ));
        database.sql(&format!(
            "UPDATE segment SET length = 1048576, {offset} = 0 WHERE artifact_id = {artifact} AND position = 0"
        ));
        for arguments in
            [&["restore", tombstone.as_str(), "../out"][..], &["restore", &tombstone], &["cat", &tombstone]]
        {
            let run = repo.tomb(arguments);
            assert_eq!(run.code, Some(5), "{kind:?} {arguments:?}: {run}");
            assert_eq!(run.stdout, b"");
            assert!(run.stderr_text().contains("do not decompress to 1048576 bytes"), "{run}");
        }
        assert!(!world.at("out").path.exists() && !repo.exists("docs/old.md"));
    }
}
