//! The bytes of one connection: how many may come before somebody has said who they are.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::carrier::{Carrier, ReadEnd, WriteEnd};
use crate::access::traffic::Seat;

/// Open: bytes are not counted.
const UNLIMITED: usize = usize::MAX;

/// How much of a flood is thrown away in one turn.
const DRAIN_TURNS: usize = 16;

/// Counts what may still come in.
#[derive(Debug)]
pub(crate) struct Gate {
    left: AtomicUsize,
    shut: AtomicBool,
    told: Notify,
    /// Whether a whole request has come.
    heard: AtomicBool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            left: AtomicUsize::new(UNLIMITED),
            shut: AtomicBool::new(false),
            told: Notify::new(),
            heard: AtomicBool::new(false),
        }
    }
}

impl Gate {
    /// From now on so many bytes may come; what comes beyond them is thrown away, and [`Gate::shut`] tells.
    pub(crate) fn limit(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Release);
    }

    /// Whatever comes is let through, unless it was too much before.
    pub(crate) fn open(&self) {
        self.left.store(UNLIMITED, Ordering::Release);
    }

    /// A request has come: the connection is no longer one that says nothing.
    pub(crate) fn heard(&self) {
        self.heard.store(true, Ordering::Release);
    }

    /// Waits until more came than may.
    pub(crate) async fn shut(&self) {
        loop {
            let told = self.told.notified();
            if self.shut.load(Ordering::Acquire) {
                return;
            }
            told.await;
        }
    }

    fn close(&self) {
        self.shut.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

/// A connection behind its gate.
#[derive(Debug)]
pub(crate) struct Gated<C = Carrier> {
    carrier: C,
    gate: Arc<Gate>,
    /// Until when the first request must have come.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The connection's place among those of its address.
    _seat: Option<Seat<IpAddr>>,
}

impl Gated {
    pub(crate) fn new(carrier: Carrier, within: Duration, seat: Option<Seat<IpAddr>>) -> Self {
        Self {
            carrier,
            gate: Arc::default(),
            deadline: Some(Box::pin(sleep(within))),
            _seat: seat,
        }
    }

    pub(crate) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// In two ends; the gate stays where the bytes come in.
    pub(crate) fn split(self) -> (Gated<ReadEnd>, WriteEnd) {
        let (read, write) = self.carrier.split();
        let read = Gated {
            carrier: read,
            gate: self.gate,
            deadline: self.deadline,
            _seat: self._seat,
        };
        (read, write)
    }
}

impl<C: AsyncRead + Unpin> Gated<C> {
    /// Reads and forgets, so that the close frame is not overtaken by a reset; ends with the connection.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut nowhere = [0_u8; 4096];
        for _ in 0..DRAIN_TURNS {
            let mut buf = ReadBuf::new(&mut nowhere);
            ready!(Pin::new(&mut self.carrier).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.gate.close();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Gated<C> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(deadline) = &mut this.deadline {
            if this.gate.heard.load(Ordering::Acquire) {
                this.deadline = None;
            } else if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        let left = this.gate.left.load(Ordering::Acquire);
        if this.gate.shut.load(Ordering::Acquire) || left == 0 {
            return this.drain(cx);
        }
        if left == UNLIMITED {
            return Pin::new(&mut this.carrier).poll_read(cx, buf);
        }
        // No more than may come: what follows the message that opens the gate stays where it is until then.
        let mut small = [0_u8; 4096];
        let room = left.min(buf.remaining()).min(small.len());
        let mut part = ReadBuf::new(small.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut this.carrier).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        let after = left - part.filled().len();
        // It may have been opened meanwhile by another thread; then the number is not this one any more.
        let _opened = this
            .gate
            .left
            .compare_exchange(left, after, Ordering::AcqRel, Ordering::Acquire);
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Gated<C> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().carrier).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().carrier).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (Gated, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let within = Duration::from_secs(3600);
        (Gated::new(Carrier::Plain(near), within, None), far)
    }

    #[tokio::test]
    async fn who_never_finishes_a_request_is_let_go() {
        let (near, _far) = pair().await;
        let mut near = Gated {
            deadline: Some(Box::pin(sleep(Duration::from_millis(1)))),
            ..near
        };
        let error = near.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (near, mut far) = pair().await;
        let mut near = Gated {
            deadline: Some(Box::pin(sleep(Duration::ZERO))),
            ..near
        };
        near.gate().heard();
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_comes_after_the_message_that_opens_is_not_lost() {
        let (mut near, mut far) = pair().await;
        near.gate().limit(10);
        far.write_all(&[7; 10_000]).await.unwrap();
        let mut first = [0; 10];
        near.read_exact(&mut first).await.unwrap();
        near.gate().open();
        let mut rest = vec![0; 9_990];
        near.read_exact(&mut rest).await.unwrap();
        assert!(first.iter().chain(&rest).all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn too_much_is_thrown_away_and_told() {
        let (mut near, mut far) = pair().await;
        let gate = near.gate();
        gate.limit(10);
        let flood = tokio::spawn(async move {
            far.write_all(&vec![7; 5_000_000]).await.unwrap();
            far.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        near.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, [7; 10]);
        flood.await.unwrap();
        gate.shut().await;
        gate.open();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0, "it stays shut");
    }
}
