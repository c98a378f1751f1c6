//! What both ends have said of a delivery that is not settled (part 2, 2.6.12).

use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, DeliveryTag};

use super::resume::Resuming;
use super::{ReceiverMut, SenderMut};

/// What is known of a delivery while neither end has settled it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeliveryStates<'a> {
    /// What our end has told.
    pub local: Option<&'a DeliveryState>,
    /// What the peer's end has told.
    pub remote: Option<&'a DeliveryState>,
}

impl SenderMut<'_> {
    /// What is known of a delivery of this link; nothing once either end has settled it.
    #[must_use]
    pub fn states(&self, delivery: DeliveryNumber) -> Option<DeliveryStates<'_>> {
        let link = self.connection.links.get(self.key)?;
        let outgoing = self.connection.sessions.get(link.session)?.outgoing.get(delivery)?;
        let (local, remote) = (outgoing.local_state.as_ref(), outgoing.remote_state.as_ref());
        (outgoing.link.0 == self.key).then_some(DeliveryStates { local, remote })
    }

    /// Whether a delivery of this tag is not settled: until then the tag is not to be used again (2.6.12). It looks at
    /// every unsettled delivery of the session, and at those that the link brought along.
    #[must_use]
    pub fn has_unsettled(&self, tag: &DeliveryTag) -> bool {
        let waits = |resuming: &Resuming| resuming.holds(tag);
        let link = self.connection.links.get(self.key);
        link.is_some_and(|link| link.resuming.as_deref().is_some_and(waits)) || self.unsettled_of(tag).is_some()
    }

    /// The number and the token of the delivery of this tag, where neither end has settled it and it was sent, or sent again,
    /// on this session. It looks at every unsettled delivery of the session.
    #[must_use]
    pub fn unsettled_of(&self, tag: &DeliveryTag) -> Option<(DeliveryNumber, u64)> {
        let link = self.connection.links.get(self.key)?;
        let mut unsettled = self.connection.sessions.get(link.session)?.outgoing.iter();
        unsettled
            .find(|(_, outgoing)| outgoing.link.0 == self.key && outgoing.tag == *tag)
            .map(|(number, outgoing)| (number, outgoing.token))
    }
}

impl ReceiverMut<'_> {
    /// What is known of a delivery of this link; nothing once either end has settled it.
    #[must_use]
    pub fn states(&self, delivery: DeliveryNumber) -> Option<DeliveryStates<'_>> {
        let link = self.connection.links.get(self.key)?;
        let incoming = self.connection.sessions.get(link.session)?.incoming.get(delivery)?;
        let (local, remote) = (incoming.local_state.as_ref(), incoming.remote_state.as_ref());
        (incoming.link.0 == self.key).then_some(DeliveryStates { local, remote })
    }
}
