//! The program's own places when somebody else has been there.

use std::os::unix::fs::symlink;

use crate::common::{Repo, World};

/// Asserts that no command that works on the places does anything; returns what `store` said.
#[track_caller]
fn refused(repo: &Repo<'_>) -> String {
    let before = repo.look();
    for command in [&["init"][..], &["restore", "docs"]] {
        repo.tomb(command).exits(2);
    }
    let said = repo.tomb(&["store", "docs"]).exits(2).stderr_text();
    assert_eq!(repo.look(), before);
    said
}

#[test]
fn cleaning_removes_links_and_nothing_else() {
    let world = World::new();
    let repo = world.sample("app");
    repo.store(&["docs"], &["docs/old.md"]);
    repo.git(&["clean", "-q", "-fdx"]);
    assert!(!repo.exists(".codex/archive.sqlite"));
    assert!(repo.exists(".git/archive-tomb/archive.sqlite"));
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json().len(), 1);
    repo.restore(&["docs"], &["docs/old.md"]);
    for link in [".codex/archive.sqlite", ".codex/evidence/archive_ops.jsonl"] {
        assert!(repo.path.join(link).symlink_metadata().unwrap().is_symlink(), "{link} is back");
        assert!(repo.path.join(link).exists(), "{link} leads somewhere");
    }
    assert_eq!(repo.status(), "", "the links are ignored");
    assert_eq!(repo.tomb_ok(&["evidence", "log", "--json"]).json().len(), 4, "two intents, two records");
}

#[test]
fn checking_out_a_commit_from_before_changes_no_archive() {
    let world = World::new();
    let repo = world.sample("app");
    repo.store(&["docs"], &["docs/old.md"]);
    repo.git(&["checkout", "-q", "HEAD~1"]);
    repo.git(&["stash", "-q", "-u"]);
    repo.git(&["checkout", "-q", "main"]);
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json().len(), 1);
    repo.restore(&["docs"], &["docs/old.md"]);
}

#[test]
fn a_branch_that_tracks_our_places_is_refused_with_the_way_out() {
    for place in [".codex/archive.sqlite", ".codex/evidence/archive_ops.jsonl"] {
        let world = World::new();
        let repo = world.sample("app");
        repo.write(place, "tracked\n");
        repo.git(&["add", "-f", place]);
        let said = refused(&repo);
        assert!(said.contains(&format!("`{place}` is tracked by git")), "{said}");
        assert!(said.contains(&format!("hint: `git rm --cached :/{place}`")), "{said}");
        repo.commit("track it");
        refused(&repo);
        // The way out, word for word.
        repo.git(&["rm", "-q", "--cached", place]);
        assert!(refused(&repo).contains("commit that"), "HEAD still has it");
        repo.commit("stop tracking it");
        let said = repo.tomb(&["store", "docs"]).exits(2).stderr_text();
        assert!(said.contains("is in the way of a link"), "{said}");
        std::fs::remove_file(repo.path.join(place)).unwrap();
        repo.tomb_ok(&["store", "docs"]);
        repo.commit("archive");
        assert_eq!(repo.status(), "");
    }
}

#[test]
fn a_tracked_link_at_our_place_is_refused_too() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write("../victim", "kept\n");
    std::fs::create_dir(repo.path.join(".codex")).unwrap();
    symlink("../../victim", repo.path.join(".codex/archive.sqlite")).unwrap();
    repo.git(&["add", "-f", ".codex/archive.sqlite"]);
    repo.commit("a link out of the tree");
    refused(&repo);
    assert_eq!(world.at("").read("victim"), b"kept\n");
}

#[test]
fn untracked_links_elsewhere_are_never_followed() {
    let world = World::new();
    let repo = world.sample("app");
    for name in ["database", "log"] {
        repo.write(format!("../{name}"), "kept\n");
    }
    std::fs::create_dir_all(repo.path.join(".codex/evidence")).unwrap();
    symlink("../../database", repo.path.join(".codex/archive.sqlite")).unwrap();
    symlink("../../../log", repo.path.join(".codex/evidence/archive_ops.jsonl")).unwrap();
    repo.store(&["docs"], &["docs/old.md"]);
    assert_eq!(world.at("").read("database"), b"kept\n");
    assert_eq!(world.at("").read("log"), b"kept\n");
}

#[test]
fn a_codex_that_is_no_plain_folder_is_refused() {
    let world = World::new();
    world.sample("library");

    let linked = world.sample("linked");
    std::fs::create_dir(linked.path.join("elsewhere")).unwrap();
    symlink("elsewhere", linked.path.join(".codex")).unwrap();
    assert!(refused(&linked).contains("is a symbolic link"));

    let deeper = world.sample("deeper");
    std::fs::create_dir_all(deeper.path.join(".codex")).unwrap();
    symlink("../docs", deeper.path.join(".codex/evidence")).unwrap();
    assert!(refused(&deeper).contains("is a symbolic link"));

    let file = world.sample("file");
    file.write(".codex", "a file\n");
    assert!(refused(&file).contains("is a file"));

    let submodule = world.sample("submodule");
    submodule.git(&["submodule", "--quiet", "add", "../library", ".codex"]);
    submodule.commit("a submodule");
    assert!(refused(&submodule).contains("is a repository of its own"));

    let other_case = world.sample("case");
    other_case.write(".Codex/notes.txt", "n\n");
    assert!(refused(&other_case).contains("in another case"));
}

#[test]
fn links_below_our_folder_are_never_written_through() {
    for link in [".codex/evidence/ops", ".codex/evidence/ops/2026", ".codex/.gitattributes"] {
        let world = World::new();
        let repo = world.sample("app");
        std::fs::create_dir(repo.path.join("../outside")).unwrap();
        repo.write("../outside/file", "kept\n");
        let place = repo.path.join(link);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let target = if link.ends_with("attributes") { "outside/file" } else { "outside" };
        symlink(world.at(target).path, &place).unwrap();
        let run = repo.tomb(&["store", "docs"]);
        let outside = std::fs::read_dir(world.at("outside").path).unwrap().count();
        assert_eq!(outside, 1, "{link}: {run}");
        assert_eq!(world.at("outside").read("file"), b"kept\n", "{link}: {run}");
        if run.code == Some(0) {
            repo.commit("archive");
            repo.assert_sound();
        } else {
            assert!(run.stderr_text().contains(link), "{link}: {run}");
            assert!(place.is_symlink(), "{link}: it is somebody's");
        }
    }
}

#[test]
fn own_lines_are_added_to_files_that_are_there() {
    let world = World::new();
    let repo = world.sample("app");
    repo.write(".codex/.gitignore", "/notes");
    repo.write(".codex/.gitattributes", "*.toml text\n");
    repo.commit_all("ours");
    repo.store(&["docs"], &["docs/old.md"]);
    assert!(repo.read_text(".codex/.gitignore").starts_with("/notes\n/archive.sqlite\n"));
    assert!(repo.read_text(".codex/.gitattributes").starts_with("*.toml text\nevidence/** -text"));
    // Local changes to them are not swept into the commit.
    repo.write(".codex/.gitignore", format!("{}/more\n", repo.read_text(".codex/.gitignore")));
    repo.tomb_ok(&["restore", "docs"]);
    repo.commit("restore");
    assert_eq!(repo.status(), " M .codex/.gitignore");
}
