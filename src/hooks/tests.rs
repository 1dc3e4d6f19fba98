//! The hooks as git runs them, with a program in our place that writes down how it was called.
#![cfg(unix)]

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Output, Stdio};

use super::*;

/// A repository with a home of its own, and a program that notes its arguments and its input in `calls`.
struct Repository {
    folder: tempfile::TempDir,
    top: PathBuf,
}

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("makes a folder");
        let top = folder.path().canonicalize().expect("resolves").join("repository");
        let repository = Self { folder, top };
        fs::create_dir(&repository.top).expect("makes a folder");
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        fs::create_dir(repository.program().parent().expect("is in a folder")).expect("makes a folder");
        let calls = repository.outside("calls");
        let text = format!("{{ echo \"$@\"; case $5 in pre-push) cat ;; esac; }} >> '{}'", calls.display());
        write_script(&repository.program(), &text);
        repository
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("resolves").join(name)
    }

    /// Returns where the program is: in a folder whose name a careless script would trip over.
    fn program(&self) -> PathBuf {
        self.outside("it's \"the\" $HOME `id` \\ here\nand there").join("git-archive-tomb")
    }

    fn options(&self) -> InstallOptions {
        InstallOptions { program: self.program(), shared: false, force: false }
    }

    /// Returns a program run in this repository, with hardly any environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.top).env_clear().stdin(Stdio::null());
        command.env("PATH", path_without_the_program()).env("HOME", self.folder.path());
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "A").env(format!("GIT_{role}_EMAIL"), "a@example.org");
            command.env(format!("GIT_{role}_DATE"), "2026-01-02T03:04:05Z");
        }
        command
    }

    fn try_git(&self, arguments: &[&str]) -> Output {
        self.command("git").args(arguments).output().expect("runs git")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = self.try_git(arguments);
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("is text").trim_end().to_owned()
    }

    fn try_commit(&self) -> Output {
        self.try_git(&["commit", "-q", "--allow-empty", "-m", "next"])
    }

    fn place(&self) -> Place {
        let path =
            |argument: &[&str]| PathBuf::from(self.git(&[&["rev-parse", "--path-format=absolute"], argument].concat()));
        Place {
            hooks_dir: path(&["--git-path", "hooks"]),
            common_dir: path(&["--git-common-dir"]),
            work_tree: (self.git(&["rev-parse", "--is-bare-repository"]) == "false")
                .then(|| path(&["--show-toplevel"])),
        }
    }

    fn hook(&self, name: &str) -> PathBuf {
        self.place().hooks_dir.join(name)
    }

    fn install(&self) -> [Installed; 3] {
        done(install(&self.place(), &self.options()).expect("installs"))
    }

    fn uninstall(&self) -> [Uninstalled; 3] {
        match uninstall(&self.place(), UninstallOptions::default()).expect("uninstalls") {
            UninstallOutcome::Done(hooks) => std::array::from_fn(|index| hooks[index].1),
            UninstallOutcome::Shared => panic!("the folder is shared"),
        }
    }

    fn states(&self) -> [State; 3] {
        let hooks = status(&self.place()).expect("looks").hooks;
        std::array::from_fn(|index| hooks[index].1.clone())
    }

    /// Returns what the program noted, and forgets it.
    fn calls(&self) -> String {
        let path = self.outside("calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        calls
    }
}

/// Returns the machine's `PATH`, less the folders in which a real git-archive-tomb would be found.
fn path_without_the_program() -> OsString {
    let path = std::env::var_os("PATH").expect("has a path");
    let folders = std::env::split_paths(&path).filter(|folder| !folder.join("git-archive-tomb").exists());
    std::env::join_paths(folders).expect("joins what was split")
}

fn done(outcome: InstallOutcome) -> [Installed; 3] {
    match outcome {
        InstallOutcome::Done(hooks) => std::array::from_fn(|index| hooks[index].1),
        other => panic!("not installed: {other:?}"),
    }
}

fn write_script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("writes");
    set_mode(path, 0o755);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("sets the mode");
}

/// Returns every name in a folder with its mode, its inode and its content.
fn snapshot(folder: &Path) -> Vec<(PathBuf, u32, u64, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("lists")
        .map(|entry| {
            let path = entry.expect("lists").path();
            let metadata = path.symlink_metadata().expect("looks");
            let content = if metadata.is_symlink() {
                path.read_link().expect("reads").into_os_string().into_encoded_bytes()
            } else if metadata.is_dir() {
                Vec::new()
            } else {
                fs::read(&path).expect("reads")
            };
            (path, metadata.mode(), metadata.ino(), content)
        })
        .collect();
    files.sort();
    files
}

