//! Awkward repositories, with the real git: each is read and written as `docs/git.md` says.

use std::ops::ControlFlow;
use std::path::Path;

use bstr::BString;

use super::testing::Fixture;
use super::*;
use crate::id::ObjectId;
use crate::item::RepoPath;

fn path(bytes: impl Into<Vec<u8>>) -> RepoPath {
    RepoPath::try_new(bytes).expect("is a path")
}

fn specs<const N: usize>(texts: [&str; N]) -> Vec<BString> {
    texts.map(BString::from).to_vec()
}

fn names(entries: &[(RepoPath, TreeEntry)]) -> Vec<String> {
    entries.iter().map(|(path, _)| path.to_string()).collect()
}

/// Replaces `file` by a stub in index and working tree, as `store` does.
fn put(repository: &Repository, file: &RepoPath, content: &[u8]) -> ObjectId {
    let ids = repository.objects().write_blobs(&[content]).expect("writes");
    let lock = IndexLock::acquire(repository, "test").expect("locks");
    let entry = Some(TreeEntry { mode: 0o100_644, id: ids[0] });
    lock.update(&[IndexUpdate { path: file.clone(), entry, skip_worktree: false }]).expect("updates");
    let staged = lock.checkout(&[file]).expect("stages");
    let root = Root::open(repository.work_tree().expect("has one")).expect("opens");
    root.take(staged.root(), file).expect("moves");
    root.sync([file]).expect("syncs");
    drop(staged);
    lock.refresh().expect("refreshes");
    lock.commit().expect("commits");
    ids[0]
}

fn status(fixture: &Fixture, top: &Path) -> String {
    fixture.git_in(top, &["status", "--porcelain"])
}

fn leftovers(repository: &Repository) -> Vec<String> {
    let listing = std::fs::read_dir(repository.git_dir()).expect("lists");
    let names = listing.map(|entry| entry.expect("lists").file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.contains("archive-tomb") || Path::new(name).extension().is_some_and(|end| end == "lock"))
        .collect()
}

/// The whole way through a repository: read, compare, replace, read again.
fn works(fixture: &Fixture, top: &Path, file: &RepoPath) {
    let repository = fixture.discover(top).expect("finds it");
    let commit = repository.head().expect("reads").commit().expect("has commits");
    let tree = repository.objects().commit(&commit).expect("reads").tree;
    let entry = repository.objects().entry(&tree, file).expect("reads").expect("is there");
    let states = repository.work_states(&[(file.clone(), entry)]).expect("compares");
    assert_eq!(states, [WorkState::Unmodified]);
    assert_eq!(repository.index_changes(Some(&commit)).expect("compares"), IndexChanges::default());

    let id = put(&repository, file, b"stub\n");
    assert_eq!(status(fixture, top).lines().count(), 1);
    assert!(status(fixture, top).starts_with("M  "));
    let changes = repository.index_changes(Some(&commit)).expect("compares").changes;
    assert_eq!(changes.len(), 1);
    assert_eq!((&changes[0].path, changes[0].new.map(|new| new.id)), (file, Some(id)));
    assert_eq!(leftovers(&repository), Vec::<String>::new());
}

#[test]
fn both_formats_and_reftable_work() {
    for options in [&["--object-format=sha1"][..], &["--object-format=sha256"], &["--ref-format=reftable"]] {
        let fixture = Fixture::empty();
        let arguments = [&["init", "-q", "-b", "main"], options, &["top"]].concat();
        let version = fixture.git_in(fixture.home(), &["version"]);
        if options[0].contains("reftable") && version.starts_with("git version 2.3") {
            continue;
        }
        fixture.git_in(fixture.home(), &arguments);
        let commit = fixture.commit_files(&[("a/b", "1\n"), ("c", "2\n")]);
        let repository = fixture.repository();
        assert_eq!(repository.head().expect("reads"), Head::Branch { name: "refs/heads/main".into(), commit });
        assert_eq!(repository.references("refs/").expect("lists").len(), 1);
        works(&fixture, &fixture.top(), &path("a/b"));
        repository.create_reference("refs/archive-tomb/x", &commit).expect("creates");
        repository.create_reference("refs/archive-tomb/x", &commit).expect("is there already");
        let tree = repository.objects().commit(&commit).expect("reads").tree;
        assert!(repository.create_reference("refs/archive-tomb/x", &tree).is_err(), "never moves");
    }
}

