//! Transport services (RFC 9621 to 9623): a connection described by what it is for, over whichever transport has that.
//!
//! This crate never interprets what it carries, never spawns a task for a connection over a stream of the system's (the
//! task that calls does the input and output), never sends a byte in clear text that was meant to be protected, and never takes memory
//! because a peer has declared a length.
//!
//! A [`Preconnection`] says whom to reach, how, and what to run on top; it makes a [`Connection`] actively or a
//! [`Listener`] passively. A [`Framer`] turns messages into bytes and back. Everything that can be wrong is found
//! before a socket is opened where that is possible, and told with each attempt that was made where it is not.
//!
//! | protocol stack | feature | |
//! |---|---|---|
//! | TCP, and SOCKS5 and HTTP proxies below it | `tcp` | default |
//! | Multipath TCP | `mptcp` | default; on Linux; brings `tcp` |
//! | TLS over TCP, Multipath TCP and WebSocket | `tls` | default |
//! | Unix sockets: streams, sequenced packets, datagrams | `unix` | default; on Unix, messages on Linux |
//! | named pipes | `pipe` | default; on Windows |
//! | UDP, multicast | `udp` | default |
//! | UDP-Lite | `udp-lite` | default; on Linux |
//! | memory of the process, with faults for tests | `memory` | default |
//! | QUIC streams and datagrams | `quic` | brings `tls` |
//! | WebSocket, plain, and under TLS where there is `tls` | `websocket` | brings `tcp` |
//!
//! What is not built in has its name all the same, and is rejected by it ([`Rejection::NotBuilt`]). Without `tls` a
//! connection that wants security, which is the default, is refused before anything is opened: it has to say
//! [`Security::Disabled`] to be in clear text.
//!
//! Which of them is used is chosen by the [`TransportProperties`], the [`Security`] and the endpoints: candidates are
//! gathered, those that lack something required are left out, the others are ranked and raced (RFC 9623 4).
//! [`Preconnection::candidates`] tells what would be tried.
//!
//! An echo, over the example framer:
//!
//! ```
//! use std::time::Duration;
//! use postroad_taps::{LengthPrefix, LocalEndpoint, Preconnection, Security};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Security is on unless it is switched off.
//! let framed = Preconnection::new().security(Security::Disabled).framer(LengthPrefix::new);
//!
//! let listener = framed.clone().local(LocalEndpoint::host("127.0.0.1")).listen().await?;
//! let address = listener.local_endpoint().clone();
//! let server = tokio::spawn(async move {
//!     let connection = listener.accept().await?.expect("nobody stops the listener");
//!     while let Ok(message) = connection.receive().await {
//!         connection.send(message.data).await?;
//!     }
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(connection.close().await?)
//! });
//!
//! let connection = framed.remote(address).initiate().timeout(Duration::from_secs(5)).await?;
//! connection.send("hello").await?;
//! assert_eq!(&connection.receive().await?.data[..], b"hello");
//! connection.close().await?;
//! # server.await?.map_err(|error| error.to_string())?;
//! # Ok(()) }
//! ```
//!
//! An engine that does its own framing and its own scheduling takes the bytes instead:
//! [`Connection::into_byte_stream`] gives a [`ByteStream`], which reads and writes like any stream of tokio's, with
//! vectored writes, and tells when there is something to read before a buffer is needed.
//!
//! A protocol whose peers agree on TLS in clear text goes on with [`ByteStream::initiate_tls`],
//! [`ByteStream::accept_tls`] and [`ByteStream::accept_tls_where_asked`].
//!
//! The guide, with what replaces what for those who come from sockets or from the original, is
//! `docs/guide/transport-services.md`. With the feature `callback`, the module `callback` has the original's interface.
//!
//! # Departures
//! Where the documentation of the original and RFC 9622 differ, or where this crate differs from both:
//! - Security is on by default (the original's is off). Its opportunistic mode encrypts without authentication, and
//!   never falls back to clear text.
//! - A local endpoint that is a name stands for all its addresses when it listens.
//! - The default capacity profile switches Nagle's algorithm off: a message leaves in one write.
//! - A message longer than 16 MiB is received in parts unless [`Receive::max`] says otherwise (the original has
//!   no maximum).

