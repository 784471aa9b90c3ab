//! What models and those who ask them do in their copies of the margin.

use std::collections::VecDeque;

use crdt::anchor::{Anchor, Outline};
use crdt::ids::{Part, PeerKind, Role, Timestamp};
use crdt::margin::{
    self, Base, Person, ProposalKind, ProposalState, Request, RequestKind, RequestState, append_payload,
    finish_proposal, put_proposal, put_request,
};
use crdt::{IdSource, decision};
use rand::Rng;
use yrs::{ReadTxn, Transact};

use super::client::{Client, Job};
use super::hands;
use super::moment::proposal;
use super::payloads::payload;
use super::run::Fault;
use super::world::World;

/// How long a model keeps a request without saying anything, in milliseconds.
const LEASE: u64 = 20_000;

impl World {
    fn ulid(&mut self, who: usize) -> String {
        let now = self.time_of(who);
        let rng = &mut self.rng;
        (|| rng.random::<u128>()).ulid(now).to_string()
    }

    fn time_of(&self, who: usize) -> Timestamp {
        let client = &self.clients[who];
        client.time(self.sites[client.site].now)
    }

    /// The anchor for a place in what somebody sees.
    fn anchor(client: &Client, at: u32, len: u32) -> Anchor {
        let txn = client.body.doc().transact();
        let total = Outline::read(&txn).len();
        let from = at as usize % (total + 1);
        Anchor::for_range(&txn, from..(from + len as usize).min(total))
    }

    pub(crate) fn ask(&mut self, who: usize, at: u32, len: u32) {
        let id = self.ulid(who);
        let now = self.time_of(who);
        let client = &mut self.clients[who];
        let request = Request {
            id,
            kind: if len == 0 {
                RequestKind::Continue
            } else {
                RequestKind::Rewrite
            },
            by: Person {
                id: client.name.clone(),
                name: client.name.clone(),
            },
            at: now,
            anchor: Self::anchor(client, at, len),
            instruction: "Go on.".into(),
            to: String::new(),
            state: RequestState::Open,
            lease: None,
            proposal: None,
            error: None,
        };
        put_request(&mut client.margin.doc().transact_mut(), &request);
        client.flush(Part::Margin);
    }

    pub(crate) fn cancel_request(&mut self, who: usize, number: u8) {
        let client = &mut self.clients[who];
        let requests = margin::requests(&client.margin.doc().transact());
        if let Some(index) = usize::from(number).checked_rem(requests.len()) {
            margin::cancel_request(&mut client.margin.doc().transact_mut(), &requests[index].id);
            client.flush(Part::Margin);
        }
    }

    /// A proposal made at once, by a person.
    pub(crate) fn propose(
        &mut self,
        who: usize,
        kind: u8,
        at: u32,
        len: u32,
        form: u8,
    ) -> Result<(), String> {
        let kind = match kind % 8 {
            0 | 1 => ProposalKind::Insert,
            2 => ProposalKind::Delete,
            3 => ProposalKind::Comment,
            _ => ProposalKind::Replace,
        };
        let len = if kind == ProposalKind::Insert { 0 } else { len };
        let anchor = Self::anchor(&self.clients[who], at, len);
        let (id, text) = self.begin(who, kind, anchor, form, "");
        let client = &mut self.clients[who];
        let mut txn = client.margin.doc().transact_mut();
        append_payload(&mut txn, &id, &text).map_err(|error| error.to_string())?;
        finish_proposal(&mut txn, &id, ProposalState::Pending, None, None)
            .map_err(|error| error.to_string())?;
        drop(txn);
        client.flush(Part::Margin);
        Ok(())
    }

    /// Puts a proposal without a text into somebody's margin. Returns its id and the text to come.
    fn begin(
        &mut self,
        who: usize,
        kind: ProposalKind,
        anchor: Anchor,
        form: u8,
        request: &str,
    ) -> (String, String) {
        let id = self.ulid(who);
        let marker = format!("zq{}zq", self.watch.proposals.len());
        let client = &self.clients[who];
        let body = client.body.doc().transact();
        let text = payload(form, &marker, &anchor.quote);
        let mut proposal = proposal(&id, kind, anchor, Base::of(&body));
        request.clone_into(&mut proposal.request);
        put_proposal(&mut client.margin.doc().transact_mut(), &proposal);
        self.watch.bases.insert(id.clone(), body.state_vector());
        self.watch.proposals.push(id.clone());
        (id, text)
    }

