//! Restoring where the tree has moved on, and what is refused.

use std::os::unix::fs::symlink;

use crate::common::{Repo, World};

/// A repository with `docs/old.md` and `src/legacy` archived and committed, and their original bytes' commit.
fn archived(world: &World) -> (Repo<'_>, String) {
    let repo = world.sample("app");
    let original = repo.git(&["rev-parse", "HEAD"]);
    repo.store(&["docs", "src/legacy"], &["docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"]);
    (repo, original)
}

/// Returns the tombstone of the item at `path`.
fn tombstone(repo: &Repo<'_>, path: &str) -> String {
    repo.tomb_ok(&["list", "--json", "--path", path]).json()[0]["tombstone"].as_str().unwrap().to_owned()
}

/// Asserts that a restore fails with `code` and changes nothing; returns what was said.
#[track_caller]
fn refused(repo: &Repo<'_>, arguments: &[&str], code: i32) -> String {
    let before = repo.look();
    let run = repo.tomb(&[&["restore"], arguments].concat()).exits(code);
    let after = repo.look();
    after.assert_changed_only(&before, &[]);
    assert_eq!(after.index, before.index);
    assert!(!repo.tomb_ok(&["status"]).stderr_text().contains("stopped half-way"));
    run.stderr_text()
}

#[test]
fn an_item_is_named_by_its_path_its_tombstone_a_prefix_or_a_folder() {
    let world = World::new();
    let (repo, original) = archived(&world);
    let whole = tombstone(&repo, "docs/old.md");
    repo.restore(&[&whole[..8]], &["docs/old.md"]);
    repo.restore(&["src"], &["src/legacy/old.py", "src/legacy/run.sh"]);
    assert_eq!(repo.git(&["diff", &original, "--", ".", ":(exclude).codex"]), "");
    assert_eq!(repo.tomb_ok(&["restore", &whole, "-"]).stdout, repo.read("docs/old.md"));
    let absolute = world.at("absolute.md").path;
    repo.tomb_ok(&["restore", &whole[..13], absolute.to_str().unwrap()]);
    assert_eq!(std::fs::read(absolute).unwrap(), repo.read("docs/old.md"));
    for (target, code) in [(&whole[..7], 3), ("00000000", 3), ("docs/old.md", 3), ("../outside", 3), ("nowhere", 3)] {
        repo.tomb(&["restore", target]).exits(code);
    }
    repo.tomb(&["restore", "00000000-0000-5000-8000-000000000000"]).exits(3);
}

#[test]
fn an_output_may_be_the_item_s_own_stub_and_nobody_else_s() {
    let world = World::new();
    let (repo, original) = archived(&world);
    let whole = tombstone(&repo, "src/legacy/run.sh");
    refused(&repo, &[&whole, "docs/old.md"], 1);
    repo.tomb_ok(&["restore", &whole, "src/legacy/run.sh"]);
    // The file is back; index and evidence are not its business.
    assert_eq!(repo.git(&["diff", &original, "--stat", "--", "src/legacy/run.sh"]), "");
    assert_eq!(repo.status(), " M src/legacy/run.sh");
}

#[test]
fn a_renamed_stub_is_restored_where_it_stands() {
    let world = World::new();
    let (repo, _) = archived(&world);
    let original = repo.tomb_ok(&["cat", "docs/old.md"]).stdout;
    repo.git(&["mv", "docs/old.md", "history.md"]);
    repo.commit("rename");
    repo.tomb(&["restore", "docs/old.md"]).exits(3);
    repo.restore(&["history.md"], &["history.md"]);
    assert_eq!(repo.read("history.md"), original);
    assert!(!repo.exists("docs/old.md"));
}

#[test]
fn a_renamed_stub_is_found_by_its_tombstone() {
    let world = World::new();
    let (repo, _) = archived(&world);
    let whole = tombstone(&repo, "docs/old.md");
    repo.git(&["mv", "docs/old.md", "history.md"]);
    repo.commit("rename");
    repo.restore(&[&whole], &["history.md"]);
}

#[test]
fn a_deleted_stub_is_restored_to_its_own_path_by_its_tombstone() {
    let world = World::new();
    let (repo, original) = archived(&world);
    let whole = tombstone(&repo, "docs/old.md");
    repo.git(&["rm", "-q", "docs/old.md"]);
    repo.commit("delete the stub");
    let before = repo.look();
    repo.tomb_ok(&["restore", &whole]);
    assert!(repo.look() != before);
    repo.commit("restore");
    repo.assert_sound();
    assert_eq!(repo.git(&["diff", &original, "--", "docs"]), "");
}

