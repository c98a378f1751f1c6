//! How a connection is opened.

use std::fmt;
use std::time::Duration;

use postroad_address::{BrokerUrl, Scheme};
use postroad_amqp::sasl::Secret;
use postroad_taps::{
    CapacityProfile, Preconnection, Protocol, RemoteEndpoint, Security, SelectionProperty, TlsConfig,
    TransportProperties,
};
use uuid::Uuid;

use crate::types::Value;
use crate::{ConnectError, Reconnect, RedirectCredentials, v1_0};

/// The parameters of a connection. Debug shows no secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Where the peer is, and what it is reached over; `amqps` and `amqpwss` mean TLS. User and password in it count unless
    /// they are set here.
    pub url: BrokerUrl,
    /// Further brokers, which are tried in turn behind the first; everything but the URL is the same for all of them. An
    /// address or a pair of key and value in their URLs counts for nothing.
    #[doc(alias = "reconnect_urls")]
    #[doc(alias = "urls")]
    pub failover: Vec<BrokerUrl>,
    /// Whether and how a connection that is lost is made anew, with its sessions and links: by default it is. `None`: it
    /// is over then.
    pub reconnect: Option<Reconnect>,
    /// How many redirects are followed in a row (AMQP 1.0 part 2, 2.8.16). By default none: a peer names the host, and to go
    /// wherever it says is for those to allow who trust it. Then a connection that is redirected ends in an error that tells
    /// where to: [`ConnectError::redirect`], [`ConnectionError::redirect`](crate::ConnectionError::redirect).
    ///
    /// They are followed as the connection is opened, within `connect_timeout`; and with `reconnect`, when the peer closes an
    /// open connection with one: it goes there at once, with its sessions and links, and to the brokers of the list only
    /// where that fails. Once it is lost there, the list is tried again and not that host, which only those on the list
    /// can tell whether it is still the right one. Scheme and TLS stay as they are, the open asks for the redirect's
    /// hostname, and `redirect_credentials` says whether user, password and token go along. One redirect more than so many in
    /// a row is [`RedirectError::TooMany`](crate::RedirectError::TooMany), and ends the connection; a row ends once a
    /// connection has lasted for a second.
    #[doc(alias = "amqp:connection:redirect")]
    #[doc(alias = "amqp:link:redirect")]
    pub max_redirects: u32,
    /// Whether user, password and token go where a redirect leads. By default a client that has any does not go there.
    pub redirect_credentials: RedirectCredentials,
    /// Whether the log (`tracing`) tells of attempts to open the connection and of its losses; it does by default.
    /// [`Connection::events`](crate::Connection::events) tells of them in any case.
    pub reconnect_log: bool,
    /// The user to authenticate.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A bearer token (RFC 6750) that shows who we are; it counts before a password. The user, where there is one, says
    /// whom to act as. A token that has expired is replaced by a new connection: AMQP has no way to renew it on an open
    /// one.
    pub token: Option<Secret>,
    /// Whether a SASL exchange comes first.
    pub sasl_enabled: bool,
    /// The mechanisms that may be used; all that fit when empty. There is no `GSSAPI`, nor `GSS-SPNEGO`.
    #[doc(alias = "allowed_mechs")]
    #[doc(alias = "GSSAPI")]
    #[doc(alias = "GSS-SPNEGO")]
    pub sasl_mechanisms: Vec<String>,
    /// Whether a password or token may be shown to a peer without TLS, or a password made easy to guess, by CRAM-MD5.
    pub allow_insecure_mechs: bool,
    /// The least strength of what protects the connection, in bits: that of the key of TLS, 128 or 256, and 0 without TLS. A
    /// connection of less is given up before anything is said on it. By default 0.
    #[doc(alias = "sasl_min_ssf")]
    pub min_strength: u16,
    /// What the network is asked for: by default small writes leave at once. With
    /// [`CapacityProfile::CapacitySeeking`] TCP holds them back for company (Nagle's algorithm).
    #[doc(alias = "tcp_nodelay")]
    pub capacity_profile: CapacityProfile,
    /// How TLS verifies the peer, where there is TLS; against the roots of the system, with the cryptography of `ring`, by
    /// default.
    #[doc(alias = "ssl_domain")]
    #[doc(alias = "SSLDomain")]
    pub tls: TlsConfig,
    /// The resource that the handshake of a WebSocket asks for, such as `/amqp`: by default what the URL says by the key
    /// [`WEBSOCKET_RESOURCE`](postroad_address::WEBSOCKET_RESOURCE), or else `/`.
    pub websocket_resource: Option<String>,
    /// When TLS begins: as the URL's scheme says by default.
    pub tls_mode: TlsMode,
    /// The id of our container; a random one by default.
    pub container_id: String,
    /// The host that the peer is asked for: the URL's by default, and none with a Unix socket or where it is empty.
    pub virtual_host: Option<String>,
    /// Silence after which the peer counts as dead.
    #[doc(alias = "heartbeat")]
    pub idle_timeout: Option<Duration>,
    /// The largest frame that we take, in bytes; 512 at least.
    pub max_frame_size: u32,
    /// The highest channel that we take: so many sessions at once, and one. By default 255.
    pub channel_max: u16,
    /// How long connecting, TLS, SASL and opening may take in all, with each broker of the list: with the redirects that are
    /// followed from there, and the tokens that are put again ([`Cbs`](crate::Cbs)).
    pub connect_timeout: Duration,
    /// How long closing waits for the peer.
    pub close_timeout: Duration,
    /// Whether links that the peer attaches wait for [`Connection::next_incoming`](crate::Connection::next_incoming) from the
    /// start; by default they are refused by themselves before its first call.
    pub accept_links: bool,
    /// Properties of the connection, beside `product` and `version`. With container id and host they have some 400 bytes:
    /// an open of more than 512 is taken by no peer for sure, and [`ConnectError::Options`] says so.
    pub properties: Vec<(String, Value)>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsMode {
    /// With the first byte where the URL's scheme is `amqps` or `amqpwss`, else never.
    #[default]
    Scheme,
    /// Behind AMQP's TLS header (AMQP 1.0 part 5, 5.2), with `amqp` and `amqps` alike: for ports that begin in clear text. A
    /// peer that does no TLS there is left, with an error; nothing else is ever said in clear text.
    Header,
}

