//! How much one room takes: every bound has its reason here.

/// The bounds of a room. All sizes are bytes, all times milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest message. It must hold a whole document as one sync step 2.
    pub max_message: usize,
    /// The largest encoded part. Its copy in memory is some ten to fifty times as large, so this bounds what one document
    /// can cost the process.
    pub max_part: usize,
    /// How much may be waiting for a store that cannot write. Beyond it further writes are refused, rather than to
    /// hold in memory what a crash would lose.
    pub max_unsaved: usize,
    /// The longest awareness state: a name, a colour, a cursor and an AI's status are a few hundred bytes.
    pub max_awareness_state: usize,
    /// How many awareness states one connection may hold: a window has one, an uplink brings those of a whole server.
    pub max_awareness_clients: usize,
    /// How long an awareness state lives without a renewal. Clients renew every 15 s and forget others after 30 s.
    pub awareness_timeout: u64,
    /// The least time between two messages about changed awareness states of one part: whoever moves a cursor is seen twenty
    /// times a second, however many do.
    pub awareness_interval: u64,
    /// How often states that were renewed without a change are told again, all in one message. Clients forget others after 30 s
    /// and renew themselves every 15 s.
    pub awareness_renewal: u64,
    /// The longest stateless message: a decision is a hundred bytes.
    pub max_stateless: usize,
    /// The longest proposal that is taken up or previewed, as Markdown. Ten thousand words; and what a parser of Markdown
    /// takes longest for (thousands of nested quotes) still takes less than a second.
    pub max_payload: usize,
    /// The longest update of somebody who may not write, beyond the size of the document: who has all of it answers the
    /// room's question with what is known, and nothing else is looked into.
    pub max_read_only_update: usize,
    /// How many of the room's questions a connection may leave unanswered while it asks its own.
    pub max_questions: usize,
    /// How many updates with holes a connection may send before it answers the question for what is missing.
    pub max_put_off: u32,
    /// How many full syncs in a row may leave holes before the connection is closed: each costs a rebuilt document.
    pub max_holes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 32 << 20,
            max_part: 32 << 20,
            max_unsaved: 16 << 20,
            max_awareness_state: 16 << 10,
            max_awareness_clients: 1024,
            awareness_timeout: 40_000,
            awareness_interval: 50,
            awareness_renewal: 10_000,
            max_stateless: 64 << 10,
            max_payload: 64 << 10,
            max_read_only_update: 64 << 10,
            max_questions: 32,
            max_put_off: 10_000,
            max_holes: 3,
        }
    }
}
