//! Decisions asked of a room: one record for both parts, an answer only when it is on disk, and only for those who may.

use crdt::anchor::Anchor;
use crdt::content;
use crdt::decision::{Decision, decisions};
use crdt::ids::{ConnId, IdRange, Part, Role, Timestamp};
use crdt::margin::{Author, AuthorKind, Base, Person, Proposal, ProposalKind, ProposalState, put_proposal};
use crdt::protocol::{self, Message, SyncMessage};
use crdt::room::{Effect, Event, Limits, Outgoing, Stored};
use serde_json::{Value, json};
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, Map, ReadTxn, StateVector, Text, Transact, Update, WriteTxn};

use crate::desk::{Desk, records, texts};

const EDITOR: ConnId = ConnId(1);
const SUGGESTER: ConnId = ConnId(2);
const PROPOSAL: &str = "01J00000000000000000000001";

/// A room with a sentence in it, an editor, a suggester, and what both have of it.
struct Scene {
    desk: Desk,
    body: Doc,
    margin: Doc,
}

impl Scene {
    fn new() -> Self {
        let mut desk = Desk::new(Limits::default());
        for part in [Part::Body, Part::Margin] {
            desk.join(EDITOR, part, Role::Editor);
            desk.join(SUGGESTER, part, Role::Suggester);
        }
        let mut scene = Self {
            desk,
            body: crdt::doc::open(50),
            margin: crdt::doc::open(51),
        };
        let root = crdt::doc::fragment(&scene.body);
        scene.write(Part::Body, EDITOR, |txn| {
            content::insert(&root, txn, 0, &crdt::markdown::parse("The quick brown fox"));
        });
        scene
    }

    fn doc(&self, part: Part) -> &Doc {
        match part {
            Part::Body => &self.body,
            Part::Margin => &self.margin,
        }
    }

    fn write(&mut self, part: Part, conn: ConnId, change: impl FnOnce(&mut yrs::TransactionMut<'_>)) {
        let update = {
            let mut txn = self.doc(part).transact_mut();
            change(&mut txn);
            txn.encode_update_v1()
        };
        let effects = self.desk.say(conn, part, protocol::update(&update));
        assert_eq!(records(&effects).len(), 1, "{effects:?}");
        self.desk.commit(&effects);
    }

    fn propose(&mut self, payload: &str, state: ProposalState) {
        let proposal = self.proposal(payload, state);
        self.write(Part::Margin, SUGGESTER, |txn| put_proposal(txn, &proposal));
    }

    fn proposal(&self, payload: &str, state: ProposalState) -> Proposal {
        let txn = self.body.transact();
        Proposal {
            id: PROPOSAL.to_owned(),
            request: String::new(),
            author: Author {
                kind: AuthorKind::Ai,
                id: "ai".to_owned(),
                name: "Model".to_owned(),
                model: None,
                quantisation: None,
                adapter: None,
                device: None,
            },
            requester: Person {
                id: "peer #1".to_owned(),
                name: "Me".to_owned(),
            },
            kind: ProposalKind::Replace,
            anchor: Anchor::for_words(&txn, "quick brown").unwrap(),
            base: Base::of(&txn),
            payload: payload.to_owned(),
            state,
            at: Timestamp(1),
            rationale: None,
            confidence: None,
            stats: None,
            error: None,
        }
    }

    fn ask(&mut self, conn: ConnId, action: &str, force: bool) -> Vec<Effect> {
        let question =
            json!({ "type": "decide", "seq": 7, "proposal": PROPOSAL, "action": action, "force": force });
        self.desk.tell(conn, &question)
    }

    /// What the editor's copy becomes by what it is sent.
    fn hear(&self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Broadcast {
                part,
                except: None,
                message: Outgoing::Y(bytes),
            } = effect
                && let Message::Sync(SyncMessage::Update(update)) = protocol::decode(bytes).unwrap()
            {
                let update = Update::decode_v1(&update).unwrap();
                self.doc(*part).transact_mut().apply_update(update).unwrap();
            }
        }
    }

    fn text(&self) -> String {
        self.desk.room.body_markdown().trim().to_owned()
    }
}

fn code(answers: &[Value]) -> (bool, &str) {
    let [answer] = answers else { panic!("{answers:?}") };
    assert_eq!((&answer["type"], &answer["seq"]), (&json!("decided"), &json!(7)));
    (
        answer["ok"].as_bool().unwrap(),
        answer["code"].as_str().unwrap_or_default(),
    )
}

