//! The report on where the bytes of a content still are, and the commands that it prints.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{Repo, World, assert_shown, tool};

/// What is archived and looked for.
const SECRET: &str = "name,card\nada,4000-0000-0000-0002\n";
const PATH: &str = "data/cards.csv";

/// Makes a repository in which the content was archived: with all that git keeps of it, which is its history.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("repo");
    repo.write(PATH, SECRET);
    repo.commit_all("cards");
    repo.store(&[PATH], &[PATH]);
    repo
}

/// Makes a repository that has the content in the archive, and nowhere else but in its history before the archival, which
/// was rewritten.
fn forgotten(world: &World) -> Repo<'_> {
    let repo = archived(world);
    repo.git(&["checkout", "-q", "--orphan", "anew"]);
    repo.commit("anew");
    repo.git(&["branch", "-q", "-D", "main"]);
    repo.git(&["branch", "-q", "-m", "main"]);
    forget(&repo);
    assert_eq!(places(&repo), BTreeMap::new());
    repo
}

fn forget(repo: &Repo<'_>) {
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
}

fn residue(repo: &Repo<'_>) -> Value {
    let tombstone = repo.tombstone_at(PATH);
    repo.tomb_ok(&["show", "--residue", "--json", &tombstone]).json().remove(0)
}

/// Returns how many places of each kind there are, and the names of the first of them.
fn places(repo: &Repo<'_>) -> BTreeMap<String, (u64, String)> {
    let residue = residue(repo);
    let place = |place: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let first: Vec<String> = place["first"].as_array().unwrap().iter().map(text).collect();
        (text(&place["kind"]), (place["count"].as_u64().unwrap(), first.join("\n")))
    };
    residue["places"].as_array().unwrap().iter().map(place).collect()
}

/// Writes the content as a blob that nothing leads to.
fn blob(repo: &Repo<'_>) -> String {
    repo.write("../blob", SECRET);
    repo.git(&["hash-object", "-w", "../blob"])
}

