//! One room's task: it alone owns the room's state machine; it runs what the machine asks for.

mod appends;
mod command;
mod compaction;
mod edit;
mod join;
mod members;
mod versions;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crdt::history::Pace;
use crdt::room::{Effect, Event, Record, Room};
use crdt::{ConnId, DocId, Identity, Part, Role};
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::clock::{self, RandomIds};
use crate::limits::Limits;
use crate::outbox::{CLOSE_GOING_AWAY, Closing, Frame};
use crate::relay::Shared;
use crate::store::{StoreError, Write};

use appends::{Appended, Appends};
pub(crate) use command::{Command, Idle, Join, Question, Said, Ticket, Visitors};
pub use edit::EditError;
pub(crate) use edit::{Edit, EditFn};
pub use join::{CLOSE_EPOCH, CLOSE_NO_DOCUMENT, CLOSE_UNAVAILABLE, JoinError};
pub(crate) use members::Member;
use members::Members;

/// The document, or why there is none.
enum State {
    Open(Box<Room>),
    Failed(JoinError),
}

/// The bytes of a document that is decoded between two messages: a fraction of a millisecond.
const DECODED_AT_ONCE: usize = 16 << 10;

/// Bytes for which the store may owe an answer before a room takes nothing more in: who writes faster than the disk waits,
/// and the memory of neither fills. A store that fails has answered.
const MOST_UNANSWERED: usize = 1 << 20;

/// How many commands are taken out of the inbox at once, and for how many there is room while there are none.
const COMMANDS: usize = 32;
const KEPT_COMMANDS: usize = 4;

/// Whether the task goes on or ends.
enum Turn {
    Go,
    End,
}

struct RoomTask {
    doc: DocId,
    shared: Arc<Shared>,
    limits: Arc<Limits>,
    visitors: Arc<Visitors>,
    idle: mpsc::Sender<Idle>,
    state: State,
    /// Whether the store has the document in its list.
    listed: bool,
    members: Members,
    /// Edits by the relay that are not on disk yet.
    edits: Vec<edit::Waiting>,
    /// Appends whose answers have not come.
    appends: Appends,
    /// Counts the failures of the store: an answer of an earlier run says nothing about the present one.
    run: u64,
    title: Option<String>,
    /// The name of the document's history.
    epoch: Arc<str>,
    /// Whether the store has the document with that epoch.
    begun: bool,
    /// How much is in no version yet, and who wrote last.
    pace: Pace,
    last_author: Option<Identity>,
    /// Records and bytes since the last snapshot.
    log: (u64, u64),
    /// What of that a snapshot is to stand in for that is on its way.
    covering: (u64, u64),
    compact_after: Instant,
    compaction: Option<tokio::task::JoinHandle<Result<(), StoreError>>>,
    empty_since: Instant,
    /// When the decoded document was last of use.
    used: Instant,
    shutting_down: bool,
}

