//! Sockets that the runtime has no type for: sequenced packets of Unix, connected to by an abstract name.
#![cfg(target_os = "linux")]

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use postroad_sys::AsyncSocket;
use postroad_sys::message::{self, Outgoing};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::Interest;

fn pair() -> (AsyncSocket, AsyncSocket) {
    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    (AsyncSocket::new(one).unwrap(), AsyncSocket::new(other).unwrap())
}

fn receive(socket: &Socket) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(2000);
    message::receive_into(socket, &mut buffer)?;
    Ok(buffer)
}

fn send(socket: &Socket, payload: &[u8]) -> io::Result<usize> {
    message::send(socket, &[IoSlice::new(payload)], &Outgoing::new())
}

/// Nothing waits so long that happens at all.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it happens soon")
}

#[tokio::test]
async fn packets_come_one_by_one() {
    let (one, other) = pair();
    let mut waiting = pin!(other.async_io(Interest::READABLE, receive));
    // Nothing is there, and the socket does not block.
    assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    for payload in [&b"first"[..], b"second"] {
        soon(one.async_io(Interest::WRITABLE, |socket| send(socket, payload))).await.unwrap();
    }
    assert_eq!(soon(waiting).await.unwrap(), b"first");
    assert_eq!(soon(poll_fn(|cx| other.poll_read_io(cx, receive))).await.unwrap(), b"second");
}

#[tokio::test]
async fn writer_waits_for_the_reader() {
    let (one, other) = pair();
    let payload = [7; 1000];
    let mut sent = 0;
    // Until the kernel takes no more, which it says by itself.
    while send(one.get_ref(), &payload).is_ok() {
        sent += 1;
    }
    assert_eq!(send(one.get_ref(), &payload).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut waiting = pin!(poll_fn(|cx| one.poll_write_io(cx, |socket| send(socket, &payload))));
    assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    for _ in 0..sent {
        assert_eq!(soon(other.async_io(Interest::READABLE, receive)).await.unwrap(), payload);
    }
    assert_eq!(soon(waiting).await.unwrap(), payload.len());
}

#[tokio::test]
async fn listener_has_an_abstract_name() {
    let listener = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    listener.bind(&SockAddr::unix(format!("\0postroad-sys-{}", std::process::id())).unwrap()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(address.as_abstract_namespace().is_some());
    let listener = AsyncSocket::new(listener).unwrap();

    let client = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    client.connect(&address).unwrap();
    let (server, _) = soon(listener.async_io(Interest::READABLE, Socket::accept)).await.unwrap();
    let server = AsyncSocket::new(server).unwrap();
    send(&client, b"hello").unwrap();
    assert_eq!(soon(server.async_io(Interest::READABLE, receive)).await.unwrap(), b"hello");
    drop(client);
    assert_eq!(soon(server.async_io(Interest::READABLE, receive)).await.unwrap(), b"");
}
