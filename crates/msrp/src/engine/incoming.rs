//! Frames that come: whose they are, and what becomes of them.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::event::{CloseReason, Event};
use super::keys::SessionKey;
use super::receiving::Chunk;
use super::session::{Receive, Session};
use super::{AddError, Connection, SessionOptions, SessionOver};
use crate::parser::Event as Parsed;
use crate::{ByteRange, Code, Flag, Head, HeadFault, HeaderName, MessageId, Method, Path, Status, Uri};

/// The most content of a request that is no `SEND` (RFC 4975 7.1: 10 240).
const SMALL: usize = 10_240;

/// What is being read.
#[derive(Debug)]
pub(super) enum Frame {
    /// Nothing, or a head.
    None,
    /// Nothing more, until it is known whether there is a session for this request.
    Stranger(Head),
    /// Nothing more, until it is known how the session receives.
    Held(SessionKey, Head),
    /// Content that nobody wants.
    Unwanted,
    /// A frame that the owner reads by itself.
    Owners(SessionKey),
    /// A request without content.
    Empty(SessionKey, Head),
    /// A request with content that is not a message.
    Small(SessionKey, Head, BytesMut),
    /// A chunk of a message.
    Chunk(Chunk),
}

impl Connection {
    /// Has the session that a [stranger](Event::Stranger) asks for on this connection from now on, and goes on.
    ///
    /// # Errors
    /// There are as many sessions as there may be; the stranger still waits.
    pub fn bind(&mut self, options: SessionOptions, now: Instant) -> Result<SessionKey, AddError> {
        let key = self.add_session(options, now)?;
        if let Frame::Stranger(head) = std::mem::replace(&mut self.frame, Frame::None) {
            self.request_begins(head, now);
        }
        self.read(now);
        Ok(key)
    }

    /// Answers a [stranger](Event::Stranger) that there is no such session, or that it is bound elsewhere, and goes on.
    pub fn turn_away(&mut self, code: Code, now: Instant) {
        if let Frame::Stranger(head) = std::mem::replace(&mut self.frame, Frame::None) {
            self.refuse_stranger(&head, code);
        }
        self.read(now);
    }

    /// Has a session receive like this from now on, and goes on. A frame that is being read goes on as it began.
    ///
    /// # Errors
    /// The session is over.
    pub fn receive(&mut self, session: SessionKey, receive: Receive, now: Instant) -> Result<(), SessionOver> {
        let its = self.sessions.get_mut((session.index, session.serial)).ok_or(SessionOver)?;
        its.options.receive = receive;
        match std::mem::replace(&mut self.frame, Frame::None) {
            Frame::Held(held, head) if held == session => self.request_begins(head, now),
            other => self.frame = other,
        }
        self.resume(now);
        Ok(())
    }

    /// Reads what has come, as long as somebody takes what comes of it.
    pub(super) fn read(&mut self, now: Instant) {
        // What was not read for a while has its time from now on.
        self.timing.input(0, now);
        while self.closed.is_none() && !self.is_paused() {
            let event = self.parser.next_event();
            self.new_frame |= !matches!(event, Ok(None | Some(Parsed::Content(_))));
            match event {
                Ok(None) => break,
                Ok(Some(Parsed::Head(head))) if head.code().is_some() => self.response(head),
                Ok(Some(Parsed::Head(head))) => self.request_begins(head, now),
                Ok(Some(Parsed::Content(content))) => self.content(content, now),
                Ok(Some(Parsed::End(flag))) => self.frame_ends(flag, now),
                Err(error) => self.close(CloseReason::Malformed(error)),
            }
        }
        if self.closed.is_none() {
            self.note_open_frame();
        }
    }

    fn response(&mut self, head: Head) {
        self.frame = Frame::Unwanted;
        let code = head.code().and_then(Code::new).expect("a response has a code of three digits");
        // One that answers nothing is nobody's (RFC 4975 7.2), and so is one that breaks the rules.
        if head.fault().is_none()
            && let Some(what) = self.sender.transactions.end(&head.transaction_id())
        {
            self.answered(what, code, head);
        }
    }

