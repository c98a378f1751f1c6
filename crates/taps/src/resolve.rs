//! Names to addresses, by the system's resolver.

use std::net::{IpAddr, SocketAddr};

use crate::endpoint::{Identifiers, InterfaceId, Place, socket_address};

/// A name without an address.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub(crate) host: String,
    pub(crate) reason: String,
}

/// Resolves a host; an address resolves to itself at once. The system's order (RFC 6724) is kept.
pub(crate) async fn resolve(identifiers: &Identifiers) -> Result<Vec<SocketAddr>, Unresolved> {
    let Identifiers { place, port, interface, .. } = identifiers;
    let name = match (place, interface) {
        (Place::Host { address: Some(address), .. }, Some(InterfaceId::Name(zone))) if takes_zone(*address) => {
            format!("{address}%{zone}")
        }
        (Place::Host { address: Some(address), .. }, interface) => {
            let scope = match interface {
                Some(InterfaceId::Index(index)) if takes_zone(*address) => *index,
                Some(_) | None => 0,
            };
            return Ok(vec![socket_address(*address, scope, *port)]);
        }
        (Place::Host { name: Some(name), .. }, _) => name.clone(),
        (Place::Any | Place::Host { .. }, _) => return Ok(Vec::new()),
        (Place::Multicast(_) | Place::Unix(_) | Place::Memory(_), _) => {
            return Err(Unresolved { host: place.text(), reason: "it is no host".to_owned() });
        }
    };
    let failed = |reason: String| Unresolved { host: name.clone(), reason };
    let found: Vec<_> =
        tokio::net::lookup_host((name.as_str(), *port)).await.map_err(|e| failed(e.to_string()))?.collect();
    if found.is_empty() { Err(failed("the name has no address".to_owned())) } else { Ok(found) }
}

/// Whether an address means nothing without an interface (RFC 4007 6).
fn takes_zone(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
