//! Who is let in over HTTP, and what every answer carries.

use crdt::{Replica, Role};
use serde_json::json;
use sync_server::{Access, RelayConfig, ServeError, UiSource, serve};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite;

use crate::client::Client;
use crate::relay::{Served, config};

/// One HTTP request with headers of our choice; the whole answer as text.
async fn request(port: u16, method: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let host = if headers.to_lowercase().contains("host:") {
        String::new()
    } else {
        format!("Host: 127.0.0.1:{port}\r\n")
    };
    let connection = if headers.to_lowercase().contains("connection:") {
        ""
    } else {
        "Connection: close\r\n"
    };
    let text = format!("{method} {path} HTTP/1.1\r\n{host}{headers}{connection}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer that may be the beginning of a long connection.
async fn first_line(port: u16, path: &str, headers: &str) -> u16 {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut stream = BufReader::new(stream);
    let text = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn with_keys() -> RelayConfig {
    let mut settings = config();
    settings.access = Access {
        keys: vec![("own".into(), Role::Owner), ("look".into(), Role::Viewer)],
        ..Access::default()
    };
    settings
}

#[tokio::test]
async fn keys_open_what_their_role_allows() {
    let served = Served::start(with_keys()).await;
    let port = served.port;
    let status = |answer: &str| answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    let none = request(port, "GET", "/api/v1/documents", "").await;
    assert_eq!(status(&none), 401);
    assert!(none.contains("asks for a key"), "{none}");
    assert_eq!(
        status(&request(port, "GET", "/api/v1/documents?key=wrong", "").await),
        401
    );
    assert_eq!(
        status(&request(port, "GET", "/api/v1/documents?key=look", "").await),
        200
    );
    assert_eq!(
        status(&request(port, "GET", "/api/v1/documents", "Authorization: Bearer own\r\n").await),
        200
    );
    let refused = request(
        port,
        "POST",
        "/api/v1/documents?key=look",
        "Content-Length: 0\r\n",
    )
    .await;
    assert_eq!(status(&refused), 403);
    assert!(refused.contains("takes the role of editor"), "{refused}");
    assert_eq!(
        status(&request(port, "POST", "/api/v1/documents?key=own", "Content-Length: 0\r\n").await),
        201
    );
    let less = request(
        port,
        "POST",
        "/api/v1/documents?key=own&role=viewer",
        "Content-Length: 0\r\n",
    )
    .await;
    assert_eq!(status(&less), 403);

    for path in ["plan", "plan?key=wrong"] {
        match Client::y_with(&served.ws(), path, Replica::new(1)).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 401),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{path} was let in"),
        }
    }
    let denied = Client::hocuspocus_with(&served.ws(), "plan", "wrong", Replica::new(1))
        .await
        .unwrap();
    assert!(denied.denied.unwrap().contains("does not open anything"));
    let token = json!({"key": "own", "user": {"id": "u", "name": "U"}}).to_string();
    let mut owner = Client::hocuspocus(&served.ws(), "plan", &token).await;
    owner.write("x").await.unwrap();
    owner.until("saved", |client| client.saved == 2).await;
    Client::hocuspocus(&served.ws(), "plan", "own").await;
}

#[tokio::test]
async fn other_web_pages_and_rebound_names_are_refused() {
    let served = Served::start(config()).await;
    let port = served.port;
    let get = |headers: String| async move { request(port, "GET", "/api/v1/documents", &headers).await };
    assert!(
        get(format!("Origin: http://127.0.0.1:{port}\r\n"))
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get("Origin: https://evil.example\r\n".into())
            .await
            .starts_with("HTTP/1.1 403")
    );
    assert!(get("Origin: null\r\n".into()).await.starts_with("HTTP/1.1 403"));
    let rebound = get("Host: evil.example\r\nOrigin: http://evil.example\r\n".into()).await;
    assert!(rebound.starts_with("HTTP/1.1 401"), "{rebound}");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for path in ["/y/plan", "/hocuspocus"] {
        for (origin, status) in [
            (String::new(), 101),
            (format!("Origin: http://127.0.0.1:{port}\r\n"), 101),
            ("Origin: https://evil.example\r\n".into(), 403),
            (format!("Origin: https://127.0.0.1.evil.example:{port}\r\n"), 403),
        ] {
            let line = first_line(port, path, &format!("{origin}{upgrade}")).await;
            assert_eq!(line, status, "{path} {origin}");
        }
    }
}

#[tokio::test]
async fn without_a_key_it_listens_on_this_machine_only() {
    let relay = sync_server::Relay::open(config()).await.unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(relay, listener, std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::KeyNeeded(_))), "{refused:?}");
}

#[tokio::test]
async fn the_page_is_served_with_headers_that_keep_it_safe() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("index.html", "<p>page"),
        ("shell.wasm", "\0asm"),
        ("../secret", "secret"),
    ] {
        let mut file = std::fs::File::create(folder.path().join("ui").join(name).clone())
            .or_else(|_| {
                std::fs::create_dir_all(folder.path().join("ui"))?;
                std::fs::File::create(folder.path().join("ui").join(name))
            })
            .unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    }
    let mut settings = config();
    settings.ui = UiSource::Folder(folder.path().join("ui"));
    let served = Served::start(settings).await;
    let page = request(served.port, "GET", "/", "").await;
    for part in [
        "HTTP/1.1 200",
        "<p>page",
        "content-type: text/html",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "script-src 'self' 'wasm-unsafe-eval'",
        "connect-src 'self' ws: wss:",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(
        request(served.port, "GET", "/shell.wasm", "")
            .await
            .contains("content-type: application/wasm")
    );
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/nothing.js",
        "//etc/passwd",
        "/..%2fsecret",
    ] {
        let answer = request(served.port, "GET", path, "").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }

    let mut settings = config();
    settings.ui = UiSource::Folder(folder.path().join("empty"));
    let served = Served::start(settings).await;
    let page = request(served.port, "GET", "/", "").await;
    assert!(
        page.starts_with("HTTP/1.1 503") && page.contains("npm start"),
        "{page}"
    );
}
