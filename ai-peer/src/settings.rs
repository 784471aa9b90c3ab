//! What a peer is told when it is made: its clock, its times and its limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crdt::Timestamp;

use crate::cascade::Cascade;
use crate::privacy::Known;
use crate::wardrobe::Wardrobe;

/// Where a peer reads the time: an argument, so that a test can turn the hands.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that reads like `now`.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}

/// When leases run out and are renewed, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long a lease lasts without a renewal: so long does a request wait when its peer crashes.
    pub length: u64,
    /// How long after a renewal the next one is due.
    pub renew: u64,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            length: 10_000,
            renew: 3_000,
        }
    }
}

/// How a peer behaves. [`Config::new`] has the values that people get.
#[derive(Debug, Clone)]
pub struct Config {
    /// The wall clock.
    pub clock: Clock,
    /// The colour of its caret, as CSS.
    pub color: String,
    /// Leases on requests.
    pub lease: LeaseTimes,
    /// Requests of a document that are worked on at the same time, at most; the model decides whose turn it is.
    pub together: usize,
    /// How long after a claim another peer's claim may still arrive. Nothing is shown before; the model reads meanwhile.
    pub settle: Duration,
    /// The same when another AI is seen at the document: twice the slowest peer's way to the relay.
    pub settle_with_rivals: Duration,
    /// How often the text of a proposal grows at most.
    pub batch: Duration,
    /// How long a request waits for the text it is about, which travels on the other link.
    pub body_patience: Duration,
    /// How long a request waits for a model that has too much to do.
    pub busy_patience: Duration,
    /// How long reading the prompt may take, so that the first word comes in good time.
    pub prefill: Duration,
    /// Bytes that a proposal may have.
    pub payload_bytes: usize,
    /// Where the model runs, in words; what its device is called unless given.
    pub place: Option<String>,
    /// The document's engines, where there are several: who answers what names nobody.
    pub cascade: Option<Arc<Cascade>>,
    /// Is told of people and text, for an engine that must not see all of it.
    pub known: Option<Known>,
    /// Says which adapter is worn for what.
    pub wardrobe: Option<Arc<dyn Wardrobe>>,
}

impl Config {
    /// The usual behaviour, by this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            color: "#7c5cff".to_owned(),
            lease: LeaseTimes::default(),
            together: 4,
            settle: Duration::from_millis(150),
            settle_with_rivals: Duration::from_millis(600),
            batch: Duration::from_millis(50),
            body_patience: Duration::from_secs(3),
            busy_patience: Duration::from_secs(60),
            prefill: Duration::from_millis(600),
            payload_bytes: 64 << 10,
            place: None,
            cascade: None,
            known: None,
            wardrobe: None,
        }
    }
}