#![cfg_attr(
    not(all(
        feature = "memory",
        feature = "mptcp",
        feature = "pipe",
        feature = "quic",
        feature = "tcp",
        feature = "tls",
        feature = "udp",
        feature = "udp-lite",
        feature = "unix",
        feature = "websocket",
    )),
    allow(dead_code, reason = "the modules that stacks share have what only some of them use")
)]

mod adopt;
#[cfg(feature = "blocking")]
pub mod blocking;
mod blocking_error;
#[cfg(feature = "callback")]
pub mod callback;
mod connection;
mod credentials;
mod crowd;
mod endpoint;
mod error;
mod framer;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod group;
mod initiate;
mod listener;
mod message;
mod path;
mod preconnection;
mod properties;
mod protocol;
mod race;
mod rendezvous;
mod resolve;
mod selection;
mod stack;
mod stream;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls/absent.rs"]
mod tls;
mod transport;

pub use adopt::AdoptError;
pub use blocking_error::BlockingError;
pub use connection::{
    Batch, BatchError, CloneError, CloneOptions, Connection, ConnectionError, ConnectionState, Event, EventStream,
    IntoByteStreamError, PartialMessage, ReceiveError, ReceiveHalf, ReuniteError, SendError, SendHalf, SoftError,
};
pub use credentials::PeerCredentials;
pub use endpoint::{EndpointAddress, EndpointError, InterfaceId, LocalEndpoint, RemoteEndpoint, UnixAddress};
pub use error::{Attempt, AttemptError, ConfigurationError, EstablishmentError, EstablishmentErrorKind, ListenError};
pub use framer::{Delimiter, FixedLength, Framer, FramerCx, FramerError, LengthPrefix, Parsed, Start, Stop, Tlv};
pub use group::GroupHold;
pub use initiate::Initiate;
pub use listener::{AcceptError, DEFAULT_ESTABLISH_TIMEOUT, Establish, Incoming, Listener};
pub use message::{Ecn, IntoData, Message, MessageContext, MetadataValue, Receive};
pub use path::{Interface, InterfaceAddress, interfaces};
pub use preconnection::Preconnection;
pub use properties::{
    CapacityProfile, ChecksumCoverage, ConnectionProperties, ConnectionProperty, ConnectionStatus, Direction,
    EstablishedProperties, InterfaceSelector, InterfaceType, MessageProperties, MessageProperty, MessagePropertyError,
    Multipath, MultipathPolicy, Preference, Profile, Property, PropertyConflict, PropertyConflicts, PropertyError,
    PropertyValue, PvdSelector, Role, Scheduler, SelectionProperty, TransportProperties, UserTimeout,
};
pub use protocol::{Protocol, ProtocolStack, UnknownProtocol};
pub use rendezvous::Rendezvous;
pub use resolve::{Resolution, ResolutionError, Resolved, Resolver, SrvRecord, UnresolvedReason, order_srv};
pub use selection::{Candidate, CandidateTree, Context, Rejected, Rejection, Support};
#[cfg(feature = "memory")]
pub use stack::memory::{MemoryFaults, MemoryNetwork, MemoryTraffic, MessageFate};
pub use stack::proxy::{Proxy, ProxyError};
#[cfg(feature = "websocket")]
pub use stack::websocket::WebSocketError;
pub use stream::ByteStream;
#[cfg(feature = "tls")]
pub use tls::{
    CipherSuite, ClientCertificates, CryptoProvider, FirstWords, IdentitySigner, IdentityUnavailable, NamedGroup,
    SignatureScheme, TlsConfigBuilder, Untrusted,
};
pub use tls::{Security, TlsConfig, TlsConfigError, TlsError, TlsInfo, TlsVersion};
