//! The framing of Hocuspocus: several documents on one socket, each frame with the name of its document.
//!
//! As in the npm packages @hocuspocus/provider 4.8.0, @hocuspocus/common 4.8.0 and @hocuspocus/server 4.7.0
//! (`src/types.ts`, `src/auth.ts`, `src/routingKey.ts`, `src/MessageReceiver.ts`). What follows the name is, for sync and
//! awareness, exactly a y-protocols message; it is passed on as it is and checked by whoever reads it.

use super::ProtocolError;
use super::bytes::{Reader, put_string, put_uint};

const SYNC: u8 = 0;
const AWARENESS: u8 = 1;
const AUTH: u8 = 2;
const QUERY_AWARENESS: u8 = 3;
const SYNC_REPLY: u8 = 4;
const STATELESS: u8 = 5;
const BROADCAST_STATELESS: u8 = 6;
const CLOSE: u8 = 7;
const SYNC_STATUS: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const AUTH_TOKEN: u64 = 0;
const AUTH_DENIED: u64 = 1;
const AUTH_AUTHENTICATED: u64 = 2;

/// Stands between the document's name and the session when several providers of one socket have it open.
const SESSION_SEPARATOR: char = '\0';

/// One frame on the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The server asks whether the client is there. Of the whole socket: without a name.
    Ping,
    /// The answer to [`Frame::Ping`].
    Pong,
    /// A message about one document.
    Document {
        /// Which document, and which of the socket's providers for it. An answer carries the same address.
        address: Address,
        /// What is said.
        message: HocusMessage,
    },
}

/// The document's name as it stands before a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The document's name, `D` or `D~margin`.
    pub name: String,
    /// The provider's session, when it was made with `sessionAwareness`.
    pub session: Option<String>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HocusMessage {
    /// A y-protocols message: sync (0), awareness (1) or the awareness question (3), with its type in front.
    Y(Vec<u8>),
    /// A sync message (with type 0 in front, as for [`HocusMessage::Y`]) that must not be answered with a step 1.
    SyncReply(Vec<u8>),
    /// Client to server: the first message about a document.
    Token {
        /// What the provider was given as `token`.
        token: String,
        /// The provider's version; providers before version 4 do not tell.
        version: Option<String>,
    },
    /// Server to client: send your token again.
    TokenRequest,
    /// Server to client: the token does not open this document.
    PermissionDenied(String),
    /// Server to client: the token is accepted.
    Authenticated(Scope),
    /// A text for the application at the other end.
    Stateless(String),
    /// A text for all clients; only servers send it to each other.
    BroadcastStateless(String),
    /// The provider leaves the document (no reason), or the server closes it (with one).
    Close(Option<String>),
    /// Server to client: whether the client's oldest unacknowledged change is safe (`true`) or refused (`false`).
    SyncStatus(bool),
}

/// What an authenticated provider may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Its updates are taken.
    ReadWrite,
    /// Its updates are refused.
    ReadOnly,
}

impl Scope {
    const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "readonly",
        }
    }
}

impl Address {
    /// An address without a session.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            session: None,
        }
    }

    fn parse(key: &str) -> Self {
        match key.split_once(SESSION_SEPARATOR) {
            Some((name, session)) => Self {
                name: name.to_owned(),
                session: Some(session.to_owned()),
            },
            None => Self::new(key),
        }
    }

    fn key(&self) -> String {
        match &self.session {
            Some(session) => format!("{}{SESSION_SEPARATOR}{session}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Frame {
    /// Decodes one frame; y-protocols messages inside are left unread.
    ///
    /// # Errors
    /// [`ProtocolError`] for anything that is not one; never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtocolError> {
        match bytes {
            [PING] => return Ok(Self::Ping),
            [PONG] => return Ok(Self::Pong),
            _ => {}
        }
        let mut reader = Reader::new(bytes);
        let address = Address::parse(reader.string()?);
        let message = HocusMessage::decode(&mut reader)?;
        Ok(Self::Document { address, message })
    }

    /// Encodes the frame as the npm packages do.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ping => vec![PING],
            Self::Pong => vec![PONG],
            Self::Document { address, message } => {
                let mut out = Vec::new();
                put_string(&mut out, &address.key());
                message.put(&mut out);
                out
            }
        }
    }
}

impl HocusMessage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        let with_type = reader.rest();
        let kind = reader.uint()?;
        match u8::try_from(kind) {
            Ok(SYNC | AWARENESS | QUERY_AWARENESS) => Ok(Self::Y(with_type.to_vec())),
            Ok(SYNC_REPLY) => Ok(Self::SyncReply([&[SYNC], reader.rest()].concat())),
            Ok(AUTH) => Self::decode_auth(reader),
            Ok(STATELESS) => Ok(Self::Stateless(reader.string()?.to_owned())),
            Ok(BROADCAST_STATELESS) => Ok(Self::BroadcastStateless(reader.string()?.to_owned())),
            Ok(CLOSE) if reader.is_empty() => Ok(Self::Close(None)),
            Ok(CLOSE) => Ok(Self::Close(Some(reader.string()?.to_owned()))),
            Ok(SYNC_STATUS) => Ok(Self::SyncStatus(reader.uint()? == 1)),
            _ => Err(ProtocolError::UnknownType(kind)),
        }
    }

    fn decode_auth(reader: &mut Reader<'_>) -> Result<Self, ProtocolError> {
        match reader.uint()? {
            AUTH_TOKEN if reader.is_empty() => Ok(Self::TokenRequest),
            AUTH_TOKEN => {
                let token = reader.string()?.to_owned();
                let version = if reader.is_empty() {
                    None
                } else {
                    Some(reader.string()?.to_owned())
                };
                Ok(Self::Token { token, version })
            }
            AUTH_DENIED => Ok(Self::PermissionDenied(reader.string()?.to_owned())),
            AUTH_AUTHENTICATED => match reader.string()? {
                "read-write" => Ok(Self::Authenticated(Scope::ReadWrite)),
                "readonly" => Ok(Self::Authenticated(Scope::ReadOnly)),
                _ => Err(ProtocolError::Malformed("scope")),
            },
            other => Err(ProtocolError::UnknownType(other)),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Y(message) => out.extend_from_slice(message),
            Self::SyncReply(message) => {
                out.push(SYNC_REPLY);
                out.extend_from_slice(message.get(1..).unwrap_or_default());
            }
            Self::Token { token, version } => {
                out.push(AUTH);
                put_uint(out, AUTH_TOKEN);
                put_string(out, token);
                if let Some(version) = version {
                    put_string(out, version);
                }
            }
            Self::TokenRequest => {
                out.push(AUTH);
                put_uint(out, AUTH_TOKEN);
            }
            Self::PermissionDenied(reason) => {
                out.push(AUTH);
                put_uint(out, AUTH_DENIED);
                put_string(out, reason);
            }
            Self::Authenticated(scope) => {
                out.push(AUTH);
                put_uint(out, AUTH_AUTHENTICATED);
                put_string(out, scope.as_str());
            }
            Self::Stateless(payload) => {
                out.push(STATELESS);
                put_string(out, payload);
            }
            Self::BroadcastStateless(payload) => {
                out.push(BROADCAST_STATELESS);
                put_string(out, payload);
            }
            Self::Close(reason) => {
                out.push(CLOSE);
                if let Some(reason) = reason {
                    put_string(out, reason);
                }
            }
            Self::SyncStatus(saved) => {
                out.push(SYNC_STATUS);
                put_uint(out, u64::from(*saved));
            }
        }
    }
}
