//! One connection and the sessions on it, without input and output: octets and the time go in, octets and events come out.
//!
//! A driver hands what it has read to [`handle_input`](Connection::handle_input), tells the events that
//! [`poll_event`](Connection::poll_event) gives, writes what [`poll_transmit`](Connection::poll_transmit) gives and says with
//! [`handle_sent`](Connection::handle_sent) how much of it the transport took. At [`poll_timeout`](Connection::poll_timeout) it calls
//! [`handle_timeout`](Connection::handle_timeout). It reads only while the engine [`is_hungry`](Connection::is_hungry): that is how a
//! peer is slowed down that sends faster than anybody takes.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use crate::assembly::Budget;
use crate::content::AcceptTypes;
use crate::{MessageId, Parser, Uri};

mod answer;
mod config;
mod event;
mod incoming;
mod incoming_message;
pub(crate) mod keys;
pub(crate) mod outbox;
mod outgoing;
mod receiving;
mod reports;
mod request;
pub(crate) mod sender;
mod session;
#[cfg(test)]
mod tests;
pub(crate) mod timing;
pub(crate) mod transactions;

pub use config::{Carriage, Config};
pub use event::{BrokenBy, CloseReason, Event, Message, SessionEnd};
pub use keys::{IncomingKey, MessageKey, RequestKey, SessionKey};
pub use outgoing::{HeaderError, Outcome, Outgoing};
pub use request::Request;
pub use sender::GiveError;
pub use session::{RELAYED_CHUNK, Receive, SessionOptions, SuccessReports};

use incoming::Frame;
use keys::Arena;
use outgoing::Sending;
use sender::{HIGH, Random, Sender};
use session::Session;
use timing::Timing;

/// A connection, with whatever sessions there are on it.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    parser: Parser,
    /// What is being read, and whether that is another frame than before.
    frame: Frame,
    new_frame: bool,
    sessions: Arena<Session>,
    by_uri: HashMap<Uri, SessionKey>,
    /// Whose request came last: the next one's as well, most likely.
    last: Option<SessionKey>,
    strangers: u32,
    sender: Sender,
    events: VecDeque<Event>,
    /// Octets of content in the events.
    untaken: usize,
    requests: u64,
    /// Keys of messages that come in parts.
    incoming: u64,
    /// Octets of messages that are being put together.
    budget: Budget,
    timing: Timing,
    closed: Option<CloseReason>,
}

impl Connection {
    /// A connection that has just been made. `random` fills octets with numbers that nobody can guess.
    #[must_use]
    pub fn new(config: Config, random: impl FnMut(&mut [u8]) + Send + 'static, now: Instant) -> Self {
        Self {
            parser: Parser::new(config.limits),
            frame: Frame::None,
            new_frame: false,
            sessions: Arena::default(),
            by_uri: HashMap::new(),
            last: None,
            strangers: 0,
            sender: Sender::new(&config, Random(Box::new(random))),
            events: VecDeque::new(),
            untaken: 0,
            requests: 0,
            incoming: 0,
            budget: Budget::new(config.assembly),
            timing: Timing::new(&config, now),
            closed: None,
            config,
        }
    }

    /// Has a session on this connection. The peer need not have been heard of; who is the active one of the two sends
    /// something at once, for which [`probe`](Self::probe) will do (RFC 4975 5.4).
    ///
    /// # Errors
    /// There is a session of this URI, or there are as many as there may be.
    pub fn add_session(&mut self, options: SessionOptions, now: Instant) -> Result<SessionKey, AddError> {
        if self.by_uri.contains_key(&options.local) {
            return Err(AddError::Twice);
        }
        if self.sessions.len() >= self.config.sessions {
            return Err(AddError::Full);
        }
        let uri = options.local.clone();
        let (index, serial) = self.sessions.insert(Session::new(options, now));
        let key = SessionKey { index, serial };
        self.by_uri.insert(uri, key);
        self.timing.bound();
        self.timing.session_due(self.sessions.get((index, serial)).and_then(Session::next_timeout));
        Ok(key)
    }

