//! A connection: sending, receiving, closing (RFC 9622 8 to 10).

mod core;
mod error;
mod event;
mod grouped;
mod halves;
mod message;
mod opening;
mod pace;
mod paths;
mod properties;
mod queue;
mod receive;
mod send;

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::credentials::PeerCredentials;
use crate::endpoint::EndpointAddress;
use crate::error::{AttemptError, EstablishmentError};
use crate::framer::FramerFactory;
use crate::framer::stack::Stack;
use crate::group::Group;
use crate::message::{Endpoints, Message, MessageContext, Receive};
use crate::properties::TransportProperties;
use crate::protocol::ProtocolStack;
use crate::selection::{Context as Memory, Way};
use crate::stack::{Leaf, Setting};
use crate::stream::ByteStream;
use crate::tls::TlsInfo;
use crate::transport::{About, BoxFuture, Established, Streams, Transport};
use core::Core;
use opening::Opening;
use receive::ReceiveOne;
use send::{Draining, SendAll, SendOne};

pub use error::{BatchError, ConnectionError, IntoByteStreamError, ReceiveError, SendError};
pub use event::{Event, EventStream, SoftError};
pub use grouped::{CloneError, CloneOptions};
pub use halves::{ReceiveHalf, ReuniteError, SendHalf};
pub use message::PartialMessage;

/// A connection (RFC 9622 7), made by [`Preconnection::initiate`](crate::Preconnection::initiate) or a
/// [`Listener`](crate::Listener).
///
/// It carries messages when its transport keeps them apart or it has framers; otherwise each direction is one message
/// that ends with the stream. An engine that frames by itself takes the bytes with
/// [`into_byte_stream`](Self::into_byte_stream).
///
/// All methods take `&self`, so tasks may share a connection in an `Arc` or borrow it; [`into_split`](Self::into_split)
/// gives one owner to each direction. Messages of one priority are sent in the order of the calls to `send`, and
/// received in the order of the calls to `receive`. The tasks that call do the input and output, establishment
/// included: a connection on which nobody waits stands still. Dropping it closes the transport and loses what a dropped
/// future left unsent.
#[derive(Debug)]
pub struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// Never locked across a wait.
    core: Mutex<Core>,
    /// Filled when the connection is established.
    facts: Arc<OnceLock<Facts>>,
}

/// What is known of an established connection and does not change.
#[derive(Debug)]
pub(crate) struct Facts {
    about: About,
    origin: Origin,
    streams: Option<Arc<dyn Streams>>,
    group: Option<Arc<Group>>,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ConnectionState {
    /// It is being established; what is sent waits.
    #[doc(alias = "ESTABLISHING")]
    Establishing = 1,
    /// It can be used.
    #[doc(alias = "ESTABLISHED")]
    Established = 2,
    /// It is being closed: what was handed over is still being sent.
    #[doc(alias = "CLOSING")]
    Closing = 3,
    /// It is closed, or has failed.
    #[doc(alias = "CLOSED")]
    Closed = 4,
}

/// A transport with started framers, and what is known about it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) framers: Stack,
    pub(crate) facts: Facts,
    /// Whether the first message has left with the handshake.
    pub(crate) first_sent: bool,
}

/// Where a connection comes from, so that others can be made like it.
pub(crate) struct Origin {
    framers: Vec<FramerFactory>,
    /// How the peer was reached; none for a connection that the peer has opened.
    reach: Option<Reach>,
}

/// How a peer was reached, and where that is remembered.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) leaf: Leaf,
    pub(crate) setting: Setting,
    pub(crate) context: Memory,
}

impl Reach {
    /// Remembers what a packet takes to the peer and back (RFC 9623 9.2).
    fn measured(&self, round_trip: Option<Duration>) {
        // Through a proxy, it is the way to the proxy.
        if let (Some(round_trip), None) = (round_trip, &self.setting.proxy) {
            let path = self.leaf.interface.clone().unwrap_or_default();
            let way = Way { path, host: self.leaf.host.clone() };
            self.context.measured(&way, round_trip, Instant::now().into_std());
        }
    }
}

impl Origin {
    pub(crate) fn new(framers: &[FramerFactory], reach: Option<Reach>) -> Self {
        Self { framers: framers.to_vec(), reach }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("reach", &self.reach).finish_non_exhaustive()
    }
}

impl Opened {
    /// Starts the framers over an established transport. Where data may leave before the handshake is over, `first` does
    /// (RFC 9622 7.1 and 6.2.5); elsewhere it waits until it is known which transport it goes over. In a box, for it is
    /// large, and passed on by everyone who waits for it.
    pub(crate) async fn start(
        established: Established,
        origin: Origin,
        first: Option<&Message>,
    ) -> Result<Box<Self>, AttemptError> {
        let Established { transport, about, streams, group } = established;
        let framers = &origin.framers;
        let mut stack = match &transport {
            Transport::Stream(_) => Stack::new(framers),
            Transport::Message(transport) => Stack::of_messages(framers, transport.longest()),
        };
        stack.set_endpoints(Arc::new(Endpoints { local: about.local.clone(), remote: about.remote.clone() }));
        if let Transport::Stream(stream) = &transport
            && stream.takes_loose()
        {
            stack.set_beside(framers);
        }
        let first = first.filter(|_| about.zero_rtt);
        if !stack.has_framers() && first.is_none() {
            let facts = Facts { about, origin, streams, group };
            return Ok(Box::new(Self { transport, framers: stack, facts, first_sent: false }));
        }
        // In a box, as what needs none is the smaller for it.
        let (transport, framers) = Box::pin(start_framers(transport, stack, first)).await?;
        let facts = Facts { about, origin, streams, group };
        Ok(Box::new(Self { transport, framers, facts, first_sent: first.is_some() }))
    }

