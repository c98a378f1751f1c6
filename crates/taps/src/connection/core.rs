//! What a connection does, under its lock: frames, writes, reads, and knows its state.
//!
//! Every call that may wait is polled by the task that made it, and does the input and output of everybody while it
//! is polled. Several may wait at once; see [`Waiting`] for who is woken.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite};

use super::event::{Event, Events};
use super::opening::Opening;
use super::pace::Pace;
use super::properties::has;
use super::queue::{Fate, Place, Queued, SendQueue, Ticket, Waiting, keep};
use super::{ConnectionError, ConnectionState, Facts, IntoByteStreamError, Opened, ReceiveError, SendError};
use crate::error::AttemptError;
use crate::framer::stack::Stack;
use crate::group::{Entry, Group, Membership};
use crate::message::{Message, Receive};
use crate::properties::{
    ConnectionStatus, EstablishedProperties, MessageProperties, MessagePropertyError, TransportProperties,
};
use crate::protocol::ProtocolStack;
use crate::selection::may_duplicate;
use crate::stream::ByteStream;
use crate::transport::{Arrived, Limits, Transport};

/// How much room a read gets.
const READ: usize = 64 * 1024;

/// How much room a read gets at most, when a framer has declared that more will come. A declared length alone must
/// not decide how much memory is taken.
const READ_AHEAD: usize = 1024 * 1024;

/// How many slices one write takes: small messages share one, so this many are large.
const SLICES: usize = 16;

/// How many bytes of messages are framed at once: what is framed cannot be taken back, nor overtaken.
const FRAMED: usize = 64 * 1024;

