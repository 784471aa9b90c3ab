//! The one way to an engine outside this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crdt::policy::{Leave, Policy};
use model::{Capabilities, Chunk, GenerateError, GenerateRequest, Generation, Generator, ModelInfo, Pace};
use tokio::runtime::Handle;

use super::find::Kind;
use super::mask::{Masks, Unmasker};
use super::place::Place;

/// Pieces of an answer that may wait for their reader.
const PIECES: usize = 64;

/// Whoever keeps a document's policy, and the list of what has left.
pub trait Warden: Send + Sync + std::fmt::Debug {
    /// What may leave, now.
    fn policy(&self) -> Policy;

    /// Whether a person, by the id that their requests name, has been shown what leaves so to this engine, and agreed.
    fn agreed(&self, person: &str, engine: &str, leave: Leave) -> bool;

    /// Keeps a departure. Called where blocking is allowed, before anything is sent.
    ///
    /// # Errors
    /// Words about why it cannot be kept; nothing is sent then.
    fn record(&self, departure: Departure) -> Result<(), String>;
}

/// A request that leaves the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departure {
    /// To which engine.
    pub engine: String,
    /// Where it is.
    pub place: Place,
    /// Who asked: a person's id.
    pub by: String,
    /// How it was sent.
    pub leave: Leave,
    /// Characters sent.
    pub characters: usize,
    /// How many of each kind were masked.
    pub masked: BTreeMap<Kind, usize>,
}

/// What a document knows of people, and its text, for whoever masks pieces of it.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Mutex<Knowledge>>);

#[derive(Debug, Default)]
struct Knowledge {
    names: BTreeSet<String>,
    text: String,
}

impl Known {
    /// Adds names of people, and takes the document's text as it is now.
    pub fn learn(&self, names: impl IntoIterator<Item = String>, text: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.names.extend(names);
        known.text = text;
    }

    fn read(&self) -> (Vec<String>, String) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (known.names.iter().cloned().collect(), known.text.clone())
    }
}

/// An engine outside this program, for one document.
#[derive(Debug)]
pub struct Gate {
    inner: Arc<dyn Generator>,
    engine: String,
    place: Place,
    warden: Arc<dyn Warden>,
    known: Known,
    masks: Mutex<Masks>,
    /// What stands on the list already and was not sent after all: when it is tried again it is not listed twice.
    unsent: Mutex<Option<Departure>>,
}

impl Gate {
    /// An engine with this name at this place.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Generator>,
        engine: String,
        place: Place,
        warden: Arc<dyn Warden>,
        known: Known,
    ) -> Self {
        Self {
            inner,
            engine,
            place,
            warden,
            known,
            masks: Mutex::default(),
            unsent: Mutex::default(),
        }
    }

    /// What may be sent there now: everything, where it does not leave the machine.
    fn leave(&self) -> Leave {
        match self.place {
            Place::Machine => Leave::AsIs,
            Place::Network | Place::Internet => self.warden.policy().for_engine(&self.engine),
        }
    }

    fn masks(&self) -> MutexGuard<'_, Masks> {
        self.masks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(
        &self,
        request: &GenerateRequest,
        leave: Leave,
        masked: BTreeMap<Kind, usize>,
    ) -> Result<Departure, GenerateError> {
        let texts = request.messages.iter().map(|message| &message.content);
        let characters = texts
            .chain(&request.answer_prefix)
            .map(|text| text.chars().count())
            .sum();
        let departure = Departure {
            engine: self.engine.clone(),
            place: self.place,
            by: request.turn.requester.clone(),
            leave,
            characters,
            masked,
        };
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        if unsent.take().as_ref() != Some(&departure) {
            self.warden.record(departure.clone()).map_err(|words| {
                GenerateError::Refused(format!(
                    "nothing was sent to {}, because it cannot be noted down that it was: {words}",
                    self.engine
                ))
            })?;
        }
        Ok(departure)
    }

    /// Sends what stands on the list.
    fn send(&self, request: GenerateRequest, listed: Departure) -> Result<Generation, GenerateError> {
        let sent = self.inner.generate(request);
        if sent.is_err() {
            *self.unsent.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed);
        }
        sent
    }

    /// Replaces what is personal in a request; what was replaced, by kind.
    fn mask(&self, request: &mut GenerateRequest) -> (BTreeMap<Kind, usize>, Unmasker) {
        let (names, text) = self.known.read();
        let mut masks = self.masks();
        masks.learn(&text);
        for message in &request.messages {
            masks.learn(&message.content);
        }
        let mut seen = BTreeSet::new();
        let mut replace = |text: &mut String| {
            let masked = masks.mask(text, &names);
            seen.extend(
                masked
                    .spans
                    .into_iter()
                    .map(|(kind, placeholder, _)| (kind, placeholder)),
            );
            *text = masked.text;
        };
        for message in &mut request.messages {
            replace(&mut message.content);
        }
        if let Some(prefix) = &mut request.answer_prefix {
            replace(prefix);
        }
        for stop in &mut request.stop.strings {
            replace(stop);
        }
        // It says whose turn it is, and is of no use elsewhere.
        request.turn.requester.clear();
        let mut counts = BTreeMap::new();
        for (kind, _) in seen {
            *counts.entry(kind).or_default() += 1;
        }
        (counts, masks.unmasker())
    }
}

