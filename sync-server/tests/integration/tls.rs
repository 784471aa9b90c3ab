//! TLS: pages, sockets, links between servers, and a certificate that nobody vouches for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use sync_server::fetch::{Request, fetch};
use sync_server::{Relay, serve_with, tls};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use crate::client::{Client, PATIENCE};
use crate::relay::{Served, config, eventually};

/// A server with a certificate of its own for `localhost`; its files.
struct Encrypted {
    port: u16,
    relay: Relay,
    authority: PathBuf,
    folder: tempfile::TempDir,
}

async fn start() -> Encrypted {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certify(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = Relay::open(config()).await.unwrap();
    let served = relay.clone();
    let shown = tls::server(&certificate, &key).unwrap();
    tokio::spawn(async move { serve_with(served, listener, Some(shown), std::future::pending()).await });
    Encrypted {
        port,
        relay,
        authority: certificate,
        folder,
    }
}

/// Writes a new certificate for `localhost` and its key.
fn certify(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    write(&certificate, &made.cert.pem());
    write(&key, &made.signing_key.serialize_pem());
    (certificate, key)
}

fn write(path: &Path, text: &str) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
}

async fn status(port: u16, trust: &Arc<rustls::ClientConfig>) -> Result<u16, String> {
    let url = format!("https://localhost:{port}/api/v1/status");
    let request = Request {
        method: "GET",
        url: &url,
        bearer: None,
        body: None,
        max_answer: 1 << 20,
        within: PATIENCE,
    };
    let answer = fetch(&request, trust).await.map_err(|error| error.to_string())?;
    Ok(answer.status)
}

#[tokio::test]
async fn pages_and_sockets_are_encrypted_and_a_slow_visitor_holds_nobody_up() {
    let server = start().await;
    // Never says anything.
    let _slow = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let trust = tls::client(Some(&server.authority)).unwrap();
    assert_eq!(status(server.port, &trust).await, Ok(200));
    let stranger = tls::client(None).unwrap();
    let refused = status(server.port, &stranger).await.unwrap_err();
    assert!(
        refused.contains("UnknownIssuer") || refused.contains("certificate"),
        "{refused}"
    );
    let url = format!("wss://localhost:{}/y/plan", server.port);
    let connector = Some(Connector::Rustls(trust));
    let (socket, _) = connect_async_tls_with_config(url, None, true, connector)
        .await
        .unwrap();
    let mut client = Client::over(socket).await;
    client.until("synced", |client| client.replica.is_synced()).await;
    client.write("secret").await.unwrap();
    eventually("it is there", || async {
        let answer = server.relay.api("GET", "/documents", bytes::Bytes::new()).await;
        String::from_utf8_lossy(&answer.body).contains("plan")
    })
    .await;
    // A link shows the address as its maker sees it.
    let doc = "/documents/plan/shares";
    let share = server
        .relay
        .api("POST", doc, json!({"role": "viewer"}).to_string().into())
        .await;
    assert!(
        String::from_utf8_lossy(&share.body).contains("\"url\":\"https://127.0.0.1:"),
        "{share:?}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let server = start().await;
    let kept = server.folder.path().join("kept.pem");
    std::fs::copy(&server.authority, &kept).unwrap();
    // A client of its own each time: it would go on with an encryption that was agreed on before.
    let before = || tls::client(Some(&kept)).unwrap();
    assert_eq!(status(server.port, &before()).await, Ok(200));
    let (renewed, _) = certify(server.folder.path());
    let after = tls::client(Some(&renewed)).unwrap();
    eventually("whoever trusts the new one is served", || async {
        status(server.port, &after).await == Ok(200)
    })
    .await;
    assert!(
        status(server.port, &before()).await.is_err(),
        "the old one is gone"
    );
}

#[tokio::test]
async fn documents_are_linked_over_tls_to_servers_that_are_trusted() {
    let server = start().await;
    let (_, made) = {
        let answer = server
            .relay
            .api(
                "POST",
                "/documents",
                json!({"title": "Shared"}).to_string().into(),
            )
            .await;
        (
            answer.status,
            serde_json::from_slice::<Value>(&answer.body).unwrap(),
        )
    };
    let id = made["id"].as_str().unwrap();
    let url = format!("https://localhost:{}/#/d/{id}", server.port);
    let state = |served: Served| async move {
        assert_eq!(served.api("POST", "/links", json!({"url": url})).await.0, 201);
        served
    };
    let mut trusting = config();
    trusting.authorities = Some(server.authority.clone());
    let desktop = state.clone()(Served::start(trusting).await).await;
    eventually("linked", || async {
        desktop.api("GET", "/documents", Value::Null).await.1[0]["linkState"] == "connected"
    })
    .await;
    let mut here = Client::hocuspocus(&desktop.ws(), id, "").await;
    here.write("over TLS").await.unwrap();
    eventually("it arrives", || async {
        let path = format!("/documents/{id}");
        let answer = server.relay.api("GET", &path, bytes::Bytes::new()).await;
        let row: Value = serde_json::from_slice(&answer.body).unwrap();
        row["updatedAt"] != row["createdAt"]
    })
    .await;
    // Without its certificate the server is not trusted, and nothing is sent.
    let other = state(Served::start(config()).await).await;
    let mut alone = Client::hocuspocus(&other.ws(), id, "").await;
    alone.write("kept here").await.unwrap();
    alone.until("saved", |client| client.saved == 2).await;
    assert_eq!(
        other.api("GET", "/documents", Value::Null).await.1[0]["linkState"],
        "offline"
    );
}

#[test]
fn files_that_are_no_certificates_are_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pem");
    write(&path, "nothing");
    let missing = folder.path().join("missing.pem");
    for error in [
        tls::server(&path, &path).unwrap_err(),
        tls::server(&missing, &path).unwrap_err(),
        tls::client(Some(&path)).unwrap_err(),
    ] {
        assert!(error.to_string().contains(".pem cannot be used"), "{error}");
    }
}
