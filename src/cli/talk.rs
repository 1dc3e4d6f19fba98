//! Talk: what standard error gets, without secrets and without anything a terminal would obey.
//!
//! The last guard, behind those of the library: every message passes here, whoever wrote it, a panic's included.

use std::any::Any;
use std::fmt::Display;
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::{PoisonError, RwLock};

use git_archive_tomb::quote::printable;
use git_archive_tomb::redact::Redactor;

/// Know this run's secrets, once the configuration and the arguments are read. A panic's message has no other way to them.
static REDACTORS: RwLock<Vec<Redactor>> = RwLock::new(Vec::new());

/// Hides the secrets that `redactor` knows from now on.
pub(crate) fn hide(redactor: Redactor) {
    REDACTORS.write().unwrap_or_else(PoisonError::into_inner).push(redactor);
}

/// Returns `text` without secrets. What looks like a URL with a password is hidden also before any is known.
pub(crate) fn redacted(text: &str) -> String {
    let redactors = REDACTORS.read().unwrap_or_else(PoisonError::into_inner);
    let text = redactors.iter().fold(text.to_owned(), |text, redactor| redactor.redact(&text).into_owned());
    Redactor::new().redact(&text).into_owned()
}

/// Returns `text` without secrets, each of its lines harmless to a terminal.
pub(crate) fn harmless(text: impl Display) -> String {
    let text = redacted(&text.to_string());
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Prints a line on standard error. Where nobody listens there is nobody to tell.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Makes a panic say what a user can do about it, without secrets.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        print(&harmless(format_args!("error: internal error{place}: {}", payload(panic.payload()))));
        print("hint: this is a bug in git-archive-tomb; please report it with the lines above");
    }));
}

fn payload(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
