//! The keeper of rooms: one task opens and lets go of them, so that two joins cannot open one document twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crdt::room::Event;
use crdt::{ConnId, DocId, Identity, Part, Role};
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::outbox::{CLOSE_GOING_AWAY, Closing, Frame};
use crate::relay::Shared;
use crate::room::{
    self, Command, Edit, EditError, EditFn, Idle, Join, JoinError, Member, Question, Said, Ticket, Visitors,
};

/// How many requests may wait for the keeper. Each takes microseconds.
const QUEUE: usize = 256;

/// Messages of fewer bytes are not counted: what bounds their number is enough.
const UNCOUNTED_BYTES: usize = 1 << 10;

enum Request {
    Room {
        doc: DocId,
        reply: oneshot::Sender<(Inbox, Ticket)>,
    },
    Count {
        reply: oneshot::Sender<usize>,
    },
    /// Close every room and let nobody open one until the work is done.
    Alone {
        closing: Closing,
        work: BoxFuture<'static, ()>,
        reply: oneshot::Sender<bool>,
    },
    ShutDown {
        reply: oneshot::Sender<()>,
    },
}

/// The way into a room: bounded in messages and bytes.
#[derive(Debug, Clone)]
struct Inbox {
    commands: mpsc::Sender<Command>,
    budget: Arc<Semaphore>,
    /// Kilobytes of the whole budget.
    most: u32,
}

impl Inbox {
    /// Waits until so many bytes fit in. The largest message takes the whole budget.
    async fn hold(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kilobytes = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
        let share = kilobytes.min(self.most);
        // The semaphore is never closed.
        Arc::clone(&self.budget).acquire_many_owned(share).await.ok()
    }
}

/// A handle to the keeper of rooms. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    requests: mpsc::Sender<Request>,
}

/// One part of one document that one connection has open.
#[derive(Debug)]
pub(crate) struct RoomLink {
    inbox: Inbox,
    pub(crate) conn: ConnId,
    pub(crate) part: Part,
}

impl RoomLink {
    /// Hands a y-protocols message to the room; waits while the room is busy. When the room is gone, so is the link.
    pub(crate) async fn message(&self, bytes: Vec<u8>) {
        let held = match bytes.len() {
            0..UNCOUNTED_BYTES => None,
            counted => Box::pin(self.inbox.hold(counted)).await,
        };
        let event = Event::Message {
            conn: self.conn,
            part: self.part,
            bytes,
        };
        self.say(event, held).await;
    }

    pub(crate) async fn stateless(&self, payload: String) {
        let held = self.inbox.hold(payload.len()).await;
        let event = Event::Stateless {
            conn: self.conn,
            part: self.part,
            payload,
        };
        self.say(event, held).await;
    }

    pub(crate) async fn set_role(&self, role: Role) {
        self.event(Event::SetRole {
            conn: self.conn,
            part: self.part,
            role,
        })
        .await;
    }

    pub(crate) async fn leave(self) {
        self.event(Event::Leave {
            conn: self.conn,
            part: self.part,
        })
        .await;
    }

    async fn event(&self, event: Event) {
        self.say(event, None).await;
    }

    async fn say(&self, event: Event, held: Option<OwnedSemaphorePermit>) {
        let said = Command::Event(Box::new(Said { event, held }));
        // An error: the room has ended and has closed every outbox in it; the link's task sees that.
        drop(self.inbox.commands.send(said).await);
    }
}

impl Rooms {
    /// Starts the keeper.
    pub(crate) fn spawn(shared: Arc<Shared>) -> Self {
        let (requests, received) = mpsc::channel(QUEUE);
        tokio::spawn(keep(shared, received));
        Self { requests }
    }

    /// Opens a part of a document for a link.
    pub(crate) async fn join(
        &self,
        name: &crdt::DocName,
        conn: ConnId,
        (identity, role): (Identity, Role),
        member: Member,
        greeting: Option<Frame>,
    ) -> Result<RoomLink, JoinError> {
        let part = name.part;
        let (inbox, ticket) = self.room(&name.doc).await?;
        let (reply, joined) = oneshot::channel();
        let join = Join {
            conn,
            part,
            identity,
            role,
            member,
            greeting,
            reply,
            ticket,
        };
        ask(&inbox, Command::Join(Box::new(join)), joined).await?;
        Ok(RoomLink { inbox, conn, part })
    }

