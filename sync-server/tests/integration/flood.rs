//! Malicious frames against the program as a process: it lives on, its memory stays within bounds, and each costs only the
//! connection that sent it, with a code and a reason.

use crdt::Replica;
use crdt::protocol;
use crdt::protocol::hocuspocus::{Address, Frame, HocusMessage};
use futures_util::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use yrs::{ReadTxn, StateVector, Transact};

use crate::client::{Client, PATIENCE, append_to};
use crate::process::{Process, command, free_port};

/// The most that the process may hold at any moment, in megabytes: itself, a document of a megabyte, and the largest frame
/// a few times over. One of the frames below, taken at its word, asks for many gigabytes.
const MOST_MB: u64 = 500;

/// Codes with which a connection is closed for what it sent.
const CODES: [u16; 4] = [1002, 1003, 1008, 1009];

/// The most memory that a process has held, in megabytes; where the system tells.
fn peak_mb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kilobytes| kilobytes >> 10)
}

async fn start(folder: &std::path::Path) -> Process {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = command(&[
        "--listen",
        &listen,
        "--no-ai",
        "--key=own",
        "--role-key=viewer=look",
        "--role-key=suggester=say",
        "--role-key=editor=edit",
        "--data",
    ]);
    command
        .arg(folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    Process::spawn(command, port).await
}

/// What became of a connection.
#[derive(Debug)]
enum End {
    Closed(u16, String),
    /// What it sent was refused, and it stays open.
    Refused,
    /// No close frame came.
    Broken,
}

/// Whether a frame says that something was refused.
fn is_refusal(frame: &[u8], by_y: bool) -> bool {
    if by_y {
        return matches!(frame, [protocol::AUTH, ..]);
    }
    matches!(
        Frame::decode(frame),
        Ok(Frame::Document {
            message: HocusMessage::SyncStatus(false),
            ..
        })
    )
}

/// Sends a frame and waits for what comes of it; other answers are read and dropped.
async fn after(ws: &str, path: &str, first: Option<Vec<u8>>, frame: Vec<u8>) -> End {
    let by_y = first.is_none();
    let (mut socket, _) = connect_async(format!("{ws}{path}")).await.unwrap();
    for bytes in first.into_iter().chain([frame]) {
        if socket.send(Message::Binary(bytes.into())).await.is_err() {
            break;
        }
    }
    let wait = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return End::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Binary(frame))) if is_refusal(&frame, by_y) => return End::Refused,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return End::Broken,
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("neither refused nor closed")
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}

fn message(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = kind.to_vec();
    put(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

/// `count`, and then `each` so many times.
fn list(count: u64, each: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, count);
    out.extend(each.iter().cycle().take(each.len() * count as usize));
    out
}

/// Frames that are small for what they ask for.
fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let many = 1_000_000_u64;
    let question = protocol::step_1(&StateVector::default());
    let mut blocks = vec![1];
    blocks.extend(list(many, &[]));
    blocks.extend_from_slice(&[5, 0]);
    blocks.extend([0, 1].iter().cycle().take(2 * many as usize));
    blocks.push(0);
    let deletes = [&[0, 1, 5][..], &list(many, &[0, 0])].concat();
    let mut collide = Vec::new();
    put(&mut collide, 400_000);
    for client in 0..400_000_u64 {
        put(&mut collide, client << 32);
        collide.push(1);
    }
    vec![
        ("a hundred thousand questions", question.repeat(100_000)),
        ("a million queries", vec![protocol::QUERY_AWARENESS; 1_000_000]),
        ("a state of many clients", message(&[0, 0], &list(many, &[1, 1]))),
        ("a state of clients that collide", message(&[0, 0], &collide)),
        ("an update of many blocks", protocol::update(&blocks)),
        ("an answer of many blocks", protocol::step_2(&blocks)),
        ("an update of many deletions", protocol::update(&deletes)),
        ("awareness of many", message(&[1], &list(many, &[1, 1, 0]))),
        (
            "a length without its bytes",
            vec![0, 2, 0xff, 0xff, 0xff, 0xff, 0x07],
        ),
        (
            "a count without its blocks",
            protocol::update(&[1, 0xff, 0xff, 0xff, 0xff, 0x07, 1, 0]),
        ),
        ("many sections", protocol::update(&list(many, &[0, 1, 0]))),
    ]
}

async fn bystander_is_fine(bystander: &mut Client) {
    let saved = bystander.saved;
    bystander.write("!").await.unwrap();
    bystander
        .until("the others are not touched", |client| client.saved > saved)
        .await;
}

