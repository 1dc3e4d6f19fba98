//! Moments and days on the command line.

use git_archive_tomb::clock::Timestamp;
use git_archive_tomb::item::Date;
use jiff::ToSpan;

use super::error::CommandError;
use super::exit::Exit;

/// Parses a moment in the past: `2025-10-17` (its start, UTC), `2025-10-17T13:22:36Z`, or `30d` (ago).
pub(crate) fn parse_when(option: &str, text: &str) -> Result<Timestamp, CommandError> {
    let moment = if let Some(days) = days(text) {
        let millisecond =
            days.checked_mul(86_400_000).and_then(|span| Timestamp::now().as_millisecond().checked_sub(span));
        millisecond.and_then(Timestamp::from_millisecond)
    } else if let Ok(date) = text.parse::<Date>() {
        date.0
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .and_then(|start| Timestamp::from_millisecond(start.timestamp().as_millisecond()))
    } else {
        text.parse::<jiff::Timestamp>().ok().and_then(|moment| Timestamp::from_millisecond(moment.as_millisecond()))
    };
    moment.ok_or_else(|| {
        CommandError::new(Exit::Usage, format!("`{option}` does not take `{}`", text.escape_debug()))
            .hint("give a date (`2025-10-17`), a time (`2025-10-17T13:22:36Z`) or days ago (`30d`)")
    })
}

/// Parses a day to come: `2027-01-31`, or `90d` from `today`.
pub(crate) fn parse_day(option: &str, text: &str, today: Date) -> Result<Date, CommandError> {
    let day = match days(text) {
        Some(days) => today.0.checked_add(days.days()).ok().map(Date),
        None => text.parse().ok(),
    };
    day.ok_or_else(|| {
        CommandError::new(Exit::Usage, format!("`{option}` does not take `{}`", text.escape_debug()))
            .hint("give a date (`2027-01-31`) or days from today (`90d`)")
    })
}

/// Parses `30d`, at most some two thousand years.
fn days(text: &str) -> Option<i64> {
    text.strip_suffix('d')?.parse().ok().filter(|days| (0..=730_000).contains(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_days_parse() {
        let moment = parse_when("--since", "2025-10-17").expect("is a date");
        assert_eq!(moment.to_string(), "2025-10-17T00:00:00.000Z");
        assert!(parse_when("--since", "2025-10-17T13:22:36Z").is_ok());
        assert!(parse_when("--since", "30d").expect("is a span") < Timestamp::now());
        let today = "2026-01-30".parse().expect("is a date");
        assert_eq!(parse_day("--delete-after", "90d", today).expect("is a span").to_string(), "2026-04-30");
        for wrong in ["", "d", "-1d", "yesterday", "2025-13-01", "99999999999999999d"] {
            assert!(parse_when("--since", wrong).is_err(), "{wrong}");
            assert!(parse_day("--delete-after", wrong, today).is_err(), "{wrong}");
        }
    }
}
