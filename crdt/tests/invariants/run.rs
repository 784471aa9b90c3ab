//! Carries out a plan and watches that the invariants hold.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt::anchor::{Anchor, Outline};
use crdt::decision::{self, Action, DecideError, Decision};
use crdt::margin::{
    self, Base, Person, ProposalKind, ProposalState, append_payload, finish_proposal, put_proposal,
};
use crdt::{IdRange, Node, Timestamp};
use yrs::block::ClientID;
use yrs::{ReadTxn, StateVector, Transact};

use super::cut::words;
use super::door;
use super::hands::{self, Id};
use super::moment::{Moment, decisions, ensure, is_in, json, lives, proposal, range_of, records};
use super::payloads::payload;
use super::plan::{Plan, Step};
use super::world::{Peer, World};

/// A mistake that is made on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Accepting takes the present for what the proposal's author saw, so deletes what others wrote since.
    IgnoreBase,
    /// Nobody repairs.
    NoRepair,
    /// Undoing forgets what was taken out.
    ForgetRemoved,
    /// A proposal writes into the body.
    ProposalWrites,
    /// One peer is left out when all come together.
    LeaveOneOut,
}

/// What is remembered of an accept.
struct Accepted {
    before: Vec<Node>,
    after: Vec<Node>,
    state: StateVector,
}

struct Run<'a> {
    plan: &'a Plan,
    fault: Fault,
    world: World,
    proposals: Vec<String>,
    bases: HashMap<String, StateVector>,
    accepted: HashMap<String, Accepted>,
    now: u64,
}

/// What happened in a run, to see that runs are worth their time.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) accepts: usize,
    pub(crate) forced: usize,
    pub(crate) undos: usize,
    pub(crate) exact_undos: usize,
    pub(crate) repairs: usize,
}

/// Runs a plan. The error says which invariant was broken, and where.
pub(crate) fn run(plan: &Plan, fault: Fault) -> Result<Tally, String> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run {
            plan,
            fault,
            world: World::new(plan.seed, plan.peers),
            proposals: Vec::new(),
            bases: HashMap::new(),
            accepted: HashMap::new(),
            now: 1_000,
        };
        let mut tally = Tally::default();
        for (number, step) in plan.steps.iter().enumerate() {
            run.now += 1;
            run.step(step, &mut tally)
                .map_err(|error| format!("step {number} {step:?}: {error}"))?;
        }
        run.finish(&mut tally)
            .map_err(|error| format!("at the end: {error}"))?;
        Ok(tally)
    }));
    result.unwrap_or_else(|panic| Err(format!("panicked: {}", words(&*panic))))
}

