//! What a purge leaves behind: nothing that hands the bytes out, and nothing half-done.

use std::process::Command;

use super::commands::{SECRET, archived, events, purge, request};
use crate::common::{Repo, World, assert_shown};
use crate::faults::{journals, kill_at, logged, recoveries};
use git_archive_tomb::fault::{POINTS, PURGE_POINTS, VARIABLE};
use rayon::prelude::*;

/// What is stopped: its arguments, the action of its records, and what it takes beforehand.
#[derive(Debug, Clone, Copy)]
struct Act {
    arguments: &'static [&'static str],
    action: &'static str,
    before: &'static [&'static [&'static str]],
    /// From which point on it can only be finished.
    is_final: &'static [&'static str],
}

const REQUEST: &[&str] = &["prune-request", SECRET, "--by", "Ada", "--reason", "PII"];
const HOLD: &[&str] = &["hold", "set", SECRET, "--by", "Carol", "--name", "CASE-7", "--reason", "Litigation"];

/// Points at which the archive has been changed for good, until the end.
const LATE: &[&str] = &[
    "bytes",
    "rows",
    "evidence",
    "own-written",
    "evidence-file",
    "log",
    "blobs",
    "copy",
    "staged",
    "files",
    "index-written",
];

const ACTS: &[Act] = &[
    Act { arguments: REQUEST, action: "PRUNE_REQUEST", before: &[], is_final: &[] },
    Act {
        arguments: &["prune-request", SECRET, "--withdraw"],
        action: "REQUEST_WITHDRAWN",
        before: &[REQUEST],
        is_final: &[],
    },
    Act {
        arguments: &["approve", SECRET, "--by", "Bob"],
        action: "DELETE_APPROVED",
        before: &[REQUEST],
        is_final: &[],
    },
    Act { arguments: &["approve", SECRET, "--for", "restore"], action: "RESTORE_APPROVED", before: &[], is_final: &[] },
    Act { arguments: HOLD, action: "HOLD_SET", before: &[], is_final: LATE },
    Act {
        arguments: &["hold", "release", SECRET, "--reason", "Settled"],
        action: "HOLD_RELEASED",
        before: &[HOLD],
        is_final: &[],
    },
    Act {
        arguments: &["purge", SECRET, "--by", "Ada", "--second", "Bob", "--reason", "PII", "--apply"],
        action: "PURGE",
        before: &[REQUEST],
        is_final: LATE,
    },
];

/// Asserts that it is done, once and for all.
#[track_caller]
fn assert_done(repo: &Repo<'_>, act: &Act, what: &str) {
    assert_eq!(journals(repo), Vec::<String>::new(), "{what}");
    assert_eq!(events(repo, act.action).len(), 1, "{what}");
    // What was undone before stays in the log.
    assert!(logged(repo, act.action).iter().any(|record| record["status"] == "done"), "{what}");
    repo.tomb_ok(&["evidence", "verify"]);
    repo.tomb_ok(&["doctor"]);
    let staged = repo.status();
    assert!(staged.contains("A  .codex/evidence/ops"), "{what}: {staged}");
    let open = repo.tomb_ok(&["hold", "list"]).stdout_text();
    assert_eq!(open.contains("CASE-7"), act.action == "HOLD_SET", "{what}: {open}");
    assert_eq!(repo.tomb(&["cat", SECRET]).code == Some(4), act.action == "PURGE", "{what}");
    repo.commit("act");
    repo.tomb_ok(&["verify", "--all", "--deep"]);
}