/// How many reads of unwanted bytes a close takes.
const LAST_READS: usize = 64;

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
    failure: Option<ConnectionError>,
    /// Who receives, and who waits for the end.
    reader: Option<Waker>,
    watcher: Option<Waker>,
    /// The numbers of messages, in the order in which they were handed over.
    messages: u64,
    pub(super) events: Events,
    /// What was asked for, with the changes since.
    properties: TransportProperties,
    /// What messages may ask for; nothing is known before the connection is established.
    rules: Option<Box<Rules>>,
    /// Filled when the connection is established.
    facts: Arc<OnceLock<Facts>>,
    membership: Option<Membership>,
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
    pub(super) fn opening(opening: Opening, properties: TransportProperties) -> Self {
        let carrier = Carrier::Opening(Box::new(opening));
        let mut core = Self::over(carrier, Stack::new(&[]), properties, Arc::default());
        core.take_properties();
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
            failure: None,
            reader: None,
            watcher: None,
            messages: 0,
            events: Events::default(),
            properties,
            rules: None,
            facts,
            membership: None,
            send_pace: None,
            receive_pace: None,
        }
    }

    /// Runs the framers' start, with what they have to say to their peers.
    pub(super) fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AttemptError>> {
        let transport = |error: &io::Error| AttemptError::from_io(error);
        loop {
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
            Ok(Opened { transport, framers, facts: found }) => {
                // Filled once: there is one establishment.
                let _ = self.facts.set(found);
                self.carrier = Carrier::Transport(transport);
                self.stack = framers;
                self.take_properties();
                self.refuse_inconsistent();
                self.events.tell(Event::Ready);
            }
            Err(error) => {
                self.carrier = Carrier::Gone;
                self.give_up(ConnectionError::NotEstablished(Box::new(error)));
            }
        }
        Poll::Ready(())
    }

    /// A number for a message that is about to be handed over.
    pub(super) fn number(&mut self) -> Number {
        self.messages += 1;
        Number { message: self.messages, part: 0 }
    }

    /// Takes a message over: it leaves at once where nothing stands before it, and waits otherwise.
    pub(super) fn submit(&mut self, message: Message, number: Number, cx: &mut Context<'_>) -> Result<Sent, SendError> {
        self.admit(&message)?;
        let last = message.context.last && message.end_of_message;
        if self.can_leave_at_once(&message, number) {
            let open = (!message.end_of_message).then_some(number.message);
            self.stack.send(message)?;
            self.queue.set_open(open);
            if last {
                self.sending = Sending::Ending;
            }
            match self.poll_write_out(cx) {
                Poll::Ready(Ok(())) => return Ok(Sent::Now),
                Poll::Ready(Err(error)) => return Err(self.fail(&error).into()),
                Poll::Pending => {
                    let ticket = self.waiting.insert(Fate::Leaving);
                    self.leaving.push(ticket);
                    self.waiting.park(ticket, cx, true);
                    return Ok(Sent::Later(ticket));
                }
            }
        }
        self.enqueue(message, number).map(Sent::Later)
    }

    fn enqueue(&mut self, message: Message, number: Number) -> Result<Ticket, SendError> {
        self.admit(&message)?;
        let last = message.context.last && message.end_of_message;
        if last {
            self.sending = Sending::Last;
        }
        let priority = message.context.properties().or(&self.properties.message).priority();
        let place = Place::new(last, priority, number.message, number.part);
        let ticket = self.waiting.insert(Fate::Queued(place));
        let entry = Entry { priority, last, size: message.data.len() as u64 };
        let turn = self.membership.as_ref().and_then(|membership| membership.push(entry));
        self.queue.push(place, Queued { message, ticket, turn });
        Ok(ticket)
    }

    /// Takes a batch over: `waits` gets who is to be asked for the outcome of which message, `failed` what is not sent.
    pub(super) fn submit_all(
        &mut self,
        mut messages: Vec<Message>,
        waits: &mut Vec<(usize, Ticket)>,
        failed: &mut Vec<(usize, SendError)>,
    ) {
        let number = self.number();
        if messages.iter().all(is_plain) && messages.first().is_some_and(|first| self.can_leave_at_once(first, number))
        {
            // One write, and one who waits for all of them.
            self.messages += messages.len() as u64 - 1;
            for (index, message) in messages.drain(..).enumerate() {
                let sent = self.admit(&message).and_then(|()| Ok(self.stack.send(message)?));
                if let Err(error) = sent {
                    failed.push((index, error));
                }
            }
            let ticket = self.waiting.insert(Fate::Leaving);
            self.leaving.push(ticket);
            waits.push((usize::MAX, ticket));
            return;
        }
        for (index, message) in messages.into_iter().enumerate() {
            let number = if index == 0 { number } else { self.number() };
            match self.enqueue(message, number) {
                Ok(ticket) => waits.push((index, ticket)),
                Err(error) => failed.push((index, error)),
            }
        }
    }

    /// Whether a message may be handed over at all.
    fn admit(&self, message: &Message) -> Result<(), SendError> {
        if let Some(error) = &self.failure {
            return Err(error.clone().into());
        }
        if self.closing || matches!(self.carrier, Carrier::Gone) {
            return Err(SendError::Closed);
        }
        if self.sending != Sending::Open {
            return Err(SendError::FinalAlreadySent);
        }
        self.check(message)
    }

    /// Whether what a message asks for fits the connection (RFC 9622 9.1.3). Before it is established nobody knows.
    fn check(&self, message: &Message) -> Result<(), SendError> {
        let Some(rules) = &self.rules else { return Ok(()) };
        if !rules.can_send {
            return Err(SendError::ReceiveOnly);
        }
        if is_plain(message) {
            return rules.plain.map_err(SendError::InvalidMessageProperties);
        }
        let properties = rules.established.of_message(&message.context.properties());
        let properties = properties.map_err(SendError::InvalidMessageProperties)?;
        let length = message.data.len() as u64;
        rules.established.check_length(&properties, length).map_err(SendError::InvalidMessageProperties)
    }

    /// Takes back what was handed over before the connection was established and does not fit it.
    fn refuse_inconsistent(&mut self) {
        let refused: Vec<_> = self
            .queue
            .iter()
            .filter_map(|(place, queued)| Some((place, queued.ticket, self.check(&queued.message).err()?)))
            .collect();
        for (place, ticket, error) in refused {
            self.take_back(place);
            self.waiting.decide(ticket, Err(error));
        }
    }

    fn can_leave_at_once(&self, message: &Message, number: Number) -> bool {
        let in_turn = self.queue.open().is_none_or(|open| open == number.message);
        in_turn
            && matches!(self.carrier, Carrier::Transport(_))
            && self.queue.is_empty()
            && self.stack.out.is_empty()
            && !self.unflushed
            && self.lifetime_of(message).is_none()
            && self.membership.as_ref().is_none_or(Membership::is_free)
    }

    /// What has become of a message; ready when that is decided.
    pub(super) fn poll_sent(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let blocked = self.poll_pump(cx).is_pending();
        self.waiting.park(ticket, cx, blocked);
        match self.waiting.fate(ticket) {
            Some(Fate::Decided(outcome)) => Poll::Ready(std::mem::replace(outcome, Ok(()))),
            Some(_) => Poll::Pending,
            None => Poll::Ready(Err(SendError::Closed)),
        }
    }

    /// Nobody waits for this message any more. Before its turn it is taken back; after, it leaves all the same.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        if let Some(Fate::Queued(place)) = self.waiting.fate(ticket) {
            let place = *place;
            self.take_back(place);
        }
        self.leaving.retain(|leaving| *leaving != ticket);
        if self.waiting.remove(ticket) && self.stack.out.is_empty() {
            wake(&mut self.reader);
        }
    }

    /// The rest of a message will not come. A stream that has carried a part of it within framers is of no use any
    /// more; without framers it goes on.
    pub(super) fn abandon(&mut self, number: Number) {
        if self.queue.open() == Some(number.message) {
            self.queue.set_open(None);
            if self.stack.has_framers() {
                return self.abort();
            }
        }
        self.waiting.wake_one();
    }

    /// The lifetime of a message is over (RFC 9622 9.1.3.1): it expires unless it is on its way.
    pub(super) fn expire(&mut self, ticket: Ticket) {
        if let Some(Fate::Queued(place)) = self.waiting.fate(ticket) {
            let place = *place;
            self.take_back(place);
            self.waiting.decide(ticket, Err(SendError::Expired));
        }
    }

    fn take_back(&mut self, place: Place) {
        let Some(taken) = self.queue.remove(place) else { return };
        if let (Some(turn), Some(membership)) = (taken.turn, &self.membership) {
            membership.cancel(turn);
        }
        if self.sending == Sending::Last && taken.message.context.last {
            self.sending = Sending::Open;
        }
        // Others may have waited behind it.
        self.waiting.wake_one();
    }

    /// Sends what waits, as far as the transport takes it. Pending when the transport will wake this task.
    pub(super) fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_open(cx));
        loop {
            match self.poll_write_out(cx) {
                Poll::Pending => {
                    if let Some(membership) = &self.membership {
                        membership.set_blocked();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {
                    for ticket in self.leaving.drain(..) {
                        self.waiting.decide(ticket, Ok(()));
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.fail(&error);
                    return Poll::Ready(());
                }
            }
            if !self.frame_more(cx) {
                if let Some(membership) = &self.membership {
                    membership.pass_on();
                }
                return if self.queue.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    }

    /// Frames messages whose turn it is; false when none leaves now.
    fn frame_more(&mut self, cx: &mut Context<'_>) -> bool {
        let mut framed = 0;
        // A transport of messages tells of each by itself.
        let most = if self.stack.out.keeps_boundaries() { 1 } else { FRAMED };
        while framed < most {
            let Some((_, next)) = self.queue.peek() else { break };
            // What may still expire is framed only when it can leave.
            let (mortal, in_group) = (self.lifetime_of(&next.message).is_some(), next.turn.is_some());
            if mortal && (framed > 0 || self.poll_write_ready(cx).is_pending()) {
                break;
            }
            if in_group && !self.membership.as_ref().is_none_or(|membership| membership.take_turn(cx)) {
                break;
            }
            let Some(Queued { message, ticket, .. }) = self.queue.pop() else { break };
            framed += message.data.len().max(1);
            let last = message.context.last && message.end_of_message;
            match self.stack.send(message) {
                Ok(()) => {
                    self.waiting.set_leaving(ticket);
                    self.leaving.push(ticket);
                    if last {
                        self.sending = Sending::Ending;
                    }
                }
                Err(error) => {
                    if last {
                        self.sending = Sending::Open;
                    }
                    self.waiting.decide(ticket, Err(error.into()));
                }
            }
        }
        framed > 0
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => stream.poll_write_ready(cx).map(drop),
            _ => Poll::Ready(()),
        }
    }

    /// Writes everything that is framed, and the end of the stream after the final message.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => {
                let mut stream = Pin::new(stream);
                while !self.stack.out.is_empty() {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let mut most = usize::MAX;
                    if let Some(pace) = &mut self.send_pace {
                        ready!(pace.poll_ready(cx));
                        most = pace.burst();
                    }
                    let count = self.stack.out.slices(&mut slices, most);
                    let written = ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))?;
                    if let Some(pace) = &mut self.send_pace {
                        pace.passed(written);
                    }
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    self.stack.out.advance(written);
                    self.unflushed = true;
                }
                if self.unflushed {
                    // A TLS session keeps the tail of what it was given until it is flushed.
                    ready!(stream.as_mut().poll_flush(cx))?;
                    self.unflushed = false;
                }
                if self.sending == Sending::Ending {
                    ready!(stream.poll_shutdown(cx))?;
                    self.sending = Sending::Ended;
                }
            }
            Carrier::Transport(Transport::Message(transport)) => {
                while let Some(leaving) = self.stack.out.next_message() {
                    if let Some(pace) = &mut self.send_pace {
                        ready!(pace.poll_ready(cx));
                        pace.passed(leaving.len());
                    }
                    match ready!(transport.poll_send(cx, &leaving)) {
                        Ok(()) => {
                            self.stack.out.pop_message();
                        }
                        // One message is framed at a time, so it is this one's fault.
                        Err(error) => match refused(&error, leaving.len(), transport.limits()) {
                            Some(refused) => {
                                self.stack.out.pop_message();
                                for ticket in self.leaving.drain(..) {
                                    self.waiting.decide(ticket, Err(refused.clone()));
                                }
                            }
                            None => return Poll::Ready(Err(error)),
                        },
                    }
                }
                ready!(transport.poll_flush(cx))?;
                if self.sending == Sending::Ending {
                    ready!(transport.poll_shutdown(cx))?;
                    self.sending = Sending::Ended;
                }
            }
            Carrier::Opening(_) | Carrier::Gone => {}
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_receive(&mut self, want: &Receive, cx: &mut Context<'_>) -> Poll<Result<Message, ReceiveError>> {
        keep(&mut self.reader, cx);
        ready!(self.poll_open(cx));
        loop {
            if let Some(error) = &self.received_all {
                return Poll::Ready(Err(error.clone()));
            }
            if self.closing || matches!(self.carrier, Carrier::Gone) {
                let error = self.failure.clone().map_or(ReceiveError::Closed, ReceiveError::from);
                return Poll::Ready(Err(error));
            }
            match self.stack.receive(want) {
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Ok(None) if self.stack.is_ended() => self.received_all = Some(ReceiveError::Closed),
                Ok(None) => match ready!(self.poll_fill(cx)) {
                    Ok(_) => {}
                    Err(error) => self.received_all = Some(self.fail(&error).into()),
                },
                Err(error) => self.received_all = Some(error.into()),
            }
        }
    }

    /// Sends what framers have answered to what they received, without waiting for it.
    pub(super) fn answer(&mut self, cx: &mut Context<'_>) {
        if self.stack.out.is_empty() {
            return;
        }
        if self.waiting.is_empty() {
            // A failure to write shows in the next send; what can be received still is.
            let _ = self.poll_write_out(cx);
        } else {
            // Somebody waits to write, and the transport has room for one waker.
            self.waiting.wake_one();
        }
    }

    /// Reads once; false at the end of what the peer sends, which the framers then know.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Some(pace) = &mut self.receive_pace {
            ready!(pace.poll_ready(cx));
        }
        let more = match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => {
                let room = self.stack.lacking().clamp(READ, READ_AHEAD);
                let buffer = self.stack.received();
                if buffer.capacity() - buffer.len() < READ / 8 {
                    buffer.reserve(room);
                }
                let read = ready!(Future::poll(pin!(stream.read_buf(buffer)), cx))?;
                if let Some(pace) = &mut self.receive_pace {
                    pace.passed(read);
                }
                read > 0
            }
            Carrier::Transport(Transport::Message(transport)) => match ready!(transport.poll_receive(cx))? {
                Arrived::Message(data, context) => {
                    if let Some(pace) = &mut self.receive_pace {
                        pace.passed(data.len());
                    }
                    self.stack.push_message(data, context);
                    true
                }
                Arrived::SoftError(error) => {
                    self.events.tell(Event::SoftError(error));
                    true
                }
                Arrived::End => false,
            },
            Carrier::Opening(_) | Carrier::Gone => false,
        };
        if !more {
            self.stack.handle_end();
        }
        Poll::Ready(Ok(more))
    }

    /// Refuses messages from now on, and ends the wait for received ones.
    pub(super) fn begin_close(&mut self) {
        self.closing = true;
        // A message whose end never came is over with what there is of it.
        self.queue.set_open(None);
        wake(&mut self.reader);
    }

    /// A place among those who wait, for one who waits for everything to be sent.
    pub(super) fn wait(&mut self) -> Ticket {
        self.waiting.insert(Fate::Leaving)
    }

    /// Ready when everything that was handed over is sent.
    pub(super) fn poll_drain(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let blocked = self.poll_pump(cx).is_pending();
        self.waiting.park(ticket, cx, blocked);
        if matches!(self.carrier, Carrier::Gone) || self.failure.is_some() {
            return Poll::Ready(Err(self.failure.clone().map_or(SendError::Closed, SendError::from)));
        }
        if blocked { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    pub(super) fn poll_close(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let drained = ready!(self.poll_drain(ticket, cx));
        if drained.is_ok() && self.sending == Sending::Open {
            // A framer that cannot say good-bye does not keep the connection open.
            let _ = self.stack.stop();
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

    fn discard_received(&mut self, cx: &mut Context<'_>) {
        // A peer that never stops sending is cut off after a while.
        for _ in 0..LAST_READS {
            self.stack.discard_received();
            if !matches!(self.poll_fill(cx), Poll::Ready(Ok(true))) {
                return;
            }
        }
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
        wake(&mut self.reader);
        wake(&mut self.watcher);
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
        self.waiting.decide_all(&error.clone().into());
        wake(&mut self.reader);
        wake(&mut self.watcher);
        if first {
            self.events.tell(Event::ConnectionError(error));
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

    fn limits(&self) -> Limits {
        match &self.carrier {
            Carrier::Transport(Transport::Message(transport)) => transport.limits(),
            _ => Limits::default(),
        }
    }

    /// Brings the connection and its transport from some properties to others.
    pub(super) fn apply(&mut self, to: &TransportProperties) -> io::Result<()> {
        let from = &self.properties.connection;
        match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => stream.apply(from, &to.connection)?,
            Carrier::Transport(Transport::Message(transport)) => transport.apply(from, &to.connection)?,
            Carrier::Opening(_) | Carrier::Gone => {}
        }
        self.properties = to.clone();
        self.take_properties();
        self.events.tell(Event::PropertyChange);
        Ok(())
    }

    /// Brings what the connection sees to itself in line with its properties.
    fn take_properties(&mut self) {
        let properties = &self.properties.connection;
        Pace::set(&mut self.send_pace, properties.max_send_rate);
        Pace::set(&mut self.receive_pace, properties.max_recv_rate);
        if let Some(membership) = &self.membership {
            membership.apply(properties);
        }
        if self.facts.get().is_some() {
            let established = self.established_properties();
            let plain = established.of_message(&MessageProperties::default()).map(drop);
            let can_send = self.facts.get().is_none_or(|facts| facts.about.can_send);
            self.rules = Some(Box::new(Rules { established, plain, can_send }));
        }
    }

    pub(super) fn facts(&self) -> Arc<OnceLock<Facts>> {
        Arc::clone(&self.facts)
    }

    pub(super) fn properties(&self) -> &TransportProperties {
        &self.properties
    }

    /// The properties as they can be read: what the protocol and the path have, and the read-only ones.
    pub(super) fn established_properties(&self) -> EstablishedProperties {
        let (wanted, about) = (&self.properties, self.facts.get().map(|facts| &facts.about));
        let has = |property| about.is_some_and(|about| has(about, wanted, property));
        let duplicates = about.is_some_and(|about| may_duplicate(about.stack));
        wanted.established(has).may_duplicate(duplicates).with_status(self.status())
    }

    fn status(&self) -> ConnectionStatus {
        let (limits, about) = (self.limits(), self.facts.get().map(|facts| &facts.about));
        let length = |limit: Option<usize>| limit.map(|limit| limit as u64);
        ConnectionStatus {
            conn_state: self.state(),
            can_send: self.can_send(),
            can_receive: self.can_receive(),
            zero_rtt_msg_max_len: about.filter(|about| about.zero_rtt).and_then(|_| length(limits.send)),
            singular_transmission_msg_max_len: length(limits.singular),
            send_msg_max_len: length(limits.send),
            recv_msg_max_len: length(limits.receive),
        }
    }

    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.membership.as_ref().map(|membership| Arc::clone(membership.group()))
    }

    pub(super) fn set_membership(&mut self, membership: Membership) {
        self.membership = Some(membership);
    }

    /// How long a message may wait, by itself or by the connection's default.
    pub(super) fn lifetime_of(&self, message: &Message) -> Option<Duration> {
        message.context.lifetime().or_else(|| self.properties.message.lifetime())
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

/// An error of a transport that concerns one message, which it has not taken.
fn refused(error: &io::Error, size: usize, limits: Limits) -> Option<SendError> {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::QuotaExceeded => {
            let limit = limits.send.unwrap_or(size) as u64;
            Some(SendError::MessageTooLarge { size: size as u64, limit })
        }
        _ => None,
    }
}

/// Whether a message is like any other: it may leave with those before and behind it.
fn is_plain(message: &Message) -> bool {
    message.end_of_message && message.context.is_plain()
}

fn wake(slot: &mut Option<Waker>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
