//! What a selector can name of a message, read when it is first asked for.

use std::cell::OnceCell;
use std::fmt::Write as _;

use postroad_codec::v1_0::{Header, MessageFormat, PropertiesRef, SectionsRef, ValueRef};

use super::machine::Value;
use super::{Candidate, MAX_PROPERTIES};
use crate::properties;

/// A part of a message that has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    MessageId,
    CorrelationId,
    Subject,
    To,
    ReplyTo,
    Priority,
    DeliveryMode,
    Durable,
    Redelivered,
    DeliveryCount,
    /// The failed deliveries and the one that is about to be.
    Deliveries,
    CreationTime,
    AbsoluteExpiryTime,
    GroupId,
    GroupSequence,
    UserId,
    JmsType,
}

/// Their names: those of JMS by its mapping to AMQP, and those that the C++ broker knows.
const NAMES: [(&str, Field); 27] = [
    ("JMSCorrelationID", Field::CorrelationId),
    ("JMSDeliveryMode", Field::DeliveryMode),
    ("JMSDestination", Field::To),
    ("JMSExpiration", Field::AbsoluteExpiryTime),
    ("JMSMessageID", Field::MessageId),
    ("JMSPriority", Field::Priority),
    ("JMSRedelivered", Field::Redelivered),
    ("JMSReplyTo", Field::ReplyTo),
    ("JMSTimestamp", Field::CreationTime),
    ("JMSType", Field::Subject),
    ("JMSXDeliveryCount", Field::Deliveries),
    ("JMSXGroupID", Field::GroupId),
    ("JMSXGroupSeq", Field::GroupSequence),
    ("JMSXUserID", Field::UserId),
    ("amqp.absolute_expiry_time", Field::AbsoluteExpiryTime),
    ("amqp.correlation_id", Field::CorrelationId),
    ("amqp.creation_time", Field::CreationTime),
    ("amqp.delivery_count", Field::DeliveryCount),
    ("amqp.delivery_mode", Field::DeliveryMode),
    ("amqp.durable", Field::Durable),
    ("amqp.jms_type", Field::JmsType),
    ("amqp.message_id", Field::MessageId),
    ("amqp.priority", Field::Priority),
    ("amqp.redelivered", Field::Redelivered),
    ("amqp.reply_to", Field::ReplyTo),
    ("amqp.subject", Field::Subject),
    ("amqp.to", Field::To),
];

impl Field {
    /// The field of this name; any other is the name of an application property.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }
}

/// The priority of a message whose header has none (AMQP 1.0 part 3, 3.2.1).
const DEFAULT_PRIORITY: u8 = 4;

/// Binary ids that are longer are unknown.
const MAX_OCTETS: usize = 4096;

