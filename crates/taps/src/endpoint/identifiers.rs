//! The identifiers of an endpoint: one of each kind at most (RFC 9622 6.1).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::Protocol;
use crate::endpoint::websocket::shortened;
use crate::endpoint::{EndpointAddress, EndpointError, InterfaceId, UnixAddress, WebSocketResource};

/// What an endpoint of either end is made of; selection reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Identifiers {
    pub(crate) place: Place,
    /// 0: not set.
    pub(crate) port: u16,
    pub(crate) service: Option<String>,
    pub(crate) interface: Option<InterfaceId>,
    /// As it was asked for; [`allows`](Self::allows) tells what it comes to.
    pub(crate) protocol: Option<Protocol>,
    /// Of a group that is joined: the only source that is received from.
    pub(crate) source: Option<IpAddr>,
    pub(crate) hop_limit: Option<u8>,
    pub(crate) websocket: Option<Box<WebSocketResource>>,
}

/// Where an endpoint is, before resolution.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) enum Place {
    /// Every address of this machine for a local endpoint, nowhere for a remote one.
    #[default]
    Any,
    /// A host. One of the two is set at least; where both are, the address is where it is.
    Host { name: Option<String>, address: Option<IpAddr> },
    /// A multicast group.
    Multicast(IpAddr),
    /// A Unix domain socket.
    Unix(UnixAddress),
    /// A named pipe, by its name behind the prefix that all have.
    Pipe(Arc<str>),
    /// A name inside this process.
    Memory(Arc<str>),
}

impl Identifiers {
    /// A host by name, or by an address in text form, with brackets and zone or without.
    pub(crate) fn host(text: String) -> Self {
        let mut identifiers = Self::default();
        identifiers.set_hostname(text);
        identifiers
    }

    pub(crate) fn set_hostname(&mut self, text: String) {
        let Some((address, zone)) = literal(&text) else {
            let address = self.place.host_address();
            self.place = Place::Host { name: Some(text), address };
            return;
        };
        if let Some(zone) = zone {
            self.interface = Some(zone);
        }
        self.place = Place::address(address);
    }

    pub(crate) fn set_address(&mut self, address: IpAddr) {
        let name = match &mut self.place {
            Place::Host { name, .. } => name.take(),
            Place::Any | Place::Multicast(_) | Place::Unix(_) | Place::Pipe(_) | Place::Memory(_) => None,
        };
        self.place = Place::Host { name, address: Some(address) };
    }

    pub(crate) fn websocket_mut(&mut self) -> &mut WebSocketResource {
        self.websocket.get_or_insert_default()
    }

    /// Whether it could be gone to with this protocol.
    pub(crate) fn allows(&self, protocol: Protocol) -> bool {
        let possible = match &self.place {
            Place::Any | Place::Host { .. } => {
                !matches!(protocol, Protocol::Unix | Protocol::NamedPipe | Protocol::Memory)
            }
            Place::Multicast(_) => matches!(protocol, Protocol::Udp | Protocol::UdpLite),
            Place::Unix(_) => protocol == Protocol::Unix,
            Place::Pipe(_) => protocol == Protocol::NamedPipe,
            Place::Memory(_) => protocol == Protocol::Memory,
        };
        possible
            && self.protocol.is_none_or(|only| only == protocol)
            && (self.websocket.is_none() || protocol == Protocol::WebSocket)
    }

