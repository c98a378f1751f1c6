//! Links, sessions and the connection end in this order, and behind what was handed over: the rest of a message that
//! waits for the peer's window leaves before the detach, the detach before the end, the end before the close.

use std::time::{Duration, Instant};

use crate::protocol::{LinkId, SessionId};
use crate::state::State;
use crate::types::PeerError;
use crate::{ConnectionError, LinkError};

/// What is still to be ended.
#[derive(Debug, Default)]
pub(crate) struct Teardown {
    links: Vec<(LinkId, Deadline)>,
    sessions: Vec<(SessionId, Deadline)>,
    /// Sessions whose end the peer is to answer, and how long that may take.
    ends: Vec<(SessionId, Deadline, Duration)>,
    pub(crate) close: Option<Closing>,
}

/// A connection that is to be closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    /// When the next step is taken although the one before is not done.
    by: Instant,
    /// How long the peer has to end the sessions.
    ends: Duration,
    /// Whether these have been ended at our end.
    ended: bool,
}

/// A time beyond the clock's range is no deadline.
type Deadline = Option<Instant>;

/// How long the peer has to end the sessions of a connection that is to be closed.
const ENDS: Duration = Duration::from_secs(1);

/// How long a session whose handles are gone waits for the peer's window.
const REST: Duration = Duration::from_secs(10);

impl State {
    /// Forgets what was to be ended, because there is nobody to say it to; gives the sessions.
    pub(crate) fn drop_teardown(&mut self) -> Vec<SessionId> {
        let Teardown { sessions, ends, .. } = std::mem::take(&mut self.teardown);
        sessions.into_iter().map(|(session, _)| session).chain(ends.into_iter().map(|(session, ..)| session)).collect()
    }

    /// Detaches a link, once the rest of what was handed over is out or the time is over.
    pub(crate) fn detach(&mut self, link: LinkId, timeout: Duration) {
        if let Some(entry) = self.entry(link) {
            entry.detaching = true;
        }
        if self.down.is_some() {
            self.end_link(link, LinkError::Closed);
        } else if !self.engine.has_rest(link) {
            self.say_detach(link);
        } else if !self.teardown.links.iter().any(|(waits, _)| *waits == link) {
            self.teardown.links.push((link, Instant::now().checked_add(timeout)));
            self.wake_driver();
        }
    }

    /// Closes a link, or detaches it only where what the peer keeps of it is to stay (2.6.6).
    fn say_detach(&mut self, link: LinkId) {
        if self.entry(link).is_some_and(|entry| entry.stays) {
            self.engine.detach_for_now(link, None);
        } else {
            self.engine.detach(link, None);
        }
    }

    /// Ends a session as [`State::detach`] does a link. One that the peer does not end in time is over all the same.
    pub(crate) fn end_in_time(&mut self, session: SessionId, timeout: Duration) {
        if self.down.is_some() {
            return self.end_session(session, &LinkError::Closed);
        }
        let deadline = Instant::now().checked_add(timeout);
        if self.teardown.ends.iter().any(|(waits, ..)| *waits == session) {
            return;
        }
        self.teardown.ends.push((session, deadline, timeout));
        if self.session_has_rest(session) {
            self.teardown.sessions.push((session, deadline));
        } else {
            self.engine.end(session, None);
        }
        self.wake_driver();
    }

    /// Whether our end of a session is to be ended.
    pub(crate) fn is_ending(&self, session: SessionId) -> bool {
        self.teardown.ends.iter().any(|(waits, ..)| *waits == session)
    }

    /// Closes a link with an error, whatever waits on it.
    pub(crate) fn abort_link(&mut self, link: LinkId, error: PeerError) {
        if let Some(entry) = self.entry(link) {
            entry.detaching = true;
        }
        if self.down.is_some() {
            self.end_link(link, LinkError::Closed);
        } else {
            self.engine.detach(link, Some(error));
        }
    }

    /// As [`State::abort_link`], of a session.
    pub(crate) fn abort_session(&mut self, session: SessionId, error: PeerError, timeout: Duration) {
        if self.down.is_some() {
            return self.end_session(session, &LinkError::Closed);
        }
        if !self.is_ending(session) {
            self.teardown.ends.push((session, Instant::now().checked_add(timeout), timeout));
            self.wake_driver();
        }
        self.engine.end(session, Some(error));
    }

