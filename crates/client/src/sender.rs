//! A link that sends.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::task::consume_budget;

use crate::link::Link;
use crate::protocol::{DeliveryNumber, DeliveryTag, MessageFormat, Outgoing, Refusal, TransactionId};
use crate::sink::SinkState;
use crate::state::{LinkEntry, Shared, Slot, State, UNTRACKED};
use crate::tag::behind;
use crate::types::Fields;
use crate::wait::Place;
use crate::{Guarantee, LinkError, Message, Node, Outcome, SendError, Session, SyncError};

/// A sender. Every method takes `&self`: tasks can share one.
///
/// Dropping it closes the link; what was handed over is on its way before the close.
#[doc(alias = "Link")]
#[derive(Debug)]
pub struct Sender {
    pub(crate) link: Link,
    pub(crate) settled: bool,
    pub(crate) sink: SinkState,
}

/// How a message is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handover<'a> {
    pub(crate) format: MessageFormat,
    /// The tag that was chosen for it; the next one otherwise.
    pub(crate) tag: Option<DeliveryTag>,
    /// Whether somebody waits for its outcome by name.
    pub(crate) tracked: bool,
    /// Whether its outcome is told with those of others ([`Told`](crate::Told)) instead.
    pub(crate) told: bool,
    /// Whether it is the first part of a message.
    pub(crate) more: bool,
    /// The transaction that it is a part of.
    pub(crate) transaction: Option<Within<'a>>,
    /// The engine that a discharge has to go to.
    pub(crate) epoch: Option<u32>,
}

/// The transaction that a message is a part of, and the engine that it was declared on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within<'a> {
    pub(crate) id: &'a TransactionId,
    pub(crate) epoch: u32,
    /// Set once it is to be discharged.
    pub(crate) ending: &'a AtomicBool,
}

/// A message that was handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Put {
    pub(crate) token: u64,
    pub(crate) delivery: DeliveryNumber,
    /// The engine that has it.
    pub(crate) epoch: u32,
}

impl<'a> Handover<'a> {
    fn new(format: MessageFormat, tracked: bool, transaction: Option<Within<'a>>) -> Self {
        let epoch = transaction.map(|within| within.epoch);
        Self { tracked, transaction, epoch, ..Self::tracked(format) }
    }

    /// A whole message, outside transactions, for whose outcome somebody waits by name.
    pub(crate) fn tracked(format: MessageFormat) -> Self {
        Self { format, tag: None, tracked: true, told: false, more: false, transaction: None, epoch: None }
    }
}

