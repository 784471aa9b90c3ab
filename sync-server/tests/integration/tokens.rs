//! Tokens over real sockets: who signs them, what they open, and what becomes of a connection when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use crdt::protocol::hocuspocus::{HocusMessage, Scope};
use crdt::{Replica, Role};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sync_server::access::{JwtKey, NewToken};
use sync_server::{RelayConfig, clock};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite;

use crate::client::Client;
use crate::relay::{Served, config};

pub(crate) const SECRET: &str = "a secret of the tests, long enough";

/// A relay that asks for a token, also from this machine.
pub(crate) fn guarded() -> RelayConfig {
    let mut settings = config();
    settings.access.open_to_local = false;
    settings.access.keys = vec![("own".into(), Role::Owner)];
    settings.access.secret = Some(SECRET.into());
    settings
}

/// Seconds since 1970, `seconds` from now.
fn at(seconds: i64) -> i64 {
    i64::try_from(clock::now().0 / 1000).unwrap() + seconds
}

/// A token with these claims, signed by the server's secret.
pub(crate) fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

/// A token for one document.
pub(crate) fn token(sub: &str, doc: &str, role: &str) -> String {
    signed(&json!({"sub": sub, "exp": at(3600), "inkling": {"doc": doc, "role": role}}))
}

async fn denied(served: &Served, doc: &str, token: &str) -> Option<String> {
    let client = Client::hocuspocus_with(&served.ws(), doc, token, Replica::new(1))
        .await
        .unwrap();
    client.denied
}

/// HTTP status with which `/y` refuses.
async fn y_status(served: &Served, path: &str) -> Option<u16> {
    match Client::y_with(&served.ws(), path, Replica::new(1)).await {
        Err(tungstenite::Error::Http(answer)) => Some(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

#[tokio::test]
async fn a_token_opens_what_it_names_as_whom_it_names() {
    let served = Served::start(guarded()).await;
    let mut ada = Client::hocuspocus(
        &served.ws(),
        "plan",
        &json!({"key": token("ada", "plan", "editor"), "user": {"id": "user:bob", "name": "Bob"}})
            .to_string(),
    )
    .await;
    assert_eq!(
        ada.stateless[0]["peer"], "user:ada",
        "the id is the token's, not the client's"
    );
    assert_eq!(ada.scope, Some(Scope::ReadWrite));
    ada.write("x").await.unwrap();
    ada.until("saved", |client| client.saved == 2).await;
    assert!(
        denied(&served, "other", &token("ada", "plan", "editor"))
            .await
            .unwrap()
            .contains("does not open")
    );
    assert_eq!(
        y_status(&served, &format!("other?key={}", token("ada", "plan", "editor"))).await,
        Some(403)
    );
    assert_eq!(
        y_status(&served, &format!("plan?key={}", token("ada", "plan", "viewer"))).await,
        None
    );
    assert_eq!(
        y_status(
            &served,
            &format!("plan~margin?key={}", token("ada", "plan", "viewer"))
        )
        .await,
        None
    );

    // A role for each document, for all others, and for the margin.
    let many = signed(&json!({
        "sub": "cai", "exp": at(60), "name": "Cai",
        "inkling": {"doc": "*", "role": "viewer", "margin": "suggester"},
        "docs": {"plan": "suggester", "notes": {"role": "editor", "margin": "viewer"}},
    }));
    let role = |doc: &'static str, many: String| {
        let ws = served.ws();
        async move {
            let client = Client::hocuspocus_with(&ws, doc, &many, Replica::new(rand::random()))
                .await
                .unwrap();
            client.scope
        }
    };
    let mut notes = Client::hocuspocus(&served.ws(), "notes", "own").await;
    notes.write("here").await.unwrap();
    notes.until("saved", |client| client.saved == 2).await;
    assert_eq!(role("plan", many.clone()).await, Some(Scope::ReadOnly));
    assert_eq!(role("plan~margin", many.clone()).await, Some(Scope::ReadWrite));
    assert_eq!(role("notes", many.clone()).await, Some(Scope::ReadWrite));
    assert_eq!(role("notes~margin", many.clone()).await, Some(Scope::ReadOnly));
    // In a token's kind, an AI is at most a suggester.
    let ai = json!({"key": token("bot", "plan", "owner"), "kind": "ai", "user": {"id": "ai-1", "name": "M"}});
    let client = Client::hocuspocus(&served.ws(), "plan", &ai.to_string()).await;
    assert_eq!(
        (&client.stateless[0]["role"], &client.stateless[0]["peer"]),
        (&json!("suggester"), &json!("user:bot/ai-1"))
    );
}

#[tokio::test]
async fn tokens_that_do_not_count_are_refused_with_words() {
    let mut settings = guarded();
    settings.access.jwt.issuer = Some("https://id.example".into());
    settings.access.jwt.audience = Some("inkling".into());
    let served = Served::start(settings).await;
    let good = json!({
        "sub": "ada", "exp": at(60), "iss": "https://id.example", "aud": ["wiki", "inkling"],
        "inkling": {"doc": "*", "role": "editor"},
    });
    assert_eq!(denied(&served, "plan", &signed(&good)).await, None);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&claims)
    };
    let forged = {
        let key = EncodingKey::from_secret(b"another secret of the tests, long enough");
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good, &key).unwrap()
    };
    let none = {
        let part = |json: Value| BASE64.encode(json.to_string());
        format!(
            "{}.{}.",
            part(json!({"alg": "none", "typ": "JWT"})),
            part(good.clone())
        )
    };
    for (token, words) in [
        (forged, "no key of this server"),
        (none, "cannot be read"),
        (with("exp", json!(at(-1))), "has expired"),
        (with("nbf", json!(at(3600))), "does not count yet"),
        (with("sub", json!("")), "`sub`"),
        (with("sub", json!("x".repeat(300))), "`sub`"),
        (with("iss", json!("https://evil.example")), "issuer"),
        (with("aud", json!("wiki")), "audience"),
        (with("exp", json!("soon")), "what it says"),
        (
            with("inkling", json!({"doc": "*", "role": "king"})),
            "what it says",
        ),
        (with("inkling", Value::Null), "does not open this document"),
        (format!("eyJ{}.x.y", "A".repeat(20_000)), "too long"),
    ] {
        let said = denied(&served, "plan", &token).await;
        assert!(
            said.as_deref().is_some_and(|said| said.contains(words)),
            "{words}: {said:?}"
        );
        let status = y_status(&served, &format!("plan?key={token}")).await;
        assert!(
            matches!(status, Some(401 | 403 | 414 | 431)),
            "{words}: {status:?}"
        );
    }
}

