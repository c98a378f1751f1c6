//! A link that receives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::consume_budget;

use crate::disposition::{self, Origin, Settler};
use crate::link::Link;
use crate::protocol::{Delivery, DeliveryNumber, LinkId};
use crate::state::State;
use crate::types::{DecodeError, Fields, PeerError, Value};
use crate::wait::Place;
use crate::{LinkError, Message, Node, Outcome, ReceiveError, Session};

/// A receiver. Its messages are settled by [`Receiver::accept`] and its kin, or from other tasks through a
/// [`Settler`] or [`Session::settle`].
///
/// What has come when the link ends is still handed out; settling it then fails, and the peer may
/// deliver it again. Dropping the receiver closes the link; what it has not settled goes back to the node.
#[doc(alias = "Link")]
#[derive(Debug)]
pub struct Receiver {
    pub(crate) link: Arc<Link>,
    /// Messages taken from the connection in one go.
    batch: VecDeque<Delivery>,
    /// The link in the engine that they came over, and that engine.
    id: LinkId,
    epoch: u32,
    /// The stamp of the connection when it was last looked at.
    stamp: u32,
    /// Whether a part of a message was handed out whose rest does not come, since the connection was lost.
    interrupted: bool,
    /// Whether the rest of a message is to come of which a part was handed out.
    within: bool,
    serial: u64,
    prefetch: u32,
    /// At so many messages that are outstanding more are asked for; at half of the prefetch where it is not said.
    refill: Option<u32>,
    /// Whether the owner grants credit, and this does not.
    manual: bool,
    quirks: Quirks,
    /// The ticket of the task that polls the stream, and whether that has ended.
    pub(crate) ticket: Option<u64>,
    pub(crate) ended: bool,
    /// Credit that was granted and has not come back as a message that was handed out.
    outstanding: u32,
}

/// How long a peer may take to answer a drain. Some never do.
const DRAIN: Duration = Duration::from_secs(2);

/// How long a peer that must not be drained gets, at least, to send what it has.
const UNASKED: Duration = Duration::from_millis(250);

impl Receiver {
    pub(crate) fn new(link: Link, prefetch: u32) -> Self {
        let stamp = link.session.shared().stamp();
        let (id, epoch, serial) = link.with(|state| {
            let entry = &state.links[link.key];
            (entry.id, state.epoch, entry.serial)
        });
        let mut receiver = {
            let quirks = Quirks::of_peer(&link);
            Self {
                link: Arc::new(link),
                batch: VecDeque::new(),
                id,
                epoch,
                stamp,
                interrupted: false,
                within: false,
                serial,
                prefetch: 0,
                refill: None,
                manual: false,
                quirks,
                ticket: None,
                ended: false,
                outstanding: 0,
            }
        };
        receiver.set_prefetch(prefetch);
        receiver
    }

    /// Receives the next message, when there is one. Without credit to spend it grants some, unless credit is the
    /// caller's ([`Receiver::set_credit`]).
    ///
    /// # Errors
    /// When the link is over, or the message cannot be read: it is rejected then, and the next call goes
    /// on behind it.
    ///
    /// # Cancel safety
    /// A dropped future has taken no message.
    pub async fn receive(&mut self) -> Result<Message, ReceiveError> {
        // Who receives in a loop lets the connection write now and then: the sender hears of credit and outcomes while
        // the rest of a batch is worked on.
        consume_budget().await;
        loop {
            if let Some(delivery) = self.next() {
                return self.open(delivery);
            }
            self.arrival().await?;
        }
    }

