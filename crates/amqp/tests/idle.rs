//! Idle timeouts (part 2, 2.4.5) and the handshake's.

use std::time::Duration;

use postroad_amqp::v1_0::{Config, ConnectionError, Event};
use postroad_codec::v1_0::{ErrorCondition, ProtocolHeader};
use postroad_testkit::{Pair, ScriptedPeer, Side, close, open};

const SECOND: Duration = Duration::from_secs(1);

fn quiet() -> Config {
    Config::new("engine")
}

fn strict(seconds: u32) -> Config {
    let mut config = Config::new("engine");
    config.idle_timeout = Some(seconds * SECOND);
    config
}

#[test]
fn heartbeats_leave_at_half_of_what_the_peer_allows() {
    let mut peer = ScriptedPeer::of_client(quiet());
    peer.expect_header(ProtocolHeader::AMQP).expect(open().where_("no timeout", |open| open.idle_time_out.is_none()));
    peer.send_header(ProtocolHeader::AMQP).send(open().idle_time_out(10_000));
    peer.advance(Duration::from_millis(4999)).expect_nothing();
    peer.advance(Duration::from_millis(1)).expect_empty().expect_nothing();
    peer.advance(30 * SECOND);
    for _ in 0..6 {
        peer.expect_empty();
    }
    peer.expect_nothing();
}

#[test]
fn other_frames_count_as_heartbeats() {
    let mut peer = ScriptedPeer::of_client(quiet());
    peer.expect_header(ProtocolHeader::AMQP).expect(open());
    peer.send_header(ProtocolHeader::AMQP).send(open().idle_time_out(10_000));
    peer.advance(4 * SECOND);
    peer.engine.begin().unwrap();
    peer.expect(postroad_testkit::begin());
    peer.advance(4 * SECOND).expect_nothing();
    peer.advance(SECOND).expect_empty();
}

#[test]
fn a_peer_that_reads_nothing_gets_one_heartbeat() {
    let mut peer = ScriptedPeer::of_client(quiet());
    peer.expect_header(ProtocolHeader::AMQP).expect(open());
    peer.send_header(ProtocolHeader::AMQP).send(open().idle_time_out(10_000));
    // The driver cannot write, so it does not poll: timers must not spin, nor heap up frames.
    let mut now = peer.now;
    for _ in 0..10 {
        let Some(at) = peer.engine.poll_timeout() else { break };
        now = at;
        peer.engine.handle_timeout(now);
    }
    assert_eq!(peer.engine.poll_timeout(), None);
    assert_eq!(peer.engine.output_len(), 8);
    peer.now = now;
    peer.expect_empty().expect_nothing();
    assert_eq!(peer.engine.poll_timeout(), Some(now + 5 * SECOND));
}

#[test]
fn silence_past_our_timeout_closes_the_connection() {
    let mut peer = ScriptedPeer::of_server(strict(10));
    peer.send_header(ProtocolHeader::AMQP).send(open());
    // The peer is told half, so that a late heartbeat is in time.
    peer.expect_header(ProtocolHeader::AMQP).expect(open().idle_time_out(5000));
    peer.advance(9 * SECOND).send_bytes(&[0, 0, 0, 8, 2, 0, 0, 0]);
    peer.advance(9 * SECOND).expect_nothing();
    peer.advance(SECOND).expect(close().condition(ErrorCondition::RESOURCE_LIMIT_EXCEEDED)).expect_nothing();
    assert_eq!(peer.events(), [Event::Opened, Event::Closed(ConnectionError::Idle)]);
    assert_eq!(peer.engine.poll_timeout(), None);
}

#[test]
fn two_engines_keep_each_other_alive() {
    let mut pair = Pair::new(strict(10), strict(3));
    pair.to_client.latency = SECOND / 3;
    pair.to_server.latency = SECOND / 2;
    pair.advance(100 * SECOND);
    assert_eq!(pair.events(Side::Client), [Event::Opened]);
    assert_eq!(pair.events(Side::Server), [Event::Opened]);
    pair.to_server.stalled = true;
    pair.advance(2 * SECOND);
    assert_eq!(pair.server.error(), None);
    pair.advance(SECOND);
    assert_eq!(pair.server.error(), Some(&ConnectionError::Idle));
    let told = pair.events(Side::Client);
    assert!(
        matches!(&told[..], [Event::Closed(ConnectionError::Remote(error))]
        if error.condition == ErrorCondition::RESOURCE_LIMIT_EXCEEDED),
        "{told:?}"
    );
}

#[test]
fn no_heartbeat_follows_a_close() {
    let mut peer = ScriptedPeer::of_client(quiet());
    peer.send_header(ProtocolHeader::AMQP).send(open().idle_time_out(1000));
    peer.engine.close(None);
    peer.expect_header(ProtocolHeader::AMQP).expect(open()).expect(close());
    assert_eq!(peer.engine.poll_timeout(), None);
    peer.advance(60 * SECOND).expect_nothing();
}

#[test]
fn a_handshake_takes_no_longer_than_it_may() {
    for config in [quiet(), strict(1)] {
        let mut peer = ScriptedPeer::of_server(config);
        peer.advance(15 * SECOND).send_header(ProtocolHeader::AMQP).expect_header(ProtocolHeader::AMQP);
        peer.advance(14 * SECOND);
        assert_eq!(peer.events(), []);
        peer.advance(SECOND).expect_nothing();
        assert_eq!(peer.events(), [Event::Closed(ConnectionError::Handshake)]);
    }
    let mut peer = ScriptedPeer::of_client(quiet());
    peer.send_header(ProtocolHeader::AMQP).send(open()).advance(3600 * SECOND);
    assert_eq!(peer.events(), [Event::Opened]);
}

#[test]
fn a_timeout_beyond_the_clock_s_range_is_none() {
    let mut config = Config::new("patient");
    config.idle_timeout = Some(Duration::MAX);
    config.handshake_timeout = Some(Duration::MAX);
    let mut pair = Pair::new(config.clone(), config);
    pair.run();
    assert!(pair.client.remote_open().is_some() && pair.client.error().is_none());
}
