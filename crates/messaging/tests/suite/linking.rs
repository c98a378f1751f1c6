//! How links come about: what is asked for, in which order, and what is left of one that does not come about.

use postroad_codec::v1_0::{Multiple, SenderSettleMode, Source};
use postroad_messaging::types::{Fields, Map, Symbol};
use postroad_messaging::{AddressError, LinkError, SessionError};
use postroad_testkit::{attach_receiver, attach_sender, detach, flow, open, transfer};

use super::addresses::address_error;
use super::raw::Peer;
use super::told::scripted;
use super::*;

async fn topic() -> World {
    world_with(Broker::builder().queue("q").topic("t")).await
}

#[tokio::test]
async fn a_topic_that_turns_out_to_be_one_has_one_subscription() {
    let world = topic().await;
    let receiver = world.receiver("t").await;
    world.sender("t").await.send("a").await.unwrap();
    assert_eq!(text(&receiver.fetch().await.unwrap()), "a");
    assert_eq!(world.broker.exchange_stats("t").unwrap().subscriptions, 1);
}

#[tokio::test]
async fn a_subscription_makes_its_exchange_and_deletes_it_with_its_queue() {
    let world = world_with(Broker::builder()).await;
    let receiver =
        world.receiver("made; {create: always, delete: always, node: {type: topic}, link: {name: mine}}").await;
    assert!(world.broker.exchange_stats("made").is_some());
    assert!(world.broker.queue_stats("mine").is_some());
    receiver.close().await.unwrap();
    assert!(world.broker.exchange_stats("made").is_none());
    assert!(world.broker.queue_stats("mine").is_none());
}

#[tokio::test]
async fn a_subscription_that_cannot_be_bound_leaves_no_queue() {
    let world = topic().await;
    let address = "t; {link: {name: mine, x-bindings: [{key: a}, {exchange: nowhere, key: b}]}}";
    let error = address_error(world.session.receiver(address).await);
    assert!(matches!(error, AddressError::Refused { action: "bind", .. }), "{error:?}");
    assert!(world.broker.queue_stats("mine").is_none());
}

#[tokio::test]
async fn receivers_of_one_session_share_a_subscription_that_is_not_exclusive() {
    let world = topic().await;
    let address = "t; {link: {name: shared, reliability: at-least-once, x-declare: {exclusive: False}}}";
    let (one, two) = (world.receiver(address).await, world.receiver(address).await);
    let sender = world.sender("t").await;
    for text in ["a", "b"] {
        sender.send(text).await.unwrap();
    }
    assert_eq!(text(&one.fetch().await.unwrap()), "a");
    assert_eq!(text(&two.fetch().await.unwrap()), "b");
}

#[tokio::test]
async fn a_subscription_binds_its_exchange_as_the_node_says() {
    let world = topic().await;
    let address = "t; {node: {x-bindings: [{queue: q, key: k}]}, link: {name: mine}}";
    let receiver = world.receiver(address).await;
    world.sender("t/k").await.send("a").await.unwrap();
    assert_eq!(text(&receiver.fetch().await.unwrap()), "a");
    assert_eq!(world.ready(), 1);
}

#[tokio::test]
async fn what_has_to_be_asked_at_once_is_refused_while_the_connection_is_detached() {
    let world = topic().await;
    world.connection.detach().await.unwrap();
    for options in ["node: {x-bindings: [{exchange: t}]}", "link: {x-bindings: [{exchange: t}]}"] {
        let address = format!("q; {{{options}}}");
        let errors = [
            world.session.sender(&address).await.map(drop).unwrap_err(),
            world.session.receiver(&address).await.map(drop).unwrap_err(),
        ];
        assert_eq!(errors, [LinkError::Session(SessionError::Detached), LinkError::Session(SessionError::Detached)]);
    }
    world.connection.attach().await.unwrap();
    assert_eq!((world.session.senders().len(), world.session.receivers().len()), (0, 0));
}

#[tokio::test]
async fn a_broker_that_does_not_say_that_it_makes_nodes_is_told_apart() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_sender("out"));
        // Not even the capabilities that it was asked for.
        peer.send(attach_receiver("out"));
    })
    .await;
    let address = "q; {create: always, node: {x-declare: {auto-delete: True}}, link: {name: out}}";
    let error = address_error(session.sender(address).await);
    assert!(matches!(error, AddressError::Unsupported { option: "create", .. }), "{error:?}");
    assert!(error.to_string().contains("does not say"), "{error}");
    connection.close().await.unwrap();
    peer.await.unwrap();
}

/// Answers the attach of a receiver of this name and mode as a topic does.
fn attach_to_topic(peer: &mut Peer, name: &str, handle: u32, mode: SenderSettleMode) {
    peer.take(attach_receiver(name).handle(handle).snd_settle_mode(mode));
    let source = Source { capabilities: Multiple(vec!["topic".into()]), ..Source::default() };
    peer.send(attach_sender(name).handle(handle).snd_settle_mode(mode).source(source));
}