/// A message that is looked at.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    candidate: Candidate<'a>,
    /// The application properties that are asked for, in order.
    names: &'a [Box<str>],
    sections: OnceCell<Option<SectionsRef<'a>>>,
    header: OnceCell<Option<Header>>,
    properties: OnceCell<Option<PropertiesRef<'a>>>,
    application: OnceCell<[ValueRef<'a>; MAX_PROPERTIES]>,
    jms_type: OnceCell<ValueRef<'a>>,
    message_id: OnceCell<IdText>,
    correlation_id: OnceCell<IdText>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(candidate: Candidate<'a>, names: &'a [Box<str>]) -> Self {
        Self {
            candidate,
            names,
            sections: OnceCell::new(),
            header: OnceCell::new(),
            properties: OnceCell::new(),
            application: OnceCell::new(),
            jms_type: OnceCell::new(),
            message_id: OnceCell::new(),
            correlation_id: OnceCell::new(),
        }
    }

    /// The value of a field. What is absent or cannot be read is unknown.
    pub(super) fn field(&self, field: Field) -> Value<'_> {
        let text = |text: Option<&'a str>| text.map_or(Value::Unknown, Value::Text);
        let Some(header) = self.header() else { return Value::Unknown };
        let properties = || self.properties().unwrap_or_default();
        let count = || header.delivery_count.unwrap_or(0).saturating_add(self.candidate.failures);
        let durable = header.durable == Some(true);
        match field {
            Field::Priority => Value::Exact(header.priority.unwrap_or(DEFAULT_PRIORITY).into()),
            Field::Durable => Value::Bool(durable),
            Field::DeliveryMode => Value::Text(if durable { "PERSISTENT" } else { "NON_PERSISTENT" }),
            Field::Redelivered => Value::Bool(count() > 0),
            Field::DeliveryCount => Value::Exact(count().into()),
            Field::Deliveries => Value::Exact(i64::from(count()) + 1),
            Field::MessageId => id(properties().message_id, &self.message_id),
            Field::CorrelationId => id(properties().correlation_id, &self.correlation_id),
            Field::Subject => text(properties().subject),
            Field::To => text(properties().to),
            Field::ReplyTo => text(properties().reply_to),
            Field::GroupId => text(properties().group_id),
            Field::UserId => text(properties().user_id.and_then(written)),
            Field::GroupSequence => {
                properties().group_sequence.map_or(Value::Unknown, |sequence| Value::Exact(sequence.0.into()))
            }
            // In JMS these are numbers that are there always, and zero where nothing was set.
            Field::CreationTime => Value::Exact(properties().creation_time.map_or(0, |time| time.0)),
            Field::AbsoluteExpiryTime => match properties().absolute_expiry_time {
                Some(time) => Value::Exact(time.0),
                // When its ttl is over depends on when it came, which nobody has told.
                None if header.ttl.is_some() => Value::Unknown,
                None => Value::Exact(0),
            },
            Field::JmsType => value_of(*self.jms_type.get_or_init(|| {
                let annotations = self.sections().and_then(|sections| sections.message_annotations().ok().flatten());
                properties::find(annotations, "jms-type").unwrap_or_default()
            })),
        }
    }

    /// The value of an application property, by its place among the names.
    pub(super) fn property(&self, index: usize) -> Value<'_> {
        value_of(self.application.get_or_init(|| self.find())[index])
    }

    /// Goes through the application properties once, for all names.
    fn find(&self) -> [ValueRef<'a>; MAX_PROPERTIES] {
        let mut found = [None; MAX_PROPERTIES];
        let mut missing = self.names.len();
        let map = self.sections().and_then(|sections| sections.application_properties().ok().flatten());
        for (key, value) in properties::entries(map) {
            let Ok(index) = self.names.binary_search_by(|name| (**name).cmp(key)) else { continue };
            // Of two with one name the first counts.
            if found[index].is_none() {
                found[index] = Some(value);
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        found.map(Option::unwrap_or_default)
    }

    fn header(&self) -> Option<&Header> {
        let read = || Some(self.sections()?.header().ok()?.unwrap_or_default());
        self.header.get_or_init(read).as_ref()
    }

    fn properties(&self) -> Option<PropertiesRef<'a>> {
        *self.properties.get_or_init(|| self.sections()?.properties().ok().flatten())
    }

    fn sections(&self) -> Option<&SectionsRef<'a>> {
        let Candidate { payload, format, .. } = self.candidate;
        let find = || (format == MessageFormat(0)).then(|| SectionsRef::find(payload).ok()).flatten();
        self.sections.get_or_init(find).as_ref()
    }
}

/// A value as selectors know it: there are numbers, texts and truth values alone.
fn value_of(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Boolean(value) => Value::Bool(value),
        ValueRef::Float(value) => Value::Approx(value.into()),
        ValueRef::Double(value) => Value::Approx(value),
        ValueRef::Timestamp(time) => Value::Exact(time.0),
        ValueRef::String(text) | ValueRef::Symbol(text) => Value::Text(text),
        ValueRef::Ulong(value) => i64::try_from(value).map_or(Value::Approx(value as f64), Value::Exact),
        other => other.as_i64().map_or(Value::Unknown, Value::Exact),
    }
}

/// Octets as text. They are looked at whenever they are asked for, so that many are none.
fn written(octets: &[u8]) -> Option<&str> {
    Some(octets).filter(|octets| octets.len() <= MAX_OCTETS).and_then(|octets| std::str::from_utf8(octets).ok())
}

/// An id as text. One that is none is written as text where it stays until the message is done with.
fn id<'a>(id: Option<ValueRef<'a>>, made: &'a OnceCell<IdText>) -> Value<'a> {
    match id {
        Some(ValueRef::String(text)) => Value::Text(text),
        Some(ValueRef::Binary(octets)) => written(octets).map_or(Value::Unknown, Value::Text),
        Some(other) => Value::Text(made.get_or_init(|| IdText::of(other)).as_str()),
        None => Value::Unknown,
    }
}

/// A number or a UUID as text.
#[derive(Debug)]
struct IdText {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl IdText {
    /// A UUID takes the most.
    const MAX: usize = 36;

    fn of(id: ValueRef<'_>) -> Self {
        let mut text = Self { bytes: [0; Self::MAX], length: 0 };
        // What is written has room.
        let _ = match id {
            ValueRef::Ulong(number) => write!(text, "{number}"),
            ValueRef::Uuid(uuid) => write!(text, "{uuid}"),
            _ => Ok(()),
        };
        text
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl std::fmt::Write for IdText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = self.length + part.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}
