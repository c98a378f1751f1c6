//! What the network does to a connection, and what of it is told: conformance cases 60, 62 and 64.
#![cfg(target_os = "linux")]

mod common;
#[path = "../../sys/tests/common/mod.rs"]
mod namespace;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use common::PATIENCE;
use namespace::{FOREVER, Kernel, NEW_ADDRESS, is_inside_a_namespace};
use postroad_sys::interface::interfaces;
use postroad_taps::{
    Connection, ConnectionError, EndpointAddress, Event, EventStream, Preconnection, ReceiveError, Security,
    SelectionProperty, SendError, TransportProperties,
};
use tokio::net::{TcpListener, TcpStream};

/// A connection to a peer of the test's own.
async fn reach(properties: TransportProperties) -> (Connection, TcpStream) {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = EndpointAddress::from(peer.local_addr().unwrap());
    let client = Preconnection::new().security(Security::Disabled).properties(properties).remote(remote);
    let (connection, accepted) = tokio::join!(async { client.initiate().timeout(PATIENCE).await }, peer.accept());
    (connection.unwrap(), accepted.unwrap().0)
}

/// Runs the test of this name in a network of its own, whose one interface is the loopback.
fn in_a_network(name: &str, test: impl AsyncFnOnce(Kernel, u32)) {
    if !is_inside_a_namespace(name) {
        return;
    }
    let kernel = Kernel::open();
    let lo = interfaces().unwrap().into_iter().find(|interface| interface.loopback).unwrap().index;
    kernel.link(lo, true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(kernel, lo));
}

async fn next(events: &mut EventStream) -> Option<Event> {
    tokio::time::timeout(PATIENCE, events.next()).await.expect("no event")
}

/// Case 60, RFC 9622 8.1.3 and 8.2.3: a peer that does not take what it is sent for too long ends the connection.
#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up() {
    let (connection, _peer) = reach(TransportProperties::new().conn_timeout(Duration::from_secs(1))).await;
    assert_eq!(connection.properties().get("tcp.userTimeoutChangeable").unwrap(), false.into());
    let mut events = connection.events();
    let begin = Instant::now();
    let error = loop {
        // What fits into the buffers of both ends leaves; then it stands still.
        if let Err(error) = tokio::time::timeout(PATIENCE, connection.send(vec![0; 1 << 20])).await.unwrap() {
            break error;
        }
    };
    let elapsed = begin.elapsed();
    assert_eq!(error, SendError::ProtocolFailed(ConnectionError::Timeout));
    assert!(elapsed >= Duration::from_millis(900) && elapsed < Duration::from_secs(8), "{elapsed:?}");
    assert_eq!(connection.receive().await.unwrap_err(), ReceiveError::ProtocolFailed(ConnectionError::Timeout));
    loop {
        match next(&mut events).await {
            Some(Event::ConnectionError(error)) => break assert_eq!(error, ConnectionError::Timeout),
            Some(event) => assert!(!event.is_last(), "{event:?}"),
            None => panic!("the end was not told"),
        }
    }
    assert_eq!(next(&mut events).await, None);
}

/// Case 60 for a connection that begins without a timeout and is given one later.
#[tokio::test]
async fn a_timeout_may_be_set_later() {
    let (connection, _peer) = reach(TransportProperties::new()).await;
    assert_eq!(connection.properties().get("tcp.userTimeoutChangeable").unwrap(), true.into());
    connection.set_property("connTimeout", 1).unwrap();
    assert_eq!(connection.properties().get("tcp.userTimeoutChangeable").unwrap(), false.into());
    let sending = async { while connection.send(vec![0; 1 << 20]).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sending).await.expect("the peer was not given up");
    assert_eq!(connection.closed().await.unwrap_err(), ConnectionError::Timeout);
}

/// Case 64, RFC 9622 8.3.2: whoever waits for events hears of what changes about the paths of the connection.
#[test]
fn changes_of_the_paths_are_told() {
    in_a_network("changes_of_the_paths_are_told", async |kernel, lo| {
        let (connection, mut peer) = reach(TransportProperties::new()).await;
        let mut events = connection.events();
        settle(&mut events).await;

        kernel.address(NEW_ADDRESS, lo, IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)), 32, FOREVER);
        assert_eq!(next(&mut events).await, Some(Event::PathChange));
        settle(&mut events).await;
        kernel.link(lo, false);
        assert_eq!(next(&mut events).await, Some(Event::PathChange));
        kernel.link(lo, true);
        assert_eq!(next(&mut events).await, Some(Event::PathChange));
        settle(&mut events).await;

        // The connection has lived on, and its other events come as ever.
        tokio::io::AsyncWriteExt::write_all(&mut peer, b"still here").await.unwrap();
        let want = postroad_taps::Receive::min_incomplete(1);
        connection.receive_with(want).await.unwrap();
        assert!(matches!(other(&mut events).await, Some(Event::ReceivedPartial { length: 10, .. })));
        connection.abort();
        assert_eq!(other(&mut events).await, Some(Event::ConnectionError(ConnectionError::LocalAbort)));
        assert_eq!(next(&mut events).await, None);
    });
}

/// Takes what the system still has to say of an earlier change.
async fn settle(events: &mut EventStream) {
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(200), events.next()).await {
        assert_eq!(event, Some(Event::PathChange));
    }
}

/// The next event that is no change of a path.
async fn other(events: &mut EventStream) -> Option<Event> {
    loop {
        match next(events).await {
            Some(Event::PathChange) => {}
            event => return event,
        }
    }
}

/// `retransmit-notify` of the original interface: packets that do not get through are sent again, and that is told once.
#[test]
fn excessive_retransmissions_are_told() {
    in_a_network("excessive_retransmissions_are_told", async |kernel, lo| {
        let notified =
            TransportProperties::new().prefer(SelectionProperty::RetransmitNotify).retransmit_notify_threshold(1);
        let (connection, _peer) = reach(notified).await;
        assert_eq!(connection.properties().get("retransmit-notify").unwrap(), true.into());
        let mut events = connection.events();
        kernel.link(lo, false);
        connection.send("into the void").await.unwrap();
        let told = loop {
            match other(&mut events).await {
                Some(Event::Sent { .. }) => {}
                event => break event,
            }
        };
        assert!(matches!(told, Some(Event::ExcessiveRetransmission { count: 2.. })), "{told:?}");
    });
}

/// Case 62, RFC 9622 6.2.10: whether a connection is kept alive can be read; the stack's own tests look at the socket.
#[tokio::test]
async fn keep_alive_reads_as_it_was_asked_for() {
    for (properties, on) in [
        (TransportProperties::new(), false),
        (TransportProperties::new().require(SelectionProperty::KeepAlive), true),
        (TransportProperties::new().keep_alive_timeout(Duration::from_secs(30)), true),
    ] {
        let (connection, _peer) = reach(properties).await;
        assert_eq!(connection.properties().get("keepAlive").unwrap(), on.into());
    }
}
