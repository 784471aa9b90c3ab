//! Bad input: damaged, oversized, silent, slow. Each costs its own connection and nothing else.

use std::time::Duration;

use crdt::Replica;
use crdt::protocol;
use futures_util::{SinkExt, StreamExt};
use sync_server::CLOSE_TOO_SLOW;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use yrs::{Text, Transact};

use crate::client::{Client, PATIENCE};
use crate::relay::{Served, config};

/// The code and words with which the relay closes a connection after `frame`.
async fn closed_after(served: &Served, path: &str, frame: Message) -> (u16, String) {
    let (mut socket, _) = connect_async(format!("{}{path}", served.ws())).await.unwrap();
    socket.send(frame).await.unwrap();
    let wait = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the connection stays open")
}

#[tokio::test]
async fn bad_frames_close_their_own_connection_with_words() {
    let mut settings = config();
    settings.limits.frame_bytes = 100_000;
    let served = Served::start(settings).await;
    let mut bystander = Client::hocuspocus(&served.ws(), "plan", "").await;
    bystander.write("here").await.unwrap();

    let damaged = protocol::update(&[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 7]);
    let binary = |bytes: Vec<u8>| Message::Binary(bytes.into());
    let cases = [
        ("/y/plan", binary(damaged), 1002, ""),
        ("/y/plan", binary(vec![0xff; 40]), 1002, ""),
        ("/y/plan", binary(Vec::new()), 1002, ""),
        ("/y/plan", binary(vec![0; 200_000]), 1009, "at most 100000 bytes"),
        (
            "/hocuspocus",
            binary(vec![0; 200_000]),
            1009,
            "at most 100000 bytes",
        ),
        ("/hocuspocus", binary(vec![0xff; 9]), 1002, ""),
        (
            "/hocuspocus",
            binary(b"\x04plan\x08\x01".to_vec()),
            1002,
            "only a server",
        ),
        ("/y/plan", Message::text("{}"), 1003, "binary"),
    ];
    for (path, frame, code, words) in cases {
        let name = format!("{path} {:.40}", format!("{frame:?}"));
        let (got, reason) = closed_after(&served, path, frame).await;
        assert_eq!(got, code, "{name}: {reason}");
        assert!(reason.contains(words) && !reason.is_empty(), "{name}: {reason}");
    }

    bystander.write("!").await.unwrap();
    bystander
        .until("the others are not touched", |client| client.saved == 3)
        .await;
    assert_eq!(bystander.text(), "here!");
}

#[tokio::test]
async fn an_unknown_document_is_made_by_writers_only() {
    let served = Served::start(config()).await;
    let (mut socket, _) = connect_async(format!("{}/y/nothing?role=viewer", served.ws()))
        .await
        .unwrap();
    let close = loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            _ => continue,
        }
    };
    assert_eq!(u16::from(close.code), 4404);
    assert!(close.reason.contains("no document nothing"), "{}", close.reason);
    let denied = Client::hocuspocus_with(&served.ws(), "nothing", r#"{"role":"viewer"}"#, Replica::new(1))
        .await
        .unwrap();
    assert!(
        denied
            .denied
            .unwrap()
            .contains("there is no document nothing here")
    );

    // Opening it is no edit: it is still not there.
    let _writer = Client::y(&served.ws(), "nothing").await;
    let (status, list) = served.api("GET", "/documents", serde_json::Value::Null).await;
    assert_eq!((status, list), (200, serde_json::json!([])));
}

#[tokio::test]
async fn names_that_are_none_are_refused_in_words() {
    let served = Served::start(config()).await;
    let long = "x".repeat(300);
    for name in [long.as_str(), "", "a~margin~margin", "line\nbreak"] {
        let client = Client::hocuspocus_with(&served.ws(), name, "", Replica::new(1))
            .await
            .unwrap();
        assert!(
            client
                .denied
                .as_deref()
                .is_some_and(|words| words.contains("document id")),
            "{:?}",
            client.denied
        );
    }
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_sent_away() {
    let mut settings = config();
    settings.limits.authenticate_within = Duration::from_millis(100);
    let served = Served::start(settings).await;
    let (mut socket, _) = connect_async(format!("{}/hocuspocus", served.ws()))
        .await
        .unwrap();
    match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 4508),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_one_that_answers_pings_is_not() {
    let mut settings = config();
    settings.limits.ping_every = Duration::from_millis(50);
    settings.limits.idle_after = Duration::from_millis(400);
    let served = Served::start(settings).await;
    let mut alive = Client::hocuspocus(&served.ws(), "plan", "").await;
    // It is not read, so its pongs are never sent.
    let mut silent = Client::hocuspocus(&served.ws(), "plan", "").await;
    let reading = async {
        loop {
            alive.step().await.unwrap();
        }
    };
    drop(tokio::time::timeout(Duration::from_millis(1500), reading).await);
    alive.write("x").await.unwrap();
    alive.until("it is still there", |client| client.saved == 2).await;
    let closed = silent.until_closed().await;
    assert!(closed.is_none_or(|frame| u16::from(frame.code) == 4508));
}

/// One reader stalls while another writes more than may wait: it is cut off, the writer is not held up, and when the reader
/// comes again it gets everything.
#[tokio::test]
async fn a_slow_reader_is_cut_off_and_gets_everything_when_it_comes_again() {
    let mut settings = config();
    settings.limits.outbox_frames = 64;
    settings.limits.outbox_bytes = 1 << 20;
    let served = Served::start(settings).await;
    let mut slow = Client::y(&served.ws(), "plan").await;
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    let text = writer.replica.doc().get_or_insert_text("proof");
    // More than the buffers of two sockets hold. Each stretch goes again, so that the document stays small.
    let stretch = "x".repeat(250_000);
    for n in 0..150 {
        text.insert(&mut writer.replica.doc().transact_mut(), 0, &stretch);
        text.remove_range(&mut writer.replica.doc().transact_mut(), 0, 250_000);
        writer.flush().await.unwrap();
        writer
            .until("the writer is not held up", |client| client.saved == 2 * n + 3)
            .await;
    }
    writer.write("the end").await.unwrap();
    writer.until("saved", |client| client.saved == 302).await;
    let closed = slow.until_closed().await;
    assert!(
        closed.is_none_or(|frame| u16::from(frame.code) == CLOSE_TOO_SLOW),
        "it was cut off"
    );
    assert_ne!(
        slow.text(),
        "the end",
        "what was cut off is not passed off as whole"
    );
    let mut again = Client::y_with(&served.ws(), "plan", slow.replica).await.unwrap();
    again
        .until("everything", |client| client.text() == "the end")
        .await;
    assert!(!again.replica.is_holding_back());
}
