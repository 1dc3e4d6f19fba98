//! Many items at once: what is checked first, what comes back, what is recorded, and what a stop leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::common::{Repo, Run, World, assert_shown};
use crate::databases::{self, Database};

/// A repository whose files of `src/legacy` and `docs` are archived and committed; their tombstones by path.
fn archived(world: &World) -> (Repo<'_>, BTreeMap<String, String>) {
    let repo = world.sample("app");
    symlink("old.py", repo.path.join("src/legacy/link")).unwrap();
    repo.commit_all("a link");
    let stored = repo.tomb_ok(&["store", "docs", "src/legacy"]).json();
    repo.commit("archive");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let tombstones = stored.iter().map(|row| (text(row, "path"), text(row, "tombstone"))).collect();
    (repo, tombstones)
}

/// Writes a manifest that puts each item below `folder`, and returns the rows.
fn manifest(repo: &Repo<'_>, tombstones: &BTreeMap<String, String>, folder: &str) -> Vec<Value> {
    let row = |(path, tombstone)| json!({"tombstone": tombstone, "output": format!("{folder}/{path}")});
    let rows: Vec<Value> = tombstones.iter().map(row).collect();
    repo.write("manifest.json", json!({"items": rows}).to_string());
    rows
}

/// Returns a results file.
fn results(repo: &Repo<'_>, path: &str) -> Value {
    serde_json::from_slice(&repo.read(path)).unwrap()
}

/// Returns the one results file that is named by the time.
fn default_results(repo: &Repo<'_>) -> String {
    let names = repo.tree().into_keys().filter(|name| name.starts_with("batch_restore_"));
    let names: Vec<_> = names.collect();
    let [name] = &names[..] else { panic!("{names:?}") };
    assert_eq!((name.len(), &name[name.len() - 5..]), ("batch_restore_20251017_132236.json".len(), ".json"));
    name.clone()
}

/// Returns the statuses in a results file.
fn statuses(results: &Value) -> Vec<&str> {
    results["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap()).collect()
}

/// Returns the records in the operations log that one of `actions` made.
fn records(repo: &Repo<'_>, actions: &[&str]) -> Vec<Value> {
    let text = repo.read_text(".git/archive-tomb/archive_ops.jsonl");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| actions.contains(&record["action"].as_str().unwrap())).collect()
}

/// Returns what stands at the paths of `tombstones` below `folder`, mode and all.
fn restored(repo: &Repo<'_>, folder: &str) -> BTreeMap<String, String> {
    let tree = repo.below(folder).tree();
    tree.into_iter().filter(|(_, content)| content != "folder").collect()
}

/// Returns what the archived files were.
fn originals(repo: &Repo<'_>) -> BTreeMap<String, String> {
    let copy = repo.sibling("original");
    copy.git(&["checkout", "-q", "HEAD^", "--", "."]);
    let mut tree = copy.tree();
    tree.retain(|path, content| content != "folder" && (path.starts_with("docs/") || path.starts_with("src/legacy/")));
    std::fs::remove_dir_all(copy.path).unwrap();
    tree
}

#[test]
fn all_items_come_back_where_the_manifest_says() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let index = repo.look().index;
    let run = repo.tomb(&["batch-restore", "manifest.json", "--by", "ops", "--results", "results.json"]);
    assert_shown!(&world, run, @r#"
    exit: 0
    ----- stdout -----
    Batch Restore Complete:
      ✓ Succeeded: 4
      ✗ Failed: 0
      Total Time: [ms]
    Results saved to: results.json
    ----- stderr -----
    Processing 4 items from manifest...
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"ops","backend":"sqlite","message":"Batch restore of 4 items started"}
    Progress: 4/4 (100%)
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"ops","duration_ms":[n],"backend":"sqlite","message":"Batch restore ended: 4 succeeded, 0 failed, 0 skipped"}
    "#);
    assert_eq!(restored(&repo, "out"), originals(&repo));
    assert_eq!(repo.look().index, index);

    let results = results(&repo, "results.json");
    assert_eq!(statuses(&results), ["success"; 4]);
    let first = &results["items"][0];
    assert_eq!(first["item"], json!({"tombstone": tombstones["docs/old.md"], "output": "out/docs/old.md"}));
    assert!(first["duration_ms"].is_number() && first["decompression_ms"].is_number() && first["write_ms"].is_number());
    assert_eq!((&first["attempts"], &first["error"]), (&json!(1), &Value::Null));

    let done = records(&repo, &["RESTORE"]);
    let outputs: BTreeSet<_> = done.iter().map(|record| record["output"].as_str().unwrap()).collect();
    assert_eq!((done.len(), outputs.len()), (4, 4));
    assert!(done.iter().all(|record| record["op"] == results["op"] && record["actor"] == "ops"));
    let batch = records(&repo, &["BATCH_RESTORE"]);
    let told: Vec<_> = batch.iter().map(|record| (&record["status"], &record["count"])).collect();
    assert_eq!(told, [(&json!("intent"), &json!(4)), (&json!("done"), &json!(4))]);
    // The archive has the same records, and knows that the items were given back.
    let shown = repo.tomb_ok(&["show", &tombstones["docs/old.md"], "--json"]).stdout_text();
    assert!(shown.contains("\"restored_at\":\"") && shown.contains("\"RESTORE\""), "{shown}");
}