#[tokio::test]
async fn a_public_key_that_the_owner_gave_counts_for_its_own_kind_of_signature_only() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut settings = guarded();
    settings.access.jwt.keys = vec![JwtKey::parse(Some("k1".into()), &pair.public_key_pem()).unwrap()];
    let served = Served::start(settings).await;
    let claims = json!({"sub": "ada", "exp": at(60), "inkling": {"doc": "plan", "role": "editor"}});
    let sign = |kid: Option<&str>, algorithm, key: &EncodingKey| {
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, &claims, key).unwrap()
    };
    let private = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    for kid in [Some("k1"), None] {
        assert_eq!(
            denied(&served, "plan", &sign(kid, Algorithm::EdDSA, &private)).await,
            None
        );
    }
    let other = sign(Some("k2"), Algorithm::EdDSA, &private);
    assert!(
        denied(&served, "plan", &other).await.is_some(),
        "another key's name"
    );
    // The public key is no secret: a token that is signed with it as one is nobody's.
    for public in [pair.public_key_pem().into_bytes(), pair.public_key_raw().to_vec()] {
        let confused = sign(Some("k1"), Algorithm::HS256, &EncodingKey::from_secret(&public));
        assert!(
            denied(&served, "plan", &confused)
                .await
                .unwrap()
                .contains("no key"),
            "{public:?}"
        );
    }
}

