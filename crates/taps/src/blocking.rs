//! Blocking calls, for programs without a runtime.
//!
//! Connections need somebody who reads, writes and keeps time while the program does something else. Here that is one
//! thread: it starts with the first call that needs it, all connections and listeners of the process share it, and it
//! ends with the last of them. A future is polled by the thread that waits for it; what is ready at once costs no switch
//! of threads.
//!
//! ```
//! use postroad_taps::blocking::Runtime;
//! use postroad_taps::{LocalEndpoint, Preconnection, Security};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::shared()?;
//! let plain = Preconnection::new().security(Security::Disabled);
//! let listener = runtime.run(plain.clone().local(LocalEndpoint::host("127.0.0.1")).listen())??;
//! let connection = runtime.run(plain.remote(listener.local_endpoint()).initiate().into_future())??;
//! runtime.run(connection.close())??;
//! # Ok(()) }
//! # use std::future::IntoFuture as _;
//! ```
//!
//! A call by a task of an async runtime would stop that runtime: it is refused with [`BlockingError::InsideRuntime`]. Threads
//! that may block, such as those of `spawn_blocking`, are free to call.

mod inside;
mod mirror;
mod park;
mod runtime;

pub use crate::BlockingError;
pub use crate::mirror;
#[cfg(feature = "callback")]
pub(crate) use inside::inside_runtime;
pub use mirror::{Guard, TimedOut, Wrap};
pub use runtime::Runtime;
