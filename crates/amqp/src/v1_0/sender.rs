//! The sending end of a link.

use bytes::Bytes;
use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, DeliveryTag, Encode as _, MessageFormat, Role, Transfer};

use super::arena::Key;
use super::fit::state_fits;
use super::link::{Open, Parked, Phase};
use super::send_log::{Kept, joined};
use super::session::Outgoing;
use super::transmit::SPLICE;
use super::{Connection, SendError, Transmit};

/// A message on its way into a link.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The encoded message, or the front of it.
    pub payload: &'a [u8],
    /// What follows that, as a shared buffer: a large one is not copied.
    pub content: Option<&'a Bytes>,
    /// Names the delivery among the unsettled ones of the link.
    pub tag: DeliveryTag,
    /// The format of the message; 0 is that of the standard.
    pub message_format: MessageFormat,
    /// Whether the delivery is settled at once, and its outcome never learned.
    pub settled: bool,
    /// Its state, such as a transaction.
    pub state: Option<DeliveryState>,
    /// Comes back in every [`Update`](super::Update).
    pub token: u64,
    /// Whether this is the first part of a message, and [`SenderMut::append`] hands over the rest. Such a message is
    /// not kept, so it cannot be sent again when its link is resumed.
    pub more: bool,
}

impl<'a> Message<'a> {
    /// A message that the receiver is to settle.
    #[must_use]
    pub fn new(payload: &'a [u8], tag: DeliveryTag, token: u64) -> Self {
        let message_format = MessageFormat(0);
        Self { payload, content: None, tag, message_format, settled: false, state: None, token, more: false }
    }

    /// Bytes of the message.
    #[must_use]
    pub fn length(&self) -> usize {
        self.payload.len() + self.content.map_or(0, Bytes::len)
    }

    /// As [`Message::new`], from a shared buffer.
    #[must_use]
    pub fn shared(content: &'a Bytes, tag: DeliveryTag, token: u64) -> Self {
        Self { content: Some(content), ..Self::new(&[], tag, token) }
    }
}

/// The sending end of a link, borrowed from its connection.
#[derive(Debug)]
pub struct SenderMut<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) key: Key,
}