thread_local! {
    /// Messages are encoded here, outside the connection's lock.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A scratch buffer that has grown past this is given back.
const KEEP: usize = 1024 * 1024;

impl Sender {
    pub(crate) fn new(link: Link, guarantee: Guarantee) -> Self {
        Self { link, settled: guarantee == Guarantee::AtMostOnce, sink: SinkState::default() }
    }

    /// Sends a message and waits for its outcome. At most once, the outcome is
    /// [`Outcome::Accepted`] as soon as the message is handed over.
    ///
    /// # Errors
    /// [`SendError::NotSent`] when it was not handed over, [`SendError::InDoubt`] when it was and the link
    /// ended before the receiver told its outcome.
    ///
    /// # Cancel safety
    /// Dropped before the message is handed over, it is not sent; afterwards it is on its way, and its
    /// outcome is not learned.
    #[doc(alias = "obj")]
    pub async fn send(&self, message: &Message) -> Result<Outcome, SendError> {
        self.submit_tracked(message).await?.await
    }

    /// Hands a message over as soon as there is credit, and gives a future of its outcome.
    ///
    /// # Errors
    /// [`SendError::NotSent`] when the link ends first.
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    #[doc(alias = "send")]
    pub async fn submit_tracked(&self, message: &Message) -> Result<Settlement, SendError> {
        let Put { token, .. } = self.hand_over(message, true, None).await.map_err(|error| *error)?;
        if self.settled {
            return Ok(Settlement { at: None });
        }
        Ok(self.settlement(token))
    }

    /// Hands a message over as soon as there is credit. [`Sender::sync`] tells what became of all such
    /// messages.
    ///
    /// # Errors
    /// [`SendError::NotSent`] when the link ends first.
    ///
    /// # Cancel safety
    /// A dropped future has handed over nothing.
    pub async fn submit(&self, message: &Message) -> Result<(), SendError> {
        self.submit_boxed(message).await.map_err(|error| *error)
    }

    /// As [`Sender::submit`]. An error comes in a box, so that a message that is handed over as it should be costs nobody the
    /// room for one: errors are large.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    #[inline]
    pub async fn submit_boxed(&self, message: &Message) -> Result<(), Box<SendError>> {
        self.hand_over(message, false, None).await.map(drop)
    }

    /// As [`Sender::submit`], at once or not at all.
    ///
    /// # Errors
    /// [`SendError::NoCredit`] when it cannot be handed over now.
    pub fn try_submit(&self, message: &Message) -> Result<(), SendError> {
        match self.try_hand_over(message, false, None).map_err(|held| *held) {
            Ok(_) => Ok(()),
            Err(Held::Back(_)) => Err(SendError::NoCredit),
            Err(Held::Refused(error)) => Err(error),
        }
    }

    /// Waits until every message that was handed over by [`Sender::submit`] has an outcome.
    ///
    /// # Errors
    /// When a message was not accepted since the last call, or the link ended with messages in doubt.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn sync(&self) -> Result<(), SyncError> {
        self.link.session.shared().wait(Place::Outcomes(self.link.key), |state| self.synced(state)).await
    }

    /// What became of the messages that nobody waits for by name, once that is known of all.
    pub(crate) fn synced(&self, state: &mut State) -> Option<Result<(), SyncError>> {
        let entry = &mut state.links[self.link.key];
        let sends = &mut entry.sends;
        if sends.untracked > 0 && entry.over.is_none() {
            return None;
        }
        let in_doubt = std::mem::take(&mut sends.untracked) + std::mem::take(&mut sends.doubts);
        if in_doubt > 0 {
            let error = entry.over.clone().unwrap_or_else(|| state.lost_error());
            return Some(Err(SyncError::Link { in_doubt, error }));
        }
        let count = std::mem::take(&mut sends.not_accepted);
        Some(match sends.first_not_accepted.take() {
            Some(first) => Err(SyncError::NotAccepted { count, first }),
            None => Ok(()),
        })
    }

    /// Messages that were handed over and have no outcome yet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.link.with(|state| {
            let sends = &state.links[self.link.key].sends;
            sends.untracked
                + sends.slots.iter().filter(|(_, slot)| !matches!(slot, Slot::Done(_) | Slot::Declared(_))).count()
        })
    }

    /// The bound on messages under way; `None` is none.
    #[must_use]
    pub fn max_unsettled(&self) -> Option<usize> {
        self.link.with(|state| state.links[self.link.key].sends.max_in_flight)
    }

    /// Bounds the messages that were handed over and have no outcome yet: at the bound, handing over waits as it does
    /// without credit.
    pub fn set_max_unsettled(&self, max: Option<usize>) {
        self.link.with(|state| state.set_max_in_flight(self.link.key, max));
    }

    /// The receiver's credit: messages that can be handed over now.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            let here = entry.over.is_none() && entry.is_usable() && state.down.is_none();
            if here { state.engine.credit(entry.id) } else { 0 }
        })
    }

    /// Notes how many messages wait to be sent. The receiver hears it with the next flow of the link, such as the answer
    /// to a drain.
    #[doc(alias = "offered")]
    pub fn set_available(&self, messages: u32) {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            if entry.over.is_none() {
                state.engine.offer(entry.id, messages);
            }
        });
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.link.name
    }

    /// The node as the peer attached the link to it.
    #[doc(alias = "remote_target")]
    #[must_use]
    pub fn remote(&self) -> Option<Node> {
        self.link.remote()
    }

    /// The properties of the link that the peer told as it attached it.
    #[must_use]
    pub fn remote_properties(&self) -> Option<Fields> {
        self.link.remote_properties()
    }

    /// The address that the peer attached the link to: for a dynamic node, the one it made.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.link.remote_address()
    }

    /// Why the link is over; `None` while it is not.
    #[must_use]
    pub fn error(&self) -> Option<LinkError> {
        self.link.error()
    }

    /// Waits until the link is over, and tells why: a peer may detach one that is idle, which is known then before
    /// anything is sent on it.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn closed(&self) -> LinkError {
        self.link.closed().await
    }

    /// The session of the link.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.link.session
    }

    /// Closes the link and waits for the peer to do the same.
    ///
    /// # Errors
    /// When the peer detached it with an error before, or does not answer in the link's timeout.
    ///
    /// # Cancel safety
    /// Once polled, the close goes its way whether the future lives or not.
    pub async fn close(self) -> Result<(), LinkError> {
        self.link.close().await
    }

    /// As [`Sender::close`], for a sender that others hold as well: it is of no use to them afterwards.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn close_shared(&self) -> Result<(), LinkError> {
        self.link.close().await
    }

    /// Begins to close the link, and waits for nothing.
    pub fn shut(&self) {
        self.link.shut();
    }

    pub(crate) async fn hand_over(
        &self,
        message: &Message,
        tracked: bool,
        transaction: Option<Within<'_>>,
    ) -> Result<Put, Box<SendError>> {
        // Who sends in a loop lets the connection write now and then: the receiver works on the first messages while
        // the next are made.
        consume_budget().await;
        // The common case has credit and takes no buffer of its own.
        match self.try_hand_over(message, tracked, transaction) {
            Ok(put) => Ok(put),
            Err(held) => {
                let how = Handover::new(message.message_format(), tracked, transaction);
                self.hand_over_later(held, how).await
            }
        }
    }

    async fn hand_over_later(&self, held: Box<Held>, how: Handover<'_>) -> Result<Put, Box<SendError>> {
        match *held {
            Held::Back(encoded) => self.put_when_credited(&encoded, how).await.map_err(Box::new),
            Held::Refused(error) => Err(Box::new(error)),
        }
    }

    /// Messages that were handed over since the link was made.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.link.with(|state| state.links[self.link.key].sends.sent)
    }

    /// The outcome of a message that was handed over under this token, to come.
    pub(crate) fn settlement(&self, token: u64) -> Settlement {
        Settlement { at: Some((self.link.session.shared().clone(), self.link.key, token)) }
    }

    /// Waits for credit and puts an encoded message, or its first part, into the link.
    pub(crate) async fn put_when_credited(&self, encoded: &Encoded, how: Handover<'_>) -> Result<Put, SendError> {
        let put = |state: &mut State| match self.put(state, &encoded.front, encoded.content(), how) {
            Err(SendError::NoCredit) => None,
            result => Some(result),
        };
        self.link.session.shared().wait(Place::Link(self.link.key), put).await
    }

    /// Hands a message over at once, or not at all.
    pub(crate) fn try_hand_over(
        &self,
        message: &Message,
        tracked: bool,
        transaction: Option<Within<'_>>,
    ) -> Result<Put, Box<Held>> {
        let how = Handover::new(message.message_format(), tracked, transaction);
        self.encode_and(message, |state, encoded, content| self.put(state, encoded, content, how))
    }

    /// Encodes a message outside the lock, and puts it into the link under it.
    pub(crate) fn encode_and<R>(
        &self,
        message: &Message,
        put: impl FnOnce(&mut State, &[u8], Option<&Bytes>) -> Result<R, SendError>,
    ) -> Result<R, Box<Held>> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            let content = (self.link.session.shared().wire().encode)(message, scratch);
            let result = self.link.with(|state| put(state, scratch, content));
            let result = match result {
                Ok(put) => Ok(put),
                Err(error) => Err(held(error, scratch, content)),
            };
            if scratch.capacity() > KEEP {
                *scratch = Vec::new();
            }
            result
        })
    }

    /// Whether a message can be handed over now; an error where none can any more.
    pub(crate) fn has_room(&self, state: &mut State) -> Result<Option<()>, SendError> {
        let entry = &state.links[self.link.key];
        if let Some(error) = &entry.over {
            return Err(SendError::NotSent(error.clone()));
        }
        if state.detached.is_some() {
            return Err(SendError::NotSent(LinkError::Unattached));
        }
        let here = entry.is_usable() && state.down.is_none();
        let (id, full) = (entry.id, here && self.is_full(state));
        Ok((here && !full && state.engine.capacity(id) > 0).then_some(()))
    }

    /// Whether so much is under way that nothing more can be; whoever waits is woken then.
    #[inline]
    fn is_full(&self, state: &mut State) -> bool {
        let State { engine, links, .. } = state;
        let LinkEntry { sends, id, map_room, .. } = &mut links[self.link.key];
        if sends.max_bytes > 0 && sends.room == 0 {
            // What is settled makes room, which is only counted when there seems to be none.
            sends.room = sends.max_bytes.saturating_sub(engine.kept_bytes(*id));
        }
        let full = !self.settled
            && (sends.in_flight >= sends.max_in_flight.unwrap_or(usize::MAX).min(*map_room)
                || (sends.max_bytes > 0 && sends.in_flight > 0 && sends.room == 0));
        sends.held_back |= full;
        full
    }

    /// Under the lock: frame header, delivery and append, nothing else.
    #[inline]
    pub(crate) fn put(
        &self,
        state: &mut State,
        encoded: &[u8],
        content: Option<&Bytes>,
        how: Handover<'_>,
    ) -> Result<Put, SendError> {
        let Handover { format, tag: chosen, tracked, told, more, transaction, epoch } = how;
        if epoch.is_some_and(|epoch| epoch != state.epoch || state.down.is_some()) {
            // What it belongs to is gone with the connection.
            return Err(SendError::NotSent(state.lost_error()));
        }
        let entry = &state.links[self.link.key];
        if let Some(error) = &entry.over {
            return Err(SendError::NotSent(error.clone()));
        }
        if transaction.is_some_and(|within| within.ending.load(Ordering::Relaxed)) {
            // Whoever waited for credit was too late.
            return Err(SendError::NotSent(LinkError::TransactionEnded));
        }
        if state.down.is_some() || !entry.is_usable() || self.is_full(state) {
            return Err(match state.detached {
                Some(_) => SendError::NotSent(LinkError::Unattached),
                None => SendError::NoCredit,
            });
        }
        let State { engine, links, epoch: present, .. } = state;
        let entry = &mut links[self.link.key];
        let sends = &mut entry.sends;
        let tracked = tracked && !self.settled;
        let token = if tracked { sends.slots.vacant_key() as u64 } else { UNTRACKED };
        let tag = chosen.unwrap_or_else(|| DeliveryTag::from(sends.next_tag));
        let message = Outgoing {
            encoded,
            content,
            format,
            tag,
            settled: self.settled,
            token,
            more,
            transaction: transaction.map(|within| within.id),
        };
        let number = match engine.send(entry.id, &message) {
            Ok(number) => number,
            Err(Refusal::Blocked) => return Err(SendError::NoCredit),
            Err(Refusal::TooLarge(limit)) => return Err(SendError::TooLarge(limit)),
            // The detach is on its way to the news.
            Err(Refusal::Detached) => return Err(SendError::NotSent(LinkError::Closed)),
        };
        sends.next_tag = match chosen {
            None => sends.next_tag.wrapping_add(1),
            Some(tag) => behind(&tag, sends.next_tag),
        };
        sends.sent += 1;
        sends.in_flight += usize::from(!self.settled);
        sends.room = sends.room.saturating_sub(encoded.len() + content.map_or(0, Bytes::len));
        if tracked {
            sends.slots.insert(if told { Slot::Told { tag, before: false } } else { Slot::Waiting(None) });
        } else if !self.settled {
            sends.untracked += 1;
        }
        Ok(Put { token, delivery: number, epoch: *present })
    }
}

