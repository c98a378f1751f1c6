//! Opens what a preconnection wants to listen on: every eligible stack on every local address (RFC 9623 4.7).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::endpoint::{EndpointAddress, LocalEndpoint, Place};
use crate::error::{ConfigurationError, ListenError};
use crate::preconnection::Preconnection;
use crate::protocol::{Protocol, ProtocolStack};
use crate::resolve::Resolver;
use crate::stack::{Acceptor, Hosting, Stand, failed, listen};
use crate::tls::{Security, ServerSide};

/// How often a port that the system picked is given up for another, since it is taken for one of the stacks.
const TRIES: usize = 16;

/// Opens all of them, or none.
pub(super) async fn acceptors(preconnection: &Preconnection) -> Result<Vec<Box<dyn Acceptor>>, ListenError> {
    if preconnection.locals.is_empty() {
        return Err(ConfigurationError::NoLocalEndpoint.into());
    }
    preconnection.properties.validate().map_err(ConfigurationError::from)?;
    let security = match &preconnection.security {
        Security::Disabled => None,
        Security::Tls(config) => Some(ServerSide::prepare(config)?),
    };
    let hosting = Hosting { properties: Arc::new(preconnection.properties.clone()), security };
    let mut acceptors = Vec::new();
    for local in &preconnection.locals {
        local.check().map_err(ConfigurationError::from)?;
        let places = places(local).await?;
        acceptors.extend(open(local, &places, &stacks(local, &hosting), &hosting)?);
    }
    Ok(acceptors)
}

/// The stacks that a local endpoint can listen with.
fn stacks(local: &LocalEndpoint, hosting: &Hosting) -> Vec<ProtocolStack> {
    let secure = hosting.security.is_some();
    match &local.identifiers().place {
        Place::Unix(_) => vec![ProtocolStack::UnixStream],
        Place::Memory(_) => vec![ProtocolStack::MemoryMessage, ProtocolStack::MemoryStream],
        _ if local.identifiers().allows(Protocol::Tcp) => {
            vec![if secure { ProtocolStack::Tls } else { ProtocolStack::Tcp }]
        }
        _ if secure => vec![ProtocolStack::SecureWebSocket],
        _ => vec![ProtocolStack::WebSocket],
    }
}

/// The addresses of a local endpoint. Those of one slice are alternatives: the second is for where the first cannot be.
async fn places(local: &LocalEndpoint) -> Result<Vec<EndpointAddress>, ListenError> {
    let port = local.port_number();
    match &local.identifiers().place {
        Place::Any => Ok(vec![address((Ipv6Addr::UNSPECIFIED, port))]),
        Place::Unix(path) => Ok(vec![path.clone().into()]),
        Place::Memory(name) => Ok(vec![EndpointAddress::Memory(Arc::clone(name))]),
        Place::Host { .. } | Place::Multicast(_) => {
            let resolved = Resolver::system().resolve_local(local, Protocol::Tcp).all().await?;
            Ok(resolved.into_iter().map(EndpointAddress::from).collect())
        }
    }
}

fn address(address: impl Into<SocketAddr>) -> EndpointAddress {
    EndpointAddress::Ip(address.into())
}

/// Opens every stack on every address of one endpoint, all on the port that the first one gets.
fn open(
    local: &LocalEndpoint,
    places: &[EndpointAddress],
    stacks: &[ProtocolStack],
    hosting: &Hosting,
) -> Result<Vec<Box<dyn Acceptor>>, ListenError> {
    let mut last = None;
    for _ in 0..TRIES {
        match try_open(local, places, stacks, hosting) {
            // The system picked a port that is free here and taken there: another one may be free for all.
            Err((ListenError::AddressInUse { address }, true)) => last = Some(ListenError::AddressInUse { address }),
            Err((error, _)) => return Err(error),
            Ok(acceptors) => return Ok(acceptors),
        }
    }
    Err(last.unwrap_or(ConfigurationError::NoLocalEndpoint.into()))
}

/// An error tells whether another port might do.
fn try_open(
    local: &LocalEndpoint,
    places: &[EndpointAddress],
    stacks: &[ProtocolStack],
    hosting: &Hosting,
) -> Result<Vec<Box<dyn Acceptor>>, (ListenError, bool)> {
    let identifiers = local.identifiers();
    let any = matches!(identifiers.place, Place::Any);
    let mut acceptors: Vec<Box<dyn Acceptor>> = Vec::new();
    let (mut port, mut skipped) = (local.port_number(), None);
    for &stack in stacks {
        for place in places {
            let place = with_port(place, port);
            let stand = Stand {
                stack,
                local: place.clone(),
                interface: identifiers.interface.as_ref().map(|interface| interface.to_string().into()),
                both_families: any,
                websocket: identifiers.websocket.as_deref().cloned().map(Arc::new),
                source: identifiers.source,
            };
            if acceptors.iter().any(|acceptor| acceptor.stack() == stack && acceptor.local() == &place) {
                continue;
            }
            let opened = match listen(&stand, hosting) {
                // One socket stands for both families where the machine has both.
                Err(error) if any && no_such_family(&error) => {
                    let local = with_port(&address((Ipv4Addr::UNSPECIFIED, 0)), port);
                    listen(&Stand { local, both_families: false, ..stand }, hosting)
                }
                opened => opened,
            };
            match opened {
                Ok(acceptor) => {
                    port = acceptor.local().ip().map_or(port, |address| address.port());
                    acceptors.push(acceptor);
                }
                // A name may carry addresses of a family that this machine does not have: `::1` for localhost.
                Err(error) if places.len() > 1 && no_such_family(&error) => skipped = Some(failed(&place, &error)),
                Err(error) => return Err((failed(&place, &error), local.port_number() == 0 && port != 0)),
            }
        }
    }
    match skipped {
        Some(error) if acceptors.is_empty() => Err((error, false)),
        _ => Ok(acceptors),
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

fn no_such_family(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(EAFNOSUPPORT))
}
