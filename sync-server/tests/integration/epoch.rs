//! A document whose history was replaced under its clients.

use futures_util::StreamExt;
use serde_json::{Value, json};
use sync_server::{RelayConfig, StorePath};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, append_to};
use crate::relay::{Served, config, eventually};

fn on_disk(folder: &tempfile::TempDir, name: &str) -> RelayConfig {
    let mut settings = config();
    settings.store = StorePath::Sqlite(folder.path().join(name));
    settings
}

/// Backs a relay up into a file's bytes.
async fn backup(served: &Served) -> bytes::Bytes {
    let answer = served.relay.api("POST", "/backup", Default::default()).await;
    assert_eq!(answer.status, 200);
    answer.body
}

fn epoch_of(client: &Client) -> String {
    let welcome = client
        .stateless
        .iter()
        .find(|message| message["type"] == "welcome")
        .unwrap();
    welcome["epoch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_client_of_another_epoch_is_told_and_brings_nothing_in() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(on_disk(&folder, "s.sqlite")).await;
    // A document that is made by writing in it: its epoch is told before anything is on disk, and stays.
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    writer.write("before ").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    let epoch = epoch_of(&writer);
    let listed = served.api("GET", "/documents/plan", Value::Null).await.1;
    assert_eq!(listed["epoch"].as_str(), Some(epoch.as_str()));
    let copy = backup(&served).await;
    writer.write("lost ").await.unwrap();
    writer.until("saved", |client| client.saved == 3).await;

    let answer = served.relay.api("POST", "/restore", copy).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let closed = writer.until_closed().await.unwrap();
    assert_eq!(u16::from(closed.code), 1012, "they come again");
    let now = served.api("GET", "/documents/plan", Value::Null).await.1["epoch"].clone();
    assert_ne!(now.as_str(), Some(epoch.as_str()));

    // The client that knows the epoch, in both framings; with changes of its own.
    let token = json!({"epoch": epoch}).to_string();
    let replica = writer.replica;
    append_to(&replica, "offline");
    let refused = Client::hocuspocus_with(&served.ws(), "plan", &token, replica)
        .await
        .unwrap();
    let reason = refused.denied.clone().unwrap();
    assert!(
        reason.starts_with("epoch: ") && reason.contains("replaced"),
        "{reason}"
    );
    drop(refused);
    let url = format!("{}/y/plan?epoch={epoch}", served.ws());
    let (mut socket, response) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(response.headers()["inkling-epoch"].to_str().ok(), now.as_str());
    let Some(Ok(Message::Close(Some(closed)))) = socket.next().await else {
        panic!("it is closed before anything else is said")
    };
    assert_eq!(u16::from(closed.code), 4409);
    assert!(closed.reason.contains("replaced"), "{}", closed.reason);
    let mut reader = Client::y(&served.ws(), "plan").await;
    reader
        .until("what the backup had", |client| client.text() == "before ")
        .await;

    // One of the present epoch is let in; it need not be told again.
    let token = json!({"epoch": now}).to_string();
    let fresh = Client::hocuspocus(&served.ws(), "plan", &token).await;
    assert_eq!(
        (fresh.text().as_str(), Some(epoch_of(&fresh).as_str())),
        ("before ", now.as_str())
    );
}

#[tokio::test]
async fn a_stock_client_that_knows_no_epoch_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(on_disk(&folder, "s.sqlite")).await;
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    writer.write("one ").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    let copy = backup(&served).await;
    writer.write("two ").await.unwrap();
    writer.until("saved", |client| client.saved == 3).await;
    assert_eq!(served.relay.api("POST", "/restore", copy).await.status, 200);
    writer.until_closed().await;
    // Its copy is of the same history: what both have is there once, and what it has beyond comes back.
    let mut again = Client::hocuspocus_with(&served.ws(), "plan", "", writer.replica)
        .await
        .unwrap();
    again
        .until("synced", |client| client.replica.is_synced() && client.saved > 0)
        .await;
    again.write("three").await.unwrap();
    let mut reader = Client::y(&served.ws(), "plan").await;
    reader
        .until("all of it, once", |client| client.text() == "one two three")
        .await;

    // The same text imported again is another document: nothing is put in the place of one that is there.
    let import = json!({"markdown": "same words\n"});
    let first = served.api("POST", "/documents/import", import.clone()).await.1;
    let second = served.api("POST", "/documents/import", import).await.1;
    assert_ne!(first["id"], second["id"]);
    assert_ne!(first["epoch"], second["epoch"]);
}

#[tokio::test]
async fn a_store_that_was_emptied_refuses_copies_of_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(on_disk(&folder, "one.sqlite")).await;
    let mut writer = Client::hocuspocus(&served.ws(), "plan", "").await;
    writer.write("words").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    let token = json!({"epoch": epoch_of(&writer)}).to_string();
    served.stop().await;
    let served = Served::start(on_disk(&folder, "two.sqlite")).await;
    let refused = Client::hocuspocus_with(&served.ws(), "plan", &token, writer.replica)
        .await
        .unwrap();
    assert!(refused.denied.unwrap().starts_with("epoch: "));
    assert_eq!(served.api("GET", "/documents", Value::Null).await.1, json!([]));
}

#[tokio::test]
async fn a_linked_document_that_was_replaced_there_is_kept_here_as_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(on_disk(&folder, "there.sqlite")).await;
    let here = on_disk(&folder, "here.sqlite");
    let desktop = Served::start(here.clone()).await;
    let (_, made) = server.api("POST", "/documents", json!({"title": "Shared"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let copy = backup(&server).await;
    let url = format!("http://127.0.0.1:{}/#/d/{id}", server.port);
    assert_eq!(desktop.api("POST", "/links", json!({"url": url})).await.0, 201);
    let mut local = Client::hocuspocus(&desktop.ws(), &id, "").await;
    local.write("written here").await.unwrap();
    let mut remote = Client::y(&server.ws(), &id).await;
    remote
        .until("it is linked", |client| client.text() == "written here")
        .await;

    assert_eq!(server.relay.api("POST", "/restore", copy).await.status, 200);
    let path = format!("/documents/{id}");
    eventually("it is seen", || async {
        desktop.api("GET", &path, Value::Null).await.1["linkState"] == "replaced"
    })
    .await;
    eventually("its title says so", || async {
        let title = desktop.api("GET", &path, Value::Null).await.1["title"].clone();
        title
            .as_str()
            .is_some_and(|title| title.starts_with("Shared (kept 2"))
    })
    .await;
    assert_eq!(local.text(), "written here");
    local.write(" and on").await.unwrap();
    let mut fresh = Client::y(&server.ws(), &id).await;
    assert_eq!(fresh.text(), "", "nothing of it enters the new one");
    let refused = desktop.api("POST", "/links", json!({"url": url})).await;
    assert_eq!((refused.0, &refused.1["code"]), (409, &json!("replaced")));
    drop(local);
    desktop.stop().await;
    let desktop = Served::start(here).await;
    assert_eq!(
        desktop.api("GET", &path, Value::Null).await.1["linkState"],
        "replaced"
    );
    let mut local = Client::y(&desktop.ws(), &id).await;
    local
        .until("it is all here", |client| client.text() == "written here and on")
        .await;
    fresh.write("new").await.unwrap();
    assert_eq!(local.text(), "written here and on");
}
