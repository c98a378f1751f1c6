//! What the driver and the handles of a connection share.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use slab::Slab;
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::again::{Again, Down, Joining};
use crate::control::Control;
use crate::detached::{Detached, is_of_engine};
use crate::doubt::Doubts;
use crate::event::ConnectionEvent;
use crate::heard::Heard;
use crate::moved::Moved;
use crate::protocol::{Delivery, LinkId, News, Protocol, SessionId, Take, TransactionId, Wire};
use crate::query::Asked;
use crate::teardown::Teardown;
use crate::types::{ErrorCondition, PeerError};
use crate::wait::Waiters;
use crate::{ConnectError, ConnectionError, LinkError, Outcome, SendError};

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
    /// Links that the peer attaches, where somebody takes them.
    pub(crate) incoming: Option<VecDeque<LinkId>>,
    driver: Option<Waker>,
    /// Whether the driver has been woken and has not run since.
    woken: bool,
    pub(crate) wakes: Vec<Waker>,
}

#[derive(Debug)]
pub(crate) struct SessionEntry {
    pub(crate) id: SessionId,
    /// Tells this session from every other of the connection.
    pub(crate) serial: u64,
    pub(crate) begun: bool,
    /// Handles of the session; with the last one it ends, if it is ours.
    pub(crate) handles: usize,
    pub(crate) ours: bool,
    /// Whether it does transactions, which end with the connection and the session with them; and whether a commit is
    /// under way.
    pub(crate) transacted: bool,
    pub(crate) committing: bool,
    pub(crate) over: Option<LinkError>,
    pub(crate) waiters: Waiters,
}

#[derive(Debug)]
pub(crate) struct LinkEntry {
    pub(crate) id: LinkId,
    pub(crate) session: usize,
    /// Tells this link from every other of the connection, also where its id is another one by now.
    pub(crate) serial: u64,
    /// Whether it was made while there was no connection: no engine knows it.
    pub(crate) unborn: bool,
    /// How the link is attached again; it is not where this is nothing.
    pub(crate) again: Option<Box<Again>>,
    /// What is still to come before the link that was attached again can be used.
    pub(crate) joining: Joining,
    /// The fewest deliveries that such a link had not settled when it told a part of them, and how often that was in
    /// vain.
    pub(crate) parts: (usize, u32),
    /// The engine since which this is the same link to the peer: what came before comes again.
    pub(crate) since: u32,
    /// Whether we settle what we receive only when the sender has (2.6.12, receiver mode second).
    pub(crate) second: bool,
    /// The most deliveries that may be unsettled so that an attach tells them all, and those that a receiver has
    /// taken and the sender not settled, where that counts.
    pub(crate) map_room: usize,
    pub(crate) open: usize,
    /// Deliveries that the sender is to resume: each uses credit, which is granted beside what a receiver wants.
    pub(crate) due: u32,
    /// What was granted last, beside that.
    pub(crate) wanted: u32,
    /// Whether a receiver was granted less than it wants because of that.
    pub(crate) starved: bool,
    /// Whether our end is being detached for good.
    pub(crate) detaching: bool,
    pub(crate) attached: bool,
    /// Whether the peer has shown by credit or a message that it means the link.
    pub(crate) confirmed: bool,
    pub(crate) over: Option<LinkError>,
    /// Whether the handle is gone.
    pub(crate) abandoned: bool,
    /// Calls that wait for the link to attach, detach, have credit or messages.
    pub(crate) waiters: Waiters,
    pub(crate) drained: bool,
    /// What the sender has heard of a link that receives.
    pub(crate) heard: Heard,
    /// Whether credit came to nothing since the receiver last counted it.
    pub(crate) aborted: bool,
    pub(crate) sends: Sends,
    /// What only a control link has.
    pub(crate) control: Option<Box<Control>>,
    /// Messages that had come when the link ended, or settled ones when the connection was lost.
    pub(crate) left: VecDeque<Delivery>,
    /// Messages that are in doubt.
    pub(crate) in_doubt: Doubts,
    /// The address that the peer told last.
    pub(crate) address: Option<String>,
    /// Messages that a receiver takes beyond the credit.
    pub(crate) overdraft: u32,
}

