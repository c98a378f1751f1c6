//! Clients of a container that listens: those that vanish, say nonsense or ask for too much, and those that go on beside them.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use common::raw::Peer;
use common::{Log, PATIENCE, both, once, script};
use postroad_codec::v1_0::{Frame, Performative, ProtocolHeader};
use postroad_container::types::ErrorCondition;
use postroad_container::{EventError, Message};
use postroad_testkit::{attach_receiver, attach_sender, begin, close, detach, disposition, end, flow, open, transfer};

/// How far a client goes before it vanishes.
const STATES: [&str; 10] =
    ["transport", "header", "half an open", "open", "begin", "attach", "half a message", "messages", "credit", "close"];

fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.strip_prefix("amqp://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client without SASL that has opened.
fn guest(url: &str) -> Peer {
    let mut stream = connect(url);
    stream.write_all(&ProtocolHeader::AMQP.to_bytes()).unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).unwrap();
    assert_eq!(header, ProtocolHeader::AMQP.to_bytes());
    let mut peer = Peer::of(stream);
    peer.send(open().container_id("guest"));
    peer.take(open());
    peer
}

/// One that has attached a sender, on handle 0, and has credit.
fn sending_guest(url: &str) -> Peer {
    let mut peer = guest(url);
    peer.send(begin());
    peer.take(begin());
    peer.send(attach_sender("it"));
    peer.take(attach_receiver("it"));
    peer.take(flow());
    peer
}

