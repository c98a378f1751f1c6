//! The two ends of a TLS handshake over an established TCP connection.

use std::io::{self, Read as _};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream, client};

use super::early::{EarlyReceiver, EarlySender};
use super::{TlsConfig, TlsConfigError, TlsError, TlsInfo, TlsVersion};
use crate::error::AttemptError;
use crate::protocol::ProtocolStack;
use crate::selection::Context;
use crate::stream::ByteStream;
use crate::transport::About;

/// How much a client may send before its handshake is over, in bytes; what is beyond that leaves behind it.
const MAX_EARLY_DATA: u32 = 16 * 1024;

/// What a client needs to protect a connection, made before anything is opened.
#[derive(Clone)]
pub(crate) struct ClientSide {
    config: TlsConfig,
    connector: TlsConnector,
    name: ServerName<'static>,
    sessions: Option<Context>,
}

impl ClientSide {
    /// Reads the configuration for connections to `host`.
    pub(crate) async fn prepare(config: &TlsConfig, host: &str) -> Result<Self, TlsConfigError> {
        let name = config.name_for(host)?;
        let client = if config.client_blocks() {
            let config = config.clone();
            // A runtime that is shutting down drops the task; nobody is left to see the answer then.
            tokio::task::spawn_blocking(move || config.client()).await.unwrap_or(Err(TlsConfigError::NoSystemRoots))?
        } else {
            config.client()?
        };
        Ok(Self { config: config.clone(), connector: TlsConnector::from(client), name, sessions: None })
    }

    /// Keeps its sessions in this context, and resumes no others (isolateSession, RFC 9622 8.1.10), unless the
    /// configuration has a cache of its own.
    #[must_use]
    pub(crate) fn with_sessions(mut self, context: &Context) -> Self {
        if !self.config.keeps_sessions() {
            let mut config = ClientConfig::clone(self.connector.config());
            config.resumption = Resumption::store(context.sessions(ProtocolStack::Tls));
            self.connector = TlsConnector::from(Arc::new(config));
            self.sessions = Some(context.clone());
        }
        self
    }

    /// Where its sessions are kept, when they are kept apart.
    #[cfg(feature = "quic")]
    pub(crate) fn sessions(&self) -> Option<&Context> {
        self.sessions.as_ref()
    }

    /// Runs the handshake.
    pub(crate) async fn protect(&self, tcp: TcpStream, about: About) -> Result<ByteStream, AttemptError> {
        self.protected(self.connector.connect(self.name.clone(), tcp).await, about).await
    }

    /// Gives a stream at once on which data may leave with the handshake, where a session is known that allows it; runs
    /// the handshake elsewhere.
    ///
    /// Who wants to be asked about each peer is asked before anything leaves, so nothing is early then.
    pub(crate) async fn protect_early(&self, tcp: TcpStream, mut about: About) -> Result<ByteStream, AttemptError> {
        if self.config.asks_for_trust() {
            return self.protect(tcp, about).await;
        }
        let mut config = ClientConfig::clone(self.connector.config());
        config.enable_early_data = true;
        let connector = TlsConnector::from(Arc::new(config)).early_data(true);
        let connected = connector.connect(self.name.clone(), tcp).await;
        match connected {
            Ok(stream) if stream.get_ref().1.is_handshaking() => {
                let info = TlsInfo::unfinished(TlsVersion::V1_3, self.asked());
                about.tls = Some(info.clone());
                about.zero_rtt = true;
                Ok(ByteStream::other(Box::new(EarlySender::new(stream, info)), about))
            }
            connected => self.protected(connected, about).await,
        }
    }

    /// Runs the handshake for a stack that says by itself what runs over TLS (RFC 7301).
    #[cfg(feature = "websocket")]
    pub(crate) async fn protect_for(
        &self,
        protocol: &[u8],
        tcp: TcpStream,
        about: About,
    ) -> Result<ByteStream, AttemptError> {
        let connector = self.connector.with_alpn(vec![protocol.to_vec()]);
        self.protected(connector.connect(self.name.clone(), tcp).await, about).await
    }

