//! Documents that were opened and closed leave nothing behind in the server's memory.
//!
//! `DOCUMENTS=10000` for a soak.

use crate::client::Client;
use crate::process::{Process, free_port};

/// Looks, a quarter of a second apart, in which nothing becomes less: longer than a room stays open.
const QUIET: usize = 28;

/// Documents before memory is looked at first. They fill what stays: SQLite's pages, threads' stacks, and the memory of as many
/// rooms as are open at one time.
const FIRST: usize = 400;

/// Documents until it is looked at again.
const DOCUMENTS: usize = 1000;

/// How much more there may be then, in percent.
const MORE: usize = 5;

fn setting(name: &str) -> Option<usize> {
    std::env::vars()
        .find(|(known, _)| known == name)
        .and_then(|(_, value)| value.parse().ok())
}

/// Resident memory in KiB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Opens documents, writes into each, and closes them; some are open at one time.
async fn open_and_close(server: &Process, from: usize, count: usize) {
    let text = "a page of text that is there to take some room. ".repeat(40);
    for first in (from..from + count).step_by(20) {
        let clients = (first..(first + 20).min(from + count)).map(|number| {
            let text = &text;
            async move {
                let mut client = Client::hocuspocus(&server.ws(), &format!("doc-{number}"), "").await;
                client.write(text).await.unwrap();
                client.until("it is saved", |client| client.saved == 2).await;
            }
        });
        futures_util::future::join_all(clients).await;
    }
}

/// Waits until memory has stopped to become less: rooms stay open for some seconds after the last has left. Returns it.
async fn at_rest(server: &Process) -> usize {
    let mut least = resident(server.pid());
    let mut quiet = 0;
    while quiet < QUIET {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        let now = resident(server.pid());
        quiet = if now * 200 < least * 199 { 0 } else { quiet + 1 };
        least = least.min(now);
    }
    least
}

#[tokio::test]
async fn after_many_documents_memory_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), free_port()).await;
    let documents = setting("DOCUMENTS").unwrap_or(DOCUMENTS);
    open_and_close(&server, 0, FIRST).await;
    let before = at_rest(&server).await;
    open_and_close(&server, FIRST, documents).await;
    let after = at_rest(&server).await;
    let told = format!("{before} KiB after {FIRST} documents, {after} KiB after {documents} more");
    println!("{told}");
    assert!(after * 100 <= before * (100 + MORE), "{told}");
}