/// Goes so far, and vanishes.
fn vanish(url: &str, state: &str) {
    match state {
        "transport" => drop(connect(url)),
        "header" => connect(url).write_all(&ProtocolHeader::AMQP.to_bytes()).unwrap(),
        "half an open" => {
            let mut stream = connect(url);
            stream.write_all(&ProtocolHeader::AMQP.to_bytes()).unwrap();
            stream.write_all(&open().to_bytes()[..10]).unwrap();
        }
        "open" => drop(guest(url)),
        "begin" => {
            let mut peer = guest(url);
            peer.send(begin());
            peer.take(begin());
        }
        "attach" => drop(sending_guest(url)),
        "half a message" => {
            sending_guest(url).send(transfer(0).payload(Message::from("half").encode()).more(true));
        }
        "messages" => {
            let mut peer = sending_guest(url);
            for number in 0..3 {
                peer.send(transfer(number).payload(Message::from("guest's").encode()));
            }
        }
        "credit" => {
            let mut peer = guest(url);
            peer.send(begin());
            peer.take(begin());
            peer.send(attach_receiver("it"));
            peer.take(attach_sender("it"));
            peer.send(flow().handle(0).delivery_count(0).link_credit(3));
            peer.take(transfer(0));
        }
        "close" => {
            guest(url).send(close());
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_leave_the_server_and_others_at_work() {
    let log = Log::default();
    let noted = log.clone();
    let server = script(&log, move |method, event| match method {
        "on_sendable" => {
            // Nobody may be there any more to take it.
            while event.sender().unwrap().credit() > 0 && event.sender().unwrap().send("for you").is_ok() {}
        }
        "on_message" if event.message().unwrap().text() == Some("still here") => noted.note("good"),
        "on_transport_error" => assert!(event.acceptor().is_some()),
        _ => {}
    });
    let told = Log::default();
    let heard = told.clone();
    both(server, |url| {
        let mut left = STATES.to_vec();
        script(&told, move |method, event| match method {
            "on_start" => drop(event.container().connect_with(once(&url)).create_sender("q")),
            "on_accepted" | "on_sendable" if method == "on_accepted" || heard.count(method) == 1 => match left.pop() {
                Some(state) => {
                    let url = url.clone();
                    std::thread::spawn(move || vanish(&url, state)).join().unwrap_or_else(|_| panic!("{state}"));
                    event.sender().unwrap().send("still here").unwrap();
                }
                None => event.connection().unwrap().close(),
            },
            _ => {}
        })
    })
    .await;
    assert_eq!(log.count("good"), STATES.len());
    // Who has exchanged frames has opened; who has not may be gone before that. All but one vanish, and the last of them may not
    // have been heard of yet.
    assert!(log.count("on_connection_opened") >= 5, "{:?}", log.all());
    assert!(log.count("on_transport_error") >= STATES.len() - 2, "{:?}", log.all());
    assert!(!log.has("on_link_error") && !log.has("on_session_error"), "{:?}", log.all());
}

/// Runs a server beside this guest, and tells what the server has heard.
async fn heard_of(guest: impl FnOnce(&str) + Send + 'static) -> Vec<String> {
    let log = Log::default();
    let noted = log.clone();
    let server = script(&log, move |method, event| {
        if let (true, Some(error)) = (method.ends_with("error"), event.error()) {
            noted.note(format!("{error}"));
        }
        if method == "on_transport_error" {
            assert!(
                matches!(event.error(), Some(EventError::Accept(_) | EventError::Connection(_))),
                "{:?}",
                event.error()
            );
        }
    });
    both(server, |url| {
        let mut guest = Some(guest);
        script(&Log::default(), move |method, event| {
            if method == "on_start" {
                let (url, guest, container) = (url.clone(), guest.take().unwrap(), event.container().clone());
                event.container().schedule(PATIENCE);
                std::thread::spawn(move || {
                    let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| guest(&url)));
                    // What the server has to say of it comes first.
                    std::thread::sleep(Duration::from_millis(50));
                    container.inject(move |event| {
                        event.container().stop();
                        assert!(gone.is_ok(), "the guest has failed");
                    });
                });
            }
        })
    })
    .await;
    log.all()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_told_of_and_answered() {
    let http = heard_of(|url| {
        let mut stream = connect(url);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.starts_with(b"AMQP"), "{answer:?}");
    });
    let http = http.await;
    assert_eq!(http.iter().filter(|line| *line == "on_transport_error").count(), 1, "{http:?}");
    assert!(!http.contains(&"on_connection_opened".to_owned()), "{http:?}");
    let garbage = heard_of(|url| {
        let mut peer = guest(url);
        peer.send_bytes(b"\x00\x00\x00\x09\x02\x00\x00\x00\xff");
        let mut told = None;
        while let Some(frame) = peer.next() {
            if let Frame::Amqp { performative: Performative::Close(close), .. } = frame {
                told = close.error;
            }
        }
        assert!(told.is_some(), "it hears what was wrong");
    });
    let garbage = garbage.await;
    assert_eq!(garbage.iter().filter(|line| *line == "on_transport_error").count(), 1, "{garbage:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_of_place_costs_the_link_or_the_session_alone() {
    let heard = heard_of(|url| {
        let mut peer = sending_guest(url);
        // A message within a message.
        peer.send(transfer(0).payload(Message::from("half").encode()).more(true));
        peer.send(transfer(1).payload(Message::from("whole").encode()));
        let mut closed = None;
        while let Some(Frame::Amqp { performative, .. }) = peer.next() {
            match performative {
                Performative::Detach(theirs) => {
                    closed = theirs.error.map(|error| error.condition);
                    peer.send(detach().closed(true));
                    // A handle that is not attached ends the session.
                    peer.send(transfer(50).handle(7));
                }
                Performative::End(theirs) => {
                    assert_eq!(theirs.error.unwrap().condition, ErrorCondition::UNATTACHED_HANDLE);
                    peer.send(end()).send(close());
                }
                Performative::Close(theirs) => {
                    assert_eq!(theirs.error, None, "the connection has done nothing wrong");
                    break;
                }
                _ => {}
            }
        }
        assert!(closed.is_some(), "it hears what was wrong");
    });
    let heard = heard.await;
    assert!(heard.contains(&"on_connection_closed".to_owned()), "{heard:?}");
    assert!(!heard.contains(&"on_message".to_owned()), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_of_messages_that_never_were_harm_nobody() {
    let heard = heard_of(|url| {
        let mut peer = guest(url);
        peer.send(begin());
        peer.take(begin());
        peer.send(attach_receiver("it"));
        peer.take(attach_sender("it"));
        let receiver = postroad_codec::v1_0::Role::Receiver;
        for first in [0, 5, u32::MAX - 1] {
            peer.send(disposition(receiver, first).last(first.wrapping_add(1 << 20)).settled(true));
        }
        peer.send(close());
        peer.take(close());
    });
    let heard = heard.await;
    assert!(heard.contains(&"on_connection_closed".to_owned()), "{heard:?}");
    assert!(!heard.iter().any(|line| line.contains("accepted") || line.contains("settled")), "{heard:?}");
}
