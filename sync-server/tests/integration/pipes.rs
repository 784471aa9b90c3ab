//! Links within the process: the desktop's window, the AI peer.

use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage};
use crdt::{DocName, Identity, PeerKind, Replica, Role};
use sync_server::{FramePipe, clock};
use tokio::time::timeout;

use crate::client::{Client, PATIENCE, append_to, text_of};
use crate::relay::{Served, config, eventually};

fn model() -> Identity {
    Identity {
        id: "ai".into(),
        name: "Model".into(),
        kind: PeerKind::Ai,
        model: Some("m".into()),
    }
}

/// Runs a replica over a pipe until a condition holds.
async fn until(
    pipe: &mut FramePipe,
    replica: &mut Replica,
    what: &str,
    condition: impl Fn(&Replica) -> bool,
) {
    let wait = async {
        while !condition(replica) {
            let frame = pipe.from_relay.recv().await.expect("the relay closed the pipe");
            for reply in replica.receive(clock::now(), &frame).unwrap().replies {
                pipe.to_relay.send(reply.into()).await.unwrap();
            }
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

#[tokio::test]
async fn an_ai_peer_joins_what_people_have_open() {
    let served = Served::start(config()).await;
    let mut open = served.relay.open_documents();
    assert!(open.borrow().is_empty());
    let person = Client::hocuspocus(&served.ws(), "plan", "").await;
    timeout(PATIENCE, open.wait_for(|open| open.len() == 1))
        .await
        .unwrap()
        .unwrap();
    let doc = open.borrow().first().unwrap().clone();
    assert_eq!(doc.as_str(), "plan");

    let name = DocName {
        doc,
        part: crdt::Part::Body,
    };
    let mut pipe = served.relay.connect_y(name, model(), Role::Suggester);
    let mut replica = Replica::new(9);
    for frame in replica.connected() {
        pipe.to_relay.send(frame.into()).await.unwrap();
    }
    until(&mut pipe, &mut replica, "synced", Replica::is_synced).await;
    append_to(&replica, "machine");
    for frame in replica.drain_updates() {
        pipe.to_relay.send(frame.into()).await.unwrap();
    }
    drop(person);
    timeout(PATIENCE, open.wait_for(|open| open.is_empty()))
        .await
        .unwrap()
        .unwrap();
    drop(pipe);
    eventually("the room is closed", || async {
        served.relay.open_rooms().await == 0
    })
    .await;
    let reader = Client::y(&served.ws(), "plan").await;
    assert_eq!(reader.text(), "", "a suggester wrote nothing");
}

#[tokio::test]
async fn the_window_speaks_hocuspocus_over_a_pipe() {
    let served = Served::start(config()).await;
    let mut pipe = served.relay.connect_hocuspocus();
    let address = Address::new("plan");
    let frame = |message| {
        Frame::Document {
            address: address.clone(),
            message,
        }
        .encode()
    };
    let token = r#"{"user":{"id":"u1","name":"Ann"}}"#.to_owned();
    pipe.to_relay
        .send(frame(HocusMessage::Token { token, version: None }).into())
        .await
        .unwrap();
    let first = Frame::decode(&pipe.from_relay.recv().await.unwrap()).unwrap();
    assert!(
        matches!(
            first,
            Frame::Document {
                message: HocusMessage::Authenticated(_),
                ..
            }
        ),
        "{first:?}"
    );

    let mut replica = Replica::new(9);
    append_to(&replica, "offline");
    for message in replica.connected() {
        pipe.to_relay
            .send(frame(HocusMessage::Y(message)).into())
            .await
            .unwrap();
    }
    let wait = async {
        loop {
            let Frame::Document { message, .. } =
                Frame::decode(&pipe.from_relay.recv().await.unwrap()).unwrap()
            else {
                continue;
            };
            match message {
                HocusMessage::Y(bytes) => {
                    for reply in replica.receive(clock::now(), &bytes).unwrap().replies {
                        pipe.to_relay
                            .send(frame(HocusMessage::Y(reply)).into())
                            .await
                            .unwrap();
                    }
                }
                HocusMessage::SyncStatus(saved) => return saved,
                _ => {}
            }
        }
    };
    assert!(timeout(PATIENCE, wait).await.unwrap());
    let mut other = Client::y(&served.ws(), "plan").await;
    other
        .until("what was written offline", |client| client.text() == "offline")
        .await;
    assert_eq!(text_of(&replica), "offline");
}

#[tokio::test]
async fn a_pipe_that_is_not_read_is_cut_off() {
    let mut settings = config();
    settings.limits.outbox_frames = 8;
    let served = Served::start(settings).await;
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    let name = DocName::parse("plan").unwrap();
    let mut pipe = served.relay.connect_y(name, model(), Role::Suggester);
    let mut replica = Replica::new(9);
    for frame in replica.connected() {
        pipe.to_relay.send(frame.into()).await.unwrap();
    }
    until(&mut pipe, &mut replica, "synced", Replica::is_synced).await;
    for n in 0..300 {
        writer.write("x").await.unwrap();
        writer
            .until("the writer is not held up", |client| client.saved == n + 2)
            .await;
    }
    let mut frames = 0;
    while let Some(_frame) = timeout(PATIENCE, pipe.from_relay.recv())
        .await
        .unwrap_or_else(|_| panic!("it was not cut off after {frames} frames"))
    {
        frames += 1;
    }
    assert!(frames < 200, "{frames} frames were kept for it");
}

#[tokio::test]
async fn a_pipe_takes_no_frame_beyond_the_limit() {
    let mut settings = config();
    settings.limits.frame_bytes = 1000;
    let served = Served::start(settings).await;
    let mut pipe = served.relay.connect_hocuspocus();
    pipe.to_relay.send(vec![0; 2000].into()).await.unwrap();
    assert!(timeout(PATIENCE, pipe.from_relay.recv()).await.unwrap().is_none());
}
