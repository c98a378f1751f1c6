//! Connections that are lost, and made anew or not.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::raw::Peer;
use common::{Log, PATIENCE, answer, broker, peer, run, script};
use postroad_broker::Broker;
use postroad_codec::v1_0::{Frame, Performative};
use postroad_container::client::ConnectionError;
use postroad_container::{ConnectOptions, EventError, LinkOptions, Reconnect};
use postroad_testkit::faults::Plan;
use postroad_testkit::{Door, Proxy, accepted, attach_sender, begin, close, error, flow, transfer};

fn quickly() -> Reconnect {
    let mut reconnect = Reconnect::default();
    (reconnect.interval, reconnect.max_interval) = (Duration::from_millis(5), Duration::from_millis(20));
    reconnect.timeout = Some(PATIENCE);
    reconnect
}

/// A broker, and a road to it that can be cut.
struct Road {
    broker: Broker,
    proxy: Arc<Proxy>,
    options: ConnectOptions,
}

async fn road() -> Road {
    let (broker, _) = broker().await;
    let proxy = Arc::new(Proxy::start(broker.addr().unwrap(), Plan::new(1)).await.unwrap());
    let mut options = ConnectOptions::new(format!("amqp://{}", proxy.addr()).parse().unwrap());
    options.reconnect = Some(quickly());
    Road { broker, proxy, options }
}

#[tokio::test]
async fn connection_and_links_come_back() {
    let Road { broker, proxy, options } = road().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            // A name is one end's: each of them is told of its own link.
            connection.create_sender_with(LinkOptions::new().name("link").target("q"));
            connection.create_receiver_with(LinkOptions::new().name("link").source("q"));
        }
        "on_disconnected" => assert!(matches!(event.error(), Some(EventError::Connection(_)))),
        // Both are there again.
        "on_link_opened" if noted.count(method) == 4 => {
            let _ = event.connection().unwrap().create_sender("q");
        }
        "on_sendable" if noted.count("on_link_opened") >= 5 && !noted.has("sent") => {
            noted.note("sent");
            event.sender().unwrap().send("it").unwrap();
        }
        "on_link_opened" if noted.count(method) == 2 => proxy.cut_all(),
        "on_message" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert_eq!(
        (log.count("on_connection_opened"), log.count("on_disconnected"), log.count("on_link_opened")),
        (2, 1, 5)
    );
    assert_eq!((log.count("on_connection_closed"), log.count("on_transport_error")), (1, 0));
    assert!(log.place("on_disconnected") > log.place("on_connection_opened"));
    drop(broker);
}

#[tokio::test]
async fn it_is_given_up_behind_so_many_attempts() {
    let Road { broker: _broker, proxy, mut options } = road().await;
    options.reconnect.as_mut().unwrap().attempts = Some(3);
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).create_receiver("q")),
        "on_link_opened" => {
            proxy.set_door(Door::Refused);
            proxy.cut_all();
        }
        "on_transport_error" => {
            let Some(EventError::Connection(ConnectionError::GaveUp { attempts, .. })) = event.error() else {
                panic!("{:?}", event.error())
            };
            assert_eq!(*attempts, 3);
        }
        _ => {}
    }))
    .await;
    let expected = [
        "on_start",
        "on_connection_opened",
        "on_session_opened",
        "on_link_opened",
        "on_disconnected",
        "on_transport_error",
    ];
    assert_eq!(log.all(), expected);
}

#[tokio::test]
async fn what_is_not_to_come_back_does_not() {
    let Road { broker: _broker, proxy, mut options } = road().await;
    options.reconnect = None;
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" => proxy.cut_all(),
        _ => {}
    }))
    .await;
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_transport_error"]);
}