    /// Receives the next message, or `None` when none came within `timeout`: then the peer has been asked
    /// whether there is one, so zero means "if there is one". A peer that is known to break when it is asked (old
    /// RabbitMQ) gets a quarter of a second instead.
    ///
    /// While credit is the caller's ([`Receiver::set_credit`]), it waits for a message that comes with the credit there
    /// is, and neither grants credit nor asks the peer: zero means "if it is here".
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no message. The peer may be under way to giving up credit, which is granted again by
    /// the next call.
    #[doc(alias = "recv")]
    pub async fn fetch(&mut self, timeout: Duration) -> Result<Option<Message>, ReceiveError> {
        consume_budget().await;
        if let Some(delivery) = self.next() {
            return self.open(delivery).map(Some);
        }
        let (timeout, may_ask) = self.patience(timeout);
        if !timeout.is_zero()
            && let Ok(result) = tokio::time::timeout(timeout, self.arrival()).await
        {
            result?;
            let delivery = self.next();
            return delivery.map(|delivery| self.open(delivery)).transpose();
        }
        if !may_ask {
            return Ok(None);
        }
        self.ask().await?;
        let delivery = self.next();
        delivery.map(|delivery| self.open(delivery)).transpose()
    }

    /// A message that is here already.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn try_receive(&mut self) -> Result<Option<Message>, ReceiveError> {
        let delivery = self.next();
        delivery.map(|delivery| self.open(delivery)).transpose()
    }

    /// A handle that settles this connection's messages from any task, while this one receives.
    #[must_use]
    pub fn settler(&self) -> Settler {
        self.link.session.settler()
    }

    /// Tells the sender that a message was processed.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn accept(&self, message: &Message) -> Result<(), LinkError> {
        self.settle(message, Outcome::Accepted)
    }

    /// Tells the sender that a message is invalid, and why.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn reject(&self, message: &Message, error: Option<PeerError>) -> Result<(), LinkError> {
        self.settle(message, Outcome::Rejected(error))
    }

    /// Gives a message back as if it had not been delivered.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn release(&self, message: &Message) -> Result<(), LinkError> {
        self.settle(message, Outcome::Released)
    }

    /// Gives a message back changed.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn modify(
        &self,
        message: &Message,
        delivery_failed: bool,
        undeliverable_here: bool,
        annotations: Option<Fields>,
    ) -> Result<(), LinkError> {
        self.settle(message, Outcome::Modified { delivery_failed, undeliverable_here, annotations })
    }

    fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        disposition::settle(self.link.session.shared(), message, outcome)
    }

    /// Messages that are taken ahead of being asked for; 0 grants one when one is asked for.
    #[must_use]
    pub fn prefetch(&self) -> u32 {
        self.prefetch
    }

    /// Sets at how few messages, here or on their way, more are asked for; at half of the prefetch by default. The more, the
    /// sooner, and the more often credit is granted.
    pub fn set_refill(&mut self, refill: Option<u32>) {
        self.refill = refill;
        self.top_up_when_due(self.prefetch);
    }

    fn top_up_when_due(&mut self, target: u32) {
        if self.outstanding <= self.refill.unwrap_or(self.prefetch / 2) {
            self.top_up(target);
        }
    }

    /// Changes how many messages are taken ahead, and takes credit back from the caller. With fewer than before, credit is
    /// taken back from the sender; what was on its way comes all the same.
    pub fn set_prefetch(&mut self, prefetch: u32) {
        self.prefetch = prefetch;
        if self.manual {
            // A drain that nobody waits for any more is called off.
            self.grant(|credit| credit);
            self.manual = false;
            self.recount();
        }
        if self.quirks.overdraws {
            // Never more than what was allowed before: what is buffered stays bounded.
            self.link.with(|state| state.set_overdraft(self.link.key, prefetch));
        }
        if prefetch < self.outstanding {
            let here = u32::try_from(self.available()).unwrap_or(u32::MAX);
            self.grant(|_| prefetch.saturating_sub(here));
            self.recount();
        }
        self.top_up(prefetch);
    }

    /// The messages that the sender may still send, besides those that are here.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            if entry.over.is_some() { 0 } else { state.granted(self.link.key) }
        })
    }

    /// Allows the sender this many messages from now on, whatever it was allowed before, and leaves credit to the
    /// caller: nothing is granted by itself any more, until [`Receiver::set_prefetch`] is called. Less than 2^31.
    ///
    /// Messages that were on their way when the credit was lowered, be it to 0, are taken all the same.
    pub fn set_credit(&mut self, credit: u32) {
        self.manual = true;
        self.grant(|_| credit);
    }

    /// Allows the sender this many messages more, and leaves credit to the caller as [`Receiver::set_credit`] does.
    #[doc(alias = "flow")]
    pub fn add_credit(&mut self, credit: u32) {
        self.manual = true;
        self.grant(|granted| granted.saturating_add(credit));
    }

    /// Asks the sender to use its credit or give it up, and waits until it has: then every message that it could send is
    /// here, and there is no credit. It leaves credit to the caller as [`Receiver::set_credit`] does.
    ///
    /// Without credit it is over at once: what credit that was taken back may still bring is not waited for.
    ///
    /// A peer that is known to break when it is asked (old RabbitMQ) has its credit taken away instead, and a
    /// quarter of a second to send what it has.
    ///
    /// # Errors
    /// When the link is over, or the peer does not answer in the link's timeout.
    ///
    /// # Cancel safety
    /// Dropped once it was polled, the sender is asked all the same: messages wait here as they come, and
    /// [`Receiver::is_draining`] tells whether it has answered. Credit that is granted meanwhile calls the drain off;
    /// of it, what the sender has given up already is gone.
    #[doc(alias = "drained")]
    pub async fn drain(&mut self) -> Result<(), LinkError> {
        self.manual = true;
        if self.quirks.breaks_on_drain {
            self.grant(|_| 0);
            tokio::time::sleep(UNASKED).await;
            return self.error().map_or(Ok(()), Err);
        }
        self.start_drain();
        let drained = self.link.session.shared().wait(Place::Link(self.link.key), |state| {
            let entry = &state.links[self.link.key];
            match &entry.over {
                Some(error) => Some(Err(error.clone())),
                None => entry.drained.then_some(Ok(())),
            }
        });
        let timeout = self.link.timeout;
        tokio::time::timeout(timeout, drained).await.unwrap_or(Err(LinkError::Timeout(timeout)))
    }

    /// Whether the sender has been asked for its credit and has not answered.
    #[doc(alias = "draining")]
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            entry.over.is_none() && state.engine.is_draining(entry.id)
        })
    }

    /// Messages that wait at the sender, as far as it told with its last flow.
    #[must_use]
    pub fn remote_available(&self) -> u32 {
        self.link.with(|state| {
            let entry = &state.links[self.link.key];
            if entry.over.is_some() { 0 } else { state.engine.available(entry.id) }
        })
    }

    /// Messages that are here and have not been handed out.
    #[doc(alias = "queued")]
    #[must_use]
    pub fn available(&self) -> usize {
        let queued = self.link.with(|state| {
            let entry = &state.links[self.link.key];
            let left = entry.left.len();
            // What is there of a connection that was lost comes again.
            if entry.over.is_some() || state.down.is_some() { left } else { left + state.engine.queued(entry.id) }
        });
        self.batch.len() + queued
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.link.name
    }

    /// The node as the peer attached the link to it: its filters are those that the peer applies.
    #[doc(alias = "remote_source")]
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
    /// anything is waited for on it.
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

    /// The next message that is here; takes a whole batch from the connection when its own is used up.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Delivery> {
        if !self.fill() {
            return None;
        }
        let delivery = self.batch.pop_front();
        if let Some(delivery) = &delivery {
            self.within = delivery.more;
        }
        self.outstanding = self.outstanding.saturating_sub(delivery.is_some().into());
        self.top_up_when_due(self.prefetch);
        delivery
    }

    /// The next message that is here, which stays: the engine that it came over, and its number there.
    pub(crate) fn head(&mut self) -> Option<(u32, DeliveryNumber)> {
        let here = self.fill();
        self.batch.front().filter(|_| here).map(|delivery| (self.epoch, delivery.number))
    }

    /// Takes a batch from the connection where nothing is here; `false` while it is not known what a loss of the
    /// connection means for what is.
    #[inline]
    fn fill(&mut self) -> bool {
        if self.link.session.shared().stamp() != self.stamp && !self.catch_up() {
            return false;
        }
        if self.batch.is_empty() {
            let Self { link, id, epoch, batch, outstanding, .. } = self;
            link.with(|state| {
                let entry = &mut state.links[link.key];
                batch.append(&mut entry.left);
                if entry.over.is_none() && state.down.is_none() {
                    (*id, *epoch) = (entry.id, state.epoch);
                    let before = batch.len();
                    state.engine.take_all(*id, batch);
                    if state.links[link.key].second {
                        let unsettled =
                            batch.iter().skip(before).filter(|delivery| !delivery.settled && !delivery.more);
                        state.links[link.key].open += unsettled.count();
                    }
                    *outstanding = outstanding_of(state, link.key, batch.len());
                }
            });
        }
        true
    }

    /// Grants credit so that `target` messages are here or on their way.
    fn top_up(&mut self, target: u32) {
        if self.manual || target <= self.outstanding {
            return;
        }
        let Self { link, batch, outstanding, .. } = self;
        link.with(|state| {
            let entry = &state.links[link.key];
            if entry.over.is_some() {
                return;
            }
            let here = u32::try_from(batch.len() + state.engine.queued(entry.id)).unwrap_or(u32::MAX);
            state.grant(link.key, target.saturating_sub(here));
            *outstanding = outstanding_of(state, link.key, batch.len());
        });
    }

    /// Looks at what a loss of the connection means for what is here; `false` while that is not known.
    ///
    /// Messages of a link that is the same to its sender stay. Those of a link that is new to it come again, so they
    /// are thrown away unless they are settled.
    #[cold]
    fn catch_up(&mut self) -> bool {
        let Self { link, batch, epoch, .. } = self;
        let caught_up = link.with(|state| {
            let entry = &state.links[link.key];
            let stamp = state.stamp();
            if entry.over.is_some() {
                return Some((stamp, false));
            }
            if state.down.is_some() || !entry.is_usable() {
                return None;
            }
            Some((stamp, entry.since > *epoch))
        });
        let Some((stamp, stale)) = caught_up else {
            // What is settled is ours in any case.
            if batch.is_empty() {
                link.with(|state| batch.append(&mut state.links[link.key].left));
            }
            return batch.front().is_some_and(|delivery| delivery.settled);
        };
        if stale {
            batch.retain(|delivery| delivery.settled);
            self.interrupted = std::mem::take(&mut self.within);
        }
        self.stamp = stamp;
        self.quirks = Quirks::of_peer(&self.link);
        self.recount();
        true
    }

    /// Counts credit anew: what a drain gives up comes back as no message, and its answer may come long after whoever
    /// asked has gone.
    fn recount(&mut self) {
        let Self { link, batch, outstanding, .. } = self;
        link.with(|state| {
            let entry = &mut state.links[link.key];
            if entry.over.is_none() {
                (entry.drained, entry.aborted) = (false, false);
                *outstanding = outstanding_of(state, link.key, batch.len());
            }
        });
    }

    /// Waits until a message is here.
    async fn arrival(&mut self) -> Result<(), LinkError> {
        loop {
            if self.seek() {
                return Ok(());
            }
            let (link, stamp) = (&self.link, self.stamp);
            let here = |state: &mut State| here(state, link.key, stamp);
            if link.session.shared().wait(Place::Link(link.key), here).await? {
                return Ok(());
            }
        }
    }

    /// As [`Receiver::receive`], for a task that keeps its ticket.
    pub(crate) fn poll_receive(
        &mut self,
        ticket: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<Message, ReceiveError>> {
        loop {
            if let Some(delivery) = self.next() {
                return Poll::Ready(self.open(delivery));
            }
            if self.seek() {
                continue;
            }
            let (link, stamp) = (&self.link, self.stamp);
            let here = |state: &mut State| here(state, link.key, stamp);
            ready!(link.session.shared().poll_at(Place::Link(link.key), ticket, cx, here))?;
        }
    }

    /// Sees to it that a message can come; `true` when one is here.
    fn seek(&mut self) -> bool {
        if self.link.session.shared().stamp() != self.stamp && self.catch_up() && !self.batch.is_empty() {
            return true;
        }
        self.recount();
        self.top_up_when_due(self.prefetch.max(1));
        false
    }

    /// Grants credit as the owner says, from what there is.
    fn grant(&self, credit: impl FnOnce(u32) -> u32) {
        let (link, overdraws) = (&self.link, self.quirks.overdraws);
        link.with(|state| {
            let entry = &state.links[link.key];
            if entry.over.is_some() {
                return;
            }
            let id = entry.id;
            let granted = state.granted(link.key);
            let credit = credit(granted);
            if overdraws {
                state.set_overdraft(link.key, credit.max(granted));
            }
            state.engine.stop_draining(id);
            state.grant(link.key, credit);
        });
    }

    fn start_drain(&self) {
        let link = &self.link;
        link.session.shared().turn(|state| {
            let entry = &mut state.links[link.key];
            if entry.over.is_none() {
                entry.drained = false;
                let id = entry.id;
                state.engine.drain(id);
                state.take_news();
            }
        });
    }

    /// Asks the peer for what it has: afterwards every message that it could send is here.
    async fn ask(&mut self) -> Result<(), LinkError> {
        self.begin_to_ask();
        answer_to_drain(&self.link).await?;
        self.end_of_asking();
        Ok(())
    }

    pub(crate) fn begin_to_ask(&mut self) {
        self.recount();
        self.top_up(self.prefetch.max(1));
        self.start_drain();
    }

    /// The credit that was given up is granted again, but for a receiver that takes nothing ahead.
    pub(crate) fn end_of_asking(&mut self) {
        self.recount();
        self.top_up(self.prefetch);
    }

    /// How long a fetch waits for messages that nobody was asked for, and whether the sender may be asked then.
    pub(crate) fn patience(&self, timeout: Duration) -> (Duration, bool) {
        let drainable = !self.quirks.breaks_on_drain;
        (if drainable { timeout } else { timeout.max(UNASKED) }, drainable && !self.manual)
    }

    /// Takes credit back, until [`Receiver::go_on`]; `true` where messages may be on their way.
    pub(crate) fn stop(&mut self) -> bool {
        let granted = self.credit();
        self.manual = true;
        self.grant(|_| 0);
        granted > 0
    }

    /// Gives back what has come and was not handed out.
    pub(crate) fn give_back(&mut self) {
        while self.fill()
            && let Some(delivery) = self.batch.pop_front()
        {
            let origin = self.origin(&delivery);
            if !origin.settled {
                // Where the link is over it goes back by itself.
                let _ = disposition::dispose(self.link.session.shared(), &origin, Outcome::Released);
            }
        }
    }

    /// Grants credit again as before [`Receiver::stop`], and has whoever waits for a message do so as well.
    pub(crate) fn go_on(&mut self) {
        self.set_prefetch(self.prefetch);
        let link = &self.link;
        link.with(|state| {
            let State { links, wakes, .. } = state;
            let entry = &mut links[link.key];
            entry.aborted = true;
            entry.waiters.wake(wakes);
        });
    }

    /// Waits for the next part of a message, on a link that gives parts.
    pub(crate) async fn next_part(&mut self) -> Result<Delivery, ReceiveError> {
        loop {
            let part = self.next();
            if std::mem::take(&mut self.interrupted) {
                // Of a message that comes again from its start.
                self.batch.extend(part);
                self.batch.rotate_right(usize::from(self.batch.len() > 1));
                return Err(ReceiveError::Aborted);
            }
            if let Some(part) = part {
                return Ok(part);
            }
            self.arrival().await?;
        }
    }

    pub(crate) fn origin(&self, delivery: &Delivery) -> Origin {
        Origin {
            connection: self.link.session.shared().number(),
            epoch: self.epoch,
            serial: self.serial,
            link: self.id,
            number: delivery.number,
            tag: delivery.tag,
            settled: delivery.settled,
        }
    }

    pub(crate) fn open(&self, delivery: Delivery) -> Result<Message, ReceiveError> {
        let origin = self.origin(&delivery);
        let decode = self.link.session.shared().wire().decode;
        decode(delivery.payload, delivery.message_format, origin).map_err(|error| self.refuse_malformed(origin, error))
    }

    /// Rejects a message that cannot be read.
    pub(crate) fn refuse_malformed(&self, origin: Origin, error: DecodeError) -> ReceiveError {
        if !origin.settled {
            let condition = crate::types::ErrorCondition::DECODE_ERROR;
            let told = Outcome::Rejected(Some(PeerError::new(condition, error.to_string())));
            // The link may be over; then the message goes back by itself.
            let _ = disposition::dispose(self.link.session.shared(), &origin, told);
        }
        ReceiveError::Malformed(error)
    }
}