    fn request_begins(&mut self, head: Head, now: Instant) {
        let session = match self.session_of(&head) {
            Ok(session) => session,
            Err(Stray::NoPaths) => return self.close(CloseReason::NoPaths),
            Err(Stray::Stranger(stranger)) => {
                self.strangers += 1;
                if self.strangers > self.config.strangers {
                    self.refuse_stranger(&head, Code::NO_SUCH_SESSION);
                    return self.close(CloseReason::Strangers);
                }
                let (to, from) = *stranger;
                self.tell(Event::Stranger { to, from });
                self.frame = Frame::Stranger(head);
                return;
            }
            // It is known whom it is for, and it does not come from there (RFC 4975 7.3).
            Err(Stray::NotFromThere) => return self.refuse_stranger(&head, Code::NO_SUCH_SESSION),
        };
        let its = self.sessions.get_mut((session.index, session.serial)).expect("just found");
        let receive = its.options.receive;
        self.note_bound(session);
        if let Some(fault) = head.fault() {
            return self.refuse(
                session,
                &head,
                if fault == HeadFault::NoContentType { Code::UNSUPPORTED_MEDIA_TYPE } else { Code::BAD_REQUEST },
            );
        }
        if receive == Receive::Frames {
            self.frame = Frame::Owners(session);
            let (head, _) = head.kept(Bytes::new());
            return self.tell(Event::Head { session, head });
        }
        let typed = head.value(HeaderName::ContentType).is_some();
        if receive == Receive::Undecided && (typed || head.method() != Some(Method::Send)) {
            self.frame = Frame::Held(session, head);
            return;
        }
        self.frame = match head.method() {
            Some(Method::Send) if typed => return self.chunk_begins(session, head, now),
            _ if typed => Frame::Small(session, head, BytesMut::new()),
            _ => Frame::Empty(session, head),
        };
    }

    fn content(&mut self, content: Bytes, now: Instant) {
        match &mut self.frame {
            Frame::None | Frame::Stranger(_) | Frame::Held(..) | Frame::Unwanted | Frame::Empty(..) => {}
            Frame::Owners(session) => {
                let session = *session;
                self.tell(Event::Content { session, content });
            }
            Frame::Small(session, head, before) => {
                if before.len() + content.len() > SMALL {
                    let (session, head) = (*session, head.clone());
                    return self.refuse(session, &head, Code::STOP);
                }
                before.extend_from_slice(&content);
            }
            Frame::Chunk(_) => self.chunk_content(content, now),
        }
    }

    fn frame_ends(&mut self, flag: Flag, now: Instant) {
        match std::mem::replace(&mut self.frame, Frame::None) {
            Frame::None | Frame::Stranger(_) | Frame::Held(..) | Frame::Unwanted => {}
            Frame::Owners(session) => self.tell(Event::End { session, flag }),
            Frame::Empty(session, head) => self.request_ends(session, head, Bytes::new()),
            Frame::Small(session, head, content) => self.request_ends(session, head, content.freeze()),
            Frame::Chunk(chunk) => self.chunk_ends(chunk, flag, now),
        }
    }

    /// A request that is no chunk of a message is here.
    fn request_ends(&mut self, session: SessionKey, head: Head, content: Bytes) {
        match head.method() {
            // It says that somebody is there, and nothing else.
            Some(Method::Send) => self.answer(Some(session), &head, Code::OK, None),
            Some(Method::Report) => self.reported(session, &head),
            // An endpoint is no relay (RFC 4976 5.1).
            Some(Method::Auth) | None => self.answer(Some(session), &head, Code::UNKNOWN_METHOD, None),
            Some(Method::Nickname | Method::Other(_)) => {
                // It would be asked for twice what it is not asked for at all (RFC 7701 7.1).
                let reports = [HeaderName::SuccessReport, HeaderName::FailureReport];
                if head.method() == Some(Method::Nickname) && reports.iter().any(|name| head.value(*name).is_some()) {
                    return self.answer(Some(session), &head, Code::BAD_REQUEST, None);
                }
                let (head, content) = head.kept(content);
                self.tell(Event::Request { session, head, content });
            }
        }
    }

