//! Whole connections over the stack: what the application sees of it.

use super::*;
use crate::connection::{Connection, ConnectionError, ConnectionState, Event, Opened, Origin, ReceiveError, SendError};
use crate::endpoint::EndpointAddress;
use crate::message::Message;

fn properties() -> TransportProperties {
    TransportProperties::new().with_safely_replayable(true)
}

async fn connection(established: Established, properties: &TransportProperties) -> Connection {
    let opened = Opened::start(established, Origin::new(&[], None), None).await.unwrap();
    Connection::new(opened, properties)
}

async fn initiated(remote: SocketAddr) -> Connection {
    connection(connect(&leaf(remote), &setting(properties())).await.unwrap(), &properties()).await
}

async fn accepted(acceptor: &dyn Acceptor) -> Connection {
    let arrival = soon(acceptor.accept()).await.unwrap();
    connection(arrival.establish.await.unwrap(), &properties()).await
}

#[tokio::test]
async fn case_11_a_message_that_must_not_arrive_twice_is_refused() {
    let listener = listener_of(&stand(LOOPBACK), properties()).unwrap();
    let client = initiated(address(&*listener)).await;
    let refused = client.send(Message::new("once").safely_replayable(false)).await.unwrap_err();
    assert!(matches!(refused, SendError::InvalidMessageProperties(_)), "{refused:?}");
    client.send("twice").await.unwrap();
    assert_eq!(soon(accepted(&*listener).await.receive()).await.unwrap().data, "twice");
}

#[tokio::test]
async fn case_47_too_long_a_message_leaves_the_connection_alive() {
    let listener = listener_of(&stand(LOOPBACK), properties()).unwrap();
    let client = initiated(address(&*listener)).await;
    let refused = client.send(Message::new(vec![0; 65_508])).await.unwrap_err();
    assert_eq!(refused, SendError::MessageTooLarge { size: 65_508, limit: 65_507 });
    client.send(Message::new(vec![1; 65_507])).await.unwrap();
    assert_eq!(soon(accepted(&*listener).await.receive()).await.unwrap().data.len(), 65_507);
    assert_eq!(client.state(), ConnectionState::Established);
}

#[tokio::test]
async fn case_58_a_message_tells_where_it_comes_from() {
    let listener = listener_of(&stand((Ipv4Addr::UNSPECIFIED, 0)), properties()).unwrap();
    let asked = SocketAddr::from(([127, 0, 0, 4], address(&*listener).port()));
    let client = initiated(asked).await;
    client.send("hello").await.unwrap();
    let server = accepted(&*listener).await;
    let message = soon(server.receive()).await.unwrap();
    let (asked, from) = (EndpointAddress::from(asked), client.local_endpoint().unwrap());
    assert_eq!((message.context.local_endpoint(), message.context.remote_endpoint()), (Some(&asked), Some(from)));
    if cfg!(target_os = "linux") {
        assert_eq!(message.context.interface(), Some(1), "the loopback is the first");
    }
    server.send("answer").await.unwrap();
    let answer = soon(client.receive()).await.unwrap();
    assert_eq!((answer.context.local_endpoint(), answer.context.remote_endpoint()), (Some(from), Some(&asked)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_64_a_soft_error_is_an_event_and_the_connection_is_not_closed() {
    let (socket, remote) = closed(Ipv4Addr::LOCALHOST).await;
    let client = initiated(remote).await;
    let mut events = client.events();
    client.send("nobody").await.unwrap();
    let told = async {
        loop {
            match events.next().await.unwrap() {
                Event::SoftError(error) => return error,
                event => assert!(!event.is_last(), "{event:?}"),
            }
        }
    };
    // Whoever receives hears of it first.
    let received = soon(async {
        tokio::select! {
            error = told => Ok(error),
            received = client.receive() => Err(received),
        }
    });
    assert_eq!(received.await, Ok(SoftError { kind: io::ErrorKind::ConnectionRefused, icmp: Some((3, 3)) }));
    assert_eq!(client.state(), ConnectionState::Established);
    socket.connect(client.local_endpoint().unwrap().ip().unwrap()).await.unwrap();
    client.send("somebody").await.unwrap();
    socket.send(b"answer").await.unwrap();
    assert_eq!(soon(client.receive()).await.unwrap().data, "answer");
}

#[tokio::test]
async fn case_65_an_abort_is_known_to_this_end_alone() {
    let listener = listener_of(&stand(LOOPBACK), properties()).unwrap();
    let client = initiated(address(&*listener)).await;
    client.send("hello").await.unwrap();
    let server = accepted(&*listener).await;
    assert_eq!(soon(server.receive()).await.unwrap().data, "hello");
    for aborted in [&client, &server] {
        aborted.abort();
        assert_eq!(aborted.closed().await, Err(ConnectionError::LocalAbort));
        let error = aborted.receive().await.unwrap_err();
        assert_eq!(error, ReceiveError::ProtocolFailed(ConnectionError::LocalAbort));
    }
    // The four-tuple of the one is free; the port of the other too.
    let again = initiated(address(&*listener)).await;
    again.send("again").await.unwrap();
    assert_eq!(soon(accepted(&*listener).await.receive()).await.unwrap().data, "again");
}

#[tokio::test]
async fn case_65_a_close_sends_what_was_handed_over() {
    let listener = listener_of(&stand(LOOPBACK), properties()).unwrap();
    let client = initiated(address(&*listener)).await;
    let mut events = client.events();
    client.batch(|batch| (0..20u8).for_each(|n| batch.send([n].to_vec()))).await.unwrap();
    client.close().await.unwrap();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Closed));
    assert_eq!(client.send("late").await, Err(SendError::Closed));
    let server = accepted(&*listener).await;
    for n in 0..20u8 {
        assert_eq!(soon(server.receive()).await.unwrap().data[..], [n]);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn case_67_groups_of_connections_that_receive_and_one_that_only_sends() {
    let group = SocketAddr::from(([239, 192, 9, 20], 0));
    let stand = Stand { interface: Some("lo".into()), ..stand(group) };
    let listener = listener_of(&stand, properties()).unwrap();
    let mut senders = Vec::new();
    for last in [1, 2] {
        let local = Some(SocketAddr::from(([127, 0, 0, last], 0)).into());
        let leaf = Leaf { local, ..leaf(address(&*listener)) };
        let sender = connection(connect(&leaf, &setting(properties())).await.unwrap(), &properties()).await;
        sender.send("hello").await.unwrap();
        assert!(sender.can_send() && !sender.can_receive());
        assert!(soon(sender.receive()).await.is_err());
        senders.push(sender);
    }
    let (first, second) = (accepted(&*listener).await, accepted(&*listener).await);
    let message = soon(first.receive()).await.unwrap();
    assert_eq!(message.context.local_endpoint(), Some(listener.local()));
    assert_eq!(message.context.interface(), Some(1));
    assert_eq!(first.grouped_connections().len(), 2);
    assert_eq!(second.grouped_connections().len(), 2);
    // After the refused receive, sending goes on.
    senders[0].send("still").await.unwrap();
    assert_eq!(soon(first.receive()).await.unwrap().data, "still");
}
