//! Clients for the tests: a copy of a document over a real WebSocket, in either framing.

use std::time::Duration;

use bytes::Bytes;
use crdt::Replica;
use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage, Scope};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use sync_server::clock;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use yrs::{GetString, Text, Transact};

/// How long anything may take before a test says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The text that tests write: a root of its own, which the relay carries like any other.
pub(crate) fn text_of(replica: &Replica) -> String {
    let text = replica.doc().get_or_insert_text("proof");
    text.get_string(&replica.doc().transact())
}

/// Puts `more` at the end of the text.
pub(crate) fn append_to(replica: &Replica, more: &str) {
    let text = replica.doc().get_or_insert_text("proof");
    let mut txn = replica.doc().transact_mut();
    let end = text.len(&txn);
    text.insert(&mut txn, end, more);
}

/// What a client speaks.
#[derive(Debug, Clone)]
enum Speech {
    Y,
    Hocuspocus(String),
}

/// A client of one part of a document.
pub(crate) struct Client {
    pub(crate) replica: Replica,
    pub(crate) socket: Socket,
    speech: Speech,
    /// `SyncStatus(true)` and `SyncStatus(false)` so far.
    pub(crate) saved: usize,
    pub(crate) refused: usize,
    /// Why a write or the document was refused, in the relay's words.
    pub(crate) denied: Option<String>,
    pub(crate) scope: Option<Scope>,
    pub(crate) stateless: Vec<Value>,
    /// How often the relay has asked for a new token.
    pub(crate) token_requests: usize,
}

impl Client {
    fn new(replica: Replica, socket: Socket, speech: Speech) -> Self {
        Self {
            replica,
            socket,
            speech,
            saved: 0,
            refused: 0,
            denied: None,
            scope: None,
            stateless: Vec::new(),
            token_requests: 0,
        }
    }

    /// Connects to `/y/{doc}` (with a query, if there is one) and syncs.
    pub(crate) async fn y(base: &str, doc: &str) -> Self {
        let mut client = Self::y_with(base, doc, Replica::new(rand::random()))
            .await
            .unwrap();
        client.until("synced", |client| client.replica.is_synced()).await;
        client
    }

    /// As [`Client::y`], with a copy that has been used before, and without waiting.
    pub(crate) async fn y_with(base: &str, doc: &str, replica: Replica) -> Result<Self, tungstenite::Error> {
        let (socket, _) = connect_async(format!("{base}/y/{doc}")).await?;
        let mut client = Self::new(replica, socket, Speech::Y);
        client.begin().await?;
        Ok(client)
    }

    /// A y-websocket client over a socket that is open already; does not wait for the sync.
    pub(crate) async fn over(socket: Socket) -> Self {
        let mut client = Self::new(Replica::new(rand::random()), socket, Speech::Y);
        client.begin().await.unwrap();
        client
    }

    /// Connects to `/hocuspocus`, authenticates and syncs.
    pub(crate) async fn hocuspocus(base: &str, doc: &str, token: &str) -> Self {
        let mut client = Self::hocuspocus_with(base, doc, token, Replica::new(rand::random()))
            .await
            .unwrap();
        client
            .until("synced", |client| client.replica.is_synced() && client.saved > 0)
            .await;
        client
    }

    /// As [`Client::hocuspocus`], with a copy that has been used before, and without waiting for the sync.
    pub(crate) async fn hocuspocus_with(
        base: &str,
        doc: &str,
        token: &str,
        replica: Replica,
    ) -> Result<Self, tungstenite::Error> {
        let (socket, _) = connect_async(format!("{base}/hocuspocus")).await?;
        let mut client = Self::new(replica, socket, Speech::Hocuspocus(doc.to_owned()));
        client
            .say(HocusMessage::Token {
                token: token.to_owned(),
                version: Some("4.8.0".into()),
            })
            .await?;
        client
            .until("an answer to the token", |client| {
                client.scope.is_some() || client.denied.is_some()
            })
            .await;
        if client.scope.is_some() {
            client.begin().await?;
        }
        Ok(client)
    }

