//! The store's thread and the bounded queue that feeds it: group commit across all rooms.
//!
//! Everything that waits in the queue goes into one transaction, so that a hundred rooms cost one fsync and not a hundred.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use super::{
    AccessRows, AccessWrite, Backend, Backing, Cause, DepartureRow, DocumentRow, LinkRow, Loaded, NewVersion,
    Raw, Remains, StoreError, VersionBody, Write,
};
use crdt::authorship::{Authorship, Credits};
use crdt::history::Version;
use crdt::ids::{DocId, Part};

/// How much one transaction takes at most, in bytes. Larger ones only make everybody in them wait.
const TRANSACTION_BYTES: usize = 8 << 20;

/// When there is no room for a write of this size or less, there is none for any: the rest of its group is not tried.
const SMALL_BYTES: usize = 4 << 10;

/// How many commands are done between two steps of a backup: those who write must not keep it from coming to an end.
const COMMANDS_BETWEEN: usize = 16;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Command {
    Write(Box<Write>, Reply<()>),
    Documents(Reply<Vec<DocumentRow>>),
    Document(DocId, Reply<Option<DocumentRow>>),
    Load(DocId, Reply<Raw>),
    Authorship(DocId, Part, Reply<Authorship>),
    Credits(DocId, Reply<Credits>),
    Versions(DocId, Reply<Vec<Version>>),
    Version(DocId, u64, Reply<Option<VersionBody>>),
    KeepVersion(DocId, Box<NewVersion>, Reply<Version>),
    Remains(DocId, Reply<Remains>),
    Backup(PathBuf, Reply<()>),
    Replace(PathBuf, Reply<PathBuf>),
    CheckFile(Reply<Vec<String>>),
    Links(Reply<Vec<LinkRow>>),
    SetQuota(Option<u64>, Reply<()>),
    Access(Reply<AccessRows>),
    Departures(DocId, Reply<Vec<DepartureRow>>),
    WriteAccess(Box<AccessWrite>, Reply<()>),
    Close(Reply<()>),
}

/// A handle to a store on its own thread. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    commits: Arc<AtomicU64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// The answer to a write that is queued.
#[derive(Debug)]
pub struct PendingWrite(oneshot::Receiver<Result<(), StoreError>>);

#[cfg(test)]
impl From<oneshot::Receiver<Result<(), StoreError>>> for PendingWrite {
    fn from(answer: oneshot::Receiver<Result<(), StoreError>>) -> Self {
        Self(answer)
    }
}

impl PendingWrite {
    /// Waits until the write is on disk.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn done(mut self) -> Result<(), StoreError> {
        std::future::poll_fn(|cx| self.poll_done(cx)).await
    }

    /// Whether it is done by now; not to be asked again afterwards.
    pub(crate) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        let answer = std::task::ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.unwrap_or(Err(StoreError::Closed)))
    }
}

