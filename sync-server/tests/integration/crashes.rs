//! Crash after crash: several people write as fast as they can, the server is killed at a random moment, its disk is full now
//! and then, and what a torn write would leave behind is put at the end of its log. What was acknowledged is there each time,
//! and nothing is there twice.
//!
//! `CRASHES=1000` for a soak; `SEED=…` repeats the choices (not the moments: those are the machine's).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crdt::Replica;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Barrier;

use crate::client::{Client, append_to, text_of};
use crate::process::{Process, command, free_port};

const CRASHES: usize = 100;
/// Documents are begun anew after so many crashes, so that each run stays short.
const PER_FOLDER: usize = 20;

fn setting(name: &str) -> Option<u64> {
    std::env::vars()
        .find(|(known, _)| known == name)
        .and_then(|(_, value)| value.parse().ok())
}

/// Somebody who writes numbered words into a document, and knows which of them are safe.
struct Writer {
    name: char,
    doc: &'static str,
    replica: Option<Replica>,
    written: usize,
    acknowledged: usize,
}

impl Writer {
    fn word(&self, number: usize) -> String {
        format!("<{}{number}>", self.name)
    }

    /// Writes until the server is gone, and then reads what it had still said.
    async fn write(&mut self, server: String, seed: u64, all: &Barrier) {
        let mut rng = StdRng::seed_from_u64(seed);
        let replica = self
            .replica
            .take()
            .unwrap_or_else(|| Replica::new(rand::random()));
        let mut client = Client::hocuspocus_with(&server, self.doc, "", replica)
            .await
            .unwrap();
        all.wait().await;
        // The handshake's acknowledgement covers all that was written before.
        let before = self.written;
        let mut alive = true;
        while alive && client.saved == 0 {
            alive = client.step().await.is_ok();
        }
        while alive {
            tokio::select! {
                biased;
                step = client.step() => alive = step.is_ok(),
                () = tokio::time::sleep(Duration::from_micros(rng.random_range(100..2_000))) => {
                    append_to(&client.replica, &self.word(self.written));
                    self.written += 1;
                    alive = client.flush().await.is_ok();
                }
            }
        }
        while client.step().await.is_ok() {}
        if client.saved > 0 {
            self.acknowledged = self.acknowledged.max(before + client.saved - 1);
        }
        assert!(self.acknowledged <= self.written);
        client.replica.disconnected();
        self.replica = Some(client.replica);
    }

    fn check(&self, words: &BTreeMap<String, usize>, run: &str) {
        for number in 0..self.written {
            let count = words.get(&self.word(number)).copied().unwrap_or_default();
            assert!(count <= 1, "{run}: {} is there {count} times", self.word(number));
            assert!(
                count == 1 || number >= self.acknowledged,
                "{run}: {} was acknowledged and is gone",
                self.word(number)
            );
        }
    }
}

fn words(text: &str) -> BTreeMap<String, usize> {
    let mut words = BTreeMap::new();
    for word in text.split_inclusive('>') {
        *words.entry(word.to_owned()).or_default() += 1;
    }
    words
}

/// What a write that was cut short leaves at the end of SQLite's log: part of a frame, with a checksum that is wrong.
fn tear(folder: &Path, rng: &mut StdRng) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let logs = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with("-wal"));
    for log in logs {
        let bytes = std::fs::read(&log).unwrap();
        let frame = 24 + 4096;
        let mut torn = match bytes.len().checked_sub(frame) {
            Some(last) if rng.random_bool(0.7) => bytes[last..].to_vec(),
            _ => (0..frame).map(|_| rng.random()).collect(),
        };
        let flipped = rng.random_range(0..torn.len());
        torn[flipped] ^= 0xff;
        torn.truncate(rng.random_range(1..=torn.len()));
        let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(&torn).unwrap();
    }
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .max()
        .unwrap_or_default()
}