#[tokio::test]
async fn what_a_name_stands_for_is_learned_once() {
    let (connection, session, peer) = scripted(open, |peer| {
        // It is attached as a queue, found out to be a topic, and attached as one: a session has one link of a name.
        attach_to_topic(peer, "one", 0, SenderSettleMode::UNSETTLED);
        peer.take(detach().handle(0).closed(true));
        peer.send(detach().handle(0).closed(true));
        attach_to_topic(peer, "one", 0, SenderSettleMode::SETTLED);
        attach_to_topic(peer, "two", 1, SenderSettleMode::SETTLED);
    })
    .await;
    let _first = session.receiver("t; {link: {name: one}}").await.unwrap();
    let _second = session.receiver("t; {link: {name: two}}").await.unwrap();
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_outlives_its_link_is_not_ended_by_what_is_learned() {
    let (connection, session, peer) = scripted(open, |peer| {
        attach_to_topic(peer, "kept", 0, SenderSettleMode::UNSETTLED);
        // The next thing that it hears of the link is the flow of a fetch.
        peer.take(flow().handle(0));
        peer.send(transfer(0).payload(&b"\x00\x53\x77\xa1\x01a"[..]));
    })
    .await;
    let receiver = session.receiver("t; {link: {name: kept, timeout: 60}}").await.unwrap();
    assert_eq!(text(&receiver.fetch_timeout(PATIENCE).await.unwrap()), "a");
    connection.close().await.unwrap();
    peer.await.unwrap();
}

#[tokio::test]
async fn brokers_that_are_known_to_say_yes_to_anything_are_asked_for_nothing_that_depends_on_it() {
    for (product, version) in
        [("RabbitMQ", "3.13.7"), ("RabbitMQ", "4.0.5"), ("skupper-router", "3.0"), ("qpid-dispatch-router", "1.19")]
    {
        let told = move || {
            let properties = [("product", product), ("version", version)];
            let properties = properties.map(|(key, value)| (Symbol::from_static(key), value));
            open().with(|open| open.properties = Some(Fields(Map::from_iter(properties))))
        };
        let (connection, session, peer) = scripted(told, |_| {}).await;
        for (address, wanted) in [
            ("q; {mode: browse}", "mode"),
            ("q; {link: {selector: 'a = 1'}}", "link.selector"),
            ("q; {link: {durable: True}}", "link.durable"),
        ] {
            let error = address_error(session.receiver(address).await);
            assert!(matches!(error, AddressError::Unsupported { option, .. } if option == wanted), "{error:?}");
        }
        connection.close().await.unwrap();
        // It has heard no attach: a script that ends answers none.
        peer.await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_undone_keeps_nothing_else_from_it() {
    let world = topic().await;
    let receiver = world.receiver("amq.fanout; {delete: always, node: {type: topic}, link: {name: mine}}").await;
    let error = address_error(receiver.close().await);
    assert!(matches!(error, AddressError::Refused { action: "delete", .. }), "{error:?}");
    assert!(world.broker.queue_stats("mine").is_none());
    let session = world.connection.session().await.unwrap();
    let _first = session.sender("gone; {create: always, delete: always}").await.unwrap();
    let _last = session.sender("amq.fanout; {delete: always}").await.unwrap();
    let error = session.close().await.unwrap_err();
    assert!(matches!(error, SessionError::Undo(_)), "{error:?}");
    assert!(world.broker.queue_stats("gone").is_none());
}

#[tokio::test]
async fn what_a_link_leaves_while_the_connection_is_detached_is_left_to_its_session() {
    let world = topic().await;
    let sender = world.sender("gone; {create: always, delete: always}").await;
    world.connection.detach().await.unwrap();
    sender.close().await.unwrap();
    world.connection.attach().await.unwrap();
    assert!(world.broker.queue_stats("gone").is_some());
    world.session.close().await.unwrap();
    assert!(world.broker.queue_stats("gone").is_none());
}

#[tokio::test]
async fn a_broker_that_says_no_to_an_exclusive_receiver_is_an_error() {
    let (connection, session, peer) = scripted(open, |peer| {
        peer.take(attach_receiver("in"));
        let no = Fields(Map::from_iter([(Symbol::from_static("exclusive"), false)]));
        peer.send(attach_sender("in").with(|attach| attach.properties = Some(no)));
    })
    .await;
    let error = address_error(session.receiver("q; {link: {name: in, x-subscribe: {exclusive: True}}}").await);
    assert!(matches!(error, AddressError::Unsupported { option: "link.x-subscribe", .. }), "{error:?}");
    connection.close().await.unwrap();
    peer.await.unwrap();
}
