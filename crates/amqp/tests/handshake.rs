//! Protocol headers, open and close (part 2, 2.2 and 2.4).

use postroad_amqp::v1_0::{Config, Connection, ConnectionError, Event, LinkTerms};
use postroad_codec::v1_0::{ErrorCondition, ForeignProtocol, ProtocolHeader, Role};
use postroad_testkit::{Chunks, Pair, ScriptedPeer, Side, attach_receiver, begin, close, end, error, open};

#[test]
fn header_and_open_leave_in_one_piece() {
    let mut config = Config::new("engine");
    config.hostname = Some("host".into());
    config.channel_max = 7;
    config.max_frame_size = 1000;
    let mut peer = ScriptedPeer::of_client(config);
    peer.expect_header(ProtocolHeader::AMQP)
        .expect(open().container_id("engine").hostname("host").channel_max(7).max_frame_size(1000))
        .expect_nothing();
    peer.send_header(ProtocolHeader::AMQP).send(open().container_id("peer").channel_max(8));
    assert_eq!(peer.events(), [Event::Opened]);
    assert_eq!(peer.engine.remote_open().map(|open| open.channel_max), Some(8));
}

#[test]
fn a_server_opens_when_the_client_has() {
    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    peer.expect_nothing();
    peer.send_header(ProtocolHeader::AMQP).expect_header(ProtocolHeader::AMQP).expect_nothing();
    peer.send(open().hostname("there")).expect(open().container_id("engine")).expect_nothing();
    assert_eq!(peer.engine.remote_hostname().map(ToString::to_string).as_deref(), Some("there"));
}

#[test]
fn a_server_that_speaks_first_opens_first() {
    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    peer.engine.begin().unwrap();
    peer.expect_nothing();
    peer.send_header(ProtocolHeader::AMQP);
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin().remote_channel(None)).expect_nothing();
    peer.send(open()).expect_nothing();
    peer.engine.close(None);
    peer.expect(close()).expect_nothing();

    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    peer.send_header(ProtocolHeader::AMQP);
    peer.engine.close(Some(error("test:shut")));
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(close().error(error("test:shut"))).expect_nothing();
}

#[test]
fn open_begin_and_attach_may_come_in_one_write() {
    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    let script = [
        ProtocolHeader::AMQP.to_bytes().to_vec(),
        open().to_bytes(),
        begin().to_bytes(),
        attach_receiver("a").to_bytes(),
    ];
    peer.send_bytes(&script.concat());
    assert_eq!(peer.result(), Ok(()));
    let events = peer.events();
    let [Event::Opened, Event::SessionIncoming(_), Event::LinkIncoming(link)] = events[..] else {
        panic!("{events:?}");
    };
    peer.engine.accept(link, LinkTerms::default()).unwrap();
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(begin().remote_channel(0));
    peer.expect(postroad_testkit::attach_sender("a")).expect_nothing();
}

#[test]
fn a_client_pipelines_open_begin_and_attach() {
    let mut peer = ScriptedPeer::of_client(Config::new("engine"));
    let session = peer.engine.begin().unwrap();
    let link = peer.engine.attach(session, "a", Role::Receiver, LinkTerms::default()).unwrap();
    peer.engine.receiver(link).set_credit(5);
    // Never a flow before the attach is answered.
    peer.expect_header(ProtocolHeader::AMQP)
        .expect(open())
        .expect(begin())
        .expect(attach_receiver("a"))
        .expect_nothing();
    peer.send_header(ProtocolHeader::AMQP).send(open()).send(begin().remote_channel(0)).expect_nothing();
    peer.send(postroad_testkit::attach_sender("a").initial_delivery_count(9));
    assert_eq!(peer.events(), [Event::Opened, Event::SessionBegun(session), Event::LinkAttached(link)]);
    peer.expect(postroad_testkit::flow().handle(0).link_credit(5).delivery_count(9)).expect_nothing();
}

/// What a server answers to a header that is not the one it wants, and the error that it has.
fn check_server(first: &[u8], error: &ConnectionError, hint: &str) {
    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    peer.send_bytes(first);
    assert_eq!(peer.result().as_ref(), Err(error));
    assert_eq!(peer.events(), [Event::Closed(error.clone())]);
    // 2.2: the header that we would have taken, and nothing behind it.
    peer.expect_header(ProtocolHeader::AMQP).expect_nothing();
    assert!(error.hint().is_some_and(|text| text.contains(hint)), "{:?} does not say {hint}", error.hint());
    assert!(!error.to_string().is_empty());
}

/// What a client makes of the answer of something that is no AMQP 1.0 server.
fn check_client(answer: &[u8], error: &ConnectionError, hint: &str) {
    let mut peer = ScriptedPeer::of_client(Config::new("engine"));
    peer.expect_header(ProtocolHeader::AMQP).expect(open());
    peer.send_bytes(answer);
    assert_eq!(peer.result().as_ref(), Err(error));
    peer.expect_nothing();
    assert!(error.hint().is_some_and(|text| text.contains(hint)), "{:?} does not say {hint}", error.hint());
}

