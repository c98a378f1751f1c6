//! Peers that vanish, whatever state the connection is in: it is told once, and nothing hangs.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use common::raw::{Peer, take_client, take_header};
use common::{Log, answer, opened, peer, run, script};
use postroad_codec::v1_0::{Frame, Performative, ProtocolHeader, SaslFrame, SaslMechanisms, SaslOutcome, Symbol};
use postroad_container::{ConnectOptions, Event, EventError, LinkOptions, Message, client::SendError};
use postroad_testkit::{Builder, attach_receiver, attach_sender, begin, detach, end, flow, open, transfer};
use tokio::task::JoinHandle;

/// What a container hears that has a sender `s` and a receiver `r`, before a peer that vanishes.
async fn heard(
    made: (ConnectOptions, JoinHandle<()>),
    mut act: impl FnMut(&str, &mut Event<'_>) + Send + 'static,
) -> Log {
    let (options, served) = made;
    let log = Log::default();
    run(script(&log, move |method, event| {
        if method == "on_start" {
            let connection = event.container().connect_with(options.clone());
            connection.create_sender_with(LinkOptions::new().target("q").name("s"));
            connection.create_receiver_with(LinkOptions::new().source("q").name("r"));
        }
        act(method, event);
    }))
    .await;
    served.await.unwrap();
    log
}

/// Nothing but the loss is told of it, and that once and last.
#[track_caller]
fn lost(log: &Log, before: &[&str]) {
    let all = log.without(&["on_sendable"]);
    assert_eq!(all[0], "on_start", "{all:?}");
    assert_eq!(all.last().map(String::as_str), Some("on_transport_error"), "{all:?}");
    assert_eq!(&all[1..all.len() - 1], before, "{all:?}");
}

#[tokio::test]
async fn behind_the_transport() {
    let gone = peer(|listener| drop(take_client(listener)));
    lost(&heard(gone, |_, _| {}).await, &[]);
}

#[tokio::test]
async fn behind_the_header() {
    let gone = peer(|listener| take_header(&mut take_client(listener)));
    lost(&heard(gone, |_, _| {}).await, &[]);
}

/// A peer that takes anybody who says nothing of himself.
fn sasl(listener: &TcpListener, outcome: bool) -> std::net::TcpStream {
    let mut stream = take_client(listener);
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header, ProtocolHeader::SASL.to_bytes());
    let mut out = header.to_vec();
    let mechanisms = vec![Symbol::from_static("ANONYMOUS")].into();
    Frame::put_sasl(&SaslMechanisms { sasl_server_mechanisms: mechanisms }, &mut out);
    stream.write_all(&out).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut frame = size.to_vec();
    frame.resize(u32::from_be_bytes(size) as usize, 0);
    stream.read_exact(&mut frame[4..]).unwrap();
    assert!(matches!(Frame::decode(&frame.into()), Ok(Frame::Sasl(SaslFrame::Init(_)))));
    if outcome {
        let mut out = Vec::new();
        Frame::put_sasl(&SaslOutcome::default(), &mut out);
        stream.write_all(&out).unwrap();
    }
    stream
}

#[tokio::test]
async fn in_the_middle_of_sasl_and_behind_it() {
    for outcome in [false, true] {
        let (mut options, served) = peer(move |listener| drop(sasl(listener, outcome)));
        options.sasl_enabled = true;
        lost(&heard((options, served), |_, _| {}).await, &[]);
    }
}

#[tokio::test]
async fn in_the_middle_of_a_frame() {
    for length in [1, 7, 8, 15] {
        let gone = peer(move |listener| {
            let mut stream = take_client(listener);
            take_header(&mut stream);
            stream.write_all(&open().to_bytes()[..length]).unwrap();
        });
        lost(&heard(gone, |_, _| {}).await, &[]);
    }
}

#[tokio::test]
async fn behind_the_open() {
    let gone = opened(|peer| drop(peer.take(begin())));
    lost(&heard(gone, |_, _| {}).await, &["on_connection_opened"]);
}

#[tokio::test]
async fn behind_the_begin() {
    let gone = opened(|peer| {
        peer.begin();
        peer.take(attach_sender("s"));
        peer.take(attach_receiver("r"));
    });
    lost(&heard(gone, |_, _| {}).await, &["on_connection_opened", "on_session_opened"]);
}

/// Attaches both links, and grants credit.
fn attach(peer: &mut Peer, credit: u32) {
    peer.begin();
    let (sender, _) = peer.take(attach_sender("s"));
    peer.send(answer(&sender));
    peer.send(flow().handle(sender.handle.0).delivery_count(0).link_credit(credit));
    let (receiver, _) = peer.take(attach_receiver("r"));
    peer.send(answer(&receiver));
}

/// Waits until both are attached at the other end too: it asks for messages then.
fn attach_to_the_end(peer: &mut Peer) {
    attach(peer, 0);
    peer.take(flow());
}

/// Says nothing more, and lets the other end read to the end.
fn vanish(peer: &mut Peer) {
    peer.hang_up();
    while peer.next().is_some() {}
}

const ATTACHED: [&str; 4] = ["on_connection_opened", "on_session_opened", "on_link_opened", "on_link_opened"];

/// The calls behind the attaching of both links.
fn since_attached(log: &Log) -> Vec<String> {
    let all = log.without(&["on_sendable"]);
    assert_eq!(all[1..=4], ATTACHED, "{all:?}");
    assert_eq!(all.last().map(String::as_str), Some("on_transport_error"), "{all:?}");
    all[5..all.len() - 1].to_vec()
}

#[tokio::test]
async fn behind_the_attach() {
    let gone = opened(attach_to_the_end);
    lost(&heard(gone, |_, _| {}).await, &ATTACHED);
}

