//! Responses and reports: what a peer hears of what it has sent (RFC 4975 7.1.2, 7.2).

use super::keys::SessionKey;
use super::request::end;
use super::sender::decimal;
use super::{Connection, SessionOver};
use crate::{ByteRange, Code, FailureReport, Head, HeaderName, MessageId, Method, Status};

impl Connection {
    /// Answers a request that [`Event::Request`](super::Event::Request) has told of.
    ///
    /// # Errors
    /// The session is over.
    pub fn respond(&mut self, session: SessionKey, head: &Head, code: Code) -> Result<(), SessionOver> {
        if self.sessions.get((session.index, session.serial)).is_none() {
            return Err(SessionOver);
        }
        self.answer(Some(session), head, code, None);
        Ok(())
    }

    /// Answers a request, where its sender wants that (RFC 4975 7.2). A report is never answered.
    pub(super) fn answer(&mut self, session: Option<SessionKey>, head: &Head, code: Code, comment: Option<&str>) {
        if head.method().is_none_or(|method| method == Method::Report) || !wanted(head, code) {
            return;
        }
        let Some(back) = head.value(HeaderName::FromPath) else { return };
        // A SEND is answered to the next hop, all else to the far end (RFC 4975 7.2, RFC 4976 5.1).
        let to = match head.method() {
            Some(Method::Send) => first_of(back),
            _ => back,
        };
        let from = session.and_then(|session| self.sessions.get((session.index, session.serial)));
        let from = from.map(|session| session.from.clone());
        let id = head.transaction_id();
        let outbox = self.sender.first();
        outbox.text(b"MSRP ");
        outbox.text(id.as_bytes());
        outbox.text(b" ");
        outbox.display(&code);
        if let Some(comment) = comment.or_else(|| code.comment()) {
            outbox.text(b" ");
            outbox.text(comment.as_bytes());
        }
        outbox.text(b"\r\nTo-Path: ");
        outbox.text(to);
        outbox.text(b"\r\n");
        match from {
            Some(from) => outbox.text(&from),
            // Whom the request was for is whom the answer is from, though there is nobody of that name.
            None => {
                outbox.text(b"From-Path: ");
                outbox.text(first_of(head.value(HeaderName::ToPath).unwrap_or_default()));
                outbox.text(b"\r\n");
            }
        }
        end(outbox, id);
    }

    /// Reports what became of a message, or of a part of it (RFC 4975 7.1.2).
    ///
    /// # Errors
    /// The session is over.
    pub fn report(
        &mut self,
        session: SessionKey,
        id: &MessageId,
        range: ByteRange,
        status: &Status,
    ) -> Result<(), SessionOver> {
        let its = self.sessions.get((session.index, session.serial)).ok_or(SessionOver)?;
        let paths = its.paths.clone();
        let transaction = self.sender.transaction_id();
        let outbox = self.sender.first();
        for part in [b"MSRP ", transaction.as_bytes(), b" REPORT\r\n", &paths, b"Message-ID: ", id.as_bytes()] {
            outbox.text(part);
        }
        outbox.text(b"\r\nByte-Range: ");
        outbox.text(decimal(&mut [0; 20], range.start()));
        outbox.text(b"-");
        number_or_star(outbox, range.end());
        outbox.text(b"/");
        number_or_star(outbox, range.total());
        outbox.text(b"\r\nStatus: ");
        outbox.display(status);
        outbox.text(b"\r\n");
        end(outbox, transaction);
        Ok(())
    }
}

fn number_or_star(outbox: &mut super::outbox::Outbox, number: Option<u64>) {
    match number {
        Some(number) => outbox.text(decimal(&mut [0; 20], number)),
        None => outbox.text(b"*"),
    }
}

/// Whether a request's sender wants a response of this code. A value that is none counts as none.
fn wanted(head: &Head, code: Code) -> bool {
    match head.text(HeaderName::FailureReport).map(str::parse) {
        Some(Ok(FailureReport::No)) => false,
        Some(Ok(FailureReport::Partial)) => !code.is_success(),
        _ => true,
    }
}

/// The first URI of a path, as it was written.
fn first_of(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default()
}
