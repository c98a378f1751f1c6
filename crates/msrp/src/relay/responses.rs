//! Responses that come, and reports of what did not arrive (RFC 4976 6.4.1, 6.4.3).

use super::Relay;
use super::event::ConnectionKey;
use super::incoming::Frame;
use super::route::Paths;
use super::transaction::{Back, Forwarded, headers};
use crate::digest::{Challenge, MAX_CHALLENGES};
use crate::engine::sender::decimal;
use crate::{Code, Head, HeaderName, Path, Status};

/// Octets of a message, counted from zero; what is not known is not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) end: Option<u64>,
    pub(super) total: Option<u64>,
}

impl Relay {
    /// A response has come. One that is not for a request of ours is nobody's.
    pub(super) fn response(&mut self, key: ConnectionKey, head: &Head) {
        let link = self.links.get_mut(key.slot()).expect("it is being read");
        link.frame = Frame::Unwanted;
        let Some(paths) = Paths::of(head).filter(|_| head.fault().is_none()) else { return };
        if !self.config.is_ours(paths.to.first()) {
            return;
        }
        let Some(what) = link.end(&head.transaction_id()) else { return };
        let code = head.code().and_then(Code::new).expect("a response has a code of three digits");
        match what {
            Forwarded::Piece { .. } if code.is_success() => {}
            Forwarded::Piece { back, name, start, length, total, .. } => {
                // Its sender hears of it, and nothing more of the message is wanted.
                self.with_queue(key, |queue| {
                    if let Some(stream) = queue.named(&name) {
                        queue.forget(stream);
                    }
                });
                let part = Part { start, end: start.checked_add(length), total };
                self.report(&back, part, code);
            }
            Forwarded::Request { source, id, proof } => {
                let uris = paths.to.iter().take(paths.to.len() - 1);
                let ours = uris.take_while(|uri| self.config.is_ours(uri)).count();
                if ours == 0 {
                    return;
                }
                let Some(back) = self.links.get_mut(source.slot()) else { return };
                if back.is_flooded(&self.config) {
                    return;
                }
                back.outbox.text(b"MSRP ");
                back.outbox.text(id.as_bytes());
                back.outbox.text(b" ");
                back.outbox.display(&code);
                if let Some(comment) = head.comment().filter(|comment| !comment.is_empty()) {
                    back.outbox.text(b" ");
                    back.outbox.text(comment.as_bytes());
                }
                back.outbox.text(b"\r\n");
                back.outbox.text(&paths.shifted(ours));
                let (before, after) = headers(head);
                back.outbox.text(&before);
                if let Some(range) = head.value(HeaderName::ByteRange) {
                    for text in [b"Byte-Range: ", range, b"\r\n"] {
                        back.outbox.text(text);
                    }
                }
                back.outbox.text(&after);
                back.end_frame(id);
                if proof && code.is_success() {
                    back.guesses = 0;
                }
                self.touch(source);
                if proof && code.is_success() {
                    self.learn_way(key, &paths, head);
                }
                if proof && code == Code::UNAUTHORIZED && !is_stale(head) {
                    // Passwords are not to be guessed at another relay either (RFC 4976 6.3).
                    self.guessed(source);
                }
            }
        }
    }

    /// Another relay has given a client a URI, which it is to be sent to over the connection that it was given over.
    fn learn_way(&mut self, key: ConnectionKey, paths: &Paths, head: &Head) {
        let way = head.text(HeaderName::UsePath).and_then(|way| way.parse::<Path>().ok());
        if let (Some(token), Some(way)) = (self.tokens.get_mut(paths.to.first()), way) {
            token.learn(way.last(), key);
        }
    }

    /// A request has had no response in time.
    pub(super) fn overdue(&mut self, what: Forwarded) {
        if let Forwarded::Piece { back, start, length, total, answered: true, .. } = what {
            self.report(&back, Part { start, end: start.checked_add(length), total }, Code::TIMEOUT);
        }
    }

    /// Reports to the sender of a chunk what became of it.
    pub(super) fn report(&mut self, back: &Back, part: Part, code: Code) {
        let Some(link) = self.links.get_mut(back.source.slot()) else { return };
        // Who does not read is not owed more than memory has room for.
        if link.is_flooded(&self.config) {
            return;
        }
        let id = link.transaction_id(&mut self.random);
        let outbox = &mut link.outbox;
        let lines = [
            b"MSRP ",
            id.as_bytes(),
            b" REPORT\r\nTo-Path: ",
            &back.to,
            b"\r\nFrom-Path: ",
            &back.from,
            b"\r\nMessage-ID: ",
            &back.message,
            b"\r\nByte-Range: ",
        ];
        for text in lines {
            outbox.text(text);
        }
        outbox.text(decimal(&mut [0; 20], part.start.saturating_add(1)));
        for (sign, number) in [(b"-", part.end), (b"/", part.total)] {
            outbox.text(sign);
            match number {
                Some(number) => outbox.text(decimal(&mut [0; 20], number)),
                None => outbox.text(b"*"),
            }
        }
        outbox.text(b"\r\nStatus: ");
        let status = Status::new(code);
        outbox.display(&match code.comment() {
            Some(comment) => status.with_comment(comment).expect("comments of ours are lines"),
            None => status,
        });
        outbox.text(b"\r\n");
        link.end_frame(id);
        self.touch(back.source);
    }
}

/// Whether a 401 says that only the nonce was at fault.
fn is_stale(head: &Head) -> bool {
    let asked = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate")).take(MAX_CHALLENGES);
    let challenges = asked.filter_map(|(_, value)| std::str::from_utf8(value).ok()?.parse::<Challenge>().ok());
    challenges.into_iter().any(|challenge| challenge.stale())
}
