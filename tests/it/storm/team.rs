//! Who works: a server, a host that merges pull requests on it, and developers with clones and archives of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;

use crate::common::{Repo, Run, World, lines};

/// How many developers there are.
const DEVELOPERS: usize = 3;

/// The last words that tell a stub from another file, in whatever comment they stand.
const MARKER: &str = "git-archive-tomb stub v1";

pub(super) struct Team<'w> {
    pub(super) random: fastrand::Rng,
    /// A linked worktree of the server, in which pull requests are checked and merged. It has no hooks and no archive, as
    /// a host's web page has none.
    pub(super) host: Repo<'w>,
    pub(super) developers: Vec<Repo<'w>>,
    pub(super) open: Vec<Branch>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// The bytes behind each tombstone.
    pub(super) archived: BTreeMap<String, Vec<u8>>,
    /// The tombstones that each developer's archive took in.
    pub(super) stored: Vec<BTreeSet<String>>,
    /// Merges of pull requests that could have been squashed.
    pub(super) squashable: BTreeSet<String>,
    pub(super) transcript: Transcript,
    /// How often the server changed, and at which of its states each developer fetched last.
    pub(super) state: u64,
    fetched: Vec<u64>,
    world: &'w World,
}

/// A branch with work on it.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) name: String,
    pub(super) developer: usize,
    /// Whether its commits account for what happened only one by one: somebody kept a stub over an edit of the main branch, or
    /// reverted an archive. So it is merged as it is, without squash or rebase.
    pub(super) as_it_is: bool,
}

/// What was done, printed when the test fails.
pub(super) struct Transcript {
    seed: u64,
    text: String,
}

impl Transcript {
    pub(super) fn heading(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {text}");
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.seed;
            say(&format!("{}ARCHIVE_TOMB_STORM_SEED={seed} repeats this", self.text));
        }
    }
}

/// Prints what the person who runs the storm wants to read.
#[expect(clippy::print_stderr, reason = "counts and transcripts are for whoever runs the test")]
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

impl<'w> Team<'w> {
    pub(super) fn new(world: &'w World, seed: u64) -> Self {
        let server = world.init_with("server.git", &["--bare"]);
        let first = world.init("first");
        for folder in ["docs", "src", "src/legacy"] {
            for number in 0..5 {
                first.write(format!("{folder}/f{number}.py"), lines(&format!("{folder} {number}")));
            }
        }
        first.git(&["add", "-A"]);
        first.tomb_ok(&["init"]);
        first.commit("start");
        first.git(&["push", "-q", "../server.git", "main", "main:refs/tags/start"]);
        server.git(&["worktree", "add", "-q", "../host", "main"]);
        let developers: Vec<Repo<'w>> = (0..DEVELOPERS)
            .map(|number| {
                let name = format!("developer-{number}");
                server.git(&["clone", "-q", ".", &format!("../{name}")]);
                let clone = world.at(&name);
                clone.git(&["config", "user.name", &name]);
                clone.git(&["config", "remote.origin.url", "../server.git"]);
                clone.tomb_ok(&["init"]);
                clone
            })
            .collect();
        Self {
            random: fastrand::Rng::with_seed(seed),
            host: world.at("host"),
            stored: vec![BTreeSet::new(); developers.len()],
            state: 0,
            fetched: vec![0; developers.len()],
            developers,
            open: Vec::new(),
            counts: BTreeMap::new(),
            archived: BTreeMap::new(),
            squashable: BTreeSet::new(),
            transcript: Transcript { seed, text: String::new() },
            world,
        }
    }

    /// Counts something that happened.
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes a command for the transcript, with what came of it.
    fn note<S: AsRef<OsStr>>(&mut self, who: &str, program: &str, arguments: &[S], run: &Run) {
        let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        let _ = writeln!(self.transcript.text, "{who}$ {program} {}", words.join(" "));
        if run.code != Some(0) {
            let _ = writeln!(self.transcript.text, "    {}", run.to_string().trim().replace('\n', "\n    "));
        }
        self.count("operations");
    }

