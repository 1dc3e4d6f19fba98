//! The story of a purge on every kind of database, and what is left where it stops there.

use git_archive_tomb::fault::PURGE_POINTS;
use rayon::prelude::*;

use super::commands::{SECRET, purge, request};
use crate::common::{Repo, World};
use crate::databases::{Database, KINDS, Kind};
use crate::faults::kill_at;

/// Returns a repository with an archive in `database`, in which some files are archived.
fn archived<'a>(world: &'a World, database: &Database) -> Repo<'a> {
    let repo = world.sample("project").with("CODEX_ARCHIVE_URL", database.url());
    repo.tomb_ok(&["init", "--no-hooks"]);
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    repo
}

/// Returns the statements by which the archive's storage forgets sooner.
fn remains(purged: &[serde_json::Value]) -> String {
    purged[0]["remains"].to_string()
}

fn story(kind: Kind) {
    let (world, database) = (World::new(), Database::new(kind));
    let repo = archived(&world, &database);
    let tombstone = repo.tombstone_at(SECRET);
    repo.tomb_ok(&["hold", "set", SECRET, "--by", "Carol", "--name", "CASE-7", "--reason", "Litigation"]);
    let refused = repo.tomb(&purge(SECRET, &["--apply"])).exits(4).stderr_text();
    for what in ["nobody requested it", "legal hold `CASE-7`"] {
        assert!(refused.contains(what), "{refused}");
    }
    request(&repo, SECRET);
    repo.tomb_ok(&["hold", "release", SECRET, "--reason", "Settled"]);
    assert!(repo.tomb_ok(&["hold", "list"]).stdout.is_empty());
    repo.tomb_ok(&["approve", SECRET, "--by", "Bob <bob@example.org>"]);
    repo.commit("governance");
    let purged = repo.tomb(&[&["--json"], &purge(SECRET, &["--apply"])[..]].concat()).exits(0).json();
    let statement = match kind {
        Kind::Sqlite => "snapshots",
        Kind::Postgres => "VACUUM FULL block",
        Kind::Mariadb => "ALTER TABLE block FORCE",
    };
    assert!(remains(&purged).contains(statement), "{purged:?}");
    repo.commit("purge");
    for command in [&["cat", SECRET][..], &["restore", SECRET], &["purge", &tombstone, "--reason", "x", "--apply"]] {
        let refused = repo.tomb(command).exits(4);
        assert!(refused.stderr_text().contains("Contains PII"), "{refused}");
    }
    repo.write("again.md", "# Old\n\nNobody reads this.\n");
    repo.commit_all("again");
    let _ = repo.tomb(&["store", "again.md"]).exits(4);
    repo.tomb_ok(&["store", "again.md", "--allow-purged"]);
    repo.tomb_ok(&["cat", "again.md"]);
    let _ = repo.tomb(&["cat", &tombstone]).exits(4);
    repo.tomb_ok(&["restore", "src/legacy"]);
    repo.commit_all("more");
    repo.tomb_ok(&["verify", "--all", "--deep"]);
    repo.tomb_ok(&["health-check", "--deep"]);
    repo.tomb_ok(&["doctor"]);
}

#[test]
fn the_story_is_the_same_on_every_database() {
    KINDS.par_iter().for_each(|kind| story(*kind));
}

/// Stops purges, and holds, of one item after another; all go on.
fn stops(kind: Kind) {
    let (world, database) = (World::new(), Database::new(kind));
    let repo = archived(&world, &database);
    let points = ["intent", "lock", "bytes", "evidence", "log", "index-renamed", "settled"];
    for point in points.iter().chain(PURGE_POINTS) {
        let path = format!("secret/{point}.txt");
        repo.write(&path, format!("what {point} is about\n"));
        repo.commit_all("secret");
        repo.tomb_ok(&["store", &path]);
        request(&repo, &path);
        repo.commit("request");
        let reached = kill_at(&repo, point, &purge(&path, &["--apply"]));
        assert!(reached || *point == "purge-scrubbed", "{point} is not passed");
        if reached {
            repo.tomb_ok(&["doctor", "--continue"]);
        }
        let _ = repo.tomb(&["cat", &path]).exits(4);
        repo.tomb_ok(&["doctor"]);
        assert!(repo.status().contains("A  .codex/evidence/ops"), "{point}");
        repo.commit("purge");
    }
    for point in ["rows", "evidence", "settled"] {
        assert!(kill_at(&repo, point, &["hold", "set", SECRET, "--name", point, "--reason", "x"]) || point == "rows");
        repo.tomb_ok(&["doctor", "--continue"]);
        assert!(repo.tomb_ok(&["hold", "list"]).stdout_text().contains(point));
    }
    repo.commit("holds");
    repo.tomb_ok(&["cat", SECRET]);
    repo.tomb_ok(&["verify", "--all", "--deep"]);
}

#[test]
fn what_stops_on_a_server_is_finished_there() {
    // On SQLite every point has its turn elsewhere.
    KINDS.par_iter().filter(|kind| **kind != Kind::Sqlite).for_each(|kind| stops(*kind));
}
