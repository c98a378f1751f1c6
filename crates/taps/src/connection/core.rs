//! What a connection does, under its lock: frames, writes, reads, and knows its state.
//!
//! Every call that may wait is polled by the task that made it, and does the input and output of everybody while it
//! is polled. Several may wait at once; see [`Waiting`] for who is woken.

mod receiving;
mod sending;
mod settings;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use super::event::{Event, Events};
use super::opening::Opening;
use super::pace::Pace;
use super::queue::{SendQueue, Ticket, Waiting, keep};
use super::receive::Receivers;
use super::{ConnectionError, ConnectionState, Facts, IntoByteStreamError, Opened, SendError};
use crate::connection::ReceiveError;
use crate::error::AttemptError;
use crate::framer::stack::Stack;
use crate::group::Membership;
use crate::message::Message;
use crate::properties::{EstablishedProperties, MessagePropertyError, TransportProperties};
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::Transport;

/// A stage of the way out of a connection:
///
/// ```text
/// Open --final message handed over--> Last --it is framed--> Ending --all sent--> Ended
///   \--close--> Closing --all sent--> (closed)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Messages can be sent.
    Open,
    /// The final message waits for those before it.
    Last,
    /// The final message has been framed; the end of the stream follows it.
    Ending,
    /// The end of the stream is sent.
    Ended,
}

/// What carries the connection.
#[derive(Debug)]
enum Carrier {
    /// It is being established.
    Opening(Box<Opening>),
    Transport(Transport),
    /// It is closed, or was never established.
    Gone,
}

#[derive(Debug)]
pub(super) struct Core {
    carrier: Carrier,
    pub(super) stack: Stack,
    queue: SendQueue,
    waiting: Waiting,
    /// Who waits for what is in `stack.out`.
    leaving: Vec<Ticket>,
    sending: Sending,
    closing: bool,
    /// Whether something was written since the last flush.
    unflushed: bool,
    /// Why nothing more is received; kept, so that each receive says it.
    received_all: Option<ReceiveError>,
    /// Whether the message that was received last has a rest.
    receives_part: bool,
    failure: Option<ConnectionError>,
    /// Who receives, and who waits for the end.
    reader: Option<Waker>,
    watcher: Option<Waker>,
    pub(super) receivers: Receivers,
    /// The numbers of messages, in the order in which they were handed over.
    messages: u64,
    pub(super) events: Events,
    /// Whether retransmissions are above the threshold, and that was told.
    excessive: bool,
    /// What was asked for, with the changes since.
    properties: TransportProperties,
    /// What messages may ask for; nothing is known before the connection is established.
    rules: Option<Box<Rules>>,
    /// Filled when the connection is established.
    facts: Arc<OnceLock<Facts>>,
    /// What is sent before everything else once the connection is established, and whether it is on its way out.
    first: Option<Message>,
    first_leaves: bool,
    membership: Option<Membership>,
    /// Wakes framers that wait for a time.
    wakeup: Option<Pin<Box<Sleep>>>,
    /// The message of which the application sends parts by their context, and its number.
    parts: Option<(u64, Number)>,
    /// Bounds on the rates, where there are any.
    send_pace: Option<Box<Pace>>,
    receive_pace: Option<Box<Pace>>,
}

/// A message that somebody sends, from the call to its outcome.
#[derive(Debug)]
pub(super) enum Sent {
    /// It has left already.
    Now,
    /// Its outcome will be found with this.
    Later(Ticket),
}

/// What messages may ask of an established connection.
#[derive(Debug)]
struct Rules {
    established: EstablishedProperties,
    /// Whether one that asks for nothing may be sent: each must be safely replayable over some protocols.
    plain: Result<(), MessagePropertyError>,
    can_send: bool,
}

/// Which message, and which part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) message: u64,
    pub(super) part: u64,
}

impl Core {
    /// A transport whose framers are still to be started.
    pub(super) fn starting(transport: Transport, stack: Stack) -> Self {
        Self::over(Carrier::Transport(transport), stack, TransportProperties::new(), Arc::default())
    }

    /// An established connection.
    pub(super) fn new(transport: Transport, stack: Stack, facts: Facts, properties: TransportProperties) -> Self {
        let facts = Arc::new(OnceLock::from(facts));
        let mut core = Self::over(Carrier::Transport(transport), stack, properties, facts);
        core.take_properties();
        core
    }

    /// A connection that is being established: what is sent on it waits.
    ///
    /// `first` goes before all other messages, unless it leaves with the handshake.
    pub(super) fn opening(opening: Opening, properties: TransportProperties, first: Option<Message>) -> Self {
        let carrier = Carrier::Opening(Box::new(opening));
        let mut core = Self::over(carrier, Stack::new(&[]), properties, Arc::default());
        core.take_properties();
        core.first = first;
        if core.first.is_some() {
            core.messages = 1;
        }
        core
    }

