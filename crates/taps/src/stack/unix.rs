//! Unix stream sockets.

use std::io;
use std::os::unix::net as std_unix;

use tokio::net::{UnixListener, UnixStream};

use super::{Acceptor, Arrival, Hosting, Leaf, Setting, Stand};
use crate::endpoint::{EndpointAddress, UnixAddress};
use crate::error::AttemptError;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::{About, BoxFuture, Established};

/// Connects; on this machine that takes no time, unless the listener's queue is full.
pub(super) async fn connect(leaf: &Leaf, _: &Setting) -> Result<Established, AttemptError> {
    let remote = leaf.remote.unix().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
    let opened = async {
        let address = std_unix::SocketAddr::try_from(remote)?;
        UnixStream::connect_addr(&address.into()).await
    };
    let stream = opened.await.map_err(|error| AttemptError::from_io(&error))?;
    let local = stream.local_addr().map(|address| std_unix::SocketAddr::from(address).into());
    let local = EndpointAddress::Unix(local.unwrap_or(UnixAddress::Unnamed));
    let about = About::new(ProtocolStack::UnixStream, local, leaf.remote.clone());
    Ok(Established::stream(ByteStream::unix(stream, about)))
}

/// A Unix socket has none of the properties of a network.
pub(crate) fn apply(_: &ConnectionProperties, _: &ConnectionProperties) -> io::Result<()> {
    Ok(())
}

/// A socket that listens; its file goes when it does.
#[derive(Debug)]
struct UnixAcceptor {
    socket: UnixListener,
    local: EndpointAddress,
}

pub(super) fn listen(stand: &Stand, _: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let address = stand.local.unix().ok_or(io::ErrorKind::InvalidInput)?;
    let socket = std_unix::UnixListener::bind_addr(&address.try_into()?)?;
    socket.set_nonblocking(true)?;
    Ok(Box::new(UnixAcceptor { socket: UnixListener::from_std(socket)?, local: stand.local.clone() }))
}

impl Acceptor for UnixAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (stream, peer) = self.socket.accept().await?;
            let peer = EndpointAddress::Unix(std_unix::SocketAddr::from(peer).into());
            let about = About::new(ProtocolStack::UnixStream, self.local.clone(), peer.clone());
            let establish = Box::pin(async move { Ok(Established::stream(ByteStream::unix(stream, about))) });
            Ok(Arrival { peer, establish })
        })
    }

    fn stack(&self) -> ProtocolStack {
        ProtocolStack::UnixStream
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

impl Drop for UnixAcceptor {
    fn drop(&mut self) {
        if let Some(path) = self.local.unix().and_then(UnixAddress::as_path) {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}
