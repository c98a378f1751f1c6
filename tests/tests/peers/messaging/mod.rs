//! The face of qpid.messaging before other people's brokers: those of the original's tests that they can satisfy, under the names
//! that they have there, and an error for everything else that an address may ask for.
//!
//! The same tests run before our broker in `crates/messaging/tests/originals`. There the reaction of a broker is known to the
//! moment; here a message that is to come has time to do so.

/// Makes a test of each case for one broker; without the broker, a named skip.
macro_rules! originals {
    ($broker:ident, $($module:ident::{$($case:ident),+ $(,)?}),+ $(,)?) => {
        mod $broker {
            $($(
                #[test]
                fn $case() {
                    match super::brokers::$broker() {
                        Ok(broker) => postroad_tests::ours::run(async {
                            super::$module::$case(super::Base::at(broker, stringify!($case)).await).await;
                        }),
                        Err(skipped) => skipped.report(),
                    }
                }
            )+)+
        }
    };
}

mod brokers;
mod connections;
mod messages;
mod receivers;
mod refusals;
mod senders;
mod sessions;

use std::time::Duration;

use postroad_messaging::types::Map;
use postroad_messaging::{
    Connection, FetchError, LinkError, Message, MessageExt as _, Receiver, Sender, Session, SessionError,
};
use postroad_tests::ours::{SOON, soon};

use self::brokers::Broker;

originals! {
    rabbitmq,
    connections::{
        test_establish, test_open, test_open_reconnect_urls, test_session_anon, test_session_named, test_detach, test_close,
        test_simultaneous_close,
    },
    sessions::{
        test_sender, test_receiver, test_detached_receiver, test_next_receiver, test_acknowledge, test_acknowledge_async,
        test_acknowledge_async_ack_cap0, test_acknowledge_async_ack_cap1, test_acknowledge_async_ack_cap5,
        test_acknowledge_async_ack_cap_unlimited, test_release, test_reject,
        test_session_close,
    },
    receivers::{
        test_fetch, test_fetch_from_closed_receiver, test_fetch_from_closed_session, test_fetch_from_closed_connection,
        test_fetch_from_concurrent_close_receiver, test_fetch_from_concurrent_close_session,
        test_fetch_from_concurrent_close_connection, test_capacity_increase, test_capacity_decrease, test_capacity5,
        test_capacity5_threshold1, test_capacity10, test_capacity10_threshold1, test_capacity100,
        test_capacity100_threshold1, test_capacity_unlimited, test_available, test_double_close, test_unsettled,
        test_unreliable, test_at_most_once,
    },
    senders::{
        test_send_string, test_send_map, test_send_async_capacity0, test_send_async_capacity1, test_send_async_capacity5,
        test_send_async_capacity_unlimited, test_capacity_timeout, test_eintr,
    },
    messages::{
        test_string_content, test_unicode_content, test_map_content, test_properties, test_application_properties,
        test_content_type_unknown, test_text_plain, test_text_plain_empty, test_reply_to, test_reply_to_queue,
        test_reply_to_queue_subject, test_reply_to_topic, test_reply_to_topic_subject, test_boolean_encoding,
        test_exception_raised_mismatched_content_type, test_recover_after_exception, a_list_may_end_the_session,
    },
    refusals::{
        test_no_target, test_no_source, what_an_address_asks_for_in_vain_is_refused, no_transactions, not_exactly_once,
    },
}

originals! {
    example_broker,
    connections::{
        test_establish, test_open, test_open_reconnect_urls, test_session_anon, test_session_named, test_detach, test_close,
        test_simultaneous_close,
    },
    sessions::{
        test_sender, test_receiver, test_detached_receiver, test_next_receiver, what_was_sent_is_gone, test_session_close,
    },
    receivers::{
        test_fetch, test_fetch_from_closed_receiver, test_fetch_from_closed_session, test_fetch_from_closed_connection,
        test_fetch_from_concurrent_close_receiver, test_fetch_from_concurrent_close_session,
        test_fetch_from_concurrent_close_connection, test_capacity_increase, test_capacity_decrease, test_capacity5,
        test_capacity5_threshold1, test_capacity10, test_capacity10_threshold1, test_capacity100,
        test_capacity100_threshold1, test_capacity_unlimited, test_available, test_unsettled, test_unreliable,
        test_at_most_once,
    },
    senders::{
        test_send_string, test_send_list, test_send_map, test_send_async_capacity0, test_send_async_capacity1,
        test_send_async_capacity5, test_send_async_capacity_unlimited, test_capacity_timeout, test_eintr,
    },
    messages::{
        test_string_content, test_unicode_content, test_map_content, test_list_content, test_properties,
        test_application_properties, test_content_type_unknown, test_text_plain, test_text_plain_empty, test_reply_to,
        test_reply_to_queue, test_reply_to_queue_subject, test_reply_to_topic, test_reply_to_topic_subject,
        test_boolean_encoding, test_exception_raised_mismatched_content_type, test_recover_after_exception, a_list_among_the_properties_ends_the_connection,
    },
    refusals::{what_an_address_asks_for_in_vain_is_refused, transactions_do_not_begin, not_exactly_once},
}

