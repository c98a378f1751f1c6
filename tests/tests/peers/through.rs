//! Somebody else's broker, with our client on both sides of it.

use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_client::types::{Symbol, Value};
use postroad_client::{
    ConnectOptions, Connection, ConnectionError, Guarantee, LinkOptions, Message, Node, ReceiveError, Receiver, Session,
};
use postroad_tests::capture::Capture;
use postroad_tests::ours::{SOON, connect, message, options, run, soon, take, typed_form};
use postroad_tests::peers::ExampleBroker;
use postroad_tests::relay::Relay;
use postroad_tests::{corpus, typed};
use serde_json::Value as Json;

use super::client_values::section_messages;
use super::{
    Becomes, Known, body, expect, field_messages, numbered, numbers, octets, property, property_message, simple_values,
    sizes,
};

/// A broker that runs.
pub(crate) struct Between {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// `USER:PASSWORD@`, or nothing.
    pub(crate) user: &'static str,
    /// The address of a queue.
    pub(crate) address: fn(&str) -> String,
    /// Kept as long as this.
    pub(crate) _example: Option<ExampleBroker>,
    pub(crate) _relay: Option<Relay>,
}

impl Between {
    /// The same, with all that passes written to `capture`.
    pub(crate) fn recorded(mut self, capture: &Capture) -> Self {
        let relay = Relay::start(self.port, Some(capture.clone())).unwrap();
        self.port = relay.port();
        self._relay = Some(relay);
        self
    }

    pub(crate) fn url_at(&self, port: u16) -> String {
        format!("amqp://{}127.0.0.1:{port}", self.user)
    }

    fn options(&self) -> ConnectOptions {
        options(&self.url_at(self.port))
    }

    async fn session(&self) -> Session {
        connect(&self.url_at(self.port)).await.unwrap().session().await.unwrap()
    }

    /// Puts messages through a queue, and takes them out again with this prefetch.
    async fn pass(&self, options: ConnectOptions, queue: &str, messages: &[Json], prefetch: u32) -> Vec<Message> {
        let connection = soon(Connection::open(options)).await.unwrap();
        let session = soon(connection.session()).await.unwrap();
        let address = (self.address)(queue);
        let sender = soon(session.sender(&*address)).await.unwrap();
        for json in messages {
            soon(sender.submit(&message(json))).await.unwrap();
        }
        soon(sender.sync()).await.unwrap();
        let mut link = LinkOptions::default();
        link.prefetch = prefetch;
        let mut receiver = soon(session.receiver_with(&*address, link)).await.unwrap();
        let got = take(&mut receiver, messages.len()).await;
        soon(connection.close()).await.unwrap();
        got
    }

