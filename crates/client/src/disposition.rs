//! Settling what was received, from anywhere (part 2, 2.7.6).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::moved::Place;
use crate::protocol::{DeliveryNumber, DeliveryTag, LinkId};
use crate::state::{Shared, State};
use crate::types::{Fields, PeerError};
use crate::{LinkError, Message, Outcome, Session};

/// Settles the messages of one connection, from any task, while others receive. Clones cost a counter; neither
/// connection nor session nor link is kept open by it.
///
/// ```no_run
/// # async fn run(mut receiver: postroad_client::Receiver) -> Result<(), Box<dyn std::error::Error>> {
/// let settler = receiver.settler();
/// loop {
///     let message = receiver.receive().await?;
///     let settler = settler.clone();
///     tokio::spawn(async move { settler.accept(&message) });
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Settler {
    shared: Arc<Shared>,
}

/// Where a message came from: what settling it needs, without the message.
#[doc(alias = "Delivery")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The number of the connection: links of another one have the same ids.
    pub(crate) connection: u64,
    /// The engine of the connection that it came over: after a loss there is another one.
    pub(crate) epoch: u32,
    /// The link, whose id is that of the engine.
    pub(crate) serial: u64,
    pub(crate) link: LinkId,
    pub(crate) number: DeliveryNumber,
    pub(crate) tag: DeliveryTag,
    pub(crate) settled: Settled,
}

/// Whether the sender had settled a delivery as it sent it. It is a word, so that origins, and messages with them, are copied
/// in words: odd pieces would stall whoever reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Settled {
    No,
    Yes,
}

impl Origin {
    /// The tag of the delivery.
    #[must_use]
    pub fn delivery_tag(&self) -> DeliveryTag {
        self.tag
    }

    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.settled == Settled::Yes
    }
}

impl From<bool> for Settled {
    #[inline]
    fn from(settled: bool) -> Self {
        if settled { Self::Yes } else { Self::No }
    }
}

impl Hash for Origin {
    /// Link, engine and number tell one from another.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.serial);
        state.write_u64(u64::from(self.epoch) << 32 | u64::from(self.number.0));
    }
}

impl Settler {
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

    /// Settles a message with an outcome.
    ///
    /// # Errors
    /// When its link is over: the message will be delivered again.
    pub fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        settle(&self.shared, message, outcome)
    }

    /// As [`Settler::settle`], for a message that is known by its origin alone.
    ///
    /// # Errors
    /// When its link is over: the message will be delivered again.
    pub fn settle_origin(&self, origin: Origin, outcome: Outcome) -> Result<(), LinkError> {
        dispose(&self.shared, &origin, outcome)
    }
}

impl Settler {
    /// Does something on the link of a message that is not settled.
    pub(crate) fn on_link<R>(
        &self,
        origin: Origin,
        act: impl FnOnce(&mut State, Whereabouts) -> R,
    ) -> Result<R, LinkError> {
        if origin.connection != self.shared.number() {
            return Err(LinkError::ForeignMessage);
        }
        self.shared.with(|state| state.find(&origin).map(|place| act(state, place)))
    }
}

impl Session {
    /// A handle that settles the messages of this session's connection from any task.
    #[must_use]
    pub fn settler(&self) -> Settler {
        Settler { shared: self.shared().clone() }
    }

    /// Settles a message that was received on this session's connection.
    ///
    /// # Errors
    /// When its link is over: the message will be delivered again.
    pub fn settle(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        settle(self.shared(), message, outcome)
    }

    /// As [`Session::settle`], for a message that is known by its origin alone.
    ///
    /// # Errors
    /// When its link is over: the message will be delivered again.
    pub fn settle_origin(&self, origin: Origin, outcome: Outcome) -> Result<(), LinkError> {
        dispose(self.shared(), &origin, outcome)
    }

    /// Tells this outcome of those messages of this session's connection of which none was told before. One whose link is
    /// over goes back by itself.
    pub fn settle_untold(&self, origins: &[Origin], outcome: &Outcome) {
        self.shared().with(|state| {
            for origin in origins.iter().filter(|origin| !origin.is_settled()) {
                let Ok(place) = state.find(origin) else { continue };
                let is_untold = match place {
                    Whereabouts::Here(link, number) => matches!(state.engine.states(link, number), Some((None, _))),
                    Whereabouts::Waits => true,
                    Whereabouts::Over => false,
                };
                if is_untold {
                    state.tell_outcome(origin, place, outcome.clone());
                }
            }
        });
    }

