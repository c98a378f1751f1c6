//! Messages and files over a session.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::link::{LinkError, Shared};
use super::transport::Transport;
use crate::content::AcceptTypes;
use crate::engine::{
    BrokenBy, Event, IncomingKey, Message, MessageKey, Outcome, Outgoing, Receive, Request, SessionEnd, SessionOver,
};
use crate::{ByteRange, Code, Head, MessageId, Status};

mod file;

pub use file::{FileError, IncomingFile, OutgoingFile, Saved, Transfer};

/// A session: messages and files both ways, at once and without waiting for each other.
///
/// Dropping it ends the session at once; [`shutdown`](Self::shutdown) lets what is under way arrive first.
#[doc(alias = "MSRPSession")]
#[derive(Debug)]
pub struct Session {
    sender: Sender,
}

/// The sending half of a [`Session`], for any number of tasks. The session is there as long as any of them.
#[derive(Debug, Clone)]
pub struct Sender {
    transport: Arc<Transport>,
}

/// How a session receives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiveOptions {
    /// The media types that are taken; others are answered with 415. By default all.
    pub accept_types: AcceptTypes,
    /// The largest message that is given whole, in octets: what is larger, or does not say how large it is, comes as an
    /// [`IncomingFile`]. By default 1 MiB.
    pub in_memory: u64,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self { accept_types: AcceptTypes::any(), in_memory: 1 << 20 }
    }
}

/// What a peer has sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// A message that is large, or may be: its octets are still coming.
    File(IncomingFile),
    /// What became of a message of this end, as the far end tells.
    Report(Report),
    /// A request that is no message, such as `NICKNAME`; it waits for [`Sender::respond`].
    Request {
        /// Its head.
        head: Head,
        /// Its content, where it has some.
        content: Bytes,
    },
}

/// What the far end, or a hop between, tells of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The message's name.
    pub id: MessageId,
    /// Of which part it is, where that is said.
    pub range: Option<ByteRange>,
    /// What it tells.
    pub status: Status,
    /// Octets of which success was reported, in all.
    pub covered: u64,
    /// Whether success was reported of everything.
    pub complete: bool,
}

/// A message that was handed over.
///
/// Dropping it forgets it; the message goes on.
#[derive(Debug)]
pub struct Delivery {
    link: Arc<Shared>,
    message: MessageKey,
}

/// A message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The session was over before it was sent.
    #[error("the session is over")]
    SessionOver,
    /// It was refused, or reported not to have arrived.
    #[error("refused with {code}{}", comment.as_ref().map(|comment| format!(" {comment}")).unwrap_or_default())]
    Refused {
        /// The code.
        code: Code,
        /// What was said to people.
        comment: Option<String>,
    },
    /// Nobody has answered in time. It may have arrived.
    #[error("no answer in time")]
    TimedOut,
    /// It was given up at this end.
    #[error("given up")]
    Aborted,
    /// The session ended before it was answered. It may have arrived.
    #[error("the session ended before there was an answer")]
    InDoubt,
}

impl Session {
    /// The session over a transport; whole messages of up to 1 MiB of all types are received.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self::with(transport, ReceiveOptions::default())
    }

    /// The session over a transport.
    #[must_use]
    pub fn with(transport: Transport, options: ReceiveOptions) -> Self {
        let (session, above) = (transport.session, options.in_memory);
        transport.link.turn(|state| {
            // A session that is over already says so when something is wanted of it.
            let _ = state.engine.accept(session, options.accept_types);
            let _ = state.engine.receive(session, Receive::Parts { above }, Instant::now());
        });
        Self { sender: Sender { transport: Arc::new(transport) } }
    }

    /// The session's transport.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.sender.transport
    }

    /// The sending half.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Sends a message, as [`Sender::send`] does.
    ///
    /// # Errors
    /// The session is over.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing is sent.
    pub async fn send(&self, message: Outgoing) -> Result<Delivery, SessionOver> {
        self.sender.send(message).await
    }

    /// Sends a message and waits for what becomes of it, as [`Sender::deliver`] does.
    ///
    /// # Errors
    /// It was refused, nobody has answered, or the session is over.
    ///
    /// # Cancel safety
    /// Dropped in the meantime, the message may have been sent or not.
    pub async fn deliver(&self, message: Outgoing) -> Result<(), DeliveryError> {
        self.sender.deliver(message).await
    }

    /// Begins to send a file, as [`Sender::send_file`] does.
    ///
    /// # Errors
    /// The session is over.
    pub fn send_file(&self, file: OutgoingFile) -> Result<Transfer, FileError> {
        self.sender.send_file(file)
    }

    /// What comes next.
    ///
    /// # Errors
    /// Nothing more comes: the session is over.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    #[doc(alias = "receive_chunk")]
    pub async fn receive(&mut self) -> Result<Incoming, SessionEnd> {
        loop {
            match self.sender.transport.link.next_event(self.sender.transport.session).await? {
                Event::Message { message, .. } => return Ok(Incoming::Message(message)),
                Event::Began { incoming, head, id, size, .. } => {
                    return Ok(Incoming::File(self.incoming(incoming, head, id, size)));
                }
                Event::Report { id, range, status, covered, complete, .. } => {
                    return Ok(Incoming::Report(Report { id, range, status, covered, complete }));
                }
                Event::Request { head, content, .. } => return Ok(Incoming::Request { head, content }),
                // A copy of what was given before, and frames of which some were left from before.
                _ => {}
            }
        }
    }

    /// Has a function called with all that comes, until the session is over; the task can be aborted.
    #[doc(alias = "on_incoming_cb")]
    pub fn on_incoming<F>(
        mut self,
        mut call: impl FnMut(Incoming) -> F + Send + 'static,
    ) -> tokio::task::JoinHandle<SessionEnd>
    where
        F: Future<Output = ()> + Send,
    {
        tokio::spawn(async move {
            loop {
                match self.receive().await {
                    Ok(incoming) => call(incoming).await,
                    Err(end) => return end,
                }
            }
        })
    }

    /// Ends the session, once what was sent has been answered or this time is over.
    ///
    /// # Errors
    /// The time was over first: what was under way is given up.
    pub async fn shutdown(self, within: Duration) -> Result<(), ShutdownTimeout> {
        let Transport { link, session, .. } = &*self.sender.transport;
        let flushed = tokio::time::timeout(within, link.flushed(*session)).await;
        // Also where a sending half is still around.
        link.turn(|state| state.remove(*session, Instant::now()));
        flushed.map_err(|_| ShutdownTimeout)
    }

    fn incoming(&self, incoming: IncomingKey, head: Head, id: MessageId, size: Option<u64>) -> IncomingFile {
        IncomingFile::new(self.sender.transport.link.clone(), incoming, head, id, size)
    }
}