#[tokio::test]
async fn another_broker_takes_over() {
    let (first, second) = (road().await, road().await);
    let mut options = first.options.clone();
    options.failover.push(second.options.url.clone());
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).create_sender("q")),
        "on_sendable" if !noted.has("sent") => {
            noted.note("sent");
            event.sender().unwrap().send("it").unwrap();
        }
        "on_accepted" if !noted.has("on_disconnected") => {
            first.proxy.set_door(Door::Refused);
            first.proxy.cut_all();
        }
        "on_link_opened" if noted.has("on_disconnected") => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert!(second.broker.queue_stats("q").is_some(), "the link was attached there");
    assert_eq!((log.count("on_connection_opened"), log.count("on_disconnected")), (2, 1));
}

#[tokio::test]
async fn links_and_sessions_that_were_closed_do_not_come_back() {
    let Road { broker: _broker, proxy, options } = road().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            connection.create_sender_with(LinkOptions::new().target("q").name("closed"));
            connection.session().create_sender_with(LinkOptions::new().target("q").name("ended"));
            connection.create_sender_with(LinkOptions::new().target("q").name("stays"));
        }
        "on_link_opened" if noted.has("on_disconnected") => {
            noted.note(format!("{} again", event.link().unwrap().name()));
            event.container().schedule(Duration::from_millis(50));
        }
        "on_sendable" if event.link().unwrap().name() == "closed" => event.link().unwrap().close(),
        "on_sendable" if event.link().unwrap().name() == "ended" => event.session().unwrap().close(),
        "on_link_closed" | "on_session_closed"
            if noted.has("on_session_closed")
                && noted.count("on_link_closed") == 2
                && !noted.has("on_disconnected") =>
        {
            proxy.cut_all();
        }
        "on_timer_task" if noted.has("on_disconnected") => event.container().stop(),
        _ => {}
    }))
    .await;
    let again: Vec<_> = log.all().into_iter().filter(|line| line.ends_with("again")).collect();
    assert_eq!(again, ["stays again"], "{:?}", log.all());
}

#[tokio::test]
async fn a_connection_is_closed_while_there_is_none() {
    let Road { broker: _broker, proxy, options } = road().await;
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).create_receiver("q")),
        "on_link_opened" => {
            proxy.set_door(Door::Refused);
            proxy.cut_all();
        }
        "on_disconnected" => {
            event.connection().unwrap().create_sender("q");
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    let all = log.all();
    assert_eq!(all[all.len() - 2..], ["on_disconnected", "on_connection_closed"], "{all:?}");
}

#[tokio::test]
async fn a_run_is_stopped_while_there_is_no_connection() {
    let Road { broker: _broker, proxy, options } = road().await;
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).create_receiver("q")),
        "on_link_opened" => {
            proxy.set_door(Door::Hanging);
            proxy.cut_all();
        }
        "on_disconnected" => drop(event.container().schedule(Duration::from_millis(10))),
        "on_timer_task" => event.container().stop(),
        _ => {}
    }))
    .await;
    assert_eq!(log.all().last().map(String::as_str), Some("on_timer_task"));
}

#[tokio::test]
async fn the_first_connection_is_tried_again_where_that_is_asked_for() {
    let Road { broker: _broker, proxy, mut options } = road().await;
    options.reconnect.as_mut().unwrap().initially = true;
    proxy.set_door(Door::Refused);
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            event.container().connect_with(options.clone()).create_receiver("q");
            event.container().schedule(Duration::from_millis(30));
        }
        "on_timer_task" => proxy.set_door(Door::Open),
        "on_link_opened" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    assert!(!log.has("on_transport_error") && !log.has("on_disconnected"), "{:?}", log.all());
}

#[tokio::test]
async fn a_node_that_the_peer_made_is_another_one_then() {
    let Road { broker: _broker, proxy, options } = road().await;
    let log = Log::default();
    let mut addresses = Vec::new();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            event.container().connect_with(options.clone()).create_receiver_with(LinkOptions::new().dynamic());
        }
        "on_link_opened" => {
            addresses.push(event.receiver().unwrap().remote_source().unwrap().address.unwrap());
            match &addresses[..] {
                [_] => proxy.cut_all(),
                [first, second] => {
                    assert_ne!(first, second);
                    event.connection().unwrap().close();
                }
                more => panic!("{more:?}"),
            }
        }
        _ => {}
    }))
    .await;
    assert_eq!(log.count("on_link_opened"), 2);
}

