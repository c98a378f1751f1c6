//! What candidates are gathered from: wishes, paths, and endpoints with their addresses.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::endpoint::{EndpointAddress, Identifiers, InterfaceId, LocalEndpoint, Place, RemoteEndpoint};
use crate::properties::{InterfaceSelector, InterfaceType, PvdSelector, Role, TransportProperties};
use crate::protocol::{Protocol, ProtocolStack};
use crate::selection::capabilities::StackSet;

/// All that gathering, pruning and ranking look at, the [`Context`](crate::Context) aside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GatherInput<'a> {
    pub(crate) properties: &'a TransportProperties,
    pub(crate) role: Role,
    /// Whether TLS is asked for: then nothing else will do, and without it nothing is encrypted (RFC 9621 3.3).
    pub(crate) secure: bool,
    /// Whether the TLS configuration names an application protocol, without which there is no QUIC (RFC 9001 8.1).
    pub(crate) application_protocol: bool,
    /// Whether a framer preserves the boundaries of messages.
    pub(crate) framed: bool,
    /// The stacks that can be used at all.
    pub(crate) built: StackSet,
    /// The interfaces that are up. They are looked at only where a property or an endpoint speaks of them.
    pub(crate) paths: &'a [Arc<PathInfo>],
    /// Where connections may start; empty leaves it to the system.
    pub(crate) sources: &'a [Source],
    /// Whom to reach, or where to stand for a listener.
    pub(crate) targets: &'a [Target],
}

impl GatherInput<'_> {
    /// Whether the interfaces are looked at, so that they must be known.
    pub(crate) fn needs_paths(&self) -> bool {
        self.chooses_paths()
            || self.sources.iter().any(|source| source.interface.is_some())
            || self.targets.iter().any(|target| target.interface.is_some())
    }

    /// Whether the properties make one path better than another, so that each is a branch of its own.
    pub(crate) fn chooses_paths(&self) -> bool {
        use crate::properties::{Preference, SelectionProperty::UseTemporaryLocalAddress};
        let properties = self.properties;
        let temporary = matches!(
            properties.preference_in(UseTemporaryLocalAddress, self.role),
            Preference::Require | Preference::Prohibit
        );
        temporary || !properties.interfaces().is_empty() || !properties.pvds().is_empty()
    }
}

/// An interface that is up, with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathInfo {
    pub(crate) name: Arc<str>,
    /// The index that the system has for it, 1 and up.
    pub(crate) index: u32,
    pub(crate) kind: Option<InterfaceType>,
    pub(crate) addresses: Vec<PathAddress>,
    /// The provisioning domain that it belongs to, when it is known.
    pub(crate) pvd: Option<Pvd>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathAddress {
    pub(crate) ip: IpAddr,
    /// Whether it changes, so that connections cannot be linked by it (RFC 8981); only those of IPv6 may.
    pub(crate) temporary: bool,
}

/// A provisioning domain (RFC 7556).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pvd {
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
}

impl PathInfo {
    pub(crate) fn is(&self, id: &InterfaceId) -> bool {
        match id {
            InterfaceId::Name(name) => **name == *self.name,
            InterfaceId::Index(index) => *index == self.index,
        }
    }

    pub(crate) fn matches(&self, selector: &InterfaceSelector) -> bool {
        match selector {
            InterfaceSelector::Name(name) => **name == *self.name,
            InterfaceSelector::Type(kind) => self.kind == Some(*kind),
        }
    }

    pub(crate) fn is_in(&self, selector: &PvdSelector) -> bool {
        self.pvd.as_ref().is_some_and(|pvd| match selector {
            PvdSelector::Name(name) => *name == pvd.name,
            PvdSelector::Type(kind) => Some(kind) == pvd.kind.as_ref(),
        })
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.kind == Some(InterfaceType::Loopback) || self.addresses.iter().any(|address| address.ip.is_loopback())
    }

    pub(crate) fn has_temporary(&self, temporary: bool) -> bool {
        self.addresses.iter().any(|address| address.temporary == temporary)
    }
}

/// The way out of the machine that a candidate takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// The system chooses by its routes.
    Any,
    /// This interface and no other.
    Interface(Arc<PathInfo>),
    /// None: the peer is on this machine, and there is no network between.
    Machine,
}

impl Path {
    pub(crate) fn interface(&self) -> Option<&PathInfo> {
        match self {
            Self::Interface(info) => Some(info),
            Self::Any | Self::Machine => None,
        }
    }

    /// What the cache knows it by.
    pub(crate) fn key(&self) -> Arc<str> {
        match self {
            Self::Interface(info) => info.name.clone(),
            Self::Any | Self::Machine => Arc::default(),
        }
    }

