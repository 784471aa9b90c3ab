//! Who is here and where their cursors are, for one part: never stored, and never a reason to stop syncing.

use std::collections::{BTreeMap, BTreeSet};

use super::Limits;
use crate::awareness::Entry;
use crate::ids::{ConnId, Identity, Timestamp};
use crate::protocol::AwarenessUpdate;

/// How many departed clients' clocks are remembered.
const MAX_LEFT: usize = 10_000;

/// The awareness states of one part.
#[derive(Debug, Default)]
pub(super) struct Presence {
    states: BTreeMap<u64, State>,
    /// The clocks under which departed clients were last heard of.
    left: BTreeMap<u64, u32>,
    /// Clients whose changed states the others have not been told.
    changed: BTreeSet<u64>,
    /// When changes were told last.
    told: Timestamp,
    /// When renewals were told last.
    renewals_told: Timestamp,
}

#[derive(Debug)]
struct State {
    owner: ConnId,
    owner_id: String,
    /// The client's own clock.
    clock: u32,
    /// The clock under which others know the state. Runs ahead of the client's own after a reconnection: the
    /// others have seen it leave under its last clock, and would not believe the same clock again.
    sent: u32,
    json: String,
    seen: Timestamp,
    /// Renewed without a change since the others were told last.
    renewed: bool,
}

impl State {
    fn entry(&self, client: u64) -> Entry {
        Entry {
            client,
            clock: self.sent,
            state: Some(self.json.clone()),
        }
    }

    /// Whether its own client may hear it: under a clock of its own it passes it over, under a higher one it would take it
    /// for newer than what it says itself by now.
    const fn may_echo(&self) -> bool {
        self.sent <= self.clock
    }
}

/// Something to tell those who have a part open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whom not.
    pub(super) except: Option<ConnId>,
    /// What.
    pub(super) entries: Vec<Entry>,
}

impl Notice {
    /// For everybody.
    pub(super) const fn to_all(entries: Vec<Entry>) -> Self {
        Self {
            except: None,
            entries,
        }
    }
}

impl Presence {
    /// Takes in what a connection says and returns what the others must hear at once: who comes and goes. What has only changed
    /// is told at once or a moment later ([`Presence::flush_at`]), so that any number of moving cursors makes a bounded number of messages.
    ///
    /// A connection speaks only for clients that it was the first to bring, or that the same person brought on
    /// an earlier connection (which may not have been found dead yet). Anything else in the update is passed over.
    pub(super) fn receive(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        identity: &Identity,
        update: &AwarenessUpdate,
        limits: &Limits,
    ) -> Vec<Notice> {
        let mut news = Vec::new();
        let mut owned = self.states.values().filter(|state| state.owner == conn).count();
        let mut entries: Vec<_> = update
            .clients
            .iter()
            .map(|(client, entry)| (client.get(), entry))
            .collect();
        entries.sort_unstable_by_key(|(client, _)| *client);
        for (client, entry) in entries {
            let json = entry.json.trim();
            let gone = json == "null";
            if json.len() > limits.max_awareness_state || !is_json(json) {
                continue;
            }
            let Some(state) = self.states.get_mut(&client) else {
                if !gone && owned < limits.max_awareness_clients {
                    owned += 1;
                    news.push(self.arrive(now, conn, identity, client, entry.clock, json));
                }
                continue;
            };
            let taken_over = state.owner != conn;
            if taken_over && state.owner_id != identity.id {
                continue;
            }
            if gone {
                if entry.clock >= state.clock && !taken_over {
                    news.extend(self.depart(client));
                }
                continue;
            }
            if entry.clock < state.clock || (entry.clock == state.clock && !taken_over) {
                continue;
            }
            state.owner = conn;
            state.clock = entry.clock;
            state.seen = now;
            state.sent = entry.clock.max(state.sent.saturating_add(1));
            if state.json == json {
                state.renewed = true;
            } else {
                json.clone_into(&mut state.json);
                state.renewed = false;
                self.changed.insert(client);
            }
        }
        let mut notices = Vec::new();
        if !news.is_empty() {
            notices.push(Notice {
                except: Some(conn),
                entries: news,
            });
        }
        notices.extend(self.flush(now, limits));
        notices
    }

    /// When [`Presence::flush`] has something to tell that could not be told yet.
    pub(super) fn flush_at(&self, limits: &Limits) -> Option<Timestamp> {
        (!self.changed.is_empty()).then(|| self.told.plus_ms(limits.awareness_interval))
    }

