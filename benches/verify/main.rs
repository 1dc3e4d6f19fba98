//! Measures what verification adds to a commit, and how the time of an audit grows with the repository.
//!
//! `cargo bench --bench verify` makes repositories below the system's temporary folder (`TMPDIR` chooses another), runs
//! every way in turn, many rounds, and prints the median times beside those of plain git in the same rounds.
//! `cargo bench --bench verify -- 10 5` takes 10 percent of the size and 5 rounds, and `-- keep FOLDER` leaves the repository
//! there to look closer at. What the figures mean: `docs/performance.md`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

#[path = "../common/mod.rs"]
mod common;
mod repository;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{command, median, numbers, prepare, shell, time};
use repository::{Shape, file_path, make};

/// What is run on each state of the index. The first is what the others are measured by.
const WAYS: [&[&str]; 7] = [
    &["git", "diff", "--cached", "--quiet"],
    &["git", "diff-index", "--cached", "--quiet", "HEAD"],
    &["git", "status"],
    &["git-archive-tomb", "--version"],
    &["git-archive-tomb", "verify", "--staged"],
    &["git-archive-tomb", "hooks", "run", "pre-commit"],
    &[".git/hooks/pre-commit"],
];

/// The audits whose growth is looked at.
const AUDITS: [&[&str]; 5] = [
    &["git-archive-tomb", "verify", "--all"],
    &["git-archive-tomb", "verify", "--range", "HEAD~200..HEAD"],
    &["git-archive-tomb", "evidence", "verify"],
    &["git-archive-tomb", "evidence", "digest"],
    &["git", "fsck", "--connectivity-only"],
];

fn main() {
    if let Some(folder) = std::env::args().skip_while(|argument| argument != "keep").nth(1) {
        prepare(Path::new(&folder));
        make_staged(Path::new(&folder), numbers().first().copied().unwrap_or(100));
        return;
    }
    let percent = numbers().first().copied().unwrap_or(100);
    let rounds = numbers().get(1).copied().unwrap_or(21);
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path();
    prepare(world);
    commits(world, percent, rounds);
    growth(world, percent, rounds.min(3));
}

/// Makes the repository `made` with what each state of its index is called, and how many bytes are staged there.
fn make_staged(world: &Path, percent: usize) -> [(&'static str, &'static str); 4] {
    let top = make(world, "made", Shape::promised(percent));
    let last = |count: usize| (0..count).map(|number| file_path(1_000 * percent - 200 - number)).collect::<Vec<_>>();
    std::fs::write(world.join("one"), last(1).join("\n")).unwrap();
    std::fs::write(world.join("thousand"), last(1_000).join("\n")).unwrap();
    let stage = "git checkout -q HEAD -- . && git archive-tomb init -q && git commit -qam init --no-verify --allow-empty && \
        cp .git/index ../nothing && \
        echo '# more' >>$(cat ../one) && git add -u && cp .git/index ../ordinary && git reset -q --hard && \
        git archive-tomb store -q --pathspec-from-file ../one && cp .git/index ../stub && git reset -q --hard && \
        git archive-tomb store -q --pathspec-from-file ../thousand && cp .git/index ../stubs && git reset -q --hard && \
        cp ../nothing .git/index";
    assert!(shell(world, &top, stage), "stages");
    [
        ("nothing", "nothing staged"),
        ("ordinary", "an ordinary change staged"),
        ("stub", "a stub staged"),
        ("stubs", "1,000 stubs staged"),
    ]
}

/// Prints what the check before a commit costs.
fn commits(world: &Path, percent: usize, rounds: usize) {
    let states = make_staged(world, percent);
    let top = world.join("made");
    for (index, name) in states {
        std::fs::copy(world.join(index), top.join(".git/index")).unwrap();
        assert!(shell(world, &top, "git status"));
        let commands = WAYS.map(|way| (way.join(" "), prepared(world, &top, way)));
        table(&format!("{name} ({rounds} rounds)"), rounds, commands);
        let commit = |options: &str| {
            let script = format!("git commit -q --allow-empty {options} -m x && git reset -q --soft HEAD~1");
            let mut command = command(world, &top, "sh");
            command.args(["-c", &script]);
            (format!("git commit {options}"), command)
        };
        table("the commit itself, and taking it back", rounds, [commit("--no-verify"), commit("")]);
    }
}

/// Prints how long audits take in repositories of different sizes and shapes.
fn growth(world: &Path, percent: usize, rounds: usize) {
    let promised = Shape::promised(percent);
    let per_record = Shape { operations: promised.operations * 20, records: Some(1), ordinary_commits: 0, ..promised };
    let shapes = [
        ("a quarter", Shape::promised(percent / 4)),
        ("half", Shape::promised(percent / 2)),
        ("whole", promised),
        ("double", Shape::promised(percent * 2)),
        ("half, one operation", Shape { operations: 1, records: Some(percent * 500), ..promised }),
        ("10,000 operations of one record", per_record),
    ];
    for (name, shape) in shapes {
        let top = make(world, "grown", shape);
        let commands = AUDITS.map(|way| (way.join(" "), prepared(world, &top, way)));
        table(&format!("{name}: {shape:?}"), rounds, commands);
        std::fs::remove_dir_all(top).unwrap();
    }
}

fn prepared(world: &Path, top: &Path, way: &[&str]) -> Command {
    let mut command = command(world, top, way[0]);
    command.args(&way[1..]);
    command
}

/// Runs the commands in turn and prints their medians, each beside the first one's.
fn table<const N: usize>(title: &str, rounds: usize, mut commands: [(String, Command); N]) {
    let mut times: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, command), times) in commands.iter_mut().zip(&mut times) {
            times.extend(time(command));
        }
    }
    println!("\n{title}");
    let medians = times.each_mut().map(|times| median(times));
    for ((name, _), time) in commands.iter().zip(medians) {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        match (time, medians[0]) {
            (Some(time), Some(first)) => println!(
                "  {name:<50} {:>10.1} ms {:>+10.1} ms {:>7.2} ×",
                milliseconds(time),
                milliseconds(time) - milliseconds(first),
                milliseconds(time) / milliseconds(first),
            ),
            _ => println!("  {name:<50} failed"),
        }
    }
}
