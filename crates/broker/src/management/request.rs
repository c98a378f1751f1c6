//! What a message to `$management` asks for.

use bytes::Bytes;
use postroad_codec::v1_0::{
    ApplicationProperties, Body, ByteString, DecodeError, Error, ErrorCondition, Map, MessageFormat, MessageId,
    Sections, Value,
};

use crate::node_error::{Fault, NodeError};

/// One request, each part of the right type.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) operation: ByteString,
    /// The type of the entity, as it is called.
    pub(super) entity: ByteString,
    pub(super) name: ByteString,
    pub(super) body: Map,
}

/// Where the answer goes, and what it belongs to.
#[derive(Debug, PartialEq)]
pub(super) struct Envelope {
    pub(super) reply_to: ByteString,
    pub(super) correlation_id: Option<MessageId>,
}

impl Request {
    /// Reads a request. The outer error is for what cannot be answered, the inner one is the answer.
    pub(super) fn read(payload: Bytes, format: MessageFormat) -> Result<(Envelope, Result<Self, NodeError>), Error> {
        if format != MessageFormat(0) {
            return Err(Error::new(ErrorCondition::NOT_IMPLEMENTED, "requests are messages of format 0"));
        }
        let malformed = |error: DecodeError| Error::new(ErrorCondition::DECODE_ERROR, error.to_string());
        let sections = Sections::find(payload).map_err(malformed)?;
        let properties = sections.properties().map_err(malformed)?.unwrap_or_default();
        let Some(reply_to) = properties.reply_to.filter(|address| !address.is_empty()) else {
            return Err(Error::new(ErrorCondition::INVALID_FIELD, "a request needs a reply-to"));
        };
        let correlation_id = properties.correlation_id.or(properties.message_id);
        Ok((Envelope { reply_to: reply_to.0, correlation_id }, Self::of(&sections)))
    }

    fn of(sections: &Sections) -> Result<Self, NodeError> {
        let malformed = |error: DecodeError| NodeError::invalid(format!("malformed: {error}"));
        let properties = sections.application_properties().map_err(malformed)?.unwrap_or_default();
        let operation = required(&properties, "operation")?;
        let entity = required(&properties, "type")?;
        let name = required(&properties, "name")?;
        let body = match sections.body().map_err(malformed)? {
            Body::Value(Value::Map(map)) => map,
            Body::Value(Value::Null) | Body::Empty => Map::default(),
            _ => return Err(NodeError::invalid("the body is no amqp-value with a map")),
        };
        Ok(Self { operation, entity, name, body })
    }

    /// A part of the body that is a text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, NodeError> {
        match self.part(key) {
            None => Ok(None),
            Some(value) => {
                value.as_str().map(Some).ok_or_else(|| NodeError::invalid(format!("{key}: a string is due")))
            }
        }
    }

    /// A part of the body that is a boolean; one that is left out is `false`.
    pub(super) fn boolean(&self, key: &str) -> Result<bool, NodeError> {
        match self.part(key) {
            None => Ok(false),
            Some(Value::Boolean(yes)) => Ok(*yes),
            Some(_) => Err(NodeError::invalid(format!("{key}: a boolean is due"))),
        }
    }

    /// A part of the body that is a map.
    pub(super) fn map(&self, key: &str) -> Result<Option<&Map>, NodeError> {
        match self.part(key) {
            None => Ok(None),
            Some(Value::Map(map)) => Ok(Some(map)),
            Some(_) => Err(NodeError::invalid(format!("{key}: a map is due"))),
        }
    }

    fn part(&self, key: &str) -> Option<&Value> {
        self.body.get_str(key).filter(|value| **value != Value::Null)
    }

    /// Refuses a body with keys that mean nothing here.
    pub(super) fn allow(&self, keys: &[&str]) -> Result<(), NodeError> {
        let odd = self.body.iter().find(|(key, _)| !key.as_str().is_some_and(|key| keys.contains(&key)));
        match odd {
            None => Ok(()),
            Some((key, _)) => {
                let text = format!("{:?} means nothing for {}", key.as_str().unwrap_or_default(), &*self.operation);
                Err(NodeError::new(Fault::Invalid, text))
            }
        }
    }
}

fn required(properties: &ApplicationProperties, name: &str) -> Result<ByteString, NodeError> {
    match properties.0.get_str(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(NodeError::invalid(format!("the application property {name:?} is no string"))),
        None => Err(NodeError::invalid(format!("there is no application property {name:?}"))),
    }
}
