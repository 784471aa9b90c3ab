//! What comes in over a WebSocket: frames taken apart and messages put together, within their limits.
//!
//! Headers are read by tungstenite. Its own connection keeps a buffer for each direction for as long as it lives; here a
//! connection that says nothing holds none.

use std::future::poll_fn;
use std::io::Cursor;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::{self, Error};

/// Bytes that are read at once while a short frame is waited for. Nearly all are shorter.
const SHORT: usize = 4 << 10;

/// Bytes for which room is made at once while a long frame comes in: a header may promise more than will come.
const LONG: usize = 256 << 10;

/// The longest payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;

/// What a peer said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A binary message, whole.
    Binary(Vec<u8>),
    /// A text, or its begin.
    Text,
    /// Wants to be answered with the same bytes.
    Ping(Vec<u8>),
    /// The answer to a ping.
    Pong,
    /// Ends the connection.
    Close,
}

/// Why a connection cannot be read any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The peer is gone.
    #[error("the connection ended")]
    Gone,
    /// A message is longer than it may be.
    #[error("a message is too long")]
    TooLong,
    /// What came is no WebSocket.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl From<tungstenite::Error> for Fault {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            Error::Protocol(error) => Self::Protocol(error),
            _ => Self::Gone, // headers are read from memory, which has no other errors
        }
    }
}

/// The reading end of a WebSocket.
#[derive(Debug)]
pub(super) struct Inbound<R> {
    stream: R,
    /// What has come and was not taken apart.
    buffer: Vec<u8>,
    /// What of a message in several frames has come.
    begun: Option<Vec<u8>>,
    max_message: usize,
}

impl<R: AsyncRead + Unpin> Inbound<R> {
    /// Begins with what was read together with the request.
    pub(super) fn new(stream: R, read: Vec<u8>, max_message: usize) -> Self {
        Self {
            stream,
            buffer: read,
            begun: None,
            max_message,
        }
    }

    /// Waits for what the peer says next. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Result<Incoming, Fault> {
        loop {
            let missing = match self.take()? {
                Taken::Whole(Some(incoming)) => return Ok(incoming),
                Taken::Whole(None) => continue,
                Taken::Missing(bytes) => bytes,
            };
            let read = if missing <= SHORT {
                poll_fn(|cx| self.poll_short(cx)).await
            } else {
                self.buffer.reserve(missing.min(LONG));
                self.stream.read_buf(&mut self.buffer).await
            };
            match read {
                Ok(0) | Err(_) => return Err(Fault::Gone),
                Ok(_) => {}
            }
        }
    }

    /// Reads to a place that is there for this call only: whoever waits needs no buffer.
    fn poll_short(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut place = [MaybeUninit::uninit(); SHORT];
        let mut read = ReadBuf::uninit(&mut place);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Takes the next frame out of what has come.
    fn take(&mut self) -> Result<Taken, Fault> {
        let mut cursor = Cursor::new(&self.buffer[..]);
        let Some((header, length)) = FrameHeader::parse(&mut cursor)? else {
            return Ok(Taken::Missing(1));
        };
        let head = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.max_message {
            return Err(Fault::TooLong);
        }
        let opcode = self.check(&header, length)?;
        let before = self.begun.as_ref().map_or(0, Vec::len);
        if matches!(opcode, OpCode::Data(_)) && length > self.max_message.saturating_sub(before) {
            return Err(Fault::TooLong);
        }
        let Some(mask) = header.mask else {
            return Err(ProtocolError::UnmaskedFrameFromClient.into());
        };
        let end = head + length;
        if self.buffer.len() < end {
            return Ok(Taken::Missing(end - self.buffer.len()));
        }
        // Nearly always it is all that has come, and is not copied.
        let rest = self.buffer.split_off(end);
        let mut payload = std::mem::replace(&mut self.buffer, rest);
        payload.drain(..head);
        unmask(&mut payload, mask);
        Ok(Taken::Whole(match opcode {
            OpCode::Control(Control::Ping) => Some(Incoming::Ping(payload)),
            OpCode::Control(Control::Pong) => Some(Incoming::Pong),
            OpCode::Control(Control::Close | Control::Reserved(_)) => Some(Incoming::Close),
            OpCode::Data(Data::Text) => Some(Incoming::Text),
            OpCode::Data(Data::Binary | Data::Continue | Data::Reserved(_)) => {
                let message = match self.begun.take() {
                    Some(mut begun) => {
                        begun.append(&mut payload);
                        begun
                    }
                    None => payload,
                };
                if header.is_final {
                    Some(Incoming::Binary(message))
                } else {
                    self.begun = Some(message);
                    None
                }
            }
        }))
    }

    /// Whether a frame may come now (RFC 6455, 5.2 to 5.5).
    fn check(&self, header: &FrameHeader, length: usize) -> Result<OpCode, ProtocolError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(ProtocolError::NonZeroReservedBits);
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => Err(ProtocolError::FragmentedControlFrame),
            OpCode::Control(_) if length > MAX_CONTROL => Err(ProtocolError::ControlFrameTooBig),
            OpCode::Data(Data::Continue) if self.begun.is_none() => {
                Err(ProtocolError::UnexpectedContinueFrame)
            }
            OpCode::Data(data @ (Data::Text | Data::Binary)) if self.begun.is_some() => {
                Err(ProtocolError::ExpectedFragment(data))
            }
            opcode => Ok(opcode),
        }
    }
}

