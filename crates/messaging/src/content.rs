//! What a message holds, as its content type says, and whom it wants answered.

use postroad_address::{Address, NodeType, OptionMap, OptionValue};
use postroad_client::types::{Body, Bytes, Map, Symbol, Value};
use postroad_client::{Message, ToSend};

/// The content of a message as a program of the original sees it.
///
/// ```
/// use postroad_messaging::{Content, Message, MessageExt};
///
/// let message = Message::from("hello");
/// assert_eq!(message.content(), Ok(Content::Text("hello")));
/// assert_eq!(message.inferred_content_type(), Some("text/plain"));
/// let message = Message::from(b"hello".to_vec()).with_content_type("text/plain");
/// assert_eq!(message.content(), Ok(Content::Text("hello")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// There is none.
    Empty,
    /// Text: a string, or octets whose content type says that they are text.
    Text(&'a str),
    /// Octets.
    Bytes(&'a Bytes),
    /// Octets in several parts.
    Parts(&'a [Bytes]),
    /// A map.
    Map(&'a Map),
    /// A list.
    List(&'a [Value]),
    /// Lists in several parts.
    Lists(&'a [Vec<Value>]),
    /// Any other value.
    Value(&'a Value),
}

/// Why content and content type do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A message that is to be sent. It was not.
    #[doc(alias = "EncodeError")]
    #[error("content of the type {content_type:?} must be {wanted}")]
    Encode {
        /// The content type.
        content_type: String,
        /// What it stands for.
        wanted: &'static str,
    },
    /// A message that came.
    #[doc(alias = "DecodeError")]
    #[error("content of the type {content_type:?} is not {wanted}")]
    Decode {
        /// The content type.
        content_type: String,
        /// What it stands for.
        wanted: &'static str,
    },
}

impl ContentError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Encode { .. } => "set the content that the type stands for, or leave the content type out",
            Self::Decode { .. } => "read the octets with `bytes`, or have the sender name the type that they are",
        }
    }
}

/// The types of content that are more than a name for octets.
const MAP: &str = "amqp/map";
const LIST: &str = "amqp/list";
const TEXT: &str = "text/plain";

/// What content must be under its type, where that is known.
fn wanted(content_type: &str) -> Option<&'static str> {
    Some(match content_type {
        MAP => "a map",
        LIST => "a list",
        _ if is_text(content_type) => "text in UTF-8",
        _ => return None,
    })
}

fn is_text(content_type: &str) -> bool {
    matches!(content_type, TEXT | "text/plain; charset=utf8" | "text/plain; charset=utf-8" | "text/plain;charset=utf-8")
}

/// What the original's messages tell beside what [`Message`] has by itself.
pub trait MessageExt {
    /// The content as its type says: octets under `text/plain` are text.
    ///
    /// # Errors
    /// [`ContentError::Decode`] when content and type do not go together.
    #[doc(alias = "getContentObject")]
    fn content(&self) -> Result<Content<'_>, ContentError>;

    /// The content type, or the one that the content implies: `amqp/map`, `amqp/list` and `text/plain` for maps, lists and
    /// strings, none for octets. What is implied is not sent: AMQP 1.0 tells the type of a value by itself (part 3, 3.2.4).
    #[doc(alias = "content_type")]
    fn inferred_content_type(&self) -> Option<&str>;

    /// The address for answers, with its subject and its node's type as far as they came along; a sender can be made
    /// to what it displays as.
    #[doc(alias = "reply_to")]
    #[doc(alias = "getReplyTo")]
    fn reply_address(&self) -> Option<Address>;

    /// Asks for answers to an address. Its name travels, with the subject behind a `/` where the node is a topic; the type of
    /// the node goes beside it as the annotation `x-opt-jms-reply-to`. A queue does not choose by subject, so it loses that.
    #[doc(alias = "setReplyTo")]
    fn set_reply_address(&mut self, address: &Address);
}

/// How clients of JMS tell what kind of node a reply-to names (AMQP JMS mapping): 0 is a queue, 1 a topic, 2 and 3 are
/// temporary ones.
const REPLY_TO_KIND: Symbol = Symbol::from_static("x-opt-jms-reply-to");

impl MessageExt for Message {
    fn content(&self) -> Result<Content<'_>, ContentError> {
        let content_type = self.content_type().unwrap_or("");
        let content = match self.body() {
            Body::Empty => Content::Empty,
            Body::Data(bytes) if is_text(content_type) => match std::str::from_utf8(bytes) {
                Ok(text) => Content::Text(text),
                Err(_) => return Err(mismatch(content_type)),
            },
            Body::Data(bytes) | Body::Value(Value::Binary(bytes)) => Content::Bytes(bytes),
            Body::DataSections(parts) => Content::Parts(parts),
            Body::Sequence(values) | Body::Value(Value::List(values)) => Content::List(values),
            Body::Sequences(lists) => Content::Lists(lists),
            Body::Value(Value::String(text)) => Content::Text(text),
            Body::Value(Value::Map(map)) => Content::Map(map),
            Body::Value(Value::Null) => Content::Empty,
            Body::Value(value) => Content::Value(value),
        };
        if fits(content_type, &content) { Ok(content) } else { Err(mismatch(content_type)) }
    }

    fn inferred_content_type(&self) -> Option<&str> {
        self.content_type().or_else(|| match self.body() {
            Body::Value(Value::Map(_)) => Some(MAP),
            Body::Value(Value::List(_)) | Body::Sequence(_) => Some(LIST),
            Body::Value(Value::String(_)) => Some(TEXT),
            _ => None,
        })
    }

    fn reply_address(&self) -> Option<Address> {
        let text = self.reply_to()?;
        let kind = self.annotations().and_then(|annotations| annotations.0.get_str(REPLY_TO_KIND.as_str()));
        if !kind.is_some_and(|kind| matches!(kind, Value::Byte(1 | 3) | Value::Ubyte(1 | 3))) {
            return Some(Address::new(text));
        }
        // As the original's C++ client reads it: one slash, and not in front.
        let mut address = match text.split_once('/') {
            Some((name, subject)) if !name.is_empty() && !subject.contains('/') => {
                Address::new(name).with_subject(subject)
            }
            _ => Address::new(text),
        };
        let (mut node, mut options) = (OptionMap::new(), OptionMap::new());
        node.insert("type", NodeType::Topic.as_str());
        options.insert("node", node);
        address.options = Some(options);
        Some(address)
    }

    fn set_reply_address(&mut self, address: &Address) {
        let topic = node_type(address) == Some(NodeType::Topic.as_str());
        let subject = address.subject.as_deref().filter(|subject| topic && !subject.is_empty());
        match subject {
            Some(subject) => self.set_reply_to(format!("{}/{subject}", address.name)),
            None => self.set_reply_to(address.name.as_str()),
        }
        let mut annotations = self.annotations().cloned().unwrap_or_default();
        annotations.0.remove(&Value::Symbol(REPLY_TO_KIND));
        if topic {
            annotations.0.insert(Value::Symbol(REPLY_TO_KIND), 1_i8);
        }
        if topic || self.annotations().is_some() {
            self.set_annotations(annotations);
        }
    }
}

