//! A socket of a kind that the runtime has no type for, such as those for sequenced packets of Unix.

use std::io;
use std::task::{Context, Poll};

use socket2::Socket;
use tokio::io::Interest;

/// A socket that is registered with the tokio runtime in which it was made.
///
/// tokio's own `AsyncFd` lets its owner put another descriptor in its place, so newer releases call making one unsafe or
/// deprecated. This one is only ever shared, and owns its descriptor for as long as that is registered.
#[derive(Debug)]
pub struct AsyncSocket {
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
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { registered: register(socket)? })
    }

    /// Returns the socket. What is done with it does not wait.
    pub fn get_ref(&self) -> &Socket {
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
    pub async fn async_io<R>(&self, interest: Interest, mut io: impl FnMut(&Socket) -> io::Result<R>) -> io::Result<R> {
        self.registered.async_io(interest, |socket| io(socket)).await
    }

    /// [`async_io`](Self::async_io) for reading, as a poll. One task at a time is woken.
    ///
    /// # Errors
    ///
    /// As those of [`async_io`](Self::async_io).
    pub fn poll_read_io<R>(
        &self,
        cx: &mut Context<'_>,
        mut io: impl FnMut(&Socket) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let mut ready = std::task::ready!(self.registered.poll_read_ready(cx))?;
            if let Ok(done) = ready.try_io(|registered| io(registered.get_ref())) {
                return Poll::Ready(done);
            }
        }
    }

    /// [`async_io`](Self::async_io) for writing, as a poll. One task at a time is woken.
    ///
    /// # Errors
    ///
    /// As those of [`async_io`](Self::async_io).
    pub fn poll_write_io<R>(
        &self,
        cx: &mut Context<'_>,
        mut io: impl FnMut(&Socket) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let mut ready = std::task::ready!(self.registered.poll_write_ready(cx))?;
            if let Ok(done) = ready.try_io(|registered| io(registered.get_ref())) {
                return Poll::Ready(done);
            }
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for AsyncSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.get_ref().as_fd()
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

    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Never>> {
        match *self {}
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<Never>> {
        match *self {}
    }
}

#[cfg(not(unix))]
enum Never {}

#[cfg(not(unix))]
impl Never {
    fn try_io<R>(&mut self, _: impl FnOnce(&Registered) -> io::Result<R>) -> Result<io::Result<R>, ()> {
        match *self {}
    }
}