    /// The body as Markdown.
    pub(crate) async fn markdown(&self, doc: &DocId) -> Result<String, JoinError> {
        let (inbox, ticket) = self.room(doc).await?;
        let (reply, answer) = oneshot::channel();
        let question = Question { reply, ticket };
        ask(&inbox, Command::Markdown(Box::new(question)), answer).await
    }

    /// Looks at the document. `look` must not take long: everybody in the room waits.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        doc: &DocId,
        look: impl FnOnce(&crdt::Room) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let (inbox, ticket) = self.room(doc).await?;
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |room: Result<&crdt::Room, JoinError>| drop(reply.send(room.map(look))));
        ask(&inbox, Command::Look(Box::new((look, ticket))), answer).await
    }

    /// Closes every room and does `work` while none is open; whoever wants one waits. `false`: something could not be
    /// saved in time, and nothing was done.
    pub(crate) async fn alone(
        &self,
        closing: Closing,
        work: BoxFuture<'static, ()>,
    ) -> Result<bool, JoinError> {
        let (reply, done) = oneshot::channel();
        let request = Request::Alone { closing, work, reply };
        self.requests
            .send(request)
            .await
            .map_err(|_| JoinError::ShuttingDown)?;
        done.await.map_err(|_| JoinError::ShuttingDown)
    }

    /// Edits the body on somebody's behalf; returns when it is on disk.
    pub(crate) async fn edit(
        &self,
        doc: &DocId,
        conn: ConnId,
        (identity, role): (Identity, Role),
        edit: EditFn,
    ) -> Result<(), EditError> {
        let (inbox, ticket) = self.room(doc).await?;
        let (reply, answer) = oneshot::channel();
        let edit = Edit {
            conn,
            identity,
            role,
            edit,
            reply,
            ticket,
        };
        let sent = inbox.commands.send(Command::Edit(Box::new(edit))).await;
        drop(inbox);
        sent.map_err(|_| JoinError::ShuttingDown)?;
        answer.await.unwrap_or(Err(EditError::NotSaved))
    }

    /// Deletes a document and sends everybody in it away.
    pub(crate) async fn delete(&self, doc: &DocId) -> Result<(), JoinError> {
        let (inbox, ticket) = self.room(doc).await?;
        let (reply, answer) = oneshot::channel();
        let question = Question { reply, ticket };
        ask(&inbox, Command::Delete(Box::new(question)), answer).await
    }

    /// How many rooms are open.
    pub(crate) async fn count(&self) -> usize {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Count { reply }).await.is_err() {
            return 0;
        }
        answer.await.unwrap_or(0)
    }

    /// Closes every room; returns when everything is on disk, or cannot be brought there.
    pub(crate) async fn shut_down(&self) {
        let (reply, done) = oneshot::channel();
        if self.requests.send(Request::ShutDown { reply }).await.is_ok() {
            drop(done.await); // an error: it was shut down before
        }
    }

    async fn room(&self, doc: &DocId) -> Result<(Inbox, Ticket), JoinError> {
        let (reply, room) = oneshot::channel();
        let request = Request::Room {
            doc: doc.clone(),
            reply,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| JoinError::ShuttingDown)?;
        room.await.map_err(|_| JoinError::ShuttingDown)
    }
}

async fn ask<T>(
    inbox: &Inbox,
    command: Command,
    answer: oneshot::Receiver<Result<T, JoinError>>,
) -> Result<T, JoinError> {
    inbox
        .commands
        .send(command)
        .await
        .map_err(|_| JoinError::ShuttingDown)?;
    answer.await.unwrap_or(Err(JoinError::ShuttingDown))
}

struct Entry {
    inbox: Inbox,
    visitors: Arc<Visitors>,
    task: JoinHandle<()>,
}

async fn keep(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let (idle, mut idles) = mpsc::channel::<Idle>(QUEUE);
    let mut rooms: HashMap<DocId, Entry> = HashMap::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(Request::Room { doc, reply }) => {
                    let entry = rooms.get(&doc).filter(|entry| !entry.inbox.commands.is_closed());
                    let (inbox, visitors) = match entry {
                        Some(entry) => (entry.inbox.clone(), Arc::clone(&entry.visitors)),
                        None => {
                            let entry = open(&shared, doc.clone(), &idle);
                            let found = (entry.inbox.clone(), Arc::clone(&entry.visitors));
                            rooms.insert(doc, entry);
                            found
                        }
                    };
                    drop(reply.send((inbox, Ticket::new(&visitors)))); // whoever asked may have gone
                }
                Some(Request::Count { reply }) => drop(reply.send(rooms.len())),
                Some(Request::Alone { closing, work, reply }) => {
                    let saved = shut_down(&mut rooms, shared.limits.save_within, &closing).await;
                    if saved {
                        work.await;
                    }
                    let _gone = reply.send(saved);
                }
                Some(Request::ShutDown { reply }) => {
                    let closing = Closing::new(CLOSE_GOING_AWAY, "the server is shutting down");
                    if !shut_down(&mut rooms, shared.limits.save_within, &closing).await {
                        tracing::error!("not everything could be saved before the end; what was acknowledged is on disk");
                    }
                    let _gone = reply.send(());
                    return;
                }
                None => return,
            },
            Some(Idle { doc, handed }) = idles.recv() => {
                // Somebody who got a handle meanwhile keeps the room.
                if rooms.get(&doc).is_some_and(|entry| entry.visitors.handed.load(Ordering::Acquire) == handed)
                    && let Some(entry) = rooms.remove(&doc)
                {
                    drop(entry.inbox); // the last one: the room's task ends
                }
            }
        }
    }
}

