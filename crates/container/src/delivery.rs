//! The transfer of one message, at either end.

use postroad_client::types::{Bytes, DeliveryTag, Fields, PeerError};
use postroad_client::{LinkError, OpenDelivery, Origin, Outcome, SendError, SharedReceiver, Told};

use crate::parts::Parts;
use crate::{Connection, Link, Receiver, Sender, Session};

/// The transfer of one message. It can be kept, and settled later, from wherever; dropping it changes nothing.
#[doc(alias = "Tracker")]
#[derive(Debug, Clone)]
pub struct Delivery {
    end: End,
}

#[derive(Debug, Clone)]
enum End {
    Came {
        receiver: Receiver,
        origin: Origin,
    },
    Sent {
        sender: Sender,
        tag: DeliveryTag,
    },
    /// One that was sent, as an event tells of it.
    Told {
        sender: Sender,
        tag: DeliveryTag,
        outcome: Option<Box<Outcome>>,
        settled: bool,
    },
    /// One of which parts are still to be sent.
    Open {
        sender: Sender,
        open: Box<OpenDelivery>,
    },
}

impl Delivery {
    pub(crate) fn came(receiver: Receiver, origin: Origin) -> Self {
        Self { end: End::Came { receiver, origin } }
    }

    pub(crate) fn sent(sender: Sender, tag: DeliveryTag) -> Self {
        Self { end: End::Sent { sender, tag } }
    }

    pub(crate) fn open(sender: Sender, open: OpenDelivery) -> Self {
        Self { end: End::Open { sender, open: Box::new(open) } }
    }

    pub(crate) fn told(sender: Sender, told: &Told) -> Self {
        let outcome = told.result.as_ref().ok().cloned().map(Box::new);
        Self { end: End::Told { sender, tag: told.tag, outcome, settled: told.by_peer } }
    }

    /// The tag, which names it on its link for as long as it is not settled.
    #[must_use]
    pub fn tag(&self) -> DeliveryTag {
        match &self.end {
            End::Came { origin, .. } => origin.delivery_tag(),
            End::Sent { tag, .. } | End::Told { tag, .. } => *tag,
            End::Open { open, .. } => open.tag(),
        }
    }

    /// The link that it came or was sent over.
    #[must_use]
    pub fn link(&self) -> Link {
        match &self.end {
            End::Came { receiver, .. } => receiver.clone().into(),
            End::Sent { sender, .. } | End::Told { sender, .. } | End::Open { sender, .. } => sender.clone().into(),
        }
    }

    /// The sender that it was sent by.
    #[must_use]
    pub fn sender(&self) -> Option<&Sender> {
        match &self.end {
            End::Sent { sender, .. } | End::Told { sender, .. } | End::Open { sender, .. } => Some(sender),
            End::Came { .. } => None,
        }
    }

    /// The receiver that it came to.
    #[must_use]
    pub fn receiver(&self) -> Option<&Receiver> {
        match &self.end {
            End::Came { receiver, .. } => Some(receiver),
            End::Sent { .. } | End::Told { .. } | End::Open { .. } => None,
        }
    }

    /// The session that it came or was sent over.
    #[must_use]
    pub fn session(&self) -> &Session {
        match &self.end {
            End::Came { receiver, .. } => receiver.session(),
            End::Sent { sender, .. } | End::Told { sender, .. } | End::Open { sender, .. } => sender.session(),
        }
    }

