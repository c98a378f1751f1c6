//! What listening peers say to a protocol header that they do not speak: each its own, and our client has a word for all.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use postroad_amqp::v1_0 as amqp;
use postroad_client::{ConnectError, Connection, ConnectionError};
use postroad_tests::ours::{SOON, options, run, soon};
use postroad_tests::peers::{self, ExampleBroker, Peer, Skipped};

/// AMQP of a version that is not there yet.
const WRONG: &[u8; 8] = b"AMQP\0\x02\0\0";

/// The first `length` octets that a port says to the wrong header, or what it says until it hangs up.
fn answer(port: u16, length: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(WRONG).unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 1024];
    // Where it says nothing, that it hangs up is awaited.
    while said.len() < length.max(1) {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
    said
}

/// What our client makes of a listening peer that gives this answer to its own header.
fn verdict(answer: Vec<u8>) -> ConnectError {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(&answer).unwrap();
        if !answer.is_empty() {
            // Until the client has gone.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let mut error = None;
    run(async {
        let mut options = options(&format!("amqp://127.0.0.1:{port}"));
        options.sasl_enabled = false;
        options.connect_timeout = Duration::from_secs(2);
        error = soon(Connection::open(options)).await.err();
    });
    peer.join().unwrap();
    error.expect("such a peer opens no connection")
}

fn expect(port: Result<u16, Skipped>, expected: &[u8]) {
    let port = match port {
        Ok(port) => port,
        Err(skipped) => return skipped.report(),
    };
    let mut said = answer(port, expected.len());
    said.truncate(expected.len().max(1));
    assert_eq!(said, expected);
}

fn expect_of(peer: Result<Peer, Skipped>, expected: &[u8]) {
    let peer = match peer {
        Ok(peer) => peer,
        Err(skipped) => return skipped.report(),
    };
    let listener = peer.listen(&[]).unwrap();
    expect(Ok(listener.port()), expected);
}

const AMQP: &[u8; 8] = b"AMQP\0\x01\0\0";

#[test]
fn proton_python_answers_with_amqp_1_0() {
    expect_of(peers::proton_python(), AMQP);
}

#[test]
fn proton_cpp_answers_with_amqp_1_0() {
    expect_of(peers::proton_cpp(), AMQP);
}

#[test]
fn the_example_broker_answers_with_amqp_1_0() {
    let broker = match ExampleBroker::start() {
        Ok(broker) => broker,
        Err(skipped) => return skipped.report(),
    };
    expect(Ok(broker.port()), AMQP);
}

#[test]
fn rhea_says_nothing_and_hangs_up() {
    expect_of(peers::rhea(), b"");
}

#[test]
fn rabbitmq_answers_with_amqp_0_9_1() {
    expect(peers::rabbitmq().map(|rabbitmq| rabbitmq.port()), b"AMQP\0\0\x09\x01");
}

#[test]
fn our_client_names_every_answer() {
    // qpidd's, RabbitMQ's without its plugin, of peers that want SASL or TLS first, and rhea's.
    for (answer, hint) in [
        (&b"AMQP\x01\x01\0\x0a"[..], "this peer speaks AMQP 0-10 only: qpidd needs its AMQP 1.0 module"),
        (b"AMQP\0\0\x09\x01", "this is an AMQP 0-9-1 broker: RabbitMQ needs its AMQP 1.0 plugin"),
        (b"AMQP\x03\x01\0\0", "the peer wants a SASL exchange: enable SASL"),
        (b"AMQP\x02\x01\0\0", "the peer wants TLS: use amqps, or ask for TLS by AMQP's header on this port"),
    ] {
        assert_eq!(verdict(answer.to_vec()).hint().as_deref(), Some(hint));
    }
    // A reset where it has left bytes of ours unread.
    let lost: [ConnectError; 2] = [
        ConnectionError::Protocol(amqp::ConnectionError::Lost).into(),
        ConnectionError::Transport(ErrorKind::ConnectionReset).into(),
    ];
    let error = verdict(Vec::new());
    assert!(lost.contains(&error), "{error:?}");
}
