//! Flows that come: windows and credit (part 2, 2.5.6 and 2.6.7).

use postroad_codec::v1_0::{ErrorCondition, Flow, Role};

use super::arena::Key;
use super::input::SessionFault;
use super::link::{Link, Phase};
use super::{Connection, Event};

impl Connection {
    pub(crate) fn handle_flow(&mut self, key: Key, flow: &Flow) -> Result<(), SessionFault> {
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        let was_shut = session.remote_window == 0;
        session.handle_flow(flow);
        let opened = was_shut && session.remote_window > 0;
        if flow.handle.is_none() && flow.echo {
            session.flow_due = true;
        }
        let link_key = match flow.handle {
            Some(handle) => Some(session.link_of(handle).ok_or_else(|| {
                let text = format!("a flow on handle {handle}, which is not attached");
                SessionFault::new(ErrorCondition::UNATTACHED_HANDLE, text)
            })?),
            None => None,
        };
        if opened {
            let waiting: Vec<Key> = session.handles.iter().copied().flatten().collect();
            for link in waiting {
                self.announce_credit(link);
            }
        }
        self.mark(key);
        if let Some(link_key) = link_key {
            self.handle_link_flow(link_key, flow);
        }
        Ok(())
    }

    fn handle_link_flow(&mut self, key: Key, flow: &Flow) {
        let Some(link) = self.links.get_mut(key) else { return };
        let (id, echo) = (link.id, flow.echo);
        if flow.properties.is_some() {
            link.remote_flow_properties.clone_from(&flow.properties);
            self.events.push_back(Event::FlowProperties(id));
        }
        if link.phase == Phase::AttachReceived {
            // A receiver may give credit behind its attach without waiting for ours: it holds from our
            // initial delivery count on (2.6.7).
            if link.role == Role::Sender {
                link.credit = flow.link_credit.unwrap_or(link.credit);
                link.drain = flow.drain;
            }
            link.echo |= echo;
            return;
        }
        if link.phase != Phase::Attached {
            return;
        }
        if link.resuming.is_some() {
            // A peer that named no terminus in its attach means the link all the same.
            self.exchange_unsettled(key);
        }
        let Some(link) = self.links.get_mut(key).filter(|link| link.phase == Phase::Attached) else { return };
        match link.role {
            Role::Sender => {
                if flow.delivery_count.is_some() {
                    // 2.7.4: a receiver that has not got our attach tells no count.
                    link.heard();
                }
                link.credit = credit(link, flow);
                link.drain = flow.drain;
                link.drain_due &= flow.drain;
                if flow.drain {
                    self.events.push_back(Event::Drain(id));
                }
                if echo {
                    self.events.push_back(Event::Echo(id));
                }
                self.announce_credit(key);
            }
            Role::Receiver => {
                if let Some(count) = flow.delivery_count {
                    // The sender has given credit up (2.6.7, drain); it cannot take any back.
                    let given_up = count.since(link.delivery_count);
                    if given_up <= link.credit.max(link.allowed) {
                        link.credit = link.credit.saturating_sub(given_up);
                        link.allowed = link.allowed.saturating_sub(given_up);
                        link.delivery_count = count;
                    }
                }
                link.available = flow.available.unwrap_or(0);
                if std::mem::take(&mut link.asked) {
                    self.events.push_back(Event::Flow(id));
                }
                if link.drain && link.credit == 0 {
                    link.drain = false;
                    self.events.push_back(Event::Drained(id));
                }
            }
        }
        if echo {
            self.mark_flow(key);
        }
    }

    /// Tells the owner of a sending link that waits that it can send.
    pub(crate) fn announce_credit(&mut self, key: Key) {
        let Some(link) = self.links.get(key) else { return };
        if link.role != Role::Sender || !link.blocked {
            return;
        }
        if link.resuming.is_some() {
            self.put_resumed(key);
        }
        if self.capacity(key) > 0 || self.can_append(key) {
            let link = self.links.get_mut(key).expect("just looked up");
            link.blocked = false;
            self.events.push_back(Event::Credit(link.id));
        } else {
            self.hold_back(key);
        }
    }

    /// Has a link that waits for the output alone hear of it: no news from the peer tells that.
    pub(crate) fn hold_back(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        if self.out.len() >= self.config.outgoing_bytes && !link.held_back {
            link.held_back = true;
            self.held_back.push(key);
        }
    }

    /// Messages that a sending link takes now: none before what it brought along has left, nor within a message.
    #[inline]
    pub(crate) fn capacity(&self, key: Key) -> u32 {
        match self.links.get(key) {
            Some(link) if link.resuming.is_none() && link.open.is_none() => self.room(key),
            _ => 0,
        }
    }

    /// Whether a sending link takes more of the message that it is within.
    pub(crate) fn can_append(&self, key: Key) -> bool {
        let Some(link) = self.links.get(key).filter(|link| link.open.is_some() && self.can_put(link)) else {
            return false;
        };
        self.sessions.get(link.session).is_some_and(|session| session.remote_window > 0)
    }

    /// Deliveries that can leave on a sending link now.
    #[inline]
    pub(crate) fn room(&self, key: Key) -> u32 {
        let Some(link) = self.links.get(key) else { return 0 };
        match self.sessions.get(link.session) {
            Some(session) if self.can_put(link) => link.credit.min(session.remote_window),
            _ => 0,
        }
    }

    /// Whether transfers of a link can be queued at all.
    #[inline]
    fn can_put(&self, link: &Link) -> bool {
        link.phase == Phase::Attached
            && link.parked.is_none()
            && !self.close_sent
            && self.over.is_none()
            && self.out.len() < self.config.outgoing_bytes
    }
}

/// 2.6.7: the receiver's credit holds from its delivery count on; what we have sent since counts. A
/// credit of 2^31 and more is beyond serial arithmetic, so nothing is compared.
fn credit(link: &Link, flow: &Flow) -> u32 {
    let Some(credit) = flow.link_credit else { return link.credit };
    let seen = flow.delivery_count.unwrap_or(link.terms.initial_delivery_count);
    credit.saturating_sub(link.delivery_count.since(seen))
}
