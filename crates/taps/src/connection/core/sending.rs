//! The way out: whose turn it is, what is framed, and what is written (RFC 9622 9.2).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::{Carrier, Core, Number, Sending, Sent, wake};
use crate::connection::SendError;
use crate::connection::event::Event;
use crate::connection::queue::{Fate, Place, Queued, Ticket};
use crate::framer::FramerError;
use crate::group::{Entry, Membership};
use crate::message::Message;
use crate::transport::{Limits, NotSent, Transport};

/// How many slices one write takes: small messages share one, so this many are large.
const SLICES: usize = 16;

/// How many bytes of messages are framed at once: what is framed cannot be taken back, nor overtaken.
const FRAMED: usize = 64 * 1024;

impl Core {
    /// A number for a message that is about to be handed over.
    pub(in crate::connection) fn number_of(&mut self, message: &Message) -> Number {
        let id = message.context.id();
        let number = match self.parts {
            // A part of the message that was begun by another call.
            Some((open, number)) if open == id => Number { part: number.part + 1, ..number },
            _ => self.number(),
        };
        self.parts = (id != 0 && !message.end_of_message).then_some((id, number));
        number
    }

    pub(in crate::connection) fn number(&mut self) -> Number {
        self.messages += 1;
        Number { message: self.messages, part: 0 }
    }

    /// Takes a message over: it leaves at once where nothing stands before it, and waits otherwise.
    pub(in crate::connection) fn submit(
        &mut self,
        message: Message,
        number: Number,
        cx: &mut Context<'_>,
    ) -> Result<Sent, SendError> {
        self.admit(&message)?;
        let last = message.context.last && message.end_of_message;
        if self.can_leave_at_once(&message, number) {
            let open = (!message.end_of_message).then_some(number.message);
            self.frame(message)?;
            self.queue.set_open(open);
            if last {
                self.sending = Sending::Ending;
            }
            match self.poll_write_out(cx) {
                Poll::Ready(Ok(())) => {
                    if self.events.is_watched() {
                        self.events.tell(Event::Sent { message: number.message });
                    }
                    return Ok(Sent::Now);
                }
                Poll::Ready(Err(error)) => return Err(self.fail(&error).into()),
                Poll::Pending => {
                    let ticket = self.waiting.insert(Fate::Leaving, number.message);
                    self.leaving.push(ticket);
                    self.waiting.park(ticket, cx, true);
                    return Ok(Sent::Later(ticket));
                }
            }
        }
        self.enqueue(message, number).map(Sent::Later)
    }

    pub(super) fn enqueue(&mut self, message: Message, number: Number) -> Result<Ticket, SendError> {
        self.admit(&message)?;
        let last = message.context.last && message.end_of_message;
        if last {
            self.sending = Sending::Last;
        }
        let priority = message.context.properties().or(&self.properties.message).priority();
        let place = Place::new(last, priority, number.message, number.part);
        let ticket = self.waiting.insert(Fate::Queued(place), number.message);
        let entry = Entry { priority, last, size: message.data.len() as u64 };
        let turn = self.membership.as_ref().and_then(|membership| membership.push(entry));
        self.queue.push(place, Queued { message, ticket, turn });
        Ok(ticket)
    }

