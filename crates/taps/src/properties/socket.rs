//! Properties on sockets: what the system does about them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UdpSocket};

use super::TransportProperties;
use super::capacity::CapacityProfile;
use super::preference::Preference;
use super::selection::SelectionProperty;
use crate::endpoint::canonical;

impl TransportProperties {
    /// Sets the options on an established socket; a property that the system refuses is an error, not a wish.
    pub(crate) fn apply(&self, stream: &TcpStream) -> io::Result<()> {
        let of = &self.connection;
        stream.set_nodelay(of.capacity_profile.no_delay())?;
        let socket = SockRef::from(stream);
        let keep_alive = self.preference(SelectionProperty::KeepAlive);
        match of.keep_alive_period() {
            _ if keep_alive == Preference::Prohibit => {}
            Some(idle) => {
                let idle = idle.max(Duration::from_secs(1));
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(idle))?;
            }
            // Asked for without a time, the system has its own (RFC 9622 6.2.10); asked for with a time beyond the
            // connection's timeout, there are none (8.1.4).
            None if keep_alive >= Preference::Prefer && of.keep_alive_timeout.is_none() => {
                socket.set_keepalive(true)?
            }
            None => {}
        }
        #[cfg(target_os = "linux")]
        if let Some(timeout) = of.abort_after() {
            socket.set_tcp_user_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        }
        mark(of.capacity_profile, &socket, stream.local_addr()?)
    }

    /// Sets the options on a socket for datagrams.
    #[allow(dead_code, reason = "for the transports that send datagrams")]
    pub(crate) fn apply_udp(&self, socket: &UdpSocket) -> io::Result<()> {
        mark(self.connection.capacity_profile, &SockRef::from(socket), socket.local_addr()?)
    }
}

/// Puts the code point of the profile into each packet.
#[cfg_attr(not(unix), allow(unused_variables))]
fn mark(profile: CapacityProfile, socket: &SockRef<'_>, local: SocketAddr) -> io::Result<()> {
    #[cfg(unix)]
    if profile != CapacityProfile::Default {
        // The code point is the upper six bits of the octet (RFC 2474 3).
        let octet = u32::from(profile.dscp()) << 2;
        // An IPv4 client of a socket for both families gets IPv4 packets.
        match canonical(local) {
            SocketAddr::V4(_) => socket.set_tos_v4(octet)?,
            SocketAddr::V6(_) => socket.set_tclass_v6(octet)?,
        }
    }
    Ok(())
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

    /// RFC 9622 6.2.10: asked for without a time, it is the system's.
    #[tokio::test]
    async fn keep_alive_follows_its_preference() {
        for (properties, on) in [
            (TransportProperties::new().require(SelectionProperty::KeepAlive), true),
            (TransportProperties::new().prefer(SelectionProperty::KeepAlive), true),
            (TransportProperties::new().avoid(SelectionProperty::KeepAlive), false),
            (
                TransportProperties::new()
                    .prohibit(SelectionProperty::KeepAlive)
                    .keep_alive_timeout(Duration::from_secs(30)),
                false,
            ),
        ] {
            let (stream, _peer) = connected().await;
            properties.apply(&stream).unwrap();
            assert_eq!(SockRef::from(&stream).keepalive().unwrap(), on, "{properties:?}");
        }
    }

    /// RFC 9622 8.2: the user timeout counts once it is enabled, and where there is no timeout of the connection's.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_user_timeout_reaches_the_socket() {
        let (three, nine) = (Duration::from_secs(3), Duration::from_secs(9));
        let timeout = TransportProperties::new().user_timeout(super::super::UserTimeout::of(nine));
        for (properties, expected) in [
            (TransportProperties::new(), None),
            (timeout.clone(), Some(nine)),
            (timeout.conn_timeout(three), Some(three)),
        ] {
            let (stream, _peer) = connected().await;
            properties.apply(&stream).unwrap();
            assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), expected);
        }
    }

    /// Case 61, RFC 9622 8.1.6: the code points that the seed names, on TCP and on UDP over both families.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn each_profile_marks_packets() {
        for (profile, code_point, no_delay) in [
            (CapacityProfile::Default, 0x00, true),
            (CapacityProfile::Scavenger, 0x01, false),
            (CapacityProfile::LowLatencyInteractive, 0x24, true),
            (CapacityProfile::LowLatencyNonInteractive, 0x12, true),
            (CapacityProfile::ConstantRateStreaming, 0x1c, true),
            (CapacityProfile::CapacitySeeking, 0x0a, false),
        ] {
            let properties = TransportProperties::new().capacity_profile(profile);
            let (stream, _peer) = connected().await;
            properties.apply(&stream).unwrap();
            assert_eq!(SockRef::from(&stream).tos_v4().unwrap(), code_point << 2);
            assert_eq!(stream.nodelay().unwrap(), no_delay);
            let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            properties.apply_udp(&datagrams).unwrap();
            assert_eq!(SockRef::from(&datagrams).tos_v4().unwrap(), code_point << 2);
            // A machine without IPv6 has no such socket.
            if let Ok(datagrams) = UdpSocket::bind("[::1]:0").await {
                properties.apply_udp(&datagrams).unwrap();
                assert_eq!(SockRef::from(&datagrams).tclass_v6().unwrap(), code_point << 2);
            }
        }
    }
}
