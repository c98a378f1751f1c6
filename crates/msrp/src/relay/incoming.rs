//! Frames that come, and what becomes of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::Relay;
use super::event::{CloseReason, ConnectionKey, Event};
use super::queue::{Chunk, Name, StreamKey, Urgent};
use super::route::{Astray, Paths, Route};
use super::transaction::{Back, Forwarded, headers};
use crate::engine::Carriage;
use crate::parser::Event as Parsed;
use crate::said::Said;
use crate::{ByteRange, Code, Flag, Head, HeadFault, HeaderName, Method};

/// The most content of a request that is no `SEND` (RFC 4975 7.1: 10 240): it is kept until it is whole.
pub const MAX_REQUEST: usize = 10_240;

/// What is being read.
#[derive(Debug)]
pub(super) enum Frame {
    /// Nothing, or a head.
    None,
    /// Content that nobody wants.
    Unwanted,
    /// A request that is no chunk.
    Request(Box<(Head, Paths, BytesMut)>),
    /// A chunk, which goes to this queue.
    Chunk { head: Head, dest: ConnectionKey, stream: StreamKey, from_client: bool },
}

impl Relay {
    /// Reads what has come, as long as there is room for what comes of it.
    pub(super) fn read(&mut self, key: ConnectionKey, now: Instant) {
        while let Some(link) = self.links.get_mut(key.slot()) {
            if link.is_paused(&self.config) {
                break;
            }
            let event = link.parser.next_event();
            link.new_frame |= !matches!(event, Ok(None | Some(Parsed::Content(_))));
            match event {
                Ok(None) => break,
                Ok(Some(Parsed::Head(head))) if head.code().is_some() => self.response(key, &head),
                Ok(Some(Parsed::Head(head))) => self.request_begins(key, head, now),
                Ok(Some(Parsed::Content(content))) => self.content(key, content),
                Ok(Some(Parsed::End(flag))) => self.frame_ends(key, flag, now),
                Err(error) => self.close(key, CloseReason::Malformed(error)),
            }
        }
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        if link.probation.is_some() && link.unproven > self.config.probation_octets {
            return self.close(key, CloseReason::Probation);
        }
        let part = match &link.frame {
            Frame::None if link.parser.is_between_frames() => None,
            Frame::None => Some(crate::engine::timing::Part::Head),
            _ => Some(crate::engine::timing::Part::Content),
        };
        let new = std::mem::take(&mut link.new_frame);
        let paused = link.is_paused(&self.config);
        link.timing.waits_for(part.filter(|_| !paused), new);
        self.touch(key);
    }

    fn request_begins(&mut self, key: ConnectionKey, head: Head, now: Instant) {
        let Some(paths) = Paths::of(&head) else { return self.close(key, CloseReason::NoPaths) };
        // Unless something else is said of it.
        self.links.get_mut(key.slot()).expect("it is being read").frame = Frame::Unwanted;
        if let Some(fault) = head.fault() {
            let untyped = fault == HeadFault::NoContentType;
            let code = if untyped { Code::UNSUPPORTED_MEDIA_TYPE } else { Code::BAD_REQUEST };
            return self.refuse(key, &head, code);
        }
        match head.method() {
            Some(Method::Send) => self.chunk_begins(key, head, &paths, now),
            Some(Method::Other(_)) if !self.config.unknown_methods => {
                self.refuse(key, &head, Code::UNKNOWN_METHOD);
            }
            _ => {
                let link = self.links.get_mut(key.slot()).expect("it is being read");
                link.frame = Frame::Request(Box::new((head, paths, BytesMut::new())));
            }
        }
    }

