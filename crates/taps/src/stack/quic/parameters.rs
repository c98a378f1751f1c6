//! How the properties of a connection become parameters of QUIC, and the limits that bound its memory.

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};

use crate::properties::{ConnectionProperties, Preference, SelectionProperty, TransportProperties};

/// How much a peer may have under way on one stream, in bytes: what waits for a receiver is no more.
const STREAM_WINDOW: u32 = 1_280 * 1024;

/// The same for all streams of a connection together. Streams that nobody reads can stop the others, at sixteen megabytes.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// How much waits to be acknowledged at most, over all streams of a connection.
const SEND_WINDOW: u64 = 10 * 1024 * 1024;

/// How much of datagrams may wait, in bytes, for their receiver and for the network.
const DATAGRAMS: usize = 1024 * 1024;

/// How many streams a peer may have open at once where no limit is set: each costs some hundred bytes when idle.
const STREAMS: u32 = 1024;

/// How long a connection on which nothing moves stays open. A peer that is gone does not say so when it is killed, so
/// without an end a server would keep its connections forever.
const IDLE: Duration = Duration::from_secs(600);

/// The least time within which a probe to keep alive must be answered.
const LEAST_IDLE: Duration = Duration::from_secs(30);

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carries {
    pub(super) streams: bool,
    pub(super) datagrams: bool,
}

/// Which streams the peer may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerStreams {
    /// None.
    None,
    /// One that only it sends on.
    OneWay,
    /// As many as the properties say.
    Grouped,
}

/// The parameters of a connection with these properties.
pub(super) fn parameters(
    properties: &ConnectionProperties,
    carries: Carries,
    peer_streams: PeerStreams,
) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let streams = match peer_streams {
        PeerStreams::None => (0, 0),
        PeerStreams::OneWay => (0, 1),
        PeerStreams::Grouped => (accepted_streams(properties), accepted_streams(properties)),
    };
    config.max_concurrent_bidi_streams(streams.0.into()).max_concurrent_uni_streams(streams.1.into());
    config.stream_receive_window(STREAM_WINDOW.into()).receive_window(CONNECTION_WINDOW.into());
    config.send_window(SEND_WINDOW);
    config.datagram_receive_buffer_size(carries.datagrams.then_some(DATAGRAMS)).datagram_send_buffer_size(DATAGRAMS);
    let keep_alive = properties.keep_alive_period();
    config.keep_alive_interval(keep_alive);
    config.max_idle_timeout(Some(idle_timeout(keep_alive)));
    Arc::new(config)
}

/// How many streams a peer may have open: its first one, and as many as may join the group (RFC 9622 8.1.9).
pub(super) fn accepted_streams(properties: &ConnectionProperties) -> u32 {
    properties.group_conn_limit.map_or(STREAMS, |limit| limit.saturating_add(1).min(STREAMS))
}

/// Whether messages that may be lost are to go as datagrams beside the streams (RFC 9622 6.2.3).
pub(super) fn asks_for_loose(properties: &TransportProperties) -> bool {
    properties.preference(SelectionProperty::PerMsgReliability) >= Preference::Prefer
}

/// The priority of a stream, where the higher number goes first (RFC 9622 8.1.2 has it the other way round).
pub(super) fn priority(properties: &ConnectionProperties) -> i32 {
    -i32::try_from(properties.conn_priority).unwrap_or(i32::MAX)
}

/// The connection's timeout is watched apart, since it runs only while the peer owes an answer: see `patience`.
fn idle_timeout(keep_alive: Option<Duration>) -> IdleTimeout {
    let idle = keep_alive.map_or(IDLE, |period| period.saturating_mul(4).clamp(LEAST_IDLE, IDLE));
    VarInt::from_u32(idle.as_millis() as u32).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_streams_is_that_of_the_group() {
        let mut properties = ConnectionProperties::default();
        assert_eq!(accepted_streams(&properties), STREAMS);
        properties.group_conn_limit = Some(2);
        assert_eq!(accepted_streams(&properties), 3, "two besides the first");
        properties.group_conn_limit = Some(u32::MAX);
        assert_eq!(accepted_streams(&properties), STREAMS, "there is always a limit");
    }

    #[test]
    fn a_lower_priority_number_goes_first() {
        let of = |conn_priority| priority(&ConnectionProperties { conn_priority, ..ConnectionProperties::default() });
        assert!(of(0) > of(1) && of(1) > of(100) && of(100) > of(u32::MAX));
    }
}
