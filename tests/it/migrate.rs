//! `migrate`: an archive moves to another database, whole or not at all, whatever happens on the way.

use std::process::{Command, Stdio};
use std::time::Duration;

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::evidence::record::{Action, Record, Status};
use git_archive_tomb::evidence::writer::NewEvidenceFile;
use git_archive_tomb::fault::{COPYING_POINTS, VARIABLE};
use git_archive_tomb::id::OperationId;
use git_archive_tomb::item::RepoPath;

use crate::common::{Repo, Run, World};
use crate::databases::{Database, KINDS, Kind};

const URL: &str = "CODEX_ARCHIVE_URL";

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Waits until a process has stopped itself.
pub(crate) fn wait_until_stopped(process: u32) {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap().trim();
        assert!(!state.starts_with('Z'), "it ended before it stopped");
        if state.starts_with('T') {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs SQL in the embedded archive, past its triggers.
pub(crate) fn tamper(repo: &Repo<'_>, sql: &str) {
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    archive.execute_batch(&format!("PRAGMA ignore_check_constraints = ON; {sql}")).unwrap();
}

/// Changes a stored byte of the embedded archive.
pub(crate) fn damage(repo: &Repo<'_>) {
    tamper(
        repo,
        "DROP TRIGGER block_update;
         UPDATE block SET bytes = zeroblob(length(bytes)) WHERE id = 1",
    );
}

/// Runs the command that a damaged content is told with, as it is printed, and returns what it brings back.
pub(crate) fn recovered(repo: &Repo<'_>, told: &Run) -> String {
    let told = told.stderr_text();
    let (_, hint) = told.split_once("hint: git's history may have ").unwrap_or_else(|| panic!("no hint: {told}"));
    let command = hint.split('`').nth(1).unwrap();
    let output = repo.path.join(command.rsplit(' ').next().unwrap());
    Run::from(repo.command("sh").args(["-c", command]).output().unwrap()).exits(0);
    let bytes = std::fs::read(&output).unwrap();
    std::fs::remove_file(output).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn digest(repo: &Repo<'_>) -> String {
    repo.tomb_ok(&["export", "--digest"]).stdout_text().trim().to_owned()
}

fn migrate(repo: &Repo<'_>, to: &Database) -> Run {
    repo.tomb(&["migrate", "--json", "--to", to.url()])
}

/// Makes a repository whose archive has items in every state, with everything that an item can have.
pub(crate) fn rich<'a>(world: &'a World, name: &str) -> Repo<'a> {
    let repo = world.sample(name);
    for number in 0..40 {
        repo.write(format!("many/{number}.txt"), format!("line {number}\n").repeat(number));
    }
    repo.write("large.bin", noise(1, 2_500_000));
    repo.write("gone.txt", "whose bytes are destroyed\n");
    repo.write(crate::common::path_of(b"caf\xe9"), "x");
    repo.commit_all("more");
    let labels = ["--tag", "a", "--tag", "B", "--metadata", "k=v \"é", "--ref", "pr=1", "--ref", "pr=0"];
    repo.tomb_ok(&[&["store", "many", "large.bin", ":(glob)caf*", "--legal-hold"], &labels[..]].concat());
    repo.commit("held");
    repo.tomb_ok(&["store", "gone.txt"]);
    repo.commit("to be purged");
    repo.purge("gone.txt");
    repo.commit("purged");
    repo.tomb_ok(&["store", "docs", "--delete-after", "2027-01-31", "--by", "somebody else", "--reason", "legacy"]);
    repo.commit("dated");
    let target = repo.tomb_ok(&["list", "--path", "docs/old.md", "--json"]).json()[0]["tombstone"].clone();
    repo.tomb_ok(&["restore", target.as_str().unwrap(), "given-back.md"]);
    std::fs::remove_file(repo.path.join("given-back.md")).unwrap();
    // One operation that was undone, and one that is unfinished.
    assert_eq!(repo.with(VARIABLE, "rows").tomb(&["store", "src/keep.py"]).code, None);
    repo.tomb_ok(&["doctor", "--abort"]);
    assert_eq!(repo.with(VARIABLE, "rows").tomb(&["store", "README.md"]).code, None);
    // As the database's own client would: approvals.
    tamper(
        &repo,
        "INSERT INTO approval (item_id, purpose, request_id, approver, approved_at, consumed_at)
           SELECT id, 'restore', NULL, 'Ann <ann@example.org>', '2026-01-01T00:00:00.000Z', NULL FROM item WHERE path = 'docs/old.md';
         INSERT INTO approval (item_id, purpose, request_id, approver, approved_at, consumed_at)
           SELECT id, 'purge', 'r-1', 'bob', '2026-01-01T00:00:00.001Z', '2026-02-01T00:00:00.000Z' FROM item WHERE path = 'docs/old.md';",
    );
    repo
}

/// Returns `length` bytes that do not compress.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// A way on which each ordered pair of kinds, equal ones included, is one step.
#[cfg(feature = "net")]
const WAY: &[Kind] = &[
    Kind::Sqlite,
    Kind::Postgres,
    Kind::Postgres,
    Kind::Mariadb,
    Kind::Mariadb,
    Kind::Sqlite,
    Kind::Mariadb,
    Kind::Postgres,
    Kind::Sqlite,
];
#[cfg(not(feature = "net"))]
const WAY: &[Kind] = &[Kind::Sqlite, Kind::Sqlite];

#[test]
fn an_archive_moves_between_any_two_databases_and_stays_the_same() {
    let world = World::new();
    let home = rich(&world, "project");
    home.tomb_ok(&["export", "../first"]);
    let mut here = home.with("UNUSED", "");
    let mut databases: Vec<Database> = Vec::new();
    for kind in WAY {
        let next = Database::new(*kind);
        let there = home.with(URL, next.url());
        let run = migrate(&here, &next).exits(0);
        let said = &run.json()[0];
        assert_eq!(said["status"], "migrated", "{run}");
        for place in [&here, &there] {
            assert_eq!(said["digest"].as_str().unwrap(), digest(place), "{kind:?}");
        }
        // Done once, it is done.
        assert_eq!(migrate(&here, &next).exits(0).json()[0]["status"], "already-migrated");
        // The old one is read, and takes no changes.
        assert!(here.tomb_ok(&["list"]).stderr_text().contains("is superseded by archive"));
        let refused = here.tomb(&["health-check"]).exits(2).stderr_text();
        assert!(refused.contains("is superseded by archive") && refused.contains("hint: point the"), "{refused}");
        there.tomb_ok(&["list"]);
        (here, databases) = (there, databases.into_iter().chain([next]).collect());
    }
    here.tomb_ok(&["export", "../last"]);
    here.tomb_ok(&["health-check", "--deep"]);
    let read = |path: &str| std::fs::read_to_string(world.at(path).path).unwrap();
    assert_eq!(read("first/items.jsonl"), read("last/items.jsonl"));
    assert_eq!(read("first/files.txt"), read("last/files.txt"));
    let (first, last) = (read("first/events.jsonl"), read("last/events.jsonl"));
    let added = last.strip_prefix(&first).unwrap();
    let migrations = added.lines().filter(|line| line.contains("\"action\":\"MIGRATE\"")).count();
    assert_eq!((migrations, added.lines().count()), (WAY.len(), WAY.len()));
    for state in ["\"state\":\"pending\"", "\"state\":\"undone\"", "\"purged_at\"", "\"approvals\"", "\"restored_at\""]
    {
        assert!(first.contains("ARCHIVE") && read("last/items.jsonl").contains(state), "{state}");
    }
    // Contents of one archive, whatever order they came in.
    let contents = |path: &str| {
        let sums = read(path);
        let mut lines: Vec<_> = sums.lines().filter(|line| line.contains("contents/")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(contents("first/SHA256SUMS"), contents("last/SHA256SUMS"));
    // The operation that was unfinished in the first is finished in the last.
    here.tomb_ok(&["doctor", "--continue"]);
    here.tomb_ok(&["restore", "README.md"]);
}

#[test]
fn a_migration_killed_anywhere_and_run_again_comes_to_the_same_end() {
    let world = World::new();
    let base = rich(&world, "base");
    let before = digest(&base);
    for kind in KINDS {
        let points: Vec<&str> = if *kind == Kind::Sqlite {
            COPYING_POINTS
                .iter()
                .copied()
                .filter(|point| !point.starts_with("export"))
                .chain(["copy-items:2"])
                .collect()
        } else {
            vec!["copy-contents", "copy-events", "source-superseded", "copy-complete"]
        };
        for (number, point) in points.iter().enumerate() {
            let what = format!("{kind:?} at {point}");
            let repo = base.copy_to(&format!("{kind:?}-{number}"));
            let target = Database::new(*kind);
            let killed = repo.with(VARIABLE, point).tomb(&["migrate", "--to", target.url()]);
            assert_eq!(killed.code, None, "{what}: {killed}");
            let there = repo.with(URL, target.url());
            let superseded = matches!(*point, "source-superseded" | "copy-complete");
            if superseded {
                repo.tomb(&["health-check"]).exits(2);
            } else {
                // Nothing happened to the source, and it goes on as before.
                assert_eq!(digest(&repo), before, "{what}");
                repo.tomb_ok(&["health-check"]);
            }
            if *point != "copy-complete" {
                // Only the migration changes the copy.
                there.tomb(&["health-check"]).exits(2);
            }
            let count = |repo: &Repo<'_>| repo.tomb_ok(&["export", "--digest", "--json"]).json()[0]["events"].as_u64();
            let events = count(&repo).unwrap() + u64::from(!superseded);
            let run = migrate(&repo, &target).exits(0);
            let said = &run.json()[0];
            assert_eq!(digest(&repo), digest(&there), "{what}");
            assert_eq!(said["digest"].as_str().unwrap(), digest(&there), "{what}");
            assert_eq!(said["events"].as_u64(), Some(events), "{what}");
            there.tomb_ok(&["health-check", "--deep"]);
        }
    }
}

#[test]
fn a_migration_killed_at_random_comes_to_an_end() {
    let world = World::new();
    let base = rich(&world, "base");
    let seed = std::env::var("ARCHIVE_TOMB_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let rounds = std::env::var("ARCHIVE_TOMB_KILLS").map_or(1, |text| text.parse().unwrap());
    for round in 0..rounds {
        for kind in KINDS {
            let repo = base.copy_to(&format!("{kind:?}-{round}"));
            let target = Database::new(*kind);
            let mut kills = 0;
            for _ in 0..4 {
                let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
                command.args(["migrate", "--to", target.url()]).stdout(Stdio::null()).stderr(Stdio::null());
                let mut child = command.spawn().unwrap();
                std::thread::sleep(Duration::from_millis(random.u64(20..400)));
                kills += u32::from(child.try_wait().unwrap().is_none());
                let _ = child.kill();
                child.wait().unwrap();
            }
            migrate(&repo, &target).exits(0);
            let there = repo.with(URL, target.url());
            assert_eq!(digest(&repo), digest(&there), "seed {seed}, {kind:?}, {kills} kills");
            there.tomb_ok(&["health-check", "--deep"]);
        }
    }
}

#[test]
fn what_comes_while_the_copy_is_made_is_copied_too() {
    let world = World::new();
    for kind in KINDS {
        let repo = world.sample(&format!("{kind:?}"));
        repo.tomb_ok(&["store", "src/legacy"]);
        repo.commit("first");
        let target = Database::new(*kind);
        let mut command = repo.with(VARIABLE, "copy-events@STOP").command(env!("CARGO_BIN_EXE_git-archive-tomb"));
        let mut child = command.args(["migrate", "--to", target.url()]).spawn().unwrap();
        wait_until_stopped(child.id());
        let late = repo.tomb_ok(&["store", "docs", "src/keep.py", "--tag", "late"]).json();
        repo.commit("second");
        signal(child.id(), "-CONT");
        assert!(child.wait().unwrap().success());
        let there = repo.with(URL, target.url());
        assert_eq!(there.tomb_ok(&["list", "--json", "--tag", "late"]).json().len(), late.len());
        assert_eq!(digest(&repo), digest(&there));
        there.restore(&["docs"], &["docs/old.md"]);
    }
}

#[test]
fn a_superseded_archive_refuses_changes_and_is_read() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.commit("stored");
    let target = Database::new(Kind::Sqlite);
    repo.tomb_ok(&["migrate", "--to", target.url()]);
    let before = repo.look();
    for command in [
        &["store", "docs"][..],
        &["restore", "src/legacy"],
        &["restore", "src/legacy/old.py", "out"],
        &["health-check"],
    ] {
        let refused = repo.tomb(command).exits(2).stderr_text();
        assert!(
            refused.contains("takes no changes") && refused.contains("`git archive-tomb config-show`"),
            "{refused}"
        );
    }
    assert_eq!(repo.look(), before);
    repo.tomb_ok(&["status"]);
    assert!(repo.tomb_ok(&["cat", "src/legacy/old.py"]).stdout_text().contains("def old()"));
    repo.tomb_ok(&["verify", "--all", "--deep"]);
    // History serves as ever.
    repo.tomb_ok(&["restore", "--from", "history", "src/legacy/old.py", "out"]);
    std::fs::remove_file(repo.path.join("out")).unwrap();
    let there = repo.with(URL, target.url());
    there.restore(&["src/legacy"], &["src/legacy/old.py", "src/legacy/run.sh"]);
    // Neither can be copied to a third one past the other.
    let third = Database::new(Kind::Sqlite);
    let refused = migrate(&repo, &third).exits(2).stderr_text();
    assert!(refused.contains("is superseded by archive"), "{refused}");
    // And back again: what came since comes too.
    let home = format!("sqlite:///{}", repo.path.join(".git/archive-tomb/archive.sqlite").display());
    there.tomb_ok(&["migrate", "--to", &home]);
    assert_eq!(digest(&repo), digest(&there));
    repo.store(&["docs"], &["docs/old.md"]);
    there.tomb(&["health-check"]).exits(2);
}

#[test]
fn damage_in_the_source_is_named_and_nothing_is_superseded() {
    let world = World::new();
    let sample = |name| {
        let repo = world.sample(name);
        repo.tomb_ok(&["store", "src", "docs"]);
        repo
    };
    let damages: [(&str, &str, &str); 4] = [
        (
            "block",
            "DROP TRIGGER block_update; UPDATE block SET bytes = zeroblob(length(bytes))",
            "do not match their digest",
        ),
        ("missing", "PRAGMA foreign_keys = OFF; DROP TRIGGER block_delete; DELETE FROM block", "is not in the archive"),
        (
            "segment",
            "DROP TRIGGER segment_update; DROP TRIGGER segment_move; UPDATE segment SET offset = offset + 1, length = length - 1
               WHERE length = (SELECT max(length) FROM segment)",
            "do not add up",
        ),
        (
            "event",
            "DROP TRIGGER event_update; UPDATE event SET line = replace(line, 'dead', 'DEAD')",
            "does not match its digest",
        ),
    ];
    for (name, sql, expected) in damages {
        let repo = sample(name);
        tamper(&repo, sql);
        let target = Database::new(Kind::Sqlite);
        let run = migrate(&repo, &target).exits(5);
        let said = run.stderr_text();
        assert!(said.contains(expected), "{name}: {said}");
        if name != "event" {
            let names = ["old.py", "run.sh", "old.md", "keep.py"].iter().any(|path| said.contains(path));
            assert!(names && said.contains("error: cannot copy content `"), "{name}: {said}");
            assert!(!recovered(&repo, &run).contains("stub v1"), "{name}");
        }
        repo.tomb_ok(&["health-check"]);
        let logged = repo.tomb_ok(&["evidence", "log", "--json", "--action", "MIGRATE"]).json();
        assert_eq!(logged[0]["status"], "failed", "{name}");
    }
}

#[test]
fn what_was_purged_since_and_what_others_wrote_keep_a_copy_from_completion() {
    let world = World::new();
    let stopped = |name: &str, point: &str| {
        let repo = world.sample(name);
        repo.tomb_ok(&["store", "src", "docs"]);
        let target = Database::new(Kind::Sqlite);
        assert_eq!(repo.with(VARIABLE, point).tomb(&["migrate", "--to", target.url()]).code, None);
        (repo, target)
    };
    let (repo, target) = stopped("purged", "copy-items");
    repo.purge("docs/old.md");
    let at = repo.purged_at("docs/old.md");
    let said = migrate(&repo, &target).exits(4).stderr_text();
    assert!(said.contains(&format!("was purged at {at}, after it was copied")), "{said}");
    repo.tomb_ok(&["health-check"]);

    let (repo, target) = stopped("foreign", "copy-items");
    target.sql(
        "INSERT INTO artifact (content_sha256, size_bytes, created_at)
        VALUES ('0000000000000000000000000000000000000000000000000000000000000000', 0, '2026-03-01T00:00:00.000Z')",
    );
    let said = migrate(&repo, &target).exits(5).stderr_text();
    assert!(said.contains("the copy holds something else"), "{said}");
    repo.tomb_ok(&["health-check"]);

    let (repo, target) = stopped("damaged", "copy-items");
    target.sql("DROP TRIGGER block_update; UPDATE block SET bytes = zeroblob(length(bytes))");
    let said = migrate(&repo, &target).exits(5).stderr_text();
    assert!(said.contains("the copy does not give back content `"), "{said}");
    repo.tomb_ok(&["health-check"]);
}

/// An archive that was brought back from an older backup has what was purged since; evidence of any reference still tells.
#[test]
fn what_evidence_of_any_reference_or_an_event_calls_purged_is_not_copied() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "docs", "src"]);
    repo.commit_all("archive");
    let stored = repo.tomb_ok(&["list", "--path", "docs/old.md", "--json"]).json().remove(0);
    let mut record = Record::new(Action::Purge, OperationId::generate(), Timestamp::now());
    record.actor = Some("Ann <ann@example.org>".to_owned());
    record.status = Some(Status::Done);
    record.tombstone = Some(stored["tombstone"].as_str().unwrap().parse().unwrap());
    record.sha256 = Some(stored["sha256"].as_str().unwrap().parse().unwrap());
    record.set_path(&RepoPath::try_new("docs/old.md").unwrap());

    // On a branch that is not checked out.
    let file = NewEvidenceFile::build(vec![record.clone()], Vec::new()).unwrap();
    let path = file.path();
    let path = std::str::from_utf8(path.as_bytes()).unwrap();
    repo.git(&["checkout", "-q", "-b", "aside"]);
    repo.write(path, file.bytes());
    repo.commit_all("purge");
    repo.git(&["checkout", "-q", "main"]);
    let target = Database::new(Kind::Sqlite);
    let said = migrate(&repo, &target).exits(4).stderr_text();
    assert!(said.contains(&format!("says {path}, and the archive that is to be copied has its bytes")), "{said}");
    assert_eq!(repo.with(URL, target.url()).tomb_ok(&["list"]).stdout_text(), "");
    repo.tomb_ok(&["health-check"]);

    // Nobody but an event tells, and then that too is forgotten.
    repo.git(&["branch", "-q", "-D", "aside"]);
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let event = git_archive_tomb::archive::Event::from_record(&record).unwrap();
    archive
        .execute(
            "INSERT INTO event (digest, op, action, created_at, line, tombstone_id) VALUES (?1, ?2, 'PURGE', ?3, ?4, ?5)",
            [
                event.digest.to_string(),
                record.op.to_string(),
                record.ts.to_string(),
                event.line.clone(),
                record.tombstone.unwrap().to_string(),
            ],
        )
        .unwrap();
    let said = migrate(&repo, &target).exits(4).stderr_text();
    assert!(said.contains("says an event of the archive, and the archive"), "{said}");

    // Once the bytes are gone, it moves, and they stay away.
    repo.purge("docs/old.md");
    let fresh = Database::new(Kind::Sqlite);
    migrate(&repo, &fresh).exits(0);
    let moved = repo.with(URL, fresh.url());
    assert!(moved.tomb(&["cat", "docs/old.md"]).exits(4).stderr_text().contains("purged"));
    moved.tomb_ok(&["cat", "src/keep.py"]);
}

