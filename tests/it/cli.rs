//! What holds for every command: exit codes, streams, places, colours, and nothing that a terminal would obey.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use crate::common::{Repo, Run, World};

const UNKNOWN: &str = "8e3531b9-c839-5a07-9dec-507c36136eb1";

/// Every command that needs a repository, in a form that works in one.
const COMMANDS: &[&[&str]] = &[
    &["init"],
    &["store", "."],
    &["restore", "."],
    &["status"],
    &["list"],
    &["show", UNKNOWN],
    &["cat", UNKNOWN],
    &["diff", UNKNOWN],
    &["verify"],
    &["evidence", "log"],
    &["evidence", "digest"],
    &["evidence", "verify"],
    &["hooks", "status"],
    &["doctor"],
    &["health-check"],
    &["config-show"],
    &["trust"],
];

/// A repository with two stubs in a commit.
fn archived(world: &World) -> Repo<'_> {
    let repo = world.sample("project");
    repo.tomb_ok(&["store", "src/legacy"]);
    repo.commit("archive");
    repo
}

/// Runs `script` in a shell that fails with its pipes.
fn shell(repo: &Repo<'_>, script: &str) -> Run {
    Run::from(repo.command("bash").args(["-o", "pipefail", "-c", script]).output().unwrap())
}

