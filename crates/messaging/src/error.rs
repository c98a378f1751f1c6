//! What can go wrong, by operation, in the original's taxonomy. Each wider level is the source of the narrower one.

mod address;
mod connection;
mod fetch;
mod link;
mod send;
mod session;
mod transaction;

pub use address::AddressError;
pub use connection::{ConnectError, ConnectionError};
pub use fetch::FetchError;
pub use link::LinkError;
pub use send::{SendError, SinkError, SyncError};
pub use session::SessionError;
pub use transaction::TransactionError;
