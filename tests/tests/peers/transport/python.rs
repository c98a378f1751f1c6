//! Python's asyncio over TCP and TLS, and its bare sockets, with the framer of four bytes of length.

use postroad_taps::{ConnectionError, LengthPrefix, Message, Receive, ReceiveError};
use postroad_tests::certificates::Certificates;
use postroad_tests::ours::{SOON, run, soon};

use super::{SIZES, accept, clear, connect, echo, found, listen, pattern, ready, serving, there_and_back, trusting};

#[test]
fn messages_go_to_asyncio_and_back() {
    let python = found!(python);
    run(async {
        let mut peer = python.start(&["listen"]).unwrap();
        let port = ready(&mut peer);
        let connection = connect(clear().framer(LengthPrefix::new), port).await;
        there_and_back(&connection, &SIZES).await;
        soon(connection.close()).await.unwrap();
        let closed = peer.event("closed", SOON).unwrap();
        assert_eq!((closed["messages"].as_u64(), closed["why"].as_str()), (Some(SIZES.len() as u64), Some("end")));
        assert_eq!(peer.finish(SOON).unwrap().code, Some(0));
    });
}

#[test]
fn messages_come_from_asyncio_and_go_back() {
    let python = found!(python);
    run(async {
        let (listener, port) = listen(clear().framer(LengthPrefix::new)).await;
        let peer = python.start(&connecting(port, &[])).unwrap();
        assert_eq!(echo(&accept(&listener).await).await, SIZES.len());
        all_were_the_same(peer);
    });
}

#[test]
fn messages_go_to_asyncio_and_back_over_tls() {
    let python = found!(python);
    run(async {
        let certificates = Certificates::make();
        let [_, certificate, _, key] = certificates.listen_options("server");
        let mut peer = python.start(&["listen", "--tls", &certificate, &key]).unwrap();
        let port = ready(&mut peer);
        let secured = clear().security(trusting(&certificates)).framer(LengthPrefix::new);
        let connection = connect(secured, port).await;
        there_and_back(&connection, &SIZES).await;
        soon(connection.close()).await.unwrap();
        assert_eq!(peer.event("closed", SOON).unwrap()["why"], "end", "the session was ended in order");
    });
}

#[test]
fn messages_come_from_asyncio_and_go_back_over_tls() {
    let python = found!(python);
    run(async {
        let certificates = Certificates::make();
        let (listener, port) = listen(clear().security(serving(&certificates)).framer(LengthPrefix::new)).await;
        let peer = python.start(&connecting(port, &["--tls", &certificates.argument("ca.pem")])).unwrap();
        assert_eq!(echo(&accept(&listener).await).await, SIZES.len());
        all_were_the_same(peer);
    });
}

#[test]
fn asyncio_is_not_trusted_under_another_name() {
    let python = found!(python);
    run(async {
        let certificates = Certificates::make();
        let [_, certificate, _, key] = certificates.listen_options("elsewhere");
        let mut peer = python.start(&["listen", "--tls", &certificate, &key]).unwrap();
        let port = ready(&mut peer);
        let client = clear().security(trusting(&certificates)).remote(super::at(port));
        let error = client.initiate().timeout(SOON).await.unwrap_err();
        assert!(error.tls().is_some(), "{error}");
    });
}

/// RFC 9622 9.1.3.5 and 9.3.2.2: without framers a stream is one message, and its end leaves the other direction open.
#[test]
fn the_end_of_a_stream_leaves_the_other_direction_open() {
    let python = found!(python);
    run(async {
        let mut peer = python.start(&["whole"]).unwrap();
        let connection = connect(clear(), ready(&mut peer)).await;
        let body = pattern(3 << 20);
        soon(connection.send(Message::new(body.clone()).last())).await.unwrap();
        assert!(!connection.can_send() && connection.can_receive());
        let back = soon(connection.receive_with(Receive::complete().max(4 << 20))).await.unwrap();
        assert!(back.end_of_message && back.data == body, "{}", back.data.len());
        assert_eq!(peer.event("stream", SOON).unwrap()["size"], 3 << 20);
    });
}

#[test]
fn a_reset_is_told_apart_from_an_end() {
    let python = found!(python);
    run(async {
        let mut peer = python.start(&["whole", "--reset"]).unwrap();
        let connection = connect(clear().framer(LengthPrefix::new), ready(&mut peer)).await;
        soon(connection.send("x")).await.unwrap();
        let reset = ConnectionError::PeerAbort;
        assert_eq!(soon(connection.receive()).await, Err(ReceiveError::ProtocolFailed(reset.clone())));
        assert_eq!(soon(connection.closed()).await, Err(reset));
    });
}

/// Case 70 (RFC 9621 3.4): the example framer and a bare socket.
#[test]
fn a_bare_socket_speaks_the_example_framer() {
    let python = found!(python);
    run(async {
        let (listener, port) = listen(clear().framer(LengthPrefix::new)).await;
        let mut peer = python.start(&["plain", &port.to_string()]).unwrap();
        let connection = accept(&listener).await;
        for expected in ["slowly", "one", "", "two", "last"] {
            assert_eq!(soon(connection.receive()).await.unwrap().data, expected);
        }
        assert_eq!(soon(connection.receive()).await, Err(ReceiveError::Closed));
        soon(connection.send("hello")).await.unwrap();
        let mut parts = connection.start_message(Default::default());
        soon(parts.send("wor")).await.unwrap();
        soon(parts.finish("ld")).await.unwrap();
        soon(connection.send("")).await.unwrap();
        soon(connection.close()).await.unwrap();
        let wire = peer.event("wire", SOON).unwrap();
        assert_eq!(wire["hex"], "0000000568656c6c6f00000005776f726c6400000000");
    });
}

/// The command of a client that sends a message of each size.
fn connecting(port: u16, options: &[&str]) -> Vec<String> {
    let numbers = SIZES.iter().map(ToString::to_string);
    let command = ["connect".to_owned(), port.to_string()];
    command.into_iter().chain(numbers).chain(options.iter().map(ToString::to_string)).collect()
}

fn all_were_the_same(peer: postroad_tests::process::Process) {
    let finished = peer.finish(SOON).unwrap();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let sizes: Vec<_> = finished.named("message").map(|message| message["size"].as_u64().unwrap() as usize).collect();
    assert_eq!(sizes, SIZES);
    assert!(finished.named("message").all(|message| message["same"] == true));
}
