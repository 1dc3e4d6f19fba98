//! `batch-store`: what a manifest names goes into the archive, each path as its row says.

use std::fmt::Write as _;

use crate::common::{Repo, World, assert_shown, path_of};
use crate::databases::{Database, KINDS};

/// Returns what the archive has, by path: reason, tags and metadata.
fn listed(repo: &Repo<'_>) -> Vec<(String, String, Vec<String>, serde_json::Value)> {
    let mut listed: Vec<_> = repo
        .tomb_ok(&["list", "--json"])
        .json()
        .into_iter()
        .map(|item| {
            let tags = item["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
            let text = |name: &str| item[name].as_str().unwrap_or("?").to_owned();
            (text("path"), text("reason"), tags, item["metadata"].clone())
        })
        .collect();
    listed.sort_by(|a, b| a.0.cmp(&b.0));
    listed
}

#[test]
fn each_row_says_for_its_paths_what_the_options_say_for_all() {
    let world = World::new();
    for (number, manifest) in [
        r#"[{"path": "src/legacy", "reason": "legacy", "tags": ["b", "a"], "metadata": {"ticket": "OPS-1"}},
            {"path": "docs/*.md"}]"#,
        r#"{"items": [{"path": "docs/*.md", "reason": null},
            {"path": "src/legacy", "reason": "legacy", "tags": ["a", "b"], "metadata": {"ticket": "OPS-1"}}]}"#,
        "{\"path\": \"docs/old.md\"}\n\n{\"path\": \"src/legacy/\", \"reason\": \"legacy\", \"tags\": [\"a\", \"b\"], \
         \"metadata\": {\"ticket\": \"OPS-1\"}}\n",
        "path,metadata,reason,tags\r\nsrc/legacy,ticket=OPS-1,legacy,a; b\r\n\"docs/old.md\",,,\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let repo = world.sample(&format!("project-{number}"));
        repo.write("rows", manifest);
        let options = ["--tag", "all", "--metadata", "ticket=none", "--metadata", "by=plan", "--reason", "replaced"];
        let stored = repo.tomb_ok(&[&["batch-store", "rows"][..], &options].concat()).json();
        let paths: Vec<_> = stored.iter().map(|item| item["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"]);
        assert!(stored.iter().all(|item| item["evidence"] == stored[0]["evidence"]), "one operation");
        assert_eq!(stored[1]["reason"], "legacy");
        let own = serde_json::json!({"ticket": "OPS-1", "by": "plan"});
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let of = |path: &str| (path.to_owned(), "legacy".to_owned(), tags(&["a", "all", "b"]), own.clone());
        let common = serde_json::json!({"ticket": "none", "by": "plan"});
        assert_eq!(
            listed(&repo),
            [
                ("docs/old.md".to_owned(), "replaced".to_owned(), tags(&["all"]), common),
                of("src/legacy/old.py"),
                of("src/legacy/run.sh"),
            ]
        );
        assert!(repo.read_text("src/legacy/old.py").contains("# reason: legacy\n"));
        repo.commit("archive");
        repo.tomb_ok(&["verify", "--all", "--deep", "--strict"]);
        repo.tomb_ok(&["restore", "-q", "."]);
        assert_eq!(repo.git(&["diff", "HEAD~1", "--", ".", ":!.codex", ":!rows"]), "");
    }
}