    /// Remembers what the establishment has shown of the way to the peer.
    pub(crate) fn measure(&self) {
        if let Some(reach) = &self.facts.origin.reach {
            reach.measured(self.transport.round_trip());
        }
    }
}

/// Starts the framers, and sends what leaves with the handshake behind what they say.
async fn start_framers(
    transport: Transport,
    stack: Stack,
    first: Option<&Message>,
) -> Result<(Transport, Stack), AttemptError> {
    let mut core = Core::starting(transport, stack);
    poll_fn(|cx| core.poll_start(cx)).await?;
    if let Some(first) = first {
        core.stack.send(first.clone())?;
        poll_fn(|cx| core.poll_write_out(cx)).await.map_err(|error| AttemptError::from_io(&error))?;
    }
    core.into_parts().ok_or(AttemptError::Transport(std::io::ErrorKind::NotConnected))
}

impl Connection {
    pub(crate) fn new(opened: Box<Opened>, properties: &TransportProperties) -> Self {
        let Opened { transport, framers, facts, first_sent: _ } = *opened;
        let group = facts.group.clone();
        let connection = Self::over(Core::new(transport, framers, facts, properties.clone()));
        if let Some(group) = group {
            connection.inner.join(&group);
        }
        connection
    }

    /// A connection that is still to be established, by this future.
    pub(crate) fn establishing(
        future: BoxFuture<'static, Result<Box<Opened>, EstablishmentError>>,
        properties: &TransportProperties,
        first: Option<Message>,
    ) -> Self {
        Self::over(Core::opening(Opening::new(future), properties.clone(), first))
    }

    fn over(core: Core) -> Self {
        let facts = core.facts();
        let inner = Inner { core: Mutex::new(core), facts };
        Self { inner: Arc::new(inner) }
    }

    /// Waits until the connection is established.
    ///
    /// # Errors
    /// Why it was not, or what ended it since.
    ///
    /// # Cancel safety
    /// Nothing is lost; any other call goes on with the establishment too.
    #[doc(alias = "HANDLE_STATE_READY")]
    pub async fn ready(&self) -> Result<(), ConnectionError> {
        poll_fn(|cx| {
            let mut core = self.inner.core();
            ready!(core.poll_open(cx));
            // A first message, or what waited meanwhile, leaves as far as it goes.
            core.answer(cx);
            Poll::Ready(())
        })
        .await;
        self.inner.core().failure().map_or(Ok(()), Err)
    }

    /// Sends a message; resolves when the transport has taken all of it, TLS session included.
    ///
    /// Where messages wait, those with a lower priority number go first; those with a lifetime expire.
    ///
    /// # Errors
    /// See [`SendError`].
    ///
    /// # Cancel safety
    /// Before its turn has come, nothing of the message is sent. After that, all of it is, though perhaps only
    /// with the next `send`, `flush` or `close`: a message is never torn.
    #[doc(alias = "sent_handler")]
    pub async fn send(&self, message: impl Into<Message> + Send) -> Result<(), SendError> {
        SendOne::new(&self.inner, message.into()).await
    }

