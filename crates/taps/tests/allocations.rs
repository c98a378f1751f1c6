//! What a message and a connection cost in allocations, once buffers have grown. What is counted is all that happens on
//! the thread: the runtime, and the tasks of the libraries below.
#![cfg(all(unix, feature = "quic", feature = "udp"))]

mod common;

use std::future::Future;
use std::sync::Arc;

use allocation_counter::measure;
use bytes::Bytes;
use common::{Authority, Identity, PATIENCE, clear, framed, listen_with, next, pair};
use postroad_taps::{
    Connection, LengthPrefix, LocalEndpoint, Preconnection, Protocol, ProtocolStack, RemoteEndpoint, SelectionProperty,
    TlsConfig, TransportProperties,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A body that whoever hands it over need not copy.
const BODY: Bytes = Bytes::from_static(&[b'x'; 100]);

/// What a length before it makes of it.
const FRAMED: [u8; 104] = [b'x'; 104];

/// Messages that are counted, after as many that let buffers grow.
const MESSAGES: u64 = 200;

/// What an `initiate` to one address over TCP may cost: framers, properties and the memory of the context included.
const INITIATE: u64 = 40;

/// What was allocated by so many sends, and by as many receives.
#[derive(Debug, Clone, Copy)]
struct Cost {
    sent: u64,
    received: u64,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn count(runtime: &Runtime, work: impl Future<Output = ()>) -> u64 {
    let work = async { tokio::time::timeout(PATIENCE, work).await.expect("it takes too long") };
    measure(|| runtime.block_on(work)).count_total
}

/// Sends one message after the other, and receives each before the next.
fn one_by_one(runtime: &Runtime, mut send: impl AsyncFnMut(), mut receive: impl AsyncFnMut()) -> Cost {
    let mut cost = Cost { sent: 0, received: 0 };
    for round in 0..2 * MESSAGES {
        let (sent, received) = (count(runtime, send()), count(runtime, receive()));
        if round >= MESSAGES {
            cost.sent += sent;
            cost.received += received;
        }
    }
    cost
}

fn cost(runtime: &Runtime, from: &Connection, to: &Connection) -> Cost {
    let send = async || from.send(BODY).await.unwrap();
    one_by_one(runtime, send, async || assert_eq!(to.receive().await.unwrap().data, BODY))
}

/// Both ends of a connection of which the first message tells the listener.
async fn introduced(server: Preconnection, client: Preconnection, protocol: Protocol) -> (Connection, Connection) {
    let listener = server.local(LocalEndpoint::host("127.0.0.1").protocol(protocol)).listen().await.unwrap();
    let port = listener.local_endpoint().ip().unwrap().port();
    let remote = RemoteEndpoint::host("127.0.0.1").port(port).protocol(protocol);
    let client = client.remote(remote).initiate().timeout(PATIENCE).await.unwrap();
    client.send("first").await.unwrap();
    let server = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().unwrap();
    next(&server).await.unwrap();
    (server, client)
}

#[test]
fn a_message_over_a_socket_costs_nothing_to_send_and_one_allocation_to_receive() {
    let runtime = runtime();
    let check = |name: &str, from: &Connection, to: &Connection| {
        let cost = cost(&runtime, from, to);
        assert_eq!(cost.sent, 0, "{name}: {cost:?}");
        assert!(cost.received <= MESSAGES, "{name}: {cost:?}");
    };
    // What does not fit the buffers of the system is received while it is sent.
    let large = |name: &str, from: &Connection, to: &Connection| {
        let body = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut sum = 0;
        for round in 0..2 * MESSAGES {
            let cost = count(&runtime, async {
                let (sent, received) = tokio::join!(from.send(body.clone()), to.receive());
                sent.unwrap();
                assert_eq!(received.unwrap().data.len(), body.len());
            });
            sum += if round < MESSAGES { 0 } else { cost };
        }
        assert!(sum <= MESSAGES, "{name}: {sum}");
    };
    let (server, client) = runtime.block_on(pair(framed(), framed()));
    check("tcp", &client, &server);
    check("accepted tcp", &server, &client);
    large("tcp", &client, &server);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream");
    let stream = TransportProperties::new().prohibit(SelectionProperty::PreserveMsgBoundaries);
    let (server, client) = runtime.block_on(async {
        let listener = framed().properties(stream.clone()).local(LocalEndpoint::path(&path)).listen().await.unwrap();
        let client = framed().properties(stream).remote(RemoteEndpoint::path(&path));
        let (server, client) = tokio::join!(listener.accept(), async { client.initiate().timeout(PATIENCE).await });
        (server.unwrap().unwrap(), client.unwrap())
    });
    check("unix", &client, &server);
    large("unix", &client, &server);

    let udp = || clear().properties(TransportProperties::unreliable_datagram());
    let (server, client) = runtime.block_on(introduced(udp(), udp(), Protocol::Udp));
    assert_eq!(client.protocol_stack(), Some(ProtocolStack::Udp));
    check("udp", &server, &client);
    check("accepted udp", &client, &server);
}

/// What rustls makes of a certificate and of who trusts it.
fn tls(authority: &Authority, identity: &Identity) -> (ServerConfig, ClientConfig) {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut server = server.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    (server.alpn_protocols, client.alpn_protocols) = (vec![b"post/1".to_vec()], vec![b"post/1".to_vec()]);
    (server, client)
}

/// The same for ours.
fn secure(authority: &Authority, identity: &Identity) -> (Preconnection, Preconnection) {
    let server = TlsConfig::builder().server_certificate_pem(&identity.chain, &identity.key);
    let client = TlsConfig::builder().roots_pem(&authority.pem);
    let with = |config: TlsConfig| Preconnection::new().security(config);
    (with(server.alpn(["post/1"]).build().unwrap()), with(client.alpn(["post/1"]).build().unwrap()))
}

/// Each record of TLS is made and taken apart by rustls in memory of its own: a bare session allocates once for each, at
/// either end. Nothing is added to that.
#[test]
fn a_message_over_tls_costs_what_its_record_costs() {
    let runtime = runtime();
    let authority = Authority::new();
    let identity = authority.server();
    let (server, client) = tls(&authority, &identity);
    let (mut receiver, mut sender) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = listener.accept().await.unwrap().0;
        let name = ServerName::try_from("localhost").unwrap();
        let (accepting, connecting) = (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
        tokio::try_join!(accepting.accept(accepted), connecting.connect(name, tcp)).unwrap()
    });
    let mut buffer = FRAMED;
    let send = async || {
        sender.write_all(&FRAMED).await.unwrap();
        sender.flush().await.unwrap();
    };
    let receive = async || assert_eq!(receiver.read_exact(&mut buffer).await.unwrap(), FRAMED.len());
    let bare = one_by_one(&runtime, send, receive);

    let (server, client) = secure(&authority, &identity);
    let (server, client) = runtime.block_on(pair(server.framer(LengthPrefix::new), client.framer(LengthPrefix::new)));
    let ours = cost(&runtime, &client, &server);
    assert!(ours.sent <= bare.sent, "{ours:?} and bare {bare:?}");
    assert!(ours.received <= bare.received + MESSAGES, "{ours:?} and bare {bare:?}");
}

/// Both ends of a connection of quinn's alone. The endpoints must live as long.
async fn quinns(server: ServerConfig, client: ClientConfig) -> ([quinn::Endpoint; 2], [quinn::Connection; 2]) {
    let server = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()));
    let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
    let listening = quinn::Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
    let initiating = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = initiating.connect_with(client, listening.local_addr().unwrap(), "localhost").unwrap();
    let (accepted, connected) = tokio::join!(async { listening.accept().await.unwrap().await }, connecting);
    ([listening, initiating], [accepted.unwrap(), connected.unwrap()])
}

