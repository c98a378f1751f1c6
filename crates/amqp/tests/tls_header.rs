//! The TLS header (part 5, 5.2).

use postroad_amqp::v1_0::{Config, ConnectionError, asks_for_tls, tls_answer};
use postroad_codec::v1_0::{ForeignProtocol, ProtocolHeader};
use postroad_testkit::ScriptedPeer;

const TLS: [u8; 8] = *b"AMQP\x02\x01\x00\x00";

#[test]
fn the_header_is_known_when_it_is_whole() {
    for length in 0..TLS.len() {
        assert_eq!(asks_for_tls(&TLS[..length]), None, "{length}");
        assert_eq!(tls_answer(&TLS[..length]), None, "{length}");
    }
    assert_eq!(asks_for_tls(&TLS), Some(true));
    assert_eq!(tls_answer(&TLS), Some(Ok(())));
    // What stands behind it has no say in it.
    assert_eq!(asks_for_tls(&[TLS, ProtocolHeader::SASL.to_bytes()].concat()), Some(true));
}

#[test]
fn whatever_else_begins_there_is_told_apart() {
    for other in [ProtocolHeader::AMQP, ProtocolHeader::SASL] {
        assert_eq!(asks_for_tls(&other.to_bytes()), Some(false));
        let error = ConnectionError::ProtocolHeader { expected: ProtocolHeader::TLS, found: other };
        assert!(error.hint().unwrap().contains("amqps") && error.to_string().contains("Tls"), "{error}");
        assert_eq!(tls_answer(&other.to_bytes()), Some(Err(error)));
    }
    for (answer, foreign) in [
        (&b"AMQP\x00\x00\x09\x01"[..], ForeignProtocol::Amqp091),
        (b"AMQP\x02\x01\x00\x01", ForeignProtocol::AmqpOther(*b"AMQP\x02\x01\x00\x01")),
        // The alert of a port that has TLS from the first byte.
        (b"\x15\x03\x01\x00\x02\x02\x46", ForeignProtocol::Tls),
        (b"HTTP/1.1 400", ForeignProtocol::Http),
    ] {
        assert_eq!(asks_for_tls(answer), Some(false));
        assert_eq!(tls_answer(answer), Some(Err(ConnectionError::ForeignProtocol(foreign))));
    }
    // The first byte may tell.
    assert_eq!(asks_for_tls(b"\x16"), Some(false));
    assert!(matches!(tls_answer(b"\x15"), Some(Err(ConnectionError::ForeignProtocol(_)))));
}

/// A connection never takes the header: where it is taken there is no connection yet, and under TLS it is out of place.
#[test]
fn a_connection_answers_it_with_what_it_speaks() {
    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    peer.send_bytes(&[TLS, ProtocolHeader::AMQP.to_bytes()].concat());
    let wrong = ConnectionError::ProtocolHeader { expected: ProtocolHeader::AMQP, found: ProtocolHeader::TLS };
    assert_eq!(peer.result(), Err(wrong));
    peer.expect_header(ProtocolHeader::AMQP).expect_nothing();
}
