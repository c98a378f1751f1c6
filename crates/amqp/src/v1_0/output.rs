//! What leaves at the next write, in its order: credit, transfers that waited, dispositions, session
//! flow. Setup went before, teardown follows: both are queued where they are decided.

use postroad_codec::v1_0::{Frame, Role};

use super::Connection;
use super::arena::Key;
use super::fit::{fit, may_be_long};

impl Connection {
    /// Queues at once what was told of deliveries and is pending, so that what is sent from now on does not overtake it:
    /// otherwise messages leave first. The end of a transaction must come behind the outcomes in it (part 4, 4.3 and
    /// 4.4.4).
    pub fn flush(&mut self) {
        if self.unlocked && self.over.is_none() {
            self.put_pending();
        }
    }

    /// Queues everything that sessions have pending.
    #[inline]
    pub(crate) fn put_pending(&mut self) {
        while let Some(key) = self.dirty.pop() {
            self.put_session(key);
        }
    }

    /// Queues what one session has pending.
    pub(crate) fn put_session(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.dirty = false;
        if !session.is_live() || self.close_sent {
            return;
        }
        let channel = session.channel;
        let mut link_flows = std::mem::take(&mut session.link_flows);
        for link in link_flows.drain(..) {
            self.put_link_flow(key, link);
        }
        if let Some(session) = self.sessions.get_mut(key) {
            // The list is used again: credit is renewed over and over.
            session.link_flows = link_flows;
        }
        self.put_parked(key);
        let session = self.sessions.get_mut(key).expect("looked up above");
        let limit = self.remote_max_frame as usize;
        for mut disposition in session.dispositions.drain(..) {
            if may_be_long(disposition.state.as_ref()) {
                fit(&mut disposition, limit);
            }
            self.out.write(|out| Frame::put_amqp(channel, &disposition, &[], out));
        }
        if std::mem::take(&mut session.flow_due) {
            let flow = session.flow();
            self.answer(channel, &flow);
        }
    }

    fn put_link_flow(&mut self, session: Key, link: Key) {
        let Some(link) = self.links.get_mut(link).filter(|link| link.flow_due) else { return };
        link.flow_due = false;
        if link.phase != super::link::Phase::Attached {
            return;
        }
        let Some(session) = self.sessions.get_mut(session) else { return };
        // A flow of a link tells of its session too.
        session.flow_due = false;
        let flow = link.complete(session.flow());
        if link.role == Role::Receiver {
            link.allowed = link.allowed.max(link.credit);
            link.overdrawn = 0;
        }
        let channel = session.channel;
        self.answer(channel, &flow);
    }

    /// Notes that a session has something to send.
    #[inline]
    pub(crate) fn mark(&mut self, key: Key) {
        if let Some(session) = self.sessions.get_mut(key)
            && !session.dirty
        {
            session.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Notes that a link's flow state is to be told.
    pub(crate) fn mark_flow(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        // Before the attach is answered the peer knows no handle to apply it to.
        if link.flow_due || link.phase != super::link::Phase::Attached {
            return;
        }
        link.flow_due = true;
        let session = link.session;
        if let Some(session) = self.sessions.get_mut(session) {
            session.link_flows.push(key);
        }
        self.mark(session);
    }
}
