//! Transport services (RFC 9621 to 9623): a connection described by what it is for. This crate never interprets
//! what it carries, never spawns a task for a connection, and never sends a byte in clear text that was meant to
//! be protected.

mod connection;
mod endpoint;
mod error;
mod framer;
mod initiate;
mod listener;
mod preconnection;
mod properties;
mod race;
mod resolve;
mod stream;
mod tls;

pub use connection::{Connection, HasFramers};
pub use endpoint::{LocalEndpoint, RemoteEndpoint};
pub use error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind, ListenError};
pub use framer::Framer;
pub use initiate::Initiate;
pub use listener::{AcceptError, DEFAULT_ESTABLISH_TIMEOUT, Establish, Incoming, Listener};
pub use preconnection::Preconnection;
pub use properties::{CapacityProfile, TransportProperties};
pub use stream::ByteStream;
pub use tls::{
    ClientCertificates, Security, TlsConfig, TlsConfigBuilder, TlsConfigError, TlsError, TlsInfo, TlsVersion,
};
