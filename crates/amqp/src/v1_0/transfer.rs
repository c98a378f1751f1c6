//! Transfers that come: from frames to deliveries (part 2, 2.6.12 and 2.6.14).

use bytes::Bytes;
use postroad_codec::v1_0::{
    DeliveryNumber, DeliveryState, DeliveryTag, Error, ErrorCondition, MessageFormat, Position, Reader,
    Received as Extent, Role, Transfer,
};

use super::arena::Key;
use super::copies::Copies;
use super::input::SessionFault;
use super::link::{Delivery, Link, Partial, Phase};
use super::link_state::Unsettled;
use super::session::{Incoming, Session};
use super::{Connection, Event, LinkId};

/// Bytes that are set aside for a message, for each that has come: a peer must not have much set aside by a small part.
const PROMISED: usize = 4;

impl Connection {
    #[inline]
    pub(crate) fn handle_transfer(
        &mut self,
        key: Key,
        transfer: &mut Transfer,
        payload: &Reader<'_>,
    ) -> Result<(), SessionFault> {
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        if session.incoming_window == 0 {
            return Err(SessionFault::new(ErrorCondition::WINDOW_VIOLATION, "a transfer beyond the incoming window"));
        }
        session.incoming_window -= 1;
        session.next_incoming_id = session.next_incoming_id.next();
        let Some(link_key) = session.link_of(transfer.handle) else {
            let text = format!("a transfer on handle {}, which is not attached", transfer.handle);
            return Err(SessionFault::new(ErrorCondition::UNATTACHED_HANDLE, text));
        };
        let link = self.links.get_mut(link_key).expect("handles name links");
        if link.resuming.is_some() {
            // A peer that named no terminus in its attach means the link all the same.
            self.exchange_unsettled(link_key);
        }
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        let link = self.links.get_mut(link_key).expect("handles name links");
        let continues = link.arriving.is_some_and(|arriving| transfer.delivery_id.is_none_or(|id| id == arriving));
        if !continues && let Some(number) = transfer.delivery_id {
            // Deliveries are numbered one after another across the links of a session (2.8.8).
            if session.next_incoming_delivery.is_some_and(|expected| expected != number) {
                let text = format!("delivery {number} out of sequence");
                return Err(SessionFault::new(ErrorCondition::INVALID_FIELD, text));
            }
            session.next_incoming_delivery = Some(number.next());
        }
        let (had_partial, had_bytes) = (link.partial.is_some(), link.partial_len());
        let waiting = self.partial_bytes + payload.remaining();
        // One alone may go on: the largest message of its link bounds it.
        let too_much = transfer.more && waiting > self.config.partial_bytes && self.partial_bytes > had_bytes;
        // Followed on a link that is being detached too: what crosses the detach comes in parts as well.
        let arriving = if continues { link.arriving } else { transfer.delivery_id };
        let aborted_other = link.arriving.is_some() && !continues;
        link.arriving = arriving.filter(|_| transfer.more && !transfer.aborted);
        let aborted = transfer.aborted;
        let result = match link.phase {
            Phase::Attached if aborted_other => {
                Err(Error::new(ErrorCondition::NOT_ALLOWED, "a new delivery before the last one ended"))
            }
            Phase::Attached if too_much && !transfer.aborted => Err(Error::new(
                ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
                "too many messages of which only a part has come",
            )),
            Phase::Attached if continues && link.skipping => Ok(Received::Nothing),
            Phase::Attached => Self::receive(link, transfer, payload, &mut self.copies),
            Phase::AttachReceived => {
                Err(Error::new(ErrorCondition::TRANSFER_LIMIT_EXCEEDED, "a message before the attach was answered"))
            }
            // Our detach is on its way; what crosses it is dropped (2.6.5).
            Phase::AttachSent | Phase::DetachSent | Phase::Detached => Ok(Received::Nothing),
        };
        let fault = match result {
            Ok(received) => {
                let ignored = link.skipping && link.arriving.is_none() && matches!(received, Received::Nothing);
                let delivery = match received {
                    Received::Nothing => None,
                    Received::Delivery(delivery) => {
                        if !delivery.continues && !delivery.settled {
                            session.incoming.push(delivery.number, Incoming::new(link, &delivery));
                        } else if delivery.continues && (delivery.settled || delivery.aborted) {
                            session.incoming.discard(delivery.number);
                        }
                        Some(delivery)
                    }
                    Received::Again(again) => {
                        self.events.push_back(again.reassociate(link.id, session));
                        again.part
                    }
                };
                if let Some(delivery) = delivery {
                    session.queued_bytes += delivery.weight();
                    if link.queue.is_empty() {
                        self.events.push_back(Event::Readable(link.id));
                    }
                    link.queue.push_back(delivery);
                }
                let whole = link.phase == Phase::Attached && link.partial.is_none();
                if whole && (aborted || ignored) {
                    self.events.push_back(Event::Aborted(link.id));
                }
                if whole && link.drain && link.credit == 0 {
                    link.drain = false;
                    self.events.push_back(Event::Drained(link.id));
                }
                None
            }
            Err(error) => {
                link.partial = None;
                Some((link.id, error))
            }
        };
        self.partial_bytes = self.partial_bytes - had_bytes + link.partial_len();
        // A message that is given in parts waits for its owner as others do; one that is held must go on to its end.
        match (had_partial, link.partial.is_some()) {
            _ if link.terms.in_parts => {}
            (false, true) => session.partials += 1,
            (true, false) => session.partials -= 1,
            _ => {}
        }
        session.reopen(&self.config);
        if session.flow_due || !session.dispositions.is_empty() {
            self.mark(key);
        }
        if let Some((link, error)) = fault {
            self.detach_faulty(link, true, error);
        }
        Ok(())
    }