#[test]
fn foreign_headers_are_answered_and_named() {
    let cases = [
        (&b"AMQP\x00\x00\x09\x01"[..], ForeignProtocol::Amqp091, "plugin"),
        (b"AMQP\x01\x01\x00\x0a", ForeignProtocol::Amqp010, "qpidd"),
        (b"GET / HTTP/1.1\r\n", ForeignProtocol::Http, "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n", ForeignProtocol::Http, "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", ForeignProtocol::Tls, "amqps"),
        (b"SSH-2.0-x", ForeignProtocol::Ssh, "SSH"),
        (b"AMQP\x00\x02\x00\x00", ForeignProtocol::AmqpOther(*b"AMQP\x00\x02\x00\x00"), "version"),
    ];
    for (bytes, foreign, hint) in cases {
        check_server(bytes, &ConnectionError::ForeignProtocol(foreign), hint);
        check_client(bytes, &ConnectionError::ForeignProtocol(foreign), hint);
    }
}

#[test]
fn the_header_of_another_layer_is_answered_and_named() {
    let wrong = |found| ConnectionError::ProtocolHeader { expected: ProtocolHeader::AMQP, found };
    for (header, hint) in [(ProtocolHeader::SASL, "SASL"), (ProtocolHeader::TLS, "amqps")] {
        check_server(&header.to_bytes(), &wrong(header), hint);
        check_client(&header.to_bytes(), &wrong(header), hint);
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut pair = Pair::new(Config::new("client"), Config::new("server"));
    pair.to_server.chunks = Chunks::Fixed(1);
    pair.to_client.chunks = Chunks::Fixed(1);
    let (session, _) = pair.session();
    pair.link(session, "a", Role::Sender);
    pair.client.close(None);
    pair.run();
    assert_eq!(pair.events(Side::Client), [Event::Closed(ConnectionError::Closed)]);
    assert_eq!(pair.events(Side::Server), [Event::Closed(ConnectionError::RemoteClosed)]);
}

#[test]
fn a_close_is_answered_and_nothing_follows() {
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.send(close().error(error("test:bye"))).expect(close().error(None)).expect_nothing();
    let over = ConnectionError::Remote(error("test:bye"));
    assert_eq!(peer.events(), [Event::Closed(over.clone())]);
    assert_eq!(peer.engine.error(), Some(&over));
    peer.send(begin().channel(3)).expect_nothing();
    assert_eq!(peer.result(), Err(over));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.engine.poll_timeout(), None);
    assert!(peer.engine.begin().is_err());
}

#[test]
fn frames_behind_a_close_are_not_read() {
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.send_bytes(&[close().to_bytes(), begin().channel(9).to_bytes(), vec![0xff; 100]].concat());
    assert_eq!(peer.result(), Ok(()));
    assert_eq!(peer.events(), [Event::Closed(ConnectionError::RemoteClosed)]);
    peer.expect(close()).expect_nothing();
}

#[test]
fn nothing_follows_our_close() {
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.engine.close(Some(error("test:enough")));
    peer.expect(close().error(error("test:enough")));
    // The peer has not seen it yet.
    peer.send(begin().channel(1)).send(postroad_testkit::flow().echo(true)).send(end());
    assert_eq!(peer.result(), Ok(()));
    peer.expect_nothing();
    peer.events();
    peer.send(close()).expect_nothing();
    assert_eq!(peer.events(), [Event::Closed(ConnectionError::Closed)]);
}

#[test]
fn a_second_open_is_not_allowed() {
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.send(open()).expect(close().condition(ErrorCondition::NOT_ALLOWED)).expect_nothing();
    assert!(matches!(peer.result(), Err(ConnectionError::Violation(_))));
}

#[test]
fn nothing_may_come_before_open() {
    let mut peer = ScriptedPeer::of_server(Config::new("engine"));
    peer.send_header(ProtocolHeader::AMQP).send(begin());
    peer.expect_header(ProtocolHeader::AMQP).expect(open());
    peer.expect(close().condition(ErrorCondition::ILLEGAL_STATE)).expect_nothing();
}

#[test]
fn an_end_of_the_transport_is_told() {
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.engine.handle_eof();
    assert_eq!(peer.events(), [Event::Closed(ConnectionError::Lost)]);
    let mut peer = ScriptedPeer::with_session(Config::new("engine"));
    peer.engine.close(None);
    peer.engine.handle_eof();
    peer.engine.handle_eof();
    assert_eq!(peer.events(), [Event::Closed(ConnectionError::Closed)]);
}

#[test]
fn small_limits_of_ours_count_as_the_smallest_of_the_standard() {
    let mut config = Config::new("engine");
    (config.max_frame_size, config.incoming_window, config.handle_max) = (0, 0, u32::MAX);
    let now = std::time::Instant::now();
    let engine = Connection::client(config, None, now);
    let mut peer = ScriptedPeer::new(engine, now);
    peer.expect_header(ProtocolHeader::AMQP).expect(open().max_frame_size(512));
    peer.engine.begin().unwrap();
    peer.expect(begin().incoming_window(1).handle_max(65_535));
}
