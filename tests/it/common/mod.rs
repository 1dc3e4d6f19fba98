//! A hermetic world for a test: own home, no system configuration, fixed names, dates, locale and zone.

#![allow(dead_code, reason = "each helper serves some of the modules")]

pub(crate) mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What differs from run to run, and what snapshots show in its place.
pub(crate) const FILTERS: &[(&str, &str)] = &[
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
    (r"\b[0-9a-f]{64}\b", "[sha256]"),
    (r"\b[0-9a-f]{40}\b", "[object]"),
    (r"\b[0-9a-f]{12}\b", "[short]"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z", "[time]"),
    (r"\b20\d{2}-\d{2}-\d{2}\b", "[date]"),
    (r"\d{4}/\d{2}/\d{8}T\d{6}Z-([a-z-]+)-[0-9a-f]{16}", "[time]-$1-[digest]"),
    (r"\d{8}T\d{6}Z-[0-9a-f]{16}\.txt", "[checkpoint].txt"),
    (r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:[key]"),
    (r"\d+\.\dms", "[ms]"),
    (r#""(duration_ms|total_duration_ms|decompression_ms|write_ms|compressed_size)":[0-9.]+"#, "\"$1\":[n]"),
];

/// Compares a [`Run`], whole and without what differs from run to run, with an inline snapshot.
macro_rules! assert_shown {
    ($world:expr, $run:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => $crate::common::FILTERS.to_vec() }, {
            insta::assert_snapshot!($run.snapshot($world), @$snapshot);
        })
    };
}
pub(crate) use assert_shown;

/// A temporary folder with a home and repositories in it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    environment: Vec<(OsString, OsString)>,
}

/// A repository (or any folder) in a [`World`], in which commands run.
#[derive(Clone)]
pub(crate) struct Repo<'a> {
    pub(crate) world: &'a World,
    pub(crate) path: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// What a repository holds outside of its git directory, and its index: to see what a command changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Mode and bytes (of a link: its target) of every file, by path; folders are there with no bytes.
    pub(crate) tree: BTreeMap<PathBuf, (u32, Vec<u8>)>,
    /// The index as git lists it: mode, object, stage and path.
    pub(crate) index: BTreeSet<Vec<u8>>,
}

/// How a command ended, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("archive-tomb-test-").tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_git-archive-tomb")).parent().unwrap().to_owned();
        let path = std::env::join_paths(
            std::iter::once(program).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let mut environment: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), path.unwrap()),
            ("HOME".into(), home.clone().into()),
            ("XDG_CONFIG_HOME".into(), home.join(".config").into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
            ("GIT_CONFIG_GLOBAL".into(), home.join("gitconfig").into()),
            ("GIT_AUTHOR_DATE".into(), "2025-10-17T13:22:36Z".into()),
            ("GIT_COMMITTER_DATE".into(), "2025-10-17T13:22:36Z".into()),
            ("GIT_TERMINAL_PROMPT".into(), "0".into()),
            ("GIT_EDITOR".into(), "true".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("TZ".into(), "UTC".into()),
            ("TMPDIR".into(), folder.path().as_os_str().to_owned()),
        ];
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            environment.push(("LLVM_PROFILE_FILE".into(), profile));
        }
        let world = Self { folder, environment };
        std::fs::write(
            home.join("gitconfig"),
            "[user]\n\tname = A Maintainer\n\temail = maintainer@example.org\n[init]\n\tdefaultBranch = main\n\
             [protocol \"file\"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n[commit]\n\tgpgSign = false\n\
             [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n",
        )
        .unwrap();
        world
    }

    /// Returns the folder `name`, which need not exist.
    pub(crate) fn at(&self, name: &str) -> Repo<'_> {
        Repo { world: self, path: self.folder.path().join(name), environment: Vec::new() }
    }

    /// Makes an empty repository.
    pub(crate) fn init(&self, name: &str) -> Repo<'_> {
        self.init_with(name, &[])
    }

    /// Makes an empty repository with options of `git init`.
    pub(crate) fn init_with(&self, name: &str, options: &[&str]) -> Repo<'_> {
        let repo = self.at(name);
        std::fs::create_dir_all(&repo.path).unwrap();
        let mut arguments = vec!["init", "-q"];
        arguments.extend(options);
        repo.git(&arguments);
        repo
    }

    /// Makes a repository with a few committed files.
    pub(crate) fn sample(&self, name: &str) -> Repo<'_> {
        let repo = self.init(name);
        repo.write("README.md", "# sample\n");
        repo.write("src/keep.py", "VALUE = 1\n");
        repo.write("src/legacy/old.py", "import os\n\n\ndef old():\n    return os.getcwd()\n");
        repo.write("src/legacy/run.sh", "#!/bin/sh\necho legacy\n");
        repo.set_executable("src/legacy/run.sh");
        repo.write("docs/old.md", "# Old\n\nNobody reads this.\n");
        repo.commit_all("first");
        repo
    }

    /// Removes what differs from run to run: places, ids, times and sizes that depend on compression.
    pub(crate) fn filter(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "[world]")
    }
}