    pub(crate) fn mark_if_flow_due(&mut self, key: Key) {
        if self.sessions.get(key).is_some_and(|session| session.flow_due) {
            self.mark(key);
        }
    }

    #[inline]
    fn receive(
        link: &mut Link,
        transfer: &mut Transfer,
        payload: &Reader<'_>,
        copies: &mut Copies,
    ) -> Result<Received, Error> {
        if link.role == Role::Sender {
            return Err(Error::new(ErrorCondition::NOT_ALLOWED, "a transfer to the sending end of a link"));
        }
        let limit = link.terms.max_message_size;
        let given = link.partial.as_ref().map_or(0, |partial| partial.given);
        let arrived = given + (link.partial_len() + payload.remaining()) as u64;
        // The payload of an aborted transfer is ignored (2.7.5).
        if limit != 0 && arrived > limit && !transfer.aborted {
            let text = format!("a message of more than {limit} bytes");
            return Err(Error::new(ErrorCondition::MESSAGE_SIZE_EXCEEDED, text));
        }
        if let Some(partial) = &link.partial {
            if transfer.delivery_tag.is_some_and(|tag| tag != partial.delivery.tag) {
                return Err(Error::new(ErrorCondition::NOT_ALLOWED, "another delivery-tag within a delivery"));
            }
            check_format(transfer, partial.delivery.message_format)?;
            return Ok(Self::receive_more(link, transfer, payload, copies));
        }
        let (Some(number), Some(tag)) = (transfer.delivery_id, transfer.delivery_tag) else {
            let text = "the first transfer of a delivery without delivery-id or delivery-tag";
            return Err(Error::new(ErrorCondition::INVALID_FIELD, text));
        };
        link.skipping = false;
        // The credit for it was given behind our attach.
        link.heard();
        // Credit counts messages, not frames (2.6.7). Peers differ in whether one that is resumed counts again.
        let resumed = transfer.resume && link.resuming.is_some();
        if link.allowed > 0 {
            link.allowed -= 1;
        } else if !resumed && link.overdrawn < link.overdraft {
            link.overdrawn += 1;
        } else if !resumed {
            return Err(Error::new(ErrorCondition::TRANSFER_LIMIT_EXCEEDED, "a message beyond the credit"));
        }
        link.credit = link.credit.saturating_sub(1);
        link.delivery_count = link.delivery_count.next();
        link.available = link.available.saturating_sub(1);
        if let Some(resuming) = &mut link.resuming {
            resuming.has_come(&tag);
        }
        if transfer.resume {
            if let Some(format) = link.resuming.as_ref().and_then(|resuming| resuming.format_of(tag)) {
                check_format(transfer, format)?;
            }
            let again = link.resuming.as_mut().and_then(|resuming| resuming.take(tag, number));
            if link.resuming.as_ref().is_some_and(|resuming| resuming.is_received()) {
                link.resuming = None;
            }
            match again {
                // Nothing of it has come: it is as good as new.
                Some(known) if known.received.is_none() && known.local_state.is_none() => {
                    return Self::receive_first(link, number, tag, transfer, payload, copies);
                }
                Some(known) => return Ok(Self::receive_again(link, number, known, transfer, payload, copies)),
                None => {
                    // 2.7.5: one that we know nothing of is ignored.
                    link.skipping = true;
                    return Ok(Received::Nothing);
                }
            }
        }
        if link.resuming.as_ref().is_some_and(|resuming| resuming.is_received()) {
            link.resuming = None;
        }
        if link.resuming.as_ref().is_some_and(|resuming| resuming.told_incomplete()) {
            let text = "a new delivery where an unsettled map lacked entries";
            return Err(Error::new(ErrorCondition::NOT_ALLOWED, text));
        }
        Self::receive_first(link, number, tag, transfer, payload, copies)
    }