/// Messages of a sender that have no outcome yet.
#[derive(Debug, Default)]
pub(crate) struct Sends {
    pub(crate) slots: Slab<Slot>,
    /// Messages whose outcome nobody waits for by name.
    pub(crate) untracked: usize,
    /// Messages under way, whether anybody waits for them or not, and the most there may be.
    pub(crate) in_flight: usize,
    pub(crate) max_in_flight: Option<usize>,
    /// The most bytes that may be kept of them; 0 is no bound.
    pub(crate) max_bytes: usize,
    /// Of these, what is left at least.
    pub(crate) room: usize,
    /// Whether somebody waits for either.
    pub(crate) held_back: bool,
    /// Of those that nobody waits for by name, the ones that are in doubt since the last sync, and those that nobody was
    /// told of by an event.
    pub(crate) doubts: usize,
    pub(crate) untold: usize,
    pub(crate) not_accepted: usize,
    pub(crate) first_not_accepted: Option<Option<Outcome>>,
    pub(crate) next_tag: u64,
    pub(crate) sync_waiters: Waiters,
}

/// The outcome of one message, on its way to whoever waits for it.
#[derive(Debug)]
pub(crate) enum Slot {
    Waiting(Option<Waker>),
    Done(Result<Outcome, SendError>),
    /// It was a declare, and this is the transaction.
    Declared(TransactionId),
    /// Nobody waits any more.
    Abandoned,
}

/// Links that a peer may attach before somebody takes them.
const MAX_INCOMING: usize = 4096;

/// How long those who wait for credit have to use it once the peer wants it back.
const DRAIN: Duration = Duration::from_millis(20);

