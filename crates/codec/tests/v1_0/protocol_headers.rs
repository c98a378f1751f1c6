//! Part 2, 2.2: the first eight bytes, ours and other people's.

use postroad_codec::v1_0::{ForeignProtocol, ProtocolHeader};

#[test]
fn our_headers_byte_by_byte() {
    for (header, bytes) in [
        (ProtocolHeader::AMQP, *b"AMQP\x00\x01\x00\x00"),
        (ProtocolHeader::TLS, *b"AMQP\x02\x01\x00\x00"),
        (ProtocolHeader::SASL, *b"AMQP\x03\x01\x00\x00"),
    ] {
        assert_eq!(header.to_bytes(), bytes);
        for length in 0..8 {
            assert_eq!(ProtocolHeader::parse(&bytes[..length]), None, "{header:?} {length}");
        }
        assert_eq!(ProtocolHeader::parse(&bytes), Some(Ok(header)));
        // Frames may come with it.
        assert_eq!(ProtocolHeader::parse(&[&bytes[..], b"\0\0\0\x08"].concat()), Some(Ok(header)));
    }
}

#[test]
fn foreign_peers_are_named() {
    use ForeignProtocol::*;
    let cases: [(&[u8], ForeignProtocol, &str); 16] = [
        (b"AMQP\x00\x00\x09\x01", Amqp091, "RabbitMQ needs its AMQP 1.0 plugin"),
        (b"AMQP\x01\x01\x00\x09", Amqp091, "AMQP 0-9-1"),
        (b"AMQP\x01\x01\x08\x00", Amqp091, "AMQP 0-9-1"),
        (b"AMQP\x01\x01\x09\x01", Amqp091, "AMQP 0-9-1"),
        (b"AMQP\x01\x01\x00\x0a", Amqp010, "AMQP 0-10"),
        (b"AMQP\x00\x02\x00\x00", AmqpOther(*b"AMQP\x00\x02\x00\x00"), "another version"),
        (b"AMQP\x07\x01\x00\x00", AmqpOther(*b"AMQP\x07\x01\x00\x00"), "another version"),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", Tls, "amqps"),
        (b"\x15\x03\x03\x00\x02\x02\x46", Tls, "amqps"),
        (b"HTTP/1.1 400 Bad Request", Http, "HTTP"),
        (b"GET / HTTP/1.1", Http, "HTTP"),
        (b"POST /", Http, "HTTP"),
        (b"PRI * HTTP/2.0", Http, "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2", Ssh, "SSH"),
        (b"\0\0\0\0\0\0\0\0", Unknown([0; 8]), "no AMQP peer"),
        (b"amqp\x00\x01\x00\x00", Unknown(*b"amqp\x00\x01\x00\x00"), "no AMQP peer"),
    ];
    for (bytes, foreign, hint) in cases {
        assert_eq!(ProtocolHeader::parse(bytes), Some(Err(foreign)), "{}", bytes.escape_ascii());
        assert!(foreign.hint().contains(hint), "{foreign}: {}", foreign.hint());
    }
}

#[test]
fn a_foreign_header_is_refused_as_soon_as_it_differs() {
    let refused_at = |bytes: &[u8]| (0..=bytes.len()).find(|n| ProtocolHeader::parse(&bytes[..*n]).is_some());
    // AMQP of another version: all eight bytes, so that the version is known.
    assert_eq!(refused_at(b"AMQP\x00\x00\x09\x01"), Some(8));
    assert_eq!(refused_at(b"HTTP/1.1"), Some(1));
    assert_eq!(refused_at(b"AMQX\x00\x01\x00\x00"), Some(4));
    assert_eq!(refused_at(b"A\n"), Some(2));
}
