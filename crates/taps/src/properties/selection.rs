//! Selection properties: what protocols and paths are chosen by (RFC 9622 6.2).

use super::interface::{InterfaceSelector, PvdSelector};
use super::preference::Preference;

/// A selection property that is a preference.
#[doc(alias = "SelectionProperties")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SelectionProperty {
    /// All data arrives, in order, without loss or duplication (6.2.1).
    Reliability,
    /// The protocol keeps the boundaries of messages (6.2.2).
    PreserveMsgBoundaries,
    /// Each message may be reliable or not (6.2.3).
    PerMsgReliability,
    /// Data arrives in the order in which it was sent (6.2.4).
    PreserveOrder,
    /// A message may be sent before the connection is established (6.2.5).
    ZeroRttMsg,
    /// The connections of a group are streams of one transport connection (6.2.6).
    Multistreaming,
    /// Everything sent is covered by a checksum (6.2.7).
    FullChecksumSend,
    /// Everything received is covered by a checksum (6.2.8).
    FullChecksumRecv,
    /// The checksum of a message sent may cover only its beginning: what has it is not asked for full coverage.
    PerMsgChecksumLenSend,
    /// The checksum of a message received may cover only its beginning: what has it is not asked for full coverage.
    PerMsgChecksumLenRecv,
    /// The protocol controls congestion (6.2.9).
    CongestionControl,
    /// The protocol sends keep-alive packets (6.2.10).
    KeepAlive,
    /// The local address is a temporary one (6.2.13).
    UseTemporaryLocalAddress,
    /// ICMP errors that do not end the connection are told (6.2.17).
    SoftErrorNotify,
    /// The side that opens actively reads first (6.2.18).
    ActiveReadBeforeSend,
    /// Excessive retransmissions are told.
    RetransmitNotify,
}

impl SelectionProperty {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Reliability,
        Self::PreserveMsgBoundaries,
        Self::PerMsgReliability,
        Self::PreserveOrder,
        Self::ZeroRttMsg,
        Self::Multistreaming,
        Self::FullChecksumSend,
        Self::FullChecksumRecv,
        Self::PerMsgChecksumLenSend,
        Self::PerMsgChecksumLenRecv,
        Self::CongestionControl,
        Self::KeepAlive,
        Self::UseTemporaryLocalAddress,
        Self::SoftErrorNotify,
        Self::ActiveReadBeforeSend,
        Self::RetransmitNotify,
    ];

    const fn default_preference(self) -> Preference {
        match self {
            Self::Reliability
            | Self::PreserveOrder
            | Self::FullChecksumSend
            | Self::FullChecksumRecv
            | Self::CongestionControl => Preference::Require,
            Self::PreserveMsgBoundaries | Self::Multistreaming | Self::UseTemporaryLocalAddress => Preference::Prefer,
            _ => Preference::Ignore,
        }
    }
}

/// What a preconnection is used for: some defaults depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It opens a connection actively.
    Initiate,
    /// It listens.
    Listen,
    /// It opens a connection to a peer that does the same.
    Rendezvous,
}

impl Role {
    pub(super) const fn multipath(self) -> Multipath {
        match self {
            Self::Initiate | Self::Rendezvous => Multipath::Disabled,
            Self::Listen => Multipath::Passive,
        }
    }
}

/// Whether a connection uses several paths (RFC 9622 6.2.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Multipath {
    /// It uses one path, even where the protocol can use several.
    Disabled,
    /// It negotiates the use of several paths.
    Active,
    /// It uses several paths if the peer asks for it.
    Passive,
}

/// The direction of the communication (RFC 9622 6.2.16).
#[doc(alias = "CommunicationDirections")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both sides send.
    #[default]
    Bidirectional,
    /// The application only sends.
    UnidirectionalSend,
    /// The application only receives.
    UnidirectionalReceive,
}

/// The selection properties of a [`TransportProperties`](super::TransportProperties).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Selection {
    explicit: [Option<Preference>; SelectionProperty::ALL.len()],
    pub(super) interfaces: Vec<(InterfaceSelector, Preference)>,
    pub(super) pvds: Vec<(PvdSelector, Preference)>,
    pub(super) multipath: Option<Multipath>,
    pub(super) direction: Direction,
    pub(super) advertises_altaddr: bool,
}

impl Selection {
    pub(super) fn preference(&self, property: SelectionProperty) -> Preference {
        self.preference_in(property, Role::Initiate)
    }

    pub(super) fn preference_in(&self, property: SelectionProperty, role: Role) -> Preference {
        self.explicit[property as usize].unwrap_or_else(|| match (property, role) {
            (SelectionProperty::UseTemporaryLocalAddress, Role::Listen | Role::Rendezvous) => Preference::Avoid,
            _ => property.default_preference(),
        })
    }

    pub(super) fn is_explicit(&self, property: SelectionProperty) -> bool {
        self.explicit[property as usize].is_some()
    }

    pub(super) fn set(&mut self, property: SelectionProperty, preference: Option<Preference>) {
        self.explicit[property as usize] = preference;
    }
}