#[tokio::test]
async fn keys_at_an_address_are_fetched_once_and_again_at_most_once_a_minute() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let x = BASE64.encode(pair.public_key_raw());
    let set = json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1", "alg": "EdDSA", "use": "sig"},
        {"kty": "oct", "k": BASE64.encode("a secret that stands at an address"), "kid": "k3"},
    ]});
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let keys = Router::new().route(
        "/keys",
        get(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let set = set.clone();
            async move { Json(set) }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, keys).await });
    let mut settings = guarded();
    settings.access.jwt.jwks = Some(url);
    let served = Served::start(settings).await;
    assert_eq!(
        denied(&served, "plan", &token("ada", "plan", "editor")).await,
        None
    );
    assert_eq!(
        asked.load(Ordering::SeqCst),
        0,
        "the server's own tokens need nobody"
    );
    let sign = |kid: &str, algorithm, key: &EncodingKey| {
        let header = Header {
            kid: Some(kid.into()),
            ..Header::new(algorithm)
        };
        let claims = json!({"sub": "ada", "exp": at(60), "inkling": {"doc": "plan", "role": "editor"}});
        jsonwebtoken::encode(&header, &claims, key).unwrap()
    };
    let private = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
    for _ in 0..3 {
        assert_eq!(
            denied(&served, "plan", &sign("k1", Algorithm::EdDSA, &private)).await,
            None
        );
    }
    for n in 0..5 {
        let unknown = sign(&format!("unknown {n}"), Algorithm::EdDSA, &private);
        assert!(
            denied(&served, "plan", &unknown)
                .await
                .unwrap()
                .contains("no key")
        );
    }
    let shared = EncodingKey::from_secret(b"a secret that stands at an address");
    assert!(
        denied(&served, "plan", &sign("k3", Algorithm::HS256, &shared))
            .await
            .is_some()
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_that_ends_ends_its_connection_unless_a_new_one_comes() {
    let served = Served::start(guarded()).await;
    let short = |sub: &str| {
        let new = NewToken {
            sub: sub.into(),
            name: None,
            doc: "plan".into(),
            role: Role::Editor,
            margin: None,
            expires_in: 2,
        };
        new.sign(SECRET, None, None, clock::now()).unwrap()
    };
    let mut renewing = Client::hocuspocus(&served.ws(), "plan", &short("ada")).await;
    let mut ending = Client::hocuspocus(&served.ws(), "plan", &short("bob")).await;
    let mut y = Client::y(&served.ws(), &format!("plan?key={}", short("cai"))).await;
    renewing
        .until("it is asked for a new token", |client| client.token_requests == 1)
        .await;
    let new = token("ada", "plan", "suggester");
    renewing.scope = None;
    renewing
        .say(HocusMessage::Token {
            token: new,
            version: None,
        })
        .await
        .unwrap();
    renewing
        .until("the new token's role", |client| {
            client.scope == Some(Scope::ReadOnly)
        })
        .await;
    ending
        .until("it is sent away", |client| client.denied.is_some())
        .await;
    assert!(ending.denied.unwrap().contains("has expired"));
    let closed = y.until_closed().await.unwrap();
    assert_eq!(
        (u16::from(closed.code), closed.reason.contains("has expired")),
        (4401, true)
    );
    // The one with the new token is still there, and nobody else's token is taken on its connection.
    renewing
        .say(HocusMessage::Token {
            token: token("mallory", "plan", "owner"),
            version: None,
        })
        .await
        .unwrap();
    renewing.until("refused", |client| client.denied.is_some()).await;
    assert!(renewing.denied.unwrap().contains("somebody else's"));
}

/// One connection is opened as an AI and shown another token without saying so.
#[tokio::test]
async fn an_ai_does_not_become_more_by_a_second_token() {
    let served = Served::start(guarded()).await;
    // Suggesters make no documents.
    let mut owner = Client::hocuspocus(&served.ws(), "plan", "own").await;
    owner.write("here").await.unwrap();
    owner.until("saved", |client| client.saved == 2).await;
    let user = json!({"id": "u", "name": "U"});
    let ai = json!({"key": "own", "kind": "ai", "user": user}).to_string();
    let mut client = Client::hocuspocus(&served.ws(), "plan", &ai).await;
    assert_eq!(client.stateless[0]["role"], "suggester");
    client.scope = None;
    let person = json!({"key": "own", "user": user}).to_string();
    client
        .say(HocusMessage::Token {
            token: person,
            version: None,
        })
        .await
        .unwrap();
    client
        .until("an answer", |client| {
            client.scope.is_some() || client.denied.is_some()
        })
        .await;
    assert!(client.denied.is_some() && client.scope.is_none());
    client.write("x").await.unwrap();
    let mut later = Client::hocuspocus(&served.ws(), "plan", "own").await;
    later
        .until("what the owner wrote", |client| client.text() == "here")
        .await;
    later.write("!").await.unwrap();
    owner
        .until("nothing of the AI's", |client| client.text() == "here!")
        .await;
}
