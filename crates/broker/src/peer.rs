//! One client of the broker, without I/O: its engine, and what its links do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{Connection, ConnectionError, Event, LinkId, SessionId};
use postroad_codec::v1_0::{Error, ErrorCondition};
use slab::Slab;
use tracing::debug;

use crate::coordinator::Coordinator;
use crate::error::clip;
use crate::incoming::{Incoming, Manner};
use crate::link_expiry::{LinkExpiry, Parting};
use crate::link_table::Stay;
use crate::mailbox::{Mailbox, Order, Post};
use crate::outgoing::{Look, Outgoing, Scratch};
use crate::shared::{Registered, Shared};
use crate::suspended::Suspended;
use crate::transaction::Transactions;

mod attaching;
mod parting;
#[cfg(test)]
mod tests;
mod transacting;

use attaching::Waiting;
use parting::{Leaving, Round};

/// A client's connection and links.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) engine: Connection,
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    links: Slab<Link>,
    by_id: HashMap<LinkId, usize>,
    transactions: Transactions,
    /// Slots of links that something happened to.
    dirty: Vec<u32>,
    scratch: Scratch,
    stage: Stage,
    /// The connection's key among those of the broker.
    key: usize,
    /// Why it is closed as soon as it is open.
    refusal: Option<Error>,
    /// Links that we have detached, as far as they are not known to be forgotten.
    departing: Vec<LinkId>,
    /// The connection's name in the link table.
    connection: u64,
    /// Links that wait for another connection to yield them.
    waiting: Vec<Waiting>,
    /// Whether one of them may have been yielded.
    try_again: bool,
    /// Links whose maps lacked entries as they were attached again.
    rounds: Vec<Round>,
    /// Links that others attach, by slot and ticket.
    yields: Vec<(u32, u64)>,
    /// Slots of links that are to be suspended, and what has ended since that was done last.
    leaving: Vec<usize>,
    ended: Vec<SessionId>,
    over: bool,
}

#[derive(Debug)]
struct Link {
    kind: Kind,
    dirty: bool,
    /// Its place in the link table.
    stay: Arc<Stay<Suspended>>,
    /// How long it is kept when it is detached; `None`: it is not.
    expiry: Option<LinkExpiry>,
    leaving: Option<Box<Leaving>>,
}

#[derive(Debug)]
enum Kind {
    Outgoing(Box<Outgoing>),
    Incoming(Box<Incoming>),
    Coordinator(Coordinator),
}

/// Where a connection is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Nothing new is taken; what is unsettled may still be settled until then.
    Settling {
        until: Instant,
    },
    /// Our close has been sent; the peer has until then to answer, where it has no other limit.
    Closing {
        until: Option<Instant>,
    },
}

/// The mechanism of clients that are nobody.
const ANONYMOUS: &str = "ANONYMOUS";

/// How long a client that is closed has to answer.
const ANSWER: Duration = Duration::from_secs(5);

impl Peer {
    pub(crate) fn new(engine: Connection, registered: &Registered) -> Self {
        Self {
            engine,
            shared: Arc::clone(&registered.shared),
            mailbox: Arc::clone(&registered.mailbox),
            links: Slab::new(),
            by_id: HashMap::new(),
            transactions: Transactions::new(registered.shared.settings.transactions, &registered.shared.ledger),
            dirty: Vec::new(),
            scratch: Scratch::new(Instant::now()),
            stage: Stage::Serving,
            key: registered.key(),
            refusal: registered.refusal.clone(),
            departing: Vec::new(),
            connection: registered.shared.links.connection(),
            waiting: Vec::new(),
            try_again: false,
            rounds: Vec::new(),
            yields: Vec::new(),
            leaving: Vec::new(),
            ended: Vec::new(),
            over: false,
        }
    }

    /// Takes in what others have for this connection. [`Peer::work`] does it.
    pub(crate) fn deliver(&mut self, post: &mut Post) {
        if let Some(order) = post.order.take() {
            self.obey(order);
        }
        for slot in post.links.drain(..) {
            self.touch(slot as usize);
        }
        self.yields.append(&mut post.yields);
        self.try_again |= std::mem::take(&mut post.try_again);
    }

    /// Does as the broker says.
    fn obey(&mut self, order: Order) {
        let Order::Close { settle_by } = order;
        if self.stage == Stage::Serving {
            self.stage = Stage::Settling { until: settle_by };
            // The standing demand of consumers is withdrawn at the next look.
            for slot in 0..self.links.capacity() {
                self.touch(slot);
            }
            // Nothing is attached any more.
            self.try_again = true;
        }
    }

