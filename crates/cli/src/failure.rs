//! What an error of the library means to a person: the exit code, and the words around it.

use std::io::ErrorKind;

use postroad::address::{BrokerUrl, Scheme};
use postroad::amqp::v1_0 as amqp;
use postroad::client;
use postroad::messaging::types::ErrorCondition;
use postroad::messaging::{
    AddressError, ConnectError, ConnectionError, FetchError, LinkError, SendError, SessionError,
};
use postroad::taps::{Attempt, AttemptError, EstablishmentError, EstablishmentErrorKind, TlsError, WebSocketError};

use crate::exit::{Exit, Failure};

/// A connection that did not come about.
pub(crate) fn connect(url: &BrokerUrl, error: &ConnectError) -> Failure {
    let exit = match error {
        ConnectError::Url(_) | ConnectError::Option { .. } => Exit::Usage,
        ConnectError::Authentication(_) => Exit::Denied,
        ConnectError::Tls(error) => error.tls().map_or(Exit::Denied, tls_exit),
        ConnectError::Connection(error) | ConnectError::Version(error) => match error {
            client::ConnectError::Transport(error) => transport_exit(error),
            client::ConnectError::Connection(error) => connection_exit(error),
            _ => Exit::Unavailable,
        },
        _ => Exit::Unavailable,
    };
    let hint = match error {
        ConnectError::Tls(error) => error.tls().and_then(tls_hint).or_else(|| error.hint()),
        ConnectError::Connection(client::ConnectError::Transport(error)) if nobody_there(error) => {
            Some("start one with `postroad broker`, or name another with -b URL".to_owned())
        }
        error => error.hint(),
    };
    Failure::new(exit, format!("cannot connect to {}", place(url)), error).hint(hint)
}

/// A session or link that could not be made, or was lost.
pub(crate) fn link(what: impl Into<String>, error: &LinkError) -> Failure {
    let exit = match error {
        LinkError::Address(AddressError::NotFound { .. }) => Exit::Unavailable,
        LinkError::Address(AddressError::Unauthorized { .. }) => Exit::Denied,
        LinkError::Address(_) => Exit::Data,
        LinkError::Session(error) => session_exit(error),
        error => error.condition().map_or(Exit::Unavailable, condition_exit),
    };
    let failure = Failure::new(exit, what, error).hint(error.hint());
    match error {
        LinkError::Address(AddressError::Malformed(error)) => failure.report(format!("{error:#}")),
        LinkError::Address(AddressError::NotFound { .. }) => failure.hint(error.hint()),
        _ => failure,
    }
}

/// A session that could not begin.
pub(crate) fn session(error: &SessionError) -> Failure {
    Failure::new(session_exit(error), "cannot begin a session", error).hint(error.hint())
}

/// A receiver that was lost. [`FetchError::Empty`] is for the caller.
pub(crate) fn fetch(what: impl Into<String>, error: &FetchError) -> Failure {
    match error {
        FetchError::Link(error) => link(what, error),
        FetchError::Empty => Failure::new(Exit::Empty, what, error),
        error => Failure::new(Exit::Data, what, error),
    }
}

/// The exit code of a message that was not sent.
pub(crate) fn send_exit(error: &SendError) -> Exit {
    match error {
        SendError::InDoubt(error) | SendError::NotSent(error) => link("", error).exit,
        _ => Exit::Partial,
    }
}

fn session_exit(error: &SessionError) -> Exit {
    match error {
        SessionError::Connection(ConnectionError::Remote(error)) => condition_exit(&error.condition),
        SessionError::Connection(ConnectionError::Failed(error)) => connection_exit(error),
        SessionError::Ended(Some(error)) => condition_exit(&error.condition),
        _ => Exit::Unavailable,
    }
}

fn condition_exit(condition: &ErrorCondition) -> Exit {
    if *condition == ErrorCondition::UNAUTHORIZED_ACCESS {
        Exit::Denied
    } else if *condition == ErrorCondition::CONNECTION_FORCED || *condition == ErrorCondition::DETACH_FORCED {
        Exit::Temporary
    } else if [
        ErrorCondition::FRAMING_ERROR,
        ErrorCondition::DECODE_ERROR,
        ErrorCondition::INVALID_FIELD,
        ErrorCondition::ILLEGAL_STATE,
        ErrorCondition::WINDOW_VIOLATION,
        ErrorCondition::TRANSFER_LIMIT_EXCEEDED,
    ]
    .contains(condition)
    {
        Exit::Protocol
    } else {
        Exit::Unavailable
    }
}