/// A message that was not handed over. What is here for the common case is small, and so costs nothing to hand through.
#[derive(Debug)]
pub(crate) enum Held {
    /// For want of credit or room.
    Back(Encoded),
    Refused(SendError),
}

#[cold]
fn held(error: SendError, front: &[u8], content: Option<&Bytes>) -> Box<Held> {
    Box::new(match error {
        SendError::NoCredit => {
            let (front, content) = (Bytes::copy_from_slice(front), content.cloned().unwrap_or_default());
            Held::Back(Encoded { front, content })
        }
        error => Held::Refused(error),
    })
}

/// An encoded message that waits to be handed over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encoded {
    /// All of it, or what stands in front of large content.
    pub(crate) front: Bytes,
    /// That content; empty where there is none.
    pub(crate) content: Bytes,
}

impl Encoded {
    /// A message, or a part of one, in one shared buffer.
    pub(crate) fn whole(message: Bytes) -> Self {
        Self { front: Bytes::new(), content: message }
    }

    pub(crate) fn content(&self) -> Option<&Bytes> {
        (!self.content.is_empty()).then_some(&self.content)
    }
}

/// The outcome of one message, to come.
///
/// # Cancel safety
/// Dropping it loses the outcome and nothing else.
#[doc(alias = "Delivery")]
#[derive(Debug)]
#[must_use = "a settlement that is not awaited tells nothing"]
pub struct Settlement {
    /// Where the outcome will be; nowhere for a message that was settled as it was sent.
    pub(crate) at: Option<(Arc<Shared>, usize, u64)>,
}

