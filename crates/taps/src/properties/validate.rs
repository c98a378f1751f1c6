//! What contradicts itself is found before anything is opened (RFC 9622 4.2 and 6.2, RFC 9623 3.1).

use std::fmt;
use std::time::Duration;

use super::TransportProperties;
use super::connection::ConnectionProperty;
use super::interface::{InterfaceSelector, PvdSelector};
use super::message::MessageProperty;
use super::names::Property;
use super::preference::Preference;
use super::selection::SelectionProperty;

/// Every contradiction in a set of properties, one at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyConflicts(Vec<PropertyConflict>);

/// One contradiction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyConflict {
    /// No protocol has the one without the other.
    #[error("`{}` is required and `{}` prohibited: no protocol has the one without the other", Property::from(*.required).name(), Property::from(*.prohibited).name())]
    Selection {
        /// What is required.
        required: SelectionProperty,
        /// What it needs.
        prohibited: SelectionProperty,
    },
    /// What is required excludes the other.
    #[error("`{}` and `{}` exclude each other, and both are required", Property::from(*.one).name(), Property::from(*.other).name())]
    Exclusive {
        /// One of them.
        one: SelectionProperty,
        /// The other.
        other: SelectionProperty,
    },
    /// A connection has one path at first, and it cannot be over two interfaces or domains.
    #[error("`{}` requires both {one} and {other}", .property.name())]
    TwoRequired {
        /// The set in which they are.
        property: Property,
        /// One that is required.
        one: String,
        /// Another.
        other: String,
    },
    /// The properties of messages need what the connection must not have.
    #[error("`{}` is true by default, and `{}` is prohibited", Property::from(*.message).name(), Property::from(*.prohibited).name())]
    Message {
        /// What messages have.
        message: MessageProperty,
        /// What they need.
        prohibited: SelectionProperty,
    },
    /// Keep-alive packets are required, and would come after the connection has failed (RFC 9622 8.1.4).
    #[error("`keepAlive` is required, and `keepAliveTimeout` is greater than `connTimeout`")]
    KeepAliveTooLate,
    /// The least rate is greater than the greatest.
    #[error("`{}` is greater than `{}`", Property::from(*.min).name(), Property::from(*.max).name())]
    Rates {
        /// The least rate.
        min: ConnectionProperty,
        /// The greatest.
        max: ConnectionProperty,
    },
    /// A number that must be positive is 0.
    #[error("`{}` is 0, and must be positive or have no value", .0.name())]
    Zero(Property),
    /// A time is longer than what can be kept or sent.
    #[error("`{}` is more than {} seconds", .property.name(), .max.as_secs())]
    TooLong {
        /// The property.
        property: Property,
        /// The longest time.
        max: Duration,
    },
}

impl PropertyConflicts {
    /// The contradictions.
    #[must_use]
    pub fn all(&self) -> &[PropertyConflict] {
        &self.0
    }
}

