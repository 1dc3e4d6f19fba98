//! The hooks as git and hook managers run them: the real program, the real git, the real managers.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::common::{Repo, Run, World, tool};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns a repository in which `docs/old.md` and the folder `src/legacy` are archived and committed.
fn archived<'w>(world: &'w World, name: &str, arguments: &[&str]) -> Repo<'w> {
    let repo = world.sample(name);
    repo.tomb_ok(&[&["init"], arguments].concat());
    repo.tomb_ok(&["store", "docs", "src/legacy"]);
    repo.commit("archive");
    repo
}

/// Changes a stub and stages it.
fn tamper(repo: &Repo<'_>) {
    repo.write("docs/old.md", repo.read_text("docs/old.md") + "\nan addition\n");
    repo.git(&["add", "docs/old.md"]);
}

/// Asserts that git commits here what is honest and, because of a hook of ours, not what was tampered with.
#[track_caller]
fn assert_guarded(repo: &Repo<'_>) {
    repo.write("notes", "more\n");
    repo.git(&["add", "notes"]);
    let honest = repo.try_git(&["commit", "-q", "-m", "honest"]).exits(0);
    assert!(!honest.all_text().contains("error"), "{honest}");
    tamper(repo);
    let refused = repo.try_git(&["commit", "-q", "-m", "tamper"]).exits(1);
    assert!(refused.all_text().contains("error[stub-mismatch]"), "{refused}");
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.tomb_ok(&["verify"]);
}

/// Returns everything in a folder that an installation could change: names, what tells files apart, bytes.
fn listing(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_symlink() {
            std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            format!("{:?}", listing(&path)).into_bytes()
        } else {
            std::fs::read(&path).unwrap()
        };
        found.insert(path, (metadata.ino(), metadata.mode(), metadata.modified().unwrap(), content));
    }
    found
}