/// Stops it at every point, and finishes and undoes what is left.
fn stop_everywhere(act: &Act) {
    let world = World::new();
    let base = archived(&world);
    for arguments in act.before {
        base.tomb_ok(arguments);
        base.commit("before");
    }
    let points: Vec<&str> = POINTS.iter().chain(PURGE_POINTS).copied().collect();
    // Asked once: git takes the index's lock to answer, and the repository is being copied from then on.
    let before = base.status();
    let reached: Vec<&&str> = points
        .par_iter()
        .filter(|point| {
            let what = format!("{} at {point}", act.action);
            let killed = base.copy_to(&format!("at-{point}"));
            if !kill_at(&killed, point, act.arguments) {
                return false;
            }
            let is_unfinished = journals(&killed).iter().any(|name| !name.starts_with('.'));
            let finished = killed.sibling("finished");
            finished.tomb_ok(&["doctor", "--continue"]);
            if is_unfinished {
                let refused = killed.tomb(act.arguments).exits(1).stderr_text();
                assert!(refused.contains("doctor --continue"), "{what}: {refused}");
                assert_done(&finished, act, &format!("{what}, finished"));
                assert_eq!(recoveries(&finished).last().map(String::as_str), Some("finished"), "{what}");
            }
            let undone = killed.sibling("undone");
            let run = undone.tomb(&["doctor", "--abort"]);
            let is_late = !events(&undone, act.action).is_empty()
                || ["index-renamed", "index", "settled"].contains(*point)
                || act.is_final.contains(*point)
                || PURGE_POINTS.contains(*point);
            if is_unfinished && run.code != Some(0) {
                let refused = run.exits(1).stderr_text();
                assert!(is_late && refused.contains("cannot be undone"), "{what}: {refused}");
                undone.tomb_ok(&["doctor", "--continue"]);
                assert_done(&undone, act, &format!("{what}, finished after all"));
            } else if is_unfinished {
                assert_eq!(undone.status(), before, "{what}");
                assert_eq!(recoveries(&undone).last().map(String::as_str), Some("undone"), "{what}");
                undone.tomb_ok(act.arguments);
                assert_done(&undone, act, &format!("{what}, undone and done again"));
            }
            true
        })
        .collect();
    for point in ["journal", "lock", "evidence", "log", "index-renamed", "settled", "closed"] {
        assert!(reached.contains(&&point), "{}: {point} is not passed", act.action);
    }
    assert_eq!(reached.contains(&&"purge-begun"), act.action == "PURGE");
}

#[test]
fn a_request_stopped_anywhere_can_be_finished_and_undone() {
    stop_everywhere(&ACTS[0]);
    stop_everywhere(&ACTS[1]);
}

#[test]
fn an_approval_stopped_anywhere_can_be_finished_and_undone() {
    stop_everywhere(&ACTS[2]);
    stop_everywhere(&ACTS[3]);
}

#[test]
fn a_hold_stopped_anywhere_holds_or_can_be_undone() {
    stop_everywhere(&ACTS[4]);
    stop_everywhere(&ACTS[5]);
}

#[test]
fn a_purge_stopped_anywhere_is_finished_once_it_has_begun() {
    stop_everywhere(&ACTS[6]);
}

#[test]
fn an_interruption_takes_a_purge_back_until_it_has_begun() {
    let world = World::new();
    let base = archived(&world);
    request(&base, SECRET);
    base.commit("request");
    let interrupted = |name: &str, point: &str| {
        let repo = base.copy_to(name);
        let run = repo.with(VARIABLE, format!("{point}@INT")).tomb(&purge(SECRET, &["--apply"])).exits(130);
        (repo, run)
    };
    let (early, run) = interrupted("early", "own");
    assert!(run.stderr_text().contains("nothing was changed"), "{run}");
    assert_eq!((journals(&early), early.status()), (Vec::new(), base.status()));
    assert_eq!(logged(&early, "PURGE").last().unwrap()["status"], "failed");
    early.tomb_ok(&["cat", SECRET]);
    early.tomb_ok(&purge(SECRET, &["--apply"]));
    let (late, run) = interrupted("late", "purge-begun");
    assert!(run.stderr_text().contains("is unfinished") && !run.stderr_text().contains("--abort"), "{run}");
    let _ = late.tomb(&["cat", SECRET]).exits(4);
    late.tomb_ok(&["doctor", "--continue"]);
    assert_eq!(events(&late, "PURGE").len(), 1);
}

#[test]
fn a_purge_that_was_stopped_before_it_began_is_judged_again() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    assert!(kill_at(&repo, "lock", &purge(SECRET, &["--apply"])));
    let archive = repo.path.join(".git/archive-tomb/archive.sqlite");
    let sql = rusqlite::Connection::open(archive).unwrap();
    sql.execute("UPDATE item SET legal_hold = 1 WHERE path = 'docs/old.md'", []).unwrap();
    let refused = repo.tomb(&["doctor", "--continue"]).exits(4).stderr_text();
    assert!(refused.contains("legal hold") && refused.contains("doctor --abort"), "{refused}");
    repo.tomb_ok(&["cat", SECRET]);
    repo.tomb_ok(&["doctor", "--abort"]);
    repo.tomb_ok(&["hold", "release", SECRET, "--reason", "Nobody knows who set it"]);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
}

