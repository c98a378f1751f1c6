//! What the driver and the handles of a connection share.

mod entries;
mod news;
mod over;
mod sends;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::again::Down;
use crate::cbs::Claims;
use crate::detached::Detached;
use crate::event::ConnectionEvent;
use crate::incoming::Opened;
use crate::keeping::Keeper;
use crate::moved::Moved;
use crate::protocol::{LinkId, Protocol, Wire};
use crate::query::Asked;
use crate::redirect::{Dialed, Elsewhere};
use crate::teardown::Teardown;
use crate::types::PeerError;
use crate::wait::Waiters;
use crate::{ConnectError, ConnectionError, LinkError};

pub(crate) use entries::{Drain, LinkEntry, SessionEntry};
pub(crate) use sends::{Sends, Slot, UNTRACKED};

/// The state of a connection, behind one lock that is never held across an await or a syscall.
pub(crate) struct Shared {
    /// Tells this connection from every other of the process.
    number: u64,
    wire: Wire,
    /// The runtime that drives it.
    runtime: Option<Handle>,
    /// Changes whenever the connection is lost and whenever it is made anew: see [`State::stamp`].
    stamp: AtomicU32,
    state: Mutex<State>,
}

/// What is behind the lock is much: it is counted, unless somebody holds the lock.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Shared");
        shown.field("number", &self.number);
        if let Ok(state) = self.state.try_lock() {
            shown
                .field("sessions", &state.sessions.len())
                .field("links", &state.links.len())
                .field("over", &state.over);
        }
        shown.finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) engine: Box<dyn Protocol>,
    pub(crate) links: Slab<LinkEntry>,
    /// Our links by the index of the engine's.
    by_engine: Vec<Option<usize>>,
    pub(crate) sessions: Slab<SessionEntry>,
    pub(crate) opened: bool,
    pub(crate) teardown: Teardown,
    pub(crate) over: Option<ConnectionError>,
    /// Which engine this is, from 0 on: a connection that was lost is made anew with another one.
    pub(crate) epoch: u32,
    /// Set while a connection that was lost is not made anew: the engine is the dead one.
    pub(crate) down: Option<Down>,
    /// Set while a connection was detached by us and is not to be attached.
    pub(crate) detached: Option<Detached>,
    /// Whether a detached connection is being attached, and why that failed.
    pub(crate) attaching: bool,
    pub(crate) attach_failed: Option<ConnectError>,
    /// When the engine was taken over from another connection.
    pub(crate) adopted: Option<Instant>,
    /// Whether a connection that is lost is made anew.
    pub(crate) reconnects: bool,
    /// How the connection was made, where we made it; and where it is to go on, where it was redirected.
    pub(crate) dialed: Option<Dialed>,
    pub(crate) elsewhere: Option<Box<Elsewhere>>,
    /// Tokens that are put again when it is made anew.
    pub(crate) claims: Vec<Weak<Claims>>,
    /// Attempts and losses are not logged.
    pub(crate) quiet: bool,
    /// Why the connection was lost last.
    pub(crate) lost: Option<ConnectionError>,
    /// Messages that came over an earlier engine.
    pub(crate) moved: Moved,
    /// Links with messages in doubt that nobody has been told of.
    pub(crate) doubted: Vec<usize>,
    /// Links that have told a part of what is not settled.
    pub(crate) partly: Vec<usize>,
    /// Links that were attached again and not answered, until when they are to be, and how long that is.
    pub(crate) joins: Vec<(Instant, LinkId, Duration)>,
    /// Questions to the peer.
    pub(crate) asked: HashMap<u64, Asked>,
    pub(crate) events: Option<broadcast::Sender<ConnectionEvent>>,
    serial: u64,
    /// When the driver stops waiting for the peer's close, and how long that is since we closed.
    pub(crate) close_by: Option<(Instant, Duration)>,
    /// Calls that wait for the connection to open or to end, or for a link of the peer's.
    pub(crate) waiters: Waiters,
    /// Senders whose credit is given up at a moment, unless those who wait for it use it before.
    drains: Vec<(Instant, LinkId)>,
    /// Links whose senders wait for the answer to their detach, and until when; and why they have left.
    unanswered: Vec<(Instant, LinkId, LinkError)>,
    /// Receivers, by their keys, whose credit is taken back at a moment.
    withdrawals: Vec<(Instant, usize)>,
    /// Sessions and links that the peer opens, where somebody takes them.
    pub(crate) incoming: Option<VecDeque<Opened>>,
    /// Where the links of an accepted connection are kept.
    pub(crate) keeper: Option<Box<Keeper>>,
    /// Links that their peers have detached for a while, and that are to be suspended.
    pub(crate) leaving: Vec<(LinkId, LinkError)>,
    /// Counts links that were suspended.
    pub(crate) parted: u32,
    /// Whether this is the end that is connected to.
    pub(crate) accepted: bool,
    /// Whether somebody is told of links to a coordinator, which are refused otherwise.
    pub(crate) coordinators: bool,
    driver: Option<Waker>,
    /// Whether the driver has been woken and has not run since.
    woken: bool,
    pub(crate) wakes: Vec<Waker>,
}

