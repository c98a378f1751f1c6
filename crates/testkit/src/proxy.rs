//! A proxy on loopback sockets that does what [`faults`](crate::faults) decides.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::faults::{Action, Cut, Ending, Faults, Lane, Plan, Rule, Stats};

/// A port of 127.0.0.1 that leads to a server, over which connections meet faults.
///
/// A connection has one task. It reads no more of a side than the other one takes, so that what is held back by a peer is
/// held back through the proxy. Dropping the proxy ends everything, connections with it.
///
/// ```
/// use postroad_testkit::faults::{At, FrameKind, Plan, Rule};
/// use postroad_testkit::Proxy;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
/// let proxy = Proxy::start(server, Plan::new(7).rule(Rule::cut(At::frame(FrameKind::Transfer).nth(100)))).await?;
/// println!("amqp://{}", proxy.addr());
/// assert_eq!(proxy.stats().cuts, 0);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    orders: watch::Sender<Orders>,
    task: AbortHandle,
    /// Is bound and never listens: while nobody listens, connections are refused and nobody else gets the port.
    _holder: Option<TcpSocket>,
}

/// What becomes of who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Door {
    /// The connection is carried to the server.
    #[default]
    Open,
    /// It is refused, as by a machine where nobody listens; where the system cannot do that (not Unix), it is reset at once.
    Refused,
    /// It is taken and nothing ever comes of it; it stays so when the door opens, until everything is cut.
    Hanging,
}

#[derive(Debug)]
struct Shared {
    faults: Mutex<Faults>,
    target: Mutex<SocketAddr>,
}

/// What the owner wants of the tasks.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    door: Door,
    /// How often everything has been cut.
    cuts: u64,
}

/// Why a connection is over.
enum Over {
    Decided(Cut, usize),
    Ordered,
    /// A side was reset, or could not be reached.
    Broken,
    /// Both sides have ended in order.
    Ended,
}

/// What is read at once.
const CHUNK: usize = 16 * 1024;

impl Proxy {
    /// Starts one that leads to `target`, on the runtime that this is called in.
    ///
    /// # Errors
    /// When no port can be had.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing behind.
    pub async fn start(target: SocketAddr, plan: Plan) -> io::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let holder = if cfg!(unix) { Some(bound(any)?) } else { None };
        let listener = bound(holder.as_ref().map_or(Ok(any), TcpSocket::local_addr)?)?.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared { faults: Mutex::new(Faults::new(plan)), target: Mutex::new(target) });
        let (orders, heard) = watch::channel(Orders::default());
        let task = tokio::spawn(accept(Arc::clone(&shared), addr, listener, heard)).abort_handle();
        Ok(Self { addr, shared, orders, task, _holder: holder })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Leads connections to another server from now on; those that are there stay where they are.
    pub fn set_target(&self, target: SocketAddr) {
        *self.shared.target.lock().expect("no holder panics") = target;
    }

    /// Decides by another plan from now on; see [`Faults::set_plan`].
    pub fn set_plan(&self, plan: Plan) {
        self.shared.faults().set_plan(plan);
    }

    /// Adds a rule that comes true once; see [`Faults::arm`].
    pub fn arm(&self, rule: Rule) {
        self.shared.faults().arm(rule);
    }

    /// Rules that were armed and have not come true.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.shared.faults().armed()
    }

    /// Cuts every connection, also those that are being made, and the stalled and hanging ones.
    pub fn cut_all(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Says what becomes of who connects from now on. Connections that are there stay.
    pub fn set_door(&self, door: Door) {
        self.orders.send_modify(|orders| orders.door = door);
    }

    /// Refuses connections for so long, from when this is called on.
    ///
    /// # Cancel safety
    /// A dropped future leaves the door closed until [`set_door`](Self::set_door) opens it.
    pub async fn refuse_for(&self, time: Duration) {
        self.set_door(Door::Refused);
        tokio::time::sleep(time).await;
        self.set_door(Door::Open);
    }

    /// What was done until now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.faults().stats().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder panics")
    }
}

const BACKLOG: u32 = 1024;

/// A socket that is bound to an address; where the system has that, others may be that ask for it as this does.
fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    #[cfg(unix)]
    {
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
    }
    socket.bind(addr)?;
    Ok(socket)
}

/// Takes connections as the door says, and has their tasks, which end with it.
async fn accept(shared: Arc<Shared>, addr: SocketAddr, listener: TcpListener, mut orders: watch::Receiver<Orders>) {
    let mut tasks = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        let door = orders.borrow_and_update().door;
        if cfg!(unix) {
            if door == Door::Refused {
                listener = None;
            } else if listener.is_none() {
                // The holder keeps the port; what may be missing is file descriptors, for a while.
                listener = bound(addr).and_then(|socket| socket.listen(BACKLOG)).ok();
                if listener.is_none() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
            }
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => match accepted {
                Ok((client, _)) => {
                    let (shared, orders, now) = (Arc::clone(&shared), orders.clone(), *orders.borrow());
                    tasks.spawn(take(shared, client, orders, now));
                }
                // Such as too many open files: not again at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            changed = orders.changed() => if changed.is_err() {
                return;
            },
            Some(_) = tasks.join_next() => {}
        }
    }
}

