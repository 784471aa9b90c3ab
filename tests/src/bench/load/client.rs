//! A client that counts updates instead of applying them, in the two dialects that the servers speak.

use futures_util::future::try_join_all;

use super::wire::{self, Reader, Writer};

/// Message types of [y-protocols](https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md) and of Hocuspocus.
const SYNC: u8 = 0;
const AUTH: u8 = 2;
const SYNC_REPLY: u8 = 4;
const SYNC_STATUS: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const STEP_1: u8 = 0;
const STEP_2: u8 = 1;
const UPDATE: u8 = 2;

const AUTHENTICATED: u8 = 2;

/// Connections that are made at once.
const JOIN_AT_ONCE: usize = 32;

/// A document on a server of this machine.
#[derive(Debug, Clone)]
pub struct Address {
    /// The server's port.
    pub port: u16,
    /// The path and query of the socket.
    pub path: String,
    /// For the dialect of Hocuspocus, the document's name, which stands before each message.
    pub hocuspocus: Option<String>,
}

/// What came from the server, as far as a load client cares.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// The server asks what we have; its state vector.
    Step1(&'a [u8]),
    /// What we lacked when we came, as an update.
    Step2(&'a [u8]),
    /// Somebody's edit.
    Update(&'a [u8]),
    /// Hocuspocus: our oldest unacknowledged edit was taken (or refused).
    Status(bool),
    /// Awareness and the like.
    Other,
}

/// The sending half.
#[derive(Debug, Clone)]
pub struct Sender {
    writer: Writer,
    prefix: Vec<u8>,
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver {
    reader: Reader,
    sender: Sender,
}

/// Connects to a document and asks for what is not in `state` (a v1 state vector; empty for "nothing").
///
/// # Errors
/// When the server does not answer, or does not let us in.
pub async fn connect_with(address: &Address, state: &[u8]) -> anyhow::Result<(Sender, Receiver)> {
    let (writer, reader) = wire::open(address.port, &address.path).await?;
    let mut prefix = Vec::new();
    if let Some(name) = &address.hocuspocus {
        put_bytes(&mut prefix, name.as_bytes());
    }
    let sender = Sender { writer, prefix };
    let mut receiver = Receiver {
        reader,
        sender: sender.clone(),
    };
    if address.hocuspocus.is_some() {
        // A token of no bytes, as a client without one sends.
        sender.message(&[AUTH, 0, 0]).await?;
        receiver.authenticated().await?;
    }
    sender.sync(STEP_1, state).await?;
    Ok((sender, receiver))
}

/// Connects to a document and asks for everything in it.
///
/// # Errors
/// As [`connect_with`].
pub async fn connect(address: &Address) -> anyhow::Result<(Sender, Receiver)> {
    connect_with(address, &[0]).await
}

/// Connects, and waits until the server has said what it has.
///
/// # Errors
/// As [`connect_with`].
pub async fn join(address: &Address) -> anyhow::Result<(Sender, Receiver)> {
    let (sender, mut receiver) = connect(address).await?;
    receiver.step_2().await?;
    Ok((sender, receiver))
}

/// [`join`] for many at once, a few at a time: on a busy machine each takes its turn several times.
///
/// # Errors
/// As [`connect_with`].
pub async fn join_all(addresses: &[Address]) -> anyhow::Result<Vec<(Sender, Receiver)>> {
    let mut joined = Vec::with_capacity(addresses.len());
    for some in addresses.chunks(JOIN_AT_ONCE) {
        joined.extend(try_join_all(some.iter().map(join)).await?);
    }
    Ok(joined)
}

impl Sender {
    /// Sends an update.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn update(&self, update: &[u8]) -> anyhow::Result<()> {
        self.sync(UPDATE, update).await
    }

    /// Answers the server's question with what it lacks.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn step_2(&self, update: &[u8]) -> anyhow::Result<()> {
        self.sync(STEP_2, update).await
    }

    async fn sync(&self, kind: u8, payload: &[u8]) -> anyhow::Result<()> {
        let mut message = Vec::with_capacity(payload.len() + 8);
        message.extend_from_slice(&[SYNC, kind]);
        put_bytes(&mut message, payload);
        self.message(&message).await
    }

    async fn message(&self, message: &[u8]) -> anyhow::Result<()> {
        if self.prefix.is_empty() {
            return self.writer.send(message).await;
        }
        self.writer.send(&[&self.prefix, message].concat()).await
    }
}

impl Receiver {
    /// The next message.
    ///
    /// # Errors
    /// When the server closed the connection: in a bench nothing is allowed to be cut off.
    pub async fn next(&mut self) -> anyhow::Result<Incoming<'_>> {
        let message = self.reader.next().await?;
        if message == [PING] && !self.sender.prefix.is_empty() {
            self.sender.writer.send(&[PONG]).await?;
            return Ok(Incoming::Other);
        }
        let Some(message) = message.strip_prefix(self.sender.prefix.as_slice()) else {
            return Ok(Incoming::Other);
        };
        Ok(match *message {
            [SYNC | SYNC_REPLY, kind, ref rest @ ..] => {
                let payload = get_uint(rest).map_or(rest, |(_, payload)| payload);
                match kind {
                    STEP_1 => Incoming::Step1(payload),
                    STEP_2 => Incoming::Step2(payload),
                    UPDATE => Incoming::Update(payload),
                    _ => Incoming::Other,
                }
            }
            [SYNC_STATUS, taken, ..] if !self.sender.prefix.is_empty() => Incoming::Status(taken == 1),
            _ => Incoming::Other,
        })
    }

    /// Waits for the answer to the first question: everything that the document holds.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn step_2(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Incoming::Step2(update) = self.next().await? {
                return Ok(update.to_vec());
            }
        }
    }

    async fn authenticated(&mut self) -> anyhow::Result<()> {
        loop {
            let message = self.reader.next().await?;
            if let Some([AUTH, answer, ..]) = message.strip_prefix(self.sender.prefix.as_slice()) {
                anyhow::ensure!(*answer == AUTHENTICATED, "the server refused the token");
                return Ok(());
            }
        }
    }
}

/// Appends a number in lib0's variable length.
pub(super) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes with their length in front.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a number in lib0's variable length; what follows it comes with it.
pub(super) fn get_uint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}
