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
}
