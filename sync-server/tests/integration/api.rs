//! The REST interface.

use serde_json::{Value, json};

use crate::client::Client;
use crate::relay::{Served, config};

#[tokio::test]
async fn documents_are_made_named_read_and_deleted() {
    let served = Served::start(config()).await;
    let (status, made) = served.api("POST", "/documents", json!({"title": "Plan"})).await;
    assert_eq!((status, &made["title"]), (201, &json!("Plan")));
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/documents/{id}");
    assert_eq!(served.api("GET", &path, Value::Null).await.1, made);

    let (status, renamed) = served.api("PATCH", &path, json!({"title": "New plan"})).await;
    assert_eq!((status, &renamed["title"]), (200, &json!("New plan")));
    assert!(renamed["updatedAt"].as_u64() >= made["updatedAt"].as_u64());
    let again = served.api("PATCH", &path, json!({"title": "New plan"})).await.0;
    assert_eq!(again, 200, "the name that it has");
    let list = served.api("GET", "/api/v1/documents", Value::Null).await.1;
    assert_eq!(list.as_array().unwrap().len(), 1);

    let mut reader = Client::y(&served.ws(), &id).await;
    let title = crdt::doc::title(&yrs::Transact::transact(reader.replica.doc()));
    assert_eq!(title.as_deref(), Some("New plan"), "the title is in the document");
    assert_eq!(served.api("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(
        reader.until_closed().await.map(|frame| u16::from(frame.code)),
        Some(4404)
    );
    for _ in 0..2 {
        let (status, gone) = served.api("GET", &path, Value::Null).await;
        assert_eq!((status, &gone["code"]), (404, &json!("deleted")));
        // Who had it open comes again with their copy: it stays deleted.
        let denied = Client::hocuspocus_with(&served.ws(), &id, "", crdt::Replica::new(1))
            .await
            .unwrap()
            .denied
            .unwrap();
        assert!(denied.contains("has been deleted"), "{denied}");
    }
    assert_eq!(served.api("GET", "/documents", Value::Null).await.1, json!([]));
}

#[tokio::test]
async fn a_rename_meets_those_who_have_it_open() {
    let served = Served::start(config()).await;
    let made = served.api("POST", "/documents", Value::Null).await.1;
    let id = made["id"].as_str().unwrap();
    let mut reader = Client::y(&served.ws(), id).await;
    served
        .api("PATCH", &format!("/documents/{id}"), json!({"title": "Über"}))
        .await;
    let title = |client: &Client| crdt::doc::title(&yrs::Transact::transact(client.replica.doc()));
    reader
        .until("the new title", |client| title(client).as_deref() == Some("Über"))
        .await;

    // And the other way: the list follows what somebody types as the title.
    let meta = crdt::doc::meta(reader.replica.doc());
    crdt::doc::set_title(
        &meta,
        &mut yrs::Transact::transact_mut(reader.replica.doc()),
        "Typed",
    );
    reader.flush().await.unwrap();
    crate::relay::eventually("the list follows", || async {
        served.api("GET", "/documents", Value::Null).await.1[0]["title"] == "Typed"
    })
    .await;
}

#[tokio::test]
async fn markdown_goes_in_and_comes_out() {
    let served = Served::start(config()).await;
    let text = "# Aims\n\nWrite *well*, together.\n\n- one\n- two\n";
    let (status, made) = served
        .api("POST", "/documents/import", json!({"markdown": text}))
        .await;
    assert_eq!((status, &made["title"]), (201, &json!("Aims")));
    let path = format!("/documents/{}/markdown", made["id"].as_str().unwrap());
    let answer = served.relay.api("GET", &path, Default::default()).await;
    assert_eq!(answer.content_type, "text/markdown; charset=utf-8");
    assert_eq!(String::from_utf8(answer.body.to_vec()).unwrap(), text);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_words() {
    let served = Served::start(config()).await;
    let cases = [
        (
            "GET",
            "/documents/unknown",
            Value::Null,
            404,
            "not_found",
            "there is no document unknown",
        ),
        (
            "GET",
            "/documents/unknown/markdown",
            Value::Null,
            404,
            "not_found",
            "there is no document unknown",
        ),
        (
            "DELETE",
            "/documents/unknown",
            Value::Null,
            404,
            "not_found",
            "there is no document unknown",
        ),
        (
            "PATCH",
            "/documents/unknown",
            json!({"title": "x"}),
            404,
            "not_found",
            "there is no document unknown",
        ),
        (
            "PATCH",
            "/documents/unknown",
            json!({}),
            400,
            "bad_request",
            "title",
        ),
        (
            "POST",
            "/documents/import",
            json!({"title": "x"}),
            400,
            "bad_request",
            "markdown",
        ),
        (
            "POST",
            "/documents",
            json!({"title": 7}),
            400,
            "bad_request",
            "JSON",
        ),
        (
            "POST",
            "/links",
            json!({"url": "nonsense"}),
            400,
            "bad_request",
            "not the link of a document",
        ),
        (
            "POST",
            "/links",
            json!({"url": "ftp://host/#/d/x"}),
            400,
            "bad_request",
            "http:// or https://",
        ),
        (
            "GET",
            "/documents/a%0Ab",
            Value::Null,
            400,
            "bad_request",
            "control characters",
        ),
        ("GET", "/nothing", Value::Null, 404, "not_found", "no such call"),
        ("PUT", "/documents", Value::Null, 404, "not_found", "no such call"),
    ];
    for (method, path, body, status, code, words) in cases {
        let (got, answer) = served.api(method, path, body).await;
        assert_eq!(
            (got, answer["code"].as_str()),
            (status, Some(code)),
            "{method} {path}: {answer}"
        );
        assert!(
            answer["message"].as_str().unwrap().contains(words),
            "{method} {path}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_server_is_not_linked_to_itself() {
    let served = Served::start(config()).await;
    let own = format!("http://127.0.0.1:{}/#/d/x", served.port);
    let (status, answer) = served.api("POST", "/links", json!({"url": own})).await;
    assert_eq!(status, 400);
    assert!(
        answer["message"].as_str().unwrap().contains("this server itself"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_status_says_how_it_is() {
    let served = Served::start(config()).await;
    let status = served.api("GET", "/status", Value::Null).await.1;
    assert_eq!(
        (&status["role"], &status["storage"]),
        (&json!("owner"), &json!({"ok": true}))
    );
    assert_eq!(status["models"], json!([]));
    assert_eq!(status["listening"], format!("127.0.0.1:{}", served.port));
    let model = sync_server::ModelStatus {
        name: "Tiny".into(),
        context_length: 2048,
        ..Default::default()
    };
    served.relay.set_models(vec![model]);
    served.relay.set_model_problem(Some("no runtime".into()));
    let status = served.api("GET", "/status", Value::Null).await.1;
    assert_eq!(status["models"][0]["contextLength"], 2048);
    assert_eq!(status["modelProblem"], "no runtime");
}
