//! Updates as a store keeps them: in the second encoding where that is worth it.
//!
//! The second encoding (v2) writes each field of all items in a column of its own: a typed text takes half the bytes or
//! less. It is used only for what is found again in it exactly.

use std::panic::{AssertUnwindSafe, catch_unwind};

use yrs::Update;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;

use crate::protocol::ProtocolError;
use crate::protocol::bytes::Reader;

/// An update in either encoding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether they are in the second encoding.
    pub v2: bool,
}

/// The bytes are no update in the encoding that they are said to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes do not hold an update")]
pub struct PackedError;

impl Packed {
    /// As it is.
    #[must_use]
    pub const fn v1(update: Vec<u8>) -> Self {
        Self {
            bytes: update,
            v2: false,
        }
    }

    /// In the second encoding, if an update is found again in it.
    #[must_use]
    pub fn v2(update: Vec<u8>) -> Self {
        match encode(&update) {
            Some(bytes) => Self { bytes, v2: true },
            None => Self::v1(update),
        }
    }

    /// In the second encoding if that takes half the bytes or less.
    #[must_use]
    pub fn halved(update: Vec<u8>) -> Self {
        match encode(&update) {
            Some(bytes) if bytes.len() <= update.len() / 2 => Self { bytes, v2: true },
            Some(_) | None => Self::v1(update),
        }
    }

    /// The update in the first encoding. Only for bytes that are what was once written: yrs believes the lengths in the
    /// second encoding, and a made-up one can make it ask for more memory than there is, which ends the process.
    ///
    /// # Errors
    /// [`PackedError`]; never panics.
    pub fn into_v1(self) -> Result<Vec<u8>, PackedError> {
        if !self.v2 {
            return Ok(self.bytes);
        }
        check_text(&self.bytes).map_err(|_| PackedError)?;
        let decoded = catch_unwind(|| {
            let update = Update::decode_v2(&self.bytes).ok()?;
            Some(update.encode_v1())
        });
        decoded.ok().flatten().ok_or(PackedError)
    }
}

/// Whether the column of texts is UTF-8: yrs reads it without a look, and walks through its characters. (The layout is that
/// of `UpdateDecoderV2` in yjs: a byte of flags, and nine columns with their lengths before them, the texts in the sixth.)
fn check_text(v2: &[u8]) -> Result<(), ProtocolError> {
    let mut reader = Reader::new(v2);
    reader.byte()?;
    for _ in 0..5 {
        reader.buffer()?;
    }
    Reader::new(reader.buffer()?).string().map(drop)
}

fn encode(update: &[u8]) -> Option<Vec<u8>> {
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        let before = Update::decode_v1(update).ok()?;
        let bytes = before.encode_v2();
        (Update::decode_v2(&bytes).ok()? == before).then_some(bytes)
    }));
    encoded.ok().flatten()
}