/// Bytes that wait for the socket before senders are held back: large messages that leave together wake the peer less often.
pub(crate) const OUTGOING: usize = 1024 * 1024;

impl ConnectOptions {
    /// The defaults for a peer.
    #[must_use]
    pub fn new(url: BrokerUrl) -> Self {
        Self {
            url,
            failover: Vec::new(),
            reconnect: Some(Reconnect::default()),
            max_redirects: 0,
            redirect_credentials: RedirectCredentials::default(),
            reconnect_log: true,
            user: None,
            password: None,
            token: None,
            sasl_enabled: true,
            sasl_mechanisms: Vec::new(),
            allow_insecure_mechs: false,
            min_strength: 0,
            capacity_profile: CapacityProfile::Default,
            tls: TlsConfig::default(),
            websocket_resource: None,
            tls_mode: TlsMode::Scheme,
            container_id: random_uuid().to_string(),
            virtual_host: None,
            idle_timeout: None,
            max_frame_size: 65_536,
            channel_max: 255,
            connect_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            accept_links: false,
            properties: Vec::new(),
        }
    }

    /// The brokers to try.
    pub(crate) fn brokers(&self) -> Vec<BrokerUrl> {
        std::iter::once(&self.url).chain(&self.failover).cloned().collect()
    }

    /// The options for one broker of the list.
    pub(crate) fn at(&self, broker: &BrokerUrl) -> Self {
        Self { url: broker.clone(), ..self.clone() }
    }

