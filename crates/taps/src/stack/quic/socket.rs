//! The UDP socket under QUIC: what quinn's own does, with the code point of a capacity profile on every packet.
//!
//! quinn writes the traffic class of each packet itself, for the sake of ECN, and leaves the code point in it zero. So a
//! class that is set on the socket never shows, and the two have to be written together (RFC 9622 8.1.6, RFC 9000 13.4).

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};

use postroad_sys::message::{self, Outgoing};
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::endpoint::canonical;
use crate::properties::CapacityProfile;

/// A socket of QUIC, for one connection of a client or all of a server.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    marks: Marks,
    /// What the network has said about the packets, last.
    trouble: watch::Sender<Option<io::ErrorKind>>,
}

impl Socket {
    /// Takes over a bound socket; what it sends is marked with the profile.
    pub(super) fn new(socket: std::net::UdpSocket, profile: CapacityProfile) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&socket).into())?;
        let io = UdpSocket::from_std(socket)?;
        let marks = Marks { all: AtomicU8::new(profile.dscp()), ..Marks::default() };
        Ok(Arc::new(Self { io, state, marks, trouble: watch::Sender::new(None) }))
    }

    /// Marks everything.
    pub(super) fn mark_all(&self, profile: CapacityProfile) {
        self.marks.all.store(profile.dscp(), Ordering::Relaxed);
    }

    /// Marks what goes to one peer; `None` is as for everybody.
    pub(super) fn mark(&self, peer: SocketAddr, profile: Option<CapacityProfile>) {
        self.marks.set(canonical(peer), profile.map(CapacityProfile::dscp));
    }

    /// Waits until the network says that packets do not reach the peer.
    pub(super) async fn trouble(&self) -> io::ErrorKind {
        let mut trouble = self.trouble.subscribe();
        let noted = async {
            match trouble.wait_for(Option::is_some).await.map(|kind| *kind) {
                Ok(Some(kind)) => kind,
                // The sender is this socket's.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        };
        // An error that waits makes a socket neither readable nor writable.
        let waiting = async {
            while self.io.ready(Interest::ERROR).await.is_ok() {
                self.take_error();
            }
            std::future::pending().await
        };
        tokio::select! {
            kind = noted => kind,
            kind = waiting => kind,
        }
    }

    /// Notes the error that waits, if one does.
    fn take_error(&self) {
        let taken = self.io.try_io(Interest::ERROR, || match self.io.take_error() {
            Ok(Some(error)) => Ok(error),
            // Which is how it is known that nothing waits any more.
            _ => Err(io::ErrorKind::WouldBlock.into()),
        });
        if let Ok(error) = taken {
            self.note(&error);
        }
    }

    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match self.marks.of(transmit.destination) {
            0 => self.state.try_send((&self.io).into(), transmit),
            _ if !cfg!(target_os = "linux") => self.state.try_send((&self.io).into(), transmit),
            dscp => self.send_marked(transmit, dscp),
        }
    }

    fn send_marked(&self, transmit: &Transmit<'_>, dscp: u8) -> io::Result<()> {
        let ecn = transmit.ecn.map_or(0, |ecn| ecn as u8);
        let mut outgoing = Outgoing::new().to(transmit.destination).traffic_class(dscp << 2 | ecn);
        if let Some(source) = transmit.src_ip {
            outgoing = outgoing.source(source);
        }
        let send =
            |data: &[u8], outgoing: &Outgoing| message::send(&self.io, &[IoSlice::new(data)], outgoing).map(drop);
        let segment = transmit.segment_size.filter(|size| *size < transmit.contents.len());
        let Some(segment) = segment.and_then(|size| u16::try_from(size).ok()) else {
            return send(transmit.contents, &outgoing);
        };
        match send(transmit.contents, &outgoing.segment_size(segment)) {
            // Not on this way: one by one. What does not fit into the socket's buffer is lost, as on the network.
            Err(error) if no_offload(&error) => {
                transmit.contents.chunks(segment.into()).try_for_each(|datagram| send(datagram, &outgoing))
            }
            sent => sent,
        }
    }

    /// Notes what is no fault of the socket.
    fn note(&self, error: &io::Error) -> bool {
        use io::ErrorKind::{
            ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied,
        };
        let kind = error.kind();
        let of_the_network = matches!(
            kind,
            ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | NetworkDown | PermissionDenied
        );
        if of_the_network {
            self.trouble.send_replace(Some(kind));
        }
        of_the_network
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            // The error that a packet has met is told with the next one, which has not left then.
            let sent = match self.send(transmit) {
                Err(error) if self.note(&error) => self.send(transmit),
                sent => sent,
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
                // Like a packet that is lost on its way. One that is too long was to find out just that
                // (RFC 9000 14.3).
                _ => Ok(()),
            }
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            match self.io.try_io(Interest::READABLE, || self.state.recv((&self.io).into(), bufs, meta)) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if self.note(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// One who waits until the socket takes packets again.
struct Writable {
    socket: Arc<Socket>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.waiting.is_none() {
            // Mostly it takes them now, and nothing is allocated.
            if let Poll::Ready(ready) = pin!(this.socket.io.writable()).poll(cx) {
                return Poll::Ready(ready);
            }
        }
        let socket = &this.socket;
        let waiting = this.waiting.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Box::pin(async move { socket.io.writable().await })
        });
        let ready = ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        Poll::Ready(ready)
    }
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").finish_non_exhaustive()
    }
}

/// The code points of what leaves.
#[derive(Debug, Default)]
struct Marks {
    all: AtomicU8,
    /// Whether there is an exception: mostly there is none, and nothing is locked.
    has_some: AtomicBool,
    some: RwLock<HashMap<SocketAddr, u8>>,
}

impl Marks {
    fn of(&self, peer: SocketAddr) -> u8 {
        let all = self.all.load(Ordering::Relaxed);
        if !self.has_some.load(Ordering::Relaxed) {
            return all;
        }
        let some = self.some.read().unwrap_or_else(PoisonError::into_inner);
        some.get(&canonical(peer)).copied().unwrap_or(all)
    }

    fn set(&self, peer: SocketAddr, mark: Option<u8>) {
        let mut some = self.some.write().unwrap_or_else(PoisonError::into_inner);
        match mark {
            Some(mark) => some.insert(peer, mark),
            None => some.remove(&peer),
        };
        self.has_some.store(!some.is_empty(), Ordering::Relaxed);
    }
}

/// Drivers that cannot cut a payload into datagrams say so by these.
fn no_offload(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    const EINVAL: i32 = 22;
    cfg!(target_os = "linux") && matches!(error.raw_os_error(), Some(EIO | EINVAL))
}