    async fn pass_values(
        &self,
        queue: &str,
        values: Vec<(&'static str, Value)>,
        of: fn(&Value) -> Json,
        part: fn(&Json) -> Option<Json>,
        returns: Becomes,
    ) {
        let passing: Vec<_> = values.into_iter().filter(|(name, value)| returns(name, value).is_some()).collect();
        let messages: Vec<Json> = passing.iter().map(|(_, value)| of(value)).collect();
        let got = self.pass(self.options(), queue, &messages, PREFETCH).await;
        let named: Vec<_> =
            got.iter().zip(&passing).map(|(got, (name, _))| ((*name).to_owned(), part(&typed_form(got)))).collect();
        expect("back from the broker", &named, returns, &passing);
    }
}

/// A receiver that asks for what nobody sends.
pub(crate) async fn selecting(session: &Session, address: &str) -> Receiver {
    let selector = Value::described(0x0000_468c_0000_0004_u64, "wanted = 'yes'");
    let node = Node { filters: vec![(Symbol::from_static("selector"), selector)], ..Node::at(address) };
    soon(session.receiver(node)).await.unwrap()
}

const PREFETCH: u32 = 100;

/// What cannot pass at all is known as `None`, and has a test of its own.
pub(crate) fn through_bodies_of_every_type(between: &Between, known: &Known) {
    run(between.pass_values("types", corpus::values(), typed::value_message, body, known.returns));
}

pub(crate) fn through_properties_of_every_type(between: &Between, known: &Known) {
    run(between.pass_values("properties", simple_values(), property_message, property, known.property_returns));
}

pub(crate) fn through_header_properties_and_sections(between: &Between, known: &Known) {
    run(async {
        let mut messages = field_messages();
        if let Some((user, _)) = between.user.split_once(':') {
            // The only one that a user may have.
            messages[0]["sections"][1]["v"]["user-id"]["v"] = typed::hex(user.as_bytes()).into();
        }
        messages.extend(section_messages());
        messages
            .retain(|message| known.delivery_annotations || super::section(message, "delivery-annotations").is_none());
        let got = between.pass(between.options(), "sections", &messages, PREFETCH).await;
        for (got, sent) in got.iter().zip(&messages) {
            assert_eq!(typed_form(got)["sections"], (known.sections)(sent["sections"].clone()), "{sent}");
        }
    });
}

pub(crate) fn through_bodies_of_every_size(between: &Between, known: &Known) {
    for (frame, sizes) in sizes(known) {
        run(async {
            let mut options = between.options();
            options.max_frame_size = frame;
            let messages: Vec<Json> = sizes.iter().map(|size| octets(*size)).collect();
            let got = between.pass(options, "sizes", &messages, PREFETCH).await;
            for ((got, sent), size) in got.iter().zip(&messages).zip(&sizes) {
                assert!(got.bytes() == message(sent).bytes(), "{size} bytes at {frame}");
            }
        });
    }
}

pub(crate) fn through_messages_at_credit_1(between: &Between, _: &Known) {
    run(async {
        let messages: Vec<Json> = (0..100).map(numbered).collect();
        for prefetch in [0, 1] {
            let got = between.pass(between.options(), "credit", &messages, prefetch).await;
            let got: Vec<Json> = got.iter().map(typed_form).collect();
            assert_eq!(numbers(&got), (0..100).collect::<Vec<_>>(), "prefetch {prefetch}");
        }
    });
}

pub(crate) fn through_settled_messages(between: &Between, known: &Known) {
    run(async {
        let session = between.session().await;
        let mut once = LinkOptions::default();
        once.guarantee = Guarantee::AtMostOnce;
        let address = (between.address)("settled");
        let sender = soon(session.sender_with(&*address, once.clone())).await.unwrap();
        let mut receiver = soon(session.receiver_with(&*address, once)).await.unwrap();
        for n in 0..100u32 {
            soon(sender.submit(&Message::from(Value::from(n)))).await.unwrap();
        }
        for n in 0..100u32 {
            let got = soon(receiver.receive()).await.unwrap();
            assert_eq!((got.value(), got.is_settled()), (Some(&Value::from(n)), known.sends_settled));
            receiver.accept(&got).unwrap();
        }
    });
}

pub(crate) fn through_1000_links(between: &Between, _: &Known) {
    run(async {
        let session = between.session().await;
        let address = (between.address)("many");
        let attaching: Vec<_> = (0..1000)
            .map(|_| {
                let (session, address) = (session.clone(), address.clone());
                tokio::spawn(async move { session.sender(&*address).await })
            })
            .collect();
        let mut senders = Vec::new();
        for sender in attaching {
            senders.push(soon(sender).await.unwrap().unwrap());
        }
        for (n, sender) in senders.iter().enumerate() {
            soon(sender.submit(&Message::from(Value::from(n as u32)))).await.unwrap();
        }
        for sender in &senders {
            soon(sender.sync()).await.unwrap();
        }
        let mut receiver = soon(session.receiver(&*address)).await.unwrap();
        let got: Vec<Json> = take(&mut receiver, 1000).await.iter().map(typed_form).collect();
        let mut got = numbers(&got);
        got.sort_unstable();
        assert_eq!(got, (0..1000).collect::<Vec<_>>());
        soon(session.close()).await.unwrap();
    });
}

/// Several seconds: RabbitMQ counts in whole ones, and we tell half of ours (AMQP 1.0 part 2, 2.4.5).
const IDLE: Duration = Duration::from_secs(3);

pub(crate) fn through_an_idle_connection_both_keep_alive(between: &Between, _: &Known) {
    run(async {
        let mut options = between.options();
        options.idle_timeout = Some(IDLE);
        let connection = soon(Connection::open(options)).await.unwrap();
        let session = connection.session().await.unwrap();
        let sender = soon(session.sender(&*(between.address)("idle"))).await.unwrap();
        tokio::time::sleep(3 * IDLE).await;
        assert_eq!(connection.error(), None);
        soon(sender.send(&Message::from("awake"))).await.unwrap();
        let mut receiver = soon(session.receiver(&*(between.address)("idle"))).await.unwrap();
        assert_eq!(take(&mut receiver, 1).await[0].text(), Some("awake"));
        soon(connection.close()).await.unwrap();
    });
}

pub(crate) fn through_a_broker_that_says_nothing_is_given_up(between: &Between, _: &Known) {
    run(async {
        let relay = Relay::start(between.port, None).unwrap();
        let mut options = options(&between.url_at(relay.port()));
        options.idle_timeout = Some(IDLE);
        let connection = soon(Connection::open(options)).await.unwrap();
        let session = connection.session().await.unwrap();
        let mut receiver = soon(session.receiver(&*(between.address)("silent"))).await.unwrap();
        relay.stall();
        let error = soon(receiver.receive()).await.unwrap_err();
        let idle = ConnectionError::Protocol(amqp::ConnectionError::Idle);
        assert_eq!(error, ReceiveError::Link(idle.into()));
    });
}

pub(crate) fn through_a_client_that_says_nothing_is_given_up(between: &Between, known: &Known) {
    let relay = Relay::start(between.port, None).unwrap();
    let mut options = options(&between.url_at(relay.port()));
    options.idle_timeout = Some(IDLE);
    // A runtime that is not driven any more: we say nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(soon(Connection::open(options))).unwrap();
    let limit = if known.has_idle_timeout { SOON } else { 2 * IDLE };
    assert_eq!(relay.server_ends(limit), known.has_idle_timeout);
    drop((connection, runtime));
}
