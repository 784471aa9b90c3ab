//! How a room's messages look on each kind of link.

use crdt::protocol::hocuspocus::{self, Address, HocusMessage};
use crdt::protocol::permission_denied;
use crdt::room::Outgoing;

use crate::outbox::Frame;

/// What a link speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Framing {
    /// y-protocols, one document a link.
    Y,
    /// Hocuspocus; the address stands before every message.
    Hocuspocus(Address),
}

/// One message, encoded at most once for all who get it in the same form.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    message: &'a Outgoing,
    y: Option<Option<Frame>>,
    hocuspocus: Option<(Address, Frame)>,
}

impl<'a> Encoder<'a> {
    pub(crate) const fn new(message: &'a Outgoing) -> Self {
        Self {
            message,
            y: None,
            hocuspocus: None,
        }
    }

    /// The frame for one link; `None` when its protocol cannot say this.
    pub(crate) fn frame(&mut self, framing: &Framing) -> Option<Frame> {
        match framing {
            Framing::Y => self.y.get_or_insert_with(|| encode_y(self.message)).clone(),
            Framing::Hocuspocus(address) => {
                if let Some((known, frame)) = &self.hocuspocus
                    && known == address
                {
                    return Some(frame.clone());
                }
                let frame = encode_hocuspocus(address, self.message)?;
                self.hocuspocus = Some((address.clone(), frame.clone()));
                Some(frame)
            }
        }
    }
}

fn encode_y(message: &Outgoing) -> Option<Frame> {
    match message {
        Outgoing::Y(bytes) => Some(Frame::binary(bytes)),
        Outgoing::Denied(reason) => Some(Frame::binary(&permission_denied(reason))),
        Outgoing::SyncStatus(_) | Outgoing::Stateless(_) => None,
    }
}

fn encode_hocuspocus(address: &Address, message: &Outgoing) -> Option<Frame> {
    let message = match message {
        Outgoing::Y(bytes) => HocusMessage::Y(bytes.clone()),
        Outgoing::SyncStatus(saved) => HocusMessage::SyncStatus(*saved),
        Outgoing::Stateless(text) => HocusMessage::Stateless(text.clone()),
        Outgoing::Denied(_) => return None, // said by SyncStatus(false)
    };
    let frame = hocuspocus::Frame::Document {
        address: address.clone(),
        message,
    };
    Some(Frame::binary(&frame.encode()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_encoded_once_per_form() {
        let message = Outgoing::Y(vec![0, 2, 1, 9]);
        let mut encoder = Encoder::new(&message);
        let address = Framing::Hocuspocus(Address::new("plan"));
        let (one, two) = (encoder.frame(&address).unwrap(), encoder.frame(&address).unwrap());
        let (one, two) = (one.message(), two.message());
        assert_eq!(one.as_ptr(), two.as_ptr(), "the same bytes are shared");
        assert_eq!(&one[..], b"\x04plan\0\x02\x01\x09");
        let (one, two) = (
            encoder.frame(&Framing::Y).unwrap().message(),
            encoder.frame(&Framing::Y).unwrap().message(),
        );
        assert_eq!(one.as_ptr(), two.as_ptr());
        assert_eq!(&one[..], [0, 2, 1, 9]);
    }

    #[test]
    fn a_link_gets_only_what_its_protocol_can_say() {
        let hocuspocus = Framing::Hocuspocus(Address::new("plan"));
        let says = |message: Outgoing, framing: &Framing| Encoder::new(&message).frame(framing).is_some();
        assert!(says(Outgoing::Denied("no".into()), &Framing::Y));
        assert!(!says(Outgoing::Denied("no".into()), &hocuspocus));
        assert!(!says(Outgoing::SyncStatus(true), &Framing::Y));
        assert!(says(Outgoing::SyncStatus(true), &hocuspocus));
        assert!(says(Outgoing::Stateless("{}".into()), &hocuspocus));
    }
}