impl SenderMut<'_> {
    /// Messages that can be handed over now. Where it is 0, an [`Event::Credit`](super::Event::Credit)
    /// follows when it no longer is.
    #[inline]
    pub fn capacity(&mut self) -> u32 {
        let capacity = self.connection.capacity(self.key);
        if capacity == 0 {
            self.block();
        }
        capacity
    }

    /// The receiver's credit, whether it can be used now or not.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.connection.links.get(self.key).map_or(0, |link| link.credit)
    }

    /// Hands a message over. From then on it is the engine's: it leaves as windows allow.
    ///
    /// # Errors
    /// [`SendError::Blocked`] without capacity; the message stays the caller's, as with every error.
    #[inline]
    pub fn send(&mut self, message: &Message<'_>) -> Result<DeliveryNumber, SendError> {
        let connection = &mut *self.connection;
        if connection.capacity(self.key) == 0 {
            let attached = connection.links.get(self.key).is_some_and(|link| link.phase == Phase::Attached);
            if !attached || connection.close_sent || connection.over.is_some() {
                return Err(SendError::Detached);
            }
            self.block();
            return Err(SendError::Blocked);
        }
        let link = connection.links.get_mut(self.key).expect("it has capacity");
        if message.length() as u64 > link.peer_limit() {
            return Err(SendError::TooLarge(link.peer_limit()));
        }
        if message.state.as_ref().is_some_and(|state| !state_fits(state, connection.remote_max_frame as usize)) {
            return Err(SendError::State);
        }
        let outgoing = (!message.settled).then(|| {
            let keep = link.terms.keep && !message.more;
            let kept = if keep { link.log.keep(message.payload, message.content) } else { Kept::Nothing };
            let (tag, token, message_format) = (message.tag, message.token, message.message_format);
            let local_state = message.state.clone();
            Outgoing { link: link.id, token, tag, message_format, kept, local_state, remote_state: None }
        });
        let transfer = Transfer {
            delivery_tag: Some(message.tag),
            message_format: Some(message.message_format),
            settled: Some(message.settled),
            state: message.state.clone(),
            more: message.more,
            ..Transfer::default()
        };
        let pieces = Pieces { front: message.payload, content: message.content };
        Ok(self.put_delivery(transfer, outgoing, pieces))
    }

    /// Whether [`append`](Self::append) takes a part now. Where not, an [`Event::Credit`](super::Event::Credit) follows
    /// when it does.
    pub fn can_append(&mut self) -> bool {
        let can = self.connection.can_append(self.key);
        if !can {
            self.block();
        }
        can
    }

    /// Hands over the next part of the message that was begun with [`Message::more`], the last one unless `more`. No
    /// other message can be handed over on the link before that. Parts are the engine's from then on; each leaves in
    /// as many frames as it takes, and none of them needs credit.
    ///
    /// # Errors
    /// [`SendError::Blocked`] where [`can_append`](Self::can_append) says so: the part stays the caller's.
    /// [`SendError::TooLarge`] when the message becomes larger than the receiver takes: [`abort`](Self::abort) it.
    /// [`SendError::Detached`] when the link is, or `delivery` is not open.
    pub fn append(
        &mut self,
        delivery: DeliveryNumber,
        payload: &[u8],
        shared: Option<&Bytes>,
        more: bool,
    ) -> Result<(), SendError> {
        let Some(link) = self.connection.links.get(self.key) else { return Err(SendError::Detached) };
        let Some(open) = link.open.filter(|open| open.delivery == delivery && link.phase == Phase::Attached) else {
            return Err(SendError::Detached);
        };
        let (limit, length) = (link.peer_limit(), open.length + payload.len() as u64);
        if self.connection.close_sent || self.connection.over.is_some() {
            return Err(SendError::Detached);
        }
        if length > limit {
            return Err(SendError::TooLarge(limit));
        }
        if !self.can_append() {
            return Err(SendError::Blocked);
        }
        if payload.is_empty() && more {
            return Ok(());
        }
        let link = self.connection.links.get_mut(self.key).expect("looked up above");
        link.open = more.then_some(Open { length, ..open });
        let rest = shared.map_or_else(|| Bytes::copy_from_slice(payload), |shared| shared.slice_ref(payload));
        let session = link.session;
        link.parked = Some(Parked { rest, more });
        if let Some(session) = self.connection.sessions.get_mut(session) {
            session.parked.push_back(self.key);
        }
        self.connection.put_parked(session);
        self.connection.mark(session);
        Ok(())
    }

    /// Gives up the message that was begun with [`Message::more`]: the receiver throws away what it has of it (2.7.5).
    /// It is settled with that, and no [`Event::Update`](super::Event::Update) follows.
    pub fn abort(&mut self, delivery: DeliveryNumber) {
        let connection = &mut *self.connection;
        let Some(link) = connection.links.get_mut(self.key) else { return };
        if link.open.is_none_or(|open| open.delivery != delivery) {
            return;
        }
        link.open = None;
        link.parked = None;
        let Some(session) = connection.sessions.get_mut(link.session) else { return };
        session.parked.retain(|parked| *parked != self.key);
        session.outgoing.discard(delivery);
        // Nothing follows a close, which leaves nothing to give up.
        if link.phase == Phase::Attached && !connection.close_sent && connection.over.is_none() {
            // As the rest of a message that has no bytes left: it waits for the window as the others do.
            link.aborting = true;
            link.parked = Some(Parked { rest: Bytes::new(), more: false });
            session.parked.push_back(self.key);
            let session = link.session;
            connection.put_parked(session);
            connection.mark(session);
        }
    }

    /// Keeps a message that is sent again, where it was kept before.
    pub(crate) fn keep(&mut self, message: Option<&Bytes>) -> Kept {
        let (Some(link), Some(message)) = (self.connection.links.get_mut(self.key), message) else {
            return Kept::Nothing;
        };
        link.log.keep(&[], Some(message))
    }

    /// Queues the first transfer of a delivery with as much of the payload as fits into a frame; the rest follows as
    /// the window allows. There is room for one, the caller has seen to that.
    #[inline]
    pub(crate) fn put_delivery(
        &mut self,
        mut transfer: Transfer,
        outgoing: Option<Outgoing>,
        pieces: Pieces<'_>,
    ) -> DeliveryNumber {
        let connection = &mut *self.connection;
        let link = connection.links.get_mut(self.key).expect("it has room");
        let session = connection.sessions.get_mut(link.session).expect("it has room");
        let number = session.next_delivery;
        session.next_delivery = number.next();
        link.delivery_count = link.delivery_count.next();
        link.credit -= 1;
        link.available = link.available.saturating_sub(1);
        if let Some(outgoing) = outgoing {
            session.outgoing.push(number, outgoing);
        }
        transfer.handle = link.handle;
        transfer.delivery_id = Some(number);
        link.open = transfer.more.then_some(Open { delivery: number, length: pieces.len() as u64 });
        let (limit, channel) = (connection.remote_max_frame as usize, session.channel);
        session.remote_window -= 1;
        session.next_outgoing_id = session.next_outgoing_id.next();
        let sent = put_transfer(&mut connection.out, channel, &mut transfer, &pieces, limit);
        if sent < pieces.len() || transfer.more {
            let state = transfer.state.take();
            link.repeated = state.filter(|state| matches!(state, DeliveryState::Transactional(_)));
        }
        if sent < pieces.len() {
            let rest = pieces.behind(sent);
            link.parked = Some(Parked { rest, more: link.open.is_some() });
            session.parked.push_back(self.key);
            let session = link.session;
            connection.put_parked(session);
            connection.mark(session);
        }
        number
    }

    /// Settles a delivery whose state is known: the last step of exactly-once (2.6.12).
    pub fn settle(&mut self, delivery: DeliveryNumber) {
        self.settle_with(delivery, |told| told);
    }

    /// Settles a delivery in a state of our own, such as the outcome of a transaction that was provisional before
    /// (part 4, 4.4.2).
    pub fn settle_as(&mut self, delivery: DeliveryNumber, state: DeliveryState) {
        self.settle_with(delivery, |_| Some(state));
    }

    /// Forgets what the receiver told of a delivery that is not settled: it was part of a transaction that is rolled back
    /// (part 4, 4.4.4).
    pub fn revert(&mut self, delivery: DeliveryNumber) {
        let Some(link) = self.connection.links.get(self.key) else { return };
        let Some(session) = self.connection.sessions.get_mut(link.session) else { return };
        if let Some(outgoing) = session.outgoing.get_mut(delivery).filter(|outgoing| outgoing.link.0 == self.key) {
            outgoing.remote_state = None;
        }
    }

    fn settle_with(
        &mut self,
        delivery: DeliveryNumber,
        state: impl FnOnce(Option<DeliveryState>) -> Option<DeliveryState>,
    ) {
        let Some(link) = self.connection.links.get_mut(self.key) else { return };
        let key = link.session;
        let Some(session) = self.connection.sessions.get_mut(key) else { return };
        if session.outgoing.get_mut(delivery).is_none_or(|outgoing| outgoing.link.0 != self.key) {
            return;
        }
        let outgoing = session.outgoing.remove(delivery).expect("just looked up");
        link.log.forget(&outgoing.kept);
        if link.phase == Phase::Attached {
            session.dispose(Role::Sender, delivery, state(outgoing.remote_state), true);
            self.connection.mark(key);
        }
    }

    /// Notes how many messages wait at this end. The next flow of the link tells it; none goes out for this alone, since an
    /// owner may count each message: [`Connection::ask_flow`] sends one.
    pub fn offered(&mut self, available: u32) {
        if let Some(link) = self.connection.links.get_mut(self.key) {
            link.available = available;
        }
    }

    /// Answers a drain: there is nothing more to send, the credit that is left is given up (2.6.7).
    pub fn drained(&mut self) {
        let Some(link) = self.connection.links.get_mut(self.key) else { return };
        if !link.drain {
            return;
        }
        if link.parked.is_some() || link.open.is_some() {
            // The credit of that message is used already, but the answer must not overtake its rest.
            link.drain_due = true;
            return;
        }
        link.drain_due = false;
        link.delivery_count = link.delivery_count.plus(link.credit);
        link.credit = 0;
        link.blocked = true;
        self.connection.mark_flow(self.key);
    }

    /// Whether the rest of a message that was handed over waits for the window. A detach would leave it behind.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        self.connection.links.get(self.key).is_some_and(|link| link.parked.is_some())
    }

    /// Whether the receiver asks for a drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.connection.links.get(self.key).is_some_and(|link| link.drain)
    }

    /// Bytes of the messages that this link keeps until they are settled ([`LinkTerms::keep`](super::LinkTerms::keep)).
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.connection.links.get(self.key).map_or(0, |link| link.log.bytes())
    }

    /// Deliveries of this session that are not settled yet, with those that its links brought along.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        let connection = &*self.connection;
        let session = connection.links.get(self.key).and_then(|link| connection.sessions.get(link.session));
        let Some(session) = session else { return 0 };
        let links = session.handles.iter().flatten().filter_map(|key| connection.links.get(*key));
        let resuming = links.filter(|link| link.role == Role::Sender).filter_map(|link| link.resuming.as_ref());
        session.outgoing.len() + resuming.map(|resuming| resuming.len()).sum::<usize>()
    }

    fn block(&mut self) {
        if let Some(link) = self.connection.links.get_mut(self.key) {
            link.blocked = true;
            self.connection.hold_back(self.key);
        }
    }
}

