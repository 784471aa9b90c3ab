//! Which engine answers what: the small model here, or a larger one elsewhere where the document's policy allows it.
//!
//! A few more words while somebody types come from the model on this machine; what is proposed as a whole from a larger
//! one, if there is one and the policy lets it be asked. Where the small model was not sure of its words the larger one is
//! asked as well. Every choice that was not the person's own is told, with its reason, on the card.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crdt::margin::RequestKind;
use crdt::policy::Leave;
use model::Summary;
use tokio::sync::watch;

use crate::privacy::{Place, Warden};

/// Below this mean probability of its tokens an answer of the small model is doubtful.
pub const LEAST_MEAN: f64 = 0.25;

/// Below this mean probability of the few words that it was least sure of, too.
pub const LEAST_SPAN: f64 = 0.02;

/// Notes about requests that are kept for the peer that takes them up; more are forgotten.
const MOST_NOTES: usize = 256;

/// When the small model's answer is doubtful.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Mean probability of all tokens, 0 to 1; 0 never asks further.
    pub mean: f64,
    /// Mean probability of the weakest few words, 0 to 1; 0 never asks further.
    pub span: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            mean: LEAST_MEAN,
            span: LEAST_SPAN,
        }
    }
}

impl Thresholds {
    /// How sure the model was where it was not sure enough: 0 to 1.
    fn doubt(&self, summary: &Summary) -> Option<f64> {
        if summary.scores.is_empty() {
            return None; // it does not say
        }
        let mean = summary.mean_logprob.exp();
        let span =
            model::generate::confidence::weakest(&summary.scores).map_or(1.0, |span| span.mean_logprob.exp());
        if mean < self.mean {
            Some(mean)
        } else {
            (span < self.span).then_some(span)
        }
    }
}

/// An engine as others speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Its peer's id.
    pub peer: String,
    /// What people call it.
    pub name: String,
    /// Where it runs; `None` in this program.
    pub place: Option<Place>,
}

/// Who is to answer, and why, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The peer's id.
    pub peer: String,
    /// The reason, if there is one to tell.
    pub why: Option<String>,
}

/// What follows from an answer that was not sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Further {
    /// Nothing: it was sure enough, or nobody could be asked.
    Nothing,
    /// Another engine is to be asked, too.
    Ask(Choice),
    /// Another engine would be asked, but the policy forbids it: words.
    Kept(String),
}

/// The engines of one document, in their order: the first that may be asked is asked.
#[derive(Debug)]
pub struct Cascade {
    engines: watch::Receiver<Vec<Engine>>,
    warden: Arc<dyn Warden>,
    thresholds: Thresholds,
    /// Why a request was put to another engine, for that engine's peer to tell.
    notes: Mutex<HashMap<String, String>>,
}

impl Cascade {
    /// The engines that there are, as they come and go.
    #[must_use]
    pub fn new(
        engines: watch::Receiver<Vec<Engine>>,
        warden: Arc<dyn Warden>,
        thresholds: Thresholds,
    ) -> Self {
        Self {
            engines,
            warden,
            thresholds,
            notes: Mutex::default(),
        }
    }

    /// Who answers a request that names nobody, by the person with this id; `None`: whoever comes first.
    #[must_use]
    pub fn choose(&self, kind: RequestKind, by: &str) -> Option<Choice> {
        let engines = self.engines.borrow();
        let small = engines.iter().find(|engine| engine.place.is_none());
        let larger = || engines.iter().filter(|engine| engine.place.is_some());
        let best = larger().find(|engine| self.obstacle(engine, by).is_none());
        let choice = |engine: &Engine, why| Choice {
            peer: engine.peer.clone(),
            why,
        };
        match (small, best, larger().next()) {
            (Some(small), _, _) if kind == RequestKind::Continue => Some(choice(small, None)),
            (_, Some(best), _) => Some(choice(best, Some(self.sent(best)))),
            (Some(small), None, Some(kept)) => {
                let why = self.stays(small, kept, "would have been asked", by);
                Some(choice(small, Some(why)))
            }
            (Some(small), None, None) => Some(choice(small, None)),
            (None, None, _) => None,
        }
    }

