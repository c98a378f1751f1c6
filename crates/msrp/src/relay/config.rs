//! What a relay is called, and how much of itself it gives to whom.

use std::time::Duration;

use crate::engine::RELAYED_CHUNK;
use crate::parser::Limits;
use crate::{DEFAULT_PORT, Host, Scheme, Uri};

/// How a relay is to be. Each limit says which attack it ends.
///
/// ```
/// use postroad_msrp::Host;
/// use postroad_msrp::relay::RelayConfig;
///
/// let mut config = RelayConfig::new(Host::name("relay.example.com")?);
/// config.tls_port = 9000;
/// assert!(!config.plain_auth);
/// # Ok::<_, postroad_msrp::UriError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayConfig {
    /// The name in the URIs that are given out. RFC 4976 4.2 wants a name of DNS and no address.
    pub host: Host,
    /// Other names and addresses by which `AUTH` may call the relay.
    pub aliases: Vec<Host>,
    /// The port of `msrps:` URIs that are given out. By default 2855.
    pub tls_port: u16,
    /// The port of `msrp:` URIs that are given out. By default 2855.
    pub tcp_port: u16,
    /// Whether clients may log in without TLS, where everybody between reads their URIs and can use them (RFC 4976 9.2
    /// forbids it). By default not.
    pub plain_auth: bool,
    /// How long a URI lasts whose client does not say. By default 15 minutes.
    pub expires: Duration,
    /// The shortest time that a client may ask for: each `AUTH` costs a hash. By default 1 minute.
    pub min_expires: Duration,
    /// The longest time that a client may ask for: a URI that leaks is good until then. By default 1 hour.
    pub max_expires: Duration,
    /// How large heads may be. A head goes along with each piece of a message and lies in queues, so that lines are shorter
    /// here than elsewhere: 4096 octets, and 16 384 for a head.
    pub limits: Limits,
    /// Connections, those that are being made counted. Whoever opens more is turned away. By default 4096.
    pub connections: usize,
    /// Connections from one address that have not had a successful request yet: one host cannot take all places by opening
    /// connections. By default 32; only where the [peer](super::Peer) has an address.
    pub strangers: usize,
    /// How long a connection may be without a successful request (RFC 4976 6.1). By default 30 s.
    pub probation: Duration,
    /// Octets that a connection may bring before its first successful request. By default 32 768.
    pub probation_octets: usize,
    /// Requests that fail on a connection, one after the other, before it is closed: URIs are not to be guessed during probation
    /// (RFC 4976 6.1), nor passwords ever (6.3). By default 5.
    pub failures: u32,
    /// Challenges on a connection, one after the other, before it is closed: each costs a hash. By default 16.
    pub challenges: u32,
    /// URIs of a connection. By default 64.
    pub uris_per_connection: usize,
    /// URIs of a user over all connections. By default 256.
    pub uris_per_user: usize,
    /// Connections to next hops that are being made because of one client: nobody is to search a network for open ports
    /// through the relay. By default 8.
    pub connecting: usize,
    /// How long a connection to a next hop may take to be made. By default 30 s.
    pub connect_timeout: Duration,
    /// Requests to a next hop that wait for responses; nothing more is sent to it meanwhile. By default 1000.
    pub window: usize,
    /// Octets that are kept for these, so that reports can be made. By default 1 MiB.
    pub window_octets: usize,
    /// How long a response is waited for, from when the last octet of a request was taken by the transport. By default 30 s
    /// (RFC 4976 6.4.1).
    pub response_timeout: Duration,
    /// Octets that wait for one next hop. At that many, those who send to it are not read from. By default 256 KiB.
    pub queue: usize,
    /// Octets that wait for all next hops together. Beyond it, each has only a sixteenth of [`queue`](Self::queue), so that
    /// the memory of many that do not read is bounded and nobody is locked out. By default 64 MiB.
    pub queues: usize,
    /// Octets of responses and reports that wait because a peer does not read; nothing more is read from it meanwhile. By
    /// default 65 536. Beyond sixteen times as much, reports are thrown away.
    pub answers: usize,
    /// The most content of a piece for a client. By default 65 536, at least 2048 (RFC 4975 7.1.1).
    pub share: usize,
    /// The most content of a piece for a next hop that is a relay, which may hold whole frames. By default
    /// [`RELAYED_CHUNK`].
    pub relayed_share: usize,
    /// How long a peer has from the beginning of a head to its end, however it trickles. By default 30 s.
    pub head_timeout: Duration,
    /// In each such time a chunk that has begun brings [`content_least`](Self::content_least) at least. By default 60 s.
    pub content_timeout: Duration,
    /// How many octets that is. By default 1024.
    pub content_least: u64,
    /// How long a transport may take nothing of what is to be written, before the connection is closed and what waits is
    /// reported as failed. By default 30 s.
    pub stall_timeout: Duration,
    /// How long a connection to which no URI is bound may be silent (RFC 4976 6.5). By default 1 hour.
    pub idle_timeout: Duration,
    /// Whether methods that are not known are forwarded, or answered with 501 (RFC 4976 6.4.2). By default they are.
    pub unknown_methods: bool,
}

impl RelayConfig {
    /// A relay of this name.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            host,
            aliases: Vec::new(),
            tls_port: DEFAULT_PORT,
            tcp_port: DEFAULT_PORT,
            plain_auth: false,
            expires: Duration::from_secs(900),
            min_expires: Duration::from_secs(60),
            max_expires: Duration::from_secs(3600),
            limits: Limits { header_line: 4096, head: 16_384, ..Limits::default() },
            connections: 4096,
            strangers: 32,
            probation: Duration::from_secs(30),
            probation_octets: 32_768,
            failures: 5,
            challenges: 16,
            uris_per_connection: 64,
            uris_per_user: 256,
            connecting: 8,
            connect_timeout: Duration::from_secs(30),
            window: 1000,
            window_octets: 1 << 20,
            response_timeout: Duration::from_secs(30),
            queue: 256 * 1024,
            queues: 64 << 20,
            answers: 65_536,
            share: 65_536,
            relayed_share: RELAYED_CHUNK,
            head_timeout: Duration::from_secs(30),
            content_timeout: Duration::from_secs(60),
            content_least: 1024,
            stall_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(3600),
            unknown_methods: true,
        }
    }

    /// Whether a URI names this relay, with or without a session.
    pub(super) fn is_ours(&self, uri: &Uri) -> bool {
        let port = |port| port == self.tls_port || port == self.tcp_port;
        (self.host == *uri.host() || self.aliases.contains(uri.host())) && uri.port().is_none_or(port)
    }

    /// The URI of a session.
    pub(super) fn uri(&self, tls: bool, session: String) -> Uri {
        let (scheme, port) = if tls { (Scheme::Msrps, self.tls_port) } else { (Scheme::Msrp, self.tcp_port) };
        let uri = Uri::new(self.host.clone()).with_scheme(scheme).with_port(port);
        uri.with_session_id(session).expect("made of letters and digits")
    }
}