#[test]
fn every_archive_holds_the_same() {
    let world = World::new();
    let mut results = Vec::new();
    for kind in KINDS {
        let database = Database::new(*kind);
        let folder = world.at(&format!("{kind:?}"));
        std::fs::create_dir(&folder.path).unwrap();
        let repo = world.sample(&format!("{kind:?}/project")).with("CODEX_ARCHIVE_URL", database.url());
        repo.tomb_ok(&["init", "-q", "--no-hooks"]);
        let rows = b"path,tags,metadata\nsrc/legacy,a;b,k=v\ndocs,b,\n";
        let run = repo.tomb_with_input(&["batch-store", "-q", "-"], rows).exits(0);
        assert_eq!(run.json().len(), 3);
        assert_eq!(repo.tomb_ok(&["list", "--tag", "a", "--json"]).json().len(), 2);
        results.push(listed(&repo));
    }
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn rows_that_cannot_be_meant_are_all_named_and_nothing_is_done() {
    let world = World::new();
    let repo = world.sample("project");
    let before = repo.look();
    repo.write(
        "rows.jsonl",
        "{\"path\": \"docs\", \"reason\": \"gone\"}\n{\"reason\": \"dead\"}\n{\"path\": \":!docs\"}\n\
         {\"path\": \"docs\", \"path_b64\": \"ZG9jcw==\"}\n{\"path_b64\": \"?\"}\n{\"path\": \"docs\", \"tag\": \"x\"}\n",
    );
    assert_shown!(&world, repo.tomb(&["batch-store", "rows.jsonl", "--continue-on-error"]), @r"
    exit: 2
    ----- stderr -----
    error: the manifest has 6 mistakes
      caused by: row 1 (line 1): `reason` is none of `dead`, `pruned`, `legacy`, `replaced`
      caused by: row 2 (line 2): `path` is missing
      caused by: row 3 (line 3): `path` leaves paths out, and a row is to name some
      caused by: row 4 (line 4): `path` and `path_b64` are both there
      caused by: row 5 (line 5): `path_b64` is not Base64
      caused by: row 6 (line 6): unknown field `tag`; did you mean `tags`?
    ");
    repo.write(
        "rows.csv",
        "path,reason,tags\nsrc,dead,\nsrc/legacy/old.py,legacy,\nREADME.md,,a\n./README.md,,b\nREADME.md,,a\ndocs,,\n",
    );
    assert_shown!(&world, repo.tomb(&["batch-store", "rows.csv", "--continue-on-error"]), @r"
    exit: 2
    ----- stderr -----
    error: rows of the manifest contradict each other
      caused by: row 2 (line 3): names src/legacy/old.py, and so does row 1 with other `reason`
      caused by: row 4 (line 5): names README.md, and so does row 3 with other `tags`
    hint: leave one of the rows out, or let them say the same
    ");
    repo.write(
        "rows.csv",
        "path,tags,metadata\ndocs,,\"{\"\"\"\": \"\"x\"\"}\"\nsrc,\"[\"\"a\"\", \"\"\"\"]\",\ndocs,,=x\n",
    );
    assert_shown!(&world, repo.tomb(&["batch-store", "rows.csv"]), @r"
    exit: 2
    ----- stderr -----
    error: the manifest has 3 mistakes
      caused by: row 1 (line 2): `metadata` has a key that is empty
      caused by: row 2 (line 3): `tags` has one that is empty
      caused by: row 3 (line 4): `metadata` is not `key=value`, several separated by `;`, each key once
    ");
    for option in [["--tag", ""], ["--metadata", "=x"], ["--ref", "=x"]] {
        repo.tomb(&[&["store", "docs"][..], &option].concat()).exits(2);
    }
    repo.tomb(&["batch-store", "missing.csv"]).exits(2);
    repo.tomb(&["batch-store"]).exits(2);
    repo.tomb_with_input(&["batch-store", "-"], b"").exits(2);
    for name in ["rows.csv", "rows.jsonl"] {
        std::fs::remove_file(repo.path.join(name)).unwrap();
    }
    assert_eq!(repo.look(), before);
    assert!(!repo.exists(".git/archive-tomb"));
    let run = repo.tomb_with_input(&["batch-store", "-"], b"[]").exits(0);
    assert_eq!((run.stdout_text(), run.stderr_text()), (String::new(), "nothing to archive\n".to_owned()));
}

#[test]
fn one_refused_path_refuses_all_unless_it_may_carry_on() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("new.txt", "not tracked\n");
    repo.write("src/legacy/run.sh", "#!/bin/sh\necho changed\n");
    repo.write("rows", "path\ndocs\nnew.txt\nsrc/legacy\nnowhere\n.codex\n");
    let outside = repo.tomb_with_input(&["batch-store", "-"], b"path\ndocs\n../else\n").exits(1).stderr_text();
    assert!(outside.contains("caused by: row 2: ../else: is not a path here: "), "{outside}");
    let before = repo.look();
    assert_shown!(&world, repo.tomb(&["batch-store", "rows"]), @r"
    exit: 1
    ----- stderr -----
    error: 4 paths cannot be archived
      caused by: row 5: .codex: matches no tracked file
      caused by: row 2: new.txt: is not tracked
      caused by: row 4: nowhere: matches no tracked file
      caused by: row 3: src/legacy/run.sh: has local changes
    hint: commit it first: `git add -- <path> && git commit`
    hint: commit or `git stash` the changes first, or archive them as they stand with `--allow-dirty`
    ");
    assert_eq!(repo.look(), before);
    let planned = repo.tomb(&["batch-store", "rows", "--continue-on-error", "--dry-run"]).exits(1);
    let paths = |json: &[serde_json::Value]| {
        json.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths(&planned.json()), ["docs/old.md", "src/legacy/old.py"]);
    assert_eq!(repo.look(), before);
    let run = repo.with("CODEX_ARCHIVE_BATCH_CONTINUE_ON_ERROR", "true").tomb(&["batch-store", "rows"]).exits(1);
    assert_eq!(paths(&run.json()), ["docs/old.md", "src/legacy/old.py"]);
    let told = run.stderr_text();
    assert!(told.contains("warning: row 3: src/legacy/run.sh: has local changes\n"), "{told}");
    assert!(told.contains("archived 2 files") && told.contains("left out 4 paths that cannot be archived\n"), "{told}");
    repo.commit("archive");
    repo.tomb_ok(&["verify", "--all", "--deep"]);
    // Once more: what is archived is passed over.
    let again = repo.tomb(&["batch-store", "rows", "--continue-on-error"]).exits(1);
    assert!(again.json().iter().all(|item| item["status"] == "skipped"), "{again}");
}

#[test]
fn a_row_whose_record_would_be_too_long_is_left_out_like_any_that_is_refused() {
    let world = World::new();
    let repo = world.sample("project");
    let long = "x".repeat(62 << 10);
    let rows = format!(
        "{{\"path\": \"docs\"}}\n{{\"path\": \"README.md\", \"metadata\": {{\"a\": \"{long}\"}}}}\n{{\"path\": \"nowhere\"}}\n"
    );
    repo.write("rows.jsonl", rows);
    let more = format!("z={}", "x".repeat(3000));
    let before = repo.look();
    assert_shown!(&world, repo.tomb(&["batch-store", "rows.jsonl", "--metadata", &more]), @r"
    exit: 1
    ----- stderr -----
    error: 2 paths cannot be archived
      caused by: row 2: README.md: cannot be recorded: the line is longer than 64 KiB
      caused by: row 3: nowhere: matches no tracked file
    hint: give fewer or shorter tags, facts and references
    ");
    assert_eq!(repo.look(), before);
    let run = repo.tomb(&["batch-store", "rows.jsonl", "--metadata", &more, "--continue-on-error"]).exits(1);
    assert_eq!(run.json().len(), 1, "{run}");
    let told = run.stderr_text();
    for told_of in ["row 2: README.md: cannot be recorded", "row 3: nowhere: matches", "left out 2 paths"] {
        assert!(told.contains(told_of), "{told}");
    }
    assert!(repo.read_text("docs/old.md").contains("stub v1"));
    let run = repo.tomb(&["store", "README.md", "--metadata", &more, "--metadata", &format!("a={long}")]).exits(2);
    assert!(run.stderr_text().contains("README.md: cannot be recorded: "), "{run}");
}

#[test]
fn paths_are_as_the_command_line_has_them_wherever_one_stands() {
    let world = World::new();
    let repo = world.sample("project");
    let odd = [path_of(b"odd/caf\xe9"), "odd/new\nline".into(), "odd/a*b".into(), "odd/a-b".into()];
    for path in &odd {
        repo.write(path, "odd\n");
    }
    repo.commit_all("odd");
    let rows = r#"[{"path": "../../docs"}, {"path": "old.py", "tags": ["here"]}, {"path": ":/README.md"},
                   {"path_b64": "Li4vLi4vb2RkL2NhZuk="}, {"path": "../../odd/new\nline"}, {"path": "../../odd/a\\*b"}]"#;
    let run = repo.below("src/legacy").tomb_with_input(&["batch-store", "-"], rows.as_bytes()).exits(0);
    assert_eq!(run.json().len(), 6, "{run}");
    assert_eq!(repo.tomb_ok(&["list", "--tag", "here", "--json"]).json()[0]["path"], "src/legacy/old.py");
    assert_eq!(repo.read("odd/a-b"), b"odd\n", "no row names it");
    assert!(repo.read_text(&odd[0]).contains("stub v1"));
}

#[test]
fn thousands_of_rows_take_no_git_process_each() {
    let world = World::new();
    let repo = world.init("project");
    let mut rows = "path,tags\n".to_owned();
    for file in 0..300 {
        repo.write(format!("old/{file}.txt"), format!("{file}\n"));
        // As `find . -type f` prints them, too.
        let here = if file % 2 == 0 { "./" } else { "" };
        writeln!(rows, "{here}old/{file}.txt,t{}", file % 50).unwrap();
    }
    repo.commit_all("first");
    repo.write("rows.csv", rows);
    let processes = repo.git_processes_of(&["batch-store", "-q", "rows.csv"]).len();
    assert!(processes < 60, "{processes}");
    assert_eq!(repo.tomb_ok(&["list", "--tag", "t7", "--json"]).json().len(), 6);
}

#[test]
fn a_dry_run_touches_nothing_at_all() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "-q", "docs"]);
    repo.commit("archive");
    repo.write("src/legacy/run.sh", "#!/bin/sh\necho changed, and not in git\n");
    repo.write("rows", "path,reason\n.,legacy\n");
    let everything = |repo: &Repo<'_>| {
        let script = "find . -type f -exec sha256sum {} + | sort; find . -type d | sort";
        String::from_utf8(repo.command("sh").args(["-c", script]).output().unwrap().stdout).unwrap()
    };
    repo.git(&["status"]);
    let before = everything(&repo);
    let mut results = Vec::new();
    for command in [
        &["batch-store", "rows", "--allow-dirty", "--dry-run", "--json"][..],
        &["store", ".", "--reason", "legacy", "--allow-dirty", "-n"],
    ] {
        results.push(repo.tomb_ok(command).json());
        assert_eq!(everything(&repo), before, "{command:?}");
    }
    assert_eq!(results[0], results[1]);
    let shown: Vec<_> = results[0].iter().map(|item| (item["path"].as_str().unwrap(), &item["status"])).collect();
    assert_eq!(shown[1], ("docs/old.md", &"skipped".into()));
    assert_eq!(shown[4], ("src/legacy/run.sh", &"planned".into()));
    assert_eq!(results[0][4]["size_bytes"], 39);
    assert_eq!(results[0][4]["object"].as_str().unwrap(), repo.git(&["hash-object", "src/legacy/run.sh"]));
}