impl Future for Settlement {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((shared, link, token)) = &self.at else { return Poll::Ready(Ok(Outcome::Accepted)) };
        let (link, key) = (*link, *token as usize);
        let result = shared.with(|state| {
            // The link's handle may be gone; its entry then goes with the last outcome.
            let Some(sends) = state.links.get_mut(link).map(|entry| &mut entry.sends) else {
                return Ok(Err(SendError::InDoubt(LinkError::Closed)));
            };
            match sends.slots.get_mut(key) {
                Some(Slot::Waiting(Some(waker))) if waker.will_wake(cx.waker()) => Err(None),
                Some(Slot::Waiting(waker)) => Err(waker.replace(cx.waker().clone())),
                Some(Slot::Done(_)) => match sends.slots.remove(key) {
                    Slot::Done(result) => {
                        state.tidy_link(link);
                        Ok(result)
                    }
                    _ => unreachable!("just matched"),
                },
                // What is declared is no outcome of a message.
                Some(Slot::Declared(_) | Slot::Abandoned | Slot::Told { .. }) | None => {
                    Ok(Err(SendError::InDoubt(LinkError::Closed)))
                }
            }
        });
        match result {
            Ok(result) => {
                self.at = None;
                Poll::Ready(result)
            }
            // The waker of an earlier poll goes outside the lock: what it owns may use the connection.
            Err(_earlier) => Poll::Pending,
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        let Some((shared, link, token)) = self.at.take() else { return };
        // The slot, with the waker in it, goes outside the lock.
        let _slot = shared.with(|state| {
            let sends = &mut state.links.get_mut(link)?.sends;
            match sends.slots.get_mut(token as usize)? {
                slot @ Slot::Waiting(_) => Some(std::mem::replace(slot, Slot::Abandoned)),
                Slot::Done(_) | Slot::Declared(_) => {
                    let slot = sends.slots.remove(token as usize);
                    state.tidy_link(link);
                    Some(slot)
                }
                Slot::Abandoned | Slot::Told { .. } => None,
            }
        });
    }
}
