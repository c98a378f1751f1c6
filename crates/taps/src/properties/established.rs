//! What an established connection has (RFC 9622 6.2 and 8), and what its messages may ask of it (9.1.3).

use super::TransportProperties;
use super::connection::{ConnectionProperties, ConnectionStatus};
use super::error::PropertyError;
use super::kind::{Kind, Named};
use super::message::{MessageProperties, MessageProperty};
use super::names::Property;
use super::selection::SelectionProperty;
use super::value::PropertyValue;

/// The properties of an established connection: preferences read as what the protocol and path have.
///
/// Connection and message properties can still be changed, selection properties cannot.
///
/// ```
/// use postroad_taps::{PropertyError, PropertyValue, SelectionProperty, TransportProperties};
///
/// let wanted = TransportProperties::new().prefer(SelectionProperty::KeepAlive);
/// let mut properties = wanted.established(|property| property == SelectionProperty::Reliability);
/// assert!(properties.has(SelectionProperty::Reliability));
/// assert_eq!(properties.get("keepAlive"), Ok(PropertyValue::Boolean(false)));
/// assert_eq!(properties.set("keepAlive", true), Err(PropertyError::Established { name: "keepAlive" }));
/// assert_eq!(properties.set("connTimeout", 30), Ok(ConnectionProperty::ConnTimeout.into()));
/// # use postroad_taps::ConnectionProperty;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstablishedProperties {
    wanted: TransportProperties,
    has: [bool; SelectionProperty::ALL.len()],
    may_duplicate: bool,
    multipath: Option<bool>,
    status: Option<ConnectionStatus>,
}

impl TransportProperties {
    /// These properties on a connection whose protocol and path have what `has` tells.
    #[must_use]
    pub fn established(&self, has: impl Fn(SelectionProperty) -> bool) -> EstablishedProperties {
        EstablishedProperties {
            has: SelectionProperty::ALL.map(has),
            wanted: self.clone(),
            may_duplicate: false,
            multipath: None,
            status: None,
        }
    }
}

impl EstablishedProperties {
    /// Says that the protocol may deliver a message more than once, as UDP does: each must be safely replayable
    /// (RFC 9622 9.1.3.4).
    #[must_use]
    pub fn may_duplicate(mut self, may_duplicate: bool) -> Self {
        self.may_duplicate = may_duplicate;
        self
    }

    /// Says whether several paths may be in use; `multipath` reads as that Boolean then (RFC 9622 6.2).
    #[must_use]
    pub fn with_multipath(mut self, in_use: bool) -> Self {
        self.multipath = Some(in_use);
        self
    }

