use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn limits(frames: usize, bytes: usize) -> Limits {
    Limits {
        outbox_frames: frames,
        outbox_bytes: bytes,
        ..Limits::default()
    }
}

/// An outbox of a socket, and the other end of that.
async fn connected(limits: &Limits) -> (Outbox, OutboxReader, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (near, _) = listener.accept().await.unwrap();
    let (outbox, mut reader) = outbox(limits);
    reader.attach(WriteEnd::Plain(near.into_split().1));
    (outbox, reader, far)
}

fn put(outbox: &Outbox, message: &[u8]) {
    let _owed = outbox.push(Frame::binary(message));
}

async fn read(far: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    far.read_exact(&mut read).await.unwrap();
    read
}

#[tokio::test]
async fn a_reader_gets_everything_in_order() {
    let (outbox, mut reader) = outbox(&limits(10, 100));
    for byte in 0..5_u8 {
        put(&outbox, &[byte]);
    }
    let mut batch = Vec::new();
    reader.take(&mut batch, 100).await.unwrap();
    let messages: Vec<_> = batch.iter().map(Frame::message).collect();
    assert_eq!(messages.concat(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn what_a_turn_puts_in_goes_out_at_its_end_without_the_connections_task() {
    let (outbox, mut reader, mut far) = connected(&limits(10, 100)).await;
    assert!(outbox.push(Frame::binary(&[1])), "the first one owes the flush");
    assert!(!outbox.push(Frame::binary(&[2])), "the others do not");
    outbox.flush();
    outbox.say(Frame::binary(&[3]));
    assert_eq!(read(&mut far, 9).await, [0x82, 1, 1, 0x82, 1, 2, 0x82, 1, 3]);
    assert_eq!(reader.0.lock().bytes, 0);
    assert!(
        futures_util::FutureExt::now_or_never(reader.blocked()).is_none(),
        "nothing is left to the connection's task"
    );
}

#[tokio::test]
async fn what_the_socket_does_not_take_is_left_to_the_connections_task_whole_and_in_order() {
    let (outbox, mut reader, mut far) = connected(&limits(1 << 20, 64 << 20)).await;
    let mut expected = Vec::new();
    let mut number = 0_u32;
    // Until the system's buffers are full, and then some; frames below and above what is written together.
    let mut more = 100;
    while more > 0 {
        let length = if number.is_multiple_of(3) { 20_000 } else { 40 };
        let message = number.to_be_bytes().repeat(length / 4);
        expected.extend_from_slice(Frame::binary(&message).wire());
        outbox.say(Frame::binary(&message));
        number += 1;
        if reader.0.lock().writer == Writer::Reader {
            more -= 1;
        }
    }
    let writing = async {
        let bytes = reader.blocked().await;
        reader.write(bytes).await.unwrap();
        // It may have written more than it was to, and what was left is another stretch.
        while reader.0.lock().writer == Writer::Reader {
            let bytes = reader.blocked().await;
            reader.write(bytes).await.unwrap();
        }
    };
    let (read, ()) = tokio::join!(read(&mut far, expected.len()), writing);
    assert!(read == expected, "the bytes are others");
    assert_eq!(reader.0.lock().bytes, 0);
    outbox.say(Frame::ping());
    let mut ping = [0; 2];
    far.read_exact(&mut ping).await.unwrap();
    assert_eq!(ping, [0x89, 0]);
}

#[tokio::test]
async fn a_goodbye_comes_after_the_end_of_a_frame_that_has_begun() {
    let (outbox, mut reader, mut far) = connected(&limits(1 << 20, 64 << 20)).await;
    let message = vec![7; 60_000];
    let mut put = 0;
    while reader.0.lock().begun == 0 {
        outbox.say(Frame::binary(&message));
        put += 1;
        assert!(put < 10_000, "the socket takes everything");
    }
    let closing = Closing::new(CLOSE_TOO_SLOW, "slow");
    outbox.close(closing.clone());
    let goodbye = async {
        reader.say_goodbye(&closing).await;
        drop(reader);
    };
    let mut all = Vec::new();
    let (read, ()) = tokio::join!(far.read_to_end(&mut all), goodbye);
    read.unwrap();
    let frame = Frame::binary(&message).wire().len();
    let goodbye = Frame::close(&closing);
    assert_eq!(
        all.len() % frame,
        goodbye.wire().len(),
        "whole frames, then the goodbye"
    );
    assert!(all.ends_with(goodbye.wire()));
}

#[tokio::test]
async fn who_has_gone_is_left_to_the_connections_task_which_may_still_read() {
    let (outbox, mut reader, far) = connected(&limits(1 << 20, 64 << 20)).await;
    far.set_zero_linger().unwrap();
    drop(far);
    while reader.0.lock().writer != Writer::Reader {
        outbox.say(Frame::binary(&[1]));
        tokio::task::yield_now().await;
    }
    assert!(!outbox.is_closed(), "the room would forget whoever wrote before");
    let bytes = reader.blocked().await;
    reader.write(bytes).await.unwrap_err();
}

#[tokio::test]
async fn too_many_frames_cut_the_connection_off() {
    let (outbox, mut reader) = outbox(&limits(2, 1000));
    for _ in 0..3 {
        put(&outbox, b"x");
    }
    let closing = reader.take(&mut Vec::new(), 100).await.unwrap_err();
    assert_eq!(closing.code, CLOSE_TOO_SLOW);
    assert!(outbox.is_closed());
}

#[tokio::test]
async fn too_many_bytes_cut_it_off_but_one_large_frame_passes() {
    let (outbox, mut reader) = outbox(&limits(100, 10));
    put(&outbox, &[0; 50]);
    // What comes while it is on its way has room beside it.
    put(&outbox, &[0; 4]);
    assert!(!outbox.is_closed());
    let mut batch = Vec::new();
    reader.take(&mut batch, 100).await.unwrap();
    for frame in &batch {
        reader.sent(reader.weigh(frame));
    }
    for _ in 0..2 {
        put(&outbox, &[0; 5]);
        assert!(!outbox.is_closed());
    }
    put(&outbox, &[0; 1]);
    assert!(reader.take(&mut batch, 100).await.is_err());
}

#[test]
fn a_reason_fits_into_a_close_frame() {
    assert_eq!(Closing::new(1000, "é".repeat(100)).reason.len(), 120);
}
