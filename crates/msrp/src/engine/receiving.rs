//! Chunks of messages that come, and what is answered and reported of them (RFC 4975 7.3).

use std::time::Instant;

use bytes::Bytes;

use super::assembly::{Assembly, Ended, Refusal};
use super::event::{BrokenBy, Event, Message};
use super::incoming::Frame;
use super::keys::{IncomingKey, SessionKey};
use super::outgoing::Outcome;
use super::session::{Session, SuccessReports};
use super::{Connection, SessionOver};
use crate::content::MediaType;
use crate::report::success_report;
use crate::{ByteRange, Code, FailureReport, Flag, Head, HeaderName, MessageId, Status};

/// A chunk that is being read.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) session: SessionKey,
    head: Head,
    id: MessageId,
    /// Where it begins, and how much of it there is, from zero on.
    start: u64,
    length: u64,
    success: bool,
}

impl Connection {
    pub(super) fn chunk_begins(&mut self, session: SessionKey, head: Head, now: Instant) {
        match self.chunk(session, &head, now) {
            Ok(Said { id, range, success, .. }) => {
                let start = range.start() - 1;
                self.frame = Frame::Chunk(Chunk { session, head, id, start, length: 0, success });
            }
            Err(code) => self.refuse(session, &head, code),
        }
    }

    fn chunk(&mut self, session: SessionKey, head: &Head, now: Instant) -> Result<Said, Code> {
        let said = Said::in_head(head).ok_or(Code::BAD_REQUEST)?;
        let Said { id, range, failure, .. } = &said;
        let (range, failure) = (*range, *failure);
        let its = self.sessions.get_mut((session.index, session.serial)).expect("its request has just been told apart");
        let taken = its.options.accept_types.accepts_all() || {
            let media_type = head.text(HeaderName::ContentType).and_then(|text| text.parse::<MediaType>().ok());
            media_type.is_some_and(|media_type| its.options.accept_types.accepts(&media_type))
        };
        if !taken {
            return Err(Code::UNSUPPORTED_MEDIA_TYPE);
        }
        let next = &mut self.incoming;
        let key = || {
            *next += 1;
            IncomingKey { index: 0, serial: *next }
        };
        let parts = its.parts();
        self.timing.session_due(now.checked_add(its.options.message_timeout));
        match its.assemblies.begin(id, range, head, failure, key, now) {
            Ok(None) => {}
            Ok(Some(Assembly { key, duplicate, .. })) if parts => {
                let (incoming, duplicate, size) = (*key, *duplicate, range.total());
                let began = Event::Began { session, incoming, head: head.clone(), id: id.clone(), size, duplicate };
                self.tell(began);
            }
            Ok(Some(_)) => {}
            Err(refusal) => {
                self.give_up_incoming(session, id, refusal.code());
                return Err(refusal.code());
            }
        }
        Ok(said)
    }

    pub(super) fn chunk_content(&mut self, content: Bytes, now: Instant) {
        let Frame::Chunk(chunk) = &mut self.frame else { return };
        let session = chunk.session;
        let its = self.sessions.get_mut((session.index, session.serial)).expect("a chunk goes with its session");
        match its.assemblies.content(&chunk.id, &content, &mut self.room, now) {
            Ok((incoming, offset)) => {
                chunk.length += content.len() as u64;
                if its.parts() {
                    self.tell(Event::Part { incoming, offset, content });
                }
            }
            Err(refusal) => {
                let (head, id) = (chunk.head.clone(), chunk.id.clone());
                self.give_up_incoming(session, &id, refusal.code());
                self.refuse(session, &head, refusal.code());
            }
        }
    }

    pub(super) fn chunk_ends(&mut self, chunk: Chunk, flag: Flag) {
        let Chunk { session, head, id, start, length, success } = chunk;
        let its = self.sessions.get_mut((session.index, session.serial)).expect("a chunk goes with its session");
        let (parts, reports) = (its.parts(), its.options.success_reports);
        let ended = match its.assemblies.end(&id, flag, &mut self.room) {
            Ok(ended) => ended,
            Err(refusal) => {
                self.give_up_incoming(session, &id, refusal.code());
                return self.answer(Some(session), &head, refusal.code(), None);
            }
        };
        self.answer(Some(session), &head, Code::OK, None);
        let mut total = None;
        match ended {
            Ended::Open => {}
            Ended::Aborted(assembly) => {
                if parts {
                    self.tell(Event::Broken { incoming: assembly.key, why: BrokenBy::Sender });
                }
                return;
            }
            Ended::Whole { assembly, content, size } => {
                total = Some(size);
                let Assembly { head, key: incoming, duplicate, .. } = *assembly;
                self.tell(if parts {
                    Event::Completed { incoming, size }
                } else {
                    Event::Message { session, message: Message { head, id: id.clone(), content, duplicate } }
                });
            }
        }
        // A message of which any octet is missing has not arrived (RFC 4975 7.1.2).
        let range = match (reports, total) {
            (SuccessReports::Whole, Some(size)) => Some(ByteRange::whole(size)),
            (SuccessReports::Chunks, _) => ByteRange::new(start + 1, Some(start + length), total).ok(),
            _ => None,
        };
        if let (true, Some(range)) = (success, range) {
            // The session was there a moment ago.
            let _ = self.report(session, &id, range, &Status::new(Code::OK));
        }
    }

