//! Why a connection or a listener was not established (RFC 9623 appendix B).

use std::fmt;
use std::io;
use std::time::Duration;

use crate::BlockingError;
use crate::connection::SendError;
use crate::endpoint::EndpointAddress;
use crate::endpoint::EndpointError;
use crate::framer::FramerError;
use crate::properties::PropertyConflicts;
use crate::protocol::ProtocolStack;
use crate::resolve::{ResolutionError, UnresolvedReason};
use crate::selection::{Rejected, Rejection};
use crate::tls::{TlsConfigError, TlsError};

/// A preconnection that contradicts itself or lacks something; nothing was opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// An active open needs a remote endpoint (RFC 9622 6).
    #[error("no remote endpoint: say whom to reach")]
    NoRemoteEndpoint,
    /// A passive open needs a local endpoint (RFC 9622 6).
    #[error("no local endpoint: say where to listen")]
    NoLocalEndpoint,
    /// To meet a peer needs a port that it knows (RFC 9622 7.3).
    #[error("no port on the local endpoint: the peer has to know it")]
    NoLocalPort,
    /// The local endpoint of a rendezvous is a multicast group (RFC 9622 6.1.1).
    #[error("the local endpoint is a multicast group: nobody can be met there")]
    RendezvousInGroup,
    /// The remote endpoint has port 0.
    #[error("no port on the remote endpoint")]
    NoRemotePort,
    /// An endpoint contradicts itself.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The transport properties contradict themselves.
    #[error("properties that cannot be had together: {0}")]
    Properties(#[from] PropertyConflicts),
    /// Security is on, and the transport that was handed over is in clear text.
    #[error("security is on, and the transport is in clear text: protect it first, or switch security off")]
    Unprotected,
    /// TLS was asked for over a stream that has TLS.
    #[error("the stream is protected by TLS already")]
    Protected,
    /// The TLS configuration cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
}

/// A connection that was not established: what kind of failure, and each attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstablishmentError {
    kind: EstablishmentErrorKind,
    attempts: Vec<Attempt>,
}

/// What kept a connection from being established (RFC 9623 appendix B).
#[doc(alias = "unfulfilled_handler")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EstablishmentErrorKind {
    /// The preconnection cannot work as it is; nothing was opened.
    #[error(transparent)]
    InvalidConfiguration(#[from] ConfigurationError),
    /// Nothing that the properties allow can reach the peer; nothing was opened.
    #[error("no candidate for `{host}`{}", listed(.rejected))]
    NoCandidates {
        /// The host that was asked for.
        host: String,
        /// What was rejected, and why.
        rejected: Vec<Rejected>,
    },
    /// A host name could not be resolved.
    #[error("cannot resolve `{host}`: {reason}")]
    ResolutionFailed {
        /// The host that was asked for.
        host: String,
        /// What came of it.
        reason: UnresolvedReason,
    },
    /// Every attempt failed, by errors of more than one kind or by the network's.
    #[error("no connection could be established")]
    EstablishmentFailed,
    /// The system forbids the connection.
    #[error("forbidden by the system's policy")]
    PolicyProhibited,
    /// The connection was established, and the first message could not be sent on it; it is closed again.
    #[error("the first message was not sent: {0}")]
    FirstMessage(SendError),
    /// The time was over before an attempt succeeded.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

/// One attempt on one address with one protocol stack.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The protocol stack.
    pub stack: ProtocolStack,
    /// The address of the peer.
    pub address: EndpointAddress,
    /// When it started, counted from the start of the first.
    pub started_after: Duration,
    /// How long it ran.
    pub elapsed: Duration,
    /// Why it failed.
    pub error: AttemptError,
}