#[test]
fn what_is_there_already_is_a_success_and_is_not_written_again() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    repo.tomb_ok(&["batch-restore", "manifest.json", "--results", "results.json"]);
    let before = std::fs::metadata(repo.path.join("out/docs/old.md")).unwrap().modified().unwrap();
    let run = repo.tomb(&["batch-restore", "manifest.json", "--results", "results.json", "--json"]);
    assert_shown!(&world, run, @r#"
    exit: 0
    ----- stdout -----
    {"total":4,"succeeded":4,"failed":0,"skipped":0,"total_duration_ms":[n],"results":"results.json"}
    ----- stderr -----
    Processing 4 items from manifest...
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","backend":"sqlite","message":"Batch restore of 4 items started"}
    Progress: 4/4 (100%)
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Batch restore ended: 4 succeeded, 0 failed, 0 skipped"}
    "#);
    assert_eq!(std::fs::metadata(repo.path.join("out/docs/old.md")).unwrap().modified().unwrap(), before);
    assert_eq!(records(&repo, &["RESTORE"]).len(), 4);
}

#[test]
fn a_dry_run_checks_the_manifest_and_touches_nothing() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let before = repo.look();
    // Not even the archive: there is none at this place.
    let nowhere = repo.with("CODEX_ARCHIVE_URL", "sqlite:////nowhere/archive.sqlite");
    let run = nowhere.tomb(&["batch-restore", "manifest.json", "--dry-run"]);
    assert_shown!(&world, run, @"
    exit: 0
    ----- stdout -----
    Manifest valid: 4 items; nothing was restored
    ");
    assert_eq!(repo.look(), before);
    assert!(records(&repo, &["RESTORE", "BATCH_RESTORE"]).is_empty());
}

