//! Endpoints: who to reach and where to stand (RFC 9622 6.1).

mod address;
mod error;
mod identifiers;
mod interface;
mod local;
mod remote;
#[cfg(test)]
mod tests;
mod unix;
mod websocket;

pub use address::EndpointAddress;
#[allow(unused_imports, reason = "the stacks of the network alone have a use for it")]
pub(crate) use address::canonical;
pub(crate) use address::socket_address;
pub use error::EndpointError;
#[cfg(all(windows, feature = "pipe"))]
pub(crate) use identifiers::PIPES;
pub(crate) use identifiers::{Identifiers, Place};
pub use interface::InterfaceId;
pub use local::LocalEndpoint;
pub use remote::RemoteEndpoint;
pub use unix::UnixAddress;
pub(crate) use websocket::WebSocketResource;
