//! A model's way to a document: a room, a connection with the role of every AI, and frames.

use crdt::doc;
use crdt::ids::{ConnId, DocId, Identity, Part, PeerKind, Role, Timestamp};
use crdt::protocol;
use crdt::replica::Replica;
use crdt::room::{Event, Limits, Outgoing, Room, Stored};
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

/// What a room has after a model has spoken.
pub(crate) struct Done {
    pub(crate) body: Doc,
    pub(crate) margin: Doc,
}

/// Opens a room on a body and a margin, lets a model write the margin as `client`, and returns what the room has then. With `writes`
/// the model is let into the body as an editor, and writes there.
pub(crate) fn through(
    body: &Doc,
    margin: &Doc,
    client: u32,
    writes: bool,
    speak: impl FnOnce(&Doc) -> Result<(), String>,
) -> Result<Done, String> {
    let whole = |doc: &Doc| doc.transact().encode_state_as_update_v1(&StateVector::default());
    let stored = Stored {
        snapshot_body: Some(whole(body)),
        snapshot_margin: Some(whole(margin)),
        tail: Vec::new(),
        next_seq: 1,
    };
    let id = DocId::parse("plan").expect("a name");
    let mut room = Room::open(id, &stored, 1, Limits::default()).map_err(|error| error.to_string())?;
    let conn = ConnId(1);
    let role = if writes { Role::Editor } else { Role::Suggester };
    for part in [Part::Body, Part::Margin] {
        let identity = Identity {
            id: "ai".into(),
            name: "Model".into(),
            // A room holds a model to its role, so one that may write has to come as somebody else.
            kind: if writes { PeerKind::Human } else { PeerKind::Ai },
            model: None,
        };
        room.handle(
            Timestamp(1),
            &mut || 1,
            Event::Join {
                conn,
                part,
                identity,
                role,
            },
        );
    }
    let mut replica = Replica::new(client);
    replica.connected();
    let say = |room: &mut Room, part, bytes| {
        room.handle(Timestamp(1), &mut || 1, Event::Message { conn, part, bytes })
    };
    let mut answers = say(&mut room, Part::Margin, protocol::step_1(&StateVector::default()));
    answers.extend(say(
        &mut room,
        Part::Body,
        protocol::step_1(&StateVector::default()),
    ));
    for answer in answers {
        if let crdt::room::Effect::Send {
            part: Part::Margin,
            message: Outgoing::Y(bytes),
            ..
        } = answer
        {
            replica
                .receive(Timestamp(1), &bytes)
                .map_err(|error| error.to_string())?;
        }
    }
    // The room has asked on joining; its question is answered with what there is.
    let question = protocol::step_1(&StateVector::default());
    replica
        .receive(Timestamp(1), &question)
        .map_err(|error| error.to_string())?;
    speak(replica.doc())?;
    for frame in replica.drain_updates() {
        say(&mut room, Part::Margin, frame);
    }
    // A model may try the body as well. It has no right to.
    let thief = doc::open(u64::from(client) + 1);
    let update = Update::decode_v1(&whole(body)).map_err(|error| error.to_string())?;
    thief
        .transact_mut()
        .apply_update(update)
        .map_err(|error| error.to_string())?;
    let before = thief.transact().state_vector();
    super::hands::type_text(&thief, 3, "stolen");
    let stolen = thief.transact().encode_diff_v1(&before);
    say(&mut room, Part::Body, protocol::update(&stolen));
    let copy = |part| -> Result<Doc, String> {
        let copy = doc::open(2);
        let update = whole(room.document(part));
        let update = Update::decode_v1(&update).map_err(|error| error.to_string())?;
        copy.transact_mut()
            .apply_update(update)
            .map_err(|error| error.to_string())?;
        Ok(copy)
    };
    Ok(Done {
        body: copy(Part::Body)?,
        margin: copy(Part::Margin)?,
    })
}