    fn chunk_begins(&mut self, key: ConnectionKey, head: Head, paths: &Paths, now: Instant) {
        let Some(said) = Said::in_head(&head) else { return self.refuse(key, &head, Code::BAD_REQUEST) };
        if paths.to.len() == 1 && head.value(HeaderName::ContentType).is_none() && self.is_own(key, paths, now) {
            // A client sees that its URI lasts.
            return self.links.get_mut(key.slot()).expect("it is being read").answer(&head, Code::OK, &[]);
        }
        let route = match self.route(key, paths, false, now) {
            Ok(route) => route,
            Err(astray) => return self.astray(key, &head, astray),
        };
        self.succeeded(key);
        let Route { dest, lines, own, from_client, relayed } = route;
        let back = Back {
            source: key,
            to: Bytes::copy_from_slice(&paths.from_text),
            from: own,
            message: said.id.as_bytes().clone(),
        };
        let (before, after) = headers(&head);
        let link = self.links.get_mut(dest.slot()).expect("just found");
        let share = if relayed { self.config.relayed_share } else { self.config.share };
        let most = match link.peer.carriage {
            Carriage::Frames(most) => share.min(most),
            Carriage::Stream => share.max(2048),
        };
        let typed = head.value(HeaderName::ContentType).is_some();
        let range = head.value(HeaderName::ByteRange).map_or(Bytes::from_static(b"1-0/0"), Bytes::copy_from_slice);
        let chunk = Chunk {
            back: Arc::new(back),
            failure: said.failure,
            paths: lines.clone(),
            before,
            after,
            next: said.range.start() - 1,
            total: said.range.total(),
            range: (!typed).then_some(range),
            parts: VecDeque::new(),
            waiting: 0,
            ended: None,
            begun: false,
            most: most.max(1),
        };
        let name = Name { source: key, message: said.id.as_bytes().clone(), paths: lines };
        let stream = link.queue.begin(name, chunk);
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        link.frame = Frame::Chunk { head, dest, stream, from_client };
    }

    fn content(&mut self, key: ConnectionKey, content: Bytes) {
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        match &mut link.frame {
            Frame::None | Frame::Unwanted => {}
            Frame::Request(request) => {
                if request.2.len() + content.len() > MAX_REQUEST {
                    let head = request.0.clone();
                    link.frame = Frame::Unwanted;
                    return self.refuse(key, &head, Code::STOP);
                }
                request.2.extend_from_slice(&content);
            }
            Frame::Chunk { head, dest, stream, .. } => {
                let (dest, stream) = (*dest, *stream);
                // A small slice is not to keep all that was read with it in memory.
                let small = content.len() < link.read / 4;
                let content = if small { Bytes::copy_from_slice(&content) } else { content };
                let head = head.clone();
                let added = self.with_queue(dest, |queue| {
                    let chunk = queue.open(stream)?;
                    let reaches = chunk.next.saturating_add((chunk.waiting + content.len()) as u64);
                    // What cannot be true is not passed on.
                    if reaches > chunk.total.unwrap_or(ByteRange::MAX) {
                        queue.cut(stream, Flag::Aborted);
                        return Some(None);
                    }
                    Some(Some(queue.content(stream, content)))
                });
                match added.flatten() {
                    // The next hop is gone, or wants no more.
                    None | Some(Some(false)) => {}
                    Some(Some(true)) => self.hold(key, dest),
                    Some(None) => {
                        self.links.get_mut(key.slot()).expect("it is being read").frame = Frame::Unwanted;
                        self.refuse(key, &head, Code::BAD_REQUEST);
                    }
                }
            }
        }
    }

    fn frame_ends(&mut self, key: ConnectionKey, flag: Flag, now: Instant) {
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        match std::mem::replace(&mut link.frame, Frame::None) {
            Frame::None | Frame::Unwanted => {}
            Frame::Request(request) => {
                let (head, paths, content) = *request;
                match head.method() {
                    Some(Method::Auth) if paths.to.len() == 1 => self.log_in(key, &head, &paths, now),
                    _ => self.forward(key, &head, &paths, &content, flag, now),
                }
            }
            Frame::Chunk { head, dest, stream, .. } => {
                // It is taken on, and what becomes of it is reported from now on (RFC 4976 6.4.1).
                link.answer(&head, Code::OK, &[]);
                self.with_queue(dest, |queue| queue.end(stream, flag));
                self.hold(key, dest);
            }
        }
    }

