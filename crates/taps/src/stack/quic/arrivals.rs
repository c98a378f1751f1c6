//! The datagrams of a QUIC connection as they arrive.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use quinn::{Connection, ConnectionError};

type Received = Result<Bytes, ConnectionError>;

/// The wait for the next datagram. It is kept, so that who waits is woken.
#[derive(Default)]
pub(super) struct Arrivals {
    waiting: Option<Pin<Box<dyn Future<Output = Received> + Send>>>,
}

impl Arrivals {
    /// Ready with the next datagram of the connection.
    pub(super) fn poll(&mut self, connection: &Connection, cx: &mut Context<'_>) -> Poll<Received> {
        let mut received = Poll::Pending;
        if self.waiting.is_none() {
            received = pin!(connection.read_datagram()).poll(cx);
        }
        if received.is_pending() {
            let wait = || -> Pin<Box<dyn Future<Output = Received> + Send>> {
                let connection = connection.clone();
                Box::pin(async move { connection.read_datagram().await })
            };
            received = self.waiting.get_or_insert_with(wait).as_mut().poll(cx);
        }
        let received = ready!(received);
        self.waiting = None;
        Poll::Ready(received)
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").finish_non_exhaustive()
    }
}