#[test]
fn places_are_right_wherever_one_stands() {
    let fixture = Fixture::new("sha1");
    let commit = fixture.commit_files(&[("a/b", "1\n"), ("c", "2\n")]);
    let (top, home) = (std::fs::canonicalize(fixture.top()).expect("is there"), fixture.home().to_owned());
    let inside = fixture.discover(&top.join("a")).expect("finds it");
    assert_eq!((inside.work_tree(), inside.prefix().to_string()), (Some(top.as_path()), "a/".to_owned()));
    assert_eq!(names(&inside.expand(&commit, &specs(["b", ":/c"])).expect("expands").entries), ["a/b", "c"]);

    std::fs::create_dir(top.join("new\nline")).expect("makes");
    assert_eq!(fixture.discover(&top.join("new\nline")).expect("finds it").prefix(), "new\nline/");

    let git_dir = fixture.discover(&top.join(".git")).expect("finds it");
    assert_eq!((git_dir.work_tree(), git_dir.is_bare()), (None, false));
    assert!(matches!(git_dir.require_work_tree(), Err(GitError::NoWorkTree { .. })));

    fixture.git(&["worktree", "add", "-q", "../linked"]);
    let linked = fixture.discover(&home.join("linked/a")).expect("finds it");
    assert!(linked.git_dir().ends_with(".git/worktrees/linked"));
    assert_eq!(linked.common_dir(), inside.git_dir());
    assert_eq!(linked.hooks_dir(), inside.git_dir().join("hooks"));
    works(&fixture, &home.join("linked"), &path("a/b"));
    assert_eq!(status(&fixture, &top), "");

    fixture.git(&["config", "core.hooksPath", "my-hooks"]);
    assert_eq!(fixture.repository().hooks_dir(), top.join("my-hooks"));

    fixture.git_in(&home, &["clone", "-q", "--separate-git-dir", "apart.git", "top", "apart"]);
    works(&fixture, &home.join("apart"), &path("a/b"));

    assert!(matches!(fixture.discover(&home), Err(GitError::NotARepository { .. })));
    assert!(matches!(fixture.discover(&home.join("nowhere")), Err(GitError::NoSuchFolder { .. })));
}

#[test]
fn bare_repositories_are_read_and_their_worktrees_written() {
    let fixture = Fixture::new("sha1");
    let commit = fixture.commit_files(&[("a/b", "1\n"), ("a-c", "2\n")]);
    fixture.git_in(fixture.home(), &["clone", "-q", "--bare", "top", "bare"]);
    let folder = fixture.home().join("bare");
    let bare = fixture.discover(&folder).expect("finds it");
    assert!(bare.is_bare() && bare.work_tree().is_none());
    assert_eq!(bare.head().expect("reads").commit(), Some(commit));
    let expansion = bare.expand(&commit, &specs(["a", "b"])).expect("expands");
    assert_eq!((names(&expansion.entries), expansion.unmatched), (vec!["a/b".to_owned()], vec![1]));
    assert_eq!(bare.index_entries(&[]).expect("lists"), []);
    assert_eq!(bare.objects().write_blobs(&[b"x"]).expect("writes").len(), 1);

    fixture.git_in(&folder, &["worktree", "add", "-q", "../of-bare", "main"]);
    works(&fixture, &fixture.home().join("of-bare"), &path("a/b"));
}

