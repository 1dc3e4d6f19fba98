//! Starting `git`: the environment a child gets, and talking to it without deadlock.

use std::ffi::OsString;
use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use bstr::ByteSlice;

use super::GitError;

/// How much of a child's standard error is kept, in bytes.
const MAX_STDERR: usize = 16 * 1024;

/// How to start `git` on one repository.
///
/// Discovery looked at the caller's environment once; from then on every child is told the same absolute places, so
/// that it neither searches again nor depends on the folder it runs in. Everything else (`GIT_CONFIG_*`, quarantine
/// object directories of a receiving hook, tracing) is inherited.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    /// Where children run: the top of the working tree, else the git directory.
    pub(crate) dir: PathBuf,
    /// What differs from our own environment; `None` is not set. Later ones win.
    pub(crate) env: Vec<(String, Option<OsString>)>,
}

impl Git {
    /// Sets a variable for all children.
    pub(crate) fn pin(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.push((name.to_owned(), Some(value.into())));
    }

    /// Returns a `git` command that still looks for its repository as the user's git would.
    pub(crate) fn discovering_command(&self, arguments: &[&str]) -> Command {
        let mut command = base();
        command.current_dir(&self.dir);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(arguments);
        command
    }

    /// Returns a `git` command whose first arguments are `configuration` (each `key=value`) and then `arguments`.
    pub(crate) fn command(&self, configuration: &[&str], arguments: &[&str]) -> Command {
        let pairs = configuration.iter().flat_map(|pair| ["-c", pair]);
        let arguments: Vec<&str> = pairs.chain(arguments.iter().copied()).collect();
        let mut command = self.discovering_command(&arguments);
        command.env_remove("GIT_PREFIX");
        command
    }

    /// Returns a command that only reads: it takes no lock, not even to refresh the index.
    pub(crate) fn read_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&[], arguments);
        command.env("GIT_OPTIONAL_LOCKS", "0");
        command
    }
}

/// Returns `git` with what all children have in common: messages in English, no questions, no replaced objects.
fn base() -> Command {
    let mut command = Command::new("git");
    command
        // What it says of the grafts file below would hide what a failing child says.
        .args(["-c", "advice.graftFileDeprecated=false"])
        .env("LC_ALL", "C")
        .env("LANGUAGE", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        // Grafts are the older form of replacing a commit's parents.
        .env("GIT_GRAFT_FILE", if cfg!(windows) { "NUL" } else { "/dev/null" })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts `command`.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, GitError> {
    command.spawn().map_err(GitError::GitNotFound)
}

/// What a finished child left.
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// Returns the standard output of a child that succeeded.
    pub(crate) fn ok(self, name: &'static str) -> Result<Vec<u8>, GitError> {
        if self.success { Ok(self.stdout) } else { Err(GitError::Failed { command: name, detail: self.stderr }) }
    }
}

/// Runs `command` with `input` and returns all it prints.
pub(crate) fn run(name: &'static str, command: &mut Command, input: &[u8]) -> Result<Output, GitError> {
    let mut stdout = Vec::new();
    let read = |pipe: &mut dyn io::BufRead| {
        pipe.read_to_end(&mut stdout).map(drop).map_err(|source| GitError::Pipe { command: name, source })
    };
    let status = if input.is_empty() {
        listen(name, command, read)?
    } else {
        stream(name, command, |pipe| pipe.write_all(input), read)?
    };
    Ok(Output { stdout, ..status })
}

/// Runs `command` without input, with `read` consuming what it prints.
pub(crate) fn listen(
    name: &'static str,
    command: &mut Command,
    read: impl FnOnce(&mut dyn io::BufRead) -> Result<(), GitError>,
) -> Result<Output, GitError> {
    converse(name, command.stdin(Stdio::null()), |_| Ok(()), read)
}

/// Runs `command`, with `write` feeding it from a thread of its own and `read` consuming what it prints.
///
/// A child that stops reading early is no error here: its exit status tells.
pub(crate) fn stream(
    name: &'static str,
    command: &mut Command,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    read: impl FnOnce(&mut dyn io::BufRead) -> Result<(), GitError>,
) -> Result<Output, GitError> {
    converse(name, command.stdin(Stdio::piped()), write, read)
}

fn converse(
    name: &'static str,
    command: &mut Command,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    read: impl FnOnce(&mut dyn io::BufRead) -> Result<(), GitError>,
) -> Result<Output, GitError> {
    let mut child = spawn(command)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (written, reading, stderr) = std::thread::scope(|scope| {
        let writer = stdin.map(|pipe| {
            scope.spawn(move || {
                let mut pipe = io::BufWriter::with_capacity(64 * 1024, pipe);
                write(&mut pipe).and_then(|()| pipe.flush())
            })
        });
        let errors = scope.spawn(move || stderr.map(drain_stderr).unwrap_or_default());
        // The pipe closes when this ends, also early: the child then stops by itself and the writer with it.
        let reading = stdout.map_or(Ok(()), |pipe| read(&mut BufReader::with_capacity(64 * 1024, pipe)));
        let panicked = |_| Err(io::Error::other("the writing thread panicked"));
        let written = writer.map_or(Ok(()), |writer| writer.join().unwrap_or_else(panicked));
        (written, reading, errors.join().unwrap_or_default())
    });
    let status = child.wait().map_err(|source| GitError::Pipe { command: name, source })?;
    match reading {
        // What a failing child says explains more than that it stopped talking.
        Err(GitError::Pipe { .. } | GitError::UnexpectedAnswer { .. }) if !status.success() && !stderr.is_empty() => {}
        reading => reading?,
    }
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(GitError::Pipe { command: name, source: error });
        }
        _ => {}
    }
    Ok(Output { success: status.success(), code: status.code(), stdout: Vec::new(), stderr })
}

/// Reads standard error to its end, keeps its beginning, and makes it safe to print.
pub(crate) fn drain_stderr(mut pipe: impl Read) -> String {
    let mut kept = Vec::new();
    let _ = pipe.by_ref().take(MAX_STDERR as u64).read_to_end(&mut kept);
    let _ = io::copy(&mut pipe, &mut io::sink());
    let text = kept.to_str_lossy();
    let lines = text.lines().map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: ").trim());
    let joined = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    joined.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}
