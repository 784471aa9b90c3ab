//! One request in work: from the claim over prompt and answer to the end, whichever it is.

use std::sync::Arc;
use std::time::Duration;

use crdt::Timestamp;
use crdt::anchor::{Anchor, RelativePosition, Resolved};
use crdt::margin::{self, Author, Base, MarginError, Proposal, ProposalState, Request, Stats};
use model::{Chunk, FinishReason, GenerateError, GenerateRequest, Generation, Summary};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use yrs::Transact;

use super::answer::{Answer, doubt};
use super::asking::{self, News, Prepared, Question};
use super::desk::Desk;
use super::further;
use super::new_id;
use crate::context::{Scene, Unseen, look};
use crate::trigger::Held;
use crate::writer::{Flow, Writer};

/// How long the relay may take to answer a claim.
const ECHO_PATIENCE: Duration = Duration::from_secs(10);

/// How soon a model that has too much to do is asked again.
const BUSY_RETRY: Duration = Duration::from_millis(250);

/// How often the text around is looked at while it changes: reading a long document takes its time.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// How often the others are told how fast the model writes.
const SPEED_EVERY: Duration = Duration::from_secs(1);

/// How often a model may answer nothing.
const MAX_ATTEMPTS: u32 = 3;

/// Why work stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// Somebody cancelled the request.
    Cancelled,
    /// Another peer has the request.
    LeaseLost,
    /// Somebody ended or decided the proposal.
    Decided,
    /// The text that it is about was deleted.
    Gone,
    /// This peer leaves.
    Leaving,
    /// The link to the margin is gone.
    LinkLost,
}

/// How far a job is after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Working,
    /// The relay does not answer.
    Silent,
    /// Everything about it is written.
    Ended,
}

/// How a request came to this peer.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Why it is this one that answers, for the card.
    pub(super) why: Option<String>,
    /// Nobody had named it: another may answer instead, or besides.
    pub(super) chosen: bool,
}

/// A request in work.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) held: Held,
    /// Which question to the relay, for what it has, came after the claim.
    pub(super) question: Option<u64>,
    /// It has answered.
    pub(super) echoed: bool,
    /// Body or margin have changed since the last step.
    pub(super) changed: bool,
    request: Request,
    way: Way,
    claimed: Instant,
    attempt: u32,
    stage: Stage,
    answer: Option<Answer>,
    first_word: Option<Duration>,
    last_batch: Option<Instant>,
    last_check: Option<Instant>,
    last_speed: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The text that the request is about has to arrive.
    Reading,
    /// The prompt is being made for this place.
    Preparing(Box<Place>, JoinHandle<Result<Prepared, String>>),
    /// The model is being asked.
    Asking(
        Box<GenerateRequest>,
        JoinHandle<Result<Generation, GenerateError>>,
    ),
    /// The model has too much to do.
    Queueing(Box<GenerateRequest>, Instant),
    Writing(Generation),
    /// With what the model said at the end, or with words about what went wrong.
    Written(Result<Option<Summary>, String>),
}

/// Where an answer will go, and in which body that was found.
#[derive(Debug)]
struct Place {
    anchor: Anchor,
    caret: Anchor,
    base: Base,
}

impl Job {
    pub(super) fn new(request: Request, until: Timestamp, way: Way) -> Self {
        Self {
            held: Held {
                request: request.id.clone(),
                until,
                proposal: None,
            },
            question: None,
            echoed: false,
            changed: false,
            request,
            way,
            claimed: Instant::now(),
            attempt: 0,
            stage: Stage::Reading,
            answer: None,
            first_word: None,
            last_batch: None,
            last_check: None,
            last_speed: Instant::now(),
        }
    }

    /// Waits for the model, whatever is asked of it; for ever if nothing is.
    pub(super) async fn news(&mut self) -> News {
        const BROKE: &str = "making the prompt failed; the log says more";
        match &mut self.stage {
            Stage::Preparing(_, made) => {
                News::Prepared(Box::new(made.await.unwrap_or_else(|_| Err(BROKE.to_owned()))))
            }
            Stage::Asking(_, asked) => News::Asked(
                asked
                    .await
                    .unwrap_or_else(|_| Err(GenerateError::Failed(BROKE.to_owned()))),
            ),
            Stage::Writing(generation) => News::Chunk(generation.next().await),
            Stage::Reading | Stage::Queueing(..) | Stage::Written(_) => std::future::pending().await,
        }
    }

