//! The y-protocols messages (sync, awareness, auth) of one document on one link, byte-compatible with the npm
//! package y-protocols 1.0.7: <https://github.com/yjs/y-protocols/blob/master/PROTOCOL.md>.
//!
//! The messages are yrs' own types; the decoder is not, because yrs' trusts its input: it takes any bytes for UTF-8
//! and reserves the memory that a length asks for. [`decode`] checks all of that, and [`update::UpdateFacts`] checks an
//! update before yrs sees it.

pub mod hocuspocus;
pub mod update;

pub(crate) mod bytes;

use std::collections::HashMap;
use std::sync::Arc;

use yrs::updates::encoder::Encode;
use yrs::{ClientID, StateVector};

pub use yrs::sync::awareness::{AwarenessUpdate, AwarenessUpdateEntry};
pub use yrs::sync::{Message, SyncMessage};

use bytes::{Reader, put_buffer, put_string, put_uint};

/// Message type of sync messages.
pub const SYNC: u8 = 0;
/// Message type of awareness updates.
pub const AWARENESS: u8 = 1;
/// Message type of auth messages (`permission denied`).
pub const AUTH: u8 = 2;
/// Message type of the question for everybody's awareness.
pub const QUERY_AWARENESS: u8 = 3;

/// The most messages that one frame may hold. Clients send one, at most a handful; each can ask for a whole document.
pub const MAX_MESSAGES: usize = 16;

/// The most clients that a state vector or the list of an update's clients may name: a new one for every session that ever
/// wrote. yrs keeps them by their own bits, which a sender can choose so that they collide; with so many that is slow for
/// half a second at most.
pub const MAX_CLIENTS: usize = 1 << 17;

/// The most awareness states in one message: everybody in the largest room.
const MAX_AWARENESS: usize = 1 << 16;

const STEP_1: u8 = 0;
const STEP_2: u8 = 1;
const UPDATE: u8 = 2;
const PERMISSION_DENIED: u64 = 0;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The bytes end in the middle of something.
    #[error("the message is cut short")]
    Truncated,
    /// Something has a form that no correct sender writes.
    #[error("the message has a malformed {0}")]
    Malformed(&'static str),
    /// Correct, but nothing that a document here may hold.
    #[error("the message has {0}, which is not supported here")]
    Unsupported(&'static str),
    /// More of something than a document or a frame here may have.
    #[error("the message has too many {0}")]
    TooMany(&'static str),
    /// A message type that is not known.
    #[error("the message is of unknown type {0}")]
    UnknownType(u64),
}

/// Decodes one message.
///
/// # Errors
/// [`ProtocolError`] for anything that is not one; never panics, and allocates no more than a small multiple of `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Message, ProtocolError> {
    decode_next(&mut Reader::new(bytes))
}

/// Decodes all messages of a frame: y-protocols lets a sender put several one after the other. At most [`MAX_MESSAGES`], and
/// only one of them may be a step 1, whose answer can be a whole document.
///
/// # Errors
/// The error of the first message that is not one; what came before it is lost with it.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Message>, ProtocolError> {
    let mut reader = Reader::new(bytes);
    let mut messages = Vec::new();
    let mut asked = false;
    while messages.is_empty() || !reader.is_empty() {
        if messages.len() == MAX_MESSAGES {
            return Err(ProtocolError::TooMany("messages in one frame"));
        }
        let message = decode_next(&mut reader)?;
        let asks = matches!(message, Message::Sync(SyncMessage::SyncStep1(_)));
        if asks && std::mem::replace(&mut asked, true) {
            return Err(ProtocolError::TooMany("questions in one frame"));
        }
        messages.push(message);
    }
    Ok(messages)
}

fn decode_next(reader: &mut Reader<'_>) -> Result<Message, ProtocolError> {
    let kind = reader.uint()?;
    match u8::try_from(kind) {
        Ok(SYNC) => Ok(Message::Sync(decode_sync(reader)?)),
        Ok(AWARENESS) => Ok(Message::Awareness(decode_awareness(reader.buffer()?)?)),
        Ok(AUTH) => {
            let denied = reader.uint()? == PERMISSION_DENIED;
            Ok(Message::Auth(if denied {
                Some(reader.string()?.to_owned())
            } else {
                None
            }))
        }
        Ok(QUERY_AWARENESS) => Ok(Message::AwarenessQuery),
        _ => Err(ProtocolError::UnknownType(kind)),
    }
}