/// Has a peer end its first connection in this way, and be there for a second; tells what was heard.
async fn after(first: impl FnOnce(&mut Peer) + Send + 'static, second: bool) -> Vec<String> {
    let (mut options, served) = peer(move |listener| {
        let mut peer = Peer::accept(listener, 65_536);
        // The other end has opened too.
        peer.take(begin());
        first(&mut peer);
        drop(peer);
        if second {
            let mut peer = Peer::accept(listener, 65_536);
            peer.part();
        }
    });
    options.reconnect = Some(quickly());
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).session()),
        "on_connection_opened" if noted.count(method) == 2 => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    log.without(&["on_start"])
}

/// A peer's garbage, and an error that passes, are losses; what the peer means to be the end is the end.
#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_the_end() {
    let again = ["on_connection_opened", "on_disconnected", "on_connection_opened", "on_connection_closed"];
    let garbage = |peer: &mut Peer| {
        peer.send_bytes(b"\x00\x00\x00\x09\x02\x00\x00\x00\xff");
        while peer.next().is_some() {}
    };
    let heard = after(garbage, true).await;
    assert_eq!(heard[heard.len() - 3..], again[1..], "{heard:?}");
    let forced = |peer: &mut Peer| {
        peer.send(close().error(error("amqp:connection:forced")));
        while peer.next().is_some() {}
    };
    let heard = after(forced, true).await;
    assert_eq!(heard.last().map(String::as_str), Some("on_connection_closed"), "{heard:?}");
    assert_eq!(heard.iter().filter(|line| line.starts_with("on_disconnected")).count(), 1, "{heard:?}");
    let fatal = |peer: &mut Peer| {
        peer.send(close().error(error("amqp:unauthorized-access")));
        while peer.next().is_some() {}
    };
    let heard = after(fatal, false).await;
    assert_eq!(heard[heard.len() - 2..], ["on_connection_error amqp:unauthorized-access", "on_connection_closed"]);
    let orderly = |peer: &mut Peer| {
        peer.send(close());
        while peer.next().is_some() {}
    };
    let heard = after(orderly, false).await;
    assert_eq!(heard[heard.len() - 2..], ["on_connection_closing", "on_connection_closed"]);
}

#[tokio::test]
async fn what_had_no_outcome_is_sent_again_to_the_same_peer() {
    let serve = |peer: &mut Peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_sender("it"));
        peer.send(answer(&theirs))
            .send(flow().handle(0).delivery_count(theirs.initial_delivery_count.unwrap().0).link_credit(1));
    };
    let (mut options, served) = peer(move |listener| {
        let mut first = Peer::accept(listener, 65_536);
        serve(&mut first);
        first.take(transfer(0));
        drop(first);
        let mut second = Peer::accept(listener, 65_536);
        serve(&mut second);
        while let Some(Frame::Amqp { performative, .. }) = second.next() {
            if let Performative::Transfer(transfer) = performative {
                second.send(accepted(transfer.delivery_id.unwrap().0));
                break;
            }
        }
        second.part();
    });
    options.reconnect = Some(quickly());
    let log = Log::default();
    let noted = log.clone();
    let mut sent = None;
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let link = LinkOptions::new().target("q").name("it");
            event.container().connect_with(options.clone()).create_sender_with(link);
        }
        "on_sendable" if sent.is_none() => sent = Some(event.sender().unwrap().send("it").unwrap().tag()),
        "on_accepted" => {
            assert_eq!(Some(event.delivery().unwrap().tag()), sent);
            assert!(noted.has("on_disconnected"));
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!((log.count("on_accepted"), log.count("on_in_doubt")), (1, 0));
}