#[test]
fn a_target_that_holds_something_else_is_refused_and_left_alone() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src"]);
    for kind in KINDS {
        let other = world.sample(&format!("other-{kind:?}"));
        let occupied = Database::new(*kind);
        let other = other.with(URL, occupied.url());
        other.tomb_ok(&["init", "--no-hooks"]);
        other.tomb_ok(&["store", "docs"]);
        let before = digest(&other);
        let said = migrate(&repo, &occupied).exits(2).stderr_text();
        assert!(said.contains("no unfinished copy of archive"), "{said}");
        assert_eq!(digest(&other), before);
        other.tomb_ok(&["health-check"]);
    }
    let itself = format!("sqlite:///{}", repo.path.join(".git/archive-tomb/archive.sqlite").display());
    for url in ["sqlite:///./.codex/archive.sqlite", &itself] {
        let said = repo.tomb(&["migrate", "--to", url]).exits(2).stderr_text();
        assert!(said.contains("cannot be copied to itself"), "{said}");
    }
    repo.tomb_ok(&["health-check"]);
}

/// Whose archive it is may be known only once it was opened, which changes nothing of it.
#[test]
fn an_older_archive_is_not_brought_up_to_date_to_be_refused() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init", "--no-hooks"]);
    let older = Database::new(Kind::Sqlite);
    repo.with(URL, older.url()).tomb_ok(&["init", "--no-hooks"]);
    older.sql("DELETE FROM migration");
    let said = migrate(&repo, &older).exits(2).stderr_text();
    assert!(said.contains("has schema 0 and this program needs schema"), "{said}");
}

