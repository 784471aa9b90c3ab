//! A store that is full, and one that comes back.

use serde_json::{Value, json};
use sync_server::StorePath;

use crate::client::Client;
use crate::relay::{Served, config, eventually};

/// Whether the last message about the store is this.
fn storage_is(client: &Client, ok: bool) -> bool {
    client
        .stateless
        .iter()
        .rfind(|message| message["type"] == "storage")
        .is_some_and(|message| message["ok"] == ok)
}

#[tokio::test]
async fn a_full_store_is_said_and_nothing_is_acknowledged_until_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.store = StorePath::Sqlite(folder.path().join("s.sqlite"));
    let served = Served::start(settings.clone()).await;
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    writer.write("before ").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;

    served.relay.set_store_quota(Some(1)).await.unwrap();
    let much = "x".repeat(200_000);
    writer.write(&much).await.unwrap();
    writer
        .until("it is said that the disk is full", |client| {
            storage_is(client, false)
        })
        .await;
    let words = writer.stateless.last().unwrap()["message"].as_str().unwrap();
    assert!(words.contains("disk is full"), "{words}");
    writer.write("after").await.unwrap();
    assert_eq!(writer.saved, 2, "nothing is acknowledged");
    let status = served.api("GET", "/status", Value::Null).await.1;
    assert_eq!(status["storage"]["ok"], json!(false));

    // The room goes on: others read and write meanwhile, and it stays in memory when all have gone.
    let mut reader = Client::y(&served.ws(), "plan").await;
    reader
        .until("what is not saved yet", |client| client.text().ends_with("after"))
        .await;
    drop(reader);

    served.relay.set_store_quota(None).await.unwrap();
    writer
        .until("it is said that it works again", |client| {
            storage_is(client, true)
        })
        .await;
    writer
        .until("everything is saved", |client| client.saved == 4)
        .await;
    eventually("the status follows", || async {
        served.api("GET", "/status", Value::Null).await.1["storage"]["ok"] == json!(true)
    })
    .await;
    served.stop().await;

    let served = Served::start(settings).await;
    let mut reader = Client::y(&served.ws(), "plan").await;
    let whole = format!("before {much}after");
    reader
        .until("all of it is on disk, once", |client| client.text() == whole)
        .await;
}

#[tokio::test]
async fn a_room_with_unsaved_changes_stays_until_they_are_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.store = StorePath::Sqlite(folder.path().join("s.sqlite"));
    let served = Served::start(settings).await;
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    writer.write("a").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    served.relay.set_store_quota(Some(1)).await.unwrap();
    let much = "x".repeat(200_000);
    writer.write(&much).await.unwrap();
    writer.until("full", |client| storage_is(client, false)).await;
    drop(writer);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(served.relay.open_rooms().await, 1);
    served.relay.set_store_quota(None).await.unwrap();
    eventually("the room is closed", || async {
        served.relay.open_rooms().await == 0
    })
    .await;
    let mut reader = Client::y(&served.ws(), "plan").await;
    reader
        .until("all of it", |client| client.text().len() == 200_001)
        .await;
}

#[tokio::test]
async fn a_damaged_document_is_named_and_the_others_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = config();
    settings.store = StorePath::Sqlite(folder.path().join("s.sqlite"));
    let served = Served::start(settings.clone()).await;
    for doc in ["sick", "well"] {
        let mut writer = Client::hocuspocus(&served.ws(), doc, "").await;
        writer.write(doc).await.unwrap();
        writer.until("saved", |client| client.saved == 2).await;
    }
    served.stop().await;
    let database = rusqlite::Connection::open(folder.path().join("s.sqlite")).unwrap();
    let changed = database
        .execute(
            "UPDATE records SET body = zeroblob(length(body)) WHERE document = (SELECT key FROM documents WHERE id = 'sick')",
            [],
        )
        .unwrap();
    assert!(changed > 0);
    drop(database);

    let served = Served::start(settings).await;
    let mut well = Client::y(&served.ws(), "well").await;
    well.until("the other one", |client| client.text() == "well")
        .await;
    let replica = crdt::Replica::new(1);
    let denied = Client::hocuspocus_with(&served.ws(), "sick", "", replica)
        .await
        .unwrap()
        .denied
        .unwrap();
    assert!(denied.contains("document sick is damaged"), "{denied}");
    let (status, answer) = served.api("GET", "/documents/sick/markdown", Value::Null).await;
    assert_eq!((status, &answer["code"]), (500, &json!("damaged")));
}
