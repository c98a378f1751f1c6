//! QUIC, through preconnections, listeners and connections.
#![cfg(feature = "quic")]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Authority, Identity, PATIENCE};
use postroad_taps::{
    CloneOptions, Connection, ConnectionError, LengthPrefix, Listener, LocalEndpoint, Message, Preconnection, Protocol,
    ProtocolStack, RemoteEndpoint, SelectionProperty, SendError, TlsConfig, TransportProperties,
};

/// A server and the name that its clients know it by: what is remembered of servers is remembered by name.
struct Server {
    authority: Authority,
    identity: Identity,
    name: String,
}

impl Server {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("quic-{}.example", NEXT.fetch_add(1, Ordering::Relaxed));
        let authority = Authority::new();
        let identity = authority.sign(&[&name], |_| {});
        Self { authority, identity, name }
    }

    fn server(&self) -> Preconnection {
        let tls = TlsConfig::builder().server_certificate_pem(&self.identity.chain, &self.identity.key);
        Preconnection::new().security(tls.alpn(["post/1"]).build().unwrap()).framer(LengthPrefix::new)
    }

    /// A listener that takes what a secure listener takes.
    async fn listen(&self, properties: TransportProperties) -> Listener {
        let local = LocalEndpoint::host("127.0.0.1");
        self.server().properties(properties).local(local).listen().await.unwrap()
    }

    fn client(&self) -> Preconnection {
        let tls = TlsConfig::builder().roots_pem(&self.authority.pem).server_name(&self.name);
        Preconnection::new().security(tls.alpn(["post/1"]).build().unwrap()).framer(LengthPrefix::new)
    }

    fn to(&self, listener: &Listener) -> Preconnection {
        self.client().remote(quic(listener.local_endpoint().ip().unwrap().port()))
    }
}

fn quic(port: u16) -> RemoteEndpoint {
    RemoteEndpoint::host("127.0.0.1").port(port).protocol(Protocol::Quic)
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

async fn initiated(preconnection: &Preconnection) -> Connection {
    preconnection.initiate().timeout(PATIENCE).await.unwrap()
}

async fn accepted(listener: &Listener) -> Connection {
    soon(listener.accept()).await.unwrap().unwrap()
}

async fn say(connection: &Connection, text: &'static str) {
    soon(connection.send(text)).await.unwrap();
}

async fn hear(connection: &Connection, text: &str) {
    assert_eq!(soon(connection.receive()).await.unwrap().data, text.as_bytes());
}

#[tokio::test]
async fn messages_go_both_ways_and_a_close_says_so() {
    let server = Server::new();
    let listener = server.listen(TransportProperties::new()).await;
    let client = initiated(&server.to(&listener)).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::QuicStream));
    say(&client, "hello").await;
    let accepted = accepted(&listener).await;
    hear(&accepted, "hello").await;
    say(&accepted, "welcome").await;
    hear(&client, "welcome").await;
    assert_eq!(client.tls_info().unwrap().alpn(), Some(&b"post/1"[..]));
    // What is under way arrives.
    let (sent, closed) = tokio::join!(client.send("bye"), async { soon(client.close()).await });
    closed.unwrap();
    hear(&accepted, "bye").await;
    sent.unwrap();
    soon(accepted.receive()).await.unwrap_err();
    soon(accepted.close()).await.unwrap();
}

#[tokio::test]
async fn one_listener_takes_tls_and_quic_on_one_port() {
    let server = Server::new();
    let listener = server.listen(TransportProperties::new()).await;
    let port = listener.local_endpoint().ip().unwrap().port();
    let over_tcp = RemoteEndpoint::host("127.0.0.1").port(port).protocol(Protocol::Tcp);
    for (remote, stack) in [(over_tcp, ProtocolStack::Tls), (quic(port), ProtocolStack::QuicStream)] {
        let preconnection = server.client().remote(remote);
        let (client, accepted) = tokio::join!(
            async {
                let client = initiated(&preconnection).await;
                say(&client, "hello").await;
                client
            },
            accepted(&listener)
        );
        assert_eq!((client.protocol_stack(), accepted.protocol_stack()), (Some(stack), Some(stack)));
        hear(&accepted, "hello").await;
    }
}

