//! Restoring where there is no archive: clones of every depth and filter, and what history does to stubs before that.

use std::collections::BTreeMap;

use crate::common::{Repo, Run, World, lines};

/// A published repository, and what each of its stubs stands for: mode and bytes, or a link's target.
struct Published<'w> {
    repo: Repo<'w>,
    originals: BTreeMap<&'static str, String>,
}

/// Returns a repository with stubs that came about in many ways; the archive stays with it.
fn published(world: &World) -> Published<'_> {
    let repo = world.init("published");
    let files = ["a.py", "old/b.py", "old/c.py", "d.py", "e.py", "keep.py"];
    for path in files {
        repo.write(path, lines(path));
    }
    repo.write("run.sh", format!("#!/bin/sh\n{}", lines("run")));
    repo.set_executable("run.sh");
    std::os::unix::fs::symlink("keep.py", repo.path.join("link")).unwrap();
    repo.commit_all("first");
    repo.git(&["config", "remote.origin.url", "https://example.org/published.git"]);
    for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
        repo.git(&["config", setting, "true"]);
    }
    let before = repo.tree();
    let mut originals = BTreeMap::new();
    let mut keep = |path, from: &str| drop(originals.insert(path, before[from].clone()));
    repo.tomb_ok(&["store", "a.py", "run.sh", "link", "old", "d.py"]);
    repo.commit("archive");
    for path in ["a.py", "run.sh", "link"] {
        keep(path, path);
    }
    // A stub that is renamed, and a folder of them.
    repo.git(&["mv", "d.py", "renamed.py"]);
    repo.git(&["mv", "old", "moved"]);
    repo.commit("move");
    keep("renamed.py", "d.py");
    keep("moved/b.py", "old/b.py");
    keep("moved/c.py", "old/c.py");
    // Archived on a branch that is squashed and gone.
    repo.git(&["switch", "-q", "-c", "topic"]);
    repo.tomb_ok(&["store", "e.py"]);
    repo.commit("archive e");
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["merge", "-q", "--squash", "topic"]);
    repo.commit("squashed");
    repo.git(&["branch", "-q", "-D", "topic"]);
    keep("e.py", "e.py");
    repo.write("keep.py", "changed\n");
    repo.commit_all("go on");
    Published { repo, originals }
}

impl<'w> Published<'w> {
    fn clone(&self, name: &str, options: &[&str]) -> Repo<'w> {
        clone(&self.repo, name, options)
    }

    /// Asserts that every stub of a clone comes back as it was.
    #[track_caller]
    fn assert_comes_back(&self, clone: &Repo<'_>) {
        clone.tomb_ok(&["restore", "."]);
        self.assert_is_back(clone);
    }

    #[track_caller]
    fn assert_is_back(&self, clone: &Repo<'_>) {
        let tree = clone.tree();
        for (path, original) in &self.originals {
            assert_eq!(&tree[*path], original, "{path}");
        }
        assert!(!clone.exists(".git/archive-tomb/archive.sqlite"), "restoring makes no archive");
    }
}

fn clone<'w>(repo: &Repo<'w>, name: &str, options: &[&str]) -> Repo<'w> {
    let url = format!("file://{}", repo.path.display());
    repo.world.at("").git(&[&["clone", "-q"], options, &[&url, name]].concat());
    let clone = repo.world.at(name);
    // Stubs name the repository by the last part of its URL.
    assert_eq!(clone.git(&["config", "remote.origin.url"]), url);
    clone
}

/// Restores as long as that fails with a command that fetches, which is run as printed; returns those commands.
#[track_caller]
fn restore_with_hints(clone: &Repo<'_>, target: &str) -> Vec<String> {
    let mut commands = Vec::new();
    loop {
        let run = clone.tomb(&["restore", target]);
        if run.code == Some(0) {
            return commands;
        }
        let said = run.stderr_text();
        let hint = said.lines().find(|line| line.starts_with("hint: ") && line.contains("git fetch"));
        let hint = hint.unwrap_or_else(|| panic!("no command that fetches: {said}"));
        let command = hint.split('`').nth(1).unwrap().to_owned();
        assert!(!commands.contains(&command), "it does not help: {said}");
        let fetched = Run::from(clone.command("sh").args(["-c", &command]).output().unwrap());
        assert_eq!(fetched.code, Some(0), "{command}: {fetched}");
        commands.push(command);
    }
}

#[test]
fn every_stub_of_a_fresh_clone_comes_back() {
    let world = World::new();
    let published = published(&world);
    for (name, options) in [
        ("whole", &[][..]),
        ("single", &["--single-branch"]),
        ("bloblesss", &["--filter=blob:none"]),
        ("treeless", &["--filter=tree:0"]),
    ] {
        let clone = published.clone(name, options);
        published.assert_comes_back(&clone);
        clone.commit("restore");
        clone.tomb_ok(&["verify", "--staged"]);
    }
}