    /// Adds the read-only properties.
    #[must_use]
    pub fn with_status(mut self, status: ConnectionStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Whether the protocol or path has the property.
    #[must_use]
    pub fn has(&self, property: SelectionProperty) -> bool {
        self.has[property as usize]
    }

    /// What was asked for; its preferences are still preferences.
    #[must_use]
    pub fn transport(&self) -> &TransportProperties {
        &self.wanted
    }

    /// The connection properties.
    #[must_use]
    pub fn connection(&self) -> &ConnectionProperties {
        &self.wanted.connection
    }

    /// The connection properties, to change them.
    pub fn connection_mut(&mut self) -> &mut ConnectionProperties {
        &mut self.wanted.connection
    }

    /// The properties of messages that set none.
    #[must_use]
    pub fn message(&self) -> &MessageProperties {
        &self.wanted.message
    }

    /// The properties of messages that set none, to change them.
    pub fn message_mut(&mut self) -> &mut MessageProperties {
        &mut self.wanted.message
    }

    /// What the connection tells about itself, where that is known.
    #[must_use]
    pub fn status(&self) -> Option<&ConnectionStatus> {
        self.status.as_ref()
    }

    /// The value of the property of this name; a preference is a Boolean now.
    ///
    /// # Errors
    /// There is no such property, or it is a vendor's that was not set.
    pub fn get(&self, name: &str) -> Result<PropertyValue, PropertyError> {
        if let Some(value) = self.wanted.vendor(name) {
            return Ok(value.clone());
        }
        Ok(self.property(name.parse::<Property>()?))
    }

    /// The value of a property; a preference is a Boolean now.
    #[must_use]
    pub fn property(&self, property: impl Into<Property>) -> PropertyValue {
        let property = property.into();
        let value = match property {
            Property::Selection(property) => Some(self.has(property).into()),
            Property::Multipath => self.multipath.map(Into::into),
            Property::Connection(property) => self.status.as_ref().and_then(|status| status.get(property)),
            Property::Message(property) => self.wanted.message.get(property).or_else(|| match property {
                MessageProperty::Ordered => Some(self.has(SelectionProperty::PreserveOrder).into()),
                MessageProperty::Reliable => Some(self.has(SelectionProperty::Reliability).into()),
                MessageProperty::CapacityProfile => Some(Named::show(self.connection().capacity_profile)),
                _ => None,
            }),
            _ => None,
        };
        value.unwrap_or_else(|| self.wanted.property(property))
    }

    /// Sets the property of this name, and says which one it is, so that it can be applied to the transport and, where it is
    /// entangled, to the group.
    ///
    /// # Errors
    /// There is no such property, it is a selection property or read-only, or the value is not one of it. Nothing has
    /// changed then, and the connection lives on.
    pub fn set(&mut self, name: &str, value: impl Into<PropertyValue>) -> Result<Property, PropertyError> {
        let property: Property = name.parse()?;
        if property.is_selection() {
            return Err(PropertyError::Established { name: property.name() });
        }
        self.wanted.set_property(property, value)?;
        Ok(property)
    }

    /// The properties of a message on this connection: its own, then the connection's, then what the protocol does.
    ///
    /// # Errors
    /// The message asks for what the connection does not have. It must not be sent then.
    pub fn of_message(&self, message: &MessageProperties) -> Result<MessageProperties, MessagePropertyError> {
        let mut merged = message.or(&self.wanted.message);
        self.check(&merged)?;
        merged.set_ordered(merged.ordered().unwrap_or_else(|| self.has(SelectionProperty::PreserveOrder)));
        merged.set_reliable(merged.reliable().unwrap_or_else(|| self.has(SelectionProperty::Reliability)));
        merged.set_capacity_profile(merged.capacity_profile().unwrap_or_else(|| self.connection().capacity_profile));
        Ok(merged)
    }

    /// Whether a message of this length can leave in one packet where it must (RFC 9622 9.1.3.10).
    ///
    /// # Errors
    /// It must, and is longer than [`ConnectionStatus::singular_transmission_msg_max_len`].
    pub fn check_length(&self, message: &MessageProperties, length: u64) -> Result<(), MessagePropertyError> {
        let max = self.status.as_ref().and_then(|status| status.singular_transmission_msg_max_len);
        match max {
            Some(max) if message.no_segmentation() && length > max => {
                Err(MessagePropertyError::TooLongForOnePacket { length, max })
            }
            _ => Ok(()),
        }
    }

    fn check(&self, message: &MessageProperties) -> Result<(), MessagePropertyError> {
        let reliable = self.has(SelectionProperty::Reliability);
        match message.reliable() {
            Some(wanted) if wanted != reliable && !self.has(SelectionProperty::PerMsgReliability) => {
                return Err(if wanted {
                    MessagePropertyError::NotReliable
                } else {
                    MessagePropertyError::AlwaysReliable
                });
            }
            _ => {}
        }
        if message.ordered() == Some(true) && !self.has(SelectionProperty::PreserveOrder) {
            return Err(MessagePropertyError::NotOrdered);
        }
        if self.may_duplicate && !message.safely_replayable() {
            return Err(MessagePropertyError::NotSafelyReplayable);
        }
        Ok(())
    }
}

/// A message whose properties are not consistent with its connection (RFC 9622 9.1.3); it was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessagePropertyError {
    /// `msgReliable` is true, and the connection is not reliable.
    #[error("a reliable message on a connection that is not reliable")]
    NotReliable,
    /// `msgReliable` is false on a reliable connection without `perMsgReliability`.
    #[error("an unreliable message on a connection without per-message reliability: ask for `perMsgReliability`")]
    AlwaysReliable,
    /// `msgOrdered` is true, and the connection does not keep the order.
    #[error("an ordered message on a connection that does not keep the order")]
    NotOrdered,
    /// `safelyReplayable` is false, and the protocol may deliver a message more than once.
    #[error("a message that is not safely replayable over a protocol that may duplicate it")]
    NotSafelyReplayable,
    /// `noSegmentation` is true, and the message does not fit into one packet.
    #[error("a message of {length} bytes that must not be segmented: one packet has room for {max}")]
    TooLongForOnePacket {
        /// The length of the message, in bytes.
        length: u64,
        /// `singularTransmissionMsgMaxLen`, in bytes.
        max: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::ConnectionState;

    fn status() -> ConnectionStatus {
        ConnectionStatus {
            conn_state: ConnectionState::Established,
            can_send: true,
            can_receive: false,
            zero_rtt_msg_max_len: None,
            singular_transmission_msg_max_len: Some(1200),
            send_msg_max_len: Some(65_507),
            recv_msg_max_len: Some(0),
        }
    }

    /// RFC 9622 8.1.11.
    #[test]
    fn read_only_properties_read_what_the_connection_tells() {
        let properties = TransportProperties::new().established(|_| false).with_status(status());
        for (name, text) in [
            ("connState", "Established"),
            ("canSend", "true"),
            ("canReceive", "false"),
            ("zero-rtt-msg-max-len", "Not applicable"),
            ("singularTransmissionMsgMaxLen", "1200"),
            ("send-msg-max-len", "65507"),
            ("recvMsgMaxLen", "0"),
        ] {
            assert_eq!(properties.get(name).unwrap().to_string(), text, "{name}");
        }
    }

    /// Case 47, RFC 9622 9.1.3.10.
    #[test]
    fn what_must_leave_in_one_packet_has_to_fit() {
        let properties = TransportProperties::new().established(|_| false).with_status(status());
        let message = MessageProperties::default().with_no_segmentation(true);
        assert_eq!(properties.check_length(&message, 1200), Ok(()));
        let too_long = MessagePropertyError::TooLongForOnePacket { length: 1201, max: 1200 };
        assert_eq!(properties.check_length(&message, 1201), Err(too_long));
        assert_eq!(properties.check_length(&MessageProperties::default(), 1201), Ok(()));
        let unknown = TransportProperties::new().established(|_| false);
        assert_eq!(unknown.check_length(&message, 1201), Ok(()));
    }
}