#[test]
fn what_can_only_be_finished_is_not_offered_to_be_undone() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.commit("request");
    let undo = "doctor --abort";
    for (point, arguments, offered) in [
        ("lock", &purge(SECRET, &["--apply"])[..], true),
        ("purge-begun", &purge(SECRET, &["--apply"]), false),
        ("lock", HOLD, true),
        ("rows", HOLD, false),
    ] {
        let killed = repo.copy_to(&format!("{}-{point}", arguments[0]));
        assert!(kill_at(&killed, point, arguments), "{point}");
        for told in [killed.tomb(&["doctor"]).exits(1).stdout_text(), killed.tomb(&["list"]).stderr_text()] {
            assert!(told.contains("doctor --continue"), "{point}: {told}");
            assert_eq!(told.contains(undo), offered, "{point}: {told}");
        }
    }
}

#[test]
fn an_item_keeps_its_own_purge_when_its_content_is_purged_again() {
    let world = World::new();
    let repo = archived(&world);
    let first = repo.tombstone_at(SECRET);
    request(&repo, SECRET);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    repo.commit("purge");
    repo.write("again.md", format!("{}\n", repo.git(&["show", "HEAD~2:docs/old.md"]).trim_end()));
    repo.commit_all("again");
    repo.tomb_ok(&["store", "again.md", "--allow-purged"]);
    repo.commit("archive again");
    repo.tomb_ok(&["prune-request", "again.md", "--by", "Ada", "--reason", "Once more"]);
    repo.tomb_ok(&["purge", "again.md", "--by", "Cy", "--second", "Dee", "--reason", "Once more", "--apply"]);
    repo.commit("purge again");
    let mine = "approved by `Ada <ada@example.org>` and `Bob <bob@example.org>` (Contains PII)";
    let manifest = format!(r#"[{{"tombstone": "{first}", "output": "out.md"}}]"#);
    repo.write("manifest.json", manifest);
    for arguments in
        [&["cat", SECRET][..], &["restore", "docs"], &["restore", SECRET], &["batch-restore", "manifest.json"]]
    {
        let refused = repo.tomb(arguments).exits(4);
        assert!(refused.stderr_text().contains(mine), "{arguments:?}: {refused}");
    }
    let refused = repo.tomb(&["cat", "again.md"]).exits(4);
    assert!(refused.stderr_text().contains("`Cy` and `Dee` (Once more)"), "{refused}");
}

#[test]
fn a_dry_run_refuses_what_a_store_refuses() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    repo.commit("purge");
    repo.write("again.md", format!("{}\n", repo.git(&["show", "HEAD~2:docs/old.md"]).trim_end()));
    repo.write("more.md", "more\n");
    repo.commit_all("again");
    repo.write("manifest.json", r#"[{"path": "again.md"}, {"path": "more.md"}]"#);
    for arguments in [&["store", "again.md", "more.md"][..], &["batch-store", "manifest.json"]] {
        let dry = repo.tomb(&[arguments, &["--dry-run"]].concat()).exits(4);
        let wet = repo.tomb(arguments).exits(4);
        let told = |text: String| text.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
        assert_eq!(told(dry.stderr_text()), told(wet.stderr_text()));
        assert!(
            dry.stdout.is_empty() && dry.stderr_text().contains("`again.md` holds bytes that were destroyed"),
            "{dry}"
        );
        repo.tomb_ok(&[arguments, &["--dry-run", "--allow-purged"]].concat());
    }
}

#[test]
fn a_purge_that_lost_its_clone_is_ended_by_another() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.commit("request");
    assert!(kill_at(&repo, "purge-begun", &purge(SECRET, &["--apply"])));
    std::fs::remove_dir_all(repo.path.join(".git/archive-tomb/operations")).unwrap();
    let refused = repo.tomb(&["cat", SECRET]).exits(4);
    assert!(refused.stderr_text().contains("the bytes are being destroyed since"), "{refused}");
    // This clone, without its journal.
    let own = repo.sibling("own");
    assert_shown!(&world, own.tomb(&["doctor"]), @r"
    exit: 1
    ----- stdout -----
    error: the purge of item [uuid], begun [time] by Ada <ada@example.org> and Bob <bob@example.org>, did not come to its end: bytes may be left
      mend: git archive-tomb doctor --continue
    warning: hooks are missing or out of date
      mend: git archive-tomb hooks install
    ----- stderr -----
    1 error
    ");
    assert_shown!(&world, own.tomb(&["doctor", "--continue"]), @r"
    exit: 0
    ----- stderr -----
    ended the purge of item [uuid]; its evidence is staged
    hint: what git still has of it: `git archive-tomb show [uuid] --residue`
    hint: what the archive's storage keeps for a while is listed in docs/governance.md
    ");
    assert_eq!(events(&own, "PURGE").len(), 1);
    own.commit("purge");
    own.tomb_ok(&["verify", "--all", "--deep"]);
    own.tomb_ok(&["doctor"]);
    // Another one that uses the archive.
    std::fs::remove_file(repo.path.join(".git/archive-tomb/origin")).unwrap();
    assert_shown!(&world, repo.tomb(&["doctor", "--continue"]), @r"
    exit: 0
    ----- stderr -----
    destroyed the bytes of item [uuid], whose purge another clone began; its evidence is made there
    hint: what git still has of it: `git archive-tomb show [uuid] --residue`
    hint: what the archive's storage keeps for a while is listed in docs/governance.md
    ");
    repo.tomb_ok(&["doctor"]);
    let _ = repo.tomb(&["cat", SECRET]).exits(4);
}

/// One clone is stopped, another one ends its purge, and the content comes back: nothing of the request can be used again, and
/// the first clone's evidence says the same as if it had not been stopped.
#[test]
fn a_purge_that_another_clone_ended_is_told_and_its_request_is_used() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    for by in ["Ada <ada@example.org>", "Bob <bob@example.org>"] {
        repo.tomb_ok(&["approve", SECRET, "--by", by]);
    }
    repo.commit("request");
    let tombstone = repo.tombstone_at(SECRET);
    for point in ["purge-begun", "bytes"] {
        let here = repo.copy_to(&format!("here-{point}"));
        assert!(kill_at(&here, point, &purge(SECRET, &["--apply"])));
        here.git(&["clone", "-q", ".", &format!("../there-{point}")]);
        let archive = here.path.join(".git/archive-tomb/archive.sqlite");
        let there =
            world.at(&format!("there-{point}")).with("CODEX_ARCHIVE_URL", format!("sqlite:///{}", archive.display()));
        let ended = there.tomb_ok(&["doctor", "--continue"]).stderr_text();
        assert!(ended.contains("whose purge another clone began"), "{ended}");
        let told = events(&here, "PURGE");
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["tombstone"], tombstone.as_str());
        assert_eq!(told[0]["second"], "Bob <bob@example.org>");

        // The same item, from the commit that it was archived from.
        there.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
        there.git(&["switch", "-q", "--detach", "HEAD~2"]);
        there.tomb_ok(&["store", SECRET, "--allow-purged"]);
        assert_eq!(there.tombstone_at(SECRET), tombstone);
        there.commit("back");
        let replay = ["purge", SECRET, "--by", "Eve <eve@example.org>", "--reason", "Replay", "--apply"];
        let refused = there.tomb(&replay).exits(4).stderr_text();
        assert!(refused.contains("request"), "{refused}");
        there.tomb_ok(&["cat", SECRET]);

        here.tomb_ok(&["doctor", "--continue"]);
        there.tomb_ok(&["cat", SECRET]);
        let records = logged(&here, "PURGE");
        assert!(records.iter().any(|record| record["status"] == "done" && record["tombstone"] == tombstone.as_str()));
        here.commit("purge");
        here.tomb_ok(&["evidence", "verify"]);
        here.tomb_ok(&["doctor"]);
        let told = here.tomb_ok(&["show", &tombstone]).stdout_text();
        assert_eq!(told.matches("PURGE").count(), 1, "{told}");
        let archive = rusqlite::Connection::open(archive).unwrap();
        let purges: i64 = archive.query_row("SELECT count(*) FROM purged", [], |row| row.get(0)).unwrap();
        assert_eq!(purges, 1);
    }
}

#[test]
fn a_reader_in_the_way_leaves_it_unfinished_and_later_it_is_finished() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.commit("request");
    let reader = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM item;").unwrap();
    let count: i64 = reader.query_row("SELECT count(*) FROM item", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 3);
    assert_shown!(&world, repo.tomb(&purge(SECRET, &["--apply"])), @r"
    exit: 1
    ----- stderr -----
    error: operation [uuid] is unfinished
      caused by: another program that reads the archive keeps destroyed bytes from going
    hint: let other programs close the archive
    hint: finish it: `git archive-tomb doctor --continue`
    ");
    let _ = repo.tomb(&["cat", SECRET]).exits(4);
    let _ = repo.tomb(&["doctor", "--abort"]).exits(1);
    let _ = repo.tomb(&["doctor", "--continue"]).exits(1);
    let report = &repo.tomb_ok(&["report", "--governance", "--json"]).json()[0];
    assert_eq!(report["unfinished"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["requests"].as_array().unwrap().len(), 0, "its request is used: {report}");
    reader.execute_batch("COMMIT").unwrap();
    assert_shown!(&world, repo.tomb(&["doctor", "--continue"]), @r"
    exit: 0
    ----- stderr -----
    hint: what git still has of it: `git archive-tomb show [uuid] --residue`
    hint: what the archive's storage keeps for a while is listed in docs/governance.md
    finished operation [uuid]
    ");
    assert_eq!(events(&repo, "PURGE").len(), 1);
    repo.commit("purge");
    repo.tomb_ok(&["verify", "--all", "--deep"]);
}

#[test]
fn no_file_of_the_archive_has_the_bytes_any_more() {
    let world = World::new();
    let repo = world.sample("project");
    let cards = (0..400).map(|number| format!("card {}", 4_000_000_000_i64 + number * 7_919));
    let secret = cards.collect::<Vec<_>>().join("\n");
    repo.write("secret.txt", &secret);
    repo.commit_all("secret");
    repo.tomb_ok(
        &["store", "secret.txt", "docs", "--style", "comment"]
            .map(|text| if text == "--style" { "--stub" } else { text }),
    );
    repo.commit("archive");
    request(&repo, "secret.txt");
    repo.tomb_ok(&purge("secret.txt", &["--apply"]));
    for entry in std::fs::read_dir(repo.path.join(".git/archive-tomb")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        assert!(memchr::memmem::find(&bytes, &secret.as_bytes()[500..564]).is_none(), "{}", path.display());
    }
    repo.tomb_ok(&["cat", SECRET]);
}

#[test]
fn a_purged_item_is_handed_out_by_nobody_not_even_from_history() {
    let world = World::new();
    let repo = archived(&world);
    let tombstone = repo.tombstone_at(SECRET);
    request(&repo, SECRET);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    repo.commit("purge");
    repo.write("manifest.json", format!(r#"[{{"tombstone": "{tombstone}", "output": "batch.md"}}]"#));
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    clone.write("manifest.json", repo.read("manifest.json"));
    for repo in [&repo, &clone] {
        for way in [
            &["cat", SECRET][..],
            &["diff", SECRET],
            &["restore", SECRET],
            &["restore", SECRET, "out.md"],
            &["restore", SECRET, "--branch", "back"],
            &["batch-restore", "manifest.json"],
        ] {
            let refused = repo.tomb(way).exits(4);
            let text = refused.stderr_text();
            assert!(
                text.contains("destroyed on") && text.contains("Ada") && text.contains("Contains PII"),
                "{way:?}: {refused}"
            );
        }
        assert!(!repo.exists("out.md") && !repo.exists("batch.md"));
        repo.tomb_ok(&["restore", "--from", "history", SECRET, "out.md"]);
    }
    let exported = repo.tomb(&["export", "../exported"]).exits(0);
    assert!(exported.stderr_text().contains("3 items"), "{exported}");
    let found = Command::new("grep").args(["-r", "Nobody reads this"]).arg(world.at("exported").path).status().unwrap();
    assert_eq!(found.code(), Some(1));
}