    pub(crate) fn check(&self) -> Result<(), EndpointError> {
        self.place.check()?;
        if let Some(service) = &self.service {
            check_service(service)?;
        }
        if let Some(interface) = &self.interface {
            check_interface(interface)?;
        }
        if let Some(websocket) = &self.websocket {
            websocket.check()?;
        }
        match (&self.place, self.source) {
            (Place::Multicast(group), Some(source)) => check_source(*group, source)?,
            (_, Some(_)) => return Err(EndpointError::SourceWithoutGroup),
            (_, None) => {}
        }
        let asked = self.protocol.or_else(|| self.websocket.is_some().then_some(Protocol::WebSocket));
        match asked {
            Some(protocol) if !self.allows(protocol) => {
                Err(EndpointError::Protocol { protocol, endpoint: self.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// What the path of every named pipe of this machine begins with.
pub(crate) const PIPES: &str = r"\\.\pipe\";

impl Place {
    /// A named pipe, with the prefix or without.
    pub(crate) fn pipe(name: &str) -> Self {
        let prefixed = name.get(..PIPES.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PIPES));
        Self::Pipe(if prefixed { name[PIPES.len()..].into() } else { name.into() })
    }

    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Host { name: None, address: Some(address) }
    }

    pub(crate) fn host_address(&self) -> Option<IpAddr> {
        match self {
            Self::Host { address, .. } => *address,
            Self::Any | Self::Multicast(_) | Self::Unix(_) | Self::Pipe(_) | Self::Memory(_) => None,
        }
    }

    /// The name, or else the address, without brackets, zone and port.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Host { name: Some(name), .. } => name.clone(),
            Self::Host { name: None, address: Some(address) } | Self::Multicast(address) => address.to_string(),
            Self::Host { name: None, address: None } => String::new(),
            Self::Unix(address) => address.to_string(),
            Self::Pipe(name) => format!("pipe:{name}"),
            Self::Memory(name) => format!("memory:{name}"),
        }
    }

    fn check(&self) -> Result<(), EndpointError> {
        match self {
            Self::Any => Ok(()),
            Self::Host { name, address } => {
                if let Some(group) = address.filter(IpAddr::is_multicast) {
                    return Err(EndpointError::Multicast(group));
                }
                let wrong = |c: char| c.is_whitespace() || c.is_control();
                match name {
                    // 253 characters and the stop of the root (RFC 1035 2.3.4).
                    Some(name) if name.is_empty() || name.len() > 254 || name.contains(wrong) => {
                        Err(EndpointError::HostName(shortened(name)))
                    }
                    _ => Ok(()),
                }
            }
            Self::Multicast(group) if group.is_multicast() => Ok(()),
            Self::Multicast(address) => Err(EndpointError::NotMulticast(*address)),
            Self::Unix(address) => {
                let fits = |len: usize| (1..=UnixAddress::MAX_LEN).contains(&len);
                let fine = match address {
                    UnixAddress::Path(path) => {
                        let bytes = path.as_os_str().as_encoded_bytes();
                        fits(bytes.len()) && !bytes.contains(&0)
                    }
                    UnixAddress::Abstract(name) => fits(name.len()),
                    UnixAddress::Unnamed => false,
                };
                if fine { Ok(()) } else { Err(EndpointError::UnixAddress(shortened(&address.to_string()))) }
            }
            // The system takes 256 characters with the prefix, and no backslash behind that.
            Self::Pipe(name) => {
                let fits = (1..=256 - PIPES.len()).contains(&name.encode_utf16().count());
                if fits && !name.contains(['\\', '\0']) {
                    Ok(())
                } else {
                    Err(EndpointError::PipeName(shortened(name)))
                }
            }
            Self::Memory(name) if (1..=MAX_NAME).contains(&name.len()) => Ok(()),
            Self::Memory(name) => Err(EndpointError::MemoryName(shortened(name))),
        }
    }
}

impl From<Place> for Identifiers {
    fn from(place: Place) -> Self {
        Self { place, ..Self::default() }
    }
}

impl From<SocketAddr> for Identifiers {
    fn from(address: SocketAddr) -> Self {
        let interface = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(InterfaceId::Index(v6.scope_id())),
            SocketAddr::V6(_) | SocketAddr::V4(_) => None,
        };
        Self { place: Place::address(address.ip()), port: address.port(), interface, ..Self::default() }
    }
}

impl From<EndpointAddress> for Identifiers {
    fn from(address: EndpointAddress) -> Self {
        match address {
            EndpointAddress::Ip(address) => address.into(),
            EndpointAddress::Unix(address) => Place::Unix(address).into(),
            EndpointAddress::Pipe(name) => Place::Pipe(name).into(),
            EndpointAddress::Memory(name) => Place::Memory(name).into(),
        }
    }
}

/// The place with its interface and port or service, then everything else in brackets.
impl fmt::Display for Identifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut notes = Vec::new();
        match &self.place {
            Place::Host { name, address: Some(address) } => {
                fmt_address(*address, self.interface.as_ref(), f)?;
                notes.extend(name.clone());
            }
            Place::Multicast(group) => fmt_address(*group, self.interface.as_ref(), f)?,
            place @ (Place::Any | Place::Host { .. } | Place::Unix(_) | Place::Pipe(_) | Place::Memory(_)) => {
                f.write_str(&place.text())?;
                if let Some(interface) = &self.interface {
                    write!(f, "%{interface}")?;
                }
            }
        }
        let has_ports = !matches!(self.place, Place::Unix(_) | Place::Pipe(_) | Place::Memory(_));
        match &self.service {
            Some(service) if self.port == 0 => write!(f, ":{service}")?,
            Some(service) => {
                write!(f, ":{}", self.port)?;
                notes.push(format!("service {service}"));
            }
            None if has_ports || self.port != 0 => write!(f, ":{}", self.port)?,
            None => {}
        }
        if let Some(websocket) = &self.websocket {
            f.write_str(&websocket.path)?;
            notes.extend(websocket.subprotocols.iter().map(|name| format!("subprotocol {name}")));
        }
        notes.extend(self.source.map(|source| format!("from {source}")));
        notes.extend(self.protocol.map(|protocol| format!("over {protocol}")));
        notes.extend(self.hop_limit.map(|hops| format!("hop limit {hops}")));
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
    }
}

