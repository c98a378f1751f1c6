//! The same names without `.await`, for programs without a runtime.
//!
//! ```no_run
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use postroad_messaging::blocking::Connection;
//!
//! let connection = Connection::establish("amqp://localhost")?;
//! let session = connection.session()?;
//! let sender = session.sender("orders; {create: always}")?;
//! let receiver = session.receiver("orders")?;
//! sender.send("hello")?;
//! let message = receiver.fetch()?;
//! session.acknowledge(&message)?;
//! connection.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! Each method blocks as its original waits; where that waits for ever, there is a second method with a timeout. Messages,
//! addresses and errors are those of the async face. What stands behind it, and what happens to handles that go without a
//! close, is told in [`client::blocking`](crate::client::blocking).

mod connection;
mod errors;
mod receiver;
mod sender;
mod session;

pub use connection::{Connection, ConnectionBuilder};
pub use postroad_client::blocking::{BlockingError, ConnectionGuard, Runtime};
pub use receiver::{Iter, Receiver};
pub use sender::Sender;
pub use session::Session;
