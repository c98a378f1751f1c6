//! The code points of the capacity profiles (RFC 9622 8.1.6), as other programs see them.

use std::net::TcpListener;

use postroad_taps::{CapacityProfile, Message, Preconnection, TransportProperties};
use postroad_tests::ours::{SOON, run, soon};

use super::{clear, connect, found, ready};

/// The profiles with their code points: RFC 8622, RFC 2597, and the names of the original interface.
const PROFILES: [(CapacityProfile, u64); 6] = [
    (CapacityProfile::Default, 0),
    (CapacityProfile::Scavenger, 1),
    (CapacityProfile::LowLatencyInteractive, 36),
    (CapacityProfile::LowLatencyNonInteractive, 18),
    (CapacityProfile::ConstantRateStreaming, 28),
    (CapacityProfile::CapacitySeeking, 10),
];

fn with(mut properties: TransportProperties, profile: CapacityProfile) -> Preconnection {
    properties.connection.capacity_profile = profile;
    clear().properties(properties)
}

/// Case 61: the first packet of a connection is marked already.
#[test]
fn python_sees_the_mark_of_each_profile_over_tcp() {
    let python = found!(python);
    run(async {
        let mut peer = python.start(&["marks"]).unwrap();
        let port = ready(&mut peer);
        for (profile, code_point) in PROFILES {
            let connection = connect(with(TransportProperties::new(), profile), port).await;
            let mark = peer.event("mark", SOON).unwrap();
            // The two lower bits are those of the network (RFC 3168).
            assert_eq!(mark["octet"].as_u64().map(|octet| octet >> 2), Some(code_point), "{profile:?}");
            soon(connection.close()).await.unwrap();
        }
    });
}

/// Case 61: each datagram is marked.
#[test]
fn python_sees_the_mark_of_each_profile_over_udp() {
    let python = found!(python);
    run(async {
        let mut peer = python.start(&["marks", "--udp"]).unwrap();
        let port = ready(&mut peer);
        for (profile, code_point) in PROFILES {
            let connection = connect(with(TransportProperties::unreliable_datagram(), profile), port).await;
            soon(connection.send("x")).await.unwrap();
            let mark = peer.event("mark", SOON).unwrap();
            assert_eq!(mark["octet"].as_u64().map(|octet| octet >> 2), Some(code_point), "{profile:?}");
            soon(connection.close()).await.unwrap();
        }
    });
}

/// Case 61: not the first packet alone, over TCP. Who may not capture skips this by name.
#[test]
fn tshark_sees_the_mark_of_each_profile_on_every_packet_of_tcp() {
    let tshark = found!(tshark);
    run(async {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let mut watching = match tshark.watch(port, &["tcp.srcport", "ip.dsfield.dscp", "tcp.flags.fin"]) {
            Ok(watching) => watching,
            Err(skipped) => return skipped.note(),
        };
        for (profile, code_point) in PROFILES {
            let connection = connect(with(TransportProperties::new(), profile), port).await;
            let (peer, _) = server.accept().unwrap();
            soon(connection.send(Message::new("x").last())).await.unwrap();
            let source = connection.local_endpoint().unwrap().ip().unwrap().port().to_string();
            let mut seen = 0;
            loop {
                let line = watching.line(SOON).unwrap();
                let fields: Vec<&str> = line.split('\t').collect();
                let [from, mark, fin] = fields[..] else { panic!("{line}") };
                // A probe may have been under way, or the end of the connection before.
                if from != source {
                    continue;
                }
                assert_eq!(mark.parse(), Ok(code_point), "{profile:?}");
                seen += 1;
                if fin == "1" || fin == "True" {
                    break;
                }
            }
            assert!(seen >= 3, "a handshake, a message and the end: {seen}");
            drop(peer);
            soon(connection.close()).await.unwrap();
        }
    });
}