#[tokio::test]
async fn small_frames_that_ask_for_much_cost_their_connection_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path()).await;
    let ws = server.ws();
    let mut bystander = Client::hocuspocus(&ws, "plan", "own").await;
    append_to(&bystander.replica, &"x".repeat(1 << 20));
    bystander.flush().await.unwrap();
    bystander.until("saved", |client| client.saved == 2).await;
    for (name, frame) in attacks() {
        for key in ["look", "say", "edit"] {
            let y = after(&ws, &format!("/y/plan?key={key}"), None, frame.clone()).await;
            let token = Frame::Document {
                address: Address::new("plan"),
                message: HocusMessage::Token {
                    token: key.into(),
                    version: None,
                },
            };
            let wrapped = [b"\x04plan", &frame[..]].concat();
            let hocuspocus = after(&ws, "/hocuspocus", Some(token.encode()), wrapped).await;
            for end in [y, hocuspocus] {
                match end {
                    End::Closed(code, reason) => {
                        assert!(
                            CODES.contains(&code) && !reason.is_empty(),
                            "{name}, {key}: {code} {reason}"
                        );
                    }
                    // Refused unread, because this key does not write.
                    End::Refused => assert_ne!(key, "edit", "{name} is not to be looked into"),
                    End::Broken => panic!("{name}, {key}: closed without a reason"),
                }
            }
            assert!(server.is_running(), "{name}, {key}: the process has ended");
        }
        bystander_is_fine(&mut bystander).await;
        if let Some(peak) = peak_mb(server.pid()) {
            println!("{name}: {peak} MB at most so far");
            assert!(peak < MOST_MB, "{name}: the process has held {peak} MB");
        }
    }
}

/// Frames that are nearly right, thousands of them: whatever they do, they do it to their own connection.
#[tokio::test]
async fn frames_that_are_nearly_right_end_no_process() {
    let seed: u64 = std::env::vars()
        .find(|(name, _)| name == "SEED")
        .map_or(7, |(_, seed)| seed.parse().unwrap());
    println!("rerun with SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path()).await;
    let ws = server.ws();
    let mut bystander = Client::hocuspocus(&ws, "plan", "own").await;
    bystander.write("here").await.unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let replica = Replica::new(99);
    append_to(&replica, "Grüße 🌲");
    let update = replica
        .doc()
        .transact()
        .encode_state_as_update_v1(&StateVector::default());
    let state = replica.doc().transact().state_vector();
    let token = |key: &str| Frame::Document {
        address: Address::new("plan"),
        message: HocusMessage::Token {
            token: json!({"key": key, "user": {"id": "u", "name": "U"}}).to_string(),
            version: Some("4.8.0".into()),
        },
    };
    let stateless = |text: &str| {
        Frame::Document {
            address: Address::new("plan"),
            message: HocusMessage::Stateless(text.into()),
        }
        .encode()
    };
    let y = [
        protocol::update(&update),
        protocol::step_2(&update),
        protocol::step_1(&state),
        protocol::awareness(std::iter::once((3, 1, r#"{"user":{"name":"x"}}"#))),
        protocol::awareness(std::iter::once((3, 2, "[".repeat(10_000).as_str()))),
        protocol::permission_denied("no"),
    ];
    let hocuspocus = [
        token("edit").encode(),
        [b"\x04plan", &y[0][..]].concat(),
        [b"\x04plan", &y[3][..]].concat(),
        stateless(r#"{"type":"decide","seq":1,"proposal":"x","action":"accept"}"#),
        stateless(&"[".repeat(30_000)),
        b"\x04plan\x07".to_vec(),
    ];
    for round in 0..120 {
        let key = ["look", "say", "edit"][round % 3];
        let by_y = round % 2 == 0;
        let path = if by_y {
            format!("/y/plan?key={key}")
        } else {
            "/hocuspocus".to_owned()
        };
        let (mut socket, _) = connect_async(format!("{ws}{path}")).await.unwrap();
        let seeds: &[Vec<u8>] = if by_y { &y } else { &hocuspocus };
        if !by_y {
            socket
                .send(Message::Binary(token(key).encode().into()))
                .await
                .unwrap();
        }
        for _ in 0..30 {
            let mut frame = seeds[rng.random_range(0..seeds.len())].clone();
            for _ in 0..rng.random_range(0..4) {
                let at = rng.random_range(0..frame.len());
                match rng.random_range(0..3) {
                    0 => frame[at] = rng.random(),
                    1 => frame.truncate(at.max(1)),
                    _ => frame.insert(at, rng.random()),
                }
            }
            // Closed for an earlier one.
            if socket.send(Message::Binary(frame.into())).await.is_err() {
                break;
            }
        }
        drop(socket);
        assert!(server.is_running(), "round {round}: the process has ended");
    }
    bystander
        .until("the room answers", |client| client.saved >= 2)
        .await;
    bystander_is_fine(&mut bystander).await;
    if let Some(peak) = peak_mb(server.pid()) {
        assert!(peak < MOST_MB, "the process has held {peak} MB");
    }
}
