//! Peers that do not answer: every wait has an end where one is asked for.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postroad_client::blocking::Connection;
use postroad_client::{
    AttachError, ConnectError, ConnectOptions, ConnectionError, LinkError, Message, SendError, SyncError,
};
use postroad_codec::v1_0::ProtocolHeader;
use postroad_testkit::open;

use crate::{PATIENCE, SHORT, connect, listen, pair};

#[test]
fn without_credit_nothing_is_sent_and_without_an_answer_it_is_in_doubt() {
    let (sender, mut receiver, _ends) = pair(0);
    let message = Message::from("patience");
    assert_eq!(sender.send_timeout(&message, SHORT), Err(SendError::NotSent(LinkError::Timeout(SHORT))));
    assert_eq!(sender.submit_timeout(&message, SHORT), Err(SendError::NotSent(LinkError::Timeout(SHORT))));
    assert_eq!((sender.unsettled(), sender.credit()), (0, 0));

    receiver.set_credit(2);
    sender.submit_timeout(&message, PATIENCE).unwrap();
    // The credit for both came at once.
    assert_eq!(sender.send_timeout(&message, SHORT), Err(SendError::InDoubt(LinkError::Timeout(SHORT))));
    assert_eq!(sender.sync_timeout(SHORT), Err(SyncError::Timeout(SHORT)));

    // What was waited for in vain has arrived, and can still be answered.
    for message in receiver.iter().take(2).map(Result::unwrap).collect::<Vec<_>>() {
        receiver.accept(&message).unwrap();
    }
    sender.sync_timeout(PATIENCE).unwrap();
}

#[test]
fn what_does_not_come_in_time_is_none() {
    let (sender, mut receiver, ends) = pair(10);
    assert_eq!(receiver.receive_timeout(SHORT), Ok(None));
    assert_eq!(receiver.fetch(Duration::ZERO), Ok(None));
    assert_eq!(receiver.closed_timeout(SHORT), None);
    assert_eq!(sender.closed_timeout(Duration::ZERO), None);
    assert!(ends.server.next_link_timeout(SHORT).unwrap().is_none());
    let (acceptor, _) = listen();
    assert!(acceptor.accept_timeout(SHORT).unwrap().is_none());
    sender.submit(&Message::from("in time")).unwrap();
    assert_eq!(receiver.receive_timeout(PATIENCE).unwrap().unwrap().text(), Some("in time"));
}

#[test]
fn a_port_that_says_nothing_is_left_in_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.connect_timeout = SHORT;
    assert_eq!(Connection::open(options).unwrap_err(), ConnectError::Timeout(SHORT));
}

#[test]
fn a_peer_that_falls_silent_bounds_no_wait_and_costs_the_close_timeout() {
    let (connection, peer) = silent_peer(SHORT);
    let Err(AttachError::Link(LinkError::Timeout(SHORT))) = connection.session_timeout(SHORT) else {
        panic!("a session that nobody has begun");
    };
    let begin = Instant::now();
    assert_eq!(connection.close(), Err(ConnectionError::CloseTimeout(SHORT)));
    assert!(begin.elapsed() >= SHORT);
    peer.join().unwrap();
}

#[test]
fn whoever_drops_the_last_handle_of_a_silent_peer_waits_for_the_close_timeout() {
    let (connection, peer) = silent_peer(SHORT);
    let other = connection.clone();
    drop(other);
    let begin = Instant::now();
    drop(connection);
    let waited = begin.elapsed();
    assert!(waited >= SHORT && waited < PATIENCE, "{waited:?}");
    peer.join().unwrap();
}

#[test]
fn a_thread_that_waits_is_told_when_another_closes_the_connection() {
    let ends = connect();
    let (waits, told) = mpsc::channel();
    let waiting = thread::spawn({
        let server = ends.server.clone();
        move || {
            waits.send(()).unwrap();
            server.next_link().map(drop)
        }
    });
    told.recv().unwrap();
    ends.client.close().unwrap();
    assert!(waiting.join().unwrap().is_err());
}

/// A client of a peer that opens, and never says a word again.
fn silent_peer(close_timeout: Duration) -> (Connection, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.sasl_enabled = false;
    options.close_timeout = close_timeout;
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&ProtocolHeader::AMQP.to_bytes()).unwrap();
        stream.write_all(&open().to_bytes()).unwrap();
        read_to_the_end(&stream);
    });
    (Connection::open(options).unwrap(), peer)
}

fn read_to_the_end(mut stream: &TcpStream) {
    // A reset is an end too.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}