    /// Forwards a request that is no chunk (RFC 4976 6.4.2).
    fn forward(&mut self, key: ConnectionKey, head: &Head, paths: &Paths, content: &[u8], flag: Flag, now: Instant) {
        let is_auth = head.method() == Some(Method::Auth);
        let route = match self.route(key, paths, is_auth, now) {
            Ok(route) => route,
            Err(astray) => return self.astray(key, head, astray),
        };
        self.succeeded(key);
        let Some(method) = head.method() else { return };
        let to = self.links.get_mut(route.dest.slot()).expect("just found");
        let id = to.transaction_id(&mut self.random);
        // All headers stay as they are, in their order.
        let (before, after) = headers(head);
        let range = head.value(HeaderName::ByteRange);
        let range = range.map(|range| [b"Byte-Range: ", range, b"\r\n"].concat()).unwrap_or_default();
        let typed = head.value(HeaderName::ContentType).is_some();
        let (open, close): (&[u8], &[u8]) = if typed { (b"\r\n", b"\r\n") } else { (b"", b"") };
        let start = [b"MSRP ", id.as_bytes(), b" ", method.as_str().as_bytes(), b"\r\n"].concat();
        let end = [b"-------", id.as_bytes(), &[flag.as_byte()], b"\r\n"].concat();
        let frame = [&start, &*route.lines, &before, &range, &after, open, content, close, &end].concat();
        // A report is never answered (RFC 4975 7.1.2).
        let transaction = (method != Method::Report).then(|| {
            let proof = is_auth && head.value(HeaderName::Authorization).is_some();
            (id, Forwarded::Request { source: key, id: head.transaction_id(), proof })
        });
        let urgent = Urgent { frame: frame.into(), transaction };
        self.with_queue(route.dest, |queue| queue.push_urgent(urgent));
        self.hold(key, route.dest);
    }

    /// Reads no more from a connection when too much of what came from it waits.
    fn hold(&mut self, source: ConnectionKey, dest: ConnectionKey) {
        let Some(from) = self.links.get(source.slot()) else { return };
        // It has responses on the way, for which others wait: where two send to each other, both would wait for ever.
        let limit = if from.is_waiting(&self.config) { 4 * self.limit() } else { self.limit() };
        if self.links.get(dest.slot()).is_some_and(|to| to.queue.octets() >= limit) && from.blocked.is_none() {
            self.links.get_mut(dest.slot()).expect("just looked up").feeders.push_back(source);
            self.links.get_mut(source.slot()).expect("just looked up").blocked = Some(dest);
        }
    }

    /// A request goes nowhere.
    fn astray(&mut self, key: ConnectionKey, head: &Head, why: Astray) {
        match why {
            Astray::NotOurs => self.close(key, CloseReason::NotOurs),
            Astray::Refused(code) => self.refuse(key, head, code),
        }
    }

    /// Refuses a request.
    pub(super) fn refuse(&mut self, key: ConnectionKey, head: &Head, code: Code) {
        self.refuse_with(key, head, code, &[]);
    }

    /// The same, with more headers.
    pub(super) fn refuse_with(&mut self, key: ConnectionKey, head: &Head, code: Code, more: &[&str]) {
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        link.answer(head, code, more);
        self.events.push_back(Event::Refused { connection: key, code });
        if head.method() == Some(Method::Auth) {
            self.guessed(key);
        } else {
            self.failed(key);
        }
    }

    /// A request was successful: the connection is on probation no more (RFC 4976 6.1).
    pub(super) fn succeeded(&mut self, key: ConnectionKey) {
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        link.failures = 0;
        if link.probation.take().is_some() {
            let address = link.peer.address;
            self.forget_stranger(address);
        }
    }

    /// An `AUTH` failed, here or at another relay: after several, the connection is closed (RFC 4976 6.3). Other requests that
    /// succeed do not make up for it.
    pub(super) fn guessed(&mut self, key: ConnectionKey) {
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        link.guesses += 1;
        if link.guesses >= self.config.failures && !link.is_relay() {
            self.close(key, CloseReason::Failures);
        }
    }

    /// A request failed: after several on probation, the connection is closed (RFC 4976 6.1). Later, it is an honest client's
    /// whose peer is gone.
    pub(super) fn failed(&mut self, key: ConnectionKey) {
        let Some(link) = self.links.get_mut(key.slot()) else { return };
        link.failures += 1;
        if link.probation.is_some() && link.failures >= self.config.failures && !link.is_relay() {
            self.close(key, CloseReason::Failures);
        }
    }
}