/// A URL is more easily mistyped than a database shared on purpose.
#[test]
fn an_archive_comes_to_be_in_nobodys_database_but_its_own() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["init", "--no-hooks"]);
    for kind in KINDS {
        let database = Database::new(*kind);
        database.sql("CREATE TABLE wordpress (id INTEGER); INSERT INTO wordpress VALUES (7)");
        for run in [migrate(&repo, &database), repo.with(URL, database.url()).tomb(&["init", "--no-hooks"])] {
            let error = run.exits(6).stderr_text();
            assert!(error.contains("another program's "), "{kind:?}: {error}");
            assert!(error.contains("hint: name a file, a database or, on PostgreSQL, a schema"), "{kind:?}: {error}");
        }
        database.sql("DROP TABLE wordpress");
        repo.with(URL, database.url()).tomb_ok(&["init", "--no-hooks"]);
    }
}

#[test]
fn the_url_is_expanded_or_read_and_its_secrets_are_not_told() {
    const CANARY: &str = "canary-7f3a9c";
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src"]);
    let quiet = |run: Run| {
        assert!(!run.all_text().contains(CANARY), "{run}");
        run
    };
    let refused = format!("postgres://u:{CANARY}@127.0.0.1:1/nothing");
    for url in [&*refused, &refused.replace("postgres", "mariadb"), &format!("oracle://u:{CANARY}@h/x"), CANARY] {
        for debug in [&[][..], &["--debug"]] {
            let by_argument = quiet(repo.tomb(&[&["migrate", "--to", url], debug].concat()));
            assert!(matches!(by_argument.code, Some(2 | 6)), "{by_argument}");
            let by_input =
                repo.tomb_with_input(&[&["migrate", "--to", "-"], debug].concat(), format!("{url}\n").as_bytes());
            assert_eq!(quiet(by_input).code, by_argument.code);
            quiet(repo.with("SECRET", url).tomb(&[&["migrate", "--to", "${SECRET}"], debug].concat()));
        }
    }
    repo.tomb(&["migrate", "--to", "${UNSET_VARIABLE}"]).exits(2);
    let too_long = repo.tomb_with_input(&["migrate", "--to", "-"], &[b'a'; 5000]).exits(2);
    assert!(too_long.stderr_text().contains("longer than 4 KiB"), "{too_long}");
    let log = std::fs::read_to_string(repo.path.join(".git/archive-tomb/archive_ops.jsonl")).unwrap();
    assert!(log.contains("\"action\":\"MIGRATE\"") && !log.contains(CANARY));
    for kind in KINDS {
        let (repo, target) = (repo.copy_to(&format!("{kind:?}")), Database::new(*kind));
        let run = repo.with("TARGET", target.url()).tomb_ok(&["migrate", "--to", "${TARGET}"]);
        assert!(!run.all_text().contains("secret-of-the-tests"), "{run}");
        repo.tomb_with_input(&["migrate", "--to", "-"], target.url().as_bytes()).exits(0);
    }
}

#[test]
fn large_contents_and_many_small_ones_move() {
    let world = World::new();
    let repo = world.init("project");
    for number in 0..3 {
        repo.write(format!("large/{number}.bin"), noise(number, 6 << 20));
    }
    for number in 0..1_000 {
        repo.write(format!("small/{}/{number}.py", number % 9), format!("value = {number}\n").repeat(number % 50));
    }
    repo.commit_all("many");
    repo.tomb_ok(&["store", "."]);
    let mut here = repo.with("UNUSED", "");
    let mut databases = Vec::new();
    for kind in KINDS.iter().rev() {
        let next = Database::new(*kind);
        migrate(&here, &next).exits(0);
        let there = repo.with(URL, next.url());
        assert_eq!(digest(&here), digest(&there));
        databases.push(next);
        here = there;
    }
    here.tomb_ok(&["health-check", "--deep"]);
}