    /// Where it writes.
    pub(super) fn place(&self) -> &RelativePosition {
        let anchor = self
            .answer
            .as_ref()
            .map_or(&self.request.anchor, |answer| &answer.anchor);
        &anchor.end
    }

    /// Takes what was waited for.
    pub(super) fn receive(&mut self, news: News, desk: &mut Desk) {
        let now = Instant::now();
        match news {
            News::Prepared(prepared) => match *prepared {
                Ok(prepared) => self.begin(desk, prepared),
                Err(words) => self.stage = Stage::Written(Err(words)),
            },
            News::Asked(outcome) => self.asked(desk, outcome, now),
            News::Chunk(chunk) => self.chunk(chunk, now),
        }
    }

    fn asked(&mut self, desk: &Desk, outcome: Result<Generation, GenerateError>, now: Instant) {
        let stage = std::mem::replace(&mut self.stage, Stage::Written(Ok(None)));
        let Stage::Asking(request, _) = stage else {
            self.stage = stage;
            return;
        };
        self.stage = match outcome {
            Ok(generation) => Stage::Writing(generation),
            Err(GenerateError::Busy { .. }) if now < self.claimed + desk.config.busy_patience => {
                Stage::Queueing(request, now + BUSY_RETRY)
            }
            Err(error) => Stage::Written(Err(error.to_string())),
        };
    }

