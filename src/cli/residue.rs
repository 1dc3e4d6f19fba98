//! Where a content still is, as people read it.

use std::fmt::Write as _;

use git_archive_tomb::quote::quote;
use git_archive_tomb::residue::{Kind, MAX_NAMED, Residue};

use super::wrap::wrap;

/// What no look into this repository tells.
const ELSEWHERE: &str = "then push what was rewritten by force, and have everybody clone anew: other clones, forks, pull \
                         requests and caches of hosts, and backups keep what they have, and were not looked at";

/// Returns the report as text: what was found, what is not known, and the commands, which a shell takes as they stand.
pub(crate) fn text(residue: &Residue) -> String {
    let mut text = String::new();
    // A `String` takes everything.
    let _ = write(residue, &mut text);
    text
}

fn write(residue: &Residue, text: &mut String) -> std::fmt::Result {
    if residue.is_clean() {
        writeln!(text, "nothing in this repository has the bytes")?;
    } else {
        writeln!(text, "this repository still has the bytes:")?;
    }
    for place in &residue.places {
        let mut rest = place.first.iter();
        let first = rest.next().map_or("", String::as_str);
        writeln!(text, "  {:<13} {:>6}  {first}", place.kind.as_str(), place.count)?;
        for name in rest {
            writeln!(text, "{:24}{name}", "")?;
        }
        if place.count > MAX_NAMED {
            writeln!(text, "{:24}and {} more", "", place.count - place.first.len())?;
        }
    }
    if !residue.copies.is_empty() {
        writeln!(text, "by the records it also went to:")?;
    }
    for copy in &residue.copies {
        let by = copy.actor.as_ref().map(|actor| format!(" by {}", quote(actor.as_bytes()))).unwrap_or_default();
        writeln!(text, "  {}  {:<7}  {}{by}", copy.time, copy.action.as_str(), quote(copy.output.as_bytes()))?;
    }
    if !residue.unknown.is_empty() {
        writeln!(text, "not looked into:")?;
    }
    for unknown in &residue.unknown {
        writeln!(text, "{}", wrap("  ", "    ", unknown))?;
    }
    if residue.steps.is_empty() {
        return Ok(());
    }
    writeln!(text, "what takes it out of here, at the top of the main working tree:")?;
    let mut said = "";
    for step in &residue.steps {
        if step.about != said {
            said = step.about;
            // A shell passes over these lines.
            writeln!(text, "{}", wrap("  # ", "  # ", said))?;
        }
        writeln!(text, "  {}", step.command)?;
    }
    if residue.of_kind(Kind::Alternate).is_some() {
        writeln!(text, "what another repository lends has to be taken out there")?;
    }
    writeln!(text, "{}", wrap("", "", ELSEWHERE))
}
