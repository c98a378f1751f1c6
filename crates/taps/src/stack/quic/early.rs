//! Data that leaves before the handshake is over (RFC 9001 4.6, RFC 9622 6.2.5).
//!
//! The server may reject it, and then it has never been sent: so a copy is kept until the server has spoken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, SendStream, WriteError, ZeroRttAccepted};
use rustls::pki_types::CertificateDer;

use super::link::{Halves, Link, Ways};
use crate::tls::TlsInfo;

/// How much is kept, in bytes. What is beyond that leaves after the handshake.
const KEPT: usize = 256 * 1024;

/// A copy of what was sent, and who says what became of it.
pub(super) struct Early {
    accepted: ZeroRttAccepted,
    copy: Vec<u8>,
    ways: Ways,
    priority: i32,
    tls: Option<TlsInfo>,
    verdict: Option<Verdict>,
}

enum Verdict {
    Accepted,
    /// How much of the copy has been sent again.
    Rejected(usize),
}

impl Early {
    pub(super) fn new(accepted: ZeroRttAccepted, ways: Ways, priority: i32, tls: Option<TlsInfo>) -> Self {
        Self { accepted, copy: Vec::new(), ways, priority, tls, verdict: None }
    }

    pub(super) fn has_room(&self, length: usize) -> bool {
        self.copy.len() + length <= KEPT
    }

    pub(super) fn keep(&mut self, data: &[u8]) {
        self.copy.extend_from_slice(data);
    }

    /// Ready when the server has spoken, once with a new stream where it has rejected the data.
    pub(super) fn poll_verdict(&mut self, cx: &mut Context<'_>, link: &Link) -> Poll<io::Result<Option<Halves>>> {
        if self.verdict.is_some() {
            return Poll::Ready(Ok(None));
        }
        let accepted = ready!(Pin::new(&mut self.accepted).poll(cx));
        if let Some(error) = link.connection.close_reason() {
            return Poll::Ready(Err(link.lost(&error)));
        }
        if let Some(tls) = &self.tls {
            finish(tls, &link.connection);
        }
        if accepted {
            self.verdict = Some(Verdict::Accepted);
            return Poll::Ready(Ok(None));
        }
        let opened = link.open_now(self.ways)?;
        let _ = opened.0.set_priority(self.priority);
        self.verdict = Some(Verdict::Rejected(0));
        Poll::Ready(Ok(Some(opened)))
    }

    /// Sends what was rejected, once.
    pub(super) fn poll_resend(&mut self, cx: &mut Context<'_>, send: &mut SendStream) -> Poll<Result<(), WriteError>> {
        if let Some(Verdict::Rejected(sent)) = &mut self.verdict {
            while *sent < self.copy.len() {
                *sent += ready!(Pin::new(&mut *send).poll_write(cx, &self.copy[*sent..]))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Adds to a session what its handshake has found out.
pub(super) fn finish(tls: &TlsInfo, connection: &Connection) {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let certificates = connection.peer_identity().and_then(|data| data.downcast::<Vec<CertificateDer<'static>>>().ok());
    let alpn = data.as_ref().and_then(|data| data.protocol.as_deref());
    tls.finish(alpn, certificates.as_ref().map_or(&[], |certificates| certificates));
}
