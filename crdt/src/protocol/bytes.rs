//! lib0's variable-length integers, strings and byte arrays, read from bytes that nobody vouches for.
//!
//! yrs has such a reader too, but it takes any bytes for UTF-8 without looking and reserves whatever memory a length
//! asks for. Everything that arrives on a link is therefore read here first.

use super::ProtocolError;

/// The largest integer that JavaScript can hold exactly, so the largest that lib0 writes.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// A cursor over received bytes. **Invariant:** reads nothing outside them and allocates nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, ProtocolError> {
        let (&first, rest) = self.rest.split_first().ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// An unsigned integer of up to 53 bits (`writeVarUint`).
    pub(crate) fn uint(&mut self) -> Result<u64, ProtocolError> {
        let mut value = 0_u64;
        // Eight groups of seven bits hold 53 bits; yrs would shift a ninth one back to the start.
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if value <= MAX_SAFE_INTEGER {
                    Ok(value)
                } else {
                    Err(ProtocolError::Malformed("integer"))
                };
            }
        }
        Err(ProtocolError::Malformed("integer"))
    }

    /// An unsigned integer below 2^31: clocks and lengths, which yrs subtracts as `i32`.
    pub(crate) fn uint31(&mut self) -> Result<u32, ProtocolError> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value)
                    .ok()
                    .filter(|value| *value <= i32::MAX.cast_unsigned())
                    .ok_or(ProtocolError::Malformed("clock or length"));
            }
        }
        Err(ProtocolError::Malformed("clock or length"))
    }

    /// Steps over a signed integer (`writeVarInt`).
    pub(crate) fn skip_int(&mut self) -> Result<(), ProtocolError> {
        // One group of six and eight of seven bits: 62, which no i64 overflows.
        for _ in 0..9 {
            if self.byte()? < 0x80 {
                return Ok(());
            }
        }
        Err(ProtocolError::Malformed("integer"))
    }

    /// A count of things that take at least `each` bytes: never more than can still follow.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, ProtocolError> {
        let count = usize::try_from(self.uint31()?).map_err(|_| ProtocolError::Truncated)?;
        if count > self.rest.len() / each.max(1) {
            Err(ProtocolError::Truncated)
        } else {
            Ok(count)
        }
    }

    /// A byte array with its length before it.
    pub(crate) fn buffer(&mut self) -> Result<&'a [u8], ProtocolError> {
        let len = usize::try_from(self.uint31()?).map_err(|_| ProtocolError::Truncated)?;
        self.take(len)
    }

    /// A UTF-8 string with its length in bytes before it.
    pub(crate) fn string(&mut self) -> Result<&'a str, ProtocolError> {
        std::str::from_utf8(self.buffer()?).map_err(|_| ProtocolError::Malformed("UTF-8"))
    }
}

/// Appends an unsigned integer (`writeVarUint`).
pub(crate) fn put_uint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a byte array with its length before it.
pub(crate) fn put_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string with its length in bytes before it.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    put_buffer(out, text.as_bytes());
}