#[test]
fn a_decision_is_one_record_of_both_parts_and_answered_when_it_is_saved() {
    let mut scene = Scene::new();
    scene.propose("slow red", ProposalState::Pending);
    assert_eq!(scene.text(), "The quick brown fox");
    let effects = scene.ask(EDITOR, "accept", false);
    let [record] = &records(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert!(record.body.is_some() && record.margin.is_some());
    assert_eq!(record.author.id, "peer #1");
    assert!(record.ranges.iter().all(|range| range.client == 9) && !record.ranges.is_empty());
    assert_eq!(
        texts(&effects, EDITOR),
        [] as [Value; 0],
        "not before it is on disk"
    );
    scene.hear(&effects);
    assert_eq!(scene.text(), "The slow red fox");
    assert_eq!(
        scene.body.transact().snapshot(),
        scene.desk.room.state(Part::Body)
    );
    assert_eq!(
        scene.margin.transact().snapshot(),
        scene.desk.room.state(Part::Margin)
    );
    let saved = scene.desk.commit(&effects);
    let [decision] = &decisions(&scene.body.transact())[..] else {
        panic!()
    };
    assert_eq!(
        texts(&saved, EDITOR),
        [json!({ "type": "decided", "seq": 7, "ok": true, "decision": decision.id })]
    );
    assert_eq!(texts(&saved, SUGGESTER), [] as [Value; 0]);
    assert!(covers(&record.ranges, decision));

    // Once is enough; and what was taken up can be taken back.
    assert_eq!(
        code(&texts(&scene.ask(EDITOR, "accept", false), EDITOR)),
        (false, "already")
    );
    let undone = scene.ask(EDITOR, "undo", false);
    assert_eq!(code(&texts(&scene.desk.commit(&undone), EDITOR)), (true, ""));
    assert_eq!(scene.text(), "The quick brown fox");
}

fn covers(ranges: &[IdRange], decision: &Decision) -> bool {
    decision.inserted.iter().all(|inserted| {
        ranges.iter().any(|range| {
            range.client == inserted.client && range.clock <= inserted.clock && inserted.end() <= range.end()
        })
    })
}

#[test]
fn only_those_who_may_decide_and_every_refusal_has_its_code_and_words() {
    let mut scene = Scene::new();
    let before = |scene: &Scene| {
        (
            scene.desk.room.state(Part::Body),
            scene.desk.room.state(Part::Margin),
        )
    };
    assert_eq!(
        code(&texts(&scene.ask(EDITOR, "accept", false), EDITOR)),
        (false, "unknown")
    );
    scene.propose("slow red", ProposalState::Streaming);
    let state = before(&scene);
    assert_eq!(
        code(&texts(&scene.ask(SUGGESTER, "accept", false), SUGGESTER)),
        (false, "forbidden")
    );
    assert_eq!(
        code(&texts(&scene.ask(EDITOR, "accept", false), EDITOR)),
        (false, "streaming")
    );
    assert_eq!(before(&scene), state);
    scene.write(Part::Margin, SUGGESTER, |txn| {
        crdt::margin::set_proposal_state(txn, PROPOSAL, ProposalState::Pending);
    });
    // Somebody types in the middle of what it would replace.
    scene.write(Part::Body, EDITOR, |txn| {
        let root = txn.get_or_insert_xml_fragment("default");
        let Some(yrs::XmlOut::Element(block)) = yrs::XmlFragment::get(&root, txn, 0) else {
            panic!()
        };
        let Some(yrs::XmlOut::Text(line)) = yrs::XmlFragment::get(&block, txn, 0) else {
            panic!()
        };
        line.insert(txn, 9, " dark");
    });
    let preview = json!({ "type": "preview", "seq": 8, "proposal": PROPOSAL });
    let [previewed] = &texts(&scene.desk.tell(SUGGESTER, &preview), SUGGESTER)[..] else {
        panic!()
    };
    assert_eq!(
        (&previewed["type"], &previewed["seq"], &previewed["stale"]),
        (&json!("previewed"), &json!(8), &json!(true))
    );
    let state = before(&scene);
    let refused = texts(&scene.ask(EDITOR, "accept", false), EDITOR);
    assert_eq!(code(&refused), (false, "stale"));
    assert_eq!(refused[0]["preview"], previewed["preview"]);
    assert!(
        refused[0]["message"]
            .as_str()
            .unwrap()
            .contains("text has changed")
    );
    assert_eq!(before(&scene), state);
    let forced = scene.ask(EDITOR, "accept", true);
    assert_eq!(code(&texts(&scene.desk.commit(&forced), EDITOR)), (true, ""));
    assert!(scene.text().contains("dark"), "{}", scene.text());
}

#[test]
fn a_decision_that_no_disk_has_is_not_told() {
    let mut scene = Scene::new();
    scene.propose("slow red", ProposalState::Pending);
    let effects = scene.ask(EDITOR, "accept", false);
    let seq = records(&effects)[0].seq;
    scene.desk.event(Event::StoreFailed {
        seq,
        reason: "disk full".to_owned(),
    });
    let retried = scene.desk.event(Event::Tick);
    assert_eq!(records(&retried), records(&effects));
    assert_eq!(
        code(&texts(&scene.desk.commit(&retried), EDITOR)[..1]),
        (true, "")
    );
}

#[test]
fn nonsense_in_place_of_a_question_is_passed_over() {
    let mut scene = Scene::new();
    for payload in [
        json!({}),
        json!({ "type": "sing" }),
        json!([1]),
        json!({ "type": "decide", "action": "eat" }),
    ] {
        assert_eq!(scene.desk.tell(EDITOR, &payload), []);
    }
}

/// Two relays that were apart have both taken up the proposal; the room that sees both takes one out again.
#[test]
fn an_accept_that_was_made_twice_is_repaired_by_the_room_that_sees_it() {
    let mut scene = Scene::new();
    scene.propose("slow red", ProposalState::Pending);
    let elsewhere = Stored {
        snapshot_body: Some(scene.desk.room.snapshot().body),
        snapshot_margin: Some(scene.desk.room.snapshot().margin),
        tail: Vec::new(),
        next_seq: 1,
    };
    let mut other = Scene {
        desk: Desk::open_as(&elsewhere, 19),
        body: crdt::doc::open(60),
        margin: crdt::doc::open(61),
    };
    other.desk.now = other.desk.now.plus_ms(10);
    for part in [Part::Body, Part::Margin] {
        other.desk.join(EDITOR, part, Role::Editor);
    }
    scene.ask(EDITOR, "accept", false);
    other.ask(EDITOR, "accept", false);
    assert_eq!(
        (scene.text(), other.text()),
        ("The slow red fox".to_owned(), "The slow red fox".to_owned())
    );
    // The two meet.
    let theirs = other.desk.room.snapshot().body;
    let effects = scene.desk.say(EDITOR, Part::Body, protocol::step_2(&theirs));
    assert_eq!(scene.text(), "The slow red fox");
    let [met, repaired] = &records(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (met.author.id.as_str(), repaired.author.id.as_str()),
        ("peer #1", "relay")
    );
    let after = decisions(&scene.desk.room.document(Part::Body).transact());
    assert_eq!(after.iter().filter(|decision| decision.repaired).count(), 1);
    // Hearing it again changes nothing.
    assert_eq!(
        records(&scene.desk.say(EDITOR, Part::Body, protocol::step_2(&theirs))),
        []
    );
}

/// A suggester can write anything into the margin: it must not hurt whoever decides, or looks.
#[test]
fn a_hostile_margin_breaks_no_decision() {
    let claims: [(&str, Any); 7] = [
        ("anchor", Any::from_json(r#"{"start":{"item":{"client":1e300,"clock":-1}},"end":7}"#).unwrap()),
        ("anchor", Any::from_json(r#"{"start":{"item":{"client":9007199254740995,"clock":4294967295}},"end":{"item":{"client":50,"clock":4294967295},"assoc":-1},"quote":"quick brown","prefix":"","suffix":""}"#).unwrap()),
        // A state vector that claims four thousand million entries.
        ("base", Any::from_json(r#"{"stateVector":"/////w8="}"#).unwrap()),
        ("base", Any::from_json(r#"{"stateVector":"AZCAgICAgICAgAE="}"#).unwrap()),
        ("payload", Any::from(format!("{}x", "> ".repeat(200_000)))),
        ("payload", Any::from("> ".repeat(30_000))),
        ("kind", Any::from("insert")),
    ];
    for (field, claim) in claims {
        let mut scene = Scene::new();
        scene.propose("slow red", ProposalState::Pending);
        scene.write(Part::Margin, SUGGESTER, |txn| {
            let proposals = txn.get_or_insert_map("proposals");
            let Some(yrs::Out::YMap(entry)) = proposals.get(txn, PROPOSAL) else {
                panic!()
            };
            entry.insert(txn, field, claim.clone());
        });
        let before = scene.text();
        for action in ["accept", "undo", "reject", "undo"] {
            let effects = scene.ask(EDITOR, action, true);
            if !records(&effects).is_empty() {
                scene.desk.commit(&effects);
            }
            scene.desk.tell(
                EDITOR,
                &json!({ "type": "preview", "seq": 1, "proposal": PROPOSAL }),
            );
        }
        assert_eq!(scene.text(), before, "{field}");
        // The room is whole: what it has can be read again.
        let again = Stored {
            snapshot_body: Some(scene.desk.room.snapshot().body),
            snapshot_margin: Some(scene.desk.room.snapshot().margin),
            ..Stored::default()
        };
        let again = Desk::open(&again, Limits::default());
        assert_eq!(again.room.state(Part::Body), scene.desk.room.state(Part::Body));
        let state = again
            .room
            .document(Part::Body)
            .transact()
            .encode_state_as_update_v1(&StateVector::default());
        assert!(!state.is_empty());
    }
}
