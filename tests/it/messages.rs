//! What people see: whole results of every command, when it does its work and when it is used in the commonest wrong ways.

#![expect(clippy::too_many_lines, reason = "what people see is as long as it is")]

use crate::common::{Repo, Run, World, assert_shown};

/// A repository with two stubs in a commit.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src/legacy", "--by", "marc", "--reason", "legacy", "--tag", "old"]);
    repo.commit("archive");
    repo
}

#[test]
fn init() {
    let world = World::new();
    let repo = world.sample("project");
    assert_shown!(&world, repo.tomb(&["init"]), @r"
    exit: 0
    ----- stderr -----
    made the archive [world]/project/.git/archive-tomb/archive.sqlite ([uuid])
    linked .codex/archive.sqlite
    linked .codex/evidence/archive_ops.jsonl
    wrote .codex/archive.toml, in which every setting is a comment
    staged .codex/.gitattributes and .codex/.gitignore
    installed the hooks pre-commit, pre-merge-commit, pre-push
    ");
    assert_shown!(&world, repo.tomb(&["init"]), @r"
    exit: 0
    ----- stderr -----
    uses the archive [world]/project/.git/archive-tomb/archive.sqlite ([uuid])
    kept the hooks pre-commit, pre-merge-commit, pre-push
    ");
}

#[test]
fn store() {
    let world = World::new();
    let repo = world.sample("project");
    assert_shown!(&world, repo.tomb(&["store", "--dry-run", "docs"]), @r#"
    exit: 0
    ----- stdout -----
    {"size_bytes":26,"repo":"project","path":"docs/old.md","object":"[object]","commit":"[object]","reason":"dead","status":"planned"}
    ----- stderr -----
    would archive 1 file (26 bytes); nothing was changed
    "#);
    assert_shown!(&world, repo.tomb(&["store", "src/legacy", "docs"]), @r#"
    exit: 0
    ----- stdout -----
    {"tombstone":"[uuid]","sha256":"[sha256]","size_bytes":26,"compressed_size":[n],"repo":"project","path":"docs/old.md","object":"[object]","commit":"[object]","reason":"dead","evidence":"[sha256]","status":"stored"}
    {"tombstone":"[uuid]","sha256":"[sha256]","size_bytes":46,"compressed_size":[n],"repo":"project","path":"src/legacy/old.py","object":"[object]","commit":"[object]","reason":"dead","evidence":"[sha256]","status":"stored"}
    {"tombstone":"[uuid]","sha256":"[sha256]","size_bytes":22,"compressed_size":[n],"repo":"project","path":"src/legacy/run.sh","object":"[object]","commit":"[object]","reason":"dead","evidence":"[sha256]","status":"stored"}
    ----- stderr -----
    made the archive [world]/project/.git/archive-tomb/archive.sqlite
    archived 3 files (94 bytes, 94 bytes in the archive)
    stubs and evidence are staged; commit them with `git commit`
    "#);
    assert_shown!(&world, repo.tomb(&["store", "docs"]), @r#"
    exit: 0
    ----- stdout -----
    {"tombstone":"[uuid]","repo":"project","path":"docs/old.md","commit":"[object]","reason":"dead","status":"skipped"}
    ----- stderr -----
    skipped 1 path that is a stub already
    nothing to archive
    "#);
}

#[test]
fn store_used_wrongly() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("new.txt", "new");
    repo.write("README.md", "changed");
    repo.write("staged.txt", "staged");
    repo.git(&["add", "staged.txt"]);
    assert_shown!(&world, repo.tomb(&["store", "."]), @r"
    exit: 1
    ----- stderr -----
    error: 1 path cannot be archived
      caused by: README.md: has local changes
    hint: commit or `git stash` the changes first, or archive them as they stand with `--allow-dirty`
    ");
    assert_shown!(&world, repo.tomb(&["store", "new.txt", "README.md", "staged.txt", "missing", ".codex"]), @r"
    exit: 1
    ----- stderr -----
    error: 5 paths cannot be archived
      caused by: .codex: matches no tracked file
      caused by: README.md: has local changes
      caused by: missing: matches no tracked file
      caused by: new.txt: is not tracked
      caused by: staged.txt: is not in the commit
    hint: commit or `git stash` the changes first, or archive them as they stand with `--allow-dirty`
    hint: commit it first: `git add -- <path> && git commit`
    hint: commit first, or name the commit with `--commit`
    ");
    assert_shown!(&world, repo.tomb(&["store", "README.md"]), @r"
    exit: 1
    ----- stderr -----
    error: 1 path cannot be archived
      caused by: README.md: has local changes
    hint: commit or `git stash` the changes first, or archive them as they stand with `--allow-dirty`
    ");
    assert_shown!(&world, repo.tomb(&["store", "_codex_", "docs/old.md"]), @r"
    exit: 1
    ----- stderr -----
    error: 1 path cannot be archived
      caused by: _codex_: matches no tracked file
    hint: a repository's name is given with `--repo _codex_`
    ");
    assert_shown!(&world, repo.tomb(&["store", "docs", "--reason", "unused"]), @r"
    exit: 2
    ----- stderr -----
    error: invalid value 'unused' for '--reason <dead|pruned|legacy|replaced>': `unused` is not a reason (dead, pruned, legacy or replaced)

    For more information, try '-h'.
    ");
    assert_shown!(&world, repo.tomb(&["store", "docs", "--commit", "v1"]), @r"
    exit: 2
    ----- stderr -----
    error: `v1` is not a revision of this repository
    ");
    assert_shown!(&world, repo.tomb(&["store"]), @r"
    exit: 2
    ----- stderr -----
    error: the following required arguments were not provided:
      <PATH>...

    Usage: git archive-tomb store <PATH>...

    For more information, try '-h'.
    ");
    let nobody = repo.with("GIT_CONFIG_GLOBAL", "/dev/null");
    assert_shown!(&world, nobody.tomb(&["store", "docs"]), @r"
    exit: 2
    ----- stderr -----
    error: nobody is named as the one who does this
    hint: name somebody with `--by`, or tell git who you are: `git config user.name` and `user.email`
    ");
    let empty = world.init("empty");
    assert_shown!(&world, empty.tomb(&["store", "."]), @r"
    exit: 2
    ----- stderr -----
    error: `HEAD` is not a revision of this repository
    hint: there is no commit yet: commit first
    ");
}

#[test]
fn restore() {
    let world = World::new();
    let repo = archived(&world).with("CODEX_ARCHIVE_LOG_FORMAT", "text");
    assert_shown!(&world, repo.tomb(&["restore", "src/legacy/old.py", "copy.py"]), @r"
    exit: 0
    ----- stdout -----
    copy.py
    ----- stderr -----
    [[time]] INFO   Restore started
    [[time]] INFO   Decompression completed in [ms]
    [[time]] INFO   File written in [ms]
    [[time]] INFO   Restore completed in [ms]
    ");
    assert_shown!(&world, repo.tomb(&["restore", "src/legacy/old.py", "copy.py", "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"tombstone":"[uuid]","sha256":"[sha256]","size_bytes":46,"repo":"project","path":"src/legacy/old.py","output":"copy.py","status":"present"}
    ----- stderr -----
    [[time]] INFO   Restore started
    copy.py is the item already; nothing was written
    "#);
    assert_shown!(&world, repo.tomb(&["-q", "restore", "src/legacy/old.py", "-"]), @r"
    exit: 0
    ----- stdout -----
    import os


    def old():
        return os.getcwd()
    ");
    assert_shown!(&world, repo.tomb(&["restore", "src/legacy"]), @r"
    exit: 0
    ----- stdout -----
    src/legacy/old.py
    src/legacy/run.sh
    ----- stderr -----
    [[time]] INFO   Restore started
    [[time]] INFO   Decompression completed in [ms]
    [[time]] INFO   File written in [ms]
    [[time]] INFO   Restore completed in [ms]
    restored 2 files; files and evidence are staged, commit them with `git commit`
    ");
    repo.git(&["clone", "-q", ".", "../clone"]);
    assert_shown!(&world, world.at("clone").tomb(&["-q", "restore", "src/legacy/run.sh", "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"tombstone":"[uuid]","sha256":"[sha256]","size_bytes":22,"repo":"project","path":"src/legacy/run.sh","source":"history","evidence":"[sha256]","status":"restored"}
    "#);
}

#[test]
fn restore_used_wrongly() {
    let world = World::new();
    let repo = archived(&world).with("CODEX_ARCHIVE_LOG_FORMAT", "text");
    assert_shown!(&world, repo.tomb(&["restore", "8e3531b9-c839-5a07-9dec-507c36136eb1"]), @r"
    exit: 3
    ----- stderr -----
    [[time]] ERROR  Restore failed: no item has a tombstone `[uuid]`
    error: no item has a tombstone `[uuid]`
    hint: `git archive-tomb list` shows what there is
    ");
    assert_shown!(&world, repo.tomb(&["restore", "README.md"]), @r"
    exit: 3
    ----- stderr -----
    [[time]] ERROR  Restore failed: there is no stub at `README.md`
    error: there is no stub at `README.md`
    hint: `git archive-tomb status` lists the stubs here, `git archive-tomb list` all items
    ");
    assert_shown!(&world, repo.tomb(&["restore", "src/legacy/old.py", "README.md"]), @r"
    exit: 1
    ----- stderr -----
    [[time]] INFO   Restore started
    [[time]] ERROR  Restore failed: `[world]/project/README.md` exists and is not the item
    error: `[world]/project/README.md` exists and is not the item
    hint: choose another place, or replace it with `--force`
    ");
    assert_shown!(&world, repo.tomb(&["restore", "--force", "src/legacy/old.py", "src"]), @r"
    exit: 1
    ----- stderr -----
    [[time]] INFO   Restore started
    [[time]] ERROR  Restore failed: `[world]/project/src` is a folder
    error: `[world]/project/src` is a folder
    hint: name a file in it: `[world]/project/src/old.py`
    ");
    assert_shown!(&world, repo.tomb(&["restore", "src/legacy", "out"]), @r"
    exit: 2
    ----- stderr -----
    [[time]] ERROR  Restore failed: `src/legacy` means several stubs, and one is needed
    error: `src/legacy` means several stubs, and one is needed
    hint: name one stub's path, or a tombstone
    ");
    repo.write("src/legacy/old.py", "edited");
    assert_shown!(&world, repo.tomb(&["restore", "src/legacy/old.py"]), @r"
    exit: 1
    ----- stderr -----
    [[time]] ERROR  Restore failed: `src/legacy/old.py` is in the way: it is not the stub of item [uuid]
    error: `src/legacy/old.py` is in the way: it is not the stub of item [uuid]
    hint: restore to another file, by naming one, or replace what is there with `--force`
    ");
}

#[test]
fn finding_items() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["list"]), @r"
    exit: 0
    ----- stdout -----
    [uuid]  [date]    46 bytes  legacy  project:src/legacy/old.py
    [uuid]  [date]    22 bytes  legacy  project:src/legacy/run.sh
    ");
    assert_shown!(&world, repo.tomb(&["list", "--path", "src/legacy/old.py", "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"tombstone":"[uuid]","repo":"project","path":"src/legacy/old.py","sha256":"[sha256]","size_bytes":46,"compressed_size":[n],"commit":"[object]","object":"[object]","mode":"100644","kind":"code","language":"python","mime":"text/x-python","reason":"legacy","tags":["old"],"metadata":{},"refs":[],"dirty":false,"legal_hold":false,"archived_by":"marc","archived_at":"[time]","state":"sealed"}
    "#);
    assert_shown!(&world, repo.tomb(&["list", "--tag", "new"]), @"exit: 0");
    assert_shown!(&world, repo.tomb(&["show", "src/legacy/old.py"]), @r"
    exit: 0
    ----- stdout -----
    tombstone    [uuid]
    path         src/legacy/old.py
    repo         project
    commit       [object]
    object       [object]
    sha256       [sha256]
    size         46 bytes (46 bytes stored)
    mode         100644
    kind         code
    language     python
    mime         text/x-python
    reason       legacy
    tag          old
    archived-by  marc
    archived-at  [time]
    state        sealed

    events
      [time]  ARCHIVE stored
          by marc: legacy
    ");
    assert_shown!(&world, repo.tomb(&["cat", "src/legacy/run.sh"]), @r"
    exit: 0
    ----- stdout -----
    #!/bin/sh
    echo legacy
    ");
    repo.write("src/legacy/run.sh", "#!/bin/sh\necho new\n");
    assert_shown!(&world, repo.tomb(&["diff", "src/legacy/run.sh"]), @r"
    exit: 0
    ----- stdout -----
    old mode 100755
    new mode 100644
    --- [uuid]:src/legacy/run.sh
    +++ src/legacy/run.sh
    @@ -1,2 +1,2 @@
     #!/bin/sh
    -echo legacy
    +echo new
    ");
    assert_shown!(&world, repo.tomb(&["diff", "src/legacy/run.sh", "--rev", "HEAD~1"]), @"exit: 0");
    assert_shown!(&world, repo.tomb(&["list", "--since", "yesterday"]), @r"
    exit: 2
    ----- stderr -----
    error: `--since` does not take `yesterday`
    hint: give a date (`[date]`), a time (`[time]`) or days ago (`30d`)
    ");
    assert_shown!(&world, world.sample("other").tomb(&["list"]), @r"
    exit: 6
    ----- stderr -----
    error: there is no archive at `[world]/other/.git/archive-tomb/archive.sqlite`
    hint: `git archive-tomb init` makes an empty one
    hint: this reads an archive alone; `git archive-tomb cat` and `git archive-tomb restore` read git's history too
    ");
}

#[test]
fn status() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, world.init("empty").tomb(&["status"]), @r"
    exit: 0
    ----- stdout -----
    no stubs here
    ");
    assert_shown!(&world, repo.tomb(&["status"]), @r"
    exit: 0
    ----- stdout -----
    2 stubs for 68 bytes of files
           2  in the archive and in git's history, only on this machine
              src/legacy/old.py
              src/legacy/run.sh
    ");
    repo.git(&["clone", "-q", ".", "../clone"]);
    assert_shown!(&world, world.at("clone").tomb(&["status"]), @r"
    exit: 0
    ----- stdout -----
    2 stubs for 68 bytes of files
           2  in git's history
    ----- stderr -----
    hint: there is no archive in this clone; restoring takes the bytes from git's history
    ");
    assert_shown!(&world, world.at("clone").tomb(&["status", "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"bytes":68,"due":0,"held":0,"in_archive_and_on_remote":0,"in_archive_on_server":0,"in_conflict":0,"malformed":0,"nowhere":0,"on_remote":2,"only_on_this_machine":0,"purged":0,"stubs":2,"unfinished":0}
    "#);
}

#[test]
fn evidence() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["evidence", "log"]), @r"
    exit: 0
    ----- stdout -----
    [time]  ARCHIVE intent by marc
    [time]  ARCHIVE stored [uuid] src/legacy/old.py by marc because legacy
    [time]  ARCHIVE stored [uuid] src/legacy/run.sh by marc because legacy
    ");
    assert_shown!(&world, repo.tomb(&["evidence", "digest"]), @r"
    exit: 0
    ----- stdout -----
    [sha256]  [uuid] src/legacy/old.py
    [sha256]  [uuid] src/legacy/run.sh
    ");
    assert_shown!(&world, repo.tomb(&["evidence", "verify"]), @r"
    exit: 0
    ----- stderr -----
    1 evidence file with 2 records: all whole
    ");
    repo.write("body.md", format!("src/legacy/old.py {}\n", "0".repeat(64)));
    assert_shown!(&world, repo.tomb(&["evidence", "verify", "--digests", "body.md"]), @r"
    exit: 1
    ----- stdout -----
    error: body.md, line 1: [sha256] is quoted, and no evidence here has it
    ----- stderr -----
    1 evidence file with 2 records: 1 error
    ");
    assert_shown!(&world, repo.tomb(&["evidence", "verify", "--digests", "missing.md"]), @r"
    exit: 2
    ----- stderr -----
    error: cannot read missing.md
      caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn hooks_and_doctor() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["hooks", "status"]), @r"
    exit: 1
    ----- stdout -----
    pre-commit        missing
    pre-merge-commit  missing
    pre-push          missing
    ----- stderr -----
    hint: `git archive-tomb hooks install`
    ");
    assert_shown!(&world, repo.tomb(&["doctor"]), @r"
    exit: 0
    ----- stdout -----
    warning: hooks are missing or out of date
      mend: git archive-tomb hooks install
    ----- stderr -----
    nothing is broken
    ");
    assert_shown!(&world, repo.tomb(&["hooks", "install"]), @r"
    exit: 0
    ----- stdout -----
    pre-commit        installed
    pre-merge-commit  installed
    pre-push          installed
    ");
    assert_shown!(&world, repo.tomb(&["hooks", "status"]), @r"
    exit: 0
    ----- stdout -----
    pre-commit        installed
    pre-merge-commit  installed
    pre-push          installed
    ");
    assert_shown!(&world, repo.tomb(&["hooks", "uninstall"]), @r"
    exit: 0
    ----- stdout -----
    pre-commit        removed
    pre-merge-commit  removed
    pre-push          removed
    ");
}

#[test]
fn an_operation_that_was_killed() {
    let world = World::new();
    let repo = world.sample("project");
    assert_eq!(repo.with("GIT_ARCHIVE_TOMB_FAULT", "log").tomb(&["store", "docs"]).code, None);
    assert_shown!(&world, repo.tomb(&["store", "docs"]), @r"
    exit: 1
    ----- stderr -----
    error: operation [uuid] (store of 1 path, begun [time] by A Maintainer <maintainer@example.org>) was stopped half-way
    hint: finish it with `git archive-tomb doctor --continue`, or undo it with `git archive-tomb doctor --abort`
    ");
    assert_shown!(&world, repo.tomb(&["status"]), @r"
    exit: 0
    ----- stdout -----
    no stubs here
    ----- stderr -----
    warning: operation [uuid] (store of 1 path, begun [time] by A Maintainer <maintainer@example.org>) was stopped half-way
    hint: finish it with `git archive-tomb doctor --continue`, or undo it with `git archive-tomb doctor --abort`
    ");
    assert_shown!(&world, repo.tomb(&["doctor", "--abort"]), @r"
    exit: 0
    ----- stderr -----
    undid operation [uuid]
    ");
}

#[test]
fn health_and_configuration() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["health-check"]), @r"
    exit: 0
    ----- stdout -----
    === Archive Health Check ===
    Backend: sqlite
    URL: sqlite:///./.codex/archive.sqlite (credentials redacted)
    Status: ✓ OK
    Items Retrievable: 2
    ");
    assert_shown!(&world, repo.tomb(&["health-check", "--debug", "--json"]), @r#"
    exit: 0
    ----- stdout -----
    {"backend":"sqlite","duration_ms":[n],"items":2,"items_retrievable":2,"status":"ok","url":"sqlite:///./.codex/archive.sqlite"}
    "#);
    assert_shown!(&world, world.sample("other").tomb(&["health-check"]), @r"
    exit: 6
    ----- stdout -----
    === Archive Health Check ===
    Backend: sqlite
    URL: sqlite:///./.codex/archive.sqlite (credentials redacted)
    Status: ✗ FAILED
    ----- stderr -----
    error: there is no archive at `[world]/other/.git/archive-tomb/archive.sqlite`
    hint: `git archive-tomb init` makes an empty one
    hint: this reads an archive alone; `git archive-tomb cat` and `git archive-tomb restore` read git's history too
    ");
    #[cfg(feature = "net")]
    assert_shown!(&world, repo.with("CODEX_ARCHIVE_URL", "postgres://app:secret@127.0.0.1:1/archive").tomb(&["health-check"]), @r"
    exit: 6
    ----- stdout -----
    === Archive Health Check ===
    Backend: postgres
    URL: postgres://app:***@127.0.0.1:1/archive (credentials redacted)
    Status: ✗ FAILED
    ----- stderr -----
    error: cannot reach the archive `postgres://app:***@127.0.0.1:1/archive`
      caused by: Connection refused (os error 111)
    hint: see that the server runs and can be reached from here
    ");
    let config = repo.with("CODEX_ARCHIVE_BATCH_CONCURRENT", "8").with("CODEX_ARCHIVE_RETRY_ENABLED", "true");
    assert_shown!(&world, config.tomb(&["config-show"]), @r#"
    exit: 0
    ----- stdout -----
    Backend: sqlite
    URL: sqlite:///./.codex/archive.sqlite (credentials redacted)
    Log Level: info
    Retry: enabled
    Batch Concurrency: 8

    backend.type = "sqlite"  # default
    backend.url = "sqlite:///./.codex/archive.sqlite"  # default
    logging.level = "info"  # default
    logging.format = "auto"  # default
    logging.file = ""  # default
    logging.evidence_file = ".codex/evidence/archive_ops.jsonl"  # default
    retry.enabled = true  # variable `CODEX_ARCHIVE_RETRY_ENABLED`
    retry.max_attempts = 3  # default
    retry.initial_delay = 1.0  # default
    retry.max_delay = 32.0  # default
    retry.backoff_factor = 2.0  # default
    retry.jitter = true  # default
    retry.seed = (not set)  # default
    batch.max_concurrent = 8  # variable `CODEX_ARCHIVE_BATCH_CONCURRENT`
    batch.timeout_per_item = 300.0  # default
    batch.continue_on_error = false  # default
    batch.results_path = ""  # default
    batch.progress_interval = 10  # default
    performance.enabled = true  # default
    performance.emit_to_evidence = true  # default
    performance.track_decompression = true  # default
    governance.restore_approvals = 0  # default
    governance.signed = false  # default
    governance.allowed_signers = ""  # default
    governance.requester_may_approve = true  # default
    governance.approval_ttl = "30d"  # default
    governance.request_ttl = "30d"  # default
    hooks.require_copies = 0  # default
    stub.style = "auto"  # default
    storage.level = 3  # default
    storage.repack_level = 19  # default
    storage.driver = "db"  # default
    storage.url = ""  # default
    "#);
    repo.write(".codex/archive.toml", "[hooks]\nrequire_copies = 2\n");
    repo.git(&["add", "-f", ".codex/archive.toml"]);
    assert_shown!(&world, repo.tomb(&["config-show"]), @r"
    exit: 2
    ----- stderr -----
    error: tracked configuration file `.codex/archive.toml` is not trusted in this clone, and uses `hooks.require_copies` in line 2 (a rule)
    hint: read the file, then run `git archive-tomb trust`
    ");
    assert_shown!(&world, repo.tomb(&["trust"]), @r"
    exit: 0
    ----- stderr -----
    `hooks.require_copies` in line 2 (a rule)
    .codex/archive.toml is trusted in this clone until it changes
    ");
    repo.write(".codex/archive.toml", "[retry]\nmax_atempts = 2\nenabled = 1\n");
    assert_shown!(&world, repo.tomb(&["list"]), @r"
    exit: 2
    ----- stderr -----
    error: 2 mistakes in the configuration
      caused by: `.codex/archive.toml:2:1`: unknown key `retry.max_atempts`, the nearest known is `retry.max_attempts`
      caused by: `.codex/archive.toml:3:1`: `retry.enabled` takes true or false, found an integer
    ");
    assert_shown!(&world, repo.tomb(&["--config-file", "missing.toml", "list"]), @r"
    exit: 2
    ----- stderr -----
    error: configuration file `[world]/project/missing.toml` does not exist
    ");
    std::fs::remove_file(repo.path.join(".codex/archive.toml")).unwrap();
    assert_shown!(&world, repo.tomb(&["trust"]), @r"
    exit: 2
    ----- stderr -----
    error: there is no configuration file
    hint: `git archive-tomb init` writes one
    ");
}

#[test]
fn wrong_command_lines_and_places() {
    let world = World::new();
    let repo = archived(&world);
    assert_shown!(&world, repo.tomb(&["stor", "docs"]), @r"
    exit: 2
    ----- stderr -----
    error: unrecognized subcommand 'stor'

      tip: some similar subcommands exist: 'restore', 'store'

    Usage: git archive-tomb [OPTIONS] <COMMAND>

    For more information, try '-h'.
    ");
    assert_shown!(&world, repo.tomb(&["list", "--limt", "3"]), @r"
    exit: 2
    ----- stderr -----
    error: unexpected argument '--limt' found

      tip: a similar argument exists: '--limit'

    Usage: git archive-tomb list --limit <N>

    For more information, try '-h'.
    ");
    assert_shown!(&world, repo.tomb(&["show"]), @r"
    exit: 2
    ----- stderr -----
    error: the following required arguments were not provided:
      <TARGET>

    Usage: git archive-tomb show <TARGET>

    For more information, try '-h'.
    ");
    assert_shown!(&world, repo.tomb(&["-C", "missing", "list"]), @r"
    exit: 2
    ----- stderr -----
    error: cannot go to [world]/project/missing
      caused by: No such file or directory (os error 2)
    ");
    assert_shown!(&world, world.at("home").tomb(&["list"]), @r"
    exit: 2
    ----- stderr -----
    error: `[world]/home` is not in a git repository
    hint: go to a repository, or name one with `-C`
    ");
    assert_shown!(&world, world.init_with("bare", &["--bare"]).tomb(&["store", "."]), @r"
    exit: 2
    ----- stderr -----
    error: `[world]/bare` has no working tree here
    hint: run this in a working tree of the repository
    ");
}

/// Returns a command's help without the options that all commands have.
fn own_help(home: &Repo<'_>, arguments: &[&str]) -> Run {
    let mut run = home.tomb(arguments);
    let text = run.stdout_text();
    let (own, _) = text.split_once("\n\nGlobal options:\n").unwrap();
    run.stdout = own.into();
    run
}

#[test]
fn help() {
    let world = World::new();
    let home = world.at("home");
    assert_shown!(&world, home.tomb(&["--help"]), @r"
    exit: 0
    ----- stdout -----
    Take files out of a git repository without losing them

    `store` puts the bytes of tracked files into an archive, leaves a small tombstone stub at each path
    and stages the change together with tamper-evident evidence. `verify` checks stubs against evidence,
    and `restore` brings files back bit for bit.

    Not to be confused with git-archive(1), which makes tar and zip files.

    Usage: git archive-tomb [OPTIONS] <COMMAND>

    Commands:
      init           Prepare a repository: archive, `.codex` folder and hooks
      store          Archive files or folders and leave a stub at each path
      batch-store    Archive what a manifest names, each path as its row says
      restore        Bring an item back, bit for bit
      resolve        End the conflict of a side that archived a file with one that changed it
      batch-restore  Bring many items back, each to the output that a manifest names
      status         Show the stubs here, where their bytes are, and what needs attention
      list           List archived items, newest first
      show           Show an item and everything that happened to it
      cat            Print an item's bytes
      diff           Show how an item differs from a file or a revision
      grep           Search archived contents for a pattern
      verify         Check stubs and evidence
      evidence       Show records and their digests, or check that they are whole
      pr-body        Print what a pull request should say, and how to check it
      prune-request  Ask that an item's bytes be destroyed
      approve        Approve the purge that was requested of an item, or its restore
      purge          Destroy an item's bytes for good
      hold           Keep an item's bytes from being destroyed, or let them go again
      retention      List items that may be destroyed by their date, or soon
      hooks          Install, remove or describe the git hooks
      doctor         Find what is wrong and name the command that mends it
      health-check   Reach the archive and count what can be restored
      export         Write everything in the archive as plain files
      report         Report how things stand
      migrate        Copy the archive to another database, and mark the old one as superseded
      config-show    Show the configuration in force, and where each value is from
      trust          Trust the configuration file as it is now
      schema         Print the SQL that makes an archive; connects to nothing
      textconv       Print what a stub stands for, or any other file as it is

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
      -C <DIR>
              Run as if started in DIR; may be repeated

          --config-file <FILE>
              Read this configuration file instead of `.codex/archive.toml`

          --debug
              Show what is usually hidden, URLs with their credentials included

      -q, --quiet
              Say only what went wrong

      -v, --verbose...
              Say more; twice for everything

          --color <WHEN>
              When to use colour

              Possible values:
              - auto:   On a terminal, unless `NO_COLOR` is set
              - always: Always
              - never:  Never

          --json
              Print results as JSON, one object per line

    Exit codes:
      0    done
      1    the operation failed, a check found problems, or part of a batch failed
      2    usage, configuration, trust, or an unsupported repository
      3    no such tombstone
      4    refused by governance (hold, approvals, retention, purged)
      5    integrity: bytes that were asked for do not match their digest
      6    archive unreachable or login refused
      130  interrupted
    ");
    assert_shown!(&world, own_help(&home, &["init", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Prepare a repository: archive, `.codex` folder and hooks

    Usage: git archive-tomb init [OPTIONS]

    Options:
          --no-hooks     Do not install hooks
          --textconv     Make git's diffs show what was archived in place of each stub
          --no-textconv  Make git's diffs show stubs as they are again
      -h, --help         Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["store", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Archive files or folders and leave a stub at each path

    Usage: git archive-tomb store [OPTIONS] [PATH]...

    Arguments:
      [PATH]...  Files, folders or git pathspecs

    Options:
          --by <ACTOR>
              Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`
          --reason <dead|pruned|legacy|replaced>
              Why the paths go [default: dead]
          --commit <REV>
              The revision whose tree is read [default: HEAD]
          --repo <NAME>
              The repository's name in the records; by default the last part of `remote.origin.url`,
              else the folder's name
          --kind <code|doc|asset>
              What sort of file it is; by default guessed from the path
          --language <LANGUAGE>
              The programming or markup language; by default guessed from the path
          --mime <MIME>
              The media type; by default guessed from the path
          --tag <TAG>
              A label; may be repeated
          --metadata <KEY=VALUE>
              A fact to keep with the items; may be repeated
          --ref <TYPE=VALUE>
              A pointer to something elsewhere, such as `pr=123`; may be repeated
          --delete-after <DATE|DAYS>
              The day before which the bytes are not to be destroyed: a date, or days from today such as
              `90d`
          --legal-hold
              Put the items under a legal hold
          --allow-purged
              Archive also what was purged: its bytes are in the archive again then, on record
          --stub <auto|loud|comment>
              What stubs are like: `loud` ones fail with the restore command when they are used
          --keep
              Archive only, and leave the paths as they are
          --allow-dirty
              Archive locally modified files as they stand
      -n, --dry-run
              Print what would be archived, and change nothing
          --pathspec-from-file <FILE>
              Read pathspecs from a file, one per line; `-` is standard input
          --pathspec-file-nul
              The pathspecs in the file end with NUL, not with a newline
      -h, --help
              Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["batch-store", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Archive what a manifest names, each path as its row says

    Usage: git archive-tomb batch-store [OPTIONS] <MANIFEST>

    Arguments:
      <MANIFEST>  The manifest; `-` is standard input

    Options:
          --by <ACTOR>
              Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`
          --reason <dead|pruned|legacy|replaced>
              Why the paths go [default: dead]
          --commit <REV>
              The revision whose tree is read [default: HEAD]
          --repo <NAME>
              The repository's name in the records; by default the last part of `remote.origin.url`,
              else the folder's name
          --kind <code|doc|asset>
              What sort of file it is; by default guessed from the path
          --language <LANGUAGE>
              The programming or markup language; by default guessed from the path
          --mime <MIME>
              The media type; by default guessed from the path
          --tag <TAG>
              A label; may be repeated
          --metadata <KEY=VALUE>
              A fact to keep with the items; may be repeated
          --ref <TYPE=VALUE>
              A pointer to something elsewhere, such as `pr=123`; may be repeated
          --delete-after <DATE|DAYS>
              The day before which the bytes are not to be destroyed: a date, or days from today such as
              `90d`
          --legal-hold
              Put the items under a legal hold
          --allow-purged
              Archive also what was purged: its bytes are in the archive again then, on record
          --stub <auto|loud|comment>
              What stubs are like: `loud` ones fail with the restore command when they are used
          --keep
              Archive only, and leave the paths as they are
          --allow-dirty
              Archive locally modified files as they stand
      -n, --dry-run
              Print what would be archived, and change nothing
          --continue-on-error
              Archive what can be archived, and name the rest; otherwise one refused path refuses all
      -h, --help
              Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["restore", "--help"]), @r"
    exit: 0
    ----- stdout -----
    Bring an item back, bit for bit

    Without OUTPUT the file comes back where its stub stands and is staged with its evidence; with
    OUTPUT its bytes go there, `-` being standard output. With `--branch` the file is committed with its
    evidence on a new branch instead, and OUTPUT is a path in the repository. Where there is no archive,
    or it lacks the item, git's own history is asked.

    Usage: git archive-tomb restore [OPTIONS] <TARGET> [OUTPUT]

    Arguments:
      <TARGET>
              A tombstone, at least 8 characters of one, the path of a stub, or a folder (every stub
              below it)

      [OUTPUT]
              Where to put the bytes instead; `-` is standard output

    Options:
          --by <ACTOR>
              Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`

      -f, --force
              Replace what stands at the destination

          --raw
              Put the archived bytes back as they are, without git's checkout conversion (line ends,
              `ident`)

          --from <SOURCE>
              Take the bytes from here only

              Possible values:
              - archive: The archive
              - history: Git's own history

          --merge[=<REV>]
              Merge the file with what REV made of it since; by default the commit that is being merged,
              rebased or picked, else the only branch that changed it

          --branch <NAME>
              Commit the files on a new branch NAME, and leave working tree, index and HEAD alone

          --base <REV>
              Where the new branch begins [default: HEAD]

      -m, --message <TEXT>
              The commit's message, without the trailers; several are paragraphs

      -h, --help
              Print help (see a summary with '-h')
    ");
    assert_shown!(&world, own_help(&home, &["status", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Show the stubs here, where their bytes are, and what needs attention

    Usage: git archive-tomb status [OPTIONS]

    Options:
          --all   List every stub
      -h, --help  Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["list", "-h"]), @r"
    exit: 0
    ----- stdout -----
    List archived items, newest first

    Usage: git archive-tomb list [OPTIONS]

    Options:
          --repo <NAME>      Only items of this repository
          --path <PATTERN>   Only items at this path, below this folder, or matching this pattern (`*`,
                             `?`, `[…]`)
          --tag <TAG>        Only items with this tag
          --reason <REASON>  Only items archived for this reason
          --since <WHEN>     Only items archived then or later: a date, a time, or days ago such as
                             `30d`
          --until <WHEN>     Only items archived then or earlier
          --by <ACTOR>       Only items archived by this actor
          --limit <N>        At most so many items
      -z                     End each item with NUL and quote nothing: `<tombstone> <size> <archived-at>
                             <reason> <repo> <path>`
      -h, --help             Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["show", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Show an item and everything that happened to it

    Usage: git archive-tomb show [OPTIONS] <TARGET>

    Arguments:
      <TARGET>  A tombstone, at least 8 characters of one, or the path of a stub

    Options:
          --residue  Only say where the bytes still are in this repository, and which commands take them
                     out
      -h, --help     Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["cat", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Print an item's bytes

    Usage: git archive-tomb cat [OPTIONS] <TARGET>

    Arguments:
      <TARGET>  A tombstone, at least 8 characters of one, or the path of a stub

    Options:
      -h, --help  Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["diff", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Show how an item differs from a file or a revision

    Usage: git archive-tomb diff [OPTIONS] <TARGET> [FILE]

    Arguments:
      <TARGET>  A tombstone, at least 8 characters of one, or the path of a stub
      [FILE]    The file to compare with

    Options:
          --rev <REV>    Compare with the item's path at this revision
      -U, --unified <N>  Lines of context [default: 3]
      -h, --help         Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["grep", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Search archived contents for a pattern

    Usage: git archive-tomb grep [OPTIONS] [PATTERN]

    Arguments:
      [PATTERN]  What to look for: a regular expression as Rust's `regex` crate has them, much like
                 those of `git grep -E`

    Options:
      -e <PATTERN>              One of several patterns; may be repeated
      -l, --files-with-matches  Print only names of items
      -c, --count               Print how many lines match in each item
      -n, --line-number         Print line numbers
      -i, --ignore-case         Take capital and small letters for the same
      -F, --fixed-strings       The pattern is a text, not a regular expression
      -w, --word-regexp         Match whole words only
      -z, --null                Put NUL behind names, and quote nothing
          --repo <NAME>         Only items of this repository
          --path <PATTERN>      Only items at this path, below this folder, or matching this pattern
                                (`*`, `?`, `[…]`)
          --tag <TAG>           Only items with this tag
          --reason <REASON>     Only items archived for this reason
          --since <WHEN>        Only items archived then or later: a date, a time, or days ago such as
                                `30d`
          --until <WHEN>        Only items archived then or earlier
          --by <ACTOR>          Only items archived by this actor
      -h, --help                Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["verify", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Check stubs and evidence

    Usage: git archive-tomb verify [OPTIONS]

    Options:
          --staged           Check what is about to be committed (the default)
          --range <A..B>     Check every commit reachable from B and not from A
          --update <A..B>    Check a branch that moves from A to B: the range, and that a forced push
                             loses nothing
          --all              Check the stubs here, and the evidence of the whole history
          --deep             Also compare with the archive: read and hash the bytes of every stub here
          --strict           Take evidence that names unknown predecessors for an error
          --format <FORMAT>  How findings are printed [possible values: text, json, github, sarif]
      -h, --help             Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["evidence", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Show records and their digests, or check that they are whole

    Usage: git archive-tomb evidence [OPTIONS] <COMMAND>

    Commands:
      log     Print the records of the operations log, oldest first
      digest  Print the digest of each line of evidence in the index, for a pull request
      verify  Check that the evidence files of the index are whole
      sign    Sign a checkpoint: a statement that all this evidence was here

    Options:
      -h, --help  Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["hooks", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Install, remove or describe the git hooks

    Usage: git archive-tomb hooks [OPTIONS] <COMMAND>

    Commands:
      install    Install the hooks; hooks that are there are kept and run first
      uninstall  Remove the hooks; what was there before comes back as it was
      status     Tell which hooks are there
      run        Run a hook (this is what the installed hooks call)

    Options:
      -h, --help  Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["doctor", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Find what is wrong and name the command that mends it

    Usage: git archive-tomb doctor [OPTIONS]

    Options:
          --continue  Finish what was stopped half-way
          --abort     Undo what was stopped half-way; no bytes are deleted
      -h, --help      Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["health-check", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Reach the archive and count what can be restored

    Usage: git archive-tomb health-check [OPTIONS]

    Options:
          --by <ACTOR>  Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`
          --deep        Also read and hash everything in it
          --sample <N>  Also read and hash N contents, chosen at random
      -h, --help        Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["config-show", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Show the configuration in force, and where each value is from

    Usage: git archive-tomb config-show [OPTIONS]

    Options:
      -h, --help  Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["trust", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Trust the configuration file as it is now

    Usage: git archive-tomb trust [OPTIONS]

    Options:
      -h, --help  Print help (see more with '--help')
    ");
    assert_shown!(&world, own_help(&home, &["schema", "-h"]), @r"
    exit: 0
    ----- stdout -----
    Print the SQL that makes an archive; connects to nothing

    Usage: git archive-tomb schema [OPTIONS] --dialect <DIALECT>

    Options:
          --dialect <DIALECT>  The database's dialect [possible values: sqlite, postgres, mariadb]
      -h, --help               Print help (see more with '--help')
    ");
}

#[test]
fn help_of_governance() {
    let world = World::new();
    let home = world.at("home");
    assert_shown!(&world, own_help(&home, &["prune-request", "--help"]), @r"
    exit: 0
    ----- stdout -----
    Ask that an item's bytes be destroyed

    Destroys nothing: it opens the way to a purge, which takes two persons' approvals. The request is
    bound to the item, its bytes and the other items that have the same; what becomes of them is said
    here already.

    Usage: git archive-tomb prune-request [OPTIONS] <TARGET>

    Arguments:
      <TARGET>
              A tombstone, at least 8 characters of one, or the path of a stub

    Options:
          --by <ACTOR>
              Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`

          --key <KEY>
              Sign with this key: a file, or a public key that the agent holds (`key::ssh-ed25519 …`);
              default, with `governance.signed`: git's

          --reason <TEXT>
              Why the bytes should go, or no longer need to

          --withdraw
              Take the item's open request back

      -h, --help
              Print help (see a summary with '-h')
    ");
    assert_shown!(&world, own_help(&home, &["approve", "--help"]), @r"
    exit: 0
    ----- stdout -----
    Approve the purge that was requested of an item, or its restore

    Approvals may be given one at a time, from several machines. A signed one counts from its evidence
    too, as soon as that is in any branch here; it names what it approves, so it counts for nothing
    else.

    Usage: git archive-tomb approve [OPTIONS] <TARGET>

    Arguments:
      <TARGET>
              A tombstone, at least 8 characters of one, or the path of a stub

    Options:
          --for <WHAT>
              What is approved

              Possible values:
              - purge:   That the bytes are destroyed, as the open request asks
              - restore: That the bytes are handed out
              
              [default: purge]

          --by <ACTOR>
              Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`

          --key <KEY>
              Sign with this key: a file, or a public key that the agent holds (`key::ssh-ed25519 …`);
              default, with `governance.signed`: git's

          --reason <TEXT>
              Why

      -h, --help
              Print help (see a summary with '-h')
    ");
    assert_shown!(&world, own_help(&home, &["purge", "--help"]), @r"
    exit: 0
    ----- stdout -----
    Destroy an item's bytes for good

    It takes an open request and two persons' approvals, no legal hold, and a date of retention that has
    come. Whatever is in the way is listed at once, and nothing is done then. Without `--apply`
    approvals are recorded and the bytes stay. The item, its events and its evidence stay in any case.

    Usage: git archive-tomb purge [OPTIONS] --reason <TEXT> <TARGET>

    Arguments:
      <TARGET>
              A tombstone, at least 8 characters of one, or the path of a stub

    Options:
          --by <ACTOR>
              Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`

          --second <ACTOR>
              Who approves as well; with `governance.signed` whose approval is there already

          --reason <TEXT>
              Why the bytes go

          --apply
              Destroy the bytes now

          --early
              Also before the date that an item was archived with (`--delete-after`)

          --all-references
              Also where other items have the same bytes: they lose them as well

      -h, --help
              Print help (see a summary with '-h')
    ");
    assert_shown!(&world, own_help(&home, &["hold", "--help"]), @r"
    exit: 0
    ----- stdout -----
    Keep an item's bytes from being destroyed, or let them go again

    A hold keeps the bytes, and so those of every item that has the same. Holds are independent: each is
    released by itself, and as long as one is there, in the archive or in the evidence of any branch
    here, no purge is possible.

    Usage: git archive-tomb hold [OPTIONS] <COMMAND>

    Commands:
      set      Put an item under a hold
      release  Release holds of an item
      list     List the holds that are not released

    Options:
      -h, --help
              Print help (see a summary with '-h')
    ");
    assert_shown!(&world, own_help(&home, &["hold", "release", "-h"]), @r#"
    exit: 0
    ----- stdout -----
    Release holds of an item

    Usage: git archive-tomb hold release [OPTIONS] --reason <TEXT> <TARGET>

    Arguments:
      <TARGET>  A tombstone, at least 8 characters of one, or the path of a stub

    Options:
          --by <ACTOR>     Who does this; by default `CODEX_ACTOR`, else git's `user.name <user.email>`
          --key <KEY>      Sign with this key: a file, or a public key that the agent holds
                           (`key::ssh-ed25519 …`); default, with `governance.signed`: git's
          --reason <TEXT>  Why
          --name <CASE>    The name of the case whose holds are released, or nothing (`--name ""`) for
                           those without one; not needed where there is one hold only
      -h, --help           Print help (see more with '--help')
    "#);
    assert_shown!(&world, own_help(&home, &["retention", "--help"]), @r"
    exit: 0
    ----- stdout -----
    List items that may be destroyed by their date, or soon

    Nothing is destroyed because of a date: a purge still takes a request and two persons' approvals.

    Usage: git archive-tomb retention [OPTIONS]

    Options:
          --within <DATE|DAYS>
              How near: a date, or days from today such as `30d`
              
              [default: 30d]

      -z
              End each item with NUL and quote nothing: `<tombstone> <date> <due|near> <repo> <path>`

      -h, --help
              Print help (see a summary with '-h')
    ");
}
