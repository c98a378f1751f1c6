//! A connection that is lost and made anew: what its sessions and links do meanwhile, and how they go over to the next
//! engine.
//!
//! ```text
//!  connected ──lost──▶ down: the dead engine stays, calls wait ──another engine has opened──▶ sessions are begun,
//!      ▲                 │                                        links attached again, with what was not settled
//!      │                 └──the limits are reached, or closed──▶ over
//!      └───────────────────────────────────────────────────────────────────────┘
//! ```

use std::sync::Weak;
use std::time::{Duration, Instant};

use crate::event::ConnectionEvent;
use crate::moved::Moved;
use crate::protocol::{
    DeliveryNumber, DeliveryTag, Demand, How, LinkId, Protocol, Role, SessionId, Suspended, Take, To,
};
use crate::state::{LinkEntry, State};
use crate::types::ErrorCondition;
use crate::{ConnectionError, Guarantee, LinkError, LinkOptions, Node};

/// How a link is attached again.
#[derive(Debug)]
pub(crate) struct Again {
    pub(crate) name: String,
    /// To the node, and on the terms, to which it was attached first; or else to the peer's coordinator, whose
    /// transactions are gone.
    pub(crate) terms: Option<Terms>,
}

/// What a link is attached to, and how.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) role: Role,
    pub(crate) node: Node,
    pub(crate) options: LinkOptions,
}

/// What is still to come before a link that was attached again can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// Nothing.
    Not,
    /// The peer's attach, for a link that is new to the peer.
    Anew,
    /// What becomes of the deliveries that the link brought along.
    Resuming,
    /// Nothing, for those deliveries that an attach had room for. When they are settled the link is attached again, for
    /// the rest (2.7.3); nothing new comes or goes before.
    Partly,
    /// What becomes of the next of those.
    NextPart,
}

/// How long after a connection was made anew what is left of the one before may still be read by the peer.
const STOLEN: Duration = Duration::from_secs(5);

/// So many attaches in a row may settle nothing before a link counts as lost.
const VAIN: u32 = 1000;

/// A connection that was lost and is not made anew.
#[derive(Debug)]
pub(crate) struct Down {
    pub(crate) since: Instant,
}

impl Again {
    fn is_exactly_once(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.options.guarantee == Guarantee::ExactlyOnce)
    }

    /// Whether what is not settled is sent again to a container that is not the one it was sent to.
    fn resends_elsewhere(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.options.resend_elsewhere && !self.is_exactly_once())
    }
}

impl LinkEntry {
    /// Whether the link is there and what it brought along is dealt with.
    pub(crate) fn is_usable(&self) -> bool {
        self.attached && matches!(self.joining, Joining::Not | Joining::Partly)
    }

    pub(crate) fn name(&self) -> String {
        self.again.as_ref().map(|again| again.name.clone()).unwrap_or_default()
    }
}

impl State {
    /// The connection is lost: it is over, or waits to be made anew.
    pub(crate) fn lose(&mut self, error: ConnectionError) {
        if self.over.is_some() || self.down.is_some() {
            return;
        }
        let wanted = self.reconnects && self.opened && self.close_by.is_none();
        if !wanted {
            return self.end_connection(error);
        }
        if !error.is_passing() {
            let Some(dialed) = &self.dialed else { return self.end_connection(error) };
            let tokens = self.claims.iter().filter_map(Weak::upgrade).any(|claims| !claims.is_empty());
            match dialed.closed(error, tokens) {
                Ok((elsewhere, error)) => {
                    self.elsewhere = Some(Box::new(elsewhere));
                    return self.go_down(error);
                }
                Err(error) => return self.end_connection(error),
            }
        }
        self.go_down(error);
    }