#[test]
fn everything_that_is_wrong_is_told_at_once_before_anything_is_written() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let item = &tombstones["docs/old.md"];
    let before = repo.look();
    let refused = |text: &str| {
        let run = repo.tomb_with_input(&["batch-restore", "-"], text.as_bytes());
        assert_eq!(repo.look(), before);
        run
    };
    let shape = format!("tombstone,output,actor\nxyz,a,\n{item},,\n{item},b\n{},c,\n", item.to_uppercase());
    assert_shown!(&world, refused(&shape), @"
    exit: 2
    ----- stderr -----
    error: the manifest has 4 mistakes
      caused by: row 1 (line 2): `tombstone` is not a whole tombstone (`git archive-tomb list` prints them)
      caused by: row 2 (line 3): `output` is missing
      caused by: row 3 (line 4): the row has 2 cells, the header 3
      caused by: row 4 (line 5): `tombstone` is not a whole tombstone (`git archive-tomb list` prints them)
    ");
    let rows = ["a", "../b", "./a", "a/b", ".git/hooks/pre-commit", ".codex/archive.toml", "/etc", "x/"];
    let row = |output: &&str| json!({"tombstone": item, "output": output}).to_string();
    let outputs = rows.iter().map(row).collect::<Vec<_>>().join("\n");
    assert_shown!(&world, refused(&outputs), @"
    exit: 2
    ----- stderr -----
    error: the manifest has 6 mistakes
      caused by: row 2 (line 2): the output leaves its folder
      caused by: row 3 (line 3): the output is that of row 1 too
      caused by: row 4 (line 4): the output is below that of row 1, which is a file
      caused by: row 5 (line 5): the output leads into `.git`
      caused by: row 6 (line 6): the output leads into `.codex`
      caused by: row 8 (line 8): the output is a folder, not a file
    ");
    let unknown = item.replace(|digit: char| digit.is_ascii_digit(), "0");
    let unknown =
        format!("{}\n{}\n", json!({"tombstone": item, "output": "a"}), json!({"tombstone": unknown, "output": "b"}));
    assert_shown!(&world, refused(&unknown), @"
    exit: 3
    ----- stderr -----
    error: 1 item of the manifest cannot be found
      caused by: row 2 (line 2): no item has the tombstone [uuid]
    hint: take the rows out, or bring back the others with `--continue-on-error`
    ");
    assert!(records(&repo, &["RESTORE", "BATCH_RESTORE"]).is_empty());
}

#[test]
fn the_first_failure_stops_what_is_left_unless_it_is_to_carry_on() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    repo.write("out/docs/old.md", "somebody's");
    let stopped = repo.tomb(&["batch-restore", "manifest.json", "--results", "stopped.json", "--max-concurrent", "1"]);
    assert_shown!(&world, stopped, @r#"
    exit: 1
    ----- stdout -----
    Batch Restore Complete:
      ✓ Succeeded: 0
      ✗ Failed: 1
      - Skipped: 3
      Total Time: [ms]
    Results saved to: stopped.json
    ----- stderr -----
    Processing 4 items from manifest...
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","backend":"sqlite","message":"Batch restore of 4 items started"}
    [ERROR] Item 1 failed: `[world]/app/out/docs/old.md` exists and is not the item
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Batch restore ended: 0 succeeded, 1 failed, 3 skipped"}
    hint: go on with `git archive-tomb batch-restore manifest.json --resume stopped.json`
    "#);
    let first = results(&repo, "stopped.json");
    assert_eq!(statuses(&first), ["failed", "skipped", "skipped", "skipped"]);
    assert_eq!(repo.read_text("out/docs/old.md"), "somebody's");

    let on = repo.tomb(&["batch-restore", "manifest.json", "--results", "on.json", "--continue-on-error"]);
    assert_shown!(&world, on, @r#"
    exit: 1
    ----- stdout -----
    Batch Restore Complete:
      ✓ Succeeded: 3
      ✗ Failed: 1
      Total Time: [ms]
    Results saved to: on.json
    ----- stderr -----
    Processing 4 items from manifest...
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","backend":"sqlite","message":"Batch restore of 4 items started"}
    [ERROR] Item 1 failed: `[world]/app/out/docs/old.md` exists and is not the item
    Progress: 4/4 (100%)
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Batch restore ended: 3 succeeded, 1 failed, 0 skipped"}
    hint: go on with `git archive-tomb batch-restore manifest.json --resume on.json --continue-on-error`
    "#);
    let second = results(&repo, "on.json");
    assert_eq!(statuses(&second), ["failed", "success", "success", "success"]);
    assert_eq!(second["summary"]["failed"], 1);
    let failed = records(&repo, &["RESTORE_FAIL"]);
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|record| record["tombstone"] == tombstones["docs/old.md"].as_str()));

    // With the obstacle gone, going on does what is left and nothing else.
    std::fs::remove_file(repo.path.join("out/docs/old.md")).unwrap();
    repo.tomb_ok(&["batch-restore", "manifest.json", "--resume", "on.json"]);
    let third = results(&repo, "on.json");
    assert_eq!(statuses(&third), ["success"; 4]);
    assert_eq!(third["op"], second["op"]);
    assert_eq!(restored(&repo, "out"), originals(&repo));
    assert_eq!(records(&repo, &["RESTORE"]).len(), 4);
}

#[test]
fn unknown_items_fail_by_themselves_where_it_is_to_carry_on() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let unknown = "00000000-0000-5000-8000-000000000000";
    let rows = format!("tombstone,output\n{unknown},a\n{},b\n", tombstones["docs/old.md"]);
    repo.write("manifest.csv", rows);
    let run = repo.tomb(&["batch-restore", "manifest.csv", "--continue-on-error", "--results", "r.json"]);
    assert_shown!(&world, run, @r#"
    exit: 1
    ----- stdout -----
    Batch Restore Complete:
      ✓ Succeeded: 1
      ✗ Failed: 1
      Total Time: [ms]
    Results saved to: r.json
    ----- stderr -----
    Processing 2 items from manifest...
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","backend":"sqlite","message":"Batch restore of 2 items started"}
    [ERROR] Item 1 failed: tombstone not found
    Progress: 2/2 (100%)
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Batch restore ended: 1 succeeded, 1 failed, 0 skipped"}
    hint: go on with `git archive-tomb batch-restore manifest.csv --resume r.json --continue-on-error`
    "#);
    assert_eq!(statuses(&results(&repo, "r.json")), ["failed", "success"]);
}

#[test]
fn a_later_row_may_be_the_first() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let run = repo.tomb(&["batch-restore", "manifest.json", "--resume-from", "3"]);
    let name = default_results(&repo);
    assert!(run.stderr_text().contains("Progress: 4/4 (100%)"), "{run}");
    assert_eq!(statuses(&results(&repo, &name)), ["skipped", "skipped", "success", "success"]);
    assert_eq!(run.code, Some(0));
    repo.tomb(&["batch-restore", "manifest.json", "--resume-from", "5"]).exits(2);
    repo.tomb(&["batch-restore", "manifest.json", "--resume-from", "0"]).exits(2);
}

#[test]
fn rows_name_their_own_actors() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let (one, other) = (&tombstones["docs/old.md"], &tombstones["src/legacy/old.py"]);
    let rows = json!([
        {"tombstone": one, "output": "a", "actor": " alice "},
        {"tombstone": other, "output": "b", "actor": null},
    ]);
    let run = repo.tomb_with_input(&["batch-restore", "-", "--actor", "ops"], rows.to_string().as_bytes());
    assert_eq!(run.code, Some(0), "{run}");
    let actors: BTreeSet<_> =
        records(&repo, &["RESTORE"]).iter().map(|record| record["actor"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actors, BTreeSet::from(["alice".to_owned(), "ops".to_owned()]));
}

#[test]
fn outputs_go_below_the_root_and_files_are_never_overwritten() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let root = world.at("elsewhere");
    let root_path = root.path.to_str().unwrap();
    repo.tomb_ok(&["batch-restore", "manifest.json", "--output-root", root_path, "--results", "r.json"]);
    assert_eq!(restored(&root, "out"), originals(&repo));
    assert!(!repo.exists("out"));

    repo.write("mine.json", "{}");
    let before = repo.look();
    for mine in ["mine.json", "README.md", "src"] {
        repo.tomb(&["batch-restore", "manifest.json", "--results", mine]).exits(2);
    }
    repo.tomb(&["batch-restore", "manifest.json", "--results", "out/docs/old.md"]).exits(2);
    assert_eq!(repo.look(), before);
}

