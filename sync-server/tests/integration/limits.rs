//! What addresses, documents and strangers may cost.

use std::time::Duration;

use crdt::Replica;
use crdt::protocol;
use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{connect_async, connect_async_with_config};

use crate::client::{Client, PATIENCE, Socket};
use crate::relay::{Served, config, eventually};
use crate::tokens::guarded;

/// Connects as a proxy on this machine does for somebody.
async fn connect_for(served: &Served, path: &str, address: &str) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("{}{path}", served.ws()).into_client_request().unwrap();
    request
        .headers_mut()
        .insert("x-forwarded-for", address.parse().unwrap());
    Ok(connect_async(request).await?.0)
}

/// HTTP status of a request for somebody behind a proxy, with the whole answer.
async fn get_for(port: u16, path: &str, address: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_gets_them_back() {
    let mut settings = guarded();
    settings.limits.connections_per_address = 2;
    let served = Served::start(settings).await;
    let path = "/y/plan?key=own";
    let first = connect_for(&served, path, "203.0.113.1").await.unwrap();
    let _second = connect_for(&served, "/hocuspocus", "203.0.113.1").await.unwrap();
    match connect_for(&served, path, "203.0.113.1").await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 429),
        other => panic!("{other:?}"),
    }
    // Others are not concerned, nor is this machine itself.
    let _other = connect_for(&served, path, "203.0.113.2").await.unwrap();
    for _ in 0..4 {
        Client::y(&served.ws(), "plan?key=own").await;
    }
    drop(first);
    eventually("the place is free again", || async {
        connect_for(&served, path, "203.0.113.1").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_document_has_so_many_connections() {
    let mut settings = config();
    settings.limits.connections_per_document = 2;
    let served = Served::start(settings).await;
    let first = Client::y(&served.ws(), "plan").await;
    let _second = Client::hocuspocus(&served.ws(), "plan", "").await;
    let mut third = Client::y_with(&served.ws(), "plan", Replica::new(1))
        .await
        .unwrap();
    let closed = third.until_closed().await.unwrap();
    assert_eq!(u16::from(closed.code), 4529, "{}", closed.reason);
    Client::y(&served.ws(), "another").await;
    drop(first);
    eventually("the place is free again", || async {
        let mut again = Client::y_with(&served.ws(), "plan", Replica::new(2))
            .await
            .unwrap();
        again.step().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn requests_beyond_the_rate_are_told_to_wait() {
    let mut settings = guarded();
    settings.limits.requests_per_second = 1;
    let served = Served::start(settings).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(get_for(served.port, "/api/v1/status?key=own", "203.0.113.1").await);
    }
    assert_eq!(statuses[0].0, 200);
    let slowed = statuses
        .iter()
        .find(|(status, _)| *status == 429)
        .expect("nobody was slowed down");
    assert!(
        slowed.1.contains("retry-after: ") && slowed.1.contains("slow down"),
        "{}",
        slowed.1
    );
    // Upgrades are requests as well.
    match connect_for(&served, "/y/plan?key=own", "203.0.113.1").await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 429),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        get_for(served.port, "/api/v1/status?key=own", "203.0.113.2")
            .await
            .0,
        200
    );
    for _ in 0..8 {
        assert_eq!(served.api("GET", "/status", Value::Null).await.0, 200);
    }
}

#[tokio::test]
async fn strangers_send_little_and_are_few() {
    let mut settings = guarded();
    settings.limits.unauthenticated_bytes = 10_000;
    settings.limits.unauthenticated_sockets = 2;
    let served = Served::start(settings).await;
    // A large frame is cut off while it comes, with words, long before its end.
    let (mut flood, _) = connect_async_with_config(format!("{}/hocuspocus", served.ws()), None, false)
        .await
        .unwrap();
    flood
        .send(Message::Binary(vec![0; 8 << 20].into()))
        .await
        .unwrap();
    let closed = tokio::time::timeout(PATIENCE, async {
        loop {
            match flood.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(u16::from(closed.code), 1009);
    assert!(
        closed.reason.contains("before it has said who it is"),
        "{}",
        closed.reason
    );
    drop(flood);

    // Who has said who they are may send whole documents.
    let mut client = Client::hocuspocus(&served.ws(), "plan", "own").await;
    client.write(&"x".repeat(500_000)).await.unwrap();
    client.until("saved", |client| client.saved == 2).await;
    // They are no strangers, so there is room for two of those.
    let connect = || async { connect_async(format!("{}/hocuspocus", served.ws())).await };
    eventually("the first one has gone", || async { connect().await.is_ok() }).await;
    let mut strangers = Vec::new();
    let refused = loop {
        match connect().await {
            Ok((socket, _)) => strangers.push(socket),
            Err(tungstenite::Error::Http(answer)) => break answer,
            Err(other) => panic!("{other}"),
        }
        assert!(strangers.len() <= 2);
    };
    assert_eq!(refused.status(), 503);
    drop(strangers);
    eventually("there is room again", || async { connect().await.is_ok() }).await;
}

#[tokio::test]
async fn awareness_beyond_the_rate_waits_and_is_not_lost() {
    let mut settings = config();
    settings.limits.awareness_per_second = 50;
    let served = Served::start(settings).await;
    let mut writer = Client::y(&served.ws(), "plan").await;
    let mut seen = connect_async(format!("{}/y/plan", served.ws())).await.unwrap().0;
    let state = |n: u32| {
        let json = format!("{{\"n\":{n}}}");
        protocol::awareness(std::iter::once((7, n, json.as_str())))
    };
    let begin = std::time::Instant::now();
    for n in 1..=300 {
        writer.send(state(n)).await.unwrap();
    }
    let last = async {
        loop {
            let message = seen.next().await.unwrap().unwrap();
            if message.into_data().windows(8).any(|bytes| bytes == b"{\"n\":300") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, last)
        .await
        .expect("the last state is lost");
    // 200 at once, then 50 a second: the rest cannot have come through earlier.
    assert!(
        begin.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn titles_and_imports_have_a_length_and_leave_nothing_when_refused() {
    let mut settings = config();
    settings.limits.import_bytes = 10_000;
    let served = Served::start(settings).await;
    let import = |text: String| json!({"title": "T", "markdown": text});
    let (status, said) = served
        .api("POST", "/documents/import", import("x".repeat(10_001)))
        .await;
    assert_eq!((status, &said["code"]), (413, &json!("too_large")));
    let long = "t".repeat(1001);
    for (method, path, body) in [
        ("POST", "/documents", json!({"title": long})),
        (
            "POST",
            "/documents/import",
            json!({"title": long, "markdown": "x"}),
        ),
    ] {
        assert_eq!(served.api(method, path, body).await.0, 413);
    }
    assert_eq!(
        served.api("GET", "/documents", Value::Null).await.1,
        json!([]),
        "nothing is left behind"
    );
    let (status, made) = served
        .api("POST", "/documents/import", import("# Heading\n\ntext".into()))
        .await;
    assert_eq!(status, 201);
    let path = format!("/documents/{}", made["id"].as_str().unwrap());
    assert_eq!(served.api("PATCH", &path, json!({"title": long})).await.0, 413);
    assert_eq!(served.api("GET", &path, Value::Null).await.1["title"], "T");
}

/// A document that is refused when it is written leaves no empty one in the list.
#[tokio::test]
async fn an_import_that_the_room_refuses_leaves_no_document() {
    let mut settings = config();
    settings.limits.room.max_part = 1000;
    let served = Served::start(settings).await;
    let body = json!({"title": "T", "markdown": "word ".repeat(500)});
    assert_eq!(served.api("POST", "/documents/import", body).await.0, 413);
    assert_eq!(served.api("GET", "/documents", Value::Null).await.1, json!([]));
}

/// A parser that takes long holds up nobody else, on a runtime with one thread.
#[tokio::test]
async fn an_import_that_takes_long_holds_nobody_up() {
    let served = Served::start(config()).await;
    // Emphasis that never closes: some hundred milliseconds or more.
    let body = json!({"markdown": "*a _b ".repeat(30_000)}).to_string();
    let relay = served.relay.clone();
    let import = tokio::spawn(async move { relay.api("POST", "/documents/import", body.into()).await });
    let mut others = 0;
    while !import.is_finished() {
        assert_eq!(served.api("GET", "/status", Value::Null).await.0, 200);
        tokio::task::yield_now().await;
        others += 1;
    }
    assert!(import.await.unwrap().status < 500);
    assert!(others > 10, "only {others} requests were answered meanwhile");
}

/// The close frame of a document that cannot be joined arrives although its client sends a lot before it reads.
#[tokio::test]
async fn the_reason_for_a_refused_document_is_not_lost() {
    let served = Served::start(config()).await;
    for _ in 0..20 {
        let url = format!("{}/y/nothing?role=viewer", served.ws());
        let (mut socket, _) = connect_async(url).await.unwrap();
        for _ in 0..50 {
            // It may be closed meanwhile; what it said is read all the same.
            if socket
                .feed(Message::Binary(vec![0; 20_000].into()))
                .await
                .is_err()
            {
                break;
            }
        }
        drop(socket.flush().await);
        let code = loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("the close frame is lost: {other:?}"),
            }
        };
        assert_eq!(code, 4404);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_refusal() {
    let served = Served::start(config()).await;
    let (mut socket, _) = connect_async(format!("{}/hocuspocus", served.ws()))
        .await
        .unwrap();
    served.relay.shutdown().await;
    let frame = Frame::Document {
        address: Address::new("plan"),
        message: HocusMessage::Token {
            token: String::new(),
            version: None,
        },
    };
    socket.send(Message::Binary(frame.encode().into())).await.unwrap();
    match tokio::time::timeout(PATIENCE, socket.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1001, "{}", frame.reason),
        other => panic!("{other:?}"),
    }
}
