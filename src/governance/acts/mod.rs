//! What people do: they request, approve, hold and release ([`Act`]), and destroy ([`Purging`]), each an
//! [operation](crate::operation) that leaves records and changes no file but its evidence.

mod act;
mod purging;

pub use act::{Act, ActError, ActPlan};
pub use purging::{PurgeOptions, PurgePlan, Purged, Purging, PurgingError};
