//! Requests to `$management` (AMQP Management 1.0, and the operations on exchanges that Qpid's Java broker has beside it).

use super::{Binding, Management, ManagementError, NodeKind};
use crate::Message;
use crate::types::{Body, ErrorCondition, Fields, Map, PeerError, Symbol, Value};

pub(super) const ADDRESS: &str = "$management";

pub(super) async fn declare(
    management: &mut Management,
    kind: NodeKind,
    name: &str,
    properties: Fields,
) -> Result<bool, ManagementError> {
    let attributes =
        properties.0.0.into_iter().map(|(key, value)| (Value::from(key.as_str().unwrap_or_default()), value));
    let answer = ask(management, "CREATE", kind, name, Map(attributes.collect())).await?;
    Ok(answer.status == 201 || answer.again)
}

pub(super) async fn describe(
    management: &mut Management,
    kind: NodeKind,
    name: &str,
) -> Result<Option<Fields>, ManagementError> {
    match ask(management, "READ", kind, name, Map::default()).await {
        Ok(Answer { body: Body::Value(Value::Map(map)), .. }) => {
            let symbol = |key: &Value| Symbol::new(key.as_str()?.to_owned()).map(Value::Symbol);
            let told = map.0.into_iter().filter_map(|(key, value)| Some((symbol(&key)?, value)));
            Ok(Some(Fields(told.collect())))
        }
        Ok(_) => Err(ManagementError::Answer("map")),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) async fn delete(management: &mut Management, kind: NodeKind, name: &str) -> Result<bool, ManagementError> {
    match ask(management, "DELETE", kind, name, Map::default()).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn bind(management: &mut Management, binding: &Binding) -> Result<(), ManagementError> {
    about(management, "bind", binding).await.map(drop)
}

pub(super) async fn unbind(management: &mut Management, binding: &Binding) -> Result<(), ManagementError> {
    match about(management, "unbind", binding).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

pub(super) async fn is_bound(management: &mut Management, binding: &Binding) -> Result<bool, ManagementError> {
    match about(management, "isBound", binding).await?.body {
        Body::Value(Value::Boolean(bound)) => Ok(bound),
        _ => Err(ManagementError::Answer("boolean")),
    }
}

async fn about(management: &mut Management, operation: &str, binding: &Binding) -> Result<Answer, ManagementError> {
    let mut body = Map::default();
    body.insert("destination", binding.queue.as_str());
    if let Some(key) = &binding.key {
        body.insert("bindingKey", key.as_str());
    }
    if !binding.arguments.is_empty() {
        body.insert("arguments", binding.arguments.clone());
    }
    ask(management, operation, NodeKind::Exchange, &binding.exchange, body).await
}

struct Answer {
    status: i64,
    body: Body,
    /// It is that of a request that was made again.
    again: bool,
}

async fn ask(
    management: &mut Management,
    operation: &str,
    kind: NodeKind,
    name: &str,
    body: Map,
) -> Result<Answer, ManagementError> {
    let kind = match kind {
        NodeKind::Queue => "org.apache.qpid.Queue",
        NodeKind::Exchange => "org.apache.qpid.Exchange",
    };
    let request = Message::from(body)
        .with_property("operation", operation)
        .with_property("type", kind)
        .with_property("name", name);
    let (answer, again) = management.request(request).await?;
    let status = answer.property("statusCode").and_then(Value::as_i64).ok_or(ManagementError::Answer("statusCode"))?;
    if (200..300).contains(&status) {
        return Ok(Answer { status, body: answer.body().clone(), again });
    }
    let description = answer.property("statusDescription").and_then(Value::as_str).unwrap_or_default();
    Err(ManagementError::Refused(PeerError::new(condition(status), description)))
}

/// What a status says in the standard's words.
fn condition(status: i64) -> ErrorCondition {
    match status {
        400 => ErrorCondition::INVALID_FIELD,
        401 => ErrorCondition::UNAUTHORIZED_ACCESS,
        403 => ErrorCondition::NOT_ALLOWED,
        404 => ErrorCondition::NOT_FOUND,
        409 => ErrorCondition::PRECONDITION_FAILED,
        413 | 507 => ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
        423 => ErrorCondition::RESOURCE_LOCKED,
        501 => ErrorCondition::NOT_IMPLEMENTED,
        _ => ErrorCondition::INTERNAL_ERROR,
    }
}
