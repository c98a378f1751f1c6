//! The transports that are compared, each as ours and as the bare one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use postroad_taps::{
    Connection, LengthPrefix, LocalEndpoint, Preconnection, Protocol, RemoteEndpoint, Security, SelectionProperty,
    TlsConfig, TransportProperties,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{End, Error, Pair};

/// What one application protocol is called in these runs.
const ALPN: &[u8] = b"bench";

/// A transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// A Unix stream socket.
    Unix,
    /// UDP.
    Udp,
    /// A stream of QUIC.
    QuicStream,
    /// The datagrams of QUIC.
    QuicDatagram,
}

/// A certificate for `localhost`, as each side wants it.
#[derive(Debug)]
pub struct Certificates {
    chain: CertificateDer<'static>,
    key: Vec<u8>,
    pem: (String, String),
}

impl Certificates {
    /// Makes one that signs itself.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn new() -> Result<Self, Error> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let pem = (made.cert.pem(), made.signing_key.serialize_pem());
        Ok(Self { chain: made.cert.der().clone(), key: made.signing_key.serialize_der(), pem })
    }

    fn ours(&self) -> Result<TlsConfig, Error> {
        let builder = TlsConfig::builder().server_certificate_pem(&self.pem.0, &self.pem.1).roots_pem(&self.pem.0);
        Ok(builder.alpn([ALPN]).build()?)
    }

    fn client(&self) -> Result<rustls::ClientConfig, Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.chain.clone())?;
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    fn server(&self) -> Result<rustls::ServerConfig, Error> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.chain.clone()], key)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Lane {
    /// Every transport.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Tls, Self::Unix, Self::Udp, Self::QuicStream, Self::QuicDatagram];

    /// The name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Unix => "unix",
            Self::Udp => "udp",
            Self::QuicStream => "quic stream",
            Self::QuicDatagram => "quic datagram",
        }
    }

    /// The longest message that fits.
    #[must_use]
    pub const fn longest(self) -> usize {
        match self {
            Self::Udp => 65_000,
            Self::QuicDatagram => 1_100,
            _ => usize::MAX,
        }
    }

    /// Both ends of a connection of ours: who opened it, and who took it in.
    ///
    /// # Errors
    /// It was not established.
    pub async fn ours(self, certificates: &Certificates) -> Result<Pair, Error> {
        let datagrams = TransportProperties::unreliable_datagram();
        let security = match self {
            Self::Tcp | Self::Unix | Self::Udp => Security::Disabled,
            Self::Tls | Self::QuicStream | Self::QuicDatagram => certificates.ours()?.into(),
        };
        let plain = Preconnection::new().security(security);
        let (preconnection, protocol) = match self {
            Self::Tcp | Self::Tls => (plain.framer(LengthPrefix::new), Protocol::Tcp),
            Self::Unix => (plain.framer(LengthPrefix::new), Protocol::Unix),
            Self::QuicStream => (plain.framer(LengthPrefix::new), Protocol::Quic),
            Self::Udp => (plain.properties(datagrams), Protocol::Udp),
            Self::QuicDatagram => {
                (plain.properties(datagrams.ignore(SelectionProperty::CongestionControl)), Protocol::Quic)
            }
        };
        let folder = tempfile::tempdir()?;
        let local = match self {
            Self::Unix => LocalEndpoint::path(folder.path().join("bench.sock")),
            _ => LocalEndpoint::address(Ipv4Addr::LOCALHOST).protocol(protocol),
        };
        let listener = preconnection.clone().local(local).listen().await?;
        let remote = RemoteEndpoint::from(listener.local_endpoint()).protocol(protocol);
        let remote = match protocol {
            Protocol::Quic | Protocol::Tcp => remote.hostname("localhost"),
            _ => remote,
        };
        let connecting = async {
            let connection = preconnection.remote(remote).initiate().await?;
            // What has no handshake of its own is seen by the other side with its first message.
            connection.send("hello").await?;
            Ok::<_, Error>(connection)
        };
        let accepting = async {
            let accepted = listener.accept().await?.ok_or("the listener was stopped")?;
            accepted.receive().await?;
            Ok::<Connection, Error>(accepted)
        };
        let (client, server) = tokio::try_join!(connecting, accepting)?;
        Ok((End::Taps(client), End::Taps(server)))
    }

    /// Both ends of the bare transport.
    ///
    /// # Errors
    /// It was not established.
    pub async fn bare(self, certificates: &Certificates) -> Result<Pair, Error> {
        match self {
            Self::Tcp => {
                let (client, server) = tcp().await?;
                Ok((End::stream(client), End::stream(server)))
            }
            Self::Tls => {
                let (client, server) = tcp().await?;
                let connector = tokio_rustls::TlsConnector::from(Arc::new(certificates.client()?));
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(certificates.server()?));
                let name = ServerName::try_from("localhost")?;
                let (client, server) = tokio::try_join!(connector.connect(name, client), acceptor.accept(server))?;
                Ok((End::stream(client), End::stream(server)))
            }
            Self::Unix => {
                let (client, server) = tokio::net::UnixStream::pair()?;
                Ok((End::stream(client), End::stream(server)))
            }
            Self::Udp => {
                let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let (client, server) = (UdpSocket::bind(any).await?, UdpSocket::bind(any).await?);
                client.connect(server.local_addr()?).await?;
                server.connect(client.local_addr()?).await?;
                Ok((End::datagrams(client), End::datagrams(server)))
            }
            Self::QuicStream => {
                let (client, server) = quic(certificates).await?;
                let (mut send, receive) = client.open_bi().await?;
                send.write_all(&[0]).await?;
                let (back, mut arrives) = server.accept_bi().await?;
                arrives.read_exact(&mut [0]).await?;
                let client = Kept { stream: tokio::io::join(receive, send), _connection: client };
                let server = Kept { stream: tokio::io::join(arrives, back), _connection: server };
                Ok((End::stream(client), End::stream(server)))
            }
            Self::QuicDatagram => {
                let (client, server) = quic(certificates).await?;
                Ok((End::QuicDatagrams(client), End::QuicDatagrams(server)))
            }
        }
    }
}

async fn tcp() -> Result<(TcpStream, TcpStream), Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (client, accepted) = tokio::try_join!(TcpStream::connect(listener.local_addr()?), listener.accept())?;
    client.set_nodelay(true)?;
    accepted.0.set_nodelay(true)?;
    Ok((client, accepted.0))
}

async fn quic(certificates: &Certificates) -> Result<(quinn::Connection, quinn::Connection), Error> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = quinn::crypto::rustls::QuicServerConfig::try_from(certificates.server()?)?;
    let server = quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(server)), any)?;
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(certificates.client()?)?;
    let mut endpoint = quinn::Endpoint::client(any)?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(client)));
    let connecting = async { Ok::<_, Error>(endpoint.connect(server.local_addr()?, "localhost")?.await?) };
    let accepting = async { Ok::<_, Error>(server.accept().await.ok_or("the endpoint is closed")?.await?) };
    tokio::try_join!(connecting, accepting)
}

/// A stream that keeps its connection.
struct Kept<S> {
    stream: S,
    _connection: quinn::Connection,
}

impl<S: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Kept<S> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Kept<S> {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
