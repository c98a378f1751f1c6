//! An established connection: sending, receiving, closing (RFC 9622 8 to 10).

mod core;
mod error;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};

use crate::error::AttemptError;
use crate::framer::FramerFactory;
use crate::framer::stack::Stack;
use crate::message::{Message, Receive};
use crate::properties::TransportProperties;
use crate::stream::ByteStream;
use crate::tls::TlsInfo;
use core::Core;

pub use error::{ConnectionError, IntoByteStreamError, ReceiveError, SendError};

/// An established connection (RFC 9622 7), made by [`Preconnection::initiate`](crate::Preconnection::initiate) or a
/// [`Listener`](crate::Listener).
///
/// It carries messages when it has framers; without, each direction is one message that ends with the stream.
/// An engine that frames by itself takes the bytes with [`into_byte_stream`](Self::into_byte_stream).
///
/// All methods take `&self`, so tasks may share a connection in an `Arc` or borrow it: messages are sent in the
/// order of the calls to `send`, and received in the order of the calls to `receive`. The task that calls does the
/// input and output. Dropping a connection closes the transport and loses what a dropped future left unsent.
#[derive(Debug)]
pub struct Connection {
    /// Never locked across a wait.
    core: Mutex<Core>,
    /// Whose turn it is to write to the transport.
    sending: tokio::sync::Mutex<()>,
    /// Whose turn it is to read from it.
    receiving: tokio::sync::Mutex<()>,
    local: SocketAddr,
    remote: SocketAddr,
    tls: Option<TlsInfo>,
    properties: TransportProperties,
    framed: bool,
}

/// Where a connection is in its life. Before it is established, there is no connection yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum ConnectionState {
    /// It can be used.
    #[doc(alias = "ESTABLISHED")]
    Established = 2,
    /// It is being closed: what was handed over is still being sent.
    Closing = 3,
    /// It is closed, or has failed.
    #[doc(alias = "CLOSED")]
    Closed = 4,
}

impl Connection {
    /// Starts the framers over an established transport.
    pub(crate) async fn open(
        stream: ByteStream,
        framers: &[FramerFactory],
        properties: &TransportProperties,
    ) -> Result<Self, AttemptError> {
        let (local, remote, tls) = (stream.local_addr(), stream.peer_addr(), stream.tls_info().cloned());
        let mut core = Core::new(stream, Stack::new(framers));
        if core.stack.has_framers() {
            poll_fn(|cx| core.poll_start(cx)).await?;
        }
        Ok(Self {
            core: Mutex::new(core),
            sending: tokio::sync::Mutex::default(),
            receiving: tokio::sync::Mutex::default(),
            local,
            remote,
            tls,
            properties: properties.clone(),
            framed: !framers.is_empty(),
        })
    }

    /// Sends a message; resolves when the transport has taken all of it, TLS session included.
    ///
    /// # Errors
    /// See [`SendError`].
    ///
    /// # Cancel safety
    /// Before its turn has come, nothing of the message is sent. After that, all of it is, though perhaps only
    /// with the next `send`, `flush` or `close`: a message is never torn.
    #[doc(alias = "sent_handler")]
    pub async fn send(&self, message: impl Into<Message> + Send) -> Result<(), SendError> {
        self.send_all(&mut Some(message.into()).into_iter()).await
    }

    /// Sends the messages that `block` hands over, in as few writes as possible.
    ///
    /// # Errors
    /// See [`SendError`]; when a framer refuses one message, none of the batch is sent.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send), for the batch as a whole.
    #[doc(alias = "batch_block")]
    pub async fn batch(&self, block: impl FnOnce(&mut Batch) + Send) -> Result<(), SendError> {
        let mut batch = Batch { messages: Vec::new() };
        block(&mut batch);
        self.send_all(&mut batch.messages.into_iter()).await
    }

    async fn send_all(&self, messages: &mut (dyn Iterator<Item = Message> + Send)) -> Result<(), SendError> {
        let mut waiting = Some(messages);
        loop {
            let turn = self.sending.lock().await;
            poll_fn(|cx| {
                let core = &mut *self.core();
                // What a dropped future left goes first; this bounds what can pile up, too.
                ready!(core.poll_drain(cx))?;
                if let Some(messages) = waiting.take() {
                    core.frame(messages)?;
                    ready!(core.poll_drain(cx))?;
                }
                Poll::Ready(Ok::<_, SendError>(()))
            })
            .await?;
            drop(turn);
            // A framer may have answered to received data since, and found that the turn was taken.
            if !self.framed || self.core().stack.out.is_empty() {
                return Ok(());
            }
        }
    }

    /// Finishes what dropped futures of `send` or `batch` have left.
    ///
    /// # Errors
    /// [`SendError::Closed`] and [`SendError::ProtocolFailed`].
    ///
    /// # Cancel safety
    /// Nothing is lost; flush again.
    pub async fn flush(&self) -> Result<(), SendError> {
        self.send_all(&mut std::iter::empty()).await
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
        self.receive_with(Receive::complete()).await
    }

    /// Receives the next message or a part of it, as `want` says.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive_with(&self, want: Receive) -> Result<Message, ReceiveError> {
        let _turn = self.receiving.lock().await;
        poll_fn(|cx| {
            let core = &mut *self.core();
            let received = core.poll_receive(&want, cx);
            // A framer may have answered. Whoever holds the turn to send will take the answer along.
            if !core.stack.out.is_empty()
                && let Ok(_turn) = self.sending.try_lock()
            {
                // A failure to write shows in the next send; what can be received still is.
                let _ = core.poll_drain(cx);
            }
            received
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
        self.core().begin_close();
        let _turn = self.sending.lock().await;
        poll_fn(|cx| self.core().poll_close(cx)).await
    }

    /// Ends the connection at once: what was not sent is dropped, the peer sees a reset, and everyone who waits
    /// gets [`ConnectionError::LocalAbort`].
    pub fn abort(&self) {
        self.core().abort();
    }

    /// Hands over the bytes of a connection that has no framers, for an engine that frames by itself. It costs
    /// nothing per byte.
    ///
    /// # Errors
    /// See [`IntoByteStreamError`].
    pub fn into_byte_stream(self) -> Result<ByteStream, IntoByteStreamError> {
        self.core.into_inner().unwrap_or_else(PoisonError::into_inner).into_byte_stream()
    }

    /// The state of the connection.
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.core().state()
    }

    /// Whether a message can be sent: not after the last one, and not once it is closing.
    #[doc(alias = "can_be_used_for_sending")]
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.core().can_send()
    }

    /// Whether a message can be received: not after the peer has ended its stream and all of it was received.
    #[doc(alias = "can_be_used_for_receiving_data")]
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn can_receive(&self) -> bool {
        self.core().can_receive()
    }

    /// Whether a message arrives as the message that was sent.
    #[must_use]
    pub fn preserves_boundaries(&self) -> bool {
        self.core().stack.preserves_boundaries()
    }

    /// The transport properties that the connection was made with.
    #[doc(alias = "get_properties")]
    #[must_use]
    pub fn properties(&self) -> &TransportProperties {
        &self.properties
    }

    /// The address of this end.
    #[must_use]
    pub fn local_endpoint(&self) -> SocketAddr {
        self.local
    }

    /// The address of the other end.
    #[must_use]
    pub fn remote_endpoint(&self) -> SocketAddr {
        self.remote
    }

    /// What the TLS handshake found out; `None` for clear text.
    #[must_use]
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // A framer that panicked has left its connection unusable, not the lock.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
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