/// Refuses a message whose content is not what its type says, and has a reply-to that was given as an address with options
/// say what it means on the wire.
pub(crate) fn prepare(to_send: &mut ToSend<'_>) -> Result<(), ContentError> {
    let message = to_send.message();
    if let Some(content_type) = message.content_type() {
        // What can be read as its type can be sent as it, too.
        message.content().map_err(|_| ContentError::Encode {
            content_type: content_type.to_owned(),
            wanted: wanted(content_type).unwrap_or_default(),
        })?;
    }
    let reply_to = message.reply_to().filter(|text| text.contains(';'));
    if let Some(address) = reply_to.and_then(|text| Address::parse(text).ok()) {
        to_send.to_mut().set_reply_address(&address);
    }
    Ok(())
}

fn fits(content_type: &str, content: &Content<'_>) -> bool {
    match content_type {
        MAP => matches!(content, Content::Map(_) | Content::Empty),
        LIST => matches!(content, Content::List(_) | Content::Lists(_) | Content::Empty),
        _ if is_text(content_type) => matches!(content, Content::Text(_) | Content::Empty),
        _ => true,
    }
}

fn mismatch(content_type: &str) -> ContentError {
    let wanted = wanted(content_type).unwrap_or_default();
    ContentError::Decode { content_type: content_type.to_owned(), wanted }
}

fn node_type(address: &Address) -> Option<&str> {
    match address.options.as_ref()?.get("node")? {
        OptionValue::Map(node) => node.get("type")?.as_str(),
        _ => None,
    }
}
