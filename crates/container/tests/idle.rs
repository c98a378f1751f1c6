//! Silence.

mod common;

use std::time::{Duration, Instant};

use common::raw::Peer;
use common::{Log, broker_with, once, peer, run, script};
use postroad_codec::v1_0::{Frame, Performative};
use postroad_container::{EventError, Reconnect};
use postroad_testkit::{begin, close, open};

#[tokio::test]
async fn a_peer_that_may_not_be_left_alone_hears_of_us() {
    let (options, served) = peer(|listener| {
        let mut peer = Peer::accept_with(listener, open().idle_time_out(60));
        let (started, mut empty, mut longest, mut last) = (Instant::now(), 0, Duration::ZERO, Instant::now());
        while started.elapsed() < Duration::from_millis(400) {
            let frame = peer.next().unwrap();
            assert!(matches!(frame, Frame::Empty { .. }), "{frame:?}");
            (longest, last, empty) = (longest.max(last.elapsed()), Instant::now(), empty + 1);
        }
        // Twice as often as would do, when this machine has time.
        assert!(empty >= 5, "{empty} in {longest:?}");
        peer.send(close());
        peer.part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| {
        if method == "on_start" {
            event.container().connect_with(options.clone());
        }
    }))
    .await;
    served.await.unwrap();
    let expected = ["on_start", "on_connection_opened", "on_connection_closing", "on_connection_closed"];
    assert_eq!(log.all(), expected);
}

#[tokio::test]
async fn a_peer_that_is_silent_for_too_long_is_lost() {
    let (mut options, served) = peer(|listener| {
        let mut peer = Peer::accept(listener, 65_536);
        peer.take(begin());
        // It has nothing to say, and hears why it is left.
        let mut told = None;
        while let Some(frame) = peer.next() {
            if let Frame::Amqp { performative: Performative::Close(close), .. } = frame {
                told = close.error.map(|error| error.condition.0.to_string());
            }
        }
        assert_eq!(told.as_deref(), Some("amqp:resource-limit-exceeded"));
    });
    options.idle_timeout = Some(Duration::from_millis(100));
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).session()),
        "on_transport_error" => {
            let Some(EventError::Connection(error)) = event.error() else { panic!("{:?}", event.error()) };
            assert!(error.is_idle(), "{error:?}");
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.all(), ["on_start", "on_connection_opened", "on_transport_error"]);
}

#[tokio::test]
async fn one_that_is_lost_by_silence_comes_back() {
    let (mut options, served) = peer(|listener| {
        let mut silent = Peer::accept(listener, 65_536);
        while silent.next().is_some() {}
        Peer::accept(listener, 65_536).part();
    });
    options.idle_timeout = Some(Duration::from_millis(100));
    options.reconnect = Some(Reconnect::default());
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone())),
        "on_connection_opened" if noted.count(method) == 2 => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    let expected =
        ["on_start", "on_connection_opened", "on_disconnected", "on_connection_opened", "on_connection_closed"];
    assert_eq!(log.all(), expected);
}

#[tokio::test]
async fn two_that_have_nothing_to_say_stay_together() {
    let (_broker, url) = broker_with(|builder| builder.idle_timeout(Some(Duration::from_millis(500)))).await;
    let mut options = once(&url);
    options.idle_timeout = Some(Duration::from_millis(500));
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => drop(event.container().connect_with(options.clone()).create_receiver("q")),
        "on_link_opened" => drop(event.container().schedule(Duration::from_millis(1500))),
        "on_timer_task" => event.container().inject(|event| event.container().stop()),
        _ => {}
    }))
    .await;
    assert!(!log.has("on_transport_error") && log.has("on_timer_task"), "{:?}", log.all());
}
