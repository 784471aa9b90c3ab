//! The only place that reads the time, and where ids get their randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use crdt::ids::{IdSource, Timestamp};
use ulid::Ulid;

/// Milliseconds since the Unix epoch, now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Ids from the operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn ulid(&mut self, now: Timestamp) -> Ulid {
        Ulid::from_parts(now.0, rand::random())
    }
}

/// A new id, now.
#[must_use]
pub fn ulid() -> Ulid {
    RandomIds.ulid(now())
}
