//! How a connection is opened.

use std::path::PathBuf;
use std::time::Duration;

use postroad_address::{BrokerUrl, WEBSOCKET_RESOURCE};
use postroad_client::types::{Symbol, Value};
use postroad_client::{Reconnect, Secret, TlsConfig, TlsMode};

use crate::settings::{Settings, capacity_profile};
use crate::{ConnectError, Connection, Protocol, Transport};

/// A connection that is not open yet, with its options. Debug shows no secret.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use postroad_messaging::{Connection, TlsConfig};
///
/// let connection = Connection::new("amqps://alice@broker.example")?
///     .password("secret")
///     .tls(TlsConfig::builder().roots_file("authority.pem").build()?)
///     .heartbeat(Duration::from_secs(10))
///     .open()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a connection is made by `open`"]
pub struct ConnectionBuilder {
    pub(crate) settings: Settings,
}

/// The smallest frame that every peer must take (AMQP 1.0 part 2, 2.3.1), in bytes.
const MIN_FRAME_SIZE: u32 = 512;

impl ConnectionBuilder {
    /// The defaults for a broker. A path in the URL is an address for whoever reads it, and means nothing here.
    pub fn new(url: BrokerUrl) -> Self {
        Self { settings: Settings::new(url) }
    }

    /// The options as they are set so far.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the user to authenticate; it counts before the URL's.
    #[doc(alias = "username")]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.settings.options.user = Some(user.into());
        self
    }

    /// Sets the user's password; it counts before the URL's.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.options.password = Some(password.into());
        self
    }

    /// Sets a bearer token, for brokers that take OAuth 2; it counts before a password.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.options.token = Some(Secret::new(token));
        self
    }

    /// Sets the SASL mechanisms that may be used, such as `SCRAM-SHA-256`; by default all that fit. `EXTERNAL` shows the
    /// certificate of [`ConnectionBuilder::tls`].
    pub fn sasl_mechanisms<M: Into<String>>(mut self, mechanisms: impl IntoIterator<Item = M>) -> Self {
        self.settings.options.sasl_mechanisms = mechanisms.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the name of the service, `qpidd` by default, for mechanisms that need one. None of those that are built in does.
    pub fn sasl_service(mut self, service: impl Into<String>) -> Self {
        self.settings.sasl_service = service.into();
        self
    }

    /// Sets the least strength of what protects the connection, in bits: 128 or 256 by the key of TLS, and 0 without TLS. A
    /// connection of less is given up before a password is shown on it.
    pub fn sasl_min_ssf(mut self, bits: u16) -> Self {
        self.settings.sasl_min_ssf = bits;
        self
    }

    /// Sets the greatest strength that a SASL mechanism may add, in bits. None of those that are built in adds any; that of TLS
    /// does not count.
    pub fn sasl_max_ssf(mut self, bits: u16) -> Self {
        self.settings.sasl_max_ssf = Some(bits);
        self
    }

    /// Sets whether a SASL exchange comes first; it does by default.
    pub fn sasl_enabled(mut self, enabled: bool) -> Self {
        self.settings.options.sasl_enabled = enabled;
        self
    }

    /// Sets whether a password or token may be shown to a broker without TLS, or a password made easy to guess, by
    /// CRAM-MD5; it may not by default.
    pub fn allow_insecure_mechs(mut self, allow: bool) -> Self {
        self.settings.options.allow_insecure_mechs = allow;
        self
    }

    /// Sets how TLS verifies the broker, and the certificate that it sees of us. It counts where there is TLS; by default
    /// the broker is verified against the system's roots.
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        (self.settings.options.tls, self.settings.tls) = (tls, true);
        self
    }

    /// Sets the file with the roots, in PEM, of which one has signed the broker's certificate; by default those of the system
    /// count. Not together with [`ConnectionBuilder::tls`], as the other files.
    pub fn ssl_trustfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.ssl_trustfile = Some(path.into());
        self
    }

    /// Sets the file with the certificate that the broker sees of us, in PEM. It may hold the key as well.
    pub fn ssl_certfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.ssl_certfile = Some(path.into());
        self
    }

    /// Sets the file with the key of our certificate, in PEM.
    pub fn ssl_keyfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.ssl_keyfile = Some(path.into());
        self
    }

    /// Sets whether the broker's certificate may be for another host. Then whoever holds one that the same roots have signed
    /// can pose as the broker: it may not by default.
    pub fn ssl_skip_hostname_check(mut self, skip: bool) -> Self {
        self.settings.ssl_skip_hostname_check = skip;
        self
    }

    /// Sets whether TLS goes below, whatever the URL's scheme says. The port follows, unless the URL has one.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.settings.options.url = self.settings.options.url.with_tls(transport == Transport::Tls);
        self
    }

    /// Sets the protocol that is spoken: that which the broker speaks by default.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.settings.protocol = protocol;
        self
    }

    /// Sets whether small writes leave at once; they do by default, unlike in the original: what a program sends together
    /// leaves in one write here. Without it TCP holds them back for company, and the network is asked for capacity before
    /// low delay.
    pub fn tcp_nodelay(mut self, yes: bool) -> Self {
        self.settings.options.capacity_profile = capacity_profile(yes);
        self
    }

    /// Sets how long what was learned of an address is believed: whether it is a queue or a topic. A minute by default.
    pub fn address_ttl(mut self, ttl: Duration) -> Self {
        self.settings.address_ttl = ttl;
        self
    }

    /// Sets the resource that the handshake of a WebSocket asks for, such as `/amqp`; it counts before the URL's
    /// `websocket_resource`. By default `/`.
    pub fn websocket_resource(mut self, resource: impl Into<String>) -> Self {
        self.settings.options.websocket_resource = Some(resource.into());
        self
    }

    /// Sets when TLS begins: by default with the first byte where the URL's scheme is `amqps` or `amqpwss`.
    pub fn tls_mode(mut self, mode: TlsMode) -> Self {
        self.settings.options.tls_mode = mode;
        self
    }

    /// Sets the interval in which both sides show that they are alive. After two of them in silence the broker counts as
    /// dead, as in the original. None by default.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = Some(interval);
        self
    }

    /// Sets the largest frame that we take, in bytes: 512 at least, 65 536 by default.
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.settings.options.max_frame_size = bytes;
        self
    }

    /// Sets the id of our container; a random one by default.
    pub fn container_id(mut self, id: impl Into<String>) -> Self {
        self.settings.options.container_id = id.into();
        self
    }

    /// Sets the host that the broker is asked for; the URL's by default, and none with a Unix socket.
    pub fn virtual_host(mut self, host: impl Into<String>) -> Self {
        self.settings.options.virtual_host = Some(host.into());
        self
    }

    /// Sets how long connecting, TLS, SASL and opening may take in all; 30 seconds by default.
    #[doc(alias = "timeout")]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.options.connect_timeout = timeout;
        self
    }

    /// Sets how long closing waits for the broker; 10 seconds by default.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.settings.options.close_timeout = timeout;
        self
    }

    /// Sets whether a connection that is lost, or does not open, is tried again: for ever, unless
    /// [`ConnectionBuilder::reconnect_timeout`] or [`ConnectionBuilder::reconnect_limit`] says otherwise, with pauses that grow
    /// from a second to two minutes. Sessions, senders and receivers go on, and what was sent and not settled is sent again, as
    /// the reliability of its link allows. Off by default, and on with any other option of its kind.
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.settings.options.reconnect =
            reconnect.then(|| self.settings.options.reconnect.take().unwrap_or_else(original));
        self
    }

    /// Sets how long is tried, as the connection opens and after each loss. Without limit by default.
    pub fn reconnect_timeout(self, timeout: Duration) -> Self {
        self.reconnecting(|policy| policy.timeout = Some(timeout))
    }

    /// Sets a pause between rounds of attempts that does not grow.
    pub fn reconnect_interval(self, interval: Duration) -> Self {
        self.reconnecting(|policy| (policy.interval, policy.max_interval) = (interval, interval))
    }

    /// Sets the pause after the first round of attempts, which doubles from round to round; a second by default. Less than a
    /// millisecond counts as one.
    pub fn reconnect_interval_min(self, interval: Duration) -> Self {
        self.reconnecting(|policy| policy.interval = interval)
    }

    /// Sets the longest pause; two minutes by default.
    pub fn reconnect_interval_max(self, interval: Duration) -> Self {
        self.reconnecting(|policy| policy.max_interval = interval)
    }

    /// Sets how many attempts are made for one loss, over all brokers. Without limit by default, which 0 is as well.
    pub fn reconnect_limit(self, attempts: u32) -> Self {
        self.reconnecting(|policy| policy.attempts = (attempts > 0).then_some(attempts))
    }

    /// Sets the other brokers that may be tried, in turn with the first. What is in doubt as another broker is reached is not
    /// sent again to that one: [`client::Connection::events`](postroad_client::Connection::events) tell of it.
    pub fn reconnect_urls(self, urls: impl IntoIterator<Item = BrokerUrl>) -> Self {
        let mut builder = self.reconnecting(|_| {});
        builder.settings.options.failover = urls.into_iter().collect();
        builder
    }

    /// Sets whether attempts to open the connection and its losses are logged; they are by default.
    /// [`client::Connection::events`](postroad_client::Connection::events) tell of them in any case.
    pub fn reconnect_log(mut self, log: bool) -> Self {
        self.settings.options.reconnect_log = log;
        self
    }

    fn reconnecting(mut self, change: impl FnOnce(&mut Reconnect)) -> Self {
        change(self.settings.options.reconnect.get_or_insert_with(original));
        self
    }

    /// Tells the broker a property of this client. Names are ASCII.
    #[doc(alias = "client_properties")]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.options.properties.push((name.into(), value.into()));
        self
    }

    /// Connects, authenticates and opens.
    ///
    /// # Errors
    /// An option that cannot be used, a broker that is not reached or not trusted, credentials that it refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    #[doc(alias = "attach")]
    pub async fn open(self) -> Result<Connection, ConnectError> {
        self.check()?;
        let mut options = self.settings.connect_options()?;
        let limit = options.reconnect.as_ref().and_then(|policy| policy.timeout);
        options.connect_timeout = limit.map_or(options.connect_timeout, |limit| limit.min(options.connect_timeout));
        match postroad_client::Connection::open(options).await {
            Ok(connection) => Ok(Connection::new_open(connection, self.settings)),
            Err(error) => Err(match (error.into(), limit) {
                (ConnectError::Connection(last), Some(limit)) => ConnectError::GaveUp(limit, last),
                (error, _) => error,
            }),
        }
    }

    fn check(&self) -> Result<(), ConnectError> {
        let (settings, options) = (&self.settings, &self.settings.options);
        let websocket = options.url.scheme().is_websocket();
        if let Some((key, _)) = options.url.query().iter().find(|(key, _)| !websocket || key != WEBSOCKET_RESOURCE) {
            return Err(ConnectError::Option {
                option: key.clone(),
                problem: "the url of a connection has no options, but websocket_resource with amqpws and amqpwss",
            });
        }
        if options.reconnect.as_ref().is_some_and(|policy| policy.max_interval < policy.interval) {
            return Err(ConnectError::option("reconnect_interval_max", "less than reconnect_interval_min"));
        }
        if options.max_frame_size < MIN_FRAME_SIZE {
            return Err(ConnectError::option("max_frame_size", "512 is the least"));
        }
        if settings.protocol == Protocol::Amqp0_10 {
            return Err(ConnectError::option("protocol", "amqp0-10 is not built in; amqp1.0 is"));
        }
        if settings.sasl_max_ssf.is_some_and(|most| most < settings.sasl_min_ssf) {
            return Err(ConnectError::option("sasl_max_ssf", "less than sasl_min_ssf"));
        }
        if settings.heartbeat.is_some_and(|interval| interval.is_zero()) {
            return Err(ConnectError::option("heartbeat", "zero is no interval; leave it out for none"));
        }
        if let Some((name, _)) = options.properties.iter().find(|(name, _)| Symbol::new(name.as_str()).is_none()) {
            return Err(ConnectError::Option { option: name.clone(), problem: "the name of a property is ASCII" });
        }
        Ok(())
    }
}

/// The policy of the original, but for a random part of each pause that is left out.
fn original() -> Reconnect {
    let mut policy = Reconnect::default();
    (policy.interval, policy.max_interval) = (Duration::from_secs(1), Duration::from_secs(120));
    (policy.timeout, policy.initially) = (None, true);
    policy
}