impl<'a> Repo<'a> {
    /// Returns this repository with one more environment variable.
    pub(crate) fn with(&self, name: &str, value: impl AsRef<OsStr>) -> Repo<'a> {
        let mut environment = self.environment.clone();
        environment.push((name.into(), value.as_ref().to_owned()));
        Repo { world: self.world, path: self.path.clone(), environment }
    }

    /// Copies the repository as it is, history and all, and returns the copy.
    pub(crate) fn copy_to(&self, name: &str) -> Repo<'a> {
        let environment = self.environment.clone();
        let copy = Repo { world: self.world, path: self.world.folder.path().join(name), environment };
        let done = Command::new("cp").arg("-a").arg(&self.path).arg(&copy.path).status().unwrap();
        assert!(done.success());
        copy
    }

    /// Copies the repository to a place beside it, whose name ends with `suffix`.
    pub(crate) fn sibling(&self, suffix: &str) -> Repo<'a> {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        self.copy_to(&format!("{name}-{suffix}"))
    }

    /// Returns a folder of this repository as a place in which commands run.
    pub(crate) fn below(&self, folder: &str) -> Repo<'a> {
        Repo { world: self.world, path: self.path.join(folder), environment: self.environment.clone() }
    }

    /// Returns a command that will run here.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.path)
            .env_clear()
            .envs(self.world.environment.iter().map(|(name, value)| (name, value)))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs git, which must succeed, and returns what it printed, without the last newline.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let run = self.try_git(arguments);
        assert_eq!(run.code, Some(0), "git {arguments:?}: {run}");
        run.stdout_text().trim_end_matches('\n').to_owned()
    }

    /// Runs git.
    pub(crate) fn try_git(&self, arguments: &[&str]) -> Run {
        Run::from(self.command("git").args(arguments).output().unwrap())
    }

    /// Runs the program.
    pub(crate) fn tomb<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        Run::from(self.command(env!("CARGO_BIN_EXE_git-archive-tomb")).args(arguments).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub(crate) fn tomb_ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        let run = self.tomb(arguments);
        let shown: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        assert_eq!(run.code, Some(0), "git archive-tomb {shown:?}: {run}");
        run
    }

    /// Runs the program with `input` on its standard input.
    pub(crate) fn tomb_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        use std::io::Write as _;
        let mut command = self.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Run::from(child.wait_with_output().unwrap())
    }

    /// Runs the program, which must succeed, and returns the git processes that it started, and those that they
    /// started, each as its arguments.
    pub(crate) fn git_processes_of(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let trace = tempfile::NamedTempFile::new_in(self.world.folder.path()).unwrap();
        self.with("GIT_TRACE2_EVENT", trace.path()).tomb_ok(arguments);
        let text = std::fs::read_to_string(trace.path()).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let starts = events.filter(|event| event["event"] == "start");
        starts.map(|event| serde_json::from_value(event["argv"].clone()).unwrap()).collect()
    }

    /// Runs the program, which must succeed, with its standard output in the file `stdout`, and returns the most memory
    /// that its process used, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory_of(&self, arguments: &[&str], stdout: Option<&Path>) -> u64 {
        let mut command = self.command(env!("CARGO_BIN_EXE_git-archive-tomb"));
        command.args(arguments).stderr(Stdio::piped());
        command.stdout(stdout.map_or_else(Stdio::null, |path| std::fs::File::create(path).unwrap().into()));
        let mut child = command.spawn().unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        // The kernel keeps the peak, so looking often is only needed to look late enough.
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            peak = peak.max(kibibytes.unwrap_or_default() << 10);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(0), "git archive-tomb {arguments:?}: {run}");
        assert!(peak > 0, "the system tells a process's peak memory");
        peak
    }

    /// Writes a file, with its folders.
    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path.join(path);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Reads a file as text.
    pub(crate) fn read_text(&self, path: impl AsRef<Path>) -> String {
        String::from_utf8(self.read(path)).unwrap()
    }

    /// Returns the tombstone of the stub at a path.
    pub(crate) fn tombstone_at(&self, path: &str) -> String {
        let text = self.read_text(path);
        let line = text.lines().find_map(|line| Some(line.split_once("tombstone: ")?.1));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path.join(path).symlink_metadata().is_ok()
    }

    /// Returns everything in the working tree but `.git`: the path of each file or link with what tells it from others.
    pub(crate) fn tree(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let name = path.strip_prefix(&self.path).unwrap().display().to_string();
                if name == ".git" {
                    continue;
                }
                let content = if metadata.is_symlink() {
                    format!("link to {}", std::fs::read_link(&path).unwrap().display())
                } else if metadata.is_dir() {
                    folders.push(path);
                    "folder".to_owned()
                } else {
                    use std::os::unix::fs::PermissionsExt;
                    let bytes = std::fs::read(&path).unwrap();
                    format!("{:o} {}", metadata.permissions().mode(), String::from_utf8_lossy(&bytes))
                };
                found.insert(name, content);
            }
        }
        found
    }

    pub(crate) fn set_executable(&self, path: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path.join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Destroys the bytes of an item, and so of all that share them, as two persons do.
    pub(crate) fn purge(&self, target: &str) -> Run {
        self.tomb_ok(&["prune-request", target, "--by", "Ada", "--reason", "PII"]);
        let by = ["--by", "Ada", "--second", "Bob", "--reason", "PII"];
        self.tomb_ok(&[&["purge", target, "--all-references", "--apply"], &by[..]].concat())
    }

    /// Returns when the bytes of an item were destroyed, as the archive has it.
    pub(crate) fn purged_at(&self, target: &str) -> String {
        self.tomb_ok(&["show", "--json", target]).json()[0]["purged_at"].as_str().unwrap().to_owned()
    }

    /// Stages everything and commits it, past all hooks, and returns the commit's id.
    pub(crate) fn commit_all(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.commit(message)
    }

    /// Commits what is staged, past all hooks, and returns the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["commit", "-q", "--no-verify", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Returns the working tree and the index as they are.
    pub(crate) fn look(&self) -> Snapshot {
        let mut tree = BTreeMap::new();
        collect(&self.path, &self.path, &mut tree);
        let listed = self.try_git(&["ls-files", "-s", "-z"]).exits(0).stdout;
        let index = listed.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).map(<[u8]>::to_vec).collect();
        Snapshot { tree, index }
    }

    /// Asserts that nothing waits to be committed and that the repository and its evidence are whole.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        assert_eq!(self.status(), "");
        self.try_git(&["fsck", "--strict", "--no-dangling"]).exits(0);
        self.tomb(&["evidence", "verify", "--strict"]).exits(0);
        self.tomb(&["verify", "--all"]).exits(0);
    }

    /// Stores what `arguments` name, with checks that nothing but `paths` and `.codex` changed, commits it and checks
    /// that all is sound. Returns what was printed.
    #[track_caller]
    pub(crate) fn store(&self, arguments: &[&str], paths: &[&str]) -> Run {
        self.change(&[&["store"], arguments].concat(), paths)
    }

    /// As [`Repo::store`], for a restore in place.
    #[track_caller]
    pub(crate) fn restore(&self, arguments: &[&str], paths: &[&str]) -> Run {
        self.change(&[&["restore"], arguments].concat(), paths)
    }

    #[track_caller]
    fn change(&self, arguments: &[&str], paths: &[&str]) -> Run {
        let top = self.top();
        let before = top.look();
        let run = self.tomb(arguments).exits(0);
        top.look().assert_changed_only(&before, paths);
        top.commit(&arguments.join(" "));
        top.assert_sound();
        run
    }

    /// Returns the top of the working tree, with this place's environment.
    pub(crate) fn top(&self) -> Repo<'a> {
        let top = self.git(&["rev-parse", "--show-toplevel"]);
        Repo { world: self.world, path: PathBuf::from(top), environment: self.environment.clone() }
    }

    /// Returns `git status` in its short form.
    pub(crate) fn status(&self) -> String {
        self.git(&["status", "--short", "--untracked-files=all"])
    }
}