fn open(shared: &Arc<Shared>, doc: DocId, idle: &mpsc::Sender<Idle>) -> Entry {
    let (inbox, commands) = mpsc::channel(shared.limits.room_inbox.max(1));
    let visitors = Arc::new(Visitors::default());
    let task = tokio::spawn(room::run(
        doc,
        Arc::clone(shared),
        Arc::clone(&visitors),
        commands,
        idle.clone(),
    ));
    let most = u32::try_from(shared.limits.room_inbox_bytes >> 10).unwrap_or(u32::MAX);
    let most = most.clamp(1, u32::MAX >> 3); // what a semaphore of any machine holds
    let inbox = Inbox {
        commands: inbox,
        budget: Arc::new(Semaphore::new(most as usize)),
        most,
    };
    Entry {
        inbox,
        visitors,
        task,
    }
}

/// Closes all rooms. Whether everything was saved in time; rooms that cannot save go on trying.
async fn shut_down(
    rooms: &mut HashMap<DocId, Entry>,
    within: std::time::Duration,
    closing: &Closing,
) -> bool {
    let deadline = tokio::time::Instant::now() + within;
    // A room whose inbox is full may be stuck on its store: neither it nor those after it are waited for beyond the time.
    let asked = rooms.values().map(|entry| {
        entry
            .inbox
            .commands
            .send(Command::ShutDown(Box::new(closing.clone())))
    });
    let asked = tokio::time::timeout_at(deadline, futures_util::future::join_all(asked)).await;
    let mut saved = asked.is_ok(); // a refusal within: the room has ended
    for (doc, entry) in rooms.iter_mut() {
        match tokio::time::timeout_at(deadline, &mut entry.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%doc, %error, "a room's task failed"),
            Err(_) => saved = false,
        }
    }
    rooms.retain(|_, entry| !entry.task.is_finished());
    saved
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    fn inbox(kilobytes: u32) -> (Inbox, mpsc::Receiver<Command>) {
        let (commands, received) = mpsc::channel(1);
        let inbox = Inbox {
            commands,
            budget: Arc::new(Semaphore::new(kilobytes as usize)),
            most: kilobytes,
        };
        (inbox, received)
    }

    #[tokio::test]
    async fn a_room_that_is_stuck_does_not_hold_up_the_end() {
        let (inbox, _stuck) = inbox(1);
        let end = Command::ShutDown(Box::new(Closing::new(CLOSE_GOING_AWAY, "the end")));
        assert!(inbox.commands.send(end).await.is_ok(), "it is full now");
        let entry = Entry {
            inbox,
            visitors: Arc::default(),
            task: tokio::spawn(std::future::pending()),
        };
        let mut rooms = HashMap::from([(DocId::parse("stuck").unwrap(), entry)]);
        let closing = Closing::new(CLOSE_GOING_AWAY, "the end");
        let end = shut_down(&mut rooms, Duration::from_millis(10), &closing);
        tokio::time::timeout(Duration::from_secs(20), end)
            .await
            .expect("it waits for ever");
    }

    #[test]
    fn messages_wait_for_the_inbox_to_have_bytes_for_them() {
        let (inbox, _received) = inbox(100);
        let first = inbox.hold(60 << 10).now_or_never().unwrap();
        assert!(inbox.hold(60 << 10).now_or_never().is_none());
        drop(first);
        // One that is larger than all of it comes alone.
        let whole = inbox.hold(500 << 10).now_or_never().unwrap();
        assert!(inbox.hold(0).now_or_never().is_none());
        drop(whole);
        assert!(inbox.hold(0).now_or_never().is_some());
    }
}
