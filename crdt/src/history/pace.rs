//! When a version is kept by itself, and how long.

use super::version::{Kind, Version};
use crate::ids::Timestamp;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How often versions are kept of a document that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// How long a change stays without a version, in milliseconds. Ten minutes: what one can still tell by heart.
    pub every: u64,
    /// Bytes of updates after which a version is kept before that. About a page of typing, or one pasted chapter.
    pub amount: u64,
    /// The least time between two, in milliseconds: many who write at once must not fill the store with versions.
    pub at_least: u64,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            every: 10 * MINUTE,
            amount: 64 << 10,
            at_least: MINUTE,
        }
    }
}

/// How much of a document is in no version yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    last: Option<Timestamp>,
    since: Option<Timestamp>,
    amount: u64,
}

impl Pace {
    /// Goes on after the last version that there is.
    #[must_use]
    pub const fn after(last: Option<Timestamp>) -> Self {
        Self {
            last,
            since: None,
            amount: 0,
        }
    }

    /// Something was written: an update of so many bytes.
    pub fn wrote(&mut self, at: Timestamp, bytes: usize) {
        self.since.get_or_insert(at);
        self.amount = self.amount.saturating_add(bytes as u64);
    }

    /// A version was kept.
    pub const fn kept(&mut self, at: Timestamp) {
        *self = Self::after(Some(at));
    }

    /// Whether there is anything that no version holds.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.since.is_some()
    }

    /// Whether it is time for one.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, rhythm: &Rhythm) -> bool {
        let long_ago = |since: Timestamp| now.0.saturating_sub(since.0) >= rhythm.every;
        self.may_keep(now, rhythm) && (self.since.is_some_and(long_ago) || self.amount >= rhythm.amount)
    }

    /// Whether one is to be kept when everybody has left: what was written in one sitting belongs together, however
    /// short it was, and nobody comes by later to notice that its time is up.
    #[must_use]
    pub fn is_due_at_the_end(&self, now: Timestamp, rhythm: &Rhythm) -> bool {
        self.may_keep(now, rhythm)
    }

    /// Whether there is something to keep, and the last version is old enough.
    fn may_keep(&self, now: Timestamp, rhythm: &Rhythm) -> bool {
        let early = |last: Timestamp| now.0.saturating_sub(last.0) < rhythm.at_least;
        self.is_behind() && !self.last.is_some_and(early)
    }
}

/// For each age, how many milliseconds share one automatic version: all of the last day, for two weeks one an hour, for a
/// quarter one a day, and then one a week. So a document that is written every day costs some four hundred versions in
/// its first year and fifty in each year after.
const SPARSER: [(u64, u64); 3] = [(14 * DAY, HOUR), (90 * DAY, DAY), (u64::MAX, 7 * DAY)];

/// The numbers of the automatic versions that others of about the same time stand for by now. `versions` in any order; what
/// somebody asked for stays, and so does the last one.
#[must_use]
pub fn thin(versions: &[Version], now: Timestamp) -> Vec<u64> {
    let mut automatic: Vec<&Version> = versions
        .iter()
        .filter(|version| version.kind == Kind::Automatic)
        .collect();
    automatic.sort_unstable_by_key(|version| std::cmp::Reverse(version.number));
    let mut dropped = Vec::new();
    let mut kept = None;
    for version in automatic {
        let age = now.0.saturating_sub(version.at.0);
        let window = SPARSER
            .iter()
            .find(|(until, _)| age < *until)
            .map(|(_, window)| *window)
            .filter(|_| age >= DAY);
        // Windows of the calendar and not of the age, so that what stays today stays tomorrow.
        let slot = window.map(|window| (window, version.at.0 / window));
        if slot.is_some() && slot == kept {
            dropped.push(version.number);
        }
        kept = slot;
    }
    dropped
}
