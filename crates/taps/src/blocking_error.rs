//! Why a blocking call was not made.

use std::io;

/// Why a blocking call was not made. Nothing has happened: neither was anything handed over nor anything taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// The call was made by a task of an async runtime, whose thread must not block.
    #[error("a blocking call inside an async runtime")]
    InsideRuntime,
    /// The thread that drives connections could not be started.
    #[error("cannot start the thread that drives connections: {0}")]
    NoRuntime(io::ErrorKind),
}

impl BlockingError {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InsideRuntime => {
                "await the async form of the call, or make it on a thread of its own, as in tokio's `spawn_blocking`"
            }
            Self::NoRuntime(_) => "look at the limits of the process for threads and open files",
        }
    }
}
