//! Typed links over AMQP: connections that drive themselves, and senders and receivers on them.
//!
//! This crate never parses an address string and has no name of a face: `postroad-messaging` and
//! others put their names and defaults on top. Everything a peer can do to a waiting call ends in a
//! typed error; nothing that was handed over is lost silently.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use postroad_client::{Connection, ConnectOptions, Message, Node};
//!
//! let connection = Connection::open(ConnectOptions::new("amqp://localhost".parse()?)).await?;
//! let session = connection.session().await?;
//! let sender = session.sender(Node::at("orders")).await?;
//! sender.send(&Message::from("hello")).await?;
//! connection.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Transactions: [`Session::transaction_controller`].
//!
//! `POSTROAD_TRACE_FRM=1` in the environment, or Proton's `PN_TRACE_FRM=1`, prints every frame on stderr in Proton's
//! form, without passwords. The environment is read when the first connection begins.

mod abort;
mod acceptor;
mod again;
#[cfg(feature = "blocking")]
pub mod blocking;
mod cbs;
mod connection;
mod control;
mod controller;
mod delivery;
mod detached;
mod disposition;
mod doubt;
mod driver;
mod endpoint;
mod error;
mod event;
mod failure;
#[cfg(test)]
mod fake;
mod heard;
mod incoming;
mod keeping;
mod link;
mod link_table;
mod management;
mod message;
mod moved;
mod node;
mod open;
mod options;
mod outcome;
mod passwords;
mod protocol;
mod query;
mod reader;
mod receiver;
mod reconnect;
mod recovery;
mod redirect;
mod requester;
pub mod sasl;
mod sender;
mod session;
mod shared_receiver;
mod sink;
mod state;
mod stream;
mod supervisor;
mod tag;
mod teardown;
mod tls_header;
mod to_send;
mod told;
mod trace;
mod transacted;
mod transaction;
mod unacknowledged;
mod v1_0;
mod wait;
mod writer;

pub use acceptor::{AcceptError, AcceptOptions, Acceptor, IncomingConnection};
pub use cbs::{Cbs, CbsError, CbsOptions, Token, TokenError, TokenFuture, TokenProvider};
pub use connection::Connection;
pub use controller::TransactionController;
pub use disposition::{Origin, Settler};
pub use doubt::InDoubt;
pub use endpoint::{EndpointState, EndpointStates};
pub use error::{
    AttachError, ConnectError, ConnectionError, LinkError, ReceiveError, SendError, SinkError, SyncError,
    TransactionError,
};
pub use event::{ConnectionEvent, ConnectionEvents};
pub use incoming::{Incoming, IncomingLink};
pub use link_table::{ExpiredLink, KeepLinks};
pub use management::{Binding, Management, ManagementError, NodeKind};
pub use message::Message;
pub use node::{Distribution, Expiry, Guarantee, LinkOptions, Node};
pub use open::OpenDelivery;
pub use options::{ConnectOptions, TlsMode};
pub use outcome::Outcome;
pub use postroad_amqp::sasl::Secret;
pub use postroad_taps::{
    BlockingError, CapacityProfile, ClientCertificates, CryptoProvider, EndpointAddress, EstablishmentError,
    ListenError, LocalEndpoint, Security, TlsConfig, TlsConfigBuilder, TlsConfigError, TlsInfo,
};
pub use reader::{MessageReader, StreamingReceiver};
pub use receiver::{Part, Receiver, Taken};
pub use reconnect::Reconnect;
pub use recovery::Recovery;
pub use redirect::{Redirect, RedirectCredentials, RedirectError, RedirectScope};
pub use requester::{RequestError, RequestOptions, Requester};
pub use sender::{Sender, Settlement};
pub use session::Session;
pub use shared_receiver::SharedReceiver;
pub use to_send::ToSend;
pub use told::{SenderNews, Ticket, Told};
pub use transacted::{Provisional, Transacted, TransactionState};
pub use transaction::Transaction;
pub use writer::MessageWriter;

/// The types that values, properties and errors are made of.
pub mod types {
    pub use bytes::Bytes;
    pub use postroad_codec::v1_0::{
        Annotations, Array, Body, ByteString, Decimal32, Decimal64, Decimal128, DecodeError, DeliveryTag, Described,
        Error as PeerError, ErrorCondition, Fields, Map, MessageId, Role, Symbol, Timestamp, Uuid, Value, ValueType,
    };
}
