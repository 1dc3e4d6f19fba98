//! The report on where the bytes of a content still are, and the commands that it prints.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{Repo, World, tool};

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

/// Runs the printed commands as a shell does.
fn run_steps(repo: &Repo<'_>) {
    let Some(filter_repo) = tool("git-filter-repo") else { return };
    let path = format!("{}:{}", filter_repo.parent().unwrap().display(), std::env::var("PATH").unwrap());
    for step in residue(repo)["steps"].as_array().unwrap() {
        let command = step["command"].as_str().unwrap();
        let run =
            crate::common::Run::from(repo.with("PATH", &path).command("sh").args(["-c", command]).output().unwrap());
        assert_eq!(run.code, Some(0), "{command}: {run}");
    }
}

/// Asserts that the content is in a place of `kind`, one of the named being `first`, and that the printed commands take it
/// out without touching stubs and evidence.
#[track_caller]
fn found_and_taken_out(repo: &Repo<'_>, kind: &str, first: &str) {
    let found = places(repo);
    let place = found.get(kind).unwrap_or_else(|| panic!("no {kind} in {found:?}"));
    assert!(place.1.contains(first), "{kind}: {place:?}");
    run_steps(repo);
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
