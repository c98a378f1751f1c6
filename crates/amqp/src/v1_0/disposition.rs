//! Dispositions that come: what became of deliveries (part 2, 2.7.6).

use postroad_codec::v1_0::{DeliveryNumber, DeliveryState, Disposition, Encode as _, Error, ErrorCondition, Role};

use super::arena::Key;
use super::link::Phase;
use super::{Connection, Event, Update};

/// Bytes of a state, as encoded, for all deliveries of a disposition: each has a copy of its own, so that a frame of a few
/// kilobytes could take up thousands of times that.
const COPIES: usize = 4 * 1024 * 1024;

impl Connection {
    pub(crate) fn handle_disposition(&mut self, key: Key, disposition: &Disposition) {
        let session = self.sessions.get_mut(key).expect("on_session looked it up");
        let (first, last) = (disposition.first, disposition.last.unwrap_or(disposition.first));
        if let (Some(state), Some(_)) = (&disposition.state, disposition.last) {
            let known =
                if disposition.role == Role::Receiver { session.outgoing.len() } else { session.incoming.len() };
            let meant = known.min((last.since(first) as usize).saturating_add(1));
            if meant > 1 && state.encoded_len().saturating_mul(meant) > COPIES {
                let text = format!("a disposition of {meant} deliveries with a large state: send it in parts");
                self.end_faulty(key, Box::new(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED, text)));
                return;
            }
        }
        match disposition.role {
            // An upper bound below the lower one is an empty range.
            _ if last.precedes(first) => return,
            Role::Receiver => match session.outgoing.window(first, last) {
                Some((first, count)) => {
                    for offset in 0..count {
                        self.handle_outgoing(key, first.plus(offset), disposition);
                    }
                }
                None => {
                    for number in session.outgoing.numbers(first, last) {
                        self.handle_outgoing(key, number, disposition);
                    }
                }
            },
            Role::Sender => {
                for number in session.incoming.numbers(first, last) {
                    self.handle_incoming(key, number, disposition);
                }
            }
        }
        self.mark(key);
    }

    /// The receiver tells of a delivery that we sent.
    #[inline]
    fn handle_outgoing(&mut self, key: Key, delivery: DeliveryNumber, disposition: &Disposition) {
        let session = self.sessions.get_mut(key).expect("the caller has it");
        let Some(outgoing) = session.outgoing.get_mut(delivery) else { return };
        let link = self.links.get_mut(outgoing.link.0);
        let auto_settle = link.as_ref().is_none_or(|link| link.terms.auto_settle);
        let state = disposition.state.clone().or_else(|| outgoing.remote_state.take());
        // In a transaction the outcome is provisional; whether settling it is so too depends on our part in it (part 4,
        // 4.4.2).
        let done = state.as_ref().is_some_and(|state| match state {
            DeliveryState::Transactional(state) => {
                state.outcome.is_some() && link.as_ref().is_none_or(|link| !link.terms.keep_provisional)
            }
            state => state.is_terminal(),
        });
        let settled = disposition.settled || (done && auto_settle);
        if !settled {
            outgoing.remote_state.clone_from(&state);
        }
        let (link_id, token) = (outgoing.link, outgoing.token);
        if settled {
            let mut attached = true;
            if let Some(link) = link {
                link.log.forget(&outgoing.kept);
                attached = link.phase == Phase::Attached;
            }
            session.outgoing.discard(delivery);
            // Behind our detach it makes no sense: the peer hears of it when the link is resumed.
            if !disposition.settled && attached {
                session.dispose(Role::Sender, delivery, state.clone(), true);
            }
        }
        self.events.push_back(Event::Update(Update {
            link: link_id,
            token,
            delivery,
            state,
            settled,
            by_peer: disposition.settled,
        }));
    }

    /// The sender tells of a delivery that we received.
    fn handle_incoming(&mut self, key: Key, delivery: DeliveryNumber, disposition: &Disposition) {
        let session = self.sessions.get_mut(key).expect("the caller has it");
        let Some(incoming) = session.incoming.get_mut(delivery) else { return };
        let link = incoming.link;
        let state = disposition.state.clone();
        if disposition.settled {
            session.incoming.discard(delivery);
            self.events.push_back(Event::SettledBySender { link, delivery, state });
            if self.links.get(link.0).is_some_and(|link| link.leaving.is_some()) {
                self.answer_where_nothing_is_owed(link.0);
            }
        } else {
            incoming.remote_state = state;
        }
    }
}
