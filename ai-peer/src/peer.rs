//! The peer itself: two links, two copies, a few requests at a time.
//!
//! Everything but waiting is synchronous: an event comes in, the copies change, frames go out. What is written offline or
//! while a link breaks stays in the copies and is synced when [`AiPeer::run`] is called with new links.

mod answer;
mod asking;
mod desk;
mod further;
mod job;
mod presence;

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crdt::ids::{IdSource, Identity, Part};
use crdt::margin::{self, ProposalState, Request, RequestState};
use crdt::protocol::{self, Message, SyncMessage};
use futures_util::future::select_all;
use model::Generator;
use tokio::sync::mpsc;
use tokio::time::Instant;
use yrs::{ReadTxn, Transact};

use crate::link::{Closed, Link, Outbox};
use crate::settings::Config;
use crate::trigger::{AUTHOR_GONE, Action, Plan, Stop, Trigger};
use asking::News;
use desk::Desk;
use job::{Break, Job, Progress, Way};

/// How often the own awareness is looked after.
const TICK: Duration = Duration::from_secs(5);

/// How long the last words may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// What may follow from one event at once; more is left to the next one.
const MAX_TURNS: usize = 8;

/// Why a conversation with a relay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was asked to.
    Shutdown,
    /// A link closed, or the relay does not read. Make new links and go on.
    Closed,
    /// The relay does not let this peer write, in its words. A new link would change nothing.
    Refused(String),
    /// The relay sent something that cannot be, or does not answer. New links may help.
    Broken(String),
}

impl From<Closed> for Ended {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

/// A model as a peer of one document. Several may share one model.
#[derive(Debug)]
pub struct AiPeer {
    desk: Desk,
    trigger: Trigger,
    /// In the order in which they were claimed.
    jobs: Vec<Job>,
    /// How often the relay was asked what this copy lacks, after claims, and how often it has answered.
    questions: u64,
    answers: u64,
    /// The margin has to be looked through.
    look: bool,
    plan: Plan,
}

/// Where frames go.
struct Wires {
    body: Outbox,
    margin: Outbox,
}

/// What a peer waits for.
enum Event {
    Frame(Part, Option<Bytes>),
    Sent(Result<(), Closed>),
    /// For the job at this place.
    News(usize, News),
    Time,
    Shutdown,
}

impl AiPeer {
    /// A peer that has not connected yet. `identity.id` must be no other live peer's.
    #[must_use]
    pub fn new(identity: Identity, generator: Arc<dyn Generator>, config: Config) -> Self {
        let trigger = Trigger::new(&identity.id, config.lease, config.together);
        Self {
            desk: Desk::new(identity, generator, config),
            trigger,
            jobs: Vec::new(),
            questions: 0,
            answers: 0,
            look: true,
            plan: Plan::default(),
        }
    }

    /// Answers requests over these links until one of them closes or `shutdown` is ready. Afterwards it may be run again
    /// with new ones; what broke off is then taken up anew.
    pub async fn run(&mut self, body: Link, margin: Link, shutdown: impl Future<Output = ()>) -> Ended {
        let mut wires = Wires {
            body: Outbox::new(body.tx),
            margin: Outbox::new(margin.tx),
        };
        let (mut body, mut margin) = (body.rx, margin.rx);
        let ended = match self.converse(&mut wires, &mut body, &mut margin, shutdown).await {
            Ok(ended) | Err(ended) => ended,
        };
        tracing::info!(?ended, "the conversation ended");
        self.leave(&mut wires, &ended).await;
        drop(wires);
        if ended == Ended::Shutdown {
            // The relay closes its ends once it has taken in what was sent: only then may it be shut down itself.
            let closed = async {
                while body.recv().await.is_some() {}
                while margin.recv().await.is_some() {}
            };
            if tokio::time::timeout(FAREWELL, closed).await.is_err() {
                tracing::debug!("the relay did not close the links");
            }
        }
        ended
    }

