//! What was acknowledged is on disk, whatever ends the process.

use std::process::Stdio;
use std::time::Duration;

use crdt::Replica;
use rand::Rng;

use crate::client::{Client, append_to};
use crate::process::{Process, command, free_port, run_to_end};

/// How often the crash test kills the server. `INKLING_CRASHES=1000` for a soak.
fn crashes() -> usize {
    std::env::var_os("INKLING_CRASHES")
        .and_then(|count| count.to_str()?.parse().ok())
        .unwrap_or(10)
}

/// A client writes as fast as it can and the server is killed at a random moment, again and again. Afterwards: everything
/// that was acknowledged is there before the client comes back, and nothing is doubled when it does.
#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut replica = Replica::new(rand::random());
    let mut written = 0_usize;
    let mut acknowledged = 0_usize;
    for run in 0..crashes() {
        let server = Process::start(folder.path(), port).await;
        let mut fresh = Client::y(&server.ws(), "crash").await;
        fresh
            .until("what was acknowledged", |client| {
                (0..acknowledged).all(|n| client.text().contains(&format!("<{n}>")))
            })
            .await;
        drop(fresh);

        let mut client = Client::hocuspocus_with(&server.ws(), "crash", "", replica)
            .await
            .unwrap();
        client
            .until("synced", |client| client.replica.is_synced() && client.saved > 0)
            .await;
        // The handshake's acknowledgement covers all that was written before.
        acknowledged = written;
        let before = written;
        let pause = rand::rng().random_range(5..80);
        let kill = tokio::time::sleep(Duration::from_millis(pause));
        tokio::pin!(kill);
        loop {
            tokio::select! {
                biased;
                () = &mut kill => break,
                step = client.step() => step.unwrap(),
                () = tokio::time::sleep(Duration::from_micros(500)) => {
                    client.write(&format!("<{written}>")).await.unwrap();
                    written += 1;
                }
            }
        }
        server.kill();
        // What had been sent before the end counts, whenever it is read.
        while client.step().await.is_ok() {}
        acknowledged = acknowledged.max(before + client.saved - 1);
        assert!(acknowledged <= written, "run {run}");
        replica = client.replica;
        replica.disconnected();
    }
    assert!(written > 0 && acknowledged > 0);
    let server = Process::start(folder.path(), port).await;
    let mut last = Client::hocuspocus_with(&server.ws(), "crash", "", replica)
        .await
        .unwrap();
    last.until("synced", |client| client.replica.is_synced() && client.saved > 0)
        .await;
    let mut fresh = Client::y(&server.ws(), "crash").await;
    fresh
        .until("the same", |client| client.text() == last.text())
        .await;
    for n in 0..written {
        assert_eq!(fresh.text().matches(&format!("<{n}>")).count(), 1, "<{n}>");
    }
}

