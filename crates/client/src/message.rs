//! A message, as both faces know it.

use std::time::Duration;

use bytes::Bytes;
use postroad_codec::v1_0::{
    self as codec, Address, Annotations, ApplicationProperties, ByteString, DecodeError, DeliveryAnnotations,
    DeliveryTag, Header, Map, MessageAnnotations, MessageFormat, MessageId, Milliseconds, Properties, SequenceNo,
    Symbol, Timestamp, Value,
};

use crate::disposition::Origin;
use crate::types::Body;

/// A message (AMQP 1.0 part 3, 3.2): what the sender wrote, and what is known of its way.
///
/// ```
/// use std::time::Duration;
/// use postroad_client::Message;
///
/// let message = Message::from("hello").with_subject("greeting").with_ttl(Duration::from_secs(60));
/// assert_eq!(message.text(), Some("hello"));
/// assert_eq!(message.subject(), Some("greeting"));
/// assert_eq!(message.priority(), 4);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Message {
    inner: codec::Message,
    format: MessageFormat,
    origin: Option<Origin>,
}

/// Content from this size on is not copied beside the sections in front of it: the engine takes it as it is.
const LARGE: usize = 256;

impl Message {
    /// A message without content.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The encoded message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.inner.to_bytes()
    }

    /// Reads an encoded message.
    ///
    /// # Errors
    /// When the bytes are no message.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        Ok(Self { inner: codec::Message::from_bytes(bytes)?, ..Self::default() })
    }

    /// Appends the message, except for large content, which it answers with.
    #[inline]
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) -> Option<&Bytes> {
        self.inner.encode_apart(LARGE, out)
    }

    /// The sections in front of the content.
    pub(crate) fn encode_front(&self) -> Bytes {
        codec::Message { body: Body::Empty, footer: None, ..self.inner.clone() }.to_bytes()
    }

    /// A message of which the sections are still to be read.
    pub(crate) fn front_of(origin: Origin, format: MessageFormat) -> Self {
        Self { inner: codec::Message::default(), format, origin: Some(origin) }
    }

    /// Reads the sections in front of the content, or the whole message where its content is no data.
    pub(crate) fn read_front(&mut self, bytes: &Bytes) -> Result<(), DecodeError> {
        self.inner = codec::Message::from_bytes(bytes)?;
        Ok(())
    }

    /// Reads what stands behind the content: nothing but a footer may.
    pub(crate) fn read_footer(&mut self, bytes: &Bytes) -> Result<(), DecodeError> {
        let mut behind = codec::Message::from_bytes(bytes)?;
        let footer = behind.footer.take();
        if behind != codec::Message::default() {
            return Err(codec::Reader::new(bytes).error("section", codec::DecodeErrorKind::SectionOrder));
        }
        self.inner.footer = footer;
        Ok(())
    }

    /// Notes where a message that was made elsewhere came from.
    #[cfg(test)]
    pub(crate) fn came_from(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// Reads a message that has come, where it is to stay.
    #[inline]
    pub(crate) fn read_received(
        &mut self,
        payload: Bytes,
        format: MessageFormat,
        origin: Origin,
    ) -> Result<(), DecodeError> {
        (self.format, self.origin) = (format, Some(origin));
        if format == MessageFormat(0) {
            return self.inner.read(&payload);
        }
        // Another format than the standard's: its bytes are the content.
        self.inner = codec::Message::new(Body::Data(payload));
        Ok(())
    }

    /// An answer to this message, without content: to the node that it names for replies, with its correlation id, or else
    /// its id, as the correlation id, and in the group that it names for replies. A message without
    /// [`reply_to`](Message::reply_to) has an answer without an address.
    ///
    /// ```
    /// use postroad_client::Message;
    ///
    /// let request = Message::from("France").with_id("7").with_reply_to("answers");
    /// let mut answer = request.reply();
    /// answer.set_body("Paris");
    /// assert_eq!((answer.address(), answer.correlation_id()), (Some("answers"), request.id()));
    /// ```
    #[must_use]
    pub fn reply(&self) -> Self {
        let mut reply = Self::new();
        if let Some(asked) = self.props() {
            let answer = reply.props_mut();
            answer.to.clone_from(&asked.reply_to);
            answer.correlation_id = asked.correlation_id.as_ref().or(asked.message_id.as_ref()).cloned();
            answer.group_id.clone_from(&asked.reply_to_group_id);
        }
        reply
    }

    /// Where the message came from; none for a message that was made here.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.origin
    }

    #[inline]
    pub(crate) fn origin_ref(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    pub(crate) fn message_format(&self) -> MessageFormat {
        self.format
    }

    /// The tag of the delivery that brought the message; none for a message that was made here.
    #[must_use]
    pub fn delivery_tag(&self) -> Option<DeliveryTag> {
        self.origin.map(|origin| origin.tag)
    }

    /// Whether the sender had settled the message as it sent it, so that it needs no answer.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.origin.is_some_and(|origin| origin.is_settled())
    }

    /// The content.
    #[must_use]
    #[doc(alias = "content")]
    pub fn body(&self) -> &Body {
        &self.inner.body
    }

    /// Sets the content.
    #[doc(alias = "inferred")]
    pub fn set_body(&mut self, body: impl Into<Body>) {
        self.inner.body = body.into();
    }

    /// The content, where it is one text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.inner.body {
            Body::Value(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The content, where it is octets: one data section, or a binary value.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.inner.body {
            Body::Data(bytes) | Body::Value(Value::Binary(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The content, where it is one value.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match &self.inner.body {
            Body::Value(value) => Some(value),
            _ => None,
        }
    }

    fn props(&self) -> Option<&Properties> {
        self.inner.properties.as_deref()
    }

    fn props_mut(&mut self) -> &mut Properties {
        self.inner.properties.get_or_insert_default()
    }

    fn header_mut(&mut self) -> &mut Header {
        self.inner.header.get_or_insert_default()
    }

    /// Whether losing the message must be unlikely.
    #[must_use]
    pub fn durable(&self) -> bool {
        self.inner.header.as_ref().and_then(|header| header.durable).unwrap_or(false)
    }

    /// What the message says of it, if it does: without that it counts as not durable.
    #[must_use]
    pub fn explicit_durable(&self) -> Option<bool> {
        self.inner.header.as_ref()?.durable
    }

    /// Sets whether losing the message must be unlikely.
    pub fn set_durable(&mut self, durable: bool) {
        self.header_mut().durable = Some(durable);
    }

    /// 0 to 255, higher is sooner; 4 unless it was set.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.inner.header.as_ref().and_then(|header| header.priority).unwrap_or(4)
    }

    /// Sets the priority.
    pub fn set_priority(&mut self, priority: u8) {
        self.header_mut().priority = Some(priority);
    }

    /// How long the message is of use.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        let ttl = self.inner.header.as_ref()?.ttl?;
        Some(Duration::from_millis(ttl.0.into()))
    }

    /// Sets how long the message is of use, in whole milliseconds up to 49 days.
    pub fn set_ttl(&mut self, ttl: Duration) {
        self.header_mut().ttl = Some(Milliseconds(u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX)));
    }

    /// Whether no other link has acquired the message before.
    #[must_use]
    pub fn first_acquirer(&self) -> bool {
        self.inner.header.as_ref().and_then(|header| header.first_acquirer).unwrap_or(false)
    }

    /// Sets whether no other link has acquired the message before: a node's to say.
    pub fn set_first_acquirer(&mut self, first: bool) {
        self.header_mut().first_acquirer = Some(first);
    }

    /// Earlier attempts to deliver the message that failed.
    #[must_use]
    pub fn delivery_count(&self) -> u32 {
        self.inner.header.as_ref().and_then(|header| header.delivery_count).unwrap_or(0)
    }

    /// Sets how many attempts to deliver the message have failed: a node's to say.
    pub fn set_delivery_count(&mut self, attempts: u32) {
        self.header_mut().delivery_count = Some(attempts);
    }

    /// Whether an earlier attempt to deliver the message failed.
    #[must_use]
    pub fn redelivered(&self) -> bool {
        self.delivery_count() > 0
    }

    /// The application's properties.
    #[must_use]
    #[doc(alias = "application_properties")]
    pub fn properties(&self) -> Option<&Map> {
        self.inner.application_properties.as_deref()
    }

    /// A property of the application.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties()?.get_str(name)
    }

    /// Sets a property of the application.
    pub fn set_property(&mut self, name: impl Into<ByteString>, value: impl Into<Value>) {
        let properties = self.inner.application_properties.get_or_insert_with(ApplicationProperties::default);
        properties.insert(name.into(), value);
    }

    /// Takes a property out.
    pub fn remove_property(&mut self, name: &str) -> Option<Value> {
        self.inner.application_properties.as_mut()?.0.remove(&Value::from(name))
    }

    /// As [`Message::set_property`], in a chain.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<ByteString>, value: impl Into<Value>) -> Self {
        self.set_property(name, value);
        self
    }

    /// Annotations for the next hop.
    #[must_use]
    pub fn instructions(&self) -> Option<&Annotations> {
        self.inner.delivery_annotations.as_deref()
    }

    /// Sets the annotations for the next hop.
    pub fn set_instructions(&mut self, annotations: Annotations) {
        self.inner.delivery_annotations = Some(DeliveryAnnotations(annotations));
    }

    /// Annotations for every hop.
    #[must_use]
    pub fn annotations(&self) -> Option<&Annotations> {
        self.inner.message_annotations.as_deref()
    }

    /// Sets the annotations for every hop.
    pub fn set_annotations(&mut self, annotations: Annotations) {
        self.inner.message_annotations = Some(MessageAnnotations(annotations));
    }

    /// Annotations behind the body.
    #[must_use]
    pub fn footer(&self) -> Option<&Annotations> {
        self.inner.footer.as_deref()
    }

    /// Sets the annotations behind the body.
    pub fn set_footer(&mut self, annotations: Annotations) {
        self.inner.footer = Some(codec::Footer(annotations));
    }
}