impl fmt::Display for PropertyConflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, conflict) in self.0.iter().enumerate() {
            let semicolon = if index == 0 { "" } else { "; " };
            write!(f, "{semicolon}{conflict}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PropertyConflicts {}

/// Sockets take 32 bits of milliseconds.
const MAX_TIMEOUT: Duration = Duration::from_millis(u32::MAX as u64);
/// The option has 15 bits, of minutes at most (RFC 5482 2).
const MAX_USER_TIMEOUT: Duration = Duration::from_secs(0x7fff * 60);

impl TransportProperties {
    /// Whether the properties can be had together at all; which protocol has them is for selection to find out.
    ///
    /// # Errors
    /// Every contradiction that needs no look at the system.
    pub fn validate(&self) -> Result<(), PropertyConflicts> {
        let mut conflicts = Vec::new();
        self.preferences_agree(&mut conflicts);
        self.one_path(&mut conflicts);
        self.numbers(&mut conflicts);
        if conflicts.is_empty() { Ok(()) } else { Err(PropertyConflicts(conflicts)) }
    }

    fn preferences_agree(&self, conflicts: &mut Vec<PropertyConflict>) {
        use SelectionProperty::{
            FullChecksumRecv, FullChecksumSend, KeepAlive, PerMsgChecksumLenRecv, PerMsgChecksumLenSend,
            PerMsgReliability, PreserveOrder, Reliability,
        };
        let requires = |property| self.preference(property) == Preference::Require;
        let prohibits = |property| self.preference(property) == Preference::Prohibit;
        // Reliable is in order (RFC 9622 6.2.1). That it is also controlled for congestion is only usual (6.2.9). Who has
        // not asked for reliability may have meant to do without: that no protocol does is for selection to tell.
        for (required, prohibited) in [(PerMsgReliability, Reliability), (Reliability, PreserveOrder)] {
            if self.selection.was_set(required, Preference::Require) && prohibits(prohibited) {
                conflicts.push(PropertyConflict::Selection { required, prohibited });
            }
        }
        for (one, other) in [(FullChecksumSend, PerMsgChecksumLenSend), (FullChecksumRecv, PerMsgChecksumLenRecv)] {
            if requires(one) && requires(other) {
                conflicts.push(PropertyConflict::Exclusive { one, other });
            }
        }
        let late = self.connection.keep_alive_timeout.is_some() && self.connection.keep_alive_period().is_none();
        if requires(KeepAlive) && late {
            conflicts.push(PropertyConflict::KeepAliveTooLate);
        }
        for (message, set, prohibited) in [
            (MessageProperty::Ordered, self.message.ordered(), PreserveOrder),
            (MessageProperty::Reliable, self.message.reliable(), Reliability),
        ] {
            if set == Some(true) && prohibits(prohibited) {
                conflicts.push(PropertyConflict::Message { message, prohibited });
            }
        }
    }

    fn one_path(&self, conflicts: &mut Vec<PropertyConflict>) {
        // A type may be required beside an interface that is of it.
        let interfaces = self.interfaces().iter().filter_map(|(selector, preference)| match selector {
            InterfaceSelector::Name(name) => Some((name, *preference)),
            InterfaceSelector::Type(_) => None,
        });
        let pvds = self.pvds().iter().filter_map(|(selector, preference)| match selector {
            PvdSelector::Name(name) => Some((name, *preference)),
            PvdSelector::Type(_) => None,
        });
        conflicts.extend(two_required(Property::Interface, interfaces));
        conflicts.extend(two_required(Property::Pvd, pvds));
    }

    fn numbers(&self, conflicts: &mut Vec<PropertyConflict>) {
        use ConnectionProperty::{
            ConnTimeout, GroupConnLimit, KeepAliveTimeout, MaxRecvRate, MaxSendRate, MinRecvRate, MinSendRate,
            RetransmitNotifyThreshold, UserTimeoutValue,
        };
        let of = &self.connection;
        let positive = |number: Option<u32>| number.map(u64::from);
        for (property, number) in [
            (MinSendRate, of.min_send_rate),
            (MinRecvRate, of.min_recv_rate),
            (MaxSendRate, of.max_send_rate),
            (MaxRecvRate, of.max_recv_rate),
            (GroupConnLimit, positive(of.group_conn_limit)),
            (RetransmitNotifyThreshold, positive(of.retransmit_notify_threshold)),
        ] {
            if number == Some(0) {
                conflicts.push(PropertyConflict::Zero(property.into()));
            }
        }
        let lifetime = Property::from(MessageProperty::Lifetime);
        for (property, time, max) in [
            (ConnTimeout.into(), of.conn_timeout, MAX_TIMEOUT),
            (KeepAliveTimeout.into(), of.keep_alive_timeout, MAX_TIMEOUT),
            (UserTimeoutValue.into(), of.user_timeout.value, MAX_USER_TIMEOUT),
            (lifetime, self.message.lifetime(), Duration::MAX),
        ] {
            match time {
                Some(time) if time.is_zero() => conflicts.push(PropertyConflict::Zero(property)),
                Some(time) if time > max => conflicts.push(PropertyConflict::TooLong { property, max }),
                _ => {}
            }
        }
        let bounds = [
            (MinSendRate, of.min_send_rate, MaxSendRate, of.max_send_rate),
            (MinRecvRate, of.min_recv_rate, MaxRecvRate, of.max_recv_rate),
        ];
        for (min, least, max, greatest) in bounds {
            if least.zip(greatest).is_some_and(|(least, greatest)| least > greatest) {
                conflicts.push(PropertyConflict::Rates { min, max });
            }
        }
    }
}

fn two_required<'a>(
    property: Property,
    set: impl Iterator<Item = (&'a String, Preference)>,
) -> Option<PropertyConflict> {
    let mut required = set.filter(|(_, preference)| *preference == Preference::Require).map(|(name, _)| name.clone());
    Some(PropertyConflict::TwoRequired { property, one: required.next()?, other: required.next()? })
}