/// The disk refuses to let files grow: a real refusal by the system, with the limit on a file's size.
#[tokio::test]
async fn a_disk_that_takes_no_more_does_not_end_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    // 1 MiB in the shell's blocks of 512 bytes. Without the trap the signal would end the process.
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", r#"trap "" XFSZ; ulimit -S -f 2048; exec "$0" "$@""#])
        .arg(command(&[]).get_program())
        .args(["--listen", &listen, "--no-ai", "--data"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = Process::spawn(limited, port).await;
    let mut writer = Client::hocuspocus(&server.ws(), "plan", "").await;
    writer.write("small ").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    let much = "x".repeat(1_500_000);
    writer.write(&much).await.unwrap();
    let failing = |client: &Client| {
        client
            .stateless
            .iter()
            .any(|message| message["type"] == "storage" && message["ok"] == false)
    };
    writer.until("the storage message", failing).await;
    let words = writer
        .stateless
        .iter()
        .rfind(|message| message["type"] == "storage")
        .unwrap();
    assert!(
        words["message"].as_str().unwrap().contains("the disk is full"),
        "{words}"
    );
    assert_eq!(writer.saved, 2);
    assert!(server.is_running());

    let raised = std::process::Command::new("prlimit")
        .args(["--pid", &server.pid().to_string(), "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(raised.success());
    writer
        .until("everything is saved", |client| client.saved == 3)
        .await;
    server.kill();
    let server = Process::start(folder.path(), port).await;
    let mut reader = Client::y(&server.ws(), "plan").await;
    reader
        .until("all of it", |client| client.text().len() == much.len() + 6)
        .await;
}

/// A disk that is full (`ENOSPC`): a file system of 8 MB of its own where this machine lets one be mounted, in a name
/// space of its own; else a quota, which SQLite answers with the same error.
#[tokio::test]
async fn a_full_disk_is_said_and_everything_is_saved_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("disk");
    std::fs::create_dir(&data).unwrap();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mount = r#"mount -t tmpfs -o size=8m none "$1""#;
    let mounted = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]).arg(&data);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let real = mounted(mount).status().is_ok_and(|status| status.success());
    let start = if real {
        let script = format!(r#"{mount} && head -c 7000000 /dev/zero > "$1/filler" && shift && exec "$@""#);
        let mut start = mounted(&script);
        start
            .arg(command(&[]).get_program())
            .args(["--listen", &listen, "--no-ai", "--data"]);
        start.arg(&data);
        start
    } else {
        let mut start = command(&["--listen", &listen, "--no-ai", "--max-store-mb", "1", "--data"]);
        start.arg(&data).stdout(Stdio::null()).stderr(Stdio::null());
        start
    };
    let mut server = Process::spawn(start, port).await;
    let mut writer = Client::hocuspocus(&server.ws(), "plan", "").await;
    writer.write("small ").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    let much = "x".repeat(1_500_000);
    writer.write(&much).await.unwrap();
    let storage_is = |client: &Client, ok: bool| {
        let last = client
            .stateless
            .iter()
            .rfind(|message| message["type"] == "storage");
        last.is_some_and(|message| message["ok"] == ok)
    };
    writer
        .until("it is said", |client| storage_is(client, false))
        .await;
    let words = writer
        .stateless
        .iter()
        .rfind(|message| message["type"] == "storage")
        .unwrap();
    assert!(
        words["message"].as_str().unwrap().contains("the disk is full"),
        "{words}"
    );
    assert_eq!(writer.saved, 2, "nothing is acknowledged");
    assert!(server.is_running());
    if real {
        // The file system is seen by way of the process only.
        let seen = format!("/proc/{}/root{}/filler", server.pid(), data.display());
        std::fs::remove_file(seen).unwrap();
        writer
            .until("it works again", |client| storage_is(client, true))
            .await;
        writer
            .until("everything is saved", |client| client.saved == 3)
            .await;
    }
    let mut reader = Client::y(&server.ws(), "plan").await;
    reader
        .until("all of it", |client| client.text().len() == much.len() + 6)
        .await;
}

#[tokio::test]
async fn a_signal_stops_it_with_everything_saved_and_people_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let server = Process::start(folder.path(), port).await;
    let mut writer = Client::hocuspocus(&server.ws(), "plan", "").await;
    for n in 0..200 {
        append_to(&writer.replica, &format!("<{n}>"));
    }
    writer.flush().await.unwrap();
    writer
        .until("the first is there", |client| client.saved > 1)
        .await;
    let ending = tokio::spawn(server.terminate());
    let closed = writer.until_closed().await;
    assert_eq!(closed.map(|frame| u16::from(frame.code)), Some(1001));
    assert_eq!(ending.await.unwrap().code(), Some(0));
    let told = writer.saved - 1;
    let server = Process::start(folder.path(), port).await;
    let reader = Client::y(&server.ws(), "plan").await;
    assert!((0..told).all(|n| reader.text().contains(&format!("<{n}>"))));
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let server = Process::start(folder.path(), free_port()).await;
    let taken = format!("127.0.0.1:{}", server.port);
    let (code, said) = run_to_end(&["--no-ai", "--listen", &taken, "--data", data]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is in use") && said.contains("--listen"), "{said}");
    let free = format!("127.0.0.1:{}", free_port());
    let (code, said) = run_to_end(&["--no-ai", "--listen", &free, "--data", data]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("in use by another Inkling"), "{said}");
    let elsewhere = folder.path().join("else");
    let (code, said) = run_to_end(&[
        "--no-ai",
        "--listen",
        "0.0.0.0:0",
        "--data",
        elsewhere.to_str().unwrap(),
    ]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--key"), "{said}");
}
