//! A connection that many handles share: the engine behind a lock, and who waits for what.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use std::{fmt, io};

use postroad_taps::ByteStream;

use super::driver::Driver;
use super::random;
use super::transport::Ends;
use crate::engine::{
    CloseReason, Config, Connection, Event, IncomingKey, MessageKey, Outcome, Outgoing, RequestKey, SessionEnd,
    SessionKey, SessionOver,
};
use crate::registration::{self, Registration, RegistrationError};
use crate::{Code, Head, Path, Uri};

/// A connection and everything that is on it.
pub(super) struct Shared {
    state: Mutex<State>,
    ends: Option<Ends>,
}

pub(super) struct State {
    this: Weak<Shared>,
    pub(super) engine: Connection,
    feeds: HashMap<SessionKey, Feed>,
    messages: HashMap<MessageKey, Slot>,
    requests: HashMap<RequestKey, Answer>,
    /// Messages that come in parts.
    incoming: HashMap<IncomingKey, Parts>,
    /// Who knows of the sessions that peers ask for.
    doorman: Option<Arc<dyn Doorman>>,
    over: Option<LinkError>,
    /// What keeps a URI at a relay.
    registering: Option<Registering>,
    /// Whether there was a session that has been removed: without another one the connection ends.
    served: bool,
    /// The place of a connection that has come and is nobody's yet.
    place: Option<Place>,
    driver: Option<Waker>,
    wakes: Vec<Waker>,
    /// Tasks that wait for room for their messages.
    crowd: Vec<Waker>,
}

/// Knows of the sessions that peers ask for.
pub(super) trait Doorman: Send + Sync + fmt::Debug {
    /// A peer asks for a session over a connection. It is answered at once or later, by [`Connection::bind`] or
    /// [`Connection::turn_away`].
    fn stranger(&self, link: &Weak<Shared>, state: &mut State, to: &Uri, from: &Path, now: Instant);
}

/// What keeps the number of connections small that are nobody's yet.
pub(super) type Place = Box<dyn std::any::Any + Send>;

/// What has come for a session.
#[derive(Debug, Default)]
struct Feed {
    events: VecDeque<Event>,
    waker: Option<Waker>,
    over: Option<SessionEnd>,
    bound: bool,
}

/// What has come of a message that comes in parts.
#[derive(Debug)]
struct Parts {
    session: SessionKey,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

/// A message that is being sent.
#[derive(Debug, Default)]
struct Slot {
    wanted: bool,
    accepted: u64,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// A URI at a relay, as it is asked for and renewed.
struct Registering {
    registration: Registration,
    granted: Option<Path>,
    lost: Option<RegistrationError>,
    waker: Option<Waker>,
}

/// What becomes of a request of an owner's own: its response, or that there is none.
#[derive(Debug, Default)]
struct Answer {
    came: Option<Option<Head>>,
    waker: Option<Waker>,
}

/// Why a connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// One of its ends has ended it.
    #[error(transparent)]
    Closed(#[from] CloseReason),
    /// The transport has failed.
    #[error("the transport failed: {0}")]
    Transport(String),
    /// The TLS session was not ended in order: what was received may be cut short.
    #[error("the TLS session was cut off")]
    TlsCut,
    /// The relay does not have the URI of this end any more.
    #[error("the relay does not know this end any more: {0}")]
    Relay(RegistrationError),
    /// What drove it has ended, with its runtime.
    #[error("nobody drives the connection any more")]
    Gone,
}

impl LinkError {
    pub(super) fn of_stream(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::TlsCut,
            _ => Self::Transport(error.to_string()),
        }
    }
}

/// No more messages are taken while so many octets of others wait, unless there is but one.
const BACKLOG: usize = 1 << 20;

impl Shared {
    /// Begins to drive a connection over a stream.
    pub(super) fn start(stream: ByteStream, config: Config) -> Arc<Self> {
        Self::start_with(stream, config, None, None, None)
    }

