//! What a broker is to be.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use postroad_address::{BrokerUrl, Scheme, WEBSOCKET_RESOURCE};
use postroad_amqp::sasl::{ServerConfig, Tokens, UserFile};
use postroad_amqp::v1_0::Config;
use postroad_codec::v1_0::{Fields, Symbol, Value};
use postroad_taps::{
    LocalEndpoint, Preconnection, Protocol, Security, SelectionProperty, TlsConfig, TransportProperties,
};

use crate::broker::{Broker, Listening};
use crate::connections::ConnectionLimits;
use crate::declaration::Declaration;
use crate::error::{QueueError, StartError};
use crate::exchange::ExchangeKind;
use crate::limits::Limits;
use crate::link_expiry::ExpiryLimits;
use crate::link_table::TableLimits;
use crate::node::{NodeLimits, Nodes};
use crate::options::{NodeOptions, Policies};
use crate::queue::QueueLimits;
use crate::shared::{Settings, Shared};
use crate::transaction::TransactionLimits;

/// Builds a [`Broker`].
#[must_use]
pub struct Builder {
    nodes: Vec<(String, Option<ExchangeKind>)>,
    policies: Policies,
    auto_create: bool,
    anonymous: Option<bool>,
    users: Option<UserFile>,
    tokens: Option<Arc<dyn Tokens>>,
    external: bool,
    insecure_plain: bool,
    listen: Vec<String>,
    tls: Option<TlsConfig>,
    tls_files: Option<(PathBuf, PathBuf)>,
    container_id: Option<String>,
    limits: Limits,
    idle_timeout: Option<Duration>,
    handshake_timeout: Duration,
    transaction_timeout: Option<Duration>,
    link_expiry: ExpiryLimits,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            policies: Policies::default(),
            auto_create: false,
            anonymous: None,
            users: None,
            tokens: None,
            external: false,
            insecure_plain: false,
            listen: Vec::new(),
            tls: None,
            tls_files: None,
            container_id: None,
            limits: Limits::default(),
            idle_timeout: Some(Duration::from_secs(120)),
            handshake_timeout: Duration::from_secs(10),
            transaction_timeout: Some(Duration::from_secs(300)),
            link_expiry: ExpiryLimits { longest: Duration::from_secs(600), never: false },
        }
    }
}

