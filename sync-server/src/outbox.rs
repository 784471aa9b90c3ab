//! What waits for one connection's reader: bounded in messages and bytes. Full means cut off, never a message less.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::limits::Limits;

/// Close code: the reader was too slow; it should come again at once (RFC 6455 registry, 1013 "try again later").
pub const CLOSE_TOO_SLOW: u16 = 1013;

/// Close code: the relay is shutting down (RFC 6455, 7.4.1, "going away").
pub const CLOSE_GOING_AWAY: u16 = 1001;

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
pub(crate) struct Outbox {
    frames: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
    max_bytes: usize,
    closing: watch::Sender<Option<Closing>>,
}

/// The transport's end: takes frames out.
#[derive(Debug)]
pub(crate) struct OutboxReader {
    frames: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    max_bytes: usize,
    closing: watch::Receiver<Option<Closing>>,
}

/// An outbox and its reader.
pub(crate) fn outbox(limits: &Limits) -> (Outbox, OutboxReader) {
    let (sender, receiver) = mpsc::channel(limits.outbox_frames.max(1));
    let (closing, closed) = watch::channel(None);
    let waiting = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        frames: sender,
        waiting: Arc::clone(&waiting),
        max_bytes: limits.outbox_bytes,
        closing,
    };
    (
        outbox,
        OutboxReader {
            frames: receiver,
            waiting,
            max_bytes: limits.outbox_bytes,
            closing: closed,
        },
    )
}

impl Outbox {
    /// Puts a frame in. When there is no room for it the connection is cut off, and everything in it with it: the reader
    /// comes again and syncs whole. A frame of any size counts as half of the outbox at most: whoever takes minutes to
    /// read a large document must not be cut off for an edit that is made meanwhile, and come again for all of it.
    pub(crate) fn push(&self, frame: Bytes) {
        if self.is_closed() {
            return;
        }
        let weight = weight(&frame, self.max_bytes);
        let before = self.waiting.fetch_add(weight, Ordering::AcqRel);
        let full = before + weight > self.max_bytes;
        if full || self.frames.try_send(frame).is_err() {
            self.close(Closing::new(
                CLOSE_TOO_SLOW,
                "too slow: connect again to get everything",
            ));
        }
    }

    /// Closes the connection; what waits is not sent. Only the first reason counts.
    pub(crate) fn close(&self, closing: Closing) {
        self.closing.send_if_modified(|reason| {
            let first = reason.is_none();
            if first {
                *reason = Some(closing);
            }
            first
        });
    }

    /// Whether it has been closed, or its reader is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.frames.is_closed() || self.closing.borrow().is_some()
    }

    /// Waits until somebody closes it.
    pub(crate) async fn closed(&self) -> Closing {
        let mut closing = self.closing.subscribe();
        match closing.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(Closing::gone),
            Err(_) => Closing::gone(),
        }
    }
}

impl OutboxReader {
    /// Waits for frames and takes all that wait, up to `most`. `Err`: the connection is to be closed.
    pub(crate) async fn take(&mut self, batch: &mut Vec<Bytes>, most: usize) -> Result<(), Closing> {
        tokio::select! {
            biased;
            closing = closed(&mut self.closing) => Err(closing),
            taken = self.frames.recv_many(batch, most) => if taken == 0 { Err(Closing::gone()) } else { Ok(()) },
        }
    }

    /// How much frames count in the outbox.
    pub(crate) fn weigh(&self, frames: &[Bytes]) -> usize {
        frames.iter().map(|frame| weight(frame, self.max_bytes)).sum()
    }

    /// Says that frames of this weight have reached the peer's end: they wait no more.
    pub(crate) fn sent(&self, weight: usize) {
        self.waiting.fetch_sub(weight, Ordering::AcqRel);
    }

    /// Waits until somebody closes the connection.
    pub(crate) async fn closed(&mut self) -> Closing {
        closed(&mut self.closing).await
    }
}

fn weight(frame: &Bytes, max_bytes: usize) -> usize {
    frame.len().min(max_bytes / 2)
}

async fn closed(closing: &mut watch::Receiver<Option<Closing>>) -> Closing {
    match closing.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_else(Closing::gone),
        Err(_) => Closing::gone(), // every room and the connection itself have dropped it
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