fn message(number: u32) -> Builder<postroad_codec::v1_0::Transfer> {
    transfer(number).handle(1).payload(Message::from("it").encode())
}

#[tokio::test]
async fn in_the_middle_of_a_message() {
    let gone = opened(|peer| {
        attach_to_the_end(peer);
        peer.send(message(0).more(true));
        vanish(peer);
    });
    assert_eq!(since_attached(&heard(gone, |_, _| {}).await), Vec::<String>::new());
}

#[tokio::test]
async fn with_messages_that_were_handed_over() {
    let mut kept = Vec::new();
    let gone = opened(|peer| {
        attach_to_the_end(peer);
        peer.send(message(0)).send(message(1).settled(true)).send(message(2));
        vanish(peer);
    });
    let log = heard(gone, move |method, event| match method {
        "on_message" => kept.push(event.delivery().unwrap()),
        "on_transport_error" => {
            let Some(EventError::Connection(_)) = event.error() else { panic!("{:?}", event.error()) };
            assert_eq!(kept.len(), 3);
            for delivery in &kept {
                assert!(delivery.is_settled(), "nothing is to be told of it any more");
                assert!(delivery.accept().is_err() || delivery.tag() == kept[1].tag());
                assert!(delivery.settle().is_err() || delivery.tag() == kept[1].tag());
            }
            // All of it can be asked still.
            let link = kept[0].link();
            assert_eq!((link.credit(), link.name()), (0, "r"));
            link.as_receiver().unwrap().flow(10);
            link.as_receiver().unwrap().drain(10);
            link.close();
        }
        _ => {}
    })
    .await;
    assert_eq!(since_attached(&log), ["on_message"; 3]);
}

#[tokio::test]
async fn with_messages_that_have_no_outcome() {
    for auto_settle in [true, false] {
        let (options, served) = opened(|peer| {
            attach(peer, 2);
            // Both are sent, and the receiver has opened too.
            let (mut transfers, mut asked) = (0, false);
            while transfers < 2 || !asked {
                let Some(Frame::Amqp { performative, .. }) = peer.next() else { break };
                transfers += usize::from(matches!(performative, Performative::Transfer(_)));
                asked |= matches!(performative, Performative::Flow(_));
            }
            vanish(peer);
        });
        let log = Log::default();
        let mut sent = Vec::new();
        let handler = script(&log, move |method, event| match method {
            "on_start" => {
                let connection = event.container().connect_with(options.clone());
                connection.create_sender_with(LinkOptions::new().target("q").name("s"));
                connection.create_receiver_with(LinkOptions::new().source("q").name("r"));
            }
            "on_sendable" if sent.is_empty() => {
                sent.extend(["a", "b"].map(|text| event.sender().unwrap().send(text).unwrap()));
            }
            "on_in_doubt" => {
                let Some(EventError::Send(SendError::InDoubt(_))) = event.error() else {
                    panic!("{:?}", event.error())
                };
                let delivery = event.delivery().unwrap();
                assert!(sent.iter().any(|sent| sent.tag() == delivery.tag()));
                assert_eq!(delivery.remote_state(), None);
                assert!(event.sender().unwrap().send("c").is_err());
            }
            _ => {}
        });
        run(handler.with(|settings| settings.auto_settle = auto_settle)).await;
        served.await.unwrap();
        let mut rest = since_attached(&log);
        rest.sort();
        assert_eq!(rest, ["on_in_doubt"; 2], "{auto_settle}");
    }
}

#[tokio::test]
async fn in_answer_to_a_detach_an_end_or_a_close() {
    for what in ["link", "session", "connection"] {
        let gone = opened(|peer| {
            attach(peer, 0);
            while let Some(Frame::Amqp { performative, .. }) = peer.next() {
                if matches!(performative, Performative::Detach(_) | Performative::End(_) | Performative::Close(_)) {
                    break;
                }
            }
        });
        let (options, served) = gone;
        let log = Log::default();
        run(script(&log, move |method, event| match method {
            "on_start" => {
                let connection = event.container().connect_with(options.clone());
                connection.create_sender_with(LinkOptions::new().target("q").name("s"));
                connection.create_receiver_with(LinkOptions::new().source("q").name("r"));
            }
            "on_link_opened" if event.receiver().is_some() => match what {
                "link" => event.link().unwrap().close(),
                "session" => event.session().unwrap().close(),
                _ => event.connection().unwrap().close(),
            },
            _ => {}
        }))
        .await;
        served.await.unwrap();
        // A connection that was to be closed is, whether the peer says so or not.
        let end = if what == "connection" { "on_connection_closed" } else { "on_transport_error" };
        assert_eq!(log.all().last().map(String::as_str), Some(end), "{what}: {:?}", log.all());
        assert_eq!(log.count("on_transport_error") + log.count("on_connection_closed"), 1, "{what}: {:?}", log.all());
    }
}

#[tokio::test]
async fn what_was_closed_before_is_closed_still() {
    let gone = opened(|peer| {
        attach(peer, 0);
        peer.take(detach().handle(1).closed(true));
        peer.send(detach().handle(1).closed(true));
        peer.take(end());
        peer.send(end());
        vanish(peer);
    });
    let log = heard(gone, |method, event| match method {
        "on_link_opened" if event.receiver().is_some() => event.link().unwrap().close(),
        "on_link_closed" if event.receiver().is_some() => event.session().unwrap().close(),
        _ => {}
    })
    .await;
    let mut rest = since_attached(&log);
    rest.sort();
    assert_eq!(rest, ["on_link_closed", "on_link_closed", "on_session_closed"]);
}