    /// There is no connection until another one is made.
    pub(crate) fn go_down(&mut self, error: ConnectionError) {
        self.opened = false;
        self.lost = Some(error.clone());
        self.down = Some(Down { since: Instant::now() });
        self.tell(ConnectionEvent::Lost(error.clone()));
        // What was on its way out is out.
        let ending = self.drop_teardown();
        for session in ending {
            self.end_session(session, &LinkError::Closed);
        }
        self.end_transacted(&error);
        self.drop_drains();
        // Who asked asks again.
        self.asked.clear();
        self.joins.clear();
        if let Some(incoming) = &mut self.incoming {
            incoming.clear();
        }
        let (over, lost) = (LinkError::Connection(error.clone()), LinkError::Interrupted(error));
        let keys: Vec<usize> = self.links.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(entry) = self.links.get(key).filter(|entry| entry.over.is_none()) else { continue };
            let id = entry.id;
            match entry.again.as_deref() {
                _ if entry.detaching || entry.abandoned => self.end_link(id, LinkError::Closed),
                None => self.end_link(id, over.clone()),
                Some(Again { terms: None, .. }) => self.undo_control(key, &lost),
                Some(_) => {}
            }
            // Whoever is in the middle of a message has to hear of it.
            if let Some(entry) = self.links.get_mut(key) {
                entry.waiters.wake(&mut self.wakes);
            }
        }
        self.waiters.wake(&mut self.wakes);
    }

    /// Ends the sessions whose work ends with the connection.
    fn end_transacted(&mut self, error: &ConnectionError) {
        let transacted = self.sessions.iter().filter(|(_, entry)| entry.transacted && entry.over.is_none());
        let ending: Vec<(SessionId, bool)> = transacted.map(|(_, entry)| (entry.id, entry.committing)).collect();
        for (session, committing) in ending {
            let error = match committing {
                true => LinkError::TransactionUnknown(error.clone()),
                false => LinkError::TransactionAborted(error.clone()),
            };
            self.end_session(session, &error);
        }
    }

    /// Goes on with the engine of another connection, which is open; not when this one is over.
    pub(crate) fn adopt(&mut self, candidate: &mut Self, broker: String) -> Option<()> {
        let down = self.down.take().filter(|_| self.over.is_none())?;
        let [before, now] = [&self.engine, &candidate.engine].map(|engine| engine.peer().map(|peer| peer.container));
        let same_container = before == now;
        std::mem::swap(&mut self.engine, &mut candidate.engine);
        // What the peer has opened since.
        if let Some(incoming) = &mut self.incoming {
            incoming.extend(candidate.incoming.take().into_iter().flatten());
        }
        let dead = &mut *candidate.engine;
        self.epoch += 1;
        (self.opened, self.adopted) = (true, Some(Instant::now()));
        (self.close_by, self.attaching) = (None, false);
        self.forget_index();
        self.tell(ConnectionEvent::Reopened { broker, same_container, after: down.since.elapsed() });
        let keys: Vec<usize> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.begin_again(key);
        }
        let mut before = std::mem::take(&mut self.moved);
        let keys: Vec<usize> = self.links.iter().map(|(key, _)| key).collect();
        for key in keys {
            if self.links[key].over.is_some() {
                self.links[key].id = self.unborn_link();
                continue;
            }
            self.take_over(key, dead, &mut before, same_container);
        }
        for (_, entry) in &mut self.links {
            if !entry.second {
                entry.heard.lost();
            }
            entry.waiters.wake(&mut self.wakes);
        }
        self.waiters.wake(&mut self.wakes);
        // What came behind the peer's open.
        self.take_news();
        Some(())
    }

    /// Begins a session of the engine before in this one. What is over loses its id, which is that of another one here.
    fn begin_again(&mut self, key: usize) {
        let nobodys = self.unborn_session();
        let entry = &mut self.sessions[key];
        entry.id = nobodys;
        if !entry.ours {
            // The peer begins its own again.
            let lost = LinkError::SessionEnded(None);
            entry.over.get_or_insert(lost);
            entry.waiters.wake(&mut self.wakes);
            if entry.handles == 0 {
                self.sessions.remove(key);
                return;
            }
        }
        if entry.over.is_some() {
            entry.waiters.wake(&mut self.wakes);
            return;
        }
        entry.begun = false;
        match self.engine.begin() {
            Ok(id) => entry.id = id,
            // The peer takes fewer sessions than the one before.
            Err(_) => entry.over = Some(LinkError::SessionEnded(None)),
        }
        entry.waiters.wake(&mut self.wakes);
    }

    /// Attaches a link of the engine before to this one.
    fn take_over(&mut self, key: usize, dead: &mut dyn Protocol, before: &mut Moved, same_container: bool) {
        let entry = &mut self.links[key];
        let (old, session) = (entry.id, entry.session);
        if std::mem::take(&mut entry.unborn) {
            return self.attach_first(key, session);
        }
        let Some(again) = entry.again.as_deref() else { return };
        let exactly_once = again.is_exactly_once();
        let resends = same_container || again.resends_elsewhere() || again.terms.is_none();
        let demand = demand(dead, old, entry.due);
        // What is not settled and was not taken comes again.
        let (suspended, settled) = dead.release(old, if exactly_once { Take::None } else { Take::Settled });
        entry.left.extend(settled);
        let Some(mut suspended) = suspended else { return self.end_entry(key, LinkError::Closed) };
        if let Some(error) = self.sessions[session].over.clone() {
            self.keep_doubts(key, suspended, &error);
            return self.end_entry(key, error);
        }
        let resumes = exactly_once && same_container;
        if !resumes && !resends {
            let lost = self.lost_error();
            self.doubt_all(key, &mut suspended, &lost);
        }
        (self.links[key].open, self.links[key].due) = (0, 0);
        if resumes {
            let (epoch, serial) = (self.epoch - 1, self.links[key].serial);
            for (tag, number) in suspended.taken() {
                self.moved.take_over(before, serial, tag, epoch, number);
                self.links[key].open += 1;
                self.links[key].due += 1;
            }
        } else {
            self.links[key].since = self.epoch;
        }
        let session = self.sessions[session].id;
        self.links[key].parts = (suspended.unsettled.len() + 1, 0);
        self.attach_again(key, session, suspended, resumes);
        self.demand_again(key, demand);
    }

    /// Attaches a link that was made while there was no connection.
    fn attach_first(&mut self, key: usize, session: usize) {
        if let Some(error) = self.sessions[session].over.clone() {
            return self.end_entry(key, error);
        }
        let (session, epoch) = (self.sessions[session].id, self.epoch);
        let entry = &mut self.links[key];
        entry.since = epoch;
        let role = entry.again.as_ref().and_then(|again| again.terms.as_ref()).map_or(Role::Sender, |terms| terms.role);
        let demand = (role == Role::Receiver).then_some(Demand { credit: entry.wanted, drain: false });
        let nothing = Suspended { role, unsettled: Vec::new(), state: Box::new(()) };
        self.attach_again(key, session, nothing, false);
        self.demand_again(key, demand);
    }

    fn demand_again(&mut self, key: usize, demand: Option<Demand>) {
        let Self { links, engine, .. } = self;
        if let (Some(entry), Some(demand)) = (links.get_mut(key).filter(|entry| entry.over.is_none()), demand) {
            entry.wanted = demand.credit;
            engine.set_overdraft(entry.id, entry.overdraft);
            engine.grant(entry.id, demand.credit.saturating_add(entry.due));
            if demand.drain && demand.credit > 0 {
                engine.drain(entry.id);
            }
        }
    }

    /// Attaches a link on a session of this engine.
    fn attach_again(&mut self, key: usize, session: SessionId, mut suspended: Suspended, resumes: bool) {
        let Self { engine, links, joins, .. } = self;
        let entry = &mut links[key];
        let Some(again) = entry.again.as_deref() else { return };
        let attached = match &again.terms {
            Some(Terms { role, node, options }) => {
                let how = match resumes {
                    true => How::Resume(&mut suspended),
                    false if *role == Role::Sender && !suspended.is_empty() => How::Restart(&mut suspended),
                    false => How::Anew,
                };
                let joining = if matches!(how, How::Anew) { Joining::Anew } else { Joining::Resuming };
                let to = To::Node { role: *role, node, options };
                engine.attach(session, &again.name, to, how).map(|id| (id, joining))
            }
            None => engine.attach(session, &again.name, To::Coordinator, How::Anew).map(|id| (id, Joining::Anew)),
        };
        match attached {
            Ok((id, joining)) => {
                if let Some(Terms { options, .. }) = &again.terms
                    && let Some(by) = Instant::now().checked_add(options.timeout)
                {
                    joins.push((by, id, options.timeout));
                }
                entry.id = id;
                entry.joining = joining;
                (entry.attached, entry.confirmed) = (false, false);
                self.index_link(key, id);
            }
            Err(error) => {
                let error = LinkError::Limit(error);
                self.keep_doubts(key, suspended, &error);
                self.end_entry(key, error);
            }
        }
    }

    /// The peer has attached a link.
    pub(crate) fn attached(&mut self, link: LinkId) {
        let Some(key) = self.key_of(link) else { return };
        let remote = self.engine.remote(link);
        let address = remote.as_ref().and_then(|remote| remote.address().map(ToOwned::to_owned));
        let has_terminus = remote.as_ref().is_some_and(|remote| remote.has_terminus());
        let exactly_once = self.links[key].again.as_ref().is_some_and(|again| again.is_exactly_once());
        let map_room = if exactly_once { self.engine.map_capacity(link) } else { usize::MAX };
        let entry = &mut self.links[key];
        (entry.attached, entry.map_room) = (true, map_room);
        let previous = std::mem::replace(&mut entry.address, address.clone());
        if entry.joining == Joining::Not || !has_terminus {
            // One that is attached for the first time, or refused.
            return;
        }
        let (Some(again), Some(remote)) = (entry.again.as_deref(), remote) else { return };
        let joining = entry.joining;
        let mut dynamic = false;
        if let Some(Terms { node, options, .. }) = &again.terms {
            dynamic = node.dynamic;
            if let Err(error) = remote.grants(node, options) {
                self.engine.detach(link, None);
                return self.lose_link(link, LinkError::from_attach(error));
            }
        }
        if dynamic && previous != address {
            let (name, address) = (again.name.clone(), address.unwrap_or_default());
            self.tell(ConnectionEvent::NodeRenewed { link: name, previous, address });
        }
        match joining {
            Joining::Anew => self.joined(key, link, false),
            _ => self.engine.proceed(link),
        }
    }

    /// Gives links up that the peer has not answered in time, and tells when that is to be looked at next.
    pub(crate) fn expire_joins(&mut self, now: Instant) -> Option<Instant> {
        if self.joins.is_empty() {
            return None;
        }
        for (by, link, timeout) in std::mem::take(&mut self.joins) {
            let entry = self.entry(link);
            if entry.is_none_or(|entry| matches!(entry.joining, Joining::Not | Joining::Partly)) {
                continue;
            }
            if by <= now {
                self.engine.detach(link, None);
                self.lose_link(link, LinkError::Timeout(timeout));
            } else {
                self.joins.push((by, link, timeout));
            }
        }
        self.joins.iter().map(|(by, ..)| *by).min()
    }

    /// A peer that did not say where it attached a link means it all the same.
    #[cold]
    pub(crate) fn confirmed(&mut self, link: LinkId) {
        let Some(key) = self.key_of(link).filter(|key| self.links[*key].attached) else { return };
        self.joined(key, link, false);
    }

    /// What a link brought along is dealt with.
    pub(crate) fn resumed(&mut self, link: LinkId, complete: bool, remembered: bool) {
        let Some(key) = self.key_of(link) else { return };
        let epoch = self.epoch;
        let entry = &mut self.links[key];
        let (serial, joining) = (entry.serial, entry.joining);
        if !remembered {
            entry.since = epoch;
            self.moved.forget_link(serial);
        }
        if self.engine.receives(link) {
            // What the sender has settled meanwhile is not resumed.
            if entry.kept.is_none() {
                entry.due = u32::try_from(self.moved.waiting(serial)).unwrap_or(u32::MAX);
            }
            self.engine.grant(link, entry.wanted.saturating_add(entry.due));
        }
        if joining == Joining::NextPart {
            self.links[key].joining = Joining::Not;
        } else {
            self.joined(key, link, remembered);
        }
        if !complete {
            self.links[key].joining = Joining::Partly;
            self.partly.push(key);
        }
        self.wake_link(link);
    }

    fn joined(&mut self, key: usize, link: LinkId, resumed: bool) {
        self.links[key].joining = Joining::Not;
        // Whoever waits for all links to be there.
        self.waiters.wake(&mut self.wakes);
        if self.links[key].again.is_some() {
            let role = if self.engine.receives(link) { Role::Receiver } else { Role::Sender };
            let link = self.links[key].name();
            self.tell(ConnectionEvent::LinkAttached { link, role, resumed });
        }
    }

    /// Detaches the links that are to tell the next part of what is not settled.
    pub(crate) fn go_on_with_parts(&mut self) {
        for key in std::mem::take(&mut self.partly) {
            let Some(entry) = self.links.get(key) else { continue };
            let waits = entry.joining == Joining::Partly && entry.over.is_none() && self.down.is_none();
            if !waits {
                continue;
            }
            let id = entry.id;
            if self.engine.is_round_over(id) {
                self.links[key].joining = Joining::NextPart;
                self.engine.detach_for_now(id, None);
                if self.links[key].kept.is_some() {
                    // The peer attaches it again.
                    self.end_link(id, LinkError::DetachedByPeer);
                }
            } else {
                self.partly.push(key);
            }
        }
    }

    /// The peer has detached a link, or its end of the detach has come.
    pub(crate) fn link_ended(&mut self, link: LinkId, error: LinkError, closed: bool) {
        let Some(key) = self.key_of(link) else { return self.end_link(link, error) };
        if self.keeps(key) && !closed {
            self.leaving.push((link, error));
            return;
        }
        self.links[key].kept = None;
        let entry = &self.links[key];
        // The peer may be the one to find that a part is done with.
        let in_parts = matches!(entry.joining, Joining::NextPart | Joining::Partly);
        let next_part = !closed && in_parts && error == LinkError::DetachedByPeer;
        let gone = entry.detaching || entry.abandoned;
        if !gone && self.is_stolen_by_ourselves(&error) {
            self.engine.close(None);
            self.lose(ConnectionError::Stolen);
            self.engine.handle_eof();
            return;
        }
        if !next_part || gone {
            // What answers a detach of ours is no news of the peer's.
            let error = if gone && error == LinkError::DetachedByPeer { LinkError::Closed } else { error };
            return self.lose_link(link, error);
        }
        let (session, serial, epoch) = (self.sessions[entry.session].id, entry.serial, self.epoch);
        let demand = demand(&mut *self.engine, link, self.links[key].due);
        let (suspended, _) = self.engine.release(link, Take::None);
        match suspended {
            Some(suspended) if !self.is_stuck(key, suspended.unsettled.len()) => {
                let mut before = std::mem::take(&mut self.moved);
                self.links[key].due = 0;
                for (tag, number) in suspended.taken() {
                    self.moved.take_over(&mut before, serial, tag, epoch, number);
                    self.links[key].due += 1;
                }
                self.moved.keep_others(before, serial);
                self.attach_again(key, session, suspended, true);
                self.links[key].joining = Joining::NextPart;
                self.demand_again(key, demand);
            }
            suspended => {
                if let Some(suspended) = suspended {
                    self.keep_doubts(key, suspended, &error);
                }
                self.lose_link(link, error);
            }
        }
    }

    /// Whether a link seems to be stolen by what is left of our last connection, of which the peer reads the attach only
    /// now: then the next connection has it again. Two owners of a name do not fight for it, since each of them gives in
    /// once its connection has lasted for a while.
    fn is_stolen_by_ourselves(&self, error: &LinkError) -> bool {
        let stolen = error.peer_error().is_some_and(|error| error.condition == ErrorCondition::STOLEN);
        stolen && self.adopted.is_some_and(|adopted| adopted.elapsed() < STOLEN)
    }

    /// Whether two ends that tell a part after a part come no further: then what one of them tells the other one does
    /// not know.
    fn is_stuck(&mut self, key: usize, unsettled: usize) -> bool {
        let (least, vain) = &mut self.links[key].parts;
        if unsettled < *least {
            (*least, *vain) = (unsettled, 0);
        } else {
            *vain += 1;
        }
        *vain > VAIN
    }

    /// A link is over, and those who watch the connection are told.
    fn lose_link(&mut self, link: LinkId, error: LinkError) {
        let name = self.key_of(link).map(|key| &self.links[key]).filter(|entry| !entry.detaching && !entry.abandoned);
        let name = name.map(LinkEntry::name);
        self.end_link(link, error.clone());
        if let Some(link) = name {
            self.tell(ConnectionEvent::LinkLost { link, error });
        }
    }

    /// Ends a link that the engine does not know.
    fn end_entry(&mut self, key: usize, error: LinkError) {
        let nobodys = self.unborn_link();
        let entry = &mut self.links[key];
        if entry.over.is_some() {
            return;
        }
        (entry.id, entry.over) = (nobodys, Some(error.clone()));
        entry.waiters.wake(&mut self.wakes);
        self.waiters.wake(&mut self.wakes);
        let entry = &mut self.links[key];
        entry.sends.fail(&error, &mut self.wakes);
        let (link, serial) = (entry.name(), entry.serial);
        self.moved.forget_link(serial);
        self.tell(ConnectionEvent::LinkLost { link, error });
        self.tidy_link(key);
    }

    /// A delivery that the link brought along has a number again, or is over.
    pub(crate) fn reassociated(&mut self, link: LinkId, tag: DeliveryTag, number: Option<DeliveryNumber>) {
        let Some(key) = self.key_of(link) else { return };
        let entry = &mut self.links[key];
        entry.due = entry.due.saturating_sub(1);
        if number.is_none() {
            entry.open = entry.open.saturating_sub(1);
            entry.heard.settled();
        }
        // It took credit, and is no message that comes.
        entry.aborted = true;
        entry.waiters.wake(&mut self.wakes);
        let serial = entry.serial;
        if let Some(number) = number {
            self.settle_again(key, number);
        }
        if let Some(outcome) = self.moved.arrived(serial, tag, number)
            && let Some(number) = number
        {
            self.engine.update(link, number, outcome);
        }
    }

    /// The sender has settled a delivery, which is over with that.
    #[inline]
    pub(crate) fn settled_by_sender(&mut self, link: LinkId, number: DeliveryNumber) {
        let Some(key) = self.key_of(link) else { return };
        let Self { links, moved, wakes, epoch, .. } = self;
        let entry = &mut links[key];
        entry.open = entry.open.saturating_sub(1);
        if entry.second {
            entry.heard.settled();
            entry.waiters.wake(wakes);
        }
        if std::mem::take(&mut entry.starved) {
            // There is room for credit again.
            entry.aborted = true;
            entry.waiters.wake(wakes);
        }
        let came = if moved.is_empty() { None } else { moved.forget(entry.serial, number) };
        match (&mut entry.unacknowledged, came) {
            (Some(noted), Some((epoch, number))) => noted.strike(epoch, number),
            (Some(noted), None) => noted.settled_by_sender(*epoch, number),
            (None, _) => {}
        }
    }

    /// Allows the sender of a link so many messages, as far as an attach could tell what is unsettled then.
    pub(crate) fn grant(&mut self, key: usize, credit: u32) {
        let Self { links, engine, .. } = self;
        let entry = &mut links[key];
        let room = match entry.second {
            true => entry.map_room.saturating_sub(entry.open).saturating_sub(engine.queued(entry.id)),
            false => usize::MAX,
        };
        let most = u32::try_from(room).unwrap_or(u32::MAX);
        entry.starved = credit > most;
        entry.wanted = credit.min(most);
        engine.grant(entry.id, entry.wanted.saturating_add(entry.due));
    }

    /// New messages that the sender of a link may still send.
    pub(crate) fn granted(&mut self, key: usize) -> u32 {
        let Self { links, engine, .. } = self;
        let entry = &links[key];
        engine.granted(entry.id).saturating_sub(entry.due)
    }

    /// Why the connection was lost last, for whoever was in the middle of something.
    pub(crate) fn lost_error(&self) -> LinkError {
        LinkError::Interrupted(self.lost.clone().unwrap_or(ConnectionError::Closed))
    }
}

/// What a receiver wants of its sender, counting what has come and was not taken: it comes again.
fn demand(engine: &mut dyn Protocol, link: LinkId, due: u32) -> Option<Demand> {
    engine.receives(link).then(|| {
        let queued = u32::try_from(engine.queued(link)).unwrap_or(u32::MAX);
        let granted = engine.granted(link).saturating_sub(due);
        Demand { credit: granted.saturating_add(queued), drain: engine.is_draining(link) }
    })
}