#[test]
fn what_was_stopped_is_finished_as_each_row_said() {
    let world = World::new();
    for fault in ["journal", "rows", "evidence", "file", "index"] {
        let repo = world.sample(fault);
        let rows = b"path,reason,tags\ndocs,replaced,new\nsrc/legacy,legacy,old;older\n";
        repo.with("GIT_ARCHIVE_TOMB_FAULT", fault).tomb_with_input(&["batch-store", "-"], rows);
        repo.tomb_ok(&["doctor", "--continue"]);
        let found = listed(&repo);
        let told: Vec<_> = found.iter().map(|item| (item.0.as_str(), item.1.as_str(), item.2.join(" "))).collect();
        assert_eq!(
            told,
            [
                ("docs/old.md", "replaced", "new".to_owned()),
                ("src/legacy/old.py", "legacy", "old older".to_owned()),
                ("src/legacy/run.sh", "legacy", "old older".to_owned()),
            ],
            "{fault}"
        );
        repo.commit("archive");
        repo.tomb_ok(&["verify", "--all", "--deep", "--strict"]);
    }
}

#[test]
fn a_store_that_an_earlier_version_began_is_finished() {
    let world = World::new();
    let repo = world.sample("project");
    let options = ["--reason", "legacy", "--tag", "t", "--metadata", "k=v"];
    repo.with("GIT_ARCHIVE_TOMB_FAULT", "journal").tomb(&[&["store", "docs", "src/legacy"][..], &options].concat());
    let folder = repo.path.join(".git/archive-tomb/operations");
    let journal = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path().join("plan.json");
    let mut entry: serde_json::Value = serde_json::from_slice(&std::fs::read(&journal).unwrap()).unwrap();
    // As version 1 has it: one label, written out in the plan.
    assert_eq!(entry["header"]["version"], 2);
    entry["header"]["version"] = 1.into();
    let plan = entry["plan"].as_object_mut().unwrap();
    let label = plan.remove("labels").unwrap()[0].clone();
    plan.extend(label.as_object().unwrap().clone());
    for item in plan["items"].as_array_mut().unwrap() {
        item.as_object_mut().unwrap().remove("label").unwrap();
    }
    std::fs::write(&journal, entry.to_string()).unwrap();
    repo.tomb_ok(&["doctor", "--continue"]);
    for (_, reason, tags, metadata) in listed(&repo) {
        assert_eq!((reason.as_str(), tags, &metadata["k"]), ("legacy", vec!["t".to_owned()], &"v".into()));
    }
    repo.commit("archive");
    repo.tomb_ok(&["verify", "--all", "--deep", "--strict"]);
}
