//! What waits for one connection's reader: bounded in messages and bytes. Full means cut off, never a message less.
//!
//! Most frames wait for nothing: whoever has put them in writes them to the socket at the end of its turn, without waking anybody.
//! The connection's own task writes what the socket does not take at once.

mod frame;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use crate::limits::Limits;
use crate::serve::WriteEnd;

pub(crate) use frame::Frame;

/// Close code: the reader was too slow; it should come again at once (RFC 6455 registry, 1013 "try again later").
pub const CLOSE_TOO_SLOW: u16 = 1013;

/// Close code: the relay is shutting down (RFC 6455, 7.4.1, "going away").
pub const CLOSE_GOING_AWAY: u16 = 1001;

/// Frames that an empty outbox keeps room for.
const KEPT_FRAMES: usize = 8;

/// Bytes that are written by whoever has put them in; more is left to the connection's own task.
const AT_ONCE: usize = 64 << 10;

/// Bytes of small frames that are written together.
const TOGETHER: usize = 4 << 10;

/// Why a connection is closed: a WebSocket close code and words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Closing {
    /// A WebSocket close code.
    pub code: u16,
    /// For people, at most 120 bytes (a close frame holds no more).
    pub reason: String,
}

impl Closing {
    /// Cuts `reason` to what a close frame can hold.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        const MAX_BYTES: usize = 120;
        let mut reason = reason.into();
        let mut end = reason.len().min(MAX_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason }
    }

    /// The peer left.
    pub(crate) fn gone() -> Self {
        Self::new(1000, "the connection was closed")
    }
}

/// The rooms' end: puts frames in.
#[derive(Debug, Clone)]
pub(crate) struct Outbox(Arc<Waiting>);

/// The transport's end: takes frames out.
#[derive(Debug)]
pub(crate) struct OutboxReader(Arc<Waiting>);

/// What waits, and for whom. Thousands of connections do nothing most of the time: an empty one takes two hundred bytes.
#[derive(Debug)]
struct Waiting {
    max_frames: usize,
    max_bytes: usize,
    queue: Mutex<Queue>,
    /// For the reader: there is something to do, or it is to end.
    filled: Notify,
    /// For everybody else: it is closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    /// How much of the first one has gone out.
    begun: usize,
    /// Of those and of what the reader has taken and not sent yet.
    bytes: usize,
    closing: Option<Closing>,
    /// Nobody reads any more.
    abandoned: bool,
    /// A socket's, once it is one.
    end: Option<WriteEnd>,
    writer: Writer,
}

/// Who brings to the socket what waits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Nothing waits, or nobody has promised anything.
    #[default]
    Nobody,
    /// Whoever put the first frame in, at the end of its turn.
    Sender,
    /// The connection's own task, which can wait for the socket.
    Reader,
}

/// An outbox and its reader.
pub(crate) fn outbox(limits: &Limits) -> (Outbox, OutboxReader) {
    let waiting = Arc::new(Waiting {
        max_frames: limits.outbox_frames.max(1),
        max_bytes: limits.outbox_bytes,
        queue: Mutex::default(),
        filled: Notify::new(),
        closed: Notify::new(),
    });
    (Outbox(Arc::clone(&waiting)), OutboxReader(waiting))
}

impl Outbox {
    /// Puts a frame in; `true`: whoever did so owes a [`Outbox::flush`], soon. When there is no room for it the connection is
    /// cut off, and everything in it with it: the reader comes again and syncs whole. A frame of any size counts as half of the
    /// outbox at most: whoever takes minutes to read a large document must not be cut off for an edit that is made meanwhile,
    /// and come again for all of it.
    #[must_use]
    pub(crate) fn push(&self, frame: Frame) -> bool {
        let weight = self.0.weight(&frame);
        let mut queue = self.0.lock();
        if queue.closing.is_some() || queue.abandoned {
            return false;
        }
        let full = queue.frames.len() >= self.0.max_frames || queue.bytes + weight > self.0.max_bytes;
        if full {
            drop(queue);
            self.close(Closing::new(
                CLOSE_TOO_SLOW,
                "too slow: connect again to get everything",
            ));
            return false;
        }
        queue.bytes += weight;
        queue.frames.push_back(frame);
        if queue.end.is_some() {
            let owed = queue.writer == Writer::Nobody;
            if owed {
                queue.writer = Writer::Sender;
            }
            return owed;
        }
        let first = queue.frames.len() == 1;
        drop(queue);
        if first {
            self.0.filled.notify_one();
        }
        false
    }

