//! The TLS header (part 5, 5.2): TLS on a port that begins in clear text.
//!
//! The two headers go before everything else, and before there is a [`Connection`](super::Connection): one that was told
//! anything in clear text would know things that nobody vouches for.
//!
//! ```text
//! client  AMQP 2 1 0 0 ─▶                ─▶ TLS ─▶ a new connection, told that it is secure
//! server                 ◀─ AMQP 2 1 0 0 ─▶ TLS ─▶ a new connection, told that it is secure
//! ```
//!
//! Whoever drives them reads to the end of the header and no further. What somebody in between puts behind it must not
//! be taken for words that came under TLS.

use postroad_codec::v1_0::ProtocolHeader;

use super::ConnectionError;

/// Reads the answer to a client that has sent the TLS header. `None`: more bytes are needed, up to the eight of a header.
///
/// # Errors
/// The peer does no TLS here: `ProtocolHeader` with the header that it wants, or `ForeignProtocol`. Going on without TLS
/// is not for anybody to decide but the user.
#[must_use]
pub fn tls_answer(input: &[u8]) -> Option<Result<(), ConnectionError>> {
    Some(match ProtocolHeader::parse(input)? {
        Ok(ProtocolHeader::TLS) => Ok(()),
        Ok(found) => Err(ConnectionError::ProtocolHeader { expected: ProtocolHeader::TLS, found }),
        Err(foreign) => Err(ConnectionError::ForeignProtocol(foreign)),
    })
}

/// Whether a client's first bytes are the TLS header. `None`: more bytes are needed, up to the eight of a header.
///
/// A server that has TLS answers with the same header. Everything else, and a server without TLS, is for a connection.
#[must_use]
pub fn asks_for_tls(input: &[u8]) -> Option<bool> {
    ProtocolHeader::parse(input).map(|header| header == Ok(ProtocolHeader::TLS))
}
