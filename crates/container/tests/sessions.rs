//! How sessions begin and end, and what becomes of their links.

mod common;

use common::{Log, answer, broker, opened, peer, run, script};
use postroad_codec::v1_0::{Frame, Performative};
use postroad_container::types::{ErrorCondition, PeerError};
use postroad_container::{Container, EventError};
use postroad_testkit::{attach_receiver, attach_sender, begin, close, end, error, flow, open, transfer};

/// Has the peer end the session of a link in this way, and tells what was heard.
async fn ended_by_peer(condition: Option<&'static str>, attached: bool, strict: bool) -> Vec<String> {
    let (options, served) = opened(move |peer| {
        peer.begin();
        if attached {
            let (theirs, _) = peer.take(attach_sender("it"));
            peer.send(answer(&theirs));
        }
        peer.send(end().error(condition.map(error)));
        peer.part();
    });
    let log = Log::default();
    let handler = script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            let session = connection.session();
            let link = postroad_container::LinkOptions::new().target("q").name("it");
            session.create_sender_with(link);
        }
        "on_session_error" => assert!(event.error().is_some()),
        "on_session_closed" => event.connection().unwrap().close(),
        _ => {}
    });
    run(handler.with(|settings| settings.peer_close_is_error = strict)).await;
    served.await.unwrap();
    log.without(&["on_start", "on_connection_opened", "on_session_opened", "on_link_opened", "on_connection_closed"])
}

#[tokio::test]
async fn a_peer_that_ends_a_session_is_heard_with_its_error() {
    for strict in [false, true] {
        let expected = ["on_session_error test:mood", "on_session_closed"];
        assert_eq!(ended_by_peer(Some("test:mood"), true, strict).await, expected);
    }
}

#[tokio::test]
async fn a_peer_that_ends_a_session_without_error_ends_it_unless_that_is_an_error() {
    assert_eq!(ended_by_peer(None, true, false).await, ["on_session_closing", "on_session_closed"]);
    assert_eq!(ended_by_peer(None, true, true).await, ["on_session_error", "on_session_closed"]);
}

#[tokio::test]
async fn a_session_that_is_refused_says_why() {
    let expected = ["on_session_error test:mood", "on_session_closed"];
    assert_eq!(ended_by_peer(Some("test:mood"), false, false).await, expected);
}

#[tokio::test]
async fn a_session_that_is_refused_without_an_error_is_closed() {
    assert_eq!(ended_by_peer(None, false, false).await, ["on_session_closing", "on_session_closed"]);
}

#[tokio::test]
async fn a_connection_that_is_closed_in_place_of_a_session_is_told_alone() {
    let (options, served) = opened(|peer| {
        peer.take(begin());
        peer.send(close().error(error("test:mood")));
        peer.part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| {
        if method == "on_start" {
            event.container().connect_with(options.clone()).create_receiver("q");
        }
    }))
    .await;
    served.await.unwrap();
    let expected = ["on_start", "on_connection_opened", "on_connection_error test:mood", "on_connection_closed"];
    assert_eq!(log.all(), expected);
}

#[tokio::test]
async fn a_session_ends_with_its_links_and_others_go_on() {
    let (_broker, url) = broker().await;
    let log = Log::default();
    let noted = log.clone();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect(&url);
            let (first, second) = (connection.session(), connection.session());
            assert_ne!(first, second);
            first.create_sender("a");
            second.create_receiver("b");
        }
        "on_link_opened" if event.receiver().is_some() && !noted.has("closing") => {
            noted.note("closing");
            event.session().unwrap().close();
            event.session().unwrap().close();
        }
        "on_session_closed" => {
            let other = event.connection().unwrap().session();
            other.create_receiver("a");
            assert_ne!(event.session(), Some(&other));
            let connection = event.connection().unwrap().clone();
            connection.create_sender("a");
        }
        "on_sendable" if noted.has("on_session_closed") => drop(event.sender().unwrap().send("still here")),
        "on_message" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    // What the program has ended itself is closed, and nobody else has closed it.
    let ended = &log.all()[log.place("closing")..];
    assert!(
        !ended.iter().any(|line| line.contains("error") || line.ends_with("closing") && line != "closing"),
        "{ended:?}"
    );
    assert_eq!(log.count("on_session_closed"), 1);
    assert_eq!(log.count("on_link_closed"), 1);
}

#[tokio::test]
async fn a_session_is_ended_with_an_error() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it"));
        peer.send(answer(&theirs));
        while let Some(frame) = peer.next() {
            let Frame::Amqp { performative: Performative::End(theirs), .. } = frame else { continue };
            assert_eq!(theirs.error.unwrap().condition, ErrorCondition::RESOURCE_LOCKED);
            break;
        }
        peer.send(end()).part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            let link = postroad_container::LinkOptions::new().source("q").name("it");
            connection.session().create_receiver_with(link);
        }
        "on_link_opened" => {
            event.session().unwrap().close_with(PeerError::new(ErrorCondition::RESOURCE_LOCKED, "not now"));
        }
        "on_session_closed" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert!(!log.has("on_session_error"), "{:?}", log.all());
}

#[tokio::test]
async fn both_ends_end_a_session_at_once() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_sender("it"));
        peer.send(answer(&theirs));
        peer.take(end());
        peer.send(end().error(error("test:mood")));
        peer.part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let link = postroad_container::LinkOptions::new().target("q").name("it");
            event.container().connect_with(options.clone()).create_sender_with(link);
        }
        "on_link_opened" => event.session().unwrap().close(),
        "on_session_closed" => event.connection().unwrap().close(),
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.count("on_session_closed"), 1, "{:?}", log.all());
}

#[tokio::test]
async fn more_sessions_than_the_peer_takes_are_refused_here() {
    let (options, served) = peer(|listener| {
        let mut peer = common::raw::Peer::accept_with(listener, open().channel_max(1));
        peer.begin();
        peer.take(begin().channel(1));
        peer.send(begin().channel(1).remote_channel(1));
        peer.part();
    });
    let log = Log::default();
    run(script(&log, move |method, event| match method {
        "on_start" => {
            let connection = event.container().connect_with(options.clone());
            for _ in 0..3 {
                connection.session().declare_transaction();
            }
        }
        "on_session_error" => {
            let Some(EventError::Attach(error)) = event.error() else { panic!("{:?}", event.error()) };
            assert!(error.to_string().contains("channel"), "{error}");
            event.connection().unwrap().close();
        }
        _ => {}
    }))
    .await;
    served.await.unwrap();
    assert_eq!(log.count("on_session_error"), 1);
}

#[tokio::test]
async fn what_is_here_is_handled_before_the_end_of_the_session() {
    let (options, served) = opened(|peer| {
        peer.begin();
        let (theirs, _) = peer.take(attach_receiver("it"));
        peer.send(answer(&theirs));
        peer.take(flow());
        for number in 0..3 {
            peer.send(transfer(number).payload(postroad_container::Message::from("a").encode()));
        }
        peer.send(end());
        peer.part();
    });
    let log = Log::default();
    let container = Container::new(script(&log, move |method, event| match method {
        "on_start" => {
            let link = postroad_container::LinkOptions::new().source("q").name("it");
            event.container().connect_with(options.clone()).create_receiver_with(link);
        }
        "on_session_closed" => event.connection().unwrap().close(),
        _ => {}
    }));
    common::soon(container.run()).await.unwrap();
    served.await.unwrap();
    assert_eq!(log.count("on_message"), 3, "{:?}", log.all());
}