    /// Begins to drive a connection over a stream, with somebody who knows of the sessions that its peer asks for.
    pub(super) fn start_with(
        stream: ByteStream,
        config: Config,
        doorman: Option<Arc<dyn Doorman>>,
        ends: Option<Ends>,
        place: Option<Place>,
    ) -> Arc<Self> {
        let engine = Connection::new(config, random::source(), Instant::now());
        let shared = Arc::new_cyclic(|this| {
            let state = State {
                this: this.clone(),
                engine,
                feeds: HashMap::new(),
                messages: HashMap::new(),
                requests: HashMap::new(),
                incoming: HashMap::new(),
                doorman,
                over: None,
                registering: None,
                served: false,
                place,
                driver: None,
                wakes: Vec::new(),
                crowd: Vec::new(),
            };
            Self { state: Mutex::new(state), ends }
        });
        tokio::spawn(Driver::new(shared.clone(), stream));
        shared
    }

    /// Where an accepted connection goes from and to.
    pub(super) fn ends(&self) -> Option<Ends> {
        self.ends.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the engine, lets the driver know, and wakes whoever waits for what has come of it.
    pub(super) fn turn<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = work(&mut state);
        state.route(Instant::now());
        let driver = state.driver.take();
        let wakes = state.take_wakes();
        drop(state);
        wakes.into_iter().chain(driver).for_each(Waker::wake);
        done
    }

    /// Waits for something that the state will have.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State, &Waker) -> Option<T>) -> T {
        poll_fn(|cx| look(&mut self.lock(), cx.waker()).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// What comes next for a session; the end of it where nothing does.
    pub(super) async fn next_event(&self, session: SessionKey) -> Result<Event, SessionEnd> {
        poll_fn(|cx| self.poll_event(session, cx)).await
    }

    pub(super) fn poll_event(&self, session: SessionKey, cx: &mut Context<'_>) -> Poll<Result<Event, SessionEnd>> {
        let mut state = self.lock();
        let Some(feed) = state.feeds.get_mut(&session) else { return Poll::Ready(Err(SessionEnd::Removed)) };
        let Some(event) = feed.events.pop_front() else {
            if let Some(over) = feed.over {
                return Poll::Ready(Err(over));
            }
            if !feed.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                feed.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        let driver = state.taken(event.weight());
        drop(state);
        driver.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(event))
    }

    /// Waits until the peer of a session has been heard of, or has answered.
    pub(super) async fn answered(&self, session: SessionKey) -> Result<(), SessionEnd> {
        self.wait(|state, waker| {
            let Some(feed) = state.feeds.get_mut(&session) else { return Some(Err(SessionEnd::Removed)) };
            match feed.over {
                _ if feed.bound => Some(Ok(())),
                Some(over) => Some(Err(over)),
                None => {
                    feed.waker = Some(waker.clone());
                    None
                }
            }
        })
        .await
    }

    /// Sends a message once there is room for it.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing is sent.
    pub(super) async fn send(&self, session: SessionKey, message: Outgoing) -> Result<MessageKey, SessionOver> {
        let mut message = Some(message);
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.engine.backlog() >= BACKLOG && !state.is_over() {
                state.joins_crowd(cx.waker());
                return Poll::Pending;
            }
            let put = state.put(session, message.take().expect("polled again after it was ready"));
            let driver = state.driver.take();
            drop(state);
            driver.into_iter().for_each(Waker::wake);
            Poll::Ready(put)
        })
        .await
    }

    /// Sends a message whether there is room for it or not.
    pub(super) fn put(&self, session: SessionKey, message: Outgoing) -> Result<MessageKey, SessionOver> {
        self.turn(|state| state.put(session, message))
    }

    /// Waits until every message of a session has come to an end.
    pub(super) async fn flushed(&self, session: SessionKey) {
        self.wait(|state, waker| {
            if state.is_over() || !state.engine.is_sending(session) {
                return Some(());
            }
            state.joins_crowd(waker);
            None
        })
        .await;
    }