#[test]
fn items_that_only_history_has_come_back_too() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    repo.git(&["clone", "-q", ".", "../clone"]);
    let clone = world.at("clone");
    manifest(&clone, &tombstones, "out");
    clone.tomb_ok(&["batch-restore", "manifest.json", "--results", "r.json"]);
    assert_eq!(restored(&clone, "out"), originals(&repo));
    assert!(records(&clone, &["RESTORE"]).iter().all(|record| record["source"] == "history"));
    assert!(!clone.exists(".git/archive-tomb/archive.sqlite"));
}

#[test]
fn a_batch_goes_on_only_with_its_own_manifest() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    repo.tomb_ok(&["batch-restore", "manifest.json", "--results", "r.json"]);
    let text = repo.read_text("r.json");
    let refused = |text: &str| -> Run {
        repo.write("hostile.json", text);
        let run = repo.tomb(&["batch-restore", "manifest.json", "--resume", "hostile.json"]).exits(2);
        assert_eq!(repo.read_text("hostile.json"), text);
        run
    };
    for text in [
        "",
        "[]",
        "{}",
        "null",
        &text[..text.len() / 2],
        &text.replace("archive-batch-restore/1", "archive-batch-restore/2"),
        &text.replacen("\"success\"", "\"done\"", 1),
        &text.replacen("out/docs", "out/other", 1),
        &text.replace("\"first_row\":1", "\"first_row\":9"),
        &text.replace("\"attempts\":1", "\"attempts\":-1"),
        &"[".repeat(100_000),
    ] {
        refused(text);
    }
    manifest(&repo, &tombstones, "other");
    assert!(refused(&text).stderr_text().contains("does not belong to this manifest"));
    repo.tomb(&["batch-restore", "manifest.json", "--resume", "nowhere.json"]).exits(2);
}

/// How many times the batch is killed, and how many items it has. The issue's own run is 200 kills of 2,000 items.
fn kills() -> (usize, usize) {
    match std::env::var("ARCHIVE_TOMB_KILLS") {
        Ok(kills) => (kills.parse().unwrap(), 2000),
        Err(_) => (6, 60),
    }
}

/// Looks at the outputs and the results file over and over while a batch runs: what is there is whole.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, usize)>,
}

