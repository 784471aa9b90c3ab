//! Who may not write: whatever a viewer, a person who may suggest, or a model sends, state vector and delete set of what they
//! may not write stay as they were.

use crdt::ids::{Part, PeerKind, Role};
use crdt::protocol;
use crdt::room::{Effect, Event, Outgoing};

use super::harness::OnPanic;
use super::scene::{HOSTILE, Scene};
use super::setting;

/// Frames in a test run; `FRAMES=1000000` for a soak.
const FRAMES: u64 = 30_000;

/// Sends frames about both parts, and stateless messages; `writes` says whether the margin may change.
fn attack(role: Role, kind: PeerKind) {
    let seed = setting("SEED", 1);
    let _print = OnPanic(seed, "hostile");
    let mut scene = Scene::new(seed, role, kind);
    let writes = role.may_write(Part::Margin);
    let before = [Part::Body, Part::Margin].map(|part| scene.room.state(part));
    let (mut closed, mut refused, mut forbidden) = (0, 0, 0);
    for _ in 0..setting("FRAMES", FRAMES) {
        // Where it may write the margin it mostly tries the body, so that the margin does not grow without end.
        let part = if scene.roll(if writes { 50 } else { 3 }) == 0 {
            Part::Margin
        } else {
            Part::Body
        };
        let event = match scene.roll(8) {
            0 => Event::Stateless {
                conn: HOSTILE,
                part,
                payload: scene.hostile_text(),
            },
            _ => Event::Message {
                conn: HOSTILE,
                part,
                bytes: scene.hostile_bytes(),
            },
        };
        let effects = scene.event(event);
        for effect in effects {
            match effect {
                Effect::Close { conn, part, .. } => {
                    assert_eq!(conn, HOSTILE);
                    closed += 1;
                    scene.join(HOSTILE, part);
                }
                Effect::Append(record) => {
                    assert!(record.body.is_none() && writes, "it wrote: {record:?}");
                }
                Effect::Broadcast {
                    message: Outgoing::Y(message),
                    part,
                    ..
                } => {
                    let may = writes && part == Part::Margin;
                    assert!(
                        message[0] == protocol::AWARENESS || may,
                        "it told the others {message:?}"
                    );
                }
                Effect::Send {
                    to,
                    message: Outgoing::SyncStatus(false),
                    ..
                } if to == HOSTILE => refused += 1,
                Effect::Send {
                    to,
                    message: Outgoing::Stateless(text),
                    ..
                } if to == HOSTILE => {
                    forbidden += usize::from(text.contains("forbidden"));
                    assert!(!text.contains(r#""decision""#), "it decided: {text}");
                }
                Effect::Broadcast { .. } | Effect::Send { .. } => {}
            }
        }
        assert_eq!(scene.room.state(Part::Body), before[0]);
        if !writes {
            assert_eq!(scene.room.state(Part::Margin), before[1]);
        }
    }
    assert!(
        closed > 500 && refused > 500 && forbidden > 500,
        "{closed} closed, {refused} refused, {forbidden} forbidden: the frames miss their aim"
    );
    scene.write();
}

#[test]
fn a_person_who_may_suggest_changes_nothing_in_the_body() {
    attack(Role::Suggester, PeerKind::Human);
}

#[test]
fn a_model_changes_nothing_in_the_body() {
    attack(Role::Suggester, PeerKind::Ai);
}

#[test]
fn a_viewer_changes_nothing_at_all() {
    attack(Role::Viewer, PeerKind::Human);
}

/// The check must be able to fail: an editor's frames do change the body.
#[test]
fn that_the_body_changes_is_noticed() {
    let attacked = std::panic::catch_unwind(|| attack(Role::Editor, PeerKind::Human));
    assert!(attacked.is_err());
}
