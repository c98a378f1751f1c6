//! The seam between a connection and what carries it: one established instance of a protocol stack.
//!
//! A stack is one of two kinds. A stream carries bytes, and framers make messages of them. A message transport keeps
//! messages apart by itself. What both have in common, the properties of a running connection and the opening of
//! further ones beside it, stands here too.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::connection::SoftError;
use crate::credentials::PeerCredentials;
use crate::endpoint::EndpointAddress;
use crate::error::AttemptError;
use crate::framer::outbox::Leaving;
use crate::group::Group;
use crate::message::MessageContext;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::tls::TlsInfo;

/// A future that somebody else runs.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a protocol stack gives when it is ready.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) transport: Transport,
    pub(crate) about: About,
    /// Where further connections to the same peer come from, when the stack carries many in one.
    pub(crate) streams: Option<Arc<dyn Streams>>,
    /// The group that the connection is born into, when others share its protocol instance or its listener.
    pub(crate) group: Option<Arc<Group>>,
}

impl Established {
    /// A stream that stands by itself.
    pub(crate) fn stream(stream: ByteStream) -> Self {
        let about = stream.about().clone();
        Self { transport: Transport::Stream(stream), about, streams: None, group: None }
    }

    /// A transport of messages that stands by itself.
    pub(crate) fn messages(transport: Box<dyn MessageTransport>, about: About) -> Self {
        Self { transport: Transport::Message(transport), about, streams: None, group: None }
    }
}

/// What is known about an established transport.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) stack: ProtocolStack,
    pub(crate) local: EndpointAddress,
    pub(crate) remote: EndpointAddress,
    pub(crate) tls: Option<TlsInfo>,
    /// What a WebSocket carries, when its ends have agreed on that.
    pub(crate) subprotocol: Option<Arc<str>>,
    /// Who the peer is, where the system vouches for it.
    pub(crate) credentials: Option<PeerCredentials>,
    /// Whether several paths may be in use: both ends have agreed on it.
    pub(crate) multipath: bool,
    /// Whether data may leave before the handshake is over.
    pub(crate) zero_rtt: bool,
    pub(crate) can_send: bool,
    pub(crate) can_receive: bool,
}

impl About {
    pub(crate) fn new(stack: ProtocolStack, local: EndpointAddress, remote: EndpointAddress) -> Self {
        Self {
            stack,
            local,
            remote,
            tls: None,
            subprotocol: None,
            credentials: None,
            multipath: false,
            zero_rtt: false,
            can_send: true,
            can_receive: true,
        }
    }
}

/// An established transport.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Bytes in order; each direction can end by itself.
    Stream(ByteStream),
    /// Messages, each whole or not at all.
    Message(Box<dyn MessageTransport>),
}

impl Transport {
    /// What a packet takes to the peer and back, as the transport has measured it; `None` where it has not.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Stream(stream) => stream.round_trip(),
            Self::Message(transport) => transport.round_trip(),
        }
    }
}

/// How long messages may be, in bytes. `None`: as long as one likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) send: Option<usize>,
    pub(crate) receive: Option<usize>,
    /// Without fragmentation or segmentation.
    pub(crate) singular: Option<usize>,
}

/// What a message transport has received.
#[derive(Debug)]
pub(crate) enum Arrived {
    Message(Bytes, MessageContext),
    /// Something about an earlier message that ends nothing (RFC 9622 8.3.1).
    SoftError(SoftError),
    /// The peer sends nothing more.
    End,
}

/// An error about one message that the system has refused. It was not sent, and the transport lives on.
#[derive(Debug)]
pub(crate) struct NotSent(pub(crate) io::ErrorKind);

impl NotSent {
    /// Says of an error that it is about one message.
    pub(crate) fn error(of: &io::Error) -> io::Error {
        io::Error::new(of.kind(), Self(of.kind()))
    }

    /// Whether an error is about one message.
    pub(crate) fn of(error: &io::Error) -> Option<io::ErrorKind> {
        Some(error.get_ref()?.downcast_ref::<Self>()?.0)
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the message was not sent: {}", self.0)
    }
}

impl std::error::Error for NotSent {}

/// A transport that keeps messages apart.
///
/// The two directions are polled independently, and each keeps the last waker only: the connection sees to that.
pub(crate) trait MessageTransport: Send + fmt::Debug {
    /// Takes a message whole, or leaves it whole. It may still be on its way when this is ready: see
    /// [`poll_flush`](Self::poll_flush).
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &Leaving<'_>) -> Poll<io::Result<()>>;

    /// Ready when everything that was taken has left this process.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Tells the peer that nothing more comes. What it sends can still be received where the transport has that.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Receives once.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Arrived>>;

    /// As [`Transport::round_trip`].
    fn round_trip(&self) -> Option<Duration> {
        None
    }

    /// Makes the coming drop an abort instead of an orderly end.
    fn abort(&mut self) {}

    /// How long messages may be now. It may ask the system.
    fn limits(&self) -> Limits;

    /// How long a message may be that is sent, as in [`limits`](Self::limits), without asking the system.
    fn longest(&self) -> Option<usize> {
        self.limits().send
    }

    /// Brings a running transport from some properties to others.
    ///
    /// # Errors
    /// `Unsupported` when a property has changed that this transport does not have; what the system said when it
    /// refuses a value.
    fn apply(&mut self, from: &ConnectionProperties, to: &ConnectionProperties) -> io::Result<()>;
}

/// A source of further connections beside an established one, as streams of one protocol instance (RFC 9622 7.4).
pub(crate) trait Streams: Send + Sync + fmt::Debug {
    /// Opens one more.
    fn open(&self, properties: &ConnectionProperties) -> BoxFuture<'static, Result<Established, AttemptError>>;
}
