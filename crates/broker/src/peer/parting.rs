//! Links that end, and what is kept of them: their detach, the end of their session or connection, and other connections
//! that attach them (part 2, 2.6.1 and 2.6.4 to 2.6.6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_amqp::v1_0::{LinkId, LinkState, SessionId};
use postroad_codec::v1_0::{Error, ErrorCondition};
use tracing::debug;

use super::{Kind, Link, Peer};
use crate::link_expiry::{Parting, Timer};
use crate::link_table::Stay;
use crate::mailbox::Wake;
use crate::suspended::{Place, Suspended};

/// A link that is to be suspended, once all that has happened to it is known.
#[derive(Debug)]
pub(super) struct Leaving {
    state: LinkState,
    parting: Parting,
}

/// A link that was attached again with a map that lacks entries (part 2, 2.7.3): until it is detached and attached once
/// more, nothing new comes or goes.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) id: LinkId,
    pub(super) look_at: Instant,
    /// Whether everything that the maps told was dealt with at the last look.
    over: bool,
}

/// How long a client has to detach a link whose maps are dealt with, and at most twice that.
const ROUND: Duration = Duration::from_secs(5);

impl Peer {
    /// Takes note that the maps of a link lack entries.
    pub(super) fn begin_round(&mut self, id: LinkId) {
        if self.rounds.len() >= self.links.len() {
            // A client may attach and detach faster than we look.
            self.rounds.retain(|round| self.by_id.contains_key(&round.id));
        }
        self.rounds.push(Round { id, look_at: self.scratch.now + ROUND, over: false });
    }

    /// Detaches the links with whose maps both ends are done where the client does not: who waits for us would wait for
    /// ever.
    pub(super) fn end_rounds(&mut self, now: Instant) {
        if self.rounds.iter().all(|round| now < round.look_at) {
            return;
        }
        for round in std::mem::take(&mut self.rounds) {
            let id = round.id;
            if !self.by_id.contains_key(&id) {
                continue;
            }
            if now < round.look_at {
                self.rounds.push(round);
                continue;
            }
            let over = self.engine.is_round_over(id);
            if over && round.over {
                debug!("link detached for the next part of what is not settled");
                self.engine.detach(id, false, None);
                self.part(id, false, Parting::Link);
                self.depart(id);
            } else {
                self.rounds.push(Round { id, look_at: now + ROUND, over });
            }
        }
        self.suspend_leaving();
    }

    /// Takes a link out of the engine that is not attached any more, and keeps what is to be kept of it.
    pub(super) fn part(&mut self, id: LinkId, closed: bool, parting: Parting) {
        self.part_all(&[id], closed, parting);
    }

    /// As [`Peer::part`], of links that part together.
    fn part_all(&mut self, ids: &[LinkId], closed: bool, parting: Parting) {
        let states = self.engine.release_all(ids);
        for (id, state) in ids.iter().zip(states) {
            let Some(&slot) = self.by_id.get(id) else {
                self.waiting.retain(|waiting| waiting.id != *id);
                continue;
            };
            let Some(link) = self.links.get_mut(slot) else { continue };
            match state.filter(|_| !closed && link.expiry.is_some()) {
                Some(state) if link.leaving.is_none() => {
                    // The events that the engine still has may tell of deliveries that were settled before.
                    link.leaving = Some(Box::new(Leaving { state, parting }));
                    self.leaving.push(slot);
                }
                Some(_) => {}
                None if link.leaving.is_some() => {}
                None => self.remove(*id),
            }
        }
    }

    /// Parts with all links of a session.
    pub(super) fn end(&mut self, session: SessionId) {
        let attached = self.links.iter().filter(|(_, link)| link.session() == session).map(|(_, link)| link.id());
        let waiting = self.waiting.iter().map(|waiting| waiting.id);
        let waiting = waiting.filter(|id| self.engine.session_of(*id).is_none_or(|of| of == session));
        let ended: Vec<LinkId> = attached.chain(waiting).collect();
        self.part_all(&ended, false, Parting::Session);
        self.ended.push(session);
    }

