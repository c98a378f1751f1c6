//! The client's side of a run: what a supervisor does that keeps links across connections.

use postroad_amqp::v1_0::SessionId;
use postroad_codec::v1_0::Role;

use super::Guarantee;
use super::endpoint::{Life, delay};
use super::network::CLIENT;
use super::world::World;

impl World {
    /// A connection is open: the links leave the engine of the one before.
    pub(super) fn take_over(&mut self, number: usize) {
        assert_eq!(self.current, Some(number));
        self.opened = true;
        if let Some(before) = self.carrier.replace(number) {
            self.release_client(before, None);
            self.connections.get_mut(&before).expect("its engine is still there").engines[CLIENT] = None;
        }
    }

    pub(super) fn lost(&mut self, number: usize) {
        assert_eq!(self.current.take(), Some(number));
        if self.carrier != Some(number) {
            self.connections.get_mut(&number).expect("it told the event").engines[CLIENT] = None;
        }
        let wait = if self.rng.one_in(6) { 5000 } else { 50 };
        self.connect_at = self.now + delay(&mut self.rng, wait);
        self.opened = false;
    }

    pub(super) fn release_client(&mut self, number: usize, session: Option<SessionId>) {
        let Some(engine) = self.connections.get_mut(&number).and_then(|one| one.engines[CLIENT].as_mut()) else {
            return;
        };
        for link in &mut self.links {
            let end = &mut link.ends[CLIENT];
            let Life::Live(of, on, _) = end.life else { continue };
            if of != number || session.is_some_and(|session| session != on) {
                continue;
            }
            end.release(engine);
            if end.closing {
                end.forget(&mut link.ledger);
            }
            end.at = self.now;
        }
    }

    pub(super) fn client_detached(&mut self, number: usize, index: usize, closed: bool) {
        let engine = self.connections.get_mut(&number).and_then(|one| one.engines[CLIENT].as_mut());
        let engine = engine.expect("it told the event");
        let link = &mut self.links[index];
        let end = &mut link.ends[CLIENT];
        let id = end.on(number).expect("the caller looked it up by that");
        // 2.6.3: an attach without terminus was a refusal.
        let refused = engine.remote_attach(id).is_some_and(|attach| match end.role {
            Role::Sender => attach.target.is_none(),
            Role::Receiver => attach.source.is_none(),
        });
        end.release(engine);
        if end.closing || (closed && !refused) {
            end.forget(&mut link.ledger);
        }
        end.at = self.now + delay(&mut self.rng, 20);
    }

    pub(super) fn attach_links(&mut self) {
        let Some(number) = self.current.filter(|_| self.opened) else { return };
        let Some(engine) = self.connections.get_mut(&number).and_then(|one| one.engines[CLIENT].as_mut()) else {
            return;
        };
        for session in &mut self.sessions {
            if session.is_none() {
                *session = engine.begin().ok();
            }
        }
        for link in &mut self.links {
            let (end, Some(session)) = (&mut link.ends[CLIENT], self.sessions[link.session]) else { continue };
            if end.at > self.now || matches!(end.life, Life::Live(..)) {
                continue;
            }
            let (terms, role) = (end.terms(), end.role);
            let attached = match &mut end.life {
                Life::Kept(state) if end.guarantee == Guarantee::ExactlyOnce => engine.resume(session, state, terms),
                Life::Kept(state) => engine.restart(session, state, terms),
                _ => engine.attach(session, link.name.as_str(), role, terms),
            };
            if let Ok(id) = attached {
                end.attached(number, session, id);
            }
        }
    }
}
