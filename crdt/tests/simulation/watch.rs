//! What must be true of every single event of a room.

use std::collections::{BTreeMap, HashMap};

use crdt::Node;
use crdt::decision::{Action, Decision};
use crdt::ids::{ConnId, Part, PeerKind, Role};
use crdt::room::{Effect, Event};
use serde_json::Value;
use yrs::block::ClientID;
use yrs::{Snapshot, StateVector};

use super::hands::Id;
use super::moment::{Moment, decisions, ensure, is_in, json, lives, range_of};
use super::site::{PARTS, Site};

/// What happened in a run, to see that runs are worth their time.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) accepts: usize,
    pub(crate) forced: usize,
    pub(crate) rejections: usize,
    pub(crate) undos: usize,
    pub(crate) exact_undos: usize,
    pub(crate) refusals: usize,
    pub(crate) streamed: usize,
    pub(crate) records: usize,
    pub(crate) crashes: usize,
    pub(crate) repairs: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.accepts += other.accepts;
        self.forced += other.forced;
        self.rejections += other.rejections;
        self.undos += other.undos;
        self.exact_undos += other.exact_undos;
        self.refusals += other.refusals;
        self.streamed += other.streamed;
        self.records += other.records;
        self.crashes += other.crashes;
        self.repairs += other.repairs;
    }
}

/// What is remembered of an accept.
struct Accepted {
    before: Vec<Node>,
    after: Vec<Node>,
    state: StateVector,
}

/// What is remembered of a run.
#[derive(Default)]
pub(crate) struct Watch {
    /// What the author of a proposal had seen, by the proposal's id.
    pub(crate) bases: HashMap<String, StateVector>,
    /// The proposals in the order in which they were begun; a word in each text is its own.
    pub(crate) proposals: Vec<String>,
    pub(crate) tally: Tally,
    accepted: HashMap<(usize, String), Accepted>,
    /// The record that holds a decision.
    made: HashMap<(usize, String), u64>,
    /// Decisions that somebody was told are carried out.
    confirmed: Vec<(usize, String)>,
}

/// What was there before an event.
pub(crate) struct Before {
    rights: Option<(Role, PeerKind)>,
    /// Body and margin, where the event must not change them.
    states: [Option<Snapshot>; 2],
    decide: Option<Decide>,
}

struct Decide {
    proposal: String,
    action: Action,
    force: bool,
    moment: Moment,
    range: Option<BTreeMap<Id, u16>>,
    history: Vec<Decision>,
}

impl Watch {
    pub(crate) fn before(
        &self,
        site: &Site,
        event: &Event,
        rights: impl Fn(ConnId) -> Option<(Role, PeerKind)>,
    ) -> Before {
        let mut before = Before {
            rights: None,
            states: [None, None],
            decide: None,
        };
        let keeps = match event {
            Event::Message { conn, part, .. } => {
                before.rights = rights(*conn);
                // A message about the margin never changes the body, whoever sends it; nor the other way round.
                PARTS.map(|other| {
                    other != *part || before.rights.is_none_or(|(role, _)| !role.may_write(other))
                })
            }
            Event::Stateless { conn, payload, .. } => {
                before.rights = rights(*conn);
                before.decide = decide_of(site, payload);
                let may = before
                    .rights
                    .is_some_and(|(role, kind)| role.may_decide() && kind != PeerKind::Ai);
                [!may || before.decide.is_none(); 2]
            }
            Event::Join { .. } | Event::Leave { .. } | Event::SetRole { .. } | Event::Tick | Event::Flush => {
                [true; 2]
            }
            Event::Committed { .. } | Event::StoreFailed { .. } => [false; 2],
        };
        for (index, part) in PARTS.into_iter().enumerate() {
            before.states[index] = keeps[index].then(|| site.room.state(part));
        }
        before
    }

    pub(crate) fn after(
        &mut self,
        site: &mut Site,
        number: usize,
        event: &Event,
        before: &Before,
        effects: &[Effect],
    ) -> Result<(), String> {
        for (state, part) in before.states.iter().zip(PARTS) {
            let Some(state) = state else { continue };
            // Invariants 1, 7 and 8.
            ensure(site.room.state(part) == *state, || {
                format!("{event:?} by {:?} changed the {part:?}", before.rights)
            })?;
        }
        for effect in effects {
            if let Effect::Append(record) = effect {
                // Invariant 1: a model writes no body, whatever role it was given.
                let by_model = before.rights.is_some_and(|(_, kind)| kind == PeerKind::Ai);
                ensure(
                    !(by_model || record.author.kind == PeerKind::Ai) || record.body.is_none(),
                    || format!("a model wrote the body, in record {}", record.seq),
                )?;
                self.tally.repairs +=
                    usize::from(record.author.kind == PeerKind::Relay && record.author.id == "relay");
                site.last = site.last.max(record.seq);
            }
            if let Effect::Send {
                message: crdt::room::Outgoing::SyncStatus(false),
                ..
            } = effect
            {
                self.tally.refusals += 1;
            }
        }
        match &before.decide {
            Some(decide) => self.decided(site, number, decide),
            None => Ok(()),
        }
    }