    async fn converse(
        &mut self,
        wires: &mut Wires,
        body: &mut mpsc::Receiver<Bytes>,
        margin: &mut mpsc::Receiver<Bytes>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Ended, Ended> {
        self.look = true;
        (self.questions, self.answers) = (0, 0);
        wires.body.send(self.desk.body.connected())?;
        wires.margin.send(self.desk.margin.connected())?;
        self.flush(wires)?;
        let mut shutdown = pin!(shutdown);
        let mut tick = Instant::now() + TICK;
        loop {
            let wake = self.wake(tick);
            let event = tokio::select! {
                () = &mut shutdown => Event::Shutdown,
                frame = body.recv() => Event::Frame(Part::Body, frame),
                frame = margin.recv() => Event::Frame(Part::Margin, frame),
                sent = wires.body.drain() => Event::Sent(sent),
                sent = wires.margin.drain() => Event::Sent(sent),
                (index, news) = next_news(&mut self.jobs) => Event::News(index, news),
                () = tokio::time::sleep_until(wake) => Event::Time,
            };
            match event {
                Event::Shutdown => return Ok(Ended::Shutdown),
                Event::Frame(_, None) => return Ok(Ended::Closed),
                Event::Frame(part, Some(frame)) => self.receive(part, &frame, wires)?,
                Event::Sent(sent) => sent?,
                Event::News(index, news) => {
                    if let Some(job) = self.jobs.get_mut(index) {
                        job.receive(news, &mut self.desk);
                    }
                }
                Event::Time => {}
            }
            if tick <= Instant::now() {
                tick = Instant::now() + TICK;
                let now = self.desk.now();
                wires.body.send(self.desk.body.tick(now).replies)?;
                wires.margin.send(self.desk.margin.tick(now).replies)?;
            }
            let stepped = self.step();
            self.flush(wires)?;
            stepped?;
        }
    }

    /// When to look again though nothing happens.
    fn wake(&self, tick: Instant) -> Instant {
        let planned = self.plan.wake.map(|wake| {
            let ms = wake.0.saturating_sub(self.desk.now().0);
            Instant::now() + Duration::from_millis(ms)
        });
        let jobs = self.jobs.iter().filter_map(|job| job.deadline(&self.desk));
        planned.into_iter().chain(jobs).fold(tick, Instant::min)
    }

    fn receive(&mut self, part: Part, frame: &[u8], wires: &mut Wires) -> Result<(), Ended> {
        let now = self.desk.now();
        let (replica, outbox) = match part {
            Part::Body => (&mut self.desk.body, &mut wires.body),
            Part::Margin => (&mut self.desk.margin, &mut wires.margin),
        };
        let was_synced = replica.is_synced();
        let received = replica
            .receive(now, frame)
            .map_err(|error| Ended::Broken(error.to_string()))?;
        outbox.send(received.replies)?;
        let synced = replica.is_synced() != was_synced;
        if let Some(words) = received.denied {
            return Err(Ended::Refused(words));
        }
        self.look |= synced || received.changed && part == Part::Margin;
        // answers come in the order of the questions; what a copy asks for itself is answered, too
        if part == Part::Margin && self.answers < self.questions && is_answer(frame) {
            self.answers += 1;
        }
        for job in &mut self.jobs {
            job.changed |= received.changed;
            job.echoed |= job.question.is_some_and(|question| question <= self.answers);
        }
        Ok(())
    }

    /// Does what is due: looks through the margin, goes on with the jobs.
    fn step(&mut self) -> Result<(), Ended> {
        if !(self.desk.body.is_synced() && self.desk.margin.is_synced()) {
            return Ok(());
        }
        for _ in 0..MAX_TURNS {
            let now = self.desk.now();
            if self.look || self.plan.wake.is_some_and(|wake| wake <= now) {
                self.look = false;
                self.act();
            }
            let mut ended = false;
            for index in (0..self.jobs.len()).rev() {
                let Some(job) = self.jobs.get_mut(index) else {
                    continue;
                };
                match job.advance(&mut self.desk) {
                    Progress::Working => {}
                    Progress::Silent => return Err(Ended::Broken("the relay does not answer".to_owned())),
                    Progress::Ended => {
                        self.jobs.remove(index);
                        ended = true;
                    }
                }
            }
            self.look |= ended;
            if !self.look {
                break;
            }
        }
        Ok(())
    }

    /// Looks through the margin and does what the trigger says.
    fn act(&mut self) {
        let now = self.desk.now();
        let (mut requests, proposals) = {
            let txn = self.desk.margin.doc().transact();
            (margin::requests(&txn), margin::proposals(&txn))
        };
        let routed = self.route(&mut requests);
        let held: Vec<_> = self.jobs.iter().map(|job| &job.held).collect();
        self.plan = self
            .trigger
            .next(now, &requests, &proposals, &held, self.desk.has_rivals());
        for action in std::mem::take(&mut self.plan.actions) {
            tracing::debug!(?action);
            match action {
                Action::Claim { request, from, until } => {
                    let request = requests.iter().find(|known| known.id == request);
                    if let Some(request) = request.filter(|request| self.desk.claim(&request.id, from, until))
                    {
                        let way = self.way(&request.id, routed.get(&request.id));
                        self.jobs.push(Job::new(request.clone(), until, way));
                    }
                }
                Action::GiveUp { request, from, until } => {
                    if self.desk.claim(&request, from, until) {
                        self.desk.fail(
                            &request,
                            "the answer broke off several times; ask again in other words",
                        );
                    }
                }
                Action::Renew { request, until } => {
                    if self.desk.renew(&request, until)
                        && let Some(job) = self.jobs.iter_mut().find(|job| job.held.request == request)
                    {
                        job.held.until = until;
                    }
                }
                Action::Release { request, from } => self.desk.release(&request, &from),
                Action::Discard { proposal } => {
                    self.desk
                        .end(&proposal, ProposalState::Cancelled, None, Some(AUTHOR_GONE));
                }
                Action::Stop { request, why } => {
                    let why = match why {
                        Stop::Cancelled | Stop::Removed => Break::Cancelled,
                        Stop::LeaseLost => Break::LeaseLost,
                    };
                    self.break_off(why, |job| job.held.request == request);
                    self.look = true;
                }
            }
        }
    }

    /// Puts the names of those who are to answer on the requests that name nobody; with the reasons.
    fn route(&self, requests: &mut [Request]) -> HashMap<String, Option<String>> {
        let Some(cascade) = &self.desk.config.cascade else {
            return HashMap::new();
        };
        let mut routed = HashMap::new();
        for request in requests.iter_mut().filter(|request| request.to.is_empty()) {
            let open = matches!(request.state, RequestState::Open | RequestState::Claimed);
            if let Some(choice) = cascade.choose(request.kind, &request.by.id).filter(|_| open) {
                request.to = choice.peer;
                routed.insert(request.id.clone(), choice.why);
            }
        }
        routed
    }

    /// How a request came here.
    fn way(&self, request: &str, routed: Option<&Option<String>>) -> Way {
        let noted = self
            .desk
            .config
            .cascade
            .as_ref()
            .and_then(|cascade| cascade.noted(request));
        Way {
            why: noted.or_else(|| routed.cloned().flatten()),
            chosen: routed.is_some(),
        }
    }

    fn break_off(&mut self, why: Break, which: impl Fn(&Job) -> bool) {
        for job in self.jobs.extract_if(.., |job| which(job)) {
            tracing::info!(request = %job.held.request, ?why, "broke off");
            if why == Break::LinkLost {
                self.trigger.abandon(&job.held);
            }
            job.break_off(&mut self.desk, why);
        }
    }

    /// Sends what was changed here.
    fn flush(&mut self, wires: &mut Wires) -> Result<(), Closed> {
        wires.margin.send(self.desk.margin.drain_updates())?;
        let mut unasked = self
            .jobs
            .iter_mut()
            .filter(|job| job.question.is_none())
            .peekable();
        if unasked.peek().is_some() {
            self.questions += 1;
            unasked.for_each(|job| job.question = Some(self.questions));
            // The answer comes after everything that reached the relay before this: competing claims, too.
            let state = self.desk.margin.doc().transact().state_vector();
            wires.margin.send([protocol::step_1(&state)])?;
        }
        wires.body.send(self.desk.publish(&self.jobs))
    }

    /// Ends what is running, says goodbye on what links there are.
    async fn leave(&mut self, wires: &mut Wires, ended: &Ended) {
        // Only for good is a request given back: a copy that says so later could take it from whoever has it then.
        let why = if *ended == Ended::Shutdown {
            Break::Leaving
        } else {
            Break::LinkLost
        };
        self.break_off(why, |_| true);
        let now = self.desk.now();
        let farewell = async {
            let updates = self.desk.margin.drain_updates();
            let (body, margin) = (&mut wires.body, &mut wires.margin);
            let goodbye = self.desk.body.set_local_state(now, None);
            // Whichever link is closed, the other still gets what is for it.
            let _ = tokio::join!(body.send_all(goodbye), margin.send_all(updates));
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!("the relay did not read the last words");
        }
        self.desk.body.disconnected();
        self.desk.margin.disconnected();
        self.plan = Plan::default();
    }
}

/// The next news for any of the jobs; for ever if none waits for anything.
async fn next_news(jobs: &mut [Job]) -> (usize, News) {
    if jobs.is_empty() {
        return std::future::pending().await;
    }
    let (news, index, _) = select_all(jobs.iter_mut().map(|job| Box::pin(job.news()))).await;
    (index, news)
}

/// Whether a frame answers the question for what this copy lacks.
fn is_answer(frame: &[u8]) -> bool {
    protocol::decode_all(frame).is_ok_and(|messages| {
        messages
            .iter()
            .any(|message| matches!(message, Message::Sync(SyncMessage::SyncStep2(_))))
    })
}

/// A new id.
fn new_id(now: crdt::Timestamp) -> String {
    (|| rand::random::<u128>()).ulid(now).to_string()
}