    /// Puts a frame in and sends it.
    pub(crate) fn say(&self, frame: Frame) {
        if self.push(frame) {
            self.flush();
        }
    }

    /// Writes what waits, as far as the socket takes it at once; the rest is left to the connection's own task.
    pub(crate) fn flush(&self) {
        let mut queue = self.0.lock();
        if queue.writer == Writer::Reader || queue.closing.is_some() {
            return;
        }
        queue.writer = Writer::Nobody;
        // What takes long to copy holds up neither a room nor those who wait for their turn in it.
        let written = if queue.bytes <= AT_ONCE {
            self.0.write_at_once(&mut queue)
        } else {
            Ok(false)
        };
        if !matches!(written, Ok(true)) {
            // It meets the error of a peer that has gone as well, and reads what the peer wrote before; a room that saw a closed
            // outbox would take it for gone at once.
            queue.writer = Writer::Reader;
            drop(queue);
            self.0.filled.notify_one();
        }
    }

    /// Leaves what waits to the connection's own task.
    pub(crate) fn hand_over(&self) {
        let mut queue = self.0.lock();
        if queue.writer == Writer::Sender {
            queue.writer = Writer::Reader;
            drop(queue);
            self.0.filled.notify_one();
        }
    }

    /// Closes the connection; what waits is not sent. Only the first reason counts.
    pub(crate) fn close(&self, closing: Closing) {
        let mut queue = self.0.lock();
        if queue.closing.is_some() {
            return;
        }
        queue.closing = Some(closing);
        queue.forget();
        drop(queue);
        self.0.filled.notify_one();
        self.0.closed.notify_waiters();
    }

    /// Whether it has been closed, or its reader is gone.
    pub(crate) fn is_closed(&self) -> bool {
        let queue = self.0.lock();
        queue.closing.is_some() || queue.abandoned
    }

    /// Waits until somebody closes it.
    pub(crate) async fn closed(&self) -> Closing {
        self.0.closed().await
    }
}

impl OutboxReader {
    /// From now on what is put in goes to this socket.
    pub(crate) fn attach(&mut self, end: WriteEnd) {
        let mut queue = self.0.lock();
        queue.end = Some(end);
        if !queue.frames.is_empty() {
            queue.writer = Writer::Reader;
        }
    }

    /// Waits for something that the socket does not take at once. Returns how many bytes wait; [`OutboxReader::write`] is to
    /// write so many.
    pub(crate) async fn blocked(&mut self) -> usize {
        loop {
            {
                let queue = self.0.lock();
                if queue.writer == Writer::Reader && queue.closing.is_none() {
                    return queue.waiting();
                }
            }
            self.0.filled.notified().await;
        }
    }

    /// Writes so many bytes of what waits, and all that the socket takes besides; waits for the socket.
    ///
    /// # Errors
    /// The peer is gone.
    pub(crate) async fn write(&mut self, mut bytes: usize) -> io::Result<()> {
        poll_fn(|cx| self.0.poll_write(cx, &mut bytes)).await
    }

    /// Says why the connection ends, behind a frame that has gone out in part, and lets go of the socket.
    pub(crate) async fn say_goodbye(&mut self, closing: &Closing) {
        let bytes = {
            let mut queue = self.0.lock();
            queue.forget();
            queue.frames.push_back(Frame::close(closing));
            queue.waiting()
        };
        drop(self.write(bytes).await); // it may be gone already
        self.0.lock().end = None;
    }

    /// Waits for frames and takes all that wait, up to `most`. `Err`: the connection is to be closed.
    pub(crate) async fn take(&mut self, batch: &mut Vec<Frame>, most: usize) -> Result<(), Closing> {
        loop {
            if let Some(taken) = self.take_now(batch, most) {
                return taken;
            }
            self.0.filled.notified().await;
        }
    }

    fn take_now(&mut self, batch: &mut Vec<Frame>, most: usize) -> Option<Result<(), Closing>> {
        let mut queue = self.0.lock();
        if let Some(closing) = &queue.closing {
            return Some(Err(closing.clone()));
        }
        if queue.frames.is_empty() {
            return None;
        }
        let most = most.min(queue.frames.len());
        batch.extend(queue.frames.drain(..most));
        queue.shrink();
        Some(Ok(()))
    }

