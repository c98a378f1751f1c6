//! AMQP peers without I/O: connections, sessions, links, deliveries and SASL, for both roles.
//!
//! This crate is deterministic. It opens no socket, reads no clock and draws no random number: bytes
//! go in and bytes and events come out; time, ids and nonces are arguments.

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod sasl;
pub mod v1_0;