/// At once, if at all.
const NOW: Duration = Duration::ZERO;

/// A broker, a connection to it and a session, as every test of the original has them.
struct Base {
    broker: Broker,
    case: &'static str,
    conn: Connection,
    ssn: Session,
}

impl Base {
    async fn at(broker: Broker, case: &'static str) -> Self {
        let conn = soon(Connection::establish(&broker.url())).await.unwrap();
        let ssn = soon(conn.session()).await.unwrap();
        Self { broker, case, conn, ssn }
    }

    /// The address of a queue of this test alone, which is made when a link is attached to it.
    fn queue(&self) -> String {
        (self.broker.queue)(&format!("face-{}", self.case))
    }

    /// The same with options.
    fn queue_with(&self, options: &str) -> String {
        format!("{}; {{{options}}}", self.queue())
    }

    /// A session on a connection of its own.
    async fn other(&self) -> (Connection, Session) {
        let conn = soon(Connection::establish(&self.broker.url())).await.unwrap();
        let ssn = soon(conn.session()).await.unwrap();
        (conn, ssn)
    }

    async fn pair(self) -> Pair {
        let address = self.queue_with("create: always");
        let snd = soon(self.ssn.sender(&address)).await.unwrap();
        let rcv = soon(self.ssn.receiver(&address)).await.unwrap();
        Pair { base: self, snd, rcv }
    }
}

/// Closes a session. On a busy machine RabbitMQ forgets to answer now and then (docs/protocol/peers.md).
async fn close_session(ssn: &Session) -> Result<(), SessionError> {
    match soon(ssn.close()).await {
        Err(SessionError::Timeout(_)) => Ok(()),
        closed => closed,
    }
}

/// Closes a session and the connection that it has for itself: then the broker has all of it back.
async fn give_back((conn, ssn): (Connection, Session)) {
    close_session(&ssn).await.unwrap();
    soon(conn.close()).await.unwrap();
}

/// A sender and a receiver of one queue.
struct Pair {
    base: Base,
    snd: Sender,
    rcv: Receiver,
}

/// Fetches a message that is to be there.
#[track_caller]
fn fetch(rcv: &Receiver) -> impl Future<Output = Message> {
    let caller = std::panic::Location::caller();
    let fetching = rcv.fetch_timeout(SOON);
    async move { fetching.await.unwrap_or_else(|error| panic!("{caller}: {error}")) }
}

/// Fetches so many messages, and no more are there.
async fn drain(rcv: &Receiver, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(fetch(rcv).await);
    }
    assert_eq!(soon(rcv.fetch_timeout(NOW)).await.unwrap_err(), FetchError::Empty);
    messages
}

async fn drain_texts(rcv: &Receiver, count: usize) -> Vec<String> {
    drain(rcv, count).await.iter().map(|message| message.text().unwrap().to_owned()).collect()
}

/// Shows that a session works.
async fn ping(base: &Base, ssn: &Session) -> Result<(), LinkError> {
    let address = base.queue_with("create: always");
    let (snd, rcv) = (soon(ssn.sender(&address)).await?, soon(ssn.receiver(&address)).await?);
    soon(snd.send("ping")).await.unwrap();
    let message = fetch(&rcv).await;
    assert_eq!(message.text(), Some("ping"));
    soon(ssn.acknowledge(&message)).await?;
    soon(snd.close()).await?;
    soon(rcv.close()).await
}

/// Waits until `done` answers `true`.
async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let tries = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, tries).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

/// Properties in an order that is no broker's.
fn sorted(properties: Option<&Map>) -> Vec<String> {
    let mut all: Vec<String> = properties.into_iter().flatten().map(|property| format!("{property:?}")).collect();
    all.sort();
    all
}

/// Compares everything that a message says of itself; its time to live may have run.
#[track_caller]
fn assert_echo(base: &Base, message: &Message, echo: &Message) {
    assert_eq!(message.id(), echo.id());
    if message.subject().is_some() || !base.broker.adds_subject {
        assert_eq!(message.subject(), echo.subject());
    }
    assert_eq!(message.user_id(), echo.user_id());
    assert_eq!(message.reply_address(), echo.reply_address());
    assert_eq!(message.correlation_id(), echo.correlation_id());
    assert_eq!(message.durable(), echo.durable());
    assert_eq!(message.priority(), echo.priority());
    assert_eq!(message.redelivered(), echo.redelivered());
    assert_eq!(message.inferred_content_type(), echo.inferred_content_type());
    assert_eq!(message.content(), echo.content());
    assert_eq!(sorted(message.properties()), sorted(echo.properties()));
    assert_eq!(message.ttl().is_some(), echo.ttl().is_some());
    assert!(message.ttl() >= echo.ttl(), "{:?} {:?}", message.ttl(), echo.ttl());
}