    /// A report of a message of ours has come.
    pub(super) fn report_came(&mut self, session: SessionKey, id: MessageId, range: Option<ByteRange>, status: Status) {
        let code = status.code();
        let (mut covered, mut complete) = (0, false);
        if status.namespace() == 0 && code.is_success() {
            (covered, complete) = self.sender.reports.arrived(session, &id, range);
        } else if status.namespace() == 0
            && let Some(key) = self.sender.named(session, &id)
        {
            // Nothing more of it is to be sent (RFC 4975 7.1.2, 10.5).
            let comment = status.comment().map(str::to_owned);
            self.sender.give_up(key, Outcome::Failed { code, comment }, &mut self.events);
        }
        self.tell(Event::Report { session, id, range, status, covered, complete });
    }

    /// Refuses a message that is coming in parts: no more of it is taken, and its sender is told to stop (RFC 4975 10.5).
    ///
    /// # Errors
    /// The session is over. A message that is over as well is no error.
    pub fn reject(&mut self, session: SessionKey, incoming: IncomingKey) -> Result<(), SessionOver> {
        let its = self.sessions.get_mut((session.index, session.serial)).ok_or(SessionOver)?;
        let Some(id) = its.assemblies.named(incoming) else { return Ok(()) };
        let stopped = its.assemblies.stop(&id, &mut self.room);
        if let Frame::Chunk(chunk) = &self.frame
            && chunk.session == session
            && chunk.id == id
        {
            let head = chunk.head.clone();
            self.refuse(session, &head, Code::STOP);
        } else if let Some(assembly) = stopped
            && assembly.failure != FailureReport::No
        {
            // Its sender would hear of it at the next chunk, and may have all of them on the way.
            let size = assembly.said_size();
            if let Ok(range) = ByteRange::new(1, None, size) {
                self.report(session, &id, range, &Status::new(Code::STOP))?;
            }
        }
        Ok(())
    }

    /// Ends the messages that have waited too long.
    pub(super) fn expire_incoming(&mut self, now: Instant) {
        let mut late = Vec::new();
        for ((index, serial), session) in self.sessions.iter() {
            let session_key = SessionKey { index, serial };
            late.extend(session.assemblies.overdue(now).into_iter().map(|id| (session_key, id)));
        }
        for (session, id) in late {
            let its = self.sessions.get_mut((session.index, session.serial)).expect("just looked up");
            let parts = its.parts();
            if let Some(assembly) = its.assemblies.stop(&id, &mut self.room)
                && parts
            {
                self.tell(Event::Broken { incoming: assembly.key, why: BrokenBy::Idle });
            }
            if let Frame::Chunk(chunk) = &self.frame
                && chunk.session == session
                && chunk.id == id
            {
                let head = chunk.head.clone();
                self.refuse(session, &head, Code::STOP);
            }
        }
    }

    /// Ends what was coming for a session that is over.
    pub(super) fn drop_incoming(&mut self, session: SessionKey, mut over: Session) {
        let parts = over.parts();
        for incoming in over.assemblies.clear(&mut self.room) {
            if parts {
                self.tell(Event::Broken { incoming, why: BrokenBy::SessionOver });
            }
        }
        let its = match &self.frame {
            Frame::Chunk(chunk) => chunk.session == session,
            Frame::Owners(its) | Frame::Empty(its, _) | Frame::Small(its, ..) => *its == session,
            Frame::None | Frame::Stranger(_) | Frame::Unwanted => false,
        };
        if its {
            self.frame = Frame::Unwanted;
        }
    }

    /// No more of a message is taken, for what came of it is refused.
    fn give_up_incoming(&mut self, session: SessionKey, id: &MessageId, code: Code) {
        let Some(its) = self.sessions.get_mut((session.index, session.serial)) else { return };
        let parts = its.parts();
        if let Some(assembly) = its.assemblies.stop(id, &mut self.room)
            && parts
        {
            self.tell(Event::Broken { incoming: assembly.key, why: BrokenBy::Refused(code) });
        }
    }
}

/// What the headers of a chunk say.
struct Said {
    id: MessageId,
    range: ByteRange,
    success: bool,
    failure: FailureReport,
}

impl Said {
    /// Nothing where one of them says nothing that makes sense.
    fn in_head(head: &Head) -> Option<Self> {
        // A copy, which keeps no read buffer in memory.
        let id = MessageId::received(Bytes::copy_from_slice(head.value(HeaderName::MessageId)?))?;
        let range = match head.value(HeaderName::ByteRange) {
            Some(range) => ByteRange::from_bytes(range).ok()?,
            // It is the first, then, and of unknown length.
            None => ByteRange::new(1, None, None).ok()?,
        };
        let success = match head.text(HeaderName::SuccessReport) {
            Some(text) => success_report(text).ok()?,
            None => false,
        };
        let failure = match head.text(HeaderName::FailureReport) {
            Some(text) => text.parse().ok()?,
            None => FailureReport::Yes,
        };
        Some(Self { id, range, success, failure })
    }
}

impl Refusal {
    fn code(self) -> Code {
        match self {
            Self::Contradiction => Code::BAD_REQUEST,
            Self::TooMuch => Code::STOP,
        }
    }
}