    /// What comes next of a message that comes in parts.
    pub(super) async fn next_part(&self, incoming: IncomingKey) -> Option<Event> {
        poll_fn(|cx| {
            let mut state = self.lock();
            let Some(feed) = state.incoming.get_mut(&incoming) else { return Poll::Ready(None) };
            let Some(event) = feed.events.pop_front() else {
                feed.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let driver = state.taken(event.weight());
            drop(state);
            driver.into_iter().for_each(Waker::wake);
            Poll::Ready(Some(event))
        })
        .await
    }

    /// Nobody wants the rest of a message that comes in parts.
    pub(super) fn abandon(&self, incoming: IncomingKey) {
        self.turn(|state| {
            let Some(feed) = state.incoming.remove(&incoming) else { return };
            let weight = feed.events.iter().map(Event::weight).sum();
            state.engine.handle_taken(weight);
            // It may be whole, or its session over: then there is nobody to tell.
            let _ = state.engine.reject(feed.session, incoming);
        });
    }

    /// What has become of a message.
    pub(super) async fn outcome(&self, message: MessageKey) -> Outcome {
        self.wait(|state, waker| {
            let Some(slot) = state.messages.get_mut(&message) else { return Some(Outcome::SessionOver) };
            if let Some(outcome) = slot.outcome.clone() {
                return Some(outcome);
            }
            slot.waker = Some(waker.clone());
            None
        })
        .await
    }

    /// Waits until a message can take more; what has become of it where it cannot.
    pub(super) async fn wanted(&self, message: MessageKey) -> Result<(), Outcome> {
        self.wait(|state, waker| {
            let Some(slot) = state.messages.get_mut(&message) else { return Some(Err(Outcome::SessionOver)) };
            if let Some(outcome) = slot.outcome.clone() {
                return Some(Err(outcome));
            }
            if std::mem::take(&mut slot.wanted) {
                return Some(Ok(()));
            }
            slot.waker = Some(waker.clone());
            None
        })
        .await
    }

    /// How much of a message the next hop has taken.
    pub(super) fn accepted(&self, message: MessageKey) -> u64 {
        self.lock().messages.get(&message).map_or(0, |slot| slot.accepted)
    }

    /// Nobody wants to hear of a message any more.
    pub(super) fn forget(&self, message: MessageKey) {
        self.lock().messages.remove(&message);
    }

    /// The response to a request; nothing where there was none in time.
    pub(super) async fn response(&self, request: RequestKey) -> Result<Option<Head>, LinkError> {
        let _gone = Forget { shared: self, request };
        self.wait(|state, waker| {
            let over = state.over.clone();
            let Some(answer) = state.requests.get_mut(&request) else { return Some(Err(LinkError::Gone)) };
            if let Some(came) = answer.came.take() {
                return Some(Ok(came));
            }
            if let Some(over) = over {
                return Some(Err(over));
            }
            answer.waker = Some(waker.clone());
            None
        })
        .await
    }

    /// Asks a relay for a URI, which is renewed from then on.
    pub(super) async fn register(&self, registration: Registration) -> Result<Path, LinkError> {
        self.turn(|state| {
            let mut registration = registration;
            let begun = registration.begin(&mut state.engine, Instant::now());
            let lost = begun.err();
            state.registering = Some(Registering { registration, granted: None, lost, waker: None });
        });
        self.wait(|state, waker| {
            let over = state.over.clone();
            let registering = state.registering.as_mut().expect("put there just now");
            if let Some(path) = registering.granted.clone() {
                return Some(Ok(path));
            }
            if let Some(error) = registering.lost.clone() {
                return Some(Err(LinkError::Relay(error)));
            }
            registering.waker = Some(waker.clone());
            over.map(Err)
        })
        .await
    }

    /// Ends a connection on which there is no session.
    pub(super) fn abandon_link(&self) {
        self.turn(|state| state.served = true);
    }

    /// Why it is of no more use.
    pub(super) fn over(&self) -> Option<LinkError> {
        self.lock().over.clone()
    }
}

/// Nobody waits for a response any more.
struct Forget<'a> {
    shared: &'a Shared,
    request: RequestKey,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.shared.lock().requests.remove(&self.request);
    }
}