/// Runs the printed commands as a shell does; returns whether it could.
fn run_steps(repo: &Repo<'_>) -> bool {
    let Some(filter_repo) = tool("git-filter-repo") else { return false };
    let path = format!("{}:{}", filter_repo.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for step in residue(repo)["steps"].as_array().unwrap() {
        let command = step["command"].as_str().unwrap();
        let run =
            crate::common::Run::from(repo.with("PATH", &path).command("sh").args(["-c", command]).output().unwrap());
        assert_eq!(run.code, Some(0), "{command}: {run}");
    }
    true
}

/// Asserts that the content is in a place of `kind`, one of the named being `first`, and that the printed commands take it
/// out without touching stubs and evidence.
#[track_caller]
fn found_and_taken_out(repo: &Repo<'_>, kind: &str, first: &str) {
    let found = places(repo);
    let place = found.get(kind).unwrap_or_else(|| panic!("no {kind} in {found:?}"));
    assert!(place.1.contains(first), "{kind}: {place:?}");
    if !run_steps(repo) {
        return;
    }
    assert_eq!(places(repo), BTreeMap::new(), "{kind} {first}");
    repo.tomb(&["verify", "--all"]).exits(0);
    repo.tomb(&["evidence", "verify", "--strict"]).exits(0);
    assert!(repo.read_text(PATH).contains("git-archive-tomb stub v1"));
}

/// Commits the content on the branch `leak`, which is then left for `main`.
fn leak_branch(repo: &Repo<'_>) {
    repo.git(&["checkout", "-q", "-b", "leak"]);
    repo.write("copy.csv", SECRET);
    repo.commit_all("leak");
    repo.git(&["rm", "-q", "copy.csv"]);
    repo.commit("gone again");
    repo.git(&["checkout", "-q", "main"]);
}

/// A way for the content to be in a repository.
struct Case {
    name: &'static str,
    kind: &'static str,
    first: &'static str,
    make: fn(&Repo<'_>),
}

const CASES: &[Case] = &[
    Case { name: "branch", kind: "branch", first: "leak", make: leak_branch },
    Case {
        name: "annotated-tag",
        kind: "tag",
        first: "v1",
        make: |repo| {
            leak_branch(repo);
            repo.git(&["tag", "-a", "-m", "one", "v1", "leak~1"]);
            repo.git(&["tag", "-a", "-m", "of a tag", "v1-again", "v1"]);
            repo.git(&["branch", "-q", "-D", "leak"]);
        },
    },
    Case {
        name: "tag-of-a-blob",
        kind: "tag",
        first: "blob",
        make: |repo| drop(repo.git(&["tag", "-a", "-m", "key", "blob", &blob(repo)])),
    },
    Case {
        name: "tag-of-a-tree",
        kind: "tag",
        first: "tree",
        make: |repo| {
            leak_branch(repo);
            repo.git(&["tag", "tree", "leak~1^{tree}"]);
            repo.git(&["branch", "-q", "-D", "leak"]);
        },
    },
    Case {
        name: "remote-branch",
        kind: "remote-branch",
        first: "upstream/leak",
        make: |repo| {
            leak_branch(repo);
            repo.git(&["init", "-q", "--bare", "../upstream.git"]);
            repo.git(&["remote", "add", "upstream", "../upstream.git"]);
            repo.git(&["push", "-q", "upstream", "leak"]);
            repo.git(&["branch", "-q", "-D", "leak"]);
        },
    },
    Case {
        name: "note",
        kind: "reference",
        first: "refs/notes/commits",
        make: |repo| drop(repo.git(&["notes", "add", "-C", &blob(repo), "HEAD"])),
    },
    Case {
        name: "kept-by-this-program",
        kind: "reference",
        first: "refs/archive-tomb/dirty/x",
        make: |repo| drop(repo.git(&["update-ref", "refs/archive-tomb/dirty/x", &blob(repo)])),
    },
    Case {
        name: "odd-name",
        kind: "reference",
        first: "refs/odd/$(x)'\u{e9}",
        make: |repo| drop(repo.git(&["update-ref", "refs/odd/$(x)'\u{e9}", &blob(repo)])),
    },
    Case {
        name: "replaced",
        kind: "reference",
        first: "refs/replace/",
        make: |repo| {
            let other = repo.git(&["rev-parse", "HEAD:README.md"]);
            repo.git(&["replace", &other, &blob(repo)]);
        },
    },
    Case {
        name: "reflog",
        kind: "reflog",
        first: "HEAD@{",
        make: |repo| {
            leak_branch(repo);
            repo.git(&["branch", "-q", "-D", "leak"]);
        },
    },
    Case {
        name: "stash",
        kind: "stash",
        first: "stash@{0}",
        make: |repo| {
            repo.write("README.md", "# edited\n");
            repo.git(&["stash", "-q"]);
            repo.write("untracked.csv", SECRET);
            repo.git(&["stash", "-q", "--include-untracked"]);
        },
    },
    Case {
        name: "older-stash",
        kind: "stash",
        first: "stash@{1}",
        make: |repo| {
            repo.write("src/keep.py", SECRET);
            repo.git(&["stash", "-q"]);
            repo.write("README.md", "# edited\n");
            repo.git(&["stash", "-q"]);
        },
    },
    Case {
        name: "index",
        kind: "index",
        first: "staged.csv",
        make: |repo| {
            repo.write("staged.csv", SECRET);
            repo.git(&["add", "staged.csv"]);
        },
    },
    Case {
        name: "file",
        kind: "file",
        first: "some where/it's.csv",
        make: |repo| {
            repo.write(".git/info/exclude", "some where\n");
            repo.write("some where/it's.csv", SECRET);
        },
    },
    Case {
        name: "link",
        kind: "file",
        first: "odd",
        make: |repo| std::os::unix::fs::symlink(SECRET, repo.path.join("odd")).unwrap(),
    },
    Case {
        name: "detached-head-elsewhere",
        kind: "state",
        first: "HEAD of working tree linked",
        make: |repo| {
            leak_branch(repo);
            repo.git(&["worktree", "add", "-q", "--detach", "../linked", "leak"]);
            repo.git(&["branch", "-q", "-D", "leak"]);
        },
    },
    Case {
        name: "index-elsewhere",
        kind: "index",
        first: "copy.csv of working tree linked",
        make: |repo| {
            leak_branch(repo);
            repo.git(&["worktree", "add", "-q", "--detach", "../linked", "leak~1"]);
        },
    },
    Case {
        name: "merge",
        kind: "state",
        first: "MERGE_HEAD",
        make: |repo| {
            leak_branch(repo);
            repo.write("README.md", "# one\n");
            repo.commit_all("one");
            repo.git(&["merge", "-q", "--no-ff", "--no-commit", "leak"]);
            repo.git(&["branch", "-q", "-D", "leak"]);
        },
    },
    Case {
        name: "rebase",
        kind: "state",
        first: "rebase-merge",
        make: |repo| {
            repo.git(&["checkout", "-q", "-b", "topic"]);
            repo.write("README.md", SECRET);
            repo.commit_all("topic");
            repo.git(&["checkout", "-q", "main"]);
            repo.write("README.md", "# main\n");
            repo.commit_all("main");
            assert_eq!(repo.try_git(&["rebase", "-q", "main", "topic"]).code, Some(1), "it conflicts");
        },
    },
    Case { name: "loose", kind: "object", first: "in a file of its own", make: |repo| drop(blob(repo)) },
    Case {
        name: "packed",
        kind: "object",
        first: "in a pack",
        make: |repo| {
            let id = blob(repo);
            repo.git(&["update-ref", "refs/x", &id]);
            repo.git(&["repack", "-q", "-a", "-d"]);
            repo.git(&["update-ref", "-d", "refs/x"]);
        },
    },
    Case {
        name: "lfs",
        kind: "lfs-object",
        first: "",
        make: |repo| {
            let name = sha256();
            repo.write(format!(".git/lfs/objects/{}/{}/{name}", &name[..2], &name[2..4]), SECRET);
        },
    },
    Case {
        name: "lfs-pointer",
        kind: "commit",
        first: "big.csv (pointer of Git LFS)",
        make: |repo| {
            let size = SECRET.len();
            let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {size}\n", sha256());
            repo.write("big.csv", pointer);
            repo.commit_all("big");
        },
    },
];

fn sha256() -> String {
    git_archive_tomb::id::Sha256::of(SECRET.as_bytes()).to_string()
}

#[test]
fn the_history_of_an_archived_file_has_it_until_it_is_rewritten() {
    let world = World::new();
    let repo = archived(&world);
    let found = places(&repo);
    let kinds: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["branch", "commit", "object", "reflog"]);
    assert!(found["commit"].1.ends_with(PATH));
    found_and_taken_out(&repo, "branch", "main");
}

#[test]
fn right_after_a_purge_the_printed_commands_keep_its_evidence() {
    let world = World::new();
    let Some(filter_repo) = tool("git-filter-repo") else { return };
    let path = format!("{}:{}", filter_repo.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let repo = super::commands::archived(&world);
    let tombstone = repo.tombstone_at(super::commands::SECRET);
    super::commands::request(&repo, &tombstone);
    let purged = repo.tomb_ok(&super::commands::purge(&tombstone, &["--apply"])).stdout_text();
    let (_, commands) = purged.split_once("what takes it out of here").unwrap();
    let commands: Vec<&str> = commands.lines().skip(1).take_while(|line| line.starts_with("  ")).collect();
    let shell = |repo: &Repo<'_>| {
        let script = commands.join("\n");
        crate::common::Run::from(repo.with("PATH", &path).command("sh").args(["-c", &script]).output().unwrap())
    };
    let staged: Vec<String> = repo.git(&["diff", "--cached", "--name-only"]).lines().map(str::to_owned).collect();
    assert!(staged.iter().any(|file| file.contains("-delete-approved-")), "{staged:?}");
    // Where the commit is refused, nothing is rewritten.
    let refused = repo.sibling("refused");
    refused.write(".git/hooks/pre-commit", "#!/bin/sh\nexit 1\n");
    refused.set_executable(".git/hooks/pre-commit");
    let head = refused.git(&["rev-parse", "HEAD"]);
    shell(&refused);
    assert_eq!(refused.git(&["rev-parse", "HEAD"]), head);
    assert_eq!(refused.git(&["diff", "--cached", "--name-only"]).lines().collect::<Vec<_>>(), staged);

    shell(&repo).exits(0);
    for file in &staged {
        assert!(repo.exists(file) && !repo.git(&["ls-tree", "HEAD", file]).is_empty(), "{file}");
    }
    assert!(repo.tomb_ok(&["show", "--residue", &tombstone]).stdout_text().starts_with("nothing in this repository"));
    let told = repo.tomb_ok(&["show", "--json", &tombstone]).json().remove(0);
    let actions: Vec<_> = told["events"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    assert_eq!(actions, ["ARCHIVE", "PRUNE_REQUEST", "DELETE_APPROVED", "DELETE_APPROVED", "PURGE"]);
    assert!(told["events"].as_array().unwrap().iter().all(|event| event["evidence"].is_string()), "{told}");
    repo.tomb_ok(&["evidence", "verify", "--strict"]);
}

#[test]
fn work_that_staged_evidence_is_in_is_not_given_up() {
    let world = World::new();
    let repo = forgotten(&world);
    leak_branch(&repo);
    repo.write("README.md", "# one\n");
    repo.commit_all("one");
    repo.git(&["merge", "-q", "--no-ff", "--no-commit", "leak"]);
    repo.git(&["branch", "-q", "-D", "leak"]);
    let evidence = repo.git(&["ls-files", ".codex/evidence/ops"]).lines().next().unwrap().to_owned();
    repo.write(&evidence, "staged\n");
    repo.git(&["add", &evidence]);
    let residue = residue(&repo);
    let commands = residue["steps"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap());
    let abort = commands.clone().find(|command| command.contains("git merge --abort")).unwrap();
    let run = crate::common::Run::from(repo.command("sh").args(["-c", abort]).output().unwrap());
    assert_ne!(run.code, Some(0), "{run}");
    assert!(repo.exists(".git/MERGE_HEAD") && repo.read_text(&evidence) == "staged\n");
}

#[test]
fn every_place_that_has_it_is_found_and_the_printed_commands_take_it_out() {
    let world = World::new();
    let repo = forgotten(&world);
    for Case { name, kind, first, make } in CASES {
        let repo = repo.sibling(name);
        make(&repo);
        found_and_taken_out(&repo, kind, first);
        if *kind == "state" && *name != "merge" {
            // The name of the linked one is free again for the next.
            let _ = std::fs::remove_dir_all(repo.path.join("../linked"));
        }
    }
}

#[test]
fn all_places_at_once_are_cleaned_by_one_run_of_the_printed_commands() {
    let world = World::new();
    let repo = archived(&world);
    // Each in a working tree that is clean but for what the last ones leave behind.
    for Case { name, make, .. } in CASES {
        if !matches!(*name, "merge" | "rebase" | "detached-head-elsewhere" | "lfs-pointer" | "index" | "link") {
            repo.git(&["update-ref", "-d", "refs/heads/leak"]);
            make(&repo);
        }
    }
    let kinds: Vec<String> = places(&repo).into_keys().collect();
    let all = [
        "branch",
        "commit",
        "file",
        "index",
        "lfs-object",
        "object",
        "reference",
        "reflog",
        "remote-branch",
        "stash",
        "state",
        "tag",
    ];
    assert_eq!(kinds, all);
    found_and_taken_out(&repo, "branch", "main");
}

#[test]
fn what_restores_exports_and_migrations_took_elsewhere_is_named() {
    let world = World::new();
    let repo = forgotten(&world);
    let tombstone = repo.tombstone_at(PATH);
    repo.tomb_ok(&["restore", &tombstone, "../out.csv", "--by", "Ada"]);
    repo.tomb_ok(&["export", "../exported"]);
    repo.tomb_ok(&["migrate", "--to", "sqlite:///./../copy.sqlite"]);
    let copies = residue(&repo)["copies"].clone();
    let shown: Vec<(String, String)> = copies
        .as_array()
        .unwrap()
        .iter()
        .map(|copy| {
            let text = |key: &str| copy[key].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            (text("action"), text("output"))
        })
        .collect();
    let expected = [("RESTORE", "out.csv"), ("EXPORT", "exported"), ("MIGRATE", "copy.sqlite")];
    assert_eq!(shown, expected.map(|(action, output)| (action.to_owned(), output.to_owned())));
    assert_eq!(copies[0]["actor"], "Ada");
    // Another clone knows what the archive's events tell.
    std::fs::remove_file(repo.path.join(".git/archive-tomb/archive_ops.jsonl")).unwrap();
    assert!(residue(&repo)["copies"].to_string().contains("out.csv"));
}

#[test]
fn what_took_everything_took_a_content_only_while_it_was_there() {
    let world = World::new();
    let repo = super::commands::archived(&world);
    let tombstone = repo.tombstone_at(super::commands::SECRET);
    let other = repo.tombstone_at("src/legacy/old.py");
    let went = || -> Vec<String> {
        let residue = repo.tomb_ok(&["show", "--residue", "--json", &tombstone]).json().remove(0);
        let outputs = residue["copies"].as_array().unwrap().iter().map(|copy| copy["output"].as_str().unwrap());
        outputs.map(|output| output.rsplit('/').next().unwrap().to_owned()).collect()
    };
    repo.tomb_ok(&["export", "../with"]);
    super::commands::request(&repo, &tombstone);
    repo.tomb_ok(&super::commands::purge(&tombstone, &["--apply"]));
    repo.commit("purge");
    repo.tomb_ok(&["export", "../without"]);
    repo.tomb_ok(&["restore", &other, "../other.py"]);
    assert_eq!(went(), ["with"]);
    // Who only reads the bytes takes them to no place that is known.
    repo.git(&["config", "archivetomb.governance.restoreApprovals", "1"]);
    repo.tomb_ok(&["approve", &other, "--for", "restore", "--by", "Ada"]);
    repo.tomb_ok(&["cat", &other]);
    let read = repo.tomb_ok(&["show", "--residue", "--json", &other]).json().remove(0)["copies"].to_string();
    assert!(read.contains("other.py") && !read.contains("\"cat\""), "{read}");
    repo.git(&["config", "--unset", "archivetomb.governance.restoreApprovals"]);
    repo.write("again.md", "# Old\n\nNobody reads this.\n");
    repo.git(&["add", "again.md"]);
    repo.commit("again");
    repo.tomb_ok(&["store", "again.md", "--allow-purged"]);
    repo.tomb_ok(&["export", "../back"]);
    assert_eq!(went(), ["with", "back"]);

    // Whoever reads of it learns that it had been destroyed.
    let again = repo.tombstone_at("again.md");
    let said = "although purged (request ";
    assert!(repo.tomb_ok(&["show", &again]).stdout_text().contains(said));
    for arguments in [&["evidence", "log", "--tombstone", &again][..], &["evidence", "log", "--path", "again.md"]] {
        assert!(repo.tomb_ok(arguments).stdout_text().contains(said), "{arguments:?}");
    }
    assert!(!repo.tomb_ok(&["show", &tombstone]).stdout_text().contains(said));
}

#[test]
fn what_was_fetched_is_named_once() {
    let world = World::new();
    let repo = archived(&world);
    for branch in ["one", "two", "three"] {
        repo.git(&["branch", branch]);
    }
    repo.git(&["fetch", "-q", ".", "one", "two", "three"]);
    assert_eq!(places(&repo)["state"], (1, "FETCH_HEAD".to_owned()));
}

#[test]
fn what_another_repository_lends_is_named_and_left_to_it() {
    let world = World::new();
    let repo = forgotten(&world);
    let lender = world.init("lender");
    lender.write("x", SECRET);
    lender.commit_all("x");
    let folder = lender.path.join(".git/objects");
    repo.write(".git/objects/info/alternates", format!("{}\n", folder.display()));
    assert_eq!(places(&repo)["alternate"], (1, folder.display().to_string()));
    let text = repo.tomb_ok(&["show", "--residue", PATH]).stdout_text();
    assert!(!text.contains("filter-repo"), "{text}");
}

#[test]
fn what_a_clone_leaves_out_is_said_and_not_fetched() {
    let world = World::new();
    let repo = archived(&world);
    repo.write("later", "");
    repo.commit_all("later");
    let url = format!("file://{}", repo.path.display());
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    for (name, option, unknown) in [
        ("shallow", "--depth=1", "`git fetch --unshallow`"),
        ("one-branch", "--single-branch", "`git fetch origin"),
        ("without-trees", "--filter=tree:0", "left out"),
    ] {
        world.at(".").git(&["clone", "-q", option, "--no-local", &url, name]);
        let clone = world.at(name);
        std::fs::create_dir_all(clone.path.join(".git/archive-tomb")).unwrap();
        std::fs::copy(
            repo.path.join(".git/archive-tomb/archive.sqlite"),
            clone.path.join(".git/archive-tomb/archive.sqlite"),
        )
        .unwrap();
        // So that fetching would fail.
        clone.git(&["remote", "set-url", "origin", "file:///nowhere"]);
        let told = residue(&clone)["unknown"].to_string();
        assert!(told.contains(unknown), "{name}: {told}");
    }
    // Blobs that are left out are still named by the history.
    world.at(".").git(&["clone", "-q", "--filter=blob:none", &url, "without-blobs"]);
    let clone = world.at("without-blobs");
    std::fs::create_dir_all(clone.path.join(".git/archive-tomb")).unwrap();
    std::fs::copy(
        repo.path.join(".git/archive-tomb/archive.sqlite"),
        clone.path.join(".git/archive-tomb/archive.sqlite"),
    )
    .unwrap();
    clone.git(&["remote", "set-url", "origin", "file:///nowhere"]);
    assert!(places(&clone)["commit"].1.ends_with(PATH));
    assert!(!places(&clone).contains_key("object"));
}

#[test]
fn every_format_of_repositories_is_looked_into() {
    let world = World::new();
    for option in ["--object-format=sha256", "--ref-format=reftable"] {
        let name = option.trim_start_matches('-');
        let repo = world.at(name);
        std::fs::create_dir_all(&repo.path).unwrap();
        if repo.try_git(&["init", "-q", option]).code != Some(0) {
            // An older git has only files.
            continue;
        }
        repo.write(PATH, SECRET);
        repo.commit_all("cards");
        repo.tomb_ok(&["store", PATH, "--keep"]);
        repo.git(&["stash", "push", "-q", "--include-untracked"]);
        repo.git(&["checkout", "-q", "--detach"]);
        let tombstone = repo.tomb_ok(&["list", "--json"]).json()[0]["tombstone"].as_str().unwrap().to_owned();
        let found = repo.tomb_ok(&["show", "--residue", "--json", &tombstone]).json().remove(0);
        let kinds: Vec<&str> =
            found["places"].as_array().unwrap().iter().map(|place| place["kind"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            ["commit", "branch", "stash", "reflog", "state", "index", "file", "object"],
            "{option}: {found}"
        );
    }
}

#[test]
fn the_report_reads_well() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["tag", "v1"]);
    repo.git(&["checkout", "-q", "-b", "topic"]);
    assert_shown!(&world, repo.tomb(&["show", "--residue", PATH]), @r###"
    exit: 0
    ----- stdout -----
    this repository still has the bytes:
      commit             1  [object] data/cards.csv
      branch             2  main
                            topic
      tag                1  v1
      reflog             6  refs/heads/main@{0}
                            refs/heads/main@{1}
                            refs/heads/topic@{0}
                            HEAD@{0}
                            HEAD@{1}
                            and 1 more
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
    "###);
    let empty = world.sample("empty");
    empty.write("nothing", "");
    empty.commit_all("nothing");
    empty.tomb_ok(&["store", "nothing"]);
    assert_shown!(&world, empty.tomb(&["show", "--residue", "nothing"]), @r###"
    exit: 0
    ----- stdout -----
    nothing in this repository has the bytes
    not looked into:
      empty content is nowhere and everywhere: there is nothing to look for
    "###);
}

#[test]
fn asked_from_a_linked_working_tree_it_says_the_same() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["worktree", "add", "-q", "../linked", "-b", "topic"]);
    let steps = |from: &Repo<'_>| residue(from)["steps"].clone();
    assert_eq!(steps(&repo), steps(&world.at("linked")));
    assert!(steps(&repo).to_string().contains("git worktree remove "));
    found_and_taken_out(&repo, "branch", "topic");
}