    /// The first transfer of a delivery.
    #[inline]
    fn receive_first(
        link: &mut Link,
        number: DeliveryNumber,
        tag: DeliveryTag,
        transfer: &mut Transfer,
        payload: &Reader<'_>,
        copies: &mut Copies,
    ) -> Result<Received, Error> {
        if transfer.aborted {
            return Ok(Received::Nothing);
        }
        let mut delivery = Delivery {
            number,
            tag,
            message_format: transfer.message_format.unwrap_or_default(),
            settled: transfer.settled.unwrap_or(false),
            state: transfer.state.take(),
            payload: Bytes::new(),
            continues: false,
            more: false,
            aborted: false,
        };
        if transfer.more && !link.terms.in_parts {
            let mut bytes = Vec::with_capacity(link.usual.min(PROMISED * payload.remaining()).max(payload.remaining()));
            bytes.extend_from_slice(payload.as_slice());
            link.partial = Some(Partial { delivery, bytes, given: 0 });
            return Ok(Received::Nothing);
        }
        if transfer.more {
            let given = payload.remaining() as u64;
            delivery.more = true;
            link.partial = Some(Partial { delivery: delivery.clone(), bytes: Vec::new(), given });
        }
        delivery.payload = copies.keep(payload);
        Ok(Received::Delivery(delivery))
    }

    /// A delivery of which something has come before (2.6.13).
    #[cold]
    fn receive_again(
        link: &mut Link,
        number: DeliveryNumber,
        mut known: Unsettled,
        transfer: &mut Transfer,
        payload: &Reader<'_>,
        copies: &mut Copies,
    ) -> Received {
        let settled = transfer.aborted || transfer.settled == Some(true);
        if known.message.is_none() {
            link.skipping = true;
            known.remote_state = transfer.state.take();
            return Received::Again(Box::new(Again { known, number, settled, part: None }));
        }
        if transfer.aborted && !link.terms.in_parts {
            return Received::Nothing;
        }
        let delivery = Delivery {
            number,
            tag: known.tag,
            message_format: transfer.message_format.unwrap_or(known.message_format),
            settled: false,
            state: known.remote_state.clone(),
            payload: Bytes::new(),
            continues: false,
            more: false,
            aborted: false,
        };
        let bytes = known.message.take().unwrap_or_default();
        link.partial = Some(Partial { delivery, bytes: bytes.into(), given: 0 });
        if let (true, Some(position)) = (link.terms.in_parts, known.received.clone()) {
            link.reading = Some((number, position));
        }
        match Self::receive_more(link, transfer, payload, copies) {
            Received::Delivery(part) if part.continues => {
                Received::Again(Box::new(Again { known, number, settled, part: Some(part) }))
            }
            received => received,
        }
    }