    /// Runs git for a developer.
    pub(super) fn try_git(&mut self, who: usize, arguments: &[&str]) -> Run {
        let run = self.developers[who].try_git(arguments);
        self.note(&format!("developer-{who}"), "git", arguments, &run);
        if run.code.is_none() && is_recovered(&self.developers[who], &run) {
            self.count("crashes of git");
            if !arguments.iter().any(|word| ["--continue", "--skip"].contains(word)) {
                return self.try_git(who, &[&["-c", "merge.directoryRenames=false"], arguments].concat());
            }
        }
        run
    }

    /// Runs git for a developer, which must succeed, and returns what it printed.
    #[track_caller]
    pub(super) fn git(&mut self, who: usize, arguments: &[&str]) -> String {
        self.try_git(who, arguments).exits(0).stdout_text().trim_end_matches('\n').to_owned()
    }

    /// Brings a developer's clone up to date with the server.
    pub(super) fn fetch(&mut self, who: usize) {
        if self.fetched[who] != self.state {
            self.git(who, &["fetch", "-q", "--prune", "origin"]);
            self.fetched[who] = self.state;
        }
    }

    /// Runs git for the host.
    pub(super) fn try_host(&mut self, arguments: &[&str]) -> Run {
        let run = self.host.try_git(arguments);
        self.note("host", "git", arguments, &run);
        if run.code.is_none() && is_recovered(&self.host, &run) {
            self.count("crashes of git");
        }
        run
    }

    /// Runs git for the host, which must succeed, and returns what it printed.
    #[track_caller]
    pub(super) fn host_git(&mut self, arguments: &[&str]) -> String {
        self.try_host(arguments).exits(0).stdout_text().trim_end_matches('\n').to_owned()
    }

    /// Runs the program for a developer.
    pub(super) fn tomb(&mut self, who: usize, arguments: &[&str]) -> Run {
        let run = self.developers[who].tomb(arguments);
        self.note(&format!("developer-{who}"), "git archive-tomb", arguments, &run);
        run
    }

    /// Runs a hint as a developer who follows it to the letter.
    #[track_caller]
    pub(super) fn follow(&mut self, who: usize, hint: &str) {
        let run = Run::from(self.developers[who].command("sh").args(["-c", hint]).output().unwrap());
        self.note(&format!("developer-{who}"), "sh -c", &[hint], &run);
        run.exits(0);
        self.count("hints followed");
    }

    /// Verifies a range on the server, as a pull request's check does, and returns the errors.
    pub(super) fn errors_in(&mut self, from: &str, to: &str) -> Vec<serde_json::Value> {
        let range = format!("{from}..{to}");
        let arguments = ["verify", "--range", &range, "--json"];
        let run = self.host.tomb(&arguments);
        self.note("host", "git archive-tomb", &arguments, &run);
        self.count("verified ranges");
        assert!(matches!(run.code, Some(0 | 1)), "{run}");
        self.sort_findings(&run)
    }

    /// Counts warnings, and returns errors.
    pub(super) fn sort_findings(&mut self, run: &Run) -> Vec<serde_json::Value> {
        let (errors, warnings): (Vec<_>, Vec<_>) =
            run.json().into_iter().partition(|finding| finding["severity"] == "error");
        *self.counts.entry("warnings").or_default() += warnings.len() as u64;
        errors
    }

