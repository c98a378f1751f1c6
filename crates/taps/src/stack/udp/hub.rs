//! The socket that a listener and its connections share, and the task that takes in what arrives on it.
//!
//! The task runs for as long as somebody holds the [`Hub`]. Whoever waits could as well read for the others, but then
//! one who has stopped to wait, and whom the system has woken, would keep everybody's datagrams from them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use postroad_sys::soft_error;
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::FAULTS;
use super::inlet::{Datagram, Inlet};
use super::outlet::{self, Manner, Setting, Way};
use crate::crowd::Crowd;
use crate::framer::outbox::Leaving;
use crate::stack::peers::{Overflow, Peers};
use crate::transport::Arrived;

/// How many datagrams the task takes in before it lets others run.
const BATCH: usize = 64;

/// How long the task rests when the socket does nothing but fail.
const REST: Duration = Duration::from_millis(50);

/// For how many addresses of this end errors are told.
const MAX_LOCALS: usize = 16;

/// What tells connections apart: the four-tuple, of which the port of this end is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) peer: SocketAddr,
    /// The address that the peer sends to, where the socket stands for several.
    pub(super) local: Option<IpAddr>,
}

/// A socket for many; the task ends when this is dropped.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// Where a socket stands, and whom it hears.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stance {
    /// With the port that the system picked. The group, if there is one.
    pub(super) local: SocketAddr,
    /// Whether datagrams tell what address they were sent to, as there are several.
    pub(super) many_addresses: bool,
    /// The only source of a group.
    pub(super) source: Option<IpAddr>,
    pub(super) soft_errors: bool,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    stance: Stance,
    peers: Peers<Key>,
    /// Locked from setting the socket to sending: by one who changes it alone, by the others together.
    setting: RwLock<Setting>,
    /// Those who wait to send.
    senders: Arc<Crowd>,
}

impl Hub {
    /// Begins to take in what arrives.
    pub(super) fn start(socket: UdpSocket, stance: Stance, setting: Setting) -> Self {
        let shared = Arc::new(Shared {
            socket,
            stance,
            peers: Peers::new(Overflow::Drop),
            setting: RwLock::new(setting),
            senders: Arc::default(),
        });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    pub(super) fn stance(&self) -> &Stance {
        &self.shared.stance
    }

    pub(super) fn peers(&self) -> &Peers<Key> {
        &self.shared.peers
    }

    pub(super) fn send(&self, message: &Leaving<'_>, manner: &Manner, way: Way) -> io::Result<()> {
        let Shared { socket, setting, .. } = &*self.shared;
        outlet::send(socket, message, manner, way, |wish| {
            let set = setting.read().unwrap_or_else(PoisonError::into_inner);
            if set.suits(wish) {
                return Ok(Set::Already { _guard: set });
            }
            drop(set);
            let mut set = setting.write().unwrap_or_else(PoisonError::into_inner);
            set.follow(socket, wish)?;
            Ok(Set::Now { _guard: set })
        })
    }

    /// Ready when it is worth another try.
    pub(super) fn poll_send_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        // The socket keeps the waker of one who waits.
        let everybody = self.shared.senders.join(cx.waker());
        self.shared.socket.poll_send_ready(&mut Context::from_waker(&everybody))
    }
}

/// Keeps the socket as it is set.
enum Set<'a> {
    Already { _guard: RwLockReadGuard<'a, Setting> },
    Now { _guard: RwLockWriteGuard<'a, Setting> },
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>) {
    let interest = if shared.stance.soft_errors { Interest::READABLE | Interest::ERROR } else { Interest::READABLE };
    let mut intake = Intake::default();
    let mut faults = 0;
    // It fails when the runtime ends.
    while let Ok(ready) = shared.socket.ready(interest).await {
        match shared.take_in(&mut intake, ready) {
            Progress::Drained => faults = 0,
            Progress::Some => {
                faults = 0;
                tokio::task::yield_now().await;
            }
            Progress::None if faults < FAULTS => faults += 1,
            Progress::None => tokio::time::sleep(REST).await,
        }
    }
}

/// What the task has for itself.
#[derive(Debug, Default)]
struct Intake {
    inlet: Inlet,
    /// The addresses of this end that peers have sent to.
    locals: Vec<Option<IpAddr>>,
}

enum Progress {
    /// Nothing is left.
    Drained,
    /// There may be more.
    Some,
    /// The socket has failed.
    None,
}

impl Shared {
    fn take_in(&self, intake: &mut Intake, ready: Ready) -> Progress {
        if ready.is_error() {
            self.take_errors(intake);
        }
        for _ in 0..BATCH {
            match intake.inlet.receive(&self.socket) {
                Ok(datagram) => self.deliver(datagram, intake),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Drained,
                // It told of an error that is in the queue too.
                Err(_) => return Progress::None,
            }
        }
        Progress::Some
    }

    fn take_errors(&self, intake: &Intake) {
        let next = || soft_error::take(&self.socket)?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        for _ in 0..BATCH {
            let Ok(error) = self.socket.try_io(Interest::ERROR, next) else { return };
            if let (Some(told), Some(peer)) = (super::soft_error(&error), error.destination) {
                // The system does not say from which address the message left.
                intake.locals.iter().for_each(|&local| self.peers.deliver_error(Key { peer, local }, told));
            }
        }
    }

    fn deliver(&self, datagram: Datagram, intake: &mut Intake) {
        let Datagram { data, context, from, to } = datagram;
        let Stance { many_addresses, source, .. } = self.stance;
        if source.is_some_and(|source| from.ip().to_canonical() != source) {
            return;
        }
        let local = to.filter(|_| many_addresses).map(|address| address.to_canonical());
        let is_first = self.peers.deliver(Key { peer: from, local }, Arrived::Message(data, context));
        if is_first && intake.locals.len() < MAX_LOCALS && !intake.locals.contains(&local) {
            intake.locals.push(local);
        }
    }
}