    async fn protected(
        &self,
        connected: io::Result<client::TlsStream<TcpStream>>,
        mut about: About,
    ) -> Result<ByteStream, AttemptError> {
        let stream = connected.map_err(|error| handshake(&error))?;
        let info = TlsInfo::of(stream.get_ref().1, self.asked());
        self.config.check_trust(&info).await?;
        about.tls = Some(info);
        Ok(ByteStream::other(Box::new(TlsStream::from(stream)), about))
    }

    /// The configuration, for stacks that have TLS inside.
    #[cfg(feature = "quic")]
    pub(crate) fn config(&self) -> &TlsConfig {
        &self.config
    }

    /// The name that the peer's certificate must carry.
    #[cfg(feature = "quic")]
    pub(crate) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// The host name that is asked for, if it is one.
    pub(crate) fn asked(&self) -> Option<&str> {
        match &self.name {
            ServerName::DnsName(name) => Some(name.as_ref()),
            _ => None,
        }
    }
}

impl std::fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSide").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a server needs to protect a connection.
#[derive(Clone)]
pub(crate) struct ServerSide {
    config: TlsConfig,
    acceptor: TlsAcceptor,
}

impl ServerSide {
    pub(crate) fn prepare(config: &TlsConfig) -> Result<Self, TlsConfigError> {
        Ok(Self { config: config.clone(), acceptor: TlsAcceptor::from(config.server()?) })
    }

    /// The same for a stack that says by itself what runs over TLS (RFC 7301).
    #[cfg(feature = "websocket")]
    pub(crate) fn for_protocol(mut self, protocol: &[u8]) -> Self {
        let mut config = ServerConfig::clone(self.acceptor.config());
        config.alpn_protocols = vec![protocol.to_vec()];
        self.acceptor = TlsAcceptor::from(Arc::new(config));
        self
    }

    /// The same, taking data that a client sends with its handshake. A ticket is good for one session, so nobody else can
    /// send that data once more (RFC 8446 8.1).
    ///
    /// A client has shown no certificate when that data leaves, so who asks for one takes none of it.
    pub(crate) fn taking_early_data(mut self) -> Self {
        if !self.config.asks_for_clients() {
            let mut config = ServerConfig::clone(self.acceptor.config());
            config.max_early_data_size = MAX_EARLY_DATA;
            self.acceptor = TlsAcceptor::from(Arc::new(config));
        }
        self
    }

    /// Runs the handshake with a client.
    pub(crate) async fn protect(&self, tcp: TcpStream, mut about: About) -> Result<ByteStream, AttemptError> {
        let mut stream = self.acceptor.accept(tcp).await.map_err(|error| handshake(&error))?;
        let mut early = Vec::new();
        if let Some(mut data) = stream.get_mut().1.early_data() {
            data.read_to_end(&mut early).map_err(|error| handshake(&error))?;
        }
        let session = stream.get_ref().1;
        let info = TlsInfo::of(session, session.server_name());
        self.config.check_trust(&info).await?;
        about.tls = Some(info);
        if early.is_empty() {
            return Ok(ByteStream::other(Box::new(TlsStream::from(stream)), about));
        }
        about.zero_rtt = true;
        Ok(ByteStream::other(Box::new(EarlyReceiver::new(stream, early)), about))
    }

    /// The configuration, for stacks that have TLS inside.
    #[cfg(feature = "quic")]
    pub(crate) fn config(&self) -> &TlsConfig {
        &self.config
    }
}

impl std::fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSide").finish_non_exhaustive()
    }
}

/// Reads an error of a handshake, where an early end has a meaning of its own.
fn handshake(error: &io::Error) -> AttemptError {
    TlsError::from_handshake(error).map_or_else(|| AttemptError::from_io(error), AttemptError::Tls)
}
