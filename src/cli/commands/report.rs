//! `report`: how things stand, for people who have to answer for them.

use std::fmt::{Display, Write as _};
use std::path::PathBuf;

use clap::Args;
use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::governance::overview::{Given, Listed, OpenRequest, Overview, overview};
use git_archive_tomb::governance::rules::{Judge, Policy};
use git_archive_tomb::governance::{Obstacle, Verdicts};
use git_archive_tomb::id::Tombstone;
use git_archive_tomb::item::{Date, RepoPath};
use git_archive_tomb::quote::{printable, quote};

use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::output::counted;
use crate::cli::session::{Session, shown};
use crate::cli::signing::known_signers;
use crate::cli::when::parse_day;
use crate::cli::wrap::wrap;

/// Report how things stand
///
/// With `--governance`: the requests that stand, with their approvals and what is in the way, the holds, what is due, and
/// what was purged; from the archive and from the evidence of every reference.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Report on requests, approvals, holds, dates and purges
    #[arg(long)]
    governance: bool,
    /// Write the report to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Which dates are near: a date, or days from today such as `30d`
    #[arg(long, value_name = "DATE|DAYS", default_value = "30d", requires = "governance")]
    within: String,
}

/// Runs the command.
pub(crate) fn run(arguments: &ReportArguments, session: &mut Session<'_>) -> Result<Exit, CommandError> {
    if !arguments.governance {
        return Err(CommandError::new(Exit::Usage, "there is no report but that on governance yet")
            .hint("`git archive-tomb report --governance`"));
    }
    let now = Timestamp::now();
    let due_until = parse_day("--within", &arguments.within, Date(now.date()))?;
    let mut archive = session.archive_if_any()?;
    let id = archive.as_deref().map(|archive| archive.id().to_owned());
    let signers = known_signers(session)?;
    let policy = Policy::from(&session.config()?.governance);
    if policy.signed && signers.is_none() {
        session.output.warn("nobody is named whose signatures count: here no request, approval or release does");
        session.output.hint("name a file of allowed signers: `git config gpg.ssh.allowedSignersFile <file>`");
    }
    let verdicts = Verdicts::new(signers);
    let judge = Judge { policy, verifier: &verdicts, archive: id.as_deref(), now };
    let origin = session.known_origin()?;
    let overview = overview(&session.repository, archive.as_deref_mut(), &judge, &origin, due_until)?;
    match &arguments.output {
        None if session.output.json => session.output.object(&overview)?,
        None => session.output.line(text(&overview).trim_end())?,
        Some(file) => {
            let text = if session.output.json {
                serde_json::to_string(&overview).map_err(|error| CommandError::from_error(Exit::Failed, &error))? + "\n"
            } else {
                text(&overview)
            };
            git_archive_tomb::fs::replace(&session.directory().join(file), text.as_bytes()).map_err(|error| {
                CommandError::new(Exit::Failed, format!("cannot write {}", shown(file))).caused_by(error.to_string())
            })?;
            session.output.say(format_args!("wrote {}", shown(file)));
        }
    }
    Ok(Exit::Done)
}

/// Returns the report for people.
fn text(overview: &Overview) -> String {
    let mut text = String::new();
    // A `String` takes everything.
    let _ = write(overview, &mut text);
    text
}

fn write(overview: &Overview, text: &mut String) -> std::fmt::Result {
    match &overview.archive {
        Some(archive) => writeln!(text, "governance at {}\nof archive {archive}", overview.at)?,
        None => writeln!(text, "governance at {},\nas evidence tells: there is no archive here", overview.at)?,
    }
    heading(text, "requests that stand", overview.requests.len())?;
    for request in &overview.requests {
        write_request(request, overview.at, text)?;
    }
    if !overview.void_requests.is_empty() {
        heading(text, "requests that do not count", overview.void_requests.len())?;
    }
    for request in &overview.void_requests {
        writeln!(text, "  {}", item(&request.tombstone, request.path.as_ref()))?;
        indented(text, 4, &format!("{}{}", age(request.at, overview.at), by(request.by.as_deref(), None)))?;
        let id = quote(request.request.as_bytes());
        indented(text, 4, &format!("request {id} {}", printable(&request.why)))?;
    }
    heading(text, "holds", overview.holds.len())?;
    let mut case = None;
    for hold in &overview.holds {
        if case != Some(&hold.name) {
            case = Some(&hold.name);
            writeln!(text, "  {}", hold.name.as_ref().map_or("without a name".into(), |name| quote(name.as_bytes())))?;
        }
        writeln!(text, "    {}", item(&hold.tombstone, hold.path.as_ref()))?;
        let at = hold.at.map(|at| format!("since {}", at.date())).unwrap_or_default();
        let places = match (hold.in_archive, &hold.evidence) {
            (true, Some(_)) => "in the archive and in evidence",
            (true, None) => "in the archive",
            _ => "in evidence",
        };
        indented(text, 6, &format!("{at}{}, {places}", by(hold.by.as_deref(), hold.reason.as_deref())))?;
        if let Some(why) = &hold.release_void {
            indented(text, 6, &format!("its release does not count: {}", printable(why)))?;
        }
    }
    if !overview.restore_approvals.is_empty() {
        heading(text, "approvals of restores", overview.restore_approvals.len())?;
    }
    for given in &overview.restore_approvals {
        let of = given.tombstone.map(|tombstone| item(&tombstone, given.path.as_ref())).unwrap_or_default();
        writeln!(text, "  {of}")?;
        indented(text, 4, &approval(given, overview.at))?;
    }
    heading(text, &format!("may be destroyed by {}, by their dates", overview.due_until), overview.due.count)?;
    for due in &overview.due.first {
        let held = if due.legal_hold { ", held" } else { "" };
        let when = if due.delete_after.0 <= overview.at.date() { "due" } else { "near" };
        writeln!(text, "  {}  {when}{held}\n    {}", due.delete_after, item(&due.tombstone, Some(&due.path)))?;
    }
    rest(text, &overview.due)?;
    heading(text, "purges that are not finished", overview.unfinished.len())?;
    for purge in &overview.unfinished {
        writeln!(text, "  {}", item(&purge.tombstone, None))?;
        let by = by(Some(&format!("{} and {}", purge.by, purge.second)), Some(&purge.reason));
        indented(text, 4, &format!("begun {}{by}", purge.begun_at))?;
        writeln!(text, "    finish it with `git archive-tomb doctor --continue`")?;
    }
    heading(text, "purged", overview.purges.count)?;
    for purged in &overview.purges.first {
        let of = purged.tombstone.map(|tombstone| item(&tombstone, purged.path.as_ref())).unwrap_or_default();
        let both: Vec<&str> = purged.by.iter().chain(&purged.second).map(String::as_str).collect();
        writeln!(text, "  {of}")?;
        indented(text, 4, &format!("{}{}", purged.at, by(Some(&both.join(" and ")), purged.reason.as_deref())))?;
    }
    rest(text, &overview.purges)?;
    if !overview.unfounded.is_empty() {
        heading(text, "purges that do not count by the rules here", overview.unfounded.len())?;
    }
    for purge in &overview.unfounded {
        writeln!(text, "  {}", item(&purge.tombstone, purge.path.as_ref()))?;
        let lacks = purge.obstacle.to_string();
        indented(text, 4, &format!("{}; {}", printable(&lacks), purge.kind.meaning()))?;
    }
    if !overview.unreadable.is_empty() {
        heading(text, "evidence that cannot be read", overview.unreadable.len())?;
    }
    for unreadable in &overview.unreadable {
        writeln!(text, "  {}: {}", printable(&unreadable.file), printable(&unreadable.why))?;
    }
    Ok(())
}

