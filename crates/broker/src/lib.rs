//! The embedded broker: queues and exchanges in memory behind AMQP 1.0, for tests, tools, the edge and small services.
//!
//! ```
//! use std::time::Duration;
//! use postroad_broker::Broker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), postroad_broker::StartError> {
//! let broker = Broker::builder().queue("orders").listen("amqp://127.0.0.1:0").start().await?;
//! println!("listening on {}", broker.urls()[0]);
//! assert_eq!(broker.queue_stats("orders").map(|stats| stats.ready), Some(0));
//!
//! let cut_off = broker.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(cut_off, 0);
//! # Ok(()) }
//! ```
//!
//! # What it does
//! - Queues: made by the builder, by [`Broker::declare_queue`], on demand (capability `create-on-demand`), for any
//!   name with [`Builder::auto_create`], and dynamic ones with the four lifetime policies of the standard.
//! - Exchanges (direct, topic, fanout, headers; `amq.direct`, `amq.topic`, `amq.fanout` and `amq.match` are there) lead
//!   messages by subject and application properties to the queues that are bound. A topic is a topic exchange.
//! - Subscriptions: a link that receives from an exchange has a queue of its own, or shares one; its filters say what it
//!   gets.
//! - Competing consumers take turns; a source with the distribution mode `copy` browses.
//! - What is not settled when a link or connection ends is delivered again, in its old place, with its
//!   delivery-count raised. The bare message leaves as it came, byte for byte.
//! - Selectors as JMS writes them, and nothing of one's own: consumers and browsers of a queue, and subscriptions, get what
//!   they choose.
//! - Queues with priorities, last values, rings, numbers, times and filters of their own ([`QueueSettings`]).
//! - Messages expire by their `ttl` and `absolute-expiry-time`, and leave with what is left of the ttl.
//! - Dead letters: what is rejected, expires or fails too often goes to another node, annotated, where
//!   [`NodeOptions::dead_letter`] names one.
//! - Transactions: posting, retiring and acquiring in several at once, over any session of a connection; a commit is all
//!   or nothing.
//! - Links whose client asks for it are kept for a while after their detach, session or connection, and are resumed with
//!   what was not settled. Whoever attaches a link that another connection has steals it.
//! - The anonymous terminus routes each message by its `to`.
//! - `$management`: queues, exchanges and bindings are made, read and deleted by requests in messages.
//! - SASL: ANONYMOUS, SCRAM, and over TLS PLAIN, OAUTHBEARER and EXTERNAL. Where somebody is known, nobody is anonymous
//!   unless that is allowed as well.
//! - TCP, Unix sockets (`amqp+unix` URLs) and, with the feature `websocket`, WebSockets (`amqpws` and `amqpwss` URLs).
//! - TLS: on `amqps` URLs, and on `amqp` URLs for clients that ask for it by AMQP's TLS header.
//!
//! # What it never does
//! It keeps nothing on disk: a terminus or node that is to be durable is refused with `amqp:not-implemented`. It
//! never blocks a connection on another: a client that stops reading costs what its credit allows, and a queue
//! that is full withholds credit from its senders. Distributed transactions are refused; filters that are not applied are not
//! told back.
//!
//! The guide, with a table of all limits, is `docs/guide/broker.md`.
//!
//! # Cost
//! One task per connection owns socket and engine; there is no task or channel per link or message. Connections
//! meet at a queue's lock, once for a batch, and wake each other once for a batch.
//!
//! # Frames
//! `POSTROAD_TRACE_FRM=1` in the environment, or Proton's `PN_TRACE_FRM=1`, prints every frame on stderr in Proton's
//! form; a `tracing` subscriber gets them under the target `postroad::frame` at level `TRACE`. Both are looked at when
//! a connection begins, and passwords are left out.

mod alternate;
mod binding_filter;
#[cfg(feature = "blocking")]
pub mod blocking;
mod broker;
mod budget;
mod builder;
mod connections;
mod coordinator;
mod dead_letter;
mod declaration;
mod doors;
mod driver;
mod error;
mod exchange;
mod expiry;
mod filter;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
mod incoming;
mod janitor;
mod limits;
mod link_expiry;
mod link_table;
mod mailbox;
mod management;
mod message;
mod node;
mod node_error;
mod nodes;
mod options;
mod outgoing;
mod passwords;
mod peer;
mod posting;
mod properties;
mod provisional;
mod queue;
mod selector;
mod settings;
mod shared;
mod subscription;
mod suspended;
mod terminus;
mod trace;
mod transaction;

pub use broker::{Broker, TopicStats};
pub use builder::Builder;
pub use error::{QueueError, StartError};
pub use exchange::{ExchangeKind, ExchangeStats};
pub use limits::Limits;
pub use options::{NodeOptions, Overflow};
pub use postroad_amqp::sasl::{TokenRefusal, Tokens, UserFile, UserFileError};
pub use postroad_taps::{BlockingError, ClientCertificates, TlsConfig};
pub use queue::QueueStats;
pub use settings::{LimitPolicy, QueueSettings, SettingsError};

#[doc = include_str!("../../../docs/guide/broker.md")]
#[cfg(any(doc, doctest))]
pub mod guide {}