/// What a message costs over quinn alone.
fn quinn_alone(runtime: &Runtime, (server, client): (ServerConfig, ClientConfig), datagrams: bool) -> Cost {
    let (_endpoints, [accepted, connected]) = runtime.block_on(quinns(server, client));
    if datagrams {
        let send = async || connected.send_datagram(BODY).unwrap();
        return one_by_one(runtime, send, async || assert_eq!(accepted.read_datagram().await.unwrap(), BODY));
    }
    let (mut sender, mut receiver) = runtime.block_on(async {
        let mut sender = connected.open_uni().await.unwrap();
        sender.write_all(&FRAMED).await.unwrap();
        let mut receiver = accepted.accept_uni().await.unwrap();
        receiver.read_exact(&mut [0; FRAMED.len()]).await.unwrap();
        (sender, receiver)
    });
    let receive = async || {
        let mut received = 0;
        while received < FRAMED.len() {
            received += receiver.read_chunk(FRAMED.len(), true).await.unwrap().unwrap().bytes.len();
        }
    };
    one_by_one(runtime, async || sender.write_all(&FRAMED).await.unwrap(), receive)
}

/// What quinn allocates for packets and their acknowledgements is its own. Over a stream nothing is added; over
/// datagrams a small body is made one piece with what framers put before it, and who waits for one has a place to wait.
#[test]
fn a_message_over_quic_costs_what_quinn_costs_and_a_datagram_one_allocation_more_at_either_end() {
    let runtime = runtime();
    let authority = Authority::new();
    let identity = authority.server();
    let ours = |datagrams: bool| {
        let (server, client) = secure(&authority, &identity);
        let dress = |preconnection: Preconnection| match datagrams {
            true => preconnection.properties(TransportProperties::unreliable_datagram()),
            false => preconnection.framer(LengthPrefix::new),
        };
        let (server, client) = runtime.block_on(introduced(dress(server), dress(client), Protocol::Quic));
        let expected = if datagrams { ProtocolStack::QuicDatagram } else { ProtocolStack::QuicStream };
        assert_eq!(client.protocol_stack(), Some(expected));
        cost(&runtime, &client, &server)
    };
    // Which packets are acknowledged when is a matter of timers: the least of some runs tells.
    let least = |run: &dyn Fn() -> Cost| (0..3).map(|_| run()).min_by_key(|cost| cost.sent + cost.received).unwrap();
    for (datagrams, more) in [(false, 0), (true, 2)] {
        let bare = least(&|| quinn_alone(&runtime, tls(&authority, &identity), datagrams));
        let ours = least(&|| ours(datagrams));
        let bound = bare.sent + bare.received + more * MESSAGES + MESSAGES / 10;
        assert!(ours.sent + ours.received <= bound, "datagrams {datagrams}: {ours:?} and bare {bare:?}");
    }
}

#[test]
fn what_an_initiate_costs_is_bounded() {
    let runtime = runtime();
    let listener = runtime.block_on(listen_with(clear()));
    let port = listener.local_endpoint().ip().unwrap().port();
    let client = clear().remote(RemoteEndpoint::host("127.0.0.1").port(port).protocol(Protocol::Tcp));
    for round in 0..8 {
        let mut connection = None;
        let cost = count(&runtime, async { connection = Some(client.initiate().await.unwrap()) });
        let accepted = runtime.block_on(listener.accept()).unwrap();
        // The tables of what is remembered grow with the first ones.
        assert!(round < 4 || cost <= INITIATE, "{cost}");
        drop((connection, accepted));
    }
}
