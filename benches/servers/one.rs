//! What one item costs in a small and in a large archive: its bytes, and not the archive's size.

use std::path::Path;
use std::time::Duration;

use super::common::{command, median, shell, time};
use super::link::Link;

/// How often each command is run.
const TIMES: usize = 9;

/// What is done with the one item.
const COMMANDS: &[(&str, &str)] = &[
    ("restore in place", "git archive-tomb restore -q one.py"),
    ("restore to a file", "git archive-tomb restore -q one.py ../one.out"),
    ("cat", "git archive-tomb cat one.py"),
];

/// What the commands took: median times, and the round trips of one run of each.
pub(crate) struct One {
    pub(crate) times: Vec<Duration>,
    pub(crate) turns: Vec<Option<u64>>,
}

/// Measures the commands in a repository of one file, whose archive at `url` has many items already.
pub(crate) fn measure(world: &Path, url: &str, link: Option<&Link>) -> One {
    let repository = world.join("one");
    let make =
        "rm -rf one && mkdir one && cd one && git init -q && seq 1000 >one.py && git add . && git commit -qm first";
    assert!(shell(world, world, make));
    let run = |script: &str| {
        let mut shell = command(world, &repository, "sh");
        shell.args(["-c", script]).env("CODEX_ARCHIVE_URL", url);
        time(&mut shell).unwrap_or_else(|| panic!("{script} failed"))
    };
    run("git archive-tomb init --no-hooks && git archive-tomb store -q one.py && git commit -qm stub");
    let mut one = One { times: Vec::new(), turns: Vec::new() };
    for (_, script) in COMMANDS {
        let mut times = Vec::new();
        let mut turns = None;
        for _ in 0..TIMES {
            if let Some(link) = link {
                link.turns();
            }
            times.push(run(script));
            turns = link.map(Link::turns);
            run("git reset -q --hard && rm -f ../one.out");
        }
        one.times.push(median(&mut times).unwrap());
        one.turns.push(turns);
    }
    one
}

/// Prints what the commands took in an archive of few items and in one of many.
#[expect(clippy::print_stdout, reason = "printing is what a benchmark is for")]
pub(crate) fn print(place: &str, few: &One, many: &One) {
    for (number, (name, _)) in COMMANDS.iter().enumerate() {
        let (of_few, of_many) = (few.times[number].as_secs_f64(), many.times[number].as_secs_f64());
        let turns = |one: &One| one.turns[number].map_or(String::new(), |turns| format!(" ({turns} round trips)"));
        println!(
            "  {place:<24} {name:<18} {of_few:>7.3} s{} {of_many:>7.3} s{} {:>6.2} ×",
            turns(few),
            turns(many),
            of_many / of_few
        );
    }
}
