//! Chunks of messages that come, and what is answered and reported of them (RFC 4975 7.3).

use std::time::Instant;

use bytes::Bytes;

use super::event::{BrokenBy, Event, Message};
use super::incoming::Frame;
use super::incoming_message::Incoming;
use super::keys::{IncomingKey, SessionKey};
use super::outgoing;
use super::session::{Session, SuccessReports};
use super::{Connection, SessionEnd, SessionOver};
use crate::assembly::{Dropped, Outcome, Started};
use crate::content::MediaType;
use crate::said::Said;
use crate::{ByteRange, Code, FailureReport, Flag, Head, HeaderName, MessageId, Status};

/// A chunk that is being read.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) session: SessionKey,
    head: Head,
    said: Said,
}

impl Connection {
    pub(super) fn chunk_begins(&mut self, session: SessionKey, head: Head, now: Instant) {
        match self.chunk(session, &head, now) {
            Ok(said) => self.frame = Frame::Chunk(Chunk { session, head, said }),
            Err(code) => self.refuse(session, &head, code),
        }
    }

    fn chunk(&mut self, session: SessionKey, head: &Head, now: Instant) -> Result<Said, Code> {
        let said = Said::in_head(head).ok_or(Code::BAD_REQUEST)?;
        let its = self.sessions.get_mut((session.index, session.serial)).expect("its request has just been told apart");
        let taken = its.options.accept_types.accepts_all() || {
            let media_type = head.text(HeaderName::ContentType).and_then(|text| text.parse::<MediaType>().ok());
            media_type.is_some_and(|media_type| its.options.accept_types.accepts(&media_type))
        };
        if !taken {
            return Err(Code::UNSUPPORTED_MEDIA_TYPE);
        }
        self.timing.session_due(now.checked_add(its.options.message_timeout));
        let parts = its.in_parts(said.range.total());
        let options = its.assembly(parts);
        match its.assemblies.begin(said.id.as_bytes(), Some(said.range), options, now, &mut self.budget) {
            Ok(Started::New) if parts => {
                let (incoming, head) = self.incoming(session, &said, head, true);
                let began = Event::Began { session, incoming, head, id: said.id.clone(), size: said.range.total() };
                self.tell(began);
            }
            Ok(_) => {}
            Err(refusal) => {
                self.tell_dropped(session);
                return Err(refusal.code());
            }
        }
        Ok(said)
    }

    /// Remembers a message until it is over: what its parts go by, and its head as it is kept.
    fn incoming(&mut self, session: SessionKey, said: &Said, head: &Head, parts: bool) -> (IncomingKey, Head) {
        self.incoming += 1;
        let key = IncomingKey { index: 0, serial: self.incoming };
        let Said { id, failure, range, .. } = said;
        let (head, _) = head.clone().kept(Bytes::new());
        let incoming =
            Incoming { id: id.clone(), key, head: head.clone(), failure: *failure, size: range.total(), parts };
        let its = self.sessions.get_mut((session.index, session.serial)).expect("its chunk is being read");
        its.incoming.push(incoming);
        (key, head)
    }

    pub(super) fn chunk_content(&mut self, content: Bytes, now: Instant) {
        let Frame::Chunk(chunk) = &mut self.frame else { return };
        let session = chunk.session;
        let its = self.sessions.get_mut((session.index, session.serial)).expect("a chunk goes with its session");
        let key = its.incoming_named(chunk.said.id.as_bytes()).map(|place| its.incoming[place].key);
        let (events, untaken) = (&mut self.events, &mut self.untaken);
        let place = |offset, content: Bytes| {
            if let Some(incoming) = key {
                let part = Event::Part { incoming, offset, content };
                *untaken += part.weight();
                events.push_back(part);
            }
        };
        if let Err(refusal) = its.assemblies.data(content, now, &mut self.budget, place) {
            let head = chunk.head.clone();
            self.tell_dropped(session);
            self.refuse(session, &head, refusal.code());
        }
    }