    /// Ends a session. What it was sending is given up, and what comes for it is answered with 481.
    pub fn remove_session(&mut self, session: SessionKey, now: Instant) {
        self.end_session(session, SessionEnd::Removed);
        if self.sessions.len() == 0 {
            self.timing.unbound(now);
        }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether the peer of a session has been heard of.
    #[must_use]
    pub fn is_bound(&self, session: SessionKey) -> bool {
        self.sessions.get((session.index, session.serial)).is_some_and(|session| session.bound)
    }

    /// Sends a message. Messages of a session that are not longer than [`Config::share`] leave in their order; longer ones
    /// are overtaken.
    ///
    /// # Errors
    /// There is no such session, or the connection is closed.
    pub fn send(&mut self, session: SessionKey, message: Outgoing) -> Result<MessageKey, SessionOver> {
        let its = self.sessions.get((session.index, session.serial)).ok_or(SessionOver)?;
        let (paths, chunk) = (its.paths.clone(), its.chunk());
        let id = match message.id {
            Some(id) => id,
            None => MessageId::from_random(self.sender.random()),
        };
        let mut headers = message.headers;
        if message.success {
            headers.extend_from_slice(b"Success-Report: yes\r\n");
        }
        if message.failure != crate::FailureReport::Yes {
            headers.extend_from_slice(format!("Failure-Report: {}\r\n", message.failure).as_bytes());
        }
        let mut mime = message.mime;
        mime.extend_from_slice(&message.content_type);
        let whole = message.content.is_some();
        let content = message.content.unwrap_or_default();
        let content = content.slice(content.len().min(usize::try_from(message.position).unwrap_or(usize::MAX))..);
        let sending = Sending {
            session,
            id,
            paths,
            headers: headers.into(),
            mime: mime.into(),
            failure: message.failure,
            success: message.success,
            size: message.size,
            first: message.position,
            next: message.position,
            waiting: content.len(),
            parts: if content.is_empty() { VecDeque::new() } else { VecDeque::from([content]) },
            whole,
            asked: false,
            in_ring: false,
            begun: false,
            finished: false,
            given_up: false,
            told: false,
            open: 0,
            accepted: 0,
            chunk,
        };
        let key = self.sender.insert(sending);
        if !whole {
            self.sender.ask(key, &mut self.events);
        }
        Ok(key)
    }

    /// Gives more of a message whose owner gives it bit by bit.
    ///
    /// # Errors
    /// Nothing more is taken.
    pub fn give(&mut self, message: MessageKey, content: Bytes) -> Result<(), GiveError> {
        self.sender.give(message, content)
    }

    /// Says that everything of such a message was given.
    ///
    /// # Errors
    /// It is shorter than was said, or over.
    pub fn finish(&mut self, message: MessageKey) -> Result<(), GiveError> {
        self.sender.finish(message)
    }

    /// Gives a message up. The peer hears of it where some of it has left.
    pub fn abort(&mut self, message: MessageKey) {
        self.sender.give_up(message, Outcome::Aborted, &mut self.events);
    }

    /// Octets of messages that wait to be put out.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.sender.waiting()
    }

    /// Whether a message of a session has not come to an end.
    #[must_use]
    pub fn is_sending(&self, session: SessionKey) -> bool {
        self.sender.is_sending(session)
    }

    /// Takes only these media types in a session from now on.
    ///
    /// # Errors
    /// The session is over.
    pub fn accept(&mut self, session: SessionKey, types: AcceptTypes) -> Result<(), SessionOver> {
        let its = self.sessions.get_mut((session.index, session.serial)).ok_or(SessionOver)?;
        its.options.accept_types = types;
        Ok(())
    }

    /// Takes what has come.
    pub fn handle_input(&mut self, now: Instant, octets: Bytes) {
        if self.closed.is_none() {
            self.timing.input(octets.len(), now);
            self.parser.push(octets);
            self.read(now);
        }
    }

    /// Goes on with what has come and was not read because nobody took what was there.
    pub fn resume(&mut self, now: Instant) {
        if self.closed.is_none() {
            self.read(now);
        }
    }

    /// The peer sends nothing more.
    pub fn handle_eof(&mut self) {
        let between = self.parser.is_between_frames();
        self.close(if between { CloseReason::Peer } else { CloseReason::Cut });
    }

    /// Whether more is to be read.
    #[must_use]
    pub fn is_hungry(&self) -> bool {
        self.closed.is_none() && !self.is_paused()
    }

    /// What happens next. Whoever has done with it says so by [`handle_taken`](Self::handle_taken).
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// An event is done with: so many octets that have come ([`Event::weight`]) need not be kept any more.
    pub fn handle_taken(&mut self, weight: usize) {
        self.untaken = self.untaken.saturating_sub(weight);
    }

    /// Takes out what is to be written: how many octets. Over a transport that carries each frame by itself, it is one
    /// frame; more may follow at once.
    pub fn poll_transmit(&mut self, now: Instant, into: &mut VecDeque<Bytes>) -> usize {
        if self.closed.is_none() {
            self.sender.fill(now, &mut self.events);
        }
        self.sender.outbox.take(into)
    }

    /// The transport has taken so many octets of what was to be written.
    pub fn handle_sent(&mut self, now: Instant, octets: usize) {
        self.sender.sent(octets, now, self.config.response_timeout, &mut self.events);
    }

    /// Why the connection is of no more use.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Whether nobody takes what has come, or the peer does not take what answers it.
    fn is_paused(&self) -> bool {
        matches!(self.frame, Frame::Stranger(_) | Frame::Held(..))
            || self.untaken >= self.config.taken
            || self.sender.outbox.len() >= HIGH + self.config.share + self.config.answers
    }

    fn tell(&mut self, event: Event) {
        self.untaken += event.weight();
        self.events.push_back(event);
    }

    fn end_session(&mut self, session: SessionKey, why: SessionEnd) {
        let Some(over) = self.sessions.remove((session.index, session.serial)) else { return };
        self.by_uri.remove(&over.options.local);
        self.sender.end_session(session, &mut self.events);
        self.drop_incoming(session, over);
        self.tell(Event::SessionOver { session, why });
    }

    fn close(&mut self, why: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(why);
        let sessions: Vec<_> = self.sessions.iter().map(|((index, serial), _)| SessionKey { index, serial }).collect();
        for session in sessions {
            self.end_session(session, SessionEnd::ConnectionClosed);
        }
        self.tell(Event::Closed(why));
    }
}

/// A session or its connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session is over")]
pub struct SessionOver;

/// Why a connection does not take a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// There is one of this URI.
    #[error("there is a session of this URI")]
    Twice,
    /// There are as many as there may be.
    #[error("there are too many sessions on this connection")]
    Full,
}
