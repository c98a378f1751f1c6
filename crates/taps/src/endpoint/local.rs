//! The local endpoint: where to stand.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::Protocol;
use crate::endpoint::{EndpointAddress, EndpointError, Identifiers, InterfaceId, Place, UnixAddress};

/// Where a connection starts or a listener stands: an address or a host name of this machine with a port or a
/// service, a multicast group to join, a Unix socket, or a name inside this process (RFC 9622 6.1).
///
/// Port 0 lets the system pick one. A listener on a host name stands on every address the name has, all with
/// the same port. An endpoint has one identifier of each kind: setting it again replaces what was set before, so
/// that it never holds two addresses.
///
/// ```
/// use std::net::Ipv4Addr;
/// use postroad_taps::LocalEndpoint;
///
/// assert_eq!(LocalEndpoint::any().port(5672).to_string(), "*:5672");
/// assert_eq!(LocalEndpoint::host("localhost").to_string(), "localhost:0");
/// let group = LocalEndpoint::multicast_group(Ipv4Addr::new(233, 252, 0, 0)).port(5353).interface("en0");
/// assert_eq!(group.to_string(), "233.252.0.0%en0:5353");
/// ```
#[doc(alias = "with_address")]
#[doc(alias = "NewLocalEndpoint")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LocalEndpoint {
    identifiers: Identifiers,
}

impl LocalEndpoint {
    /// Every address of this machine, of both families where the system has both.
    #[must_use]
    pub fn any() -> Self {
        Place::Any.into()
    }

    /// An address of this machine by name, or in its text form. An empty name or `*` is [`any`](Self::any).
    #[doc(alias = "with_address")]
    pub fn host(host: impl Into<String>) -> Self {
        let host = host.into();
        if host.is_empty() || host == "*" {
            return Self::any();
        }
        Self { identifiers: Identifiers::host(host) }
    }

    /// An address of this machine.
    #[doc(alias = "with_address")]
    pub fn address(address: impl Into<IpAddr>) -> Self {
        Place::address(address.into()).into()
    }

    /// A multicast group to join (RFC 9622 6.1.1), from any source unless [`source`](Self::source) names one.
    #[doc(alias = "WithAnySourceMulticastGroupIP")]
    #[doc(alias = "WithSingleSourceMulticastGroupIP")]
    pub fn multicast_group(group: impl Into<IpAddr>) -> Self {
        Place::Multicast(group.into()).into()
    }

    /// A Unix socket at a path. An extension of RFC 9622.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Place::Unix(UnixAddress::path(path)).into()
    }

    /// A Unix socket of a name in the abstract namespace of Linux, without the leading zero byte. An extension of
    /// RFC 9622.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Place::Unix(UnixAddress::abstract_name(name)).into()
    }

    /// A named pipe of this machine (Windows), with `\\.\pipe\` in front or without. An extension of RFC 9622.
    pub fn pipe(name: impl AsRef<str>) -> Self {
        Place::pipe(name.as_ref()).into()
    }

    /// A name inside this process. An extension of RFC 9622.
    pub fn memory(name: impl AsRef<str>) -> Self {
        Place::Memory(name.as_ref().into()).into()
    }

    /// Sets the address in place of one that was set, and stands there instead of on all addresses of a name.
    #[doc(alias = "with_address")]
    #[doc(alias = "WithIPAddress")]
    #[must_use]
    pub fn ip_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.identifiers.set_address(address.into());
        self
    }

    /// Sets the port; 0 lets the system pick one.
    #[doc(alias = "with_port")]
    #[doc(alias = "port_number")]
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.identifiers.port = port;
        self
    }

    /// Sets the service, such as `https`, that stands for a port; a port that is set goes first.
    #[doc(alias = "WithService")]
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.identifiers.service = Some(service.into());
        self
    }

    /// Binds whatever starts here to an interface, by name or index (RFC 9622 6.1.2).
    #[doc(alias = "with_interface")]
    #[must_use]
    pub fn interface(mut self, interface: impl Into<InterfaceId>) -> Self {
        self.identifiers.interface = Some(interface.into());
        self
    }

    /// Makes the endpoint one for this protocol alone (RFC 9622 6.1.3), for instance with a port of its own.
    #[doc(alias = "WithProtocol")]
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.identifiers.protocol = Some(protocol);
        self
    }

    /// Takes what the group gets from this source alone (source-specific multicast, RFC 4607).
    #[doc(alias = "WithSingleSourceMulticastGroupIP")]
    #[must_use]
    pub fn source(mut self, source: impl Into<IpAddr>) -> Self {
        self.identifiers.source = Some(source.into());
        self
    }

    /// Sets how many routers a packet may pass, 0 to 255: the time to live of IPv4 and the hop limit of IPv6.
    #[doc(alias = "WithHopLimit")]
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.identifiers.hop_limit = Some(hops);
        self
    }

    /// Serves WebSockets of this path alone (`/chat`). An extension of RFC 9622.
    #[must_use]
    pub fn websocket(mut self, resource: impl Into<String>) -> Self {
        self.identifiers.websocket_mut().path = resource.into();
        self
    }

    /// Takes a subprotocol of WebSocket (RFC 6455 1.9), in second place to those that were added before; the
    /// endpoint becomes a WebSocket of the path `/` if it is none.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.identifiers.websocket_mut().subprotocols.push(name.into());
        self
    }

    /// The host name or the address as text without brackets and zone; `*` for every address.
    #[must_use]
    pub fn host_text(&self) -> String {
        self.identifiers.place.text()
    }

    /// The port as it was set, 0 when it was not.
    #[must_use]
    pub fn port_number(&self) -> u16 {
        self.identifiers.port
    }

    /// Whether one could stand there with this protocol.
    #[must_use]
    pub fn allows(&self, protocol: Protocol) -> bool {
        self.identifiers.allows(protocol)
    }

    /// Whether one can stand there as far as can be told without asking anybody.
    ///
    /// # Errors
    /// What contradicts itself or is written wrongly; see [`EndpointError`].
    pub fn check(&self) -> Result<(), EndpointError> {
        self.identifiers.check()
    }

    pub(crate) fn identifiers(&self) -> &Identifiers {
        &self.identifiers
    }
}

impl From<Place> for LocalEndpoint {
    fn from(place: Place) -> Self {
        Self { identifiers: place.into() }
    }
}

impl From<SocketAddr> for LocalEndpoint {
    fn from(address: SocketAddr) -> Self {
        Self { identifiers: address.into() }
    }
}

impl From<EndpointAddress> for LocalEndpoint {
    fn from(address: EndpointAddress) -> Self {
        Self { identifiers: address.into() }
    }
}

impl From<&EndpointAddress> for LocalEndpoint {
    fn from(address: &EndpointAddress) -> Self {
        address.clone().into()
    }
}

impl fmt::Display for LocalEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identifiers.fmt(f)
    }
}

impl fmt::Debug for LocalEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalEndpoint({self})")
    }
}
