//! A lean WebSocket client: one read takes what the system has, frames are looked at in place and never copied.
//!
//! A client that is made for applications keeps large buffers and allocates for every message; with thousands of
//! connections in one process, the load would measure itself.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The first bit of a frame: the message ends with it.
const LAST: u8 = 0x80;
/// The first bit of the second byte: a key follows the length. Clients must set it; a key of zeros changes no byte.
const MASKED: u8 = 0x80;

/// What a connection begins with; it grows with what arrives in one go.
const FIRST_BUFFER: usize = 1 << 10;
/// One read takes at most so much more than the frame that is waited for.
const MOST_AT_ONCE: usize = 64 << 10;

/// The sending half. Clones send on the same connection.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Mutex<OwnedWriteHalf>>);

/// The receiving half; it answers pings by itself.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedReadHalf,
    pongs: Writer,
    buffer: Vec<u8>,
    /// What of the buffer has arrived and has not been looked at.
    waiting: Range<usize>,
}

/// Opens a WebSocket on this machine.
///
/// # Errors
/// When nothing listens there, or it does not speak WebSocket.
pub async fn open(port: u16, path: &str) -> anyhow::Result<(Writer, Reader)> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .with_context(|| format!("nothing listens on port {port}"))?;
    stream.set_nodelay(true)?;
    let (socket, mut half) = stream.into_split();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    half.write_all(request.as_bytes()).await?;
    let writer = Writer(Arc::new(Mutex::new(half)));
    let mut reader = Reader {
        socket,
        pongs: writer.clone(),
        buffer: vec![0; FIRST_BUFFER],
        waiting: 0..0,
    };
    reader.answer().await?;
    Ok((writer, reader))
}

impl Writer {
    /// Sends one message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&self, message: &[u8]) -> anyhow::Result<()> {
        self.frame(BINARY, message).await
    }

    async fn frame(&self, kind: u8, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = Vec::with_capacity(payload.len() + 14);
        frame.push(LAST | kind);
        match payload.len() {
            short @ 0..=125 => frame.push(MASKED | short as u8),
            middle @ 126..=0xffff => {
                frame.push(MASKED | 126);
                frame.extend_from_slice(&(middle as u16).to_be_bytes());
            }
            long => {
                frame.push(MASKED | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        Ok(self.0.lock().await.write_all(&frame).await?)
    }
}

impl Reader {
    /// The next message.
    ///
    /// # Errors
    /// When the server closed the connection: in a bench nothing is allowed to be cut off.
    pub async fn next(&mut self) -> anyhow::Result<&[u8]> {
        loop {
            while let Some((kind, payload)) = self.frame()? {
                match kind {
                    BINARY => return Ok(&self.buffer[payload]),
                    PING => {
                        let payload = self.buffer[payload].to_vec();
                        self.pongs.frame(PONG, &payload).await?;
                    }
                    CLOSE => {
                        let code = self.buffer[payload.clone()].first_chunk().copied();
                        let reason = String::from_utf8_lossy(&self.buffer[payload]).into_owned();
                        bail!(
                            "the server closed the connection ({} {})",
                            code.map_or(0, u16::from_be_bytes),
                            reason.get(2..).unwrap_or_default()
                        )
                    }
                    _ => {}
                }
            }
            self.fill().await?;
        }
    }

    /// Takes the answer to the handshake off the connection.
    async fn answer(&mut self) -> anyhow::Result<()> {
        loop {
            let seen = &self.buffer[self.waiting.clone()];
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&seen[..end]).into_owned();
                ensure!(head.starts_with("HTTP/1.1 101"), "no WebSocket here: {head}");
                self.waiting.start += end + 4;
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// The next whole frame in the buffer.
    fn frame(&mut self) -> anyhow::Result<Option<(u8, Range<usize>)>> {
        let seen = &self.buffer[self.waiting.clone()];
        let (head, length) = match seen {
            [_, short @ 0..=125, ..] => (2, usize::from(*short)),
            [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            [_, 127, rest @ ..] if rest.len() >= 8 => {
                let long = u64::from_be_bytes(*rest.first_chunk().context("a cut length")?);
                (10, usize::try_from(long)?)
            }
            [_, masked @ 128..=255, ..] => bail!("a server must not mask its frames ({masked})"),
            _ => return Ok(None),
        };
        let kind = seen[0];
        ensure!(
            kind & LAST != 0,
            "the server cuts messages into pieces, which this client does not read"
        );
        let begin = self.waiting.start + head;
        if self.waiting.end < begin + length {
            self.reserve(head + length);
            return Ok(None);
        }
        self.waiting.start = begin + length;
        Ok(Some((kind & 0x0f, begin..begin + length)))
    }

    /// Makes room for a frame of this size.
    fn reserve(&mut self, bytes: usize) {
        let free_from_start = self.buffer.len() - self.waiting.start;
        if free_from_start < bytes {
            self.buffer.copy_within(self.waiting.clone(), 0);
            self.waiting = 0..self.waiting.len();
            if self.buffer.len() < bytes {
                self.buffer.resize(bytes, 0);
            }
        }
    }

    /// Reads what has arrived, waiting for something to arrive.
    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            self.waiting = 0..0;
        } else if self.waiting.end == self.buffer.len() && self.waiting.start > 0 {
            self.buffer.copy_within(self.waiting.clone(), 0);
            self.waiting = 0..self.waiting.len();
        }
        if self.waiting.end == self.buffer.len() {
            let more = self.buffer.len().min(MOST_AT_ONCE);
            self.buffer.resize(self.buffer.len() + more, 0);
        }
        let room = self.waiting.end..self.buffer.len();
        let read = self.socket.read(&mut self.buffer[room]).await?;
        ensure!(read > 0, "the server closed the connection without a word");
        self.waiting.end += read;
        Ok(())
    }
}
