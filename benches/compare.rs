//! Compares storing, restoring and searching with what one would do without this program, side by side in one run.
//!
//! `cargo bench --bench compare` makes files below the system's temporary folder (`TMPDIR` chooses another), runs each
//! way in turn, several rounds, each time on a fresh copy, and prints the median times and their ratio to the first way.
//! `cargo bench --bench compare -- 10000 5` takes 10,000 files and 5 rounds, `-- searching 10000 5` only the part that
//! begins with that word. What the figures mean: `docs/performance.md`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{command, median, numbers, prepare, shell, time, write_files};

/// What is compared, with the shell commands of each way. The first way of each part is what the others are measured by.
const PARTS: &[(&str, &[(&str, &str)])] = &[
    (
        "taking files out",
        &[
            ("git rm, git commit", "git rm -rq old && git commit -qm removed"),
            (
                "git archive-tomb store, git commit",
                "git archive-tomb store -q old >/dev/null && git commit -qm archived",
            ),
            (
                "git archive-tomb batch-store, git commit",
                "(echo path; git ls-files old) | git archive-tomb batch-store -q - >/dev/null && git commit -qm archived",
            ),
            ("tar --zstd", "tar --zstd -cf ../old.tar.zst old"),
            ("git archive | zstd", "git archive HEAD old | zstd -qfo ../old.tar.zst"),
        ],
    ),
    (
        "bringing them back",
        &[
            ("git checkout HEAD~1", "git checkout -q HEAD~1 -- old"),
            ("git archive-tomb restore", "git archive-tomb restore -q old >/dev/null"),
            ("git archive-tomb restore, from history", "git archive-tomb restore -q --from history old >/dev/null"),
            ("tar --zstd -x", "tar --zstd -xf ../old.tar.zst"),
        ],
    ),
    (
        "searching them",
        &[
            (
                "git archive-tomb restore, git grep",
                "git archive-tomb restore -q old >/dev/null && git grep -nE 'name_12[0-9]+' -- old",
            ),
            ("git archive-tomb grep", "git archive-tomb grep -n 'name_12[0-9]+'"),
            ("git archive-tomb grep, no match", "git archive-tomb grep -n nowhere; test $? = 1"),
            ("git archive-tomb grep -c, every line", "git archive-tomb grep -c ''"),
            ("git grep HEAD~1", "git grep -nE 'name_12[0-9]+' HEAD~1 -- old"),
        ],
    ),
];

fn main() {
    let numbers = numbers();
    let files = numbers.first().copied().unwrap_or(2_000);
    let rounds = numbers.get(1).copied().unwrap_or(3).max(1);
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path();
    make_repository(world, files);
    println!("{files} files, {rounds} rounds, median times");
    let named: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument.starts_with(char::is_alphabetic)).collect();
    let is_wanted = |part: &str| named.is_empty() || named.iter().any(|name| part.starts_with(name));
    for (part, ways) in PARTS.iter().filter(|(part, _)| is_wanted(part)) {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for ((name, script), times) in ways.iter().zip(&mut times) {
                times.extend(measure(world, part, name, script));
            }
        }
        println!("\n{part}");
        let medians: Vec<_> = times.iter_mut().map(|times| median(times)).collect();
        for ((name, _), time) in ways.iter().zip(&medians) {
            match (time, medians[0]) {
                (Some(time), Some(first)) => {
                    println!(
                        "  {name:<40} {:>8.3} s {:>7.2} ×",
                        time.as_secs_f64(),
                        time.as_secs_f64() / first.as_secs_f64()
                    );
                }
                _ => println!("  {name:<40} is not possible here"),
            }
        }
    }
}

/// Makes the repository that every run copies: `files` files of about 5 KB in folders of 100, committed and packed.
fn make_repository(world: &Path, files: usize) {
    prepare(world);
    let top = world.join("made");
    write_files(&top, files);
    // The copies are named after the remote, which need not be there: an item comes back from history where it went from.
    let script =
        "git init -q && git remote add origin ../project.git && git add -A && git commit -qm first && git gc -q";
    assert!(shell(world, &top, script), "makes the repository");
    // What was archived, and its equal in a `tar` file, for the way back.
    let script = "cp -a ../made ../stored && tar --zstd -cf ../old.tar.zst old; cd ../stored && \
                  git archive-tomb store -q old >/dev/null && git commit -qm archived";
    assert!(shell(world, &top, script), "archives the files");
    assert!(shell(
        world,
        &top,
        "cp -a ../made ../removed && cd ../removed && git rm -rq old && git commit -qm removed"
    ));
}

/// Runs one way on a fresh copy of what it starts from, and returns how long it took; `None` if it failed.
fn measure(world: &Path, part: &str, name: &str, script: &str) -> Option<Duration> {
    let start = match (part, name.contains("archive-tomb")) {
        ("taking files out", _) => "made",
        ("searching them", _) | (_, true) => "stored",
        (_, false) => "removed",
    };
    let copy = world.join("copy");
    // What copying left to be written is not to be paid for by what is measured.
    assert!(shell(
        world,
        world,
        &format!("rm -rf copy && cp -a {start} copy && cd copy && git status >/dev/null; sync")
    ));
    time(command(world, &copy, "sh").args(["-c", script]))
}