/// Starts the server; with `full` its files may grow by that many bytes, and then the system refuses.
async fn start(folder: &Path, port: u16, full: Option<u64>) -> Process {
    let Some(room) = full else {
        return Process::start(folder, port).await;
    };
    let listen = format!("127.0.0.1:{port}");
    let blocks = (size_of(folder) + room).div_ceil(512);
    let script = format!(r#"trap "" XFSZ; ulimit -S -f {blocks}; exec "$0" "$@""#);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", &script])
        .arg(command(&[]).get_program())
        .args(["--listen", &listen, "--no-ai", "--data"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Process::spawn(limited, port).await
}

#[tokio::test]
async fn crash_after_crash_nothing_acknowledged_is_lost_and_nothing_doubled() {
    let crashes = setting("CRASHES").map_or(CRASHES, |count| usize::try_from(count).unwrap());
    let seed = setting("SEED").unwrap_or_else(rand::random);
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut done, mut acknowledged, mut lost) = (0, 0, 0);
    while done < crashes {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut writers: Vec<Writer> = [('a', "one"), ('b', "one"), ('c', "two")]
            .into_iter()
            .map(|(name, doc)| Writer {
                name,
                doc,
                replica: None,
                written: 0,
                acknowledged: 0,
            })
            .collect();
        for _ in 0..PER_FOLDER.min(crashes - done) {
            let run = format!("SEED={seed}, crash {done}");
            let full =
                (done % PER_FOLDER > 0 && rng.random_bool(0.2)).then(|| rng.random_range(20_000..80_000));
            let server = start(folder.path(), port, full).await;
            for doc in ["one", "two"] {
                let fresh = Client::y(&server.ws(), doc).await;
                let words = words(&fresh.text());
                for writer in writers.iter().filter(|writer| writer.doc == doc) {
                    writer.check(&words, &run);
                }
            }
            let pause = Duration::from_millis(rng.random_range(0..90));
            let seeds: Vec<u64> = writers.iter().map(|_| rng.random()).collect();
            let writers_and_killer = writers.len() + 1;
            let [first, second, third] = &mut writers[..] else {
                unreachable!()
            };
            // From when everybody is let in: the handshakes may be cut short as well.
            let all = Barrier::new(writers_and_killer);
            let kill = async {
                all.wait().await;
                tokio::time::sleep(pause).await;
                server.kill();
            };
            let address = format!("ws://127.0.0.1:{port}");
            tokio::join!(
                kill,
                first.write(address.clone(), seeds[0], &all),
                second.write(address.clone(), seeds[1], &all),
                third.write(address, seeds[2], &all)
            );
            if rng.random_bool(0.4) {
                tear(folder.path(), &mut rng);
            }
            done += 1;
        }
        // Everybody comes back, with all that they wrote while there was no server to take it.
        let server = Process::start(folder.path(), port).await;
        let mut clients = Vec::new();
        for writer in &mut writers {
            let Some(replica) = writer.replica.take() else {
                continue;
            };
            let mut client = Client::hocuspocus_with(&server.ws(), writer.doc, "", replica)
                .await
                .unwrap();
            client
                .until("everything is saved", |client| {
                    client.replica.is_synced() && client.saved > 0
                })
                .await;
            lost += writer.written - writer.acknowledged;
            acknowledged += writer.acknowledged;
            writer.acknowledged = writer.written;
            clients.push(client);
        }
        for doc in ["one", "two"] {
            let fresh = Client::y(&server.ws(), doc).await;
            let words = words(&text_of(&fresh.replica));
            for writer in writers.iter().filter(|writer| writer.doc == doc) {
                writer.check(&words, "at the end");
            }
        }
        server.kill();
    }
    println!("{done} crashes: {acknowledged} writes were acknowledged and kept, {lost} were not yet");
    assert!(acknowledged > crashes, "nothing was written: {acknowledged}");
}

/// Without the right to write into the folder it does not start, and says why; with it again all is there.
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_and_harmed_in_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let server = Process::start(folder.path(), port).await;
    let mut writer = Client::hocuspocus(&server.ws(), "plan", "").await;
    writer.write("kept").await.unwrap();
    writer.until("saved", |client| client.saved == 2).await;
    server.kill();

    let chmod = |mode: &str| {
        let done = std::process::Command::new("chmod")
            .args(["-R", mode])
            .arg(folder.path())
            .status();
        assert!(done.unwrap().success());
    };
    chmod("a-w");
    let listen = format!("127.0.0.1:{port}");
    // The super-user may write anything, unless told to go without that.
    let me = std::process::Command::new("id").arg("-u").output().unwrap();
    let program = command(&[]).get_program().to_owned();
    let mut refused = if me.stdout == b"0\n" {
        let mut setpriv = std::process::Command::new("setpriv");
        setpriv
            .args([
                "--bounding-set=-dac_override,-dac_read_search",
                "--inh-caps=-dac_override,-dac_read_search",
            ])
            .arg(program);
        setpriv
    } else {
        std::process::Command::new(program)
    };
    let out = refused
        .args(["--listen", &listen, "--no-ai", "--data"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(
        said.contains(folder.path().to_str().unwrap()),
        "it does not name the folder: {said}"
    );

    chmod("u+w");
    let server = Process::start(folder.path(), port).await;
    let reader = Client::y(&server.ws(), "plan").await;
    assert_eq!(reader.text(), "kept");
}
