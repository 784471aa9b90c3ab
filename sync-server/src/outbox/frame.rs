//! Messages as a WebSocket carries them.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame as WebSocketFrame, FrameHeader};

use super::Closing;

/// One frame of a server ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455), 5.2), encoded once for everybody who gets it: what
/// is sent to many is neither copied nor put together again for each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame(Bytes);

impl Frame {
    /// A binary message.
    pub(crate) fn binary(message: &[u8]) -> Self {
        let header = FrameHeader {
            opcode: OpCode::Data(Data::Binary),
            ..FrameHeader::default()
        };
        let length = message.len() as u64;
        let mut bytes = Vec::with_capacity(header.len(length) + message.len());
        // Writing to a vector does not fail.
        drop(header.format(length, &mut bytes));
        bytes.extend_from_slice(message);
        Self(bytes.into())
    }

    /// Asks whether the peer is there.
    pub(crate) fn ping() -> Self {
        Self::of(WebSocketFrame::ping(Bytes::new()))
    }

    /// Answers a ping with what it said.
    pub(crate) fn pong(said: Vec<u8>) -> Self {
        Self::of(WebSocketFrame::pong(said))
    }

    /// Says why the connection ends.
    pub(crate) fn close(closing: &Closing) -> Self {
        Self::of(WebSocketFrame::close(Some(CloseFrame {
            code: closing.code.into(),
            reason: closing.reason.as_str().into(),
        })))
    }

    fn of(frame: WebSocketFrame) -> Self {
        let mut bytes = Vec::with_capacity(frame.len());
        drop(frame.format(&mut bytes)); // writing to a vector does not fail
        Self(bytes.into())
    }

    /// The message without what the WebSocket puts before it, for links that are none.
    pub(crate) fn message(&self) -> Bytes {
        self.0.slice(self.head()..)
    }

    /// How long the message is.
    pub(crate) fn len(&self) -> usize {
        self.0.len() - self.head()
    }

    /// What goes over the wire.
    pub(super) const fn wire(&self) -> &Bytes {
        &self.0
    }

    /// A server's frames have no mask: two bytes, and the length again where it does not fit into the second.
    fn head(&self) -> usize {
        match self.0.get(1).map(|second| second & 0x7f) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_out_of_its_frame_as_it_went_in() {
        for (length, head) in [(0, 2), (1, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let message = vec![7; length];
            let frame = Frame::binary(&message);
            assert_eq!(frame.message(), message);
            assert_eq!((frame.len(), frame.wire().len()), (length, head + length));
        }
    }

    #[test]
    fn control_frames_are_those_of_the_protocol() {
        assert_eq!(&Frame::ping().wire()[..], [0x89, 0]);
        assert_eq!(&Frame::pong(vec![1, 2]).wire()[..], [0x8a, 2, 1, 2]);
        let close = Frame::close(&Closing::new(1013, "slow"));
        assert_eq!(&close.wire()[..], b"\x88\x06\x03\xf5slow");
    }
}
