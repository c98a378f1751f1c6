//! Requests about nodes go on over the next connection, with another node for the answers.

use std::time::Duration;

use postroad_client::types::Fields;
use postroad_client::{Binding, ConnectionEvent, NodeKind};
use postroad_testkit::faults::{At, Direction, Fault, FrameKind, Point, Rule};

use crate::{PATIENCE, Road};

#[tokio::test]
async fn a_request_is_made_again_wherever_the_connection_breaks() {
    use Direction::{ToClient, ToServer};
    use FrameKind::{Disposition, Transfer};
    let road = Road::new(&[]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let mut management = session.management().await.unwrap();
    let mut events = connection.events();
    let mut nodes = Vec::new();
    let places = [(Transfer, ToServer), (Disposition, ToClient), (Transfer, ToClient), (Disposition, ToServer)];
    let cuts = places.into_iter().flat_map(|(kind, direction)| {
        [Point::Before, Point::After].map(|point| Rule::cut(At::frame(kind).at(point)).in_direction(direction))
    });
    for (number, cut) in cuts.enumerate() {
        let name = format!("q{number}");
        road.proxy.arm(cut);
        let declared = management.declare(NodeKind::Queue, &name, Fields::default());
        tokio::time::timeout(PATIENCE, declared).await.unwrap().unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(road.broker.queues().contains(&name), "{number}");
        // What was cut behind the answer is lost a moment later.
        let renewed = async {
            loop {
                if let Some(ConnectionEvent::NodeRenewed { previous, address, .. }) = events.next().await {
                    return (previous, address);
                }
            }
        };
        nodes.push(tokio::time::timeout(PATIENCE, renewed).await.unwrap_or_else(|_| panic!("{number}: no cut")));
    }
    assert!(nodes.iter().all(|(previous, address)| previous.as_ref() != Some(address)), "{nodes:?}");
    assert_eq!(management.is_bound(&Binding::new("amq.topic", "q0").key("k")).await, Ok(false));
}

#[tokio::test]
async fn a_request_waits_for_the_node_of_its_answers() {
    let road = Road::new(&[]).await;
    let connection = road.connect().await;
    let session = connection.session().await.unwrap();
    let mut management = session.management().await.unwrap();
    let mut events = connection.events();
    for number in 0..4 {
        // The request is made while its links are being attached, and the one of the answers takes a while.
        let late =
            Rule::new(Fault::Delay(Duration::from_millis(100)), At::frame(FrameKind::Attach).nth(1 + number % 2));
        road.proxy.arm(late.in_direction(Direction::ToClient));
        road.proxy.cut_all();
        while !matches!(events.next().await, Some(ConnectionEvent::Reopened { .. })) {}
        let name = format!("q{number}");
        let declared = management.declare(NodeKind::Queue, &name, Fields::default());
        tokio::time::timeout(PATIENCE, declared).await.unwrap().unwrap_or_else(|error| panic!("{number}: {error}"));
        assert!(road.broker.queues().contains(&name));
    }
}