impl Sender {
    /// The session's transport.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Sends a message, once there is room for it: so many octets wait at most. What becomes of it the
    /// [`Delivery`] tells.
    ///
    /// # Errors
    /// The session is over.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing is sent.
    #[doc(alias = "send_chunk")]
    #[doc(alias = "send_message")]
    pub async fn send(&self, message: Outgoing) -> Result<Delivery, SessionOver> {
        let message = self.transport.link.send(self.transport.session, message).await?;
        Ok(Delivery { link: self.transport.link.clone(), message })
    }

    /// Sends a message and waits for what becomes of it: the next hop has taken it, or it has left where no answer is
    /// wanted.
    ///
    /// # Errors
    /// It was refused, nobody has answered, or the session is over.
    ///
    /// # Cancel safety
    /// Dropped in the meantime, the message may have been sent or not.
    #[doc(alias = "deliver_chunk")]
    #[doc(alias = "deliver_message")]
    pub async fn deliver(&self, message: Outgoing) -> Result<(), DeliveryError> {
        self.send(message).await.map_err(|_| DeliveryError::SessionOver)?.await
    }

    /// Begins to send a file, and waits for nothing: chat messages overtake it.
    ///
    /// # Errors
    /// The session is over, or the file's media type cannot be sent.
    pub fn send_file(&self, file: OutgoingFile) -> Result<Transfer, FileError> {
        file.start(&self.transport)
    }

    /// Sends a request that is no message, such as `NICKNAME`, and waits for its response: nothing where none came in time.
    ///
    /// # Errors
    /// The session or its connection is over.
    ///
    /// # Cancel safety
    /// Dropped in the meantime, the request may have been sent or not.
    pub async fn request(&self, request: &Request) -> Result<Option<Head>, RequestError> {
        let Transport { link, session, .. } = &*self.transport;
        let key = link.turn(|state| {
            let key = state.engine.request(*session, request)?;
            state.expect(key);
            Ok::<_, SessionOver>(key)
        });
        Ok(link.response(key?).await?)
    }

    /// Answers a [request](Incoming::Request).
    ///
    /// # Errors
    /// The session is over.
    pub fn respond(&self, head: &Head, code: Code) -> Result<(), SessionOver> {
        let session = self.transport.session;
        self.transport.link.turn(|state| state.engine.respond(session, head, code))
    }

    /// Reports what became of a message of the peer's.
    ///
    /// # Errors
    /// The session is over.
    #[doc(alias = "send_report")]
    pub fn report(&self, id: &MessageId, range: ByteRange, status: &Status) -> Result<(), SessionOver> {
        let session = self.transport.session;
        self.transport.link.turn(|state| state.engine.report(session, id, range, status))
    }
}

/// A request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The session is over.
    #[error(transparent)]
    Session(#[from] SessionOver),
    /// The connection is.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// What was sent was not answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was sent was not answered in time")]
pub struct ShutdownTimeout;

impl Delivery {
    /// Gives the message up. The peer hears of it where some of it has left.
    pub fn abort(&self) {
        let message = self.message;
        self.link.turn(|state| state.engine.abort(message));
    }

    /// How many octets the next hop has taken so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.link.accepted(self.message)
    }

    /// What becomes of the message.
    ///
    /// # Errors
    /// It did not arrive, or nobody knows whether it did.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn outcome(&self) -> Result<(), DeliveryError> {
        DeliveryError::of(self.link.outcome(self.message).await)
    }
}

impl IntoFuture for Delivery {
    type Output = Result<(), DeliveryError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.outcome().await })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.link.forget(self.message);
    }
}

impl DeliveryError {
    pub(super) fn of(outcome: Outcome) -> Result<(), Self> {
        match outcome {
            Outcome::Accepted | Outcome::Sent => Ok(()),
            Outcome::Refused { code, comment } | Outcome::Failed { code, comment } => {
                Err(Self::Refused { code, comment })
            }
            Outcome::TimedOut => Err(Self::TimedOut),
            Outcome::Aborted => Err(Self::Aborted),
            Outcome::SessionOver => Err(Self::InDoubt),
        }
    }
}

/// What is left of a message that was not received whole.
fn why(broken: BrokenBy) -> FileError {
    match broken {
        BrokenBy::Sender => FileError::AbortedByPeer,
        BrokenBy::Refused(code) => FileError::Refused(code),
        BrokenBy::Idle => FileError::Idle,
        BrokenBy::SessionOver => FileError::SessionOver,
    }
}
