//! What someone would try who wants to get past `verify`, along real histories.

use std::os::unix::fs::PermissionsExt as _;

use rayon::prelude::*;

use super::project::{Project, assert_report, run};
use crate::evidence::record::Action;
use crate::id::Sha256;
use crate::verify::{Report, Rule, Scope};

/// A project in which `a.py` is archived, at the tag `archived`.
fn archived() -> Project {
    let project = Project::new();
    project.archive(&["a.py"]);
    project.commit("archive");
    project.git(&["tag", "archived"]);
    project
}

/// Looks like a stub and is none.
const FORGED: &str = "# git-archive-tomb stub v1\nmalicious()\n";

#[test]
fn no_attribute_makes_a_fixture_of_a_stub_that_is_there() {
    // In one commit with the attack, or in one before it.
    for in_two_steps in [false, true] {
        for replacement in [FORGED, "malicious()\n"] {
            let project = archived();
            project.write("sub/.gitattributes", "* -archive-tomb\n");
            project.write(".gitattributes", ".codex/evidence/** -text\na.py -archive-tomb\n");
            if in_two_steps {
                project.commit("exempt");
            }
            project.write("a.py", replacement);
            project.git(&["add", "-A"]);
            assert_report(&project.staged(), &["error stub-removed a.py"]);
            project.commit("attack");
            assert_report(&project.range("archived", "HEAD"), &["error stub-removed a.py"]);
        }
    }
}

#[test]
fn a_fixture_that_never_was_archived_may_change() {
    let project = archived();
    project.write(".gitattributes", ".codex/evidence/** -text\n/fixtures/** -archive-tomb\n");
    project.write("fixtures/stub.py", project.read("a.py"));
    project.write("fixtures/newer.py", "# git-archive-tomb stub v2\n");
    project.commit("add fixtures");
    for text in [FORGED, "no stub\n"] {
        project.write("fixtures/stub.py", text);
        project.write("fixtures/newer.py", text);
        project.commit("edit fixtures");
    }
    assert_report(&project.range("archived", "HEAD"), &[]);
}

#[test]
fn an_exempt_fixture_proves_nothing_elsewhere() {
    let project = Project::new();
    project.write(".gitattributes", ".codex/evidence/** -text\n/fixtures/** -archive-tomb\n");
    project.commit("attributes");
    // A stub for bytes that never stood anywhere: as a fixture nobody asks for them.
    project.archive_with(&["a.py"], |_| ());
    let stub = project.read("a.py").replace("size: ", "size: 1");
    project.git(&["reset", "-q", "--hard"]);
    project.write("fixtures/stub.py", stub.clone());
    project.commit("add a fixture");
    project.git(&["tag", "fixture"]);
    project.git(&["mv", "fixtures/stub.py", "new.py"]);
    project.git(&["commit", "-q", "-m", "move it out"]);
    let report = project.range("fixture", "HEAD");
    assert!(!report.is_clean(), "{report:#?}");
}

#[test]
fn evidence_cannot_be_lost_by_way_of_a_place_where_it_counts_for_nothing() {
    for to in [".codex/evidence/ops/2024/01/", ".codex/evidence/ops/.codex/evidence/ops/2025/10/"] {
        let project = archived();
        project.account(Action::HoldSet, project.tombstone_of("a.py"));
        project.commit("hold");
        project.git(&["tag", "held"]);
        let file = project.evidence_files().pop().expect("is there");
        let name = file.rsplit('/').next().expect("has a name");
        std::fs::create_dir_all(project.top().join(to)).expect("makes folders");
        project.git(&["mv", &file, &format!("{to}{name}")]);
        project.commit("move");
        project.git(&["rm", "-q", &format!("{to}{name}")]);
        project.git(&["commit", "-q", "-m", "remove"]);
        let report = project.range("held", "HEAD");
        assert!(report.findings.iter().any(|finding| finding.rule == Rule::EvidenceRewritten), "{report:#?}");
        assert_report(&project.all(), &["error evidence-rewritten EVIDENCE"]);
    }
}

