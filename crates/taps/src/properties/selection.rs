//! Selection properties: what protocols and paths are chosen by (RFC 9622 6.2).

use super::interface::{InterfaceSelector, PvdSelector};
use super::kind::Enumerated;
use super::multipath::Multipath;
use super::preference::Preference;
use super::table::Row;

/// The table of the preferences: names, default, default in RFC 9622.
macro_rules! selection_properties {
    ($(#[$on_enum:meta])* pub enum $enum:ident {$(
        $(#[$doc:meta])*
        $name:ident: $names:expr, $default:ident, $rfc9622:ident;
    )*}) => {
        $(#[$on_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $enum {$( $(#[$doc])* $name, )*}

        impl $enum {
            /// All of them, in the order of RFC 9622 6.2.
            pub const ALL: [Self; [$($names.len()),*].len()] = [$(Self::$name),*];

            pub(super) const fn row(self) -> &'static Row {
                match self {$( Self::$name => const { &Row::own(&$names) }, )*}
            }

            const fn default_preference(self, defaults: Defaults) -> Preference {
                match (self, defaults) {$(
                    (Self::$name, Defaults::Original) => Preference::$default,
                    (Self::$name, Defaults::Rfc9622) => Preference::$rfc9622,
                )*}
            }
        }
    };
}

selection_properties! {
    /// A selection property that is a preference: what a protocol or path has, or has not.
    #[doc(alias = "SelectionProperties")]
    #[doc(alias = "selection_properties")]
    pub enum SelectionProperty {
        /// All data arrives, in order, without loss or duplication (6.2.1).
        #[doc(alias = "RELIABILITY")]
        Reliability: ["reliability"], Require, Require;

        /// The protocol keeps the boundaries of messages (6.2.2). The default differs from RFC 9622's.
        #[doc(alias = "PRESERVE_MSG_BOUNDARIES")]
        #[doc(alias = "preserve-msg-boundaries")]
        PreserveMsgBoundaries: ["preserveMsgBoundaries", "preserve-msg-boundaries"], Prefer, Ignore;

        /// Each message may be reliable or not (6.2.3).
        #[doc(alias = "PER_MSG_RELIABILITY")]
        #[doc(alias = "per-msg-reliability")]
        PerMsgReliability: ["perMsgReliability", "per-msg-reliability"], Ignore, Ignore;

        /// Data arrives in the order in which it was sent (6.2.4).
        #[doc(alias = "PRESERVE_ORDER")]
        #[doc(alias = "preserve-order")]
        PreserveOrder: ["preserveOrder", "preserve-order"], Require, Require;

        /// A message may be sent before the connection is established (6.2.5).
        #[doc(alias = "ZERO_RTT_MSG")]
        #[doc(alias = "zero-rtt-msg")]
        ZeroRttMsg: ["zeroRttMsg", "zero-rtt-msg"], Ignore, Ignore;

        /// The connections of a group are streams of one transport connection (6.2.6).
        #[doc(alias = "MULTISTREAMING")]
        Multistreaming: ["multistreaming"], Prefer, Prefer;

        /// Everything sent is covered by a checksum (6.2.7). Without a preference of its own, it is no preference where
        /// [`PerMsgChecksumLenSend`](Self::PerMsgChecksumLenSend) is preferred or required.
        FullChecksumSend: ["fullChecksumSend", "full-checksum-send"], Require, Require;

        /// Everything received is covered by a checksum (6.2.8). Without a preference of its own, it is no preference where
        /// [`PerMsgChecksumLenRecv`](Self::PerMsgChecksumLenRecv) is preferred or required.
        FullChecksumRecv: ["fullChecksumRecv", "full-checksum-recv"], Require, Require;

        /// The checksum of a sent message may cover only its beginning, as with UDP-Lite: the words of the drafts for what
        /// RFC 9622 asks the other way round.
        #[doc(alias = "PER_MSG_CHECKSUM_LEN_SEND")]
        #[doc(alias = "per-msg-checksum-len-send")]
        PerMsgChecksumLenSend: ["per-msg-checksum-len-send", "perMsgChecksumLenSend"], Ignore, Ignore;

        /// The checksum of a received message may cover only its beginning, as with UDP-Lite: the words of the drafts for
        /// what RFC 9622 asks the other way round.
        #[doc(alias = "PER_MSG_CHECKSUM_LEN_RECV")]
        #[doc(alias = "per-msg-checksum-len-recv")]
        PerMsgChecksumLenRecv: ["per-msg-checksum-len-recv", "perMsgChecksumLenRecv"], Ignore, Ignore;

        /// The protocol controls congestion (6.2.9).
        #[doc(alias = "CONGESTION_CONTROL")]
        #[doc(alias = "congestion-control")]
        CongestionControl: ["congestionControl", "congestion-control"], Require, Require;

        /// The protocol sends keep-alive packets (6.2.10).
        KeepAlive: ["keepAlive", "keep-alive"], Ignore, Ignore;

        /// The local address is a temporary one (6.2.13). Not for listeners and rendezvous, where the default is to avoid it:
        /// see [`TransportProperties::preference_in`](super::TransportProperties::preference_in).
        #[doc(alias = "LOCAL_ADDRESS_PREFERENCE")]
        #[doc(alias = "local-address-preference")]
        UseTemporaryLocalAddress: ["useTemporaryLocalAddress", "local-address-preference"], Prefer, Prefer;

        /// ICMP errors that do not end the connection are told (6.2.17).
        #[doc(alias = "SOFT_ERROR_NOTIFY")]
        #[doc(alias = "soft-error-notify")]
        SoftErrorNotify: ["softErrorNotify", "soft-error-notify"], Ignore, Ignore;

        /// The side that opens actively reads first (6.2.18).
        ActiveReadBeforeSend: ["activeReadBeforeSend", "active-read-before-send"], Ignore, Ignore;

        /// Excessive retransmissions are told. RFC 9622 has dropped it.
        #[doc(alias = "RETRANSMIT_NOTIFY")]
        #[doc(alias = "retransmit-notify")]
        RetransmitNotify: ["retransmit-notify", "retransmitNotify"], Ignore, Ignore;
    }
}

