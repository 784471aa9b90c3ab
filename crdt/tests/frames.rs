//! What travels on a link: equal to the npm packages byte for byte, and safe to decode whatever arrives.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crdt::awareness::{self, Entry};
use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage, Scope};
use crdt::protocol::update::UpdateFacts;
use crdt::protocol::{self, Message, SyncMessage};
use proptest::prelude::*;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;

const NAME: &str = "plän";
const USER: &str = r##"{"user":{"id":"u1","name":"Zoë 🌲","color":"#2f6f4f"}}"##;

#[derive(serde::Deserialize)]
struct Golden {
    from: String,
    what: String,
    hex: String,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("golden/frames.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

fn about(message: HocusMessage) -> Frame {
    Frame::Document {
        address: Address::new(NAME),
        message,
    }
}

fn says(client: u64, clock: u32, state: Option<&str>) -> HocusMessage {
    HocusMessage::Y(awareness::encode(&[Entry {
        client,
        clock,
        state: state.map(str::to_owned),
    }]))
}

/// What each golden frame means; made with the real packages by `golden/frames.mjs`.
fn meaning(from: &str, what: &str) -> Frame {
    let document = yrs::Doc::with_client_id(1001);
    {
        use yrs::{Text, Transact, WriteTxn};
        let mut txn = document.transact_mut();
        txn.get_or_insert_text("t").insert(&mut txn, 0, "Grüße 🌲");
    }
    let written = {
        use yrs::{ReadTxn, Transact};
        document
            .transact()
            .encode_state_as_update_v1(&yrs::StateVector::default())
    };
    let nothing = yrs::StateVector::default();
    // Yjs counts in UTF-16: the tree is two units.
    let all: yrs::StateVector = [(yrs::ClientID::new(1001), 8)].into_iter().collect();
    let session = Address {
        name: NAME.to_owned(),
        session: Some("s3ss10n".to_owned()),
    };
    match (from, what) {
        ("client", "token") => about(HocusMessage::Token {
            token: r#"{"key":"k"}"#.to_owned(),
            version: Some("4.8.0".to_owned()),
        }),
        ("client", "step1 of an empty document") | ("server", "step1") => {
            about(HocusMessage::Y(protocol::step_1(&nothing)))
        }
        ("client", "awareness" | "answer to the awareness question") => about(says(1001, 1, Some(USER))),
        ("client", "awareness gone") => about(says(1001, 2, None)),
        ("client", "step2 of an empty document") => about(HocusMessage::Y(protocol::step_2(&[0, 0]))),
        ("client" | "server", "update") => about(HocusMessage::Y(protocol::update(&written))),
        ("client", "stateless") => about(HocusMessage::Stateless(r#"{"type":"decide","seq":1}"#.to_owned())),
        ("client", "pong") => Frame::Pong,
        ("client", "close") => about(HocusMessage::Close(None)),
        ("client", "stateless of a session") => Frame::Document {
            address: session,
            message: HocusMessage::Stateless("hello".to_owned()),
        },
        ("server", "authenticated read-write") => about(HocusMessage::Authenticated(Scope::ReadWrite)),
        ("server", "authenticated readonly") => about(HocusMessage::Authenticated(Scope::ReadOnly)),
        ("server", "ask for the token") => about(HocusMessage::TokenRequest),
        ("server", "permission denied") => about(HocusMessage::PermissionDenied("wrong key".to_owned())),
        ("server", "sync reply") => about(HocusMessage::SyncReply(protocol::step_1(&all))),
        ("server", "awareness") => about(says(7, 1, Some(r#"{"user":{"name":"relay"}}"#))),
        ("server", "awareness question") => about(HocusMessage::Y(protocol::query_awareness())),
        ("server", "stateless") => about(HocusMessage::Stateless(r#"{"type":"decided"}"#.to_owned())),
        ("server", "broadcast stateless") => about(HocusMessage::BroadcastStateless("all".to_owned())),
        ("server", "close") => about(HocusMessage::Close(Some("gone".to_owned()))),
        ("server", "saved") => about(HocusMessage::SyncStatus(true)),
        ("server", "refused") => about(HocusMessage::SyncStatus(false)),
        ("server", "to a session") => Frame::Document {
            address: session,
            message: HocusMessage::SyncStatus(true),
        },
        ("server", "ping") => Frame::Ping,
        other => panic!("a golden frame without a meaning: {other:?}"),
    }
}

#[test]
fn frames_are_those_of_the_npm_packages() {
    let golden = golden();
    assert_eq!(golden.len(), 27);
    for frame in golden {
        let (expected, bytes) = (meaning(&frame.from, &frame.what), bytes(&frame.hex));
        assert_eq!(
            Frame::decode(&bytes).unwrap(),
            expected,
            "{}: {}",
            frame.from,
            frame.what
        );
        assert_eq!(expected.encode(), bytes, "{}: {}", frame.from, frame.what);
        if let Frame::Document {
            message: HocusMessage::Y(inner) | HocusMessage::SyncReply(inner),
            ..
        } = expected
        {
            assert_eq!(
                protocol::decode(&inner).unwrap(),
                Message::decode_v1(&inner).unwrap()
            );
        }
    }
}

#[test]
fn several_messages_of_one_frame_are_all_read() {
    let two = [protocol::query_awareness(), protocol::update(&[0, 0])].concat();
    let expected = vec![
        Message::AwarenessQuery,
        Message::Sync(SyncMessage::Update(vec![0, 0])),
    ];
    assert_eq!(protocol::decode_all(&two).unwrap(), expected);
    assert!(protocol::decode_all(&[]).is_err());
}

/// What the scan says of an update must be what yrs makes of it: here of documents made by y-prosemirror and by Rust.
#[test]
fn the_facts_about_an_update_are_those_that_yrs_sees() {
    let documents: [&[u8]; 2] = [
        include_bytes!("golden/document.update.bin"),
        include_bytes!("golden/document.rust.update.bin"),
    ];
    for bytes in documents {
        let (facts, update) = (
            UpdateFacts::scan(bytes).unwrap(),
            yrs::Update::decode_v1(bytes).unwrap(),
        );
        let nothing = yrs::StateVector::default();
        let mut inserted = yrs::IdSet::new();
        for range in facts.inserts_beyond(&nothing) {
            inserted.insert(
                yrs::ID::new(yrs::ClientID::new(range.client), range.clock),
                range.len,
            );
        }
        assert!(!inserted.is_empty());
        assert_eq!(inserted, update.insertions(true));
        let mut deleted = yrs::IdSet::new();
        for range in facts.deletes() {
            deleted.insert(
                yrs::ID::new(yrs::ClientID::new(range.client), range.clock),
                range.len,
            );
        }
        assert_eq!(&deleted, update.delete_set());
        assert!(facts.adds_to(&nothing, &yrs::IdSet::new()) && !facts.leaves_hole_in(&nothing));
        assert!(!facts.adds_to(&update.state_vector(), &deleted));
        let end = bytes.len() - 1;
        assert!(UpdateFacts::scan(&bytes[..end]).is_err());
    }
}

#[test]
fn lengths_that_lie_cost_nothing() {
    // Each claims some two thousand million of something: a state vector, an awareness update, clients, blocks, deletes.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x07];
    for head in [vec![0, 0, 5], vec![1, 5], vec![0, 2], vec![0, 1]] {
        assert!(
            protocol::decode(&[&head[..], &huge[..]].concat()).is_err(),
            "{head:?}"
        );
    }
    for head in [vec![], vec![1], vec![0], vec![0, 1, 1]] {
        assert!(
            UpdateFacts::scan(&[&head[..], &huge[..]].concat()).is_err(),
            "{head:?}"
        );
    }
    // 2^60 of them.
    assert!(protocol::decode(&[1, 9, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]).is_err());
}

#[test]
fn text_that_is_not_utf8_never_reaches_yrs() {
    // One block of client 1: a string "t" in the root "t", with a byte that no UTF-8 text has.
    let good = [1, 1, 1, 0, 4, 1, 1, b't', 1, b'x', 0];
    assert!(UpdateFacts::scan(&good).is_ok());
    let mut bad = good;
    bad[9] = 0xff;
    assert!(UpdateFacts::scan(&bad).is_err());
    bad = good;
    bad[7] = 0xff;
    assert!(UpdateFacts::scan(&bad).is_err());
}

fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[a-zäß🌲 {}\":,]{0,40}").unwrap()
}

fn y_message() -> impl Strategy<Value = Message> {
    let payload = proptest::collection::vec(any::<u8>(), 0..60);
    let clocks = proptest::collection::vec((0..1_u64 << 53, 0..1_u32 << 31), 0..6);
    let states = proptest::collection::vec((0..1_u64 << 53, any::<u32>(), text()), 0..4);
    prop_oneof![
        clocks.prop_map(|clocks| {
            let state = clocks
                .into_iter()
                .map(|(client, clock)| (yrs::ClientID::new(client), clock))
                .collect();
            Message::Sync(SyncMessage::SyncStep1(state))
        }),
        payload
            .clone()
            .prop_map(|update| Message::Sync(SyncMessage::SyncStep2(update))),
        payload.prop_map(|update| Message::Sync(SyncMessage::Update(update))),
        Just(Message::AwarenessQuery),
        text().prop_map(|reason| Message::Auth(Some(reason))),
        states.prop_map(|states| {
            let clients = states
                .into_iter()
                .map(|(client, clock, json)| {
                    let entry = protocol::AwarenessUpdateEntry {
                        clock,
                        json: json.into(),
                    };
                    (yrs::ClientID::new(client), entry)
                })
                .collect();
            Message::Awareness(protocol::AwarenessUpdate { clients })
        }),
    ]
}

fn hocus_message() -> impl Strategy<Value = HocusMessage> {
    prop_oneof![
        y_message()
            .prop_filter("hocuspocus has its own auth messages", |message| !matches!(
                message,
                Message::Auth(_)
            ))
            .prop_map(|message| HocusMessage::Y(message.encode_v1())),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|update| HocusMessage::SyncReply(protocol::step_2(&update))),
        (text(), proptest::option::of(text()))
            .prop_map(|(token, version)| HocusMessage::Token { token, version }),
        Just(HocusMessage::TokenRequest),
        text().prop_map(HocusMessage::PermissionDenied),
        Just(HocusMessage::Authenticated(Scope::ReadWrite)),
        Just(HocusMessage::Authenticated(Scope::ReadOnly)),
        text().prop_map(HocusMessage::Stateless),
        text().prop_map(HocusMessage::BroadcastStateless),
        proptest::option::of(text()).prop_map(HocusMessage::Close),
        any::<bool>().prop_map(HocusMessage::SyncStatus),
    ]
}

proptest! {
    #[test]
    fn a_y_message_is_read_back(message in y_message()) {
        prop_assert_eq!(protocol::decode(&message.encode_v1()).unwrap(), message);
    }

    #[test]
    fn a_frame_is_read_back(
        name in "[a-zäß🌲 ]{0,20}",
        session in proptest::option::of("[a-z0-9]{1,11}"),
        message in hocus_message(),
    ) {
        let frame = Frame::Document { address: Address { name, session }, message };
        prop_assert_eq!(Frame::decode(&frame.encode()).unwrap(), frame);
    }

    #[test]
    fn any_bytes_can_be_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = protocol::decode_all(&bytes);
        let _ = Frame::decode(&bytes);
        if UpdateFacts::scan(&bytes).is_ok() {
            let _ = yrs::Update::decode_v1(&bytes);
        }
    }

    #[test]
    fn damaged_frames_can_be_decoded(which in 0..27_usize, at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = bytes(&golden()[which].hex);
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(Frame::Document { message: HocusMessage::Y(inner), .. }) = Frame::decode(&bytes) {
            let _ = protocol::decode_all(&inner);
        }
    }
}