impl Shared {
    pub(crate) fn new(engine: Box<dyn Protocol>) -> Arc<Self> {
        let wire = engine.wire();
        let state = State {
            engine,
            links: Slab::new(),
            by_engine: Vec::new(),
            sessions: Slab::new(),
            opened: false,
            teardown: Teardown::default(),
            over: None,
            epoch: 0,
            down: None,
            detached: None,
            attaching: false,
            attach_failed: None,
            adopted: None,
            reconnects: false,
            dialed: None,
            elsewhere: None,
            claims: Vec::new(),
            quiet: false,
            lost: None,
            moved: Moved::default(),
            doubted: Vec::new(),
            partly: Vec::new(),
            joins: Vec::new(),
            asked: HashMap::new(),
            events: None,
            serial: 0,
            close_by: None,
            waiters: Waiters::default(),
            drains: Vec::new(),
            unanswered: Vec::new(),
            withdrawals: Vec::new(),
            incoming: None,
            keeper: None,
            leaving: Vec::new(),
            parted: 0,
            accepted: false,
            coordinators: false,
            driver: None,
            woken: false,
            wakes: Vec::new(),
        };
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let runtime = Handle::try_current().ok();
        Arc::new(Self { number, wire, runtime, stamp: AtomicU32::new(0), state: Mutex::new(state) })
    }

    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    /// How messages are written and read.
    #[inline]
    pub(crate) fn wire(&self) -> Wire {
        self.wire
    }

    /// What [`State::stamp`] was when it last changed: whoever keeps messages outside the lock sees by it that they may
    /// be of the past.
    #[inline]
    pub(crate) fn stamp(&self) -> u32 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// Lets those see the stamp who do not take the lock.
    pub(crate) fn publish(&self, state: &State) {
        self.stamp.store(state.stamp(), Ordering::Relaxed);
    }

    /// As [`Shared::with`], for what changes the stamp.
    pub(crate) fn turn<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        self.with(|state| {
            let result = act(state);
            self.publish(state);
            result
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Locks for the driver, which polls the output itself.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act`; afterwards wakes the driver where there is output that it does not know of, and
    /// whoever `act` wants woken. Wakers run outside the lock.
    #[inline]
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        let driver = if !state.woken && state.engine.has_output() {
            state.woken = true;
            state.driver.take()
        } else {
            None
        };
        let wakes = std::mem::take(&mut state.wakes);
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }
}

impl State {
    /// Notes that the driver runs: it sees everything that is there now.
    pub(crate) fn driver_runs(&mut self) {
        self.woken = false;
    }

    /// Notes that the driver is about to sleep.
    pub(crate) fn driver_sleeps(&mut self, cx: &Context<'_>) {
        match &mut self.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Wakes the driver although there is no output: a deadline has changed.
    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.wakes.push(driver);
        }
    }

    pub(crate) fn take_wakes(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakes)
    }

    /// Closes the connection. The peer has this long to answer.
    pub(crate) fn close(&mut self, error: Option<PeerError>, timeout: Duration) {
        if self.over.is_none() {
            if self.down.is_some() {
                // There is nobody to say it to.
                return self.end_connection(ConnectionError::Closed);
            }
            match error {
                None => self.close_in_order(timeout),
                error => self.engine.close(error),
            }
            // A time beyond the clock's range is no deadline.
            let deadline = Instant::now().checked_add(timeout).map(|deadline| (deadline, timeout));
            self.close_by = self.close_by.or(deadline);
            self.wake_driver();
        }
    }

    /// A number that was not given out before.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A number that changes whenever the connection is lost or made anew, or a link of it is suspended.
    pub(crate) fn stamp(&self) -> u32 {
        self.epoch.wrapping_add(self.parted).wrapping_mul(2).wrapping_add(self.down.is_some().into())
    }
}
