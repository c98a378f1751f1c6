//! Groups: senders, and listeners with any source or with one.
#![cfg(target_os = "linux")]

use super::*;
use crate::properties::Direction;

fn group(last: u8) -> SocketAddr {
    SocketAddr::from(([239, 192, 9, last], 0))
}

fn member(group: SocketAddr, source: Option<IpAddr>) -> Stand {
    Stand { interface: Some("lo".into()), source, ..stand(group) }
}

/// Somebody at an address of the loopback who sends to the group.
async fn sender(group: SocketAddr, last: u8) -> End {
    let local = SocketAddr::from(([127, 0, 0, last], 0));
    let leaf = Leaf { local: Some(local.into()), hop_limit: Some(0), ..leaf(group) };
    client_of(&leaf, TransportProperties::new()).await.unwrap()
}

#[tokio::test]
async fn case_67_each_sender_is_a_connection_and_they_are_grouped() {
    let listener = listener_of(&member(group(1), None), TransportProperties::new()).unwrap();
    let group = address(&*listener);
    let (mut first, mut second) = (sender(group, 1).await, sender(group, 2).await);
    first.send(b"1a").await.unwrap();
    second.send(b"2a").await.unwrap();
    first.send(b"1b").await.unwrap();
    let (mut from_first, mut from_second) = (accept(&*listener).await, accept(&*listener).await);
    assert_eq!((from_first.data().await, from_first.data().await), ("1a".into(), "1b".into()));
    assert_eq!(from_second.data().await, "2a");
    for (end, sender) in [(&from_first, &first), (&from_second, &second)] {
        assert_eq!((end.local(), end.remote()), (group, sender.local()));
        assert!(end.grouped && end.about.can_send);
    }
    // An answer is for the sender alone.
    from_first.send(b"answer").await.unwrap();
    let (witness, _) = raw(Ipv4Addr::new(127, 0, 0, 3)).await;
    witness.send_to(b"asked", group).await.unwrap();
    let mut from_witness = accept(&*listener).await;
    from_witness.send(b"answer").await.unwrap();
    let mut buffer = [0; 10];
    let (length, from) = soon(witness.recv_from(&mut buffer)).await.unwrap();
    assert_eq!((&buffer[..length], from.port()), (&b"answer"[..], group.port()));
}

#[tokio::test]
async fn case_67_one_source_is_heard_and_others_are_not() {
    let source = IpAddr::from([127, 0, 0, 1]);
    let stand = Stand { local: SocketAddr::from(([232, 1, 9, 2], 0)).into(), ..member(group(2), Some(source)) };
    let listener = listener_of(&stand, TransportProperties::new()).unwrap();
    let group = address(&*listener);
    // Somebody else on this host hears everybody; that is no reason to.
    let others = Stand { local: group.into(), ..member(group, None) };
    let others = listener_of(&others, TransportProperties::new()).unwrap();
    sender(group, 2).await.send(b"other").await.unwrap();
    sender(group, 1).await.send(b"source").await.unwrap();
    let mut end = accept(&*listener).await;
    assert_eq!((end.remote().ip(), end.data().await), (source, "source".into()));
    let (mut one, mut two) = (accept(&*others).await, accept(&*others).await);
    assert_eq!((one.data().await, two.data().await), ("other".into(), "source".into()));
}

#[tokio::test]
async fn case_67_who_initiates_to_a_group_only_sends() {
    let listener = listener_of(&member(group(3), None), TransportProperties::new()).unwrap();
    let mut sender = sender(address(&*listener), 1).await;
    assert_eq!((sender.about.can_send, sender.about.can_receive), (true, false));
    assert_eq!(sender.transport.limits().receive, Some(0));
    assert!(matches!(sender.arrived().await, Arrived::End));
    sender.send(b"still").await.unwrap();
    assert_eq!(accept(&*listener).await.data().await, "still");
}

#[tokio::test]
async fn a_group_is_no_place_to_start_from() {
    let (_socket, remote) = raw(Ipv4Addr::LOCALHOST).await;
    let leaf = Leaf { local: Some(group(4).into()), ..leaf(remote) };
    let error = client_of(&leaf, TransportProperties::new()).await.err();
    assert_eq!(error, Some(AttemptError::LocalEndpoint(io::ErrorKind::Unsupported)));
}

#[tokio::test]
async fn who_only_receives_does_not_answer() {
    let properties = TransportProperties::new().with_direction(Direction::UnidirectionalReceive);
    let listener = listener_of(&member(group(5), None), properties).unwrap();
    sender(address(&*listener), 1).await.send(b"hello").await.unwrap();
    assert!(!accept(&*listener).await.about.can_send);
}

#[tokio::test]
async fn several_listen_to_one_group() {
    let first = listener_of(&member(group(6), None), TransportProperties::new()).unwrap();
    let second = listener_of(&member(address(&*first), None), TransportProperties::new()).unwrap();
    sender(address(&*first), 1).await.send(b"hello").await.unwrap();
    assert_eq!(accept(&*first).await.data().await, "hello");
    assert_eq!(accept(&*second).await.data().await, "hello");
}

#[tokio::test]
async fn an_interface_that_does_not_exist_is_told() {
    let stand = Stand { interface: Some("nosuch0".into()), ..member(group(7), None) };
    assert!(listener_of(&stand, TransportProperties::new()).is_err());
}