    /// How much a frame counts in the outbox.
    pub(crate) fn weigh(&self, frame: &Frame) -> usize {
        self.0.weight(frame)
    }

    /// Says that frames of this weight have reached the peer's end: they wait no more.
    pub(crate) fn sent(&self, weight: usize) {
        let mut queue = self.0.lock();
        queue.bytes = queue.bytes.saturating_sub(weight);
    }

    /// Waits until somebody closes the connection.
    pub(crate) async fn closed(&mut self) -> Closing {
        self.0.closed().await
    }
}

impl Drop for OutboxReader {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.abandoned = true;
        queue.frames = VecDeque::new();
        queue.end = None;
    }
}

impl Queue {
    /// Bytes that have not gone out.
    fn waiting(&self) -> usize {
        let all: usize = self.frames.iter().map(|frame| frame.wire().len()).sum();
        all - self.begun
    }

    /// Drops what waits, but for a frame of which a part has gone out.
    fn forget(&mut self) {
        self.frames.truncate(usize::from(self.begun > 0));
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.frames.is_empty() && self.frames.capacity() > KEPT_FRAMES {
            self.frames = VecDeque::new();
        }
    }

    /// What is to be written next, when it is one frame.
    fn alone(&self) -> Option<&[u8]> {
        let first = self.frames.front()?.wire().get(self.begun..)?;
        (self.frames.len() == 1 || first.len() >= TOGETHER).then_some(first)
    }

    /// What is to be written next, when it is several small ones: together, a burst is one call of the system and one packet.
    fn together<'a>(&self, place: &'a mut [u8; TOGETHER]) -> &'a [u8] {
        let (mut filled, mut skipped) = (0, self.begun);
        for frame in &self.frames {
            let frame = frame.wire().get(skipped..).unwrap_or_default();
            let Some(part) = place.get_mut(filled..filled + frame.len()) else {
                break;
            };
            part.copy_from_slice(frame);
            filled += frame.len();
            skipped = 0;
        }
        place.get(..filled).unwrap_or_default()
    }

    /// Notes that so many bytes have gone out.
    fn gone(&mut self, bytes: usize, weight: impl Fn(&Frame) -> usize) {
        self.begun += bytes;
        while let Some(first) = self.frames.front() {
            let length = first.wire().len();
            if self.begun < length {
                break;
            }
            self.begun -= length;
            self.bytes = self.bytes.saturating_sub(weight(first));
            self.frames.pop_front();
        }
        self.shrink();
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn weight(&self, frame: &Frame) -> usize {
        frame.len().min(self.max_bytes / 2)
    }

    /// Whether all that waits was written. `Err`: the peer is gone.
    fn write_at_once(&self, queue: &mut Queue) -> io::Result<bool> {
        while !queue.frames.is_empty() {
            let Some(end) = &queue.end else { return Ok(false) };
            let tried = match queue.alone() {
                Some(frame) => end.try_write(frame),
                None => end.try_write(queue.together(&mut [0; TOGETHER])),
            };
            match tried {
                Ok(written) => queue.gone(written, |frame| self.weight(frame)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes until `bytes` have gone out and the socket takes no more, or nothing waits.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &mut usize) -> Poll<io::Result<()>> {
        let mut queue = self.lock();
        loop {
            // Out of its place for as long as it is written to.
            let Some(mut end) = queue.end.take() else {
                return Poll::Ready(Ok(()));
            };
            let last = queue.frames.is_empty();
            let polled = if last {
                Pin::new(&mut end).poll_flush(cx).map_ok(|()| 0)
            } else {
                match queue.alone() {
                    Some(frame) => Pin::new(&mut end).poll_write(cx, frame),
                    None => Pin::new(&mut end).poll_write(cx, queue.together(&mut [0; TOGETHER])),
                }
            };
            queue.end = Some(end);
            match polled {
                Poll::Ready(Ok(_)) if last => {
                    queue.writer = Writer::Nobody;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    queue.gone(written, |frame| self.weight(frame));
                    *bytes = bytes.saturating_sub(written);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                // What has come since is another stretch, with a time of its own.
                Poll::Pending if *bytes == 0 && !last => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    async fn closed(&self) -> Closing {
        loop {
            let mut told = pin!(self.closed.notified());
            told.as_mut().enable(); // before looking, so that nothing is missed
            if let Some(closing) = &self.lock().closing {
                return closing.clone();
            }
            told.await;
        }
    }
}