/// The token of a message without a slot.
pub(crate) const UNTRACKED: u64 = u64::MAX;

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
            incoming: None,
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

    /// Senders that were to give up credit need not.
    pub(crate) fn drop_drains(&mut self) {
        self.drains.clear();
    }

    /// Adds a session that the engine has begun, or the peer.
    pub(crate) fn add_session(&mut self, id: SessionId, ours: bool) -> usize {
        let (handles, serial) = (usize::from(ours), self.next_serial());
        self.sessions.insert(SessionEntry {
            id,
            serial,
            begun: !ours,
            handles,
            ours,
            transacted: false,
            committing: false,
            over: None,
            waiters: Waiters::default(),
        })
    }

    /// Adds a handle to a session of the peer's.
    pub(crate) fn share_session(&mut self, id: SessionId) -> Option<usize> {
        let (key, entry) = self.sessions.iter_mut().find(|(_, entry)| entry.id == id)?;
        entry.handles += 1;
        Some(key)
    }

    pub(crate) fn links_of(&self, session: usize) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| link.session == session).map(|(_, link)| link.id).collect()
    }

    /// Wakes whoever waits on a link of a session.
    pub(crate) fn wake_links_of(&mut self, session: usize) {
        let Self { links, wakes, .. } = self;
        for (_, entry) in links.iter_mut().filter(|(_, entry)| entry.session == session) {
            entry.waiters.wake(wakes);
        }
    }

    /// Adds a link that the engine has begun to attach.
    pub(crate) fn add_link(&mut self, id: LinkId, session: usize) -> usize {
        let serial = self.next_serial();
        let key = self.links.insert(LinkEntry {
            id,
            session,
            serial,
            unborn: false,
            again: None,
            joining: Joining::Not,
            parts: (0, 0),
            since: self.epoch,
            second: false,
            map_room: usize::MAX,
            open: 0,
            due: 0,
            wanted: 0,
            starved: false,
            detaching: false,
            attached: false,
            confirmed: false,
            over: None,
            abandoned: false,
            waiters: Waiters::default(),
            drained: false,
            heard: Heard::default(),
            aborted: false,
            sends: Sends::default(),
            control: None,
            left: VecDeque::new(),
            in_doubt: Doubts::default(),
            address: None,
            overdraft: 0,
        });
        if is_of_engine(id) {
            self.index_link(key, id);
        }
        key
    }

    /// A number that was not given out before.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Notes the engine's link that an entry is.
    pub(crate) fn index_link(&mut self, key: usize, id: LinkId) {
        if self.by_engine.len() <= id.index() {
            self.by_engine.resize(id.index() + 1, None);
        }
        self.by_engine[id.index()] = Some(key);
    }

    /// Forgets which links of an engine the entries are: there is another engine.
    pub(crate) fn forget_index(&mut self) {
        self.by_engine.clear();
    }

    #[inline]
    pub(crate) fn key_of(&self, id: LinkId) -> Option<usize> {
        if !is_of_engine(id) {
            return self.links.iter().find(|(_, entry)| entry.id == id).map(|(key, _)| key);
        }
        let key = (*self.by_engine.get(id.index())?)?;
        self.links.get(key).filter(|entry| entry.id == id).map(|_| key)
    }

    /// A number that changes whenever the connection is lost or made anew.
    pub(crate) fn stamp(&self) -> u32 {
        self.epoch.wrapping_mul(2).wrapping_add(self.down.is_some().into())
    }

    #[inline]
    pub(crate) fn entry(&mut self, id: LinkId) -> Option<&mut LinkEntry> {
        let key = (*self.by_engine.get(id.index())?)?;
        self.links.get_mut(key).filter(|entry| entry.id == id)
    }

    /// Takes in everything that the engine has to tell.
    pub(crate) fn take_news(&mut self) {
        while let Some(news) = self.engine.poll_news() {
            match news {
                News::Settled { link, token, outcome } => self.settled(link, token, outcome),
                News::Declared { link, token, id } => self.declared(link, token, id),
                News::Ready(link) => {
                    let (mut control, mut joining) = (false, Joining::Not);
                    if let Some(entry) = self.entry(link) {
                        entry.confirmed = true;
                        control = entry.control.is_some();
                        joining = entry.joining;
                        // Who waits for the first message of any link.
                        let session = entry.session;
                        if let Some(session) = self.sessions.get_mut(session) {
                            session.waiters.wake(&mut self.wakes);
                        }
                    }
                    if joining == Joining::Anew {
                        self.confirmed(link);
                    }
                    if control {
                        self.roll_back_abandoned(link);
                    }
                    self.wake_link(link);
                }
                News::Opened => {
                    self.opened = true;
                    self.waiters.wake(&mut self.wakes);
                }
                News::SessionBegun(session) => {
                    for (_, entry) in self.sessions.iter_mut().filter(|(_, entry)| entry.id == session) {
                        entry.begun = true;
                        entry.waiters.wake(&mut self.wakes);
                    }
                }
                News::LinkAttached(link) => {
                    self.attached(link);
                    self.wake_link(link);
                }
                // What a peer ends as it hears the close of a connection that we detach is only gone for now.
                News::LinkEnded { .. } | News::SessionEnded(..) if self.detached.is_some() => {}
                News::LinkEnded { link, error, closed } => self.link_ended(link, error, closed),
                News::Resumed { link, complete, remembered } => self.resumed(link, complete, remembered),
                News::Reassociated { link, tag, number } => self.reassociated(link, tag, number),
                News::SettledBySender { link, number } => self.settled_by_sender(link, number),
                News::InDoubt { link, doubt } => self.in_doubt(link, doubt),
                News::SessionEnded(session, error) => {
                    // What answers an end of ours is no news of the peer's.
                    let ours = error == LinkError::SessionEnded(None) && self.is_ending(session);
                    self.end_session(session, if ours { &LinkError::Closed } else { &error });
                }
                News::Closed(error) => self.lose(error),
                News::Answer { token, answer } => self.answered(token, answer),
                News::Drained(link) => {
                    if let Some(entry) = self.entry(link) {
                        entry.drained = true;
                    }
                    self.wake_link(link);
                }
                News::Flow(link) => {
                    if let Some(entry) = self.entry(link) {
                        entry.heard.answered();
                    }
                    self.wake_link(link);
                }
                News::Aborted(link) => {
                    if let Some(entry) = self.entry(link) {
                        entry.aborted = true;
                    }
                    self.wake_link(link);
                }
                News::Drain(link) => self.drain(link),
                News::SessionIncoming(id) => {
                    self.add_session(id, false);
                    if self.teardown.close.is_some() {
                        self.engine.end(id);
                    }
                }
                News::LinkIncoming(link)
                    if self.engine.remote(link).is_some_and(|remote| remote.coordinator.is_some()) =>
                {
                    let text = "this container has no transactions";
                    self.engine.refuse(link, PeerError::new(ErrorCondition::NOT_IMPLEMENTED, text));
                }
                News::LinkIncoming(link) => match &mut self.incoming {
                    Some(incoming) if incoming.len() < MAX_INCOMING => {
                        incoming.push_back(link);
                        self.waiters.wake(&mut self.wakes);
                    }
                    _ => {
                        let text = "this container takes no links";
                        self.engine.refuse(link, PeerError::new(ErrorCondition::NOT_ALLOWED, text));
                    }
                },
            }
        }
        self.tell_of_doubts();
        if !self.partly.is_empty() {
            self.go_on_with_parts();
        }
    }

    /// The peer wants credit used or given up: those who wait for it come first.
    fn drain(&mut self, link: LinkId) {
        let Self { links, by_engine, wakes, drains, engine, .. } = self;
        // A peer that asks again is answered at the moment that was set.
        if drains.iter().any(|(_, pending)| *pending == link) {
            return;
        }
        let key = by_engine.get(link.index()).copied().flatten();
        match key.and_then(|key| links.get_mut(key)).filter(|entry| entry.id == link) {
            Some(entry) if !entry.waiters.is_empty() => {
                entry.waiters.wake(wakes);
                drains.push((Instant::now() + DRAIN, link));
            }
            _ => engine.give_up_credit(link),
        }
    }

    /// Gives up the credit that nobody used in time, and tells when that is to be done next.
    pub(crate) fn answer_drains(&mut self, now: Instant) -> Option<Instant> {
        let Self { drains, engine, .. } = self;
        drains.retain(|(due, link)| {
            if *due <= now {
                engine.give_up_credit(*link);
            }
            *due > now
        });
        drains.iter().map(|(due, _)| *due).min()
    }

    #[inline]
    pub(crate) fn settled(&mut self, link: LinkId, token: u64, outcome: Option<Outcome>) {
        let Self { links, by_engine, wakes, .. } = self;
        let key = by_engine.get(link.index()).copied().flatten();
        let Some(entry) = key.and_then(|key| links.get_mut(key)).filter(|entry| entry.id == link) else { return };
        let sends = &mut entry.sends;
        if std::mem::take(&mut sends.held_back) {
            entry.waiters.wake(wakes);
        }
        sends.in_flight = sends.in_flight.saturating_sub(1);
        if token == UNTRACKED {
            sends.untracked -= 1;
            if !outcome.as_ref().is_some_and(Outcome::is_accepted) {
                sends.not_accepted += 1;
                sends.first_not_accepted.get_or_insert(outcome);
            }
            if sends.untracked == 0 {
                sends.sync_waiters.wake(wakes);
            }
            return;
        }
        sends.finish(token as usize, outcome.ok_or(SendError::NoOutcome), wakes);
    }

    /// Has a receiver take so many messages beyond the credit.
    pub(crate) fn set_overdraft(&mut self, key: usize, messages: u32) {
        let Self { links, engine, .. } = self;
        let entry = &mut links[key];
        if entry.over.is_none() {
            entry.overdraft = messages;
            engine.set_overdraft(entry.id, messages);
        }
    }

    /// Bounds the messages under way on a link; whoever waits may fit now.
    pub(crate) fn set_max_in_flight(&mut self, key: usize, max: Option<usize>) {
        let entry = &mut self.links[key];
        entry.sends.max_in_flight = max;
        entry.waiters.wake(&mut self.wakes);
    }

    /// Forgets a message that was given up; gives its slot back, whose waker goes outside the lock.
    pub(crate) fn withdraw(&mut self, key: usize, token: u64) -> Option<Slot> {
        let sends = &mut self.links.get_mut(key)?.sends;
        let slot = sends.slots.try_remove(token as usize)?;
        if !matches!(slot, Slot::Done(_) | Slot::Declared(_)) {
            sends.in_flight = sends.in_flight.saturating_sub(1);
        }
        self.tidy_link(key);
        Some(slot)
    }

    pub(crate) fn wake_link(&mut self, id: LinkId) {
        let Self { links, by_engine, wakes, .. } = self;
        let key = by_engine.get(id.index()).copied().flatten();
        if let Some(entry) = key.and_then(|key| links.get_mut(key)).filter(|entry| entry.id == id) {
            entry.waiters.wake(wakes);
        }
    }

    /// Ends a link: whoever waits for anything on it is told why.
    pub(crate) fn end_link(&mut self, id: LinkId, error: LinkError) {
        let (suspended, left) = self.engine.release(id, Take::All);
        let Some(key) = self.key_of(id) else { return };
        if let Some(known) = self.by_engine.get_mut(id.index()) {
            *known = None;
        }
        if let Some(suspended) = suspended {
            self.keep_doubts(key, suspended, &error);
        }
        let Self { links, wakes, waiters, .. } = self;
        let entry = &mut links[key];
        entry.waiters.wake(wakes);
        waiters.wake(wakes);
        entry.sends.fail(&error, wakes);
        entry.left.extend(left);
        entry.over.get_or_insert(error);
        let serial = entry.serial;
        self.moved.forget_link(serial);
        self.tidy_link(key);
    }

    /// Forgets a link that is over once its handle is gone and every outcome has been taken: until then its key is not
    /// used again.
    pub(crate) fn tidy_link(&mut self, key: usize) {
        let Some(entry) = self.links.get_mut(key).filter(|entry| entry.abandoned && entry.over.is_some()) else {
            return;
        };
        entry.left.clear();
        entry.waiters.wake(&mut self.wakes);
        entry.sends.sync_waiters.wake(&mut self.wakes);
        if entry.sends.slots.is_empty() {
            self.links.remove(key);
        }
    }

    pub(crate) fn end_session(&mut self, id: SessionId, error: &LinkError) {
        let ended = self.sessions.iter_mut().find(|(_, entry)| entry.id == id);
        let Some((key, entry)) = ended else { return };
        entry.over.get_or_insert_with(|| error.clone());
        entry.waiters.wake(&mut self.wakes);
        for link in self.links_of(key) {
            self.end_link(link, error.clone());
        }
        if self.sessions[key].handles == 0 {
            self.sessions.remove(key);
        }
    }

    /// Ends everything.
    pub(crate) fn end_connection(&mut self, error: ConnectionError) {
        if self.over.is_some() {
            return;
        }
        let link_error = LinkError::Connection(error.clone());
        self.over = Some(error.clone());
        (self.down, self.detached) = (None, None);
        self.waiters.wake(&mut self.wakes);
        let sessions: Vec<SessionId> = self.sessions.iter().map(|(_, entry)| entry.id).collect();
        for session in sessions {
            self.end_session(session, &link_error);
        }
        self.tell_of_doubts();
        self.tell(ConnectionEvent::Over(error));
    }

    /// Notes that the handle of a link is gone, and closes the link.
    pub(crate) fn abandon_link(&mut self, key: usize, timeout: Duration) {
        let Some(entry) = self.links.get_mut(key) else { return };
        entry.abandoned = true;
        let (id, over) = (entry.id, entry.over.is_some());
        if over {
            self.tidy_link(key);
        } else {
            self.detach(id, timeout);
        }
    }
}

impl Sends {
    #[inline]
    pub(crate) fn finish(&mut self, key: usize, result: Result<Outcome, SendError>, wakes: &mut Vec<Waker>) {
        match self.slots.get_mut(key) {
            Some(slot @ Slot::Waiting(_)) => {
                if let Slot::Waiting(Some(waker)) = std::mem::replace(slot, Slot::Done(result))
                    && !wakes.last().is_some_and(|last| last.will_wake(&waker))
                {
                    wakes.push(waker);
                }
            }
            Some(Slot::Abandoned) => {
                self.slots.remove(key);
            }
            Some(Slot::Done(_) | Slot::Declared(_)) | None => {}
        }
    }

    pub(crate) fn fail(&mut self, error: &LinkError, wakes: &mut Vec<Waker>) {
        let waiting: Vec<usize> = self.slots.iter().map(|(key, _)| key).collect();
        for key in waiting {
            self.finish(key, Err(SendError::InDoubt(error.clone())), wakes);
        }
        self.sync_waiters.wake(wakes);
    }
}
