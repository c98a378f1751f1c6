//! Unix sockets: streams, sequenced packets, and datagrams.

#[cfg(target_os = "linux")]
pub(crate) mod datagram;
mod file;
#[cfg(target_os = "linux")]
pub(crate) mod seqpacket;

use std::io;
use std::os::unix::net as std_unix;
use std::time::Duration;

use socket2::Type;
use tokio::net::{UnixListener, UnixStream};

use super::{Acceptor, Arrival, Hosting, Leaf, Setting, Stand};
use crate::credentials::PeerCredentials;
use crate::endpoint::{EndpointAddress, UnixAddress};
use crate::error::AttemptError;
use crate::properties::ConnectionProperties;
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::{About, BoxFuture, Established};
use file::{SocketFile, bind};

/// How many clients may wait in the system's queue.
const BACKLOG: i32 = 1024;

/// How long a client waits before it asks again whether there is a place in the listener's queue.
const REST: Duration = Duration::from_millis(5);

/// Connects; on this machine that takes no time, unless the listener's queue is full.
pub(super) async fn connect(leaf: &Leaf, _: &Setting) -> Result<Established, AttemptError> {
    let remote = leaf.remote.unix().ok_or(AttemptError::Transport(io::ErrorKind::InvalidInput))?;
    let opened = async {
        let address = std_unix::SocketAddr::try_from(remote)?.into();
        loop {
            match UnixStream::connect_addr(&address).await {
                // The system does not tell when there is a place.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(REST).await,
                connected => break connected,
            }
        }
    };
    let stream = opened.await.map_err(|error| AttemptError::from_io(&error))?;
    let local = stream.local_addr().map(|address| std_unix::SocketAddr::from(address).into());
    let local = EndpointAddress::Unix(local.unwrap_or(UnixAddress::Unnamed));
    let about = About::new(ProtocolStack::UnixStream, local, leaf.remote.clone());
    Ok(established(stream, about))
}

pub(crate) fn established(stream: UnixStream, mut about: About) -> Established {
    about.credentials = credentials_of(&stream);
    Established::stream(ByteStream::unix(stream, about))
}

/// Who is at the other end, where the system tells.
pub(crate) fn credentials_of(stream: &UnixStream) -> Option<PeerCredentials> {
    let credentials = stream.peer_cred().ok()?;
    Some(PeerCredentials::new(credentials.uid(), credentials.gid(), credentials.pid()))
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
    _file: Option<SocketFile>,
}

pub(super) fn listen(stand: &Stand, _: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let address = stand.local.unix().ok_or(io::ErrorKind::InvalidInput)?;
    let (socket, file) = bind(address, Type::STREAM)?;
    socket.listen(BACKLOG)?;
    let socket = UnixListener::from_std(socket.into())?;
    Ok(Box::new(UnixAcceptor { socket, local: stand.local.clone(), _file: Some(file) }))
}

/// Takes clients in with a socket that listens; whose file it has is another's.
pub(crate) fn listen_on(socket: UnixListener) -> io::Result<Box<dyn Acceptor>> {
    let local = EndpointAddress::Unix(std_unix::SocketAddr::from(socket.local_addr()?).into());
    Ok(Box::new(UnixAcceptor { socket, local, _file: None }))
}

impl Acceptor for UnixAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (stream, peer) = self.socket.accept().await?;
            let peer = EndpointAddress::Unix(std_unix::SocketAddr::from(peer).into());
            let about = About::new(ProtocolStack::UnixStream, self.local.clone(), peer.clone());
            let establish = Box::pin(async move { Ok(established(stream, about)) });
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