/// Runs a room until it is let go.
pub(crate) async fn run(
    doc: DocId,
    shared: Arc<Shared>,
    visitors: Arc<Visitors>,
    mut inbox: mpsc::Receiver<Command>,
    idle: mpsc::Sender<Idle>,
) {
    let limits = Arc::clone(&shared.limits);
    let mut task = RoomTask {
        members: Members::new(doc.clone(), Arc::clone(&shared)),
        doc,
        limits: Arc::clone(&limits),
        shared,
        visitors,
        idle,
        state: State::Failed(JoinError::ShuttingDown),
        listed: false,
        edits: Vec::new(),
        appends: Appends::default(),
        run: 0,
        title: None,
        epoch: clock::ulid().to_string().into(),
        begun: false,
        pace: Pace::default(),
        last_author: None,
        log: (0, 0),
        covering: (0, 0),
        compact_after: Instant::now(),
        compaction: None,
        empty_since: Instant::now(),
        used: Instant::now(),
        shutting_down: false,
    };
    Box::pin(task.load()).await;
    let mut tick = interval(limits.tick.max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut commands = Vec::new();
    loop {
        let flush = task.flush_in();
        let turn = tokio::select! {
            taken = inbox.recv_many(&mut commands, COMMANDS), if task.appends.bytes() <= MOST_UNANSWERED => match taken {
                0 => Turn::End,
                _ => task.commands(&mut commands).await,
            },
            answer = task.appends.next(), if !task.appends.is_empty() => task.answered(answer).await,
            () = tokio::time::sleep(flush.unwrap_or_default()), if flush.is_some() => {
                task.event(Event::Flush).await;
                Turn::Go
            }
            _ = tick.tick() => task.tick().await,
        };
        task.members.flush();
        if matches!(turn, Turn::End) {
            break;
        }
    }
    task.members.close_all(&Closing::new(
        CLOSE_GOING_AWAY,
        "the document was closed; connect again",
    ));
    tracing::debug!(doc = %task.doc, "closed the room");
}

impl RoomTask {
    async fn load(&mut self) {
        self.state = match self.open().await {
            Ok(mut room) => {
                room.set_epoch(&*self.epoch);
                State::Open(Box::new(room))
            }
            Err(error) => {
                tracing::warn!(doc = %self.doc, %error, "the document cannot be opened");
                State::Failed(error)
            }
        };
    }

    async fn open(&mut self) -> Result<Room, JoinError> {
        let loaded = self.shared.store.load(self.doc.clone()).await?;
        if loaded.row.as_ref().is_some_and(|row| row.deleted) {
            return Err(JoinError::Deleted(self.doc.clone()));
        }
        self.listed = loaded.row.is_some();
        self.begun = self.listed;
        if let Some(row) = &loaded.row {
            self.epoch = row.epoch.as_str().into();
            self.title = Some(row.title.clone()).filter(|title| !title.is_empty());
        }
        self.resume_versions(&loaded);
        let bytes = loaded.stored.tail.iter().map(Record::size).sum::<usize>();
        self.log = (loaded.stored.tail.len() as u64, bytes as u64);
        let limits = self.limits.room.clone();
        Ok(Room::open_at_rest(
            self.doc.clone(),
            loaded.stored,
            rand::random(),
            limits,
        )?)
    }

    /// Has the document decoded. When it cannot be, everybody is sent away with the reason.
    async fn wake(&mut self) -> Result<(), JoinError> {
        self.used = Instant::now();
        if self.room()?.is_awake() {
            return Ok(());
        }
        let asleep = State::Failed(JoinError::ShuttingDown);
        let State::Open(mut room) = std::mem::replace(&mut self.state, asleep) else {
            return self.room().map(|_| ());
        };
        // A long document takes a while to decode: not on a thread that serves sockets.
        let woken = if room.encoded_size() <= DECODED_AT_ONCE {
            Ok(room.wake().map(|()| room))
        } else {
            self.members.flush();
            tokio::task::spawn_blocking(move || room.wake().map(|()| room)).await
        };
        let error = match woken {
            Ok(Ok(room)) => {
                self.state = State::Open(room);
                return Ok(());
            }
            Ok(Err(error)) => JoinError::Open(error),
            Err(error) => StoreError::Damaged {
                doc: self.doc.clone(),
                what: format!("opening it failed: {error}"),
            }
            .into(),
        };
        tracing::error!(doc = %self.doc, %error, "the document cannot be opened");
        self.members.close_all(&error.closing());
        self.state = State::Failed(error.clone());
        self.empty_since = Instant::now();
        Err(error)
    }

    /// How long until something about presence is to be told that had to wait.
    fn flush_in(&mut self) -> Option<Duration> {
        let at = self.room().ok()?.flush_at()?;
        Some(Duration::from_millis(at.0.saturating_sub(clock::now().0)))
    }

    async fn commands(&mut self, commands: &mut Vec<Command>) -> Turn {
        for command in commands.drain(..) {
            if matches!(self.command(command).await, Turn::End) {
                return Turn::End;
            }
        }
        // Not for as long as nobody says anything.
        if commands.capacity() > KEPT_COMMANDS {
            *commands = Vec::new();
        }
        Turn::Go
    }

    async fn command(&mut self, command: Command) -> Turn {
        match command {
            Command::Join(join) => {
                let Join {
                    conn,
                    part,
                    identity,
                    role,
                    member,
                    greeting,
                    reply,
                    ticket,
                } = *join;
                let joined = self.join(conn, part, identity, role, member, greeting);
                let joined = Box::pin(joined).await;
                drop((reply.send(joined), ticket)); // whoever asked may have left; their Leave follows
            }
            Command::Event(said) => {
                let Said { event, held } = *said;
                self.event(event).await;
                drop(held);
            }
            Command::Markdown(question) => {
                let text = match Box::pin(self.wake()).await {
                    Ok(()) => self.room().map(|room| edit::markdown(room)),
                    Err(error) => Err(error),
                };
                drop((question.reply.send(text), question.ticket));
            }
            Command::Look(look) => {
                let (look, ticket) = *look;
                match Box::pin(self.wake()).await {
                    Ok(()) => look(self.room().map(|room| &*room)),
                    Err(error) => look(Err(error)),
                }
                drop(ticket);
            }
            Command::Edit(edit) => Box::pin(self.edit(*edit)).await,
            Command::Delete(question) => {
                let deleted = Box::pin(self.delete()).await;
                drop((question.reply.send(deleted), question.ticket));
            }
            Command::ShutDown(closing) => {
                self.shutting_down = true;
                self.members.close_all(&closing);
                if self.is_saved() {
                    return Turn::End;
                }
            }
        }
        Turn::Go
    }

    fn room(&mut self) -> Result<&mut Room, JoinError> {
        match &mut self.state {
            State::Open(room) => Ok(room),
            State::Failed(error) => Err(error.clone()),
        }
    }

    async fn join(
        &mut self,
        conn: ConnId,
        part: Part,
        identity: Identity,
        role: Role,
        member: Member,
        greeting: Option<Frame>,
    ) -> Result<(), JoinError> {
        if self.shutting_down {
            return Err(JoinError::ShuttingDown);
        }
        self.room()?;
        if member.epoch().is_some_and(|known| known != &*self.epoch) {
            return Err(JoinError::Epoch);
        }
        // Somebody who may write has it open: then it is about to be.
        let begun = self.listed || !self.members.is_empty();
        if !begun && !role.may_write(Part::Body) {
            return Err(JoinError::Unknown(self.doc.clone()));
        }
        if let Some(greeting) = greeting {
            member.greet(greeting);
        }
        tracing::debug!(doc = %self.doc, %conn, ?part, %role, kind = ?identity.kind, "joined");
        self.members.insert(conn, part, member);
        self.event(Event::Join {
            conn,
            part,
            identity,
            role,
        })
        .await;
        Ok(())
    }

    /// Lets the machine take an event and does what it asks for.
    async fn event(&mut self, event: Event) {
        let left = match &event {
            Event::Leave { conn, part } => Some((*conn, *part)),
            _ => None,
        };
        let Ok(room) = self.room() else { return };
        if room.must_wake_for(&event) && Box::pin(self.wake()).await.is_err() {
            return;
        }
        // Sync messages begin with 0; awareness is renewed by those who only read, too.
        if matches!(&event, Event::Message { bytes, .. } if bytes.first() == Some(&0)) {
            self.used = Instant::now();
        }
        let Ok(room) = self.room() else { return };
        let mut ids = RandomIds;
        let effects = room.handle(clock::now(), &mut ids, event);
        if let Some((conn, part)) = left {
            self.members.remove(conn, part);
            self.empty_since = Instant::now();
        }
        self.execute(effects).await;
    }

    async fn execute(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, part, message } => self.members.send(to, part, &message),
                Effect::Broadcast {
                    part,
                    except,
                    message,
                } => self.members.broadcast(part, except, &message),
                Effect::Append(record) => self.append(record).await,
                Effect::Close {
                    conn,
                    part,
                    code,
                    reason,
                } => {
                    tracing::warn!(doc = %self.doc, %conn, code, reason, "closing a connection");
                    self.members.close(conn, part, &Closing::new(code, reason));
                    self.empty_since = Instant::now();
                }
            }
        }
    }

    async fn append(&mut self, record: Record) {
        let (run, seq, bytes) = (self.run, record.seq, record.size());
        self.wrote(&record);
        self.log.0 += 1;
        self.log.1 += bytes as u64;
        let now = self.room().ok().and_then(|room| room.title());
        let title = (now != self.title).then(|| now.clone().unwrap_or_default());
        self.title = now;
        let write = Write::Append {
            doc: self.doc.clone(),
            record,
            title,
            epoch: (!self.begun).then(|| Arc::clone(&self.epoch)),
        };
        self.listed = true;
        let mut queue = pin!(self.shared.store.queue(write));
        let queued = match queue.as_mut().now_or_never() {
            Some(queued) => queued,
            None => {
                // The store is busy: those who were told of the change do not wait for it.
                self.members.flush();
                queue.await
            }
        };
        self.appends.push(run, seq, bytes, queued);
    }

    async fn answered(&mut self, Appended { run, seq, result }: Appended) -> Turn {
        match result {
            Ok(()) => {
                self.shared.storage_works();
                self.begun = true;
                self.event(Event::Committed { seq }).await;
                self.finish_edits().await;
                self.compact_if_long().await;
            }
            Err(_) if run != self.run => {} // told already by the first failure of its run
            Err(error) => {
                tracing::error!(doc = %self.doc, seq, %error, "the store cannot write; trying again every second");
                self.run += 1;
                self.title = None; // the list may not have it
                self.shared.storage_fails(&error);
                self.event(Event::StoreFailed {
                    seq,
                    reason: error.to_string(),
                })
                .await;
            }
        }
        if self.shutting_down && self.is_saved() {
            Turn::End
        } else {
            Turn::Go
        }
    }

    async fn delete(&mut self) -> Result<(), JoinError> {
        self.shared
            .store
            .write(Write::Delete {
                doc: self.doc.clone(),
                at: clock::now(),
            })
            .await?;
        self.members.close_all(&Closing::new(
            CLOSE_NO_DOCUMENT,
            format!("document {} has been deleted", self.doc),
        ));
        self.state = State::Failed(JoinError::Deleted(self.doc.clone()));
        self.empty_since = Instant::now();
        Ok(())
    }

    async fn tick(&mut self) -> Turn {
        for (conn, part) in self.members.lost() {
            self.event(Event::Leave { conn, part }).await;
        }
        self.event(Event::Tick).await;
        self.finish_edits().await;
        self.compact_if_long().await;
        self.keep_version_if_due(false).await;
        self.rest_if_quiet();
        if self.shutting_down && self.is_saved() {
            return Turn::End;
        }
        // Order matters: who was handed out before `returned` is read has either joined or counts as on the way.
        let handed = self.visitors.handed.load(Ordering::Acquire);
        let returned = self.visitors.returned.load(Ordering::Acquire);
        let failed = matches!(self.state, State::Failed(_));
        let lingered = failed || self.empty_since.elapsed() >= self.limits.linger;
        if self.members.is_empty() && handed == returned && lingered && self.is_saved() {
            self.keep_version_if_due(true).await;
            // When its queue is full, the next tick asks again.
            drop(self.idle.try_send(Idle {
                doc: self.doc.clone(),
                handed,
            }));
        }
        Turn::Go
    }

    fn rest_if_quiet(&mut self) {
        let quiet = self.used.elapsed();
        if let State::Open(room) = &mut self.state
            && (self.members.is_empty() || quiet >= self.limits.rest_after(room.encoded_size()))
            && room.is_decoded()
            && room.is_saved()
        {
            room.rest();
            tracing::debug!(doc = %self.doc, "the document rests");
        }
    }

    fn is_saved(&self) -> bool {
        match &self.state {
            State::Open(room) => room.is_saved(),
            State::Failed(_) => true,
        }
    }
}
