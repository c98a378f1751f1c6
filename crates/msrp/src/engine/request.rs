//! Requests that are no messages: empty ones, the owner's own, and the frames that an owner makes by itself.

use bytes::Bytes;

use super::keys::{RequestKey, SessionKey};
use super::outgoing::{HeaderError, write_line};
use super::transactions::What;
use super::{Connection, SessionOver};
use crate::{Method, Path, TransactionId, Uri};

/// What empty requests have beside their paths.
pub(super) mod empty_request {
    pub(crate) const PROBE: &str = "";
    /// As a known client marks those that only keep the connection from falling silent.
    pub(crate) const KEEP_ALIVE: &str = "Keep-Alive: yes\r\n";
}

/// A request of the owner's own, without content: `AUTH`, `NICKNAME`, or another.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    headers: Vec<u8>,
}

impl Request {
    /// A request.
    ///
    /// # Errors
    /// The method is not written in capitals.
    pub fn new(method: Method<'_>) -> Result<Self, HeaderError> {
        let method = method.as_str();
        if method.is_empty() || method.len() > 32 || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(HeaderError::Name);
        }
        Ok(Self { method: method.to_owned(), headers: Vec::new() })
    }

    /// With a header.
    ///
    /// # Errors
    /// The name is none, or the value would end the line.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        write_line(&mut self.headers, name, value)?;
        Ok(self)
    }
}

impl Connection {
    /// Sends an empty request, to which the peer has to answer: it binds the session to the connection, and shows that the
    /// peer is there.
    ///
    /// # Errors
    /// The session is over.
    pub fn probe(&mut self, session: SessionKey) -> Result<(), SessionOver> {
        if self.sessions.get((session.index, session.serial)).is_none() {
            return Err(SessionOver);
        }
        self.empty(session, empty_request::PROBE);
        Ok(())
    }

    pub(super) fn empty(&mut self, session: SessionKey, headers: &str) {
        let Some(its) = self.sessions.get((session.index, session.serial)) else { return };
        let paths = its.paths.clone();
        let (id, name) = (self.sender.transaction_id(), self.sender.transaction_id());
        let outbox = self.sender.first();
        for part in [b"MSRP ", id.as_bytes(), b" SEND\r\n", &paths, b"Message-ID: ", name.as_bytes()] {
            outbox.text(part);
        }
        outbox.text(b"\r\nByte-Range: 1-0/0\r\n");
        outbox.text(headers.as_bytes());
        end(outbox, id);
        self.sender.requested(id, What::Empty { session });
    }

    /// Sends a request of the owner's own over a session.
    ///
    /// # Errors
    /// The session is over.
    pub fn request(&mut self, session: SessionKey, request: &Request) -> Result<RequestKey, SessionOver> {
        let its = self.sessions.get((session.index, session.serial)).ok_or(SessionOver)?;
        let paths = its.paths.clone();
        Ok(self.put_request(Some(session), &paths, request))
    }

    /// Sends a request of the owner's own along a path, which belongs to no session: `AUTH` to a relay (RFC 4976 5.1).
    pub fn request_along(&mut self, to: &Path, from: &Uri, request: &Request) -> RequestKey {
        let paths = format!("To-Path: {to}\r\nFrom-Path: {from}\r\n");
        self.put_request(None, paths.as_bytes(), request)
    }

    fn put_request(&mut self, session: Option<SessionKey>, paths: &[u8], request: &Request) -> RequestKey {
        self.requests += 1;
        let key = RequestKey { index: 0, serial: self.requests };
        let id = self.sender.transaction_id();
        let outbox = self.sender.first();
        let line = [b"MSRP ", id.as_bytes(), b" ", request.method.as_bytes(), b"\r\n", paths, &request.headers];
        for part in line {
            outbox.text(part);
        }
        end(outbox, id);
        self.sender.requested(id, What::Request { session, key });
        key
    }

    /// Sends a frame that its owner has made, octet for octet, when it is its turn. What answers it, where something does, is
    /// told as [`Event::Response`](super::Event::Response).
    pub fn send_frame(
        &mut self,
        session: SessionKey,
        id: TransactionId,
        parts: Vec<Bytes>,
        answered: bool,
    ) -> RequestKey {
        self.requests += 1;
        let key = RequestKey { index: 0, serial: self.requests };
        if answered {
            self.sender.transactions.begin(id, What::Request { session: Some(session), key });
        }
        self.sender.frame(id, parts, answered);
        key
    }
}

/// Ends a frame without content.
pub(super) fn end(outbox: &mut super::outbox::Outbox, id: TransactionId) {
    outbox.text(b"-------");
    outbox.text(id.as_bytes());
    outbox.text(b"$\r\n");
    outbox.end_of_frame();
}
