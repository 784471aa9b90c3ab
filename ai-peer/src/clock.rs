//! The only place of the program that reads the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use crdt::Timestamp;

/// Now. A clock that stands before 1970 reads as 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock module of this binary"
)]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