    fn receive_more(link: &mut Link, transfer: &mut Transfer, payload: &Reader<'_>, copies: &mut Copies) -> Received {
        let Some(partial) = &mut link.partial else { return Received::Nothing };
        if transfer.aborted && !link.terms.in_parts {
            link.partial = None;
            return Received::Nothing;
        }
        partial.delivery.settled |= transfer.settled.unwrap_or(false);
        if transfer.state.is_some() {
            partial.delivery.state = transfer.state.take();
        }
        if link.terms.in_parts {
            let mut part = partial.delivery.clone();
            partial.given += payload.remaining() as u64;
            (part.continues, part.aborted, part.more) = (true, transfer.aborted, transfer.more && !transfer.aborted);
            if !part.aborted {
                part.payload = copies.keep(payload);
            }
            if !part.more {
                link.partial = None;
            }
            return Received::Delivery(part);
        }
        partial.bytes.extend_from_slice(payload.as_slice());
        if transfer.more {
            return Received::Nothing;
        }
        let Some(Partial { mut delivery, bytes, .. }) = link.partial.take() else { return Received::Nothing };
        link.usual = bytes.len();
        delivery.payload = bytes.into();
        Received::Delivery(delivery)
    }
}

/// 2.7.5: the format of a delivery does not change on its way.
#[inline]
fn check_format(transfer: &Transfer, format: MessageFormat) -> Result<(), Error> {
    match transfer.message_format {
        Some(other) if other != format => {
            let text = format!("message-format {} within a delivery of format {}", other.0, format.0);
            Err(Error::new(ErrorCondition::NOT_ALLOWED, text))
        }
        _ => Ok(()),
    }
}

enum Received {
    /// A part that is held, or the end of a delivery that was given up.
    Nothing,
    /// A message, or a part of one on a link that gives parts.
    Delivery(Delivery),
    Again(Box<Again>),
}

/// A delivery that had come before, as a whole or in part, and that the sender resumes.
struct Again {
    known: Unsettled,
    number: DeliveryNumber,
    /// Whether the sender has settled it.
    settled: bool,
    /// What has come of it now.
    part: Option<Delivery>,
}

impl Again {
    /// Gives the delivery its new number, and tells its owner.
    fn reassociate(&self, link: LinkId, session: &mut Session) -> Event {
        let (known, number) = (&self.known, self.number);
        let state = known.remote_state.clone();
        let terminal = |state: &Option<DeliveryState>| state.as_ref().is_some_and(DeliveryState::is_terminal);
        // 2.6.13, example 13: the sender's outcome counts, and the receiver settles with it.
        let restated = terminal(&known.local_state) && terminal(&state);
        if restated && !self.settled {
            session.dispose(Role::Receiver, number, state.clone(), true);
        } else if !self.settled {
            let incoming = Incoming {
                link,
                tag: known.tag,
                message_format: known.message_format,
                received: known.received.as_ref().map(Position::received).unwrap_or_default(),
                local_state: known.local_state.clone(),
                remote_state: known.remote_state.clone(),
            };
            session.incoming.push(number, incoming);
        }
        // What follows of it in parts has the new number, be it the news that it is given up.
        let delivery = (!restated && (!self.settled || self.part.is_some())).then_some(number);
        Event::Reassociated { link, tag: known.tag, previous: known.delivery, delivery, state }
    }
}

impl Incoming {
    #[inline]
    fn new(link: &Link, delivery: &Delivery) -> Self {
        Self {
            link: link.id,
            tag: delivery.tag,
            message_format: delivery.message_format,
            received: if link.terms.keep { extent(&delivery.payload) } else { Extent::default() },
            local_state: None,
            remote_state: delivery.state.clone(),
        }
    }
}

/// All of a message, as the state `received` tells it.
fn extent(payload: &[u8]) -> Extent {
    let mut position = Position::default();
    position.advance(payload);
    position.received()
}