impl Snapshot {
    /// Asserts that since `before` only files and entries at `paths` and in `.codex` changed.
    #[track_caller]
    pub(crate) fn assert_changed_only(&self, before: &Self, paths: &[&str]) {
        let paths: BTreeSet<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let mut changed: BTreeSet<PathBuf> = BTreeSet::new();
        for path in self.tree.keys().chain(before.tree.keys()) {
            if self.tree.get(path) != before.tree.get(path) {
                changed.insert(path.clone());
            }
        }
        changed.retain(|path| !path.starts_with(".codex"));
        assert_eq!(changed, paths, "in the working tree");
        let entries: BTreeSet<PathBuf> = self
            .index
            .symmetric_difference(&before.index)
            .map(|entry| path_of(&entry[entry.iter().position(|byte| *byte == b'\t').unwrap() + 1..]))
            .filter(|path| !path.starts_with(".codex"))
            .collect();
        assert_eq!(entries, paths, "in the index");
    }
}

/// Returns a file's content: lines far enough from each other that git merges changes of different ones.
pub(crate) fn lines(about: &str) -> String {
    (0..8).fold(String::new(), |mut text, line| {
        writeln!(text, "line_{line} = '{about}'\n").unwrap();
        text
    })
}

/// Asserts that a server has dropped a database.
///
/// MariaDB sets a table's triggers aside while it makes another one (`segment.TRG-`) and, where others do the same in other
/// databases, may forget to remove that. Then the empty database stays (error 1010), for as long as its server.
#[track_caller]
pub(crate) fn assert_dropped(done: &Run) {
    assert!(done.code == Some(0) || done.stderr_text().contains("ERROR 1010 "), "{done}");
}