fn connection_exit(error: &client::ConnectionError) -> Exit {
    use client::ConnectionError as Error;
    match error {
        Error::Tls(error) => tls_exit(error),
        Error::WebSocket(error) => websocket_exit(error),
        Error::Protocol(error) => match error {
            amqp::ConnectionError::ForeignProtocol(_)
            | amqp::ConnectionError::ProtocolHeader { .. }
            | amqp::ConnectionError::Frame(_)
            | amqp::ConnectionError::Violation(_) => Exit::Protocol,
            amqp::ConnectionError::Sasl(_) | amqp::ConnectionError::SaslOutcome(_) => Exit::Denied,
            amqp::ConnectionError::Remote(error) => condition_exit(&error.condition),
            amqp::ConnectionError::Idle | amqp::ConnectionError::Lost => Exit::Temporary,
            _ => Exit::Unavailable,
        },
        Error::Transport(_) => Exit::Temporary,
        _ => Exit::Unavailable,
    }
}

pub(crate) fn transport_exit(error: &EstablishmentError) -> Exit {
    match error.kind() {
        EstablishmentErrorKind::ResolutionFailed { .. } | EstablishmentErrorKind::NoCandidates { .. } => Exit::NoHost,
        EstablishmentErrorKind::InvalidConfiguration(_) => Exit::Data,
        EstablishmentErrorKind::PolicyProhibited => Exit::Denied,
        _ => error.attempts().iter().find_map(handshake_exit).unwrap_or(Exit::Unavailable),
    }
}

/// The exit code of an attempt that reached somebody.
fn handshake_exit(attempt: &Attempt) -> Option<Exit> {
    match &attempt.error {
        AttemptError::Tls(error) => Some(tls_exit(error)),
        AttemptError::WebSocket(error) => Some(websocket_exit(error)),
        _ => None,
    }
}

fn websocket_exit(error: &WebSocketError) -> Exit {
    match error {
        WebSocketError::Refused { status: 401 | 403 } => Exit::Denied,
        WebSocketError::Refused { .. } => Exit::Unavailable,
        WebSocketError::Closed { .. } | WebSocketError::Truncated => Exit::Temporary,
        _ => Exit::Protocol,
    }
}

/// A certificate that one side does not trust is a matter of permission, as a wrong password is; a peer that does not
/// speak TLS, or not ours, speaks another protocol.
pub(crate) fn tls_exit(error: &TlsError) -> Exit {
    match error {
        TlsError::NotTls
        | TlsError::NothingInCommon(_)
        | TlsError::NoApplicationProtocol
        | TlsError::Violation(_)
        | TlsError::ClosedDuringHandshake => Exit::Protocol,
        _ => Exit::Denied,
    }
}

pub(crate) fn tls_hint(error: &TlsError) -> Option<String> {
    Some(
        match error {
            TlsError::Untrusted => "name the file of its authority: --ca FILE",
            TlsError::NotTls => "use amqp:// on this port",
            TlsError::ClientCertificateRequired => "give one: --client-cert FILE --client-key FILE",
            _ => return None,
        }
        .to_owned(),
    )
}

fn nobody_there(error: &EstablishmentError) -> bool {
    !error.attempts().is_empty()
        && error.attempts().iter().all(|attempt| match &attempt.error {
            // The file of a Unix socket may not be there.
            AttemptError::Refused | AttemptError::Absent => true,
            AttemptError::Transport(kind) => *kind == ErrorKind::ConnectionRefused,
            _ => false,
        })
}

/// Where the broker is, without who asks.
pub(crate) fn place(url: &BrokerUrl) -> String {
    if url.scheme() == Scheme::AmqpUnix {
        return BrokerUrl::new(Scheme::AmqpUnix, url.host())
            .map_or_else(|_| url.host().to_owned(), |url| url.to_string());
    }
    let host = if url.host().contains(':') { format!("[{}]", url.host()) } else { url.host().to_owned() };
    format!("{}://{host}:{}", url.scheme(), url.port())
}