    /// Parts with all links there are.
    pub(super) fn end_all(&mut self) {
        self.transactions.clear();
        self.waiting.clear();
        let (kept, others): (Vec<_>, Vec<_>) = self.links.iter().partition(|(_, link)| link.expiry.is_some());
        let [kept, others] = [kept, others].map(|links| links.iter().map(|(_, link)| link.id()).collect::<Vec<_>>());
        self.part_all(&kept, false, Parting::Connection);
        for id in others {
            self.remove(id);
        }
        self.over = true;
    }

    /// Suspends what was found to be leaving. All events have been handled.
    pub(super) fn suspend_leaving(&mut self) {
        for slot in std::mem::take(&mut self.leaving) {
            let leaving = self.links.get_mut(slot).and_then(|link| link.leaving.take());
            if let Some(leaving) = leaving {
                self.suspend(slot, *leaving);
            }
        }
        for session in std::mem::take(&mut self.ended) {
            self.shared.links.session_ended(self.connection, session, self.scratch.now);
        }
        if std::mem::take(&mut self.over) {
            self.shared.links.connection_ended(self.connection, self.scratch.now);
        }
    }

    fn suspend(&mut self, slot: usize, Leaving { state, parting }: Leaving) {
        let link = self.links.remove(slot);
        self.by_id.remove(&link.id());
        let session = link.session();
        let Link { kind, stay, expiry, .. } = link;
        let suspended = match kind {
            Kind::Outgoing(mut outgoing) => {
                self.adopt_orphans(&mut outgoing);
                Suspended::outgoing(state, outgoing, &mut self.scratch)
            }
            Kind::Incoming(incoming) => Suspended::incoming(state, incoming),
            Kind::Coordinator(_) => return,
        };
        let Some(expiry) = expiry else { return };
        let timer = expiry.timer(parting, self.connection, session, self.scratch.now);
        debug!(link = &*stay.key.name, unsettled = suspended.state.unsettled.len(), "link suspended");
        self.keep(&stay, suspended, Some(timer));
    }

    /// Puts what is left of a link into the table; without a timer, back into it.
    pub(super) fn keep(&self, stay: &Stay<Suspended>, left: Suspended, timer: Option<Timer>) {
        let (links, key, ticket) = (&self.shared.links, &stay.key, stay.ticket);
        let place = Arc::new(Place { table: Arc::downgrade(links), key: Arc::clone(key), ticket });
        left.wake_by(&Wake::Suspended(Arc::clone(&place)));
        drop(links.suspend(key, ticket, left, timer));
        // Its node may have been deleted before the table knew of the link.
        place.drop_if_deleted();
    }

    /// Gives up links that others attach. All events have been handled: nothing of this connection happens to them any
    /// more.
    pub(super) fn yield_links(&mut self) {
        for (slot, ticket) in std::mem::take(&mut self.yields) {
            let Some(link) = self.links.get(slot as usize).filter(|link| link.stay.ticket == ticket) else { continue };
            let id = link.id();
            debug!(link = &*link.stay.key.name, "link stolen");
            let text = "the link was attached on another connection of its container";
            self.engine.detach(id, false, Some(Error::new(ErrorCondition::STOLEN, text)));
            self.part(id, false, Parting::Link);
            self.depart(id);
        }
        self.suspend_leaving();
    }

    pub(super) fn remove(&mut self, id: LinkId) {
        let Some(slot) = self.by_id.remove(&id) else { return };
        let link = self.links.remove(slot);
        match link.kind {
            Kind::Outgoing(mut outgoing) => self.adopt_orphans(&mut outgoing),
            Kind::Incoming(_) => {}
            Kind::Coordinator(_) => self.roll_back_all(id),
        }
    }
}

/// Whatever ends the task, what its links had is kept or goes back.
impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the engine knows cannot be relied on: what is attached goes back. What was suspended before has not long to
            // wait.
            return self.shared.links.connection_ended(self.connection, Instant::now());
        }
        self.engine.handle_eof();
        self.scratch.now = Instant::now();
        while let Some(event) = self.engine.poll_event() {
            self.handle(event);
        }
        self.suspend_leaving();
    }
}
