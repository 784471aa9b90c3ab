//! What is fuzzed: every decoder of bytes that come from outside. Each function takes any bytes and panics when a promise is
//! broken. cargo-fuzz runs them with libFuzzer (`fuzz_targets/`); `crdt/tests/fuzz/main.rs` runs them in every test run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crdt::anchor::{Anchor, Outline};
use crdt::awareness::Awareness;
use crdt::history;
use crdt::ids::{ConnId, DocId, Identity, Part, PeerKind, Role, Timestamp};
use crdt::protocol::hocuspocus::Frame;
use crdt::protocol::update::UpdateFacts;
use crdt::room::{Event, Limits, Room, Stored};
use crdt::{content, doc, markdown, protocol};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{ReadTxn, StateVector, Transact, Update};

/// A target: its name, which is that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("messages", messages),
    ("update", update),
    ("state_vector", state_vector),
    ("hocuspocus", hocuspocus),
    ("awareness", awareness),
    ("markdown", markdown),
    ("anchor", anchor),
    ("version", version),
    ("room", room),
    ("editor", editor),
];

/// A frame of y-protocols messages: what is read can be written again, and is the same.
pub fn messages(bytes: &[u8]) {
    if let Ok(messages) = protocol::decode_all(bytes) {
        let again: Vec<u8> = messages.iter().flat_map(Encode::encode_v1).collect();
        let read = protocol::decode_all(&again).expect("what was written can be read");
        assert_eq!(read.len(), messages.len());
    }
}

/// An update: what the scan lets through, yrs can decode without a panic.
pub fn update(bytes: &[u8]) {
    if let Ok(facts) = UpdateFacts::scan(bytes) {
        drop(Update::decode_v1(bytes)); // yrs may refuse it, in words
        let nothing = StateVector::default();
        let (inserts, hole) = (facts.inserts_beyond(&nothing), facts.leaves_hole_in(&nothing));
        assert!(!facts.is_empty() || (inserts.is_empty() && !hole));
        let again: u64 = inserts.iter().map(|range| u64::from(range.len)).sum();
        assert!(again < 1 << 62);
    }
}

/// A state vector.
pub fn state_vector(bytes: &[u8]) {
    if let Ok(state) = protocol::decode_state_vector(bytes) {
        let again = protocol::decode_state_vector(&state.encode_v1()).expect("what was written can be read");
        assert_eq!(again, state);
    }
}

/// A frame of Hocuspocus.
pub fn hocuspocus(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }
}

/// An awareness message, and a client that hears it.
pub fn awareness(bytes: &[u8]) {
    if let Ok(update) = protocol::decode_awareness(bytes) {
        let mut awareness = Awareness::new(1);
        awareness.set_local(Timestamp(1), Some(serde_json::json!({ "cursor": 1 })));
        awareness.receive(Timestamp(2), &update);
        awareness.tick(Timestamp(40_000));
        assert!(
            awareness.local().is_some(),
            "nobody but the client itself says that it is gone"
        );
    }
}

/// Markdown: any text is a document, and can be written and read again.
pub fn markdown(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes.get(..2_000).unwrap_or(bytes));
    let nodes = markdown::parse(&text);
    let once = markdown::write(&nodes);
    drop(markdown::parse(&once));
}

/// An anchor as JSON, looked for in a text.
pub fn anchor(bytes: &[u8]) {
    let Ok(anchor) = serde_json::from_slice::<Anchor>(bytes) else {
        return;
    };
    thread_local! {
        static TEXT: yrs::Doc = {
            let body = doc::open(7);
            content::fill(&body, &markdown::parse("# One\n\ntwo three\n\n- four\n- five three\n")).expect("it is empty");
            body
        };
    }
    TEXT.with(|body| {
        let txn = body.transact();
        let outline = Outline::read(&txn);
        if let crdt::anchor::Resolved::Found(found) = anchor.resolve(&txn) {
            assert!(found.range.start <= found.range.end && found.range.end <= outline.len());
        }
    });
}

/// A version of a document: it can be opened and kept again, or is refused.
pub fn version(bytes: &[u8]) {
    if let Ok(body) = history::open(bytes, 7) {
        let again = history::open(&history::state(&body), 8).expect("what was opened can be kept again");
        assert_eq!(again.transact().state_vector(), body.transact().state_vector());
    }
}

fn open(role: Role, kind: PeerKind) -> Room {
    let body = doc::open(7);
    content::fill(&body, &markdown::parse("one\n\ntwo")).expect("it is empty");
    let stored = Stored {
        snapshot_body: Some(body.transact().encode_state_as_update_v1(&StateVector::default())),
        snapshot_margin: Some(vec![0, 0]),
        tail: Vec::new(),
        next_seq: 1,
    };
    let mut room = Room::open(
        DocId::parse("plan").expect("a name"),
        &stored,
        9,
        Limits::default(),
    )
    .expect("it was stored");
    for part in [Part::Body, Part::Margin] {
        let identity = Identity {
            id: "x".into(),
            name: "x".into(),
            kind,
            model: None,
        };
        room.handle(
            Timestamp(1),
            &mut || 1,
            Event::Join {
                conn: ConnId(1),
                part,
                identity,
                role,
            },
        );
    }
    room
}

/// Bytes from somebody who may read only: a message about the body, and a stateless one.
pub fn room(bytes: &[u8]) {
    let mut room = open(Role::Suggester, PeerKind::Ai);
    let before = room.state(Part::Body);
    let (conn, part) = (ConnId(1), Part::Body);
    let payload = String::from_utf8_lossy(bytes).into_owned();
    room.handle(Timestamp(2), &mut || 2, Event::Stateless { conn, part, payload });
    room.handle(
        Timestamp(2),
        &mut || 2,
        Event::Message {
            conn,
            part,
            bytes: bytes.to_vec(),
        },
    );
    assert_eq!(room.state(Part::Body), before);
}

/// An update from somebody who may write: the document can be read and stored afterwards, whatever it was.
pub fn editor(bytes: &[u8]) {
    // yrs may panic about what an update means; the room is to catch that and to be as it was.
    let mut room = open(Role::Editor, PeerKind::Human);
    for part in [Part::Body, Part::Margin] {
        let bytes = protocol::update(bytes);
        let conn = ConnId(1);
        room.handle(Timestamp(2), &mut || 2, Event::Message { conn, part, bytes });
    }
    let read = catch_unwind(AssertUnwindSafe(|| {
        let _ = (room.body_markdown(), room.title());
        room.snapshot()
    }));
    let snapshot = read.expect("the document can be read");
    let copy = doc::open(8);
    let body = Update::decode_v1(&snapshot.body).expect("what was written can be read");
    copy.transact_mut().apply_update(body).expect("it fits");
    assert_eq!(copy.transact().snapshot(), room.state(Part::Body));
}
