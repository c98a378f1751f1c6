//! Peers that open a connection to each other (RFC 9622 7.3).

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::{Authority, PATIENCE};
use postroad_taps::{
    ConfigurationError, Connection, EstablishmentError, EstablishmentErrorKind, LengthPrefix, LocalEndpoint,
    Preconnection, Protocol, RemoteEndpoint, Security, TlsConfig, TransportProperties,
};

/// Two addresses of this machine that nobody uses, neither for TCP, which keeps a port for a while, nor for UDP.
fn two_addresses() -> [SocketAddr; 2] {
    let free = || loop {
        let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        if let Ok(udp) = std::net::UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (tcp, udp);
        }
    };
    let (one, two) = (free(), free());
    [one, two].map(|(tcp, _udp)| tcp.local_addr().unwrap())
}

fn between(local: SocketAddr, remote: SocketAddr) -> Preconnection {
    Preconnection::new()
        .security(Security::Disabled)
        .local(LocalEndpoint::from(local))
        .remote(RemoteEndpoint::from(remote).protocol(Protocol::Tcp))
        .framer(LengthPrefix::new)
}

async fn meet(one: Preconnection, two: Preconnection, after: Duration) -> [Connection; 2] {
    let late = async {
        tokio::time::sleep(after).await;
        two.rendezvous().timeout(PATIENCE).await
    };
    let (one, two) = tokio::join!(async { one.rendezvous().timeout(PATIENCE).await }, late);
    [one.unwrap(), two.unwrap()]
}

async fn talk(one: &Connection, two: &Connection) {
    assert_eq!(one.local_endpoint(), two.remote_endpoint());
    assert_eq!(one.remote_endpoint(), two.local_endpoint());
    for (from, to) in [(one, two), (two, one)] {
        from.send("hello").await.unwrap();
        let received = tokio::time::timeout(PATIENCE, to.receive()).await.unwrap().unwrap();
        assert_eq!(&received.data[..], b"hello");
    }
}

/// Case 32: exactly one connection at each side over TCP, whoever comes first, or both at once.
#[tokio::test]
async fn two_peers_meet_over_tcp() {
    for (turn, after) in [0, 0, 0, 20, 150].into_iter().enumerate() {
        let [here, there] = two_addresses();
        let [one, two] = meet(between(here, there), between(there, here), Duration::from_millis(after)).await;
        talk(&one, &two).await;
        assert_eq!(one.remote_endpoint().unwrap(), &there, "turn {turn}");
    }
}

#[tokio::test]
async fn one_side_is_the_client_of_tls() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let config = |own: &Authority, other: &Authority| {
        let identity = own.server();
        TlsConfig::builder()
            .server_certificate_pem(&identity.chain, &identity.key)
            .roots_pem(&other.pem)
            .build()
            .unwrap()
    };
    let [here, there] = two_addresses();
    let one = between(here, there).security(config(&ours, &theirs));
    let two = between(there, here).security(config(&theirs, &ours));
    let [one, two] = meet(one, two, Duration::ZERO).await;
    assert!(one.tls_info().is_some() && two.tls_info().is_some());
    talk(&one, &two).await;
}

/// Over datagrams a side is ready at once, and hears of the other by its first message.
#[cfg(feature = "udp")]
#[tokio::test]
async fn two_peers_meet_over_datagrams() {
    let [here, there] = two_addresses();
    let over = |local: SocketAddr, remote: SocketAddr| {
        Preconnection::new()
            .security(Security::Disabled)
            .properties(TransportProperties::unreliable_datagram())
            .local(LocalEndpoint::from(local))
            .remote(RemoteEndpoint::from(remote))
    };
    let [one, two] = meet(over(here, there), over(there, here), Duration::ZERO).await;
    talk(&one, &two).await;
}

/// Case 32 (6.1.1): nobody is met in a multicast group.
#[tokio::test]
async fn what_cannot_be_met_is_told_before_anything_is_opened() {
    let kind = |met: Result<Connection, EstablishmentError>| met.unwrap_err().kind().clone();
    let [here, there] = two_addresses();
    let wrong = EstablishmentErrorKind::InvalidConfiguration;
    let clear = Preconnection::new().security(Security::Disabled);
    let met = clear.clone().remote(there).rendezvous().await;
    assert_eq!(kind(met), wrong(ConfigurationError::NoLocalEndpoint));
    let met = clear.clone().local(LocalEndpoint::address(Ipv4Addr::LOCALHOST)).remote(there).rendezvous().await;
    assert_eq!(kind(met), wrong(ConfigurationError::NoLocalPort));
    let group = LocalEndpoint::multicast_group(Ipv4Addr::new(232, 1, 1, 1)).source(Ipv4Addr::LOCALHOST).port(7);
    let met = clear.clone().local(group).remote(there).rendezvous().await;
    assert_eq!(kind(met), wrong(ConfigurationError::RendezvousInGroup));
    let met = between(here, there).rendezvous().timeout(Duration::from_millis(50)).await;
    assert_eq!(kind(met), EstablishmentErrorKind::Timeout(Duration::from_millis(50)));
}