/// Why a request may not leave, for people.
fn refusal(engine: &str, place: Place) -> GenerateError {
    GenerateError::Refused(format!(
        "{engine} runs {}, and this document stays on this machine: its owner can change that under “What may leave this machine”",
        place.words()
    ))
}

/// Why a request of somebody who has not been asked may not leave, for people.
fn unseen(engine: &str) -> GenerateError {
    GenerateError::Refused(format!(
        "nothing was sent to {engine}: whoever asked has not yet been shown what leaves this machine, and agreed; ask in Inkling's \
         own page, which shows it first"
    ))
}

impl Generator for Gate {
    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            private: self.place == Place::Machine,
            adapters: false, // they lie on this machine, and are worn in this program
            ..self.inner.capabilities()
        }
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.inner.count_tokens(text)
    }

    fn pace(&self) -> Pace {
        self.inner.pace()
    }

    fn cached_tokens(&self, request: &GenerateRequest) -> usize {
        self.inner.cached_tokens(request)
    }

    fn generate(&self, mut request: GenerateRequest) -> Result<Generation, GenerateError> {
        let leave = self.leave();
        if self.place != Place::Machine
            && leave != Leave::Nothing
            && !self.warden.agreed(&request.turn.requester, &self.engine, leave)
        {
            return Err(unseen(&self.engine));
        }
        match leave {
            Leave::Nothing => Err(refusal(&self.engine, self.place)),
            Leave::AsIs => {
                if self.place == Place::Machine {
                    return self.inner.generate(request);
                }
                let listed = self.record(&request, Leave::AsIs, BTreeMap::new())?;
                self.send(request, listed)
            }
            Leave::Masked => {
                let by = request.turn.requester.clone();
                let (counts, unmasker) = self.mask(&mut request);
                let runtime =
                    Handle::try_current().map_err(|error| GenerateError::Failed(error.to_string()))?;
                let noted = GenerateRequest {
                    turn: model::Turn {
                        requester: by,
                        ..request.turn.clone()
                    },
                    ..request.clone()
                };
                let listed = self.record(&noted, Leave::Masked, counts)?;
                let masked = self.send(request, listed)?;
                Ok(unmasked(&runtime, masked, unmasker))
            }
        }
    }
}

/// Puts back what was replaced while an answer comes in. Dropping what is returned cancels the answer.
fn unmasked(runtime: &Handle, mut masked: Generation, mut unmasker: Unmasker) -> Generation {
    let (sender, generation) = Generation::channel(PIECES);
    runtime.spawn(async move {
        loop {
            let piece = tokio::select! {
                biased;
                () = sender.cancelled() => return,
                piece = masked.next() => piece,
            };
            let Some(piece) = piece else { return };
            let (text, end) = match piece {
                Ok(Chunk::Text(text)) => (unmasker.push(&text), None),
                Ok(Chunk::Done(summary)) => (unmasker.finish(), Some(Ok(Chunk::Done(summary)))),
                Err(error) => (unmasker.finish(), Some(Err(error))),
            };
            if !text.is_empty() && sender.send(Ok(Chunk::Text(text))).await.is_err() {
                return;
            }
            if let Some(end) = end {
                // An error: nobody is left to be told.
                let _gone = sender.send(end).await;
                return;
            }
        }
    });
    generation
}

#[cfg(test)]
mod tests;
