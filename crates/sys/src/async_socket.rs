//! A socket of a kind that the runtime has no type for, such as those of netlink.

use std::io;

use socket2::Socket;
use tokio::io::Interest;

/// A socket that is registered with the tokio runtime in which it was made.
///
/// tokio's own `AsyncFd` lets its owner put another descriptor in its place, so newer releases call making one unsafe or
/// deprecated. This one is only ever shared, and owns its descriptor for as long as that is registered.
#[derive(Debug)]
pub(crate) struct AsyncSocket {
    registered: Registered,
}

impl AsyncSocket {
    /// Makes the socket nonblocking and registers it.
    ///
    /// # Errors
    ///
    /// What the system says; [`Unsupported`](io::ErrorKind::Unsupported) where it is not Unix.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { registered: register(socket)? })
    }

    /// Returns the socket. What is done with it does not wait.
    pub(crate) fn get_ref(&self) -> &Socket {
        self.registered.get_ref()
    }

    /// Does some I/O when the socket is ready for it, and again as long as that says
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// # Errors
    ///
    /// What `io` says, or the runtime when it shuts down.
    ///
    /// # Cancel safety
    ///
    /// Where the future is dropped before it is ready, `io` has not been called or has only said `WouldBlock`.
    pub(crate) async fn async_io<R>(
        &self,
        interest: Interest,
        mut io: impl FnMut(&Socket) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registered.async_io(interest, |socket| io(socket)).await
    }
}

#[cfg(unix)]
type Registered = tokio::io::unix::AsyncFd<Socket>;

#[cfg(unix)]
#[allow(
    deprecated,
    reason = "what it asks for holds: the socket is neither replaced nor closed while it is registered"
)]
fn register(socket: Socket) -> io::Result<Registered> {
    Registered::new(socket)
}

/// Nothing on this system: no value of it can be made.
#[cfg(not(unix))]
#[derive(Debug)]
enum Registered {}

#[cfg(not(unix))]
fn register(_: Socket) -> io::Result<Registered> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
impl Registered {
    fn get_ref(&self) -> &Socket {
        match *self {}
    }

    async fn async_io<R>(&self, _: Interest, _: impl FnMut(&Socket) -> io::Result<R>) -> io::Result<R> {
        match *self {}
    }
}
