//! The same wishes have the same result, in the time that they have (RFC 9622 6.2 and 7.1).
#![cfg(feature = "memory")]

use std::time::Duration;

use postroad_taps::{
    Listener, LocalEndpoint, MemoryNetwork, Preconnection, RemoteEndpoint, Security, SelectionProperty,
    TransportProperties,
};
use tokio::time::Instant;

fn messages() -> Preconnection {
    let properties = TransportProperties::new().require(SelectionProperty::PreserveMsgBoundaries);
    Preconnection::new().security(Security::Disabled).properties(properties)
}

async fn listen(name: &str) -> Listener {
    messages().local(LocalEndpoint::memory(name)).listen().await.unwrap()
}

/// Case 12 (6.2): a hundred times the same candidates, in the same order.
#[tokio::test]
async fn the_same_properties_have_the_same_candidates() {
    let properties = TransportProperties::new()
        .prefer(SelectionProperty::PreserveMsgBoundaries)
        .avoid(SelectionProperty::KeepAlive)
        .ignore(SelectionProperty::CongestionControl);
    let preconnection = Preconnection::new()
        .security(Security::Disabled)
        .properties(properties)
        .remote(RemoteEndpoint::host("192.0.2.1").port(1))
        .add_remote(RemoteEndpoint::host("2001:db8::1").port(1))
        .add_remote(RemoteEndpoint::host("192.0.2.2").port(2));
    let shown = async || preconnection.clone().candidates().await.unwrap().to_string();
    let first = shown().await;
    assert!(first.contains("192.0.2.2:2"), "{first}");
    for _ in 0..100 {
        assert_eq!(shown().await, first);
    }
}

/// Case 20 (7.1): the time is that of the caller, and not more, whatever the network does.
#[tokio::test(start_paused = true)]
async fn a_timeout_is_kept_to_the_millisecond() {
    let network = MemoryNetwork::new("never");
    let _listener = listen("never").await;
    network.black_hole(true);
    let begun = Instant::now();
    let client = messages().remote(RemoteEndpoint::memory("never"));
    client.initiate().timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_millis(300));
}
