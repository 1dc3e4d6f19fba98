//! Stops between any two effects: nothing is lost, the next command says what is unfinished, and it can be finished or
//! undone. `fault::POINTS` is the list of the places; `docs/design.md` says what stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use git_archive_tomb::fault::{POINTS, VARIABLE};

use rayon::prelude::*;

use crate::common::{Repo, Run, World};

/// What is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    Store,
    Keep,
    Restore,
    RestoreFolder,
    ResolveKeep,
    ResolveRestore,
    ResolveReArchive,
}

/// The paths that `Scenario::Store` archives.
const STORED: [&str; 4] = ["docs/link", "docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"];

impl Scenario {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Store => &["store", "docs", "src/legacy"],
            Self::Keep => &["store", "--keep", "docs/old.md", "src/legacy"],
            Self::Restore => &["restore", "docs/old.md"],
            Self::RestoreFolder => &["restore", "src"],
            Self::ResolveKeep => &["resolve", "docs/new.md", "--keep-tomb"],
            Self::ResolveRestore => &["resolve", "docs/old.md", "--restore"],
            Self::ResolveReArchive => &["resolve", "docs/old.md", "--re-archive"],
        }
    }

    /// The paths of the working tree that change.
    fn changed(self) -> &'static [&'static str] {
        match self {
            Self::Store => &STORED,
            Self::Keep => &[],
            Self::Restore => &STORED[1..2],
            Self::RestoreFolder => &STORED[2..],
            Self::ResolveKeep | Self::ResolveRestore | Self::ResolveReArchive => &["docs/new.md", "docs/old.md"],
        }
    }

    /// Those of the paths at which nothing stands then.
    fn removed(self) -> &'static [&'static str] {
        match self {
            Self::ResolveKeep => &["docs/new.md"],
            Self::ResolveRestore | Self::ResolveReArchive => &["docs/old.md"],
            _ => &[],
        }
    }

    fn is_store(self) -> bool {
        matches!(self, Self::Store | Self::Keep | Self::ResolveKeep | Self::ResolveReArchive)
    }

    fn is_resolve(self) -> bool {
        matches!(self, Self::ResolveKeep | Self::ResolveRestore | Self::ResolveReArchive)
    }

    /// The revision that has what comes back.
    fn original(self) -> &'static str {
        if self.is_resolve() { "edits" } else { "HEAD~1" }
    }

    /// Makes the repository in which it runs, with changes of the user's that have nothing to do with it.
    fn prepare(self, world: &World) -> Repo<'_> {
        let repo = world.sample("base");
        std::os::unix::fs::symlink("../README.md", repo.path.join("docs/link")).unwrap();
        repo.commit_all("link");
        repo.git(&["config", "remote.origin.url", "https://example.org/sample.git"]);
        if self.is_resolve() {
            // What one side archived the other renamed and edited, too much for git to follow: two paths are one conflict.
            repo.git(&["switch", "-q", "-c", "edits"]);
            repo.git(&["mv", "docs/old.md", "docs/new.md"]);
            repo.write("docs/new.md", "# Old\n\nNobody reads this.\n\nBut one.\n");
            repo.commit_all("edit");
            repo.git(&["switch", "-q", "main"]);
        }
        if self != Self::Store && self != Self::Keep {
            repo.tomb_ok(Self::Store.arguments());
            repo.commit("archived");
        }
        if self.is_resolve() {
            assert_eq!(repo.try_git(&["merge", "-q", "-X", "find-renames=100%", "edits"]).code, Some(1));
        }
        repo.write("README.md", "# changed\n");
        repo.write("untracked.txt", "mine\n");
        repo.write("staged.txt", "mine\n");
        repo.git(&["add", "staged.txt"]);
        repo.with("GIT_OPTIONAL_LOCKS", "0")
    }
}

/// What a repository holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    tree: BTreeMap<String, String>,
    index: Vec<u8>,
}

impl State {
    fn of(repo: &Repo<'_>) -> Self {
        Self { tree: repo.tree(), index: repo.read(".git/index") }
    }

    /// Returns the files of the tree without those of the program and `changed`.
    fn others(&self, changed: &[&str]) -> BTreeMap<&String, &String> {
        self.tree.iter().filter(|(path, _)| !path.starts_with(".codex") && !changed.contains(&path.as_str())).collect()
    }
}

