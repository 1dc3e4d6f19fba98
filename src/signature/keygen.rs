//! Running `ssh-keygen -Y`, with the arguments that git gives it, so that whatever replaces it for git works here too.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bstr::ByteSlice;
use tempfile::TempDir;

use super::{ArmorError, NAMESPACE, Signature};
use crate::clock::Timestamp;
use crate::git::GitError;

/// How much of what a program said is kept, in bytes.
const MAX_SAID: usize = 2048;

/// The most principals of one key that are tried.
const MAX_PRINCIPALS: usize = 64;

/// The key to sign with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A private key's file, or a public key's whose private half the agent holds.
    File(PathBuf),
    /// A public key itself, as in `ssh-ed25519 AAAA…`; the agent holds the private half.
    Literal(String),
}

/// Signs.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The program: `ssh-keygen`, or what git has in its place.
    pub program: OsString,
    /// The key.
    pub key: Key,
}

/// Says whose signatures are.
#[derive(Debug, Clone)]
pub struct AllowedSigners {
    /// The program: `ssh-keygen`, or what git has in its place.
    pub program: OsString,
    /// The file that names who may sign with which keys, for what and when; see `ssh-keygen(1)`, ALLOWED SIGNERS.
    pub file: PathBuf,
    /// The keys that are revoked: a KRL, or a list of public keys.
    pub revoked: Option<PathBuf>,
}

/// Whose a signature is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An allowed signer's.
    Good {
        /// The signer, as the allowed-signers file has it.
        principal: String,
        /// The fingerprint of the key.
        key: String,
    },
    /// It is one over the message; nobody who may sign made it.
    Untrusted {
        /// The fingerprint of the key.
        key: String,
        /// Why it counts for nothing, as a clause.
        why: String,
    },
    /// It is none over this message in this namespace.
    Forged,
}

/// Why nothing was signed, or no signature could be judged.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The program cannot be started.
    #[error("cannot start `{}`", Path::new(program).display())]
    Program {
        /// The program.
        program: OsString,
        /// The cause.
        source: io::Error,
    },
    /// No key is configured.
    #[error("git knows no key to sign with")]
    NoKey,
    /// Git signs with something else than SSH keys.
    #[error("git signs with `{format}` here, not with SSH keys")]
    OtherFormat {
        /// The value of `gpg.format`.
        format: String,
    },
    /// The command that should print a key did not.
    #[error("`gpg.ssh.defaultKeyCommand` gave no key{}", and_said(said))]
    KeyCommand {
        /// What it said.
        said: String,
    },
    /// The program did not sign.
    #[error("`{}` did not sign{}", Path::new(program).display(), and_said(said))]
    Refused {
        /// The program.
        program: OsString,
        /// What it said.
        said: String,
    },
    /// What the program wrote is no signature.
    #[error("`{}` wrote something else than a signature", Path::new(program).display())]
    NoSignature {
        /// The program.
        program: OsString,
        /// What is wrong with it.
        source: ArmorError,
    },
    /// What the program wrote is a signature over something else.
    #[error("`{}` wrote a signature that does not fit what was signed", Path::new(program).display())]
    WrongSignature {
        /// The program.
        program: OsString,
    },
    /// The program accepted a signature and did not say whose.
    #[error("`{}` answered in an unknown form", Path::new(program).display())]
    UnexpectedAnswer {
        /// The program.
        program: OsString,
    },
    /// A file that says whom to believe cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The temporary files for the program could not be made or read.
    #[error("cannot use a temporary folder")]
    Scratch(#[from] io::Error),
    /// Git's configuration could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Signer {
    /// Signs `message`. The program may ask the user for a passphrase or a touch.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        let scratch = Scratch::new(message)?;
        let mut command = command(&self.program);
        command.args(["-Y", "sign", "-n", NAMESPACE, "-f"]);
        match &self.key {
            Key::File(path) => command.arg(path),
            Key::Literal(key) => {
                let path = scratch.folder.path().join("key.pub");
                std::fs::write(&path, format!("{key}\n"))?;
                // The private half is the agent's.
                command.arg(path).arg("-U")
            }
        };
        let output = run(command.arg(scratch.message()))?;
        let refused = || SignatureError::Refused { program: self.program.clone(), said: said(&output.stderr) };
        if !output.status.success() {
            return Err(refused());
        }
        let armored = std::fs::read(scratch.signature()).map_err(|_| refused())?;
        let signature = Signature::from_output(&armored)
            .map_err(|source| SignatureError::NoSignature { program: self.program.clone(), source })?;
        // In a folder of its own: the program may have written to the other one.
        match Scratch::new(message)?.fingerprint(&self.program, &signature)? {
            Some(_) => Ok(signature),
            None => Err(SignatureError::WrongSignature { program: self.program.clone() }),
        }
    }
}

