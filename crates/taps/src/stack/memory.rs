//! Memory of this process as a transport: a stream of bytes or messages, between two ends that know a name.
//!
//! Nothing leaves the process and nothing depends on the network, so a test that runs in virtual time runs the same way
//! every time. A [`MemoryNetwork`] makes the ways to a name as bad as a test wants them.

mod conditions;
mod faults;
mod messages;
mod stream;
mod wire;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::{Acceptor, Arrival, Hosting, Leaf, Stand};
use crate::endpoint::EndpointAddress;
use crate::error::AttemptError;
use crate::protocol::ProtocolStack;
use crate::stream::ByteStream;
use crate::transport::{About, BoxFuture, Established};
use conditions::conditions_at;
use messages::MessageEnd;
use stream::StreamEnd;
use wire::{End, wire};

pub use conditions::{MemoryNetwork, MemoryTraffic};
pub use faults::{MemoryFaults, MessageFate};

/// How many clients may wait for a listener before the next one waits to be heard.
const BACKLOG: usize = 128;

/// Who listens.
static DOORS: LazyLock<Mutex<Doors>> = LazyLock::new(Mutex::default);

/// Listeners by the name and the kind of transport.
type Doors = HashMap<(Arc<str>, Kind), Door>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Stream,
    Messages,
}

impl Kind {
    fn of(stack: ProtocolStack) -> io::Result<Self> {
        match stack {
            ProtocolStack::MemoryStream => Ok(Self::Stream),
            ProtocolStack::MemoryMessage => Ok(Self::Messages),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// The way to a listener.
#[derive(Debug, Clone)]
struct Door {
    clients: mpsc::Sender<Client>,
    /// How many have come, to name them.
    count: Arc<AtomicU64>,
}

/// The listener's end of a connection.
#[derive(Debug)]
struct Client {
    end: End,
    about: About,
}

fn doors() -> MutexGuard<'static, Doors> {
    // Nothing that can panic happens under the lock.
    DOORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects to whoever listens under the name.
pub(super) async fn connect(leaf: &Leaf) -> Result<Established, AttemptError> {
    let wrong = || AttemptError::Transport(io::ErrorKind::InvalidInput);
    let EndpointAddress::Memory(name) = &leaf.remote else { return Err(wrong()) };
    let kind = Kind::of(leaf.stack).map_err(|_| wrong())?;
    let conditions = conditions_at(name);
    if let Some(conditions) = &conditions {
        conditions.admit().await?;
    }
    let door = doors().get(&(Arc::clone(name), kind)).cloned().ok_or(AttemptError::Refused)?;
    let place = door.clients.reserve().await.map_err(|_| AttemptError::Refused)?;
    let count = door.count.fetch_add(1, Ordering::Relaxed) + 1;
    let local = match &leaf.local {
        Some(EndpointAddress::Memory(local)) => Arc::clone(local),
        _ => format!("{name}#{count}").into(),
    };
    let (ours, theirs) = wire(conditions);
    let (local, remote) = (EndpointAddress::Memory(local), EndpointAddress::Memory(Arc::clone(name)));
    place.send(Client { end: theirs, about: About::new(leaf.stack, remote.clone(), local.clone()) });
    Ok(established(ours, About::new(leaf.stack, local, remote)))
}

fn established(end: End, about: About) -> Established {
    if about.stack == ProtocolStack::MemoryStream {
        Established::stream(ByteStream::other(Box::new(StreamEnd::new(end)), about))
    } else {
        Established::messages(Box::new(MessageEnd::new(end)), about)
    }
}

/// One who listens under a name.
#[derive(Debug)]
struct MemoryAcceptor {
    clients: tokio::sync::Mutex<mpsc::Receiver<Client>>,
    stack: ProtocolStack,
    local: EndpointAddress,
}

/// Begins to listen. A name has one listener of each kind.
pub(super) fn listen(stand: &Stand, _: &Hosting) -> io::Result<Box<dyn Acceptor>> {
    let EndpointAddress::Memory(name) = &stand.local else { return Err(io::ErrorKind::InvalidInput.into()) };
    let kind = Kind::of(stand.stack)?;
    let (clients, receiver) = mpsc::channel(BACKLOG);
    let mut doors = doors();
    if doors.contains_key(&(Arc::clone(name), kind)) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    doors.insert((Arc::clone(name), kind), Door { clients, count: Arc::default() });
    Ok(Box::new(MemoryAcceptor {
        clients: tokio::sync::Mutex::new(receiver),
        stack: stand.stack,
        local: stand.local.clone(),
    }))
}

impl Acceptor for MemoryAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async {
            // The other half of the channel lives as long as this acceptor.
            let client = self.clients.lock().await.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            let Client { end, about } = client;
            let peer = about.remote.clone();
            Ok(Arrival { peer, establish: Box::pin(async move { Ok(established(end, about)) }) })
        })
    }

    fn stack(&self) -> ProtocolStack {
        self.stack
    }

    fn local(&self) -> &EndpointAddress {
        &self.local
    }
}

impl Drop for MemoryAcceptor {
    fn drop(&mut self) {
        if let (EndpointAddress::Memory(name), Ok(kind)) = (&self.local, Kind::of(self.stack)) {
            doors().remove(&(Arc::clone(name), kind));
        }
    }
}

#[cfg(test)]
mod tests;
