//! The end that is connected to: peers that talk to each other without a broker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0 as amqp;
use postroad_taps::{
    BlockingError, EndpointAddress, EstablishmentError, ListenError, Listener, LocalEndpoint, Preconnection, Protocol,
    Security,
};

use crate::link::Link;
use crate::options::{OUTGOING, SUBPROTOCOL, bytes_only, random_uuid};
use crate::protocol::{LinkId, Remote, Role};
use crate::state::State;
use crate::tls_header;
use crate::types::PeerError;
use crate::v1_0::Engine;
use crate::wait::Place;
use crate::{
    AttachError, Connection, ConnectionError, Guarantee, LinkError, LinkOptions, Receiver, Sender, Session,
    StreamingReceiver, TlsConfig, TlsMode,
};

/// How connections are accepted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AcceptOptions {
    /// The address to listen on, or the Unix socket. Connections to an address come by TCP alone, whatever is built in, or
    /// by WebSocket where the endpoint has a resource: `LocalEndpoint::any().port(80).websocket("/")`.
    pub local: LocalEndpoint,
    /// Whether clients must use TLS, and the certificate that they see.
    pub security: Security,
    /// When TLS begins, where clients must use it: with the first byte ([`TlsMode::Scheme`], the default), or behind AMQP's TLS
    /// header ([`TlsMode::Header`]) on a port that begins in clear text.
    pub tls_mode: TlsMode,
    /// Whether clients that do not send the TLS header are served in clear text all the same, with [`TlsMode::Header`]. By
    /// default they are told to send it, and are left.
    pub allow_clear_text: bool,
    /// The id of our container; a random one by default.
    pub container_id: String,
    /// Silence after which a client counts as dead.
    pub idle_timeout: Option<Duration>,
    /// The largest frame that we take, in bytes; 512 at least.
    pub max_frame_size: u32,
    /// How long TLS and opening may take in all.
    pub handshake_timeout: Duration,
}

impl AcceptOptions {
    /// The defaults, for clients without TLS.
    #[must_use]
    pub fn new(local: LocalEndpoint) -> Self {
        Self {
            local,
            security: Security::Disabled,
            tls_mode: TlsMode::Scheme,
            allow_clear_text: false,
            container_id: random_uuid().to_string(),
            idle_timeout: None,
            max_frame_size: 65_536,
            handshake_timeout: Duration::from_secs(30),
        }
    }
}

impl AcceptOptions {
    /// The configuration for clients that send the TLS header.
    fn tls_by_header(&self) -> Option<&TlsConfig> {
        match &self.security {
            Security::Tls(config) if self.tls_mode == TlsMode::Header => Some(config),
            _ => None,
        }
    }
}

/// Why a connection was not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The acceptor has failed: no further connection will come.
    #[error("{0}")]
    Listener(String),
    /// The transport of one client was not established.
    #[error(transparent)]
    Transport(#[from] EstablishmentError),
    /// One client did not open its connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
}

/// Accepts connections. Clients are not authenticated: SASL ANONYMOUS is answered, and so is none.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    options: AcceptOptions,
}

impl Acceptor {
    /// Listens.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the TLS configuration has no certificate.
    pub async fn listen(options: AcceptOptions) -> Result<Self, ListenError> {
        let security = match options.tls_by_header() {
            None => options.security.clone(),
            Some(tls) => {
                tls.check_server()?;
                Security::Disabled
            }
        };
        let preconnection = preconnection(options.local.clone()).security(security);
        Ok(Self { listener: preconnection.listen().await?, options })
    }

    /// The address that is listened on, with the port that the system picked when none was asked for.
    #[must_use]
    pub fn local_endpoint(&self) -> &EndpointAddress {
        self.listener.local_endpoint()
    }

    /// Accepts the next connection and waits until its client has opened it.
    ///
    /// # Errors
    /// When this one client fails; the next call goes on. [`AcceptError::Listener`] is final.
    ///
    /// # Cancel safety
    /// A dropped future may have taken a connection, which is then closed.
    pub async fn accept(&self) -> Result<Connection, AcceptError> {
        let incoming = match self.listener.incoming().await {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Err(AcceptError::Listener("the listener was stopped".to_owned())),
            Err(error) => return Err(AcceptError::Listener(error.to_string())),
        };
        let options = &self.options;
        let transport = incoming.establish().timeout(options.handshake_timeout).await?;
        let mut stream =
            transport.into_byte_stream().map_err(|_| ConnectionError::Transport(std::io::ErrorKind::NotConnected))?;
        let mut first = Vec::new();
        if let Some(tls) = options.tls_by_header() {
            let waited = tokio::time::timeout(
                options.handshake_timeout,
                tls_header::answer(stream, tls, options.allow_clear_text),
            );
            (stream, first) = waited.await.map_err(|_| timed_out())??;
        }
        let secure = stream.tls_info().is_some();
        let mut config = amqp::Config::new(options.container_id.clone());
        config.max_frame_size = options.max_frame_size;
        config.outgoing_bytes = OUTGOING;
        config.idle_timeout = options.idle_timeout;
        config.handshake_timeout = Some(options.handshake_timeout);
        let sasl = anonymous(secure);
        let engine = Engine::new(amqp::Connection::server(config, Some(sasl), Instant::now()));
        Ok(Connection::serve(engine, stream, &first, Duration::from_secs(10)).await?)
    }
}

/// Listens with the protocol that the endpoint means, and no other.
fn preconnection(local: LocalEndpoint) -> Preconnection {
    if local.allows(Protocol::Tcp) {
        Preconnection::new().local(local.protocol(Protocol::Tcp))
    } else if local.allows(Protocol::Unix) {
        Preconnection::new().local(local).properties(bytes_only())
    } else {
        // It may have been named already, and a name stands once.
        let named = local.clone().subprotocol(SUBPROTOCOL);
        let is_new = local.allows(Protocol::WebSocket) && named.check().is_ok();
        Preconnection::new().local(if is_new { named } else { local })
    }
}

