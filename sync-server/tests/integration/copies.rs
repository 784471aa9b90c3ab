//! The program's commands `backup`, `restore` and `check`, with a server that runs and without one.

use std::path::Path;

use serde_json::{Value, json};
use sync_server::StorePath;

use crate::client::Client;
use crate::process::{Process, free_port, run_to_end};
use crate::relay::Served;
use crate::sharing::ask;
use crate::tokens::guarded;

/// Runs a command of the program on a data folder.
fn command(data: &Path, args: &[&str]) -> (i32, String) {
    let data = data.to_str().unwrap();
    run_to_end(&[args, &["--data", data]].concat())
}

async fn write(server: &Process, doc: &str, words: &str) {
    let mut writer = Client::hocuspocus(&server.ws(), doc, "").await;
    writer.write(words).await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
}

async fn text(server: &Process, doc: &str) -> String {
    Client::y(&server.ws(), doc).await.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_and_restored_while_the_server_runs_and_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = folder.path().join("backup.sqlite");
    let file = file.to_str().unwrap();
    let server = Process::start(&data, free_port()).await;
    write(&server, "plan", "first").await;
    let (code, said) = command(&data, &["backup", file]);
    assert_eq!(code, 0, "{said}");
    write(&server, "plan", " second").await;
    write(&server, "other", "later").await;
    let mut open = Client::hocuspocus(&server.ws(), "plan", "").await;
    let (code, said) = command(&data, &["restore", file]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("What was there before is in"), "{said}");
    assert_eq!(
        open.until_closed().await.map(|frame| u16::from(frame.code)),
        Some(1012)
    );
    assert_eq!(text(&server, "plan").await, "first");
    assert_eq!(text(&server, "other").await, "");
    write(&server, "plan", " third").await;
    assert_eq!(server.terminate().await.code(), Some(0));

    // Without a server: the same commands on the files.
    let later = folder.path().join("later.sqlite");
    let (code, said) = command(&data, &["backup", later.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(&data, &["restore", file]);
    assert_eq!(code, 0, "{said}");
    let server = Process::start(&data, free_port()).await;
    assert_eq!(text(&server, "plan").await, "first");
    server.kill();
    // A server that was killed leaves its address behind; nobody answers there.
    let elsewhere = folder.path().join("elsewhere");
    let (code, said) = command(&elsewhere, &["restore", later.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = command(&data, &["restore", later.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    for folder in [&data, &elsewhere] {
        let server = Process::start(folder, free_port()).await;
        assert_eq!(text(&server, "plan").await, "first third");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_backup_changes_nothing_and_others_do_not_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let letter = folder.path().join("letter.txt");
    std::io::Write::write_all(&mut std::fs::File::create(&letter).unwrap(), &[b'x'; 5000]).unwrap();
    let server = Process::start(&data, free_port()).await;
    write(&server, "plan", "words").await;
    let (code, said) = command(&data, &["restore", letter.to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(text(&server, "plan").await, "words");
    let (code, said) = command(&data, &["restore", folder.path().join("none").to_str().unwrap()]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("cannot be read"), "{said}");

    let known: Value = serde_json::from_slice(&std::fs::read(data.join("server.json")).unwrap()).unwrap();
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(data.join("server.json")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }
    let address = known["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"POST /api/v1/backup HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer guess\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 401"), "{answer}");
    assert_eq!(server.terminate().await.code(), Some(0));
    assert!(!data.join("server.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_is_damaged_and_saves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data, free_port()).await;
    for (doc, words) in [("sick/1", "kept"), ("well", "fine")] {
        write(&server, doc, words).await;
    }
    write(&server, "sick/1", " lost").await;
    let (code, said) = command(&data, &["check"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("all are whole"), "{said}");
    assert_eq!(server.terminate().await.code(), Some(0));
    let database = rusqlite::Connection::open(data.join("inkling.sqlite")).unwrap();
    let changed = database
        .execute(
            "UPDATE records SET body = zeroblob(length(body)) WHERE seq = 2
             AND document = (SELECT key FROM documents WHERE id = 'sick/1')",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);

    let saved = folder.path().join("saved");
    let args = ["check", "--save", saved.to_str().unwrap()];
    let check = || {
        let (code, said) = command(&data, &args);
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("Document sick/1") && said.contains("record 2"),
            "{said}"
        );
        assert!(!said.contains("well"), "{said}");
        let update = std::fs::read(saved.join("sick%2F1.ydoc")).unwrap();
        let body = crdt::history::open(&update, 1).unwrap();
        let text = body.get_or_insert_text("proof");
        assert_eq!(
            yrs::GetString::get_string(&text, &yrs::Transact::transact(&body)),
            "kept"
        );
        assert!(saved.join("sick%2F1.md").exists());
        std::fs::remove_dir_all(&saved).unwrap();
    };
    check();
    let server = Process::start(&data, free_port()).await;
    assert_eq!(text(&server, "well").await, "fine", "it is up");
    check();
    assert_eq!(text(&server, "well").await, "fine");
}

#[tokio::test]
async fn what_was_taken_from_somebody_stays_taken_after_a_restore() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = guarded();
    settings.store = StorePath::Sqlite(folder.path().join("store.sqlite"));
    settings.access.secret = None; // the store's own
    let served = Served::start(settings).await;
    let doc = served.api("POST", "/documents", Value::Null).await.1;
    let path = format!("/documents/{}", doc["id"].as_str().unwrap());
    let shares = format!("{path}/shares");
    let share = async || {
        let (status, share) = served.api("POST", &shares, json!({"role": "viewer"})).await;
        assert_eq!(status, 201);
        share
    };
    let (revoked, kept) = (share().await, share().await);
    let copy = served.relay.api("POST", "/backup", Default::default()).await;
    assert_eq!(copy.status, 200);
    let gone = format!("{shares}/{}", revoked["id"].as_str().unwrap());
    assert_eq!(served.api("DELETE", &gone, Value::Null).await.0, 204);
    let later = share().await;
    let restored = served.relay.api("POST", "/restore", copy.body).await;
    assert_eq!(restored.status, 200);
    let said: Value = serde_json::from_slice(&restored.body).unwrap();
    assert_eq!(said["restart"], json!(false), "the secret is the same");
    for (share, opens) in [(&revoked, false), (&kept, true), (&later, true)] {
        let key = share["url"].as_str().unwrap().split_once("?key=").unwrap().1;
        let (status, _) = ask(&served, "GET", &path, key, Value::Null).await;
        assert_eq!(status == 200, opens, "{share}: {status}");
    }
    let list = served.api("GET", &shares, Value::Null).await.1;
    assert_eq!(list.as_array().unwrap().len(), 2);
}
