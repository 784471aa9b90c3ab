//! One block of an update: how long it is, what it refers to, and that its content is well formed.

use super::Id;
use crate::protocol::ProtocolError;
use crate::protocol::bytes::Reader;

/// How deep JSON-like values may nest: as deep as serde_json allows. yrs reads them recursively.
const MAX_VALUE_DEPTH: usize = 128;

const HAS_ORIGIN: u8 = 0b1000_0000;
const HAS_RIGHT_ORIGIN: u8 = 0b0100_0000;
const HAS_PARENT_SUB: u8 = 0b0010_0000;
const CONTENT: u8 = 0b0000_1111;

const GC: u8 = 0;
const DELETED: u8 = 1;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const SKIP: u8 = 10;

/// An array, a map, a text, an XML fragment, an XML text.
const TYPES_WITHOUT_NAME: [u8; 5] = [0, 1, 2, 4, 6];
const XML_ELEMENT: u8 = 3;

/// A block without its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// How many clocks it takes.
    pub(super) len: u32,
    /// Whether it only says that something is left out.
    pub(super) skip: bool,
    /// Whether it is an element, a map, a text…: something that others can stand in.
    pub(super) element: bool,
    /// Whether it is a piece of text.
    pub(super) text: bool,
    /// What it was written to the right of.
    pub(super) origin: Option<Id>,
    /// What it was written to the left of.
    pub(super) right_origin: Option<Id>,
    /// What it stands in, when neither neighbour tells and it is not a root.
    pub(super) parent: Option<Id>,
}

impl Block {
    /// The ids that must be there before it can be integrated.
    pub(super) fn refers_to(&self) -> impl Iterator<Item = Id> {
        [self.origin, self.right_origin, self.parent]
            .into_iter()
            .flatten()
    }

    /// Reads one block and steps over its content; says where in it characters are that take two UTF-16 units.
    pub(super) fn read(reader: &mut Reader<'_>, pairs: &mut Vec<u32>) -> Result<Self, ProtocolError> {
        let info = reader.byte()?;
        match info {
            GC => {
                return Ok(Self {
                    len: reader.uint31()?,
                    ..Self::default()
                });
            }
            SKIP => {
                return Ok(Self {
                    len: reader.uint31()?,
                    skip: true,
                    ..Self::default()
                });
            }
            _ => {}
        }
        let mut block = Self::default();
        if info & HAS_ORIGIN != 0 {
            block.origin = Some(id(reader)?);
        }
        if info & HAS_RIGHT_ORIGIN != 0 {
            block.right_origin = Some(id(reader)?);
        }
        if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
            if reader.uint31()? == 1 {
                reader.string()?;
            } else {
                block.parent = Some(id(reader)?);
            }
            if info & HAS_PARENT_SUB != 0 {
                reader.string()?;
            }
        }
        block.element = info & CONTENT == TYPE;
        block.text = info & CONTENT == STRING;
        block.len = content(reader, info & CONTENT, pairs)?;
        Ok(block)
    }
}

fn id(reader: &mut Reader<'_>) -> Result<Id, ProtocolError> {
    Ok((reader.uint()?, reader.uint31()?))
}

/// Steps over a block's content and returns how many clocks it takes.
fn content(reader: &mut Reader<'_>, kind: u8, pairs: &mut Vec<u32>) -> Result<u32, ProtocolError> {
    match kind {
        DELETED => return reader.uint31(),
        STRING => return Ok(text(reader.string()?, pairs)),
        ANY => {
            let count = reader.count(1)?;
            for _ in 0..count {
                value(reader, 0)?;
            }
            return u32::try_from(count).map_err(|_| ProtocolError::Malformed("list"));
        }
        BINARY => {
            reader.buffer()?;
        }
        EMBED => {
            json(reader.string()?)?;
        }
        FORMAT => {
            reader.string()?;
            json(reader.string()?)?;
        }
        TYPE => match reader.byte()? {
            XML_ELEMENT => {
                reader.string()?;
            }
            other if TYPES_WITHOUT_NAME.contains(&other) => {}
            // yjs writes a name with an XML hook that yrs does not read; nothing uses them.
            _ => return Err(ProtocolError::Unsupported("a type unknown here")),
        },
        _ => {
            return Err(ProtocolError::Unsupported(
                "a sub-document, a move or an outdated kind of content",
            ));
        }
    }
    Ok(1)
}

/// The length of a text in UTF-16 units, and where the second units of its pairs are.
fn text(text: &str, pairs: &mut Vec<u32>) -> u32 {
    let mut units = 0;
    for char in text.chars() {
        // A text is shorter than 2^31 bytes, so than 2^31 units.
        units += char.len_utf16() as u32;
        if char.len_utf16() == 2 {
            pairs.push(units - 1);
        }
    }
    units
}

fn json(text: &str) -> Result<(), ProtocolError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|_| ProtocolError::Malformed("JSON value"))
}

/// Steps over a value in lib0's binary form of JSON (`writeAny`).
fn value(reader: &mut Reader<'_>, depth: usize) -> Result<(), ProtocolError> {
    if depth > MAX_VALUE_DEPTH {
        return Err(ProtocolError::Malformed("nesting of values"));
    }
    match reader.byte()? {
        // undefined, null, false, true
        127 | 126 | 121 | 120 => Ok(()),
        125 => reader.skip_int(),
        124 => reader.take(4).map(|_| ()),
        123 | 122 => reader.take(8).map(|_| ()),
        119 => reader.string().map(|_| ()),
        118 => {
            for _ in 0..reader.count(2)? {
                reader.string()?;
                value(reader, depth + 1)?;
            }
            Ok(())
        }
        117 => {
            for _ in 0..reader.count(1)? {
                value(reader, depth + 1)?;
            }
            Ok(())
        }
        116 => reader.buffer().map(|_| ()),
        _ => Err(ProtocolError::Malformed("value")),
    }
}
