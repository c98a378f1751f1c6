//! Peers that say nothing, or nothing that makes sense, as a connection is made for the first time, made anew, or used: an
//! attempt costs no more than an attempt, and a connection no more than the idle timeout.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::ConnectionError as Protocol;
use postroad_client::{
    ConnectError, ConnectOptions, Connection, ConnectionError, ConnectionEvent, Guarantee, Message, Outcome,
};
use postroad_testkit::{begin, open, transfer};
use tokio::task::JoinSet;

use crate::raw::{Peer, take_client};
use crate::{PATIENCE, answer, grant, named, next_connection, quickly, serve, soon, take_attach, until};

const HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";

/// What a peer answers to whatever comes, and whether an error is the one that is to follow.
struct Answer(&'static str, Vec<u8>, fn(&ConnectError) -> bool);

fn protocol(error: &ConnectError) -> Option<&Protocol> {
    match error {
        ConnectError::Connection(ConnectionError::Protocol(error)) => Some(error),
        _ => None,
    }
}

fn answers() -> Vec<Answer> {
    let silent: fn(&ConnectError) -> bool = |error| matches!(error, ConnectError::Timeout(_));
    let foreign: fn(&ConnectError) -> bool = |error| matches!(protocol(error), Some(Protocol::ForeignProtocol(_)));
    let header: fn(&ConnectError) -> bool = |error| matches!(protocol(error), Some(Protocol::ProtocolHeader { .. }));
    let frame: fn(&ConnectError) -> bool = |error| matches!(protocol(error), Some(Protocol::Frame(_)));
    let broken: fn(&ConnectError) -> bool = |error| matches!(protocol(error), Some(Protocol::Violation(_)));
    let behind = |bytes: &[u8]| [HEADER, bytes].concat();
    vec![
        Answer("nothing", Vec::new(), silent),
        Answer("half a header", HEADER[..5].to_vec(), silent),
        Answer("a header", HEADER.to_vec(), silent),
        Answer("half an open", behind(&open().to_bytes()[..9]), silent),
        Answer("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), foreign),
        Answer("noise", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8".to_vec(), foreign),
        Answer("another version", b"AMQP\x00\x00\x09\x01".to_vec(), foreign),
        Answer("SASL", b"AMQP\x03\x01\x00\x00".to_vec(), header),
        Answer("a frame beyond every limit", behind(b"\xff\xff\xff\xff\x02\x00\x00\x00"), frame),
        Answer("a frame below every limit", behind(b"\x00\x00\x00\x07\x02\x00\x00\x00"), frame),
        Answer("a frame of noise", behind(b"\x00\x00\x00\x0c\x02\x00\x00\x00\xff\xff\xff\xff"), frame),
        Answer("another performative", behind(&begin().to_bytes()), broken),
    ]
}

/// Takes a client, answers, and says nothing more until it goes.
fn say(listener: &TcpListener, words: &[u8]) {
    let mut stream = take_client(listener);
    stream.write_all(words).unwrap();
    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
}

fn options(brokers: [&TcpListener; 2]) -> ConnectOptions {
    let [first, second] = brokers.map(|broker| format!("amqp://{}", broker.local_addr().unwrap()).parse().unwrap());
    let mut options = ConnectOptions::new(first);
    options.failover.push(second);
    options.sasl_enabled = false;
    options.connect_timeout = Duration::from_secs(2);
    options.reconnect = Some(quickly());
    options
}

fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn a_first_attempt_that_comes_to_nothing_is_followed_by_the_next_broker() {
    let mut cases = JoinSet::new();
    for Answer(name, words, _) in answers() {
        cases.spawn(async move {
            let (bad, good) = (bind(), bind());
            let options = options([&bad, &good]);
            let first = tokio::task::spawn_blocking(move || say(&bad, &words));
            let second = tokio::task::spawn_blocking(move || next_connection(&good).part());
            let connection = soon(Connection::open(options)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            soon(connection.session()).await.unwrap();
            soon(connection.close()).await.unwrap();
            soon(first).await.unwrap();
            soon(second).await.unwrap();
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn an_attempt_that_comes_to_nothing_costs_an_attempt_and_the_next_broker_goes_on() {
    let mut cases = JoinSet::new();
    for Answer(name, words, expected) in answers() {
        cases.spawn(async move {
            let (bad, good) = (bind(), bind());
            let options = options([&bad, &good]);
            let first = tokio::task::spawn_blocking(move || {
                let mut peer = next_connection(&bad);
                grant(&mut peer);
                peer.take(transfer(0));
                drop(peer);
                say(&bad, &words);
            });
            let second = tokio::task::spawn_blocking(move || {
                let mut peer = next_connection(&good);
                grant(&mut peer);
                peer.part_with_messages();
            });
            let connection = soon(Connection::open(options)).await.unwrap();
            let mut events = connection.events();
            let session = soon(connection.session()).await.unwrap();
            let sender = soon(session.sender_with("a", named("link", Guarantee::AtLeastOnce))).await.unwrap();
            assert_eq!(soon(sender.send(&Message::from("0"))).await, Ok(Outcome::Accepted), "{name}");
            let (attempt, error) = until(&mut events, |event| match event {
                ConnectionEvent::Failed { attempt, error, .. } => Some((attempt, error)),
                _ => None,
            })
            .await;
            assert!(attempt == 1 && expected(&error), "{name}: {attempt} {error:?}");
            let attempt = until(&mut events, |event| match event {
                ConnectionEvent::Trying { attempt, .. } => Some(attempt),
                _ => None,
            });
            assert_eq!(attempt.await, 2);
            soon(connection.close()).await.unwrap();
            soon(first).await.unwrap();
            soon(second).await.unwrap();
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_proxy_that_answers_for_a_broker_costs_attempts_and_not_the_broker() {
    let script = |listener: &TcpListener| {
        drop(next_connection(listener));
        for _ in 0..3 {
            let mut stream = take_client(listener);
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
        next_connection(listener).part();
    };
    let (connection, peer) = serve(script, |_| {}).await;
    let mut events = connection.events();
    let _session = soon(connection.session()).await.unwrap();
    let mut failed = 0;
    until(&mut events, |event| match event {
        ConnectionEvent::Failed { error, .. } => {
            failed += 1;
            assert!(matches!(protocol(&error), Some(Protocol::ForeignProtocol(_))), "{error:?}");
            None
        }
        ConnectionEvent::Over(error) => panic!("{error:?}"),
        ConnectionEvent::Reopened { .. } => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(failed, 3);
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn silence_does_not_stretch_the_time_that_is_tried() {
    let script = |listener: &TcpListener| {
        drop(next_connection(listener));
        listener.set_nonblocking(true).unwrap();
        // Clients are taken and hear nothing.
        let (mut taken, started) = (Vec::new(), Instant::now());
        while started.elapsed() < Duration::from_secs(1) {
            taken.extend(listener.accept());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!taken.is_empty());
    };
    let (connection, peer) = serve(script, |options| {
        options.connect_timeout = Duration::from_secs(60);
        options.reconnect.as_mut().unwrap().timeout = Some(Duration::from_millis(300));
    })
    .await;
    let mut events = connection.events();
    let _ = soon(connection.session()).await;
    let over = until(&mut events, |event| match event {
        ConnectionEvent::Over(error) => Some(error),
        _ => None,
    })
    .await;
    let ConnectionError::GaveUp { last: Some(last), .. } = &over else { panic!("{over:?}") };
    assert!(matches!(**last, ConnectError::Timeout(_)), "{last:?}");
    soon(peer).await.unwrap();
}

/// Has a connection fall silent or break somewhere, and sends a message over it and the next one; why it was lost.
async fn lost_in(stall: impl FnOnce(&mut Peer) + Send + 'static, idle: Option<Duration>) -> ConnectionError {
    let script = move |listener: &_| {
        let mut peer = Peer::accept(listener, 65_536);
        stall(&mut peer);
        // Until the client gives it up.
        while peer.next().is_some() {}
        let mut peer = next_connection(listener);
        grant(&mut peer);
        peer.part_with_messages();
    };
    let (connection, peer) = serve(script, |options| options.idle_timeout = idle).await;
    let mut events = connection.events();
    let session = soon(connection.session()).await.unwrap();
    let sender = soon(session.sender_with("a", named("link", Guarantee::AtLeastOnce))).await.unwrap();
    assert_eq!(soon(sender.send(&Message::from("0"))).await, Ok(Outcome::Accepted));
    let lost = until(&mut events, |event| match event {
        ConnectionEvent::Lost(error) => Some(error),
        _ => None,
    })
    .await;
    soon(connection.close()).await.unwrap();
    soon(peer).await.unwrap();
    lost
}

fn up_to_the_transfer(peer: &mut Peer) {
    peer.begin();
    grant(peer);
    peer.take(transfer(0));
}

#[tokio::test]
async fn a_peer_that_falls_silent_costs_the_idle_timeout() {
    let idle = Some(Duration::from_secs(1));
    let started = Instant::now();
    let lost = tokio::join!(
        lost_in(|_| {}, idle),
        lost_in(
            |peer| {
                peer.begin();
            },
            idle
        ),
        lost_in(
            |peer| {
                let theirs = take_attach(peer.begin());
                peer.send(answer(&theirs));
            },
            idle
        ),
        lost_in(up_to_the_transfer, idle),
        // In the middle of a frame.
        lost_in(
            |peer| {
                up_to_the_transfer(peer);
                peer.send_bytes(b"\x00\x00\x00\x20\x02");
            },
            idle
        ),
    );
    let lost = [lost.0, lost.1, lost.2, lost.3, lost.4];
    assert!(lost.iter().all(|lost| *lost == ConnectionError::Protocol(Protocol::Idle)), "{lost:?}");
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn noise_on_a_connection_costs_that_connection() {
    for noise in [
        &b"\xff\xff\xff\xff\x02\x00\x00\x00"[..],
        b"\x00\x00\x00\x04\x02\x00\x00\x00",
        b"\x00\x00\x00\x08\x01\x00\x00\x00",
        b"\x00\x00\x00\x0c\x02\x00\x00\x00\xff\xff\xff\xff",
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"AMQP\x00\x01\x00\x00",
    ] {
        let lost = lost_in(
            |peer| {
                up_to_the_transfer(peer);
                peer.send_bytes(noise);
            },
            None,
        );
        let lost = lost.await;
        assert!(matches!(lost, ConnectionError::Protocol(Protocol::Frame(_))), "{lost:?}");
    }
}