    /// What follows when `me` has answered the person with this id like this.
    #[must_use]
    pub fn further(&self, me: &str, by: &str, summary: &Summary) -> Further {
        let Some(sure) = self.thresholds.doubt(summary) else {
            return Further::Nothing;
        };
        let engines = self.engines.borrow();
        let Some(small) = engines
            .iter()
            .find(|engine| engine.peer == me && engine.place.is_none())
        else {
            return Further::Nothing; // what is larger has nobody above it
        };
        let larger = || engines.iter().filter(|engine| engine.place.is_some());
        if let Some(best) = larger().find(|engine| self.obstacle(engine, by).is_none()) {
            let why = format!(
                "{} was not sure ({:.0} %). {}",
                small.name,
                sure * 100.0,
                self.sent(best)
            );
            return Further::Ask(Choice {
                peer: best.peer.clone(),
                why: Some(why),
            });
        }
        larger().next().map_or(Further::Nothing, |kept| {
            Further::Kept(self.stays(small, kept, "would have been asked as well", by))
        })
    }

    /// Who answers instead of `me`, which could not: the model on this machine.
    #[must_use]
    pub fn instead(&self, me: &str, error: &str) -> Option<Choice> {
        let engines = self.engines.borrow();
        let failed = engines
            .iter()
            .find(|engine| engine.peer == me && engine.place.is_some())?;
        let small = engines.iter().find(|engine| engine.place.is_none())?;
        Some(Choice {
            peer: small.peer.clone(),
            why: Some(format!(
                "Written by {} on this machine; {} was asked first, and there was no answer: {error}.",
                small.name, failed.name
            )),
        })
    }

    /// Keeps a reason for the peer that takes a request up.
    pub fn note(&self, request: &str, why: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= MOST_NOTES {
            notes.clear(); // of requests that nobody took up
        }
        notes.insert(request.to_owned(), why);
    }

    /// The reason that was kept; it stays, for a peer that has to begin again.
    #[must_use]
    pub fn noted(&self, request: &str) -> Option<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.get(request).cloned()
    }

    /// What may be sent to an engine.
    fn leave(&self, engine: &Engine) -> Leave {
        match engine.place {
            None | Some(Place::Machine) => Leave::AsIs,
            Some(Place::Network | Place::Internet) => self.warden.policy().for_engine(&engine.name),
        }
    }

    /// Why an engine may not be asked by somebody, if it may not.
    fn obstacle(&self, engine: &Engine, by: &str) -> Option<&'static str> {
        let leave = self.leave(engine);
        let is_near = matches!(engine.place, None | Some(Place::Machine));
        if leave == Leave::Nothing {
            Some("this document stays here")
        } else if is_near || self.warden.agreed(by, &engine.name, leave) {
            None
        } else {
            Some("whoever asked has not yet seen, and agreed to, what would leave this machine")
        }
    }

    /// That the small model answers, and why not another.
    fn stays(&self, small: &Engine, kept: &Engine, would: &str, by: &str) -> String {
        let why = self.obstacle(kept, by).unwrap_or("it is not there");
        format!(
            "Written by {} on this machine; {} {would}, but {why}.",
            small.name, kept.name
        )
    }

    /// That an engine was asked, and what it was shown.
    fn sent(&self, engine: &Engine) -> String {
        let place = engine.place.map_or("on this machine", Place::words);
        let shown = match self.leave(engine) {
            _ if engine.place == Some(Place::Machine) => "",
            Leave::Masked => "; personal data was masked before the text left",
            Leave::AsIs | Leave::Nothing => "; the text left this machine as it is",
        };
        format!("Written by {} {place}{shown}.", engine.name)
    }
}

#[cfg(test)]
mod tests;
