//! Sets of properties in common use (RFC 9622 appendix B.2).

use super::TransportProperties;
use super::preference::Preference::{self, Avoid, Ignore, Prohibit, Require};
use super::selection::SelectionProperty;

/// A set of properties in common use.
#[doc(alias = "TransportPropertyProfiles")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Profile {
    /// A reliable stream in order, such as TCP.
    #[doc(alias = "RELIABLE_INORDER_STREAM")]
    ReliableInorderStream = 1,
    /// Reliable messages in order, such as those of SCTP.
    #[doc(alias = "RELIABLE_MESSAGE")]
    ReliableMessage = 2,
    /// Datagrams, such as those of UDP.
    #[doc(alias = "UNRELIABLE_DATAGRAM")]
    UnreliableDatagram = 3,
}

impl TransportProperties {
    /// The properties of a profile.
    #[doc(alias = "property_profile")]
    #[must_use]
    pub fn from_profile(profile: Profile) -> Self {
        match profile {
            Profile::ReliableInorderStream => Self::reliable_inorder_stream(),
            Profile::ReliableMessage => Self::reliable_message(),
            Profile::UnreliableDatagram => Self::unreliable_datagram(),
        }
    }

    /// The properties of a profile as the tables of RFC 9622 appendix B.2 have it, over its defaults.
    #[must_use]
    pub fn from_profile_rfc9622(profile: Profile) -> Self {
        match profile {
            Profile::ReliableInorderStream => Self::reliable_inorder_stream_rfc9622(),
            Profile::ReliableMessage => Self::reliable_message_rfc9622(),
            Profile::UnreliableDatagram => Self::unreliable_datagram_rfc9622(),
        }
    }

    /// A reliable stream in order, such as TCP. A protocol that keeps the boundaries of messages is prohibited; a framer
    /// may keep them.
    #[must_use]
    pub fn reliable_inorder_stream() -> Self {
        Self::new().with([Require, Require, Require, Prohibit])
    }

    /// A reliable stream in order, where boundaries do not matter (RFC 9622 B.2.1).
    #[must_use]
    pub fn reliable_inorder_stream_rfc9622() -> Self {
        Self::rfc9622().with([Require, Require, Require, Ignore])
    }

    /// Reliable messages in order.
    #[must_use]
    pub fn reliable_message() -> Self {
        Self::new().with([Require, Require, Require, Require])
    }

    /// Reliable messages in order (RFC 9622 B.2.2).
    #[must_use]
    pub fn reliable_message_rfc9622() -> Self {
        Self::rfc9622().with([Require, Require, Require, Require])
    }

    /// Datagrams: reliable protocols are prohibited. Messages are safely replayable, since some may arrive twice.
    #[must_use]
    pub fn unreliable_datagram() -> Self {
        Self::new().with([Prohibit, Ignore, Ignore, Require]).with_safely_replayable(true)
    }

    /// Datagrams, or else what is reliable (RFC 9622 B.2.3).
    #[must_use]
    pub fn unreliable_datagram_rfc9622() -> Self {
        Self::rfc9622().with([Avoid, Avoid, Ignore, Require]).with_safely_replayable(true)
    }

    /// Sets reliability, order, congestion control and boundaries, in the order of the tables.
    fn with(mut self, preferences: [Preference; 4]) -> Self {
        const PROPERTIES: [SelectionProperty; 4] = [
            SelectionProperty::Reliability,
            SelectionProperty::PreserveOrder,
            SelectionProperty::CongestionControl,
            SelectionProperty::PreserveMsgBoundaries,
        ];
        for (property, preference) in PROPERTIES.into_iter().zip(preferences) {
            self.set_preference(property, preference);
        }
        self
    }
}
