//! The interface of the original, with handlers that are called back, over the async one.
//!
//! [`initiate`](Preconnection::initiate), [`listen`](Preconnection::listen) and everything on a connection return at
//! once; what comes of them is told to handlers. Handlers run on one thread, one at a time, while the loop of that
//! thread runs: [`Preconnection::start`] runs it for a program without a runtime, and [`run`] inside one. The names are
//! those of the original in snake case; where it has `None` for a handler, `|_, _| {}` does.
//!
//! A handler may call anything on the connection that it is given, or on others: nothing is called back before it has
//! returned. A handler that panics ends the loop with its panic.
//!
//! - Each [`send`](Connection::send) that was taken is told once: that it was sent, has expired, or why it was not.
//! - Nothing is told before Ready. Nothing is told after the last event, Closed or ConnectionError, which waits for all
//!   others.
//! - A connection that nobody has a handle of, and on which nothing is under way, is closed.
//! - Handlers stay as long as the connection. One that keeps a handle of its own connection keeps it open until it is
//!   closed.
//!
//! # Departures
//! - `start` ends when nothing is left to do; the original's never does.
//! - A framer is given as a function that makes one, for each attempt to connect has a framer of its own.
//! - `send` and `receive` say whether they were taken: after the last event nothing is, and no handler is called.
//! - `clone` is [`clone_connection`](Connection::clone_connection): the clone of a handle is another handle.
//! - Without `max_length`, at most [`Receive::DEFAULT_MAX`](crate::Receive::DEFAULT_MAX) bytes come at once.
//!
//! # Example
//! An echo, and the program that asks it:
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use postroad_taps::callback::{Connection, Preconnection};
//! use postroad_taps::{LengthPrefix, LocalEndpoint, RemoteEndpoint};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let local = LocalEndpoint::host("127.0.0.1");
//! let mut server = Preconnection::new(Some(local), None, None, false, || eprintln!("unfulfilled"));
//! server.add_framer(LengthPrefix::new);
//! let listener = server.listen();
//! listener.handle_connection_received(|connection| {
//!     let echo = |connection: &Connection, message: postroad_taps::callback::MessageDataObject, _, _, _| {
//!         connection.send(message.data, |_, _| {}, None, true);
//!         connection.close();
//!     };
//!     connection.receive(echo, None, None);
//! });
//!
//! let echoed = Rc::new(Cell::new(false));
//! let seen = Rc::clone(&echoed);
//! listener.handle_state_listening(move |listener| {
//!     let port = listener.local_endpoint().and_then(|address| address.ip()).map_or(0, |address| address.port());
//!     let remote = RemoteEndpoint::host("127.0.0.1").port(port);
//!     let mut client = Preconnection::new(None, Some(remote), None, false, || {});
//!     client.add_framer(LengthPrefix::new);
//!     let (seen, listener) = (Rc::clone(&seen), listener.clone());
//!     client.initiate(None).handle_state_ready(move |connection| {
//!         connection.send("hello", |_, error| assert_eq!(error, None), None, true);
//!         let received = move |connection: &Connection, message: postroad_taps::callback::MessageDataObject, _, _, _| {
//!             seen.set(&message.data[..] == b"hello" && message.length == 5);
//!             connection.close();
//!             listener.stop();
//!         };
//!         connection.receive(received, None, None);
//!     });
//! });
//! server.start()?;
//! assert!(echoed.get());
//! # Ok(()) }
//! ```

mod connection;
mod event_loop;
mod listener;
mod parts;
mod preconnection;
mod reason;
mod shared;

pub use connection::{Connection, ConnectionInfo, MessageDataObject, Properties};
pub use event_loop::{run, stop};
pub use listener::Listener;
pub use preconnection::Preconnection;
pub use reason::{ListenErrorReasons, SendErrorReason};