    /// Whether they can be used, as far as that can be told before anybody is asked.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        v1_0::client(self)?;
        self.preconnection().map(drop)
    }

    /// What the connection is made from.
    pub(crate) fn preconnection(&self) -> Result<Preconnection, ConnectError> {
        let scheme = self.url.scheme();
        if self.tls_mode == TlsMode::Header && !matches!(scheme, Scheme::Amqp | Scheme::Amqps) {
            return Err(ConnectError::Options(format!("TLS by AMQP's header begins over TCP only, not with {scheme}")));
        }
        if scheme.is_websocket() && !cfg!(feature = "websocket") {
            return Err(ConnectError::Options(format!(
                "{scheme} needs the feature `websocket`, which is not built in"
            )));
        }
        if self.min_strength > 0 && !self.is_secure() {
            let wanted = self.min_strength;
            return Err(ConnectError::Options(format!(
                "a strength of {wanted} bits needs TLS, which {scheme} does not have"
            )));
        }
        let properties = if scheme == Scheme::AmqpUnix { bytes_only() } else { TransportProperties::new() };
        let properties = properties.capacity_profile(self.capacity_profile);
        Ok(Preconnection::new().remote(self.remote()).security(self.security()).properties(properties))
    }

    /// The peer, by the protocol that its URL means: no other is tried, whatever is built in.
    pub(crate) fn remote(&self) -> RemoteEndpoint {
        let (host, port) = (self.url.host(), self.url.port());
        match (self.url.scheme(), host.strip_prefix('@')) {
            (Scheme::AmqpUnix, Some(name)) => RemoteEndpoint::abstract_name(name),
            (Scheme::AmqpUnix, None) => RemoteEndpoint::path(host),
            (scheme, _) if scheme.is_websocket() => {
                let resource =
                    self.websocket_resource.as_deref().or_else(|| self.url.websocket_resource()).unwrap_or("/");
                RemoteEndpoint::host(host).port(port).websocket(resource).subprotocol(SUBPROTOCOL)
            }
            _ => RemoteEndpoint::host(host).port(port).protocol(Protocol::Tcp),
        }
    }

    fn security(&self) -> Security {
        match self.tls_mode {
            TlsMode::Scheme if self.url.scheme().is_secure() => Security::Tls(self.tls.clone()),
            TlsMode::Scheme | TlsMode::Header => Security::Disabled,
        }
    }

    /// Whether everything but the TLS header goes over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.url.scheme().is_secure() || self.tls_mode == TlsMode::Header
    }
}

/// What AMQP is called on a WebSocket (AMQP WebSocket Binding 1.0, 2.1).
pub(crate) const SUBPROTOCOL: &str = "amqp";

/// Properties for a Unix socket that is a stream: one of packets would part the bytes.
pub(crate) fn bytes_only() -> TransportProperties {
    TransportProperties::new().prohibit(SelectionProperty::PreserveMsgBoundaries)
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    // Without random numbers the system cannot do anything safely; an id is not a secret.
    let _ = getrandom::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("url", &self.url)
            .field("failover", &self.failover)
            .field("reconnect", &self.reconnect)
            .field("max_redirects", &self.max_redirects)
            .field("redirect_credentials", &self.redirect_credentials)
            .field("reconnect_log", &self.reconnect_log)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "<redacted>"))
            .field("token", &self.token)
            .field("sasl_enabled", &self.sasl_enabled)
            .field("sasl_mechanisms", &self.sasl_mechanisms)
            .field("allow_insecure_mechs", &self.allow_insecure_mechs)
            .field("min_strength", &self.min_strength)
            .field("capacity_profile", &self.capacity_profile)
            .field("websocket_resource", &self.websocket_resource)
            .field("tls_mode", &self.tls_mode)
            .field("container_id", &self.container_id)
            .field("virtual_host", &self.virtual_host)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_frame_size", &self.max_frame_size)
            .field("channel_max", &self.channel_max)
            .field("connect_timeout", &self.connect_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("accept_links", &self.accept_links)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn goes_to(url: &str, endpoint: &str) {
        assert_eq!(ConnectOptions::new(url.parse().unwrap()).remote().to_string(), endpoint);
    }

    #[test]
    fn an_endpoint_is_for_the_protocol_of_its_url_alone() {
        goes_to("amqp://host", "host:5672 (over tcp)");
        goes_to("amqps://[::1]:1/q", "[::1]:1 (over tcp)");
        goes_to("amqp+unix://%2Frun%2Fx/q", "unix:/run/x");
        goes_to("amqp+unix://%40x", "unix:@x");
        goes_to("amqpws://host/q", "host:80/ (subprotocol amqp)");
        goes_to("wss://host?websocket_resource=/a", "host:443/a (subprotocol amqp)");
    }

    #[test]
    fn strength_is_a_matter_of_tls() {
        let mut options = ConnectOptions::new("amqp://host".parse().unwrap());
        options.min_strength = 1;
        assert!(matches!(options.preconnection(), Err(ConnectError::Options(text)) if text.contains("needs TLS")));
        options.url = "amqps://host".parse().unwrap();
        assert!(options.preconnection().is_ok());
    }
}