    /// **Invariants 3 and 4**, and that a refusal changes nothing.
    fn decided(&mut self, site: &Site, number: usize, decide: &Decide) -> Result<(), String> {
        let body = site.room.document(Part::Body);
        let after = Moment::of(body);
        let before = &decide.moment;
        let now = decisions(body);
        let new = now
            .iter()
            .find(|record| !decide.history.iter().any(|old| old.id == record.id));
        let Some(record) = new else {
            return ensure(before.tree == after.tree, || {
                format!(
                    "{:?} of {} was refused and yet the text changed",
                    decide.action, decide.proposal
                )
            });
        };
        self.made.insert((number, record.id.clone()), site.last);
        if before.flaw.is_none() {
            ensure(after.flaw.is_none(), || {
                format!(
                    "{:?} of {} broke the tree: {:?}",
                    decide.action, decide.proposal, after.flaw
                )
            })?;
        }
        match decide.action {
            Action::Reject => {
                self.tally.rejections += 1;
                ensure(before.tree == after.tree, || {
                    "a rejection changed the text".into()
                })
            }
            Action::Accept => {
                self.tally.accepts += 1;
                self.tally.forced += usize::from(decide.force);
                self.accepted.insert(
                    (number, record.id.clone()),
                    Accepted {
                        before: before.tree.clone(),
                        after: after.tree.clone(),
                        state: after.state.clone(),
                    },
                );
                self.accepted_rightly(decide, &after, &now)
            }
            Action::Undo => {
                self.tally.undos += 1;
                self.undone_rightly(number, decide, record, &after)
            }
        }
    }

    fn accepted_rightly(&self, decide: &Decide, after: &Moment, now: &[Decision]) -> Result<(), String> {
        let id = &decide.proposal;
        let base = self.bases.get(id).ok_or("a proposal that nobody made")?;
        for lost in decide.moment.lost(after) {
            let known = lives(now, lost)
                .iter()
                .any(|id| base.get(&ClientID::new(id.0)) > id.1);
            ensure(known, || {
                format!("accepting {id} deleted {lost:?}, which was written later")
            })?;
            if let Some(range) = &decide.range {
                ensure(range.contains_key(&lost), || {
                    format!("accepting {id} deleted {lost:?}, beyond its range")
                })?;
            }
        }
        Ok(())
    }

    fn undone_rightly(
        &mut self,
        number: usize,
        decide: &Decide,
        record: &Decision,
        after: &Moment,
    ) -> Result<(), String> {
        let (before, history) = (&decide.moment, &decide.history);
        let undoes = record.undoes.as_deref().ok_or("an undo that undoes nothing")?;
        let undone = history
            .iter()
            .find(|record| record.id == undoes)
            .ok_or("what was undone is unknown")?;
        for lost in before.lost(after) {
            let ours = lives(history, lost).iter().any(|id| is_in(&undone.inserted, *id));
            ensure(ours, || {
                format!("undoing deleted {lost:?}, which the accept had not brought")
            })?;
        }
        if let Some(accepted) = self.accepted.get(&(number, undoes.to_owned()))
            && accepted.state == before.state
            && accepted.after == before.tree
        {
            self.tally.exact_undos += 1;
            ensure(accepted.before == after.tree, || {
                let (before, after) = (json(&accepted.before), json(&after.tree));
                let records = serde_json::to_string(&[undone, record]).unwrap_or_default();
                format!(
                    "undoing did not restore the text\nbefore {before}\nafter  {after}\nrecords {records}"
                )
            })?;
        }
        Ok(())
    }

    /// Somebody is told that a decision is carried out. **Invariant 5**: it is on disk.
    pub(crate) fn confirmed(&mut self, site: &Site, number: usize, decision: &str) -> Result<(), String> {
        let key = (number, decision.to_owned());
        let seq = self.made.get(&key).ok_or("a decision that was never made")?;
        ensure(site.disk.written >= *seq, || {
            format!("decision {decision} was confirmed and is not on disk")
        })?;
        self.confirmed.push(key);
        Ok(())
    }

    /// A relay has started again.
    pub(crate) fn restarted(&mut self, site: &Site, number: usize) -> Result<(), String> {
        self.tally.crashes += 1;
        let there = site.decisions();
        for (_, decision) in self.confirmed.iter().filter(|(at, _)| *at == number) {
            ensure(there.contains(decision), || {
                format!("decision {decision} was confirmed and is gone after a restart")
            })?;
        }
        Ok(())
    }
}

/// What a stateless message asks to decide, if it does.
fn decide_of(site: &Site, payload: &str) -> Option<Decide> {
    let message: Value = serde_json::from_str(payload).ok()?;
    if message["type"] != "decide" {
        return None;
    }
    let proposal = message["proposal"].as_str()?.to_owned();
    let (body, margin) = (site.room.document(Part::Body), site.room.document(Part::Margin));
    Some(Decide {
        action: serde_json::from_value(message["action"].clone()).ok()?,
        force: message["force"] == true,
        moment: Moment::of(body),
        range: range_of(body, margin, &proposal),
        history: decisions(body),
        proposal,
    })
}