/// Runs the program and kills it at `point`; returns whether it came there.
#[track_caller]
pub(crate) fn kill_at(repo: &Repo<'_>, point: &str, arguments: &[&str]) -> bool {
    let run = repo.with(VARIABLE, point).tomb(arguments);
    if run.code.is_none() {
        return true;
    }
    assert!(matches!(run.code, Some(0 | 1)), "{point}: {run}");
    false
}

/// Returns the names of the journals.
pub(crate) fn journals(repo: &Repo<'_>) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(repo.path.join(".git/archive-tomb/operations")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Asserts that nothing is left that no longer means anything.
#[track_caller]
fn assert_tidy(repo: &Repo<'_>, what: &str) {
    assert_eq!(journals(repo), Vec::<String>::new(), "{what}");
    for (folder, is_ours) in [("", false), (".git", false), (".git/archive-tomb", true)] {
        for entry in std::fs::read_dir(repo.path.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let expected = if is_ours {
                name.starts_with("archive.sqlite")
                    || ["archive_ops.jsonl", "origin", "evidence-heads", "operations", "operations.lock"]
                        .contains(&name.as_str())
            } else {
                name == "archive-tomb" || !(name.contains("archive-tomb") || name == "index.lock")
            };
            assert!(expected, "{what}: {folder}/{name} was left");
        }
    }
    for path in repo.tree().keys() {
        assert!(!path.contains(".archive-tomb-"), "{what}: {path} was left");
    }
}

/// Asserts that the operation was done as if nothing had happened.
#[track_caller]
fn assert_done(repo: &Repo<'_>, scenario: Scenario, before: &State, undisturbed: &str, what: &str) {
    assert_tidy(repo, what);
    let after = State::of(repo);
    assert_eq!(after.others(scenario.changed()), before.others(scenario.changed()), "{what}");
    assert_eq!(status(repo), undisturbed, "{what}");
    repo.tomb_ok(&["verify", "--staged"]);
    repo.tomb_ok(&["evidence", "verify"]);
    repo.tomb_ok(&["doctor"]);
    let items = repo.tomb_ok(&["list", "--json"]).json();
    assert!(!items.is_empty() && items.iter().all(|item| item["state"] == "sealed"), "{what}: {items:?}");
    for path in scenario.removed() {
        assert_eq!(after.tree.get(*path), None, "{what}");
    }
    for path in scenario.changed().iter().filter(|path| !scenario.removed().contains(path)) {
        let stands = &after.tree[*path];
        assert_eq!(stands.contains("git-archive-tomb stub v1"), scenario.is_store(), "{what}: {path} is {stands}");
        if !scenario.is_store() {
            assert_eq!(
                repo.git(&["rev-parse", &format!(":{path}")]),
                repo.git(&["rev-parse", &format!("{}:{path}", scenario.original())])
            );
        }
    }
}

/// Returns `git status` without the names of evidence files, which differ from run to run.
fn status(repo: &Repo<'_>) -> String {
    let lines = repo.status();
    let line = |line: &str| if line.contains("/ops/") { format!("{}evidence", &line[..3]) } else { line.to_owned() };
    lines.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the log's records of recoveries by their status.
pub(crate) fn recoveries(repo: &Repo<'_>) -> Vec<String> {
    logged(repo, "RECOVER").iter().map(|record| record["status"].as_str().unwrap().to_owned()).collect()
}

/// Kills `scenario` at every point there is, and finishes and undoes what is left.
fn stop_everywhere(scenario: Scenario) -> BTreeSet<&'static str> {
    let world = World::new();
    let base = scenario.prepare(&world);
    let before = State::of(&base);
    let undisturbed = {
        let copy = base.copy_to("undisturbed");
        copy.tomb_ok(scenario.arguments());
        let status = status(&copy);
        assert_done(&copy, scenario, &before, &status, "undisturbed");
        status
    };
    // Most of the time goes by waiting for the disk.
    let reached = POINTS.par_iter().filter(|name| {
        let mut counts = 1..;
        counts.any(|count| {
            let point = format!("{name}:{count}");
            let killed = base.copy_to(&format!("{name}-{count}"));
            let reached = kill_at(&killed, &point, scenario.arguments());
            if reached {
                assert_recovers(&killed, scenario, &before, &undisturbed, &format!("{scenario:?} at {point}"));
            }
            !reached
        });
        counts.start > 2
    });
    reached.copied().collect()
}

/// Asserts that what was killed is reported, has touched nothing else, and can be finished and undone.
fn assert_recovers(killed: &Repo<'_>, scenario: Scenario, before: &State, undisturbed: &str, what: &str) {
    let after = State::of(killed);
    assert_eq!(after.others(scenario.changed()), before.others(scenario.changed()), "{what}");
    let is_unfinished = journals(killed).iter().any(|name| !name.starts_with('.'));
    let was_done = after.index != before.index;
    let said = killed.tomb_ok(&["status"]).stderr_text();
    assert_eq!(said.contains("was stopped half-way"), is_unfinished, "{what}: {said}");
    if is_unfinished {
        let refused = killed.tomb(scenario.arguments()).exits(1).stderr_text();
        assert!(refused.contains("doctor --continue"), "{what}: {refused}");
        assert!(killed.tomb(&["doctor"]).exits(1).stdout_text().contains("doctor --continue"), "{what}");
    }

    let finished = killed.sibling("finished");
    finished.tomb_ok(&["doctor", "--continue"]);
    if is_unfinished {
        assert_done(&finished, scenario, before, undisturbed, &format!("{what}, finished"));
        assert_eq!(recoveries(&finished).last().map(String::as_str), Some("finished"), "{what}");
    } else {
        assert_tidy(&finished, what);
        assert_eq!(status(&finished) == undisturbed, was_done, "{what}");
    }

    let undone = killed.sibling("undone");
    let run = undone.tomb(&["doctor", "--abort"]);
    if is_unfinished && was_done {
        assert!(run.exits(1).stderr_text().contains("cannot be undone"), "{what}");
        undone.tomb_ok(&["doctor", "--continue"]);
        assert_done(&undone, scenario, before, undisturbed, &format!("{what}, finished after all"));
    } else {
        let _ = run.exits(0);
        assert_tidy(&undone, what);
        if !was_done {
            assert_undone(&undone, scenario, before, undisturbed, is_unfinished, what);
        }
    }
    for copy in [&finished, &undone, killed] {
        std::fs::remove_dir_all(&copy.path).unwrap();
    }
}

/// Asserts that all is as it was, and that the same works then.
#[track_caller]
fn assert_undone(
    undone: &Repo<'_>,
    scenario: Scenario,
    before: &State,
    undisturbed: &str,
    is_recorded: bool,
    what: &str,
) {
    if is_recorded {
        assert_eq!(State::of(undone).tree, before.tree, "{what}, undone");
        assert_eq!(State::of(undone).index, before.index, "{what}, undone");
        assert_eq!(recoveries(undone).last().map(String::as_str), Some("undone"), "{what}");
    }
    if matches!(scenario, Scenario::Store | Scenario::Keep) {
        let items = undone.tomb(&["list", "--json"]);
        assert!(items.stdout.is_empty(), "{what}, undone: {items}");
    }
    undone.tomb_ok(scenario.arguments());
    assert_done(undone, scenario, before, undisturbed, &format!("{what}, undone and done again"));
}

#[test]
fn a_store_stopped_anywhere_can_be_finished_and_undone() {
    let reached = stop_everywhere(Scenario::Store);
    let others = ["recovery-event", "recovery", "withdrawn", "commit-made", "commit", "branch"];
    let missed: Vec<_> = POINTS.iter().filter(|point| !reached.contains(*point) && !others.contains(point)).collect();
    assert_eq!(missed, Vec::<&&str>::new(), "every point is passed");
}

#[test]
fn a_store_that_keeps_the_files_stopped_anywhere_can_be_finished_and_undone() {
    stop_everywhere(Scenario::Keep);
}

#[test]
fn a_restore_stopped_anywhere_can_be_finished_and_undone() {
    stop_everywhere(Scenario::Restore);
}

#[test]
fn a_restore_of_a_folder_stopped_anywhere_can_be_finished_and_undone() {
    stop_everywhere(Scenario::RestoreFolder);
}

#[test]
fn a_stub_that_is_kept_stopped_anywhere_can_be_finished_and_undone() {
    let reached = stop_everywhere(Scenario::ResolveKeep);
    assert!(["lock", "copy", "staged", "file", "index-renamed", "closed"].iter().all(|point| reached.contains(point)));
}

#[test]
fn an_end_of_a_conflict_stopped_anywhere_can_be_finished_and_undone() {
    let reached = stop_everywhere(Scenario::ResolveRestore);
    assert!(["copy", "staged", "file", "index-renamed", "settled"].iter().all(|point| reached.contains(point)));
}

#[test]
fn an_archive_that_ends_a_conflict_stopped_anywhere_can_be_finished_and_undone() {
    let reached = stop_everywhere(Scenario::ResolveReArchive);
    assert!(["rows", "staged", "file", "index-renamed", "settled"].iter().all(|point| reached.contains(point)));
}

/// Starts the program, which stops at `point`, and returns it once it stands still.
pub(crate) fn stopped_at(repo: &Repo<'_>, point: &str, arguments: &[&str]) -> Child {
    let mut command = repo.with(VARIABLE, format!("{point}@STOP")).command(env!("CARGO_BIN_EXE_git-archive-tomb"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    loop {
        // The state is the third field, after the name in parentheses.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        if stat.rsplit_once(") ").unwrap().1.starts_with('T') {
            return child;
        }
        assert!(child.try_wait().unwrap().is_none(), "{point} is not passed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Lets a stopped program go on to its end.
pub(crate) fn go_on(child: Child) -> Run {
    let done = Command::new("kill").args(["-CONT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
    Run::from(child.wait_with_output().unwrap())
}

/// Returns the actions and statuses of the log's records of one kind.
pub(crate) fn logged(repo: &Repo<'_>, action: &str) -> Vec<serde_json::Value> {
    let log = repo.read_text(".git/archive-tomb/archive_ops.jsonl");
    let records = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records.filter(|record| record["action"] == action).collect()
}

#[test]
fn a_recovery_stopped_anywhere_can_be_repeated_or_turned_round() {
    let world = World::new();
    let scenario = Scenario::Store;
    let base = scenario.prepare(&world);
    let before = State::of(&base);
    let undisturbed = {
        let copy = base.copy_to("undisturbed");
        copy.tomb_ok(scenario.arguments());
        status(&copy)
    };
    assert!(kill_at(&base, "file:2", scenario.arguments()));
    for (first, second) in [("--continue", "--continue"), ("--abort", "--abort"), ("--abort", "--continue")] {
        let reached: Vec<_> = POINTS
            .par_iter()
            .filter(|point| {
                let what = format!("{first} at {point}, then {second}");
                let copy = base.copy_to(&format!("{point}{first}{second}"));
                if !kill_at(&copy, point, &["doctor", first]) {
                    return false;
                }
                let is_unfinished = journals(&copy).iter().any(|name| !name.starts_with('.'));
                copy.tomb_ok(&["doctor", second]);
                if is_unfinished && second == "--abort" {
                    assert_undone(&copy, scenario, &before, &undisturbed, true, &what);
                } else if is_unfinished || first == "--continue" {
                    assert_done(&copy, scenario, &before, &undisturbed, &what);
                }
                true
            })
            .collect();
        assert!(reached.len() >= 8 && reached.contains(&&"recovery"), "{reached:?}");
    }
}

#[test]
fn what_was_edited_since_the_stop_is_left_and_named() {
    let world = World::new();
    let base = Scenario::Store.prepare(&world);
    let index = base.git(&["ls-files", "-s", "docs", "src"]);
    // Two of four files are stubs.
    assert!(kill_at(&base, "file:2", Scenario::Store.arguments()));
    base.write("docs/old.md", "edited stub\n");
    base.write("src/legacy/old.py", "edited file\n");
    for remedy in ["--continue", "--abort"] {
        let repo = base.sibling(remedy);
        let run = repo.tomb(&["doctor", remedy]).exits(1);
        for path in ["docs/old.md", "src/legacy/old.py"] {
            assert!(run.stderr_text().contains(&format!("{path} holds something else now and was left")), "{run}");
            assert!(!index.is_empty() && repo.read_text(path).starts_with("edited"));
            let entry = repo.git(&["ls-files", "-s", path]);
            assert!(index.contains(&entry), "{path} keeps its entry");
        }
        assert_tidy(&repo, remedy);
        let other = repo.read_text("src/legacy/run.sh");
        assert_eq!(other.contains("git-archive-tomb stub v1"), remedy == "--continue");
        repo.tomb_ok(&["verify", "--staged"]);
    }
}

#[test]
fn what_is_edited_or_removed_at_the_last_moment_is_left_and_named() {
    for (scenario, path) in [(Scenario::Store, "docs/old.md"), (Scenario::RestoreFolder, "src/legacy/old.py")] {
        let world = World::new();
        let repo = scenario.prepare(&world);
        let entry = repo.git(&["ls-files", "-s", path]);
        let removed = scenario.changed()[scenario.changed().len() - 1];
        let child = stopped_at(&repo, "staged", scenario.arguments());
        // The same length, so that only looking closely helps.
        let edited: String = repo.read_text(path).chars().rev().collect();
        repo.write(path, &edited);
        std::fs::remove_file(repo.path.join(removed)).unwrap();
        let run = go_on(child).exits(1);
        for left in [path, removed] {
            assert!(run.stderr_text().contains(&format!("{left} changed in the meantime")), "{run}");
        }
        assert_eq!(repo.read_text(path), edited);
        assert!(!repo.exists(removed));
        assert_eq!(repo.git(&["ls-files", "-s", path]), entry);
        assert_tidy(&repo, "left");
        repo.tomb_ok(&["verify", "--staged"]);
        repo.tomb_ok(&["evidence", "verify"]);
    }
}

#[test]
fn an_interruption_before_the_tree_changes_takes_everything_back() {
    for scenario in [Scenario::Store, Scenario::Restore] {
        let world = World::new();
        let repo = scenario.prepare(&world);
        let before = State::of(&repo);
        let failure = if scenario.is_store() { "ARCHIVE_FAIL" } else { "RESTORE_FAIL" };
        let points =
            ["journal@INT", "lock@TERM", "own@INT", "bytes@INT", "rows@TERM", "evidence@INT", "log@TERM", "staged@INT"];
        let points = points.iter().filter(|point| scenario.is_store() || !point.starts_with("rows"));
        for (number, point) in points.enumerate() {
            let run = repo.with(VARIABLE, point).tomb(scenario.arguments()).exits(130);
            assert!(run.stderr_text().contains("interrupted"), "{point}: {run}");
            assert_eq!(State::of(&repo), before, "{point}");
            assert_tidy(&repo, point);
            let failures = logged(&repo, failure);
            assert_eq!((failures.len(), &failures[number]["error"]), (number + 1, &"interrupted".into()), "{point}");
        }
        repo.tomb_ok(scenario.arguments());
    }
}

#[test]
fn an_interruption_after_the_tree_began_to_change_comes_too_late() {
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    let before = State::of(&repo);
    let copy = repo.copy_to("undisturbed");
    copy.tomb_ok(Scenario::Store.arguments());
    let run = repo.with(VARIABLE, "file:1@INT").tomb_ok(Scenario::Store.arguments());
    assert_eq!(run.json().len(), STORED.len());
    assert_done(&repo, Scenario::Store, &before, &status(&copy), "carried to its end");
}

#[test]
fn two_stores_at_once_in_one_working_tree_do_not_meet() {
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    let child = stopped_at(&repo, "rows", &["store", "docs"]);
    let before = State::of(&repo);
    let run = repo.tomb(&["store", "src/legacy"]).exits(1);
    assert!(run.stderr_text().contains("index.lock"), "{run}");
    assert_eq!(State::of(&repo), before);
    // Nor is the one that runs taken for a dead one.
    assert!(!repo.tomb_ok(&["status"]).stderr_text().contains("half-way"));
    repo.tomb_ok(&["doctor", "--abort"]);
    go_on(child).exits(0);
    repo.tomb_ok(&["store", "src/legacy"]);
    assert_eq!(logged(&repo, "ARCHIVE_FAIL").len(), 1);
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
    assert_tidy(&repo, "both");
}

#[test]
fn operations_in_linked_working_trees_do_not_disturb_each_other() {
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    repo.git(&["worktree", "add", "-q", "-b", "second", "../linked"]);
    let linked = world.at("linked");
    let child = stopped_at(&repo, "rows", &["store", "docs"]);
    linked.tomb_ok(&["store", "docs", "src/legacy"]);
    go_on(child).exits(0);
    for place in [&repo, &linked] {
        place.commit("archived");
        place.tomb_ok(&["evidence", "verify", "--strict"]);
    }

    // One that is stopped is told everywhere, and mended where it belongs.
    repo.tomb_ok(&["restore", "docs"]);
    assert!(kill_at(&linked, "file:1", &["restore", "docs"]));
    let said = repo.tomb_ok(&["status"]).stderr_text();
    assert!(said.contains("half-way") && said.contains("linked archive-tomb doctor --continue"), "{said}");
    assert!(repo.tomb(&["doctor", "--abort"]).exits(1).stderr_text().contains("linked archive-tomb"));
    repo.tomb_ok(&["store", "src/legacy"]);
    linked.tomb_ok(&["doctor", "--continue"]);
    repo.tomb_ok(&["doctor"]);
}

#[test]
fn an_operation_whose_working_tree_is_gone_can_be_given_up() {
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    repo.git(&["worktree", "add", "-q", "-b", "second", "../linked"]);
    assert!(kill_at(&world.at("linked"), "file:1", &["store", "docs"]));
    repo.git(&["worktree", "remove", "--force", "../linked"]);
    assert!(repo.tomb(&["doctor"]).exits(1).stdout_text().contains("mend: its working tree is gone"));
    repo.tomb_ok(&["doctor", "--abort"]);
    assert!(repo.tomb(&["list", "--json"]).stdout.is_empty());
    repo.tomb_ok(&["doctor"]);
    assert_tidy(&repo, "given up");
    repo.tomb_ok(&["store", "docs"]);
}

#[test]
fn a_journal_that_cannot_be_read_is_told_and_set_aside() {
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    assert!(kill_at(&repo, "rows", Scenario::Store.arguments()));
    let plan = format!(".git/archive-tomb/operations/{}/plan.json", journals(&repo)[0]);
    let text = repo.read_text(&plan);

    repo.write(&plan, text.replace("\"version\":2", "\"version\":3"));
    for command in [&["status"][..], &["list"]] {
        assert!(repo.tomb_ok(command).stderr_text().contains("has version 3"));
    }
    for command in [&["store", "docs"][..], &["doctor", "--abort"], &["doctor", "--continue"], &["doctor"]] {
        let run = repo.tomb(command).exits(1);
        assert!(run.to_string().contains("with the version of git-archive-tomb that began it"), "{run}");
    }

    repo.write(&plan, &text[..text.len() / 2]);
    repo.tomb_ok(&["status"]);
    assert!(repo.tomb(&["doctor", "--continue"]).exits(1).stderr_text().contains("doctor --abort"));
    repo.tomb_ok(&["doctor", "--abort"]);
    assert!(journals(&repo)[0].starts_with("damaged-"));
    assert!(!repo.exists(".git/index.lock"));
    repo.tomb_ok(&["doctor"]);
    repo.tomb_ok(Scenario::Store.arguments());
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
}

#[test]
fn rows_whose_journal_is_gone_are_told_and_brought_to_an_end() {
    for (point, state) in [("files", None), ("index", Some("sealed"))] {
        let world = World::new();
        let repo = Scenario::Store.prepare(&world);
        assert!(kill_at(&repo, point, Scenario::Store.arguments()));
        std::fs::remove_dir_all(repo.path.join(".git/archive-tomb/operations")).unwrap();
        let _ = std::fs::remove_file(repo.path.join(".git/index.lock"));
        let told = repo.tomb(&["doctor"]).exits(1).stdout_text();
        assert!(
            told.contains("4 items pending") && told.contains("mend: git archive-tomb doctor --continue"),
            "{told}"
        );
        repo.tomb_ok(&["doctor", "--continue"]);
        repo.tomb_ok(&["doctor"]);
        let items = repo.tomb(&["list", "--json"]).json();
        assert_eq!(items.iter().map(|item| item["state"].as_str()).next().flatten(), state, "{point}");
        assert_eq!(recoveries(&repo), [if state.is_some() { "finished" } else { "undone" }]);
    }
}

#[test]
fn what_is_staged_or_committed_anywhere_is_never_undone() {
    for place in ["index", "commit", "stash", "linked"] {
        let world = World::new();
        let repo = Scenario::Store.prepare(&world);
        repo.git(&["worktree", "add", "-q", "--detach", "../linked"]);
        assert!(kill_at(&repo, "files", Scenario::Store.arguments()));
        let index = repo.path.join(".git/index");
        let saved = std::fs::read(&index).unwrap();
        std::fs::remove_file(repo.path.join(".git/index.lock")).unwrap();
        let evidence = repo.path.join(".codex/evidence/ops");
        if place == "linked" {
            let linked = world.at("linked");
            std::fs::create_dir_all(linked.path.join(".codex/evidence")).unwrap();
            let copied = linked.command("cp").arg("-r").arg(&evidence).arg(".codex/evidence").status().unwrap();
            assert!(copied.success());
            linked.git(&["add", "-f", ".codex/evidence/ops"]);
        } else {
            repo.git(&["add", ".codex/evidence/ops"]);
            if place == "commit" {
                repo.git(&["commit", "-q", "-m", "by hand"]);
            }
            if place == "stash" {
                repo.git(&["update-ref", "refs/stash", &repo.git(&["stash", "create"])]);
            }
            if place != "index" {
                std::fs::write(&index, &saved).unwrap();
            }
        }
        let run = repo.tomb(&["doctor", "--abort"]).exits(1);
        assert!(run.stderr_text().contains("cannot be undone"), "{place}: {run}");
        repo.tomb_ok(&["doctor", "--continue"]);
        assert_tidy(&repo, place);
        repo.tomb_ok(&["evidence", "verify"]);
    }
}

#[test]
fn a_missing_or_damaged_archive_is_no_end() {
    for (damage, remedy) in
        [("missing", "--continue"), ("missing", "--abort"), ("damaged", "--continue"), ("damaged", "--abort")]
    {
        let world = World::new();
        let repo = Scenario::Store.prepare(&world);
        let before = State::of(&repo);
        assert!(kill_at(&repo, "file:2", Scenario::Store.arguments()));
        let archive = repo.path.join(".git/archive-tomb/archive.sqlite");
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", archive.display()));
        }
        if damage == "damaged" {
            std::fs::write(&archive, "no database at all, and long enough to be looked at".repeat(100)).unwrap();
            let stopped = State::of(&repo);
            let run = repo.tomb(&["doctor", remedy]).exits(6);
            assert!(run.stderr_text().contains("archive.sqlite"), "{run}");
            assert_eq!(State::of(&repo), stopped);
        }
        std::fs::remove_file(&archive).unwrap();
        repo.tomb_ok(&["doctor", remedy]);
        assert_tidy(&repo, damage);
        if remedy == "--abort" {
            assert_eq!(State::of(&repo), before);
        } else {
            repo.tomb_ok(&["health-check"]);
            for path in STORED.iter().filter(|path| **path != "docs/link") {
                let bytes = repo.tomb_ok(&["cat", path]).stdout;
                assert_eq!(bytes, repo.command("git").args(["show", &format!("HEAD:{path}")]).output().unwrap().stdout);
            }
        }
    }
}

#[test]
fn pending_items_of_another_clone_are_sealed_by_a_second_identical_store() {
    let world = World::new();
    let first = Scenario::Store.prepare(&world);
    let second = world.at("second");
    first.git(&["clone", "-q", ".", "../second"]);
    second.git(&["config", "remote.origin.url", "https://example.org/sample.git"]);
    let url = format!("sqlite:////{}", world.at("shared.sqlite").path.display().to_string().trim_start_matches('/'));
    let (first, second) = (first.with("CODEX_ARCHIVE_URL", &url), second.with("CODEX_ARCHIVE_URL", &url));
    first.tomb_ok(&["init", "--no-hooks"]);
    first.git(&["reset", "-q"]);
    first.git(&["clean", "-fdxq", ".codex"]);
    assert!(kill_at(&first, "file:2", &["store", "docs"]));
    assert!(second.tomb(&["list", "--json"]).stdout.is_empty(), "what is pending is seen only where it began");
    assert!(!second.tomb(&["doctor"]).stdout_text().contains("pending"));
    let stored = second.tomb_ok(&["store", "docs"]).json();
    assert!(stored.iter().all(|item| item["status"] == "already-stored"), "{stored:?}");
    first.tomb_ok(&["doctor", "--abort"]);
    let items = second.tomb_ok(&["list", "--json"]).json();
    assert!(items.len() == 2 && items.iter().all(|item| item["state"] == "sealed"), "{items:?}");
    second.tomb_ok(&["restore", "docs"]);
}

#[test]
fn a_full_disk_leaves_a_truthful_state() {
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    let noise: Vec<u8> = (0..3u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    repo.write("docs/large.bin", noise);
    repo.git(&["add", "docs/large.bin"]);
    repo.commit("large");
    let before = State::of(&repo);
    let program = env!("CARGO_BIN_EXE_git-archive-tomb");
    for kibibytes in [1, 40, 200, 1000] {
        // The system's limit stands for a disk that is full; the archive needs more.
        let script = format!("trap '' XFSZ; ulimit -f {kibibytes}; exec {program} store docs");
        let run = Run::from(repo.command("bash").args(["-c", &script]).output().unwrap());
        assert!(matches!(run.code, Some(1 | 5 | 6)), "{kibibytes}: {run}");
        assert!(run.stderr_text().contains("error: ") && !run.stderr_text().contains("panicked"), "{run}");
        let is_unfinished = journals(&repo).iter().any(|name| !name.starts_with('.'));
        assert_eq!(repo.tomb_ok(&["status"]).stderr_text().contains("half-way"), is_unfinished);
        assert_eq!(run.stderr_text().contains("doctor --abort"), is_unfinished, "{kibibytes}: {run}");
        repo.tomb_ok(&["doctor", "--abort"]);
        assert_eq!(State::of(&repo), before, "{kibibytes}");
        assert_tidy(&repo, "full");
    }
    repo.tomb_ok(&["store", "docs"]);
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
}

#[test]
fn killed_at_random_nothing_is_lost() {
    let rounds: u32 = std::env::var("ARCHIVE_TOMB_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(30);
    let world = World::new();
    let repo = Scenario::Store.prepare(&world);
    let original = repo.git(&["rev-parse", "HEAD"]);
    let started = Instant::now();
    repo.copy_to("timed").tomb_ok(&["store", "docs", "src/legacy"]);
    let whole = started.elapsed();
    for round in 0..rounds {
        // Archived or restored in turn, each time from wherever the last round ended.
        let is_archived = repo.read_text("docs/old.md").contains("git-archive-tomb stub v1");
        let arguments: &[&str] = if is_archived { &["restore", "."] } else { &["store", "docs", "src/legacy"] };
        let mut command = repo.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
        let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(fastrand::f64()));
        let _ = child.kill();
        child.wait().unwrap();
        let unfinished = journals(&repo).iter().any(|name| !name.starts_with('.'));
        assert_eq!(repo.tomb_ok(&["status"]).stderr_text().contains("half-way"), unfinished, "round {round}");
        let remedy = if round % 2 == 0 { "--continue" } else { "--abort" };
        if repo.tomb(&["doctor", remedy]).code != Some(0) {
            repo.tomb_ok(&["doctor", "--continue"]);
        }
        repo.tomb_ok(&["verify", "--staged"]);
        repo.tomb_ok(&["evidence", "verify"]);
        repo.git(&["commit", "-q", "--no-verify", "--allow-empty", "-m", "round"]);
    }
    if repo.read_text("docs/old.md").contains("git-archive-tomb stub v1") {
        repo.tomb_ok(&["restore", "."]);
    }
    repo.git(&["commit", "-q", "--no-verify", "--allow-empty", "-m", "all back"]);
    assert_eq!(repo.git(&["diff", &original, "--", "docs", "src"]), "");
    repo.tomb_ok(&["verify", "--all"]);
    assert_eq!(journals(&repo), Vec::<String>::new());
}

#[test]
fn many_stores_at_once_in_linked_working_trees_lose_nothing() {
    const TREES: usize = 4;
    let world = World::new();
    let repo = world.init("repo");
    for number in 0..TREES * 3 {
        repo.write(format!("files/{number}.txt"), format!("content {number}\n"));
    }
    repo.commit_all("files");
    for tree in 0..TREES {
        repo.git(&["worktree", "add", "-q", "-b", &format!("branch-{tree}"), &format!("../tree-{tree}")]);
    }
    // The archive is made by whoever comes first.
    std::thread::scope(|scope| {
        for tree in 0..TREES {
            let place = world.at(&format!("tree-{tree}"));
            scope.spawn(move || {
                for number in 0..3 {
                    place.tomb_ok(&["store", &format!("files/{}.txt", tree * 3 + number)]);
                    place.commit("archived");
                }
            });
        }
    });
    for tree in 0..TREES {
        repo.git(&["merge", "-q", "--no-edit", &format!("branch-{tree}")]);
    }
    repo.tomb_ok(&["verify", "--all"]);
    repo.tomb_ok(&["evidence", "verify"]);
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json().len(), TREES * 3);
    assert_eq!(logged(&repo, "ARCHIVE").iter().filter(|record| record["status"] == "stored").count(), TREES * 3);
    assert_tidy(&repo, "all");
    repo.tomb_ok(&["restore", "files"]);
    for number in 0..TREES * 3 {
        assert_eq!(repo.read_text(format!("files/{number}.txt")), format!("content {number}\n"));
    }
}