const INSTALLED: State = State::Installed { version: SHIM_VERSION, chained: false };

#[test]
fn git_runs_the_program_before_commits_merges_and_pushes() {
    let repository = Repository::new();
    assert_eq!(repository.states(), [State::Missing, State::Missing, State::Missing]);
    assert_eq!(repository.install(), [Installed::New; 3]);
    assert_eq!(repository.states(), [INSTALLED, INSTALLED, INSTALLED]);

    assert!(repository.try_commit().status.success());
    assert_eq!(repository.calls(), "hooks run --shim 1 pre-commit --\n");

    repository.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    repository.git(&["commit", "-q", "--allow-empty", "--no-verify", "-m", "side"]);
    repository.git(&["merge", "-q", "--no-edit", "main"]);
    assert_eq!(repository.calls(), "hooks run --shim 1 pre-merge-commit --\n");

    let remote = repository.outside("remote.git");
    let remote = remote.to_str().expect("is text");
    repository.git(&["init", "-q", "--bare", remote]);
    let head = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["push", "-q", remote, "side"]);
    let zero = "0".repeat(40);
    assert_eq!(
        repository.calls(),
        format!("hooks run --shim 1 pre-push -- {remote} {remote}\nrefs/heads/side {head} refs/heads/side {zero}\n")
    );
}

#[test]
fn a_failing_program_stops_the_commit() {
    let repository = Repository::new();
    repository.install();
    write_script(&repository.program(), "exit 3");
    assert!(!repository.try_commit().status.success());
    assert!(repository.try_git(&["commit", "-q", "--allow-empty", "--no-verify", "-m", "x"]).status.success());
}

#[test]
fn what_git_says_about_its_index_reaches_both_hooks() {
    let mut repository = Repository::new();
    let calls = repository.outside("calls");
    let note = format!("echo \"$GIT_DIR:$GIT_INDEX_FILE\" >> '{}'", calls.display());
    write_script(&repository.hook("pre-commit"), &note);
    repository.install();
    write_script(&repository.program(), &note);
    let check = |repository: &Repository, arguments: &[&str], index: &str| {
        repository.git(arguments);
        let calls = repository.calls();
        let (theirs, ours) = calls.trim_end().split_once('\n').expect("two calls");
        assert_eq!(theirs, ours);
        assert!(ours.ends_with(index), "{ours}");
    };
    fs::write(repository.top.join("file"), "content").expect("writes");
    repository.git(&["add", "file"]);
    check(&repository, &["commit", "-q", "-m", "all of the index"], ":.git/index");
    fs::write(repository.top.join("file"), "other").expect("writes");
    check(&repository, &["commit", "-q", "-a", "-m", "all of the tree"], ".git/index.lock");
    fs::write(repository.top.join("file"), "third").expect("writes");
    check(&repository, &["commit", "-q", "-m", "one path", "file"], ".lock");
    repository.git(&["worktree", "add", "-q", "../linked"]);
    repository.top = repository.outside("linked");
    check(&repository, &["commit", "-q", "--allow-empty", "-m", "linked"], ".git/worktrees/linked/index");
}

#[test]
fn the_program_on_path_comes_before_the_recorded_one() {
    let repository = Repository::new();
    repository.install();
    let folder = repository.outside("bin");
    fs::create_dir(&folder).expect("makes a folder");
    write_script(&folder.join("git-archive-tomb"), "exit 9");
    let path = std::env::join_paths([&folder, Path::new("/usr/bin"), Path::new("/bin")]).expect("joins");
    let output =
        repository.command(repository.hook("pre-commit").to_str().expect("is text")).env("PATH", path).output();
    assert_eq!(output.expect("runs").status.code(), Some(9));
    assert_eq!(repository.calls(), "");
}

#[test]
fn a_short_path_is_enough() {
    let repository = Repository::new();
    repository.install();
    for shell in ["sh", "dash", "bash"] {
        for path in ["/usr/bin:/bin", ""] {
            let mut command = Command::new("/usr/bin/env");
            command.current_dir(&repository.top).arg("-i");
            command.arg(format!("PATH={path}"));
            let output =
                command.arg(format!("/bin/{shell}")).arg(repository.hook("pre-commit")).output().expect("runs");
            assert!(output.status.success(), "{shell} with `{path}`: {output:?}");
            assert_eq!(repository.calls(), "hooks run --shim 1 pre-commit --\n");
        }
    }
}