impl Connection {
    /// Sends what waits for the window, a frame of each link in turn.
    pub(crate) fn put_parked(&mut self, key: Key) {
        let limit = self.remote_max_frame as usize;
        loop {
            let Some(session) = self.sessions.get_mut(key) else { return };
            if session.remote_window == 0 {
                return;
            }
            let Some(link_key) = session.parked.pop_front() else { return };
            let Some(link) = self.links.get_mut(link_key) else { continue };
            let Some(mut parked) = link.parked.take() else { continue };
            session.remote_window -= 1;
            session.next_outgoing_id = session.next_outgoing_id.next();
            let aborted = std::mem::take(&mut link.aborting);
            let (handle, state) = (link.handle, link.repeated.clone());
            let mut transfer = Transfer { handle, more: parked.more, aborted, state, ..Transfer::default() };
            let rest = parked.rest.clone();
            let sent = put_transfer(&mut self.out, session.channel, &mut transfer, &Pieces::of(&rest), limit);
            if sent < rest.len() {
                parked.rest = rest.slice(sent..);
                link.parked = Some(parked);
                session.parked.push_back(link_key);
            } else if link.drain_due && link.open.is_none() {
                SenderMut { connection: self, key: link_key }.drained();
            } else {
                self.announce_credit(link_key);
            }
        }
    }
}

