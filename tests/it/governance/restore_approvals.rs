//! `governance.restore_approvals`: bytes are handed out to nobody without them, whichever way they are asked for.

use super::commands::{SECRET, archived, events};
use crate::common::{Repo, World, assert_shown};

/// Returns a repository whose configuration asks for two approvals.
fn guarded(world: &World) -> Repo<'_> {
    let repo = archived(world);
    repo.git(&["config", "archivetomb.governance.restoreApprovals", "2"]);
    repo
}

fn approve(repo: &Repo<'_>, target: &str, by: &str) {
    repo.tomb_ok(&["approve", target, "--for", "restore", "--by", by]);
}

/// Every way to get at the bytes of `docs/old.md`.
const WAYS: &[&[&str]] = &[
    &["restore", SECRET],
    &["restore", SECRET, "out.md"],
    &["restore", SECRET, "-"],
    &["restore", SECRET, "--branch", "back"],
    &["restore", "--from", "history", SECRET, "out.md"],
    &["restore", "docs"],
    &["cat", SECRET],
    &["diff", SECRET],
    &["grep", "Nobody", "--path", "docs"],
    &["batch-restore", "manifest.json"],
    &["batch-restore", "manifest.json", "--branch", "back"],
];

#[test]
fn nothing_is_handed_out_without_approvals_and_all_of_it_with_them() {
    let world = World::new();
    let base = guarded(&world);
    let tombstone = base.tombstone_at(SECRET);
    base.write("manifest.json", format!(r#"[{{"tombstone": "{tombstone}", "output": "batch/old.md"}}]"#));
    let clone = {
        base.git(&["clone", "-q", ".", "../clone"]);
        let clone = world.at("clone");
        clone.git(&["config", "archivetomb.governance.restoreApprovals", "2"]);
        clone
    };
    assert_shown!(&world, base.tomb(&["cat", SECRET]), @r"
    exit: 4
    ----- stderr -----
    error: item [uuid] is handed out with approvals only
      caused by: 0 of 2 approvals
    hint: whoever is to approve runs `git archive-tomb approve [uuid] --for restore`
    ");
    let all = |repo: &Repo<'_>, code| {
        for way in WAYS {
            let before = repo.look();
            let run = repo.tomb(way).exits(code);
            if code == 4 {
                assert!(run.stdout.is_empty() && run.stderr_text().contains("of 2 approvals"), "{way:?}: {run}");
                assert_eq!(repo.look(), before, "{way:?}");
            }
            repo.git(&["reset", "-q", "--hard"]);
            let _ = repo.try_git(&["branch", "-q", "-D", "back"]);
            for path in ["out.md", "batch/old.md"] {
                let _ = std::fs::remove_file(repo.path.join(path));
            }
        }
    };
    all(&base, 4);
    let _ = base.tomb(&["export", "../exported"]).exits(4);
    let _ = clone.tomb(&["cat", SECRET]).exits(4);
    let _ = clone.tomb(&["restore", SECRET]).exits(4);
    approve(&base, SECRET, "Ada <ada@example.org>");
    approve(&base, SECRET, "ADA <Ada@Example.org>");
    base.commit("approve");
    all(&base, 4);
    approve(&base, SECRET, "Bob");
    base.commit("approve");
    all(&base, 0);
    let records = events(&base, "RESTORE");
    for command in ["cat", "diff", "grep"] {
        let of_it: Vec<_> = records.iter().filter(|record| record["name"] == command).collect();
        assert!(!of_it.is_empty() && of_it.iter().all(|record| record["output"].is_null()), "{command}: {of_it:?}");
    }
    // Of one item, and not of its neighbours.
    let _ = base.tomb(&["cat", "src/legacy/old.py"]).exits(4);
    let _ = base.tomb(&["grep", "Nobody"]).exits(4);
    let refused = base.tomb(&["restore", "."]).exits(4);
    assert!(refused.stderr_text().contains("2 items are not handed out"), "{refused}");
}

#[test]
fn whoever_asks_may_be_kept_from_approving() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["config", "archivetomb.governance.restoreApprovals", "1"]);
    repo.git(&["config", "archivetomb.governance.requesterMayApprove", "false"]);
    approve(&repo, SECRET, "Ada");
    let refused = repo.tomb(&["restore", SECRET, "out.md", "--by", "ada"]).exits(4);
    assert!(refused.stderr_text().contains("0 of 1 approvals"), "{refused}");
    repo.tomb_ok(&["restore", SECRET, "out.md", "--by", "Bob"]);
}

#[test]
fn an_export_is_on_record_as_whoever_is_named() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["config", "archivetomb.governance.restoreApprovals", "1"]);
    for target in [SECRET, "src/legacy/old.py"] {
        approve(&repo, target, "Ada");
    }
    let rest = repo.tomb_ok(&["list", "--json"]).stdout_text();
    for item in rest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        approve(&repo, item["tombstone"].as_str().unwrap(), "Ada");
    }
    repo.tomb_ok(&["export", "../exported", "--by", "Carol"]);
    let records = events(&repo, "RESTORE");
    assert!(!records.is_empty());
    for record in &records {
        assert_eq!((&record["actor"], &record["name"]), (&"Carol".into(), &"export".into()), "{record}");
    }
}

#[test]
fn a_batch_that_carries_on_leaves_out_what_is_not_approved() {
    let world = World::new();
    let repo = guarded(&world);
    approve(&repo, SECRET, "Ada");
    approve(&repo, SECRET, "Bob");
    let rows = [SECRET, "src/legacy/old.py"].map(|path| {
        format!(r#"{{"tombstone": "{}", "output": "batch/{}"}}"#, repo.tombstone_at(path), path.replace('/', "-"))
    });
    repo.write("manifest.jsonl", rows.join("\n"));
    let run = repo.tomb(&["batch-restore", "manifest.jsonl", "--continue-on-error"]).exits(1);
    assert!(run.stderr_text().contains("it is not handed out: 0 of 2 approvals"), "{run}");
    assert!(repo.exists("batch/docs-old.md") && !repo.exists("batch/src-legacy-old.py"));
}