#[test]
fn a_branch_without_commits_has_an_empty_side() {
    let fixture = Fixture::new("sha1");
    let repository = fixture.repository();
    assert_eq!(repository.head().expect("reads"), Head::Unborn { name: "refs/heads/main".into() });
    assert!(matches!(repository.resolve_commit("HEAD"), Err(GitError::UnknownRevision { .. })));
    assert_eq!(repository.index_changes(None).expect("compares"), IndexChanges::default());
    put(&repository, &path("new"), b"x");
    assert_eq!(repository.index_changes(None).expect("compares").changes.len(), 1);
    assert_eq!(status(&fixture, &fixture.top()), "A  new");
}

#[test]
fn revisions_never_become_options() {
    let fixture = Fixture::new("sha1");
    let commit = fixture.commit_files(&[("a", "1")]);
    fixture.git(&["tag", "-a", "-m", "x", "v1"]);
    let repository = fixture.repository();
    assert_eq!(repository.resolve_commit("v1").expect("resolves"), commit);
    for bad in ["--all", "-n1", "", "nothing", "a\0b", "HEAD:a", "HEAD\nmain"] {
        assert!(matches!(repository.resolve_commit(bad), Err(GitError::UnknownRevision { .. })), "{bad:?}");
    }
    let tag = &repository.references("refs/tags").expect("lists")[0];
    assert_eq!((tag.name.to_string(), tag.id), ("refs/tags/v1".to_owned(), commit));
    fixture.git(&["checkout", "-q", "--detach"]);
    assert_eq!(repository.head().expect("reads"), Head::Detached { commit });
}

#[test]
fn every_kind_of_index_works() {
    let kinds: [&[&[&str]]; 5] = [
        &[&["update-index", "--split-index"]],
        &[&["config", "index.version", "4"], &["update-index", "--force-write-index"]],
        &[&["update-index", "--untracked-cache"]],
        &[&["sparse-checkout", "set", "--cone", "a"]],
        &[&["sparse-checkout", "set", "--cone", "--sparse-index", "a"]],
    ];
    for commands in kinds {
        let fixture = Fixture::new("sha1");
        fixture.commit_files(&[("a/b", "1\n"), ("out/x/c", "2\n"), ("top", "3\n")]);
        for command in commands {
            fixture.git(command);
        }
        let listed = fixture.repository().index_entries(&[]).expect("lists");
        let listed: Vec<_> = listed.iter().map(|entry| (entry.path.to_string(), entry.skip_worktree)).collect();
        let sparse = commands[0][0] == "sparse-checkout";
        assert_eq!(listed, [("a/b".into(), false), ("out/x/c".into(), sparse), ("top".into(), false)]);
        works(&fixture, &fixture.top(), &path("a/b"));
        // With a sparse index git names trees in its cache before it writes them.
        fixture.git(&["write-tree"]);
        fixture.git(&["fsck", "--strict"]);
    }
}

#[test]
fn entries_outside_a_sparse_checkout_stay_out_of_the_working_tree() {
    for option in ["--no-sparse-index", "--sparse-index"] {
        let fixture = Fixture::new("sha1");
        fixture.commit_files(&[("a/b", "1\n"), ("out/x/c", "2\n")]);
        fixture.git(&["sparse-checkout", "set", "--cone", option, "a"]);
        let repository = fixture.repository();
        let new = path("out/x/evidence");
        let id = repository.objects().write_blobs(&[b"line\n"]).expect("writes")[0];
        let lock = IndexLock::acquire(&repository, "test").expect("locks");
        let entry = Some(TreeEntry { mode: 0o100_644, id });
        lock.update(&[IndexUpdate { path: new.clone(), entry, skip_worktree: true }]).expect("updates");
        // It can be written all the same.
        let staged = lock.checkout(&[&new]).expect("stages");
        assert_eq!(staged.root().read(&new, 10).expect("reads").as_deref(), Some(&b"line\n"[..]));
        drop(staged);
        lock.commit().expect("commits");
        assert_eq!(status(&fixture, &fixture.top()), "A  out/x/evidence");
    }
}

