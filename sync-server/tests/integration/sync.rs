//! Clients of both protocols in one room; who may write; rooms that come and go.

use crdt::Replica;
use crdt::protocol::hocuspocus::Scope;
use serde_json::json;
use sync_server::clock;

use crate::client::Client;
use crate::relay::{Served, config, eventually};

#[tokio::test]
async fn both_protocols_meet_in_one_room() {
    let served = Served::start(config()).await;
    let mut ann = Client::hocuspocus(&served.ws(), "plan", "").await;
    let mut bob = Client::y(&served.ws(), "plan").await;
    ann.write("a").await.unwrap();
    bob.write("b").await.unwrap();
    for client in [&mut ann, &mut bob] {
        client
            .until("both letters", |client| client.text().len() == 2)
            .await;
    }
    assert_eq!(ann.text(), bob.text());
    ann.until("its own letter and the handshake are saved", |client| {
        client.saved == 2
    })
    .await;
    assert_eq!(ann.scope, Some(Scope::ReadWrite));
    let welcome = &ann.stateless[0];
    assert_eq!(
        (&welcome["type"], &welcome["role"]),
        (&json!("welcome"), &json!("owner"))
    );

    let mut late = Client::y(&served.ws(), "plan").await;
    late.until("what was there", |client| client.text().len() == 2)
        .await;
}

#[tokio::test]
async fn carets_travel_and_leave_with_their_client() {
    let served = Served::start(config()).await;
    let mut ann = Client::hocuspocus(&served.ws(), "plan", "").await;
    let mut bob = Client::y(&served.ws(), "plan").await;
    let state = json!({"user": {"name": "Ann", "kind": "human"}});
    let frame = ann.replica.set_local_state(clock::now(), Some(state)).unwrap();
    ann.send(frame).await.unwrap();
    let names = |client: &Client| -> Vec<String> {
        let users = client.replica.awareness().others();
        users
            .map(|(_, state)| state["user"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    bob.until("Ann is there", |client| names(client) == ["Ann"]).await;
    drop(ann);
    bob.until("Ann is gone", |client| names(client).is_empty()).await;
}

#[tokio::test]
async fn whoever_may_not_write_changes_nothing() {
    let served = Served::start(config()).await;
    let mut owner = Client::hocuspocus(&served.ws(), "plan", "").await;
    owner.write("untouched").await.unwrap();
    for role in ["viewer", "suggester"] {
        let token = json!({"role": role, "user": {"id": role, "name": role}}).to_string();
        let mut intruder =
            Client::hocuspocus_with(&served.ws(), "plan", &token, Replica::new(rand::random()))
                .await
                .unwrap();
        assert_eq!(intruder.scope, Some(Scope::ReadOnly));
        intruder
            .until("it reads", |client| client.text() == "untouched")
            .await;
        intruder.write("INTRUDED").await.unwrap();
        intruder
            .until("the write is refused", |client| client.refused > 0)
            .await;

        let mut intruder = Client::y(&served.ws(), &format!("plan?role={role}")).await;
        intruder
            .until("it reads", |client| client.text() == "untouched")
            .await;
        intruder.write("INTRUDED").await.unwrap();
        intruder
            .until("words of refusal", |client| client.denied.is_some())
            .await;
    }
    owner.write("!").await.unwrap();
    let mut fresh = Client::y(&served.ws(), "plan").await;
    fresh
        .until("only the owner's text", |client| client.text() == "untouched!")
        .await;
}

#[tokio::test]
async fn a_suggester_writes_the_margin_and_a_viewer_does_not() {
    let served = Served::start(config()).await;
    let mut owner = Client::hocuspocus(&served.ws(), "plan", "").await;
    owner.write("text").await.unwrap();
    owner.until("saved", |client| client.saved == 2).await;
    let mut suggester = Client::hocuspocus(&served.ws(), "plan~margin", r#"{"role":"suggester"}"#).await;
    suggester.write("suggestion").await.unwrap();
    suggester.until("saved", |client| client.saved == 2).await;
    let mut viewer = Client::y(&served.ws(), "plan~margin?role=viewer").await;
    viewer
        .until("it reads", |client| client.text() == "suggestion")
        .await;
    viewer.write("no").await.unwrap();
    viewer.until("refused", |client| client.denied.is_some()).await;
}

#[tokio::test]
async fn an_ai_is_a_suggester_whatever_its_key() {
    let served = Served::start(config()).await;
    let mut owner = Client::hocuspocus(&served.ws(), "plan", "").await;
    owner.write("text").await.unwrap();
    owner.until("saved", |client| client.saved == 2).await;
    let mut model = Client::y(&served.ws(), "plan?kind=ai&role=owner&model=m").await;
    model.write("mine now").await.unwrap();
    model.until("refused", |client| client.denied.is_some()).await;
}

#[tokio::test]
async fn a_room_leaves_memory_when_nobody_is_in_it() {
    let served = Served::start(config()).await;
    for n in 0..20 {
        let mut client = Client::y(&served.ws(), &format!("doc{n}")).await;
        client.write("x").await.unwrap();
    }
    eventually("all rooms are closed", || async {
        served.relay.open_rooms().await == 0
    })
    .await;
    for n in 0..20 {
        let mut client = Client::y(&served.ws(), &format!("doc{n}")).await;
        client
            .until("it is all there", |client| client.text() == "x")
            .await;
    }
}

#[tokio::test]
async fn a_document_that_is_opened_and_left_in_a_hurry_is_one_document() {
    let served = Served::start(config()).await;
    let mut tasks = Vec::new();
    for n in 0..40 {
        let base = served.ws();
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(n * 7)).await;
            let mut client = Client::hocuspocus(&base, "busy", "").await;
            client.write(&format!("[{n}]")).await.unwrap();
            client.until("saved", |client| client.saved == 2).await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut reader = Client::y(&served.ws(), "busy").await;
    reader
        .until("everything", |client| {
            (0..40).all(|n| client.text().contains(&format!("[{n}]")))
        })
        .await;
    assert_eq!(reader.text().matches('[').count(), 40, "nothing is doubled");
}

#[tokio::test]
async fn a_long_log_becomes_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.store = sync_server::StorePath::Sqlite(folder.path().join("s.sqlite"));
    settings.limits.compact_records = 10;
    let served = Served::start(settings.clone()).await;
    let mut client = Client::hocuspocus(&served.ws(), "plan", "").await;
    for n in 0..35 {
        client.write("x").await.unwrap();
        client.until("saved", |client| client.saved == n + 2).await;
    }
    served.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM snapshots"), 1);
    let records = count("SELECT count(*) FROM records");
    assert!(records < 20, "{records} records are left");
    drop(database);
    let served = Served::start(settings).await;
    let mut client = Client::y(&served.ws(), "plan").await;
    client
        .until("all of it", |client| client.text().len() == 35)
        .await;
}
