//! Message properties (RFC 9622 9.1.3 and 9.3.3).

use std::time::Duration;

use super::capacity::CapacityProfile;
use super::connection::ChecksumCoverage;
use super::error::PropertyError;
use super::kind::{Count, Coverage, Flag, Infinite, Kind, Named, Time};
use super::table::Row;
use super::value::PropertyValue;

/// The table: getter, the two ways to set, type, how it is read and shown, default, names. What is `inherited` has its
/// default from the properties of the connection.
macro_rules! message_properties {
    (
        $(#[$on_enum:meta])* pub enum $enum:ident;
        $(#[$on_set:meta])* pub struct $set:ident {$(
            $(#[$doc:meta])*
            $name:ident: fn $field:ident, fn $with:ident, fn $put:ident($arg:ty): $type:ty as $kind:ty = $default:expr; $names:expr;
        )*}
        inherited {$(
            $(#[$from_doc:meta])*
            $from:ident: fn $from_field:ident, fn $from_with:ident, fn $from_put:ident: $from_type:ty as $from_kind:ty;
            $from_names:expr;
        )*}
        parts {$(
            $(#[$part_doc:meta])*
            $part:ident: $part_kind:ty, |$of:ident| $get:expr, |$to:ident, $value:ident| $part_put:expr; $part_names:expr;
        )*}
        received {$(
            $(#[$fact_doc:meta])*
            $fact:ident: $fact_names:expr;
        )*}
    ) => {
        $(#[$on_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $enum {
            $( $(#[$doc])* $name, )*
            $( $(#[$from_doc])* $from, )*
            $( $(#[$part_doc])* $part, )*
            $( $(#[$fact_doc])* $fact, )*
        }

        impl $enum {
            /// All of them: those of [`MessageProperties`], what stands for several, and those of received messages.
            pub const ALL: [Self; [
                $($names.len(),)* $($from_names.len(),)* $($part_names.len(),)* $($fact_names.len()),*
            ].len()] = [$(Self::$name,)* $(Self::$from,)* $(Self::$part,)* $(Self::$fact,)*];

            pub(super) const fn row(self) -> &'static Row {
                match self {
                    $( Self::$name => const { &Row::own(&$names) }, )*
                    $( Self::$from => const { &Row::own(&$from_names) }, )*
                    $( Self::$part => const { &Row::own(&$part_names) }, )*
                    $( Self::$fact => const { &Row::read_only(&$fact_names) }, )*
                }
            }
        }

        $(#[$on_set])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $set {
            $( $field: Option<$type>, )*
            $( $from_field: Option<$from_type>, )*
        }

        impl $set {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $field(&self) -> $type {
                    self.$field.unwrap_or($default)
                }

                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $with(mut self, value: $arg) -> Self {
                    self.$field = Some(value.into());
                    self
                }

                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                pub fn $put(&mut self, value: $arg) -> &mut Self {
                    self.$field = Some(value.into());
                    self
                }
            )*
            $(
                $(#[$from_doc])*
                #[must_use]
                pub fn $from_field(&self) -> Option<$from_type> {
                    self.$from_field
                }

                #[doc = concat!("Sets [`", stringify!($from_field), "`](Self::", stringify!($from_field), ").")]
                #[must_use]
                pub fn $from_with(mut self, value: impl Into<Option<$from_type>>) -> Self {
                    self.$from_field = value.into();
                    self
                }

                #[doc = concat!("Sets [`", stringify!($from_field), "`](Self::", stringify!($from_field), ").")]
                pub fn $from_put(&mut self, value: impl Into<Option<$from_type>>) -> &mut Self {
                    self.$from_field = value.into();
                    self
                }
            )*

            /// These properties, and those of `defaults` where one is not set: a message's over its connection's.
            #[must_use]
            pub fn or(&self, defaults: &Self) -> Self {
                Self {
                    $( $field: self.$field.or(defaults.$field), )*
                    $( $from_field: self.$from_field.or(defaults.$from_field), )*
                }
            }

            /// Whether the property was set.
            #[must_use]
            pub fn is_set(&self, property: $enum) -> bool {
                match property {
                    $( $enum::$name => self.$field.is_some(), )*
                    $( $enum::$from => self.$from_field.is_some(), )*
                    $enum::SingularTransmission => self.no_fragmentation.is_some() && self.no_segmentation.is_some(),
                    $( $enum::$fact => false, )*
                }
            }

            /// Sets the property back to its default.
            pub fn unset(&mut self, property: $enum) {
                match property {
                    $( $enum::$name => self.$field = None, )*
                    $( $enum::$from => self.$from_field = None, )*
                    $enum::SingularTransmission => (self.no_fragmentation, self.no_segmentation) = (None, None),
                    $( $enum::$fact => {} )*
                }
            }

            /// The value of a property; `None` where it is not set and its default is the connection's, and where only a
            /// received message has it.
            #[must_use]
            pub fn get(&self, property: $enum) -> Option<PropertyValue> {
                match property {
                    $( $enum::$name => Some(<$kind>::show(self.$field())), )*
                    $( $enum::$from => self.$from_field.map(<$from_kind>::show), )*
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
                        <$kind>::read(value).map(|value| self.$field = Some(value)),
                        <$kind>::EXPECTED,
                    ), )*
                    $( $enum::$from => (
                        <$from_kind>::read(value).map(|value| self.$from_field = Some(value)),
                        <$from_kind>::EXPECTED,
                    ), )*
                    $( $enum::$part => (
                        <$part_kind>::read(value).map(|$value| { let $to = &mut *self; $part_put }),
                        <$part_kind>::EXPECTED,
                    ), )*
                    $( $enum::$fact => return Err(PropertyError::ReadOnly { name: row.name() }), )*
                };
                done.ok_or_else(|| PropertyError::value(row.name(), value, expected))
            }
        }
    };
}

message_properties! {
    /// A property of a message, by its name.
    pub enum MessageProperty;

    /// The properties of a message, or those that a connection has for messages that set none.
    ///
    /// What is not set here is what the connection has ([`or`](Self::or)), and at last the default.
    ///
    /// ```
    /// use std::time::Duration;
    /// use postroad_taps::MessageProperties;
    ///
    /// let connection = MessageProperties::default().with_safely_replayable(true).with_priority(50);
    /// let message = MessageProperties::default().with_lifetime(Duration::from_millis(20)).with_priority(5);
    /// let sent = message.or(&connection);
    /// assert!(sent.safely_replayable());
    /// assert_eq!((sent.priority(), sent.lifetime()), (5, Some(Duration::from_millis(20))));
    /// ```
    #[doc(alias = "message_properties")]
    pub struct MessageProperties {
        /// How long the message may wait to be sent; `None` is for ever (9.1.3.1).
        #[doc(alias = "LIFETIME")]
        #[doc(alias = "msg-lifetime")]
        Lifetime: fn lifetime, fn with_lifetime, fn set_lifetime(impl Into<Option<Duration>>): Option<Duration> as Time<Infinite> = None;
            ["msgLifetime", "msg-lifetime"];

        /// The priority among the messages of the connection: a lower number is a higher priority (9.1.3.2).
        #[doc(alias = "PRIORITY")]
        #[doc(alias = "msg-prio")]
        Priority: fn priority, fn with_priority, fn set_priority(u32): u32 as Count = 100;
            ["msgPriority", "msg-prio"];

        /// Whether the message may arrive more than once (9.1.3.4).
        #[doc(alias = "IDEMPOTENT")]
        #[doc(alias = "idempotent")]
        SafelyReplayable: fn safely_replayable, fn with_safely_replayable, fn set_safely_replayable(bool): bool as Flag = false;
            ["safelyReplayable", "idempotent"];

        /// Whether it is the last message that this end sends (9.1.3.5).
        #[doc(alias = "FINAL")]
        #[doc(alias = "final")]
        Final: fn is_final, fn with_final, fn set_final(bool): bool as Flag = false;
            ["final"];

        /// How much of the message a checksum must cover (9.1.3.6).
        #[doc(alias = "CORRUPTION_PROTECTION_LENGTH")]
        #[doc(alias = "msg-checksum-len")]
        ChecksumLen: fn checksum_len, fn with_checksum_len, fn set_checksum_len(impl Into<ChecksumCoverage>): ChecksumCoverage as Coverage =
            ChecksumCoverage::Full;
            ["msgChecksumLen", "msg-checksum-len"];

        /// Whether the network layer must not fragment the message (9.1.3.9).
        NoFragmentation: fn no_fragmentation, fn with_no_fragmentation, fn set_no_fragmentation(bool): bool as Flag = false;
            ["noFragmentation", "no-fragmentation"];

        /// Whether the transport must not segment the message (9.1.3.10).
        NoSegmentation: fn no_segmentation, fn with_no_segmentation, fn set_no_segmentation(bool): bool as Flag = false;
            ["noSegmentation", "no-segmentation"];
    }

    inherited {
        /// Whether the message keeps its place in the order; `None` is as the connection's others (9.1.3.3).
        #[doc(alias = "ORDERED")]
        #[doc(alias = "msg-ordered")]
        Ordered: fn ordered, fn with_ordered, fn set_ordered: bool as Flag;
            ["msgOrdered", "msg-ordered"];

        /// Whether the message is sent again until it has arrived; `None` is as the connection's others (9.1.3.7).
        #[doc(alias = "RELIABLE_DATA_TRANSFER")]
        #[doc(alias = "msg-reliable")]
        Reliable: fn reliable, fn with_reliable, fn set_reliable: bool as Flag;
            ["msgReliable", "msg-reliable"];

        /// The treatment that the network should give to the message; `None` is the connection's (9.1.3.8).
        #[doc(alias = "MESSAGE_CAPACITY_PROFILE_OVERRIDE")]
        #[doc(alias = "msg-capacity-profile")]
        CapacityProfile: fn capacity_profile, fn with_capacity_profile, fn set_capacity_profile:
            CapacityProfile as Named<CapacityProfile>;
            ["msgCapacityProfile", "msg-capacity-profile"];
    }

    parts {
        /// Neither fragmentation nor segmentation: the message leaves in one packet.
        #[doc(alias = "SINGULAR_TRANSMISSION")]
        #[doc(alias = "singular-transmission")]
        SingularTransmission: Flag, |of| (of.no_fragmentation() && of.no_segmentation()).into(),
            |to, value| (to.no_fragmentation, to.no_segmentation) = (Some(value), Some(value));
            ["singular-transmission", "singularTransmission"];
    }

    received {
        /// What the network said about congestion, on a received message (9.3.3.1).
        #[doc(alias = "ECN")]
        Ecn: ["ecn"];

        /// Whether a received message came before the connection was established, and may be a copy (9.3.3.2).
        #[doc(alias = "EARLY_DATA")]
        #[doc(alias = "early-data")]
        EarlyData: ["earlyData", "early-data"];

        /// Whether a received message is the last one (9.3.3.3).
        #[doc(alias = "RECEIVING_FINAL_MESSAGE")]
        #[doc(alias = "receiving-final-messages")]
        ReceivingFinal: ["receivingFinalMessages", "receiving-final-messages"];
    }
}
