//! A message with every section read (AMQP 1.0 part 3, 3.2).

use bytes::Bytes;
use bytestring::ByteString;

use super::composite::put_descriptor;
use super::compound::decode_list;
use super::primitive::put_variable_head;
use super::section::section_code;
use super::{
    Annotations, ApplicationProperties, Decode, DecodeError, DecodeErrorKind, DeliveryAnnotations, Encode, Footer,
    Header, Map, MessageAnnotations, Properties, Reader, Value, code,
};

/// A message in the format of part 3 (message-format 0).
///
/// ```
/// use postroad_codec::v1_0::{Body, Message, Properties};
/// let mut message = Message::from("hello");
/// message.properties = Some(Box::new(Properties { subject: Some("greeting".into()), ..Properties::default() }));
/// let bytes = message.to_bytes();
/// assert_eq!(Message::from_bytes(&bytes)?, message);
/// # Ok::<(), postroad_codec::v1_0::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// Delivery details.
    pub header: Option<Header>,
    /// Annotations for the next hop.
    pub delivery_annotations: Option<DeliveryAnnotations>,
    /// Annotations for every hop.
    pub message_annotations: Option<MessageAnnotations>,
    /// Properties that stay as they are.
    pub properties: Option<Box<Properties>>,
    /// Properties of the application.
    pub application_properties: Option<ApplicationProperties>,
    /// The content.
    pub body: Body,
    /// Annotations behind the body.
    pub footer: Option<Footer>,
}

/// The body of a message: data sections, sequence sections, or one value.
#[derive(Debug, Clone, PartialEq, Default)]
// Its discriminant is a word, so that values are copied in words: odd pieces would stall whoever reads them.
#[repr(u64)]
pub enum Body {
    /// No section. The standard wants a body; peers leave it out all the same.
    #[default]
    Empty,
    /// One data section.
    Data(Bytes),
    /// Data sections other than one.
    DataSections(Vec<Bytes>),
    /// One sequence section.
    Sequence(Vec<Value>),
    /// Sequence sections other than one.
    Sequences(Vec<Vec<Value>>),
    /// A value section.
    Value(Value),
}

impl Message {
    /// A message with a body and nothing else.
    #[must_use]
    pub fn new(body: Body) -> Self {
        Self { body, ..Self::default() }
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// When the bytes are no message: a section that is malformed, unknown, twice or out of order.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        message.read(bytes)?;
        Ok(message)
    }

    /// Reads a whole message, where it is to stay: a message is large to be handed through. What was here goes.
    ///
    /// # Errors
    /// As [`Message::from_bytes`]; sections in front of the fault have been read then.
    pub fn read(&mut self, bytes: &Bytes) -> Result<(), DecodeError> {
        *self = Self::default();
        let mut reader = Reader::new(bytes);
        let (message, reader) = (self, &mut reader);
        let mut last = 0;
        while !reader.is_empty() {
            let code = section_code(reader)?;
            // Only data and sequence sections may repeat.
            let repeats = code == last && matches!(code, 0x75 | 0x76);
            let other_body = matches!(last, 0x75..=0x77) && matches!(code, 0x75..=0x77);
            if !repeats && (code <= last || other_body) {
                return Err(reader.error("section", DecodeErrorKind::SectionOrder));
            }
            match code {
                0x70 => message.header = Some(Header::decode_fields(reader)?),
                0x71 => message.delivery_annotations = Some(DeliveryAnnotations(Annotations::decode(reader)?)),
                0x72 => message.message_annotations = Some(MessageAnnotations(Annotations::decode(reader)?)),
                0x73 => message.properties.insert(Box::default()).read_fields(reader)?,
                0x74 => message.application_properties = Some(ApplicationProperties(Map::decode(reader)?)),
                0x75 => message.body.push_data(Bytes::decode(reader)?),
                0x76 => {
                    let code = reader.u8("amqp-sequence")?;
                    message.body.push_sequence(decode_list(code, reader)?);
                }
                0x77 => message.body = Body::Value(Value::decode(reader)?),
                _ => message.footer = Some(Footer(Annotations::decode(reader)?)),
            }
            last = code;
        }
        Ok(())
    }