    /// The far end, or a hop between, tells of a message of ours.
    fn reported(&mut self, session: SessionKey, head: &Head) {
        let id = head.slice(HeaderName::MessageId).and_then(MessageId::received);
        let status = head.text(HeaderName::Status).and_then(|status| status.parse::<Status>().ok());
        // There is nobody to tell of what is wrong with a report (RFC 4975 7.1.2).
        let (Some(id), Some(status)) = (id, status) else { return };
        let range = head.text(HeaderName::ByteRange).and_then(|range| range.parse::<ByteRange>().ok());
        self.report_came(session, id, range, status);
    }

    /// Refuses a request at once; what is left of it is not wanted.
    pub(super) fn refuse(&mut self, session: SessionKey, head: &Head, code: Code) {
        self.frame = Frame::Unwanted;
        self.answer(Some(session), head, code, None);
    }

    fn refuse_stranger(&mut self, head: &Head, code: Code) {
        self.frame = Frame::Unwanted;
        self.answer(None, head, code, None);
    }

    /// The session that a request is for.
    fn session_of(&mut self, head: &Head) -> Result<SessionKey, Stray> {
        let value = |name| head.slice(name).ok_or(Stray::NoPaths);
        let (to, from) = (value(HeaderName::ToPath)?, value(HeaderName::FromPath)?);
        if let Some(last) = self.last
            && let Some(session) = self.sessions.get((last.index, last.serial))
            && session.seen.as_ref().is_some_and(|seen| seen.0 == to && seen.1 == from)
        {
            return Ok(last);
        }
        let path = |value: &[u8]| std::str::from_utf8(value).ok()?.parse::<Path>().ok();
        let (Some(to_path), Some(from_path)) = (path(&to), path(&from)) else { return Err(Stray::NoPaths) };
        let stranger = |to_path: &Path| Stray::Stranger(Box::new((to_path.first().clone(), from_path.clone())));
        // An endpoint is where a path ends (RFC 4975 7.3).
        if to_path.len() > 1 {
            return Err(stranger(&to_path));
        }
        let key = self.named(to_path.first()).ok_or_else(|| stranger(&to_path))?;
        let session = self.sessions.get_mut((key.index, key.serial)).expect("named by its URI");
        let is_report = head.method() == Some(Method::Report);
        if !session.is_from(&from_path, is_report) {
            return Err(Stray::NotFromThere);
        }
        // A copy, which keeps no read buffer in memory. What may be of a relay says nothing of where messages come from.
        if !is_report {
            session.seen = Some((Bytes::copy_from_slice(&to), Bytes::copy_from_slice(&from)));
        }
        self.last = Some(key);
        Ok(key)
    }

    fn named(&self, uri: &Uri) -> Option<SessionKey> {
        let by_id = |session: &Session| session.options.by_session_id && session.options.local.is_session_of(uri);
        self.by_uri.get(uri).copied().or_else(|| {
            let mut sessions = self.sessions.iter();
            sessions.find(|(_, session)| by_id(session)).map(|((index, serial), _)| SessionKey { index, serial })
        })
    }
}

/// Why a request is for no session.
enum Stray {
    /// It does not say whom it is for and where it comes from: nobody can be answered.
    NoPaths,
    /// It is for a session that is not here: for whom, and from where.
    Stranger(Box<(Uri, Path)>),
    /// It is for one that is here, and comes from elsewhere.
    NotFromThere,
}