    async fn begin(&mut self) -> Result<(), tungstenite::Error> {
        self.replica.disconnected();
        for frame in self.replica.connected() {
            self.send(frame).await?;
        }
        Ok(())
    }

    /// Sends one y-protocols message.
    pub(crate) async fn send(&mut self, message: Vec<u8>) -> Result<(), tungstenite::Error> {
        match &self.speech {
            Speech::Y => self.socket.send(Message::Binary(message.into())).await,
            Speech::Hocuspocus(_) => self.say(HocusMessage::Y(message)).await,
        }
    }

    /// Sends one Hocuspocus message.
    pub(crate) async fn say(&mut self, message: HocusMessage) -> Result<(), tungstenite::Error> {
        let Speech::Hocuspocus(name) = &self.speech else {
            panic!("this client speaks y-protocols")
        };
        let frame = Frame::Document {
            address: Address::new(name.clone()),
            message,
        };
        self.socket.send(Message::Binary(frame.encode().into())).await
    }

    /// Writes at the end of the text and sends it.
    pub(crate) async fn write(&mut self, more: &str) -> Result<(), tungstenite::Error> {
        append_to(&self.replica, more);
        self.flush().await
    }

    /// Sends what has been changed in the copy.
    pub(crate) async fn flush(&mut self) -> Result<(), tungstenite::Error> {
        for frame in self.replica.drain_updates() {
            self.send(frame).await?;
        }
        Ok(())
    }

    pub(crate) fn text(&self) -> String {
        text_of(&self.replica)
    }

    /// Takes in the next frame. `Err`: the connection is closed, with the relay's close frame if there was one.
    pub(crate) async fn step(&mut self) -> Result<(), Option<CloseFrame>> {
        let frame = match self.socket.next().await {
            Some(Ok(Message::Binary(frame))) => frame,
            Some(Ok(Message::Close(frame))) => return Err(frame),
            Some(Ok(_)) => return Ok(()),
            Some(Err(_)) | None => return Err(None),
        };
        self.take(&frame).await.map_err(|_| None)
    }

    async fn take(&mut self, frame: &Bytes) -> Result<(), tungstenite::Error> {
        let message = match &self.speech {
            Speech::Y => HocusMessage::Y(frame.to_vec()),
            Speech::Hocuspocus(name) => match Frame::decode(frame).unwrap() {
                Frame::Document { address, message } => {
                    assert_eq!(&address.name, name, "a frame of another document");
                    message
                }
                Frame::Ping | Frame::Pong => return Ok(()),
            },
        };
        match message {
            HocusMessage::Y(bytes) | HocusMessage::SyncReply(bytes) => {
                let received = self.replica.receive(clock::now(), &bytes).unwrap();
                self.denied = received.denied.or(self.denied.take());
                for reply in received.replies {
                    self.send(reply).await?;
                }
            }
            HocusMessage::SyncStatus(true) => self.saved += 1,
            HocusMessage::SyncStatus(false) => self.refused += 1,
            HocusMessage::PermissionDenied(reason) => self.denied = Some(reason),
            HocusMessage::Authenticated(scope) => self.scope = Some(scope),
            HocusMessage::TokenRequest => self.token_requests += 1,
            HocusMessage::Stateless(text) => self.stateless.push(serde_json::from_str(&text).unwrap()),
            other => panic!("unexpected {other:?}"),
        }
        Ok(())
    }

    /// Takes in frames until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.until_within(PATIENCE, what, condition).await;
    }

    /// The same for what takes longer.
    pub(crate) async fn until_within(
        &mut self,
        patience: Duration,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) {
        let wait = async {
            while !condition(self) {
                if let Err(closed) = self.step().await {
                    panic!("waited for: {what}; the connection was closed: {closed:?}");
                }
            }
        };
        if timeout(patience, wait).await.is_err() {
            panic!("waited in vain: {what}; the text is {:?}", self.text());
        }
    }

    /// Takes in frames until the relay closes the connection.
    pub(crate) async fn until_closed(&mut self) -> Option<CloseFrame> {
        let wait = async {
            loop {
                if let Err(frame) = self.step().await {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("the connection stays open")
    }
}
