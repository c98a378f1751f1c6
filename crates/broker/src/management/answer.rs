//! What a request is answered.

use postroad_codec::v1_0::{Address, ApplicationProperties, Body, Message, Properties, Value};

use super::request::Envelope;
use crate::error::clip_text;
use crate::node_error::{Fault, NodeError};

/// An answer; its codes are those of HTTP.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: i32,
    pub(super) description: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn new(status: i32, description: impl Into<String>, body: impl Into<Value>) -> Self {
        Self { status, description: description.into(), body: body.into() }
    }

    pub(super) fn of_error(error: &NodeError) -> Self {
        let status = match error.fault {
            Fault::Invalid => 400,
            Fault::NotAllowed => 403,
            Fault::NotFound | Fault::Deleted => 404,
            Fault::Conflict => 409,
            Fault::Locked => 423,
            Fault::NotImplemented => 501,
            Fault::Limit => 507,
        };
        Self::new(status, clip_text(&error.text.clone().into()).to_string(), Value::Null)
    }

    pub(super) fn message(self, envelope: &Envelope) -> Message {
        let properties = Properties {
            to: Some(Address(envelope.reply_to.clone())),
            correlation_id: envelope.correlation_id.clone(),
            ..Properties::default()
        };
        let mut application_properties = ApplicationProperties::default();
        application_properties.0.insert("statusCode", Value::Int(self.status));
        application_properties.0.insert("statusDescription", Value::from(self.description));
        Message {
            properties: Some(Box::new(properties)),
            application_properties: Some(application_properties),
            body: Body::Value(self.body),
            ..Message::default()
        }
    }
}
