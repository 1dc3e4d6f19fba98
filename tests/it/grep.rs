//! `grep`: searching what is archived.
//!
//! `ARCHIVE_TOMB_GREPS=10000` looks for more patterns, `ARCHIVE_TOMB_SEED=7` begins with another one.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::common::{Repo, Run, World, assert_shown, path_of};
use crate::databases::{Database, KINDS};
use crate::migrate::{damage, recovered};

/// Makes a repository with files of every sort, all committed.
fn with_files<'w>(world: &'w World, name: &str) -> Repo<'w> {
    let repo = world.init(name);
    repo.write("a.txt", "one foo\ntwo\nfoo foo\n");
    repo.write("b.bin", b"x\0foo\nfoo\n");
    repo.write("d e/\"q\".txt", "foo");
    repo.write("dos.txt", "foo\r\nbar\r\n");
    repo.write("latin.txt", b"caf\xe9 foo\n");
    repo.write("none.txt", "nothing\n");
    repo.write(path_of(b"na\xefve.txt"), "foo\n");
    repo.write("empty.txt", "");
    repo.write("late.txt", ["foo\n", &"x".repeat(8000), "\0foo\n"].concat());
    std::os::unix::fs::symlink("foo", repo.path.join("link")).unwrap();
    repo.commit_all("first");
    repo
}

/// Returns what `grep` prints, with `HEAD` where it has the beginning of a tombstone.
fn like_git(run: &Run) -> String {
    let text = run.stdout.iter().map(|byte| char::from(*byte)).collect::<String>();
    let is_name = |name: &str| {
        name.len() == 13 && name.char_indices().all(|(at, c)| if at == 8 { c == '-' } else { c.is_ascii_hexdigit() })
    };
    let mut replaced = String::new();
    let mut rest = text.as_str();
    while let Some(colon) = rest.find(':') {
        let start = colon.saturating_sub(13);
        if rest.is_char_boundary(start) && is_name(&rest[start..colon]) {
            replaced.push_str(&rest[..start]);
            replaced.push_str("HEAD:");
        } else {
            replaced.push_str(&rest[..=colon]);
        }
        rest = &rest[colon + 1..];
    }
    replaced + rest
}

#[test]
fn output_is_what_git_grep_prints_of_a_revision() {
    let world = World::new();
    let repo = with_files(&world, "project");
    repo.tomb_ok(&["store", "-q", "."]);
    for options in [
        &["foo"][..],
        &["-n", "foo"],
        &["-c", "foo"],
        &["-l", "foo"],
        &["-z", "foo"],
        &["-z", "-n", "foo"],
        &["-z", "-c", "foo"],
        &["-z", "-l", "foo"],
        &["-i", "-n", "FOO"],
        &["-w", "oo"],
        &["-w", "foo"],
        &["-F", "fo+"],
        &["-F", "-e", "foo", "-e", "two"],
        &["-n", "-e", "^two$", "-e", "bar"],
        &["-n", ""],
        &["-c", ""],
        &["one\ntwo"],
        &["-E", "(foo ?){2}"],
        &["--color=always", "foo"],
        &["--color=always", "-n", "foo"],
        &["--color=always", "-n", "-E", "o+"],
        &["--color=always", "-z", "-n", "foo"],
        &["--color=always", "-c", "foo"],
        &["--color=always", "-l", "foo"],
        &["--color=always", "-l", "-z", "foo"],
        &["nowhere"],
    ] {
        let ours = repo.tomb(&[&["grep"], options].concat());
        let theirs = repo.try_git(&[&["grep"], options, &["HEAD"]].concat());
        let theirs = if theirs.code == Some(0) || theirs.code == Some(1) && options.contains(&"nowhere") {
            theirs
        } else {
            repo.try_git(&[&["grep", "-E"], options, &["HEAD"]].concat())
        };
        let theirs_text: String = theirs.stdout.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!((like_git(&ours), ours.code), (theirs_text, theirs.code), "{options:?}: {ours}");
    }
}

