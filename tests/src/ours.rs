//! Our own client as the interop suites use it: bounded in time, and messages in the typed form.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use postroad_client::{ConnectError, ConnectOptions, Connection, Message, Receiver};
use serde_json::Value as Json;
use tokio::runtime::Builder;

use crate::typed;

/// How long one call on a peer that works may take, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Runs a test on the calling thread, which may block on peers: connections have a thread of their own.
///
/// # Panics
/// When the test takes two minutes.
pub fn run(test: impl Future<Output = ()>) {
    const LIMIT: Duration = Duration::from_secs(120);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts");
    runtime.block_on(async { tokio::time::timeout(LIMIT, test).await.expect("the test ends in time") });
}

/// Waits for something that comes soon.
///
/// # Panics
/// When it does not come within [`SOON`].
#[track_caller]
pub fn soon<F: Future>(what: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move { tokio::time::timeout(SOON, what).await.unwrap_or_else(|_| panic!("{caller}: nothing within {SOON:?}")) }
}

/// The options of a connection to a peer of these suites, which has no secrets: a password may go without TLS. One that
/// is lost is over: those that are made anew are looked at by themselves.
///
/// # Panics
/// When `url` is none.
#[must_use]
pub fn options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url.parse().expect("a URL"));
    options.allow_insecure_mechs = true;
    options.reconnect = None;
    options
}

/// Opens a connection with [`options`].
///
/// # Errors
/// As [`Connection::open`].
pub async fn connect(url: &str) -> Result<Connection, ConnectError> {
    soon(Connection::open(options(url))).await
}

/// A message of the typed form.
///
/// # Panics
/// When `json` is none.
#[must_use]
pub fn message(json: &Json) -> Message {
    let bytes = typed::message_from_json(json).expect("a typed message");
    Message::decode(&Bytes::from(bytes)).expect("what we have encoded is a message")
}

/// The typed form of a message.
///
/// # Panics
/// When the message has no such form.
#[must_use]
pub fn typed_form(message: &Message) -> Json {
    typed::message_to_json(&message.encode()).expect("sections of a message")
}

/// Receives `count` messages and accepts each.
///
/// # Panics
/// When one does not come soon.
pub async fn take(receiver: &mut Receiver, count: usize) -> Vec<Message> {
    let mut messages = Vec::with_capacity(count);
    for index in 0..count {
        let message = soon(receiver.receive()).await.unwrap_or_else(|error| panic!("message {index}: {error}"));
        receiver.accept(&message).unwrap_or_else(|_| panic!("message {index}: {:?}", receiver.error()));
        messages.push(message);
    }
    messages
}