impl State {
    /// Has what comes for a session kept for it.
    pub(super) fn feed(&mut self, session: SessionKey) {
        let bound = self.engine.is_bound(session);
        self.place = None;
        self.feeds.entry(session).or_default().bound |= bound;
    }

    /// A task waits for room, or for messages to come to an end. One that asks again has its place already.
    fn joins_crowd(&mut self, waker: &Waker) {
        if !self.crowd.iter().any(|other| other.will_wake(waker)) {
            self.crowd.push(waker.clone());
        }
    }

    /// Something is done with: the driver, where it had stopped reading and can go on.
    fn taken(&mut self, weight: usize) -> Option<Waker> {
        let sated = !self.engine.is_hungry();
        self.engine.handle_taken(weight);
        if sated && self.engine.is_hungry() { self.driver.take() } else { None }
    }

    fn put(&mut self, session: SessionKey, message: Outgoing) -> Result<MessageKey, SessionOver> {
        let key = self.engine.send(session, message)?;
        self.messages.insert(key, Slot::default());
        Ok(key)
    }

    /// Waits for the response of a request that was put just now.
    pub(super) fn expect(&mut self, request: RequestKey) {
        self.requests.insert(request, Answer::default());
    }

    /// Octets of a message that comes in parts are there already.
    pub(super) fn have(&mut self, incoming: IncomingKey, octets: u64) {
        if let Some(parts) = self.incoming.get(&incoming) {
            // Where the session is over, its parts say so.
            let _ = self.engine.have(parts.session, incoming, 0..octets);
        }
    }

    /// Nobody has a session any more.
    pub(super) fn remove(&mut self, session: SessionKey, now: Instant) {
        self.engine.remove_session(session, now);
        self.served = true;
        if let Some(feed) = self.feeds.remove(&session) {
            let weight = feed.events.iter().map(Event::weight).sum();
            self.engine.handle_taken(weight);
            // Nobody has heard of these, and nobody will.
            for event in feed.events {
                if let Event::Began { incoming, .. } = event
                    && let Some(parts) = self.incoming.remove(&incoming)
                {
                    self.engine.handle_taken(parts.events.iter().map(Event::weight).sum());
                }
            }
        }
    }

    /// The transport has failed.
    pub(super) fn fail(&mut self, error: LinkError) {
        if self.over.is_none() && self.engine.close_reason().is_none() {
            self.over = Some(error);
        }
        self.engine.handle_eof();
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_some() || self.engine.close_reason().is_some() || (self.served && self.engine.sessions() == 0)
    }

    /// Hands on what the engine tells.
    pub(super) fn route(&mut self, now: Instant) {
        while let Some(event) = self.engine.poll_event() {
            let session = match &event {
                Event::Stranger { to, from } => {
                    match self.doorman.clone() {
                        Some(doorman) => doorman.stranger(&self.this.clone(), self, to, from, now),
                        None => self.engine.turn_away(Code::NO_SUCH_SESSION, now),
                    }
                    continue;
                }
                Event::Bound { session } => {
                    if let Some(feed) = self.feeds.get_mut(session) {
                        feed.bound = true;
                        self.wakes.extend(feed.waker.take());
                    }
                    continue;
                }
                Event::Wanted { message } => {
                    self.slot(*message, |slot| slot.wanted = true);
                    continue;
                }
                Event::Progress { message, accepted } => {
                    self.slot(*message, |slot| slot.accepted = *accepted);
                    continue;
                }
                Event::Outcome { message, outcome, .. } => {
                    self.slot(*message, |slot| slot.outcome = Some(outcome.clone()));
                    self.wakes.append(&mut self.crowd);
                    continue;
                }
                Event::Response { request, head } => {
                    self.answer(*request, Some(head.clone()));
                    self.tell_registration(&event, now);
                    continue;
                }
                Event::NoResponse { request } => {
                    self.answer(*request, None);
                    self.tell_registration(&event, now);
                    continue;
                }
                Event::SessionOver { session, why } => {
                    if let Some(feed) = self.feeds.get_mut(session) {
                        feed.over = Some(*why);
                        self.wakes.extend(feed.waker.take());
                    }
                    continue;
                }
                Event::Closed(reason) => {
                    self.close(LinkError::Closed(*reason));
                    continue;
                }
                Event::Began { session, incoming, .. } => {
                    if self.feeds.contains_key(session) {
                        let parts = Parts { session: *session, events: VecDeque::new(), waker: None };
                        self.incoming.insert(*incoming, parts);
                    }
                    Some(*session)
                }
                Event::Part { incoming, .. } | Event::Completed { incoming, .. } | Event::Broken { incoming, .. } => {
                    match self.incoming.get_mut(incoming) {
                        Some(parts) => {
                            self.wakes.extend(parts.waker.take());
                            parts.events.push_back(event);
                        }
                        None => self.engine.handle_taken(event.weight()),
                    }
                    continue;
                }
                Event::Message { session, .. }
                | Event::Duplicate { session, .. }
                | Event::Report { session, .. }
                | Event::Request { session, .. }
                | Event::Head { session, .. }
                | Event::Content { session, .. }
                | Event::End { session, .. } => Some(*session),
            };
            match session.and_then(|session| self.feeds.get_mut(&session)) {
                Some(feed) => {
                    self.wakes.extend(feed.waker.take());
                    feed.events.push_back(event);
                }
                None => self.engine.handle_taken(event.weight()),
            }
        }
        if !self.crowd.is_empty() && (self.engine.backlog() < BACKLOG || self.is_over()) {
            self.wakes.append(&mut self.crowd);
        }
    }