/// The selection properties with types of their own.
pub(super) const INTERFACE: Row = Row::own(&["interface"]);
pub(super) const PVD: Row = Row::own(&["pvd"]);
pub(super) const MULTIPATH: Row = Row::own(&["multipath"]);
pub(super) const ADVERTISES_ALTADDR: Row = Row::own(&["advertisesAltaddr", "advertises-altaddr"]);
pub(super) const DIRECTION: Row = Row::own(&["direction"]);

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

/// The direction of the communication (RFC 9622 6.2.16).
#[doc(alias = "CommunicationDirections")]
#[doc(alias = "communication_directions")]
#[doc(alias = "DIRECTION")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both sides send.
    #[doc(alias = "BIDIRECTIONAL")]
    #[default]
    Bidirectional,
    /// The application only sends.
    #[doc(alias = "UNIDIRECTIONAL_SEND")]
    UnidirectionalSend,
    /// The application only receives.
    #[doc(alias = "UNIDIRECTIONAL_RECEIVE")]
    UnidirectionalReceive,
}

impl Enumerated for Direction {
    const EXPECTED: &'static str = "`Bidirectional`, `Unidirectional send` or `Unidirectional receive`";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("Bidirectional", Self::Bidirectional),
        ("Unidirectional send", Self::UnidirectionalSend),
        ("Unidirectional receive", Self::UnidirectionalReceive),
    ];
}

/// Whose defaults hold for what is not set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Defaults {
    #[default]
    Original,
    Rfc9622,
}

/// The selection properties of a [`TransportProperties`](super::TransportProperties).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    explicit: [Option<Preference>; SelectionProperty::ALL.len()],
    pub(super) defaults: Defaults,
    pub(super) interfaces: Vec<(InterfaceSelector, Preference)>,
    pub(super) pvds: Vec<(PvdSelector, Preference)>,
    pub(super) multipath: Option<Multipath>,
    pub(super) direction: Direction,
    pub(super) advertises_altaddr: bool,
}

impl Selection {
    pub(super) fn preference(&self, property: SelectionProperty, role: Role) -> Preference {
        let explicit = self.explicit[property as usize].or_else(|| self.implied(property));
        explicit.unwrap_or_else(|| match (property, role) {
            (SelectionProperty::UseTemporaryLocalAddress, Role::Listen | Role::Rendezvous) => Preference::Avoid,
            _ => property.default_preference(self.defaults),
        })
    }

    pub(super) fn is_explicit(&self, property: SelectionProperty) -> bool {
        self.explicit[property as usize].is_some() || self.implied(property).is_some()
    }

    /// Whether the property itself was set, and to this.
    pub(super) fn was_set(&self, property: SelectionProperty, preference: Preference) -> bool {
        self.explicit[property as usize] == Some(preference)
    }

    pub(super) fn set(&mut self, property: SelectionProperty, preference: Option<Preference>) {
        self.explicit[property as usize] = preference;
    }

    /// Who wants to choose how much of a message is covered does not want all of it covered always.
    fn implied(&self, property: SelectionProperty) -> Option<Preference> {
        let choice = match property {
            SelectionProperty::FullChecksumSend => SelectionProperty::PerMsgChecksumLenSend,
            SelectionProperty::FullChecksumRecv => SelectionProperty::PerMsgChecksumLenRecv,
            _ => return None,
        };
        (self.explicit[choice as usize]? >= Preference::Prefer).then_some(Preference::Ignore)
    }
}