    pub(super) fn chunk_ends(&mut self, chunk: Chunk, flag: Flag, now: Instant) {
        let Chunk { session, head, said } = chunk;
        let its = self.sessions.get_mut((session.index, session.serial)).expect("a chunk goes with its session");
        let reports = its.options.success_reports;
        let ended = match its.assemblies.end(flag, now, &mut self.budget) {
            Ok(ended) => ended,
            Err(refusal) => {
                self.tell_dropped(session);
                return self.answer(Some(session), &head, refusal.code(), None);
            }
        };
        let known = its.incoming_named(said.id.as_bytes());
        self.answer(Some(session), &head, Code::OK, None);
        let mut total = None;
        match ended.outcome {
            Outcome::More if known.is_none() => drop(self.incoming(session, &said, &head, false)),
            Outcome::More => {}
            Outcome::Duplicate => self.tell(Event::Duplicate { session, id: said.id.clone() }),
            Outcome::Aborted { .. } => {
                if let Some(Incoming { key: incoming, parts: true, .. }) = self.known(session, known) {
                    self.tell(Event::Broken { incoming, why: BrokenBy::Sender });
                }
                return;
            }
            Outcome::Complete { total: size, buffer } => {
                total = Some(size);
                match self.known(session, known) {
                    Some(Incoming { key: incoming, parts: true, .. }) => self.tell(Event::Completed { incoming, size }),
                    known => {
                        let (head, content) = known.map_or(head, |known| known.head).kept(buffer.into_bytes());
                        let message = Message { head, id: said.id.clone(), content };
                        self.tell(Event::Message { session, message });
                    }
                }
            }
        }
        // A message of which any octet is missing has not arrived (RFC 4975 7.1.2).
        let range = match reports {
            SuccessReports::Whole => total.and_then(|size| ByteRange::new(1, Some(size), Some(size)).ok()),
            SuccessReports::Chunks => ByteRange::new(ended.range.start(), ended.range.end(), total).ok(),
            SuccessReports::Manual => None,
        };
        if let (true, Some(range)) = (said.success, range) {
            // The session was there a moment ago.
            let _ = self.report(session, &said.id, range, &Status::new(Code::OK));
        }
    }

    /// Forgets a message that is over.
    fn known(&mut self, session: SessionKey, place: Option<usize>) -> Option<Incoming> {
        let its = self.sessions.get_mut((session.index, session.serial))?;
        place.map(|place| its.incoming.swap_remove(place))
    }

    /// Tells of the messages of a session of which nothing more is taken.
    fn tell_dropped(&mut self, session: SessionKey) {
        let Some(its) = self.sessions.get_mut((session.index, session.serial)) else { return };
        let mut broken = Vec::new();
        while let Some(Dropped { id, refusal, .. }) = its.assemblies.poll_dropped() {
            if let Some(place) = its.incoming_named(&id) {
                let why = refusal.map_or(BrokenBy::Idle, |refusal| BrokenBy::Refused(refusal.code()));
                broken.push((its.incoming.swap_remove(place), why));
            }
        }
        for (incoming, why) in broken.into_iter().filter(|(incoming, _)| incoming.parts) {
            self.tell(Event::Broken { incoming: incoming.key, why });
        }
    }