/// Does with a connection what the door said when it came.
async fn take(shared: Arc<Shared>, client: TcpStream, mut orders: watch::Receiver<Orders>, now: Orders) {
    let Orders { door, cuts } = now;
    match door {
        Door::Open => carry(&shared, client, orders, cuts).await,
        Door::Refused => {
            shared.faults().note_refused();
            leave(client, Ending::Reset).await;
        }
        Door::Hanging => {
            shared.faults().note_hung();
            cut_since(&mut orders, cuts).await;
            leave(client, Ending::Reset).await;
        }
    }
}

/// Waits until everything is to be cut, since it was for the `cuts`th time.
async fn cut_since(orders: &mut watch::Receiver<Orders>, cuts: u64) {
    // Without an owner there are no orders, and the task is ended.
    if orders.wait_for(|orders| orders.cuts > cuts).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn carry(shared: &Shared, mut client: TcpStream, mut orders: watch::Receiver<Orders>, cuts: u64) {
    let target = *shared.target.lock().expect("no holder panics");
    let connected = tokio::select! {
        connected = TcpStream::connect(target) => connected,
        () = cut_since(&mut orders, cuts) => return leave(client, Ending::Reset).await,
    };
    let Ok(mut server) = connected else { return leave(client, Ending::Reset).await };
    for stream in [&client, &server] {
        // Only slower without it.
        let _ = stream.set_nodelay(true);
    }
    let [mut there, mut back] = shared.faults().connect();
    let over = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let both = async {
            let there = pass(shared, &mut there, from_client, to_server, 0);
            let back = pass(shared, &mut back, from_server, to_client, 1);
            tokio::try_join!(there, back).map_or_else(|over| over, |_| Over::Ended)
        };
        tokio::select! {
            over = both => over,
            () = cut_since(&mut orders, cuts) => Over::Ordered,
        }
    };
    let (cut, lane) = match over {
        Over::Decided(cut, lane) => (cut, lane),
        Over::Ordered => (shared.faults().cut([&mut there, &mut back]), 0),
        Over::Broken => (Cut { ending: Ending::Reset, other_arrives: false }, 0),
        Over::Ended => (Cut { ending: Ending::Fin, other_arrives: false }, 0),
    };
    if cut.other_arrives {
        match lane {
            0 => flush(&mut back, &server, &client),
            _ => flush(&mut there, &client, &server),
        }
    }
    tokio::join!(leave(client, cut.ending), leave(server, cut.ending));
}

/// Passes on what one side says, as it is decided, until that side ends.
async fn pass(
    shared: &Shared,
    lane: &mut Lane,
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    index: usize,
) -> Result<(), Over> {
    let mut buffer = [0; CHUNK];
    loop {
        loop {
            let action = shared.faults().next(lane);
            match action {
                None => break,
                Some(Action::Deliver(bytes)) => to.write_all(&bytes).await.map_err(|_| Over::Broken)?,
                Some(Action::Wait(time)) if time.is_zero() => {}
                Some(Action::Wait(time)) => tokio::time::sleep(time).await,
                Some(Action::Stall) => std::future::pending().await,
                Some(Action::Cut(cut)) => return Err(Over::Decided(cut, index)),
            }
        }
        if lane.has_ended() {
            // A side that is gone already is told by its own direction.
            let _ = to.shutdown().await;
            return Ok(());
        }
        from.readable().await.map_err(|_| Over::Broken)?;
        match from.try_read(&mut buffer) {
            Ok(0) => lane.end(),
            Ok(count) => lane.feed(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Over::Broken),
        }
    }
}

/// Passes on what is here, without waiting for anything.
fn flush(lane: &mut Lane, from: &TcpStream, to: &TcpStream) {
    if lane.is_stalled() {
        return;
    }
    let mut rest = lane.rest().to_vec();
    let mut buffer = [0; CHUNK];
    while let Ok(count @ 1..) = from.try_read(&mut buffer) {
        rest.extend_from_slice(&buffer[..count]);
        if rest.len() > 16 * CHUNK {
            break;
        }
    }
    let mut rest = &rest[..];
    while let Ok(count @ 1..) = to.try_write(rest) {
        rest = &rest[count..];
    }
}

/// Ends one side of a connection.
async fn leave(mut stream: TcpStream, ending: Ending) {
    match ending {
        // Whoever cannot be told so is told of an end.
        Ending::Reset => drop(stream.set_zero_linger()),
        Ending::Fin => drop(stream.shutdown().await),
    }
}
