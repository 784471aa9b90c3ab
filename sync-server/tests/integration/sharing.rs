//! Share links and members: made, listed, changed and taken away over REST, and what open connections see of it.

use crdt::Replica;
use crdt::protocol::hocuspocus::Scope;
use serde_json::{Value, json};
use sync_server::fetch::{Request, fetch};
use sync_server::{StorePath, clock, tls};
use tokio_tungstenite::tungstenite;

use crate::client::{Client, PATIENCE};
use crate::process::run_to_end;
use crate::relay::Served;
use crate::tokens::{guarded, token};

/// A request with a key, as anybody would send it.
pub(crate) async fn ask(served: &Served, method: &str, path: &str, key: &str, body: Value) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{}/api/v1{path}", served.port);
    let body = (!body.is_null()).then(|| body.to_string());
    let request = Request {
        method,
        url: &url,
        bearer: Some(key),
        body: body.as_deref(),
        max_answer: 1 << 20,
        within: PATIENCE,
    };
    let answer = fetch(&request, &tls::client(None).unwrap()).await.unwrap();
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

async fn document(served: &Served) -> String {
    let (status, made) = served.api("POST", "/documents", json!({"title": "Plan"})).await;
    assert_eq!(status, 201);
    made["id"].as_str().unwrap().to_owned()
}

fn key_of(share: &Value) -> String {
    share["url"]
        .as_str()
        .unwrap()
        .split_once("?key=")
        .unwrap()
        .1
        .to_owned()
}

#[tokio::test]
async fn a_link_opens_one_document_until_it_is_revoked_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = guarded();
    settings.store = StorePath::Sqlite(folder.path().join("store.sqlite"));
    settings.access.secret = None; // the store's own
    let served = Served::start(settings.clone()).await;
    let doc = document(&served).await;
    let other = document(&served).await;
    let path = format!("/documents/{doc}/shares");
    let (status, share) = ask(
        &served,
        "POST",
        &path,
        "own",
        json!({"role": "editor", "label": "team"}),
    )
    .await;
    assert_eq!((status, &share["role"]), (201, &json!("editor")));
    let port = served.port;
    assert!(
        share["url"]
            .as_str()
            .unwrap()
            .starts_with(&format!("http://127.0.0.1:{port}/#/d/{doc}?key=share."))
    );
    let key = key_of(&share);

    // It shows one document, and is no key to anything else.
    let (_, list) = ask(&served, "GET", "/documents", &key, Value::Null).await;
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["id"], doc.as_str());
    for (method, path, status) in [
        ("GET", format!("/documents/{doc}"), 200),
        ("GET", format!("/documents/{other}"), 403),
        ("GET", format!("/documents/{other}/markdown"), 403),
        ("POST", "/documents".to_owned(), 403),
        ("POST", "/tokens".to_owned(), 403),
        ("DELETE", format!("/documents/{doc}"), 403),
        ("GET", format!("/documents/{doc}/shares"), 403),
        ("GET", format!("/documents/{doc}/members"), 403),
    ] {
        assert_eq!(
            ask(&served, method, &path, &key, Value::Null).await.0,
            status,
            "{method} {path}"
        );
    }
    let mut hocuspocus = Client::hocuspocus(
        &served.ws(),
        &doc,
        &json!({"key": key, "user": {"id": "user:ada", "name": "Ada"}}).to_string(),
    )
    .await;
    let id = share["id"].as_str().unwrap();
    assert_eq!(hocuspocus.stateless[0]["peer"], format!("share:{id}/user:ada"));
    hocuspocus.write("shared").await.unwrap();
    hocuspocus.until("saved", |client| client.saved == 2).await;
    let mut y = Client::y(&served.ws(), &format!("{doc}?key={key}")).await;
    y.until("the text", |client| client.text() == "shared").await;
    let refused = Client::hocuspocus_with(&served.ws(), &other, &key, Replica::new(1))
        .await
        .unwrap();
    assert!(refused.denied.unwrap().contains("does not open this document"));

    drop((hocuspocus, y));
    served.stop().await;
    let served = Served::start(settings).await;
    let mut hocuspocus = Client::hocuspocus(&served.ws(), &doc, &key).await;
    let mut y = Client::y(&served.ws(), &format!("{doc}?key={key}")).await;
    let (_, list) = ask(&served, "GET", &path, "own", Value::Null).await;
    assert_eq!(
        (&list[0]["id"], &list[0]["label"], key_of(&list[0])),
        (&share["id"], &json!("team"), key.clone())
    );
    let revoke = format!("{path}/{id}");
    assert_eq!(ask(&served, "DELETE", &revoke, "own", Value::Null).await.0, 204);
    assert_eq!(ask(&served, "DELETE", &revoke, "own", Value::Null).await.0, 404);
    let closed = y.until_closed().await.unwrap();
    assert_eq!(
        (u16::from(closed.code), closed.reason.contains("revoked")),
        (4403, true)
    );
    hocuspocus
        .until("it is told", |client| client.denied.is_some())
        .await;
    assert!(hocuspocus.denied.unwrap().contains("revoked"));
    match Client::y_with(&served.ws(), &format!("{doc}?key={key}"), Replica::new(1)).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 403),
        _ => panic!("a revoked link opens the document"),
    }
}