#[test]
fn shells_find_nothing_wrong_with_the_shim() {
    let repository = Repository::new();
    repository.install();
    for shell in ["sh", "dash", "bash"] {
        for hook in Hook::ALL {
            let output =
                repository.command(shell).arg("-n").arg(hook.path(&repository.place())).output().expect("runs");
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        }
    }
}

#[test]
fn without_the_program_the_hook_fails_and_says_what_to_do() {
    let repository = Repository::new();
    repository.install();
    fs::remove_file(repository.program()).expect("removes");
    let stale = State::Stale { version: SHIM_VERSION, chained: false };
    assert_eq!(repository.states()[0], stale);
    let output = repository.try_commit();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).expect("is text");
    insta::assert_snapshot!(text, @r"
    error: hook pre-commit needs git-archive-tomb, which is neither on PATH nor where it was at installation
    hint: install it again, or skip the hook once with --no-verify
    ");
}

#[test]
fn a_hook_that_was_there_runs_first_and_its_failure_counts() {
    let repository = Repository::new();
    let calls = repository.outside("calls");
    let note = format!("echo \"theirs $0 $*\" >> '{}'", calls.display());
    write_script(&repository.hook("pre-commit"), &note);
    assert_eq!(repository.states()[0], State::Foreign { wired: false, kept: false });
    assert_eq!(repository.install(), [Installed::Chained, Installed::New, Installed::New]);
    assert_eq!(repository.states()[0], State::Installed { version: SHIM_VERSION, chained: true });
    assert!(repository.try_commit().status.success());
    assert_eq!(
        repository.calls(),
        "theirs .git/hooks/pre-commit.archive-tomb-chained \nhooks run --shim 1 pre-commit --\n"
    );
    write_script(&repository.hook("pre-commit.archive-tomb-chained"), &format!("{note}; exit 7"));
    let output = repository.command("./.git/hooks/pre-commit").output().expect("runs");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(repository.calls().lines().count(), 1);
    assert!(!repository.try_commit().status.success());
}

#[test]
fn what_is_pushed_reaches_both_hooks_byte_for_byte() {
    let repository = Repository::new();
    let theirs = repository.outside("theirs");
    write_script(&repository.hook("pre-push"), &format!("echo \"$@\" > '{0}'; cat >> '{0}'", theirs.display()));
    repository.install();
    let long = "refs/heads/a 1 refs/heads/a 2\n".repeat(20_000);
    for input in ["", "one line\n", "no newline at the end", "two\n\n\n", "\u{e9}\n.\n", &long] {
        for shell in ["sh", "dash", "bash"] {
            let hook = repository.hook("pre-push");
            let mut command = repository.command(shell);
            command.arg(hook).args(["origin", "https://example.org/a b"]).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("runs");
            child.stdin.take().expect("is piped").write_all(input.as_bytes()).expect("writes");
            let output = child.wait_with_output().expect("ends");
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
            let arguments = "origin https://example.org/a b\n";
            assert_eq!(fs::read_to_string(&theirs).expect("reads"), format!("{arguments}{input}"));
            assert_eq!(repository.calls(), format!("hooks run --shim 1 pre-push -- {arguments}{input}"));
        }
    }
}

