//! What is remembered of a request that was forwarded, until its response has come (RFC 4976 6.4.3).

use bytes::Bytes;

use super::event::ConnectionKey;
use super::queue::Name;
use crate::engine::transactions::Answered;
use crate::{HeaderName, TransactionId};

/// A request that was forwarded.
#[derive(Debug)]
pub(super) enum Forwarded {
    /// A piece of a chunk, which the next hop answers.
    Piece {
        back: std::sync::Arc<Back>,
        name: Name,
        /// Its octets of the message, counted from zero.
        start: u64,
        length: u64,
        total: Option<u64>,
        /// Whether it is answered when nothing is wrong.
        answered: bool,
    },
    /// Another request, which the far end answers.
    Request {
        source: ConnectionKey,
        /// The transaction that it had when it came.
        id: TransactionId,
        /// Whether it is an `AUTH` with a proof.
        proof: bool,
    },
}

/// Where the sender of a chunk is told of its failure.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) source: ConnectionKey,
    /// `From-Path` of the chunk, as it came.
    pub(super) to: Bytes,
    /// The URI of ours that it was sent to.
    pub(super) from: Bytes,
    pub(super) message: Bytes,
}

impl Back {
    pub(super) fn weight(&self) -> usize {
        self.to.len() + self.from.len() + self.message.len()
    }
}

impl Forwarded {
    /// What it holds in memory.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Piece { back, name, .. } => 256 + back.weight() + name.paths.len(),
            Self::Request { .. } => 256,
        }
    }
}

impl Answered for Forwarded {
    fn is_answered(&self) -> bool {
        match self {
            Self::Piece { answered, .. } => *answered,
            Self::Request { .. } => true,
        }
    }
}

/// The headers of a request behind its paths: those before `Byte-Range` and those behind it, as they came.
pub(super) fn headers(head: &crate::Head) -> (Bytes, Bytes) {
    let raw = head.as_bytes();
    // The start line and the two paths.
    let mut at = 0;
    for _ in 0..3 {
        at += memchr::memchr(b'\n', &raw[at..]).map_or(raw.len() - at, |end| end + 1);
    }
    let first = at;
    while at < raw.len() {
        let end = memchr::memchr(b'\n', &raw[at..]).map_or(raw.len(), |end| at + end + 1);
        let name = raw[at..end].split(|byte| *byte == b':').next().unwrap_or_default();
        if HeaderName::of(name) == Some(HeaderName::ByteRange) {
            return (Bytes::copy_from_slice(&raw[first..at]), Bytes::copy_from_slice(&raw[end..]));
        }
        at = end;
    }
    (Bytes::new(), Bytes::copy_from_slice(&raw[first..]))
}
