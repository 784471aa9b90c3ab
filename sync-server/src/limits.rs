//! What the relay allows, in one place. Each limit is a setting with a reason for its default.

use std::time::Duration;

/// Limits of one relay.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// What one room takes.
    pub room: crdt::room::Limits,
    /// Bytes of one frame from a client. It must hold a whole document: a client that was offline sends it as one.
    pub frame_bytes: usize,
    /// Bytes that may come before somebody has said who they are: the tokens of all documents that a window opens.
    pub unauthenticated_bytes: usize,
    /// Connections that may wait to say who they are.
    pub unauthenticated_sockets: usize,
    /// Connections from one address (an IPv6 network counts as one). A school behind one address has hundreds.
    pub connections_per_address: usize,
    /// Connections to one document; a window has two, for body and margin.
    pub connections_per_document: usize,
    /// Requests a second from one address; four times as many may come at once.
    pub requests_per_second: u32,
    /// Awareness messages a second from one connection; what comes faster waits. A mouse that selects text makes a hundred.
    pub awareness_per_second: u32,
    /// The longest text that is imported. Reading Markdown takes more than linear time for some.
    pub import_bytes: usize,
    /// Frames that may wait for a slow reader. Typing makes some ten frames a second and person.
    pub outbox_frames: usize,
    /// Bytes that may wait for a slow reader. A frame counts as half of it at most, so that the first sync of a large document
    /// gets through.
    pub outbox_bytes: usize,
    /// Messages that may wait for a room; when it is full, its writers wait.
    pub room_inbox: usize,
    /// Bytes of messages that may wait for a room; when they are reached, its writers wait.
    pub room_inbox_bytes: usize,
    /// Commands that may wait for the store; when it is full, rooms wait.
    pub store_queue: usize,
    /// How long a new connection may take until its first request is there.
    pub request_within: Duration,
    /// How long a client may take until it has said who it is.
    pub authenticate_within: Duration,
    /// How often a silent connection is asked whether it is still there.
    pub ping_every: Duration,
    /// How long a connection may be silent, pongs included.
    pub idle_after: Duration,
    /// How long a write to a socket may take before the reader counts as stalled.
    pub write_within: Duration,
    /// How long a room stays open after the last one left: long enough for a reload of the page.
    pub linger: Duration,
    /// How long a document stays decoded at most that nobody writes. Its room goes on with the encoded bytes.
    pub rest_after: Duration,
    /// How long a document of a kilobyte stays decoded, and for how much longer each further one: the less it takes to decode it
    /// again, the sooner it is let go.
    pub rest_per_kilobyte: Duration,
    /// Records after which a room's log is replaced by a snapshot.
    pub compact_records: u64,
    /// Bytes of records after which a room's log is replaced by a snapshot.
    pub compact_bytes: u64,
    /// When versions are kept by themselves.
    pub versions: crdt::history::Rhythm,
    /// How long the relay waits before it tries again to replace a log by a snapshot.
    pub compact_again: Duration,
    /// Documents that one connection may have open.
    pub documents_per_connection: usize,
    /// The longest wait between two attempts to reach another server.
    pub uplink_backoff: Duration,
    /// How long the relay waits at its end for a store that cannot write.
    pub save_within: Duration,
    /// How often a room looks at the time: retries of the store, presence that has run out.
    pub tick: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room: crdt::room::Limits::default(),
            frame_bytes: 32 << 20,
            unauthenticated_bytes: 64 << 10,
            unauthenticated_sockets: 1000,
            connections_per_address: 500,
            connections_per_document: 10_000,
            requests_per_second: 50,
            awareness_per_second: 200,
            import_bytes: 2 << 20,
            outbox_frames: 1024,
            outbox_bytes: 2 << 20,
            room_inbox: 256,
            room_inbox_bytes: 64 << 20,
            store_queue: 1024,
            request_within: Duration::from_secs(10),
            authenticate_within: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
            idle_after: Duration::from_secs(60),
            write_within: Duration::from_secs(15),
            linger: Duration::from_secs(5),
            rest_after: Duration::from_secs(30),
            rest_per_kilobyte: Duration::from_millis(500),
            compact_records: 500,
            compact_bytes: 4 << 20,
            versions: crdt::history::Rhythm::default(),
            compact_again: Duration::from_secs(10),
            documents_per_connection: 64,
            uplink_backoff: Duration::from_secs(30),
            save_within: Duration::from_secs(5),
            tick: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// How long a document of so many encoded bytes stays decoded that nobody writes.
    pub(crate) fn rest_after(&self, bytes: usize) -> Duration {
        let kilobytes = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
        self.rest_per_kilobyte
            .saturating_mul(kilobytes)
            .min(self.rest_after)
    }
}