#[tokio::test]
async fn a_link_ends_when_its_time_is_over() {
    let served = Served::start(guarded()).await;
    let doc = document(&served).await;
    let path = format!("/documents/{doc}/shares");
    let over = json!({"role": "viewer", "expiresAt": clock::now().0 - 1});
    assert_eq!(ask(&served, "POST", &path, "own", over).await.0, 400);
    let soon = json!({"role": "viewer", "expiresAt": clock::now().0 + 1500});
    let (_, share) = ask(&served, "POST", &path, "own", soon).await;
    let mut y = Client::y(&served.ws(), &format!("{doc}?key={}", key_of(&share))).await;
    let closed = y.until_closed().await.unwrap();
    assert_eq!(
        (u16::from(closed.code), closed.reason.contains("expired")),
        (4403, true)
    );
    assert_eq!(ask(&served, "GET", &path, "own", Value::Null).await.1, json!([]));
}

#[tokio::test]
async fn what_an_owner_sets_for_somebody_holds_at_once() {
    let served = Served::start(guarded()).await;
    let doc = document(&served).await;
    let path = |sub: &str| format!("/documents/{doc}/members/{sub}");
    let ada = token("ada", &doc, "editor");
    let mut body = Client::hocuspocus(&served.ws(), &doc, &ada).await;
    let mut margin = Client::y(&served.ws(), &format!("{doc}~margin?key={ada}")).await;
    body.write("one ").await.unwrap();
    body.until("saved", |client| client.saved == 2).await;

    assert_eq!(
        ask(&served, "PUT", &path("ada"), &ada, json!({"role": "owner"}))
            .await
            .0,
        403,
        "not by herself"
    );
    let (status, set) = ask(&served, "PUT", &path("ada"), "own", json!({"role": "suggester"})).await;
    assert_eq!((status, &set["role"]), (200, &json!("suggester")));
    body.until("read-only", |client| client.scope == Some(Scope::ReadOnly))
        .await;
    body.write("two ").await.unwrap();
    body.until("refused", |client| client.refused == 1).await;
    margin.write("in the margin").await.unwrap();

    // More again: what was refused meanwhile is asked for and arrives.
    ask(
        &served,
        "PUT",
        &path("ada"),
        "own",
        json!({"role": "owner", "margin": "viewer"}),
    )
    .await;
    let mut reader = Client::hocuspocus(&served.ws(), &doc, "own").await;
    let answered = async {
        while reader.text() != "one two " {
            tokio::select! {
                step = body.step() => step.unwrap(),
                step = reader.step() => step.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("what was refused never arrives");
    margin.write("not any more").await.unwrap();
    margin
        .until("refused in the margin", |client| client.denied.is_some())
        .await;
    // Shut out, whatever the token says.
    ask(&served, "PUT", &path("ada"), "own", json!({"role": "none"})).await;
    let closed = margin.until_closed().await.unwrap();
    assert_eq!(
        (
            u16::from(closed.code),
            closed.reason.contains("taken your access away")
        ),
        (4403, true)
    );
    body.until("told", |client| client.denied.is_some()).await;
    assert_eq!(
        ask(&served, "DELETE", &path("ada"), "own", Value::Null).await.0,
        204
    );
    Client::hocuspocus(&served.ws(), &doc, &ada).await;
    for bad in [json!({"role": "king"}), json!({}), json!("x")] {
        assert_eq!(
            ask(&served, "PUT", &path("ada"), "own", bad.clone()).await.0,
            400,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn an_owner_lets_people_in_who_share_in_turn() {
    let served = Served::start(guarded()).await;
    let doc = document(&served).await;
    let path = |sub: &str| format!("/documents/{doc}/members/{sub}");
    let ada = token("ada", &doc, "editor");
    ask(&served, "PUT", &path("ada"), "own", json!({"role": "owner"})).await;
    // As an owner she may share, too.
    let (status, _) = ask(
        &served,
        "POST",
        &format!("/documents/{doc}/shares"),
        &ada,
        json!({"role": "viewer"}),
    )
    .await;
    assert_eq!(status, 201);
    // Somebody whose token opens nothing by itself.
    let guest = crate::tokens::signed(&json!({"sub": "gil", "exp": clock::now().0 / 1000 + 60}));
    assert_eq!(
        ask(&served, "GET", &format!("/documents/{doc}"), &guest, Value::Null)
            .await
            .0,
        403
    );
    ask(&served, "PUT", &path("gil"), "own", json!({"role": "viewer"})).await;
    assert_eq!(
        ask(&served, "GET", &format!("/documents/{doc}"), &guest, Value::Null)
            .await
            .0,
        200
    );

    let (_, members) = ask(
        &served,
        "GET",
        &format!("/documents/{doc}/members"),
        "own",
        Value::Null,
    )
    .await;
    let names: Vec<_> = members
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["sub"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ada", "gil"]);
}

#[tokio::test]
async fn who_makes_a_document_with_a_token_owns_it() {
    let served = Served::start(guarded()).await;
    let ada = token("ada", "*", "editor");
    let (status, made) = ask(&served, "POST", "/documents", &ada, json!({"title": "Hers"})).await;
    assert_eq!(status, 201);
    let path = format!("/documents/{}/members/bob", made["id"].as_str().unwrap());
    assert_eq!(
        ask(&served, "PUT", &path, &ada, json!({"role": "editor"}))
            .await
            .0,
        200
    );
    let theirs = format!("/documents/{}/members/bob", document(&served).await);
    assert_eq!(
        ask(&served, "PUT", &theirs, &ada, json!({"role": "editor"}))
            .await
            .0,
        403
    );
}

/// The commands of the program, against a relay in this process.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_makes_tokens_and_links() {
    let served = Served::start(guarded()).await;
    let doc = document(&served).await;
    let server = format!("http://127.0.0.1:{}", served.port);
    let run = |args: &[&str]| {
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.extend(["--server".to_owned(), server.clone()]);
        async move {
            tokio::task::spawn_blocking(move || {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                run_to_end(&args)
            })
            .await
            .unwrap()
        }
    };
    let made = run(&[
        "token", "--key", "own", "--sub", "ada", "--doc", &doc, "--role", "editor",
    ])
    .await;
    assert_eq!(made.0, 0, "{}", made.1);
    Client::hocuspocus(&served.ws(), &doc, made.1.trim()).await;
    let (code, link) = run(&[
        "share",
        "--key",
        "own",
        "--doc",
        &doc,
        "--role",
        "viewer",
        "--expires-in",
        "1h",
    ])
    .await;
    assert!(code == 0 && link.contains("?key=share."), "{link}");
    let (_, list) = run(&["share", "--key", "own", "--doc", &doc, "--list"]).await;
    let id = list.split('\t').next().unwrap().to_owned();
    assert!(list.contains(link.trim()), "{list}");
    let (code, said) = run(&["share", "--key", "own", "--doc", &doc, "--revoke", &id]).await;
    assert!(code == 0 && said.contains("Revoked"), "{said}");
    let (code, said) = run(&["share", "--key", "wrong", "--doc", &doc, "--list"]).await;
    assert!(code == 2 && said.contains("does not open anything"), "{said}");
    // With the secret at hand nobody is asked.
    let (_, own) = run(&[
        "token",
        "--secret",
        crate::tokens::SECRET,
        "--sub",
        "a",
        "--doc",
        "*",
        "--role",
        "owner",
    ])
    .await;
    assert_eq!(
        ask(&served, "GET", "/documents", own.trim(), Value::Null).await.0,
        200
    );
}
