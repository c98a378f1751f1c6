//! Connections and what is on them: the engine with a socket below it.

pub mod connect;
mod driver;
mod link;
mod random;
pub mod session;
pub mod transport;