fn write_request(request: &OpenRequest, now: Timestamp, text: &mut String) -> std::fmt::Result {
    writeln!(text, "  {}", item(&request.tombstone, request.path.as_ref()))?;
    indented(text, 4, &format!("{}{}", age(request.at, now), by(request.by.as_deref(), request.reason.as_deref())))?;
    let others = match request.items {
        0 | 1 => String::new(),
        items => {
            let has = if items == 2 { "has" } else { "have" };
            format!(", with {} that {has} the bytes", counted(items - 1, "other item"))
        }
    };
    let (id, expires) = (quote(request.request.as_bytes()), expires(request.expires_at, now));
    indented(text, 4, &format!("request {id}{expires}{others}"))?;
    for given in &request.approvals {
        indented(text, 4, &approval(given, now))?;
    }
    for obstacle in &request.in_the_way {
        // Who set a hold, and where, stands among the holds.
        let shown = match obstacle {
            Obstacle::Hold { hold } => {
                let path = hold.path.as_ref().map(|path| format!(" {path}")).unwrap_or_default();
                format!("a hold on {}{path}", hold.tombstone)
            }
            other => other.to_string(),
        };
        indented(text, 4, &format!("in the way: {}", printable(&shown)))?;
    }
    if request.in_the_way.is_empty() && !request.approvals.is_empty() {
        writeln!(text, "    nothing is known to be in the way")?;
    }
    Ok(())
}

fn approval(given: &Given, now: Timestamp) -> String {
    let by = quote(given.by.as_bytes());
    format!("approved by {by} {}{}", age(given.at, now), expires(given.expires_at, now))
}

fn heading(text: &mut String, what: &str, count: usize) -> std::fmt::Result {
    writeln!(text, "\n{what}: {count}")
}

/// Writes a text that far from the edge, and what does not fit into the line a little farther.
fn indented(text: &mut String, by: usize, what: &str) -> std::fmt::Result {
    writeln!(text, "{}", wrap(&" ".repeat(by), &" ".repeat(by + 2), what))
}

fn rest<T>(text: &mut String, listed: &Listed<T>) -> std::fmt::Result {
    match listed.count - listed.first.len() {
        0 => Ok(()),
        more => writeln!(text, "  and {more} more"),
    }
}

fn item(tombstone: &Tombstone, path: Option<&RepoPath>) -> String {
    path.map_or_else(|| tombstone.to_string(), |path| format!("{tombstone}  {path}"))
}

fn by(by: Option<&str>, reason: Option<&str>) -> String {
    let by = by.map(|by| format!(" by {}", quote(by.as_bytes()))).unwrap_or_default();
    reason.map_or(by.clone(), |reason| format!("{by}: {}", quote(reason.as_bytes())))
}

/// Returns how long ago something was.
fn age(at: Timestamp, now: Timestamp) -> impl Display {
    match days(at, now) {
        days if days < 0 => "in the future".to_owned(),
        0 => "today".to_owned(),
        days => format!("{} ago", counted(usize::try_from(days).unwrap_or(usize::MAX), "day")),
    }
}

/// Returns how long something still counts.
fn expires(at: Option<Timestamp>, now: Timestamp) -> String {
    // A day that has begun is one: what was just made stands for all its days.
    match at.map(|at| -days(at, now)) {
        None => String::new(),
        Some(days) if days < 0 || at.is_some_and(|at| at <= now) => ", expired".to_owned(),
        Some(0 | 1) => ", expires within a day".to_owned(),
        Some(days) => format!(", expires in {}", counted(usize::try_from(days).unwrap_or(usize::MAX), "day")),
    }
}

/// Returns how many whole days there are between two moments, downwards.
fn days(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_millisecond() - from.as_millisecond()).div_euclid(86_400_000)
}
