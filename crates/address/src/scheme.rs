//! What a broker is reached over.

use std::fmt;

/// Says what a broker is reached over, and how the connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// Plain TCP, port 5672.
    #[default]
    Amqp,
    /// TLS from the first byte, port 5671.
    Amqps,
    /// A Unix socket of this machine.
    AmqpUnix,
    /// WebSocket over plain TCP, port 80.
    AmqpWs,
    /// WebSocket over TLS, port 443.
    AmqpWss,
}

impl Scheme {
    /// Returns the spelling in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Amqps => "amqps",
            Self::AmqpUnix => "amqp+unix",
            Self::AmqpWs => "amqpws",
            Self::AmqpWss => "amqpwss",
        }
    }

    /// Returns the port that IANA has for the scheme, that of HTTP for WebSocket; 0 for a Unix socket, which has none.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Amqp => 5672,
            Self::Amqps => 5671,
            Self::AmqpUnix => 0,
            Self::AmqpWs => 80,
            Self::AmqpWss => 443,
        }
    }

    /// Tells whether the connection uses TLS from the first byte.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Amqps | Self::AmqpWss)
    }

    /// Tells whether AMQP is spoken over a WebSocket.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::AmqpWs | Self::AmqpWss)
    }

    /// Schemes are the same in any case (RFC 3986 3.1).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let known = SPELLINGS.iter().find(|(spelling, _)| name.eq_ignore_ascii_case(spelling));
        known.map(|(_, scheme)| *scheme)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every spelling that is read.
const SPELLINGS: [(&str, Scheme); 9] = [
    ("amqp", Scheme::Amqp),
    ("amqps", Scheme::Amqps),
    ("amqp+unix", Scheme::AmqpUnix),
    ("amqpws", Scheme::AmqpWs),
    ("amqpwss", Scheme::AmqpWss),
    ("amqp+ws", Scheme::AmqpWs),
    ("amqp+wss", Scheme::AmqpWss),
    ("ws", Scheme::AmqpWs),
    ("wss", Scheme::AmqpWss),
];
