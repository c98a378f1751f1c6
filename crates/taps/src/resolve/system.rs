//! The system's resolver.

use std::io;
use std::net::SocketAddr;

use crate::endpoint::InterfaceId;
use crate::resolve::{Resolved, SrvRecord, UnresolvedReason};

/// The addresses of a host in the system's order (RFC 6724).
pub(super) async fn lookup(host: &str, port: u16) -> Result<Resolved, UnresolvedReason> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(|error| reason(&error))?.collect();
    if addresses.is_empty() { Err(UnresolvedReason::NoAddress) } else { Ok(Resolved { addresses, ttl: None }) }
}

/// What a system has for looking up names has nothing for records.
pub(super) fn srv(_name: &str) -> Result<Vec<SrvRecord>, UnresolvedReason> {
    Err(UnresolvedReason::NoSrv)
}

/// The index of an interface. The system turns a name into one where it reads the zone of a link-local address.
pub(super) async fn index(interface: &InterfaceId) -> Result<u32, UnresolvedReason> {
    let name = match interface {
        InterfaceId::Index(index) => return Ok(*index),
        InterfaceId::Name(name) => name,
    };
    let found = tokio::net::lookup_host((format!("fe80::1%{name}"), 0)).await.ok().and_then(|mut found| found.next());
    match found {
        Some(SocketAddr::V6(v6)) if v6.scope_id() != 0 => Ok(v6.scope_id()),
        Some(_) | None => Err(UnresolvedReason::NoInterface(name.to_string())),
    }
}

/// The system tells the kind of failure in words alone; those of the common ones are known.
fn reason(error: &io::Error) -> UnresolvedReason {
    let text = error.to_string();
    let says = |part: &str| text.contains(part);
    if says("Name or service not known") || says("nodename nor servname") || says("No such host") {
        UnresolvedReason::NotFound
    } else if says("No address associated with") {
        UnresolvedReason::NoAddress
    } else {
        UnresolvedReason::Failed(text)
    }
}
