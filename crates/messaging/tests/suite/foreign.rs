//! Brokers that cannot do what an address asks for: an error says so, and nothing has happened.

use postroad_messaging::AddressError;

use super::addresses::address_error;
use super::*;

fn refused(error: &AddressError, wanted: &str) {
    let AddressError::Unsupported { option, .. } = error else { panic!("{wanted}: {error:?}") };
    assert_eq!(*option, wanted);
    assert!(error.to_string().starts_with(wanted) && error.hint().is_some(), "{error}");
}

#[tokio::test]
async fn what_needs_requests_about_nodes_is_refused_before_anything_is_asked() {
    let (session, theirs) = peer().await;
    for (address, wanted) in [
        ("q; {delete: always}", "delete"),
        ("q; {node: {x-bindings: [{key: a}]}}", "node.x-bindings"),
        ("q; {link: {x-bindings: [{key: a}]}}", "link.x-bindings"),
        ("q; {link: {x-declare: {exclusive: True}}}", "link.x-declare"),
        ("q; {link: {x-subscribe: {arguments: {a: 1}}}}", "link.x-subscribe"),
    ] {
        refused(&address_error(session.sender(address).await), wanted);
        refused(&address_error(session.receiver(address).await), wanted);
    }
    refused(&address_error(session.sender("q; {link: {selector: 'a = 1'}}").await), "link.selector");
    // The next link that the peer sees is one that it was asked for.
    let (sender, link) = tokio::join!(session.sender("q; {delete: receiver, assert: receiver}"), async {
        let link = theirs.next_link().await.unwrap();
        assert_eq!(link.target_address(), Some("q"));
        link.into_receiver(&client::LinkOptions::default()).unwrap()
    });
    sender.unwrap();
    drop(link);
}

/// Attaches a receiver to a peer whose answer tells nothing but the address.
async fn receiver_of_a_plain_peer(address: &str) -> AddressError {
    let (session, theirs) = peer().await;
    let serving = async {
        let mut senders = Vec::new();
        while let Ok(link) = theirs.next_link().await {
            senders.push(link.into_sender(&client::LinkOptions::default()).unwrap());
        }
    };
    tokio::select! {
        receiver = session.receiver(address) => address_error(receiver),
        () = serving => panic!("the connection is over"),
    }
}

#[tokio::test]
async fn a_filter_that_is_not_told_back_is_an_error() {
    refused(&receiver_of_a_plain_peer("q; {link: {selector: 'a = 1'}}").await, "link.selector");
    refused(&receiver_of_a_plain_peer("t/news; {node: {type: topic}}").await, "subject");
    refused(&receiver_of_a_plain_peer("t/news").await, "subject");
    let filter = "{name: f, descriptor: 'x:y', value: 1}";
    refused(&receiver_of_a_plain_peer(&format!("q; {{link: {{filter: {filter}}}}}")).await, "link.filter");
}

#[tokio::test]
async fn a_node_that_is_not_told_cannot_be_asserted() {
    let described = "q; {assert: receiver, node: {durable: False}}";
    refused(&receiver_of_a_plain_peer(described).await, "assert");
}

#[tokio::test]
async fn a_node_that_is_not_made_as_described_is_an_error() {
    let described = "q; {create: always, node: {x-declare: {arguments: {'qpid.max_count': 5}}}}";
    refused(&receiver_of_a_plain_peer(described).await, "create");
}

#[tokio::test]
async fn a_broker_that_keeps_nobody_from_the_node_is_an_error() {
    refused(&receiver_of_a_plain_peer("q; {link: {x-subscribe: {exclusive: True}}}").await, "link.x-subscribe");
}

#[tokio::test]
async fn a_peer_that_tells_back_anything_is_not_believed() {
    // It answers with every capability that it was asked for, and with one that there is not.
    for (options, wanted) in [
        ("mode: browse", "mode"),
        ("link: {durable: True}", "link.durable"),
        ("assert: always, node: {type: queue}", "assert"),
        ("create: always, node: {durable: True}", "create"),
    ] {
        refused(&receiver_of_a_plain_peer(&format!("q; {{{options}}}")).await, wanted);
    }
}