#[test]
fn a_record_with_another_size_or_object_than_the_file_is_forged() {
    type Forge = fn(&mut super::writer::Original);
    let project = Project::new();
    let forged: [(&str, Forge); 2] = [
        ("size", |original| original.size = 9),
        ("object", |original| original.object = "0123456789012345678901234567890123456789".parse().expect("is an id")),
    ];
    for (field, forge) in forged {
        project.git(&["reset", "-q", "--hard", "start"]);
        project.archive_forged("a.py", forge);
        let report = project.staged();
        assert_report(&report, &["error stub-mismatch a.py"]);
        assert!(report.findings[0].reason.contains(field), "{report:#?}");
    }
}

#[test]
fn an_archive_that_failed_or_was_undone_vouches_for_nothing() {
    use crate::evidence::record::Status;
    for status in [Status::Intent, Status::Failed, Status::Undone] {
        let project = Project::new();
        project.archive_with(&["a.py"], |record| record.status = Some(status));
        assert_report(&project.staged(), &["error stub-unknown a.py"]);
    }
}

#[test]
fn an_evil_merge_hides_nothing() {
    let project = archived();
    project.git(&["switch", "-q", "-c", "topic", "start"]);
    project.archive(&["b.py"]);
    project.commit("archive b");
    project.git(&["switch", "-q", "main"]);
    let attacks: [(&dyn Fn(), &[&str]); 6] = [
        (&|| project.write("a.py", "malicious()\n"), &["error stub-removed a.py"]),
        (&|| project.write("a.py", FORGED), &["error stub-malformed a.py"]),
        (&|| project.write("b.py", project.read("b.py").replace("dead", "legacy")), &["error stub-mismatch b.py"]),
        (
            &|| drop(project.git(&["rm", "-q", "-r", "--cached", ".codex"])),
            &["error evidence-rewritten EVIDENCE", "error evidence-rewritten EVIDENCE"],
        ),
        (
            &|| {
                let file = project.evidence_files().remove(0);
                project.write(&file, project.read(&file).replace("widgets", "gadgets"));
                project.git(&["add", &file]);
            },
            &["error evidence-broken EVIDENCE", "error evidence-rewritten EVIDENCE"],
        ),
        (&|| project.write("c.py", FORGED), &["error stub-malformed c.py"]),
    ];
    for (attack, expected) in attacks {
        project.git(&["reset", "-q", "--hard", "archived"]);
        project.git(&["clean", "-q", "-f", "-d"]);
        project.git(&["merge", "-q", "--no-ff", "--no-commit", "topic"]);
        attack();
        project.git(&["add", "-u", "a.py", "b.py", "c.py"]);
        assert_report(&project.staged(), expected);
        project.git(&["commit", "-q", "-m", "merge"]);
        assert_report(&project.range("archived", "HEAD"), expected);
        // The commit that did it is named.
        let report = project.range("start", "HEAD");
        assert!(report.findings.iter().all(|finding| finding.commit == Some(project.id("HEAD"))), "{report:#?}");
    }
}

#[test]
fn octopus_and_criss_cross_merges_are_compared_with_every_parent() {
    let project = archived();
    for (branch, file) in [("one", "b.py"), ("two", "c.py")] {
        project.git(&["switch", "-q", "-c", branch, "archived"]);
        project.archive(&[file]);
        project.commit(branch);
    }
    project.git(&["switch", "-q", "main"]);
    project.git(&["merge", "-q", "-m", "octopus", "one", "two"]);
    assert_eq!(
        project.git(&["rev-list", "--parents", "-n", "1", "HEAD"]).split(' ').count(),
        3 + 1 - usize::from(project.id("HEAD^1") == project.id("one"))
    );
    assert_report(&project.range("archived", "HEAD"), &[]);
    project.git(&["rm", "-q", &project.evidence_files()[2]]);
    project.git(&["commit", "-q", "--amend", "--no-edit"]);
    let report = project.range("archived", "HEAD");
    assert!(!report.is_clean() && report.findings.iter().all(|finding| finding.commit == Some(project.id("HEAD"))));
    // Each branch merges the other, and both ends meet.
    project.git(&["switch", "-q", "one"]);
    project.git(&["tag", "first"]);
    project.git(&["merge", "-q", "-m", "cross", "two"]);
    project.git(&["switch", "-q", "two"]);
    project.git(&["merge", "-q", "-m", "criss", "first"]);
    project.git(&["merge", "-q", "-m", "meet", "one"]);
    assert_report(&project.range("archived", "HEAD"), &[]);
    assert_report(&project.all(), &[]);
}

