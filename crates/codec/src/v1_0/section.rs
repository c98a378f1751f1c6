//! The sections of a message (AMQP 1.0 part 3, 3.2).

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    Address, Composite as _, Decode, DecodeError, DecodeErrorKind, Encode, Map, Milliseconds, Reader, SequenceNo,
    Symbol, Timestamp, Typed, Uuid, Value, code, schema,
};

composite! {
    /// Delivery details that intermediaries may change (3.2.1).
    pub struct Header = "header", "amqp:header:list", 0x70;
    /// Whether losing the message must be unlikely; absent means no.
    durable: Option<bool> => "durable" optional;
    /// 0 to 255, higher is sooner; absent means 4.
    priority: Option<u8> => "priority" optional;
    /// How long the message is of use.
    ttl: Option<Milliseconds> => "ttl" optional;
    /// Whether no other link has acquired the message before.
    first_acquirer: Option<bool> => "first-acquirer" optional;
    /// Earlier attempts that failed; absent means 0.
    delivery_count: Option<u32> => "delivery-count" optional;
}
composite! {
    /// Properties that stay as the sender wrote them (3.2.4).
    pub struct Properties = "properties", "amqp:properties:list", 0x73;
    /// Names the message.
    message_id: Option<MessageId> => "message-id" optional;
    /// The user who made it.
    user_id: Option<Bytes> => "user-id" optional;
    /// The node that it is meant for.
    to: Option<Address> => "to" optional;
    /// What it is about.
    subject: Option<ByteString> => "subject" optional;
    /// The node to which replies go.
    reply_to: Option<Address> => "reply-to" optional;
    /// The message that it belongs to.
    correlation_id: Option<MessageId> => "correlation-id" optional;
    /// The media type of its data (RFC 2046).
    content_type: Option<Symbol> => "content-type" optional;
    /// The coding of its data (RFC 2616).
    content_encoding: Option<Symbol> => "content-encoding" optional;
    /// When it expires.
    absolute_expiry_time: Option<Timestamp> => "absolute-expiry-time" optional;
    /// When it was made.
    creation_time: Option<Timestamp> => "creation-time" optional;
    /// The group that it is part of.
    group_id: Option<ByteString> => "group-id" optional;
    /// Its place in the group.
    group_sequence: Option<SequenceNo> => "group-sequence" optional;
    /// The group for replies.
    reply_to_group_id: Option<ByteString> => "reply-to-group-id" optional;
}

/// The id of a message or of a correlation (3.2.11 to 3.2.14).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the primitive type of its name")]
// Its discriminant is a word, so that values are copied in words: odd pieces would stall whoever reads them.
#[repr(u64)]
pub enum MessageId {
    Ulong(u64),
    Uuid(Uuid),
    Binary(Bytes),
    String(ByteString),
}

impl Encode for MessageId {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ulong(id) => id.encode(out),
            Self::Uuid(id) => id.encode(out),
            Self::Binary(id) => id.encode(out),
            Self::String(id) => id.encode(out),
        }
    }
    fn encoded_len(&self) -> usize {
        match self {
            Self::Ulong(id) => id.encoded_len(),
            Self::Uuid(id) => id.encoded_len(),
            Self::Binary(id) => id.encoded_len(),
            Self::String(id) => id.encoded_len(),
        }
    }
}

impl Decode for MessageId {
    fn decode_as(code: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match code {
            code::ULONG | code::SMALLULONG | code::ULONG0 => u64::decode_as(code, reader).map(Self::Ulong),
            code::UUID => Uuid::decode_as(code, reader).map(Self::Uuid),
            code::VBIN8 | code::VBIN32 => Bytes::decode_as(code, reader).map(Self::Binary),
            code::STR8 | code::STR32 => ByteString::decode_as(code, reader).map(Self::String),
            other => Err(reader.error("message-id", DecodeErrorKind::Constructor(other))),
        }
    }
}

impl Typed for MessageId {
    const TYPE: &'static str = "*";
    const REQUIRES: Option<&'static str> = Some("message-id");
}

impl From<MessageId> for Value {
    fn from(id: MessageId) -> Self {
        match id {
            MessageId::Ulong(id) => Self::Ulong(id),
            MessageId::Uuid(id) => Self::Uuid(id),
            MessageId::Binary(id) => Self::Binary(id),
            MessageId::String(id) => Self::String(id),
        }
    }
}

