//! What a connection tells of itself (RFC 9622 7.1, 9.2.2, 9.3.2, 10 and 11).

mod common;

use std::time::Duration;

use common::{PATIENCE, listen};
use postroad_taps::{
    Connection, ConnectionError, ConnectionState, Event, EventStream, LengthPrefix, LocalEndpoint, Message,
    Preconnection, ReceiveError, Security, SendError,
};

fn framed() -> Preconnection {
    Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new)
}

async fn pair() -> (Connection, Connection) {
    let listener = framed().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let client = framed().remote(listener.local_endpoint());
    let (client, server) = tokio::join!(async { client.initiate().await.unwrap() }, listener.accept());
    (client, server.unwrap().unwrap())
}

async fn next(events: &mut EventStream) -> Option<Event> {
    tokio::time::timeout(PATIENCE, events.next()).await.unwrap()
}

/// Case 18 (7.1): ready once, then what was sent before that; the last event is the last.
#[tokio::test]
async fn a_connection_is_ready_once_and_sends_what_waited() {
    let listener = framed().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let client = framed().remote(listener.local_endpoint()).initiate_now();
    let mut events = client.events();
    assert_eq!((client.state(), client.remote_endpoint()), (ConnectionState::Establishing, None));
    let (sent, server) = tokio::join!(client.send("early"), listener.accept());
    sent.unwrap();
    let server = server.unwrap().unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"early");
    server.send("answer").await.unwrap();
    client.receive().await.unwrap();
    client.close().await.unwrap();
    let mut seen = Vec::new();
    while let Some(event) = next(&mut events).await {
        seen.push(event);
    }
    assert_eq!(seen, [Event::Ready, Event::Sent { message: 1 }, Event::Received { length: 6 }, Event::Closed]);
    assert_eq!(next(&mut client.events()).await, Some(Event::Closed), "who comes late hears how it ended");
}

/// Case 19 (7.1): a failure is told once to everybody who waits, and nothing follows.
#[tokio::test]
async fn a_connection_that_is_not_established_tells_everybody() {
    let closed = listen(Security::Disabled).await;
    let address = closed.local_endpoint().clone();
    drop(closed);
    let client = framed().remote(address).initiate_now();
    let mut events = client.events();
    let (ready, sent, received) = tokio::join!(client.ready(), client.send("lost"), client.receive());
    let error = ready.unwrap_err();
    assert!(matches!(&error, ConnectionError::NotEstablished(error) if error.attempts().len() == 1), "{error:?}");
    assert_eq!(sent, Err(SendError::ProtocolFailed(error.clone())));
    assert_eq!(received.unwrap_err(), ReceiveError::ProtocolFailed(error.clone()));
    assert_eq!(client.state(), ConnectionState::Closed);
    let ConnectionError::NotEstablished(error) = error else { panic!("{error:?}") };
    let mut seen = Vec::new();
    while let Some(event) = next(&mut events).await {
        seen.push(event);
    }
    assert_eq!(seen.last(), Some(&Event::EstablishmentError(error)));
    assert_eq!(seen.iter().filter(|event| event.is_last()).count(), 1);
}

/// Case 44 (9.1.3.1): what cannot leave in its lifetime expires and never arrives.
#[tokio::test]
async fn a_message_whose_lifetime_is_over_is_never_delivered() {
    let (client, server) = pair().await;
    let mut events = client.events();
    let full = client.send(vec![1; 15 << 20]);
    tokio::pin!(full);
    tokio::select! {
        biased;
        _ = &mut full => panic!("nobody reads"),
        sent = client.send(Message::new("late").lifetime(Duration::from_millis(20))) => {
            assert_eq!(sent, Err(SendError::Expired));
        }
    }
    assert_eq!(next(&mut events).await, Some(Event::Expired { message: 2 }));
    let reading = async {
        let mut total = 0;
        loop {
            let message = server.receive().await.unwrap();
            total += message.data.len();
            if message.end_of_message && total >= 15 << 20 {
                break;
            }
        }
        server.receive().await.unwrap()
    };
    let (_, _, message) = tokio::join!(full, client.send("last"), reading);
    assert_eq!(&message.data[..], b"last");
}

/// Case 45 (9.1.3.2, 9.1.3.5): what waits leaves by its priority, the final message at the end.
#[tokio::test]
async fn what_waits_leaves_by_priority_and_the_final_message_last() {
    let (client, server) = pair().await;
    let hold = client.hold_group();
    let send = |text: &'static str, priority| client.send(Message::new(text).priority(priority));
    let last = client.send(Message::new("final").priority(0).last());
    let reading = async {
        drop(hold);
        let mut order = Vec::new();
        while let Ok(message) = server.receive().await {
            order.push(String::from_utf8(message.data.to_vec()).unwrap());
        }
        order
    };
    let (ten, one, five, last, order) = tokio::join!(send("ten", 10), send("one", 1), send("five", 5), last, reading);
    for sent in [ten, one, five, last] {
        sent.unwrap();
    }
    assert_eq!(order, ["one", "five", "ten", "final"]);
}

/// Case 65 (10): an abort resets the peer, and tells who watches.
#[tokio::test]
async fn an_abort_is_the_last_event() {
    let (client, server) = pair().await;
    let mut events = client.events();
    client.abort();
    assert_eq!(next(&mut events).await, Some(Event::ConnectionError(ConnectionError::LocalAbort)));
    assert_eq!(next(&mut events).await, None);
    assert_eq!(tokio::time::timeout(PATIENCE, server.closed()).await.unwrap(), Err(ConnectionError::PeerAbort));
}

/// Case 33 (9.2.5): the first message is sent with the connection; where there is none, that is the only error.
#[tokio::test]
async fn a_first_message_goes_before_all_others() {
    let listener = framed().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    let client = framed().remote(listener.local_endpoint());
    let (first, server) = tokio::join!(async { client.initiate_with_send("first").await }, listener.accept());
    first.unwrap().send("second").await.unwrap();
    let server = server.unwrap().unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"first");
    assert_eq!(&server.receive().await.unwrap().data[..], b"second");

    let client = client.initiate_with_send("first").now();
    let mut events = client.events();
    let (second, server) = tokio::join!(client.send("second"), listener.accept());
    second.unwrap();
    let server = server.unwrap().unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"first");
    assert_eq!(&server.receive().await.unwrap().data[..], b"second");
    assert_eq!(next(&mut events).await, Some(Event::Ready));
    assert_eq!(next(&mut events).await, Some(Event::Sent { message: 1 }));
    assert_eq!(next(&mut events).await, Some(Event::Sent { message: 2 }));

    listener.stop();
    let client = framed().remote(listener.local_endpoint());
    let error = client.initiate_with_send("lost").await.unwrap_err();
    assert_eq!(error.attempts().len(), 1, "{error}");
    let client = client.initiate_with_send("lost").now();
    let mut events = client.events();
    client.ready().await.unwrap_err();
    assert!(matches!(next(&mut events).await, Some(Event::EstablishmentError(_))));
    assert_eq!(next(&mut events).await, None);
}