#[test]
fn an_edge_to_an_excluded_parent_counts() {
    let project = archived();
    project.git(&["switch", "-q", "-c", "topic", "start"]);
    project.write("x", "x");
    project.commit("topic");
    // Everything but the merge itself is excluded, and the merge leaves out what the excluded parent has.
    project.git(&["merge", "-q", "--no-commit", "-s", "ours", "main"]);
    project.git(&["commit", "-q", "-m", "merge"]);
    project.git(&["tag", "-f", "base", "main"]);
    assert_report(&project.range("base", "HEAD"), &["error evidence-rewritten EVIDENCE"]);
}

#[test]
fn a_second_root_is_a_commit_like_any_other() {
    let project = archived();
    project.git(&["switch", "-q", "--orphan", "other"]);
    project.write("x.py", FORGED);
    project.write(".codex/evidence/ops/README", "x");
    project.commit("other root");
    project.git(&["switch", "-q", "main"]);
    project.git(&["merge", "-q", "--allow-unrelated-histories", "-m", "join", "other"]);
    let expected = ["error evidence-broken .codex/evidence/ops/README", "error stub-malformed x.py"];
    assert_report(&project.range("archived", "HEAD"), &expected);
}

#[test]
fn grafts_and_a_doctored_shallow_file_have_no_say() {
    let project = archived();
    project.git(&["rm", "-q", "-r", ".codex"]);
    project.git(&["commit", "-q", "-m", "drop evidence"]);
    let (head, start) = (project.id("HEAD"), project.id("start"));
    for (file, text) in [("info/grafts", format!("{head} {start}\n")), ("shallow", format!("{head}\n"))] {
        let path = project.top().join(".git").join(file);
        std::fs::create_dir_all(path.parent().expect("is in a folder")).expect("makes a folder");
        std::fs::write(&path, text).expect("writes");
        assert_report(&project.range("start", "HEAD"), &["error evidence-rewritten EVIDENCE"]);
        std::fs::remove_file(path).expect("removes");
    }
}

#[test]
fn a_boundary_in_the_middle_of_the_range_is_no_pass() {
    let project = archived();
    for name in ["x", "y"] {
        project.write(name, name);
        project.commit(name);
    }
    let url = format!("file://{}", project.top().display());
    let scope = Scope::Range { from: project.id("start"), to: project.id("HEAD") };
    for (option, hint) in [
        ("--depth=2", "git fetch --unshallow"),
        ("--filter=tree:0", "git fetch --refetch --no-filter"),
        ("--filter=blob:none", "git fetch --refetch --no-filter"),
    ] {
        project.git(&["config", "uploadpack.allowFilter", "true"]);
        project.git_in(project.home(), &["clone", "-q", "--bare", option, &url, "part"]);
        let dir = project.home().join("part");
        let report = run(&project.discover(&dir, &[]), &scope);
        assert!(!report.is_clean(), "{option}");
        assert!(report.findings.iter().all(|finding| finding.rule == Rule::HistoryIncomplete), "{report:#?}");
        assert_eq!(report.findings[0].hint.as_deref(), Some(hint));
        let words: Vec<&str> = hint.split(' ').skip(1).collect();
        project.git_in(&dir, &words);
        assert_report(&run(&project.discover(&dir, &[]), &scope), &[]);
        std::fs::remove_dir_all(dir).expect("removes");
    }
}

