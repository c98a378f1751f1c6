//! Listening: a connection for each name that a datagram has come from.
//!
//! One task reads from the socket for as long as the listener or one of its connections lives. All who send without a
//! name are one peer, which cannot be answered.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockAddr, Type};
use tokio::task::AbortHandle;

use super::accepted::Accepted;
use super::{Datagram, Socket, endpoint};
use crate::crowd::Crowd;
use crate::endpoint::{EndpointAddress, UnixAddress};
use crate::message::MessageContext;
use crate::properties::{Preference, SelectionProperty};
use crate::protocol::ProtocolStack;
use crate::stack::peers::{Overflow, Peers};
use crate::stack::unix::file::{SocketFile, bind};
use crate::stack::{Acceptor, Arrival, Hosting, Stand};
use crate::transport::{About, Arrived, BoxFuture, Established};

/// How many datagrams the task takes in before it lets others run.
const BATCH: usize = 64;

/// How long the task rests when the socket fails.
const REST: Duration = Duration::from_millis(50);

/// Begins to listen.
pub(crate) fn listen(stand: &Stand, hosting: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let address = stand.local.unix().ok_or(io::ErrorKind::InvalidInput)?;
    let (socket, file) = bind(address, Type::DGRAM)?;
    let reliable = hosting.properties.preference(SelectionProperty::Reliability) > Preference::Ignore;
    let overflow = if reliable { Overflow::Wait } else { Overflow::Drop };
    let hub = Arc::new(Hub::start(Socket::new(socket, None)?, overflow));
    Ok(Box::new(DatagramAcceptor { hub, local: stand.local.clone(), _file: file }))
}

/// A socket for many; its task ends when this is dropped.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    socket: Socket,
    peers: Peers<SockAddr>,
    /// Those who wait to send.
    senders: Arc<Crowd>,
}

impl Hub {
    fn start(socket: Socket, overflow: Overflow) -> Self {
        let shared = Arc::new(Shared { socket, peers: Peers::new(overflow), senders: Arc::default() });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.shared.socket
    }

    pub(super) fn peers(&self) -> &Peers<SockAddr> {
        &self.shared.peers
    }

    /// Ready when the socket itself may take another message.
    pub(super) fn poll_send_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        // The socket keeps the waker of one who waits.
        let everybody = self.shared.senders.join(cx.waker());
        self.shared.socket.socket.poll_send_ready(&mut Context::from_waker(&everybody))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        shared.peers.room().await;
        // It fails when the runtime ends.
        if shared.socket.socket.readable().await.is_err() {
            return;
        }
        match shared.take_in() {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It was too long, and is gone.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

impl Shared {
    fn take_in(&self) -> io::Result<()> {
        for _ in 0..BATCH {
            if !self.peers.has_room() {
                break;
            }
            let Datagram { data, from } = self.socket.receive()?;
            self.peers.deliver(from, Arrived::Message(data, MessageContext::default()));
        }
        Ok(())
    }
}

/// A socket that waits for first datagrams, and hands out those that follow; its file goes when it does.
#[derive(Debug)]
struct DatagramAcceptor {
    hub: Arc<Hub>,
    local: EndpointAddress,
    _file: SocketFile,
}

impl Acceptor for DatagramAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            let (id, key) = self.hub.peers().next().await;
            let peer = endpoint(&key);
            let mut about = About::new(ProtocolStack::UnixDatagram, self.local.clone(), peer.clone());
            about.can_send = peer.unix().is_some_and(|peer| *peer != UnixAddress::Unnamed);
            // From here on a dropped client frees its place in the table.
            let accepted = Accepted::new(Arc::clone(&self.hub), id, key);
            let established = Established::messages(Box::new(accepted), about);
            Ok(Arrival { peer, establish: Box::pin(std::future::ready(Ok(established))) })
        })
    }

    fn stack(&self) -> ProtocolStack {
        ProtocolStack::UnixDatagram
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

impl Drop for DatagramAcceptor {
    fn drop(&mut self) {
        self.hub.peers().stop();
    }
}
