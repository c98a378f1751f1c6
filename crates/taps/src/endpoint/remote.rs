//! The remote endpoint: whom to reach.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::Protocol;
use crate::endpoint::{EndpointAddress, EndpointError, Identifiers, InterfaceId, Place, UnixAddress};

/// Where a connection goes: a host by name or address with a port or a service, a multicast group, a Unix socket,
/// or a name inside this process (RFC 9622 6.1).
///
/// An endpoint has one identifier of each kind: setting it again replaces what was set before, so that it never
/// holds two addresses. A host that has several is several endpoints.
///
/// ```
/// use postroad_taps::RemoteEndpoint;
///
/// let endpoint = RemoteEndpoint::host("example.org").port(5671);
/// assert_eq!(endpoint.to_string(), "example.org:5671");
/// assert_eq!(RemoteEndpoint::host("[::1]").port(5671).to_string(), "[::1]:5671");
/// assert_eq!(RemoteEndpoint::host("fe80::1%lo").port(5671).to_string(), "[fe80::1%lo]:5671");
/// ```
#[doc(alias = "with_hostname")]
#[doc(alias = "with_address")]
#[doc(alias = "NewRemoteEndpoint")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteEndpoint {
    identifiers: Identifiers,
}

impl RemoteEndpoint {
    /// Names the peer by a host name, or by an address in its text form (`127.0.0.1`, `::1`, `[::1]`,
    /// `fe80::1%lo`).
    ///
    /// A fully qualified name means the same everywhere; what another name stands for is up to the search list of
    /// the machine. The port is 0 until [`port`](Self::port) or [`service`](Self::service) says otherwise, and no
    /// connection can be initiated to port 0.
    #[doc(alias = "with_hostname")]
    #[doc(alias = "with_address")]
    #[doc(alias = "hostname")]
    pub fn host(host: impl Into<String>) -> Self {
        Self { identifiers: Identifiers::host(host.into()) }
    }

    /// Names the peer by its address; nothing is resolved.
    #[doc(alias = "with_address")]
    pub fn address(address: impl Into<IpAddr>) -> Self {
        Place::address(address.into()).into()
    }

    /// A multicast group to send to (RFC 9622 6.1.1): nothing is received from it, and it is not joined.
    #[doc(alias = "WithMulticastGroupIP")]
    pub fn multicast_group(group: impl Into<IpAddr>) -> Self {
        Place::Multicast(group.into()).into()
    }

    /// The Unix socket at a path. An extension of RFC 9622.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Place::Unix(UnixAddress::path(path)).into()
    }

    /// The Unix socket of a name in the abstract namespace of Linux, without the leading zero byte. An extension
    /// of RFC 9622.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Place::Unix(UnixAddress::abstract_name(name)).into()
    }

    /// The named pipe of this machine (Windows), with `\\.\pipe\` in front or without. An extension of RFC 9622.
    pub fn pipe(name: impl AsRef<str>) -> Self {
        Place::pipe(name.as_ref()).into()
    }

    /// What listens under a name inside this process; nothing leaves it. An extension of RFC 9622.
    pub fn memory(name: impl AsRef<str>) -> Self {
        Place::Memory(name.as_ref().into()).into()
    }

    /// Sets the host name, beside an address that was set: the address is where to connect to, and the name is
    /// what TLS verifies. An address in text form replaces both.
    #[doc(alias = "with_hostname")]
    #[doc(alias = "WithHostName")]
    #[must_use]
    pub fn hostname(mut self, host: impl Into<String>) -> Self {
        self.identifiers.set_hostname(host.into());
        self
    }

    /// Sets the address, beside a host name that was set; the name is not resolved any more.
    #[doc(alias = "with_address")]
    #[doc(alias = "WithIPAddress")]
    #[must_use]
    pub fn ip_address(mut self, address: impl Into<IpAddr>) -> Self {
        self.identifiers.set_address(address.into());
        self
    }

    /// Sets the port.
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

    /// Sets the interface, by name or index, that an address of local scope belongs to (RFC 9622 6.1.2).
    ///
    /// `fe80::1%lo` is the address `fe80::1` with the interface `lo`.
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

    /// Sets how many routers a packet may pass, 0 to 255: the time to live of IPv4 and the hop limit of IPv6.
    #[doc(alias = "WithHopLimit")]
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.identifiers.hop_limit = Some(hops);
        self
    }

    /// Makes the endpoint a WebSocket of this path and query (`/chat?room=1`). An extension of RFC 9622.
    #[must_use]
    pub fn websocket(mut self, resource: impl Into<String>) -> Self {
        self.identifiers.websocket_mut().path = resource.into();
        self
    }

    /// Offers a subprotocol of WebSocket (RFC 6455 1.9), behind those that were added before; the endpoint becomes
    /// a WebSocket of the path `/` if it is none.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.identifiers.websocket_mut().subprotocols.push(name.into());
        self
    }

    /// The host name, or else the address, as text without brackets and zone; this is what TLS verifies.
    #[must_use]
    pub fn host_text(&self) -> String {
        self.identifiers.place.text()
    }

    /// The port as it was set, 0 when it was not.
    #[must_use]
    pub fn port_number(&self) -> u16 {
        self.identifiers.port
    }

    /// Whether a connection can go there as far as can be told without asking anybody.
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

impl From<Place> for RemoteEndpoint {
    fn from(place: Place) -> Self {
        Self { identifiers: place.into() }
    }
}

impl From<SocketAddr> for RemoteEndpoint {
    fn from(address: SocketAddr) -> Self {
        Self { identifiers: address.into() }
    }
}

impl From<EndpointAddress> for RemoteEndpoint {
    fn from(address: EndpointAddress) -> Self {
        Self { identifiers: address.into() }
    }
}

impl From<&EndpointAddress> for RemoteEndpoint {
    fn from(address: &EndpointAddress) -> Self {
        address.clone().into()
    }
}

impl fmt::Display for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identifiers.fmt(f)
    }
}

impl fmt::Debug for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteEndpoint({self})")
    }
}