/// Why one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// There is no way to the host or the network.
    #[error("unreachable")]
    Unreachable,
    /// The peer did not answer in the system's time.
    #[error("no answer")]
    NoAnswer,
    /// The attempt had not ended when the time was over.
    #[error("still no answer when the time was over")]
    Unfinished,
    /// The system's policy forbids it.
    #[error("forbidden by the system's policy")]
    Prohibited,
    /// The local endpoint cannot be used.
    #[error("the local endpoint cannot be used: {}", of_local(*.0))]
    LocalEndpoint(io::ErrorKind),
    /// A transport property was refused by the system.
    #[error("a transport property was refused: {0}")]
    Property(io::ErrorKind),
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The WebSocket handshake failed.
    #[cfg(feature = "websocket")]
    #[error(transparent)]
    WebSocket(#[from] crate::stack::websocket::WebSocketError),
    /// The proxy was reached, and made no connection.
    #[error(transparent)]
    Proxy(#[from] crate::stack::proxy::ProxyError),
    /// A framer could not start.
    #[error(transparent)]
    Framer(#[from] FramerError),
    /// Nothing has that name: there is no socket at the path.
    #[error("there is no socket of that name")]
    Absent,
    /// The transport failed otherwise.
    #[error("{0}")]
    Transport(io::ErrorKind),
}

impl EstablishmentError {
    pub(crate) fn new(kind: impl Into<EstablishmentErrorKind>, attempts: Vec<Attempt>) -> Self {
        Self { kind: kind.into(), attempts }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> &EstablishmentErrorKind {
        &self.kind
    }

    /// The attempts in the order in which they ended; those cut off by a timeout stand last.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The TLS failure, when one attempt failed by it.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsError> {
        self.attempts.iter().find_map(|attempt| match &attempt.error {
            AttemptError::Tls(error) => Some(error),
            _ => None,
        })
    }
}

impl<K: Into<EstablishmentErrorKind>> From<K> for EstablishmentError {
    fn from(kind: K) -> Self {
        Self::new(kind, Vec::new())
    }
}

/// One line: the kind, each attempt, and a hint where one helps.
impl fmt::Display for EstablishmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Stacks that have failed alike at one address are told of once.
        let mut told: Vec<String> = Vec::new();
        for text in self.attempts.iter().map(Attempt::to_string) {
            if !told.contains(&text) {
                told.push(text);
            }
        }
        match (&self.kind, &told[..]) {
            (EstablishmentErrorKind::EstablishmentFailed, [attempt]) => f.write_str(attempt),
            (kind, []) => kind.fmt(f),
            (kind, _) => write!(f, "{kind}: {}", told.join("; ")),
        }
    }
}

impl std::error::Error for EstablishmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            EstablishmentErrorKind::InvalidConfiguration(error) => Some(error),
            _ => self.attempts.first().map(|attempt| &attempt.error as _),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, error, .. } = self;
        match error {
            AttemptError::Refused => {
                write!(f, "connection refused: is a server listening on {address}?")
            }
            AttemptError::Unreachable => write!(f, "{address} is unreachable: is the network up?"),
            AttemptError::NoAnswer => {
                write!(f, "no answer from {address}: does a firewall drop it?")
            }
            AttemptError::Absent => write!(f, "there is no socket {address}: is a server listening there?"),
            other => write!(f, "{address}: {other}"),
        }
    }
}

/// What is wrong with a local endpoint of one who connects.
fn of_local(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "the folder of its path, or its interface, does not exist".to_owned(),
        io::ErrorKind::AlreadyExists => "what is at its path is no socket".to_owned(),
        kind => kind.to_string(),
    }
}

/// What one needs to listen.
fn allowed(address: &EndpointAddress) -> &'static str {
    match address.unix() {
        Some(_) => "may this process write to the folder?",
        None => "ports below 1024 need privileges",
    }
}

/// The rejections that say more than that a stack is of another kind than what was asked for, or all.
fn listed(rejected: &[Rejected]) -> String {
    let telling = |rejected: &&Rejected| {
        !matches!(
            rejected.reason,
            Rejection::NotBuilt { .. }
                | Rejection::Clear
                | Rejection::Encrypted
                | Rejection::Multipath
                | Rejection::NotReplayable
        )
    };
    let mut lines: Vec<_> = rejected.iter().filter(telling).map(Rejected::to_string).collect();
    if lines.is_empty() {
        lines = rejected.iter().map(Rejected::to_string).collect();
    }
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) }
}

impl AttemptError {
    /// Whether the failure says something about the way to the peer and the protocol, rather than about this end.
    pub(crate) fn is_of_the_way(&self) -> bool {
        !matches!(self, Self::Prohibited | Self::LocalEndpoint(_) | Self::Property(_) | Self::Framer(_))
    }

    /// Reads an error of connecting or of a handshake.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        if let Some(tls) = TlsError::from_io(error) {
            return Self::Tls(tls);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Self::Unreachable
            }
            io::ErrorKind::TimedOut => Self::NoAnswer,
            io::ErrorKind::PermissionDenied => Self::Prohibited,
            io::ErrorKind::NotFound => Self::Absent,
            kind => Self::Transport(kind),
        }
    }
}