#[test]
fn what_takes_the_place_of_a_stub_is_looked_at() {
    type Attack = fn(&Project);
    let attacks: [(&str, Attack, &[&str]); 7] = [
        (
            "a link with the stub's text",
            |project| {
                let text = project.read("a.py");
                std::fs::remove_file(project.top().join("a.py")).expect("removes");
                std::os::unix::fs::symlink(text.lines().next().expect("has a line"), project.top().join("a.py"))
                    .expect("links");
            },
            &["error stub-removed a.py"],
        ),
        (
            "a submodule",
            |project| {
                let id = project.id("HEAD").to_string();
                project.git(&["update-index", "--cacheinfo", &format!("160000,{id},a.py")]);
                project.git(&["rm", "-q", "--cached", "d.py"]);
            },
            &["error stub-removed a.py"],
        ),
        (
            "a folder",
            |project| {
                std::fs::remove_file(project.top().join("a.py")).expect("removes");
                project.write("a.py/x.py", "malicious()\n");
            },
            &["warning stub-removed a.py"],
        ),
        (
            "an executable stub",
            |project| {
                let path = project.top().join("a.py");
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("sets");
            },
            &["error stub-mismatch a.py"],
        ),
        (
            "a later format",
            |project| project.write("a.py", project.read("a.py").replace("stub v1", "stub v2")),
            &["error needs-newer a.py"],
        ),
        (
            "a stub that is too long",
            |project| project.write("a.py", project.read("a.py") + &"x".repeat(70 << 10)),
            &["error stub-removed a.py"],
        ),
        (
            "a record of a restore in the next commit",
            |project| {
                project.write("a.py", "malicious()\n");
                project.commit("overwrite");
                project.account(Action::Restore, project.tombstone_at("archived", "a.py"));
            },
            &["error stub-removed a.py"],
        ),
    ];
    for (what, attack, expected) in attacks {
        let project = archived();
        attack(&project);
        if what == "a submodule" {
            project.git(&["commit", "-q", "-m", "attack"]);
        } else {
            project.commit("attack");
        }
        let report = project.range("archived", "HEAD");
        let found: Vec<String> = report
            .findings
            .iter()
            .map(|finding| format!("{} {} {}", finding.severity, finding.rule, finding.path().unwrap_or_default()))
            .collect();
        assert_eq!(found, expected, "{what}: {report:#?}");
    }
}

#[test]
fn codex_that_is_no_folder_is_found() {
    let project = archived();
    for at in [".codex", ".codex/evidence", ".codex/evidence/ops"] {
        project.git(&["reset", "-q", "--hard", "archived"]);
        std::fs::rename(project.top().join(at), project.top().join("elsewhere")).expect("renames");
        std::os::unix::fs::symlink("elsewhere", project.top().join(at)).expect("links");
        project.git(&["add", "-A"]);
        let report = project.staged();
        let broken = report.findings.iter().find(|finding| finding.rule == Rule::EvidenceBroken).expect("is found");
        assert_eq!(broken.path().map(ToString::to_string).as_deref(), Some(at));
        assert!(report.findings.iter().any(|finding| finding.rule == Rule::EvidenceRewritten));
        std::fs::remove_file(project.top().join(at)).expect("removes");
        std::fs::remove_dir_all(project.top().join("elsewhere")).expect("removes");
    }
}

#[test]
fn restored_and_archived_again_in_one_edge_is_clean() {
    let project = archived();
    let first = project.tombstone_of("a.py");
    project.git(&["checkout", "-q", "start", "--", "a.py"]);
    project.account(Action::Restore, first);
    project.commit("restore");
    project.archive(&["a.py"]);
    project.commit("archive again");
    project.archive(&["b.py"]);
    project.commit("archive more");
    assert_report(&project.range("archived", "HEAD"), &[]);
    project.git(&["reset", "-q", "--soft", "archived"]);
    assert_report(&project.staged(), &[]);
    project.git(&["commit", "-q", "-m", "squashed"]);
    assert_report(&project.range("archived", "HEAD"), &[]);
    assert_report(&project.all(), &[]);
}

