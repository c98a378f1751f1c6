//! Opens what a preconnection wants to listen on: every eligible stack on every local address (RFC 9623 4.7).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::endpoint::{EndpointAddress, LocalEndpoint, Place};
use crate::error::{ConfigurationError, ListenError};
use crate::initiate::plan;
use crate::preconnection::Preconnection;
use crate::properties::Role;
use crate::protocol::{Protocol, ProtocolStack};
use crate::resolve::Resolver;
use crate::selection::Target;
use crate::stack::{Acceptor, Hosting, Stand, failed, listen};
use crate::tls::ServerSide;

/// How often a port that the system picked is given up for another, since it is taken for one of the stacks.
const TRIES: usize = 16;

/// Opens all of them, or none.
pub(super) async fn acceptors(preconnection: &Preconnection) -> Result<Vec<Box<dyn Acceptor>>, ListenError> {
    if preconnection.locals.is_empty() {
        return Err(ConfigurationError::NoLocalEndpoint.into());
    }
    preconnection.properties.validate().map_err(ConfigurationError::from)?;
    let security = match preconnection.security.config() {
        None => None,
        Some(config) => Some(ServerSide::prepare(config)?),
    };
    let hosting = Hosting { properties: Arc::new(preconnection.properties.clone()), security };
    let mut acceptors = Vec::new();
    for local in &preconnection.locals {
        local.check().map_err(ConfigurationError::from)?;
        let places = places(local, &preconnection.resolver).await?;
        let stands = stands(preconnection, local, places).await?;
        acceptors.extend(open(local, &stands, &hosting)?);
    }
    Ok(acceptors)
}

/// The addresses of a local endpoint.
async fn places(local: &LocalEndpoint, resolver: &Resolver) -> Result<Vec<EndpointAddress>, ListenError> {
    let identifiers = local.identifiers();
    match &identifiers.place {
        Place::Unix(path) => Ok(vec![path.clone().into()]),
        Place::Pipe(name) => Ok(vec![EndpointAddress::Pipe(Arc::clone(name))]),
        Place::Memory(name) => Ok(vec![EndpointAddress::Memory(Arc::clone(name))]),
        Place::Any | Place::Host { .. } | Place::Multicast(_) => {
            let protocol = identifiers.protocol.unwrap_or(Protocol::Tcp);
            let resolved = resolver.resolve_local(local, protocol).all().await?;
            if identifiers.place == Place::Any {
                // One socket for both families, and one for IPv4 where there is no IPv6.
                let port = resolved.first().map_or(0, |address| address.port());
                return Ok(vec![EndpointAddress::Ip((Ipv6Addr::UNSPECIFIED, port).into())]);
            }
            Ok(resolved.into_iter().map(EndpointAddress::from).collect())
        }
    }
}

/// Which stack on which address, the best first.
async fn stands(
    preconnection: &Preconnection,
    local: &LocalEndpoint,
    places: Vec<EndpointAddress>,
) -> Result<Vec<Stand>, ListenError> {
    let identifiers = local.identifiers();
    let target = Target::local(local, places);
    let context = plan::context(preconnection);
    let chosen = plan::choose(preconnection, Role::Listen, &[], std::slice::from_ref(&target), &context).await;
    let tree = chosen.map_err(|rejected| ListenError::NoCandidates { host: local.to_string(), rejected })?;
    let stand = |stack, local: &EndpointAddress, interface| Stand {
        stack,
        local: local.clone(),
        interface,
        both_families: identifiers.place == Place::Any,
        websocket: identifiers.websocket.as_deref().cloned().map(Arc::new),
        source: identifiers.source,
    };
    let named = identifiers.interface.as_ref().map(|interface| Arc::from(interface.to_string()));
    let stands = tree.candidates().map(|candidate| {
        let interface = candidate.interface().map(Arc::from).or_else(|| named.clone());
        stand(candidate.stack(), candidate.address(), interface)
    });
    Ok(stands.collect())
}