    fn tell_registration(&mut self, event: &Event, now: Instant) {
        if let Some(registering) = &mut self.registering {
            let outcome = registering.registration.handle_event(event, &mut self.engine, now);
            self.registered(outcome);
        }
    }

    /// When a URI at a relay is to be renewed, or the engine has something to do.
    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let renewal = self.registering.as_ref().and_then(|registering| registering.registration.poll_timeout());
        [self.engine.poll_timeout(), renewal].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        if let Some(registering) = &mut self.registering
            && registering.registration.poll_timeout().is_some_and(|at| at <= now)
        {
            let outcome = registering.registration.handle_timeout(&mut self.engine, now);
            self.registered(outcome);
        }
    }

    fn registered(&mut self, outcome: Option<registration::Outcome>) {
        let Some(registering) = &mut self.registering else { return };
        match outcome {
            None => return,
            Some(registration::Outcome::Granted { use_path, .. }) => registering.granted = Some(use_path),
            Some(registration::Outcome::Refreshed { moved: false, .. }) => return,
            Some(registration::Outcome::Refreshed { .. }) => {
                // The peer has the old one, which ends in a while; then the session does, unless it is agreed on again.
                tracing::warn!("the relay has given another URI on renewal");
                return;
            }
            Some(registration::Outcome::Lost(error)) => {
                let granted = registering.granted.is_some();
                registering.lost = Some(error.clone());
                if granted {
                    self.fail(LinkError::Relay(error));
                }
            }
        }
        let waker = self.registering.as_mut().and_then(|registering| registering.waker.take());
        self.wakes.extend(waker);
    }

    fn slot(&mut self, message: MessageKey, change: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.messages.get_mut(&message) {
            change(slot);
            self.wakes.extend(slot.waker.take());
        }
    }

    fn answer(&mut self, request: RequestKey, came: Option<Head>) {
        if let Some(answer) = self.requests.get_mut(&request) {
            answer.came = Some(came);
            self.wakes.extend(answer.waker.take());
        }
    }

    fn close(&mut self, error: LinkError) {
        self.over.get_or_insert(error);
        self.place = None;
        self.wakes.extend(self.requests.values_mut().filter_map(|answer| answer.waker.take()));
        self.wakes.extend(self.messages.values_mut().filter_map(|slot| slot.waker.take()));
        self.wakes.append(&mut self.crowd);
        self.wakes.extend(self.registering.as_mut().and_then(|registering| registering.waker.take()));
    }

    pub(super) fn driver_sleeps(&mut self, cx: &Context<'_>) {
        self.driver = Some(cx.waker().clone());
    }

    pub(super) fn take_wakes(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakes)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
