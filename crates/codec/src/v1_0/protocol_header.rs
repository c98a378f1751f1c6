//! Protocol headers (AMQP 1.0 part 2, 2.2), and what else may stand in their place.

use std::fmt;

/// The eight bytes that start a protocol layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolHeader {
    /// The layer.
    pub id: ProtocolId,
    /// Its version: major, minor, revision.
    pub version: [u8; 3],
}

/// The layer that a protocol header starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolId {
    /// AMQP itself.
    Amqp,
    /// TLS inside (part 5, 5.2).
    Tls,
    /// SASL (part 5, 5.3).
    Sasl,
}

/// What a peer speaks that does not start with a header of AMQP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignProtocol {
    /// AMQP 0-9-1 and its forerunners.
    Amqp091,
    /// AMQP 0-10.
    Amqp010,
    /// An AMQP version or layer that is not known here, as the eight bytes of its header.
    AmqpOther([u8; 8]),
    /// A TLS record, or an alert.
    Tls,
    /// HTTP.
    Http,
    /// SSH.
    Ssh,
    /// Something else: its first bytes.
    Unknown([u8; 8]),
}

impl ProtocolHeader {
    /// Bytes of a header.
    pub const LENGTH: usize = 8;
    /// AMQP 1.0.0.
    pub const AMQP: Self = Self { id: ProtocolId::Amqp, version: [1, 0, 0] };
    /// TLS 1.0.0.
    pub const TLS: Self = Self { id: ProtocolId::Tls, version: [1, 0, 0] };
    /// SASL 1.0.0.
    pub const SASL: Self = Self { id: ProtocolId::Sasl, version: [1, 0, 0] };

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let id = match self.id {
            ProtocolId::Amqp => 0,
            ProtocolId::Tls => 2,
            ProtocolId::Sasl => 3,
        };
        let [major, minor, revision] = self.version;
        [b'A', b'M', b'Q', b'P', id, major, minor, revision]
    }

    /// Reads a header from the first bytes of a peer. `None`: more bytes are needed.
    ///
    /// # Errors
    /// When the bytes so far cannot become one: what the peer seems to speak.
    pub fn parse(input: &[u8]) -> Option<Result<Self, ForeignProtocol>> {
        let start = &input[..input.len().min(Self::LENGTH)];
        if !b"AMQP".starts_with(&start[..start.len().min(4)]) {
            // Names need a few bytes; a peer that stops short is named by what there is.
            return Some(Err(ForeignProtocol::of(start)));
        }
        let bytes: [u8; 8] = start.try_into().ok()?;
        Some(match bytes[4..] {
            [0, 1, 0, 0] => Ok(Self::AMQP),
            [2, 1, 0, 0] => Ok(Self::TLS),
            [3, 1, 0, 0] => Ok(Self::SASL),
            _ => Err(ForeignProtocol::of(&bytes)),
        })
    }
}

impl ForeignProtocol {
    fn of(start: &[u8]) -> Self {
        let mut bytes = [0; 8];
        bytes[..start.len()].copy_from_slice(start);
        match bytes {
            [b'A', b'M', b'Q', b'P', 0, 0, 9, 1]
            | [b'A', b'M', b'Q', b'P', 1, 1, 0, 9 | 8]
            | [b'A', b'M', b'Q', b'P', 1, 1, 8 | 9, _] => Self::Amqp091,
            [b'A', b'M', b'Q', b'P', 1, 1, 0, 10] => Self::Amqp010,
            [b'A', b'M', b'Q', b'P', ..] => Self::AmqpOther(bytes),
            [0x14..=0x17, 3, 0..=4, ..] => Self::Tls,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh,
            _ if [&b"HTTP"[..], b"GET ", b"POST", b"PUT ", b"HEAD", b"PRI "]
                .iter()
                .any(|verb| bytes.starts_with(verb)) =>
            {
                Self::Http
            }
            _ => Self::Unknown(bytes),
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Amqp091 => "this is an AMQP 0-9-1 broker: RabbitMQ needs its AMQP 1.0 plugin",
            Self::Amqp010 => "this peer speaks AMQP 0-10 only: qpidd needs its AMQP 1.0 module",
            Self::AmqpOther(_) => "the peer speaks another version of AMQP",
            Self::Tls => "the peer speaks TLS on this port: use amqps",
            Self::Http => "this is an HTTP server: is the port right?",
            Self::Ssh => "this is an SSH server: is the port right?",
            Self::Unknown(_) => "this is no AMQP peer: is the port right?",
        }
    }
}

impl fmt::Display for ForeignProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp091 => f.write_str("AMQP 0-9-1"),
            Self::Amqp010 => f.write_str("AMQP 0-10"),
            Self::AmqpOther(bytes) | Self::Unknown(bytes) => {
                write!(f, "\"{}\"", bytes.escape_ascii())
            }
            Self::Tls => f.write_str("TLS"),
            Self::Http => f.write_str("HTTP"),
            Self::Ssh => f.write_str("SSH"),
        }
    }
}