/// What came of looking for a frame.
enum Taken {
    /// One frame, and what it says, unless it is the begin of something.
    Whole(Option<Incoming>),
    /// At least so many bytes are missing.
    Missing(usize),
}

/// Takes a client's mask off (RFC 6455, 5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut fours = payload.chunks_exact_mut(4);
    for four in &mut fours {
        for (byte, key) in four.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    for (byte, key) in fours.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

    use super::*;

    const MAX: usize = 10_000;

    /// A frame as a client sends it.
    fn frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            is_final,
            opcode,
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        let begin = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[begin..], [1, 2, 3, 4]);
        bytes
    }

    /// What comes of bytes that arrive so many at a time, until the first fault.
    fn read(bytes: &[u8], at_once: usize) -> (Vec<Incoming>, Fault) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(at_once);
            let mut inbound = Inbound::new(server, Vec::new(), MAX);
            let reading = async {
                let mut all = Vec::new();
                loop {
                    match inbound.next().await {
                        Ok(incoming) => all.push(incoming),
                        Err(fault) => {
                            drop(inbound); // whoever still writes is told
                            return (all, fault);
                        }
                    }
                }
            };
            let writing = async {
                drop(client.write_all(bytes).await); // it is not read behind a fault
                drop(client);
            };
            tokio::join!(reading, writing).0
        })
    }

    /// Bytes for tungstenite to read; what it answers is dropped.
    struct Script(Cursor<Vec<u8>>);

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            Read::read(&mut self.0, buf)
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            Ok(buf.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What tungstenite makes of the same bytes, and whether it is a fault of the protocol that ends it.
    fn peer(bytes: Vec<u8>) -> (Vec<Incoming>, Option<String>) {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX))
            .max_frame_size(Some(MAX));
        let mut socket = WebSocket::from_raw_socket(Script(Cursor::new(bytes)), Role::Server, Some(config));
        let mut all = Vec::new();
        loop {
            match socket.read() {
                Ok(Message::Binary(message)) => all.push(Incoming::Binary(message.to_vec())),
                Ok(Message::Ping(said)) => all.push(Incoming::Ping(said.to_vec())),
                Ok(Message::Pong(_)) => all.push(Incoming::Pong),
                Ok(other) => panic!("{other:?} was not sent"),
                Err(
                    Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed,
                ) => {
                    return (all, None);
                }
                Err(Error::Capacity(_)) => return (all, Some(Fault::TooLong.to_string())),
                Err(error) => return (all, Some(Fault::from(error).to_string())),
            }
        }
    }

    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let opcode = prop_oneof![
            4 => Just(OpCode::Data(Data::Binary)),
            3 => Just(OpCode::Data(Data::Continue)),
            2 => Just(OpCode::Control(Control::Ping)),
            1 => Just(OpCode::Control(Control::Pong)),
        ];
        let length = prop_oneof![5 => 0..125_usize, 2 => 126..6_000_usize, 1 => 9_990..10_010_usize];
        let one = (opcode, prop::bool::weighted(0.6), length, any::<u8>());
        prop::collection::vec(one, 0..8).prop_map(|frames| {
            let one = |(opcode, is_final, length, byte): (OpCode, bool, usize, u8)| match opcode {
                // Most are as they may be.
                OpCode::Control(_) if byte > 20 => frame(opcode, true, &vec![byte; length % 126]),
                _ => frame(opcode, is_final, &vec![byte; length]),
            };
            frames.into_iter().flat_map(one).collect()
        })
    }

    proptest! {
        #[test]
        fn frames_are_read_as_tungstenite_reads_them(bytes in frames(), at_once in 1..9_000_usize) {
            let (theirs, fault) = peer(bytes.clone());
            let (ours, ended) = read(&bytes, at_once);
            prop_assert_eq!(ours, theirs);
            match fault {
                None => prop_assert!(matches!(ended, Fault::Gone), "{}", ended),
                Some(words) => prop_assert_eq!(ended.to_string(), words),
            }
        }

        #[test]
        fn any_bytes_end_in_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200), at_once in 1..50_usize) {
            let (all, _) = read(&bytes, at_once);
            prop_assert!(all.len() <= bytes.len() / 6, "a masked frame has six bytes at least");
        }
    }

    #[test]
    fn what_may_not_come_is_a_fault() {
        let binary = OpCode::Data(Data::Binary);
        let text = OpCode::Data(Data::Text);
        let mut reserved = frame(binary, true, b"x");
        reserved[0] |= 0x40;
        let huge = [
            0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
        ]
        .to_vec();
        let within = [frame(binary, false, b"x"), frame(text, true, b"y")].concat();
        for (bytes, words) in [
            (b"\x82\x01x".to_vec(), "unmasked"),
            (reserved, "Reserved bits"),
            (
                frame(OpCode::Control(Control::Ping), false, b""),
                "Fragmented control",
            ),
            (frame(OpCode::Control(Control::Ping), true, &[0; 126]), "too big"),
            (
                frame(OpCode::Data(Data::Continue), true, b"x"),
                "nothing to continue",
            ),
            (frame(OpCode::Data(Data::Reserved(5)), true, b"x"), "opcode"),
            (within, "fragments"),
            (frame(binary, true, &[0; MAX + 1]), "too long"),
            (huge, "too long"),
        ] {
            let (all, fault) = read(&bytes, 7);
            assert_eq!(all, []);
            assert!(fault.to_string().contains(words), "{fault}: {words}");
        }
        assert_eq!(read(&frame(text, false, b"{}"), 3).0, [Incoming::Text]);
        let goodbye = frame(OpCode::Control(Control::Close), true, b"\x03\xe8bye");
        assert_eq!(read(&goodbye, 3).0, [Incoming::Close]);
    }

    #[tokio::test]
    async fn what_came_with_the_request_is_read_first_and_nothing_is_kept_while_nothing_comes() {
        let binary = OpCode::Data(Data::Binary);
        let (mut client, server) = tokio::io::duplex(100);
        let bytes = frame(binary, true, &[9; 50]);
        let (first, rest) = bytes.split_at(20);
        let mut inbound = Inbound::new(server, first.to_vec(), MAX);
        // Broken off while it waits, and asked again.
        assert!(futures_util::FutureExt::now_or_never(inbound.next()).is_none());
        client.write_all(rest).await.unwrap();
        assert_eq!(inbound.next().await.unwrap(), Incoming::Binary(vec![9; 50]));
        assert_eq!(inbound.buffer.capacity(), 0);
    }
}