/// A listener that could not be opened. The names in brackets are those of RFC 9623 appendix B.
#[doc(alias = "ListenErrorReasons")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The preconnection cannot work as it is (`InvalidConfiguration`).
    #[error(transparent)]
    InvalidConfiguration(#[from] ConfigurationError),
    /// A blocking call was not made.
    #[error(transparent)]
    Blocking(#[from] BlockingError),
    /// The local endpoint's name could not be resolved (`ResolutionFailed`).
    #[error("cannot resolve `{host}`: {reason}")]
    #[doc(alias = "UNRESOLVED_LOCAL_ENDPOINT")]
    ResolutionFailed {
        /// The host of the local endpoint.
        host: String,
        /// What came of it.
        reason: UnresolvedReason,
    },
    /// No protocol stack has what the properties require (`NoCandidates`).
    #[error("no protocol stack can listen on `{host}` with these properties{}", listed(.rejected))]
    #[doc(alias = "UNFULFILLED_PROPERTIES")]
    NoCandidates {
        /// The local endpoint.
        host: String,
        /// Why not: one reason for each stack and path.
        rejected: Vec<Rejected>,
    },
    /// The descriptor that was handed over cannot be used.
    #[error(transparent)]
    Adopt(#[from] crate::adopt::AdoptError),
    /// The system forbids it, for instance a port below 1024 (`PolicyProhibited`).
    #[error("the system forbids listening on {address}: {}", allowed(.address))]
    #[doc(alias = "PROHIBITED_BY_POLICY")]
    PolicyProhibited {
        /// The address.
        address: EndpointAddress,
    },
    /// Somebody else listens there (`EstablishmentFailed`).
    #[error("{address} is in use: is a server running there already?")]
    AddressInUse {
        /// The address.
        address: EndpointAddress,
    },
    /// There is something at the path that is no socket, and it is left alone (`EstablishmentFailed`).
    #[error("{address} is no socket: choose another path, or remove what is there")]
    NotASocket {
        /// The address.
        address: EndpointAddress,
    },
    /// The path leads through a folder that does not exist (`EstablishmentFailed`).
    #[error("the folder of {address} does not exist: make it first")]
    NoFolder {
        /// The address.
        address: EndpointAddress,
    },
    /// The address is not one of this machine (`EstablishmentFailed`).
    #[error("{address} is no address of this machine")]
    NotLocal {
        /// The address.
        address: EndpointAddress,
    },
    /// The transport failed otherwise (`EstablishmentFailed`).
    #[error("cannot listen on {address}: {kind}")]
    Failed {
        /// The address.
        address: EndpointAddress,
        /// What the system said.
        kind: io::ErrorKind,
    },
}

impl From<TlsConfigError> for ListenError {
    fn from(error: TlsConfigError) -> Self {
        Self::InvalidConfiguration(error.into())
    }
}

impl From<ResolutionError> for ListenError {
    fn from(ResolutionError { host, reason }: ResolutionError) -> Self {
        Self::ResolutionFailed { host, reason }
    }
}

impl From<ResolutionError> for EstablishmentErrorKind {
    fn from(ResolutionError { host, reason }: ResolutionError) -> Self {
        Self::ResolutionFailed { host, reason }
    }
}

impl From<TlsConfigError> for EstablishmentErrorKind {
    fn from(error: TlsConfigError) -> Self {
        Self::InvalidConfiguration(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::UnixAddress;

    #[test]
    fn attempts_that_failed_alike_are_told_of_once() {
        let attempt = |stack, error| Attempt {
            stack,
            address: UnixAddress::path("/run/a").into(),
            started_after: Duration::ZERO,
            elapsed: Duration::ZERO,
            error,
        };
        let (stream, packets) = (ProtocolStack::UnixStream, ProtocolStack::UnixSeqpacket);
        let said =
            |attempts| EstablishmentError::new(EstablishmentErrorKind::EstablishmentFailed, attempts).to_string();
        let absent = "there is no socket unix:/run/a: is a server listening there?";
        let mut attempts = vec![attempt(stream, AttemptError::Absent), attempt(packets, AttemptError::Absent)];
        assert_eq!(said(attempts.clone()), absent);
        attempts.push(attempt(stream, AttemptError::Refused));
        let refused = "connection refused: is a server listening on unix:/run/a?";
        assert_eq!(said(attempts), format!("no connection could be established: {absent}; {refused}"));
    }
}
