//! What is known of a delivery, at the end that sends it and at the end that receives it (part 2, 2.6.12).

use crate::disposition::{Origin, Settler, Whereabouts};
use crate::state::{Slot, State};
use crate::{Connection, LinkError, Message, Outcome, Receiver, Session, Settlement};

impl Settler {
    /// Tells the sender the outcome of a message, and leaves it unsettled: it may be told another one, until either end
    /// settles it. A sender settles at once as a rule.
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    pub fn update(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        message.origin().map_or(Ok(()), |origin| self.update_origin(origin, outcome))
    }

    /// As [`Settler::update`], for a message that is known by its origin alone.
    ///
    /// # Errors
    /// As there.
    pub fn update_origin(&self, origin: Origin, outcome: Outcome) -> Result<(), LinkError> {
        if origin.is_settled() {
            return Ok(());
        }
        self.on_link(origin, |state, place| match place {
            Whereabouts::Here(link, number) => state.engine.update(link, number, outcome),
            place => state.tell_outcome(&origin, place, outcome),
        })
    }

    /// The outcome that was told of a message by [`update`](Self::update); nothing once either end has settled it.
    #[must_use]
    pub fn local_state(&self, message: &Message) -> Option<Outcome> {
        self.states(message)?.0
    }

    /// The outcome that the sender has told of a message, such as one that it took up again; nothing once either end has
    /// settled it.
    #[must_use]
    pub fn remote_state(&self, message: &Message) -> Option<Outcome> {
        self.states(message)?.1
    }

    /// Whether nothing is to be told of a message any more: either end has settled it, or its link is over.
    #[doc(alias = "settled")]
    #[must_use]
    pub fn is_settled(&self, message: &Message) -> bool {
        self.states(message).is_none()
    }

    fn states(&self, message: &Message) -> Option<(Option<Outcome>, Option<Outcome>)> {
        self.states_of_origin(message.origin()?)
    }

    /// What our end and the sender have told of a message that is known by its origin alone; nothing once either end has
    /// settled it.
    #[must_use]
    pub fn states_of_origin(&self, origin: Origin) -> Option<(Option<Outcome>, Option<Outcome>)> {
        let states = |state: &mut State, place| match place {
            Whereabouts::Here(link, number) => state.engine.states(link, number),
            Whereabouts::Waits => Some((None, None)),
            Whereabouts::Over => None,
        };
        self.on_link(origin, states).ok()?
    }
}

impl Receiver {
    /// As [`Settler::update`].
    ///
    /// # Errors
    /// When the link is over: the message will be delivered again.
    #[doc(alias = "state")]
    pub fn update(&self, message: &Message, outcome: Outcome) -> Result<(), LinkError> {
        self.settler().update(message, outcome)
    }

    /// Whether a message came on this link.
    #[doc(alias = "Delivery.link")]
    #[must_use]
    pub fn brought(&self, message: &Message) -> bool {
        let shared = self.link.session.shared();
        let serial = self.link.with(|state| state.links[self.link.key].serial);
        message.origin().is_some_and(|origin| origin.connection == shared.number() && origin.serial == serial)
    }
}

impl Session {
    /// Whether a message came on a link of this session, for as long as the link is there.
    #[doc(alias = "Delivery.session")]
    #[must_use]
    pub fn brought(&self, message: &Message) -> bool {
        let came_here = |origin: Origin| {
            origin.connection == self.shared().number()
                && self.shared().with(|state| {
                    let mut links = state.links.iter().filter(|(_, entry)| entry.over.is_none());
                    links.any(|(_, entry)| entry.serial == origin.serial && entry.session == self.inner.key)
                })
        };
        message.origin().is_some_and(came_here)
    }
}

impl Connection {
    /// Whether a message came on this connection.
    #[doc(alias = "Delivery.connection")]
    #[must_use]
    pub fn brought(&self, message: &Message) -> bool {
        message.origin().is_some_and(|origin| origin.connection == self.inner.shared.number())
    }
}

impl Settlement {
    /// Whether the outcome is known: then awaiting it takes no time. A message that was settled as it was sent has none to
    /// come.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.look(|slot| matches!(slot, Some(Slot::Done(_)))).unwrap_or(true)
    }

    /// The outcome that the receiver has told, if it has.
    #[must_use]
    pub fn remote_state(&self) -> Option<Outcome> {
        self.look(|slot| match slot {
            Some(Slot::Done(Ok(outcome))) => Some(outcome.clone()),
            _ => None,
        })?
    }

    /// Looks at where the outcome will be; nowhere for a message that was settled as it was sent.
    fn look<R>(&self, look: impl FnOnce(Option<&Slot>) -> R) -> Option<R> {
        let (shared, link, token) = self.at.as_ref()?;
        let slot =
            |state: &mut State| look(state.links.get(*link).and_then(|entry| entry.sends.slots.get(*token as usize)));
        Some(shared.with(slot))
    }
}