/// Makes up patterns that mean the same to git and to us, and texts that they match now and then.
struct Inventor(fastrand::Rng);

impl Inventor {
    fn atom(&mut self) -> String {
        let atoms = ["a", "b", "c", "é", ".", "[ab]", "[^a]", "[[:space:]]", "(ab|c)", "(a|bc)", r"\.", r"\w", "  "];
        (*self.0.choice(&atoms).unwrap()).to_owned()
    }

    fn pattern(&mut self) -> String {
        let middle: String = (0..self.0.usize(1..4))
            .map(|_| {
                let repeat = *self.0.choice(&["", "", "", "*", "+", "?", "{2}", "{1,3}"]).unwrap();
                self.atom() + repeat
            })
            .collect();
        let (start, end) = (if self.0.u8(..5) == 0 { "^" } else { "" }, if self.0.u8(..5) == 0 { "$" } else { "" });
        format!("{start}{middle}{end}")
    }

    fn text(&mut self) -> String {
        let pieces = ["a", "b", "c", "A", "é", ".", " ", "\t", "\r", "x"];
        let lines = self.0.usize(..12);
        let mut text = String::new();
        for _ in 0..lines {
            text.extend((0..self.0.usize(..8)).map(|_| *self.0.choice(&pieces).unwrap()));
            text.push('\n');
        }
        if self.0.bool() {
            text.pop();
        }
        text
    }
}

