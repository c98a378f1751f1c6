//! The socket that a listener and its connections share, and the task that takes in what arrives on it.
//!
//! The task runs for as long as somebody holds the [`Hub`]. Whoever waits could as well read for the others, but then
//! one who has stopped to wait, and whom the system has woken, would keep everybody's datagrams from them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use postroad_sys::soft_error;
use tokio::io::{Interest, Ready};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::FAULTS;
use super::inlet::{Datagram, Inlet};
use super::outlet::{self, Manner, Setting, Way};
use super::table::{Fate, Key, PeerId, Table};
use crate::crowd::Crowd;
use crate::framer::outbox::Leaving;
use crate::transport::Arrived;

/// How many datagrams the task takes in before it lets others run.
const BATCH: usize = 64;

/// How long the task rests when the socket does nothing but fail.
const REST: Duration = Duration::from_millis(50);

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
    table: Mutex<Table>,
    /// Told of each new peer.
    arrivals: Notify,
    /// Locked from setting the socket to sending.
    setting: Mutex<Setting>,
    /// Those who wait to send.
    senders: Arc<Crowd>,
}

impl Hub {
    /// Begins to take in what arrives.
    pub(super) fn start(socket: UdpSocket, stance: Stance, setting: Setting) -> Self {
        let shared = Arc::new(Shared {
            socket,
            stance,
            table: Mutex::new(Table::new()),
            arrivals: Notify::new(),
            setting: Mutex::new(setting),
            senders: Arc::default(),
        });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    pub(super) fn stance(&self) -> &Stance {
        &self.shared.stance
    }

    /// Waits for somebody who is not known. A dropped future loses nobody.
    pub(super) async fn next_peer(&self) -> (PeerId, Key) {
        let Shared { table, arrivals, .. } = &*self.shared;
        loop {
            let (taken, more) = {
                let mut table = lock(table);
                (table.take_new(), table.has_new())
            };
            if let Some(taken) = taken {
                if more {
                    // One note may stand for several who came while nobody waited.
                    arrivals.notify_one();
                }
                return taken;
            }
            arrivals.notified().await;
        }
    }

    /// Hears nobody any more who is not known.
    pub(super) fn stop(&self) {
        lock(&self.shared.table).stop();
    }

    pub(super) fn remove(&self, id: PeerId) {
        lock(&self.shared.table).remove(id);
    }

    pub(super) fn poll_receive(&self, id: PeerId, cx: &Context<'_>) -> Poll<Arrived> {
        lock(&self.shared.table).receive(id, cx.waker()).map_or(Poll::Pending, Poll::Ready)
    }

    pub(super) fn send(&self, message: &Leaving<'_>, manner: &Manner, way: Way) -> io::Result<()> {
        let mut setting = lock(&self.shared.setting);
        outlet::send(&self.shared.socket, message, manner, way, &mut setting)
    }

    /// Ready when it is worth another try.
    pub(super) fn poll_send_ready(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        // The socket keeps the waker of one who waits.
        let everybody = self.shared.senders.join(cx.waker());
        self.shared.socket.poll_send_ready(&mut Context::from_waker(&everybody))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(shared: Arc<Shared>) {
    let interest = if shared.stance.soft_errors { Interest::READABLE | Interest::ERROR } else { Interest::READABLE };
    let mut inlet = Inlet::default();
    let mut faults = 0;
    // It fails when the runtime ends.
    while let Ok(ready) = shared.socket.ready(interest).await {
        match shared.take_in(&mut inlet, ready) {
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

enum Progress {
    /// Nothing is left.
    Drained,
    /// There may be more.
    Some,
    /// The socket has failed.
    None,
}

impl Shared {
    fn take_in(&self, inlet: &mut Inlet, ready: Ready) -> Progress {
        if ready.is_error() {
            self.take_errors();
        }
        for _ in 0..BATCH {
            match inlet.receive(&self.socket) {
                Ok(datagram) => self.deliver(datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Drained,
                // It told of an error that is in the queue too.
                Err(_) => return Progress::None,
            }
        }
        Progress::Some
    }

    fn take_errors(&self) {
        let next = || soft_error::take(&self.socket)?.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        for _ in 0..BATCH {
            let Ok(error) = self.socket.try_io(Interest::ERROR, next) else { return };
            if let (Some(told), Some(peer)) = (super::soft_error(&error), error.destination) {
                let wakers = lock(&self.table).deliver_error(peer, told);
                wakers.into_iter().for_each(Waker::wake);
            }
        }
    }

    fn deliver(&self, datagram: Datagram) {
        let Datagram { data, context, from, to } = datagram;
        let Stance { many_addresses, source, .. } = self.stance;
        if source.is_some_and(|source| from.ip().to_canonical() != source) {
            return;
        }
        let local = to.filter(|_| many_addresses).map(|address| address.to_canonical());
        let fate = lock(&self.table).deliver(Key { peer: from, local }, Arrived::Message(data, context));
        match fate {
            Fate::Waits(Some(waker)) => waker.wake(),
            Fate::IsFirst => self.arrivals.notify_one(),
            Fate::Waits(None) | Fate::Dropped => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
