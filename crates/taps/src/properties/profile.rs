//! Sets of properties in common use (RFC 9622 appendix B.2).

use super::TransportProperties;
use super::preference::Preference;
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
    #[must_use]
    pub fn from_profile(profile: Profile) -> Self {
        match profile {
            Profile::ReliableInorderStream => Self::reliable_inorder_stream(),
            Profile::ReliableMessage => Self::reliable_message(),
            Profile::UnreliableDatagram => Self::unreliable_datagram(),
        }
    }

    /// A reliable stream in order, such as TCP.
    #[must_use]
    pub fn reliable_inorder_stream() -> Self {
        use Preference::{Prohibit, Require};
        Self::new().with([Require, Require, Require, Prohibit])
    }

    /// Reliable messages in order.
    #[must_use]
    pub fn reliable_message() -> Self {
        Self::new().with([Preference::Require; 4])
    }

    /// Datagrams.
    #[must_use]
    pub fn unreliable_datagram() -> Self {
        use Preference::{Ignore, Prohibit, Require};
        Self::new().with([Prohibit, Ignore, Ignore, Require]).with_safely_replayable(true)
    }

    /// Datagrams, in the words of RFC 9622 B.2.3.
    #[must_use]
    pub fn unreliable_datagram_rfc9622() -> Self {
        use Preference::{Avoid, Ignore, Require};
        Self::new().with([Avoid, Avoid, Ignore, Require]).with_safely_replayable(true)
    }

    /// Sets reliability, order, congestion control and boundaries, in the order of the tables of appendix B.2.
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