fn decode_sync(reader: &mut Reader<'_>) -> Result<SyncMessage, ProtocolError> {
    let kind = reader.uint()?;
    match u8::try_from(kind) {
        Ok(STEP_1) => Ok(SyncMessage::SyncStep1(decode_state_vector(reader.buffer()?)?)),
        Ok(STEP_2) => Ok(SyncMessage::SyncStep2(reader.buffer()?.to_vec())),
        Ok(UPDATE) => Ok(SyncMessage::Update(reader.buffer()?.to_vec())),
        _ => Err(ProtocolError::UnknownType(kind)),
    }
}

/// Decodes a state vector (v1).
///
/// # Errors
/// [`ProtocolError`] for anything that is not one.
pub fn decode_state_vector(bytes: &[u8]) -> Result<StateVector, ProtocolError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(2)?;
    if count > MAX_CLIENTS {
        return Err(ProtocolError::TooMany("clients"));
    }
    let mut clocks = Vec::with_capacity(count);
    for _ in 0..count {
        clocks.push((ClientID::new(reader.uint()?), reader.uint31()?));
    }
    Ok(clocks.into_iter().collect())
}

/// Decodes the payload of an awareness message. The states are not looked into.
///
/// # Errors
/// [`ProtocolError`] for anything that is not one.
pub fn decode_awareness(bytes: &[u8]) -> Result<AwarenessUpdate, ProtocolError> {
    let mut reader = Reader::new(bytes);
    let count = reader.count(3)?;
    if count > MAX_AWARENESS {
        return Err(ProtocolError::TooMany("awareness states"));
    }
    let mut clients = HashMap::with_capacity(count);
    for _ in 0..count {
        let client = ClientID::new(reader.uint()?);
        let clock = u32::try_from(reader.uint()?).map_err(|_| ProtocolError::Malformed("clock"))?;
        let json: Arc<str> = reader.string()?.into();
        clients.insert(client, AwarenessUpdateEntry { clock, json });
    }
    Ok(AwarenessUpdate { clients })
}

/// Sync step 1: what the sender has, as a question for what it lacks.
#[must_use]
pub fn step_1(state: &StateVector) -> Vec<u8> {
    sync(STEP_1, &state.encode_v1())
}

/// Sync step 2: the answer to step 1, everything that the other side lacks, as an update (v1).
#[must_use]
pub fn step_2(update: &[u8]) -> Vec<u8> {
    sync(STEP_2, update)
}

/// A change that has just been made, as an update (v1).
#[must_use]
pub fn update(update: &[u8]) -> Vec<u8> {
    sync(UPDATE, update)
}

fn sync(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend_from_slice(&[SYNC, kind]);
    put_buffer(&mut out, payload);
    out
}

/// An awareness message. Each entry is a client id, its clock and its state as JSON (`null`: it is gone).
pub fn awareness<'a>(entries: impl ExactSizeIterator<Item = (u64, u32, &'a str)>) -> Vec<u8> {
    let mut payload = Vec::new();
    put_uint(&mut payload, entries.len() as u64);
    for (client, clock, json) in entries {
        put_uint(&mut payload, client);
        put_uint(&mut payload, u64::from(clock));
        put_string(&mut payload, json);
    }
    let mut out = vec![AWARENESS];
    put_buffer(&mut out, &payload);
    out
}

/// The question for everybody's awareness.
#[must_use]
pub fn query_awareness() -> Vec<u8> {
    vec![QUERY_AWARENESS]
}

/// A refusal, with words for the person at the other end.
#[must_use]
pub fn permission_denied(reason: &str) -> Vec<u8> {
    let mut out = vec![AUTH];
    put_uint(&mut out, PERMISSION_DENIED);
    put_string(&mut out, reason);
    out
}
