//! Requests to Qpid's C++ broker, which knows its management as QMF2: messages of maps to an exchange, and answers from
//! another one.

use super::{Binding, Management, ManagementError, NodeKind};
use crate::options::random_uuid;
use crate::types::{Body, ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use crate::{Message, Node};

/// The filter of a topic by subject, `apache.org:legacy-amqp-topic-binding:string`.
const TOPIC_BINDING: u64 = 0x0000_468C_0000_0001;
const REQUESTS: &str = "qmf.default.direct";
const ANSWERS: &str = "qmf.default.topic";
const AGENT: &str = "org.apache.qpid.broker:broker:amqp-broker";

pub(super) fn requests() -> Node {
    topic(REQUESTS)
}

/// Where this client's answers come from, under a subject that nobody else has, and what a request says of it.
pub(super) fn answers() -> (Node, String) {
    let subject = format!("direct.{}", random_uuid());
    let filters = vec![("subject".into(), Value::described(TOPIC_BINDING, subject.as_str()))];
    (Node { filters, ..topic(ANSWERS) }, format!("{ANSWERS}/{subject}"))
}

fn topic(name: &str) -> Node {
    Node { capabilities: vec!["topic".into()], ..Node::at(name) }
}

pub(super) async fn declare(
    management: &mut Management,
    kind: NodeKind,
    name: &str,
    properties: &Fields,
) -> Result<bool, ManagementError> {
    if describe(management, kind, name).await?.is_some() {
        return Ok(false);
    }
    let properties = properties.0.iter().map(|(key, value)| (key.as_str().unwrap_or_default(), value.clone()));
    method(management, "create", &kind.to_string(), name, properties.collect()).await?;
    Ok(true)
}

pub(super) async fn describe(
    management: &mut Management,
    kind: NodeKind,
    name: &str,
) -> Result<Option<Fields>, ManagementError> {
    let Some(found) = object(management, &format!("{kind}:{name}")).await? else { return Ok(None) };
    let mut told = Map::default();
    let mode = match kind {
        NodeKind::Queue => "move",
        NodeKind::Exchange => "copy",
    };
    told.insert(Symbol::from_static("supported-dist-modes"), mode);
    for (theirs, ours) in
        [("durable", "durable"), ("autoDelete", "auto-delete"), ("exclusive", "exclusive"), ("type", "exchange-type")]
    {
        if let Some(value) = found.get_str(theirs) {
            told.insert(Symbol::from_static(ours), text_or(value));
        }
    }
    let alternate = found.get_str("altExchange").and_then(|other| as_map(other)?.get_str("_object_name"));
    if let Some(name) = alternate.map(text_or).as_ref().and_then(|name| name.as_str()?.rsplit(':').next()) {
        told.insert(Symbol::from_static("alternate-exchange"), name);
    }
    for (name, value) in found.get_str("arguments").and_then(as_map).into_iter().flatten() {
        if let Some(name) = name.as_str().and_then(|name| Symbol::new(name.to_owned())) {
            told.insert(name, text_or(value));
        }
    }
    Ok(Some(Fields(told)))
}

pub(super) async fn delete(management: &mut Management, kind: NodeKind, name: &str) -> Result<bool, ManagementError> {
    if describe(management, kind, name).await?.is_none() {
        return Ok(false);
    }
    method(management, "delete", &kind.to_string(), name, Map::default()).await?;
    Ok(true)
}

pub(super) async fn bind(management: &mut Management, binding: &Binding) -> Result<(), ManagementError> {
    let name = binding_name(binding)?;
    method(management, "create", "binding", &name, binding.arguments.clone()).await
}

pub(super) async fn unbind(management: &mut Management, binding: &Binding) -> Result<(), ManagementError> {
    let name = binding_name(binding)?;
    if is_bound(management, binding).await? {
        method(management, "delete", "binding", &name, Map::default()).await?;
    }
    Ok(())
}

pub(super) async fn is_bound(management: &mut Management, binding: &Binding) -> Result<bool, ManagementError> {
    let Binding { exchange, queue, key, .. } = binding;
    let key = key.as_deref().unwrap_or_default();
    let name = format!("binding:org.apache.qpid.broker:exchange:{exchange},org.apache.qpid.broker:queue:{queue},{key}");
    Ok(object(management, &name).await?.is_some())
}

/// The broker takes a binding's name apart at its slashes, and has no way to quote one.
fn binding_name(binding: &Binding) -> Result<String, ManagementError> {
    let parts = [&*binding.exchange, &*binding.queue, binding.key.as_deref().unwrap_or_default()];
    if parts.iter().any(|part| part.contains('/')) {
        let text = "this broker makes no bindings with a slash in exchange, queue or key";
        return Err(ManagementError::Refused(PeerError::new(ErrorCondition::NOT_IMPLEMENTED, text)));
    }
    Ok(parts.join("/"))
}

async fn method(
    management: &mut Management,
    method: &str,
    kind: &str,
    name: &str,
    properties: Map,
) -> Result<(), ManagementError> {
    let detail = if method == "create" { "properties" } else { "options" };
    let arguments =
        Map::from_iter([("type", Value::from(kind)), ("name", Value::from(name)), (detail, Value::from(properties))]);
    let agent = Map::from_iter([("_object_name", AGENT)]);
    let content = Map::from_iter([
        ("_object_id", Value::from(agent)),
        ("_method_name", Value::from(method)),
        ("_arguments", Value::from(arguments)),
    ]);
    ask(management, "method", content).await.map(drop)
}

/// The values of a managed object.
async fn object(management: &mut Management, name: &str) -> Result<Option<Map>, ManagementError> {
    let id = Map::from_iter([("_object_name", format!("org.apache.qpid.broker:{name}"))]);
    let content = Map::from_iter([("_what", Value::from("OBJECT")), ("_object_id", Value::from(id))]);
    let answer = ask(management, "query", content).await?;
    let (Body::Value(Value::List(objects)) | Body::Sequence(objects)) = answer.body() else {
        return Err(ManagementError::Answer("list"));
    };
    let Some(object) = objects.first() else { return Ok(None) };
    let values = as_map(object).and_then(|object| as_map(object.get_str("_values")?));
    values.cloned().map(Some).ok_or(ManagementError::Answer("_values"))
}

async fn ask(management: &mut Management, what: &str, content: Map) -> Result<Message, ManagementError> {
    let request = Message::from(content)
        .with_subject("broker")
        .with_property("method", "request")
        .with_property("qmf.opcode", format!("_{what}_request"))
        .with_property("x-amqp-0-10.app-id", "qmf2");
    let (answer, _) = management.request(request).await?;
    let code = answer.property("qmf.opcode").map(text_or);
    match code.as_ref().and_then(Value::as_str) {
        Some("_exception") => Err(ManagementError::Refused(exception(&answer))),
        Some(code) if code == format!("_{what}_response") => Ok(answer),
        _ => Err(ManagementError::Answer("qmf.opcode")),
    }
}

fn exception(answer: &Message) -> PeerError {
    let content = answer.value().and_then(as_map);
    let values = content.and_then(|content| as_map(content.get_str("_values")?));
    let text = values.and_then(|values| values.get_str("error_text")).map(text_or);
    let text = text.as_ref().and_then(Value::as_str).unwrap_or("refused without a reason");
    // The broker has a number for each kind of failure of a method, and none for what failed: its words tell.
    let condition = match text {
        _ if text.contains("not-found") || text.contains("not found") => ErrorCondition::NOT_FOUND,
        _ if text.contains("already exists") => ErrorCondition::PRECONDITION_FAILED,
        _ if text.contains("unauthorized") => ErrorCondition::UNAUTHORIZED_ACCESS,
        _ if text.contains("not-allowed") || text.contains("reserved") => ErrorCondition::NOT_ALLOWED,
        _ => ErrorCondition::INTERNAL_ERROR,
    };
    PeerError::new(condition, text)
}

/// The broker writes some texts as octets.
fn text_or(value: &Value) -> Value {
    match value {
        Value::Binary(bytes) => std::str::from_utf8(bytes).map_or_else(|_| value.clone(), Value::from),
        _ => value.clone(),
    }
}

fn as_map(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}