#[test]
fn a_record_of_another_item_accounts_for_nothing() {
    let project = Project::new();
    let tombstones = project.archive(&["a.py", "b.py"]);
    project.commit("archive");
    project.write("a.py", "malicious()\n");
    project.git(&["add", "-A"]);
    project.account(Action::Restore, tombstones[1]);
    assert_report(&project.staged(), &["error stub-removed a.py"]);
    project.account(Action::HoldSet, tombstones[0]);
    assert_report(&project.staged(), &["error stub-removed a.py"]);
    project.account(Action::Purge, tombstones[0]);
    assert_report(&project.staged(), &[]);
}

#[test]
fn entries_that_git_commits_not_are_passed_over() {
    let project = archived();
    project.write("new.py", "never committed\n");
    project.git(&["add", "-N", "new.py"]);
    assert_report(&project.staged(), &[]);
    assert_report(&project.all(), &[]);
    project.git(&["reset", "-q", "--hard"]);
    // A conflict in progress: the entries in question are not judged, the rest is.
    project.git(&["switch", "-q", "-c", "topic", "start"]);
    project.write("a.py", "print('edited')\n");
    project.commit("edit");
    project.git(&["switch", "-q", "main"]);
    assert!(!project.try_git(&project.top(), &["merge", "-q", "topic"]).0, "conflicts");
    assert_report(&project.staged(), &[]);
    assert_report(&project.all(), &[]);
    project.write("b.py", FORGED);
    project.git(&["add", "b.py"]);
    assert_report(&project.staged(), &["error stub-malformed b.py"]);
}

#[test]
fn a_very_long_evidence_file_is_judged_as_any_other() {
    let project = archived();
    let file = project.evidence_files().remove(0);
    let line = project.read(&file);
    let long = line.repeat(100_000 / line.lines().count());
    project.write(&file, &long);
    project.git(&["add", &file]);
    let report = project.staged();
    assert_report(&report, &["error evidence-broken EVIDENCE", "error evidence-rewritten EVIDENCE"]);
    let rewritten = report.findings.iter().find(|finding| finding.rule == Rule::EvidenceRewritten).expect("is there");
    assert_eq!(rewritten.line, Some(2));
}

#[test]
fn findings_say_in_which_line_and_what_was_recorded_there() {
    let project = Project::new();
    project.archive(&["a.py", "b.py"]);
    project.commit("archive");
    let file = project.evidence_files().remove(0);
    let bytes = project.read(&file);
    let second = Sha256::of(bytes.split_inclusive('\n').nth(1).expect("has two lines").as_bytes());
    project.write(&file, bytes.replace("\"path\":\"b.py\"", "\"path\":\"x.py\""));
    let stub = project.read("a.py");
    project.write("a.py", stub.replace("reason: dead", "reason: legacy"));
    project.write("b.py", project.read("b.py") + "# more\n");
    project.git(&["add", "-A"]);
    let report = project.staged();
    let expected = [
        "error evidence-broken EVIDENCE",
        "error evidence-rewritten EVIDENCE",
        "error stub-unknown a.py",
        "error stub-unknown b.py",
    ];
    assert_report(&report, &expected);
    let rewritten = report.findings.iter().find(|finding| finding.rule == Rule::EvidenceRewritten).expect("is there");
    assert_eq!((rewritten.line, rewritten.record), (Some(2), Some(second)));
    project.git(&["checkout", "-q", "HEAD", "--", &file]);
    let report = project.staged();
    assert_report(&report, &["error stub-mismatch a.py", "error stub-mismatch b.py"]);
    assert_eq!(
        report.findings[0].line,
        Some(1 + stub.lines().position(|line| line.contains("reason: ")).expect("is there") as u64)
    );
    assert_eq!(report.findings[1].line, Some(15));
    assert_eq!(report.findings[1].record, Some(second));
}

/// Returns the command that a hint holds: all of it, what stands in backticks, or what follows the colon.
fn command_in(hint: &str) -> &str {
    let quoted = hint.split('`').nth(1);
    quoted.unwrap_or_else(|| {
        if hint.starts_with("git ") { hint } else { hint.split_once(": ").map_or(hint, |(_, rest)| rest) }
    })
}