impl Builder {
    /// Makes a queue at the start.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.nodes.push((name.into(), None));
        self
    }

    /// Makes a queue at the start, with options of its own.
    pub fn queue_with(mut self, name: impl Into<String>, options: NodeOptions) -> Self {
        let name = name.into();
        self.policies.named.insert(name.clone(), Arc::new(options));
        self.queue(name)
    }

    /// Makes an exchange at the start. Every broker has `amq.direct`, `amq.topic`, `amq.fanout` and `amq.match` (by headers)
    /// without being told.
    pub fn exchange(mut self, name: impl Into<String>, kind: ExchangeKind) -> Self {
        self.nodes.push((name.into(), Some(kind)));
        self
    }

    /// Makes a topic at the start: a topic exchange, whose subscribers get everything unless they say what they want.
    pub fn topic(self, name: impl Into<String>) -> Self {
        self.exchange(name, ExchangeKind::Topic)
    }

    /// Makes a topic at the start, with options of its own.
    pub fn topic_with(mut self, name: impl Into<String>, options: NodeOptions) -> Self {
        let name = name.into();
        self.policies.named.insert(name.clone(), Arc::new(options));
        self.topic(name)
    }

    /// Sets the options of all nodes that have none of their own, those that are made later included.
    pub fn node_defaults(mut self, options: NodeOptions) -> Self {
        self.policies.others = Arc::new(options);
        self
    }

    /// Makes a queue of every plain name that a link asks for and nobody has declared. Off by default: a name
    /// that is misspelt is then refused.
    pub fn auto_create(mut self, yes: bool) -> Self {
        self.auto_create = yes;
        self
    }

    /// Lets clients in that do not say who they are: by SASL ANONYMOUS or without SASL. By default they are let
    /// in as long as there are no [`users`](Self::users) or [`tokens`](Self::tokens), and no
    /// [`certificates`](Self::certificates) count.
    pub fn anonymous(mut self, yes: bool) -> Self {
        self.anonymous = Some(yes);
        self
    }

    /// Lets these users in, by SCRAM, and by PLAIN over TLS.
    pub fn users(mut self, users: UserFile) -> Self {
        self.users = Some(users);
        self
    }

    /// Lets in whoever brings a bearer token that this takes, over TLS, by OAUTHBEARER.
    pub fn tokens(mut self, tokens: Arc<dyn Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Lets in whoever shows a certificate, by EXTERNAL, under the common name of its subject. The configuration of
    /// [`tls`](Self::tls) has to ask for certificates and says whose it trusts: everybody with one of theirs gets in.
    /// Off by default.
    pub fn certificates(mut self, yes: bool) -> Self {
        self.external = yes;
        self
    }

    /// Offers PLAIN without TLS too, where anyone on the way can read the passwords.
    pub fn allow_insecure_plain(mut self, yes: bool) -> Self {
        self.insecure_plain = yes;
        self
    }

    /// Listens on a URL, such as `amqp://127.0.0.1:5672`, where port 0 lets the system pick one, or
    /// `amqp+unix://%2Frun%2Fbroker.sock`, whose file goes when the broker does, or, with the feature `websocket`,
    /// `amqpws://127.0.0.1:8080?websocket_resource=/amqp`, which is `/` when it is left out. Call it again for more. Without
    /// any the broker opens no socket and serves only what [`Broker::serve`] is given.
    pub fn listen(mut self, url: impl Into<String>) -> Self {
        self.listen.push(url.into());
        self
    }

    /// What `amqps` and `amqpwss` URLs use, and on `amqp` URLs the clients that ask for TLS by AMQP's header; it needs a
    /// server certificate.
    pub fn tls(mut self, config: TlsConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Shows the certificate chain of a PEM file, with the key of another, where [`tls`](Self::tls) would. The files are
    /// read at the start.
    pub fn tls_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.tls_files = Some((certificate.as_ref().to_owned(), key.as_ref().to_owned()));
        self
    }

    /// The id that the broker tells its clients; by default one that is made up.
    pub fn container_id(mut self, id: impl Into<String>) -> Self {
        self.container_id = Some(id.into());
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Changes the limits in place:
    ///
    /// ```
    /// let builder = postroad_broker::Broker::builder().with_limits(|limits| limits.queue_messages = 1000);
    /// # drop(builder);
    /// ```
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    /// Silence after which a client counts as dead, two minutes by default; `None` waits for ever.
    pub fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long a client may take to authenticate and open, ten seconds by default. A TLS handshake, with AMQP's TLS
    /// header before it where there is one, has the same time before that.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// How long a transaction may last before it is rolled back, five minutes by default; `None` waits as long as its
    /// control link lasts. Whoever discharges it later is told `amqp:transaction:timeout`.
    pub fn transaction_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// How long a link is kept at most after its detach, session or connection, where its client asks for that: ten
    /// minutes by default, in whole seconds. Zero keeps none.
    pub fn max_link_timeout(mut self, timeout: Duration) -> Self {
        self.link_expiry.longest = timeout;
        self
    }

    /// Keeps links as long as the broker runs where clients ask for that (expiry policy `never`). Off by default: they
    /// get [`max_link_timeout`](Self::max_link_timeout) from the end of their connection on.
    pub fn links_that_never_expire(mut self, yes: bool) -> Self {
        self.link_expiry.never = yes;
        self
    }

    /// Makes the queues, opens the sockets, and serves clients on the runtime that this is called in.
    ///
    /// # Errors
    /// Everything that can be wrong with the configuration, and sockets that cannot be opened.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O.
    ///
    /// # Cancel safety
    /// Dropping the future closes what it had opened.
    pub async fn start(self) -> Result<Broker, StartError> {
        let limits = self.limits;
        let queue_limits = QueueLimits { messages: limits.queue_messages, bytes: limits.queue_bytes };
        let node_limits = NodeLimits {
            nodes: limits.nodes,
            subscriptions: limits.subscriptions_per_topic,
            bindings: limits.bindings,
            queue: queue_limits,
            subscription: QueueLimits { messages: limits.subscription_messages, bytes: limits.subscription_bytes },
            bytes: limits.total_bytes,
        };
        let mut graves: Vec<String> = self.policies.dead_letter_nodes().map(str::to_owned).collect();
        graves.retain(|grave| self.nodes.iter().all(|(name, _)| name != grave));
        graves.sort();
        graves.dedup();
        let nodes = Arc::new(Nodes::new(node_limits, self.policies));
        for (name, kind) in &self.nodes {
            declare(&nodes, name, *kind)?;
        }
        for name in &graves {
            declare(&nodes, name, None)?;
        }
        let tls = match (self.tls, self.tls_files) {
            (Some(config), _) => Some(config),
            (None, Some((chain, key))) => Some(TlsConfig::builder().server_certificate_files(chain, key).build()?),
            (None, None) => None,
        };
        if let Some(config) = &tls {
            config.check_server()?;
        }
        let mut sasl = ServerConfig::new(random()?);
        let nobody_known = self.users.is_none() && self.tokens.is_none() && !self.external;
        let anonymous = self.anonymous.unwrap_or(nobody_known);
        if !anonymous && nobody_known {
            return Err(StartError::Nobody);
        }
        if let Some(users) = self.users {
            sasl = sasl.users(Arc::new(users));
        }
        if let Some(tokens) = self.tokens {
            sasl = sasl.tokens(tokens);
        }
        let sasl = sasl.anonymous(anonymous).plain_without_tls(self.insecure_plain).external(self.external);
        let container_id = match self.container_id {
            Some(id) => id,
            None => format!("postroad-{:016x}", u64::from_be_bytes(random()?)),
        };
        let mut engine = Config::new(container_id);
        engine.max_frame_size = limits.frame_size;
        // Queues keep messages, and their limits count the bytes of them.
        engine.shared_block = 0;
        engine.max_sasl_frame_size = limits.sasl_frame_size;
        engine.handle_max = u32::try_from(limits.links_per_connection).unwrap_or(u32::MAX);
        engine.channel_max = u16::try_from(limits.sessions_per_connection.saturating_sub(1)).unwrap_or(u16::MAX);
        engine.idle_timeout = self.idle_timeout;
        engine.handshake_timeout = Some(self.handshake_timeout);
        engine.offered_capabilities =
            ["ANONYMOUS-RELAY", "AMQP_MANAGEMENT_V1_0"].into_iter().map(Symbol::from_static).collect();
        engine.properties = Some(properties());
        // Messages are taken out as they come: what bounds a sender is the credit of its link.
        engine.incoming_bytes = (engine.max_frame_size as usize).saturating_mul(engine.incoming_window as usize);
        let settings = Settings {
            engine,
            auto_create: self.auto_create,
            max_message_size: limits.message_size,
            connections: ConnectionLimits {
                all: limits.connections,
                per_address: limits.connections_per_address,
                per_user: limits.connections_per_user,
            },
            max_links: limits.links_per_connection,
            tls: tls.clone(),
            max_links_per_session: limits.links_per_session,
            transactions: TransactionLimits {
                open: limits.transactions_per_connection,
                bytes: limits.transaction_bytes,
                timeout: self.transaction_timeout,
            },
            resumable: TableLimits {
                all: limits.resumable_links,
                per_user: limits.resumable_links_per_user,
                of_nobody: if nobody_known { limits.resumable_links } else { limits.resumable_links.div_ceil(2) },
            },
            expiry: self.link_expiry,
        };
        let mut listening = Vec::new();
        for url in self.listen {
            listening.push(open(url, tls.as_ref()).await?);
        }
        let shared = Arc::new(Shared::new(nodes, settings, sasl, anonymous));
        Ok(Broker::new(shared, listening, self.handshake_timeout))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.listen)
            .field("nodes", &self.nodes)
            .field("auto_create", &self.auto_create)
            .field("users", &self.users)
            .field("tokens", &self.tokens)
            .field("certificates", &self.external)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Makes a queue or an exchange, and tells whether it is new.
pub(crate) fn declare(nodes: &Nodes, name: &str, kind: Option<ExchangeKind>) -> Result<bool, QueueError> {
    let failed = |reason| QueueError { name: name.to_owned(), reason };
    let declared = match kind {
        None => nodes.declare_queue(name, &Declaration::default(), None),
        Some(kind) => nodes.declare_exchange(name, &Declaration::of_exchange(kind)),
    };
    match declared {
        Ok((node, created)) if node.exchange_kind == kind => Ok(created),
        Ok((node, _)) => {
            let has = node.exchange_kind.map_or("queue", ExchangeKind::name);
            Err(failed(format!("there is a {has} exchange of that name")))
        }
        Err(error) => Err(failed(error.text)),
    }
}

async fn open(url: String, tls: Option<&TlsConfig>) -> Result<Listening, StartError> {
    let parsed = BrokerUrl::parse(&url).map_err(|error| StartError::Url { url: url.clone(), error })?;
    let resource_only = |(key, _): &(String, String)| parsed.scheme().is_websocket() && key == WEBSOCKET_RESOURCE;
    if parsed.user().is_some() || parsed.path().is_some() || !parsed.query().iter().all(resource_only) {
        return Err(StartError::UrlParts { url: parsed.redacted().to_string() });
    }
    if parsed.scheme().is_websocket() && !cfg!(feature = "websocket") {
        return Err(StartError::NoWebSocket { url });
    }
    let security = match (parsed.scheme().is_secure(), tls) {
        (false, _) => Security::Disabled,
        (true, Some(config)) => Security::Tls(config.clone()),
        (true, None) => return Err(StartError::NoCertificate { url }),
    };
    let listener = preconnection(&parsed).security(security).listen().await;
    let listener = listener.map_err(|error| StartError::Listen { url, error })?;
    let port = listener.local_endpoint().ip().map_or_else(|| parsed.port(), |address| address.port());
    let url = parsed.with_port(port).to_string();
    Ok(Listening { url, listener: Arc::new(listener) })
}

/// Where to listen, with the protocol that the URL means and no other.
fn preconnection(url: &BrokerUrl) -> Preconnection {
    let (host, port) = (url.host(), url.port());
    match (url.scheme(), host.strip_prefix('@')) {
        (Scheme::AmqpUnix, name) => {
            let local = name.map_or_else(|| LocalEndpoint::path(host), LocalEndpoint::abstract_name);
            // A socket of packets would part the bytes.
            let bytes_only = TransportProperties::new().prohibit(SelectionProperty::PreserveMsgBoundaries);
            Preconnection::new().local(local).properties(bytes_only)
        }
        (scheme, _) if scheme.is_websocket() => {
            let resource = url.websocket_resource().unwrap_or("/");
            // AMQP WebSocket Binding 1.0, 2.1.
            Preconnection::new().local(LocalEndpoint::host(host).port(port).websocket(resource).subprotocol("amqp"))
        }
        _ => Preconnection::new().local(LocalEndpoint::host(host).port(port).protocol(Protocol::Tcp)),
    }
}

fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(bytes)
}

fn properties() -> Fields {
    let mut fields = Fields::default();
    for (key, value) in [("product", "postroad"), ("version", env!("CARGO_PKG_VERSION")), ("platform", "Rust")] {
        fields.0.insert(Value::Symbol(Symbol::from_static(key)), Value::String(value.into()));
    }
    fields
}