    /// What a started transport was made of.
    pub(super) fn into_parts(self) -> Option<(Transport, Stack)> {
        match self.carrier {
            Carrier::Transport(transport) => Some((transport, self.stack)),
            Carrier::Opening(_) | Carrier::Gone => None,
        }
    }

    fn over(carrier: Carrier, stack: Stack, properties: TransportProperties, facts: Arc<OnceLock<Facts>>) -> Self {
        Self {
            carrier,
            stack,
            queue: SendQueue::default(),
            waiting: Waiting::default(),
            leaving: Vec::new(),
            sending: Sending::Open,
            closing: false,
            unflushed: false,
            received_all: None,
            receives_part: false,
            failure: None,
            reader: None,
            watcher: None,
            receivers: Receivers::default(),
            messages: 0,
            events: Events::default(),
            excessive: false,
            properties,
            rules: None,
            facts,
            first: None,
            first_leaves: false,
            membership: None,
            wakeup: None,
            parts: None,
            send_pace: None,
            receive_pace: None,
        }
    }

    /// Runs the framers' start, with what they have to say to their peers.
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AttemptError>> {
        let transport = |error: &io::Error| AttemptError::from_io(error);
        loop {
            self.poll_wakeups(cx);
            let ready = self.stack.start()?;
            let drained = self.poll_write_out(cx).map_err(|error| transport(&error))?;
            if ready {
                return drained.map(Ok);
            }
            if !ready!(self.poll_fill(cx)).map_err(|error| transport(&error))? {
                return Poll::Ready(Err(AttemptError::Transport(io::ErrorKind::UnexpectedEof)));
            }
        }
    }