macro_rules! message_id_from {
    ($($ty:ty => $variant:ident),*) => {
        $(impl From<$ty> for MessageId {
            fn from(id: $ty) -> Self {
                Self::$variant(id.into())
            }
        })*
    };
}

message_id_from! { u64 => Ulong, Uuid => Uuid, Bytes => Binary, Vec<u8> => Binary, ByteString => String, String => String, &str => String }

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ulong(id) => id.fmt(f),
            Self::Uuid(id) => id.fmt(f),
            Self::Binary(id) => id.escape_ascii().fmt(f),
            Self::String(id) => f.write_str(id),
        }
    }
}

restricted! {
    /// A map from symbols or ulongs to values (3.2.10).
    pub struct Annotations(Map) = "annotations", "map";
}

macro_rules! map_section {
    ($(#[$meta:meta])* $name:ident($inner:ty) = $xml:literal, $source:literal, $symbol:literal, $code:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name(pub $inner);

        impl $name {
            pub(crate) const SCHEMA: &'static schema::Restricted = &schema::Restricted {
                name: $xml,
                source: $source,
                descriptor: Some(($symbol, $code)),
                choices: &[],
            };
        }

        impl std::ops::Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl std::ops::DerefMut for $name {
            fn deref_mut(&mut self) -> &mut $inner {
                &mut self.0
            }
        }

        impl From<$inner> for $name {
            fn from(inner: $inner) -> Self {
                Self(inner)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                super::composite::put_descriptor($code, out);
                self.0.encode(out);
            }
            fn encoded_len(&self) -> usize {
                3 + self.0.encoded_len()
            }
        }
    };
}

map_section! {
    /// Annotations for the next hop (3.2.2).
    DeliveryAnnotations(Annotations) =
        "delivery-annotations", "annotations", "amqp:delivery-annotations:map", 0x71
}
map_section! {
    /// Annotations for every hop (3.2.3).
    MessageAnnotations(Annotations) =
        "message-annotations", "annotations", "amqp:message-annotations:map", 0x72
}
map_section! {
    /// Properties of the application (3.2.5): string keys, simple values.
    ApplicationProperties(Map) =
        "application-properties", "map", "amqp:application-properties:map", 0x74
}
map_section! {
    /// What can be said only once the whole message is known (3.2.9).
    Footer(Annotations) = "footer", "annotations", "amqp:footer:map", 0x78
}

pub(crate) const DATA: &schema::Restricted =
    &schema::Restricted { name: "data", source: "binary", descriptor: Some(("amqp:data:binary", 0x75)), choices: &[] };
pub(crate) const AMQP_SEQUENCE: &schema::Restricted = &schema::Restricted {
    name: "amqp-sequence",
    source: "list",
    descriptor: Some(("amqp:amqp-sequence:list", 0x76)),
    choices: &[],
};
pub(crate) const AMQP_VALUE: &schema::Restricted = &schema::Restricted {
    name: "amqp-value",
    source: "*",
    descriptor: Some(("amqp:amqp-value:*", 0x77)),
    choices: &[],
};

/// The code of the section that starts here; its value is what comes next.
pub(crate) fn section_code(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let first = reader.u8("section")?;
    if first != code::DESCRIBED {
        return Err(reader.error("section", DecodeErrorKind::Constructor(first)));
    }
    let by_symbol = |symbol: &str| {
        if symbol == Header::SCHEMA.descriptor {
            return Some(Header::SCHEMA.code);
        }
        if symbol == Properties::SCHEMA.descriptor {
            return Some(Properties::SCHEMA.code);
        }
        [
            DeliveryAnnotations::SCHEMA,
            MessageAnnotations::SCHEMA,
            ApplicationProperties::SCHEMA,
            DATA,
            AMQP_SEQUENCE,
            AMQP_VALUE,
            Footer::SCHEMA,
        ]
        .iter()
        .filter_map(|schema| schema.descriptor)
        .find(|(name, _)| *name == symbol)
        .map(|(_, code)| code)
    };
    match super::composite::descriptor("section", by_symbol, reader)? {
        code @ 0x70..=0x78 => Ok(code),
        _ => Err(reader.error("section", DecodeErrorKind::Descriptor)),
    }
}