impl AllowedSigners {
    /// Judges the signature of `message`, as of the moment `at`.
    pub fn judge(&self, message: &[u8], signature: &Signature, at: Timestamp) -> Result<Verdict, SignatureError> {
        for path in std::iter::once(&self.file).chain(&self.revoked) {
            File::open(path).map_err(|source| SignatureError::Unreadable { path: path.clone(), source })?;
        }
        let scratch = Scratch::new(message)?;
        // First whether it is a signature over this at all: what follows then is about whom to believe.
        let Some(key) = scratch.fingerprint(&self.program, signature)? else { return Ok(Verdict::Forged) };
        let mut time = OsString::from("-Overify-time=");
        time.push(at.compact().replace(['T', 'Z'], ""));
        let mut command = command(&self.program);
        command.args(["-Y", "find-principals", "-f"]).arg(&self.file).arg("-s").arg(scratch.signature()).arg(&time);
        let found = run(&mut command)?;
        let mut why = said(&found.stderr);
        let principals = if found.status.success() { found.stdout.to_str_lossy().into_owned() } else { String::new() };
        for principal in principals.lines().filter(|line| !line.is_empty()).take(MAX_PRINCIPALS) {
            let verified = self.verify(&scratch, principal, &time, self.revoked.as_deref())?;
            if verified.status.success() {
                // The line that allows it may be another one than that of the key asked about first.
                let key = fingerprint(&verified.stdout).ok_or_else(|| self.unexpected())?;
                return Ok(Verdict::Good { principal: principal.to_owned(), key });
            }
            why = said(&verified.stderr);
            if self.revoked.is_some() && self.verify(&scratch, principal, &time, None)?.status.success() {
                "its key is revoked".clone_into(&mut why);
            }
        }
        if why.is_empty() {
            "no allowed signer has its key".clone_into(&mut why);
        }
        Ok(Verdict::Untrusted { key, why })
    }

    fn verify(
        &self,
        scratch: &Scratch,
        principal: &str,
        time: &OsStr,
        revoked: Option<&Path>,
    ) -> Result<Output, SignatureError> {
        let mut command = command(&self.program);
        command.args(["-Y", "verify", "-n", NAMESPACE, "-f"]).arg(&self.file).arg("-I").arg(principal);
        command.arg("-s").arg(scratch.signature()).arg(time);
        if let Some(revoked) = revoked {
            command.arg("-r").arg(revoked);
        }
        run(command.stdin(File::open(scratch.message())?))
    }

    fn unexpected(&self) -> SignatureError {
        SignatureError::UnexpectedAnswer { program: self.program.clone() }
    }
}

/// A message and its signature in files, for as long as programs need them.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new(message: &[u8]) -> Result<Self, SignatureError> {
        let scratch = Self { folder: tempfile::Builder::new().prefix("archive-tomb-").tempdir()? };
        std::fs::write(scratch.message(), message)?;
        Ok(scratch)
    }

    fn message(&self) -> PathBuf {
        self.folder.path().join("statement")
    }

    /// Returns where `ssh-keygen` puts the signature of the message.
    fn signature(&self) -> PathBuf {
        self.folder.path().join("statement.sig")
    }

    /// Returns the fingerprint of the key that signed the message, if `signature` is one over it; whose it is, is not asked.
    /// The signature is in its file from then on.
    fn fingerprint(&self, program: &OsStr, signature: &Signature) -> Result<Option<String>, SignatureError> {
        std::fs::write(self.signature(), signature.to_string())?;
        let mut command = command(program);
        command.args(["-Y", "check-novalidate", "-n", NAMESPACE, "-s"]).arg(self.signature());
        let checked = run(command.stdin(File::open(self.message())?))?;
        if !checked.status.success() {
            return Ok(None);
        }
        let unexpected = || SignatureError::UnexpectedAnswer { program: program.to_owned() };
        fingerprint(&checked.stdout).map(Some).ok_or_else(unexpected)
    }
}

/// Returns the program with what all runs have in common.
fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command
        .env("LC_ALL", "C")
        // Times without a zone mean the same on every machine, and all releases read them, unlike those with one.
        .env("TZ", "UTC0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(command: &mut Command) -> Result<Output, SignatureError> {
    let output = command.spawn().and_then(std::process::Child::wait_with_output);
    output.map_err(|source| SignatureError::Program { program: command.get_program().to_owned(), source })
}

/// Returns the fingerprint in `Good "…" signature for … with ED25519 key SHA256:…`.
fn fingerprint(answer: &[u8]) -> Option<String> {
    let line = answer.lines().next()?.to_str().ok()?;
    let fingerprint = line.rsplit(' ').next()?;
    (line.starts_with("Good ") && fingerprint.starts_with("SHA256:")).then(|| fingerprint.to_owned())
}

/// Returns what a program said, in one line and not too much of it.
pub(super) fn said(stderr: &[u8]) -> String {
    let text = stderr[..stderr.len().min(MAX_SAID)].to_str_lossy();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    // It names its temporary file first, which tells nobody anything.
    lines.filter(|line| !line.starts_with("Signing ")).collect::<Vec<_>>().join("; ")
}

fn and_said(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}