impl Watcher {
    fn start(repo: &Repo<'_>, expected: BTreeMap<PathBuf, Vec<u8>>, results: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (stopped, results) = (Arc::clone(&stop), repo.path.join(results));
        let thread = std::thread::spawn(move || {
            let (mut outputs_seen, mut results_seen) = (0, 0);
            let (mut names, mut last) = (expected.keys().collect::<Vec<_>>(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                fastrand::shuffle(&mut names);
                for path in names.iter().take(50) {
                    if let Ok(bytes) = std::fs::read(path) {
                        assert_eq!(bytes, expected[*path], "{} is partial", path.display());
                        outputs_seen += 1;
                    }
                }
                if let Ok(text) = std::fs::read(&results)
                    && text != last
                {
                    let value: Value = serde_json::from_slice(&text).expect("the results are whole");
                    assert_eq!(value["items"].as_array().map(Vec::len), Some(expected.len()));
                    results_seen += 1;
                    last = text;
                }
                // The others need the processor too.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            (outputs_seen, results_seen)
        });
        Self { stop, thread }
    }

    /// Returns how many outputs and how many results were looked at.
    fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "the long run reports its figures")]
fn killed_at_random_and_resumed_nothing_is_repeated_and_nothing_missed() {
    let (kills, items) = kills();
    let world = World::new();
    let repo = world.init("app");
    for number in 0..items {
        // Some large enough that writing them takes a while.
        let lines = if number % 200 == 0 { 20_000 } else { 1 + number % 40 };
        repo.write(format!("src/d{}/f{number}.py", number % 40), format!("value_{number} = {number}\n").repeat(lines));
    }
    repo.commit_all("first");
    let stored = repo.tomb_ok(&["store", "src"]).json();
    let row = |stored: &Value| json!({"tombstone": stored["tombstone"], "output": format!("out/{}", stored["path"].as_str().unwrap())});
    repo.write("manifest.json", Value::Array(stored.iter().map(row).collect()).to_string());
    let expected: BTreeMap<PathBuf, Vec<u8>> = stored
        .iter()
        .map(|stored| stored["path"].as_str().unwrap())
        .map(|path| {
            (repo.path.join("out").join(path), repo.try_git(&["cat-file", "blob", &format!("HEAD:{path}")]).stdout)
        })
        .collect();

    let watcher = Watcher::start(&repo, expected.clone(), "results.json");
    let (mut killed, mut runs, mut rounds) = (0, 0, 0);
    let mut longest = std::time::Duration::ZERO;
    while killed < kills {
        // A batch from its beginning: killed, resumed and killed again, until it comes to its end or has been killed enough.
        // The first one tells how long it takes.
        rounds += 1;
        let _ = std::fs::remove_dir_all(repo.path.join("out"));
        let _ = std::fs::remove_file(repo.path.join("results.json"));
        let _ = std::fs::remove_file(repo.path.join(".git/archive-tomb/archive_ops.jsonl"));
        loop {
            let begun = repo.exists("results.json");
            let option = if begun { "--resume" } else { "--results" };
            let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
            command.args(["batch-restore", "manifest.json", option, "results.json", "-q"]);
            let started = std::time::Instant::now();
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            runs += 1;
            if killed < kills && rounds > 1 {
                std::thread::sleep(longest.mul_f64(fastrand::f64() / 2.0));
                let _ = child.kill();
            }
            let run = Run::from(child.wait_with_output().unwrap());
            match run.code {
                None => killed += 1,
                Some(0) => {
                    longest = longest.max(started.elapsed());
                    break;
                }
                Some(_) => panic!("{run}"),
            }
        }
        assert_batch_is_whole(&repo, &expected);
    }
    let (outputs_seen, results_seen) = watcher.end();
    assert!(outputs_seen > 0 && results_seen > 0);
    eprintln!(
        "{items} items, killed {killed} times in {rounds} batches of {runs} runs; {outputs_seen} outputs and \
         {results_seen} results seen meanwhile, none of them partial"
    );
}

/// Asserts that every item is at its output, is recorded once, and that nothing else is there.
fn assert_batch_is_whole(repo: &Repo<'_>, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    let restored: BTreeMap<PathBuf, Vec<u8>> = restored(repo, "out")
        .into_keys()
        .map(|path| repo.path.join("out").join(path))
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert_eq!(restored.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert!(restored == *expected);
    let results = results(repo, "results.json");
    assert_eq!(statuses(&results), vec!["success"; expected.len()]);
    assert_eq!(results["summary"]["succeeded"], expected.len());
    let records = records(repo, &["RESTORE"]);
    let distinct: BTreeSet<_> = records.iter().map(|record| record["tombstone"].as_str().unwrap()).collect();
    assert_eq!((records.len(), distinct.len()), (expected.len(), expected.len()), "each item is recorded once");
    assert!(records.iter().all(|record| record["op"] == results["op"]));
    // The archive tells the same, each record once.
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let sql = "SELECT count(*) FROM event WHERE action = 'RESTORE' AND op = ?1";
    let events: isize = archive.query_row(sql, [results["op"].as_str().unwrap()], |row| row.get(0)).unwrap();
    assert_eq!(usize::try_from(events).unwrap(), expected.len());
    let left: Vec<_> = std::fs::read_dir(repo.path.join(".git/archive-tomb")).unwrap().flatten().collect();
    assert!(
        left.iter()
            .all(|entry| !entry.file_name().to_string_lossy().ends_with(".lock")
                || entry.file_name() == "operations.lock"),
        "{left:?}"
    );
}

#[test]
fn a_stop_at_any_point_is_resumed_to_the_end() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let originals = originals(&repo);
    for point in git_archive_tomb::fault::BATCH_POINTS {
        for signal in ["", "@INT"] {
            let _ = std::fs::remove_dir_all(repo.path.join("out"));
            let _ = std::fs::remove_file(repo.path.join("results.json"));
            let _ = std::fs::remove_file(repo.path.join(".git/archive-tomb/archive_ops.jsonl"));
            let arguments = ["batch-restore", "manifest.json", "--results", "results.json", "--max-concurrent", "2"];
            let stopped = repo.with("GIT_ARCHIVE_TOMB_FAULT", format!("{point}{signal}")).tomb(&arguments);
            let first = results(&repo, "results.json");
            assert_eq!(statuses(&first).len(), 4, "{point}{signal}");
            if signal.is_empty() {
                assert_eq!(stopped.code, None, "{point}: {stopped}");
            } else {
                // What was asked for too late is done.
                assert!(stopped.code == Some(130) || statuses(&first) == ["success"; 4], "{point}{signal}: {stopped}");
            }
            if stopped.code == Some(130) {
                let hint = "batch-restore manifest.json --resume results.json`";
                assert!(stopped.stderr_text().contains(hint), "{point}: {stopped}");
            }
            repo.tomb_ok(&["batch-restore", "manifest.json", "--resume", "results.json"]);
            let second = results(&repo, "results.json");
            assert_eq!((statuses(&second), &second["op"]), (vec!["success"; 4], &first["op"]), "{point}{signal}");
            assert_eq!(restored(&repo, "out"), originals, "{point}{signal}");
            assert_eq!(records(&repo, &["RESTORE"]).len(), 4, "{point}{signal}: each item is recorded once");
        }
    }
}

#[test]
fn all_items_come_back_in_one_commit_on_a_branch() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let (old, code) = (&tombstones["docs/old.md"], &tombstones["src/legacy/run.sh"]);
    repo.write("src/keep.py", "VALUE = 2\n");
    let before = repo.look();
    let manifest = format!("tombstone,output,actor\n{old},,alice\n{code},tools/run.sh,\n");
    std::fs::write(repo.world.at("manifest.csv").path, manifest).unwrap();
    let arguments = ["batch-restore", "../manifest.csv", "--branch", "back", "--results", "../results.json"];
    let run = repo.tomb(&arguments);
    assert_shown!(&world, run, @r#"
    exit: 0
    ----- stdout -----
    Batch Restore Complete:
      ✓ Succeeded: 2
      ✗ Failed: 0
      Total Time: [ms]
    Results saved to: ../results.json
    ----- stderr -----
    {"ts":"[time]","level":"info","action":"RESTORE","actor":"A Maintainer <maintainer@example.org>","backend":"sqlite","message":"Restore started"}
    {"ts":"[time]","level":"info","action":"RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Decompression completed in [ms]"}
    {"ts":"[time]","level":"info","action":"RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"File written in [ms]"}
    {"ts":"[time]","level":"info","action":"RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Restore completed in [ms]"}
    restored 2 files on the new branch `back`, in commit [short] on top of [short]
    hint: look at it: `git switch back`
    hint: the text of its pull request: `git archive-tomb pr-body --range [short]..back`
    "#);
    assert_eq!(repo.look(), before, "working tree and index are as they were");
    let changed = repo.git(&["diff", "--name-status", "HEAD", "back", "--", ".", ":(exclude).codex"]);
    assert_eq!(changed, "M\tdocs/old.md\nA\ttools/run.sh");
    assert!(repo.git(&["ls-tree", "back", "tools/run.sh"]).starts_with("100755 "));
    repo.tomb_ok(&["verify", "--range", "HEAD..back", "--strict", "--deep"]);
    let results = results(&repo, "../results.json");
    assert_eq!((statuses(&results), &results["branch"]), (vec!["success"; 2], &json!("back")));
    let actors: BTreeSet<_> =
        records(&repo, &["RESTORE"]).iter().map(|record| record["actor"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actors, BTreeSet::from(["alice".to_owned(), "A Maintainer <maintainer@example.org>".to_owned()]));
    let batch = records(&repo, &["BATCH_RESTORE"]);
    let told: Vec<_> = batch.iter().map(|record| (&record["status"], &record["count"], &record["op"])).collect();
    assert_eq!(told, [(&json!("intent"), &json!(2), &results["op"]), (&json!("done"), &json!(2), &results["op"])]);

    // All or nothing: the branch is there, an item is unknown, a path is taken.
    repo.tomb(&arguments).exits(1);
    let refused = |rows: &str, code: i32| {
        let run = repo.tomb_with_input(&["batch-restore", "-", "--branch", "other"], rows.as_bytes()).exits(code);
        assert_eq!(repo.look(), before);
        repo.try_git(&["rev-parse", "--verify", "-q", "other"]).exits(1);
        run
    };
    refused(&format!("tombstone,output\n{old},\n00000000-0000-5000-8000-000000000000,x\n"), 3);
    refused(&format!("tombstone,output\n{old},README.md\n"), 1);
    let run = refused("tombstone,output\n00000000-0000-5000-8000-000000000000,x\n", 3);
    assert!(run.stderr_text().ends_with("hint: take the rows out\n"), "{run}");
    assert_shown!(&world, refused(&format!("tombstone,output\n{old},x\n{code},./x\n{old},x/y\n"), 2), @"
    exit: 2
    ----- stderr -----
    error: the manifest has 2 mistakes
      caused by: row 2 (line 3): the output is that of row 1 too
      caused by: row 3 (line 4): the output is below that of row 1, which is a file
    ");
    assert_shown!(&world, refused(&format!("tombstone,output\n{old},../x\n{code},.git/x\nx,y\n"), 2), @"
    exit: 2
    ----- stderr -----
    error: the manifest has 3 mistakes
      caused by: row 1 (line 2): ../x is not a path inside a repository: it has an empty, `.` or `..` component
      caused by: row 2 (line 3): .git/x is not a path inside a repository: it leads into `.git`
      caused by: row 3 (line 4): `tombstone` is not a whole tombstone (`git archive-tomb list` prints them)
    ");
}

#[test]
fn every_backend_gives_back_the_same() {
    for kind in databases::KINDS {
        let world = World::new();
        let database = Database::new(*kind);
        let repo = world.sample("app").with("CODEX_ARCHIVE_URL", database.url());
        repo.tomb_ok(&["init", "--no-hooks"]);
        repo.commit_all("init");
        let stored = repo.tomb_ok(&["store", "docs", "src/legacy"]).json();
        repo.commit("archive");
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let tombstones = stored.iter().map(|row| (text(row, "path"), text(row, "tombstone"))).collect();
        manifest(&repo, &tombstones, "out");
        repo.write("out/docs/old.md", "somebody's");
        repo.tomb(&["batch-restore", "manifest.json", "--results", "r.json", "--continue-on-error"]).exits(1);
        std::fs::remove_file(repo.path.join("out/docs/old.md")).unwrap();
        repo.tomb_ok(&["batch-restore", "manifest.json", "--resume", "r.json"]);
        assert_eq!(restored(&repo, "out"), originals(&repo), "{kind:?}");
        let events: Vec<_> = repo.tomb_ok(&["show", &tombstones["docs/old.md"], "--json"]).json()[0]["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["action"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(events, ["ARCHIVE", "RESTORE_FAIL", "RESTORE"], "{kind:?}");
        repo.tomb_ok(&["health-check", "--deep"]);
    }
}

#[test]
fn only_one_process_at_a_time_goes_on_with_a_batch() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let mut command =
        repo.with("GIT_ARCHIVE_TOMB_FAULT", "batch-intent@STOP").command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    command.args(["batch-restore", "manifest.json", "--results", "r.json"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut stopped = command.spawn().unwrap();
    while !repo.exists(".git/archive-tomb/archive_ops.jsonl") || records(&repo, &["BATCH_RESTORE"]).is_empty() {
        assert!(stopped.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let run = repo.tomb(&["batch-restore", "manifest.json", "--resume", "r.json"]).exits(1);
    assert!(run.stderr_text().contains("this batch is running"), "{run}");
    // Nor are its results taken for another one.
    let run = repo.tomb(&["batch-restore", "manifest.json", "--results", "r.json"]).exits(1);
    assert!(run.stderr_text().contains("is that of a batch that was stopped"), "{run}");
    stopped.kill().unwrap();
    stopped.wait().unwrap();
    repo.tomb_ok(&["batch-restore", "manifest.json", "--resume", "r.json"]);
    assert_eq!(statuses(&results(&repo, "r.json")), ["success"; 4]);
}

#[test]
fn what_is_not_measured_is_null_and_recorded_all_the_same() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let unmeasured = repo.with("CODEX_ARCHIVE_PERFORMANCE_ENABLED", "false");
    unmeasured.tomb_ok(&["batch-restore", "manifest.json", "--results", "r.json"]);
    let results = results(&repo, "r.json");
    for key in ["duration_ms", "decompression_ms", "write_ms"] {
        assert_eq!(results["items"][0][key], Value::Null, "{key}");
    }
    let records = records(&repo, &["RESTORE"]);
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record.get("duration_ms").is_none()));
}

#[test]
fn nothing_is_given_out_where_that_takes_approvals() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let before = repo.look();
    for more in [&[][..], &["--branch", "back"]] {
        let strict = repo.with("CODEX_ARCHIVE_GOVERNANCE_RESTORE_APPROVALS", "1");
        strict.tomb(&[&["batch-restore", "manifest.json"], more].concat()).exits(4);
    }
    assert_eq!(repo.look(), before);
}

#[test]
fn progress_is_told_at_intervals_and_damage_fails_its_own_rows() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let triggers = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'artifact'";
    let triggers: String = archive.query_row(triggers, [], |row| row.get(0)).unwrap();
    archive.execute_batch(&triggers).unwrap();
    let sql = "UPDATE artifact SET size_bytes = size_bytes + 1 WHERE id = (SELECT artifact_id FROM item WHERE tombstone_id = ?1)";
    assert_eq!(archive.execute(sql, [&tombstones["docs/old.md"]]).unwrap(), 1);
    let often = repo.with("CODEX_ARCHIVE_BATCH_PROGRESS_INTERVAL", "2");
    let arguments =
        ["batch-restore", "manifest.json", "--results", "r.json", "--continue-on-error", "--max-concurrent", "1"];
    let run = often.tomb(&arguments);
    assert_shown!(&world, run, @r#"
    exit: 1
    ----- stdout -----
    Batch Restore Complete:
      ✓ Succeeded: 3
      ✗ Failed: 1
      Total Time: [ms]
    Results saved to: r.json
    ----- stderr -----
    Processing 4 items from manifest...
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","backend":"sqlite","message":"Batch restore of 4 items started"}
    [ERROR] Item 1 failed: cannot read item [uuid] from the archive: content `[sha256]` is damaged in the archive: its segments do not add up to its length
    Progress: 2/4 (50%)
    Progress: 4/4 (100%)
    {"ts":"[time]","level":"info","action":"BATCH_RESTORE","actor":"A Maintainer <maintainer@example.org>","duration_ms":[n],"backend":"sqlite","message":"Batch restore ended: 3 succeeded, 1 failed, 0 skipped"}
    hint: go on with `git archive-tomb batch-restore manifest.json --resume r.json --continue-on-error`
    "#);
    assert_eq!(statuses(&results(&repo, "r.json")), ["failed", "success", "success", "success"]);
    assert!(!repo.exists("out/docs/old.md"));
    // What the archive lost may be in history still.
    repo.tomb(&["batch-restore", "manifest.json", "--resume", "r.json", "--from", "archive"]).exits(1);
    repo.tomb_ok(&["batch-restore", "manifest.json", "--resume", "r.json", "--from", "history"]);
    assert_eq!(restored(&repo, "out"), originals(&repo));
}

#[test]
fn what_archive_and_records_rely_on_is_never_replaced() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let item = tombstones["docs/old.md"].as_str();
    let place = world.at("far.sqlite").path;
    std::fs::copy(repo.path.join(".git/archive-tomb/archive.sqlite"), &place).unwrap();
    let far = repo
        .with("CODEX_ARCHIVE_URL", format!("sqlite:///{}", place.display()))
        .with("CODEX_ARCHIVE_LOGGING_FILE", world.at("log.txt").path.display().to_string());
    far.tomb_ok(&["list"]);
    let before = repo.look();
    let outputs =
        ["../far.sqlite", "../far.sqlite-wal", "../log.txt", ".git/index", ".git/archive-tomb/archive.sqlite"];
    for output in outputs.into_iter().chain([".codex/archive.sqlite", ".codex/evidence/x"]) {
        let run = far.tomb(&["restore", item, output, "--force"]).exits(1);
        assert!(run.stderr_text().contains("hint: choose another place"), "{run}");
        let absolute = repo.path.join(output);
        let row = json!([{"tombstone": item, "output": absolute}]).to_string();
        far.tomb_with_input(&["batch-restore", "-", "--force"], row.as_bytes()).exits(2);
        assert!(repo.look() == before, "{output}");
        for repo in [&repo, &far] {
            repo.tomb_ok(&["show", item]);
        }
    }
    let run = far.tomb(&["restore", item, "../far.sqlite", "--force"]).exits(1);
    assert!(run.stderr_text().contains("far.sqlite` is the archive, or in it"), "{run}");
}

#[test]
fn no_row_goes_where_a_link_leads_that_another_row_makes() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    std::fs::create_dir_all(repo.path.join("root/real")).unwrap();
    symlink("real", repo.path.join("root/link")).unwrap();
    let rows = json!([
        {"tombstone": tombstones["src/legacy/link"], "output": "link"},
        {"tombstone": tombstones["docs/old.md"], "output": "link/x"},
    ]);
    let arguments = ["batch-restore", "-", "--output-root", "root", "--force", "--max-concurrent", "1"];
    let run = repo.tomb_with_input(&arguments, rows.to_string().as_bytes()).exits(2);
    assert!(run.stderr_text().contains("row 2 (line 1): the output is below that of row 1"), "{run}");
}

#[test]
fn a_dry_run_for_a_branch_finds_what_the_run_would_refuse() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let old = &tombstones["docs/old.md"];
    let dry = |rows: &str, branch: &str| {
        let run = repo.tomb_with_input(&["batch-restore", "-", "--dry-run", "--branch", branch], rows.as_bytes());
        (run.code, run.stdout_text())
    };
    let good = format!("tombstone,output\n{old},x\n");
    assert_eq!(dry(&good, "back").0, Some(0));
    for (rows, branch, code) in [
        (&good, "main", 1),
        (&good, "bad..name", 2),
        (&format!("{good}{old},./x\n"), "back", 2),
        (&format!("{good}{old},x/y\n"), "back", 2),
    ] {
        assert_eq!(dry(rows, branch), (Some(code), String::new()), "{rows} {branch}");
    }
}

#[test]
fn what_is_asked_for_on_a_branch_is_on_record_before_it_is_there() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    let rows = format!("tombstone,output\n{},x\n", tombstones["docs/old.md"]);
    let before = repo.look();
    repo.tomb_with_input(
        &["batch-restore", "-", "--branch", "back", "--results", "/nonexistent/x.json"],
        rows.as_bytes(),
    )
    .exits(1);
    repo.try_git(&["rev-parse", "--verify", "-q", "back"]).exits(1);
    assert!(repo.look() == before);
    assert!(records(&repo, &["BATCH_RESTORE"]).is_empty());

    let file = world.at("r.json").path;
    let arguments = ["batch-restore", "-", "--branch", "back", "--results", file.to_str().unwrap()];
    let killed = repo.with("GIT_ARCHIVE_TOMB_FAULT", "branch").tomb_with_input(&arguments, rows.as_bytes());
    assert_eq!(killed.code, None, "{killed}");
    let first = results(&repo, "../r.json");
    assert_eq!(
        (statuses(&first), &first["finished_at"], &first["branch"]),
        (vec!["skipped"], &Value::Null, &json!("back"))
    );
    let intents = |repo: &Repo<'_>| records(repo, &["BATCH_RESTORE"]).len();
    assert_eq!(intents(&repo), 1);
    repo.tomb_ok(&["doctor", "--continue"]);
    repo.git(&["rev-parse", "--verify", "-q", "back"]);
    repo.tomb_ok(&["verify", "--range", "HEAD..back", "--strict", "--deep"]);
    assert_eq!(records(&repo, &["RESTORE"]).iter().filter(|record| record["tombstone"].is_string()).count(), 1);
    // There is nothing to resume, and the file is free for another batch.
    repo.write("m.csv", &rows);
    repo.tomb(&["batch-restore", "m.csv", "--resume", "../r.json"]).exits(2);
    repo.tomb_ok(&["batch-restore", "m.csv", "--results", "../r.json"]);
}

#[test]
fn a_batch_goes_on_in_the_folder_that_it_was_begun_for() {
    let world = World::new();
    let (repo, tombstones) = archived(&world);
    manifest(&repo, &tombstones, "out");
    std::fs::create_dir(repo.path.join("root")).unwrap();
    let run = repo.tomb_ok(&["batch-restore", "manifest.json", "--results", "r.json", "--output-root", "root"]);
    assert!(run.stderr_text().contains("Processing 4 items from manifest into `"), "{run}");
    let resume =
        |file: &str, more: &[&str]| repo.tomb(&[&["batch-restore", "manifest.json", "--resume", file], more].concat());
    let refused = resume("r.json", &["--output-root", "other"]).exits(2);
    assert!(refused.stderr_text().contains("hint: go on without `--output-root`"), "{refused}");
    for same in [&[][..], &["--output-root", "root"], &["--output-root", "./src/../root"]] {
        resume("r.json", same).exits(0);
    }
    let text = repo.read_text("r.json");
    let root = results(&repo, "r.json")["output_root"].as_str().unwrap().to_owned();
    for hostile in [text.replace(&root, "root"), text.replace(&root, "../elsewhere")] {
        repo.write("hostile.json", hostile);
        resume("hostile.json", &[]).exits(2);
    }
    let time = text.rsplit_once("\"total_duration_ms\":").unwrap().0;
    for (ms, code) in [("1e300", 2), ("-1", 2), ("1e13", 0)] {
        repo.write("hostile.json", format!("{time}\"total_duration_ms\":{ms}}}}}"));
        resume("hostile.json", &[]).exits(code);
    }
}
