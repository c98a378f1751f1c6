//! Why a text is no broker URL.

use std::fmt;

use crate::url::MAX_URL_LEN;

/// Says why a text is no broker URL; never shows a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The scheme is none of those this stack speaks.
    #[error("unknown scheme {scheme}://")]
    UnknownScheme {
        /// The scheme as written.
        scheme: String,
    },
    /// There is no host.
    #[error("no host")]
    MissingHost,
    /// The host is no name, IPv4 address or bracketed IPv6 address.
    #[error("bad host {host:?}")]
    BadHost {
        /// The host as written.
        host: String,
    },
    /// A URL of a Unix socket names none.
    #[error("no path of a socket")]
    MissingSocket,
    /// What stands in the place of the host of a Unix socket's URL is no path that a socket can have, and no `@name`.
    #[error("bad path of a socket {path:?}")]
    BadSocket {
        /// The path, decoded.
        path: String,
    },
    /// A URL of a Unix socket has a port.
    #[error("a port behind a socket")]
    PortOfSocket,
    /// A URL of the scheme `ws` or `wss` has a path.
    #[error("a path in a ws:// or wss:// url may be the address of a node or the resource of the WebSocket")]
    AmbiguousPath,
    /// The port is no number from 0 to 65535.
    #[error("bad port {port:?}")]
    BadPort {
        /// The port as written.
        port: String,
    },
    /// A `%` without two hex digits behind it, or bytes that are not UTF-8.
    #[error("bad percent-encoding in the {part}")]
    BadPercent {
        /// Where it stands.
        part: UrlPart,
    },
    /// The user or password seems to contain a `/` or `?` as it is.
    #[error("user and password end at a character that is not percent-encoded")]
    RawCharacterInPassword,
    /// A transport of the C++ client that this stack does not have.
    #[error("no transport {transport}")]
    UnsupportedTransport {
        /// The transport as written.
        transport: &'static str,
    },
    /// A URL was given for an address, and has no path.
    #[error("no address behind the host")]
    MissingAddress,
    /// The text is longer than [`MAX_URL_LEN`].
    #[error("url of {len} bytes, {MAX_URL_LEN} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl UrlError {
    /// Tells what to write instead, where that can be guessed.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownScheme { .. } => {
                "use amqp:// or amqps://, amqpws:// or amqpwss:// for WebSocket, amqp+unix:// for a Unix socket (an address \
                 that looks like a url can be quoted)"
            }
            Self::MissingHost => "write a host, as in amqp://localhost:5672",
            Self::BadHost { host } if host.contains(':') => "put an IPv6 address in brackets, as in amqp://[::1]:5672",
            Self::BadHost { .. } => "write a host name or an IP address, as in amqp://localhost:5672",
            Self::MissingSocket => {
                "write the path percent-encoded in the place of the host, as in amqp+unix://%2Frun%2Fbroker.sock/my-queue"
            }
            Self::BadSocket { .. } => {
                "write an absolute path of 107 bytes at most, as in amqp+unix://%2Frun%2Fbroker.sock, or amqp+unix://%40name"
            }
            Self::PortOfSocket => "leave the port out; a : in the path of a socket is written %3A",
            Self::AmbiguousPath => {
                "write amqpws:// or amqpwss:// with the address of the node as its path; a resource other than / goes behind \
                 it, as in amqpws://localhost/my-queue?websocket_resource=/amqp"
            }
            Self::BadPort { .. } => "a port is a number from 0 to 65535; leave it out for 5672, or 5671 with amqps",
            Self::BadPercent { .. } => "write % as %25",
            Self::RawCharacterInPassword => "in a user or password write / as %2F, ? as %3F and @ as %40",
            Self::UnsupportedTransport { .. } => "use tcp or ssl",
            Self::MissingAddress => "write the address behind the host, as in amqp://localhost/my-queue",
            Self::TooLong { .. } => return None,
        })
    }
}

/// Names a part of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UrlPart {
    /// The user.
    User,
    /// The password.
    Password,
    /// The path of a Unix socket, in the place of the host.
    Socket,
    /// The path, which is an address.
    Path,
    /// The pairs behind the question mark.
    Query,
}

impl fmt::Display for UrlPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Password => "password",
            Self::Socket => "path of the socket",
            Self::Path => "path",
            Self::Query => "query",
        })
    }
}
