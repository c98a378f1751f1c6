//! Links go, and what is left of them (part 2, 2.6.5 and 2.6.6).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use postroad_codec::v1_0::{DeliveryNumber, Detach, Error, ErrorCondition, Handle, Role};

use super::arena::Key;
use super::input::SessionFault;
use super::link::{Delivery, Phase};
use super::link_state::Unsettled;
use super::{Connection, Event, LinkId, LinkState, LinkTerms};

impl Connection {
    /// Detaches a link, for good when `closed`; one that waits for [`accept`](Connection::accept) is
    /// answered first. What was handed over goes out before, but for the rest of a message that waits for
    /// the window ([`has_rest`](super::SenderMut::has_rest)). [`Event::LinkDetached`] follows when the peer has answered;
    /// whoever does not want to wait for ever sets a timer and [`release`](Connection::release)s it.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        // Attach and detach come in pairs.
        let _ = self.answer_attach(link, LinkTerms::default(), None);
        let own = Detach { handle: Handle(0), closed, error: error.map(Box::new) };
        match self.links.get_mut(link.0).and_then(|link| link.leaving.take()) {
            Some(theirs) => self.detached_by_peer(link, *theirs, own),
            None => self.put_detach(link, own),
        }
    }

    /// Sends our detach, where none was sent.
    fn put_detach(&mut self, link: LinkId, detach: Detach) {
        let Some(detached) = self.links.get_mut(link.0) else { return };
        if !matches!(detached.phase, Phase::AttachSent | Phase::Attached) {
            return;
        }
        let (session, channel, handle) = (detached.session, detached.channel, detached.handle);
        // Dispositions of its deliveries make no sense behind the detach.
        self.put_session(session);
        let detached = self.links.get_mut(link.0).expect("looked up above");
        detached.phase = Phase::DetachSent;
        detached.parked = None;
        detached.drain_due = false;
        let detach = self.fitting(Detach { handle, ..detach });
        self.answer(channel, &detach);
    }

    /// Frees a link and gives back what outlives it: deliveries that are not settled at our end. A link
    /// that is still attached is closed first. Deliveries that nobody has taken are gone: of the settled
    /// ones nothing remains. No event of the link follows but those that were waiting for
    /// [`poll_event`](Connection::poll_event) already and are the last word on a delivery: an [`Event::Update`] that tells
    /// of a settled one, an [`Event::InDoubt`]. A received delivery that the state does not have is over.
    pub fn release(&mut self, link: LinkId) -> Option<LinkState> {
        self.release_all(&[link]).pop().flatten()
    }

    /// Frees links as [`release`](Self::release) does, each of which has its state at its place in the answer. What their
    /// sessions have not settled is gone through once, and not once for each link.
    pub fn release_all(&mut self, links: &[LinkId]) -> Vec<Option<LinkState>> {
        let mut held: HashSet<LinkId> = links.iter().copied().collect();
        held.retain(|link| self.link(*link).is_some_and(|link| !link.released));
        if held.is_empty() {
            return links.iter().map(|_| None).collect();
        }
        if self.over.is_none() {
            for link in links.iter().filter(|link| held.contains(link)) {
                self.detach(*link, true, None);
            }
        }
        self.events.retain(|event| match event {
            Event::Update(update) => update.settled || !held.contains(&update.link),
            Event::LinkLeaving { link: named, .. } => !held.contains(named),
            Event::LinkDetached { link: named, .. } | Event::SettledBySender { link: named, .. } => {
                !held.contains(named)
            }
            Event::LinkAttached(named)
            | Event::LinkIncoming(named)
            | Event::Credit(named)
            | Event::Drain(named)
            | Event::Echo(named)
            | Event::Readable(named)
            | Event::FlowProperties(named)
            | Event::Aborted(named)
            | Event::Flow(named)
            | Event::Drained(named) => !held.contains(named),
            Event::Resumed { link: named, .. } | Event::Reassociated { link: named, .. } => !held.contains(named),
            Event::Authenticated
            | Event::CheckPassword
            | Event::InDoubt { .. }
            | Event::Opened
            | Event::Closed(_)
            | Event::SessionBegun(_)
            | Event::SessionIncoming(_)
            | Event::SessionEnded { .. } => true,
        });
        let mut unsettled = self.unsettled_of(&held);
        let states = links.iter().map(|link| {
            let numbers = unsettled.remove(link).unwrap_or_default();
            held.remove(link).then(|| self.free_link(*link, numbers)).flatten()
        });
        states.collect()
    }

    /// The numbers of deliveries that are not settled, in their order, by link.
    fn unsettled_of(&self, links: &HashSet<LinkId>) -> HashMap<LinkId, Vec<DeliveryNumber>> {
        let mut numbers: HashMap<LinkId, Vec<DeliveryNumber>> = HashMap::new();
        let sessions: HashSet<Key> =
            links.iter().filter_map(|link| self.link(*link)).map(|link| link.session).collect();
        for session in sessions.into_iter().filter_map(|key| self.sessions.get(key)) {
            let outgoing = session.outgoing.iter().map(|(number, slot)| (slot.link, number));
            let incoming = session.incoming.iter().map(|(number, slot)| (slot.link, number));
            for (link, number) in outgoing.chain(incoming).filter(|(link, _)| links.contains(link)) {
                numbers.entry(link).or_default().push(number);
            }
        }
        numbers
    }

    fn free_link(&mut self, link: LinkId, unsettled: Vec<DeliveryNumber>) -> Option<LinkState> {
        let state = self.link_state(link.0, unsettled);
        let waits = self.over.is_none() && self.link(link).is_some_and(|link| link.phase == Phase::DetachSent);
        if waits {
            // The peer still uses its handle: the slot stays until its detach comes.
            let link = self.links.get_mut(link.0).expect("looked up above");
            link.released = true;
            link.queue.clear();
        } else {
            self.forget_link(link.0);
        }
        state
    }

    /// Takes what is not settled out of the session, as a value.
    fn link_state(&mut self, key: Key, numbers: Vec<DeliveryNumber>) -> Option<LinkState> {
        let link = self.links.get_mut(key)?;
        let remote = link.remote.take();
        let mut state = LinkState {
            name: link.name.clone(),
            role: link.role,
            source: link.terms.source.take(),
            target: link.terms.target.take(),
            snd_settle_mode: link.terms.snd_settle_mode,
            rcv_settle_mode: link.terms.rcv_settle_mode,
            in_parts: link.terms.in_parts,
            delivery_count: link.delivery_count,
            anew: link.anew,
            unheard: std::mem::take(&mut link.unheard),
            unsettled: Vec::new(),
        };
        let (mut unsettled, places) = link.resuming.take().map(|resuming| resuming.into_places()).unwrap_or_default();
        let partial = link.partial.take();
        if let Some(remote) = remote {
            state.source = remote.source.map(|source| *source).or(state.source);
            state.target = remote.target.map(|target| *target).or(state.target);
        }
        link.parked = None;
        self.partial_bytes -= partial.as_ref().map_or(0, |partial| partial.bytes.len());
        let session = self.sessions.get_mut(link.session).expect("a session stays while it has links");
        session.queued_bytes = session.queued_bytes.saturating_sub(link.queue.iter().map(Delivery::weight).sum());
        session.partials -= u32::from(partial.is_some() && !link.terms.in_parts);
        session.parked.retain(|parked| *parked != key);
        // What waited here may have shut the window for the other links of the session.
        session.reopen(&self.config);
        if session.flow_due && !session.dirty {
            session.dirty = true;
            self.dirty.push(link.session);
        }
        // What is new has its place behind everything that was brought along.
        let place = |delivery: DeliveryNumber| places.get(&delivery.0).copied().unwrap_or(usize::MAX);
        let first = unsettled.len();
        match link.role {
            Role::Sender => {
                for delivery in numbers {
                    let slot = session.outgoing.remove(delivery).expect("just listed");
                    let message = link.log.get(&slot.kept);
                    link.log.forget(&slot.kept);
                    let given_back = Unsettled {
                        tag: slot.tag,
                        message_format: slot.message_format,
                        delivery,
                        token: slot.token,
                        local_state: slot.local_state,
                        remote_state: slot.remote_state,
                        received: None,
                        message,
                    };
                    unsettled.push((place(delivery), given_back));
                }
            }
            Role::Receiver => {
                // What nobody has taken goes with the queue, and must come again.
                let mut queued: Vec<_> = link.queue.iter().map(|delivery| delivery.number.0).collect();
                queued.sort_unstable();
                let reading = link.reading.take();
                for delivery in numbers {
                    let slot = session.incoming.remove(delivery).expect("just listed");
                    let (received, message) = match &reading {
                        // What the owner has of it is with the owner.
                        Some((number, position)) if *number == delivery => (Some(position.clone()), Some(Bytes::new())),
                        _ if queued.binary_search(&delivery.0).is_ok() => (None, None),
                        _ => (Some(slot.received.into()), None),
                    };
                    let given_back = Unsettled {
                        tag: slot.tag,
                        message_format: slot.message_format,
                        delivery,
                        token: 0,
                        local_state: slot.local_state,
                        remote_state: slot.remote_state,
                        received,
                        message,
                    };
                    unsettled.push((place(delivery), given_back));
                }
            }
        }
        let origin = unsettled.get(first).map(|(_, first)| first.delivery).unwrap_or_default();
        unsettled[first..].sort_by_key(|(_, unsettled)| unsettled.delivery.since(origin) as i32);
        let held = partial.filter(|partial| !partial.delivery.settled && !link.terms.in_parts);
        unsettled.extend(held.map(|held| (place(held.delivery.number), held.into_unsettled())));
        unsettled.sort_by_key(|(place, _)| *place);
        state.unsettled = unsettled.into_iter().map(|(_, unsettled)| unsettled).collect();
        Some(state)
    }

    pub(crate) fn handle_detach(&mut self, key: Key, detach: Detach) -> Result<(), SessionFault> {
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        let Some(link_key) = session.link_of(detach.handle) else {
            let text = format!("a detach on handle {}, which is not attached", detach.handle);
            return Err(SessionFault::new(ErrorCondition::UNATTACHED_HANDLE, text));
        };
        let id = LinkId(link_key);
        if self.answers_last(link_key) {
            // Nothing may come on the handle any more.
            let session = self.sessions.get_mut(key).expect("on_session looked it up");
            session.remote_handles[detach.handle.0 as usize] = None;
            let link = self.links.get_mut(link_key).expect("handles name links");
            let error = detach.error.clone();
            (link.remote_handle, link.leaving) = (None, Some(Box::new(detach)));
            self.events.push_back(Event::LinkLeaving { link: id, error });
            return Ok(());
        }
        // Attach and detach come in pairs.
        let _ = self.answer_attach(id, LinkTerms::default(), None);
        let own = Detach { handle: Handle(0), closed: detach.closed, error: None };
        self.detached_by_peer(id, detach, own);
        Ok(())
    }

    /// Answers the peer's detach, where we have not detached the link before.
    fn detached_by_peer(&mut self, id: LinkId, detach: Detach, own: Detach) {
        let link_key = id.0;
        let Some(key) = self.links.get(link_key).map(|link| link.session) else { return };
        self.put_detach(id, own);
        if self.over.is_some() || self.sessions.get(key).is_none_or(|session| !session.is_live()) {
            // There was no handle to answer with, and its end has been told.
            return;
        }
        let link = self.links.get_mut(link_key).expect("just looked up");
        link.phase = Phase::Detached;
        let (released, told, own) = (link.released, link.told, link.handle);
        self.drop_name(link_key);
        let session = self.sessions.get_mut(key).expect("just looked up");
        if let Some(slot) =
            session.remote_handles.get_mut(detach.handle.0 as usize).filter(|slot| **slot == Some(link_key))
        {
            *slot = None;
        }
        if let Some(slot) = session.handles.get_mut(own.0 as usize).filter(|slot| **slot == Some(link_key)) {
            *slot = None;
        }
        if released {
            self.forget_link(link_key);
        } else if !told {
            self.events.push_back(Event::LinkDetached { link: id, closed: detach.closed, error: detach.error });
        }
    }

    /// Whether the sender's detach waits for outcomes.
    fn answers_last(&self, key: Key) -> bool {
        let Some(link) = self.links.get(key) else { return false };
        link.terms.answers_last
            && link.role == Role::Receiver
            && link.phase == Phase::Attached
            && self.owes_outcomes(key)
    }

    /// Whether something has come on a link, as a whole, that has no outcome.
    fn owes_outcomes(&self, key: Key) -> bool {
        let Some(link) = self.links.get(key) else { return false };
        self.sessions.get(link.session).is_some_and(|session| {
            let mut incoming = session.incoming.iter().filter(|(_, incoming)| incoming.link.0 == key);
            incoming.any(|(number, incoming)| incoming.local_state.is_none() && link.arriving != Some(number))
        })
    }

    /// Answers a detach that waits, once everything has its outcome.
    #[cold]
    pub(super) fn answer_where_nothing_is_owed(&mut self, key: Key) {
        if !self.owes_outcomes(key) {
            self.answer_detach(LinkId(key));
        }
    }

    /// Answers a sender's detach in kind that waits for outcomes ([`Event::LinkLeaving`]), whatever is still owed.
    pub fn answer_detach(&mut self, link: LinkId) {
        if let Some(closed) =
            self.links.get(link.0).and_then(|link| link.leaving.as_ref()).map(|leaving| leaving.closed)
        {
            self.detach(link, closed, None);
        }
    }

    /// Marks every link of a session that is over.
    pub(crate) fn detach_all(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.parked.clear();
        let slots: Vec<Key> = session.handles.iter().chain(&session.remote_handles).copied().flatten().collect();
        for link_key in slots {
            let Some(link) = self.links.get_mut(link_key) else { continue };
            link.phase = Phase::Detached;
            link.parked = None;
            let released = link.released;
            self.drop_name(link_key);
            if released {
                self.forget_link(link_key);
            }
        }
    }

    /// A link that is over holds its name no longer.
    fn drop_name(&mut self, key: Key) {
        let Some(link) = self.links.get(key) else { return };
        let names = &mut self.names[link.role as usize];
        if let Some(holders) = names.get_mut(&link.name) {
            holders.retain(|holder| *holder != key);
            if holders.is_empty() {
                names.remove(&link.name);
            }
        }
    }

    pub(super) fn forget_link(&mut self, key: Key) {
        self.drop_name(key);
        let Some(link) = self.links.remove(key) else { return };
        if let Some(session) = self.sessions.get_mut(link.session) {
            session.links -= 1;
        }
        if let Some(session) = self.sessions.get_mut(link.session) {
            let slots = [
                session.handles.get_mut(link.handle.0 as usize),
                link.remote_handle.and_then(|handle| session.remote_handles.get_mut(handle.0 as usize)),
            ];
            for slot in slots.into_iter().flatten().filter(|slot| **slot == Some(key)) {
                *slot = None;
            }
        }
        self.free_ended_session(link.session);
    }
}
