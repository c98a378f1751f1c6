//! Names to addresses, by the system's resolver.

use std::net::SocketAddr;

use crate::endpoint::{Host, socket_address};

/// A name without an address.
#[derive(Debug)]
pub(crate) struct Unresolved {
    pub(crate) host: String,
    pub(crate) reason: String,
}

/// Resolves a host; an address resolves to itself at once. The system's order (RFC 6724) is kept.
pub(crate) async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    match host {
        Host::Address(address, scope) => Ok(vec![socket_address(*address, *scope, port)]),
        Host::Name(name) => {
            let failed = |reason: String| Unresolved { host: name.clone(), reason };
            let found: Vec<_> =
                tokio::net::lookup_host((name.as_str(), port)).await.map_err(|e| failed(e.to_string()))?.collect();
            if found.is_empty() { Err(failed("the name has no address".to_owned())) } else { Ok(found) }
        }
        Host::Any => Ok(Vec::new()),
    }
}