/// An address in the form that takes a port behind it, with the interface as its zone.
fn fmt_address(address: IpAddr, interface: Option<&InterfaceId>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (address, interface) {
        (IpAddr::V6(v6), Some(interface)) => write!(f, "[{v6}%{interface}]"),
        (IpAddr::V6(v6), None) => write!(f, "[{v6}]"),
        (IpAddr::V4(v4), Some(interface)) => write!(f, "{v4}%{interface}"),
        (IpAddr::V4(v4), None) => write!(f, "{v4}"),
    }
}

/// Reads an address in text form; its zone is an interface (RFC 9622 6.1).
fn literal(text: &str) -> Option<(IpAddr, Option<InterfaceId>)> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match bare.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => Some((address.parse().ok()?, Some(zone.into()))),
        _ => Some((bare.parse().ok()?, None)),
    }
}

fn check_service(name: &str) -> Result<(), EndpointError> {
    // RFC 6335 5.1 allows 15 characters and no `_`; names for SRV and of older tables are longer and have some.
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let fine = (1..=64).contains(&name.len()) && name.bytes().all(known);
    if fine { Ok(()) } else { Err(EndpointError::Service(shortened(name))) }
}

fn check_interface(interface: &InterfaceId) -> Result<(), EndpointError> {
    let wrong = |c: char| c == '/' || c.is_whitespace() || c.is_control();
    let fine = match interface {
        InterfaceId::Name(name) => (1..=MAX_NAME).contains(&name.len()) && !name.contains(wrong),
        InterfaceId::Index(index) => *index != 0,
    };
    if fine { Ok(()) } else { Err(EndpointError::Interface(shortened(&interface.to_string()))) }
}

fn check_source(group: IpAddr, source: IpAddr) -> Result<(), EndpointError> {
    let fine = group.is_ipv4() == source.is_ipv4() && !source.is_multicast() && !source.is_unspecified();
    if fine { Ok(()) } else { Err(EndpointError::Source { group, source_address: source }) }
}

const MAX_NAME: usize = 255;
