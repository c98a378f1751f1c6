//! The qpid.messaging face: connections, sessions, senders and receivers, and nodes named by address strings.
//!
//! This crate never touches a socket and knows no protocol: it gives the names, the defaults and the errors of the
//! original to what `postroad-client` does.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use postroad_messaging::Connection;
//!
//! let connection = Connection::establish("amqp://localhost").await?;
//! let session = connection.session().await?;
//! let sender = session.sender("orders; {create: always}").await?;
//! let receiver = session.receiver("orders").await?;
//! sender.send("hello").await?;
//! let message = receiver.fetch().await?;
//! session.acknowledge(&message).await?;
//! connection.close().await?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "blocking")]
pub mod blocking;
mod builder;
mod connection;
mod content;
mod echoing;
mod error;
mod filters;
mod given;
mod link_options;
mod linking;
mod node_types;
mod properties;
mod receiver;
mod resolve;
mod sender;
mod session;
mod settings;
mod sink;
mod stream;
mod threshold;
mod undo;

pub use postroad_address as address;
pub use postroad_address::{ConnectionOptions, Protocol, Transport};
pub use postroad_client as client;
pub use postroad_client::Outcome as Disposition;
pub use postroad_client::TransactionState;
pub use postroad_client::{
    BlockingError, Message, TlsConfig, TlsConfigBuilder, TlsConfigError, TlsMode, ToSend, types,
};

pub use builder::ConnectionBuilder;
pub use connection::Connection;
pub use content::{Content, ContentError, MessageExt};
pub use error::{
    AddressError, ConnectError, ConnectionError, FetchError, LinkError, SendError, SessionError, SinkError, SyncError,
    TransactionError,
};
pub use link_options::{ReceiverOptions, SenderOptions};
pub use receiver::Receiver;
pub use resolve::{Resolution, resolve};
pub use sender::Sender;
pub use session::Session;
pub use settings::Settings;

/// The capacity that sets no bound.
pub const UNLIMITED: u32 = u32::MAX;
