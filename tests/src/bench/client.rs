//! A lean y-websocket client: it counts updates instead of applying them, so that the load is not the bottleneck.

use anyhow::{Context as _, bail};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use yrs::updates::encoder::Encode as _;
use yrs::{Doc, ReadTxn as _, StateVector, Text as _, TextRef, Transact as _};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Message types of [y-protocols](https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md).
const SYNC: u8 = 0;
const STEP_1: u8 = 0;
const STEP_2: u8 = 1;
const UPDATE: u8 = 2;

/// What came from the relay, as far as a load client cares.
#[derive(Debug)]
pub enum Incoming {
    /// The relay asks what we have.
    Step1,
    /// What we lacked when we came, as an update.
    Step2(Vec<u8>),
    /// Somebody's edit.
    Update(Vec<u8>),
    /// Awareness and the like.
    Other,
}

/// The sending half.
#[derive(Debug)]
pub struct Sender(SplitSink<Socket, Message>);

/// The receiving half.
#[derive(Debug)]
pub struct Receiver(SplitStream<Socket>);

/// Connects to a document and asks for what is in it.
///
/// # Errors
/// When the relay does not answer.
pub async fn connect(url: &str) -> anyhow::Result<(Sender, Receiver)> {
    let (socket, _) = tokio_tungstenite::connect_async(url)
        .await
        .with_context(|| format!("no answer from {url}"))?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_nodelay(true)?;
    }
    let (sink, stream) = socket.split();
    let mut sender = Sender(sink);
    sender.sync(STEP_1, &StateVector::default().encode_v1()).await?;
    Ok((sender, Receiver(stream)))
}

impl Sender {
    /// Sends an update.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn update(&mut self, update: &[u8]) -> anyhow::Result<()> {
        self.sync(UPDATE, update).await
    }

    async fn sync(&mut self, kind: u8, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = vec![SYNC, kind];
        let mut len = payload.len();
        while len > 0x7f {
            frame.push((len & 0x7f) as u8 | 0x80);
            len >>= 7;
        }
        frame.push(len as u8);
        frame.extend_from_slice(payload);
        Ok(self.0.send(Message::Binary(frame.into())).await?)
    }
}

impl Receiver {
    /// The next message.
    ///
    /// # Errors
    /// When the relay closed the connection: in a bench nothing is allowed to be cut off.
    pub async fn next(&mut self) -> anyhow::Result<Incoming> {
        loop {
            let Some(message) = self.0.next().await else {
                bail!("the relay closed the connection")
            };
            let bytes = match message? {
                Message::Binary(bytes) => bytes,
                Message::Close(reason) => bail!("the relay closed the connection: {reason:?}"),
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let &[SYNC, kind, ref rest @ ..] = bytes.as_ref() else {
                return Ok(Incoming::Other);
            };
            let header = rest
                .iter()
                .position(|byte| byte & 0x80 == 0)
                .context("a cut message")?
                + 1;
            let payload = rest.get(header..).unwrap_or_default();
            return Ok(match kind {
                STEP_1 => Incoming::Step1,
                STEP_2 => Incoming::Step2(payload.to_vec()),
                UPDATE => Incoming::Update(payload.to_vec()),
                _ => Incoming::Other,
            });
        }
    }

    /// Waits for the answer to the first question: everything that the document holds.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn step_2(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Incoming::Step2(update) = self.next().await? {
                return Ok(update);
            }
        }
    }
}

/// A writer's replica: makes the updates of one person typing.
#[derive(Debug)]
pub struct Typist {
    doc: Doc,
    text: TextRef,
    sent: StateVector,
}

impl Typist {
    /// A replica with the given client id.
    #[must_use]
    pub fn new(client: u64) -> Self {
        let doc = Doc::with_client_id(client);
        let text = doc.get_or_insert_text("bench");
        Self {
            doc,
            text,
            sent: StateVector::default(),
        }
    }

    /// Types one letter at the end; returns the update.
    pub fn key(&mut self) -> Vec<u8> {
        {
            let mut txn = self.doc.transact_mut();
            let end = self.text.len(&txn);
            self.text.insert(&mut txn, end, "x");
        }
        let txn = self.doc.transact();
        let update = txn.encode_diff_v1(&self.sent);
        self.sent = txn.state_vector();
        update
    }
}