/// Changes the archive as its owner could, past everything that guards it.
fn sqlite(repo: &Repo<'_>, statements: &str) {
    let archive = rusqlite::Connection::open(repo.path.join(".git/archive-tomb/archive.sqlite")).unwrap();
    let triggers: Vec<String> = archive
        .prepare("SELECT format('DROP TRIGGER \"%w\";', name) FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    archive.execute_batch(&triggers.concat()).unwrap();
    archive.execute_batch(statements).unwrap();
}

#[test]
fn done_is_0() {
    let world = World::new();
    archived(&world).tomb(&["list"]).exits(0);
}

#[test]
fn a_refused_path_an_existing_output_and_a_found_problem_are_1() {
    let world = World::new();
    let repo = archived(&world);
    repo.write("untracked.txt", "new");
    repo.tomb(&["store", "untracked.txt"]).exits(1);
    repo.tomb(&["restore", "src/legacy/old.py", "README.md"]).exits(1);
    repo.tomb(&["hooks", "status"]).exits(1);
    repo.write("quoted", format!("{} docs/old.md", "0".repeat(64)));
    repo.tomb(&["evidence", "verify", "--digests", "quoted"]).exits(1);
}

#[test]
fn usage_configuration_trust_and_unsupported_repositories_are_2() {
    let world = World::new();
    let repo = archived(&world);
    for wrong in [
        &["frobnicate"][..],
        &["list", "--limt", "3"],
        &["list", "--since", "tomorrow"],
        &["-C", "missing", "list"],
        &["--config-file", "missing", "list"],
        &["store"],
        &["restore", "src/legacy", "output"],
        &["diff", "src/legacy/old.py", "--rev", "missing"],
        &["schema", "--dialect", "oracle"],
    ] {
        repo.tomb(wrong).exits(2);
    }
    repo.with("CODEX_ARCHIVE_RETRY_MAX", "11").tomb(&["list"]).exits(2);
    repo.with("CODEX_ARCHIVE_URL", "postgres://host/db").tomb(&["list"]).exits(2);
    let bare = world.init_with("bare", &["--bare"]);
    bare.tomb(&["store", "."]).exits(2);
}

#[test]
fn an_unknown_tombstone_is_3() {
    let world = World::new();
    let repo = archived(&world);
    for command in ["show", "cat", "diff", "restore"] {
        repo.tomb(&[command, UNKNOWN]).exits(3);
        repo.tomb(&[command, "README.md"]).exits(3);
    }
}

#[test]
fn purged_content_is_4() {
    let world = World::new();
    let repo = archived(&world);
    let tombstone = &*repo.tombstone_at("src/legacy/old.py");
    repo.purge(tombstone);
    repo.tomb(&["cat", tombstone]).exits(4);
    repo.tomb(&["restore", tombstone]).exits(4);
    repo.tomb(&["restore", tombstone, "-"]).exits(4);
    repo.tomb(&["restore", tombstone, "--from", "history"]).exits(0);
}

#[test]
fn bytes_that_do_not_match_their_digest_are_5_and_nothing_is_written() {
    let world = World::new();
    let repo = archived(&world);
    sqlite(&repo, "UPDATE block SET bytes = zeroblob(length(bytes))");
    let stub = repo.read("src/legacy/old.py");
    repo.tomb(&["restore", "src/legacy/old.py"]).exits(5);
    repo.tomb(&["restore", "src/legacy/old.py", "out.py"]).exits(5);
    repo.tomb(&["cat", "src/legacy/old.py"]).exits(5);
    assert!(!repo.exists("out.py"));
    assert_eq!(repo.read("src/legacy/old.py"), stub);
}

#[test]
fn an_archive_that_cannot_be_reached_is_6() {
    let world = World::new();
    let repo = world.sample("project");
    repo.tomb(&["list"]).exits(6);
    repo.tomb(&["health-check"]).exits(6);
    let elsewhere = repo.with("CODEX_ARCHIVE_URL", "sqlite:///elsewhere.sqlite");
    elsewhere.tomb(&["store", "docs"]).exits(6);
    assert!(!repo.exists("elsewhere.sqlite"), "a mistyped URL makes no archive");
}

#[test]
fn an_interrupt_is_130() {
    let world = World::new();
    let repo = world.sample("project");
    // A test run in the background of a shell ignores interrupts, and so would the program.
    let mut child = repo
        .command("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_git-archive-tomb"), "store", "--pathspec-from-file", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // It waits for the list that never comes.
    std::thread::sleep(std::time::Duration::from_millis(300));
    repo.command("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    // The signal itself ends the program, which every shell reports as 130.
    assert_eq!(child.wait().unwrap().signal().map(|signal| 128 + signal), Some(130));
}

#[test]
fn outside_a_repository_every_command_says_so() {
    let world = World::new();
    let nowhere = world.at("nowhere");
    std::fs::create_dir(&nowhere.path).unwrap();
    for command in COMMANDS {
        let run = nowhere.tomb(command).exits(2);
        assert!(run.stderr_text().contains("is not in a git repository"), "{command:?}: {run}");
        assert!(run.stdout.is_empty(), "{command:?}: {run}");
    }
    nowhere.tomb(&["schema", "--dialect", "sqlite"]).exits(0);
    nowhere.tomb(&["--version"]).exits(0);
}

#[test]
fn every_command_works_from_a_sub_folder_and_from_a_linked_working_tree() {
    let world = World::new();
    let repo = archived(&world);
    repo.git(&["worktree", "add", "-q", "../linked"]);
    for place in [repo.below("src/legacy"), world.at("linked").below("src/legacy")] {
        place.tomb_ok(&["status"]);
        place.tomb_ok(&["show", "old.py"]);
        place.tomb_ok(&["verify", "--all"]);
        place.tomb_ok(&["restore", "old.py", "copy.py"]);
        assert!(place.exists("copy.py"), "an output is where the user stands");
        let restored = place.tomb_ok(&["restore", "old.py"]);
        assert_eq!(restored.stdout_text(), "src/legacy/old.py\n");
        place.tomb_ok(&["store", "../../docs/old.md"]);
    }
    let elsewhere = world.at("home");
    elsewhere.tomb_ok(&["-C", "../project", "list"]);
    elsewhere.tomb_ok(&["-C", "../project/src", "restore", "legacy/run.sh", "copy.sh"]);
    assert!(repo.exists("src/copy.sh"));
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let world = World::new();
    let repo = world.init("project");
    repo.write("large.txt", "line of a large file\n".repeat(200_000));
    for number in 0..300 {
        repo.write(format!("many/{number}.txt"), format!("{number}"));
    }
    repo.commit_all("first");
    repo.tomb_ok(&["store", "."]);
    for command in ["restore large.txt -", "cat large.txt", "diff large.txt README", "list", "evidence log", "list -z"]
    {
        repo.write("README", "nothing");
        let run = shell(&repo, &format!("git-archive-tomb {command} | head -c 1 | wc -c")).exits(0);
        assert_eq!(run.stdout_text().trim(), "1", "{command}: {run}");
        assert_eq!(run.stderr_text().matches("error").count(), 0, "{command}: {run}");
    }
    let log = repo.tomb_ok(&["evidence", "log", "--action", "RESTORE_FAIL"]);
    assert_eq!(log.stdout_text(), "", "a reader that has seen enough is no failed restore");
}

#[test]
fn closed_streams_are_no_panic() {
    let world = World::new();
    let repo = archived(&world);
    shell(&repo, "git-archive-tomb restore src/legacy/old.py 2>&-").exits(0);
    shell(&repo, &format!("git-archive-tomb cat {UNKNOWN} 2>&-")).exits(3);
    shell(&repo, "git-archive-tomb frobnicate 2>&-").exits(2);
    shell(&repo, "git-archive-tomb status >&-; git-archive-tomb list </dev/null >/dev/null").exits(0);
    let full = shell(&repo, "git-archive-tomb config-show >/dev/full").exits(1);
    assert!(full.stderr_text().starts_with("error:"), "{full}");
}

#[test]
fn results_are_on_stdout_and_talk_is_on_stderr() {
    let world = World::new();
    let repo = world.sample("project");
    assert!(repo.tomb_ok(&["init"]).stdout.is_empty());
    let stored = repo.tomb_ok(&["store", "src/legacy"]);
    assert_eq!(stored.json().len(), 2);
    assert!(stored.stderr_text().contains("archived 2 files"), "{stored}");
    let quiet = repo.tomb_ok(&["-q", "store", "docs"]);
    assert_eq!(quiet.stderr_text(), "");
    assert_eq!(quiet.json().len(), 1);
    let bytes = repo.tomb_ok(&["restore", "docs/old.md", "-"]);
    assert_eq!(bytes.stdout_text(), "# Old\n\nNobody reads this.\n");
    assert_eq!(repo.tomb_ok(&["-q", "restore", "docs/old.md", "-"]).stderr_text(), "");
    let verbose = repo.tomb_ok(&["-v", "list"]);
    assert!(verbose.stderr_text().contains("Backend validation: OK (sqlite)"), "{verbose}");
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let world = World::new();
    let repo = archived(&world);
    let colored =
        |repo: &Repo<'_>, option: &[&str]| repo.tomb_ok(&[option, &["list"]].concat()).stdout_text().contains('\u{1b}');
    assert!(!colored(&repo, &[]));
    assert!(colored(&repo, &["--color", "always"]));
    assert!(colored(&repo.with("NO_COLOR", "1"), &["--color=always"]), "an option beats the environment");
    assert!(!colored(&repo, &["--color", "never"]));
    // `script` gives it a terminal.
    let terminal = |prefix: &str| {
        shell(&repo, &format!("script -qec '{prefix} git-archive-tomb list' /dev/null"))
            .stdout_text()
            .contains('\u{1b}')
    };
    if shell(&repo, "command -v script").code == Some(0) {
        assert!(terminal("env"));
        assert!(!terminal("env NO_COLOR=1"));
        assert!(terminal("env NO_COLOR="), "an empty NO_COLOR is none");
    }
}

#[test]
fn every_text_result_is_there_in_json() {
    let world = World::new();
    let repo = archived(&world);
    for command in [
        &["list"][..],
        &["status"],
        &["show", "src/legacy/old.py"],
        &["evidence", "log"],
        &["evidence", "digest"],
        &["evidence", "verify"],
        &["hooks", "install"],
        &["hooks", "status"],
        &["hooks", "uninstall"],
        &["health-check"],
        &["config-show"],
        &["restore", "src/legacy/old.py", "copy.py"],
        &["restore", "src/legacy/run.sh"],
        &["verify"],
    ] {
        let run = repo.tomb_ok(&[&["--json"], command].concat());
        // Parses each line, or panics.
        let objects = run.json();
        assert!(objects.iter().all(serde_json::Value::is_object), "{command:?}: {run}");
    }
    let failed = repo.with("CODEX_ARCHIVE_URL", "sqlite:///missing.sqlite").tomb(&["--json", "health-check"]).exits(6);
    assert_eq!(failed.json()[0]["status"], "failed");
}

/// Text that turns a terminal red, moves its title, rings its bell, and some that looks like another line.
const HOSTILE: &str = "a\u{1b}[31mred\u{7}\u{9b}2J\u{202e}b\nerror: forged";

#[test]
fn what_a_terminal_obeys_never_reaches_it() {
    let world = World::new();
    let repo = world.init("project");
    repo.write("plain.txt", "plain");
    repo.write(format!("{HOSTILE}.txt"), "hostile name");
    repo.commit_all("first");
    let by = "J\u{e9}r\u{f4}me";
    let mut runs = vec![repo.tomb_ok(&[
        "store",
        ".",
        "--by",
        by,
        "--tag",
        HOSTILE,
        "--metadata",
        &format!("k={HOSTILE}"),
        "--ref",
        &format!("t={HOSTILE}"),
    ])];
    repo.commit("archive");
    let path = format!("{HOSTILE}.txt");
    for command in [
        &["list"][..],
        &["list", "--json"],
        &["status", "--all"],
        &["show", &path],
        &["show", &path, "--json"],
        &["evidence", "log"],
        &["evidence", "log", "--json"],
        &["evidence", "digest"],
        &["evidence", "digest", "--json"],
        &["verify", "--all"],
        &["restore", &path, &format!("out{HOSTILE}")],
        &["restore", &path],
        &["restore", &path, "--json"],
        &["restore", &format!("missing{HOSTILE}")],
        &["store", &format!("missing{HOSTILE}")],
        &["store", &path, "--by", HOSTILE],
        &["diff", "plain.txt", &format!("missing{HOSTILE}")],
        &["diff", "plain.txt", "--rev", HOSTILE],
        &["list", "--since", HOSTILE],
        &["list", "--reason", HOSTILE],
        &[HOSTILE],
        &["-C", HOSTILE, "list"],
        &["--config-file", HOSTILE, "list"],
        &["evidence", "verify", "--digests", HOSTILE],
        &["-v", "list"],
    ] {
        runs.push(repo.tomb(command));
    }
    runs.push(repo.with("CODEX_ARCHIVE_LOGGING_LEVEL_X", HOSTILE).tomb(&["config-show"]));
    runs.push(repo.with("CODEX_ARCHIVE_LOG_LEVEL", HOSTILE).tomb(&["config-show"]));
    runs.push(repo.with("CODEX_ARCHIVE_LOGGING_FILE", HOSTILE).tomb(&["config-show"]));
    runs.push(repo.with("CODEX_ARCHIVE_URL", HOSTILE).tomb(&["config-show", "--debug"]));
    runs.push(repo.with("CODEX_ACTOR", HOSTILE).tomb(&["restore", &path, "x"]));
    for run in runs {
        let text = run.all_text();
        let bad: Vec<_> = text.chars().filter(|c| c.is_control() && *c != '\n' || *c == '\u{202e}').collect();
        assert!(bad.is_empty(), "{bad:?} in {text:?}");
        assert!(!text.contains("\nerror: forged"), "{text}");
    }
}

#[test]
fn who_acts_is_named_by_flag_environment_or_git() {
    let world = World::new();
    let repo = world.sample("project");
    let actor = |repo: &Repo<'_>, arguments: &[&str]| {
        repo.tomb_ok(&[&["health-check"], arguments].concat());
        repo.tomb_ok(&["evidence", "log", "--json"]).json().last().unwrap()["actor"].as_str().unwrap().to_owned()
    };
    repo.tomb_ok(&["init"]);
    assert_eq!(actor(&repo, &[]), "A Maintainer <maintainer@example.org>");
    let environment = repo.with("CODEX_ACTOR", "bot");
    assert_eq!(actor(&environment, &[]), "bot");
    assert_eq!(actor(&environment, &["--by", "marc"]), "marc");
    assert_eq!(actor(&environment, &["--actor", " ops-team "]), "ops-team");
    assert_eq!(actor(&repo.with("CODEX_ACTOR", " "), &[]), "A Maintainer <maintainer@example.org>");
    for wrong in ["", " ", "two\nlines"] {
        repo.tomb(&["health-check", "--by", wrong]).exits(2);
    }
    let nobody = repo.with("GIT_CONFIG_GLOBAL", "/dev/null");
    let run = nobody.tomb(&["store", "docs"]).exits(2);
    assert!(run.stderr_text().contains("`--by`"), "{run}");
    nobody.tomb_ok(&["list"]);
}

#[test]
fn a_repository_is_named_after_its_remote_else_its_folder() {
    let world = World::new();
    let repo = world.sample("folder-name");
    let name = |repo: &Repo<'_>| repo.tomb_ok(&["store", "docs", "--dry-run"]).json()[0]["repo"].clone();
    assert_eq!(name(&repo), "folder-name");
    repo.git(&["worktree", "add", "-q", "../linked"]);
    assert_eq!(name(&world.at("linked")), "folder-name");
    repo.git(&["clone", "-q", "--bare", ".", "../bare.git"]);
    let bare = world.at("bare.git");
    bare.git(&["remote", "remove", "origin"]);
    bare.git(&["worktree", "add", "-q", "../of-bare", "main"]);
    assert_eq!(name(&world.at("of-bare")), "bare");
    for (url, expected) in [
        ("https://example.org/team/product.git", "product"),
        ("git@example.org:team/product.git", "product"),
        ("git@example.org:product", "product"),
        ("ssh://git@example.org:22/team/product/", "product"),
        ("../relative/product.git", "product"),
        ("C:\\repos\\product.git", "product"),
    ] {
        repo.git(&["config", "remote.origin.url", url]);
        assert_eq!(name(&repo), expected, "{url}");
    }
    let named = repo.tomb_ok(&["store", "docs", "--dry-run", "--repo", "mine"]);
    assert_eq!(named.json()[0]["repo"], "mine");
}

#[test]
fn version_and_help_go_to_stdout_and_help_is_longer_than_h() {
    let world = World::new();
    let repo = world.init("empty");
    assert!(repo.tomb_ok(&["--version"]).stdout_text().ends_with(concat!(env!("CARGO_PKG_VERSION"), "\n")));
    for command in COMMANDS.iter().map(|command| &command[..1]).chain([&["schema"][..], &[]]) {
        let short = repo.tomb_ok(&[command, &["-h"]].concat());
        let long = repo.tomb_ok(&[command, &["--help"]].concat());
        assert!(short.stderr.is_empty() && long.stderr.is_empty(), "{command:?}");
        assert!(short.stdout.len() <= long.stdout.len(), "{command:?}");
        assert!(short.stdout_text().contains("Usage: git archive-tomb"), "{command:?}");
    }
    assert!(repo.tomb_ok(&["--help"]).stdout_text().contains("Exit codes:"));
    // Through git, where `-h` works without a man page.
    assert!(repo.git(&["archive-tomb", "-h"]).contains("Usage: git archive-tomb"));
}

#[test]
fn a_panic_is_told_without_secrets_and_ends_as_a_failure() {
    let world = World::new();
    let repo = world.sample("project");
    let run = repo
        .with("CODEX_ARCHIVE_URL", "postgres://user:canary-pa55@host/db?sslkey=canary-k3y")
        .with("GIT_ARCHIVE_TOMB_FAULT", "panic")
        .tomb(&["list"])
        .exits(1);
    assert!(run.stderr_text().starts_with("error: internal error at "), "{run}");
    assert!(run.stderr_text().contains("asked to panic over postgres://user:***@host"), "{run}");
    assert!(!run.all_text().contains("canary"), "{run}");
}

#[test]
fn the_page_has_every_command_option_and_exit_code() {
    const PAGE: &str = include_str!("../../docs/cli.md");
    let world = World::new();
    let repo = world.init("empty");
    let help = repo.tomb_ok(&["--help"]).stdout_text();
    let section = |start: &str, end: &str| {
        let rest = help.split_once(start).unwrap().1;
        rest.split_once(end).map_or(rest, |(section, _)| section).to_owned()
    };
    let commands = section("\nCommands:\n", "\n\n");
    let commands: BTreeSet<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let headings: BTreeSet<&str> =
        PAGE.lines().filter_map(|line| line.strip_prefix("### `")?.split(['`', ' ']).next()).collect();
    assert_eq!(headings, commands);
    for line in section("\nExit codes:\n", "\0").lines() {
        let (code, meaning) = line.trim().split_once(' ').unwrap();
        let row = PAGE.lines().find(|row| row.starts_with(&format!("| {code} |")));
        let meaning = meaning.trim();
        assert!(row.is_some_and(|row| row.contains(meaning)), "{code}: {meaning}: {row:?}");
    }
    let subcommands = [
        ("evidence", &["log", "digest", "verify"][..]),
        ("hooks", &["install", "uninstall", "status"]),
        ("hold", &["set", "release", "list"]),
    ];
    let mut all: Vec<Vec<&str>> = commands.iter().map(|command| vec![*command]).collect();
    all.extend(subcommands.iter().flat_map(|(command, subs)| subs.iter().map(move |sub| vec![*command, *sub])));
    for command in all {
        let help = repo.tomb_ok(&[&command[..], &["-h"]].concat()).stdout_text();
        let start = PAGE.find(&format!("### `{}", command[0])).unwrap();
        let text = &PAGE[start + 4..];
        let text = &text[..text.find("\n### ").unwrap_or(text.len())];
        let own = help.split("\nGlobal options:").next().unwrap();
        let options = own.split_whitespace().filter_map(|word| {
            // A value that may be left out is joined to its option.
            let option = word.split('[').next().unwrap().trim_end_matches([',', '.']);
            (option.starts_with("--") && option.len() > 2).then_some(option)
        });
        for option in options.filter(|option| *option != "--help") {
            assert!(text.contains(&format!("`{option}")), "{command:?} {option}");
        }
    }
    for option in
        section("\nGlobal options:\n", "\nExit codes").split_whitespace().filter(|word| word.starts_with("--"))
    {
        assert!(PAGE.contains(&format!("`{}", option.trim_end_matches("..."))), "{option}");
    }
}

#[test]
fn on_a_terminal_results_and_talk_come_in_the_order_in_which_they_are_said() {
    let world = World::new();
    let repo = archived(&world);
    if shell(&repo, "command -v script").code != Some(0) {
        return;
    }
    let shown = shell(&repo, "script -qec 'git-archive-tomb restore src/legacy' /dev/null").exits(0).stdout_text();
    let place = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text}: {shown}"));
    assert!(place("Restore started") < place("src/legacy/run.sh"), "{shown}");
    assert!(place("src/legacy/run.sh") < place("restored 2 files"), "{shown}");
}

#[test]
fn a_bar_is_for_terminals_only() {
    let world = World::new();
    let repo = world.sample("project");
    let mut child = repo
        .command(env!("CARGO_BIN_EXE_git-archive-tomb"))
        .args(["store", "."])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut talk = String::new();
    child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!talk.contains("archiving") && !talk.contains('\r'), "{talk}");
}