/// Waits for the answer to a drain, or for what comes before it; not for ever.
pub(crate) async fn answer_to_drain(link: &Link) -> Result<(), LinkError> {
    let drained = link.session.shared().wait(Place::Link(link.key), |state| {
        let entry = &mut state.links[link.key];
        if !entry.left.is_empty() {
            return Some(Ok(()));
        }
        if let Some(error) = &entry.over {
            return Some(Err(error.clone()));
        }
        if state.down.is_some() || !entry.is_usable() {
            return None;
        }
        (entry.drained || state.engine.queued(entry.id) > 0).then_some(Ok(()))
    });
    tokio::time::timeout(DRAIN, drained).await.unwrap_or(Ok(()))
}

/// Whether a message is here; `false` where credit is to be counted anew.
fn here(state: &mut State, key: usize, stamp: u32) -> Option<Result<bool, LinkError>> {
    let entry = &mut state.links[key];
    if !entry.left.is_empty() {
        return Some(Ok(true));
    }
    if let Some(error) = &entry.over {
        return Some(Err(error.clone()));
    }
    // What a dead engine has comes again.
    if state.down.is_some() || !entry.is_usable() {
        return None;
    }
    if state.engine.queued(entry.id) > 0 {
        return Some(Ok(true));
    }
    let entry = &state.links[key];
    (entry.drained || entry.aborted || state.stamp() != stamp).then_some(Ok(false))
}

