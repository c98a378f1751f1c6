//! Settling what was received, from anywhere (part 2, 2.7.6).

use std::sync::Arc;

use postroad_codec::v1_0::DeliveryNumber;

use crate::state::{Shared, State};
use crate::types::{Fields, PeerError};
use crate::v1_0::{DeliveryTag, LinkId};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The number of the connection: links of another one have the same ids.
    pub(crate) connection: u64,
    pub(crate) link: LinkId,
    pub(crate) number: DeliveryNumber,
    pub(crate) tag: DeliveryTag,
    pub(crate) settled: bool,
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
    pub(crate) fn on_link<R>(&self, origin: Origin, act: impl FnOnce(&mut State) -> R) -> Result<R, LinkError> {
        on_link(&self.shared, &origin, act)
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

    /// As [`Session::settle_origin`] for many at once, which leave as few ranges as they make.
    ///
    /// # Errors
    /// The first that cannot be settled, because its link is over; the others are settled all the same.
    pub fn settle_origins(
        &self,
        origins: impl IntoIterator<Item = Origin>,
        outcome: &Outcome,
    ) -> Result<(), LinkError> {
        let mut origins: Vec<Origin> = origins.into_iter().filter(|origin| !origin.settled).collect();
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
    if origin.settled {
        return Ok(());
    }
    on_link(shared, origin, |state| state.engine.settle(origin.link, origin.number, outcome))
}

/// Does something on the link of a message.
fn on_link<R>(shared: &Shared, origin: &Origin, act: impl FnOnce(&mut State) -> R) -> Result<R, LinkError> {
    if origin.connection != shared.number() {
        return Err(LinkError::ForeignMessage);
    }
    shared.with(|state| {
        if let Some(error) = &state.over {
            return Err(LinkError::Connection(error.clone()));
        }
        if !state.engine.has_link(origin.link) {
            return Err(LinkError::Closed);
        }
        Ok(act(state))
    })
}
