//! Every packet is marked with the code point of the capacity profile (RFC 9622 8.1.6).

use super::relay::Relay;
use super::*;
use crate::properties::CapacityProfile;

const PROFILES: [(CapacityProfile, u8); 6] = [
    (CapacityProfile::Default, 0),
    (CapacityProfile::Scavenger, 1),
    (CapacityProfile::LowLatencyInteractive, 36),
    (CapacityProfile::LowLatencyNonInteractive, 18),
    (CapacityProfile::ConstantRateStreaming, 28),
    (CapacityProfile::CapacitySeeking, 10),
];

#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_packet_of_both_sides_has_the_code_point_of_its_profile() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    for (profile, dscp) in PROFILES {
        let properties = TransportProperties::new().capacity_profile(profile);
        let acceptor = listening(properties.clone(), &authority.server());
        let relay = Relay::to(acceptor.local().ip().unwrap()).await;
        let leaf = leaf(ProtocolStack::QuicStream, relay.address);
        let mut client = stream(soon(connect(&leaf, &setting(properties, &tls, false).await)).await.unwrap());
        // Enough for packets that are sent many at once.
        let body = vec![5; 100_000];
        say(&mut client, &body).await;
        let mut server = stream(accepted(&*acceptor).await);
        hear(&mut server, &body).await;
        say(&mut server, &body).await;
        hear(&mut client, &body).await;
        for (side, seen) in relay.seen().iter().enumerate() {
            assert!(seen.len() > 50 && seen.iter().all(|seen| *seen == dscp), "{profile:?}, {side}: {seen:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_profile_can_change_while_the_connection_runs() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let relay = Relay::to(acceptor.local().ip().unwrap()).await;
    let leaf = leaf(ProtocolStack::QuicStream, relay.address);
    let tls = authority.client().build().unwrap();
    let mut client =
        stream(soon(connect(&leaf, &setting(TransportProperties::new(), &tls, false).await)).await.unwrap());
    say(&mut client, b"1").await;
    let mut server = stream(accepted(&*acceptor).await);
    hear(&mut server, b"1").await;
    let plain = TransportProperties::new().connection;
    let marked = TransportProperties::new().capacity_profile(CapacityProfile::LowLatencyInteractive).connection;
    for stream in [&mut client, &mut server] {
        stream.apply(&plain, &marked).unwrap();
    }
    say(&mut client, b"2").await;
    hear(&mut server, b"2").await;
    relay.seen();
    say(&mut client, &[0; 10_000]).await;
    hear(&mut server, &[0; 10_000]).await;
    say(&mut server, &[0; 10_000]).await;
    hear(&mut client, &[0; 10_000]).await;
    let [from_client, from_server] = relay.seen();
    assert!(from_client.iter().all(|dscp| *dscp == 36), "{from_client:?}");
    assert!(from_server.iter().filter(|dscp| **dscp == 36).count() > 5, "{from_server:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_moves_on_keeps_its_profile() {
    let authority = Authority::new();
    let passive = TransportProperties::new().with_multipath(Multipath::Passive);
    let acceptor = listening(passive, &authority.server());
    let mut relay = Relay::to(acceptor.local().ip().unwrap()).await;
    let leaf = leaf(ProtocolStack::QuicStream, relay.address);
    let tls = authority.client().build().unwrap();
    let mut client =
        stream(soon(connect(&leaf, &setting(TransportProperties::new(), &tls, false).await)).await.unwrap());
    say(&mut client, b"1").await;
    let mut server = stream(accepted(&*acceptor).await);
    hear(&mut server, b"1").await;
    let plain = TransportProperties::new().connection;
    let marked = TransportProperties::new().capacity_profile(CapacityProfile::LowLatencyInteractive).connection;
    server.apply(&plain, &marked).unwrap();
    relay.move_on().await;
    say(&mut client, b"2").await;
    hear(&mut server, b"2").await;
    relay.seen();
    say(&mut server, &[0; 10_000]).await;
    hear(&mut client, &[0; 10_000]).await;
    let [_, from_server] = relay.seen();
    let marked = from_server.iter().filter(|dscp| **dscp == 36).count();
    assert!(marked > 5, "{from_server:?}");
    // The old address is not marked any more: another client may have it next.
    server
        .apply(&TransportProperties::new().capacity_profile(CapacityProfile::LowLatencyInteractive).connection, &plain)
        .unwrap();
    relay.seen();
    say(&mut server, &[0; 10_000]).await;
    hear(&mut client, &[0; 10_000]).await;
    let [_, from_server] = relay.seen();
    assert!(from_server.iter().filter(|dscp| **dscp == 0).count() > 5, "{from_server:?}");
}