    /// Takes a handle away from a session.
    pub(crate) fn drop_session(&mut self, key: usize) {
        let entry = &mut self.sessions[key];
        entry.handles -= 1;
        if entry.handles > 0 || (!entry.ours && entry.over.is_none()) {
            return;
        }
        let (id, over) = (entry.id, entry.over.is_some());
        if !over && self.down.is_none() && self.session_has_rest(id) {
            self.teardown.sessions.push((id, Instant::now().checked_add(REST)));
            self.wake_driver();
        } else {
            self.forget_session(key);
        }
    }

    fn forget_session(&mut self, key: usize) {
        let mut entry = self.sessions.remove(key);
        // Woken, not dropped: what a waker owns may use the connection when it goes.
        entry.waiters.wake(&mut self.wakes);
        // Its links have no handles any more, and behind the end there is no news of them.
        for link in self.links_of(key) {
            self.end_link(link, LinkError::Closed);
        }
        if entry.over.is_none() {
            self.engine.end(entry.id, None);
        }
    }

    /// Closes the connection. The peer has this long to answer.
    pub(crate) fn close_in_order(&mut self, timeout: Duration) {
        let rest = self.has_rest();
        // A server leaves sessions to the client, which would take an end for the end of nothing more.
        if !self.opened || (self.accepted && !rest) {
            self.engine.close(None);
            return;
        }
        let now = Instant::now();
        // All steps fit into the timeout, and the peer's close into what is left.
        let ends = ENDS.min(if rest { timeout / 4 } else { timeout / 2 });
        // The close timeout bounds it where the clock does not.
        let by = now.checked_add(if rest { timeout / 2 } else { ends }).unwrap_or(now + REST);
        self.teardown.close.get_or_insert(Closing { by, ends, ended: false });
        self.tear_down(now);
    }

    /// Ends what can be ended now, and tells when there is to be done more at the latest.
    ///
    /// A connection is closed once no session is left, or it is time. A peer may take a close in before what it was told
    /// on a session, and forget that; a session that it has ended it has heard to the end.
    pub(crate) fn tear_down(&mut self, now: Instant) -> Option<Instant> {
        let due = |by: &Deadline| by.is_some_and(|by| by <= now);
        for (link, by) in std::mem::take(&mut self.teardown.links) {
            if self.engine.has_rest(link) && !due(&by) {
                self.teardown.links.push((link, by));
            } else {
                self.say_detach(link);
            }
        }
        for (session, by) in std::mem::take(&mut self.teardown.sessions) {
            if self.session_has_rest(session) && !due(&by) {
                self.teardown.sessions.push((session, by));
                continue;
            }
            match self.sessions.iter().find(|(_, entry)| entry.id == session) {
                Some((key, entry)) if entry.handles == 0 => self.forget_session(key),
                _ => self.engine.end(session, None),
            }
        }
        for (session, by, timeout) in std::mem::take(&mut self.teardown.ends) {
            let over = self.sessions.iter().all(|(_, entry)| entry.id != session || entry.over.is_some());
            if due(&by) {
                self.end_session(session, &LinkError::Timeout(timeout));
            } else if !over {
                self.teardown.ends.push((session, by, timeout));
            }
        }
        let closing = self.close_when_ended(now);
        let teardown = &self.teardown;
        let deadlines = teardown.links.iter().map(|(_, by)| *by).chain(teardown.sessions.iter().map(|(_, by)| *by));
        deadlines.chain(teardown.ends.iter().map(|(_, by, _)| *by)).chain([closing]).flatten().min()
    }

    fn close_when_ended(&mut self, now: Instant) -> Option<Instant> {
        let mut closing = self.teardown.close.filter(|_| !self.engine.is_closing())?;
        if !closing.ended {
            if closing.by > now && self.has_rest() {
                return Some(closing.by);
            }
            closing = Closing { by: now + closing.ends, ended: true, ..closing };
            self.teardown.close = Some(closing);
            if !self.accepted {
                self.engine.end_all();
            }
        }
        if closing.by <= now || self.accepted || !self.engine.has_sessions() {
            self.engine.close(None);
            return None;
        }
        Some(closing.by)
    }

    /// Why no session can be begun any more.
    pub(crate) fn closed(&self) -> Option<ConnectionError> {
        self.over.clone().or_else(|| self.teardown.close.map(|_| ConnectionError::Closed))
    }

    fn has_rest(&mut self) -> bool {
        let Self { links, engine, .. } = self;
        links.iter().any(|(_, entry)| engine.has_rest(entry.id))
    }

    fn session_has_rest(&mut self, session: SessionId) -> bool {
        let Self { links, engine, .. } = self;
        links.iter().any(|(_, entry)| engine.session_of(entry.id) == Some(session) && engine.has_rest(entry.id))
    }
}
