//! What the benchmarks share: the surroundings of a command, and medians.

#![allow(dead_code, reason = "each helper serves some of the benchmarks")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Git's configuration in every benchmark.
const CONFIGURATION: &str = "[user]\n\tname = A Maintainer\n\temail = maintainer@example.org\n[init]\n\tdefaultBranch = main\n\
                             [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";

/// Makes the folder `world` fit for [`command`].
pub(crate) fn prepare(world: &Path) {
    std::fs::write(world.join("gitconfig"), CONFIGURATION).unwrap();
}

/// Writes `files` files of about 5 KB in folders of 100 below `old` in `top`.
pub(crate) fn write_files(top: &Path, files: usize) {
    let mut state = 7u32;
    for number in 0..files {
        let mut text = format!("# module {number}\n");
        while text.len() < 5_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            writeln!(text, "def name_{}(value):\n    return value + {}", state >> 20, state >> 24).unwrap();
        }
        let path = top.join(format!("old/{:03}/file{number:05}.py", number / 100));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

/// Returns a silent command that will run in `folder`, with this program found before any other.
pub(crate) fn command(world: &Path, folder: &Path, program: &str) -> Command {
    let ours = Path::new(env!("CARGO_BIN_EXE_git-archive-tomb")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(ours).chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env("PATH", path)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", world.join("gitconfig"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Runs `script` in `folder` and returns whether it succeeded.
pub(crate) fn shell(world: &Path, folder: &Path, script: &str) -> bool {
    command(world, folder, "sh").args(["-c", script]).status().is_ok_and(|status| status.success())
}

/// Runs a command and returns how long it took, if it succeeded. `git diff --quiet` says with 1 that there is a difference.
pub(crate) fn time(command: &mut Command) -> Option<Duration> {
    let clock = Instant::now();
    let code = command.status().ok()?.code();
    let time = clock.elapsed();
    let differs = code == Some(1) && command.get_args().any(|argument| argument == "--quiet");
    (code == Some(0) || differs).then_some(time)
}

/// Returns the median; `None` of nothing.
pub(crate) fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

/// Returns the numbers among the benchmark's own arguments.
pub(crate) fn numbers() -> Vec<usize> {
    std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect()
}
