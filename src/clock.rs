//! Time as the product records it: UTC, to the millisecond.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use jiff::tz::TimeZone;

use crate::id::{ParseIdError, serialize_as_text};

/// A moment in UTC with millisecond precision, printed as `2025-10-17T13:22:36.123Z` (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// Returns the present moment by this machine's clock, which is a claim and not a proof.
    pub fn now() -> Self {
        let millisecond = jiff::Timestamp::now().as_millisecond();
        Self::from_millisecond(millisecond).expect("the present is within the range of timestamps")
    }

    /// Returns the moment `millisecond` milliseconds after 1970-01-01T00:00:00Z, if it is in the years -9999 to 9999.
    pub fn from_millisecond(millisecond: i64) -> Option<Self> {
        jiff::Timestamp::from_millisecond(millisecond).ok().map(Self)
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    pub fn as_millisecond(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Returns the moment as evidence file names carry it: `20251017T132236Z`.
    pub fn compact(self) -> String {
        self.0.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// Returns the year and the month in UTC, as the folders of evidence files are named: `("2025", "10")`.
    pub fn year_month(self) -> (String, String) {
        let zoned = self.0.to_zoned(TimeZone::UTC);
        (zoned.strftime("%Y").to_string(), zoned.strftime("%m").to_string())
    }

    /// Returns the calendar date in UTC.
    pub fn date(self) -> jiff::civil::Date {
        self.0.to_zoned(TimeZone::UTC).date()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3}", self.0)
    }
}

impl FromStr for Timestamp {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parsed = text.parse().ok().map(Self);
        parsed
            .filter(|timestamp| timestamp.to_string() == text)
            .ok_or_else(|| ParseIdError::new("a UTC time such as `2025-10-17T13:22:36.123Z`", text))
    }
}

serialize_as_text!(Timestamp);

/// Measures how long something takes, in milliseconds with three decimals.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the milliseconds since the start.
    pub fn elapsed_ms(self) -> f64 {
        (self.0.elapsed().as_secs_f64() * 1_000_000.0).round() / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_one_form() {
        let moment = Timestamp::from_millisecond(1_760_707_356_120).expect("is in range");
        assert_eq!(moment.to_string(), "2025-10-17T13:22:36.120Z");
        assert_eq!(moment.compact(), "20251017T132236Z");
        assert_eq!(moment.year_month(), ("2025".to_owned(), "10".to_owned()));
        assert_eq!("2025-10-17T13:22:36.120Z".parse(), Ok(moment));
        for other in ["2025-10-17T13:22:36Z", "2025-10-17T13:22:36.12Z", "2025-10-17T15:22:36.120+02:00", "now"] {
            assert!(other.parse::<Timestamp>().is_err(), "{other}");
        }
    }
}
