//! Whether an item may be destroyed by its date, now or soon.

use jiff::ToSpan;

use crate::archive::StoredItem;
use crate::clock::Timestamp;
use crate::item::Date;

/// How many days before its date an item is near, where nobody says otherwise.
pub const SOON: i64 = 30;

/// A day, and until when dates are near it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// The day.
    pub today: Date,
    /// The last day that is near.
    pub until: Date,
}

/// How an item's date stands to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueDate {
    /// The date from which on it may be destroyed.
    pub date: Date,
    /// Whether that has come; if not, it is near.
    pub has_come: bool,
}

impl Horizon {
    /// Returns today, with the next [`SOON`] days.
    pub fn now() -> Self {
        let today = Timestamp::now().date();
        Self { today: Date(today), until: Date(today.checked_add(SOON.days()).unwrap_or(jiff::civil::Date::MAX)) }
    }

    /// Returns how the date of an item stands, if it has one that has come or is near, and bytes to lose.
    pub fn due(&self, stored: &StoredItem) -> Option<DueDate> {
        let date = stored.item.delete_after.filter(|date| *date <= self.until && stored.purged_at.is_none())?;
        Some(DueDate { date, has_come: date <= self.today })
    }
}
