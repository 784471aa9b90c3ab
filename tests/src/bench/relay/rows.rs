//! What is measured, and what ours is to reach.

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described by its title below")]
pub enum Row {
    MemoryAtStart,
    MemoryPerConnection,
    MemoryPerDocument,
    Saturated,
    CpuPerDelivery,
    LoadSaturated,
    FewP50,
    FewP95,
    FewP99,
    LoadFew,
    ManyP50,
    ManyP95,
    ManyP99,
    LoadMany,
    AcknowledgedP50,
    AcknowledgedP95,
    AcknowledgedP99,
    OpenText,
    OpenTextCpu,
    OpenBlocks,
    OpenBlocksCpu,
    OpenApplied,
    OpenEmptyFirst,
    Single,
    SingleSlower,
    Churn32,
    Churn53,
    StalledMemory,
    StalledCutOff,
    Lost,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is.
    Higher,
    /// Less is.
    Lower,
    /// Neither: it says how the measurement went.
    Neither,
}

/// What ours is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// No bar.
    None,
    /// At most this much.
    AtMost(f64),
    /// At least this much.
    AtLeast(f64),
    /// So many times better than the best peer.
    TimesBest(f64),
}

impl Row {
    /// Title, unit, which way is better, and the bar.
    #[must_use]
    pub const fn about(self) -> (&'static str, &'static str, Better, Bar) {
        use Bar::{AtLeast, AtMost, TimesBest};
        use Better::{Higher, Lower, Neither};
        match self {
            Self::MemoryAtStart => ("memory at the start", "MB", Lower, AtMost(10.0)),
            Self::MemoryPerConnection => ("memory of an idle connection", "KiB", Lower, AtMost(5.0)),
            Self::MemoryPerDocument => ("memory of a document besides", "KiB", Lower, AtMost(2.0)),
            Self::Saturated => (
                "saturated deliveries (sent on, not yet fsynced)",
                "/s",
                Higher,
                TimesBest(3.0),
            ),
            Self::CpuPerDelivery => ("server CPU of a delivery", "us", Lower, AtMost(2.0)),
            Self::LoadSaturated => ("  the load's own CPU", "%", Neither, Bar::None),
            Self::FewP50 => ("100 connections, 50 edits/s: p50", "ms", Lower, Bar::None),
            Self::FewP95 => ("  p95", "ms", Lower, TimesBest(1.0)),
            Self::FewP99 => ("  p99", "ms", Lower, Bar::None),
            Self::LoadFew => ("  the load's own CPU", "%", Neither, Bar::None),
            Self::ManyP50 => (
                "4,000 connections, 96,000 deliveries/s: p50",
                "ms",
                Lower,
                Bar::None,
            ),
            Self::ManyP95 => ("  p95", "ms", Lower, AtMost(5.0)),
            Self::ManyP99 => ("  p99", "ms", Lower, Bar::None),
            Self::LoadMany => ("  the load's own CPU", "%", Neither, Bar::None),
            Self::AcknowledgedP50 => (
                "edit to SyncStatus(true), 200 edits/s: p50",
                "ms",
                Lower,
                Bar::None,
            ),
            Self::AcknowledgedP95 => ("  p95", "ms", Lower, Bar::None),
            Self::AcknowledgedP99 => ("  p99", "ms", Lower, Bar::None),
            Self::OpenText => (
                "the paper after a restart, a text: whole",
                "ms",
                Lower,
                TimesBest(2.0),
            ),
            Self::OpenTextCpu => ("  server CPU", "ms", Lower, AtMost(2.0)),
            Self::OpenBlocks => (
                "the paper after a restart, blocks: whole",
                "ms",
                Lower,
                TimesBest(2.0),
            ),
            Self::OpenBlocksCpu => ("  server CPU", "ms", Lower, AtMost(2.0)),
            Self::OpenApplied => ("  whole and taken in by a client", "ms", Lower, Bar::None),
            Self::OpenEmptyFirst => ("  first answer is not the document", "%", Lower, AtMost(0.0)),
            Self::Single => (
                "each keystroke of the paper by itself",
                "/s",
                Higher,
                TimesBest(5.0),
            ),
            Self::SingleSlower => ("  time of the last tenth / the first", "x", Lower, AtMost(1.3)),
            Self::Churn32 => (
                "left, edited, came back: the same, 32-bit ids",
                "%",
                Higher,
                AtLeast(100.0),
            ),
            Self::Churn53 => ("  53-bit ids", "%", Higher, AtLeast(100.0)),
            Self::StalledMemory => (
                "a reader stalls while others get on: memory",
                "MB",
                Lower,
                AtMost(4.0),
            ),
            Self::StalledCutOff => (
                "  it is cut off, and whole when it returns",
                "%",
                Higher,
                AtLeast(100.0),
            ),
            Self::Lost => ("acknowledged edits gone after kill -9", "%", Lower, AtMost(0.0)),
        }
    }
}