#[test]
fn a_lock_is_respected_and_freed() {
    let fixture = Fixture::new("sha1");
    fixture.commit_files(&[("a", "1")]);
    let repository = fixture.repository();
    let lock = IndexLock::acquire(&repository, "operation 7").expect("locks");
    assert_eq!(stale_lock_note(&repository).expect("reads").as_deref(), Some("operation 7"));
    assert!(matches!(IndexLock::acquire(&repository, "other"), Err(GitError::IndexLocked { .. })));
    let update = IndexUpdate { path: path("a"), entry: None, skip_worktree: false };
    lock.update(&[update]).expect("updates");
    drop(lock);
    assert_eq!(leftovers(&repository), Vec::<String>::new());
    assert_eq!(repository.index_entries(&[]).expect("lists").len(), 1);

    // As a killed process leaves it.
    let lock = IndexLock::acquire(&repository, "operation 8").expect("locks");
    std::mem::forget(lock.checkout(&[&path("a")]).expect("stages"));
    std::mem::forget(lock);
    assert_eq!(leftovers(&repository).len(), 3);
    assert!(!remove_stale_lock(&repository, "operation 7").expect("looks"));
    assert!(remove_stale_lock(&repository, "operation 8").expect("removes"));
    assert!(!remove_stale_lock(&repository, "operation 8").expect("looks"));
    assert_eq!(leftovers(&repository), Vec::<String>::new());
    assert_eq!(repository.index_entries(&[]).expect("lists").len(), 1);

    let foreign = repository.git_dir().join("index.lock");
    std::fs::write(&foreign, "DIRC").expect("writes");
    assert!(matches!(IndexLock::acquire(&repository, "x"), Err(GitError::IndexLocked { path }) if path == foreign));
    assert_eq!(stale_lock_note(&repository).expect("reads"), None);
    assert!(foreign.exists());
}

#[test]
fn the_index_that_a_hook_is_given_is_the_one_that_is_read() {
    let fixture = Fixture::new("sha1");
    let commit = fixture.commit_files(&[("a", "1"), ("d/b", "2")]);
    std::fs::copy(fixture.top().join(".git/index"), fixture.top().join(".git/next-index-1.lock")).expect("copies");
    fixture.write("a", "3");
    fixture.git(&["add", "a"]);
    // As git calls a hook of `git commit <path>`: relative to the top, where hooks run.
    let environment = [("GIT_INDEX_FILE", ".git/next-index-1.lock"), ("GIT_PREFIX", "d/")];
    let hook = fixture.discover_with(&fixture.top(), &environment).expect("finds it");
    assert_eq!(hook.index_changes(Some(&commit)).expect("compares").changes, []);
    assert_eq!(fixture.repository().index_changes(Some(&commit)).expect("compares").changes.len(), 1);

    let git_dir = fixture.top().join(".git");
    let environment = [("GIT_DIR", git_dir.to_str().expect("is text")), ("GIT_WORK_TREE", ".")];
    let elsewhere = fixture.discover_with(&fixture.top(), &environment).expect("finds it");
    assert_eq!(elsewhere.head().expect("reads").commit(), Some(commit));
}

