//! A controller that is cut off after any number of bytes: its transaction is committed or not, and nothing between.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use postroad_broker::Broker;
use postroad_codec::v1_0::Outcome;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::client::{Client, numbered};
use crate::transactions::{control, declare, discharge, post_all, retire};
use crate::{broker, eventually};

/// A stream that takes so many bytes and no more.
struct Cut {
    stream: TcpStream,
    left: usize,
    /// Told when it has taken them.
    over: Arc<Notify>,
}

impl AsyncRead for Cut {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = buf.len().min(self.left);
        if count == 0 {
            self.over.notify_one();
            return Poll::Pending;
        }
        let written = std::task::ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..count]))?;
        self.left -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Replaces two messages of a queue by two others.
async fn replace(stream: Cut) {
    let mut client = Client::open(stream, None).await.unwrap();
    let control = control(&mut client).await;
    let sender = client.sender("q0").await.unwrap();
    let receiver = client.receiver("q0", 2).await.unwrap();
    let id = declare(&mut client, control).await;
    for settled in [false, true] {
        post_all(&mut client, sender, &id, numbered(2 + usize::from(settled)..3 + usize::from(settled))).await;
        let delivery = client.receive(receiver).await;
        retire(&mut client, receiver, delivery.number, &id, Outcome::Accepted, settled);
        client.flush().await;
    }
    discharge(&mut client, control, &id, false).await.unwrap();
    client.close().await;
}

/// What is in the queue of a broker whose controller was cut off after so many bytes; `true`: it was not.
async fn cut_at(bytes: usize) -> (Vec<String>, bool) {
    let broker: Broker = broker().await;
    let mut witness = Client::connect(&broker).await;
    let sender = witness.sender("q0").await.unwrap();
    witness.send_all(sender, numbered(0..2)).await;
    let stream = TcpStream::connect(broker.addr().unwrap()).await.unwrap();
    let over = Arc::new(Notify::new());
    let whole = tokio::select! {
        () = replace(Cut { stream, left: bytes, over: Arc::clone(&over) }) => true,
        () = over.notified() => false,
    };
    eventually("the controller is gone", || broker.connections() == 1).await;
    let stats = broker.queue_stats("q0").unwrap();
    assert_eq!((stats.ready, stats.unsettled, stats.uncommitted), (2, 0, 0), "after {bytes} bytes: {stats:?}");
    assert_eq!(broker.open_transactions(), 0);
    let receiver = witness.receiver("q0", 2).await.unwrap();
    let texts = vec![witness.receive_text(receiver).await, witness.receive_text(receiver).await];
    (texts, whole)
}

#[tokio::test]
async fn a_controller_that_is_cut_off_anywhere_has_done_all_or_nothing() {
    let (before, after) = (["m0", "m1"], ["m2", "m3"]);
    let mut committed = false;
    // Frames are of many lengths, so that each is cut in its head, its body, and between it and the next.
    for bytes in (0..).step_by(13) {
        let (found, whole) = cut_at(bytes).await;
        assert!(found == before || found == after, "after {bytes} bytes: {found:?}");
        // Once the discharge has come, it stays so.
        assert!(!committed || found == after, "after {bytes} bytes: {found:?}");
        committed = found == after;
        if whole {
            assert!(committed && bytes > 500);
            return;
        }
    }
}
