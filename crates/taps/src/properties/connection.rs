//! Connection properties (RFC 9622 8.1 and 8.2).

use std::time::Duration;

use super::TransportProperties;
use super::capacity::CapacityProfile;
use super::error::PropertyError;
use super::kind::{Bound, Count, Coverage, Disabled, Flag, Kind, Named, Never, Size, System, Time, Unlimited};
use super::multipath::MultipathPolicy;
use super::scheduler::Scheduler;
use super::table::Row;
use super::user_timeout::{self, Parts, UserTimeout};
use super::value::PropertyValue;
use crate::connection::ConnectionState;

/// The table: type, how it is read and shown, default, what the group does with it (RFC 9622 7.4), names.
macro_rules! connection_properties {
    (
        $(#[$on_enum:meta])* pub enum $enum:ident;
        $(#[$on_set:meta])* pub struct $set:ident {$(
            $(#[$doc:meta])*
            $name:ident: fn $field:ident($arg:ty): $type:ty as $kind:ty = $default:expr; $group:ident $names:expr;
        )*}
        parts {$(
            $(#[$part_doc:meta])*
            $part:ident: $part_kind:ty, |$of:ident| $get:expr, |$to:ident, $value:ident| $put:expr; $part_names:expr;
        )*}
        $(#[$on_status:meta])* pub struct $status:ident {$(
            $(#[$fact_doc:meta])*
            $fact:ident: fn $fact_field:ident: $fact_type:ty as $fact_kind:ty; $fact_names:expr;
        )*}
    ) => {
        $(#[$on_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $enum {
            $( $(#[$doc])* $name, )*
            $( $(#[$part_doc])* $part, )*
            $( $(#[$fact_doc])* $fact, )*
        }

        impl $enum {
            /// All of them: those of [`ConnectionProperties`], their parts, and the read-only ones.
            pub const ALL: [Self; [$($names.len(),)* $($part_names.len(),)* $($fact_names.len()),*].len()] =
                [$(Self::$name,)* $(Self::$part,)* $(Self::$fact,)*];

            pub(super) const fn row(self) -> &'static Row {
                match self {
                    $( Self::$name => const { &Row::$group(&$names) }, )*
                    $( Self::$part => const { &Row::entangled(&$part_names) }, )*
                    $( Self::$fact => const { &Row::read_only(&$fact_names) }, )*
                }
            }
        }

        $(#[$on_set])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $set {$( $(#[$doc])* pub $field: $type, )*}

        impl Default for $set {
            fn default() -> Self {
                Self {$( $field: $default, )*}
            }
        }

        impl $set {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, value: $arg) -> Self {
                    self.$field = value.into();
                    self
                }
            )*

            /// The value of a property; `None` where it is read-only, which is the connection's to tell.
            #[must_use]
            pub fn get(&self, property: $enum) -> Option<PropertyValue> {
                match property {
                    $( $enum::$name => Some(<$kind>::show(self.$field)), )*
                    $( $enum::$part => Some({ let $of = self; $get }), )*
                    $( $enum::$fact => None, )*
                }
            }

            /// Sets a property.
            ///
            /// # Errors
            /// It is read-only, or the value is not one of it; nothing has changed then.
            pub fn set(&mut self, property: $enum, value: impl Into<PropertyValue>) -> Result<(), PropertyError> {
                let value = &value.into();
                let row = property.row();
                let (done, expected) = match property {
                    $( $enum::$name => (
                        <$kind>::change(&mut self.$field, value),
                        <$kind>::EXPECTED,
                    ), )*
                    $( $enum::$part => (
                        <$part_kind>::read(value).map(|$value| { let $to = &mut *self; $put }),
                        <$part_kind>::EXPECTED,
                    ), )*
                    $( $enum::$fact => return Err(PropertyError::ReadOnly { name: row.name() }), )*
                };
                done.ok_or_else(|| PropertyError::value(row.name(), value, expected))
            }
        }

        impl TransportProperties {$(
            #[doc = concat!("Sets the connection property [`", stringify!($field), "`](field@ConnectionProperties::", stringify!($field), ").")]
            #[must_use]
            pub fn $field(mut self, value: $arg) -> Self {
                self.connection.$field = value.into();
                self
            }
        )*}

        $(#[$on_status])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $status {$( $(#[$fact_doc])* pub $fact_field: $fact_type, )*}

        impl $status {
            /// The value of a read-only property; `None` for any other.
            #[must_use]
            pub fn get(&self, property: $enum) -> Option<PropertyValue> {
                match property {
                    $( $enum::$fact => Some(<$fact_kind>::show(self.$fact_field)), )*
                    _ => None,
                }
            }
        }
    };
}

connection_properties! {
    /// A property of a connection, by its name.
    pub enum ConnectionProperty;

    /// The properties of a connection that an application can set.
    ///
    /// Each is a field, and a method that sets it, here and on [`TransportProperties`].
    #[doc(alias = "connection_properties")]
    pub struct ConnectionProperties {
        /// How much of a received message a checksum must cover (8.1.1).
        #[doc(alias = "REQUIRED_MINIMUM_CORRUPTION_PROTECTION_COVERAGE_FOR_RECEIVING")]
        #[doc(alias = "recv-checksum-len")]
        RecvChecksumLen: fn recv_checksum_len(impl Into<ChecksumCoverage>): ChecksumCoverage as Coverage = ChecksumCoverage::Full;
            entangled ["recvChecksumLen", "recv-checksum-len"];

        /// The priority among the connections of a group: a lower number is a higher priority (8.1.2). A clone starts with
        /// it, and goes its own way then.
        #[doc(alias = "PRIORITY")]
        #[doc(alias = "conn-prio")]
        ConnPriority: fn conn_priority(u32): u32 as Count = 100;
            own ["connPriority", "conn-prio"];

        /// How long sent data may stay unacknowledged before the connection has failed (8.1.3); `None` leaves it to the
        /// system. Whole milliseconds, at least one.
        #[doc(alias = "TIMEOUT_FOR_ABORTING_CONNECTION")]
        #[doc(alias = "conn-timeout")]
        ConnTimeout: fn conn_timeout(impl Into<Option<Duration>>): Option<Duration> as Time<Disabled> = None;
            entangled ["connTimeout", "conn-timeout"];

        /// How long a connection may be idle before a keep-alive packet is sent (8.1.4); `None`, and more than `conn_timeout`,
        /// send none. Whole seconds, at least one.
        KeepAliveTimeout: fn keep_alive_timeout(impl Into<Option<Duration>>): Option<Duration> as Time<Disabled> = None;
            entangled ["keepAliveTimeout", "keep-alive-timeout"];

        /// How the connections of a group share the capacity (8.1.5).
        #[doc(alias = "CONNECTION_GROUP_TRANSMISSION_SCHEDULER")]
        #[doc(alias = "conn-scheduler")]
        ConnScheduler: fn conn_scheduler(Scheduler): Scheduler as Named<Scheduler> = Scheduler::WeightedFairQueueing;
            entangled ["connScheduler", "conn-scheduler"];

        /// The treatment that the network should give to the packets (8.1.6).
        #[doc(alias = "CAPACITY_PROFILE")]
        #[doc(alias = "conn-capacity-profile")]
        CapacityProfile: fn capacity_profile(CapacityProfile): CapacityProfile as Named<CapacityProfile> = CapacityProfile::Default;
            entangled ["connCapacityProfile", "conn-capacity-profile"];

        /// What several paths are used for (8.1.7).
        MultipathPolicy: fn multipath_policy(MultipathPolicy): MultipathPolicy as Named<MultipathPolicy> = MultipathPolicy::Handover;
            entangled ["multipathPolicy", "multipath-policy"];

        /// The rate in bits per second below which sending is of no use; `None` is no bound (8.1.8). It is not above
        /// `max_send_rate`; whether it is reached, the application sees for itself.
        MinSendRate: fn min_send_rate(u64): Option<u64> as Bound<Unlimited, u64> = None;
            entangled ["minSendRate", "min-send-rate"];

        /// The rate in bits per second below which receiving is of no use; `None` is no bound (8.1.8). It is not above
        /// `max_recv_rate`; whether it is reached, the application sees for itself.
        MinRecvRate: fn min_recv_rate(u64): Option<u64> as Bound<Unlimited, u64> = None;
            entangled ["minRecvRate", "min-recv-rate"];

        /// The rate in bits per second, without headers, that sending does not exceed; `None` is no bound (8.1.8).
        #[doc(alias = "max-send-rate")]
        MaxSendRate: fn max_send_rate(u64): Option<u64> as Bound<Unlimited, u64> = None;
            entangled ["maxSendRate", "max-send-rate"];

        /// The rate in bits per second, without headers, that receiving does not exceed; `None` is no bound (8.1.8).
        #[doc(alias = "max-recv-rate")]
        MaxRecvRate: fn max_recv_rate(u64): Option<u64> as Bound<Unlimited, u64> = None;
            entangled ["maxRecvRate", "max-recv-rate"];

        /// How many connections a peer may add to the group; `None` is no limit (8.1.9).
        GroupConnLimit: fn group_conn_limit(u32): Option<u32> as Bound<Unlimited, u32> = None;
            entangled ["groupConnLimit", "group-conn-limit"];

        /// Whether nothing cached is shared with connections outside of the group (8.1.10).
        IsolateSession: fn isolate_session(bool): bool as Flag = false;
            entangled ["isolateSession", "isolate-session"];

        /// How many retransmissions are excessive; `None` tells of none. RFC 9622 has dropped it.
        #[doc(alias = "RETRANSMISSION_THRESHOLD_BEFORE_EXCESSIVE_RETRANSMISSION_NOTIFICATION")]
        #[doc(alias = "retransmit-notify-threshold")]
        RetransmitNotifyThreshold: fn retransmit_notify_threshold(u32): Option<u32> as Bound<Never, u32> = None;
            entangled ["retransmit-notify-threshold", "retransmitNotifyThreshold"];

        /// The user timeout of TCP (8.2); as a value, a dictionary of its parts.
        #[doc(alias = "USER_TIMEOUT_TCP")]
        #[doc(alias = "tcp-uto")]
        UserTimeout: fn user_timeout(UserTimeout): UserTimeout as Parts = UserTimeout::default();
            entangled ["tcp-uto"];
    }

    parts {
        /// The time that is advertised to the peer (8.2.1).
        UserTimeoutValue: Time<System>, |of| Time::<System>::show(of.user_timeout.value),
            |to, value| to.user_timeout.value = value; user_timeout::VALUE;

        /// Whether the user timeout option is used (8.2.2).
        UserTimeoutEnabled: Flag, |of| Flag::show(of.user_timeout.enabled),
            |to, value| to.user_timeout.enabled = value; user_timeout::ENABLED;

        /// Whether the peer may change the timeout (8.2.3). It reads false where the connection has a timeout of its own.
        UserTimeoutChangeable: Flag, |of| Flag::show(of.user_timeout_changeable()),
            |to, value| to.user_timeout.changeable = value; user_timeout::CHANGEABLE;

        /// Both of the greatest rates: for sending and for receiving.
        #[doc(alias = "BOUNDS_ON_SEND_OR_RECEIVE_RATE")]
        #[doc(alias = "max-send-rate / max-recv-rate")]
        MaxRates: Rates, |of| Rates::show((of.max_send_rate, of.max_recv_rate)),
            |to, value| (to.max_send_rate, to.max_recv_rate) = value; ["max-send-rate / max-recv-rate"];
    }

    /// What a connection tells about itself: its read-only properties (8.1.11).
    pub struct ConnectionStatus {
        /// Where it is in its life (8.1.11.1).
        ConnState: fn conn_state: ConnectionState as State; ["connState", "conn-state"];

        /// Whether it can be used to send (8.1.11.2).
        CanSend: fn can_send: bool as Flag; ["canSend", "can-send"];

        /// Whether it can be used to receive (8.1.11.3).
        CanReceive: fn can_receive: bool as Flag; ["canReceive", "can-receive"];

        /// How many bytes a message may have that is sent while the connection is established; `None` where that is not
        /// possible.
        #[doc(alias = "MAXIMUM_MESSAGE_SIZE_CONCURRENT_WITH_CONNECTION_ESTABLISHMENT")]
        #[doc(alias = "zero-rtt-msg-max-len")]
        ZeroRttMsgMaxLen: fn zero_rtt_msg_max_len: Option<u64> as Size; ["zeroRttMsgMaxLen", "zero-rtt-msg-max-len"];

        /// How many bytes a message may have that leaves in one packet; `None` where messages are not packets (8.1.11.4).
        #[doc(alias = "MAXIMUM_MESSAGE_SIZE_BEFORE_FRAGMENTATION_OR_SEGMENTATION")]
        #[doc(alias = "singular-transmission-msg-max-len")]
        SingularTransmissionMsgMaxLen: fn singular_transmission_msg_max_len: Option<u64> as Size;
            ["singularTransmissionMsgMaxLen", "singular-transmission-msg-max-len"];

        /// How many bytes a message may have that is sent; `Some(0)` where sending is not possible, `None` where there is no
        /// maximum (8.1.11.5).
        #[doc(alias = "MAXIMUM_MESSAGE_SIZE_ON_SEND")]
        #[doc(alias = "send-msg-max-len")]
        SendMsgMaxLen: fn send_msg_max_len: Option<u64> as Size; ["sendMsgMaxLen", "send-msg-max-len"];

        /// How many bytes a message may have that is received; `Some(0)` where receiving is not possible, `None` where there is
        /// no maximum (8.1.11.6).
        #[doc(alias = "MAXIMUM_MESSAGE_SIZE_ON_RECEIVE")]
        #[doc(alias = "recv-msg-max-len")]
        RecvMsgMaxLen: fn recv_msg_max_len: Option<u64> as Size; ["recvMsgMaxLen", "recv-msg-max-len"];
    }
}

impl ConnectionProperties {
    /// Whether a peer may change the connection's timeout: not where there is one already (RFC 9622 8.2.3).
    #[must_use]
    pub fn user_timeout_changeable(&self) -> bool {
        self.user_timeout.changeable && self.conn_timeout.is_none()
    }

    /// The idle time after which keep-alive packets are sent; `None` where none are, also because the connection would
    /// have failed before (RFC 9622 8.1.4).
    #[must_use]
    pub fn keep_alive_period(&self) -> Option<Duration> {
        self.keep_alive_timeout.filter(|idle| self.conn_timeout.is_none_or(|timeout| *idle <= timeout))
    }

    /// How long this end waits for acknowledgements: the connection's timeout, or else the user timeout where that is
    /// enabled.
    #[must_use]
    pub fn abort_after(&self) -> Option<Duration> {
        self.conn_timeout.or_else(|| self.user_timeout.value.filter(|_| self.user_timeout.enabled))
    }

    /// Takes over what the connections of a group share from one of them: all but the priority (RFC 9622 7.4).
    pub fn entangle(&mut self, with: &Self) {
        *self = Self { conn_priority: self.conn_priority, ..with.clone() };
    }
}

/// How much of a message a checksum covers, from its first byte on (RFC 9622 8.1.1 and 9.1.3.6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ChecksumCoverage {
    /// All of it.
    #[doc(alias = "Full Coverage")]
    #[default]
    Full,
    /// At least this many bytes; 0 needs no checksum.
    Bytes(u32),
}

impl From<u32> for ChecksumCoverage {
    fn from(bytes: u32) -> Self {
        Self::Bytes(bytes)
    }
}

/// A bound for sending and one for receiving.
struct Rates;

impl Rates {
    const EXPECTED: &'static str = "a rate for sending and one for receiving, such as `8000000 / Unlimited`";

    fn read(value: &PropertyValue) -> Option<(Option<u64>, Option<u64>)> {
        let rate = Bound::<Unlimited, u64>::read;
        if let PropertyValue::Pair(pair) = value {
            return Some((rate(&pair.0)?, rate(&pair.1)?));
        }
        let (send, receive) = value.text()?.split_once('/')?;
        Some((rate(&send.into())?, rate(&receive.into())?))
    }

    fn show((send, receive): (Option<u64>, Option<u64>)) -> PropertyValue {
        let rate = Bound::<Unlimited, u64>::show;
        (rate(send), rate(receive)).into()
    }
}

/// The state is shown by the name of its variant, which is the word in RFC 9622 8.1.11.1.
struct State;

impl State {
    fn show(state: ConnectionState) -> PropertyValue {
        PropertyValue::Enumeration(format!("{state:?}").into())
    }
}