#[tokio::test]
async fn an_endpoint_of_quic_and_a_generic_one_stand_in_for_each_other() {
    let server = Server::new();
    let local = |protocol| LocalEndpoint::host("127.0.0.1").protocol(protocol);
    let listen = async |protocol| server.server().local(local(protocol)).listen().await.unwrap();
    let port = |listener: &Listener| listener.local_endpoint().ip().unwrap().port();
    let to = |over_quic, over_tcp| {
        // What became of the attempts before is not to matter.
        let mut properties = TransportProperties::new();
        properties.connection.isolate_session = true;
        let generic = RemoteEndpoint::host("127.0.0.1").port(over_tcp);
        server.client().remote(quic(over_quic)).add_remote(generic).properties(properties)
    };
    let (over_quic, over_tcp) = (listen(Protocol::Quic).await, listen(Protocol::Tcp).await);
    let (quic_port, tcp_port) = (port(&over_quic), port(&over_tcp));
    // Nobody is at the generic one.
    over_tcp.stop();
    drop(over_tcp);
    let client = initiated(&to(quic_port, tcp_port)).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::QuicStream));
    assert_eq!(client.remote_endpoint().unwrap().ip().unwrap().port(), quic_port);
    soon(client.close()).await.unwrap();
    // Nobody is at the one of QUIC.
    over_quic.stop();
    drop(over_quic);
    let over_tcp = listen(Protocol::Tcp).await;
    let preconnection = to(quic_port, port(&over_tcp));
    let (client, _) = tokio::join!(initiated(&preconnection), accepted(&over_tcp));
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::Tls));
    assert_eq!(client.remote_endpoint().unwrap().ip().unwrap().port(), port(&over_tcp));
}

#[tokio::test]
async fn clones_share_a_handshake_and_a_group() {
    let server = Server::new();
    let listener = server.listen(TransportProperties::new()).await;
    let first = initiated(&server.to(&listener)).await;
    let second = soon(first.clone_connection()).await.unwrap();
    say(&first, "1").await;
    let one = accepted(&listener).await;
    say(&second, "2").await;
    let two = accepted(&listener).await;
    hear(&one, "1").await;
    hear(&two, "2").await;
    assert_eq!(one.remote_endpoint(), two.remote_endpoint(), "one socket");
    assert_eq!(first.local_endpoint(), second.local_endpoint());
    assert!(first.is_grouped_with(&second) && one.is_grouped_with(&two));
    assert_eq!((first.grouped_connections().len(), one.grouped_connections().len()), (2, 2));
    // One is closed, the other stays.
    soon(first.close()).await.unwrap();
    soon(one.receive()).await.unwrap_err();
    say(&two, "still here").await;
    hear(&second, "still here").await;
    let third = soon(second.clone_connection()).await.unwrap();
    say(&third, "3").await;
    let three = accepted(&listener).await;
    hear(&three, "3").await;
    // The group is aborted, here and there.
    second.abort_group();
    for member in [&second, &third] {
        assert_eq!(soon(member.closed()).await, Err(ConnectionError::LocalAbort));
    }
    for member in [&two, &three] {
        assert_eq!(soon(member.closed()).await, Err(ConnectionError::PeerAbort));
    }
}

#[tokio::test]
async fn a_group_closes_as_one() {
    let server = Server::new();
    let listener = server.listen(TransportProperties::new()).await;
    let first = initiated(&server.to(&listener)).await;
    let second = soon(first.clone_connection()).await.unwrap();
    let mut there = Vec::new();
    for member in [&first, &second] {
        say(member, "last words").await;
        there.push(accepted(&listener).await);
    }
    soon(first.close_group()).await.unwrap();
    for member in [&first, &second] {
        assert_eq!(soon(member.closed()).await, Ok(()));
    }
    for member in &there {
        hear(member, "last words").await;
        soon(member.receive()).await.unwrap_err();
    }
}

