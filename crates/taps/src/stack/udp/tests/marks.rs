//! What stands in the header of the packets: traffic classes of both ends.
#![cfg(target_os = "linux")]

use std::io::IoSlice;

use postroad_sys::message::{self, Outgoing};
use tokio::io::Interest;

use super::*;
use crate::message::Ecn;

const PROFILES: [(CapacityProfile, u8); 6] = [
    (CapacityProfile::Default, 0),
    (CapacityProfile::Scavenger, 1),
    (CapacityProfile::LowLatencyInteractive, 36),
    (CapacityProfile::LowLatencyNonInteractive, 18),
    (CapacityProfile::ConstantRateStreaming, 28),
    (CapacityProfile::CapacitySeeking, 10),
];

/// A socket that tells what it receives with.
async fn witness(address: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let (socket, address) = raw(address).await;
    message::set_receive_traffic_class(&socket, true).unwrap();
    (socket, address)
}

async fn dscp(witness: &UdpSocket) -> u8 {
    let mut buffer = [0; 100];
    let received = witness.async_io(Interest::READABLE, || message::receive(witness, &mut buffer));
    soon(received).await.unwrap().dscp().unwrap()
}

fn loopbacks() -> impl Iterator<Item = IpAddr> {
    let all = [IpAddr::from(Ipv4Addr::LOCALHOST), "::1".parse().unwrap()];
    all.into_iter().filter(|address| std::net::UdpSocket::bind((*address, 0)).is_ok())
}

#[tokio::test]
async fn case_61_each_profile_has_its_code_point_on_the_wire() {
    for loopback in loopbacks() {
        for (profile, expected) in PROFILES {
            let (witness, remote) = witness(loopback).await;
            let properties = TransportProperties::new().capacity_profile(profile);
            let mut client = client_of(&leaf(remote), properties).await.unwrap();
            client.send(b"marked").await.unwrap();
            assert_eq!(dscp(&witness).await, expected, "{profile:?}");
        }
    }
}

#[tokio::test]
async fn case_61_a_message_and_a_change_override_the_profile() {
    for loopback in loopbacks() {
        let (witness, remote) = witness(loopback).await;
        let properties = TransportProperties::new().capacity_profile(CapacityProfile::Scavenger);
        let from = properties.connection.clone();
        let mut client = client_of(&leaf(remote), properties).await.unwrap();
        for (profile, expected) in PROFILES {
            let mut context = MessageContext::default();
            context.set_capacity_profile(profile);
            client.send_with(b"marked", context).await.unwrap();
            client.send(b"as the connection").await.unwrap();
            assert_eq!((dscp(&witness).await, dscp(&witness).await), (expected, 1));
        }
        let to = from.clone().capacity_profile(CapacityProfile::CapacitySeeking);
        client.transport.apply(&from, &to).unwrap();
        client.send(b"changed").await.unwrap();
        assert_eq!(dscp(&witness).await, 10);
        client.transport.apply(&to, &ConnectionProperties::default()).unwrap();
        client.send(b"changed").await.unwrap();
        assert_eq!(dscp(&witness).await, 0);
    }
}

#[tokio::test]
async fn case_61_the_connections_of_a_listener_have_each_its_own() {
    let properties = TransportProperties::new().capacity_profile(CapacityProfile::CapacitySeeking);
    let from = properties.connection.clone();
    let listener = listener_of(&stand(LOOPBACK), properties).unwrap();
    let mut ends = Vec::new();
    for _ in 0..2 {
        let (witness, _) = witness(Ipv4Addr::LOCALHOST).await;
        witness.send_to(b"hello", address(&*listener)).await.unwrap();
        ends.push((accept(&*listener).await, witness));
    }
    let to = from.clone().capacity_profile(CapacityProfile::LowLatencyInteractive);
    ends[1].0.transport.apply(&from, &to).unwrap();
    for ((end, witness), expected) in ends.iter_mut().zip([10, 36]) {
        end.send(b"marked").await.unwrap();
        assert_eq!(dscp(witness).await, expected);
        let mut context = MessageContext::default();
        context.set_capacity_profile(CapacityProfile::Default);
        end.send_with(b"plain", context).await.unwrap();
        assert_eq!(dscp(witness).await, 0);
    }
}

#[tokio::test]
async fn case_58_marks_of_the_network_are_read_with_the_message() {
    for loopback in loopbacks() {
        let (socket, remote) = raw(loopback).await;
        let listener = listener(SocketAddr::new(loopback, 0));
        let mut client = client(remote).await;
        for (ecn, dscp) in [(Ecn::Ce, 36), (Ecn::Ect0, 0), (Ecn::Ect1, 10), (Ecn::NotEct, 1)] {
            let octet = dscp << 2 | ecn as u8;
            for to in [client.local(), address(&*listener)] {
                let outgoing = Outgoing::new().to(to).traffic_class(octet);
                let parts = [IoSlice::new(b"marked")];
                socket.async_io(Interest::WRITABLE, || message::send(&socket, &parts, &outgoing)).await.unwrap();
            }
            let (_, context) = client.receive().await;
            assert_eq!((context.ecn(), context.dscp()), (Some(ecn), Some(dscp)));
            let (_, context) = accept(&*listener).await.receive().await;
            assert_eq!((context.ecn(), context.dscp()), (Some(ecn), Some(dscp)));
        }
    }
}