    /// Takes a batch over: `waits` gets who is to be asked for the outcome of which message, `failed` what is not sent.
    pub(in crate::connection) fn submit_all(
        &mut self,
        mut messages: Vec<Message>,
        waits: &mut Vec<(usize, Ticket)>,
        failed: &mut Vec<(usize, SendError)>,
    ) {
        let number = self.number();
        // A transport of messages takes or refuses each for itself, and who watches is told of each (RFC 9622 9.2.2).
        let alike = !self.stack.out.keeps_boundaries() && !self.events.is_watched() && messages.iter().all(is_plain);
        if alike && messages.first().is_some_and(|first| self.can_leave_at_once(first, number)) {
            // One write, and one who waits for all of them.
            self.messages += messages.len() as u64 - 1;
            for (index, message) in messages.drain(..).enumerate() {
                let sent = self.admit(&message).and_then(|()| Ok(self.frame(message)?));
                if let Err(error) = sent {
                    failed.push((index, error));
                }
            }
            let ticket = self.waiting.insert(Fate::Leaving, number.message);
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
    pub(super) fn admit(&self, message: &Message) -> Result<(), SendError> {
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
    pub(super) fn check(&self, message: &Message) -> Result<(), SendError> {
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

    /// Frames the first message of a connection that has just been established; nobody waits for it.
    pub(super) fn send_first(&mut self, has_left: bool) {
        let Some(first) = self.first.take() else { return };
        let last = first.context.last;
        let framed = match has_left {
            true => Ok(()),
            false => self.check(&first).and_then(|()| Ok(self.stack.send(first)?)),
        };
        if last && framed.is_ok() && self.sending == Sending::Open {
            self.sending = Sending::Ending;
        }
        match framed {
            Ok(()) => self.first_leaves = true,
            Err(error) => self.events.tell(Event::SendError { message: 1, error }),
        }
    }

    /// Takes back what was handed over before the connection was established and does not fit it.
    pub(super) fn refuse_inconsistent(&mut self) {
        let refused: Vec<_> = self
            .queue
            .iter()
            .filter_map(|(place, queued)| Some((place, queued.ticket, self.check(&queued.message).err()?)))
            .collect();
        for (place, ticket, error) in refused {
            self.take_back(place);
            self.settle(ticket, Err(error));
        }
    }

    pub(super) fn can_leave_at_once(&self, message: &Message, number: Number) -> bool {
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
    pub(in crate::connection) fn poll_sent(
        &mut self,
        ticket: Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let blocked = self.poll_pump(cx).is_pending();
        self.waiting.park(ticket, cx, blocked);
        match self.waiting.fate(ticket) {
            Some(Fate::Decided(outcome)) => Poll::Ready(std::mem::replace(outcome, Ok(()))),
            Some(_) => Poll::Pending,
            None => Poll::Ready(Err(SendError::Closed)),
        }
    }

    /// Nobody waits for this message any more. Before its turn it is taken back; after, it leaves all the same.
    pub(in crate::connection) fn forget(&mut self, ticket: Ticket) {
        if let Some(Fate::Queued(place)) = self.waiting.fate(ticket) {
            let place = *place;
            self.take_back(place);
        }
        self.leaving.retain(|leaving| *leaving != ticket);
        if self.waiting.remove(ticket) && !self.stack.out.is_empty() {
            // Who receives may as well write what is left.
            wake(&mut self.reader);
        }
    }

    /// The rest of a message will not come. Where the peer may have seen a part of it and waits for the rest, the
    /// connection is of no use any more.
    pub(in crate::connection) fn abandon(&mut self, number: Number) {
        if self.queue.open() == Some(number.message) {
            self.queue.set_open(None);
            if !self.stack.give_up_part() {
                return self.abort();
            }
        }
        self.waiting.wake_one();
    }

    /// The lifetime of a message is over (RFC 9622 9.1.3.1): it expires unless it is on its way.
    pub(in crate::connection) fn expire(&mut self, ticket: Ticket) {
        if let Some(Fate::Queued(place)) = self.waiting.fate(ticket) {
            let place = *place;
            self.take_back(place);
            self.settle(ticket, Err(SendError::Expired));
        }
    }

    pub(super) fn take_back(&mut self, place: Place) {
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

    /// Decides what has become of everything that was framed, in the order in which it was (RFC 9622 11).
    pub(super) fn settle_leaving(&mut self, outcome: &Result<(), SendError>) {
        if std::mem::take(&mut self.first_leaves) && outcome.is_ok() {
            self.events.tell(Event::Sent { message: 1 });
        }
        let mut leaving = std::mem::take(&mut self.leaving);
        for ticket in leaving.drain(..) {
            self.settle(ticket, outcome.clone());
        }
        // It keeps its memory.
        self.leaving = leaving;
    }

    /// Decides what has become of a message, and tells.
    pub(super) fn settle(&mut self, ticket: Ticket, outcome: Result<(), SendError>) {
        if self.events.is_watched()
            && let Some(message) = self.waiting.undecided(ticket)
        {
            self.events.tell(match &outcome {
                Ok(()) => Event::Sent { message },
                Err(SendError::Expired) => Event::Expired { message },
                Err(error) => Event::SendError { message, error: error.clone() },
            });
        }
        self.waiting.decide(ticket, outcome);
    }

    /// Sends what waits, as far as the transport takes it. Pending when the transport will wake this task.
    pub(in crate::connection) fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_open(cx));
        self.poll_wakeups(cx);
        loop {
            match self.poll_write_out(cx) {
                Poll::Pending => {
                    if let Some(membership) = &self.membership {
                        membership.set_blocked();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => {
                    self.settle_leaving(&Ok(()));
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
    pub(super) fn frame_more(&mut self, cx: &mut Context<'_>) -> bool {
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
            match self.frame(message) {
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
                    self.settle(ticket, Err(error.into()));
                }
            }
        }
        framed > 0
    }

    /// Frames a message for the transport; one that may be lost leaves at once beside the stream, where it can.
    fn frame(&mut self, message: Message) -> Result<(), FramerError> {
        if self.stack.beside.is_some() && self.may_be_lost(&message) && self.send_loose(&message) {
            return Ok(());
        }
        self.stack.send(message)
    }

    /// Whether a message may be lost, and nothing needs it where it stands among the others: one that is sent in parts goes
    /// over the stream, as do the final one and one that says itself that it is ordered.
    fn may_be_lost(&self, message: &Message) -> bool {
        if !message.end_of_message || message.context.last || !self.stack.is_between_messages() {
            return false;
        }
        let properties = message.context.properties().or(&self.properties.message);
        properties.reliable() == Some(false) && properties.ordered() != Some(true)
    }

    /// Sends a message beside the stream; false when it does not go there now.
    fn send_loose(&mut self, message: &Message) -> bool {
        let (Some(beside), Carrier::Transport(Transport::Stream(stream))) = (&mut self.stack.beside, &mut self.carrier)
        else {
            return false;
        };
        // What is wrong with it shows when it is framed for the stream.
        let framed = beside.send(message.clone()).ok().and_then(|()| beside.out.next_message());
        let size = framed.map_or(0, |framed| framed.len());
        let sent = framed.is_some_and(|framed| stream.send_loose(&framed));
        beside.out.clear();
        if let Some(pace) = self.send_pace.as_mut().filter(|_| sent) {
            pace.passed(size);
        }
        sent
    }

    pub(super) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => stream.poll_write_ready(cx).map(drop),
            _ => Poll::Ready(()),
        }
    }

    /// Writes everything that is framed, and the end of the stream after the final message.
    pub(in crate::connection) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Transport(Transport::Stream(stream)) => {
                let mut stream = Pin::new(stream);
                while !self.stack.out.is_empty() {
                    let mut most = usize::MAX;
                    if let Some(pace) = &mut self.send_pace {
                        ready!(pace.poll_ready(cx));
                        most = pace.burst();
                    }
                    let written = match self.stack.out.only() {
                        // The system takes one piece for less than a list of one.
                        Some(only) => ready!(stream.as_mut().poll_write(cx, &only[..only.len().min(most)]))?,
                        None => {
                            let mut slices = [IoSlice::new(&[]); SLICES];
                            let count = self.stack.out.slices(&mut slices, most);
                            ready!(stream.as_mut().poll_write_vectored(cx, &slices[..count]))?
                        }
                    };
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
            Carrier::Transport(Transport::Message(_)) => return self.poll_write_messages(cx),
            Carrier::Opening(_) | Carrier::Gone => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Hands framed messages to a transport that keeps them apart, one after the other.
    fn poll_write_messages(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Carrier::Transport(Transport::Message(transport)) = &mut self.carrier else {
                return Poll::Ready(Ok(()));
            };
            let Some(leaving) = self.stack.out.next_message() else {
                ready!(transport.poll_flush(cx))?;
                if self.sending == Sending::Ending {
                    ready!(transport.poll_shutdown(cx))?;
                    self.sending = Sending::Ended;
                }
                return Poll::Ready(Ok(()));
            };
            if let Some(pace) = &mut self.send_pace {
                ready!(pace.poll_ready(cx));
            }
            let size = leaving.len();
            let sent = ready!(transport.poll_send(cx, &leaving));
            // One message is framed at a time, so an error that concerns a message concerns this one.
            let refused = match sent {
                Ok(()) => None,
                Err(error) => match refused(&error, size, transport.limits()) {
                    Some(refused) => Some(refused),
                    None => return Poll::Ready(Err(error)),
                },
            };
            self.stack.out.pop_message();
            match refused {
                Some(refused) => self.settle_leaving(&Err(refused)),
                None => {
                    if let Some(pace) = &mut self.send_pace {
                        pace.passed(size);
                    }
                }
            }
        }
    }

    /// A place among those who wait, for one who waits for everything to be sent.
    pub(in crate::connection) fn wait(&mut self) -> Ticket {
        self.waiting.insert(Fate::Leaving, 0)
    }

    /// Ready when everything that was handed over is sent.
    pub(in crate::connection) fn poll_drain(
        &mut self,
        ticket: Ticket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>> {
        let blocked = self.poll_pump(cx).is_pending();
        self.waiting.park(ticket, cx, blocked);
        if matches!(self.carrier, Carrier::Gone) || self.failure.is_some() {
            return Poll::Ready(Err(self.failure.clone().map_or(SendError::Closed, SendError::from)));
        }
        if blocked { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// How long a message may wait, by itself or by the connection's default.
    pub(in crate::connection) fn lifetime_of(&self, message: &Message) -> Option<Duration> {
        message.context.lifetime().or_else(|| self.properties.message.lifetime())
    }
}

/// An error of a transport that concerns one message, which it has not taken.
fn refused(error: &io::Error, size: usize, limits: Limits) -> Option<SendError> {
    if let Some(kind) = NotSent::of(error) {
        return Some(SendError::Refused(kind));
    }
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::QuotaExceeded => {
            // One that is not too long as such must not be fragmented.
            let limit = limits.send.filter(|limit| size > *limit).or(limits.singular).or(limits.send);
            Some(SendError::MessageTooLarge { size: size as u64, limit: limit.unwrap_or(size) as u64 })
        }
        _ => None,
    }
}

/// Whether a message is like any other: it may leave with those before and behind it.
fn is_plain(message: &Message) -> bool {
    message.end_of_message && message.context.is_plain()
}
