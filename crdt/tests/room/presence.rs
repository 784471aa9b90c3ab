//! One rule of the room at a time: who is seen.

use crate::desk::{ALICE, BOB, Desk, NOW, messages};
use crdt::ids::{ConnId, Part, Role};
use crdt::protocol::Message;
use crdt::room::{Effect, Event, Limits, Outgoing};

/// After a reconnection the others must believe the state of somebody whom they saw leave.
#[test]
fn somebody_who_comes_back_is_seen_at_once() {
    let mut desk = Desk::new(Limits::default());
    let mut bob = crdt::Replica::new(60);
    desk.join(BOB, Part::Body, Role::Viewer);
    let says = crdt::awareness::encode(&[crdt::awareness::Entry {
        client: 50,
        clock: 3,
        state: Some("{}".to_owned()),
    }]);
    let mut seen = Vec::new();
    for conn in [ConnId(3), ConnId(4)] {
        desk.join(conn, Part::Body, Role::Editor);
        for effects in [
            desk.say(conn, Part::Body, says.clone()),
            desk.event(Event::Leave {
                conn,
                part: Part::Body,
            }),
        ] {
            for effect in effects {
                if let Effect::Broadcast {
                    message: Outgoing::Y(bytes),
                    ..
                } = effect
                {
                    bob.receive(NOW, &bytes).unwrap();
                    seen.push(bob.awareness().others().count());
                }
            }
        }
    }
    assert_eq!(seen, [1, 0, 1, 0]);
}

/// Stock clients forget whoever is not renewed for 30 s, so renewals are passed on: together, once per tick.
#[test]
fn renewals_travel_together() {
    let mut desk = Desk::new(Limits::default());
    let says = |client, clock| {
        crdt::awareness::encode(&[crdt::awareness::Entry {
            client,
            clock,
            state: Some("{}".to_owned()),
        }])
    };
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        desk.join(conn, Part::Body, Role::Editor);
        desk.say(conn, Part::Body, says(client, 1));
    }
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        assert_eq!(desk.say(conn, Part::Body, says(client, 2)), []);
    }
    let effects = desk.event(Event::Tick);
    // Nobody is told about themselves: a newer state of theirs may be under way.
    for (conn, other) in [(ALICE, 51), (BOB, 50)] {
        let [Message::Awareness(update)] = &messages(&effects, conn)[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(
            update
                .clients
                .keys()
                .map(|client| client.get())
                .collect::<Vec<_>>(),
            [other]
        );
    }
    assert_eq!(desk.event(Event::Tick), []);
    // Without renewals they are gone, although their connections are not.
    desk.now = desk.now.plus_ms(60_000);
    let effects = desk.event(Event::Tick);
    assert!(
        matches!(&effects[..], [Effect::Broadcast { except: None, .. }]),
        "{effects:?}"
    );
}
