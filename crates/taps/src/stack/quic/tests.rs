use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::framer::outbox::Outbox;
use crate::message::MessageContext;
use crate::properties::{Preference, SelectionProperty, TransportProperties};
use crate::stack::{Acceptor, Hosting, Stand};
use crate::stream::ByteStream;
use crate::tls::{ServerSide, TlsConfigBuilder};
use crate::transport::{Arrived, MessageTransport, Transport};

mod datagrams;
mod early;
mod failures;
mod lingering;
mod marks;
mod relay;
mod streams;

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(20);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future).await.expect("it takes too long")
}

/// Lets time pass, for both ends.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// An authority with a server and a client. The server has a name of its own: sessions are kept by name.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    name: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("server-{}.example", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(), name }
    }

    fn pair(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn client(&self) -> TlsConfigBuilder {
        TlsConfig::builder().roots_pem(self.issuer.pem()).alpn(["post/1"]).server_name(&self.name)
    }

    fn server_for(&self, name: &str) -> TlsConfigBuilder {
        let (chain, key) = self.pair(name);
        self.client().server_certificate_pem(chain, key)
    }

    fn server(&self) -> TlsConfig {
        self.server_for(&self.name).build().unwrap()
    }
}

fn listening(properties: TransportProperties, tls: &TlsConfig) -> Box<dyn Acceptor> {
    listening_on(0, ProtocolStack::QuicStream, properties, tls).unwrap()
}

fn listening_on(
    port: u16,
    stack: ProtocolStack,
    properties: TransportProperties,
    tls: &TlsConfig,
) -> io::Result<Box<dyn Acceptor>> {
    listen(&stand(port, stack), &hosting(properties, tls))
}

fn stand(port: u16, stack: ProtocolStack) -> Stand {
    Stand {
        stack,
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(),
        interface: None,
        both_families: false,
        websocket: None,
        source: None,
    }
}

fn hosting(properties: TransportProperties, tls: &TlsConfig) -> Hosting {
    Hosting { properties: Arc::new(properties), security: Some(ServerSide::prepare(tls).unwrap()) }
}

fn leaf(stack: ProtocolStack, remote: SocketAddr) -> Leaf {
    Leaf {
        stack,
        remote: remote.into(),
        local: None,
        interface: None,
        host: "localhost".into(),
        websocket: None,
        hop_limit: None,
    }
}

async fn setting(properties: TransportProperties, tls: &TlsConfig, early: bool) -> Setting {
    let security = Some(ClientSide::prepare(tls, "localhost").await.unwrap());
    Setting { properties: Arc::new(properties), security, early, proxy: None }
}

async fn connected(
    acceptor: &dyn Acceptor,
    properties: TransportProperties,
    tls: &TlsConfig,
) -> Result<Established, AttemptError> {
    let leaf = leaf(ProtocolStack::QuicStream, acceptor.local().ip().unwrap());
    soon(connect(&leaf, &setting(properties, tls, false).await)).await
}

/// What a client sends first, before anybody answers.
async fn first_packet(tls: &TlsConfig) -> Vec<u8> {
    let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let leaf = leaf(ProtocolStack::QuicStream, peer.local_addr().unwrap());
    let setting = setting(TransportProperties::new(), tls, false).await;
    let mut packet = vec![0; 2048];
    tokio::select! {
        _ = connect(&leaf, &setting) => unreachable!(),
        received = peer.recv(&mut packet) => packet.truncate(received.unwrap()),
    }
    packet
}

async fn accepted(acceptor: &dyn Acceptor) -> Established {
    soon(async { acceptor.accept().await.unwrap().establish.await.unwrap() }).await
}

fn stream(established: Established) -> ByteStream {
    match established.transport {
        Transport::Stream(stream) => stream,
        Transport::Message(_) => panic!("a stream was expected"),
    }
}

fn messages(established: Established) -> Box<dyn MessageTransport> {
    match established.transport {
        Transport::Message(transport) => transport,
        Transport::Stream(_) => panic!("messages were expected"),
    }
}

/// Writes, and waits until it has left.
async fn say(stream: &mut ByteStream, data: &[u8]) {
    soon(stream.write_all(data)).await.unwrap();
    soon(stream.flush()).await.unwrap();
}

async fn hear(stream: &mut ByteStream, expected: &[u8]) {
    let mut data = vec![0; expected.len()];
    soon(stream.read_exact(&mut data)).await.unwrap();
    assert_eq!(data, expected);
}

async fn send(transport: &mut dyn MessageTransport, data: &[u8]) -> io::Result<()> {
    let mut outbox = Outbox::of_messages();
    outbox.push(Bytes::copy_from_slice(data));
    outbox.end_message(MessageContext::default());
    let leaving = outbox.next_message().unwrap();
    soon(poll_fn(|cx| transport.poll_send(cx, &leaving))).await?;
    soon(poll_fn(|cx| transport.poll_flush(cx))).await
}

async fn receive(transport: &mut dyn MessageTransport) -> io::Result<Option<(Bytes, MessageContext)>> {
    Ok(match soon(poll_fn(|cx| transport.poll_receive(cx))).await? {
        Arrived::Message(data, context) => Some((data, context)),
        Arrived::End => None,
        other @ Arrived::SoftError(_) => panic!("{other:?}"),
    })
}

fn unreliable() -> TransportProperties {
    TransportProperties::new().ignore(SelectionProperty::Reliability)
}
