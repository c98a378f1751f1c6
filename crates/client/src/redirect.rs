//! Where a peer sends its clients instead (AMQP 1.0 part 2, 2.8.16 and 2.8.18).

mod follow;

use std::fmt;

use postroad_address::{BrokerUrl, Scheme, UrlError};

use crate::types::{ErrorCondition, Fields, Map, PeerError, Symbol, Value};
use crate::{AttachError, ConnectError, ConnectOptions, Connection, ConnectionError, LinkError};

pub(crate) use follow::{Dialed, Elsewhere};

/// Another container that a peer names as it closes a connection, or detaches a link.
///
/// Connections follow it as [`ConnectOptions::max_redirects`] says. Links do not: whoever attaches one finds the
/// redirect in the error ([`AttachError::redirect`], [`LinkError::redirect`]), and goes there: on the same connection
/// where it [is the peer's own host](Connection::is_redirect_here), with [other
/// options](Connection::redirect_options) elsewhere.
///
/// ```
/// use postroad_broker::Broker;
/// use postroad_client::{AcceptOptions, Acceptor, ConnectOptions, Connection, Redirect};
/// # use postroad_taps::LocalEndpoint;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::builder().queue("orders").listen("amqp://127.0.0.1:0").start().await?;
/// // A peer that sends everybody to the broker.
/// let door = Acceptor::listen(AcceptOptions::new(LocalEndpoint::host("127.0.0.1"))).await?;
/// let mut options = ConnectOptions::new(format!("amqp://{}", door.local_endpoint()).parse()?);
/// options.max_redirects = 1;
/// let there = Redirect::connection("127.0.0.1", broker.addr().unwrap().port());
/// tokio::spawn(async move {
///     door.accept().await?.abort(there.to_error());
///     # Ok::<(), postroad_client::AcceptError>(())
/// });
///
/// let connection = Connection::open(options).await?;
/// let session = connection.session().await?;
/// session.sender("orders").await?.send(&"hello".into()).await?;
/// assert_eq!(broker.queue_stats("orders").unwrap().ready, 1);
/// # connection.close().await?; Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Redirect {
    /// What is to go elsewhere.
    pub scope: RedirectScope,
    /// The host that the open there asks for, and that the certificate there is for. Without it, as some brokers
    /// leave it out, the virtual host and the name that TLS was told stay what they were, and are `network_host` by
    /// default.
    pub hostname: Option<String>,
    /// The name or address of the machine.
    pub network_host: String,
    /// The port of that machine, 1 at least.
    pub port: u16,
    /// The address to attach the link to, of a link that is to go elsewhere.
    pub address: Option<String>,
}

/// What a redirect is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectScope {
    /// The connection, with everything on it (`amqp:connection:redirect`).
    Connection,
    /// One link (`amqp:link:redirect`).
    Link,
}

/// What becomes of user, password and token when a redirect leads to another host, and of those that were put by
/// [`Cbs`](crate::Cbs).
///
/// A peer names that host. Whoever can answer in a broker's place, which takes no more than the way to it where there
/// is no TLS, could have a client show its password anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectCredentials {
    /// Whoever has any goes nowhere: that is [`RedirectError::Credentials`].
    #[default]
    Refuse,
    /// They stay behind: there the client is anonymous, or who its certificate says where EXTERNAL is the mechanism.
    Withhold,
    /// They are shown to whatever host a peer names, within the rules for all peers
    /// ([`allow_insecure_mechs`](ConnectOptions::allow_insecure_mechs)).
    Forward,
}

/// Why a redirect leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// It does not say this.
    #[error("the peer's redirect has no {0}")]
    Missing(&'static str),
    /// What it says of this is of no use.
    #[error("the peer's redirect has a {0} of no use")]
    Field(&'static str),
    /// The host is none.
    #[error("the peer's redirect names no host: {0}")]
    Host(UrlError),
    /// A connection over this is redirected to no network: whether it may go there in clear text, nobody has said.
    #[error("a connection by {0} follows no redirect to a network")]
    Scheme(Scheme),
    /// So many were followed in a row, and this is one more ([`ConnectOptions::max_redirects`]).
    #[error("the peer's redirect is one more than the {0} that were followed in a row")]
    TooMany(u32),
    /// User, password or token may not be shown to this host.
    #[error("the peer's redirect leads to {0}, to which user, password or token may not be shown")]
    Credentials(String),
}

impl RedirectError {
    /// What a person can do about it, where something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Missing(_) | Self::Field(_) | Self::Host(_) => {
                "connect to where the peer should have sent us, or have it say `network-host` and `port`"
            }
            Self::TooMany(_) => "do the brokers send their clients in a circle?",
            Self::Scheme(_) => "connect to that host by a URL of its own",
            Self::Credentials(_) => {
                "allow it (`redirect_credentials`) if every host that this peer names may have them, or connect there"
            }
        })
    }
}

