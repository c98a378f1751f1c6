//! What peers that do nothing may hold on to.

use super::listen::{HANDSHAKES, SILENT, SILENT_PATIENCE, open};
use super::relay::Relay;
use super::stream::LINGER;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn until(mut done: impl FnMut() -> bool) {
    soon(async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let hosting = hosting(TransportProperties::new(), &authority.server());
    let (acceptor, reception) = open(&stand(0, ProtocolStack::QuicStream), &hosting).unwrap();
    let mut speaks = stream(connected(&acceptor, TransportProperties::new(), &tls).await.unwrap());
    say(&mut speaks, b"hello").await;
    let mut server = stream(accepted(&acceptor).await);
    hear(&mut server, b"hello").await;
    let mut silent = stream(connected(&acceptor, TransportProperties::new(), &tls).await.unwrap());
    until(|| reception.handshakes.available_permits() == HANDSHAKES).await;
    assert_eq!(reception.silent.available_permits(), SILENT - 1);
    pass(SILENT_PATIENCE / 2).await;
    // The one that has spoken has all the time that it wants.
    say(&mut speaks, b"again").await;
    hear(&mut server, b"again").await;
    assert_eq!(reception.silent.available_permits(), SILENT - 1);
    pass(SILENT_PATIENCE / 2 + SECOND).await;
    let arrival = soon(acceptor.accept()).await.unwrap();
    assert_eq!(soon(arrival.establish).await.unwrap_err(), AttemptError::NoAnswer);
    let error = soon(silent.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    say(&mut speaks, b"still there").await;
    hear(&mut server, b"still there").await;
}

#[tokio::test]
async fn no_more_clients_say_nothing_than_there_is_room_for() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let hosting = hosting(TransportProperties::new(), &authority.server());
    let (acceptor, reception) = open(&stand(0, ProtocolStack::QuicStream), &hosting).unwrap();
    // The places of all but one are taken.
    let others = reception.silent.try_acquire_many(SILENT as u32 - 1).unwrap();
    let mut client = stream(connected(&acceptor, TransportProperties::new(), &tls).await.unwrap());
    let refused = connected(&acceptor, TransportProperties::new(), &tls).await.unwrap_err();
    assert_eq!(refused, AttemptError::Refused);
    // Its first stream makes room.
    say(&mut client, b"hello").await;
    let mut server = stream(accepted(&acceptor).await);
    hear(&mut server, b"hello").await;
    until(|| reception.silent.available_permits() == 1).await;
    let next = stream(connected(&acceptor, TransportProperties::new(), &tls).await.unwrap());
    // As does the end of one that has said nothing.
    assert_eq!(reception.silent.available_permits(), 0);
    drop(next);
    until(|| reception.silent.available_permits() == 1).await;
    drop(others);
}

#[tokio::test]
async fn a_peer_that_acknowledges_nothing_does_not_keep_a_dropped_stream() {
    let authority = Authority::new();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    let relay = Relay::to(acceptor.local().ip().unwrap()).await;
    let leaf = leaf(ProtocolStack::QuicStream, relay.address);
    let setting = setting(TransportProperties::new(), &authority.client().build().unwrap(), false).await;
    let attempt = Attempt::prepare(&leaf, &setting).await.unwrap();
    let (connecting, socket) = attempt.begin().unwrap();
    let connection = soon(connecting).await.unwrap();
    let mut client = stream(attempt.established(connection.clone(), &socket).await.unwrap());
    say(&mut client, b"hello").await;
    hear(&mut stream(accepted(&*acceptor).await), b"hello").await;
    relay.set_silent(true);
    say(&mut client, b"is anybody there").await;
    drop(client);
    // The wait begins in a task of its own.
    tokio::task::yield_now().await;
    pass(LINGER / 2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(connection.close_reason(), None);
    pass(LINGER / 2 + SECOND).await;
    assert_eq!(soon(connection.closed()).await, quinn::ConnectionError::LocallyClosed);
}