impl Run<'_> {
    fn step(&mut self, step: &Step, tally: &mut Tally) -> Result<(), String> {
        let peer = |peer: u8| usize::from(peer) % self.world.peers.len();
        let body = |who: u8| &self.world.peers[peer(who)].body;
        match step {
            Step::Type { peer: who, at, text } => hands::type_text(body(*who), *at, text),
            Step::Erase { peer: who, at, len } => hands::erase(body(*who), *at, *len),
            Step::Format {
                peer: who,
                at,
                len,
                mark,
            } => hands::format(body(*who), *at, *len, *mark),
            Step::Split { peer: who, at } => hands::split(body(*who), *at),
            Step::Join { peer: who, at } => hands::join(body(*who), *at),
            Step::DeleteBlock { peer: who, at } => hands::delete_block(body(*who), *at),
            Step::AddBlock { peer: who, at, text } => hands::add_block(body(*who), *at, text),
            Step::Sync { one, two } => self.world.sync(peer(*one), peer(*two)),
            Step::Restart { peer: who } => {
                let who = peer(*who);
                self.world.restart(who);
            }
            Step::Repair { peer: who } => self.repair(peer(*who), tally)?,
            Step::Propose {
                peer: who,
                kind,
                at,
                len,
                payload,
            } => {
                self.propose(peer(*who), *kind, *at, *len, *payload)?;
            }
            Step::Decide {
                peer: who,
                proposal,
                action,
                force,
            } => {
                self.decide(peer(*who), *proposal, *action, *force, tally)?;
            }
        }
        Ok(())
    }

    /// A model writes a proposal. **Invariant 1**: the body stays as it is.
    fn propose(&mut self, who: usize, kind: u8, at: u32, len: u32, form: u8) -> Result<(), String> {
        let id = format!("P{:03}", self.proposals.len());
        let marker = format!("zq{}zq", self.proposals.len());
        let client = self.world.client();
        let peer = &self.world.peers[who];
        let before = (peer.state(), peer.tree());
        let (anchor, base) = {
            let txn = peer.body.transact();
            let total = Outline::read(&txn).len();
            let from = at as usize % (total + 1);
            let len = if kind % 8 < 2 { 0 } else { len as usize };
            (
                Anchor::for_range(&txn, from..(from + len).min(total)),
                Base::of(&txn),
            )
        };
        let kind = match kind % 8 {
            0 | 1 => ProposalKind::Insert,
            2 => ProposalKind::Delete,
            3 => ProposalKind::Comment,
            _ => ProposalKind::Replace,
        };
        let payload = payload(form, &marker, &anchor.quote);
        // The model is a connection like any other: what it says goes through a room that has this peer's body.
        let writes = self.fault == Fault::ProposalWrites;
        let done = door::through(&peer.body, &peer.margin, client, writes, |margin| {
            put_proposal(
                &mut margin.transact_mut(),
                &proposal(&id, kind, anchor.clone(), base.clone()),
            );
            for part in payload.split_inclusive(' ') {
                append_payload(&mut margin.transact_mut(), &id, part).map_err(|error| error.to_string())?;
            }
            finish_proposal(
                &mut margin.transact_mut(),
                &id,
                ProposalState::Pending,
                None,
                None,
            )
            .map_err(|error| error.to_string())
        })?;
        let after = (done.body.transact().state_vector(), hands::tree(&done.body));
        peer.learn(&done);
        self.bases.insert(id.clone(), before.0.clone());
        ensure(margin::proposal(&peer.margin.transact(), &id).is_some(), || {
            format!("the room did not take {id}")
        })?;
        self.proposals.push(id);
        ensure(before == after, || "a proposal changed the body".into())
    }

    fn decide(
        &mut self,
        who: usize,
        number: u8,
        action: u8,
        force: bool,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let action = match action {
            0..5 => Action::Accept,
            5 => Action::Reject,
            _ => Action::Undo,
        };
        let Some(id) = self.candidate(who, number, action) else {
            return Ok(());
        };
        self.repair(who, tally)?; // as a relay does whenever relays that were apart meet
        self.plant(who, &id, action);
        let peer = &self.world.peers[who];
        let before = Moment::of(&peer.body);
        let range = range_of(&peer.body, &peer.margin, &id);
        let history = decisions(&peer.body);
        let chance = self.world.chance();
        let peer = &self.world.peers[who];
        let person = Person {
            id: format!("u{who}"),
            name: "U".into(),
        };
        let mut ids = || chance;
        let outcome = decision::decide(
            &peer.body,
            &peer.margin,
            &id,
            action,
            &person,
            Timestamp(self.now),
            &mut ids,
            force,
        );
        let after = Moment::of(&peer.body);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                ensure(before.tree == after.tree, || {
                    format!("refused ({error}) and yet the text changed")
                })?;
                if let DecideError::Stale(_) = error {
                    ensure(!force, || "forced and yet stale".into())?;
                }
                return Ok(());
            }
        };
        let txn = peer.body.transact();
        let record = decision::decisions(&txn)
            .into_iter()
            .find(|record| record.id == outcome.decision);
        drop(txn);
        let record = record.ok_or("there is no record")?;
        if before.flaw.is_none() {
            ensure(after.flaw.is_none(), || {
                format!("the tree broke: {:?}\n{}", after.flaw, peer.text())
            })?;
        }
        match action {
            Action::Reject => ensure(before.tree == after.tree, || {
                "a rejection changed the text".into()
            }),
            Action::Accept => {
                tally.accepts += 1;
                tally.forced += usize::from(force);
                self.accepted.insert(
                    record.id.clone(),
                    Accepted {
                        before: before.tree.clone(),
                        after: after.tree.clone(),
                        state: peer.state(),
                    },
                );
                self.accepted_rightly(who, &id, &before, &after, range.as_ref())
            }
            Action::Undo => {
                tally.undos += 1;
                self.undone_rightly(&record, &history, &before, &after, tally)
            }
        }
    }

    /// A proposal for which there is something to decide here; now and then any.
    fn candidate(&self, who: usize, number: u8, action: Action) -> Option<String> {
        let peer = &self.world.peers[who];
        let fits = |id: &&String| {
            let state = decision::effective_state(&peer.body.transact(), &peer.margin.transact(), id);
            match action {
                Action::Accept | Action::Reject => state == Some(ProposalState::Pending),
                Action::Undo => matches!(state, Some(ProposalState::Accepted | ProposalState::Rejected)),
            }
        };
        let any = number % 16 == 15;
        let candidates: Vec<&String> = self.proposals.iter().filter(|id| any || fits(id)).collect();
        let chosen = usize::from(number).checked_rem(candidates.len())?;
        Some((*candidates.get(chosen)?).clone())
    }

    /// **Invariant 3**: an accept deletes only what was there when the proposal was made, or was put back of that since, and
    /// only within the proposal's range.
    fn accepted_rightly(
        &self,
        who: usize,
        id: &str,
        before: &Moment,
        after: &Moment,
        range: Option<&BTreeMap<Id, u16>>,
    ) -> Result<(), String> {
        let base = &self.bases[id];
        let decisions = decisions(&self.world.peers[who].body);
        for lost in before.lost(after) {
            let known = lives(&decisions, lost)
                .iter()
                .any(|id| base.get(&ClientID::new(id.0)) > id.1);
            ensure(known, || {
                format!("accepting {id} deleted {lost:?}, which was written later")
            })?;
            if let Some(range) = range {
                ensure(range.contains_key(&lost), || {
                    format!("accepting {id} deleted {lost:?}, beyond its range")
                })?;
            }
        }
        Ok(())
    }

    /// **Invariant 4**: an undo takes out only what the accept brought in; and if nothing else happened since, the document is
    /// what it was.
    fn undone_rightly(
        &self,
        record: &Decision,
        history: &[Decision],
        before: &Moment,
        after: &Moment,
        tally: &mut Tally,
    ) -> Result<(), String> {
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
        if let Some(accepted) = self.accepted.get(undoes)
            && accepted.state == before.state
            && accepted.after == before.tree
        {
            tally.exact_undos += 1;
            ensure(accepted.before == after.tree, || {
                let (before, after) = (json(&accepted.before), json(&after.tree));
                format!("undoing did not restore the text\nbefore {before}\nafter  {after}")
            })?;
        }
        Ok(())
    }

    fn repair(&self, who: usize, tally: &mut Tally) -> Result<(), String> {
        if self.fault == Fault::NoRepair {
            return Ok(());
        }
        let peer = &self.world.peers[who];
        let before = Moment::of(&peer.body);
        tally.repairs += decision::repair(&peer.body).map_err(|error| error.to_string())?;
        let after = Moment::of(&peer.body);
        let now = decisions(&peer.body);
        let undone = |id: &str| now.iter().any(|record| record.undoes.as_deref() == Some(id));
        let repaired: Vec<IdRange> = now
            .iter()
            .filter(|record| record.repaired || record.action == Action::Accept && undone(&record.id))
            .flat_map(|record| record.inserted.clone())
            .collect();
        for lost in before.lost(&after) {
            ensure(lives(&now, lost).iter().any(|id| is_in(&repaired, *id)), || {
                format!("a repair deleted {lost:?}, which no undone or repaired decision brought")
            })?;
        }
        if before.flaw.is_none() {
            ensure(after.flaw.is_none(), || {
                format!("a repair broke the tree: {:?}", after.flaw)
            })?;
        }
        ensure(decision::repair(&peer.body) == Ok(0), || {
            "repairing again repaired again".into()
        })
    }

    /// **Invariants 2 and 6**: all come together; every replica is the same, and no payload is there twice.
    fn finish(&mut self, tally: &mut Tally) -> Result<(), String> {
        let peers = self.world.peers.len();
        let all = if self.fault == Fault::LeaveOneOut {
            peers - 1
        } else {
            peers
        };
        for _ in 0..3 {
            for one in 0..all {
                for two in 0..all {
                    self.world.sync(one, two);
                }
            }
            for who in 0..peers {
                self.repair(who, tally)?;
            }
        }
        let first = &self.world.peers[0];
        for (who, peer) in self.world.peers.iter().enumerate().skip(1) {
            ensure(first.state() == peer.state(), || {
                format!("peer {who} has not seen all that peer 0 has")
            })?;
            ensure(first.tree() == peer.tree(), || {
                format!(
                    "peers 0 and {who} are apart\n{}\n{}",
                    json(&first.tree()),
                    json(&peer.tree())
                )
            })?;
            ensure(decisions(&first.body) == decisions(&peer.body), || {
                format!("peer {who} has other decisions")
            })?;
            let proposals = |peer: &Peer| margin::proposals(&peer.margin.transact());
            ensure(proposals(first) == proposals(peer), || {
                format!("peer {who} has another margin")
            })?;
        }
        let all = decisions(&first.body);
        let lived: Vec<Vec<Id>> = hands::alive(&first.body)
            .keys()
            .map(|id| lives(&all, *id))
            .collect();
        let text = first.text();
        for (number, id) in self.proposals.iter().enumerate() {
            let accepts: Vec<Decision> = records(&first.body, id)
                .into_iter()
                .filter(|record| record.action == Action::Accept)
                .collect();
            let live = accepts
                .iter()
                .filter(|accept| {
                    lived
                        .iter()
                        .any(|lives| lives.iter().any(|id| is_in(&accept.inserted, *id)))
                })
                .count();
            ensure(live <= 1, || format!("the text of {id} is there {live} times"))?;
            let state = decision::effective_state(&first.body.transact(), &first.margin.transact(), id);
            if state == Some(ProposalState::Pending) || state == Some(ProposalState::Rejected) {
                ensure(live == 0, || format!("{id} is {state:?} and its text is there"))?;
            }
            let copies = text.matches(&format!("zq{number}zq")).count();
            if !self.plan.copies_text() {
                ensure(copies <= 1, || {
                    format!("the words of {id} are there {copies} times:\n{text}")
                })?;
            }
        }
        Ok(())
    }

    /// Makes the mistake.
    fn plant(&mut self, who: usize, id: &str, action: Action) {
        let peer = &self.world.peers[who];
        match (self.fault, action) {
            (Fault::IgnoreBase, Action::Accept) => {
                let found = margin::proposal(&peer.margin.transact(), id);
                if let Some(mut proposal) = found {
                    proposal.base = Base::of(&peer.body.transact());
                    put_proposal(&mut peer.margin.transact_mut(), &proposal);
                }
            }
            (Fault::ForgetRemoved, Action::Undo) => {
                let root = crdt::doc::decisions(&peer.body);
                for mut record in records(&peer.body, id) {
                    record.removed.clear();
                    let json = serde_json::to_value(&record).expect("a record is JSON");
                    yrs::Map::insert(
                        &root,
                        &mut peer.body.transact_mut(),
                        record.id.as_str(),
                        crdt::content::to_any(&json),
                    );
                }
                // The undo is to look like one after which nothing else has happened.
                for accepted in self.accepted.values_mut() {
                    accepted.state = peer.state();
                }
            }
            _ => {}
        }
    }
}