#[test]
fn a_shallow_clone_names_the_fetch_that_helps() {
    let world = World::new();
    let published = published(&world);
    let unshallow = &["git fetch --unshallow"][..];
    for (name, options, target, fetches) in [
        ("depth", &["--depth=1"][..], ".", unshallow),
        ("one", &["--depth=1"], "a.py", unshallow),
        ("all", &["--depth=1", "--no-single-branch"], ".", unshallow),
        // Where git may ask for any object, it does.
        ("both", &["--depth=1", "--filter=blob:none"], ".", &[]),
        ("trees", &["--depth=1", "--filter=tree:0"], ".", &[]),
    ] {
        let clone = published.clone(name, options);
        let before = clone.look();
        if !fetches.is_empty() {
            clone.tomb(&["restore", "run.sh"]).exits(3);
            clone.look().assert_changed_only(&before, &[]);
        }
        assert_eq!(restore_with_hints(&clone, target), fetches, "{name}");
        if target == "." {
            published.assert_is_back(&clone);
        }
    }
}

/// The file as it was archived is only on a branch that the clone does not follow.
#[test]
fn a_clone_of_a_single_branch_names_the_fetch_of_the_others() {
    let world = World::new();
    let Published { repo, .. } = published(&world);
    repo.git(&["switch", "-q", "-c", "topic"]);
    repo.write("keep.py", lines("only here"));
    repo.commit_all("edit");
    repo.tomb_ok(&["store", "keep.py"]);
    repo.commit("archive");
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["merge", "-q", "--squash", "topic"]);
    repo.commit("squashed");
    for (name, options, commands) in [
        ("single", &["--single-branch"][..], 1),
        ("shallow", &["--depth=1"], 2),
        ("blobless", &["--single-branch", "--filter=blob:none"], 1),
    ] {
        let clone = clone(&repo, name, options);
        let ran = restore_with_hints(&clone, "keep.py");
        assert!(ran.len() <= commands, "{name}: {ran:?}");
        assert_eq!(clone.read_text("keep.py"), lines("only here"));
    }
}

#[test]
fn bytes_that_no_commit_holds_are_where_they_were_archived() {
    let world = World::new();
    let Published { repo, .. } = published(&world);
    repo.write("keep.py", "never committed\n");
    repo.tomb_ok(&["store", "--allow-dirty", "keep.py"]);
    repo.commit("archive");
    let clone = clone(&repo, "clone", &[]);
    let failed = clone.tomb(&["restore", "keep.py"]).exits(6).stderr_text();
    assert!(failed.contains("not in git's history"), "{failed}");
    assert!(failed.contains("never committed") && !failed.contains("git fetch"), "{failed}");
    // Where they are, they are found without the archive, too.
    std::fs::remove_file(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    repo.tomb_ok(&["restore", "keep.py"]);
    assert_eq!(repo.read_text("keep.py"), "never committed\n");
}

#[test]
fn a_filter_s_remote_that_cannot_be_reached_is_named() {
    let world = World::new();
    let published = published(&world);
    for filter in ["--filter=blob:none", "--filter=tree:0"] {
        let clone = published.clone(&filter[9..13], &[filter]);
        let url = clone.git(&["config", "remote.origin.url"]);
        clone.git(&["remote", "set-url", "origin", "file:///nowhere/published"]);
        let before = clone.look();
        let failed = clone.tomb(&["restore", "a.py"]);
        assert!(matches!(failed.code, Some(1 | 3)), "{failed}");
        let said = failed.stderr_text();
        assert!(said.contains("hint: ") && said.contains("`git fetch --refetch --no-filter`"), "{said}");
        clone.look().assert_changed_only(&before, &[]);
        clone.git(&["remote", "set-url", "origin", &url]);
        assert_eq!(restore_with_hints(&clone, "a.py"), Vec::<String>::new());
    }
}

#[test]
fn a_submodule_and_a_linked_working_tree_are_clones_like_any_other() {
    let world = World::new();
    let published = published(&world);
    let host = world.init("host");
    let url = format!("file://{}", published.repo.path.display());
    host.git(&["submodule", "--quiet", "add", &url, "lib"]);
    host.commit("add");
    let fresh = clone(&host, "fresh", &["--recurse-submodules"]);
    let lib = fresh.below("lib");
    lib.tomb_ok(&["restore", "a.py"]);
    assert_eq!(lib.read_text("a.py"), lines("a.py"));
    assert_eq!(fresh.git(&["diff", "--name-only"]), "lib");

    let main = published.clone("main", &[]);
    main.git(&["worktree", "add", "-q", "--detach", "../linked"]);
    published.assert_comes_back(&world.at("linked"));
}

#[test]
fn an_imported_subtree_comes_back_by_tombstone() {
    let world = World::new();
    let published = published(&world);
    let host = world.init("host");
    host.write("main.c", "int main() {}\n");
    host.commit_all("first");
    // What `git subtree add` does.
    let url = format!("file://{}", published.repo.path.display());
    host.git(&["fetch", "-q", &url, "main"]);
    host.git(&["merge", "-q", "-s", "ours", "--no-commit", "--allow-unrelated-histories", "FETCH_HEAD"]);
    host.git(&["read-tree", "--prefix=vendor/lib/", "-u", "FETCH_HEAD"]);
    host.commit("import");
    let fresh = clone(&host, "fresh", &[]);
    let refused = fresh.tomb(&["restore", "vendor/lib/renamed.py"]).exits(2).stderr_text();
    let command = refused.split('`').find(|part| part.starts_with("git archive-tomb restore ")).unwrap();
    let run = Run::from(fresh.command("sh").args(["-c", command]).output().unwrap());
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(fresh.read_text("vendor/lib/renamed.py"), lines("d.py"));
    let verified = fresh.tomb(&["verify", "--staged"]);
    assert_eq!(verified.code, Some(0), "{verified}");
}