#[test]
fn conflicts_are_listed_apart() {
    let fixture = Fixture::new("sha1");
    fixture.commit_files(&[("a", "1"), ("b", "1")]);
    fixture.git(&["checkout", "-q", "-b", "side"]);
    fixture.commit_files(&[("a", "2"), ("b", "1"), ("c", "1")]);
    let side = fixture.git(&["rev-parse", "HEAD"]);
    fixture.git(&["checkout", "-q", "main"]);
    let ours = fixture.commit_files(&[("a", "3"), ("b", "1")]);
    fixture.git(&["-c", "alias.try=!git merge side || true", "try"]);
    let repository = fixture.repository();
    let changes = repository.index_changes(Some(&ours)).expect("compares");
    assert_eq!(changes.unmerged, [path("a")]);
    assert_eq!(changes.changes.iter().map(|change| change.path.to_string()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(repository.index_entries(&specs(["a"])).expect("lists").len(), 3);
    assert_eq!(repository.merge_heads().expect("reads"), [side.parse().expect("is an id")]);
}

#[test]
fn conversions_are_gits_own_both_ways() {
    let fixture = Fixture::new("sha1");
    fixture.commit_files(&[("lf", "a\nb\n"), ("crlf", "a\r\nb\r\n")]);
    fixture.git(&["config", "core.autocrlf", "true"]);
    fixture.git(&["rm", "-q", "--cached", "-r", "."]);
    fixture.git(&["reset", "-q", "--hard"]);
    assert_eq!(std::fs::read(fixture.top().join("lf")).expect("reads"), b"a\r\nb\r\n");
    for file in ["lf", "crlf"] {
        works(&fixture, &fixture.top(), &path(file));
        assert_eq!(std::fs::read(fixture.top().join(file)).expect("reads"), b"stub\r\n");
        fixture.git(&["commit", "-q", "-m", "stub"]);
    }
}

#[cfg(unix)]
#[test]
fn a_working_file_is_judged_by_its_content() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let fixture = Fixture::new("sha1");
    fixture.write("run", "x");
    std::fs::set_permissions(fixture.top().join("run"), PermissionsExt::from_mode(0o755)).expect("sets");
    for name in ["assumed", "racy", "gone", "\"new\nline\"", "moded"] {
        fixture.write(name, "1");
    }
    fixture.write("d/below", "1");
    symlink("target", fixture.top().join("link")).expect("links");
    symlink("target", fixture.top().join("relinked")).expect("links");
    fixture.git(&["add", "-A"]);
    fixture.git(&["commit", "-q", "-m", "x"]);
    fixture.git(&["update-index", "--assume-unchanged", "assumed"]);
    let repository = fixture.repository();
    let entries = repository.index_entries(&[]).expect("lists");
    let expected: Vec<_> = entries.iter().map(|entry| (entry.path.clone(), entry.entry)).collect();
    assert!(repository.work_states(&expected).expect("compares").iter().all(|state| *state == WorkState::Unmodified));
    assert!(entries.iter().any(|entry| entry.assume_unchanged && entry.path.as_bytes() == b"assumed"));

    let racy = fixture.top().join("racy");
    let time = std::fs::metadata(&racy).and_then(|metadata| metadata.modified()).expect("has one");
    std::fs::write(&racy, "2").expect("writes");
    std::fs::File::options().write(true).open(&racy).and_then(|file| file.set_modified(time)).expect("sets");
    fixture.write("assumed", "2");
    std::fs::remove_file(fixture.top().join("gone")).expect("removes");
    std::fs::remove_file(fixture.top().join("relinked")).expect("removes");
    symlink("other", fixture.top().join("relinked")).expect("links");
    std::fs::set_permissions(fixture.top().join("moded"), PermissionsExt::from_mode(0o755)).expect("sets");
    // The same bytes, but through a link: they are not in this working tree.
    std::fs::rename(fixture.top().join("d"), fixture.home().join("d")).expect("moves");
    symlink(fixture.home().join("d"), fixture.top().join("d")).expect("links");
    for ((path, _), state) in expected.iter().zip(repository.work_states(&expected).expect("compares")) {
        let wanted = match path.as_bytes() {
            b"racy" | b"assumed" | b"relinked" | b"moded" | b"d/below" => WorkState::Modified,
            b"gone" => WorkState::Missing,
            _ => WorkState::Unmodified,
        };
        assert_eq!(state, wanted, "{path}");
    }
}

#[cfg(unix)]
#[test]
fn odd_names_and_long_paths_go_all_the_way() {
    let fixture = Fixture::new("sha1");
    let blob = fixture.git_input(&["hash-object", "-w", "--stdin"], b"x");
    let long = [vec!["d".repeat(199); 19].join("/"), "f".repeat(199)].join("/");
    let paths =
        [path(b"caf\xe9".as_slice()), path("new\nline"), path("tab\t\"quote"), path(":(top)x"), path("-f"), path(long)];
    let mut input = Vec::new();
    for path in &paths {
        input.extend([format!("100644 {blob}\t").as_bytes(), path.as_bytes(), b"\0"].concat());
    }
    fixture.git_input(&["update-index", "-z", "--index-info"], &input);
    fixture.git(&["commit", "-q", "-m", "x"]);
    fixture.git(&["checkout-index", "-a", "-q"]);
    // A linked working tree's staging folder is not below its top, and leaves less room.
    fixture.git(&["worktree", "add", "-q", "../linked"]);
    let linked = fixture.home().join("linked");
    for top in [fixture.top(), linked] {
        for path in &paths {
            works(&fixture, &top, path);
            fixture.git_in(&top, &["commit", "-q", "-m", "stub"]);
        }
    }
}

#[test]
fn path_arguments_mean_what_they_mean_to_git() {
    let fixture = Fixture::new("sha1");
    let files = [("src/a.py", "1"), ("src/b.rs", "2"), ("src-2/c.py", "3"), ("src.py", "4"), ("[x]", "5")];
    let commit = fixture.commit_files(&files);
    fixture.git(&["rm", "-q", "--cached", "src/b.rs"]);
    fixture.write("staged", "");
    fixture.git(&["add", "staged"]);
    fixture.write("loose", "");
    fixture.write(".gitignore", "*.log\n");
    fixture.write("x.log", "");
    let repository = fixture.repository();
    let expand = |texts: &[&str]| {
        let specs: Vec<BString> = texts.iter().map(|text| BString::from(*text)).collect();
        repository.expand(&commit, &specs).expect("expands")
    };
    // The commit decides, not the index.
    assert_eq!(names(&expand(&["src"]).entries), ["src/a.py", "src/b.rs"]);
    assert_eq!(names(&expand(&["*.py", "src/"]).entries), ["src-2/c.py", "src.py", "src/a.py", "src/b.rs"]);
    assert_eq!(names(&expand(&["src", ":!*.rs"]).entries), ["src/a.py"]);
    assert_eq!(names(&expand(&["src", ":(exclude)src/a.py"]).entries), ["src/b.rs"]);
    assert_eq!(names(&expand(&["\\[x]"]).entries), ["[x]"]);
    assert_eq!(expand(&[]).entries.len(), 5);
    assert_eq!(expand(&["src", "nothing", "*.c", "./src/a.py", "sr"]).unmatched, [1, 2, 4]);
    // Each by itself, it is what that one alone matches.
    let texts = ["src", "src/", "sr", "src/a.py", "./src//b.rs", "*.py", ":/src-2", "\\[x]", ".", "nothing"];
    let each = |texts: &[&str], shared: &mut dyn FnMut(Overlap<'_>) -> ControlFlow<()>| {
        let specs: Vec<BString> = texts.iter().map(|text| BString::from(*text)).collect();
        repository.expand_each(&commit, &specs, shared).expect("expands")
    };
    let outside = each(&["src", "../outside", "nothing"], &mut |_| panic!("nothing is matched twice"));
    assert_eq!((outside.entries.len(), outside.refused[0].0, outside.unmatched), (2, 1, vec![2]));
    for text in texts {
        let alone = each(&[text], &mut |_| panic!("nothing is matched twice"));
        assert_eq!(alone.entries, expand(&[text]).entries, "{text}");
    }
    let mut shared = Vec::new();
    let all = each(&texts, &mut |found| {
        shared.push((found.first, found.second, found.path.to_string()));
        ControlFlow::Continue(())
    });
    assert_eq!(all.entries, expand(&texts).entries);
    assert_eq!(all.unmatched, [2, 9]);
    assert_eq!(names(&all.entries), ["[x]", "src-2/c.py", "src.py", "src/a.py", "src/b.rs"]);
    assert_eq!(all.owners, [7, 5, 5, 0, 0]);
    let by = |second: usize| shared.iter().filter(|found| found.1 == second).count();
    assert_eq!((0..texts.len()).map(by).collect::<Vec<_>>(), [0, 2, 0, 1, 1, 1, 1, 0, 5, 0]);
    assert!(shared.contains(&(0, 3, "src/a.py".to_owned())) && shared.contains(&(5, 6, "src-2/c.py".to_owned())));
    // Who has seen enough of one sees no more of that one.
    let mut asked = Vec::new();
    each(&["src", "src/", "*", "src/a.py"], &mut |found| {
        asked.push((found.first, found.second));
        ControlFlow::Break(())
    });
    assert_eq!(asked, [(0, 1), (0, 2), (0, 3)]);
    assert!(repository.expand(&commit, &specs(["../outside"])).is_err());

    let many: Vec<BString> = (0..20_000).map(|number| format!("src/{number}/../a.py").into()).collect();
    assert_eq!(chunked(&repository, &commit, &many[..1]), ["src/a.py"]);
    let many: Vec<BString> = std::iter::repeat_n(BString::from("src/a.py"), 40_000).collect();
    assert_eq!(chunked(&repository, &commit, &many), ["src/a.py"]);

    for (text, why) in [
        ("staged", Untracked::Staged),
        ("loose", Untracked::Untracked),
        ("x.log", Untracked::Ignored),
        ("nothing", Untracked::Nothing),
    ] {
        assert_eq!(repository.why_unmatched(&text.into()).expect("asks"), why, "{text}");
    }
}

fn chunked(repository: &Repository, commit: &ObjectId, specs: &[BString]) -> Vec<String> {
    let expansion = repository.expand(commit, specs).expect("expands");
    assert_eq!(expansion.unmatched, Vec::<usize>::new());
    names(&expansion.entries)
}

#[test]
fn what_a_shallow_clone_lacks_is_named() {
    let fixture = Fixture::new("sha1");
    let first = fixture.commit_files(&[("a", "1")]);
    let second = fixture.commit_files(&[("a", "2")]);
    let url = format!("file://{}", fixture.top().display());
    fixture.git_in(fixture.home(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    let repository = fixture.discover(&fixture.home().join("shallow")).expect("finds it");
    assert!(repository.is_shallow() && !repository.is_partial());
    let history = repository.objects().history(&[second], &[]).expect("walks");
    assert_eq!((history.commits.len(), history.missing), (1, vec![first]));
    let missing = repository.objects().commit(&first).expect_err("is missing");
    assert!(matches!(missing, GitError::MissingObject { shallow: true, partial: false, .. }), "{missing}");
    works(&fixture, &fixture.home().join("shallow"), &path("a"));
}

#[test]
fn what_a_partial_clone_lacks_is_fetched_only_when_asked_for() {
    let fixture = Fixture::new("sha1");
    let first = fixture.commit_files(&[("a", "1"), ("large", &"x".repeat(5 << 20))]);
    fixture.commit_files(&[("a", "2")]);
    fixture.git(&["config", "uploadpack.allowFilter", "true"]);
    fixture.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let url = format!("file://{}", fixture.top().display());
    fixture.git_in(fixture.home(), &["clone", "-q", "--filter=blob:none", &url, "partial"]);
    let repository = fixture.discover(&fixture.home().join("partial")).expect("finds it");
    assert!(repository.is_partial());
    let objects = repository.objects();
    let tree = objects.commit(&first).expect("reads").tree;
    for name in ["a", "large"] {
        let blob = objects.entry(&tree, &path(name)).expect("reads").expect("is there").id;
        assert!(matches!(objects.read(&blob, 1 << 30), Err(GitError::MissingObject { partial: true, .. })));
        assert!(objects.open_blob(&blob).is_err());
        assert_eq!(objects.contains(&[blob]).expect("asks"), [false]);
        let mut bytes = Vec::new();
        let mut stream = repository.fetching_objects().open_blob(&blob).expect("fetches");
        std::io::Read::read_to_end(&mut stream, &mut bytes).expect("reads");
        assert_eq!(objects.hash_blob(&bytes), blob);
    }
    works(&fixture, &fixture.home().join("partial"), &path("a"));
}

#[test]
fn damaged_objects_are_errors() {
    for format in ["sha1", "sha256"] {
        let fixture = Fixture::new(format);
        let one = fixture.git_input(&["hash-object", "-w", "--stdin"], b"one");
        let two = fixture.git_input(&["hash-object", "-w", "--stdin"], b"two");
        let place = |id: &str| fixture.top().join(".git/objects").join(&id[..2]).join(&id[2..]);
        std::fs::remove_file(place(&one)).expect("removes");
        std::fs::copy(place(&two), place(&one)).expect("copies");
        let repository = fixture.repository();
        let id: ObjectId = one.parse().expect("is an id");
        assert!(repository.objects().read(&id, 100).is_err(), "another blob's bytes");
        std::fs::remove_file(place(&one)).expect("removes");
        std::fs::write(place(&one), "rubbish").expect("writes");
        let repository = fixture.repository();
        assert!(repository.objects().read(&id, 100).is_err());
        // The child that died is replaced.
        let two: ObjectId = two.parse().expect("is an id");
        assert_eq!(repository.objects().read(&two, 100).expect("reads").bytes, b"two");
    }
}

#[test]
fn threads_share_the_database() {
    for format in ["sha1", "sha256"] {
        let fixture = Fixture::new(format);
        let repository = fixture.repository();
        let contents: Vec<Vec<u8>> = (0..50).map(|number| vec![number; 1000]).collect();
        let borrowed: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let ids = repository.objects().write_blobs(&borrowed).expect("writes");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for (id, bytes) in ids.iter().zip(&contents) {
                        assert_eq!(repository.objects().read(id, 1000).expect("reads").bytes, *bytes);
                    }
                });
            }
        });
    }
}