    /// The connection that it came or was sent over.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        self.session().connection()
    }

    /// What our end has told of a message that has come, until either end has settled it.
    #[must_use]
    pub fn local_state(&self) -> Option<Outcome> {
        self.states()?.0
    }

    /// What the peer has told: of a message that was sent, the outcome as this event tells it; of one that has come, what its
    /// sender said of it, which is rare.
    #[must_use]
    pub fn remote_state(&self) -> Option<Outcome> {
        match &self.end {
            End::Told { outcome, .. } => outcome.as_deref().cloned(),
            End::Sent { .. } | End::Open { .. } => None,
            End::Came { .. } => self.states()?.1,
        }
    }

    /// Whether the peer has settled it: of a message that was sent, as this event tells it; of one that has come, also when
    /// our end has settled it, or its link is over: nothing is to be told of it any more.
    #[doc(alias = "settled")]
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match &self.end {
            End::Told { settled, .. } => *settled,
            End::Sent { .. } | End::Open { .. } => false,
            End::Came { .. } => self.states().is_none(),
        }
    }

    fn states(&self) -> Option<(Option<Outcome>, Option<Outcome>)> {
        match &self.end {
            End::Came { receiver, origin } => {
                receiver.inner.client.get()?.session().settler().states_of_origin(*origin)
            }
            End::Sent { .. } | End::Told { .. } | End::Open { .. } => None,
        }
    }

    /// Whether more of a message that comes in parts is still to come.
    #[doc(alias = "partial")]
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.in_parts(|parts, origin| parts.is_partial(origin))
    }

    /// Whether something of a message that comes in parts is here and was not read ([`Receiver::recv`]).
    #[doc(alias = "readable")]
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.in_parts(|parts, origin| parts.is_readable(origin))
    }

    /// Whether its sender has given up a message that comes in parts, or it comes again from its start: what has come is to be
    /// thrown away.
    #[doc(alias = "aborted")]
    #[doc(alias = "on_aborted")]
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.in_parts(|parts, origin| parts.is_aborted(origin))
    }

    fn in_parts(&self, ask: impl FnOnce(&Parts, Origin) -> bool) -> bool {
        match &self.end {
            End::Came { receiver, origin } => ask(&receiver.parts(), *origin),
            End::Sent { .. } | End::Told { .. } | End::Open { .. } => false,
        }
    }

    /// Whether the next part of a message that was begun ([`Sender::begin`]) can be sent now.
    #[doc(alias = "writable")]
    #[must_use]
    pub fn is_writable(&self) -> bool {
        match &self.end {
            End::Open { sender, open } => sender.inner.client.get().is_some_and(|client| client.can_append(open)),
            _ => false,
        }
    }

    /// Sends the next part of a message that was begun, at once or not at all.
    ///
    /// # Errors
    /// [`SendError::NoCredit`] when it cannot be sent now: [`Handler::on_sendable`](crate::Handler::on_sendable) follows when
    /// it can. When the message grows larger than the receiver takes, the link is over, or the connection was lost: then the
    /// receiver throws away what it has.
    pub fn write(&self, part: impl Into<Bytes>) -> Result<(), SendError> {
        self.append(&part.into(), true)
    }

    /// Ends a message that was begun.
    ///
    /// # Errors
    /// As [`Delivery::write`].
    #[doc(alias = "advance")]
    pub fn finish(&self) -> Result<(), SendError> {
        self.append(&Bytes::new(), false)
    }

    fn append(&self, part: &Bytes, more: bool) -> Result<(), SendError> {
        match &self.end {
            End::Open { sender, open } => sender.client()?.try_append(open, part, more),
            // It was sent, or has come, as a whole.
            _ => Err(SendError::NotSent(LinkError::Closed)),
        }
    }

    /// Gives up a message that was begun: the receiver throws away what it has. Of any other it does nothing.
    pub fn abort(&self) {
        if let End::Open { sender, open } = &self.end
            && let Some(client) = sender.inner.client.get()
        {
            client.abort_delivery(open);
        }
    }

    /// Tells the sender that the message was processed.
    ///
    /// # Errors
    /// When its link is over: it will be delivered again.
    pub fn accept(&self) -> Result<(), LinkError> {
        self.settle_as(Outcome::Accepted)
    }

    /// Tells the sender that the message is invalid, and why.
    ///
    /// # Errors
    /// As [`Delivery::accept`].
    pub fn reject(&self, error: Option<PeerError>) -> Result<(), LinkError> {
        self.settle_as(Outcome::Rejected(error))
    }

    /// Gives the message back: as delivered before, so that it counts as an attempt, or as if nothing had happened.
    ///
    /// # Errors
    /// As [`Delivery::accept`].
    pub fn release(&self, delivered: bool) -> Result<(), LinkError> {
        self.settle_as(if delivered { failed() } else { Outcome::Released })
    }

    /// Gives the message back changed.
    ///
    /// # Errors
    /// As [`Delivery::accept`].
    pub fn modify(
        &self,
        delivery_failed: bool,
        undeliverable_here: bool,
        annotations: Option<Fields>,
    ) -> Result<(), LinkError> {
        self.settle_as(Outcome::Modified { delivery_failed, undeliverable_here, annotations })
    }

    /// Settles a message that has come with an outcome. What becomes of one that was sent is its receiver's to say: it is
    /// settled as by [`Delivery::settle`].
    ///
    /// # Errors
    /// As [`Delivery::accept`].
    #[doc(alias = "settle")]
    pub fn settle_as(&self, outcome: Outcome) -> Result<(), LinkError> {
        match &self.end {
            End::Came { receiver, origin } => client(receiver)?.session().settle_origin(*origin, outcome),
            End::Sent { .. } | End::Told { .. } | End::Open { .. } => self.settle(),
        }
    }

    /// Settles it. One that has come has the outcome that [`Delivery::update`] told last; without any it counts as a failed
    /// attempt, which is the outcome by default. Of one that was sent nothing is heard from then on, and its receiver may
    /// forget it: with [`Settings::auto_settle`](crate::Settings::auto_settle) that is done once there is an outcome.
    ///
    /// # Errors
    /// As [`Delivery::accept`].
    pub fn settle(&self) -> Result<(), LinkError> {
        match &self.end {
            End::Came { .. } => self.settle_as(self.local_state().unwrap_or_else(failed)),
            End::Sent { sender, .. } | End::Told { sender, .. } | End::Open { sender, .. } => {
                if let Some(client) = sender.inner.client.get() {
                    client.settle(&self.tag());
                }
                Ok(())
            }
        }
    }

    /// Tells the sender of a message that has come its outcome, and leaves it unsettled: another one may be told, until
    /// either end settles it. Most senders settle at once.
    ///
    /// # Errors
    /// As [`Delivery::accept`].
    pub fn update(&self, outcome: Outcome) -> Result<(), LinkError> {
        match &self.end {
            End::Came { receiver, origin } => client(receiver)?.session().settler().update_origin(*origin, outcome),
            End::Sent { .. } | End::Told { .. } | End::Open { .. } => Ok(()),
        }
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        match &self.end {
            End::Came { origin, .. } => Some(*origin),
            End::Sent { .. } | End::Told { .. } | End::Open { .. } => None,
        }
    }
}

fn client(receiver: &Receiver) -> Result<&SharedReceiver, LinkError> {
    receiver.inner.client.get().ok_or(LinkError::Closed)
}

/// The outcome of a message that nobody has processed.
pub(crate) fn failed() -> Outcome {
    Outcome::Modified { delivery_failed: true, undeliverable_here: false, annotations: None }
}