    /// A report of a message of ours has come.
    pub(super) fn report_came(&mut self, session: SessionKey, id: MessageId, range: Option<ByteRange>, status: Status) {
        let code = status.code();
        let (mut covered, mut complete, mut lossy) = (0, false, false);
        // Codes of other namespaces are the application's to read (RFC 4975 7.1.2).
        if status.namespace() == 0 && code.is_success() {
            (covered, complete) = self.sender.reports.arrived(session, &id, range);
        } else if status.namespace() == 0 {
            if let Some(key) = self.sender.named(session, &id) {
                // Nothing more of it is to be sent (RFC 4975 7.3.2, 10.5).
                let comment = status.comment().map(str::to_owned);
                self.sender.give_up(key, outgoing::Outcome::Failed { code, comment }, &mut self.events);
            }
            // That somebody does not want a message is no loss.
            let unwanted = matches!(code, Code::STOP | Code::UNSUPPORTED_MEDIA_TYPE | Code::FORBIDDEN);
            lossy = !unwanted && self.sender.has_sent(session, &id);
        }
        self.tell(Event::Report { session, id, range, status, covered, complete });
        if lossy {
            self.end_session(session, SessionEnd::Lossy(code));
        }
    }

    /// Refuses a message that is coming in parts: no more of it is taken, and its sender is told to stop (RFC 4975 10.5).
    ///
    /// # Errors
    /// The session is over. A message that is over as well is no error.
    pub fn reject(&mut self, session: SessionKey, incoming: IncomingKey) -> Result<(), SessionOver> {
        let its = self.sessions.get_mut((session.index, session.serial)).ok_or(SessionOver)?;
        let Some(place) = its.incoming.iter().position(|known| known.key == incoming) else { return Ok(()) };
        let Incoming { id, failure, size, .. } = its.incoming.swap_remove(place);
        its.assemblies.refuse(id.as_bytes(), &mut self.budget);
        if let Frame::Chunk(chunk) = &self.frame
            && chunk.session == session
            && chunk.said.id == id
        {
            let head = chunk.head.clone();
            self.refuse(session, &head, Code::STOP);
        } else if failure != FailureReport::No
            && let Ok(range) = ByteRange::new(1, None, size)
        {
            // Its sender would hear of it at the next chunk, and may have all of them on the way.
            self.report(session, &id, range, &Status::new(Code::STOP))?;
        }
        Ok(())
    }

    /// Counts octets of a message that comes in parts as there: another connection had brought them before it was lost.
    ///
    /// # Errors
    /// The session is over. A message that is over as well is no error.
    pub fn have(
        &mut self,
        session: SessionKey,
        incoming: IncomingKey,
        range: std::ops::Range<u64>,
    ) -> Result<(), SessionOver> {
        let its = self.sessions.get_mut((session.index, session.serial)).ok_or(SessionOver)?;
        let Some(place) = its.incoming.iter().position(|known| known.key == incoming) else { return Ok(()) };
        let id = its.incoming[place].id.clone();
        if let Some(size) = its.assemblies.have(id.as_bytes(), range, &mut self.budget) {
            its.incoming.swap_remove(place);
            self.tell(Event::Completed { incoming, size });
        }
        Ok(())
    }

    /// Ends the messages that have waited too long.
    pub(super) fn expire_incoming(&mut self, now: Instant) {
        let keys: Vec<_> = self.sessions.iter().map(|((index, serial), _)| SessionKey { index, serial }).collect();
        for session in keys {
            let its = self.sessions.get_mut((session.index, session.serial)).expect("just looked up");
            its.assemblies.handle_timeout(now, &mut self.budget);
            self.tell_dropped(session);
        }
    }

    /// Ends what was coming for a session that is over.
    pub(super) fn drop_incoming(&mut self, session: SessionKey, mut over: Session) {
        over.assemblies.clear(&mut self.budget);
        for Incoming { key: incoming, parts, .. } in over.incoming {
            if parts {
                self.tell(Event::Broken { incoming, why: BrokenBy::SessionOver });
            }
        }
        let its = match &self.frame {
            Frame::Chunk(chunk) => chunk.session == session,
            Frame::Owners(its) | Frame::Empty(its, _) | Frame::Small(its, ..) => *its == session,
            Frame::None | Frame::Stranger(_) | Frame::Held(..) | Frame::Unwanted => false,
        };
        if its {
            self.frame = Frame::Unwanted;
        }
    }
}
