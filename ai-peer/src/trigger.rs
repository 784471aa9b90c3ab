//! When to act: from what the margin says, the time, and what this peer is doing, to what it does next.
//!
//! Pure: no document, no clock. A lease is judged by what this peer has seen of it, not by the other's clock alone, so that
//! clocks that differ neither steal a request nor leave one lying.

use std::collections::HashMap;

use crdt::Timestamp;
use crdt::margin::{AuthorKind, Lease, Proposal, ProposalState, Request, RequestKind, RequestState};

use crate::settings::LeaseTimes;

/// After so many answers that broke off a request is given up: it may be what breaks them.
const MAX_ATTEMPTS: usize = 3;

/// What a proposal says whose author vanished without a word. Others end it so.
pub const AUTHOR_GONE: &str = "its author left before the end";

/// A request that this peer has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The request's id.
    pub request: String,
    /// Until when, as this peer last wrote it. Two processes that were given one id are told apart by it.
    pub until: Timestamp,
    /// The proposal, once there is one.
    pub proposal: Option<String>,
}

/// Why to stop working on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled it.
    Cancelled,
    /// It was taken out of the margin.
    Removed,
    /// Another peer has it, or has ended it.
    LeaseLost,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take a request and begin.
    Claim {
        /// The request's id.
        request: String,
        /// Who let its lease run out, if somebody did: to be released first.
        from: Option<String>,
        /// Until when.
        until: Timestamp,
    },
    /// Lengthen the own lease.
    Renew {
        /// The request's id.
        request: String,
        /// Until when.
        until: Timestamp,
    },
    /// Stop working.
    Stop {
        /// The request's id.
        request: String,
        /// Why.
        why: Stop,
    },
    /// Take a request from a peer that let its lease run out, and leave it to others.
    Release {
        /// The request's id.
        request: String,
        /// Whose lease ran out.
        from: String,
    },
    /// End a half-written proposal whose author is gone: it becomes cancelled.
    Discard {
        /// The proposal's id.
        proposal: String,
    },
    /// Give up a request that was begun too often.
    GiveUp {
        /// The request's id.
        request: String,
        /// Who let its lease run out, if somebody did.
        from: Option<String>,
        /// Until when the lease lasts that it takes to say so.
        until: Timestamp,
    },
}

/// The actions that are due, in order, and when to look again at the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub actions: Vec<Action>,
    /// When to look again though nothing changed.
    pub wake: Option<Timestamp>,
}