#[test]
fn what_stands_in_the_way_stays_without_force() {
    let world = World::new();
    let (repo, original) = archived(&world);
    let whole = tombstone(&repo, "docs/old.md");
    // The stub edited, something else committed in its place, something untracked in its place.
    repo.write("docs/old.md", format!("{}more\n", repo.read_text("docs/old.md")));
    let said = refused(&repo, &["docs/old.md"], 1);
    assert!(said.contains("`docs/old.md` is in the way"), "{said}");
    assert!(said.contains("--force"), "{said}");
    repo.write("docs/old.md", "rewritten\n");
    repo.commit_all("rewrite");
    refused(&repo, &[&whole], 1);
    repo.git(&["rm", "-q", "docs/old.md"]);
    repo.commit("remove");
    repo.write("docs/old.md", "untracked\n");
    refused(&repo, &[&whole], 1);
    repo.tomb_ok(&["restore", "--force", &whole]);
    assert_eq!(repo.git(&["diff", &original, "--", "docs"]), "");
    repo.commit("restore");
    assert_eq!(repo.status(), "");
}

#[test]
fn one_path_in_the_way_stops_the_whole_folder() {
    let world = World::new();
    let (repo, _) = archived(&world);
    repo.write("src/legacy/run.sh", "in the way\n");
    let said = refused(&repo, &["src"], 1);
    assert!(said.contains("src/legacy/run.sh"), "{said}");
    assert!(repo.read_text("src/legacy/old.py").contains("git-archive-tomb stub v1"));
}

#[test]
fn a_folder_is_never_replaced_by_a_file() {
    let world = World::new();
    let (repo, _) = archived(&world);
    std::fs::remove_file(repo.path.join("docs/old.md")).unwrap();
    repo.write("docs/old.md/inner.txt", "inner\n");
    refused(&repo, &["docs/old.md"], 1);
    refused(&repo, &["--force", "docs/old.md"], 1);
    assert_eq!(repo.read("docs/old.md/inner.txt"), b"inner\n");
}

#[test]
fn no_link_is_followed_on_the_way_to_a_path() {
    let world = World::new();
    let (repo, _) = archived(&world);
    let whole = tombstone(&repo, "src/legacy/old.py");
    std::fs::create_dir(world.at("outside").path).unwrap();
    std::fs::remove_dir_all(repo.path.join("src/legacy")).unwrap();
    symlink(world.at("outside").path, repo.path.join("src/legacy")).unwrap();
    for target in ["src/legacy/old.py", &whole, "src/legacy"] {
        for force in [&[][..], &["--force"]] {
            let said = refused(&repo, &[&[target], force].concat(), 5);
            assert!(said.contains("src/legacy/old.py"), "{said}");
            assert_eq!(std::fs::read_dir(world.at("outside").path).unwrap().count(), 0, "{target} {force:?}");
        }
    }
    assert!(repo.path.join("src/legacy").symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(world.at("outside").path).unwrap().count(), 0);
}

#[test]
fn an_output_that_exists_is_kept_without_force() {
    let world = World::new();
    let (repo, _) = archived(&world);
    let original = repo.tomb_ok(&["cat", "docs/old.md"]).stdout;
    repo.write("../out.md", "mine\n");
    let said = refused(&repo, &["docs/old.md", "../out.md"], 1);
    assert!(said.contains("--force"), "{said}");
    assert_eq!(world.at("").read("out.md"), b"mine\n");
    repo.tomb_ok(&["restore", "--force", "docs/old.md", "../out.md"]);
    assert_eq!(world.at("").read("out.md"), original);
    // The item's own bytes are no obstacle, and missing folders are made.
    repo.tomb_ok(&["restore", "docs/old.md", "../out.md"]);
    repo.tomb_ok(&["restore", "docs/old.md", "../new/folder/out.md"]);
    assert_eq!(world.at("new/folder").read("out.md"), original);
    std::fs::create_dir(world.at("occupied").path).unwrap();
    repo.tomb(&["restore", "--force", "docs/old.md", "../occupied"]).exits(1);
    // A link there is replaced, not followed.
    repo.write("../victim", "kept\n");
    symlink("victim", world.at("link").path).unwrap();
    repo.tomb_ok(&["restore", "--force", "docs/old.md", "../link"]);
    assert_eq!(world.at("").read("victim"), b"kept\n");
    // Several stubs have no single output.
    repo.tomb(&["restore", "src", "../several"]).exits(2);
    assert_eq!(repo.status(), "");
}