    /// Goes on with the establishment; ready when it is over, one way or the other.
    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Carrier::Opening(opening) = &mut self.carrier else { return Poll::Ready(()) };
        match ready!(opening.poll(cx)) {
            Ok(opened) => {
                let Opened { transport, framers, facts: found, first_sent } = *opened;
                // Filled once: there is one establishment.
                let _ = self.facts.set(found);
                self.carrier = Carrier::Transport(transport);
                self.stack = framers;
                self.take_properties();
                self.refuse_inconsistent();
                self.events.tell(Event::Ready);
                self.send_first(first_sent);
            }
            Err(error) => {
                self.carrier = Carrier::Gone;
                self.give_up(ConnectionError::NotEstablished(Box::new(error)));
            }
        }
        Poll::Ready(())
    }

    /// Refuses messages from now on, and ends the wait for received ones.
    pub(super) fn begin_close(&mut self) {
        self.closing = true;
        // A message whose end never came is over with what there is of it.
        self.queue.set_open(None);
        wake(&mut self.reader);
    }

    pub(super) fn poll_close(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let drained = ready!(self.poll_drain(ticket, cx));
        if drained.is_ok() && self.sending == Sending::Open {
            ready!(self.poll_stop(cx));
            self.sending = Sending::Ending;
        }
        let drained = match ready!(self.poll_drain(ticket, cx)) {
            Err(SendError::ProtocolFailed(error)) => Err(error),
            _ => Ok(()),
        };
        // A socket that is closed with unread bytes resets the connection, and the peer may lose what was sent.
        if drained.is_ok() {
            self.discard_received(cx);
        }
        self.end();
        Poll::Ready(drained)
    }

    /// Lets the framers say good-bye, and hear the answer where they wait for one. One that cannot does not keep the
    /// connection open.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_wakeups(cx);
            if self.stack.stop().unwrap_or(true) {
                return Poll::Ready(());
            }
            let heard = match ready!(self.poll_write_out(cx)) {
                Ok(()) => ready!(self.poll_fill(cx)),
                Err(error) => Err(error),
            };
            if let Err(error) = heard {
                self.fail(&error);
                return Poll::Ready(());
            }
        }
    }

    /// Wakes framers whose time has come, and this task when the next one's does.
    fn poll_wakeups(&mut self, cx: &mut Context<'_>) {
        while self.stack.waits() {
            let now = Instant::now();
            let Some(next) = self.stack.next_wakeup(now.into_std()) else { break };
            let next = Instant::from_std(next);
            let timer = self.wakeup.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            // What a framer cannot go on with shows in the next call of the application.
            let _ = self.stack.handle_wakeup(now.max(next).into_std());
        }
    }

    /// Lets those who wait to read look again.
    pub(super) fn wake_readers(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.watcher);
    }

    /// Lets go of the transport, in order.
    fn end(&mut self) {
        if !matches!(self.carrier, Carrier::Gone) {
            self.carrier = Carrier::Gone;
            if self.failure.is_none() {
                self.events.tell(Event::Closed);
            }
        }
        self.waiting.wake_all();
        self.wake_readers();
    }

    pub(super) fn abort(&mut self) {
        match std::mem::replace(&mut self.carrier, Carrier::Gone) {
            Carrier::Transport(Transport::Stream(mut stream)) => stream.reset_on_drop(),
            Carrier::Transport(Transport::Message(mut transport)) => transport.abort(),
            Carrier::Opening(_) => {}
            Carrier::Gone => return,
        }
        self.give_up(ConnectionError::LocalAbort);
    }

    /// Notes that the transport has failed to write or to read. What has arrived can still be received.
    fn fail(&mut self, error: &io::Error) -> ConnectionError {
        let error = ConnectionError::from_io(error);
        self.give_up(error.clone());
        error
    }

    /// Nothing more can be sent.
    fn give_up(&mut self, error: ConnectionError) {
        let first = self.failure.is_none();
        let error = self.failure.get_or_insert(error).clone();
        for queued in self.queue.drain() {
            if let (Some(turn), Some(membership)) = (queued.turn, &self.membership) {
                membership.cancel(turn);
            }
        }
        self.leaving.clear();
        self.stack.out.clear();
        for ticket in self.waiting.tickets() {
            self.settle(ticket, Err(error.clone().into()));
        }
        self.wake_readers();
        if first {
            self.events.tell(match error {
                ConnectionError::NotEstablished(error) => Event::EstablishmentError(error),
                error => Event::ConnectionError(error),
            });
        }
    }

    pub(super) fn failure(&self) -> Option<ConnectionError> {
        self.failure.clone()
    }

    pub(super) fn preserves_boundaries(&self) -> bool {
        matches!(self.carrier, Carrier::Transport(Transport::Message(_))) || self.stack.preserves_boundaries()
    }

    pub(super) fn state(&self) -> ConnectionState {
        match self.carrier {
            Carrier::Gone => ConnectionState::Closed,
            _ if self.failure.is_some() => ConnectionState::Closed,
            _ if self.closing => ConnectionState::Closing,
            Carrier::Opening(_) => ConnectionState::Establishing,
            Carrier::Transport(_) => ConnectionState::Established,
        }
    }

    pub(super) fn can_send(&self) -> bool {
        self.state() <= ConnectionState::Established
            && self.sending == Sending::Open
            && self.facts.get().is_none_or(|facts| facts.about.can_send)
    }

    pub(super) fn can_receive(&self) -> bool {
        !matches!(self.carrier, Carrier::Gone)
            && !self.closing
            && self.received_all.is_none()
            && self.facts.get().is_none_or(|facts| facts.about.can_receive)
    }

    pub(super) fn facts(&self) -> Arc<OnceLock<Facts>> {
        Arc::clone(&self.facts)
    }

    /// Waits for the end of the connection, reading ahead as far as one read goes.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        ready!(self.poll_open(cx));
        loop {
            if let Some(error) = &self.failure {
                return Poll::Ready(Err(error.clone()));
            }
            let over = self.stack.is_ended() && self.sending == Sending::Ended;
            if over || matches!(self.carrier, Carrier::Gone) {
                return Poll::Ready(Ok(()));
            }
            keep(&mut self.watcher, cx);
            if self.stack.is_ended() || self.closing || self.stack.holds_received() {
                return Poll::Pending;
            }
            if let Err(error) = ready!(self.poll_fill(cx)) {
                self.fail(&error);
            }
            wake(&mut self.reader);
        }
    }

    pub(super) fn take_byte_stream(&mut self) -> Result<ByteStream, IntoByteStreamError> {
        if self.stack.has_framers() {
            return Err(IntoByteStreamError::HasFramers);
        }
        if self.closing || self.failure.is_some() || self.stack.is_ended() || self.sending != Sending::Open {
            return Err(IntoByteStreamError::Closed);
        }
        if !self.stack.out.is_empty() || self.unflushed || !self.queue.is_empty() || self.stack.holds_received() {
            return Err(IntoByteStreamError::HoldsData);
        }
        match std::mem::replace(&mut self.carrier, Carrier::Gone) {
            Carrier::Transport(Transport::Stream(stream)) => Ok(stream),
            Carrier::Transport(Transport::Message(transport)) => match self.facts.get().map(|facts| &facts.about) {
                Some(about) if keeps_order(about.stack) => Ok(ByteStream::over_messages(transport, about.clone())),
                _ => Err(IntoByteStreamError::NoStream),
            },
            Carrier::Opening(_) => Err(IntoByteStreamError::NotEstablished),
            Carrier::Gone => Err(IntoByteStreamError::Closed),
        }
    }
}

/// Whether messages arrive all, once and in order, so that they make a stream.
fn keeps_order(stack: ProtocolStack) -> bool {
    use ProtocolStack::{MemoryMessage, SecureWebSocket, UnixSeqpacket, WebSocket};
    matches!(stack, WebSocket | SecureWebSocket | UnixSeqpacket | MemoryMessage)
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
