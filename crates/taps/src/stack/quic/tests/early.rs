//! Data that leaves before the handshake is over.

use super::listen::{HANDSHAKES, open};
use super::*;
use crate::selection::Context;

fn replayable() -> TransportProperties {
    TransportProperties::new().with_safely_replayable(true)
}

/// Connects once for a session, and again with early data.
async fn with_session(acceptor: &dyn Acceptor, tls: &TlsConfig) {
    let mut client = stream(connected(acceptor, replayable(), tls).await.unwrap());
    say(&mut client, b"1").await;
    let mut server = stream(accepted(acceptor).await);
    hear(&mut server, b"1").await;
    assert!(!server.is_early_data());
    // The session comes before the answer.
    say(&mut server, b"2").await;
    hear(&mut client, b"2").await;
    soon(client.shutdown()).await.unwrap();
}

async fn early(acceptor: &dyn Acceptor, tls: &TlsConfig) -> Established {
    let leaf = leaf(ProtocolStack::QuicStream, acceptor.local().ip().unwrap());
    soon(connect(&leaf, &setting(replayable(), tls, true).await)).await.unwrap()
}

#[tokio::test]
async fn a_second_connection_sends_before_its_handshake() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(replayable(), &authority.server());
    with_session(&*acceptor, &tls).await;
    let client = early(&*acceptor, &tls).await;
    assert!(client.about.zero_rtt);
    let mut client = stream(client);
    assert_eq!(client.tls_info().unwrap().alpn(), None, "not agreed on yet");
    say(&mut client, b"early").await;
    assert_eq!(client.tls_info().unwrap().alpn(), Some(&b"post/1"[..]));
    let mut server = stream(accepted(&*acceptor).await);
    hear(&mut server, b"early").await;
    assert!(server.is_early_data());
    // What comes after the handshake is like everything else.
    say(&mut server, b"yes").await;
    hear(&mut client, b"yes").await;
    say(&mut client, b"late").await;
    hear(&mut server, b"late").await;
    soon(async {
        while server.is_early_data() {
            // There is nothing to read, and by that it knows.
            let ready = poll_fn(|cx| std::task::Poll::Ready(server.poll_read_ready(cx).is_ready())).await;
            assert!(!ready);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn without_being_asked_for_nothing_is_early() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(replayable(), &authority.server());
    with_session(&*acceptor, &tls).await;
    let client = connected(&*acceptor, replayable(), &tls).await.unwrap();
    assert!(!client.about.zero_rtt);
    let mut client = stream(client);
    say(&mut client, b"late").await;
    let mut server = stream(accepted(&*acceptor).await);
    hear(&mut server, b"late").await;
}

#[tokio::test]
async fn a_first_connection_has_nothing_to_be_early_with() {
    let authority = Authority::new();
    let acceptor = listening(replayable(), &authority.server());
    let client = early(&*acceptor, &authority.client().build().unwrap()).await;
    assert!(!client.about.zero_rtt);
}

#[tokio::test]
async fn a_server_that_has_not_agreed_to_copies_gets_none() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(TransportProperties::new(), &authority.server());
    with_session(&*acceptor, &tls).await;
    assert!(!early(&*acceptor, &tls).await.about.zero_rtt);
}

#[tokio::test]
async fn what_is_rejected_is_sent_again_exactly_once() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(replayable(), &authority.server());
    with_session(&*acceptor, &tls).await;
    let port = acceptor.local().ip().unwrap().port();
    drop(acceptor);
    // Another server in its place, which does not know the session.
    let (stack, other) = (ProtocolStack::QuicStream, authority.server());
    let acceptor = soon(async {
        loop {
            match listening_on(port, stack, replayable(), &other) {
                Ok(acceptor) => break acceptor,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await;
    let client = early(&*acceptor, &tls).await;
    assert!(client.about.zero_rtt, "it is tried");
    let mut client = stream(client);
    let body: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
    // More than may be early at all.
    soon(client.write_all(b"head")).await.unwrap();
    let (_, mut server) = tokio::join!(say(&mut client, &body), async { stream(accepted(&*acceptor).await) });
    assert!(!server.is_early_data());
    hear(&mut server, b"head").await;
    hear(&mut server, &body).await;
    soon(client.shutdown()).await.unwrap();
    assert_eq!(soon(server.read(&mut [0; 1])).await.unwrap(), 0, "nothing follows");
    let another = tokio::time::timeout(Duration::from_millis(300), acceptor.accept()).await;
    assert!(another.is_err(), "no second stream");
}

#[tokio::test]
async fn an_isolated_connection_knows_no_session() {
    let authority = Authority::new();
    let tls = authority.client().build().unwrap();
    let acceptor = listening(replayable(), &authority.server());
    with_session(&*acceptor, &tls).await;
    let leaf = leaf(ProtocolStack::QuicStream, acceptor.local().ip().unwrap());
    let mut setting = setting(replayable(), &tls, true).await;
    let group = Context::global().for_group(true);
    setting.security = setting.security.map(|side| side.with_sessions(&group));
    let client = soon(connect(&leaf, &setting)).await.unwrap();
    assert!(!client.about.zero_rtt, "it knows nothing of others");
    let mut client = stream(client);
    say(&mut client, b"1").await;
    let mut server = stream(accepted(&*acceptor).await);
    say(&mut server, b"2").await;
    hear(&mut client, b"2").await;
    assert!(soon(connect(&leaf, &setting)).await.unwrap().about.zero_rtt, "but of its own");
}

/// A server of early data looks at streams while handshakes go on: those that are over do not count any more.
#[tokio::test]
async fn a_handshake_that_is_over_makes_room_for_another() {
    let authority = Authority::new();
    let hosting = hosting(replayable(), &authority.server());
    let (acceptor, reception) = open(&stand(0, ProtocolStack::QuicStream), &hosting).unwrap();
    let mut client = stream(connected(&acceptor, replayable(), &authority.client().build().unwrap()).await.unwrap());
    say(&mut client, b"hello").await;
    let mut server = stream(accepted(&acceptor).await);
    hear(&mut server, b"hello").await;
    soon(async {
        while reception.handshakes.available_permits() < HANDSHAKES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    say(&mut client, b"still there").await;
    hear(&mut server, b"still there").await;
}

#[tokio::test]
async fn a_client_that_does_not_finish_is_given_up() {
    let authority = Authority::new();
    let acceptor = listening(replayable(), &authority.server());
    let first = first_packet(&authority.client().build().unwrap()).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&first, acceptor.local().ip().unwrap()).unwrap();
    let arrival = soon(acceptor.accept()).await.unwrap();
    assert_eq!(soon(arrival.establish).await.unwrap_err(), AttemptError::NoAnswer);
}