/// Returns the program `name` of those that `scripts/test` installs (see `tests/requirements.txt`). Where they are not
/// installed a test is skipped, but not in CI.
#[expect(clippy::print_stderr, reason = "whoever looks at a skipped test should see that it was")]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/venv/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing: `scripts/test` installs it", path.display());
    eprintln!("skipped: `scripts/test` installs {name}");
    None
}

/// Returns bytes as a path.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Collects what is in `folder`, but no git directory.
fn collect(top: &Path, folder: &Path, tree: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name() == Some(OsStr::new(".git")) {
            continue;
        }
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_symlink() {
            std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if metadata.is_dir() {
            collect(top, &path, tree);
            Vec::new()
        } else {
            std::fs::read(&path).unwrap()
        };
        tree.insert(path.strip_prefix(top).unwrap().to_owned(), (metadata.mode(), content));
    }
}

impl Run {
    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Returns the lines of standard output as JSON.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        self.stdout_text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns everything that was printed.
    pub(crate) fn all_text(&self) -> String {
        format!("{}\n{}", self.stdout_text(), self.stderr_text())
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Returns the whole result as text for a snapshot, without what differs from run to run.
    pub(crate) fn snapshot(&self, world: &World) -> String {
        let mut text = String::new();
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        writeln!(text, "exit: {code}").unwrap();
        for (name, content) in [("stdout", self.stdout_text()), ("stderr", self.stderr_text())] {
            if !content.is_empty() {
                writeln!(text, "----- {name} -----\n{}", world.filter(&content).trim_end()).unwrap();
            }
        }
        text
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "exit {:?}\n{}\n{}", self.code, self.stdout_text(), self.stderr_text())
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self { code: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }
}