/// Opens every stand of one endpoint, all on the port that the first one gets.
fn open(local: &LocalEndpoint, stands: &[Stand], hosting: &Hosting) -> Result<Vec<Box<dyn Acceptor>>, ListenError> {
    let mut last = None;
    for _ in 0..TRIES {
        match try_open(local, stands, hosting) {
            // The system picked a port that is free here and taken there: another one may be free for all.
            Err((ListenError::AddressInUse { address }, true)) => last = Some(ListenError::AddressInUse { address }),
            Err((error, _)) => return Err(error),
            Ok(acceptors) => return Ok(acceptors),
        }
    }
    Err(last.unwrap_or_else(|| ConfigurationError::NoLocalEndpoint.into()))
}

/// An error tells whether another port might do.
fn try_open(
    local: &LocalEndpoint,
    stands: &[Stand],
    hosting: &Hosting,
) -> Result<Vec<Box<dyn Acceptor>>, (ListenError, bool)> {
    let mut acceptors: Vec<Box<dyn Acceptor>> = Vec::new();
    let mut served: Vec<(Ports, EndpointAddress)> = Vec::new();
    let (mut port, mut skipped) = (local.port_number(), None);
    for stand in stands {
        // A port is taken once for each kind of socket, by the best stack that can have it.
        let slot = (Ports::of(stand.stack), stand.local.clone());
        if served.contains(&slot) {
            continue;
        }
        let stand = Stand { local: with_port(&stand.local, port), ..stand.clone() };
        let opened = match listen(&stand, hosting) {
            Err(error) if stand.both_families && no_such_family(&error) => {
                let local = with_port(&EndpointAddress::Ip((Ipv4Addr::UNSPECIFIED, 0).into()), port);
                listen(&Stand { local, both_families: false, ..stand.clone() }, hosting)
            }
            opened => opened,
        };
        match opened {
            Ok(acceptor) => {
                port = acceptor.local().ip().map_or(port, |address| address.port());
                served.push(slot);
                acceptors.push(acceptor);
            }
            // A name may carry addresses of a family that this machine does not have, `::1` for localhost, and a
            // kernel may lack a protocol.
            Err(error) if stands.len() > 1 && no_such_family(&error) => skipped = Some(failed(&stand.local, &error)),
            Err(error) => return Err((failed(&stand.local, &error), local.port_number() == 0 && port != 0)),
        }
    }
    match skipped {
        Some(error) if acceptors.is_empty() => Err((error, false)),
        _ => Ok(acceptors),
    }
}

/// Sockets that cannot share a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Tcp,
    Udp,
    UdpLite,
    Unix,
    /// Nothing is shared: what a client asks for decides.
    Own(ProtocolStack),
}

impl Ports {
    fn of(stack: ProtocolStack) -> Self {
        match stack.protocol() {
            Protocol::Tcp | Protocol::Mptcp | Protocol::WebSocket => Self::Tcp,
            Protocol::Udp | Protocol::Quic => Self::Udp,
            Protocol::UdpLite => Self::UdpLite,
            Protocol::Unix => Self::Unix,
            Protocol::NamedPipe | Protocol::Memory => Self::Own(stack),
        }
    }
}

fn with_port(place: &EndpointAddress, port: u16) -> EndpointAddress {
    match place {
        EndpointAddress::Ip(address) if address.port() == 0 => {
            let mut address = *address;
            address.set_port(port);
            address.into()
        }
        place => place.clone(),
    }
}

/// Whether the system does not have the family of the address, or the protocol.
fn no_such_family(error: &io::Error) -> bool {
    const EPROTONOSUPPORT: i32 = 93;
    const EAFNOSUPPORT: i32 = 97;
    let lacking = matches!(error.raw_os_error(), Some(EPROTONOSUPPORT | EAFNOSUPPORT));
    // A stack may be unable to do what another one does, such as QUIC with a configuration for TLS 1.2 alone.
    let unable = io::ErrorKind::InvalidInput;
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.kind() == unable
        || (cfg!(target_os = "linux") && lacking)
}
