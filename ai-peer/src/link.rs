//! A link to a relay: y-protocols frames of one Yjs document, in both directions, over whatever carries them.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes that may wait for a relay that does not read; beyond that the link is given up and made anew.
const MAX_WAITING: usize = 16 << 20;

/// The two ends of a link that a peer holds. Either end closing closes the link.
#[derive(Debug)]
pub struct Link {
    /// Frames to the relay.
    pub tx: mpsc::Sender<Bytes>,
    /// Frames from the relay.
    pub rx: mpsc::Receiver<Bytes>,
}

impl Link {
    /// Two ends of one link, with room for `capacity` frames each way.
    #[must_use]
    pub fn pair(capacity: usize) -> (Self, Self) {
        let (a_tx, b_rx) = mpsc::channel(capacity);
        let (b_tx, a_rx) = mpsc::channel(capacity);
        (Self { tx: a_tx, rx: a_rx }, Self { tx: b_tx, rx: b_rx })
    }
}

/// Frames that wait to be sent, so that a full link never keeps its peer from reading.
#[derive(Debug)]
pub(crate) struct Outbox {
    tx: mpsc::Sender<Bytes>,
    waiting: VecDeque<Bytes>,
    size: usize,
}

/// The other end is gone, or does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

impl Outbox {
    pub(crate) const fn new(tx: mpsc::Sender<Bytes>) -> Self {
        Self {
            tx,
            waiting: VecDeque::new(),
            size: 0,
        }
    }

    /// Sends what the link takes at once and keeps the rest, in order.
    pub(crate) fn send(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Closed> {
        for frame in frames {
            self.size += frame.len();
            self.waiting.push_back(Bytes::from(frame));
        }
        while let Some(frame) = self.waiting.pop_front() {
            let len = frame.len();
            match self.tx.try_send(frame) {
                Ok(()) => self.size -= len,
                Err(mpsc::error::TrySendError::Full(frame)) => {
                    self.waiting.push_front(frame);
                    return if self.size > MAX_WAITING {
                        Err(Closed)
                    } else {
                        Ok(())
                    };
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(Closed),
            }
        }
        Ok(())
    }

    /// Waits until a frame that was kept is sent; for ever when there is none. Nothing is lost when it is dropped.
    pub(crate) async fn drain(&mut self) -> Result<(), Closed> {
        if self.waiting.is_empty() {
            return std::future::pending().await;
        }
        let permit = self.tx.reserve().await.map_err(|_| Closed)?;
        if let Some(frame) = self.waiting.pop_front() {
            self.size -= frame.len();
            permit.send(frame);
        }
        Ok(())
    }

    /// Sends these and everything that waits.
    pub(crate) async fn send_all(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Closed> {
        self.send(frames)?;
        while !self.waiting.is_empty() {
            self.drain().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_waits_in_order() {
        let (near, mut far) = Link::pair(1);
        let mut outbox = Outbox::new(near.tx);
        outbox.send([vec![1], vec![2], vec![3]]).unwrap();
        assert_eq!(outbox.waiting.len(), 2);
        assert_eq!(far.rx.recv().await.unwrap(), [1].as_slice());
        outbox.drain().await.unwrap();
        assert_eq!(far.rx.recv().await.unwrap(), [2].as_slice());
        outbox.send([vec![4]]).unwrap();
        assert_eq!(far.rx.recv().await.unwrap(), [3].as_slice());
        outbox.send_all([]).await.unwrap();
        assert_eq!(far.rx.recv().await.unwrap(), [4].as_slice());
        assert_eq!((outbox.waiting.len(), outbox.size), (0, 0));
    }

    #[tokio::test]
    async fn a_relay_that_is_gone_or_does_not_read_closes_the_link() {
        let (near, far) = Link::pair(1);
        let mut outbox = Outbox::new(near.tx);
        assert_eq!(
            outbox.send([vec![0; MAX_WAITING], vec![0; MAX_WAITING], vec![0]]),
            Err(Closed)
        );
        drop(far);
        assert_eq!(outbox.send([vec![5]]), Err(Closed));
        assert_eq!(outbox.drain().await, Err(Closed));
    }
}