#[test]
fn it_finds_what_git_grep_finds_in_the_same_files_brought_back() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut inventor = Inventor(fastrand::Rng::with_seed(number("ARCHIVE_TOMB_SEED").unwrap_or(1)));
    let world = World::new();
    let repo = world.init("project");
    for file in 0..120 {
        let mut text = inventor.text().into_bytes();
        if inventor.0.u8(..10) == 0 {
            text.push(0);
        }
        repo.write(format!("{}/{file}", file % 7), text);
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "-q", "."]);
    let clone = world.at("brought-back");
    repo.commit("archived");
    repo.git(&["clone", "-q", ".", "../brought-back"]);
    clone.tomb_ok(&["restore", "-q", "."]);
    for _ in 0..number("ARCHIVE_TOMB_GREPS").unwrap_or(60) {
        let pattern = inventor.pattern();
        let mut options = vec!["-n"];
        if inventor.0.u8(..4) == 0 {
            options.push("-i");
        }
        let ours = repo.tomb(&[&["grep"], &options[..], &["-e", &pattern]].concat());
        let not_ours = &["--", ".", ":!.codex"];
        let theirs = clone.try_git(&[&["grep", "-E"], &options[..], &["-e", &pattern], not_ours].concat());
        let found = like_git(&ours).replace("HEAD:", "");
        let expected: String = theirs.stdout.iter().map(|byte| char::from(*byte)).collect();
        let (mut found, expected): (Vec<_>, Vec<_>) = (found.split('\n').collect(), expected.split('\n').collect());
        // To us a NUL is a character that `.` matches; to git it is not.
        found.retain(|line| !line.starts_with("Binary file ") || expected.contains(line));
        // Only what differs is worth showing.
        let only = |these: &[&str], those: &[&str]| {
            these.iter().filter(|line| !those.contains(line)).map(|line| (*line).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(only(&found, &expected), only(&expected, &found), "{pattern:?} {options:?}");
        assert!(found == expected, "{pattern:?} {options:?}");
        assert!(ours.code == theirs.code || expected == [""], "{pattern:?} {options:?}: {ours}");
    }
}

#[test]
fn names_are_targets_and_items_come_as_a_listing_has_them() {
    let world = World::new();
    let repo = world.sample("project");
    repo.write("copy/old.py", repo.read("src/legacy/old.py"));
    repo.commit_all("copy");
    repo.tomb_ok(&["store", "-q", "src/legacy", "--tag", "a", "--reason", "legacy", "--by", "ann"]);
    repo.tomb_ok(&["store", "-q", "docs", "copy", "--repo", "other"]);
    repo.tomb_ok(&["store", "-q", "README.md", "--keep"]);
    let paths = |options: &[&str]| {
        let found = repo.tomb_ok(&[&["grep", "-l", "--json", "e"], options].concat()).json();
        found.iter().map(|item| item["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["README.md", "copy/old.py", "docs/old.md", "src/legacy/old.py", "src/legacy/run.sh"];
    assert_eq!(paths(&[]), all);
    for (options, expected) in [
        (&["--tag", "a"][..], &all[3..]),
        (&["--reason", "legacy"], &all[3..]),
        (&["--by", "ann"], &all[3..]),
        (&["--repo", "other"], &all[1..3]),
        (&["--path", "src"], &all[3..]),
        (&["--path", "*.py"], &["copy/old.py", "src/legacy/old.py"]),
        (&["--since", "1d", "--path", "docs"], &all[2..3]),
    ] {
        assert_eq!(paths(options), expected, "{options:?}");
    }
    repo.tomb(&["grep", "e", "--until", "1d"]).exits(1);
    for line in repo.tomb_ok(&["grep", "-n", "def old"]).stdout_text().lines() {
        let (name, rest) = line.split_once(':').unwrap();
        assert!(rest.ends_with("/old.py:4:def old():"), "{line}");
        assert_eq!(repo.tomb_ok(&["cat", name]).stdout, repo.read_back("src/legacy/old.py"));
    }
}

impl Repo<'_> {
    /// Returns what stood at a path in the first commit.
    fn read_back(&self, path: &str) -> Vec<u8> {
        self.try_git(&["show", &format!("HEAD:{path}")]).stdout
    }
}

#[test]
fn a_content_that_many_items_have_is_found_in_all_of_them_in_order_whatever_the_threads_do() {
    // More contents than one thread looks up at a time.
    const FILES: usize = 520;
    let world = World::new();
    let repo = world.init("project");
    let of_first: Vec<usize> = (0..FILES).step_by(40).collect();
    let of_second: Vec<usize> = (0..FILES).collect();
    for (folder, numbers) in [("first", &of_first), ("second", &of_second)] {
        for number in numbers {
            repo.write(format!("{folder}/{number:03}"), format!("number {number}\n"));
        }
    }
    repo.commit_all("twice");
    repo.tomb_ok(&["store", "-q", "first"]);
    repo.tomb_ok(&["store", "-q", "second"]);
    let lines = |folder: &str, numbers: &[usize]| {
        numbers.iter().map(|n| format!("{folder}/{n:03}:number {n}")).collect::<Vec<_>>()
    };
    let expected = [lines("second", &of_second), lines("first", &of_first)].concat();
    for threads in ["1", "2", "7"] {
        let run = repo.with("CODEX_ARCHIVE_BATCH_CONCURRENT", threads).tomb_ok(&["grep", "number"]).stdout_text();
        let found: Vec<_> = run.lines().map(|line| line.split_once(':').unwrap().1).collect();
        assert!(found == expected, "{threads} threads: {run}");
    }
    damage(&repo);
    // The first block has what was archived first.
    let run = repo.tomb(&["grep", "number"]).exits(5);
    let named = run.stderr_text().lines().filter(|line| line.starts_with("warning: ")).count();
    assert_eq!(named, 2 * of_first.len(), "{run}");
    assert_eq!(run.stdout_text().lines().count(), FILES - of_first.len(), "{run}");
}

#[test]
fn every_archive_gives_the_same() {
    let world = World::new();
    let mut results: Vec<Vec<serde_json::Value>> = Vec::new();
    for kind in KINDS {
        let database = Database::new(*kind);
        let folder = world.at(&format!("{kind:?}"));
        std::fs::create_dir(&folder.path).unwrap();
        let repo = with_files(&world, &format!("{kind:?}/project")).with("CODEX_ARCHIVE_URL", database.url());
        repo.tomb_ok(&["init", "-q", "--no-hooks"]);
        repo.tomb_ok(&["store", "-q", ".", "--tag", "t"]);
        results.push(repo.tomb_ok(&["grep", "--tag", "t", "-n", "--json", "f.o"]).json());
        repo.tomb(&["grep", "--tag", "u", "foo"]).exits(1);
        repo.tomb(&["grep", "nowhere"]).exits(1);
    }
    let text: Vec<_> = results[0].iter().filter(|line| line["path"] == "a.txt").collect();
    assert_eq!(text.len(), 2);
    assert_eq!((&text[1]["line_number"], &text[1]["text"]), (&3.into(), &"foo foo".into()));
    let latin = results[0].iter().find(|line| line["path"] == "latin.txt").unwrap();
    assert_eq!(latin["text_b64"], "Y2Fm6SBmb28=");
    let without_ids = |lines: &[serde_json::Value]| {
        let mut lines = lines.to_vec();
        for line in &mut lines {
            line.as_object_mut().unwrap().remove("tombstone").unwrap();
        }
        lines
    };
    for other in &results[1..] {
        assert_eq!(without_ids(other), without_ids(&results[0]));
    }
}

#[test]
fn what_cannot_be_searched_is_named_and_the_rest_is_searched() {
    let world = World::new();
    let repo = world.sample("project");
    assert_shown!(&world, repo.tomb(&["grep", "e"]), @r"
    exit: 6
    ----- stderr -----
    error: there is no archive at `[world]/project/.git/archive-tomb/archive.sqlite`
    hint: `git archive-tomb init` makes an empty one
    hint: this reads an archive alone; `git archive-tomb cat` and `git archive-tomb restore` read git's history too
    ");
    repo.tomb_ok(&["store", "-q", "docs/old.md"]);
    repo.write("twice.md", repo.read_back("docs/old.md"));
    repo.commit_all("twice");
    repo.tomb_ok(&["store", "-q", "src/legacy", "twice.md"]);
    assert_shown!(&world, repo.tomb(&["grep", "a(b"]), @r"
    exit: 2
    ----- stderr -----
    error: `a(b` is no regular expression: unclosed group
    hint: `-F` looks for the text as it is
    ");
    repo.tomb(&["grep"]).exits(2);
    repo.tomb(&["grep", "e", "-e", "a"]).exits(2);
    let approvals = repo.with("CODEX_ARCHIVE_GOVERNANCE_RESTORE_APPROVALS", "1");
    for command in [&["grep", "e"][..], &["cat", "docs/old.md"], &["diff", "docs/old.md"]] {
        let refused = approvals.tomb(command).exits(4);
        assert!(refused.stdout.is_empty() && refused.stderr_text().contains("0 of 1 approvals"), "{refused}");
    }

    let original = repo.tomb_ok(&["cat", "docs/old.md"]).stdout_text();
    damage(&repo);
    let run = repo.tomb(&["grep", "e"]).exits(5);
    assert_eq!(recovered(&repo, &run), original);
    assert!(repo.read_text("docs/old.md").contains("stub v1"), "nothing but the output is written");
    assert_eq!(recovered(&repo, &repo.tomb(&["health-check", "--deep"]).exits(5)), original);
    let found = run.stdout_text();
    assert!(found.contains("src/legacy/run.sh:echo legacy") && !found.contains(".md"), "{run}");
    let told = run.stderr_text();
    assert!(told.contains(":docs/old.md: content") && told.contains(":twice.md: content"), "{run}");
    assert!(told.contains("error: 2 items could not be searched"), "{run}");
    let run = repo.tomb(&["grep", "e", "--path", "src"]).exits(0);
    assert!(run.stderr.is_empty(), "{run}");

    let purged = repo.purge("docs/old.md");
    assert!(purged.stdout_text().contains("twice.md"), "{purged}");
    let at = repo.purged_at("docs/old.md");
    let run = repo.tomb(&["grep", "e"]).exits(0);
    assert_eq!(run.stdout_text(), found);
    assert_eq!(run.stderr_text().matches(&format!(".md was purged at {at}: not searched")).count(), 2, "{run}");
    let run = repo.tomb(&["grep", "e", "--path", "docs"]).exits(1);
    assert_eq!((run.stdout_text(), run.stderr_text().lines().count()), (String::new(), 1), "{run}");
}

#[test]
fn what_an_unfinished_operation_archived_is_found_by_the_clone_that_began_it() {
    let world = World::new();
    let repo = world.sample("project");
    repo.with("GIT_ARCHIVE_TOMB_FAULT", "evidence").tomb(&["store", "-q", "docs/old.md"]);
    let run = repo.tomb(&["grep", "reads"]).exits(0);
    assert!(run.stdout_text().ends_with(":docs/old.md:Nobody reads this.\n"), "{run}");
    repo.tomb_ok(&["doctor", "--abort"]);
    repo.tomb(&["grep", "reads"]).exits(1);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let world = World::new();
    let repo = world.init("project");
    for file in 0..4 {
        repo.write(format!("{file}.txt"), format!("{file} line that is found\n").repeat(200_000));
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "-q", "."]);
    let mut child = repo
        .command(env!("CARGO_BIN_EXE_git-archive-tomb"))
        .args(["grep", "found"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with(":0.txt:0 line that is found\n"), "{line}");
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
}

#[test]
fn on_a_terminal_contents_are_harmless_and_elsewhere_exact() {
    let world = World::new();
    let repo = world.init("project");
    let hostile = "a\tfound \u{1b}]0;title\u{7}\r\n";
    repo.write("old.txt", hostile);
    repo.commit_all("first");
    repo.tomb_ok(&["store", "-q", "old.txt"]);
    repo.write("new.txt", "new\n");
    let shell = |script: &str| Run::from(repo.command("sh").args(["-c", script]).output().unwrap());
    assert_eq!(repo.tomb_ok(&["cat", "old.txt"]).stdout_text(), hostile);
    assert!(repo.tomb_ok(&["grep", "found"]).stdout_text().ends_with(&format!(":old.txt:{hostile}")));
    assert!(repo.tomb_ok(&["diff", "old.txt", "new.txt"]).stdout_text().contains(&format!("\n-{hostile}+new\n")));
    if shell("command -v script").code != Some(0) {
        return;
    }
    for command in ["cat old.txt", "grep found", "diff old.txt new.txt"] {
        let shown = shell(&format!("script -qec 'git-archive-tomb --color never {command}' /dev/null")).stdout_text();
        assert!(shown.contains("a\tfound \\u{1b}]0;title\\u{7}\r"), "{command}: {shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{command}: {shown}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded_by_neither_contents_nor_lines_nor_what_is_found() {
    const SIZE: usize = 96 << 20;
    const MEMORY: u64 = 80 << 20;
    let world = World::new();
    let repo = world.init("project");
    repo.git(&["config", "core.compression", "0"]);
    let long = format!("a line that is found{}\n", "x".repeat(4000));
    repo.write("lines.txt", long.repeat(SIZE / long.len()));
    repo.write("line.txt", [vec![b'x'; SIZE], b"found".to_vec()].concat());
    repo.write("short.txt", "\n".repeat(1 << 18));
    repo.commit_all("first");
    repo.tomb_ok(&["store", "-q", "."]);
    let out = world.at("out").path;
    for (pattern, lines) in [("found", SIZE / long.len() + 1), ("^$", 1 << 18)] {
        let peak = repo.peak_memory_of(&["grep", "-n", pattern], Some(&out));
        let mut found = BufReader::new(std::fs::File::open(&out).unwrap());
        let mut count = 0;
        while found.skip_until(b'\n').unwrap() > 0 {
            count += 1;
        }
        assert_eq!(count, lines, "{pattern}");
        assert!(peak <= MEMORY, "{pattern} took {} MiB", peak >> 20);
    }
}