fn write_hook(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn plain_hooks_guard_commits_and_merges() {
    let world = World::new();
    let repo = archived(&world, "project", &[]);
    assert_guarded(&repo);
    // Git runs no pre-commit for a merge: the merge is honest on both sides and loses evidence.
    repo.git(&["switch", "-q", "-c", "topic", "HEAD~1"]);
    repo.write("notes", "more\n");
    repo.commit_all("more");
    let told = repo.try_git(&["merge", "-q", "--no-edit", "-X", "ours", "-s", "ours", "main"]);
    assert_eq!(told.code, Some(1), "{told}");
    assert!(told.all_text().contains("error[evidence-rewritten]"), "{told}");
}

#[test]
fn every_working_tree_is_guarded() {
    let world = World::new();
    let repo = archived(&world, "project", &[]);
    repo.git(&["worktree", "add", "-q", "-b", "topic", "../linked"]);
    assert_guarded(&world.at("linked"));
    assert_guarded(&repo);
    // A folder below the top, where git tells hooks of a prefix.
    assert_guarded(&repo.below("src").top());
    let below = repo.below("src");
    tamper(&repo);
    let refused = below.try_git(&["commit", "-q", "-m", "tamper", "--", "../docs/old.md"]).exits(1);
    assert!(refused.all_text().contains("error[stub-mismatch]"), "{refused}");
}

#[test]
fn a_submodule_has_hooks_of_its_own() {
    let world = World::new();
    world.sample("part");
    let whole = world.sample("whole");
    whole.git(&["submodule", "--quiet", "add", "../part", "part"]);
    whole.commit_all("add a part");
    let part = whole.below("part");
    part.tomb_ok(&["init"]);
    assert!(whole.exists(".git/modules/part/hooks/pre-commit") && !whole.exists(".git/hooks/pre-commit"));
    part.tomb_ok(&["store", "docs"]);
    part.commit("archive");
    assert_guarded(&part);
}

#[test]
fn hooks_go_where_git_looks_for_them() {
    let world = World::new();
    let absolute = world.at("absolute-hooks").path;
    for (hooks_path, shared) in
        [(".git/own-hooks", false), (".githooks", true), (absolute.to_str().unwrap(), true), ("../outside", true)]
    {
        let repo = archived(&world, &format!("project-{}", hooks_path.len()), &["--no-hooks"]);
        repo.git(&["config", "core.hooksPath", hooks_path]);
        if shared {
            // Others may use that folder: nothing is written there unasked.
            let before = repo.look();
            let refused = repo.tomb(&["hooks", "install"]).exits(2);
            assert!(refused.stderr_text().contains("git-archive-tomb hooks run pre-commit -- \"$@\""), "{refused}");
            assert!(refused.stderr_text().contains("--shared"), "{refused}");
            assert_eq!(repo.look(), before);
            assert!(!repo.path.join(hooks_path).exists());
            repo.tomb_ok(&["hooks", "install", "--shared"]);
        } else {
            repo.tomb_ok(&["hooks", "install"]);
        }
        assert!(repo.path.join(hooks_path).join("pre-commit").exists());
        assert_guarded(&repo);
        repo.tomb_ok(&["hooks", "status"]);
        let option: &[&str] = if shared { &["--shared"] } else { &[] };
        repo.tomb_ok(&[&["hooks", "uninstall"], option].concat());
        assert_eq!(listing(&repo.path.join(hooks_path)), BTreeMap::new());
    }
}

#[test]
fn the_lines_for_a_shared_folder_do_what_the_hooks_do() {
    let world = World::new();
    let repo = archived(&world, "project", &["--no-hooks"]);
    repo.git(&["config", "core.hooksPath", ".githooks"]);
    for (file, text) in snippets(&repo.tomb(&["hooks", "install"]).exits(2)) {
        write_hook(&repo.path.join(file), &format!("#!/bin/sh\n{text}"), 0o755);
    }
    repo.tomb_ok(&["hooks", "status"]);
    repo.git(&["add", ".githooks"]);
    repo.commit("hooks of the team");
    assert_guarded(&repo);
}

/// Returns the files and the texts that `hooks install` prints where it may not write.
fn snippets(run: &Run) -> Vec<(String, String)> {
    let text = run.stderr_text();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut after_blank = false;
    for line in text.lines() {
        match line.strip_suffix(':').filter(|file| after_blank && !file.contains(' ')) {
            Some(file) => found.push((file.to_owned(), String::new())),
            None if line.starts_with("error:") || line.starts_with("hint:") => {}
            None => found.last_mut().into_iter().for_each(|(_, text)| text.extend([line, "\n"])),
        }
        after_blank = line.is_empty();
    }
    found
}

#[test]
fn hooks_that_are_there_go_on_running_first() {
    let world = World::new();
    // A script, a script that another name leads to, and a program that is no script.
    for (kind, refusal) in [("script", 7), ("link", 7), ("binary", 1)] {
        let repo = archived(&world, kind, &["--no-hooks"]);
        let hook = repo.path.join(".git/hooks/pre-commit");
        let log = repo.path.join(".git/log");
        let script = format!(
            "#!/bin/sh\n{{ echo \"$0\" $#; echo \"$GIT_INDEX_FILE\" \"$MARK\"; readlink /proc/self/fd/0; }} >> '{}'\n\
             test \"$MARK\" != refuse || exit 7\n",
            log.display()
        );
        match kind {
            "script" => write_hook(&hook, &script, 0o750),
            "link" => {
                write_hook(&repo.path.join(".git/theirs/hook"), &script, 0o755);
                symlink("../theirs/hook", &hook).unwrap();
            }
            _ => drop(std::fs::copy("/bin/true", &hook).unwrap()),
        }
        let before = listing(&repo.path.join(".git/hooks"));
        let plain = repo.with("MARK", "plain");
        plain.write("notes", "1\n");
        plain.git(&["add", "notes"]);
        plain.git(&["commit", "-q", "-m", "without ours"]);
        let told = std::fs::read_to_string(&log).unwrap_or_default();

        let installed = repo.tomb_ok(&["hooks", "install"]).stdout_text();
        assert!(installed.contains("pre-commit        installed; the hook that was there runs first"), "{installed}");
        plain.write("notes", "2\n");
        plain.git(&["add", "notes"]);
        plain.git(&["commit", "-q", "-m", "with ours"]);
        // It sees what it saw before, but for its own name.
        let now = std::fs::read_to_string(&log).unwrap_or_default().split_off(told.len());
        assert_eq!(now.replace("pre-commit.archive-tomb-chained", "pre-commit"), told, "{kind}");
        assert_guarded(&plain);
        match kind {
            "binary" => drop(std::fs::copy("/bin/false", hook.with_extension("archive-tomb-chained")).unwrap()),
            _ => assert_eq!(now.lines().count(), 3, "{now}"),
        }
        repo.write("notes", "3\n");
        repo.git(&["add", "notes"]);
        let refused = repo.with("MARK", "refuse").try_git(&["commit", "-q", "-m", "refused"]);
        assert_eq!(refused.code, Some(1), "{kind}: {refused}");
        let direct = Run::from(repo.with("MARK", "refuse").command(&hook).output().unwrap());
        assert_eq!(direct.code, Some(refusal), "{kind}: {direct}");
        if kind != "binary" {
            repo.tomb_ok(&["hooks", "uninstall"]);
            assert_eq!(listing(&repo.path.join(".git/hooks")), before);
        }
    }
}

#[test]
fn uninstall_leaves_the_very_files_that_were_there() {
    let world = World::new();
    let repo = world.sample("project");
    let hooks = repo.path.join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    write_hook(&hooks.join("pre-commit"), "#!/bin/sh\r\nexit 0 # \u{1f5ff}", 0o700);
    write_hook(&hooks.join("pre-push"), "no script, and not executable", 0o640);
    symlink("/nowhere/at/all", hooks.join("pre-merge-commit")).unwrap();
    write_hook(&hooks.join("pre-commit.sample"), "#!/bin/sh\nexit 1\n", 0o755);
    write_hook(&hooks.join("helpers/one"), "x", 0o600);
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    std::fs::File::open(hooks.join("pre-commit")).unwrap().set_modified(old).unwrap();
    let before = listing(&hooks);
    for _ in 0..2 {
        repo.tomb_ok(&["init"]);
        repo.tomb_ok(&["hooks", "install"]);
        assert_ne!(listing(&hooks), before);
        repo.tomb_ok(&["hooks", "uninstall"]);
        assert_eq!(listing(&hooks), before);
    }
    repo.tomb_ok(&["hooks", "uninstall"]);
    assert_eq!(listing(&hooks), before);
}

/// What a hook must leave as it was: the working tree, and every byte of the git directory.
fn everything(repo: &Repo<'_>) -> (crate::common::Snapshot, BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    let mut files = BTreeMap::new();
    let mut folders = vec![repo.path.join(".git")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // SQLite's own, which whoever opens the archive next takes over.
            if name == "archive.sqlite-wal" || name == "archive.sqlite-shm" {
                continue;
            }
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else {
                std::fs::read(&path).unwrap()
            };
            files.insert(path, (metadata.mode(), content));
        }
    }
    (repo.look(), files)
}