impl Plan {
    fn wake_by(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// What this peer has seen of others' leases and proposals.
#[derive(Debug)]
pub struct Trigger {
    me: String,
    times: LeaseTimes,
    /// For every claimed request: its lease, and since when this peer knows it so.
    leases: HashMap<String, (Lease, Timestamp)>,
    /// For every proposal that grows though nobody holds its request: since when.
    orphans: HashMap<String, Timestamp>,
    /// The leases that this peer held when its work broke off.
    abandoned: Vec<Lease>,
    /// Requests that it works on at the same time, at most.
    most: usize,
}

impl Trigger {
    /// A peer that has seen nothing yet and works on `most` requests at the same time.
    #[must_use]
    pub fn new(me: &str, times: LeaseTimes, most: usize) -> Self {
        Self {
            me: me.to_owned(),
            times,
            leases: HashMap::new(),
            orphans: HashMap::new(),
            abandoned: Vec::new(),
            most: most.max(1),
        }
    }

    /// This peer's work broke off and its lease was left as it is: it need not wait for that lease to run out.
    pub fn abandon(&mut self, held: &Held) {
        self.abandoned.push(Lease {
            peer: self.me.clone(),
            until: held.until,
        });
    }

    /// What to do now. `requests` and `proposals` are all that the margin has. `rivals`: other peers may want what names nobody;
    /// it is shared with them, one at a time.
    pub fn next(
        &mut self,
        now: Timestamp,
        requests: &[Request],
        proposals: &[Proposal],
        doing: &[&Held],
        rivals: bool,
    ) -> Plan {
        let mut plan = Plan::default();
        self.watch(now, requests);
        for held in doing {
            self.keep(now, requests, held, &mut plan);
        }
        self.discard(now, requests, proposals, doing, &mut plan);
        for request in requests {
            let Some(lease) = lease(request) else { continue };
            if doing.iter().any(|held| held.request == request.id) {
                continue;
            }
            if !self.has_run_out(now, request) {
                plan.wake_by(self.runs_out(request).max(now.plus_ms(1)));
            } else if !self.is_for_me(request) {
                plan.actions.push(Action::Release {
                    request: request.id.clone(),
                    from: lease.peer.clone(),
                });
            }
        }
        self.claim(now, requests, proposals, doing, rivals, &mut plan);
        plan
    }

    /// Notes which leases changed.
    fn watch(&mut self, now: Timestamp, requests: &[Request]) {
        let mut seen = HashMap::new();
        for request in requests {
            if let Some(lease) = lease(request) {
                let since = match self.leases.get(&request.id) {
                    Some((known, since)) if known == lease => *since,
                    _ => now,
                };
                seen.insert(request.id.clone(), (lease.clone(), since));
            }
        }
        self.leases = seen;
        let leases = &self.leases;
        self.abandoned
            .retain(|lease| leases.values().any(|(known, _)| known == lease));
    }

    /// When a claimed request may be taken from whoever has it.
    fn runs_out(&self, request: &Request) -> Timestamp {
        let Some((lease, since)) = self.leases.get(&request.id) else {
            return Timestamp::default(); // claimed without a lease: anybody's
        };
        if self.abandoned.contains(lease) {
            return Timestamp::default();
        }
        // Its own word counts once it has failed to renew before our eyes; a clock ahead of ours is not waited for for ever.
        let watched = since.plus_ms(2 * self.times.renew);
        lease.until.max(watched).min(since.plus_ms(2 * self.times.length))
    }

    fn has_run_out(&self, now: Timestamp, request: &Request) -> bool {
        request.state == RequestState::Claimed && self.runs_out(request) <= now
    }

    fn is_for_me(&self, request: &Request) -> bool {
        request.to.is_empty() || request.to == self.me
    }

    /// The own work: still wanted, still ours, lease due?
    fn keep(&self, now: Timestamp, requests: &[Request], held: &Held, plan: &mut Plan) {
        let stop = |why| Action::Stop {
            request: held.request.clone(),
            why,
        };
        let Some(request) = requests.iter().find(|request| request.id == held.request) else {
            plan.actions.push(stop(Stop::Removed));
            return;
        };
        let ours = |lease: &Lease| lease.peer == self.me && lease.until == held.until;
        match request.state {
            RequestState::Cancelled => plan.actions.push(stop(Stop::Cancelled)),
            RequestState::Claimed if request.lease.as_ref().is_some_and(ours) => {
                let due = Timestamp(held.until.0.saturating_sub(self.times.length)).plus_ms(self.times.renew);
                if due <= now {
                    plan.actions.push(Action::Renew {
                        request: held.request.clone(),
                        until: now.plus_ms(self.times.length),
                    });
                    plan.wake_by(now.plus_ms(self.times.renew));
                } else {
                    plan.wake_by(due);
                }
            }
            RequestState::Claimed | RequestState::Open | RequestState::Done | RequestState::Failed => {
                plan.actions.push(stop(Stop::LeaseLost));
            }
        }
    }

    /// Half-written proposals that nobody goes on with.
    fn discard(
        &mut self,
        now: Timestamp,
        requests: &[Request],
        proposals: &[Proposal],
        doing: &[&Held],
        plan: &mut Plan,
    ) {
        let mut orphans = HashMap::new();
        let is_own = |id: &str| doing.iter().any(|held| held.proposal.as_deref() == Some(id));
        for proposal in proposals {
            let grows = proposal.state == ProposalState::Streaming && proposal.author.kind == AuthorKind::Ai;
            if !grows || is_own(&proposal.id) {
                continue;
            }
            let request = requests.iter().find(|request| request.id == proposal.request);
            let holder = request.and_then(lease).map(|lease| lease.peer.as_str());
            let run_out = request.is_some_and(|request| self.has_run_out(now, request));
            if holder == Some(proposal.author.id.as_str()) && !run_out {
                continue;
            }
            // Its author may still be about to end it itself, unless its lease says that it is gone.
            let since = self.orphans.get(&proposal.id).copied().unwrap_or(now);
            let due = since.plus_ms(self.times.length);
            if run_out || due <= now {
                plan.actions.push(Action::Discard {
                    proposal: proposal.id.clone(),
                });
            } else {
                plan.wake_by(due);
                orphans.insert(proposal.id.clone(), since);
            }
        }
        self.orphans = orphans;
    }

    /// The requests that are to be had, as many as there is room for: the oldest of who has fewest in work.
    fn claim(
        &self,
        now: Timestamp,
        requests: &[Request],
        proposals: &[Proposal],
        doing: &[&Held],
        rivals: bool,
        plan: &mut Plan,
    ) {
        let is_doing = |request: &Request| doing.iter().any(|held| held.request == request.id);
        let mut busy: HashMap<&str, usize> = HashMap::new();
        for request in requests.iter().filter(|request| is_doing(request)) {
            *busy.entry(&request.by.id).or_default() += 1;
        }
        let mut free: Vec<&Request> = requests
            .iter()
            .filter(|request| {
                is_text(request.kind)
                    && !is_doing(request)
                    && self.is_for_me(request)
                    && (request.state == RequestState::Open || self.has_run_out(now, request))
            })
            .collect();
        for taken in doing.len()..self.most {
            free.retain(|request| taken == 0 || !rivals || request.to == self.me);
            let order = |(_, request): &(usize, &&Request)| {
                let in_work = busy.get(request.by.id.as_str()).copied().unwrap_or(0);
                (in_work, request.at, request.id.clone())
            };
            let Some((next, _)) = free.iter().enumerate().min_by_key(order) else {
                return;
            };
            let request = free.swap_remove(next);
            *busy.entry(&request.by.id).or_default() += 1;
            plan.actions.push(self.take(now, request, proposals));
        }
    }

    /// How to take a request that is to be had: it is begun, or given up.
    fn take(&self, now: Timestamp, request: &Request, proposals: &[Proposal]) -> Action {
        // Who was interrupted (asked to leave, cut off, overtaken) says so. Who vanished may have been broken by the request.
        let broken_off = |proposal: &&Proposal| {
            proposal.request == request.id
                && match proposal.state {
                    ProposalState::Streaming => true,
                    ProposalState::Cancelled => proposal.error.as_deref() == Some(AUTHOR_GONE),
                    ProposalState::Pending
                    | ProposalState::Failed
                    | ProposalState::Accepted
                    | ProposalState::Rejected => false,
                }
        };
        let from = lease(request).map(|lease| lease.peer.clone());
        let until = now.plus_ms(self.times.length);
        let request = request.id.clone();
        if proposals.iter().filter(broken_off).count() < MAX_ATTEMPTS {
            Action::Claim { request, from, until }
        } else {
            Action::GiveUp { request, from, until }
        }
    }
}

/// The lease of a request that is being worked on.
fn lease(request: &Request) -> Option<&Lease> {
    match request.state {
        RequestState::Claimed => request.lease.as_ref(),
        RequestState::Open | RequestState::Done | RequestState::Failed | RequestState::Cancelled => None,
    }
}

/// Whether a text model answers this kind.
#[must_use]
pub const fn is_text(kind: RequestKind) -> bool {
    match kind {
        RequestKind::Continue
        | RequestKind::Rewrite
        | RequestKind::Summarise
        | RequestKind::Brainstorm
        | RequestKind::Ask => true,
        RequestKind::Caption | RequestKind::Transcribe | RequestKind::Check => false,
    }
}

#[cfg(test)]
mod tests;