/// A way to break something, what is said of it, and what is left to say once the hint was followed.
struct Mishap {
    what: &'static str,
    breaks: fn(&Project),
    finding: &'static str,
    left: &'static [&'static str],
}

/// One for each rule that git alone can mend, and each kind of reason for it.
const MISHAPS: [Mishap; 19] = [
    Mishap {
        what: "an edited field",
        breaks: |project| project.write("a.py", project.read("a.py").replace("reason: dead", "reason: legacy")),
        finding: "error stub-mismatch a.py",
        left: &[],
    },
    Mishap {
        what: "edited code",
        breaks: |project| project.write("a.py", project.read("a.py") + "more()\n"),
        finding: "error stub-mismatch a.py",
        left: &[],
    },
    Mishap {
        what: "a stub that is executable",
        breaks: |project| {
            let path = project.top().join("a.py");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("sets");
        },
        finding: "error stub-mismatch a.py",
        left: &[],
    },
    Mishap {
        what: "bytes that were not the ones archived",
        breaks: |project| {
            project.archive(&["b.py"]);
            project.git(&["stash", "-q"]);
            project.write("b.py", "print('edited')\n");
            project.commit("edit");
            project.git(&["tag", "-f", "archived"]);
            project.git(&["checkout", "-q", "stash@{0}", "--", "b.py", ".codex"]);
        },
        finding: "error stub-mismatch b.py",
        left: &[],
    },
    Mishap {
        what: "a damaged stub",
        breaks: |project| project.write("a.py", project.read("a.py").replace("tombstone: ", "tombstone ")),
        finding: "error stub-malformed a.py",
        left: &[],
    },
    Mishap {
        what: "a new file that claims to be a stub",
        breaks: |project| {
            project.write("new.py", FORGED);
            project.git(&["add", "new.py"]);
        },
        finding: "error stub-malformed new.py",
        left: &[],
    },
    Mishap {
        what: "a file that became a damaged stub",
        breaks: |project| project.write("b.py", FORGED),
        finding: "error stub-malformed b.py",
        left: &[],
    },
    Mishap {
        what: "a stub of a later format",
        breaks: |project| project.write("a.py", project.read("a.py").replace("stub v1", "stub v2")),
        finding: "error needs-newer a.py",
        left: &["error needs-newer a.py"],
    },
    Mishap {
        what: "a stub without its evidence",
        breaks: |project| {
            project.archive(&["b.py"]);
            let file = project.evidence_files().pop().expect("is there");
            project.git(&["rm", "-q", "--cached", &file]);
        },
        finding: "error stub-unknown b.py",
        left: &[],
    },
    Mishap {
        what: "a stub whose evidence names another item",
        breaks: |project| drop(project.archive_with(&["b.py"], |record| record.action = Action::HoldSet)),
        finding: "error stub-unknown b.py",
        left: &[],
    },
    Mishap {
        what: "an overwritten stub",
        breaks: |project| project.write("a.py", "print('edited')\n"),
        finding: "error stub-removed a.py",
        left: &[],
    },
    Mishap {
        what: "a deleted stub",
        breaks: |project| drop(project.git(&["rm", "-q", "a.py"])),
        finding: "warning stub-removed a.py",
        left: &[],
    },
    Mishap {
        what: "a moved stub",
        breaks: |project| drop(project.git(&["mv", "a.py", "moved.py"])),
        finding: "warning stub-moved moved.py",
        left: &[],
    },
    Mishap {
        what: "a copied stub",
        breaks: |project| {
            project.write("copy.py", project.read("a.py"));
            project.git(&["add", "copy.py"]);
        },
        finding: "warning stub-duplicate copy.py",
        left: &[],
    },
    Mishap {
        what: "lost evidence",
        breaks: |project| drop(project.git(&["rm", "-q", "-r", ".codex"])),
        finding: "error evidence-rewritten EVIDENCE",
        left: &[],
    },
    Mishap {
        what: "changed evidence",
        breaks: |project| {
            let file = project.evidence_files().remove(0);
            project.write(&file, project.read(&file).replace("widgets", "gadgets"));
        },
        finding: "error evidence-rewritten EVIDENCE",
        left: &[],
    },
    Mishap {
        what: "something else among the evidence",
        breaks: |project| {
            project.write(".codex/evidence/ops/README", "notes\n");
            project.git(&["add", "-A"]);
        },
        finding: "error evidence-broken .codex/evidence/ops/README",
        left: &[],
    },
    Mishap {
        what: "a name that file systems fold",
        breaks: |project| {
            project.write(".Codex/evidence/ops/x", "x");
            project.git(&["add", "-A"]);
        },
        finding: "error evidence-broken .Codex/evidence/ops/x",
        left: &[],
    },
    Mishap {
        what: "evidence from a branch that is not here",
        breaks: |project| {
            project.git(&["switch", "-q", "-c", "other", "start"]);
            project.archive(&["c.py"]);
            project.commit("archive c");
            project.archive(&["d.py"]);
            project.commit("archive d");
            project.git(&["switch", "-q", "main"]);
            project.git(&["cherry-pick", "--no-commit", "other"]);
        },
        finding: "warning evidence-broken EVIDENCE",
        left: &["warning evidence-broken EVIDENCE"],
    },
];