    /// Works through everything that has happened. `true`: there is more to do at once.
    pub(crate) fn work(&mut self, now: Instant) -> bool {
        self.scratch.now = now;
        while let Some(event) = self.engine.poll_event() {
            self.handle(event);
        }
        self.suspend_leaving();
        self.yield_links();
        self.attach_waiting(now);
        self.end_rounds(now);
        self.time_out(now);
        let mut again = Vec::new();
        for slot in std::mem::take(&mut self.dirty) {
            if let Some(link) = self.links.get_mut(slot as usize) {
                link.dirty = false;
            }
            if self.look(slot as usize) == Look::More {
                again.push(slot);
            }
        }
        for slot in &again {
            self.touch(*slot as usize);
        }
        self.advance(now);
        !again.is_empty()
    }

    /// When [`Peer::work`] has something to do though nothing has happened.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Settling { until } => Some(until),
            Stage::Serving => None,
            Stage::Closing { until } => until,
        };
        let waiting = self.waiting.iter().map(|waiting| waiting.until).min();
        let round = self.rounds.iter().map(|round| round.look_at).min();
        [stage, waiting, round, self.transactions.due()].into_iter().flatten().min()
    }

    /// Whether the client has sent its close, and with it everything that it will ever send.
    pub(crate) fn has_closed(&self) -> bool {
        use ConnectionError::{Closed, Remote, RemoteClosed};
        matches!(self.engine.error(), Some(Closed | Remote(_) | RemoteClosed))
    }

    fn advance(&mut self, now: Instant) {
        if let Stage::Closing { until: Some(until) } = self.stage
            && now >= until
        {
            self.stage = Stage::Closing { until: None };
            self.engine.handle_eof();
        }
        let Stage::Settling { until } = self.stage else { return };
        let unsettled = self.links.iter().any(|(_, link)| match &link.kind {
            Kind::Outgoing(outgoing) => outgoing.unsettled() > 0,
            Kind::Incoming(_) | Kind::Coordinator(_) => false,
        });
        let unsettled = unsettled || self.transactions.holds_posts();
        if self.engine.remote_open().is_none() {
            // There is nothing to close yet.
            self.stage = Stage::Closing { until: None };
            self.engine.handle_eof();
        } else if !unsettled || now >= until {
            self.stage = Stage::Closing { until: None };
            let error = Error::new(ErrorCondition::CONNECTION_FORCED, "the broker is shutting down");
            self.engine.close(Some(error));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Update(update) => {
                let slot = Outgoing::slot_of(update.token);
                if let Some(Link { kind: Kind::Outgoing(outgoing), .. }) = self.links.get_mut(slot) {
                    let retirement = outgoing.update(update);
                    self.touch(slot);
                    if let Some(retirement) = retirement {
                        self.retire(slot, retirement);
                    }
                }
            }
            Event::InDoubt { link, token, .. } => {
                let slot = Outgoing::slot_of(token);
                if let Some(Link { kind: Kind::Outgoing(outgoing), .. }) = self.links.get_mut(slot) {
                    outgoing.in_doubt(link, token);
                    self.touch(slot);
                }
            }
            Event::Readable(id) => {
                let Some(&slot) = self.by_id.get(&id) else { return };
                let Some(link) = self.links.get_mut(slot) else { return };
                let incoming = match &mut link.kind {
                    Kind::Incoming(incoming) => incoming,
                    Kind::Coordinator(_) => return self.coordinate(slot),
                    Kind::Outgoing(_) => return,
                };
                let told = self.engine.is_attached(id) && self.engine.error().is_none();
                let manner =
                    Manner { closing: self.stage != Stage::Serving, tell_later: link.expiry.is_some() && !told };
                match incoming.receive(&mut self.engine, &mut self.scratch, &mut self.transactions, manner) {
                    Ok(()) => self.touch(slot),
                    Err(error) => self.detach(slot, error),
                }
                for (key, fault) in std::mem::take(&mut self.scratch.failed) {
                    self.fail(key, fault);
                }
            }
            Event::FlowProperties(id) => {
                if let Some(&slot) = self.by_id.get(&id) {
                    self.acquire(slot, id);
                }
            }
            Event::Credit(id) | Event::Drain(id) | Event::Echo(id) | Event::Aborted(id) => {
                if let Some(&slot) = self.by_id.get(&id) {
                    self.touch(slot);
                }
            }
            Event::LinkIncoming(id) => self.attach(id),
            Event::SettledBySender { link, .. } => {
                let Some(&slot) = self.by_id.get(&link) else { return };
                let Some(Link { kind: Kind::Incoming(incoming), .. }) = self.links.get_mut(slot) else { return };
                incoming.settled_by_sender();
                self.touch(slot);
            }
            Event::Reassociated { link, delivery, .. } => {
                let Some(&slot) = self.by_id.get(&link) else { return };
                let Some(Link { kind: Kind::Incoming(incoming), .. }) = self.links.get_mut(slot) else { return };
                incoming.resumed(delivery, &mut self.engine);
                self.touch(slot);
            }
            Event::Resumed { link, complete: false, .. } => self.begin_round(link),
            Event::LinkDetached { link, closed, error } => {
                if let Some(error) = error {
                    debug!(%error, "link detached by the peer");
                }
                self.part(link, closed, Parting::Link);
            }
            Event::SessionEnded { session, .. } => self.end(session),
            Event::Closed(error) => {
                match &error {
                    ConnectionError::Closed | ConnectionError::RemoteClosed | ConnectionError::Lost => {
                        debug!(%error, "connection over");
                    }
                    error => tracing::info!(%error, "connection over"),
                }
                self.end_all();
            }
            Event::Opened => {
                let container = self.engine.remote_open().map(|open| open.container_id.to_string());
                debug!(container, user = self.engine.user().map(|(user, _)| user), "connection open");
                if let Err(error) = self.admit() {
                    self.close(error);
                }
            }
            // The engine has done what there is to do.
            _ => {}
        }
    }

    /// Whether the client may stay, now that it is known who it is.
    fn admit(&mut self) -> Result<(), Error> {
        if let Some(error) = self.refusal.take() {
            return Err(error);
        }
        match self.engine.user() {
            Some((user, mechanism)) if mechanism != ANONYMOUS => self.shared.authenticated(self.key, user),
            _ => Ok(()),
        }
    }

    /// Closes the connection for what the client has done, or for being one too many.
    fn close(&mut self, error: Error) {
        tracing::info!(%error, "connection refused");
        self.engine.close(Some(clip(error)));
        self.stage = Stage::Closing { until: Some(self.scratch.now + ANSWER) };
    }

    /// Remembers a link that waits for the client's detach. A client that attaches and never answers would have us keep
    /// more and more of them.
    fn depart(&mut self, id: LinkId) {
        let _ = self.engine.release(id);
        let max = self.shared.settings.max_links;
        if self.departing.len() >= max {
            let engine = &self.engine;
            self.departing.retain(|id| engine.role_of(*id).is_some());
        }
        self.departing.push(id);
        if self.departing.len() > max && self.stage == Stage::Serving {
            let text = format!("more than {max} detached links whose detach was not answered");
            self.close(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text));
        }
    }

    fn look(&mut self, slot: usize) -> Look {
        let Some(link) = self.links.get_mut(slot) else { return Look::Waits };
        let closing = self.stage != Stage::Serving;
        let look = match &mut link.kind {
            Kind::Outgoing(outgoing) => outgoing.look(&mut self.engine, &mut self.scratch, closing),
            Kind::Incoming(incoming) => incoming.look(&mut self.engine, closing),
            Kind::Coordinator(coordinator) => {
                coordinator.look(&mut self.engine);
                Look::Waits
            }
        };
        if look == Look::Deleted {
            let error = match &link.kind {
                Kind::Outgoing(outgoing) => outgoing.deleted(),
                Kind::Incoming(incoming) => incoming.deleted(),
                Kind::Coordinator(_) => return Look::Waits,
            };
            self.detach(slot, error);
        }
        look
    }

    /// Closes a link from our end. It is gone from here at once, the engine waits for the peer.
    fn detach(&mut self, slot: usize, error: Error) {
        let Some(id) = self.links.get(slot).map(Link::id) else { return };
        debug!(%error, "link detached");
        self.engine.detach(id, true, Some(clip(error)));
        self.remove(id);
        self.depart(id);
    }

    /// Has the outcomes that wait for a commit wait for it without their link.
    fn adopt_orphans(&mut self, outgoing: &mut Outgoing) {
        for (key, orphan) in outgoing.orphans() {
            // Otherwise it goes back as it is dropped.
            if let Some(transaction) = self.transactions.by_key(key) {
                transaction.orphans.push(orphan);
            }
        }
    }

    fn touch(&mut self, slot: usize) {
        if let Some(link) = self.links.get_mut(slot)
            && !link.dirty
        {
            link.dirty = true;
            self.dirty.push(slot as u32);
        }
    }
}

impl Link {
    fn id(&self) -> LinkId {
        match &self.kind {
            Kind::Outgoing(outgoing) => outgoing.id,
            Kind::Incoming(incoming) => incoming.id,
            Kind::Coordinator(coordinator) => coordinator.id,
        }
    }

    fn session(&self) -> SessionId {
        match &self.kind {
            Kind::Outgoing(outgoing) => outgoing.session,
            Kind::Incoming(incoming) => incoming.session,
            Kind::Coordinator(coordinator) => coordinator.session,
        }
    }
}
