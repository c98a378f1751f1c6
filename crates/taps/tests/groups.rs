//! Connection groups over TCP (RFC 9622 7.4, 9.2.6 and 10).

mod common;

use std::time::Duration;

use common::{PATIENCE, listen};
use postroad_taps::{
    CloneError, CloneOptions, Connection, ConnectionError, ConnectionState, Event, EventStream, LengthPrefix, Listener,
    LocalEndpoint, Message, Preconnection, PropertyValue, Security,
};

fn framed() -> Preconnection {
    Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new)
}

async fn server() -> Listener {
    framed().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap()
}

/// Two connections of one group, and the ends of the peer.
async fn two() -> ([Connection; 2], [Connection; 2], Listener) {
    let listener = server().await;
    let client = framed().remote(listener.local_endpoint()).initiate().await.unwrap();
    let first = listener.accept().await.unwrap().unwrap();
    let clone = client.clone_connection().await.unwrap();
    let second = listener.accept().await.unwrap().unwrap();
    ([client, clone], [first, second], listener)
}

async fn receive(connection: &Connection) -> Vec<u8> {
    tokio::time::timeout(PATIENCE, connection.receive()).await.unwrap().unwrap().data.to_vec()
}

async fn told(events: &mut EventStream) -> Option<Event> {
    tokio::time::timeout(PATIENCE, events.next()).await.unwrap()
}

/// Cases 37 and 39 (7.4): a clone is another socket over TCP, with framers of its own, and both know the group.
#[tokio::test]
async fn a_clone_is_a_connection_of_its_own_in_the_same_group() {
    let ([one, two], [first, second], _listener) = two().await;
    assert_ne!(one.local_endpoint(), two.local_endpoint());
    assert_eq!(one.remote_endpoint(), two.remote_endpoint());
    assert!(one.is_grouped_with(&two) && !one.is_grouped_with(&first));
    let ports = |of: &Connection| -> Vec<_> {
        of.grouped_connections().iter().map(|member| member.local_endpoint().cloned()).collect()
    };
    assert_eq!((ports(&one).len(), ports(&one)), (2, ports(&two)));
    // Half a message on one does not touch the other.
    let mut part = one.start_message(Default::default());
    part.send("hel").await.unwrap();
    two.send("two").await.unwrap();
    part.finish("lo").await.unwrap();
    assert_eq!((receive(&first).await, receive(&second).await), (b"hello".to_vec(), b"two".to_vec()));
}

/// Case 38 (7.4): connection properties are shared, the priority is copied and then its own.
#[tokio::test]
async fn properties_are_entangled_and_the_priority_is_not() {
    let listener = server().await;
    let client = framed().remote(listener.local_endpoint()).initiate().await.unwrap();
    client.set_property("connPriority", 7).unwrap();
    let clone = client.clone_connection().await.unwrap();
    let other = client.clone_with(CloneOptions::new().conn_priority(3)).await.unwrap();
    let priority = |connection: &Connection| connection.properties().get("conn-prio").unwrap();
    assert_eq!(priority(&clone), PropertyValue::from(7));
    client.set_property("connPriority", 9).unwrap();
    clone.set_property("connTimeout", 30).unwrap();
    assert_eq!((priority(&client), priority(&clone), priority(&other)), (9.into(), 7.into(), 3.into()));
    for connection in [&client, &clone, &other] {
        assert_eq!(connection.properties().connection().conn_timeout, Some(Duration::from_secs(30)));
    }
}

/// Case 40 (9.2.6): the priority of the connection goes before that of the message.
#[tokio::test]
async fn what_was_held_back_leaves_by_the_priorities() {
    let ([urgent, other], [first, second], _listener) = two().await;
    urgent.set_property("connPriority", 0).unwrap();
    other.set_property("connPriority", 1).unwrap();
    let hold = urgent.hold_group();
    let order = std::sync::Mutex::new(Vec::new());
    let note = |name| order.lock().unwrap().push(name);
    tokio::join!(
        async {
            other.send(Message::new("b").priority(0)).await.unwrap();
            note("b");
        },
        async {
            urgent.send(Message::new("a").priority(1)).await.unwrap();
            note("a");
        },
        async {
            tokio::task::yield_now().await;
            assert!(order.lock().unwrap().is_empty(), "nothing leaves while it is held");
            drop(hold);
        }
    );
    assert_eq!(order.into_inner().unwrap(), ["a", "b"]);
    assert_eq!((receive(&first).await, receive(&second).await), (b"a".to_vec(), b"b".to_vec()));
}

/// Case 41 (10): closing one leaves the others, and the group can be closed or aborted as a whole.
#[tokio::test]
async fn one_is_closed_alone_and_a_group_together() {
    let ([one, two], _peers, _listener) = two().await;
    let three = one.clone_connection().await.unwrap();
    let mut events = [one.events(), two.events(), three.events()];
    one.close().await.unwrap();
    assert_eq!((one.state(), two.state()), (ConnectionState::Closed, ConnectionState::Established));
    tokio::time::timeout(PATIENCE, two.close_group()).await.unwrap().unwrap();
    assert_eq!((two.state(), three.state()), (ConnectionState::Closed, ConnectionState::Closed));
    for events in &mut events {
        assert_eq!((told(events).await, told(events).await), (Some(Event::Closed), None));
    }

    let ([one, two], _peers, _listener) = self::two().await;
    let mut events = [one.events(), two.events()];
    one.abort_group();
    for (connection, events) in [one, two].iter().zip(&mut events) {
        assert_eq!(connection.closed().await, Err(ConnectionError::LocalAbort));
        let aborted = Event::ConnectionError(ConnectionError::LocalAbort);
        assert_eq!((told(events).await, told(events).await), (Some(aborted), None));
    }
}

#[tokio::test]
async fn what_cannot_be_cloned_says_so() {
    let (_, [first, _second], listener) = two().await;
    assert_eq!(first.clone_connection().await.unwrap_err(), CloneError::NotCloneable);
    let client = framed().remote(listener.local_endpoint()).initiate().await.unwrap();
    listener.stop();
    assert!(matches!(client.clone_connection().await.unwrap_err(), CloneError::Establishment(_)));
    assert_eq!(client.state(), ConnectionState::Established);
    client.close().await.unwrap();
    assert_eq!(client.clone_connection().await.unwrap_err(), CloneError::Closed);
    let _ = listen(Security::Disabled).await;
}

/// A change of a priority and of a shared property at once reaches the group, the priority aside.
#[tokio::test]
async fn several_properties_may_change_at_once() {
    let ([one, two], _peers, _listener) = two().await;
    let mut events = two.events();
    one.set_connection_properties(|properties| {
        properties.conn_priority = 4;
        properties.keep_alive_timeout = Some(Duration::from_secs(40));
    })
    .unwrap();
    assert_eq!(two.properties().connection().keep_alive_timeout, Some(Duration::from_secs(40)));
    assert_eq!(two.properties().get("connPriority").unwrap(), 100.into());
    let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
    assert_eq!(event, Some(Event::PropertyChange));
}
