//! When a connection's patience ends.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::config::Config;
use super::keys::SessionKey;
use super::request::empty_request;
use super::sender::refusal;
use super::transactions::What;
use super::{CloseReason, Connection, Event, Frame, Outcome, SessionEnd};
use crate::Code;

#[derive(Debug)]
pub(crate) struct Timing {
    head: Duration,
    content: Duration,
    least: u64,
    unbound: Duration,
    /// Until when there must be a session.
    unbound_until: Option<Instant>,
    /// Until when the frame that has begun must have gone on.
    frame: Option<(Part, Instant)>,
    /// Octets that have come since that time began.
    came: u64,
    /// When something has come last.
    last: Instant,
    /// No session has anything to do before. It may be too early, since not each change is followed.
    sessions: Option<Instant>,
}

/// What of a frame is being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The end of its head, which may not take longer however it trickles.
    Head,
    /// More of its content.
    Content,
}

impl Timing {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let mut timing = Self {
            head: config.head_timeout,
            content: config.content_timeout,
            least: config.content_least,
            unbound: config.unbound_timeout,
            unbound_until: None,
            frame: None,
            came: 0,
            last: now,
            sessions: None,
        };
        timing.unbound(now);
        timing
    }

    /// A session has something to do by then.
    pub(super) fn session_due(&mut self, by: Option<Instant>) {
        self.sessions = [self.sessions, by].into_iter().flatten().min();
    }

    /// There is a session.
    pub(super) fn bound(&mut self) {
        self.unbound_until = None;
    }

    /// There is none any more.
    pub(super) fn unbound(&mut self, now: Instant) {
        self.unbound_until = now.checked_add(self.unbound);
    }

    /// So many octets have come.
    pub(crate) fn input(&mut self, octets: usize, now: Instant) {
        self.came += octets as u64;
        self.last = now;
    }

    /// What of a frame is open behind everything that has come; nothing while this end does not read. However it trickles,
    /// its time goes on.
    pub(crate) fn waits_for(&mut self, part: Option<Part>, new: bool) {
        let goes_on = !new && part == self.frame.map(|(part, _)| part);
        if !goes_on {
            self.frame = part.and_then(|part| Some((part, self.last.checked_add(self.time_for(part))?)));
            self.came = 0;
        }
    }

    /// Until when the frame that has begun must have gone on.
    pub(crate) fn frame_until(&self) -> Option<Instant> {
        self.frame.map(|(_, until)| until)
    }

    /// Whether a frame is too slow; one that brings enough has its time anew.
    pub(crate) fn is_stuck(&mut self, now: Instant) -> Option<Part> {
        let (part, _) = self.frame.filter(|(_, until)| *until <= now)?;
        if part == Part::Content && self.came >= self.least {
            self.came = 0;
            self.frame = now.checked_add(self.content).map(|until| (part, until));
            return None;
        }
        Some(part)
    }

    fn time_for(&self, part: Part) -> Duration {
        match part {
            Part::Head => self.head,
            Part::Content => self.content,
        }
    }
}

impl Connection {
    /// When [`handle_timeout`](Self::handle_timeout) is to be called, unless something else happens before.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let Timing { unbound_until, frame, sessions, .. } = self.timing;
        let frame = frame.map(|(_, until)| until);
        let sender = [self.sender.transactions.next_deadline(), self.sender.next_timeout()];
        sender.into_iter().chain([unbound_until, frame, sessions]).flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        let due = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        while let Some(what) = self.sender.transactions.overdue(now) {
            self.unanswered(&what);
        }
        match self.timing.is_stuck(now) {
            Some(Part::Head) => return self.close(CloseReason::HeadTimeout),
            Some(Part::Content) => return self.close(CloseReason::ContentTimeout),
            None => {}
        }
        if due(self.timing.unbound_until) {
            return self.close(CloseReason::Unbound);
        }
        self.sender.handle_timeout(now);
        if due(self.timing.sessions) {
            self.expire_incoming(now);
            self.keep_alive(now);
            self.timing.sessions = self.sessions.iter().filter_map(|(_, session)| session.next_timeout()).min();
        }
    }

    /// A request has had no response in time.
    fn unanswered(&mut self, what: &What) {
        match what {
            What::Chunk { message, length, .. } => {
                self.sender.answered(*message, *length, Err(Outcome::TimedOut), &mut self.events);
            }
            What::Unanswered { .. } => {}
            // Nobody is there any more.
            What::Empty { .. } => self.close(CloseReason::Silent),
            What::Request { key, .. } => self.tell(Event::NoResponse { request: *key }),
        }
    }

    /// A request has its response.
    pub(super) fn answered(&mut self, what: What, code: Code, head: crate::Head) {
        match what {
            What::Chunk { message, length, .. } => {
                let session = self.sender.get(message).map(|message| message.session);
                let outcome = refusal(code, head.comment());
                self.sender.answered(message, length, outcome, &mut self.events);
                self.session_refused(session, code);
            }
            What::Unanswered { message, session, id } => {
                if let Err(outcome) = refusal(code, head.comment()) {
                    if self.sender.get(message).is_some() {
                        self.sender.give_up(message, outcome, &mut self.events);
                    } else {
                        // It was told as sent before.
                        self.tell(Event::Outcome { message, id, outcome });
                    }
                    self.session_refused(Some(session), code);
                }
            }
            What::Empty { session } => match refusal(code, None) {
                Err(Outcome::TimedOut) => self.close(CloseReason::Silent),
                Err(_) => self.session_refused(Some(session), code),
                Ok(()) => self.note_bound(session),
            },
            What::Request { key, session } => {
                let (head, _) = head.kept(Bytes::new());
                self.tell(Event::Response { request: key, head });
                if session.is_some() {
                    self.session_refused(session, code);
                }
            }
        }
    }

    /// The peer of a session has been heard of.
    pub(super) fn note_bound(&mut self, session: SessionKey) {
        let its = self.sessions.get_mut((session.index, session.serial));
        if its.is_some_and(|its| !std::mem::replace(&mut its.bound, true)) {
            self.strangers = 0;
            self.tell(Event::Bound { session });
        }
    }

    /// A response may say that the whole session is not there (RFC 4975 10.8, 10.10).
    fn session_refused(&mut self, session: Option<SessionKey>, code: Code) {
        if let (Some(session), Code::NO_SUCH_SESSION | Code::BOUND_ELSEWHERE) = (session, code) {
            self.end_session(session, SessionEnd::Unknown(code));
        }
    }

    /// Sends an empty request for each session that would fall silent.
    fn keep_alive(&mut self, now: Instant) {
        let mut due = Vec::new();
        for ((index, serial), session) in self.sessions.iter_mut() {
            if session.keepalive_at.is_some_and(|at| at <= now) {
                session.keepalive_at = session.options.keepalive.and_then(|every| now.checked_add(every));
                due.push(SessionKey { index, serial });
            }
        }
        for session in due {
            self.empty(session, empty_request::KEEP_ALIVE);
        }
    }

    /// What of a frame is open, once everything that has come was read.
    pub(super) fn note_open_frame(&mut self) {
        let part = match &self.frame {
            Frame::Stranger(_) | Frame::Held(..) => None,
            Frame::None if self.parser.is_between_frames() => None,
            Frame::None => Some(Part::Head),
            _ => Some(Part::Content),
        };
        let new = std::mem::take(&mut self.new_frame);
        self.timing.waits_for(part.filter(|_| !self.is_paused()), new);
    }
}
