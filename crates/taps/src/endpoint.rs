//! Endpoints: who to reach and where to stand (RFC 9622 6.1).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Where a connection goes: a host name or an address, and a port (RFC 9622 6.1).
///
/// ```
/// use postroad_taps::RemoteEndpoint;
///
/// let endpoint = RemoteEndpoint::host("example.org").port(5671);
/// assert_eq!(endpoint.to_string(), "example.org:5671");
/// assert_eq!(RemoteEndpoint::host("[::1]").port(5671).to_string(), "[::1]:5671");
/// ```
#[doc(alias = "with_hostname")]
#[doc(alias = "with_address")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteEndpoint {
    host: Host,
    port: u16,
}

impl RemoteEndpoint {
    /// Names the peer by a host name, or by an address in its text form (`127.0.0.1`, `::1`, `[::1]`).
    ///
    /// The port is 0 until [`port`](Self::port) sets it, and no connection can be initiated to port 0.
    #[doc(alias = "with_hostname")]
    #[doc(alias = "with_address")]
    #[doc(alias = "hostname")]
    pub fn host(host: impl Into<String>) -> Self {
        Self { host: Host::parse(host.into()), port: 0 }
    }

    /// Names the peer by its address; nothing is resolved.
    #[doc(alias = "with_address")]
    pub fn address(address: impl Into<IpAddr>) -> Self {
        Self { host: Host::Address(address.into(), 0), port: 0 }
    }

    /// Sets the port.
    #[doc(alias = "with_port")]
    #[doc(alias = "port_number")]
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The host name or the address, as text without brackets.
    #[must_use]
    pub fn host_text(&self) -> String {
        self.host.text()
    }

    /// The port as it was set, 0 when it was not.
    #[must_use]
    pub fn port_number(&self) -> u16 {
        self.port
    }

    pub(crate) fn parts(&self) -> (&Host, u16) {
        (&self.host, self.port)
    }
}

impl From<SocketAddr> for RemoteEndpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.into(), port: address.port() }
    }
}

impl fmt::Display for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt_with_port(self.port, f)
    }
}

/// Where a connection starts or a listener stands: an address or a host name of this machine, and a port.
///
/// Port 0 lets the system pick one. A listener on a host name stands on every address the name has, all with
/// the same port.
///
/// ```
/// use postroad_taps::LocalEndpoint;
///
/// assert_eq!(LocalEndpoint::any().port(5672).to_string(), "*:5672");
/// assert_eq!(LocalEndpoint::host("localhost").to_string(), "localhost:0");
/// ```
#[doc(alias = "with_address")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalEndpoint {
    host: Host,
    port: u16,
}

impl LocalEndpoint {
    /// Every address of this machine, of both families where the system has both.
    #[must_use]
    pub fn any() -> Self {
        Self { host: Host::Any, port: 0 }
    }

    /// An address of this machine by name, or in its text form. An empty name or `*` is [`any`](Self::any).
    #[doc(alias = "with_address")]
    pub fn host(host: impl Into<String>) -> Self {
        let host = host.into();
        if host.is_empty() || host == "*" {
            return Self::any();
        }
        Self { host: Host::parse(host), port: 0 }
    }

    /// An address of this machine.
    #[doc(alias = "with_address")]
    pub fn address(address: impl Into<IpAddr>) -> Self {
        Self { host: Host::Address(address.into(), 0), port: 0 }
    }

    /// Sets the port; 0 lets the system pick one.
    #[doc(alias = "with_port")]
    #[doc(alias = "port_number")]
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The host name or the address as text without brackets; `*` for every address.
    #[must_use]
    pub fn host_text(&self) -> String {
        self.host.text()
    }

    /// The port as it was set, 0 when it was not.
    #[must_use]
    pub fn port_number(&self) -> u16 {
        self.port
    }

    pub(crate) fn parts(&self) -> (&Host, u16) {
        (&self.host, self.port)
    }
}

impl From<SocketAddr> for LocalEndpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.into(), port: address.port() }
    }
}

impl fmt::Display for LocalEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt_with_port(self.port, f)
    }
}

/// One host, never two: a second call replaces the first (RFC 9622 6.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// Every address of this machine; only a local endpoint has it.
    Any,
    /// A name for the resolver.
    Name(String),
    /// An address, with the scope that a link-local one came with (0: none).
    Address(IpAddr, u32),
}

impl Host {
    fn parse(text: String) -> Self {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(&text);
        match bare.parse() {
            Ok(address) => Self::Address(address, 0),
            Err(_) => Self::Name(text),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Name(name) => name.clone(),
            Self::Address(address, _) => address.to_string(),
        }
    }

    fn fmt_with_port(&self, port: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => write!(f, "*:{port}"),
            Self::Name(name) => write!(f, "{name}:{port}"),
            Self::Address(address, scope) => {
                write!(f, "{}", socket_address(*address, *scope, port))
            }
        }
    }
}

impl From<SocketAddr> for Host {
    fn from(address: SocketAddr) -> Self {
        let scope = match address {
            SocketAddr::V6(v6) => v6.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        Self::Address(address.ip(), scope)
    }
}

pub(crate) fn socket_address(address: IpAddr, scope: u32, port: u16) -> SocketAddr {
    match address {
        IpAddr::V4(_) => SocketAddr::new(address, port),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, scope).into(),
    }
}

/// An IPv4 peer of a dual-stack socket, in the form people know (`127.0.0.1` for `::ffff:127.0.0.1`).
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match Ipv6Addr::to_ipv4_mapped(v6.ip()) {
            Some(v4) => SocketAddr::new(v4.into(), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_in_text_form_is_an_address() {
        assert_eq!(RemoteEndpoint::host("::1"), RemoteEndpoint::address(Ipv6Addr::LOCALHOST));
        assert_eq!(RemoteEndpoint::host("127.0.0.1").port(1), "127.0.0.1:1".parse::<SocketAddr>().unwrap().into());
        assert_eq!(LocalEndpoint::host("*"), LocalEndpoint::any());
        assert_eq!(LocalEndpoint::host("[::]").port(7).to_string(), "[::]:7");
    }

    #[test]
    fn the_scope_of_a_link_local_address_survives() {
        let address: SocketAddr = SocketAddrV6::new("fe80::1".parse().unwrap(), 5, 0, 3).into();
        assert_eq!(RemoteEndpoint::from(address).to_string(), address.to_string());
    }

    #[test]
    fn a_mapped_address_reads_as_the_version_4_one() {
        assert_eq!(canonical("[::ffff:127.0.0.1]:9".parse().unwrap()), "127.0.0.1:9".parse().unwrap());
        assert_eq!(canonical("[::1]:9".parse().unwrap()), "[::1]:9".parse().unwrap());
    }
}