    /// The changed states, if the last ones were told long enough ago.
    pub(super) fn flush(&mut self, now: Timestamp, limits: &Limits) -> Vec<Notice> {
        if self.flush_at(limits).is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.told = now;
        let changed = std::mem::take(&mut self.changed);
        self.notices(&changed)
    }

    /// The renewals since the last call, when it is time for them. Others' clients forget whoever is not renewed for 30 s, so
    /// they cannot be left out; together they cost one message in ten seconds instead of one per client. With none there is an
    /// empty message: a stock client that hears nothing for 30 s takes the connection for dead.
    pub(super) fn renewals(&mut self, now: Timestamp, limits: &Limits) -> Vec<Notice> {
        if now < self.renewals_told.plus_ms(limits.awareness_renewal) {
            return Vec::new();
        }
        self.renewals_told = now;
        let mut renewed = BTreeSet::new();
        for (client, state) in &mut self.states {
            if std::mem::take(&mut state.renewed) {
                renewed.insert(*client);
            }
        }
        let mut notices = self.notices(&renewed);
        // Whoever was left out of those must hear something as well.
        if notices.iter().all(|notice| notice.except.is_some()) {
            notices.push(Notice::to_all(Vec::new()));
        }
        notices
    }

    /// As few messages as possible about some clients.
    fn notices(&self, clients: &BTreeSet<u64>) -> Vec<Notice> {
        let states = clients
            .iter()
            .filter_map(|client| Some((*client, self.states.get(client)?)));
        let (together, alone): (Vec<_>, Vec<_>) = states.partition(|(_, state)| state.may_echo());
        let mut notices: Vec<Notice> = alone
            .into_iter()
            .map(|(client, state)| Notice {
                except: Some(state.owner),
                entries: vec![state.entry(client)],
            })
            .collect();
        if let Some((_, first)) = together.first() {
            let one = together.iter().all(|(_, state)| state.owner == first.owner);
            notices.push(Notice {
                except: one.then_some(first.owner),
                entries: together
                    .iter()
                    .map(|(client, state)| state.entry(*client))
                    .collect(),
            });
        }
        notices
    }

    /// Everything that a connection should know: all but what it said itself.
    pub(super) fn known_to_others_than(&self, conn: ConnId) -> Vec<Entry> {
        self.entries(|state| state.owner != conn)
    }

    /// Removes what a connection brought.
    pub(super) fn leave(&mut self, conn: ConnId) -> Vec<Entry> {
        self.depart_all(|state| state.owner == conn)
    }

    /// Removes what has not been renewed in time.
    pub(super) fn expire(&mut self, now: Timestamp, limits: &Limits) -> Vec<Entry> {
        self.depart_all(|state| now.0.saturating_sub(state.seen.0) > limits.awareness_timeout)
    }

    fn entries(&self, choose: impl Fn(&State) -> bool) -> Vec<Entry> {
        self.states
            .iter()
            .filter(|(_, state)| choose(state))
            .map(|(client, state)| state.entry(*client))
            .collect()
    }

    fn arrive(
        &mut self,
        now: Timestamp,
        conn: ConnId,
        identity: &Identity,
        client: u64,
        clock: u32,
        json: &str,
    ) -> Entry {
        let sent = self
            .left
            .remove(&client)
            .map_or(clock, |left| clock.max(left.saturating_add(1)));
        let state = State {
            owner: conn,
            owner_id: identity.id.clone(),
            clock,
            sent,
            json: json.to_owned(),
            seen: now,
            renewed: false,
        };
        let entry = state.entry(client);
        self.states.insert(client, state);
        entry
    }

    fn depart_all(&mut self, choose: impl Fn(&State) -> bool) -> Vec<Entry> {
        let clients: Vec<u64> = self
            .states
            .iter()
            .filter(|(_, state)| choose(state))
            .map(|(client, _)| *client)
            .collect();
        clients
            .into_iter()
            .filter_map(|client| self.depart(client))
            .collect()
    }

    fn depart(&mut self, client: u64) -> Option<Entry> {
        self.changed.remove(&client);
        let clock = self.states.remove(&client)?.sent.saturating_add(1);
        if self.left.len() >= MAX_LEFT {
            self.left.pop_first();
        }
        self.left.insert(client, clock);
        Some(Entry {
            client,
            clock,
            state: None,
        })
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