/// The bytes of a message on their way into frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces<'a> {
    front: &'a [u8],
    content: Option<&'a Bytes>,
}

impl<'a> Pieces<'a> {
    pub(crate) fn of(content: &'a Bytes) -> Self {
        Self { front: &[], content: Some(content) }
    }

    fn len(&self) -> usize {
        self.front.len() + self.content.map_or(0, Bytes::len)
    }

    /// What follows the first `sent` bytes.
    fn behind(&self, sent: usize) -> Bytes {
        match (self.front.get(sent..), self.content) {
            (None | Some([]), Some(content)) => content.slice(sent - self.front.len()..),
            (front, content) => joined(front.unwrap_or_default(), content),
        }
    }
}

/// Queues one transfer frame with as much of the message as fits, and answers how much that was.
#[inline]
fn put_transfer(out: &mut Transmit, channel: u16, transfer: &mut Transfer, pieces: &Pieces<'_>, limit: usize) -> usize {
    let [high, low] = channel.to_be_bytes();
    let head = |transfer: &Transfer, out: &mut Vec<u8>| {
        out.extend_from_slice(&[0, 0, 0, 0, 2, 0, high, low]);
        transfer.encode(out);
    };
    let length = pieces.len();
    let (front, sent) = out.write(|out| {
        let start = out.len();
        head(transfer, out);
        let mut room = limit.saturating_sub(out.len() - start);
        if length > room {
            transfer.more = true;
            out.truncate(start);
            head(transfer, out);
            room = limit.saturating_sub(out.len() - start);
        }
        let sent = room.min(length);
        let size = (out.len() - start + sent) as u32;
        out[start..start + 4].copy_from_slice(&size.to_be_bytes());
        (sent.min(pieces.front.len()), sent)
    });
    if front > 0 {
        out.write(|out| out.extend_from_slice(&pieces.front[..front]));
    }
    match pieces.content {
        Some(content) if sent - front >= SPLICE => out.splice(content.slice(..sent - front)),
        Some(content) => out.write(|out| out.extend_from_slice(&content[..sent - front])),
        None => {}
    }
    sent
}
