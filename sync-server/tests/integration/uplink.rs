//! A document that lives on two relays.

use crdt::Role;
use serde_json::{Value, json};
use sync_server::StorePath;

use crate::client::Client;
use crate::relay::{Served, config, eventually};

async fn link_state(served: &Served) -> Value {
    served.api("GET", "/documents", Value::Null).await.1[0]["linkState"].clone()
}

#[tokio::test]
async fn a_linked_document_is_one_document_on_and_off_line_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut here = config();
    here.store = StorePath::Sqlite(folder.path().join("here.sqlite"));
    let mut there = config();
    there.store = StorePath::Sqlite(folder.path().join("there.sqlite"));
    let server = Served::start(there.clone()).await;
    let port = server.port;
    let (_, made) = server.api("POST", "/documents", json!({"title": "Shared"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let mut remote = Client::hocuspocus(&server.ws(), &id, "").await;
    remote.write("remote ").await.unwrap();

    let desktop = Served::start(here.clone()).await;
    let url = format!("http://127.0.0.1:{port}/#/d/{id}?key=unused");
    let (status, linked) = desktop.api("POST", "/links", json!({"url": url})).await;
    assert_eq!((status, linked["id"].as_str()), (201, Some(id.as_str())));
    assert!(
        !linked["link"].as_str().unwrap().contains("unused"),
        "the key is not shown"
    );
    let mut local = Client::hocuspocus(&desktop.ws(), &id, "").await;
    local
        .until("what was there", |client| client.text() == "remote ")
        .await;
    local.write("local ").await.unwrap();
    remote
        .until("what came from here", |client| client.text() == "remote local ")
        .await;
    let mut margin = Client::y(&desktop.ws(), &format!("{id}~margin")).await;
    margin.write("in the margin").await.unwrap();
    let mut margin_there = Client::y(&server.ws(), &format!("{id}~margin")).await;
    margin_there
        .until("the margin, too", |client| client.text() == "in the margin")
        .await;
    eventually("it says so", || async {
        link_state(&desktop).await == "connected"
    })
    .await;
    eventually("the list has its title", || async {
        desktop.api("GET", "/documents", Value::Null).await.1[0]["title"] == "Shared"
    })
    .await;

    // The server goes away; both sides write on.
    drop((remote, margin_there));
    server.stop().await;
    eventually("it is seen", || async { link_state(&desktop).await == "offline" }).await;
    local.write("offline ").await.unwrap();
    local.until("saved here", |client| client.saved == 3).await;
    // This side restarts while there is no server: the link is kept.
    drop((local, margin));
    desktop.stop().await;
    let desktop = Served::start(here).await;
    let server = Served::start_on(there, port).await;
    let mut remote = Client::hocuspocus(&server.ws(), &id, "").await;
    remote
        .until("what was written meanwhile", |client| {
            client.text() == "remote local offline "
        })
        .await;
    let mut local = Client::hocuspocus(&desktop.ws(), &id, "").await;
    remote.write("again").await.unwrap();
    local
        .until("and back", |client| client.text() == "remote local offline again")
        .await;
    desktop.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_refuses_says_so_in_the_list() {
    let mut closed = config();
    closed.access.open_to_local = false;
    let server = Served::start(closed).await;
    let desktop = Served::start(config()).await;
    let url = format!("http://127.0.0.1:{}/#/d/plan?key=wrong", server.port);
    assert_eq!(desktop.api("POST", "/links", json!({"url": url})).await.0, 201);
    eventually("refused", || async { link_state(&desktop).await == "refused" }).await;
}

/// The other server lets this one read and not write: the copies are apart, and the list says so.
#[tokio::test]
async fn a_link_whose_changes_are_refused_is_not_shown_as_connected() {
    let mut settings = config();
    settings.access.open_to_local = false;
    settings.access.keys = vec![("own".into(), Role::Owner), ("look".into(), Role::Viewer)];
    let server = Served::start(settings).await;
    let (_, made) = server.api("POST", "/documents", json!({"title": "Shared"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    let desktop = Served::start(config()).await;
    let url = format!("http://127.0.0.1:{}/#/d/{id}?key=look", server.port);
    assert_eq!(desktop.api("POST", "/links", json!({"url": url})).await.0, 201);
    eventually("it reads", || async { link_state(&desktop).await == "connected" }).await;
    let mut local = Client::hocuspocus(&desktop.ws(), &id, "").await;
    local.write("never arrives").await.unwrap();
    eventually("refused", || async { link_state(&desktop).await == "refused" }).await;
}

/// Nothing is connected before the other room has let the link in, and a document that is gone is a refusal.
#[tokio::test]
async fn a_document_that_is_not_there_is_a_refusal() {
    let server = Served::start(config()).await;
    let (_, made) = server.api("POST", "/documents", json!({"title": "Gone"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        server
            .api("DELETE", &format!("/documents/{id}"), Value::Null)
            .await
            .0,
        204
    );
    let desktop = Served::start(config()).await;
    let url = format!("http://127.0.0.1:{}/#/d/{id}", server.port);
    assert_eq!(desktop.api("POST", "/links", json!({"url": url})).await.0, 201);
    let mut states = Vec::new();
    let begin = std::time::Instant::now();
    while states.last() != Some(&json!("refused")) {
        assert!(begin.elapsed() < crate::client::PATIENCE, "{states:?}");
        states.push(link_state(&desktop).await);
        tokio::task::yield_now().await;
    }
    assert!(!states.contains(&json!("connected")), "{states:?}");
}
