//! The server's side of a run: what a broker's link table does.

use postroad_amqp::v1_0::{Connection, LinkId, SessionId};
use postroad_codec::v1_0::{Error, ErrorCondition};

use super::Guarantee;
use super::endpoint::Life;
use super::network::SERVER;
use super::world::World;

impl World {
    /// A link that the client attaches: what is known of it is there, or in the engine that it is stolen from.
    pub(super) fn incoming(&mut self, number: usize, id: LinkId) {
        let engine = self.engine(number, SERVER).expect("it told the event");
        let (session, role) = (engine.session_of(id), engine.role_of(id));
        let (Some(session), Some(attach)) = (session, engine.remote_attach(id)) else { return };
        let (name, remembers) = (attach.name.to_string(), attach.unsettled.is_some());
        if !self.is_calm() && self.rng.one_in(12) {
            let engine = self.engine(number, SERVER).expect("it told the event");
            return engine.refuse(id, Error::new(ErrorCondition::NOT_FOUND, "not now"));
        }
        let index = self.links.iter().position(|link| link.name == name).expect("the client made the name");
        let end = &self.links[index].ends[SERVER];
        assert_eq!(role, Some(end.role));
        if let Life::Live(older, _, stolen) = end.life {
            self.trace.say(|| format!("link {name} is stolen from connection {older}"));
            self.stats.stolen += 1;
            if older != number {
                let error = Error { condition: ErrorCondition::STOLEN, ..Error::default() };
                self.engine(older, SERVER).expect("it has the link").detach(stolen, false, Some(error));
                // What it has told before counts.
                while let Some(event) = self.engine(older, SERVER).and_then(Connection::poll_event) {
                    self.handle(older, SERVER, event);
                }
            }
            self.suspend(index, false);
        }
        let forget = matches!(self.links[index].ends[SERVER].life, Life::Kept(_)) && !remembers && self.rng.one_in(2);
        let link = &mut self.links[index];
        let end = &mut link.ends[SERVER];
        if forget {
            end.forget(&mut link.ledger);
        }
        let terms = end.terms();
        let engine = self.connections.get_mut(&number).and_then(|one| one.engines[SERVER].as_mut());
        let engine = engine.expect("it told the event");
        let accepted = match &mut end.life {
            Life::Kept(state) => engine.accept_resumed(id, state, terms),
            _ => engine.accept(id, terms),
        };
        if accepted.is_ok() {
            if matches!(end.life, Life::Kept(_)) && !remembers {
                link.ledger.forgotten += 1;
                end.open.iter().for_each(|open| link.ledger.letters[open.id].excuses += 1);
            }
            link.ends[SERVER].attached(number, session, id);
        }
    }

    /// The server's end of a link is detached.
    pub(super) fn suspend(&mut self, index: usize, closed: bool) {
        let link = &mut self.links[index];
        let end = &mut link.ends[SERVER];
        let Life::Live(number, ..) = end.life else { return };
        let engine = self.connections.get_mut(&number).and_then(|one| one.engines[SERVER].as_mut());
        end.release(engine.expect("it has the link"));
        if closed || end.closing || end.guarantee != Guarantee::ExactlyOnce {
            end.forget(&mut link.ledger);
        }
        end.at = self.now + self.plan.expiry;
    }

    pub(super) fn suspend_all(&mut self, number: usize, session: Option<SessionId>) {
        for index in 0..self.links.len() {
            if let Life::Live(of, on, _) = self.links[index].ends[SERVER].life
                && of == number
                && session.is_none_or(|session| session == on)
            {
                self.suspend(index, false);
            }
        }
        if session.is_none() {
            self.connections.get_mut(&number).expect("it told the event").engines[SERVER] = None;
        }
    }

    pub(super) fn expire(&mut self) {
        for link in &mut self.links {
            let end = &mut link.ends[SERVER];
            if matches!(end.life, Life::Kept(_)) && end.at <= self.now {
                self.trace.say(|| format!("link {} has expired", link.name));
                self.stats.expired += 1;
                end.forget(&mut link.ledger);
            }
        }
    }
}
