//! `verify`, as people and CI call it. The rules themselves have tests of their own, beside
//! their code.

use crate::common::{FILTERS, Repo, Run, World, assert_shown, tool};

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

/// Returns a repository with a finding of each weight, staged and committed.
fn tampered(world: &World) -> Repo<'_> {
    let repo = archived(world);
    repo.write("docs/old.md", "something else\n");
    repo.write("src/legacy/old.py", repo.read_text("src/legacy/old.py").replace("reason: dead", "reason: legacy"));
    repo.git(&["mv", "src/legacy/run.sh", "a,b:%\n::x.sh"]);
    repo.git(&["add", "-u"]);
    repo
}

#[test]
fn every_format_tells_the_same_findings() {
    let world = World::new();
    let repo = tampered(&world);
    assert_shown!(&world, repo.tomb(&["verify"]), @r##"
    exit: 1
    ----- stdout -----
    warning[stub-moved]: this stub was recorded at `src/legacy/run.sh`
      at: "a,b:%\n::x.sh"
      tombstone: [uuid]
      record: [sha256]
      hint: if it should not have moved: git restore --source=HEAD --staged --worktree -- :/src/legacy/run.sh $'\072\050top,literal\051a,b\072\045\012\072\072x.sh'
    error[stub-removed]: other bytes stand where a stub stood, and no evidence says that its item was restored or purged
      at: docs/old.md
      tombstone: [uuid]
      record: [sha256]
      hint: bring the stub back with `git checkout HEAD -- :/docs/old.md`; to edit the file, first `git archive-tomb restore [uuid]`
    error[stub-mismatch]: its `reason` is not the record's
      at: src/legacy/old.py:10
      tombstone: [uuid]
      record: [sha256]
      hint: git checkout HEAD -- :/src/legacy/old.py
    2 errors, 1 warning; checked 1 commit, 1 edge, 2 stubs, 1 evidence file
    "##);
    assert_shown!(&world, repo.tomb(&["verify", "--staged", "--json"]), @r##"
    exit: 1
    ----- stdout -----
    {"rule":"stub-moved","severity":"warning","path":"a,b:%\n::x.sh","tombstone":"[uuid]","record":"[sha256]","reason":"this stub was recorded at `src/legacy/run.sh`","hint":"if it should not have moved: git restore --source=HEAD --staged --worktree -- :/src/legacy/run.sh $'\\072\\050top,literal\\051a,b\\072\\045\\012\\072\\072x.sh'"}
    {"rule":"stub-removed","severity":"error","path":"docs/old.md","tombstone":"[uuid]","record":"[sha256]","reason":"other bytes stand where a stub stood, and no evidence says that its item was restored or purged","hint":"bring the stub back with `git checkout HEAD -- :/docs/old.md`; to edit the file, first `git archive-tomb restore [uuid]`"}
    {"rule":"stub-mismatch","severity":"error","path":"src/legacy/old.py","line":10,"tombstone":"[uuid]","record":"[sha256]","reason":"its `reason` is not the record's","hint":"git checkout HEAD -- :/src/legacy/old.py"}
    "##);
    repo.commit("tamper");
    assert_shown!(&world, repo.tomb(&["verify", "--range", "HEAD~..HEAD", "--format", "github"]), @r##"
    exit: 1
    ----- stdout -----
    ::warning file=a%2Cb%3A%25%0A%3A%3Ax.sh,title=stub-moved::this stub was recorded at `src/legacy/run.sh` (tombstone [uuid]) (record [sha256]) (commit [object])%0Ahint: if it should not have moved: git restore --source=[object] --staged --worktree -- :/src/legacy/run.sh $'\072\050top,literal\051a,b\072\045\012\072\072x.sh'
    ::error file=docs/old.md,title=stub-removed::other bytes stand where a stub stood, and no evidence says that its item was restored or purged (tombstone [uuid]) (record [sha256]) (commit [object])%0Ahint: bring the stub back with `git checkout [object] -- :/docs/old.md`; to edit the file, first `git archive-tomb restore [uuid]`
    ::error file=src/legacy/old.py,line=10,title=stub-mismatch::its `reason` is not the record's (tombstone [uuid]) (record [sha256]) (commit [object])%0Ahint: git checkout [object] -- :/src/legacy/old.py
    "##);
    let sarif = repo.tomb(&["verify", "--range", "HEAD~..HEAD", "--format", "sarif"]).exits(1);
    let mut sarif: serde_json::Value = serde_json::from_slice(&sarif.stdout).unwrap();
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].take();
    assert_eq!(rules[4]["id"], "stub-mismatch");
    insta::with_settings!({ filters => FILTERS.to_vec() }, {
        insta::assert_snapshot!(serde_json::to_string_pretty(&sarif["runs"][0]["results"][1]).unwrap(), @r##"
        {
          "level": "error",
          "locations": [
            {
              "physicalLocation": {
                "artifactLocation": {
                  "uri": "docs/old.md",
                  "uriBaseId": "%SRCROOT%"
                },
                "region": {
                  "startLine": 1
                }
              }
            }
          ],
          "message": {
            "text": "other bytes stand where a stub stood, and no evidence says that its item was restored or purged\nhint: bring the stub back with `git checkout [object] -- :/docs/old.md`; to edit the file, first `git archive-tomb restore [uuid]`"
          },
          "partialFingerprints": {
            "gitArchiveTomb/v1": "315a0a22c3a88ff8:1"
          },
          "properties": {
            "commit": "[object]",
            "record": "[sha256]",
            "tombstone": "[uuid]"
          },
          "ruleId": "stub-removed",
          "ruleIndex": 8
        }
        "##);
    });
}

#[test]
fn sarif_is_valid_by_the_schema_of_the_standard() {
    const CHECK: &str = "import json, sys, jsonschema\n\
        schema = json.load(open(sys.argv[1], encoding='utf-8'))\n\
        checker = jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())\n\
        for path in sys.argv[2:]:\n\
        \x20   for error in checker.iter_errors(json.load(open(path, encoding='utf-8'))):\n\
        \x20       sys.exit(f'{path}: {error.json_path}: {error.message}')\n";
    let Some(python) = tool("python3") else { return };
    let schema = python.parent().unwrap().with_file_name("sarif-2.1.0.schema.json");
    let world = World::new();
    let repo = tampered(&world);
    let sarif = |arguments: &[&str], code: i32, name: &str| {
        let run = repo.tomb(&[&["verify", "--format", "sarif"], arguments].concat()).exits(code);
        repo.write(name, run.stdout);
        name.to_owned()
    };
    let mut files = vec![sarif(&["--all"], 1, "all.sarif"), sarif(&[], 1, "staged.sarif")];
    repo.commit("tamper");
    files.push(sarif(&["--range", "HEAD~..HEAD"], 1, "range.sarif"));
    files.push(sarif(&[], 0, "nothing.sarif"));
    let lost = repo.git(&["rev-parse", "HEAD~"]);
    repo.write(".git/shallow", repo.git(&["rev-parse", "HEAD"]));
    std::fs::remove_file(repo.path.join(".git/objects").join(&lost[..2]).join(&lost[2..])).unwrap();
    files.push(sarif(&["--all"], 1, "incomplete.sarif"));
    let check = |files: &[String]| {
        let mut command = repo.command(&python);
        Run::from(command.args(["-c", CHECK]).arg(&schema).args(files).output().unwrap())
    };
    check(&files).exits(0);
    // The check itself is one.
    repo.write("wrong.sarif", repo.read_text("range.sarif").replace("\"startLine\": 1", "\"startLine\": 0"));
    check(&["wrong.sarif".to_owned()]).exits(1);
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
        let deep = repo.tomb(&["verify", "--all", "--deep", "--json"]).exits(1);
        assert!(deep.stdout_text().contains(rule), "{sql}: {deep}");
        // Each hint that is a command brings the file back.
        for finding in deep.json().iter().filter(|finding| finding["line"].is_null()) {
            let command = finding["hint"].as_str().unwrap().split('`').nth(1).unwrap();
            let done = Run::from(repo.command("sh").args(["-c", command]).output().unwrap());
            assert_eq!(done.code, Some(0), "{command}: {done}");
        }
        repo.tomb_ok(&["verify"]);
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
