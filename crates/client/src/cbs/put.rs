//! Requests to the node: `put-token` and `delete-token`.

use std::time::{Duration, UNIX_EPOCH};

use super::{CbsError, Token};
use crate::options::random_uuid;
use crate::redirect::Dialed;
use crate::requester::{RequestOptions, Requester};
use crate::types::{Body, Timestamp, Value};
use crate::{Connection, Message, Node, RedirectCredentials};

/// The most octets of an answer, and the most answers that are taken ahead.
const ANSWER: u64 = 64 * 1024;
const ANSWERS: u32 = 10;

/// Attaches to the node on a session of its own. Answers come from the node itself, to the address that our end of
/// the link has: so Azure wants it.
pub(super) async fn attach(connection: &Connection, address: &str, timeout: Duration) -> Result<Requester, CbsError> {
    let session = connection.session().await.map_err(CbsError::of_attach)?;
    let own = format!("cbs-{}", random_uuid());
    let mut options = RequestOptions { timeout, reply_node: Node::at(address), ..RequestOptions::default() };
    (options.sender.timeout, options.receiver.timeout) = (timeout, timeout);
    (options.receiver.prefetch, options.receiver.max_message_size) = (ANSWERS, ANSWER);
    options.receiver.own_address = Some(own.clone());
    options.reply_to = Some(own);
    session.requester_with(address, options).await.map_err(CbsError::of_attach)
}

/// Whether a token may be shown to the peer of a connection.
pub(super) fn may_go(connection: &Connection) -> Result<(), CbsError> {
    let dialed = connection.inner.shared.with(|state| state.dialed.clone());
    dialed.as_ref().map_or(Err(CbsError::Insecure), may_go_where)
}

pub(super) fn may_go_where(dialed: &Dialed) -> Result<(), CbsError> {
    let Dialed { base, followed, .. } = dialed;
    if !base.is_secure() && !base.allow_insecure_mechs {
        return Err(CbsError::Insecure);
    }
    if *followed > 0 && base.redirect_credentials != RedirectCredentials::Forward {
        return Err(CbsError::Redirected);
    }
    Ok(())
}

pub(super) async fn put(requester: &Requester, audience: &str, token: &Token) -> Result<(), CbsError> {
    let body = Body::Value(Value::from(token.text.expose()));
    let mut request = request("put-token", audience, &token.kind, body);
    if let Some(life) = token.expires.and_then(|expires| expires.duration_since(UNIX_EPOCH).ok()) {
        request.set_property("expiration", Timestamp(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)));
    }
    ask(requester, request).await
}

pub(super) async fn delete(requester: &Requester, audience: &str, kind: &str) -> Result<(), CbsError> {
    match ask(requester, request("delete-token", audience, kind, Body::Value(Value::Null))).await {
        // What is not there is deleted.
        Err(CbsError::NotFound(_)) => Ok(()),
        result => result,
    }
}

fn request(operation: &str, audience: &str, kind: &str, body: Body) -> Message {
    Message::from(body)
        .with_property("operation", operation)
        .with_property("type", kind)
        .with_property("name", audience)
}

async fn ask(requester: &Requester, request: Message) -> Result<(), CbsError> {
    let answer = requester.request(request).await?;
    // Some write it in one word.
    let told = |name, other| answer.property(name).or_else(|| answer.property(other));
    let status = told("status-code", "statusCode").and_then(Value::as_i64).ok_or(CbsError::Answer("status-code"))?;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let description = told("status-description", "statusDescription").and_then(Value::as_str).unwrap_or_default();
    Err(CbsError::of_status(status, description.to_owned()))
}
