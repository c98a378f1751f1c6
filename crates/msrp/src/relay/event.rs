//! What a relay is told of connections, and what it tells of them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::engine::Carriage;
use crate::{Code, Host, ParseError, Uri};

/// A connection of a relay. A key is never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey {
    pub(super) index: usize,
    pub(super) serial: u64,
}

impl ConnectionKey {
    pub(super) fn slot(self) -> (usize, u64) {
        (self.index, self.serial)
    }
}

/// How a connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Somebody has connected to the relay.
    Accepted,
    /// The relay has asked for it, by [`Event::Connect`].
    Asked(ConnectionKey),
}

/// Who is at the other end of a connection, as far as the transport knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Whether it is over TLS.
    pub is_tls: bool,
    /// The host that the peer's certificate has proved, of a connection that the relay accepted with mutual authentication: it
    /// is another relay (RFC 4976 6.3). Never what a peer only says.
    pub host: Option<Host>,
    /// The peer's address, for [`RelayConfig::strangers`](super::RelayConfig::strangers).
    pub address: Option<IpAddr>,
    /// How the transport carries frames.
    pub carriage: Carriage,
}

impl Peer {
    /// A peer of which nothing else is known.
    #[must_use]
    pub fn new(is_tls: bool) -> Self {
        Self { is_tls, host: None, address: None, carriage: Carriage::Stream }
    }
}

/// What has happened at a relay, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection to a next hop is needed. The driver makes it and tells of it by
    /// [`connection_opened`](super::Relay::connection_opened), or by
    /// [`connection_failed`](super::Relay::connection_failed) where it cannot or, by a policy of its own, will not be made. Over
    /// `msrps:`, the certificate has to be that of the host (RFC 4976 9.2).
    ///
    /// Only clients that are logged in cause it. The address is theirs to choose: a driver that can reach more than they may
    /// reach has to refuse what is not for them.
    Connect {
        /// By which the connection goes from now on.
        connection: ConnectionKey,
        /// The next hop, without user and session.
        uri: Uri,
    },
    /// A client was given a URI, or one that it had lasts longer now.
    Authenticated {
        /// Over which connection.
        connection: ConnectionKey,
        /// Who.
        user: String,
        /// For how long.
        expires: Duration,
    },
    /// A request was refused.
    Refused {
        /// Over which connection.
        connection: ConnectionKey,
        /// With which code.
        code: Code,
    },
    /// A URI has expired.
    Expired {
        /// Of which connection.
        connection: ConnectionKey,
        /// Of whom.
        user: String,
    },
    /// The relay has nothing more to do with a connection, whose key means nothing from now on. The driver writes the rest, as
    /// far as it can, and closes.
    Closed {
        /// Which one.
        connection: ConnectionKey,
        /// Why.
        reason: CloseReason,
        /// What was still to be written.
        rest: VecDeque<Bytes>,
    },
}

/// Why a relay closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer or the transport has ended it.
    #[error("closed by the peer")]
    Peer,
    /// The next hop could not be connected to.
    #[error("the next hop cannot be reached")]
    Unreachable,
    /// What came was no frame.
    #[error("the peer does not keep to the protocol: {0}")]
    Malformed(ParseError),
    /// A request came without a readable `To-Path` and `From-Path`: nobody can be answered.
    #[error("a request without readable paths")]
    NoPaths,
    /// A request was for somebody else (RFC 4976 6.2).
    #[error("a request for another relay")]
    NotOurs,
    /// There was no successful request in time, or in as many octets as a stranger may send (RFC 4976 6.1).
    #[error("no successful request in time")]
    Probation,
    /// Too many requests failed (RFC 4976 6.3).
    #[error("too many requests that failed")]
    Failures,
    /// The peer has begun a head or a chunk and not gone on.
    #[error("a frame did not go on in time")]
    FrameTimeout,
    /// The transport has taken nothing for too long.
    #[error("the peer does not read")]
    Stalled,
    /// Nothing has come or gone for too long.
    #[error("not used for too long")]
    Idle,
    /// The driver wanted it.
    #[error("closed by the relay")]
    Local,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There are as many connections as there may be.
    #[error("too many connections")]
    Full,
    /// There are as many from this address as there may be that have done nothing yet.
    #[error("too many new connections from one address")]
    Strangers,
    /// It was to be over TLS; the relay still waits for it.
    #[error("a connection without TLS to a next hop of msrps")]
    NotTls,
    /// The relay has not asked for it, or does not need it any more.
    #[error("a connection that nobody asked for")]
    NotAsked,
}
