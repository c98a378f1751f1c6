//! Data that leaves with the handshake of TLS over TCP on loopback: conformance case 34, RFC 9622 6.2.5 and 9.3.3.2.

mod common;

use common::{Authority, Identity, PATIENCE, listen_with, to};
use postroad_taps::{
    ClientCertificates, Connection, LengthPrefix, Listener, Message, MessageContext, Preconnection, PropertyValue,
    SelectionProperty, TlsConfig, TransportProperties, Untrusted,
};

/// A server that can do with copies of messages.
fn tolerant() -> TransportProperties {
    TransportProperties::new().with_safely_replayable(true)
}

async fn listen(identity: &Identity, properties: TransportProperties) -> Listener {
    serve(identity.serve(), properties).await
}

async fn serve(tls: TlsConfig, properties: TransportProperties) -> Listener {
    listen_with(Preconnection::new().security(tls).properties(properties).framer(LengthPrefix::new)).await
}

/// A client with a session cache of its own, so that no other test takes its tickets.
fn client(authority: &Authority) -> TlsConfig {
    TlsConfig::builder().roots_pem(&authority.pem).max_cached_sessions(8).build().unwrap()
}

fn reach(listener: &Listener, tls: &TlsConfig) -> Preconnection {
    to(listener.local_endpoint().ip().unwrap().port(), tls.clone()).framer(LengthPrefix::new)
}

fn replayable(text: &'static str) -> Message {
    let mut context = MessageContext::default();
    context.set_safely_replayable(true);
    Message::new(text).in_context(context)
}

/// Both ends of a connection that begins with a message, the message, and an answer that brings the client tickets.
async fn exchange(listener: &Listener, client: &Preconnection, first: Message) -> (Connection, Message) {
    let (accepted, initiated) =
        tokio::join!(listener.accept(), async { client.initiate().with_message(first).timeout(PATIENCE).await });
    let (accepted, initiated) = (accepted.unwrap().unwrap(), initiated.unwrap());
    let received = accepted.receive().await.unwrap();
    accepted.send("answer").await.unwrap();
    assert_eq!(&initiated.receive().await.unwrap().data[..], b"answer");
    // What follows is not early, and comes once.
    initiated.send("second").await.unwrap();
    let second = accepted.receive().await.unwrap();
    assert_eq!((&second.data[..], second.context.is_early_data()), (&b"second"[..], false));
    initiated.close().await.unwrap();
    accepted.receive().await.unwrap_err();
    assert!(initiated.tls_info().unwrap().peer_certificates().len() == 1);
    (initiated, received)
}

fn zero_rtt(connection: &Connection) -> PropertyValue {
    connection.properties().get("zeroRttMsg").unwrap()
}

#[tokio::test]
async fn a_first_message_that_may_be_repeated_leaves_with_the_handshake() {
    let authority = Authority::new();
    let (listener, tls) = (listen(&authority.server(), tolerant()).await, client(&authority));
    let client = reach(&listener, &tls);
    let (connection, first) = exchange(&listener, &client, replayable("no session yet")).await;
    assert_eq!((first.context.is_early_data(), zero_rtt(&connection)), (false, false.into()));

    let (connection, first) = exchange(&listener, &client, replayable("early")).await;
    assert_eq!((&first.data[..], first.context.is_early_data()), (&b"early"[..], true));
    assert_eq!(zero_rtt(&connection), true.into());
    assert!(connection.tls_info().unwrap().is_resumed());

    let (connection, first) = exchange(&listener, &client, Message::new("must come once")).await;
    assert_eq!((first.context.is_early_data(), zero_rtt(&connection)), (false, false.into()));

    let prohibited = TransportProperties::new().prohibit(SelectionProperty::ZeroRttMsg);
    let (_, first) = exchange(&listener, &client.clone().properties(prohibited), replayable("late")).await;
    assert!(!first.context.is_early_data());
    // By the property of the connection's messages, too.
    let (_, first) = exchange(&listener, &client.properties(tolerant()), Message::new("early")).await;
    assert!(first.context.is_early_data());
}

/// A message longer than what may be early goes on behind the handshake, and comes whole.
#[tokio::test]
async fn a_long_message_is_early_in_part() {
    let authority = Authority::new();
    let (listener, tls) = (listen(&authority.server(), tolerant()).await, client(&authority));
    let client = reach(&listener, &tls);
    exchange(&listener, &client, replayable("a session")).await;
    let long: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let mut context = MessageContext::default();
    context.set_safely_replayable(true);
    let (_, first) = exchange(&listener, &client, Message::new(long.clone()).in_context(context)).await;
    assert!(first.data == long && first.context.is_early_data());
}

/// A server that does not know the session any more rejects what is early: it is sent again behind the handshake, once.
#[tokio::test]
async fn what_was_rejected_is_sent_again_once() {
    let authority = Authority::new();
    let (identity, tls) = (authority.server(), client(&authority));
    let first = listen(&identity, tolerant()).await;
    exchange(&first, &reach(&first, &tls), replayable("a session")).await;
    let other = listen(&identity, tolerant()).await;
    let (connection, message) = exchange(&other, &reach(&other, &tls), replayable("again")).await;
    assert_eq!((&message.data[..], message.context.is_early_data()), (&b"again"[..], false));
    assert!(!connection.tls_info().unwrap().is_resumed());
}

/// RFC 9622 6.2.5: who has not said that it can do with copies gets nothing early, and nobody who wants to know first who
/// the other is.
#[tokio::test]
async fn nothing_is_early_for_who_must_not_get_copies() {
    let authority = Authority::new();
    let identity = authority.server();
    let prohibited = tolerant().prohibit(SelectionProperty::ZeroRttMsg);
    let asking = identity.serve_with_clients(&authority, ClientCertificates::Accepted);
    for listener in [
        listen(&identity, TransportProperties::new()).await,
        listen(&identity, prohibited).await,
        serve(asking, tolerant()).await,
    ] {
        let client = reach(&listener, &client(&authority));
        for _ in 0..2 {
            let (_, first) = exchange(&listener, &client, replayable("late")).await;
            assert!(!first.context.is_early_data());
        }
    }
    let listener = listen(&identity, tolerant()).await;
    let asking = TlsConfig::builder().roots_pem(&authority.pem).max_cached_sessions(8);
    let asking = asking.trust_verification(|_| async { Ok::<_, Untrusted>(()) }).build().unwrap();
    for _ in 0..2 {
        let (_, first) = exchange(&listener, &reach(&listener, &asking), replayable("late")).await;
        assert!(!first.context.is_early_data());
    }
}
