//! The only place that reads the time, and where ids get their randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use crdt::ids::{IdSource, Identity, PeerKind, Timestamp};
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

/// A moment's day in the calendar, UTC: `2026-11-25`.
#[must_use]
pub fn date(at: Timestamp) -> String {
    // Howard Hinnant's `civil_from_days`: eras of 400 years that begin on a 1st of March.
    let days = at.0 / 86_400_000 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The author of what the relay does of itself.
#[must_use]
pub(crate) fn relay() -> Identity {
    Identity {
        id: "relay".to_owned(),
        name: "Inkling".to_owned(),
        kind: PeerKind::Relay,
        model: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (at, day) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (951_868_800_000, "2000-03-01"),
            (1_798_761_599_999, "2026-12-31"),
            (1_798_761_600_000, "2027-01-01"),
            (4_107_542_400_000, "2100-03-01"),
        ] {
            assert_eq!(date(Timestamp(at)), day);
        }
    }
}
