//! `verify`, as people and CI call it. The rules themselves have tests of their own, beside
//! their code.

use crate::common::{Repo, World};

/// Returns a repository in which `docs/old.md` and the folder `src/legacy` are archived and committed.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.tomb_ok(&["init"]);
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.git(&["commit", "-q", "-m", "archive"]);
    repo
}

/// Runs SQL on the embedded archive as its owner could, triggers aside.
fn tamper(repo: &Repo<'_>, sql: &str) {
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let triggers: Vec<String> = {
        let mut names = archive.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for trigger in triggers {
        archive.execute_batch(&format!("DROP TRIGGER \"{trigger}\"")).unwrap();
    }
    archive.execute_batch(sql).unwrap();
}

#[test]
fn every_format_tells_the_same_findings() {
    let world = World::new();
    let repo = archived(&world);
    repo.write("docs/old.md", "something else\n");
    repo.git(&["add", "docs/old.md"]);
    let text = repo.tomb(&["verify"]).exits(1);
    assert!(text.stdout_text().contains("stub-removed"), "{text}");
    let json = repo.tomb(&["verify", "--staged", "--json"]).exits(1).json();
    assert_eq!(json[0]["rule"], "stub-removed");
    assert_eq!(json[0]["path"], "docs/old.md");
    let github = repo.tomb(&["verify", "--format", "github"]).exits(1);
    assert!(github.stdout_text().starts_with("::error file=docs/old.md"), "{github}");
    let sarif = repo.tomb(&["verify", "--format", "sarif"]).exits(1);
    let sarif: serde_json::Value = serde_json::from_slice(&sarif.stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "stub-removed");
}

#[test]
fn a_range_needs_two_ends_that_exist() {
    let world = World::new();
    let repo = archived(&world);
    repo.tomb(&["verify", "--range", "HEAD~1..HEAD"]).exits(0);
    repo.tomb(&["verify", "--range", "HEAD~1.."]).exits(0);
    for wrong in ["HEAD", "..", "HEAD~1...HEAD", "HEAD..nowhere", "--all..HEAD"] {
        repo.tomb(&["verify", &format!("--range={wrong}")]).exits(2);
    }
    repo.tomb(&["verify", "--all", "--staged"]).exits(2);
}

#[test]
fn deep_finds_what_the_archive_lacks_or_has_otherwise() {
    for (sql, rule) in [
        (
            "DELETE FROM event WHERE action = 'ARCHIVE' AND id = (SELECT max(id) FROM event WHERE action = 'ARCHIVE')",
            "archive-drift",
        ),
        ("UPDATE item SET mode = '100755' WHERE path = 'docs/old.md'", "archive-drift"),
        ("UPDATE item SET state = 'undone' WHERE path = 'docs/old.md'", "archive-missing"),
        ("UPDATE block SET bytes = zeroblob(length(bytes))", "archive-drift"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM segment; DELETE FROM block", "archive-drift"),
    ] {
        let world = World::new();
        let repo = archived(&world);
        repo.tomb_ok(&["verify", "--all", "--deep", "--strict"]);
        tamper(&repo, sql);
        repo.tomb_ok(&["verify", "--all", "--strict"]);
        let deep = repo.tomb(&["verify", "--all", "--deep"]).exits(1);
        assert!(deep.stdout_text().contains(rule), "{sql}: {deep}");
    }
}

#[test]
fn deep_without_an_archive_says_so() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    clone.tomb_ok(&["verify", "--all", "--strict"]);
    clone.tomb(&["verify", "--all", "--deep"]).exits(6);
}

#[test]
fn a_bare_repository_is_read_as_its_head() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = world.at("bare.git");
    let all = bare.tomb_ok(&["verify", "--all", "--strict"]);
    assert!(all.stdout_text().contains("3 stubs"), "{all}");
    assert!(bare.tomb_ok(&["status"]).stdout_text().contains("3 stubs"));
    assert_eq!(bare.tomb_ok(&["cat", "docs/old.md"]).stdout, b"# Old\n\nNobody reads this.\n");
    let tombstone = repo.tomb_ok(&["list", "--path", "docs/old.md", "--json"]).json()[0]["tombstone"].clone();
    let prefix = &tombstone.as_str().unwrap()[..8];
    assert_eq!(bare.tomb_ok(&["restore", prefix, "-"]).stdout, b"# Old\n\nNobody reads this.\n");
    bare.tomb_ok(&["evidence", "verify", "--strict"]);
    for refused in [&["restore", "docs/old.md"][..], &["store", "README.md"]] {
        bare.tomb(refused).exits(2);
    }
}

#[test]
fn the_hint_for_a_damaged_stub_mends_it() {
    let world = World::new();
    let repo = archived(&world);
    for damage in ["an accident\n", "<<<<<<< ours\n"] {
        let stub = repo.read_text("docs/old.md");
        repo.write("docs/old.md", format!("{stub}{damage}"));
        repo.git(&["add", "docs/old.md"]);
        let told = repo.tomb(&["verify"]).exits(1).stdout_text();
        assert!(told.contains("hint: git checkout HEAD -- :/docs/old.md\n"), "{told}");
        repo.git(&["checkout", "HEAD", "--", ":/docs/old.md"]);
        repo.tomb_ok(&["verify"]);
        assert_eq!(repo.read_text("docs/old.md"), stub);
    }
    let damaged = repo.git(&["rev-parse", "HEAD"]);
    repo.write("docs/old.md", repo.read_text("docs/old.md") + "an accident\n");
    repo.commit_all("damage");
    let told = repo.tomb(&["verify", "--range", "HEAD~1..HEAD"]).exits(1).stdout_text();
    assert!(told.contains(&format!("hint: git checkout {damaged} -- :/docs/old.md\n")), "{told}");
}

#[test]
fn a_health_check_reads_everything_or_a_sample() {
    let world = World::new();
    let repo = archived(&world);
    assert!(repo.tomb_ok(&["health-check", "--deep"]).stdout_text().contains("Contents Read: 3\n"));
    assert_eq!(repo.tomb_ok(&["health-check", "--sample", "2", "--json"]).json()[0]["contents_read"], 2);
    assert_eq!(repo.tomb_ok(&["health-check", "--sample", "9", "--json"]).json()[0]["contents_read"], 3);
    repo.tomb(&["health-check", "--sample", "2", "--deep"]).exits(2);
    tamper(&repo, "UPDATE block SET bytes = zeroblob(length(bytes))");
    repo.tomb_ok(&["health-check"]);
    let failed = repo.tomb(&["health-check", "--deep", "--json"]).exits(5);
    assert_eq!(failed.json()[0]["contents_damaged"], 3);
    assert_eq!(failed.json()[0]["status"], "failed");
    let log = repo.tomb_ok(&["evidence", "log", "--action", "HEALTH_CHECK", "--json"]).json();
    assert_eq!(log.last().unwrap()["status"], "failed");
}