    /// Takes what the model wrote.
    fn chunk(&mut self, chunk: Option<Result<Chunk, GenerateError>>, now: Instant) {
        let Some(answer) = &mut self.answer else { return };
        let ended = match chunk {
            Some(Ok(Chunk::Text(text))) => {
                answer.first_chunk.get_or_insert(now);
                answer.last_chunk = Some(now);
                let flow = answer.writer.push(&text);
                answer.ready.push_str(answer.writer.take());
                if flow == Flow::More {
                    return;
                }
                Ok(None)
            }
            Some(Ok(Chunk::Done(summary))) => Ok(Some(summary)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(GenerateError::Gone.to_string()),
        };
        // What was the generation is dropped here, which stops the model.
        self.stage = Stage::Written(ended);
    }

    /// When to go on though nothing happens.
    pub(super) fn deadline(&self, desk: &Desk) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Reading => Some(self.claimed + desk.config.body_patience),
            Stage::Queueing(_, retry) => Some(*retry),
            Stage::Preparing(..) | Stage::Asking(..) | Stage::Writing(_) | Stage::Written(_) => None,
        };
        let settle = if self.echoed { desk.settle() } else { ECHO_PATIENCE };
        let settle = Some(self.claimed + settle).filter(|at| *at > Instant::now());
        let waiting = self
            .answer
            .as_ref()
            .is_some_and(|answer| !answer.ready.is_empty());
        let batch = self
            .last_batch
            .filter(|_| waiting)
            .map(|last| last + desk.config.batch);
        let check = self
            .last_check
            .filter(|_| self.changed)
            .map(|last| last + CHECK_EVERY);
        [stage, settle, batch, check].into_iter().flatten().min()
    }

    /// Does what can be done now.
    pub(super) fn advance(&mut self, desk: &mut Desk) -> Progress {
        let now = Instant::now();
        if matches!(self.stage, Stage::Reading) {
            self.read(desk, now);
        }
        if let Stage::Queueing(request, retry) = &self.stage
            && *retry <= now
        {
            let request = request.clone();
            self.ask(desk, request);
        }
        if !self.echoed {
            let silent = self.claimed + ECHO_PATIENCE <= now;
            return if silent {
                Progress::Silent
            } else {
                Progress::Working
            };
        }
        if now < self.claimed + desk.settle() {
            return Progress::Working; // nothing is shown before it is sure whose request this is
        }
        if self.changed && self.last_check.is_none_or(|last| last + CHECK_EVERY <= now) {
            self.changed = false;
            self.last_check = Some(now);
            if let Some(why) = self.interrupted(desk) {
                tracing::info!(request = %self.held.request, ?why, "broke off");
                self.end(desk, why);
                return Progress::Ended;
            }
        }
        if self.last_batch.is_none_or(|last| last + desk.config.batch <= now) {
            self.write(desk, now);
        }
        // Asking again may end at once.
        while let Stage::Written(ended) = &self.stage {
            let ended = ended.clone();
            if self.conclude(desk, ended, now) == Progress::Ended {
                return Progress::Ended;
            }
        }
        Progress::Working
    }

    /// Looks at the text and has a prompt made of it.
    fn read(&mut self, desk: &Desk, now: Instant) {
        let patient = now < self.claimed + desk.config.body_patience;
        desk.tell(&self.request);
        let tokens = asking::surroundings(desk, &self.request);
        let scene = match look(desk.body.doc(), &self.request, tokens, patient) {
            Ok(scene) => scene,
            Err(Unseen::NotYet) => return,
            Err(Unseen::Gone) => {
                self.stage = Stage::Written(Err(GONE.to_owned()));
                return;
            }
        };
        let Scene {
            anchor,
            caret,
            base,
            setting,
        } = scene;
        let place = Place { anchor, caret, base };
        let question = Question {
            request: self.request.clone(),
            setting,
            seed: seed(&self.request.id),
            attempt: self.attempt,
            begin: desk.begin.clone(),
            patience: desk.config.prefill,
            wardrobe: desk.config.wardrobe.clone(),
        };
        let made = asking::prepare(Arc::clone(&desk.generator), question);
        self.stage = Stage::Preparing(Box::new(place), made);
    }

    /// Has a prompt: asks the model.
    fn begin(&mut self, desk: &mut Desk, prepared: Prepared) {
        let Prepared { prompt, tokens, worn } = prepared;
        if !prompt.begin.is_empty() {
            desk.begin.clone_from(&prompt.begin);
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Written(Ok(None)));
        let Stage::Preparing(place, _) = stage else {
            self.stage = stage;
            return;
        };
        let mut writer = Writer::new(prompt.form, desk.config.payload_bytes);
        writer.push(prompt.opening);
        self.answer = Some(Answer {
            kind: prompt.kind,
            anchor: if prompt.at_selection {
                place.anchor
            } else {
                place.caret
            },
            base: place.base,
            writer,
            opening: prompt.opening,
            ready: String::new(),
            prompt_tokens: tokens,
            worn,
            first_chunk: None,
            last_chunk: None,
        });
        self.ask(desk, Box::new(prompt.generate));
    }

    fn ask(&mut self, desk: &Desk, request: Box<GenerateRequest>) {
        let asked = asking::ask(Arc::clone(&desk.generator), request.as_ref().clone());
        self.stage = Stage::Asking(request, asked);
    }

    /// Whether what happened around it makes the answer pointless.
    fn interrupted(&self, desk: &Desk) -> Option<Break> {
        if self.held.proposal.as_ref().is_some_and(|id| !desk.is_growing(id)) {
            return Some(Break::Decided);
        }
        let answer = self.answer.as_ref()?;
        match answer.anchor.resolve(&desk.body.doc().transact()) {
            Resolved::Found(_) => None,
            Resolved::Ambiguous | Resolved::Detached => Some(Break::Gone),
        }
    }

    /// Puts the words that are ready into the proposal; the first ones make it.
    fn write(&mut self, desk: &mut Desk, now: Instant) {
        let Some(answer) = self.answer.as_mut().filter(|answer| !answer.ready.is_empty()) else {
            return;
        };
        let words = std::mem::take(&mut answer.ready);
        self.last_batch = Some(now);
        if let Some(id) = &self.held.proposal {
            if let Err(error) = desk.write(|txn| margin::append_payload(txn, id, &words)) {
                tracing::debug!(%error);
                self.changed = true; // the next step sees what became of it
            }
            if self.last_speed + SPEED_EVERY <= now
                && let Some(speed) = answer.speed(desk.generator.count_tokens(answer.writer.text()))
            {
                self.last_speed = now;
                desk.speed = speed;
            }
            return;
        }
        let id = new_id(desk.now());
        self.first_word = Some(now - self.claimed);
        let proposal = Proposal {
            id: id.clone(),
            request: self.request.id.clone(),
            author: Author {
                adapter: answer.worn.name(),
                ..desk.author()
            },
            requester: self.request.by.clone(),
            kind: answer.kind,
            anchor: answer.anchor.clone(),
            base: answer.base.clone(),
            payload: words,
            state: ProposalState::Streaming,
            at: desk.now(),
            rationale: None,
            confidence: None,
            stats: None,
            error: None,
        };
        desk.write(|txn| margin::put_proposal(txn, &proposal));
        self.held.proposal = Some(id);
    }

    /// The answer has ended by itself.
    fn conclude(
        &mut self,
        desk: &mut Desk,
        ended: Result<Option<Summary>, String>,
        now: Instant,
    ) -> Progress {
        let summary = match ended {
            Ok(summary) => summary,
            Err(words) => {
                tracing::warn!(request = %self.held.request, error = %words, "no answer");
                if self.held.proposal.is_none() && further::hand_over(desk, &self.request, &self.way, &words)
                {
                    return Progress::Ended;
                }
                if let Some(id) = &self.held.proposal {
                    desk.end(id, ProposalState::Failed, None, Some(&words));
                }
                desk.fail(&self.held.request, &words);
                return Progress::Ended;
            }
        };
        let Some(answer) = &mut self.answer else {
            return Progress::Ended;
        };
        let complete = summary.as_ref().is_none_or(|summary| {
            matches!(
                summary.finish,
                FinishReason::EndToken | FinishReason::Complete | FinishReason::StopString(_)
            )
        });
        answer.ready.push_str(answer.writer.finish(complete));
        if answer.writer.text().trim() == answer.opening {
            return self.ask_again(desk);
        }
        let full = answer
            .writer
            .is_full()
            .then_some("the answer was cut: it is as long as a proposal may be");
        let stats = answer.stats(summary.as_ref(), desk);
        let unworn = answer.worn.note.clone();
        self.write(desk, now);
        let stats = Stats {
            first_word_ms: u64::try_from(self.first_word.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            ..stats
        };
        if stats.tokens_per_second > 0.0 {
            desk.speed = stats.tokens_per_second;
        }
        tracing::info!(request = %self.held.request, ?stats, "answered");
        let Some(id) = &self.held.proposal else {
            return Progress::Ended;
        };
        let (kept, further) = further::ask(desk, &self.request, &self.way, summary.as_ref());
        let doubt = summary.as_ref().and_then(doubt);
        let reasons = [kept.or_else(|| self.way.why.clone()), unworn, doubt];
        let rationale = reasons
            .into_iter()
            .flatten()
            .reduce(|one, other| format!("{one} {other}"));
        let ended = desk.write(|txn| {
            // Both or neither: a request that is done has an answer that is complete.
            let confidence = summary
                .as_ref()
                .map(|summary| summary.mean_logprob.exp().clamp(0.0, 1.0));
            if let Some(proposal) = margin::proposal(txn, id)
                && proposal.state == ProposalState::Streaming
            {
                margin::put_proposal(
                    txn,
                    &Proposal {
                        confidence,
                        rationale: rationale.clone(),
                        ..proposal
                    },
                );
            }
            margin::finish_request(txn, &self.held.request, &desk.identity.id, id);
            if let Some(further) = &further {
                margin::put_request(txn, further);
            }
            margin::finish_proposal(txn, id, ProposalState::Pending, Some(&stats), full)
        });
        if let Err(MarginError::Ended(_) | MarginError::Unknown(_)) = ended {
            tracing::debug!("somebody ended the proposal first");
        }
        Progress::Ended
    }

    /// The model had nothing to say: it gets another chance.
    fn ask_again(&mut self, desk: &Desk) -> Progress {
        self.attempt += 1;
        if self.attempt >= MAX_ATTEMPTS {
            desk.fail(
                &self.held.request,
                "the model had nothing to say here; ask in other words",
            );
            return Progress::Ended;
        }
        self.answer = None;
        self.stage = Stage::Reading;
        self.read(desk, Instant::now());
        Progress::Working
    }

    /// Ends everything about it before its time.
    pub(super) fn break_off(mut self, desk: &mut Desk, why: Break) {
        self.end(desk, why);
    }

    fn end(&mut self, desk: &Desk, why: Break) {
        self.stage = Stage::Written(Ok(None)); // stops the model
        let (request, me) = (&self.held.request, &desk.identity.id);
        let words = match why {
            Break::Cancelled | Break::Decided => None,
            Break::LeaseLost => Some("another model has taken this over"),
            Break::Gone => Some(GONE),
            Break::Leaving => Some("the model left before the end"),
            Break::LinkLost => Some("the connection was lost before the end"),
        };
        if let Some(id) = &self.held.proposal {
            // One that was decided while it grew is as complete as it will get.
            let state = if why == Break::Decided {
                ProposalState::Pending
            } else {
                ProposalState::Cancelled
            };
            desk.end(id, state, None, words);
        }
        match why {
            Break::Gone => desk.fail(request, GONE),
            Break::Leaving => desk.release(request, me),
            Break::Decided => {
                if let Some(id) = &self.held.proposal {
                    desk.write(|txn| margin::finish_request(txn, request, me, id));
                }
            }
            Break::Cancelled | Break::LeaseLost | Break::LinkLost => {}
        }
    }
}

const GONE: &str = "the text that this was about has been deleted";

/// Where chance starts for a request: elsewhere for each, but the same when it is repeated.
fn seed(id: &str) -> u64 {
    id.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