    /// Picks one of several.
    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        if choices.is_empty() { None } else { Some(choices[self.random.usize(..choices.len())].clone()) }
    }

    /// Returns true in one of `cases` cases.
    pub(super) fn once_in(&mut self, cases: u8) -> bool {
        self.random.u8(..cases) == 0
    }

    /// Returns a developer's tracked files outside of `.codex`: those that are no stubs, and the stubs.
    pub(super) fn files(&self, who: usize) -> (Vec<String>, Vec<String>) {
        let repo = &self.developers[who];
        let listed = repo.git(&["ls-files", "--", ":/", ":(exclude,top).codex"]);
        listed
            .lines()
            .filter(|path| repo.exists(path))
            .map(ToOwned::to_owned)
            .partition(|path| !is_stub(&repo.read(path)))
    }

    /// Checks at the end what must hold of the whole.
    pub(super) fn finish(&mut self) {
        // Somebody who was never here sees only the main branch.
        self.host.git(&["clone", "-q", "--no-local", "--single-branch", "-b", "main", "../server.git", "../newcomer"]);
        let newcomer = self.world.at("newcomer");
        for scope in [&["--all"][..], &["--range", "start..main"]] {
            let run = newcomer.tomb(&[&["verify", "--json"], scope].concat());
            assert_eq!(self.sort_findings(&run), Vec::<serde_json::Value>::new(), "{scope:?}: {run}");
        }
        newcomer.tomb_ok(&["evidence", "verify"]);
        // Strictness adds nothing but predecessors that stayed on branches which were rewritten.
        let strict = newcomer.tomb(&["verify", "--all", "--strict", "--json"]);
        for error in self.sort_findings(&strict) {
            assert!(error["reason"].as_str().unwrap().contains("named in `prev`"), "{error}");
        }
        newcomer.git(&["fsck", "--strict", "--no-dangling"]);

        let mut made = BTreeSet::new();
        for who in 0..self.developers.len() {
            let repo = &self.developers[who];
            let log = repo.read_text(".git/archive-tomb/archive_ops.jsonl");
            made.extend(log.lines().map(ToOwned::to_owned));
            let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
            let mut lines = archive.prepare("SELECT line FROM event").unwrap();
            let events: BTreeSet<String> = lines
                .query_map([], |row| row.get::<_, String>(0))
                .unwrap()
                .map(|line| line.unwrap().trim_end().to_owned())
                .collect();
            let logged = repo.tomb_ok(&["evidence", "log", "--json"]).json();
            assert_eq!(logged.len(), log.lines().count());
            for line in log
                .lines()
                .filter(|line| line.contains("\"status\":\"stored\"") || line.contains("\"status\":\"restored\""))
            {
                assert!(events.contains(line), "developer-{who}'s archive has no event for {line}");
            }
            let listed = repo.tomb_ok(&["list", "--json"]).json();
            let here: BTreeSet<String> =
                listed.iter().map(|item| item["tombstone"].as_str().unwrap().to_owned()).collect();
            assert_eq!(here, self.stored[who], "in developer-{who}'s archive");
            repo.tomb_ok(&["health-check", "--deep"]);
            repo.tomb_ok(&["doctor"]);
        }
        // Nothing stands in the evidence that nobody made.
        let mut records = 0;
        for file in newcomer.git(&["ls-files", ".codex/evidence/ops"]).lines() {
            for line in newcomer.read_text(file).lines() {
                assert!(made.contains(line), "nobody made {line}");
                records += 1;
            }
        }
        self.counts.insert("records in the end", records);
        self.counts.insert("findings", 0);
    }
}

/// Returns whether these bytes are a stub, conflict markers or not.
pub(super) fn is_stub(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).lines().take(2).any(|line| line.contains(MARKER))
}

/// Cleans up where git itself crashed: merge-ort fails an assertion of its own on some renames of folders. Returns false
/// if it was not that.
fn is_recovered(repo: &Repo<'_>, run: &Run) -> bool {
    if !run.stderr_text().contains("Assertion") {
        return false;
    }
    let lock = repo.git(&["rev-parse", "--git-path", "index.lock"]);
    let _ = std::fs::remove_file(repo.path.join(lock));
    for word in ["rebase", "cherry-pick", "revert", "am"] {
        repo.try_git(&[word, "--abort"]);
    }
    repo.git(&["reset", "-q", "--hard"]);
    true
}
