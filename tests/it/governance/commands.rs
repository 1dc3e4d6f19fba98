//! The commands of governance, from a request to the destruction of bytes, as people type them.

use crate::common::{Repo, World, assert_shown};

/// What is archived, and destroyed.
pub(super) const SECRET: &str = "docs/old.md";

/// Returns a repository in which some files are archived, and all is committed.
pub(super) fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.git(&["config", "remote.origin.url", "https://example.org/project.git"]);
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    repo
}

/// Asks for the purge of an item.
pub(super) fn request(repo: &Repo<'_>, target: &str) {
    repo.tomb_ok(&["prune-request", target, "--by", "Ada <ada@example.org>", "--reason", "Contains PII"]);
}

/// The purge by two persons.
pub(super) fn purge<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let two = ["--by", "Ada <ada@example.org>", "--second", "Bob <bob@example.org>", "--reason", "Contains PII"];
    [&["purge", target], &two[..], more].concat()
}

/// Returns the archive's events of one action.
pub(super) fn events(repo: &Repo<'_>, action: &str) -> Vec<serde_json::Value> {
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let mut lines = archive.prepare("SELECT line FROM event WHERE action = ?1 ORDER BY id").unwrap();
    let lines = lines.query_map([action], |row| row.get::<_, String>(0)).unwrap();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

#[test]
fn the_runbook_runs_as_it_is_written() {
    let world = World::new();
    let repo = archived(&world);
    let tombstone = repo.tombstone_at(SECRET);
    assert_shown!(&world, repo.tomb(&["prune-request", &tombstone, "--by", "marc", "--reason", "Contains PII"]), @r"
    exit: 0
    ----- stdout -----
    requested  [uuid]  project:docs/old.md
    ----- stderr -----
    request [uuid] stands for 30 days; commit its evidence with `git commit`
    hint: two persons approve it: `git archive-tomb approve [uuid]`
    ");
    let runbook = [
        "purge",
        &tombstone,
        "--by",
        "primary-approver",
        "--second",
        "secondary-approver",
        "--reason",
        "Contains PII",
        "--apply",
    ];
    assert_shown!(&world, repo.tomb(&runbook), @r#"
    exit: 0
    ----- stdout -----
    purged  [uuid]  project:docs/old.md

    this repository still has the bytes:
      commit             1  [object] docs/old.md
      branch             1  main
      reflog             4  refs/heads/main@{0}
                            refs/heads/main@{1}
                            HEAD@{0}
                            HEAD@{1}
      object             1  [object], in a file of its own
    what takes it out of here, at the top of the main working tree:
      # commits what is staged, such as the evidence of a purge: what comes next
      # would lose it
      git diff --cached --quiet || git commit -q -m 'Record what was destroyed'
      # lists the blobs
      printf '%s\n' [object] > "$(git rev-parse --git-dir)/purged-blobs"
      # rewrites all commits of this clone without them, if nothing is staged: what
      # else is under way in files that git tracks is lost. Stubs and evidence stay
      # as they are, the ids of commits change, and the remote `origin` has to be
      # added again
      git diff --cached --quiet && git filter-repo --force --strip-blobs-with-ids "$(git rev-parse --git-dir)/purged-blobs"
      # removes the list
      rm -f "$(git rev-parse --git-dir)/purged-blobs"
      # forgets what branches were before
      git reflog expire --expire=now --all
      # removes what nothing leads to any more
      git gc --quiet --prune=now
    then push what was rewritten by force, and have everybody clone anew: other
    clones, forks, pull requests and caches of hosts, and backups keep what they
    have, and were not looked at

    what the archive's storage keeps for a while:
      what the file system, snapshots and flash memory keep of a file's earlier
      states, and copies of the file
        until they are overwritten or deleted
    ----- stderr -----
    destroyed 26 bytes in the archive; 2 contents beside them moved
    the evidence is staged; commit it with `git commit`
    "#);
    repo.commit("purge");
    assert_shown!(&world, repo.tomb(&["cat", &tombstone]), @r"
    exit: 4
    ----- stderr -----
    error: item [uuid] is purged
      caused by: the bytes were destroyed on [date], approved by `primary-approver` and `secondary-approver` (Contains PII)
    ");
    assert_shown!(&world, repo.tomb(&["restore", SECRET]), @r#"
    exit: 4
    ----- stderr -----
    {"ts":"[time]","level":"error","action":"RESTORE_FAIL","actor":"A Maintainer <maintainer@example.org>","message":"Restore failed: item [uuid] is purged: the bytes were destroyed on [date], approved by `primary-approver` and `secondary-approver` (Contains PII)"}
    error: item [uuid] is purged
      caused by: the bytes were destroyed on [date], approved by `primary-approver` and `secondary-approver` (Contains PII)
    "#);
    assert_shown!(&world, repo.tomb(&runbook), @r"
    exit: 4
    ----- stderr -----
    error: item [uuid] is purged
      caused by: the bytes were destroyed on [date], approved by `primary-approver` and `secondary-approver` (Contains PII)
    hint: `git archive-tomb show [uuid]` tells the whole story
    ");
    assert_shown!(&world, repo.tomb(&["list", "--path", SECRET]), @r"
    exit: 0
    ----- stdout -----
    [uuid]  [date]    26 bytes  dead  project:docs/old.md  [purged]
    ");
    assert_purged(&repo);
}

/// Asserts what a purge by the runbook leaves.
fn assert_purged(repo: &Repo<'_>) {
    repo.tomb_ok(&["verify", "--all", "--deep"]);
    repo.tomb_ok(&["evidence", "verify"]);
    repo.tomb_ok(&["health-check", "--deep"]);
    repo.tomb_ok(&["doctor"]);
    // Its neighbour in the same block, and what only git has still.
    repo.tomb_ok(&["restore", "src/legacy"]);
    repo.tomb_ok(&["restore", "--from", "history", SECRET, "out.md"]);
    assert_eq!(repo.read_text("out.md"), "# Old\n\nNobody reads this.\n");
    assert_eq!(repo.git(&["hash-object", "src/legacy/old.py"]), repo.git(&["rev-parse", "HEAD~2:src/legacy/old.py"]));
    let approvals = events(repo, "DELETE_APPROVED");
    assert_eq!(
        approvals.iter().map(|record| &record["actor"]).collect::<Vec<_>>(),
        ["primary-approver", "secondary-approver"]
    );
    let [purge] = &events(repo, "PURGE")[..] else { panic!("one purge") };
    assert_eq!(
        (&purge["actor"], &purge["second"], &purge["reason"], &purge["request"]),
        (&"primary-approver".into(), &"secondary-approver".into(), &"Contains PII".into(), &approvals[0]["request"])
    );
}

#[test]
fn without_apply_approvals_are_recorded_and_the_bytes_stay() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    assert_shown!(&world, repo.tomb(&["purge", SECRET, "--by", "Ada <ada@example.org>", "--reason", "PII"]), @r"
    exit: 0
    ----- stdout -----
    approved  [uuid]  project:docs/old.md
    ----- stderr -----
    the bytes stay until `--apply`, and another approval is missing; commit the evidence with `git commit`
    ");
    assert_shown!(&world, repo.tomb(&purge(SECRET, &[])), @r"
    exit: 0
    ----- stdout -----
    approved  [uuid]  project:docs/old.md
    ----- stderr -----
    the bytes stay until `--apply`; commit the evidence with `git commit`
    ");
    assert_shown!(&world, repo.tomb(&purge(SECRET, &[])), @r"
    exit: 0
    ----- stderr -----
    all of them have approved already; the bytes stay until `--apply`
    ");
    repo.tomb_ok(&["cat", SECRET]);
    assert_eq!(events(&repo, "DELETE_APPROVED").len(), 2, "nobody's twice");
    assert!(events(&repo, "PURGE").is_empty());
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    assert_eq!(events(&repo, "DELETE_APPROVED").len(), 2, "those that are there count");
    let _ = repo.tomb(&["cat", SECRET]).exits(4);
}

#[test]
fn all_that_is_in_the_way_is_said_at_once_and_nothing_is_done() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("docs/copy.md", repo.read("docs/old.md"));
    repo.commit_all("copy");
    repo.tomb_ok(&["store", SECRET, "--delete-after", "2999-01-01"]);
    repo.tomb_ok(&["store", "docs/copy.md", "--legal-hold"]);
    repo.commit("archive");
    repo.tomb_ok(&["hold", "set", SECRET, "--by", "Carol", "--name", "CASE-7", "--reason", "Litigation"]);
    repo.commit("hold");
    let before = repo.look();
    assert_shown!(&world, repo.tomb(&["purge", SECRET, "--by", "Ada", "--second", "ADA", "--reason", "PII", "--apply"]), @r#"
    exit: 4
    ----- stderr -----
    error: the bytes of item [uuid] stay
      caused by: nobody requested it
      caused by: 1 of 2 approvals, by `Ada`
      caused by: legal hold of [date] by `A Maintainer <maintainer@example.org>` on `docs/copy.md`, in the archive and in evidence `.codex/evidence/ops/[time]-archive-[digest].jsonl`
      caused by: legal hold `CASE-7` of [date] by `Carol` on `docs/old.md`, in the archive and in evidence `.codex/evidence/ops/[time]-hold-set-[digest].jsonl` (Litigation)
      caused by: `docs/old.md` is to be kept until 2999-01-01
      caused by: `docs/copy.md` ([uuid]) has the same bytes
    hint: request it first: `git archive-tomb prune-request [uuid] --reason "<why>"`
    hint: whoever is to approve runs `git archive-tomb approve [uuid]`
    hint: whoever may release it runs `git archive-tomb hold release [uuid] --reason "<why>"`
    hint: whoever may release it runs `git archive-tomb hold release [uuid] --name CASE-7 --reason "<why>"`
    hint: wait until then, or add `--early`
    hint: add `--all-references` if these items are to lose their bytes as well
    "#);
    assert_eq!(repo.look(), before);
    let _ = repo.tomb(&["purge", SECRET, "--by", "Ada", "--second", "ADA", "--reason", "PII"]).exits(4);
    assert_eq!(repo.look(), before);
    assert!(events(&repo, "DELETE_APPROVED").is_empty() && events(&repo, "PURGE").is_empty());
    let obstacles =
        repo.tomb(&["--json", "purge", SECRET, "--by", "Ada", "--reason", "PII", "--apply"]).exits(4).json();
    let names: Vec<_> = obstacles.iter().map(|obstacle| obstacle["obstacle"].as_str().unwrap()).collect();
    assert_eq!(names, ["no-request", "approvals", "hold", "hold", "retention", "shared"]);
}

#[test]
fn nobody_is_two_persons_by_another_spelling() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    for (second, code) in [
        ("\"ada@example.org\"", 4),
        ("ADA@example.org", 4),
        ("Lovelace <ada@example.org>", 4),
        ("Lovelace <\"ada\"@example.org>", 4),
        ("ada@example.org <ada@example.org>", 4),
        ("Lovelace <ada@example.org", 2),
        ("<ada@example.org", 2),
        ("Ada (ada@example.org)", 2),
        ("ada@example.org <>", 2),
        ("Ada ada@example.org", 2),
        ("ada@example.org,", 2),
        ("mailto:ada@example.org", 2),
        ("Ada <mailto:ada@example.org>", 2),
        ("Ada <ada@example.org.>", 2),
    ] {
        let both = ["--by", "Ada <ada@example.org>", "--second", second, "--reason", "x", "--apply"];
        repo.tomb(&[&["purge", SECRET], &both[..]].concat()).exits(code);
        let turned = ["--by", second, "--second", "Ada <ada@example.org>", "--reason", "x", "--apply"];
        repo.tomb(&[&["purge", SECRET], &turned[..]].concat()).exits(code);
    }
    for command in ["prune-request", "approve"] {
        repo.tomb(&[command, SECRET, "--by", "Ada ada@example.org", "--reason", "x"]).exits(2);
    }
    assert_shown!(&world, repo.tomb(&["hold", "set", SECRET, "--by", "Ada ada@example.org", "--reason", "x"]), @r"
    exit: 2
    ----- stderr -----
    error: Ada ada@example.org is not clearly one person
    hint: say `--by 'name <e-mail>'`, an e-mail address alone, or a name
    ");
    assert!(events(&repo, "PURGE").is_empty() && events(&repo, "DELETE_APPROVED").is_empty());
}

#[test]
fn approvals_come_one_at_a_time() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["approve", SECRET, "--by", "Ada"]), @r#"
    exit: 4
    ----- stderr -----
    error: the purge of item [uuid] cannot be approved
      caused by: nobody requested it
    hint: request it first: `git archive-tomb prune-request [uuid] --reason "<why>"`
    "#);
    request(&repo, SECRET);
    assert_shown!(&world, repo.tomb(&["approve", SECRET, "--by", "Ada", "--reason", "I looked"]), @r"
    exit: 0
    ----- stdout -----
    approved  [uuid]  project:docs/old.md
    ----- stderr -----
    the purge that Ada <ada@example.org> requested on [date]: Contains PII
    1 of 2 approvals: Ada
    its evidence is staged; commit it with `git commit`
    ");
    let alone = repo.tomb(&["purge", SECRET, "--by", " ADA ", "--reason", "PII", "--apply"]).exits(4);
    assert!(alone.stderr_text().contains("1 of 2 approvals"), "{alone}");
    repo.tomb_ok(&["approve", SECRET, "--by", "Bob"]);
    repo.tomb_ok(&["purge", SECRET, "--by", "Ada", "--reason", "PII", "--apply"]);
    let [purge] = &events(&repo, "PURGE")[..] else { panic!("one purge") };
    assert_eq!((&purge["actor"], &purge["second"]), (&"Ada".into(), &"Bob".into()));
}

#[test]
fn one_request_is_open_at_a_time_and_can_be_taken_back() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["prune-request", SECRET, "--withdraw"]), @r"
    exit: 1
    ----- stderr -----
    error: no request for the purge of item [uuid] is open
    ");
    request(&repo, SECRET);
    assert_shown!(&world, repo.tomb(&["prune-request", SECRET, "--by", "Bob", "--reason", "Me too"]), @r"
    exit: 1
    ----- stderr -----
    error: request [uuid] of [time] by Ada <ada@example.org> is open already
    hint: approve it: `git archive-tomb approve [uuid]`
    hint: or take it back: `git archive-tomb prune-request [uuid] --withdraw`
    ");
    repo.tomb_ok(&["approve", SECRET, "--by", "Ada"]);
    repo.tomb_ok(&["approve", SECRET, "--by", "Bob"]);
    assert_shown!(&world, repo.tomb(&["prune-request", SECRET, "--by", "Ada", "--withdraw"]), @r"
    exit: 0
    ----- stdout -----
    withdrawn  [uuid]  project:docs/old.md
    ----- stderr -----
    request [uuid] is withdrawn; commit its evidence with `git commit`
    ");
    let refused = repo.tomb(&purge(SECRET, &["--apply"])).exits(4);
    assert!(refused.stderr_text().contains("was withdrawn on"), "{refused}");
    request(&repo, SECRET);
    let refused = repo.tomb(&["purge", SECRET, "--by", "Ada", "--reason", "PII", "--apply"]).exits(4);
    assert!(
        refused.stderr_text().contains("1 of 2 approvals"),
        "what was approved before was another request: {refused}"
    );
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
}

#[test]
fn items_with_the_same_bytes_are_named_and_lose_them_only_if_that_is_meant() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("docs/copy.md", repo.read("docs/old.md"));
    repo.commit_all("copy");
    repo.tomb_ok(&["store", "docs"]);
    repo.commit("archive");
    assert_shown!(&world, repo.tomb(&["prune-request", SECRET, "--reason", "PII"]), @r"
    exit: 0
    ----- stdout -----
    requested  [uuid]  project:docs/old.md
    requested  [uuid]  project:docs/copy.md
    ----- stderr -----
    warning: 1 other item with the same bytes would lose them too
    request [uuid] stands for 30 days; commit its evidence with `git commit`
    hint: two persons approve it: `git archive-tomb approve [uuid]`
    ");
    let refused = repo.tomb(&purge(SECRET, &["--apply"])).exits(4);
    assert!(
        refused.stderr_text().contains("docs/copy.md") && refused.stderr_text().contains("--all-references"),
        "{refused}"
    );
    // One more came since the request.
    repo.write("docs/third.md", "# Old\n\nNobody reads this.\n");
    repo.commit_all("third");
    repo.tomb_ok(&["store", "docs/third.md"]);
    let refused = repo.tomb(&purge(SECRET, &["--apply", "--all-references"])).exits(4);
    assert!(
        refused.stderr_text().contains("docs/third.md") && refused.stderr_text().contains("--withdraw"),
        "{refused}"
    );
    repo.tomb_ok(&["prune-request", SECRET, "--withdraw"]);
    request(&repo, SECRET);
    repo.tomb_ok(&purge(SECRET, &["--apply", "--all-references"]));
    for path in ["docs/old.md", "docs/copy.md", "docs/third.md"] {
        let _ = repo.tomb(&["cat", path]).exits(4);
    }
    assert_eq!(events(&repo, "PURGE").len(), 3);
    repo.commit("purge");
    repo.tomb_ok(&["verify", "--all", "--deep"]);
}

#[test]
fn what_was_purged_is_refused_at_the_next_store_unless_that_is_meant() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    repo.commit("purge");
    for path in ["again.md", "twice.md"] {
        repo.write(path, "# Old\n\nNobody reads this.\n");
    }
    repo.commit_all("again");
    let before = repo.look();
    assert_shown!(&world, repo.tomb(&["store", "again.md", "twice.md", "README.md"]), @r"
    exit: 4
    ----- stderr -----
    error: 2 paths hold bytes that were destroyed on purpose
      caused by: again.md: the bytes were destroyed on [date], approved by `Ada <ada@example.org>` and `Bob <bob@example.org>` (Contains PII)
      caused by: twice.md: the bytes were destroyed on [date], approved by `Ada <ada@example.org>` and `Bob <bob@example.org>` (Contains PII)
    hint: leave them out; or, if their bytes are to be in the archive again, add `--allow-purged`, which is recorded
    ");
    assert_eq!(repo.look(), before);
    repo.write("manifest.json", r#"[{"path": "again.md"}]"#);
    let _ = repo.tomb(&["batch-store", "manifest.json"]).exits(4);
    repo.tomb_ok(&["store", "again.md", "--allow-purged"]);
    repo.commit("back");
    let [.., record] = &events(&repo, "ARCHIVE")[..] else { panic!("it is archived") };
    assert_eq!((&record["level"], &record["request"]), (&"warn".into(), &events(&repo, "PURGE")[0]["request"]));
    repo.tomb_ok(&["restore", "again.md"]);
    assert_eq!(repo.read_text("again.md"), "# Old\n\nNobody reads this.\n");
    let _ = repo.tomb(&["cat", SECRET]).exits(4);
    repo.tomb_ok(&["store", "twice.md"]);
}

#[test]
fn commands_of_governance_work_from_anywhere_in_a_working_tree_and_nowhere_else() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["worktree", "add", "-q", "../linked"]);
    let linked = world.at("linked");
    linked.below("docs").tomb_ok(&["prune-request", "old.md", "--reason", "PII"]);
    assert!(linked.status().contains(".codex/evidence/ops"), "it is staged there");
    assert!(!repo.status().contains("prune_request"));
    let below = repo.below("src");
    below.tomb_ok(&["-C", "../docs", "approve", "old.md", "--by", "Ada"]);
    below.tomb_ok(&["hold", "set", "../docs/old.md", "--reason", "Litigation"]);
    let bare = world.at("bare");
    repo.git(&["clone", "-q", "--bare", ".", "../bare"]);
    for arguments in [
        &["prune-request", SECRET, "--reason", "x"][..],
        &["approve", SECRET],
        &["purge", SECRET, "--reason", "x", "--apply"],
        &["hold", "set", SECRET, "--reason", "x"],
        &["hold", "release", SECRET, "--reason", "x"],
    ] {
        let refused = bare.tomb(arguments).exits(2);
        assert!(refused.stderr_text().contains("working tree"), "{refused}");
    }
    bare.tomb_ok(&["hold", "list"]);
    let _ = repo.tomb(&["purge", "01234567-89ab-cdef-0123-456789abcdef", "--reason", "x"]).exits(3);
    let _ = repo.tomb(&["purge", SECRET, "--reason", " ", "--apply"]).exits(2);
    let _ = repo.tomb(&["prune-request", SECRET]).exits(2);
}

#[test]
fn programs_read_what_was_done() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["--json", "prune-request", SECRET, "--by", "Ada", "--reason", "PII"]), @r#"
    exit: 0
    ----- stdout -----
    {"action":"PRUNE_REQUEST","op":"[uuid]","tombstone":"[uuid]","sha256":"[sha256]","repo":"project","path":"docs/old.md","by":"Ada","request":"[uuid]","signed":false,"evidence":"[sha256]"}
    ----- stderr -----
    request [uuid] stands for 30 days; commit its evidence with `git commit`
    hint: two persons approve it: `git archive-tomb approve [uuid]`
    "#);
    assert_shown!(&world, repo.tomb(&["--json", "approve", SECRET, "--by", "Bob"]), @r#"
    exit: 0
    ----- stdout -----
    {"action":"DELETE_APPROVED","op":"[uuid]","tombstone":"[uuid]","sha256":"[sha256]","repo":"project","path":"docs/old.md","by":"Bob","request":"[uuid]","signed":false,"evidence":"[sha256]","requested_by":"Ada","requested_at":"[time]","request_reason":"PII","approvals":["Bob"],"needed":2,"items":[{"tombstone":"[uuid]","repo":"project","path":"docs/old.md"}]}
    ----- stderr -----
    the purge that Ada requested on [date]: PII
    1 of 2 approvals: Bob
    its evidence is staged; commit it with `git commit`
    "#);
    let purged = repo.tomb(&["--json", "purge", SECRET, "--by", "Ada", "--reason", "PII", "--apply"]).exits(0).json();
    let [purged] = &purged[..] else { panic!("one object") };
    assert_eq!((&purged["by"], &purged["second"], &purged["size_bytes"]), (&"Ada".into(), &"Bob".into(), &26.into()));
    assert!(purged["residue"]["places"].as_array().is_some_and(|places| !places.is_empty()), "{purged}");
    assert!(purged["remains"].as_array().is_some_and(|places| !places.is_empty()), "{purged}");
}

#[test]
fn an_approval_says_what_is_approved_and_is_given_once() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["config", "archivetomb.governance.requestTtl", "1h"]);
    repo.write("twin.md", format!("{}\n", repo.git(&["show", "HEAD~1:docs/old.md"]).trim_end()));
    repo.commit_all("twin");
    repo.tomb_ok(&["store", "twin.md"]);
    repo.commit("archive the twin");
    let asked = repo.tomb_ok(&["prune-request", SECRET, "--by", "Ada <ada@example.org>", "--reason", "Contains PII"]);
    assert!(asked.stderr_text().contains("stands for 1 hour;"), "{asked}");
    assert_shown!(&world, repo.tomb(&["approve", SECRET, "--by", "Bob"]), @r"
    exit: 0
    ----- stdout -----
    approved  [uuid]  project:docs/old.md
    ----- stderr -----
    the purge that Ada <ada@example.org> requested on [date]: Contains PII
      also of [uuid]  project:twin.md
    1 of 2 approvals: Bob
    its evidence is staged; commit it with `git commit`
    ");
    assert_shown!(&world, repo.tomb(&["approve", SECRET, "--by", "BOB"]), @r"
    exit: 0
    ----- stderr -----
    BOB has approved already; nothing was recorded
    the purge that Ada <ada@example.org> requested on [date]: Contains PII
      also of [uuid]  project:twin.md
    1 of 2 approvals: Bob
    ");
    assert_eq!(events(&repo, "DELETE_APPROVED").len(), 1);
    // One more that has the bytes, and that the request does not name.
    repo.write("third.md", format!("{}\n", repo.git(&["show", "HEAD~3:docs/old.md"]).trim_end()));
    repo.commit_all("third");
    repo.tomb_ok(&["store", "third.md"]);
    let approved = repo.tomb_ok(&["approve", SECRET, "--by", "Cy", "--json"]);
    let warned = approved.stderr_text();
    assert!(warned.contains("third.md") && warned.contains("as it stands, no purge comes of it"), "{warned}");
    let approved = &approved.json()[0];
    assert_eq!(approved["approvals"], serde_json::json!(["Bob", "Cy"]));
    assert_eq!((&approved["needed"], &approved["requested_by"]), (&2.into(), &"Ada <ada@example.org>".into()));
    let paths: Vec<_> = approved["items"].as_array().unwrap().iter().map(|item| item["path"].clone()).collect();
    assert_eq!(paths, [SECRET, "twin.md"]);
}

#[test]
fn what_is_purged_is_approved_for_nothing() {
    let world = World::new();
    let repo = archived(&world);
    request(&repo, SECRET);
    repo.tomb_ok(&purge(SECRET, &["--apply"]));
    repo.commit("purge");
    for what in ["purge", "restore"] {
        let refused = repo.tomb(&["approve", SECRET, "--for", what]).exits(4).stderr_text();
        assert!(refused.contains("is purged") && refused.contains("approved by `Ada <ada@example.org>`"), "{refused}");
        assert!(!refused.contains("prune-request"), "{refused}");
    }
}

#[test]
fn retention_lists_what_is_due_or_near() {
    let world = World::new();
    let repo = archived(&world);
    let day = |days: i64| {
        let today = git_archive_tomb::clock::Timestamp::now().date();
        today.checked_add(jiff::Span::new().days(days)).unwrap().to_string()
    };
    repo.write("a.txt", "a\n");
    repo.write("b.txt", "b\n");
    repo.commit_all("more");
    repo.tomb_ok(&["store", "a.txt", "--delete-after", &day(10)]);
    repo.tomb_ok(&["store", "b.txt", "--delete-after", &day(0)]);
    assert_shown!(&world, repo.tomb(&["retention"]), @r"
    exit: 0
    ----- stdout -----
    [date]  due   [uuid]  project:b.txt
    [date]  near  [uuid]  project:a.txt
    ----- stderr -----
    1 item due, 1 more until [date]
    ");
    let nul = repo.tomb_ok(&["retention", "-z"]).stdout_text();
    let record =
        |path: &str, days, when| format!("{}\t{}\t{when}\tproject\t{path}\0", repo.tombstone_at(path), day(days));
    assert_eq!(nul, [record("b.txt", 0, "due"), record("a.txt", 10, "near")].concat());
    assert_shown!(&world, repo.tomb(&["retention", "--within", "5d", "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"due":true,"tombstone":"[uuid]","repo":"project","path":"b.txt","sha256":"[sha256]","size_bytes":2,"compressed_size":[n],"commit":"[object]","object":"[object]","mode":"100644","kind":"doc","mime":"text/plain","reason":"dead","tags":[],"metadata":{},"refs":[],"dirty":false,"delete_after":"[date]","legal_hold":false,"archived_by":"A Maintainer <maintainer@example.org>","archived_at":"[time]","state":"sealed"}
    ----- stderr -----
    1 item due, 0 more until [date]
    "#);
    let both =
        "1 item may be destroyed by now, and 1 more within 30 days: `git archive-tomb retention` lists what is due";
    for command in ["list", "health-check"] {
        let run = repo.tomb_ok(&[command]);
        assert!(run.stderr_text().contains(both), "{run}");
    }
    let said = repo.tomb_ok(&["restore", "a.txt", "a.out"]).stderr_text();
    assert!(said.contains(&format!("a.txt may be destroyed soon, from {} on", day(10))), "{said}");
    let said = repo.tomb_ok(&["restore", "b.txt", "b.out"]).stderr_text();
    assert!(said.contains(&format!("b.txt may be destroyed since {}", day(0))), "{said}");
    let rows = ["a.txt", "b.txt"]
        .map(|path| format!(r#"{{"tombstone": "{}", "output": "batch/{path}"}}"#, repo.tombstone_at(path)));
    repo.write("manifest.jsonl", rows.join("\n"));
    let said = repo.tomb_ok(&["batch-restore", "manifest.jsonl"]).stderr_text();
    assert!(said.contains("1 item of the manifest may be destroyed by now, and 1 more within 30 days"), "{said}");
    let status = repo.tomb_ok(&["status"]).stdout_text();
    assert_eq!(status.matches("may be destroyed from").count(), 2, "{status}");
    repo.tomb_ok(&["prune-request", "a.txt", "--reason", "x"]);
    let early = repo.tomb(&purge("a.txt", &["--apply"])).exits(4);
    assert!(early.stderr_text().contains("is to be kept until") && early.stderr_text().contains("--early"), "{early}");
    repo.tomb_ok(&purge("a.txt", &["--apply", "--early"]));
    assert!(!repo.tomb_ok(&["retention"]).stdout_text().contains("a.txt"));
}
