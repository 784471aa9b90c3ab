//! One client's awareness: its own state and those of the others, as y-protocols/awareness keeps them, without a clock.
//!
//! A state is JSON under a client id with a counter that only grows; `null` means that the client is gone. Whoever is not
//! renewed for 30 s counts as gone, so a client renews its own state every 15 s.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ids::Timestamp;
use crate::protocol::{self, AwarenessUpdate};

/// How long another client's state is believed without a renewal, in milliseconds (y-protocols' `outdatedTimeout`).
pub const OUTDATED_AFTER: u64 = 30_000;
/// How often the own state is renewed, in milliseconds.
pub const RENEW_EVERY: u64 = OUTDATED_AFTER / 2;

/// One client's state as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The Yjs client id.
    pub client: u64,
    /// Counts the client's states; a state with a lower one is old.
    pub clock: u32,
    /// JSON; `None` when the client is gone.
    pub state: Option<String>,
}

/// The y-protocols message that says `entries`.
#[must_use]
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    protocol::awareness(entries.iter().map(|entry| {
        (
            entry.client,
            entry.clock,
            entry.state.as_deref().unwrap_or("null"),
        )
    }))
}

/// The own state and everybody else's.
#[derive(Debug)]
pub struct Awareness {
    client: u64,
    clock: u32,
    local: Option<Value>,
    renewed: Timestamp,
    others: BTreeMap<u64, Other>,
}

#[derive(Debug)]
struct Other {
    clock: u32,
    /// `None`: gone, but its clock still counts.
    state: Option<Value>,
    seen: Timestamp,
}

impl Awareness {
    /// Nobody is here yet.
    #[must_use]
    pub const fn new(client: u64) -> Self {
        Self {
            client,
            clock: 0,
            local: None,
            renewed: Timestamp(0),
            others: BTreeMap::new(),
        }
    }

    /// The own state.
    #[must_use]
    pub const fn local(&self) -> Option<&Value> {
        self.local.as_ref()
    }

    /// Sets the own state (`None`: leave) and returns the message that tells the others; `None` when nothing changes.
    pub fn set_local(&mut self, now: Timestamp, state: Option<Value>) -> Option<Vec<u8>> {
        if self.local == state {
            return None;
        }
        self.local = state;
        Some(self.renew(now))
    }

    /// The message that says the own state, when there is one.
    #[must_use]
    pub fn announce(&self) -> Option<Vec<u8>> {
        self.local.is_some().then(|| encode(&[self.own_entry()]))
    }

    /// The states of the others, by client id.
    pub fn others(&self) -> impl Iterator<Item = (u64, &Value)> {
        self.others
            .iter()
            .filter_map(|(client, other)| Some((*client, other.state.as_ref()?)))
    }

    /// The state of one other client.
    #[must_use]
    pub fn other(&self, client: u64) -> Option<&Value> {
        self.others.get(&client)?.state.as_ref()
    }

    /// Takes in what arrived. A state that is no JSON is passed over: awareness never stops anything.
    pub fn receive(&mut self, now: Timestamp, update: &AwarenessUpdate) -> Heard {
        let mut heard = Heard::default();
        for (client, entry) in &update.clients {
            let Ok(state) = serde_json::from_str::<Option<Value>>(&entry.json) else {
                continue;
            };
            let client = client.get();
            if client == self.client {
                // Somebody declared this client gone, or answers with an older life of it: it is here.
                if self.local.is_some() && entry.clock >= self.clock {
                    self.clock = entry.clock;
                    heard.reply = Some(self.renew(now));
                }
                continue;
            }
            let known = self.others.get(&client);
            let newer = known.is_none_or(|known| {
                entry.clock > known.clock
                    || (entry.clock == known.clock && state.is_none() && known.state.is_some())
            });
            if newer {
                heard.changed |= known.and_then(|known| known.state.as_ref()) != state.as_ref();
                self.others.insert(
                    client,
                    Other {
                        clock: entry.clock,
                        state,
                        seen: now,
                    },
                );
            }
        }
        heard
    }

    /// Forgets whoever was not renewed in time; returns whether that changed anything, and the renewal of the own state
    /// when it is due. To be called every few seconds.
    pub fn tick(&mut self, now: Timestamp) -> Heard {
        let mut heard = Heard::default();
        for other in self.others.values_mut() {
            if other.state.is_some() && now.0.saturating_sub(other.seen.0) >= OUTDATED_AFTER {
                other.state = None;
                heard.changed = true;
            }
        }
        if self.local.is_some() && now.0.saturating_sub(self.renewed.0) >= RENEW_EVERY {
            heard.reply = Some(self.renew(now));
        }
        heard
    }

    /// The link is gone: nothing is known about the others any more. Returns whether that changed anything.
    pub fn disconnected(&mut self) -> bool {
        let changed = self.others().next().is_some();
        self.others.clear();
        changed
    }

    fn renew(&mut self, now: Timestamp) -> Vec<u8> {
        self.clock = self.clock.saturating_add(1);
        self.renewed = now;
        encode(&[self.own_entry()])
    }

    fn own_entry(&self) -> Entry {
        Entry {
            client: self.client,
            clock: self.clock,
            state: self.local.as_ref().map(Value::to_string),
        }
    }
}

/// What an awareness message, or the passing of time, did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether [`Awareness::others`] changed.
    pub changed: bool,
    /// To be sent.
    pub reply: Option<Vec<u8>>,
}
