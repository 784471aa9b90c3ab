//! What waits for one connection's reader: bounded in messages and bytes. Full means cut off, never a message less.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::limits::Limits;

/// Close code: the reader was too slow; it should come again at once (RFC 6455 registry, 1013 "try again later").
pub const CLOSE_TOO_SLOW: u16 = 1013;

/// Close code: the relay is shutting down (RFC 6455, 7.4.1, "going away").
pub const CLOSE_GOING_AWAY: u16 = 1001;

/// Frames that an empty outbox, and a writer with nothing to do, keep room for.
pub(crate) const KEPT_FRAMES: usize = 32;

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
    /// For the reader: there is something to take, or it is to end.
    filled: Notify,
    /// For everybody else: it is closed.
    closed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// Of those and of what the reader has taken and not sent yet.
    bytes: usize,
    closing: Option<Closing>,
    /// Nobody reads any more.
    abandoned: bool,
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
    /// Puts a frame in. When there is no room for it the connection is cut off, and everything in it with it: the reader
    /// comes again and syncs whole. A frame of any size counts as half of the outbox at most: whoever takes minutes to
    /// read a large document must not be cut off for an edit that is made meanwhile, and come again for all of it.
    pub(crate) fn push(&self, frame: Bytes) {
        let weight = self.0.weight(&frame);
        let mut queue = self.0.lock();
        if queue.closing.is_some() || queue.abandoned {
            return;
        }
        let full = queue.frames.len() >= self.0.max_frames || queue.bytes + weight > self.0.max_bytes;
        if full {
            drop(queue);
            return self.close(Closing::new(
                CLOSE_TOO_SLOW,
                "too slow: connect again to get everything",
            ));
        }
        queue.bytes += weight;
        queue.frames.push_back(frame);
        let first = queue.frames.len() == 1;
        drop(queue);
        if first {
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
        queue.frames = VecDeque::new();
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
    /// Waits for frames and takes all that wait, up to `most`. `Err`: the connection is to be closed.
    pub(crate) async fn take(&mut self, batch: &mut Vec<Bytes>, most: usize) -> Result<(), Closing> {
        loop {
            if let Some(taken) = self.take_now(batch, most) {
                return taken;
            }
            self.0.filled.notified().await;
        }
    }

    fn take_now(&mut self, batch: &mut Vec<Bytes>, most: usize) -> Option<Result<(), Closing>> {
        let mut queue = self.0.lock();
        if let Some(closing) = &queue.closing {
            return Some(Err(closing.clone()));
        }
        if queue.frames.is_empty() {
            return None;
        }
        let most = most.min(queue.frames.len());
        batch.extend(queue.frames.drain(..most));
        if queue.frames.is_empty() && queue.frames.capacity() > KEPT_FRAMES {
            queue.frames = VecDeque::new();
        }
        Some(Ok(()))
    }

    /// How much frames count in the outbox.
    pub(crate) fn weigh(&self, frames: &[Bytes]) -> usize {
        frames.iter().map(|frame| self.0.weight(frame)).sum()
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
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn weight(&self, frame: &Bytes) -> usize {
        frame.len().min(self.max_bytes / 2)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(frames: usize, bytes: usize) -> Limits {
        Limits {
            outbox_frames: frames,
            outbox_bytes: bytes,
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn a_reader_gets_everything_in_order() {
        let (outbox, mut reader) = outbox(&limits(10, 100));
        for byte in 0..5_u8 {
            outbox.push(Bytes::copy_from_slice(&[byte]));
        }
        let mut batch = Vec::new();
        reader.take(&mut batch, 100).await.unwrap();
        assert_eq!(batch.concat(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn too_many_frames_cut_the_connection_off() {
        let (outbox, mut reader) = outbox(&limits(2, 1000));
        for _ in 0..3 {
            outbox.push(Bytes::from_static(b"x"));
        }
        let closing = reader.take(&mut Vec::new(), 100).await.unwrap_err();
        assert_eq!(closing.code, CLOSE_TOO_SLOW);
        assert!(outbox.is_closed());
    }

    #[tokio::test]
    async fn too_many_bytes_cut_it_off_but_one_large_frame_passes() {
        let (outbox, mut reader) = outbox(&limits(100, 10));
        outbox.push(Bytes::from_static(&[0; 50]));
        // What comes while it is on its way has room beside it.
        outbox.push(Bytes::from_static(&[0; 4]));
        assert!(!outbox.is_closed());
        let mut batch = Vec::new();
        reader.take(&mut batch, 100).await.unwrap();
        reader.sent(reader.weigh(&batch));
        for _ in 0..2 {
            outbox.push(Bytes::from_static(&[0; 5]));
            assert!(!outbox.is_closed());
        }
        outbox.push(Bytes::from_static(&[0; 1]));
        assert!(reader.take(&mut batch, 100).await.is_err());
    }

    #[test]
    fn a_reason_fits_into_a_close_frame() {
        assert_eq!(Closing::new(1000, "é".repeat(100)).reason.len(), 120);
    }
}