impl Redirect {
    /// A redirect of a connection to the port of a machine, of which a name or address is given. Whoever takes
    /// connections closes one with it: [`Connection::abort`] with [`to_error`](Self::to_error).
    #[must_use]
    pub fn connection(network_host: impl Into<String>, port: u16) -> Self {
        let (scope, network_host) = (RedirectScope::Connection, network_host.into());
        Self { scope, hostname: None, network_host, port, address: None }
    }

    /// A redirect of a link to an address there. Whoever takes links refuses one with it.
    #[must_use]
    pub fn link(network_host: impl Into<String>, port: u16, address: impl Into<String>) -> Self {
        let redirect = Self::connection(network_host, port);
        Self { scope: RedirectScope::Link, address: Some(address.into()), ..redirect }
    }

    /// Sets the host that the open there is to ask for.
    #[must_use]
    pub fn for_hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = Some(hostname.into());
        self
    }

    /// The error that tells it.
    #[must_use]
    pub fn to_error(&self) -> PeerError {
        let condition = match self.scope {
            RedirectScope::Connection => ErrorCondition::CONNECTION_REDIRECT,
            RedirectScope::Link => ErrorCondition::LINK_REDIRECT,
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let info = [
            ("hostname", text(&self.hostname)),
            ("network-host", Some(self.network_host.as_str().into())),
            ("port", Some(self.port.into())),
            ("address", text(&self.address)),
        ];
        let info = info.into_iter().filter_map(|(name, value)| Some((Symbol::from_static(name), value?)));
        PeerError { info: Some(Fields(Map::from_iter(info))), ..PeerError::new(condition, format!("go to {self}")) }
    }

    /// Reads a redirect from an error of a peer: nothing where it is another error.
    ///
    /// # Errors
    /// When it is a redirect that does not say where to.
    pub fn of(error: &PeerError) -> Result<Option<Self>, RedirectError> {
        let scope = match &error.condition {
            condition if *condition == ErrorCondition::CONNECTION_REDIRECT => RedirectScope::Connection,
            condition if *condition == ErrorCondition::LINK_REDIRECT => RedirectScope::Link,
            _ => return Ok(None),
        };
        let nothing = Fields::default();
        let info = error.info.as_ref().unwrap_or(&nothing);
        let text = |name: &'static str| match info.0.get_str(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) if !text.is_empty() => Ok(Some(text.to_owned())),
                _ => Err(RedirectError::Field(name)),
            },
        };
        let hostname = text("hostname")?;
        let network_host = text("network-host")?.or_else(|| hostname.clone());
        let network_host = network_host.ok_or(RedirectError::Missing("network-host"))?;
        // Whatever is no host is found here and not when it is gone to.
        BrokerUrl::new(Scheme::Amqp, &network_host).map_err(RedirectError::Host)?;
        let port = match info.0.get_str("port") {
            None | Some(Value::Null) => return Err(RedirectError::Missing("port")),
            Some(port) => port.as_i64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
        };
        let port = port.ok_or(RedirectError::Field("port"))?;
        let address = if scope == RedirectScope::Link { text("address")? } else { None };
        Ok(Some(Self { scope, hostname, network_host, port, address }))
    }

    /// The options for the container that it names, from those for the one that it came from: scheme, TLS and all but
    /// the host stay, so that what is under TLS stays under TLS. There is no [`failover`](ConnectOptions::failover)
    /// from there.
    ///
    /// # Errors
    /// When the connection is by a Unix socket, or has user, password or token that may not go there.
    pub fn options(&self, from: &ConnectOptions) -> Result<ConnectOptions, RedirectError> {
        let scheme = from.url.scheme();
        if scheme == Scheme::AmqpUnix {
            return Err(RedirectError::Scheme(scheme));
        }
        let url = BrokerUrl::new(scheme, &self.network_host).map_err(RedirectError::Host)?.with_port(self.port);
        let mut options = from.at(&url);
        options.failover.clear();
        options.websocket_resource =
            from.websocket_resource.clone().or_else(|| from.url.websocket_resource().map(Into::into));
        if let Some(hostname) = &self.hostname {
            options.virtual_host = Some(hostname.clone());
            // 2.8.16: it is the one of the TLS negotiation as well. A virtual host that is no name of a certificate
            // leaves it to that of the machine.
            if let Ok(tls) = options.tls.with_server_name(hostname) {
                options.tls = tls;
            }
        }
        let url_user = from.url.user().map(ToOwned::to_owned);
        let url_password = from.url.password().map(ToOwned::to_owned);
        let user = from.user.clone().or(url_user).filter(|user| !user.is_empty());
        let password = from.password.clone().or(url_password);
        let has_any = user.is_some() || password.is_some() || from.token.is_some();
        match from.redirect_credentials {
            _ if !has_any || !from.sasl_enabled => {}
            RedirectCredentials::Refuse => return Err(RedirectError::Credentials(self.network_host.clone())),
            RedirectCredentials::Withhold => {
                (options.user, options.password, options.token) = (None, None, None);
            }
            RedirectCredentials::Forward => {
                (options.user, options.password) = (user, password);
            }
        }
        Ok(options)
    }
}