#[test]
fn a_chained_hook_need_not_read_what_is_pushed() {
    let repository = Repository::new();
    write_script(&repository.hook("pre-push"), "exit ${ANSWER:-0}");
    repository.install();
    for answer in ["0", "5"] {
        let mut command = repository.command(repository.hook("pre-push").to_str().expect("is text"));
        command.env("ANSWER", answer).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("runs");
        child.stdin.take().expect("is piped").write_all(&b"x\n".repeat(200_000)).expect("writes");
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code().map(|code| code.to_string()).as_deref(), Some(answer));
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn a_hook_without_leave_to_be_executed_stays_out_of_use() {
    let repository = Repository::new();
    write_script(&repository.hook("pre-commit"), "exit 1");
    set_mode(&repository.hook("pre-commit"), 0o644);
    repository.install();
    assert!(repository.try_commit().status.success());
    repository.uninstall();
    assert_eq!(repository.hook("pre-commit").metadata().expect("looks").mode() & 0o777, 0o644);
}

#[test]
fn uninstall_puts_back_the_very_same_files() {
    let repository = Repository::new();
    fs::write(repository.hook("pre-commit"), b"#!/bin/sh\r\nexit 0 \xff").expect("writes");
    set_mode(&repository.hook("pre-commit"), 0o2750);
    fs::create_dir(repository.top.join("scripts")).expect("makes a folder");
    symlink("../../scripts/none", repository.hook("pre-push")).expect("links");
    let before = snapshot(&repository.place().hooks_dir);
    assert_eq!(repository.install(), [Installed::Chained, Installed::New, Installed::Chained]);
    assert_eq!(repository.uninstall(), [Uninstalled::Restored, Uninstalled::Removed, Uninstalled::Restored]);
    assert_eq!(snapshot(&repository.place().hooks_dir), before);
    let foreign = Uninstalled::Foreign { kept: false };
    assert_eq!(repository.uninstall(), [foreign, Uninstalled::Missing, foreign]);
    assert_eq!(snapshot(&repository.place().hooks_dir), before);
}

#[test]
fn a_linked_hook_runs_as_before() {
    let repository = Repository::new();
    let calls = repository.outside("calls");
    write_script(&repository.top.join("check"), &format!("echo linked >> '{}'", calls.display()));
    symlink("../../check", repository.hook("pre-commit")).expect("links");
    repository.install();
    assert!(repository.try_commit().status.success());
    assert_eq!(repository.calls().lines().next(), Some("linked"));
}

#[test]
fn installing_again_changes_nothing() {
    let repository = Repository::new();
    write_script(&repository.hook("pre-push"), "exit 0");
    repository.install();
    let before = snapshot(&repository.place().hooks_dir);
    assert_eq!(repository.install(), [Installed::Unchanged; 3]);
    assert_eq!(snapshot(&repository.place().hooks_dir), before);
}

#[test]
fn an_edited_shim_is_not_overwritten_or_removed_unasked() {
    let repository = Repository::new();
    repository.install();
    let path = repository.hook("pre-merge-commit");
    let mut text = fs::read(&path).expect("reads");
    text.extend_from_slice(b"make check\n");
    fs::write(&path, text).expect("writes");
    let before = snapshot(&repository.place().hooks_dir);
    assert_eq!(repository.states(), [INSTALLED, State::Edited, INSTALLED]);
    let refusal = install(&repository.place(), &repository.options()).expect_err("refuses");
    assert!(matches!(&refusal, HooksError::Edited { path: edited } if *edited == path), "{refusal:?}");
    assert_eq!(refusal.to_string(), format!("hook `{}` was edited after it was installed", path.display()));
    let refusal = uninstall(&repository.place(), UninstallOptions::default()).expect_err("refuses");
    assert!(matches!(refusal, HooksError::Edited { .. }), "{refusal:?}");
    assert_eq!(snapshot(&repository.place().hooks_dir), before);
    let forced = install(&repository.place(), &InstallOptions { force: true, ..repository.options() });
    assert_eq!(done(forced.expect("installs")), [Installed::Unchanged, Installed::Updated, Installed::Unchanged]);
}

/// Writes a shim as another version of this program might have.
fn write_shim_of_version(path: &Path, version: u32) {
    let body = "exit 0\n";
    let digest = crate::id::Sha256::of(body.as_bytes());
    fs::write(path, format!("#!/bin/sh\n# git-archive-tomb hook shim v{version} sha256:{digest}\n{body}"))
        .expect("writes");
    set_mode(path, 0o755);
}

#[test]
fn an_older_shim_is_stale_and_replaced() {
    let repository = Repository::new();
    write_shim_of_version(&repository.hook("pre-commit"), SHIM_VERSION - 1);
    assert_eq!(repository.states()[0], State::Stale { version: SHIM_VERSION - 1, chained: false });
    assert_eq!(repository.install(), [Installed::Updated, Installed::New, Installed::New]);
    assert_eq!(repository.states()[0], INSTALLED);
    assert_eq!(repository.uninstall(), [Uninstalled::Removed; 3]);
}

#[test]
fn a_shim_that_lost_its_leave_to_be_executed_is_stale_and_mended() {
    let repository = Repository::new();
    repository.install();
    set_mode(&repository.hook("pre-push"), 0o644);
    assert_eq!(repository.states()[2], State::Stale { version: SHIM_VERSION, chained: false });
    assert_eq!(repository.install()[2], Installed::Updated);
    assert_eq!(repository.states()[2], INSTALLED);
}

#[test]
fn a_newer_shim_is_never_overwritten_but_can_be_removed() {
    let repository = Repository::new();
    write_shim_of_version(&repository.hook("pre-push"), SHIM_VERSION + 1);
    assert_eq!(repository.states()[2], State::Newer { version: SHIM_VERSION + 1 });
    let options = InstallOptions { force: true, ..repository.options() };
    let refusal = install(&repository.place(), &options).expect_err("refuses");
    assert!(matches!(refusal, HooksError::Newer { version, .. } if version == SHIM_VERSION + 1), "{refusal:?}");
    assert!(!repository.hook("pre-commit").exists(), "a refusal changes nothing");
    assert_eq!(repository.uninstall()[2], Uninstalled::Removed);
}

#[test]
fn an_installation_stopped_half_way_is_finished_or_undone() {
    type Step = fn(&Path, &Path);
    // With second names for files, and on a file system without them.
    let steps: [Step; 2] =
        [|path, kept| fs::hard_link(path, kept).expect("links"), |path, kept| fs::rename(path, kept).expect("renames")];
    for step in steps {
        for finish in [true, false] {
            let repository = Repository::new();
            write_script(&repository.hook("pre-commit"), "exit 0");
            let before = snapshot(&repository.place().hooks_dir);
            step(&repository.hook("pre-commit"), &repository.hook("pre-commit.archive-tomb-chained"));
            if finish {
                assert_eq!(repository.install()[0], Installed::Chained);
                assert_eq!(repository.states()[0], State::Installed { version: SHIM_VERSION, chained: true });
            }
            repository.uninstall();
            assert_eq!(snapshot(&repository.place().hooks_dir), before);
        }
    }
}

#[test]
fn a_hook_that_replaced_our_shim_is_kept_with_the_one_before() {
    let repository = Repository::new();
    write_script(&repository.hook("pre-commit"), "exit 0");
    repository.install();
    write_script(&repository.hook("pre-commit"), "exit 1");
    let before = snapshot(&repository.place().hooks_dir);
    assert_eq!(repository.states()[0], State::Foreign { wired: false, kept: true });
    let refusal = install(&repository.place(), &repository.options()).expect_err("refuses");
    assert!(matches!(refusal, HooksError::TwoHooks { .. }), "{refusal:?}");
    assert_eq!(snapshot(&repository.place().hooks_dir), before);
    assert_eq!(repository.uninstall()[0], Uninstalled::Foreign { kept: true });
    assert!(repository.hook("pre-commit.archive-tomb-chained").exists());
}

#[test]
fn a_tool_that_renames_our_shim_still_gets_the_whole_chain() {
    let repository = Repository::new();
    let calls = repository.outside("calls");
    write_script(&repository.hook("pre-commit"), &format!("echo theirs >> '{}'", calls.display()));
    repository.install();
    fs::rename(repository.hook("pre-commit"), repository.hook("pre-commit.legacy")).expect("renames");
    write_script(&repository.hook("pre-commit"), "exec \"$0.legacy\" \"$@\"");
    assert!(repository.try_commit().status.success());
    assert_eq!(repository.calls(), "theirs\nhooks run --shim 1 pre-commit --\n");
}

#[test]
fn a_folder_with_the_name_of_a_hook_is_refused() {
    let repository = Repository::new();
    fs::create_dir(repository.hook("pre-push")).expect("makes a folder");
    let refusal = install(&repository.place(), &repository.options()).expect_err("refuses");
    assert!(matches!(refusal, HooksError::NotAFile { .. }), "{refusal:?}");
    assert!(!repository.hook("pre-commit").exists(), "a refusal changes nothing");
}

#[test]
fn a_linked_worktree_shares_the_hooks() {
    let mut repository = Repository::new();
    let main = repository.top.clone();
    repository.git(&["worktree", "add", "-q", "../linked"]);
    repository.top = repository.outside("linked");
    assert_eq!(repository.place().owner().expect("looks"), Owner::Repository);
    assert_eq!(repository.install(), [Installed::New; 3]);
    assert!(main.join(".git/hooks/pre-commit").exists());
    for top in [repository.top.clone(), main] {
        repository.top = top;
        assert!(repository.try_commit().status.success());
        assert_eq!(repository.calls(), "hooks run --shim 1 pre-commit --\n");
        assert_eq!(repository.states(), [INSTALLED, INSTALLED, INSTALLED]);
    }
}

#[test]
fn a_bare_repository_has_hooks_too() {
    let repository = Repository::new();
    repository.git(&["config", "core.bare", "true"]);
    let repository = Repository { top: repository.top.join(".git"), folder: repository.folder };
    assert_eq!(repository.place().work_tree, None);
    assert_eq!(repository.install(), [Installed::New; 3]);
}

#[test]
fn a_missing_hooks_folder_is_made() {
    let repository = Repository::new();
    fs::remove_dir_all(repository.place().hooks_dir).expect("removes");
    assert_eq!(repository.install(), [Installed::New; 3]);
    assert!(repository.try_commit().status.success());
    assert_ne!(repository.calls(), "");
}

#[test]
fn hooks_path_inside_the_git_directory_is_ours() {
    let repository = Repository::new();
    repository.git(&["config", "core.hooksPath", ".git/my hooks"]);
    assert_eq!(repository.install(), [Installed::New; 3]);
    assert!(repository.top.join(".git/my hooks/pre-commit").exists());
    assert!(repository.try_commit().status.success());
    assert_ne!(repository.calls(), "");
}

#[test]
fn a_shared_folder_is_written_only_when_asked() {
    for hooks_path in ["../shared", ".githooks"] {
        let repository = Repository::new();
        repository.git(&["config", "core.hooksPath", hooks_path]);
        let folder = repository.top.join(hooks_path);
        fs::create_dir(&folder).expect("makes a folder");
        assert_eq!(status(&repository.place()).expect("looks").owner, Owner::Shared);
        let outcome = install(&repository.place(), &repository.options()).expect("looks");
        let InstallOutcome::Shared { snippets } = outcome else { panic!("{outcome:?}") };
        assert_eq!(snippets[0].file, repository.hook("pre-commit"));
        assert_eq!(snippets[0].text, "git-archive-tomb hooks run pre-commit -- \"$@\"\n");
        assert_eq!(snapshot(&folder), []);

        write_script(&repository.hook("pre-commit"), &snippets[0].text);
        assert_eq!(repository.states()[0], State::Foreign { wired: true, kept: false });
        let before = snapshot(&folder);
        let options = InstallOptions { shared: true, ..repository.options() };
        done(install(&repository.place(), &options).expect("installs"));
        let text = fs::read_to_string(repository.hook("pre-push")).expect("reads");
        assert!(text.contains("\nrecorded=''\n"), "a shared hook names no place of this machine: {text}");
        assert_eq!(repository.states()[2], INSTALLED);
        assert_eq!(
            uninstall(&repository.place(), UninstallOptions::default()).expect("looks"),
            UninstallOutcome::Shared
        );
        uninstall(&repository.place(), UninstallOptions { shared: true, force: false }).expect("uninstalls");
        assert_eq!(snapshot(&folder), before);
    }
}

#[test]
fn a_hooks_folder_that_is_a_link_out_of_the_repository_is_shared() {
    let repository = Repository::new();
    let shared = repository.outside("shared");
    fs::rename(repository.place().hooks_dir, &shared).expect("renames");
    symlink(&shared, repository.place().hooks_dir).expect("links");
    assert_eq!(repository.place().owner().expect("looks"), Owner::Shared);
}

#[test]
fn hooks_switched_off_by_a_device_are_not_installed() {
    let repository = Repository::new();
    repository.git(&["config", "core.hooksPath", "/dev/null"]);
    assert_eq!(repository.states(), [State::Missing, State::Missing, State::Missing]);
    let options = InstallOptions { shared: true, ..repository.options() };
    let refusal = install(&repository.place(), &options).expect_err("refuses");
    assert!(matches!(refusal, HooksError::NotAFolder { .. }), "{refusal:?}");
}

/// Returns what installing gives where a manager owns the hooks, having checked that it changed nothing.
fn managed(repository: &Repository) -> (Manager, Vec<Snippet>) {
    let folder = repository.place().hooks_dir;
    let before = folder.exists().then(|| snapshot(&folder));
    let outcome = install(&repository.place(), &repository.options()).expect("looks");
    assert_eq!(folder.exists().then(|| snapshot(&folder)), before);
    match outcome {
        InstallOutcome::Managed { manager, snippets } => (manager, snippets),
        other => panic!("not managed: {other:?}"),
    }
}

#[test]
fn managers_are_known_by_their_configuration() {
    for (file, manager) in [
        ("lefthook.yml", Manager::Lefthook),
        (".lefthook.toml", Manager::Lefthook),
        (".pre-commit-config.yaml", Manager::PreCommit),
        ("prek.toml", Manager::Prek),
    ] {
        let repository = Repository::new();
        fs::write(repository.top.join(file), "# nothing yet\n").expect("writes");
        let (found, snippets) = managed(&repository);
        assert_eq!(found, manager, "{file}");
        assert_eq!(snippets[0].file, Path::new(file));
        assert_eq!(repository.states()[0], State::Managed { manager, wired: false });
        fs::write(repository.top.join(file), &snippets[0].text).expect("writes");
        assert_eq!(repository.states()[2], State::Managed { manager, wired: true });
        assert!(status(&repository.place()).expect("looks").is_complete());
    }
}

#[test]
fn snippets_parse_as_what_they_go_into() {
    let hooks: toml::Table = include_str!("../../hooks/prek.toml").parse().expect("is TOML");
    assert_eq!(hooks["repos"][0]["hooks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn husky_is_known_by_its_folder() {
    for hooks_path in [None, Some(".husky/_"), Some(".husky")] {
        let repository = Repository::new();
        fs::create_dir_all(repository.top.join(".husky/_")).expect("makes a folder");
        if let Some(hooks_path) = hooks_path {
            repository.git(&["config", "core.hooksPath", hooks_path]);
        }
        let (manager, snippets) = managed(&repository);
        assert_eq!(manager, Manager::Husky);
        assert_eq!(snippets.len(), 3);
        fs::write(repository.top.join(&snippets[2].file), &snippets[2].text).expect("writes");
        let states = repository.states();
        assert_eq!(states[0], State::Managed { manager, wired: false });
        assert_eq!(states[2], State::Managed { manager, wired: true });
    }
}

#[test]
fn managers_are_known_by_the_hooks_they_wrote() {
    for (text, manager) in [
        ("# File generated by pre-commit: https://pre-commit.com", Manager::PreCommit),
        ("# File generated by prek: https://github.com/j178/prek", Manager::Prek),
        ("call_lefthook run \"pre-push\" \"$@\"", Manager::Lefthook),
        (". \"$(dirname \"$0\")/husky.sh\"", Manager::Husky),
    ] {
        let repository = Repository::new();
        write_script(&repository.hook("pre-push"), text);
        fs::write(repository.top.join(".pre-commit-config.yaml"), "repos: []\n").expect("writes");
        assert_eq!(managed(&repository).0, manager);
    }
}

#[test]
fn a_manager_that_comes_later_takes_over_when_it_installs() {
    let repository = Repository::new();
    repository.install();
    fs::write(repository.top.join(".pre-commit-config.yaml"), "repos: []\n").expect("writes");
    assert_eq!(repository.states(), [INSTALLED, INSTALLED, INSTALLED]);
    assert_eq!(repository.install(), [Installed::Unchanged; 3]);

    fs::rename(repository.hook("pre-commit"), repository.hook("pre-commit.legacy")).expect("renames");
    write_script(&repository.hook("pre-commit"), "# File generated by pre-commit: https://pre-commit.com");
    assert_eq!(managed(&repository).0, Manager::PreCommit);
    let states = repository.states();
    assert_eq!(states[0], State::Managed { manager: Manager::PreCommit, wired: false });
    assert_eq!(states[1], INSTALLED);
    let removed = Uninstalled::Removed;
    assert_eq!(repository.uninstall(), [Uninstalled::Foreign { kept: false }, removed, removed]);
}

#[test]
fn configuration_that_is_a_pipe_is_not_read() {
    let repository = Repository::new();
    let made = repository.command("mkfifo").arg(".pre-commit-config.yaml").status().expect("runs");
    assert!(made.success());
    assert_eq!(repository.states()[0], State::Managed { manager: Manager::PreCommit, wired: false });
}

#[test]
fn hooks_are_known_by_name() {
    for hook in Hook::ALL {
        assert_eq!(hook.name().parse(), Ok(hook));
    }
    assert_eq!("post-\x1bcommit".parse::<Hook>().expect_err("is none").to_string(), {
        "no hook of git-archive-tomb is named `\"post-\\033commit\"`"
    });
}
