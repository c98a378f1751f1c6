//! A link that receives.

mod batch;
mod credit;
mod part;
mod quirks;
mod taken;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::consume_budget;

use crate::disposition::{self, Origin, Settler};
use crate::link::Link;
use crate::protocol::{Delivery, LinkId};
use crate::types::{Fields, PeerError};
use crate::{LinkError, Message, Node, Outcome, ReceiveError, Session};

pub(crate) use credit::answer_to_drain;
pub use part::Part;
use quirks::Quirks;
pub use taken::Taken;

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
    /// Messages that were handed out.
    pub(crate) taken: u64,
}

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
                taken: 0,
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
            if let Some(taken) = self.take() {
                return self.link.open(taken);
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
        if let Some(taken) = self.take() {
            return self.link.open(taken).map(Some);
        }
        let (timeout, may_ask) = self.patience(timeout);
        if !timeout.is_zero()
            && let Ok(result) = tokio::time::timeout(timeout, self.arrival()).await
        {
            result?;
            return self.try_receive();
        }
        if !may_ask {
            return Ok(None);
        }
        self.ask().await?;
        self.try_receive()
    }

    /// A message that is here already.
    ///
    /// # Errors
    /// As [`Receiver::receive`].
    pub fn try_receive(&mut self) -> Result<Option<Message>, ReceiveError> {
        match self.take() {
            Some(taken) => self.link.open(taken).map(Some),
            None => Ok(None),
        }
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

    #[inline]
    pub(crate) fn origin(&self, delivery: &Delivery) -> Origin {
        Origin {
            connection: self.link.session.shared().number(),
            epoch: self.epoch,
            serial: self.serial,
            link: self.id,
            number: delivery.number,
            tag: delivery.tag,
            settled: delivery.settled.into(),
        }
    }
}