/// How often something is interrupted at a random moment: few times here, more where somebody asks for it.
fn interruptions(usual: usize) -> usize {
    let asked = std::env::var("ARCHIVE_TOMB_TEST_INTERRUPTIONS").ok();
    asked.map_or(usual, |asked| asked.parse().unwrap())
}

/// Sends `signal` to every process of the group.
fn signal(repo: &Repo<'_>, group: u32, signal: &str) {
    repo.command("kill").args(["-s", signal, "--", &format!("-{group}")]).stderr(Stdio::null()).status().unwrap();
}

#[test]
fn a_hook_interrupted_at_any_moment_changes_nothing() {
    let world = World::new();
    let repo = archived(&world, "project", &[]);
    // What takes it through every part: stubs that come and go, with findings, for which attributes are asked.
    repo.write(".gitattributes", "*.md -archive-tomb\n");
    tamper(&repo);
    repo.write("src/legacy/old.py", "overwritten\n");
    repo.write("src/keep.py", "partly staged\n");
    repo.git(&["add", "-A"]);
    repo.write("src/keep.py", "and more\n");
    repo.write("untracked", "x\n");
    let pushed = format!("refs/heads/main {} refs/heads/main {}\n", repo.git(&["rev-parse", "HEAD"]), "0".repeat(40));
    let scratch = world.at("scratch").path;
    std::fs::create_dir(&scratch).unwrap();
    let repo = repo.with("TMPDIR", &scratch);
    let before = everything(&repo);
    let start = |hook: &str| {
        let mut command = repo.command(repo.path.join(".git/hooks").join(hook));
        command.args(["origin", "nowhere"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().unwrap();
        // One that is gone already reads nothing.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), pushed.as_bytes());
        child
    };
    // How long it takes here, so that signals come in time.
    let started = std::time::Instant::now();
    start("pre-commit").wait().unwrap();
    let usual = started.elapsed();
    let mut ended_by_signal = 0;
    let rounds = interruptions(36);
    for round in 0..rounds {
        let hook = if round % 3 == 2 { "pre-push" } else { "pre-commit" };
        let mut child = start(hook);
        std::thread::sleep(usual.mul_f64(fastrand::f64()));
        signal(&repo, child.id(), ["INT", "TERM", "KILL"][round % 3]);
        ended_by_signal += usize::from(child.wait().unwrap().code().is_none());
    }
    assert_eq!(everything(&repo), before);
    assert!(rounds == 0 || ended_by_signal > 0, "no signal came in time");
    // Undisturbed, it leaves nothing at all, and a refusal changes as little as a pass.
    std::fs::remove_dir_all(&scratch).unwrap();
    std::fs::create_dir(&scratch).unwrap();
    repo.tomb(&["hooks", "run", "pre-commit"]).exits(1);
    repo.tomb_with_input(&["hooks", "run", "pre-push", "--", "origin", "nowhere"], pushed.as_bytes()).exits(0);
    assert_eq!(everything(&repo), before);
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
}

#[test]
fn a_commit_interrupted_in_its_hook_can_be_made_again() {
    let world = World::new();
    let repo = archived(&world, "project", &[]);
    repo.write("src/keep.py", "staged\n");
    repo.git(&["add", "src/keep.py"]);
    repo.write("src/keep.py", "and more\n");
    // The hook says that it began, and never ends by itself: so no signal meets git while it takes or frees its own locks,
    // where it may leave one behind.
    let (hook, ours) = (repo.path.join(".git/hooks/pre-commit"), repo.path.join(".git/hooks/ours"));
    std::fs::rename(&hook, &ours).unwrap();
    write_hook(&hook, "#!/bin/sh\n: > .git/began\n.git/hooks/ours \"$@\" && exec sleep 1000\n", 0o755);
    let (head, before) = (repo.git(&["rev-parse", "HEAD"]), repo.look());
    for round in 0..interruptions(12) {
        let mut command = repo.command("git");
        command.args(["commit", "-q", "-m", "next"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.process_group(0).spawn().unwrap();
        while !repo.exists(".git/began") {
            assert!(child.try_wait().unwrap().is_none(), "git ended before its hook began");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..80_000)));
        signal(&repo, child.id(), ["INT", "TERM"][round % 2]);
        child.wait().unwrap();
        std::fs::remove_file(repo.path.join(".git/began")).unwrap();
        assert_eq!(repo.git(&["rev-parse", "HEAD"]), head);
        assert_eq!(repo.look(), before);
        assert!(!repo.exists(".git/index.lock"));
    }
    std::fs::rename(&ours, &hook).unwrap();
    repo.git(&["commit", "-q", "-m", "next"]);
    assert_eq!(repo.git(&["show", "--name-only", "--format="]), "src/keep.py");
    assert_eq!(repo.git(&["diff", "--name-only"]), "src/keep.py");
}

#[test]
fn a_short_path_is_enough() {
    let world = World::new();
    let repo = archived(&world, "project", &[]);
    let git = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("git"))
        .find(|path| path.exists())
        .unwrap();
    for path in ["/usr/bin:/bin", "", "/nowhere"] {
        let bare = |arguments: &[&str]| {
            let mut command = repo.command(&git);
            command.env_clear().env("PATH", path).args(arguments);
            for role in ["AUTHOR", "COMMITTER"] {
                command.env(format!("GIT_{role}_NAME"), "A").env(format!("GIT_{role}_EMAIL"), "a@example.org");
            }
            Run::from(command.output().unwrap())
        };
        repo.write("notes", path);
        bare(&["add", "notes"]).exits(0);
        bare(&["commit", "-q", "-m", "honest"]).exits(0);
        tamper(&repo);
        let refused = bare(&["commit", "-q", "-m", "tamper"]).exits(1);
        assert!(refused.all_text().contains("error[stub-mismatch]"), "{path}: {refused}");
        repo.git(&["reset", "-q", "--hard"]);
    }
    // Started by something that is not git, which always finds itself.
    let hook = repo.path.join(".git/hooks/pre-commit");
    let told = Run::from(repo.command(&hook).env("PATH", "/nowhere").output().unwrap()).exits(2).stderr_text();
    assert!(told.contains("cannot start `git`") && told.contains("hint: install git, or put it on `PATH`"), "{told}");
    // With another hook before ours, what is pushed passes through both.
    world.init_with("remote.git", &["--bare"]);
    write_hook(&repo.path.join(".git/hooks/pre-push.archive-tomb-chained"), "#!/bin/sh\nexit 0\n", 0o755);
    repo.git(&["config", "archivetomb.hooks.requireCopies", "9"]);
    let push = ["push", "-q", "../remote.git", "main"];
    let refused = Run::from(repo.command(&git).env("PATH", "").args(push).output().unwrap());
    assert!(refused.stderr_text().contains("fewer than 9 places"), "{refused}");
}

#[test]
fn without_the_program_a_commit_fails_and_says_what_to_do() {
    let world = World::new();
    let repo = world.sample("project");
    let program = world.at("away/git-archive-tomb").path;
    std::fs::create_dir(program.parent().unwrap()).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_git-archive-tomb"), &program).unwrap();
    Run::from(repo.command(&program).args(["hooks", "install"]).output().unwrap()).exits(0);
    std::fs::remove_file(&program).unwrap();
    repo.write("notes", "more\n");
    repo.git(&["add", "notes"]);
    let run = repo.with("PATH", "/usr/bin:/bin").try_git(&["commit", "-q", "-m", "next"]).exits(1);
    let told = run.stderr_text();
    assert!(told.contains("neither on PATH nor where it was") && told.contains("--no-verify"), "{told}");
    // Where it comes back, also to another place, the hooks say and mend it.
    repo.tomb(&["hooks", "status"]).exits(1);
    assert_eq!(repo.tomb_ok(&["hooks", "install"]).stdout_text().matches("renewed").count(), 3);
    repo.git(&["commit", "-q", "-m", "next"]);
}

mod managers;
mod push;