impl Store {
    /// Starts the thread of `backend`; up to `queue` commands wait for it.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the system gives no thread.
    pub fn spawn(backend: impl Backing + Send + 'static, queue: usize) -> Result<Self, StoreError> {
        let (commands, received) = mpsc::channel(queue.max(1));
        let commits = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&commits);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || run(backend, received, &counted))
            .map_err(|error| StoreError::Io(Cause::new(error)))?;
        Ok(Self { commands, commits })
    }

    /// How many groups of writes have been committed: with many writers far fewer than writes.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Queues a write; waits only while the queue is full. Writes are done in the order in which they were queued.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn queue(&self, write: Write) -> Result<PendingWrite, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Write(Box::new(write), reply))
            .await
            .map_err(|_| StoreError::Closed)?;
        Ok(PendingWrite(answer))
    }

    /// Does a write and waits until it is on disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(&self, write: Write) -> Result<(), StoreError> {
        self.queue(write).await?.done().await
    }

    /// See [`Backend::documents`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn documents(&self) -> Result<Vec<DocumentRow>, StoreError> {
        self.ask(Command::Documents).await
    }

    /// See [`Backend::document`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn document(&self, doc: DocId) -> Result<Option<DocumentRow>, StoreError> {
        self.ask(|reply| Command::Document(doc, reply)).await
    }

    /// See [`Backend::load`]; unpacked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self, doc: DocId) -> Result<Loaded, StoreError> {
        let raw = self.ask(|reply| Command::Load(doc.clone(), reply)).await?;
        if raw.is_unpacked() {
            return raw.unpack(&doc);
        }
        // Takes as long as to open the document: neither on the store's thread nor on one that serves sockets.
        tokio::task::spawn_blocking(move || raw.unpack(&doc))
            .await
            .map_err(|_| StoreError::Closed)?
    }

    /// See [`Backend::credits`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn credits(&self, doc: DocId) -> Result<Credits, StoreError> {
        self.ask(|reply| Command::Credits(doc, reply)).await
    }

    /// See [`Backend::versions`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn versions(&self, doc: DocId) -> Result<Vec<Version>, StoreError> {
        self.ask(|reply| Command::Versions(doc, reply)).await
    }

    /// See [`Backend::version`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn version(&self, doc: DocId, number: u64) -> Result<Option<VersionBody>, StoreError> {
        self.ask(|reply| Command::Version(doc, number, reply)).await
    }

    /// See [`Backend::keep_version`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_version(&self, doc: DocId, version: NewVersion) -> Result<Version, StoreError> {
        self.ask(|reply| Command::KeepVersion(doc, Box::new(version), reply))
            .await
    }

    /// See [`Backend::remains`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remains(&self, doc: DocId) -> Result<Remains, StoreError> {
        self.ask(|reply| Command::Remains(doc, reply)).await
    }

    /// See [`Backing::backup`]. Writes that come in meanwhile are done meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        self.ask(|reply| Command::Backup(to, reply)).await
    }

    /// See [`Backing::replace`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replace(&self, with: PathBuf) -> Result<PathBuf, StoreError> {
        self.ask(|reply| Command::Replace(with, reply)).await
    }

    /// See [`Backing::check_file`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check_file(&self) -> Result<Vec<String>, StoreError> {
        self.ask(Command::CheckFile).await
    }

    /// See [`Backend::authorship`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn authorship(&self, doc: DocId, part: Part) -> Result<Authorship, StoreError> {
        self.ask(|reply| Command::Authorship(doc, part, reply)).await
    }

    /// See [`Backend::links`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn links(&self) -> Result<Vec<LinkRow>, StoreError> {
        self.ask(Command::Links).await
    }

    /// See [`Backend::set_quota`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_quota(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        self.ask(|reply| Command::SetQuota(bytes, reply)).await
    }

    /// See [`Backend::access`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn access(&self) -> Result<AccessRows, StoreError> {
        self.ask(Command::Access).await
    }

    /// See [`Backend::departures`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn departures(&self, doc: DocId) -> Result<Vec<DepartureRow>, StoreError> {
        self.ask(|reply| Command::Departures(doc, reply)).await
    }

    /// See [`Backend::write_access`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write_access(&self, write: AccessWrite) -> Result<(), StoreError> {
        self.ask(|reply| Command::WriteAccess(Box::new(write), reply))
            .await
    }

    /// Does what is queued, closes the file and ends the thread. Everything asked later is answered with `Closed`.
    pub async fn close(&self) {
        // An error means that it is closed already, which is what was asked for.
        drop(self.ask(Command::Close).await);
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Takes what waits: neighbouring writes together, everything else one by one, in the order of the queue.
fn run(mut backend: impl Backing, mut commands: mpsc::Receiver<Command>, commits: &AtomicU64) {
    let mut next = commands.blocking_recv();
    while let Some(command) = next.take() {
        match command {
            Command::Backup(to, reply) => {
                let mut late = Vec::new();
                let copied = backend.backup(&to, &mut |backend| {
                    for _ in 0..COMMANDS_BETWEEN {
                        // What changes the file as a whole waits, and with it what comes after it.
                        if !late.is_empty() {
                            return;
                        }
                        let Ok(command) = commands.try_recv() else {
                            return;
                        };
                        late.extend(serve(backend, command, &mut commands, commits));
                    }
                });
                drop(reply.send(copied)); // whoever asked may have gone meanwhile; that is not the store's error
                next = late.pop();
            }
            Command::Replace(with, reply) => drop(reply.send(backend.replace(&with))),
            Command::CheckFile(reply) => drop(reply.send(backend.check_file())),
            Command::Close(reply) => {
                drop(backend);
                drop(reply.send(Ok(())));
                return;
            }
            other => next = serve(&mut backend, other, &mut commands, commits),
        }
        if next.is_none() {
            next = commands.blocking_recv();
        }
    }
}

/// Does what needs the documents and not the file as a whole. Returns what came next and was not done.
fn serve(
    backend: &mut dyn Backend,
    command: Command,
    commands: &mut mpsc::Receiver<Command>,
    commits: &AtomicU64,
) -> Option<Command> {
    let mut next = None;
    match command {
        Command::Write(write, reply) => {
            let mut bytes = write.weight();
            let mut group = vec![(write, reply)];
            while bytes < TRANSACTION_BYTES {
                match commands.try_recv() {
                    Ok(Command::Write(write, reply)) => {
                        bytes += write.weight();
                        group.push((write, reply));
                    }
                    Ok(other) => {
                        next = Some(other);
                        break;
                    }
                    Err(_) => break,
                }
            }
            commit(backend, group);
            commits.fetch_add(1, Ordering::Relaxed);
        }
        // Whoever asked may have gone meanwhile; that is not the store's error.
        Command::Documents(reply) => drop(reply.send(backend.documents())),
        Command::Document(doc, reply) => drop(reply.send(backend.document(&doc))),
        Command::Load(doc, reply) => drop(reply.send(backend.load(&doc))),
        Command::Authorship(doc, part, reply) => drop(reply.send(backend.authorship(&doc, part))),
        Command::Credits(doc, reply) => drop(reply.send(backend.credits(&doc))),
        Command::Versions(doc, reply) => drop(reply.send(backend.versions(&doc))),
        Command::Version(doc, number, reply) => drop(reply.send(backend.version(&doc, number))),
        Command::KeepVersion(doc, version, reply) => {
            drop(reply.send(backend.keep_version(&doc, &version)));
        }
        Command::Remains(doc, reply) => drop(reply.send(backend.remains(&doc))),
        Command::Links(reply) => drop(reply.send(backend.links())),
        Command::SetQuota(bytes, reply) => drop(reply.send(backend.set_quota(bytes))),
        Command::Access(reply) => drop(reply.send(backend.access())),
        Command::Departures(doc, reply) => drop(reply.send(backend.departures(&doc))),
        Command::WriteAccess(write, reply) => drop(reply.send(backend.write_access(&write))),
        Command::Backup(_, reply) => drop(reply.send(Err(StoreError::Busy))),
        file @ (Command::Replace(..) | Command::CheckFile(_) | Command::Close(_)) => next = Some(file),
    }
    next
}

fn commit(backend: &mut dyn Backend, group: Vec<(Box<Write>, Reply<()>)>) {
    let writes: Vec<&Write> = group.iter().map(|(write, _)| &**write).collect();
    let together = backend.write(&writes);
    tracing::trace!(writes = writes.len(), ok = together.is_ok(), "committed a group");
    let alone = matches!(&together, Err(error) if error.is_about_one_write()) && group.len() > 1;
    let mut no_room: Option<StoreError> = None;
    for (write, reply) in group {
        let result = match (&no_room, alone) {
            (Some(error), _) => Err(error.clone()),
            (None, true) => backend.write(&[&write]),
            (None, false) => together.clone(),
        };
        if let Err(error) = &result
            && error.is_about_space()
            && write.weight() <= SMALL_BYTES
        {
            no_room = Some(error.clone());
        }
        drop(reply.send(result));
    }
}