    /// A model does the next thing.
    pub(crate) fn work(&mut self, number: u8, form: u8) -> Result<(), String> {
        let models: Vec<usize> = (0..self.clients.len())
            .filter(|who| self.clients[*who].kind == PeerKind::Ai)
            .collect();
        let Some(index) = usize::from(number).checked_rem(models.len()) else {
            return Ok(());
        };
        let who = models[index];
        let now = self.time_of(who);
        if self.fault == Fault::AiMayWrite {
            hands::type_text(self.clients[who].body.doc(), 11, "a model was here");
            self.clients[who].flush(Part::Body);
        }
        match self.clients[who].job.take() {
            None => self.look_for_work(who, now),
            Some(job) => self.go_on(who, now, job, form)?,
        }
        self.clients[who].flush(Part::Margin);
        Ok(())
    }

    fn look_for_work(&mut self, who: usize, now: Timestamp) {
        let client = &mut self.clients[who];
        let requests = margin::requests(&client.margin.doc().transact());
        let mut txn = client.margin.doc().transact_mut();
        let claimed = requests
            .into_iter()
            .find(|request| margin::claim(&mut txn, &request.id, &client.name, now, now.plus_ms(LEASE)));
        drop(txn);
        client.job = claimed.map(|request| Job {
            request: request.id,
            proposal: None,
            words: VecDeque::new(),
        });
    }

    fn go_on(&mut self, who: usize, now: Timestamp, mut job: Job, form: u8) -> Result<(), String> {
        let client = &mut self.clients[who];
        let renewed = {
            let mut txn = client.margin.doc().transact_mut();
            margin::renew(&mut txn, &job.request, &client.name, now.plus_ms(LEASE))
        };
        if !renewed {
            if let Some(proposal) = &job.proposal {
                let mut txn = client.margin.doc().transact_mut();
                // It may have been ended by somebody else.
                drop(finish_proposal(
                    &mut txn,
                    proposal,
                    ProposalState::Cancelled,
                    None,
                    None,
                ));
            }
            return Ok(());
        }
        match (&job.proposal, job.words.pop_front()) {
            (None, _) => {
                let request = margin::request(&client.margin.doc().transact(), &job.request);
                let request = request.ok_or("a request that was renewed and is not there")?;
                let kind = match request.kind {
                    RequestKind::Rewrite => ProposalKind::Replace,
                    _ => ProposalKind::Insert,
                };
                let (id, text) = self.begin(who, kind, request.anchor, form, &request.id);
                job.words = text.split_inclusive(' ').map(str::to_owned).collect();
                job.proposal = Some(id);
            }
            (Some(proposal), Some(word)) => {
                let mut txn = client.margin.doc().transact_mut();
                if append_payload(&mut txn, proposal, &word).is_err() {
                    return Ok(());
                }
            }
            (Some(proposal), None) => {
                let mut txn = client.margin.doc().transact_mut();
                let ended = finish_proposal(&mut txn, proposal, ProposalState::Pending, None, None).is_ok();
                margin::finish_request(&mut txn, &job.request, &client.name, proposal);
                self.watch.tally.streamed += usize::from(ended);
                return Ok(());
            }
        }
        self.clients[who].job = Some(job);
        Ok(())
    }

    /// A proposal for which, as somebody sees it, there is something to decide; now and then any. The number 254 is the last.
    pub(crate) fn candidate(&self, who: usize, number: u8, action: &str) -> Option<String> {
        let client = &self.clients[who];
        let (body, margin) = (client.body.doc().transact(), client.margin.doc().transact());
        let fits = |id: &&String| {
            let state = decision::effective_state(&body, &margin, id);
            match action {
                "undo" => matches!(state, Some(ProposalState::Accepted | ProposalState::Rejected)),
                _ => state == Some(ProposalState::Pending),
            }
        };
        let last = number == u8::MAX - 1;
        let any = number % 16 == 15;
        let candidates: Vec<&String> = self.watch.proposals.iter().filter(|id| any || fits(id)).collect();
        let chosen = match last {
            true => candidates.len().checked_sub(1)?,
            false => usize::from(number).checked_rem(candidates.len())?,
        };
        candidates.get(chosen).map(|id| (*id).clone())
    }
}

/// The role with a number.
pub(crate) const fn role(number: u8) -> Role {
    match number % 4 {
        0 => Role::Viewer,
        1 => Role::Suggester,
        2 => Role::Editor,
        _ => Role::Owner,
    }
}
