//! Messages that may be lost, beside the streams of QUIC (RFC 9622 6.2.3 and 9.1.3.7, RFC 9221).
#![cfg(feature = "quic")]

mod common;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use common::{Authority, Identity, PATIENCE};
use postroad_taps::{
    Connection, IntoData, LengthPrefix, Listener, LocalEndpoint, Message, MessagePropertyError, Preconnection,
    Protocol, ProtocolStack, Receive, RemoteEndpoint, SelectionProperty, SendError, TlsConfig, TransportProperties,
};
use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const PROTOCOL: &str = "post/1";

struct Server {
    authority: Authority,
    identity: Identity,
}

impl Server {
    fn new() -> Self {
        let authority = Authority::new();
        let identity = authority.server();
        Self { authority, identity }
    }

    async fn listen(&self, properties: TransportProperties) -> Listener {
        let tls = TlsConfig::builder().server_certificate_pem(&self.identity.chain, &self.identity.key);
        let tls = tls.alpn([PROTOCOL]).build().unwrap();
        let preconnection = Preconnection::new().security(tls).framer(LengthPrefix::new).properties(properties);
        preconnection.local(LocalEndpoint::host("127.0.0.1")).listen().await.unwrap()
    }

    /// A server that is not ours, and takes datagrams.
    fn other(&self) -> quinn::Endpoint {
        let chain = CertificateDer::pem_slice_iter(self.identity.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.identity.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![PROTOCOL.into()];
        let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).unwrap()));
        quinn::Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
    }

    async fn connect(&self, port: u16, properties: TransportProperties) -> Connection {
        let tls = TlsConfig::builder().roots_pem(&self.authority.pem).server_name("localhost");
        let remote = RemoteEndpoint::host("127.0.0.1").port(port).protocol(Protocol::Quic);
        let preconnection = Preconnection::new().security(tls.alpn([PROTOCOL]).build().unwrap()).remote(remote);
        let preconnection = preconnection.framer(LengthPrefix::new).properties(properties);
        preconnection.initiate().timeout(PATIENCE).await.unwrap()
    }
}

fn per_message() -> TransportProperties {
    TransportProperties::new().require(SelectionProperty::PerMsgReliability)
}

fn port(listener: &Listener) -> u16 {
    listener.local_endpoint().ip().unwrap().port()
}

fn losable(data: impl IntoData) -> Message {
    Message::new(data).reliable(false)
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

async fn say(connection: &Connection, message: impl Into<Message> + Send) {
    soon(connection.send(message)).await.unwrap();
}

async fn hear(connection: &Connection, text: &str) {
    assert_eq!(soon(connection.receive()).await.unwrap().data, text.as_bytes());
}

/// A message as the framer of both ends has it.
fn framed(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

async fn read(stream: &mut quinn::RecvStream, text: &str) {
    let mut data = vec![0; 4 + text.len()];
    soon(stream.read_exact(&mut data)).await.unwrap();
    assert_eq!(data, framed(text));
}

#[tokio::test]
async fn what_may_be_lost_is_a_datagram_that_names_its_stream() {
    let server = Server::new();
    let other = server.other();
    let accepted = async { other.accept().await.unwrap().await.unwrap() };
    let port = other.local_addr().unwrap().port();
    let (client, peer) = tokio::join!(server.connect(port, per_message()), accepted);
    // Without anything on it, there is no stream for the peer.
    say(&client, losable("first")).await;
    let (mut reply, mut stream) = soon(peer.accept_bi()).await.unwrap();
    read(&mut stream, "first").await;
    say(&client, losable("lost")).await;
    assert_eq!(soon(peer.read_datagram()).await.unwrap(), [&[0][..], &framed("lost")].concat());
    let second = soon(client.clone_connection()).await.unwrap();
    say(&second, "hello").await;
    let (_reply, mut stream_of_second) = soon(peer.accept_bi()).await.unwrap();
    read(&mut stream_of_second, "hello").await;
    say(&second, losable("")).await;
    assert_eq!(soon(peer.read_datagram()).await.unwrap(), [&[1][..], &framed("")].concat());

    // What needs its place among the others goes over the stream, as does what is too long.
    say(&client, losable("in its place").ordered(true)).await;
    read(&mut stream, "in its place").await;
    let long = "x".repeat(2_000);
    say(&client, losable(long.clone())).await;
    read(&mut stream, &long).await;
    let mut parts = client.start_message(losable("").context);
    soon(parts.send("in ")).await.unwrap();
    soon(parts.finish("parts")).await.unwrap();
    read(&mut stream, "in parts").await;
    say(&client, losable("last").last()).await;
    read(&mut stream, "last").await;
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), None);
    let datagram = std::pin::pin!(peer.read_datagram());
    assert!(tokio::select! { biased; _ = datagram => false, () = std::future::ready(()) => true });

    // The other way. What belongs to one stream is not given to another, whoever receives first.
    let tell = |bytes: Vec<u8>| peer.send_datagram(bytes.into()).unwrap();
    tell([&[1][..], &framed("for the second")].concat());
    tell([&[0][..], &framed("for the first")].concat());
    hear(&client, "for the first").await;
    hear(&second, "for the second").await;
    // What nobody can read is dropped, or told once, and is not the end.
    tell(vec![0x40]);
    tell(Vec::new());
    tell(vec![9, 9]);
    tell(vec![0, 0, 0, 0, 9, 1]);
    soon(client.receive()).await.unwrap_err();
    tell([&[0x40, 0][..], &framed("a long zero")].concat());
    hear(&client, "a long zero").await;
    reply.write_all(&framed("over the stream")).await.unwrap();
    hear(&client, "over the stream").await;
    // It is received before the end of the stream that comes behind it.
    tell([&[0][..], &framed("before the end")].concat());
    reply.finish().unwrap();
    hear(&client, "before the end").await;
    soon(client.receive()).await.unwrap_err();
}

