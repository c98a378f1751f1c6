//! What the peer says of its connection and of its nodes.

mod common;
mod raw;

use std::future::Future;
use std::time::Duration;

use common::connect;
use postroad_client::types::{Symbol, Value};
use postroad_client::{ConnectOptions, Connection, EndpointState, EndpointStates, Expiry, LinkOptions, Node};
use postroad_codec::v1_0::{Attach, Close, Fields, FilterSet, Map, NodeProperties, Open, Source};
use postroad_testkit::{attach_receiver, attach_sender};
use raw::{next, put, take_header};

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it comes")
}

fn one(name: &'static str, value: impl Into<Value>) -> Map {
    let mut map = Map::default();
    map.insert(Symbol::from_static(name), value);
    map
}

const BOTH_ACTIVE: EndpointStates = EndpointStates { local: EndpointState::Active, remote: EndpointState::Active };
const BOTH_CLOSED: EndpointStates = EndpointStates { local: EndpointState::Closed, remote: EndpointState::Closed };

#[tokio::test]
async fn the_peer_tells_of_itself() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = ConnectOptions::new(format!("amqp://{}", listener.local_addr().unwrap()).parse().unwrap());
    options.sasl_enabled = false;
    options.reconnect = None;
    options.virtual_host = Some("tenant".to_owned());
    options.container_id = "ours".to_owned();
    let peer = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        take_header(&mut stream);
        assert_eq!(next(&mut stream), 0x10);
        let theirs = Open {
            container_id: "box".into(),
            hostname: Some("whoever".into()),
            desired_capabilities: [Symbol::from_static("SOLE-CONNECTION")].into_iter().collect(),
            offered_capabilities: [Symbol::from_static("ANONYMOUS-RELAY")].into_iter().collect(),
            properties: Some(Fields(one("product", "a peer"))),
            ..Open::default()
        };
        put(&theirs, &mut stream);
        assert_eq!(next(&mut stream), 0x18);
        put(&Close::default(), &mut stream);
    });
    let connection = soon(Connection::open(options)).await.unwrap();
    assert_eq!(connection.remote_container().as_deref(), Some("box"));
    assert_eq!(connection.remote_offered_capabilities(), ["ANONYMOUS-RELAY"]);
    assert_eq!(connection.remote_property("product"), Some(Value::from("a peer")));
    assert_eq!(connection.remote_property("version"), None);
    assert_eq!(connection.remote_desired_capabilities(), ["SOLE-CONNECTION"]);
    assert_eq!(connection.remote_hostname().as_deref(), Some("whoever"));
    assert_eq!((connection.hostname().as_deref(), connection.container_id()), (Some("tenant"), "ours".to_owned()));
    assert_eq!(connection.state(), BOTH_ACTIVE);
    soon(connection.close()).await.unwrap();
    assert_eq!(connection.state(), BOTH_CLOSED);
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn the_peer_tells_the_nodes_that_it_attached() {
    let script = |mut peer: raw::Peer| {
        peer.begin();
        peer.take(attach_receiver("in"));
        let made = Source {
            address: Some("made-up".into()),
            dynamic: true,
            dynamic_node_properties: Some(NodeProperties(Fields(one("lifetime-policy", "session")))),
            filter: Some(FilterSet(one("colour", "red"))),
            capabilities: [Symbol::from_static("queue")].into_iter().collect(),
            ..Source::default()
        };
        peer.send(attach_sender("in").with(|attach: &mut Attach| attach.source = Some(Box::new(made))));
        peer.part();
    };
    let (connection, peer) = raw::Peer::serve(script).await;
    let session = connection.session().await.unwrap();
    let mut options = LinkOptions::default();
    options.name = Some("in".to_owned());
    let receiver = soon(session.receiver_with(Node::dynamic(), options)).await.unwrap();
    let node = receiver.remote().unwrap();
    assert_eq!((node.address.as_deref(), receiver.address().as_deref()), (Some("made-up"), Some("made-up")));
    assert!(node.dynamic);
    assert_eq!(node.capabilities, ["queue"]);
    assert_eq!(node.filters, [(Symbol::from_static("colour"), Value::from("red"))]);
    assert_eq!(node.properties, Some(Fields(one("lifetime-policy", "session"))));
    drop((receiver, session, connection));
    soon(peer).await.unwrap();
}

#[tokio::test]
async fn each_end_of_a_link_knows_its_node() {
    let ends = connect().await;
    let session = ends.client.session().await.unwrap();
    let node = Node { capabilities: vec!["topic".to_owned()], ..Node::at("there") };
    let accepting = async {
        let link = ends.server.next_link().await.unwrap();
        assert!(link.is_receiver() && !link.is_sender());
        assert_eq!(link.state(), EndpointStates { local: EndpointState::Uninit, remote: EndpointState::Active });
        assert_eq!((link.target_address(), link.source_address()), (Some("there"), Some("here")));
        link.into_receiver(&LinkOptions::default()).unwrap()
    };
    let mut options = LinkOptions::default();
    options.own_address = Some("here".to_owned());
    let attaching = session.sender_with(node.clone(), options);
    let (sender, receiver) = soon(async { tokio::join!(attaching, accepting) }).await;
    let sender = sender.unwrap();
    // What was not said is the standard's default (part 3, 3.5.4).
    let expiry = Some(Expiry::SessionEnd(Duration::ZERO));
    assert_eq!(sender.remote(), Some(Node { expiry, ..node }));
    assert_eq!(sender.address().as_deref(), Some("there"));
    assert_eq!(sender.session().connection().remote_container(), ends.client.remote_container());

    // Each end says where messages come from and go to; the server grants what was asked for.
    let address = |node: Option<Node>| node.and_then(|node| node.address);
    for (ours, theirs) in [
        (sender.source(), sender.target()),
        (sender.remote_source(), sender.remote_target()),
        (receiver.source(), receiver.target()),
        (receiver.remote_source(), receiver.remote_target()),
    ] {
        assert_eq!((address(ours).as_deref(), address(theirs).as_deref()), (Some("here"), Some("there")));
    }
    assert_eq!((sender.state(), receiver.state()), (BOTH_ACTIVE, BOTH_ACTIVE));
    soon(session.close()).await.unwrap();
    assert_eq!((sender.state(), sender.source()), (BOTH_CLOSED, None));
    soon(receiver.closed()).await;
    assert_eq!((receiver.state(), receiver.remote_target()), (BOTH_CLOSED, None));
}
