//! Transport properties: what the application asks of the transport (RFC 9622 6.2 and 8.1).

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use crate::endpoint::canonical;

/// What the application asks of the transport. Each property is a field and a method that sets it.
///
/// | field | RFC 9622 | default | what TCP and TLS do with it |
/// |---|---|---|---|
/// | `keep_alive_timeout` | keepAliveTimeout, 8.1.4, and keepAlive, 6.2.10 | disabled | keep-alive probes after this idle time |
/// | `conn_timeout` | connTimeout, 8.1.3 | disabled | the connection fails when sent data stays unacknowledged this long (Linux; no effect elsewhere) |
/// | `capacity_profile` | connCapacityProfile, 8.1.6 | best effort | the code point in each packet, and whether small writes wait for company |
///
/// ```
/// use std::time::Duration;
/// use postroad_taps::{CapacityProfile, TransportProperties};
///
/// let properties = TransportProperties::new()
///     .keep_alive_timeout(Duration::from_secs(30))
///     .capacity_profile(CapacityProfile::LowLatencyInteractive);
/// assert_eq!(properties.conn_timeout, None);
/// assert_eq!(properties.capacity_profile.dscp(), 36);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportProperties {
    /// How long a connection may be idle before a keep-alive probe is sent; `None` sends none. A value greater
    /// than `conn_timeout` also sends none (RFC 9622 8.1.4).
    pub keep_alive_timeout: Option<Duration>,
    /// How long sent data may stay unacknowledged before the connection has failed; `None` leaves it to the system.
    #[doc(alias = "conn-timeout")]
    #[doc(alias = "TIMEOUT_FOR_ABORTING_CONNECTION")]
    pub conn_timeout: Option<Duration>,
    /// The treatment that the network should give to the packets.
    #[doc(alias = "conn-capacity-profile")]
    #[doc(alias = "CAPACITY_PROFILE")]
    pub capacity_profile: CapacityProfile,
}

impl TransportProperties {
    /// All properties at their defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends keep-alive probes after this idle time (whole seconds, at least one).
    #[must_use]
    pub fn keep_alive_timeout(mut self, idle: Duration) -> Self {
        self.keep_alive_timeout = Some(idle);
        self
    }

    /// Fails the connection when sent data stays unacknowledged this long (whole milliseconds, at least one).
    #[must_use]
    pub fn conn_timeout(mut self, timeout: Duration) -> Self {
        self.conn_timeout = Some(timeout);
        self
    }

    /// Sets the capacity profile.
    #[must_use]
    pub fn capacity_profile(mut self, profile: CapacityProfile) -> Self {
        self.capacity_profile = profile;
        self
    }

    /// Sets the options on an established socket; a property that the system refuses is an error, not a wish.
    pub(crate) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(self.capacity_profile.no_delay())?;
        let socket = SockRef::from(stream);
        if let Some(idle) = self.keep_alive_timeout
            && self.conn_timeout.is_none_or(|timeout| idle <= timeout)
        {
            let idle = idle.max(Duration::from_secs(1));
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(idle))?;
        }
        #[cfg(target_os = "linux")]
        if let Some(timeout) = self.conn_timeout {
            socket.set_tcp_user_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        }
        #[cfg(unix)]
        if self.capacity_profile != CapacityProfile::Default {
            // The code point is the upper six bits of the octet (RFC 2474 3).
            let octet = u32::from(self.capacity_profile.dscp()) << 2;
            // An IPv4 client of a socket for both families gets IPv4 packets.
            match canonical(stream.local_addr()?) {
                std::net::SocketAddr::V4(_) => socket.set_tos_v4(octet)?,
                std::net::SocketAddr::V6(_) => socket.set_tclass_v6(octet)?,
            }
        }
        Ok(())
    }
}

/// The treatment that the network should give to a connection's packets (RFC 9622 8.1.6).
///
/// Messages leave in whole writes, so holding a small one back for company (Nagle's algorithm) only adds delay;
/// it stays on for the two profiles that do not mind: `Scavenger` and `CapacitySeeking`.
#[doc(alias = "CapacityProfiles")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CapacityProfile {
    /// Best effort; nothing is marked.
    #[doc(alias = "DEFAULT")]
    #[default]
    Default = 0,
    /// Not urgent, yields to everything else (LE, RFC 8622).
    #[doc(alias = "SCAVENGER")]
    Scavenger = 1,
    /// Capacity matters more than delay (AF11).
    #[doc(alias = "CAPACITY_SEEKING")]
    CapacitySeeking = 10,
    /// Delay matters, nobody waits for an answer (AF21).
    LowLatencyNonInteractive = 18,
    /// A steady rate with little delay (AF32).
    ConstantRateStreaming = 28,
    /// Delay matters most (AF42).
    LowLatencyInteractive = 36,
}

impl CapacityProfile {
    /// The differentiated services code point, 0 to 63.
    #[must_use]
    pub const fn dscp(self) -> u8 {
        self as u8
    }

    /// Whether a small write leaves at once.
    #[must_use]
    pub const fn no_delay(self) -> bool {
        !matches!(self, Self::Scavenger | Self::CapacitySeeking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_defaults_only_switch_nagle_off() {
        let (stream, _peer) = connected().await;
        TransportProperties::new().apply(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(!SockRef::from(&stream).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn each_property_reaches_the_socket() {
        let (stream, _peer) = connected().await;
        TransportProperties::new()
            .keep_alive_timeout(Duration::from_secs(30))
            .conn_timeout(Duration::from_secs(60))
            .capacity_profile(CapacityProfile::CapacitySeeking)
            .apply(&stream)
            .unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(socket.tos_v4().unwrap(), 10 << 2);
        assert!(!stream.nodelay().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_code_point_follows_the_packets_and_not_the_socket() {
        // A machine without IPv6 has no such socket.
        let Ok(listener) = tokio::net::TcpListener::bind("[::]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let stream = listener.accept().await.unwrap().0;
        TransportProperties::new().capacity_profile(CapacityProfile::Scavenger).apply(&stream).unwrap();
        assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), 1 << 2);
    }

    #[tokio::test]
    async fn a_keep_alive_longer_than_the_timeout_is_off() {
        let (stream, _peer) = connected().await;
        TransportProperties::new()
            .keep_alive_timeout(Duration::from_secs(30))
            .conn_timeout(Duration::from_secs(10))
            .apply(&stream)
            .unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap());
    }
}
