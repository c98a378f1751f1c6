//! An AMQP 1.0 peer without I/O (OASIS AMQP 1.0 part 2, with SASL of part 5).
//!
//! A [`Connection`] is driven by five verbs: [`handle_input`](Connection::handle_input) takes bytes,
//! [`poll_transmit`](Connection::poll_transmit) gives bytes, [`poll_event`](Connection::poll_event)
//! gives events, [`poll_timeout`](Connection::poll_timeout) tells when
//! [`handle_timeout`](Connection::handle_timeout) is due. After any call, poll the other three.
//!
//! ```
//! use std::time::Instant;
//! use bytes::BytesMut;
//! use postroad_amqp::v1_0::{Config, Connection, Event, Transmit};
//!
//! let now = Instant::now();
//! let mut client = Connection::client(Config::new("client"), None, now);
//! let mut server = Connection::server(Config::new("server"), None, now);
//! let (mut wire, mut opened) = (Transmit::default(), 0);
//! for _ in 0..2 {
//!     for (from, to) in [(&mut client, &mut server)] {
//!         from.poll_transmit(now, &mut wire);
//!         to.handle_input(now, &mut BytesMut::from(&wire.to_vec()[..]))?;
//!         wire.clear();
//!         to.poll_transmit(now, &mut wire);
//!         from.handle_input(now, &mut BytesMut::from(&wire.to_vec()[..]))?;
//!         wire.clear();
//!     }
//! }
//! while let Some(event) = client.poll_event() {
//!     opened += usize::from(event == Event::Opened);
//! }
//! assert_eq!(opened, 1);
//! # Ok::<(), postroad_amqp::v1_0::ConnectionError>(())
//! ```

mod arena;
mod attach;
mod config;
mod connection;
mod copies;
mod delivery_map;
mod delivery_states;
mod detach;
mod disposition;
mod error;
mod event;
mod fit;
mod flow;
mod frame_trace;
mod handshake;
mod input;
mod link;
mod link_state;
mod output;
mod receiver;
mod resolve;
mod resume;
mod send_log;
mod sender;
mod session;
mod tls_header;
mod transfer;
mod transmit;
mod unsettled_map;

pub use config::Config;
pub use connection::Connection;
pub use delivery_states::DeliveryStates;
pub use error::{ConnectionError, LimitError, SendError};
pub use event::{Event, LinkId, SessionId, Update};
pub use frame_trace::{FrameTrace, frame_trace_asked};
pub use handshake::{ClientSasl, ServerSasl};
pub use link::{Delivery, LinkTerms};
pub use link_state::{LinkState, Unsettled};
pub use receiver::ReceiverMut;
pub use sender::{Message, SenderMut};
pub use tls_header::{asks_for_tls, tls_answer};
pub use transmit::Transmit;