#[cfg(unix)]
#[test]
fn a_git_that_cannot_serve_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new("sha1");
    let nowhere = fixture.discover_with(&fixture.top(), &[("PATH", "/nonexistent")]);
    assert!(matches!(nowhere, Err(GitError::GitNotFound(_))));

    let old = fixture.home().join("git");
    std::fs::write(&old, "#!/bin/sh\necho git version 2.17.1\n").expect("writes");
    std::fs::set_permissions(&old, PermissionsExt::from_mode(0o755)).expect("sets");
    let search = fixture.home().to_str().expect("is text");
    let found = fixture.discover_with(&fixture.top(), &[("PATH", search)]);
    assert!(matches!(found, Err(GitError::GitTooOld { found }) if found == "2.17.1"));

    // One that can answer is named to those who ask.
    let path = std::env::var("PATH").expect("is set");
    let script = format!(
        "#!/bin/sh\nPATH='{path}'\ncase $* in\n*version) echo git version 2.38.1 ;;\n*) exec git \"$@\" ;;\nesac\n"
    );
    std::fs::write(&old, script).expect("writes");
    let found = fixture.discover_with(&fixture.top(), &[("PATH", search)]).expect("finds the repository");
    assert!(matches!(found.check_git_version(), Err(GitError::GitTooOld { found }) if found == "2.38.1"));

    let foreign = fixture.discover_with(&fixture.top(), &[("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")]);
    assert!(matches!(foreign, Err(GitError::UnsafeOwnership { .. })));

    fixture.git(&["config", "core.repositoryFormatVersion", "1"]);
    fixture.git(&["config", "extensions.fromTheFuture", "true"]);
    assert!(matches!(fixture.discover(&fixture.top()), Err(GitError::UnreadableRepository { .. })));
}
