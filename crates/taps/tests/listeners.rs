//! What a listener lets in, and when (RFC 9622 6.1, 7.1 and 7.2).

mod common;

use std::time::Duration;

use common::{PATIENCE, listen, listen_with};
use postroad_taps::{Connection, Event, LengthPrefix, Listener, LocalEndpoint, Preconnection, Security};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn clear() -> Preconnection {
    Preconnection::new().security(Security::Disabled)
}

async fn accept(listener: &Listener) -> Connection {
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().unwrap()
}

/// Case 3 (6.1): who says nothing of a port gets one from the system, and can read it at both ends.
#[tokio::test]
async fn a_port_is_picked_and_can_be_read() {
    let listener = clear().local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap();
    assert_ne!(listener.local_endpoint().ip().unwrap().port(), 0);
    let client = clear().remote(listener.local_endpoint()).initiate().await.unwrap();
    let server = accept(&listener).await;
    assert_ne!(client.local_endpoint().unwrap().ip().unwrap().port(), 0);
    assert_eq!(client.local_endpoint(), server.remote_endpoint());
    assert_eq!(server.local_endpoint(), Some(listener.local_endpoint()));
}

/// Case 4 (7.1): what was made from a preconnection does not hear of its changes, be it a listener.
#[tokio::test]
async fn a_listener_is_a_snapshot_of_its_preconnection() {
    let preconnection = clear().local(LocalEndpoint::host("127.0.0.1"));
    let listener = preconnection.listen().await.unwrap();
    let _changed = preconnection.framer(LengthPrefix::new);
    let mut raw = TcpStream::connect(listener.local_endpoint().ip().unwrap()).await.unwrap();
    let server = accept(&listener).await;
    assert!(!server.preserves_boundaries());
    server.send("unframed").await.unwrap();
    let mut bytes = [0; 8];
    raw.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"unframed");
}

/// Case 18 (7.1): a server that speaks at once is not heard before the connection is ready.
#[tokio::test]
async fn nothing_is_received_before_the_connection_is_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = clear().framer(LengthPrefix::new).remote(listener.local_addr().unwrap()).initiate_now();
    let mut events = client.events();
    let speaking = async {
        let mut raw = listener.accept().await.unwrap().0;
        raw.write_all(b"\0\0\0\x05hello").await.unwrap();
        raw
    };
    let (_raw, received) = timeout(PATIENCE, async { tokio::join!(speaking, client.receive()) }).await.unwrap();
    assert_eq!(&received.unwrap().data[..], b"hello");
    assert_eq!(events.next().await, Some(Event::Ready));
    assert_eq!(events.next().await, Some(Event::Received { length: 5 }));
}

/// Case 30 (7.2): two may come; the third waits, is not refused, and comes when the limit is raised.
#[tokio::test]
async fn who_comes_beyond_the_limit_waits_until_it_is_raised() {
    let listener = listen_with(clear().framer(LengthPrefix::new)).await;
    listener.set_new_connection_limit(2);
    let client = clear().framer(LengthPrefix::new).remote(listener.local_endpoint());
    let mut clients = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let connection = timeout(PATIENCE, async { client.initiate().await }).await.unwrap().unwrap();
        connection.send(name).await.unwrap();
        clients.push(connection);
    }
    let (first, second) = (accept(&listener).await, accept(&listener).await);
    assert_eq!(&first.receive().await.unwrap().data[..], b"one");
    assert_eq!(&second.receive().await.unwrap().data[..], b"two");
    assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err(), "there is no place");
    // Who waits hears of the change.
    let (third, ()) = tokio::join!(accept(&listener), async {
        tokio::task::yield_now().await;
        listener.set_new_connection_limit(1);
    });
    assert_eq!(&third.receive().await.unwrap().data[..], b"three");
    assert!(timeout(Duration::from_millis(100), listener.accept()).await.is_err(), "and none again");
    listener.reset_connection_limit();
    assert_eq!(&accept(&listener).await.receive().await.unwrap().data[..], b"four");
    clients[3].close().await.unwrap();
}

/// Case 31 (7.2): stopped is stopped, for everybody who asks, and connections that are being established live on.
#[tokio::test]
async fn a_stopped_listener_tells_everybody_and_keeps_what_it_has_given() {
    let listener = std::sync::Arc::new(listen(Security::Disabled).await);
    let client = clear().remote(listener.local_endpoint()).initiate().await.unwrap();
    let incoming = timeout(PATIENCE, listener.incoming()).await.unwrap().unwrap().unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let listener = listener.clone();
            tokio::spawn(async move { listener.stopped().await })
        })
        .collect();
    listener.stop();
    listener.stop();
    for waiting in waiting {
        timeout(PATIENCE, waiting).await.unwrap().unwrap();
    }
    timeout(PATIENCE, listener.stopped()).await.unwrap();
    let server = incoming.establish().await.unwrap();
    client.send(postroad_taps::Message::new("still").last()).await.unwrap();
    assert_eq!(&server.receive().await.unwrap().data[..], b"still");
}

/// 7.2: a flood at one address keeps nobody out who comes to another.
#[tokio::test]
async fn a_flood_at_one_address_keeps_nobody_out_at_another() {
    let here = || LocalEndpoint::host("127.0.0.1");
    let listener = clear().local(here()).add_local(here()).listen().await.unwrap();
    let [flooded, other] = listener.local_endpoints() else { panic!("{listener:?}") };
    let mut clients = Vec::new();
    for address in [flooded; 8].into_iter().chain([other]) {
        clients.push(TcpStream::connect(address.ip().unwrap()).await.unwrap());
    }
    let (first, second) = (accept(&listener).await, accept(&listener).await);
    let ends = [first.local_endpoint(), second.local_endpoint()];
    assert!(ends.contains(&Some(other)), "{ends:?}");
}
