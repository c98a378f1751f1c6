//! What the errors of QUIC mean.

use std::io;

use quinn::{ConnectionError, ReadError, TransportErrorCode, VarInt, WriteError};
use rustls::AlertDescription;

use crate::error::AttemptError;
use crate::tls::TlsError;

/// The end of a connection or stream in order. Applications of other stacks may use 0 too, as is common.
pub(super) const DONE: VarInt = VarInt::from_u32(0);

/// An abort, as the application asked for.
pub(super) const ABORTED: VarInt = VarInt::from_u32(1);

/// The first of the codes that carry an alert of TLS (RFC 9001 4.8).
const CRYPTO: u64 = 0x100;

/// The peer does not want the connection (RFC 9000 20.1).
const CONNECTION_REFUSED: u64 = 0x02;

/// Why a connection is lost, as reads and writes say it.
pub(super) fn lost(error: &ConnectionError) -> io::Error {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, NotConnected, Other, TimedOut};
    match error {
        ConnectionError::TimedOut => TimedOut.into(),
        ConnectionError::Reset => ConnectionReset.into(),
        ConnectionError::ApplicationClosed(_) => ConnectionAborted.into(),
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            // A client learns here that the server refused its certificate.
            Some(alert) => io::Error::new(ConnectionAborted, rustls::Error::AlertReceived(alert)),
            None => ConnectionAborted.into(),
        },
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(alert) => io::Error::new(InvalidData, local(alert, &error.reason)),
            None => io::Error::new(InvalidData, error.to_string()),
        },
        ConnectionError::VersionMismatch => io::ErrorKind::Unsupported.into(),
        ConnectionError::LocallyClosed => NotConnected.into(),
        ConnectionError::CidsExhausted => Other.into(),
    }
}

/// Why a connection was not established. `verdict` says why our side refused a certificate, where it did.
pub(super) fn attempt(error: &ConnectionError, verdict: impl FnOnce() -> Option<rustls::Error>) -> AttemptError {
    match error {
        ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == CONNECTION_REFUSED => {
            AttemptError::Refused
        }
        ConnectionError::TransportError(error) if alert(error.code).is_some() => match verdict() {
            Some(verdict) => AttemptError::Tls(TlsError::of(&verdict)),
            None => AttemptError::from_io(&lost(&ConnectionError::TransportError(error.clone()))),
        },
        error => AttemptError::from_io(&lost(error)),
    }
}

/// Whether the peer has ended the connection in order.
pub(super) fn in_order(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == DONE)
}

pub(super) fn read(error: &ReadError) -> io::Error {
    match error {
        ReadError::Reset(_) | ReadError::ZeroRttRejected => io::ErrorKind::ConnectionReset.into(),
        ReadError::ConnectionLost(error) => lost(error),
        ReadError::ClosedStream | ReadError::IllegalOrderedRead => io::ErrorKind::NotConnected.into(),
    }
}

pub(super) fn write(error: &WriteError) -> io::Error {
    match error {
        WriteError::Stopped(_) => io::ErrorKind::BrokenPipe.into(),
        WriteError::ConnectionLost(error) => lost(error),
        WriteError::ClosedStream => io::ErrorKind::NotConnected.into(),
        WriteError::ZeroRttRejected => io::ErrorKind::ConnectionReset.into(),
    }
}

/// The alert that a code carries.
fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let alert = u64::from(code).checked_sub(CRYPTO)?;
    u8::try_from(alert).ok().map(AlertDescription::from)
}

/// What our side has found wrong, as far as its alert tells.
fn local(alert: AlertDescription, reason: &str) -> rustls::Error {
    match alert {
        AlertDescription::NoApplicationProtocol => rustls::Error::NoApplicationProtocol,
        AlertDescription::CertificateRequired => rustls::Error::NoCertificatesPresented,
        _ => rustls::Error::General(reason.to_owned()),
    }
}
