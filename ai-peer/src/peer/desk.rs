//! What a peer works with: its copies of the document, the model, and the writes it makes to the margin.

use std::sync::Arc;
use std::time::Duration;

use crdt::anchor::Outline;
use crdt::decision;
use crdt::ids::Identity;
use crdt::margin::{self, Author, ProposalState, Request, Stats};
use crdt::{Replica, Timestamp};
use model::Generator;
use serde_json::Value;
use yrs::{Transact, TransactionMut};

use super::job::Job;
use super::presence;
use crate::settings::Config;

/// Copies, model and settings.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) identity: Identity,
    pub(super) generator: Arc<dyn Generator>,
    pub(super) config: Config,
    pub(super) body: Replica,
    pub(super) margin: Replica,
    /// Tokens a second, as last seen.
    pub(super) speed: f64,
    /// How the text before the place began in the last prompt.
    pub(super) begin: String,
}

impl Desk {
    pub(super) fn new(mut identity: Identity, generator: Arc<dyn Generator>, config: Config) -> Self {
        let info = generator.info();
        identity.model = Some(info.name.clone());
        let speed = info.decode_tokens_per_second;
        Self {
            identity,
            generator,
            config,
            body: Replica::new(rand::random()),
            margin: Replica::new(rand::random()),
            speed,
            begin: String::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// This peer as an author.
    pub(super) fn author(&self) -> Author {
        let info = self.generator.info();
        Author {
            quantisation: Some(info.quantisation.clone()),
            device: Some(self.place().to_owned()),
            ..Author::from(&self.identity)
        }
    }

    /// Where the model runs, for people.
    pub(super) fn place(&self) -> &str {
        let device = self.generator.info().device.provider.name();
        self.config.place.as_deref().unwrap_or(device)
    }

    /// The same, and how much of the model runs there where that is not all of it.
    pub(super) fn device(&self) -> String {
        let label = || self.generator.info().device.label();
        self.config.place.clone().unwrap_or_else(label)
    }

    /// Tells who is here and what the text is to whoever keeps pieces of both from leaving.
    pub(super) fn tell(&self, request: &Request) {
        let Some(known) = &self.config.known else { return };
        let here = self.body.awareness().others().filter_map(|(_, state)| {
            let user = &state["user"];
            (user["kind"] != "ai").then(|| user["name"].as_str().map(str::to_owned))?
        });
        let asked = {
            let txn = self.margin.doc().transact();
            margin::requests(&txn)
                .into_iter()
                .map(|request| request.by.name)
                .collect::<Vec<_>>()
        };
        let names = here.chain(asked).chain([request.by.name.clone()]);
        let text = Outline::read(&self.body.doc().transact()).text();
        known.learn(names.filter(|name| !name.trim().is_empty()), text);
    }

    /// Changes the margin.
    pub(super) fn write<R>(&self, change: impl FnOnce(&mut TransactionMut<'_>) -> R) -> R {
        change(&mut self.margin.doc().transact_mut())
    }

    /// Takes a request, from another peer if its lease has run out; whether it was to be had.
    pub(super) fn claim(&self, request: &str, from: Option<String>, until: Timestamp) -> bool {
        self.write(|txn| {
            if let Some(from) = from {
                margin::release(txn, request, &from);
            }
            margin::claim(txn, request, &self.identity.id, self.now(), until)
        })
    }

    pub(super) fn renew(&self, request: &str, until: Timestamp) -> bool {
        self.write(|txn| margin::renew(txn, request, &self.identity.id, until))
    }

    /// Gives back a request that is `peer`'s.
    pub(super) fn release(&self, request: &str, peer: &str) {
        self.write(|txn| margin::release(txn, request, peer));
    }

    /// Ends a request without an answer.
    pub(super) fn fail(&self, request: &str, error: &str) {
        self.write(|txn| margin::fail_request(txn, request, &self.identity.id, error));
    }

    /// Ends a proposal that still grows.
    pub(super) fn end(
        &self,
        proposal: &str,
        state: ProposalState,
        stats: Option<&Stats>,
        error: Option<&str>,
    ) {
        let ended = self.write(|txn| margin::finish_proposal(txn, proposal, state, stats, error));
        if let Err(error) = ended {
            tracing::debug!(%error, "somebody was quicker");
        }
    }

    /// Whether a proposal still grows, and nobody has decided it.
    pub(super) fn is_growing(&self, proposal: &str) -> bool {
        let (body, margin) = (self.body.doc().transact(), self.margin.doc().transact());
        decision::effective_state(&body, &margin, proposal) == Some(ProposalState::Streaming)
    }

    /// Whether another AI is seen at the document.
    pub(super) fn has_rivals(&self) -> bool {
        let rival = |user: &Value| user["kind"] == "ai" && user["id"] != self.identity.id.as_str();
        self.body
            .awareness()
            .others()
            .any(|(_, state)| rival(&state["user"]))
    }

    /// How long after a claim another peer's claim may still arrive.
    pub(super) fn settle(&self) -> Duration {
        if self.has_rivals() {
            self.config.settle_with_rivals
        } else {
            self.config.settle
        }
    }

    /// The frame that tells the others what this peer does, if that has changed.
    pub(super) fn publish(&mut self, jobs: &[Job]) -> Option<Vec<u8>> {
        let state = presence::state(self, jobs);
        let now = self.now();
        self.body.set_local_state(now, Some(state))
    }
}
