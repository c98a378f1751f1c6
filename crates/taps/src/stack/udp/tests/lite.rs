//! UDP-Lite: checksums that cover a part.
#![cfg(all(target_os = "linux", feature = "udp-lite"))]

use super::*;
use crate::properties::ChecksumCoverage;

/// A listener that wants this much covered, and one who sends to it; nothing where the system has no UDP-Lite.
async fn pair(least: ChecksumCoverage) -> Option<(Box<dyn Acceptor>, End)> {
    let mut properties = TransportProperties::new();
    properties.connection.recv_checksum_len = least;
    let stand = Stand { stack: ProtocolStack::UdpLite, ..stand(LOOPBACK) };
    let listener = match listener_of(&stand, properties.clone()) {
        Ok(listener) => listener,
        Err(error) => {
            println!("skipped: udp-lite: {error}");
            return None;
        }
    };
    let leaf = Leaf { stack: ProtocolStack::UdpLite, ..leaf(address(&*listener)) };
    let client = client_of(&leaf, properties).await.unwrap();
    Some((listener, client))
}

async fn send(end: &mut End, length: usize, coverage: ChecksumCoverage) {
    let mut context = MessageContext::default();
    context.set_checksum_len(coverage);
    end.send_with(&vec![0; length], context).await.unwrap();
}

#[tokio::test]
async fn case_68_too_little_coverage_is_not_delivered() {
    let Some((listener, mut client)) = pair(ChecksumCoverage::Bytes(64)).await else { return };
    send(&mut client, 101, ChecksumCoverage::Bytes(20)).await;
    send(&mut client, 102, ChecksumCoverage::Full).await;
    let mut server = accept(&*listener).await;
    assert_eq!(server.about.stack, ProtocolStack::UdpLite);
    assert_eq!(server.data().await.len(), 102);
    send(&mut client, 103, ChecksumCoverage::Bytes(0)).await;
    send(&mut client, 104, ChecksumCoverage::Bytes(64)).await;
    // A coverage beyond the message is all of it.
    send(&mut client, 60, ChecksumCoverage::Bytes(1_000_000)).await;
    client.send(&[0; 61]).await.unwrap();
    assert_eq!((server.data().await.len(), server.data().await.len(), server.data().await.len()), (104, 60, 61));
    // The answers have their own.
    send(&mut server, 105, ChecksumCoverage::Bytes(20)).await;
    send(&mut server, 106, ChecksumCoverage::Bytes(70)).await;
    assert_eq!(client.data().await.len(), 106);
}

#[tokio::test]
async fn case_68_full_coverage_is_what_is_asked_for_unless_said() {
    let Some((listener, mut client)) = pair(ChecksumCoverage::Full).await else { return };
    send(&mut client, 100, ChecksumCoverage::Bytes(99)).await;
    client.send(&[0; 50]).await.unwrap();
    assert_eq!(accept(&*listener).await.data().await.len(), 50);
}

#[tokio::test]
async fn case_68_no_coverage_asked_for_takes_everything() {
    let Some((listener, mut client)) = pair(ChecksumCoverage::Bytes(0)).await else { return };
    send(&mut client, 100, ChecksumCoverage::Bytes(0)).await;
    let mut server = accept(&*listener).await;
    assert_eq!(server.data().await.len(), 100);
    // A connection with a socket of its own can ask for more; those of a listener share what that asked for.
    let to = ConnectionProperties::default();
    let from = to.clone().recv_checksum_len(ChecksumCoverage::Bytes(0));
    client.transport.apply(&from, &to).unwrap();
    assert_eq!(server.transport.apply(&from, &to).unwrap_err().kind(), io::ErrorKind::Unsupported);
    send(&mut server, 101, ChecksumCoverage::Bytes(10)).await;
    send(&mut server, 102, ChecksumCoverage::Full).await;
    assert_eq!(client.data().await.len(), 102);
}
