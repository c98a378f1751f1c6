//! postroad is a messaging stack: well-known interfaces on small crates, each usable on its own.
//!
//! The short program, with a broker of its own:
//!
//! ```
//! use postroad::broker::Broker;
//! use postroad::messaging::Connection;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().listen("amqp://127.0.0.1:0").start().await?;
//!
//! let connection = Connection::establish(&broker.urls()[0]).await?;
//! let session = connection.session().await?;
//! let sender = session.sender("orders; {create: always}").await?;
//! let receiver = session.receiver("orders").await?;
//! sender.send("hello").await?;
//! let message = receiver.fetch().await?;
//! assert_eq!(message.text(), Some("hello"));
//! session.acknowledge(&message).await?;
//! connection.close().await?;
//! # Ok(()) }
//! ```
//!
//! This crate has no logic: each feature shows crates under short names. Only `messaging` is on by default.
//!
//! | feature | modules | what they are |
//! |---|---|---|
//! | `messaging` | `messaging`, `address` | the qpid.messaging face: connections, sessions, senders, receivers, address strings |
//! | `container` | `container`, `address` | the Proton face: containers, handlers, links and deliveries, for clients and servers |
//! | `broker` | `broker` | the embedded broker |
//! | `client` | `client` | typed links below the faces, and an acceptor for peers without a broker |
//! | `address` | `address` | address strings and broker URLs |
//! | `taps` | `taps` | transport services: TCP, TLS, Multipath TCP, UDP, UDP-Lite, Unix sockets, memory |
//! | `msrp` | `msrp` | MSRP: sessions of messages and files, URIs, session descriptions, what they carry |
//! | `quic` | | QUIC for transport services |
//! | `websocket` | | WebSockets, below AMQP (`amqpws` URLs) and MSRP, and for transport services |
//! | `hickory` | | a resolver for transport services that asks name servers itself |
//! | `callback` | `taps::callback` | transport services whose events are told to handlers |
//! | `blocking` | `blocking` | the same names without `.await`, for programs without a runtime |
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
#[cfg(feature = "container")]
pub use postroad_container as container;
#[cfg(feature = "messaging")]
pub use postroad_messaging as messaging;
#[cfg(feature = "msrp")]
pub use postroad_msrp as msrp;
#[cfg(feature = "taps")]
pub use postroad_taps as taps;

/// The same names without `.await`, for programs without a runtime.
///
/// ```
/// use postroad::blocking::broker::Broker;
/// use postroad::blocking::messaging::Connection;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::builder().listen("amqp://127.0.0.1:0").start()?;
///
/// let connection = Connection::establish(&broker.urls()[0])?;
/// let session = connection.session()?;
/// let sender = session.sender("orders; {create: always}")?;
/// let receiver = session.receiver("orders")?;
/// sender.send("hello")?;
/// let message = receiver.fetch()?;
/// assert_eq!(message.text(), Some("hello"));
/// session.acknowledge(&message)?;
/// connection.close()?;
/// # Ok(()) }
/// ```
#[cfg(feature = "blocking")]
pub mod blocking {
    #[cfg(feature = "broker")]
    pub use postroad_broker::blocking as broker;
    #[cfg(feature = "client")]
    pub use postroad_client::blocking as client;
    #[cfg(feature = "messaging")]
    pub use postroad_messaging::blocking as messaging;
    #[cfg(feature = "taps")]
    pub use postroad_taps::blocking as taps;
}

/// The programs of the README.
#[cfg(all(doctest, feature = "blocking", feature = "broker", feature = "messaging"))]
#[doc = include_str!("../../../README.md")]
pub mod readme {}

/// Guides.
#[cfg(any(doc, doctest))]
pub mod guide {
    #[cfg(all(feature = "container", feature = "broker"))]
    #[doc = include_str!("../../../docs/guide/proton.md")]
    pub mod proton {}
    #[doc = include_str!("../../../docs/guide/qpid-messaging.md")]
    pub mod qpid_messaging {}
    #[cfg(feature = "broker")]
    #[doc = include_str!("../../../docs/guide/reliability.md")]
    pub mod reliability {}
    #[doc = include_str!("../../../docs/guide/transport-services.md")]
    pub mod transport_services {}
}