/// Getter, setter and builder of a field of the properties section.
macro_rules! properties {
    (impl Message; $(
        $(#[$meta:meta])*
        fn $name:ident, fn $set:ident, fn $with:ident: $field:ident as $ty:ty => $get_ty:ty, $get:expr;
    )*) => {
        impl Message {
            $(
                $(#[$meta])*
                #[must_use]
                pub fn $name(&self) -> Option<$get_ty> {
                    self.props()?.$field.as_ref().map($get)
                }

                #[doc = concat!("Sets [`Message::", stringify!($name), "`].")]
                pub fn $set(&mut self, value: impl Into<$ty>) {
                    self.props_mut().$field = Some(value.into());
                }

                #[doc = concat!("As [`Message::", stringify!($set), "`], in a chain.")]
                #[must_use]
                #[inline]
                pub fn $with(mut self, value: impl Into<$ty>) -> Self {
                    self.$set(value);
                    self
                }
            )*
        }
    };
}

properties! {
    impl Message;
    /// What names the message.
    fn id, fn set_id, fn with_id: message_id as MessageId => &MessageId, |id| id;
    /// The user who made it.
    fn user_id, fn set_user_id, fn with_user_id: user_id as Bytes => &[u8], |id| id.as_ref();
    /// The node that it is meant for.
    #[doc(alias = "to")]
    fn address, fn set_address, fn with_address: to as Address => &str, |address| &**address;
    /// What it is about.
    fn subject, fn set_subject, fn with_subject: subject as ByteString => &str, |subject| &**subject;
    /// The node to which replies go.
    fn reply_to, fn set_reply_to, fn with_reply_to: reply_to as Address => &str, |address| &**address;
    /// The message that it belongs to.
    fn correlation_id, fn set_correlation_id, fn with_correlation_id:
        correlation_id as MessageId => &MessageId, |id| id;
    /// When it expires.
    fn expiry_time, fn set_expiry_time, fn with_expiry_time:
        absolute_expiry_time as Timestamp => Timestamp, |time| *time;
    /// When it was made.
    fn creation_time, fn set_creation_time, fn with_creation_time:
        creation_time as Timestamp => Timestamp, |time| *time;
    /// The group that it is part of.
    fn group_id, fn set_group_id, fn with_group_id: group_id as ByteString => &str, |id| &**id;
    /// The group for replies.
    fn reply_to_group_id, fn set_reply_to_group_id, fn with_reply_to_group_id:
        reply_to_group_id as ByteString => &str, |id| &**id;
}

impl Message {
    /// The media type of its data.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.props()?.content_type.as_deref()
    }

    /// Sets the media type of its data. A text that is not ASCII is no media type and is left out.
    pub fn set_content_type(&mut self, content_type: impl Into<ByteString>) {
        self.props_mut().content_type = Symbol::new(content_type);
    }

    /// As [`Message::set_content_type`], in a chain.
    #[must_use]
    pub fn with_content_type(mut self, content_type: impl Into<ByteString>) -> Self {
        self.set_content_type(content_type);
        self
    }

    /// The coding of its data.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&str> {
        self.props()?.content_encoding.as_deref()
    }

    /// Sets the coding of its data. A text that is not ASCII is no coding and is left out.
    pub fn set_content_encoding(&mut self, content_encoding: impl Into<ByteString>) {
        self.props_mut().content_encoding = Symbol::new(content_encoding);
    }

    /// Its place in its group.
    #[must_use]
    pub fn group_sequence(&self) -> Option<u32> {
        Some(self.props()?.group_sequence?.0)
    }

    /// Sets its place in its group.
    pub fn set_group_sequence(&mut self, sequence: u32) {
        self.props_mut().group_sequence = Some(SequenceNo(sequence));
    }

    /// As [`Message::set_durable`], in a chain.
    #[must_use]
    #[inline]
    pub fn with_durable(mut self, durable: bool) -> Self {
        self.set_durable(durable);
        self
    }

    /// As [`Message::set_priority`], in a chain.
    #[must_use]
    #[inline]
    pub fn with_priority(mut self, priority: u8) -> Self {
        self.set_priority(priority);
        self
    }

    /// As [`Message::set_ttl`], in a chain.
    #[must_use]
    #[inline]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.set_ttl(ttl);
        self
    }
}

/// Two messages are equal when their sections are; how they came does not count.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner && self.format == other.format
    }
}

impl<T: Into<Body>> From<T> for Message {
    #[inline]
    fn from(body: T) -> Self {
        Self { inner: codec::Message::new(body.into()), ..Self::default() }
    }
}