/// Follows the hints of all findings, each in a shell in a sub-folder, as a user would.
fn follow(project: &Project, report: &Report) {
    let folder = project.top().join("some/folder");
    std::fs::create_dir_all(&folder).expect("makes folders");
    for finding in &report.findings {
        let hint = finding.hint.as_deref().unwrap_or_else(|| panic!("has a hint: {finding:#?}"));
        let command = command_in(hint);
        if command.starts_with("git ") {
            let (done, output) = project.try_shell(&folder, command);
            // A command of another finding may have mended this one, too.
            assert!(done || report.findings.len() > 1, "{command}: {output}");
        }
    }
}

fn shown(report: &Report) -> Vec<String> {
    let path = |path: String| if path.contains("/ops/20") { "EVIDENCE".to_owned() } else { path };
    let findings = report.findings.iter();
    findings
        .map(|finding| {
            let path = path(finding.path().unwrap_or_default().to_string());
            format!("{} {} {path}", finding.severity, finding.rule)
        })
        .collect()
}

#[test]
fn every_hint_mends_what_it_is_about_before_the_commit() {
    MISHAPS.into_par_iter().for_each(|Mishap { what, breaks, finding, left }| {
        let project = archived();
        breaks(&project);
        project.git(&["add", "-u"]);
        let report = project.staged();
        // While it is only staged, evidence that is gone may be amended away.
        let may_be_amended = finding.contains("evidence-rewritten");
        assert!(shown(&report).iter().any(|found| found == finding) || may_be_amended, "{what}: {report:#?}");
        for finding in &report.findings {
            assert!(finding.path().is_some() && finding.commit.is_none(), "{what}: {finding:#?}");
            let names_record = matches!(finding.rule, Rule::StubMismatch | Rule::StubMoved | Rule::StubRemoved);
            let is_named = finding.record.is_some() && finding.tombstone.is_some();
            assert!(is_named || !names_record, "{what}: {finding:#?}");
        }
        follow(&project, &report);
        assert_report(&project.staged(), left);
    });
}

#[test]
fn every_hint_mends_what_it_is_about_after_the_commit() {
    MISHAPS.into_par_iter().for_each(|Mishap { what, breaks, finding, left }| {
        let project = archived();
        breaks(&project);
        project.git(&["add", "-u"]);
        project.git(&["commit", "-q", "-m", what]);
        let report = project.range("archived", "HEAD");
        assert!(shown(&report).iter().any(|found| found == finding), "{what}: {report:#?}");
        assert!(
            report.findings.iter().all(|finding| finding.commit == Some(project.id("HEAD"))),
            "{what}: {report:#?}"
        );
        follow(&project, &report);
        project.git(&["commit", "-q", "--amend", "--no-edit", "--allow-empty"]);
        assert_report(&project.range("archived", "HEAD"), left);
    });
}