/// Changes a line of the committed stub of `docs/old.md`.
fn forge(repo: &Repo<'_>, key: &str, value: &str) {
    let text = repo.read_text("docs/old.md");
    let line = text.lines().find(|line| line.starts_with(&format!("{key}: "))).unwrap();
    repo.write("docs/old.md", text.replace(line, &format!("{key}: {value}")));
    repo.commit_all("forge");
}

#[test]
fn a_stub_that_lies_about_its_item_is_refused() {
    for (key, value) in [
        ("sha256", "0000000000000000000000000000000000000000000000000000000000000000"),
        ("size", "1"),
        ("mode", "100755"),
        ("repo", "other"),
    ] {
        let world = World::new();
        let (repo, _) = archived(&world);
        let whole = tombstone(&repo, "docs/old.md");
        forge(&repo, key, value);
        for arguments in [&["docs/old.md"][..], &["docs"], &["."], &[&whole], &["docs/old.md", "-"]] {
            let said = refused(&repo, arguments, 5);
            assert!(said.contains(&format!("does not agree with the archive on its {key}")), "{said}");
        }
        repo.tomb(&["cat", "docs/old.md"]).exits(5);
        repo.tomb(&["verify", "--all"]).exits(1);
        // Where there is no archive, the evidence knows better.
        repo.git(&["clone", "-q", ".", "../clone"]);
        for target in ["docs/old.md", &whole] {
            let said = refused(&world.at("clone"), &[target], 5);
            assert!(said.contains(&format!("does not agree with its evidence on its {key}")), "{said}");
        }
    }
}

#[test]
fn a_stub_that_names_another_tombstone_gives_no_other_file() {
    let world = World::new();
    let (repo, _) = archived(&world);
    let other = tombstone(&repo, "src/legacy/old.py");
    forge(&repo, "tombstone", &other);
    refused(&repo, &["docs/old.md"], 5);
}

#[test]
fn another_repository_s_item_is_restored_only_by_its_tombstone() {
    let world = World::new();
    let (repo, _) = archived(&world);
    let (whole, original) = (tombstone(&repo, "docs/old.md"), repo.tomb_ok(&["cat", "docs/old.md"]).stdout);
    let other = world.init("other");
    other.write("docs/old.md", repo.read("docs/old.md"));
    other.commit_all("somebody copied a stub");
    let other =
        other.with("CODEX_ARCHIVE_URL", format!("sqlite:///{}/.git/archive-tomb/archive.sqlite", repo.path.display()));
    let said = refused(&other, &["docs/old.md"], 2);
    assert!(said.contains("stands for an item of the repository `app`"), "{said}");
    assert!(said.contains(&format!("git archive-tomb restore {whole}")), "{said}");
    refused(&other, &["."], 2);
    other.tomb_ok(&["restore", &whole]);
    assert_eq!(other.read("docs/old.md"), original);
}

#[test]
fn what_a_clone_archived_is_its_own_under_any_name() {
    let world = World::new();
    let repo = world.sample("app");
    repo.tomb_ok(&["store", "--repo", "upstream", "docs/old.md"]);
    repo.commit("archive");
    repo.restore(&["docs/old.md"], &["docs/old.md"]);
}

#[test]
fn restored_bytes_can_be_archived_again_under_the_same_tombstone() {
    let world = World::new();
    let repo = world.sample("app");
    let commit = repo.git(&["rev-parse", "HEAD"]);
    let first = repo.store(&["docs"], &["docs/old.md"]).json();
    assert_eq!(repo.tomb_ok(&["store", "docs"]).json()[0]["status"], "skipped");
    repo.restore(&["docs"], &["docs/old.md"]);
    let again = repo.store(&["--commit", &commit, "docs"], &["docs/old.md"]).json();
    assert_eq!(again[0]["status"], "already-stored");
    assert_eq!(again[0]["tombstone"], first[0]["tombstone"]);
    assert_ne!(again[0]["evidence"], first[0]["evidence"], "one more event");
    assert_eq!(repo.tomb_ok(&["list", "--json"]).json().len(), 1);
    repo.restore(&["docs"], &["docs/old.md"]);
}