#[tokio::test]
async fn both_ends_send_what_may_be_lost() {
    let server = Server::new();
    let listener = server.listen(per_message()).await;
    let client = server.connect(port(&listener), per_message()).await;
    assert!(client.properties().has(SelectionProperty::PerMsgReliability));
    let second = soon(client.clone_connection()).await.unwrap();
    let mut pairs = Vec::new();
    for connection in [client, second] {
        say(&connection, "hello").await;
        let there = soon(listener.accept()).await.unwrap().unwrap();
        assert_eq!(there.protocol_stack(), Some(ProtocolStack::QuicStream));
        hear(&there, "hello").await;
        pairs.push((connection, there));
    }
    for (here, there) in &pairs {
        for (from, to) in [(here, there), (there, here)] {
            for number in 0..10 {
                let text = format!("message {number}");
                say(from, losable(text.clone())).await;
                hear(to, &text).await;
            }
        }
    }
    // A whole message of the stream comes before what is beside it, once it was received in part.
    let (here, there) = &pairs[0];
    say(here, "0123456789").await;
    let part = soon(there.receive_with(Receive::min_incomplete(1).max(4))).await.unwrap();
    assert_eq!((&part.data[..], part.end_of_message), (&b"0123"[..], false));
    say(here, losable("beside")).await;
    hear(there, "456789").await;
    hear(there, "beside").await;
    // The last of both kinds arrives before the end.
    say(here, losable("the last but one")).await;
    say(here, "the last").await;
    soon(here.close()).await.unwrap();
    let mut heard = [soon(there.receive()).await.unwrap().data, soon(there.receive()).await.unwrap().data];
    heard.sort();
    assert_eq!(heard, ["the last", "the last but one"]);
    soon(there.receive()).await.unwrap_err();
}

#[tokio::test]
async fn what_the_peer_takes_no_datagrams_of_goes_over_the_stream() {
    let server = Server::new();
    let listener = server.listen(TransportProperties::new()).await;
    let client = server.connect(port(&listener), per_message()).await;
    for number in 0..100 {
        say(&client, losable(number.to_string())).await;
    }
    let there = soon(listener.accept()).await.unwrap().unwrap();
    for number in 0..100 {
        hear(&there, &number.to_string()).await;
    }
    // Who did not ask for it has no choice.
    let refused = soon(there.send(losable("reply"))).await.unwrap_err();
    assert_eq!(refused, SendError::InvalidMessageProperties(MessagePropertyError::AlwaysReliable));
    say(&there, "reply").await;
    hear(&client, "reply").await;
}
