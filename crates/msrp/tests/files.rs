//! Files over real sockets.

mod common;

use std::fs::File;
use std::io::{Read, Write};

use common::{sessions, soon, transports};
use postroad_msrp::Code;
use postroad_msrp::connect::Options;
use postroad_msrp::engine::Outgoing;
use postroad_msrp::session::{DeliveryError, FileError, Incoming, IncomingFile, OutgoingFile, Session};
use sha2::{Digest, Sha256};

/// Octets that repeat after a long time only.
fn octets(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn outgoing(content: &[u8]) -> OutgoingFile {
    OutgoingFile::new(std::io::Cursor::new(content.to_vec()), "application/octet-stream").unwrap()
}

async fn file(session: &mut Session) -> IncomingFile {
    loop {
        match soon(session.receive()).await.unwrap() {
            Incoming::File(file) => return file,
            Incoming::Message(_) | Incoming::Report(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn r49_r50_files_of_every_size_arrive_as_they_were() {
    let (alice, mut bob) = sessions().await;
    for length in [0, 1, 10_240] {
        let transfer = alice.send_file(outgoing(&octets(length))).unwrap();
        let Incoming::Message(message) = soon(bob.receive()).await.unwrap() else { panic!("{length}") };
        assert!(message.content == octets(length), "{length}");
        soon(transfer.outcome()).await.unwrap();
    }
    for (length, said) in [(3 << 20, true), (3 << 20, false), (5_000_001, true)] {
        let content = octets(length);
        let to_send = outgoing(&content);
        let to_send = if said { to_send.with_size(length as u64) } else { to_send };
        let transfer = alice.send_file(to_send).unwrap();
        let incoming = file(&mut bob).await;
        assert_eq!(incoming.content_type(), "application/octet-stream");
        assert_eq!(incoming.size(), said.then_some(length as u64));
        let target = tempfile::tempfile().unwrap();
        let saved = soon(incoming.save(target.try_clone().unwrap())).await.unwrap();
        soon(transfer.outcome()).await.unwrap();
        let sha256: [u8; 32] = Sha256::digest(&content).into();
        assert_eq!((saved.size, saved.sha256), (length as u64, sha256), "{length}");
        let mut written = Vec::new();
        let mut target = target;
        std::io::Seek::rewind(&mut target).unwrap();
        target.read_to_end(&mut written).unwrap();
        assert!(written == content, "{length}");
    }
}

#[tokio::test]
async fn small_files_come_whole_where_their_size_is_said() {
    let (alice, mut bob) = sessions().await;
    let transfer = alice.send_file(outgoing(b"twelve bytes").with_size(12)).unwrap();
    let Incoming::Message(message) = soon(bob.receive()).await.unwrap() else { panic!() };
    assert_eq!(message.content, "twelve bytes");
    soon(transfer.outcome()).await.unwrap();
}

#[tokio::test]
async fn r10_chat_overtakes_a_file() {
    let (alice, mut bob) = sessions().await;
    let length = 64 << 20;
    let transfer = alice.send_file(outgoing(&octets(1 << 20).repeat(64)).with_size(length)).unwrap();
    let mut incoming = file(&mut bob).await;
    let (mut came, mut at) = (0, Vec::new());
    let taking = tokio::spawn(async move {
        while let Some((_, part)) = soon(incoming.next_part()).await.unwrap() {
            came += part.len() as u64;
        }
        came
    });
    for number in 0..20 {
        soon(alice.deliver(Outgoing::new("text/plain", number.to_string()))).await.unwrap();
        at.push(transfer.accepted());
        assert_eq!(common::text(&mut bob).await, number.to_string());
    }
    assert_eq!(soon(taking).await.unwrap(), length);
    soon(transfer.outcome()).await.unwrap();
    // They did not wait for the file.
    assert!(at[0] < length / 2, "{at:?}");
}

#[tokio::test]
async fn r41_who_does_not_want_a_file_says_so() {
    let (alice, mut bob) = sessions().await;
    let transfer = alice.send_file(outgoing(&octets(20 << 20))).unwrap();
    let mut incoming = file(&mut bob).await;
    soon(incoming.next_part()).await.unwrap();
    incoming.reject();
    let refused = soon(transfer.outcome()).await.unwrap_err();
    assert!(matches!(refused, FileError::Delivery(DeliveryError::Refused { code: Code::STOP, .. })), "{refused}");
    soon(alice.deliver(Outgoing::new("text/plain", "and else?"))).await.unwrap();
}

#[tokio::test]
async fn r49_a_file_that_is_cancelled_is_broken_at_the_other_end() {
    let (alice, mut bob) = sessions().await;
    let transfer = alice.send_file(outgoing(&octets(20 << 20))).unwrap();
    let mut incoming = file(&mut bob).await;
    soon(incoming.next_part()).await.unwrap();
    transfer.cancel();
    let target = tempfile::tempfile().unwrap();
    assert_eq!(soon(incoming.save(target)).await.unwrap_err(), FileError::AbortedByPeer);
    assert_eq!(soon(transfer.outcome()).await.unwrap_err(), FileError::Delivery(DeliveryError::Aborted));
}

#[tokio::test]
async fn a_file_that_is_not_as_long_as_was_said() {
    let (alice, mut bob) = sessions().await;
    for said in [2 << 20, 8 << 20] {
        let transfer = alice.send_file(outgoing(&octets(5 << 20)).with_size(said)).unwrap();
        let incoming = file(&mut bob).await;
        let target = tempfile::tempfile().unwrap();
        assert_eq!(soon(incoming.save(target)).await.unwrap_err(), FileError::AbortedByPeer);
        assert!(matches!(soon(transfer.outcome()).await.unwrap_err(), FileError::Io(_)));
    }
}

/// Reads so much and fails then.
struct Fails(usize);

impl tokio::io::AsyncRead for Fails {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.0 == 0 {
            return std::task::Poll::Ready(Err(std::io::Error::other("the disk is gone")));
        }
        let length = self.0.min(into.remaining());
        into.put_slice(&vec![1; length]);
        self.0 -= length;
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read() {
    let (alice, mut bob) = sessions().await;
    let transfer = alice.send_file(OutgoingFile::new(Fails(3 << 20), "a/b").unwrap()).unwrap();
    let incoming = file(&mut bob).await;
    let target = tempfile::tempfile().unwrap();
    assert_eq!(soon(incoming.save(target)).await.unwrap_err(), FileError::AbortedByPeer);
    assert_eq!(soon(transfer.outcome()).await.unwrap_err(), FileError::Io("the disk is gone".into()));
}

#[tokio::test]
async fn r26_r51_a_file_goes_on_in_another_session() {
    let content = octets(48 << 20);
    let sha256: [u8; 32] = Sha256::digest(&content).into();
    let target = tempfile::NamedTempFile::new().unwrap();
    let mut came = 0_u64;
    // Cut again and again, each time a bit later.
    for round in 1..=5 {
        let (alice, mut bob) = sessions().await;
        let rest = std::io::Cursor::new(content[came as usize..].to_vec());
        let to_send = OutgoingFile::new(rest, "a/b").unwrap().with_size(content.len() as u64).with_position(came);
        let transfer = alice.send_file(to_send).unwrap();
        let mut incoming = file(&mut bob).await;
        let mut written = File::options().write(true).open(target.path()).unwrap();
        std::io::Seek::seek(&mut written, std::io::SeekFrom::Start(came)).unwrap();
        let until = round * (4 << 20);
        while came < until {
            let (offset, part) = soon(incoming.next_part()).await.unwrap().unwrap();
            assert_eq!(offset, came);
            written.write_all(&part).unwrap();
            came += part.len() as u64;
        }
        // Alice goes.
        drop((alice, transfer));
        loop {
            match soon(incoming.next_part()).await {
                Ok(Some((offset, part))) => {
                    assert_eq!(offset, came);
                    written.write_all(&part).unwrap();
                    came += part.len() as u64;
                }
                Ok(None) => panic!("it is not whole"),
                Err(error) => {
                    assert!(error.can_resume() || error == FileError::AbortedByPeer, "{error}");
                    break;
                }
            }
        }
    }
    assert!(came < content.len() as u64);
    let (alice, mut bob) = sessions().await;
    let rest = std::io::Cursor::new(content[came as usize..].to_vec());
    let to_send = OutgoingFile::new(rest, "a/b").unwrap().with_size(content.len() as u64).with_position(came);
    let transfer = alice.send_file(to_send).unwrap();
    let incoming = file(&mut bob).await;
    let resumed = File::options().read(true).write(true).open(target.path()).unwrap();
    // What the other sessions have brought counts, though this one's first octet is not the first of the file.
    let saved = soon(incoming.with_received(came).save(resumed)).await.unwrap();
    soon(transfer.outcome()).await.unwrap();
    assert_eq!((saved.size, saved.sha256), (content.len() as u64, sha256));
}

#[tokio::test]
async fn r51_a_range_of_a_file_is_a_message_of_its_own() {
    let content = octets(9 << 20);
    let (before, rest) = content.split_at(4 << 20);
    let (alice, mut bob) = sessions().await;
    let transfer = alice.send_file(outgoing(rest)).unwrap();
    let mut target = tempfile::tempfile().unwrap();
    target.write_all(before).unwrap();
    let incoming = file(&mut bob).await;
    let saved = soon(incoming.save_behind(target, before.len() as u64, |_| {})).await.unwrap();
    soon(transfer.outcome()).await.unwrap();
    let sha256: [u8; 32] = Sha256::digest(&content).into();
    assert_eq!((saved.size, saved.sha256), (content.len() as u64, sha256));
}

#[tokio::test]
async fn r10_a_file_in_short_chunks() {
    let mut options = Options::default();
    (options.chunk, options.connection.window) = (Some(10_240), 16);
    let (connected, accepted) = transports(options).await;
    let (alice, mut bob) = (Session::new(connected), Session::new(accepted));
    let content = octets(20 << 20);
    let transfer = alice.send_file(outgoing(&content).with_size(content.len() as u64)).unwrap();
    let incoming = file(&mut bob).await;
    let saved = soon(incoming.save(tempfile::tempfile().unwrap())).await.unwrap();
    soon(transfer.outcome()).await.unwrap();
    let sha256: [u8; 32] = Sha256::digest(&content).into();
    assert_eq!(saved.sha256, sha256);
}