/// Host and port, and what is asked for there.
impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network_host.contains(':') {
            true => write!(f, "[{}]:{}", self.network_host, self.port)?,
            false => write!(f, "{}:{}", self.network_host, self.port)?,
        }
        if let Some(hostname) = self.hostname.as_ref().filter(|hostname| **hostname != self.network_host) {
            write!(f, " for {hostname}")?;
        }
        self.address.as_ref().map_or(Ok(()), |address| write!(f, ", {address}"))
    }
}

impl Connection {
    /// Whether a redirect leads to the peer that the connection has: a link is attached again on this connection
    /// then, to the redirect's address.
    #[must_use]
    pub fn is_redirect_here(&self, redirect: &Redirect) -> bool {
        self.inner.shared.with(|state| {
            let Some(Dialed { url: here, .. }) = &state.dialed else { return false };
            let host = state.engine.own().host;
            let same_host =
                redirect.hostname.as_ref().is_none_or(|asked| host.as_ref().is_some_and(|host| same(host, asked)));
            same_host
                && here.scheme() != Scheme::AmqpUnix
                && same(here.host(), &redirect.network_host)
                && here.port() == redirect.port
        })
    }

    /// The options for a connection to where a redirect leads, from those of this one with the broker of its list
    /// that it began at; see [`Redirect::options`].
    ///
    /// # Errors
    /// As there; and [`RedirectError::Missing`] at the end that accepted the connection, which has no such options.
    pub fn redirect_options(&self, redirect: &Redirect) -> Result<ConnectOptions, RedirectError> {
        let base = self.inner.shared.with(|state| state.dialed.as_ref().map(|dialed| dialed.base.clone()));
        redirect.options(base.ok_or(RedirectError::Missing("connection that we opened"))?.as_ref())
    }
}

fn same(host: &str, other: &str) -> bool {
    host.eq_ignore_ascii_case(other)
}

macro_rules! redirects {
    ($($error:ty: $what:literal;)*) => {$(
        impl $error {
            #[doc = concat!("Where the peer sends ", $what, " instead: nothing where it does not.")]
            ///
            /// # Errors
            /// When the peer does that and does not say where to.
            pub fn redirect(&self) -> Result<Option<Redirect>, RedirectError> {
                self.peer_error().map_or(Ok(None), Redirect::of)
            }
        }
    )*};
}

redirects! {
    ConnectionError: "the connection";
    LinkError: "the link, or its connection ([`Redirect::scope`])";
    AttachError: "the link, or its connection ([`Redirect::scope`])";
}

impl ConnectError {
    /// Where the peer sends the connection instead: nothing where it does not, or where several brokers were tried.
    ///
    /// # Errors
    /// When the peer does that and does not say where to.
    pub fn redirect(&self) -> Result<Option<Redirect>, RedirectError> {
        match self {
            Self::Connection(error) => error.redirect(),
            _ => Ok(None),
        }
    }
}