#[tokio::test]
async fn the_limit_of_a_group_holds() {
    let server = Server::new();
    let mut properties = TransportProperties::new();
    properties.connection.group_conn_limit = Some(1);
    let listener = server.listen(properties).await;
    let first = initiated(&server.to(&listener)).await;
    let _second = soon(first.clone_connection()).await.unwrap();
    soon(first.clone_connection()).await.unwrap_err();
}

#[tokio::test]
async fn priority_decides_which_stream_goes_first() {
    let server = Server::new();
    let listener = server.listen(TransportProperties::new()).await;
    let slow = initiated(&server.to(&listener)).await;
    let fast = soon(slow.clone_with(CloneOptions::new().conn_priority(1))).await.unwrap();
    say(&slow, "slow").await;
    let slow_there = accepted(&listener).await;
    say(&fast, "fast").await;
    let fast_there = accepted(&listener).await;
    hear(&slow_there, "slow").await;
    hear(&fast_there, "fast").await;
    // Much more than leaves at once, and the urgent one comes last.
    let large = vec![0; 4_000_000];
    let hold = slow.hold_group();
    let sending = async {
        tokio::join!(slow.send(large.clone()), async {
            let sent = fast.send(large.clone());
            drop(hold);
            sent.await
        })
    };
    let order = std::sync::Mutex::new(Vec::new());
    let receiving = async {
        tokio::join!(
            async {
                soon(slow_there.receive()).await.unwrap();
                order.lock().unwrap().push("slow");
            },
            async {
                soon(fast_there.receive()).await.unwrap();
                order.lock().unwrap().push("fast");
            }
        )
    };
    let ((one, two), _) = tokio::join!(sending, receiving);
    one.unwrap();
    two.unwrap();
    assert_eq!(*order.lock().unwrap(), ["fast", "slow"]);
}

#[tokio::test]
async fn a_first_message_that_may_come_twice_goes_before_the_handshake() {
    let server = Server::new();
    let replayable = TransportProperties::new().with_safely_replayable(true);
    let listener = server.listen(replayable).await;
    let preconnection = server.to(&listener);
    let meet = async |message: Message, early: bool| {
        let (client, accepted) = tokio::join!(
            async { preconnection.initiate_with_send(message).timeout(PATIENCE).await.unwrap() },
            accepted(&listener)
        );
        let message = soon(accepted.receive()).await.unwrap();
        assert_eq!((&message.data[..], message.context.is_early_data()), (&b"first"[..], early));
        // The session comes with the answer.
        say(&accepted, "answer").await;
        hear(&client, "answer").await;
        say(&client, "second").await;
        hear(&accepted, "second").await;
        soon(client.close()).await.unwrap();
    };
    let message = || Message::new("first");
    meet(message().safely_replayable(true), false).await;
    meet(message().safely_replayable(true), true).await;
    meet(message(), false).await;
    meet(message().safely_replayable(true), true).await;
}

#[tokio::test]
async fn datagrams_are_messages() {
    let server = Server::new();
    let unreliable = TransportProperties::new()
        .prohibit(SelectionProperty::Reliability)
        .ignore(SelectionProperty::PreserveOrder)
        .with_safely_replayable(true);
    let server_side = server.listen(unreliable.clone()).await;
    let client = initiated(&server.to(&server_side).properties(unreliable)).await;
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::QuicDatagram));
    say(&client, "ping").await;
    let there = accepted(&server_side).await;
    assert_eq!(there.protocol_stack(), Some(ProtocolStack::QuicDatagram));
    hear(&there, "ping").await;
    say(&there, "pong").await;
    hear(&client, "pong").await;
    let error = soon(client.send(vec![0; 65_000])).await.unwrap_err();
    assert!(matches!(error, SendError::MessageTooLarge { .. }), "{error:?}");
    say(&client, "bye").await;
    hear(&there, "bye").await;
    soon(client.close()).await.unwrap();
    soon(there.receive()).await.unwrap_err();
}
