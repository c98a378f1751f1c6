//! postroad: well-known messaging interfaces on one stack of small crates.
//!
//! This crate has no logic of its own: each feature shows one crate under its short name. Only `messaging` is on by
//! default.
//!
//! | feature | module | what it is |
//! |---|---|---|
//! | `messaging` | `messaging` | the qpid.messaging face: connections, sessions, senders, receivers, address strings |
//! | `client` | `client` | typed links below the faces, and an acceptor for peers without a broker |
//! | `broker` | `broker` | the embedded broker |
//! | `address` | `address` | address strings and broker URLs |
//! | `taps` | `taps` | transport services: TCP and TLS |
//! | `amqp10` | `amqp`, `codec` | AMQP 1.0 without I/O |

#[cfg(feature = "address")]
pub use postroad_address as address;
#[cfg(feature = "amqp10")]
pub use postroad_amqp as amqp;
#[cfg(feature = "broker")]
pub use postroad_broker as broker;
#[cfg(feature = "client")]
pub use postroad_client as client;
#[cfg(feature = "amqp10")]
pub use postroad_codec as codec;
#[cfg(feature = "messaging")]
pub use postroad_messaging as messaging;
#[cfg(feature = "taps")]
pub use postroad_taps as taps;