    /// Starts a message that is sent in parts (RFC 9622 9.2.3).
    ///
    /// Nothing else leaves between its first part and its end, where the transport is a stream.
    #[doc(alias = "end_of_message")]
    pub fn start_message(&self, context: MessageContext) -> PartialMessage<'_> {
        PartialMessage::new(&self.inner, context)
    }

    /// Sends the messages that `block` hands over, in as few writes as possible (RFC 9622 9.2.4).
    ///
    /// # Errors
    /// Names the messages that were not sent, each with its reason; the others were.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send), for each message.
    #[doc(alias = "batch_block")]
    pub async fn batch(&self, block: impl FnOnce(&mut Batch) + Send) -> Result<(), BatchError> {
        let mut batch = Batch { messages: Vec::new() };
        block(&mut batch);
        SendAll::new(&self.inner, batch.messages).await
    }

    /// Finishes what dropped futures of `send` or `batch` have left.
    ///
    /// # Errors
    /// [`SendError::Closed`] and [`SendError::ProtocolFailed`].
    ///
    /// # Cancel safety
    /// Nothing is lost; flush again.
    pub async fn flush(&self) -> Result<(), SendError> {
        let draining = Draining::new(&self.inner);
        poll_fn(|cx| self.inner.core().poll_drain(draining.ticket(), cx)).await
    }

    /// Receives the next message; one longer than [`Receive::DEFAULT_MAX`] comes in parts.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    #[doc(alias = "handler")]
    pub async fn receive(&self) -> Result<Message, ReceiveError> {
        ReceiveOne::new(&self.inner, Receive::complete()).await
    }

    /// Receives the next message or a part of it, as `want` says.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive_with(&self, want: Receive) -> Result<Message, ReceiveError> {
        ReceiveOne::new(&self.inner, want).await
    }

    /// Waits until the connection is closed by either side or has failed. It reads ahead a little, to notice that.
    ///
    /// # Errors
    /// What ended the connection out of order.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    #[doc(alias = "HANDLE_STATE_CLOSED")]
    #[doc(alias = "HANDLE_STATE_CONNECTION_ERROR")]
    pub async fn closed(&self) -> Result<(), ConnectionError> {
        let mut watching = Watching { inner: &self.inner, waits: false };
        poll_fn(|cx| {
            let closed = self.inner.core().poll_closed(cx);
            watching.waits = closed.is_pending();
            closed
        })
        .await
    }

    /// Closes the connection in order: everything that was handed over is sent, the framers may send their last
    /// bytes, the TLS session and the stream are ended. What the peer still sends is not received.
    ///
    /// It waits as long as the peer takes to read; put a timeout around it and [`abort`](Self::abort) when that is
    /// too long. Closing twice is no error.
    ///
    /// # Errors
    /// The connection failed before everything was sent.
    ///
    /// # Cancel safety
    /// The connection stays in [`ConnectionState::Closing`]; close again.
    pub async fn close(&self) -> Result<(), ConnectionError> {
        self.inner.close().await
    }

    /// Ends the connection at once: what was not sent is dropped, the peer sees a reset, and everyone who waits
    /// gets [`ConnectionError::LocalAbort`].
    pub fn abort(&self) {
        self.inner.core().abort();
    }

    /// What happens to the connection from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.inner.core().events.watch(&self.inner)
    }

    /// Hands over the bytes of a connection that has no framers, for an engine that frames by itself. It costs
    /// nothing per byte.
    ///
    /// # Errors
    /// See [`IntoByteStreamError`].
    pub fn into_byte_stream(self) -> Result<ByteStream, IntoByteStreamError> {
        self.inner.core().take_byte_stream()
    }

    /// The state of the connection.
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.inner.core().state()
    }

    /// Whether a message can be sent: not after the last one, and not once it is closing.
    #[doc(alias = "can_be_used_for_sending")]
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.inner.core().can_send()
    }

    /// Whether a message can be received: not after the peer has ended its stream and all of it was received.
    #[doc(alias = "can_be_used_for_receiving_data")]
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn can_receive(&self) -> bool {
        self.inner.core().can_receive()
    }

    /// Whether a message arrives as the message that was sent.
    #[must_use]
    pub fn preserves_boundaries(&self) -> bool {
        self.inner.core().preserves_boundaries()
    }

    /// The protocol stack that was selected; `None` while the connection is being established.
    #[must_use]
    pub fn protocol_stack(&self) -> Option<ProtocolStack> {
        Some(self.inner.facts.get()?.about.stack)
    }

    /// The address of this end; `None` while the connection is being established.
    #[must_use]
    pub fn local_endpoint(&self) -> Option<&EndpointAddress> {
        Some(&self.inner.facts.get()?.about.local)
    }

    /// The address of the other end; `None` while the connection is being established.
    #[must_use]
    pub fn remote_endpoint(&self) -> Option<&EndpointAddress> {
        Some(&self.inner.facts.get()?.about.remote)
    }

    /// Who is at the other end of a Unix socket; `None` for Unix datagrams and for other transports.
    #[must_use]
    pub fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.inner.facts.get()?.about.credentials
    }

    /// The subprotocol of a WebSocket, when one was agreed on (RFC 6455 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.inner.facts.get()?.about.subprotocol.as_deref()
    }

    /// What the TLS handshake found out; `None` for clear text.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.inner.facts.get()?.about.tls.as_ref()
    }
}

impl Inner {
    fn core(&self) -> MutexGuard<'_, Core> {
        // A framer that panicked has left its connection unusable, not the lock.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what the connection has seen of the way to its peer: by now that is more than the handshake.
    fn measure(&self) {
        if let Some(reach) = self.facts.get().and_then(|facts| facts.origin.reach.as_ref()) {
            let round_trip = self.core().round_trip();
            reach.measured(round_trip);
        }
    }

    async fn close(&self) -> Result<(), ConnectionError> {
        self.measure();
        self.core().begin_close();
        let draining = Draining::new(self);
        poll_fn(|cx| self.core().poll_close(draining.ticket(), cx)).await
    }
}

/// One who reads on to see the end. The transport wakes only who has read last: when that one goes, the others take over.
struct Watching<'a> {
    inner: &'a Inner,
    waits: bool,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.inner.core().wake_readers();
        }
    }
}

/// Takes the messages of one [`Connection::batch`].
#[derive(Debug)]
pub struct Batch {
    messages: Vec<Message>,
}

impl Batch {
    /// Adds a message.
    pub fn send(&mut self, message: impl Into<Message>) {
        self.messages.push(message.into());
    }
}