/// Messages of a link that are here, `taken` of them outside the engine, or may still come.
fn outstanding_of(state: &mut State, key: usize, taken: usize) -> u32 {
    let here = taken.saturating_add(state.engine.queued(state.links[key].id));
    u32::try_from(here).unwrap_or(u32::MAX).saturating_add(state.granted(key))
}

/// What senders that are known by name and version do against the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Quirks {
    /// Answers a drain of a classic queue by ending the session with an internal error (RabbitMQ before 3.10.18 and
    /// 3.11.9).
    breaks_on_drain: bool,
    /// Counts messages late when credit is renewed: those that were on their way inside the broker come on top (RabbitMQ
    /// before 4).
    overdraws: bool,
}

impl Quirks {
    fn of_peer(link: &Link) -> Self {
        let connection = link.session.connection();
        let [product, version] = ["product", "version"].map(|name| match connection.remote_property(name) {
            Some(Value::String(text)) => text,
            _ => Default::default(),
        });
        Self::of(&product, &version)
    }

    fn of(product: &str, version: &str) -> Self {
        let version: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
        let breaks_on_drain = match version[..] {
            // A version that is not known is a new one.
            _ if product != "RabbitMQ" || version.first() != Some(&3) => return Self::default(),
            [_, 10, patch, ..] => patch < 18,
            [_, 11, patch, ..] => patch < 9,
            [_, minor, ..] => minor < 11,
            _ => true,
        };
        Self { breaks_on_drain, overdraws: true }
    }
}

#[cfg(test)]
mod tests {
    use super::Quirks;

    #[test]
    fn old_versions_of_rabbitmq_are_known() {
        for version in ["3.8.2", "3.10.8", "3.10.17", "3.11.0", "3"] {
            assert_eq!(Quirks::of("RabbitMQ", version), Quirks { breaks_on_drain: true, overdraws: true }, "{version}");
        }
        for version in ["3.10.18", "3.11.9", "3.13.7"] {
            assert_eq!(
                Quirks::of("RabbitMQ", version),
                Quirks { breaks_on_drain: false, overdraws: true },
                "{version}"
            );
        }
        for (product, version) in [("RabbitMQ", "4.0.1"), ("RabbitMQ", ""), ("qpid-cpp", "3.10.8"), ("", "")] {
            assert_eq!(Quirks::of(product, version), Quirks::default(), "{product} {version}");
        }
    }
}
