//! Whoever may only read, or only suggest, sends what they like over real sockets: the body stays as it is.
//!
//! `FRAMES=…` sends more.

use crdt::protocol;
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use yrs::{ReadTxn, StateVector, Text, Transact};

use crate::client::{Client, PATIENCE, Socket};
use crate::relay::{Served, config};

const FRAMES: usize = 2_000;

/// Frames of one intruder that nearly are what an editor sends, or are just that.
fn frames(client: &Client, seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let whole = {
        let txn = client.replica.doc().transact();
        txn.encode_state_as_update_v1(&StateVector::default())
    };
    let copy = crdt::doc::open(1_000_000 + seed);
    let update: yrs::Update = yrs::updates::decoder::Decode::decode_v1(&whole).unwrap();
    copy.transact_mut().apply_update(update).unwrap();
    let text = copy.get_or_insert_text("proof");
    let mut writes = Vec::new();
    for number in 0..40 {
        let before = copy.transact().state_vector();
        if number % 2 == 0 {
            text.insert(&mut copy.transact_mut(), 0, "intruded");
        } else {
            // What others wrote is behind the intruder's own words.
            let mut txn = copy.transact_mut();
            let len = text.len(&txn);
            text.remove_range(&mut txn, len - 2, 1);
        }
        writes.push(copy.transact().encode_diff_v1(&before));
    }
    (0..count)
        .map(|_| {
            let write = writes.choose(&mut rng).unwrap();
            let mut frame = if rng.random_bool(0.5) {
                protocol::update(write)
            } else {
                protocol::step_2(write)
            };
            if rng.random_bool(0.4) {
                let at = rng.random_range(0..frame.len());
                match rng.random_range(0..3) {
                    0 => frame[at] = rng.random(),
                    1 => frame.truncate(at),
                    _ => frame.insert(at, rng.random()),
                }
            }
            frame
        })
        .collect()
}

async fn connect(served: &Served, who: &str) -> Socket {
    connect_async(format!("{}/y/plan?{who}", served.ws()))
        .await
        .unwrap()
        .0
}

/// Sends all frames, on a new connection whenever one is closed. Returns how often that was, and how many refusals there were.
async fn intrude(served: &Served, who: &str, frames: Vec<Vec<u8>>) -> (usize, usize) {
    let (mut closed, mut refused) = (0, 0);
    let mut socket = connect(served, who).await;
    for frame in frames {
        let sent = socket.send(Message::Binary(frame.into())).await;
        // A question at the end of each: its answer says that the frame has been dealt with.
        let question = protocol::step_1(&StateVector::default());
        let asked = socket.send(Message::Binary(question.into())).await;
        let mut alive = sent.is_ok() && asked.is_ok();
        while alive {
            match timeout(PATIENCE, socket.next())
                .await
                .expect("an answer or an end")
            {
                Some(Ok(Message::Binary(bytes))) => {
                    refused += usize::from(bytes.first() == Some(&protocol::AUTH));
                    if bytes.starts_with(&[protocol::SYNC, 1]) {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => alive = false,
                Some(Ok(_)) => {}
            }
        }
        if !alive {
            closed += 1;
            socket = connect(served, who).await;
        }
    }
    (closed, refused)
}

#[tokio::test]
async fn whatever_intruders_send_the_body_stays_as_it_is() {
    let count = std::env::vars()
        .find(|(name, _)| name == "FRAMES")
        .map_or(FRAMES, |(_, value)| value.parse().unwrap());
    let served = Served::start(config()).await;
    let mut owner = Client::hocuspocus(&served.ws(), "plan", "").await;
    owner.write("untouched words").await.unwrap();
    owner.until("saved", |client| client.saved == 2).await;
    let before = owner.replica.doc().transact().snapshot();
    let intruders = [
        ("role=viewer", 1),
        ("role=suggester", 2),
        ("kind=ai", 3),
        ("kind=ai&role=owner", 4),
    ];
    let all = intruders.map(|(who, seed)| intrude(&served, who, frames(&owner, seed, count / 4)));
    for ((closed, refused), (who, _)) in futures_util::future::join_all(all)
        .await
        .into_iter()
        .zip(intruders)
    {
        assert!(
            closed > count / 100 && refused > count / 20,
            "{who}: {closed} closed, {refused} refused: the frames miss their aim"
        );
    }
    let fresh = Client::y(&served.ws(), "plan").await;
    assert_eq!(fresh.replica.doc().transact().snapshot(), before);
    assert_eq!(fresh.text(), "untouched words");
}
