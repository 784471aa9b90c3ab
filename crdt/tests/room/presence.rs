//! One rule of the room at a time: who is seen.

use crate::desk::{ALICE, BOB, Desk, NOW};
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

fn says(client: u64, clock: u32, state: &str) -> Vec<u8> {
    crdt::awareness::encode(&[crdt::awareness::Entry {
        client,
        clock,
        state: Some(state.to_owned()),
    }])
}

/// What is broadcast: whom not, and the clients that it is about.
fn told(effects: &[Effect]) -> Vec<(Option<ConnId>, Vec<u64>)> {
    effects
        .iter()
        .map(|effect| {
            let Effect::Broadcast {
                except,
                message: Outgoing::Y(bytes),
                ..
            } = effect
            else {
                panic!("{effects:?}")
            };
            let Ok(Message::Awareness(update)) = crdt::protocol::decode(bytes) else {
                panic!("{bytes:?}")
            };
            (
                *except,
                update.clients.keys().map(|client| client.get()).collect(),
            )
        })
        .collect()
}

/// Stock clients forget whoever is not renewed for 30 s, so renewals are passed on: all together, every ten seconds.
#[test]
fn renewals_travel_together() {
    let mut desk = Desk::new(Limits::default());
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        desk.join(conn, Part::Body, Role::Editor);
        desk.say(conn, Part::Body, says(client, 1, "{}"));
    }
    desk.now = desk.now.plus_ms(10_000);
    desk.event(Event::Tick);
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        assert_eq!(desk.say(conn, Part::Body, says(client, 2, "{}")), []);
        assert_eq!(desk.event(Event::Tick), []);
    }
    desk.now = desk.now.plus_ms(10_000);
    let mut notices = told(&desk.event(Event::Tick));
    notices[0].1.sort_unstable();
    assert_eq!(notices, [(None, vec![50, 51])]);
    assert_eq!(desk.event(Event::Tick), []);
    // Without renewals they are gone, although their connections are not.
    desk.now = desk.now.plus_ms(60_000);
    let effects = told(&desk.event(Event::Tick));
    assert_eq!(effects[0].1.len(), 2, "{effects:?}");
}

/// A stock client that hears nothing for 30 s takes its connection for dead, and one that is alone has nobody to hear of.
#[test]
fn whoever_is_alone_hears_that_the_relay_is_there() {
    let mut desk = Desk::new(Limits::default());
    desk.join(ALICE, Part::Body, Role::Editor);
    let mut heard = 0;
    for _ in 0..60 {
        desk.now = desk.now.plus_ms(1_000);
        heard += desk.event(Event::Tick).len();
    }
    assert_eq!(heard, 6);
}

/// A client that came back says its states under a lower clock than the others know it by: it must not hear of itself.
#[test]
fn nobody_hears_an_old_state_of_their_own_under_a_new_clock() {
    let mut desk = Desk::new(Limits::default());
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        desk.join(conn, Part::Body, Role::Editor);
        desk.say(conn, Part::Body, says(client, 5, "{}"));
    }
    desk.event(Event::Leave {
        conn: ALICE,
        part: Part::Body,
    });
    desk.join(ALICE, Part::Body, Role::Editor);
    desk.say(ALICE, Part::Body, says(50, 5, "{}"));
    desk.say(ALICE, Part::Body, says(50, 6, "{}"));
    desk.now = desk.now.plus_ms(10_000);
    let effects = told(&desk.event(Event::Tick));
    assert!(effects.contains(&(Some(ALICE), vec![50])), "{effects:?}");
    assert!(
        effects
            .iter()
            .all(|(except, clients)| *except == Some(ALICE) || !clients.contains(&50)),
        "{effects:?}"
    );
}

/// However fast cursors move, and however many: each reader gets at most twenty messages a second about them.
#[test]
fn moving_cursors_are_told_together_and_not_too_often() {
    let mut desk = Desk::new(Limits::default());
    for (conn, client) in [(ALICE, 50), (BOB, 51)] {
        desk.join(conn, Part::Body, Role::Editor);
        desk.say(conn, Part::Body, says(client, 1, "{}"));
    }
    desk.now = desk.now.plus_ms(1_000);
    let mut messages = 0;
    for clock in 2..1_002 {
        desk.now = desk.now.plus_ms(1);
        let state = format!("{{\"at\":{clock}}}");
        messages += desk.say(ALICE, Part::Body, says(50, clock, &state)).len();
        messages += desk.say(BOB, Part::Body, says(51, clock, &state)).len();
    }
    assert!((20..=21).contains(&messages), "{messages}");
    // The last state is told in the end.
    let at = desk.room.flush_at().expect("something is left to tell");
    assert!(at > desk.now && at <= desk.now.plus_ms(50));
    assert_eq!(desk.event(Event::Flush), [], "not yet");
    desk.now = at;
    let effects = desk.event(Event::Flush);
    assert_eq!(told(&effects).len(), 1);
    assert!(format!("{effects:?}").contains("49, 48, 48, 49"), "{effects:?}");
    assert_eq!(desk.room.flush_at(), None);
}
