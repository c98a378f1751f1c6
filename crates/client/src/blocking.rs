//! The same names without `.await`, for programs without a runtime.
//!
//! ```no_run
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use postroad_client::blocking::Connection;
//! use postroad_client::{ConnectOptions, Message, Node};
//!
//! let connection = Connection::open(ConnectOptions::new("amqp://localhost".parse()?))?;
//! let session = connection.session()?;
//! let sender = session.sender(Node::at("orders"))?;
//! sender.send(&Message::from("hello"))?;
//! connection.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! Each method blocks as its original waits, and no longer. Where an original waits for ever, there is a second method
//! with a timeout: what takes something gives `None` when the time is over (`receive_timeout`), what gives something away
//! an error (`send_timeout`). Options, errors, messages and the [`Settler`](crate::Settler) are those of the async
//! client.
//!
//! # The thread behind it
//! All connections and acceptors of the process share one thread, which reads, writes and keeps time. It starts with the
//! first and ends with the last. Handing over a message does not switch to it: [`Sender::submit`] writes into the
//! connection's output and wakes the thread only where it sleeps, so one wake serves many messages.
//!
//! # Threads
//! Every type is `Send`. All but receivers, readers and writers can be used by several threads at once; connections and
//! sessions are cloned for that, senders are shared.
//!
//! # Inside an async runtime
//! A task must not block: its calls end in `Blocking(BlockingError::InsideRuntime)` of their error type, and nothing has
//! happened. The threads of `spawn_blocking` may call.
//!
//! # When handles go
//! A dropped transaction is rolled back, a dropped link detached, a dropped session ended, and with its last handle a
//! connection is closed, in this order and behind everything that was handed over. Whoever drops the last handle waits
//! until the peer has answered, for the close timeout at most: a program may end without a close and loses nothing that
//! it has sent or settled. (A task of an async runtime does not wait there. Handles in a `static` are never dropped, nor
//! is anything by [`std::process::exit`]: call [`Connection::close`].)

mod acceptor;
mod cbs;
mod connection;
mod errors;
mod events;
mod guard;
mod management;
mod receiver;
mod requester;
mod sender;
mod session;
mod streaming;
mod transaction;

pub use acceptor::{Acceptor, Incoming, IncomingConnection, IncomingLink};
pub use cbs::Cbs;
pub use connection::Connection;
pub use events::ConnectionEvents;
pub use guard::ConnectionGuard;
pub use management::Management;
pub use postroad_taps::blocking::{BlockingError, Guard, Runtime, TimedOut, Wrap, mirror};
pub use receiver::{Iter, Receiver};
pub use requester::Requester;
pub use sender::{Sender, Settlement};
pub use session::Session;
pub use streaming::{MessageReader, MessageWriter, StreamingReceiver};
pub use transaction::{Transaction, TransactionController};