    /// Appends the message up to the octets of its data section, and answers with those, where they end the message and
    /// are `least` bytes or more: whoever writes them behind `out` need not copy them. Otherwise appends all of it.
    ///
    /// ```
    /// use postroad_codec::v1_0::Message;
    /// let message = Message::from(vec![7; 1000]);
    /// let mut out = Vec::new();
    /// let content = message.encode_apart(500, &mut out).expect("1000 bytes are enough");
    /// assert_eq!([&out[..], &content[..]].concat(), message.to_bytes());
    /// ```
    pub fn encode_apart(&self, least: usize, out: &mut Vec<u8>) -> Option<&Bytes> {
        match &self.body {
            Body::Data(content) if self.footer.is_none() && content.len() >= least => {
                self.encode_front(out);
                put_descriptor(0x75, out);
                put_variable_head(content.len(), code::VBIN8, code::VBIN32, out);
                Some(content)
            }
            _ => {
                self.encode(out);
                None
            }
        }
    }

    /// Appends the sections in front of the body.
    fn encode_front(&self, out: &mut Vec<u8>) {
        if let Some(header) = &self.header {
            header.encode(out);
        }
        if let Some(annotations) = &self.delivery_annotations {
            annotations.encode(out);
        }
        if let Some(annotations) = &self.message_annotations {
            annotations.encode(out);
        }
        if let Some(properties) = &self.properties {
            properties.encode(out);
        }
        if let Some(properties) = &self.application_properties {
            properties.encode(out);
        }
    }

    /// The encoded message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode(&mut out);
        out.into()
    }
}

impl Encode for Message {
    fn encode(&self, out: &mut Vec<u8>) {
        self.encode_front(out);
        self.body.encode(out);
        if let Some(footer) = &self.footer {
            footer.encode(out);
        }
    }

    fn encoded_len(&self) -> usize {
        self.header.as_ref().map_or(0, Encode::encoded_len)
            + self.delivery_annotations.as_ref().map_or(0, Encode::encoded_len)
            + self.message_annotations.as_ref().map_or(0, Encode::encoded_len)
            + self.properties.as_ref().map_or(0, Encode::encoded_len)
            + self.application_properties.as_ref().map_or(0, Encode::encoded_len)
            + self.body.encoded_len()
            + self.footer.as_ref().map_or(0, Encode::encoded_len)
    }
}

impl Body {
    fn push_data(&mut self, data: Bytes) {
        *self = match std::mem::take(self) {
            Self::Data(first) => Self::DataSections(vec![first, data]),
            Self::DataSections(mut sections) => {
                sections.push(data);
                Self::DataSections(sections)
            }
            _ => Self::Data(data),
        };
    }

    fn push_sequence(&mut self, sequence: Vec<Value>) {
        *self = match std::mem::take(self) {
            Self::Sequence(first) => Self::Sequences(vec![first, sequence]),
            Self::Sequences(mut sections) => {
                sections.push(sequence);
                Self::Sequences(sections)
            }
            _ => Self::Sequence(sequence),
        };
    }
}

impl Encode for Body {
    fn encode(&self, out: &mut Vec<u8>) {
        let data = |bytes: &Bytes, out: &mut Vec<u8>| {
            put_descriptor(0x75, out);
            bytes.encode(out);
        };
        let sequence = |values: &[Value], out: &mut Vec<u8>| {
            put_descriptor(0x76, out);
            super::compound::put_list(values, out);
        };
        match self {
            Self::Empty => {}
            Self::Data(bytes) => data(bytes, out),
            Self::DataSections(sections) => sections.iter().for_each(|bytes| data(bytes, out)),
            Self::Sequence(values) => sequence(values, out),
            Self::Sequences(sections) => sections.iter().for_each(|values| sequence(values, out)),
            Self::Value(value) => {
                put_descriptor(0x77, out);
                value.encode(out);
            }
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Data(bytes) => 3 + bytes.encoded_len(),
            Self::DataSections(sections) => sections.iter().map(|bytes| 3 + bytes.encoded_len()).sum(),
            Self::Sequence(values) => 3 + super::compound::list_len(values),
            Self::Sequences(sections) => sections.iter().map(|values| 3 + super::compound::list_len(values)).sum(),
            Self::Value(value) => 3 + value.encoded_len(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Data(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Data(bytes.into())
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self::Data(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Value(text.into())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Value(text.into())
    }
}

impl From<ByteString> for Body {
    fn from(text: ByteString) -> Self {
        Self::Value(text.into())
    }
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<Map> for Body {
    fn from(map: Map) -> Self {
        Self::Value(map.into())
    }
}

impl<T: Into<Body>> From<T> for Message {
    fn from(body: T) -> Self {
        Self::new(body.into())
    }
}