    /// As [`Session::settle_origin`] for many at once, which leave as few ranges as they make.
    ///
    /// # Errors
    /// The first that cannot be settled, because its link is over; the others are settled all the same.
    pub fn settle_origins(
        &self,
        origins: impl IntoIterator<Item = Origin>,
        outcome: &Outcome,
    ) -> Result<(), LinkError> {
        let mut origins: Vec<Origin> = origins.into_iter().filter(|origin| !origin.is_settled()).collect();
        origins.sort_unstable_by_key(|origin| (origin.link, origin.number.0));
        let settled = origins.into_iter().map(|origin| dispose(self.shared(), &origin, outcome.clone()));
        settled.fold(Ok(()), Result::and)
    }
}

/// Settles a message; one that was not received, or settled by its sender, needs nothing.
pub(crate) fn settle(shared: &Shared, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
    message.origin_ref().map_or(Ok(()), |origin| dispose(shared, origin, outcome))
}

pub(crate) fn dispose(shared: &Shared, origin: &Origin, outcome: Outcome) -> Result<(), LinkError> {
    if origin.is_settled() {
        return Ok(());
    }
    if origin.connection != shared.number() {
        return Err(LinkError::ForeignMessage);
    }
    shared.with(|state| {
        match state.find(origin) {
            Ok(place) => state.tell_outcome(origin, place, outcome),
            Err(error) => {
                state.acknowledged(origin);
                return Err(error);
            }
        }
        Ok(())
    })
}

/// Where a delivery is that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// On this link, with this number.
    Here(LinkId, DeliveryNumber),
    /// On a link that is being resumed, and whose sender has not said what becomes of it.
    Waits,
    /// Nowhere: its sender has settled it.
    Over,
}

impl State {
    /// Where the delivery of a message is.
    #[inline]
    pub(crate) fn find(&mut self, origin: &Origin) -> Result<Whereabouts, LinkError> {
        if let Some(error) = &self.over {
            return Err(LinkError::Connection(error.clone()));
        }
        // A link that tells what is not settled part after part is attached several times to one engine.
        if origin.epoch != self.epoch || !self.engine.has_link(origin.link) {
            return self.find_moved(origin);
        }
        // While there is no connection, outcomes wait with those deliveries that the next one resumes.
        if self.down.is_some() && !self.settles_second(origin.link) {
            return Err(self.lost_error());
        }
        Ok(Whereabouts::Here(origin.link, origin.number))
    }

    #[cold]
    fn find_moved(&mut self, origin: &Origin) -> Result<Whereabouts, LinkError> {
        let Self { links, moved, .. } = self;
        let found = links.iter().find(|(_, entry)| entry.serial == origin.serial);
        let (_, entry) = found.ok_or(LinkError::Closed)?;
        if let Some(error) = &entry.over {
            return Err(error.clone());
        }
        if entry.since > origin.epoch {
            return Err(LinkError::Stale);
        }
        Ok(match moved.place(origin.serial, origin.tag, (origin.epoch, origin.number)) {
            Some(Place::At(number)) => Whereabouts::Here(entry.id, *number),
            Some(Place::Waits(_)) => Whereabouts::Waits,
            None => Whereabouts::Over,
        })
    }

    /// Tells the outcome of a delivery. The delivery is settled with it, or once the sender has settled it (2.6.12).
    #[inline]
    pub(crate) fn tell_outcome(&mut self, origin: &Origin, place: Whereabouts, outcome: Outcome) {
        match place {
            Whereabouts::Here(link, number) if self.tell_on(link, origin) => self.engine.update(link, number, outcome),
            Whereabouts::Here(link, number) => self.engine.settle(link, number, outcome),
            Whereabouts::Waits => {
                self.acknowledged(origin);
                let came = (origin.epoch, origin.number);
                if let Some(Place::Waits(told)) = self.moved.place(origin.serial, origin.tag, came) {
                    *told = Some(outcome);
                }
            }
            Whereabouts::Over => self.acknowledged(origin),
        }
    }

    /// Counts an outcome that is told on a link; whether it is settled by the sender first.
    #[inline]
    fn tell_on(&mut self, link: LinkId, origin: &Origin) -> bool {
        self.entry(link).is_some_and(|entry| {
            entry.heard.tell();
            if let Some(noted) = &mut entry.unacknowledged {
                noted.strike(origin.epoch, origin.number);
            }
            entry.second
        })
    }

    #[inline]
    fn settles_second(&mut self, link: LinkId) -> bool {
        self.entry(link).is_some_and(|entry| entry.second)
    }
}
