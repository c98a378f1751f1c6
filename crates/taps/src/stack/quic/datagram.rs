//! The datagrams of a QUIC connection (RFC 9221): messages that may be lost or overtaken, and never arrive in part.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, SendDatagramError};
use tokio::time::sleep;

use super::arrivals::Arrivals;
use super::error;
use super::link::Member;
use crate::framer::outbox::Leaving;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::transport::{Arrived, Limits, MessageTransport};

/// How often is looked whether everything has left.
const LOOK: Duration = Duration::from_millis(2);

/// How long the last datagrams may take to leave.
const END_PATIENCE: Duration = Duration::from_secs(1);

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The datagrams of one connection.
pub(super) struct Datagrams {
    member: Option<Member>,
    /// How much room there is for datagrams that wait, when none does.
    room: usize,
    /// What was taken while there was no room for it.
    sending: Option<Pending<Result<(), SendDatagramError>>>,
    arrivals: Arrivals,
    /// The one by which the server knew that it is of datagrams.
    first: Option<Bytes>,
    received_early: bool,
    ending: Option<Pending<()>>,
    ended: bool,
    aborted: bool,
}

impl Datagrams {
    pub(super) fn new(member: Member, first: Option<Bytes>, received_early: bool) -> Self {
        Self {
            room: member.link.connection.datagram_send_buffer_space(),
            member: Some(member),
            sending: None,
            arrivals: Arrivals::default(),
            first,
            received_early,
            ending: None,
            ended: false,
            aborted: false,
        }
    }

    fn member(&self) -> &Member {
        self.member.as_ref().expect("datagrams are a member until they are dropped")
    }

    fn connection(&self) -> &Connection {
        &self.member().link.connection
    }

    fn failed_send(&self, error: &SendDatagramError) -> io::Error {
        match error {
            SendDatagramError::TooLarge => io::ErrorKind::InvalidInput.into(),
            SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => io::ErrorKind::Unsupported.into(),
            SendDatagramError::ConnectionLost(error) => self.member().link.lost(error),
        }
    }

    fn arrived(&mut self, data: Bytes) -> Arrived {
        self.member().link.follow();
        let mut context = MessageContext::default();
        self.received_early &= self.member().link.is_handshaking();
        if self.received_early {
            context.set_early_data();
        }
        Arrived::Message(data, context)
    }
}

impl MessageTransport for Datagrams {
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.member().link.follow();
        // One that is too long is refused whether there is room or not.
        let sent = pin!(self.connection().send_datagram_wait(message.to_bytes())).poll(cx);
        match sent {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|error| self.failed_send(&error))),
            Poll::Pending => {
                // Only now is it needed a second time.
                let (connection, data) = (self.connection().clone(), message.to_bytes());
                self.sending = Some(Box::pin(async move { connection.send_datagram_wait(data).await }));
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(cx));
        self.sending = None;
        Poll::Ready(match sent {
            // The path has become narrower meanwhile: lost, as datagrams may be.
            Err(SendDatagramError::TooLarge) | Ok(()) => Ok(()),
            Err(error) => Err(self.failed_send(&error)),
        })
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let (connection, room) = (self.connection().clone(), self.room);
        let ending = self.ending.get_or_insert_with(|| Box::pin(emptied(connection, room)));
        ready!(ending.as_mut().poll(cx));
        self.ended = true;
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(self.arrived(first)));
        }
        let Self { arrivals, member, .. } = self;
        let member = member.as_ref().expect("datagrams are a member until they are dropped");
        Poll::Ready(match ready!(arrivals.poll(&member.link.connection, cx)) {
            Ok(data) => Ok(self.arrived(data)),
            Err(error) if error::in_order(&error) => Ok(Arrived::End),
            Err(error) => Err(self.member().link.lost(&error)),
        })
    }

    fn round_trip(&self) -> Option<Duration> {
        self.member().link.round_trip()
    }

    fn abort(&mut self) {
        self.aborted = true;
    }

    fn limits(&self) -> Limits {
        let send = self.connection().max_datagram_size();
        Limits { send, receive: Some(usize::from(u16::MAX)), singular: send }
    }

    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()> {
        self.member().link.apply(from, to)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        let Some(mut member) = self.member.take() else { return };
        member.aborted = self.aborted;
        if self.aborted || self.ended || member.link.connection.close_reason().is_some() {
            return;
        }
        let (sending, room, link) = (self.sending.take(), self.room, member.link.clone());
        link.runtime().spawn(async move {
            if let Some(sending) = sending {
                let _ = tokio::time::timeout(END_PATIENCE, sending).await;
            }
            emptied(member.link.connection.clone(), room).await;
            drop(member);
        });
    }
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").finish_non_exhaustive()
    }
}

/// Waits until every datagram has left, or some time is over: a close would drop them.
async fn emptied(connection: Connection, room: usize) {
    let empty = async {
        while connection.close_reason().is_none() && connection.datagram_send_buffer_space() < room {
            sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(END_PATIENCE, empty).await;
}