    /// Whether a stack can take it.
    pub(crate) fn carries(&self, stack: ProtocolStack) -> bool {
        matches!(self, Self::Machine) != super::capabilities::is_networked(stack)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any path",
            Self::Interface(info) => &info.name,
            Self::Machine => "this machine",
        })
    }
}

/// One endpoint to reach or to stand at, with what is known of its addresses.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) reach: Reach,
    /// The protocol that the endpoint is specific to (RFC 9622 6.1.3).
    pub(crate) protocol: Option<Protocol>,
    /// The interface that it must be reached over.
    pub(crate) interface: Option<InterfaceId>,
    /// The name that it is known by, here and to the cache.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// In the order of the resolver.
    pub(crate) addresses: Vec<EndpointAddress>,
    /// Whether these are all its addresses; otherwise more may be added while the race runs.
    pub(crate) complete: bool,
}

/// What kind of stack an endpoint can be reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Ip,
    Multicast,
    Unix,
    Pipe,
    Memory,
}

impl Target {
    /// A peer. `addresses` stay empty, and `complete` false, as long as its name is being resolved.
    pub(crate) fn remote(endpoint: &RemoteEndpoint, addresses: Vec<EndpointAddress>, complete: bool) -> Self {
        Self::new(endpoint.identifiers(), endpoint.host_text(), addresses, complete)
    }

    /// A place to listen at.
    pub(crate) fn local(endpoint: &LocalEndpoint, addresses: Vec<EndpointAddress>) -> Self {
        Self::new(endpoint.identifiers(), endpoint.host_text(), addresses, true)
    }

    fn new(identifiers: &Identifiers, host: String, addresses: Vec<EndpointAddress>, complete: bool) -> Self {
        let reach = match &identifiers.place {
            Place::Any | Place::Host { .. } => Reach::Ip,
            Place::Multicast(_) => Reach::Multicast,
            Place::Unix(_) => Reach::Unix,
            Place::Pipe(_) => Reach::Pipe,
            Place::Memory(_) => Reach::Memory,
        };
        Self {
            reach,
            protocol: specific(identifiers),
            interface: interface(identifiers),
            host: host.into(),
            port: identifiers.port,
            addresses,
            complete,
        }
    }

    /// Whether the endpoint may be reached by the stack, as far as its kind and its protocol say.
    pub(crate) fn allows(&self, stack: ProtocolStack) -> bool {
        let protocol = stack.protocol();
        let possible = match self.reach {
            Reach::Ip => !matches!(protocol, Protocol::Unix | Protocol::NamedPipe | Protocol::Memory),
            Reach::Multicast => matches!(protocol, Protocol::Udp | Protocol::UdpLite),
            Reach::Unix => protocol == Protocol::Unix,
            Reach::Pipe => protocol == Protocol::NamedPipe,
            Reach::Memory => protocol == Protocol::Memory,
        };
        // Both ends must have agreed on WebSocket, so that it is never a mere alternative to TCP.
        possible && self.protocol.map_or(protocol != Protocol::WebSocket, |only| only == protocol)
    }
}

/// One endpoint that a connection may start from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) protocol: Option<Protocol>,
    pub(crate) interface: Option<InterfaceId>,
    /// Empty: any address of the machine.
    pub(crate) addresses: Vec<EndpointAddress>,
    /// 0: any port.
    pub(crate) port: u16,
}

impl Source {
    pub(crate) fn new(endpoint: &LocalEndpoint, addresses: Vec<EndpointAddress>) -> Self {
        let identifiers = endpoint.identifiers();
        Self { protocol: specific(identifiers), interface: interface(identifiers), addresses, port: identifiers.port }
    }
}

fn specific(identifiers: &Identifiers) -> Option<Protocol> {
    match &identifiers.place {
        Place::Unix(_) => Some(Protocol::Unix),
        Place::Pipe(_) => Some(Protocol::NamedPipe),
        Place::Memory(_) => Some(Protocol::Memory),
        _ if identifiers.websocket.is_some() => Some(Protocol::WebSocket),
        _ => identifiers.protocol,
    }
}

/// The interface that an endpoint restricts the path to. Beside an address of local scope it says whose address that
/// is, and the scope of the resolved address has it (RFC 9622 6.1.2).
fn interface(identifiers: &Identifiers) -> Option<InterfaceId> {
    let scoped = match identifiers.place.host_address() {
        Some(IpAddr::V6(v6)) => v6.is_unicast_link_local(),
        Some(IpAddr::V4(_)) | None => false,
    };
    identifiers.interface.clone().filter(|_| !scoped)
}
