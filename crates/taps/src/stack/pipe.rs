//! Named pipes of Windows: streams of bytes inside one machine.
//!
//! A pipe has no half-close: the peer sees the end when the connection is dropped.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};
use tokio::sync::Mutex;

use super::{Acceptor, Arrival, Leaf, Stand};
use crate::endpoint::{EndpointAddress, PIPES};
use crate::error::AttemptError;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stream::{ByteStream, StreamTransport};
use crate::transport::{About, BoxFuture, Established};

/// Every instance of the pipe has a client.
const ERROR_PIPE_BUSY: i32 = 231;

/// The client of an instance has gone before it was taken in.
const ERROR_NO_DATA: i32 = 232;

/// How long a client waits before it asks again whether an instance is free.
const REST: Duration = Duration::from_millis(5);

/// Connects. That takes no time, unless the listener has not made an instance for the next client yet.
pub(super) async fn connect(leaf: &Leaf) -> Result<Established, AttemptError> {
    let path = path(&leaf.remote).map_err(|error| AttemptError::from_io(&error))?;
    let client = loop {
        match ClientOptions::new().open(&path) {
            // The system does not tell when there is one.
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY) => tokio::time::sleep(REST).await,
            opened => break opened.map_err(|error| AttemptError::from_io(&error))?,
        }
    };
    Ok(established(client, &leaf.remote))
}

/// Both ends have the name of the pipe.
fn established(pipe: impl Pipe + 'static, name: &EndpointAddress) -> Established {
    let about = About::new(ProtocolStack::NamedPipe, name.clone(), name.clone());
    Established::stream(ByteStream::other(Box::new(PipeStream(pipe)), about))
}

fn path(address: &EndpointAddress) -> io::Result<String> {
    match address {
        EndpointAddress::Pipe(name) => Ok(format!("{PIPES}{name}")),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Begins to listen. Nobody else may make instances of the pipe, and clients of other machines are refused.
pub(super) fn listen(stand: &Stand) -> io::Result<Box<dyn Acceptor>> {
    let path = path(&stand.local)?;
    let first = ServerOptions::new().first_pipe_instance(true).create(&path);
    // Somebody else has one of that name.
    let first = first.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => io::ErrorKind::AddrInUse.into(),
        _ => error,
    })?;
    Ok(Box::new(PipeAcceptor { path, local: stand.local.clone(), next: Mutex::new(first) }))
}

#[derive(Debug)]
struct PipeAcceptor {
    path: String,
    local: EndpointAddress,
    /// The instance for the next client.
    next: Mutex<NamedPipeServer>,
}

impl PipeAcceptor {
    /// A client that has come stays with its instance until there is one for the next.
    async fn take(&self) -> io::Result<NamedPipeServer> {
        let mut next = self.next.lock().await;
        loop {
            match next.connect().await {
                Err(error) if error.raw_os_error() == Some(ERROR_NO_DATA) => next.disconnect()?,
                connected => break connected?,
            }
        }
        let fresh = ServerOptions::new().create(&self.path)?;
        Ok(std::mem::replace(&mut next, fresh))
    }
}

impl Acceptor for PipeAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let established = established(self.take().await?, &self.local);
            let establish = Box::pin(std::future::ready(Ok(established)));
            Ok(Arrival { peer: self.local.clone(), establish })
        })
    }

    fn stack(&self) -> ProtocolStack {
        ProtocolStack::NamedPipe
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

/// One end of a pipe.
trait Pipe: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Pipe for NamedPipeClient {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_write_ready(self, cx)
    }
}

impl Pipe for NamedPipeServer {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_write_ready(self, cx)
    }
}

#[derive(Debug)]
struct PipeStream<P>(P);

impl<P: Pipe> StreamTransport for PipeStream<P> {
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    /// A pipe has none of the properties of a network.
    fn apply(&mut self, _: &ConnectionProperties, _: &ConnectionProperties) -> io::Result<()> {
        Ok(())
    }
}

impl<P: Pipe> AsyncRead for PipeStream<P> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(cx, buffer) {
            // The other end is closed, and everything has been read.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl<P: Pipe> AsyncWrite for PipeStream<P> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