/// What an engine says that waits for its peer's header in vain.
fn timed_out() -> ConnectionError {
    ConnectionError::Protocol(amqp::ConnectionError::Handshake)
}

fn anonymous(secure: bool) -> amqp::ServerSasl {
    use postroad_amqp::sasl::{Server, ServerConfig};
    let config = Arc::new(ServerConfig::new([0; 32]).anonymous(true));
    let mechanisms = config.mechanisms(secure, None);
    amqp::ServerSasl { mechanisms, server: Server::new(config, secure, None, [0; 24]), allow_bare: true }
}

/// A link that the peer attaches, and that waits for an answer. Dropped, it is refused.
#[doc(alias = "Link")]
#[derive(Debug)]
pub struct IncomingLink {
    connection: Connection,
    id: LinkId,
    name: String,
    role: Role,
    settled: bool,
    second: bool,
    source: Option<String>,
    target: Option<String>,
    answered: bool,
}

impl Connection {
    /// The next link that the peer attaches.
    ///
    /// # Errors
    /// When the connection is over.
    ///
    /// # Cancel safety
    /// A dropped future has taken no link.
    pub async fn next_link(&self) -> Result<IncomingLink, ConnectionError> {
        let next = |state: &mut State| {
            while let Some(id) = state.incoming.as_mut().and_then(VecDeque::pop_front) {
                // The peer may have given it up while it waited; the next is behind it.
                if let Some(remote) = state.engine.remote(id) {
                    return Some(Ok(IncomingLink::new(self.clone(), id, &remote)));
                }
            }
            state.over.clone().map(Err)
        };
        self.inner.shared.wait(Place::Connection, next).await
    }
}

impl IncomingLink {
    fn new(connection: Connection, id: LinkId, remote: &Remote) -> Self {
        Self {
            connection,
            id,
            name: remote.name.clone(),
            role: remote.role,
            settled: remote.settled,
            second: remote.second,
            source: remote.source.as_ref().and_then(|node| node.address.clone()),
            target: remote.target.as_ref().and_then(|node| node.address.clone()),
            answered: false,
        }
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the peer sends on it, so that our end receives.
    #[must_use]
    pub fn is_receiver(&self) -> bool {
        self.role == Role::Receiver
    }

    /// The address that the peer receives from.
    #[must_use]
    pub fn source_address(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The address that the peer sends to.
    #[must_use]
    pub fn target_address(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// What the peer asks of the link.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        match (self.settled, self.second) {
            (true, _) => Guarantee::AtMostOnce,
            (false, false) => Guarantee::AtLeastOnce,
            (false, true) => Guarantee::ExactlyOnce,
        }
    }

    /// Accepts a link that the peer sends on.
    ///
    /// # Errors
    /// When the link is over already, or the peer receives on it.
    pub fn into_receiver(mut self, options: &LinkOptions) -> Result<Receiver, AttachError> {
        let link = self.accept(Role::Receiver, options)?;
        Ok(Receiver::new(link, options.prefetch))
    }

    /// As [`into_receiver`](Self::into_receiver), for content that is given as it comes.
    ///
    /// # Errors
    /// When the link is over already, or the peer receives on it.
    pub fn into_streaming_receiver(mut self, options: &LinkOptions) -> Result<StreamingReceiver, AttachError> {
        let options = LinkOptions { in_parts: true, ..options.clone() };
        let link = self.accept(Role::Receiver, &options)?;
        Ok(StreamingReceiver::new(Receiver::new(link, options.prefetch)))
    }

    /// Accepts a link that the peer receives on. Messages are settled as they are sent where the peer asks
    /// for that.
    ///
    /// # Errors
    /// When the link is over already, or the peer sends on it.
    pub fn into_sender(mut self, options: &LinkOptions) -> Result<Sender, AttachError> {
        let link = self.accept(Role::Sender, options)?;
        Ok(Sender::new(link, self.guarantee()))
    }

    /// Refuses the link.
    pub fn refuse(mut self, error: PeerError) {
        self.answered = true;
        self.refuse_with(error);
    }

    fn accept(&mut self, role: Role, options: &LinkOptions) -> Result<Link, AttachError> {
        if self.role != role {
            let offered = format!("the {:?} end", self.role);
            return Err(AttachError::OtherEnd { asked: "the other end of the link", offered });
        }
        let id = self.id;
        let key = self.connection.inner.shared.with(|state| {
            let session = state.engine.session_of(id).and_then(|session| state.share_session(session));
            let session = session.ok_or(LinkError::Closed)?;
            if let Err(error) = state.engine.accept(id, options) {
                state.drop_session(session);
                return Err(AttachError::from(error));
            }
            let key = state.add_link(id, session);
            (state.links[key].attached, state.links[key].second) = (true, self.second);
            Ok((session, key))
        });
        let (session, key) = key?;
        self.answered = true;
        let session = Session::new(self.connection.clone(), session);
        Ok(Link { session, key, name: self.name.clone(), timeout: options.timeout })
    }

    fn refuse_with(&self, error: PeerError) {
        self.connection.inner.shared.with(|state| {
            state.engine.refuse(self.id, error);
        });
    }
}

impl Drop for IncomingLink {
    fn drop(&mut self) {
        if !self.answered {
            self.refuse_with(PeerError::new(crate::types::ErrorCondition::NOT_ALLOWED, "nobody took the link"));
        }
    }
}
